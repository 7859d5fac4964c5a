//! The jobs that one miner may still submit shares for, and the shares it has submitted.
//!
//! Knows one lease's jobs; knows nothing of connections. It outlives the miner's connection: a miner that resumes its session
//! finds its jobs and its duplicates here.
//!
//! Limits: [`MAX_LIVE_JOBS`] jobs, the oldest goes first; [`MAX_SEEN`] share fingerprints over all of them: when they are full,
//! the oldest job is retired with its own. A job whose fingerprints were forgotten can't be submitted for any more, so that a
//! duplicate never goes to a pool (a farm's address gets banned for them: xmrig-proxy#320).

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use crate::{
    hash::Digest,
    work::{BlockHash, Difficulty, Extranonce, Job, JobId, Target, UpstreamId, Work},
};

/// Pools send a job in 30 s and we re-send in 45 s: sixteen reach back five minutes, longer than any share is on its way.
pub const MAX_LIVE_JOBS: usize = 16;

/// A thousand shares a second (a whole farm behind one connection) for four minutes; 4 MiB at the most.
pub const MAX_SEEN: usize = 1 << 18;

/// What a miner was told that a share must meet. The jobs sent with one difficulty share it.
#[derive(Debug)]
pub struct Terms {
    /// The difficulty it was told.
    pub difficulty: Difficulty,
    /// The target of [`difficulty`](Self::difficulty).
    pub target: Target,
}

impl Terms {
    /// Those of a difficulty. Keep them: the target costs a division of big integers.
    pub fn of(difficulty: Difficulty) -> Arc<Self> {
        Arc::new(Self { difficulty, target: difficulty.target() })
    }
}

/// One work that was sent to the miner.
#[derive(Debug)]
pub struct LiveJob {
    /// What was sent.
    pub work: Arc<Work>,
    /// What the miner was told for it.
    pub(super) terms: Arc<Terms>,
    /// Made with the first share: most jobs that an idle miner is sent never have one.
    seen: Option<Box<Seen>>,
    pub(super) stale: bool,
}

// An idle miner soon has sixteen of them, in half a kilobyte: after a few clean jobs they are the largest part of its session.
const _: () = assert!(size_of::<LiveJob>() <= 32);

impl LiveJob {
    /// A work that goes out now, and the terms that the miner knows.
    pub fn new(work: Arc<Work>, terms: Arc<Terms>) -> Self {
        Self { work, terms, seen: None, stale: false }
    }

    fn has_seen(&self, fingerprint: u64) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.contains(&fingerprint))
    }
}

/// The bounded window of [`LiveJob`]s of one lease.
#[derive(Debug, Default)]
pub struct JobWindow {
    jobs: VecDeque<LiveJob>,
    seen: usize,
    /// Of the share that was hashed last.
    root: Option<KnownRoot>,
}

/// A merkle root, and what it was made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownRoot {
    pub job: JobId,
    pub extranonce2: Extranonce,
    pub root: Digest,
}

impl JobWindow {
    /// Adds the newest job.
    pub fn push(&mut self, job: LiveJob) {
        if self.jobs.len() == MAX_LIVE_JOBS {
            self.retire_oldest();
        }
        self.jobs.push_back(job);
    }

    /// A clean job came from this upstream, or the upstream is gone: what it issued before is stale.
    pub fn supersede(&mut self, upstream: UpstreamId) {
        self.supersede_where(|issuer| issuer == upstream);
    }

    /// As [`supersede`](Self::supersede), for every upstream of which that is true.
    pub fn supersede_where(&mut self, is_over: impl Fn(UpstreamId) -> bool) {
        for job in &mut self.jobs {
            job.stale = job.stale || is_over(job.work.job.upstream);
        }
    }

    /// The job a miner submits for.
    pub fn get(&self, id: JobId) -> Option<&LiveJob> {
        self.jobs.iter().rev().find(|job| job.work.id == id)
    }

    /// The merkle root that was made last.
    pub(super) fn known_root(&self) -> Option<&KnownRoot> {
        self.root.as_ref()
    }

    /// Keeps the merkle root that was made last.
    pub(super) fn know_root(&mut self, root: KnownRoot) {
        self.root = Some(root);
    }

    /// The terms of the newest job.
    pub fn newest_terms(&self) -> Option<&Arc<Terms>> {
        self.jobs.back().map(|job| &job.terms)
    }

