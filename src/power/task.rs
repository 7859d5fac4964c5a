//! The power side's loop: owns the site's machine, its journal, the clock and the ways to machines, miners, AI compute and operators.
//!
//! ```text
//! decisions, meter ── Signals ──► ┐                              ┌──► journal: one transaction, fsynced, then Input::Written
//! miners ──────────── Census ───► │ Input          Output        ├──► machines: commands before readings  (calls.rs)
//! machines, AI ────── Answer ───► ├──────► Site ────────────────►├──► AI compute: grants and revocations
//! operators ───────── Ask ──────► ┘                              └──► log, snapshot
//! ```
//!
//! | file | what |
//! |---|---|
//! | `begin.rs` | what is made before it begins, and its thread |
//! | `terms.rs` | what the site is made of, from the config |
//! | `start.rs` | what a start finds in the journal |
//! | `estate.rs` | what it leaves to another that begins on another config inside the same proxy |
//! | `orphans.rs` | what a ledger knows and the config can't move any more |
//! | `clock.rs` | the site's time, where the clock is set back |
//! | `devices.rs` | which machines there are, and which connections are theirs |
//! | `forget.rs` | machines that are gone for good |
//! | `idle.rs` | machines that sleep and that nobody here put to sleep |
//! | `census.rs` | what the count of the miners says of them: shares, efficiency |
//! | `calls.rs` | when which machine is called |
//! | `backlog.rs` | whether calls keep up with how old a reading may be |
//! | `pace.rs` | how long machines take, learned from what was seen |
//! | `modes.rs` | power modes that no reading tells |
//! | `orders.rs` | decisions and operators' orders, and how far they go |
//! | `engine.rs` | what the decision engine is told |
//! | `answers.rs` | calls as they go out and come back |
//! | `complaints.rs` | what drivers complain of, for people |
//! | `asks.rs` | what operators ask and order |
//! | `wake_all.rs` | the same without a proxy: everything is woken |
//! | `show.rs` | events and the snapshot |
//!
//! It runs on a thread of its own, so that an fsync blocks nobody; calls run on the proxy's runtime. Nothing is told to a site before the
//! decision engine knows what sleeps: a start orders nobody to mine who was asleep for a reason.
//!
//! | failure | then |
//! |---|---|
//! | the journal can't be written | nothing goes out that rests on it; tried again every [`WRITE_AGAIN`], an error is logged. Shares go on |
//! | a driver hangs | its call ends after `command_lifetime` |
//! | the loop ends by a panic | the process ends, as with a lost worker: a supervisor starts it anew, and it goes on from its journal |
//! | it is told to end | calls that are under way are dropped, groups and leases stay as they are; the next start goes on with them |
//! | it is told to end because the config is another one now | the same; the next one begins at once, in the same process, with what it leaves |
//!
//! Limits: [`MAX_PAST_EVENTS`], [`SHOWN_RECEIPTS`]; devices as `devices.rs` says; calls as `[power] calls`. Of 10 000 devices, a snapshot
//! costs 9 ms and a round of readings 110 ms, in a debug build on two busy cores.

mod answers;
mod asks;
mod backlog;
mod begin;
mod calls;
mod census;
mod clock;
mod complaints;
mod cuts;
mod devices;
mod engine;
mod estate;
mod forget;
mod idle;
mod modes;
mod orders;
mod orphans;
mod pace;
mod show;
mod start;
mod terms;
pub mod wake_all;

pub use self::{
    begin::{Equipment, Prepared, Ready, Running, Surroundings, equip, prepare, ready, start},
    estate::Estate,
    orphans::{left_behind, orphans},
};

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    runtime::Handle,
    select,
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use self::{
    answers::{Answer, Compute as Told, Machines},
    backlog::Backlog,
    begin::Asked,
    calls::Calls,
    census::{Due, Miners, is_moving},
    clock::Clock,
    complaints::Complaints,
    cuts::Cuts,
    devices::Devices,
    estate::{Past, Way},
    forget::Seen,
    idle::Idle,
    modes::Modes,
    orders::Orders,
    pace::Paces,
    show::{Manual, Shown},
    start::{Adoption, GONE, facts_of_start, held_by_a_dry_run, mode, slept},
    wake_all::Purpose,
};
use super::{
    control::{Control, Named, Orphans},
    device::Device,
    group::{Phase, Record},
    journal::{Journal, JournalError},
    ledger::{Epoch, Reading},
    site::{DeviceKey, EventKind, Input, Joining, Level, Output, Site, SiteEvent, Write},
};
use crate::{
    census::Asker,
    config::{Config, Mode},
    metrics::Books,
    profit::{
        Reading as SignalReading, Watts,
        task::{PowerFacts, Signals, Snapshot},
    },
    router::Errands,
};

