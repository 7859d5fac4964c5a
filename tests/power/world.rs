//! The site's machine, a plant that it does not know, a disk and a network between them, second by second.

use std::collections::BTreeMap;

use hashgate::{
    power::{
        device::{Goal, Sample, Shares},
        group::{Command as GroupCommand, Order, Record},
        ledger::{Booking, DeviceId, Entry, Epoch, LeaseId, Reading},
        site::{DeviceKey, Input, LeaseAnswer, LeaseMessage, LeaseOrder, Output, Site, Status, Write},
    },
    profit::Watts,
    sim::plant::{AiAnswer, AiMessage, Command, Lie, Misconduct, Plant},
};
use jiff::Timestamp;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    network::Network,
    terms::{self, AI_CAPACITY, AI_IDLE, ASICS, BACK_UNDER, CAP, GROUPS, LATE},
};

#[derive(Clone, Debug)]
enum Message {
    // to the plant
    AskAsic { key: DeviceKey, asked: u64 },
    AskAi { asked: u64 },
    Command { asic: usize, command: Command },
    Ai(AiMessage),
    // to the controller
    Asic { key: DeviceKey, asked: u64, watts: f64 },
    AiDraws { asked: u64, watts: f64, epoch: u32 },
    Meter { at: u64, watts: f64 },
    AiSays { lease: u64, answer: AiAnswer },
}

/// The controller died at this step.
pub struct Crash;

/// What a run has to show.
#[derive(Debug, Default, Clone, Copy)]
pub struct Outcome {
    pub grants: usize,
    pub returns: usize,
    pub wakes: usize,
    pub receipts: usize,
    pub crashes: usize,
    pub blips: usize,
    /// Watt-seconds that AI compute drew beyond its idle draw.
    pub ai_energy: f64,
    /// The highest true draw outside of a blip's time.
    pub peak: f64,
    /// Seconds over the cap outside of a blip's time.
    pub over: u64,
    /// The longest of these in a row.
    pub longest_over: u64,
    /// The longest that a blip had the site over its cap, in seconds of a running controller.
    pub slowest: u64,
    /// Writes and messages: the points where it may die.
    pub steps: u64,
    /// Machines that were told to sleep within seconds after they were found.
    pub late_told: usize,
}

/// What is on its way for no longer than this, most of the time.
const SOON: u64 = 9;

/// What is on disk.
#[derive(Default)]
struct Disk {
    entries: Vec<Entry>,
    records: BTreeMap<usize, Record>,
    /// What the entries add up to: whether a device may be awake, and the leases that are out, with whether they are asked back.
    held: BTreeMap<DeviceId, bool>,
    leases: BTreeMap<LeaseId, bool>,
}

pub struct World {
    pub plant: Plant,
    network: Network<Message>,
    rng: StdRng,
    disk: Disk,
    /// Being written: by when, and what.
    writing: Option<(u64, u64, Vec<Write>)>,
    epoch: u32,
    site: Option<Site>,
    restart_at: u64,
    goal_until: u64,
    over_in_a_row: u64,
    blip_at: Option<u64>,
    /// Dies with this probability at each step.
    pub crash: f64,
    /// And surely at this one.
    pub crash_at: Option<u64>,
    /// From this second on, AI compute misbehaves.
    pub misconduct: Option<(u64, Misconduct)>,
    /// Until this second, [`LATE`] machines of each hall mine and are not known.
    pub late: u64,
    pub outcome: Outcome,
}

pub fn time(second: u64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second as i64).unwrap()
}

fn watts(value: f64) -> Watts {
    Watts::new(value).unwrap()
}

