//! The way down: which devices, in which order, and when all is proven and quiet.
//!
//! Runs in DRAINING, and in ASLEEP and LOCKOUT for devices that drifted, came back or turned up (`late.rs`). Emergencies know no canary and no ramp; a lockout
//! knows no canary and no floor, because a person stands at the rack.

use jiff::Timestamp;

use super::{
    Group, State,
    state::Slot,
    table::{Cause, Phase},
    words::{Command, Output},
};
use crate::{
    power::{
        device::{Goal, Stage, StageKind, later},
        receipt::Outcome,
    },
    profit::Watts,
};

/// A canary that does not obey is tried so often with further devices: at 5 % liars and canaries of three, three in a row
/// are no bad luck (one in 5·10^11).
const MAX_CANARIES: u32 = 3;

/// A group is left to a person when of ten of its devices that sleep one is woken by somebody else.
const FOREIGN_SHARE: usize = 10;

/// The small first batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Canary {
    /// So many were told, and it is so many's turn.
    Running {
        /// Of this canary.
        told: usize,
        /// Which canary, from 1.
        round: u32,
    },
    /// It obeyed, or was not asked for.
    Passed,
}

impl Canary {
    pub fn new() -> Self {
        Self::Running { told: 0, round: 1 }
    }
}

impl Group {
    /// Turns to sleep what was touched before and what may be drained, worst J/TH first, as far as the floor allows.
    pub(super) fn turn_to_sleep(&mut self, now: Timestamp, keeps_floor: bool) {
        let mut order: Vec<usize> = (0..self.slots.len())
            .filter(|index| {
                let device = &self.slots[*index].device;
                device.is_candidate() || !device.is_untouched()
            })
            .collect();
        self.sort(&mut order, Goal::Sleep);
        let is_ours = |index: &usize| !self.slots[*index].device.is_untouched();
        let ours: Vec<bool> = order.iter().map(is_ours).collect();
        // What is not seen may not mine.
        let mut mining = Watts::clamped(self.slots.iter().map(Slot::mining_w).sum());
        for slot in &mut self.slots {
            (slot.is_moving, slot.is_awaited, slot.is_told, slot.is_kept) = (false, false, false, false);
        }
        self.awaited = 0;
        for (index, is_ours) in order.into_iter().zip(ours) {
            let left = mining.saturating_sub(self.slots[index].device.watts());
            if !is_ours {
                if keeps_floor && left < self.terms.floor {
                    self.slots[index].is_kept = true;
                    continue;
                }
                mining = left;
            }
            self.slots[index].is_moving = true;
            self.awaits(index);
            self.touch(now, index, |device, _| device.turn(now, Goal::Sleep));
        }
        self.requeue(now, Goal::Sleep);
    }

    /// Back to sleep before anything was let to wake.
    pub(super) fn turn_to_sleep_again(&mut self, now: Timestamp) {
        for index in 0..self.slots.len() {
            let device = &self.slots[index].device;
            if device.goal() == Goal::Mine && !device.is_untouched() {
                self.touch(now, index, |device, _| device.turn(now, Goal::Sleep));
            }
        }
        self.requeue(now, Goal::Sleep);
    }

    /// Sends what canary, ramp and record allow.
    pub(super) fn send_sleeps(&mut self, now: Timestamp) {
        while self.may_command()
            && let Some(index) = self.queue.front().copied()
        {
            let device = &self.slots[index].device;
            let is_to_sleep = device.goal() == Goal::Sleep;
            if is_to_sleep && device.wants_command(now) {
                let most = device.spec().most;
                let is_held = !self.order.urgent && (self.is_canary_full() || most > self.down.room(now));
                if is_held {
                    return;
                }
                self.count_canary();
                self.command(now, index, Command::Sleep);
            }
            self.queue.pop_front();
            self.slots[index].is_queued = false;
            // Who is to wake (a person wants it awake) waits for the next wake, and not here.
            if is_to_sleep {
                self.enqueue(now, index);
            }
        }
    }

