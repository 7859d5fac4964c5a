//! One worker thread: its listening sockets, its connections, and the sweep that carries a job to all of them.
//!
//! A connection lives and dies on one worker; nothing here is shared with other threads but the books and the gate. The thread
//! is a plain loop: sleep until sockets or the router have something, do all of it, sleep again.
//!
//! ```text
//! poll ─► the router's messages (a new job goes first) ─► sockets: read, judge, answer ─► timers ─► what ended is removed ─► poll
//! ```
//!
//! Why no runtime here: a task, its wakers and its timer entry for each connection cost as much as checking the share
//! (ARCHITECTURE.md has the figures), and a sweep over all sessions is a loop over one slab.
//!
//! Limits: [`READ_BUFFER`] for all connections together, [`EVENTS`] sockets in a turn; a connection has a buffer of its own only
//! while it has sent part of a line, or has not taken what it was sent (`limits.send_buffer_bytes`, then it is disconnected).

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Registry, Token, event::Event, net::TcpStream};
use slab::Slab;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::{
    downstream::{
        Attached, CloseReason, Effect, Fate, Io, ListenerChange, ListenerSettings, Session, Taken,
        gate::{Admission, Gate},
        outbox::Outbox,
    },
    metrics::WorkerBook,
    router::{Berth, CensusPart, ConnectionId, Judgements, LaneId, Layout, MinerReport, Offer, ToRouter, ToWorker},
    stratum::{Lines, RawId, Response},
    upstream::{Origin, Outgoing},
    work::{HASHES_PER_DIFFICULTY, Hashrate, UpstreamId, WorkSeries},
};

mod accept;
mod census;
mod mail;
mod reload;
mod sleep;
mod sweep;
mod wire;

use accept::{Doors, prepare};
use census::{Gone, Tally};
pub use mail::{Mailbox, Postbox, mailbox};
use sleep::Rest;
use wire::Lingering;

/// Bytes read at once; one buffer per worker.
const READ_BUFFER: usize = 64 * 1024;

/// Reads of one connection before the others get their turn.
const READS_PER_TURN: usize = 4;

/// Sockets that are looked at before the router is heard again.
const EVENTS: usize = 1024;

/// The coarse clock of all sessions: their timers are due up to so much late.
const TICK: Duration = Duration::from_millis(250);

/// Ticks between two looks at what all miners hash.
const TICKS_PER_SURVEY: u32 = 4;

/// Ticks between two sortings of the miners by hashrate; who came since is last.
const TICKS_PER_ORDER: u32 = 40;

/// Miners asked to reconnect, per tick and worker, when their layout changes.
const RELAYOUTS_PER_TICK: usize = 50;

/// What a worker thread needs.
pub struct Worker {
    /// Position among the workers.
    pub index: u16,
    /// Connections that this worker takes in a second.
    pub accepts_per_second: f64,
    /// Bound sockets, this worker's own, with their settings.
    pub listeners: Vec<(std::net::TcpListener, Arc<ListenerSettings>)>,
    /// The way to the router.
    pub to_router: mpsc::Sender<ToRouter>,
    /// The way back.
    pub mailbox: Mailbox,
    /// Shared by all workers.
    pub gate: Arc<Gate>,
    /// This worker's.
    pub book: Arc<WorkerBook>,
}

