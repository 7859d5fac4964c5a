//! Pools and routes.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use jiff::{SignedDuration, Timestamp};

use super::{
    Api, reply,
    status::{TERA, together},
    wire::{Disagreement, LaneRow, LatencyRow, LossRow, PoolRow, PoolState, PoolsPage, RouteRow, RoutesPage},
};
use crate::{
    config::Places,
    metrics::{LatencySum, PoolBook, PoolLoss, Totals},
};

/// `GET /api/v1/pools`.
#[utoipa::path(
    get, path = "/api/v1/pools", tag = "now",
    responses((status = 200, description = "Pools, and shares that they and the proxy disagree about", body = PoolsPage))
)]
pub async fn pools(State(api): State<Arc<Api>>) -> Response {
    let (status, totals) = api.in_force();
    let places = &status.places;
    let of_worker = |((worker, reason), shares): (&(Arc<str>, &'static str), &u64)| Disagreement {
        worker: worker.to_string(),
        reason: (*reason).to_owned(),
        shares: *shares,
    };
    let mut disagreements: Vec<Disagreement> = totals.router.disagreements.iter().map(of_worker).collect();
    disagreements.sort_by_key(|row| std::cmp::Reverse(row.shares));
    let pools = shown(places, &totals).map(|pool| row(places, &totals, pool)).collect();
    reply::json(&PoolsPage { at: Timestamp::now(), pools, disagreements })
}

/// `GET /api/v1/routes`.
#[utoipa::path(
    get, path = "/api/v1/routes", tag = "now",
    responses((status = 200, description = "Routes, in the order in which they are tried", body = RoutesPage))
)]
pub async fn routes(State(api): State<Arc<Api>>) -> Response {
    let (status, totals) = api.in_force();
    let places = &status.places;
    let config = &places.config;
    let pool_name = |pool: usize| config.pools.get(pool).map(|pool| pool.name.to_string());
    let rows = places.routes().map(|(index, route)| RouteRow {
        name: route.name.to_string(),
        listeners: route.listeners.iter().map(|listener| config.listeners[*listener].name.to_string()).collect(),
        subnets: route.subnets.iter().map(ToString::to_string).collect(),
        user: route.user.as_ref().map(ToString::to_string),
        pools: route.pools.iter().filter_map(|pool| pool_name(*pool)).collect(),
        pool: totals.router.active[index].and_then(pool_name),
        is_live: totals.router.active[index].is_some_and(|pool| totals.router.pools[pool].connections > 0),
        miners: totals.miners[index],
        hashrate_ths: totals.hashrate[index].hs() / TERA,
        failovers: totals.router.failovers[index],
        fail_backs: totals.router.fail_backs[index],
        fail_back_after_s: route.fail_back_after.as_secs_f64(),
    });
    reply::json(&RoutesPage { at: Timestamp::now(), routes: rows.collect() })
}

/// Places of the pools that there are; and of those that the config has no more, until the last connection to them is hung up.
pub fn shown(places: &Places, totals: &Totals) -> impl Iterator<Item = usize> {
    let is_leaving = |pool: &usize| !places.pools.contains(pool) && totals.router.pools[*pool].connections > 0;
    places.pools.iter().copied().chain((0..places.config.pools.len()).filter(is_leaving))
}

/// One pool, by its place.
pub fn row(places: &Places, totals: &Totals, pool: usize) -> PoolRow {
    let config = &places.config;
    let (settings, book) = (&config.pools[pool], &totals.router.pools[pool]);
    let on_it = |route: &usize| totals.router.active[*route] == Some(pool);
    let routes: Vec<usize> = places.routes.iter().copied().filter(on_it).collect();
    let state = match (book.connections > 0, places.is_routed(pool)) {
        (true, _) if !routes.is_empty() => PoolState::Active,
        (true, true) => PoolState::Standby,
        (false, true) => PoolState::Down,
        (_, false) => PoolState::Unused,
    };
    PoolRow {
        name: settings.name.to_string(),
        address: settings.url.to_string(),
        state,
        since: book.since,
        words: words(state, book, places.pools.contains(&pool)),
        connections: book.connections as u64,
        lanes: lanes(book),
        hashrate_ths: together(routes.iter().map(|route| totals.hashrate[*route])),
        miners: routes.iter().map(|route| totals.miners[*route]).sum(),
        routes: routes.iter().map(|route| config.routes[*route].name.to_string()).collect(),
        difficulty: book.difficulty.map(|difficulty| difficulty.get()),
        accepted: book.accepted,
        accepted_difficulty: book.accepted_difficulty,
        rejected: book.rejected.values().sum(),
        rejected_by_reason: reply::counts(&book.rejected),
        stale_to_both: book.stale_to_both,
        unanswered: book.unanswered,
        lost_unsettled: book.lost_unsettled,
        blocks: book.blocks,
        losses: book.losses,
        last_loss: book.last_loss.as_ref().map(loss),
        reply: latency(&book.latency),
    }
}

fn words(state: PoolState, book: &PoolBook, is_there: bool) -> String {
    match (state, &book.last_loss) {
        (PoolState::Active, _) if is_there => "miners mine for it".to_owned(),
        (PoolState::Active, _) => "the config has it no more; miners mine for it until another has work".to_owned(),
        (PoolState::Standby, _) => "logged in, and waits to be needed".to_owned(),
        (PoolState::Unused, _) if is_there => "no route names it".to_owned(),
        (PoolState::Unused, _) => {
            "the config has it no more; it is hung up when its last shares are settled".to_owned()
        }
        (PoolState::Down, Some(loss)) => {
            format!("down: {}; tried again in {} s at most", loss.why, loss.retry_in.as_secs_f64().ceil())
        }
        (PoolState::Down, None) => "it has not answered yet".to_owned(),
    }
}

fn lanes(book: &PoolBook) -> Vec<LaneRow> {
    let lane = |lane: &crate::metrics::LaneBook| LaneRow {
        lane: lane.lane.map(u64::from),
        is_live: lane.is_live,
        is_retiring: lane.is_retiring,
        miners: lane.miners as u64,
    };
    book.lanes.iter().map(lane).collect()
}

fn loss(loss: &PoolLoss) -> LossRow {
    let wait = SignedDuration::try_from(loss.retry_in).unwrap_or(SignedDuration::ZERO);
    LossRow { at: loss.at, why: loss.why.clone(), retry_at: loss.at.saturating_add(wait).unwrap_or(loss.at) }
}

fn latency(sum: &LatencySum) -> LatencyRow {
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    let quantile = |quantile: f64| sum.quantile(quantile).map(ms);
    LatencyRow {
        replies: sum.count(),
        mean_ms: sum.mean().map(ms),
        p50_ms: quantile(0.5),
        p90_ms: quantile(0.9),
        p99_ms: quantile(0.99),
    }
}
