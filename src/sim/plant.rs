//! A simulated site: ASICs, AI compute and a meter behind one cap, second by second. It simulates; no machine is asked.
//!
//! It knows the true watts, and works them out by itself from what its machines do. It shares nothing with the ledger that it is the proof
//! of: no bound, no loss, no notion of what is booked. What can be asked of it is what a site would answer, with noise, silence and lies.
//!
//! | machine | what it does |
//! |---|---|
//! | ASIC | tunes past its nameplate, surges for a while when it boots, is silent until it is up, sleeps in seconds |
//! | one that lies ([`Lie`]) | says OK and stays awake, reports sleep while it mines, resets, wakes unasked, is late, is unreachable |
//! | AI compute | runs jobs within its leases, pauses them and goes on, keeps a running job past a lease's end, gives back in its own time |
//! | one that misbehaves ([`Misconduct`]) | draws past its leases, or never gives back |
//! | meter | the truth with noise |
//!
//! Limits: time is whole seconds; every machine is stepped every second.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

/// How an ASIC's firmware deceives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// Says OK to a sleep and stays awake; its watts are true.
    StaysAwake,
    /// Says OK, stays awake, and reports the watts of a sleeper.
    HidesItsDraw,
    /// Goes dark for a minute, then mines again.
    Resets,
    /// Sleeps, and wakes unasked some minutes later.
    WakesUnasked,
    /// Acts 21 s after it was told.
    IsLate,
    /// Cannot be reached at all.
    IsUnreachable,
}

const LIES: [Lie; 6] =
    [Lie::StaysAwake, Lie::HidesItsDraw, Lie::Resets, Lie::WakesUnasked, Lie::IsLate, Lie::IsUnreachable];

/// How AI compute misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misconduct {
    /// Its jobs draw a fifth more than its leases allow.
    Overdraws,
    /// Says that it gives back, and does not.
    KeepsAll,
}

/// What a site is made of. Watts.
#[derive(Debug, Clone, Copy)]
pub struct PlantSettings {
    /// How many ASICs.
    pub asics: usize,
    /// How many of them lie.
    pub liars: usize,
    /// What all ASICs have printed on them, at their own supplies.
    pub nameplate: f64,
    /// What AI compute draws without work, at the site meter.
    pub ai_idle: f64,
    /// The most of what is always there, at the site meter.
    pub base_load: f64,
}

/// What an ASIC can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// To sleep.
    Sleep,
    /// To mine.
    Wake,
}

/// What AI compute can be told; idempotent by the lease.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AiMessage {
    /// It may draw so much, at the site meter, until then.
    Grant {
        /// Which lease; again with a later end, it is a renewal.
        lease: u64,
        /// Whose.
        epoch: u32,
        /// How much.
        watts: f64,
        /// When it ends, in seconds of the plant.
        expires: u64,
    },
    /// It is to give a lease back.
    Revoke {
        /// Which.
        lease: u64,
        /// At once, or in its own time.
        is_urgent: bool,
    },
}

/// What AI compute says of a lease that it was told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AiAnswer {
    /// It has the lease.
    Taken,
    /// It does not take it: revoked before, or of an old epoch.
    Refused,
    /// It is at it.
    Releasing,
    /// It has given the lease back, or never had it, and never will.
    Released,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Mining,
    Booting { since: u64, up_at: u64 },
    Asleep { wakes_at: Option<u64> },
    Dark { until: u64 },
}

#[derive(Debug)]
struct Asic {
    nameplate: f64,
    /// What it draws when it mines.
    tuned: f64,
    sleep: f64,
    lie: Option<Lie>,
    state: State,
    /// Told to, and not yet done.
    late: Option<(u64, Command)>,
    /// It claims to sleep.
    pretends: bool,
    /// What it draws now.
    watts: f64,
}

#[derive(Debug, Clone, Copy)]
struct AiLease {
    watts: f64,
    expires: u64,
    released_at: Option<u64>,
}

#[derive(Debug, Default)]
struct Ai {
    epoch: u32,
    leases: BTreeMap<u64, AiLease>,
    gone: BTreeSet<u64>,
    /// What its job draws beyond its idle draw.
    job: f64,
    /// What a job that pauses will draw again.
    paused: f64,
    misconduct: Option<Misconduct>,
    /// When the job or the gap ends.
    next_at: u64,
    /// Between a release and the end of what ran under it: still drawn until then.
    lingers: Vec<(u64, f64)>,
    watts: f64,
}

/// The site.
#[derive(Debug)]
pub struct Plant {
    settings: PlantSettings,
    rng: StdRng,
    now: u64,
    asics: Vec<Asic>,
    ai: Ai,
    base: f64,
    loss: f64,
    true_watts: f64,
}

/// What AI compute draws at the site meter for a watt of IT. The operator's figure is a little higher.
const TRUE_PUE: f64 = 1.23;

