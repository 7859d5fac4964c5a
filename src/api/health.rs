//! `GET /healthz` and `GET /readyz`, for whoever restarts and routes: no token, and nothing that a stranger should not know.
//!
//! | | 200 | 503 |
//! |---|---|---|
//! | `/healthz` | the process answers, and no thread that it can't do without has ended | it should be started anew |
//! | `/readyz` | miners can be served: listeners are up, the router lives, a pool is connected, the power side lives | not now, and why |

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use tokio_util::sync::CancellationToken;

use super::{Api, reply, wire::HealthPage};
use crate::router::Errands;

/// What tells whether a proxy is well.
#[derive(Debug, Clone)]
pub struct Health {
    /// Cancelled when everything was started.
    pub begun: CancellationToken,
    /// Cancelled when it begins to end.
    pub ending: CancellationToken,
    /// Cancelled when a worker thread has ended.
    pub worker_ended: CancellationToken,
    /// Cancelled when the power side has ended by itself.
    pub power_ended: CancellationToken,
    /// The way to the router.
    pub errands: Errands,
}

impl Health {
    /// What can't be mended but by a new start.
    fn broken(&self) -> Vec<&'static str> {
        let is_ending = self.ending.is_cancelled();
        let mut reasons = Vec::new();
        if self.worker_ended.is_cancelled() && !is_ending {
            reasons.push("a thread that serves miners has ended");
        }
        if self.errands.is_over() && !is_ending {
            reasons.push("the router has ended");
        }
        if self.power_ended.is_cancelled() {
            reasons.push("the power side has ended");
        }
        reasons
    }
}

/// `GET /healthz`.
#[utoipa::path(
    get, path = "/healthz", operation_id = "healthz", tag = "health", security(()),
    responses((status = 200, description = "It lives", body = HealthPage), (status = 503, description = "It should be started anew", body = HealthPage))
)]
pub async fn lives(State(api): State<Arc<Api>>) -> Response {
    page(&api.health.broken())
}

/// `GET /readyz`.
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "health", security(()),
    responses((status = 200, description = "Miners can be served", body = HealthPage), (status = 503, description = "Not now", body = HealthPage))
)]
pub async fn is_ready(State(api): State<Arc<Api>>) -> Response {
    let mut reasons = api.health.broken();
    if api.health.ending.is_cancelled() {
        reasons.push("it ends");
    } else if !api.health.begun.is_cancelled() {
        reasons.push("it has not begun to listen");
    }
    if !api.books.router().pools.iter().any(|pool| pool.connections > 0) {
        reasons.push("no pool is connected");
    }
    page(&reasons)
}

fn page(reasons: &[&str]) -> Response {
    let ok = reasons.is_empty();
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
    reply::answer(status, &HealthPage { ok, reasons })
}
