//! What others than miners and pools want of the router: a census of the miners, and word of those that sleep.
//!
//! None of it is on a share's way: each is one message to each worker.

use std::{net::IpAddr, sync::Arc};

use tokio::sync::mpsc;

use super::message::ConnectionId;
use crate::work::Hashrate;

/// Errands that may wait.
pub const ERRAND_QUEUE: usize = 16;

/// What is wanted.
#[derive(Debug)]
pub enum Errand {
    /// Every miner, and what became of its shares since it was counted last.
    Census(mpsc::Sender<CensusPart>),
    /// These miners sleep, or do not any more: one that sleeps may leave what it is sent unread for hours without being disconnected, and has
    /// the newest work at once when it wakes.
    Sleepers {
        /// Which.
        connections: Vec<ConnectionId>,
        /// Whether they sleep.
        asleep: bool,
    },
    /// Miners are about to wake: pool connections that wait for their next try are tried at once.
    Rouse,
}

/// What one worker, or the router, knows.
#[derive(Debug)]
pub enum CensusPart {
    /// What pools said of shares since the last census. Always the first part, taken before any worker is asked: so a share that is
    /// settled was counted as sent on.
    Settled(Vec<(ConnectionId, Settled)>),
    /// The miners of one worker; those that left since the last census as well.
    Miners(Vec<MinerReport>),
}

/// What pools said of a miner's shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settled {
    /// Accepted.
    pub accepted: u64,
    /// Rejected.
    pub rejected: u64,
    /// Never answered, or lost with the connection.
    pub lost: u64,
}

/// One miner's connection.
#[derive(Debug, Clone, PartialEq)]
pub struct MinerReport {
    /// Which.
    pub connection: ConnectionId,
    /// Where it comes from.
    pub peer: IpAddr,
    /// Its first authorized worker; `None` before that.
    pub user: Option<Arc<str>>,
    /// What its firmware was taken for.
    pub firmware: &'static str,
    /// What it hashes, estimated; `None` while nothing is known.
    pub hashrate: Option<Hashrate>,
    /// Shares that count, found good by our own check, since the last census.
    pub found: u64,
    /// Their difficulties.
    pub work: f64,
    /// Shares that do not count, since the last census.
    pub refused: u64,
    /// Shares that were handed to a pool's queue, since the last census.
    pub forwarded: u64,
    /// Its connection is gone: this is its last report.
    pub is_gone: bool,
}

/// All of it, as one.
#[derive(Debug, Default)]
pub struct Census {
    /// Every miner, by worker.
    pub miners: Vec<MinerReport>,
    /// What pools said since the last census.
    pub settled: Vec<(ConnectionId, Settled)>,
}

/// The way to the router for errands. Clones are the same; a census is one for all, so only one of them takes it.
#[derive(Debug, Clone)]
pub struct Errands {
    to_router: mpsc::Sender<Errand>,
    workers: usize,
}

impl Errands {
    /// To a router with so many workers; what it has to do comes out of the other end.
    pub fn new(workers: usize) -> (Self, mpsc::Receiver<Errand>) {
        let (to_router, errands) = mpsc::channel(ERRAND_QUEUE);
        (Self { to_router, workers }, errands)
    }

    /// Counts the miners. The first census only begins the count: it finds who is there, and no shares. One that is given up halfway loses what
    /// it has counted. `None` when the proxy has ended.
    pub async fn census(&self) -> Option<Census> {
        let (answer, mut parts) = mpsc::channel(self.workers + 1);
        self.to_router.send(Errand::Census(answer)).await.ok()?;
        let mut census = None;
        while let Some(part) = parts.recv().await {
            match part {
                CensusPart::Settled(settled) => census = Some(Census { settled, miners: Vec::new() }),
                CensusPart::Miners(mut miners) => census.get_or_insert_default().miners.append(&mut miners),
            }
        }
        census
    }

    /// Whether nobody does errands any more: the router has ended, or ends.
    pub fn is_over(&self) -> bool {
        self.to_router.is_closed()
    }

    /// These miners sleep, or do not any more.
    pub async fn sleepers(&self, connections: Vec<ConnectionId>, asleep: bool) {
        let _ = self.to_router.send(Errand::Sleepers { connections, asleep }).await;
    }

    /// Miners are about to wake.
    pub async fn rouse(&self) {
        let _ = self.to_router.send(Errand::Rouse).await;
    }
}
