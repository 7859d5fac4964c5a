//! Reads `[power]`, and beside the money side (`config/profit/read.rs`) what the tables that both share say of machines.
//!
//! Both read their keys of one [`Section`] before unknown ones are refused: the money side opens and closes the tables of site, groups and AI
//! blocks, and hands each to [`Machines`] in between.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    ActuatorKind, Power, PowerBlock, PowerGroup, SiteMeter, Survives, WattsSource, compute, devices::Taken, group,
};
use crate::{
    config::{
        Env, Mode, Profit, Signal,
        error::{Wrong, shown},
        profit::{Signals, quote},
        raw::Section,
        units::time,
        validate::secs,
        value,
    },
    profit::{Currency, Quantity, Ratio, Watts},
};

/// The term of a lease: shorter ones would lapse while a message is repeated, longer ones are what AI compute grows on after we are
/// gone (`power/ledger/rules.rs` has the same).
const LEASE_TERM: std::ops::RangeInclusive<Duration> = secs(60)..=secs(300);

/// After which a machine is forgotten: a repair may take weeks, and who means longer than years means never.
const FORGET_AFTER: std::ops::RangeInclusive<Duration> = secs(86_400)..=secs(3650 * 86_400);

/// Machines, as they are read table by table.
pub(in crate::config) struct Machines<'r, 't, 'e> {
    section: Section<'r, 't>,
    currency: Currency,
    env: &'e dyn Env,
    own: Own,
    meter: Option<SiteMeter>,
    groups: Vec<Option<PowerGroup>>,
    blocks: Vec<Option<PowerBlock>>,
    taken: Taken,
    /// Machines that are asked for their watts, as far as can be known beforehand.
    asked: usize,
}

/// `[power]` itself.
struct Own {
    ledger: PathBuf,
    reserve: Reserve,
    drift: Watts,
    max_age: Duration,
    proofs: u8,
    poll: Duration,
    poll_moving: Duration,
    calls: usize,
    command_lifetime: Duration,
    lease_term: Duration,
    forget_after: Option<Duration>,
}

/// What firmware takes for an answer while it is busy; many take less, and some 21 s.
const SLOW_CALL: Duration = secs(1);

/// How many machines of a group are asked for their watts: those that are listed, or as many as its power is by the nameplate where others
/// are found by their connections.
fn asked(group: &PowerGroup, power: Option<Watts>) -> usize {
    match group.watts {
        WattsSource::Driver | WattsSource::Exec { .. } | WattsSource::HttpJson { .. } => {}
        _ => return 0,
    }
    let are_found = !group.miners.subnets.is_empty() || group.miners.workers.is_some();
    let by_power = power.filter(|_| are_found).map_or(0.0, |power| (power.get() / group.nameplate.get()).round());
    group.devices.len().max(by_power as usize)
}

/// What stays free under the cap.
#[derive(Debug, Clone, Copy)]
enum Reserve {
    /// Of the cap.
    Share(Ratio),
    Fixed(Watts),
}

impl Reserve {
    /// In watts; a share of no cap is nothing.
    fn of(self, cap: Option<Watts>) -> Watts {
        match self {
            Self::Fixed(watts) => watts,
            Self::Share(share) => Watts::clamped(cap.map_or(0.0, |cap| cap.get() * share.get())),
        }
    }
}

/// Reads `[power]`.
pub(in crate::config) fn open<'r, 't, 'e>(
    root: &mut Section<'r, 't>,
    currency: Currency,
    env: &'e dyn Env,
) -> Machines<'r, 't, 'e> {
    let mut section = root.table("power");
    let own = own(&mut section, currency);
    section.refuse_unknown_keys();
    let (groups, blocks, taken) = (Vec::new(), Vec::new(), Taken::default());
    Machines { section, currency, env, own, meter: None, groups, blocks, taken, asked: 0 }
}

