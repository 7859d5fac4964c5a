//! Simulated AI compute: an HTTP server that takes signed messages about leases, runs jobs under them, and tells its status. It
//! simulates: nothing computes, no machine is asked, and `GET /` says so.
//!
//! | request | answer |
//! |---|---|
//! | `POST /lease` with a signed message | `{"state":"taken"}`, `"refused"` (409), `"releasing"` or `"released"` |
//! | `GET /status`, signed as well | `{"epoch":…,"drawn_watts":…,"state":…,"observed_at":…}` |
//! | no signature, another secret's, or one of another time | 401 |
//! | what is no message | 400, or 413 where it is longer than [`MAX_BODY`] |
//!
//! What its machines do is `model.rs`; what can go wrong is [`AiFault`]. It is the AI team's side as a stranger would write it: the check
//! of signatures is its own, and it knows nothing of caps, groups or ledgers.

mod fault;
mod model;
mod signature;
#[cfg(test)]
mod tests;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

pub use self::fault::AiFault;
use self::model::{Ai, Said};

/// Bytes of a message.
pub const MAX_BODY: usize = 4096;

/// How old a signature may be, and how far ahead.
const WINDOW_SECONDS: u64 = 300;

/// Time for requests under way when it ends.
const GRACE: Duration = Duration::from_secs(1);

/// What kind of AI compute to be. Watts of the machines themselves.
#[derive(Debug, Clone)]
pub struct AiSiteSettings {
    /// Address to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// What messages are signed with.
    pub secret: String,
    /// The most that its machines can draw.
    pub capacity: f64,
    /// What they draw without work.
    pub idle: f64,
    /// A lease's first job starts at some time within this.
    pub starts_within: Duration,
    /// How long a job runs, at least 50 ms.
    pub job: Duration,
    /// The pause between two jobs, at least 50 ms.
    pub gap: Duration,
    /// How long it takes to save a job that is ended, at full power.
    pub release_time: Duration,
    /// Seed of when jobs start.
    pub seed: u64,
    /// What goes wrong from the start on.
    pub faults: Vec<AiFault>,
}

impl Default for AiSiteSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            secret: "simulated".to_owned(),
            capacity: 100_000.0,
            idle: 4_000.0,
            starts_within: Duration::from_secs(5),
            job: Duration::from_secs(300),
            gap: Duration::from_secs(10),
            release_time: Duration::from_secs(5),
            seed: 1,
            faults: Vec::new(),
        }
    }
}

/// What was asked of it so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AiStats {
    /// Grants of a lease that it did not have.
    pub grants: u64,
    /// Grants of a lease that it had.
    pub renewals: u64,
    /// Revocations.
    pub revokes: u64,
    /// Grants that it refused.
    pub refused: u64,
    /// Leases that it gave back.
    pub released: u64,
    /// Requests without a signature that counts.
    pub unsigned: u64,
    /// Statuses that it told.
    pub statuses: u64,
}

/// AI compute that runs, until it is shut down or dropped.
#[derive(Debug)]
pub struct AiSite {
    addr: SocketAddr,
    site: Arc<Site>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Site {
    secret: String,
    ai: Mutex<Ai>,
    stop: CancellationToken,
}

impl AiSite {
    /// Starts it.
    ///
    /// # Errors
    /// What the system says of the address.
    pub async fn start(settings: AiSiteSettings) -> io::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await?;
        let addr = listener.local_addr()?;
        let stop = CancellationToken::new();
        let secret = settings.secret.clone();
        let site = Arc::new(Site { secret, ai: Mutex::new(Ai::new(settings, Timestamp::now())), stop: stop.clone() });
        let router = Router::new()
            .route("/", get(about))
            .route("/lease", post(lease))
            .route("/status", get(status))
            .with_state(site.clone());
        let stopped = stop.clone().cancelled_owned();
        let server = tokio::spawn(async move {
            // It ends without an error, or not at all.
            let _ = axum::serve(listener, router).with_graceful_shutdown(stopped).await;
        });
        Ok(Self { addr, site, stop, server })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where messages go.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/lease", self.addr)
    }

    /// Where its status is.
    #[must_use]
    pub fn status_url(&self) -> String {
        format!("http://{}/status", self.addr)
    }

    /// What its machines truly draw now, whatever its status says.
    #[must_use]
    pub fn watts(&self) -> f64 {
        self.site.ai().watts(Timestamp::now())
    }

