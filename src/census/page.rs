//! What may be asked of the table: a page of workers, sorted and filtered, one worker, and how many there are of what.
//!
//! Limits: [`MAX_PAGE`] rows, [`MAX_SEARCH`] bytes of a search. A page of 100 000 workers is a look at each and a sort of those that are shown
//! or before.

use std::{cmp::Ordering, net::IpAddr, sync::Arc, time::Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::table::{Sickness, Table, Totals, Worker};
use crate::work::{Difficulty, Hashrate};

/// Rows of a page.
pub const MAX_PAGE: usize = 1_000;

/// Bytes of a search.
pub const MAX_SEARCH: usize = 255;

/// What a page is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// The sick first: offline, low hashrate, high stale; then by name.
    #[default]
    Sick,
    /// Its name.
    Name,
    /// What it hashes, over ten minutes.
    Hashrate,
    /// The stale share of its shares.
    Stale,
    /// When its last share that counts was found.
    LastShare,
    /// Shares that count.
    Shares,
    /// Shares that do not.
    Rejects,
    /// Since when it is there or not.
    Since,
    /// The name of its power group.
    Group,
    /// The position of its route.
    Route,
    /// What its firmware was taken for.
    Firmware,
    /// Where it came from last.
    Address,
    /// Its difficulty.
    Difficulty,
}

/// Which workers, and in what order.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Query {
    /// Those whose name, address or firmware has this, in any case.
    pub search: Option<String>,
    /// Those that are sick, or are not.
    pub is_sick: Option<bool>,
    /// Those that are connected, or are not.
    pub is_online: Option<bool>,
    /// Those of this power group.
    pub group: Option<String>,
    /// Those on this route: position in the config.
    pub route: Option<usize>,
    /// By what.
    pub sort: Sort,
    /// The other way round: names from Z, the least hashrate first.
    pub is_reversed: bool,
    /// Rows that are skipped.
    pub offset: usize,
    /// Rows at most; [`MAX_PAGE`] if more.
    pub limit: usize,
}

/// A page of workers.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// When the miners were counted; `None` before the first time.
    pub at: Option<Timestamp>,
    /// Workers that fit.
    pub total: usize,
    /// Those of the page.
    pub workers: Vec<WorkerView>,
}

/// How many workers there are of what, and what they hash together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// When the miners were counted; `None` before the first time.
    pub at: Option<Timestamp>,
    /// Known by name.
    pub workers: usize,
    /// Of these, connected.
    pub online: usize,
    /// Put to sleep, connected or not.
    pub asleep: usize,
    /// Something is wrong with them.
    pub sick: usize,
    /// They are gone, and should not be.
    pub offline: usize,
    /// Too many of their shares are stale.
    pub high_stale: usize,
    /// They hash less than they should.
    pub low_hashrate: usize,
    /// Connected, and not known by name, because no place was left.
    pub unplaced: usize,
    /// Connections with a worker.
    pub counted: usize,
    /// All together over one minute, ten minutes, one hour.
    pub hashrates: [Hashrate; 3],
}

/// One worker.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerView {
    /// Its name, as miners say it.
    pub name: Arc<str>,
    /// Connections that it has now.
    pub connections: u32,
    /// Since when it is connected, or is not.
    pub since: Timestamp,
    /// Where it came from last.
    pub peer: IpAddr,
    /// The listener it came by: position in the config.
    pub listener: usize,
    /// The route it mines on: position in the config.
    pub route: Option<usize>,
    /// Its power group.
    pub group: Option<Arc<str>>,
    /// What its firmware was taken for.
    pub firmware: &'static str,
    /// What its firmware calls itself.
    pub agent: Option<Arc<str>>,
    /// Its difficulty.
    pub difficulty: Option<Difficulty>,
    /// What its connections are estimated to hash, by their shares' pace.
    pub estimate: Hashrate,
    /// What it hashes by shares that count, over one minute, ten minutes, one hour.
    pub hashrates: [Hashrate; 3],
    /// What it should hash; `None` where nobody says.
    pub nameplate: Option<Hashrate>,
    /// The stale share of its shares of about an hour; `None` if these are too few.
    pub stale_share: Option<f64>,
    /// When its last share that counts was found.
    pub last_share: Option<Timestamp>,
    /// Its shares, since it became known to this process.
    pub totals: Totals,
    /// It was put to sleep.
    pub is_asleep: bool,
    /// What is wrong with it.
    pub sickness: Sickness,
}

