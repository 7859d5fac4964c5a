//! What is wrong now, from what may be seen: pools, routes, shares, signals, the site.
//!
//! Pure: what is seen in, sentences out. Since when something is seen is the watcher's to know (`watch/mod.rs`).

use crate::{
    api::wire::Severity,
    census::Summary,
    config::Places,
    metrics::Totals,
    power::{
        control::PowerSnapshot,
        device::StageKind,
        group::Phase,
        site::{BlockView, GroupView},
    },
    profit::{Reading, Watts, task::Snapshot},
    store::StoreStatus,
};

/// Stale shares among all from which on it is worth a word: a farm near its pool has a tenth of that.
const STALE_RATIO: f64 = 0.02;

/// Good shares that a pool rejects, from which on it is worth a word.
const REJECTED_RATIO: f64 = 0.01;

/// Shares that a ratio needs at least.
pub const FEW: u64 = 200;

/// What AI compute may draw over what it was given before that is told: rounding of meters.
const OVERDRAWN: f64 = 1.02;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Which kind, as [`Alert::kind`](crate::api::wire::Alert::kind) has them.
    pub kind: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub about: Option<String>,
    /// What, where, why, what next.
    pub words: String,
}

/// Everything that is looked at.
pub struct Seen<'s> {
    pub places: &'s Places,
    pub totals: &'s Totals,
    pub signals: &'s Snapshot,
    pub power: Option<&'s PowerSnapshot>,
    pub power_ended: bool,
    /// Of the last five minutes; `None` where there are too few shares.
    pub stale_ratio: Option<f64>,
    /// By pool: good shares that it rejected among those it answered, in the last five minutes.
    pub pool_rejects: &'s [Option<f64>],
    pub workers: &'s Summary,
    pub store: Option<&'s StoreStatus>,
}

/// All that is wrong, the worst first.
pub fn alerts(seen: &Seen<'_>) -> Vec<Wrong> {
    let mut all = Vec::new();
    pools(seen, &mut all);
    shares(seen, &mut all);
    signals(seen.signals, &mut all);
    workers(seen.workers, &mut all);
    if let Some(trouble) = seen.store.and_then(|store| store.trouble.as_ref()) {
        let words =
            format!("the store can't be written: {trouble}; counts and records wait, and what is too much is left out");
        all.push(Wrong { kind: "store_behind", severity: Severity::Warn, about: None, words });
    }
    if let Some(power) = seen.power {
        site(seen, power, &mut all);
    }
    if seen.power_ended {
        let words = "the power side has ended: nobody wakes who sleeps, no lease is renewed; start the proxy anew";
        all.push(Wrong { kind: "power_ended", severity: Severity::Error, about: None, words: words.to_owned() });
    }
    all.sort_by_key(|wrong| std::cmp::Reverse(wrong.severity));
    all
}

fn pools(seen: &Seen<'_>, all: &mut Vec<Wrong>) {
    let lives = |pool: usize| seen.totals.router.pools[pool].connections > 0;
    for index in seen.places.pools.iter().copied() {
        let pool = &seen.places.config.pools[index];
        if lives(index) || !seen.places.is_routed(index) {
            continue;
        }
        let why = seen.totals.router.pools[index].last_loss.as_ref();
        let why = why.map_or("it has not answered yet", |loss| &*loss.why);
        let words = format!("pool {:?} is down: {why}; it is tried again and again", pool.name);
        all.push(Wrong { kind: "pool_down", severity: Severity::Warn, about: Some(pool.name.to_string()), words });
    }
    for (index, route) in seen.places.routes() {
        if route.pools.iter().any(|pool| lives(*pool)) {
            continue;
        }
        let miners = seen.totals.miners[index];
        let words = format!(
            "route {:?}: no pool is left; {miners} miners hash for nothing until one is back or their firmware goes elsewhere",
            route.name
        );
        let about = Some(route.name.to_string());
        all.push(Wrong { kind: "route_without_pool", severity: Severity::Error, about, words });
    }
}

fn shares(seen: &Seen<'_>, all: &mut Vec<Wrong>) {
    if let Some(ratio) = seen.stale_ratio.filter(|ratio| *ratio > STALE_RATIO) {
        let words = format!(
            "{:.1} % of the shares of the last five minutes were stale: look at the network between miners and proxy, and at the pools",
            ratio * 100.0
        );
        all.push(Wrong { kind: "stale_shares", severity: Severity::Warn, about: None, words });
    }
    for (pool, ratio) in seen.places.config.pools.iter().zip(seen.pool_rejects) {
        let Some(ratio) = ratio.filter(|ratio| *ratio > REJECTED_RATIO) else { continue };
        let words = format!(
            "pool {:?} rejected {:.1} % of the good shares of the last five minutes: what they say is in its row",
            pool.name,
            ratio * 100.0
        );
        all.push(Wrong { kind: "pool_rejects", severity: Severity::Warn, about: Some(pool.name.to_string()), words });
    }
}

