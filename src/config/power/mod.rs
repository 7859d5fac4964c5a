//! `[power]`, and what `[[group]]` and `[[ai]]` say of machines: which ASICs there are, what tells their watts, what puts them to sleep, and
//! how AI compute is told of a lease. Values only: what is done with them is the power side's (`power/task.rs`).
//!
//! The money side of the same tables is `config/profit.rs`; groups and blocks have the same indexes in both.

mod actuator;
mod apart;
mod asic_rs;
mod call;
mod compute;
mod devices;
mod firmware;
mod group;
mod hosts;
pub(super) mod plan;
mod read;
mod slurm;
pub mod template;
#[cfg(test)]
mod tests;
mod watts;

use std::{net::IpAddr, path::PathBuf, sync::Arc, time::Duration};

use ipnet::IpNet;

pub use self::{
    asic_rs::{AsicRs, OtherMake},
    call::{HttpCall, HttpMethod},
    firmware::{Firmware, Make},
    template::{MAX_TEMPLATE_BYTES, Place, TemplateError},
};
pub(super) use self::{
    compute::Beside as BesideBlock,
    group::Beside as BesideGroup,
    read::{Machines, Tables, open},
};
use super::{Broker, HttpUrl, Secret, ServerTrust, UserPattern};
use crate::profit::{JoulesPerTerahash, Ratio, Watts};

/// ASICs of one site: as many as the largest farm that one proxy serves.
pub const MAX_DEVICES: usize = 100_000;

/// Slurm nodes of one AI block: what Slurm says of them fits into what is read of a command.
pub const MAX_SLURM_NODES: usize = 4_096;

/// Everything about machines; a config whose groups have no `actuator` has none of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Power {
    /// The ledger's file.
    pub ledger: PathBuf,
    /// What the site may draw at the meter; `None`: nobody lends its power, so nothing is capped.
    pub cap: Option<Watts>,
    /// What stays free under the cap.
    pub reserve: Watts,
    /// What a sleeping device may draw over what it drew when it was measured.
    pub drift: Watts,
    /// How old a device's or a block's reading may be.
    pub max_age: Duration,
    /// Readings in a row that prove a sleep or a return.
    pub proofs: u8,
    /// How often each device is measured while nothing moves.
    pub poll: Duration,
    /// How often those are measured that are on their way.
    pub poll_moving: Duration,
    /// Calls to devices under way at once.
    pub calls: usize,
    /// How long a command may still take effect after it was sent.
    pub command_lifetime: Duration,
    /// The site's meter.
    pub meter: Option<SiteMeter>,
    /// The term of a lease; it is renewed at half of it.
    pub lease_term: Duration,
    /// How long a machine that was found by its connection is remembered after it was seen last; `None`: for ever.
    pub forget_after: Option<Duration>,
    /// By the index of [`Profit::groups`](super::Profit::groups); `None` for a group that nothing can move: it counts as load.
    pub groups: Vec<Option<PowerGroup>>,
    /// By the index of [`Profit::ai`](super::Profit::ai); `None` for a block that nobody tells: it gets nothing.
    pub blocks: Vec<Option<PowerBlock>>,
}

/// `[site] meter`: the signal that tells what the whole site draws.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteMeter {
    /// Its name.
    pub signal: Arc<str>,
    /// How old its reading may be.
    pub max_age: Duration,
    /// How far it may be from the sum of what was measured, as a share of its reading.
    pub deviation: Ratio,
}

/// The machines of a `[[group]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerGroup {
    /// Which connections are its miners, beyond those in `devices`.
    pub miners: Miners,
    /// Machines that the config names.
    pub devices: Vec<DeviceEntry>,
    /// What is printed on a machine that says nothing else.
    pub nameplate: Watts,
    /// What its firmware is told not to exceed, where it is told.
    pub configured_max: Option<Watts>,
    /// What one draws at most when it sleeps.
    pub sleep_max: Watts,
    /// What puts one to sleep and wakes it.
    pub actuator: ActuatorKind,
    /// What tells its watts.
    pub watts: WattsSource,
    /// Whether a machine that slept sleeps on after its power went and came.
    pub sleep_survives_power_cycle: Survives,
    /// How it is moved.
    pub moves: Moves,
}

/// Which connections are a group's miners. Both must fit; neither given: none.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Miners {
    /// Networks that they come from.
    pub subnets: Vec<IpNet>,
    /// Their user names.
    pub workers: Option<UserPattern>,
}

