//! What all connections of a pool have in common: settings, the newest job, difficulty, standing faults, the books.
//!
//! News travels over a broadcast channel of [`EVENT_QUEUE`] entries; a connection that falls further behind is brought up to date
//! instead of being told everything.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::broadcast;

use super::fault::Standing;
use super::job::{Draw, Job};
use super::parked::Parked;
use super::settings::PoolSettings;
use super::stats::Ledger;
use super::target::ShareDifficulty;

/// Events a slow connection may lag behind.
const EVENT_QUEUE: usize = 64;

/// News for every connection.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// A new job.
    Job { job: Arc<Job>, clean: bool },
    /// The pool's difficulty changed.
    Difficulty,
    /// A line to send as it is.
    Line(Arc<str>),
    /// New extranonces of this size to those who want them.
    Extranonce { extranonce2_size: usize },
    /// A new mask to those who roll.
    VersionMask(u32),
    /// The standing faults changed: look.
    Standing,
}

/// The pool behind its sockets.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) settings: PoolSettings,
    events: broadcast::Sender<Event>,
    current: RwLock<Arc<Job>>,
    epoch: AtomicU64,
    difficulty: RwLock<Arc<ShareDifficulty>>,
    standing: RwLock<Standing>,
    extranonces: AtomicU64,
    ledger: Mutex<Ledger>,
    parked: Mutex<Parked>,
}

impl Shared {
    pub(super) fn new(settings: PoolSettings, difficulty: ShareDifficulty) -> Shared {
        Shared {
            events: broadcast::Sender::new(EVENT_QUEUE),
            current: RwLock::new(Arc::new(Job::template(&settings, 1, 1))),
            epoch: AtomicU64::new(1),
            difficulty: RwLock::new(Arc::new(difficulty)),
            standing: RwLock::default(),
            extranonces: AtomicU64::new(1),
            ledger: Mutex::new(Ledger::new(settings.record_shares)),
            parked: Mutex::default(),
            settings,
        }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    pub(super) fn announce(&self, event: Event) {
        // Fails only when no connection listens, and then nobody needs to know.
        let _ = self.events.send(event);
    }

    /// Makes the next job, on a new block if `clean`, and announces it. Jobs are announced in the order of their numbers.
    pub(super) fn next_job(&self, clean: bool) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let epoch = current.epoch + u64::from(clean);
        let job = Arc::new(Job::template(&self.settings, current.number + 1, epoch));
        *current = Arc::clone(&job);
        self.epoch.store(epoch, Ordering::Release);
        self.announce(Event::Job { job, clean });
    }

    pub(super) fn current_job(&self) -> Arc<Job> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Number of the newest block; jobs of an earlier one are stale.
    pub(super) fn current_epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(super) fn difficulty(&self) -> Arc<ShareDifficulty> {
        Arc::clone(
            &self
                .difficulty
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    pub(super) fn set_difficulty(&self, difficulty: ShareDifficulty) {
        *self
            .difficulty
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(difficulty);
        self.announce(Event::Difficulty);
    }

    pub(super) fn standing(&self) -> Standing {
        self.standing
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn change_standing(&self, change: impl FnOnce(&mut Standing)) {
        change(
            &mut self
                .standing
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        );
        self.announce(Event::Standing);
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn parked(&self) -> MutexGuard<'_, Parked> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An extranonce1 no other session has had: a counter, spread by an odd factor so that neighbours don't look alike.
    /// Odd factors permute the numbers below 2^(8·len), so it repeats only when those run out.
    pub(super) fn unique_extranonce1(&self, len: usize) -> Vec<u8> {
        let counter = self.extranonces.fetch_add(1, Ordering::Relaxed);
        let salt = Draw::new(self.settings.seed, 0).next();
        let spread = counter
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(salt)
            .to_le_bytes();
        (0..len)
            .map(|at| {
                spread
                    .get(at)
                    .copied()
                    .unwrap_or(salt.to_le_bytes()[at % 8])
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn extranonces_do_not_repeat_within_their_length() {
        let pool = Shared::new(PoolSettings::default(), ShareDifficulty::new(1.0).unwrap());
        let short: HashSet<_> = (0..1 << 16).map(|_| pool.unique_extranonce1(2)).collect();
        assert_eq!(short.len(), 1 << 16);
        assert_eq!(pool.unique_extranonce1(16).len(), 16);
    }
}
