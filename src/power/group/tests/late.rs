//! Machines that turn up while their group is to sleep, and groups whose machines draw nothing as it is.

use super::*;

/// How one is missing when the drain begins.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Missing {
    /// Its actuator can't be reached.
    Away,
    /// It is not known yet.
    Unknown,
    /// It draws nothing: it is rebooting, or somebody put it to sleep.
    Idle,
}

const MISSING: [Missing; 3] = [Missing::Away, Missing::Unknown, Missing::Idle];

/// Measured and mining, but for the last of so many.
fn without_one(count: usize, missing: Missing, terms: Terms) -> Rack {
    let there = if missing == Missing::Unknown { count - 1 } else { count };
    let mut rack = Rack::new(specs(there), terms);
    match missing {
        Missing::Away => rack.miners[count - 1].is_reachable = false,
        Missing::Idle => rack.miners[count - 1].sleeps = true,
        Missing::Unknown => {}
    }
    rack.passes(40);
    rack
}

fn turns_up(rack: &mut Rack, index: usize, missing: Missing) {
    match missing {
        Missing::Away => rack.miners[index].is_reachable = true,
        Missing::Idle => rack.miners[index].sleeps = false,
        Missing::Unknown => rack.joins(specs(index + 1).remove(index)),
    }
}

fn said(rack: &Rack, words: &str) -> usize {
    rack.told.iter().filter(|line| line.contains(words)).count()
}

#[test]
fn a_machine_that_turns_up_while_its_group_drains_is_one_of_those_that_are_waited_for() {
    for missing in MISSING {
        for delay in [2, 9, 15, 60] {
            let mut rack = without_one(6, missing, terms());
            rack.says(order(Goal::Sleep, false));
            rack.passes(delay);
            assert_eq!(rack.group.phase(), Phase::Draining, "{missing:?}, {delay} s");
            turns_up(&mut rack, 5, missing);
            rack.until(Phase::Asleep, 300);
            let story = rack.told.join("\n");
            assert_eq!((rack.asleep(), rack.freed.len()), (6, 6), "{missing:?}, {delay} s:\n{story}");
            assert_eq!(said(&rack, "\"m5\" turned up while its group is to sleep, and draws 3.3 kW"), 1, "{story}");
            assert_eq!(rack.commanded("Sleep").len(), 6, "each is told once:\n{story}");
            let receipt = &rack.receipts[0];
            let devices = receipt.devices;
            assert_eq!((receipt.outcome, devices.asked, devices.confirmed), (Outcome::Done, 6, 6), "{receipt:?}");
            assert_eq!((receipt.watts.before_w, receipt.watts.after_w), (6.0 * MINING, 6.0 * SLEEPING), "{receipt:?}");
            rack.says(order(Goal::Mine, false));
            rack.until(Phase::Mining, 600);
            assert_eq!(rack.asleep(), 0);
        }
    }
}

#[test]
fn a_machine_that_turns_up_while_its_group_sleeps_is_put_to_sleep_and_the_group_stays_asleep() {
    for missing in MISSING {
        let mut rack = without_one(6, missing, terms());
        rack.says(order(Goal::Sleep, false));
        rack.until(Phase::Asleep, 300);
        rack.passes(100);
        assert_eq!((rack.freed.len(), rack.receipts[0].devices.asked), (5, 5));
        turns_up(&mut rack, 5, missing);
        let up = rack.second;
        while rack.freed.len() < 6 {
            rack.passes(1);
            let story = rack.told.join("\n");
            assert_eq!(rack.group.phase(), Phase::Asleep, "{missing:?}:\n{story}");
            assert!(rack.second < up + 30, "{missing:?}:\n{story}");
        }
        let story = rack.told.join("\n");
        assert_eq!(rack.commanded("Sleep").len(), 6, "nobody else is told, and no canary:\n{story}");
        assert_eq!(said(&rack, "turned up while its group is to sleep"), 1, "{story}");
        assert_eq!(rack.receipts.len(), 1, "{:?}", rack.receipts);
        // A restart finds it proven, as it finds the others.
        rack.passes(2);
        rack.crashes();
        rack.until(Phase::Asleep, 60);
        assert_eq!((rack.commanded("Sleep").len(), rack.receipts.len()), (6, 1), "{}", rack.told.join("\n"));
        rack.passes(60);
        // From now on it is one that sleeps: what wakes it is a drift.
        rack.miners[5].sleeps = false;
        rack.passes(60);
        let story = rack.told.join("\n");
        assert_eq!((rack.asleep(), said(&rack, "woke by itself"), said(&rack, "turned up")), (6, 1, 1), "{story}");
        rack.says(order(Goal::Mine, false));
        rack.until(Phase::Mining, 600);
        assert_eq!(rack.asleep(), 0);
    }
}

