//! The command line.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | it did what was asked; a proxy that was told to end has ended (shares without an answer are in the log) |
//! | 1 | it failed while running: an address is taken, the demo lost a share or passed its cap, a server can't be reached, told to end twice; the running proxy did not do what an operator asked |
//! | 2 | it was asked the wrong way: arguments, a config that is not valid, a token that the running proxy does not take, a group that it does not have |
//! | 3 | `status --check`: the proxy was reached, and something is wrong with it |

mod admin;
mod asic;
mod backtest;
mod events;
mod export;
mod ledger;
mod power;
mod reload;
mod shell;
mod status;
mod terminal;
mod words;
mod workers;

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
    time::{Instant, interval, sleep_until},
};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

pub(crate) use self::power::receipts_in_words;
use self::{
    asic::AsicCommand,
    backtest::BacktestArgs,
    events::EventsArgs,
    export::ExportArgs,
    ledger::{TakeOverArgs, WakeAllArgs},
    power::PowerCommand,
    reload::ReloadArgs,
    shell::{CompletionsArgs, ManArgs},
    status::StatusArgs,
    workers::WorkersArgs,
};
use crate::{
    app::{FollowLog, Lost, Proxy},
    config::{self, Config, LoadError, LogFormat},
    demo::{self, DemoArgs},
    limits,
    power::task::orphans,
    reload::Why,
    sim::{
        load::{self, LoadArgs, LoadSettings},
        pool::{Fault, PoolSettings, SimPool, VersionDialect},
        site::{self, SiteArgs},
    },
};

/// It failed while running.
const FAILED: u8 = 1;
/// It was asked the wrong way.
const MISUSED: u8 = 2;
/// It did what it was asked, which was to look, and something is wrong.
const UNWELL: u8 = 3;

const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed while running, or no running proxy is reached; 2 wrong arguments or config; 3 something is wrong (status --check)";

/// Stratum V1 proxy for mining farms: verifies every share, aggregates hashrate onto pools
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy
    Run(ConfigArgs),
    /// Check a config: every problem at once, then the plan in plain words
    Check(CheckArgs),
    /// Show what the running proxy does and why, and what is wrong, on one screen
    Status(StatusArgs),
    /// Show the miners by name, the sick first; or one of them
    Workers(WorkersArgs),
    /// Show what happened last, and with -f what happens
    Events(EventsArgs),
    /// Replay price history: what this config's policy would have earned
    Backtest(BacktestArgs),
    /// Write what the store has of a time as CSV: workers, pools, decisions and more
    Export(ExportArgs),
    /// Show the whole thing with simulated pools, miners, AI compute and prices, no set-up needed
    Demo(DemoArgs),
    /// Simulated pools and miners, to load-test a deployment
    #[command(subcommand)]
    Sim(Sim),
    /// Let the running proxy read its config again: no miner is disconnected; SIGHUP does the same
    Reload(ReloadArgs),
    /// What is asked of the power side
    #[command(flatten)]
    Power(PowerCommand),
    /// Speak to one ASIC's firmware by hand, and see what is said
    #[command(subcommand)]
    Asic(AsicCommand),
    /// Wake what a proxy that does not run any more has put to sleep
    WakeAll(WakeAllArgs),
    /// Begin a new power ledger where the old one is lost
    TakeOver(TakeOverArgs),
    /// Print what lets a shell complete the commands
    Completions(CompletionsArgs),
    /// Print the manual page, or write all of them into a folder
    Man(ManArgs),
}

