//! What a `[[group]]` says of its machines: which they are, what is printed on them, and how they are moved.

use std::{ops::RangeInclusive, time::Duration};

use super::{
    ActuatorKind, Miners, Moves, PowerGroup, Survives, WattsSource, actuator,
    devices::{self, Taken},
    watts,
};
use crate::{
    config::{
        Env,
        error::Wrong,
        profit::{Signals, quote},
        raw::Section,
        routes,
        units::time,
        validate::secs,
        value,
    },
    profit::{Currency, Ratio, Watts},
};

/// Watts on a machine: from a hobbyist's to what hangs on one breaker.
pub(super) const NAMEPLATE: (f64, f64) = (1.0, 10e6);

/// Where nothing else is said, a machine may draw this share of its nameplate asleep …
const SLEEP_SHARE: f64 = 0.02;
/// … and so much in any case: fans and a control board.
const SLEEP_LEAST: f64 = 25.0;
/// … but never so large a share that it could be awake.
const SLEEP_MOST_SHARE: f64 = 0.5;

/// Real firmware takes longer than that; who waits less tells a machine again while it still does what it was told.
const SHORTEST_SLEEP: Duration = secs(10);
const SHORTEST_WAKE: Duration = secs(60);
/// What may be learned of a time that the config leaves open: the slowest stock firmware needs ten minutes.
const MOST_LEARNED: Duration = secs(1800);
/// Who is asked has to walk there.
const SHORTEST_WALK: Duration = secs(600);

/// What is no time at all.
const LEAST_TIME: Duration = secs(1);

/// Machines of a first batch.
const MAX_CANARY: usize = 10_000;

const HOUR: Duration = secs(3600);
const PAUSE: RangeInclusive<Duration> = secs(1)..=HOUR;

/// Keys of a group that may stand below its `[group.actuator]` by mistake.
pub(super) const GROUP_KEYS: [&str; 27] = [
    "backoff",
    "canary",
    "configured_max",
    "devices",
    "efficiency",
    "fault_retry",
    "feeder",
    "floor",
    "may_fail",
    "name",
    "nameplate",
    "pool_fee",
    "power",
    "probe",
    "quiet",
    "quiet_limit",
    "ramp_down",
    "ramp_up",
    "signal",
    "sleep_draw",
    "sleep_max",
    "sleep_survives_power_cycle",
    "sleep_time",
    "subnets",
    "tries",
    "wake_time",
    "workers",
];

/// What the money side has read of the same table.
pub(in crate::config) struct Beside {
    /// As in logs.
    pub name: std::sync::Arc<str>,
    /// How long a machine may take to fall asleep.
    pub sleep_time: Duration,
    /// How long it may take from the command to its first accepted share.
    pub wake_time: Duration,
    /// Whether its efficiency is to be measured.
    pub is_measured: bool,
    /// Of all its machines, when they mine.
    pub power: Option<Watts>,
    /// Of those that always mine.
    pub floor: Watts,
}

