//! One group: band, patience, holds, priorities, thresholds.

use proptest::prelude::*;

use super::*;
use Action::{Curtail, Mine};

fn one() -> World {
    World::new(profit(vec![group("hall", 21.5)], Vec::new()))
}

#[test]
fn the_band_drains_at_the_first_bad_price_and_wakes_at_the_first_good_one() {
    let mut world = one();
    // Value 96.9: drains over 106.6, wakes under 87.2.
    for (price, want) in [
        (60.0, Mine),
        (106.0, Mine),
        (107.0, Curtail),
        (100.0, Curtail),
        (88.0, Curtail),
        (87.0, Mine),
        (106.0, Mine),
        (9000.0, Curtail),
        (-20.0, Mine),
    ] {
        assert_eq!(world.at_price(price), want, "at {price}: {}", world.sentence(0));
    }
}

#[test]
fn the_sentences_have_the_numbers_in_them() {
    let mut world = one();
    let mut said = |price| {
        world.at_price(price);
        world.sentence(0)
    };
    assert_eq!(said(93.8), "keep mining: margin 3.1 $/MWh; drains at the first price that gives under -9.7");
    assert_eq!(said(137.0), "drain: margin -40.1 $/MWh is under -9.7; wakes at a price that gives over 9.7");
    assert_eq!(said(93.8), "stay asleep: margin 3.1 $/MWh; wakes at a price that gives over 9.7");
    assert_eq!(said(60.0), "wake: margin 36.9 $/MWh; drains at the first price that gives under -9.7");
}

#[test]
fn every_cost_at_the_meter_counts() {
    let mut config = profit(vec![group("hall", 21.5)], Vec::new());
    config.site.delivery = MoneyPerMwh::new(10.0).unwrap();
    config.site.overhead = Ratio::new(1.05).unwrap();
    let Rule::Economics { pool_fee, .. } = &mut config.groups[0].rule else { unreachable!() };
    *pool_fee = Ratio::new(0.02).unwrap();
    let mut world = World::new(config);
    // 96.9 · 0.98 / 1.05 = 90.44 at the meter; it drains over 99.5 in all, which is a price of 89.5.
    assert_eq!(world.at_price(89.0), Mine);
    assert_eq!(world.at_price(90.0), Curtail);
    let margins = world.engine.decisions().groups[0].margins;
    assert_eq!(margins.value.unwrap().get().round(), 90.0);
    assert_eq!(margins.cost.unwrap().get(), 100.0);
}

#[test]
fn what_the_grid_pays_for_idling_counts_as_a_cost_of_mining() {
    let mut world = one();
    world.inputs.curtail_pays = world.fresh(MoneyPerMwh::new(60.0).unwrap());
    assert_eq!(world.at_price(40.0), Mine);
    assert_eq!(world.at_price(50.0), Curtail);
}

#[test]
fn free_power_is_always_mined_with_and_worthless_work_never_paid_for() {
    let mut world = one();
    world.hashprice(0.0);
    for (price, want) in [(-1.0, Mine), (0.0, Mine), (0.01, Curtail), (0.0, Mine), (-250.0, Mine)] {
        assert_eq!(world.at_price(price), want, "at {price}");
    }
}

#[test]
fn a_sleep_lasts_its_shortest_time_whatever_the_price() {
    let mut world = one();
    world.at_price(500.0);
    world.now -= SignedDuration::from_mins(5);
    assert_eq!(world.at_price(10.0), Curtail);
    assert_eq!(world.sentence(0), "stay asleep: it may wake in 5m");
    assert_eq!(world.at_price(10.0), Mine);
}

#[test]
fn patience_on_the_way_back_counts_observations_not_evaluations() {
    let mut config = profit(vec![group("hall", 21.5)], Vec::new());
    config.policy.wake_after = 2;
    let mut world = World::new(config);
    assert_eq!(world.at_price(500.0), Curtail);
    world.price(50.0);
    for _ in 0..10 {
        assert_eq!(world.ask().groups[0].action, Curtail);
    }
    assert_eq!(world.sentence(0), "stay asleep: mining pays again, seen 1 of 2 times");
    world.now += QUARTER;
    assert_eq!(world.at_price(200.0), Curtail, "a bad one between starts the count anew");
    assert_eq!(world.at_price(50.0), Curtail);
    assert_eq!(world.at_price(50.0), Mine);
}

