//! A group against a simulated rack, in virtual time: the rack knows its own truth, and holds every output against it.

mod late;
mod one_meter;
mod random;
mod scenes;
mod tables;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{
    power::{
        device::{PowerMode, Sample, Shares},
        receipt::Receipt,
    },
    profit::JoulesPerTerahash,
};

const MOST: f64 = 3_600.0;
const MINING: f64 = 3_300.0;
const SLEEPING: f64 = 20.0;
/// Seconds between two measurements of a device.
const EVERY: i64 = 5;

fn watts(value: f64) -> Watts {
    Watts::new(value).unwrap()
}

/// The time so many seconds after the beginning.
fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// Four devices a minute, a canary of two.
fn terms() -> Terms {
    Terms {
        ramp_down: watts(4.0 * MOST),
        ramp_up: watts(4.0 * MOST),
        canary: 2,
        floor: Watts::ZERO,
        min_mining: Duration::ZERO,
        min_asleep: Duration::ZERO,
        patience: Patience {
            tries: 3,
            backoff: Duration::from_secs(10),
            fresh: Duration::from_secs(30),
            quiet: Duration::from_secs(20),
        },
        quiet_limit: Duration::from_secs(120),
        probe: Duration::from_secs(30),
        ask_again: Duration::from_secs(15),
        work_wait: Duration::from_secs(60),
        may_fail: Ratio::clamped(0.1),
        fault_retry: Duration::from_secs(300),
    }
}

/// Devices of rising J/TH: the last is the worst.
fn specs(count: usize) -> Vec<Spec> {
    let spec = |index: usize| Spec {
        name: format!("m{index}").into(),
        can_sleep: true,
        efficiency: JoulesPerTerahash::new(15.0 + index as f64),
        most: watts(MOST),
        sleep_max: watts(50.0),
        sleep_time: Duration::from_secs(30),
        wake_time: Duration::from_secs(180),
    };
    (0..count).map(spec).collect()
}

fn order(goal: Goal, urgent: bool) -> Input {
    let why = if goal == Goal::Sleep { "mining loses 3.1 $/MWh" } else { "mining earns 4.0 $/MWh" };
    Input::Order(Order { goal, urgent, why: why.into() }, MoneyPerMwh::new(100.0))
}

/// What a device really does.
#[derive(Debug, Clone)]
struct Miner {
    sleeps: bool,
    /// When it will do otherwise.
    changes: Option<(i64, bool)>,
    /// It says OK, and stays awake.
    lies: bool,
    is_reachable: bool,
    /// The last command: when, and whether it was to sleep.
    told: Option<(Timestamp, bool)>,
    is_permitted: bool,
    /// While it boots it draws, and finds nothing.
    surges: bool,
    /// It falls asleep so many seconds after it was told, whatever it is told meanwhile.
    dozes: Option<i64>,
    falls_asleep: Option<i64>,
    finds_shares: bool,
    mode: &'static str,
}

impl Miner {
    fn new() -> Self {
        Self {
            sleeps: false,
            changes: None,
            lies: false,
            is_reachable: true,
            told: None,
            is_permitted: true,
            surges: false,
            dozes: None,
            falls_asleep: None,
            finds_shares: true,
            mode: "low",
        }
    }
}

/// The rack, the disk, the pool and the ledger around a group.
struct Rack {
    group: Group,
    second: i64,
    miners: Vec<Miner>,
    /// What is on disk, and what is being written.
    disk: Option<Record>,
    writing: Option<Record>,
    /// Whether the ledger says yes.
    has_room: bool,
    /// Of one question, devices.
    most_at_once: usize,
    /// Miners that draw find shares …
    finds_shares: bool,
    /// … of which is told every so many seconds.
    counts_every: i64,
    found: Vec<(usize, Shares)>,
    pool_answers: bool,
    locked: bool,
    has_emergency: bool,
    /// Each miner's reading is an equal share of what all draw.
    has_one_meter: bool,
    /// Commands whose calls have not begun, with whether they are an emergency's; and whether calls have to wait.
    waiting: BTreeMap<usize, (Command, bool)>,
    is_busy: bool,
    commands: Vec<(i64, bool)>,
    freed: BTreeMap<usize, Watts>,
    receipts: Vec<Receipt>,
    told: Vec<String>,
    specs: Vec<Spec>,
    terms: Terms,
}

impl Rack {
    fn new(specs: Vec<Spec>, terms: Terms) -> Self {
        let group = Group::new("hall".into(), terms.clone(), specs.clone(), at(0));
        Self {
            group,
            second: 0,
            miners: vec![Miner::new(); specs.len()],
            disk: None,
            writing: None,
            has_room: true,
            most_at_once: usize::MAX,
            finds_shares: true,
            counts_every: 1,
            found: Vec::new(),
            pool_answers: true,
            locked: false,
            has_emergency: false,
            has_one_meter: false,
            waiting: BTreeMap::new(),
            is_busy: false,
            commands: Vec::new(),
            freed: BTreeMap::new(),
            receipts: Vec::new(),
            told: Vec::new(),
            specs,
            terms,
        }
    }

