//! A whole proxy: worker threads, router, pools, metrics, started together and ended in order.
//!
//! | where | what |
//! |---|---|
//! | one thread per worker | listening sockets (`SO_REUSEPORT`), miners |
//! | the runtime that [`Proxy::start`] is called on | router, pool connections; signals and the decision, admin API, metrics; calls to machines and AI compute |
//! | a thread of its own, where something can be moved | the power side |
//!
//! While it runs, a reload (`reload.rs`) makes it follow another config; of that, `moving.rs` has the power side begin anew.
//!
//! End: nothing more is read from miners → shares in flight settle, or the grace time ends → miners and pools close, then the power
//! side, which leaves machines and leases as they are, then signals, admin API and metrics.

mod moving;
mod reload;
mod simulated;
mod sockets;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    select,
    sync::{mpsc, oneshot, watch},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

pub use self::reload::FollowLog;
use self::{
    moving::Moving,
    reload::Reloader,
    simulated::Simulated,
    sockets::{bind_all, listen},
};
use crate::{
    api::{Api, Health, Subject},
    census::{Counts, PERIOD, Placing, Table, Workers},
    config::{Config, Places},
    downstream::{Gate, ListenerSettings, Worker, mailbox},
    hash::{KERNEL_VARIABLE, Kernel, KernelError},
    metrics::{Books, Exporter, ProfitMetrics, Totals},
    power::{
        Power, PowerSide, Side,
        actuator::Drivers,
        control::Orphans,
        task::{self as power_task, Estate, PowerError},
    },
    profit::task::{self, JOB_QUEUE, Signals},
    reload::{Reload, Status},
    router::{Errands, ROUTER_QUEUE, Router, Shutdown, WORKER_QUEUE},
    store::{self, Store, StoreError, feed},
};

/// How long one of the tasks that no share depends on may take to end.
const END_BESIDE: Duration = Duration::from_secs(2);

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listening address can't be had.
    #[error("{what} can't listen on {address}: {source}")]
    Listen {
        /// `listener "farm"`, `metrics` or `admin API`.
        what: String,
        /// From the config.
        address: SocketAddr,
        /// The system's word.
        source: io::Error,
    },
    /// The kernel that was asked for.
    #[error("{KERNEL_VARIABLE}: {source}")]
    Kernel {
        /// What is wrong with it.
        source: KernelError,
    },
    /// What moves machines and tells AI compute.
    #[error("{0}")]
    Power(#[from] PowerError),
    /// Where counts and events are kept.
    #[error("[store]: {0}")]
    Store(#[from] StoreError),
    /// Threads, runtimes or a simulated pool.
    #[error("can't start {what}: {source}")]
    System {
        /// What was started.
        what: &'static str,
        /// The system's word.
        source: io::Error,
    },
}

/// A thread that a proxy can't do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// A worker's: its miners are gone, and new ones may find nobody at home.
    Worker,
    /// That of the power side: nobody wakes who sleeps, and no lease is renewed.
    Power,
}

/// What fills the store, and what writes it.
struct Storing {
    feeding: tokio::task::JoinHandle<()>,
    running: store::Running,
}

/// A running proxy.
pub struct Proxy {
    config: Arc<Config>,
    addresses: Vec<SocketAddr>,
    metrics_address: Option<SocketAddr>,
    admin_address: Option<SocketAddr>,
    signals: Signals,
    errands: Errands,
    workers: Option<Workers>,
    store: Option<Store>,
    storing: Option<Storing>,
    power: PowerSide,
    books: Arc<Books>,
    shutdown: mpsc::Sender<Shutdown>,
    threads: Vec<JoinHandle<()>>,
    /// What tells whether it is well.
    health: Health,
    /// Ends what is not on a share's way: signals, the admin API, metrics.
    stop: CancellationToken,
    beside: Vec<tokio::task::JoinHandle<()>>,
    reload: Reload,
    log: Arc<OnceLock<FollowLog>>,
    /// Has the simulated pools, which end last, and the power side's thread.
    reloading: tokio::task::JoinHandle<(Simulated, Moving)>,
}

