//! What must happen when it breaks: a row of the operator's table each, by its promise.

use super::*;
use crate::power::{control::Control, site::keeper::choose};

/// All mine for a while; then the first group sleeps for AI compute.
fn lent(terms: SiteTerms) -> Hall {
    let mut hall = Hall::new(terms, 4);
    hall.passes(20);
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(10_000.0)]);
    hall.until("the lease", 200, |hall| hall.granted() == 10_000.0 && hall.phase(0) == Phase::Asleep);
    hall.passes(10);
    hall
}

#[test]
fn watts_are_lent_when_measured_free_and_asics_wake_when_they_are_measured_back() {
    // So little that one wakes beside the lease, and no more.
    let cap = 28_950.0;
    let mut hall = lent(terms(cap));
    hall.wants([Goal::Mine, Goal::Mine], &[Some(0.0)]);
    hall.until("the wake", 200, |hall| hall.phase(0) == Phase::Mining);
    let places = [
        hall.first("commands g0-0 sleep"),
        hall.first("writes freed g0-0"),
        hall.first("writes lease"),
        hall.first("tells grant"),
        // To ask back does not wait for the disk.
        hall.first("tells revoke"),
        hall.first("writes revoke"),
        hall.last("writes returned"),
        hall.last("writes hold g0-3"),
        hall.first("commands g0-3 wake"),
        hall.first("writes receipt Wake Done"),
    ];
    assert!(places.is_sorted(), "{places:?}\n{}", hall.story.join("\n"));
    assert!(hall.peak <= cap);
}

#[test]
fn of_a_group_that_sleeps_in_part_only_measured_watts_are_lent() {
    let mut hall = Hall::new(terms(30_000.0), 4);
    hall.miners[0][2].disobeys = true;
    hall.miners[0][3].disobeys = true;
    hall.passes(20);
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(10_000.0)]);
    hall.passes(150);
    // 30 kW less 6 that mine, 2 that sleep, base load and reserve.
    let room = 30_000.0 - 6.0 * BOUND - 2.0 * (SLEEPING + 30.0) - BASE - 500.0;
    // What is under 1 kW is not worth a lease.
    assert!(
        (room - 1_000.0..room).contains(&hall.granted()),
        "{} of {room}:\n{}",
        hall.granted(),
        hall.story.join("\n")
    );
    assert!(hall.peak <= 30_000.0);
    assert!(hall.heard("was told to sleep and did not") >= 2);
}

#[test]
fn compute_that_does_not_take_a_lease_loses_it_and_waits_longer_each_time() {
    let mut hall = Hall::new(terms(30_000.0), 4);
    hall.compute[0].takes = false;
    hall.passes(20);
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(10_000.0)]);
    hall.passes(900);
    let times: Vec<i64> = hall
        .story
        .iter()
        .filter(|line| line.contains("writes lease"))
        .map(|line| line.trim_start().split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(times.len() >= 4 && times.len() < 8, "{times:?}");
    let pauses: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.windows(2).all(|pair| pair[1] > pair[0]), "{pauses:?}");
    assert!(hall.heard("NotStarted") >= 3);
    assert_eq!(hall.site.view(at(hall.second)).blocks[0].as_ref().unwrap().state.as_deref(), Some("running"));
}

#[test]
fn compute_that_does_not_use_a_lease_loses_it() {
    let mut hall = Hall::new(terms(30_000.0), 4);
    hall.compute[0].works = false;
    hall.passes(20);
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(10_000.0)]);
    hall.until("its end", 150, |hall| hall.heard("draws nothing more with lease") == 1);
    hall.until("its return", 30, |hall| hall.heard("writes returned") > 0);
}

#[test]
fn compute_that_does_not_give_back_keeps_asics_asleep_and_is_spoken_of_ever_louder() {
    let mut hall = lent(terms(30_000.0));
    hall.compute[0].returns = false;
    hall.wants([Goal::Mine, Goal::Mine], &[Some(0.0)]);
    hall.passes(600);
    // What fits beside it wakes.
    assert!(hall.asleep() > 0, "{}", hall.story.join("\n"));
    assert!(hall.peak <= 30_000.0);
    assert_eq!(hall.heard("Warn NotReturned"), hall.heard("writes revoke"), "{}", hall.story.join("\n"));
    assert!(hall.heard("Error NotReturned") >= 2);
    assert!(hall.heard("tells revoke") > 60, "it is told again and again");
    hall.compute[0].returns = true;
    hall.until("the wake", 200, |hall| hall.phase(0) == Phase::Mining && hall.asleep() == 0);
}

