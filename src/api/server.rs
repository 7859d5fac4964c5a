//! Connections: each is let in, told apart by its address, served, and ended in order.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{MatchedPath, Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    Api, MAX_CONNECTIONS, PATIENCE,
    auth::Admission,
    door::{Door, Visitor},
    paths, watch,
};

/// Time for requests under way when it ends.
const GRACE: Duration = Duration::from_secs(1);

impl Api {
    /// Serves until `stop`, then lets requests under way end.
    pub async fn serve(self: Arc<Self>, socket: TcpListener, stop: CancellationToken) {
        let router = paths::router(&self);
        let watching = tokio::spawn(watch::watch(self.clone()));
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
                    () = visitor.sent_away() => debug!("admin API: a connection from {address} was cut off: it showed no token and another came, or it read nothing"),
                }
            });
        }
        // Streams end, and who looks.
        self.stop.cancel();
        let _ = watching.await;
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

/// Lets in who shows a token, to what that is for. Who shows none learns of a path only whether there is one: what browsers and crawlers ask every
/// server for is no guess.
pub(super) async fn admit(
    State(api): State<Arc<Api>>,
    Extension(visitor): Extension<Arc<Visitor>>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_nowhere = request.extensions().get::<MatchedPath>().is_none();
    if is_nowhere && !request.headers().contains_key(header::AUTHORIZATION) {
        return api.refuse(StatusCode::NOT_FOUND, "not_found", "there is nothing here");
    }
    match api.tokens.admit(request.headers(), visitor.address(), std::time::Instant::now()) {
        Admission::Open(role) => {
            visitor.is_known();
            if role.may(request.method(), request.uri().path()) {
                request.extensions_mut().insert(role);
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
