//! What a session has been given: its extranonce and the jobs it may submit to.
//!
//! This is what outlives a connection when the pool lets sessions resume.

use std::collections::{HashMap, VecDeque};

use super::check::IssuedJob;

/// Jobs a connection can submit to: eight minutes' worth at the default interval.
pub(super) const MAX_ISSUED_JOBS: usize = 16;

/// What the coinbase of a session holds between `coinb1` and `coinb2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extranonce {
    /// The pool's part.
    pub(super) one: Vec<u8>,
    /// Bytes of the miner's part.
    pub(super) two_size: usize,
}

/// The jobs sent on a session, by id.
#[derive(Debug, Default)]
pub(super) struct IssuedJobs {
    by_id: HashMap<String, IssuedJob>,
    order: VecDeque<String>,
}

impl IssuedJobs {
    pub(super) fn insert(&mut self, job: IssuedJob) {
        let id = job.job().parts.id.clone();
        if self.by_id.insert(id.clone(), job).is_some() {
            return; // re-sent after a resume: same age, new difficulty
        }
        self.order.push_back(id);
        if self.order.len() > MAX_ISSUED_JOBS
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<&IssuedJob> {
        self.by_id.get(id)
    }
}
