//! The real binary between simulated machines, AI compute and a pool, which live on while it dies and comes back.

use std::{
    collections::VecDeque,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hashgate::sim::{
    ai_site::{AiSite, AiSiteSettings},
    miner::MinerHandle,
    pool::{PoolSettings, SimPool},
    site::{AiDraw, SimGroup, SimSite, SimSiteSettings},
};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::{process::Command, time::sleep};

use crate::gate::{Gate, Kind, Trap, eventually};

/// Machines of a group.
pub const MACHINES: usize = 4;
pub const GROUPS: [&str; 3] = ["hall-a", "hall-b", "hall-c"];
const ALL: usize = MACHINES * GROUPS.len();

/// How long anything may take; reached only when a test fails. Two busy cores are slow.
pub const LIMIT: Duration = Duration::from_secs(90);

/// What the site may draw: all its machines, or AI compute with what sleeps, and not both.
const CAP_W: f64 = 55_000.0;
/// What AI compute is lent in all, at the site meter.
const LENT_KW: f64 = 25.0;

/// So easy that every fourth hash is a share.
const EASY: f64 = 1.0 / (1 << 30) as f64;

const TOKEN: &str = "control-0123456789abcdef";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// What a page says against what is truly drawn: noise of readings.
const NOISE: f64 = 1.02;

pub struct World {
    pub pool: Option<SimPool>,
    pub site: Arc<SimSite>,
    pub ai: Arc<AiSite>,
    pub gate: Gate,
    pub folder: tempfile::TempDir,
    admin: SocketAddr,
    client: Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
    /// What was truly drawn a moment ago.
    drawn: Arc<Mutex<VecDeque<(Timestamp, f64)>>>,
    watch: tokio::task::JoinHandle<()>,
    /// Shares that were lost while the proxy lived.
    strange: Arc<AtomicU64>,
    /// How often it was looked whether any were.
    looks: Arc<AtomicU64>,
    /// Shares without an answer at a death that firmware keeps to send again: it gives those up that are too old once it has connected anew.
    kept: u64,
    /// The miners' word counts only once the pool has said it.
    pub answers_by_pool: bool,
    /// All machines were found, and are in the ledger.
    is_known: bool,
    /// What the binary is run by.
    pub wrapper: Vec<String>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.watch.abort();
        self.gate.kill();
    }
}

/// One that stays free while the proxy is dead: connections of others come from 127.0.0.1 and take its ports, so it is of an address that is
/// this world's alone, where the system has more than one on its loopback.
fn free_address() -> SocketAddr {
    static GIVEN: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, high.max(1), low, GIVEN.fetch_add(1, Ordering::Relaxed));
    let socket = TcpListener::bind((own, 0)).or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    socket.expect("a free port").local_addr().expect("it is bound")
}

impl World {
    /// All of it, mining.
    pub async fn start(seed: u64) -> Self {
        Self::start_with(seed, |config| config).await
    }

