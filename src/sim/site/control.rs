//! The API of a simulated site: each ASIC's firmware, the meter, the report, and what goes wrong on demand.
//!
//! | request | answer |
//! |---|---|
//! | `POST /asics/{name}/sleep` | `{"ok": true}`: the firmware was told, which proves nothing |
//! | `POST /asics/{name}/wake`, if wanted with `{"mode": "low"}` | the same |
//! | `GET /asics/{name}` | `{"watts": 3312.5, "mode": "normal", "state": "mining"}`, as the firmware says it |
//! | `GET /meter` | `{"watts": 9123456.7, "kilowatts": 9123.4567, "at": "…"}`, with noise |
//! | `GET /report` | the truth: peak, seconds over the cap, machines, shares |
//! | `POST /faults` with `{"blip": true}`, `{"blip": true, "group": "old"}` or `{"asic": "old.0001", "lie": "stays-awake"}`, `"lie": null` to end it | `{"ok": true}` |
//!
//! | refused with | when |
//! |---|---|
//! | 400 | no JSON of this form, no such mode or lie |
//! | 404 | no such path, ASIC or group |
//! | 409 | the firmware says that the machine sleeps already |
//! | 503 | the firmware does not answer: it boots, is dark, or lies |

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use super::Shared;
use super::asic::{Answer, Command, Mode};
use super::lie::Lie;
use crate::sim::http::{answer, refused};

pub(super) fn router(site: Arc<Shared>) -> Router {
    Router::new()
        .route("/asics/{name}", get(asic))
        .route("/asics/{name}/sleep", post(sleep))
        .route("/asics/{name}/wake", post(wake))
        .route("/meter", get(meter))
        .route("/report", get(report))
        .route("/faults", post(fault))
        .fallback(nothing_there)
        .with_state(site)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wake {
    #[serde(default)]
    mode: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Fault {
    Blip {
        blip: bool,
        #[serde(default)]
        group: Option<String>,
    },
    Lie {
        asic: String,
        lie: Option<String>,
    },
}

async fn nothing_there() -> Response {
    refused(
        StatusCode::NOT_FOUND,
        "there is /asics/{name}, /asics/{name}/sleep, /asics/{name}/wake, /meter, /report and /faults",
    )
}

fn no_such(kind: &str, name: &str) -> Response {
    refused(StatusCode::NOT_FOUND, &format!("no {kind} is called \"{name}\""))
}

fn silent() -> Response {
    refused(StatusCode::SERVICE_UNAVAILABLE, "no answer from its firmware")
}

fn done() -> Response {
    answer(StatusCode::OK, &json!({ "ok": true }))
}

async fn asic(State(site): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    let (now, mut model) = (site.now(), site.model());
    let Some(asic) = model.find(&name) else {
        return no_such("ASIC", &name);
    };
    match model.claim(now, asic) {
        Some(claim) => {
            let state = if claim.is_asleep { "asleep" } else { "mining" };
            answer(StatusCode::OK, &json!({ "watts": claim.watts, "mode": claim.mode.label(), "state": state }))
        }
        None => silent(),
    }
}

async fn sleep(State(site): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    tell(&site, &name, Command::Sleep).await
}

async fn wake(State(site): State<Arc<Shared>>, Path(name): Path<String>, body: Bytes) -> Response {
    let wake = if body.trim_ascii().is_empty() { Ok(Wake::default()) } else { serde_json::from_slice(&body) };
    let mode = match wake {
        Ok(Wake { mode: None }) => None,
        Ok(Wake { mode: Some(name) }) => match Mode::named(&name) {
            Some(mode) => Some(mode),
            None => return refused(StatusCode::BAD_REQUEST, "mode must be low, normal or high"),
        },
        Err(error) => return refused(StatusCode::BAD_REQUEST, &format!("not of the form {{\"mode\": …}}: {error}")),
    };
    tell(&site, &name, Command::Wake(mode)).await
}

async fn tell(site: &Shared, name: &str, command: Command) -> Response {
    let told = {
        let (now, mut model) = (site.now(), site.model());
        let asic = model.find(name);
        asic.map(|asic| model.command(now, asic, command))
    };
    match told {
        None => no_such("ASIC", name),
        Some(Answer::Ok) => done(),
        Some(Answer::Later(delay)) => {
            tokio::time::sleep(delay).await;
            done()
        }
        Some(Answer::AsleepAlready) => refused(StatusCode::CONFLICT, "already in sleep mode"),
        Some(Answer::Nothing) => silent(),
    }
}

async fn meter(State(site): State<Arc<Shared>>) -> Response {
    let watts = site.model().meter();
    answer(StatusCode::OK, &json!({ "watts": watts, "kilowatts": watts / 1e3, "at": Timestamp::now().to_string() }))
}

async fn report(State(site): State<Arc<Shared>>) -> Response {
    answer(StatusCode::OK, &json!(site.report()))
}

async fn fault(State(site): State<Arc<Shared>>, body: Bytes) -> Response {
    let (now, mut model) = (site.now(), site.model());
    match serde_json::from_slice(&body) {
        Ok(Fault::Blip { blip: true, group }) => {
            if !model.blip(now, group.as_deref()) {
                return no_such("group", group.as_deref().unwrap_or_default());
            }
        }
        Ok(Fault::Blip { blip: false, .. }) => {}
        Ok(Fault::Lie { asic: name, lie }) => {
            let Some(asic) = model.find(&name) else {
                return no_such("ASIC", &name);
            };
            match lie.map(|lie| lie.parse::<Lie>()).transpose() {
                Ok(lie) => model.set_lie(asic, lie),
                Err(error) => return refused(StatusCode::BAD_REQUEST, &error),
            }
        }
        Err(_) => {
            let why = r#"not of the form {"blip": true} or {"asic": "old.0001", "lie": "stays-awake"}"#;
            return refused(StatusCode::BAD_REQUEST, why);
        }
    }
    done()
}
