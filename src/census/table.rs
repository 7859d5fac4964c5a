//! Every worker by its name, as it is now: what it hashes, what became of its shares, and whether it is sick.
//!
//! A worker is a name, whatever connections have it. Knows censuses and the time they came at; knows no clock, no disk and nobody who reads.
//!
//! | sick | if |
//! |---|---|
//! | offline | it has found shares, has no connection for [`OFFLINE_AFTER`], and does not sleep |
//! | high_stale | over [`STALE_SHARE`] of its shares of about an hour are stale, of [`ENOUGH_SHARES`] at least |
//! | low_hashrate | awake and connected for [`SETTLED_AFTER`], it hashes less than [`LOW_SHARE`] of its nameplate over about an hour; where that is known |
//!
//! One sleeps that was asleep when it went, or that the power side says to sleep ([`Table::set_sleepers`]): some firmware hangs up when it is told
//! to. One that woke, or was away for longer than [`OFFLINE_AFTER`], is measured anew: what it did not do asleep is not held against it.
//!
//! Hashrates are averages that forget: what was found so long ago as the window is counts a third, as in ckpool (`libckpool.c`,
//! `decay_time`), set right for who has not been here for so long. Three numbers a worker instead of a ring of an hour.
//!
//! Limits: [`MAX_WORKERS`]. Names are what miners say: one that never found a share is forgotten with its last connection; one that did
//! [`FORGOTTEN_AFTER`] later. If all places are taken, who has been gone for longest gives way to a newcomer, and if nobody is gone the newcomer
//! is counted with [`Table::others`]. Pools' words on a connection that is gone are waited for [`AFTER_GONE`].

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use slab::Slab;

use super::{
    minute::{Minute, MinuteOf},
    placing::{Placed, Placing},
};
use crate::{
    power::control::Sleepers,
    router::{Census, ConnectionId, Judgements, MinerReport, Settled},
    work::{Difficulty, HASHES_PER_DIFFICULTY, Hashrate, Reject},
};

/// Workers that are known by name: twice the largest farm that one proxy serves, at half a kilobyte each.
pub const MAX_WORKERS: usize = 200_000;

/// The windows of the hashrates: what happens now, what is no longer chance, and what a machine is good for.
pub const WINDOWS: [Duration; 3] = [Duration::from_secs(60), Duration::from_secs(600), Duration::from_secs(3600)];

/// How long one may be away for a restart of its firmware's miner.
pub const OFFLINE_AFTER: Duration = Duration::from_secs(90);

/// A worker that is gone is shown as offline so long; the store knows it for longer.
pub const FORGOTTEN_AFTER: Duration = Duration::from_secs(7 * 86_400);

/// Stale shares of a healthy machine are some per mille.
pub const STALE_SHARE: f64 = 0.05;

/// Fewer shares say nothing of a share of them.
pub const ENOUGH_SHARES: f64 = 20.0;

/// Firmware tunes itself for so long.
pub const SETTLED_AFTER: Duration = Duration::from_secs(900);

/// A lost hashboard of three is two thirds.
pub const LOW_SHARE: f64 = 0.8;

/// How long pools' words on a connection that is gone are waited for.
const AFTER_GONE: Duration = Duration::from_secs(600);

/// Comings and goings that one census tells by name.
pub const MAX_CHANGES: usize = 256;

/// All workers.
#[derive(Debug)]
pub struct Table {
    workers: Slab<Worker>,
    by_name: HashMap<Arc<str>, usize>,
    connections: HashMap<ConnectionId, Owner>,
    placing: Placing,
    most: usize,
    /// Counts censuses.
    round: u64,
    /// When the last one came.
    heard: Option<(Instant, Timestamp)>,
    /// Connections with a worker in it.
    counted: usize,
    /// Who sleeps, by the power side's word.
    sleepers: Arc<Sleepers>,
    /// What workers did that there was no place for, since the minute began.
    others: Minute,
    /// Workers that there was no place for, of the last census.
    unplaced: usize,
    changes: Vec<Change>,
    /// Changes beyond those.
    more_changes: usize,
}

