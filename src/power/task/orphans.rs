//! What a ledger knows to sleep, or to be lent, and this config can't wake or ask back: an actuator or a control was taken out of the config
//! while it was in use. Shares go on without; but it is said at each start, on the page, in metrics and by `hashgate check`. While a proxy
//! runs, a config that would do so is refused.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    devices::Devices,
    estate::Estate,
    start::{Adoption, names_of},
};
use crate::{
    config::Config,
    power::{
        control::Orphans,
        group::DeviceRecord,
        journal::{Book, Journal, JournalError},
        ledger::{Booking, LeaseId},
    },
    profit::Watts,
};

/// Looks into the ledger of a config, if there is one, whether its proxy runs or not; changes nothing.
///
/// # Errors
/// If there is one that can't be read.
pub fn orphans(config: &Config) -> Result<Orphans, JournalError> {
    let Some(book) = Journal::look(&config.ledger)? else { return Ok(Orphans::default()) };
    let Some((profit, power)) = config.profit.as_ref().zip(config.power.as_ref()) else {
        return Ok(Orphans::of(&book, None, &HashSet::new()));
    };
    let names = profit.groups.iter().map(|group| group.name.clone());
    let mut devices = Devices::new(&names.zip(power.groups.iter().map(Option::as_ref)).collect::<Vec<_>>());
    devices.restore(&book.devices, &[], Timestamp::UNIX_EPOCH);
    Ok(Orphans::of(&book, Some(&devices), &blocks(config)))
}

/// What another config would leave asleep, or lent, with nobody who could wake it or ask it back, and what is to be done first: a sentence
/// for each group and block. What is so already by the config before is not in it. Looks into the ledger of that one, whoever has it.
///
/// # Errors
/// If it can't be read.
pub fn left_behind(old: &Config, new: &Config) -> Result<Vec<String>, JournalError> {
    Ok(Journal::look(&old.ledger)?.map_or_else(Vec::new, |book| left_by(&book, old, new)))
}

impl Estate {
    /// The same, by the book of the side that has ended.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn left_behind(&self, old: &Config, new: &Config) -> Result<Vec<String>, JournalError> {
        match &self.journal {
            Some(journal) => Ok(left_by(&journal.read()?, old, new)),
            None => left_behind(old, new),
        }
    }
}

fn left_by(book: &Book, old: &Config, new: &Config) -> Vec<String> {
    let (before, after) = (Left::of(book, old), Left::of(book, new));
    let mut words = Vec::new();
    for (group, mut devices, is_locked) in after.machines {
        let was_left = |name: &str| before.machines.iter().flat_map(|(_, left, _)| left).any(|it| *it.name == *name);
        devices.retain(|device| !was_left(&device.name));
        if devices.is_empty() {
            continue;
        }
        let (unlock, of_new) = match is_locked {
            true => {
                (format!("`hashgate unlock {group}` and "), "are locked out, and in another group of the new config")
            }
            false => {
                (String::new(), "sleep or are on their way, and no group of the new config has them with an actuator")
            }
        };
        words.push(format!(
            "{} machines of group {group:?} {of_new}, so that nobody would wake them: wake them first ({unlock}`hashgate wake {group}`), and \
             take them out of it when they mine: {}",
            devices.len(),
            names_of(&devices)
        ));
    }
    for (block, watts) in after.leases.iter().filter(|(block, _)| !before.leases.contains_key(*block)) {
        words.push(format!(
            "AI block {block:?} holds {} by its leases and is not in the new config with a control, so that nobody could ask it back: have it \
             give back first (demand = 0), and take it out when `hashgate groups` shows nothing lent to it",
            watts.in_words()
        ));
    }
    words
}

/// What a config leaves behind of what a book knows.
struct Left {
    machines: Vec<(String, Vec<DeviceRecord>, bool)>,
    leases: BTreeMap<String, Watts>,
}

impl Left {
    fn of(book: &Book, config: &Config) -> Self {
        let (profit, power) = (config.profit.iter(), config.power.iter());
        let names: Vec<Arc<str>> = profit.flat_map(|profit| &profit.groups).map(|group| group.name.clone()).collect();
        let moved = power.flat_map(|power| &power.groups).map(Option::as_ref);
        let mut devices = Devices::new(&names.iter().cloned().zip(moved).collect::<Vec<_>>());
        // Whoever just mines is left by nobody.
        let moving: HashSet<&str> =
            book.records.values().flat_map(|record| &record.devices).map(|device| &*device.name).collect();
        let found: Vec<_> = book.devices.iter().filter(|device| moving.contains(&*device.name)).cloned().collect();
        devices.restore(&found, &[], Timestamp::UNIX_EPOCH);
        let leases = Orphans::of(book, Some(&devices), &blocks(config)).leases;
        Self { machines: Adoption::new(book, &names, &devices).left, leases }
    }
}

/// Names of the blocks that are told of leases.
pub(super) fn blocks(config: &Config) -> HashSet<&str> {
    let (profit, power) = (config.profit.iter(), config.power.iter());
    let blocks = profit.flat_map(|profit| &profit.ai).zip(power.flat_map(|power| &power.blocks));
    blocks.filter(|(_, told)| told.is_some()).map(|(ai, _)| &*ai.name).collect()
}

impl Orphans {
    /// What a book knows beside these devices and blocks.
    pub(super) fn of(book: &Book, devices: Option<&Devices>, blocks: &HashSet<&str>) -> Self {
        let is_known = |name: &str| devices.is_some_and(|devices| devices.find(name).is_some());
        let mut machines: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (group, record) in &book.records {
            let left = record.devices.iter().filter(|device| !is_known(&device.name));
            for device in left {
                let of = group.strip_suffix(super::start::GONE).unwrap_or(group);
                machines.entry(of.to_owned()).or_default().push(device.name.to_string());
            }
        }
        let mut live: HashMap<(&str, LeaseId), Watts> = HashMap::new();
        for entry in &book.entries {
            match &entry.what {
                Booking::Lease { block, lease, watts, .. } => {
                    live.entry((block.as_str(), *lease)).or_insert(*watts);
                }
                Booking::Returned { block, lease, .. } => {
                    live.remove(&(block.as_str(), *lease));
                }
                Booking::Hold { .. } | Booking::Freed { .. } | Booking::Revoke { .. } => {}
            }
        }
        let mut leases: BTreeMap<String, Watts> = BTreeMap::new();
        for ((block, _), watts) in live.into_iter().filter(|((block, _), _)| !blocks.contains(block)) {
            let sum = leases.entry(block.to_owned()).or_insert(Watts::ZERO);
            *sum = *sum + watts;
        }
        Self { machines, leases }
    }
}
