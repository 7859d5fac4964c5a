//! AxeOS 2.14: pause, resume, and all there is to know in one document.

use serde_json::json;

use super::wire::{Request, Response};
use super::{Ending, Fault, Shared};

pub(super) async fn answer(request: &Request, shared: &Shared) -> Response {
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/api/system/pause") => order("pause", true, shared).await,
        ("POST", "/api/system/resume") => order("resume", false, shared).await,
        ("GET", "/api/system/info") => {
            let machine = shared.state().machine.clone();
            let info = json!({
                "power": machine.draws(), "voltage": 5100.0, "temp": 55.5, "hashRate": 1200.5, "hostname": "bitaxe",
                "miningPaused": machine.is_asleep(), "stratumURL": "pool.example", "stratumUser": "bc1q.axe", "version": "v2.14.0"
            });
            let ending = if shared.has(Fault::HalfAnswers) { Ending::Half } else { Ending::Whole };
            Response::json(&info).ending(ending)
        }
        _ => Response::refusal("404 Not Found", "Nothing matches the given URI"),
    }
}

async fn order(name: &'static str, sleeps: bool, shared: &Shared) -> Response {
    let ending = shared.order(name, sleeps).await;
    shared.step();
    Response::json(&json!({ "message": format!("Mining {name}d") })).ending(ending)
}
