//! The task of one machine: its socket, its clock, and the loop around its [`Session`].
//!
//! Sockets are read into one buffer per thread, which is safe because nothing awaits while it is in use; a machine
//! owns only the beginning of a line that has not ended yet. A machine that can't keep its pace drops what it is
//! behind by more than [`MAX_OWED`] shares (or one second of hashes) and says so in `skipped`.

use super::pacer::{Control, Pacer, Quantum, Run};
use super::profile::AsleepSocket;
use super::session::{Leave, Session};
use super::stats::{Board, MinerStats, lock};
use super::violation::ProtocolViolation;
use super::{MinerSettings, Pace, splitmix};
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// Bytes read at once.
const READ_BUFFER: usize = 64 * 1024;
/// Longest line that is read: four times what any firmware does.
const MAX_LINE: usize = 64 * 1024;
/// Bytes that may wait for a socket to take them; beyond this no more shares are made.
const MAX_UNSENT: usize = 64 * 1024;
/// Shares that a machine makes up for when it is late.
const MAX_OWED: u32 = 64;
/// Hashes between two looks at the socket: under a millisecond.
const SLICE_HASHES: u32 = 2048;
/// How long a connect may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a machine that was told to end is waited for.
const ENDING: Duration = Duration::from_millis(500);
/// How often a stopping machine looks whether all replies are in.
const SETTLING: Duration = Duration::from_millis(5);

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BUFFER].into_boxed_slice());
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A running machine. Dropping the handle ends it at once.
#[derive(Debug)]
pub struct MinerHandle {
    settings: Arc<MinerSettings>,
    stats: Arc<Mutex<MinerStats>>,
    control: Arc<Control>,
    task: JoinHandle<()>,
}

impl Drop for MinerHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl MinerHandle {
    /// Starts a machine with a board and a pacer of its own, on the current runtime.
    #[must_use]
    pub fn start(settings: MinerSettings) -> Self {
        Self::start_with(settings, Arc::default(), Pacer::start(), Duration::ZERO)
    }

    /// Starts a machine that shares board and pacer with others, and connects after `delay`.
    #[must_use]
    pub fn start_with(settings: MinerSettings, board: Arc<Board>, pacer: Pacer, delay: Duration) -> Self {
        let settings = Arc::new(settings);
        let stats = Arc::default();
        let control = Arc::new(Control::default());
        control.set_run(if settings.asleep { Run::Asleep } else { Run::Mining });
        let machine = Machine {
            session: Session::new(Arc::clone(&settings), board),
            settings: Arc::clone(&settings),
            stats: Arc::clone(&stats),
            control: Arc::clone(&control),
            pacer,
            partial: Vec::new(),
            owed: 0,
            hashes: 0.0,
        };
        let task = tokio::spawn(machine.run(delay));
        Self { settings, stats, control, task }
    }

    /// What the machine was set up with.
    #[must_use]
    pub fn settings(&self) -> &MinerSettings {
        &self.settings
    }

    /// A copy of the counters.
    #[must_use]
    pub fn stats(&self) -> MinerStats {
        lock(&self.stats).clone()
    }

    /// Looks at the counters without a copy.
    pub fn with_stats<T>(&self, look: impl FnOnce(&MinerStats) -> T) -> T {
        look(&lock(&self.stats))
    }

    /// Whether it is connected, authorized and has a job.
    #[must_use]
    pub fn is_mining(&self) -> bool {
        self.control.is_mining()
    }

    /// Whether, asleep, it will send no more shares and is owed no reply.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.is_mining() || self.control.is_resting() && self.with_stats(MinerStats::unanswered) == 0
    }

    /// Stops hashing; what becomes of the connection is [`MinerSettings::asleep_socket`]'s.
    pub fn sleep(&self) {
        self.control.set_run(Run::Asleep);
    }

    /// Hashes again.
    pub fn wake(&self) {
        self.control.set_run(Run::Mining);
    }

    /// Its power goes: the socket drops, and it is away until [`sleep`](Self::sleep) or [`wake`](Self::wake) finds it booted.
    pub fn power_off(&self) {
        self.control.set_run(Run::Off);
    }

    /// Stops hashing, waits up to `limit` for the replies still owed, closes the connection.
    pub async fn stop(mut self, limit: Duration) -> MinerStats {
        self.sleep();
        let settled = async {
            while !self.is_settled() {
                sleep(SETTLING).await;
            }
        };
        // Whether or not replies are still missing, the machine ends now; `unanswered` tells.
        let _ = timeout(limit, settled).await;
        self.end();
        // A machine in the middle of a connect is not worth waiting for; its counters stand.
        let _ = timeout(ENDING, &mut self.task).await;
        self.stats()
    }

    /// Tells the machine to end, without waiting for it.
    pub(super) fn end(&self) {
        self.control.stop();
    }
}

