//! Scenes of a rack: what a drain and a wake do in good weather and in bad.

use super::*;

/// A rack of so many devices, measured and mining.
fn rack(count: usize) -> Rack {
    let mut rack = Rack::new(specs(count), terms());
    rack.passes(10);
    rack
}

fn asleep(count: usize) -> Rack {
    let mut rack = rack(count);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 900);
    rack
}

#[test]
fn a_drain_and_a_wake_tell_their_story() {
    let mut rack = rack(5);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 300);
    rack.passes(120);
    rack.says(order(Goal::Mine, false));
    rack.until(Phase::Mining, 600);
    insta::assert_snapshot!(rack.told.join("\n"));
}

#[test]
fn a_receipt_adds_up() {
    let mut rack = asleep(5);
    rack.says(order(Goal::Mine, false));
    rack.until(Phase::Mining, 600);
    let receipts: Vec<String> =
        rack.receipts.iter().map(|receipt| serde_json::to_string_pretty(receipt).unwrap()).collect();
    for (receipt, text) in rack.receipts.iter().zip(&receipts) {
        assert_eq!(serde_json::from_str::<Receipt>(text).unwrap(), *receipt);
        let seconds = receipt.seconds;
        let sum = seconds.to_first_command_s + seconds.to_last_proof_s + seconds.to_quiet_s;
        assert!((sum - seconds.total_s).abs() < 1e-9, "{text}");
    }
    insta::assert_snapshot!(receipts.join("\n"));
}

#[test]
fn the_worst_sleep_first_and_the_best_wake_first() {
    let mut rack = asleep(6);
    assert_eq!(rack.commanded("Sleep"), ["5", "4", "3", "2", "1", "0"]);
    rack.says(order(Goal::Mine, false));
    rack.until(Phase::Mining, 900);
    assert_eq!(rack.commanded("Wake"), ["0", "1", "2", "3", "4", "5"]);
}

#[test]
fn what_lies_is_tried_again_and_never_counted_as_free() {
    let mut rack = rack(8);
    rack.miners[7].lies = true;
    rack.miners[3].lies = true;
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 900);
    assert_eq!(rack.commanded("Sleep").iter().filter(|device| **device == "7").count(), 3);
    assert_eq!(rack.freed.keys().copied().collect::<Vec<_>>(), [0, 1, 2, 4, 5, 6]);
    assert_eq!(rack.receipts[0].outcome, Outcome::Partial);
    assert_eq!((rack.receipts[0].devices.confirmed, rack.receipts[0].devices.failed), (6, 2));
}

#[test]
fn firmware_that_never_obeys_stops_at_its_canaries_and_is_tried_again() {
    let mut rack = rack(40);
    rack.miners.iter_mut().for_each(|miner| miner.lies = true);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Fault, 600);
    let mut told = rack.commanded("Sleep");
    told.sort_unstable();
    told.dedup();
    assert!(told.len() <= 6, "three canaries of two: {told:?}");
    rack.miners.iter_mut().for_each(|miner| miner.lies = false);
    rack.until(Phase::Asleep, 2_000);
    assert_eq!(rack.asleep(), 40);
}

#[test]
fn a_hall_is_asleep_though_one_of_its_machines_always_wakes_by_itself() {
    let mut rack = rack(40);
    rack.says(order(Goal::Sleep, true));
    let begun = rack.second;
    let mut wakers = (0..40).cycle();
    while rack.group.phase() != Phase::Asleep {
        // No machine more than twice, so that none is given up.
        let waited = rack.second - begun;
        assert!(waited < 320, "all were heard of, and two quiet limits have passed:\n{}", rack.told.join("\n"));
        rack.passes(8);
        rack.miners[wakers.next().unwrap()].changes = Some((rack.second, false));
    }
    assert!(rack.receipts[0].devices.confirmed >= 38, "{:?}", rack.receipts[0]);
    // They are put to sleep again, one by one.
    rack.passes(60);
    assert_eq!((rack.group.phase(), rack.asleep()), (Phase::Asleep, 40));
}

