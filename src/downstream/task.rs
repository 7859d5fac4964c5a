//! One worker thread: its listening sockets, its connections, and the sweep that carries a job to all of them.
//!
//! A connection lives and dies on one worker; nothing here is shared with other threads but the books and the gate. Sessions and
//! sockets sit in one slab: a connection's task reads and writes its own, a message of the router sweeps over all.
//!
//! Limits: [`READ_BUFFER`] for all connections together; a connection has a buffer of its own only while it has sent
//! part of a line, or has not taken what it was sent (`limits.send_buffer_bytes`, then it is disconnected).

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use slab::Slab;
use socket2::SockRef;
use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream},
    sync::{Notify, mpsc},
    task::spawn_local,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::{
    downstream::{
        Attached, CloseReason, Effect, Fate, Io, ListenerSettings, Session,
        gate::{Admission, Gate},
        outbox::Outbox,
    },
    metrics::WorkerBook,
    router::{Berth, ConnectionId, LaneId, Layout, Offer, ToRouter, ToWorker},
    stratum::{Lines, RawId, Response},
    upstream::{Origin, Outgoing},
    work::{HASHES_PER_DIFFICULTY, Hashrate, UpstreamId, WorkSeries},
};

mod accept;
mod sweep;

use accept::{Pace, accept_all, prepare};

/// Bytes read at once; one buffer per worker.
const READ_BUFFER: usize = 64 * 1024;

/// Reads of one connection before the others get their turn.
const READS_PER_TURN: usize = 4;

/// The coarse clock of all sessions: their timers are due up to so much late.
const TICK: Duration = Duration::from_millis(250);

/// Ticks between two looks at what all miners hash.
const TICKS_PER_SURVEY: u32 = 4;

/// After the last line to a miner that we disconnect, what it still sends is read for so long, so that our close does not reset the
/// connection before the line is read.
const LINGER: Duration = Duration::from_secs(1);

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
    pub from_router: mpsc::Receiver<ToWorker>,
    /// Shared by all workers.
    pub gate: Arc<Gate>,
    /// This worker's.
    pub book: Arc<WorkerBook>,
}

impl Worker {
    /// Serves until the router says stop. Must run in a [`LocalSet`](tokio::task::LocalSet).
    ///
    /// # Errors
    /// A socket that the runtime can't take over.
    pub async fn run(self) -> io::Result<()> {
        let Self { index, accepts_per_second, listeners, to_router, mut from_router, gate, book } = self;
        let settings = listeners.iter().map(|(_, settings)| settings.clone()).collect();
        let stop_accepting = CancellationToken::new();
        let hall = Rc::new(RefCell::new(Hall::new(index, settings, to_router, book)));
        let pace = Rc::new(Pace::new(accepts_per_second));
        for (socket, settings) in listeners {
            let socket = TcpListener::from_std(socket)?;
            let (hall, gate, pace, stop) = (hall.clone(), gate.clone(), pace.clone(), stop_accepting.clone());
            spawn_local(async move {
                let name = settings.listener.name.clone();
                let take = |stream, peer| take(&hall, &gate, &settings, stream, peer);
                tokio::select! {
                    () = accept_all(&socket, &name, &pace, take) => {}
                    () = stop.cancelled() => {}
                }
            });
        }
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = from_router.recv() => match message {
                    Some(ToWorker::StopAccepting) => {
                        stop_accepting.cancel();
                        hall.borrow_mut().stop_reading();
                    }
                    Some(ToWorker::Stop) | None => break,
                    Some(message) => hall.borrow_mut().handle(message),
                },
                _ = tick.tick() => hall.borrow_mut().tick(Instant::now()),
            }
        }
        stop_accepting.cancel();
        hall.borrow_mut().close_all(CloseReason::Shutdown);
        Ok(())
    }
}

/// Takes a connection in, if there is room.
fn take(
    hall: &Rc<RefCell<Hall>>,
    gate: &Arc<Gate>,
    settings: &Arc<ListenerSettings>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let address = peer.ip().to_canonical();
    let admission = match gate.admit(address) {
        Ok(admission) => admission,
        Err(refusal) => {
            hall.borrow().book.refuse(refusal);
            debug!(%peer, limit = refusal.label(), "connection refused: the limit is reached");
            return;
        }
    };
    if let Err(error) = prepare(&stream, settings.limits.unacked_timeout) {
        debug!(%peer, %error, "connection went while it was accepted");
        return;
    }
    let (key, slot_index) = hall.borrow_mut().add(stream, address, settings, admission);
    spawn_local(serve(hall.clone(), key, slot_index));
}