/// Why a command did not do what it was asked.
enum Failure {
    /// It was asked the wrong way.
    Misused(String),
    /// It failed while running.
    Failed(String),
    /// It was asked whether all is well, and has shown what is not.
    Unwell,
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The config file
    #[arg(long, short, value_name = "FILE", default_value = "hashgate.toml")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Say what changes from this config to the other, and what of it a running proxy can follow
    #[arg(long, value_name = "OLD")]
    diff: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Sim {
    /// A pool that checks every share and pays for none
    Pool(PoolArgs),
    /// Simulated ASICs: a load test for any Stratum V1 server, with a report
    Miners(LoadArgs),
    /// Simulated ASICs that draw watts, sleep, wake and lie, told over HTTP: a site to try the power side on
    Site(SiteArgs),
}

#[derive(Debug, Args)]
struct PoolArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:3334")]
    listen: SocketAddr,
    /// Share difficulty; 1e-6 suits simulated miners
    #[arg(long, default_value_t = 1e-6)]
    difficulty: f64,
    /// Bytes of extranonce2 left to the miner
    #[arg(long, default_value_t = 8)]
    extranonce2_size: usize,
    /// Bits that miners may roll, in hex; 0 for none
    #[arg(long, default_value = "1fffe000", value_parser = parse_mask)]
    version_mask: u32,
    /// How version bits are merged
    #[arg(long, value_enum, default_value_t = Dialect::Bip310)]
    dialect: Dialect,
    /// A new block so often; 0s for never
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    clean_every: Duration,
    /// A new job on the same block so often
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    notify_every: Duration,
    /// Drop every connection so often; 0s for never
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    drop_every: Duration,
    /// End after so long; 0s for never
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// Decides its jobs and extranonces: the same seed makes the same pool, without one each is another
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Dialect {
    Bip310,
    Or,
    Xor,
}

fn parse_mask(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 16).map_err(|error| format!("not a mask of eight hex digits: {error}"))
}

/// Runs what the arguments say.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Check(args) => check(&args),
        Command::Backtest(args) => replay(&args),
        Command::Export(args) => match load(&args.config) {
            Ok((config, _)) => {
                init_log(LogFormat::Text, "warn");
                block_on(async { done(export::run(&args, &config).await) })
            }
            Err(code) => code,
        },
        Command::Demo(args) => {
            // It says itself what its power side does.
            init_log(LogFormat::Text, "warn,hashgate::power=off");
            block_on(async { code(demo::run(&args).await) })
        }
        Command::Sim(Sim::Miners(args)) => {
            init_log(LogFormat::Text, "warn");
            limits::raise_open_files();
            match LoadSettings::try_from(args) {
                Ok(settings) => block_on(async { code(load::run_and_report(settings).await.map(|_| true)) }),
                Err(error) => misused(&error),
            }
        }
        Command::Sim(Sim::Site(args)) => {
            init_log(LogFormat::Text, "warn");
            limits::raise_open_files();
            block_on(async { code(site::run_and_report(&args).await.map(|_| true)) })
        }
        Command::Sim(Sim::Pool(args)) => {
            init_log(LogFormat::Text, "info");
            limits::raise_open_files();
            block_on(async { code(sim_pool(&args).await.map(|()| true)) })
        }
        Command::Status(args) => {
            init_log(LogFormat::Text, "warn");
            block_on(async { done(status::run(args).await) })
        }
        Command::Workers(args) => {
            init_log(LogFormat::Text, "warn");
            block_on(async { done(workers::run(args).await) })
        }
        Command::Events(args) => {
            init_log(LogFormat::Text, "warn");
            block_on(async { done(events::run(args).await) })
        }
        Command::Completions(args) => done(shell::completions(&args)),
        Command::Man(args) => done(shell::man(&args)),
        Command::Power(command) => {
            init_log(LogFormat::Text, "warn");
            block_on(async { done(power::run(command).await) })
        }
        Command::Reload(args) => {
            init_log(LogFormat::Text, "warn");
            block_on(async { done(reload::run(args).await) })
        }
        Command::Asic(command) => {
            init_log(LogFormat::Text, "warn");
            block_on(async { done(asic::run(command).await) })
        }
        Command::WakeAll(args) => match load(&args.config) {
            Ok((config, _)) => {
                init_log(LogFormat::Text, "warn");
                block_on(async { done(ledger::wake(&args, config).await) })
            }
            Err(code) => code,
        },
        Command::TakeOver(args) => match load(&args.config) {
            Ok((config, _)) => done(ledger::begin(&args, &config)),
            Err(code) => code,
        },
    }
}

