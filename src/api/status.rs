//! The proxy on one page.

use std::sync::Arc;

use axum::{Extension, extract::State, response::Response};
use jiff::Timestamp;

use super::{
    Api,
    auth::Role,
    pools, reply,
    wire::{Earnings, GroupLine, PoolLine, ShareCounts, SiteLine, StatusPage, StoreLine},
    workers,
};
use crate::{
    config::{Mode, Places, Profit},
    hash::Kernel,
    metrics::Totals,
    power::{control::PowerSnapshot, device::StageKind},
    profit::{
        Action, MoneyPerMwh, Watts,
        task::{DecisionView, Snapshot, action_label},
    },
    store::StoreStatus,
    work::Hashrate,
};

/// Hashes in a terahash.
pub const TERA: f64 = 1e12;

/// Hashrates added up, in TH/s. (The sum of none is -0 in floats.)
pub fn together(hashrates: impl Iterator<Item = Hashrate>) -> f64 {
    hashrates.fold(0.0, |sum, hashrate| sum + hashrate.hs()) / TERA
}

/// `GET /api/v1/status`.
#[utoipa::path(
    get, path = "/api/v1/status", operation_id = "status", tag = "now",
    responses((status = 200, description = "The proxy on one page", body = StatusPage))
)]
pub async fn show(State(api): State<Arc<Api>>, Extension(role): Extension<Role>) -> Response {
    reply::json(&api.status(role, Timestamp::now()))
}

impl Api {
    /// The proxy on one page.
    fn status(&self, role: Role, now: Timestamp) -> StatusPage {
        let (status, totals) = self.in_force();
        let places = &status.places;
        let signals = self.signals.snapshot();
        let power = self.power.snapshot();
        let config = &places.config;
        let decision = signals.decision.as_ref();
        let mode = power.as_ref().map(|power| power.mode).or(decision.map(|view| view.mode));
        let profit = config.profit.as_ref();
        let groups = decision.map_or(Vec::new(), |view| group_lines(view, power.as_deref()));
        StatusPage {
            at: now,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.started,
            uptime_s: now.duration_since(self.started).as_secs_f64().max(0.0),
            may_control: role == Role::Control,
            kernel: Kernel::get().name().to_owned(),
            mode: mode.map(Into::into),
            site_mode: decision.map(|view| view.decisions.mode.to_string()),
            headline: headline(mode, decision, &totals, &places.pools),
            groups,
            hashrate_ths: together(totals.hashrate.iter().copied()),
            miners: totals.miners.iter().sum(),
            connections: totals.connections,
            workers: workers::counts(&self.watched.workers()),
            shares: self.shares(&totals),
            pools: pools::shown(places, &totals).map(|pool| line(places, &totals, pool)).collect(),
            power: power.as_deref().map(|power| site(power, config.power.as_ref().and_then(|power| power.cap))),
            earnings: profit.and_then(|profit| earnings(profit, &signals, power.as_deref())),
            store: self.store.as_ref().map(|store| kept(&store.status())),
            alerts: self.watched.alerts(),
        }
    }

    fn shares(&self, totals: &Totals) -> ShareCounts {
        let ratios = self.watched.ratios();
        ShareCounts {
            accepted: totals.accepted,
            accepted_difficulty: totals.accepted_difficulty,
            rejected: totals.rejected_total(),
            rejected_by_reason: totals.rejected.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect(),
            forwarded: totals.forwarded,
            unforwarded: totals.unforwarded,
            unsettled: totals.unsettled(),
            stale_ratio_5m: ratios.stale,
            rejected_ratio_5m: ratios.rejected,
        }
    }
}

fn kept(store: &StoreStatus) -> StoreLine {
    StoreLine {
        backend: store.backend.to_owned(),
        trouble: store.trouble.clone(),
        written_at: store.written_at,
        waiting_rows: store.waiting_rows as u64,
        dropped: store.dropped,
        bytes: (store.bytes > 0).then_some(store.bytes),
    }
}

fn line(places: &Places, totals: &Totals, pool: usize) -> PoolLine {
    let row = pools::row(places, totals, pool);
    PoolLine {
        name: row.name,
        state: row.state,
        hashrate_ths: row.hashrate_ths,
        accepted: row.accepted,
        rejected: row.rejected,
        reply_p50_ms: row.reply.p50_ms,
    }
}

fn group_lines(view: &DecisionView, power: Option<&PowerSnapshot>) -> Vec<GroupLine> {
    let each = view.groups.iter().zip(&view.decisions.groups);
    let line = |(name, decision): (&Arc<str>, &crate::profit::Decision)| {
        let seen = power.and_then(|power| power.group(name));
        GroupLine {
            name: name.to_string(),
            action: action_label(decision.action).to_owned(),
            reason: decision.reason.to_string(),
            phase: seen.map(|group| group.phase),
        }
    };
    each.map(line).collect()
}

