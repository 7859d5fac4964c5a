//! Groups against AI compute, under caps.

use proptest::prelude::*;

use super::*;
use Action::{Curtail, Mine};

/// Values at 50 a PH and day: 154, 97 and 55 a MWh. One MW each, and GPUs that take one at the meter.
fn three() -> Profit {
    profit(vec![group("new", 13.5), group("mid", 21.5), group("old", 38.0)], vec![gpus()])
}

fn actions(decisions: &Decisions) -> Vec<Action> {
    decisions.groups.iter().map(|decision| decision.action).collect()
}

#[test]
fn the_worst_groups_give_their_power_to_ai_and_as_many_as_it_takes() {
    let mut world = World::new(three());
    // 250 at the meter.
    let decisions = world.price(40.0).ai(312.5, 1.0).step();
    // One group gives 990 kW (it draws 1 % asleep), the 10 kW more would idle another megawatt.
    assert_eq!(actions(&decisions), [Mine, Mine, Action::Ai]);
    assert_eq!(decisions.mode, SiteMode::Partial);
    assert_eq!(decisions.ai[0].watts.in_words().to_string(), "990.0 kW");
    assert_eq!(
        decisions.groups[2].reason.to_string(),
        "drain for AI: AI compute gives a margin of 210.0 $/MWh, mining 14.8"
    );
    assert_eq!(decisions.ai[0].reason.to_string(), "margin 210.0 $/MWh");
}

#[test]
fn without_demand_a_sleeping_group_is_curtailed_and_with_it_its_power_goes_to_ai() {
    let mut world = World::new(three());
    let decisions = world.price(60.5).ai(312.5, 0.0).step();
    assert_eq!(actions(&decisions), [Mine, Mine, Curtail], "55 a MWh are not 60.5");
    assert_eq!(decisions.ai[0].reason.to_string(), "no demand");
    let decisions = world.price(60.5).ai(312.5, 1.0).step();
    assert_eq!(actions(&decisions), [Mine, Mine, Action::Ai]);
    let decisions = world.price(400.0).ai(312.5, 0.0).step();
    assert_eq!((actions(&decisions), decisions.mode), (vec![Curtail; 3], SiteMode::Curtailed));
    let mut all = three();
    all.ai[0].power = Watts::new(1e7).unwrap();
    let mut world = World::new(all);
    let decisions = world.price(60.0).ai(1098.0, 1.0).step();
    assert_eq!((actions(&decisions), decisions.mode), (vec![Action::Ai; 3], SiteMode::Ai));
}

#[test]
fn a_little_ai_does_not_idle_a_large_group() {
    let mut world = World::new(three());
    // A tenth of a megawatt at 250 earns 21 an hour over its power; the megawatt of the oldest 14.8: worth it.
    assert_eq!(actions(&world.price(40.0).ai(312.5, 0.1).step()), [Mine, Mine, Action::Ai]);
    // A twentieth does not.
    let mut world = World::new(three());
    let decisions = world.price(40.0).ai(312.5, 0.05).step();
    assert_eq!(actions(&decisions), [Mine; 3]);
    assert!(decisions.ai[0].reason.to_string().contains("too little to move power for"));
}

#[test]
fn a_move_must_pay_for_the_switch_within_the_time_the_power_is_sure_to_stay() {
    let mut config = three();
    config.groups.truncate(1);
    config.ai[0].warm_up = Duration::from_secs(1800);
    let gain_needed = |horizon: Duration| {
        let mut config = config.clone();
        config.ai[0].min_term = horizon;
        let least = (150..400).find(|value| {
            let mut world = World::new(config.clone());
            world.price(40.0).ai(f64::from(*value) * 1.25, 1.0).step().groups[0].action == Action::Ai
        });
        f64::from(least.unwrap()) - 154.3
    };
    // 6 minutes of 154 and half an hour of 40 are 35 a MW: over four hours 9 a MWh, over one 35.
    let (long, short) = (gain_needed(Duration::from_secs(4 * 3600)), gain_needed(Duration::from_secs(3600)));
    assert!((8.0..12.0).contains(&long), "{long}");
    assert!((34.0..40.0).contains(&short), "{short}");
}

