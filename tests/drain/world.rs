//! A proxy that moves machines and tells AI compute, between a simulated pool and simulated miners; the machines' firmware and the AI
//! side are doubles that the proxy reaches by its own traits.

use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use hashgate::{
    app::Proxy,
    config::{Config, ProcessEnv},
    power::{
        Power, Target,
        actuator::{Actuator, Call, Drawn, DriverError, Drivers},
        compute::Compute,
        control::PowerSnapshot,
        device::PowerMode,
        group::Phase,
        ledger::{Epoch, LeaseId, Reading},
        receipt::Receipt,
        site::{LeaseAnswer, LeaseMessage, LeaseOrder, Status},
    },
    profit::{
        Watts,
        signal::{Observation, When},
    },
    sim::{
        miner::{MinerHandle, MinerSettings, Pace, Swarm, SwarmSettings, profile},
        pool::{PoolSettings, SimPool},
    },
};
use jiff::Timestamp;

/// So easy that every fourth hash is a share.
pub const EASY: f64 = 1.0 / (1 << 30) as f64;

/// How long anything may take; reached only when a test fails. Two busy cores are slow.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Machines of the one group.
pub const MACHINES: usize = 8;

/// What one draws.
pub const AWAKE_W: f64 = 3_400.0;
pub const ASLEEP_W: f64 = 20.0;

/// Machines that their firmware tells and measures.
pub const FIRMWARE: &str = "sleep_time = \"5s\"\nwake_time = \"20s\"\n[group.actuator]\nkind = \"custom:firmware\"\n";

/// Machines that a person switches, behind one meter.
pub const BY_HAND: &str = "sleep_time = \"10m\"\nwake_time = \"10m\"\n[group.actuator]\nkind = \"manual\"\n\
                           [group.watts]\nkind = \"group\"\nsignal = \"hall-a-meter\"\n";

/// Machines that a person switches, and that nothing measures.
pub const UNMEASURED: &str =
    "sleep_time = \"10m\"\nwake_time = \"10m\"\nfault_retry = \"10s\"\n[group.actuator]\nkind = \"manual\"\n";

/// What the AI block draws without a lease.
pub const IDLE_W: f64 = 1_000.0;

/// The machines' firmware: it sends its miner to sleep and back, and says what that draws.
#[derive(Default)]
pub struct Firmware {
    swarm: Mutex<Option<Arc<Swarm>>>,
    /// The machine after all those of the swarm, which came later.
    newcomer: Mutex<Option<Arc<Swarm>>>,
    state: Mutex<BTreeMap<usize, Machine>>,
    /// Commands, in their order: which machine, and whether it is to sleep.
    commands: Mutex<Vec<(usize, bool)>>,
    /// Machines that were measured after they had told their mode.
    told_modes: Mutex<BTreeMap<usize, bool>>,
}

#[derive(Clone, Default)]
struct Machine {
    sleeps: bool,
    is_gone: bool,
    mode: Option<PowerMode>,
}

impl Firmware {
    pub fn runs(&self, swarm: Arc<Swarm>) {
        *lock(&self.swarm) = Some(swarm);
    }

    /// A machine by its number, from 0.
    fn with_miner(&self, index: usize, does: impl FnOnce(&MinerHandle)) {
        let (swarm, index) = if index < MACHINES { (&self.swarm, index) } else { (&self.newcomer, index - MACHINES) };
        let swarm = lock(swarm).clone().expect("it runs");
        does(&swarm.miners()[index]);
    }

    pub fn sleeping(&self) -> usize {
        lock(&self.state).values().filter(|machine| machine.sleeps).count()
    }

    /// A person switches some machines.
    pub fn is_switched(&self, machines: std::ops::Range<usize>, sleeps: bool) {
        for index in machines {
            lock(&self.state).entry(index).or_default().sleeps = sleeps;
            self.with_miner(index, |miner| if sleeps { miner.sleep() } else { miner.wake() });
        }
    }

