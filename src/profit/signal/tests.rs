use std::{ops::RangeInclusive, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{config::SignalSource, profit::Unit};

const MAX_AGE: i64 = 600;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn signal(unit: &str, range: RangeInclusive<f64>, sources: usize, max_spread: Option<Spread>) -> Signal {
    let unit = Unit::parse(unit).unwrap();
    Signal {
        name: "s".into(),
        quantity: unit.quantity,
        unit,
        class: Class::Economic,
        max_age: Duration::from_secs(MAX_AGE as u64),
        range,
        max_spread,
        sources: vec![
            SignalSource {
                unit,
                kind: SourceKind::Jobs { field: crate::config::JobsField::Fees, pool: None }
            };
            sources
        ],
    }
}

fn pushed(unit: &str) -> Signal {
    let mut signal = signal(unit, -1e6..=1e6, 1, None);
    signal.sources[0].kind = SourceKind::Push;
    signal
}

fn book(signal: Signal) -> SignalBook {
    SignalBook::new(&[signal])
}

fn id(source: usize) -> SourceId {
    SourceId { signal: 0, source }
}

fn now(value: f64) -> [Observation; 1] {
    [Observation { value, when: When::Now }]
}

fn dated(value: f64, second: i64) -> [Observation; 1] {
    [Observation { value, when: When::At(at(second)) }]
}

fn during(value: f64, from: i64, to: i64) -> Observation {
    Observation { value, when: When::During { from: at(from), to: at(to) } }
}

fn price() -> Signal {
    signal("USD/MWh", -1000.0..=5000.0, 1, None)
}

#[test]
fn what_was_never_seen_is_not_stale_and_what_was_becomes_so() {
    let mut book = book(price());
    assert_eq!((book.reading(at(0), 0), book.next_change(at(0))), (Reading::Never, None));
    assert_eq!(book.observe(at(0), id(0), &now(42.0)), Ok(Outcome::Accepted));
    assert_eq!(book.reading(at(MAX_AGE - 1), 0), Reading::Fresh { value: 42.0, observed_at: at(0) });
    assert_eq!(book.next_change(at(0)), Some(at(MAX_AGE)));
    assert_eq!(book.reading(at(MAX_AGE), 0), Reading::Stale { value: 42.0, observed_at: at(0) });
    assert_eq!(book.next_change(at(MAX_AGE)), None);
}

#[test]
fn what_cannot_be_is_refused_counted_and_changes_nothing() {
    let mut book = book(signal("USD/BTC", 1000.0..=1e6, 1, None));
    book.observe(at(0), id(0), &dated(60_000.0, 0)).unwrap();
    let mut refused = Vec::new();
    for (observation, label) in [
        (dated(f64::NAN, 1), "not_finite"),
        (dated(f64::INFINITY, 1), "not_finite"),
        (dated(0.0, 1), "zero"),
        (dated(999.0, 1), "range"),
        (dated(2e6, 1), "range"),
        (dated(61_000.0, 100 + 31), "future"),
        (dated(61_000.0, -1), "replay"),
        (dated(61_000.0, 0), "replay"),
        (dated(61_000.0, 100 - MAX_AGE), "old"),
        ([during(61_000.0, 50, 50)], "interval"),
        ([during(61_000.0, 20, 50)], "past"),
        ([during(61_000.0, 15 * 86_400, 16 * 86_400)], "future"),
    ] {
        let refusal = book.observe(at(100), id(0), &observation).unwrap_err();
        assert_eq!(refusal.label(), label, "{observation:?}");
        let view = &book.view(at(100))[0];
        assert_eq!(view.sources[0].refusal, Some((at(100), refusal)));
        assert_eq!(view.reading, Reading::Fresh { value: 60_000.0, observed_at: at(0) });
        refused.push(label);
    }
    let view = &book.view(at(100))[0];
    assert_eq!((view.accepted, view.refused.values().sum::<u64>()), (1, refused.len() as u64));
    assert_eq!((view.refused["not_finite"], view.refused["replay"], view.refused["future"]), (2, 2, 2));
}

#[test]
fn a_power_price_may_be_zero_and_below() {
    let mut book = book(price());
    for value in [0.0, -250.0] {
        assert_eq!(book.observe(at(0), id(0), &now(value)), Ok(Outcome::Accepted));
        assert_eq!(book.reading(at(0), 0).fresh(), Some(value));
    }
}

#[test]
fn a_poll_that_finds_nothing_new_is_no_replay_and_a_push_that_says_it_again_is() {
    let mut polled = book(price());
    polled.observe(at(0), id(0), &dated(42.0, 0)).unwrap();
    assert_eq!(polled.observe(at(60), id(0), &dated(42.0, 0)), Ok(Outcome::Unchanged));
    assert_eq!(polled.view(at(60))[0].sources[0].heard_at, Some(at(60)));

    let mut book = book(pushed("USD/MWh"));
    book.observe(at(0), id(0), &dated(42.0, 0)).unwrap();
    assert_eq!(book.observe(at(60), id(0), &dated(42.0, 0)).unwrap_err().label(), "replay");
}

#[test]
fn a_clock_a_little_ahead_is_taken_at_ours_and_its_message_still_counts_once() {
    let mut book = book(pushed("USD/MWh"));
    assert_eq!(book.observe(at(0), id(0), &dated(42.0, 20)), Ok(Outcome::Accepted));
    assert_eq!(book.reading(at(0), 0), Reading::Fresh { value: 42.0, observed_at: at(0) });
    assert_eq!(book.observe(at(10), id(0), &dated(42.0, 20)).unwrap_err().label(), "replay");
    // Without a time of its own, the moment it comes in is its time.
    assert_eq!(book.observe(at(11), id(0), &now(43.0)), Ok(Outcome::Accepted));
    assert_eq!(book.observe(at(12), id(0), &dated(42.0, 20)).unwrap_err().label(), "replay");
}

#[test]
fn a_price_that_is_published_ahead_holds_in_its_time_however_old_it_is() {
    let mut book = book(price());
    let day = [during(10.0, 0, 3600), during(20.0, 3600, 7200), during(30.0, 9000, 9900)];
    assert_eq!(book.observe(at(-80_000), id(0), &day), Ok(Outcome::Accepted));
    assert_eq!(book.reading(at(-1), 0), Reading::Never);
    assert_eq!(book.next_change(at(-80_000)), Some(at(0)));
    assert_eq!(book.reading(at(3599), 0).fresh(), Some(10.0));
    assert_eq!(book.next_change(at(3599)), Some(at(3600)));
    assert_eq!(book.reading(at(3600), 0), Reading::Fresh { value: 20.0, observed_at: at(3600) });
    // A hole is a hole.
    assert_eq!(book.reading(at(7200), 0), Reading::Stale { value: 20.0, observed_at: at(3600) });
    assert_eq!(book.reading(at(9000), 0).fresh(), Some(30.0));
    assert_eq!(book.reading(at(9900), 0), Reading::Stale { value: 30.0, observed_at: at(9000) });
}

#[test]
fn a_newer_list_takes_over_from_its_begin_and_the_same_list_says_nothing_new() {
    let mut book = book(price());
    book.observe(at(0), id(0), &[during(10.0, 0, 3600), during(20.0, 3600, 7200)]).unwrap();
    assert_eq!(book.observe(at(60), id(0), &[during(10.0, 0, 3600), during(20.0, 3600, 7200)]), Ok(Outcome::Unchanged));
    assert_eq!(book.observe(at(120), id(0), &[during(25.0, 1800, 5400)]), Ok(Outcome::Accepted));
    assert_eq!(book.reading(at(120), 0).fresh(), Some(10.0));
    assert_eq!(book.reading(at(1800), 0).fresh(), Some(25.0));
    assert_eq!(book.reading(at(5400), 0).fresh(), None);
}

#[test]
fn two_values_for_one_time_are_refused_and_a_second_between_intervals_is_none() {
    let mut book = book(price());
    let twice = [during(10.0, 0, 3600), during(20.0, 1800, 7200)];
    assert_eq!(book.observe(at(0), id(0), &twice).unwrap_err().label(), "overlap");
    // Amber's intervals begin at one second past.
    book.observe(at(1), id(0), &[during(10.0, 1, 1800), during(20.0, 1801, 3600)]).unwrap();
    assert_eq!(book.reading(at(1800), 0).fresh(), Some(10.0));
    assert_eq!(book.reading(at(1801), 0).fresh(), Some(20.0));
}

#[test]
fn of_a_list_only_what_cannot_be_is_refused() {
    let mut book = book(price());
    let list = [during(10.0, 0, 3600), during(9e9, 3600, 7200), during(30.0, 7200, 9000), during(f64::NAN, 9000, 9900)];
    assert_eq!(book.observe(at(0), id(0), &list), Ok(Outcome::Accepted));
    let view = &book.view(at(0))[0];
    assert_eq!((view.refused["range"], view.refused["not_finite"]), (1, 1));
    assert_eq!((book.reading(at(3600), 0).fresh(), book.reading(at(7200), 0).fresh()), (None, Some(30.0)));
}

#[test]
fn the_median_counts_and_a_wide_spread_splits() {
    let mut book = book(signal("USD/BTC", 1.0..=1e6, 3, Some(Spread::Relative(0.02))));
    for (source, value) in [(0, 60_000.0), (1, 60_600.0), (2, 60_300.0)] {
        book.observe(at(source as i64), id(source), &now(value)).unwrap();
    }
    assert_eq!(book.reading(at(10), 0), Reading::Fresh { value: 60_300.0, observed_at: at(0) });
    book.observe(at(20), id(1), &now(90_000.0)).unwrap();
    assert_eq!(book.reading(at(20), 0), Reading::Split { low: 60_000.0, high: 90_000.0 });
    // Only those that are fresh count: the one that went astray is alone in the end.
    assert_eq!(book.reading(at(10 + MAX_AGE), 0).fresh(), Some(90_000.0));
    assert_eq!(book.reading(at(20 + MAX_AGE), 0), Reading::Stale { value: 90_000.0, observed_at: at(20) });
}

#[test]
fn around_zero_a_spread_is_an_amount() {
    let mut book = book(signal("USD/MWh", -1e3..=1e3, 2, Some(Spread::Absolute(5.0))));
    book.observe(at(0), id(0), &now(-2.0)).unwrap();
    book.observe(at(0), id(1), &now(2.0)).unwrap();
    assert_eq!(book.reading(at(0), 0).fresh(), Some(0.0));
    book.observe(at(1), id(1), &now(4.0)).unwrap();
    assert_eq!(book.reading(at(1), 0), Reading::Split { low: -2.0, high: 4.0 });
}

#[test]
fn verdicts_are_not_averaged() {
    let mut book = book(signal("verdict", 0.0..=1.0, 3, None));
    book.observe(at(0), id(0), &now(0.0)).unwrap();
    book.observe(at(0), id(1), &now(1.0)).unwrap();
    assert_eq!(book.reading(at(0), 0), Reading::Split { low: 0.0, high: 1.0 });
    book.observe(at(0), id(2), &now(1.0)).unwrap();
    assert_eq!(book.reading(at(0), 0).fresh(), Some(1.0));
}

#[test]
fn names_are_found_and_strangers_are_refused() {
    let mut book = book(price());
    assert_eq!((book.find("s"), book.find("t")), (Some(0), None));
    assert_eq!(book.observe(at(0), SourceId { signal: 7, source: 0 }, &now(1.0)), Err(Refusal::Unknown));
    assert_eq!(book.observe(at(0), id(7), &now(1.0)), Err(Refusal::Unknown));
    book.refuse(at(0), id(7), Refusal::Nothing);
    assert_eq!(book.reading(at(0), 9), Reading::Never);
}

/// Anything that a source may say.
fn anything() -> impl Strategy<Value = Observation> {
    let value = prop_oneof![8 => -2000.0..6000.0_f64, 1 => Just(0.0), 1 => any::<f64>()];
    let when = prop_oneof![
        Just(When::Now),
        (-2000_i64..4000).prop_map(|second| When::At(at(second))),
        (-2000_i64..4000, -100_i64..2000)
            .prop_map(|(from, length)| When::During { from: at(from), to: at(from + length) }),
    ];
    (value, when).prop_map(|(value, when)| Observation { value, when })
}

proptest! {
    /// Whatever comes: a fresh value is finite, in range, and within what some source said; the time of the next change is
    /// ahead; between now and then nothing changes.
    #[test]
    fn a_fresh_value_is_always_one_that_may_be(
        steps in prop::collection::vec((0_usize..3, prop::collection::vec(anything(), 0..4), 0_i64..400), 1..40),
    ) {
        let config = signal("USD/MWh", -1000.0..=5000.0, 3, Some(Spread::Absolute(500.0)));
        let mut book = book(config);
        let mut second = 0;
        let (mut offered, mut taken, mut refused) = (0, 0, 0);
        for (source, observations, wait) in steps {
            second += wait;
            let before = book.view(at(second))[0].clone();
            offered += 1;
            match book.observe(at(second), id(source), &observations) {
                Ok(Outcome::Accepted) => taken += 1,
                Ok(Outcome::Unchanged) => {}
                Err(_) => {
                    refused += 1;
                    prop_assert_eq!(book.reading(at(second), 0), before.reading, "a refusal changes nothing");
                }
            }
            let view = &book.view(at(second))[0];
            prop_assert_eq!(view.accepted, taken);
            prop_assert!(view.refused.values().sum::<u64>() >= refused && taken <= offered);
            if let Reading::Fresh { value, observed_at } = view.reading {
                prop_assert!(value.is_finite() && (-1000.0..=5000.0).contains(&value), "{}", value);
                prop_assert!(observed_at <= at(second));
            }
            let next = book.next_change(at(second));
            prop_assert!(next.is_none_or(|next| next > at(second)));
            let just_before = next.unwrap_or(at(second + 10_000)).checked_sub(SignedDuration::from_nanos(1)).unwrap();
            let value = |reading: Reading<f64>| match reading {
                Reading::Never => (0, 0.0, 0.0),
                Reading::Fresh { value, .. } => (1, value, 0.0),
                Reading::Stale { value, .. } => (2, value, 0.0),
                Reading::Split { low, high } => (3, low, high),
            };
            prop_assert_eq!(value(book.reading(at(second), 0)), value(book.reading(just_before, 0)));
        }
    }

    /// The order in which sources are asked is no matter.
    #[test]
    fn the_median_does_not_depend_on_order(values in prop::collection::vec(-1000.0..5000.0_f64, 1..6)) {
        let reading = |values: &[f64]| {
            let mut book = book(signal("USD/MWh", -1000.0..=5000.0, values.len(), None));
            for (source, value) in values.iter().enumerate() {
                book.observe(at(0), id(source), &now(*value)).unwrap();
            }
            book.reading(at(0), 0)
        };
        let mut reversed = values.clone();
        reversed.reverse();
        prop_assert_eq!(reading(&values), reading(&reversed));
    }
}
