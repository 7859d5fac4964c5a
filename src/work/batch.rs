//! Shares that are hashed together: those of one work, of one miner or of several.
//!
//! Knows what a hash is made of; knows nothing of verdicts. A [`HashBatch`] takes shares as they come, hashes them at once, and gives
//! each window its hash back; [`Judge::judge_hashed`] says what becomes of them.
//!
//! ```text
//! miner 1 ─ add ─┐              ┌ merkle roots, each extranonce once ┐            ┌ take ─ judge_hashed ─ miner 1
//! miner 2 ─ add ─┼─ HashBatch ──┤  (none where a window knows it)    ├─ headers ──┤
//! miner 2 ─ add ─┘   one work   └────────────────────────────────────┘            └ take ─ judge_hashed ─ miner 2
//! ```
//!
//! Limits: [`MAX_BATCH`] shares. Nothing allocates. Why so: kernels are up to four times faster for sixteen shares than for one
//! (`hash/mod.rs`), and it is the same work for every miner of a pool connection.

use crate::{
    hash::{Digest, HeaderInput},
    work::{
        BlockHash, Extranonce, JobId, JobWindow, Judge, MAX_BATCH, MAX_EXTRANONCE, Submission, Work, window::KnownRoot,
    },
};

/// Shares of one work, and what hashing them yields.
#[derive(Debug, Default)]
pub struct HashBatch {
    /// The work of all; `None` while there are none.
    job: Option<JobId>,
    len: usize,
    shares: [Share; MAX_BATCH],
    headers: [HeaderInput; MAX_BATCH],
    /// Extranonces, each a lease id and a miner's part, whose merkle roots must be made.
    extranonces: [[u8; MAX_EXTRANONCE]; MAX_BATCH],
    extranonces_len: usize,
    /// Of the share in the same place.
    roots: [Digest; MAX_BATCH],
    hashes: [Digest; MAX_BATCH],
}

#[derive(Clone, Copy, Debug, Default)]
struct Share {
    extranonce2: Extranonce,
    root: Root,
}

/// Where a share's merkle root comes from.
#[derive(Clone, Copy, Debug, Default)]
enum Root {
    /// It is in its place already.
    #[default]
    Known,
    /// From the extranonce there.
    Of(usize),
}

/// The batch is full, or for another work: hash it first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom;

impl HashBatch {
    /// Whether it has no share.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it has no room for another share.
    pub fn is_full(&self) -> bool {
        self.len == MAX_BATCH
    }

    /// Takes a share, and says in which place. `None`: it has no hash, and [`Judge::judge_hashed`] will say why.
    ///
    /// # Errors
    /// If there is no room, which can't be when the batch is empty.
    pub fn add(&mut self, judge: &Judge, window: &JobWindow, submission: &Submission) -> Result<Option<usize>, NoRoom> {
        let Some(live) = submission.job.and_then(|id| window.get(id)) else { return Ok(None) };
        let Ok(version) = judge.check_fields(live, submission) else { return Ok(None) };
        let id = live.work.id;
        if self.is_full() || self.job.is_some_and(|job| job != id) {
            return Err(NoRoom);
        }
        let place = self.len;
        let Submission { extranonce2, ntime, nonce, .. } = *submission;
        self.headers[place] = HeaderInput { version, ntime, nonce };
        // Firmware that rolls versions finds several shares with one extranonce.
        let root = match window.known_root() {
            Some(known) if known.job == id && known.extranonce2 == extranonce2 => {
                self.roots[place] = known.root;
                Root::Known
            }
            _ => Root::Of(self.place_of(Work::extranonce(&judge.lease, &extranonce2))),
        };
        self.shares[place] = Share { extranonce2, root };
        self.job = Some(id);
        self.len += 1;
        Ok(Some(place))
    }

    /// The place of an extranonce, which is that of the one before if they are the same.
    fn place_of(&mut self, extranonce: [u8; MAX_EXTRANONCE]) -> usize {
        let count = self.extranonces_len;
        if count > 0 && self.extranonces[count - 1] == extranonce {
            return count - 1;
        }
        self.extranonces[count] = extranonce;
        self.extranonces_len += 1;
        count
    }

    /// Hashes all shares.
    ///
    /// `window`: that of any miner with a share in the batch, for the work, which is the same for all.
    ///
    /// # Panics
    /// If the window does not have that work.
    pub fn hash(&mut self, window: &JobWindow) {
        let Some(id) = self.job else { return };
        let work = &window.get(id).expect("a window of which a share was taken has its work").work;
        let mut made = [Digest::default(); MAX_BATCH];
        let made = &mut made[..self.extranonces_len];
        work.merkle_roots(&self.extranonces[..self.extranonces_len], made);
        for (root, share) in self.roots.iter_mut().zip(&self.shares[..self.len]) {
            if let Root::Of(place) = share.root {
                *root = made[place];
            }
        }
        work.header_hashes(&self.roots[..self.len], &self.headers[..self.len], &mut self.hashes[..self.len]);
    }

