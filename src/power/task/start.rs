//! What a start finds in the journal: how far decisions went, what sleeps, what is lent, and what the config does not name any more.
//!
//! Machines that sleep outlive the config that put them to sleep. Whose name is in the config is looked for among all groups:
//!
//! | a machine of a record | then |
//! |---|---|
//! | is in its group | it goes on from there |
//! | is in another group, which mines | that group wakes it |
//! | is in another group, which is on its way or asleep | it is that group's |
//! | its group has another name now | that group goes on from there, locked out if it was |
//! | is in another group, and was locked out where it was | it is left as it is |
//! | is in no group | it is left as it is, at every start it is said so, and it is known again once it is back |

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use tracing::{error, warn};

use super::{MODE, MODE_OF_CONFIG, Purpose, devices::Devices, orders::Orders};
use crate::{
    config::Mode,
    power::{
        control::Control,
        device::Goal,
        group::{DeviceRecord, Order, Phase, Record},
        journal::{Book, Journal, JournalError},
        ledger::{Booking, Entry, LeaseId},
        site::{Input, Person, SiteTerms},
    },
    profit::{
        Action, Watts,
        task::{GroupFact, PowerFacts},
    },
};

/// What a group's record is kept under that has machines which no group has any more.
pub(super) const GONE: &str = " (not in the config)";

/// Machines that are named in one sentence.
const NAMED: usize = 20;

/// How far decisions go: as an operator said, until the config says something else than it did then.
pub(super) fn mode(of_config: Mode, book: &Book, journal: &mut Journal) -> Result<Mode, JournalError> {
    let label = of_config.label();
    if book.settings.get(MODE_OF_CONFIG).map(String::as_str) != Some(label) {
        journal.set(&[(MODE_OF_CONFIG, label), (MODE, "")])?;
        return Ok(of_config);
    }
    let by_hand = book.settings.get(MODE).and_then(|mode| Mode::ALL.into_iter().find(|all| all.label() == mode));
    Ok(by_hand.unwrap_or(of_config))
}

/// What a dry run held goes on where the config says another mode now; but for what a person holds.
pub(super) fn held_by_a_dry_run(of_config: Mode, purpose: &Purpose, book: &Book, names: &[Arc<str>]) -> Vec<Input> {
    let of_config_then = book.settings.get(MODE_OF_CONFIG).map(String::as_str);
    let by_hand = book.settings.get(MODE).map(String::as_str);
    let dry = Mode::DryRun.label();
    let was_dry = by_hand.or(of_config_then) == Some(dry);
    let is_dry = if of_config_then == Some(of_config.label()) { was_dry } else { of_config == Mode::DryRun };
    if !was_dry || is_dry || *purpose != Purpose::Control {
        return Vec::new();
    }
    let is_held = |name: &Arc<str>| {
        let is_in_hold = book.records.get(&**name).is_some_and(|record| record.phase == Phase::ManualHold);
        is_in_hold && !matches!(book.orders.get(&**name), Some(Control::Hold { .. }))
    };
    let held = names.iter().enumerate().filter(|(_, name)| is_held(name));
    held.map(|(group, _)| Input::Person(group, Person::Release)).collect()
}

/// Whose machines are that sleep, or are on their way.
#[derive(Debug, Default)]
pub(super) struct Adoption {
    /// Records that become others, by the name of the group.
    changed: BTreeMap<String, Record>,
    /// Groups of which nothing is kept any more.
    gone: Vec<String>,
    /// Machines that nobody wakes, by the group that they were in; with whether that is because they were locked out.
    pub left: Vec<(String, Vec<DeviceRecord>, bool)>,
    /// What is to be told of that.
    warnings: Vec<String>,
}

impl Adoption {
    /// Gives them to the groups that the config has them in now.
    pub fn new(book: &Book, names: &[Arc<str>], devices: &Devices) -> Self {
        let groups: HashMap<&str, &Arc<str>> = names
            .iter()
            .enumerate()
            .flat_map(|(group, name)| devices.of(group).map(move |(target, _)| (&*target.name, name)))
            .collect();
        // In an order that does not depend on a map's.
        let olds: BTreeMap<String, Record> = book.records.clone().into_iter().collect();
        let mut adoption = Self::default();
        for (old, record) in &olds {
            adoption.look_at(old, record, book, names, &groups);
        }
        let Self { changed, gone, warnings, .. } = &mut adoption;
        gone.retain(|name| !changed.contains_key(name));
        for (name, control) in &book.orders {
            if !names.iter().any(|group| **group == **name) {
                warnings.push(format!(
                    "group {name:?} is not in the config any more: what an operator ordered of it holds for nothing: {control:?}"
                ));
                gone.push(name.clone());
            }
        }
        adoption
    }

