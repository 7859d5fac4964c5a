//! What the router knows of one pool connection.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::warn;

use crate::{
    router::{Berth, LaneId, Layout, switchboard::Line},
    upstream::{self, Facts},
    work::{Difficulty, HASHES_PER_DIFFICULTY, Hashrate, Job, UpstreamId, WorkSeries},
};

/// Shares a second that a pool connection should see once its difficulty has settled; suggested when miners move to it.
const SETTLED_SHARES_PER_SECOND: f64 = 5.0;

/// Disagreements with a pool are logged so often; what comes between is counted.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

/// One pool connection, or the attempts at it.
pub struct Connection {
    /// Its pool's place in the config.
    pub pool: usize,
    /// The lane it serves; `None`: a standby that keeps its pool known.
    pub lane: Option<(LaneId, Layout)>,
    /// Its task.
    pub handle: upstream::Handle,
    /// What was agreed with the pool when it was live last.
    pub facts: Option<Arc<Facts>>,
    /// Logged in, with work.
    pub live: bool,
    /// The newest job, and when it came.
    pub job: Option<(Arc<Job>, Instant)>,
    /// What its lane's miners have.
    pub series: Option<Arc<WorkSeries>>,
    /// The identity that workers know it by.
    pub announced: Option<UpstreamId>,
    /// The last time that nothing older than this could still be hashed for it.
    pub cleaned: Option<Instant>,
    /// Nobody needs it any more: it takes late shares until then, and closes.
    pub retires: Option<Instant>,
    /// It was opened with settings that its pool has no more: it carries miners only until another one can.
    pub is_outdated: bool,
    /// No share is sent to it any more; it only hears what the pool says of those that were.
    pub is_closing: bool,
}

impl Connection {
    /// Nothing is agreed yet.
    pub fn new(pool: usize, lane: Option<(LaneId, Layout)>, handle: upstream::Handle) -> Self {
        Self {
            pool,
            lane,
            handle,
            facts: None,
            live: false,
            job: None,
            series: None,
            announced: None,
            cleaned: None,
            retires: None,
            is_outdated: false,
            is_closing: false,
        }
    }

    /// Whether it is this pool's for this lane.
    pub fn serves(&self, berth: Berth, pool: usize) -> bool {
        self.is_present() && self.pool == pool && self.lane.is_some_and(|(lane, _)| lane == berth.lane)
    }

    /// Whether it was, and may carry its miners until another one can.
    pub fn carries(&self, berth: Berth, pool: usize) -> bool {
        let is_for = self.pool == pool && self.lane.is_some_and(|(lane, _)| lane == berth.lane);
        is_for && self.is_outdated && !self.is_closing
    }

    /// Whether it has its pool's present settings, and is not about to close.
    pub fn is_present(&self) -> bool {
        !self.is_outdated && !self.is_closing
    }

    /// What miners can be bound to, if it has work.
    pub fn line(&self) -> Option<Line> {
        let has_work = self.live && self.series.is_some();
        self.announced.filter(|_| has_work).map(|upstream| Line { pool: self.pool, upstream })
    }
}

/// The difficulty at which this hashrate finds [`SETTLED_SHARES_PER_SECOND`].
pub fn settled_difficulty(hashrate: Hashrate) -> Option<Difficulty> {
    Difficulty::new(hashrate.hs() / HASHES_PER_DIFFICULTY / SETTLED_SHARES_PER_SECOND)
}

/// What was not logged of a pool.
#[derive(Debug, Default)]
pub struct Complaints {
    last: Option<Instant>,
    unsaid: u64,
}

impl Complaints {
    /// Logs, but not a flood: a pool that rejects everything rejects thousands a second.
    pub fn say(&mut self, now: Instant, pool: &str, what: &str) {
        if self.last.is_some_and(|last| now < last + COMPLAIN_EVERY) {
            self.unsaid += 1;
            return;
        }
        let more = match std::mem::take(&mut self.unsaid) {
            0 => String::new(),
            unsaid => format!(" (and {unsaid} like it)"),
        };
        self.last = Some(now);
        warn!("pool {pool:?}: {what}{more}");
    }
}
