//! What is held, what wakes unasked, and what a crash must not forget of an emergency.

use super::*;

/// All mine; then something draws so much that a group must go.
fn over_the_cap(before: impl FnOnce(&mut Hall)) -> Hall {
    let mut hall = Hall::new(terms(60_000.0), 4);
    hall.passes(20);
    before(&mut hall);
    hall.compute[0].more = 40_000.0;
    hall.until("an emergency", 30, |hall| hall.heard("group \"barn\" is put to sleep at once") > 0);
    hall.until("sleep", 60, |hall| hall.phase(1) == Phase::Asleep);
    hall
}

fn hold(hall: &mut Hall, group: usize) {
    hall.hears(Input::Person(group, Person::Hold("firmware".into())));
}

#[test]
fn a_hold_stops_no_shedding_and_comes_back() {
    let mut hall = over_the_cap(|hall| (0..2).for_each(|group| hold(hall, group)));
    assert_eq!(hall.heard("put to sleep at once, although it is held: the site draws"), 1, "{}", hall.story.join("\n"));
    assert_eq!(hall.heard("MANUAL_HOLD → DRAIN_PENDING: its hold (firmware) is overruled: the site draws"), 1);
    assert_eq!((hall.phase(0), hall.asleep()), (Phase::ManualHold, 4), "as many as it takes");
    hall.compute[0].more = 0.0;
    hall.until("the hold", 150, |hall| hall.phase(1) == Phase::ManualHold);
    assert_eq!(hall.heard("group \"barn\" is held again (firmware)"), 1);
    hall.passes(120);
    assert_eq!((hall.asleep(), hall.heard(" wake")), (4, 0), "nothing is commanded while it is held");
    hall.hears(Input::Person(1, Person::Release));
    hall.until("the wake", 200, |hall| hall.phase(1) == Phase::Mining);
}

#[test]
fn who_holds_a_group_that_is_being_shed_holds_it_afterwards() {
    let mut hall = over_the_cap(|_| {});
    hold(&mut hall, 1);
    assert_eq!(hall.phase(1), Phase::Asleep);
    hall.compute[0].more = 0.0;
    hall.until("the hold", 150, |hall| hall.phase(1) == Phase::ManualHold);
    // And who releases it before that does not.
    let mut hall = over_the_cap(|hall| (0..2).for_each(|group| hold(hall, group)));
    hall.hears(Input::Person(1, Person::Release));
    hall.compute[0].more = 0.0;
    hall.until("the wake", 250, |hall| hall.phase(1) == Phase::Mining);
}

#[test]
fn what_the_cap_put_to_sleep_wakes_after_a_crash_although_nobody_orders_it() {
    let mut hall = over_the_cap(|_| {});
    hall.restarts();
    hall.does();
    hall.passes(30);
    assert_eq!(hall.asleep(), 4, "it is not over");
    hall.compute[0].more = 0.0;
    hall.until("the wake", 250, |hall| hall.phase(1) == Phase::Mining && hall.asleep() == 0);
    // Once it is over, the record says so: nothing is woken twice.
    hall.hears(Input::Person(1, Person::Lock("a fan".into())));
    hall.until("sleep", 60, |hall| hall.asleep() == 4);
    assert!(hall.records[1].as_ref().is_some_and(|record| record.overruled.is_none()));
}

#[test]
fn what_was_held_before_the_cap_put_it_to_sleep_is_held_after_a_crash() {
    let mut hall = over_the_cap(|hall| (0..2).for_each(|group| hold(hall, group)));
    hall.restarts();
    hall.does();
    hall.compute[0].more = 0.0;
    hall.until("the hold", 200, |hall| hall.phase(1) == Phase::ManualHold);
    assert_eq!(hall.asleep(), 4);
}

/// The first group is to mine again, and wakes by itself while AI compute has its power and just pauses.
fn blip(cap: f64) -> Hall {
    let mut hall = Hall::new(terms(cap), 4);
    hall.passes(20);
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(10_000.0)]);
    hall.until("the lease", 200, |hall| hall.granted() == 10_000.0 && hall.phase(0) == Phase::Asleep);
    hall.passes(10);
    (hall.compute[0].returns, hall.compute[0].works) = (false, false);
    hall.passes(4);
    hall.wants([Goal::Mine, Goal::Mine], &[Some(0.0)]);
    hall.miners[0].iter_mut().for_each(|miner| miner.sleeps = false);
    hall
}

#[test]
fn machines_that_wake_unasked_before_there_is_room_sleep_until_there_is() {
    let mut hall = blip(28_950.0);
    hall.passes(12);
    // Beside all other bounds and AI compute's 10 kW, three of the four do not fit.
    let story = hall.story.join("\n");
    assert_eq!((hall.asleep(), hall.heard("3 machines woke before there was room")), (3, 1), "{story}");
    assert_eq!(hall.heard("is put to sleep at once"), 0, "nothing is over the cap:\n{story}");
    hall.compute[0].works = true;
    hall.passes(60);
    assert!(hall.peak <= 28_950.0, "{} W:\n{}", hall.peak, hall.story.join("\n"));
    hall.compute[0].returns = true;
    hall.until("the wake", 200, |hall| hall.phase(0) == Phase::Mining && hall.asleep() == 0);
}

#[test]
fn machines_that_wake_unasked_stay_awake_where_there_is_room() {
    let mut hall = blip(60_000.0);
    let sleeps = hall.heard(" sleep");
    hall.until("the wake", 60, |hall| hall.phase(0) == Phase::Mining);
    assert_eq!(hall.heard(" sleep"), sleeps, "{}", hall.story.join("\n"));
}
