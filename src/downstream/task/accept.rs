//! Taking connections, no faster than allowed: a farm that returns at once is let in over several seconds, and what is connected
//! already goes on meanwhile. What waits, waits in the kernel's queue.

use std::{
    cell::Cell,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tracing::warn;

/// Connections that may come at once after a pause: a fiftieth of a second's worth, at least one.
const BURSTS_PER_SECOND: f64 = 50.0;

/// Out of files or memory: time until it is tried again.
const OUT_OF_RESOURCES: Duration = Duration::from_millis(100);

/// How many connections a second one worker takes, on all its listeners together: a token bucket.
#[derive(Debug)]
pub struct Pace {
    per_second: f64,
    /// Connections that may be taken now, and since when that holds.
    tokens: Cell<(f64, Instant)>,
}

impl Pace {
    /// A full bucket.
    pub fn new(per_second: f64) -> Self {
        Self { per_second, tokens: Cell::new((burst(per_second), Instant::now())) }
    }

    /// Takes a token, or says how long to wait for one.
    fn take(&self, now: Instant) -> Result<(), Duration> {
        let (tokens, since) = self.tokens.get();
        let earned = now.saturating_duration_since(since).as_secs_f64() * self.per_second;
        let tokens = (tokens + earned).min(burst(self.per_second));
        if tokens >= 1.0 {
            self.tokens.set((tokens - 1.0, now));
            Ok(())
        } else {
            self.tokens.set((tokens, now));
            Err(Duration::from_secs_f64((1.0 - tokens) / self.per_second))
        }
    }
}

fn burst(per_second: f64) -> f64 {
    (per_second / BURSTS_PER_SECOND).max(1.0)
}

/// Takes connections from one listening socket for as long as it is polled.
pub async fn accept_all(socket: &TcpListener, name: &str, pace: &Pace, take: impl Fn(TcpStream, SocketAddr)) {
    loop {
        while let Err(wait) = pace.take(Instant::now()) {
            sleep(wait).await;
        }
        match socket.accept().await {
            Ok((stream, peer)) => take(stream, peer),
            Err(error) => {
                // What is there goes on, and room may come.
                warn!("listener {name:?} can't accept a connection: {error}; trying again in 0.1 s");
                sleep(OUT_OF_RESOURCES).await;
            }
        }
    }
}

/// A dead peer is found by what it does not acknowledge, never by its silence: a sleeping ASIC is silent and welcome.
///
/// # Errors
/// The connection went already.
pub fn prepare(stream: &TcpStream, unacked_timeout: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(unacked_timeout).with_interval(unacked_timeout / 4);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(unacked_timeout))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_sees_more_than_its_share_and_one_burst() {
        for per_second in [3.0, 100.0, 2000.0] {
            let pace = Pace::new(per_second);
            let start = Instant::now();
            let mut taken = 0.0;
            for ms in 0..2000 {
                while pace.take(start + Duration::from_millis(ms)).is_ok() {
                    taken += 1.0;
                }
            }
            let most = 2.0 * per_second + burst(per_second);
            assert!(taken <= most && taken >= 1.9 * per_second - 1.0, "{taken} of {most} at {per_second} a second");
        }
    }
}
