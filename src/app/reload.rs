//! Makes a running proxy follow another config, without disconnecting anybody.
//!
//! ```text
//! file ─► Config ─► diff ─► prepare: places, sockets, simulated pools, drivers ──── fails: all of it is dropped, the old config stays
//!                                    └─► commit: power side (moving.rs) ── fails: the old one has begun again, the old config stays
//!                                                └─► router ─► workers · gate · signals · power side · tokens · log     (nothing here can fail)
//! ```
//! What needs a restart is left as it was, told, and told again with every reload until it is restarted or taken back.

use std::{
    net::SocketAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Instant,
};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, oneshot, watch as channel},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    moving::Moving,
    simulated::{Simulated, Started},
    sockets::bind_one,
};
use crate::{
    api::Api,
    census::{Placing, Workers},
    config::{Change, Config, Effect, Loaded, Places, diff, followed, power_begins_anew},
    downstream::{Gate, ListenerChange, ListenerSettings},
    limits,
    power::task::Equipment,
    profit::task::Signals,
    reload::{
        Ask, Attempt, Outcome, Refused, Status, Why,
        watch::{LOOK_EVERY, Watch},
    },
    router::Reconfigure,
};

/// What follows the log's filter; the program that runs the proxy has the log.
pub type FollowLog = Box<dyn Fn(&str) + Send + Sync>;

/// What a config reaches.
pub(super) struct Reloader {
    /// The config in force, as its file has it.
    pub file: Config,
    pub places: Places,
    pub addresses: Vec<SocketAddr>,
    pub to_router: mpsc::Sender<Reconfigure>,
    pub gate: Arc<Gate>,
    pub signals: Signals,
    pub moving: Moving,
    /// The table of workers, where there is one.
    pub workers: Option<Workers>,
    pub api: Option<Arc<Api>>,
    pub simulated: Simulated,
    pub log: Arc<OnceLock<FollowLog>>,
    pub publish: channel::Sender<Arc<Status>>,
}

/// A config of which nothing can fail any more.
struct Prepared {
    followed: Config,
    places: Places,
    addresses: Vec<SocketAddr>,
    listeners: Vec<ListenerChange>,
    started: Started,
    /// If the power side has to begin anew: its drivers, or none where there is nothing more to move.
    power: Option<Option<Equipment>>,
}

