//! What one worker did in a minute, as the store takes it.

use std::sync::Arc;

use crate::router::{Judgements, Settled};

/// Counted since it was asked last.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Minute {
    /// Shares.
    pub shares: Judgements,
    /// Handed to pools.
    pub forwarded: u64,
    /// What pools said.
    pub settled: Settled,
    /// Its connections at the end.
    pub connections: u32,
}

impl Minute {
    /// Shares came.
    pub fn add(&mut self, shares: &Judgements, forwarded: u64) {
        self.shares.add(shares);
        self.forwarded += forwarded;
    }

    /// Another's counts as this one's.
    pub fn take_over(&mut self, other: &Self) {
        self.add(&other.shares, other.forwarded);
        self.settled.add(other.settled);
    }

    /// Nothing happened.
    pub fn is_idle(&self) -> bool {
        *self == Self { connections: self.connections, ..Self::default() }
    }
}

/// What a worker did in a minute, and where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct MinuteOf {
    /// Its name.
    pub worker: Arc<str>,
    /// Its power group.
    pub group: Option<Arc<str>>,
    /// Its route: position in the config.
    pub route: Option<usize>,
    /// What it did.
    pub minute: Minute,
}
