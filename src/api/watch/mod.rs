//! Looks at the proxy every second, as an operator would, and writes down what was new: events, decisions, alerts, and what charts show.
//!
//! It reads what is there to be read: the books, the snapshots of signals and of the power side. Nothing tells it anything, so nothing
//! ever waits for it, and no share knows of it.
//!
//! | file | what |
//! |---|---|
//! | `ring.rs` | the last events, and who waits for the next |
//! | `series.rs` | numbers over time, for charts |
//! | `columns.rs` | which numbers, and what they are now |
//! | `earlier.rs` | what charts had before a restart: into the store and back |
//! | `alerts.rs` | what is wrong now |
//! | `news.rs` | what is new between two looks |
//!
//! Where many of those that mine are not in the table of workers yet, as at a start, it has them counted: once in [`LOOK`] at most.
//!
//! Limits: [`MAX_EVENTS`](ring::MAX_EVENTS), [`MAX_DECISIONS`], [`MAX_ROWS`](series::MAX_ROWS); all of it is of this run of the proxy, but for charts.

mod alerts;
mod columns;
mod earlier;
mod news;
mod ring;
mod series;

use std::{
    collections::{HashMap, VecDeque},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    select,
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval},
};

use self::{
    alerts::{FEW, Seen, Wrong, alerts},
    columns::{Rates, columns, row},
    news::Before,
    series::Series,
};
pub(super) use self::{
    ring::{Batch, Events, News, Since},
    series::Chart,
};
use super::{
    Api,
    wire::{Alert, DecisionRow, EventWord},
};
use crate::{
    census::{Summary, Together},
    config::Config,
    metrics::Totals,
    power::{control::Sleepers, site::Level},
    profit::Currency,
};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);

/// Decisions that are held: months of a site that switches a few times a day, a day of one with a hundred groups.
pub const MAX_DECISIONS: usize = 2_000;

/// What ratios of shares are taken over.
const RATIO_OVER: Duration = Duration::from_secs(300);

/// What was seen, for who asks.
pub(super) struct Watched {
    /// The last events.
    pub events: Events,
    state: Mutex<State>,
}

struct State {
    alerts: Vec<Alert>,
    /// The newest first.
    decisions: VecDeque<DecisionRow>,
    /// The number of the next one.
    next_decision: u64,
    series: Series,
    ratios: Ratios,
    workers: Summary,
    groups: HashMap<Arc<str>, Together>,
}

/// What became of shares in the last five minutes; `None` where there were too few.
#[derive(Debug, Clone, Default)]
pub(super) struct Ratios {
    /// Stale among all.
    pub stale: Option<f64>,
    /// That do not count, among all.
    pub rejected: Option<f64>,
    /// By pool: good shares that it rejected among those that it answered.
    pool_rejects: Vec<Option<f64>>,
}

impl Watched {
    pub fn new(config: &Config, currency: Currency, now: Timestamp) -> Self {
        let state = State {
            alerts: Vec::new(),
            decisions: VecDeque::new(),
            next_decision: 0,
            series: Series::new(columns(config, currency)),
            ratios: Ratios::default(),
            workers: Summary::default(),
            groups: HashMap::new(),
        };
        Self { events: Events::new(now), state: Mutex::new(state) }
    }

    /// What is wrong now, the worst first.
    pub fn alerts(&self) -> Vec<Alert> {
        self.state().alerts.clone()
    }

    pub fn ratios(&self) -> Ratios {
        self.state().ratios.clone()
    }

    /// How many workers there are of what.
    pub fn workers(&self) -> Summary {
        self.state().workers.clone()
    }

    /// What the workers of each power group are together.
    pub fn groups(&self) -> HashMap<Arc<str>, Together> {
        self.state().groups.clone()
    }

    /// So many decisions, the newest first, with their numbers; only those before the one with this number, if there is one.
    pub fn decisions(&self, before: Option<u64>, limit: usize) -> Vec<(u64, DecisionRow)> {
        let state = self.state();
        let numbers = (0..state.next_decision).rev();
        let all = numbers.zip(&state.decisions);
        let shown = all.filter(|(number, _)| before.is_none_or(|before| *number < before)).take(limit);
        shown.map(|(number, row)| (number, row.clone())).collect()
    }

    /// When charts of this run begin, in seconds since 1970.
    pub fn begins(&self) -> Option<i64> {
        self.state().series.begins()
    }

    /// What a chart shows.
    pub fn lines(&self, chart: Chart, steps: &super::query::Steps) -> Vec<super::wire::Line> {
        self.state().series.lines(chart, steps)
    }

