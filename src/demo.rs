//! The main job in one command, with nothing set up: a site that moves its power between mining and AI compute, and loses no share.
//!
//! Everything but the proxy is simulated, and says so; the sockets, the hashing, the share checks, the commands, the leases and their
//! signatures are real. On the way the first pool fails and comes back. At the end the pools' own count is compared with the proxy's, and the
//! site's own record of its power with its cap: neither asks the proxy.
//!
//! | file | what |
//! |---|---|
//! | `story` | who takes part, prices, config, how it must have ended |
//! | `plot` | when what happens |
//! | `stage` | all that runs |
//! | `screen` | the status line, and sentences |

mod plot;
mod screen;
mod stage;
mod story;

use std::{error::Error, time::Duration};

use clap::Args;
use tokio::{
    select,
    time::{Instant, MissedTickBehavior, interval},
};

use self::{
    plot::{Cue, LENGTH, Plot, Seen},
    screen::{Moment, Pace, Sentences, at_meter},
    stage::{Remains, Stage},
    story::{Act, GROUPS, OLDEST, Told},
};
use crate::{
    cli::receipts_in_words,
    power::{control::PowerSnapshot, group::Phase, receipt::Move},
    sim::{pool::Fault, site::SiteReport},
};

/// ASICs that it takes: with fewer, the luck of single ones would decide whether all fit under the cap.
const MACHINES: std::ops::RangeInclusive<i64> = 30..=3_000;

/// Of the oldest machines, with firmware that lies, so many obey at least.
const OBEY: f64 = 0.8;

/// Arguments of `hashgate demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// How long it takes; the whole story needs 68s, less is enough for a pool that fails
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Simulated ASICs, a third of each kind
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u16).range(MACHINES))]
    miners: u16,
    /// Some firmware lies, a blip of the supply wakes who sleeps, and AI compute gives back late
    #[arg(long)]
    faults: bool,
}

/// Runs the demo. `Ok(false)`: a share was lost, the site was over its cap or the story did not end as it must, and that was said.
///
/// # Errors
/// The proxy or a part of the simulated world can't start.
pub async fn run(args: &DemoArgs) -> Result<bool, Box<dyn Error>> {
    let mut plot = Plot::new(args.duration, args.faults);
    let stage = Stage::start(usize::from(args.miners) / GROUPS.len(), args.faults).await?;
    introduce(&stage, &plot, args.faults);
    let told = tell(&stage, &mut plot).await?;
    println!("ending: the last shares settle …");
    let remains = stage.end(plot.pool_fails_for()).await;
    Ok(conclude(&remains, args.faults, told))
}

/// Who is who, and what is to be expected.
fn introduce(stage: &Stage, plot: &Plot, has_faults: bool) {
    let machines = stage.machines;
    let kinds = GROUPS.map(|(name, efficiency, _)| format!("\"{name}\" ({efficiency} J/TH)"));
    let cap = stage.site.report().cap.unwrap_or(0.0) / 1e3;
    println!(
        "hashgate demo: the real proxy, on {}; all around it is simulated, in this process:",
        stage.proxy.addresses()[0]
    );
    println!(
        "  {} ASICs that really hash, at a tiny difficulty: {machines} of each {}",
        machines * 3,
        kinds.join(", ")
    );
    println!(
        "  2 pools, prices, AI compute that is lent power by signed leases, and a meter. The site may draw {cap:.0} kW:"
    );
    println!("  enough for all ASICs, or for AI compute in place of the oldest; not for both");
    let seconds = plot.length().as_secs();
    if plot.tells_all() {
        println!(
            "in about {seconds} s: power gets dear → the oldest ASICs sleep → AI gets their power → prices turn → AI gives it back → they wake"
        );
    } else {
        println!("in {seconds} s a pool fails; {} s are enough for the story of the power as well", LENGTH.as_secs());
    }
    if has_faults {
        println!(
            "with faults, which take up to a minute more: {:.0} % of the firmware lies, a blip wakes \"{OLDEST}\" while AI has its power, AI gives back {} s late",
            story::LIARS * 100.0,
            story::AI_LATE.as_secs()
        );
    }
    println!("Ctrl-C ends it\n");
}

/// Lets everything happen, and says what does, each second.
async fn tell(stage: &Stage, plot: &mut Plot) -> Result<Told, Box<dyn Error>> {
    let began = Instant::now();
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks.tick().await;
    let (mut pace, mut sentences) = (Pace::default(), Sentences::default());
    let mut is_waiting = false;
    loop {
        select! {
            _ = ticks.tick() => {}
            _ = tokio::signal::ctrl_c() => return Ok(Told::Part),
        }
        let elapsed = began.elapsed();
        let power = stage.proxy.power().map(|power| power.snapshot());
        let decision = stage.proxy.signals().and_then(|signals| signals.snapshot().decision.clone());
        let report = stage.site.report();
        if let Some(power) = &power {
            sentences.new_ones(power).iter().for_each(|words| println!("{words}"));
        }
        let hashrate = pace.look(elapsed, stage.proxy.totals().accepted_difficulty);
        let power = power.as_deref();
        println!("{}", Moment { elapsed, decision: decision.as_ref(), power, hashrate, report: &report }.line());
        let seen = seen(stage, elapsed, power, &report, plot.has_faults());
        while let Some(cue) = plot.next(&seen) {
            match cue {
                Cue::PoolFails(time) => {
                    println!("  ** pool \"first\" fails now, for {:.0} s", time.as_secs_f64());
                    stage.pools[0].fault(Fault::Down(time));
                }
                Cue::Prices(act) => {
                    println!("  ** {}", announce(act));
                    stage.set_prices(act)?;
                }
                Cue::Blip => {
                    println!(
                        "  ** a blip of the supply: all of \"{OLDEST}\" boots, unasked, while AI compute has its power"
                    );
                    stage.site.blip(Some(OLDEST));
                }
                Cue::End(told) => return Ok(told),
            }
        }
        if elapsed > plot.length() + Duration::from_secs(8) && !is_waiting {
            is_waiting = true;
            println!("  ** it goes on until those that obey mine again");
        }
    }
}

