//! The way up: the ledger's word for each batch, best J/TH first, saved modes given back.
//!
//! Runs in WAKE_PENDING and WAKING and nowhere else. A permission that comes too late changes what devices count as, and nothing more:
//! what is measured asleep again is given back by that measurement.

use jiff::Timestamp;

use super::{
    Group, State,
    table::{Cause, Phase},
    words::{Command, Event, Output, Request},
};
use crate::{
    power::device::{Goal, StageKind, later},
    profit::Watts,
};

/// A question to the ledger.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub number: u64,
    pub watts: Watts,
    pub devices: Vec<usize>,
    /// When it is asked again, should there be no answer.
    pub again: Timestamp,
}

impl Group {
    /// Turns to mine whatever does not just mine, and says what that will take.
    pub(super) fn turn_to_mine(&mut self, now: Timestamp) {
        for index in 0..self.slots.len() {
            self.slots[index].is_moving = !self.slots[index].device.is_untouched();
            if self.slots[index].is_moving {
                self.touch(now, index, |device, _| device.turn(now, Goal::Mine));
            }
        }
        self.requeue(now, Goal::Mine);
        let wanted = (0..self.slots.len()).filter(|index| self.slots[*index].is_moving);
        let wanted: Watts = wanted.map(|index| self.increase(index)).sum();
        self.has_work = false;
        self.out.push_back(Output::Ledger(Request::WantBack(wanted)));
        self.out.push_back(Output::Rouse);
    }

    /// Asks for the next batch, if it is time for one.
    pub(super) fn ask(&mut self, now: Timestamp) {
        if let Some(ask) = &mut self.asked {
            if ask.again <= now {
                ask.again = later(now, self.terms.ask_again);
                let (number, watts, devices) = (ask.number, ask.watts, ask.devices.clone());
                self.out.push_back(Output::Ledger(Request::AskIncrease { ask: number, watts, devices }));
            }
            return;
        }
        if self.asks_at().is_none_or(|at| now < at) || !self.granted.is_empty() {
            return;
        }
        let mut room = self.up.room(now);
        let mut devices = Vec::new();
        while let Some(index) = self.queue.front().copied() {
            let device = &self.slots[index].device;
            if device.goal() == Goal::Mine && device.wants_command(now) {
                if device.spec().most > room {
                    break;
                }
                room = room.saturating_sub(device.spec().most);
                devices.push(index);
            }
            self.queue.pop_front();
            self.slots[index].is_queued = false;
        }
        if devices.is_empty() {
            return;
        }
        let watts = devices.iter().map(|index| self.increase(*index)).sum();
        self.asks += 1;
        let again = later(now, self.terms.ask_again);
        self.out.push_back(Output::Ledger(Request::AskIncrease { ask: self.asks, watts, devices: devices.clone() }));
        self.asked = Some(Ask { number: self.asks, watts, devices, again });
    }

    /// The ledger's word. An answer to a question that is not open is old.
    pub(super) fn handle_permission(&mut self, now: Timestamp, number: u64, allowed: usize) {
        let Some(mut ask) = self.asked.take_if(|ask| ask.number == number) else { return };
        let rest = ask.devices.split_off(allowed.min(ask.devices.len()));
        let granted_w: Watts = ask.devices.iter().map(|index| self.increase(*index)).sum();
        for index in &ask.devices {
            self.touch(now, *index, |device, _| device.permit());
        }
        let (State::WakePending { refused, .. } | State::Waking { refused, .. }) = &mut self.state else { return };
        let was_refused = refused.take().is_some();
        if !ask.devices.is_empty() {
            for index in ask.devices {
                self.slots[index].is_granted = true;
                self.granted.push_back(index);
            }
            let why = format!("the ledger has room for {}", granted_w.in_words());
            self.cause(now, Cause::Granted, why.into());
        }
        if rest.is_empty() {
            return;
        }
        let again = later(now, self.terms.ask_again);
        if let State::WakePending { refused, .. } | State::Waking { refused, .. } = &mut self.state {
            *refused = Some(again);
        }
        let devices = rest.len();
        for index in rest.into_iter().rev() {
            if !std::mem::replace(&mut self.slots[index].is_queued, true) {
                self.queue.push_front(index);
            }
        }
        if !was_refused {
            let group = self.name.clone();
            self.tell(Event::Refused { group, devices, again_in: self.terms.ask_again });
        }
    }

    /// Sends what was permitted, as far as ramp and record allow, once miners would find work.
    pub(super) fn send_wakes(&mut self, now: Timestamp) {
        while self.may_command()
            && self.phase() == Phase::Waking
            && self.works_at().is_some_and(|at| at <= now)
            && let Some(index) = self.granted.front().copied()
        {
            let device = &self.slots[index].device;
            if device.goal() == Goal::Mine && device.wants_command(now) {
                let most = device.spec().most;
                if most > self.up.room(now) {
                    return;
                }
                self.up.spend(now, most);
                let mode = device.mode().cloned();
                self.command(now, index, Command::Wake(mode));
            }
            self.granted.pop_front();
            self.slots[index].is_granted = false;
            self.enqueue(now, index);
        }
    }

    /// Whether every device works, or is given up; moves the group on if so.
    pub(super) fn settle_wake(&mut self, now: Timestamp) -> bool {
        let told = self.counts(Goal::Mine);
        let open = told[StageKind::Pending as usize] + told[StageKind::Dispatched as usize];
        let is_asking = self.asked.is_some() || !self.granted.is_empty();
        if self.phase() == Phase::WakePending {
            // Nothing to wake, or nothing that is seen: no permission is wanted.
            let is_time = self.asks_at().is_some_and(|at| at <= now);
            return open == 0
                && !is_asking
                && is_time
                && self.cause(now, Cause::Granted, "no device has to be told".into());
        }
        if open > 0 || is_asking {
            return false;
        }
        let (failed, unseen) = (told[StageKind::Failed as usize], told[StageKind::Unavailable as usize]);
        if failed + unseen > 0 {
            let why = format!("{failed} devices do not wake, {unseen} are not seen");
            return self.cause(now, Cause::Disobeyed, why.into());
        }
        self.cause(now, Cause::Working, "every device draws power and has found a share".into())
    }

    /// When the next question may be asked; `None` where none is.
    pub(super) fn asks_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::WakePending { not_before, refused, .. } => {
                Some(refused.map_or(*not_before, |refused| refused.max(*not_before)))
            }
            State::Waking { refused, .. } => Some(refused.unwrap_or(Timestamp::MIN)),
            _ => None,
        }
    }

    /// When miners would find work, or have waited for it long enough.
    pub(super) fn works_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::Waking { .. } if self.has_work => Some(Timestamp::MIN),
            State::Waking { operation, .. } => Some(later(operation.started(), self.terms.work_wait)),
            _ => None,
        }
    }

    /// How much more a device would count.
    fn increase(&self, index: usize) -> Watts {
        let device = &self.slots[index].device;
        if device.counts_full() { Watts::ZERO } else { device.spec().most.saturating_sub(device.watts()) }
    }
}