struct Machine {
    settings: Arc<MinerSettings>,
    session: Session,
    stats: Arc<Mutex<MinerStats>>,
    control: Arc<Control>,
    pacer: Pacer,
    /// A line that has not ended yet.
    partial: Vec<u8>,
    owed: u32,
    hashes: f64,
}

impl Machine {
    async fn run(mut self, delay: Duration) {
        if delay > Duration::ZERO {
            self.pause(delay).await;
        }
        let quantum = Quantum::of(self.settings.pace, self.settings.hashing_quantum);
        self.pacer.register(&self.control, quantum, self.settings.seed);
        let (mut server, mut backoff) = (self.settings.server, self.settings.backoff);
        for attempt in 0_u64.. {
            self.until_it_connects().await;
            if self.control.is_stopped() {
                break;
            }
            let mut wait = backoff;
            backoff = (backoff * 2).min(MinerSettings::MAX_BACKOFF);
            match timeout(CONNECT_LIMIT, TcpStream::connect(server)).await {
                Ok(Ok(stream)) => {
                    let leave = self.serve(&stream, quantum).await;
                    if self.session.is_mining() {
                        (wait, backoff) = (self.settings.backoff, self.settings.backoff);
                    }
                    self.control.set_mining(false);
                    if self.control.is_stopped() {
                        break;
                    }
                    if self.control.is_off() {
                        self.session.power_cut(&mut lock(&self.stats));
                    } else {
                        self.session.disconnected(&mut lock(&self.stats));
                    }
                    if !self.may_connect() {
                        // It left by itself, and comes back by itself: nothing to be patient about.
                        continue;
                    }
                    server = self.settings.server;
                    if let Some(Leave::Asked { to, wait: asked }) = leave {
                        wait = asked;
                        server = resolve(to).await.unwrap_or(server);
                    }
                }
                Ok(Err(_)) | Err(_) => {
                    lock(&self.stats).connect_failures += 1;
                    server = self.settings.server;
                }
            }
            // Up to a quarter more, so that a farm doesn't come back in one instant.
            let jitter = splitmix(self.settings.seed ^ attempt << 32) % 256;
            self.pause(wait + wait.mul_f64(jitter as f64 / 1024.0)).await;
        }
    }

    /// Whether it would have a connection now.
    fn may_connect(&self) -> bool {
        let is_closed = self.settings.asleep_socket == AsleepSocket::Closed && self.control.is_asleep();
        !is_closed && !self.control.is_off()
    }

    async fn until_it_connects(&mut self) {
        while !self.may_connect() && !self.control.is_stopped() {
            if self.control.is_off() {
                self.session.power_cut(&mut lock(&self.stats));
            }
            self.control.notified().await;
        }
    }

    /// Waits, but not longer than until it is stopped.
    async fn pause(&self, duration: Duration) {
        let stopped = async {
            while !self.control.is_stopped() {
                self.control.notified().await;
            }
        };
        // Either end of the wait is as good.
        let _ = timeout(duration, stopped).await;
    }

    /// One connection, from handshake to close; why the session left it, if it did.
    async fn serve(&mut self, stream: &TcpStream, quantum: Option<Quantum>) -> Option<Leave> {
        // Without it the handshake waits for delayed acknowledgements; a socket that refuses is about to fail anyway.
        let _ = stream.set_nodelay(true);
        self.partial.clear();
        self.control.take_due();
        (self.owed, self.hashes) = (0, 0.0);
        self.session.connected(now(), &mut lock(&self.stats));
        let (mut more, mut rests) = (false, false);
        loop {
            if self.flush(stream).is_err() || self.control.is_stopped() || self.control.is_off() {
                return None;
            }
            // Nothing of its own is under way any more.
            let is_idle = rests && self.control.is_asleep() && !self.session.awaits_verdict();
            if is_idle && self.session.output().is_empty() && !self.may_connect() {
                return None;
            }
            if is_idle && self.session.is_mining() && self.settings.asleep_socket == AsleepSocket::Unread {
                self.control.set_resting(true);
                self.control.notified().await;
                self.control.take_due();
                self.session.not_listening(now());
                continue;
            }
            if let Some(leave) = self.session.leave() {
                return Some(leave.clone());
            }
            let interest = if self.session.output().is_empty() {
                Interest::READABLE
            } else {
                Interest::READABLE | Interest::WRITABLE
            };
            tokio::select! {
                ready = stream.ready(interest) => {
                    if ready.is_err() || self.read(stream).is_err() {
                        return None;
                    }
                }
                () = self.control.notified() => {}
                () = tokio::task::yield_now(), if more => {}
            }
            self.session.tick(now(), &mut lock(&self.stats));
            self.control.set_mining(self.session.is_mining());
            let is_asleep = self.control.is_asleep();
            more = self.work(quantum);
            self.control.set_resting(is_asleep);
            rests = is_asleep;
        }
    }

