//! Watts: who may draw how much of a site's power.
//!
//! | file | what |
//! |---|---|
//! | `merit.rs` | the merit order: sinks by margin under the caps of site and feeders |
//!
//! Groups that drain and wake, the watt ledger and the drivers of machines have their place here and are not there yet.

mod merit;

pub use merit::{Bound, Hold, Limits, Merit, Share, Sink};
