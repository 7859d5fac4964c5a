//! What a ledger knows to sleep, or to be lent, and this config can't wake or ask back: an actuator or a control was taken out of the config
//! while it was in use. Shares go on without; but it is said at each start, on the page, in metrics and by `hashgate check`.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;

use super::devices::Devices;
use crate::{
    config::Config,
    power::{
        control::Orphans,
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