#[test]
fn compute_that_draws_above_its_leases_counts_as_drawn_loses_them_and_stops_increases() {
    let mut hall = lent(terms(30_000.0));
    hall.compute[0].more = 2_000.0;
    hall.passes(8);
    assert_eq!(hall.heard("Error Overdrawn"), 1, "{}", hall.story.join("\n"));
    assert!(hall.heard("tells revoke now") > 0);
    hall.wants([Goal::Mine, Goal::Mine], &[Some(10_000.0)]);
    hall.passes(60);
    // It gave its leases back by word, and draws 2 kW more than its idle draw: they are not back, and count.
    let view = hall.site.view(at(hall.second));
    let lease = view.blocks[0].as_ref().unwrap().leases[0];
    assert!(lease.revoked.is_some() && hall.granted() == lease.watts.get(), "{}", hall.story.join("\n"));
    hall.compute[0].more = 0.0;
    hall.until("its return", 20, |hall| hall.heard("writes returned") == hall.heard("writes revoke"));
}

#[test]
fn compute_that_draws_without_a_lease_at_the_start_is_spoken_of_and_stops_increases() {
    let mut hall = Hall::new(terms(40_000.0), 4);
    hall.compute[0].more = 5_000.0;
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(10_000.0)]);
    hall.passes(120);
    assert_eq!(hall.heard("it has no lease"), 1, "{}", hall.story.join("\n"));
    assert_eq!((hall.heard("writes lease"), hall.phase(0)), (0, Phase::Asleep));
}

#[test]
fn a_blip_that_wakes_a_group_takes_its_leases_first_and_puts_it_to_sleep_again() {
    let mut hall = lent(terms(28_500.0));
    hall.miners[0].iter_mut().for_each(|miner| miner.sleeps = false);
    let blip = hall.second;
    hall.until("the cap", 30, |hall| hall.draws() <= 28_500.0);
    let took = hall.second - blip;
    println!("under the cap again after {took} s");
    assert!(hall.first("Error OverCap") < hall.last("tells revoke now"));
    hall.until("sleep", 60, |hall| hall.asleep() == 4);
    assert!(took <= 6, "{took} s");
}

#[test]
fn what_is_measured_over_the_cap_puts_the_worst_to_sleep_at_once_and_a_lockout_is_a_persons() {
    let mut hall = Hall::new(terms(60_000.0), 4);
    hall.passes(20);
    hall.wants([Goal::Mine, Goal::Mine], &[Some(0.0)]);
    // The cap is what it is; what the meter says rises.
    hall.compute[0].more = 40_000.0;
    hall.until("an emergency", 30, |hall| hall.heard("Error OverCap: group") > 0);
    assert!(hall.first("group \"barn\" is put to sleep at once") < hall.first("commands g1-0 sleep"));
    hall.passes(60);
    assert_eq!((hall.asleep(), hall.phase(0)), (4, Phase::Mining), "as many as it takes: {}", hall.story.join("\n"));
    assert_eq!(hall.heard("commands g1-0 wake"), 0, "while it lasts, what is wanted waits");
    hall.compute[0].more = 0.0;
    hall.until("calm", 120, |hall| hall.phase(1) == Phase::Mining);
    assert!(hall.first("under its cap again after") < hall.first("commands g1-0 wake"));
    hall.hears(Input::Person(1, Person::Lock("a fan is changed".into())));
    hall.until("sleep", 60, |hall| hall.asleep() == 4);
    hall.miners[1].iter_mut().for_each(|miner| (miner.sleeps, miner.disobeys) = (false, true));
    hall.compute[0].more = 40_000.0;
    hall.until("the other group", 30, |hall| hall.heard("group \"hall\" is put to sleep at once") > 0);
}

