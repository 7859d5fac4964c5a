//! What others than miners and pools want of the router: a census of the miners, and word of those that sleep.
//!
//! None of it is on a share's way: each is one message to each worker.
//!
//! | a connection's shares are | counted for |
//! |---|---|
//! | of its first authorized worker, or name none that is authorized | that one, [`MinerReport::user`] |
//! | of another one, as behind a proxy that brings many | that one, in [`MinerReport::others`] |
//! | settled by a pool | the connection: pools' words do not come by worker |
//!
//! Limit: [`MAX_ABSENT`] of a census that waits for somebody who is slow.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::message::ConnectionId;
use crate::work::{Difficulty, Hashrate, Reject};

/// Errands that may wait.
pub const ERRAND_QUEUE: usize = 16;

/// Reports of connections that are gone that a census which waits keeps when another is added; the oldest go first. As many as one worker
/// keeps between two censuses.
pub const MAX_ABSENT: usize = 65_536;

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

impl Settled {
    /// Both together.
    pub fn add(&mut self, more: Settled) {
        self.accepted += more.accepted;
        self.rejected += more.rejected;
        self.lost += more.lost;
    }
}

/// Shares that were judged since the last census.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Judgements {
    /// Those that count, found good by our own check.
    pub found: u64,
    /// Their difficulties.
    pub work: f64,
    /// Those that do not count, by [`Reject::index`].
    pub rejects: [u32; Reject::COUNT],
}

impl Judgements {
    /// Those that do not count.
    pub fn refused(&self) -> u64 {
        self.rejects.iter().map(|count| u64::from(*count)).sum()
    }

    /// Those of one reason.
    pub fn of(&self, reject: Reject) -> u64 {
        self.rejects[reject.index()].into()
    }

    /// Both together.
    pub fn add(&mut self, more: &Self) {
        self.found += more.found;
        self.work += more.work;
        for (sum, more) in self.rejects.iter_mut().zip(more.rejects) {
            *sum = sum.saturating_add(more);
        }
    }

    /// What is left without those.
    pub fn without(&self, part: &Self) -> Self {
        let mut rejects = self.rejects;
        for (sum, part) in rejects.iter_mut().zip(part.rejects) {
            *sum = sum.saturating_sub(part);
        }
        Self { found: self.found.saturating_sub(part.found), work: (self.work - part.work).max(0.0), rejects }
    }
}

/// One miner's connection.
#[derive(Debug, Clone, PartialEq)]
pub struct MinerReport {
    /// Which.
    pub connection: ConnectionId,
    /// Where it comes from.
    pub peer: IpAddr,
    /// The listener it came by: position in the config.
    pub listener: usize,
    /// The route it mines on: position in the config; `None` before it has one.
    pub route: Option<usize>,
    /// Its first authorized worker; `None` before that.
    pub user: Option<Arc<str>>,
    /// The other workers that were authorized on it, with what is theirs of `shares`. Most connections have none.
    pub others: Box<[(Arc<str>, Judgements)]>,
    /// What its firmware was taken for.
    pub firmware: &'static str,
    /// What its firmware calls itself, cut to 64 bytes.
    pub agent: Option<Arc<str>>,
    /// When it connected.
    pub connected: Instant,
    /// When its last share that counts was found, if that was after the first census.
    pub last_share: Option<Instant>,
    /// Its difficulty now.
    pub difficulty: Option<Difficulty>,
    /// What it hashes, estimated; `None` while nothing is known.
    pub hashrate: Option<Hashrate>,
    /// Shares of all its workers since the last census.
    pub shares: Judgements,
    /// Shares that were handed to a pool's queue, since the last census.
    pub forwarded: u64,
    /// It was told to sleep, or is on its way up.
    pub is_asleep: bool,
    /// Its connection is gone: this is its last report.
    pub is_gone: bool,
}

impl MinerReport {
    /// Of a connection that has done nothing yet.
    pub fn new(connection: ConnectionId, peer: IpAddr, connected: Instant) -> Self {
        Self {
            connection,
            peer,
            listener: 0,
            route: None,
            user: None,
            others: Box::default(),
            firmware: "",
            agent: None,
            connected,
            last_share: None,
            difficulty: None,
            hashrate: None,
            shares: Judgements::default(),
            forwarded: 0,
            is_asleep: false,
            is_gone: false,
        }
    }

    /// What its first worker has of its shares: all that is no other's.
    pub fn own(&self) -> Judgements {
        self.others.iter().fold(self.shares, |left, (_, other)| left.without(other))
    }

    /// What it did earlier counts as well; what it is, is as it says.
    fn follows(&mut self, earlier: &Self) {
        self.shares.add(&earlier.shares);
        self.forwarded += earlier.forwarded;
        for (name, shares) in &earlier.others {
            // Workers of a connection stay its workers.
            if let Some((_, own)) = self.others.iter_mut().find(|(own, _)| own == name) {
                own.add(shares);
            }
        }
    }
}

/// All of it, as one.
#[derive(Debug, Clone, Default)]
pub struct Census {
    /// When the count began: what was found before that is in it.
    pub began: Timestamp,
    /// Every miner, by worker.
    pub miners: Vec<MinerReport>,
    /// What pools said since the last census.
    pub settled: Vec<(ConnectionId, Settled)>,
}

impl Census {
    /// Makes one of two: nothing that was counted is lost, and miners are as the later one says. Of connections that are gone the oldest
    /// [`MAX_ABSENT`] are; yields how many more were forgotten.
    pub fn absorb(&mut self, later: &Self) -> usize {
        let mut settled: HashMap<ConnectionId, Settled> = self.settled.drain(..).collect();
        for (connection, more) in &later.settled {
            settled.entry(*connection).or_default().add(*more);
        }
        (self.settled, self.began) = (settled.into_iter().collect(), later.began);
        let places: HashMap<ConnectionId, usize> =
            self.miners.iter().enumerate().map(|(place, miner)| (miner.connection, place)).collect();
        for miner in &later.miners {
            match places.get(&miner.connection) {
                Some(place) => {
                    let earlier = std::mem::replace(&mut self.miners[*place], miner.clone());
                    self.miners[*place].follows(&earlier);
                }
                None => self.miners.push(miner.clone()),
            }
        }
        let gone = self.miners.iter().filter(|miner| miner.is_gone).count();
        let mut too_many = gone.saturating_sub(MAX_ABSENT);
        let forgotten = too_many;
        self.miners.retain(|miner| {
            let is_forgotten = miner.is_gone && too_many > 0;
            too_many -= usize::from(is_forgotten);
            !is_forgotten
        });
        forgotten
    }
}

/// The way to the router for errands. Clones are the same; a census is one for all, so only one of them takes it: `census/` does, for all who want
/// it.
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
        let began = Timestamp::now();
        self.to_router.send(Errand::Census(answer)).await.ok()?;
        let mut census: Option<Census> = None;
        while let Some(part) = parts.recv().await {
            match part {
                CensusPart::Settled(settled) => census = Some(Census { began, settled, miners: Vec::new() }),
                CensusPart::Miners(mut miners) => {
                    census.get_or_insert(Census { began, ..Census::default() }).miners.append(&mut miners)
                }
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