/// What it does and why: of the groups, the one whose case says most.
fn headline(mode: Option<Mode>, decision: Option<&DecisionView>, totals: &Totals, pools: &[usize]) -> String {
    let live = pools.iter().filter(|pool| totals.router.pools[**pool].connections > 0).count();
    let Some(view) = decision else {
        let miners: u64 = totals.miners.iter().sum();
        return format!("{miners} miners mine, {live} of {} pools live; nothing is decided here", pools.len());
    };
    let all = view.decisions.groups.len();
    let mining = view.decisions.groups.iter().filter(|group| group.action == Action::Mine).count();
    let how = match mode {
        Some(Mode::DryRun) => " (a dry run: nothing is commanded)",
        Some(Mode::Advise) => " (advice: only an operator's orders are carried out)",
        Some(Mode::Active) | None => "",
    };
    // Where some sleep, why they do; else why the first mines.
    let told = view.decisions.groups.iter().position(|group| group.action != Action::Mine).unwrap_or(0);
    let why = view.groups.get(told).zip(view.decisions.groups.get(told));
    let why = why.map_or_else(String::new, |(name, group)| format!("; {name}: {}", group.reason));
    format!("{}: {mining} of {all} groups mine{how}{why}", view.decisions.mode)
}

fn site(power: &PowerSnapshot, cap: Option<Watts>) -> SiteLine {
    let site = &power.site;
    let groups = || site.groups.iter().flatten();
    let asleep = groups().map(|group| group.sleeping[StageKind::Confirmed as usize] as u64).sum();
    SiteLine {
        cap_kw: cap.map(Watts::kilowatts),
        counts_kw: site.balance.total().kilowatts(),
        measured_kw: site.measured.kilowatts(),
        meter_kw: site.meter.map(Watts::kilowatts),
        ai_granted_kw: site.blocks.iter().flatten().map(|block| block.granted).sum::<Watts>().kilowatts(),
        ai_drawn_kw: site.blocks.iter().flatten().filter_map(|block| block.drawn).sum::<Watts>().kilowatts(),
        devices: groups().map(|group| group.devices as u64).sum(),
        asleep,
    }
}

/// What an hour brings at what is drawn now.
fn earnings(profit: &Profit, signals: &Snapshot, power: Option<&PowerSnapshot>) -> Option<Earnings> {
    let view = signals.decision.as_ref()?;
    let cost = view.decisions.groups.first()?.margins.cost;
    let (mut mining, mut ai, mut drawn) = (0.0, 0.0, profit.site.base_load.megawatts());
    let (mut unpriced, mut is_measured) = (0, false);
    for ((name, decision), rung) in view.groups.iter().zip(&view.decisions.groups).zip(&view.rungs.groups) {
        let seen = power.and_then(|power| power.group(name));
        is_measured |= seen.is_some();
        let at_meter = |watts: Watts| watts.megawatts() * profit.site.overhead.get();
        let draws = seen.map_or(rung.given.megawatts(), |seen| at_meter(seen.drawn));
        drawn += draws;
        match decision.margins.value {
            // What sleepers draw earns nothing.
            Some(value) if decision.action == Action::Mine => mining += value.get() * draws,
            None if decision.action == Action::Mine => unpriced += 1,
            _ => {}
        }
    }
    for (name, rung) in view.ai.iter().zip(&view.rungs.ai) {
        let seen = power.and_then(|power| power.block(name));
        let draws = seen.and_then(|seen| seen.drawn).unwrap_or(rung.given).megawatts();
        drawn += draws;
        let value = rung.margin.zip(Some(cost.unwrap_or(MoneyPerMwh::ZERO)));
        ai += value.map_or(0.0, |(margin, cost)| (margin + cost).get() * draws);
    }
    let power_per_hour = cost?.get() * drawn;
    if unpriced == view.decisions.groups.len() && view.rungs.ai.is_empty() {
        return None;
    }
    let mut basis = format!(
        "fresh prices, and what {} draw{}",
        if is_measured { "machines were measured to" } else { "the config says that machines" },
        if profit.site.base_load > Watts::ZERO { ", with the base load" } else { "" },
    );
    if unpriced > 0 {
        basis.push_str(&format!("; {unpriced} groups are judged by no price and left out of what mining earns"));
    }
    Some(Earnings {
        currency: signals.currency.code().to_owned(),
        mining_per_hour: mining,
        ai_per_hour: ai,
        power_per_hour,
        margin_per_hour: mining + ai - power_per_hour,
        basis,
    })
}
