//! Which nodes have power, and what is done to the others. Values in, orders out: no process, no clock.
//!
//! Nodes get power in this order, each only if all that may then be drawn fits: those that take jobs, those of ours on which jobs still run (they
//! draw anyhow), those that rest; within each, as the config has them. So nothing moves while the leases stay, and no node is drained
//! because one that stands before it comes back. What a node without power draws at rest, and all that a person has drained, is counted first.

use std::collections::HashSet;

use super::node::{Base, ENDED, Power, REASON, Seen};
use crate::{config::SlurmNode, profit::Watts};

/// Sums of many watts are off by less.
const SLACK_W: f64 = 0.5;

/// What a node is told. What takes power away comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Running jobs finish, new ones wait.
    Drain,
    /// Running jobs are ended, and queued anew where their owners allow that.
    End,
    /// The same, and the machine is switched off.
    EndAndSwitchOff,
    /// The machine is switched off; it is empty.
    SwitchOff,
    /// It takes jobs again.
    Resume,
    /// The machine is switched on.
    SwitchOn,
}

impl Order {
    /// The state and the reason of an `scontrol update`.
    pub fn words(self) -> [&'static str; 2] {
        match self {
            Self::Drain => ["drain", REASON],
            Self::End => ["down", ENDED],
            Self::EndAndSwitchOff => ["power_down_force", ENDED],
            Self::SwitchOff => ["power_down_asap", REASON],
            Self::Resume => ["resume", ""],
            Self::SwitchOn => ["power_up", ""],
        }
    }

    /// Whether leases depend on it; a machine that can't be switched off is drained all the same, and counts what it draws.
    pub fn is_needed(self) -> bool {
        matches!(self, Self::Drain | Self::Resume)
    }
}

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    /// What may be drawn, of IT.
    pub budget: Watts,
    /// Whether machines are switched.
    pub power_saving: bool,
    /// Whether power may be taken away already.
    pub may_drain: bool,
    /// Jobs may be ended, on nodes that would have no power with so much, of IT; `None`: on none.
    pub spared: Option<Watts>,
}

/// Those that have power, by index.
fn powered(nodes: &[SlurmNode], seen: &[Seen], budget: Watts) -> HashSet<usize> {
    let most = budget.get() + SLACK_W;
    let rank = |seen: &Seen| match () {
        () if seen.is_up() => Some(0),
        () if seen.is_held() && seen.is_busy() => Some(1),
        () if seen.is_held() => Some(2),
        () => None,
    };
    let mut order: Vec<(u8, usize)> =
        seen.iter().enumerate().filter_map(|(index, seen)| Some((rank(seen)?, index))).collect();
    order.sort_unstable();
    // What is drawn in the end, and what is drawn now, if these have power and no other.
    let (mut later, mut now) = (0.0, 0.0);
    for (node, seen) in nodes.iter().zip(seen) {
        let counts = seen.counts(node).get();
        later += if rank(seen).is_some() { seen.rests_at(node).get() } else { counts };
        now += counts;
    }
    let mut powered = HashSet::new();
    for (rank, index) in order {
        let (node, seen) = (&nodes[index], &seen[index]);
        let power = node.power.get();
        let (in_the_end, at_once) = (later + power - seen.rests_at(node).get(), now + power - seen.counts(node).get());
        // One that rests gets power that is there, not what others are still to give back.
        if in_the_end <= most && (rank < 2 || at_once <= most) {
            (later, now) = (in_the_end, at_once);
            powered.insert(index);
        }
    }
    powered
}

/// What to tell which node, by index.
pub(super) fn orders(nodes: &[SlurmNode], seen: &[Seen], limits: &Limits) -> Vec<(Order, usize)> {
    let spared = limits.spared.map(|spared| powered(nodes, seen, spared));
    let powered = powered(nodes, seen, limits.budget);
    let mut orders = Vec::new();
    for (index, seen) in seen.iter().enumerate() {
        let mut give = |order| orders.push((order, index));
        if powered.contains(&index) {
            // One that is on its way off is left to get there: then it can be switched on.
            if seen.is_held() && !matches!(seen.power, Power::ToGoOff | Power::GoingOff) {
                give(Order::Resume);
                if limits.power_saving && seen.power == Power::Off {
                    give(Order::SwitchOn);
                }
            }
            continue;
        }
        if !limits.may_drain {
            continue;
        }
        if seen.is_up() {
            give(Order::Drain);
        }
        let is_on = matches!(seen.power, Power::On);
        let is_ours = seen.is_up() || seen.is_held();
        if is_ours && seen.is_busy() && is_on && spared.as_ref().is_some_and(|spared| !spared.contains(&index)) {
            give(if limits.power_saving { Order::EndAndSwitchOff } else { Order::End });
        }
        if limits.power_saving && seen.is_held() && seen.base == Base::Idle && !seen.is_busy() && is_on {
            give(Order::SwitchOff);
        }
    }
    orders
}

/// Whether none works, or may start to, that has no power.
pub(super) fn is_quiet(nodes: &[SlurmNode], seen: &[Seen], budget: Watts) -> bool {
    let powered = powered(nodes, seen, budget);
    seen.iter().enumerate().all(|(index, seen)| powered.contains(&index) || seen.is_quiet() && !seen.is_up())
}

/// How the nodes are, in a few words.
pub(super) fn in_words(seen: &[Seen], trouble: Option<&str>) -> String {
    let count = |is: fn(&Seen) -> bool| seen.iter().filter(|seen| is(seen)).count();
    let (busy, idle) = (count(|seen| seen.is_up() && seen.is_busy()), count(|seen| seen.is_up() && !seen.is_busy()));
    let ending = count(|seen| !seen.is_up() && seen.is_busy());
    let words = format!("{busy} busy, {idle} idle, {ending} draining of {}", seen.len());
    trouble.map_or(words.clone(), |trouble| format!("{words}; {trouble}"))
}
