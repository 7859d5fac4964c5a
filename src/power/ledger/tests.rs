use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::profit::Ratio;

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn watts(value: f64) -> Watts {
    Watts::new(value).unwrap()
}

fn ratio(value: f64) -> Ratio {
    Ratio::new(value).unwrap()
}

fn at(second: i64, value: f64) -> Reading {
    Reading { watts: watts(value), taken_at: time(second) }
}

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// A site of 10 kW with a block of 5 kW that idles at 500 W; without a meter, unless a test gives it one.
fn rules() -> Rules {
    Rules {
        cap: watts(10_000.0),
        base_load: watts(400.0),
        reserve: watts(100.0),
        drift: watts(50.0),
        max_age: seconds(30),
        command_lifetime: seconds(60),
        proofs: 2,
        meter: None,
    }
}

const A: &str = "a";
const GPUS: &str = "gpus";

fn ledger_of(rules: Rules) -> Ledger {
    let asic = DeviceRules {
        nameplate: watts(3_000.0),
        configured_max: None,
        sleep_max: watts(40.0),
        overhead: ratio(1.0),
        is_read: true,
    };
    let gpus =
        BlockRules { capacity: watts(5_000.0), idle: watts(500.0), overhead: ratio(1.25), tolerance: ratio(0.02) };
    Ledger::new(rules, [(A.into(), asic), ("b".into(), asic)], [(GPUS.into(), gpus)], Epoch(1))
}

fn ledger() -> Ledger {
    ledger_of(rules())
}

fn counted(ledger: &Ledger, second: i64) -> (f64, f64) {
    let balance = ledger.balance(time(second));
    // Sums of products are off by less than a microwatt.
    let rounded = |watts: Watts| (watts.get() * 1e6).round() / 1e6;
    (rounded(balance.asic), rounded(balance.ai))
}

/// AI draws so many watts of IT in readings 1 s apart.
fn drawn(ledger: &mut Ledger, from: i64, watts: f64) {
    for second in from..from + 2 {
        ledger.read_block(time(second), &GPUS.into(), at(second, watts)).unwrap();
    }
}

/// Puts `a` to sleep at second 1 and books it at 3.
fn sleep_a(ledger: &mut Ledger) {
    for second in 2..4 {
        ledger.read_device(time(second), &A.into(), at(second, 20.0)).unwrap();
    }
    let entry = ledger.freed(&A.into(), time(1)).unwrap();
    ledger.apply(&entry);
}

#[test]
fn what_nobody_knows_counts_all_it_could_draw() {
    let mut ledger = ledger();
    assert_eq!(counted(&ledger, 0), (6_600.0, 5_000.0));
    ledger.read_block(time(0), &GPUS.into(), at(0, 400.0)).unwrap();
    assert_eq!(counted(&ledger, 0), (6_600.0, 500.0), "a block's idle draw is always there");
    assert_eq!(counted(&ledger, 31), (6_600.0, 5_000.0), "its word is too old");
}

#[test]
fn a_bound_follows_the_highest_ever_seen_through_a_restart() {
    let mut ledger = ledger();
    let entry = ledger.read_device(time(0), &A.into(), at(0, 3_500.0)).unwrap().expect("it is higher than its bound");
    assert_eq!(counted(&ledger, 0).0, 3_300.0 + 1.05 * 3_500.0);
    let mut rebuilt = self::ledger();
    rebuilt.apply(&entry);
    assert_eq!(counted(&rebuilt, 0).0, 3_300.0 + 1.05 * 3_500.0);
    let absurd = ledger.read_device(time(1), &A.into(), at(1, 30_000.0)).unwrap_err();
    assert_eq!(absurd.to_string(), "a reading of 30.0 kW is not believed, 9.0 kW is the most");
}