fn done(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Misused(error)) => misused(&error),
        Err(Failure::Failed(error)) => code(Err::<bool, _>(error)),
        Err(Failure::Unwell) => ExitCode::from(UNWELL),
    }
}

fn misused(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("hashgate: {error}");
    ExitCode::from(MISUSED)
}

/// Writes to standard output. A pager that was closed has seen enough: that is no reason to panic.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// A result as an exit code; `false` is a failure that was told already.
fn code<E: std::fmt::Display>(result: Result<bool, E>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => {
            eprintln!("hashgate: {error}");
            ExitCode::from(FAILED)
        }
    }
}

/// Runs a task on a runtime of its own. Simulators open as many files as a proxy.
fn block_on(task: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(task),
        Err(error) => code(Err::<bool, _>(format!("can't start a runtime: {error}"))),
    }
}

fn init_log(format: LogFormat, filter: &str) {
    drop(init_log_that_follows(format, filter));
}

/// As [`init_log`]; what is returned puts another filter in its place. RUST_LOG stays what it is.
fn init_log_that_follows(format: LogFormat, filter: &str) -> FollowLog {
    // The config was validated with the same parser; RUST_LOG is for a look from outside.
    let from_outside = EnvFilter::try_from_default_env().ok();
    let is_fixed = from_outside.is_some();
    let filter = from_outside.unwrap_or_else(|| EnvFilter::new(filter));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let follow: FollowLog = match format {
        LogFormat::Json => {
            let log = log.json().with_filter_reloading();
            let handle = log.reload_handle();
            log.init();
            Box::new(move |filter| drop(handle.reload(EnvFilter::new(filter))))
        }
        LogFormat::Text => {
            let log = log.with_target(false).with_ansi(std::io::stderr().is_terminal()).with_filter_reloading();
            let handle = log.reload_handle();
            log.init();
            Box::new(move |filter| drop(handle.reload(EnvFilter::new(filter))))
        }
    };
    if is_fixed { Box::new(|_| {}) } else { follow }
}

fn load(path: &Path) -> Result<(Config, Vec<config::Warning>), ExitCode> {
    Config::load(path).map_err(|error| {
        match &error {
            LoadError::Read { .. } => {
                eprintln!("hashgate: {error}\nname one with --config; config.example.toml shows what is in it")
            }
            LoadError::Invalid { .. } => eprintln!("hashgate: {error}"),
        }
        ExitCode::from(MISUSED)
    })
}

fn check(args: &CheckArgs) -> ExitCode {
    let (config, warnings) = match load(&args.config.config) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    if let Some(old) = &args.diff {
        return match load(old) {
            Ok((old, _)) => {
                say(&reload::difference(&old, &config));
                ExitCode::SUCCESS
            }
            Err(code) => code,
        };
    }
    say(&config::describe(&config).to_string());
    for warning in &warnings {
        say(&format!("warning: {warning}\n"));
    }
    match orphans(&config) {
        Ok(orphans) => orphans.words().iter().for_each(|words| say(&format!("warning: {}\n", words::printable(words)))),
        Err(error) => {
            say(&format!("warning: {error}: whether machines sleep that this config can't wake is not known\n"))
        }
    }
    ExitCode::SUCCESS
}

fn replay(args: &BacktestArgs) -> ExitCode {
    let (config, warnings) = match load(&args.config) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    done(backtest::run(args, &config))
}

fn run(args: &ConfigArgs) -> ExitCode {
    let (config, warnings) = match load(&args.config) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let follow_log = init_log_that_follows(config.log.format, &config.log.filter);
    for warning in &warnings {
        warn!("config: {warning}");
    }
    block_on(serve(config, args.config.clone(), follow_log))
}