impl Reloader {
    /// Takes orders and looks at files until `stop`; gives back what has to be ended.
    pub async fn run(mut self, mut asks: mpsc::Receiver<Ask>, stop: CancellationToken) -> (Simulated, Moving) {
        let mut path: Option<PathBuf> = None;
        let mut watch: Option<Watch> = None;
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return (self.simulated, self.moving),
                Some(ask) = asks.recv() => match ask {
                    Ask::File { why, dry_run, answer } => {
                        let result = match &path {
                            None => Err(Refused::NoFile),
                            Some(path) => self.read(path, &mut watch, why, dry_run).await,
                        };
                        let _ = answer.send(result);
                    }
                    Ask::Config { config, dry_run, answer } => {
                        let result = self.take(*config, Vec::new(), dry_run).await;
                        self.note(Why::Program, &result, dry_run);
                        let _ = answer.send(result);
                    }
                    Ask::Keep { path: kept } => {
                        self.publish.send_modify(|status| Arc::make_mut(status).path = Some(kept.clone()));
                        let from = kept.clone();
                        let loaded = look(move || load(&from, Vec::new())).await;
                        let is_other = matches!(&loaded, Some((Ok((config, _)), _)) if *config != self.file);
                        watch = loaded.map(|(_, files)| files);
                        if is_other {
                            // It was changed while the proxy started.
                            let _ = self.read(&kept, &mut watch, Why::FileChanged, false).await;
                        }
                        path = Some(kept);
                    }
                },
                _ = tick.tick() => {
                    self.simulated.tidy(Instant::now());
                    let Some(mut files) = watch.take_if(|_| self.file.proxy.watch) else { continue };
                    let looked = look(move || (files.look(), files)).await;
                    let Some((has_changed, files)) = looked else { continue };
                    watch = Some(files);
                    if let (true, Some(path)) = (has_changed, &path) {
                        // Told in the log; nobody waits for it.
                        let _ = self.read(path, &mut watch, Why::FileChanged, false).await;
                    }
                }
            }
        }
    }

    /// Reads the file, and takes it.
    async fn read(
        &mut self,
        path: &Path,
        watch: &mut Option<Watch>,
        why: Why,
        dry_run: bool,
    ) -> Result<Outcome, Refused> {
        let (from, known) = (path.to_owned(), watch.as_ref().map_or(Vec::new(), |watch| watch.files().to_vec()));
        let Some((loaded, files)) = look(move || load(&from, known)).await else { return Err(Refused::Ended) };
        let result = match loaded {
            Err(error) => Err(Refused::Invalid(error.to_string())),
            Ok((config, warnings)) => {
                self.take(config, warnings.iter().map(ToString::to_string).collect(), dry_run).await
            }
        };
        // What a dry run has seen, nobody has followed.
        if !dry_run {
            *watch = Some(files);
        }
        self.note(why, &result, dry_run);
        result
    }

    /// Follows a config, or says what that would change.
    async fn take(&mut self, new: Config, warnings: Vec<String>, dry_run: bool) -> Result<Outcome, Refused> {
        let changes = diff(&self.file, &new);
        let is_followed = changes.iter().any(|change| change.effect != Effect::Restart);
        let prepared = if is_followed { Some(self.prepare(followed(&self.file, &new)).await?) } else { None };
        if let (Some(prepared), false) = (prepared, dry_run) {
            self.commit(prepared).await?;
        }
        Ok(Outcome { changes, warnings })
    }

    /// Gets all that can fail. If anything does, what was got is dropped.
    async fn prepare(&mut self, followed: Config) -> Result<Prepared, Refused> {
        let not_had = |error: &dyn std::fmt::Display| Refused::NotHad(error.to_string());
        let mut resolved = followed.clone();
        let started = self.simulated.resolve(&mut resolved).await;
        let started = started.map_err(|error| not_had(&format_args!("can't start a simulated pool: {error}")))?;
        let places = self.places.next(&resolved).map_err(|error| not_had(&error))?;
        let workers = self.file.proxy.workers.get();
        let (old, new) = (&self.places, &places);
        let own: Vec<SocketAddr> = old.listeners.iter().map(|place| self.addresses[*place]).collect();
        let mut addresses = self.addresses.clone();
        let mut opened: Vec<Vec<(usize, OwnedFd)>> = (0..workers).map(|_| Vec::new()).collect();
        for place in &new.listeners {
            let listener = &new.config.listeners[*place];
            let is_open = old.listeners.contains(place) && old.config.listeners[*place].listen == listener.listen;
            if is_open {
                continue;
            }
            let (sockets, address) = bind_one(listener, workers, &own).map_err(|error| not_had(&error))?;
            for (all, socket) in opened.iter_mut().zip(sockets) {
                all.push((*place, socket.into()));
            }
            addresses.resize(addresses.len().max(place + 1), address);
            addresses[*place] = address;
        }
        let closed: Vec<usize> = old.listeners.iter().copied().filter(|place| !new.listeners.contains(place)).collect();
        let settings = ListenerSettings::all(&new.config);
        let accepts_per_second = f64::from(new.config.limits.accepts_per_second) / workers as f64;
        let change =
            |opened| ListenerChange { settings: settings.clone(), opened, closed: closed.clone(), accepts_per_second };
        let listeners = opened.into_iter().map(change).collect();
        let power = match power_begins_anew(&self.file, &followed) {
            true => Some(self.moving.prepare(&self.places.config, &places.config).await?),
            false => None,
        };
        Ok(Prepared { followed, places, addresses, listeners, started, power })
    }

    /// Puts it in force.
    async fn commit(&mut self, prepared: Prepared) -> Result<(), Refused> {
        let Prepared { followed, places, addresses, listeners, started, power } = prepared;
        // First, as it may be refused yet.
        let next = match power {
            Some(equipment) => Some(self.moving.change(&self.places.config, &places.config, equipment).await?),
            None => None,
        };
        let (done, is_done) = oneshot::channel();
        let change = Reconfigure { places: places.clone(), listeners, done };
        // Without a router the proxy is ending, and the rest is of no use.
        self.to_router.send(change).await.map_err(|_| Refused::Ended)?;
        is_done.await.map_err(|_| Refused::Ended)?;
        let limits = &followed.limits;
        self.gate.set_limits(limits.connections, limits.connections_per_address);
        if limits.connections > self.file.limits.connections
            && let Some(warning) = limits::open_files_warning(limits::raise_open_files(), limits.connections)
        {
            warn!("{warning}");
        }
        let is_other_money = (&self.file.signals, &self.file.profit, &self.file.power)
            != (&followed.signals, &followed.profit, &followed.power);
        if is_other_money {
            self.signals.follow(places.config.clone()).await;
            if let Some(workers) = self.workers.clone() {
                let placing = Placing::new(&places.config);
                // Of a large farm some tens of milliseconds.
                let _ = tokio::task::spawn_blocking(move || workers.write(|table| table.follow(placing))).await;
            }
        }
        if let Some(next) = next {
            self.moving.begin(next);
        }
        if let (Some(api), Some(admin)) = (&self.api, &followed.admin) {
            api.set_tokens(admin);
        }
        if let Some(follow) = self.log.get().filter(|_| self.file.log.filter != followed.log.filter) {
            follow(&followed.log.filter);
        }
        self.simulated.keep(Instant::now(), &followed.pools, started);
        for place in &places.listeners {
            if self.addresses.get(*place) != Some(&addresses[*place]) {
                let name = &places.config.listeners[*place].name;
                info!("listener {name:?}: miners connect to stratum+tcp://{}", addresses[*place]);
            }
        }
        (self.file, self.places, self.addresses) = (followed, places, addresses);
        Ok(())
    }

    /// Tells what came of it, and lets everybody see.
    fn note(&self, why: Why, result: &Result<Outcome, Refused>, dry_run: bool) {
        if dry_run {
            return;
        }
        // What the log says can be seen.
        let now = Timestamp::now();
        self.publish.send_modify(|status| {
            let status = Arc::make_mut(status);
            match result {
                Err(_) => status.refused += 1,
                Ok(outcome) => {
                    *(if outcome.followed().next().is_some() { &mut status.applied } else { &mut status.unchanged }) +=
                        1;
                    status.right_at = now;
                    status.pending = outcome.pending().cloned().collect::<Vec<Change>>();
                }
            }
            status.places = self.places.clone();
            status.addresses = self.addresses.clone();
            status.last = Some(Attempt { at: now, why, result: result.clone() });
        });
        match result {
            Err(refused) => error!("reload ({why}): refused, the config before stays: {refused}"),
            Ok(outcome) => {
                for warning in &outcome.warnings {
                    warn!("reload: {warning}");
                }
                let (followed, pending) = (outcome.followed().count(), outcome.pending().count());
                info!("reload ({why}): {followed} changes followed, {pending} wait for a restart");
                outcome.followed().for_each(|change| info!("reload: {change}"));
                outcome.pending().for_each(|change| warn!("reload: {change}"));
            }
        }
    }
}

/// A config from its file, and how the files were that it rests on. Those that are `known` are looked at before they are read, so that what
/// is written meanwhile is seen the next time.
fn load(path: &Path, known: Vec<PathBuf>) -> (Loaded, Watch) {
    let before = Watch::new(known);
    let (loaded, files) = Config::load_noting(path);
    let watch = if before.files() == files { before } else { Watch::new(files) };
    (loaded, watch)
}

/// Reads disks on a thread for that. `None` only if it panicked.
async fn look<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(read).await.ok()
}
