//! Watts that were measured, and the last few of them.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::reason::{Ignored, NotYet};
use crate::profit::{Ratio, Watts};

/// Power at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// How much.
    pub watts: Watts,
    /// By our clock, and not later than it was measured: when it was asked for, not when the answer came.
    pub taken_at: Timestamp,
}

/// The last readings of one thing, the newest last.
#[derive(Debug, Clone)]
pub(super) struct Readings {
    last: VecDeque<Reading>,
    kept: usize,
    compared: Option<Compared>,
}

/// What a thing has to say about one reading of the meter.
#[derive(Debug, Clone, Copy)]
struct Compared {
    at: Timestamp,
    /// The least that was read of it, from the last reading before.
    least: Watts,
    /// The most.
    most: Watts,
    /// Whether it was read after.
    is_answered: bool,
}

impl Readings {
    pub(super) fn new(kept: u8) -> Self {
        Self { last: VecDeque::new(), kept: usize::from(kept.max(1)), compared: None }
    }

    pub(super) fn newest(&self) -> Option<Reading> {
        self.last.back().copied()
    }

    /// The newest, if it is not too old.
    pub(super) fn fresh(&self, now: Timestamp, max_age: SignedDuration) -> Option<Watts> {
        self.newest().filter(|reading| now.duration_since(reading.taken_at) <= max_age).map(|reading| reading.watts)
    }

    /// Takes one that is later than all before.
    pub(super) fn push(&mut self, now: Timestamp, reading: Reading) -> Result<(), Ignored> {
        in_order(now, self.newest(), reading)?;
        if self.last.len() == self.kept {
            self.last.pop_front();
        }
        self.last.push_back(reading);
        if let Some(compared) = &mut self.compared {
            compared.least = compared.least.min(reading.watts);
            compared.most = compared.most.max(reading.watts);
            compared.is_answered |= reading.taken_at > compared.at;
        }
        Ok(())
    }

    /// Begins to compare with a reading of the meter.
    pub(super) fn compare(&mut self, at: Timestamp, max_age: SignedDuration) {
        let before = self.last.iter().rev().find(|reading| reading.taken_at <= at);
        let before = before.filter(|reading| at.duration_since(reading.taken_at) <= max_age);
        let before = before.map_or(Watts::ZERO, |before| before.watts);
        let later = || self.last.iter().filter(|reading| reading.taken_at > at).map(|reading| reading.watts);
        let (least, most) = (later().fold(before, Watts::min), later().fold(before, Watts::max));
        let is_answered = self.newest().is_some_and(|newest| newest.taken_at > at);
        self.compared = Some(Compared { at, least, most, is_answered });
    }

    /// Whether it was read after the reading of the meter that it is compared with.
    pub(super) fn is_answered(&self) -> bool {
        self.compared.is_none_or(|compared| compared.is_answered)
    }

    /// The most that it drew around the time that is compared; `None` if it was not read after it.
    pub(super) fn ceiling(&self) -> Option<Watts> {
        self.compared.filter(|compared| compared.is_answered).map(|compared| compared.most)
    }

    /// Ends the comparison: the least that it drew around that time, nothing if it was not read on both sides of it.
    pub(super) fn floor(&mut self) -> Watts {
        self.compared.take().filter(|compared| compared.is_answered).map_or(Watts::ZERO, |compared| compared.least)
    }

    /// The newest, if the last ones were all taken after a time and all show no more than `allowed`.
    pub(super) fn prove(&self, after: Timestamp, allowed: Watts) -> Result<Reading, NotYet> {
        let later = || self.last.iter().filter(|reading| reading.taken_at > after);
        if let Some(high) = later().rev().find(|reading| reading.watts > allowed) {
            return Err(NotYet::Draws { watts: high.watts, allowed });
        }
        match (later().count(), self.newest()) {
            (have, Some(newest)) if have >= self.kept => Ok(newest),
            (have, _) => Err(NotYet::Readings { have, wanted: self.kept, after }),
        }
    }
}

/// Whether a reading may follow another: what is repeated or overtaken says nothing new.
pub(super) fn in_order(now: Timestamp, newest: Option<Reading>, reading: Reading) -> Result<(), Ignored> {
    if reading.taken_at > now {
        return Err(Ignored::Future { ahead: reading.taken_at.duration_since(now) });
    }
    match newest {
        Some(newest) if reading.taken_at <= newest.taken_at => Err(Ignored::Old),
        _ => Ok(()),
    }
}

/// Watts at the site meter.
pub(super) fn at_meter(watts: Watts, overhead: Ratio) -> Watts {
    Watts::clamped(watts.get() * overhead.get())
}