#[test]
fn power_moved_to_ai_does_not_come_back_for_a_small_difference() {
    let mut config = three();
    config.groups = vec![group("hall", 21.5)];
    let mut world = World::new(config);
    assert_eq!(world.price(40.0).ai(150.0, 1.0).step().groups[0].action, Action::Ai);
    let mut changes = 0;
    for step in 0..200 {
        // Mining earns 97 a MWh, AI at the meter 95 or 99. A switch costs 9.7 a MW, over four hours 2.4 a MWh.
        let value = if step % 2 == 0 { 95.0 } else { 99.0 };
        changes += usize::from(world.price(40.0).ai(value * 1.25, 1.0).step().groups[0].is_new);
    }
    assert_eq!(changes, 0);
    assert_eq!(world.price(40.0).ai(50.0, 1.0).step().groups[0].action, Mine);
}

#[test]
fn a_lease_runs_its_term_and_comes_back_after_its_notice() {
    let mut config = three();
    config.groups = vec![group("hall", 21.5)];
    config.ai[0].min_term = Duration::from_secs(3600);
    config.ai[0].notice = Duration::from_secs(1800);
    let mut world = World::new(config);
    assert_eq!(world.price(40.0).ai(400.0, 1.0).step().groups[0].action, Action::Ai);
    let mut told = Vec::new();
    for _ in 0..7 {
        let decisions = world.price(40.0).ai(60.0, 1.0).step();
        told.push((decisions.groups[0].action, decisions.ai[0].watts.kilowatts(), decisions.ai[0].reason.to_string()));
    }
    let kept = |text: &str| (Action::Ai, 990.0, text.to_owned());
    assert_eq!(
        told,
        [
            kept("its term runs for another 45m"),
            kept("its term runs for another 30m"),
            kept("its term runs for another 15m"),
            kept("gives power back in 30m"),
            kept("gives power back in 15m"),
            (Mine, 0.0, "margin 8.0 $/MWh, which is too little to move power for".to_owned()),
            (Mine, 0.0, "margin 8.0 $/MWh, which is too little to move power for".to_owned()),
        ]
    );
}

#[test]
fn unknown_ai_numbers_move_nothing() {
    let mut world = World::new(three());
    assert_eq!(actions(&world.price(40.0).ai(312.5, 1.0).step()), [Mine, Mine, Action::Ai]);
    world.inputs.ai[0].value = Reading::Stale { value: MoneyPerMwh::ZERO, observed_at: start() };
    let decisions = world.price(40.0).step();
    assert_eq!(actions(&decisions), [Mine, Mine, Action::Ai]);
    assert_eq!(decisions.ai[0].reason.to_string(), "the AI price is stale; nothing changes");
    let mut world = World::new(three());
    assert_eq!(actions(&world.price(40.0).step()), [Mine; 3], "AI that was never heard of takes nothing");
}

