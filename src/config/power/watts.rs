//! `[group.watts]`: what tells the watts of a group's machines. A sleep is believed on nothing else.

use std::sync::Arc;

use super::{
    ActuatorKind, PowerUnit, WattsSource,
    actuator::call_names,
    call::{self, HttpCall, HttpMethod},
    group::GROUP_KEYS,
    template::{Place, Topic, names_machine as names},
};
use crate::{
    config::{
        Broker, Env, ServerTrust,
        error::Wrong,
        profit::{Signals, quote},
        raw::Section,
        signal::{kinds, picker},
        trust,
        validate::{TIMEOUT, secs},
        value,
    },
    profit::Quantity,
};

/// Where a number of power is written in other units, it is off by a thousand: so each says which.
const UNIT_HELP: &str = "write what its numbers are in: unit = \"W\" or \"kW\"";

impl WattsSource {
    /// As it is written.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Exec { .. } => "exec",
            Self::HttpJson { .. } => "http_json",
            Self::Mqtt { .. } => "mqtt",
            Self::Group { .. } => "group",
            Self::None => "none",
        }
    }

    /// Whether what it asks for one machine differs from what it asks for another.
    pub(super) fn names_machine(&self) -> bool {
        match self {
            Self::Exec { command, .. } => command.iter().any(|text| names(text)),
            Self::HttpJson { call, .. } => call_names(call),
            Self::Driver | Self::Mqtt { .. } | Self::Group { .. } | Self::None => true,
        }
    }
}

const COMMAND_HELP: &str =
    "write what prints a machine's watts: command = [\"/usr/local/bin/asic\", \"watts\", \"{ip}\"]";

/// The keys of the table, or without it what the actuator's driver tells. `None` only if a problem was reported.
pub(super) fn read(
    section: Option<Section<'_, '_>>,
    actuator: Option<&ActuatorKind>,
    signals: &Signals<'_>,
    env: &dyn Env,
) -> Option<WattsSource> {
    #[derive(Clone, Copy)]
    enum Kind {
        Driver,
        Exec,
        HttpJson,
        Mqtt,
        Group,
        None,
    }
    const HELP: &str = "write kind = \"exec\", \"http_json\", \"mqtt\", \"group\", \"driver\" or \"none\"";
    let Some(mut section) = section else {
        return Some(if actuator?.tells_watts() { WattsSource::Driver } else { WattsSource::None });
    };
    let words = [
        ("driver", Kind::Driver),
        ("exec", Kind::Exec),
        ("http_json", Kind::HttpJson),
        ("mqtt", Kind::Mqtt),
        ("group", Kind::Group),
        ("none", Kind::None),
    ];
    let kind = section.required("kind", HELP, value::choice(&words))?;
    let found = match kind {
        Kind::Driver => Some(WattsSource::Driver),
        Kind::Exec => exec(&mut section),
        Kind::HttpJson => http_json(&mut section, env),
        Kind::Mqtt => mqtt(&mut section, env),
        Kind::Group => group(&mut section, signals),
        Kind::None => Some(WattsSource::None),
    };
    if let (Some(WattsSource::Driver), Some(actuator)) = (&found, actuator)
        && !actuator.tells_watts()
    {
        let what = format!("is \"driver\", and an actuator of kind \"{}\" tells no watts", actuator.label());
        section.error(
            "kind",
            Wrong::new(what, "write kind = \"exec\", \"http_json\" or \"mqtt\": a meter, a PDU, the firmware's own"),
        );
    }
    section.refuse_misplaced(&GROUP_KEYS, "the group's");
    section.refuse_unknown_keys();
    found
}

