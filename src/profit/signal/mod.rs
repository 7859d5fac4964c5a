//! The signal book: what every source of every signal said last, what of it may be acted on now, and what was refused.
//!
//! Knows values, ages and ranges; does not know where a value came from, what it is worth, or what is done without one. `now` is
//! an argument everywhere.
//!
//! ```text
//! source ── Observation ──► refused? ── no ──► held (a point with max_age, or intervals) ──┐
//! source ── Observation ──► refused? ── yes ─► last refusal, counted; what is held stays   ├─ median, spread ──► Reading
//! source ── …                                                                             ──┘
//! ```
//!
//! | observation | refused as |
//! |---|---|
//! | NaN or infinite; zero where that is impossible; out of the plausible range | `not_finite`, `zero`, `range` |
//! | a timestamp ahead of our clock, or older than the last one (replay), or older than `max_age` | `future`, `replay`, `old` |
//! | an interval that ends before it begins, two values for one time, more than [`MAX_INTERVALS`] | `interval`, `overlap`, `too_many` |
//! | what never became a value: an answer that can't be read, a source that can't be reached | as the source says |
//!
//! Several sources: the median of those that are fresh; further apart than `max_spread`, the reading is split. A price that
//! holds from one time to another is fresh while it holds, however long ago it was published; any other for `max_age`. A signal
//! of which nothing was ever accepted is never stale.
//!
//! Limits: [`MAX_INTERVALS`] values for a source; refusals are counted under fixed words.

mod held;
mod refusal;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use self::held::{Held, Span};
pub use self::refusal::Refusal;
use super::{Quantity, Reading};
use crate::config::{Class, Signal, SourceKind, Spread};

/// Values of one source: six weeks of quarter hours.
pub const MAX_INTERVALS: usize = 4096;

/// How far a source's clock may be ahead of ours.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(30);

/// How far ahead an interval may begin: nobody sells power for a day that is further away, a slip in the year is.
pub const FAR_AHEAD: SignedDuration = SignedDuration::from_hours(14 * 24);

/// One value, in the canonical unit of its signal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// The value.
    pub value: f64,
    /// When it holds.
    pub when: When,
}

/// When an observation holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At the moment it comes in: its source has no clock of its own.
    Now,
    /// At this moment, by its source's clock; for `max_age` from then on.
    At(Timestamp),
    /// From a time (inclusive) to another (exclusive).
    During {
        /// Begin.
        from: Timestamp,
        /// End.
        to: Timestamp,
    },
}

/// What became of an observation that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It says something new.
    Accepted,
    /// It says again what is held already.
    Unchanged,
}

/// Names a source: indexes into the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceId {
    /// Which signal.
    pub signal: usize,
    /// Which of its sources.
    pub source: usize,
}

/// What every signal says.
#[derive(Debug, Clone)]
pub struct SignalBook {
    signals: Vec<Entry>,
    /// What was counted of signals that the config has no more: their counts go on should they come back.
    gone: BTreeMap<Arc<str>, Counts>,
}

/// What was counted of a signal: accepted, and refused by reason.
type Counts = (u64, BTreeMap<&'static str, u64>);

#[derive(Debug, Clone)]
struct Entry {
    config: Signal,
    sources: Vec<Source>,
    accepted: u64,
    refused: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Clone, Default)]
struct Source {
    held: Held,
    /// When a value was last accepted or repeated, by our clock.
    heard_at: Option<Timestamp>,
    refusal: Option<(Timestamp, Refusal)>,
}

/// A signal as operators see it.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalView {
    /// From the config.
    pub name: Arc<str>,
    /// What it measures.
    pub quantity: Quantity,
    /// What is done without it.
    pub class: Class,
    /// What it says.
    pub reading: Reading<f64>,
    /// Observations that said something new.
    pub accepted: u64,
    /// Observations that were refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// In config order.
    pub sources: Vec<SourceView>,
}

/// A source as operators see it.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceView {
    /// `push`, `http_json` …
    pub kind: &'static str,
    /// What holds now, or held last, and from when.
    pub value: Option<(f64, Timestamp)>,
    /// Until when it holds.
    pub until: Option<Timestamp>,
    /// When it was last accepted or repeated, by our clock.
    pub heard_at: Option<Timestamp>,
    /// What was last refused, and when.
    pub refusal: Option<(Timestamp, Refusal)>,
}

