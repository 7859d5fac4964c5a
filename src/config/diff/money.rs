//! What a new config changes in signals, money and machines.
//!
//! | part | the next decision is by it | signals begin anew | the power side begins anew |
//! |---|---|---|---|
//! | `[profit]`: policy and market; prices, grid and schedule of `[site]`; `[[feeder]]` | all of it | | |
//! | `mode`, cap, overhead and base load of `[site]`, currency | where nothing is moved | currency | where something is moved |
//! | `[[signal]]` | | all of it | |
//! | `[[group]]` | what it is judged by, what a switch costs, its feeder | | one that comes, goes or moves; of those whose machines are moved: all else |
//! | `[[ai]]` | its price, demand, terms | | one that comes, goes or moves; of those that are told of leases: all else |
//! | `[power]` | | | all but the ledger's place, which needs a restart |
//!
//! Where nothing is moved, groups and blocks that come and go are in the next decision. What begins anew does so inside the running proxy:
//! of signals, those that stay as they are keep what they have said; the power side goes on from its ledger, as after a restart. What a
//! ledger forbids (a group that goes while machines of it sleep) is not known here: whoever carries it out finds out, and refuses it.

use super::{Change, Differ, Effect, compare, list, optional, text, time};
use crate::{
    config::{
        Ai, AiPrice, Config, Efficiency, Feeder, Group, Market, Mode, Policy, Power, PowerBlock, PowerGroup, Profit,
        Rule, Signal, Site, SiteMeter,
    },
    profit::{Currency, SwitchTerms, Watts},
};

const DECIDED: Effect = Effect::Live("from the next decision on");
const HEARD: Effect = Effect::Live("signals and decisions begin anew on it; who stays as it is keeps its values");
pub(super) const MACHINES: Effect =
    Effect::Live("the power side begins anew on it; machines and leases stay as they are, miners notice nothing");

/// The changes, with what becomes of them.
pub(super) fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let mut differ = Differ::default();
    differ.signals(&old.signals, &new.signals);
    // The power side has taken these for its own when it began.
    let is_managed = old.power.is_some() || new.power.is_some();
    let machines = if is_managed { MACHINES } else { DECIDED };
    match (&old.profit, &new.profit) {
        (Some(before), Some(after)) => differ.profit(before, after, machines),
        (old, new) => differ.section("[[group]]", old.is_some(), new.is_some(), machines),
    }
    match (old.profit.as_ref().zip(old.power.as_ref()), new.profit.as_ref().zip(new.power.as_ref())) {
        (Some(old), Some(new)) => differ.power(old, new),
        (old, new) => differ.section("[power]", old.is_some(), new.is_some(), MACHINES),
    }
    differ.0
}

/// What the power side knows of how a group is judged: which of its machines are the worst.
fn seen_by_machines(rule: &Rule) -> Option<Efficiency> {
    match rule {
        Rule::Economics { efficiency, .. } => Some(*efficiency),
        Rule::Threshold { .. } | Rule::Verdict { .. } => None,
    }
}

/// What can't be shown, because it is long, or because there may be a secret in it.
fn unshown<T>(_: &T) -> String {
    String::new()
}

fn watts(watts: &Watts) -> String {
    watts.in_words().to_string()
}

fn watts_or_none(watts: &Option<Watts>) -> String {
    watts.map_or("none".to_owned(), |watts| watts.in_words().to_string())
}

fn time_or_none(value: &Option<std::time::Duration>) -> String {
    value.as_ref().map_or("none".to_owned(), time)
}

impl Differ {
    fn signals(&mut self, old: &[Signal], new: &[Signal]) {
        self.tables(
            "signal",
            (old, new),
            |one| &one.name,
            (HEARD, HEARD),
            |differ, place, old, new| {
                compare!(differ, place, old, new, Signal {
                quantity: unshown => HEARD,
                unit: unshown => HEARD,
                class: unshown => HEARD,
                max_age: time => HEARD,
                range: unshown => HEARD,
                max_spread: unshown => HEARD,
                sources: unshown => HEARD,
            } apart { name });
            },
        );
        // Their order is shown, and means nothing.
        self.order("[[signal]]", (old, new), |one| &one.name, HEARD);
    }