#[test]
fn watts_are_free_by_later_readings_and_only_while_they_are_read() {
    let mut ledger = ledger();
    ledger.read_device(time(0), &A.into(), at(0, 20.0)).unwrap();
    ledger.read_device(time(2), &A.into(), at(2, 20.0)).unwrap();
    let not_yet = ledger.freed(&A.into(), time(1)).unwrap_err();
    assert!(not_yet.to_string().starts_with("1 of 2 readings were taken after"), "{not_yet}");
    ledger.read_device(time(3), &A.into(), at(3, 2_900.0)).unwrap();
    assert_eq!(
        ledger.freed(&A.into(), time(1)).unwrap_err().to_string(),
        "it draws 2.9 kW, 40 W is the most",
        "OK was only sent"
    );
    for second in [4, 5] {
        ledger.read_device(time(second), &A.into(), at(second, 20.0)).unwrap();
    }
    let entry = ledger.freed(&A.into(), time(1)).unwrap();
    ledger.apply(&entry);
    assert_eq!(counted(&ledger, 5).0, 3_300.0 + 70.0);
    assert_eq!(counted(&ledger, 36).0, 6_600.0, "it may be awake by now");
    let drift = ledger.read_device(time(40), &A.into(), at(40, 200.0)).unwrap().expect("it woke unasked");
    assert_eq!(counted(&ledger, 40).0, 6_600.0);
    ledger.apply(&drift);
    ledger.read_device(time(41), &A.into(), at(41, 20.0)).unwrap();
    assert_eq!(counted(&ledger, 41).0, 6_600.0, "one low reading frees nothing again");
}

#[test]
fn a_rebuilt_ledger_frees_nothing_before_it_is_read() {
    let mut ledger = ledger();
    sleep_a(&mut ledger);
    let freed = ledger.freed(&A.into(), time(1)).unwrap();
    let mut rebuilt = self::ledger();
    rebuilt.apply(&freed);
    assert_eq!(counted(&rebuilt, 4).0, 6_600.0);
    rebuilt.read_device(time(5), &A.into(), at(5, 20.0)).unwrap();
    assert_eq!(counted(&rebuilt, 5).0, 3_370.0);
}

#[test]
fn a_wake_that_may_still_come_keeps_a_device_from_being_freed() {
    let mut ledger = ledger();
    drawn(&mut ledger, 0, 400.0);
    sleep_a(&mut ledger);
    let wakes = ledger.wake(time(10), &[A.into()]);
    assert_eq!((wakes.entries.len(), wakes.refused), (1, None));
    ledger.apply(&wakes.entries[0]);
    assert_eq!(counted(&ledger, 10).0, 6_600.0, "booked before the command is sent");
    // It never came, and the device is to sleep on.
    for second in [20, 25] {
        ledger.read_device(time(second), &A.into(), at(second, 20.0)).unwrap();
    }
    assert!(ledger.freed(&A.into(), time(15)).is_err());
    for second in [71, 72] {
        ledger.read_device(time(second), &A.into(), at(second, 20.0)).unwrap();
    }
    assert!(ledger.freed(&A.into(), time(15)).is_ok());
}

#[test]
fn the_check_gates_increases_and_only_measured_power_sheds() {
    let mut rules = rules();
    rules.cap = watts(6_000.0);
    let mut ledger = ledger_of(rules);
    drawn(&mut ledger, 0, 400.0);
    let refused = ledger.wake(time(1), &[A.into()]).refused.expect("the bounds are over the cap");
    assert_eq!(
        refused.to_string(),
        "more is booked than fits under the cap: ASICs 6.6 kW + AI 500 W + base load 400 W + unexplained 0 W + reserve 100 W of 6.0 kW"
    );
    assert_eq!(ledger.shed(time(1)), None, "all is well");
    for id in [A, "b"] {
        ledger.read_device(time(2), &id.into(), at(2, 2_900.0)).unwrap();
    }
    let shed = ledger.shed(time(2)).expect("2 × 2.9 + 0.5 + 0.4 kW are measured");
    assert_eq!(shed.to_string(), "shed 800 W: the site draws 6.7 kW, its cap is 6.0 kW");
}