#[test]
fn a_dead_sender_leaves_no_miner_asleep_for_ai() {
    let stale = Reading::Stale { value: Ratio::ONE, observed_at: start() };
    let mut config = three();
    config.groups = vec![group("hall", 21.5)];
    config.ai[0].notice = Duration::from_secs(1800);
    let mut world = World::new(config.clone());
    assert_eq!(world.price(40.0).ai(400.0, 1.0).step().groups[0].action, Action::Ai);
    world.inputs.ai[0].demand = stale;
    // Held for two hours, then asked back with its notice.
    for step in 0..10 {
        let decisions = world.price(40.0).step();
        assert_eq!(decisions.groups[0].action, Action::Ai, "{step}");
    }
    assert_eq!(world.engine.decisions().ai[0].reason.to_string(), "gives power back in 15m");
    let decisions = world.price(40.0).step();
    assert_eq!((decisions.groups[0].action, decisions.ai[0].watts), (Mine, Watts::ZERO));

    // Without a power price nobody can tell what pays: the same.
    config.ai[0].notice = Duration::ZERO;
    let mut world = World::new(config.clone());
    assert_eq!(world.price(40.0).ai(400.0, 1.0).step().groups[0].action, Action::Ai);
    world.inputs.power_price = Reading::Stale { value: MoneyPerMwh::ZERO, observed_at: start() };
    for _ in 0..8 {
        assert_eq!(world.ai(400.0, 1.0).step().groups[0].action, Action::Ai);
    }
    let decisions = world.ai(400.0, 1.0).step();
    assert_eq!(decisions.groups[0].action, Mine);

    // Who said so keeps things as they are, and a promised term is kept in any case.
    let mut stays = config.clone();
    stays.policy.after_hold = AfterHold::Stay;
    config.ai[0].min_term = Duration::from_secs(24 * 3600);
    for config in [stays, config] {
        let mut world = World::new(config);
        assert_eq!(world.price(40.0).ai(400.0, 1.0).step().groups[0].action, Action::Ai);
        world.inputs.ai[0].demand = stale;
        for _ in 0..40 {
            assert_eq!(world.price(40.0).step().groups[0].action, Action::Ai);
        }
    }
}

#[test]
fn what_must_run_does_not_hide_what_ai_would_earn() {
    let mut farm = group("farm", 21.5);
    farm.rule = Rule::Verdict { signal: Arc::from("verdict") };
    farm.power = Watts::new(100e6);
    let mut world = World::new(profit(vec![farm, group("hall", 21.5)], vec![gpus()]));
    world.inputs.groups[0].signal = world.fresh(1.0);
    assert_eq!(actions(&world.price(40.0).ai(312.5, 1.0).step()), [Mine, Action::Ai]);
}

#[test]
fn the_grids_share_is_of_the_meter_with_its_base_load() {
    let mut config = three();
    config.ai.clear();
    config.site.grid = Some(Arc::from("grid"));
    config.site.cap = Watts::new(4e6);
    config.site.base_load = Watts::new(1e6).unwrap();
    let mut world = World::new(config);
    // 2.8 MW at the meter, of which the base load has one: two groups and a sleeping one would make 3.01.
    world.inputs.grid = world.fresh(Ratio::new(0.7).unwrap());
    assert_eq!(actions(&world.price(20.0).step()), [Mine, Curtail, Curtail]);
    world.inputs.grid = world.fresh(Ratio::new(0.76).unwrap());
    world.now += QUARTER;
    assert_eq!(actions(&world.price(20.0).step()), [Mine, Mine, Curtail]);
}

#[test]
fn an_order_to_mine_comes_before_better_miners_where_there_is_no_room_for_both() {
    let mut config = profit(vec![group("old", 38.0), group("new", 13.5)], Vec::new());
    config.site.cap = Watts::new(1.1e6);
    let mut world = World::new(config);
    world.inputs.groups[0].order = Some(Mine);
    assert_eq!(actions(&world.price(20.0).step()), [Mine, Curtail]);
}

#[test]
fn a_lockout_holds_for_a_group_that_draws_as_much_asleep() {
    let mut config = profit(vec![group("contract", 21.5)], Vec::new());
    config.groups[0].floor = Watts::new(1e6).unwrap();
    config.site.cap = Watts::new(5e6);
    let mut world = World::new(config);
    world.inputs.groups[0].lockout = true;
    assert_eq!(actions(&world.price(20.0).step()), [Curtail]);
}

/// Two groups and GPUs that take one MW at the meter and earn most, under a cap that all fit; and the grid's word.
fn gridded() -> Profit {
    let mut config = profit(vec![group("new", 13.5), group("mid", 21.5)], vec![gpus()]);
    config.site.grid = Some(Arc::from("grid"));
    config.site.cap = Watts::new(3e6);
    config
}

