//! `hashgate sim miners`: a load test of any Stratum V1 server with simulated ASICs.
//!
//! ```text
//!  connect (paced) ─► all have a job, or the patience ends ─► wake ─► measure for `duration` ─► sleep, settle ─► report
//! ```
//!
//! Every share is found by hashing, so the difficulty must be cheap: `--difficulty` asks for it in the password
//! (`d=…`), as renters of hashrate do. At 1e-10 any header is a share and none needs to be hashed here. Where the server insists on more, the report says `hash_bound`: the figures
//! then measure this process, not the server. `skipped` counts shares that were due and could not be made.
//!
//! One process, one thread of the runtime, 10 000 connections: one task per machine, one timer for all
//! ([`Pacer`](super::miner::Pacer)), one read buffer, one parse per distinct job. Only loopback and private addresses
//! are loaded unless told otherwise: this is a test tool, and other people's pools are not test objects.

mod progress;
mod report;

pub use report::{FanOut, JsonTarget, LoadReport};

use super::miner::{MIX, MinerSettings, Pace, Profile, Spread, Swarm, SwarmSettings};
use progress::Progress;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Most connections of one process: source ports to one address end at some 28 000.
pub const MAX_MINERS: usize = 25_000;
/// Descriptors that the process needs beside its sockets.
const SPARE_DESCRIPTORS: usize = 64;
/// How often progress is looked at.
const GLANCE: Duration = Duration::from_millis(100);
/// How long replies are waited for in the end.
const SETTLE: Duration = Duration::from_secs(5);
/// How long a clean job that came at the very end is waited for.
const STRAGGLERS: Duration = Duration::from_secs(1);

/// Arguments of `hashgate sim miners`.
#[derive(Clone, Debug, clap::Args)]
pub struct LoadArgs {
    /// Server to load
    #[arg(long, value_name = "HOST:PORT")]
    pub connect: String,
    /// Connections
    #[arg(long, default_value_t = 100)]
    pub miners: usize,
    /// Shares per second of all miners together
    #[arg(long, default_value_t = 100.0, value_name = "RATE")]
    pub shares_per_second: f64,
    /// Send each miner's next share as soon as its last is answered, instead of at a rate: finds the highest rate
    #[arg(long, conflicts_with = "shares_per_second")]
    pub closed_loop: bool,
    /// How long to measure, once all miners have a job
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub duration: Duration,
    /// User name; miners are called USER.0001, USER.0002 …
    #[arg(long, default_value = "farm")]
    pub user: String,
    /// Password
    #[arg(long, default_value = "x")]
    pub password: String,
    /// Difficulty to ask for, as `d=` in the password and as a suggestion
    #[arg(long, value_name = "D")]
    pub difficulty: Option<f64>,
    /// Firmware: `mix`, or the name of one
    #[arg(long, default_value = "mix")]
    pub profile: String,
    /// Connects per second
    #[arg(long, default_value_t = 2000.0, value_name = "RATE")]
    pub connect_rate: f64,
    /// How long to wait until all miners have a job
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub patience: Duration,
    /// Write the report as JSON to a file, or to standard output with `-`
    #[arg(long, value_name = "FILE")]
    pub json: Option<String>,
    /// Decides nonces and jitter
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Show no progress
    #[arg(long)]
    pub quiet: bool,
    /// Allow addresses that are neither loopback nor private
    #[arg(long)]
    pub allow_public: bool,
}