/// Events that the snapshot has.
pub const MAX_PAST_EVENTS: usize = 200;

/// Receipts that the snapshot has.
pub const SHOWN_RECEIPTS: usize = 20;

/// How long until a write that failed is tried again.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// How often pools are looked at that waking miners wait for.
const LOOK_FOR_WORK: Duration = Duration::from_millis(200);

/// How often the engine is told measured efficiencies.
const TELL_EFFICIENCY: Duration = Duration::from_secs(60);

/// The longest sleep: a clock that is set is noticed.
const TICK: Duration = Duration::from_secs(1);

/// Names in the journal's settings: the mode that an operator set, and the config's at that time.
const MODE: &str = "mode";
const MODE_OF_CONFIG: &str = "mode_of_config";

/// Why the power side does not start.
#[derive(Debug, thiserror::Error)]
pub enum PowerError {
    /// Its ledger.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A driver.
    #[error("{0}")]
    Driver(String),
    /// The config has nothing to move.
    #[error("the config has no group with an actuator and no [[ai]] with a control: there is no power side")]
    Nothing,
    /// What was asked for.
    #[error("the config has no group {0:?} with an actuator")]
    NoGroup(String),
    /// Nothing that could be woken.
    #[error("{}: there was never a power ledger, so no proxy with this config has put anything to sleep", .0.display())]
    NeverBegun(PathBuf),
    /// Its thread.
    #[error("can't start the power side's thread: {0}")]
    Thread(io::Error),
}

/// Begins a new ledger where the old one is lost: every AI block counts as holding all it can draw until it has given it back. Its epoch is
/// the time in seconds, which is above that of any controller before, as each start raises it by one.
///
/// # Errors
/// [`PowerError`] if there is a ledger, a controller runs, it can't be written, or the config has no power side.
pub fn take_over(config: &Config) -> Result<Epoch, PowerError> {
    let (Some(profit), Some(power)) = (&config.profit, &config.power) else { return Err(PowerError::Nothing) };
    let now = Timestamp::now();
    let above = Epoch(u32::try_from(now.as_second()).unwrap_or(u32::MAX - 1));
    let terms = terms::site(config, profit, power, &vec![None; profit.groups.len()]);
    let mut journal = Journal::take_over(&power.ledger, above, now)?;
    let mut writes: Vec<Write> = Site::after_loss(&terms, now).into_iter().map(Write::Entry).collect();
    writes.extend(terms::wakes_after_loss(power, now));
    let names: Vec<Arc<str>> = profit.groups.iter().map(|group| group.name.clone()).collect();
    journal.write(&writes, &names)?;
    Ok(journal.epoch())
}

/// What belongs together, and is one thread's.
struct Keeper {
    config: Arc<Config>,
    names: Vec<Arc<str>>,
    site: Site,
    journal: Journal,
    machines: Machines,
    told: Vec<Option<Told>>,
    devices: Devices,
    miners: Miners,
    calls: Calls,
    backlog: Backlog,
    modes: Modes,
    paces: Paces,
    cuts: Cuts,
    orders: Orders,
    runtime: Handle,
    /// Ends it.
    stop: CancellationToken,
    errands: Errands,
    /// Has the miners counted.
    count: Asker,
    books: Arc<Books>,
    answer: mpsc::Sender<Answer>,
    clock: Clock,
    facts: watch::Sender<Option<PowerFacts>>,
    /// Calls to a device that failed in a row.
    failures: HashMap<DeviceKey, u32>,
    complaints: Complaints,
    seen: Seen,
    idle: Idle,
    /// A write that failed.
    unwritten: Option<(u64, Vec<Write>, Instant)>,
    /// By the index of the group: it sleeps, and its connections are to be let sleep.
    dormant: Vec<bool>,
    /// By the index of the group: it waits for pools' work.
    rousing: Vec<bool>,
    /// Where groups were when they were looked at last.
    phases: Vec<Option<Phase>>,
    /// When the meter was read last, by its own word.
    meter_at: Timestamp,
    /// Groups with one meter for all of their machines: its signal, and when its last reading was.
    group_meters: Vec<(usize, Arc<str>, Timestamp)>,
    census: Due,
    look_for_work: Instant,
    tell_efficiency: Instant,
    manual: Vec<Manual>,
    shown: Shown,
    /// What is kept of groups for machines that no group has any more.
    left: HashMap<String, Record>,
    /// Watts alone prove a wake: there are no miners, and so no shares.
    proves_by_watts: bool,
}

