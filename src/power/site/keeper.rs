//! What is going on with an AI block: which of its leases were told, taken, used, asked back; and how patient one still is.
//!
//! Knows one block. What a lease is worth, and whether it is back, is the ledger's; this is the talk about it, which a crash may forget.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::words::BlockTerms;
use crate::{
    power::{
        device::later,
        ledger::{Lease, LeaseId},
    },
    profit::Watts,
};

/// Between two messages that say the same.
pub(super) const REPEAT: Duration = Duration::from_secs(5);

/// The same, where power is needed back at once.
pub(super) const REPEAT_URGENT: Duration = Duration::from_secs(1);

/// What a block that does not use what it was given waits at first before it is given any again.
const FIRST_BACKOFF: Duration = Duration::from_secs(60);

/// And at most.
const MAX_BACKOFF: Duration = Duration::from_secs(30 * 60);

/// What lies between the first word that a lease is not back and the second; it doubles.
const FIRST_ESCALATION: Duration = Duration::from_secs(60);

/// And at most.
const MAX_ESCALATION: Duration = Duration::from_secs(60 * 60);

/// A grant is worth its message from so many watts on.
const LEAST_GRANT_W: f64 = 1_000.0;

/// Or from such a share of the block on, whichever is more.
const LEAST_SHARE: f64 = 0.01;

/// Readings over its leases in a row, until a block is said to draw more than it may: one may be of the second in which a lease went.
pub(super) const OVERDRAWN_READINGS: u32 = 2;

/// The talk about a lease.
#[derive(Debug, Clone, Copy)]
pub(super) struct Talk {
    /// Its line is on disk.
    pub is_written: bool,
    /// Since when it can be used.
    pub since: Timestamp,
    /// When it is told again; `None` if it was answered.
    pub tell_at: Option<Timestamp>,
    pub is_taken: bool,
    /// More was drawn than without it.
    pub is_used: bool,
    pub back: Option<Back>,
    /// Its return is being written.
    pub is_returning: bool,
}

/// A lease is asked back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Back {
    pub since: Timestamp,
    pub deadline: Timestamp,
    pub is_urgent: bool,
    /// When it is said that it is not back, and what lies before the next time; `None` before the first.
    pub escalates: (Timestamp, Option<Duration>),
}

impl Talk {
    /// Of a lease that is new, or that an earlier life of this process gave.
    pub fn new(now: Timestamp, is_written: bool) -> Self {
        Self {
            is_written,
            since: now,
            tell_at: is_written.then_some(now),
            is_taken: false,
            is_used: false,
            back: None,
            is_returning: false,
        }
    }

    /// Whether the block has it, by its word or by its draw: a word may be lost.
    pub fn is_live(&self) -> bool {
        self.is_taken || self.is_used
    }
}

/// A block.
#[derive(Debug)]
pub(super) struct Keeper {
    pub terms: BlockTerms,
    /// What it should have; `None`: what it has.
    pub wanted: Option<Watts>,
    /// Of all leases that are not returned.
    pub talks: BTreeMap<LeaseId, Talk>,
    /// In its own words.
    pub state: Option<Box<str>>,
    /// Why it has no more.
    pub refused: Option<Box<str>>,
    /// Until then nothing more is given, and what lies before the next such time.
    backoff: Option<(Timestamp, Duration)>,
    /// Readings in a row over what it may draw.
    pub overdrawn: u32,
    /// When that is said again.
    pub overdrawn_again: Option<Timestamp>,
}

impl Keeper {
    pub fn new(terms: BlockTerms) -> Self {
        Self {
            terms,
            wanted: None,
            talks: BTreeMap::new(),
            state: None,
            refused: None,
            backoff: None,
            overdrawn: 0,
            overdrawn_again: None,
        }
    }

    /// It did not use what it was given: it gets nothing for a while, longer each time. How long.
    pub fn backs_off(&mut self, now: Timestamp) -> Duration {
        if let Some((until, last)) = self.backoff
            && until > now
        {
            return last;
        }
        let pause = self.backoff.map_or(FIRST_BACKOFF, |(_, last)| last.saturating_mul(2).min(MAX_BACKOFF));
        self.backoff = Some((later(now, pause), pause));
        pause
    }

