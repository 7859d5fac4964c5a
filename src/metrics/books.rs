//! The counters: what happened, kept where it happens, added up when somebody looks.
//!
//! Each worker thread writes its own [`WorkerBook`] and nobody else's, so that counting a share is a plain store to memory of
//! that thread; readers add the books up. The router keeps what concerns pools in [`PoolBook`]s.
//!
//! Limits: the number of workers' books is fixed at start, those of pools and routes grow by what an operator adds, up to
//! [`MAX_PLACES`], and every label is one of a fixed set: nothing grows with what miners send.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;

use crate::{
    config::MAX_PLACES,
    downstream::CloseReason,
    work::{Difficulty, Hashrate, Reject, ValidShare},
};

/// A count that one thread writes and any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; by the owning thread only.
    pub fn add(&self, more: u64) {
        self.0.store(self.get() + more, Ordering::Relaxed);
    }

    /// Replaces; by the owning thread only.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A sum of doubles that one thread writes and any thread reads.
#[derive(Debug, Default)]
pub struct Sum(AtomicU64);

impl Sum {
    /// Adds; by the owning thread only.
    pub fn add(&self, more: f64) {
        self.set(self.get() + more);
    }

    /// Replaces; by the owning thread only.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// The sum.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// Upper bounds of the latency buckets, in microseconds: 50 µs to 10 s.
pub const LATENCY_BOUNDS_US: [u64; 17] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000,
    5_000_000, 10_000_000,
];

/// How long things took.
#[derive(Debug, Default)]
pub struct Latencies {
    /// One for each of [`LATENCY_BOUNDS_US`], not cumulative; the last is for what took longer.
    buckets: [Bucket; LATENCY_BOUNDS_US.len() + 1],
}

#[derive(Debug, Default)]
struct Bucket {
    events: Counter,
    sum_us: Counter,
}

impl Latencies {
    /// Counts `times` events that took so long; by the owning thread only.
    pub fn record(&self, latency: Duration, times: u64) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let bucket = LATENCY_BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].events.add(times);
        self.buckets[bucket].sum_us.add(us.saturating_mul(times));
    }

    fn add_to(&self, sum: &mut LatencySum) {
        for (sum, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            sum.events += bucket.events.get();
            sum.sum_us += bucket.sum_us.get();
        }
    }
}

/// Latencies of several books, added up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatencySum {
    /// As in [`Latencies`].
    pub buckets: [LatencyBucket; LATENCY_BOUNDS_US.len() + 1],
}

/// The events of one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LatencyBucket {
    /// How many.
    pub events: u64,
    /// How long they took together, in microseconds.
    pub sum_us: u64,
}

impl LatencySum {
    /// Their mean; `None` without events.
    pub fn mean(&self) -> Option<Duration> {
        let sum_us: u64 = self.buckets.iter().map(|bucket| bucket.sum_us).sum();
        sum_us.checked_div(self.count()).map(Duration::from_micros)
    }

    /// Events.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.events).sum()
    }

    /// The upper bound of the bucket that holds this quantile (0 to 1), in the last bucket its mean; `None` without events.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let rank = (self.count() as f64 * quantile).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.buckets.iter().enumerate().find_map(|(at, bucket)| {
            seen += bucket.events;
            // What took longer than the last bound took so long on average.
            let bound = LATENCY_BOUNDS_US.get(at).copied().unwrap_or_else(|| bucket.sum_us / bucket.events.max(1));
            (seen >= rank && bucket.events > 0).then(|| Duration::from_micros(bound))
        })
    }
}

/// Why a connection was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// All connections are taken.
    Full,
    /// Those of its address are.
    Address,
}

impl Refusal {
    /// Both, for metrics.
    pub const ALL: [Self; 2] = [Self::Full, Self::Address];

    /// For metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Full => "connections",
            Self::Address => "connections_per_address",
        }
    }
}