impl Keeper {
    /// With the way to a side before, if there was one.
    fn new(
        config: &Arc<Config>,
        prepared: Prepared,
        surroundings: &Surroundings,
        estate: &mut Estate,
        now: Timestamp,
    ) -> Result<(Self, Option<Asked>, Answers), PowerError> {
        let Prepared { machines, mut journal, mut book, purpose } = prepared;
        let (Some(profit), Some(power)) = (&config.profit, &config.power) else { return Err(PowerError::Nothing) };
        let tick = Instant::now();
        let names: Vec<Arc<str>> = profit.groups.iter().map(|group| group.name.clone()).collect();
        let groups: Vec<_> = names.iter().cloned().zip(power.groups.iter().map(Option::as_ref)).collect();
        let mut devices = Devices::new(&groups);
        clock::forget_the_future(now, &mut book);
        devices.restore(&book.devices, &book.sightings, now);
        let receipts = journal.receipts(SHOWN_RECEIPTS)?;
        let paces = Paces::new(power, &names, &devices, &book.settings, &mut journal, tick)?;
        let mode = match purpose {
            Purpose::Control => mode(profit.mode, &book, &mut journal)?,
            Purpose::Wake(_) => Mode::Advise,
        };
        // The last that can fail: machines are whose they were until all else is there.
        Adoption::new(&book, &names, &devices).write(&mut journal, &mut book)?;
        let held = held_by_a_dry_run(profit.mode, &purpose, &book, &names);
        let mut calls = Calls::new(tick, names.len(), power.calls, power.poll, power.poll_moving);
        let mut joinings: Vec<Vec<Joining>> = vec![Vec::new(); names.len()];
        for key in devices.keys() {
            let Some(joining) = machines.joining(profit, power, &devices, key) else { continue };
            calls.add(tick, key, machines.is_asked(key.group));
            joinings[key.group].push(joining);
        }
        let terms = terms::site(config, profit, power, &machines.actuators);
        let group_meters = machines.group_meters().map(|(group, signal)| (group, signal, Timestamp::MIN)).collect();
        let records = names.iter().map(|name| book.records.get(&**name).cloned());
        let records: Vec<Option<Record>> = records.collect();
        let mut controls: Vec<Option<Control>> = names.iter().map(|name| book.orders.get(&**name).cloned()).collect();
        let persons = purpose.overrule(&mut controls, &records);
        let orders = Orders::new(mode, controls, profit.ai.len());
        let facts = facts_of_start(&records, &book.entries, &terms, &orders);
        let orphans = Orphans::of(&book, Some(&devices), &orphans::blocks(config));
        let found = devices.len();
        let (epoch, entries) = (journal.epoch(), book.entries.len());
        info!(
            "the power side begins: {found} devices, mode {}, ledger {} in epoch {epoch} with {entries} entries",
            mode.label(),
            power.ledger.display()
        );
        let survive =
            terms.groups.iter().map(|group| group.as_ref().is_some_and(|group| group.survives_power_cycle)).collect();
        let site = Site::new(terms, epoch, &book.entries, joinings, records.clone(), now);
        let told = machines.compute.iter().map(|compute| compute.is_some().then(|| Told::new(tick))).collect();
        let (way, publish) = match estate.way.take() {
            Some(Way { power, asks, snapshot }) => (Some((power, asks)), Some(snapshot)),
            None => (None, None),
        };
        let mut past = std::mem::take(&mut estate.past);
        let miners = Miners::after(std::mem::take(&mut past.asleep));
        let were_dormant = std::mem::take(&mut past.dormant);
        let slept = |(name, record): (&Arc<str>, &Option<Record>)| {
            record.as_ref().is_some_and(slept) || were_dormant.contains(name)
        };
        let dormant = names.iter().zip(&records).map(slept).collect();
        let (of, named) = ((&site, &orders), Named::new(config));
        let shown = Shown::new(of, named, receipts, orphans.clone(), (past, publish), now);
        let (answer, answers) = mpsc::channel(answers::queue(power));
        let (facts, to_engine) = watch::channel(Some(facts));
        let groups = names.len();
        let mut keeper = Self {
            config: config.clone(),
            site,
            journal,
            machines,
            told,
            devices,
            miners,
            calls,
            backlog: Backlog::new(tick),
            modes: Modes::default(),
            paces,
            cuts: Cuts::new(survive),
            orders,
            runtime: Handle::current(),
            stop: surroundings.stop.clone(),
            errands: surroundings.errands.clone(),
            count: surroundings.census.asker(),
            books: surroundings.books.clone(),
            answer,
            clock: Clock::new(now),
            facts,
            failures: HashMap::new(),
            complaints: Complaints::default(),
            seen: Seen::new(tick),
            idle: Idle::new(tick),
            unwritten: None,
            dormant,
            rousing: vec![false; groups],
            phases: vec![None; groups],
            meter_at: Timestamp::MIN,
            group_meters,
            census: Due::at_once(tick),
            look_for_work: tick,
            tell_efficiency: tick + TELL_EFFICIENCY,
            manual: (0..groups).map(|_| Manual::default()).collect(),
            shown,
            left: book.records.into_iter().filter(|(name, _)| name.ends_with(GONE)).collect(),
            names,
            proves_by_watts: matches!(purpose, Purpose::Wake(_)),
        };
        // What is lent to nobody's block is the site's to tell.
        for words in (Orphans { leases: BTreeMap::new(), ..orphans }).words() {
            let event = SiteEvent { level: Level::Error, kind: EventKind::Device, group: None, words: words.into() };
            keeper.shown.tell(now, event);
        }
        // Before anything else is heard.
        for input in keeper.orders.persons().into_iter().chain(persons).chain(held) {
            keeper.site.handle(now, input);
        }
        keeper.phases = keeper.shown.phases(&keeper.site.view(now));
        if mode == Mode::DryRun {
            keeper.stand_still(now);
        }
        keeper.listen();
        Ok((keeper, way, Answers { answers, to_engine }))
    }

