//! What a new config changes in signals, money and machines.
//!
//! | part | followed live | needs a restart |
//! |---|---|---|
//! | `[profit]`: policy and market; prices, cap, grid and schedule of `[site]`; caps of feeders | all of it | `mode`, where machines are moved |
//! | `[[group]]` | what it is judged by, what a switch costs, its feeder | another group; of those whose machines are moved: power, floor, efficiency |
//! | `[[ai]]` | its price, demand, terms | another block; of those that are told of leases: power, PUE, steps, notice |
//! | `[[signal]]`, `[power]`, currency | | all of it |
//!
//! These parts name each other (a policy names signals, machines stand in groups), so the running proxy follows all of their changes or
//! none: the table says which of them it can follow, and one that it can't keeps the others back.

use super::{Change, Differ, Effect, compare, list, optional, text, time};
use crate::{
    config::{
        Ai, AiPrice, Config, Efficiency, Feeder, Group, Market, Mode, Policy, Power, PowerBlock, PowerGroup, Profit,
        Rule, Signal, Site, SiteMeter,
    },
    profit::{Currency, SwitchTerms, Watts},
};

const DECIDED: Effect = Effect::Live("from the next decision on");

/// The changes, with what becomes of them.
pub(super) fn diff(old: &Config, new: &Config) -> Vec<Change> {
    let mut differ = compared(old, new);
    if !is_followed(old, new) {
        differ.0.iter_mut().for_each(|change| change.effect = Effect::Restart);
    }
    differ.0
}

/// Whether the running proxy can follow all of it.
pub(super) fn is_followed(old: &Config, new: &Config) -> bool {
    compared(old, new).0.iter().all(|change| change.effect != Effect::Restart)
}

fn compared(old: &Config, new: &Config) -> Differ {
    let mut differ = Differ::default();
    differ.signals(&old.signals, &new.signals);
    match (&old.profit, &new.profit) {
        (Some(before), Some(after)) => {
            // The power side has taken these for its own at the start.
            let is_managed = old.power.is_some() || new.power.is_some();
            differ.profit(before, after, if is_managed { Effect::Restart } else { DECIDED });
        }
        (old, new) => differ.section("[[group]]", old.is_some(), new.is_some()),
    }
    match (&old.power, &new.power) {
        (Some(old), Some(new)) => differ.power(old, new),
        (old, new) => differ.section("[power]", old.is_some(), new.is_some()),
    }
    differ
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
            (Effect::Restart, Effect::Restart),
            |differ, place, old, new| {
                compare!(differ, place, old, new, Signal {
                quantity: unshown => Effect::Restart,
                unit: unshown => Effect::Restart,
                class: unshown => Effect::Restart,
                max_age: time => Effect::Restart,
                range: unshown => Effect::Restart,
                max_spread: unshown => Effect::Restart,
                sources: unshown => Effect::Restart,
            } apart { name });
            },
        );
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
            currency: text => Effect::Restart,
            market: market => DECIDED,
        } apart { policy, site, feeders, groups, ai });
        self.policy(&old.policy, &new.policy);
        self.site(&old.site, &new.site, new.currency, machines);
        let both = (Effect::Restart, Effect::Restart);
        self.tables(
            "feeder",
            (&old.feeders, &new.feeders),
            |one| &one.name,
            both,
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
        self.order("[[feeder]]", (&old.feeders, &new.feeders), |one| &one.name);
        self.order("[[group]]", (&old.groups, &new.groups), |one| &one.name);
        self.order("[[ai]]", (&old.ai, &new.ai), |one| &one.name);
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

    fn power(&mut self, old: &Power, new: &Power) {
        let path = |path: &std::path::PathBuf| path.display().to_string();
        compare!(self, "[power]", old, new, Power {
            ledger: path => Effect::Restart,
            cap: watts_or_none => Effect::Restart,
            reserve: watts => Effect::Restart,
            drift: watts => Effect::Restart,
            max_age: time => Effect::Restart,
            forget_after: time_or_none => Effect::Restart,
            proofs: text => Effect::Restart,
            poll: time => Effect::Restart,
            poll_moving: time => Effect::Restart,
            calls: text => Effect::Restart,
            command_lifetime: time => Effect::Restart,
            lease_term: time => Effect::Restart,
        } apart { meter, groups, blocks });
        match (&old.meter, &new.meter) {
            (Some(old), Some(new)) => compare!(self, "[power.meter]", old, new, SiteMeter {
                signal: text => Effect::Restart,
                max_age: time => Effect::Restart,
                deviation: text => Effect::Restart,
            } apart {}),
            (old, new) => self.section("[power.meter]", old.is_some(), new.is_some()),
        }
        // Groups and blocks that came, went or moved are told by their names above; what is left has one place in both.
        for (at, (old, new)) in old.groups.iter().zip(&new.groups).enumerate() {
            let place = format!("[[group]] {}", at + 1);
            match (old, new) {
                (Some(old), Some(new)) => self.machines(&place, old, new),
                (old, new) => self.section(&format!("{place} actuator"), old.is_some(), new.is_some()),
            }
        }
        for (at, (old, new)) in old.blocks.iter().zip(&new.blocks).enumerate() {
            let place = format!("[[ai]] {}", at + 1);
            match (old, new) {
                (Some(old), Some(new)) => compare!(self, place, old, new, PowerBlock {
                    control: unshown => Effect::Restart,
                    idle: watts => Effect::Restart,
                    tolerance: text => Effect::Restart,
                    poll: time => Effect::Restart,
                    sheds_within: time_or_none => Effect::Restart,
                    starts_within: time => Effect::Restart,
                    returns_within: time => Effect::Restart,
                } apart {}),
                (old, new) => self.section(&format!("{place} control"), old.is_some(), new.is_some()),
            }
        }
    }

    fn machines(&mut self, place: &str, old: &PowerGroup, new: &PowerGroup) {
        compare!(self, place, old, new, PowerGroup {
            miners: unshown => Effect::Restart,
            devices: unshown => Effect::Restart,
            nameplate: watts => Effect::Restart,
            configured_max: watts_or_none => Effect::Restart,
            sleep_max: watts => Effect::Restart,
            actuator: unshown => Effect::Restart,
            watts: unshown => Effect::Restart,
            sleep_survives_power_cycle: unshown => Effect::Restart,
            moves: unshown => Effect::Restart,
        } apart {});
    }

    /// Tables whose place counts.
    fn order<T>(&mut self, kind: &str, (old, new): (&[T], &[T]), name: impl Fn(&T) -> &std::sync::Arc<str>) {
        let names = |of: &[T], other: &[T]| -> Vec<std::sync::Arc<str>> {
            let is_in_both = |one: &&T| other.iter().any(|other| name(other) == name(one));
            of.iter().filter(is_in_both).map(|one| name(one).clone()).collect()
        };
        let (was, is) = (names(old, new), names(new, old));
        if was != is {
            self.field(kind, "order", list(&was), list(&is), Effect::Restart);
        }
    }
}
