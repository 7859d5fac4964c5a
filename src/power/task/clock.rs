//! The site's time: the clock's, but for a clock that is set back.
//!
//! The site's machine lets time stand still where it goes back. So that it does not stand for an hour when a clock is corrected by one, with
//! readings that look fresh and nothing that is ever over, its time goes on from where it was, ahead of the clock by as much. What others
//! say of times is moved into it, and what they are told out of it. What is shown and written is the site's, so it is ahead, too, until
//! the next start; a start believes nothing to be of a time to come ([`forget_the_future`]).
//!
//! A clock that is set forward is followed: then everything is old, and is measured anew.

use jiff::{SignedDuration, Timestamp};

use crate::power::{
    journal::Book,
    ledger::{Booking, MAX_TERM},
    site::{LeaseMessage, LeaseOrder},
};

/// A step back that is stood still for: clocks are slewed and rounded all the time.
const STEP: SignedDuration = SignedDuration::from_secs(1);

/// How the site's time is made of the clock's.
#[derive(Debug)]
pub(super) struct Clock {
    last: Timestamp,
    ahead: SignedDuration,
}

impl Clock {
    /// The clock says `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { last: now, ahead: SignedDuration::ZERO }
    }

    /// The clock says `wall`: the site's time, which never goes back.
    pub fn now(&mut self, wall: Timestamp) -> Timestamp {
        let back = self.last.duration_since(self.of(wall));
        if back > STEP {
            tracing::warn!(
                "the clock was set back by {} s: the power side's time goes on from where it was",
                back.as_secs()
            );
            self.ahead = self.ahead.saturating_add(back);
        }
        self.last = self.last.max(self.of(wall));
        self.last
    }

    /// The site's time of something that is of the clock's.
    pub fn of(&self, wall: Timestamp) -> Timestamp {
        wall.saturating_add(self.ahead).unwrap_or(Timestamp::MAX)
    }

    /// What AI compute is told, in the clock's time.
    pub fn told(&self, message: LeaseMessage) -> LeaseMessage {
        let wall = |at: Timestamp| at.saturating_sub(self.ahead).unwrap_or(Timestamp::MIN);
        let what = match message.what {
            LeaseOrder::Grant { watts, expires } => LeaseOrder::Grant { watts, expires: wall(expires) },
            LeaseOrder::Revoke { watts, deadline } => LeaseOrder::Revoke { watts, deadline: wall(deadline) },
        };
        LeaseMessage { what, ..message }
    }
}

/// What was written by a clock that was ahead is taken to be of now: nothing waits for that time to come round.
pub(super) fn forget_the_future(now: Timestamp, book: &mut Book) {
    for entry in &mut book.entries {
        entry.at = entry.at.min(now);
        if let Booking::Lease { expires, .. } = &mut entry.what {
            *expires = (*expires).min(now.saturating_add(MAX_TERM).unwrap_or(Timestamp::MAX));
        }
    }
    for record in book.records.values_mut() {
        record.since = record.since.min(now);
    }
    for sighting in &mut book.sightings {
        sighting.at = sighting.at.min(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        power::ledger::{Epoch, LeaseId},
        profit::Watts,
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn time_goes_on_when_the_clock_is_set_back_by_an_hour() {
        let mut clock = Clock::new(at(0));
        assert_eq!(clock.now(at(10)), at(10));
        assert_eq!(clock.now(at(10 - 3_600)), at(10));
        assert_eq!(clock.now(at(20 - 3_600)), at(20), "it does not stand still");
        assert_eq!(clock.of(at(15 - 3_600)), at(15), "what is read by the new clock is in order");
        // A day ahead by mistake, and back.
        assert_eq!(clock.now(at(86_400)), at(86_400 + 3_600));
        assert_eq!(clock.now(at(30 - 3_600)), at(86_400 + 3_600));
        assert_eq!(clock.now(at(40 - 3_600)), at(86_400 + 3_610));
        let what = LeaseOrder::Grant { watts: Watts::ZERO, expires: at(86_400 + 3_610 + 120) };
        let told = clock.told(LeaseMessage { lease: LeaseId(1), epoch: Epoch(1), what });
        assert_eq!(
            told.what,
            LeaseOrder::Grant { watts: Watts::ZERO, expires: at(160 - 3_600) },
            "others have the clock"
        );
    }

    #[test]
    fn a_clock_that_is_a_little_back_is_waited_for() {
        let mut clock = Clock::new(at(0));
        let almost = at(0) - SignedDuration::from_millis(900);
        assert_eq!(clock.now(almost), at(0));
        assert_eq!(clock.of(at(5)), at(5));
    }
}
