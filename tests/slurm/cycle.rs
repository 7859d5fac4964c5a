//! The whole way of a megawatt, small: a verdict, a proxy with a hall of simulated ASICs, and a real Slurm whose job waits for their power.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use hashgate::{
    app::Proxy,
    config::{Config, ProcessEnv},
    power::{Power, actuator::Drivers, control::PowerSnapshot, group::Phase, receipt::Outcome},
    profit::signal::{Observation, When},
    sim::{
        pool::{PoolSettings, SimPool},
        site::{SimGroup, SimSite, SimSiteSettings},
    },
};

use crate::cluster::{Cluster, IDLE, LIMIT, POWER};

/// So easy that every fourth hash is a share.
const EASY: f64 = 1.0 / (1 << 30) as f64;

/// Of 3 kW each: more than both nodes draw at work.
const MACHINES: usize = 8;

/// Both nodes at work.
const LENT_W: f64 = 2.0 * POWER;

/// What Slurm is told once, before the first start in mode `active`.
const DRAINED: [&str; 4] = ["update", "nodename=gpu[01-02]", "state=drain", "reason=hashgate: no power leased"];

/// The proxy, its miners and their pool.
struct World {
    proxy: Proxy,
    site: SimSite,
    _pool: SimPool,
    _folder: tempfile::TempDir,
    since: Instant,
}

impl World {
    async fn start(cluster: &Cluster) -> Self {
        let pool = PoolSettings { difficulty: EASY, ..PoolSettings::default() };
        let pool = SimPool::start(pool).await.expect("the pool starts");
        let ms = Duration::from_millis;
        let group = SimGroup {
            sleep: ms(200)..ms(800),
            wake: ms(1000)..ms(3000),
            hashrate: 6.0,
            ..SimGroup::new("hall", MACHINES, 20.0, 3000.0)
        };
        let site = SimSiteSettings { groups: vec![group], connects_per_second: 0.0, ..SimSiteSettings::default() };
        let site = SimSite::start(site).await.expect("the site starts");
        let folder = tempfile::tempdir().expect("a folder");
        let text = config(folder.path(), cluster, &site, &pool);
        let env = ProcessEnv { folder: ".".into() };
        let (config, _) = Config::parse(&text, &env).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let proxy = Proxy::start_with(config, &Drivers::default()).await.expect("the proxy starts");
        site.connect(proxy.addresses()[0]);
        Self { proxy, site, _pool: pool, _folder: folder, since: Instant::now() }
    }

    fn power(&self) -> Power {
        self.proxy.power().expect("something can be moved")
    }

    async fn says(&mut self, is_profitable: bool) {
        let feed = self.proxy.signals().expect("there are some").feed("verdict").expect("it is pushed");
        let value = f64::from(u8::from(is_profitable));
        feed.observe(vec![Observation { value, when: When::Now }]).await.expect("it is taken");
        self.since = Instant::now();
        let what = if is_profitable { "profitable" } else { "unprofitable" };
        println!("   0.0 s: mining is {what}");
    }

    fn notes(&self, what: &str) {
        println!("{:6.1} s: {what}", self.since.elapsed().as_secs_f64());
    }

    async fn shows(&self, what: &str, mut wanted: impl FnMut(&PowerSnapshot) -> bool) -> Arc<PowerSnapshot> {
        match tokio::time::timeout(LIMIT, self.power().wait_for(|snapshot| wanted(snapshot))).await {
            Ok(snapshot) => {
                self.notes(what);
                snapshot.expect("the power side runs")
            }
            Err(_) => {
                let snapshot = self.power().snapshot();
                panic!("not within {LIMIT:?}: {what}\n{:#?}\n{:#?}", snapshot.site, snapshot.events)
            }
        }
    }