    /// A machine is carried away, or is back.
    pub fn is_carried_away(&self, index: usize, is_gone: bool) {
        lock(&self.state).entry(index).or_default().is_gone = is_gone;
        self.with_miner(index, |miner| if is_gone { miner.power_off() } else { miner.wake() });
    }

    /// What all of them draw, as one meter says.
    pub fn drawn(&self) -> f64 {
        let asleep = self.sleeping();
        ASLEEP_W * asleep as f64 + AWAKE_W * (MACHINES - asleep) as f64
    }

    pub fn commands(&self) -> Vec<(usize, bool)> {
        lock(&self.commands).clone()
    }

    /// How many machines were measured after they had told their mode.
    pub fn told_modes(&self) -> usize {
        lock(&self.told_modes).values().filter(|is_measured| **is_measured).count()
    }

    /// The modes that those which are awake were woken in.
    pub fn woken_in(&self) -> Vec<Option<PowerMode>> {
        lock(&self.state).values().filter(|machine| !machine.sleeps).map(|machine| machine.mode.clone()).collect()
    }

    fn turn(&self, device: &Target, sleeps: bool, mode: Option<&PowerMode>) -> Result<(), DriverError> {
        let index = index(device)?;
        lock(&self.commands).push((index, sleeps));
        let mut state = lock(&self.state);
        let machine = state.entry(index).or_default();
        (machine.sleeps, machine.mode) = (sleeps, mode.cloned());
        self.with_miner(index, |miner| if sleeps { miner.sleep() } else { miner.wake() });
        Ok(())
    }
}

/// The number in `farm.0001`.
fn index(device: &Target) -> Result<usize, DriverError> {
    let worker = device.worker.as_deref().ok_or(DriverError::NoAddress)?;
    let number = worker.rsplit('.').next().and_then(|number| number.parse::<usize>().ok());
    number.and_then(|number| number.checked_sub(1)).ok_or(DriverError::NoAddress)
}

impl Actuator for Firmware {
    fn sleep<'a>(&'a self, device: &'a Target) -> Call<'a, ()> {
        Box::pin(async move { self.turn(device, true, None) })
    }

    fn wake<'a>(&'a self, device: &'a Target, mode: Option<&'a PowerMode>) -> Call<'a, ()> {
        Box::pin(async move { self.turn(device, false, mode) })
    }

    fn read<'a>(&'a self, device: &'a Target) -> Option<Call<'a, Drawn>> {
        Some(Box::pin(async move {
            let index = index(device)?;
            let machine = lock(&self.state).get(&index).cloned().unwrap_or_default();
            if machine.is_gone {
                return Err(DriverError::Unreachable("nobody is there".to_owned()));
            }
            let sleeps = machine.sleeps;
            let watts = Watts::new(if sleeps { ASLEEP_W } else { AWAKE_W }).expect("it is one");
            lock(&self.told_modes).entry(index).and_modify(|is_measured| *is_measured = true);
            // As firmware whose mode stands in another place.
            Ok(Drawn { watts, mode: None })
        }))
    }

    fn mode<'a>(&'a self, device: &'a Target) -> Option<Call<'a, Option<PowerMode>>> {
        Some(Box::pin(async move {
            let index = index(device)?;
            let sleeps = lock(&self.state).get(&index).is_some_and(|machine| machine.sleeps);
            lock(&self.told_modes).entry(index).or_default();
            Ok((!sleeps).then(|| PowerMode("low".into())))
        }))
    }
}

/// AI compute that draws what it was given, and gives back when it is asked.
#[derive(Default)]
pub struct Gpus(Mutex<Given>);

#[derive(Default)]
struct Given {
    epoch: u32,
    leases: BTreeMap<u64, f64>,
    /// Messages, in their order.
    told: Vec<LeaseMessage>,
}

