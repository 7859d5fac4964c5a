//! Braiins OS 25.07: a login's token, pause and resume, a power target, statistics.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::wire::{Request, Response};
use super::{Ending, Fault, Shared};

/// Tokens that are open.
#[derive(Debug, Default)]
pub(super) struct Tokens(HashMap<String, Instant>);

/// Logins at once.
const MAX_TOKENS: usize = 100;

impl Tokens {
    fn open(&mut self) -> String {
        let token = format!("{:032x}", rand::random::<u128>());
        if self.0.len() >= MAX_TOKENS {
            self.0.clear();
        }
        self.0.insert(token.clone(), Instant::now());
        token
    }

    fn is_open(&self, token: &str, lasts: Duration) -> bool {
        self.0.get(token).is_some_and(|since| since.elapsed() < lasts)
    }
}

pub(super) async fn answer(request: &Request, shared: &Shared) -> Response {
    if (request.method.as_str(), request.path.as_str()) == ("POST", "/api/v1/auth/login") {
        let response = log_in(request, shared);
        shared.step();
        return response;
    }
    let token = request.header("authorization").unwrap_or_default();
    if !shared.state().braiins.is_open(token, shared.settings.session) {
        return Response::refusal("401 Unauthorized", r#"{"message":"authorization token is invalid or expired"}"#);
    }
    match (request.method.as_str(), request.path.as_str()) {
        ("PUT", "/api/v1/actions/pause") => order("pause", "already_paused", true, shared).await,
        ("PUT", "/api/v1/actions/resume") => order("resume", "already_running", false, shared).await,
        ("GET", "/api/v1/miner/stats") => {
            let watts = shared.state().machine.draws();
            plain(
                &json!({ "miner_stats": {}, "power_stats": { "approximated_consumption": { "watt": watts.round() as u64 } } }),
                shared,
            )
        }
        ("GET", "/api/v1/configuration/miner") => {
            let target = shared.state().machine.target;
            let tuner = json!({ "enabled": true, "hashrate_target": null, "power_target": { "watt": target }, "tuner_mode": 1 });
            plain(&json!({ "pool_groups": [], "tuner": tuner }), shared)
        }
        ("PUT", "/api/v1/performance/power-target") => {
            let Some(watts) = request.json().and_then(|body| body.get("watt")?.as_u64()) else {
                return Response::refusal("422 Unprocessable Entity", r#"{"message":"missing field `watt`"}"#);
            };
            shared.state().machine.target = watts;
            plain(&json!({ "watt": watts }), shared)
        }
        _ => Response::refusal("404 Not Found", ""),
    }
}

fn log_in(request: &Request, shared: &Shared) -> Response {
    let body = request.json().unwrap_or_default();
    let is = |key: &str, wanted: &str| body.get(key).and_then(Value::as_str) == Some(wanted);
    let settings = &shared.settings;
    let is_right = is("username", &settings.user) && is("password", &settings.password);
    if !is_right || shared.has(Fault::RefusesLogin) {
        return Response::refusal("401 Unauthorized", r#"{"message":"invalid credentials"}"#);
    }
    let token = shared.state().braiins.open();
    Response::json(&json!({ "token": token, "timeout_s": settings.session.as_secs() }))
}

async fn order(name: &'static str, already: &str, sleeps: bool, shared: &Shared) -> Response {
    let was_there = shared.state().machine.is_asleep() == sleeps || shared.has(Fault::IsThereAlready);
    let ending = shared.order(name, sleeps).await;
    Response::json(&json!({ already: was_there })).ending(ending)
}

fn plain(body: &Value, shared: &Shared) -> Response {
    let ending = if shared.has(Fault::HalfAnswers) { Ending::Half } else { Ending::Whole };
    Response::json(body).ending(ending)
}
