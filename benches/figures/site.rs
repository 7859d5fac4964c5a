//! The contestants: the proxy with its pool, the bare echo, and relays in front of an echo, each as processes of their own.

use std::{
    env,
    fmt::{self, Display},
    fs, io,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    DIFFICULTY,
    http::Api,
    process::{HASHGATE, Process},
    scrape::Scrape,
};

/// Until a process has said where it listens.
const START: Duration = Duration::from_secs(10);

/// How often something is looked at that is waited for.
const GLANCE: Duration = Duration::from_millis(50);

/// Opens the admin API.
const TOKEN: &str = "bench-0123456789abcdef";

/// Miners that connect in a second.
const CONNECT_RATE: &str = "6000";

/// Connections that a relay is set up for: both of its ends, with room to spare.
const RELAY_CONNECTIONS: usize = 9_000;

/// Where Debian has what its nginx relays TCP with; elsewhere it may be compiled in.
const STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// Who answers the miners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
pub enum Contestant {
    /// The proxy: verifies every share.
    Hashgate,
    /// The same with all that an operator watches it by: store, table of workers, admin API with a dashboard open, metrics that are
    /// scraped; only where it is asked for.
    Watched,
    /// The bare echo: answers every line, verifies nothing.
    Echo,
    /// nginx's `stream` module in front of an echo.
    Nginx,
    /// HAProxy in TCP mode in front of an echo.
    Haproxy,
}

impl Contestant {
    pub const ALL: [Self; 5] = [Self::Hashgate, Self::Watched, Self::Echo, Self::Nginx, Self::Haproxy];

    /// Why it can't take part, if it can't.
    pub fn missing(self) -> Option<&'static str> {
        match self {
            Self::Nginx if !is_installed("nginx") => {
                Some("nginx: not installed: apt-get install nginx-light libnginx-mod-stream")
            }
            Self::Haproxy if !is_installed("haproxy") => Some("HAProxy: not installed: apt-get install haproxy"),
            _ => None,
        }
    }
}

impl Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hashgate => "hashgate",
            Self::Watched => "watched",
            Self::Echo => "echo",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
        })
    }
}

/// On the path, or where Debian puts servers, which may not be on everybody's.
fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// What the proxy's pool does.
#[derive(Clone, Copy)]
pub struct Pool {
    /// What it takes shares at; high, and none is forwarded.
    pub difficulty: f64,
    /// What the proxy's miners work at.
    pub miners_difficulty: f64,
    /// Time between two blocks; zero for none.
    pub clean_every: Duration,
}

impl Pool {
    /// A pool that is no bottleneck: it sees no share.
    pub const QUIET: Self = Self { difficulty: 1.0, miners_difficulty: DIFFICULTY, clean_every: Duration::ZERO };
}

/// A contestant at work, with what stands behind it.
pub struct Site {
    /// Who looks at it; ends before it does.
    _operator: Option<Operator>,
    /// The process that is measured.
    pub measured: Process,
    /// Where the proxy's metrics are.
    metrics: Option<String>,
    miners_connect_to: String,
    _behind: Option<Process>,
    /// Configs live as long as who reads them.
    _folder: Option<TempDir>,
}

impl Site {
    /// Starts a contestant and waits until it can serve miners.
    pub fn start(contestant: Contestant, pool: Pool) -> io::Result<Self> {
        match contestant {
            Contestant::Hashgate => Self::hashgate(pool, false),
            Contestant::Watched => Self::hashgate(pool, true),
            Contestant::Echo => {
                let (echo, address) = start_echo(pool.clean_every)?;
                Ok(Self {
                    measured: echo,
                    metrics: None,
                    miners_connect_to: address,
                    _operator: None,
                    _behind: None,
                    _folder: None,
                })
            }
            Contestant::Nginx => Self::relay("nginx", pool, nginx),
            Contestant::Haproxy => Self::relay("HAProxy", pool, haproxy),
        }
    }

