//! Machines are put to sleep and woken without losing a share, their power goes to AI compute and comes back, and a restart in the middle
//! goes on: the whole proxy over real sockets, with doubles for firmware and AI compute.

mod world;

use std::time::{Duration, Instant};

use hashgate::{
    app::Proxy,
    config::Mode,
    power::{
        control::{Control, ControlError, Forget, PowerSnapshot},
        device::{Goal, PowerMode, StageKind},
        group::Phase,
        receipt::{Move, Outcome},
        site::{LeaseMessage, LeaseOrder, Whereabouts},
        task::take_over,
    },
};

use self::world::{ASLEEP_W, AWAKE_W, BY_HAND, LIMIT, MACHINES, UNMEASURED, World, drivers, eventually, of_group};

/// Everything that was found good was settled as accepted.
fn is_whole(bill: &hashgate::power::receipt::ShareBill) -> bool {
    bill.in_flight_at_start + bill.submitted == bill.accepted + bill.in_flight_at_end
        && (bill.rejected, bill.timed_out) == (0, 0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verdict_moves_the_farms_power_to_ai_compute_and_back_and_no_share_is_lost() {
    let world = World::start("active").await;
    world.is_known().await;
    world.says(true).await;
    eventually("shares flow", || world.proxy().totals().accepted > 50).await;
    assert_eq!(world.firmware.commands(), [], "who mines is not told to");

    world.says(false).await;
    world.is_in(Phase::Asleep).await;
    assert_eq!(world.firmware.sleeping(), MACHINES);
    let receipt = world.receipt().await;
    assert_eq!((receipt.kind, receipt.outcome), (Move::Drain, Outcome::Done), "{receipt:#?}");
    assert_eq!((receipt.devices.asked, receipt.devices.confirmed), (MACHINES as u64, MACHINES as u64));
    assert!(is_whole(&receipt.shares), "{:#?}", receipt.shares);
    assert_eq!(receipt.shares.in_flight_at_end, 0);
    assert_eq!(receipt.watts.before_w, AWAKE_W * MACHINES as f64);
    assert_eq!(receipt.watts.after_w, ASLEEP_W * MACHINES as f64);
    assert!(receipt.why.contains("unprofitable") || receipt.why.starts_with("drain"), "{}", receipt.why);

    eventually("AI compute has the power", || world.gpus.leased() == 20_000.0).await;
    world.shows("its lease", |snapshot| snapshot.site.blocks[0].as_ref().unwrap().granted.get() == 20_000.0).await;
    let slept = world.proxy().totals().accepted;

    world.says(true).await;
    world.is_in(Phase::Mining).await;
    assert_eq!((world.firmware.sleeping(), world.gpus.leased()), (0, 0.0));
    let receipt = world.receipt().await;
    assert_eq!((receipt.kind, receipt.outcome), (Move::Wake, Outcome::Done), "{receipt:#?}");
    // The power was asked back and returned before anybody was told to wake.
    let told = world.gpus.told();
    assert!(matches!(told.last().unwrap().what, LeaseOrder::Revoke { .. }), "{told:?}");
    eventually("shares flow again", || world.proxy().totals().accepted > slept + 20).await;
    let sleeps = world.firmware.commands().iter().filter(|(_, sleeps)| *sleeps).count();
    assert_eq!((sleeps, world.firmware.commands().len()), (MACHINES, 2 * MACHINES), "each is told once each way");
    world.no_share_is_lost().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_in_the_middle_goes_on_and_wakes_nobody_who_was_asleep_for_a_reason() {
    let mut world = World::start("active").await;
    world.is_known().await;
    eventually("modes are told", || world.firmware.told_modes() == MACHINES).await;
    let before = world.proxy().totals().accepted;
    eventually("shares flow", || world.proxy().totals().accepted > before + 20).await;
    world.says(false).await;
    eventually("the drain has begun", || world.firmware.sleeping() > 0).await;
    world.restart().await;
    world.is_in(Phase::Asleep).await;
    assert_eq!(world.firmware.sleeping(), MACHINES);
    eventually("AI compute has the power", || world.gpus.leased() == 20_000.0).await;

    // What was lent stays lent, although the new life has seen no signal yet.
    world.restart().await;
    world.is_known().await;
    world.is_in(Phase::Asleep).await;
    let snapshot =
        world.shows("its lease", |snapshot| snapshot.site.blocks[0].as_ref().unwrap().granted.get() > 0.0).await;
    assert_eq!(snapshot.site.epoch.0, 3, "each start is counted");
    assert_eq!(world.gpus.leased(), 20_000.0);
    assert!(world.gpus.told().iter().all(|message| matches!(message.what, LeaseOrder::Grant { .. })));
    assert!(world.firmware.commands().iter().all(|(_, sleeps)| *sleeps), "nobody was woken");

    world.says(true).await;
    world.is_in(Phase::Mining).await;
    assert_eq!((world.firmware.sleeping(), world.gpus.leased()), (0, 0.0));
    let low = Some(PowerMode("low".into()));
    assert_eq!(world.firmware.woken_in(), vec![low; MACHINES], "as they were before two restarts");
    let before = world.proxy().totals().accepted;
    eventually("shares flow", || world.proxy().totals().accepted > before + 20).await;
    let kinds: Vec<Move> = world.power().receipts(10).await.unwrap().iter().map(|receipt| receipt.kind).collect();
    assert_eq!(kinds.first(), Some(&Move::Wake), "{kinds:?}");
    assert!(kinds.contains(&Move::Drain), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_connects_only_after_its_group_is_asleep_sleeps_soon_after() {
    let mut world = World::start("active").await;
    world.is_known().await;
    world.says(false).await;
    world.is_in(Phase::Asleep).await;
    eventually("AI compute has the power", || world.gpus.leased() == 20_000.0).await;
    let told = world.gpus.told().len();

    world.another_connects().await;
    eventually("it sleeps", || world.firmware.sleeping() == MACHINES + 1).await;
    let all = MACHINES + 1;
    let snapshot = world
        .shows("all are proven asleep", |snapshot| {
            let group = snapshot.site.groups[0].as_ref().expect("it can be moved");
            group.sleeping[StageKind::Confirmed as usize] == all
        })
        .await;
    assert_eq!(of_group(&snapshot), Phase::Asleep);
    let says = |snapshot: &PowerSnapshot, words: &str| {
        snapshot.events.iter().filter(|past| past.event.words.contains(words)).count()
    };
    assert_eq!(
        says(&snapshot, "device \"farm.0009\" turned up while its group is to sleep"),
        1,
        "{:#?}",
        snapshot.events
    );
    assert_eq!(says(&snapshot, "group \"hall-a\": ASLEEP → "), 0, "{:#?}", snapshot.events);
    assert_eq!(world.power().receipts(10).await.unwrap().len(), 1, "the drain's, and no other");
    let commands = world.firmware.commands();
    assert_eq!((commands.len(), commands.last()), (all, Some(&(MACHINES, true))), "nobody else was told again");
    let renewals = |message: &LeaseMessage| matches!(message.what, LeaseOrder::Grant { .. });
    assert!(world.gpus.told()[told..].iter().all(renewals), "what is lent stays lent: {:?}", world.gpus.told());
    assert_eq!(world.gpus.leased(), 20_000.0);

    // The record has it: the next life knows that it was told.
    world.restart().await;
    world.is_in(Phase::Asleep).await;
    let commands = world.firmware.commands();
    assert_eq!((world.firmware.sleeping(), commands.len()), (all, all), "{commands:?}");
    let devices = world.power().devices("hall-a").await.unwrap();
    assert!(devices.len() == all && devices.iter().all(|device| device.goal == Goal::Sleep), "{devices:#?}");
    world.no_share_is_lost().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_moves_nothing_and_in_mode_advise_an_operator_alone_does() {
    let mut world = World::start("dry_run").await;
    world.is_known().await;
    world.says(false).await;
    let drain = Control::Drain { why: "a fan is loud".into(), until: None };
    let plan = world.power().control("hall-a", drain.clone(), true).await.unwrap();
    assert_eq!((plan.devices, plan.leads_to), (MACHINES as u64, Some(Phase::DrainPending)), "{plan:#?}");
    assert_eq!(world.power().control("hall-a", drain.clone(), false).await, Err(ControlError::DryRun));
    assert!(matches!(
        world.power().control("hall-b", drain.clone(), false).await,
        Err(ControlError::UnknownGroup { .. })
    ));
    assert_eq!(world.power().set_mode(Mode::Advise).await, Ok(Mode::DryRun));
    world.shows("the mode", |snapshot| snapshot.mode == Mode::Advise).await;
    assert_eq!((world.firmware.commands().len(), world.gpus.told().len()), (0, 0));

    world.power().control("hall-a", drain.clone(), false).await.unwrap();
    world.is_in(Phase::Asleep).await;
    assert_eq!(world.receipt().await.why, "a fan is loud".into());
    // The mode that was set by hand, and the order, outlive the process.
    world.restart().await;
    world.is_known().await;
    let snapshot = world.is_in(Phase::Asleep).await;
    assert_eq!((snapshot.mode, &snapshot.orders[0]), (Mode::Advise, &Some(drain)));
    world.says(true).await;
    let released = world.power().control("hall-a", Control::Release, false).await;
    assert!(released.is_ok(), "{released:?}");
    let wake = Control::Wake { why: "it is mended".into(), until: None };
    world.power().control("hall-a", wake, false).await.unwrap();
    world.is_in(Phase::Mining).await;
    assert_eq!(world.gpus.told(), [], "prices lend nothing in mode advise");
    assert_eq!(of_group(&world.power().snapshot()), Phase::Mining);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_ledger_is_not_begun_anew_by_itself() {
    let mut world = World::start("active").await;
    world.is_known().await;
    world.says(false).await;
    world.is_in(Phase::Asleep).await;
    eventually("power is lent", || world.gpus.leased() > 0.0).await;
    world.stop().await;
    let before = world.gpus.told().len();
    world.lose_ledger();
    let refused = Proxy::start_with(world.config(), &drivers(&world.firmware, &world.gpus)).await;
    let refused = refused.map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("the power ledger is lost") && refused.contains("hashgate take-over"), "{refused}");
    let epoch = take_over(&world.config()).unwrap();
    world.go_on().await;
    // AI compute counts with all that it could hold, until it has said that it holds nothing.
    eventually("everything is asked back", || world.gpus.told().len() > before).await;
    assert!(matches!(world.gpus.told()[before].what, LeaseOrder::Revoke { .. }), "{:?}", world.gpus.told());
    let snapshot =
        world.shows("it is back", |snapshot| snapshot.site.blocks[0].as_ref().unwrap().leases.is_empty()).await;
    assert!(snapshot.site.epoch > epoch);
    // They sleep, and nobody in the new ledger put them to sleep: an operator's word wakes them, and no price.
    world.shows("who sleeps is known", |snapshot| snapshot.site.groups[0].as_ref().unwrap().idle == MACHINES).await;
    world.says(true).await;
    let wake = Control::Wake { why: "the ledger was lost".into(), until: None };
    let plan = world.power().control("hall-a", wake.clone(), true).await.unwrap();
    assert_eq!((plan.devices, plan.leads_to), (MACHINES as u64, Some(Phase::WakePending)), "{plan:#?}");
    assert!(plan.words[0].contains("8 machines sleep that nobody here put to sleep"), "{plan:#?}");
    assert_eq!(world.firmware.sleeping(), MACHINES);
    world.power().control("hall-a", wake, false).await.unwrap();
    eventually("they are woken", || world.firmware.sleeping() == 0).await;
    let woken = |snapshot: &PowerSnapshot| snapshot.receipts.first().is_some_and(|receipt| receipt.kind == Move::Wake);
    world.shows("the wake's receipt", woken).await;
    world.is_in(Phase::Mining).await;
    let receipt = world.receipt().await;
    assert_eq!((receipt.kind, receipt.devices.confirmed), (Move::Wake, MACHINES as u64), "{receipt:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_asked_for_machines_that_nothing_measures_and_their_power_is_never_free() {
    let world = World::start_with("advise", UNMEASURED).await;
    let count = |snapshot: &PowerSnapshot| snapshot.site.groups[0].as_ref().expect("it is there").devices;
    world.shows("the devices are found", |snapshot| count(snapshot) == MACHINES).await;
    let is_asked = |words: &'static str| {
        move |snapshot: &PowerSnapshot| {
            let mut words_of = snapshot.events.iter().map(|past| &*past.event.words);
            words_of.any(|said| said.contains(words) && said.contains("their power never counts as free"))
        }
    };
    assert!(!is_asked("please")(&world.power().snapshot()), "nothing was ordered");
    let drain = Control::Drain { why: "a fan is loud".into(), until: None };
    world.power().control("hall-a", drain, false).await.unwrap();
    let snapshot = world.shows("a person is asked", is_asked("please put to sleep 8 devices by hand")).await;
    assert!(snapshot.site.balance.asic.get() >= 3_850.0 * MACHINES as f64 - 1e-6, "{}", snapshot.site.balance);
    let wake = Control::Wake { why: "it is mended".into(), until: None };
    world.power().control("hall-a", wake, false).await.unwrap();
    world.shows("a person is asked", is_asked("please wake 8 devices by hand")).await;
    assert_eq!(world.firmware.commands(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_is_gone_is_forgotten_by_an_operators_word_and_found_again_when_it_is_back() {
    let mut world = World::start("advise").await;
    world.is_known().await;
    let one = || Forget::Device("farm.0001".to_owned());
    let there = world.power().forget("hall-a", one(), false).await;
    // By its connection, or by its watts where whose that is was not looked up yet.
    assert!(matches!(&there, Err(ControlError::NotForgotten(why)) if why.contains("it is there")), "{there:?}");
    let unknown = world.power().forget("hall-a", Forget::Device("farm.0099".to_owned()), false).await;
    assert!(matches!(unknown, Err(ControlError::UnknownDevice { .. })), "{unknown:?}");

    world.firmware.is_carried_away(0, true);
    let deadline = Instant::now() + LIMIT;
    loop {
        let devices = world.power().devices("hall-a").await.unwrap();
        let device = devices.iter().find(|device| &*device.name == "farm.0001").unwrap();
        let Whereabouts { address, is_found, seen, .. } = device.whereabouts;
        assert!(is_found && address.is_some() && seen.is_some(), "{device:?}");
        // Not before its last reading, by which it draws, is too old.
        if !device.whereabouts.is_connected && device.stage == StageKind::Unavailable {
            match world.power().forget("hall-a", one(), true).await {
                Err(ControlError::NotForgotten(why)) if why.contains("by its last reading") => {}
                _ => break,
            }
        }
        assert!(Instant::now() < deadline, "{device:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let young = world.power().forget("hall-a", Forget::OlderThan(Duration::from_secs(3_600)), false).await.unwrap();
    assert_eq!((young.devices, young.kept), (vec![], vec![]), "an hour is not over");
    let dry = world.power().forget("hall-a", one(), true).await.unwrap();
    assert_eq!(dry.devices.len(), 1);
    assert!((dry.frees_kw - 3.85).abs() < 1e-9, "{dry:?}");
    let count = |snapshot: &PowerSnapshot| snapshot.site.groups[0].as_ref().expect("it can be moved").devices;
    assert_eq!(count(&world.power().snapshot()), MACHINES, "nothing was forgotten");
    assert_eq!(world.power().forget("hall-a", one(), false).await, Ok(dry));
    world.shows("it is forgotten", |snapshot| count(snapshot) == MACHINES - 1).await;
    world.restart().await;
    world.shows("the others are known", |snapshot| count(snapshot) == MACHINES - 1).await;

    world.firmware.is_carried_away(0, false);
    world.shows("it is found again", |snapshot| count(snapshot) == MACHINES).await;
    world.is_known().await;
    // With the others it sleeps, and so it is kept.
    world.power().control("hall-a", Control::Drain { why: "a test".into(), until: None }, false).await.unwrap();
    world.is_in(Phase::Asleep).await;
    world.firmware.is_carried_away(0, true);
    let asleep = loop {
        match world.power().forget("hall-a", one(), false).await {
            Err(ControlError::NotForgotten(why)) if why.contains("it is connected") && Instant::now() < deadline => {}
            other => break other,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(matches!(&asleep, Err(ControlError::NotForgotten(why)) if why.contains("put to sleep")), "{asleep:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_was_put_to_sleep_and_whose_group_is_gone_is_struck_out_by_an_operators_word() {
    let mut world = World::start("active").await;
    world.is_known().await;
    world.says(false).await;
    world.is_in(Phase::Asleep).await;
    eventually("AI compute has the power", || world.gpus.leased() == 20_000.0).await;
    // The hall is sold, and another one is bought.
    world.stop().await;
    world.hall = ("hall-b", "other.*");
    world.go_on().await;
    let orphans = |snapshot: &PowerSnapshot| snapshot.orphans.machines.get("hall-a").map_or(0, Vec::len);
    assert_eq!(orphans(&world.power().snapshot()), MACHINES);
    let one = || "farm.0001".to_owned();
    let refused = |answer: &Result<_, ControlError>, words: &str| match answer {
        Err(ControlError::NotForgotten(why)) => assert!(why.contains(words), "{why}"),
        other => panic!("{words:?}: {other:?}"),
    };
    // What it slept for is lent, and nobody would see it draw.
    let answer = world.power().forget("hall-a", Forget::Gone(one()), false).await;
    refused(&answer, "20.0 kW are lent to AI compute, and no meter of the site would see it draw");
    world.says(true).await;
    let is_back = |snapshot: &PowerSnapshot| snapshot.site.blocks[0].as_ref().is_some_and(|it| it.leases.is_empty());
    world.shows("it is given back", is_back).await;
    let answer = world.power().forget("hall-a", Forget::Device(one()), false).await;
    refused(&answer, "If it is gone for good, say so: `hashgate forget hall-a farm.0001 --confirm gone`");
    let answer = world.power().forget("hall-a", Forget::Gone("farm.0099".to_owned()), false).await;
    assert!(matches!(answer, Err(ControlError::UnknownGroup { .. })), "{answer:?}");
    let dry = world.power().forget("hall-a", Forget::Gone(one()), true).await.unwrap();
    assert_eq!((dry.devices.len(), dry.frees_kw), (1, 0.0), "{dry:?}");
    assert_eq!(orphans(&world.power().snapshot()), MACHINES, "nothing was forgotten");

    assert_eq!(world.power().forget("hall-a", Forget::Gone(one()), false).await, Ok(dry));
    world.shows("the others", |snapshot| orphans(snapshot) == MACHINES - 1).await;
    world.restart().await;
    assert_eq!(orphans(&world.power().snapshot()), MACHINES - 1, "that was written");
    // Back again it is found as new: nobody here put it to sleep.
    world.stop().await;
    world.hall = world::HALL;
    world.go_on().await;
    world
        .shows("who is who", |snapshot| {
            let group = snapshot.site.groups[0].as_ref().expect("it can be moved");
            group.idle == 1 && group.devices == MACHINES
        })
        .await;
    assert_eq!(orphans(&world.power().snapshot()), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_switches_a_hall_with_one_meter_and_power_is_lent_only_when_all_of_it_sleeps() {
    let world = World::start_with("active", BY_HAND).await;
    world.reads_meter();
    world.is_known().await;
    world.says(false).await;
    // For all of them, in as many parts as there is room for.
    let is_asked = |what: &'static str| {
        move |snapshot: &PowerSnapshot| {
            let asked = snapshot.events.iter().filter_map(|past| {
                let (_, behind) = past.event.words.split_once(&format!("please {what} "))?;
                behind.split(' ').next()?.parse::<usize>().ok()
            });
            asked.sum::<usize>() == MACHINES
        }
    };
    world.shows("a person is asked", is_asked("put to sleep")).await;

    let draws = |watts: f64| {
        move |snapshot: &PowerSnapshot| {
            let group = snapshot.site.groups[0].as_ref().expect("it can be moved");
            (group.drawn.get() - watts).abs() < 1.0
        }
    };
    world.firmware.is_switched(0..MACHINES - 1, true);
    let most_sleep = world.firmware.drawn();
    let snapshot = world.shows("the meter's drop", draws(most_sleep)).await;
    assert_eq!(of_group(&snapshot), Phase::Draining);
    assert_eq!((world.gpus.leased(), world.gpus.told().len()), (0.0, 0), "one of them draws");

    world.firmware.is_switched(MACHINES - 1..MACHINES, true);
    world.is_in(Phase::Asleep).await;
    eventually("AI compute has the power", || world.gpus.leased() == 20_000.0).await;
    let receipt = world.receipt().await;
    assert_eq!((receipt.kind, receipt.outcome), (Move::Drain, Outcome::Done), "{receipt:#?}");
    assert_eq!(receipt.watts.after_w, ASLEEP_W * MACHINES as f64);

    world.says(true).await;
    world.shows("a person is asked", is_asked("wake")).await;
    assert_eq!(world.gpus.leased(), 0.0, "who wakes them finds the power returned");
    world.firmware.is_switched(0..MACHINES, false);
    world.is_in(Phase::Mining).await;
    assert_eq!(world.firmware.commands(), [], "nothing but the person told them");
    world.no_share_is_lost().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_says_how_long_machines_take_once_they_were_seen_and_after_a_restart() {
    let mut world = World::start("active").await;
    world.is_known().await;
    world.says(true).await;
    let drain = Control::Drain { why: "a fan is loud".into(), until: None };
    let plan = world.power().control("hall-a", drain.clone(), true).await.unwrap();
    let says = |plan: &hashgate::power::control::Plan, what: &str| {
        plan.words.iter().any(|words| words.starts_with(&format!("its machines {what} in about ")))
    };
    assert!(!says(&plan, "fall asleep"), "nobody has seen it: {:?}", plan.words);

    world.says(false).await;
    world.is_in(Phase::Asleep).await;
    let wake = Control::Wake { why: "a visitor".into(), until: None };
    let plan = world.power().control("hall-a", wake, true).await.unwrap();
    assert!(!says(&plan, "wake"), "none has woken yet: {:?}", plan.words);
    world.says(true).await;
    world.is_in(Phase::Mining).await;
    // It is looked at once a second.
    let begun = std::time::Instant::now();
    while !says(&world.power().control("hall-a", drain.clone(), true).await.unwrap(), "fall asleep") {
        assert!(begun.elapsed() < world::LIMIT, "eight of them were seen");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    world.restart().await;
    world.is_known().await;
    let plan = world.power().control("hall-a", drain, true).await.unwrap();
    assert!(says(&plan, "fall asleep"), "it was kept: {:?}", plan.words);
}
