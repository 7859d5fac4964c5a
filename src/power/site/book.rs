//! What is to be written, what is being written, and what may happen once it is.
//!
//! Knows no disk: it numbers batches and waits for the word. One batch is under way at a time; what comes meanwhile is the next one, so
//! that a slow disk makes batches longer and not more of them. What nobody waits for, as what readings of thousands of devices say, is
//! gathered for [`GATHER`]: each batch is an fsync.

use std::time::Duration;

use jiff::Timestamp;

use super::words::{Output, Write};
use crate::power::{device::later, ledger::Entry};

/// How long lines wait for others that nobody waits for. A tenth of the time between two readings of a device on its way: what is free
/// is lent no later for it that anybody would see.
const GATHER: Duration = Duration::from_millis(200);

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
    /// Since when lines are gathered.
    gathers_since: Option<Timestamp>,
    /// Whether somebody waits for the next batch.
    is_waited_for: bool,
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
        self.is_waited_for = true;
        self.next.push(write);
    }

    /// Adds a line that nobody waits for.
    pub fn gather(&mut self, now: Timestamp, entry: Entry) {
        self.gathers_since.get_or_insert(now);
        self.next.push(Write::Entry(entry));
    }

    /// When lines have been gathered for long enough; `None` while something else decides when they go out.
    pub fn gathers_until(&self) -> Option<Timestamp> {
        let waits = self.is_settled() && !self.is_waited_for;
        self.gathers_since.filter(|_| waits).map(|since| later(since, GATHER))
    }

    /// What may happen once all lines so far are on disk.
    pub fn then(&mut self, after: After) {
        // The newest says it of the older ones, too: a disk that fails for a day has one of each group.
        if let After::Persisted(group, _) = &after {
            self.afters.retain(|old| !matches!(old, After::Persisted(other, _) if other == group));
        }
        self.afters.push(after);
    }

    /// The next batch, if there is one, none is under way, and no more is gathered.
    pub fn flush(&mut self, now: Timestamp) -> Option<Output> {
        let is_early = self.gathers_until().is_some_and(|until| now < until);
        if self.outstanding.is_some() || self.next.is_empty() || is_early {
            return None;
        }
        (self.gathers_since, self.is_waited_for) = (None, false);
        self.number += 1;
        self.outstanding = Some(std::mem::take(&mut self.afters));
        Some(Output::Write { number: self.number, writes: std::mem::take(&mut self.next) })
    }

    /// The batch with this number is on disk: what may happen now. Nothing for a number that is not under way.
    pub fn written(&mut self, number: u64) -> Vec<After> {
        if number == self.number { self.outstanding.take().unwrap_or_default() } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        power::ledger::{Booking, DeviceId},
        profit::Watts,
    };

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millisecond).unwrap()
    }

    fn freed(device: usize) -> Entry {
        let device = DeviceId::from(&*format!("rig-{device}"));
        Entry { at: at(0), what: Booking::Freed { device, watts: Watts::ZERO } }
    }

    fn lines(output: Option<Output>) -> usize {
        match output {
            Some(Output::Write { writes, .. }) => writes.len(),
            _ => 0,
        }
    }

    #[test]
    fn lines_of_readings_are_one_batch_and_go_out_with_the_first_line_that_somebody_waits_for() {
        let mut book = Book::default();
        for device in 0..150 {
            book.gather(at(device), freed(device as usize));
            assert_eq!(lines(book.flush(at(device))), 0, "line {device} waits for more");
        }
        assert_eq!(book.gathers_until(), Some(at(200)));
        assert_eq!(lines(book.flush(at(200))), 150);
        assert_eq!(book.gathers_until(), None, "it is under way");
        book.gather(at(300), freed(0));
        assert_eq!(lines(book.flush(at(900))), 0, "one batch at a time");
        book.written(1);
        assert_eq!(lines(book.flush(at(900))), 1);
        book.written(2);

        book.gather(at(1000), freed(0));
        book.write(Write::Entry(freed(1)));
        assert_eq!(book.gathers_until(), None);
        assert_eq!(lines(book.flush(at(1000))), 2, "it takes along what waits");
    }
}