/// AI at 878 a MWh of the meter, power at 40.
fn at_share(world: &mut World, share: f64) -> Decisions {
    world.inputs.grid = world.fresh(Ratio::new(share).unwrap());
    world.price(40.0).ai(1097.5, 1.0).step()
}

#[test]
fn the_grids_share_takes_the_worst_group_first_and_ai_keeps_what_earns_most() {
    let mut world = World::new(gridded());
    let decisions = at_share(&mut world, 1.0);
    assert_eq!((actions(&decisions), decisions.ai[0].watts.kilowatts()), (vec![Mine; 2], 1000.0));
    for (share, groups) in [(0.9, [Mine, Curtail]), (0.5, [Curtail, Curtail])] {
        let decisions = at_share(&mut world, share);
        assert_eq!(actions(&decisions), groups, "at {share}");
        assert_eq!(decisions.ai[0].watts.kilowatts(), 1000.0, "at {share}");
        assert_eq!(decisions.ai[0].reason.to_string(), "margin 838.0 $/MWh");
        let said = format!("drain: the grid allows {:.0} % of the cap", share * 100.0);
        assert_eq!(decisions.groups[groups.iter().filter(|action| **action == Mine).count()].reason.to_string(), said);
    }
    // Less than AI has: it gets what is left over two sleeping groups, at once.
    let decisions = at_share(&mut world, 0.2);
    assert_eq!(decisions.ai[0].watts.kilowatts(), 580.0);
    assert_eq!(decisions.ai[0].reason.to_string(), "the grid allows 20 % of the cap");
    let decisions = at_share(&mut world, 0.0);
    assert_eq!((actions(&decisions), decisions.ai[0].watts), (vec![Curtail; 2], Watts::ZERO));
    assert_eq!(decisions.mode, SiteMode::Curtailed);
    assert_eq!(decisions.groups[0].reason.to_string(), "stay asleep: the grid allows 0 % of the cap");
    assert_eq!(decisions.ai[0].reason.to_string(), "the grid allows 0 % of the cap");
    let decisions = at_share(&mut world, 1.0);
    assert_eq!((actions(&decisions), decisions.ai[0].watts.kilowatts()), (vec![Mine; 2], 1000.0));
}

#[test]
fn the_grid_interrupts_ai_within_its_term_by_no_more_than_is_over_its_share() {
    let mut config = gridded();
    (config.ai[0].min_term, config.ai[0].notice) = (Duration::from_secs(7200), Duration::from_secs(1800));
    let mut world = World::new(config);
    at_share(&mut world, 1.0);
    // AI earns less than any miner by now: it is cut first, and only by the 300 kW that are over.
    world.inputs.grid = world.fresh(Ratio::new(0.9).unwrap());
    for _ in 0..3 {
        let decisions = world.price(40.0).ai(60.0, 1.0).step();
        assert_eq!((actions(&decisions), decisions.ai[0].watts.kilowatts().round()), (vec![Mine; 2], 700.0));
    }
}

#[test]
fn ai_that_may_not_be_interrupted_keeps_its_power_for_its_term_and_notice_and_a_full_shed_takes_it() {
    let mut config = gridded();
    (config.ai[0].min_term, config.ai[0].notice) = (Duration::from_secs(1800), Duration::from_secs(900));
    config.ai[0].interruptible = false;
    let mut world = World::new(config.clone());
    at_share(&mut world, 1.0);
    // 600 kW are allowed, 20 of them for sleeping groups: a quarter of an hour of its term is left, then comes the notice.
    let watts: Vec<f64> = (0..4).map(|_| at_share(&mut world, 0.2).ai[0].watts.kilowatts().round()).collect();
    assert_eq!(watts, [1000.0, 1000.0, 580.0, 580.0]);
    let mut world = World::new(config.clone());
    at_share(&mut world, 1.0);
    let decisions = at_share(&mut world, 0.0);
    assert_eq!((actions(&decisions), decisions.ai[0].watts), (vec![Curtail; 2], Watts::ZERO));
    // It is promised nothing while the grid takes power.
    let mut world = World::new(config);
    let decisions = at_share(&mut world, 0.9);
    assert_eq!(decisions.ai[0].watts, Watts::ZERO);
    assert_eq!(decisions.ai[0].reason.to_string(), "the grid allows 90 % of the cap");
}

