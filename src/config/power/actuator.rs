//! `[group.actuator]`: what puts a group's machines to sleep and wakes them.

use std::{sync::Arc, time::Duration};

use super::{
    ActuatorKind, Survives, asic_rs,
    call::{self, HttpCall},
    firmware::{self, Make},
    group::GROUP_KEYS,
    template::{Place, names_machine as names},
};
use crate::config::{
    Env, HttpUrl,
    error::{Wrong, shown},
    raw::{Section, nearest},
    trust,
    validate::{self, TIMEOUT, secs},
    value,
};

const HELP: &str = "write kind = \"luxos\", \"braiins\", \"antminer\", \"axeos\", \"asic_rs\", \"exec\", \"webhook\", \"manual\", \"simulated\" or \"custom:NAME\"";

impl ActuatorKind {
    /// As it is written, without the name of a custom one.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Exec { .. } => "exec",
            Self::Webhook { .. } => "webhook",
            Self::Manual => "manual",
            Self::Simulated { .. } => "simulated",
            Self::Firmware(firmware) => firmware.make.label(),
            Self::AsicRs(_) => "asic_rs",
            Self::Custom(_) => "custom",
        }
    }

    /// Time for one call, where the config gives it.
    pub(super) fn timeout(&self) -> Option<Duration> {
        match self {
            Self::Exec { timeout, .. } | Self::Webhook { timeout, .. } => Some(*timeout),
            Self::Firmware(firmware) => Some(firmware.timeout),
            Self::AsicRs(it) => Some(it.timeout),
            Self::Manual | Self::Simulated { .. } | Self::Custom(_) => None,
        }
    }

    /// Whether its driver can tell a machine's watts.
    pub(super) fn tells_watts(&self) -> bool {
        match self {
            Self::Firmware(firmware) => firmware.make.tells_watts(),
            Self::AsicRs(_) | Self::Simulated { .. } | Self::Custom(_) => true,
            Self::Exec { .. } | Self::Webhook { .. } | Self::Manual => false,
        }
    }

    /// Whether its machines sleep on after a power cut, where the config doesn't say.
    pub(super) fn survives(&self) -> Survives {
        match self {
            Self::Firmware(firmware) => firmware.make.survives(),
            _ => Survives::Unknown,
        }
    }

    /// Whether what it says to put one machine to sleep differs from what it says for another; so it is with those that are told which.
    pub(super) fn names_machine(&self) -> bool {
        match self {
            Self::Exec { sleep, wake, .. } => {
                [sleep, wake].iter().all(|command| command.iter().any(|text| names(text)))
            }
            Self::Webhook { sleep, wake, .. } => [sleep, wake].iter().all(|call| call_names(call)),
            Self::Manual | Self::Simulated { .. } | Self::Firmware(_) | Self::AsicRs(_) | Self::Custom(_) => true,
        }
    }
}

/// Whether a call tells one machine from another.
pub(super) fn call_names(call: &HttpCall) -> bool {
    names(&call.url) || call.body.as_deref().is_some_and(names)
}

#[derive(Clone)]
enum Kind {
    Exec,
    Webhook,
    Manual,
    Simulated,
    Firmware(Make),
    AsicRs,
    Custom(Arc<str>),
}

/// Hashes that a simulated machine computes for each terahash, unless `hashgate sim site --hashes-per-terahash` says otherwise.
const HASHES_PER_TERAHASH: f64 = 0.02;

/// From one in an hour of a real machine's work to all of it.
const PER_TERAHASH: std::ops::RangeInclusive<f64> = 1e-9..=1e12;

const SLEEP_HELP: &str = "write what puts a machine to sleep: sleep = [\"/usr/local/bin/asic\", \"off\", \"{ip}\"]";
const WAKE_HELP: &str = "write what wakes a machine: wake = [\"/usr/local/bin/asic\", \"on\", \"{ip}\"]";

