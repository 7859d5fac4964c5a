//! What each connection of a worker did since it was counted last, and those that left meanwhile.
//!
//! Nothing is counted by connection before the first census, which therefore finds nothing but who is there: so what pools settle and what was
//! sent to them are counted of the same shares ([`Origin::is_counted`]).
//!
//! Limits: a report is made once, in the worker's turn, for each connection: 0.2 µs each in an
//! unoptimised build. Those that left: [`MAX_GONE`].

use super::*;
use crate::work::{Reject, ValidShare};

/// Connections that left, and wait for a census to be told in: a storm of reconnects between two, or all of a day if nobody asks any more. At
/// 150 bytes each.
const MAX_GONE: usize = 65_536;

/// What a connection did since the last census.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    work: f64,
    found: u32,
    refused: u32,
    forwarded: u32,
    /// A census has told of it.
    is_known: bool,
}

// Each idle miner has one.
const _: () = assert!(size_of::<Tally>() <= 24);

impl Tally {
    /// A share was judged.
    pub fn judge(&mut self, verdict: &Result<ValidShare, Reject>) {
        match verdict {
            Ok(share) => {
                self.found = self.found.saturating_add(1);
                self.work += share.credited().get();
            }
            Err(_) => self.refused = self.refused.saturating_add(1),
        }
    }

    /// A share was sent on, if so.
    pub fn forward(&mut self, is_forwarded: bool) {
        self.forwarded = self.forwarded.saturating_add(u32::from(is_forwarded));
    }
}

/// Who left since the last census.
#[derive(Debug, Default)]
pub struct Gone {
    reports: VecDeque<MinerReport>,
    /// Never told, in all.
    dropped: u64,
}

impl Gone {
    /// The last of a connection, if there is anything to tell.
    pub fn add(&mut self, report: Option<MinerReport>) {
        let Some(report) = report else { return };
        if self.reports.len() == MAX_GONE {
            self.reports.pop_front();
            self.dropped += 1;
            // Said at 1, 2, 4, 8 …
            if self.dropped.is_power_of_two() {
                warn!(
                    "{} connections that left were never told to a census: nobody has taken one since {MAX_GONE} others left",
                    self.dropped
                );
            }
        }
        self.reports.push_back(report);
    }
}

impl Slot {
    fn report(&mut self, worker: u16, now: Option<Instant>) -> MinerReport {
        let Tally { work, found, refused, forwarded, .. } =
            std::mem::replace(&mut self.tally, Tally { is_known: true, ..Tally::default() });
        MinerReport {
            connection: ConnectionId { worker, key: self.key },
            peer: self.peer,
            user: self.session.user().cloned(),
            firmware: self.session.firmware().name,
            hashrate: now.and_then(|now| self.session.hashrate(now)),
            found: found.into(),
            work,
            refused: refused.into(),
            forwarded: forwarded.into(),
            is_gone: now.is_none(),
        }
    }

    /// Of a connection that ends; `None` if nobody has heard of it and it did nothing.
    pub(super) fn last_report(&mut self, worker: u16) -> Option<MinerReport> {
        let Tally { found, refused, forwarded, is_known, .. } = self.tally;
        let is_news = is_known || found > 0 || refused > 0 || forwarded > 0;
        is_news.then(|| self.report(worker, None))
    }
}

impl Hall {
    /// Tells of every connection, and counts it anew.
    pub(super) fn take_census(&mut self, answer: &mpsc::Sender<CensusPart>) {
        if answer.is_closed() {
            // Nobody hears it: the next one counts on.
            return;
        }
        let gone = std::mem::take(&mut self.gone.get_or_insert_default().reports);
        let mut reports = Vec::with_capacity(gone.len() + self.slots.len());
        reports.extend(gone);
        for (_, slot) in &mut self.slots {
            reports.push(slot.report(self.index, Some(self.now)));
        }
        // There is room for the answers of all workers.
        let _ = answer.try_send(CensusPart::Miners(reports));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn of_those_that_left_only_the_last_are_kept_if_nobody_asks() {
        let left = |key: u64| MinerReport {
            connection: ConnectionId { worker: 0, key },
            peer: Ipv4Addr::LOCALHOST.into(),
            user: None,
            firmware: "",
            hashrate: None,
            found: 1,
            work: 1.0,
            refused: 0,
            forwarded: 0,
            is_gone: true,
        };
        let mut gone = Gone::default();
        for key in 0..MAX_GONE as u64 + 10 {
            gone.add(Some(left(key)));
            gone.add(None);
        }
        assert_eq!((gone.reports.len(), gone.dropped), (MAX_GONE, 10));
        assert_eq!(gone.reports.front().map(|report| report.connection.key), Some(10));
    }
}
