//! What becomes of devices when something happens to them: counts, times, the queue of those that want a command, and what is told of it.
//!
//! The one place that changes a device, so that counts, timers and the ledger's view never differ from it.

use jiff::Timestamp;

use super::{
    Group, State,
    words::{Event, Output, Request},
};
use crate::power::device::{Device, Goal, Patience, Stage, StageKind};

impl Group {
    /// Lets something happen to a device, and says what became of it.
    pub(super) fn touch(&mut self, now: Timestamp, index: usize, happens: impl FnOnce(&mut Device, &Patience)) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        let was_awaited = slot.is_awaited_now();
        let was_unseen = slot.is_unseen();
        let mined_w = slot.mining_w();
        let device = &mut slot.device;
        let before = (class(device), device.stage(), device.counts_full(), device.watts());
        happens(device, &self.terms.patience);
        let (class, stage, counts_full) = (class(device), device.stage(), device.counts_full());
        // What waits gets there by its call alone.
        let is_sent = matches!(stage, Stage::Dispatched { deadline: Some(_), .. }) || device.restrained_at().is_some();
        let most = device.spec().most;
        let has_waited = slot.waits_to.take_if(|_| !slot.device.is_waiting());
        let device = &slot.device;
        self.drawn_w += device.watts().get() - before.3.get();
        if let Some(due) = slot.due.take() {
            self.due.remove(&(due, index));
        }
        if let Some(due) = device.due(now, &self.terms.patience) {
            slot.due = Some(due);
            self.due.insert((due, index));
        }
        if let Some((goal, kind)) = before.0 {
            self.counts[goal as usize][kind as usize] -= 1;
        }
        if let Some((goal, kind)) = class {
            self.counts[goal as usize][kind as usize] += 1;
        }
        self.is_unrecorded |= class.is_some() != before.0.is_some() && matches!(self.state, State::Mining { .. });
        self.unseen = self.unseen + usize::from(slot.is_unseen()) - usize::from(was_unseen);
        self.mining_w += slot.mining_w() - mined_w;
        let is_foreign = |stage: Stage| usize::from(matches!(stage, Stage::Failed { is_foreign: true }));
        self.foreign = self.foreign + is_foreign(stage) - is_foreign(before.1);
        let has_ended = matches!(stage.kind(), StageKind::Confirmed | StageKind::Failed | StageKind::Unavailable);
        // Who was not seen when it was to be told is told once it is.
        slot.is_awaited &= !has_ended || stage == Stage::Unavailable && !slot.is_told;
        self.awaited = self.awaited + usize::from(slot.is_awaited_now()) - usize::from(was_awaited);
        let (is_moving, drawn_w) = (slot.is_moving, self.drawn_w);
        if let Some(operation) = self.state.operation() {
            operation.draws(drawn_w);
            if is_moving && has_ended && stage.kind() != before.1.kind() {
                operation.proof(now);
            }
        }
        if let Some(goal) = has_waited {
            self.ramp(goal).release(most);
            if is_sent {
                self.ramp(goal).spend(now, most);
            } else {
                self.out.push_back(Output::Withdraw(index));
            }
        }
        if stage.kind() != before.1.kind() {
            self.looks_again();
            let was_mining = before.0.is_none() && before.1.kind() == StageKind::Confirmed;
            self.tell_stage(index, was_mining);
        }
        if counts_full != before.2 {
            self.tell_ledger(index);
        }
        self.enqueue(now, index);
    }

    /// From now on it is waited for until it has ended.
    pub(super) fn awaits(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.is_awaited = true;
        self.awaited += usize::from(slot.is_awaited_now());
    }

    /// What is known of shares under way is not up to date.
    pub(super) fn looks_again(&mut self) {
        if let State::Draining(sleeping) | State::Lockout(sleeping) = &mut self.state {
            sleeping.quiet_at = None;
        }
    }

    /// `was_mining`: it did just that before.
    fn tell_stage(&mut self, index: usize, was_mining: bool) {
        let device = &self.slots[index].device;
        let (group, name) = (self.name.clone(), device.spec().name.clone());
        let watts = device.watts();
        match device.stage() {
            Stage::Drifted => self.tell(Event::Drifted { group, device: name, watts }),
            Stage::Failed { is_foreign } => {
                let goal = device.goal();
                self.tell(Event::Failed { group, device: name, goal, watts, is_foreign });
            }
            Stage::Unavailable => {
                let counts = device.spec().most;
                self.tell(Event::Unavailable { group, device: name, counts });
            }
            Stage::Pending { .. } if was_mining && device.goal() == Goal::Mine => {
                self.tell(Event::Idle { group, device: name, watts });
            }
            Stage::Pending { .. } | Stage::Dispatched { .. } | Stage::Confirmed { .. } => {}
        }
    }

    fn tell_ledger(&mut self, device: usize) {
        let watched = &self.slots[device].device;
        let request = match watched.measured_at() {
            Some(measured_at) if !watched.counts_full() => {
                Request::Freed { device, watts: watched.watts(), measured_at }
            }
            _ => Request::Drawing { device, watts: watched.spec().most },
        };
        self.out.push_back(Output::Ledger(request));
    }

    /// Puts a device into the queue, if it wants its command and is not there.
    pub(super) fn enqueue(&mut self, now: Timestamp, index: usize) {
        let slot = &mut self.slots[index];
        if slot.device.wants_command(now) && !slot.is_queued && !slot.is_granted {
            slot.is_queued = true;
            self.queue.push_back(index);
        }
    }

    /// Makes the queue anew, in its order.
    pub(super) fn requeue(&mut self, now: Timestamp, goal: Goal) {
        let wants = |index: &usize| {
            let slot = &self.slots[*index];
            slot.device.goal() == goal && slot.device.wants_command(now) && !slot.is_granted
        };
        let mut order: Vec<usize> = (0..self.slots.len()).filter(wants).collect();
        self.sort(&mut order, goal);
        self.slots.iter_mut().for_each(|slot| slot.is_queued = false);
        order.iter().for_each(|index| self.slots[*index].is_queued = true);
        self.queue = order.into();
    }

    /// The worst J/TH first where they are to sleep, the best first where they are to mine; one that is not known is the worst.
    pub(super) fn sort(&self, order: &mut [usize], goal: Goal) {
        let joules = |index: usize| {
            let efficiency = self.slots[index].device.spec().efficiency;
            efficiency.map_or(f64::INFINITY, |efficiency| efficiency.get())
        };
        order.sort_by(|a, b| match goal {
            Goal::Sleep => joules(*b).total_cmp(&joules(*a)),
            Goal::Mine => joules(*a).total_cmp(&joules(*b)),
        });
    }
}

/// What a device counts as; `None` if it just mines.
pub(super) fn class(device: &Device) -> Option<(Goal, StageKind)> {
    (!device.is_untouched()).then(|| (device.goal(), device.stage().kind()))
}