/// What one worker thread counts.
#[derive(Debug)]
pub struct WorkerBook {
    /// Shares that count.
    pub accepted: Counter,
    /// Their difficulties.
    pub accepted_difficulty: Sum,
    /// Shares that don't, by [`Reject::index`].
    rejected: [Counter; Reject::ALL.len()],
    /// Shares handed to a pool's queue.
    pub forwarded: Counter,
    /// Shares that found the pool's queue full: the pool can't keep up.
    pub unforwarded: Counter,
    /// Connections accepted.
    pub opened: Counter,
    /// Connections ended by the miner or the network.
    pub left: Counter,
    /// Connections ended by us, by [`CloseReason::index`].
    closed: [Counter; CloseReason::ALL.len()],
    /// Connections not accepted, by [`Refusal`].
    refused: [Counter; Refusal::ALL.len()],
    /// Connections that are open.
    pub connections: Counter,
    /// Miners (subscribed and authorized) by the place of their route.
    pub miners: Box<[Counter]>,
    /// Hashes per second by route, estimated.
    pub hashrate: Box<[Sum]>,
    /// From the wake-up that brought a share, or its pool's word on it, to the answer written.
    pub reply: Latencies,
    /// From a clean job's arrival to its line in a miner's socket.
    pub fan_out: Latencies,
}

impl WorkerBook {
    fn new() -> Self {
        // Room for all that may ever come: its thread must not wait for a book to grow.
        let routes = MAX_PLACES;
        let per_route = || std::iter::repeat_with(Default::default).take(routes);
        Self {
            accepted: Counter::default(),
            accepted_difficulty: Sum::default(),
            rejected: Default::default(),
            forwarded: Counter::default(),
            unforwarded: Counter::default(),
            opened: Counter::default(),
            left: Counter::default(),
            closed: Default::default(),
            refused: Default::default(),
            connections: Counter::default(),
            miners: per_route().collect(),
            hashrate: std::iter::repeat_with(Sum::default).take(routes).collect(),
            reply: Latencies::default(),
            fan_out: Latencies::default(),
        }
    }

    /// Credits a share. It takes the proof of the share check.
    pub fn credit(&self, share: ValidShare) {
        self.accepted.add(1);
        self.accepted_difficulty.add(share.credited().get());
    }

    /// Counts a share that does not count.
    pub fn reject(&self, reject: Reject) {
        self.rejected[reject.index()].add(1);
    }

    /// Counts a connection that we ended.
    pub fn close(&self, reason: CloseReason) {
        self.closed[reason.index()].add(1);
    }

    /// Counts a connection that we did not take.
    pub fn refuse(&self, refusal: Refusal) {
        self.refused[refusal as usize].add(1);
    }
}

/// What the router knows of one pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolBook {
    /// Connections that are logged in and have work.
    pub connections: usize,
    /// Shares it accepted.
    pub accepted: u64,
    /// Their difficulties, as it had set them.
    pub accepted_difficulty: f64,
    /// Shares it rejected that we had found good, by [`PoolError::label`](crate::stratum::PoolError::label): disagreements.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Shares it rejected that we had found stale, and had sent because its word decides.
    pub stale_to_both: u64,
    /// Shares it never answered.
    pub unanswered: u64,
    /// Shares that were answered to miners and whose connection was not resumed.
    pub lost_unsettled: u64,
    /// Blocks among the accepted shares.
    pub blocks: u64,
    /// Its difficulty now.
    pub difficulty: Option<Difficulty>,
    /// Connections lost.
    pub losses: u64,
    /// From a share sent to its answer.
    pub latency: LatencySum,
    /// When the certificate ends that it has shown last; `None` without TLS.
    pub certificate_ends: Option<Timestamp>,
    /// Since when it has connections with work, or has none any more; `None` before its first.
    pub since: Option<Timestamp>,
    /// The last connection that was lost, or could not be made.
    pub last_loss: Option<PoolLoss>,
    /// Its connections, with work or without.
    pub lanes: Vec<LaneBook>,
}

/// The end of a connection to a pool, or of an attempt at one.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolLoss {
    /// When.
    pub at: Timestamp,
    /// Why, for people.
    pub why: String,
    /// How long until the next attempt.
    pub retry_in: Duration,
}