impl Gpus {
    pub fn leased(&self) -> f64 {
        lock(&self.0).leases.values().sum()
    }

    pub fn told(&self) -> Vec<LeaseMessage> {
        lock(&self.0).told.clone()
    }
}

impl Compute for Gpus {
    fn tell(&self, message: LeaseMessage) -> Call<'_, LeaseAnswer> {
        Box::pin(async move {
            let mut given = lock(&self.0);
            given.told.push(message);
            let LeaseId(lease) = message.lease;
            Ok(match message.what {
                LeaseOrder::Grant { .. } if message.epoch.0 < given.epoch => LeaseAnswer::Refused,
                LeaseOrder::Grant { watts, .. } => {
                    given.epoch = message.epoch.0;
                    given.leases.insert(lease, watts.get());
                    LeaseAnswer::Taken
                }
                LeaseOrder::Revoke { .. } => {
                    let is_all = message.lease == LeaseId::EVERYTHING;
                    given.leases.retain(|held, _| !is_all && *held != lease);
                    LeaseAnswer::Released
                }
            })
        })
    }

    fn status(&self) -> Call<'_, Status> {
        let taken_at = Timestamp::now();
        Box::pin(async move {
            let given = lock(&self.0);
            let watts = Watts::new(IDLE_W.max(given.leases.values().sum())).expect("they are some");
            let drawn = Reading { watts, taken_at };
            Ok(Status { epoch: Epoch(given.epoch), drawn, state: "running".into() })
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panicked with it")
}

/// All of it.
pub struct World {
    pub pool: SimPool,
    pub proxy: Option<Proxy>,
    pub firmware: Arc<Firmware>,
    pub gpus: Arc<Gpus>,
    pub swarm: Arc<Swarm>,
    listen: std::net::SocketAddr,
    ledger: PathBuf,
    mode: &'static str,
    machines: &'static str,
    /// The group's name, and whose it takes for its machines.
    pub hall: (&'static str, &'static str),
    _folder: tempfile::TempDir,
}

/// The group as it is at first.
pub const HALL: (&str, &str) = ("hall-a", "farm.*");

impl World {
    /// With miners that mine.
    pub async fn start(mode: &'static str) -> Self {
        Self::start_with(mode, FIRMWARE).await
    }

    /// With machines that are moved and measured so.
    pub async fn start_with(mode: &'static str, machines: &'static str) -> Self {
        Self::start_edited(mode, machines, |text| text).await.0
    }

    /// With a config that is edited before; as it was then.
    pub async fn start_edited(
        mode: &'static str,
        machines: &'static str,
        edit: impl FnOnce(String) -> String,
    ) -> (Self, String) {
        let settings = PoolSettings { difficulty: EASY, record_shares: 100_000, ..PoolSettings::default() };
        let pool = SimPool::start(settings).await.expect("the pool starts");
        let folder = tempfile::tempdir().expect("a folder");
        let ledger = folder.path().join("ledger.db");
        let (firmware, gpus) = (Arc::<Firmware>::default(), Arc::<Gpus>::default());
        let any = "127.0.0.1:0".parse().expect("an address");
        let edited = edit(text(&pool, any, &ledger, mode, machines, HALL));
        let started = Proxy::start_with(parsed(&edited), &drivers(&firmware, &gpus)).await;
        let proxy = started.expect("the proxy starts");
        let listen = proxy.addresses()[0];
        let swarm = Arc::new(Swarm::start(&SwarmSettings {
            machine: machine(listen, "farm"),
            miners: MACHINES,
            mix: Vec::new(),
            connects_per_second: 500.0,
        }));
        firmware.runs(swarm.clone());
        let (proxy, hall) = (Some(proxy), HALL);
        let world = Self { pool, proxy, firmware, gpus, swarm, listen, ledger, mode, machines, hall, _folder: folder };
        eventually("all miners mine", || world.swarm.mining() == MACHINES).await;
        (world, edited)
    }

    /// One machine more comes, and mines.
    pub async fn another_connects(&self) {
        let user = format!("farm.{:04}", MACHINES + 1);
        let swarm = Arc::new(Swarm::of([machine(self.listen, &user)], 0.0));
        *lock(&self.firmware.newcomer) = Some(swarm.clone());
        eventually("it mines", || swarm.mining() == 1).await;
    }

    /// Ends the proxy and starts another on the same ledger, and on the same address.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.go_on().await;
    }

    pub async fn stop(&mut self) {
        let proxy = self.proxy.take().expect("it runs");
        proxy.shut_down(Duration::from_secs(5)).await;
    }

    pub async fn go_on(&mut self) {
        self.go_on_with(self.config()).await;
    }

    /// The same with another config.
    pub async fn go_on_with(&mut self, config: Config) {
        let started = Proxy::start_with(config, &drivers(&self.firmware, &self.gpus)).await;
        self.proxy = Some(started.expect("the proxy starts"));
    }

    /// Devices are found and measured.
    pub async fn is_known(&self) {
        self.shows("the devices are found and measured", |snapshot| {
            let group = snapshot.site.groups[0].as_ref().expect("it can be moved");
            group.devices == MACHINES && group.measured == MACHINES
        })
        .await;
    }

    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("it runs")
    }

    pub fn power(&self) -> Power {
        self.proxy().power().expect("something can be moved")
    }

    /// The files of the ledger go, its lock file stays.
    pub fn lose_ledger(&self) {
        for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
            let _ = std::fs::remove_file(self.ledger().with_file_name(name));
        }
    }

    /// As the proxy was started with.
    pub fn config(&self) -> Config {
        parsed(&self.text())
    }

    /// The same, as an operator writes it.
    pub fn text(&self) -> String {
        text(&self.pool, self.listen, &self.ledger, self.mode, self.machines, self.hall)
    }

    /// Where the ledger is, and room for more files.
    pub fn ledger(&self) -> &Path {
        &self.ledger
    }

    /// Whether mining pays.
    pub async fn says(&self, is_profitable: bool) {
        let feed = self.proxy().signals().expect("there are some").feed("verdict").expect("it is pushed");
        let value = f64::from(u8::from(is_profitable));
        feed.observe(vec![Observation { value, when: When::Now }]).await.expect("it is taken");
    }

    /// The meter of the hall is read again and again, as long as the proxy takes it.
    pub fn reads_meter(&self) {
        let feed = self.proxy().signals().expect("there are some").feed("hall-a-meter").expect("it is pushed");
        let firmware = self.firmware.clone();
        tokio::spawn(async move {
            loop {
                let when = When::At(Timestamp::now());
                let value = firmware.drawn();
                if feed.observe(vec![Observation { value, when }]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }

    /// Waits until the power side shows something.
    pub async fn shows(&self, what: &str, mut wanted: impl FnMut(&PowerSnapshot) -> bool) -> Arc<PowerSnapshot> {
        let seen = tokio::time::timeout(LIMIT, self.power().wait_for(|snapshot| wanted(snapshot))).await;
        match seen {
            Ok(snapshot) => snapshot.expect("the power side runs"),
            Err(_) => {
                let snapshot = self.power().snapshot();
                panic!("not within {LIMIT:?}: {what}\n{:#?}\n{:#?}", snapshot.site, snapshot.events)
            }
        }
    }

    pub async fn is_in(&self, phase: Phase) -> Arc<PowerSnapshot> {
        self.shows(phase.label(), |snapshot| of_group(snapshot) == phase).await
    }

    /// The last receipt.
    pub async fn receipt(&self) -> Receipt {
        let receipts = self.power().receipts(1).await.expect("the power side runs");
        receipts.into_iter().next().expect("there is one")
    }

    /// Every share that a miner was told is good is the pool's. The miners stop for it.
    pub async fn no_share_is_lost(&self) {
        let newcomer = lock(&self.firmware.newcomer).clone();
        let swarms = || [&self.swarm].into_iter().chain(&newcomer);
        for swarm in swarms() {
            swarm.settle(LIMIT).await;
        }
        eventually("every share is settled", || self.proxy().totals().unsettled() == 0).await;
        let credited: HashSet<String> = self.pool.accepted_shares().into_iter().map(|share| share.hash).collect();
        for miner in swarms().flat_map(|swarm| swarm.miners()) {
            miner.with_stats(|stats| {
                for hash in &stats.accepted_hashes {
                    let mut hash = *hash;
                    hash.reverse();
                    assert!(credited.contains(&hex::encode(hash)), "a share was answered true and is not credited");
                }
            });
        }
        assert_eq!(self.pool.stats().rejected_total(), 0, "{:?}", self.pool.stats().rejected);
    }
}

/// A machine that shows what it found.
fn machine(listen: std::net::SocketAddr, user: &str) -> MinerSettings {
    let settings = MinerSettings::new(listen, user, &profile::CGMINER, Pace::SharesPerSecond(2.0));
    MinerSettings { recorded_hashes: 100_000, ..settings }
}

pub fn of_group(snapshot: &PowerSnapshot) -> Phase {
    snapshot.site.groups[0].as_ref().expect("it can be moved").phase
}

pub fn drivers(firmware: &Arc<Firmware>, gpus: &Arc<Gpus>) -> Drivers {
    Drivers::default().with_actuator("firmware", firmware.clone()).with_compute("gpus", gpus.clone())
}

fn text(
    pool: &SimPool,
    listen: std::net::SocketAddr,
    ledger: &Path,
    mode: &str,
    machines: &str,
    (hall, workers): (&str, &str),
) -> String {
    format!(
        "[proxy]\nworkers = 2\nstate_file = \"\"\n\
         [[listener]]\nlisten = \"{listen}\"\ndifficulty = {EASY}\nmin_difficulty = {EASY}\n\
         [[pool]]\nname = \"eu\"\nurl = \"stratum+tcp://{}\"\nuser = \"u\"\n\
         [power]\nledger = {ledger:?}\npoll = \"1s\"\npoll_moving = \"200ms\"\nmax_age = \"10s\"\nproofs = 2\n\
         command_lifetime = \"1s\"\nlease_term = \"60s\"\n\
         [profit]\nmode = \"{mode}\"\nmin_asleep = \"0s\"\n\
         [site]\ncap = \"34 kW\"\npower_price = \"60 USD/MWh\"\n\
         [[group]]\nname = \"{hall}\"\nsignal = \"verdict\"\npower = \"28 kW\"\nnameplate = \"3500 W\"\nworkers = \"{workers}\"\n\
         quiet = \"1s\"\nprobe = \"5s\"\nsleep_survives_power_cycle = \"yes\"\n{machines}\
         [[ai]]\nname = \"gpus\"\npower = \"20 kW\"\nblock = \"10 kW\"\nprice = \"300 USD/MWh\"\ndemand = 1.0\nidle = \"1 kW\"\n\
         [ai.control]\nkind = \"custom:gpus\"\npoll = \"1s\"\n\
         [[signal]]\nname = \"verdict\"\nunit = \"verdict\"\nkind = \"push\"\nmax_age = \"1h\"\n\
         [[signal]]\nname = \"hall-a-meter\"\nunit = \"W\"\nkind = \"push\"\nmax_age = \"10s\"\n",
        pool.addr(),
    )
}

/// A config that is right.
pub fn parsed(text: &str) -> Config {
    let env = ProcessEnv { folder: ".".into() };
    Config::parse(text, &env).unwrap_or_else(|errors| panic!("{errors}\n{text}")).0
}

/// Waits for a condition. The deadline is for failures only.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
