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
        pace::Times,
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

/// What a group was to do before the site was over its cap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overruled {
    /// Its order.
    pub order: Order,
    /// The hold that it was in, in its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Box<str>>,
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
    /// A person wants awake whatever sleeps, also what nobody here put to sleep; and why.
    Rouse(Box<str>),
    /// The record with this number is on disk.
    Persisted(u64),
    /// A device was measured.
    Sample(usize, Sample),
    /// A device's joules for each terahash, from measured watts and accounted hashrate; looked at while it just mines.
    Efficiency(usize, JoulesPerTerahash),
    /// How long a device is waited for from now on.
    Times(usize, Times),
    /// A device does not answer.
    Unreachable(usize),
    /// The call of a device's command begins; until then [`Output::Withdraw`] takes it back.
    Sent(usize),
    /// A driver could not send the command, or was refused. Success is no input.
    Refused(usize),
    /// Shares of a device since it was told last.
    Shares(usize, Shares),
    /// Every share that was found before this was told.
    Counted(Timestamp),
    /// The site has no room for a device that woke before it was let to ([`Device::is_early`](crate::power::device::Device::is_early)).
    Restrain(usize),
    /// The ledger's word on the ask with this number: the first so many of its devices may wake.
    Permission(u64, usize),
    /// A device became known; its index is the next. It was never told anything; while its group is to sleep, it sleeps as well once it draws.
    Joined(Spec),
    /// A device is gone for good: it takes part in nothing any more, and its index stays its own.
    Left(usize),
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
    /// Don't tell a device what it was to be told last: its call has not begun, and must not any more.
    Withdraw(usize),
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
    /// What comes back when the site is under its cap again; `None` if nothing was overruled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overruled: Option<Overruled>,
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
    /// The same for a sleep that is not proven.
    #[serde(default)]
    pub dozes_until: Option<Timestamp>,
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
    /// A device draws that was not seen, or drew nothing, when its group was put to sleep.
    TurnedUp {
        /// Which group.
        group: Box<str>,
        /// Which device.
        device: Box<str>,
        /// What it draws.
        watts: Watts,
    },
    /// A device that is to mine draws nothing.
    Idle {
        /// Which group.
        group: Box<str>,
        /// Which device.
        device: Box<str>,
        /// What it draws.
        watts: Watts,
    },
    /// A group mines without some of its devices.
    Astray {
        /// Which group.
        group: Box<str>,
        /// The first of them.
        devices: Vec<Box<str>>,
        /// How many more there are.
        more: usize,
        /// How many devices it has.
        of: usize,
        /// Until those that are seen and nobody else commands are told again.
        again_in: Duration,
    },
    /// A group is to sleep and has nobody that could.
    Nobody {
        /// Which group.
        group: Box<str>,
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
            Self::TurnedUp { group, device, watts } => write!(
                f,
                "group {group:?}: device {device:?} turned up while its group is to sleep, and draws {}: it is put to sleep as well",
                watts.in_words()
            ),
            Self::Idle { group, device, watts } => write!(
                f,
                "group {group:?}: device {device:?} is to mine and draws {}; somebody may have put it to sleep: it is told to wake",
                watts.in_words()
            ),
            Self::Astray { group, devices, more, of, again_in } => {
                let (count, again_in) = (devices.len() + more, again_in.as_secs());
                let more = if *more > 0 { format!(" and {more} more") } else { String::new() };
                write!(
                    f,
                    "group {group:?}: it mines without {count} of its {of} devices, which count as load: {}{more}; look at them: those that are \
                     seen are told again in {again_in} s",
                    devices.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
                )
            }
            Self::Nobody { group } => write!(
                f,
                "group {group:?}: it is to sleep and no device is known that could be put to sleep: nothing is free; it takes part once its first \
                 one is found"
            ),
            Self::Failed { group, device, goal: Goal::Mine, is_foreign: true, .. } => write!(
                f,
                "group {group:?}: device {device:?} is put to sleep again and again while it is to mine; who else commands it? It is left alone \
                 and counts as load"
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
                let wait = if *devices == 1 { "1 machine has".to_owned() } else { format!("{devices} machines have") };
                let seconds = again_in.as_secs();
                write!(f, "group {group:?}: {wait} to wait; the ledger is asked again in {seconds} s")
            }
        }
    }
}
