//! The site in virtual time: what it draws, what its machines do, and what they say.

use super::*;
use crate::sim::site::asic::Mode;
use crate::sim::site::settings::SimGroup;

const NAMEPLATE: f64 = 3000.0;
/// What no machine draws asleep, and what each draws at least when it mines.
const ASLEEP_AT_MOST: f64 = 50.0;
const MINING_AT_LEAST: f64 = NAMEPLATE * 0.9;
/// Past all times of a boot and a reset, whatever the seed.
const LONG: u64 = 220;

/// A site and its clock, in tenths of a second.
struct World {
    model: Model,
    tenths: u64,
    ai: f64,
    changes: Vec<(usize, Hashing)>,
}

impl World {
    fn new(change: impl FnOnce(&mut SimSiteSettings)) -> Self {
        let groups = vec![SimGroup::new("old", 6, 30.0, NAMEPLATE), SimGroup::new("new", 4, 15.0, NAMEPLATE)];
        let mut settings = SimSiteSettings { groups, ..SimSiteSettings::default() };
        change(&mut settings);
        settings.validate().expect("good settings");
        Self { model: Model::new(&settings), tenths: 0, ai: 0.0, changes: Vec::new() }
    }

    fn lying(lie: Lie) -> Self {
        let mut world = Self::new(|_| {});
        world.model.set_lie(0, Some(lie));
        world.seconds(1);
        world
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.tenths * 100)
    }

    fn step(&mut self) {
        self.tenths += 1;
        let (now, ai) = (self.now(), self.ai);
        let changes = &mut self.changes;
        self.model.step(now, ai, |asic, hashing| changes.push((asic, hashing)));
    }

    fn seconds(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.step();
        }
    }

    /// Seconds until it is so; fails after a long time.
    fn until(&mut self, is_so: impl Fn(&Self) -> bool) -> f64 {
        let began = self.tenths;
        while !is_so(self) {
            assert!(self.tenths - began < 10 * 1200, "it is never so");
            self.step();
        }
        (self.tenths - began) as f64 / 10.0
    }

    fn tell(&mut self, asic: usize, command: Command) -> Answer {
        self.model.command(self.now(), asic, command)
    }

    fn claim(&mut self, asic: usize) -> Option<Claim> {
        self.model.claim(self.now(), asic)
    }

    fn watts(&self, asic: usize) -> f64 {
        self.model.asics()[asic].watts
    }

    fn is_asleep(&self, asic: usize) -> bool {
        self.model.asics()[asic].is_asleep()
    }

    fn is_mining(&self, asic: usize) -> bool {
        self.model.asics()[asic].is_mining()
    }
}

#[test]
fn a_machine_told_to_sleep_draws_its_sleep_watts_and_wakes_in_its_time_with_a_surge() {
    let mut world = World::new(|_| {});
    world.seconds(1);
    assert!(world.watts(0) > MINING_AT_LEAST);
    assert_eq!(world.tell(0, Command::Sleep), Answer::Ok);
    let took = world.until(|world| world.is_asleep(0));
    assert!((2.0..8.2).contains(&took), "asleep after {took} s");
    assert_eq!(world.changes, [(0, Hashing::Asleep)]);
    world.seconds(600);
    assert!(world.watts(0) < ASLEEP_AT_MOST);
    let claim = world.claim(0).expect("it answers");
    assert!(claim.is_asleep && claim.watts < ASLEEP_AT_MOST);

    assert_eq!(world.tell(0, Command::Wake(None)), Answer::Ok);
    world.step();
    assert_eq!(world.claim(0), None, "it boots and says nothing");
    let (mut most, mut took) = (0.0_f64, 0);
    while !world.is_mining(0) {
        assert!(world.model.asics()[0].told() == Hashing::Asleep, "it hashes before it is up");
        world.step();
        most = most.max(world.watts(0));
        took += 1;
    }
    assert!((400..=1500).contains(&took), "up after {took} tenths of a second");
    world.seconds(100);
    let mining = (0..100)
        .map(|_| {
            world.step();
            world.watts(0)
        })
        .fold(0.0, f64::max);
    assert!(most > mining, "no surge: {most} W booting, {mining} W mining");
    assert_eq!(world.changes, [(0, Hashing::Asleep), (0, Hashing::Mining)]);
    assert!(!world.claim(0).expect("it answers").is_asleep);
}

