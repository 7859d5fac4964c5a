//! Which miners mine for which pools.
//!
//! ```text
//!  workers ──► lease? route? ──► router ◄── jobs, losses, settled shares ── pool connections
//!     ▲                            │
//!     └── work, moves, losses ─────┘            (shares go from a worker straight to its pool connection)
//! ```
//!
//! | file | what |
//! |---|---|
//! | `connection.rs` | what the router knows of one pool connection |
//! | `errand.rs` | what others want: a census, word of those that sleep |
//! | `layout.rs` | how a pool's extranonce2 is divided |
//! | `lease.rs` | who has which extranonce |
//! | `offers.rs` | what a listener offers its miners, from what pools grant |
//! | `message.rs` | what workers and the router say to each other |
//! | `switchboard.rs` | which pool connections there are, and which miners are on which |
//! | `tally.rs` | what pools said of each miner's shares since the last census |
//! | `task.rs` | the loop, and what is told to whom; `task/reload.rs` another config while it runs |

mod connection;
mod errand;
mod layout;
mod lease;
mod message;
mod offers;
mod switchboard;
mod tally;
mod task;

pub use errand::{Census, CensusPart, ERRAND_QUEUE, Errand, Errands, Judgements, MAX_ABSENT, MinerReport, Settled};
pub use layout::{Layout, MIN_POOL_EXTRANONCE2, Offer};
pub use lease::{
    Exhausted, ExtranonceLease, Grant, LaneId, LeaseBook, LeaseTerms, MAX_LANES, MAX_PARKED, PARK, Released, SessionId,
};
pub use message::{Berth, ConnectionId, ROUTER_QUEUE, TappedJob, ToRouter, ToWorker, WORKER_QUEUE};
pub use offers::PoolTerms;
pub use switchboard::{Bind, Switchboard};
pub use task::{Reconfigure, Router, Shutdown};
