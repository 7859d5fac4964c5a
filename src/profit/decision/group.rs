//! One group's own judgement: whether it should mine, before caps and AI compute are looked at.
//!
//! Knows its state, its readings and the policy; knows no other group.
//!
//! ```text
//! lockout > unsafe > grid gone > order > schedule > economics
//!
//! economics, cost = price + delivery + payment for curtailing, value = what mining earns, all at the meter
//!   mining  cost > drain_at · value   drain, at the first such observation      (never at cost ≤ 0)
//!           unless it woke lately or drained often, and one price interval loses less than a switch costs
//!   asleep  cost < wake_at · value, or cost ≤ 0, wake_after times in a row       wake, if min_asleep is over
//!   a number is missing               as it is, for max_hold; then after_hold
//! ```
//! In a row: of the power price, or of the group's own signal. A hashprice that is polled each minute confirms no price of an hour;
//! it counts only where power has one price, written in the config.
//!
//! The band is on the ratio of cost and value: one in percent of the margin is undefined near zero. `drain_at` of 1.10 is the
//! break-even of a drain that takes six minutes of revenue (one to sleep, five to wake) and lasts an hour: prices stay about so long.

use std::{collections::VecDeque, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::reason::{Fault, Unknown, What, Why, seen};
use crate::{
    config::{AfterHold, Efficiency, Group, Policy, Rule},
    profit::{
        economics::{at_meter, mining_value, round_trip},
        inputs::{Action, GroupInput, is_profitable},
        reading::Reading,
        units::{JoulesPerTerahash, Money, MoneyPerMwh, MoneyPerPhDay, Ratio, Watts},
    },
};

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// When a number that is written in the config was observed.
const FIXED: Timestamp = Timestamp::MIN;

/// What holds for every group at this evaluation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site<'p> {
    pub now: Timestamp,
    pub policy: &'p Policy,
    /// Price and delivery.
    pub cost: Reading<MoneyPerMwh>,
    pub curtail_pays: Reading<MoneyPerMwh>,
    pub hashprice: Reading<MoneyPerPhDay>,
    pub overhead: Ratio,
    /// The grid's signal is gone, and that means to shed.
    pub grid_gone: bool,
    pub schedule: Reading<bool>,
}

/// What a group would do by itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judgement {
    pub runs: bool,
    pub why: Why,
    /// What its power earns at the meter; `None` where that is not known or not asked.
    pub value: Option<MoneyPerMwh>,
    /// Over the cost of power.
    pub margin: Option<MoneyPerMwh>,
    /// Why it should not be drained for a small gain.
    pub reluctant: Option<Reluctance>,
    /// It is not a matter of money: AI compute does not outbid it.
    pub is_fixed: bool,
}

/// What a group is judged by.
#[derive(Debug, Clone, Copy)]
enum Known {
    /// At the meter.
    Price {
        value: MoneyPerMwh,
        margin: MoneyPerMwh,
        observed_at: Timestamp,
    },
    Number {
        value: f64,
        drain_below: f64,
        wake_above: f64,
        observed_at: Timestamp,
    },
    Verdict {
        is_profitable: bool,
        observed_at: Timestamp,
    },
}

/// Why a group should not be drained for a small gain.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reluctance {
    JustAwake { left: SignedDuration },
    TooManyDrains { drains: u32 },
}

impl Reluctance {
    pub fn why(self, loss: Option<Money>, cost: Option<Money>) -> Why {
        match self {
            Self::JustAwake { left } => Why::JustAwake { left, loss, cost },
            Self::TooManyDrains { drains } => Why::TooManyDrains { drains, loss, cost },
        }
    }
}

/// What is remembered of a group.
#[derive(Debug)]
pub(super) struct GroupState {
    pub action: Action,
    /// Since when it mines or sleeps; `None` since before the engine.
    pub since: Option<Timestamp>,
    unknown_since: Option<Timestamp>,
    /// Good observations in a row while it sleeps, and when the last one was made.
    good: u32,
    good_at: Option<Timestamp>,
    efficiency: Option<JoulesPerTerahash>,
    /// Of the last 24 hours; no more than the policy's `drains_per_day` are looked at, so no more are kept.
    drains: VecDeque<Timestamp>,
}

impl GroupState {
    /// A group that mines, as all do until the power side says otherwise.
    pub fn new() -> Self {
        Self {
            action: Action::Mine,
            since: None,
            unknown_since: None,
            good: 0,
            good_at: None,
            efficiency: None,
            drains: VecDeque::new(),
        }
    }

