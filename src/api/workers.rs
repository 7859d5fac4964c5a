//! Miners by name: pages of them, and one with its past.
//!
//! Limits: pages as `query.rs` says. A page is read on a thread that may wait, as it looks at every worker.

use std::sync::Arc;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    response::Response,
};
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::{
    Api,
    query::{self, Asked, LIMIT, Stretch, WorkerFilter},
    reply,
    status::TERA,
    wire::{RefusedBody, SickWord, WorkerCounts, WorkerPage, WorkerRow, WorkerSort, WorkersPage},
};
use crate::{
    census::{Page, Query, Sort, Summary, WorkerView},
    config::{Config, Places},
    work::{Hashrate, Reject},
};

/// `GET /api/v1/workers`.
#[utoipa::path(
    get, path = "/api/v1/workers", tag = "now", params(WorkerFilter),
    responses(
        (status = 200, description = "A page of workers", body = WorkersPage),
        (status = 400, description = "Not of this form", body = RefusedBody),
    )
)]
pub async fn workers(State(api): State<Arc<Api>>, query: Asked<WorkerFilter>) -> Response {
    let query = match wanted(&api.reload.status().places, query) {
        Ok(query) => query,
        Err(why) => return api.bad(&why),
    };
    let (table, offset) = (api.workers.clone(), query.offset);
    let looked = spawn_blocking(move || (table.page(&query), table.summary())).await;
    let Ok((Page { at, total, workers }, summary)) = looked else {
        return api.refuse(StatusCode::SERVICE_UNAVAILABLE, "ended", "the proxy ends");
    };
    let config = api.config();
    reply::json(&WorkersPage {
        at,
        total: total as u64,
        offset: offset as u64,
        counts: counts(&summary),
        workers: workers.iter().map(|view| row(&config, view)).collect(),
    })
}

/// `GET /api/v1/workers/{name}`.
#[utoipa::path(
    get, path = "/api/v1/workers/{name}", tag = "past",
    params(("name" = String, Path, description = "The worker's name, percent-encoded"), Stretch),
    responses(
        (status = 200, description = "The worker as it is, and what the store has of it", body = WorkerPage),
        (status = 400, description = "Not of this form", body = RefusedBody),
        (status = 404, description = "Nobody knows a worker of this name", body = RefusedBody),
    )
)]
pub async fn worker(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    query: Asked<Stretch>,
) -> Response {
    let Ok(Path(name)) = path else { return api.bad("the path is no text") };
    let steps = match query::asked(query).and_then(|stretch: Stretch| stretch.steps(Timestamp::now())) {
        Ok(steps) => steps,
        Err(why) => return api.bad(&why),
    };
    let (table, wanted) = (api.workers.clone(), name.clone());
    let view = spawn_blocking(move || table.worker(&wanted)).await.ok().flatten();
    let past = api.past(&name, &steps).await;
    if view.is_none() && past.history.is_empty() && past.events.is_empty() {
        let why = format!("there is no worker {name:?} that this proxy has seen lately");
        return api.refuse(StatusCode::NOT_FOUND, "unknown_worker", &why);
    }
    reply::json(&WorkerPage { worker: view.map(|view| row(&api.config(), &view)), ..past })
}

/// What is asked of the table, or what is wrong with that.
fn wanted(places: &Places, query: Asked<WorkerFilter>) -> Result<Query, String> {
    let filter: WorkerFilter = query::asked(query)?;
    for text in [&filter.text, &filter.group, &filter.route] {
        query::is_short(text.as_deref())?;
    }
    let route = match &filter.route {
        None => None,
        Some(name) => {
            let found = places.routes().find(|(_, route)| &*route.name == name);
            Some(found.map(|(place, _)| place).ok_or_else(|| {
                let known: Vec<&str> = places.routes().map(|(_, route)| &*route.name).collect();
                format!("there is no route {name:?}: there is {}", known.join(", "))
            })?)
        }
    };
    Ok(Query {
        search: filter.text,
        is_sick: filter.sick,
        is_online: filter.online,
        group: filter.group,
        route,
        sort: filter.sort.into(),
        is_reversed: filter.reverse,
        offset: filter.offset,
        limit: query::limit(filter.limit, LIMIT)?,
    })
}

