//! The table of phases: as it is, and as the docs draw it.

use super::*;

#[test]
fn every_phase_meets_every_cause() {
    let mut table = String::new();
    for from in Phase::ALL {
        table.push_str(&format!("{}\n", from.label()));
        for cause in Cause::ALL {
            let to = from.next(cause).map_or("-", Phase::label);
            table.push_str(&format!("    {:<17} {to}\n", cause.label()));
        }
    }
    insta::assert_snapshot!(table);
}

/// The arrows as the module's docs have them. Hold and lock lead from everywhere.
fn diagram() -> String {
    let mut lines = Vec::new();
    for from in Phase::ALL {
        for to in Phase::ALL {
            let causes = Cause::ALL.into_iter().filter(|cause| from.next(*cause) == Some(to));
            let causes = causes.filter(|cause| !matches!(cause, Cause::Hold | Cause::Lock));
            let causes: Vec<&str> = causes.map(Cause::label).collect();
            if !causes.is_empty() {
                let causes = format!("─ {} ", causes.join(" | "));
                lines.push(format!("//! {:<13} ─{causes:─<43}─► {}", from.label(), to.label()));
            }
        }
    }
    lines.join("\n")
}

#[test]
fn the_diagram_in_the_docs_is_the_table() {
    let docs = include_str!("../../group.rs");
    let drawn = docs.split("//! ```text\n").nth(1).and_then(|rest| rest.split("\n//! ```").next());
    let diagram = diagram();
    assert_eq!(drawn, Some(&*diagram), "the diagram of `power/group.rs` should be\n{diagram}\n");
}

#[test]
fn no_phase_is_a_dead_end() {
    for from in Phase::ALL {
        let mut reached = vec![from];
        let mut next = 0;
        while let Some(phase) = reached.get(next).copied() {
            next += 1;
            for to in Cause::ALL.into_iter().filter_map(|cause| phase.next(cause)) {
                if !reached.contains(&to) {
                    reached.push(to);
                }
            }
        }
        assert!(reached.contains(&Phase::Mining), "no way from {} back to mining", from.label());
    }
}

/// What brings a rack into each phase, with so many that are not seen; the last ones.
fn in_phase_without(phase: Phase, unseen: usize) -> Rack {
    let mut rack = Rack::new(specs(6), terms());
    rack.miners.iter_mut().rev().take(unseen).for_each(|miner| miner.is_reachable = false);
    rack.passes(if unseen > 0 { 40 } else { 10 });
    match phase {
        Phase::Mining => {}
        Phase::DrainPending => rack.says(order(Goal::Sleep, false)),
        Phase::Draining => {
            rack.says(order(Goal::Sleep, false));
            rack.until(Phase::Draining, 10);
            rack.passes(3);
        }
        Phase::Asleep => {
            rack.says(order(Goal::Sleep, false));
            rack.until(Phase::Asleep, 300);
        }
        Phase::WakePending => {
            rack = in_phase_without(Phase::Asleep, unseen);
            rack.has_room = false;
            rack.says(order(Goal::Mine, false));
        }
        Phase::Waking => {
            rack = in_phase_without(Phase::Asleep, unseen);
            rack.passes(70);
            rack.says(order(Goal::Mine, false));
            rack.passes(3);
        }
        Phase::Fault => {
            rack.miners.iter_mut().for_each(|miner| miner.lies = true);
            rack.says(order(Goal::Sleep, false));
            rack.until(Phase::Fault, 600);
        }
        Phase::ManualHold => rack.says(Input::Hold("new cables".into())),
        Phase::Lockout => rack.says(Input::Lock("someone is at the rack".into())),
    }
    if !matches!(phase, Phase::Mining | Phase::DrainPending) {
        // Its record gets to the disk.
        rack.passes(1);
    }
    assert_eq!(rack.group.phase(), phase, "{}", rack.told.join("\n"));
    rack
}

/// Two that were not seen in all this time.
const BACK: &str = "two come back";

/// Every phase, made by a rack, against what may be said to it and against time: what it does within a minute and a half.
#[test]
fn every_state_meets_every_event() {
    type Event = (&'static str, fn(&mut Rack));
    let events: [Event; 11] = [
        ("sleep", |rack| rack.says(order(Goal::Sleep, false))),
        ("emergency", |rack| rack.says(order(Goal::Sleep, true))),
        ("mine", |rack| rack.says(order(Goal::Mine, false))),
        ("hold", |rack| rack.says(Input::Hold("a visit".into()))),
        ("lock", |rack| rack.says(Input::Lock("a visit".into()))),
        ("release", |rack| rack.says(Input::Release)),
        ("unlock", |rack| rack.says(Input::Unlock)),
        ("a blip wakes all", |rack| rack.miners.iter_mut().for_each(|miner| miner.sleeps = false)),
        ("one is found", |rack| rack.joins(specs(7).remove(6))),
        (BACK, |rack| rack.miners.iter_mut().for_each(|miner| miner.is_reachable = true)),
        ("crash", Rack::crashes),
    ];
    let mut table = String::new();
    for phase in Phase::ALL {
        table.push_str(&format!("{}\n", phase.label()));
        for (name, event) in events {
            let mut rack = in_phase_without(phase, if name == BACK { 2 } else { 0 });
            rack.told.clear();
            event(&mut rack);
            let at_once = rack.group.phase().label();
            rack.passes(90);
            let (sleeps, wakes) = (rack.commanded("Sleep").len(), rack.commanded("Wake").len());
            table.push_str(&format!(
                "    {name:<17} {at_once:<13} then {:<13} {sleeps:>2} told to sleep, {wakes} to wake\n",
                rack.group.phase().label()
            ));
        }
    }
    insta::assert_snapshot!(table);
}