fn own(section: &mut Section<'_, '_>, currency: Currency) -> Own {
    let ledger = value::parsed("\"hashgate-power.db\"", |path| match path.trim() {
        "" => Err(Wrong::new("is empty", "write a path: what was commanded and lent must outlive a crash")),
        _ => Ok(PathBuf::from(path)),
    });
    let own = Own {
        ledger: section.or("ledger", "hashgate-power.db".into(), ledger),
        reserve: section.or("reserve", Reserve::Share(Ratio::clamped(0.02)), |value| reserve(value, currency)),
        drift: section.or("drift", Watts::clamped(25.0), group::between(currency, (0.0, 1e6), "\"25 W\"")),
        max_age: section.or("max_age", secs(30), value::duration(secs(2)..=secs(600))),
        proofs: section.or("proofs", 3, value::integer(1..=20)),
        poll: section.or("poll", secs(10), value::duration(secs(1)..=secs(300))),
        poll_moving: section.or("poll_moving", secs(2), value::duration(Duration::from_millis(200)..=secs(300))),
        calls: section.or("calls", 64, value::integer(1..=4096)),
        command_lifetime: section.or("command_lifetime", secs(60), value::duration(secs(1)..=secs(900))),
        lease_term: section.or("lease_term", secs(120), value::duration(LEASE_TERM)),
        forget_after: section.or("forget_after", Some(secs(30 * 86_400)), forget_after),
    };
    if own.poll_moving > own.poll {
        let what = format!("is longer than poll, {}", time(own.poll));
        section.error("poll_moving", Wrong::new(what, "write at most that: what moves is measured more often"));
    }
    if own.poll.saturating_mul(2) > own.max_age {
        let what =
            format!("is less than twice poll, {}: a reading would be too old before the next came", time(own.poll));
        section.error("max_age", Wrong::new(what, format!("write \"{}\" or more", time(own.poll.saturating_mul(2)))));
    }
    own
}

/// A duration, or `"never"`.
fn forget_after(value: &toml::de::DeValue<'_>) -> Result<Option<Duration>, Wrong> {
    if value.as_str() == Some("never") {
        return Ok(None);
    }
    let help = "write \"30d\", or \"never\"";
    value::duration(FORGET_AFTER)(value).map(Some).map_err(|wrong| Wrong::new(wrong.what, help))
}

/// `"2 %"` of the cap, or watts.
fn reserve(value: &toml::de::DeValue<'_>, currency: Currency) -> Result<Reserve, Wrong> {
    let help = "write \"2 %\" of the cap, or \"50 kW\"";
    match value.as_str() {
        Some(text) if text.trim_end().ends_with('%') => quote::ratio(0.0, 0.5)(value).map(Reserve::Share),
        _ => quote::watts(currency)(value).map(Reserve::Fixed).map_err(|wrong| Wrong::new(wrong.what, help)),
    }
}

