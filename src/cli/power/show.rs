//! Answers about the power side as an operator reads them in a terminal.
//!
//! Values in, text out. Power is at the site meter unless it says otherwise.

use std::fmt::Write;

use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    api::wire::{BlockRow, DevicePage, GroupRow, ModeSet, ModeWord, PowerPage, SiteRow, Stages},
    cli::words::{ago, kw, line, time},
    power::{
        control::{Control, Forgotten, Plan},
        device::{Goal, StageKind},
        group::Phase,
        receipt::Receipt,
        site::Level,
    },
};

/// Events that stand under the groups.
const EVENTS: usize = 5;

/// `GET /api/v1/receipts`.
#[derive(Debug, Deserialize)]
pub struct ReceiptPage {
    receipts: Vec<Receipt>,
}

/// What follows from an order.
pub fn plan(plan: &Plan, dry_run: bool) -> String {
    let mut text = String::new();
    let leads = match plan.leads_to {
        Some(phase) => format!("{} -> {}", plan.phase.label(), phase.label()),
        None => format!("{}, and stays so", plan.phase.label()),
    };
    line(&mut text, format_args!("group {}: {leads}", plan.group));
    for words in &plan.words {
        line(&mut text, format_args!("  {words}"));
    }
    let mut sum = format!("  {} -> {} at the site meter", kw(plan.draws_kw), kw(plan.will_draw_kw));
    let left_out = match plan.left_out {
        0 => String::new(),
        1 => ", 1 left as it is".to_owned(),
        more => format!(", {more} left as they are"),
    };
    let _ = write!(sum, "; {} told{left_out}", machines(plan.devices));
    if plan.takes_s > 0.0 {
        let _ = write!(sum, " within {}", time(plan.takes_s));
    }
    if plan.asks_back_kw > 0.0 {
        let _ = write!(sum, "; {} asked back from AI compute first", kw(plan.asks_back_kw));
    }
    line(&mut text, format_args!("{sum}"));
    if dry_run {
        line(&mut text, format_args!("dry run: nothing was ordered"));
    }
    text
}

/// Machines that are forgotten, or would be.
pub fn forgotten(forgotten: &Forgotten, dry_run: bool, now: Timestamp) -> String {
    let mut text = String::new();
    let (group, count) = (&forgotten.group, forgotten.devices.len() as u64);
    let are = if count == 1 { "is" } else { "are" };
    line(&mut text, format_args!("group {group}: {} {are} forgotten", machines(count)));
    for device in &forgotten.devices {
        let seen = device.seen.map_or("never seen".to_owned(), |at| format!("seen {} ago", ago(at, now)));
        line(&mut text, format_args!("  {}: {seen}, counted {:.0} W", device.name, device.counts_watts));
    }
    for words in &forgotten.words {
        line(&mut text, format_args!("  {words}"));
    }
    for kept in &forgotten.kept {
        line(&mut text, format_args!("  {} is kept: {}", kept.name, kept.why));
    }
    if dry_run {
        line(&mut text, format_args!("dry run: none was forgotten"));
    }
    text
}

/// The mode that is set.
pub fn mode(mode: ModeWord) -> String {
    format!("{}: {}\n", mode.label(), meaning(mode))
}

/// The mode that was set.
pub fn mode_set(set: ModeSet) -> String {
    let before = if set.before == set.mode { "as before".to_owned() } else { format!("it was {}", set.before.label()) };
    format!("{} ({before}): {}\n", set.mode.label(), meaning(set.mode))
}

fn meaning(mode: ModeWord) -> &'static str {
    match mode {
        ModeWord::DryRun => "everything is shown, nothing is commanded",
        ModeWord::Advise => "what an operator orders is carried out, prices move nothing",
        ModeWord::Active => "prices decide, and what they decide is carried out",
    }
}

/// The whole site on a screen.
pub fn site(page: &PowerPage, now: Timestamp) -> String {
    let mut text = mode(page.mode);
    line(&mut text, format_args!("{}", cap(&page.site)));
    for group in &page.groups {
        text.push('\n');
        one_group(&mut text, group, now);
    }
    for name in &page.unmanaged_groups {
        line(&mut text, format_args!("\ngroup {name}: has no actuator, so nothing moves it; it counts as load"));
    }
    for block in &page.blocks {
        text.push('\n');
        one_block(&mut text, block, now);
    }
    for name in &page.unmanaged_blocks {
        line(&mut text, format_args!("\nAI {name}: has no control, so it gets no power"));
    }
    for words in &page.orphans {
        line(&mut text, format_args!("\n! {words}"));
    }
    let events: Vec<_> = page.events.iter().filter(|event| event.level > Level::Debug).take(EVENTS).collect();
    if !events.is_empty() {
        line(&mut text, format_args!("\nlast events, the newest first"));
        for event in events {
            let mark = if event.level >= Level::Warn { "! " } else { "" };
            line(&mut text, format_args!("  {:>7} ago  {mark}{}", ago(event.at, now), event.words));
        }
    }
    text
}

