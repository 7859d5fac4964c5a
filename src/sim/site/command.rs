//! `hashgate sim site`: a simulated site in a process of its own, in front of a proxy.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, interval, sleep_until};

use super::report::Watts;
use super::settings::{AiDraw, SimGroup, SimSiteSettings};
use super::{HASHES_PER_TERAHASH, Lie, SimSite, SiteReport};
use crate::sim::ai_site::{AiFault, AiSite, AiSiteSettings};
use crate::sim::load::{self, LoadError};

/// How often a line is said.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// How long replies are waited for in the end.
const SETTLE: Duration = Duration::from_secs(5);
/// What AI compute draws without work, as a share of the most that it can.
const AI_IDLE: f64 = 0.04;
/// Without an end of its own: a year.
const FAR: Duration = Duration::from_secs(86_400 * 365);

/// Arguments of `hashgate sim site`.
#[derive(Clone, Debug, clap::Args)]
pub struct SiteArgs {
    /// Stratum server that all ASICs connect to
    #[arg(long, value_name = "HOST:PORT")]
    pub proxy: String,
    /// A group of ASICs, as in old:4000:29.5:3250, called old.0001 …; may be given several times
    #[arg(long, value_name = "NAME:COUNT:J_TH:NAMEPLATE_W", required = true, value_parser = parse_group)]
    pub group: Vec<SimGroup>,
    /// Where the control API listens
    #[arg(long, default_value = "127.0.0.1:9400")]
    pub listen: SocketAddr,
    /// What the site may draw, for the report, as in "10 MW"
    #[arg(long, value_name = "POWER", value_parser = parse_watts)]
    pub cap: Option<f64>,
    /// What is always there, at most
    #[arg(long, value_name = "POWER", default_value = "0 kW", value_parser = parse_watts)]
    pub base_load: f64,
    /// Simulated AI compute beside the ASICs: the most that it can draw, of IT, as in "4 MW"; it draws what it is leased
    #[arg(long, value_name = "POWER", value_parser = parse_watts)]
    pub ai: Option<f64>,
    /// Where that is told of leases: POST /lease, GET /status
    #[arg(long, default_value = "127.0.0.1:9500")]
    pub ai_listen: SocketAddr,
    /// What it wants its messages signed with
    #[arg(long, value_name = "TEXT", default_value = "simulated-site-secret")]
    pub ai_secret: String,
    /// What goes wrong with it, as in releases-late=30s or overdraws=10%; may be given several times
    #[arg(long, value_name = "FAULT")]
    pub ai_fault: Vec<AiFault>,
    /// The share of ASICs whose firmware lies
    #[arg(long, value_name = "PERCENT", default_value = "0%", value_parser = parse_share)]
    pub liars: f64,
    /// How they lie, in turns: stays-awake, hides-its-draw, resets, resets-when-woken, wakes-unasked, late, unreachable, objects; without it, all of these
    #[arg(long, value_name = "LIE", value_delimiter = ',')]
    pub lies: Vec<Lie>,
    /// How much faster than real ones machines boot, reset and dawdle
    #[arg(long, default_value_t = 1.0, value_name = "FACTOR")]
    pub time_scale: f64,
    /// Hashes per second that are computed for each TH/s that an ASIC would do
    #[arg(long, default_value_t = HASHES_PER_TERAHASH, value_name = "RATE")]
    pub hashes_per_terahash: f64,
    /// Password of all ASICs
    #[arg(long, default_value = "x")]
    pub password: String,
    /// Difficulty to ask for, as `d=` in the password and as a suggestion
    #[arg(long, value_name = "D")]
    pub difficulty: Option<f64>,
    /// Connects per second
    #[arg(long, default_value_t = 2000.0, value_name = "RATE")]
    pub connect_rate: f64,
    /// End after so long; 0s: at Ctrl-C
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    pub duration: Duration,
    /// Write the report as JSON to a file, or to standard output with `-`, instead of the text
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Decides everything that is random
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Allow addresses that are neither loopback nor private
    #[arg(long)]
    pub allow_public: bool,
}