#[test]
fn a_site_that_was_over_its_cap_is_not_said_to_be_under_it_while_nobody_measures_it() {
    let mut hall = Hall::new(terms(15_000.0), 3);
    hall.until("over the cap", 60, |hall| hall.heard("is put to sleep at once") > 0);
    hall.has_meter = false;
    hall.passes(300);
    assert_eq!(hall.heard("under its cap again"), 0, "{:#?}", hall.story);
    hall.has_meter = true;
    hall.until("calm", 200, |hall| hall.heard("under its cap again") > 0);
}

#[test]
fn a_lost_meter_stops_leases_and_wakes_and_lets_drains_go_on() {
    let mut hall = lent(terms(60_000.0));
    hall.has_meter = false;
    hall.passes(12);
    assert_eq!(hall.heard("Warn Meter"), 1);
    let leases = hall.heard("writes lease");
    hall.wants([Goal::Sleep, Goal::Sleep], &[Some(30_000.0)]);
    hall.until("the drain", 100, |hall| hall.phase(1) == Phase::Asleep);
    hall.wants([Goal::Mine, Goal::Sleep], &[Some(30_000.0)]);
    hall.passes(30);
    assert_eq!((hall.heard("writes lease"), hall.heard(" wake")), (leases, 0));
    let waits = hall.site.view(at(hall.second)).groups[0].as_ref().unwrap().waits_for.clone().unwrap();
    assert!(waits.starts_with("room: the site's meter is lost"), "{waits}");
    hall.has_meter = true;
    hall.until("the wake", 100, |hall| hall.phase(0) == Phase::Mining);
    assert_eq!(hall.heard("the site's meter is back"), 1);
}

#[test]
fn a_drain_says_whether_it_waits_for_its_canary_or_for_all() {
    let waits = |hall: &Hall, wanted: &str| {
        let view = hall.site.view(at(hall.second));
        view.groups[0].as_ref().is_some_and(|view| view.waits_for.as_ref().is_some_and(|what| what.starts_with(wanted)))
    };
    let mut hall = Hall::new(terms(60_000.0), 4);
    hall.passes(20);
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(0.0)]);
    hall.until("the canary", 30, |hall| waits(hall, "the watts of its canary"));
    hall.until("the others", 100, |hall| waits(hall, "its devices' watts"));
}

#[test]
fn who_sees_a_higher_epoch_only_observes() {
    let mut hall = lent(terms(30_000.0));
    hall.seen = 2;
    hall.passes(2);
    let (commands, told) = (hall.heard("commands"), hall.heard("tells"));
    hall.wants([Goal::Mine, Goal::Sleep], &[Some(0.0)]);
    hall.miners[0][0].sleeps = false;
    hall.passes(120);
    assert_eq!((hall.heard("commands"), hall.heard("tells")), (commands, told));
    assert_eq!(hall.heard("Error Superseded"), 1);
    assert!(hall.heard("writes hold g0-0") > 0, "what is measured is booked");
}

#[test]
fn a_cold_start_with_bounds_over_the_cap_sheds_nothing() {
    // 8 × 3.3 kW of bounds and what is always there, 8 × 3.2 kW drawn.
    let mut hall = Hall::new(terms(27_500.0), 4);
    hall.wants([Goal::Mine, Goal::Mine], &[Some(0.0)]);
    hall.passes(120);
    assert!(hall.site.view(at(hall.second)).balance.total().get() > 27_500.0);
    assert_eq!((hall.asleep(), hall.heard("OverCap")), (0, 0));
}

#[test]
fn a_lost_ledger_asks_everything_back_before_anything_is_lent() {
    let terms = terms(60_000.0);
    let lost = Site::after_loss(&terms, at(0));
    let mut hall = Hall::with(terms, 4, &lost, vec![None, None]);
    assert!(hall.heard("tells revoke now") > 0, "{}", hall.story.join("\n"));
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(10_000.0)]);
    hall.until("the lease", 100, |hall| hall.heard("writes lease") == 1);
    assert!(hall.first("writes returned") < hall.first("writes lease"));
}