#[test]
fn a_machine_that_turns_up_while_its_group_is_to_mine_mines() {
    let mut rack = without_one(4, Missing::Away, terms());
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 300);
    rack.has_room = false;
    rack.says(order(Goal::Mine, false));
    turns_up(&mut rack, 3, Missing::Away);
    rack.passes(60);
    assert_eq!((rack.asleep(), rack.group.phase()), (3, Phase::WakePending));
    // The way back takes it along.
    rack.says(order(Goal::Sleep, false));
    rack.passes(60);
    assert_eq!((rack.asleep(), rack.group.phase()), (4, Phase::Asleep), "{}", rack.told.join("\n"));
}

#[test]
fn a_machine_that_turns_up_and_does_not_obey_is_given_up_and_counts_as_load() {
    let mut rack = without_one(6, Missing::Away, terms());
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 300);
    rack.miners[5].lies = true;
    turns_up(&mut rack, 5, Missing::Away);
    rack.passes(600);
    let tries = rack.commanded("Sleep").into_iter().filter(|index| *index == "5").count();
    assert_eq!((tries, rack.freed.len(), rack.group.phase()), (3, 5, Phase::Asleep), "{}", rack.told.join("\n"));
    assert!(rack.heard("\"m5\" was told to sleep and did not"));
}

#[test]
fn the_floor_stays_whoever_turns_up() {
    for late in 0..6 {
        for is_found in [false, true] {
            for delay in [3, 300] {
                let terms = Terms { floor: watts(2.0 * MINING), ..terms() };
                let mut there = specs(6);
                let spec = there[late].clone();
                if is_found {
                    there.remove(late);
                }
                let mut rack = Rack::new(there, terms);
                if !is_found {
                    rack.miners[late].is_reachable = false;
                }
                rack.passes(40);
                rack.says(order(Goal::Sleep, false));
                rack.passes(delay);
                let awake = |rack: &Rack| -> Vec<usize> {
                    (0..rack.miners.len()).filter(|index| !rack.miners[*index].sleeps).collect()
                };
                if is_found {
                    rack.joins(spec);
                } else {
                    rack.miners[late].is_reachable = true;
                }
                for _ in 0..400 {
                    rack.passes(1);
                    assert!(awake(&rack).len() >= 2, "m{late} broke the floor:\n{}", rack.told.join("\n"));
                }
                let story = rack.told.join("\n");
                assert_eq!((rack.asleep(), rack.group.phase()), (4, Phase::Asleep), "m{late}, {delay} s:\n{story}");
                let last = if is_found { 5 } else { late };
                assert!(!awake(&rack).contains(&last), "who was kept is kept:\n{story}");
                // Nor does a crash put any of them to sleep.
                let kept = awake(&rack);
                rack.crashes();
                rack.passes(200);
                assert_eq!(awake(&rack), kept, "{}", rack.told.join("\n"));
            }
        }
    }
}

#[test]
fn who_mines_for_the_floor_as_others_are_away_sleeps_once_they_are_back() {
    let mut rack = Rack::new(specs(6), Terms { floor: watts(2.0 * MINING), ..terms() });
    rack.miners[5].is_reachable = false;
    rack.passes(40);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 300);
    // One that mines for the floor is gone when the late one comes.
    rack.miners[0].is_reachable = false;
    rack.passes(40);
    rack.miners[5].is_reachable = true;
    rack.passes(120);
    assert_eq!(rack.asleep(), 3, "it mines in the other's place:\n{}", rack.told.join("\n"));
    rack.miners[0].is_reachable = true;
    rack.passes(60);
    let story = rack.told.join("\n");
    assert!(rack.miners[5].sleeps && !rack.miners[0].sleeps && !rack.miners[1].sleeps, "{story}");
}