#[test]
fn one_that_is_woken_before_it_slept_mines_on() {
    let mut world = World::new(|_| {});
    world.tell(3, Command::Sleep);
    world.seconds(1);
    world.tell(3, Command::Wake(None));
    world.seconds(60);
    assert!(world.is_mining(3));
    assert_eq!(world.changes, []);
}

#[test]
fn the_mode_is_kept_in_sleep_and_forgotten_by_a_wake_without_one() {
    let mut world = World::new(|_| {});
    world.tell(1, Command::Wake(Some(Mode::Low)));
    world.step();
    assert!(world.watts(1) < NAMEPLATE * 1.25 * 0.72);
    world.tell(1, Command::Sleep);
    world.seconds(10);
    assert_eq!(world.claim(1).map(|claim| claim.mode), Some(Mode::Low));
    world.tell(1, Command::Wake(None));
    world.seconds(LONG);
    assert_eq!(world.claim(1).map(|claim| claim.mode), Some(Mode::Normal));
    assert!(world.watts(1) > MINING_AT_LEAST);
}

#[test]
fn who_says_ok_and_stays_awake_says_so_in_watts() {
    let mut world = World::lying(Lie::StaysAwake);
    assert_eq!(world.tell(0, Command::Sleep), Answer::Ok);
    world.seconds(LONG);
    assert!(world.is_mining(0));
    assert!(world.claim(0).expect("it answers").watts > MINING_AT_LEAST);
}

#[test]
fn who_hides_its_draw_is_seen_by_the_meter_alone() {
    let mut world = World::lying(Lie::HidesItsDraw);
    world.tell(0, Command::Sleep);
    world.seconds(LONG);
    let claim = world.claim(0).expect("it answers");
    assert!(claim.is_asleep && claim.watts < ASLEEP_AT_MOST);
    assert!(world.watts(0) > MINING_AT_LEAST && world.is_mining(0));
    world.tell(0, Command::Wake(None));
    assert!(world.claim(0).expect("it answers").watts > MINING_AT_LEAST);
}

#[test]
fn who_resets_goes_dark_and_mines_again() {
    let mut world = World::lying(Lie::Resets);
    world.tell(0, Command::Sleep);
    world.step();
    assert_eq!(world.claim(0), None);
    assert_eq!(world.changes, [(0, Hashing::Off)]);
    let took = world.until(|world| world.is_mining(0));
    assert!((60.0..212.0).contains(&took), "back after {took} s");
    assert_eq!(world.changes, [(0, Hashing::Off), (0, Hashing::Asleep), (0, Hashing::Mining)]);
}

#[test]
fn who_resets_when_woken_is_dark_once_and_boots_twice() {
    let mut world = World::lying(Lie::ResetsWhenWoken);
    world.tell(0, Command::Sleep);
    world.until(|world| world.is_asleep(0));
    world.changes.clear();
    world.tell(0, Command::Wake(None));
    world.until(|world| world.is_mining(0));
    assert_eq!(world.changes, [(0, Hashing::Off), (0, Hashing::Asleep), (0, Hashing::Mining)]);
}

#[test]
fn who_wakes_unasked_does_so_minutes_later() {
    let mut world = World::lying(Lie::WakesUnasked);
    world.tell(0, Command::Sleep);
    world.until(|world| world.is_asleep(0));
    let took = world.until(|world| !world.is_asleep(0));
    assert!((120.0..601.0).contains(&took), "woke after {took} s");
    world.seconds(LONG);
    assert!(world.is_mining(0));
}

#[test]
fn who_is_late_acts_21_s_after_it_was_told() {
    let mut world = World::lying(Lie::IsLate);
    assert_eq!(world.tell(0, Command::Sleep), Answer::Later(Duration::from_secs(21)));
    world.seconds(20);
    assert!(world.is_mining(0));
    let took = world.until(|world| world.is_asleep(0));
    assert!((2.0..10.2).contains(&took), "asleep {took} s later");
}

#[test]
fn who_is_unreachable_mines_and_answers_nothing() {
    let mut world = World::lying(Lie::IsUnreachable);
    assert_eq!(world.tell(0, Command::Sleep), Answer::Nothing);
    world.seconds(LONG);
    assert!(world.is_mining(0) && world.claim(0).is_none());
    world.model.set_lie(0, None);
    assert_eq!(world.tell(0, Command::Sleep), Answer::Ok);
}

