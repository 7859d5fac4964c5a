//! Tells machines when the next piece of work is due: one timer for ten thousand of them.
//!
//! A machine registers its [`Control`] with an interval. The pacer keeps all due times in one heap, wakes up every
//! millisecond, adds to the `due` count of the machines whose time has come, and wakes their tasks. It also wakes
//! every machine once per [`HOUSEKEEPING`], for deadlines. Due times keep their rhythm when the process is late; how
//! much of the arrears a machine makes up for is its own affair.

use super::Pace;
use super::splitmix;
use super::stats::{Quantiles, durations, lock, micros};
use hdrhistogram::Histogram;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often due times are looked at; also the resolution of the pace.
const TICK: Duration = Duration::from_millis(1);
/// How often every machine is woken, whatever its pace.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// What a machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Run {
    /// It hashes.
    Mining,
    /// Its control board lives, its hash boards don't.
    Asleep,
    /// It has no power: no connection, and no memory of the last one.
    Off,
}

/// What reaches a machine's task from outside its socket.
#[derive(Debug, Default)]
pub(super) struct Control {
    due: AtomicU32,
    run: AtomicU8,
    resting: AtomicBool,
    stopped: AtomicBool,
    mining: AtomicBool,
    notify: Notify,
}

impl Control {
    // Relaxed everywhere: each value stands alone, and `Notify` orders the wake-up after the store.

    pub(super) fn add_due(&self, pieces: u32) {
        self.due.fetch_add(pieces, Ordering::Relaxed);
        self.notify.notify_one();
    }

    pub(super) fn take_due(&self) -> u32 {
        self.due.swap(0, Ordering::Relaxed)
    }

    pub(super) fn set_run(&self, run: Run) {
        self.resting.store(false, Ordering::Relaxed);
        self.run.store(run as u8, Ordering::Relaxed);
        self.notify.notify_one();
    }

    /// By the machine: it has seen that it is asleep, and the share it was at is sent.
    pub(super) fn set_resting(&self, resting: bool) {
        self.resting.store(resting, Ordering::Relaxed);
    }

    pub(super) fn is_resting(&self) -> bool {
        self.resting.load(Ordering::Relaxed)
    }

    /// Whether it is not to hash.
    pub(super) fn is_asleep(&self) -> bool {
        self.run.load(Ordering::Relaxed) != Run::Mining as u8
    }

    pub(super) fn is_off(&self) -> bool {
        self.run.load(Ordering::Relaxed) == Run::Off as u8
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.notify.notify_one();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(super) fn set_mining(&self, mining: bool) {
        self.mining.store(mining, Ordering::Relaxed);
    }

    pub(super) fn is_mining(&self) -> bool {
        self.mining.load(Ordering::Relaxed)
    }

    pub(super) async fn notified(&self) {
        self.notify.notified().await;
    }
}

/// One piece of work of a pace, and how often it is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quantum {
    pub every: Duration,
    /// Hashes of one piece; `None` means one share.
    pub hashes: Option<f64>,
}

impl Quantum {
    /// `None` for a pace that no clock drives. A hashrate is worked off in pieces of `least`, or of one hash if that takes longer.
    pub(super) fn of(pace: Pace, least: Duration) -> Option<Self> {
        match pace {
            Pace::Hashrate(rate) if rate > 0.0 => {
                let every = Duration::try_from_secs_f64(1.0 / rate).ok()?.max(least);
                Some(Self { every, hashes: Some(rate * every.as_secs_f64()) })
            }
            Pace::SharesPerSecond(rate) if rate > 0.0 => {
                Some(Self { every: Duration::try_from_secs_f64(1.0 / rate).ok()?, hashes: None })
            }
            Pace::Hashrate(_) | Pace::SharesPerSecond(_) | Pace::AfterReply => None,
        }
    }
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    every: Duration,
    pieces: u32,
    control: Weak<Control>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// The shared timer. Clones are the same pacer; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct Pacer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    arrivals: Mutex<Vec<Entry>>,
    lateness: Mutex<Histogram<u64>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Pacer {
    /// Starts a pacer on the current runtime.
    #[must_use]
    pub fn start() -> Self {
        let shared = Arc::new(Shared { arrivals: Mutex::default(), lateness: Mutex::new(durations()) });
        let task = tokio::spawn(run(Arc::clone(&shared))).abort_handle();
        Self(Arc::new(Inner { shared, task }))
    }

    /// How late the pacer's own wake-ups were, beyond the timer's resolution of a millisecond: how busy the runtime is that all the machines share. Latencies of
    /// that size are the simulation's, not the server's.
    #[must_use]
    pub fn lateness(&self) -> Quantiles {
        Quantiles::from(&*lock(&self.0.shared.lateness))
    }

    /// Paces a machine; the seed spreads the machines over their interval.
    pub(super) fn register(&self, control: &Arc<Control>, quantum: Option<Quantum>, seed: u64) {
        let now = Instant::now();
        // The mix's upper 53 bits as a fraction of 1.
        let phase = (splitmix(seed) >> 11) as f64 / (1_u64 << 53) as f64;
        let entry = |every: Duration, pieces| Entry {
            at: now + every.mul_f64(phase),
            every,
            pieces,
            control: Arc::downgrade(control),
        };
        let mut arrivals = lock(&self.0.shared.arrivals);
        arrivals.push(entry(HOUSEKEEPING, 0));
        arrivals.extend(quantum.map(|quantum| entry(quantum.every, 1)));
    }
}

async fn run(shared: Arc<Shared>) {
    let mut heap = BinaryHeap::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let meant = ticks.tick().await;
        let now = Instant::now();
        lock(&shared.lateness).saturating_record(micros(now.duration_since(meant).saturating_sub(TICK)));
        heap.extend(lock(&shared.arrivals).drain(..).map(Reverse));
        while let Some(Reverse(mut entry)) = heap.pop() {
            if entry.at > now {
                heap.push(Reverse(entry));
                break;
            }
            let Some(control) = entry.control.upgrade() else {
                continue;
            };
            control.add_due(entry.pieces);
            entry.at += entry.every;
            heap.push(Reverse(entry));
        }
    }
}