    fn hashgate(pool: Pool, is_watched: bool) -> io::Result<Self> {
        let clean_every = humantime::format_duration(pool.clean_every).to_string();
        let difficulty = pool.difficulty.to_string();
        let args = ["--listen", "127.0.0.1:0", "--difficulty", &difficulty, "--clean-every", &clean_every];
        let behind = Process::start("the pool", Command::new(HASHGATE).args(["sim", "pool"]).args(args))?;
        let address = behind.logged("simulated pool on stratum+tcp://", START)?;
        let folder = TempDir::new()?;
        let config = folder.path().join("hashgate.toml");
        let store = folder.path().join("store.db");
        let by = match is_watched {
            true => format!("[store]\npath = {store:?}\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\"\n"),
            false => "[store]\nenabled = false\n".to_owned(),
        };
        fs::write(&config, config_text(&address, pool.miners_difficulty, &by))?;
        let proxy = Process::start("the proxy", Command::new(HASHGATE).args(["run", "--config"]).arg(config))?;
        // In the order in which the proxy says it.
        let admin = is_watched.then(|| proxy.logged("admin API on http://", START)).transpose()?;
        let admin = admin.map(|address| address.trim_end_matches("/api/v1").to_owned());
        let metrics = proxy.logged("metrics on http://", START)?.trim_end_matches("/metrics").to_owned();
        let miners_connect_to = proxy.logged("miners connect to stratum+tcp://", START)?;
        wait_for("the proxy's pool", || Ok(Scrape::of(&metrics)?.sum("hashgate_pool_connections") >= 1.0))?;
        let operator = admin.map(|address| Operator::looks(address, metrics.clone())).transpose()?;
        Ok(Self {
            measured: proxy,
            metrics: Some(metrics),
            miners_connect_to,
            _operator: operator,
            _behind: Some(behind),
            _folder: Some(folder),
        })
    }

    fn relay(
        what: &'static str,
        pool: Pool,
        command: impl FnOnce(&Path, SocketAddr, &str) -> io::Result<Command>,
    ) -> io::Result<Self> {
        let (echo, behind) = start_echo(pool.clean_every)?;
        // These can't say which port they got. Nobody takes it in between: ports of listeners are handed out in turn.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = TempDir::new()?;
        let relay = Process::start(what, &mut command(folder.path(), address, &behind)?)?;
        wait_for(what, || Ok(TcpStream::connect(address).is_ok()))?;
        Ok(Self {
            measured: relay,
            metrics: None,
            miners_connect_to: address.to_string(),
            _operator: None,
            _behind: Some(echo),
            _folder: Some(folder),
        })
    }

    /// Starts the load tool against it.
    pub fn miners(&self, miners: u32, load: &[&str], duration: Duration) -> io::Result<Load> {
        let (miners, duration) = (miners.to_string(), humantime::format_duration(duration).to_string());
        let args =
            ["sim", "miners", "--json", "-", "--connect-rate", CONNECT_RATE, "--connect", &self.miners_connect_to];
        let mut command = Command::new(HASHGATE);
        command.args(args).args(["--miners", &miners, "--duration", &duration]).args(load);
        Process::start("the load tool", &mut command).map(Load)
    }

    /// The proxy's metrics.
    pub fn scrape(&self) -> io::Result<Scrape> {
        self.metrics.as_deref().map_or_else(|| Ok(Scrape::default()), Scrape::of)
    }
}

/// What a dashboard's first page and its table of workers ask for, and how often; and a Prometheus that scrapes thrice as often as it does by
/// default.
const LOOKS: [(&str, Duration); 8] = [
    ("/api/v1/status", Duration::from_secs(2)),
    ("/api/v1/groups", Duration::from_secs(2)),
    ("/api/v1/pools", Duration::from_secs(3)),
    ("/api/v1/routes", Duration::from_secs(3)),
    ("/api/v1/signals", Duration::from_secs(3)),
    ("/api/v1/workers?limit=100", Duration::from_secs(2)),
    ("/api/v1/decisions?limit=500", Duration::from_secs(10)),
    ("/api/v1/series/hashrate", Duration::from_secs(10)),
];
const SCRAPE: Duration = Duration::from_secs(5);

/// An operator with a dashboard open, who looks until this is dropped.
struct Operator {
    stop: Arc<AtomicBool>,
    looking: Option<JoinHandle<io::Result<()>>>,
}

impl Operator {
    fn looks(api: String, metrics: String) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = stop.clone();
        let api = Arc::new(Api { address: api, token: TOKEN });
        // What can't be had is seen before anything is measured.
        for (path, _) in LOOKS {
            api.get(path)?;
        }
        let stream = api.clone();
        thread::spawn(move || stream.listen("/api/v1/events"));
        let looking = thread::spawn(move || {
            let mut due = LOOKS.map(|(_, every)| Instant::now() + every);
            let mut scrape = Instant::now() + SCRAPE;
            while !is_over.load(Ordering::Relaxed) {
                sleep(GLANCE);
                for ((path, every), due) in LOOKS.iter().zip(&mut due).filter(|(_, due)| Instant::now() >= **due) {
                    api.get(path)?;
                    *due += *every;
                }
                if Instant::now() >= scrape {
                    Scrape::of(&metrics)?;
                    scrape += SCRAPE;
                }
            }
            Ok(())
        });
        Ok(Self { stop, looking: Some(looking) })
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Ok(Err(error))) = self.looking.take().map(JoinHandle::join) {
            assert!(thread::panicking(), "the operator could not look at the proxy all the time: {error}");
        }
    }
}

