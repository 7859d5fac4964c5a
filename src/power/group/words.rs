//! What a group asks for and tells: commands, requests to the ledger, records, and events with their reasons in words.
//!
//! Values; nothing here decides.

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::table::Phase;
use crate::{
    power::{
        device::{Goal, PowerMode, Sample, Shares, Spec},
        receipt::Receipt,
    },
    profit::{JoulesPerTerahash, MoneyPerMwh, Watts},
};

/// What a group is to do, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// What.
    pub goal: Goal,
    /// At once: without dwell, canary and ramp. Only for [`Goal::Sleep`]; a wake is never urgent.
    pub urgent: bool,
    /// In words.
    pub why: Box<str>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// An order, and what a MWh of mining is worth, where that is known.
    Order(Order, Option<MoneyPerMwh>),
    /// A person holds it, and why.
    Hold(Box<str>),
    /// A person locks it out, and why.
    Lock(Box<str>),
    /// A person ends a hold, or what a fault waits for.
    Release,
    /// A person ends a lockout.
    Unlock,
    /// The record with this number is on disk.
    Persisted(u64),
    /// A device was measured.
    Sample(usize, Sample),
    /// A device's joules for each terahash, from measured watts and accounted hashrate; looked at while it just mines.
    Efficiency(usize, JoulesPerTerahash),
    /// A device does not answer.
    Unreachable(usize),
    /// A driver could not send the command, or was refused. Success is no input.
    Refused(usize),
    /// Shares of a device since it was told last.
    Shares(usize, Shares),
    /// The ledger's word on the ask with this number: the first so many of its devices may wake.
    Permission(u64, usize),
    /// A device became known; its index is the next. It was never told anything, and takes part in the next drain or wake.
    Joined(Spec),
    /// The pools of its miners are connected and have work.
    WorkReady,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Write this down, durably; no command goes out before [`Input::Persisted`].
    Persist(Record),
    /// Measure a device, now.
    Probe(usize),
    /// Tell a device.
    Command(usize, Command),
    /// Tell the ledger.
    Ledger(Request),
    /// All sessions of sleeping devices are silent: pools may close theirs.
    Dormant,
    /// Connect the pools again: miners are about to wake.
    Rouse,
    /// A drain or a wake ended.
    Receipt(Box<Receipt>),
    /// To be logged; its `Display` is the sentence.
    Event(Event),
}

/// What a device is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Sleep.
    Sleep,
    /// Mine, in this mode; `None` where none was ever seen.
    Wake(Option<PowerMode>),
}

/// What the watt ledger is told or asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// The group wants so much of its power back: leases are to be revoked.
    WantBack(Watts),
    /// May these devices wake, or else the first of them? It answers with [`Input::Permission`]; asked again with the same number, it is the same question.
    AskIncrease {
        /// The question's number.
        ask: u64,
        /// How much more than now they would count.
        watts: Watts,
        /// Which.
        devices: Vec<usize>,
    },
    /// A device sleeps: so much was measured after the last command to it.
    Freed {
        /// Which.
        device: usize,
        /// What it draws.
        watts: Watts,
        /// When measuring began.
        measured_at: Timestamp,
    },
    /// A device counts at its bound from now on: it draws, or is not seen.
    Drawing {
        /// Which.
        device: usize,
        /// Its bound.
        watts: Watts,
    },
}

/// What must outlive the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its number; rising.
    pub number: u64,
    /// Of the drain or wake.
    pub event: u64,
    /// Where the group is.
    pub phase: Phase,
    /// What it is to do.
    pub order: Order,
    /// Since when it mines or sleeps.
    pub since: Timestamp,
    /// Every device that is not just mining.
    pub devices: Vec<DeviceRecord>,
}

/// A device of a [`Record`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceRecord {
    /// Its name.
    pub name: Box<str>,
    /// What it is to do.
    pub goal: Goal,
    /// Whether its sleep was proven and nothing but sleep was sent since.
    pub is_proven_asleep: bool,
    /// Until when a wake that was sent may still take effect.
    pub rouses_until: Option<Timestamp>,
    /// The mode to wake it in.
    pub mode: Option<PowerMode>,
}

/// What the log is told. Groups and devices by their names.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It moved on.
    Moved {
        /// Which group.
        group: Box<str>,
        /// From.
        from: Phase,
        /// To.
        to: Phase,
        /// Why, in words.
        why: Box<str>,
    },
    /// A device woke by itself.
    Drifted {
        /// Which group.
        group: Box<str>,
        /// Which device.
        device: Box<str>,
        /// What it draws.
        watts: Watts,
    },
    /// A device does not do as it is told.
    Failed {
        /// Which group.
        group: Box<str>,
        /// Which device.
        device: Box<str>,
        /// What it was told.
        goal: Goal,
        /// What it draws.
        watts: Watts,
        /// Whether somebody else seems to command it.
        is_foreign: bool,
    },
    /// A device is not seen.
    Unavailable {
        /// Which group.
        group: Box<str>,
        /// Which device.
        device: Box<str>,
        /// What it counts as.
        counts: Watts,
    },
    /// The ledger does not let devices wake.
    Refused {
        /// Which group.
        group: Box<str>,
        /// How many of them.
        devices: usize,
        /// Until it is asked again.
        again_in: Duration,
    },
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moved { group, from, to, why } => {
                write!(f, "group {group:?}: {} → {}: {why}", from.label(), to.label())
            }
            Self::Drifted { group, device, watts } => write!(
                f,
                "group {group:?}: device {device:?} woke by itself and draws {}; it is put to sleep again",
                watts.in_words()
            ),
            Self::Failed { group, device, is_foreign: true, .. } => write!(
                f,
                "group {group:?}: device {device:?} is woken again and again; who else commands it? It counts as load"
            ),
            Self::Failed { group, device, goal, watts, .. } => {
                let told = if *goal == Goal::Sleep { "sleep" } else { "mine" };
                let watts = watts.in_words();
                write!(
                    f,
                    "group {group:?}: device {device:?} was told to {told} and did not: it draws {watts}; it counts as load"
                )
            }
            Self::Unavailable { group, device, counts } => {
                write!(f, "group {group:?}: device {device:?} is not seen; it counts as {}", counts.in_words())
            }
            Self::Refused { group, devices, again_in } => {
                let machines = if *devices == 1 { "1 machine".to_owned() } else { format!("{devices} machines") };
                let seconds = again_in.as_secs();
                write!(f, "group {group:?}: {machines} may not wake yet; the ledger is asked again in {seconds} s")
            }
        }
    }
}