fn seen(
    stage: &Stage,
    elapsed: Duration,
    power: Option<&PowerSnapshot>,
    report: &SiteReport,
    has_faults: bool,
) -> Seen {
    let groups = || power.iter().flat_map(|power| power.site.groups.iter().flatten());
    let is_known = groups().count() == GROUPS.len() && groups().all(|group| group.devices == stage.machines);
    let all_mine =
        is_known && stage.site.with_job() == report.counts.mining && groups().all(|group| group.phase == Phase::Mining);
    let oldest = report.groups.iter().find(|group| group.name == OLDEST).map_or(0, |group| group.counts.mining);
    let woke = power.is_some_and(|power| power.receipts.first().is_some_and(|receipt| receipt.kind == Move::Wake));
    let is_back = if has_faults { oldest as f64 >= OBEY * stage.machines as f64 } else { all_mine && woke };
    Seen { elapsed, all_mine, ai_works: stage.ai_works(), is_back }
}

fn announce(act: Act) -> String {
    let [(_, power), (_, ai), _] = story::prices(act);
    let ai = at_meter(ai);
    match act {
        Act::AllMine => format!("power costs {power:.0} $/MWh"),
        Act::PowerIsDear => format!("power gets dear: {power:.0} $/MWh"),
        Act::AiPays => format!("AI compute pays {ai:.0} $/MWh from now on"),
        Act::MiningPays => format!("prices turn back: power costs {power:.0} $/MWh, AI compute pays {ai:.0}"),
    }
}

/// Says how it ended; false if not as it must.
fn conclude(remains: &Remains, has_faults: bool, told: Told) -> bool {
    let Remains { report, totals, pools: [first, second], receipts } = remains;
    let credited = first.accepted + second.accepted;
    // On its way while the pool found a new block: no proxy can help that, and no pool credits it.
    let late = first.rejected_for("stale") + second.rejected_for("stale");
    let owed = (totals.forwarded + totals.unforwarded).saturating_sub(late);
    if !receipts.is_empty() {
        println!("\nreceipts, as `hashgate receipts` shows them, the oldest first:");
        print!("{}", receipts_in_words(receipts));
    }
    let (shares, record) = (&report.shares, &report.record);
    println!("\nminers sent {} shares: {} accepted, {} rejected", shares.sent, shares.accepted, shares.rejected);
    for (reason, count) in totals.rejected.iter().filter(|(_, count)| *count > 0) {
        println!("    rejected as {reason}: {count}");
    }
    if shares.cut_off > 0 {
        println!("    {} more had no answer because the machine's own power went", shares.cut_off);
    }
    println!("pools should credit {owed} of them and credited {credited} ({:.1} %)", percent(credited, owed));
    if late > 0 {
        println!("    {late} more were on their way when their pool found a new block");
    }
    println!(
        "failovers {}, moves back {}, replies p99 under {}",
        totals.router.failovers[0],
        totals.router.fail_backs[0],
        totals.reply.quantile(0.99).map_or("-".into(), |p99| humantime::format_duration(p99).to_string()),
    );
    if shares.violations > 0 {
        println!("firmware found fault with {} answers", shares.violations);
    }
    println!(
        "the site's own record: AI compute drew {:.2} kWh; peak {:.0} of {:.0} kW, over the cap for {:.1} s",
        record.ai_watt_hours / 1e3,
        record.peak_watts / 1e3,
        report.cap.unwrap_or(0.0) / 1e3,
        record.over_cap_seconds
    );
    if record.over_cap_seconds > 0.0 && has_faults {
        println!(
            "    {:.1} s in a row at most, after the blip; AI compute has to shed within {:.0} s",
            record.longest_over_cap_seconds,
            story::may_be_over(has_faults)
        );
    }
    let faults = story::faults_found(report, owed, credited, has_faults, told);
    for fault in &faults {
        println!("WRONG: {fault}");
    }
    if faults.is_empty() {
        let cap =
            if record.over_cap_seconds > 0.0 { "the site came back under its cap" } else { "the cap was never passed" };
        let end = if told == Told::Part { "; ended before the story was told" } else { "" };
        println!("no share was lost, {cap}{end}");
    }
    faults.is_empty()
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 100.0 } else { part as f64 / whole as f64 * 100.0 }
}
