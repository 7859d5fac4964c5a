//! AI compute, as it is told of leases and asked what it draws.
//!
//! Knows messages and answers; when a lease is given or asked back is the site's matter (`power/site.rs`). What is not answered is told
//! again: every message is idempotent.

use super::{
    actuator::Call,
    site::{LeaseAnswer, LeaseMessage, Status},
};

/// One AI block's side.
pub trait Compute: Send + Sync {
    /// Tells it of a lease.
    fn tell(&self, message: LeaseMessage) -> Call<'_, LeaseAnswer>;

    /// Asks it how it is. The reading's time is when this was called.
    fn status(&self) -> Call<'_, Status>;
}
