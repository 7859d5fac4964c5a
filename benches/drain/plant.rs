//! Pool, proxy and simulated site as processes of their own.

use std::{
    fmt::Write as _,
    fs, io,
    net::TcpListener,
    path::PathBuf,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    http::{Api, number},
    process::{HASHGATE, Process},
    scrape::Scrape,
};

/// Until a process has said where it listens.
const START: Duration = Duration::from_secs(20);

/// How often something is looked at that is waited for.
pub const GLANCE: Duration = Duration::from_millis(250);

/// Groups, the oldest machines first: name, J/TH, nameplate in watts.
const GROUPS: [(&str, f64, f64); 4] =
    [("s19", 29.5, 3250.0), ("s19-xp", 21.5, 3010.0), ("s21", 17.5, 3500.0), ("s21-xp", 13.5, 3645.0)];

/// A hash in some 43 is a share: one in 3 to 8 seconds of a machine, as a proxy wants of real ones. A wake is proved by a first share,
/// and the last of thousands is late where shares are rare.
const DIFFICULTY: &str = "1e-8";
/// What stands for a terahash.
const HASHES_PER_TERAHASH: &str = "0.05";

/// What a device counts in the ledger, at most: pushed firmware goes to 1.25 of the nameplate and surges past that.
const BOUND: f64 = 1.06 * 1.05 * 1.25;

/// Who may push a verdict.
const TOKEN: &str = "a-bench-s-token-of-some-length-1234567890";
const AI_SECRET: &str = "a-bench-s-secret-of-some-length-1234567890";

/// What is to be started.
#[derive(Clone)]
pub struct Plan {
    /// Machines, all groups together.
    pub asics: usize,
    /// As in "5%".
    pub liars: String,
    /// The site's seed.
    pub seed: u64,
    /// Watts that may be commanded within a minute, of those of a group.
    pub ramp: f64,
    /// Whether the proxy has a power side.
    pub power: bool,
}

impl Plan {
    fn groups(&self) -> impl Iterator<Item = (&'static str, usize, f64, f64)> {
        let each = self.asics / GROUPS.len();
        let rest = self.asics % GROUPS.len();
        GROUPS
            .into_iter()
            .enumerate()
            .map(move |(at, (name, joules, nameplate))| (name, each + usize::from(at < rest), joules, nameplate))
    }

    /// What the groups draw by their nameplates, W.
    fn nameplates(&self) -> f64 {
        self.groups().map(|(_, count, _, nameplate)| count as f64 * nameplate).sum()
    }

    /// What the AI compute can draw, W of IT: near what all machines do.
    fn ai(&self) -> f64 {
        (self.nameplates() * 0.8 / 1e5).floor() * 1e5
    }

    /// What the site may draw, W: every machine at its bound, AI idle, and the reserve. Both together would be far over it.
    pub fn cap(&self) -> f64 {
        ((self.nameplates() * 1.03 * BOUND + self.ai() * 0.04 * 1.3) / 0.98 / 1e5).ceil() * 1e5
    }
}

/// All processes.
pub struct Plant {
    pub proxy: Process,
    pub site: Process,
    pub pool: Process,
    /// The proxy's admin API.
    pub admin: Api,
    /// The proxy's metrics.
    pub metrics: String,
    /// The simulated site's API.
    pub truth: Api,
    pub ledger: PathBuf,
    _folder: TempDir,
}