/// Whose a connection is.
#[derive(Debug)]
struct Owner {
    name: Arc<str>,
    gone: Option<Instant>,
}

/// One worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub name: Arc<str>,
    /// Of the census that it was in last.
    round: u64,
    pub connections: u32,
    /// It was said that it is there.
    is_up: bool,
    /// When it came or went.
    since: Instant,
    pub since_at: Timestamp,
    pub placed: Placed,
    pub peer: IpAddr,
    pub listener: usize,
    pub route: Option<usize>,
    pub firmware: &'static str,
    pub agent: Option<Arc<str>>,
    pub difficulty: Option<Difficulty>,
    /// What its connections are estimated to hash.
    pub estimate: Hashrate,
    /// By the word of its connections, the last ones if it has none.
    is_asleep: bool,
    /// By the power side's word.
    rests: bool,
    /// Since when it is connected and awake; `None` while it is not.
    awake: Option<Instant>,
    pub last_share_at: Option<Timestamp>,
    pub totals: Totals,
    /// When it was first seen, and what of its shares is not forgotten, by window; brought forward to `updated`.
    begun: Instant,
    updated: Instant,
    work: [f64; WINDOWS.len()],
    /// Of the longest window: shares that count, and stale ones.
    found: f64,
    stale: f64,
    minute: Minute,
}

/// Counted since the worker became known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Totals {
    /// Shares.
    pub shares: Judgements,
    /// Handed to pools.
    pub forwarded: u64,
    /// What pools said.
    pub settled: Settled,
}

/// A worker came or went.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Who.
    pub worker: Arc<str>,
    /// Whether it is there now.
    pub is_online: bool,
    /// In words: from where and with what.
    pub words: String,
}

impl Table {
    /// Nobody is known yet.
    pub fn new(placing: Placing) -> Self {
        Self {
            workers: Slab::new(),
            by_name: HashMap::new(),
            connections: HashMap::new(),
            placing,
            most: MAX_WORKERS,
            round: 0,
            heard: None,
            counted: 0,
            sleepers: Arc::default(),
            others: Minute::default(),
            unplaced: 0,
            changes: Vec::new(),
            more_changes: 0,
        }
    }

    /// Other groups from now on: everybody is looked up anew.
    pub fn follow(&mut self, placing: Placing) {
        for (_, worker) in &mut self.workers {
            worker.placed = placing.place(worker.peer, &worker.name);
        }
        self.placing = placing;
    }

    /// A census came.
    pub fn take(&mut self, tick: Instant, at: Timestamp, census: &Census) {
        self.round += 1;
        self.heard = Some((tick, at));
        self.counted = census.miners.iter().filter(|miner| miner.user.is_some() && !miner.is_gone).count();
        self.unplaced = 0;
        for report in &census.miners {
            self.take_report(tick, at, report);
        }
        for (connection, settled) in &census.settled {
            let name = self.connections.get(connection).map(|owner| &owner.name);
            let worker = name.and_then(|name| self.by_name.get(name)).and_then(|index| self.workers.get_mut(*index));
            match worker {
                Some(worker) => {
                    worker.totals.settled.add(*settled);
                    worker.minute.settled.add(*settled);
                }
                None => self.others.settled.add(*settled),
            }
        }
        self.connections.retain(|_, owner| owner.gone.is_none_or(|gone| tick.duration_since(gone) < AFTER_GONE));
        self.turn(tick, at);
    }

    /// Who sleeps, by the power side's word.
    pub fn set_sleepers(&mut self, sleepers: Arc<Sleepers>) {
        for (_, worker) in &mut self.workers {
            let rested = std::mem::replace(&mut worker.rests, sleepers.has(&worker.name, worker.peer));
            // It was to be up by now: one that has not come back is missed.
            if rested && !worker.rests && !worker.is_online() {
                worker.is_asleep = false;
            }
        }
        self.sleepers = sleepers;
    }