#[test]
fn a_machine_that_was_not_seen_when_a_lockout_began_sleeps_once_it_is_seen() {
    for comes_late in [false, true] {
        let mut rack = rack(4);
        rack.miners[2].is_reachable = false;
        rack.passes(40);
        rack.says(Input::Lock("fans are changed".into()));
        rack.passes(if comes_late { 300 } else { 3 });
        assert!(!rack.miners[2].sleeps, "nobody tells one that is not seen");
        rack.miners[2].is_reachable = true;
        rack.joins(specs(5)[4].clone());
        rack.passes(120);
        assert_eq!((rack.group.phase(), rack.asleep()), (Phase::Lockout, 5), "{}", rack.told.join("\n"));
        rack.says(Input::Unlock);
        rack.until(Phase::Mining, 900);
        assert_eq!(rack.asleep(), 0);
    }
}

#[test]
fn the_floor_goes_on_mining_and_what_cannot_be_managed_counts_to_it() {
    let mut specs = specs(6);
    specs[5].can_sleep = false;
    let mut rack = Rack::new(specs, Terms { floor: watts(2.0 * MINING), ..terms() });
    rack.passes(40);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 600);
    let mines: Vec<usize> = (0..6).filter(|index| !rack.miners[*index].sleeps).collect();
    assert_eq!(mines, [0, 5], "the best one, and the one that nothing can put to sleep");
    assert_eq!(rack.receipts[0].devices.left_out, 2);
    rack.says(order(Goal::Sleep, true));
    rack.passes(60);
    assert_eq!(rack.asleep(), 4, "an emergency does not break the floor");
}

#[test]
fn an_emergency_knows_no_dwell_and_no_ramp_but_waits_for_the_record_and_the_watts() {
    let mut rack = Rack::new(specs(20), Terms { min_mining: Duration::from_secs(3_600), ..terms() });
    rack.passes(10);
    // It wakes, and has to mine for an hour.
    rack.says(order(Goal::Sleep, true));
    rack.until(Phase::Asleep, 120);
    rack.says(order(Goal::Mine, false));
    rack.until(Phase::Mining, 1_200);
    let begin = rack.second;
    rack.says(order(Goal::Sleep, false));
    rack.passes(60);
    assert_eq!(rack.group.phase(), Phase::DrainPending);
    rack.commands.clear();
    rack.says(order(Goal::Sleep, true));
    rack.passes(2);
    assert_eq!(rack.commands.len(), 20, "all at once");
    assert!(rack.freed.is_empty(), "a command is no proof");
    rack.until(Phase::Asleep, 60);
    assert_eq!(rack.freed.len(), 20);
    assert!(rack.second < begin + 180);
}

#[test]
fn a_share_under_way_keeps_a_group_from_being_asleep() {
    let mut rack = rack(3);
    rack.pool_answers = false;
    rack.says(order(Goal::Sleep, false));
    rack.passes(60);
    assert_eq!((rack.asleep(), rack.group.phase()), (3, Phase::Draining));
    for index in 0..3 {
        let waiting = rack.group.device(index).unwrap().in_flight();
        assert!(waiting > 0);
        rack.says(Input::Shares(index, Shares { accepted: waiting - 1, timed_out: 1, ..Shares::default() }));
    }
    assert_eq!(rack.group.phase(), Phase::Asleep);
    assert_eq!(rack.receipts[0].shares.timed_out, 3);
    assert_eq!(rack.receipts[0].shares.in_flight_at_end, 0);
}

#[test]
fn a_pool_that_never_answers_is_not_waited_for_for_ever() {
    let mut rack = rack(3);
    rack.pool_answers = false;
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 300);
    assert!(rack.receipts[0].shares.in_flight_at_end > 0, "and the receipt says so");
}

#[test]
fn what_wakes_by_itself_is_debited_at_once_and_put_back_to_sleep() {
    let mut rack = asleep(8);
    rack.passes(60);
    rack.miners.iter_mut().for_each(|miner| miner.sleeps = false);
    rack.passes(EVERY);
    assert!(rack.freed.is_empty(), "within one measurement");
    rack.passes(150);
    assert_eq!((rack.freed.len(), rack.group.phase()), (8, Phase::Asleep));
    assert!(rack.heard("woke by itself"));
}

