//! A site around a real proxy: a pool, machines that hash, draw and sleep, and prices that are numbers.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    time::{Duration, Instant},
};

use hashgate::{
    app::Proxy,
    config::{Config, Env},
    sim::{
        pool::{PoolSettings, SimPool},
        site::{SimGroup, SimSite, SimSiteSettings},
    },
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::sleep,
};

use crate::browser::LIMIT;

pub const CONTROL: &str = "control-0123456789abcdef";
pub const READ: &str = "read-0123456789abcdef";

/// So easy that every fourth hash is a share.
const EASY: f64 = 1.0 / (1 << 30) as f64;

/// Machines of each group.
pub const MACHINES: usize = 5;

struct NoEnv;

impl Env for NoEnv {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Everything that runs.
pub struct World {
    pub proxy: Proxy,
    pub site: SimSite,
    pool: SimPool,
    text: String,
    _folder: TempDir,
}

impl World {
    /// Two groups whose machines can be put to sleep.
    pub async fn start() -> Self {
        let pool = pool().await;
        let groups = ["hall-a", "hall-b"].map(|name| SimGroup::new(name, MACHINES, 20.0, 3000.0));
        let settings = SimSiteSettings { groups: groups.into(), time_scale: 40.0, ..SimSiteSettings::default() };
        let site = SimSite::start(settings).await.expect("the site starts");
        let folder = tempfile::tempdir().expect("a folder");
        let text = config(&pool, Some((site.addr(), folder.path())));
        let proxy = started(&text).await;
        site.connect(proxy.addresses()[0]);
        Self { proxy, site, pool, text, _folder: folder }
    }

    pub fn address(&self) -> String {
        address(&self.proxy)
    }

    /// The proxy ends, and another takes its place, at the same addresses, when `between` is over.
    pub async fn restart(self, between: impl Future<Output = ()>) -> Self {
        let Self { proxy, site, pool, text, _folder } = self;
        proxy.shut_down(Duration::from_millis(100)).await;
        between.await;
        let proxy = started(&text).await;
        Self { proxy, site, pool, text, _folder }
    }

    pub async fn end(self) {
        self.site.stop(Duration::from_secs(1)).await;
        self.proxy.shut_down(Duration::from_secs(1)).await;
        self.pool.shutdown().await;
    }
}

async fn pool() -> SimPool {
    let settings = PoolSettings { difficulty: EASY, ..PoolSettings::default() };
    SimPool::start(settings).await.expect("the pool starts")
}

pub fn address(proxy: &Proxy) -> String {
    format!("http://{}", proxy.admin_address().expect("it has an admin API"))
}

/// A free port that nobody is given by chance: a proxy that comes back must have the one that it had, and what the system gives to who asks
/// for any may be another's by then.
fn free() -> SocketAddr {
    let mut ports = std::iter::repeat_with(|| SocketAddr::from(([127, 0, 0, 1], rand::random_range(20_000..32_000))));
    ports.find(|address| TcpListener::bind(address).is_ok()).expect("there is one")
}

async fn started(text: &str) -> Proxy {
    let (config, _) = Config::parse(text, &NoEnv).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    Proxy::start(config).await.expect("the proxy starts")
}

fn config(pool: &SimPool, site: Option<(SocketAddr, &Path)>) -> String {
    let mut text = format!(
        "[proxy]\nworkers = 1\nstate_file = \"\"\n[admin]\nlisten = \"{}\"\ntoken = {CONTROL:?}\nread_token = {READ:?}\n\
         [[listener]]\nname = \"farm\"\nlisten = \"{}\"\nshares_per_minute = 60\ndifficulty = {EASY}\nmin_difficulty = {EASY}\n\
         [[pool]]\nname = \"eu\"\nurl = \"stratum+tcp://{}\"\nuser = \"u\"\n",
        free(),
        free(),
        pool.addr()
    );
    let Some((site, folder)) = site else { return text };
    text.push_str(&format!(
        "[power]\nledger = {:?}\npoll = \"1s\"\npoll_moving = \"300ms\"\nmax_age = \"30s\"\ncommand_lifetime = \"10s\"\n\
         [profit]\nmode = \"active\"\nhashprice = \"50 USD/PH/day\"\nmin_asleep = \"0s\"\n\
         [site]\npower_price = \"40 USD/MWh\"\ncap = \"60 kW\"\nbase_load = \"1 kW\"\n",
        folder.join("ledger.db")
    ));
    for name in ["hall-a", "hall-b"] {
        text.push_str(&format!(
            "[[group]]\nname = {name:?}\nefficiency = \"20 J/TH\"\npower = \"{} kW\"\nworkers = \"{name}.*\"\nnameplate = \"3000 W\"\n\
             sleep_time = \"20s\"\nwake_time = \"60s\"\nbackoff = \"2s\"\nquiet = \"1s\"\nquiet_limit = \"5s\"\nprobe = \"20s\"\n\
             [group.actuator]\nkind = \"simulated\"\nurl = \"http://{site}\"\n",
            MACHINES * 3
        ));
    }
    text
}

/// A proxy with as many workers as wanted, and the connections that they are on: a thousand on each.
pub struct Crowd {
    pub proxy: Proxy,
    _pool: SimPool,
    _connections: Vec<BufReader<TcpStream>>,
}

/// Names on one connection: under `workers_per_connection`.
const ON_ONE: usize = 1_000;

impl Crowd {
    pub async fn start(names: &[String]) -> Self {
        let pool = pool().await;
        let proxy = started(&config(&pool, None)).await;
        let begun = Instant::now();
        // Who subscribes before a pool is there waits; so do we.
        while proxy.totals().router.pools[0].connections == 0 {
            assert!(begun.elapsed() < LIMIT, "the pool is not reached");
            sleep(Duration::from_millis(20)).await;
        }
        let mut connections = Vec::new();
        for names in names.chunks(ON_ONE) {
            connections.push(connected(proxy.addresses()[0], names).await);
        }
        let all = names.len();
        while proxy.workers().expect("the API counts them").summary().online < all {
            assert!(begun.elapsed() < LIMIT, "{:?}", proxy.workers().map(|workers| workers.summary()));
            sleep(Duration::from_millis(50)).await;
        }
        Self { proxy, _pool: pool, _connections: connections }
    }
}

async fn connected(server: SocketAddr, names: &[String]) -> BufReader<TcpStream> {
    let mut requests = Vec::new();
    writeln!(requests, "{}", json!({ "id": 0, "method": "mining.subscribe", "params": ["test/1"] })).expect("memory");
    for (at, name) in names.iter().enumerate() {
        let request = json!({ "id": at + 1, "method": "mining.authorize", "params": [name, "x"] });
        writeln!(requests, "{request}").expect("memory");
    }
    let mut connection = BufReader::new(TcpStream::connect(server).await.expect("connects"));
    connection.get_mut().write_all(&requests).await.expect("it reads");
    let last = format!("\"id\":{}", names.len());
    let mut line = String::new();
    while !line.replace(' ', "").contains(&last) {
        line.clear();
        assert!(connection.read_line(&mut line).await.expect("it answers") > 0, "it hung up");
    }
    connection
}