/// A load test, checked as far as it can be without a network.
#[derive(Clone, Debug)]
pub struct LoadSettings {
    /// Host and port of the server.
    pub connect: String,
    /// Connections, 1 to [`MAX_MINERS`].
    pub miners: usize,
    /// Shares per second of all miners together; `None` is a closed loop, each share after the answer to the last.
    pub shares_per_second: Option<f64>,
    /// How long to measure.
    pub duration: Duration,
    /// User name before the dot.
    pub user: String,
    /// Password, with the `d=` option if a difficulty was asked for.
    pub password: String,
    /// What `mining.suggest_difficulty` says, from firmware that says it.
    pub difficulty: Option<f64>,
    /// Firmware with weights.
    pub mix: Vec<(&'static Profile, u32)>,
    /// Connects per second.
    pub connects_per_second: f64,
    /// How long to wait until all miners have a job.
    pub patience: Duration,
    /// Where the report goes as JSON.
    pub json: Option<JsonTarget>,
    /// Decides nonces and jitter.
    pub seed: u64,
    /// Whether progress is shown on standard error.
    pub progress: bool,
    /// Whether public addresses are allowed.
    pub allow_public: bool,
}

/// Why there is no load test.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A number that makes no sense.
    #[error("--{option}: {value} is not {expected}")]
    Number {
        /// The option.
        option: &'static str,
        /// What it was.
        value: f64,
        /// What it should be.
        expected: &'static str,
    },
    /// A firmware that isn't known.
    #[error("--profile: no firmware is called {name:?}; known are mix, {known}")]
    Profile {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The server's name can't be resolved.
    #[error("--connect: cannot resolve {server:?}: {source}")]
    Resolve {
        /// What was asked for.
        server: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The name has no address.
    #[error("--connect: {0:?} has no address")]
    NoAddress(String),
    /// The address is somebody else's.
    #[error("--connect: {0} is neither loopback nor private; pass --allow-public if that server is yours to load")]
    Public(IpAddr),
    /// Too few file descriptors.
    #[error("{miners} miners need {needed} open files and the limit is {limit}; raise it with: ulimit -n {needed}")]
    Descriptors {
        /// Connections asked for.
        miners: usize,
        /// Descriptors needed.
        needed: usize,
        /// Descriptors allowed.
        limit: usize,
    },
    /// Nobody got a job.
    #[error("no miner got a job from {server} within {patience:?}: {connected} connected, violations: {violations}")]
    NoJob {
        /// The server.
        server: SocketAddr,
        /// How long was waited.
        patience: Duration,
        /// Connections made.
        connected: u64,
        /// What the miners complained about.
        violations: String,
    },
    /// The report can't be written.
    #[error("cannot write the report to {target}: {source}")]
    Report {
        /// Where to.
        target: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl TryFrom<LoadArgs> for LoadSettings {
    type Error = LoadError;

    fn try_from(args: LoadArgs) -> Result<Self, LoadError> {
        let positive = |option, value: f64| match value {
            value if value.is_finite() && value > 0.0 => Ok(value),
            value => Err(LoadError::Number { option, value, expected: "a positive number" }),
        };
        if !(1..=MAX_MINERS).contains(&args.miners) {
            let value = args.miners as f64;
            return Err(LoadError::Number { option: "miners", value, expected: "from 1 to 25000" });
        }
        let difficulty = args.difficulty.map(|difficulty| positive("difficulty", difficulty)).transpose()?;
        let mix = match (args.profile.as_str(), Profile::named(&args.profile)) {
            ("mix", _) => MIX.to_vec(),
            (_, Some(profile)) => vec![(profile, 1)],
            (_, None) => {
                let known = Profile::names().collect::<Vec<_>>().join(", ");
                return Err(LoadError::Profile { name: args.profile, known });
            }
        };
        let shares_per_second = positive("shares-per-second", args.shares_per_second)?;
        Ok(Self {
            connect: args.connect,
            miners: args.miners,
            shares_per_second: (!args.closed_loop).then_some(shares_per_second),
            duration: args.duration,
            user: args.user,
            password: with_difficulty(&args.password, difficulty),
            difficulty,
            mix,
            connects_per_second: positive("connect-rate", args.connect_rate)?,
            patience: args.patience,
            json: args.json.map(|target| match target.as_str() {
                "-" => JsonTarget::Stdout,
                _ => JsonTarget::File(target.into()),
            }),
            seed: args.seed,
            progress: !args.quiet,
            allow_public: args.allow_public,
        })
    }
}

/// Adds the `d=` option to a password.
pub(super) fn with_difficulty(password: &str, difficulty: Option<f64>) -> String {
    match (difficulty, password) {
        (None, _) => password.to_owned(),
        (Some(difficulty), "" | "x") => format!("d={difficulty}"),
        (Some(difficulty), _) => format!("{password},d={difficulty}"),
    }
}

/// Runs the subcommand: loads the server, prints the report, writes it as JSON where asked.
///
/// # Errors
/// See [`LoadError`].
pub async fn run_and_report(settings: LoadSettings) -> Result<LoadReport, LoadError> {
    let json = settings.json.clone();
    let report = run(settings).await?;
    match &json {
        Some(target) => report.write_json(target)?,
        None => println!("{report}"),
    }
    Ok(report)
}

/// Loads a server and reports.
///
/// # Errors
/// When the server is not to be loaded, can't be, or gives nobody a job.
pub async fn run(settings: LoadSettings) -> Result<LoadReport, LoadError> {
    run_until(settings, std::future::pending()).await
}

/// Loads a server until something has happened, at most as long as the settings say, and reports.
///
/// # Errors
/// As [`run`].
pub async fn run_until(settings: LoadSettings, end: impl Future<Output = ()>) -> Result<LoadReport, LoadError> {
    let server = resolve(&settings).await?;
    check_descriptors(settings.miners)?;
    let swarm = Swarm::start(&settings.swarm(server));
    let mut progress = Progress::new(&settings);
    let ready = connect(&swarm, &settings, &mut progress).await;
    if ready == 0 {
        let totals = swarm.totals();
        let violations = totals.violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let (patience, connected) = (settings.patience, totals.connects);
        return Err(LoadError::NoJob { server, patience, connected, violations });
    }
    progress.began(ready);
    swarm.wake();
    let started = Instant::now();
    let mut end = std::pin::pin!(end);
    let mut has_ended = false;
    while !has_ended && started.elapsed() < settings.duration {
        let glance = GLANCE.min(settings.duration.saturating_sub(started.elapsed()));
        has_ended = timeout(glance, end.as_mut()).await.is_ok();
        progress.measuring(&swarm, started.elapsed());
    }
    let seconds = started.elapsed().as_secs_f64();
    let ended = Instant::now();
    progress.ended(ended - started);
    let connected_at_end = swarm.mining();
    swarm.settle(SETTLE).await;
    let spreads = spreads(&swarm, started.into_std(), ended.into_std()).await;
    let (handshake, reply) = (swarm.board().handshake_times(), swarm.board().reply_latency());
    let own_lateness = swarm.lateness();
    let fan_out = FanOut::of(&spreads);
    let totals = swarm.stop(Duration::ZERO).await;
    let answered = totals.accepted + totals.rejected_total();
    Ok(LoadReport {
        server,
        miners: settings.miners,
        connected: ready,
        connected_at_end,
        seconds,
        handshake,
        asked_per_second: settings.shares_per_second,
        sent_per_second: totals.sent as f64 / seconds,
        answered_per_second: answered as f64 / seconds,
        reply,
        own_lateness,
        fan_out,
        hash_bound: totals.hash_bound as f64 / totals.sent.max(1) as f64,
        unanswered: totals.unanswered(),
        violations: totals.violations.iter().map(ToString::to_string).collect(),
        totals,
    })
}

impl LoadSettings {
    fn swarm(&self, server: SocketAddr) -> SwarmSettings {
        let each = |rate: f64| Pace::SharesPerSecond(rate / self.miners as f64);
        let pace = self.shares_per_second.map_or(Pace::AfterReply, each);
        let profile = self.mix.first().map_or(MIX[0].0, |(profile, _)| profile);
        let machine = MinerSettings {
            password: self.password.clone(),
            suggested_difficulty: self.difficulty,
            // A load test counts what is lost instead of hiding it.
            resubmit: false,
            asleep: true,
            seed: self.seed,
            ..MinerSettings::new(server, self.user.as_str(), profile, pace)
        };
        let connects_per_second = self.connects_per_second;
        SwarmSettings { machine, miners: self.miners, mix: self.mix.clone(), connects_per_second }
    }
}

async fn resolve(settings: &LoadSettings) -> Result<SocketAddr, LoadError> {
    let server = &settings.connect;
    let mut addresses = tokio::net::lookup_host(server)
        .await
        .map_err(|source| LoadError::Resolve { server: server.clone(), source })?;
    let address = addresses.next().ok_or_else(|| LoadError::NoAddress(server.clone()))?;
    if settings.allow_public || is_near(address.ip()) { Ok(address) } else { Err(LoadError::Public(address.ip())) }
}

/// Loopback, private, or of the local link.
pub(super) fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Says early, and with the remedy, what would otherwise be thousands of failed connects.
pub(super) fn check_descriptors(miners: usize) -> Result<(), LoadError> {
    let needed = miners + SPARE_DESCRIPTORS;
    match descriptor_limit() {
        Some(limit) if limit < needed => Err(LoadError::Descriptors { miners, needed, limit }),
        _ => Ok(()),
    }
}

/// The soft limit on open files; known on Linux only.
fn descriptor_limit() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Waits until all miners have a job, or the patience ends; how many have.
async fn connect(swarm: &Swarm, settings: &LoadSettings, progress: &mut Progress) -> usize {
    let connecting = Duration::from_secs_f64(settings.miners as f64 / settings.connects_per_second);
    let deadline = Instant::now() + connecting + settings.patience;
    loop {
        let ready = swarm.mining();
        progress.connecting(ready);
        if ready == settings.miners || Instant::now() >= deadline {
            return ready;
        }
        sleep(GLANCE).await;
    }
}

/// Of the clean jobs that began to arrive between two moments. One that came in the last moment is waited for, so that it reaches all.
async fn spreads(swarm: &Swarm, from: std::time::Instant, to: std::time::Instant) -> Vec<Spread> {
    let of_then = || swarm.board().spreads().into_iter().filter(|spread| (from..to).contains(&spread.began));
    if of_then().any(|spread| to.duration_since(spread.began) < STRAGGLERS) {
        sleep(STRAGGLERS).await;
    }
    of_then().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        load: LoadArgs,
    }

    fn settings(extra: &[&str]) -> Result<LoadSettings, LoadError> {
        let args = ["sim", "--connect", "127.0.0.1:1"].iter().chain(extra);
        Cli::try_parse_from(args).expect("the arguments parse").load.try_into()
    }

    #[test]
    fn the_difficulty_goes_into_the_password() {
        let password = |extra: &[&str]| settings(extra).expect("good settings").password;
        assert_eq!(password(&[]), "x");
        assert_eq!(password(&["--difficulty", "1e-9"]), "d=0.000000001");
        assert_eq!(password(&["--difficulty", "8", "--password", "c=BTC"]), "c=BTC,d=8");
    }

    #[test]
    fn nonsense_is_refused_by_the_option_s_name() {
        for (extra, names) in [
            (["--miners", "0"], "--miners"),
            (["--miners", "25001"], "--miners"),
            (["--shares-per-second", "0"], "--shares-per-second"),
            (["--difficulty", "nan"], "--difficulty"),
            (["--connect-rate", "inf"], "--connect-rate"),
            (["--profile", "gpu"], "cgminer"),
        ] {
            let error = settings(&extra).expect_err("nonsense").to_string();
            assert!(error.contains(names), "{error}");
        }
    }

    #[tokio::test]
    async fn strangers_are_not_loaded() {
        let mut settings = settings(&[]).expect("good settings");
        settings.connect = "192.0.2.1:3333".into();
        assert!(matches!(resolve(&settings).await, Err(LoadError::Public(_))));
        settings.allow_public = true;
        assert!(resolve(&settings).await.is_ok());
        for (address, near) in [("10.1.2.3", true), ("::1", true), ("fd00::1", true), ("::ffff:8.8.8.8", false)] {
            assert_eq!(is_near(address.parse().expect("an address")), near, "{address}");
        }
    }
}
