//! The two loads: many shares, and many miners that only wait for jobs.

use std::{
    io::{self, Write},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::{process::Process, report::Report, scrape::Scrape};

/// What miners work at, fixed: a share in 4.3 hashes, so that the load tool's hashing costs next to nothing.
const DIFFICULTY: &str = "1e-9";

/// One share in ten goes on to the pool.
const POOL_DIFFICULTY: &str = "1e-8";

/// Until miners are connected, or shares flow.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the metrics are looked at while something is waited for.
const GLANCE: Duration = Duration::from_millis(200);

/// The proxy and its pool.
struct Site {
    _pool: Process,
    proxy: Process,
    miners_connect_to: String,
    metrics: String,
    _config: NamedTempFile,
}

impl Site {
    /// Starts both and waits until the pool's work is there.
    fn start(clean_every: &str) -> io::Result<Self> {
        let pool = Process::start(
            "the pool",
            &["sim", "pool", "--listen", "127.0.0.1:0", "--difficulty", POOL_DIFFICULTY, "--clean-every", clean_every],
        )?;
        let pool_address = pool.logged("simulated pool on stratum+tcp://")?;
        let mut config = NamedTempFile::with_suffix(".toml")?;
        config.write_all(config_text(&pool_address).as_bytes())?;
        let path = config.path().to_str().ok_or_else(|| io::Error::other("the temporary folder is not UTF-8"))?;
        let proxy = Process::start("the proxy", &["run", "--config", path])?;
        let metrics = proxy.logged("metrics on http://")?.trim_end_matches("/metrics").to_owned();
        let miners_connect_to = proxy.logged("miners connect to stratum+tcp://")?;
        let site = Self { _pool: pool, proxy, miners_connect_to, metrics, _config: config };
        site.scrape_when(|scrape| scrape.sum("hashgate_pool_connections") >= 1.0)?;
        Ok(site)
    }

    fn miners(&self, miners: u32, shares_per_second: f64, duration: Duration) -> io::Result<Process> {
        let duration = humantime::format_duration(duration).to_string();
        let (miners, rate) = (miners.to_string(), shares_per_second.to_string());
        #[rustfmt::skip]
        let args = [
            "sim", "miners", "--quiet", "--json", "-", "--connect", &self.miners_connect_to, "--miners", &miners,
            "--shares-per-second", &rate, "--duration", &duration, "--connect-rate", "4000",
        ];
        Process::start("the load tool", &args)
    }

    fn scrape(&self) -> io::Result<Scrape> {
        Scrape::of(&self.metrics)
    }

    fn scrape_when(&self, condition: impl Fn(&Scrape) -> bool) -> io::Result<Scrape> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let scrape = self.scrape()?;
            if condition(&scrape) {
                return Ok(scrape);
            }
            if Instant::now() >= deadline {
                return Err(io::Error::other("the proxy's metrics never showed what was waited for"));
            }
            sleep(GLANCE);
        }
    }
}

/// The load must not be steered: one difficulty for all and no change of it.
fn config_text(pool: &str) -> String {
    format!(
        r#"
[proxy]
state_file = ""
[metrics]
listen = "127.0.0.1:0"
[limits]
accepts_per_second = 10000
[[listener]]
name = "farm"
listen = "127.0.0.1:0"
difficulty = {DIFFICULTY}
min_difficulty = {DIFFICULTY}
max_difficulty = {DIFFICULTY}
shares_per_minute = 300
[[pool]]
name = "simulated"
url = "stratum+tcp://{pool}"
user = "bench"
"#
    )
}

/// Many shares from a moderate number of miners.
pub struct Shares {
    pub miners: u32,
    /// Shares per second of all together.
    pub rate: u32,
    /// How long processor time is measured.
    pub window: Duration,
}

