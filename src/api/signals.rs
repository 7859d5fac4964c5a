//! The requests about signals and the decision.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    response::Response,
};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Api, reply};
use crate::{
    config::{Signal, SourceKind},
    profit::{
        Currency, Quantity, UNITS, Unit,
        signal::{Observation, Outcome, Refusal, When},
    },
};

/// The body of a PUT.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pushed {
    value: Option<f64>,
    verdict: Option<Verdict>,
    observed_at: Option<Time>,
    unit: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Profitable,
    Unprofitable,
}

/// RFC 3339, or seconds since 1970.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Value")]
struct Time(Timestamp);

impl TryFrom<Value> for Time {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let time = match &value {
            Value::String(text) => text.parse().ok(),
            Value::Number(number) => number.as_f64().and_then(|seconds| {
                let since_1970 = SignedDuration::try_from_secs_f64(seconds).ok()?;
                Timestamp::UNIX_EPOCH.checked_add(since_1970).ok()
            }),
            _ => None,
        };
        let help = "observed_at is no time: write \"2026-01-31T12:00:00Z\", or seconds since 1970";
        time.map(Self).ok_or_else(|| help.to_owned())
    }
}

/// `GET /api/v1/signals`.
pub async fn list(State(api): State<Arc<Api>>) -> Response {
    let (snapshot, now) = (api.signals.snapshot(), Timestamp::now());
    let signals: Vec<Value> = snapshot.signals.iter().map(|view| reply::signal(view, snapshot.currency, now)).collect();
    reply::answer(StatusCode::OK, &json!({ "at": snapshot.at.to_string(), "signals": signals }))
}

/// `GET /api/v1/decision`.
pub async fn decision(State(api): State<Arc<Api>>) -> Response {
    let snapshot = api.signals.snapshot();
    match &snapshot.decision {
        Some(view) => reply::answer(StatusCode::OK, &reply::decision(view, &snapshot)),
        None => api.refuse(StatusCode::NOT_FOUND, "not_found", "nothing is decided: the config has no [[group]]"),
    }
}

/// `PUT /api/v1/signals/{name}`.
pub async fn put(State(api): State<Arc<Api>>, path: Result<Path<String>, PathRejection>, body: Body) -> Response {
    let Ok(Path(name)) = path else {
        return api.refuse(StatusCode::BAD_REQUEST, "bad_request", "the path is no text");
    };
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
    let currency = api.signals.snapshot().currency;
    let pushed: Pushed = match api.read(body).await {
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
            let shown = reply::signal(&snapshot.signals[index], currency, Timestamp::now());
            reply::answer(StatusCode::OK, &shown)
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
fn observed(signal: &Signal, currency: Currency, pushed: &Pushed) -> Result<Observation, Rejected> {
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
        (None, Some(Verdict::Profitable)) => 1.0,
        (None, Some(Verdict::Unprofitable)) => 0.0,
    };
    let when = pushed.observed_at.as_ref().map_or(When::Now, |time| When::At(time.0));
    Ok(Observation { value, when })
}
