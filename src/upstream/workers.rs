//! The worker names that were authorized on one pool connection, where the pool is told each miner's.
//!
//! A name is authorized when its first share is there, and its shares wait for the pool's word.
//!
//! | the name is | its share |
//! |---|---|
//! | authorized | is sent |
//! | new, or was refused over [`ASK_AGAIN`] ago | waits, and the name is asked for |
//! | asked for | waits; beyond [`MAX_WAITING`] there is no room |
//! | refused | is rejected with the pool's words |
//! | one more than [`MAX_NAMES`] | is sent under the connection's own login: credited to the account, not to the worker |

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::carried::Kept;
use crate::stratum::PoolError;

/// Above the default of miners on one connection; 4 MiB at the most.
pub(super) const MAX_NAMES: usize = 16_384;

/// Shares of all names that wait: a farm's first shares after a failover, while the pool thinks about their names.
pub(super) const MAX_WAITING: usize = 8192;

/// A name may have been refused because the pool's database was away.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(300);

/// What to do with a share.
#[derive(Debug)]
pub(super) enum Place {
    Send(Kept),
    SendAsLogin(Kept),
    /// It waits; ask for its name.
    Ask,
    Waits,
    NoRoom(Kept),
    Refused(Kept, PoolError),
}

#[derive(Debug)]
enum Standing {
    Asked(Vec<Kept>),
    Authorized,
    Refused { error: PoolError, since: Instant },
}

#[derive(Debug, Default)]
pub(super) struct Workers {
    names: HashMap<Arc<str>, Standing>,
    waiting: usize,
}

impl Workers {
    /// Finds the place of a share of this name.
    pub fn place(&mut self, now: Instant, name: &Arc<str>, kept: Kept) -> Place {
        let is_full = self.names.len() >= MAX_NAMES;
        match self.names.get_mut(name) {
            Some(Standing::Authorized) => Place::Send(kept),
            Some(Standing::Refused { error, since }) if now < *since + ASK_AGAIN => Place::Refused(kept, error.clone()),
            None if is_full => Place::SendAsLogin(kept),
            _ if self.waiting >= MAX_WAITING => Place::NoRoom(kept),
            Some(Standing::Asked(shares)) => {
                shares.push(kept);
                self.waiting += 1;
                Place::Waits
            }
            Some(Standing::Refused { .. }) | None => {
                self.names.insert(name.clone(), Standing::Asked(vec![kept]));
                self.waiting += 1;
                Place::Ask
            }
        }
    }

    /// The pool has said whether the name may submit; yields the shares that waited for it.
    pub fn answered(&mut self, now: Instant, name: &Arc<str>, answer: &Result<(), PoolError>) -> Vec<Kept> {
        let standing = match answer {
            Ok(()) => Standing::Authorized,
            Err(error) => Standing::Refused { error: error.clone(), since: now },
        };
        let before = self.names.insert(name.clone(), standing);
        self.waiters(before)
    }

    /// The pool has not said a word; the next share asks again.
    pub fn unanswered(&mut self, name: &Arc<str>) -> Vec<Kept> {
        let before = self.names.remove(name);
        self.waiters(before)
    }

    /// The connection is gone.
    pub fn into_waiting(self) -> impl Iterator<Item = Kept> {
        self.names.into_values().flat_map(|standing| match standing {
            Standing::Asked(shares) => shares,
            _ => Vec::new(),
        })
    }

    fn waiters(&mut self, standing: Option<Standing>) -> Vec<Kept> {
        let Some(Standing::Asked(shares)) = standing else { return Vec::new() };
        self.waiting -= shares.len();
        shares
    }
}
