//! A whole cycle of a farm: 10 000 simulated ASICs mine, sleep while AI compute has their power, and mine again. Pool, proxy and site are
//! processes of their own, over loopback; the site alone knows what is truly drawn, and it judges.
//!
//! ```text
//! cargo bench --bench drain                              four minutes: power off, then the cycle
//! cargo bench --bench drain -- --only cycle              without the comparison with power off
//! cargo bench --bench drain -- --liars 5%                one in twenty obeys badly
//! cargo bench --bench drain -- --asics 1000 --json out.json
//! ```
//!
//! ```text
//!                 verdict                       sleep, wake, watts ──► simulated site ──┐
//!  this program ─────────► hashgate ──► power ─┤                       its meter, its ASICs ──► shares ──► hashgate ──► simulated pool
//!                                               leases ──────────────► its AI compute
//! ```
//!
//! | figure | measured by |
//! |---|---|
//! | shares | the site's machines: sent, answered, lost; the proxy's metrics; the pool's word |
//! | peak, seconds over the cap | the site's record of what its machines truly draw, ten times a second |
//! | seconds | from the verdict; what groups did by their receipts, what AI compute did by looking four times a second |
//! | processor time | `/proc/PID/task/*/schedstat`; the power side's loop is the thread `power`, its calls run on the proxy's others |
//!
//! The cap has room for all machines at their bounds and AI compute idle, and for no more: mining and AI compute together would be over
//! it by half. The ramp lets so much of a group's power be commanded within any minute: what fits at once, the rest a minute later. Machines
//! boot four times as fast as real ones.
//!
//! Limits: Linux; as many files as machines, twice.

#[path = "../figures/http.rs"]
mod http;
mod plant;
#[path = "../figures/process.rs"]
mod process;
#[path = "../figures/scrape.rs"]
mod scrape;
mod watch;

use std::{
    fs, io,
    path::PathBuf,
    process::ExitCode,
    thread::sleep,
    time::{Duration, Instant},
};

use clap::{Parser, ValueEnum};
use rustix::process::Signal;
use serde_json::{Value, json};

use http::number;
use plant::{Plan, Plant};
use process::Machine;
use scrape::Scrape;
use watch::{Look, until};

/// How long processor time is taken while nothing moves: two rounds of readings.
const STEADY: Duration = Duration::from_secs(20);

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(240);

