//! Scenes of a rack that has one meter for all of its machines: the samples of each are an equal share of what all draw.

use super::*;

const MACHINES: usize = 8;

/// Two minutes' worth of ramp, told without a canary, with the time that the ramp takes.
fn rack() -> Rack {
    let ramp = Duration::from_secs(120);
    let more = |spec: Spec| Spec { sleep_time: spec.sleep_time + ramp, wake_time: spec.wake_time + ramp, ..spec };
    let specs = specs(MACHINES).into_iter().map(more).collect();
    let mut rack = Rack::new(specs, Terms { canary: 0, ..terms() });
    rack.has_one_meter = true;
    rack.passes(10);
    rack
}

/// Passes time until the group is there; nothing is free on the way while any machine draws.
fn nothing_is_free_until(rack: &mut Rack, phase: Phase, limit: i64) {
    let end = rack.second + limit;
    while rack.group.phase() != phase {
        assert!(rack.second < end, "{phase:?} is not reached:\n{}", rack.told.join("\n"));
        rack.passes(1);
        assert!(rack.freed.is_empty() || rack.asleep() == MACHINES, "free, and some draw:\n{}", rack.told.join("\n"));
    }
}

#[test]
fn a_ramp_tells_each_once_and_frees_nothing_until_all_sleep() {
    let mut rack = rack();
    rack.says(order(Goal::Sleep, false));
    nothing_is_free_until(&mut rack, Phase::Asleep, 400);
    assert_eq!((rack.asleep(), rack.freed.len(), rack.commands.len()), (MACHINES, MACHINES, MACHINES));
    let freed: f64 = rack.freed.values().map(|watts| watts.get()).sum();
    assert_eq!(freed, SLEEPING * MACHINES as f64, "the shares add up to what was measured");

    rack.says(order(Goal::Mine, false));
    rack.until(Phase::Mining, 600);
    assert_eq!((rack.asleep(), rack.commands.len()), (0, 2 * MACHINES), "{}", rack.told.join("\n"));
    assert!(!rack.heard("failed"), "{}", rack.told.join("\n"));
}

#[test]
fn one_that_stays_awake_keeps_all_from_being_free() {
    let mut rack = rack();
    rack.miners[3].lies = true;
    rack.says(order(Goal::Sleep, false));
    nothing_is_free_until(&mut rack, Phase::Fault, 2_000);
    assert!(rack.freed.is_empty() && rack.asleep() == MACHINES - 1);
}

#[test]
fn one_that_wakes_by_itself_takes_back_what_was_free() {
    let mut rack = rack();
    rack.says(order(Goal::Sleep, false));
    rack.until(Phase::Asleep, 400);
    rack.miners[2].sleeps = false;
    rack.passes(EVERY);
    assert!(rack.freed.is_empty(), "{}", rack.told.join("\n"));
    let end = rack.second + 600;
    while rack.freed.len() < MACHINES {
        assert!(rack.second < end, "not told again:\n{}", rack.told.join("\n"));
        rack.passes(1);
        assert!(rack.freed.is_empty() || rack.asleep() == MACHINES);
    }
}
