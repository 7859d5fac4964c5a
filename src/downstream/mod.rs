//! The side that faces the miners.
//!
//! | file | what |
//! |---|---|
//! | `session.rs` | one miner's connection as a state machine: lines in, lines and effects out; `session/handshake.rs`, `session/shares.rs`, `session/sleep.rs` |
//! | `settings.rs` | what a listener decides, and how that changes while its miners are connected |
//! | `round.rs` | the shares that a worker has read in one turn, hashed together |
//! | `effect.rs` | what a session wants done, and why it ends a connection |
//! | `options.rs` | what a miner asks for in its password |
//! | `vardiff.rs` | one miner's variable difficulty |
//! | `quirks.rs` | what a firmware needs, as data |
//! | `outbox.rs` | what a slow miner has not taken yet |
//! | `gate.rs` | who may connect |
//! | `task.rs` | one worker thread: its sockets and sessions; `task/accept.rs`, `task/wire.rs`, `task/sweep.rs`, `task/mail.rs`, `task/census.rs`, `task/sleep.rs`, `task/reload.rs`: taking connections, their bytes, carrying a job to all, the router's way in, counting the miners, those that sleep, other settings and routes |

mod effect;
mod gate;
mod options;
mod outbox;
mod quirks;
mod round;
mod session;
mod settings;
mod task;
pub mod vardiff;

pub use effect::{CloseReason, Effect, Io};
pub use gate::Gate;
pub use options::PasswordOptions;
pub use quirks::Quirks;
pub use round::Round;
pub use session::{Attached, Fate, Leased, Parked, Session, Taken};
pub use settings::{ListenerChange, ListenerSettings};
pub use task::{Mailbox, Postbox, Worker, mailbox};
