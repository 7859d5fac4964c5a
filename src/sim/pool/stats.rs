//! What the pool counted: the snapshot tests and demos read, and the ledger behind it.
//!
//! One lock around plain numbers: at 10 000 shares per second it is held for well under one per cent of the time.
//! Everything that grows has a bound: worker names, suggested difficulties, recorded shares.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;

use super::check::{Accepted, IssuedJob};
use super::reject::Reject;

/// Worker names told apart; the shares of later ones are booked under [`OTHER_WORKERS`].
pub const MAX_WORKERS: usize = 10_000;
/// The name for workers beyond [`MAX_WORKERS`].
pub const OTHER_WORKERS: &str = "(others)";
/// Suggested difficulties kept, newest last.
const MAX_SUGGESTED: usize = 256;
/// Hashes that a share of difficulty 1 stands for on average, `2^256 / (0xFFFF · 2^208)`.
const HASHES_PER_DIFFICULTY: f64 = 4_295_032_833.0;

/// Shares of one worker name.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct WorkerStats {
    /// Shares credited.
    pub accepted: u64,
    /// Shares refused.
    pub rejected: u64,
    /// Sum of the difficulties of the credited shares.
    pub difficulty: f64,
}

impl WorkerStats {
    /// Hashes that the credited shares stand for, on average.
    #[must_use]
    pub fn hashes(&self) -> f64 {
        self.difficulty * HASHES_PER_DIFFICULTY
    }
}

/// One open connection.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionStats {
    /// Number in order of arrival, from 1.
    pub number: u64,
    /// Its far end.
    pub peer: SocketAddr,
    /// User agent given at subscribe, at most 128 characters.
    pub user_agent: String,
    /// Its extranonce1 as hex, empty before subscribe.
    pub extranonce1: String,
    /// Shares credited on it.
    pub accepted: u64,
    /// Shares refused on it.
    pub rejected: u64,
}

/// A snapshot of what the pool has counted since it started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PoolStats {
    /// Connections ever accepted.
    pub connections_ever: u64,
    /// Connections closed at once because the pool was full.
    pub connections_refused: u64,
    /// Connections open now, by number.
    pub connections: Vec<ConnectionStats>,
    /// Sessions that got their extranonce1 back.
    pub resumed: u64,
    /// Successful authorizations.
    pub authorized: u64,
    /// Refused authorizations.
    pub logins_refused: u64,
    /// Submits received, whatever came of them.
    pub submits: u64,
    /// Shares credited.
    pub accepted: u64,
    /// Shares refused, by [`Reject::label`].
    pub rejected: BTreeMap<&'static str, u64>,
    /// Sum of the difficulties of the credited shares.
    pub accepted_difficulty: f64,
    /// Credited shares that met the network's target.
    pub blocks: u64,
    /// `mining.notify` lines sent, over all connections.
    pub jobs_sent: u64,
    /// Lines over 1 KiB received; ckpool would have hung up.
    pub long_lines: u64,
    /// Lines received that were no JSON object.
    pub garbage_lines: u64,
    /// Difficulties suggested by clients, newest last, at most 256.
    pub suggested: Vec<f64>,
    /// Shares by worker name, at most [`MAX_WORKERS`] and [`OTHER_WORKERS`].
    pub workers: BTreeMap<String, WorkerStats>,
}

impl PoolStats {
    /// Shares refused for one reason, by [`Reject::label`].
    #[must_use]
    pub fn rejected_for(&self, label: &str) -> u64 {
        self.rejected.get(label).copied().unwrap_or(0)
    }

    /// Shares refused for any reason.
    #[must_use]
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }
}

/// One credited share, for tests that compare share by share.
#[derive(Debug, Clone, PartialEq)]
pub struct AcceptedShare {
    /// Number of the connection it came by.
    pub connection: u64,
    /// Worker name as submitted.
    pub worker: String,
    /// Id of its job.
    pub job_id: String,
    /// Difficulty it was credited at.
    pub difficulty: f64,
    /// Header hash in display order, 64 hex digits.
    pub hash: String,
    /// Whether it is a block.
    pub is_block: bool,
}

/// The books behind [`PoolStats`].
#[derive(Debug, Default)]
pub(super) struct Ledger {
    totals: PoolStats,
    open: HashMap<u64, ConnectionStats>,
    record_limit: usize,
    recorded: VecDeque<AcceptedShare>,
}

impl Ledger {
    pub(super) fn new(record_limit: usize) -> Ledger {
        Ledger {
            record_limit,
            ..Ledger::default()
        }
    }

    pub(super) fn snapshot(&self) -> PoolStats {
        let mut stats = self.totals.clone();
        stats.connections = self.open.values().cloned().collect();
        stats
            .connections
            .sort_by_key(|connection| connection.number);
        stats
    }

