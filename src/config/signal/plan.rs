//! Signals in words, as `hashgate check` prints them. Secrets and queries of addresses stay masked.

use std::fmt::{self, Formatter};

use super::{
    Class, JobsField, Picker, Shape, Signal, SourceKind, Spread,
    kinds::{ExecSource, FileSource, HttpSource, MqttSource},
    window::Windows,
};
use crate::{
    config::{plan::line, units::time},
    profit::Currency,
};

/// One signal, some lines.
pub(in crate::config) fn signal(signal: &Signal, currency: Currency, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "\nsignal \"{}\" in {}", signal.name, signal.quantity.unit(currency))?;
    for (index, source) in signal.sources.iter().enumerate() {
        line(f, if index == 0 { "comes from" } else { "and" }, kind(&source.kind))?;
    }
    if signal.sources.len() > 1 {
        let apart = match signal.max_spread {
            None => String::new(),
            Some(Spread::Relative(share)) => format!("; nothing is done while they are over {} % apart", share * 100.0),
            Some(Spread::Absolute(most)) => format!("; nothing is done while they are over {most} apart"),
        };
        line(f, "counts", format_args!("the median of those that are fresh{apart}"))?;
    }
    if signal.range != signal.quantity.plausible() {
        let (low, high) = (signal.range.start(), signal.range.end());
        line(f, "is plausible", format_args!("from {low} to {high}; anything else is refused and shown"))?;
    }
    if signal.sources.iter().any(|source| !source.kind.gives_intervals()) {
        line(f, "is fresh", format_args!("for {}", time(signal.max_age)))?;
    }
    let without = match signal.class {
        Class::Economic | Class::Verdict => "nothing changes, for a while",
        Class::Grid => "the grid's silence counts as the config says, once it has been heard",
    };
    line(f, "without it", without)
}

fn kind(kind: &SourceKind) -> String {
    match kind {
        SourceKind::Push => "whoever sends it to PUT /api/v1/signals/… (or to the library)".to_owned(),
        SourceKind::HttpJson(source) => http_json(source),
        SourceKind::File(FileSource { path, poll, picker }) => {
            format!("the file {}, looked at every {}, {}", path.display(), time(*poll), place(picker))
        }
        SourceKind::Exec(ExecSource { command, timeout, poll, picker }) => format!(
            "the command {} ({} arguments), every {}, killed after {}, {}",
            command[0],
            command.len() - 1,
            time(*poll),
            time(*timeout),
            place(picker)
        ),
        SourceKind::Mqtt(source) => mqtt(source),
        SourceKind::Jobs { field, pool } => {
            let what = match field {
                JobsField::Difficulty => "the network's difficulty",
                JobsField::Reward => "subsidy and median fees",
                JobsField::Subsidy => "the subsidy",
                JobsField::Fees => "median fees",
            };
            let whose = pool.as_ref().map_or("all pools".to_owned(), |pool| format!("pool \"{pool}\""));
            format!("{what} in the jobs of {whose}")
        }
        SourceKind::Schedule(Windows { zone, windows, otherwise }) => format!(
            "the local time in {2}: {0} {1}, {otherwise} outside of them",
            windows.len(),
            if windows.len() == 1 { "window" } else { "windows" },
            zone.iana_name().unwrap_or("local time")
        ),
    }
}

fn http_json(source: &HttpSource) -> String {
    let HttpSource { urls, headers, pin, timeout, poll, picker } = source;
    let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
    let names: Vec<&str> = headers.iter().map(|(name, _)| &**name).collect();
    let headers = if names.is_empty() { String::new() } else { format!(", with {}: ***", names.join(", ")) };
    let pinned = if pin.is_some() { ", one certificate trusted" } else { "" };
    format!(
        "{}{headers}{pinned}, every {}, within {}, {}",
        urls.join(" or else "),
        time(*poll),
        time(*timeout),
        place(picker)
    )
}

fn mqtt(source: &MqttSource) -> String {
    let MqttSource { brokers, topic, login, pin, retained, picker } = source;
    let brokers: Vec<String> = brokers.iter().map(ToString::to_string).collect();
    let login =
        login.as_ref().map_or(String::new(), |(user, password)| format!(", as {user} with password {password}"));
    let pinned = if pin.is_some() { ", one certificate trusted" } else { "" };
    let retained = if *retained { ", retained messages too" } else { "" };
    format!("topic {topic:?} at {}{login}{pinned}{retained}, {}", brokers.join(" and "), place(picker))
}

fn place(picker: &Picker) -> String {
    let value = match &picker.value {
        None => "the text is the value".to_owned(),
        Some(pointer) if pointer.is_empty() => "the document is the value".to_owned(),
        Some(pointer) => format!("value at {pointer}"),
    };
    match &picker.shape {
        Shape::Single { at: None } => value,
        Shape::Single { at: Some(at) } => format!("{value}, its time at {at}"),
        Shape::Objects { list, filter, .. } => {
            let only: Vec<String> = filter.iter().map(|(name, text)| format!("{name} = {text:?}")).collect();
            let only = if only.is_empty() { String::new() } else { format!(" where {}", only.join(", ")) };
            let list = if list.is_empty() { "the list" } else { list };
            format!("{value} of the entry of {list} for the present time{only}")
        }
        Shape::Arrays { times, .. } => format!("{value} for the present time in {times}"),
    }
}