impl Worker {
    /// Serves on this thread until the router says stop.
    ///
    /// # Errors
    /// The system's poll fails, or does not take a listening socket.
    pub fn run(self) -> io::Result<()> {
        let Self { index, accepts_per_second, listeners, to_router, mailbox, gate, book } = self;
        let Mailbox { mut poll, mut queue } = mailbox;
        let settings: Vec<_> = listeners.iter().map(|(_, settings)| settings.clone()).collect();
        let mut doors = Doors::open(listeners, poll.registry(), accepts_per_second)?;
        let mut hall = Hall::new(index, settings, to_router, book, poll.registry().try_clone()?);
        let mut events = Events::with_capacity(EVENTS);
        let mut next_tick = Instant::now() + TICK;
        loop {
            wait(&mut poll, &mut events, hall.patience(doors.retry_at().map_or(next_tick, |at| at.min(next_tick))))?;
            hall.now = Instant::now();
            loop {
                match queue.try_recv() {
                    Ok(ToWorker::StopAccepting) => {
                        doors.close();
                        hall.stopped = true;
                    }
                    Ok(ToWorker::Stop) | Err(mpsc::error::TryRecvError::Disconnected) => {
                        hall.close_all(CloseReason::Shutdown);
                        return Ok(());
                    }
                    Ok(ToWorker::Listeners(change)) => {
                        hall.set_settings(change.settings.clone());
                        doors.change(hall.now, *change);
                    }
                    Ok(message) => hall.handle(message),
                    Err(mpsc::error::TryRecvError::Empty) => break,
                }
            }
            for event in &events {
                match Place::of(event.token()) {
                    // Its messages were read.
                    Place::Mailbox => {}
                    Place::Door(door) => doors.knock(door),
                    Place::Miner(index) => hall.attend(index, event),
                    Place::Lingering(index) => hall.lingering.read(index),
                }
            }
            hall.read_on();
            hall.judge_round();
            let now = hall.now;
            doors.admit(now, |settings, stream, peer| hall.take(&gate, settings, stream, peer));
            if now >= next_tick {
                hall.tick(now);
                next_tick = now + TICK;
            }
            hall.remove_ended();
        }
    }
}

/// Sleeps until something happens, for so long at the most.
fn wait(poll: &mut Poll, events: &mut Events, patience: Duration) -> io::Result<()> {
    match poll.poll(events, Some(patience)) {
        // A signal, which is not for us; nothing happened.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        result => result,
    }
}

/// Whom an event is for.
#[derive(Clone, Copy)]
enum Place {
    Mailbox,
    Door(usize),
    Miner(usize),
    Lingering(usize),
}

impl Place {
    const fn token(self) -> Token {
        Token(match self {
            Self::Mailbox => 0,
            Self::Door(index) => index << 2 | 1,
            Self::Miner(index) => index << 2 | 2,
            Self::Lingering(index) => index << 2 | 3,
        })
    }

    const fn of(Token(token): Token) -> Self {
        let index = token >> 2;
        match token & 3 {
            0 => Self::Mailbox,
            1 => Self::Door(index),
            2 => Self::Miner(index),
            _ => Self::Lingering(index),
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug)]
enum End {
    Left,
    Closed(CloseReason),
}

/// One connection.
struct Slot {
    key: u64,
    session: Session,
    stream: TcpStream,
    peer: IpAddr,
    lines: Lines,
    /// What was read while a reply was held: less than one [`READ_BUFFER`].
    stalled: Vec<u8>,
    outbox: Outbox,
    berth: Option<Berth>,
    /// The kernel has said that there is something to read, and it was not all read.
    is_readable: bool,
    /// It is among the [`unread`](Hall::unread), and read when these are, not sooner.
    is_unread: bool,
    /// The miner has sent its last.
    has_hung_up: bool,
    /// Set once; the connection is removed at the end of the turn.
    ends: Option<End>,
    tally: Tally,
    rest: Rest,
    _admission: Admission,
}

/// A pool connection, as this worker sees it.
struct Upstream {
    shares: mpsc::Sender<Outgoing>,
    work: Option<(Arc<WorkSeries>, Instant)>,
    fate: Fate,
}

/// Miners that move to a pool, the fastest first, no faster than the pool can take.
struct Move {
    berth: Berth,
    upstream: UpstreamId,
    shares_per_second: f64,
    /// Shares a second that may be added now; below zero after a miner that brought more than that.
    budget: f64,
    waiting: VecDeque<(usize, u64)>,
}

/// All that one worker thread has.
struct Hall {
    index: u16,
    settings: Vec<Arc<ListenerSettings>>,
    to_router: mpsc::Sender<ToRouter>,
    book: Arc<WorkerBook>,
    registry: Registry,
    slots: Slab<Slot>,
    generation: u32,
    /// All connections (and some that have gone), in the order in which a job is carried to them.
    order: Vec<(usize, u64)>,
    /// Connections that ended in this turn.
    ended: Vec<(usize, u64)>,
    /// Connections with more to read than one turn takes, each once.
    unread: Vec<(usize, u64)>,
    lingering: Lingering,
    offers: Vec<Option<Offer>>,
    upstreams: HashMap<UpstreamId, Upstream>,
    moves: Vec<Move>,
    relayouts: VecDeque<(usize, u64, Layout)>,
    /// Connections whose route is to be asked for again.
    rerouting: VecDeque<(usize, u64)>,
    io: Io,
    effects: Vec<Effect>,
    /// Who left since the last census; `None` before the first, until which nothing is counted by connection.
    gone: Option<Gone>,
    buffer: Box<[u8]>,
    /// When this turn began: the one clock of all that is done in it.
    now: Instant,
    ticks: u32,
    /// Nothing is read any more: the proxy shuts down.
    stopped: bool,
}

impl Hall {
    fn new(
        index: u16,
        settings: Vec<Arc<ListenerSettings>>,
        to_router: mpsc::Sender<ToRouter>,
        book: Arc<WorkerBook>,
        registry: Registry,
    ) -> Self {
        Self {
            index,
            offers: vec![None; settings.len()],
            settings,
            to_router,
            book,
            lingering: Lingering::default(),
            registry,
            slots: Slab::new(),
            generation: 0,
            order: Vec::new(),
            ended: Vec::new(),
            unread: Vec::new(),
            upstreams: HashMap::new(),
            moves: Vec::new(),
            relayouts: VecDeque::new(),
            rerouting: VecDeque::new(),
            io: Io::default(),
            effects: Vec::new(),
            gone: None,
            buffer: vec![0; READ_BUFFER].into(),
            now: Instant::now(),
            ticks: 0,
            stopped: false,
        }
    }

