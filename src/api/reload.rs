//! The requests about the config: what is in force and what came of the last reload, and the order to read the file again.
//!
//! What a change means and whether it can be followed is said elsewhere (`config/diff.rs`); secrets are in none of it.

use std::sync::Arc;

use axum::{Extension, body::Body, extract::State, http::StatusCode, response::Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::info;
use utoipa::ToSchema;

use super::{Api, door::Visitor, reply, wire::RefusedBody};
use crate::{
    config::{Change, Effect},
    reload::{Outcome, Refused, Status, Why},
};

/// The body of `POST /api/v1/reload`. None is as an empty one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReloadBody {
    /// Only say what it would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangeRow {
    /// `pool "eu"`.
    pub place: String,
    /// `password: another one`.
    pub what: String,
    /// It waits for a restart.
    pub needs_restart: bool,
    /// All of it in a sentence.
    pub words: String,
}

impl From<&Change> for ChangeRow {
    fn from(change: &Change) -> Self {
        Self {
            place: change.place.clone(),
            what: change.what.clone(),
            needs_restart: change.effect == Effect::Restart,
            words: change.to_string(),
        }
    }
}

/// The answer to `POST /api/v1/reload`: what changed, or with `dry_run` would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReloadDone {
    /// Whether it was only said.
    pub dry_run: bool,
    /// In the order of the file.
    pub changes: Vec<ChangeRow>,
    /// What works nevertheless.
    pub warnings: Vec<String>,
}

/// The answer to `GET /api/v1/reload`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReloadPage {
    /// The file; `None` if the config is in none.
    pub file: Option<String>,
    /// When a config was last found right: at the start, or by a reload.
    pub right_at: Timestamp,
    /// Configs that were followed.
    pub applied: u64,
    /// Times that it said what was in force already.
    pub unchanged: u64,
    /// Times that it could not be taken.
    pub refused: u64,
    /// When the file was last read again; `None` before the first time.
    pub last_at: Option<Timestamp>,
    /// Why it was not taken then, every problem on a line of its own; `None` if it was.
    pub last_error: Option<String>,
    /// What it changed then.
    pub last_changes: Vec<ChangeRow>,
    /// What is in the file and waits for a restart.
    pub pending: Vec<ChangeRow>,
}

impl From<&Status> for ReloadPage {
    fn from(status: &Status) -> Self {
        let last = status.last.as_ref();
        let outcome = last.and_then(|last| last.result.as_ref().ok());
        let rows = |changes: &[Change]| changes.iter().map(ChangeRow::from).collect();
        Self {
            file: status.path.as_ref().map(|path| path.display().to_string()),
            right_at: status.right_at,
            applied: status.applied,
            unchanged: status.unchanged,
            refused: status.refused,
            last_at: last.map(|last| last.at),
            last_error: last.and_then(|last| last.result.as_ref().err()).map(ToString::to_string),
            last_changes: outcome.map(|outcome| rows(&outcome.changes)).unwrap_or_default(),
            pending: rows(&status.pending),
        }
    }
}

/// `GET /api/v1/reload`.
#[utoipa::path(
    get, path = "/api/v1/reload", operation_id = "reload", tag = "config",
    responses((status = 200, description = "Where the config is, what came of its last reload, what waits for a restart", body = ReloadPage))
)]
pub(super) async fn show(State(api): State<Arc<Api>>) -> Response {
    reply::json(&ReloadPage::from(&*api.reload.status()))
}

/// `POST /api/v1/reload`.
#[utoipa::path(
    post, path = "/api/v1/reload", operation_id = "reload_now", tag = "config",
    request_body = Option<ReloadBody>,
    responses(
        (status = 200, description = "The file was read again: what changed, or with `dry_run` would", body = ReloadDone),
        (status = 400, description = "Not of this form", body = RefusedBody),
        (status = 409, description = "It wants something that can't be had, or this proxy's config is in no file: the config before stays", body = RefusedBody),
        (status = 413, description = "Too long", body = RefusedBody),
        (status = 422, description = "It is wrong, every problem is said: the config before stays", body = RefusedBody),
        (status = 503, description = "The proxy ends", body = RefusedBody),
    )
)]
pub(super) async fn order(
    State(api): State<Arc<Api>>,
    Extension(visitor): Extension<Arc<Visitor>>,
    body: Body,
) -> Response {
    let ReloadBody { dry_run } = match api.read_if_any(body).await {
        Ok(body) => body.unwrap_or_default(),
        Err(refusal) => return refusal,
    };
    if !dry_run {
        info!("admin API: an operator at {} wants the config to be read again", visitor.address());
    }
    match api.reload.file(Why::Operator, dry_run).await {
        Ok(Outcome { changes, warnings }) => {
            let changes = changes.iter().map(ChangeRow::from).collect();
            reply::json(&ReloadDone { dry_run, changes, warnings })
        }
        Err(refused) => {
            let (status, reason) = match &refused {
                Refused::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "bad_config"),
                Refused::NotHad(_) => (StatusCode::CONFLICT, "not_had"),
                Refused::NoFile => (StatusCode::CONFLICT, "no_file"),
                Refused::Ended => (StatusCode::SERVICE_UNAVAILABLE, "ended"),
            };
            api.refuse(status, reason, &refused.to_string())
        }
    }
}