impl Shares {
    /// One run with processes of its own.
    pub fn run(&self, report: &mut Report) -> io::Result<()> {
        let site = Site::start("0s")?;
        let rate = f64::from(self.rate);
        // A second before the window and one after it, in which the load is the same.
        let load = site.miners(self.miners, rate, self.window + Duration::from_secs(3))?;
        let judged = |scrape: &Scrape| {
            scrape.sum("hashgate_shares_accepted_total") + scrape.sum("hashgate_shares_rejected_total")
        };
        let before = site.scrape_when(|scrape| judged(scrape) >= rate)?;
        let (cpu_before, began) = (site.proxy.cpu()?, Instant::now());
        sleep(self.window);
        let (cpu, seconds) = (site.proxy.cpu()? - cpu_before, began.elapsed().as_secs_f64());
        let after = site.scrape()?;
        let shares = judged(&after) - judged(&before);

        let load = load_report(load)?;
        expect_clean(&load)?;
        report.add("CPU of the proxy per share", "µs", cpu.as_secs_f64() * 1e6 / shares);
        report.add("shares judged per second", "1/s", shares / seconds);
        report.add("CPU of the proxy, of one core", "%", cpu.as_secs_f64() / seconds * 100.0);
        report.add("reply p50", "µs", number(&load, "/reply/p50_us")?);
        report.add("reply p99", "µs", number(&load, "/reply/p99_us")?);
        report.add("reply p99, without the way there: below", "µs", {
            after.histogram_since(&before, "hashgate_share_reply_seconds").quantile_bound_ms(0.99) * 1e3
        });
        report.add("own delay of the load tool p99", "µs", number(&load, "/own_lateness/p99_us")?);
        Ok(())
    }
}

/// Many miners that find nothing, and clean jobs for them.
pub struct Idle {
    pub miners: u32,
    /// Clean jobs while all are connected.
    pub clean_jobs: u32,
    pub clean_every: Duration,
}

impl Idle {
    /// One run with processes of its own.
    pub fn run(&self, report: &mut Report) -> io::Result<()> {
        let site = Site::start(&humantime::format_duration(self.clean_every).to_string())?;
        let miners = f64::from(self.miners);
        let empty = site.proxy.resident()?;
        let mut load = site.miners(self.miners, 1e-3, self.clean_every * (self.clean_jobs + 1))?;
        let before = site.scrape_when(|scrape| scrape.sum("hashgate_miners") >= miners)?;
        let connected = site.proxy.resident()?;
        let cpu_before = site.proxy.cpu()?;
        let wanted = miners * f64::from(self.clean_jobs);
        let fanned_out = |scrape: &Scrape| scrape.histogram_since(&before, "hashgate_fan_out_seconds");
        let after = loop {
            sleep(GLANCE);
            let scrape = site.scrape()?;
            if fanned_out(&scrape).count >= wanted {
                break scrape;
            }
            if load.has_ended()? {
                let count = fanned_out(&scrape).count;
                return Err(io::Error::other(format!(
                    "{count} clean jobs were handed out while the miners were there, {wanted} were expected"
                )));
            }
        };
        let cpu = site.proxy.cpu()? - cpu_before;
        let settled = site.proxy.resident()?;
        let fan_out = fanned_out(&after);

        let load = load_report(load)?;
        expect_clean(&load)?;
        let per_miner = |resident: u64| resident.saturating_sub(empty) as f64 / miners;
        report.add("memory per idle miner, just connected", "B", per_miner(connected));
        report.add("memory per idle miner, after all these jobs", "B", per_miner(settled));
        report.add("fan-out in the proxy, mean", "ms", fan_out.mean_ms());
        report.add("fan-out in the proxy, p99 below", "ms", fan_out.quantile_bound_ms(0.99));
        report.add("fan-out at the miners, first to last, p50", "ms", number(&load, "/fan_out/spread/p50_us")? / 1e3);
        report.add("CPU of the proxy per miner and clean job", "µs", cpu.as_secs_f64() * 1e6 / fan_out.count);
        Ok(())
    }
}

fn load_report(load: Process) -> io::Result<Value> {
    Ok(serde_json::from_str(&load.output()?)?)
}

fn number(report: &Value, pointer: &str) -> io::Result<f64> {
    let number = report.pointer(pointer).and_then(Value::as_f64);
    number.ok_or_else(|| io::Error::other(format!("the load tool's report has no {pointer}")))
}

/// A run in which shares were refused or miners fell away measures something else.
fn expect_clean(report: &Value) -> io::Result<()> {
    let count = |pointer| number(report, pointer);
    let lost = count("/miners")? - count("/connected_at_end")?;
    let refused = count("/totals/sent")? - count("/totals/accepted")?;
    if lost > 0.0 || refused > 0.0 || count("/hash_bound")? > 0.0 {
        return Err(io::Error::other(format!("the load was not clean: {report:#}")));
    }
    Ok(())
}
