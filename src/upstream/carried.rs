//! What outlives a pool connection: the pool's session id, its last job, and the shares that it has not said a word about.
//!
//! A pool that hands the same extranonce1 out again can still credit them; any other can't, and they are lost. Meanwhile shares
//! for the jobs of the dead connection are taken in, too: their miners can't know yet.
//!
//! Limits: [`MAX_KEPT`] shares, of which the oldest gives way; none longer than [`KEEP`].

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Facts, Outgoing};
use crate::{
    stratum::Notify,
    work::{Difficulty, Job, UpstreamId},
};

/// cgminer resubmits shares of up to two minutes after a reconnect; ckpool keeps a session's work for longer than that.
pub(super) const KEEP: Duration = Duration::from_secs(120);

/// Two minutes of a large pool connection at 68 shares a second; some 16 MiB.
pub(super) const MAX_KEPT: usize = 8192;

/// A share that has no settlement yet.
#[derive(Debug)]
pub(super) struct Kept {
    pub outgoing: Box<Outgoing>,
    /// When it was taken.
    pub since: Instant,
    /// It was sent on some connection, so that the pool may know it.
    pub was_sent: bool,
}

impl Kept {
    pub fn new(now: Instant, outgoing: Outgoing) -> Self {
        Self { outgoing: Box::new(outgoing), since: now, was_sent: false }
    }

    pub fn upstream(&self) -> UpstreamId {
        self.outgoing.share.upstream()
    }
}

/// The last job that a pool gave, to tell when it gives it again.
///
/// Pools do: after a resume, and node-stratum-pool with every new difficulty. To miners it would be new work with the headers that
/// they have searched already, and their shares duplicates. As its ntime is ours to advance, it becomes new work in truth.
#[derive(Debug)]
pub(super) struct LastJob {
    pub job: Arc<Job>,
    /// When it came for the first time.
    pub since: Instant,
    /// As the pool gave it.
    pub ntime: u32,
}

/// Seconds that a job's ntime is advanced at the most, which leaves miners as many (pools take 7000 in all).
const MAX_ADVANCE: u32 = 3500;

impl LastJob {
    /// Whether `notify`, from the connection `upstream`, is this job once more.
    pub fn is_repeated_by(&self, upstream: UpstreamId, notify: &Notify) -> bool {
        let last = &self.job.notify;
        self.job.upstream == upstream
            && self.ntime == notify.ntime
            && last.job_id == notify.job_id
            && last.prevhash == notify.prevhash
            && last.coinb1 == notify.coinb1
            && last.coinb2 == notify.coinb2
            && last.branches == notify.branches
            && last.version == notify.version
            && last.nbits == notify.nbits
    }

    /// The ntime that makes it new work: that of a miner's clock, and later than any before.
    pub fn next_ntime(&self, now: Instant) -> u32 {
        let elapsed = now.saturating_duration_since(self.since).as_secs().min(u64::from(MAX_ADVANCE)) as u32;
        self.ntime.saturating_add(elapsed).max(self.job.notify.ntime.saturating_add(1))
    }
}

/// What one connection to a pool leaves to the next.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// What was agreed last.
    pub facts: Option<Arc<Facts>>,
    /// What to ask for to resume.
    pub session: Option<String>,
    /// The pool let us wait for an answer to configure in vain.
    pub is_silent_on_configure: bool,
    /// What to suggest, once it was asked for by the router.
    pub suggested: Option<Difficulty>,
    /// The newest.
    pub last_job: Option<LastJob>,
    /// Oldest first.
    shares: VecDeque<Kept>,
}

impl Carried {
    /// Keeps a share for the resume. What is returned is lost: this one, if it is not of the last connection, or the oldest.
    pub fn keep(&mut self, kept: Kept) -> Option<Kept> {
        if self.facts.as_ref().is_none_or(|facts| facts.id != kept.upstream()) {
            return Some(kept);
        }
        self.shares.push_back(kept);
        if self.shares.len() > MAX_KEPT { self.shares.pop_front() } else { None }
    }

    /// Takes out a share that was kept for too long.
    pub fn expired(&mut self, now: Instant) -> Option<Kept> {
        self.next_expiry().filter(|at| *at <= now)?;
        self.shares.pop_front()
    }

    /// When the next one is.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.shares.front().map(|kept| kept.since + KEEP)
    }

    /// All of them, for the new connection or for the bin.
    pub fn take_shares(&mut self) -> VecDeque<Kept> {
        std::mem::take(&mut self.shares)
    }
}
