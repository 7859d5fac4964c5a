//! The side that faces the miners.
//!
//! | file | what |
//! |---|---|
//! | `session.rs` | one miner's connection as a state machine: lines in, lines and effects out; `session/handshake.rs`, `session/shares.rs` |
//! | `effect.rs` | what a session wants done, and why it ends a connection |
//! | `options.rs` | what a miner asks for in its password |
//! | `vardiff.rs` | one miner's variable difficulty |
//! | `quirks.rs` | what a firmware needs, as data |
//! | `outbox.rs` | what a slow miner has not taken yet |
//! | `gate.rs` | who may connect |
//! | `task.rs` | one worker thread: its sockets and sessions; `task/accept.rs`, `task/sweep.rs`: taking connections, carrying a job to all |

mod effect;
mod gate;
mod options;
mod outbox;
mod quirks;
mod session;
mod task;
pub mod vardiff;

pub use effect::{CloseReason, Effect, Io};
pub use gate::Gate;
pub use options::PasswordOptions;
pub use quirks::Quirks;
pub use session::{Attached, Batch, Fate, Leased, ListenerSettings, Parked, Session};
pub use task::{Mailbox, Postbox, Worker, mailbox};