    pub(super) fn recorded(&self) -> Vec<AcceptedShare> {
        self.recorded.iter().cloned().collect()
    }

    /// Opens the page of a new connection and gives it its number.
    pub(super) fn connected(&mut self, peer: SocketAddr) -> u64 {
        self.totals.connections_ever += 1;
        let number = self.totals.connections_ever;
        let page = ConnectionStats {
            number,
            peer,
            user_agent: String::new(),
            extranonce1: String::new(),
            accepted: 0,
            rejected: 0,
        };
        self.open.insert(number, page);
        number
    }

    pub(super) fn connection_refused(&mut self) {
        self.totals.connections_refused += 1;
    }

    pub(super) fn disconnected(&mut self, connection: u64) {
        self.open.remove(&connection);
    }

    pub(super) fn subscribed(
        &mut self,
        connection: u64,
        user_agent: &str,
        extranonce1: String,
        resumed: bool,
    ) {
        self.totals.resumed += u64::from(resumed);
        if let Some(page) = self.open.get_mut(&connection) {
            page.user_agent = user_agent.chars().take(128).collect();
            page.extranonce1 = extranonce1;
        }
    }

    pub(super) fn extranonce_changed(&mut self, connection: u64, extranonce1: String) {
        if let Some(page) = self.open.get_mut(&connection) {
            page.extranonce1 = extranonce1;
        }
    }

    pub(super) fn login(&mut self, admitted: bool) {
        if admitted {
            self.totals.authorized += 1;
        } else {
            self.totals.logins_refused += 1;
        }
    }

    pub(super) fn job_sent(&mut self) {
        self.totals.jobs_sent += 1;
    }

    pub(super) fn long_line(&mut self) {
        self.totals.long_lines += 1;
    }

    pub(super) fn garbage_line(&mut self) {
        self.totals.garbage_lines += 1;
    }

    pub(super) fn suggested(&mut self, difficulty: f64) {
        if self.totals.suggested.len() >= MAX_SUGGESTED {
            self.totals.suggested.remove(0);
        }
        self.totals.suggested.push(difficulty);
    }

    pub(super) fn accepted(
        &mut self,
        connection: u64,
        worker: &str,
        issued: &IssuedJob,
        share: &Accepted,
    ) {
        let difficulty = issued.difficulty().value();
        self.totals.submits += 1;
        self.totals.accepted += 1;
        self.totals.accepted_difficulty += difficulty;
        self.totals.blocks += u64::from(share.is_block);
        if let Some(page) = self.open.get_mut(&connection) {
            page.accepted += 1;
        }
        let booked = self.worker(worker);
        booked.accepted += 1;
        booked.difficulty += difficulty;
        if self.record_limit > 0 {
            if self.recorded.len() >= self.record_limit {
                self.recorded.pop_front();
            }
            let mut display = share.hash;
            display.reverse();
            self.recorded.push_back(AcceptedShare {
                connection,
                worker: worker.to_owned(),
                job_id: issued.job().parts.id.clone(),
                difficulty,
                hash: hex::encode(display),
                is_block: share.is_block,
            });
        }
    }

    /// Books a refusal, on the worker's page too if it is one that was let in.
    pub(super) fn rejected(&mut self, connection: u64, worker: Option<&str>, reject: &Reject) {
        self.totals.submits += 1;
        *self.totals.rejected.entry(reject.label()).or_default() += 1;
        if let Some(page) = self.open.get_mut(&connection) {
            page.rejected += 1;
        }
        if let Some(worker) = worker {
            self.worker(worker).rejected += 1;
        }
    }

    fn worker(&mut self, name: &str) -> &mut WorkerStats {
        let workers = &mut self.totals.workers;
        let name = if workers.contains_key(name) || workers.len() < MAX_WORKERS {
            name
        } else {
            OTHER_WORKERS
        };
        if !workers.contains_key(name) {
            workers.insert(name.to_owned(), WorkerStats::default());
        }
        workers
            .get_mut(name)
            .expect("inserted above if it was missing")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worker_names_beyond_the_bound_share_a_page() {
        let mut ledger = Ledger::new(0);
        for worker in 0..MAX_WORKERS + 5 {
            ledger.rejected(1, Some(&format!("w{worker}")), &Reject::Stale);
        }
        let stats = ledger.snapshot();
        assert_eq!(stats.workers.len(), MAX_WORKERS + 1);
        assert_eq!(stats.workers[OTHER_WORKERS].rejected, 5);
        assert_eq!(stats.rejected_for("stale"), MAX_WORKERS as u64 + 5);
    }
}