/// Reads and writes one connection until it ends.
async fn serve(hall: Rc<RefCell<Hall>>, key: u64, index: usize) {
    let (stream, wake) = {
        let hall = hall.borrow();
        let slot = &hall.slots[index];
        (slot.stream.clone(), slot.wake.clone())
    };
    loop {
        let interest = match hall.borrow().interest(index) {
            Turn::Closing => break,
            Turn::Wait(interest) => interest,
        };
        let ready = async {
            match interest {
                Some(interest) => stream.ready(interest).await.map(Some),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wake.notified() => {}
            ready = ready => {
                let mut hall = hall.borrow_mut();
                match ready {
                    Ok(Some(ready)) => {
                        if ready.is_writable() {
                            hall.write_waiting(index);
                        }
                        if ready.is_readable() || ready.is_read_closed() {
                            hall.read(index);
                        }
                    }
                    _ => hall.slots[index].ends = Some(End::Left),
                }
            }
        }
    }
    let end = hall.borrow_mut().remove(key, index);
    if matches!(end, Some(End::Closed(_))) {
        let _ = timeout(LINGER, linger(&stream)).await;
    }
}

/// Sends our end of stream, then reads to the other's, so that the last line arrives.
async fn linger(stream: &TcpStream) {
    let _ = SockRef::from(stream).shutdown(std::net::Shutdown::Write);
    let mut sink = [0; 4096];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut sink) {
            Ok(0) => break,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
            _ => {}
        }
    }
}

enum Turn {
    Closing,
    Wait(Option<Interest>),
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
    stream: Rc<TcpStream>,
    peer: IpAddr,
    lines: Lines,
    /// What was read while a reply was held: less than one [`READ_BUFFER`].
    stalled: Vec<u8>,
    outbox: Outbox,
    berth: Option<Berth>,
    wake: Rc<Notify>,
    ends: Option<End>,
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
    slots: Slab<Slot>,
    generation: u32,
    offers: Vec<Option<Offer>>,
    upstreams: HashMap<UpstreamId, Upstream>,
    moves: Vec<Move>,
    relayouts: VecDeque<(usize, u64, Layout)>,
    io: Io,
    effects: Vec<Effect>,
    buffer: Box<[u8]>,
    ticks: u32,
    stopped: bool,
}

impl Hall {
    fn new(
        index: u16,
        settings: Vec<Arc<ListenerSettings>>,
        to_router: mpsc::Sender<ToRouter>,
        book: Arc<WorkerBook>,
    ) -> Self {
        Self {
            index,
            offers: vec![None; settings.len()],
            settings,
            to_router,
            book,
            slots: Slab::new(),
            generation: 0,
            upstreams: HashMap::new(),
            moves: Vec::new(),
            relayouts: VecDeque::new(),
            io: Io::default(),
            effects: Vec::new(),
            buffer: vec![0; READ_BUFFER].into(),
            ticks: 0,
            stopped: false,
        }
    }

    fn add(
        &mut self,
        stream: TcpStream,
        peer: IpAddr,
        settings: &Arc<ListenerSettings>,
        admission: Admission,
    ) -> (u64, usize) {
        let entry = self.slots.vacant_entry();
        let index = entry.key();
        self.generation = self.generation.wrapping_add(1);
        let key = u64::from(self.generation) << 32 | index as u64;
        entry.insert(Slot {
            key,
            session: Session::new(settings.clone(), self.offers[settings.index], Instant::now()),
            stream: Rc::new(stream),
            peer,
            lines: Lines::new(settings.limits.line_bytes),
            stalled: Vec::new(),
            outbox: Outbox::default(),
            berth: None,
            wake: Rc::new(Notify::new()),
            ends: None,
            _admission: admission,
        });
        self.book.opened.add(1);
        self.book.connections.set(self.slots.len() as u64);
        (key, index)
    }

    fn remove(&mut self, key: u64, index: usize) -> Option<End> {
        if self.slots.get(index)?.key != key {
            return None;
        }
        let slot = self.slots.remove(index);
        match slot.ends {
            Some(End::Closed(reason)) => {
                self.book.close(reason);
                let (user, firmware) = (slot.session.user().map(|user| &**user), slot.session.firmware().name);
                debug!(peer = %slot.peer, user, firmware, "disconnected: {reason}");
            }
            Some(End::Left) | None => self.book.left.add(1),
        }
        self.remember(&slot.session);
        slot.session.park(Instant::now());
        self.book.connections.set(self.slots.len() as u64);
        slot.ends
    }

    /// The slot of a connection that may have gone since it was asked about.
    fn find(&self, key: u64) -> Option<usize> {
        let index = (key & u64::from(u32::MAX)) as usize;
        self.slots.get(index).filter(|slot| slot.key == key && slot.ends.is_none()).map(|_| index)
    }