    /// How long it may sleep if it should wake by then.
    fn patience(&self, until: Instant) -> Duration {
        if self.unread.is_empty() { until.saturating_duration_since(Instant::now()) } else { Duration::ZERO }
    }

    /// Takes a connection in, if there is room.
    fn take(&mut self, gate: &Arc<Gate>, settings: &Arc<ListenerSettings>, mut stream: TcpStream, peer: SocketAddr) {
        let address = peer.ip().to_canonical();
        let admission = match gate.admit(address) {
            Ok(admission) => admission,
            Err(refusal) => {
                self.book.refuse(refusal);
                debug!(%peer, limit = refusal.label(), "connection refused: the limit is reached");
                return;
            }
        };
        let entry = self.slots.vacant_entry();
        let index = entry.key();
        let prepared = prepare(&stream, settings.limits.unacked_timeout);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let taken = prepared.and_then(|()| self.registry.register(&mut stream, Place::Miner(index).token(), interest));
        if let Err(error) = taken {
            debug!(%peer, %error, "connection went while it was accepted");
            return;
        }
        self.generation = self.generation.wrapping_add(1);
        let key = u64::from(self.generation) << 32 | index as u64;
        self.order.push((index, key));
        entry.insert(Slot {
            key,
            session: Session::new(settings.clone(), self.offers[settings.index], self.now),
            stream,
            peer: address,
            lines: Lines::new(settings.limits.line_bytes),
            stalled: Vec::new(),
            outbox: Outbox::default(),
            berth: None,
            is_readable: false,
            is_unread: false,
            has_hung_up: false,
            ends: None,
            tally: Tally::default(),
            rest: Rest::default(),
            _admission: admission,
        });
        self.book.opened.add(1);
        self.book.connections.set(self.slots.len() as u64);
    }

    /// This connection is over when the turn is. The first reason counts.
    fn end(&mut self, index: usize, end: End) {
        let slot = &mut self.slots[index];
        if slot.ends.is_none() {
            slot.ends = Some(end);
            self.ended.push((index, slot.key));
        }
    }

    fn remove_ended(&mut self) {
        while let Some((index, key)) = self.ended.pop() {
            if self.slots.get(index).is_some_and(|slot| slot.key == key) {
                self.remove(index);
            }
        }
    }

    fn remove(&mut self, index: usize) {
        let mut slot = self.slots.remove(index);
        match slot.ends {
            Some(End::Closed(reason)) => {
                self.book.close(reason);
                let (user, firmware) = (slot.session.user().map(|user| &**user), slot.session.firmware().name);
                debug!(peer = %slot.peer, user, firmware, "disconnected: {reason}");
            }
            Some(End::Left) | None => self.book.left.add(1),
        }
        if let Some(gone) = &mut self.gone {
            gone.add(slot.last_report(self.index));
        }
        self.remember(&slot.session);
        slot.session.park(self.now);
        self.book.connections.set(self.slots.len() as u64);
        if matches!(slot.ends, Some(End::Closed(_))) {
            self.lingering.take(self.now, slot.stream, &self.registry);
        }
    }