#[test]
fn a_second_controller_is_left_to_a_person() {
    let mut rack = asleep(4);
    for _ in 0..3 {
        rack.passes(90);
        rack.miners[2].sleeps = false;
    }
    rack.passes(10);
    assert_eq!(rack.group.phase(), Phase::ManualHold);
    assert!(rack.heard("who else commands it?"));
    rack.says(order(Goal::Mine, false));
    rack.passes(120);
    assert_eq!(rack.group.phase(), Phase::ManualHold, "an order does not end a hold");
    rack.says(Input::Release);
    rack.until(Phase::Mining, 900);
}

#[test]
fn a_group_that_is_half_asleep_is_never_taken_for_the_one_or_the_other() {
    let half = || {
        let mut rack = rack(8);
        rack.says(order(Goal::Sleep, false));
        rack.passes(40);
        rack.says(Input::Hold("a visit".into()));
        rack.passes(20);
        assert_eq!((rack.asleep(), rack.group.phase()), (4, Phase::ManualHold));
        rack
    };
    let mut rack = half();
    rack.says(Input::Release);
    assert_eq!(rack.group.phase(), Phase::DrainPending);
    rack.says(order(Goal::Mine, false));
    rack.until(Phase::Mining, 900);
    assert_eq!(rack.asleep(), 0);

    let mut rack = half();
    rack.has_room = false;
    rack.says(order(Goal::Mine, false));
    rack.says(Input::Release);
    assert_eq!(rack.group.phase(), Phase::WakePending);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 900);
    assert_eq!(rack.asleep(), 8);
}

#[test]
fn nothing_wakes_without_the_ledger() {
    let mut rack = asleep(4);
    rack.has_room = false;
    rack.says(order(Goal::Mine, false));
    rack.passes(600);
    assert_eq!((rack.asleep(), rack.group.phase()), (4, Phase::WakePending));
    assert_eq!(rack.told.iter().filter(|line| line.contains("4 machines have to wait")).count(), 1, "said once");
    rack.says(order(Goal::Sleep, false));
    assert_eq!(rack.group.phase(), Phase::Asleep);
    rack.has_room = true;
    rack.says(order(Goal::Mine, false));
    rack.until(Phase::Mining, 600);
    assert_eq!(rack.asleep(), 0);
}

/// Mines, and does so truly.
fn mines_truly(rack: &mut Rack, limit: i64) {
    rack.until(Phase::Mining, limit);
    let is_mining = |miner: &Miner| !miner.sleeps && miner.falls_asleep.is_none();
    assert!(rack.miners.iter().all(is_mining), "it mines and does not:\n{}", rack.told.join("\n"));
    assert_eq!(rack.group.counts(Goal::Mine), [0; StageKind::COUNT]);
}

#[test]
fn who_is_turned_back_on_its_way_to_sleep_mines_once_it_has_found_a_share_since() {
    for delay in 0..45 {
        let mut rack = rack(4);
        // What was found until a machine slept is told when it boots, and a boot draws.
        rack.counts_every = 7;
        rack.miners.iter_mut().for_each(|miner| miner.surges = true);
        rack.says(order(Goal::Sleep, false));
        rack.passes(delay);
        rack.says(order(Goal::Mine, false));
        mines_truly(&mut rack, 900);
    }
}

#[test]
fn a_sleep_that_takes_effect_after_the_wake_is_not_overlooked() {
    for dozes in [3, 12, 29] {
        for delay in [1, 2, 5, 20] {
            let mut rack = rack(3);
            rack.miners[2].dozes = Some(dozes);
            rack.says(order(Goal::Sleep, false));
            rack.passes(delay);
            rack.says(order(Goal::Mine, false));
            if delay % 2 == 0 {
                rack.passes(2);
                rack.crashes();
            }
            mines_truly(&mut rack, 900);
        }
    }
}

