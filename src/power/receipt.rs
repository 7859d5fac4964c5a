//! The receipt of one drain or one wake: what became of the shares, the watts and the time, and what it cost.
//!
//! Knows numbers; a group machine fills it in when the drain or wake ends, however it ends. It is JSON wherever it leaves the process,
//! with units in its keys; [`Receipt::v`] is raised when a key changes its meaning.
//!
//! ```text
//! in flight at the start + submitted since = accepted + rejected + timed out + in flight at the end
//! ```
//! Shares are those of the devices that were to move, not of those that went on mining. Watts are measured; a device without a measurement
//! is in both sums at its bound, and one that turned up while a drain was under way begins with what it drew when it was taken along. Devices
//! that drew nothing before are told nothing, and nothing of theirs was freed: where all are so, a drain asked nobody and ends at once. The cost is the energy drawn between a device's command and its proof: it hashes not, or not
//! for long, and is not free either.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::device::{Goal, Shares};

/// Which way it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Move {
    /// To sleep.
    Drain,
    /// Back.
    Wake,
}

impl Move {
    /// In a word.
    pub fn label(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Wake => "wake",
        }
    }

    /// What devices are to do at its end.
    pub fn goal(self) -> Goal {
        match self {
            Self::Drain => Goal::Sleep,
            Self::Wake => Goal::Mine,
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every device got there.
    Done,
    /// Some did.
    Partial,
    /// It was ordered back before it had ended.
    TurnedBack,
    /// Devices did not obey.
    Fault,
    /// A person held it or locked it out.
    Interrupted,
}

impl Outcome {
    /// For people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial => "some machines only",
            Self::TurnedBack => "turned back",
            Self::Fault => "machines did not obey",
            Self::Interrupted => "interrupted by an operator",
        }
    }
}

/// What became of shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct ShareBill {
    /// Without the pool's answer when it began.
    pub in_flight_at_start: u64,
    /// Sent on since.
    pub submitted: u64,
    /// Accepted by the pool since.
    pub accepted: u64,
    /// Rejected by the pool since.
    pub rejected: u64,
    /// Never answered, or lost with the connection.
    pub timed_out: u64,
    /// Without the pool's answer when it ended.
    pub in_flight_at_end: u64,
}

impl ShareBill {
    /// Those of which nobody knows whether the pool counted them.
    pub fn unanswered(&self) -> u64 {
        self.timed_out.saturating_add(self.in_flight_at_end)
    }

    /// Something happened to shares.
    pub(super) fn add(&mut self, shares: &Shares) {
        self.submitted = self.submitted.saturating_add(shares.submitted);
        self.accepted = self.accepted.saturating_add(shares.accepted);
        self.rejected = self.rejected.saturating_add(shares.rejected);
        self.timed_out = self.timed_out.saturating_add(shares.timed_out);
    }
}

/// Power of the group's devices, measured at the devices.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct WattBill {
    /// Of all devices when it began.
    pub before_w: f64,
    /// Of all devices when it ended.
    pub after_w: f64,
    /// The greatest sum that was ever measured in between.
    pub peak_w: f64,
}

/// How many devices, and what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct DeviceBill {
    /// Were to move.
    pub asked: u64,
    /// Did, by measurement.
    pub confirmed: u64,
    /// Of these, woken by their watts alone: they have found no share in their time.
    #[serde(default)]
    pub by_watts: u64,
    /// Were told often enough.
    pub failed: u64,
    /// Were not seen at the end.
    pub unavailable: u64,
    /// Stayed as they were: not to be managed, not seen, kept by the floor, or drawing nothing as it is.
    pub left_out: u64,
    /// Of these, at the end of it: draw nothing, and nobody here put them to sleep.
    #[serde(default)]
    pub idle: u64,
    /// Commands that were sent, all tries.
    pub commands: u64,
}

/// Seconds of each phase, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct SecondBill {
    /// From the order to the first command: the record on disk, dwell, the ledger's word.
    pub to_first_command_s: f64,
    /// From there to the last device that was proven or given up.
    pub to_last_proof_s: f64,
    /// From there until no share was under way.
    pub to_quiet_s: f64,
    /// All of it.
    pub total_s: f64,
}

/// What it cost.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    /// Drawn between commands and proof.
    pub energy_wh: f64,
    /// That, at what a MWh was worth when it was ordered; absent where nobody said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub money: Option<f64>,
}

/// Of one drain or one wake.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Receipt {
    /// Of this form.
    pub v: u32,
    /// Its own within the group, and rising.
    pub event: u64,
    /// The group's name.
    pub group: Box<str>,
    /// Which way.
    pub kind: Move,
    /// Why, in the words of the order.
    pub why: Box<str>,
    /// When it was ordered.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// Shares.
    pub shares: ShareBill,
    /// Watts.
    pub watts: WattBill,
    /// Devices.
    pub devices: DeviceBill,
    /// Time.
    pub seconds: SecondBill,
    /// Cost.
    pub cost: Cost,
}

impl Receipt {
    /// All of it that fits into a line, for people; behind the group's name.
    pub fn in_words(&self) -> String {
        let (devices, shares) = (&self.devices, &self.shares);
        format!(
            "{} ended, {}: {} of {} machines in {:.0} s, from {:.1} kW to {:.1} kW at the machines; shares: {} accepted, {} rejected, \
             {} without an answer",
            self.kind.label(),
            self.outcome.in_words(),
            devices.confirmed,
            devices.asked,
            self.seconds.total_s,
            self.watts.before_w / 1e3,
            self.watts.after_w / 1e3,
            shares.accepted,
            shares.rejected,
            shares.unanswered()
        )
    }
}

/// The present form of a [`Receipt`].
pub const RECEIPT_VERSION: u32 = 1;
