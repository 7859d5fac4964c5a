//! What is new between two looks.
//!
//! Counts that are higher, states that are others. What came and went between two looks is seen where it left a count, else not: a pool
//! that was lost for less than a second shows by its losses.

use std::{collections::HashMap, sync::Arc};

use jiff::Timestamp;

use super::News;
use crate::{
    api::{
        Api,
        wire::{DecisionRow, EventWord, ModeWord},
    },
    config::Config,
    metrics::Totals,
    power::{
        control::PowerSnapshot,
        site::{EventKind, Level},
    },
    profit::{
        Action, Reading, Watts,
        task::{Snapshot, action_label},
    },
};

/// What was seen at the last look.
pub struct Before {
    /// By the place of the pool: whether it lived, losses, blocks.
    pools: Vec<(bool, u64, u64)>,
    /// By the place of the route: failovers, fail-backs.
    routes: Vec<(u64, u64)>,
    /// By the name of the signal: whether it could be acted on. Names that the config has no more stay: it lets in so many.
    signals: HashMap<Arc<str>, bool>,
    actions: HashMap<Arc<str>, Action>,
    lent: HashMap<Arc<str>, Watts>,
    power_events: u64,
    receipts: u64,
}

impl Before {
    /// Nothing was seen: what is true at the start is no news, but for decisions. Pools and routes come as they are seen.
    pub fn new() -> Self {
        Self {
            pools: Vec::new(),
            routes: Vec::new(),
            signals: HashMap::new(),
            actions: HashMap::new(),
            lent: HashMap::new(),
            power_events: 0,
            receipts: 0,
        }
    }

    /// Pools and routes, by a config that the books know.
    pub fn books(&mut self, api: &Api, now: Timestamp, config: &Config, totals: &Totals) {
        self.pools.resize(config.pools.len(), (false, 0, 0));
        self.routes.resize(config.routes.len(), (0, 0));
        let tell = |level, kind, about: &str, words| {
            api.watched.events.tell(now, News { level, kind, about: Some(about.to_owned()), words });
        };
        for ((pool, book), before) in config.pools.iter().zip(&totals.router.pools).zip(&mut self.pools) {
            let (lived, losses, blocks) = *before;
            let lives = book.connections > 0;
            *before = (lives, book.losses, book.blocks);
            let why = book.last_loss.as_ref().map_or("no word why", |loss| &*loss.why);
            let name = &pool.name;
            match book.losses.saturating_sub(losses) {
                0 => {}
                1 if lives => {
                    let words = format!("pool {name:?}: a connection was lost: {why}");
                    tell(Level::Warn, EventWord::Pool, name, words);
                }
                lost if lives => {
                    let words = format!("pool {name:?}: {lost} connections were lost, the last: {why}");
                    tell(Level::Warn, EventWord::Pool, name, words);
                }
                _ => tell(Level::Warn, EventWord::Pool, name, format!("pool {name:?} is lost: {why}")),
            }
            if lives && !lived {
                tell(Level::Info, EventWord::Pool, name, format!("pool {name:?} is logged in and has work"));
            }
            if book.blocks > blocks {
                tell(Level::Info, EventWord::Block, name, format!("a block was found and accepted by pool {name:?}"));
            }
        }
        for (index, (route, before)) in config.routes.iter().zip(&mut self.routes).enumerate() {
            let counts = (totals.router.failovers[index], totals.router.fail_backs[index]);
            let (failovers, fail_backs) = std::mem::replace(before, counts);
            let pool = totals.router.active[index].and_then(|pool| config.pools.get(pool));
            let pool = pool.map_or("none", |pool| &*pool.name);
            let (name, miners) = (&route.name, totals.miners[index]);
            if counts.0 > failovers {
                let words = format!("route {name:?}: {miners} miners failed over to pool {pool:?}");
                tell(Level::Warn, EventWord::Failover, name, words);
            }
            if counts.1 > fail_backs {
                let words = format!("route {name:?}: {miners} miners go back to pool {pool:?}");
                tell(Level::Info, EventWord::FailBack, name, words);
            }
        }
    }