    fn take_report(&mut self, tick: Instant, at: Timestamp, report: &MinerReport) {
        let Some(user) = &report.user else {
            // Rejects of connections that have not authorized.
            return self.others.add(&report.shares, report.forwarded);
        };
        let owner =
            self.connections.entry(report.connection).or_insert_with(|| Owner { name: user.clone(), gone: None });
        owner.gone = report.is_gone.then_some(tick);
        self.take_worker(tick, at, user, report, &report.own(), report.forwarded);
        for (name, shares) in &report.others {
            self.take_worker(tick, at, name, report, shares, 0);
        }
    }

    fn take_worker(
        &mut self,
        tick: Instant,
        at: Timestamp,
        name: &Arc<str>,
        report: &MinerReport,
        shares: &Judgements,
        forwarded: u64,
    ) {
        let Some(index) = self.place(tick, at, name, report) else {
            self.unplaced += 1;
            return self.others.add(shares, forwarded);
        };
        let worker = &mut self.workers[index];
        if worker.round != self.round {
            worker.round = self.round;
            worker.connections = 0;
            worker.estimate = Hashrate::default();
            worker.is_asleep = report.is_asleep;
        }
        worker.take(tick, at, report, shares, forwarded);
        if report.is_gone {
            return;
        }
        worker.connections += 1;
        // Of several workers on one connection nobody knows who has how much of it.
        if report.others.is_empty() {
            worker.estimate += report.hashrate.unwrap_or_default();
        }
        if worker.peer != report.peer {
            worker.peer = report.peer;
            worker.placed = self.placing.place(report.peer, name);
            worker.rests = self.sleepers.has(name, report.peer);
        }
    }

    /// Its place, a new one if need be.
    fn place(&mut self, tick: Instant, at: Timestamp, name: &Arc<str>, report: &MinerReport) -> Option<usize> {
        if let Some(index) = self.by_name.get(name) {
            return Some(*index);
        }
        if self.workers.len() >= self.most && !self.make_room() {
            return None;
        }
        let placed = self.placing.place(report.peer, name);
        let rests = self.sleepers.has(name, report.peer);
        let index = self.workers.insert(Worker { rests, ..Worker::new(tick, at, name.clone(), placed, report) });
        self.by_name.insert(name.clone(), index);
        Some(index)
    }

    /// A tenth of those that are gone go at once, so that the search is rare.
    fn make_room(&mut self) -> bool {
        let is_gone = |worker: &Worker| !worker.is_up && worker.round != self.round;
        let mut gone: Vec<(Instant, usize)> = self
            .workers
            .iter()
            .filter(|(_, worker)| is_gone(worker))
            .map(|(index, worker)| (worker.since, index))
            .collect();
        gone.sort_unstable();
        gone.truncate(gone.len().div_ceil(10));
        for (_, index) in &gone {
            self.forget(*index);
        }
        !gone.is_empty()
    }

    fn forget(&mut self, index: usize) {
        let worker = self.workers.remove(index);
        self.by_name.remove(&worker.name);
        self.others.take_over(&worker.minute);
    }

    /// Says who came and who went. Who was not in the census has gone.
    fn turn(&mut self, tick: Instant, at: Timestamp) {
        let (mut forgotten, mut changes) = (Vec::new(), Vec::new());
        for (index, worker) in &mut self.workers {
            if worker.round != self.round {
                worker.connections = 0;
                worker.estimate = Hashrate::default();
            }
            worker.notice(tick);
            if worker.is_up != worker.is_online() {
                worker.is_up = worker.is_online();
                (worker.since, worker.since_at) = (tick, at);
                changes.push(worker.change());
            }
            let is_garbage = worker.totals.shares.found == 0;
            if !worker.is_up && (is_garbage || tick.duration_since(worker.since) >= FORGOTTEN_AFTER) {
                forgotten.push(index);
            }
        }
        for change in changes {
            self.tell(change);
        }
        for index in forgotten {
            self.forget(index);
        }
    }

    fn tell(&mut self, change: Change) {
        if self.changes.len() < MAX_CHANGES {
            self.changes.push(change);
        } else {
            self.more_changes += 1;
        }
    }

