//! The way to the pools, where we are the miner.
//!
//! Knows one pool at a time: how to reach it, log in to it, take its jobs and tell it shares. Knows nothing of miners, of leases,
//! or of which pool a miner should mine for; of several pools it knows only how to choose one ([`failover`]).
//!
//! ```text
//!            Event: Certificate, Ready, Resumed, Job, Lost, Settled    lines
//! router  ◄─────────────────────────────────────── task ◄──────────────────────────► pool
//! workers ───────────────────────────────────────►  │  connect.rs
//!            Outgoing (shares)                      └─ session.rs (pure) + carried.rs (what outlives a connection)
//! ```
//!
//! | file | what |
//! |---|---|
//! | `session.rs` | one connection as a state machine: login, jobs, shares, watchdogs |
//! | `output.rs` | what it wants done, and why a connection is closed |
//! | `request.rs` | the lines that we write to a pool, all under 1 KiB |
//! | `carried.rs` | what outlives a connection: session id, unsettled shares |
//! | `workers.rs` | worker names authorized on a connection, where they are forwarded |
//! | `redirect.rs` | which `client.reconnect` is followed |
//! | `backoff.rs`, `failover.rs` | when to try again; which pool of several |
//! | `connect.rs` | addresses, TCP, TLS with roots or a pin (`src/tls.rs`) |
//! | `task.rs` | the loop around them |
//! | `rehearsal.rs` | a connection without a socket, for fuzz targets |

mod backoff;
mod carried;
mod connect;
pub mod failover;
mod output;
mod redirect;
#[doc(hidden)]
pub mod rehearsal;
mod request;
mod session;
mod task;
#[cfg(test)]
mod tests;
mod workers;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;

pub use self::{
    backoff::Backoff,
    task::{Handle, SHARE_QUEUE, spawn},
};
use crate::{
    stratum::PoolError,
    work::{Job, PoolShare, UpstreamId},
};

/// What a live pool connection has agreed with its pool. A new value whenever one member changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// New whenever the extranonce is a different one; the same when the pool resumed it.
    pub id: UpstreamId,
    /// Ours, fixed by the pool.
    pub extranonce1: Vec<u8>,
    /// Bytes that are ours to fill, 1 to [`MAX_EXTRANONCE`](crate::work::MAX_EXTRANONCE).
    pub extranonce2_size: usize,
    /// Version bits that the pool lets miners roll, within those we asked for; 0 where none.
    pub version_mask: u32,
}

/// The process-wide counter of [`UpstreamId`]s.
#[derive(Debug, Default)]
pub struct UpstreamIds(AtomicU64);

impl UpstreamIds {
    /// One that was never given before.
    pub fn next(&self) -> UpstreamId {
        UpstreamId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// A share on its way to a pool.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// What the pool is told.
    pub share: PoolShare,
    /// The miner's user name, for pools that are told worker names.
    pub user: Arc<str>,
    /// Who waits for the pool's word.
    pub origin: Origin,
}

/// Whose a share is, and who waits for the pool's word on it; goes back with the word, and means nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Worker thread.
    pub worker: u16,
    /// Connection of that worker.
    pub connection: u64,
    /// Submit of that connection.
    pub ticket: u32,
    /// The connection's share in a census: what becomes of it is counted there as well.
    pub is_counted: bool,
}

/// The end of a share's way. Every [`Outgoing`] that is taken gets exactly one, unless the task is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// The pool said yes (or "duplicate" to a share that it was sent again after a reconnect: then it has the first).
    Accepted {
        /// From the line sent to the answer read.
        latency: Duration,
    },
    /// The pool said no.
    Rejected(PoolError),
    /// The pool said nothing in `reply_timeout`.
    Unanswered,
    /// Its pool connection went and was not resumed.
    Lost,
}

/// What a pool's task tells the router.
#[derive(Clone, Debug)]
pub enum Event {
    /// There is a connection in TLS, and nothing was said on it yet.
    Certificate {
        /// When the certificate ends that the pool has shown.
        ends: Timestamp,
    },
    /// Logged in, or what was agreed has changed. Jobs follow.
    Ready(Arc<Facts>),
    /// Follows a [`Ready`](Self::Ready) with the id of the connection before: its jobs live again.
    Resumed(UpstreamId),
    /// New work. Its difficulty and mask are those in force when it came.
    Job(Arc<Job>),
    /// The connection is gone, or could not be made. No share is taken until the next [`Ready`](Self::Ready), except that those
    /// for `id` are kept for a while.
    Lost {
        /// The connection that was live.
        id: Option<UpstreamId>,
        /// For people.
        reason: String,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// What became of a share.
    Settled {
        /// The share.
        outgoing: Box<Outgoing>,
        /// Its end.
        settlement: Settlement,
    },
    /// Text of the pool for people.
    Message(String),
}
