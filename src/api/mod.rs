//! The admin API: signals in, an operator's orders in; signals, decisions and the power side out; over HTTP with bearer tokens.
//!
//! | request | answer |
//! |---|---|
//! | `PUT /api/v1/signals/{name}` with `{"value": 42.5}` or `{"verdict": "unprofitable"}`, and if wanted `"observed_at"`, `"unit"` | 200 and what the signal says now; else a reason |
//! | `GET /api/v1/signals` | every signal with its sources and what was refused |
//! | `GET /api/v1/decision` | what each group is to do, and why |
//! | `GET /api/v1/power` | mode, site, groups, AI blocks with their leases, the last events ([`wire::PowerPage`]) |
//! | `GET /api/v1/groups/{name}/devices?offset=0&limit=100` | the machines of a group ([`wire::DevicePage`]) |
//! | `GET /api/v1/receipts?limit=20` | what the last drains and wakes moved and cost, the newest first |
//! | `POST /api/v1/groups/{name}/drain`, `wake`, `hold`, `lockout`, `release`, `unlock` with [`wire::OrderBody`] | the plan: what follows, in words and kW; with `dry_run` only that |
//! | `POST /api/v1/groups/{name}/devices/{device}/forget`, `POST /api/v1/groups/{name}/devices/forget` with [`wire::ForgetBody`] | machines that are gone count no more: which, and what that frees |
//! | `PUT /api/v1/mode` with `{"mode": "active"}` | the mode, and the one before |
//!
//! | refused with | when | changed |
//! |---|---|---|
//! | 400 | no JSON, or not of this form | nothing |
//! | 401 | no token, or another one | nothing |
//! | 403 | a token that is for something else (`auth.rs`) | nothing |
//! | 404 | no such path, signal or group; a signal that is not pushed; nothing that could be moved | nothing |
//! | 405 | a method that is not for this path | nothing |
//! | 409 | not newer than what was taken last: a replay; an order that the mode or the group does not allow | nothing |
//! | 413 | more than [`MAX_BODY`] bytes | nothing |
//! | 422 | a unit, value or time that can't be | nothing |
//! | 429 | too many wrong tokens | nothing |
//! | 503 | an order that could not be written, a source that is gone | nothing |
//! | 504 | the power side did not answer in time | perhaps |
//!
//! Every refusal is JSON with `error` and `reason`, and counted by that reason. Does not know what a signal is for or what an order does,
//! and serves no TLS: it belongs on loopback or behind something that does.
//!
//! Limits: [`MAX_CONNECTIONS`], of which those without a right token are fewer (`door.rs`), [`MAX_BODY`], [`PATIENCE`] for the head of a
//! request and again for its body.

mod auth;
mod door;
mod forget;
mod power;
mod reply;
mod signals;
pub mod wire;

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Extension, Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{get, post, put},
};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use serde::de::DeserializeOwned;
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use self::{
    auth::{Admission, TokenCheck},
    door::{Door, Visitor},
    reply::refused,
    wire::Names,
};
use crate::{config::Admin, power::Power, profit::task::Signals};

/// Connections at once: senders of signals, a dashboard, a scraper.
pub const MAX_CONNECTIONS: usize = 256;

/// Bytes of a request's body: an observation is a line.
pub const MAX_BODY: usize = 4096;

/// Time for the head of a request, and for its body: what is slower holds a connection that others want.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Where signals are, each by its name: what `signal_token` opens.
const SIGNALS_PATH: &str = "/api/v1/signals/";

/// Time for requests under way when it ends.
const GRACE: Duration = Duration::from_secs(1);

/// Why requests were refused before they reached a signal or a group, in order of [`Api::refused`]; `crowded` is for a connection that gave
/// way to another.
const REFUSALS: [&str; 18] = [
    "unauthorized",
    "forbidden",
    "too_many",
    "crowded",
    "not_found",
    "unknown_signal",
    "unknown_group",
    "unknown_device",
    "bad_request",
    "too_large",
    "no_power",
    "not_managed",
    "dry_run",
    "nothing_to_end",
    "not_forgotten",
    "not_written",
    "ended",
    "no_answer",
];