impl Miners {
    /// Whether a connection is one of them: all that is given fits, and something is.
    pub fn take(&self, peer: IpAddr, user: &str) -> bool {
        let is_any = !self.subnets.is_empty() || self.workers.is_some();
        is_any
            && (self.subnets.is_empty() || self.subnets.iter().any(|subnet| subnet.contains(&peer)))
            && self.workers.as_ref().is_none_or(|pattern| pattern.matches(user))
    }
}

/// A machine that the config names.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceEntry {
    /// As in logs and in the ledger; its own on the site.
    pub name: Arc<str>,
    /// Where its firmware is; `None`: where its connection comes from.
    pub address: Option<IpAddr>,
    /// The user name that it mines with; `None`: it is known by its address.
    pub worker: Option<Arc<str>>,
    /// Its own, if not the group's.
    pub nameplate: Option<Watts>,
    /// Its own, if not the group's.
    pub efficiency: Option<JoulesPerTerahash>,
}

/// What puts a machine to sleep and wakes it. In arguments and addresses `{ip}`, `{worker}` and `{device}` stand for the machine's,
/// `{mode}` in those of a wake for the mode that was saved.
#[derive(Debug, Clone, PartialEq)]
pub enum ActuatorKind {
    /// A command of the operator's: no shell, a small environment, killed after `timeout`. Exit code 0 is "sent".
    Exec {
        /// To put it to sleep.
        sleep: Vec<String>,
        /// To wake it.
        wake: Vec<String>,
        /// For one call.
        timeout: Duration,
    },
    /// An HTTP call. A 2xx status is "sent".
    Webhook {
        /// To put it to sleep.
        sleep: HttpCall,
        /// To wake it.
        wake: HttpCall,
        /// For one call.
        timeout: Duration,
    },
    /// A person is asked, and the watts are waited for.
    Manual,
    /// ASICs of the built-in simulated site (`hashgate sim site`).
    Simulated {
        /// Where that is, without a path.
        url: HttpUrl,
        /// Hashes that one of them computes where a real one does a terahash: what its nameplate is in.
        hashes_per_terahash: f64,
    },
    /// The firmware itself, over the network.
    Firmware(Firmware),
    /// Firmware of other makes, by the crate `asic-rs`.
    AsicRs(AsicRs),
    /// One that the program which embeds the proxy brings along, by its name.
    Custom(Arc<str>),
}

/// What tells a machine's watts, at its own supply.
#[derive(Debug, Clone, PartialEq)]
pub enum WattsSource {
    /// Its firmware, through the actuator's driver.
    Driver,
    /// A command that prints a number; `{ip}`, `{worker}`, `{device}` as in an actuator's.
    Exec {
        /// The command.
        command: Vec<String>,
        /// What its number is in.
        unit: PowerUnit,
        /// For one call.
        timeout: Duration,
    },
    /// A meter or PDU that answers with JSON.
    HttpJson {
        /// With placeholders.
        call: HttpCall,
        /// A JSON pointer to the number.
        pointer: Arc<str>,
        /// What the number is in.
        unit: PowerUnit,
        /// For one call.
        timeout: Duration,
    },
    /// Meters that publish by MQTT: each message is one reading, taken when it came.
    Mqtt {
        /// All are listened to at once.
        brokers: Vec<Broker>,
        /// With `{device}`, `{ip}` or `{worker}` as one whole level.
        topic: Arc<str>,
        /// A JSON pointer to the number; `None` if the payload is the number.
        pointer: Option<Arc<str>>,
        /// What the number is in.
        unit: PowerUnit,
        /// Who logs in at the brokers.
        login: Option<(Arc<str>, Secret)>,
        /// Whom to trust in TLS.
        trust: ServerTrust,
    },
    /// One meter for all machines of the group, as a hall, a PDU or a feeder has: each of `n` machines counts as drawing an `n`th of it. As
    /// these shares add up to what was measured, all sleep or none does. Where losses lie between them and the meter, they are counted
    /// twice, which is more and never less than what is drawn. Its time is the signal's: when it was asked, or when it came.
    Group {
        /// The signal's name.
        signal: Arc<str>,
    },
    /// Nothing does: each counts at its bound, and its sleep is never proven.
    None,
}

/// What a number of power is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerUnit {
    /// `W`.
    Watts,
    /// `kW`.
    Kilowatts,
}

/// Whether a machine that slept sleeps on after its power went and came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survives {
    /// It does: its power may be lent to any AI block.
    Yes,
    /// It wakes.
    No,
    /// Nobody knows; as `No`.
    Unknown,
}

