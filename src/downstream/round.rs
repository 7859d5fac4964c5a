//! The shares that were read in one turn of a worker, of all its miners: hashed together, then judged in the order they came.
//!
//! Knows who submitted what; knows nothing of verdicts and answers. Nothing is waited for: a round ends with what was there to
//! read, and nearly all of its shares are for one work, because all miners of a pool connection have the same.
//!
//! ```text
//! Session::take_line ─► shares, in order ─► hash ─► Session::judge_from, miner by miner ─► answers
//!                       └ one HashBatch for each work
//! ```
//!
//! Limits: [`MAX_WORKS`] works and [`MAX_BATCH`](crate::work::MAX_BATCH) shares of each are hashed together; a share for one
//! work more is hashed by itself. Why so: sixteen shares together take a quarter of sixteen alone (`hash/mod.rs`). [`MAX_SHARES`]
//! in all, with those that have no hash; an id is no longer than the line it came in.

use std::ops::Range;

use crate::{
    stratum::RawId,
    work::{BlockHash, HashBatch, JobWindow, Judge, Reject, Submission},
};

/// Two pools, and an older job of each that some miners still work at.
const MAX_WORKS: usize = 4;

/// Shares that may wait. Those that have no hash (for unknown jobs, of unknown workers) fill no batch, and a flood of them must not wait until
/// all sockets were read. Some hundred bytes each, besides the ids.
const MAX_SHARES: usize = 256;

/// Shares that wait to be judged, and what hashing them needs. Its buffers serve all miners of a worker.
#[derive(Debug, Default)]
pub struct Round {
    /// Whose lines are being read, as the caller counts its sessions.
    owner: usize,
    shares: Vec<Share>,
    /// How many of them were judged.
    judged: usize,
    works: Vec<OfWork>,
    /// The ids to answer to, one after the other.
    ids: Vec<u8>,
}

#[derive(Debug)]
struct Share {
    owner: usize,
    id: Range<usize>,
    worker: usize,
    submission: Result<Submission, Reject>,
    /// Which of the works, and where in its batch; `None` if it has no hash, or is hashed by itself.
    place: Option<(usize, usize)>,
}

/// Shares of one work.
#[derive(Debug, Default)]
struct OfWork {
    /// Who has it in its window.
    owner: usize,
    hashes: HashBatch,
}

/// A share whose turn it is.
#[derive(Debug)]
pub(super) struct Next<'r> {
    pub(super) id: RawId<'r>,
    /// The place of the worker's name in its session.
    pub(super) worker: usize,
    /// What to judge, or what is wrong with its shape.
    pub(super) submission: Result<Submission, Reject>,
    pub(super) hash: Option<BlockHash>,
}

impl Round {
    /// The lines that come now are this miner's.
    pub fn begin(&mut self, owner: usize) {
        self.owner = owner;
    }

    /// Whether it is time to judge: another share might be hashed by itself, or as many wait as may.
    pub fn is_full(&self) -> bool {
        self.shares.len() >= MAX_SHARES || self.works.iter().any(|work| work.hashes.is_full())
    }

    /// Whether shares wait of the miner whose lines are being read.
    pub(super) fn has_own(&self) -> bool {
        self.shares.iter().any(|share| share.owner == self.owner)
    }

    /// Takes a share. `judge` is `None` if its miner can have no share that counts.
    pub(super) fn add(
        &mut self,
        judge: Option<&Judge>,
        window: &JobWindow,
        id: RawId<'_>,
        worker: usize,
        submission: Submission,
    ) {
        let place = judge.and_then(|judge| self.place(judge, window, &submission));
        self.push(id, worker, Ok(submission), place);
    }

    /// Takes a share that can't be judged; it is answered in its turn.
    pub(super) fn refuse(&mut self, id: RawId<'_>, reject: Reject) {
        self.push(id, 0, Err(reject), None);
    }

    fn push(
        &mut self,
        id: RawId<'_>,
        worker: usize,
        submission: Result<Submission, Reject>,
        place: Option<(usize, usize)>,
    ) {
        let from = self.ids.len();
        self.ids.extend_from_slice(id.as_bytes());
        self.shares.push(Share { owner: self.owner, id: from..self.ids.len(), worker, submission, place });
    }

    /// Where it will be hashed.
    fn place(&mut self, judge: &Judge, window: &JobWindow, submission: &Submission) -> Option<(usize, usize)> {
        for (at, work) in self.works.iter_mut().enumerate() {
            if work.hashes.is_empty() {
                work.owner = self.owner;
            }
            // No room: it is for another work, or one more than fits.
            if let Ok(place) = work.hashes.add(judge, window, submission) {
                return place.map(|place| (at, place));
            }
        }
        if self.works.len() == MAX_WORKS {
            return None;
        }
        self.works.push(OfWork { owner: self.owner, ..OfWork::default() });
        self.place(judge, window, submission)
    }

    /// Hashes all shares. `window` yields that of a miner who submitted one.
    pub fn hash<'w>(&mut self, window: impl Fn(usize) -> &'w JobWindow) {
        for work in self.works.iter_mut().filter(|work| !work.hashes.is_empty()) {
            work.hashes.hash(window(work.owner));
        }
    }

    /// Whose share comes next; `None` if all were judged.
    pub fn next_owner(&self) -> Option<usize> {
        self.shares.get(self.judged).map(|share| share.owner)
    }

    /// The next share, if it is this miner's.
    pub(super) fn next_of(&mut self, owner: usize, window: &mut JobWindow) -> Option<Next<'_>> {
        let share = self.shares.get(self.judged).filter(|share| share.owner == owner)?;
        self.judged += 1;
        Some(Next {
            id: RawId::from_bytes(&self.ids[share.id.clone()]),
            worker: share.worker,
            submission: share.submission,
            hash: share.place.map(|(work, place)| self.works[work].hashes.take(place, window)),
        })
    }

    /// Makes room for the next round. To be called when all were judged.
    pub fn clear(&mut self) {
        debug_assert_eq!(self.judged, self.shares.len(), "a share without an answer");
        self.shares.clear();
        self.ids.clear();
        self.judged = 0;
        self.works.iter_mut().for_each(|work| work.hashes.clear());
    }
}
