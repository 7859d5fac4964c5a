//! What was: decisions, and series for charts.

use std::sync::Arc;

use axum::{
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    response::Response,
};
use jiff::Timestamp;

use super::{
    Api,
    query::{self, Asked, Behind, LIMIT, Steps, Stretch},
    reply,
    watch::Chart as Which,
    wire::{Chart, DecisionsPage, Mark, RefusedBody},
};
use crate::power::receipt::Receipt;

/// Drains and wakes that are looked through for marks: those of a month at a busy site.
const MARKS: usize = 500;

/// `GET /api/v1/decisions`.
#[utoipa::path(
    get, path = "/api/v1/decisions", tag = "past", params(Behind),
    responses(
        (status = 200, description = "Changes of what was decided, the newest first", body = DecisionsPage),
        (status = 400, description = "Not of this form", body = RefusedBody),
    )
)]
pub async fn decisions(State(api): State<Arc<Api>>, query: Asked<Behind>) -> Response {
    let asked = query::asked(query).and_then(|behind: Behind| Ok((query::limit(behind.limit, LIMIT)?, behind.after)));
    let (limit, after) = match asked {
        Ok(asked) => asked,
        Err(why) => return api.bad(&why),
    };
    match api.decided(after.as_deref(), limit.max(1)).await {
        Ok((decisions, next, note)) => reply::json(&DecisionsPage { decisions, next, note }),
        Err(why) => api.bad(&why),
    }
}

/// `GET /api/v1/series/{chart}`.
#[utoipa::path(
    get, path = "/api/v1/series/{chart}", tag = "past",
    params(("chart" = String, Path, description = "`hashrate` (all, by route, by power group, and as each pool credits it), `site` (the site's power), `price` (of power, against what it earns)"), Stretch),
    responses(
        (status = 200, description = "Lines over time", body = Chart),
        (status = 400, description = "Not of this form", body = RefusedBody),
        (status = 404, description = "No such chart", body = RefusedBody),
    )
)]
pub async fn series(
    State(api): State<Arc<Api>>,
    path: Result<Path<String>, PathRejection>,
    query: Asked<Stretch>,
) -> Response {
    let which = match path.as_ref().map(|Path(chart)| &**chart) {
        Ok("hashrate") => Which::Hashrate,
        Ok("site") => Which::Site,
        Ok("price") => Which::Price,
        _ => {
            let why = "there is no such chart: there is hashrate, site, price";
            return api.refuse(StatusCode::NOT_FOUND, "not_found", why);
        }
    };
    let steps = match query::asked(query).and_then(|stretch: Stretch| stretch.steps(Timestamp::now())) {
        Ok(steps) => steps,
        Err(why) => return api.bad(&why),
    };
    let at = (0..steps.count as i64).map(|step| steps.begin + step * steps.step).collect();
    let marks = api.marks(&steps).await;
    let mut lines = api.watched.lines(which, &steps);
    let note = if which == Which::Hashrate { api.fill(&mut lines, &steps).await } else { None };
    reply::json(&Chart { step_s: steps.step.unsigned_abs(), at, lines, marks, note })
}

impl Api {
    /// Drains and wakes that touch these steps, the oldest first.
    async fn marks(&self, steps: &Steps) -> Vec<Mark> {
        let Some(power) = self.power.power() else { return Vec::new() };
        // A chart without marks is better than none.
        let asked = tokio::time::timeout(super::PATIENCE, power.receipts(MARKS)).await;
        let receipts = asked.ok().and_then(Result::ok).unwrap_or_default();
        let end = steps.begin + steps.step * steps.count as i64;
        let touches =
            |receipt: &&Receipt| receipt.ended.as_second() >= steps.begin && receipt.started.as_second() < end;
        let mark = |receipt: &Receipt| Mark {
            at: receipt.started,
            ended: receipt.ended,
            group: receipt.group.to_string(),
            kind: receipt.kind,
            why: receipt.why.to_string(),
        };
        receipts.iter().rev().filter(touches).map(mark).collect()
    }
}
