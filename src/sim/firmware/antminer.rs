//! Bitmain's stock firmware: a web server that asks for Digest authentication, and a config that is read and written as a whole.
//!
//! Its login is checked as RFC 7616 says, by the server's side of it: nonces are its own, each count is taken once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::wire::{Request, Response};
use super::{Ending, Fault, Shared};

const REALM: &str = "antMiner Configuration";

/// What was written last, beside the mode.
const CONFIG: &str = r#"{"pools":[{"url":"stratum+tcp://pool1.example:3333","user":"farm.1","pass":"pool-password-1"},
{"url":"","user":"","pass":""},{"url":"","user":"","pass":""}],"api-listen":true,"api-network":true,"api-groups":"A:stats:pools",
"bitmain-fan-ctrl":false,"bitmain-fan-pwm":"100","bitmain-use-vil":true,"bitmain-freq":"545","bitmain-voltage":"1400",
"bitmain-freq-level":"100"}"#;

/// Challenges that were given, and the highest count of each.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    given: HashMap<String, (Instant, u32)>,
    /// The config as it was written last.
    pub written: Option<Value>,
}

/// Challenges at once.
const MAX_NONCES: usize = 1000;

impl Nonces {
    /// All that was given counts no more.
    pub fn forget(&mut self) {
        self.given.clear();
    }
}

/// What a login is.
enum Login {
    Right,
    Wrong,
    /// Right, but too old.
    Stale,
}

pub(super) async fn answer(request: &Request, shared: &Shared) -> Response {
    match check(request, shared) {
        Login::Right => {}
        wrong => {
            let nonce = format!("{:032x}", rand::random::<u128>());
            let nonces = &mut shared.state().antminer.given;
            if nonces.len() >= MAX_NONCES {
                nonces.clear();
            }
            nonces.insert(nonce.clone(), (Instant::now(), 0));
            let stale = if matches!(wrong, Login::Stale) { ", stale=true" } else { "" };
            let challenge = format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\", qop=\"auth\"{stale}");
            let refusal = Response::refusal("401 Unauthorized", "<html><h1>401 - Unauthorized</h1></html>");
            return Response { headers: vec![("WWW-Authenticate", challenge)], ..refusal };
        }
    }
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/cgi-bin/get_miner_conf.cgi") => {
            let state = shared.state();
            let mut config = state.antminer.written.clone().unwrap_or_else(first_config);
            config["bitmain-work-mode"] = json!(state.machine.mode.to_string());
            drop(state);
            shared.step();
            let ending = if shared.has(Fault::HalfAnswers) { Ending::Half } else { Ending::Whole };
            Response::json(&config).ending(ending)
        }
        ("POST", "/cgi-bin/set_miner_conf.cgi") => write(request, shared).await,
        _ => Response::refusal("404 Not Found", "<html><h1>404 - Not Found</h1></html>"),
    }
}

fn first_config() -> Value {
    serde_json::from_str(CONFIG).unwrap_or_default()
}

async fn write(request: &Request, shared: &Shared) -> Response {
    let refused = || Response::json(&json!({ "stats": "error", "code": "M001", "msg": "Illegal request" }));
    let Some(mut config) = request.json().filter(Value::is_object) else { return refused() };
    let mode = ["miner-mode", "bitmain-work-mode"].iter().find_map(|key| {
        let value = config.get(*key)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    });
    let (Some(mode), true) = (mode, config["pools"].is_array()) else { return refused() };
    let first = first_config();
    let is_known = |key: &String| key == "bitmain-work-mode" || first.get(key).is_some();
    if shared.settings.is_strict && config.as_object().is_some_and(|config| !config.keys().all(is_known)) {
        return refused();
    }
    if let Some(config) = config.as_object_mut() {
        config.remove("miner-mode");
        config.remove("freq-level");
    }
    let sleeps = mode == 1;
    {
        let mut state = shared.state();
        if shared.obeys() {
            state.machine.mode = mode;
            state.antminer.written = Some(config);
        }
    }
    let ending = shared.order(if sleeps { "sleep" } else { "wake" }, sleeps).await;
    Response::json(&json!({ "stats": "success", "code": "M000", "msg": "OK!" })).ending(ending)
}

fn check(request: &Request, shared: &Shared) -> Login {
    let Some(given) = request.header("authorization").and_then(|value| value.strip_prefix("Digest ")) else {
        return Login::Wrong;
    };
    let fields: HashMap<&str, &str> = given
        .split(", ")
        .filter_map(|field| field.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim_matches('"')))
        .collect();
    let field = |name: &str| fields.get(name).copied().unwrap_or_default();
    let settings = &shared.settings;
    let hash = |text: String| hex::encode(Md5::digest(text));
    let who = hash(format!("{}:{REALM}:{}", settings.user, settings.password));
    let what = hash(format!("{}:{}", request.method, request.path));
    let (nonce, count, own) = (field("nonce"), field("nc"), field("cnonce"));
    let right = hash(format!("{who}:{nonce}:{count}:{own}:auth:{what}"));
    let is_right = field("response") == right
        && field("username") == settings.user
        && field("uri") == request.path
        && !shared.has(Fault::RefusesLogin);
    if !is_right {
        return Login::Wrong;
    }
    let lasts: Duration = settings.session;
    let nonces = &mut shared.state().antminer.given;
    let count = u32::from_str_radix(count, 16).unwrap_or(0);
    match nonces.get_mut(nonce) {
        Some((since, highest)) if since.elapsed() < lasts && count > *highest => {
            *highest = count;
            Login::Right
        }
        _ => Login::Stale,
    }
}