/// How a group is moved. Watts at the site meter, per minute.
#[derive(Debug, Clone, PartialEq)]
pub struct Moves {
    /// The most that may be told to sleep within a minute; `None`: all at once.
    pub ramp_down: Option<Watts>,
    /// The most that may be told to wake within a minute; `None`: all at once.
    pub ramp_up: Option<Watts>,
    /// Machines of the first batch.
    pub canary: usize,
    /// Commands until a machine has failed.
    pub tries: u32,
    /// The pause before the second; it doubles with each.
    pub backoff: Duration,
    /// How long one may take to fall asleep.
    pub sleep_time: Duration,
    /// How long one may take from the command to its first accepted share.
    pub wake_time: Duration,
    /// The longest that may be learned in place of `sleep_time`: that, where the config gives it.
    pub sleep_most: Duration,
    /// The longest that may be learned in place of `wake_time`.
    pub wake_most: Duration,
    /// Shares that come so long after a sleep was proven were on their way.
    pub quiet: Duration,
    /// How long shares under way are waited for, should the pool never answer.
    pub quiet_limit: Duration,
    /// How long the first measurements are waited for after a start.
    pub probe: Duration,
    /// How long waking miners wait for a pool's work; after that they wake all the same.
    pub work_wait: Duration,
    /// The share of its machines without which a group mines after a wake: so many, or one. More, or all, are a fault.
    pub may_fail: Ratio,
    /// After which a fault's order is tried again, and those that a group mines without are told again, each time later.
    pub fault_retry: Duration,
}

/// How the AI compute of an `[[ai]]` is told of its leases. Watts at the site meter unless said otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerBlock {
    /// Who is told.
    pub control: ComputeKind,
    /// What it draws without work.
    pub idle: Watts,
    /// How far over its leases its readings may be by their noise, as a share.
    pub tolerance: Ratio,
    /// How often its status is asked for.
    pub poll: Duration,
    /// Within which it sheds when it is told to at once; `None`: it does not say, and gets no power of groups whose sleep a blip may end.
    pub sheds_within: Option<Duration>,
    /// A grant under which nothing more was drawn for so long is taken back.
    pub starts_within: Duration,
    /// A lease that is not back so long after it was asked for is told to an operator, again and again.
    pub returns_within: Duration,
}

/// Who tells AI compute.
#[derive(Debug, Clone, PartialEq)]
pub enum ComputeKind {
    /// An HTTP service of the AI team's: signed messages in, a status out.
    Webhook {
        /// Where messages go.
        url: HttpUrl,
        /// Where the status is.
        status: HttpUrl,
        /// What messages are signed with.
        secret: Secret,
        /// Whom to trust in TLS.
        trust: ServerTrust,
        /// For one call.
        timeout: Duration,
    },
    /// Commands: `{type}`, `{id}`, `{epoch}`, `{watts}`, `{it_watts}`, `{deadline}`, `{expires}` stand for what the webhook's message has; the
    /// message itself is on its standard input.
    Exec {
        /// Told of a grant, a renewal, a revocation; prints the answer.
        tell: Vec<String>,
        /// Prints the status.
        status: Vec<String>,
        /// For one call.
        timeout: Duration,
    },
    /// Slurm, whose nodes are drained and resumed.
    Slurm(Slurm),
    /// One that the program which embeds the proxy brings along, by its name.
    Custom(Arc<str>),
}

/// A Slurm cluster, or what of one is the block's.
#[derive(Debug, Clone, PartialEq)]
pub struct Slurm {
    /// Those that come first get power first.
    pub nodes: Vec<SlurmNode>,
    /// Slurm's command, with what goes before it. No shell reads it.
    pub scontrol: Vec<String>,
    /// For all that one word to Slurm takes.
    pub timeout: Duration,
    /// Whether Slurm switches the machines themselves, by its `SuspendProgram` and `ResumeProgram`.
    pub power_saving: bool,
    /// How long after a revocation's deadline running jobs are ended; `None`: they finish, however long that takes.
    pub force_after: Option<Duration>,
    /// What tells the watts of all its nodes together, of IT: `Exec` or `HttpJson`. `None`: what their states say counts.
    pub meter: Option<WattsSource>,
}

/// A node of Slurm's. Watts are of IT.
#[derive(Debug, Clone, PartialEq)]
pub struct SlurmNode {
    /// In Slurm.
    pub name: Arc<str>,
    /// What it draws at work, at most.
    pub power: Watts,
    /// What it draws without work, at most.
    pub idle: Watts,
    /// What it counts while it is down and Slurm does not reach it: nobody knows what runs on it.
    pub down: Watts,
}