#[test]
fn what_sleeps_for_ai_and_what_sleeps_for_the_grid_are_told_apart() {
    let mut config = three();
    config.site.grid = Some(Arc::from("grid"));
    let mut world = World::new(config);
    assert_eq!(actions(&at_share(&mut world, 1.0)), [Mine, Mine, Action::Ai]);
    let decisions = at_share(&mut world, 0.9);
    assert_eq!(actions(&decisions), [Mine, Curtail, Action::Ai]);
    assert_eq!(decisions.groups[1].reason.to_string(), "drain: the grid allows 90 % of the cap");
    assert!(
        decisions.groups[2].reason.to_string().starts_with("stay asleep for AI: AI compute gives a margin of 838.0")
    );
}

#[test]
fn a_cap_lets_the_best_groups_mine() {
    let mut config = profit(vec![group("old", 38.0), group("new", 13.5), group("mid", 21.5)], Vec::new());
    config.site.cap = Watts::new(2.2e6);
    config.site.base_load = Watts::new(0.1e6).unwrap();
    let mut world = World::new(config);
    let decisions = world.price(20.0).step();
    assert_eq!(actions(&decisions), [Curtail, Mine, Mine]);
    assert_eq!(decisions.groups[0].reason.to_string(), "drain: no room under the cap of 2.10 MW or its feeder's");
}

#[test]
fn an_external_verdict_is_not_outbid_but_what_it_drains_goes_to_ai() {
    let mut judged = group("farm", 21.5);
    judged.rule = Rule::Verdict { signal: Arc::from("verdict") };
    let mut config = profit(vec![judged], vec![gpus()]);
    (config.market, config.site.power_price) = (None, None);
    let mut world = World::new(config);
    world.inputs.groups[0].signal = world.fresh(1.0);
    assert_eq!(actions(&world.ai(1000.0, 1.0).step()), [Mine]);
    world.inputs.groups[0].signal = world.fresh(0.0);
    let decisions = world.ai(1000.0, 1.0).step();
    assert_eq!(actions(&decisions), [Action::Ai]);
    assert_eq!(decisions.groups[0].reason.to_string(), "drain for AI: the verdict is unprofitable");
}

proptest! {
    #[test]
    fn never_over_the_grids_share_where_ai_may_be_interrupted(
        steps in prop::collection::vec((0.0..=1.0, 0.0..1500.0, 0.0..=1.0, 0.0..200.0, 0..3600_i64), 1..30)
    ) {
        let mut config = three();
        config.site.grid = Some(Arc::from("grid"));
        (config.ai[0].min_term, config.ai[0].notice) = (Duration::from_secs(7200), Duration::from_secs(3600));
        let mut world = World::new(config);
        for (share, ai, demand, price, seconds) in steps {
            world.now += SignedDuration::from_secs(seconds);
            world.inputs.grid = world.fresh(Ratio::new(share).unwrap());
            let decisions = world.price(price).ai(ai, demand).ask();
            let groups: f64 = actions(&decisions).iter().map(|action| if *action == Mine { 1e6 } else { 1e4 }).sum();
            // Sleeping machines are never less than that.
            prop_assert!(groups + decisions.ai[0].watts.get() <= (share * 3e6).max(3e4) + 1.0, "{decisions:?}");
        }
    }
}
