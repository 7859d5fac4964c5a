//! What a site is told, what it wants done, and what it shows.
//!
//! Values; nothing here decides.

use std::{net::IpAddr, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    power::{
        device::{Goal, PowerMode, Sample, Shares, Spec},
        group::{Command, Order, Phase, Record, Terms},
        ledger::{Balance, BlockId, BlockRules, DeviceRules, Entry, Epoch, LeaseId, Reading, Rules},
        pace::Times,
        receipt::Receipt,
    },
    profit::{JoulesPerTerahash, MoneyPerMwh, Watts},
};

/// A device: its group, and its place in it. Both stay as they are while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceKey {
    /// By the index in the config.
    pub group: usize,
    /// In the order in which it became known.
    pub device: usize,
}

/// What a site is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteTerms {
    /// The ledger's rules.
    pub rules: Rules,
    /// By the index in the config; `None` for one that nothing can move.
    pub groups: Vec<Option<GroupTerms>>,
    /// By the index in the config; `None` for one that nobody tells.
    pub blocks: Vec<Option<BlockTerms>>,
    /// The term of a lease; it is renewed at half of it.
    pub lease_term: SignedDuration,
}

/// Of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupTerms {
    /// As in logs.
    pub name: Arc<str>,
    /// How it is moved.
    pub terms: Terms,
    /// Whether its power may be lent to AI compute that does not say how fast it sheds.
    pub survives_power_cycle: bool,
}

/// Of an AI block.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockTerms {
    /// In the book.
    pub id: BlockId,
    /// The ledger's rules.
    pub rules: BlockRules,
    /// Power is given in multiples of this, at the site meter; 0 for any amount.
    pub step: Watts,
    /// As in the config.
    pub sheds_within: Option<Duration>,
    /// As in the config.
    pub starts_within: Duration,
    /// As in the config.
    pub returns_within: Duration,
    /// How long before its power is back after it was asked for: the deadline of a revocation that is not urgent.
    pub notice: Duration,
}

/// A device as it becomes known.
#[derive(Debug, Clone, PartialEq)]
pub struct Joining {
    /// For its group.
    pub spec: Spec,
    /// For the ledger.
    pub rules: DeviceRules,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// What was decided: an order for each group that has one, with what a MWh of mining is worth, and watts at the site meter for each block.
    Wanted {
        /// By the index of the group; `None` leaves it as it is.
        groups: Vec<Option<(Order, Option<MoneyPerMwh>)>>,
        /// By the index of the block; `None` leaves it as it is: no new grant, nothing asked back.
        blocks: Vec<Option<Watts>>,
    },
    /// A person's word on a group.
    Person(usize, Person),
    /// A device became known; its key is the next of its group.
    Joined(usize, Joining),
    /// A device was measured.
    Sample(DeviceKey, Sample),
    /// A device does not answer.
    Unreachable(DeviceKey),
    /// The call of a device's command begins. To be told before anything else that happens to the device: from now on the command counts.
    Sent(DeviceKey),
    /// A driver could not send a command, or was refused. Success is no input.
    Refused(DeviceKey),
    /// Shares of a device since it was told last.
    Shares(DeviceKey, Shares),
    /// Every share that was found before this was told.
    Counted(Timestamp),
    /// A device's joules for each terahash, measured while it mines.
    Efficiency(DeviceKey, JoulesPerTerahash),
    /// How long devices of a group, by their place in it, are waited for from now on.
    Times(usize, Vec<(usize, Times)>),
    /// Whether a group's machines that slept sleep on after a power cut, as far as is known now.
    Survives(usize, bool),
    /// The site's meter was read.
    Meter(Reading),
    /// The status of a block came.
    Status(usize, Status),
    /// What a block said to a message about a lease.
    Answer(usize, LeaseId, LeaseAnswer),
    /// The pools of a group's miners are connected and have work.
    WorkReady(usize),
    /// The write with this number is on the disk.
    Written(u64),
}

/// What a person says of a group.
#[derive(Debug, Clone, PartialEq)]
pub enum Person {
    /// Nothing is commanded until it is released.
    Hold(Box<str>),
    /// Somebody works on it: it sleeps, and nothing wakes it.
    Lock(Box<str>),
    /// Wake whatever sleeps, also what nobody here put to sleep.
    Rouse(Box<str>),
    /// Ends a hold, or what a fault waits for.
    Release,
    /// Ends a lockout.
    Unlock,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Write these down, durably, all or none, then say [`Input::Written`]. What they allow comes after that.
    Write {
        /// Its number; rising.
        number: u64,
        /// In their order.
        writes: Vec<Write>,
    },
    /// Measure a device, now.
    Probe(DeviceKey),
    /// Tell a device, and say [`Input::Sent`] when the call begins.
    Command(DeviceKey, Command),
    /// Don't tell a device any more what it was to be told last: its call has not begun.
    Withdraw(DeviceKey),
    /// Tell a block of a lease. Repeated until it has answered.
    Tell(usize, LeaseMessage),
    /// All sessions of the group's sleeping devices are silent.
    Dormant(usize),
    /// The group's miners are about to wake: their pools are to be connected.
    Rouse(usize),
    /// To be logged.
    Event(SiteEvent),
}

/// Something to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Into the ledger's book.
    Entry(Entry),
    /// What a group must know after a crash; replaces what was written of it before.
    Record(usize, Record),
    /// A drain or a wake ended.
    Receipt(Box<Receipt>),
}

/// What a block is told: `lease.grant` or `lease.revoke`, idempotent by lease and expiry.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeaseMessage {
    /// Which lease.
    pub lease: LeaseId,
    /// Whose.
    pub epoch: Epoch,
    /// What.
    pub what: LeaseOrder,
}

