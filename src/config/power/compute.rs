//! `[ai.control]`, and what an `[[ai]]` says of how it takes power and gives it back.

use std::{ops::RangeInclusive, time::Duration};

use super::{ComputeKind, PowerBlock, actuator::custom, call, slurm, template::Place};
use crate::{
    config::{
        Env, HttpUrl, Secret,
        error::Wrong,
        profit::quote,
        raw::Section,
        secret,
        signal::kinds,
        trust,
        units::time,
        validate::{TIMEOUT, secs},
        value,
    },
    profit::{Currency, Ratio, Watts},
};

/// Bytes of the shortest secret that messages are signed with: 16 random ones can't be guessed.
const MIN_SECRET_BYTES: usize = 16;

/// From a shed in a second to a job that runs on for a day.
const PATIENCE: RangeInclusive<Duration> = secs(1)..=secs(86_400);

/// Keys of a block that stand below its `[ai.control]` by mistake.
const BLOCK_KEYS: [&str; 11] = [
    "block",
    "demand",
    "idle",
    "interruptible",
    "min_term",
    "notice",
    "power",
    "pue",
    "returns_within",
    "sheds_within",
    "starts_within",
];

const HELP: &str = "write kind = \"webhook\", \"exec\", \"slurm\" or \"custom:NAME\"";

const TELL_HELP: &str =
    "write what is run for a message: tell = [\"/usr/local/bin/lease\", \"{type}\", \"{id}\", \"{watts}\"]";
const STATUS_HELP: &str = "write what prints its status: status = [\"/usr/local/bin/lease\", \"status\"]";

/// What the money side has read of the same table.
pub(in crate::config) struct Beside {
    /// Of IT, when all of it runs.
    pub power: Option<Watts>,
    /// Watts at the meter for each of IT.
    pub pue: Ratio,
    /// How long before its power is back after it was asked for.
    pub notice: Duration,
}

/// The machine keys of an `[[ai]]`. `None` without `control`, or if a problem was reported.
pub(super) fn read(
    section: &mut Section<'_, '_>,
    beside: &Beside,
    currency: Currency,
    env: &dyn Env,
) -> Option<PowerBlock> {
    let idle = section.optional("idle", quote::watts(currency));
    let tolerance = section.or("tolerance", Ratio::clamped(0.03), quote::ratio(0.0, 0.5));
    let sheds_within = section.optional("sheds_within", value::duration(PATIENCE));
    let starts_within = section.or("starts_within", secs(600), value::duration(PATIENCE));
    // What its notice allows, and a quarter of an hour for what is not quite on time.
    let returns_within = section.optional("returns_within", value::duration(PATIENCE));
    let is_there = section.has("control");
    let around = slurm::Around { power: beside.power, idle, sheds_within, currency };
    let told = section.optional_table("control").and_then(|mut table| control(&mut table, &around, env));
    if !is_there {
        let keys = ["idle", "tolerance", "sheds_within", "starts_within", "returns_within"];
        if let Some(key) = keys.into_iter().find(|key| section.has(key)) {
            let help = "add [ai.control] with who is told of its leases, or drop it";
            section.error(key, Wrong::new("is of leases, and the block has no [ai.control]", help));
        }
        return None;
    }
    if !section.has("idle") {
        let help = "write what its servers draw of IT without work: idle = \"20 kW\"; it is drawn all the time";
        section.error("idle", Wrong::new("is missing: by it a block is known to have given its power back", help));
    }
    if let (Some(idle), Some(power)) = (idle, beside.power)
        && idle >= power
    {
        let what = format!("{} is no less than its power, {}", idle.in_words(), power.in_words());
        section.error("idle", Wrong::new(what, "write what it draws without work"));
    }
    if let Some(given) = returns_within
        && given < beside.notice
    {
        let what = format!("{} is less than its notice, {}", time(given), time(beside.notice));
        section.warn("returns_within", Wrong::new(what, "an operator would be told before it is late: write more"));
    }
    let (control, poll) = told?;
    let idle = Watts::clamped(idle?.get() * beside.pue.get());
    let returns_within = returns_within.unwrap_or(beside.notice.saturating_add(secs(900)));
    Some(PowerBlock { control, idle, tolerance, poll, sheds_within, starts_within, returns_within })
}

