//! Power groups with what is decided of them, and the merit order.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use jiff::Timestamp;

use super::{
    Api, reply,
    status::TERA,
    wire::{GroupCard, GroupRow, GroupsPage, MeritPage, MeritRow, RefusedBody, SinkKind},
};
use crate::{
    config::Profit,
    profit::{Action, MoneyPerMwh, Rung, Watts, task::DecisionView},
};

/// `GET /api/v1/groups`.
#[utoipa::path(
    get, path = "/api/v1/groups", tag = "now",
    responses((status = 200, description = "Power groups, with decision and power side", body = GroupsPage))
)]
pub async fn groups(State(api): State<Arc<Api>>) -> Response {
    let signals = api.signals.snapshot();
    let power = api.power.snapshot();
    let decision = signals.decision.as_ref();
    let config = api.config();
    let profit = config.profit.as_ref();
    let mode = power.as_ref().map(|power| power.mode).or(decision.map(|view| view.mode));
    let overhead = profit.map_or(1.0, |profit| profit.site.overhead.get());
    let together = api.watched.groups();
    let card = |group: &crate::config::Group| {
        let index = decision.and_then(|view| view.groups.iter().position(|name| *name == group.name));
        let decided = decision.zip(index).and_then(|(view, index)| reply::group_decision(view, index));
        let seen = power.as_ref().and_then(|power| Some((power, power.group(&group.name)?)));
        let row = seen.map(|(power, view)| {
            let operator = power.order(&group.name).cloned();
            GroupRow::new(&group.name, view, decided.as_ref().map(|decided| decided.reason.clone()), operator)
        });
        GroupCard {
            name: group.name.to_string(),
            decision: decided,
            power: row,
            nameplate_kw: group.power.map(|power| power.kilowatts() * overhead),
            miners: together.get(&group.name).map_or(0, |group| group.online as u64),
            hashrate_ths: together.get(&group.name).map_or(0.0, |group| group.estimate.hs() / TERA),
        }
    };
    reply::json(&GroupsPage {
        at: Timestamp::now(),
        mode: mode.map(Into::into),
        currency: signals.currency.code().to_owned(),
        groups: profit.iter().flat_map(|profit| &profit.groups).map(card).collect(),
    })
}

/// `GET /api/v1/merit`.
#[utoipa::path(
    get, path = "/api/v1/merit", tag = "now",
    responses(
        (status = 200, description = "Who gets the site's power, by what a MWh earns there", body = MeritPage),
        (status = 404, description = "Nothing is decided: the config has no `[[group]]`", body = RefusedBody),
    )
)]
pub async fn merit(State(api): State<Arc<Api>>) -> Response {
    let snapshot = api.signals.snapshot();
    match (&snapshot.decision, &snapshot.config.profit) {
        (Some(view), Some(profit)) => reply::json(&page(view, profit, snapshot.currency.code())),
        _ => api.nothing_decided(),
    }
}

fn page(view: &DecisionView, profit: &Profit, currency: &str) -> MeritPage {
    let groups = view.groups.iter().zip(&view.rungs.groups).zip(&view.decisions.groups);
    let groups = groups.map(|((name, rung), decision)| {
        let is_on = decision.action == Action::Mine;
        row(name, SinkKind::Group, rung, is_on, decision.reason.to_string())
    });
    let ai = view.ai.iter().zip(&view.rungs.ai).zip(&view.decisions.ai);
    let ai = ai.map(|((name, rung), decision)| {
        row(name, SinkKind::Ai, rung, rung.given > Watts::ZERO, decision.reason.to_string())
    });
    let mut sinks: Vec<MeritRow> = groups.chain(ai).collect();
    // The best first; what has no margin, behind all that have.
    let height = |sink: &MeritRow| sink.margin_per_mwh.unwrap_or(f64::NEG_INFINITY);
    sinks.sort_by(|a, b| height(b).total_cmp(&height(a)));
    let mut from = 0.0;
    for sink in &mut sinks {
        sink.from_kw = from;
        from += sink.capacity_kw;
    }
    let running = sinks.iter().filter(|sink| sink.is_on);
    let idle = view.decisions.groups.first().and_then(|group| group.margins.curtail);
    MeritPage {
        at: view.decisions.at,
        currency: currency.to_owned(),
        room_kw: view.rungs.room.map(Watts::kilowatts),
        base_kw: profit.site.base_load.kilowatts(),
        idle_per_mwh: idle.map_or(0.0, MoneyPerMwh::get),
        cut_per_mwh: running.filter_map(|sink| sink.margin_per_mwh).reduce(f64::min),
        given_kw: sinks.iter().map(|sink| sink.given_kw).sum(),
        sinks,
    }
}

fn row(name: &str, kind: SinkKind, rung: &Rung, is_on: bool, reason: String) -> MeritRow {
    MeritRow {
        name: name.to_owned(),
        kind,
        margin_per_mwh: rung.margin.map(MoneyPerMwh::get),
        capacity_kw: rung.capacity.kilowatts(),
        from_kw: 0.0,
        given_kw: rung.given.kilowatts(),
        is_on,
        reason,
    }
}