/// The admin API of one proxy.
pub struct Api {
    tokens: TokenCheck,
    signals: Signals,
    power: Option<Power>,
    /// What is said where nothing can be moved.
    orphans: Vec<String>,
    names: Names,
    counts: [AtomicU64; REFUSALS.len()],
}

impl Api {
    /// Opened by the tokens of `[admin]`. `power` is `None` where nothing can be moved; then `orphans` says what was, and sleeps on.
    pub fn new(admin: &Admin, signals: Signals, power: Option<Power>, orphans: Vec<String>) -> Arc<Self> {
        let config = signals.config();
        // Where nobody says what is capped, the ledger's cap is one.
        let is_capped = config.power.as_ref().is_none_or(|power| power.cap.is_some());
        let names = Names::new(config.profit.as_ref(), is_capped);
        Arc::new(Self { tokens: TokenCheck::new(admin), names, signals, power, orphans, counts: Default::default() })
    }

    /// Requests refused before they reached a signal, or by the power side, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        REFUSALS.into_iter().zip(counts)
    }

    /// Answers with a refusal and counts it.
    fn refuse(&self, status: StatusCode, reason: &'static str, why: &str) -> Response {
        self.count(reason);
        refused(status, reason, why)
    }

    fn count(&self, reason: &str) {
        if let Some(at) = REFUSALS.iter().position(|known| *known == reason) {
            self.counts[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The JSON of a body.
    async fn read<T: DeserializeOwned>(&self, body: Body) -> Result<T, Response> {
        let bytes = self.bytes(body).await?;
        parse(&bytes).map_err(|why| self.refuse(StatusCode::BAD_REQUEST, "bad_request", &why))
    }

    /// The JSON of a body, if there is any.
    async fn read_if_any<T: DeserializeOwned>(&self, body: Body) -> Result<Option<T>, Response> {
        let bytes = self.bytes(body).await?;
        let parsed = if bytes.is_empty() { Ok(None) } else { parse(&bytes).map(Some) };
        parsed.map_err(|why| self.refuse(StatusCode::BAD_REQUEST, "bad_request", &why))
    }

    async fn bytes(&self, body: Body) -> Result<Bytes, Response> {
        let bad = |why: &str| self.refuse(StatusCode::BAD_REQUEST, "bad_request", why);
        match timeout(PATIENCE, to_bytes(body, MAX_BODY)).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(error)) if is_too_large(&error) => {
                let why = format!("the body is longer than {MAX_BODY} bytes");
                Err(self.refuse(StatusCode::PAYLOAD_TOO_LARGE, "too_large", &why))
            }
            Ok(Err(_)) => Err(bad("the body did not arrive")),
            Err(_) => Err(bad("the body did not arrive in time")),
        }
    }

    /// Serves until `stop`, then lets requests under way end.
    pub async fn serve(self: Arc<Self>, socket: TcpListener, stop: CancellationToken) {
        let router = Router::new()
            .route("/api/v1/signals", get(signals::list))
            .route("/api/v1/signals/{name}", put(signals::put))
            .route("/api/v1/decision", get(signals::decision))
            .route("/api/v1/power", get(power::show))
            .route("/api/v1/groups/{name}/devices", get(power::devices))
            .route("/api/v1/groups/{name}/devices/forget", post(forget::older))
            .route("/api/v1/groups/{name}/devices/{device}/forget", post(forget::one))
            .route("/api/v1/groups/{name}/{order}", post(power::order))
            .route("/api/v1/receipts", get(power::receipts))
            .route("/api/v1/mode", put(power::mode))
            .fallback(not_found)
            .method_not_allowed_fallback(wrong_method)
            .layer(from_fn_with_state(self.clone(), admit))
            .with_state(self.clone());
        let door = Arc::new(Door::default());
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let under_way = GracefulShutdown::new();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = accept(&socket, &places) => accepted,
            };
            let (stream, address, place) = match accepted {
                Ok(accepted) => accepted,
                // A client that is gone already, or no file left for now.
                Err(error) => {
                    debug!("admin API: a connection was not accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (visitor, was_crowded) = door.enter(address);
            if was_crowded {
                self.count("crowded");
            }
            let visitor = Arc::new(visitor);
            let service = Visited { inner: TowerToHyperService::new(router.clone()), visitor: visitor.clone() };
            let served = under_way.watch(http.serve_connection(TokioIo::new(stream), service));
            tokio::spawn(async move {
                let _place = place;
                tokio::select! {
                    ended = served => if let Err(error) = ended {
                        debug!("admin API: a connection ended: {error}");
                    },
                    () = visitor.sent_away() => debug!("admin API: a connection from {address} without a token gave way to another"),
                }
            });
        }
        // Who has not ended by then is cut off with the runtime.
        let _ = timeout(GRACE, under_way.shutdown()).await;
    }
}

/// The API as one connection sees it: each request says whose it is.
struct Visited {
    inner: TowerToHyperService<Router>,
    visitor: Arc<Visitor>,
}

impl Service<hyper::Request<Incoming>> for Visited {
    type Response = <TowerToHyperService<Router> as Service<hyper::Request<Incoming>>>::Response;
    type Error = <TowerToHyperService<Router> as Service<hyper::Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<Router> as Service<hyper::Request<Incoming>>>::Future;

    fn call(&self, mut request: hyper::Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.visitor.clone());
        self.inner.call(request)
    }
}

