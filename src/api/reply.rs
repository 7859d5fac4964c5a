//! Answers of the API: JSON, a refusal with its reason, and signals and decisions as the wire has them.

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::Serialize;

use super::wire::{
    AiShare, DecisionPage, GroupDecision, PerMwh, RefusalRow, RefusedBody, SignalRow, SignalState, SourceRow,
};
use crate::profit::{
    Currency, Decision, MoneyPerMwh, Reading,
    signal::{Refusal, SignalView, SourceView},
    task::{DecisionView, action_label},
};

/// JSON with this status.
pub fn answer(status: StatusCode, value: &impl Serialize) -> Response {
    let json = HeaderValue::from_static("application/json");
    match serde_json::to_vec(value) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, json)], Body::from(bytes)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// A value that went well.
pub fn json(value: &impl Serialize) -> Response {
    answer(StatusCode::OK, value)
}

/// A refusal.
pub fn refused(status: StatusCode, reason: &str, why: &str) -> Response {
    let mut response = answer(status, &RefusedBody { error: why.to_owned(), reason: reason.to_owned() });
    match status {
        StatusCode::UNAUTHORIZED => {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        StatusCode::TOO_MANY_REQUESTS => {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
        }
        _ => {}
    }
    response
}

/// A refusal of the signal book.
pub fn not_taken(refusal: &Refusal) -> Response {
    let status = match refusal {
        Refusal::Replay { .. } => StatusCode::CONFLICT,
        Refusal::Unreachable(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    refused(status, refusal.label(), &refusal.to_string())
}

/// A signal.
pub fn signal(view: &SignalView, currency: Currency, now: Timestamp) -> SignalRow {
    let mut row = SignalRow {
        name: view.name.to_string(),
        unit: view.quantity.unit(currency).to_string(),
        class: view.class.label().to_owned(),
        state: SignalState::Never,
        value: None,
        observed_at: None,
        age_seconds: None,
        low: None,
        high: None,
        accepted: view.accepted,
        refused: counts(&view.refused),
        sources: view.sources.iter().map(source).collect(),
    };
    match view.reading {
        Reading::Never => {}
        Reading::Fresh { value, observed_at } | Reading::Stale { value, observed_at } => {
            let is_fresh = matches!(view.reading, Reading::Fresh { .. });
            row.state = if is_fresh { SignalState::Fresh } else { SignalState::Stale };
            (row.value, row.observed_at) = (Some(value), Some(observed_at));
            row.age_seconds = Some(now.duration_since(observed_at).as_secs_f64().max(0.0));
        }
        Reading::Split { low, high } => {
            (row.state, row.low, row.high) = (SignalState::Split, Some(low), Some(high));
        }
    }
    row
}

/// Counts under fixed words.
pub fn counts(counts: &BTreeMap<&'static str, u64>) -> BTreeMap<String, u64> {
    counts.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect()
}

fn source(view: &SourceView) -> SourceRow {
    SourceRow {
        kind: view.kind.to_owned(),
        value: view.value.map(|(value, _)| value),
        observed_at: view.value.map(|(_, at)| at),
        until: view.until,
        heard_at: view.heard_at,
        last_refusal: view.refusal.as_ref().map(|(at, refusal)| RefusalRow {
            at: *at,
            reason: refusal.label().to_owned(),
            error: refusal.to_string(),
        }),
    }
}

/// The decision.
pub fn decision(view: &DecisionView, currency: Currency) -> DecisionPage {
    let ai = view.ai.iter().zip(&view.decisions.ai).map(|(name, block)| AiShare {
        name: name.to_string(),
        watts: block.watts.get(),
        reason: block.reason.to_string(),
    });
    DecisionPage {
        at: view.decisions.at,
        mode: view.mode.into(),
        site: view.decisions.mode.to_string(),
        currency: currency.code().to_owned(),
        groups: (0..view.groups.len()).filter_map(|index| group_decision(view, index)).collect(),
        ai: ai.collect(),
    }
}

/// What is decided of one group.
pub fn group_decision(view: &DecisionView, index: usize) -> Option<GroupDecision> {
    let (name, group): (_, &Decision) = (view.groups.get(index)?, view.decisions.groups.get(index)?);
    let number = |money: Option<MoneyPerMwh>| money.map(MoneyPerMwh::get);
    Some(GroupDecision {
        name: name.to_string(),
        action: action_label(group.action).to_owned(),
        reason: group.reason.to_string(),
        since: group.since,
        switches: view.switches.get(index).copied().unwrap_or_default(),
        per_mwh: PerMwh {
            cost: number(group.margins.cost),
            value: number(group.margins.value),
            margin_mining: number(group.margins.mining),
            margin_ai: number(group.margins.ai),
            margin_curtail: number(group.margins.curtail),
        },
    })
}
