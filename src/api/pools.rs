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
    config::Config,
    metrics::{LatencySum, PoolBook, PoolLoss, Totals},
};

/// `GET /api/v1/pools`.
#[utoipa::path(
    get, path = "/api/v1/pools", tag = "now",
    responses((status = 200, description = "Pools, and shares that they and the proxy disagree about", body = PoolsPage))
)]
pub async fn pools(State(api): State<Arc<Api>>) -> Response {
    let (totals, config) = (api.books.totals(), api.signals.config());
    let of_worker = |((worker, reason), shares): (&(Arc<str>, &'static str), &u64)| Disagreement {
        worker: worker.to_string(),
        reason: (*reason).to_owned(),
        shares: *shares,
    };
    let mut disagreements: Vec<Disagreement> = totals.router.disagreements.iter().map(of_worker).collect();
    disagreements.sort_by_key(|row| std::cmp::Reverse(row.shares));
    let pools = (0..config.pools.len()).map(|pool| row(config, &totals, pool)).collect();
    reply::json(&PoolsPage { at: Timestamp::now(), pools, disagreements })
}

/// `GET /api/v1/routes`.
#[utoipa::path(
    get, path = "/api/v1/routes", tag = "now",
    responses((status = 200, description = "Routes, in the order in which they are tried", body = RoutesPage))
)]
pub async fn routes(State(api): State<Arc<Api>>) -> Response {
    let (totals, config) = (api.books.totals(), api.signals.config());
    let pool_name = |pool: usize| config.pools[pool].name.to_string();
    let rows = config.routes.iter().enumerate().map(|(index, route)| RouteRow {
        name: route.name.to_string(),
        listeners: route.listeners.iter().map(|listener| config.listeners[*listener].name.to_string()).collect(),
        subnets: route.subnets.iter().map(ToString::to_string).collect(),
        user: route.user.as_ref().map(ToString::to_string),
        pools: route.pools.iter().map(|pool| pool_name(*pool)).collect(),
        pool: totals.router.active[index].map(pool_name),
        is_live: totals.router.active[index].is_some_and(|pool| totals.router.pools[pool].connections > 0),
        miners: totals.miners[index],
        hashrate_ths: totals.hashrate[index].hs() / TERA,
        failovers: totals.router.failovers[index],
        fail_backs: totals.router.fail_backs[index],
        fail_back_after_s: route.fail_back_after.as_secs_f64(),
    });
    reply::json(&RoutesPage { at: Timestamp::now(), routes: rows.collect() })
}

/// One pool, by its position in the config.
pub fn row(config: &Config, totals: &Totals, pool: usize) -> PoolRow {
    let (settings, book) = (&config.pools[pool], &totals.router.pools[pool]);
    let on_it = |route: &usize| totals.router.active[*route] == Some(pool);
    let routes: Vec<usize> = (0..config.routes.len()).filter(on_it).collect();
    let is_used = config.routes.iter().any(|route| route.pools.contains(&pool));
    let state = match (book.connections > 0, is_used) {
        (true, _) if !routes.is_empty() => PoolState::Active,
        (true, _) => PoolState::Standby,
        (false, true) => PoolState::Down,
        (false, false) => PoolState::Unused,
    };
    PoolRow {
        name: settings.name.to_string(),
        address: settings.url.to_string(),
        state,
        since: book.since,
        words: words(state, book),
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

fn words(state: PoolState, book: &PoolBook) -> String {
    match (state, &book.last_loss) {
        (PoolState::Active, _) => "miners mine for it".to_owned(),
        (PoolState::Standby, _) => "logged in, and waits to be needed".to_owned(),
        (PoolState::Unused, _) => "no route names it".to_owned(),
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
