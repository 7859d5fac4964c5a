//! What may be seen of a group from outside, and what it asks of itself.
//!
//! Reads; changes nothing.

use jiff::Timestamp;

use super::{Group, State};
use crate::{
    power::device::{Device, Goal, StageKind},
    profit::Watts,
};

impl Group {
    /// Its devices, in the order of their indexes.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.slots.iter().map(|slot| &slot.device)
    }

    /// How many devices that do not just mine are how far towards a goal, in the order of [`StageKind`].
    pub fn stages(&self, goal: Goal) -> [usize; StageKind::COUNT] {
        self.counts(goal)
    }

    /// What its devices draw, at their own supplies; bounds where nothing was measured.
    pub fn draws(&self) -> Watts {
        Watts::clamped(self.drawn_w)
    }

    /// Whether what a crash would have to know is on disk.
    pub fn is_recorded(&self) -> bool {
        self.may_command()
    }

    /// Whether first measurements are waited for.
    pub fn is_probing(&self) -> bool {
        self.probing.is_some()
    }

    /// Since when it is where it is, as far as it knows; of a group that was never moved, its start.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// Whether what a crash would have to know is on disk.
    pub(super) fn may_command(&self) -> bool {
        self.saved == self.record
    }

    /// Whether anything can put any of its devices to sleep.
    pub(super) fn has_anybody(&self) -> bool {
        self.slots.iter().any(|slot| slot.device.spec().can_sleep)
    }

    /// Whether any device does not just mine.
    pub(super) fn has_touched(&self) -> bool {
        self.counts.iter().flatten().any(|count| *count > 0)
    }

    /// Whether its devices are told to sleep, or were.
    pub(super) fn is_to_sleep(&self) -> bool {
        matches!(self.state, State::Draining(_) | State::Asleep { .. } | State::Lockout(_))
    }

    pub(super) fn counts(&self, goal: Goal) -> [usize; StageKind::COUNT] {
        self.counts[goal as usize]
    }
}
