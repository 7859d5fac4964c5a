//! Who mines, and how: the count of the miners, shared by all who want it.
//!
//! ```text
//!                                    ┌─► power side        (what its machines do; asks for one when something moves)
//! workers, router ─► census ─► Counts┼─► live table        (workers by name, for API and store)
//!                     (one owner)    └─► whoever else subscribes
//! ```
//!
//! | file | what |
//! |---|---|
//! | `fan_out.rs` | takes the census, and hands it to everybody who wants it |
//!
//! Nothing here is on a share's way: workers are asked once in a few seconds, and answer in a turn of theirs.

mod fan_out;

pub use fan_out::{Asker, Counts, Subscription};