#[test]
fn who_was_kept_for_the_floor_is_not_put_to_sleep_as_its_watts_go_up_and_down() {
    // A floor that one more watt would release somebody from.
    let mut rack = Rack::new(specs(4), Terms { floor: watts(MINING + 1.0), ..terms() });
    rack.passes(10);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 300);
    assert_eq!(rack.asleep(), 2);
    // The second one is measured next, and then the first one again.
    while rack.second % EVERY != 1 {
        rack.passes(1);
    }
    let more = Sample { at: at(rack.second), watts: watts(MINING + 2.0), mode: None };
    rack.says(Input::Sample(0, more));
    rack.passes(120);
    assert_eq!(rack.asleep(), 2, "{}", rack.told.join("\n"));
}

#[test]
fn many_that_turn_up_at_once_sleep_under_the_ramp_and_take_few_records() {
    let mut rack = Rack::new(specs(24), terms());
    rack.miners[4..].iter_mut().for_each(|miner| miner.is_reachable = false);
    rack.passes(40);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 300);
    rack.passes(2);
    let records = |rack: &Rack| rack.disk.as_ref().map_or(0, |record| record.number);
    let before = records(&rack);
    rack.miners.iter_mut().for_each(|miner| miner.is_reachable = true);
    // Four in a minute (`Rack::obeys`).
    rack.passes(6 * 60);
    assert_eq!((rack.asleep(), rack.group.phase()), (24, Phase::Asleep), "{}", rack.told.join("\n"));
    // They are measured within five seconds, the first one alone; and one record has their proofs.
    let took = records(&rack) - before;
    assert!(took <= 7, "{took} records for 20 machines");
}

#[test]
fn a_crash_at_any_second_after_one_turns_up_forgets_nobody() {
    for missing in MISSING {
        for drained in [3, 120] {
            for crash in 0..30 {
                let mut rack = without_one(5, missing, terms());
                rack.says(order(Goal::Sleep, false));
                rack.passes(drained);
                turns_up(&mut rack, 4, missing);
                rack.passes(crash);
                rack.crashes();
                rack.until(Phase::Asleep, 400);
                rack.passes(30);
                let story = format!("{missing:?}, crash after {crash} s:\n{}", rack.told.join("\n"));
                assert_eq!((rack.asleep(), rack.freed.len()), (5, 5), "{story}");
                rack.says(order(Goal::Mine, false));
                rack.until(Phase::Mining, 900);
                assert_eq!(rack.asleep(), 0, "{story}");
            }
        }
    }
}

#[test]
fn a_machine_that_turned_up_while_nobody_was_there_to_see_it_sleeps_after_the_restart() {
    let mut rack = without_one(5, Missing::Away, terms());
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 300);
    rack.passes(2);
    turns_up(&mut rack, 4, Missing::Away);
    rack.crashes();
    rack.until(Phase::Asleep, 300);
    assert_eq!((rack.asleep(), rack.receipts.len()), (5, 2), "{}", rack.told.join("\n"));
    let receipt = &rack.receipts[1];
    assert_eq!((receipt.devices.asked, receipt.devices.commands), (5, 1), "{receipt:?}");
    assert_eq!(receipt.watts.before_w, MINING + 4.0 * SLEEPING, "{receipt:?}");
}

/// All of them draw nothing, and nobody here put them to sleep.
fn idle(count: usize) -> Rack {
    let mut rack = Rack::new(specs(count), terms());
    rack.miners.iter_mut().for_each(|miner| miner.sleeps = true);
    rack.passes(10);
    rack
}

#[test]
fn a_group_that_draws_nothing_as_it_is_sleeps_with_a_receipt_that_says_that_nobody_was_moved() {
    let mut rack = idle(5);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 10);
    let story = rack.told.join("\n");
    assert!(rack.heard("nobody had to be told: 5 of 5 devices draw nothing as it is"), "{story}");
    assert!(rack.commands.is_empty() && !rack.heard("FAULT"), "{story}");
    assert!(rack.freed.is_empty(), "what was not drawn is not freed: {:?}", rack.freed);
    let [receipt] = &rack.receipts[..] else { panic!("{:?}", rack.receipts) };
    let devices = receipt.devices;
    assert_eq!((receipt.outcome, devices.asked, devices.commands), (Outcome::Done, 0, 0), "{receipt:?}");
    assert_eq!((devices.left_out, devices.idle), (5, 5), "{receipt:?}");
    assert_eq!((receipt.watts.before_w, receipt.watts.after_w), (5.0 * SLEEPING, 5.0 * SLEEPING), "{receipt:?}");
    // A restart has nothing more to say.
    rack.passes(2);
    rack.crashes();
    rack.until(Phase::Asleep, 60);
    assert_eq!((rack.receipts.len(), rack.commands.len()), (1, 0), "{:?}", rack.receipts);
    // Who draws since is put to sleep (what was told just before the restart is not known: the ramp waits), and only that is freed.
    rack.miners[3].sleeps = false;
    rack.passes(90);
    assert_eq!((rack.commanded("Sleep"), rack.freed.len()), (vec!["3"], 1), "{}", rack.told.join("\n"));
    // And only that is woken.
    rack.says(order(Goal::Mine, false));
    rack.until(Phase::Mining, 300);
    assert_eq!((rack.commanded("Wake"), rack.asleep()), (vec!["3"], 4), "{}", rack.told.join("\n"));
}