/// The machine keys of a `[[group]]`. `None` without an actuator, or if a problem was reported.
pub(super) fn read(
    section: &mut Section<'_, '_>,
    beside: &Beside,
    taken: &mut Taken,
    signals: &Signals<'_>,
    env: &dyn Env,
) -> Option<PowerGroup> {
    let currency = signals.currency;
    let before = section.error_count();
    let is_there = section.has("actuator");
    let actuator = section.optional_table("actuator").and_then(|mut table| actuator::read(&mut table, env));
    let watts_table = section.optional_table("watts");
    let has_watts = watts_table.is_some();
    let watts = watts::read(watts_table, actuator.as_ref(), signals, env);
    let miners = miners(section);
    let nameplate = section.optional("nameplate", between(currency, NAMEPLATE, "\"3500 W\""));
    let configured_max = section.optional("configured_max", between(currency, NAMEPLATE, "\"3500 W\""));
    let sleep_max = sleep_max(section, nameplate, currency);
    let context = devices::Context { group: &beside.name, sleep_max, currency, env };
    let devices = devices::read(section, taken, &context);
    let survives = [("yes", Survives::Yes), ("no", Survives::No), ("unknown", Survives::Unknown)];
    let by_itself = actuator.as_ref().map_or(Survives::Unknown, ActuatorKind::survives);
    let sleep_survives_power_cycle = section.or("sleep_survives_power_cycle", by_itself, value::choice(&survives));
    let moves = moves(section, beside, currency);
    if !is_there {
        refuse_idle_keys(section);
        refuse_unmeasured(section, beside, "the group has no [group.actuator]");
        return None;
    }
    require(section, &miners, &devices);
    refuse_no_time(section, &moves);
    if let Some(WattsSource::Group { .. }) = watts {
        refuse_single(section, beside, &moves, &miners);
    }
    if beside.is_measured && watts == Some(WattsSource::None) {
        refuse_unmeasured(section, beside, "nothing tells its machines' watts");
    }
    let group = PowerGroup {
        miners,
        devices,
        nameplate: nameplate?,
        configured_max,
        sleep_max: sleep_max?,
        actuator: actuator?,
        watts: watts?,
        sleep_survives_power_cycle,
        moves,
    };
    if section.error_count() == before {
        warn(section, &group, beside, has_watts);
    }
    Some(group)
}

/// Watts within bounds.
pub(super) fn between(
    currency: Currency,
    (least, most): (f64, f64),
    example: &'static str,
) -> impl FnOnce(&toml::de::DeValue<'_>) -> Result<Watts, Wrong> {
    move |value| {
        let watts =
            quote::watts(currency)(value).map_err(|wrong| Wrong::new(wrong.what, format!("write {example}")))?;
        if (least..=most).contains(&watts.get()) {
            return Ok(watts);
        }
        let words = |watts| Watts::clamped(watts).in_words().to_string();
        let help = format!("write \"{}\" to \"{}\"", words(least), words(most));
        Err(Wrong::new(format!("{} is out of range", watts.in_words()), help))
    }
}

fn miners(section: &mut Section<'_, '_>) -> Miners {
    Miners {
        subnets: section.or("subnets", Vec::new(), |value| {
            let texts = value::strings(value)?;
            if texts.is_empty() {
                return Err(Wrong::new("is empty", "name the networks that its miners connect from, or drop the key"));
            }
            routes::networks(&texts)
        }),
        workers: section.optional("workers", value::parsed("\"hall-a.*\"", routes::users)),
    }
}

fn sleep_max(section: &mut Section<'_, '_>, nameplate: Option<Watts>, currency: Currency) -> Option<Watts> {
    let default = nameplate.map(|nameplate| {
        let watts = nameplate.get();
        Watts::clamped((watts * SLEEP_SHARE).max(SLEEP_LEAST).min(watts * SLEEP_MOST_SHARE))
    });
    if !section.has("sleep_max") {
        return default;
    }
    let sleep_max = section.optional("sleep_max", between(currency, (0.1, NAMEPLATE.1), "\"60 W\""))?;
    if let Some(nameplate) = nameplate
        && sleep_max.get() > nameplate.get() * SLEEP_MOST_SHARE
    {
        let what = format!("{} is over half of the nameplate, {}", sleep_max.in_words(), nameplate.in_words());
        section.error("sleep_max", Wrong::new(what, "write what one draws asleep: awake it could be taken for asleep"));
    }
    Some(sleep_max)
}