    /// The same with a config that is a little different.
    pub async fn start_with(seed: u64, tweak: impl FnOnce(String) -> String) -> Self {
        let pool = PoolSettings { difficulty: EASY, ..PoolSettings::default() };
        let pool = SimPool::start(pool).await.expect("the pool starts");
        let ms = Duration::from_millis;
        let ai = AiSiteSettings {
            secret: SECRET.to_owned(),
            capacity: 20_000.0,
            idle: 500.0,
            starts_within: ms(300),
            job: Duration::from_secs(600),
            gap: ms(100),
            release_time: ms(600),
            seed,
            ..AiSiteSettings::default()
        };
        let ai = Arc::new(AiSite::start(ai).await.expect("AI compute starts"));
        let group = |name: &str| SimGroup {
            wake: ms(600)..ms(1500),
            sleep: ms(100)..ms(300),
            hashrate: 6.0,
            ..SimGroup::new(name, MACHINES, 20.0, 3000.0)
        };
        let of_ai = ai.clone();
        let settings = SimSiteSettings {
            groups: GROUPS.map(group).into(),
            cap: Some(CAP_W),
            ai: Some(AiDraw::new(move || of_ai.watts())),
            seed,
            connects_per_second: 0.0,
            ..SimSiteSettings::default()
        };
        let site = Arc::new(SimSite::start(settings).await.expect("the site starts"));
        let gate = Gate::start(site.addr(), ai.addr()).await;
        let folder = tempfile::tempdir().expect("a folder");
        let (admin, listen) = (free_address(), free_address());
        let answer = if seed.is_multiple_of(2) { "pool" } else { "proxy" };
        let text = tweak(config(folder.path(), &gate, admin, listen, pool.addr(), answer));
        fs::write(folder.path().join("hashgate.toml"), text).expect("it is written");
        let drawn = Arc::<Mutex<VecDeque<_>>>::default();
        let strange = Arc::<AtomicU64>::default();
        let looks = Arc::<AtomicU64>::default();
        let counters = (strange.clone(), looks.clone());
        let watch = tokio::spawn(watch(site.clone(), drawn.clone(), gate.clone(), counters));
        let client = Client::builder(TokioExecutor::new()).build_http();
        let mut world = Self {
            pool: Some(pool),
            site,
            ai,
            gate,
            folder,
            admin,
            client,
            drawn,
            watch,
            strange,
            looks,
            kept: 0,
            is_known: false,
            answers_by_pool: seed.is_multiple_of(2),
            wrapper: Vec::new(),
        };
        world.run().await;
        world.site.connect(listen);
        eventually("all machines mine", LIMIT, || world.site.with_job() == ALL).await;
        world
            .shows("every machine is known and measured", |page| {
                rows(page).all(|group| group["devices"] == MACHINES && group["measured"] == MACHINES)
            })
            .await;
        world.is_known = true;
        world
    }

    pub fn config(&self) -> String {
        self.path("hashgate.toml")
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("a path").to_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What all lives have logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Begins a life of the proxy without waiting for anything.
    pub fn spawn(&self) {
        let log = File::options().create(true).append(true).open(self.log_path()).expect("a log");
        let binary = env!("CARGO_BIN_EXE_hashgate").to_owned();
        let mut argv = self.wrapper.clone();
        argv.extend([binary, "run".into(), "--config".into(), self.config()]);
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).env_remove("RUST_LOG").stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a handle")).stderr(log).kill_on_drop(true);
        self.gate.runs(command.spawn().expect("it runs"));
    }