#[test]
fn only_another_power_price_confirms_a_power_price() {
    let mut config = profit(vec![group("hall", 21.5)], Vec::new());
    (config.policy.wake_after, config.policy.max_hold) = (2, Duration::from_secs(1000 * 3600));
    let mut world = World::new(config.clone());
    assert_eq!(world.at_price(500.0), Curtail);
    world.price(50.0);
    for _ in 0..60 {
        world.now += SignedDuration::from_mins(1);
        world.hashprice(HASHPRICE);
        world.inputs.curtail_pays = world.fresh(MoneyPerMwh::ZERO);
        assert_eq!(world.ask().groups[0].action, Curtail, "a hashprice each minute is no price of power");
    }
    assert_eq!(world.sentence(0), "stay asleep: mining pays again, seen 1 of 2 times");
    assert_eq!(world.at_price(50.0), Mine);

    // Where power has one price for ever, it is the hashprice that comes and goes.
    let fixed = Reading::Fresh { value: MoneyPerMwh::new(50.0).unwrap(), observed_at: Timestamp::MIN };
    let mut world = World::new(config.clone());
    world.inputs.power_price = fixed;
    for (hashprice, want) in [(10.0, Curtail), (50.0, Curtail), (50.0, Mine)] {
        world.hashprice(hashprice);
        assert_eq!(world.step().groups[0].action, want);
    }
    // And where nothing ever changes, nothing is waited for.
    let mut world = World::new(config.clone());
    world.inputs.power_price = fixed;
    let earned = MoneyPerPhDay::new(HASHPRICE).unwrap();
    world.inputs.hashprice = Reading::Fresh { value: earned, observed_at: Timestamp::MIN };
    for (order, want) in [(Some(Curtail), Curtail), (None, Mine)] {
        world.inputs.groups[0].order = order;
        assert_eq!(world.step().groups[0].action, want);
    }

    config.groups[0].rule = Rule::Threshold { signal: Arc::from("earnings"), drain_below: 45.0, wake_above: 50.0 };
    let mut world = World::new(config);
    world.inputs.groups[0].signal = world.fresh(40.0);
    assert_eq!(world.at_price(50.0), Curtail);
    world.inputs.groups[0].signal = world.fresh(60.0);
    for _ in 0..3 {
        assert_eq!(world.at_price(50.0), Curtail, "its signal is what a group with thresholds waits for");
    }
    world.inputs.groups[0].signal = world.fresh(60.0);
    assert_eq!(world.at_price(50.0), Mine);
}

#[test]
fn minimum_mining_time_and_the_budget_stop_small_drains_and_never_costly_ones() {
    let mut config = profit(vec![group("hall", 21.5)], Vec::new());
    config.policy.min_mining = Duration::from_secs(3600);
    let mut world = World::new(config.clone());
    assert_eq!(world.at_price(500.0), Curtail);
    assert_eq!(world.at_price(50.0), Mine);
    // A switch costs 6 minutes of 96.9: 9.69 a MW. A quarter of an hour at 130 loses 8.3, at 140 10.8.
    assert_eq!(world.at_price(130.0), Mine);
    assert_eq!(
        world.sentence(0),
        "keep mining: it woke lately and may drain in 45m; mining on loses 8.28 $ a MW until the next price, a switch costs 9.69 $"
    );
    assert_eq!(world.at_price(140.0), Curtail);

    config.policy.min_mining = Duration::ZERO;
    config.policy.drains_per_day = 2;
    let mut world = World::new(config);
    for price in [500.0, 50.0, 500.0, 50.0] {
        world.at_price(price);
    }
    assert_eq!(world.at_price(130.0), Mine, "two drains are the budget");
    assert!(world.sentence(0).starts_with("keep mining: it drained 2 times in 24 h; mining on loses 8.28 $"));
    assert_eq!(world.at_price(140.0), Curtail, "a costly hour has no budget");
    world.now += SignedDuration::from_hours(24);
    assert_eq!(world.at_price(50.0), Mine);
    assert_eq!(world.at_price(130.0), Curtail, "the budget is of the last 24 hours");
}

#[test]
fn noise_around_the_threshold_does_not_flap() {
    let mut world = one();
    let mut seed = 7_u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as f64 / f64::from(1_u32 << 31) - 0.5
    };
    let mut changes = 0;
    for quarter in 0..672 {
        // A week of prices that creep through the mining value of 97 once, with noise of ±8 %.
        let price = 80.0 + 40.0 * f64::from(quarter) / 672.0;
        changes += usize::from(world.price(price * (1.0 + 0.16 * noise())).step().groups[0].is_new);
    }
    assert_eq!(changes, 1);
}