/// The load tool at work.
pub struct Load(Process);

impl Load {
    /// Waits until all miners are there and the measured time begins.
    pub fn began(&self) -> io::Result<()> {
        self.0.logged("measuring: ", Duration::from_secs(60)).map(drop)
    }

    /// Waits until the measured time has ended.
    pub fn ended(&self) -> io::Result<()> {
        self.0.logged("measured: ", Duration::from_secs(120)).map(drop)
    }

    /// Its report. A run in which shares were refused, miners fell away or the protocol was hurt measures something else: an error.
    pub fn report(self) -> io::Result<LoadReport> {
        let report = LoadReport(serde_json::from_str(&self.0.output()?)?);
        let lost = report.number("/miners")? - report.number("/connected_at_end")?;
        let refused = report.number("/totals/sent")? - report.number("/totals/accepted")?;
        let violations = report.0["violations"].as_array().is_none_or(|violations| !violations.is_empty());
        if lost > 0.0 || refused > 0.0 || violations || report.number("/hash_bound")? > 0.0 {
            return Err(io::Error::other(format!("the load was not clean: {:#}", report.0)));
        }
        Ok(report)
    }
}

/// What the load tool found.
pub struct LoadReport(Value);

impl LoadReport {
    /// A number of it, by its JSON pointer.
    pub fn number(&self, pointer: &str) -> io::Result<f64> {
        let number = self.0.pointer(pointer).and_then(Value::as_f64);
        number.ok_or_else(|| io::Error::other(format!("the load tool's report has no {pointer}")))
    }
}

fn wait_for(what: &str, is_there: impl Fn() -> io::Result<bool>) -> io::Result<()> {
    let deadline = Instant::now() + START;
    while !is_there()? {
        if Instant::now() >= deadline {
            return Err(io::Error::other(format!("{what} never came")));
        }
        sleep(GLANCE);
    }
    Ok(())
}

fn start_echo(clean_every: Duration) -> io::Result<(Process, String)> {
    let clean_every = humantime::format_duration(clean_every).to_string();
    let mut command = Command::new(env::current_exe()?);
    let echo = Process::start("the echo", command.args(["--bench", "echo", "--clean-every", &clean_every]))?;
    let address = echo.logged("echo on ", START)?;
    Ok((echo, address))
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

/// The least that relays: no log, no limits, a process per core with a listening socket of its own.
fn nginx(folder: &Path, listen: SocketAddr, behind: &str) -> io::Result<Command> {
    let module =
        if Path::new(STREAM_MODULE).exists() { format!("load_module {STREAM_MODULE};") } else { String::new() };
    let (cores, connections) = (cores(), 2 * RELAY_CONNECTIONS);
    let config = folder.join("nginx.conf");
    let text = format!(
        "{module}
daemon off;
worker_processes {cores};
pid nginx.pid;
error_log stderr crit;
events {{ worker_connections {connections}; }}
stream {{
    server {{
        listen {listen} reuseport backlog=4096;
        tcp_nodelay on;
        proxy_timeout 1h;
        proxy_pass {behind};
    }}
}}
"
    );
    fs::write(&config, text)?;
    let mut command = Command::new("nginx");
    command.arg("-p").arg(folder).arg("-e").arg("stderr").arg("-c").arg(config);
    Ok(command)
}

fn haproxy(folder: &Path, listen: SocketAddr, behind: &str) -> io::Result<Command> {
    let (cores, connections) = (cores(), RELAY_CONNECTIONS);
    let config = folder.join("haproxy.cfg");
    let text = format!(
        "global
    maxconn {connections}
    nbthread {cores}
defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h
listen relay
    bind {listen} backlog 4096
    server echo {behind}
"
    );
    fs::write(&config, text)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(config);
    Ok(command)
}

/// The load must not be steered: one difficulty for all and no change of it.
fn config_text(pool: &str, difficulty: f64, watched_by: &str) -> String {
    format!(
        r#"
[proxy]
state_file = ""
[metrics]
listen = "127.0.0.1:0"
{watched_by}
[limits]
accepts_per_second = 10000
[[listener]]
name = "farm"
listen = "127.0.0.1:0"
difficulty = {difficulty:e}
min_difficulty = {difficulty:e}
max_difficulty = {difficulty:e}
shares_per_minute = 300
[[pool]]
name = "simulated"
url = "stratum+tcp://{pool}"
user = "bench"
"#
    )
}