#[test]
fn a_hall_mines_without_the_few_that_do_not_wake_and_wakes_them_later() {
    let mut rack = asleep(30);
    for index in [3, 7] {
        rack.miners[index].is_reachable = false;
    }
    rack.miners[11].surges = true;
    rack.passes(10);
    rack.says(order(Goal::Mine, false));
    rack.until(Phase::Mining, 1_800);
    assert!(rack.heard("all but 2 devices draw power"), "{}", rack.told.join("\n"));
    assert!(
        rack.heard("it mines without 2 of its 30 devices, which count as load: \"m3\", \"m7\""),
        "{}",
        rack.told.join("\n")
    );
    let receipt = &rack.receipts[1];
    assert_eq!((receipt.outcome, receipt.devices.confirmed, receipt.devices.asked), (Outcome::Partial, 28, 30));
    assert!([3, 7].iter().all(|index| rack.group.device(*index).unwrap().counts_full()), "they may draw all they can");
    let sentences = |rack: &Rack| rack.told.iter().filter(|line| line.contains("it mines without")).count();
    let said = sentences(&rack);
    rack.passes(4_000);
    assert!((2..=5).contains(&(sentences(&rack) - said)), "each time later:\n{}", rack.told.join("\n"));
    // A crash does not forget them, and once they are seen they are woken.
    rack.crashes();
    rack.passes(40);
    rack.says(order(Goal::Mine, false));
    rack.miners.iter_mut().for_each(|miner| miner.is_reachable = true);
    rack.passes(400);
    assert_eq!((rack.asleep(), rack.group.phase()), (0, Phase::Mining), "{}", rack.told.join("\n"));
    assert_eq!(rack.group.counts(Goal::Mine), [0; StageKind::COUNT]);
    let record = rack.disk.as_ref().unwrap();
    assert!(record.devices.is_empty(), "{record:?}");
}

#[test]
fn those_that_a_group_mines_without_are_put_to_sleep_with_it() {
    let mut rack = asleep(30);
    rack.miners[3].lies = true;
    rack.miners[3].is_reachable = false;
    rack.passes(10);
    rack.says(order(Goal::Mine, false));
    rack.until(Phase::Mining, 1_800);
    rack.miners[3].is_reachable = true;
    rack.miners[3].lies = false;
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 1_800);
    rack.passes(60);
    assert_eq!(rack.asleep(), 30);
}

#[test]
fn a_group_that_does_not_wake_is_a_fault_that_is_tried_again() {
    // Two of four, and the only one.
    for (count, fails) in [(4, 2), (1, 1)] {
        let mut rack = asleep(count);
        rack.miners[..fails].iter_mut().for_each(|miner| miner.is_reachable = false);
        rack.passes(10);
        assert!(!rack.freed.contains_key(&0), "what is not seen counts at its bound");
        rack.says(order(Goal::Mine, false));
        rack.until(Phase::Fault, 900);
        assert_eq!(rack.asleep(), fails);
        rack.miners.iter_mut().for_each(|miner| miner.is_reachable = true);
        rack.until(Phase::Mining, 900);
        assert_eq!(rack.asleep(), 0);
    }
    // One of four is none.
    let mut rack = asleep(4);
    rack.miners[1].is_reachable = false;
    rack.passes(10);
    rack.says(order(Goal::Mine, false));
    rack.until(Phase::Mining, 900);
}

#[test]
fn who_stops_mining_by_itself_is_named_and_woken_and_at_the_third_time_left_alone() {
    let mut rack = rack(20);
    rack.says(order(Goal::Mine, false));
    for round in 1..=3 {
        rack.miners[5].sleeps = true;
        rack.passes(599);
        assert_eq!(rack.commanded("Wake").len(), round - 1, "a reboot takes less");
        rack.passes(120);
        let said = rack.told.iter().filter(|line| line.contains("\"m5\" is to mine and draws 20 W")).count();
        assert_eq!(said, round.min(2), "{}", rack.told.join("\n"));
    }
    assert_eq!((rack.commanded("Wake"), rack.group.phase()), (vec!["5", "5"], Phase::Mining));
    assert!(rack.heard("\"m5\" is put to sleep again and again"), "{}", rack.told.join("\n"));
    rack.passes(3_000);
    assert_eq!(rack.commanded("Wake").len(), 2, "nobody fights over it");
    // A person's word, or the next order, begins anew.
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 900);
    rack.says(order(Goal::Mine, false));
    rack.until(Phase::Mining, 900);
    assert_eq!(rack.asleep(), 0);
}

#[test]
fn where_nothing_was_ordered_nobody_is_woken_who_sleeps_by_hand() {
    let mut rack = rack(4);
    rack.miners[1].sleeps = true;
    rack.passes(2_000);
    assert!(rack.commands.is_empty() && rack.heard("somebody may have put it to sleep"), "{}", rack.told.join("\n"));
}