    async fn run(mut self: Box<Self>, signals: Signals, (power, mut asks): Asked, from_outside: Answers) -> Estate {
        let stop = self.stop.clone();
        let Answers { mut answers, mut to_engine } = from_outside;
        let mut snapshots = signals.subscribe();
        // The engine must know what sleeps before it is obeyed.
        let first = to_engine.borrow_and_update().clone();
        if let Some(first) = first
            && let Some(snapshot) = stop.run_until_cancelled(signals.tell_power(first)).await.flatten()
        {
            snapshots.mark_unchanged();
            self.hear(&snapshot);
        }
        let view = self.site.view(self.clock.of(Timestamp::now()));
        self.shown.publish(Instant::now(), view, &self.orders, self.machines.certificates());
        let telling = self.runtime.spawn(engine::tell(signals, to_engine));
        loop {
            self.act();
            let wake = self.wakes_at();
            select! {
                biased;
                () = stop.cancelled() => break,
                Some(ask) = asks.recv() => self.answer_ask(ask),
                changed = snapshots.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let snapshot = snapshots.borrow_and_update().clone();
                    self.hear(&snapshot);
                }
                Some(answer) = answers.recv() => {
                    self.take_answer(answer);
                    // What came with it, before anything is shown or asked.
                    while let Ok(answer) = answers.try_recv() {
                        self.take_answer(answer);
                    }
                }
                () = sleep_until(wake) => {}
            }
        }
        telling.abort();
        // Whatever it still said is on its way when this returns.
        let _ = telling.await;
        self.say_goodbye();
        let Self { names, dormant, shown, miners, journal, .. } = *self;
        let (past, snapshot) = shown.leave();
        let dormant = names.into_iter().zip(dormant).filter(|(_, is_dormant)| *is_dormant);
        let past = Past { asleep: miners.asleep(), dormant: dormant.map(|(name, _)| name).collect(), ..past };
        Estate { way: Some(Way { power, asks, snapshot }), past, journal: Some(journal) }
    }

    /// What was decided, and what the site's meter says.
    fn hear(&mut self, snapshot: &Snapshot) {
        let now = self.clock.now(Timestamp::now());
        let power = self.config.power.as_ref();
        if let Some(meter) = power.and_then(|power| power.meter.as_ref())
            && let Some(signal) = snapshot.signals.iter().find(|signal| signal.name == meter.signal)
            && let SignalReading::Fresh { value, observed_at } = signal.reading
            && observed_at != self.meter_at
            && let Some(watts) = Watts::new(value)
        {
            self.meter_at = observed_at;
            self.shown.metered(power.and_then(|power| power.cap), watts);
            // A meter's clock may be a little ahead of ours.
            let taken_at = self.clock.of(observed_at).min(now);
            self.site.handle(now, Input::Meter(Reading { watts, taken_at }));
        }
        for index in 0..self.group_meters.len() {
            let (group, name, last) = &mut self.group_meters[index];
            let signal = snapshot.signals.iter().find(|signal| signal.name == *name);
            if let Some(SignalReading::Fresh { value, observed_at }) = signal.map(|signal| signal.reading)
                && observed_at > *last
            {
                let group = *group;
                *last = observed_at;
                self.shown.touch();
                let taken_at = self.clock.of(observed_at).min(now);
                self.share_out(now, group, taken_at, value);
            }
        }
        self.shown.decision = snapshot.decision.clone();
        for wanted in self.orders.wanted(self.shown.decision.as_ref()) {
            self.site.handle(now, wanted);
        }
    }

    /// Does everything that can be done now.
    fn act(&mut self) {
        let (wall, tick) = (Timestamp::now(), Instant::now());
        let now = self.clock.now(wall);
        self.write_again(now, tick);
        for group in self.orders.expired(wall) {
            self.expire(now, group);
        }
        if self.site.poll_timeout().is_some_and(|at| at <= now) {
            self.site.handle_timeout(now);
        }
        self.look_for_work(now, tick);
        self.learn_times(now, tick);
        self.carry_out_all(now, tick);
        self.call(now, tick);
        self.ask_compute(tick);
        self.count_miners(tick);
        self.ask_people(now, tick);
        self.keep_sightings(now, tick);
        self.look_for_idle(now, tick);
        self.look_at_backlog(now, tick);
        if tick >= self.tell_efficiency {
            self.tell_efficiency = tick + TELL_EFFICIENCY;
            self.tell_engine();
        }
        if self.shown.is_due(tick) {
            let view = self.site.view(now);
            self.phases = self.shown.phases(&view);
            self.ask_for_unmeasured(tick, &view);
            self.census.looks(tick, is_moving(&view));
            self.look_for_sleepers(tick, &view);
            self.shown.publish(tick, view, &self.orders, self.machines.certificates());
        }
    }

    fn wakes_at(&self) -> Instant {
        let (now, tick) = (self.clock.of(Timestamp::now()), Instant::now());
        let in_time = |at: Timestamp| tick + Duration::try_from(at.duration_since(now)).unwrap_or_default();
        let mut wake = tick + TICK;
        wake = wake.min(self.shown.due());
        wake = self.site.poll_timeout().map(in_time).into_iter().fold(wake, Instant::min);
        for due in [self.calls.wakes_at(), self.compute_due(), self.people_due()] {
            wake = due.into_iter().fold(wake, Instant::min);
        }
        wake = self.unwritten.iter().fold(wake, |wake, (.., at)| wake.min(*at));
        if !self.census.is_under_way {
            wake = wake.min(self.census.at);
        }
        if self.rousing.contains(&true) {
            wake = wake.min(self.look_for_work);
        }
        wake
    }

    /// Does all that the site wants done.
    fn carry_out_all(&mut self, now: Timestamp, tick: Instant) {
        while let Some(output) = self.site.poll_output() {
            self.carry_out(now, tick, output);
        }
    }

    fn carry_out(&mut self, now: Timestamp, tick: Instant, output: Output) {
        let is_dry = self.orders.mode() == Mode::DryRun;
        self.shown.touch();
        match output {
            Output::Write { number, writes } => self.write(now, tick, number, writes),
            Output::Probe(key) => self.calls.probe(tick, key),
            // Nothing should want it; that nothing gets it is sure.
            Output::Command(..) | Output::Tell(..) if is_dry => {}
            Output::Command(key, command) => self.command(tick, key, command),
            Output::Withdraw(key) => {
                self.calls.forget_command(key);
                self.manual[key.group].forget_one(key);
            }
            Output::Tell(block, message) => self.tell_compute(block, self.clock.told(message)),
            Output::Dormant(group) => {
                self.dormant[group] = true;
                self.let_sleep(group);
            }
            Output::Rouse(group) => {
                self.rouse(group);
                self.rousing[group] = true;
                self.look_for_work = tick;
            }
            Output::Event(event) => self.shown.tell(now, event),
        }
    }

    fn write(&mut self, now: Timestamp, tick: Instant, number: u64, writes: Vec<Write>) {
        match self.journal.write(&writes, &self.names) {
            Ok(()) => {
                for write in writes {
                    if let Write::Receipt(receipt) = write {
                        self.shown.receipt(*receipt);
                    }
                }
                self.site.handle(now, Input::Written(number));
            }
            Err(error) => {
                error!("{error}; nothing is commanded or lent that rests on it; trying again");
                self.unwritten = Some((number, writes, tick + WRITE_AGAIN));
            }
        }
    }

    fn write_again(&mut self, now: Timestamp, tick: Instant) {
        if let Some((number, writes, _)) = self.unwritten.take_if(|(.., at)| *at <= tick) {
            self.write(now, tick, number, writes);
        }
    }

    /// The group's miners are about to wake: they are told the newest work again, and their pools are connected.
    fn rouse(&mut self, group: usize) {
        self.dormant[group] = false;
        let awake = self.miners.turn(false, |key| key.group == group);
        let errands = self.errands.clone();
        self.runtime.spawn(async move {
            errands.sleepers(awake, false).await;
            errands.rouse().await;
        });
    }

    /// Connections of those devices that sleep are silent for hours and welcome.
    fn let_sleep(&mut self, group: usize) {
        if !self.dormant[group] {
            return;
        }
        let site = &self.site;
        // Who turned up late still mines until it is asleep, or given up.
        let still_mines = |key: DeviceKey| site.device(key).is_some_and(Device::is_on_its_way);
        let sleeps = |key: DeviceKey| key.group == group && site.is_to_sleep(key) && !still_mines(key);
        let asleep = self.miners.turn(true, sleeps);
        if !asleep.is_empty() {
            let errands = self.errands.clone();
            self.runtime.spawn(async move { errands.sleepers(asleep, true).await });
        }
    }

    /// Tells groups that wait for it when every route in use has a pool with work.
    fn look_for_work(&mut self, now: Timestamp, tick: Instant) {
        if !self.rousing.contains(&true) || tick < self.look_for_work {
            return;
        }
        self.look_for_work = tick + LOOK_FOR_WORK;
        let totals = self.books.totals();
        let is_live = |pool: usize| totals.router.pools.get(pool).is_some_and(|pool| pool.connections > 0);
        let mut routes = totals.miners.iter().zip(&totals.router.active);
        if routes.all(|(miners, active)| *miners == 0 || active.is_some_and(is_live)) {
            for group in 0..self.rousing.len() {
                if std::mem::take(&mut self.rousing[group]) {
                    self.site.handle(now, Input::WorkReady(group));
                }
            }
        }
    }

    fn say_goodbye(&mut self) {
        self.write_sightings(self.clock.of(Timestamp::now()));
        self.keep_times();
        let view = self.site.view(self.clock.of(Timestamp::now()));
        let lent: Watts = view.blocks.iter().flatten().map(|block| block.granted).sum();
        let asleep: usize = view.groups.iter().flatten().map(|group| group.sleeping.iter().sum::<usize>()).sum();
        info!(
            "the power side ends: {asleep} devices were told to sleep and {} are lent to AI compute; both stay so, and the next start \
             goes on with them",
            lent.in_words()
        );
    }
}

/// What comes from outside of the thread.
struct Answers {
    answers: answers::Received,
    to_engine: watch::Receiver<Option<PowerFacts>>,
}

#[cfg(test)]
mod tests;