    /// The hash of the share in a place. Its miner's window remembers the merkle root.
    ///
    /// # Panics
    /// If no share is there.
    pub fn take(&self, place: usize, window: &mut JobWindow) -> BlockHash {
        let (Some(job), true) = (self.job, place < self.len) else { panic!("no share in place {place}") };
        let Share { extranonce2, root } = self.shares[place];
        if matches!(root, Root::Of(_)) {
            window.know_root(KnownRoot { job, extranonce2, root: self.roots[place] });
        }
        BlockHash(self.hashes[place].to_bytes())
    }

    /// Makes room. To be called when all shares were taken.
    pub fn clear(&mut self) {
        (self.job, self.len, self.extranonces_len) = (None, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::work::{Judged, share::tests};

    /// A miner, what it submitted, and the place of that in the batch.
    type Taken<'a> = (usize, &'a Submission, Option<usize>);

    proptest! {
        #[test]
        fn shares_of_many_miners_are_judged_together_as_each_alone(
            submissions in proptest::collection::vec((0usize..5, tests::submission()), 0..60),
        ) {
            let (judges, mut alone) = tests::miners(5);
            let (_, mut together) = tests::miners(5);
            let mut batch = HashBatch::default();
            let mut taken: Vec<Taken<'_>> = Vec::new();
            let mut judged: Vec<Judged> = Vec::new();
            let mut flush = |batch: &mut HashBatch, taken: &mut Vec<Taken<'_>>, windows: &mut Vec<JobWindow>| {
                if let Some((miner, ..)) = taken.iter().find(|(_, _, place)| place.is_some()) {
                    batch.hash(&windows[*miner]);
                }
                for (miner, submission, place) in taken.drain(..) {
                    let hash = place.map(|place| batch.take(place, &mut windows[miner]));
                    judged.push(judges[miner].judge_hashed(&mut windows[miner], submission, hash));
                }
                batch.clear();
            };
            for (miner, submission) in &submissions {
                let place = batch.add(&judges[*miner], &together[*miner], submission).or_else(|NoRoom| {
                    flush(&mut batch, &mut taken, &mut together);
                    batch.add(&judges[*miner], &together[*miner], submission)
                });
                taken.push((*miner, submission, place.expect("an empty batch has room")));
            }
            flush(&mut batch, &mut taken, &mut together);
            prop_assert!(batch.is_empty());
            for ((miner, submission), of_many) in submissions.iter().zip(judged) {
                let one = judges[*miner].judge(&mut alone[*miner], submission);
                prop_assert_eq!(one.verdict, of_many.verdict);
                let for_pool = |judged: Judged| judged.pool_share.map(|share| (*share.hash(), *share.extranonce2()));
                prop_assert_eq!(for_pool(one), for_pool(of_many));
            }
        }
    }

    #[test]
    fn a_batch_takes_one_work_and_no_more_than_it_can() {
        let (judges, windows) = tests::miners(2);
        let submission = |job: u32, nonce| tests::plain(job, nonce);
        let mut batch = HashBatch::default();
        for nonce in 0..MAX_BATCH {
            let miner = nonce % 2;
            assert_eq!(batch.add(&judges[miner], &windows[miner], &submission(0, nonce as u32)), Ok(Some(nonce)));
            assert_eq!(batch.add(&judges[miner], &windows[miner], &submission(9, 0)), Ok(None), "no such job");
        }
        assert_eq!(batch.add(&judges[0], &windows[0], &submission(0, 99)), Err(NoRoom), "full");
        batch.clear();
        assert_eq!(batch.add(&judges[0], &windows[0], &submission(0, 0)), Ok(Some(0)));
        assert_eq!(batch.add(&judges[0], &windows[0], &submission(1, 0)), Err(NoRoom), "another work");
    }

    #[test]
    fn an_extranonce_that_comes_again_costs_no_merkle_root() {
        let (judges, mut windows) = tests::miners(1);
        let (judge, window) = (&judges[0], &mut windows[0]);
        let mut batch = HashBatch::default();
        for nonce in 0..3 {
            batch.add(judge, window, &tests::plain(0, nonce)).unwrap();
        }
        assert_eq!(batch.extranonces_len, 1, "within a batch");
        batch.hash(window);
        batch.take(0, window);
        batch.clear();
        let place = batch.add(judge, window, &tests::plain(0, 3)).unwrap().unwrap();
        assert_eq!(batch.extranonces_len, 0, "from one batch to the next");
        batch.hash(window);
        let work = Arc::clone(&window.get(tests::plain(0, 3).job.unwrap()).unwrap().work);
        let Submission { extranonce2, ntime, nonce, .. } = tests::plain(0, 3);
        assert_eq!(batch.take(place, window), work.hash(&judge.lease, &extranonce2, ntime, nonce, work.version));
    }
}