    fn flush(&mut self, stream: &TcpStream) -> io::Result<()> {
        let out = self.session.output();
        while !out.is_empty() {
            match stream.try_write(out) {
                Ok(written) => drop(out.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what there is and hands whole lines to the session.
    fn read(&mut self, stream: &TcpStream) -> io::Result<()> {
        BUFFER.with_borrow_mut(|buffer| {
            while let Some(got) = read_once(stream, buffer)? {
                self.take(&buffer[..got]);
            }
            Ok(())
        })
    }

    fn take(&mut self, mut bytes: &[u8]) {
        let (now, mut stats) = (now(), lock(&self.stats));
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if self.partial.is_empty() {
                self.session.line(now, line.trim_ascii_end(), &mut stats);
            } else {
                self.partial.extend_from_slice(line);
                self.session.line(now, self.partial.trim_ascii_end(), &mut stats);
                self.partial = Vec::new();
            }
        }
        if self.partial.len() + bytes.len() > MAX_LINE {
            stats.violate(ProtocolViolation::LineTooLong);
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }

    /// Does what is due; true if a slice was not enough for it.
    fn work(&mut self, quantum: Option<Quantum>) -> bool {
        let due = self.control.take_due();
        let idle = self.control.is_asleep() || !self.session.is_mining() || self.session.output().len() > MAX_UNSENT;
        if idle {
            let share_pace = matches!(self.settings.pace, Pace::SharesPerSecond(_));
            if share_pace && !self.control.is_asleep() {
                lock(&self.stats).skipped += u64::from(due + self.owed);
            }
            (self.owed, self.hashes) = (0, 0.0);
            return false;
        }
        match quantum {
            Some(Quantum { every, hashes: Some(hashes) }) => self.hash(due, hashes, every),
            Some(Quantum { hashes: None, .. }) => self.share(due),
            None if self.settings.pace == Pace::AfterReply => {
                // One that is being searched for is owed already.
                let next = self.owed == 0 && !self.session.awaits_verdict();
                self.share(u32::from(next))
            }
            None => false,
        }
    }

    fn share(&mut self, due: u32) -> bool {
        let owed = self.owed.saturating_add(due);
        self.owed = owed.min(MAX_OWED);
        if owed > self.owed {
            lock(&self.stats).skipped += u64::from(owed - self.owed);
        }
        let mut budget = SLICE_HASHES;
        while self.owed > 0 && budget > 0 {
            match self.session.search(budget) {
                (spent, Some(found)) => {
                    self.owed -= 1;
                    budget -= spent.min(budget);
                    self.session.submit(now(), &found, &mut lock(&self.stats));
                }
                (0, None) => {
                    // Replies are owed, or the search space is used up: no shares now.
                    lock(&self.stats).skipped += u64::from(std::mem::take(&mut self.owed));
                }
                (spent, None) => budget -= spent.min(budget),
            }
        }
        self.owed > 0
    }

    fn hash(&mut self, due: u32, hashes: f64, every: Duration) -> bool {
        let at_most = hashes * (1.0 / every.as_secs_f64()).max(1.0);
        self.hashes = (self.hashes + f64::from(due) * hashes).min(at_most);
        // Saturating is right: a slice is far less than u32::MAX.
        let mut budget = (self.hashes as u32).min(SLICE_HASHES);
        while budget > 0 {
            let (spent, found) = self.session.search(budget);
            if spent == 0 {
                self.hashes = 0.0;
                return false;
            }
            budget -= spent;
            self.hashes -= f64::from(spent);
            if let Some(found) = found {
                self.session.submit(now(), &found, &mut lock(&self.stats));
            }
        }
        self.hashes >= 1.0
    }
}

/// One read; `None` when the socket is empty. A read that does not fill the buffer has emptied it, and the runtime is told so at once
/// (as tokio's own `poll_read` does): the system call that would find it out is saved, which a load test feels.
fn read_once(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let mut got = 0;
    let read = stream.try_io(Interest::READABLE, || {
        got = rustix::io::read(stream, &mut *buffer)?;
        if got == 0 || got == buffer.len() { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    });
    match read {
        Ok(()) if got == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(Some(got).filter(|got| *got > 0)),
    }
}

/// Where a `client.reconnect` leads; `None` when there is no such place.
async fn resolve(to: Option<(String, u16)>) -> Option<SocketAddr> {
    tokio::net::lookup_host(to?).await.ok()?.next()
}