    pub fn mines(&self) -> bool {
        self.action == Action::Mine
    }

    /// Takes a decision as carried out, or the power side's word for what is.
    pub fn becomes(&mut self, action: Action, now: Timestamp, policy: &Policy) {
        let mines = action == Action::Mine;
        if mines != self.mines() {
            self.since = Some(now);
            (self.good, self.good_at) = (0, None);
            if !mines {
                self.drains.push_back(now);
                while self.drains.len() > policy.drains_per_day as usize {
                    self.drains.pop_front();
                }
            }
        }
        self.action = action;
    }

    /// What the group would do by itself.
    pub fn judge(&mut self, group: &Group, input: &GroupInput, site: &Site<'_>) -> Judgement {
        if self.mines() && input.efficiency.is_some() {
            self.efficiency = input.efficiency;
        }
        let known = self.known(group, input, site);
        if known.is_ok() {
            self.unknown_since = None;
        }
        let (value, margin) = match known {
            Ok(Known::Price { value, margin, .. }) => (Some(value), Some(margin)),
            _ => (None, None),
        };
        let forced = |runs, why| Judgement { runs, why, value, margin, reluctant: None, is_fixed: true };
        if input.lockout {
            return forced(false, Why::Lockout);
        }
        if input.unsafe_to_run {
            return forced(false, Why::Unsafe);
        }
        if site.grid_gone {
            return forced(false, Why::GridGone);
        }
        if let Some(order) = input.order {
            return forced(order == Action::Mine, Why::Order);
        }
        if site.schedule.fresh() == Some(false) {
            return forced(false, Why::Schedule);
        }
        let known = match known {
            Ok(known) => known,
            Err(unknown) => {
                let (runs, why) = self.hold(unknown, site);
                return forced(runs, why);
            }
        };
        let reluctant = self.reluctance(site);
        let (runs, why) = match known {
            Known::Price { value, margin, observed_at } => {
                self.by_price(group, (value, margin), observed_at, reluctant, site)
            }
            Known::Number { value, drain_below, wake_above, observed_at } => {
                let good = Why::Above { value, drains_below: drain_below };
                let bad = Why::Below { value, wakes_above: wake_above };
                self.by_signal(observed_at, (value >= drain_below, value > wake_above), (good, bad), reluctant, site)
            }
            Known::Verdict { is_profitable, observed_at } => {
                let why = Why::Verdict { is_profitable };
                self.by_signal(observed_at, (is_profitable, is_profitable), (why, why), reluctant, site)
            }
        };
        // Without a margin there is nothing that AI compute could be compared with.
        Judgement { runs, why, value, margin, reluctant, is_fixed: margin.is_none() }
    }

    /// What the group is judged by, or what is missing for that.
    fn known(&self, group: &Group, input: &GroupInput, site: &Site<'_>) -> Result<Known, Unknown> {
        let (efficiency, pool_fee) = match &group.rule {
            Rule::Economics { efficiency, pool_fee } => (*efficiency, *pool_fee),
            Rule::Threshold { drain_below, wake_above, .. } => {
                let (value, observed_at) = seen(What::Signal, &input.signal)?;
                return Ok(Known::Number { value, drain_below: *drain_below, wake_above: *wake_above, observed_at });
            }
            Rule::Verdict { .. } => {
                let (value, observed_at) = seen(What::Signal, &input.signal)?;
                return Ok(Known::Verdict { is_profitable: is_profitable(value), observed_at });
            }
        };
        let (cost, priced_at) = seen(What::PowerPrice, &site.cost)?;
        let (hashprice, earned_at) = seen(What::Hashprice, &site.hashprice)?;
        let (_, paid_at) = seen(What::CurtailPayment, &site.curtail_pays)?;
        let efficiency = match efficiency {
            Efficiency::Fixed(efficiency) => Some(efficiency),
            Efficiency::Measured => self.efficiency,
        };
        let efficiency = efficiency.ok_or(Unknown { what: What::Efficiency, fault: Fault::Never })?;
        let value = at_meter(mining_value(hashprice, efficiency, pool_fee), site.overhead);
        let observed_at = [priced_at, earned_at, paid_at].into_iter().find(|at| *at > FIXED).unwrap_or(FIXED);
        Ok(Known::Price { value, margin: value - cost, observed_at })
    }

