//! Listening sockets: one for each worker and listener, all of a listener on one address.

use std::{io, net::SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::StartError;
use crate::config::Listener;

/// Connections that the kernel completes while all workers are busy.
const BACKLOG: i32 = 4096;

/// The sockets of one worker, by listener.
pub(super) type Sockets = Vec<std::net::TcpListener>;

/// A socket of the runtime, and the address that it got.
pub(super) async fn listen(
    what: &str,
    address: Option<SocketAddr>,
) -> Result<Option<(TcpListener, SocketAddr)>, StartError> {
    let Some(address) = address else { return Ok(None) };
    let failed = |source| StartError::Listen { what: what.to_owned(), address, source };
    let socket = TcpListener::bind(address).await.map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    Ok(Some((socket, address)))
}

/// The sockets of all listeners, and their addresses.
pub(super) fn bind_all(listeners: &[Listener], workers: usize) -> Result<(Vec<Sockets>, Vec<SocketAddr>), StartError> {
    let mut by_worker: Vec<Sockets> = (0..workers).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    for listener in listeners {
        let (sockets, address) = bind_one(listener, workers, &[])?;
        for (all, socket) in by_worker.iter_mut().zip(sockets) {
            all.push(socket);
        }
        addresses.push(address);
    }
    Ok((by_worker, addresses))
}

/// The sockets of one listener, by worker, and their address. `own`: addresses that are bound here already, and may be shared.
pub(super) fn bind_one(
    listener: &Listener,
    workers: usize,
    own: &[SocketAddr],
) -> Result<(Sockets, SocketAddr), StartError> {
    let what = || format!("listener {:?}", listener.name);
    let failed = |source| StartError::Listen { what: what(), address: listener.listen, source };
    // Shared sockets would also share with another process on this address; one that is not shared finds it out.
    if !own.contains(&listener.listen) {
        drop(bind(listener.listen, false).map_err(failed)?);
    }
    let mut address = listener.listen;
    let mut sockets = Vec::new();
    for _ in 0..workers {
        let socket = bind(address, true).map_err(failed)?;
        // With port 0, the first socket's port is everyone's.
        address = socket.local_addr().map_err(failed)?;
        sockets.push(socket);
    }
    Ok((sockets, address))
}

fn bind(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    if shared {
        socket.listen(BACKLOG)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}