impl Proxy {
    /// Starts everything the config says, on the runtime it is called on (a multi-threaded one) and on threads of its own.
    /// It starts without pools as well: miners wait until one is there.
    ///
    /// # Errors
    /// [`StartError`] if an address is taken, the system has no threads, or the power ledger can't be had.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_with(config, &Drivers::default()).await
    }

    /// As [`Proxy::start`], with drivers that the calling program brings along: what the config names `custom:…`.
    ///
    /// # Errors
    /// As [`Proxy::start`]; also if the config names a driver that is not among them.
    pub async fn start_with(mut config: Config, drivers: &Drivers) -> Result<Self, StartError> {
        let started = Timestamp::now();
        let system = |what| move |source| StartError::System { what, source };
        let kernel = Kernel::chosen().map_err(|source| StartError::Kernel { source: source.clone() })?;
        info!("shares are hashed by kernel {}: {} ({})", kernel.name(), kernel.reason(), kernel.table());
        if let Some(failure) = kernel.failure() {
            error!("a better kernel failed its self-test, this CPU or its hypervisor is broken: {failure}");
        }
        // Whether there is a ledger is known before anything runs that would have to be ended.
        let prepared = power_task::prepare(&config, drivers)?;
        let orphans = if prepared.is_none() { orphans(&config) } else { Orphans::default() };
        let file = config.clone();
        let mut simulated = Simulated::default();
        let pools = simulated.resolve(&mut config).await.map_err(system("a simulated pool"))?;
        simulated.keep(Instant::now(), &file.pools, pools);
        let workers = config.proxy.workers.get();
        let books = Arc::new(Books::new(workers, config.pools.len(), config.routes.len()));
        let (listeners, addresses) = bind_all(&config.listeners, workers)?;
        let metrics = listen("metrics", config.metrics.as_ref().map(|metrics| metrics.listen)).await?;
        let admin = listen("admin API", config.admin.as_ref().map(|admin| admin.listen)).await?;

        let config = Arc::new(config);
        let settings = ListenerSettings::all(&config);
        let places = Places::first(config.clone());
        let (reload, asks, publish) = Reload::new(Status::at_start(places.clone(), addresses.clone()));
        let gate = Gate::new(config.limits.connections, config.limits.connections_per_address);
        let (to_router, from_workers) = mpsc::channel(ROUTER_QUEUE);
        let mut to_workers = Vec::new();
        let mut workers_to_be = Vec::new();
        for (index, sockets) in listeners.into_iter().enumerate() {
            let (postbox, mailbox) = mailbox(WORKER_QUEUE).map_err(system("a worker's poll"))?;
            to_workers.push(postbox);
            workers_to_be.push(Worker {
                index: index as u16,
                accepts_per_second: f64::from(config.limits.accepts_per_second) / workers as f64,
                listeners: sockets.into_iter().zip(settings.iter().cloned()).collect(),
                to_router: to_router.clone(),
                mailbox,
                gate: gate.clone(),
                book: books.worker(index),
            });
        }
        let (worker_ended, power_ended) = (CancellationToken::new(), CancellationToken::new());
        let (shutdown, shutdowns) = mpsc::channel(1);
        let (mut router, mut inbox) = Router::new(config.clone(), to_workers, from_workers, shutdowns, books.clone());
        let (errands, to_do) = Errands::new(workers);
        inbox.take_errands(to_do);
        // One after the other: the reloader waits until one is in force.
        let (to_router, changes) = mpsc::channel(1);
        inbox.take_changes(changes);
        let health = Health {
            begun: CancellationToken::new(),
            ending: CancellationToken::new(),
            worker_ended: worker_ended.clone(),
            power_ended: power_ended.clone(),
            errands: errands.clone(),
        };
        let mut counts = Counts::new(errands.clone());
        let stop = CancellationToken::new();
        // What runs already ends if a later step fails.
        let guard = stop.clone().drop_guard();
        let mut beside = Vec::new();
        // Whoever wants to know of jobs may come with another config.
        let (tap, jobs) = mpsc::channel(JOB_QUEUE);
        router.tap_jobs(tap);
        let (signals, running) = task::start(config.clone(), Some(jobs), stop.clone());
        beside.push(running);
        let (publish_side, side) = watch::channel(Side { power: None, orphans });
        let power = PowerSide::new(side);
        let mut moving = Moving {
            drivers: drivers.clone(),
            signals: signals.clone(),
            errands: errands.clone(),
            door: counts.door(),
            books: books.clone(),
            stop: stop.clone(),
            lost: power_ended.clone(),
            publish: publish_side,
            running: None,
            estate: Estate::default(),
        };
        if let Some(prepared) = prepared {
            moving.start(&config, prepared).await?;
        }
        let admin_address = admin.as_ref().map(|(_, address)| *address);
        // Nobody is counted by name where nobody could look.
        let live = (admin.is_some() || config.store.is_some()).then(|| {
            let live = Workers::new(Table::new(Placing::new(&config)));
            let subscription = counts.subscribe("the table of workers", Some(PERIOD));
            let asker = subscription.asker();
            beside.push(tokio::spawn(live.clone().run(subscription)));
            (live, asker)
        });
        let (live, asker) = live.unzip();
        let (mut store, mut storing) = (None, None);
        if let (Some(of), Some(workers)) = (&config.store, &live) {
            let of = Arc::new(of.clone());
            let opening = of.clone();
            let opened = tokio::task::spawn_blocking(move || store::start(&opening)).await;
            let (queue, running) = opened.map_err(|error| system("the store")(io::Error::other(error)))??;
            store = Some(Store::new(&of, queue.clone()));
            let sources = feed::Sources {
                reload: reload.clone(),
                workers: workers.clone(),
                books: books.clone(),
                signals: Some(signals.clone()),
                power: power.clone(),
            };
            let feeding = tokio::spawn(feed::run(sources, queue, stop.clone()));
            storing = Some(Storing { feeding, running });
        }
        let mut api = None;
        if let (Some((socket, address)), Some(admin), Some(live), Some(census)) = (admin, &config.admin, &live, asker) {
            info!("admin API on http://{address}/api/v1");
            let subject = Subject {
                started,
                signals: signals.clone(),
                power: power.clone(),
                books: books.clone(),
                workers: live.clone(),
                census,
                store: store.clone(),
                health: health.clone(),
                reload: reload.clone(),
            };
            let serving = api.insert(Api::new(admin, subject)).clone();
            let stop = stop.clone();
            beside.push(tokio::spawn(async move { serving.serve(socket, stop).await }));
        }
        let metrics_address = metrics.as_ref().map(|(_, address)| *address);
        if let Some((socket, address)) = metrics {
            let profit = ProfitMetrics { signals: Some(signals.clone()), api: api.clone() };
            let exporter = Exporter::new(books.clone(), reload.clone(), profit, power.clone());
            let exporter = exporter.with_store(store.clone());
            info!("metrics on http://{address}/metrics");
            let stop = stop.clone().cancelled_owned();
            beside.push(tokio::spawn(async move {
                if let Err(error) = exporter.serve(socket, stop).await {
                    error!("metrics ended: {error}");
                }
            }));
        }
        // Miners come last: no step after this fails but threads that there are none of, and a worker whose router is gone ends.
        let mut threads = Vec::new();
        for (index, worker) in workers_to_be.into_iter().enumerate() {
            let ended = worker_ended.clone();
            threads.push(spawn_worker(index, ended, || worker.run()).map_err(system("a worker thread"))?);
        }
        tokio::spawn(router.run(inbox));
        beside.push(tokio::spawn(counts.run(stop.clone())));
        let log = Arc::new(OnceLock::new());
        let (addresses_now, log_now) = (addresses.clone(), log.clone());
        let reloader = Reloader {
            file,
            places,
            addresses: addresses_now,
            to_router,
            gate,
            signals: signals.clone(),
            moving,
            workers: live.clone(),
            api,
            simulated,
            log: log_now,
            publish,
        };
        let reloading = tokio::spawn(reloader.run(asks, stop.clone()));
        guard.disarm();
        health.begun.cancel();
        for (listener, address) in config.listeners.iter().zip(&addresses) {
            info!("listener {:?}: miners connect to stratum+tcp://{address}", listener.name);
        }
        Ok(Self {
            config,
            addresses,
            metrics_address,
            admin_address,
            signals,
            errands,
            workers: live,
            store,
            storing,
            power,
            books,
            shutdown,
            threads,
            health,
            stop,
            beside,
            reload,
            log,
            reloading,
        })
    }

    /// What it was started with; simulated pools are filled in. What is in force now is in [`Reload::status`].
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The way to another config.
    pub fn reload(&self) -> &Reload {
        &self.reload
    }

    /// What follows the log's filter when a reload changes it; once.
    pub fn follow_log(&self, follow: impl Fn(&str) + Send + Sync + 'static) {
        let _ = self.log.set(Box::new(follow));
    }

    /// Where miners connected at the start, by listener in config order.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where Prometheus scrapes.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_address
    }

    /// Where the admin API is.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Signals and the decision; `None` if the config in force has neither signals, groups nor an admin API.
    pub fn signals(&self) -> Option<&Signals> {
        let config = self.signals.config();
        let is_used = !config.signals.is_empty() || config.profit.is_some() || config.admin.is_some();
        is_used.then_some(&self.signals)
    }

    /// The way to the router for a census of the miners, and for word of those that sleep.
    pub fn errands(&self) -> &Errands {
        &self.errands
    }

    /// Every worker by name, as it is now; `None` if the config has neither an admin API nor a store.
    pub fn workers(&self) -> Option<&Workers> {
        self.workers.as_ref()
    }

    /// What is kept of all that; `None` if the config has no store.
    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// What moves machines and tells AI compute; `None` if the config in force names no actuator and no AI compute's control.
    pub fn power(&self) -> Option<Power> {
        self.power.power()
    }

    /// Everything counted until now.
    pub fn totals(&self) -> Totals {
        self.books.totals()
    }

    /// The books, which outlive the proxy.
    pub fn books(&self) -> Arc<Books> {
        self.books.clone()
    }

    /// Returns when a thread has ended although nobody has told it to: the process should end, to be started anew.
    pub async fn lost(&self) -> Lost {
        select! {
            () = self.health.worker_ended.cancelled() => Lost::Worker,
            () = self.health.power_ended.cancelled() => Lost::Power,
        }
    }

    /// Ends it: no more shares are read, those in flight have `grace` to settle, then all closes. Returns how many shares were
    /// not settled.
    pub async fn shut_down(self, grace: Duration) -> u64 {
        self.health.ending.cancel();
        let (done, unsettled) = oneshot::channel();
        let unsettled = match self.shutdown.send(Shutdown { grace, done }).await {
            Ok(()) => unsettled.await.unwrap_or(0),
            Err(_) => 0,
        };
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().all(|thread| thread.join().is_ok())).await;
        if !matches!(joined, Ok(true)) {
            error!("a worker thread ended by a panic");
        }
        self.stop.cancel();
        let mut simulated = None;
        if let Ok((pools, moving)) = self.reloading.await {
            simulated = Some(pools);
            moving.end().await;
        }
        // Charts tell the store their last minute when the API ends.
        for task in self.beside {
            // A scrape that hangs is not waited for.
            let _ = tokio::time::timeout(END_BESIDE, task).await;
        }
        if let Some(Storing { feeding, running }) = self.storing {
            // The last minute is counted, then it is written.
            let _ = tokio::time::timeout(END_BESIDE, feeding).await;
            if !matches!(tokio::task::spawn_blocking(move || running.join()).await, Ok(true)) {
                error!("the store's thread ended by a panic");
            }
        }
        if let Some(simulated) = simulated {
            simulated.shut_down().await;
        }
        unsettled
    }
}

/// What a ledger knows that nothing can move any more. Shares go on without it.
fn orphans(config: &Config) -> Orphans {
    let orphans = power_task::orphans(config).unwrap_or_else(|error| {
        error!("{error}: whether machines sleep that nothing can wake any more is not known");
        Orphans::default()
    });
    for words in orphans.words() {
        error!("{words}");
    }
    orphans
}

/// A thread of its own. `ended` is told when it ends, by a panic as well.
fn spawn_worker(
    index: usize,
    ended: CancellationToken,
    run: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let _told = ended.drop_guard();
        if let Err(error) = run() {
            error!("worker {index} ended: {error}");
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_ends_in_any_way_is_noticed() {
        let ways: [fn() -> io::Result<()>; 2] = [|| Err(io::Error::other("no poll")), || panic!("a bug")];
        for (index, way) in ways.into_iter().enumerate() {
            let ended = CancellationToken::new();
            let thread = spawn_worker(index, ended.clone(), way).unwrap();
            ended.cancelled().await;
            drop(thread);
        }
    }
}
