//! Which node gets power, and what the others are told.

use super::{
    super::fit::{self, Limits, Order},
    *,
};

const FAN: &str = "fan is broken";

/// Nodes of 10 kW, 1 kW idle: (state, processors taken, reason).
struct Cluster(Vec<SlurmNode>, Vec<Seen>);

impl Cluster {
    fn of(states: &[(&str, u32, &str)]) -> Self {
        let seen = states.iter().map(|(state, cpus, reason)| one(state, *cpus, reason)).collect();
        Self((1..=states.len()).map(|index| node(&format!("gpu{index:02}"))).collect(), seen)
    }

    fn limits(kilowatts: f64) -> Limits {
        let budget = Watts::from_kilowatts(kilowatts).unwrap();
        Limits { budget, power_saving: false, may_drain: true, spared: None }
    }

    fn orders_with(&self, limits: &Limits) -> Vec<(Order, usize)> {
        let mut orders = fit::orders(&self.0, &self.1, limits);
        orders.sort();
        orders
    }

    fn orders(&self, kilowatts: f64) -> Vec<(Order, usize)> {
        self.orders_with(&Self::limits(kilowatts))
    }

    fn is_quiet(&self, kilowatts: f64) -> bool {
        fit::is_quiet(&self.0, &self.1, Self::limits(kilowatts).budget)
    }
}

#[test]
fn a_lease_resumes_what_it_carries_and_no_node_more() {
    use Order::Resume;
    let rests = Cluster::of(&[("IDLE+DRAIN", 0, REASON); 4]);
    // All four rest at 4 kW; each at work draws 9 kW more.
    for (kilowatts, wanted) in [(0.0, 0), (4.0, 0), (12.9, 0), (13.0, 1), (21.9, 1), (22.0, 2), (40.0, 4), (99.0, 4)] {
        let wanted: Vec<_> = (0..wanted).map(|index| (Resume, index)).collect();
        assert_eq!(rests.orders(kilowatts), wanted, "{kilowatts} kW");
    }
    assert!(rests.is_quiet(0.0));
}

#[test]
fn what_has_no_power_is_drained_and_what_has_it_is_left_alone() {
    use Order::Drain;
    let works = Cluster::of(&[("MIXED", 1, ""), ("IDLE", 0, ""), ("ALLOCATED", 2, "")]);
    assert_eq!(works.orders(30.0), []);
    assert_eq!(works.orders(21.0), [(Drain, 2)]);
    assert_eq!(works.orders(0.0), [(Drain, 0), (Drain, 1), (Drain, 2)]);
    assert!(works.is_quiet(30.0) && !works.is_quiet(21.0));
    let settling = Limits { may_drain: false, ..Cluster::limits(0.0) };
    assert_eq!(works.orders_with(&settling), [], "leases of an earlier life are told one by one");
    // The first comes back: nobody who works has to go for it.
    let back = Cluster::of(&[("IDLE+DRAIN", 0, REASON), ("MIXED", 1, ""), ("MIXED", 1, "")]);
    assert_eq!(back.orders(21.0), []);
}

#[test]
fn a_node_at_rest_waits_for_what_others_have_still_to_give_back() {
    use Order::Resume;
    let ending = ("MIXED+DRAIN", 1, REASON);
    let rests = ("IDLE+DRAIN", 0, REASON);
    // The one that still works is the one that goes on.
    assert_eq!(Cluster::of(&[rests, ending]).orders(11.0), [(Resume, 1)]);
    assert_eq!(Cluster::of(&[ending, ending]).orders(11.0), [(Resume, 0)]);
    // A person's drain: its job runs on, and its power is not there for another.
    let person = ("MIXED+DRAIN", 1, FAN);
    assert_eq!(Cluster::of(&[person, rests]).orders(19.0), []);
    assert_eq!(Cluster::of(&[person, rests]).orders(20.0), [(Resume, 1)]);
    assert!(!Cluster::of(&[person]).is_quiet(0.0));
}

#[test]
fn nobody_touches_what_a_person_has_taken_out() {
    let out = Cluster::of(&[
        ("IDLE+DRAIN", 0, FAN),
        ("MIXED+DRAIN", 1, FAN),
        ("DOWN", 0, FAN),
        ("DOWN+DRAIN+NOT_RESPONDING", 0, REASON),
        ("IDLE+DRAIN+FAIL", 0, ""),
    ]);
    for kilowatts in [0.0, 99.0] {
        let all = Limits { power_saving: true, spared: Some(Watts::ZERO), ..Cluster::limits(kilowatts) };
        assert_eq!(out.orders_with(&all), [], "{kilowatts} kW");
    }
}

