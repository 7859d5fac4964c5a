//! The proxy's figures end to end: pool, proxy and miners as processes of their own, over loopback.
//!
//! ```text
//! cargo bench --bench figures                    three to four minutes, a table
//! cargo bench --bench figures -- --json out.json the values of every run as well
//! cargo bench --bench figures -- --quick         under 20 seconds; proves that it works, its figures mean little
//! ```
//!
//! | figure | measured by |
//! |---|---|
//! | CPU per share | user and system time of the proxy's process over the shares that it judged meanwhile; 1 000 miners, 5 000 shares/s, one share in ten goes on to the pool |
//! | reply p50, p99 | the load tool: from the write of a share to the read of its answer, while the above is measured |
//! | memory per idle miner | (resident memory with all miners at work − before they came) / miners; 10 000 miners |
//! | fan-out | clean jobs for the same 10 000: the proxy's own histogram (from the job read to a miner's socket written), and the load tool (from the first miner that got it to the last) |
//!
//! Each figure is the median of several runs, each with new processes. All processes share this machine, so that latencies hold
//! the load tool's own delay as well ("own delay"): on few cores, they are an upper bound. Differences below a tenth are noise.
//!
//! Limits: Linux (`/proc`); 10 000 miners need `ulimit -n` of 10 100.

mod process;
mod report;
mod scenario;
mod scrape;

use std::{io, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;

use report::Report;
use scenario::{Idle, Shares};

/// Figures of the proxy, end to end
#[derive(Parser)]
struct Args {
    /// Few miners, one run, under 20 seconds: proves that it works
    #[arg(long)]
    quick: bool,
    /// Runs of the share load (default 5)
    #[arg(long)]
    share_runs: Option<usize>,
    /// Runs with idle miners and clean jobs (default 3)
    #[arg(long)]
    idle_runs: Option<usize>,
    /// Shares per second of the share load (default 5000)
    #[arg(long)]
    rate: Option<u32>,
    /// Write every run's values as JSON here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What cargo says when it runs benches; without it this is `cargo test --all-targets`, which measures nothing
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if !args.bench {
        println!("figures are measured by cargo bench");
        return ExitCode::SUCCESS;
    }
    match measure(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("figures: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> io::Result<()> {
    let mut report = Report::new(args.quick);
    let shares = if args.quick {
        Shares { miners: 100, rate: args.rate.unwrap_or(500), window: Duration::from_secs(2) }
    } else {
        Shares { miners: 1000, rate: args.rate.unwrap_or(5000), window: Duration::from_secs(8) }
    };
    let runs = args.share_runs.unwrap_or(if args.quick { 1 } else { 5 });
    for run in 1..=runs {
        eprintln!("shares, run {run} of {runs}: {} miners, {} shares/s", shares.miners, shares.rate);
        shares.run(&mut report)?;
    }
    let idle = if args.quick {
        Idle { miners: 500, clean_jobs: 3, clean_every: Duration::from_secs(1) }
    } else {
        Idle { miners: 10_000, clean_jobs: 16, clean_every: Duration::from_secs(2) }
    };
    let runs = args.idle_runs.unwrap_or(if args.quick { 1 } else { 3 });
    for run in 1..=runs {
        eprintln!("idle miners, run {run} of {runs}: {} miners, {} clean jobs", idle.miners, idle.clean_jobs);
        idle.run(&mut report)?;
    }
    print!("{report}");
    match &args.json {
        Some(path) => std::fs::write(path, report.to_json()),
        None => Ok(()),
    }
}
