//! The power side, filled from its snapshot when somebody scrapes.
//!
//! All watts are at the site meter, but for what a group's devices draw. What is not known has no number that could be mistaken for one.
//!
//! Limits: labels are groups and AI blocks of the config, and fixed words; single machines have none.

use super::{exporter::certificate, names, text::Page};
use crate::{
    config::Mode,
    power::{
        control::{Certificate, Orphans, PowerSnapshot},
        device::StageKind,
        group::Phase,
        site::{BlockView, GroupView},
    },
    profit::Watts,
};

/// As labels, in the order of [`StageKind`].
const STAGES: [&str; StageKind::COUNT] = ["pending", "dispatched", "confirmed", "drifted", "unavailable", "failed"];

/// All of it.
pub(super) fn record(page: &mut Page, snapshot: &PowerSnapshot) {
    let (site, named) = (&snapshot.site, &snapshot.named);
    let watts = [
        ("meter", site.meter),
        ("measured", Some(site.measured)),
        ("counted", Some(site.balance.total())),
        ("cap", named.cap),
    ];
    for (what, watts) in watts {
        page.gauge(&names::POWER_WATTS, &[("what", what)], number(watts));
    }
    for mode in Mode::ALL {
        page.flag(&names::POWER_MODE, &[("mode", mode.label())], mode == snapshot.mode);
    }
    page.gauge(&names::POWER_EPOCH, &[], f64::from(site.epoch.0));
    for (name, group) in named.groups.iter().zip(&site.groups) {
        if let Some(view) = group {
            of_group(page, name, view);
        }
    }
    for (named, block) in named.blocks.iter().zip(&site.blocks) {
        if let Some(view) = block {
            of_block(page, &named.name, named.idle, view);
        }
    }
    for Certificate { of, name, ends } in &snapshot.certificates {
        certificate(page, of, name, Some(*ends));
    }
    orphans(page, &snapshot.orphans);
    page.count(&names::LEDGER_REFUSED, &[], snapshot.totals.refusals);
    page.count(&names::RECEIPTS, &[], snapshot.totals.receipts);
    page.count(&names::OVER_CAP, &[], snapshot.over_cap.readings);
    page.gauge(&names::OVER_CAP_MOST, &[], snapshot.over_cap.most.unwrap_or(Watts::ZERO).get());
}

fn of_group(page: &mut Page, name: &str, view: &GroupView) {
    let label = ("group", name);
    for phase in Phase::ALL {
        let lower = phase.label().to_lowercase();
        page.flag(&names::GROUP_PHASE, &[label, ("phase", &lower)], phase == view.phase);
    }
    page.gauge(&names::GROUP_WATTS, &[label], view.drawn.get());
    for (goal, stages) in [("sleep", &view.sleeping), ("mine", &view.waking)] {
        for (stage, count) in STAGES.into_iter().zip(stages) {
            page.gauge(&names::GROUP_DEVICES, &[label, ("goal", goal), ("stage", stage)], *count as f64);
        }
    }
    page.gauge(&names::GROUP_KNOWN, &[label], view.devices as f64);
    page.gauge(&names::GROUP_MEASURED, &[label], view.measured as f64);
    page.gauge(&names::GROUP_IDLE, &[label], view.idle as f64);
}

/// `idle`: what it draws without work, which is not lent.
fn of_block(page: &mut Page, name: &str, idle: Watts, view: &BlockView) {
    let watts = [
        ("wanted", Some(view.wanted)),
        ("granted", Some(view.granted)),
        ("revoked", Some(view.revoked)),
        ("allowed", Some(view.granted.max(idle))),
        ("drawn", view.drawn),
    ];
    for (what, watts) in watts {
        page.gauge(&names::LEASE_WATTS, &[("ai", name), ("what", what)], number(watts));
    }
}

/// What nobody can move any more.
pub(super) fn orphans(page: &mut Page, orphans: &Orphans) {
    page.gauge(&names::ORPHAN_MACHINES, &[], orphans.machine_count() as f64);
    page.gauge(&names::ORPHAN_WATTS, &[], orphans.lent().get());
}

fn number(watts: Option<Watts>) -> f64 {
    watts.map_or(f64::NAN, Watts::get)
}
