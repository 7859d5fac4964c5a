//! Taking connections, no faster than allowed: a farm that returns at once is let in over several seconds, and what is connected
//! already goes on meanwhile. What waits, waits in the kernel's queue.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{
    Interest, Registry,
    net::{TcpListener, TcpStream},
};
use socket2::{SockRef, TcpKeepalive};
use tracing::warn;

use super::{ListenerChange, ListenerSettings, Place};

/// Connections that may come at once after a pause: a fiftieth of a second's worth, at least one.
const BURSTS_PER_SECOND: f64 = 50.0;

/// Out of files or memory: time until it is tried again.
const OUT_OF_RESOURCES: Duration = Duration::from_millis(100);

/// The system counts these in whole seconds, and refuses 0 (tcp(7)).
const LEAST_KEEPALIVE: Duration = Duration::from_secs(1);

/// What the kernel holds for a sleeper, as it counts (twice of it, with its own bookkeeping): some jobs. It would hold some hundred
/// kilobytes, times a hall, of jobs that are older than those that wait here and are replaced; and the miner would have to read them first
/// when it wakes.
const ASLEEP_SEND_BUFFER: usize = 4 * 1024;

/// What it holds for one that slept; about what it gives a connection that it was told nothing of.
const AWAKE_SEND_BUFFER: usize = 64 * 1024;

/// How many connections a second one worker takes, on all its listeners together: a token bucket.
#[derive(Debug)]
pub struct Pace {
    per_second: f64,
    /// Connections that may be taken now.
    tokens: f64,
    /// Since when that holds.
    since: Instant,
}

impl Pace {
    /// A full bucket.
    pub fn new(now: Instant, per_second: f64) -> Self {
        Self { per_second, tokens: burst(per_second), since: now }
    }

    /// Another rate, from now on.
    fn set(&mut self, now: Instant, per_second: f64) {
        // What was earned until now was earned at the old one.
        let _ = self.ask(now);
        self.per_second = per_second;
        self.tokens = self.tokens.min(burst(per_second));
    }

    /// Whether a connection may be taken now, or how long to wait for it.
    fn ask(&mut self, now: Instant) -> Result<(), Duration> {
        let earned = now.saturating_duration_since(self.since).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + earned).min(burst(self.per_second));
        self.since = now;
        if self.tokens >= 1.0 { Ok(()) } else { Err(Duration::from_secs_f64((1.0 - self.tokens) / self.per_second)) }
    }

    /// A connection was taken.
    fn spend(&mut self) {
        self.tokens -= 1.0;
    }
}

fn burst(per_second: f64) -> f64 {
    (per_second / BURSTS_PER_SECOND).max(1.0)
}

/// The listening sockets of one worker.
pub struct Doors {
    /// Those that were opened last are last; any order will do.
    doors: Vec<Door>,
    registry: Registry,
    /// Names of doors in the poll; never used twice.
    next: usize,
    pace: Pace,
    /// Who is looked at first, so that a crowd at one door does not lock the others.
    first: usize,
    /// Connections wait, and may be taken then.
    retry_at: Option<Instant>,
}

struct Door {
    number: usize,
    socket: TcpListener,
    settings: Arc<ListenerSettings>,
    /// Connections may wait here.
    somebody_waits: bool,
    /// Who waits is taken, then it is closed.
    closes: bool,
}

impl Doors {
    /// Takes the sockets over.
    ///
    /// # Errors
    /// The system's poll does not take one.
    pub fn open(
        sockets: Vec<(std::net::TcpListener, Arc<ListenerSettings>)>,
        registry: &Registry,
        per_second: f64,
    ) -> io::Result<Self> {
        let pace = Pace::new(Instant::now(), per_second);
        let mut doors =
            Self { doors: Vec::new(), registry: registry.try_clone()?, next: 0, pace, first: 0, retry_at: None };
        for (socket, settings) in sockets {
            doors.add(socket, settings)?;
        }
        Ok(doors)
    }

    /// One more.
    fn add(&mut self, socket: std::net::TcpListener, settings: Arc<ListenerSettings>) -> io::Result<()> {
        let mut socket = TcpListener::from_std(socket);
        let number = self.next;
        self.registry.register(&mut socket, Place::Door(number).token(), Interest::READABLE)?;
        self.next += 1;
        self.doors.push(Door { number, socket, settings, somebody_waits: true, closes: false });
        Ok(())
    }