#[derive(Parser)]
struct Args {
    /// Machines
    #[arg(long, default_value_t = 10_000)]
    asics: usize,
    /// The share of them whose firmware lies
    #[arg(long, default_value = "0%")]
    liars: String,
    /// How much of a group's power may be commanded within a minute, 1 for all of it
    #[arg(long, default_value_t = 0.6)]
    ramp: f64,
    /// What to measure (default: both)
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<What>,
    /// Decides what the site does
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write all values as JSON here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep the proxy's log here
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// What cargo says when it runs benches; without it this is `cargo test --all-targets`, which measures nothing
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// A proxy without a power side, for comparison
    Off,
    /// The cycle
    Cycle,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if !args.bench {
        println!("the drain is measured by cargo bench");
        return ExitCode::SUCCESS;
    }
    match measure(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drain: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> io::Result<()> {
    let mut figures = Figures::default();
    let wants = |what| args.only.is_empty() || args.only.contains(&what);
    let plan = Plan { asics: args.asics, liars: args.liars.clone(), seed: args.seed, ramp: args.ramp, power: true };
    if wants(What::Off) {
        let plant = Plant::start(&Plan { power: false, ..plan.clone() })?;
        steady(&plant, "power off", &mut figures)?;
    }
    if wants(What::Cycle) {
        cycle(&plan, args, &mut figures)?;
    }
    figures.print(&plan);
    match &args.json {
        Some(path) => fs::write(path, format!("{:#}\n", figures.to_json())),
        None => Ok(()),
    }
}

/// Names with their units, and values, in their order.
#[derive(Default)]
struct Figures(Vec<(String, f64)>);

impl Figures {
    fn add(&mut self, name: impl Into<String>, value: f64) {
        self.0.push((name.into(), (value * 1e3).round() / 1e3));
    }

    fn to_json(&self) -> Value {
        self.0.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<serde_json::Map<_, _>>().into()
    }

    fn print(&self, plan: &Plan) {
        println!(
            "\n{} ASICs, {} of them lie, seed {}, cap {:.1} MW",
            plan.asics,
            plan.liars,
            plan.seed,
            plan.cap() / 1e6
        );
        println!("\n| figure | value |\n|:--|--:|");
        for (name, value) in &self.0 {
            println!("| {name} | {value} |");
        }
    }
}

/// Processor time and memory while nothing moves.
fn steady(plant: &Plant, what: &str, figures: &mut Figures) -> io::Result<()> {
    let proxy = &plant.proxy;
    let shares = || Ok::<_, io::Error>(Scrape::of(&plant.metrics)?.sum("hashgate_shares_accepted_total"));
    let (machine, began, before) = (Machine::now()?, Instant::now(), shares()?);
    let (cpu, loop_cpu) = (proxy.cpu()?, proxy.cpu_of_thread("power")?);
    sleep(STEADY);
    let seconds = began.elapsed().as_secs_f64();
    let per_second = |time: Duration| time.as_secs_f64() / seconds * 100.0;
    figures.add(format!("{what}: CPU of the proxy, % of a core"), per_second(proxy.cpu()? - cpu));
    figures
        .add(format!("{what}: of that the power side's loop, %"), per_second(proxy.cpu_of_thread("power")? - loop_cpu));
    figures.add(format!("{what}: shares/s"), (shares()? - before) / seconds);
    figures.add(format!("{what}: memory of its own, MB"), proxy.resident()? as f64 / 1e6);
    figures.add(format!("{what}: CPU of others, % of a core"), per_second(Machine::now()?.others_since(&machine)));
    Ok(())
}

fn cycle(plan: &Plan, args: &Args, figures: &mut Figures) -> io::Result<()> {
    let plant = Plant::start(plan)?;
    plant.says("profitable")?;
    let mut log = plant.proxy.said();
    steady(&plant, "all mine", figures)?;

    let drained = moved(&plant, "unprofitable", "drain", figures, |look| look.all_in(&["ASLEEP", "FAULT"]))?;
    let told = until(&plant, "AI compute has a lease", PATIENCE, |look| look.block("granted_kw") > 0.0)?;
    figures.add("drain: first lease, s after the verdict", (told.at - drained.said).as_secs_f64());
    let drawn = until(&plant, "AI compute draws it", PATIENCE, |look| {
        let granted = look.block("granted_kw");
        granted > 0.0 && look.truth("/draw/ai") / 1e3 >= 0.9 * granted
    })?;
    figures
        .add("drain: AI compute draws what it was given, s after the verdict", (drawn.at - drained.said).as_secs_f64());
    // What is free late is lent late.
    sleep(Duration::from_secs(10));
    let lent = Look::at(&plant)?;
    figures.add("asleep: lent to AI compute, MW", lent.block("granted_kw") / 1e3);
    figures.add("asleep: the site truly draws, MW", lent.truth("/watts") / 1e6);
    figures.add("asleep: machines that truly sleep", lent.truth("/asleep"));
    log.extend(plant.proxy.said());
    steady(&plant, "asleep", figures)?;

    moved(&plant, "profitable", "wake", figures, |look| look.all_in(&["MINING", "FAULT"]))?;
    log.extend(plant.proxy.said());
    sleep(Duration::from_secs(5));
    finish(plant, log, args, figures)
}

/// What a verdict set off.
struct Moved {
    said: Instant,
}

/// Says a verdict and waits until all groups have come to rest, as far as they do.
fn moved(
    plant: &Plant,
    verdict: &str,
    what: &str,
    figures: &mut Figures,
    is_there: impl Fn(&Look) -> bool,
) -> io::Result<Moved> {
    let (cpu, loop_cpu, written) = (plant.proxy.cpu()?, plant.proxy.cpu_of_thread("power")?, plant.proxy.written()?);
    let said = Instant::now();
    plant.says(verdict)?;
    let is_wake = what == "wake";
    if is_wake {
        let back = until(plant, "AI compute has given back", PATIENCE, |look| look.block("granted_kw") == 0.0)?;
        figures.add("wake: all leases are back, s after the verdict", (back.at - said).as_secs_f64());
    }
    let rest = until(plant, what, PATIENCE, is_there)?;
    let seconds = (rest.at - said).as_secs_f64();
    figures.add(format!("{what}: groups in FAULT, as machines did not obey"), rest.in_phase("FAULT") as f64);
    let receipts = plant.admin.get("/api/v1/receipts?limit=4")?;
    let receipts = receipts["receipts"].as_array().cloned().unwrap_or_default();
    let most = |pointer: &str| receipts.iter().map(|receipt| number(receipt, pointer)).fold(0.0, f64::max);
    let sum = |pointer: &str| receipts.iter().map(|receipt| number(receipt, pointer)).sum::<f64>();
    let first = receipts.iter().map(|receipt| number(receipt, "/seconds/to_first_command_s")).fold(f64::MAX, f64::min);
    let last =
        |receipt: &Value| number(receipt, "/seconds/to_first_command_s") + number(receipt, "/seconds/to_last_proof_s");
    figures.add(format!("{what}: first command, s after the order"), first);
    figures
        .add(format!("{what}: last proof by watts, s after the order"), receipts.iter().map(last).fold(0.0, f64::max));
    figures.add(format!("{what}: all groups are there, s after the verdict"), seconds);
    figures.add(format!("{what}: longest wait for the last shares, s"), most("/seconds/to_quiet_s"));
    for name in ["asked", "confirmed", "failed", "unavailable", "left_out", "commands"] {
        figures.add(format!("{what}: devices: {name}"), sum(&format!("/devices/{name}")));
    }
    for name in ["accepted", "rejected", "timed_out", "in_flight_at_end"] {
        figures.add(format!("{what}: receipts' shares: {name}"), sum(&format!("/shares/{name}")));
    }
    let per_second = |time: Duration| time.as_secs_f64() / seconds * 100.0;
    figures.add(format!("{what}: CPU of the proxy, % of a core"), per_second(plant.proxy.cpu()? - cpu));
    let loop_cpu = plant.proxy.cpu_of_thread("power")? - loop_cpu;
    figures.add(format!("{what}: of that the power side's loop, %"), per_second(loop_cpu));
    figures.add(format!("{what}: written to the disk, MB"), (plant.proxy.written()? - written) as f64 / 1e6);
    figures.add(format!("{what}: memory of its own, MB"), plant.proxy.resident()? as f64 / 1e6);
    Ok(Moved { said })
}

/// Ends all, and settles the books.
fn finish(plant: Plant, mut log: Vec<String>, args: &Args, figures: &mut Figures) -> io::Result<()> {
    let page = plant.admin.get("/api/v1/power")?;
    figures.add("meter readings over the cap, as the proxy saw them", number(&page, "/site/over_cap_readings"));
    let Plant { proxy, site, metrics, ledger, .. } = &plant;
    figures.add("ledger file, MB", fs::metadata(ledger)?.len() as f64 / 1e6);
    site.signal(Signal::INT)?;
    // What is on its way to the pool.
    sleep(Duration::from_secs(8));
    let books = Scrape::of(metrics)?;
    for name in ["forwarded", "rejected", "accepted"] {
        figures.add(format!("proxy's shares: {name}"), books.sum(&format!("hashgate_shares_{name}_total")));
    }
    for name in ["accepted", "rejected", "stale_to_both", "unanswered", "lost_unsettled"] {
        figures.add(format!("pool's answers: {name}"), books.sum(&format!("hashgate_pool_shares_{name}_total")));
    }
    proxy.signal(Signal::TERM)?;
    let Plant { proxy, site, pool: _pool, .. } = plant;
    let report: Value = serde_json::from_str(&site.output()?)?;
    let record = |name: &str, scale: f64| number(&report, name) * scale;
    figures.add("peak of what the site truly drew, MW", record("/peak_watts", 1e-6));
    figures.add("its cap, MW", record("/cap", 1e-6));
    figures.add("seconds over the cap", record("/over_cap_seconds", 1.0));
    figures.add("AI compute drew, MWh", record("/ai_watt_hours", 1e-6));
    for name in ["mining", "asleep", "moving"] {
        figures.add(format!("in the end: machines {name}"), record(&format!("/{name}"), 1.0));
    }
    for name in ["sent", "accepted", "rejected", "stale", "unanswered", "lost", "cut_off", "violations"] {
        figures.add(format!("machines' shares: {name}"), record(&format!("/shares/{name}"), 1.0));
    }
    log.extend(proxy.end()?);
    for level in ["INFO", "WARN", "ERROR"] {
        let lines = log.iter().filter(|line| line.contains(&format!(" {level} "))).count();
        figures.add(format!("proxy's log: lines at {level}"), lines as f64);
    }
    match &args.log {
        Some(path) => fs::write(path, log.join("\n") + "\n"),
        None => Ok(()),
    }
}