#[test]
fn who_objects_sleeps_all_the_same() {
    let mut world = World::lying(Lie::Objects);
    assert_eq!(world.tell(0, Command::Sleep), Answer::AsleepAlready);
    world.seconds(10);
    assert!(world.is_asleep(0));
    assert_eq!(world.tell(0, Command::Sleep), Answer::AsleepAlready);
}

#[test]
fn so_many_lie_as_were_asked_for_and_in_turns() {
    let world = World::new(|settings| {
        settings.groups = vec![SimGroup::new("old", 160, 30.0, NAMEPLATE)];
        settings.liars = 0.1;
    });
    assert_eq!(world.model.liars(), 16);
    for lie in Lie::ALL {
        assert_eq!(world.model.asics().iter().filter(|asic| asic.lie == Some(lie)).count(), 2, "{lie}");
        assert_eq!(lie.label().parse(), Ok(lie));
    }
}

#[test]
fn the_meter_is_the_sum_of_machines_losses_ai_and_base_load() {
    let mut world = World::new(|settings| {
        settings.base_load = 10e3;
        settings.pue = 1.2;
    });
    world.ai = 50e3;
    for second in 0..120 {
        if second == 20 {
            for asic in 0..5 {
                assert_eq!(world.tell(asic, Command::Sleep), Answer::Ok);
            }
        }
        world.seconds(1);
        let machines: f64 = (0..10).map(|asic| world.watts(asic)).sum();
        let draw = world.model.draw();
        assert!((1.02..1.03).contains(&(draw.asics / machines)), "{draw:?}");
        assert!((draw.ai - 60e3).abs() < 1e-6 && (8.5e3..10e3).contains(&draw.base), "{draw:?}");
        assert!((draw.total() - (draw.asics + draw.ai + draw.base)).abs() < 1e-6);
        assert!((world.model.meter() / draw.total() - 1.0).abs() <= 0.005);
    }
    assert_eq!(world.model.counts(None), Counts { mining: 5, asleep: 5, moving: 0 });
    assert_eq!(world.model.counts(Some(0)), Counts { mining: 1, asleep: 5, moving: 0 });
}

#[test]
fn a_blip_boots_whatever_sleeps_and_nothing_else() {
    let mut world = World::new(|_| {});
    for asic in 0..8 {
        assert_eq!(world.tell(asic, Command::Sleep), Answer::Ok);
    }
    world.seconds(10);
    assert_eq!(world.model.counts(None).asleep, 8);
    world.changes.clear();
    assert!(!world.model.blip(world.now(), Some("none such")));
    assert!(world.model.blip(world.now(), Some("new")));
    world.step();
    assert_eq!(
        world.changes,
        [(6, Hashing::Off), (7, Hashing::Off)],
        "their power was away, and with it their sockets"
    );
    assert!(world.model.blip(world.now(), None));
    world.seconds(LONG);
    assert_eq!(world.model.counts(None).mining, 10);
}

#[test]
fn the_record_knows_the_peak_and_the_seconds_over_the_cap() {
    let mut world = World::new(|settings| settings.cap = Some(100e3));
    world.seconds(10);
    let before = world.model.record();
    assert_eq!(before.over_cap_seconds, 0.0, "{before:?}");
    // Ten machines at some 3.2 kW, and AI compute that takes them over for 7 s and for 3 s.
    for (seconds, ai) in [(7, 100e3), (20, 0.0), (3, 150e3), (5, 0.0)] {
        world.ai = ai;
        world.seconds(seconds);
    }
    let record = world.model.record();
    assert!((record.over_cap_seconds - 10.0).abs() < 1e-6, "{record:?}");
    assert!((record.longest_over_cap_seconds - 7.0).abs() < 1e-6, "{record:?}");
    assert!((record.seconds - 45.0).abs() < 1e-6, "{record:?}");
    assert!(record.peak_watts > 150e3 && (37.0..40.1).contains(&record.peak_at), "{record:?}");
    let ai = (7.0 * 100e3 + 3.0 * 150e3) * 1.23 / 3600.0;
    assert!((record.ai_watt_hours / ai - 1.0).abs() < 1e-6, "{record:?}");
}

#[test]
fn times_are_scaled() {
    let mut world = World::new(|settings| settings.time_scale = 20.0);
    world.tell(0, Command::Sleep);
    let took = world.until(|world| world.is_asleep(0));
    assert!(took < 0.6, "asleep after {took} s");
    world.tell(0, Command::Wake(None));
    let took = world.until(|world| world.is_mining(0));
    assert!((1.9..7.7).contains(&took), "awake after {took} s");
}
