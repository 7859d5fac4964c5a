//! What is said of a device and to it: what it is, what was measured, and how far it is.
//!
//! Values; decides nothing.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::profit::{JoulesPerTerahash, Watts};

/// What a device is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Mine.
    Mine,
    /// Sleep.
    Sleep,
}

/// A firmware's power mode, in its driver's own words: saved before sleep, given back with the wake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerMode(pub Box<str>);

/// What is known of a device beforehand.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// As in logs and records; its own within the group.
    pub name: Box<str>,
    /// Whether anything can put it to sleep. If not, it is never drained and counts as load.
    pub can_sleep: bool,
    /// Joules for each terahash; without it, it counts as the worst.
    pub efficiency: Option<JoulesPerTerahash>,
    /// The most that it may draw, tuning and boot included.
    pub most: Watts,
    /// The most that it draws asleep.
    pub sleep_max: Watts,
    /// How long it may take to fall asleep.
    pub sleep_time: Duration,
    /// How long it may take from the command to its first share that we find good.
    pub wake_time: Duration,
}

/// How patient one is with a device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patience {
    /// Commands until it has failed; one at least.
    pub tries: u32,
    /// The pause before the second; it doubles with each.
    pub backoff: Duration,
    /// A sample older than this says nothing.
    pub fresh: Duration,
    /// Shares that come this long after its sleep was proven were on their way; later ones are a drift.
    pub quiet: Duration,
}

/// A measurement of one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// When measuring began, by our clock.
    pub at: Timestamp,
    /// What it drew.
    pub watts: Watts,
    /// Its power mode, where the driver can tell.
    pub mode: Option<PowerMode>,
}

/// What happened to a device's shares since this was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Shares {
    /// Found good by our own check, whether a pool wants them or not.
    #[serde(default)]
    pub found: u64,
    /// Sent on to a pool.
    pub submitted: u64,
    /// Accepted by the pool.
    pub accepted: u64,
    /// Rejected by the pool.
    pub rejected: u64,
    /// Never answered, or lost with the connection.
    pub timed_out: u64,
}

/// How far a device is towards its goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its command has not been sent.
    Pending {
        /// Commands so far.
        tries: u32,
        /// Not before.
        after: Timestamp,
    },
    /// Its command was given out and is not proven.
    Dispatched {
        /// Commands so far, this one included.
        tries: u32,
        /// Until it should be proven; `None` while its call has not begun, for as long as that takes.
        deadline: Option<Timestamp>,
    },
    /// It is at its goal.
    Confirmed {
        /// When that was proven.
        since: Timestamp,
    },
    /// It slept and does not any more.
    Drifted,
    /// It is not seen.
    Unavailable,
    /// It was told often enough, or wakes by itself again and again.
    Failed {
        /// Whether somebody else seems to command it.
        is_foreign: bool,
    },
}

/// A stage without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageKind {
    /// [`Stage::Pending`].
    Pending,
    /// [`Stage::Dispatched`].
    Dispatched,
    /// [`Stage::Confirmed`].
    Confirmed,
    /// [`Stage::Drifted`].
    Drifted,
    /// [`Stage::Unavailable`].
    Unavailable,
    /// [`Stage::Failed`].
    Failed,
}

impl StageKind {
    /// How many there are.
    pub const COUNT: usize = 6;
}

impl Stage {
    /// Without its data.
    pub fn kind(self) -> StageKind {
        match self {
            Self::Pending { .. } => StageKind::Pending,
            Self::Dispatched { .. } => StageKind::Dispatched,
            Self::Confirmed { .. } => StageKind::Confirmed,
            Self::Drifted => StageKind::Drifted,
            Self::Unavailable => StageKind::Unavailable,
            Self::Failed { .. } => StageKind::Failed,
        }
    }
}
