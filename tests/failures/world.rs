//! A proxy between simulated pools and simulated miners, as a test wants it.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hashgate::app::Proxy;
use hashgate::config::{Config, ProcessEnv};
use hashgate::metrics::Totals;
use hashgate::sim::miner::{MIX, MinerSettings, Pace, Profile, Swarm, SwarmSettings, profile};
use hashgate::sim::pool::{PoolSettings, SimPool};

/// So easy that every fourth hash is a share. A power of two, which firmware that takes only those gets exactly, and below the least
/// that all others get (1e-9): every share that counts is one for the pool.
pub const EASY: f64 = 1.0 / (1 << 30) as f64;

/// How long anything may take that should happen at once; reached only when a test fails. Two busy cores are slow.
pub const LIMIT: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Shares that pools and miners remember: all of any test.
const RECORDED: usize = 100_000;

/// A change to a config that its text can't make.
type Tweak = Box<dyn FnOnce(&mut Config)>;

/// What the operator wrote, in pieces.
#[derive(Default)]
pub struct Site {
    proxy: String,
    limits: String,
    listener: String,
    pools: String,
    route: String,
    names: Vec<String>,
    tweaks: Vec<Tweak>,
}

impl Site {
    pub fn new() -> Self {
        Self::default().proxy("workers = 2")
    }

    /// Lines for `[proxy]`.
    pub fn proxy(mut self, lines: &str) -> Self {
        self.proxy = format!("{lines}\n");
        self
    }

    /// Lines for `[limits]`.
    pub fn limits(mut self, lines: &str) -> Self {
        self.limits = lines.to_owned();
        self
    }

    /// Lines for the listener.
    pub fn listener(mut self, lines: &str) -> Self {
        self.listener = lines.to_owned();
        self
    }

    /// A pool, after those before it.
    pub fn pool(mut self, name: &str, address: SocketAddr, lines: &str) -> Self {
        self.pools += &format!("[[pool]]\nname = {name:?}\nurl = \"stratum+tcp://{address}\"\nuser = \"u\"\n{lines}\n");
        self.names.push(name.to_owned());
        self
    }

    /// Lines for the one route, to all pools in order.
    pub fn route(mut self, lines: &str) -> Self {
        self.route = lines.to_owned();
        self
    }

    /// A value shorter than an operator may choose it, so that a test needn't wait for it.
    pub fn tweak(mut self, tweak: impl FnOnce(&mut Config) + 'static) -> Self {
        self.tweaks.push(Box::new(tweak));
        self
    }

    pub async fn start(self) -> Proxy {
        let Self { proxy, limits, listener, pools, route, names, tweaks } = self;
        let state_file = if proxy.contains("state_file") { "" } else { "state_file = \"\"" };
        let text = format!(
            "[proxy]\n{proxy}{state_file}\n[limits]\n{limits}\n\
             [[listener]]\nname = \"farm\"\nlisten = \"127.0.0.1:0\"\ndifficulty = {EASY}\nmin_difficulty = {EASY}\n{listener}\n\
             {pools}\n[[route]]\nname = \"all\"\npools = {names:?}\n{route}\n"
        );
        let env = ProcessEnv { folder: ".".into() };
        let (mut config, _) = Config::parse(&text, &env).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        tweaks.into_iter().for_each(|tweak| tweak(&mut config));
        Proxy::start(config).await.expect("the proxy starts")
    }
}

/// A pool that credits nearly every hash and remembers them all.
pub fn easy() -> PoolSettings {
    PoolSettings { difficulty: EASY, record_shares: RECORDED, ..PoolSettings::default() }
}

pub async fn start(settings: PoolSettings) -> SimPool {
    SimPool::start(settings).await.expect("the pool starts")
}

/// Miners of mixed firmware, each with so many shares a second.
pub fn swarm(proxy: &Proxy, miners: usize, shares_per_second: f64) -> Swarm {
    swarm_of(proxy, miners, shares_per_second, MIX)
}

