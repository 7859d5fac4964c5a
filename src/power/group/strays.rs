//! Those that a group mines without: they did not wake, are not seen, or stopped by themselves.
//!
//! Runs in MINING. The ledger is asked and the ramp is kept as in a wake; there is no receipt, as the group goes on mining.
//!
//! | a stray | then |
//! |---|---|
//! | failed | told again after `fault_retry`, each time twice as late, up to [`MAX_BACKOFF`] times that |
//! | not seen | told once it is seen |
//! | draws nothing for long | told to wake; left alone at the third time |
//! | is put to sleep by somebody else | left alone until the group is ordered anew |
//!
//! Each time they are told again they are named, so that the sentence gets rarer as well. A machine that is to be commanded is on disk before.
//!
//! Limits: [`MAX_NAMED`] machines are named.

use std::time::Duration;

use jiff::Timestamp;

use super::{Group, State, table::Cause, words::Event};
use crate::power::device::{Goal, MAX_BACKOFF, Stage, StageKind, later};

/// Machines that are named in one sentence.
const MAX_NAMED: usize = 20;

/// When strays are told again.
#[derive(Debug, Default)]
pub(super) struct Strays {
    /// `None` while there are none, or some are on their way.
    again_at: Option<Timestamp>,
    /// How often they were told again.
    rounds: u32,
    /// Until when the ledger's no holds.
    refused: Option<Timestamp>,
    /// A group that was to sleep and had nobody waits so long for more, once its first machine is found: they come one after the other.
    found_until: Option<Timestamp>,
}

impl Strays {
    /// When time changes something.
    pub fn due(&self) -> Option<Timestamp> {
        self.again_at.or(self.found_until)
    }

    /// A machine was found; others are waited for until then.
    pub fn waits_for_more(&mut self, until: Timestamp) {
        self.found_until = Some(until);
    }

    /// When the ledger may be asked.
    pub fn asks_at(&self) -> Timestamp {
        self.refused.unwrap_or(Timestamp::MIN)
    }

    pub fn refused(&mut self) -> &mut Option<Timestamp> {
        &mut self.refused
    }

    /// Until the next round.
    fn pause(&self, first: Duration) -> Duration {
        first.saturating_mul(2_u32.saturating_pow(self.rounds).min(MAX_BACKOFF))
    }
}

impl Group {
    /// Looks after those that it mines without; whether it moved on.
    pub(super) fn mind_strays(&mut self, now: Timestamp) -> bool {
        if self.order.goal == Goal::Sleep {
            return self.begins_at_last(now);
        }
        if self.is_unrecorded {
            self.persist();
        }
        if !self.has_touched() {
            if let State::Mining { strays, .. } = &mut self.state {
                *strays = Strays::default();
            }
            return false;
        }
        // Where nothing was ordered, somebody else may command.
        if self.is_ordered {
            self.ask(now);
            self.send_wakes(now);
            self.tell_strays_again(now);
        }
        false
    }

    /// Its first machines were found, and are seen to mine.
    fn begins_at_last(&mut self, now: Timestamp) -> bool {
        let State::Mining { strays, .. } = &self.state else { return false };
        let waits = strays.found_until.is_some_and(|until| now < until);
        let is_anybody = self.has_touched() || self.slots.iter().any(|slot| slot.device.is_candidate());
        let cause = if self.order.urgent { Cause::Emergency } else { Cause::Sleep };
        !waits && is_anybody && self.cause(now, cause, self.order.why.clone())
    }

    fn tell_strays_again(&mut self, now: Timestamp) {
        let told = self.counts(Goal::Mine);
        let is_open = told[StageKind::Pending as usize] + told[StageKind::Dispatched as usize] > 0;
        let first = self.terms.fault_retry;
        let State::Mining { strays, .. } = &mut self.state else { return };
        if is_open {
            strays.again_at = None;
            return;
        }
        match strays.again_at {
            None => {
                let again_in = strays.pause(first);
                strays.again_at = Some(later(now, again_in));
                self.name_strays(again_in);
            }
            Some(at) if at <= now => {
                strays.rounds += 1;
                strays.again_at = None;
                self.retry_strays(now);
            }
            Some(_) => {}
        }
    }

    fn name_strays(&mut self, again_in: Duration) {
        let strays = || self.slots.iter().map(|slot| &slot.device).filter(|device| !device.is_untouched());
        let devices: Vec<Box<str>> = strays().take(MAX_NAMED).map(|device| device.spec().name.clone()).collect();
        let (group, more, of) = (self.name.clone(), strays().count() - devices.len(), self.slots.len());
        self.tell(Event::Astray { group, devices, more, of, again_in });
    }

    fn retry_strays(&mut self, now: Timestamp) {
        for index in 0..self.slots.len() {
            if matches!(self.slots[index].device.stage(), Stage::Failed { is_foreign: false }) {
                self.touch(now, index, |device, _| device.retry(now));
            }
        }
        self.ask(now);
        self.send_wakes(now);
    }
}