    fn profit(&mut self, old: &Profit, new: &Profit, machines: Effect) {
        let mode = |mode: &Mode| mode.label().to_owned();
        let market = |market: &Option<Market>| match market {
            None => "none".to_owned(),
            Some(Market::Hashprice(_)) => "a hashprice".to_owned(),
            Some(Market::Parts { btc: _, difficulty: _, reward: _ }) => "its parts".to_owned(),
        };
        compare!(self, "[profit]", old, new, Profit {
            mode: mode => machines,
            currency: text => if machines == MACHINES { MACHINES } else { HEARD },
            market: market => DECIDED,
        } apart { policy, site, feeders, groups, ai });
        self.policy(&old.policy, &new.policy);
        self.site(&old.site, &new.site, new.currency, machines);
        let both = (machines, machines);
        self.tables(
            "feeder",
            (&old.feeders, &new.feeders),
            |one| &one.name,
            (DECIDED, DECIDED),
            |differ, place, old, new| {
                compare!(differ, place, old, new, Feeder { cap: watts => DECIDED } apart { name });
            },
        );
        self.tables(
            "group",
            (&old.groups, &new.groups),
            |one| &one.name,
            both,
            |differ, place, old, new| {
                differ.group(place, old, new, machines);
            },
        );
        self.tables(
            "ai",
            (&old.ai, &new.ai),
            |one| &one.name,
            both,
            |differ, place, old, new| {
                let price = |price: &AiPrice| match price {
                    AiPrice::PerGpuHour { price: _, terms: _ } => "for each hour of a GPU".to_owned(),
                    AiPrice::PerMwh(_) => "for each MWh".to_owned(),
                };
                compare!(differ, place, old, new, Ai {
                power: watts => machines,
                price: price => DECIDED,
                demand: unshown => DECIDED,
                pue: text => machines,
                block: watts => machines,
                notice: time => machines,
                min_term: time => DECIDED,
                interruptible: text => DECIDED,
                warm_up: time => DECIDED,
                wear_per_mw: text => DECIDED,
                feeder: optional => DECIDED,
            } apart { name });
            },
        );
        self.order("[[feeder]]", (&old.feeders, &new.feeders), |one| &one.name, DECIDED);
        self.order("[[group]]", (&old.groups, &new.groups), |one| &one.name, machines);
        self.order("[[ai]]", (&old.ai, &new.ai), |one| &one.name, machines);
    }

    fn policy(&mut self, old: &Policy, new: &Policy) {
        compare!(self, "[profit]", old, new, Policy {
            drain_at: text => DECIDED,
            wake_at: text => DECIDED,
            wake_after: text => DECIDED,
            min_asleep: time => DECIDED,
            min_mining: time => DECIDED,
            drains_per_day: text => DECIDED,
            price_interval: time => DECIDED,
            expected_dwell: time => DECIDED,
            max_hold: time => DECIDED,
            after_hold: unshown => DECIDED,
            stale_grid: unshown => DECIDED,
        } apart {});
    }

    fn site(&mut self, old: &Site, new: &Site, currency: Currency, machines: Effect) {
        let money = |money: &crate::profit::MoneyPerMwh| money.in_currency(currency).to_string();
        compare!(self, "[site]", old, new, Site {
            power_price: unshown => DECIDED,
            delivery: money => DECIDED,
            overhead: text => machines,
            cap: watts_or_none => DECIDED,
            base_load: watts => machines,
            curtail_pays: unshown => DECIDED,
            grid: optional => DECIDED,
            schedule: optional => DECIDED,
        } apart {});
    }

