//! A controller on the ledger, a plant that it does not know, and the network between them, second by second.

use hashgate::{
    power::ledger::{
        BlockId, BlockRules, Booking, DeviceId, DeviceRules, Entry, Epoch, Ledger, MeterRules, Reading, Rules,
    },
    profit::{Ratio, Watts},
    sim::plant::{AiAnswer, AiMessage, Command, Plant, PlantSettings},
};
use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::network::{LONGEST, Network};

/// What the ASICs' bounds alone reach: the site is oversubscribed when everybody mines.
pub const CAP: f64 = 240e3;
const ASICS: usize = 60;
/// 5 %.
const LIARS: usize = 3;
const NAMEPLATE: f64 = 3_500.0;
const PUE: f64 = 1.25;
const AI_CAPACITY: f64 = 100e3;
const AI_IDLE: f64 = 5e3;
/// Two liars may wake unasked at once (one resets, one wakes by itself): 3.94 kW each at the meter; and the noise of the meter.
const RESERVE: f64 = 10e3;

/// After a blip woke everybody, the site is under its cap again in so many seconds that a controller ran: some readings of the meter
/// get lost (3 s apart, most within 4 s), a revocation is repeated every second, AI compute gives back in 10 s and fades in 8. If it
/// drew nothing just then, booting ASICs must be silent for 30 s before the meter is compared without them, some 15 s apart.
pub const BACK_UNDER: u64 = 120;

#[derive(Clone, Debug)]
enum Message {
    // to the plant
    AskAsic { asic: usize, asked: u64 },
    AskAi { asked: u64 },
    Command { asic: usize, command: Command },
    Ai(AiMessage),
    // to the controller
    Asic { asic: usize, asked: u64, watts: f64 },
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
    pub crashes: usize,
    pub blips: usize,
    /// Watt-seconds that AI compute drew beyond its idle draw.
    pub ai_energy: f64,
    /// The highest true draw outside of a blip's time.
    pub peak: f64,
    /// Seconds over the cap outside of a blip's time.
    pub over: u64,
    /// The longest that a blip had the site over its cap, in seconds of a running controller.
    pub slowest: u64,
    /// Journal entries and messages: the points where it may die.
    pub steps: u64,
}

pub struct World {
    pub plant: Plant,
    network: Network<Message>,
    rng: StdRng,
    /// The file.
    journal: Vec<Entry>,
    epoch: u32,
    controller: Option<Controller>,
    restart_at: u64,
    /// Dies with this probability at each step.
    pub crash: f64,
    /// And surely at this one.
    pub crash_at: Option<u64>,
    pub outcome: Outcome,
}

/// What dies in a crash.
struct Controller {
    ledger: Ledger,
    /// When each was told to sleep.
    slept_at: Vec<Option<u64>>,
    /// When each was last told anything.
    told_at: Vec<u64>,
    /// What AI compute is to have.
    goal: f64,
    goal_until: u64,
}

pub fn time(second: u64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second as i64).unwrap()
}

fn watts(value: f64) -> Watts {
    Watts::new(value).unwrap()
}

fn ratio(value: f64) -> Ratio {
    Ratio::new(value).unwrap()
}

fn device(asic: usize) -> DeviceId {
    DeviceId::from(format!("asic-{asic}").as_str())
}

fn block() -> BlockId {
    BlockId::from("gpus")
}