    /// Who came and who went since this was asked last, and how many more did.
    pub fn changes(&mut self) -> (Vec<Change>, usize) {
        (std::mem::take(&mut self.changes), std::mem::take(&mut self.more_changes))
    }

    /// What every worker did since this was asked last; those that did nothing and are not there are left out, and those that never found a
    /// share, whose names may be anything.
    pub fn minutes(&mut self) -> Vec<MinuteOf> {
        let Self { workers, placing, .. } = self;
        let found = workers.iter_mut().filter(|(_, worker)| worker.totals.shares.found > 0);
        let minutes = found.map(|(_, worker)| {
            let minute = std::mem::take(&mut worker.minute);
            MinuteOf {
                worker: worker.name.clone(),
                group: placing.group(worker.placed).cloned(),
                route: worker.route,
                minute: Minute { connections: worker.connections, ..minute },
            }
        });
        minutes.filter(|of| of.minute != Minute::default()).collect()
    }

    /// What was done by workers that there is no place for, and by connections without a worker, since this was asked last.
    pub fn others(&mut self) -> Minute {
        std::mem::take(&mut self.others)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().map(|(_, worker)| worker)
    }

    pub(super) fn find(&self, name: &str) -> Option<&Worker> {
        self.workers.get(*self.by_name.get(name)?)
    }

    pub(super) fn placing(&self) -> &Placing {
        &self.placing
    }

    /// When the last census came; `None` before the first.
    pub fn heard(&self) -> Option<(Instant, Timestamp)> {
        self.heard
    }

    /// Connections with a worker, by the last census.
    pub fn counted(&self) -> usize {
        self.counted
    }

    /// Workers of the last census that are not known by name, because no place was left.
    pub fn unplaced(&self) -> usize {
        self.unplaced
    }
}

impl Worker {
    fn new(tick: Instant, at: Timestamp, name: Arc<str>, placed: Placed, report: &MinerReport) -> Self {
        Self {
            name,
            round: 0,
            connections: 0,
            is_up: false,
            since: tick,
            since_at: at,
            placed,
            peer: report.peer,
            listener: report.listener,
            route: report.route,
            firmware: report.firmware,
            agent: report.agent.clone(),
            difficulty: report.difficulty,
            estimate: Hashrate::default(),
            is_asleep: report.is_asleep,
            rests: false,
            awake: None,
            last_share_at: None,
            totals: Totals::default(),
            begun: tick,
            updated: tick,
            work: [0.0; WINDOWS.len()],
            found: 0.0,
            stale: 0.0,
            minute: Minute::default(),
        }
    }

    fn take(&mut self, tick: Instant, at: Timestamp, report: &MinerReport, shares: &Judgements, forwarded: u64) {
        self.bring_forward(tick);
        for work in &mut self.work {
            *work += shares.work;
        }
        self.found += shares.found as f64;
        self.stale += shares.of(Reject::Stale) as f64;
        self.totals.shares.add(shares);
        self.totals.forwarded += forwarded;
        self.minute.add(shares, forwarded);
        if shares.found > 0 {
            let ago = report.last_share.map_or(Duration::ZERO, |last| tick.saturating_duration_since(last));
            self.last_share_at = at.checked_sub(ago).ok().max(self.last_share_at);
        }
        self.listener = report.listener;
        self.route = report.route.or(self.route);
        self.firmware = report.firmware;
        if report.agent.is_some() && self.agent != report.agent {
            self.agent.clone_from(&report.agent);
        }
        self.difficulty = report.difficulty.or(self.difficulty);
        // One that mines at one place is not asleep.
        self.is_asleep &= report.is_asleep;
    }

    fn bring_forward(&mut self, tick: Instant) {
        for (work, window) in self.work.iter_mut().zip(WINDOWS) {
            *work *= kept(tick.saturating_duration_since(self.updated), window);
        }
        let of_hour = kept(tick.saturating_duration_since(self.updated), WINDOWS[2]);
        self.found *= of_hour;
        self.stale *= of_hour;
        self.updated = tick;
    }