fn cap(site: &SiteRow) -> String {
    let mut words = format!("site draws {}", kw(site.measured_kw));
    match site.meter_kw {
        Some(meter) => {
            let _ = write!(words, " by its machines' own word, {} by its meter", kw(meter));
        }
        None => words.push_str(" by its machines' own word; no fresh meter"),
    }
    match (site.cap_kw, site.room_kw) {
        (Some(cap), Some(room)) => {
            let _ = write!(words, "; {} of {} count as taken, {} are free", kw(site.counts_kw), kw(cap), kw(room));
        }
        _ => words.push_str("; no cap"),
    }
    if let Some(most) = site.over_cap_most_kw {
        let _ = write!(words, "; {} times over the cap, by {} at most", site.over_cap_readings, kw(most));
    }
    words
}

fn one_group(text: &mut String, group: &GroupRow, now: Timestamp) {
    let GroupRow { name, phase, since, devices, .. } = group;
    let phase = phase.label();
    let draws = kw(group.draws_kw);
    let since = ago(*since, now);
    line(
        text,
        format_args!(
            "group {name}: {phase} for {since}, {draws} at the machines; {}{}",
            machines(*devices as u64),
            stages(group)
        ),
    );
    let goal = match (group.goal, group.urgent) {
        (Goal::Mine, _) => "mine",
        (Goal::Sleep, false) => "sleep",
        (Goal::Sleep, true) => "sleep at once",
    };
    line(text, format_args!("  to {goal}: {}", group.why));
    if let Some(decision) = group.decision.as_ref().filter(|decision| **decision != group.why) {
        line(text, format_args!("  decided by now: {decision}"));
    }
    if let Some(waits_for) = &group.waits_for {
        line(text, format_args!("  waits for {waits_for}"));
    }
    if let Some(control) = &group.operator {
        line(text, format_args!("  an operator ordered {}", ordered(control, now)));
    }
}

fn stages(group: &GroupRow) -> String {
    let mut words = String::new();
    let mut add = |count: usize, what: &str| {
        if count > 0 {
            let _ = write!(words, ", {count} {what}");
        }
    };
    let Stages { pending, dispatched, confirmed, drifted, unavailable, failed } = group.sleeping;
    add(confirmed, "asleep");
    // Nobody is told anything in a fault before it is tried again.
    let open = if group.phase == Phase::Fault { "not asleep as ordered" } else { "on their way to sleep" };
    add(pending + dispatched, open);
    add(drifted, "awake again");
    let woken = group.waking;
    let open = if group.phase == Phase::Fault { "not awake as ordered" } else { "on their way to mine" };
    add(woken.pending + woken.dispatched + woken.drifted, open);
    add(unavailable + woken.unavailable, "not seen");
    add(failed + woken.failed, "that do not obey");
    let unmeasured = group.devices.saturating_sub(group.measured);
    add(unmeasured, "without a fresh measurement");
    add(group.idle, "asleep that nobody here put to sleep");
    words
}

fn ordered(control: &Control, now: Timestamp) -> String {
    let lasts = |until: &Option<Timestamp>| match until {
        Some(until) => format!("for another {}", ago(now, *until)),
        None => "until it is released".to_owned(),
    };
    match control {
        Control::Drain { why, until } => format!("a drain {}: {why}", lasts(until)),
        Control::Wake { why, until } => format!("a wake {}: {why}", lasts(until)),
        Control::Hold { why } => format!("a hold until it is released: {why}"),
        Control::Lockout { why } => format!("a lockout until it is unlocked: {why}"),
        Control::Release | Control::Unlock => "that prices decide".to_owned(),
    }
}