#[test]
fn leases_go_on_through_a_restart_and_are_renewed() {
    let mut hall = lent(terms(30_000.0));
    hall.restarts();
    hall.does();
    let before = hall.heard("tells grant");
    hall.passes(200);
    assert!(hall.heard("tells grant") >= before + 5, "{}", hall.story.join("\n"));
    assert_eq!((hall.heard("writes revoke"), hall.granted()), (0, 10_000.0));
    let expires = hall.site.view(at(hall.second)).blocks[0].as_ref().unwrap().leases[0].expires;
    assert!(expires > at(hall.second + 25));
}

#[test]
fn less_is_asked_back_in_whole_leases_and_the_rest_is_given_anew_once_that_is_back() {
    let mut hall = lent(terms(30_000.0));
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(9_800.0)]);
    hall.passes(10);
    assert_eq!(hall.heard("writes revoke"), 0, "not worth it");
    let leases = hall.heard("writes lease");
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(4_000.0)]);
    hall.until("the rest", 60, |hall| hall.granted() == 4_000.0);
    if hall.heard("writes lease") > leases {
        assert!(hall.last("writes returned") < hall.last("writes lease"), "{}", hall.story.join("\n"));
    }
    let id = |number| LeaseId(number);
    let of =
        |watts: &[f64]| watts.iter().enumerate().map(|(n, w)| (id(n as u64), super::watts(*w))).collect::<Vec<_>>();
    assert_eq!(choose(of(&[5.0, 3.0, 9.0, 3.0]), watts(3.0)), [id(3)], "the last of those that just do");
    assert_eq!(choose(of(&[5.0, 3.0, 9.0, 3.0]), watts(10.0)), [id(2), id(3)]);
    assert_eq!(choose(of(&[5.0]), watts(10.0)), [id(0)]);
    assert_eq!(choose(of(&[5.0]), Watts::ZERO), []);
}

#[test]
fn a_block_that_just_keeps_what_it_has_gives_back_what_a_wake_needs() {
    let mut hall = lent(terms(30_000.0));
    hall.wants([Goal::Mine, Goal::Mine], &[None]);
    hall.until("the wake", 200, |hall| hall.phase(0) == Phase::Mining);
    assert!(hall.heard("writes revoke") > 0);
}

#[test]
fn power_that_a_blip_takes_back_is_lent_only_to_who_sheds_fast() {
    let mut terms = terms(60_000.0);
    terms.groups[0].as_mut().unwrap().survives_power_cycle = false;
    terms.blocks = vec![block("slow", None), block("fast", Some(20))];
    let mut hall = Hall::new(terms, 6);
    hall.passes(20);
    // 60 kW − 12 × 3.3 − 0.5 − 0.5 − 1 − 0.5: 17.9 kW are free as it is, 19.5 more when the first group sleeps.
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(30_000.0), Some(0.0)]);
    hall.passes(100);
    let slow = hall.granted();
    assert!(
        (17_400.0..18_400.0).contains(&slow),
        "{slow}: its idle draw counted before, under 1 kW is not worth a lease"
    );
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(30_000.0), Some(10_000.0)]);
    hall.passes(60);
    assert_eq!(hall.granted().round(), (slow + 10_000.0).round());
    // A group that sleeps through a blip: its power is anybody's.
    hall.wants([Goal::Sleep, Goal::Sleep], &[Some(30_000.0), Some(10_000.0)]);
    hall.until("all of it", 100, |hall| hall.granted() >= 39_999.0);
    // And it does not wake into what the blip would take.
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(30_000.0), Some(10_000.0)]);
    hall.passes(60);
    let would = |hall: &Hall| hall.draws() - 10_000.0 + 6.0 * MINING;
    assert!(would(&hall) <= 60_000.0, "{}", would(&hall));
    hall.miners[0].iter_mut().for_each(|miner| miner.sleeps = false);
    hall.until("the cap", 10, |hall| hall.draws() <= 60_000.0);
}

#[test]
fn power_is_lent_freely_once_its_firmware_is_known_to_sleep_through_a_blip() {
    let mut terms = terms(60_000.0);
    terms.groups[0].as_mut().unwrap().survives_power_cycle = false;
    terms.blocks = vec![block("slow", None), None];
    let mut hall = Hall::new(terms, 6);
    hall.passes(20);
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(30_000.0), None]);
    hall.passes(100);
    let before = hall.granted();
    assert!(before < 18_400.0, "{before}");
    hall.hears(Input::Survives(0, true));
    hall.until("the sleepers' power", 100, |hall| hall.granted() >= 29_999.0);
}