    /// Until when it gets nothing.
    pub fn waits_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.backoff.map(|(until, _)| until).filter(|until| *until > now)
    }

    /// It draws so much: whatever it has leases for beside older ones, it uses.
    pub fn draws(&mut self, watts: Watts, leases: &[(LeaseId, Lease)]) {
        let mut before = Watts::ZERO;
        let (idle, tolerance) = (self.terms.rules.idle, self.terms.rules.tolerance.get());
        for (id, lease) in leases {
            let most = Watts::clamped(before.max(idle).get() * (1.0 + tolerance));
            before = before + lease.watts;
            if let Some(talk) = self.talks.get_mut(id).filter(|_| watts > most)
                && !std::mem::replace(&mut talk.is_used, true)
            {
                self.backoff = None;
            }
        }
    }

    /// Whether the return of one of its leases is being written.
    pub fn is_returning(&self) -> bool {
        self.talks.values().any(|talk| talk.is_returning)
    }

    /// Whether a lease was not used in the time that the block needs to start.
    pub fn is_unused(&self, now: Timestamp, id: LeaseId, lease: &Lease) -> bool {
        self.talks.get(&id).is_some_and(|talk| {
            let is_lapsed = !talk.is_live() && lease.expires <= now;
            let is_late = !talk.is_used && later(talk.since, self.terms.starts_within) <= now;
            talk.is_written && (is_lapsed || is_late)
        })
    }

    /// A lease is asked back: when it is to be back.
    pub fn asks_back(&mut self, now: Timestamp, id: LeaseId, is_urgent: bool) -> Timestamp {
        let (notice, returns_within) = (self.terms.notice, self.terms.returns_within);
        let wait =
            if is_urgent { self.terms.sheds_within.unwrap_or(returns_within) } else { returns_within.max(notice) };
        let talk = self.talks.entry(id).or_insert_with(|| Talk::new(now, true));
        let deadline = if is_urgent { now } else { later(now, notice) };
        let back =
            talk.back.get_or_insert(Back { since: now, deadline, is_urgent, escalates: (later(now, wait), None) });
        if is_urgent && !back.is_urgent {
            (back.is_urgent, back.deadline, back.since) = (true, now, now);
            back.escalates.0 = back.escalates.0.min(later(now, wait));
        }
        talk.tell_at = Some(now);
        back.deadline
    }

    /// Whether it is to be said now that a lease is not back; and whether that was said before.
    pub fn escalates(&mut self, now: Timestamp, id: LeaseId) -> Option<bool> {
        let back = self.talks.get_mut(&id)?.back.as_mut()?;
        let (at, pause) = back.escalates;
        if now < at {
            return None;
        }
        let next = pause.map_or(FIRST_ESCALATION, |pause| pause.saturating_mul(2).min(MAX_ESCALATION));
        back.escalates = (later(now, next), Some(next));
        Some(pause.is_some())
    }

    /// How long after its last word a lease is told again.
    pub fn repeats(&self, id: LeaseId) -> Duration {
        let is_urgent = self.talks.get(&id).and_then(|talk| talk.back).is_some_and(|back| back.is_urgent);
        if is_urgent { REPEAT_URGENT } else { REPEAT }
    }

    /// What a grant is at least, so that it is worth it.
    pub fn least(&self) -> Watts {
        Watts::clamped(LEAST_GRANT_W.max(self.terms.rules.capacity.get() * LEAST_SHARE))
    }

    /// The most of `watts` that is a multiple of its step.
    pub fn in_steps(&self, watts: Watts) -> Watts {
        let step = self.terms.step.get();
        if step > 0.0 { Watts::clamped((watts.get() / step + 1e-9).floor() * step) } else { watts }
    }
}

/// Which of some leases to ask back so that so many watts come: as few watts as that takes, of equals the last.
pub(super) fn choose(mut live: Vec<(LeaseId, Watts)>, mut need: Watts) -> Vec<LeaseId> {
    let mut chosen = Vec::new();
    while need > Watts::ZERO && !live.is_empty() {
        live.sort_by(|a, b| a.1.get().total_cmp(&b.1.get()).then(b.0.cmp(&a.0)));
        let covers = live.iter().position(|(_, watts)| *watts >= need);
        let index = covers.unwrap_or(live.len() - 1);
        // Of equals that do not cover, the last given is the first of its size.
        let size = live[index].1;
        let index = live.iter().position(|(_, watts)| *watts == size).unwrap_or(index);
        let (id, watts) = live.remove(index);
        need = need.saturating_sub(watts);
        chosen.push(id);
    }
    chosen
}

/// `now` and a lease's term.
pub(super) fn expiry(now: Timestamp, term: SignedDuration) -> Timestamp {
    now.checked_add(term).unwrap_or(Timestamp::MAX)
}
