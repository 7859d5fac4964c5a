//! A ramp: how many watts may be commanded one way within any minute.
//!
//! Knows watts and times; does not know which way they go, or of which devices they are. Each command counts at its device's bound, so that
//! what is really moved is less. It counts from when it is given out, and for a minute from its call: calls that had to wait begin all at once. A window that slides, not a bucket: no minute, wherever it begins, has more than the ramp.

use std::{collections::VecDeque, time::Duration};

use jiff::Timestamp;

use crate::{
    power::device::later,
    profit::{LIMIT, Watts},
};

const MINUTE: Duration = Duration::from_secs(60);

/// Commands of the last minute against what it may have.
#[derive(Debug, Clone)]
pub(super) struct Ramp {
    per_minute: Watts,
    /// Bounded by the devices of the group times their tries within a minute.
    spent: VecDeque<(Timestamp, Watts)>,
    /// Given out, and not called yet.
    waiting: Watts,
}

impl Ramp {
    /// `biggest` is the biggest device: one machine is the smallest step there is, whatever the ramp says.
    pub fn new(per_minute: Watts, biggest: Watts) -> Self {
        Self { per_minute: per_minute.max(biggest), spent: VecDeque::new(), waiting: Watts::ZERO }
    }

    /// A device joins: one machine is the smallest step there is.
    pub fn fits(&mut self, biggest: Watts) {
        self.per_minute = self.per_minute.max(biggest);
    }

    /// What may be commanded now.
    pub fn room(&mut self, now: Timestamp) -> Watts {
        while self.spent.front().is_some_and(|(at, _)| later(*at, MINUTE) <= now) {
            self.spent.pop_front();
        }
        let spent: Watts = self.spent.iter().map(|(_, watts)| *watts).sum();
        self.per_minute.saturating_sub(spent + self.waiting)
    }

    /// `watts` are given out, and called some time later.
    pub fn hold(&mut self, watts: Watts) {
        self.waiting = self.waiting + watts;
    }

    /// They are called, or will never be.
    pub fn release(&mut self, watts: Watts) {
        self.waiting = self.waiting.saturating_sub(watts);
    }

    /// `watts` are called now.
    pub fn spend(&mut self, now: Timestamp, watts: Watts) {
        match self.spent.back_mut() {
            Some((at, sum)) if *at == now => *sum = *sum + watts,
            _ => self.spent.push_back((now, watts)),
        }
    }

    /// All of it may have been commanded by `now`; where there is no ramp ([`LIMIT`]), that holds nobody up.
    pub fn fill(&mut self, now: Timestamp) {
        if self.per_minute.get() < LIMIT {
            self.spend(now, self.per_minute);
        }
    }

    /// When there is more room than now; `None` if all is free.
    pub fn frees_at(&self) -> Option<Timestamp> {
        self.spent.front().map(|(at, _)| later(*at, MINUTE))
    }
}