#[test]
fn stale_missing_and_disagreeing_numbers_change_nothing_until_the_hold_is_over() {
    let price = |value| MoneyPerMwh::new(value).unwrap();
    let observed_at = start();
    for (reading, said) in [
        (Reading::Never, "the power price was never seen"),
        (Reading::Stale { value: price(9000.0), observed_at }, "the power price is stale"),
        (Reading::Split { low: price(20.0), high: price(9000.0) }, "the sources of the power price disagree"),
    ] {
        for (before, action, word) in [(20.0, Mine, "keep mining"), (500.0, Curtail, "stay asleep")] {
            let mut world = one();
            assert_eq!(world.at_price(before), action);
            world.inputs.power_price = reading;
            for _ in 0..8 {
                assert_eq!(world.step().groups[0].action, action, "{said}");
            }
            assert_eq!(world.sentence(0), format!("{word}: {said}; nothing changes for 15m"));
            assert_eq!(world.step().groups[0].action, Mine, "a dead sender leaves nobody asleep");
            let now_said = world.sentence(0);
            assert!(now_said.ends_with(&format!("{said}, for 2h or longer, so it mines")), "{now_said}");
            // The hold is over, not the evaluation: the next price decides again.
            assert_eq!(world.at_price(500.0), Curtail);
        }
    }
}

#[test]
fn an_operator_may_rather_stay_when_a_signal_stays_away() {
    let mut config = profit(vec![group("hall", 21.5)], Vec::new());
    config.policy.after_hold = AfterHold::Stay;
    let mut world = World::new(config);
    world.at_price(500.0);
    world.inputs.power_price = Reading::Never;
    for _ in 0..100 {
        assert_eq!(world.step().groups[0].action, Curtail);
    }
    assert!(world.sentence(0).ends_with("and it stays as it is"));
}

#[test]
fn a_person_comes_before_safety_before_the_grid_before_orders_before_the_clock_before_money() {
    let mut config = profit(vec![group("hall", 21.5)], Vec::new());
    config.site.grid = Some(Arc::from("grid"));
    let mut world = World::new(config);
    world.price(10.0);
    let observed_at = start();
    let mut expect = |change: &dyn Fn(&mut Inputs), action, said: &str| {
        change(&mut world.inputs);
        world.now += QUARTER;
        assert_eq!(world.ask().groups[0].action, action, "{said}");
        assert!(world.sentence(0).contains(said), "{}", world.sentence(0));
    };
    expect(&|_| {}, Mine, "margin");
    expect(&|inputs| inputs.schedule = Reading::Fresh { value: false, observed_at }, Curtail, "schedule");
    expect(&|inputs| inputs.groups[0].order = Some(Mine), Mine, "ordered by an operator");
    let grid = |value| Reading::Fresh { value: Ratio::new(value).unwrap(), observed_at };
    expect(&|inputs| inputs.grid = grid(0.0), Curtail, "the grid allows 0 % of the cap");
    expect(&|inputs| inputs.groups[0].unsafe_to_run = true, Curtail, "not safe");
    expect(&|inputs| inputs.groups[0].lockout = true, Curtail, "lockout");
    expect(&|inputs| inputs.groups[0].unsafe_to_run = false, Curtail, "lockout");
    expect(&|inputs| (inputs.grid, inputs.groups[0].lockout) = (grid(1.0), false), Mine, "ordered");
    expect(&|inputs| inputs.groups[0].order = Some(Curtail), Curtail, "ordered");
    expect(&|inputs| inputs.groups[0].order = None, Curtail, "schedule");
}

#[test]
fn a_grid_signal_that_was_never_seen_asks_for_nothing_and_one_that_is_gone_sheds() {
    let mut config = profit(vec![group("hall", 21.5)], Vec::new());
    config.site.grid = Some(Arc::from("grid"));
    let stale = Reading::Stale { value: Ratio::ONE, observed_at: start() };
    let mut world = World::new(config.clone());
    assert_eq!(world.at_price(10.0), Mine);
    world.inputs.grid = stale;
    assert_eq!(world.at_price(10.0), Curtail);
    assert_eq!(world.sentence(0), "drain: the grid's signal is gone, which means to shed");

    config.policy.stale_grid = StaleGrid::Hold;
    let mut world = World::new(config);
    world.inputs.grid = world.fresh(Ratio::ZERO);
    assert_eq!(world.at_price(10.0), Curtail);
    world.inputs.grid = stale;
    assert_eq!(world.at_price(10.0), Curtail, "what the grid said last holds");
}