#[test]
fn it_is_quiet_when_nothing_works_and_nothing_may_start() {
    for (state, cpus, reason, wanted) in [
        ("IDLE+DRAIN", 0, REASON, true),
        ("IDLE+DRAIN", 0, FAN, true),
        ("DOWN", 0, FAN, true),
        ("DOWN+DRAIN+NOT_RESPONDING", 0, REASON, true),
        ("IDLE+DRAIN+POWERED_DOWN", 0, REASON, true),
        ("IDLE", 0, "", false),
        ("IDLE+POWERED_DOWN", 0, REASON, false),
        ("MIXED+DRAIN", 1, REASON, false),
        ("IDLE+COMPLETING+DRAIN", 0, REASON, false),
        ("IDLE+DRAIN+POWERING_UP", 0, REASON, false),
        ("UNKNOWN+DRAIN", 0, REASON, false),
    ] {
        assert_eq!(Cluster::of(&[(state, cpus, reason)]).is_quiet(0.0), wanted, "{state}: {reason}");
    }
}

#[test]
fn jobs_are_ended_only_where_that_is_late_and_only_on_as_many_nodes() {
    use Order::{End, EndAndSwitchOff};
    let busy = Cluster::of(&[("MIXED+DRAIN", 1, REASON), ("MIXED+DRAIN", 1, REASON)]);
    assert_eq!(busy.orders(0.0), [], "running jobs finish");
    let late = |kilowatts: f64| Limits { spared: Watts::from_kilowatts(kilowatts), ..Cluster::limits(0.0) };
    assert_eq!(busy.orders_with(&late(0.0)), [(End, 0), (End, 1)]);
    assert_eq!(busy.orders_with(&late(11.0)), [(End, 1)], "what is not late yet is spared");
    let saving = Limits { power_saving: true, ..late(0.0) };
    assert_eq!(busy.orders_with(&saving), [(EndAndSwitchOff, 0), (EndAndSwitchOff, 1)]);
    // Where Slurm leaves the node down, it is resumed with the next lease.
    assert_eq!(Cluster::of(&[("DOWN+DRAIN", 0, node::ENDED)]).orders(10.0), [(Order::Resume, 0)]);
}

#[test]
fn machines_are_switched_off_empty_and_kept_drained() {
    use Order::{Drain, Resume, SwitchOff, SwitchOn};
    let one = |state: &str, cpus: u32, reason: &str, kilowatts: f64| {
        let limits = Limits { power_saving: true, ..Cluster::limits(kilowatts) };
        let orders = Cluster::of(&[(state, cpus, reason)]).orders_with(&limits);
        orders.into_iter().map(|(order, _)| order).collect::<Vec<_>>()
    };
    for (state, cpus, reason, down, up) in [
        ("IDLE", 0, "", vec![Drain], vec![]),
        ("MIXED+DRAIN", 1, REASON, vec![], vec![Resume]),
        ("IDLE+DRAIN", 0, REASON, vec![SwitchOff], vec![Resume]),
        ("IDLE+DRAIN+POWER_DOWN", 0, REASON, vec![], vec![]),
        // Slurm has ended the drain, and would wake it for the next job.
        ("IDLE+POWERING_DOWN", 0, REASON, vec![Drain], vec![]),
        ("IDLE+POWERED_DOWN", 0, REASON, vec![Drain], vec![]),
        ("IDLE+DRAIN+POWERING_DOWN", 0, REASON, vec![], vec![]),
        ("IDLE+DRAIN+POWERED_DOWN", 0, REASON, vec![], vec![Resume, SwitchOn]),
        ("IDLE+NOT_RESPONDING+POWERING_UP", 0, "", vec![Drain], vec![]),
        ("IDLE+DRAIN+POWERING_UP", 0, REASON, vec![], vec![Resume]),
        ("IDLE+DRAIN", 0, FAN, vec![], vec![]),
    ] {
        assert_eq!(one(state, cpus, reason, 0.0), down, "{state} without power");
        assert_eq!(one(state, cpus, reason, 10.0), up, "{state} with power");
    }
}
