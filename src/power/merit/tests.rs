use proptest::prelude::*;

use super::*;

fn watts(value: f64) -> Watts {
    Watts::new(value).unwrap()
}

fn margin(value: f64) -> MoneyPerMwh {
    MoneyPerMwh::new(value).unwrap()
}

/// A sink that nothing holds.
fn sink(id: u32, margin_: f64, capacity: f64) -> Sink {
    Sink {
        id,
        margin: margin(margin_),
        capacity: watts(capacity),
        floor: Watts::ZERO,
        now: Watts::ZERO,
        ramp_up: watts(capacity),
        ramp_down: watts(capacity),
        block: Watts::ZERO,
        hold: None,
        feeder: None,
    }
}

fn shares(sinks: &[Sink], cap: f64, feeders: &[f64]) -> Vec<(f64, Option<Bound>, Option<Bound>)> {
    let feeders: Vec<Watts> = feeders.iter().copied().map(watts).collect();
    let limits = Limits { cap: watts(cap), feeders: &feeders, idle: MoneyPerMwh::ZERO };
    let mut merit = Merit::default();
    merit.dispatch(sinks, &limits).iter().map(|share| (share.watts.get(), share.short, share.kept)).collect()
}

#[test]
fn the_best_margin_is_served_first_and_the_cap_ends_it() {
    let sinks = [sink(0, 5.0, 100.0), sink(1, 50.0, 100.0), sink(2, 20.0, 100.0), sink(3, -1.0, 100.0)];
    assert_eq!(
        shares(&sinks, 150.0, &[]),
        [
            (0.0, Some(Bound::Cap), None),
            (100.0, None, None),
            (50.0, Some(Bound::Cap), None),
            (0.0, Some(Bound::Margin), None)
        ]
    );
}

#[test]
fn what_holds_a_sink_is_named() {
    let held = |hold| Sink { now: watts(40.0), hold: Some(hold), ..sink(0, -5.0, 100.0) };
    for (first, want) in [
        (Sink { floor: watts(30.0), ..sink(0, -5.0, 100.0) }, (30.0, Some(Bound::Margin), Some(Bound::Floor))),
        (held(Hold::Dwell), (40.0, Some(Bound::Margin), Some(Bound::Dwell))),
        (held(Hold::Lease), (40.0, Some(Bound::Margin), Some(Bound::Lease))),
        (
            Sink { now: watts(40.0), ramp_down: watts(10.0), ..sink(0, -5.0, 100.0) },
            (30.0, Some(Bound::Margin), Some(Bound::Ramp)),
        ),
        (Sink { ramp_up: watts(25.0), ..sink(0, 50.0, 100.0) }, (25.0, Some(Bound::Ramp), None)),
        (Sink { block: watts(30.0), ..sink(0, 50.0, 100.0) }, (90.0, Some(Bound::Block), None)),
        (Sink { hold: Some(Hold::Dwell), ..sink(0, 50.0, 100.0) }, (0.0, Some(Bound::Dwell), None)),
        (
            Sink { now: watts(40.0), hold: Some(Hold::Returning), ..sink(0, 50.0, 100.0) },
            (40.0, Some(Bound::Lease), Some(Bound::Lease)),
        ),
    ] {
        assert_eq!(shares(&[first, sink(1, 1.0, 10.0)], 1000.0, &[])[0], want, "{first:?}");
    }
}

#[test]
fn a_block_that_does_not_fit_lets_a_worse_sink_through() {
    let sinks = [Sink { block: watts(100.0), ..sink(0, 50.0, 100.0) }, sink(1, 10.0, 60.0)];
    assert_eq!(shares(&sinks, 80.0, &[]), [(0.0, Some(Bound::Block), None), (60.0, None, None)]);
}

#[test]
fn a_feeder_is_a_cap_of_its_own() {
    let sinks = [Sink { feeder: Some(0), ..sink(0, 50.0, 100.0) }, Sink { feeder: Some(1), ..sink(1, 10.0, 100.0) }];
    assert_eq!(shares(&sinks, 1000.0, &[60.0, 200.0]), [(60.0, Some(Bound::Feeder), None), (100.0, None, None)]);
}