    fn group(&mut self, place: &str, old: &Group, new: &Group, machines: Effect) {
        let judged = if seen_by_machines(&old.rule) == seen_by_machines(&new.rule) { DECIDED } else { machines };
        let rule = |rule: &Rule| match rule {
            Rule::Economics { efficiency: Efficiency::Fixed(efficiency), pool_fee } => {
                format!("{efficiency}, pool fee {pool_fee}")
            }
            Rule::Economics { efficiency: Efficiency::Measured, pool_fee } => format!("measured, pool fee {pool_fee}"),
            Rule::Threshold { signal, drain_below, wake_above } => {
                format!("drains when {signal:?} is under {drain_below}, wakes when it is over {wake_above}")
            }
            Rule::Verdict { signal } => format!("as {signal:?} says"),
        };
        compare!(self, place, old, new, Group {
            rule: rule => judged,
            power: watts_or_none => machines,
            floor: watts => machines,
            feeder: optional => DECIDED,
            sleep_draw: text => DECIDED,
        } apart { name, switch });
        compare!(self, place, old.switch, new.switch, SwitchTerms {
            sleep_s: text => DECIDED,
            wake_s: text => DECIDED,
            wear_per_mw: text => DECIDED,
        } apart {});
    }

    fn power(&mut self, (before, old): (&Profit, &Power), (after, new): (&Profit, &Power)) {
        // The ledger's place is told apart, as there is one without a power side, too.
        compare!(self, "[power]", old, new, Power {
            cap: watts_or_none => MACHINES,
            reserve: watts => MACHINES,
            drift: watts => MACHINES,
            max_age: time => MACHINES,
            forget_after: time_or_none => MACHINES,
            proofs: text => MACHINES,
            poll: time => MACHINES,
            poll_moving: time => MACHINES,
            calls: text => MACHINES,
            command_lifetime: time => MACHINES,
            lease_term: time => MACHINES,
        } apart { ledger, meter, groups, blocks });
        match (&old.meter, &new.meter) {
            (Some(old), Some(new)) => compare!(self, "[power.meter]", old, new, SiteMeter {
                signal: text => MACHINES,
                max_age: time => MACHINES,
                deviation: text => MACHINES,
            } apart {}),
            (old, new) => self.section("[power.meter]", old.is_some(), new.is_some(), MACHINES),
        }
        // Groups and blocks that came or went are told by their names above.
        for (group, new) in after.groups.iter().zip(&new.groups) {
            let Some(at) = before.groups.iter().position(|other| other.name == group.name) else { continue };
            let place = format!("group {:?}", group.name);
            match (&old.groups[at], new) {
                (Some(old), Some(new)) => self.machines(&place, old, new),
                (old, new) => self.section(&format!("{place} actuator"), old.is_some(), new.is_some(), MACHINES),
            }
        }
        for (ai, new) in after.ai.iter().zip(&new.blocks) {
            let Some(at) = before.ai.iter().position(|other| other.name == ai.name) else { continue };
            let place = format!("ai {:?}", ai.name);
            match (&old.blocks[at], new) {
                (Some(old), Some(new)) => compare!(self, place, old, new, PowerBlock {
                    control: unshown => MACHINES,
                    idle: watts => MACHINES,
                    tolerance: text => MACHINES,
                    poll: time => MACHINES,
                    sheds_within: time_or_none => MACHINES,
                    starts_within: time => MACHINES,
                    returns_within: time => MACHINES,
                } apart {}),
                (old, new) => self.section(&format!("{place} control"), old.is_some(), new.is_some(), MACHINES),
            }
        }
    }

    fn machines(&mut self, place: &str, old: &PowerGroup, new: &PowerGroup) {
        compare!(self, place, old, new, PowerGroup {
            miners: unshown => MACHINES,
            devices: unshown => MACHINES,
            nameplate: watts => MACHINES,
            configured_max: watts_or_none => MACHINES,
            sleep_max: watts => MACHINES,
            actuator: unshown => MACHINES,
            watts: unshown => MACHINES,
            sleep_survives_power_cycle: unshown => MACHINES,
            moves: unshown => MACHINES,
        } apart {});
    }

    /// Tables whose place counts.
    fn order<T>(
        &mut self,
        kind: &str,
        (old, new): (&[T], &[T]),
        name: impl Fn(&T) -> &std::sync::Arc<str>,
        effect: Effect,
    ) {
        let names = |of: &[T], other: &[T]| -> Vec<std::sync::Arc<str>> {
            let is_in_both = |one: &&T| other.iter().any(|other| name(other) == name(one));
            of.iter().filter(is_in_both).map(|one| name(one).clone()).collect()
        };
        let (was, is) = (names(old, new), names(new, old));
        if was != is {
            self.field(kind, "order", list(&was), list(&is), effect);
        }
    }
}
