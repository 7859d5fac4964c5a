//! `[profit]`, `[site]`, `[[feeder]]`, `[[group]]`, `[[ai]]`: what mining earns, what power costs, what AI compute pays, and when to
//! switch. Values only: what follows from them is the decision engine's (`profit/decision.rs`).
//!
//! | a number may be | written | |
//! |---|---|---|
//! | fixed | `"60 USD/MWh"`, `0.7` | [`Quote::Fixed`] |
//! | a signal's | `"spot"`, the name of a `[[signal]]` | [`Quote::Signal`] |

pub(super) mod plan;
pub(super) mod quote;
mod read;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use crate::profit::{
    BtcPerBlock, Currency, GpuTerms, JoulesPerTerahash, Money, MoneyPerBtc, MoneyPerGpuHour, MoneyPerMwh,
    MoneyPerPhDay, NetworkDifficulty, Ratio, SwitchTerms, Watts,
};

pub(super) use self::{
    quote::Signals,
    read::{open, read},
};

/// Everything about money and power; a config without `[[group]]` has none of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Profit {
    /// How far decisions go.
    pub mode: Mode,
    /// The site's one currency.
    pub currency: Currency,
    /// What mining earns; `None` where every group watches a signal of its own instead.
    pub market: Option<Market>,
    /// When to switch.
    pub policy: Policy,
    /// `[site]`: what lies between the meter and the machines.
    pub site: Site,
    /// `[[feeder]]` in file order.
    pub feeders: Vec<Feeder>,
    /// `[[group]]` in file order; never empty.
    pub groups: Vec<Group>,
    /// `[[ai]]` in file order.
    pub ai: Vec<Ai>,
}

/// How far decisions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything is shown, nothing is commanded.
    DryRun,
    /// What an operator orders is carried out; prices move nothing.
    Advise,
    /// Prices decide, and what they decide is carried out.
    Active,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::DryRun, Self::Advise, Self::Active];

    /// The word in the config, the API, the ledger and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::DryRun => "dry_run",
            Self::Advise => "advise",
            Self::Active => "active",
        }
    }
}

/// A number that is fixed, or comes from a signal.
#[derive(Debug, Clone, PartialEq)]
pub enum Quote<T> {
    /// As written in the config.
    Fixed(T),
    /// The signal of this name.
    Signal(Arc<str>),
}

/// Where the hashprice comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Market {
    /// Somebody publishes it.
    Hashprice(Quote<MoneyPerPhDay>),
    /// Computed from what it consists of.
    Parts {
        /// What a bitcoin costs.
        btc: Quote<MoneyPerBtc>,
        /// The network's difficulty.
        difficulty: Quote<NetworkDifficulty>,
        /// Subsidy and fees of a block.
        reward: Quote<BtcPerBlock>,
    },
}

/// When to switch.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// A group drains when power costs more than this many times what it earns.
    pub drain_at: Ratio,
    /// It wakes when power costs less than this many times what it earns; never over `drain_at`.
    pub wake_at: Ratio,
    /// Good observations in a row before it wakes, at least 1. A drain needs one.
    pub wake_after: u32,
    /// Shortest sleep.
    pub min_asleep: Duration,
    /// Shortest time between waking and a drain that does not lose much.
    pub min_mining: Duration,
    /// Drains of a group within 24 hours before one that does not lose much is put off.
    pub drains_per_day: u32,
    /// How long a price holds: what one more observation would cost.
    pub price_interval: Duration,
    /// How long power is expected to stay where it is moved, between mining and AI.
    pub expected_dwell: Duration,
    /// How long an economic signal may be missing before `after_hold`.
    pub max_hold: Duration,
    /// What a group does when an economic signal has been missing for `max_hold`.
    pub after_hold: AfterHold,
    /// What a grid signal means that was there and is no more.
    pub stale_grid: StaleGrid,
}

/// What a group does when an economic signal stays away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterHold {
    /// It mines: a dead sender must not leave miners asleep for ever.
    Mine,
    /// It stays as it is.
    Stay,
}

/// What a grid signal means that was there and is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleGrid {
    /// Everything sheds.
    Curtail,
    /// What it said last holds.
    Hold,
}

