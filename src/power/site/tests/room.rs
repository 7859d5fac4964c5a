//! Who gets the room that there is: machines that are to wake, in the order of their J/TH, and AI compute.

use super::*;

/// The sum of nameplates, AI compute's 10 kW, base load and reserve: what the engine takes to fit. By bounds 2.4 kW are missing.
const FITS_THE_SUMS: f64 = 8.0 * NAMEPLATE + 10_000.0 + BASE + 500.0;

/// The first group slept for AI compute, which has all that it should; and is to mine now, beside that.
fn to_wake_beside_ai(returns: bool) -> Hall {
    let mut hall = Hall::new(terms(FITS_THE_SUMS), 4);
    hall.passes(20);
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(10_000.0)]);
    hall.until("the lease", 200, |hall| hall.granted() == 10_000.0 && hall.phase(0) == Phase::Asleep);
    hall.passes(10);
    hall.compute[0].returns = returns;
    hall.wants([Goal::Mine, Goal::Mine], &[Some(10_000.0)]);
    hall
}

fn waits_for(hall: &Hall, group: usize) -> String {
    let view = hall.site.view(at(hall.second));
    view.groups[group].as_ref().and_then(|view| view.waits_for.as_deref()).unwrap_or_default().to_owned()
}

#[test]
fn machines_that_wait_for_room_get_it_back_from_a_block_that_has_just_what_it_should() {
    let mut hall = to_wake_beside_ai(false);
    hall.passes(60);
    let words = waits_for(&hall, 0);
    assert!(words.starts_with("room: 3.3 kW more do not fit under the cap"), "{words}");
    assert!(words.ends_with("; 2.9 kW are asked back from AI block \"gpus\" and not back yet"), "{words}");
    hall.compute[0].returns = true;
    hall.until("the wake", 200, |hall| hall.phase(0) == Phase::Mining && hall.asleep() == 0);
    // What is left beside all bounds is lent again.
    let room = FITS_THE_SUMS - 8.0 * BOUND - BASE - 500.0;
    hall.until("the rest", 60, |hall| hall.granted() > room - 1_000.0);
    assert!(hall.granted() <= room && hall.peak <= FITS_THE_SUMS, "{}", hall.story.join("\n"));
}

#[test]
fn what_is_asked_back_for_a_wake_does_not_go_to_and_fro() {
    let mut hall = to_wake_beside_ai(true);
    hall.passes(6 * 3_600);
    assert_eq!((hall.phase(0), hall.asleep()), (Phase::Mining, 0));
    let (given, back) = (hall.heard("writes lease"), hall.heard("writes revoke"));
    // The first ones, asked back for the wake; then the rest.
    assert!(given <= 4 && back <= 2, "{given} leases, {back} asked back in six hours:\n{}", hall.story.join("\n"));
}

#[test]
fn machines_that_do_not_wake_keep_their_room_between_two_tries() {
    let mut hall = to_wake_beside_ai(true);
    hall.miners[0][3].is_dead = true;
    hall.passes(6 * 3_600);
    assert!(
        hall.heard("it mines without 1 of its 4 devices") > 4,
        "it is told again and again:\n{}",
        hall.story.join("\n")
    );
    let (given, back) = (hall.heard("writes lease"), hall.heard("writes revoke"));
    assert!(given <= 4 && back <= 2, "{given} leases, {back} asked back in six hours:\n{}", hall.story.join("\n"));
}

#[test]
fn no_more_is_asked_back_than_waiting_machines_need() {
    let mut terms = terms(FITS_THE_SUMS);
    terms.blocks = vec![block("gpus", Some(20)), block("nodes", Some(20))];
    let mut hall = Hall::new(terms, 4);
    hall.passes(20);
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(6_000.0), Some(3_500.0)]);
    hall.until("the leases", 200, |hall| hall.granted() == 9_500.0 && hall.phase(0) == Phase::Asleep);
    // 1.9 kW are missing.
    hall.wants([Goal::Mine, Goal::Mine], &[Some(6_000.0), Some(3_500.0)]);
    hall.until("the wake", 300, |hall| hall.phase(0) == Phase::Mining);
    assert_eq!(hall.heard("AI block \"gpus\" is to give back"), 0, "{}", hall.story.join("\n"));
    assert_eq!(hall.heard("AI block \"nodes\" is to give back"), 1, "{}", hall.story.join("\n"));
}

#[test]
fn a_wake_among_others_that_survive_a_blip_asks_slow_blocks_for_what_the_blip_would_take() {
    let mut terms = terms(40_000.0);
    // The second group wakes with a blip; a block that sheds slowly has power beside it.
    terms.groups[1].as_mut().unwrap().survives_power_cycle = false;
    terms.blocks = vec![block("slow", None)];
    let mut hall = Hall::new(terms, 4);
    hall.passes(20);
    hall.wants([Goal::Sleep, Goal::Sleep], &[Some(20_000.0)]);
    hall.until("the lease", 200, |hall| hall.granted() > 19_000.0 && hall.phase(0) == Phase::Asleep);
    hall.wants([Goal::Mine, Goal::Sleep], &[Some(20_000.0)]);
    hall.until("the wake", 300, |hall| hall.phase(0) == Phase::Mining);
    hall.miners[1].iter_mut().for_each(|miner| miner.sleeps = false);
    assert!(hall.draws() <= 40_000.0, "{}", hall.draws());
}