fn reading(at: u64, value: f64) -> Reading {
    Reading { watts: watts(value), taken_at: time(at) }
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            plant: terms::plant(seed),
            network: Network::new(),
            rng: StdRng::seed_from_u64(seed ^ 0x9e37_79b9),
            disk: Disk::default(),
            writing: None,
            epoch: 0,
            site: None,
            restart_at: 0,
            goal_until: 0,
            over_in_a_row: 0,
            blip_at: None,
            crash: 0.0,
            crash_at: None,
            misconduct: None,
            late: 0,
            outcome: Outcome::default(),
        }
    }

    /// Runs for so many seconds; a blip wakes everybody at `blip_at`.
    pub fn run(&mut self, seconds: u64, blip_at: Option<u64>) {
        let mut since_blip = None;
        self.blip_at = blip_at;
        for _ in 0..seconds {
            self.plant.step();
            let now = self.plant.now();
            if blip_at == Some(now) {
                self.plant.wake_all_unasked();
                self.outcome.blips += 1;
                since_blip = Some(0);
            }
            if let Some((_, misconduct)) = self.misconduct.filter(|(at, _)| *at == now) {
                self.plant.corrupt_ai(Some(misconduct));
            }
            if self.second(now).is_err() {
                (self.site, self.writing) = (None, None);
                self.outcome.crashes += 1;
                self.restart_at = now + self.rng.random_range(1..90);
            }
            // The site's time to react is the controller's: while none runs, nothing can.
            if let (Some(since), Some(_)) = (&mut since_blip, &self.site) {
                *since += 1;
            }
            self.judge(since_blip);
        }
    }

    fn judge(&mut self, since_blip: Option<u64>) {
        let is_over = self.plant.true_watts() > CAP;
        match since_blip {
            Some(since) if since <= BACK_UNDER => {
                if is_over {
                    self.outcome.slowest = since;
                }
            }
            _ => {
                self.outcome.peak = self.outcome.peak.max(self.plant.true_watts());
                self.outcome.over += u64::from(is_over);
                self.over_in_a_row = if is_over { self.over_in_a_row + 1 } else { 0 };
                self.outcome.longest_over = self.outcome.longest_over.max(self.over_in_a_row);
            }
        }
        self.outcome.ai_energy += self.plant.ai_watts() - AI_IDLE;
    }

    fn second(&mut self, now: u64) -> Result<(), Crash> {
        if now.is_multiple_of(3) {
            let watts = self.plant.read_meter();
            self.network.send(now, Message::Meter { at: now, watts }, &mut self.rng);
        }
        if self.site.is_none() && now >= self.restart_at {
            self.start(now);
            self.does(now)?;
        } else if now == self.late {
            self.find(now)?;
        }
        if self.site.is_some() {
            self.ask(now);
        }
        for message in self.network.arrivals(now) {
            self.arrive(now, message)?;
        }
        if let Some((_, number, writes)) = self.writing.take_if(|(at, ..)| *at <= now) {
            self.may_die()?;
            self.take(writes);
            self.may_die()?;
            self.hear(now, Input::Written(number))?;
        }
        if self.site.is_some() && now >= self.goal_until {
            let wanted = self.decide(now);
            self.hear(now, wanted)?;
        }
        while let Some(site) = self.site.as_mut().filter(|site| site.poll_timeout().is_some_and(|at| at <= time(now))) {
            site.handle_timeout(time(now));
            self.does(now)?;
        }
        Ok(())
    }

    fn start(&mut self, now: u64) {
        self.epoch += 1;
        let records = (0..GROUPS).map(|group| self.disk.records.get(&group).cloned()).collect();
        let devices = terms::devices(&self.plant, self.known(now));
        self.site = Some(Site::new(terms::site(), Epoch(self.epoch), &self.disk.entries, devices, records, time(now)));
        // A controller that was there before is told nothing at first.
        self.goal_until = if self.epoch == 1 { now } else { now + self.rng.random_range(0..90) };
    }

    /// How many devices of each hall are known: the late ones are the last.
    fn known(&self, now: u64) -> usize {
        ASICS / GROUPS - if now < self.late { LATE } else { 0 }
    }

    /// The late ones are found.
    fn find(&mut self, now: u64) -> Result<(), Crash> {
        for group in 0..GROUPS {
            for device in ASICS / GROUPS - LATE..ASICS / GROUPS {
                let joining = terms::joining(&self.plant, terms::asic(group, device));
                self.hear(now, Input::Joined(group, joining))?;
            }
        }
        Ok(())
    }

    /// Prices, more or less: both halls mine, or one sleeps for AI compute, or both.
    fn decide(&mut self, now: u64) -> Input {
        self.goal_until = now + self.rng.random_range(200..600);
        let order = |goal: Goal| {
            let why = if goal == Goal::Sleep { "AI pays more" } else { "mining pays" };
            Some((Order { goal, urgent: false, why: why.into() }, None))
        };
        let asleep = if self.epoch == 1 && now < 10 { 2 } else { self.rng.random_range(0..=GROUPS) };
        let first = self.rng.random_range(0..GROUPS);
        let sleeps = |group: usize| (group + first) % GROUPS < asleep;
        let groups = (0..GROUPS).map(|group| order(if sleeps(group) { Goal::Sleep } else { Goal::Mine })).collect();
        let share = asleep as f64 / GROUPS as f64;
        let wanted =
            watts(AI_CAPACITY * share * if self.rng.random_bool(0.6) { 1.0 } else { self.rng.random_range(0.2..1.0) });
        // An operator's order moves groups, and leaves AI compute as it is.
        let is_operators = self.rng.random_bool(0.15);
        Input::Wanted { groups, blocks: vec![(!is_operators).then_some(wanted)] }
    }

    /// Readings of all: every 5 s, and what moves every 2 s.
    fn ask(&mut self, now: u64) {
        let Some(site) = &self.site else { return };
        for group in 0..GROUPS {
            for device in 0..self.known(now) {
                let key = DeviceKey { group, device };
                let asic = terms::asic(group, device);
                if (now + asic as u64).is_multiple_of(5) || now.is_multiple_of(2) && site.is_moving(key) {
                    self.network.send(now, Message::AskAsic { key, asked: now }, &mut self.rng);
                }
            }
        }
        if now.is_multiple_of(5) {
            self.network.send(now, Message::AskAi { asked: now }, &mut self.rng);
        }
    }

    /// A step: here it may die.
    fn may_die(&mut self) -> Result<(), Crash> {
        self.outcome.steps += 1;
        let dies = self.crash_at == Some(self.outcome.steps) || self.rng.random_bool(self.crash);
        if dies { Err(Crash) } else { Ok(()) }
    }

    fn send(&mut self, now: u64, message: Message) -> Result<(), Crash> {
        self.network.send(now, message, &mut self.rng);
        self.may_die()
    }

    fn arrive(&mut self, now: u64, message: Message) -> Result<(), Crash> {
        match message {
            Message::AskAsic { key, asked } => {
                if let Some(watts) = self.plant.read_asic(terms::asic(key.group, key.device)) {
                    self.network.send(now, Message::Asic { key, asked, watts }, &mut self.rng);
                }
            }
            Message::AskAi { asked } => {
                let (watts, epoch) = self.plant.read_ai();
                self.network.send(now, Message::AiDraws { asked, watts, epoch }, &mut self.rng);
            }
            // Its word means nothing, and nobody listens to it.
            Message::Command { asic, command } => {
                self.plant.command(asic, command);
            }
            Message::Ai(message) => {
                let (AiMessage::Grant { lease, .. } | AiMessage::Revoke { lease, .. }) = message;
                let answer = self.plant.tell_ai(message);
                self.network.send(now, Message::AiSays { lease, answer }, &mut self.rng);
            }
            Message::Asic { key, asked, watts: drawn } => {
                let sample = Sample { at: time(asked), watts: watts(drawn), mode: None };
                self.hear(now, Input::Sample(key, sample))?;
                // Who mines finds shares, whatever its watts say.
                if self.plant.is_mining(terms::asic(key.group, key.device)) {
                    let shares = Shares { found: 1, submitted: 1, accepted: 1, ..Shares::default() };
                    self.hear(now, Input::Shares(key, shares))?;
                }
                self.hear(now, Input::Counted(time(now)))?;
            }
            Message::AiDraws { asked, watts, epoch } => {
                let status = Status { epoch: Epoch(epoch), drawn: reading(asked, watts), state: "running".into() };
                self.hear(now, Input::Status(0, status))?;
            }
            Message::Meter { at, watts } => self.hear(now, Input::Meter(reading(at, watts)))?,
            Message::AiSays { lease, answer } => {
                let answer = match answer {
                    AiAnswer::Taken => LeaseAnswer::Taken,
                    AiAnswer::Refused => LeaseAnswer::Refused,
                    AiAnswer::Releasing => LeaseAnswer::Releasing,
                    AiAnswer::Released => LeaseAnswer::Released,
                };
                self.hear(now, Input::Answer(0, LeaseId(lease), answer))?;
            }
        }
        Ok(())
    }

    fn hear(&mut self, now: u64, input: Input) -> Result<(), Crash> {
        if let Some(site) = &mut self.site {
            site.handle(time(now), input);
        }
        self.does(now)
    }

    /// Does what the machine wants done.
    fn does(&mut self, now: u64) -> Result<(), Crash> {
        while let Some(output) = self.site.as_mut().and_then(Site::poll_output) {
            match output {
                Output::Write { number, writes } => {
                    assert!(self.writing.is_none(), "two writes at a time");
                    // A disk is slow at times.
                    let at = if self.rng.random_bool(0.1) { now + self.rng.random_range(1..4) } else { now };
                    self.writing = Some((at, number, writes));
                    self.may_die()?;
                    if at == now
                        && let Some((_, number, writes)) = self.writing.take()
                    {
                        self.take(writes);
                        self.may_die()?;
                        if let Some(site) = &mut self.site {
                            site.handle(time(now), Input::Written(number));
                        }
                    }
                }
                Output::Probe(key) => self.send(now, Message::AskAsic { key, asked: now })?,
                Output::Command(key, command) => {
                    if let Some(site) = &mut self.site {
                        site.handle(time(now), Input::Sent(key));
                    }
                    let asic = terms::asic(key.group, key.device);
                    let command = match command {
                        GroupCommand::Sleep => {
                            let is_late = key.device >= ASICS / GROUPS - LATE;
                            let is_soon = (self.late..self.late + SOON).contains(&now);
                            self.outcome.late_told += usize::from(is_late && is_soon);
                            Command::Sleep
                        }
                        GroupCommand::Wake(_) => {
                            let id = DeviceId::from(format!("asic-{asic}").as_str());
                            assert_ne!(
                                self.disk.held.get(&id),
                                Some(&false),
                                "asic-{asic} is woken and booked as asleep"
                            );
                            self.outcome.wakes += 1;
                            Command::Wake
                        }
                    };
                    self.send(now, Message::Command { asic, command })?;
                }
                Output::Tell(_, message) => {
                    let message = self.ai_message(&message);
                    self.send(now, Message::Ai(message))?;
                }
                Output::Rouse(group) => {
                    if let Some(site) = &mut self.site {
                        site.handle(time(now), Input::WorkReady(group));
                    }
                }
                Output::Event(event) => self.told(now, &event.words),
                Output::Dormant(_) | Output::Withdraw(_) => {}
            }
        }
        Ok(())
    }

    /// Lines reach the disk.
    fn take(&mut self, writes: Vec<Write>) {
        for write in &writes {
            if let Write::Entry(Entry { what: Booking::Freed { device, .. }, .. }) = write {
                self.must_sleep(device);
            }
        }
        self.disk.take(writes, &mut self.outcome);
    }

    /// What is booked as free is; but for a blip since its proof, and for who wakes by itself or hides what it draws.
    fn must_sleep(&self, device: &DeviceId) {
        let asic: usize = device.as_str().trim_start_matches("asic-").parse().unwrap();
        let (drawn, lie) = self.plant.truth(asic);
        let is_after_blip = self.blip_at.is_some_and(|at| (at..at + 30).contains(&self.plant.now()));
        if !is_after_blip && matches!(lie, None | Some(Lie::StaysAwake)) {
            assert!(drawn < 60.0, "{device} is booked as asleep and draws {drawn} W");
        }
    }

    fn told(&self, now: u64, words: &str) {
        if std::env::var_os("HASHGATE_STORY").is_some() {
            println!("{now:>5} {words}");
        }
    }

    fn ai_message(&self, message: &LeaseMessage) -> AiMessage {
        let LeaseMessage { lease, epoch, what } = *message;
        let second = |at: Timestamp| (at.as_second() - 1_800_000_000).max(0) as u64;
        match what {
            LeaseOrder::Grant { watts, expires } => {
                assert_eq!(self.disk.leases.get(&lease), Some(&false), "lease {lease} is told and not in the book");
                let (watts, expires) = (watts.get(), second(expires));
                AiMessage::Grant { lease: lease.0, epoch: epoch.0, watts, expires }
            }
            LeaseOrder::Revoke { deadline, .. } => {
                AiMessage::Revoke { lease: lease.0, is_urgent: second(deadline) <= self.plant.now() }
            }
        }
    }
}

impl Disk {
    fn take(&mut self, writes: Vec<Write>, outcome: &mut Outcome) {
        for write in writes {
            match write {
                Write::Entry(entry) => {
                    match &entry.what {
                        Booking::Hold { device, .. } => drop(self.held.insert(device.clone(), true)),
                        Booking::Freed { device, .. } => drop(self.held.insert(device.clone(), false)),
                        Booking::Lease { lease, .. } => {
                            outcome.grants += 1;
                            self.leases.insert(*lease, false);
                        }
                        Booking::Revoke { lease, .. } => drop(self.leases.insert(*lease, true)),
                        Booking::Returned { lease, .. } => {
                            outcome.returns += 1;
                            self.leases.remove(lease);
                        }
                    }
                    self.entries.push(entry);
                }
                Write::Record(group, record) => drop(self.records.insert(group, record)),
                Write::Receipt(_) => outcome.receipts += 1,
            }
        }
    }
}