impl SignalBook {
    /// Knows the signals and nothing of what they say.
    pub fn new(signals: &[Signal]) -> Self {
        let entry = |config: &Signal| Entry {
            sources: vec![Source::default(); config.sources.len()],
            config: config.clone(),
            accepted: 0,
            refused: BTreeMap::new(),
        };
        Self { signals: signals.iter().map(entry).collect(), gone: BTreeMap::new() }
    }

    /// Other signals from now on. What a source has said is kept, with its time, where it goes on in a signal of the same name and quantity
    /// and is plausible there; `is_same_money`: money is of the same currency. Counts go on by the signal's name.
    pub fn follow(&mut self, signals: &[Signal], is_same_money: bool) {
        let before = std::mem::replace(self, Self::new(signals));
        self.gone = before.gone;
        for old in before.signals {
            match self.signals.iter_mut().find(|entry| entry.config.name == old.config.name) {
                Some(entry) => entry.follow(old, is_same_money),
                None => drop(self.gone.insert(old.config.name, (old.accepted, old.refused))),
            }
        }
        for entry in &mut self.signals {
            if let Some((accepted, refused)) = self.gone.remove(&entry.config.name) {
                (entry.accepted, entry.refused) = (accepted, refused);
            }
        }
    }

    /// The index of a signal.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.signals.iter().position(|entry| &*entry.config.name == name)
    }

    /// Takes what a source says: one value, or several that hold at different times. Of several, those that can't be are
    /// refused and the others taken.
    ///
    /// # Errors
    /// The (last) refusal, if nothing could be taken. What is held stays as it was.
    pub fn observe(&mut self, now: Timestamp, id: SourceId, observations: &[Observation]) -> Result<Outcome, Refusal> {
        let Some(entry) = self.signals.get_mut(id.signal) else { return Err(Refusal::Unknown) };
        let Some(source) = entry.sources.get_mut(id.source) else { return Err(Refusal::Unknown) };
        let is_push = matches!(entry.config.sources[id.source].kind, SourceKind::Push);
        let mut refusals = Vec::new();
        let result = take(now, &entry.config, &mut source.held, observations, is_push, &mut refusals);
        if let Err(refusal) = &result {
            refusals.push(refusal.clone());
        } else {
            source.heard_at = Some(now);
        }
        for refusal in &refusals {
            *entry.refused.entry(refusal.label()).or_default() += 1;
        }
        if let Some(last) = refusals.pop() {
            source.refusal = Some((now, last));
        }
        entry.accepted += u64::from(result == Ok(Outcome::Accepted));
        result
    }

    /// Notes what a source could not make a value of. What is held stays as it was.
    pub fn refuse(&mut self, now: Timestamp, id: SourceId, refusal: Refusal) {
        let Some(entry) = self.signals.get_mut(id.signal) else { return };
        let Some(source) = entry.sources.get_mut(id.source) else { return };
        *entry.refused.entry(refusal.label()).or_default() += 1;
        source.refusal = Some((now, refusal));
    }

    /// What a signal says, in its canonical unit. A signal that does not exist has never said anything.
    pub fn reading(&self, now: Timestamp, signal: usize) -> Reading<f64> {
        self.signals.get(signal).map_or(Reading::Never, |entry| entry.reading(now))
    }

    /// When a reading changes by time alone: something becomes too old, a price ends or begins. Later than `now`.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let max_age = |entry: &Entry| entry.max_age();
        let changes = self.signals.iter().flat_map(|entry| {
            entry.sources.iter().filter_map(move |source| source.held.next_change(now, max_age(entry)))
        });
        changes.min()
    }

    /// All signals, in config order.
    pub fn view(&self, now: Timestamp) -> Vec<SignalView> {
        self.signals.iter().map(|entry| entry.view(now)).collect()
    }
}

impl Entry {
    fn follow(&mut self, old: Self, is_same_money: bool) {
        (self.accepted, self.refused) = (old.accepted, old.refused);
        if !is_same_money || old.config.quantity != self.config.quantity {
            return;
        }
        for (config, source) in self.config.sources.iter().zip(&mut self.sources) {
            let before = old.config.sources.iter().zip(&old.sources).find(|(other, _)| *other == config);
            if let Some((_, before)) = before.filter(|(_, before)| before.held.fits(&self.config.range)) {
                *source = before.clone();
            }
        }
    }

    fn max_age(&self) -> SignedDuration {
        signed(self.config.max_age)
    }