    /// When the oldest decision was made that is held, if older ones of this run are not held any more.
    pub fn decided_since(&self) -> Option<Timestamp> {
        let state = self.state();
        let is_full = state.next_decision > MAX_DECISIONS as u64;
        state.decisions.back().filter(|_| is_full).map(|row| row.at)
    }

    fn decided(&self, row: DecisionRow) {
        let mut state = self.state();
        state.decisions.truncate(MAX_DECISIONS - 1);
        state.decisions.push_front(row);
        state.next_decision += 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks until the API ends.
pub(super) async fn watch(api: Arc<Api>) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut signals = api.signals.subscribe();
    let words = format!("hashgate {} was started", env!("CARGO_PKG_VERSION"));
    api.watched.events.tell(api.started, News { level: Level::Info, kind: EventWord::Started, about: None, words });
    let mut watcher = Watcher::new(&api);
    let mut earlier = pin!(earlier::recall(&api));
    let mut is_recalled = false;
    loop {
        select! {
            () = api.stop.cancelled() => {
                watcher.keep_minute();
                return;
            }
            () = &mut earlier, if !is_recalled => is_recalled = true,
            _ = look.tick() => {
                let now = Timestamp::now();
                watcher.count(now).await;
                watcher.look(now, Instant::now());
            }
            // A decision is told when it is made.
            Ok(()) = signals.changed() => watcher.decided(Timestamp::now()),
        }
    }
}

struct Watcher<'a> {
    api: &'a Api,
    before: Before,
    /// Alerts by kind and what they are about, with when they were seen first.
    since: HashMap<(&'static str, Option<String>), Timestamp>,
    /// Totals at each row of the series, the oldest first; as many as ratios are taken over.
    past: VecDeque<Totals>,
    rates: Rates,
    /// Of the clock: the one that has its row.
    slot: i64,
    /// The one whose rows are being added: its beginning, in seconds since 1970.
    minute: i64,
    /// What the columns of the series are of.
    config: Option<Arc<Config>>,
    /// Many of the miners were not counted yet.
    is_behind: bool,
    /// Who sleeps, as the table knows it.
    sleepers: Arc<Sleepers>,
}

impl<'a> Watcher<'a> {
    fn new(api: &'a Api) -> Self {
        let before = Before::new();
        Self {
            api,
            before,
            since: HashMap::new(),
            past: VecDeque::new(),
            rates: Rates::default(),
            slot: i64::MIN,
            minute: earlier::begin_of(api.started),
            config: None,
            is_behind: false,
            sleepers: Arc::default(),
        }
    }

    /// Counts the workers, where a row is due, more of them are known now, or others sleep: a look at each, so on a thread that may wait.
    async fn count(&mut self, now: Timestamp) {
        let sleepers = self.api.power.snapshot().map(|snapshot| snapshot.sleepers.clone());
        let others = sleepers.filter(|sleepers| !Arc::ptr_eq(sleepers, &self.sleepers));
        if slot(now) == self.slot && !self.is_behind && others.is_none() {
            return;
        }
        self.sleepers = others.clone().unwrap_or_else(|| self.sleepers.clone());
        let table = self.api.workers.clone();
        let look = move || {
            if let Some(sleepers) = others {
                table.set_sleepers(sleepers);
            }
            (table.summary(), table.by_group())
        };
        if let Ok((workers, groups)) = spawn_blocking(look).await {
            let mut state = self.api.watched.state();
            (state.workers, state.groups) = (workers, groups);
        }
    }

    fn look(&mut self, now: Timestamp, tick: Instant) {
        let (status, totals) = self.api.in_force();
        let config = &status.places.config;
        let signals = self.api.signals.snapshot();
        let power = self.api.power.snapshot();
        self.decided(now);
        self.before.books(self.api, now, config, &totals);
        if let Some(power) = &power {
            self.before.power(self.api, now, power);
        }
        // One in each slot of the clock: counted from the last row, they would drift, and leave a step of a chart without one now and then.
        if slot(now) != self.slot {
            self.slot = slot(now);
            let mut state = self.api.watched.state();
            if self.config.as_ref().is_none_or(|before| !Arc::ptr_eq(before, config)) {
                state.series.set_columns(columns(config, signals.currency));
                self.config = Some(config.clone());
            }
            let values = row(config, &totals, &mut self.rates, tick, &signals, power.as_deref(), &state.groups);
            state.series.add(now.as_second(), values);
            state.ratios = ratios(&self.past, &totals);
            drop(state);
            if self.minute != earlier::begin_of(now) {
                self.keep_minute();
                self.minute = earlier::begin_of(now);
            }
            let kept = RATIO_OVER.as_secs() / series::EVERY.as_secs();
            self.past.push_back(totals.clone());
            while self.past.len() as u64 > kept {
                self.past.pop_front();
            }
        }
        let ratios = self.api.watched.ratios();
        let wrong = alerts(&Seen {
            places: &status.places,
            totals: &totals,
            signals: &signals,
            power: power.as_deref(),
            power_ended: self.api.health.power_ended.is_cancelled(),
            stale_ratio: ratios.stale,
            pool_rejects: &ratios.pool_rejects,
            workers: &self.api.watched.workers(),
            store: self.api.store.as_ref().map(|store| store.status()).as_ref(),
        });
        self.raise(now, wrong);
        self.hurry(&totals);
    }

