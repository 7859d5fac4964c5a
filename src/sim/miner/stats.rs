//! What simulated miners count.
//!
//! [`MinerStats`] is one miner's and plain numbers; [`Board`] is what many miners share: latencies, the spread with
//! which a job reaches them, and the cache of parsed jobs. Totals of a swarm are sums of `MinerStats`.

use super::violation::ProtocolViolation;
use super::work::{HeaderHash, TemplateCache};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Distinct (code, text) pairs of rejects kept; more are counted under [`OTHER_REJECTS`].
const MAX_REJECT_KINDS: usize = 32;
const OTHER_REJECTS: (i64, &str) = (0, "other");
/// Violations kept in full per miner; more are only counted.
const MAX_VIOLATIONS: usize = 16;
/// Jobs whose spread is being measured at once.
const MAX_OPEN_SPREADS: usize = 64;
/// Jobs whose spread is kept after that.
const MAX_SPREADS: usize = 4096;
/// A job with a known key that comes this long after the first is a new one, as when two pools' tips alternate.
const SPREAD_WINDOW: Duration = Duration::from_secs(10);
/// Longest duration that histograms hold: ten minutes, in microseconds.
const MAX_MICROS: u64 = 600_000_000;

/// Code of a stale reject.
const STALE: i64 = 21;

/// Counters of one miner, or the sum over many.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MinerStats {
    /// Connections made.
    pub connects: u64,
    /// Connections that failed to come about.
    pub connect_failures: u64,
    /// Connections lost or closed, by either side.
    pub disconnects: u64,
    /// Jobs received.
    pub jobs: u64,
    /// Clean ones among them.
    pub clean_jobs: u64,
    /// Shares sent.
    pub sent: u64,
    /// Shares answered with true.
    pub accepted: u64,
    /// Difficulty of the accepted shares, summed.
    pub accepted_difficulty: f64,
    /// Shares rejected, by code and text.
    #[serde(serialize_with = "rejects_as_map")]
    pub rejected: BTreeMap<(i64, String), u64>,
    /// Rejects with code 21 among them.
    pub stale: u64,
    /// Shares whose connection died before an answer.
    pub lost: u64,
    /// Shares whose answer it did not live to see: its own power was cut. Nobody else lost them.
    pub cut_off: u64,
    /// Shares sent again after a reconnect.
    pub resubmitted: u64,
    /// Due shares not sent because the miner was not ready, or too far behind its pace.
    pub skipped: u64,
    /// Due shares that cost more hashes than [`super::HASH_BOUND_COST`].
    pub hash_bound: u64,
    /// Difficulty last set; 0 before that. In a sum, the highest.
    pub difficulty: f64,
    /// `client.show_message` received.
    pub messages: u64,
    /// Violations, in full as far as they fit.
    #[serde(skip)]
    pub violations: Vec<ProtocolViolation>,
    /// Violations counted by kind.
    pub violations_by_kind: BTreeMap<&'static str, u64>,
    /// Connect to first job, on the latest connection.
    #[serde(skip)]
    pub first_job_after: Option<Duration>,
    /// When the latest job came.
    #[serde(skip)]
    pub last_job: Option<Instant>,
    /// Header hashes of accepted shares, the newest `MinerSettings::recorded_hashes` of them.
    #[serde(skip)]
    pub accepted_hashes: VecDeque<HeaderHash>,
}

fn rejects_as_map<S: serde::Serializer>(
    rejects: &BTreeMap<(i64, String), u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(rejects.iter().map(|((code, text), n)| (format!("{code} {text}"), n)))
}

impl MinerStats {
    /// Shares rejected, for whatever reason.
    #[must_use]
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Shares whose answer is still owed, or that wait to be sent again on the next connection.
    #[must_use]
    pub fn unanswered(&self) -> u64 {
        self.sent.saturating_sub(self.accepted + self.rejected_total() + self.lost + self.cut_off)
    }

    /// Violations, kept in full or not.
    #[must_use]
    pub fn violation_count(&self) -> u64 {
        self.violations_by_kind.values().sum()
    }

    pub(super) fn violate(&mut self, violation: ProtocolViolation) {
        *self.violations_by_kind.entry(violation.kind()).or_default() += 1;
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(violation);
        }
    }

    pub(super) fn reject(&mut self, code: i64, text: String) {
        self.stale += u64::from(code == STALE);
        self.count_rejects((code, text), 1);
    }

    fn count_rejects(&mut self, key: (i64, String), n: u64) {
        let full = self.rejected.len() >= MAX_REJECT_KINDS && !self.rejected.contains_key(&key);
        let key = if full { (OTHER_REJECTS.0, OTHER_REJECTS.1.to_owned()) } else { key };
        *self.rejected.entry(key).or_default() += n;
    }

    /// Adds another miner's counters; recorded hashes and instants stay with their miner.
    pub fn add(&mut self, other: &Self) {
        self.connects += other.connects;
        self.connect_failures += other.connect_failures;
        self.disconnects += other.disconnects;
        self.jobs += other.jobs;
        self.clean_jobs += other.clean_jobs;
        self.sent += other.sent;
        self.accepted += other.accepted;
        self.accepted_difficulty += other.accepted_difficulty;
        self.stale += other.stale;
        self.lost += other.lost;
        self.cut_off += other.cut_off;
        self.resubmitted += other.resubmitted;
        self.skipped += other.skipped;
        self.hash_bound += other.hash_bound;
        self.messages += other.messages;
        self.difficulty = self.difficulty.max(other.difficulty);
        for (key, n) in &other.rejected {
            self.count_rejects(key.clone(), *n);
        }
        for (kind, n) in &other.violations_by_kind {
            *self.violations_by_kind.entry(kind).or_default() += n;
        }
        let room = MAX_VIOLATIONS.saturating_sub(self.violations.len());
        self.violations.extend(other.violations.iter().take(room).cloned());
    }
}

