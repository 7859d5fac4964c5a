//! A simulated site: ASICs that hash, draw watts, sleep, wake and lie, an API to tell them, and one true meter.
//!
//! It knows the way to one Stratum server and nothing of what is behind it. Whoever puts its machines to sleep does so by HTTP, like a driver
//! of real firmware.
//!
//! ```text
//!            POST /asics/{name}/sleep          each STEP                        sleep, wake, power off
//!  driver ───────────────────────────► Model ───────────────► changes ──► Swarm ──────────────► machines ── stratum ──► proxy
//!            GET /meter, /report         ▲  └── draw, record
//!                                     AI draw
//! ```
//! | file | what |
//! |---|---|
//! | `settings` | what a site is made of |
//! | `lie`, `asic` | one machine: states, watts, what its firmware says |
//! | `model` | all of them in virtual time, the meter, the record |
//! | `control` | the API |
//! | `report` | what it has to show |
//! | `command` | `hashgate sim site` |
//!
//! Limits: [`MAX_ASICS`]. A machine that is told something does so at the next step, a tenth of a second later at
//! most; what the site draws between two steps is what the last one found.

mod asic;
mod command;
mod control;
mod lie;
mod model;
mod report;
mod settings;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::http::Server;
use super::miner::{ASICS, MinerHandle, MinerSettings, MinerStats, Pace, Swarm};
use asic::Hashing;
use model::Model;

pub use asic::{Answer, Claim, Command, Mode};
pub use command::{SiteArgs, SiteRunError, run_and_report};
pub use lie::Lie;
pub use model::{Counts, Draw, Record};
pub use report::{GroupReport, Shares, SiteReport};
pub use settings::{AiDraw, HASHES_PER_TERAHASH, MAX_ASICS, MAX_NAME, SimGroup, SimSiteSettings, SiteError};

/// How long a step is.
const STEP: Duration = Duration::from_millis(100);
/// A hashrate is worked off in pieces so long: ten thousand machines would do little else than wake up otherwise.
const HASHING_QUANTUM: Duration = Duration::from_secs(1);

/// A running simulated site. Dropping it ends it at once.
///
/// ```
/// use hashgate::sim::site::{SimGroup, SimSite, SimSiteSettings};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let groups = vec![SimGroup::new("old", 10, 29.5, 3250.0)];
/// let site = SimSite::start(SimSiteSettings { groups, ..SimSiteSettings::default() }).await?;
/// println!("POST http://{}/asics/old.0001/sleep", site.addr());
/// assert_eq!(site.report().counts.mining, 10);
/// # std::io::Result::Ok(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
pub struct SimSite {
    shared: Arc<Shared>,
    server: Server,
    clock: JoinHandle<()>,
}

/// What the clock, the API and the handle have in common.
#[derive(Debug)]
struct Shared {
    settings: SimSiteSettings,
    began: Instant,
    model: Mutex<Model>,
    swarm: OnceLock<Swarm>,
}

impl Drop for SimSite {
    fn drop(&mut self) {
        self.clock.abort();
    }
}

impl SimSite {
    /// Starts a site whose machines draw their watts and have no server yet, on the current runtime.
    ///
    /// # Errors
    /// When the address can't be bound; `InvalidInput` with a [`SiteError`] when a setting makes no sense.
    pub async fn start(settings: SimSiteSettings) -> io::Result<Self> {
        settings.validate().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let shared = Arc::new(Shared {
            began: Instant::now(),
            model: Mutex::new(Model::new(&settings)),
            swarm: OnceLock::new(),
            settings,
        });
        let server = Server::start(shared.settings.listen, control::router(Arc::clone(&shared))).await?;
        let clock = tokio::spawn(run(Arc::clone(&shared)));
        Ok(Self { shared, server, clock })
    }

    /// Where the control API listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Gives all machines their server; they connect one after the other. Only the first call does so.
    pub fn connect(&self, server: SocketAddr) {
        let shared = &self.shared;
        // Held, so that no change of a machine is missed in between.
        let model = shared.model();
        shared.swarm.get_or_init(|| shared.machines(server, &model));
    }

    /// What the site has to show until now.
    #[must_use]
    pub fn report(&self) -> SiteReport {
        self.shared.report()
    }

