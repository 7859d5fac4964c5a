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

/// Set `VARDIFF_MINER_DAYS` for more than the 40 that every run takes; 4000 have passed.
#[test]
fn a_constant_hashrate_is_never_retargeted_once_settled() {
    let days = std::env::var("VARDIFF_MINER_DAYS").ok().and_then(|days| days.parse().ok()).unwrap_or(40u64);
    let (mut slow, mut moved) = (Vec::new(), Vec::new());
    for seed in 0..days {
        let hs = 5e5 * 10f64.powi((seed / 2 % 10) as i32) * (1.0 + (seed % 7) as f64 / 4.0);
        let step = STEPS[(seed % 2) as usize];
        let firmware = if seed / 20 % 2 == 0 { Firmware::AtOnce } else { Firmware::NextJob };
        let mut sim = Sim::new(seed, step, firmware, hs, ideal(hs) * [0.01, 3.0, 30.0][(seed % 3) as usize]);
        let settling = sim.run(90 * MINUTE);
        sim.assert_settled();
        if settling.len() > 3 {
            slow.push(format!("{}: {settling:?}", sim.what));
        }
        let ratio = sim.ratio();
        let day = sim.run(DAY);
        if !day.is_empty() {
            moved.push(format!("{}: ratio {ratio:.3}, then {day:?}", sim.what));
        }
    }
    assert!(moved.is_empty(), "{} of {days} miner-days: {moved:#?}", moved.len());
    // A fourth step is bad luck with the first shares, and has to stay as rare as that.
    assert!(slow.len() as u64 <= days / 500, "{} of {days} starts: {slow:#?}", slow.len());
}

/// Every hashrate, step and firmware, with a seed of its own.
fn every_miner(mut test: impl FnMut(u64, Step, Firmware, f64)) {
    let mut seed = 1000;
    for hs in miners() {
        for step in STEPS {
            for firmware in [Firmware::AtOnce, Firmware::NextJob] {
                seed += 1;
                test(seed, step, firmware, hs);
            }
        }
    }
}

#[test]
fn a_wrong_start_is_settled_within_3_retargets() {
    every_miner(|seed, step, firmware, hs| {
        for (index, off) in [1e-4, 1e-2, 0.1, 10.0, 30.0].into_iter().enumerate() {
            let mut sim = Sim::new(seed * 10 + index as u64, step, firmware, hs, ideal(hs) * off);
            let retargets = sim.run(90 * MINUTE);
            assert!((1..=3).contains(&retargets.len()), "{}: {retargets:?}", sim.what);
            assert_eq!(retargets[0].urgency, Urgency::Now, "{}", sim.what);
            sim.assert_settled();
        }
    });
}

/// Nothing but silence to go by: some ten-fold a time, then as always.
#[test]
fn a_tiny_miner_at_the_listeners_default_is_found_in_minutes() {
    for (seed, step) in [(1, Step::Fine), (2, Step::PowerOfTwo), (3, Step::Fine)] {
        let mut sim = Sim::new(seed, step, Firmware::NextJob, 5e5, 65536.0);
        let down = sim.run(8 * MINUTE);
        assert!(down.len() <= 10, "{}: {down:?}", sim.what);
        assert!(sim.shares > 0, "{}: {down:?}", sim.what);
        let fine = sim.run(90 * MINUTE);
        assert!(fine.len() <= 3, "{}: {fine:?}", sim.what);
        sim.assert_settled();
    }
}

/// A hundred thousand shares a second for as long as one look takes.
#[test]
fn a_huge_miner_at_difficulty_1_is_settled_within_3_retargets() {
    let mut sim = Sim::new(5, Step::Fine, Firmware::NextJob, 5e14, 1.0);
    let retargets = sim.run(10 * MINUTE);
    assert!((1..=3).contains(&retargets.len()), "{}: {retargets:?}", sim.what);
    assert!(sim.shares < 250_000, "{}: {} shares", sim.what, sim.shares);
    sim.assert_settled();
}

