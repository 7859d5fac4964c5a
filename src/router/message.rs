//! What workers and the router say to each other. Everything the router says goes to a worker through one queue, in order.

use std::{net::IpAddr, sync::Arc, time::Instant};

use tokio::sync::mpsc;

use crate::{
    downstream::{Leased, ListenerChange},
    router::{CensusPart, LaneId, Layout, Offer, SessionId},
    stratum::PoolError,
    upstream::Outgoing,
    work::{Difficulty, Job, UpstreamId, WorkSeries},
};

/// Messages that may wait for a worker. A sweep over ten thousand sockets takes well under a second, in which the router
/// says a few hundred things; at a storm of connects the router waits for the worker.
pub const WORKER_QUEUE: usize = 4096;

/// Messages that may wait for the router: two for each of a storm's connections.
pub const ROUTER_QUEUE: usize = 65_536;

/// A job of a pool, for whoever wants to know what blocks are worth. Nothing waits for them: what does not fit into their queue
/// is not told.
#[derive(Debug, Clone)]
pub struct TappedJob {
    /// Position in the config.
    pub pool: usize,
    /// The job.
    pub job: Arc<Job>,
    /// Bytes that the pool leaves to us in the coinbase.
    pub extranonce2_size: usize,
}

/// One connection of one worker. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// Worker thread.
    pub worker: u16,
    /// Slot of that worker in the low half, its generation in the high one.
    pub key: u64,
}

/// Miners that can be moved together: those of one lane, on one route, that all roll versions or all don't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Berth {
    /// Its place in the config.
    pub route: usize,
    /// Their lane.
    pub lane: LaneId,
    /// They were granted version rolling, and many can't stop: pools that grant none are not for them.
    pub rolls: bool,
}

/// From a worker to the router.
#[derive(Debug)]
pub enum ToRouter {
    /// A miner subscribes; answered by [`ToWorker::Leased`].
    Lease {
        /// Who asks.
        connection: ConnectionId,
        /// The listener it came by.
        listener: usize,
        /// The session it wants to resume.
        resume: Option<SessionId>,
    },
    /// A miner wants work; answered by [`ToWorker::Attached`].
    Attach {
        /// Who asks.
        connection: ConnectionId,
        /// Its lease.
        session: SessionId,
        /// The listener it came by.
        listener: usize,
        /// Where it is.
        peer: IpAddr,
        /// Its first authorized worker; `None` if there is none yet.
        user: Option<Arc<str>>,
        /// As in [`Berth`].
        rolls: bool,
    },
    /// A miner that has a route asks whether that is still its own; answered by [`ToWorker::Rerouted`] if not.
    Reroute {
        /// Who asks.
        connection: ConnectionId,
        /// Its lease.
        session: SessionId,
        /// The listener it came by.
        listener: usize,
        /// Where it is.
        peer: IpAddr,
        /// Its first authorized worker.
        user: Option<Arc<str>>,
        /// As in [`Berth`].
        rolls: bool,
    },
    /// The difficulty that suits a worker.
    Remember {
        /// Worker name.
        user: Arc<str>,
        /// To start with next time.
        difficulty: Difficulty,
    },
}

/// From the router to a worker.
#[derive(Debug)]
pub enum ToWorker {
    /// What a listener offers is known, or has changed.
    Offer {
        /// Position in the config.
        listener: usize,
        /// For miners that come from now on.
        offer: Offer,
    },
    /// The answer to a subscribe.
    Leased {
        /// Who asked.
        key: u64,
        /// The lease and what was parked with it, or a text for the miner.
        lease: Result<Box<Leased>, String>,
    },
    /// Where a miner works.
    Attached {
        /// Who asked.
        key: u64,
        /// Its berth.
        berth: Berth,
        /// The difficulty its worker had.
        remembered: Option<Difficulty>,
        /// The pool connection of its berth, if one is live.
        upstream: Option<UpstreamId>,
    },
    /// Listeners and their settings are others from now on.
    Listeners(Box<ListenerChange>),
    /// Routes are others: each miner is to ask again.
    Reroute,
    /// A miner's route is another one: it moves to its pool when its turn comes.
    Rerouted {
        /// Who asked.
        key: u64,
        /// Its berth from now on.
        berth: Berth,
        /// The pool connection of its berth, if one is live.
        upstream: Option<UpstreamId>,
        /// As in [`Bound`](Self::Bound).
        pace: Option<f64>,
    },
    /// A pool connection is live: shares for it go here.
    Up {
        /// Which.
        upstream: UpstreamId,
        /// Its queue.
        shares: mpsc::Sender<Outgoing>,
    },
    /// New work of a pool connection that has a lane, whether miners are on it now or not.
    Job {
        /// The work.
        series: Arc<WorkSeries>,
        /// When its job came.
        came: Instant,
    },
    /// A berth works for this pool connection now; `None`: its route has no live pool.
    Bound {
        /// Who moves.
        berth: Berth,
        /// Where.
        upstream: Option<UpstreamId>,
        /// Shares per second that this worker may add to the pool in each second; `None`: all move at once.
        pace: Option<f64>,
    },
    /// A pool connection is lost.
    Lost {
        /// Which.
        upstream: UpstreamId,
        /// It may come back with the same extranonce1; if not, nothing is sent to it any more.
        may_resume: bool,
    },
    /// A lost pool connection is back, its jobs live again.
    Resumed(UpstreamId),
    /// The pool's word on a share.
    PoolWord {
        /// Whose.
        key: u64,
        /// Which.
        ticket: u32,
        /// Accepted, or why not.
        word: Result<(), PoolError>,
    },
    /// The pool of this berth can't hold its layout: its miners need another.
    Relayout {
        /// Who.
        berth: Berth,
        /// The new one.
        layout: Layout,
    },
    /// Leases of one lane belong to another now.
    Merged {
        /// From.
        from: LaneId,
        /// Into.
        into: LaneId,
    },
    /// Tell of every miner.
    Census(mpsc::Sender<CensusPart>),
    /// These miners sleep, or should wake up.
    Sleepers {
        /// Which.
        keys: Vec<u64>,
        /// Whether they sleep.
        asleep: bool,
    },
    /// No miner is accepted any more; what was read is still answered.
    StopAccepting,
    /// End all connections.
    Stop,
}