#[test]
fn one_that_finds_no_share_in_its_time_is_taken_at_its_watts() {
    let mut rack = asleep(5);
    rack.miners[2].finds_shares = false;
    rack.says(order(Goal::Mine, false));
    let begun = rack.second;
    rack.until(Phase::Mining, 900);
    assert!(rack.second - begun < 300, "within the time that a wake may take: {} s", rack.second - begun);
    assert_eq!(rack.commanded("Wake").len(), 5, "it is not told again");
    assert!(rack.heard("1 have found no share in their time and are taken at their watts"), "{}", rack.told.join("\n"));
    let devices = rack.receipts[1].devices;
    assert_eq!((devices.confirmed, devices.by_watts), (5, 1));
}

#[test]
fn a_group_without_machines_mines_and_says_so_until_its_first_one_is_found() {
    let mut rack = Rack::new(Vec::new(), terms());
    rack.passes(10);
    rack.says(order(Goal::Sleep, false));
    rack.passes(700);
    assert_eq!(rack.group.phase(), Phase::Mining);
    let said = rack.told.iter().filter(|line| line.contains("no device is known that could be put to sleep")).count();
    assert_eq!((said, rack.told.len()), (1, 1), "{}", rack.told.join("\n"));
    rack.crashes();
    rack.passes(60);
    for spec in specs(3) {
        rack.joins(spec);
        rack.passes(7);
    }
    rack.until(Phase::Asleep, 300);
    assert_eq!(rack.asleep(), 3, "all that came with the first one");
}

#[test]
fn a_command_that_waits_has_all_its_time_and_is_withdrawn_when_it_is_not_wanted_any_more() {
    let mut rack = rack(4);
    rack.is_busy = true;
    rack.says(order(Goal::Sleep, true));
    rack.passes(1_000);
    assert_eq!((rack.waiting.len(), rack.group.phase()), (4, Phase::Draining), "{}", rack.told.join("\n"));
    assert!(!rack.heard("did not"), "nobody has failed who was not told:\n{}", rack.told.join("\n"));
    rack.says(order(Goal::Mine, false));
    assert!(rack.waiting.is_empty());
    rack.until(Phase::Mining, 60);
    assert!(rack.commands.is_empty() && rack.receipts.is_empty(), "nobody was told: {:?}", rack.receipts);

    // The same on the way back.
    rack.is_busy = false;
    rack.says(order(Goal::Sleep, true));
    rack.until(Phase::Asleep, 300);
    rack.is_busy = true;
    rack.says(order(Goal::Mine, false));
    rack.passes(1_000);
    assert_eq!((rack.waiting.len(), rack.group.phase()), (4, Phase::Waking));
    rack.says(order(Goal::Sleep, true));
    rack.until(Phase::Asleep, 60);
    rack.passes(EVERY);
    assert_eq!((rack.commands.len(), rack.freed.len()), (4, 4), "they slept all along:\n{}", rack.told.join("\n"));
    rack.says(order(Goal::Mine, false));
    rack.passes(1_000);
    rack.is_busy = false;
    rack.calls();
    mines_truly(&mut rack, 300);
}

#[test]
fn a_share_that_is_counted_late_is_in_the_receipt() {
    let mut rack = rack(3);
    // Nothing was found since it started, as far as was told.
    rack.finds_shares = false;
    rack.says(order(Goal::Sleep, true));
    rack.passes(1);
    rack.finds_shares = true;
    rack.counts_every = 40;
    let count = |rack: &Rack| rack.found.len() as u64;
    while rack.asleep() < 3 {
        rack.passes(1);
    }
    let found = count(&rack);
    rack.until(Phase::Asleep, 300);
    assert!(found > 0 && rack.receipts[0].shares.submitted == found, "{found} of {:?}", rack.receipts[0].shares);
}

#[test]
fn a_person_at_the_rack_outranks_everybody() {
    let mut rack = asleep(4);
    rack.says(order(Goal::Mine, false));
    rack.passes(2);
    rack.says(Input::Lock("someone is at the rack".into()));
    rack.passes(300);
    assert_eq!((rack.asleep(), rack.group.phase()), (4, Phase::Lockout), "what was told to wake is told to sleep");
    rack.says(order(Goal::Mine, false));
    rack.says(Input::Release);
    rack.crashes();
    rack.passes(600);
    assert_eq!((rack.asleep(), rack.group.phase()), (4, Phase::Lockout));
    rack.says(Input::Unlock);
    rack.until(Phase::Mining, 900);
}

