//! The way up: the ledger's word for each batch, best J/TH first, saved modes given back.
//!
//! Runs in WAKE_PENDING and WAKING, and in MINING for those that it mines without (`strays.rs`). A permission that comes too late changes what devices count as, and nothing more:
//! what is measured asleep again is given back by that measurement.

use jiff::Timestamp;

use super::{
    Group, State,
    table::{Cause, Phase},
    words::{Command, Event, Order, Output, Request},
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
        self.awaited = 0;
        for index in 0..self.slots.len() {
            self.slots[index].is_moving = !self.slots[index].device.is_untouched();
            self.slots[index].is_awaited = false;
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

    /// Wakes what sleeps although nobody here put it to sleep; with the next wake, where the group does not mine.
    pub(super) fn rouse(&mut self, now: Timestamp, why: Box<str>) {
        if matches!(self.phase(), Phase::ManualHold | Phase::Lockout) {
            return;
        }
        let idle: Vec<usize> = (0..self.slots.len()).filter(|index| self.slots[*index].device.is_idle()).collect();
        for index in &idle {
            self.touch(now, *index, |device, _| device.rouse(now));
        }
        if !idle.is_empty() && self.phase() == Phase::Mining {
            self.order = Order { goal: Goal::Mine, urgent: false, why: why.clone() };
            self.cause(now, Cause::ResumeMine, why);
        }
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
        let Some(refused) = self.refused() else { return };
        let was_refused = refused.take().is_some();
        if !ask.devices.is_empty() {
            for index in ask.devices {
                self.slots[index].is_granted = true;
                self.granted.push_back(index);
            }
            let why = if granted_w > Watts::ZERO {
                format!("the ledger has room for {}", granted_w.in_words())
            } else {
                "the ledger lets them wake: they count in full already".to_owned()
            };
            self.cause(now, Cause::Granted, why.into());
        }
        if rest.is_empty() {
            return;
        }
        let again = later(now, self.terms.ask_again);
        if let Some(refused) = self.refused() {
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

    /// Until when the ledger's no holds.
    fn refused(&mut self) -> Option<&mut Option<Timestamp>> {
        match &mut self.state {
            State::WakePending { refused, .. } | State::Waking { refused, .. } => Some(refused),
            State::Mining { strays, .. } => Some(strays.refused()),
            _ => None,
        }
    }

    /// Sends what was permitted, as far as ramp and record allow, once miners would find work.
    pub(super) fn send_wakes(&mut self, now: Timestamp) {
        while self.may_command()
            && matches!(self.phase(), Phase::Waking | Phase::Mining)
            && self.works_at().is_some_and(|at| at <= now)
            && let Some(index) = self.granted.front().copied()
        {
            let device = &self.slots[index].device;
            if device.goal() == Goal::Mine && device.wants_command(now) {
                let most = device.spec().most;
                if most > self.up.room(now) {
                    return;
                }
                let mode = device.mode().cloned();
                self.command(now, index, Command::Wake(mode));
            }
            self.granted.pop_front();
            self.slots[index].is_granted = false;
            self.enqueue(now, index);
        }
    }

    /// Puts a device to sleep that woke before it was let to, and again if that did not help; its turn comes all the same.
    pub(super) fn restrain(&mut self, now: Timestamp, index: usize) {
        let is_waking = matches!(self.state, State::WakePending { .. } | State::Waking { .. });
        let Some(slot) = self.slots.get(index) else { return };
        let device = &slot.device;
        let is_time = device.restrained_at().is_none_or(|at| later(at, self.terms.patience.backoff) <= now);
        let is_early = device.spec().can_sleep && device.is_early() && !slot.is_granted;
        if is_waking && is_early && is_time && self.may_command() {
            self.command(now, index, Command::Sleep);
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
        if self.is_fault(failed + unseen) {
            let of = self.slots.len();
            let why = format!("of {of} devices, {failed} do not wake and {unseen} are not seen");
            return self.cause(now, Cause::Disobeyed, why.into());
        }
        let by_watts = self.slots.iter().filter(|slot| slot.is_moving && slot.device.is_by_watts()).count();
        let mut why = match failed + unseen {
            0 => "every device draws power".to_owned(),
            without => format!("all but {without} devices draw power"),
        };
        why += match by_watts {
            0 => " and has found a share",
            _ => "",
        };
        if !self.slots.iter().any(|slot| slot.is_moving) {
            why = "nobody had to be woken".to_owned();
        }
        if by_watts > 0 {
            why += &format!("; {by_watts} have found no share in their time and are taken at their watts");
        }
        self.cause(now, Cause::Working, why.into())
    }

    /// Whether a group can't mine without so many of its devices.
    fn is_fault(&self, without: usize) -> bool {
        let all = self.slots.len();
        let may_fail = self.terms.may_fail.get() * all as f64;
        without > 0 && (without >= all || without > 1 && without as f64 > may_fail)
    }

    /// When the next question may be asked; `None` where none is.
    pub(super) fn asks_at(&self) -> Option<Timestamp> {
        match &self.state {
            State::WakePending { not_before, refused, .. } => {
                Some(refused.map_or(*not_before, |refused| refused.max(*not_before)))
            }
            State::Waking { refused, .. } => Some(refused.unwrap_or(Timestamp::MIN)),
            State::Mining { strays, .. } => Some(strays.asks_at()),
            _ => None,
        }
    }

    /// When miners would find work, or have waited for it long enough.
    pub(super) fn works_at(&self) -> Option<Timestamp> {
        match &self.state {
            // The others have work.
            State::Mining { .. } => Some(Timestamp::MIN),
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
