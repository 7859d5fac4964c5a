//! What is to be written, what is being written, and what may happen once it is.
//!
//! Knows no disk: it numbers batches and waits for the word. One batch is under way at a time; what comes meanwhile is the next one, so
//! that a slow disk makes batches longer and not more of them.

use super::words::{Output, Write};
use crate::power::ledger::Entry;

/// What waits for a line on disk.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum After {
    /// Something is free that was not: the ledger may take it over.
    Free(Entry),
    /// A group's record with this number is safe.
    Persisted(usize, u64),
    /// The first so many devices of a group's question may wake.
    Permit { group: usize, ask: u64, allowed: usize },
    /// A lease may be told.
    Given { block: usize, lease: crate::power::ledger::LeaseId },
}

/// Lines on their way to the disk. Bounded by what groups and ledger have to say: an entry per device and lease, a record per group.
#[derive(Debug, Default)]
pub(super) struct Book {
    number: u64,
    /// What follows the batch that is being written.
    outstanding: Option<Vec<After>>,
    next: Vec<Write>,
    afters: Vec<After>,
}

impl Book {
    /// Whether nothing is being written: only then is power given out.
    pub fn is_settled(&self) -> bool {
        self.outstanding.is_none()
    }

    /// Adds a line; a group's record takes the place of one that nobody has begun to write.
    pub fn write(&mut self, write: Write) {
        if let Write::Record(group, _) = &write
            && let Some(old) = self.next.iter_mut().find(|old| matches!(old, Write::Record(other, _) if other == group))
        {
            *old = write;
            return;
        }
        self.next.push(write);
    }

    /// What may happen once all lines so far are on disk.
    pub fn then(&mut self, after: After) {
        // The newest says it of the older ones, too: a disk that fails for a day has one of each group.
        if let After::Persisted(group, _) = &after {
            self.afters.retain(|old| !matches!(old, After::Persisted(other, _) if other == group));
        }
        self.afters.push(after);
    }

    /// The next batch, if there is one and none is under way.
    pub fn flush(&mut self) -> Option<Output> {
        if self.outstanding.is_some() || self.next.is_empty() {
            return None;
        }
        self.number += 1;
        self.outstanding = Some(std::mem::take(&mut self.afters));
        Some(Output::Write { number: self.number, writes: std::mem::take(&mut self.next) })
    }

    /// The batch with this number is on disk: what may happen now. Nothing for a number that is not under way.
    pub fn written(&mut self, number: u64) -> Vec<After> {
        if number == self.number { self.outstanding.take().unwrap_or_default() } else { Vec::new() }
    }
}