    /// Whether shares for jobs of this upstream can still come.
    pub fn has_jobs_of(&self, upstream: UpstreamId) -> bool {
        self.jobs.iter().any(|job| job.work.job.upstream == upstream)
    }

    /// The number of the newest work of a pool's job that was sent.
    pub fn newest_of(&self, job: &Arc<Job>) -> Option<u32> {
        let of_job = self.jobs.iter().filter(|live| Arc::ptr_eq(&live.work.job, job));
        of_job.map(|live| live.work.number).max()
    }

    /// No job was ever sent, or all were retired.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether the header was submitted for this job before.
    pub(super) fn has_seen(&self, id: JobId, hash: &BlockHash) -> bool {
        self.get(id).is_some_and(|job| job.has_seen(hash.fingerprint()))
    }

    /// Remembers the header. May retire the oldest job, even this one when it fills the window alone.
    pub(super) fn remember(&mut self, id: JobId, hash: &BlockHash) {
        if let Some(job) = self.jobs.iter_mut().rev().find(|job| job.work.id == id) {
            self.seen += usize::from(job.seen.get_or_insert_default().insert(hash.fingerprint()));
        }
        while self.seen > MAX_SEEN {
            self.retire_oldest();
        }
    }

    fn retire_oldest(&mut self) {
        if let Some(oldest) = self.jobs.pop_front() {
            self.seen -= oldest.seen.map_or(0, |seen| seen.len());
        }
    }
}

/// Fingerprints of the shares that were submitted for a job.
type Seen = HashSet<u64, BuildHasherDefault<AlreadyHashed>>;

/// A fingerprint is a piece of a SHA-256 and needs no second hash. (A miner that grinds for collisions slows its own session only.)
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("fingerprints are u64")
    }

    fn write_u64(&mut self, fingerprint: u64) {
        self.0 = fingerprint;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        stratum::{VersionDialect, tests::notify_bf},
        work::{Job, JobIds, Split, WorkSeries},
    };

    /// Works of one job, all of the same upstream.
    fn works(count: u32) -> Vec<Arc<Work>> {
        let job = Job::new(UpstreamId(1), notify_bf(), &[8, 0, 0, 2], Difficulty::ONE, 0, VersionDialect::Bip310);
        let job = Arc::new(job.expect("a job"));
        let series =
            WorkSeries::new(job, Arc::new(JobIds::starting_at(u32::MAX)), Split { salt: 1, lease: 1, extranonce2: 2 });
        (0..count).map(|number| series.at_least(number, 0).expect("few").1).collect()
    }

    fn window_of(works: &[Arc<Work>]) -> JobWindow {
        let mut window = JobWindow::default();
        for work in works {
            window.push(LiveJob::new(work.clone(), Terms::of(Difficulty::ONE)));
        }
        window
    }

    fn hash(number: u64) -> BlockHash {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        BlockHash(bytes)
    }

    #[test]
    fn the_oldest_job_makes_room_for_a_new_one() {
        let works = works(MAX_LIVE_JOBS as u32 + 1);
        let window = window_of(&works);
        assert!(window.get(works[0].id).is_none());
        assert!(works[1..].iter().all(|work| window.get(work.id).is_some()));
    }

    #[test]
    fn a_full_window_forgets_a_job_and_never_the_shares_of_a_live_one() {
        let works = works(2);
        let (old, new) = (works[0].id, works[1].id);
        let mut window = window_of(&works);
        window.remember(old, &hash(u64::MAX));
        for number in 0..MAX_SEEN as u64 - 1 {
            window.remember(new, &hash(number));
        }
        assert!(window.has_seen(old, &hash(u64::MAX)), "full, and both are there");
        window.remember(new, &hash(MAX_SEEN as u64));
        assert!(window.get(old).is_none(), "its shares would be forgotten, so that none is taken any more");
        assert!((0..MAX_SEEN as u64 - 1).all(|number| window.has_seen(new, &hash(number))));

        window.remember(new, &hash(MAX_SEEN as u64 + 1));
        assert!(window.is_empty() && window.seen == 0, "a job that fills the window alone goes, too");
    }

    #[test]
    fn the_same_share_is_remembered_once() {
        let works = works(1);
        let mut window = window_of(&works);
        for _ in 0..3 {
            window.remember(works[0].id, &hash(7));
        }
        assert_eq!(window.seen, 1);
    }
}