    /// Other listeners: new sockets are opened, those in their place and those of listeners that are gone take who waits and close.
    pub fn change(&mut self, now: Instant, change: ListenerChange) {
        let ListenerChange { settings, opened, closed, accepts_per_second } = change;
        self.pace.set(now, accepts_per_second);
        self.retry_at = None;
        for door in &mut self.doors {
            let place = door.settings.index;
            door.settings = settings[place].clone();
            if closed.contains(&place) || opened.iter().any(|(opened, _)| *opened == place) {
                (door.closes, door.somebody_waits) = (true, true);
            }
        }
        for (place, socket) in opened {
            if let Err(error) = self.add(socket.into(), settings[place].clone()) {
                let name = &settings[place].listener.name;
                warn!("listener {name:?}: this worker's poll does not take its new socket: {error}; other workers may");
            }
        }
    }

    /// When connections that wait may be taken; `None` if none waits, or all may be taken at once.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// The kernel says that somebody waits.
    pub fn knock(&mut self, door: usize) {
        if let Some(door) = self.doors.iter_mut().find(|other| other.number == door) {
            door.somebody_waits = true;
        }
    }

    /// Takes who waits, as many as are allowed by now.
    pub fn admit(&mut self, now: Instant, mut take: impl FnMut(&Arc<ListenerSettings>, TcpStream, SocketAddr)) {
        if self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        self.retry_at = None;
        let doors = self.doors.len().max(1);
        self.first = (self.first + 1) % doors;
        for at in self.first..self.first + self.doors.len() {
            let door = &mut self.doors[at % doors];
            while door.somebody_waits {
                if let Err(wait) = self.pace.ask(now) {
                    self.retry_at = Some(now + wait);
                    return;
                }
                match door.socket.accept() {
                    Ok((stream, peer)) => {
                        self.pace.spend();
                        take(&door.settings, stream, peer);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => door.somebody_waits = false,
                    // It went while it waited; the next one may be there.
                    Err(error)
                        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {}
                    Err(error) => {
                        // What is there goes on, and room may come.
                        let name = &door.settings.listener.name;
                        warn!("listener {name:?} can't accept a connection: {error}; trying again in 0.1 s");
                        self.retry_at = Some(now + OUT_OF_RESOURCES);
                        return;
                    }
                }
            }
        }
        self.doors.retain(|door| !door.closes || door.somebody_waits);
    }

    /// Takes nobody any more.
    pub fn close(&mut self) {
        self.doors.clear();
        self.retry_at = None;
    }
}

/// A dead peer is found by what it does not acknowledge, never by its silence: a sleeping ASIC is silent and welcome.
///
/// # Errors
/// The connection went already.
pub fn prepare(stream: &TcpStream, unacked_timeout: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(unacked_timeout.max(LEAST_KEEPALIVE))
        .with_interval((unacked_timeout / 4).max(LEAST_KEEPALIVE));
    socket.set_tcp_keepalive(&keepalive)?;
    wait_for(&socket, Some(unacked_timeout))
}

/// A sleeper may leave what it is sent unread for hours. Then its window is zero, and its kernel goes on to acknowledge the probes of ours.
///
/// That is enough for TCP (RFC 1122, 4.2.2.17), but with `TCP_USER_TIMEOUT` set, Linux ends the connection when the first such probe is that
/// old, acknowledged or not (tcp(7); `tcp_probe_timer` in net/ipv4/tcp_timer.c). Without it, a connection ends when `tcp_retries2` probes
/// in a row were not acknowledged: a dead sleeper is found after some quarter of an hour.
///
/// # Errors
/// The connection went already.
pub fn be_patient(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_send_buffer_size(ASLEEP_SEND_BUFFER)?;
    wait_for(&socket, None)
}

/// The sleeper is up: it is a miner as any other again.
///
/// # Errors
/// The connection went already.
pub fn be_strict(stream: &TcpStream, unacked_timeout: Duration) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_send_buffer_size(AWAKE_SEND_BUFFER)?;
    wait_for(&socket, Some(unacked_timeout))
}

/// How long a peer may acknowledge nothing; `None`: as long as the system allows.
fn wait_for(socket: &SockRef<'_>, unacked_timeout: Option<Duration>) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(unacked_timeout)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_sees_more_than_its_share_and_one_burst() {
        for per_second in [3.0, 100.0, 2000.0] {
            let start = Instant::now();
            let mut pace = Pace::new(start, per_second);
            let mut taken = 0.0;
            for ms in 0..2000 {
                while pace.ask(start + Duration::from_millis(ms)).is_ok() {
                    pace.spend();
                    taken += 1.0;
                }
            }
            let most = 2.0 * per_second + burst(per_second);
            assert!(taken <= most && taken >= 1.9 * per_second - 1.0, "{taken} of {most} at {per_second} a second");
        }
    }
}