async fn serve(config: Config, path: PathBuf, follow_log: FollowLog) -> ExitCode {
    if let Some(warning) = limits::open_files_warning(limits::raise_open_files(), config.limits.connections) {
        warn!("{warning}");
    }
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        return code(Err::<bool, _>("can't listen for signals"));
    };
    let proxy = match Proxy::start(config).await {
        Ok(proxy) => proxy,
        Err(error) => return code(Err::<bool, _>(error)),
    };
    proxy.follow_log(follow_log);
    proxy.reload().keep(path).await;
    let hear_hangups = async {
        while hangup.recv().await.is_some() {
            // What came of it is in the log.
            let _ = proxy.reload().file(Why::Signal, false).await;
        }
        std::future::pending().await
    };
    let (told, is_lost) = select! {
        _ = terminate.recv() => ("SIGTERM", false),
        _ = interrupt.recv() => ("SIGINT", false),
        never = hear_hangups => never,
        lost = proxy.lost() => {
            let (what, then) = match lost {
                Lost::Worker => ("a worker", "its miners are disconnected"),
                Lost::Power => ("the power side", "machines and leases stay as they are until it goes on from its ledger"),
            };
            error!("the thread of {what} has ended by itself, {then}; ending, so that a supervisor starts the proxy anew");
            (what, true)
        }
    };
    let grace = proxy.reload().status().places.config.proxy.shutdown_grace;
    let grace_text = humantime::format_duration(grace);
    let lost = if is_lost { " is lost" } else { "" };
    info!("{told}{lost}: no more shares are taken; those in flight have {grace_text} to settle");
    select! {
        unsettled = proxy.shut_down(grace) => {
            match unsettled {
                0 => info!("ended; every share is settled"),
                unsettled => warn!("ended; {unsettled} shares had no answer from their pool"),
            }
            if is_lost { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
        }
        _ = terminate.recv() => code(Err::<bool, _>("told twice: ended at once")),
        _ = interrupt.recv() => code(Err::<bool, _>("told twice: ended at once")),
    }
}

async fn sim_pool(args: &PoolArgs) -> std::io::Result<()> {
    let never_if_zero = |duration: Duration| (!duration.is_zero()).then_some(duration);
    let settings = PoolSettings {
        listen: args.listen,
        difficulty: args.difficulty,
        extranonce2_size: args.extranonce2_size,
        version_mask: (args.version_mask != 0).then_some(args.version_mask),
        dialect: match args.dialect {
            Dialect::Bip310 => VersionDialect::Bip310,
            Dialect::Or => VersionDialect::Or,
            Dialect::Xor => VersionDialect::Xor,
        },
        clean_every: never_if_zero(args.clean_every),
        notify_every: args.notify_every,
        resume: true,
        max_connections: 100_000,
        seed: args.seed.unwrap_or_else(rand::random),
        ..PoolSettings::default()
    };
    let listens =
        |error: std::io::Error| std::io::Error::new(error.kind(), format!("--listen {}: {error}", args.listen));
    let pool = SimPool::start(settings).await.map_err(listens)?;
    info!("simulated pool on stratum+tcp://{}: it checks shares and pays for none; Ctrl-C ends it", pool.addr());
    let far = Duration::from_secs(86400 * 365);
    let end = Instant::now() + never_if_zero(args.duration).unwrap_or(far);
    let mut drops = interval(never_if_zero(args.drop_every).unwrap_or(far));
    drops.tick().await;
    let mut report = interval(Duration::from_secs(10));
    report.tick().await;
    let say = |pool: &SimPool| {
        let stats = pool.stats();
        info!(
            "{} connections, {} shares accepted, {} rejected {:?}, {} blocks",
            stats.connections.len(),
            stats.accepted,
            stats.rejected_total(),
            stats.rejected,
            stats.blocks
        );
    };
    loop {
        select! {
            _ = tokio::signal::ctrl_c() => break,
            () = sleep_until(end) => break,
            _ = drops.tick() => pool.fault(Fault::DropConnections),
            _ = report.tick() => say(&pool),
        }
    }
    say(&pool);
    pool.shutdown().await;
    Ok(())
}
