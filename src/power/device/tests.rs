//! Every stage of a device against every event, in virtual time; and what must never be proof.

use proptest::prelude::*;

use super::*;

const PATIENCE: Patience = Patience {
    tries: 3,
    backoff: Duration::from_secs(10),
    fresh: Duration::from_secs(30),
    quiet: Duration::from_secs(20),
};

/// A device and its clock.
struct Story {
    device: Device,
    second: i64,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Mines,
    Sleeps,
    SleptBefore,
    Shares,
    Late,
    Refused,
    Unreachable,
    ToSleep,
    ToMine,
    /// Given out, and called at once.
    Dispatch,
    /// Given out.
    Order,
    /// Its call begins.
    Send,
    Permit,
    Wait(i64),
}

impl Story {
    fn new() -> Self {
        let watts = |value| Watts::new(value).unwrap();
        let spec = Spec {
            name: "m1".into(),
            can_sleep: true,
            efficiency: None,
            most: watts(3_600.0),
            sleep_max: watts(50.0),
            sleep_time: Duration::from_secs(20),
            wake_time: Duration::from_secs(20),
        };
        let mut story = Self { device: Device::new(spec), second: 0 };
        story.plays(&[Step::Mines]);
        story
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + self.second).unwrap()
    }

    fn sees(&mut self, watts: f64, age: i64) {
        let at = self.now() - SignedDuration::from_secs(age);
        let sample = Sample { at, watts: Watts::new(watts).unwrap(), mode: None };
        self.device.handle_sample(self.now(), sample, &PATIENCE);
        self.device.looks_for_idleness(self.now(), true);
    }

    /// Each step is a second after the one before.
    fn plays(&mut self, steps: &[Step]) {
        for step in steps {
            self.second += 1;
            let now = self.now();
            match step {
                Step::Mines => self.sees(3_300.0, 0),
                Step::Sleeps => self.sees(20.0, 0),
                Step::SleptBefore => self.sees(20.0, 25),
                Step::Shares => {
                    let shares = Shares { found: 1, submitted: 1, accepted: 1, ..Shares::default() };
                    self.device.handle_shares(now, Some(now), &shares, &PATIENCE);
                }
                Step::Late => {
                    let shares = Shares { accepted: 1, ..Shares::default() };
                    self.device.handle_shares(now, Some(now), &shares, &PATIENCE);
                }
                Step::Refused => self.device.handle_refusal(now, &PATIENCE),
                Step::Unreachable => self.device.handle_unreachable(),
                Step::ToSleep => self.device.turn(now, Goal::Sleep),
                Step::ToMine => self.device.turn(now, Goal::Mine),
                Step::Dispatch if self.device.wants_command(now) => {
                    self.device.dispatch();
                    self.device.send(now);
                }
                Step::Order if self.device.wants_command(now) => self.device.dispatch(),
                Step::Send => self.device.send(now),
                Step::Dispatch | Step::Order => {}
                Step::Permit => self.device.permit(),
                Step::Wait(seconds) => {
                    self.second += seconds;
                    self.device.handle_timeout(self.now(), &PATIENCE);
                }
            }
        }
    }

    fn is(&self) -> String {
        let counts = if self.device.counts_full() { "all of it" } else { "what it draws" };
        format!("{:?} {:?}, counts {counts}", self.device.goal(), self.device.stage().kind())
    }
}