#[test]
fn a_tenfold_change_is_settled_within_3_retargets() {
    every_miner(|seed, step, firmware, hs| {
        let mut sim = Sim::new(seed, step, firmware, hs, ideal(hs));
        sim.run(HOUR);
        for factor in [10.0, 0.1, 0.1, 10.0] {
            sim.hs *= factor;
            let first = sim.run(8 * MINUTE);
            assert!(!first.is_empty(), "{}: ×{factor} not seen in 8 minutes", sim.what);
            let count = first.len() + sim.run(90 * MINUTE).len();
            assert!(count <= 3, "{}: ×{factor}: {:?}", sim.what, sim.retargets);
            sim.assert_settled();
        }
    });
}

#[test]
fn a_sleeper_is_lowered_to_its_floor_and_is_back_within_3_retargets() {
    every_miner(|seed, step, firmware, hs| {
        let mut sim = Sim::new(seed, step, firmware, hs, ideal(hs));
        sim.run(90 * MINUTE);
        let awake = sim.vardiff.difficulty().get();
        sim.hs = 0.0;
        let asleep = sim.run(HOUR);
        assert!((1..=3).contains(&asleep.len()), "{}: {asleep:?}", sim.what);
        let lowered = awake / sim.vardiff.difficulty().get();
        assert!((4.0..64.0).contains(&lowered), "{}: lowered by {lowered}", sim.what);
        let estimate = sim.vardiff.hashrate(sim.now).map_or(0.0, Hashrate::hs);
        assert!(estimate < hs / 50.0, "{}: a sleeper shown at {estimate:e} H/s", sim.what);

        sim.hs = hs;
        let shares = sim.shares;
        let mut back = sim.run(2 * MINUTE);
        assert!(sim.shares - shares < 500, "{}: {} shares on waking", sim.what, sim.shares - shares);
        back.extend(sim.run(90 * MINUTE));
        assert!((1..=3).contains(&back.len()), "{}: {back:?}", sim.what);
        sim.assert_settled();
    });
}

/// Behind a proxy below us a farm may leave and one machine stay: each stray share gives way one step.
#[test]
fn a_sleeper_that_wakes_10_000_times_slower_is_found() {
    let mut sim = Sim::new(77, Step::Fine, Firmware::NextJob, 5e14, ideal(5e14));
    sim.run(HOUR);
    sim.hs = 0.0;
    sim.run(HOUR);
    sim.hs = 5e10;
    sim.run(6 * HOUR);
    sim.assert_settled();
}

#[test]
fn the_hashrate_is_unbiased_from_the_first_shares_on() {
    let (hs, miners) = (5e9, 400);
    for after in [MINUTE, 5 * MINUTE, HOUR] {
        let mut sum = 0.0;
        for seed in 0..miners {
            let mut sim = Sim::new(seed, Step::Fine, Firmware::AtOnce, hs, ideal(hs));
            assert_eq!(sim.vardiff.hashrate(sim.now), None);
            sim.run(if after == HOUR && seed % 8 != 0 { 5 * MINUTE } else { after });
            sum += sim.vardiff.hashrate(sim.now).map_or(0.0, Hashrate::hs);
        }
        let mean = sum / miners as f64 / hs;
        assert!((0.96..1.04).contains(&mean), "{mean} of the truth after {after:?}");
    }
}

#[test]
fn a_stalled_link_is_no_faster_miner() {
    let now = Instant::now();
    let mut vardiff = Vardiff::new(&settings(), Step::Fine, difficulty(1000.0), now);
    let mut at = now;
    for _ in 0..500 {
        at += Duration::from_millis(3333);
        assert_eq!(vardiff.record_share(at, difficulty(1000.0)), None);
    }
    at += Duration::from_secs(40);
    for _ in 0..12 {
        at += Duration::from_micros(50);
        assert_eq!(vardiff.record_share(at, difficulty(1000.0)), None);
    }
    for _ in 0..100 {
        at += Duration::from_millis(3333);
        assert_eq!(vardiff.record_share(at, difficulty(1000.0)), None);
    }
}

