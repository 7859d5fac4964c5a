//! Machines that are gone for good.

use super::*;
use crate::power::{device::StageKind, ledger::Balance};

const FIRST: DeviceKey = DeviceKey { group: 0, device: 0 };

/// 1.05 × the most that was seen of it.
const SEEN: f64 = 1.05 * MINING;

fn balance(hall: &Hall) -> Balance {
    hall.site.view(at(hall.second)).balance
}

/// All mine, and one is silent for long.
fn silent(is_gone: bool) -> Hall {
    let mut hall = Hall::new(terms(40_000.0), 4);
    hall.passes(20);
    (hall.miners[0][0].is_silent, hall.miners[0][0].is_gone) = (true, is_gone);
    // Until the meter was compared twice since: who is silent is waited for each time.
    hall.passes(100);
    hall
}

#[test]
fn a_machine_that_is_gone_counts_until_the_meter_was_compared_without_it() {
    let mut hall = silent(true);
    let before = balance(&hall);
    assert_eq!(before.asic.get(), 8.0 * SEEN, "it counts although nobody sees it");
    let now = at(hall.second);
    assert_eq!(hall.site.may_forget(now, FIRST, true), Ok(None));
    hall.site.forget(now, FIRST);
    hall.does();
    let after = balance(&hall);
    assert_eq!(after.asic.get(), 7.0 * SEEN);
    assert!(after.room() <= before.room(), "nothing is free at once: {after}");
    hall.passes(10);
    let room = balance(&hall).room().get();
    assert!((room - before.room().get() - SEEN).abs() < 1.0, "its bound is free: {} and then {room}", before.room());
    assert_eq!(hall.site.devices(at(hall.second), 0).len(), 3);
    assert_eq!(hall.site.view(at(hall.second)).groups[0].as_ref().unwrap().devices, 3);
    // The others keep their places.
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(0.0)]);
    hall.until("the drain", 200, |hall| hall.phase(0) == Phase::Asleep);
    assert_eq!((hall.asleep(), hall.heard("commands g0-0")), (3, 0));
    // Found again, it has a place of its own.
    hall.miners[0].push(Miner::default());
    let again = Joining { spec: Spec { name: "g0-0".into(), ..joining(0, 0).spec }, ..joining(0, 0) };
    hall.hears(Input::Joined(0, again));
    assert_eq!(hall.site.key(0, "g0-0"), Some(DeviceKey { group: 0, device: 4 }));
    hall.passes(10);
    assert!(
        hall.site.devices(at(hall.second), 0).iter().any(|device| &*device.name == "g0-0" && device.watts.is_some())
    );
}

#[test]
fn what_a_forgotten_machine_draws_all_the_same_is_the_meters_to_see() {
    let mut hall = silent(false);
    let now = at(hall.second);
    hall.site.forget(now, FIRST);
    hall.does();
    for _ in 0..30 {
        hall.passes(1);
        let balance = balance(&hall);
        assert!(balance.unexplained.get() >= MINING - 1.0, "it draws {MINING} W, which are not free: {balance}");
    }
    assert!((balance(&hall).unexplained.get() - MINING).abs() < 1.0);
}

#[test]
fn who_sleeps_by_our_order_draws_or_is_being_woken_is_kept() {
    let mut hall = Hall::new(terms(28_950.0), 4);
    hall.passes(20);
    assert_eq!(hall.site.may_forget(at(hall.second), FIRST, true), Err(Kept::Draws(watts(MINING))));
    assert_eq!(hall.site.may_forget(at(hall.second), FIRST, false), Ok(None), "that was its group's meter");
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(10_000.0)]);
    hall.until("the lease", 200, |hall| hall.granted() == 10_000.0 && hall.phase(0) == Phase::Asleep);
    hall.passes(10);
    // Also when it is not seen any more: it was put to sleep, and nobody knows.
    hall.miners[0][0].is_silent = true;
    assert_eq!(hall.site.may_forget(at(hall.second), FIRST, true), Err(Kept::Asleep));
    hall.passes(40);
    assert_eq!(hall.site.may_forget(at(hall.second), FIRST, true), Err(Kept::Asleep));
    hall.miners[0][0].is_silent = false;
    hall.miners[0][0].disobeys = true;
    hall.wants([Goal::Mine, Goal::Mine], &[Some(0.0)]);
    let key = DeviceKey { group: 0, device: 1 };
    hall.until("a wake", 200, |hall| {
        hall.site.may_forget(at(hall.second), key, true) == Err(Kept::Waking) || hall.phase(0) == Phase::Mining
    });
    let unknown = DeviceKey { group: 0, device: 9 };
    assert_eq!(hall.site.may_forget(at(hall.second), unknown, true), Err(Kept::Unknown));
}

#[test]
fn a_machine_that_was_sold_asleep_is_missed_until_it_is_forgotten() {
    let mut hall = Hall::new(terms(40_000.0), 4);
    hall.passes(20);
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(0.0)]);
    hall.until("the drain", 200, |hall| hall.phase(0) == Phase::Asleep);
    (hall.miners[0][0].is_silent, hall.miners[0][0].is_gone) = (true, true);
    hall.passes(40);
    hall.wants([Goal::Mine, Goal::Mine], &[Some(0.0)]);
    hall.until("mining without it", 400, |hall| hall.heard("it mines without 1 of its 4 devices") > 0);
    let stage = hall.site.devices(at(hall.second), 0)[0].stage;
    assert_eq!(stage, StageKind::Unavailable);
    let now = at(hall.second);
    let entry = hall.site.may_forget(now, FIRST, true).unwrap();
    assert!(matches!(entry, Some(Entry { what: Booking::Hold { .. }, .. })), "the book has it asleep: {entry:?}");
    hall.entries.extend(entry);
    hall.site.forget(now, FIRST);
    hall.does();
    let record = hall.records[0].clone().unwrap();
    assert!(record.devices.iter().all(|device| &*device.name != "g0-0"), "{record:?}");
    hall.until("it mines", 700, |hall| hall.phase(0) == Phase::Mining);
    // A life later it is found again, at its bound.
    let specs =
        vec![(1..4).map(|device| joining(0, device)).collect(), (0..4).map(|device| joining(1, device)).collect()];
    let mut site = Site::new(hall.site.terms().clone(), Epoch(2), &hall.entries, specs, hall.records.clone(), now);
    site.handle(now, Input::Joined(0, joining(0, 0)));
    assert_eq!(site.counts(now, DeviceKey { group: 0, device: 3 }).get(), SEEN);
}
