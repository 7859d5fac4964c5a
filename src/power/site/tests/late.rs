//! Machines that turn up while their group sleeps for AI compute.

use super::*;

const CAP: f64 = 30_000.0;

/// Beside what the second group's four count, three that sleep, one at its bound, base load and reserve.
const ROOM: f64 = CAP - 4.0 * 1.05 * MINING - 3.0 * (SLEEPING + 30.0) - BOUND - BASE - 500.0;

/// The first group sleeps for AI compute, which should have more than there is; one of the group is away, and draws nothing.
fn lent_without_one(cap: f64) -> Hall {
    let mut hall = Hall::new(terms(cap), 4);
    (hall.miners[0][3].is_silent, hall.miners[0][3].is_gone) = (true, true);
    hall.passes(20);
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(14_000.0)]);
    hall.until("the lease", 200, |hall| hall.granted() > 10_000.0 && hall.phase(0) == Phase::Asleep);
    hall.passes(60);
    hall
}

fn comes_back(hall: &mut Hall) {
    (hall.miners[0][3].is_silent, hall.miners[0][3].is_gone) = (false, false);
}

#[test]
fn who_turns_up_counts_in_full_until_it_is_measured_asleep_and_only_then_more_is_lent() {
    let mut hall = lent_without_one(CAP);
    assert!((ROOM - 1_000.0..=ROOM).contains(&hall.granted()), "{} of {ROOM}", hall.granted());
    let before = (hall.granted(), hall.heard("writes lease"));
    comes_back(&mut hall);
    hall.until("its command", 20, |hall| hall.heard("commands g0-3 sleep") == 1);
    assert_eq!((hall.granted(), hall.heard("writes lease")), before, "a command frees nothing");
    hall.until("more", 100, |hall| hall.granted() == 14_000.0);
    let story = hall.story.join("\n");
    assert!(hall.first("writes freed g0-3") < hall.last("writes lease"), "{story}");
    assert_eq!((hall.phase(0), hall.asleep()), (Phase::Asleep, 4), "{story}");
    assert_eq!(
        (hall.heard("revoke"), hall.heard("put to sleep at once")),
        (0, 0),
        "nothing lent was touched:\n{story}"
    );
    assert_eq!(hall.heard("Info Device: group \"hall\": device \"g0-3\" turned up"), 1, "{story}");
    assert!(hall.peak <= CAP, "{} W:\n{story}", hall.peak);
}

#[test]
fn who_turns_up_and_stays_awake_frees_nothing_and_endangers_nothing() {
    let mut hall = lent_without_one(CAP);
    let before = hall.granted();
    hall.miners[0][3].disobeys = true;
    comes_back(&mut hall);
    hall.passes(300);
    let story = hall.story.join("\n");
    assert!(hall.heard("\"g0-3\" was told to sleep and did not") == 1, "{story}");
    assert_eq!((hall.granted(), hall.heard("writes freed g0-3"), hall.phase(0)), (before, 0, Phase::Asleep), "{story}");
    assert!(hall.peak <= CAP, "{} W:\n{story}", hall.peak);
}

#[test]
fn a_group_says_that_it_waits_for_those_that_turned_up() {
    let mut hall = lent_without_one(CAP);
    let waits = |hall: &Hall| hall.site.view(at(hall.second)).groups[0].as_ref().unwrap().waits_for.clone();
    assert_eq!(waits(&hall), None);
    hall.miners[0][3].disobeys = true;
    comes_back(&mut hall);
    hall.until("its command", 20, |hall| hall.heard("commands g0-3 sleep") == 1);
    let words = waits(&hall).unwrap();
    assert!(words.starts_with("the watts of 1 machine that draws while it sleeps"), "{words}");
    hall.miners[0][3].disobeys = false;
    hall.until("its sleep", 60, |hall| hall.asleep() == 4);
    hall.passes(5);
    assert_eq!(waits(&hall), None);
}

#[test]
fn a_crash_at_any_output_after_one_turned_up_ends_with_all_asleep_and_never_over_the_cap() {
    let turns_up = |dies_at: Option<usize>| {
        let mut hall = lent_without_one(CAP);
        let before = hall.outputs;
        hall.dies_at = dies_at.map(|step| before + step);
        comes_back(&mut hall);
        let is_done = |hall: &Hall| hall.asleep() == 4 && hall.phase(0) == Phase::Asleep && hall.granted() == 14_000.0;
        hall.until("sleep and the rest", 400, is_done);
        assert!(hall.peak <= CAP, "{dies_at:?}: {} W:\n{}", hall.peak, hall.story.join("\n"));
        hall.outputs - before
    };
    let steps = turns_up(None);
    assert!(steps > 5, "{steps}");
    for step in 1..=steps {
        turns_up(Some(step));
    }
}

#[test]
fn a_group_that_draws_nothing_as_it_is_sleeps_and_what_it_may_draw_is_lent_to_nobody() {
    let mut hall = Hall::new(terms(CAP), 4);
    hall.miners[0].iter_mut().for_each(|miner| miner.sleeps = true);
    hall.passes(20);
    let before = hall.site.view(at(hall.second)).balance.asic;
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(10_000.0)]);
    hall.until("sleep", 20, |hall| hall.phase(0) == Phase::Asleep);
    hall.passes(120);
    let story = hall.story.join("\n");
    assert_eq!((hall.heard("commands"), hall.heard("writes freed")), (0, 0), "{story}");
    assert_eq!(hall.heard("writes receipt Drain Done"), 1, "{story}");
    assert_eq!(
        hall.site.view(at(hall.second)).balance.asic,
        before,
        "they may wake by themselves, and count as before"
    );
    let room = CAP - before.get() - BASE - 500.0;
    assert!(hall.granted() <= room, "{} of {room}:\n{story}", hall.granted());
}
