//! Answers of the API: JSON, a refusal with its reason, and signals and decisions as JSON has them. (What it says of power has types, in
//! `wire.rs`.)

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::wire::ModeWord;
use crate::profit::{
    Currency, MoneyPerMwh, Reading,
    signal::{Refusal, SignalView, SourceView},
    task::{DecisionView, Snapshot, action_label},
};

/// JSON.
pub fn answer(status: StatusCode, body: &Value) -> Response {
    let json = HeaderValue::from_static("application/json");
    // What a signal says is of the moment.
    let never = HeaderValue::from_static("no-store");
    (status, [(header::CONTENT_TYPE, json), (header::CACHE_CONTROL, never)], body.to_string()).into_response()
}

/// A value that went well.
pub fn json(value: &impl Serialize) -> Response {
    match serde_json::to_value(value) {
        Ok(value) => answer(StatusCode::OK, &value),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, "bad_answer", &error.to_string()),
    }
}

/// A refusal.
pub fn refused(status: StatusCode, reason: &str, why: &str) -> Response {
    let mut response = answer(status, &json!({ "error": why, "reason": reason }));
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
pub fn signal(view: &SignalView, currency: Currency, now: Timestamp) -> Value {
    let mut value = reading(view.reading, now);
    let sources: Vec<Value> = view.sources.iter().map(source).collect();
    value["name"] = json!(&*view.name);
    value["unit"] = json!(view.quantity.unit(currency));
    value["class"] = json!(view.class.label());
    value["accepted"] = json!(view.accepted);
    value["refused"] = json!(view.refused);
    value["sources"] = json!(sources);
    value
}

fn reading(reading: Reading<f64>, now: Timestamp) -> Value {
    let dated = |state: &str, value: f64, observed_at: Timestamp| {
        let age = now.duration_since(observed_at).as_secs_f64().max(0.0);
        json!({ "state": state, "value": value, "observed_at": observed_at.to_string(), "age_seconds": age })
    };
    match reading {
        Reading::Never => json!({ "state": "never" }),
        Reading::Fresh { value, observed_at } => dated("fresh", value, observed_at),
        Reading::Stale { value, observed_at } => dated("stale", value, observed_at),
        Reading::Split { low, high } => json!({ "state": "split", "low": low, "high": high }),
    }
}

fn source(view: &SourceView) -> Value {
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    json!({
        "kind": view.kind,
        "value": view.value.map(|(value, _)| value),
        "observed_at": time(view.value.map(|(_, at)| at)),
        "until": time(view.until),
        "heard_at": time(view.heard_at),
        "last_refusal": view.refusal.as_ref().map(|(at, refusal)| json!({
            "at": at.to_string(),
            "reason": refusal.label(),
            "error": refusal.to_string(),
        })),
    })
}

/// The decision.
pub fn decision(view: &DecisionView, snapshot: &Snapshot) -> Value {
    let number = |money: Option<MoneyPerMwh>| money.map(MoneyPerMwh::get);
    let groups = view.groups.iter().zip(&view.decisions.groups).zip(&view.switches).map(|((name, group), switches)| {
        json!({
            "name": &**name,
            "action": action_label(group.action),
            "reason": group.reason.to_string(),
            "since": group.since.map(|since| since.to_string()),
            "switches": switches,
            "per_mwh": {
                "cost": number(group.margins.cost),
                "value": number(group.margins.value),
                "margin_mining": number(group.margins.mining),
                "margin_ai": number(group.margins.ai),
                "margin_curtail": number(group.margins.curtail),
            },
        })
    });
    let ai = view.ai.iter().zip(&view.decisions.ai).map(
        |(name, block)| json!({ "name": &**name, "watts": block.watts.get(), "reason": block.reason.to_string() }),
    );
    json!({
        "at": view.decisions.at.to_string(),
        "mode": ModeWord::from(view.mode),
        "site": view.decisions.mode.to_string(),
        "currency": snapshot.currency.code(),
        "groups": groups.collect::<Vec<Value>>(),
        "ai": ai.collect::<Vec<Value>>(),
    })
}