    /// Has the store keep what charts had in the minute that is over.
    fn keep_minute(&self) {
        if let Some(store) = &self.api.store {
            let minute = self.api.watched.state().series.minute(self.minute);
            earlier::keep(store, self.minute, &minute);
        }
    }

    /// Has the miners counted now, if an eighth more of them are there than the last time: at a start, and after a storm.
    fn hurry(&mut self, totals: &Totals) {
        let (miners, counted) = (totals.miners.iter().sum::<u64>(), self.api.watched.workers().counted as u64);
        self.is_behind = miners > counted + counted / 8;
        // Somebody else may have them counted all the time.
        let is_old = self.api.workers.heard().is_none_or(|heard| heard.elapsed() >= LOOK);
        if self.is_behind && is_old {
            self.api.census.ask();
        }
    }

    fn decided(&mut self, now: Timestamp) {
        let signals = self.api.signals.snapshot();
        self.before.signals(self.api, now, &signals);
        for (row, news) in self.before.decision(&signals) {
            self.api.watched.decided(row);
            self.api.watched.events.tell(now, news);
        }
    }

    /// Keeps what is wrong, and tells what was not before and what is no more.
    fn raise(&mut self, now: Timestamp, wrong: Vec<Wrong>) {
        let events = &self.api.watched.events;
        let is_seen =
            |key: &(&'static str, Option<String>)| wrong.iter().any(|w| (w.kind, &w.about) == (key.0, &key.1));
        let gone: Vec<_> = self.since.keys().filter(|key| !is_seen(key)).cloned().collect();
        for key in gone {
            self.since.remove(&key);
            let was = self.api.watched.state().alerts.iter().find(|a| a.kind == key.0 && a.about == key.1).cloned();
            let words = was.map_or_else(|| key.0.to_owned(), |alert| format!("not any more: {}", alert.words));
            events.tell(now, News { level: Level::Info, kind: EventWord::AlertEnded, about: key.1, words });
        }
        let mut alerts = Vec::with_capacity(wrong.len());
        for Wrong { kind, severity, about, words } in wrong {
            let since = *self.since.entry((kind, about.clone())).or_insert_with(|| {
                let level = if severity == super::wire::Severity::Error { Level::Error } else { Level::Warn };
                let news = News { level, kind: EventWord::Alert, about: about.clone(), words: words.clone() };
                events.tell(now, news);
                now
            });
            alerts.push(Alert { kind: kind.to_owned(), severity, about, words, since });
        }
        self.api.watched.state().alerts = alerts;
    }
}

/// Which of the clock's stretches of [`series::EVERY`] this is.
fn slot(now: Timestamp) -> i64 {
    now.as_second().div_euclid(series::EVERY.as_secs().cast_signed())
}

/// What became of shares since the oldest of these.
fn ratios(past: &VecDeque<Totals>, now: &Totals) -> Ratios {
    let Some(then) = past.front() else { return Ratios::default() };
    let of = |part: u64, all: u64| (all >= FEW).then(|| part as f64 / all as f64);
    let since = |now: u64, then: u64| now.saturating_sub(then);
    let rejected = since(now.rejected_total(), then.rejected_total());
    let all = rejected + since(now.accepted, then.accepted);
    let stale = since(now.rejected_for("stale"), then.rejected_for("stale"));
    let pools = now.router.pools.iter().zip(&then.router.pools).map(|(now, then)| {
        let rejects = |book: &crate::metrics::PoolBook| book.rejected.values().sum::<u64>();
        let rejected = since(rejects(now), rejects(then));
        of(rejected, rejected + since(now.accepted, then.accepted))
    });
    Ratios { stale: of(stale, all), rejected: of(rejected, all), pool_rejects: pools.collect() }
}