#[test]
fn one_signal_two_thresholds_and_one_group_are_enough() {
    let mut simple = group("farm", 21.5);
    simple.rule = Rule::Threshold { signal: Arc::from("earnings"), drain_below: 45.0, wake_above: 50.0 };
    simple.power = None;
    let mut config = profit(vec![simple.clone()], Vec::new());
    (config.market, config.site.power_price) = (None, None);
    let mut world = World::new(config.clone());
    for (value, want) in
        [(60.0, Mine), (45.0, Mine), (44.9, Curtail), (49.0, Curtail), (50.0, Curtail), (51.0, Mine), (46.0, Mine)]
    {
        world.inputs.groups[0].signal = world.fresh(value);
        assert_eq!(world.step().groups[0].action, want, "at {value}");
    }
    assert_eq!(world.sentence(0), "keep mining: signal 46.00; drains under 45.00");

    simple.rule = Rule::Verdict { signal: Arc::from("verdict") };
    config.groups = vec![simple];
    let mut world = World::new(config);
    for (verdict, want) in [(1.0, Mine), (0.0, Curtail), (1.0, Mine)] {
        world.inputs.groups[0].signal = world.fresh(verdict);
        assert_eq!(world.step().groups[0].action, want);
    }
    assert_eq!(world.sentence(0), "wake: the verdict is profitable");
}

#[test]
fn measured_efficiency_is_frozen_while_the_group_sleeps() {
    let mut measured = group("hall", 21.5);
    measured.rule = Rule::Economics { efficiency: Efficiency::Measured, pool_fee: Ratio::ZERO };
    let mut world = World::new(profit(vec![measured], Vec::new()));
    assert_eq!(world.at_price(500.0), Mine, "nothing measured, nothing decided");
    assert!(world.sentence(0).contains("its J/TH was never seen"));
    world.inputs.groups[0].efficiency = JoulesPerTerahash::new(21.5);
    assert_eq!(world.at_price(500.0), Curtail);
    // Asleep there are watts and no hashes.
    world.inputs.groups[0].efficiency = JoulesPerTerahash::new(1e6);
    assert_eq!(world.at_price(50.0), Mine);
}

#[test]
fn what_the_power_side_finds_is_believed() {
    let mut world = one();
    world.price(95.0);
    assert_eq!(world.ask().groups[0].action, Mine);
    let now = world.now;
    world.engine.observe(0, Curtail, now);
    world.now += QUARTER;
    assert_eq!(world.at_price(95.0), Curtail, "within the band it stays as it is found");
    assert_eq!(world.at_price(50.0), Mine);
}

#[derive(Debug, Clone, Copy)]
enum Seen {
    Fresh(f64),
    Stale(f64),
    Split(f64, f64),
    Never,
}

fn anything() -> impl Strategy<Value = Seen> {
    let number = || prop_oneof![-500.0..10_000.0, Just(0.0), -1e18..1e18];
    prop_oneof![
        4 => number().prop_map(Seen::Fresh),
        1 => number().prop_map(Seen::Stale),
        1 => (number(), number()).prop_map(|(low, high)| Seen::Split(low, high)),
        1 => Just(Seen::Never),
    ]
}

fn reading<T>(seen: Seen, now: Timestamp, new: impl FnMut(f64) -> Option<T>) -> Reading<T> {
    let reading = match seen {
        Seen::Fresh(value) => Reading::Fresh { value, observed_at: now },
        Seen::Stale(value) => Reading::Stale { value, observed_at: now },
        Seen::Split(low, high) => Reading::Split { low, high },
        Seen::Never => Reading::Never,
    };
    reading.try_map(new)
}

proptest! {
    #[test]
    fn whatever_comes_in_every_reason_can_be_read(
        steps in prop::collection::vec((anything(), anything(), anything(), anything(), anything(), 0..7200_i64), 1..40)
    ) {
        let mut config = profit(vec![group("a", 17.5), group("b", 38.0)], vec![gpus()]);
        config.ai[0].notice = Duration::from_secs(600);
        config.ai[0].min_term = Duration::from_secs(3600);
        let mut world = World::new(config);
        for (price, hashprice, ai, demand, grid, seconds) in steps {
            world.now += SignedDuration::from_secs(seconds);
            let now = world.now;
            world.inputs.power_price = reading(price, now, MoneyPerMwh::new);
            world.inputs.hashprice = reading(hashprice, now, MoneyPerPhDay::new);
            world.inputs.grid = reading(grid, now, Ratio::new);
            world.inputs.ai[0].value = reading(ai, now, MoneyPerMwh::new);
            world.inputs.ai[0].demand = reading(demand, now, Ratio::new);
            let decisions = world.ask();
            let sentences = decisions.groups.iter().map(|decision| decision.reason.to_string());
            for sentence in sentences.chain(decisions.ai.iter().map(|decision| decision.reason.to_string())) {
                prop_assert!(!sentence.contains("NaN") && !sentence.contains("inf"), "{}", sentence);
            }
            let drawn: f64 = decisions.groups.iter().filter(|decision| decision.action == Mine).count() as f64 * 1e6
                + decisions.ai[0].watts.get();
            let reserved = decisions.groups.iter().filter(|decision| decision.action != Mine).count() as f64 * 1e4;
            prop_assert!(drawn + reserved <= 2e6 + 1.0, "{} W", drawn);
        }
    }
}
