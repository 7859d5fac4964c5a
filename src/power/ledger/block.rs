//! What one AI block counts.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{
    entry::LeaseId,
    reading::{Reading, Readings, at_meter},
    reason::{Ignored, NotYet},
    rules::{BlockRules, Rules},
};
use crate::profit::Watts;

/// A block's leases that are not returned: a block grows in as many steps as that.
pub(super) const MAX_LEASES: usize = 64;

/// Power that a block was given and has not returned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lease {
    /// How much, at the site meter.
    pub watts: Watts,
    /// From when on it allows no growth and no new work; it counts all the same.
    pub expires: Timestamp,
    /// Since when it is asked back.
    pub revoked: Option<Timestamp>,
    /// When its release was acknowledged, in this epoch.
    pub released: Option<Timestamp>,
}

#[derive(Debug, Clone)]
pub(super) struct Block {
    /// `None` for a block that the config no longer names and that has not returned its leases.
    pub rules: Option<BlockRules>,
    pub leases: BTreeMap<LeaseId, Lease>,
    /// At the meter.
    pub readings: Readings,
}

impl Block {
    pub(super) fn new(rules: Option<BlockRules>, site: &Rules) -> Self {
        Self { rules, leases: BTreeMap::new(), readings: Readings::new(site.proofs) }
    }

    /// Given and not returned, without one lease.
    pub(super) fn granted_without(&self, lease: Option<LeaseId>) -> Watts {
        self.leases.iter().filter(|(id, _)| Some(**id) != lease).map(|(_, lease)| lease.watts).sum()
    }

    /// What it may draw: its leases, or its idle draw.
    pub(super) fn allowed(&self) -> Watts {
        self.granted_without(None).max(self.idle())
    }

    fn idle(&self) -> Watts {
        self.rules.map_or(Watts::ZERO, |rules| rules.idle)
    }

    /// What it counts: what it may draw or what it draws, and all that it can where nobody says what it draws.
    pub(super) fn counts(&self, now: Timestamp, site: &Rules) -> Watts {
        let capacity = self.rules.map_or(Watts::ZERO, |rules| rules.capacity);
        self.allowed().max(self.drawn(now, site).unwrap_or(capacity))
    }

    /// What it draws by a fresh reading, at the meter.
    pub(super) fn drawn(&self, now: Timestamp, site: &Rules) -> Option<Watts> {
        self.readings.fresh(now, site.max_age)
    }

    /// What it draws, if that is more than it may and more than noise.
    pub(super) fn overdraws(&self, now: Timestamp, site: &Rules) -> Option<Watts> {
        let tolerance = self.rules.map_or(0.0, |rules| rules.tolerance.get());
        let most = Watts::clamped(self.allowed().get() * (1.0 + tolerance));
        self.drawn(now, site).filter(|drawn| *drawn > most)
    }

    pub(super) fn read(&mut self, now: Timestamp, drawn: Reading) -> Result<(), Ignored> {
        let Some(rules) = self.rules else { return Err(Ignored::Unknown) };
        self.readings.push(now, Reading { watts: at_meter(drawn.watts, rules.overhead), ..drawn })
    }

    /// The reading that proves that a lease is back.
    pub(super) fn is_back(&self, id: LeaseId) -> Result<Reading, NotYet> {
        let lease = self.leases.get(&id).ok_or(NotYet::UnknownLease(id))?;
        let released = lease.released.ok_or(NotYet::NotReleased(id))?;
        let tolerance = self.rules.map_or(0.0, |rules| rules.tolerance.get());
        let rest = self.granted_without(Some(id)).max(self.idle());
        self.readings.prove(released, Watts::clamped(rest.get() * (1.0 + tolerance)))
    }
}
