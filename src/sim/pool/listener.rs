//! The listening socket and the tasks behind it: accepts, refuses, comes back.
//!
//! ```text
//!            ShutUntil(t), Shut                       t is over, Open
//!  listening ───────────────────▶ bound, not listening ─────────────▶ listening on the same port
//! ```
//! A socket that is bound but doesn't listen has connections refused and keeps the port from being given away meanwhile.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::connection::serve;
use super::session::Session;
use super::shared::Shared;

/// Connections the system may queue before they are accepted.
const BACKLOG: u32 = 1024;
/// Pause after a failed accept or bind: out of file descriptors, or the port is taken for a moment.
const RETRY: Duration = Duration::from_millis(50);

/// Whether strangers are let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    Open,
    ShutUntil(Instant),
    Shut,
    /// For good: the pool ends.
    Closed,
}

/// What the listener is told; the latest word counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Orders {
    pub(super) door: Door,
    /// Raised each time all connections are to be closed.
    pub(super) drops: u64,
}

enum Port {
    Listening(TcpListener),
    /// Bound but not listening; `None` if even that failed.
    Held(Option<TcpSocket>),
}

/// Binds the address for the first time.
pub(super) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    bind(addr)?.listen(BACKLOG)
}

fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

/// Runs until told [`Door::Closed`] or until nobody is left to tell; closes all connections at the end.
pub(super) async fn run(
    listener: TcpListener,
    addr: SocketAddr,
    pool: Arc<Shared>,
    mut orders: watch::Receiver<Orders>,
) {
    let mut port = Port::Listening(listener);
    let mut clients = JoinSet::new();
    let mut told = *orders.borrow_and_update();
    let mut dropped = told.drops;
    while told.door != Door::Closed {
        if told.drops != dropped {
            dropped = told.drops;
            if told.door != Door::Open {
                port = shut(port, addr);
            }
            clients.shutdown().await;
        }
        let open_from = match told.door {
            Door::Open => Some(Instant::now()),
            Door::ShutUntil(until) => Some(until),
            Door::Shut | Door::Closed => None,
        };
        port = match (port, open_from) {
            (Port::Held(socket), Some(from)) if from <= Instant::now() => open(socket, addr).await,
            (port, Some(from)) if from <= Instant::now() => port,
            (port, _) => shut(port, addr),
        };
        tokio::select! {
            changed = orders.changed() => {
                if changed.is_err() {
                    break;
                }
                told = *orders.borrow_and_update();
            }
            socket = accept(&port) => welcome(socket, &pool, &mut clients),
            () = sleep_until(open_from.unwrap_or_else(Instant::now)), if open_from.is_some_and(|from| from > Instant::now()) => {}
            Some(_) = clients.join_next() => {}
        }
    }
    drop(port);
    clients.shutdown().await;
}

fn shut(port: Port, addr: SocketAddr) -> Port {
    match port {
        Port::Listening(listener) => {
            drop(listener);
            Port::Held(bind(addr).ok())
        }
        held => held,
    }
}

async fn open(held: Option<TcpSocket>, addr: SocketAddr) -> Port {
    let bound = held.map_or_else(|| bind(addr), Ok);
    match bound.and_then(|socket| socket.listen(BACKLOG)) {
        Ok(listener) => Port::Listening(listener),
        Err(_) => {
            sleep(RETRY).await;
            Port::Held(None)
        }
    }
}

/// The next client; never returns while the port is shut.
async fn accept(port: &Port) -> (TcpStream, SocketAddr) {
    let Port::Listening(listener) = port else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok(client) => return client,
            Err(_) => sleep(RETRY).await,
        }
    }
}

fn welcome((socket, peer): (TcpStream, SocketAddr), pool: &Arc<Shared>, clients: &mut JoinSet<()>) {
    while clients.try_join_next().is_some() {} // those that left count no more
    if clients.len() >= pool.settings.max_connections {
        pool.ledger().connection_refused();
        return;
    }
    // A reply that waits for Nagle's timer would only distort what is measured; without the option it still arrives.
    let _ = socket.set_nodelay(true);
    let connection = pool.ledger().connected(peer);
    let session = Session::new(Arc::clone(pool), connection);
    clients.spawn(serve(socket, Arc::clone(pool), session, pool.subscribe()));
}
