//! The proxy's figures end to end, beside a bare echo and two relays: pool, proxy and miners as processes of their own, over loopback.
//!
//! ```text
//! cargo bench --bench figures                             under eight minutes, one table with ratios
//! cargo bench --bench figures -- --only shares,closed     some of it: shares, closed, forwarded, idle, fan-out
//! cargo bench --bench figures -- --contestants hashgate,echo
//! cargo bench --bench figures -- --contestants hashgate,watched --only shares,closed,idle     what it costs to be watched
//! cargo bench --bench figures -- --json out.json          the values of every run as well
//! cargo bench --bench figures -- --quick                  under 30 seconds; proves that it works, its figures mean little
//! ```
//!
//! ```text
//!  load tool ──► hashgate ──► simulated pool        (pool difficulty 1, the miners' 1e-10: no share goes up, every one is checked)
//!  load tool ──► echo                               (answers every submit with true, looks at nothing)
//!  load tool ──► nginx | HAProxy ──► echo           (only the relay's own processes count)
//! ```
//!
//! | figure | measured by |
//! |---|---|
//! | CPU per share | processor time of the contestant's processes (`/proc/PID/task/*/schedstat`) while the load tool measures, over the shares answered meanwhile |
//! | reply p50, p99, p99.9 | the load tool: from the write of a share to the read of its answer |
//! | shares/s, closed loop | the load tool: each miner sends its next share when it has read the answer to its last |
//! | memory per idle miner | (own resident memory, `RssAnon`, with all miners at work − before they came) / miners; what the kernel holds for sockets is not in it |
//! | clean job | the load tool: from the first miner that has it to the last, and from the making in the pool (stamped in the coinbase) to the last |
//!
//! A run during which other programs had a tenth of the processors is measured again, twice at the most; then the table says so.
//! Each figure is the median of several runs, each with new processes; contestants take turns run by run, so that what else the machine
//! does meets all alike: ratios are what to trust. All processes share this machine, so that latencies hold the load tool's own
//! delay as well ("own delay"): on few cores, they are an upper bound. Differences below a tenth are noise.
//!
//! Limits: Linux (`/proc`); 17 500 miners need `ulimit -n` of 17 600, and a size that the limit does not allow is left out and said.

mod echo;
mod http;
mod idle;
mod process;
mod report;
mod scrape;
mod shares;
mod site;

use std::{fmt::Display, fs, io, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand, ValueEnum};

use idle::Idle;
use report::{Attempt, Report};
use shares::{Rate, Shares};
use site::{Contestant, Pool};

/// What miners work at: every hash is a share, so that the load tool's hashing costs nothing.
const DIFFICULTY: f64 = 1e-10;

/// How often a run is measured that other programs disturb.
const ATTEMPTS: usize = 3;

/// Files that a process needs beside its miners.
const SPARE_FILES: u32 = 100;

/// Figures of the proxy, end to end
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    /// Few miners, one run, under 30 seconds: proves that it works
    #[arg(long)]
    quick: bool,
    /// What to measure (default: everything)
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<What>,
    /// Who takes part (default: all that are installed)
    #[arg(long, value_enum, value_delimiter = ',')]
    contestants: Vec<Contestant>,
    /// Runs of everything (default 3, and 2 of idle and fan-out)
    #[arg(long)]
    runs: Option<usize>,
    /// Write every run's values as JSON here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What cargo says when it runs benches; without it this is `cargo test --all-targets`, which measures nothing
    #[arg(long, hide = true)]
    bench: bool,
}