/// One connection to a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneBook {
    /// The lane of miners that it serves; `None` for a standby without one.
    pub lane: Option<u32>,
    /// Logged in, with work.
    pub is_live: bool,
    /// It closes when its late shares have settled.
    pub is_retiring: bool,
    /// Miners on it.
    pub miners: usize,
}

impl PoolBook {
    /// Shares whose way has ended.
    pub fn settled(&self) -> u64 {
        self.accepted + self.rejected.values().sum::<u64>() + self.stale_to_both + self.unanswered + self.lost_unsettled
    }

    /// Counts an answer's latency.
    pub fn record_latency(&mut self, latency: Duration) {
        let latencies = Latencies::default();
        latencies.record(latency, 1);
        latencies.add_to(&mut self.latency);
    }
}

/// What the router counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouterBook {
    /// By pool, in config order.
    pub pools: Vec<PoolBook>,
    /// The pool each route uses, or used last if none lives, in config order.
    pub active: Vec<Option<usize>>,
    /// Unplanned moves by route.
    pub failovers: Vec<u64>,
    /// Planned moves back by route.
    pub fail_backs: Vec<u64>,
    /// Leases of connected miners.
    pub leases_live: usize,
    /// Leases of miners that may return, and ids that are not free yet.
    pub leases_parked: usize,
    /// Subscribes refused because no extranonce was free.
    pub exhausted: u64,
    /// Shares that we found good and a pool rejected, by worker and cause. At most [`MAX_DISAGREEING`] of them, then the worker is "other".
    pub disagreements: BTreeMap<(Arc<str>, &'static str), u64>,
}

/// Pairs of worker and cause that are counted apart: enough to see a pattern, few enough for labels.
pub const MAX_DISAGREEING: usize = 100;

impl RouterBook {
    /// Counts a disagreement.
    pub fn disagree(&mut self, worker: &Arc<str>, cause: &'static str) {
        let is_known = |worker: &Arc<str>| self.disagreements.contains_key(&(worker.clone(), cause));
        let worker = if is_known(worker) || self.disagreements.len() < MAX_DISAGREEING {
            worker.clone()
        } else {
            "other".into()
        };
        *self.disagreements.entry((worker, cause)).or_default() += 1;
    }
}

/// All books of one proxy.
#[derive(Debug)]
pub struct Books {
    /// By worker thread.
    workers: Vec<Arc<WorkerBook>>,
    router: Mutex<RouterBook>,
}

impl Books {
    /// Empty books.
    pub fn new(workers: usize, pools: usize, routes: usize) -> Self {
        let router = RouterBook {
            pools: vec![PoolBook::default(); pools],
            active: vec![None; routes],
            failovers: vec![0; routes],
            fail_backs: vec![0; routes],
            ..RouterBook::default()
        };
        let worker = || Arc::new(WorkerBook::new());
        Self { workers: std::iter::repeat_with(worker).take(workers).collect(), router: Mutex::new(router) }
    }

    /// The book of one worker thread.
    pub fn worker(&self, index: usize) -> Arc<WorkerBook> {
        self.workers[index].clone()
    }

    /// The router's book; held for the length of a few additions.
    pub fn router(&self) -> MutexGuard<'_, RouterBook> {
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many pools and routes from now on, [`MAX_PLACES`] at most; no fewer than before.
    pub fn grow(&self, pools: usize, routes: usize) {
        let mut router = self.router();
        let (pools, routes) = (pools.max(router.pools.len()), routes.max(router.active.len()));
        router.pools.resize(pools, PoolBook::default());
        router.active.resize(routes, None);
        router.failovers.resize(routes, 0);
        router.fail_backs.resize(routes, 0);
    }