/// The keys of the table. `None` only if a problem was reported.
pub(super) fn read(section: &mut Section<'_, '_>, env: &dyn Env) -> Option<ActuatorKind> {
    let kind = section.required("kind", HELP, value::parsed("\"exec\"", kind))?;
    let found = match kind {
        Kind::Exec => exec(section),
        Kind::Webhook => webhook(section, env),
        Kind::Manual => Some(ActuatorKind::Manual),
        Kind::Simulated => simulated(section),
        Kind::Firmware(make) => firmware::read(make, section, env).map(ActuatorKind::Firmware),
        Kind::AsicRs => asic_rs::read(section, env).map(ActuatorKind::AsicRs),
        Kind::Custom(name) => Some(ActuatorKind::Custom(name)),
    };
    section.refuse_misplaced(&GROUP_KEYS, "the group's");
    section.refuse_unknown_keys();
    found
}

fn kind(text: &str) -> Result<Kind, Wrong> {
    const WORDS: [&str; 9] =
        ["exec", "webhook", "manual", "simulated", "luxos", "braiins", "antminer", "axeos", "asic_rs"];
    if let Some(make) = Make::parse(text) {
        return Ok(Kind::Firmware(make));
    }
    Ok(match text {
        "exec" => Kind::Exec,
        "webhook" => Kind::Webhook,
        "manual" => Kind::Manual,
        "simulated" => Kind::Simulated,
        "asic_rs" => Kind::AsicRs,
        _ => return custom(text, &WORDS, HELP).map(Kind::Custom),
    })
}

/// The name behind `custom:`.
pub(super) fn custom(text: &str, words: &[&str], help: &str) -> Result<Arc<str>, Wrong> {
    if let Some(name) = text.strip_prefix("custom:") {
        return validate::name(name).map(Arc::from);
    }
    let help = nearest(text, words).map_or_else(|| help.to_owned(), |near| format!("did you mean \"{near}\"?"));
    Err(Wrong::new(format!("{} is not one of the choices", shown(text)), help))
}

fn exec(section: &mut Section<'_, '_>) -> Option<ActuatorKind> {
    let sleep = section.required("sleep", SLEEP_HELP, call::command(&Place::MACHINE, SLEEP_HELP));
    let wake = section.required("wake", WAKE_HELP, call::command(&Place::WAKE, WAKE_HELP));
    let timeout = section.or("timeout", secs(30), value::duration(TIMEOUT));
    refuse_same(section, sleep.is_some() && sleep == wake);
    Some(ActuatorKind::Exec { sleep: sleep?, wake: wake?, timeout })
}

fn webhook(section: &mut Section<'_, '_>, env: &dyn Env) -> Option<ActuatorKind> {
    let help = "write what puts a machine to sleep: sleep = \"http://{ip}/off\", or { url = …, method = …, headers = …, body = … }";
    let sleep = call::call(section, "sleep", help, &Place::MACHINE, env);
    let help =
        "write what wakes a machine: wake = \"http://{ip}/on\", or { url = …, method = …, headers = …, body = … }";
    let wake = call::call(section, "wake", help, &Place::WAKE, env);
    let timeout = section.or("timeout", secs(30), value::duration(TIMEOUT));
    refuse_same(section, sleep.is_some() && sleep == wake);
    let has_tls = [&sleep, &wake].into_iter().flatten().any(HttpCall::has_tls);
    let trust = trust::read(section, env, has_tls);
    let trusting = |call: HttpCall| HttpCall { trust: trust.clone(), ..call };
    Some(ActuatorKind::Webhook { sleep: trusting(sleep?), wake: trusting(wake?), timeout })
}

fn refuse_same(section: &Section<'_, '_>, is_same: bool) {
    if is_same {
        section.error("wake", Wrong::new("is the same as sleep", "write what wakes a machine"));
    }
}

fn simulated(section: &mut Section<'_, '_>) -> Option<ActuatorKind> {
    const HELP: &str = "write where `hashgate sim site` listens: url = \"http://127.0.0.1:9400\"";
    let url = section.required(
        "url",
        HELP,
        value::parsed("\"http://127.0.0.1:9400\"", |text| {
            let url = HttpUrl::parse(text)?;
            let parts = url.expose();
            if parts.path() != "/" || parts.query().is_some() {
                return Err(Wrong::new("has something behind the port", HELP));
            }
            Ok(url)
        }),
    );
    let hashes_per_terahash = section.or("hashes_per_terahash", HASHES_PER_TERAHASH, value::number(PER_TERAHASH));
    Some(ActuatorKind::Simulated { url: url?, hashes_per_terahash })
}
