//! What one source has said and still counts: a point in time that ages, or values that each hold from one time to another.

use std::ops::RangeInclusive;

use jiff::{SignedDuration, Timestamp};

use super::{CLOCK_SKEW, MAX_INTERVALS, Observation, Outcome, Refusal, When};

/// Ends that lie so close before the next begin were meant to be the same: some APIs begin intervals at a second past the hour.
const JOIN: SignedDuration = SignedDuration::from_secs(2);

/// A value and when it holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    pub value: f64,
    pub from: Timestamp,
    /// `None` for a point: it ages.
    pub to: Option<Timestamp>,
}

impl Span {
    /// When it stops to count.
    pub fn until(&self, max_age: SignedDuration) -> Timestamp {
        self.to.unwrap_or_else(|| self.from.saturating_add(max_age).unwrap_or(Timestamp::MAX))
    }

    fn holds(&self, now: Timestamp, max_age: SignedDuration) -> bool {
        // A point is never from ahead of our clock, unless that was set back.
        self.from.duration_since(now) <= self.skew() && now < self.until(max_age)
    }

    /// How far ahead of our clock it may begin and holds already.
    fn skew(&self) -> SignedDuration {
        if self.to.is_none() { CLOCK_SKEW } else { SignedDuration::ZERO }
    }
}

/// What one source has said.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Held {
    /// By begin, without overlap: what holds, what will, and the last that did. A point is alone.
    spans: Vec<Span>,
    /// The newest time that a source has said itself: nothing before it is taken any more.
    said: Option<Timestamp>,
}

impl Held {
    /// Whether all of it is plausible.
    pub fn fits(&self, range: &RangeInclusive<f64>) -> bool {
        self.spans.iter().all(|span| range.contains(&span.value))
    }

    /// What counts now.
    pub fn fresh(&self, now: Timestamp, max_age: SignedDuration) -> Option<Span> {
        self.spans.iter().find(|span| span.holds(now, max_age)).copied()
    }

    /// What has counted last; `None` if all that is known is yet to come.
    pub fn last(&self, now: Timestamp) -> Option<Span> {
        self.spans.iter().rev().find(|span| span.to.is_none() || span.from <= now).copied()
    }

    /// The next begin or end after `now`.
    pub fn next_change(&self, now: Timestamp, max_age: SignedDuration) -> Option<Timestamp> {
        let edges = self.spans.iter().flat_map(|span| [span.from, span.until(max_age)]);
        edges.filter(|edge| *edge > now).min()
    }

    /// A value that holds from its moment on. Said again with the same time and value, a polled source has nothing new; a
    /// pushed one is a replay.
    pub fn take_point(&mut self, now: Timestamp, new: &Observation, is_push: bool) -> Result<Outcome, Refusal> {
        let said = match new.when {
            When::At(at) => Some(at),
            When::Now | When::During { .. } => None,
        };
        // What was taken of a time that is yet to come was taken before our clock was set back.
        let last = self.said.filter(|last| last.duration_since(now) <= CLOCK_SKEW);
        if let (Some(at), Some(last)) = (said, last)
            && at <= last
        {
            let is_same = at == last && self.spans.first().is_some_and(|span| span.value == new.value);
            return if is_same && !is_push { Ok(Outcome::Unchanged) } else { Err(Refusal::Replay { at, last }) };
        }
        debug_assert!(said.is_none_or(|at| at.duration_since(now) <= CLOCK_SKEW), "checked by the caller");
        // Who sends without a time after having sent with one can't be compared; what was said with a time still may not come
        // again.
        self.said = said.or(last);
        let from = said.map_or(now, |at| at.min(now));
        self.spans = vec![Span { value: new.value, from, to: None }];
        Ok(Outcome::Accepted)
    }

    /// Values for several times: they take the place of what was held for these times and after them, and leave what was held
    /// before.
    pub fn take_intervals(&mut self, now: Timestamp, mut new: Vec<Span>) -> Result<Outcome, Refusal> {
        new.sort_by_key(|span| span.from);
        for at in 1..new.len() {
            let (before, next) = (new[at - 1], new[at]);
            let end = before.to.unwrap_or(before.from);
            if next.from < end {
                return Err(Refusal::Overlap(next.from));
            }
            if next.from.duration_since(end) <= JOIN {
                new[at - 1].to = Some(next.from);
            }
        }
        new.retain(|span| span.to.is_some_and(|to| to > now));
        let Some(first) = new.first().copied() else { return Err(Refusal::Past) };
        let mut kept: Vec<Span> = self.spans.iter().filter(|span| span.to.is_some()).copied().collect();
        kept.retain(|span| span.from < first.from);
        if let Some(last) = kept.last_mut() {
            let end = last.to.unwrap_or(last.from);
            if end > first.from || first.from.duration_since(end) <= JOIN {
                last.to = Some(first.from);
            }
        }
        // Of what is over, the last is enough to say what was.
        let over = kept.iter().filter(|span| span.to.is_some_and(|to| to <= now)).count();
        kept.drain(..over.saturating_sub(1));
        kept.extend(new);
        if kept.len() > MAX_INTERVALS {
            return Err(Refusal::TooMany(kept.len()));
        }
        if self.counting(now) == counting(&kept, now) {
            return Ok(Outcome::Unchanged);
        }
        self.spans = kept;
        Ok(Outcome::Accepted)
    }

    /// What holds or will.
    fn counting(&self, now: Timestamp) -> Vec<Span> {
        counting(&self.spans, now)
    }
}

fn counting(spans: &[Span], now: Timestamp) -> Vec<Span> {
    spans.iter().filter(|span| span.to.is_some_and(|to| to > now)).copied().collect()
}
