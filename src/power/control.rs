//! What an operator may ask of a group and of the site, and what follows, in words and kW.
//!
//! Values; the site's machine plans (`site.rs`), the task carries out (`task.rs`), API and command line show.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{group::Phase, receipt::Receipt, site::SiteView};
use crate::{config::Mode, profit::Watts};

/// An operator's word on a group. It outlives the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "action")]
pub enum Control {
    /// Sleep, whatever mining pays.
    Drain {
        /// In words.
        why: Box<str>,
        /// Until then; without it until it is released.
        until: Option<Timestamp>,
    },
    /// Mine, whatever power costs.
    Wake {
        /// In words.
        why: Box<str>,
        /// Until then; without it until it is released.
        until: Option<Timestamp>,
    },
    /// Stay as it is: nothing is commanded.
    Hold {
        /// In words.
        why: Box<str>,
    },
    /// Sleep, and be woken by nothing: somebody works on it.
    Lockout {
        /// In words.
        why: Box<str>,
    },
    /// Ends a drain, a wake or a hold: prices decide again.
    Release,
    /// Ends a lockout: prices decide again.
    Unlock,
}

/// Why an operator's word was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// No such group.
    #[error("there is no group {name:?}: there is {known}")]
    UnknownGroup {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A group without an actuator.
    #[error("group {0:?} has no actuator: nothing can put it to sleep or wake it")]
    NotManaged(String),
    /// The mode is a dry run.
    #[error(
        "the mode is dry_run, which commands nothing: `hashgate mode advise` carries out what an operator orders, `active` what prices say too"
    )]
    DryRun,
    /// Nothing to end.
    #[error("{0}")]
    NothingToEnd(String),
    /// What must be written can't be.
    #[error("not done, because it could not be written: {0}")]
    NotWritten(String),
    /// The proxy ends, or its power side does.
    #[error("the power side has ended")]
    Ended,
}

/// What an order would do, now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// The group.
    pub group: Box<str>,
    /// Where it is.
    pub phase: Phase,
    /// Where the order leads first; none if nothing changes.
    pub leads_to: Option<Phase>,
    /// Machines that would be told.
    pub devices: u64,
    /// Machines of the group that stay as they are: no driver, not seen, a floor.
    pub left_out: u64,
    /// What the group draws now, at the site meter, in kW.
    pub draws_kw: f64,
    /// What it would draw at the end, in kW.
    pub will_draw_kw: f64,
    /// What would be asked back from AI compute first, in kW.
    pub asks_back_kw: f64,
    /// How long its commands take under the ramp, in seconds.
    pub takes_s: f64,
    /// The same in sentences: what happens first, what then, and what it may wait for.
    pub words: Vec<String>,
}

/// Everything that may be seen of the power side.
#[derive(Debug, Clone)]
pub struct PowerSnapshot {
    /// How far decisions go.
    pub mode: Mode,
    /// The site.
    pub site: SiteView,
    /// What operators ordered, by the index of the group.
    pub orders: Vec<Option<Control>>,
    /// The last receipts, the newest first.
    pub receipts: Vec<Receipt>,
    /// What was logged last, the newest first: when, how loudly, and the sentence.
    pub events: Vec<PastEvent>,
    /// The sum of what the meter said over the cap, as often as it did.
    pub over_cap: OverCap,
    /// Counted since the start.
    pub totals: PowerTotals,
}

/// What is counted since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PowerTotals {
    /// Times that more power was refused.
    pub refusals: u64,
    /// Drains and wakes that ended.
    pub receipts: u64,
    /// Events that were kept to be seen.
    pub events: u64,
}

/// Something that was logged.
#[derive(Debug, Clone, PartialEq)]
pub struct PastEvent {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: super::site::SiteEvent,
}

/// How often, and by how much at most, the measured power was over the cap since the start.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct OverCap {
    /// Readings over it.
    pub readings: u64,
    /// The highest excess; `None` without one.
    pub most: Option<Watts>,
}