#[test]
fn values_are_rounded_down_to_what_the_firmware_takes() {
    let cases = [
        (Step::Fine, 1999.9, 1999.0, 2000.0),
        (Step::Fine, 1.0, 1.0, 1.0),
        (Step::Fine, 0.000_389_9, 0.000_389, 0.000_39),
        (Step::Fine, 0.000_15, 0.000_15, 0.000_15),
        (Step::Fine, 0.999_9, 0.999, 1.0),
        (Step::PowerOfTwo, 1999.9, 1024.0, 2048.0),
        (Step::PowerOfTwo, 1024.0, 1024.0, 1024.0),
        (Step::PowerOfTwo, 0.3, 0.25, 0.5),
    ];
    for (step, value, down, up) in cases {
        assert_eq!(step.round_down(value), down, "{step:?} {value}");
        assert_eq!(step.round_up(value), up, "{step:?} {value}");
    }
    for mantissa in 100..1000 {
        for power in 3..12 {
            let value = f64::from(mantissa) / 10f64.powi(power);
            if value < 1.0 {
                assert_eq!(Step::Fine.round_down(value), value);
                assert!(value.to_string().len() <= 15, "{value}");
            }
        }
    }
}

#[test]
fn the_ceiling_wins_over_floor_wish_and_rate() {
    let now = Instant::now();
    let listener = Arc::new(VardiffSettings { shares_per_minute: 18.0, min: difficulty(1000.0), max: None });
    let mut vardiff = Vardiff::new(&listener, Step::Fine, difficulty(1.0), now);
    assert_eq!(vardiff.difficulty(), difficulty(1000.0));
    let raised = vardiff.raise_floor(now, difficulty(500_000.0));
    assert_eq!(raised.map(|r| r.difficulty), Some(difficulty(500_000.0)));
    let lowered = vardiff.set_ceiling(now, difficulty(123.4));
    assert_eq!(lowered.map(|r| r.difficulty), Some(difficulty(123.0)));
    assert_eq!(vardiff.raise_floor(now, difficulty(600_000.0)), None);
    for share in 1..10_000 {
        let at = now + Duration::from_millis(share);
        assert_eq!(vardiff.record_share(at, difficulty(123.0)), None, "held by the ceiling");
    }
}

#[test]
fn a_suggestion_below_the_floor_is_granted_and_its_repetition_changes_nothing() {
    let now = Instant::now();
    let listener = Arc::new(VardiffSettings { shares_per_minute: 18.0, min: difficulty(1.0), max: None });
    let mut vardiff = Vardiff::new(&listener, Step::Fine, difficulty(65536.0), now);
    let wish = difficulty(0.000_15);
    assert_eq!(vardiff.suggest(now, wish), Some(Retarget { difficulty: wish, urgency: Urgency::Now }));
    for half_minutes in 1..10 {
        assert_eq!(vardiff.suggest(now + half_minutes * JOB_EVERY, wish), None);
    }
    let mut late = Vardiff::new(&listener, Step::Fine, difficulty(65536.0), now);
    assert!(late.set_ceiling(now, difficulty(1000.0)).is_some());
    assert!(late.suggest(now, difficulty(500.0)).is_some(), "a ceiling says nothing of the miner");
    late.record_share(now + MINUTE, difficulty(500.0));
    assert_eq!(late.suggest(now + MINUTE, difficulty(1000.0)), None, "a share does");
    let mut modest = Vardiff::new(&listener, Step::Fine, difficulty(65536.0), now);
    assert!(modest.raise_floor(now, difficulty(500_000.0)).is_some());
    assert_eq!(modest.suggest(now, wish), None, "`md=` is a person's word, a suggestion the firmware's");
}

#[test]
fn a_remembered_miner_starts_where_it_was_and_may_sleep_at_once() {
    let now = Instant::now();
    let mut vardiff = Vardiff::resume(&settings(), Step::Fine, Hashrate::from_hs(1e14), now);
    let start = vardiff.difficulty().get();
    assert_eq!(start, ideal(1e14).floor());
    assert_eq!(vardiff.hashrate(now), None, "remembered isn't seen");
    let mut at = now;
    while at < now + HOUR {
        at = vardiff.next_timeout();
        vardiff.poll(at);
    }
    assert!(vardiff.difficulty().get() > start / 17.0);
}

/// An hour awake, then put to sleep; so much later that is known.
fn asleep(seed: u64, step: Step, firmware: Firmware, hs: f64, known_after: Duration) -> (Sim, f64) {
    let mut sim = Sim::new(seed, step, firmware, hs, ideal(hs));
    sim.run(90 * MINUTE);
    let awake = sim.vardiff.difficulty().get();
    sim.hs = 0.0;
    sim.run(known_after);
    sim.vardiff.sleep(sim.now);
    (sim, awake)
}