#[test]
fn a_lease_counts_until_it_is_released_by_word_and_by_readings() {
    let mut ledger = ledger();
    drawn(&mut ledger, 0, 400.0);
    sleep_a(&mut ledger);
    let grant = ledger.grant(time(4), &GPUS.into(), watts(4_000.0), time(124)).unwrap();
    let Booking::Lease { lease, .. } = grant.what else { panic!("{grant:?}") };
    ledger.apply(&grant);
    ledger.apply(&grant);
    assert_eq!(counted(&ledger, 4).1, 4_000.0, "once");
    let more = ledger.grant(time(4), &GPUS.into(), watts(1_001.0), time(124)).unwrap_err();
    assert_eq!(more.to_string(), "AI block \"gpus\" would have 5.0 kW, it can draw 5.0 kW");
    ledger.renew(time(60), &GPUS.into(), lease, time(180)).unwrap();

    // Long after its end it draws nothing, between two jobs.
    drawn(&mut ledger, 300, 400.0);
    assert_eq!(counted(&ledger, 301).1, 4_000.0);
    assert_eq!(ledger.returned(&GPUS.into(), lease), Err(NotYet::NotReleased(lease)));
    let revoke = ledger.revoke(time(302), &GPUS.into(), lease).unwrap();
    ledger.apply(&revoke);
    assert_eq!(ledger.revoke(time(303), &GPUS.into(), lease), None, "once");
    assert_eq!(ledger.renew(time(303), &GPUS.into(), lease, time(400)), Err(Refusal::NotLive(lease)));
    ledger.acknowledge_release(&GPUS.into(), lease, time(304));
    assert!(ledger.returned(&GPUS.into(), lease).is_err(), "no reading since");
    drawn(&mut ledger, 305, 3_000.0);
    assert!(ledger.returned(&GPUS.into(), lease).unwrap_err().to_string().starts_with("it draws 3.8 kW"));
    drawn(&mut ledger, 310, 400.0);
    // Its word again does not begin the count anew.
    ledger.acknowledge_release(&GPUS.into(), lease, time(312));
    let returned = ledger.returned(&GPUS.into(), lease).unwrap();
    ledger.apply(&returned);
    ledger.apply(&returned);
    assert_eq!(counted(&ledger, 312).1, 500.0);
}

#[test]
fn a_block_that_draws_more_than_it_may_counts_and_freezes_increases() {
    let mut ledger = ledger();
    sleep_a(&mut ledger);
    drawn(&mut ledger, 3, 1_600.0);
    assert_eq!(counted(&ledger, 4).1, 2_000.0);
    let refused = ledger.wake(time(4), &[A.into()]).refused.unwrap();
    assert_eq!(refused.to_string(), "AI block \"gpus\" draws 2.0 kW, it may draw 500 W");
}

#[test]
fn what_is_repeated_late_or_of_a_time_to_come_changes_nothing() {
    let mut ledger = ledger();
    sleep_a(&mut ledger);
    for (reading, why) in [
        (at(3, 2_900.0), Ignored::Old),
        (at(2, 2_900.0), Ignored::Old),
        (at(9, 1.0), Ignored::Future { ahead: seconds(5) }),
    ] {
        assert_eq!(ledger.read_device(time(4), &A.into(), reading), Err(why));
    }
    assert_eq!(counted(&ledger, 4).0, 3_370.0);
}

#[test]
fn a_lost_meter_stops_increases_and_allows_drains() {
    let mut rules = rules();
    rules.meter = Some(MeterRules { max_age: seconds(10), deviation: ratio(0.1) });
    let mut ledger = ledger_of(rules);
    assert_eq!(
        ledger.wake(time(0), &[A.into()]).refused.unwrap().to_string(),
        "the site's meter has not been read yet"
    );
    // Everybody, then the meter, then everybody: a comparison.
    let round = |ledger: &mut Ledger, second: i64, a: f64, meter: f64| {
        for (id, watts) in [(A, a), ("b", 2_900.0)] {
            ledger.read_device(time(second), &id.into(), at(second, watts)).unwrap();
        }
        ledger.read_block(time(second), &GPUS.into(), at(second, 400.0)).unwrap();
        ledger.read_meter(time(second + 1), at(second + 1, meter)).unwrap();
    };
    for second in [2, 4, 6, 8] {
        round(&mut ledger, second, 20.0, 3_820.0);
    }
    let freed = ledger.freed(&A.into(), time(0)).unwrap();
    ledger.apply(&freed);
    assert_eq!(counted(&ledger, 9).0, 6_600.0, "the meter has not had its time to object");
    for second in [10, 12, 14] {
        round(&mut ledger, second, 20.0, 3_820.0);
    }
    assert_eq!(counted(&ledger, 15).0, 3_370.0);
    assert_eq!(ledger.wake(time(15), &[A.into()]).refused, None);
    let lost = ledger.wake(time(26), &[A.into()]).refused.unwrap();
    assert_eq!(lost.to_string(), "the site's meter is lost: its last reading is 11 s old, 10 s are allowed");
    assert!(ledger.freed(&A.into(), time(0)).is_ok());

    // One that says it sleeps and does not is seen.
    for second in [30, 32, 34] {
        round(&mut ledger, second, 20.0, 6_720.0);
    }
    assert!((ledger.balance(time(35)).unexplained.get() - 2_900.0).abs() < 1e-6);
    let apart = ledger.wake(time(35), &[A.into()]).refused.unwrap();
    assert_eq!(
        apart.to_string(),
        "the site's meter says 6.7 kW, what was measured adds up to 3.8 kW: more than 10.0 % apart"
    );
}

