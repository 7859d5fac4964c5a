//! The names of the power side, filled from its snapshot when somebody scrapes.
//!
//! All watts are at the site meter, but for what a group's devices draw. What is not known has no number that could be mistaken for one.
//!
//! Limits: labels are groups and AI blocks of the config, and fixed words; single machines have none.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use crate::{
    config::Mode,
    power::{
        control::{Orphans, PowerSnapshot},
        device::StageKind,
        group::Phase,
    },
    profit::Watts,
};

/// As labels, in the order of [`StageKind`].
const STAGES: [&str; StageKind::COUNT] = ["pending", "dispatched", "confirmed", "drifted", "unavailable", "failed"];

pub(super) fn record(snapshot: &PowerSnapshot) {
    let site = &snapshot.site;
    let watts = [
        ("meter", site.meter),
        ("measured", Some(site.measured)),
        ("counted", Some(site.balance.total())),
        ("cap", snapshot.named.cap),
    ];
    for (what, watts) in watts {
        gauge!("hashgate_power_watts", "what" => what).set(number(watts));
    }
    for mode in Mode::ALL {
        let is = f64::from(u8::from(mode == snapshot.mode));
        gauge!("hashgate_power_mode", "mode" => mode.label()).set(is);
    }
    gauge!("hashgate_power_epoch").set(f64::from(site.epoch.0));
    for (name, group) in snapshot.named.groups.iter().zip(&site.groups) {
        let (Some(group), name) = (group, name.to_string()) else { continue };
        for phase in Phase::ALL {
            let is = f64::from(u8::from(phase == group.phase));
            let label = phase.label().to_lowercase();
            gauge!("hashgate_group_phase", "group" => name.clone(), "phase" => label).set(is);
        }
        gauge!("hashgate_group_watts", "group" => name.clone()).set(group.drawn.get());
        for (goal, stages) in [("sleep", &group.sleeping), ("mine", &group.waking)] {
            for (stage, count) in STAGES.into_iter().zip(stages) {
                gauge!("hashgate_group_devices", "group" => name.clone(), "goal" => goal, "stage" => stage)
                    .set(*count as f64);
            }
        }
        gauge!("hashgate_group_devices_measured", "group" => name.clone()).set(group.measured as f64);
        gauge!("hashgate_group_devices_idle", "group" => name).set(group.idle as f64);
    }
    for (name, block) in snapshot.named.blocks.iter().zip(&site.blocks) {
        let (Some(block), name) = (block, name.to_string()) else { continue };
        let watts = [
            ("wanted", Some(block.wanted)),
            ("granted", Some(block.granted)),
            ("revoked", Some(block.revoked)),
            ("drawn", block.drawn),
        ];
        for (what, watts) in watts {
            gauge!("hashgate_lease_watts", "ai" => name.clone(), "what" => what).set(number(watts));
        }
    }
    record_orphans(&snapshot.orphans);
    counter!("hashgate_ledger_refused_total").absolute(snapshot.totals.refusals);
    counter!("hashgate_receipts_total").absolute(snapshot.totals.receipts);
    counter!("hashgate_over_cap_readings_total").absolute(snapshot.over_cap.readings);
    gauge!("hashgate_over_cap_max_watts").set(number(Some(snapshot.over_cap.most.unwrap_or(Watts::ZERO))));
}

/// A group that the config has no more.
pub(super) fn forget_group(name: &str) {
    for phase in Phase::ALL {
        gauge!("hashgate_group_phase", "group" => name.to_owned(), "phase" => phase.label().to_lowercase()).set(0.0);
    }
    for goal in ["sleep", "mine"] {
        for stage in STAGES {
            gauge!("hashgate_group_devices", "group" => name.to_owned(), "goal" => goal, "stage" => stage).set(0.0);
        }
    }
    gauge!("hashgate_group_watts", "group" => name.to_owned()).set(f64::NAN);
    gauge!("hashgate_group_devices_measured", "group" => name.to_owned()).set(0.0);
    gauge!("hashgate_group_devices_idle", "group" => name.to_owned()).set(0.0);
}

/// An AI block that the config has no more.
pub(super) fn forget_block(name: &str) {
    for what in ["wanted", "granted", "revoked", "drawn"] {
        gauge!("hashgate_lease_watts", "ai" => name.to_owned(), "what" => what).set(f64::NAN);
    }
}

/// What nobody can move any more.
pub(super) fn record_orphans(orphans: &Orphans) {
    gauge!("hashgate_orphan_machines").set(orphans.machine_count() as f64);
    gauge!("hashgate_orphan_lease_watts").set(orphans.lent().get());
}

fn number(watts: Option<Watts>) -> f64 {
    watts.map_or(f64::NAN, Watts::get)
}

pub(super) fn describe() {
    describe_gauge!(
        "hashgate_power_watts",
        "Power of the site: by its meter, as the sum of what was measured, as it counts against the cap, and the cap; NaN if not known."
    );
    describe_gauge!(
        "hashgate_orphan_machines",
        "Machines that the ledger has put to sleep and no group of the config has with an actuator."
    );
    describe_gauge!(
        "hashgate_orphan_lease_watts",
        "Power that AI blocks hold which the config has not with a control."
    );
    describe_gauge!("hashgate_power_mode", "1 for how far decisions go: dry_run, advise or active.");
    describe_gauge!("hashgate_power_epoch", "Term of office of this controller; each start has a higher one.");
    describe_gauge!("hashgate_group_phase", "1 for where a group is between mining and asleep.");
    describe_gauge!("hashgate_group_watts", "What a group's machines draw, at their own supplies.");
    describe_gauge!(
        "hashgate_group_devices",
        "Machines of a group that do not just mine, by goal and how far they are."
    );
    describe_gauge!(
        "hashgate_group_devices_idle",
        "Machines of a group that sleep although nobody here put them to sleep."
    );
    describe_gauge!("hashgate_group_devices_measured", "Machines of a group with a fresh reading of their watts.");
    describe_gauge!(
        "hashgate_lease_watts",
        "Power of an AI block: what it should have, was given, is asked back, and draws; NaN if not known."
    );
    describe_counter!("hashgate_ledger_refused_total", "Times that the power ledger refused more power.");
    describe_counter!("hashgate_receipts_total", "Drains and wakes that ended.");
    describe_counter!("hashgate_over_cap_readings_total", "Readings of the site's meter that were over the cap.");
    describe_gauge!("hashgate_over_cap_max_watts", "The most that such a reading was over it.");
}