#[test]
fn room_goes_to_the_best_machines_first_wherever_they_stand_in_the_config() {
    let mut hall = Hall::new(terms(30_000.0), 4);
    hall.passes(20);
    // The first group is the worse one here.
    for device in 0..4 {
        let joules = JoulesPerTerahash::new(40.0).unwrap();
        hall.hears(Input::Efficiency(DeviceKey { group: 0, device }, joules));
    }
    hall.wants([Goal::Sleep, Goal::Sleep], &[Some(14_000.0)]);
    hall.until("the lease", 200, |hall| hall.granted() == 14_000.0);
    hall.compute[0].returns = false;
    hall.wants([Goal::Mine, Goal::Mine], &[Some(14_000.0)]);
    hall.passes(120);
    let woken = |hall: &Hall, group: usize| hall.miners[group].iter().filter(|miner| !miner.sleeps).count();
    assert_eq!((woken(&hall, 0), woken(&hall, 1)), (0, 4), "{}", hall.story.join("\n"));
    hall.compute[0].returns = true;
    hall.until("all", 200, |hall| hall.asleep() == 0);
}

#[test]
fn what_a_better_group_waits_for_is_not_given_to_a_worse_one_that_asks_in_between() {
    let mut terms = terms(28_000.0);
    terms.blocks = vec![block("gpus", Some(20)), block("nodes", Some(20))];
    let mut hall = Hall::new(terms, 4);
    hall.passes(20);
    let ai = [Some(20_000.0), Some(2_000.0)];
    hall.wants([Goal::Sleep, Goal::Sleep], &ai);
    hall.until("the leases", 200, |hall| hall.granted() == 22_000.0);
    hall.compute.iter_mut().for_each(|compute| compute.returns = false);
    // Only one machine fits; the better group has asked for all four by the time that the other asks.
    hall.wants([Goal::Mine, Goal::Sleep], &ai);
    hall.passes(17);
    hall.wants([Goal::Mine, Goal::Mine], &ai);
    hall.passes(20);
    assert_eq!(hall.asleep(), 7, "{}", hall.story.join("\n"));
    // One block gives back: there is room for seven.
    hall.compute[0].returns = true;
    hall.until("the wake", 300, |hall| hall.asleep() == 1);
    let asleep: Vec<usize> = (0..2).filter(|group| hall.miners[*group].iter().any(|miner| miner.sleeps)).collect();
    assert_eq!(asleep, [1], "{}", hall.story.join("\n"));
}

#[test]
fn a_refusal_says_what_is_missing_and_never_that_it_is_nothing() {
    // All bounds are over the cap; the meter comes and goes; everything that can be refused is.
    for cap in [20_000.0, FITS_THE_SUMS] {
        let mut hall = Hall::new(terms(cap), 4);
        hall.passes(20);
        hall.wants([Goal::Sleep, Goal::Sleep], &[Some(10_000.0)]);
        hall.until("sleep", 200, |hall| hall.asleep() == 8);
        hall.restarts();
        hall.has_meter = false;
        hall.wants([Goal::Mine, Goal::Mine], &[Some(10_000.0)]);
        hall.passes(60);
        hall.restarts();
        hall.has_meter = true;
        for _ in 0..300 {
            hall.passes(1);
            for group in 0..2 {
                let words = waits_for(&hall, group);
                assert!(!words.starts_with("room: 0 W"), "{words}");
            }
        }
        let refusals: Vec<&String> = hall.story.iter().filter(|line| line.contains("Refusal:")).collect();
        assert!(!refusals.is_empty());
        for line in refusals {
            assert!(!line.contains(" 0 W more") && !line.contains("for 0 W"), "{line}");
            assert!(line.contains(" to wait; the ledger is asked again"), "{line}");
        }
    }
}

#[test]
fn power_is_asked_back_also_in_the_calm_after_the_site_was_over_its_cap() {
    let mut terms = terms(40_000.0);
    terms.blocks = vec![block("gpus", Some(20)), block("nodes", Some(20))];
    let mut hall = Hall::new(terms, 4);
    hall.passes(20);
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(6_000.0), Some(3_000.0)]);
    hall.until("the leases", 200, |hall| hall.granted() == 9_000.0 && hall.phase(0) == Phase::Asleep);
    // Something else draws for a moment: one block is enough to end that.
    hall.base += 40_500.0 - hall.draws();
    hall.until("over the cap", 30, |hall| hall.heard("Error OverCap: shed") > 0);
    hall.base = BASE;
    hall.passes(10);
    assert_eq!((hall.heard("under its cap again"), hall.heard("AI block \"gpus\" is to give back")), (0, 0));
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(0.0), Some(3_000.0)]);
    hall.passes(2);
    assert_eq!(hall.heard("AI block \"gpus\" is to give back"), 1, "{}", hall.story.join("\n"));
    assert_eq!(hall.heard("under its cap again"), 0, "it lasts a minute");
}