fn signals(snapshot: &Snapshot, all: &mut Vec<Wrong>) {
    for view in &snapshot.signals {
        let (kind, words) = match view.reading {
            Reading::Never | Reading::Fresh { .. } => continue,
            Reading::Stale { observed_at, .. } => {
                let ended = format!(
                    "signal {:?} is stale: its last value is of {observed_at:.0}; see to its sender",
                    view.name
                );
                ("signal_stale", ended)
            }
            Reading::Split { low, high } => {
                let words =
                    format!("signal {:?}: its sources disagree, {low} to {high}; see which is right", view.name);
                ("signal_split", words)
            }
        };
        all.push(Wrong { kind, severity: Severity::Warn, about: Some(view.name.to_string()), words });
    }
}

fn workers(summary: &Summary, all: &mut Vec<Wrong>) {
    let Summary { sick, offline, high_stale, low_hashrate, unplaced, .. } = *summary;
    let named =
        [(offline, "offline"), (low_hashrate, "with too low a hashrate"), (high_stale, "with many stale shares")];
    let named: Vec<String> =
        named.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if sick > 0 {
        let words = format!("{sick} workers are sick: {}", named.join(", "));
        all.push(Wrong { kind: "workers_sick", severity: Severity::Warn, about: None, words });
    }
    if unplaced > 0 {
        let words = format!("{unplaced} workers are not known by name: there are more names than places for them");
        all.push(Wrong { kind: "workers_unplaced", severity: Severity::Warn, about: None, words });
    }
}

fn site(seen: &Seen<'_>, power: &PowerSnapshot, all: &mut Vec<Wrong>) {
    let config = &seen.places.config;
    let Some(profit) = &config.profit else { return };
    let settings = config.power.as_ref();
    let drawn = power.site.meter.unwrap_or(power.site.measured);
    if let Some(cap) = settings.and_then(|power| power.cap).filter(|cap| drawn > *cap) {
        let words = format!("the site draws {} and may draw {}: it sheds", drawn.in_words(), cap.in_words());
        all.push(Wrong { kind: "over_cap", severity: Severity::Error, about: None, words });
    }
    if settings.is_some_and(|power| power.meter.is_some()) && power.site.meter.is_none() {
        let words = "the site's meter is not fresh: nothing grows until it is; see to its signal".to_owned();
        all.push(Wrong { kind: "meter_lost", severity: Severity::Warn, about: None, words });
    }
    for (name, view) in power.named.groups.iter().zip(&power.site.groups) {
        if let Some(view) = view {
            of_group(name, view, all);
        }
    }
    for (index, block) in profit.ai.iter().enumerate() {
        if let Some(view) = power.block(&block.name) {
            let idle = settings.and_then(|power| power.blocks.get(index)?.as_ref());
            of_block(&block.name, view, idle.map_or(Watts::ZERO, |block| block.idle), all);
        }
    }
}

fn of_group(name: &str, view: &GroupView, all: &mut Vec<Wrong>) {
    let about = || Some(name.to_owned());
    if view.phase == Phase::Fault {
        let words = format!("group {name:?} does not obey: {}", view.waits_for.as_deref().unwrap_or(&view.order.why));
        all.push(Wrong { kind: "group_fault", severity: Severity::Error, about: about(), words });
    }
    let count = |stage: StageKind| view.sleeping[stage as usize] + view.waking[stage as usize];
    for (stage, kind, what) in [
        (StageKind::Failed, "devices_failed", "did not obey and were given up"),
        (StageKind::Drifted, "devices_drifted", "were proven and do otherwise now"),
        (StageKind::Unavailable, "devices_unseen", "are not seen"),
    ] {
        let machines = count(stage);
        if machines > 0 {
            let words = format!(
                "group {name:?}: {machines} of {} machines {what}; `hashgate devices {name}` names them",
                view.devices
            );
            all.push(Wrong { kind, severity: Severity::Warn, about: about(), words });
        }
    }
}

/// `idle`: what it draws without work, which is not lent.
fn of_block(name: &str, view: &BlockView, idle: Watts, all: &mut Vec<Wrong>) {
    let may = view.granted.max(idle);
    let Some(drawn) = view.drawn.filter(|drawn| drawn.get() > may.get() * OVERDRAWN) else { return };
    let words = format!("AI block {name:?} draws {} and may draw {}", drawn.in_words(), may.in_words());
    all.push(Wrong { kind: "ai_overdrawn", severity: Severity::Error, about: Some(name.to_owned()), words });
}

#[cfg(test)]
mod tests;