pub fn swarm_of(proxy: &Proxy, miners: usize, shares_per_second: f64, mix: &[(&'static Profile, u32)]) -> Swarm {
    let pace = Pace::SharesPerSecond(shares_per_second);
    let machine = MinerSettings::new(proxy.addresses()[0], "farm", &profile::CGMINER, pace);
    Swarm::start(&SwarmSettings {
        machine: MinerSettings { recorded_hashes: RECORDED, ..machine },
        miners,
        mix: mix.to_vec(),
        connects_per_second: 500.0,
    })
}

/// Waits for a condition. The deadline is for failures only.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    within(LIMIT, what, &mut condition).await;
}

/// Waits for a condition that has to come true in time; returns how long it took.
pub async fn within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    start.elapsed()
}

/// Watches that a condition holds for a while.
pub async fn throughout(time: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < time {
        assert!(condition(), "no longer after {:?}: {what}", start.elapsed());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// All of them mine, and shares flow.
pub async fn mining(proxy: &Proxy, swarm: &Swarm) {
    eventually("all miners mine", || swarm.mining() == swarm.miners().len()).await;
    let before = proxy.totals().accepted;
    eventually("shares flow", || proxy.totals().accepted > before + swarm.miners().len() as u64 / 2).await;
}

/// Counted as gone with a connection.
pub fn lost(totals: &Totals) -> u64 {
    totals.router.pools.iter().map(|pool| pool.lost_unsettled).sum()
}

/// A header hash as pools write it.
pub fn display(mut hash: [u8; 32]) -> String {
    hash.reverse();
    hex::encode(hash)
}

/// The miners stop and what they were told is compared with what the pools credited: every `true` was credited, or is counted
/// as lost. All shares here are good enough for the pools. Returns how many were not credited.
pub async fn settle(proxy: &Proxy, swarm: &Swarm, pools: &[&SimPool]) -> u64 {
    swarm.settle(LIMIT).await;
    eventually("every share is settled", || proxy.totals().unsettled() == 0).await;
    let credited: HashSet<String> =
        pools.iter().flat_map(|pool| pool.accepted_shares()).map(|share| share.hash).collect();
    let mut told_true = 0;
    let mut missing = 0;
    for miner in swarm.miners() {
        let hashes: Vec<String> =
            miner.with_stats(|stats| stats.accepted_hashes.iter().copied().map(display).collect());
        told_true += hashes.len();
        missing += hashes.iter().filter(|hash| !credited.contains(*hash)).count() as u64;
    }
    let totals = proxy.totals();
    assert_eq!(told_true as u64, swarm.totals().accepted);
    assert_eq!(totals.unforwarded, 0, "nothing was dropped on the way");
    assert!(missing <= lost(&totals), "{missing} answered true and not credited, {} counted as lost", lost(&totals));
    for pool in pools {
        let stats = pool.stats();
        assert_eq!(stats.rejected_total(), 0, "the pool refused {:?}", stats.rejected);
    }
    missing
}

/// Nobody had to reconnect, and no firmware finds fault.
pub fn content(swarm: &Swarm) {
    let stats = swarm.totals();
    assert_eq!((stats.disconnects, stats.connects), (0, swarm.miners().len() as u64));
    assert_eq!(stats.violation_count(), 0, "{:?}", stats.violations);
}

/// Whether this is a process of its own for one test, whose memory and files are nobody else's. If not, the test is run in one, and has
/// passed when this returns.
pub fn alone(test: &str) -> bool {
    const MARK: &str = "HASHGATE_TEST_ALONE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let binary = std::env::current_exe().expect("this test's binary");
    let output = std::process::Command::new(binary).args(["--exact", test, "--nocapture"]).env(MARK, "1").output();
    let output = output.expect("it starts");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
    assert!(said(&output.stdout).contains("1 passed"), "{test} is not the name of a test");
    false
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// Bytes of this process's heap that are in use. (What it has of the system besides is the allocator's affair, and differs from run
/// to run.)
pub fn heap_kib() -> u64 {
    HEAP.current_usage() as u64 / 1024
}

#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;