/// `[ai.control.meter]`: what tells the watts of all machines of a block together. `None` only if a problem was reported.
pub(super) fn of_block(section: &mut Section<'_, '_>, env: &dyn Env) -> Option<WattsSource> {
    const HELP: &str = "write kind = \"exec\" or \"http_json\", with what tells the IT watts of all its nodes";
    let kind = section.required("kind", HELP, value::choice(&[("exec", true), ("http_json", false)]))?;
    let found = if kind { exec(section) } else { http_json(section, env) };
    section.refuse_unknown_keys();
    if found.as_ref().is_some_and(WattsSource::names_machine) {
        let what = "names one machine: {ip}, {worker} and {device} are of miners";
        section.error("kind", Wrong::new(what, "write what tells the watts of all nodes together"));
        return None;
    }
    found
}

fn unit(section: &mut Section<'_, '_>) -> Option<PowerUnit> {
    section.required("unit", UNIT_HELP, value::choice(&[("W", PowerUnit::Watts), ("kW", PowerUnit::Kilowatts)]))
}

fn exec(section: &mut Section<'_, '_>) -> Option<WattsSource> {
    let command = section.required("command", COMMAND_HELP, call::command(&Place::MACHINE, COMMAND_HELP));
    let unit = unit(section);
    let timeout = section.or("timeout", secs(10), value::duration(TIMEOUT));
    Some(WattsSource::Exec { command: command?, unit: unit?, timeout })
}

fn http_json(section: &mut Section<'_, '_>, env: &dyn Env) -> Option<WattsSource> {
    let url =
        section.required("url", "write url = \"http://{ip}/power\"", |value| call::address(value, &Place::MACHINE));
    let headers = call::headers(section, env);
    let pointer = section.required(
        "value",
        "write where in the JSON the number stands: \"/power/watts\"",
        value::parsed("\"/power/watts\"", |text| picker::pointer(text).map(Arc::from)),
    );
    let unit = unit(section);
    let timeout = section.or("timeout", secs(10), value::duration(TIMEOUT));
    let url = url?;
    call::warn_if_plain(section, "url", &url, &Place::MACHINE);
    let call = HttpCall { method: HttpMethod::Get, url, headers, body: None, trust: ServerTrust::System };
    let call = HttpCall { trust: trust::read(section, env, call.has_tls()), ..call };
    Some(WattsSource::HttpJson { call, pointer: pointer?, unit: unit?, timeout })
}

fn mqtt(section: &mut Section<'_, '_>, env: &dyn Env) -> Option<WattsSource> {
    let brokers = section
        .required("broker", "write broker = \"mqtts://host:8883\"", |value| kinds::one_or_more(value, Broker::parse));
    let topic = section.required(
        "topic",
        TOPIC_HELP,
        value::parsed("\"meters/{device}/power\"", |text| {
            Topic::parse(text, &Place::MACHINE)?;
            Ok(Arc::from(text))
        }),
    );
    let pointer =
        section.optional("value", value::parsed("\"/power/watts\"", |text| picker::pointer(text).map(Arc::from)));
    let unit = unit(section);
    let login = kinds::login(section, env).map(|(user, password)| (Arc::from(user), password));
    let brokers = brokers?;
    let plain = brokers.iter().find(|broker| !broker.is_protected()).map(ToString::to_string);
    kinds::warn_of_plain(section, "broker", plain);
    let trust = trust::read(section, env, brokers.iter().any(|broker| broker.tls));
    Some(WattsSource::Mqtt { brokers, topic: topic?, pointer, unit: unit?, login, trust })
}

fn group(section: &mut Section<'_, '_>, signals: &Signals<'_>) -> Option<WattsSource> {
    const HELP: &str = "write signal = the name of a [[signal]] in W, kW or MW: what all machines of the group draw";
    if !section.has("signal") {
        section.error("signal", Wrong::new("is missing: the group's meter", HELP));
    }
    let signal = section.optional("signal", quote::signal(&[Quantity::Power], signals));
    signal.map(|(signal, _)| WattsSource::Group { signal })
}

const TOPIC_HELP: &str = "write which machine in one level of the topic: topic = \"meters/{device}/power\"";