impl Plant {
    /// A site where every ASIC mines and AI compute idles.
    pub fn new(seed: u64, settings: PlantSettings) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let first_lie = rng.random_range(0..LIES.len());
        let asics = (0..settings.asics).map(|index| {
            let lie = (index < settings.liars).then(|| LIES[(first_lie + index) % LIES.len()]);
            // Who lies does so at its nameplate; the others are tuned, a third of them well past it.
            let most = if lie.is_none() && index % 3 == 0 { 1.25 } else { 1.05 };
            Asic {
                nameplate: settings.nameplate,
                tuned: settings.nameplate * rng.random_range(0.92..most),
                sleep: rng.random_range(10.0..40.0),
                lie,
                state: State::Mining,
                late: None,
                pretends: false,
                watts: 0.0,
            }
        });
        let asics = asics.collect();
        let mut plant = Self { settings, rng, now: 0, asics, ai: Ai::default(), base: 0.0, loss: 0.0, true_watts: 0.0 };
        plant.step();
        plant
    }

    /// Seconds since it began.
    pub fn now(&self) -> u64 {
        self.now
    }

    /// What the site truly draws.
    pub fn true_watts(&self) -> f64 {
        self.true_watts
    }

    /// What AI compute truly draws, at the site meter.
    pub fn ai_watts(&self) -> f64 {
        self.ai.watts
    }

    /// From now on AI compute misbehaves, or no longer does.
    pub fn corrupt_ai(&mut self, misconduct: Option<Misconduct>) {
        self.ai.misconduct = misconduct;
    }

    /// What an ASIC truly draws, at its own supply, and how it lies.
    pub fn truth(&self, asic: usize) -> (f64, Option<Lie>) {
        (self.asics[asic].watts, self.asics[asic].lie)
    }

    /// Whether an ASIC mines.
    pub fn is_mining(&self, asic: usize) -> bool {
        self.asics[asic].state == State::Mining
    }

    /// How many ASICs mine.
    pub fn mining(&self) -> usize {
        self.asics.iter().filter(|asic| asic.state == State::Mining).count()
    }

    /// What an ASIC's firmware is set not to exceed, where it is set: half of those that are tuned far past their nameplates.
    pub fn configured_max(&self, asic: usize) -> Option<f64> {
        let asic_of = &self.asics[asic];
        (asic.is_multiple_of(6) && asic_of.tuned > asic_of.nameplate).then_some(asic_of.tuned * 1.05)
    }

    /// One second.
    pub fn step(&mut self) -> f64 {
        self.now += 1;
        let (now, rng) = (self.now, &mut self.rng);
        for asic in &mut self.asics {
            asic.step(now, rng);
        }
        self.ai.step(now, self.settings.ai_idle, rng);
        self.base = self.settings.base_load * rng.random_range(0.85..1.0);
        self.loss = rng.random_range(0.02..0.03);
        let asics: f64 = self.asics.iter().map(|asic| asic.watts).sum();
        self.true_watts = asics * (1.0 + self.loss) + self.ai.watts + self.base;
        self.true_watts
    }

    /// A blip of the supply: whatever sleeps boots.
    pub fn wake_all_unasked(&mut self) {
        for asic in &mut self.asics {
            if matches!(asic.state, State::Asleep { .. }) {
                asic.boot(self.now, &mut self.rng);
            }
        }
    }

    /// Tells an ASIC; whether it says OK, which means nothing.
    pub fn command(&mut self, asic: usize, command: Command) -> bool {
        let (now, rng) = (self.now, &mut self.rng);
        let asic = &mut self.asics[asic];
        match asic.lie {
            Some(Lie::IsUnreachable) => return false,
            Some(Lie::IsLate) => asic.late = Some((now + 21, command)),
            _ => asic.obey(now, command, rng),
        }
        true
    }

    /// What an ASIC says that it draws, at its own supply.
    pub fn read_asic(&mut self, asic: usize) -> Option<f64> {
        let noise = self.rng.random_range(0.99..1.01);
        let asic = &self.asics[asic];
        let is_silent = matches!(asic.state, State::Booting { up_at, .. } if self.now + 30 < up_at);
        if is_silent || asic.lie == Some(Lie::IsUnreachable) {
            return None;
        }
        Some(noise * if asic.pretends { asic.sleep } else { asic.watts })
    }

    /// What the site's meter says.
    pub fn read_meter(&mut self) -> f64 {
        self.true_watts * self.rng.random_range(0.995..1.005)
    }

    /// What AI compute says that its IT draws, and of which epoch it knows.
    pub fn read_ai(&mut self) -> (f64, u32) {
        (self.ai.watts / TRUE_PUE * self.rng.random_range(0.995..1.005), self.ai.epoch)
    }

    /// Tells AI compute.
    pub fn tell_ai(&mut self, message: AiMessage) -> AiAnswer {
        self.ai.hear(self.now, message, &mut self.rng)
    }
}

impl Asic {
    fn boot(&mut self, now: u64, rng: &mut impl Rng) {
        self.state = State::Booting { since: now, up_at: now + rng.random_range(40..150) };
    }

