//! The admin API: signals in, signals and the decision out, over HTTP with one bearer token.
//!
//! | request | answer |
//! |---|---|
//! | `PUT /api/v1/signals/{name}` with `{"value": 42.5}` or `{"verdict": "unprofitable"}`, and if wanted `"observed_at"`, `"unit"` | 200 and what the signal says now; else a reason |
//! | `GET /api/v1/signals` | every signal with its sources and what was refused |
//! | `GET /api/v1/decision` | what each group is to do, and why |
//!
//! | refused with | when | changed |
//! |---|---|---|
//! | 400 | no JSON, or not of this form | nothing |
//! | 401 | no token, or another one | nothing |
//! | 404 | no such path, no such signal, or one that is not pushed | nothing |
//! | 409 | not newer than what was taken last: a replay | nothing |
//! | 413 | more than [`MAX_BODY`] bytes | nothing |
//! | 422 | a unit, value or time that can't be | nothing |
//! | 429 | too many wrong tokens | nothing |
//!
//! Every refusal is JSON with `error` and `reason`, and counted by that reason. Does not know what a signal is for, and serves no
//! TLS: it belongs on loopback or behind something that does.
//!
//! Limits: [`MAX_CONNECTIONS`], [`MAX_BODY`], [`PATIENCE`] for the head of a request and again for its body.

mod auth;
mod reply;
mod signals;

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{Method, StatusCode},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::get,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

pub use self::auth::TokenCheck;
use self::{auth::Admission, reply::refused};
use crate::profit::task::Signals;

/// Connections at once: senders of signals, a dashboard, a scraper.
pub const MAX_CONNECTIONS: usize = 256;

/// Bytes of a request's body: an observation is a line.
pub const MAX_BODY: usize = 4096;

/// Time for the head of a request, and for its body: what is slower holds a connection that others want.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Time for requests under way when it ends.
const GRACE: Duration = Duration::from_secs(1);

/// Why requests were refused before they reached a signal, in order of [`Api::refused`].
const REFUSALS: [&str; 6] = ["unauthorized", "too_many", "not_found", "unknown_signal", "bad_request", "too_large"];

/// The admin API of one proxy.
pub struct Api {
    token: TokenCheck,
    signals: Signals,
    counts: [std::sync::atomic::AtomicU64; REFUSALS.len()],
}

impl Api {
    /// Opened by `token`.
    pub fn new(token: &str, signals: Signals) -> Arc<Self> {
        Arc::new(Self { token: TokenCheck::new(token), signals, counts: Default::default() })
    }

    /// Requests refused before they reached a signal, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.counts.iter().map(|count| count.load(std::sync::atomic::Ordering::Relaxed));
        REFUSALS.into_iter().zip(counts)
    }

    /// Answers with a refusal and counts it.
    fn refuse(&self, status: StatusCode, reason: &'static str, why: &str) -> Response {
        if let Some(at) = REFUSALS.iter().position(|known| *known == reason) {
            self.counts[at].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        refused(status, reason, why)
    }

    /// Serves until `stop`, then lets requests under way end.
    pub async fn serve(self: Arc<Self>, socket: TcpListener, stop: CancellationToken) {
        let router = Router::new()
            .route("/api/v1/signals", get(signals::list))
            .route("/api/v1/signals/{name}", axum::routing::put(signals::put))
            .route("/api/v1/decision", get(signals::decision))
            .fallback(not_found)
            .method_not_allowed_fallback(wrong_method)
            .layer(from_fn_with_state(self.clone(), admit))
            .with_state(self);
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let under_way = GracefulShutdown::new();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = accept(&socket, &places) => accepted,
            };
            let (stream, place) = match accepted {
                Ok(accepted) => accepted,
                // A client that is gone already, or no file left for now.
                Err(error) => {
                    debug!("admin API: a connection was not accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let served = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
            let served = under_way.watch(served);
            tokio::spawn(async move {
                let _place = place;
                if let Err(error) = served.await {
                    debug!("admin API: a connection ended: {error}");
                }
            });
        }
        // Who has not ended by then is cut off with the runtime.
        let _ = timeout(GRACE, under_way.shutdown()).await;
    }
}

async fn accept(
    socket: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(tokio::net::TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = socket.accept().await?;
    Ok((stream, place))
}

/// Lets in who shows the token. Paths are not told apart before.
async fn admit(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    match api.token.admit(request.headers(), std::time::Instant::now()) {
        Admission::Open => next.run(request).await,
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
    let why = "there is /api/v1/signals, /api/v1/signals/{name} and /api/v1/decision";
    api.refuse(StatusCode::NOT_FOUND, "not_found", why)
}

async fn wrong_method(State(api): State<Arc<Api>>, method: Method) -> Response {
    let why = format!("{method} is not for this path: PUT a signal by its name, GET the rest");
    api.refuse(StatusCode::METHOD_NOT_ALLOWED, "bad_request", &why)
}
