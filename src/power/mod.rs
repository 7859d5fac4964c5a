//! Watts: who may draw how much of a site's power, and how machines are put to sleep and woken.
//!
//! | file | what |
//! |---|---|
//! | `merit.rs` | the merit order: sinks by margin under the caps of site and feeders |
//! | `group.rs` | a power group that drains and wakes, batch by batch, with its table of phases |
//! | `device.rs` | one ASIC of it: what it was told, and what its watts say of that |
//! | `pace.rs` | how long machines of one kind really take to sleep and to wake |
//! | `receipt.rs` | what a drain or a wake moved, how long it took, and what it cost |
//! | `ledger.rs` | the power ledger: which watts are given out, and whether more may be |
//! | `site.rs` | groups, ledger and leases as one machine; what is over the cap |
//! | `control.rs` | what an operator may ask, and what follows |
//! | `journal.rs` | the ledger's book on disk (a task's file, as it owns one) |
//! | `actuator/`, `meter/`, `compute/` | drivers: of ASICs, of what tells their watts, of AI compute (tasks' files) |
//! | `task.rs` | the loop: the site's machine, its journal, and the ways to machines, miners, AI compute and operators |

pub mod actuator;
pub mod compute;
pub mod control;
pub mod device;
pub mod group;
mod handle;
pub mod journal;
pub mod ledger;
mod merit;
pub mod meter;
pub mod pace;
pub mod receipt;
pub mod site;
pub mod task;

pub use self::{
    handle::{ASK_QUEUE, Ask, MAX_RECEIPTS, Power, PowerSide, Side},
    site::Target,
};
pub use merit::{Bound, Hold, Limits, Merit, Share, Sink};
