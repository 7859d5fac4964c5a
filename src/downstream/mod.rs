//! The side that faces the miners.
//!
//! | file | what |
//! |---|---|
//! | `session.rs` | one miner's connection as a state machine: lines in, lines and effects out |
//! | `options.rs` | what a miner asks for in its password |
//! | `vardiff.rs` | one miner's variable difficulty |
//! | `quirks.rs` | what a firmware needs, as data |
//! | `outbox.rs` | what a slow miner has not taken yet |
//! | `gate.rs` | who may connect |
//! | `task.rs` | one worker thread: its sockets, its sessions, the sweep that carries a job to all of them |

mod gate;
mod options;
mod outbox;
mod quirks;
mod session;
mod task;
pub mod vardiff;

pub use gate::Gate;
pub use options::PasswordOptions;
pub use quirks::Quirks;
pub use session::{Attached, CloseReason, Effect, Io, Leased, ListenerSettings, Parked, Session, Standing};
pub use task::Worker;