#[test]
fn floors_that_do_not_fit_under_the_cap_are_cut_from_the_worst() {
    let floored = |id, margin| Sink { floor: watts(100.0), ..sink(id, margin, 100.0) };
    assert_eq!(
        shares(&[floored(0, 1.0), floored(1, 2.0)], 150.0, &[]),
        [(50.0, Some(Bound::Cap), Some(Bound::Floor)), (100.0, None, Some(Bound::Floor))]
    );
}

fn a_sink(id: u32) -> impl Strategy<Value = Sink> {
    let hold = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Hold::Dwell)),
        1 => Just(Some(Hold::Lease)),
        1 => Just(Some(Hold::Returning)),
    ];
    let feeder = prop_oneof![Just(None), Just(Some(0)), Just(Some(1))];
    let ramps = (prop_oneof![Just(1e9), 0.0..500.0], prop_oneof![Just(1e9), 0.0..500.0]);
    let block = prop_oneof![Just(0.0), 1.0..300.0];
    ((-50..50_i32), 0.0..1000.0, 0.0..=1.0, 0.0..=1.0, ramps, block, hold, feeder).prop_map(
        move |(m, capacity, floor, now, (up, down), block, hold, feeder)| Sink {
            // Whole numbers, so that equal margins happen.
            margin: margin(f64::from(m)),
            capacity: watts(capacity),
            floor: watts(if floor < 0.7 { 0.0 } else { capacity * floor }),
            now: watts(capacity * now),
            ramp_up: watts(up),
            ramp_down: watts(down),
            block: watts(block),
            hold,
            feeder,
            id,
        },
    )
}

fn some_sinks() -> impl Strategy<Value = Vec<Sink>> {
    (1..9_usize).prop_flat_map(|count| (0..count as u32).map(a_sink).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn never_over_a_cap(sinks in some_sinks(), cap in 0.0..4000.0, feeders in [0.0..2000.0, 0.0..2000.0]) {
        let shares = shares(&sinks, cap, &feeders);
        prop_assert!(shares.iter().map(|share| share.0).sum::<f64>() <= cap + 1e-3);
        for (index, feeder) in feeders.iter().enumerate() {
            let drawn: f64 = sinks.iter().zip(&shares).filter(|(sink, _)| sink.feeder == Some(index)).map(|(_, share)| share.0).sum();
            prop_assert!(drawn <= feeder + 1e-3);
        }
        for (sink, share) in sinks.iter().zip(&shares) {
            prop_assert!(share.0 <= sink.capacity.get() + 1e-3);
        }
    }

    #[test]
    fn a_worse_sink_before_a_better_one_has_a_reason(sinks in some_sinks(), cap in 0.0..4000.0, feeders in [0.0..2000.0, 0.0..2000.0]) {
        let shares = shares(&sinks, cap, &feeders);
        for (better, had) in sinks.iter().zip(&shares) {
            for (worse, got) in sinks.iter().zip(&shares) {
                let is_waiting = had.0 < better.capacity.get() - 1e-3;
                if !(better.margin > worse.margin && is_waiting && got.0 > 1e-3) {
                    continue;
                }
                let waits_for = had.1.expect("what is short says why");
                let has_own_reason = !matches!(waits_for, Bound::Cap | Bound::Margin);
                prop_assert!(has_own_reason || got.2.is_some(), "{better:?} {had:?}\n{worse:?} {got:?}");
            }
        }
    }

    #[test]
    fn what_loses_money_gets_only_what_it_must(sinks in some_sinks(), cap in 0.0..4000.0) {
        for (sink, share) in sinks.iter().zip(shares(&sinks, cap, &[4000.0, 4000.0])) {
            if sink.margin <= MoneyPerMwh::ZERO && share.0 > 1e-3 {
                prop_assert!(share.2.is_some());
            }
        }
    }

    #[test]
    fn the_order_of_the_sinks_does_not_matter(sinks in some_sinks(), cap in 0.0..4000.0, turn in 0..9_usize) {
        let mut turned = sinks.clone();
        turned.rotate_left(turn % sinks.len());
        turned.reverse();
        let straight = shares(&sinks, cap, &[900.0, 900.0]);
        for (sink, share) in turned.iter().zip(shares(&turned, cap, &[900.0, 900.0])) {
            prop_assert_eq!(share, straight[sink.id as usize]);
        }
    }
}
