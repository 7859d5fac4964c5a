//! A simulated miner in virtual time: Poisson arrivals, firmware that applies a difficulty at once or with the next job.

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::*;

const JOB_EVERY: Duration = Duration::from_secs(30);
/// From our decision to the miner's hashing by it.
const LATENCY: Duration = Duration::from_millis(300);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const STEPS: [Step; 2] = [Step::Fine, Step::PowerOfTwo];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Firmware {
    AtOnce,
    NextJob,
}

fn difficulty(value: f64) -> Difficulty {
    Difficulty::new(value).expect("a valid difficulty")
}

fn settings() -> Arc<VardiffSettings> {
    Arc::new(VardiffSettings { shares_per_minute: 18.0, min: difficulty(1e-6), max: None })
}

/// The difficulty that gives exactly 18 shares a minute.
fn ideal(hs: f64) -> f64 {
    hs / HASHES_PER_DIFFICULTY / 0.3
}

/// What is on its way to the miner or known to it: a difficulty, and the job's own if it comes with one.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    at: Instant,
    set: Difficulty,
    job: Option<Difficulty>,
}

struct Sim {
    vardiff: Vardiff,
    firmware: Firmware,
    rng: SmallRng,
    now: Instant,
    hs: f64,
    /// What the firmware was told last, what it hashes by, and what its job was sent with.
    told: Difficulty,
    hashes_by: Difficulty,
    job: Difficulty,
    next_job: Instant,
    arrivals: std::collections::VecDeque<Arrival>,
    retargets: Vec<Retarget>,
    shares: u64,
    rejects: u64,
    what: String,
}

impl Sim {
    fn new(seed: u64, step: Step, firmware: Firmware, hs: f64, start: f64) -> Self {
        let now = Instant::now();
        let vardiff = Vardiff::new(&settings(), step, difficulty(start), now);
        let first = vardiff.difficulty();
        Self {
            what: format!("seed {seed}, {step:?}, {firmware:?}, {hs:e} H/s, start {start:e}"),
            vardiff,
            firmware,
            rng: SmallRng::seed_from_u64(seed),
            now,
            hs,
            told: first,
            hashes_by: first,
            job: first,
            next_job: now + JOB_EVERY,
            arrivals: Default::default(),
            retargets: Vec::new(),
            shares: 0,
            rejects: 0,
        }
    }

    /// Runs for `span` and returns the retargets in it.
    fn run(&mut self, span: Duration) -> Vec<Retarget> {
        let (end, first) = (self.now + span, self.retargets.len());
        loop {
            let timeout = self.vardiff.next_timeout().max(self.now);
            let arrival = self.arrivals.front().map_or(end, |a| a.at);
            let event = end.min(timeout).min(self.next_job).min(arrival);
            // Arrivals have no memory: a share drawn past the event is thrown away and drawn again after it.
            let share = self.next_share(event);
            if let Some(at) = share {
                self.now = at;
                self.submit();
                continue;
            }
            self.now = event;
            if event == end {
                break;
            }
            if event == arrival {
                self.arrive();
            } else if event == self.next_job {
                self.send_job();
            } else {
                let retarget = self.vardiff.poll(self.now);
                assert!(self.vardiff.next_timeout() > self.now, "{}: a timeout that never moves", self.what);
                self.obey(retarget);
            }
        }
        assert_eq!(self.rejects, 0, "{}: honest shares rejected", self.what);
        self.retargets[first..].to_vec()
    }

    fn next_share(&mut self, before: Instant) -> Option<Instant> {
        if self.hs <= 0.0 {
            return None;
        }
        let mean_s = self.hashes_by.get() * HASHES_PER_DIFFICULTY / self.hs;
        let wait_s = -(1.0 - self.rng.random::<f64>()).ln() * mean_s;
        (wait_s < (before - self.now).as_secs_f64()).then(|| self.now + Duration::from_secs_f64(wait_s))
    }

    /// A share is credited by the easier of its job's difficulty and the one in force (the `min` rule).
    fn submit(&mut self) {
        let in_force = self.vardiff.difficulty();
        let judged_by = if self.job < in_force { self.job } else { in_force };
        self.shares += 1;
        if self.hashes_by < judged_by {
            self.rejects += 1;
        }
        let retarget = self.vardiff.record_share(self.now, judged_by);
        self.obey(retarget);
    }

    fn obey(&mut self, retarget: Option<Retarget>) {
        let Some(retarget) = retarget else { return };
        assert_eq!(retarget.difficulty, self.vardiff.difficulty());
        self.retargets.push(retarget);
        match retarget.urgency {
            Urgency::Now => self.send_job(),
            // The harshest reading: the difficulty goes out by itself, long before its job.
            Urgency::NextJob => {
                self.arrivals.push_back(Arrival { at: self.now + LATENCY, set: retarget.difficulty, job: None });
            }
        }
    }

    fn send_job(&mut self) {
        let set = self.vardiff.difficulty();
        self.arrivals.push_back(Arrival { at: self.now + LATENCY, set, job: Some(set) });
        self.next_job = self.now + JOB_EVERY;
    }

    fn arrive(&mut self) {
        let arrival = self.arrivals.pop_front().expect("an arrival is due");
        self.told = arrival.set;
        self.job = arrival.job.unwrap_or(self.job);
        if arrival.job.is_some() || self.firmware == Firmware::AtOnce {
            self.hashes_by = self.told;
        }
    }

    /// Shares a minute over 18, at the difficulty in force.
    fn ratio(&self) -> f64 {
        ideal(self.hs) / self.vardiff.difficulty().get()
    }

    fn assert_settled(&self) {
        let (low, high) = self.vardiff.step.band();
        let ratio = self.ratio();
        assert!((low / 1.1..high * 1.1).contains(&ratio), "{}: off by {ratio} after {:?}", self.what, self.retargets);
    }
}

/// 500 kH/s to 500 TH/s, in steps of 10.
fn miners() -> impl Iterator<Item = f64> {
    (0..10).map(|power| 5e5 * 10f64.powi(power))
}

#[test]
fn a_miner_costs_96_bytes() {
    assert!(size_of::<Vardiff>() <= 96, "{} bytes", size_of::<Vardiff>());
}

/// Set `VARDIFF_MINER_DAYS` for more than the 40 that every run takes.
#[test]
fn a_constant_hashrate_is_never_retargeted_once_settled() {
    let days = std::env::var("VARDIFF_MINER_DAYS").ok().and_then(|days| days.parse().ok()).unwrap_or(40u64);
    let mut moved = Vec::new();
    for seed in 0..days {
        let hs = 5e5 * 10f64.powi((seed / 2 % 10) as i32) * (1.0 + (seed % 7) as f64 / 4.0);
        let step = STEPS[(seed % 2) as usize];
        let firmware = if seed / 20 % 2 == 0 { Firmware::AtOnce } else { Firmware::NextJob };
        let mut sim = Sim::new(seed, step, firmware, hs, ideal(hs) * [0.01, 3.0, 30.0][(seed % 3) as usize]);
        let settling = sim.run(90 * MINUTE);
        sim.assert_settled();
        assert!(settling.len() <= 4, "{}: {settling:?}", sim.what);
        let ratio = sim.ratio();
        let day = sim.run(DAY);
        if !day.is_empty() {
            moved.push(format!("{}: ratio {ratio:.3}, then {day:?}", sim.what));
        }
    }
    assert!(moved.is_empty(), "{} of {days} miner-days: {moved:#?}", moved.len());
}