    /// What was asked of it so far.
    #[must_use]
    pub fn stats(&self) -> AiStats {
        let mut ai = self.site.ai();
        ai.advance(Timestamp::now());
        ai.stats
    }

    /// Lets something go wrong.
    pub fn fault(&self, fault: AiFault) {
        self.site.ai().fault(fault, Timestamp::now());
    }

    /// Ends it; requests under way have a second.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        // Who has not ended by then is cut off.
        let _ = timeout(GRACE, &mut self.server).await;
        self.server.abort();
    }
}

impl Drop for AiSite {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Site {
    fn ai(&self) -> MutexGuard<'_, Ai> {
        // A simulation with a broken invariant is still a simulation.
        self.ai.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an answer waits for.
    async fn delay(&self) {
        let late = self.ai().lateness();
        if !late.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(late) => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Whether a request is signed, as it must be.
    fn admits(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Response> {
        let signature = headers.get("x-signature").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let now = Timestamp::now().as_second();
        if signature::is_valid(self.secret.as_bytes(), signature, body, now, WINDOW_SECONDS) {
            return Ok(());
        }
        self.ai().stats.unsigned += 1;
        Err(json_answer(StatusCode::UNAUTHORIZED, &json!({ "error": "no signature that counts" })))
    }
}

/// What of a message matters here.
#[derive(Debug, Deserialize)]
struct Message {
    v: u32,
    id: String,
    epoch: u32,
    #[serde(rename = "type")]
    kind: String,
    it_watts: f64,
    deadline: Option<Timestamp>,
    expires: Option<Timestamp>,
}

async fn about() -> Response {
    json_answer(StatusCode::OK, &json!({ "simulates": "AI compute", "lease": "/lease", "status": "/status" }))
}

async fn lease(State(site): State<Arc<Site>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let answer = match read(body).await {
        Ok(body) => told(&site, &parts.headers, &body),
        Err(answer) => answer,
    };
    site.delay().await;
    answer
}

async fn read(body: Body) -> Result<axum::body::Bytes, Response> {
    let too_much = |_| json_answer(StatusCode::PAYLOAD_TOO_LARGE, &json!({ "error": "too long, or broken off" }));
    to_bytes(body, MAX_BODY).await.map_err(too_much)
}

fn told(site: &Site, headers: &HeaderMap, body: &[u8]) -> Response {
    if site.ai().is_broken() {
        return broken();
    }
    if let Err(answer) = site.admits(headers, body) {
        return answer;
    }
    let bad = |why: String| json_answer(StatusCode::BAD_REQUEST, &json!({ "error": why }));
    let message: Message = match serde_json::from_slice(body) {
        Ok(message) => message,
        Err(error) => return bad(error.to_string()),
    };
    if message.v != 1 || !message.it_watts.is_finite() || message.it_watts < 0.0 || message.id.len() > 64 {
        return bad("a version, a power or an id that can't be".to_owned());
    }
    let (now, mut ai) = (Timestamp::now(), site.ai());
    let said = match (message.kind.as_str(), message.expires, message.deadline) {
        ("lease.grant", Some(expires), _) => ai.grant(now, &message.id, message.epoch, message.it_watts, expires),
        ("lease.revoke", _, Some(deadline)) => ai.revoke(now, &message.id, message.epoch, deadline),
        _ => return bad("neither a grant that expires nor a revocation with a deadline".to_owned()),
    };
    match said {
        Said::Refused(why) => json_answer(StatusCode::CONFLICT, &json!({ "state": "refused", "reason": why })),
        Said::Taken => json_answer(StatusCode::OK, &json!({ "state": "taken" })),
        Said::Releasing => json_answer(StatusCode::OK, &json!({ "state": "releasing" })),
        Said::Released => json_answer(StatusCode::OK, &json!({ "state": "released" })),
    }
}

async fn status(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let answer = if site.ai().is_broken() {
        broken()
    } else if let Err(answer) = site.admits(&headers, b"") {
        answer
    } else {
        let shown = site.ai().status(Timestamp::now());
        let observed_at = shown.observed_at.to_string();
        let shown = json!({
            "epoch": shown.epoch, "drawn_watts": shown.watts, "state": shown.state, "observed_at": observed_at
        });
        json_answer(StatusCode::OK, &shown)
    };
    site.delay().await;
    answer
}

fn broken() -> Response {
    json_answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "error": "simulated" }))
}

fn json_answer(status: StatusCode, body: &serde_json::Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::SERVER, "simulated AI compute")];
    (status, headers, body.to_string()).into_response()
}
