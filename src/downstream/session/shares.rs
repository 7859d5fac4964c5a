//! What becomes of the shares of one miner: taken into the round of its worker, judged when that is hashed, answered in their order.
//!
//! Limit: [`MAX_AWAITED`] that wait for the pool's word.

use super::*;
use crate::{downstream::round::Next, work::BlockHash};

/// Shares of one miner that wait for the pool's word; beyond it ours is given.
pub(super) const MAX_AWAITED: usize = 256;

#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) ticket: u32,
    pub(super) id: Box<[u8]>,
    /// Of its worker.
    pub(super) place: u16,
    pub(super) verdict: ValidShare,
    pub(super) since: Instant,
    pub(super) upstream: UpstreamId,
    /// Its pool is away, and may still come back for it.
    pub(super) is_lost: bool,
}

impl Session {
    /// Takes a submit into the round, which may find that it has the wrong shape.
    pub(super) fn take_submit(&mut self, id: RawId<'_>, submit: &Submit<'_>, io: &mut Io) {
        let taken = match Extranonce::from_hex(&submit.extranonce2) {
            None => Err(Reject::Malformed("extranonce2")),
            Some(extranonce2) => self.submitter(&submit.user).map(|worker| (worker, extranonce2)),
        };
        let (worker, extranonce2) = match taken {
            Ok(taken) => taken,
            Err(reject) => return io.round.refuse(id, reject),
        };
        if matches!((self.rolling, submit.version), (Rolling::Unasked, Some(1..))) {
            self.set_rolling(Rolling::Unannounced, io);
        }
        let submission = Submission {
            job: JobId::parse(&submit.job),
            extranonce2,
            ntime: submit.ntime,
            nonce: submit.nonce,
            version: match (submit.version, self.rolling) {
                (None, _) => SubmittedVersion::Unrolled,
                (Some(full), Rolling::WholeVersion) => SubmittedVersion::Full(full),
                (Some(bits), _) => SubmittedVersion::Bits(bits),
            },
        };
        io.round.add(self.judge().as_ref(), &self.window, id, worker, submission);
    }

    /// Judges and answers the shares that were taken; all must be of this one session.
    pub fn judge_round(&mut self, now: Instant, io: &mut Io) {
        let mut round = std::mem::take(&mut io.round);
        round.hash(|_| &self.window);
        while round.next_owner().is_some() {
            self.judge_from(now, &mut round, io);
        }
        round.clear();
        io.round = round;
    }

    /// Judges and answers the next shares of a hashed round, up to the first of another miner.
    pub fn judge_from(&mut self, now: Instant, round: &mut Round, io: &mut Io) {
        let Some(owner) = round.next_owner() else { return };
        while let Some(Next { id, worker, submission, hash }) = round.next_of(owner, &mut self.window) {
            match submission {
                Ok(submission) => self.judge_share(now, id, worker, &submission, hash, io),
                Err(reject) => self.reject(id, 0, reject, io),
            }
        }
    }