/// Who is told, and how often it is asked. `None` only if a problem was reported.
fn control(section: &mut Section<'_, '_>, around: &slurm::Around, env: &dyn Env) -> Option<(ComputeKind, Duration)> {
    enum Kind {
        Webhook,
        Exec,
        Slurm,
        Custom(std::sync::Arc<str>),
    }
    let kind = |text: &str| {
        Ok(match text {
            "webhook" => Kind::Webhook,
            "exec" => Kind::Exec,
            "slurm" => Kind::Slurm,
            _ => return custom(text, &["webhook", "exec", "slurm"], HELP).map(Kind::Custom),
        })
    };
    let kind = section.required("kind", HELP, value::parsed("\"webhook\"", kind))?;
    let found = match kind {
        Kind::Webhook => webhook(section, env),
        Kind::Exec => exec(section),
        Kind::Slurm => slurm::read(section, around, env).map(ComputeKind::Slurm),
        Kind::Custom(name) => Some(ComputeKind::Custom(name)),
    };
    let poll = section.or("poll", secs(5), value::duration(secs(1)..=secs(600)));
    section.refuse_misplaced(&BLOCK_KEYS, "the block's");
    section.refuse_unknown_keys();
    Some((found?, poll))
}

fn webhook(section: &mut Section<'_, '_>, env: &dyn Env) -> Option<ComputeKind> {
    let url = section.required(
        "url",
        "write where its service takes messages: url = \"https://ai.example/lease\"",
        value::parsed("\"https://ai.example/lease\"", HttpUrl::parse),
    );
    let status = section.required(
        "status",
        "write where its service tells what it draws: status = \"https://ai.example/status\"",
        value::parsed("\"https://ai.example/status\"", HttpUrl::parse),
    );
    let secret = signing(section, env);
    let timeout = section.or("timeout", secs(10), value::duration(TIMEOUT));
    for (key, url) in [("url", &url), ("status", &status)] {
        let plain = url.as_ref().filter(|url| !url.is_protected()).map(ToString::to_string);
        kinds::warn_of_plain(section, key, plain);
    }
    let has_tls = [&url, &status].into_iter().flatten().any(|url| url.expose().scheme() == "https");
    let trust = trust::read(section, env, has_tls);
    Some(ComputeKind::Webhook { url: url?, status: status?, secret: secret?, trust, timeout })
}

fn signing(section: &mut Section<'_, '_>, env: &dyn Env) -> Option<Secret> {
    const KEYS: [&str; 3] = ["secret", "secret_env", "secret_file"];
    const HELP: &str =
        "write secret_env = \"AI_SECRET\" and set it on both sides to what `openssl rand -hex 32` prints";
    let secret = secret::read(section, KEYS, env);
    let Some(key) = KEYS.into_iter().find(|key| section.has(key)) else {
        section
            .error("secret_env", Wrong::new("is missing: who could write a message could lend the site's power", HELP));
        return None;
    };
    if secret.as_ref().is_some_and(|secret| secret.expose().len() < MIN_SECRET_BYTES) {
        let what = format!("is shorter than {MIN_SECRET_BYTES} bytes and could be guessed");
        section.error(key, Wrong::new(what, HELP));
    }
    secret
}

fn exec(section: &mut Section<'_, '_>) -> Option<ComputeKind> {
    let tell = section.required("tell", TELL_HELP, call::command(&Place::LEASE, TELL_HELP));
    let status = section.required("status", STATUS_HELP, call::command(&[], STATUS_HELP));
    let timeout = section.or("timeout", secs(10), value::duration(TIMEOUT));
    Some(ComputeKind::Exec { tell: tell?, status: status?, timeout })
}
