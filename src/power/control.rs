//! What an operator may ask of a group and of the site, and what follows, in words and kW.
//!
//! Values; the site's machine plans (`site.rs`), the task carries out (`task.rs`), API and command line show.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    group::Phase,
    receipt::Receipt,
    site::{BlockView, GroupView, SiteView},
};
use crate::{
    config::{Ai, Config, Mode},
    profit::Watts,
};

/// Machines that are named in one sentence.
const NAMED: usize = 20;

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

/// Machines that are to be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forget {
    /// One, by its name.
    Device(String),
    /// The same, and the operator says that it is gone for good: also one that was put to sleep and that the config does not have any more.
    Gone(String),
    /// All of the group that were found by their connections, are gone, and were not seen for so long.
    OlderThan(Duration),
}

/// What an order to forget does, or would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Forgotten {
    /// The group.
    pub group: Box<str>,
    /// Who is forgotten.
    pub devices: Vec<ForgottenDevice>,
    /// Who was not seen for so long and is kept all the same.
    pub kept: Vec<KeptDevice>,
    /// What counts no more, at the site meter, in kW.
    pub frees_kw: f64,
    /// What follows, in sentences.
    pub words: Vec<String>,
}

/// A machine that is forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ForgottenDevice {
    /// Its name.
    pub name: Box<str>,
    /// When it was there last.
    pub seen: Option<Timestamp>,
    /// What the ledger counted for it, in watts at the site meter.
    pub counts_watts: f64,
}

/// A machine that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptDevice {
    /// Its name.
    pub name: Box<str>,
    /// Why.
    pub why: Box<str>,
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
    /// No such machine.
    #[error("group {group:?} has no machine {name:?}: `hashgate devices {group}` lists them")]
    UnknownDevice {
        /// The group.
        group: String,
        /// What was asked for.
        name: String,
    },
    /// A machine that must not be forgotten.
    #[error("{0}")]
    NotForgotten(String),
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
    /// The proxy ends, or its power side does, or the config has nothing more that could be moved.
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
    /// Names of the groups and of the AI blocks, in the order of all that is by their indexes, and what the site may draw.
    pub named: Arc<Named>,
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
    /// Counted since the start of the proxy.
    pub totals: PowerTotals,
    /// What the ledger knew when the power side began, and the config can't move.
    pub orphans: Orphans,
    /// Whose certificates end when, as far as they were seen.
    pub certificates: Vec<Certificate>,
    /// Machines that were put to sleep.
    pub sleepers: Arc<Sleepers>,
}

/// Machines that were put to sleep, or are on their way up, as their connections would call themselves. Some firmware hangs up when it goes to
/// sleep: then nobody but the power side knows that it is not missed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sleepers {
    /// User names of those that are known by theirs.
    pub workers: HashSet<Arc<str>>,
    /// Addresses of the others.
    pub addresses: HashSet<IpAddr>,
}

impl Sleepers {
    /// Whether one is among them that mines with this user name from there.
    pub fn has(&self, worker: &str, peer: IpAddr) -> bool {
        self.workers.contains(worker) || self.addresses.contains(&peer.to_canonical())
    }
}

/// The certificate of a server that moves or measures machines, or of AI compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// `actuator`, `meter` or `ai`.
    pub of: &'static str,
    /// The group or the block, from the config.
    pub name: Arc<str>,
    /// When it ends; of several servers the first.
    pub ends: Timestamp,
}

impl PowerSnapshot {
    /// A group that something can move, by its name.
    pub fn group(&self, name: &str) -> Option<&GroupView> {
        let index = self.named.groups.iter().position(|group| **group == *name)?;
        self.site.groups.get(index)?.as_ref()
    }

    /// What an operator ordered of a group.
    pub fn order(&self, name: &str) -> Option<&Control> {
        let index = self.named.groups.iter().position(|group| **group == *name)?;
        self.orders.get(index)?.as_ref()
    }

    /// An AI block that is told of leases, by its name.
    pub fn block(&self, name: &str) -> Option<&BlockView> {
        let index = self.named.blocks.iter().position(|block| *block.name == *name)?;
        self.site.blocks.get(index)?.as_ref()
    }
}

/// What the power side's config calls things: another config may call them otherwise while this is looked at.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Named {
    /// By the index of the group.
    pub groups: Vec<Arc<str>>,
    /// By the index of the AI block.
    pub blocks: Vec<NamedBlock>,
    /// What the site may draw at the meter; `None`: nothing is capped.
    pub cap: Option<Watts>,
}

/// An AI block.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedBlock {
    /// Its name.
    pub name: Arc<str>,
    /// What it draws without work, at the site meter: that is no part of a lease.
    pub idle: Watts,
}

impl Named {
    /// By a config.
    pub fn new(config: &Config) -> Self {
        let profit = config.profit.as_ref();
        let told = config.power.as_ref().map_or(&[][..], |power| &power.blocks[..]);
        let idle = |index: usize| Some(told.get(index)?.as_ref()?.idle);
        let block = |(index, block): (usize, &Ai)| NamedBlock {
            name: block.name.clone(),
            idle: idle(index).unwrap_or(Watts::ZERO),
        };
        Self {
            groups: profit.iter().flat_map(|profit| &profit.groups).map(|group| group.name.clone()).collect(),
            blocks: profit.iter().flat_map(|profit| &profit.ai).enumerate().map(block).collect(),
            cap: config.power.as_ref().and_then(|power| power.cap),
        }
    }
}

/// What is counted since the start of the proxy.
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
    /// The group that it is of, as it was called then; the event's own index is of the config of that time.
    pub about: Option<Arc<str>>,
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

/// What a ledger knows to sleep, or to be lent, and the config can't wake or ask back (`task/orphans.rs`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Orphans {
    /// Machines that were put to sleep, or were on their way, by the group that they were in.
    pub machines: BTreeMap<String, Vec<String>>,
    /// What AI blocks hold, at the site meter.
    pub leases: BTreeMap<String, Watts>,
}

impl Orphans {
    /// Whether nobody is left.
    pub fn is_empty(&self) -> bool {
        self.machines.is_empty() && self.leases.is_empty()
    }

    /// A machine is gone for good.
    pub(super) fn forget(&mut self, group: &str, device: &str) {
        if let Some(names) = self.machines.get_mut(group) {
            names.retain(|name| name != device);
        }
        self.machines.retain(|_, names| !names.is_empty());
    }

    /// How many machines.
    pub fn machine_count(&self) -> usize {
        self.machines.values().map(Vec::len).sum()
    }

    /// What is lent.
    pub fn lent(&self) -> Watts {
        self.leases.values().copied().sum()
    }

    /// What is to be done, in a sentence for each group and block.
    pub fn words(&self) -> Vec<String> {
        let machines = self.machines.iter().map(|(group, names)| {
            let more = names.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!(
                "{} machines of group {group:?} were told to sleep, or were on their way, and no group of the config has them with an actuator: \
                 nobody wakes them; name them in a group with [group.actuator] again, or wake them by hand; one that is gone for good is struck out by \
                 `hashgate forget {group} MACHINE --confirm gone`: {}{more}",
                names.len(),
                names[..names.len().min(NAMED)].join(", ")
            )
        });
        let leases = self.leases.iter().map(|(block, watts)| {
            format!(
                "AI block {block:?} holds {} by its leases and is not in the config with a control: nobody can ask it back; put its [ai.control] \
                 back until it has returned that",
                watts.in_words()
            )
        });
        machines.chain(leases).collect()
    }
}