impl Plant {
    /// Starts all, and waits until every machine mines at the proxy.
    pub fn start(plan: &Plan) -> io::Result<Self> {
        let folder = TempDir::new()?;
        let args = ["sim", "pool", "--listen", "127.0.0.1:0", "--difficulty", DIFFICULTY];
        let pool = Process::start("the pool", Command::new(HASHGATE).args(args))?;
        let pool_address = pool.logged("simulated pool on stratum+tcp://", START)?;
        // The site's ports have to be in the proxy's config, and the proxy's in the site's arguments. Nobody takes them in between:
        // ports of listeners are handed out in turn.
        let (control, ai) = (free_port()?, free_port()?);
        let ledger = folder.path().join("power.db");
        let config = folder.path().join("hashgate.toml");
        fs::write(&config, config_text(plan, &pool_address, &control, &ai, &ledger.display().to_string()))?;
        let proxy = Process::start("the proxy", Command::new(HASHGATE).args(["run", "--config"]).arg(&config))?;
        let admin = proxy.logged("admin API on http://", START)?.trim_end_matches("/api/v1").to_owned();
        let admin = Api { address: admin, token: TOKEN };
        let metrics = proxy.logged("metrics on http://", START)?.trim_end_matches("/metrics").to_owned();
        let listener = proxy.logged("miners connect to stratum+tcp://", START)?;
        let mut site = Command::new(HASHGATE);
        site.args(["sim", "site", "--proxy", &listener, "--listen", &control, "--ai-listen", &ai, "--json", "-"]);
        site.args(["--difficulty", DIFFICULTY, "--hashes-per-terahash", HASHES_PER_TERAHASH, "--time-scale", "4"]);
        site.args(["--cap", &watts(plan.cap()), "--ai", &watts(plan.ai()), "--ai-secret", AI_SECRET]);
        site.args(["--liars", &plan.liars, "--seed", &plan.seed.to_string()]);
        for (name, count, joules, nameplate) in plan.groups() {
            site.args(["--group", &format!("{name}:{count}:{joules}:{nameplate}")]);
        }
        let site = Process::start("the site", &mut site)?;
        site.logged("control API on ", START)?;
        let truth = Api { address: control, token: "" };
        let plant = Self { proxy, site, pool, admin, metrics, truth, ledger, _folder: folder };
        let miners = || Ok::<_, io::Error>(Scrape::of(&plant.metrics)?.sum("hashgate_miners"));
        wait("all machines are connected", Duration::from_secs(90), || Ok(miners()? >= plan.asics as f64))?;
        if plan.power {
            wait("all machines are measured", Duration::from_secs(90), || {
                let page = plant.admin.get("/api/v1/power")?;
                let groups = page["groups"].as_array().into_iter().flatten();
                let measured: f64 = groups.map(|group| number(group, "/measured")).sum();
                // One that does not answer is not.
                Ok(measured >= plan.asics as f64 * 0.98)
            })?;
        }
        Ok(plant)
    }

    /// Somebody's verdict on mining.
    pub fn says(&self, verdict: &str) -> io::Result<()> {
        self.admin.put("/api/v1/signals/verdict", &format!("{{\"verdict\":\"{verdict}\"}}")).map(drop)
    }
}

/// Waits for something.
pub fn wait(what: &str, patience: Duration, mut is_so: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    while !is_so()? {
        if Instant::now() >= deadline {
            return Err(io::Error::other(format!("not within {patience:?}: {what}")));
        }
        sleep(GLANCE);
    }
    Ok(())
}

fn free_port() -> io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

fn watts(watts: f64) -> String {
    format!("{} kW", watts / 1e3)
}

fn config_text(plan: &Plan, pool: &str, control: &str, ai: &str, ledger: &str) -> String {
    let mut text = format!(
        r#"
[proxy]
state_file = ""
[metrics]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
token = "{TOKEN}"
[limits]
accepts_per_second = 10000
[[listener]]
name = "farm"
listen = "127.0.0.1:0"
difficulty = {DIFFICULTY}
min_difficulty = {DIFFICULTY}
max_difficulty = {DIFFICULTY}
[[pool]]
name = "simulated"
url = "stratum+tcp://{pool}"
user = "bench"
[[signal]]
name = "verdict"
unit = "verdict"
kind = "push"
max_age = "1h"
"#
    );
    if !plan.power {
        return text;
    }
    let _ = write!(
        text,
        r#"
[[signal]]
name = "site-meter"
unit = "kW"
kind = "http_json"
url = "http://{control}/meter"
value = "/kilowatts"
at = "/at"
poll = "2s"
[power]
ledger = "{ledger}"
[profit]
mode = "active"
min_asleep = "0s"
min_mining = "0s"
[site]
cap = "{}"
power_price = "60 USD/MWh"
overhead = 1.03
meter = "site-meter"
[[ai]]
name = "gpus"
power = "{}"
block = "{}"
price = "300 USD/MWh"
demand = 1
pue = 1.3
idle = "{}"
sheds_within = "30s"
[ai.control]
kind = "webhook"
url = "http://{ai}/lease"
status = "http://{ai}/status"
secret = "{AI_SECRET}"
poll = "2s"
"#,
        watts(plan.cap()),
        watts(plan.ai()),
        // More than is left beside all machines at their bounds: while all mine, AI compute gets nothing.
        watts((plan.ai() / 8.0).round()),
        watts(plan.ai() * 0.04),
    );
    for (name, count, _, nameplate) in plan.groups() {
        // What the ledger counts: where the plan says less, AI compute is left power that the last machines then lack to wake.
        let power = (count as f64 * nameplate * BOUND).round();
        let _ = write!(
            text,
            r#"
[[group]]
name = "{name}"
signal = "verdict"
power = "{}"
workers = "{name}.*"
nameplate = "{nameplate} W"
sleep_survives_power_cycle = "no"
ramp_down = "{ramp}"
ramp_up = "{ramp}"
sleep_time = "10s"
wake_time = "60s"
[group.actuator]
kind = "simulated"
url = "http://{control}"
"#,
            watts(power),
            ramp = watts((power * plan.ramp).max(nameplate).round()),
        );
    }
    text
}