/// Why there is no site, or no report.
#[derive(Debug, thiserror::Error)]
pub enum SiteRunError {
    /// The server's name can't be resolved.
    #[error("--proxy: cannot resolve {server:?}: {source}")]
    Resolve {
        /// What was asked for.
        server: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The address is somebody else's, or there is none.
    #[error("--proxy: {0} is neither loopback nor private; pass --allow-public if that server is yours to load")]
    Public(IpAddr),
    /// Too few file descriptors.
    #[error("{0}")]
    Descriptors(LoadError),
    /// The settings make no sense, or the address is taken.
    #[error("{0}")]
    Start(std::io::Error),
    /// The report can't be written.
    #[error("cannot write the report to {target}: {source}")]
    Report {
        /// Where to.
        target: String,
        /// Why not.
        source: std::io::Error,
    },
}

fn parse_group(text: &str) -> Result<SimGroup, String> {
    let wrong = || format!("\"{text}\" is not NAME:COUNT:J_TH:NAMEPLATE_W, as in old:4000:29.5:3250");
    let parts: Vec<&str> = text.split(':').collect();
    let [name, count, efficiency, nameplate] = parts[..] else {
        return Err(wrong());
    };
    let count = count.parse().map_err(|_| wrong())?;
    let number = |text: &str| text.parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0).ok_or_else(wrong);
    Ok(SimGroup::new(name, count, number(efficiency)?, number(nameplate)?))
}

fn parse_watts(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "W" => Some(1.0),
        "kW" => Some(1e3),
        "MW" => Some(1e6),
        _ => None,
    };
    let watts = number.trim().parse::<f64>().ok().zip(factor).map(|(number, factor)| number * factor);
    watts
        .filter(|watts| watts.is_finite() && *watts >= 0.0)
        .ok_or_else(|| format!("\"{text}\" is not a power: write W, kW or MW behind a number, as in \"10 MW\""))
}

fn parse_share(text: &str) -> Result<f64, String> {
    let percent = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    percent
        .filter(|percent| (0.0..=100.0).contains(percent))
        .map(|percent| percent / 100.0)
        .ok_or_else(|| format!("\"{text}\" is not a share from 0% to 100%"))
}

impl SiteArgs {
    /// The site that these arguments ask for.
    fn settings(&self, ai: Option<AiDraw>) -> SimSiteSettings {
        let groups = self.group.iter().cloned().map(|group| SimGroup {
            hashrate: group.nameplate / group.joules_per_terahash * self.hashes_per_terahash,
            ..group
        });
        SimSiteSettings {
            listen: self.listen,
            groups: groups.collect(),
            base_load: self.base_load,
            cap: self.cap,
            ai,
            liars: self.liars,
            lies: if self.lies.is_empty() { Lie::ALL.to_vec() } else { self.lies.clone() },
            time_scale: self.time_scale,
            password: load::with_difficulty(&self.password, self.difficulty),
            difficulty: self.difficulty,
            connects_per_second: self.connect_rate,
            seed: self.seed,
            ..SimSiteSettings::default()
        }
    }

    /// The AI compute that they ask for.
    async fn ai_site(&self) -> std::io::Result<Option<AiSite>> {
        let Some(capacity) = self.ai else {
            return Ok(None);
        };
        let settings = AiSiteSettings {
            listen: self.ai_listen,
            secret: self.ai_secret.clone(),
            capacity,
            idle: capacity * AI_IDLE,
            seed: self.seed,
            faults: self.ai_fault.clone(),
            ..AiSiteSettings::default()
        };
        AiSite::start(settings).await.map(Some)
    }
}

/// Why it did not start, with the address if it is about that.
fn at(flag: &str, address: SocketAddr, error: std::io::Error) -> SiteRunError {
    SiteRunError::Start(match error.kind() {
        std::io::ErrorKind::InvalidInput => error,
        kind => std::io::Error::new(kind, format!("{flag} {address}: {error}")),
    })
}

