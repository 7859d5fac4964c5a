//! The HTTP server of the simulated world's machines: JSON over HTTP/1, for a driver that is being tested.
//!
//! Limits: [`MAX_CONNECTIONS`]; one more waits until another closes. [`MAX_BODY`] bytes of a request, [`PATIENCE`] for its head. It ends, and cuts
//! off who is connected, when the [`Server`] is dropped.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// Connections at once: a driver's calls, a meter, somebody who looks.
const MAX_CONNECTIONS: usize = 1024;
/// Bytes of a request's body.
const MAX_BODY: usize = 16 * 1024;
/// Time for the head of a request.
const PATIENCE: Duration = Duration::from_secs(30);
/// After a failed accept: no file may be left for now.
const PAUSE: Duration = Duration::from_millis(50);

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Binds the address and serves on the current runtime.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub(super) async fn start(listen: SocketAddr, router: Router) -> io::Result<Self> {
        let socket = TcpListener::bind(listen).await?;
        let addr = socket.local_addr()?;
        let task = tokio::spawn(serve(socket, router.layer(DefaultBodyLimit::max(MAX_BODY))));
        Ok(Self { addr, task })
    }

    /// Where it listens.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

async fn serve(socket: TcpListener, router: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept(), if connections.len() < MAX_CONNECTIONS => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // Answers are short: none waits for the acknowledgement of another. A socket that refuses is about to fail anyway.
        let _ = stream.set_nodelay(true);
        connections.spawn(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone())));
    }
}

/// JSON.
pub(super) fn answer(status: StatusCode, body: &Value) -> Response {
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], body.to_string()).into_response()
}

/// A refusal, in words.
pub(super) fn refused(status: StatusCode, why: &str) -> Response {
    answer(status, &json!({ "error": why }))
}
