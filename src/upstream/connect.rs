//! From a pool's address to a stream: name lookup, TCP to each address in turn, TLS.
//!
//! All of it shares the pool's `connect_timeout`, split evenly over the addresses, so that a dead one does not use up the time of
//! one that lives.

use std::{io, net::SocketAddr, time::Duration};

use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    time::timeout,
};

use crate::{
    config::{Pool, PoolUrl},
    tls::{self, Shown, TlsError, Trust},
};

/// Addresses of one name that are tried; more are the pool's load balancing, not its redundancy.
const MAX_ADDRESSES: usize = 4;

/// Time that sent bytes may stay unacknowledged, and that a silent peer is asked for a sign of life. The watchdog for jobs would
/// find a dead connection later, but the shares of that time are lost.
#[cfg(target_os = "linux")]
const UNACKED: Duration = Duration::from_secs(20);

/// Silence before the first probe, and between probes.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// A connection, in TLS or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{host} is not found: {source}; check the name, and this machine's DNS")]
    Lookup { host: String, source: io::Error },
    #[error("{host} has no address")]
    NoAddress { host: String },
    #[error("no connection to {address}: {source}")]
    Tcp { address: SocketAddr, source: io::Error },
    #[error("no connection to {host}:{port} in {}", humantime::format_duration(*after))]
    Timeout { host: String, port: u16, after: Duration },
    #[error(transparent)]
    NoTls(#[from] TlsError),
    #[error("no TLS with {address}: {why}")]
    Tls { address: SocketAddr, why: String },
    #[error("{host:?} is no name that a certificate can have")]
    ServerName { host: String },
    #[error("a simulated pool is reached over the TCP address that it listens on")]
    Simulated,
}

impl ConnectError {
    /// Nobody is there, as against somebody who will not have us.
    pub fn is_unreached(&self) -> bool {
        matches!(self, Self::Tcp { .. } | Self::Timeout { .. })
    }
}

/// Connects to the pool, or to where it has sent us (`host`, `port`) with the same kind of connection. What it shows of itself in TLS is
/// noted in `shown`.
pub(super) async fn connect(
    pool: &Pool,
    elsewhere: Option<&(String, u16)>,
    shown: &Shown,
) -> Result<(Box<dyn Stream>, SocketAddr), ConnectError> {
    let (host, port, tls) = match &pool.url {
        PoolUrl::Tcp { host, port } => (host, *port, None),
        PoolUrl::Tls { host, port, pin } => (host, *port, Some(*pin)),
        PoolUrl::Simulated(_) => return Err(ConnectError::Simulated),
    };
    let (host, port) = elsewhere.map_or((host.as_str(), port), |(host, port)| (host.as_str(), *port));
    let after = pool.connect_timeout;
    let attempt = async {
        let (stream, address) = tcp(host, port, after).await?;
        let Some(pin) = tls else { return Ok((Box::new(stream) as Box<dyn Stream>, address)) };
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| ConnectError::ServerName { host: host.to_owned() })?;
        // Roots are read from disk.
        let trust = tokio::task::spawn_blocking(move || Trust::configured(pin));
        let trust = trust.await.map_err(|error| TlsError::Setup(error.to_string()))??;
        let tls = tls::connector(trust, shown.clone())?.connect(name, stream).await;
        let tls = tls.map_err(|error| ConnectError::Tls { address, why: tls::explain(&error) })?;
        Ok((Box::new(tls) as Box<dyn Stream>, address))
    };
    let late = |_| Err(ConnectError::Timeout { host: host.to_owned(), port, after });
    timeout(after, attempt).await.unwrap_or_else(late)
}

async fn tcp(host: &str, port: u16, time: Duration) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let found = lookup_host((host, port)).await;
    let found = found.map_err(|source| ConnectError::Lookup { host: host.to_owned(), source })?;
    let addresses: Vec<SocketAddr> = found.take(MAX_ADDRESSES).collect();
    let mut last = ConnectError::NoAddress { host: host.to_owned() };
    for address in &addresses {
        let attempt = timeout(time / addresses.len() as u32, TcpStream::connect(address)).await;
        match attempt.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).and_then(prepared) {
            Ok(stream) => return Ok((stream, *address)),
            Err(source) => last = ConnectError::Tcp { address: *address, source },
        }
    }
    Err(last)
}

/// A share is one small segment and must not wait for an acknowledgement (TCP_NODELAY; an SRI handshake takes 48 ms without it).
fn prepared(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKED))?;
    Ok(stream)
}