/// Runs the subcommand: a site until its time is over or Ctrl-C, then its report.
///
/// # Errors
/// See [`SiteRunError`].
pub async fn run_and_report(args: &SiteArgs) -> Result<SiteReport, SiteRunError> {
    let server = resolve(args).await?;
    let count: usize = args.group.iter().map(|group| group.count).sum();
    load::check_descriptors(count).map_err(SiteRunError::Descriptors)?;
    let ai = args.ai_site().await.map_err(|error| at("--ai-listen", args.ai_listen, error))?;
    if let Some(ai) = &ai {
        eprintln!("simulated AI compute: leases to {}, its status at {}", ai.url(), ai.status_url());
    }
    let draw = ai.map(|ai| AiDraw::new(move || ai.watts()));
    let site = SimSite::start(args.settings(draw)).await.map_err(|error| at("--listen", args.listen, error))?;
    let began = Instant::now();
    site.connect(server);
    let cap = args.cap.map_or("no cap".to_owned(), |cap| format!("a cap of {}", Watts(cap)));
    eprintln!(
        "simulated site: {count} ASICs for {server}, {cap}, control API on http://{}; Ctrl-C ends it",
        site.addr()
    );
    let end = began + if args.duration.is_zero() { FAR } else { args.duration };
    let mut lines = interval(LINE_EVERY);
    lines.tick().await;
    loop {
        tokio::select! {
            // Without a handler for it, Ctrl-C ends the process all the same.
            _ = tokio::signal::ctrl_c() => break,
            () = sleep_until(end) => break,
            _ = lines.tick() => eprintln!("{}", site.report().line()),
        }
    }
    let report = site.stop(SETTLE).await;
    write(&report, args.json.as_ref())?;
    Ok(report)
}

async fn resolve(args: &SiteArgs) -> Result<SocketAddr, SiteRunError> {
    let failed = |source| SiteRunError::Resolve { server: args.proxy.clone(), source };
    let mut found = tokio::net::lookup_host(&args.proxy).await.map_err(failed)?;
    let address = found.next().ok_or_else(|| failed(std::io::ErrorKind::NotFound.into()))?;
    let is_open = args.allow_public || load::is_near(address.ip());
    if is_open { Ok(address) } else { Err(SiteRunError::Public(address.ip())) }
}

fn write(report: &SiteReport, target: Option<&PathBuf>) -> Result<(), SiteRunError> {
    let Some(path) = target else {
        println!("{report}");
        return Ok(());
    };
    let json = serde_json::to_string_pretty(report).expect("a report has string keys and finite numbers");
    if path.as_os_str() == "-" {
        println!("{json}");
        return Ok(());
    }
    let failed = |source| SiteRunError::Report { target: path.display().to_string(), source };
    std::fs::write(path, json + "\n").map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        site: SiteArgs,
    }

    fn args(extra: &[&str]) -> Result<SiteArgs, String> {
        let args = ["site", "--proxy", "127.0.0.1:1"].iter().chain(extra);
        Cli::try_parse_from(args).map(|cli| cli.site).map_err(|error| error.to_string())
    }

    #[test]
    fn arguments_become_a_site() {
        let args = args(&[
            "--group",
            "old:4000:29.5:3250",
            "--group",
            "new:6000:17.5:3500",
            "--cap",
            "10 MW",
            "--liars",
            "5%",
            "--lies",
            "late,stays-awake",
            "--hashes-per-terahash",
            "0.1",
        ]);
        let settings = args.expect("good arguments").settings(None);
        assert_eq!(settings.validate(), Ok(()));
        assert_eq!((settings.cap, settings.liars, settings.groups.len()), (Some(10e6), 0.05, 2));
        assert_eq!(settings.lies, [Lie::IsLate, Lie::StaysAwake]);
        assert_eq!((settings.groups[1].count, settings.groups[1].hashrate), (6000, 20.0));
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        for (extra, names) in [
            (vec!["--group", "old:4000:29.5"], "NAME:COUNT"),
            (vec!["--group", "old:4000:0:3250"], "NAME:COUNT"),
            (vec!["--group", "a:1:20:3000", "--cap", "10"], "10 MW"),
            (vec!["--group", "a:1:20:3000", "--cap=-1 kW"], "is not a power"),
            (vec!["--group", "a:1:20:3000", "--liars", "5"], "100%"),
            (vec!["--group", "a:1:20:3000", "--lies", "white"], "stays-awake"),
            (vec![], "--group"),
        ] {
            let error = args(&extra).expect_err("nonsense");
            assert!(error.contains(names), "{error}");
        }
        for (group, names) in [("a b:1:20:3000", "a b"), ("a:0:20:3000", "0 ASICs"), ("a:25001:20:3000", "25001")] {
            let settings = args(&["--group", group]).expect("it parses").settings(None);
            let error = settings.validate().expect_err("nonsense").to_string();
            assert!(error.contains(names), "{error}");
        }
    }
}
