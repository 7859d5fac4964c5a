//! The requests about signals and the decision.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    response::Response,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    Api, reply,
    wire::{DecisionPage, PushBody, RefusedBody, SignalRow, SignalsPage, VerdictWord},
};
use crate::{
    config::{Signal, SourceKind},
    profit::{
        Currency, Quantity, UNITS, Unit,
        signal::{Observation, Outcome, Refusal, When},
    },
};

/// RFC 3339, or seconds since 1970.
fn time(value: &Value) -> Result<Timestamp, String> {
    let time = match value {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.as_f64().and_then(|seconds| {
            let since_1970 = SignedDuration::try_from_secs_f64(seconds).ok()?;
            Timestamp::UNIX_EPOCH.checked_add(since_1970).ok()
        }),
        _ => None,
    };
    time.ok_or_else(|| "observed_at is no time: write \"2026-01-31T12:00:00Z\", or seconds since 1970".to_owned())
}

/// `GET /api/v1/signals`.
#[utoipa::path(
    get, path = "/api/v1/signals", operation_id = "signals", tag = "money",
    responses((status = 200, description = "Every signal, with its sources and what was refused last", body = SignalsPage))
)]
pub async fn list(State(api): State<Arc<Api>>) -> Response {
    let (snapshot, now) = (api.signals.snapshot(), Timestamp::now());
    let signals = snapshot.signals.iter().map(|view| reply::signal(view, snapshot.currency, now)).collect();
    reply::json(&SignalsPage { at: snapshot.at, signals })
}

/// `GET /api/v1/decision`.
#[utoipa::path(
    get, path = "/api/v1/decision", tag = "money",
    responses(
        (status = 200, description = "What each group is to do, and why", body = DecisionPage),
        (status = 404, description = "Nothing is decided: the config has no `[[group]]`", body = RefusedBody),
    )
)]
pub async fn decision(State(api): State<Arc<Api>>) -> Response {
    let snapshot = api.signals.snapshot();
    match &snapshot.decision {
        Some(view) => reply::json(&reply::decision(view, snapshot.currency)),
        None => api.nothing_decided(),
    }
}

/// `PUT /api/v1/signals/{name}`.
#[utoipa::path(
    put, path = "/api/v1/signals/{name}", operation_id = "push", tag = "money", request_body = PushBody,
    params(("name" = String, Path, description = "The signal's name")),
    responses(
        (status = 200, description = "Taken: what the signal says now", body = SignalRow),
        (status = 400, description = "Not of this form", body = RefusedBody),
        (status = 404, description = "No such signal, or none that is pushed", body = RefusedBody),
        (status = 409, description = "Not newer than what was taken last", body = RefusedBody),
        (status = 413, description = "Too long", body = RefusedBody),
        (status = 422, description = "A unit, value or time that can't be", body = RefusedBody),
        (status = 503, description = "The proxy ends", body = RefusedBody),
    )
)]
pub async fn put(State(api): State<Arc<Api>>, path: Result<Path<String>, PathRejection>, body: Body) -> Response {
    let Ok(Path(name)) = path else {
        return api.refuse(StatusCode::BAD_REQUEST, "bad_request", "the path is no text");
    };
    // What it is called and measures, all of one config.
    let config = api.signals.config();
    let signal = config.signals.iter().position(|signal| *signal.name == *name);
    let (Some(index), Some(feed)) = (signal, api.signals.feed(&name)) else {
        let why = match signal {
            Some(_) => format!("the signal {name:?} has no source of kind \"push\""),
            None => "there is no signal of this name".to_owned(),
        };
        return api.refuse(StatusCode::NOT_FOUND, "unknown_signal", &why);
    };
    let signal = &config.signals[index];
    let currency = config.profit.as_ref().map_or(Currency::USD, |profit| profit.currency);
    let pushed: PushBody = match api.read(body).await {
        Ok(pushed) => pushed,
        Err(response) => return response,
    };
    let observation = match observed(signal, currency, &pushed) {
        Ok(observation) => observation,
        Err(Rejected::Form(why)) => return api.refuse(StatusCode::BAD_REQUEST, "bad_request", &why),
        Err(Rejected::Signal(refusal)) => {
            feed.refuse(refusal.clone()).await;
            return reply::not_taken(&refusal);
        }
    };
    match feed.observe(vec![observation]).await {
        Ok(Outcome::Accepted | Outcome::Unchanged) => {
            let snapshot = api.signals.snapshot();
            match snapshot.signals.iter().find(|view| *view.name == *name) {
                Some(view) => reply::json(&reply::signal(view, snapshot.currency, Timestamp::now())),
                // It was taken, and the config that came meanwhile has it no more.
                None => reply::not_taken(&Refusal::Unknown),
            }
        }
        Err(refusal) => reply::not_taken(&refusal),
    }
}

/// Why a body is no observation.
enum Rejected {
    /// Of the wrong form: nobody's signal.
    Form(String),
    /// Not for this signal: shown there.
    Signal(Refusal),
}

/// The observation in a body, in the signal's canonical unit.
fn observed(signal: &Signal, currency: Currency, pushed: &PushBody) -> Result<Observation, Rejected> {
    let when =
        pushed.observed_at.as_ref().map_or(Ok(When::Now), |at| time(at).map(When::At)).map_err(Rejected::Form)?;
    let wrong_unit = |why: String| Rejected::Signal(Refusal::Unit(why));
    let canonical = signal.quantity.unit(currency);
    let unit = match &pushed.unit {
        None => signal.sources.iter().find(|source| matches!(source.kind, SourceKind::Push)).map(|source| source.unit),
        Some(text) => {
            let unit =
                Unit::parse(text).map_err(|_| wrong_unit(format!("that unit is not known: send one of {UNITS}")))?;
            let is_ours = unit.quantity == signal.quantity && unit.currency.is_none_or(|theirs| theirs == currency);
            if !is_ours {
                return Err(wrong_unit(format!("that unit is not this signal's, which is {canonical}")));
            }
            Some(unit)
        }
    };
    let value = match (pushed.value, pushed.verdict) {
        (Some(_), Some(_)) => return Err(Rejected::Form("send value or verdict, not both".to_owned())),
        (None, None) => return Err(Rejected::Form("send value or verdict".to_owned())),
        (Some(_), None) if signal.quantity == Quantity::Verdict => {
            return Err(wrong_unit(
                "this signal is a verdict: send \"profitable\" or \"unprofitable\" as verdict".to_owned(),
            ));
        }
        (None, Some(_)) if signal.quantity != Quantity::Verdict => {
            return Err(wrong_unit(format!("this signal is a number in {canonical}: send it as value")));
        }
        (Some(value), None) => unit.map_or(value, |unit| unit.canonical(value)),
        (None, Some(VerdictWord::Profitable)) => 1.0,
        (None, Some(VerdictWord::Unprofitable)) => 0.0,
    };
    Ok(Observation { value, when })
}