    fn hold(&mut self, unknown: Unknown, site: &Site<'_>) -> (bool, Why) {
        let since = *self.unknown_since.get_or_insert(site.now);
        let left = until(since, site.policy.max_hold, site.now);
        if left > SignedDuration::ZERO {
            return (self.mines(), Why::Held { unknown, left });
        }
        let then = site.policy.after_hold;
        let why = Why::HoldOver { unknown, waited: site.policy.max_hold, then };
        (self.mines() || then == AfterHold::Mine, why)
    }

    /// Price against value.
    fn by_price(
        &mut self,
        group: &Group,
        (value, margin): (MoneyPerMwh, MoneyPerMwh),
        observed_at: Timestamp,
        reluctant: Option<Reluctance>,
        site: &Site<'_>,
    ) -> (bool, Why) {
        let curtail_pays = site.curtail_pays.fresh().unwrap_or(MoneyPerMwh::ZERO);
        // What mining forgoes counts as what it costs.
        let cost = value - margin + curtail_pays;
        let policy = site.policy;
        let is_free = cost <= MoneyPerMwh::ZERO;
        let drains_under = value - value * policy.drain_at + curtail_pays;
        let wakes_over = value - value * policy.wake_at + curtail_pays;
        if self.mines() {
            let loses = !is_free && cost > value * policy.drain_at;
            if !loses {
                return (true, Why::Pays { margin, drains_under });
            }
            let loss = (cost - value).over(Watts::MEGAWATT, hours(policy.price_interval));
            let switch = round_trip(value, &group.switch);
            if let Some(reluctance) = reluctant
                && loss <= switch
            {
                return (true, reluctance.why(Some(loss), Some(switch)));
            }
            return (false, Why::Loses { margin, drains_under, wakes_over });
        }
        let pays = is_free || cost < value * policy.wake_at;
        if let Some(wait) = self.wait_to_wake(pays, observed_at, site) {
            return (false, wait);
        }
        if pays { (true, Why::Pays { margin, drains_under }) } else { (false, Why::NotYet { margin, wakes_over }) }
    }

    /// A signal that is good enough to go on (first) and to wake (second), with what to say of each.
    fn by_signal(
        &mut self,
        observed_at: Timestamp,
        (goes_on, wakes): (bool, bool),
        (good, bad): (Why, Why),
        reluctant: Option<Reluctance>,
        site: &Site<'_>,
    ) -> (bool, Why) {
        if self.mines() {
            return match reluctant {
                // How much it loses is not known here, so the operator's limits hold as they are.
                Some(reluctance) if !goes_on => (true, reluctance.why(None, None)),
                _ => (goes_on, if goes_on { good } else { bad }),
            };
        }
        if let Some(wait) = self.wait_to_wake(wakes, observed_at, site) {
            return (false, wait);
        }
        (wakes, if wakes { good } else { bad })
    }

    /// Why a sleeping group that could wake must wait; counts good observations.
    fn wait_to_wake(&mut self, pays: bool, observed_at: Timestamp, site: &Site<'_>) -> Option<Why> {
        if !pays {
            (self.good, self.good_at) = (0, None);
            return None;
        }
        if self.good_at != Some(observed_at) {
            self.good = self.good.saturating_add(1);
            self.good_at = Some(observed_at);
        }
        let left = self.since.map_or(SignedDuration::ZERO, |since| until(since, site.policy.min_asleep, site.now));
        if left > SignedDuration::ZERO {
            return Some(Why::JustAsleep { left });
        }
        let wanted = site.policy.wake_after;
        // What never changes is never seen again, so there is nothing to wait for.
        (observed_at > FIXED && self.good < wanted).then_some(Why::Unconfirmed { seen: self.good, wanted })
    }

    fn reluctance(&mut self, site: &Site<'_>) -> Option<Reluctance> {
        if !self.mines() {
            return None;
        }
        let left = self.since.map_or(SignedDuration::ZERO, |since| until(since, site.policy.min_mining, site.now));
        if left > SignedDuration::ZERO {
            return Some(Reluctance::JustAwake { left });
        }
        while self.drains.front().is_some_and(|drain| site.now.duration_since(*drain) >= DAY) {
            self.drains.pop_front();
        }
        let drains = self.drains.len() as u32;
        (drains >= site.policy.drains_per_day).then_some(Reluctance::TooManyDrains { drains })
    }
}

pub(super) fn hours(duration: Duration) -> f64 {
    duration.as_secs_f64() / 3600.0
}

/// What is left at `now` of a time that began at `since`.
pub(super) fn until(since: Timestamp, time: Duration, now: Timestamp) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX).saturating_sub(now.duration_since(since))
}