#[test]
fn a_night_of_known_sleep_changes_no_difficulty_and_ends_in_no_flood() {
    every_miner(|seed, step, firmware, hs| {
        // Meters prove the sleep at once, or when silence was held against the miner already.
        for known_after in [Duration::ZERO, HOUR] {
            let (mut sim, awake) = asleep(seed, step, firmware, hs, known_after);
            let (night, boot) = (10 * HOUR, 10 * MINUTE);
            assert_eq!(sim.run(night), [], "{}", sim.what);
            assert_eq!(sim.vardiff.hashrate(sim.now), None, "{}: a sleeper hashes nothing", sim.what);
            sim.vardiff.rise(sim.now);
            assert_eq!(sim.run(boot), [], "{}", sim.what);
            let now = sim.vardiff.difficulty().get();
            // What silence took is given back from the estimate, which is as good as the band is wide.
            let factor = if known_after.is_zero() { 1.0 } else { 2.5 };
            assert!((awake / factor..=awake * factor).contains(&now), "{}: {awake} became {now}", sim.what);
            sim.hs = hs;
            let shares = sim.shares;
            sim.run(2 * MINUTE);
            assert!(sim.shares - shares < 140, "{}: {} shares on waking", sim.what, sim.shares - shares);
            assert!(sim.run(90 * MINUTE).len() <= 2, "{}: {:?}", sim.what, sim.retargets);
            sim.assert_settled();
        }
    });
}

#[test]
fn a_sleeper_that_stirs_goes_on_sleeping() {
    let (mut sim, awake) = asleep(7, Step::Fine, Firmware::NextJob, 1e14, Duration::ZERO);
    for _ in 0..20 {
        // Shares that were on their way, or a minute of a person's test.
        sim.hs = 1e14;
        sim.run(10 * Duration::from_secs(1));
        sim.hs = 0.0;
        sim.run(HOUR);
    }
    let now = sim.vardiff.difficulty().get();
    assert!((awake / 1.5..awake * 1.5).contains(&now), "{awake} became {now}: {:?}", sim.retargets);
}

#[test]
fn one_that_is_said_to_sleep_and_hashes_is_followed() {
    let (mut sim, _) = asleep(8, Step::Fine, Firmware::NextJob, 1e12, Duration::ZERO);
    sim.hs = 1e14;
    let shares = sim.shares;
    sim.run(10 * MINUTE);
    assert!(sim.shares - shares < 2000, "{} shares", sim.shares - shares);
    sim.assert_settled();
}

#[test]
fn one_that_does_not_wake_in_time_is_silent_as_any_other() {
    let (mut sim, awake) = asleep(9, Step::Fine, Firmware::NextJob, 1e14, Duration::ZERO);
    sim.run(HOUR);
    sim.vardiff.rise(sim.now);
    sim.run(RISE);
    assert_eq!(sim.vardiff.difficulty().get(), awake);
    sim.run(HOUR);
    assert!(sim.vardiff.difficulty().get() < awake / 8.0);
}

#[test]
fn a_listener_that_decides_otherwise_leaves_what_the_miner_asked_for() {
    let now = Instant::now();
    let with = |min: f64, max: Option<f64>| {
        Arc::new(VardiffSettings { min: difficulty(min), max: max.map(difficulty), ..*settings() })
    };
    let mut plain = Vardiff::new(&with(100.0, None), Step::Fine, difficulty(150.0), now);
    assert_eq!(plain.set_settings(now, &with(100.0, Some(1e6))), None);
    let raised = plain.set_settings(now, &with(400.0, None)).expect("it is under the floor");
    assert_eq!((raised.difficulty, plain.difficulty()), (difficulty(400.0), difficulty(400.0)));
    assert_eq!(plain.set_settings(now, &with(1.0, Some(50.0))).expect("it is over").difficulty, difficulty(50.0));

    let mut wants_more = Vardiff::new(&with(100.0, None), Step::Fine, difficulty(150.0), now);
    wants_more.raise_floor(now, difficulty(1000.0));
    assert_eq!(wants_more.set_settings(now, &with(1.0, None)), None, "md=1000 holds");
    let mut tiny = Vardiff::new(&with(100.0, None), Step::Fine, difficulty(150.0), now);
    tiny.suggest(now, difficulty(2.0));
    assert_eq!(tiny.set_settings(now, &with(400.0, None)), None, "it was granted less");
}