    /// What it hashes, by window.
    pub fn hashrates(&self, tick: Instant) -> [Hashrate; WINDOWS.len()] {
        let (unheard, age) = (tick.saturating_duration_since(self.updated), tick.saturating_duration_since(self.begun));
        let mut hashrates = [Hashrate::default(); WINDOWS.len()];
        for ((hashrate, window), work) in hashrates.iter_mut().zip(WINDOWS).zip(self.work) {
            // All that could be known: less than the window for who has just come.
            let seconds = window.as_secs_f64() * (1.0 - kept(age, window));
            if seconds >= 1.0 {
                *hashrate = Hashrate::from_hs(work * kept(unheard, window) * HASHES_PER_DIFFICULTY / seconds);
            }
        }
        hashrates
    }

    /// The stale share of its shares of about an hour; `None` if these are too few.
    pub fn stale_share(&self) -> Option<f64> {
        let all = self.found + self.stale;
        (all >= ENOUGH_SHARES).then_some(self.stale / all)
    }

    /// After a census: whether it is up, and since when. Before [`Worker::is_up`] follows.
    fn notice(&mut self, tick: Instant) {
        if !self.is_online() || self.is_asleep() {
            self.awake = None;
        } else if self.awake.is_none() {
            self.awake = Some(tick);
            let was_away_for = tick.saturating_duration_since(self.since);
            // One that has just been seen first has nothing to forget.
            if self.begun < tick && (self.is_up || was_away_for >= OFFLINE_AFTER) {
                (self.begun, self.work) = (tick, [0.0; WINDOWS.len()]);
            }
        }
    }

    fn change(&self) -> Change {
        let firmware = self.agent.as_deref().unwrap_or(self.firmware);
        let words = match self.is_up {
            true => format!("connected from {} with {firmware}", self.peer),
            false => format!("gone; it was connected from {} with {firmware}", self.peer),
        };
        Change { worker: self.name.clone(), is_online: self.is_up, words }
    }

    pub fn is_online(&self) -> bool {
        self.connections > 0
    }

    /// It was put to sleep, or is on its way up.
    pub fn is_asleep(&self) -> bool {
        self.is_asleep || self.rests
    }

    /// What is wrong with it.
    pub fn sickness(&self, tick: Instant) -> Sickness {
        let since = tick.saturating_duration_since(self.since);
        let is_settled = self.awake.is_some_and(|awake| tick.saturating_duration_since(awake) >= SETTLED_AFTER);
        let hashes = self.hashrates(tick)[2].hs();
        Sickness {
            is_offline: !self.is_online()
                && !self.is_asleep()
                && since >= OFFLINE_AFTER
                && self.totals.shares.found > 0,
            has_high_stale: self.stale_share().is_some_and(|share| share > STALE_SHARE),
            has_low_hashrate: is_settled
                && !self.is_asleep()
                && self.placed.nameplate.is_some_and(|nameplate| hashes < LOW_SHARE * nameplate.hs()),
        }
    }
}

/// What is wrong with a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sickness {
    /// It has gone, and should not have.
    pub is_offline: bool,
    /// Too many of its shares come too late.
    pub has_high_stale: bool,
    /// It hashes less than it should.
    pub has_low_hashrate: bool,
}

impl Sickness {
    /// Something is.
    pub fn is_any(self) -> bool {
        self.is_offline || self.has_high_stale || self.has_low_hashrate
    }

    /// As API and metrics say it.
    pub fn labels(self) -> impl Iterator<Item = &'static str> {
        let all = [
            ("offline", self.is_offline),
            ("high_stale", self.has_high_stale),
            ("low_hashrate", self.has_low_hashrate),
        ];
        all.into_iter().filter(|(_, is_so)| *is_so).map(|(label, _)| label)
    }

    /// How bad, for sorting: who earns nothing is first.
    pub fn rank(self) -> u8 {
        u8::from(self.is_offline) << 2 | u8::from(self.has_low_hashrate) << 1 | u8::from(self.has_high_stale)
    }
}

/// What is left after so long of what a window counts.
fn kept(after: Duration, window: Duration) -> f64 {
    (-after.as_secs_f64() / window.as_secs_f64()).exp()
}

#[cfg(test)]
mod tests;