async fn accept(
    socket: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(tokio::net::TcpStream, IpAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, address) = socket.accept().await?;
    Ok((stream, address.ip(), place))
}

/// The JSON of bytes, or what is wrong with it.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    // serde takes a list for a struct as well: values without names, which may mean anything.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err("the body is no JSON object: it begins with {".to_owned());
    }
    serde_json::from_slice(bytes).map_err(|error| format!("the body is not what it should be: {error}"))
}

fn is_too_large(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

/// Lets in who shows a token, to what that is for. Paths are not told apart before.
async fn admit(
    State(api): State<Arc<Api>>,
    Extension(visitor): Extension<Arc<Visitor>>,
    request: Request,
    next: Next,
) -> Response {
    match api.tokens.admit(request.headers(), std::time::Instant::now()) {
        Admission::Open(role) => {
            visitor.is_known();
            if role.may(request.method(), request.uri().path()) {
                next.run(request).await
            } else {
                api.refuse(StatusCode::FORBIDDEN, "forbidden", role.in_words())
            }
        }
        Admission::Wrong => {
            let why = "send the header Authorization: Bearer <token>, with the token of [admin] in the config";
            api.refuse(StatusCode::UNAUTHORIZED, "unauthorized", why)
        }
        Admission::TooMany => {
            api.refuse(StatusCode::TOO_MANY_REQUESTS, "too_many", "too many requests without the right token")
        }
    }
}

async fn not_found(State(api): State<Arc<Api>>) -> Response {
    let why = "there is, under /api/v1: signals, signals/{name}, decision, power, groups/{name}/devices, groups/{name}/devices/forget, groups/{name}/devices/{device}/forget, groups/{name}/{order}, receipts, mode";
    api.refuse(StatusCode::NOT_FOUND, "not_found", why)
}

async fn wrong_method(State(api): State<Arc<Api>>, method: Method) -> Response {
    let why =
        format!("{method} is not for this path: PUT a signal by its name and the mode, POST an order, GET the rest");
    api.refuse(StatusCode::METHOD_NOT_ALLOWED, "bad_request", &why)
}