    /// Which signals can't be acted on any more, and which can again.
    pub fn signals(&mut self, api: &Api, now: Timestamp, snapshot: &Snapshot) {
        for view in &snapshot.signals {
            let name = &view.name;
            let (is_good, words) = match view.reading {
                Reading::Never => continue,
                Reading::Fresh { .. } => (true, format!("signal {name:?} is fresh again")),
                Reading::Stale { observed_at, .. } => {
                    (false, format!("signal {name:?} is stale, its last value of {observed_at:.0}"))
                }
                Reading::Split { low, high } => {
                    (false, format!("signal {name:?}: its sources disagree, {low} to {high}"))
                }
            };
            if self.signals.insert(name.clone(), is_good).unwrap_or(true) != is_good {
                let level = if is_good { Level::Info } else { Level::Warn };
                let news = News { level, kind: EventWord::Signal, about: Some(name.to_string()), words };
                api.watched.events.tell(now, news);
            }
        }
    }

    /// What was decided otherwise than before.
    pub fn decision(&mut self, snapshot: &Snapshot) -> Vec<(DecisionRow, News)> {
        let mut new = Vec::new();
        let Some(view) = &snapshot.decision else { return new };
        let mode = Some(ModeWord::from(view.mode));
        let at = view.decisions.at;
        let mut add = |row: DecisionRow, words: String, about: &str| {
            let news = News { level: Level::Info, kind: EventWord::Decision, about: Some(about.to_owned()), words };
            new.push((row, news));
        };
        for (name, decision) in view.groups.iter().zip(&view.decisions.groups) {
            let was = self.actions.insert(name.clone(), decision.action);
            if was == Some(decision.action) {
                continue;
            }
            let reason = decision.reason.to_string();
            let words = format!("group {name:?}: {reason}");
            let row = DecisionRow {
                at,
                mode,
                group: Some(name.to_string()),
                ai: None,
                before: was.map(|action| action_label(action).to_owned()),
                action: Some(action_label(decision.action).to_owned()),
                ai_kw: None,
                reason,
            };
            add(row, words, name);
        }
        for (name, block) in view.ai.iter().zip(&view.decisions.ai) {
            if self.lent.insert(name.clone(), block.watts).unwrap_or(Watts::ZERO) == block.watts {
                continue;
            }
            let reason = block.reason.to_string();
            let words = format!("AI block {name:?} {}", block.in_words());
            let row = DecisionRow {
                at,
                mode,
                group: None,
                ai: Some(name.to_string()),
                before: None,
                action: None,
                ai_kw: Some(block.watts.kilowatts()),
                reason,
            };
            add(row, words, name);
        }
        new
    }

    /// What the power side told, and receipts.
    pub fn power(&mut self, api: &Api, now: Timestamp, power: &PowerSnapshot) {
        let new = power.totals.events.saturating_sub(self.power_events);
        self.power_events = power.totals.events;
        let held = usize::try_from(new).unwrap_or(usize::MAX).min(power.events.len());
        let left_out = new.saturating_sub(held as u64);
        if left_out > 0 {
            let words = format!("{left_out} events of the power side came too fast to be shown; the log has them");
            api.watched.events.tell(now, News { level: Level::Info, kind: EventWord::Other, about: None, words });
        }
        for past in power.events[..held].iter().rev() {
            let event = &past.event;
            let about = past.about.as_ref().map(ToString::to_string);
            let news = News { level: event.level, kind: event.kind.into(), about, words: event.words.to_string() };
            api.watched.events.tell(past.at, news);
        }
        let new = power.totals.receipts.saturating_sub(self.receipts);
        self.receipts = power.totals.receipts;
        let held = usize::try_from(new).unwrap_or(usize::MAX).min(power.receipts.len());
        for receipt in power.receipts[..held].iter().rev() {
            let about = Some(receipt.group.to_string());
            let words = format!("group {:?}: {}", receipt.group, receipt.in_words());
            let news = News { level: Level::Info, kind: EventWord::Receipt, about, words };
            api.watched.events.tell(receipt.ended, news);
        }
    }
}

impl From<EventKind> for EventWord {
    fn from(kind: EventKind) -> Self {
        match kind {
            EventKind::Phase => Self::Phase,
            EventKind::Device => Self::Device,
            EventKind::Lease => Self::Lease,
            EventKind::Refusal => Self::Refusal,
            EventKind::OverCap => Self::OverCap,
            EventKind::Overdrawn => Self::Overdrawn,
            EventKind::NotReturned => Self::NotReturned,
            EventKind::NotStarted => Self::NotStarted,
            EventKind::Meter => Self::Meter,
            EventKind::Superseded => Self::Superseded,
            EventKind::Other => Self::Other,
        }
    }
}