impl From<WorkerSort> for Sort {
    fn from(sort: WorkerSort) -> Self {
        match sort {
            WorkerSort::Sick => Self::Sick,
            WorkerSort::Name => Self::Name,
            WorkerSort::Hashrate => Self::Hashrate,
            WorkerSort::Stale => Self::Stale,
            WorkerSort::LastShare => Self::LastShare,
            WorkerSort::Accepted => Self::Shares,
            WorkerSort::Rejected => Self::Rejects,
            WorkerSort::Since => Self::Since,
            WorkerSort::Group => Self::Group,
            WorkerSort::Route => Self::Route,
            WorkerSort::Firmware => Self::Firmware,
            WorkerSort::Address => Self::Address,
            WorkerSort::Difficulty => Self::Difficulty,
        }
    }
}

fn ths(hashrate: Hashrate) -> f64 {
    hashrate.hs() / TERA
}

/// How many there are of what.
pub fn counts(summary: &Summary) -> WorkerCounts {
    WorkerCounts {
        known: summary.workers as u64,
        online: summary.online as u64,
        asleep: summary.asleep as u64,
        sick: summary.sick as u64,
        offline: summary.offline as u64,
        high_stale: summary.high_stale as u64,
        low_hashrate: summary.low_hashrate as u64,
        unplaced: summary.unplaced as u64,
        hashrate_ths: ths(summary.hashrates[1]),
    }
}

fn row(config: &Config, view: &WorkerView) -> WorkerRow {
    let [minute, ten_minutes, hour] = view.hashrates.map(ths);
    let (shares, settled) = (&view.totals.shares, &view.totals.settled);
    let by_reason = Reject::ALL.iter().map(|reject| (reject.label().to_owned(), shares.of(*reject)));
    let (sick, words) = sickness(view);
    WorkerRow {
        name: view.name.to_string(),
        connections: view.connections.into(),
        since: view.since,
        address: view.peer.to_string(),
        listener: config.listeners.get(view.listener).map(|listener| listener.name.to_string()),
        route: view.route.and_then(|route| config.routes.get(route)).map(|route| route.name.to_string()),
        group: view.group.as_deref().map(str::to_owned),
        firmware: view.firmware.to_owned(),
        agent: view.agent.as_deref().map(str::to_owned),
        difficulty: view.difficulty.map(|difficulty| difficulty.get()),
        estimate_ths: ths(view.estimate),
        hashrate_1m_ths: minute,
        hashrate_10m_ths: ten_minutes,
        hashrate_1h_ths: hour,
        nameplate_ths: view.nameplate.map(ths),
        stale_ratio: view.stale_share,
        last_share_at: view.last_share,
        accepted: shares.found,
        accepted_difficulty: shares.work,
        rejected: shares.refused(),
        rejected_by_reason: by_reason.filter(|(_, count)| *count > 0).collect(),
        forwarded: view.totals.forwarded,
        pool_accepted: settled.accepted,
        pool_rejected: settled.rejected,
        pool_lost: settled.lost,
        is_asleep: view.is_asleep,
        sick,
        words,
    }
}

/// What is wrong with one, in words too.
fn sickness(view: &WorkerView) -> (Vec<SickWord>, Option<String>) {
    let (mut sick, mut words) = (Vec::new(), Vec::new());
    if view.sickness.is_offline {
        sick.push(SickWord::Offline);
        words.push(format!("offline since {:.0}", view.since));
    }
    if view.sickness.has_low_hashrate {
        sick.push(SickWord::LowHashrate);
        let nameplate = view.nameplate.map_or(0.0, ths);
        words.push(format!("hashes {:.1} TH/s of {nameplate:.1}", ths(view.hashrates[2])));
    }
    if view.sickness.has_high_stale {
        sick.push(SickWord::HighStale);
        words.push(format!("{:.1} % of its shares are stale", view.stale_share.unwrap_or_default() * 100.0));
    }
    let words = (!words.is_empty()).then(|| words.join("; "));
    (sick, words)
}