    /// Begins a life of the proxy.
    pub async fn run(&mut self) {
        self.spawn();
        let begun = Instant::now();
        while self.page().await.is_none() {
            assert!(begun.elapsed() < LIMIT, "it does not listen\n{}", self.log());
            if let Some(status) = self.gate.ended() {
                // Its next death came sooner than it could be asked.
                if self.gate.is_dead() && self.gate.has_sprung() {
                    return;
                }
                panic!("it ended: {status}\n{}", self.log());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The dead one is buried, and the next one begins.
    pub async fn restart(&mut self) {
        if let Some(mut process) = self.gate.process() {
            let ended = tokio::time::timeout(LIMIT, process.wait()).await;
            ended.unwrap_or_else(|_| panic!("nobody has killed it\n{}", self.log())).expect("it is ours");
        }
        self.bury().await;
        self.run().await;
    }

    /// Waits until whoever was connected to the dead one has noticed, and what that cost is counted as the death's.
    pub async fn bury(&mut self) {
        // One that sleeps may not look at its socket, and has nothing in it.
        let has_noticed = |name: &String| self.site.machine(name).is_none_or(MinerHandle::is_settled);
        let machines: Vec<String> = GROUPS.iter().flat_map(|group| names(group)).collect();
        eventually("everybody has noticed the death", LIMIT, || machines.iter().all(has_noticed)).await;
        let looks = self.looks.load(Ordering::Relaxed);
        // The one that is on its way may be from before.
        eventually("it is counted", LIMIT, || self.looks.load(Ordering::Relaxed) >= looks + 2).await;
        self.kept += self.site.totals().unanswered();
        self.gate.lives();
    }

    /// What a machine was told is good is the pool's, and no share is lost but those in the sockets of a process that died: sent by a
    /// machine and not answered yet, or, where the proxy answers for the pool, answered and not sent on yet. Of the latter, how many.
    pub fn lost_no_share(&self) -> u64 {
        let strange = self.strange.load(Ordering::Relaxed);
        assert!(
            strange <= self.kept,
            "{strange} shares were lost while the proxy lived, {} were kept over its deaths\n{}",
            self.kept,
            self.log()
        );
        let told = self.site.totals().accepted;
        let Some(pool) = &self.pool else { return 0 };
        let stats = pool.stats();
        let in_sockets = told.saturating_sub(stats.accepted);
        assert!(!self.answers_by_pool || in_sockets == 0, "{told} told, {stats:?}");
        assert!(in_sockets <= 3 * u64::from(self.gate.life()), "{told} told, {stats:?}");
        in_sockets
    }

    pub async fn ask(&self, method: &str, path: &str, body: Value) -> Option<(u16, Value)> {
        let request = hyper::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.admin))
            .header("host", self.admin.to_string())
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {TOKEN}"));
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = request.body(Full::new(body)).expect("a request");
        let asked = async {
            let answer = self.client.request(request).await.ok()?;
            let status = answer.status().as_u16();
            let bytes = answer.into_body().collect().await.ok()?.to_bytes();
            Some((status, serde_json::from_slice(&bytes).unwrap_or_default()))
        };
        tokio::time::timeout(Duration::from_secs(10), asked).await.ok()?
    }

    /// What the proxy shows of its power side; none if it is not there.
    pub async fn page(&self) -> Option<Value> {
        let (status, page) = self.ask("GET", "/api/v1/power", Value::Null).await?;
        assert_eq!(status, 200, "{page}");
        if self.is_known {
            self.counts_enough(&page);
        }
        Some(page)
    }

    /// What counts is never less than what is truly drawn at that moment.
    fn counts_enough(&self, page: &Value) {
        let at: Timestamp = page["at"].as_str().expect("a time").parse().expect("a time");
        let drawn = self.drawn.lock().expect("nobody panicked with it");
        let near = drawn.iter().filter(|(then, _)| at.duration_since(*then).abs().as_millis() < 400);
        let least = near.map(|(_, watts)| *watts).fold(f64::INFINITY, f64::min);
        let number = |key: &str| page["site"][key].as_f64().expect("a number");
        let counts = (number("counts_kw") - number("reserve_kw")) * 1e3;
        assert!(
            least.is_infinite() || least <= counts * NOISE + 150.0,
            "{least} W are drawn, {counts} W count: {page:#}"
        );
    }

    /// Whether mining pays.
    pub async fn says(&self, is_profitable: bool) {
        let (status, said) = self.tries_to_say(is_profitable).await.expect("it is there");
        assert!((200..300).contains(&status), "{status} {said}");
    }

    /// The same to one that may be dead.
    pub async fn tries_to_say(&self, is_profitable: bool) -> Option<(u16, Value)> {
        let verdict = if is_profitable { "profitable" } else { "unprofitable" };
        self.ask("PUT", "/api/v1/signals/verdict", json!({ "verdict": verdict })).await
    }

    /// What a command of the binary did: its exit code, what it printed, and what it complained of.
    pub async fn hashgate(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hashgate"));
        command.args(arguments).args(["--config", &self.config()]).stdin(Stdio::null()).kill_on_drop(true);
        for name in ["RUST_LOG", "HASHGATE_URL", "HASHGATE_TOKEN"] {
            command.env_remove(name);
        }
        let (out, err) = (self.path("out"), self.path("err"));
        command.stdout(File::create(&out).expect("a file")).stderr(File::create(&err).expect("a file"));
        let mut process = command.spawn().expect("it runs");
        let ended = tokio::time::timeout(LIMIT, process.wait()).await;
        let text = |path: &str| fs::read_to_string(path).expect("text");
        let Ok(status) = ended else {
            panic!("{arguments:?} does not end\n{:#?}\n{}{}", self.ai.stats(), text(&out), text(&err))
        };
        (status.expect("it is ours").code().unwrap_or(-1), text(&out), text(&err))
    }

    /// What an operator sees.
    pub async fn groups(&self, what: &str) -> String {
        let (code, out, err) = self.hashgate(&["groups"]).await;
        assert_eq!(code, 0, "{err}");
        println!("--- {what}\n{out}");
        out
    }

    /// An operator's word.
    pub async fn order(&self, group: &str, word: &str, why: &str) {
        let path = format!("/api/v1/groups/{group}/{word}");
        let body = if why.is_empty() { json!({}) } else { json!({ "why": why }) };
        let (status, said) = self.ask("POST", &path, body).await.expect("it is there");
        assert_eq!(status, 200, "{said}");
    }

    pub async fn shows(&self, what: &str, mut wanted: impl FnMut(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let page = self.page().await;
            if let Some(page) = page.as_ref().filter(|page| wanted(page)) {
                return page.clone();
            }
            assert!(
                begun.elapsed() < LIMIT,
                "not within {LIMIT:?}: {what}\n{page:#?}\n{:#?}\n{:#?}\n{}",
                self.site.report(),
                self.ai.stats(),
                self.log()
            );
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The cycle ends where the verdict says, by the proxy's word and truly.
    pub async fn ends(&self, is_profitable: bool) {
        let what = if is_profitable { "everybody mines" } else { "everybody sleeps, and AI compute draws" };
        let says_so = |page: &Value| {
            let block = &page["blocks"][0];
            let phase = if is_profitable { "MINING" } else { "ASLEEP" };
            let lent = if is_profitable { 0.0 } else { LENT_KW };
            let draws = block["drawn_kw"].as_f64().is_some_and(|drawn| drawn > 0.9 * LENT_KW);
            let is_lent = block["granted_kw"].as_f64() == Some(lent) && (is_profitable || draws);
            is_lent && rows(page).all(|group| group["phase"] == phase && is_still(group))
        };
        let is_so = || {
            let counts = self.site.report().counts;
            let there = if is_profitable { counts.mining } else { counts.asleep };
            there == ALL
        };
        // A page is of a moment, and may be of one before the verdict was heard, or one before it that was about to be obeyed. One that was
        // made after the truth was seen to be another has no excuse.
        let begun = Instant::now();
        loop {
            self.shows(what, says_so).await;
            if is_so() {
                break;
            }
            let seen = Timestamp::now();
            let is_later = |page: &Value| {
                page["at"].as_str().and_then(|at| at.parse().ok()).is_some_and(|at: Timestamp| at > seen)
            };
            let page = self.shows("a page since", is_later).await;
            let counts = self.site.report().counts;
            assert!(is_so() || !says_so(&page), "it says {what}, and {counts:?}\n{}", self.log());
            assert!(begun.elapsed() < LIMIT, "not within {LIMIT:?}: {what}, and {counts:?}\n{}", self.log());
        }
        self.keeps_the_rules();
    }

    /// What must be true at every moment of every life.
    pub fn keeps_the_rules(&self) {
        let record = self.site.report().record;
        assert_eq!(record.over_cap_seconds, 0.0, "{record:?}\n{}", self.log());
        let calls = self.gate.calls();
        for life in 1..=self.gate.life() {
            let of_life: Vec<_> = calls.iter().filter(|call| call.life == life).collect();
            for group in GROUPS {
                let is_command = |kind| matches!(kind, Kind::Sleep | Kind::Wake);
                let first = of_life.iter().position(|call| is_command(call.kind) && call.who.starts_with(group));
                let Some(first) = first else { continue };
                // Whoever died before it heard an answer had none when it was begun.
                for name in names(group) {
                    let is_read = |call: &&&crate::gate::Call| call.kind == Kind::Read && call.who == name;
                    assert!(
                        of_life[..first].iter().any(|call| is_read(&call)),
                        "life {life}: {:?} before {name} was measured",
                        of_life[first]
                    );
                }
            }
            // One that an earlier life gave is booked, and only told again.
            let is_new = |call: &&crate::gate::Call| call.who.starts_with(&format!("{life}-"));
            if let Some(first) = of_life.iter().position(|call| call.kind == Kind::Grant && is_new(call)) {
                for kind in [Kind::Status, Kind::Meter] {
                    let is_known = of_life[..first].iter().any(|call| call.kind == kind && call.is_answered);
                    assert!(is_known, "life {life}: a lease before {kind:?}");
                }
            }
        }
    }

    /// Waits until it dies in the trap, or is where the verdict says, and so past it. Whether it died.
    pub async fn dies_or_ends(&self, is_profitable: bool) -> bool {
        let begun = Instant::now();
        let mut since = None;
        while !self.gate.has_sprung() {
            assert!(begun.elapsed() < LIMIT, "neither dead nor at its end\n{}", self.log());
            let page = self.page().await;
            let phase = if is_profitable { "MINING" } else { "ASLEEP" };
            let lent = if is_profitable { 0.0 } else { LENT_KW };
            let is_there = page.is_some_and(|page| {
                rows(&page).all(|group| group["phase"] == phase)
                    && page["blocks"][0]["granted_kw"].as_f64() == Some(lent)
            });
            since = since.filter(|_| is_there).or(is_there.then(Instant::now));
            if since.is_some_and(|since| since.elapsed() > Duration::from_secs(3)) {
                return false;
            }
            sleep(Duration::from_millis(50)).await;
        }
        true
    }

    /// Waits until it dies in the trap.
    pub async fn dies_at(&mut self, trap: Trap) {
        eventually_with(&format!("{trap:?}"), self, |world| world.gate.has_sprung()).await;
    }
}

async fn eventually_with(what: &str, world: &World, condition: impl Fn(&World) -> bool) {
    let begun = Instant::now();
    while !condition(world) {
        // While it lives, what it shows is held against the truth.
        let _ = world.page().await;
        assert!(begun.elapsed() < LIMIT, "not within {LIMIT:?}: {what}\n{:#?}\n{}", world.site.report(), world.log());
        sleep(Duration::from_millis(50)).await;
    }
}

/// The rows of all groups.
pub fn rows(page: &Value) -> impl Iterator<Item = &Value> {
    page["groups"].as_array().expect("groups").iter()
}

/// Nobody is under way.
fn is_still(group: &Value) -> bool {
    ["sleeping", "waking"].iter().all(|way| {
        ["pending", "dispatched", "drifted", "unavailable", "failed"].iter().all(|stage| group[way][stage] == 0)
    })
}

async fn watch(
    site: Arc<SimSite>,
    drawn: Arc<Mutex<VecDeque<(Timestamp, f64)>>>,
    gate: Gate,
    (strange, looks): (Arc<AtomicU64>, Arc<AtomicU64>),
) {
    let mut lost = 0;
    loop {
        let now_lost = site.totals().lost;
        if !gate.is_dead() {
            strange.fetch_add(now_lost - lost, Ordering::Relaxed);
        }
        lost = now_lost;
        looks.fetch_add(1, Ordering::Relaxed);
        {
            let mut drawn = drawn.lock().expect("nobody panicked with it");
            drawn.push_back((Timestamp::now(), site.draw().total()));
            if drawn.len() > 200 {
                drawn.pop_front();
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// A group's machines.
fn names(group: &str) -> impl Iterator<Item = String> {
    (1..=MACHINES).map(move |number| format!("{group}.{number:04}"))
}

/// A group's machines as its config lists them.
pub fn listed(group: &str) -> String {
    names(group).map(|name| format!("[[group.device]]\nname = \"{name}\"\nworker = \"{name}\"\n")).collect()
}

fn config(folder: &Path, gate: &Gate, admin: SocketAddr, listen: SocketAddr, pool: SocketAddr, answer: &str) -> String {
    let (ledger, gate) = (folder.join("power.db"), gate.addr);
    let mut text = format!(
        "[proxy]\nworkers = 2\nstate_file = \"\"\nshutdown_grace = \"3s\"\n\
         [admin]\nlisten = \"{admin}\"\ntoken = \"{TOKEN}\"\n\
         [[listener]]\nlisten = \"{listen}\"\ndifficulty = {EASY}\nmin_difficulty = {EASY}\nanswer = \"{answer}\"\n\
         [[pool]]\nname = \"eu\"\nurl = \"stratum+tcp://{pool}\"\nuser = \"u\"\n\
         [power]\nledger = {ledger:?}\npoll = \"1s\"\npoll_moving = \"200ms\"\nmax_age = \"5s\"\nproofs = 2\n\
         command_lifetime = \"1s\"\nlease_term = \"60s\"\nreserve = \"500 W\"\n\
         [profit]\nmode = \"active\"\nmin_asleep = \"0s\"\n\
         [site]\ncap = \"{CAP_W} W\"\npower_price = \"60 USD/MWh\"\noverhead = 1.03\nmeter = \"meter\"\nmeter_max_age = \"5s\"\nmeter_deviation = \"15 %\"\n\
         [[signal]]\nname = \"verdict\"\nunit = \"verdict\"\nkind = \"push\"\nmax_age = \"1h\"\n\
         [[signal]]\nname = \"meter\"\nunit = \"kW\"\nkind = \"http_json\"\nmax_age = \"5s\"\n\
         url = \"http://{gate}/meter\"\nvalue = \"/kilowatts\"\npoll = \"1s\"\n\
         [[ai]]\nname = \"gpus\"\npower = \"20 kW\"\nblock = \"10 kW\"\nprice = \"300 USD/MWh\"\ndemand = 1.0\nidle = \"1 kW\"\npue = 1.25\n\
         sheds_within = \"10s\"\nstarts_within = \"10s\"\n\
         [ai.control]\nkind = \"webhook\"\nurl = \"http://{gate}/lease\"\nstatus = \"http://{gate}/status\"\nsecret = \"{SECRET}\"\ntimeout = \"1s\"\npoll = \"1s\"\n",
    );
    for (hall, group) in GROUPS.into_iter().enumerate() {
        text += &format!(
            "[[group]]\nname = \"{group}\"\nsignal = \"verdict\"\npower = \"14 kW\"\nnameplate = \"3000 W\"\nsleep_max = \"80 W\"\n\
             sleep_time = \"3s\"\nwake_time = \"6s\"\nbackoff = \"1s\"\nquiet = \"1s\"\nquiet_limit = \"3s\"\nprobe = \"5s\"\nwork_wait = \"10s\"\n\
             fault_retry = \"10s\"\ntries = 4\nsleep_survives_power_cycle = \"yes\"\n"
        );
        // Those of the first hall are listed, the others are found by their connections.
        if hall > 0 {
            text += &format!("workers = \"{group}.*\"\n");
        } else {
            text += &listed(group);
        }
        text += &format!("[group.actuator]\nkind = \"simulated\"\nurl = \"http://{gate}\"\n");
    }
    text
}