    /// Everything added up.
    pub fn totals(&self) -> Totals {
        let router = self.router().clone();
        let routes = router.active.len();
        let mut totals = Totals {
            miners: vec![0; routes],
            hashrate: vec![Hashrate::default(); routes],
            rejected: Reject::ALL.iter().map(|reject| (reject.label(), 0)).collect(),
            closed: CloseReason::ALL.iter().map(|reason| (reason.label(), 0)).collect(),
            refused: Refusal::ALL.iter().map(|refusal| (refusal.label(), 0)).collect(),
            router,
            ..Totals::default()
        };
        for book in &self.workers {
            totals.accepted += book.accepted.get();
            totals.accepted_difficulty += book.accepted_difficulty.get();
            totals.forwarded += book.forwarded.get();
            totals.unforwarded += book.unforwarded.get();
            totals.opened += book.opened.get();
            totals.left += book.left.get();
            totals.connections += book.connections.get();
            let add = |sums: &mut Vec<(&'static str, u64)>, counters: &[Counter]| {
                for (sum, counter) in sums.iter_mut().zip(counters) {
                    sum.1 += counter.get();
                }
            };
            add(&mut totals.rejected, &book.rejected);
            add(&mut totals.closed, &book.closed);
            add(&mut totals.refused, &book.refused);
            for route in 0..routes {
                totals.miners[route] += book.miners[route].get();
                totals.hashrate[route] += Hashrate::from_hs(book.hashrate[route].get());
            }
            book.reply.add_to(&mut totals.reply);
            book.fan_out.add_to(&mut totals.fan_out);
        }
        totals
    }
}

/// The books of all workers and of the router, at one moment (give or take what happens while they are read).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Shares that count.
    pub accepted: u64,
    /// Their difficulties.
    pub accepted_difficulty: f64,
    /// Shares that don't, by reason.
    pub rejected: Vec<(&'static str, u64)>,
    /// Shares handed to pools.
    pub forwarded: u64,
    /// Shares that could not be handed over.
    pub unforwarded: u64,
    /// Connections accepted.
    pub opened: u64,
    /// Connections ended by the other side.
    pub left: u64,
    /// Connections ended by us, by reason.
    pub closed: Vec<(&'static str, u64)>,
    /// Connections not accepted, by reason.
    pub refused: Vec<(&'static str, u64)>,
    /// Open connections.
    pub connections: u64,
    /// Miners by route.
    pub miners: Vec<u64>,
    /// Estimated hashrate by route.
    pub hashrate: Vec<Hashrate>,
    /// Share read to answer written.
    pub reply: LatencySum,
    /// Clean job received to line written, by miner.
    pub fan_out: LatencySum,
    /// Pools, routes and leases.
    pub router: RouterBook,
}

impl Totals {
    /// Rejected shares of one reason, by its metric label.
    pub fn rejected_for(&self, label: &str) -> u64 {
        self.rejected.iter().find(|(reason, _)| *reason == label).map_or(0, |(_, count)| *count)
    }

    /// Shares that were handed to pools and of which no word has come yet.
    pub fn unsettled(&self) -> u64 {
        self.forwarded.saturating_sub(self.router.pools.iter().map(PoolBook::settled).sum())
    }

    /// Rejected shares of every reason.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_bucket_bounds() {
        let mut book = PoolBook::default();
        assert_eq!(book.latency.quantile(0.5), None);
        for us in [40, 60, 60, 900, 60_000_000] {
            book.record_latency(Duration::from_micros(us));
        }
        let quantile_us = |q| book.latency.quantile(q).unwrap().as_micros();
        assert_eq!((quantile_us(0.0), quantile_us(0.5), quantile_us(0.8)), (50, 100, 1000));
        assert_eq!(book.latency.count(), 5);
    }

    #[test]
    fn totals_add_the_workers_up() {
        let books = Books::new(2, 1, 1);
        books.worker(0).reject(Reject::Stale);
        books.worker(1).reject(Reject::Stale);
        books.worker(1).close(CloseReason::SlowReader);
        books.worker(1).hashrate[0].set(5.0);
        let totals = books.totals();
        assert_eq!((totals.rejected_for("stale"), totals.rejected_total()), (2, 2));
        assert_eq!(totals.hashrate[0].hs(), 5.0);
        assert!(totals.closed.contains(&("slow_reader", 1)));
    }
}
