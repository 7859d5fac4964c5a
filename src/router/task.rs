//! The router's loop: what workers ask, what pools say, and who is told.
//!
//! Everything a worker hears comes from here, through one queue, in order: a connection is announced before its first job, a
//! job before the miners that move to it. Shares do not pass here on their way up; their settlements do.
//!
//! Limits: the queues of `message.rs`; pool connections: one for each pool and lane ([`MAX_LANES`](crate::router::MAX_LANES)).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::random;
use tokio::{
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::{
    config::{Config, Places},
    downstream::{Leased, Parked, Postbox},
    metrics::Books,
    router::{
        Berth, ConnectionId, Errand, ExtranonceLease, LaneId, Layout, LeaseBook, MIN_POOL_EXTRANONCE2, Offer,
        PoolTerms, Released, SessionId, Switchboard, TappedJob, ToRouter, ToWorker,
        connection::{Complaints, Connection, settled_difficulty},
        offers::{Known, Wish, offer},
        switchboard::{Line, RoutePlan, Switch},
        tally::SettledTally,
    },
    state::{State, write_atomically},
    stratum::PoolError,
    upstream::{self, Event, Facts, Outgoing, Settlement, UpstreamIds, failover::Reason},
    work::{Job, JobIds, UpstreamId, WorkSeries},
};

mod connections;
mod errands;
mod reload;
mod settlement;
mod standing;

pub use reload::Reconfigure;

/// Events of pool connections that may wait; a settlement each for what all pools answer in a few milliseconds.
const EVENT_QUEUE: usize = 4096;

/// How often time alone is looked at: fail-back, leases that expire.
const TICK: Duration = Duration::from_millis(500);

/// How often the state file is written, if something changed.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// A connection whose miners were moved away still takes their late shares for so long.
const LATE_SHARES: Duration = Duration::from_secs(60);

/// The order to end.
#[derive(Debug)]
pub struct Shutdown {
    /// How long shares in flight may take to settle.
    pub grace: Duration,
    /// Answered when everything has ended: shares that were not settled.
    pub done: oneshot::Sender<u64>,
}

/// Owns leases, pool connections, and the decision who mines where.
pub struct Router {
    places: Places,
    workers: Vec<Postbox>,
    books: Arc<Books>,
    leases: LeaseBook<Parked>,
    back: mpsc::UnboundedSender<Released<Parked>>,
    /// The berth of every live lease that has one.
    berths: HashMap<SessionId, (Berth, LaneId)>,
    board: Switchboard,
    offers: Vec<Option<Offer>>,
    /// Berths whose miners were told to change their layout.
    relaid: BTreeSet<Berth>,
    connections: BTreeMap<usize, Connection>,
    next_connection: usize,
    events: mpsc::Sender<(usize, Event)>,
    job_ids: Arc<JobIds>,
    upstream_ids: Arc<UpstreamIds>,
    stop: CancellationToken,
    state: State,
    state_file: Option<PathBuf>,
    state_changed: bool,
    last_saved: Instant,
    started: Instant,
    complaints: Vec<Complaints>,
    tally: SettledTally,
    /// Who wants to see jobs.
    tap: Option<mpsc::Sender<TappedJob>>,
    /// What is to be told to workers, in order; sent when the present input is handled.
    outbox: Vec<(u16, ToWorker)>,
}

/// What workers and pools send to the router.
pub struct Inbox {
    from_workers: mpsc::Receiver<ToRouter>,
    released: mpsc::UnboundedReceiver<Released<Parked>>,
    events: mpsc::Receiver<(usize, Event)>,
    shutdown: mpsc::Receiver<Shutdown>,
    /// Closed if nobody has any.
    errands: mpsc::Receiver<Errand>,
    /// Closed if nobody makes any.
    changes: mpsc::Receiver<Reconfigure>,
}

impl Router {
    /// Reads the state file; connects to nothing yet. `config` names real addresses only: simulated pools run already.
    pub fn new(
        config: Arc<Config>,
        workers: Vec<Postbox>,
        from_workers: mpsc::Receiver<ToRouter>,
        shutdown: mpsc::Receiver<Shutdown>,
        books: Arc<Books>,
    ) -> (Self, Inbox) {
        let now = Instant::now();
        let (back, released) = mpsc::unbounded_channel();
        let (events, events_in) = mpsc::channel(EVENT_QUEUE);
        let state_file = config.proxy.state_file.clone();
        let mut state = match state_file.as_deref().map(State::load) {
            None => State::default(),
            Some(Ok(state)) => state,
            Some(Err(error)) => {
                let path = state_file.as_deref().unwrap_or("".as_ref()).display();
                warn!("state file {path} can't be read: {error}; starting without what it remembers");
                State::default()
            }
        };
        state.epoch = state.epoch.wrapping_add(1);
        let places = Places::first(config.clone());
        let mut board = Switchboard::new(reload::plans(&places), config.pools.len(), now);
        for (index, pool) in config.pools.iter().enumerate() {
            let remembered = state.pools.get(&*pool.name);
            board.set_maskless(index, remembered.is_some_and(|terms| terms.version_mask == 0));
        }
        let router = Self {
            workers,
            books,
            leases: LeaseBook::new(reload::miners_per_lane(&places)),
            back,
            berths: HashMap::new(),
            board,
            offers: vec![None; config.listeners.len()],
            relaid: BTreeSet::new(),
            connections: BTreeMap::new(),
            next_connection: 0,
            events,
            job_ids: Arc::new(JobIds::starting_at(random())),
            upstream_ids: Arc::new(UpstreamIds::default()),
            stop: CancellationToken::new(),
            state,
            state_file,
            state_changed: true,
            last_saved: now,
            started: now,
            complaints: config.pools.iter().map(|_| Complaints::default()).collect(),
            // Those that are there, and as many that left since the last census.
            tally: SettledTally::new(config.limits.connections.saturating_mul(2)),
            tap: None,
            outbox: Vec::new(),
            places,
        };
        let (errands, changes) = (mpsc::channel(1).1, mpsc::channel(1).1);
        (router, Inbox { from_workers, released, events: events_in, shutdown, errands, changes })
    }

    /// Lets somebody see every job of every pool.
    pub fn tap_jobs(&mut self, tap: mpsc::Sender<TappedJob>) {
        self.tap = Some(tap);
    }

    /// Runs until it is told to shut down.
    pub async fn run(mut self, mut inbox: Inbox) {
        self.open_routed();
        self.settle_offers();
        self.deliver().await;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = loop {
            // Pools first: a new block goes before anything that miners ask.
            tokio::select! {
                biased;
                shutdown = inbox.shutdown.recv() => break shutdown,
                Some((key, event)) = inbox.events.recv() => self.handle_event(Instant::now(), key, event),
                Some(errand) = inbox.errands.recv() => self.handle_errand(errand),
                Some(change) = inbox.changes.recv() => self.reconfigure(Instant::now(), change),
                Some(released) = inbox.released.recv() => self.handle_released(Instant::now(), released),
                Some(message) = inbox.from_workers.recv() => self.handle_worker(message),
                _ = tick.tick() => self.handle_tick(Instant::now()),
            }
            self.deliver().await;
        };
        let grace = shutdown.as_ref().map_or(Duration::ZERO, |shutdown| shutdown.grace);
        let unsettled = self.shut_down(&mut inbox, grace).await;
        if let Some(shutdown) = shutdown {
            let _ = shutdown.done.send(unsettled);
        }
    }

    /// Lets the shares in flight settle, then ends everything. Returns how many did not.
    async fn shut_down(&mut self, inbox: &mut Inbox, grace: Duration) -> u64 {
        self.broadcast(|| ToWorker::StopAccepting);
        self.deliver().await;
        inbox.refuse_errands();
        inbox.changes.close();
        let deadline = tokio::time::Instant::now() + grace;
        let mut tick = interval(Duration::from_millis(20));
        // Workers need a moment to see the order; what they forward is counted when it is.
        tick.tick().await;
        loop {
            tokio::select! {
                () = sleep_until(deadline) => break,
                Some((key, event)) = inbox.events.recv() => self.handle_event(Instant::now(), key, event),
                Some(_) = inbox.released.recv() => {}
                Some(message) = inbox.from_workers.recv() => {
                    if let ToRouter::Remember { user, difficulty } = message {
                        self.state.workers.set(user, difficulty);
                    }
                }
                _ = tick.tick() => if self.books.totals().unsettled() == 0 { break },
            }
            self.deliver().await;
        }
        self.broadcast(|| ToWorker::Stop);
        self.deliver().await;
        self.stop.cancel();
        if let Some(saved) = self.save() {
            let _ = saved.await;
        }
        self.books.totals().unsettled()
    }

    fn broadcast(&mut self, mut message: impl FnMut() -> ToWorker) {
        for worker in 0..self.workers.len() {
            self.outbox.push((worker as u16, message()));
        }
    }

    fn tell(&mut self, worker: u16, message: ToWorker) {
        self.outbox.push((worker, message));
    }

    async fn deliver(&mut self) {
        for (worker, message) in self.outbox.drain(..) {
            self.workers[usize::from(worker)].send(message).await;
        }
        self.workers.iter_mut().for_each(Postbox::ring);
    }

    // ---- what workers ask

    fn handle_worker(&mut self, message: ToRouter) {
        match message {
            ToRouter::Lease { connection, listener, resume } => self.lease(connection, listener, resume),
            ToRouter::Attach { connection, session, listener, peer, user, rolls } => {
                let route = self.places.route_of(listener, peer, user.as_deref().unwrap_or(""));
                self.attach(connection, session, route, user.as_deref(), rolls);
            }
            ToRouter::Reroute { connection, session, listener, peer, user, rolls } => {
                let route = self.places.route_of(listener, peer, user.as_deref().unwrap_or(""));
                self.reroute(connection, session, route, rolls);
            }
            ToRouter::Remember { user, difficulty } => {
                self.state.workers.set(user, difficulty);
                self.state_changed = true;
            }
        }
    }

    fn lease(&mut self, connection: ConnectionId, listener: usize, resume: Option<SessionId>) {
        let Some(Offer { layout, .. }) = self.offers[listener] else { return };
        let lease = match self.leases.grant(layout, resume, SessionId::new(self.state.epoch, random())) {
            Ok(grant) => {
                let lease = ExtranonceLease::new(grant.terms, self.back.clone());
                Ok(Box::new(Leased { lease, resumed: grant.resumed }))
            }
            Err(exhausted) => {
                self.books.router().exhausted += 1;
                warn!("a miner was refused: {exhausted}; raise the pools' extranonce2 size or use more listeners");
                Err(exhausted.to_string())
            }
        };
        self.tell(connection.worker, ToWorker::Leased { key: connection.key, lease });
    }

    fn attach(&mut self, connection: ConnectionId, session: SessionId, route: usize, user: Option<&str>, rolls: bool) {
        let Some(terms) = self.leases.terms(session).copied() else { return };
        let berth = Berth { route, lane: terms.lane, rolls };
        if let Some((old, _)) = self.berths.insert(session, (berth, terms.lane)) {
            self.board.leave(old);
        }
        self.board.join(berth);
        self.serve(Instant::now());
        let remembered = user.and_then(|user| self.state.workers.get(user));
        let upstream = self.board.bound(berth).map(|line| line.upstream);
        self.tell(connection.worker, ToWorker::Attached { key: connection.key, berth, remembered, upstream });
    }

    fn handle_released(&mut self, now: Instant, released: Released<Parked>) {
        if let Some((berth, _)) = self.berths.remove(&released.session) {
            self.board.leave(berth);
        }
        self.leases.release(now, released);
    }

    // ---- what pools say

    fn handle_event(&mut self, now: Instant, key: usize, event: Event) {
        if !self.connections.contains_key(&key) {
            return;
        }
        match event {
            Event::Certificate { ends } => {
                let pool = self.connections[&key].pool;
                self.books.router().pools[pool].certificate_ends = Some(ends);
            }
            Event::Ready(facts) => self.ready(now, key, facts),
            Event::Resumed(upstream) => {
                self.broadcast(|| ToWorker::Resumed(upstream));
                self.has_work(now, key);
            }
            Event::Job(job) => self.job(now, key, job),
            Event::Lost { id, reason, retry_in } => {
                self.note_loss(key, reason, retry_in);
                self.lost(now, key, id);
            }
            Event::Settled { outgoing, settlement } => self.settle(now, key, &outgoing, settlement),
            Event::Message(text) => info!("pool {:?} says: {text}", self.pool_name(key)),
        }
    }

    fn pool_name(&self, key: usize) -> Arc<str> {
        self.places.config.pools[self.connections[&key].pool].name.clone()
    }

    fn ready(&mut self, now: Instant, key: usize, facts: Arc<Facts>) {
        let connection = self.connections.get_mut(&key).expect("checked by the caller");
        let pool = connection.pool;
        if connection.facts.as_ref().is_none_or(|old| old.id != facts.id) {
            // Another extranonce1: nothing of what was hashed before can be hashed for this one.
            connection.cleaned = Some(now);
            connection.job = None;
            connection.series = None;
            connection.live = false;
            if let Some(old) = connection.announced.take() {
                self.broadcast(|| ToWorker::Lost { upstream: old, may_resume: false });
            }
        }
        if let Some(outdated) = self.connections.get_mut(&key).filter(|connection| connection.is_outdated) {
            // What holds for the pool is what those with its present settings say.
            outdated.facts = Some(facts);
            return;
        }
        let name = &self.places.config.pools[pool].name;
        let terms = PoolTerms { extranonce2_size: facts.extranonce2_size, version_mask: facts.version_mask };
        if self.state.pools.get(&**name) != Some(&terms) {
            if terms.extranonce2_size < MIN_POOL_EXTRANONCE2 {
                error!("pool {name:?} leaves no room for a miner: nobody is sent there");
            }
            if terms.version_mask == 0 {
                warn!("pool {name:?} grants no version rolling: miners that roll versions are not sent there");
            }
            self.state.pools.insert(name.to_string(), terms);
            self.state_changed = true;
        }
        // Where it grants some, its jobs decide: a pool that ORs bits in may leave none to roll.
        if terms.version_mask == 0 {
            self.board.set_maskless(pool, true);
        }
        self.connections.get_mut(&key).expect("checked by the caller").facts = Some(facts);
        self.settle_offers();
    }

    fn job(&mut self, now: Instant, key: usize, job: Arc<Job>) {
        let connection = self.connections.get_mut(&key).expect("checked by the caller");
        let pool = connection.pool;
        if job.notify.clean {
            connection.cleaned = Some(now);
        }
        self.books.router().pools[pool].difficulty = Some(job.pool_difficulty);
        let rolling_changed = !connection.is_outdated && self.board.set_maskless(pool, job.version_mask == 0);
        if let (Some(tap), Some(facts)) = (&self.tap, &connection.facts) {
            // Full: whoever looks at jobs there will see the next one.
            let _ = tap.try_send(TappedJob { pool, job: job.clone(), extranonce2_size: facts.extranonce2_size });
        }
        connection.job = Some((job, now));
        self.make_work(key);
        if rolling_changed {
            self.serve(now);
        }
        self.has_work(now, key);
    }

    /// A connection is logged in and has work.
    fn has_work(&mut self, now: Instant, key: usize) {
        let connection = self.connections.get_mut(&key).expect("checked by the caller");
        let pool = connection.pool;
        if connection.job.is_some() && !std::mem::replace(&mut connection.live, true) {
            self.count_connections(pool);
            self.board.pool_up(pool, now);
            self.serve(now);
            let is_before = |other: &Connection| other.pool == pool && other.is_outdated;
            if self.connections[&key].is_present() && self.connections.values().any(is_before) {
                info!("pool {:?} is logged in to with its new settings: miners move there", self.pool_name(key));
            }
        }
    }

    /// Makes the work of a connection's newest job and tells the workers.
    fn make_work(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(&key) else { return };
        let (Some((_, layout)), Some(facts), Some((job, came))) =
            (connection.lane, &connection.facts, connection.job.clone())
        else {
            return;
        };
        if connection.is_closing {
            return;
        }
        let Some(salt) = facts.extranonce2_size.checked_sub(layout.space()) else { return };
        let ids = self.job_ids.clone();
        let series = Arc::new(WorkSeries::new(job, ids, layout.split(salt)));
        connection.series = Some(series.clone());
        let upstream = facts.id;
        if connection.announced != Some(upstream) {
            connection.announced = Some(upstream);
            let shares = connection.handle.shares();
            self.broadcast(|| ToWorker::Up { upstream, shares: shares.clone() });
        }
        self.broadcast(|| ToWorker::Job { series: series.clone(), came });
    }

    fn lost(&mut self, now: Instant, key: usize, id: Option<UpstreamId>) {
        let connection = self.connections.get_mut(&key).expect("checked by the caller");
        let pool = connection.pool;
        // That it is lost, why, and what comes next was said by its task.
        if !std::mem::replace(&mut connection.live, false) {
            return;
        }
        self.books.router().pools[pool].losses += 1;
        if let Some(upstream) = id {
            self.broadcast(|| ToWorker::Lost { upstream, may_resume: true });
        }
        if !self.connections.values().any(|other| other.pool == pool && other.live) {
            self.board.pool_down(pool, now);
        }
        self.count_connections(pool);
        self.serve(now);
        for (index, route) in self.places.config.routes.iter().enumerate() {
            let is_dead = route.pools.contains(&pool) && !route.pools.iter().any(|pool| self.board.is_up(*pool));
            let miners = self.board.miners_of(index);
            if is_dead && miners > 0 {
                let name = &route.name;
                warn!(
                    "route {name:?}: no pool is left; {miners} miners stay connected, their shares are answered \"No pool\""
                );
            }
        }
    }

    // ---- who mines where

    /// Shares a second that one worker may add to a pool when miners move to it.
    fn pace(&self, pool: usize) -> f64 {
        f64::from(self.places.config.pools[pool].admit_shares_per_second) / self.workers.len() as f64
    }

    /// Opens what is needed, chooses pools, moves berths.
    fn serve(&mut self, now: Instant) {
        for switch in self.board.choose_pools(now) {
            self.report(&switch);
        }
        for berth in self.board.berths().collect::<Vec<_>>() {
            if let Some(pool) = self.board.wanted(berth) {
                self.provide(berth, pool);
            }
        }
        let connections = &self.connections;
        let binds = self.board.plan(|berth, pool| {
            let present = connections.values().find(|c| c.serves(berth, pool)).and_then(Connection::line);
            // Where the one with the pool's present settings has no work yet, the one before goes on.
            let before = || connections.values().rev().filter(|c| c.carries(berth, pool)).find_map(Connection::line);
            present.or_else(before)
        });
        for bind in binds {
            let pace = bind.line.filter(|_| !bind.first).map(|line| self.pace(line.pool));
            if let (Some(line), Some(_)) = (bind.line, pace) {
                self.suggest(bind.berth, line);
            }
            let upstream = bind.line.map(|line| line.upstream);
            debug!(?bind, "moving miners");
            self.broadcast(|| ToWorker::Bound { berth: bind.berth, upstream, pace });
        }
    }

    fn report(&self, switch: &Switch) {
        let Switch { route, from, to, reason } = *switch;
        let name = |pool: usize| &self.places.config.pools[pool].name;
        let route_name = &self.places.config.routes[route].name;
        let miners = self.board.miners_of(route);
        let mut books = self.books.router();
        books.active[route] = Some(to);
        match (reason, from) {
            (Reason::Failover, Some(from)) => {
                books.failovers[route] += 1;
                warn!("route {route_name:?}: {miners} miners fail over from pool {:?} to {:?}", name(from), name(to));
            }
            (Reason::FailBack, Some(from)) => {
                books.fail_backs[route] += 1;
                info!("route {route_name:?}: {miners} miners go back from pool {:?} to {:?}", name(from), name(to));
            }
            (Reason::Removed, Some(from)) => info!(
                "route {route_name:?}: {miners} miners go from pool {:?}, which it has no more, to {:?}",
                name(from),
                name(to)
            ),
            _ => info!("route {route_name:?}: mining for pool {:?}", name(to)),
        }
    }

    /// Says what listeners offer, as soon as it can be known, or when it has to be.
    fn settle_offers(&mut self) {
        for listener in self.places.listeners.clone() {
            let settings = &self.places.config.listeners[listener];
            let routes = self.places.routes().filter(|(_, route)| route.serves(listener));
            let mut pools: Vec<usize> = routes.flat_map(|(_, route)| route.pools.iter().copied()).collect();
            pools.sort_unstable();
            pools.dedup();
            let known: Vec<Known> = pools
                .iter()
                .map(|pool| {
                    let pool = &self.places.config.pools[*pool];
                    Known { terms: self.state.pools.get(&*pool.name).copied(), declared: pool.extranonce2_size }
                })
                .collect();
            let wish = Wish { extranonce2_size: settings.extranonce2_size, version_mask: settings.version_mask };
            let waited = self.started.elapsed() >= settings.layout_wait;
            let Some(offer) = offer(wish, &known, self.offers[listener], waited) else { continue };
            if self.offers[listener] != Some(offer) {
                let unseen = match known.iter().filter(|pool| pool.terms.is_none()).count() {
                    0 => String::new(),
                    unseen => format!(" ({unseen} pools not seen yet)"),
                };
                let remark = offer.layout.remark().map(|remark| format!("; {remark}")).unwrap_or_default();
                info!("listener {:?} offers {offer}{unseen}{remark}", settings.name);
                self.offers[listener] = Some(offer);
                self.broadcast(|| ToWorker::Offer { listener, offer });
            }
        }
    }

    // ---- time

    fn handle_tick(&mut self, now: Instant) {
        self.settle_offers();
        let connections = &self.connections;
        self.leases.expire(now, |lane| {
            let of_lane = connections.values().filter(|connection| connection.lane.is_some_and(|(id, _)| id == lane));
            of_lane.filter_map(|connection| connection.cleaned).min()
        });
        while let Some((from, into)) = self.leases.mergeable() {
            self.merge(now, from, into);
        }
        self.close_unused(now);
        let berths: BTreeSet<Berth> = self.board.berths().collect();
        self.relaid.retain(|berth| berths.contains(berth));
        self.serve(now);
        let (live, parked) = self.leases.counts();
        {
            let mut books = self.books.router();
            books.leases_live = live;
            books.leases_parked = parked;
        }
        self.show_lanes();
        if self.state_changed && now >= self.last_saved + SAVE_EVERY {
            self.save();
        }
    }

    fn merge(&mut self, now: Instant, from: LaneId, into: LaneId) {
        info!("miners of lane {} join lane {}: their pool connections are half empty", from.0, into.0);
        if self.leases.live_in(from) > 0 {
            for connection in self.connections.values_mut().filter(|c| c.lane.is_some_and(|(lane, _)| lane == from)) {
                connection.retires = Some(now + LATE_SHARES);
            }
        }
        self.leases.merge(from, into);
        self.board.merge(from, into);
        for (berth, lane) in self.berths.values_mut() {
            if *lane == from {
                *lane = into;
                berth.lane = into;
            }
        }
        self.broadcast(|| ToWorker::Merged { from, into });
    }

    /// Writes the state file; on a thread of its own, because disks are slow and jobs are not.
    fn save(&mut self) -> Option<tokio::task::JoinHandle<()>> {
        self.last_saved = Instant::now();
        self.state_changed = false;
        let path = self.state_file.clone()?;
        let snapshot = self.state.snapshot();
        Some(tokio::task::spawn_blocking(move || {
            if let Err(error) = write_atomically(&path, &snapshot.to_bytes()) {
                warn!(
                    "state file {} can't be written: {error}; it is tried again when something changes",
                    path.display()
                );
            }
        }))
    }
}