/// What a block is to do with a lease.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LeaseOrder {
    /// Draw so much more than without it, at the site meter; again with a later end, it is a renewal.
    Grant {
        /// At the site meter.
        watts: Watts,
        /// From when on it allows no growth and no new work.
        expires: Timestamp,
    },
    /// Give it back.
    Revoke {
        /// At the site meter.
        watts: Watts,
        /// Until when; at once if that is past.
        deadline: Timestamp,
    },
}

/// What a block says to a message about a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseAnswer {
    /// It has the lease.
    Taken,
    /// It does not take it: of an old epoch, or revoked before. Nothing is drawn under it.
    Refused,
    /// It is giving it back.
    Releasing,
    /// It has given it back, or never had it and never will.
    Released,
}

/// The status of a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The highest epoch that it has seen.
    pub epoch: Epoch,
    /// What its IT draws, and when it was asked.
    pub drawn: Reading,
    /// In its own words: `idle`, `running`, `draining`.
    pub state: Box<str>,
}

/// What is logged of the site as a whole; its `Display` is the sentence.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteEvent {
    /// How loudly.
    pub level: Level,
    /// What.
    pub kind: EventKind,
    /// About which group.
    pub group: Option<usize>,
    /// In words: what, where, why, what next.
    pub words: Box<str>,
}

/// How loudly something is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For who looks closely.
    Debug,
    /// A change of state.
    Info,
    /// An operator should look.
    Warn,
    /// An operator must act.
    Error,
}

/// What kind of event it is, for filters, metrics and alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A group changed its phase.
    Phase,
    /// Something about one device.
    Device,
    /// A lease was given, renewed, asked back, returned.
    Lease,
    /// More power was refused.
    Refusal,
    /// More is drawn than may be.
    OverCap,
    /// AI compute draws what it was not given.
    Overdrawn,
    /// AI compute does not give back.
    NotReturned,
    /// AI compute does not use what it was given.
    NotStarted,
    /// The meter is lost, or back.
    Meter,
    /// Another controller was seen.
    Superseded,
    /// Something else.
    Other,
}

/// Everything that may be seen of a site at one moment. Watts at the site meter.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteView {
    /// When.
    pub at: Timestamp,
    /// Our term of office.
    pub epoch: Epoch,
    /// What counts against the cap.
    pub balance: Balance,
    /// What the meter says, if it is fresh.
    pub meter: Option<Watts>,
    /// The sum of what was measured, base load included.
    pub measured: Watts,
    /// By the index of the group.
    pub groups: Vec<Option<GroupView>>,
    /// By the index of the block.
    pub blocks: Vec<Option<BlockView>>,
}

/// A group at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupView {
    /// Where it is.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// What it is to do, and why.
    pub order: Order,
    /// How many devices it has.
    pub devices: usize,
    /// How many of them are where, in the order of [`StageKind`](crate::power::device::StageKind), of those that are to sleep.
    pub sleeping: [usize; crate::power::device::StageKind::COUNT],
    /// The same, of those that were woken and do not mine yet.
    pub waking: [usize; crate::power::device::StageKind::COUNT],
    /// What all its devices draw, at their own supplies; bounds where nothing was measured.
    pub drawn: Watts,
    /// How many of them have a fresh measurement.
    pub measured: usize,
    /// How many of them sleep, by a fresh measurement, although nobody here put them to sleep.
    pub idle: usize,
    /// What it waits for, in words.
    pub waits_for: Option<Box<str>>,
}

/// A device at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceView {
    /// As in logs.
    pub name: Box<str>,
    /// What it is to do.
    pub goal: Goal,
    /// How far it is.
    pub stage: crate::power::device::StageKind,
    /// What it drew last, at its own supply.
    pub watts: Option<Watts>,
    /// When that was.
    pub measured_at: Option<Timestamp>,
    /// What the ledger counts for it, at the site meter.
    pub counts: Watts,
    /// The mode it will be woken in.
    pub mode: Option<PowerMode>,
    /// Where it is; the site does not know (`task/forget.rs` does).
    pub whereabouts: Whereabouts,
}

/// Where a device is, and whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Whereabouts {
    /// Where it was seen last, or where the config says that it is.
    pub address: Option<IpAddr>,
    /// It has a connection.
    pub is_connected: bool,
    /// It was found by its connection, and the config does not name it.
    pub is_found: bool,
    /// When it was connected or measured last; `None` if never, as far as is known.
    pub seen: Option<Timestamp>,
}

/// A block at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockView {
    /// What it should have.
    pub wanted: Watts,
    /// What it has, asked back or not.
    pub granted: Watts,
    /// What of that is asked back.
    pub revoked: Watts,
    /// What it draws, if that is fresh.
    pub drawn: Option<Watts>,
    /// In its own words.
    pub state: Option<Box<str>>,
    /// Its leases.
    pub leases: Vec<LeaseView>,
    /// Why it has no more, in words.
    pub refused: Option<Box<str>>,
}

/// A lease at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeaseView {
    /// Which.
    pub lease: LeaseId,
    /// How much.
    pub watts: Watts,
    /// When it ends if it is not renewed.
    pub expires: Timestamp,
    /// Since when it is asked back.
    pub revoked: Option<Timestamp>,
}

/// Where a device is: what a driver needs to find it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// As in logs and in the ledger.
    pub name: Arc<str>,
    /// Its address; `None` if it was never seen.
    pub address: Option<IpAddr>,
    /// The user name that it mines with.
    pub worker: Option<Arc<str>>,
}
