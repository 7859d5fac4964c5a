//! The side that faces the miners.
//!
//! | file | what |
//! |---|---|
//! | `session.rs` | one miner's connection as a state machine: lines in, lines and effects out |
//! | `options.rs` | what a miner asks for in its password |
//! | `vardiff.rs` | one miner's variable difficulty |
//! | `quirks.rs` | what a firmware needs, as data |

mod options;
mod quirks;
mod session;
pub mod vardiff;

pub use options::PasswordOptions;
pub use quirks::Quirks;
pub use session::{Attached, CloseReason, Effect, Io, ListenerSettings, Parked, Session};
