//! Devices that turn up while their group is to sleep: they were off, away or drew nothing when its drain began, or were found since.
//!
//! Runs in DRAINING, ASLEEP and LOCKOUT, for devices that were never told anything; one that was told and woke by itself drifted (`sleep.rs`).
//!
//! | its group is in | then it is put to sleep, and |
//! |---|---|
//! | DRAINING, or LOCKOUT before its receipt | it is one of those that are waited for, and in the receipt |
//! | ASLEEP, or LOCKOUT after that | the group stays where it is, and there is no second receipt: the log names it, and it is counted by its stage |
//!
//! | it | then |
//! |---|---|
//! | was left awake for the floor when the drain began | it mines on |
//! | mines for the floor, as others of it are away | it mines, and is looked at again with each measurement: the floor may be there without it |
//!
//! Canary, ramp, tries and proofs are those of all others; a canary that has obeyed is not asked again. All that turned up since the last record are in
//! one record, and each record lets those be told that are in it: however many come, nobody waits for the last.
//!
//! Limits: a measurement looks at its device alone.

use jiff::Timestamp;

use super::{
    Group, State,
    state::Slot,
    words::{Event, Output},
};
use crate::{
    power::device::{Device, Goal, Spec, StageKind, later},
    profit::Watts,
};

impl Group {
    /// A device became known. It was never told anything: it takes part in the drain that is under way once it draws, and else in the next.
    pub(super) fn join(&mut self, spec: Spec) {
        let biggest = spec.most;
        let index = self.slots.len();
        self.slots.push(Slot::new(Device::new(spec)));
        let slot = &mut self.slots[index];
        let watts = slot.device.watts().get();
        self.drawn_w += watts;
        self.unseen += usize::from(slot.is_unseen());
        if let State::Draining(sleeping) | State::Lockout(sleeping) = &mut self.state
            && let Some(operation) = &mut sleeping.operation
        {
            operation.finds(slot);
        }
        self.down.fits(biggest);
        self.up.fits(biggest);
        self.out.push_back(Output::Probe(index));
        let until = later(self.now, self.terms.probe);
        if let State::Mining { strays, .. } = &mut self.state {
            strays.waits_for_more(until);
        }
    }

    /// A device was measured: notes it if it is to be put to sleep with the others.
    pub(super) fn turns_up(&mut self, index: usize) {
        // At the end of a start's first measurements all are looked at together.
        if self.probing.is_none() && self.is_late(index) && !self.slots[index].is_late {
            self.slots[index].is_late = true;
            self.late.push(index);
        }
    }

    /// Takes those along that turned up, the worst J/TH first, once what was to be written before is on disk.
    pub(super) fn take_late(&mut self, now: Timestamp) {
        if self.late.is_empty() || !self.may_command() {
            return;
        }
        let mut late = std::mem::take(&mut self.late);
        self.sort(&mut late, Goal::Sleep);
        let mut is_any = false;
        for index in late {
            self.slots[index].is_late = false;
            // What was measured since may be otherwise, and the floor has less beside it with each.
            if self.is_late(index) {
                self.takes_along(now, index);
                is_any = true;
            }
        }
        if is_any {
            self.persist();
            // A drain that goes on has a record at its end.
            self.is_unrecorded = self.state.operation().is_none();
        }
    }

    /// Writes down that those sleep that were late, once none of the group is under way: a restart need not tell them again.
    pub(super) fn record_late(&mut self) {
        let told = self.counts(Goal::Sleep);
        let open = [StageKind::Pending, StageKind::Dispatched, StageKind::Drifted].map(|kind| told[kind as usize]);
        if self.is_unrecorded && self.may_command() && open == [0; 3] {
            self.persist();
        }
    }

    fn takes_along(&mut self, now: Timestamp, index: usize) {
        let slot = &mut self.slots[index];
        (slot.is_moving, slot.is_told) = (true, false);
        if let Some(operation) = self.state.operation() {
            operation.joins(slot);
        }
        let device = &self.slots[index].device;
        let (group, name, watts) = (self.name.clone(), device.spec().name.clone(), device.watts());
        self.tell(Event::TurnedUp { group, device: name, watts });
        self.awaits(index);
        self.touch(now, index, |device, _| device.turn(now, Goal::Sleep));
    }

    /// Whether a device draws that was never told anything while its group is to sleep, and the floor is there without it.
    fn is_late(&self, index: usize) -> bool {
        let Some(slot) = self.slots.get(index) else { return false };
        // One that a person wanted awake, and that woke by itself before its turn, sleeps with the others as well.
        if slot.is_moving || !(slot.device.is_candidate() || slot.device.is_early()) {
            return false;
        }
        match &self.state {
            State::Lockout(_) => true,
            State::Draining(_) | State::Asleep { .. } => {
                let left = Watts::clamped(self.mining_w - slot.mining_w());
                !slot.is_kept && left >= self.terms.floor
            }
            _ => false,
        }
    }
}