    fn look_at(
        &mut self,
        old: &str,
        record: &Record,
        book: &Book,
        names: &[Arc<str>],
        groups: &HashMap<&str, &Arc<str>>,
    ) {
        let Self { changed, gone, left: all_left, warnings } = self;
        let is_there = names.iter().any(|name| **name == *old);
        let is_here = |device: &DeviceRecord| groups.get(&*device.name).is_some_and(|name| ***name == *old);
        let (stay, strays): (Vec<_>, Vec<_>) = record.devices.iter().cloned().partition(is_here);
        if is_there && strays.is_empty() {
            return;
        }
        let mut left = Vec::new();
        for stray in strays {
            let group = groups.get(&*stray.name).map(|name| name.to_string());
            let to = group.as_ref().and_then(|group| changed.get(group).or_else(|| book.records.get(group)).cloned());
            let is_locked = record.phase == Phase::Lockout;
            match (group, to) {
                (None, _) => left.push(stray),
                (Some(_), Some(to)) if to.devices.iter().any(|device| device.name == stray.name) => {}
                (Some(_), Some(to)) if is_locked && to.phase != Phase::Lockout => left.push(stray),
                (Some(_), None) if is_locked && is_there => left.push(stray),
                (Some(group), None) if !is_there => {
                    warnings.push(format!(
                        "group {group:?} goes on from where group {old:?} was left: its machines are its now"
                    ));
                    changed.insert(group, Record { devices: vec![stray], ..record.clone() });
                }
                (Some(group), to) => {
                    let mut to =
                        to.unwrap_or_else(|| Record { phase: Phase::Mining, devices: Vec::new(), ..record.clone() });
                    if to.phase == Phase::Mining {
                        let why = format!("machines of group {old:?} are its now, and do not mine");
                        to.order = Order { goal: Goal::Mine, urgent: false, why: why.into() };
                        to.phase = Phase::WakePending;
                    }
                    to.devices.push(stray);
                    changed.insert(group, to);
                }
            }
        }
        if is_there {
            let now = changed.remove(old).unwrap_or_else(|| record.clone());
            // What came to it meanwhile stays as well.
            let came = now.devices.iter().filter(|device| !record.devices.iter().any(|old| old.name == device.name));
            let devices = stay.into_iter().chain(came.cloned()).collect();
            changed.insert(old.to_owned(), Record { devices, ..now });
        } else {
            gone.push(old.to_owned());
        }
        if !left.is_empty() {
            let of = old.strip_suffix(GONE).unwrap_or(old);
            let kept = changed
                .entry(format!("{of}{GONE}"))
                .or_insert_with(|| Record { devices: Vec::new(), ..record.clone() });
            kept.devices.extend(left.iter().cloned());
            // Those that no group has are told of as orphans.
            let (locked, gone): (Vec<_>, Vec<_>) = left.into_iter().partition(|left| groups.contains_key(&*left.name));
            for (left, is_locked) in [(locked, true), (gone, false)] {
                if !left.is_empty() {
                    all_left.push((of.to_owned(), left, is_locked));
                }
            }
        }
    }

    /// Writes it down, in the journal and in what was read of it.
    ///
    /// # Errors
    /// If that can't be written.
    pub fn write(self, journal: &mut Journal, book: &mut Book) -> Result<(), JournalError> {
        let Self { changed, gone, left, warnings } = self;
        warnings.iter().for_each(|words| warn!("{words}"));
        for (group, locked, _) in left.iter().filter(|(.., is_locked)| *is_locked) {
            complain(group, locked);
        }
        if changed.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let written: Vec<(&str, &Record)> = changed.iter().map(|(name, record)| (&**name, record)).collect();
        journal.adopt(&written, &gone)?;
        book.records.retain(|name, _| !gone.contains(name));
        book.orders.retain(|name, _| !gone.contains(name));
        book.records.extend(changed);
        Ok(())
    }
}

fn complain(group: &str, locked: &[DeviceRecord]) {
    error!(
        "{} machines of group {group:?} were locked out with it, and are in another group now: nobody wakes them; unlock and wake them where they \
         were, or wake them by hand: {}",
        locked.len(),
        names_of(locked)
    );
}

/// The first of them, and how many more there are.
pub(super) fn names_of(devices: &[DeviceRecord]) -> String {
    let named: Vec<&str> = devices.iter().take(NAMED).map(|device| &*device.name).collect();
    let more = devices.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", named.join(", "))
}

/// Whether a group's sessions may be asleep, as far as its record says.
pub(super) fn slept(record: &Record) -> bool {
    matches!(record.phase, Phase::Asleep)
}

/// What the engine is to know before its first decision counts: what sleeps, and what AI compute has.
pub(super) fn facts_of_start(
    records: &[Option<Record>],
    entries: &[Entry],
    terms: &SiteTerms,
    orders: &Orders,
) -> PowerFacts {
    let mut leases: HashMap<(&str, LeaseId), (Watts, Timestamp)> = HashMap::new();
    for entry in entries {
        match &entry.what {
            // What may be out after a loss was no decision of ours.
            Booking::Lease { block, lease, watts, .. } if *lease != LeaseId::EVERYTHING => {
                leases.entry((block.as_str(), *lease)).or_insert((*watts, entry.at));
            }
            Booking::Revoke { block, lease } | Booking::Returned { block, lease, .. } => {
                leases.remove(&(block.as_str(), *lease));
            }
            _ => {}
        }
    }
    let has = |block: &str| {
        let of_block = leases.iter().filter(|((name, _), _)| *name == block).map(|(_, lease)| *lease);
        of_block.reduce(|(sum, since), (watts, at)| (sum + watts, since.min(at)))
    };
    let ai: Vec<_> = terms.blocks.iter().map(|block| block.as_ref().and_then(|block| has(block.id.as_str()))).collect();
    let asleep = if leases.is_empty() { Action::Curtail } else { Action::Ai };
    let group = |(index, record): (usize, &Option<Record>)| {
        // What the cap alone put to sleep is no decision: it is to do again what it did.
        let order = |record: &Record| record.overruled.as_ref().map_or(record.order.goal, |before| before.order.goal);
        let slept = record.as_ref().filter(|record| order(record) == Goal::Sleep);
        let sleeps = record.as_ref().is_some_and(|record| record.devices.iter().any(|it| it.goal == Goal::Sleep));
        let (lockout, order) = orders.of_engine(index, sleeps);
        GroupFact { doing: slept.map(|record| (asleep, record.since)), lockout, order, ..GroupFact::default() }
    };
    PowerFacts { mode: orders.mode(), groups: records.iter().enumerate().map(group).collect(), ai }
}

#[cfg(test)]
mod tests;