fn rules() -> Rules {
    let seconds = SignedDuration::from_secs;
    Rules {
        cap: watts(CAP),
        base_load: watts(10e3),
        reserve: watts(RESERVE),
        drift: watts(25.0),
        max_age: seconds(30),
        // The network's longest, and a firmware that acts 21 s after it was told.
        command_lifetime: seconds(LONGEST as i64 + 25),
        proofs: 3,
        meter: Some(MeterRules { max_age: seconds(15), deviation: ratio(0.1) }),
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        let settings = PlantSettings {
            asics: ASICS,
            liars: LIARS,
            nameplate: NAMEPLATE,
            ai_idle: AI_IDLE * 0.98,
            base_load: 10e3,
        };
        Self {
            plant: Plant::new(seed, settings),
            network: Network::new(),
            rng: StdRng::seed_from_u64(seed ^ 0x9e37_79b9),
            journal: Vec::new(),
            epoch: 0,
            controller: None,
            restart_at: 0,
            crash: 0.0,
            crash_at: None,
            outcome: Outcome::default(),
        }
    }

    /// Runs for so many seconds; a blip wakes everybody at `blip_at`.
    pub fn run(&mut self, seconds: u64, blip_at: Option<u64>) {
        let mut since_blip = None;
        for _ in 0..seconds {
            self.plant.step();
            let now = self.plant.now();
            if blip_at == Some(now) {
                self.plant.wake_all_unasked();
                self.outcome.blips += 1;
                since_blip = Some(0);
            }
            self.second(now);
            // The site's time to react is the controller's: while none runs, nothing can.
            if let (Some(since), Some(_)) = (&mut since_blip, &self.controller) {
                *since += 1;
            }
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
                }
            }
            self.outcome.ai_energy += self.plant.ai_watts() - AI_IDLE;
        }
    }

    fn second(&mut self, now: u64) {
        if now.is_multiple_of(3) {
            let watts = self.plant.read_meter();
            self.network.send(now, Message::Meter { at: now, watts }, &mut self.rng);
        }
        if self.controller.is_none() && now >= self.restart_at {
            self.start(now);
        }
        for message in self.network.arrivals(now) {
            self.arrive(now, message);
        }
        if let Some(mut controller) = self.controller.take() {
            match self.act(now, &mut controller) {
                Ok(()) => self.controller = Some(controller),
                Err(Crash) => {
                    self.outcome.crashes += 1;
                    self.restart_at = now + self.rng.random_range(1..90);
                }
            }
        }
    }

    fn start(&mut self, now: u64) {
        self.epoch += 1;
        let devices = (0..ASICS).map(|asic| {
            let configured_max = self.plant.configured_max(asic).map(watts);
            let (nameplate, sleep_max) = (watts(NAMEPLATE), watts(60.0));
            (device(asic), DeviceRules { nameplate, configured_max, sleep_max, overhead: ratio(1.03), is_read: true })
        });
        let gpus = BlockRules {
            capacity: watts(AI_CAPACITY),
            idle: watts(AI_IDLE * 1.03),
            overhead: ratio(PUE),
            tolerance: ratio(0.03),
        };
        let ledger = Ledger::rebuild(rules(), devices, [(block(), gpus)], Epoch(self.epoch), &self.journal);
        let (slept_at, told_at) = (vec![None; ASICS], vec![now; ASICS]);
        // A controller that was there before wakes everybody first.
        let (goal, goal_until) = if self.epoch == 1 { (0.6 * AI_CAPACITY, now + 400) } else { (0.0, now + 60) };
        self.controller = Some(Controller { ledger, slept_at, told_at, goal, goal_until });
    }

    /// A step: here it may die.
    fn may_die(&mut self) -> Result<(), Crash> {
        self.outcome.steps += 1;
        let dies = self.crash_at == Some(self.outcome.steps) || self.rng.random_bool(self.crash);
        if dies { Err(Crash) } else { Ok(()) }
    }

    /// Writes to the book, then takes it over.
    fn book(&mut self, controller: &mut Controller, entry: Entry) -> Result<(), Crash> {
        self.may_die()?;
        self.journal.push(entry.clone());
        self.may_die()?;
        controller.ledger.apply(&entry);
        Ok(())
    }

    fn send(&mut self, now: u64, message: Message) -> Result<(), Crash> {
        self.network.send(now, message, &mut self.rng);
        self.may_die()
    }

    fn arrive(&mut self, now: u64, message: Message) {
        match message {
            Message::AskAsic { asic, asked } => {
                if let Some(watts) = self.plant.read_asic(asic) {
                    self.network.send(now, Message::Asic { asic, asked, watts }, &mut self.rng);
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
            told => self.hear(now, told),
        }
    }

    fn hear(&mut self, now: u64, message: Message) {
        let Some(controller) = &mut self.controller else { return };
        let ledger = &mut controller.ledger;
        let reading = |at, value| Reading { watts: watts(value), taken_at: time(at) };
        match message {
            Message::Asic { asic, asked, watts } => {
                // What repeats or is overtaken is ignored by the ledger.
                if let Ok(Some(entry)) = ledger.read_device(time(now), &device(asic), reading(asked, watts)) {
                    self.journal.push(entry.clone());
                    ledger.apply(&entry);
                }
            }
            Message::AiDraws { asked, watts, epoch } => {
                let _ = ledger.read_block(time(now), &block(), reading(asked, watts));
                ledger.see_epoch(Epoch(epoch));
            }
            Message::Meter { at, watts } => {
                let _ = ledger.read_meter(time(now), reading(at, watts));
            }
            Message::AiSays { lease, answer: AiAnswer::Released } => {
                ledger.acknowledge_release(&block(), hashgate::power::ledger::LeaseId(lease), time(now));
            }
            _ => {}
        }
    }

    /// What a controller does in a second.
    fn act(&mut self, now: u64, c: &mut Controller) -> Result<(), Crash> {
        if now.is_multiple_of(5) {
            for asic in 0..ASICS {
                self.network.send(now, Message::AskAsic { asic, asked: now }, &mut self.rng);
            }
            self.network.send(now, Message::AskAi { asked: now }, &mut self.rng);
        }
        if now >= c.goal_until {
            c.goal = if self.rng.random_bool(0.4) { 0.0 } else { self.rng.random_range(0.2..1.0) * AI_CAPACITY };
            c.goal_until = now + self.rng.random_range(200..600);
        }
        let shed = c.ledger.shed(time(now));
        if shed.is_some() {
            c.goal = 0.0;
            c.goal_until = now + 120;
        }
        self.leases(now, c, shed.is_some())?;
        self.devices(now, c)
    }

    fn leases(&mut self, now: u64, c: &mut Controller, is_urgent: bool) -> Result<(), Crash> {
        let leases: Vec<_> = c.ledger.leases().map(|(_, id, lease)| (id, *lease)).collect();
        let live: f64 = leases.iter().filter(|(_, l)| l.revoked.is_none()).map(|(_, l)| l.watts.get()).sum();
        let mut surplus = live - c.goal;
        for (id, lease) in leases {
            if lease.revoked.is_none() && (is_urgent || surplus > 5e3) {
                surplus -= lease.watts.get();
                if let Some(entry) = c.ledger.revoke(time(now), &block(), id) {
                    self.book(c, entry)?;
                }
            }
            let is_revoked = c.ledger.leases().any(|(_, other, lease)| other == id && lease.revoked.is_some());
            if is_revoked && (is_urgent || now.is_multiple_of(4)) {
                self.send(now, Message::Ai(AiMessage::Revoke { lease: id.0, is_urgent }))?;
            }
            if let Ok(entry) = c.ledger.returned(&block(), id) {
                self.book(c, entry)?;
                self.outcome.returns += 1;
            }
            let remaining = lease.expires.duration_since(time(now)).as_secs();
            if !is_revoked && (remaining < 60 || now.is_multiple_of(10)) {
                let expires = now + 120;
                if c.ledger.renew(time(now), &block(), id, time(expires)).is_ok() {
                    let (watts, epoch) = (lease.watts.get(), self.epoch);
                    self.send(now, Message::Ai(AiMessage::Grant { lease: id.0, epoch, watts, expires }))?;
                }
            }
        }
        let wanted = (c.goal - live).min(c.ledger.balance(time(now)).room().get() - 1.0);
        if wanted > 5e3
            && let Ok(entry) = c.ledger.grant(time(now), &block(), watts(wanted), time(now + 120))
        {
            let Booking::Lease { lease, .. } = entry.what else { unreachable!("a grant is a lease") };
            self.book(c, entry)?;
            self.outcome.grants += 1;
            let (epoch, expires) = (self.epoch, now + 120);
            self.send(now, Message::Ai(AiMessage::Grant { lease: lease.0, epoch, watts: wanted, expires }))?;
        }
        Ok(())
    }

    /// The last so many sleep that AI compute's goal needs; the liars are among those asked first.
    fn devices(&mut self, now: u64, c: &mut Controller) -> Result<(), Crash> {
        let asleep_wanted = ((c.goal / (NAMEPLATE * 1.03)) as usize + if c.goal > 0.0 { 8 } else { 0 }).min(ASICS);
        for asic in 0..asleep_wanted {
            let id = device(asic);
            if let Some(slept_at) = c.slept_at[asic]
                && !c.ledger.is_freed(&id)
                && let Ok(entry) = c.ledger.freed(&id, time(slept_at))
            {
                self.book(c, entry)?;
            }
            let repeat = now >= c.told_at[asic] + 20 && !c.ledger.is_freed(&id);
            if c.slept_at[asic].is_none() || repeat {
                c.slept_at[asic].get_or_insert(now);
                c.told_at[asic] = now;
                self.send(now, Message::Command { asic, command: Command::Sleep })?;
            }
        }
        if now.is_multiple_of(5) {
            // All that may sleep: after a start, nobody knows which do.
            let wakes: Vec<usize> = (asleep_wanted..ASICS)
                .filter(|asic| c.ledger.is_freed(&device(*asic)) || self.is_low(c, *asic, now))
                .collect();
            let ids: Vec<DeviceId> = wakes.iter().map(|asic| device(*asic)).collect();
            let entries = c.ledger.wake(time(now), &ids).entries;
            for (asic, entry) in wakes.into_iter().zip(entries) {
                self.book(c, entry)?;
                self.outcome.wakes += 1;
                c.slept_at[asic] = None;
                c.told_at[asic] = now;
                self.send(now, Message::Command { asic, command: Command::Wake })?;
            }
        }
        Ok(())
    }

    /// Whether a device that is held seems to sleep and was told nothing for a while: its wake was lost.
    fn is_low(&self, c: &Controller, asic: usize, now: u64) -> bool {
        now >= c.told_at[asic] + 30 && c.ledger.freed(&device(asic), time(c.told_at[asic])).is_ok()
    }
}