/// `[site]`: what lies between the meter and the machines.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// What a MWh costs; `None` where every group watches a signal of its own instead.
    pub power_price: Option<Quote<MoneyPerMwh>>,
    /// Delivery, taxes and fees on each MWh, on top of the price.
    pub delivery: MoneyPerMwh,
    /// MWh at the meter for each MWh of a miner: losses, cooling. At least 1.
    pub overhead: Ratio,
    /// What the site may draw, at the meter; `None`: as much as its groups and its base load.
    pub cap: Option<Watts>,
    /// What it always draws, at the meter.
    pub base_load: Watts,
    /// What the grid pays for each MWh not drawn, where that is not in the price already.
    pub curtail_pays: Quote<MoneyPerMwh>,
    /// A signal: the share of the cap that the grid allows.
    pub grid: Option<Arc<str>>,
    /// A verdict signal: `unprofitable` while the clock says so.
    pub schedule: Option<Arc<str>>,
}

/// `[[feeder]]`: a part of the site with a cap of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Feeder {
    /// As in groups and AI blocks.
    pub name: Arc<str>,
    /// What it may carry, at the meter.
    pub cap: Watts,
}

/// `[[group]]`: miners that sleep and wake together.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// As in logs, metrics and reasons.
    pub name: Arc<str>,
    /// What it is judged by.
    pub rule: Rule,
    /// Power of its machines when all mine; `None` only at a site without cap and AI.
    pub power: Option<Watts>,
    /// Power of the machines that always mine (a contract with a pool).
    pub floor: Watts,
    /// Index into [`Profit::feeders`].
    pub feeder: Option<usize>,
    /// What a switch takes.
    pub switch: SwitchTerms,
    /// The share of its power that it draws asleep.
    pub sleep_draw: Ratio,
}

/// What a group is judged by.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// Power's price against what mining earns.
    Economics {
        /// Joules for each terahash.
        efficiency: Efficiency,
        /// The pool's share.
        pool_fee: Ratio,
    },
    /// One external number.
    Threshold {
        /// The signal's name.
        signal: Arc<str>,
        /// The group drains when the number is under this, in the signal's canonical unit.
        drain_below: f64,
        /// It wakes when the number is over this; never under `drain_below`.
        wake_above: f64,
    },
    /// One external verdict.
    Verdict {
        /// The signal's name.
        signal: Arc<str>,
    },
}

/// Joules for each terahash.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Efficiency {
    /// As the data sheet says.
    Fixed(JoulesPerTerahash),
    /// From measured watts and accounted hashrate.
    Measured,
}

/// `[[ai]]`: a block of AI compute that may take the miners' power.
#[derive(Debug, Clone, PartialEq)]
pub struct Ai {
    /// As in logs, metrics and reasons.
    pub name: Arc<str>,
    /// What it takes when all of it runs: IT power, without its cooling.
    pub power: Watts,
    /// What it pays.
    pub price: AiPrice,
    /// The share of `power` that there is demand for.
    pub demand: Quote<Ratio>,
    /// MWh at the meter for each MWh of IT, at least 1.
    pub pue: Ratio,
    /// Power is given in multiples of this (a node, a rack), IT power; 0 for any amount.
    pub block: Watts,
    /// How long before its power is back after it was asked for.
    pub notice: Duration,
    /// How long it keeps what it got.
    pub min_term: Duration,
    /// Whether the grid may take its power at once.
    pub interruptible: bool,
    /// Time at full power before it earns.
    pub warm_up: Duration,
    /// What a start wears off, per MW at the meter.
    pub wear_per_mw: Money,
    /// Index into [`Profit::feeders`].
    pub feeder: Option<usize>,
}

/// What AI compute pays.
#[derive(Debug, Clone, PartialEq)]
pub enum AiPrice {
    /// For each hour of a GPU.
    PerGpuHour {
        /// The price.
        price: Quote<MoneyPerGpuHour>,
        /// What stays of it, and for how much power.
        terms: GpuTerms,
    },
    /// For each MWh of IT: colocation.
    PerMwh(Quote<MoneyPerMwh>),
}

impl Ai {
    /// The time within which power that it gets must pay for the switch: what it is sure to keep it, or where it is sure of
    /// nothing, what is expected.
    pub fn horizon(&self, expected_dwell: Duration) -> Duration {
        if self.min_term.is_zero() { expected_dwell } else { self.min_term.saturating_add(self.notice) }
    }
}