    fn says(&mut self, input: Input) {
        match &input {
            Input::Lock(_) => self.locked = true,
            Input::Unlock => self.locked = false,
            Input::Order(order, _) if order.urgent => {
                self.has_emergency = true;
                // What waits is one now.
                self.waiting.values_mut().for_each(|(command, urgent)| *urgent = *command == Command::Sleep);
            }
            Input::Order(order, _) if order.goal == Goal::Mine => self.has_emergency = false,
            _ => {}
        }
        self.group.handle(at(self.second), input);
        self.does();
    }

    fn joins(&mut self, spec: Spec) {
        self.specs.push(spec.clone());
        self.miners.push(Miner::new());
        self.says(Input::Joined(spec));
    }

    fn passes(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.second += 1;
            self.tick();
        }
    }

    /// Until the group is there; panics when it does not get there.
    fn until(&mut self, phase: Phase, limit: i64) {
        let end = self.second + limit;
        while self.group.phase() != phase {
            assert!(self.second < end, "{phase:?} is not reached:\n{}", self.told.join("\n"));
            self.passes(1);
        }
    }

    /// Calls begin.
    fn calls(&mut self) {
        while let Some((index, (command, urgent))) = self.waiting.pop_first() {
            self.group.handle(at(self.second), Input::Sent(index));
            self.obeys(index, &command, urgent);
        }
    }

    fn crashes(&mut self) {
        self.writing = None;
        self.waiting.clear();
        // An end of it that was not written is forgotten with all else.
        self.has_emergency = self.disk.as_ref().is_some_and(|record| record.order.urgent);
        let (terms, specs) = (self.terms.clone(), self.specs.clone());
        self.group = match &self.disk {
            Some(record) => {
                // What is read back is what was written, through JSON.
                let text = serde_json::to_string(record).unwrap();
                let read: Record = serde_json::from_str(&text).unwrap();
                assert_eq!(&read, record);
                Group::rebuild("hall".into(), terms, specs, &read, at(self.second))
            }
            None => Group::new("hall".into(), terms, specs, at(self.second)),
        };
        self.told.push(format!("{:>5} crash", self.second));
        self.does();
    }

    fn tick(&mut self) {
        let now = at(self.second);
        if let Some(record) = self.writing.take() {
            let number = record.number;
            self.disk = Some(record);
            self.group.handle(now, Input::Persisted(number));
            self.does();
        }
        for miner in &mut self.miners {
            if let Some((_, sleeps)) = miner.changes.take_if(|(at, _)| *at <= self.second) {
                miner.sleeps = sleeps;
            }
        }
        for miner in &mut self.miners {
            if miner.falls_asleep.take_if(|at| *at <= self.second).is_some() {
                (miner.sleeps, miner.changes) = (true, None);
            }
        }
        let surges = |miner: &Miner| miner.surges && matches!(miner.changes, Some((_, false)));
        let draws = |miner: &Miner| if miner.sleeps && !surges(miner) { SLEEPING } else { MINING };
        let share = self.miners.iter().map(draws).sum::<f64>() / self.miners.len() as f64;
        for index in 0..self.miners.len() {
            let miner = &mut self.miners[index];
            if (self.second + index as i64) % EVERY != 0 {
                continue;
            }
            let (sleeps, mode) = (miner.sleeps, PowerMode(miner.mode.into()));
            let input = if miner.is_reachable {
                let drawn = watts(if self.has_one_meter { share } else { draws(miner) });
                Input::Sample(index, Sample { at: now, watts: drawn, mode: Some(mode) })
            } else {
                Input::Unreachable(index)
            };
            self.group.handle(now, input);
            self.does();
            if !sleeps && self.finds_shares && self.miners[index].finds_shares {
                let accepted = u64::from(self.pool_answers);
                self.found.push((index, Shares { found: 1, submitted: 1, accepted, ..Shares::default() }));
            }
        }
        if self.second % self.counts_every == 0 {
            for (index, shares) in std::mem::take(&mut self.found) {
                self.group.handle(now, Input::Shares(index, shares));
                self.does();
            }
            self.group.handle(now, Input::Counted(now));
            self.does();
        }
        // More turns than this in one second would be a loop.
        for _ in 0..100 {
            match self.group.poll_timeout() {
                Some(due) if due <= now => self.group.handle_timeout(now),
                _ => return,
            }
            self.does();
        }
        panic!("at {} it has always something to do:\n{}", self.second, self.told.join("\n"));
    }

    fn does(&mut self) {
        while let Some(output) = self.group.poll_output() {
            match output {
                Output::Persist(record) => self.writing = Some(record),
                Output::Command(index, command) => {
                    let waits = (command, self.has_emergency);
                    assert!(self.waiting.insert(index, waits).is_none(), "m{index} is told twice at once");
                    if !self.is_busy {
                        self.calls();
                    }
                }
                Output::Withdraw(index) => {
                    assert!(self.waiting.remove(&index).is_some(), "nothing of m{index} waits");
                }
                Output::Ledger(request) => self.answers(request),
                Output::Rouse => self.group.handle(at(self.second), Input::WorkReady),
                Output::Receipt(receipt) => {
                    let shares = receipt.shares;
                    assert_eq!(
                        shares.in_flight_at_start + shares.submitted,
                        shares.accepted + shares.rejected + shares.timed_out + shares.in_flight_at_end,
                        "{receipt:?}"
                    );
                    self.receipts.push(*receipt);
                }
                Output::Event(event) => self.told.push(format!("{:>5} {event}", self.second)),
                Output::Probe(_) | Output::Dormant => {}
            }
        }
    }

    fn obeys(&mut self, index: usize, command: &Command, urgent: bool) {
        let is_sleep = *command == Command::Sleep;
        self.told.push(format!("{:>5} m{index}: {command:?}", self.second));
        let story = || self.told.join("\n");
        assert!(is_sleep || !self.locked, "m{index} is woken under a lockout:\n{}", story());
        let name = &self.specs[index].name;
        let is_recorded = self.disk.as_ref().is_some_and(|disk| disk.devices.iter().any(|device| device.name == *name));
        assert!(is_recorded, "m{index} is commanded and no record says so:\n{}", story());
        assert!(self.specs[index].can_sleep, "m{index} cannot be managed:\n{}", story());
        self.commands.push((self.second, is_sleep));
        let minute = self.commands.iter().filter(|(at, way)| *at > self.second - 60 && *way == is_sleep).count();
        let is_exempt = is_sleep && urgent;
        assert!(is_exempt || minute <= 4, "{minute} commands within a minute:\n{}", story());
        let second = self.second;
        let miner = &mut self.miners[index];
        assert!(is_sleep || miner.is_permitted, "m{index} is woken without permission");
        miner.told = Some((at(second), is_sleep));
        if let Command::Wake(mode) = command {
            assert_eq!(mode.as_ref().map(|mode| &*mode.0), Some("low"), "m{index} is woken in another mode");
        }
        // Who boots hears nothing, and says OK.
        let is_booting = matches!(miner.changes, Some((_, false)));
        if let (true, Some(seconds), true) = (is_sleep, miner.dozes, miner.is_reachable) {
            miner.falls_asleep = Some(second + seconds);
        } else if !(is_sleep && (miner.lies || is_booting)) && miner.is_reachable {
            // Sleep is quick, waking is not.
            miner.changes = Some((second + if is_sleep { 8 } else { 60 }, is_sleep));
        }
    }

    fn answers(&mut self, request: Request) {
        match request {
            Request::AskIncrease { ask, devices, .. } => {
                let allowed = if self.has_room { devices.len().min(self.most_at_once) } else { 0 };
                for index in devices.into_iter().take(allowed) {
                    self.miners[index].is_permitted = true;
                    self.freed.remove(&index);
                }
                self.group.handle(at(self.second), Input::Permission(ask, allowed));
            }
            Request::Freed { device, watts, measured_at } => {
                let miner = &mut self.miners[device];
                // A crash forgets no command: the rack remembers.
                assert!(
                    miner.told.is_none_or(|(told, is_sleep)| is_sleep && measured_at > told),
                    "m{device} is freed by a measurement of {measured_at} after {:?}:\n{}",
                    miner.told,
                    self.told.join("\n")
                );
                let will_wake = matches!(miner.changes, Some((_, false)));
                assert!(!will_wake, "m{device} is freed and boots:\n{}", self.told.join("\n"));
                assert!(miner.sleeps && watts.get() == SLEEPING, "m{device} is freed and draws");
                miner.is_permitted = false;
                self.freed.insert(device, watts);
            }
            Request::Drawing { device, .. } => {
                self.freed.remove(&device);
                self.miners[device].is_permitted = true;
            }
            Request::WantBack(_) => {}
        }
    }

    fn asleep(&self) -> usize {
        self.miners.iter().filter(|miner| miner.sleeps).count()
    }

    fn heard(&self, words: &str) -> bool {
        self.told.iter().any(|line| line.contains(words))
    }

    /// The numbers of the devices that were commanded, in order.
    fn commanded(&self, command: &str) -> Vec<&str> {
        let lines = self.told.iter().filter(|line| line.contains(&format!(": {command}")));
        lines.filter_map(|line| line.split_once(" m")?.1.split(':').next()).collect()
    }
}