    fn judge_share(
        &mut self,
        now: Instant,
        id: RawId<'_>,
        worker: usize,
        submission: &Submission,
        hash: Option<BlockHash>,
        io: &mut Io,
    ) {
        // Each by itself: the share before may have changed the difficulty, or retired a job.
        let place = self.workers[worker].place;
        let Some(judge) = self.judge() else { return self.reject(id, place, Reject::JobNotFound, io) };
        let Judged { mut verdict, mut pool_share } = judge.judge_hashed(&mut self.window, submission, hash);
        // It tells how fast the miner is, whatever becomes of it.
        let found = verdict.ok();
        if let Link::Away(upstream) = self.link
            && self.is_for(submission.job, upstream)
        {
            // The pool can't credit it now; but a block is worth keeping.
            pool_share = pool_share.filter(PoolShare::is_block);
            verdict = verdict.and(Err(Reject::NoPool));
        }
        let mut ticket = 0;
        match verdict {
            Err(reject) => self.reject(id, place, reject, io),
            Ok(valid) => {
                if let Some(share) = pool_share.as_ref().filter(|_| self.waits_for_pool()) {
                    ticket = self.next_ticket;
                    self.next_ticket = self.next_ticket.wrapping_add(1).max(1);
                    self.awaited.push_back(Awaited {
                        ticket,
                        id: id.as_bytes().into(),
                        place,
                        verdict: valid,
                        since: now,
                        upstream: share.upstream(),
                        is_lost: false,
                    });
                } else {
                    self.credit(id, place, valid, io);
                }
            }
        }
        if let Some(share) = pool_share {
            let user = self.workers[worker].name.clone();
            io.effects.push(Effect::Submit { share, user, ticket });
        }
        self.credited_any |= verdict.is_ok();
        if let Some(valid) = found {
            let retarget = self.vardiff.as_mut().and_then(|vardiff| vardiff.record_share(now, valid.credited()));
            self.retarget(now, retarget, io);
        }
        if self.window.is_empty() {
            // Its shares filled the window: the miner needs headers that can be told apart again.
            self.send_more(now, io);
        }
    }

    /// The authorized worker of this name: its place in the list.
    fn submitter(&self, user: &[u8]) -> Result<usize, Reject> {
        if self.lease.is_none() {
            return Err(Reject::NotSubscribed);
        }
        self.workers.binary_search_by(|known| known.name.as_bytes().cmp(user)).map_err(|_| Reject::Unauthorized)
    }

    /// What this miner is judged by; `None` before its first work.
    fn judge(&self) -> Option<Judge> {
        // A miner that resumed may submit before it was told anything on this connection.
        let Terms { difficulty, target } = **self.told.as_ref().or_else(|| self.window.newest_terms())?;
        Some(Judge { lease: self.lease()?.id, version_mask: self.version_mask(), difficulty, target })
    }

    fn is_for(&self, job: Option<JobId>, upstream: UpstreamId) -> bool {
        job.and_then(|job| self.window.get(job)).is_none_or(|job| job.work.job.upstream == upstream)
    }

    fn waits_for_pool(&self) -> bool {
        matches!(self.settings.listener.answer, config::Answer::Pool { .. }) && self.awaited.len() < MAX_AWAITED
    }

    pub(super) fn credit(&self, id: RawId<'_>, place: u16, share: ValidShare, io: &mut Io) {
        Response(&mut io.out).ok(id);
        io.effects.push(Effect::Judged { verdict: Ok(share), place });
    }

    pub(super) fn reject(&self, id: RawId<'_>, place: u16, reject: Reject, io: &mut Io) {
        let (what, field) = reject.text();
        Response(&mut io.out).refuse(id, reject.code(), what, field);
        io.effects.push(Effect::Judged { verdict: Err(reject), place });
    }

    pub(super) fn mark_awaited(&mut self, upstream: UpstreamId, is_lost: bool) {
        for awaited in self.awaited.iter_mut().filter(|awaited| awaited.upstream == upstream) {
            awaited.is_lost = is_lost;
        }
    }

    /// The pool's word on a share whose reply waits.
    pub fn handle_pool_word(&mut self, ticket: u32, word: Result<(), PoolError>, io: &mut Io) {
        let Some(at) = self.awaited.iter().position(|awaited| awaited.ticket == ticket) else { return };
        let Some(Awaited { id, place, verdict, .. }) = self.awaited.remove(at) else { return };
        let id = RawId::from_bytes(&id);
        match word {
            Ok(()) => self.credit(id, place, verdict, io),
            Err(PoolError { code, message }) => {
                Response(&mut io.out).quoted_error(id, u32::try_from(code).unwrap_or(20), &message);
                io.effects.push(Effect::Judged { verdict: Err(Reject::from_pool(code)), place });
            }
        }
    }
}