/// What this program is when it starts itself.
#[derive(Subcommand)]
enum Part {
    /// The bare echo
    #[command(hide = true)]
    Echo {
        #[arg(long, value_parser = humantime::parse_duration)]
        clean_every: Duration,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Shares at fixed rates
    Shares,
    /// Shares as fast as they are answered
    Closed,
    /// Shares of which one in ten goes on to the pool; the proxy alone
    Forwarded,
    /// Memory of idle miners
    Idle,
    /// Clean jobs
    FanOut,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if !args.bench {
        println!("figures are measured by cargo bench");
        return ExitCode::SUCCESS;
    }
    let done = match &args.part {
        Some(Part::Echo { clean_every }) => echo::serve(*clean_every),
        None => measure(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("figures: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> io::Result<()> {
    let mut report = Report::new(args.quick);
    let wants = |what| args.only.is_empty() || args.only.contains(&what);
    let mut contestants = Vec::new();
    for contestant in Contestant::ALL {
        let is_asked_for = args.contestants.contains(&contestant);
        let is_usual = args.contestants.is_empty() && contestant != Contestant::Watched;
        if !is_asked_for && !is_usual {
            continue;
        }
        match contestant.missing() {
            Some(why) => report.note(why.to_owned()),
            None => contestants.push(contestant),
        }
    }
    let (loads, crowds) = (loads(args.quick, wants), crowds(args.quick, wants, &mut report));
    let runs = args.runs.unwrap_or(if args.quick { 1 } else { 3 });
    let crowd_runs = args.runs.unwrap_or(if args.quick { 1 } else { 2 });
    for run in 1..=runs {
        let say = |contestant, what: &dyn Display| eprintln!("run {run} of {runs}: {contestant}, {what}");
        for load in &loads {
            let alone = load.pool.difficulty < 1.0;
            let forwards = |contestant: &&Contestant| matches!(contestant, Contestant::Hashgate | Contestant::Watched);
            for contestant in contestants.iter().filter(|contestant| !alone || forwards(contestant)) {
                say(contestant, load);
                until_quiet(*contestant, |run| load.run(run, &mut report))?;
            }
        }
        for crowd in crowds.iter().filter(|_| run <= crowd_runs) {
            for contestant in contestants.iter().filter(|contestant| crowd.suits(**contestant)) {
                say(contestant, crowd);
                until_quiet(*contestant, |run| crowd.run(run, &mut report))?;
            }
        }
    }
    report.extrapolate();
    print!("{report}");
    match &args.json {
        Some(path) => fs::write(path, report.to_json()),
        None => Ok(()),
    }
}

/// Measures again what was disturbed.
fn until_quiet(contestant: Contestant, mut run: impl FnMut(Attempt) -> io::Result<bool>) -> io::Result<()> {
    for left in (0..ATTEMPTS).rev() {
        if run(Attempt { contestant, is_last: left == 0 })? {
            break;
        }
    }
    Ok(())
}

fn loads(quick: bool, wants: impl Fn(What) -> bool) -> Vec<Shares> {
    let window = Duration::from_millis(if quick { 500 } else { 3000 });
    let load = |miners, rate| Shares { miners, rate, window, pool: Pool::QUIET, suffix: "" };
    let mut loads = Vec::new();
    if wants(What::Shares) {
        match quick {
            true => loads.push(load(100, Rate::Open(500))),
            false => loads.extend([
                load(500, Rate::Open(5_000)),
                load(5_000, Rate::Open(5_000)),
                load(500, Rate::Open(20_000)),
            ]),
        }
    }
    if wants(What::Closed) {
        loads.push(load(if quick { 100 } else { 500 }, Rate::Closed));
    }
    if wants(What::Forwarded) {
        let (miners, rate) = if quick { (100, 500) } else { (1000, 5000) };
        let pool = Pool { difficulty: 1e-8, miners_difficulty: 1e-9, ..Pool::QUIET };
        loads.push(Shares { pool, suffix: ", one in ten forwarded", ..load(miners, Rate::Open(rate)) });
    }
    loads
}

fn crowds(quick: bool, wants: impl Fn(What) -> bool, report: &mut Report) -> Vec<Idle> {
    let (memory, fan_out) = (wants(What::Idle), wants(What::FanOut));
    if !memory && !fan_out {
        return Vec::new();
    }
    let (sizes, clean_jobs, clean_every): (&[u32], _, _) = match quick {
        true => (&[500], 3, Duration::from_millis(500)),
        false => (&[1_000, 10_000, 17_500], 6, Duration::from_millis(700)),
    };
    let limit = files_limit();
    let mut crowds = Vec::new();
    for miners in sizes.iter().copied() {
        let needed = miners + SPARE_FILES;
        if needed > limit {
            report.note(format!("{miners} miners: ulimit -n is {limit}, {needed} are needed"));
            continue;
        }
        crowds.push(Idle { miners, clean_jobs, clean_every, memory, fan_out });
    }
    crowds
}

/// Files that a child may open: it raises its own soft limit to the hard one.
fn files_limit() -> u32 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    limit.map_or(u32::MAX, |limit| limit.try_into().unwrap_or(u32::MAX))
}