fn moves(section: &mut Section<'_, '_>, beside: &Beside, currency: Currency) -> Moves {
    const RAMP: (f64, f64) = (1.0, 1e12);
    const RAMP_EXAMPLE: &str = "\"500 kW\": as much as may go within a minute";
    let moves = Moves {
        ramp_down: section.optional("ramp_down", between(currency, RAMP, RAMP_EXAMPLE)),
        ramp_up: section.optional("ramp_up", between(currency, RAMP, RAMP_EXAMPLE)),
        canary: section.or("canary", 1, value::integer(1..=MAX_CANARY)),
        tries: section.or("tries", 3, value::integer(1..=20)),
        backoff: section.or("backoff", secs(10), value::duration(PAUSE)),
        sleep_time: beside.sleep_time,
        wake_time: beside.wake_time,
        sleep_most: if section.has("sleep_time") { beside.sleep_time } else { MOST_LEARNED },
        wake_most: if section.has("wake_time") { beside.wake_time } else { MOST_LEARNED },
        quiet: section.or("quiet", secs(10), value::duration(PAUSE)),
        quiet_limit: section.or("quiet_limit", secs(60), value::duration(PAUSE)),
        probe: section.or("probe", secs(30), value::duration(PAUSE)),
        work_wait: section.or("work_wait", secs(30), value::duration(Duration::ZERO..=HOUR)),
        may_fail: section.or("may_fail", Ratio::clamped(0.10), quote::ratio(0.0, 1.0)),
        fault_retry: section.or("fault_retry", secs(600), value::duration(secs(10)..=secs(86_400))),
    };
    if moves.quiet_limit < moves.quiet {
        let what = format!("is shorter than quiet, {}", time(moves.quiet));
        section.error("quiet_limit", Wrong::new(what, "write at least that"));
    }
    moves
}

/// What says nothing without an actuator.
fn refuse_idle_keys(section: &Section<'_, '_>) {
    const KEYS: [&str; 20] = [
        "watts",
        "device",
        "devices",
        "subnets",
        "workers",
        "nameplate",
        "configured_max",
        "sleep_max",
        "sleep_survives_power_cycle",
        "ramp_down",
        "ramp_up",
        "canary",
        "tries",
        "backoff",
        "quiet",
        "quiet_limit",
        "probe",
        "work_wait",
        "may_fail",
        "fault_retry",
    ];
    if let Some(key) = KEYS.into_iter().find(|key| section.has(key)) {
        let help =
            "add [group.actuator] with what puts its machines to sleep (kind = \"manual\" asks a person), or drop it";
        section.error(key, Wrong::new("is of machines, and the group has no [group.actuator]", help));
    }
}

fn refuse_unmeasured(section: &Section<'_, '_>, beside: &Beside, why: &str) {
    if beside.is_measured {
        let help = "write \"21.5 J/TH\", or [group.actuator] and [group.watts] that tell what its machines draw";
        section.error("efficiency", Wrong::new(format!("is measured from watts, and {why}"), help));
    }
}

/// What an actuator can't do without.
fn require(section: &Section<'_, '_>, miners: &Miners, devices: &[super::DeviceEntry]) {
    if !section.has("nameplate") {
        let help = "write what is printed on the machine: nameplate = \"3500 W\"";
        section.error("nameplate", Wrong::new("is missing: what a machine counts before it was seen", help));
    }
    let named = ["subnets", "workers", "devices", "device"].iter().any(|key| section.has(key));
    if !named && miners == &Miners::default() && devices.is_empty() {
        let help =
            "write subnets = [\"10.1.0.0/16\"], workers = \"hall-a.*\", devices = \"hall-a.csv\" or [[group.device]]";
        section.error("", Wrong::new("has an actuator, and nothing says which machines are its", help));
    }
}

/// No time at all would be over before a command was sent.
fn refuse_no_time(section: &Section<'_, '_>, moves: &Moves) {
    for (key, given) in [("sleep_time", moves.sleep_time), ("wake_time", moves.wake_time)] {
        if given < LEAST_TIME {
            let what = format!("{} is no time for a machine that is told", time(given));
            section.error(key, Wrong::new(what, "write how long one takes at most: \"60s\""));
        }
    }
}