#[test]
fn a_group_that_nobody_put_to_sleep_is_not_woken_by_a_price() {
    let mut rack = idle(3);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 10);
    rack.says(order(Goal::Mine, false));
    rack.until(Phase::Mining, 60);
    assert!(rack.commands.is_empty() && rack.heard("nobody had to be woken"), "{}", rack.told.join("\n"));
    assert_eq!(rack.receipts.len(), 1, "{:?}", rack.receipts);
}

#[test]
fn who_is_not_seen_and_who_is_kept_for_the_floor_make_no_fault_of_a_group_that_draws_nothing() {
    let mut rack = idle(5);
    rack.miners[1].is_reachable = false;
    rack.passes(40);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 10);
    assert!(rack.heard("4 of 5 devices draw nothing as it is"), "{}", rack.told.join("\n"));
    assert_eq!(rack.receipts[0].devices.idle, 4);
    rack.miners[1] = Miner::new();
    rack.passes(30);
    assert_eq!(rack.commanded("Sleep"), ["1"], "it has turned up, and draws");

    let mut rack = Rack::new(specs(3), Terms { floor: watts(MINING), ..terms() });
    rack.miners[1].sleeps = true;
    rack.miners[2].sleeps = true;
    rack.passes(10);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 10);
    rack.passes(60);
    assert!(rack.commands.is_empty(), "{}", rack.told.join("\n"));
}

#[test]
fn a_group_of_which_nothing_is_seen_or_that_does_not_obey_is_a_fault_all_the_same() {
    // Nobody knows what they draw.
    let mut rack = Rack::new(specs(3), terms());
    rack.miners.iter_mut().for_each(|miner| miner.is_reachable = false);
    rack.passes(40);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Fault, 60);
    // The one that draws does not obey.
    let mut rack = idle(3);
    rack.miners[0] = Miner { lies: true, ..Miner::new() };
    rack.passes(10);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Fault, 600);
    assert!(rack.receipts.iter().all(|receipt| receipt.outcome == Outcome::Fault), "{:?}", rack.receipts);
}

#[test]
fn a_person_who_wants_a_sleeping_group_awake_wakes_also_who_was_idle_in_it() {
    for phase in [Phase::Draining, Phase::Asleep] {
        let mut rack = Rack::new(specs(5), terms());
        rack.passes(10);
        rack.miners[4].sleeps = true;
        rack.passes(10);
        rack.says(order(Goal::Sleep, false));
        rack.until(phase, 300);
        rack.passes(2);
        rack.says(Input::Rouse("a person wants it awake".into()));
        rack.says(order(Goal::Mine, false));
        rack.until(Phase::Mining, 900);
        assert_eq!(rack.asleep(), 0, "{}", rack.told.join("\n"));
    }
}

#[test]
fn who_mines_for_the_floor_and_stops_by_itself_is_left_alone_while_its_group_sleeps() {
    let mut rack = Rack::new(specs(4), Terms { floor: watts(MINING), ..terms() });
    rack.passes(10);
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 300);
    rack.miners[0].sleeps = true;
    rack.passes(1_500);
    assert_eq!((rack.group.phase(), rack.commanded("Wake").len()), (Phase::Asleep, 0), "{}", rack.told.join("\n"));
    // In a group that mines it is told to wake, after ten minutes of that.
    rack.says(order(Goal::Mine, false));
    rack.until(Phase::Mining, 300);
    rack.passes(300);
    assert!(!rack.commanded("Wake").contains(&"0"), "{}", rack.told.join("\n"));
    rack.passes(400);
    assert!(rack.commanded("Wake").contains(&"0"), "{}", rack.told.join("\n"));
}