impl Machines<'_, '_, '_> {
    /// The keys of `[site]`.
    pub(in crate::config) fn site(&mut self, section: &mut Section<'_, '_>, signals: &Signals<'_>) {
        let signal = section.optional("meter", quote::signal(&[Quantity::Power], signals));
        let max_age = section.or("meter_max_age", secs(30), value::duration(secs(1)..=secs(3600)));
        let deviation = section.or("meter_deviation", Ratio::clamped(0.10), quote::ratio(0.001, 1.0));
        if !section.has("meter")
            && let Some(key) = ["meter_max_age", "meter_deviation"].into_iter().find(|key| section.has(key))
        {
            let help = "write meter = the name of a [[signal]] in kW or MW, or drop it";
            section.error(key, Wrong::new("stands without a meter", help));
        }
        self.meter = signal.map(|(signal, _)| SiteMeter { signal, max_age, deviation });
    }

    /// The keys of the next `[[group]]`.
    pub(in crate::config) fn group(
        &mut self,
        section: &mut Section<'_, '_>,
        beside: &group::Beside,
        signals: &Signals<'_>,
    ) {
        let group = group::read(section, beside, &mut self.taken, signals, self.env);
        self.asked += group.as_ref().map_or(0, |group| asked(group, beside.power));
        self.groups.push(group);
    }

    /// The keys of the next `[[ai]]`.
    pub(in crate::config) fn block(&mut self, section: &mut Section<'_, '_>, beside: &compute::Beside) {
        let block = compute::read(section, beside, self.currency, self.env);
        self.blocks.push(block);
    }

    /// What the tables need of each other.
    pub(in crate::config) fn check_together(&self, tables: &Tables<'_, '_, '_>, signals: &[Option<Signal>]) {
        let has_actuator = tables.groups.iter().any(|table| table.has("actuator"));
        let has_control = tables.ai.iter().any(|table| table.has("control"));
        if tables.mode == Mode::Active && !has_actuator {
            let help = "add [group.actuator] to a group, or write \"advise\"";
            tables.profit.warn("mode", Wrong::new("no group has a [group.actuator]: nothing can be carried out", help));
        }
        if !has_actuator && !has_control {
            if self.section.is_there() {
                let what = "has no effect: no group has a [group.actuator], no block an [ai.control]";
                self.section.warn("", Wrong::new(what, "add one, or drop it"));
            }
            if self.meter.is_some() {
                let what = "is read by nobody: no group has a [group.actuator], no block an [ai.control]";
                tables.site.warn("meter", Wrong::new(what, "add one, or drop it"));
            }
        }
        if has_control && !tables.site.has("cap") {
            let help = "write [site] cap: what the site may draw at the meter, as its contract or its transformer says";
            tables.site.error(
                "cap",
                Wrong::new("is missing, and AI compute with [ai.control] is lent what is free under it", help),
            );
        }
        if has_control && !tables.site.has("meter") {
            let what = "is missing: power is lent on the word of the machines' own meters alone";
            let help = "write meter = the name of a [[signal]] that tells what the site draws";
            tables.site.warn("meter", Wrong::new(what, help));
        }
        self.check_reserve(tables);
        self.check_times(tables, signals);
        self.warn_of_pace();
        self.check_groups(tables);
        self.check_group_meters(tables, signals);
        self.warn_of_oversubscription(tables);
    }

    fn check_reserve(&self, tables: &Tables<'_, '_, '_>) {
        if let (Reserve::Fixed(reserve), Some(cap)) = (self.own.reserve, tables.cap)
            && reserve.get() > cap.get() * 0.5
        {
            let what = format!("{} is over half of the cap, {}", reserve.in_words(), cap.in_words());
            self.section.error("reserve", Wrong::new(what, "write \"2 %\", or less"));
        }
        if tables.cap.is_none() && self.section.has("reserve") {
            let what = "is to stay free under the cap, and the site has none: 0 W";
            self.section.warn("reserve", Wrong::new(what, "write [site] cap, or drop it"));
        }
    }

    /// Calls that outlive their command, and readings that are old when they come.
    fn check_times(&self, tables: &Tables<'_, '_, '_>, signals: &[Option<Signal>]) {
        let lifetime = self.own.command_lifetime;
        for (group, table) in self.groups.iter().zip(tables.groups) {
            if let Some(timeout) = group.as_ref().and_then(|group| group.actuator.timeout()).filter(|it| *it > lifetime)
            {
                let what = format!(
                    "has a timeout of {}, and a command counts as ended after {}",
                    time(timeout),
                    time(lifetime)
                );
                let help = format!("write a shorter one, or [power] command_lifetime = \"{}\"", time(timeout));
                table.error("actuator", Wrong::new(what, help));
            }
        }
        for (block, table) in self.blocks.iter().zip(tables.ai) {
            if let Some(poll) =
                block.as_ref().map(|block| block.poll).filter(|poll| poll.saturating_mul(2) > self.own.max_age)
            {
                let what = format!(
                    "is asked every {}, and [power] max_age is {}: its word would be too old before the next came",
                    time(poll),
                    time(self.own.max_age)
                );
                table.error(
                    "control",
                    Wrong::new(what, format!("write poll = \"{}\" or less", time(self.own.max_age / 2))),
                );
            }
        }
        let Some(meter) = &self.meter else { return };
        let signal = signals.iter().flatten().find(|signal| signal.name == meter.signal);
        let every = signal.and_then(|signal| signal.sources.iter().filter_map(|source| source.kind.every()).max());
        if let Some(every) = every.filter(|every| every.saturating_mul(2) > meter.max_age) {
            let what = format!(
                "{} is asked every {}, and its reading is too old after {}: most of the time nothing could grow",
                shown(&meter.signal),
                time(every),
                time(meter.max_age)
            );
            let help = format!("write poll = \"{}\" in the signal, or a longer meter_max_age", time(meter.max_age / 3));
            tables.site.warn("meter", Wrong::new(what, help));
        }
    }

    /// Calls that would be too few as soon as firmware is busy.
    fn warn_of_pace(&self) {
        let (calls, age) = (self.own.calls, self.own.max_age);
        let each = age.mul_f64(calls as f64 / self.asked.max(1) as f64);
        if each >= SLOW_CALL {
            return;
        }
        let enough = (self.asked as f64 * SLOW_CALL.as_secs_f64() / age.as_secs_f64()).ceil();
        let what = format!(
            "{calls} at once to {} machines, and a reading is too old after {}: all are read in time only while a call takes {:.2} s or less, and \
             machines that are not count at all they may draw",
            self.asked,
            time(age),
            each.as_secs_f64()
        );
        self.section.warn("calls", Wrong::new(what, format!("write {enough} or more, or a longer max_age")));
    }

    fn check_groups(&self, tables: &Tables<'_, '_, '_>) {
        let is_simulated = |group: &PowerGroup| matches!(group.actuator, ActuatorKind::Simulated { .. });
        let real = self.groups.iter().position(|group| group.as_ref().is_some_and(|group| !is_simulated(group)));
        // Told to shed at once, it sheds in time; who does not say is lent no power that a blip may take back.
        let slow =
            self.blocks.iter().position(|block| block.as_ref().is_some_and(|block| block.sheds_within.is_none()));
        for (index, (group, table)) in self.groups.iter().zip(tables.groups).enumerate() {
            let Some(group) = group else { continue };
            if is_simulated(group)
                && let Some(real) = real.and_then(|real| tables.group_names.get(real))
            {
                let what =
                    format!("is simulated, and group \"{real}\" is real: watts that are none would count as freed");
                table.warn("actuator", Wrong::new(what, "keep them in configs of their own"));
            }
            if group.sleep_survives_power_cycle != Survives::Yes
                && group.watts != WattsSource::None
                && let Some(slow) = slow.and_then(|slow| tables.ai_names.get(slow))
            {
                let what = format!(
                    "a power cut may wake its machines while AI compute \"{slow}\" holds their power, and that does not say how fast it \
                     sheds: their power is not lent to it"
                );
                let help = "write sheds_within in that [[ai]], or \"yes\" here if they sleep on when power comes back";
                table.warn("sleep_survives_power_cycle", Wrong::new(what, help));
            }
            self.warn_of_overlap(index, group, table, tables.group_names);
        }
    }

    /// Meters of whole groups: of one group each, and read in time.
    fn check_group_meters(&self, tables: &Tables<'_, '_, '_>, signals: &[Option<Signal>]) {
        let meter = |group: &Option<PowerGroup>| match &group.as_ref()?.watts {
            WattsSource::Group { signal } => Some(signal.clone()),
            _ => None,
        };
        let meters: Vec<Option<Arc<str>>> = self.groups.iter().map(meter).collect();
        for (index, (meter, table)) in meters.iter().zip(tables.groups).enumerate() {
            let Some(meter) = meter else { continue };
            if let Some(other) = meters[..index].iter().position(|other| other.as_ref() == Some(meter)) {
                let name = tables.group_names.get(other).map_or("", |name| &**name);
                let what = format!("{} is the meter of group \"{name}\" too", shown(meter));
                table.error("watts", Wrong::new(what, "make them one group, or give each its own meter"));
            }
            let is_sites = self.meter.as_ref().is_some_and(|site| site.signal == *meter);
            if is_sites && tables.ai.iter().any(|table| table.has("control")) {
                let what = format!("{} is the site's meter, which tells what AI compute draws as well", shown(meter));
                table.error("watts", Wrong::new(what, "name a meter of these machines alone"));
            }
            let signal = signals.iter().flatten().find(|signal| signal.name == *meter);
            let every = signal.and_then(|signal| signal.sources.iter().filter_map(|it| it.kind.every()).max());
            if let Some(every) = every.filter(|every| every.saturating_mul(2) > self.own.max_age) {
                let what = format!(
                    "{} is asked every {}, and [power] max_age is {}: its reading would be too old before the next came",
                    shown(meter),
                    time(every),
                    time(self.own.max_age)
                );
                let help = format!("write poll = \"{}\" or less in the signal", time(self.own.max_age / 3));
                table.error("watts", Wrong::new(what, help));
            }
        }
    }

    /// Machines count at their bounds before they wake: where all of them together are over the cap, the last stay asleep for ever.
    fn warn_of_oversubscription(&self, tables: &Tables<'_, '_, '_>) {
        let Some(cap) = tables.cap else { return };
        let machines: f64 =
            self.groups.iter().zip(tables.powers).map(|(group, power)| bounds(group.as_ref(), *power)).sum();
        let machines = machines * tables.overhead.get();
        let idle: Watts = self.blocks.iter().flatten().map(|block| block.idle).sum();
        let reserve = self.own.reserve.of(Some(cap));
        let sum = machines + tables.base_load.get() + idle.get() + reserve.get();
        if machines > 0.0 && sum > cap.get() {
            let words = |watts: f64| Watts::clamped(watts).in_words().to_string();
            let what = format!(
                "{} is less than {}, which is all machines at their bounds (1.1 of the nameplate, or configured_max; {}), base load, what AI \
                 compute draws idle, and the reserve: once asleep, the last machines could never wake again",
                cap.in_words(),
                words(sum),
                words(machines)
            );
            tables
                .site
                .warn("cap", Wrong::new(what, "write lower nameplates if they are, fewer machines, or the true cap"));
        }
    }

    /// Two groups that the same miner fits.
    fn warn_of_overlap(&self, index: usize, group: &PowerGroup, table: &Section<'_, '_>, names: &[Arc<str>]) {
        for (earlier, name) in self.groups[..index].iter().zip(names) {
            let Some((key, what)) = earlier.as_ref().and_then(|earlier| overlap(&earlier.miners, &group.miners)) else {
                continue;
            };
            let what =
                format!("{what} also of group \"{name}\": miners that fit both are of that one, the first in the file");
            table.warn(key, Wrong::new(what, "leave it so if that is meant"));
        }
    }

    /// Where the ledger is, or would be.
    pub(in crate::config) fn ledger(&self) -> &Path {
        &self.own.ledger
    }

    /// All of it. `None` where nothing is moved and nobody told, or if a problem was reported.
    pub(in crate::config) fn finish(self, profit: Option<&Profit>) -> Option<Power> {
        let is_there = self.groups.iter().any(Option::is_some) || self.blocks.iter().any(Option::is_some);
        let cap = profit.filter(|_| is_there)?.site.cap;
        let own = self.own;
        Some(Power {
            ledger: own.ledger,
            cap,
            reserve: own.reserve.of(cap),
            drift: own.drift,
            max_age: own.max_age,
            proofs: own.proofs,
            poll: own.poll,
            poll_moving: own.poll_moving,
            calls: own.calls,
            command_lifetime: own.command_lifetime,
            meter: self.meter,
            lease_term: own.lease_term,
            forget_after: own.forget_after,
            groups: self.groups,
            blocks: self.blocks,
        })
    }
}

