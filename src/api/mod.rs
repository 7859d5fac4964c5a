//! The admin API: signals in, an operator's orders in; what the proxy is, does and did out; over HTTP with bearer tokens.
//!
//! Which paths there are, and what their answers look like, is said by the OpenAPI document that is made from this code (`paths.rs`); it is
//! served at `/api/v1/openapi.json`, and a copy is in `docs/openapi.json`.
//!
//! | file | what |
//! |---|---|
//! | `paths.rs` | every path, and the document |
//! | `server.rs` | connections; `door.rs` those that showed no token yet; `auth.rs` tokens and what each opens |
//! | `status.rs`, `pools.rs`, `groups.rs`, `workers.rs` | what is |
//! | `past.rs`, `kept.rs`, `events.rs` | what was; what the store has of it; events as a page and as a stream |
//! | `power.rs`, `forget.rs`, `signals.rs` | the power side, its orders, machines that are gone; signals and the decision |
//! | `watch/` | looks at the proxy every second, and remembers |
//! | `dashboard.rs` | the page for people, and its files |
//! | `reload.rs` | the config: what came of its last reload, and the order to read it again |
//! | `health.rs` | whether it lives, and whether it is ready |
//! | `wire/` | all of it as types |
//! | `query.rs`, `reply.rs`, `headers.rs` | parameters; answers; what every answer carries |
//!
//! | refused with | when | changed |
//! |---|---|---|
//! | 400 | no JSON, not of this form, a parameter that nobody knows | nothing |
//! | 401 | no token, or another one | nothing |
//! | 403 | a token that is for something else (`auth.rs`) | nothing |
//! | 404 | no such path, signal, group, worker or chart; a signal that is not pushed; nothing that could be moved | nothing |
//! | 405 | a method that is not for this path | nothing |
//! | 409 | not newer than what was taken last: a replay; an order that the mode or the group does not allow; a config that wants what can't be had | nothing |
//! | 413 | more than [`MAX_BODY`] bytes | nothing |
//! | 422 | a unit, value or time that can't be; a config that is wrong | nothing |
//! | 429 | too many wrong tokens | nothing |
//! | 503 | an order that could not be written, a source that is gone, too many streams | nothing |
//! | 504 | the power side did not answer in time | perhaps |
//!
//! Every refusal is JSON with `error` and `reason`, and counted by that reason. Does not know what a signal is for or what an order does,
//! and serves no TLS: it belongs on loopback or behind something that does. Nothing here is on a share's way: it reads books and snapshots.
//!
//! Limits: [`MAX_CONNECTIONS`], of which those without a right token are fewer (`door.rs`) and streams too (`events.rs`), [`MAX_BODY`],
//! [`PATIENCE`] for the head of a request and again for its body; lists and charts as `query.rs` says.

mod auth;
mod dashboard;
mod door;
mod events;
mod forget;
mod groups;
mod headers;
mod health;
mod kept;
mod past;
mod paths;
mod pools;
mod power;
mod query;
pub mod reload;
mod reply;
mod server;
mod signals;
mod status;
mod watch;
pub mod wire;
mod workers;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes, to_bytes},
    http::StatusCode,
    response::Response,
};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;

use self::{auth::TokenCheck, reply::refused, watch::Watched};
pub use self::{
    events::{HEARTBEAT, MAX_STREAMS, SLOW},
    health::Health,
    paths::document,
};
use crate::{
    census::{Asker, Workers},
    config::{Admin, Config},
    metrics::{Books, Totals},
    power::PowerSide,
    profit::task::Signals,
    reload::{Reload, Status},
    store::Store,
};

/// Connections at once: senders of signals, a dashboard, a scraper.
pub const MAX_CONNECTIONS: usize = 256;

/// Bytes of a request's body: an observation is a line.
pub const MAX_BODY: usize = 4096;

/// Time for the head of a request, and for its body: what is slower holds a connection that others want.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Where signals are, each by its name: what `signal_token` opens.
const SIGNALS_PATH: &str = "/api/v1/signals/";

/// Why requests were refused before they reached a signal or a group, in order of [`Api::refused`]; `crowded` is for a connection that gave
/// way to another, `slow_reader` for a stream that was cut off.
const REFUSALS: [&str; 24] = [
    "unauthorized",
    "forbidden",
    "too_many",
    "crowded",
    "streams_full",
    "slow_reader",
    "not_found",
    "unknown_signal",
    "unknown_group",
    "unknown_device",
    "unknown_worker",
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
    "bad_config",
    "not_had",
    "no_file",
];

/// What the API shows and asks.
pub struct Subject {
    /// When the proxy began, before it decided anything.
    pub started: Timestamp,
    /// Signals and the decision; the config.
    pub signals: Signals,
    /// The power side, where something can be moved.
    pub power: PowerSide,
    /// Shares, pools, routes.
    pub books: Arc<Books>,
    /// Miners by name.
    pub workers: Workers,
    /// Has them counted.
    pub census: Asker,
    /// What was kept; `None` where nothing is.
    pub store: Option<Store>,
    /// Whether all is well.
    pub health: Health,
    /// The config in force, and the way to another.
    pub reload: Reload,
}

/// The admin API of one proxy.
pub struct Api {
    tokens: TokenCheck,
    signals: Signals,
    power: PowerSide,
    books: Arc<Books>,
    workers: Workers,
    census: Asker,
    store: Option<Store>,
    health: Health,
    reload: Reload,
    watched: Watched,
    started: Timestamp,
    counts: [AtomicU64; REFUSALS.len()],
    /// Places for streams.
    streams: Arc<Semaphore>,
    /// Ends streams, and who looks.
    stop: CancellationToken,
}

impl Api {
    /// Opened by the tokens of `[admin]`.
    pub fn new(admin: &Admin, subject: Subject) -> Arc<Self> {
        let Subject { started, signals, power, books, workers, census, store, health, reload } = subject;
        let config = reload.status().places.config.clone();
        let watched = Watched::new(&config, signals.snapshot().currency, started);
        Arc::new(Self {
            tokens: TokenCheck::new(admin),
            watched,
            signals,
            power,
            books,
            workers,
            census,
            store,
            health,
            reload,
            started,
            counts: Default::default(),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            stop: CancellationToken::new(),
        })
    }

    /// Opened by these tokens, from the next request on.
    pub fn set_tokens(&self, admin: &Admin) {
        self.tokens.set(admin);
    }

    /// The config in force, every pool, route and listener at its place.
    fn config(&self) -> Arc<Config> {
        self.reload.status().places.config.clone()
    }

    /// The config in force, and books that know all that it names. They know a pool or a route that is added before it does: what they name
    /// may not be in it yet.
    fn in_force(&self) -> (Arc<Status>, Totals) {
        // In this order.
        let status = self.reload.status();
        (status, self.books.totals())
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

    /// The answer to what is not of the form that it should be.
    fn bad(&self, why: &str) -> Response {
        self.refuse(StatusCode::BAD_REQUEST, "bad_request", why)
    }

    /// The answer that there is no decision.
    fn nothing_decided(&self) -> Response {
        self.refuse(StatusCode::NOT_FOUND, "not_found", "nothing is decided: the config has no [[group]]")
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
