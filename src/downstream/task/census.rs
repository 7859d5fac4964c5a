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
/// 300 bytes each.
const MAX_GONE: usize = 65_536;

/// What a connection did since the last census.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Of the worker at place 0.
    shares: Shares,
    /// Of those at the places after it, as far as they have done something. A proxy behind which many mine has some; others take no memory.
    others: Vec<Shares>,
    /// Not forgotten at a census.
    last_share: Option<Instant>,
    forwarded: u32,
    /// A census has told of it.
    is_known: bool,
}

/// What one worker of a connection did.
#[derive(Clone, Copy, Debug, Default)]
struct Shares {
    work: f64,
    found: u32,
    rejects: [u32; Reject::COUNT],
}

// Each idle miner has one.
const _: () = assert!(size_of::<Tally>() <= 112);

impl Tally {
    /// A share was judged. The first of a worker that is not the connection's first makes room for it; no other allocates.
    pub fn judge(&mut self, now: Instant, verdict: &Result<ValidShare, Reject>, place: u16) {
        let shares = match usize::from(place).checked_sub(1) {
            None => &mut self.shares,
            Some(other) => {
                if self.others.len() <= other {
                    self.others.resize(other + 1, Shares::default());
                }
                &mut self.others[other]
            }
        };
        match verdict {
            Ok(share) => {
                shares.found = shares.found.saturating_add(1);
                shares.work += share.credited().get();
                self.last_share = Some(now);
            }
            Err(reject) => {
                let count = &mut shares.rejects[reject.index()];
                *count = count.saturating_add(1);
            }
        }
    }

    /// A share was sent on, if so.
    pub fn forward(&mut self, is_forwarded: bool) {
        self.forwarded = self.forwarded.saturating_add(u32::from(is_forwarded));
    }

    /// What the worker at this place did.
    fn of(&self, place: u16) -> Judgements {
        let shares = usize::from(place).checked_sub(1).map_or(Some(&self.shares), |other| self.others.get(other));
        shares.map(Shares::told).unwrap_or_default()
    }

    fn all(&self) -> Judgements {
        self.others.iter().fold(self.shares.told(), |mut sum, other| {
            sum.add(&other.told());
            sum
        })
    }

    /// It was told; counting begins anew.
    fn begin_anew(&mut self) {
        (self.shares, self.forwarded, self.is_known) = (Shares::default(), 0, true);
        self.others.fill(Shares::default());
    }
}

impl Shares {
    fn told(&self) -> Judgements {
        Judgements { found: self.found.into(), work: self.work, rejects: self.rejects }
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
        let (session, tally) = (&self.session, &self.tally);
        let others = session.workers().filter(|(place, _)| *place > 0);
        let connection = ConnectionId { worker, key: self.key };
        let report = MinerReport {
            listener: session.listener(),
            route: self.berth.map(|berth| berth.route),
            user: session.user().cloned(),
            others: others.map(|(place, name)| (name.clone(), tally.of(place))).collect(),
            firmware: session.firmware().name,
            agent: session.agent().cloned(),
            last_share: tally.last_share,
            difficulty: session.difficulty(),
            hashrate: now.and_then(|now| session.hashrate(now)),
            shares: tally.all(),
            forwarded: tally.forwarded.into(),
            is_asleep: !self.rest.is_awake(),
            is_gone: now.is_none(),
            ..MinerReport::new(connection, self.peer, session.connected())
        };
        self.tally.begin_anew();
        report
    }

    /// Of a connection that ends; `None` if nobody has heard of it and it did nothing.
    pub(super) fn last_report(&mut self, worker: u16) -> Option<MinerReport> {
        let shares = self.tally.all();
        let is_news = self.tally.is_known || shares.found > 0 || shares.refused() > 0 || self.tally.forwarded > 0;
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
        let now = Instant::now();
        let left = |key: u64| MinerReport {
            is_gone: true,
            ..MinerReport::new(ConnectionId { worker: 0, key }, Ipv4Addr::LOCALHOST.into(), now)
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