/// The tables that the money side has open.
pub(in crate::config) struct Tables<'s, 'r, 't> {
    pub mode: Mode,
    pub cap: Option<Watts>,
    pub base_load: Watts,
    pub overhead: Ratio,
    /// What each group draws when all of it mines.
    pub powers: &'s [Option<Watts>],
    pub profit: &'s Section<'r, 't>,
    pub site: &'s Section<'r, 't>,
    pub groups: &'s [Section<'r, 't>],
    pub group_names: &'s [Arc<str>],
    pub ai: &'s [Section<'r, 't>],
    pub ai_names: &'s [Arc<str>],
}

/// What a group's machines count at most, at their own supplies; of those that are not listed, by the group's power.
fn bounds(group: Option<&PowerGroup>, power: Option<Watts>) -> f64 {
    /// As the ledger has it (`power/ledger/rules.rs`).
    const OVER_NAMEPLATE: f64 = 1.1;
    let Some(group) = group else { return 0.0 };
    let most = |plate: Watts| (plate.get() * OVER_NAMEPLATE).max(group.configured_max.map_or(0.0, Watts::get));
    let listed: f64 = group.devices.iter().map(|device| most(device.nameplate.unwrap_or(group.nameplate))).sum();
    match power {
        Some(power) if group.miners != super::Miners::default() => listed.max(power.get() * OVER_NAMEPLATE),
        _ => listed,
    }
}

/// What the same miner may fit in both, as far as that can be told: whether two different patterns have a name in common can't.
fn overlap(earlier: &super::Miners, later: &super::Miners) -> Option<(&'static str, String)> {
    let same_workers = match (&earlier.workers, &later.workers) {
        (Some(earlier), Some(later)) => earlier == later,
        _ => true,
    };
    let meet = |net: &&ipnet::IpNet| earlier.subnets.iter().any(|other| other.contains(*net) || net.contains(other));
    let shared = later.subnets.iter().find(meet);
    if let Some(net) = shared.filter(|_| same_workers) {
        return Some(("subnets", format!("{net} is")));
    }
    let workers = later.workers.as_ref().filter(|later| earlier.workers.as_ref() == Some(later))?;
    (earlier.subnets.is_empty() || later.subnets.is_empty()).then(|| ("workers", format!("{workers} is")))
}