    fn obey(&mut self, now: u64, command: Command, rng: &mut impl Rng) {
        match (command, self.lie, self.state) {
            (Command::Sleep, Some(Lie::StaysAwake), _) => {}
            (Command::Sleep, Some(Lie::HidesItsDraw), _) => self.pretends = true,
            (Command::Wake, Some(Lie::HidesItsDraw), _) => self.pretends = false,
            (Command::Sleep, Some(Lie::Resets), State::Mining) => {
                self.state = State::Dark { until: now + rng.random_range(20..60) };
            }
            (Command::Sleep, Some(Lie::Resets), _) | (Command::Sleep, _, State::Asleep { .. }) => {}
            (Command::Sleep, lie, _) => {
                let minutes = lie.filter(|lie| *lie == Lie::WakesUnasked).map(|_| rng.random_range(2..10));
                self.state = State::Asleep { wakes_at: minutes.map(|minutes| now + 60 * minutes) };
            }
            (Command::Wake, _, State::Asleep { .. }) => self.boot(now, rng),
            (Command::Wake, ..) => {}
        }
    }

    fn step(&mut self, now: u64, rng: &mut impl Rng) {
        if let Some((at, command)) = self.late
            && now >= at
        {
            self.late = None;
            self.obey(now, command, rng);
        }
        match self.state {
            State::Booting { up_at, .. } if now >= up_at => self.state = State::Mining,
            State::Asleep { wakes_at: Some(at) } if now >= at => self.boot(now, rng),
            State::Dark { until } if now >= until => self.boot(now, rng),
            _ => {}
        }
        self.watts = match self.state {
            State::Mining => self.tuned * rng.random_range(0.98..1.01),
            // Fans and hash boards come up, then everything at once for some seconds, past what it will draw.
            State::Booting { since, .. } if now < since + 10 => self.tuned * 0.3,
            State::Booting { since, .. } if now < since + 40 => self.tuned * rng.random_range(0.9..1.04),
            State::Booting { .. } => self.tuned * rng.random_range(0.8..1.01),
            State::Asleep { .. } => self.sleep * rng.random_range(0.9..1.1),
            State::Dark { .. } => self.sleep * 0.2,
        };
    }
}

impl Ai {
    fn hear(&mut self, now: u64, message: AiMessage, rng: &mut impl Rng) -> AiAnswer {
        match message {
            AiMessage::Grant { epoch, .. } if epoch < self.epoch => AiAnswer::Refused,
            AiMessage::Grant { lease, .. } if self.gone.contains(&lease) => AiAnswer::Refused,
            AiMessage::Grant { lease, epoch, watts, expires } => {
                self.epoch = epoch;
                let held = self.leases.entry(lease).or_insert(AiLease { watts, expires, released_at: None });
                held.expires = held.expires.max(expires);
                AiAnswer::Taken
            }
            AiMessage::Revoke { lease, is_urgent } => {
                let Some(held) = self.leases.get_mut(&lease) else {
                    // Never heard of: a grant that comes after this is refused.
                    self.gone.insert(lease);
                    return AiAnswer::Released;
                };
                let patience = if is_urgent { rng.random_range(2..10) } else { rng.random_range(5..300) };
                if self.misconduct == Some(Misconduct::KeepsAll) {
                    return AiAnswer::Releasing;
                }
                let at = held.released_at.map_or(now + patience, |at| at.min(now + patience));
                held.released_at = Some(at);
                AiAnswer::Releasing
            }
        }
    }

    fn step(&mut self, now: u64, idle: f64, rng: &mut impl Rng) {
        let over: Vec<u64> =
            self.leases.iter().filter(|(_, l)| l.released_at.is_some_and(|at| now >= at)).map(|(id, _)| *id).collect();
        for lease in over {
            // It says so at once; the power goes some seconds later.
            if let Some(held) = self.leases.remove(&lease) {
                self.lingers.push((now + rng.random_range(0..8), held.watts));
            }
            self.gone.insert(lease);
        }
        self.lingers.retain(|(until, _)| now < *until);
        let lingering: f64 = self.lingers.iter().map(|(_, watts)| watts).sum();
        let may_keep: f64 = self.leases.values().map(|lease| lease.watts).sum::<f64>() + lingering;
        let is_open = |lease: &&AiLease| lease.expires > now && lease.released_at.is_none();
        let may_begin: f64 = self.leases.values().filter(is_open).map(|lease| lease.watts).sum();
        if now >= self.next_at {
            // After a job a gap, after a gap the same job again or a new one; often the largest that fits.
            let goes_on = self.job == 0.0 && self.paused > 0.0 && may_keep > idle;
            let is_gap = self.job > 0.0 || !goes_on && may_begin <= idle;
            let size: f64 = if rng.random_bool(0.5) { 1.0 } else { rng.random_range(0.2..1.0) };
            (self.job, self.paused) = match (is_gap, goes_on) {
                (true, _) => (0.0, if rng.random_bool(0.5) { self.job } else { 0.0 }),
                (false, true) => (self.paused, 0.0),
                (false, false) => ((may_begin - idle) * size, 0.0),
            };
            self.next_at = now + if is_gap { rng.random_range(3..40) } else { rng.random_range(30..300) };
        }
        self.job = self.job.min((may_keep - idle).max(0.0));
        let more = if self.misconduct == Some(Misconduct::Overdraws) { 1.2 } else { 1.0 };
        self.watts = idle + self.job * more;
    }
}