    /// Waits for what Slurm, or the hall, shows.
    async fn until(&self, what: &str, mut is: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !tokio::task::block_in_place(&mut is) {
            assert!(begin.elapsed() < LIMIT, "not within {LIMIT:?}: {what}\n{:#?}", self.power().snapshot().site);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.notes(what);
    }

    fn asleep(&self) -> usize {
        self.site.report().counts.asleep
    }
}

fn phase(snapshot: &PowerSnapshot) -> Phase {
    snapshot.site.groups[0].as_ref().expect("it can be moved").phase
}

fn granted(snapshot: &PowerSnapshot) -> f64 {
    snapshot.site.blocks[0].as_ref().expect("it can be told").granted.get()
}

fn config(folder: &Path, cluster: &Cluster, site: &SimSite, pool: &SimPool) -> String {
    let (ledger, conf, site, pool) = (folder.join("power.db"), cluster.path("slurm.conf"), site.addr(), pool.addr());
    format!(
        "[proxy]\nworkers = 1\nstate_file = \"\"\n\
         [[listener]]\nlisten = \"127.0.0.1:0\"\ndifficulty = {EASY}\nmin_difficulty = {EASY}\n\
         [[pool]]\nname = \"eu\"\nurl = \"stratum+tcp://{pool}\"\nuser = \"u\"\n\
         [power]\nledger = {ledger:?}\npoll = \"1s\"\npoll_moving = \"200ms\"\nmax_age = \"10s\"\nproofs = 2\n\
         command_lifetime = \"20s\"\nlease_term = \"60s\"\n\
         [profit]\nmode = \"active\"\nmin_asleep = \"0s\"\n\
         [site]\ncap = \"32 kW\"\npower_price = \"60 USD/MWh\"\n\
         [[signal]]\nname = \"verdict\"\nunit = \"verdict\"\nkind = \"push\"\nmax_age = \"1h\"\n\
         [[group]]\nname = \"hall\"\nsignal = \"verdict\"\npower = \"24 kW\"\nnameplate = \"3000 W\"\nsleep_max = \"80 W\"\nworkers = \"hall.*\"\n\
         sleep_time = \"10s\"\nwake_time = \"30s\"\nquiet = \"1s\"\nquiet_limit = \"5s\"\nprobe = \"5s\"\nsleep_survives_power_cycle = \"yes\"\n\
         [group.actuator]\nkind = \"simulated\"\nurl = \"http://{site}\"\n\
         [[ai]]\nname = \"gpus\"\npower = \"{POWER_KW} kW\"\nblock = \"10 kW\"\nprice = \"300 USD/MWh\"\ndemand = 1.0\nidle = \"{IDLE_KW} kW\"\n\
         [ai.control]\nkind = \"slurm\"\nscontrol = [\"/usr/bin/env\", \"SLURM_CONF={}\", \"/usr/bin/scontrol\"]\npoll = \"1s\"\n\
         nodes = [{{ name = \"gpu[01-02]\", power = \"{} W\", idle = \"{} W\" }}]\n",
        conf.display(),
        POWER,
        IDLE,
        POWER_KW = LENT_W / 1000.0,
        IDLE_KW = 2.0 * IDLE / 1000.0,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verdict_moves_the_halls_power_to_a_waiting_job_and_it_comes_back_when_the_job_has_finished() {
    let Some(cluster) = tokio::task::block_in_place(|| Cluster::start(2, "ReturnToService=2")) else { return };
    assert!(cluster.run("scontrol", &DRAINED).0, "nothing runs without power");
    cluster.submit("job");
    let mut world = World::start(&cluster).await;
    world
        .shows("all ASICs are found, measured and mine", |snapshot| {
            let group = snapshot.site.groups[0].as_ref().expect("it can be moved");
            group.devices == MACHINES && group.measured == MACHINES && group.phase == Phase::Mining
        })
        .await;
    world.says(true).await;
    world
        .until("shares flow, and the job waits for power", || {
            world.proxy.totals().accepted > 20 && cluster.job("job").starts_with("PENDING")
        })
        .await;
    assert_eq!(world.asleep(), 0);

    world.says(false).await;
    world.shows("the drain has begun", |snapshot| phase(snapshot) != Phase::Mining).await;
    world.shows("all ASICs are proven asleep", |snapshot| phase(snapshot) == Phase::Asleep).await;
    assert_eq!(world.asleep(), MACHINES);
    world.shows("their power is lent", |snapshot| granted(snapshot) == LENT_W).await;
    world.until("Slurm has started the job", || cluster.job("job").starts_with("RUNNING")).await;
    world
        .shows("the block draws it", |snapshot| {
            snapshot.site.blocks[0].as_ref().expect("it can be told").drawn.is_some_and(|drawn| drawn.get() >= POWER)
        })
        .await;
    let slept = world.proxy.totals().accepted;

    world.says(true).await;
    world.shows("the hall is to wake", |snapshot| phase(snapshot) == Phase::WakePending).await;
    world
        .until("the job's node is drained, and it runs on", || {
            cluster.node("gpu01").contains(" State=ALLOCATED+DRAIN ")
        })
        .await;
    // Two terms of its readings, in which a lease that is not back could be forgotten.
    let patient = Instant::now();
    while patient.elapsed() < Duration::from_secs(3) {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(world.asleep(), MACHINES, "they wait for the job");
        assert!(granted(&world.power().snapshot()) > 0.0);
    }
    assert!(cluster.job("job").starts_with("RUNNING"), "nobody ends it: {}", cluster.job("job"));
    world.notes("the ASICs have waited; now the job is told to finish");
    cluster.end_job("job");
    world.until("the job has finished", || cluster.job("job").is_empty()).await;
    world.shows("the lease is back", |snapshot| granted(snapshot) == 0.0).await;
    world.shows("all ASICs mine", |snapshot| phase(snapshot) == Phase::Mining).await;
    assert_eq!(world.asleep(), 0);
    world.until("shares flow again", || world.proxy.totals().accepted > slept + 20).await;
    for node in ["gpu01", "gpu02"] {
        assert!(cluster.node(node).contains("Reason=hashgate: no power leased"), "{}", cluster.node(node));
    }
    let receipts = world.power().receipts(2).await.expect("the power side runs");
    for receipt in &receipts {
        assert_eq!((receipt.outcome, receipt.shares.rejected, receipt.shares.timed_out), (Outcome::Done, 0, 0));
    }
    world.proxy.shut_down(Duration::from_secs(5)).await;
    tokio::task::block_in_place(|| drop(cluster));
}
