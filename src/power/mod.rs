//! Watts: who may draw how much of a site's power.
//!
//! | file | what |
//! |---|---|
//! | `merit.rs` | the merit order: sinks by margin under the caps of site and feeders |
//! | `ledger.rs` | the power ledger: which watts are given out, and whether more may be |
//! | `journal.rs` | the ledger's book on disk (a task's file, as it owns one) |
//!
//! Groups that drain and wake and the drivers of machines have their place here and are not there yet.

pub mod journal;
pub mod ledger;
mod merit;

pub use merit::{Bound, Hold, Limits, Merit, Share, Sink};