fn one_block(text: &mut String, block: &BlockRow, now: Timestamp) {
    let draws = block.drawn_kw.map_or("draws nobody knows what".to_owned(), |drawn| format!("draws {}", kw(drawn)));
    let state = block.state.as_ref().map(|state| format!(" ({state})")).unwrap_or_default();
    let (granted, wanted) = (kw(block.granted_kw), kw(block.wanted_kw));
    line(text, format_args!("AI {}: has {granted} of {wanted} that it should have, {draws}{state}", block.name));
    if let Some(decision) = &block.decision {
        line(text, format_args!("  decided by now: {decision}"));
    }
    for lease in &block.leases {
        let revoked = lease.revoked.map(|at| format!(", asked back {} ago", ago(at, now))).unwrap_or_default();
        let ends = if lease.expires > now {
            format!("ends in {} unless renewed", ago(now, lease.expires))
        } else {
            format!("ended {} ago, not returned", ago(lease.expires, now))
        };
        line(text, format_args!("  lease {}: {}, {ends}{revoked}", lease.id, kw(lease.kw)));
    }
    if let Some(refused) = &block.refused {
        line(text, format_args!("  no more: {refused}"));
    }
}

/// The machines of a group.
pub fn devices(page: &DevicePage, now: Timestamp) -> String {
    let mut text = String::new();
    let width = page.devices.iter().map(|device| device.name.chars().count()).max().unwrap_or(0).max("name".len());
    line(
        &mut text,
        format_args!(
            "{:width$}  {:5}  {:11}  {:>8}  {:>8}  {:>8}  {:>8}  address",
            "name", "goal", "stage", "watts", "counts", "measured", "seen"
        ),
    );
    for device in &page.devices {
        let goal = match device.goal {
            Goal::Mine => "mine",
            Goal::Sleep => "sleep",
        };
        let stage = match device.stage {
            StageKind::Pending => "pending",
            StageKind::Dispatched => "dispatched",
            StageKind::Confirmed => "confirmed",
            StageKind::Drifted => "drifted",
            StageKind::Unavailable => "unavailable",
            StageKind::Failed => "failed",
        };
        let watts = device.watts.map_or("-".to_owned(), |watts| format!("{watts:.0}"));
        let measured = device.measured_at.map_or("never".to_owned(), |at| format!("{} ago", ago(at, now)));
        let counts = format!("{:.0}", device.counts_watts);
        let seen = match device.seen {
            _ if device.connected => "now".to_owned(),
            Some(at) => format!("{} ago", ago(at, now)),
            None => "-".to_owned(),
        };
        let address = device.address.map_or("-".to_owned(), |address| address.to_string());
        line(
            &mut text,
            format_args!(
                "{:width$}  {goal:5}  {stage:11}  {watts:>8}  {counts:>8}  {measured:>8}  {seen:>8}  {address}",
                device.name
            ),
        );
    }
    if !page.devices.is_empty() {
        line(
            &mut text,
            format_args!("watts at the machine; counts: what the ledger counts, in watts at the site meter"),
        );
    }
    let shown = page.offset + page.devices.len();
    if page.devices.is_empty() {
        line(&mut text, format_args!("group {} has {} machines, none from {} on", page.group, page.total, page.offset));
    } else if shown < page.total {
        line(&mut text, format_args!("{} more of {}: --offset {shown} shows them", page.total - shown, page.total));
    }
    text
}

/// What was moved.
pub fn receipts(page: &ReceiptPage) -> String {
    if page.receipts.is_empty() {
        return "no drain or wake has ended yet\n".to_owned();
    }
    receipts_in_words(&page.receipts)
}

/// Receipts, two lines for each.
pub fn receipts_in_words(receipts: &[Receipt]) -> String {
    let mut text = String::new();
    for receipt in receipts {
        let Receipt { group, watts, devices, shares, seconds, cost, .. } = receipt;
        let (kind, outcome) = (receipt.kind.label(), receipt.outcome.in_words());
        let started = receipt.started.strftime("%Y-%m-%d %H:%M:%SZ");
        line(&mut text, format_args!("{started}  {kind} of {group}: {outcome}; {}", receipt.why));
        let (before, after) = (kw(watts.before_w / 1e3), kw(watts.after_w / 1e3));
        let took = time(seconds.total_s);
        let lost = shares.unanswered();
        let proven = match devices.asked {
            0 if devices.idle > 0 => format!("nobody had to be moved, {} drew nothing before", machines(devices.idle)),
            asked => format!("{} of {asked} machines proven", devices.confirmed),
        };
        line(
            &mut text,
            format_args!(
                "  {before} -> {after} at the machines in {took}; {proven}; shares: {} accepted, {} rejected, {lost} without an answer; {:.2} kWh",
                shares.accepted,
                shares.rejected,
                cost.energy_wh / 1e3
            ),
        );
    }
    text
}

fn machines(count: u64) -> String {
    if count == 1 { "1 machine".to_owned() } else { format!("{count} machines") }
}