    /// Whether the group is through with its canary, its devices and its shares; moves it on if so.
    pub(super) fn settle(&mut self, now: Timestamp) -> bool {
        let told = self.counts(Goal::Sleep);
        let touched: usize = told.iter().sum();
        let confirmed = told[StageKind::Confirmed as usize];
        if self.foreign > 0
            && self.foreign * FOREIGN_SHARE >= touched
            && self.cause(now, Cause::Foreign, "its devices are woken by somebody else".into())
        {
            return true;
        }
        let dispatched = told[StageKind::Dispatched as usize];
        let open = told[StageKind::Pending as usize] + dispatched + told[StageKind::Drifted as usize];
        let limit = self.terms.canary;
        let (State::Draining(sleeping) | State::Lockout(sleeping)) = &mut self.state else { return false };
        if let Canary::Running { told, round } = sleeping.canary
            && told > 0
            && dispatched == 0
        {
            if confirmed > 0 {
                sleeping.canary = Canary::Passed;
                return true;
            }
            if round < MAX_CANARIES {
                sleeping.canary = Canary::Running { told: 0, round: round + 1 };
                return true;
            }
            let machines = if limit == 1 { "machine".to_owned() } else { format!("{limit} machines") };
            let why = format!(
                "{round} times a canary of one {machines} was told to sleep, and none did; nobody else is told before it is tried again"
            );
            return self.cause(now, Cause::Disobeyed, why.into());
        }
        sleeping.heard_at = (self.awaited == 0).then(|| sleeping.heard_at.unwrap_or(now));
        let waits_until = sleeping.heard_at.map(|heard| later(heard, self.terms.quiet_limit));
        if open > 0 && waits_until.is_none_or(|until| now < until) {
            (sleeping.settled_at, sleeping.quiet_at) = (None, None);
            return false;
        }
        // A lockout that has given its receipt waits for a person.
        if sleeping.operation.is_none() {
            return false;
        }
        let settled_at = *sleeping.settled_at.get_or_insert(now);
        let known = sleeping.quiet_at;
        if confirmed == 0 && self.phase() == Phase::Draining {
            return self.has_nobody_to_tell(now, told[StageKind::Failed as usize])
                || self.cause(now, Cause::Disobeyed, "no device could be put to sleep".into());
        }
        let quiet_at = known.unwrap_or_else(|| self.quiet_at(settled_at));
        if let State::Draining(sleeping) | State::Lockout(sleeping) = &mut self.state {
            sleeping.quiet_at = Some(quiet_at);
        }
        if now < quiet_at {
            return false;
        }
        let why = format!("{confirmed} of {touched} devices measured asleep, no share under way");
        if self.phase() == Phase::Lockout {
            self.close_lockout(now);
            return false;
        }
        self.cause(now, Cause::Settled, why.into())
    }

    /// Nobody was told and all that are seen and could be told draw nothing, by their own doing: the group sleeps, and nobody slept for it.
    fn has_nobody_to_tell(&mut self, now: Timestamp, failed: usize) -> bool {
        let idle = self.slots.iter().filter(|slot| slot.device.is_idle()).count();
        let Some(operation) = self.state.operation() else { return false };
        if idle == 0 || failed > 0 || operation.has_commanded() {
            return false;
        }
        operation.moves_nobody();
        let (of, draw) = (self.slots.len(), if idle == 1 { "draws" } else { "draw" });
        self.cause(
            now,
            Cause::Settled,
            format!("nobody had to be told: {idle} of {of} devices {draw} nothing as it is").into(),
        )
    }

    /// When no share is under way, as far as is known; at the latest when patience ends. What was found until the last device slept is known
    /// once shares were counted after that.
    fn quiet_at(&self, settled_at: Timestamp) -> Timestamp {
        let latest = later(settled_at, self.terms.quiet_limit);
        if self.counted.is_none_or(|counted| counted < settled_at) {
            return latest;
        }
        let asleep = || {
            let devices = self.slots.iter().map(|slot| &slot.device);
            devices.filter(|device| device.goal() == Goal::Sleep && matches!(device.stage(), Stage::Confirmed { .. }))
        };
        if asleep().any(|device| device.in_flight() > 0) {
            return latest;
        }
        let last = asleep().filter_map(|device| device.last_submit()).max();
        last.map_or(settled_at, |last| later(last, self.terms.patience.quiet)).min(latest)
    }

    fn is_canary_full(&self) -> bool {
        match &self.state {
            State::Draining(sleeping) | State::Lockout(sleeping) => {
                matches!(sleeping.canary, Canary::Running { told, .. } if told >= self.terms.canary.max(1))
            }
            _ => false,
        }
    }

    fn count_canary(&mut self) {
        if let State::Draining(sleeping) | State::Lockout(sleeping) = &mut self.state
            && let Canary::Running { told, .. } = &mut sleeping.canary
        {
            *told += 1;
        }
    }

    /// Lockout stays; what it had to put to sleep is done.
    fn close_lockout(&mut self, now: Timestamp) {
        if let State::Lockout(sleeping) = &mut self.state
            && let Some(operation) = sleeping.operation.take()
        {
            self.close(now, operation, Outcome::Done);
            self.out.push_back(Output::Dormant);
        }
    }
}