#[test]
fn every_stage_meets_every_event() {
    use Step::*;
    let asleep = [ToSleep, Dispatch, Sleeps];
    let states: [(&str, &[Step]); 15] = [
        ("mining", &[]),
        ("mining, unavailable", &[Unreachable]),
        ("to sleep: pending", &[ToSleep]),
        ("to sleep: waits for its call", &[ToSleep, Order]),
        ("to sleep: dispatched", &[ToSleep, Dispatch]),
        ("to sleep: refused, pending", &[ToSleep, Dispatch, Refused]),
        (
            "to sleep: failed",
            &[ToSleep, Dispatch, Refused, Wait(10), Mines, Dispatch, Refused, Wait(25), Mines, Dispatch, Refused],
        ),
        ("asleep", &asleep),
        ("asleep, unavailable", &[ToSleep, Dispatch, Sleeps, Unreachable]),
        ("asleep, drifted", &[ToSleep, Dispatch, Sleeps, Mines]),
        ("to mine: pending", &[ToSleep, Dispatch, Sleeps, ToMine]),
        ("to mine: waits for its call", &[ToSleep, Dispatch, Sleeps, ToMine, Permit, Order]),
        ("to mine: dispatched", &[ToSleep, Dispatch, Sleeps, ToMine, Permit, Dispatch]),
        ("to mine: draws, no share yet", &[ToSleep, Dispatch, Sleeps, ToMine, Permit, Dispatch, Mines]),
        ("to mine: share, no watts yet", &[ToSleep, Dispatch, Sleeps, ToMine, Permit, Dispatch, Shares]),
    ];
    let events = [
        Mines,
        Sleeps,
        SleptBefore,
        Shares,
        Late,
        Refused,
        Unreachable,
        ToSleep,
        ToMine,
        Dispatch,
        Send,
        Wait(22),
        Wait(40),
    ];
    let mut table = String::new();
    for (name, steps) in states {
        let mut story = Story::new();
        story.plays(steps);
        table.push_str(&format!("{name}: {}\n", story.is()));
        for event in events {
            let mut story = Story::new();
            story.plays(steps);
            story.plays(&[event]);
            table.push_str(&format!("    {:<12} {}\n", format!("{event:?}"), story.is()));
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn pauses_between_tries_double_and_have_an_end() {
    let mut story = Story::new();
    let patience = Patience { tries: 9, ..PATIENCE };
    story.device.turn(story.now(), Goal::Sleep);
    let mut pauses = Vec::new();
    while story.device.wants_command(story.now()) {
        story.device.dispatch();
        story.device.send(story.now());
        story.device.handle_refusal(story.now(), &patience);
        if let Stage::Pending { after, .. } = story.device.stage() {
            pauses.push(after.duration_since(story.now()).as_secs());
            story.second += pauses[pauses.len() - 1];
        }
    }
    assert_eq!(pauses, [10, 20, 40, 80, 160, 160, 160, 160]);
    assert_eq!(story.device.stage(), Stage::Failed { is_foreign: false });
}

#[test]
fn a_share_from_before_the_wake_or_before_it_fell_asleep_proves_nothing() {
    use Step::*;
    let mut story = Story::new();
    story.plays(&[ToSleep, Dispatch, ToMine, Permit, Dispatch, Mines]);
    let found = super::Shares { found: 1, ..super::Shares::default() };
    let sent = story.device.sent_at().unwrap();
    let dozes_until = story.device.dozes_until().expect("its sleep may still take effect");
    for since in [None, Some(sent - SignedDuration::from_secs(1)), Some(sent), Some(dozes_until)] {
        let mut story = Story { device: story.device.clone(), second: story.second };
        story.plays(&[Wait(20), Mines]);
        story.device.handle_shares(story.now(), since, &found, &PATIENCE);
        assert_eq!(story.device.stage().kind(), StageKind::Dispatched, "{since:?}");
    }
    story.plays(&[Wait(20)]);
    assert!(story.now() > dozes_until);
    story.plays(&[Shares]);
    assert_eq!(story.device.stage().kind(), StageKind::Dispatched, "it drew before");
    story.plays(&[Mines]);
    assert!(story.device.is_untouched(), "both after its sleep could have taken effect");
}

#[test]
fn what_waits_for_its_call_has_all_its_time_and_is_as_it_was_when_it_is_withdrawn() {
    use Step::*;
    let mut story = Story::new();
    story.plays(&[ToSleep, Order, Wait(1_000), Mines, Sleeps]);
    assert!(story.device.is_waiting() && story.device.counts_full(), "a sample of one that was not told is no proof");
    assert_eq!(story.device.due(story.now(), &PATIENCE), None);
    let mut other = Story { device: story.device.clone(), second: story.second };
    other.plays(&[ToMine]);
    assert!(other.device.is_untouched() && other.device.rouses_until().is_none(), "it was never told anything");
    story.plays(&[Send, Wait(18)]);
    assert_eq!(story.device.stage().kind(), StageKind::Dispatched);
    story.plays(&[Wait(1)]);
    assert_eq!(story.device.stage().kind(), StageKind::Pending);
}

fn step() -> impl Strategy<Value = Step> {
    use Step::*;
    prop_oneof![
        Just(Mines),
        Just(Sleeps),
        Just(SleptBefore),
        Just(Shares),
        Just(Late),
        Just(Refused),
        Just(Unreachable),
        Just(ToSleep),
        Just(ToMine),
        Just(Dispatch),
        Just(Order),
        Just(Send),
        (0_i64..60).prop_map(Wait),
    ]
}

proptest! {
    #[test]
    fn only_a_measurement_after_the_last_command_frees(steps in prop::collection::vec(step(), 0..60)) {
        let mut story = Story::new();
        let mut told = None;
        for step in steps {
            let before = story.device.counts_full();
            let is_called = match step {
                Step::Dispatch => story.device.wants_command(story.now() + SignedDuration::from_secs(1)),
                Step::Send => story.device.is_waiting(),
                _ => false,
            };
            if is_called {
                told = Some((story.second + 1, story.device.goal()));
            }
            story.plays(&[step]);
            if before && !story.device.counts_full() {
                let (told, goal) = told.expect("nothing is free that was told nothing");
                let measured = story.device.measured_at().unwrap().as_second() - 1_800_000_000;
                prop_assert!(measured > told && goal == Goal::Sleep && story.device.watts() <= story.device.spec().sleep_max);
            }
        }
    }
}

#[test]
fn what_was_learned_says_when_it_is_told_again_and_nothing_of_what_a_wake_may_still_do() {
    let secs = Duration::from_secs;
    let told = |times: Times| {
        let mut story = Story::new();
        story.plays(&[Step::ToSleep, Step::Dispatch, Step::Sleeps]);
        story.device.expect(times);
        story.plays(&[Step::ToMine, Step::Dispatch]);
        let Stage::Dispatched { deadline, .. } = story.device.stage() else { panic!("{:?}", story.device.stage()) };
        let until = story.device.rouses_until().expect("it was told to wake");
        let deadline = deadline.expect("its call has begun");
        [deadline, until].map(|at| at.duration_since(story.now()).as_secs())
    };
    // Its own time is 20 s: until then it may be booting, however soon it is told again.
    assert_eq!(told(Times { sleep: secs(5), wake: secs(5) }), [5, 20]);
    assert_eq!(told(Times { sleep: secs(5), wake: secs(60) }), [60, 60]);
    let mut story = Story::new();
    story.device.expect(Times { sleep: secs(5), wake: secs(5) });
    story.plays(&[Step::ToSleep, Step::Dispatch]);
    let Stage::Dispatched { deadline, .. } = story.device.stage() else { panic!("{:?}", story.device.stage()) };
    assert_eq!(deadline.expect("its call has begun").duration_since(story.now()).as_secs(), 5);
}
