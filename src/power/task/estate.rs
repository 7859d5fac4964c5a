//! What one power side leaves to the next inside the same proxy: another config begins it anew, and nobody who asks, looks or sleeps is to
//! notice more of it than that it takes a moment.
//!
//! | left | so that |
//! |---|---|
//! | the ledger's book, open and locked | no other controller comes between; its epoch is the next one |
//! | the way to it, and where it is shown | who has the way has it still: what is asked meanwhile waits, and is answered by the next |
//! | events, and what was counted | counters never go back, and nothing that was told is told again |
//! | which connections are known to sleep, and of which groups | the next one lets them, and can wake them |
//!
//! All else is in the book, as for a start. A side that ended by itself leaves nothing; where the config has nothing more to move, what was
//! counted waits for the next that has.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use tokio::sync::{mpsc, watch};

use crate::{
    power::{
        Ask, Power,
        control::{OverCap, PastEvent, PowerSnapshot, PowerTotals},
        journal::Journal,
    },
    router::ConnectionId,
};

/// What a power side leaves.
#[derive(Debug, Default)]
pub struct Estate {
    pub(super) way: Option<Way>,
    pub(super) past: Past,
    pub(super) journal: Option<Journal>,
}

/// The way to a side, and where it is shown.
#[derive(Debug)]
pub(super) struct Way {
    pub power: Power,
    pub asks: mpsc::Receiver<Ask>,
    pub snapshot: watch::Sender<Arc<PowerSnapshot>>,
}

/// What was told and counted since the start of the proxy.
#[derive(Debug, Clone, Default)]
pub(super) struct Past {
    /// The newest first.
    pub events: VecDeque<PastEvent>,
    pub totals: PowerTotals,
    pub over_cap: OverCap,
    /// Connections that the workers know to sleep.
    pub asleep: HashSet<ConnectionId>,
    /// Names of the groups whose connections are let sleep.
    pub dormant: HashSet<Arc<str>>,
}

impl Estate {
    /// Nobody follows for now: the lock is free, who asks is told that nobody is there. The connections that are known to sleep, which
    /// nobody would wake any more.
    pub fn close(&mut self) -> Vec<ConnectionId> {
        (self.way, self.journal) = (None, None);
        self.past.dormant.clear();
        self.past.asleep.drain().collect()
    }
}
