//! The loop around [`Session`]: connects, reads, writes, waits and connects again, as long as it is not stopped.
//!
//! ```text
//! connect ──► converse ──► Event::Lost, wait (backoff) ──► connect …
//!    └──── failed ────────────────┘
//! ```
//! One task for one pool connection; nothing is shared. While there is no connection, shares are taken all the same, for the
//! resume. A pool that is away is never a reason to give up.
//!
//! Limits: [`SHARE_QUEUE`] shares on their way in, [`MAX_POOL_LINE`] bytes of a line, [`BATCH`] shares in one write.

use std::{
    future::Future,
    io,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Notify, mpsc, watch},
    time::{sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::Level;

use super::{
    Backoff, Event, Outgoing, Settlement, UpstreamIds,
    carried::{Carried, Kept},
    connect::{Stream, connect},
    output::{Close, Output, Redirect},
    session::{MAX_POOL_LINE, Session, WasLive},
};
use crate::{
    config::{Pool, PoolUrl},
    stratum::Lines,
    tls::Shown,
    work::Difficulty,
};

/// Shares between the workers and a pool's task: what a farm of 5 000 finds in the second in which it fails over to a pool of too
/// low a difficulty, and no more, because a share that waits for longer is stale anyway.
pub const SHARE_QUEUE: usize = 4096;

/// Bytes read at once.
const READ_BUFFER: usize = 16 * 1024;

/// Shares that go into one write; some 13 KiB.
const BATCH: usize = 64;

/// A pool that asks for more patience is asked again after this.
const MAX_REDIRECT_WAIT: Duration = Duration::from_secs(60);

/// What the router holds of a pool's task.
#[derive(Clone, Debug)]
pub struct Handle {
    shares: mpsc::Sender<Outgoing>,
    suggested: watch::Sender<Option<Difficulty>>,
    connect_now: Arc<Notify>,
    stop: CancellationToken,
}

impl Handle {
    /// Where shares go. To be fed with `try_send`: who waits here while this task waits for room among the events waits forever.
    pub fn shares(&self) -> mpsc::Sender<Outgoing> {
        self.shares.clone()
    }

    /// Suggests a difficulty to the pool, on this connection and those after it.
    pub fn suggest_difficulty(&self, difficulty: Difficulty) {
        self.suggested.send_replace(Some(difficulty));
    }

    /// Cuts the wait for the next attempt, if one is being waited for.
    pub fn connect_now(&self) {
        self.connect_now.notify_waiters();
    }

    /// Drops the connection and ends the task. Shares without a settlement get none.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}

/// Starts the task of one pool connection. Events carry `key`. `stop` ends it, as [`Handle::stop`] does; so does the end of the
/// receiver of `events`.
pub fn spawn(
    key: usize,
    pool: Arc<Pool>,
    ids: Arc<UpstreamIds>,
    events: mpsc::Sender<(usize, Event)>,
    stop: CancellationToken,
) -> Handle {
    let (shares, shares_in) = mpsc::channel(SHARE_QUEUE);
    let (suggested, suggested_in) = watch::channel(None);
    let connect_now = Arc::new(Notify::new());
    // A child, so that a handle stops its own task only.
    let stop = stop.child_token();
    let handle = Handle { shares, suggested, connect_now: connect_now.clone(), stop: stop.clone() };
    let task =
        Task { pool, ids, shares: shares_in, suggested: suggested_in, connect_now, events: Events { key, events } };
    tokio::spawn(async move { stop.run_until_cancelled(task.run()).await });
    handle
}

/// The router is gone.
struct NoRouter;

struct Events {
    key: usize,
    events: mpsc::Sender<(usize, Event)>,
}

impl Events {
    async fn send(&self, event: Event) -> Result<(), NoRouter> {
        self.events.send((self.key, event)).await.map_err(|_| NoRouter)
    }

    async fn lost(&self, kept: Option<Kept>) -> Result<(), NoRouter> {
        match kept {
            Some(Kept { outgoing, .. }) => self.send(Event::Settled { outgoing, settlement: Settlement::Lost }).await,
            None => Ok(()),
        }
    }
}

/// How a connection ended.
enum End {
    Closed(Close),
    Failed(String),
    /// There was none.
    Unreached(String),
}

struct Task {
    pool: Arc<Pool>,
    ids: Arc<UpstreamIds>,
    shares: mpsc::Receiver<Outgoing>,
    suggested: watch::Receiver<Option<Difficulty>>,
    connect_now: Arc<Notify>,
    events: Events,
}

impl Task {
    async fn run(mut self) -> Result<(), NoRouter> {
        let pool = self.pool.clone();
        let mut backoff = Backoff::default();
        let mut carried = Carried::default();
        let mut redirected: Option<(String, u16)> = None;
        let mut last_reason = String::new();
        loop {
            let elsewhere = redirected.take();
            // One handshake's: the last one is what counts.
            let shown = Shown::default();
            let attempt = connect(&pool, elsewhere.as_ref(), &shown);
            let connected = self.meanwhile(&mut carried, pin!(attempt)).await?;
            let (was_live, end) = match connected {
                Err(error) if error.is_unreached() => (None, End::Unreached(error.to_string())),
                Err(error) => (None, End::Failed(error.to_string())),
                Ok((stream, address)) => {
                    tracing::debug!("pool {:?}: connected to {address}", pool.name);
                    if let Some(ends) = shown.first_end() {
                        self.events.send(Event::Certificate { ends }).await?;
                    }
                    self.converse(stream, &mut carried).await?
                }
            };
            backoff.ended(Instant::now(), was_live.map(|live| live.since));
            let retry_in = self.retry_in(&end, &mut backoff);
            if let End::Closed(Close::Redirect(redirect)) = &end {
                redirected = self.address_of(redirect);
            }
            let reason = match end {
                End::Closed(close) => close.to_string(),
                End::Failed(reason) | End::Unreached(reason) => reason,
            };
            let is_news = was_live.is_some() || reason != last_reason;
            self.log_loss(was_live.is_some(), is_news, &reason, retry_in);
            last_reason.clone_from(&reason);
            // Made before the router hears of the loss, so that its answer is not missed.
            let connect_now = self.connect_now.clone();
            let connect_now = connect_now.notified();
            self.events.send(Event::Lost { id: was_live.map(|live| live.id), reason, retry_in }).await?;
            let wait = async {
                tokio::select! {
                    () = sleep(retry_in) => {}
                    () = connect_now => {}
                }
            };
            self.meanwhile(&mut carried, pin!(wait)).await?;
        }
    }

    fn retry_in(&self, end: &End, backoff: &mut Backoff) -> Duration {
        let mut rng = rand::rng();
        match end {
            End::Closed(Close::Login { .. } | Close::Extranonce(_)) => backoff.refused(&mut rng),
            End::Closed(Close::Redirect(redirect)) => backoff.next(&mut rng).max(redirect.wait.min(MAX_REDIRECT_WAIT)),
            End::Closed(_) | End::Failed(_) => backoff.next(&mut rng),
            End::Unreached(_) => backoff.unreached(&mut rng),
        }
    }

    /// Where the next attempt goes, and that one only: whether the pool sends us on from its own address is for it to say again.
    fn address_of(&self, redirect: &Redirect) -> Option<(String, u16)> {
        let (PoolUrl::Tcp { host, port } | PoolUrl::Tls { host, port, .. }) = &self.pool.url else { return None };
        Some((redirect.host.clone().unwrap_or_else(|| host.clone()), redirect.port.unwrap_or(*port)))
    }

    /// Takes shares for the resume, until something else is done.
    async fn meanwhile<T>(
        &mut self,
        carried: &mut Carried,
        mut done: impl Future<Output = T> + Unpin,
    ) -> Result<T, NoRouter> {
        loop {
            let expiry = carried.next_expiry();
            tokio::select! {
                result = &mut done => return Ok(result),
                Some(outgoing) = self.shares.recv() => {
                    self.events.lost(carried.keep(Kept::new(Instant::now(), outgoing))).await?;
                }
                () = until(expiry) => {
                    while let Some(kept) = carried.expired(Instant::now()) {
                        self.events.lost(Some(kept)).await?;
                    }
                }
            }
        }
    }

    /// One connection, from its first line to its end.
    async fn converse(
        &mut self,
        mut stream: Box<dyn Stream>,
        carried: &mut Carried,
    ) -> Result<(Option<WasLive>, End), NoRouter> {
        carried.suggested = *self.suggested.borrow_and_update();
        let mut session = Session::new(Instant::now(), self.pool.clone(), self.ids.clone(), std::mem::take(carried));
        let end = self.talk(&mut stream, &mut session).await?;
        let (was_live, left, outputs) = session.end();
        *carried = left;
        for output in outputs {
            if let Output::Event(event) = output {
                self.events.send(event).await?;
            }
        }
        Ok((was_live, end))
    }

    async fn talk(&mut self, stream: &mut Box<dyn Stream>, session: &mut Session) -> Result<End, NoRouter> {
        let mut lines = Lines::new(MAX_POOL_LINE);
        let mut buffer = vec![0; READ_BUFFER];
        let mut out = Vec::new();
        loop {
            if let Some(close) = self.perform(session, &mut out).await? {
                return Ok(End::Closed(close));
            }
            if let Err(reason) = self.write(stream, &mut out).await {
                return Ok(End::Failed(reason));
            }
            tokio::select! {
                read = stream.read(&mut buffer) => match read {
                    Ok(0) => return Ok(End::Failed("the pool hung up".to_owned())),
                    Ok(len) => {
                        let mut input = &buffer[..len];
                        loop {
                            match lines.next(&mut input) {
                                Ok(Some(line)) => session.handle_line(Instant::now(), line),
                                Ok(None) => break,
                                Err(error) => return Ok(End::Failed(error.to_string())),
                            }
                        }
                    }
                    Err(error) => return Ok(End::Failed(error.to_string())),
                },
                Some(outgoing) = self.shares.recv() => {
                    let now = Instant::now();
                    session.submit(now, outgoing);
                    for _ in 1..BATCH {
                        let Ok(outgoing) = self.shares.try_recv() else { break };
                        session.submit(now, outgoing);
                    }
                }
                Ok(()) = self.suggested.changed() => {
                    if let Some(difficulty) = *self.suggested.borrow_and_update() {
                        session.suggest(difficulty);
                    }
                }
                () = until(session.poll_timeout()) => session.handle_timeout(Instant::now()),
            }
        }
    }

    /// Does what the session wants, except for the lines, which are gathered in `out`.
    async fn perform(&self, session: &mut Session, out: &mut Vec<u8>) -> Result<Option<Close>, NoRouter> {
        while let Some(output) = session.poll_output() {
            match output {
                Output::Send(line) => out.extend_from_slice(line.as_bytes()),
                Output::Event(event) => {
                    self.log(&event);
                    self.events.send(event).await?;
                }
                Output::Note(level, text) => self.note(level, &text),
                Output::Close(close) => return Ok(Some(close)),
            }
        }
        Ok(None)
    }

    /// All lines in one write. A pool that does not read is a dead one.
    async fn write(&self, stream: &mut Box<dyn Stream>, out: &mut Vec<u8>) -> Result<(), String> {
        if out.is_empty() {
            return Ok(());
        }
        let write = async {
            stream.write_all(out).await?;
            stream.flush().await
        };
        let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "the pool does not read what we send"));
        timeout(self.pool.reply_timeout, write).await.unwrap_or_else(late).map_err(|error| error.to_string())?;
        out.clear();
        Ok(())
    }

    fn log(&self, event: &Event) {
        let pool = &self.pool.name;
        match event {
            Event::Ready(facts) => tracing::info!(
                "pool {pool:?}: ready: extranonce1 {}, extranonce2 of {} bytes, version mask {:08x}",
                hex::encode(&facts.extranonce1),
                facts.extranonce2_size,
                facts.version_mask
            ),
            Event::Resumed(_) => tracing::info!("pool {pool:?}: resumed: shares without an answer are sent again"),
            _ => {}
        }
    }

    /// An outage of a day is one line, and what the log has of it at debug.
    fn log_loss(&self, was_live: bool, is_news: bool, reason: &str, retry_in: Duration) {
        let pool = &self.pool.name;
        let what = if was_live { "connection lost" } else { "no login" };
        let retry_in = humantime::format_duration(Duration::from_millis(retry_in.as_millis() as u64));
        if is_news {
            tracing::warn!("pool {pool:?}: {what}: {reason}; next attempt in {retry_in}");
        } else {
            tracing::debug!("pool {pool:?}: {what}: still {reason}; next attempt in {retry_in}");
        }
    }

    fn note(&self, level: Level, text: &str) {
        let pool = &self.pool.name;
        match level {
            Level::WARN => tracing::warn!("pool {pool:?}: {text}"),
            Level::INFO => tracing::info!("pool {pool:?}: {text}"),
            _ => tracing::debug!("pool {pool:?}: {text}"),
        }
    }
}

/// Sleeps until then; forever without a time.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
