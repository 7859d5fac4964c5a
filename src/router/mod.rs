//! Which miners mine for which pools.

mod layout;
mod lease;

pub use layout::{Layout, MIN_POOL_EXTRANONCE2};
pub use lease::{
    Exhausted, ExtranonceLease, Grant, LaneId, LeaseBook, LeaseTerms, MAX_LANES, PARK, Released, SessionId,
};