/// What asks for the watts of single machines, where one meter tells those of all.
fn refuse_single(section: &Section<'_, '_>, beside: &Beside, moves: &Moves, miners: &Miners) {
    let help = "drop it, or tell the watts of each machine with another kind in [group.watts]";
    if section.has("canary") {
        section.error("canary", Wrong::new("can't be seen to sleep: one meter tells the watts of all machines", help));
    }
    if beside.floor > Watts::ZERO {
        let what = "keeps some of them mining, and one meter tells the watts of all: no sleep would ever be proven";
        section.error("floor", Wrong::new(what, help));
    }
    if (moves.ramp_down.is_some() || moves.ramp_up.is_some()) && beside.power.is_none() && miners != &Miners::default()
    {
        let what = "is missing: with one meter and a ramp, how long all of them take must be known";
        section.error("power", Wrong::new(what, "write what its machines draw when all mine: power = \"3.5 MW\""));
    }
}

/// What works and is hardly meant.
fn warn(section: &Section<'_, '_>, group: &PowerGroup, beside: &Beside, has_watts: bool) {
    if group.watts == WattsSource::None {
        let key = if has_watts { "watts" } else { "actuator" };
        let help = "add [group.watts] with kind = \"exec\", \"http_json\", \"mqtt\" or \"group\": a meter, a PDU, the firmware's own";
        section
            .warn(key, Wrong::new("nothing proves that these machines sleep: a drain of the group ends in FAULT, and none of their power is ever free", help));
    }
    let is_one = group.devices.len() == 1 && group.miners == Miners::default();
    if !is_one && !group.actuator.names_machine() {
        let what = "says the same for each machine: {ip}, {worker} or {device} is missing from sleep or wake";
        section.warn("actuator", Wrong::new(what, "leave it so only if one call may be made for each machine of them"));
    }
    if !is_one && !group.watts.names_machine() {
        let what = "asks the same for each machine: {ip}, {worker} or {device} is missing";
        section.warn("watts", Wrong::new(what, "name the machine, or its neighbour's sleep proves its own"));
    }
    if group.actuator == super::ActuatorKind::Manual
        && let Some((key, given)) = [("sleep_time", group.moves.sleep_time), ("wake_time", group.moves.wake_time)]
            .into_iter()
            .find(|(_, given)| *given < SHORTEST_WALK)
    {
        let what =
            format!("{} is little for a person who is asked: machines fail before somebody is there", time(given));
        section.warn(key, Wrong::new(what, format!("write \"{}\" or more", time(SHORTEST_WALK))));
    } else if !matches!(group.actuator, super::ActuatorKind::Simulated { .. }) {
        for (key, given, least) in [
            ("sleep_time", group.moves.sleep_time, SHORTEST_SLEEP),
            ("wake_time", group.moves.wake_time, SHORTEST_WAKE),
        ] {
            if given < least {
                let what =
                    format!("{} is less than firmware takes: machines would be told again on the way", time(given));
                section.warn(key, Wrong::new(what, format!("write \"{}\" or more", time(least))));
            }
        }
    }
    warn_of_sums(section, group, beside);
}

/// A nameplate in the wrong unit shows in the sum.
fn warn_of_sums(section: &Section<'_, '_>, group: &PowerGroup, beside: &Beside) {
    let Some(power) = beside.power else { return };
    let plates = group.devices.iter().map(|device| device.nameplate.unwrap_or(group.nameplate));
    let sum: Watts = plates.sum();
    let is_whole = group.miners == Miners::default() && !group.devices.is_empty();
    let is_far = |watts: Watts| watts.get() > power.get() * 2.0;
    if is_far(sum) || is_far(group.nameplate) || is_whole && sum.get() < power.get() * 0.5 {
        let sum = sum.max(group.nameplate);
        let what =
            format!("its machines are {} by their nameplates, and its power is {}", sum.in_words(), power.in_words());
        section.warn("nameplate", Wrong::new(what, "look at both: W, kW and MW are easily mixed up"));
    }
}