    fn interest(&self, index: usize) -> Turn {
        let slot = &self.slots[index];
        if slot.ends.is_some() {
            return Turn::Closing;
        }
        let reads = !self.stopped && !slot.session.is_waiting();
        Turn::Wait(match (reads, !slot.outbox.is_empty()) {
            (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
            (true, false) => Some(Interest::READABLE),
            (false, true) => Some(Interest::WRITABLE),
            (false, false) => None,
        })
    }

    /// Reads what is there, a few buffers at most.
    fn read(&mut self, index: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for _ in 0..READS_PER_TURN {
            let slot = &mut self.slots[index];
            if slot.ends.is_some() || slot.session.is_waiting() {
                break;
            }
            match slot.stream.try_read(&mut buffer) {
                Ok(0) => slot.ends = Some(End::Left),
                Ok(len) => {
                    self.feed(index, &buffer[..len]);
                    if len < buffer.len() {
                        // The socket is empty. Said so, it is not read once more to find that out (tokio's own `poll_read` does
                        // the same): one system call less for each share. What comes from now on makes it ready again.
                        let empty = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                        let _ = self.slots[index].stream.try_io(Interest::READABLE, empty);
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => slot.ends = Some(End::Left),
            }
        }
        self.buffer = buffer;
    }

    /// Handles the lines in what was read.
    fn feed(&mut self, index: usize, mut input: &[u8]) {
        let now = Instant::now();
        let slot = &mut self.slots[index];
        loop {
            if slot.session.is_waiting() {
                slot.stalled.extend_from_slice(input);
                break;
            }
            match slot.lines.next(&mut input) {
                Ok(Some(line)) => slot.session.take_line(now, line, &mut self.io),
                Ok(None) => break,
                Err(error) => {
                    Response(&mut self.io.out).error(RawId::from_text("null"), 20, error);
                    self.io.effects.push(Effect::Close(CloseReason::LineTooLong));
                }
            }
            if matches!(self.io.effects.last(), Some(Effect::Close(_))) {
                break;
            }
        }
        slot.session.judge_batch(now, &mut self.io);
        self.settle(index, now);
    }

    /// Does what a session wants done, then sends what it wants said.
    fn settle(&mut self, index: usize, since: Instant) {
        let mut effects = std::mem::replace(&mut self.io.effects, std::mem::take(&mut self.effects));
        let mut judged = 0;
        for effect in effects.drain(..) {
            match effect {
                Effect::Judged(verdict) => {
                    judged += 1;
                    match verdict {
                        Ok(share) => self.book.credit(share),
                        Err(reject) => self.book.reject(reject),
                    }
                }
                Effect::Submit { share, user, ticket } => {
                    let origin = Origin { worker: self.index, connection: self.slots[index].key, ticket };
                    self.submit(Outgoing { share, user, origin });
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
                Effect::Close(reason) => self.slots[index].ends = Some(End::Closed(reason)),
            }
        }
        self.effects = effects;
        self.flush(index);
        if judged > 0 {
            self.book.reply.record(since.elapsed(), judged);
        }
        let slot = &self.slots[index];
        if slot.ends.is_some() || !slot.outbox.is_empty() {
            slot.wake.notify_one();
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
            self.slots[index].ends = Some(End::Closed(CloseReason::Overload));
        }
    }

    fn remember(&self, session: &Session) {
        if let (Some(user), Some(difficulty)) = (session.user(), session.difficulty()) {
            // Losing one costs that miner a few retargets after a restart.
            let _ = self.to_router.try_send(ToRouter::Remember { user: user.clone(), difficulty });
        }
    }

    fn submit(&mut self, outgoing: Outgoing) {
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
    }

    /// Sends what is in `io.out`.
    fn flush(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let clean = std::mem::take(&mut self.io.clean);
        if self.io.out.is_empty() {
            return;
        }
        let mut sent = 0;
        if slot.outbox.is_empty() {
            while sent < self.io.out.len() {
                match slot.stream.try_write(&self.io.out[sent..]) {
                    Ok(len) => sent += len,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => {
                        slot.ends.get_or_insert(End::Left);
                        sent = self.io.out.len();
                    }
                }
            }
        }
        if sent < self.io.out.len() {
            slot.outbox.push(&self.io.out, sent, clean);
            if slot.outbox.len() > self.settings[slot.session.listener()].limits.send_buffer_bytes {
                slot.ends.get_or_insert(End::Closed(CloseReason::SlowReader));
            }
        }
        self.io.out.clear();
    }

    /// Sends what waited for the socket.
    fn write_waiting(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        while !slot.outbox.is_empty() {
            match slot.stream.try_write(slot.outbox.front()) {
                Ok(len) => slot.outbox.consume(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    slot.ends.get_or_insert(End::Left);
                    break;
                }
            }
        }
    }

    /// A held reply went out: the lines behind it have their turn.
    fn resume_reading(&mut self, index: usize, now: Instant) {
        self.settle(index, now);
        let stalled = std::mem::take(&mut self.slots[index].stalled);
        if !stalled.is_empty() && self.slots[index].ends.is_none() {
            self.feed(index, &stalled);
        }
        self.slots[index].wake.notify_one();
    }

    /// Nothing more is read: what was answered is all there will be.
    fn stop_reading(&mut self) {
        self.stopped = true;
        for (_, slot) in &self.slots {
            slot.wake.notify_one();
        }
    }

    fn close_all(&mut self, reason: CloseReason) {
        let all: Vec<(usize, u64)> = self.slots.iter().map(|(index, slot)| (index, slot.key)).collect();
        for (index, key) in all {
            self.slots[index].ends.get_or_insert(End::Closed(reason));
            self.remove(key, index);
        }
    }
}
