//! Devices that are gone for good, and those that must not be forgotten.
//!
//! | a device | is |
//! |---|---|
//! | was told to sleep, or is booked as asleep and counts as that | kept: its power may be lent |
//! | is being told to wake | kept, until that has an end |
//! | draws, by a fresh reading | kept: it is there |
//! | any other | forgotten. It counted at its bound, which covers no lease; the meter sees it if it draws all the same |
//! | was put to sleep and is in no group any more | struck out if nothing is lent, or the meter would see it draw: it counts nothing as it is |
//!
//! Whether it is connected, and whether the config names it, is not known here (`task/forget.rs`).

use jiff::Timestamp;

use super::{DeviceKey, Site};
use crate::{
    power::{
        device::{Goal, StageKind},
        group::Input as GroupInput,
        ledger::Entry,
    },
    profit::Watts,
};

/// Why a device is not forgotten.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Kept {
    /// There is none with this key.
    #[error("there is no such machine")]
    Unknown,
    /// It sleeps by our order.
    #[error("it was put to sleep, and its power may be lent: wake its group first")]
    Asleep,
    /// It is on its way.
    #[error("it is being woken: try again when that has an end")]
    Waking,
    /// It may sleep for what is lent, and nobody would see it draw.
    #[error(
        "it was put to sleep, {} are lent to AI compute, and no meter of the site would see it draw: forget it when that is given back, or give the \
         site a meter", .0.in_words()
    )]
    Lent(Watts),
    /// It is there.
    #[error("it draws {} by its last reading: it is there", .0.in_words())]
    Draws(Watts),
}

impl Site {
    /// Whether a device may be forgotten, and what must be in the book before that. `is_alone`: what is read of it is read of it alone, and
    /// not of its group as a whole.
    ///
    /// # Errors
    /// Why it may not.
    pub fn may_forget(&self, now: Timestamp, key: DeviceKey, is_alone: bool) -> Result<Option<Entry>, Kept> {
        let member = self.members.get(key.group).ok_or(Kept::Unknown)?;
        let (Some(id), Some(device)) = (member.id(key.device), member.device(key.device)) else {
            return Err(Kept::Unknown);
        };
        let now = now.max(self.now);
        let is_lent = self.ledger.is_freed(id) && self.ledger.counts(now, id) < self.ledger.bound(id);
        if device.goal() == Goal::Sleep || is_lent || member.freeing.contains(&key.device) {
            return Err(Kept::Asleep);
        }
        let fresh = self.terms.rules.max_age;
        let is_fresh = is_alone && device.measured_at().is_some_and(|at| now.duration_since(at) <= fresh);
        if is_fresh && device.watts() > device.spec().sleep_max {
            return Err(Kept::Draws(device.watts()));
        }
        match device.stage().kind() {
            StageKind::Pending | StageKind::Dispatched | StageKind::Drifted => Err(Kept::Waking),
            StageKind::Confirmed | StageKind::Unavailable | StageKind::Failed => {
                Ok(self.ledger.before_forgotten(now, id))
            }
        }
    }

    /// Forgets a device that may be forgotten; what had to be is in the book.
    pub fn forget(&mut self, now: Timestamp, key: DeviceKey) {
        let now = self.clock(now);
        let Some(id) = self.members.get(key.group).and_then(|member| member.id(key.device)).cloned() else { return };
        self.members[key.group].leave(key.device);
        self.ledger.remove_device(now, &id);
        self.tell_group(now, key.group, GroupInput::Left(key.device));
        self.turn(now);
    }

    /// Whether a device may be forgotten that was put to sleep, or was on its way, and that no group has any more; and what must be in the book before
    /// that. It is not measured and counts nothing: only the site's meter would see it.
    ///
    /// # Errors
    /// Why it may not.
    pub fn may_strike_out(&self, now: Timestamp, name: &str) -> Result<Option<Entry>, Kept> {
        let now = now.max(self.now);
        let lent: Watts = self.ledger.leases().map(|(.., lease)| lease.watts).sum();
        if lent > Watts::ZERO && self.ledger.meter_says(now).is_none() {
            return Err(Kept::Lent(lent));
        }
        Ok(self.ledger.before_stranger_forgotten(now, &name.into()))
    }

    /// What had to be is in the book: a device that no group has is not taken for one that sleeps any more.
    pub fn strike_out(&mut self, entry: Option<Entry>) {
        entry.iter().for_each(|entry| self.ledger.apply(entry));
    }

    /// What a device counts against the cap, at the site meter.
    pub fn counts(&self, now: Timestamp, key: DeviceKey) -> Watts {
        let id = self.members.get(key.group).and_then(|member| member.id(key.device));
        id.map_or(Watts::ZERO, |id| self.ledger.counts(now.max(self.now), id))
    }

    /// Whether the site's meter is there to see what draws and is forgotten, or nothing is ever lent that could be drawn twice.
    pub fn may_forget_unasked(&self, now: Timestamp) -> bool {
        self.terms.blocks.iter().flatten().next().is_none() || self.ledger.meter_says(now.max(self.now)).is_some()
    }
}