/// What all miners of a swarm share.
#[derive(Debug)]
pub struct Board {
    pub(super) templates: TemplateCache,
    replies: Mutex<Histogram<u64>>,
    handshakes: Mutex<Histogram<u64>>,
    spreads: Mutex<Spreads>,
}

#[derive(Debug, Default)]
struct Spreads {
    open: VecDeque<OpenSpread>,
    done: VecDeque<Spread>,
}

#[derive(Debug)]
struct OpenSpread {
    key: [u8; 32],
    /// From its making to its first arrival, where the pool told.
    ahead: Option<Duration>,
    first: Instant,
    last: Instant,
    miners: u64,
}

/// How long a clean job took to reach all its miners, first to last.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// First arrival.
    #[serde(skip)]
    pub began: Instant,
    /// First arrival to last.
    pub micros: u64,
    /// From its making in the pool to the last arrival, where a simulated pool of this machine stamped it.
    pub from_pool_micros: Option<u64>,
    /// Miners that got it.
    pub miners: u64,
}

/// Durations in microseconds, summed up.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Quantiles {
    /// How many were measured.
    pub count: u64,
    /// Median, µs.
    pub p50_us: u64,
    /// 99 of 100 are no longer, µs.
    pub p99_us: u64,
    /// 999 of 1000 are no longer, µs.
    pub p999_us: u64,
    /// The longest, µs.
    pub max_us: u64,
}

impl From<&Histogram<u64>> for Quantiles {
    fn from(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
        }
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(MAX_MICROS).min(MAX_MICROS)
}

/// Counters stay usable when another thread panicked while it held them.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An empty histogram of durations in microseconds.
pub(super) fn durations() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_MICROS, 3).expect("bounds are constants in range")
}

impl Default for Board {
    fn default() -> Self {
        Self {
            templates: TemplateCache::default(),
            replies: Mutex::new(durations()),
            handshakes: Mutex::new(durations()),
            spreads: Mutex::default(),
        }
    }
}

impl Board {
    /// Times from the write of a share to the read of its reply.
    #[must_use]
    pub fn reply_latency(&self) -> Quantiles {
        Quantiles::from(&*lock(&self.replies))
    }

    /// Times from connect to the first job.
    #[must_use]
    pub fn handshake_times(&self) -> Quantiles {
        Quantiles::from(&*lock(&self.handshakes))
    }

    /// Spreads of the clean jobs that reached at least two miners which were already mining.
    #[must_use]
    pub fn spreads(&self) -> Vec<Spread> {
        let spreads = lock(&self.spreads);
        let open = spreads.open.iter().filter(|open| open.miners > 1).map(OpenSpread::close);
        spreads.done.iter().copied().chain(open).collect()
    }

    pub(super) fn reply_took(&self, duration: Duration) {
        lock(&self.replies).saturating_record(micros(duration));
    }

    pub(super) fn handshake_took(&self, duration: Duration) {
        lock(&self.handshakes).saturating_record(micros(duration));
    }

    /// A miner that was mining got the clean job that `key` stands for.
    pub(super) fn clean_job_arrived(&self, key: [u8; 32], made: Option<SystemTime>, now: Instant) {
        let mut spreads = lock(&self.spreads);
        if let Some(open) =
            spreads.open.iter_mut().rev().find(|open| open.key == key && now.duration_since(open.first) < SPREAD_WINDOW)
        {
            open.last = open.last.max(now);
            open.miners += 1;
            return;
        }
        if spreads.open.len() == MAX_OPEN_SPREADS
            && let Some(open) = spreads.open.pop_front()
            && open.miners > 1
        {
            if spreads.done.len() == MAX_SPREADS {
                spreads.done.pop_front();
            }
            spreads.done.push_back(open.close());
        }
        spreads.open.push_back(OpenSpread {
            key,
            ahead: made.and_then(|made| made.elapsed().ok()),
            first: now,
            last: now,
            miners: 1,
        });
    }
}

impl OpenSpread {
    fn close(&self) -> Spread {
        let spread = self.last.duration_since(self.first);
        Spread {
            began: self.first,
            micros: micros(spread),
            from_pool_micros: self.ahead.map(|ahead| micros(ahead + spread)),
            miners: self.miners,
        }
    }
}