    /// What it truly draws, by its parts, W at the site meter.
    #[must_use]
    pub fn draw(&self) -> Draw {
        self.shared.model().draw()
    }

    /// Machines that are connected and have a job.
    #[must_use]
    pub fn with_job(&self) -> usize {
        self.shared.swarm.get().map_or(0, Swarm::mining)
    }

    /// The machine with this name, once it was given a server.
    #[must_use]
    pub fn machine(&self, name: &str) -> Option<&MinerHandle> {
        let asic = self.shared.model().find(name)?;
        self.shared.swarm.get()?.miners().get(asic)
    }

    /// The sum of all machines' counters.
    #[must_use]
    pub fn totals(&self) -> MinerStats {
        self.shared.swarm.get().map(Swarm::totals).unwrap_or_default()
    }

    /// Tells a machine, as the API does; `None` if there is no such machine.
    #[must_use]
    pub fn command(&self, name: &str, command: Command) -> Option<Answer> {
        let (now, mut model) = (self.shared.now(), self.shared.model());
        let asic = model.find(name)?;
        Some(model.command(now, asic, command))
    }

    /// A blip of the supply, of one group or of the site: whatever sleeps boots, unasked. False if there is no such group.
    pub fn blip(&self, group: Option<&str>) -> bool {
        let (now, mut model) = (self.shared.now(), self.shared.model());
        model.blip(now, group)
    }

    /// All machines stop hashing, replies still owed are waited for up to `limit`; what the site has to show then.
    pub async fn stop(self, limit: Duration) -> SiteReport {
        self.clock.abort();
        if let Some(swarm) = self.shared.swarm.get() {
            swarm.settle(limit).await;
        }
        self.shared.report()
    }
}

impl Shared {
    /// The model stays usable when another thread panicked while it held it.
    fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn step(&self) {
        // Asked before the model is held: it is somebody else's code.
        let ai = self.settings.ai.as_ref().map_or(0.0, settings::AiDraw::watts);
        let swarm = self.swarm.get();
        self.model().step(self.now(), ai, |asic, hashing| {
            let Some(machine) = swarm.map(|swarm| &swarm.miners()[asic]) else {
                return;
            };
            match hashing {
                Hashing::Mining => machine.wake(),
                Hashing::Asleep => machine.sleep(),
                Hashing::Off => machine.power_off(),
            }
        });
    }

    fn machines(&self, server: SocketAddr, model: &Model) -> Swarm {
        let firmware: Vec<_> = Swarm::deal(ASICS).take(model.asics().len()).collect();
        let mut numbers = self.settings.groups.iter().flat_map(|group| (1..=group.count).map(move |n| (group, n)));
        let machines = model.asics().iter().zip(firmware).enumerate().filter_map(|(at, (asic, profile))| {
            let (group, number) = numbers.next()?;
            Some(MinerSettings {
                password: self.settings.password.clone(),
                suggested_difficulty: self.settings.difficulty,
                asleep: asic.told() != Hashing::Mining,
                asleep_socket: profile.asleep_socket,
                hashing_quantum: HASHING_QUANTUM,
                seed: self.settings.seed ^ (at as u64) << 20,
                ..MinerSettings::new(server, group.worker(number), profile, Pace::Hashrate(group.hashrate))
            })
        });
        let swarm = Swarm::of(machines, self.settings.connects_per_second);
        for (asic, machine) in model.asics().iter().zip(swarm.miners()) {
            if asic.told() == Hashing::Off {
                machine.power_off();
            }
        }
        swarm
    }

    fn report(&self) -> SiteReport {
        // Ten thousand machines' counters: not while the model is held.
        let shares = self.swarm.get().map(|swarm| Shares::from(&swarm.totals())).unwrap_or_default();
        let model = self.model();
        let groups = model
            .groups()
            .map(|(at, name)| GroupReport { name: name.to_owned(), counts: model.counts(Some(at)) })
            .collect();
        SiteReport {
            draw: model.draw(),
            watts: model.draw().total(),
            cap: self.settings.cap,
            record: model.record(),
            counts: model.counts(None),
            liars: model.liars(),
            groups,
            shares,
        }
    }
}

async fn run(shared: Arc<Shared>) {
    let mut ticks = interval(STEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        shared.step();
    }
}
