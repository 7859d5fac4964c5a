//! The side that faces the miners.
//!
//! | file | what |
//! |---|---|
//! | `session.rs` | one miner's connection as a state machine: lines in, lines and effects out |
//! | `effect.rs` | what a session wants done, and why it ends a connection |
//! | `options.rs` | what a miner asks for in its password |
//! | `vardiff.rs` | one miner's variable difficulty |
//! | `quirks.rs` | what a firmware needs, as data |
//! | `outbox.rs` | what a slow miner has not taken yet |
//! | `gate.rs` | who may connect |
//! | `accept.rs` | taking connections, no faster than allowed |
//! | `task.rs` | one worker thread: its sockets, its sessions, the sweep that carries a job to all of them |

mod accept;
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
pub use task::Worker;