    /// The slot of a connection that may have gone since it was asked about.
    fn find(&self, key: u64) -> Option<usize> {
        let index = (key & u64::from(u32::MAX)) as usize;
        self.slots.get(index).filter(|slot| slot.key == key && slot.ends.is_none()).map(|_| index)
    }

    /// Does what a session wants done, then sends what it wants said.
    fn settle(&mut self, index: usize) {
        let mut effects = std::mem::replace(&mut self.io.effects, std::mem::take(&mut self.effects));
        let is_counted = self.gone.is_some();
        let mut judged = 0;
        for effect in effects.drain(..) {
            match effect {
                Effect::Judged { verdict, place } => {
                    judged += 1;
                    if is_counted {
                        self.slots[index].tally.judge(self.now, &verdict, place);
                    }
                    match verdict {
                        Ok(share) => self.book.credit(share),
                        Err(reject) => self.book.reject(reject),
                    }
                }
                Effect::Submit { share, user, ticket } => {
                    let connection = self.slots[index].key;
                    let origin = Origin { worker: self.index, connection, ticket, is_counted };
                    let is_forwarded = self.submit(Outgoing { share, user, origin });
                    self.slots[index].tally.forward(is_counted && is_forwarded);
                }
                Effect::WantOffer => {
                    // The router says it to all as soon as it is known.
                }
                Effect::WantLease { resume } => {
                    let connection = self.connection(index);
                    let listener = self.slots[index].session.listener();
                    self.ask(index, ToRouter::Lease { connection, listener, resume });
                }
                Effect::WantRoute { user } => self.want_route(index, user),
                Effect::Retargeted => self.remember(&self.slots[index].session),
                Effect::Close(reason) => self.end(index, End::Closed(reason)),
            }
        }
        self.effects = effects;
        self.flush(index);
        if judged > 0 {
            self.book.reply.record(self.now.elapsed(), judged);
        }
    }

    fn connection(&self, index: usize) -> ConnectionId {
        ConnectionId { worker: self.index, key: self.slots[index].key }
    }

    fn want_route(&mut self, index: usize, user: Option<Arc<str>>) {
        let slot = &self.slots[index];
        let Some(lease) = slot.session.lease() else { return };
        let message = ToRouter::Attach {
            connection: self.connection(index),
            session: lease.session,
            listener: slot.session.listener(),
            peer: slot.peer,
            user,
            rolls: slot.session.rolls(),
        };
        self.ask(index, message);
    }

    fn ask(&mut self, index: usize, message: ToRouter) {
        if self.to_router.try_send(message).is_err() {
            self.end(index, End::Closed(CloseReason::Overload));
        }
    }

    fn remember(&self, session: &Session) {
        if let (Some(user), Some(difficulty)) = (session.user(), session.difficulty()) {
            // Losing one costs that miner a few retargets after a restart.
            let _ = self.to_router.try_send(ToRouter::Remember { user: user.clone(), difficulty });
        }
    }

    /// Hands a share to its pool connection; whether that took it.
    fn submit(&mut self, outgoing: Outgoing) -> bool {
        let is_valid = outgoing.share.is_valid();
        let id = outgoing.share.upstream();
        let sent = self.upstreams.get(&id).map(|upstream| upstream.shares.try_send(outgoing).is_ok());
        match sent {
            Some(true) => self.book.forwarded.add(1),
            // Its miner was told that it is stale, and nobody can credit it any more.
            None if !is_valid => {}
            Some(false) | None => {
                self.book.unforwarded.add(1);
                let so_far = self.book.unforwarded.get();
                // Said at 1, 2, 4, 8 …: a pool that can't keep up must not flood the log as well.
                if so_far.is_power_of_two() {
                    warn!("{so_far} shares not forwarded so far: pool connection {id} is gone or takes no more");
                }
            }
        }
        sent == Some(true)
    }

    fn close_all(&mut self, reason: CloseReason) {
        let all: Vec<usize> = self.slots.iter().map(|(index, _)| index).collect();
        for index in all {
            self.end(index, End::Closed(reason));
        }
        self.remove_ended();
    }
}