impl Table {
    /// A page.
    pub fn page(&self, tick: Instant, query: &Query) -> Page {
        let search = query.search.as_deref().map(str::to_lowercase).filter(|search| !search.is_empty());
        let mut found: Vec<(Key<'_>, &Worker)> = self
            .iter()
            .filter(|worker| self.fits(tick, query, search.as_deref(), worker))
            .map(|worker| (self.key(query.sort, tick, worker), worker))
            .collect();
        let order = |a: &(Key<'_>, &Worker), b: &(Key<'_>, &Worker)| {
            let by_key = if query.is_reversed { b.0.compare(&a.0) } else { a.0.compare(&b.0) };
            by_key.then_with(|| a.1.name.cmp(&b.1.name))
        };
        let total = found.len();
        let end = query.offset.saturating_add(query.limit.min(MAX_PAGE)).min(total);
        if end < total && end > 0 {
            found.select_nth_unstable_by(end - 1, order);
            found.truncate(end);
        }
        found.sort_unstable_by(order);
        let shown = found.get(query.offset.min(total)..end).unwrap_or_default();
        let workers = shown.iter().map(|(_, worker)| self.view(tick, worker)).collect();
        Page { at: self.heard().map(|(_, at)| at), total, workers }
    }

    /// One worker.
    pub fn worker(&self, tick: Instant, name: &str) -> Option<WorkerView> {
        self.find(name).map(|worker| self.view(tick, worker))
    }

    /// How many there are of what.
    pub fn summary(&self, tick: Instant) -> Summary {
        let at = self.heard().map(|(_, at)| at);
        let mut summary = Summary { at, unplaced: self.unplaced(), counted: self.counted(), ..Summary::default() };
        for worker in self.iter() {
            let sickness = worker.sickness(tick);
            summary.workers += 1;
            summary.online += usize::from(worker.is_online());
            summary.asleep += usize::from(worker.is_asleep());
            summary.sick += usize::from(sickness.is_any());
            summary.offline += usize::from(sickness.is_offline);
            summary.high_stale += usize::from(sickness.has_high_stale);
            summary.low_hashrate += usize::from(sickness.has_low_hashrate);
            for (sum, hashrate) in summary.hashrates.iter_mut().zip(worker.hashrates(tick)) {
                *sum += hashrate;
            }
        }
        summary
    }

    fn fits(&self, tick: Instant, query: &Query, search: Option<&str>, worker: &Worker) -> bool {
        let has = |text: &str, search: &str| text.to_lowercase().contains(search);
        query.is_online.is_none_or(|wanted| worker.is_online() == wanted)
            && query.route.is_none_or(|route| worker.route == Some(route))
            && query
                .group
                .as_deref()
                .is_none_or(|group| self.placing().group(worker.placed).is_some_and(|name| **name == *group))
            && search.is_none_or(|search| {
                has(&worker.name, search)
                    || worker.agent.as_deref().is_some_and(|agent| has(agent, search))
                    || worker.firmware.contains(search)
                    || worker.peer.to_string().contains(search)
            })
            && query.is_sick.is_none_or(|wanted| worker.sickness(tick).is_any() == wanted)
    }

    fn key<'w>(&'w self, sort: Sort, tick: Instant, worker: &'w Worker) -> Key<'w> {
        match sort {
            Sort::Sick => Key::Number(worker.sickness(tick).rank().into()),
            Sort::Name => Key::Name(&worker.name),
            Sort::Hashrate => Key::Number(worker.hashrates(tick)[1].hs()),
            Sort::Stale => Key::Number(worker.stale_share().unwrap_or(-1.0)),
            Sort::LastShare => Key::Time(worker.last_share_at),
            Sort::Shares => Key::Number(worker.totals.shares.found as f64),
            Sort::Rejects => Key::Number(worker.totals.shares.refused() as f64),
            Sort::Since => Key::Time(Some(worker.since_at)),
            Sort::Group => Key::Name(self.placing().group(worker.placed).map_or("", |name| name)),
            // As routes are in the config: the first that is tried before the others.
            Sort::Route => Key::Number(worker.route.map_or(f64::NEG_INFINITY, |route| -(route as f64))),
            Sort::Firmware => Key::Name(worker.firmware),
            Sort::Address => Key::Address(worker.peer),
            Sort::Difficulty => Key::Number(worker.difficulty.map_or(0.0, Difficulty::get)),
        }
    }

    fn view(&self, tick: Instant, worker: &Worker) -> WorkerView {
        WorkerView {
            name: worker.name.clone(),
            connections: worker.connections,
            since: worker.since_at,
            peer: worker.peer,
            listener: worker.listener,
            route: worker.route,
            group: self.placing().group(worker.placed).cloned(),
            firmware: worker.firmware,
            agent: worker.agent.clone(),
            difficulty: worker.difficulty,
            estimate: worker.estimate,
            hashrates: worker.hashrates(tick),
            nameplate: worker.placed.nameplate,
            stale_share: worker.stale_share(),
            last_share: worker.last_share_at,
            totals: worker.totals,
            is_asleep: worker.is_asleep(),
            sickness: worker.sickness(tick),
        }
    }
}

/// What a worker is sorted by; who matters most is first.
enum Key<'w> {
    Name(&'w str),
    Number(f64),
    Time(Option<Timestamp>),
    Address(IpAddr),
}

impl Key<'_> {
    /// Names from A, addresses from the lowest, everything else from the most and the newest.
    fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a.cmp(b),
            (Self::Address(a), Self::Address(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => b.total_cmp(a),
            (Self::Time(a), Self::Time(b)) => b.cmp(a),
            // One sort has one kind.
            _ => Ordering::Equal,
        }
    }
}