#[test]
fn a_wake_unasked_between_two_jobs_sheds_what_ai_was_given() {
    let mut rules = rules();
    rules.cap = watts(8_000.0);
    rules.meter = Some(MeterRules { max_age: seconds(10), deviation: ratio(0.1) });
    let mut ledger = ledger_of(rules);
    let lease = Booking::Lease { block: GPUS.into(), lease: LeaseId(9), watts: watts(3_000.0), expires: time(120) };
    ledger.apply(&Entry { at: time(0), what: lease });
    let round = |ledger: &mut Ledger, second: i64, a: f64, meter: f64| {
        for (id, watts) in [(A, a), ("b", 2_900.0)] {
            ledger.read_device(time(second), &id.into(), at(second, watts)).unwrap();
        }
        ledger.read_block(time(second), &GPUS.into(), at(second, 400.0)).unwrap();
        ledger.read_meter(time(second + 1), at(second + 1, meter)).unwrap();
        ledger.shed(time(second + 1))
    };
    for second in [2, 4, 6] {
        assert_eq!(round(&mut ledger, second, 20.0, 3_820.0), None);
    }
    round(&mut ledger, 8, 2_900.0, 6_700.0);
    let shed = round(&mut ledger, 10, 2_900.0, 6_700.0).expect("6.2 kW beside AI and 3 kW given");
    assert_eq!(
        shed.to_string(),
        "shed 1.3 kW: the site draws 6.7 kW, its cap is 8.0 kW, and AI compute may draw 2.5 kW more"
    );
}

#[test]
fn who_sees_a_higher_epoch_only_observes() {
    let mut ledger = ledger();
    ledger.see_epoch(Epoch(1));
    drawn(&mut ledger, 0, 400.0);
    sleep_a(&mut ledger);
    assert_eq!(ledger.wake(time(4), &[A.into()]).refused, None);
    ledger.see_epoch(Epoch(2));
    let refused = ledger.wake(time(4), &[A.into()]).refused.unwrap();
    assert_eq!(refused.to_string(), "another controller has taken over: epoch 2 was seen, ours is 1; only observing");
}

#[test]
fn after_a_loss_a_block_holds_everything_until_it_releases_everything() {
    let mut ledger = ledger();
    for entry in ledger.after_loss(time(0)) {
        ledger.apply(&entry);
    }
    drawn(&mut ledger, 1, 400.0);
    assert_eq!(counted(&ledger, 2).1, 5_000.0);
    ledger.acknowledge_release(&GPUS.into(), LeaseId::EVERYTHING, time(3));
    drawn(&mut ledger, 4, 400.0);
    let returned = ledger.returned(&GPUS.into(), LeaseId::EVERYTHING).unwrap();
    ledger.apply(&returned);
    assert_eq!(counted(&ledger, 5).1, 500.0);
}

#[test]
fn a_block_that_the_config_no_longer_names_counts_what_it_was_given() {
    let mut ledger = ledger();
    let what = Booking::Lease { block: "old".into(), lease: LeaseId(9), watts: watts(1_000.0), expires: time(60) };
    ledger.apply(&Entry { at: time(0), what });
    assert_eq!(counted(&ledger, 999).1, 6_000.0);
}