#[test]
fn a_device_that_is_found_later_finds_its_booking() {
    let entry = Entry {
        at: at(0),
        what: Booking::Hold { device: "late".into(), watts: watts(9_000.0), highest: watts(5_000.0) },
    };
    let mut hall = Hall::with(terms(60_000.0), 1, &[entry], vec![None, None]);
    let mut late = joining(0, 1);
    late.spec.name = "late".into();
    hall.hears(Input::Joined(0, late.clone()));
    hall.hears(Input::Joined(0, late));
    assert_eq!(hall.site.key(0, "late"), Some(DeviceKey { group: 0, device: 1 }));
    let devices = hall.site.devices(at(0), 0);
    assert_eq!((devices.len(), devices[1].counts), (2, watts(1.05 * 5_000.0)));
}

#[test]
fn a_plan_says_what_an_order_does_before_it_is_given() {
    let mut hall = Hall::new(terms(30_000.0), 4);
    hall.passes(20);
    let drain = Control::Drain { why: "test".into(), until: None };
    let plan = hall.site.plan(at(20), 0, &drain).unwrap();
    assert_eq!((plan.devices, plan.left_out, plan.leads_to), (4, 0, Some(Phase::DrainPending)));
    assert!((plan.draws_kw - 12.8).abs() < 0.01 && plan.will_draw_kw < 0.3, "{plan:?}");
    let mut hall = lent(terms(30_000.0));
    let wake = Control::Wake { why: "test".into(), until: None };
    let plan = hall.site.plan(at(hall.second), 0, &wake).unwrap();
    assert_eq!((plan.devices, plan.leads_to), (4, Some(Phase::WakePending)));
    assert!(plan.asks_back_kw > 5.0 && plan.words[0].contains("asked back from AI compute"), "{plan:?}");
    assert_eq!(hall.site.plan(at(hall.second), 0, &drain).unwrap().leads_to, None);
    hall.hears(Input::Person(0, Person::Lock("a fan is changed".into())));
    assert_eq!(hall.site.plan(at(hall.second), 0, &wake).unwrap().devices, 0);
    assert_eq!(hall.site.plan(at(hall.second), 9, &wake), None);
}

#[test]
fn what_nobody_here_put_to_sleep_is_woken_by_a_persons_word_and_by_no_price() {
    let mut hall = Hall::new(terms(40_000.0), 4);
    for miner in &mut hall.miners[0][..2] {
        miner.sleeps = true;
    }
    hall.passes(20);
    hall.wants([Goal::Mine, Goal::Mine], &[Some(0.0)]);
    hall.passes(60);
    assert_eq!((hall.heard("commands"), hall.site.idle(0).len(), hall.phase(0)), (0, 2, Phase::Mining));
    let wake = Control::Wake { why: "by hand".into(), until: None };
    let plan = hall.site.plan(at(hall.second), 0, &wake).unwrap();
    assert_eq!((plan.devices, plan.leads_to), (2, Some(Phase::WakePending)), "{plan:#?}");
    hall.hears(Input::Person(0, Person::Rouse("by hand".into())));
    hall.until("they mine", 200, |hall| hall.phase(0) == Phase::Mining && hall.asleep() == 0);
    assert_eq!((hall.heard("commands g0-0 wake"), hall.heard("commands g0-1 wake"), hall.heard("commands")), (1, 1, 2));
    assert!(hall.first("writes hold g0-0") < hall.first("commands g0-0 wake"), "under the ledger's rules");
    assert_eq!(hall.site.idle(0), []);
    // One who works on it is not disturbed.
    let mut hall = Hall::new(terms(40_000.0), 4);
    hall.miners[0][0].sleeps = true;
    hall.passes(20);
    hall.hears(Input::Person(0, Person::Hold("hands".into())));
    hall.hears(Input::Person(0, Person::Rouse("by hand".into())));
    hall.passes(60);
    assert_eq!(hall.heard("commands"), 0);
}