#[test]
fn asleep_is_not_left_and_mining_not_entered_before_its_time() {
    let terms = Terms { min_asleep: Duration::from_secs(900), ..terms() };
    let mut rack = Rack::new(specs(2), terms);
    rack.passes(10);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 300);
    rack.says(order(Goal::Mine, false));
    rack.passes(890);
    assert_eq!((rack.asleep(), rack.group.phase()), (2, Phase::WakePending));
    rack.until(Phase::Mining, 300);
}

#[test]
fn no_share_no_proof_of_mining() {
    let mut rack = asleep(2);
    rack.finds_shares = false;
    rack.says(order(Goal::Mine, false));
    rack.passes(150);
    assert_eq!((rack.asleep(), rack.group.phase()), (0, Phase::Waking));
    // What a pool says of it comes later, if at all.
    (rack.finds_shares, rack.pool_answers) = (true, false);
    rack.passes(EVERY);
    assert_eq!(rack.group.phase(), Phase::Mining);
}

#[test]
fn of_a_question_that_fits_in_part_the_first_wake_and_the_rest_ask_again() {
    let mut rack = asleep(4);
    rack.most_at_once = 1;
    rack.says(order(Goal::Mine, false));
    rack.until(Phase::Mining, 600);
    assert_eq!(rack.commanded("Wake"), ["0", "1", "2", "3"]);
    assert_eq!(rack.asleep(), 0);
}

#[test]
fn a_device_that_joins_sleeps_with_its_group_and_a_bigger_one_fits_into_the_ramp() {
    let mut rack = asleep(2);
    let mut spec = specs(3).remove(2);
    spec.most = watts(2.0 * MOST);
    rack.joins(spec);
    rack.passes(120);
    assert_eq!((rack.asleep(), rack.group.phase()), (3, Phase::Asleep), "{}", rack.told.join("\n"));
    rack.says(order(Goal::Mine, false));
    rack.until(Phase::Mining, 600);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 600);
    assert_eq!(rack.asleep(), 3);
}

#[test]
fn a_crash_at_every_second_of_a_drain_and_a_wake_loses_nobody() {
    for crash in 0..160 {
        let mut rack = rack(5);
        rack.says(order(Goal::Sleep, false));
        rack.passes(crash.min(80));
        if crash > 80 {
            rack.until(Phase::Asleep, 600);
            rack.says(order(Goal::Mine, false));
            rack.passes(crash - 80);
        }
        rack.crashes();
        rack.passes(45);
        rack.says(order(Goal::Mine, false));
        rack.until(Phase::Mining, 1_500);
        rack.passes(60);
        assert!(!rack.heard("FAULT"), "crash after {crash} s:\n{}", rack.told.join("\n"));
        assert_eq!(rack.asleep(), 0, "crash after {crash} s:\n{}", rack.told.join("\n"));
    }
}

#[test]
fn a_measurement_from_before_the_command_proves_nothing() {
    let mut rack = rack(1);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Draining, 10);
    rack.passes(1);
    let stale = Sample { at: at(rack.second - 20), watts: watts(SLEEPING), mode: None };
    rack.says(Input::Sample(0, stale));
    let ahead = Sample { at: at(rack.second) + SignedDuration::from_secs(60), watts: watts(SLEEPING), mode: None };
    rack.says(Input::Sample(0, ahead));
    assert!(rack.freed.is_empty());
}

#[test]
fn a_wake_of_a_clock_that_was_ahead_is_not_waited_for_until_then() {
    let name = "m0".into();
    let rouses_until = Some(at(86_400));
    let device =
        DeviceRecord { name, goal: Goal::Sleep, is_proven_asleep: false, rouses_until, dozes_until: None, mode: None };
    let order = Order { goal: Goal::Sleep, urgent: false, why: "mining loses".into() };
    let record = Record {
        number: 1,
        event: 1,
        phase: Phase::Draining,
        order,
        since: at(0),
        overruled: None,
        devices: vec![device],
    };
    let group = Group::rebuild("hall".into(), terms(), specs(1), &record, at(0));
    assert_eq!(group.device(0).unwrap().rouses_until(), Some(at(180)), "it was sent now at the latest");
}
