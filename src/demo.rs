//! The main job in one command, with nothing set up: simulated pools, the real proxy, simulated ASICs of mixed firmware.
//!
//! Everything but the proxy is simulated, and says so; the sockets, the hashing and the share checks are real. On the way the
//! first pool fails and comes back. At the end the pools' own count is compared with the proxy's.

pub mod story;

use std::{error::Error, time::Duration};

use clap::Args;
use tokio::{
    select,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    app::Proxy,
    config::{Config, ProcessEnv},
    sim::{
        miner::{MinerSettings, Pace, Swarm, SwarmSettings, profile},
        pool::{Fault, PoolSettings, SimPool},
    },
};

/// What a simulated ASIC hashes, per second. An optimised build makes over ten times the demo's sum on one core.
const HASHRATE: f64 = 1_200.0;

/// What the simulated pools credit: a share in 4 295 hashes.
const DIFFICULTY: f64 = 1e-6;

/// Waiting for the last answers.
const SETTLE: Duration = Duration::from_secs(5);

/// Arguments of `hashgate demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// End by itself after so long; without it, Ctrl-C ends it
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// Simulated ASICs
    #[arg(long, default_value_t = 300)]
    miners: usize,
}

/// What happens to the first pool, and when.
struct Script {
    fails_at: Duration,
    fails_for: Duration,
}

impl Script {
    /// A third of the time runs well, then the pool is away for a sixth.
    fn for_duration(duration: Duration) -> Self {
        Self { fails_at: duration / 3, fails_for: duration / 6 }
    }
}

/// Runs the demo. `Ok(false)`: a share was lost, and that was said.
///
/// # Errors
/// The proxy or a simulated pool can't start.
pub async fn run(args: &DemoArgs) -> Result<bool, Box<dyn Error>> {
    let script = Script::for_duration(args.duration.unwrap_or(Duration::from_secs(60)));
    let (first, second) = (start_pool("first", 1).await?, start_pool("second", 2).await?);
    let (config, _) = Config::parse(&config_text(&first, &second), &ProcessEnv { folder: ".".into() })?;
    let proxy = Proxy::start(config).await?;
    let server = proxy.addresses()[0];
    let swarm = Swarm::start(&SwarmSettings {
        machine: MinerSettings::new(server, "farm", &profile::CGMINER, Pace::Hashrate(HASHRATE)),
        miners: args.miners,
        mix: profile::MIX.to_vec(),
        connects_per_second: 200.0,
    });
    println!(
        "hashgate demo: 2 simulated pools, the real proxy on {server}, {} simulated ASICs of mixed firmware",
        args.miners
    );
    println!(
        "the ASICs really hash, at difficulties of {DIFFICULTY} and below; pool \"first\" fails on the way; Ctrl-C ends it"
    );

    let began = Instant::now();
    let mut second_tick = interval(Duration::from_secs(1));
    second_tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    second_tick.tick().await;
    let mut has_failed = false;
    loop {
        select! {
            _ = second_tick.tick() => {}
            _ = tokio::signal::ctrl_c() => break,
        }
        let elapsed = began.elapsed();
        if elapsed >= script.fails_at && !has_failed {
            has_failed = true;
            println!("  -- pool \"first\" fails now, for {:.0} s", script.fails_for.as_secs_f64());
            first.fault(Fault::Down(script.fails_for));
        }
        println!("{}", status_line(elapsed, &proxy, &swarm));
        if args.duration.is_some_and(|duration| elapsed >= duration) {
            break;
        }
    }

    println!("ending: the last shares settle …");
    let miners = swarm.stop(SETTLE).await;
    // What the proxy answered has to reach the pools; a pool that is still away comes back for it.
    let books = proxy.books();
    let deadline = Instant::now() + SETTLE + script.fails_for;
    while books.totals().unsettled() > 0 && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
    proxy.shut_down(SETTLE).await;
    let totals = books.totals();
    let (stats, more) = (first.stats(), second.stats());
    first.shutdown().await;
    second.shutdown().await;

    let credited = stats.accepted + more.accepted;
    // On its way while the pool found a new block: no proxy can help that, and no pool credits it.
    let late = stats.rejected_for("stale") + more.rejected_for("stale");
    let owed = totals.forwarded + totals.unforwarded - late;
    let worked = totals.accepted > 0 && credited == owed && miners.lost == 0;
    println!();
    println!("miners sent {} shares: {} accepted, {} rejected", miners.sent, miners.accepted, miners.rejected_total());
    for (reason, count) in totals.rejected.iter().filter(|(_, count)| *count > 0) {
        println!("    rejected as {reason}: {count}");
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
    if miners.violation_count() > 0 {
        println!("firmware found fault with: {:?}", miners.violations);
    }
    println!("{}", if worked { "no share was lost" } else { "SHARES WERE LOST" });
    Ok(worked)
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 100.0 } else { part as f64 / whole as f64 * 100.0 }
}

fn status_line(elapsed: Duration, proxy: &Proxy, swarm: &Swarm) -> String {
    let totals = proxy.totals();
    let active = totals.router.active[0].filter(|pool| totals.router.pools[*pool].connections > 0);
    let pool = active.map_or("none", |pool| &*proxy.config().pools[pool].name);
    let credited: u64 = totals.router.pools.iter().map(|pool| pool.accepted).sum();
    format!(
        "{:4.0} s  pool {pool:<7} {:4} of {} miners  {:>9}  shares {:6}  rejected {:4}  to pools {:6}  credited {:6}",
        elapsed.as_secs_f64(),
        swarm.mining(),
        swarm.miners().len(),
        totals.hashrate[0].to_string(),
        totals.accepted,
        totals.rejected_total(),
        totals.forwarded,
        credited,
    )
}

async fn start_pool(name: &str, seed: u64) -> std::io::Result<SimPool> {
    SimPool::start(PoolSettings {
        name: name.to_owned(),
        seed,
        difficulty: DIFFICULTY,
        resume: true,
        notify_every: Duration::from_secs(10),
        clean_every: Some(Duration::from_secs(25)),
        ..PoolSettings::default()
    })
    .await
}

/// What an operator would write, with addresses of this run.
fn config_text(first: &SimPool, second: &SimPool) -> String {
    format!(
        r#"
[proxy]
state_file = ""
[[listener]]
name = "farm"
listen = "127.0.0.1:0"
difficulty = 1e-6
min_difficulty = 1e-9
[[pool]]
name = "first"
url = "stratum+tcp://{}"
user = "demo"
[[pool]]
name = "second"
url = "stratum+tcp://{}"
user = "demo"
[[route]]
name = "all"
pools = ["first", "second"]
fail_back_after = "5s"
"#,
        first.addr(),
        second.addr()
    )
}