    fn reading(&self, now: Timestamp) -> Reading<f64> {
        let max_age = self.max_age();
        let mut fresh: Vec<Span> = self.sources.iter().filter_map(|source| source.held.fresh(now, max_age)).collect();
        fresh.sort_by(|a, b| a.value.total_cmp(&b.value));
        let (Some(low), Some(high)) = (fresh.first(), fresh.last()) else {
            let last = self.sources.iter().filter_map(|source| source.held.last(now)).max_by_key(|span| span.from);
            return last.map_or(Reading::Never, |span| Reading::Stale { value: span.value, observed_at: span.from });
        };
        let (low, high) = (low.value, high.value);
        let middle = fresh.len() / 2;
        let median = if fresh.len() % 2 == 1 {
            fresh[middle].value
        } else {
            f64::midpoint(fresh[middle - 1].value, fresh[middle].value)
        };
        let is_split = match self.config.max_spread {
            Some(Spread::Absolute(most)) => high - low > most,
            Some(Spread::Relative(most)) => high - low > most * median.abs(),
            // A verdict is one or the other: there is nothing between.
            None => self.config.quantity == Quantity::Verdict && median != low && median != high,
        };
        if is_split {
            return Reading::Split { low, high };
        }
        // As old as the oldest that it is made of.
        let observed_at = fresh.iter().map(|span| span.from).min().unwrap_or(now);
        Reading::Fresh { value: median, observed_at }
    }

    fn view(&self, now: Timestamp) -> SignalView {
        let source = |(config, source): (&crate::config::SignalSource, &Source)| {
            let span = source.held.fresh(now, self.max_age()).or_else(|| source.held.last(now));
            SourceView {
                kind: config.kind.label(),
                value: span.map(|span| (span.value, span.from)),
                until: span.map(|span| span.until(self.max_age())),
                heard_at: source.heard_at,
                refusal: source.refusal.clone(),
            }
        };
        SignalView {
            name: self.config.name.clone(),
            quantity: self.config.quantity,
            class: self.config.class,
            reading: self.reading(now),
            accepted: self.accepted,
            refused: self.refused.clone(),
            sources: self.config.sources.iter().zip(&self.sources).map(source).collect(),
        }
    }
}

/// Puts observations into what is held.
fn take(
    now: Timestamp,
    config: &Signal,
    held: &mut Held,
    observations: &[Observation],
    is_push: bool,
    refusals: &mut Vec<Refusal>,
) -> Result<Outcome, Refusal> {
    let mut spans = Vec::new();
    let mut point = None;
    let mut last = None;
    if observations.len() > MAX_INTERVALS {
        return Err(Refusal::TooMany(observations.len()));
    }
    for observation in observations {
        match checked(now, config, observation) {
            Err(refusal) => refusals.extend(last.replace(refusal)),
            Ok(()) => match observation.when {
                When::During { from, to } => spans.push(Span { value: observation.value, from, to: Some(to) }),
                // Of several points, the newest counts.
                When::Now | When::At(_) => point = Some(observation),
            },
        }
    }
    let outcome = match point {
        Some(observation) if spans.is_empty() => held.take_point(now, observation, is_push),
        _ if spans.is_empty() => Err(last.take().unwrap_or(Refusal::Nothing)),
        _ => held.take_intervals(now, spans),
    };
    refusals.extend(last);
    outcome
}

fn checked(now: Timestamp, config: &Signal, observation: &Observation) -> Result<(), Refusal> {
    let value = observation.value;
    if !value.is_finite() {
        return Err(Refusal::NotFinite);
    }
    if value == 0.0 && !config.quantity.may_be_zero() {
        return Err(Refusal::Zero);
    }
    let is_between = config.quantity == Quantity::Verdict && value != 0.0 && value != 1.0;
    if is_between || !config.range.contains(&value) {
        return Err(Refusal::Range { value, low: *config.range.start(), high: *config.range.end() });
    }
    match observation.when {
        When::Now => Ok(()),
        When::At(at) if at.duration_since(now) > CLOCK_SKEW => Err(Refusal::Future(at)),
        When::At(at) if now.duration_since(at) >= signed(config.max_age) => Err(Refusal::Old(at)),
        When::At(_) => Ok(()),
        When::During { from, to } if from >= to => Err(Refusal::Interval { from, to }),
        When::During { from, .. } if from.duration_since(now) > FAR_AHEAD => Err(Refusal::Future(from)),
        When::During { .. } => Ok(()),
    }
}

/// A config's duration for sums with timestamps. Config bounds it to days.
fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
