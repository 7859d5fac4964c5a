//! A pool with a fault: the proxy fails over to the next one, and back when the first is well again. No miner notices.
//!
//! ```text
//! cargo run --release --example flaky_pool
//! ```
//! What else can go wrong with a simulated pool is in [`Fault`].

use std::{error::Error, time::Duration};

use hashgate::{
    app::Proxy,
    config::{Config, ProcessEnv},
    metrics::RouterBook,
    sim::{
        miner::{MIX, MinerSettings, Pace, Swarm, SwarmSettings, profile},
        pool::{Fault, PoolSettings, SimPool},
    },
};
use tokio::time::{Instant, sleep};

const MINERS: usize = 20;

/// Longest wait for anything here.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (first, second) = (start_pool("first", 1).await?, start_pool("second", 2).await?);
    let text = format!(
        r#"
[proxy]
state_file = ""
[[listener]]
name = "farm"
listen = "127.0.0.1:0"
difficulty = 1e-8
min_difficulty = 1e-8
[[pool]]
name = "first"
url = "stratum+tcp://{}"
user = "account"
[[pool]]
name = "second"
url = "stratum+tcp://{}"
user = "account"
[[route]]
name = "all"
pools = ["first", "second"]
fail_back_after = "1s"
"#,
        first.addr(),
        second.addr()
    );
    let (config, _) = Config::parse(&text, &ProcessEnv { folder: ".".into() })?;
    let proxy = Proxy::start(config).await?;
    let swarm = Swarm::start(&SwarmSettings {
        machine: MinerSettings::new(proxy.addresses()[0], "farm", &profile::CGMINER, Pace::Hashrate(2_000.0)),
        miners: MINERS,
        mix: MIX.to_vec(),
        connects_per_second: 0.0,
    });

    credited(&first, 50).await?;
    println!("pool \"first\" has credited {} shares and goes away for a second", first.stats().accepted);
    first.fault(Fault::Down(Duration::from_secs(1)));
    until(&proxy, "failed over", |router| router.failovers[0] == 1).await?;
    credited(&second, 50).await?;
    println!("pool \"second\" has credited {} shares meanwhile", second.stats().accepted);
    until(&proxy, "moved back", |router| router.fail_backs[0] == 1).await?;
    credited(&first, first.stats().accepted + 50).await?;
    println!("pool \"first\" is back and has credited {}", first.stats().accepted);

    let miners = swarm.stop(PATIENCE).await;
    proxy.shut_down(Duration::from_secs(5)).await;
    println!(
        "{MINERS} miners, {} connections, {} shares accepted, {} rejected {:?}",
        miners.connects,
        miners.accepted,
        miners.rejected_total(),
        miners.rejected
    );
    assert_eq!(miners.connects, MINERS as u64, "no miner lost its connection");
    assert_eq!(miners.violation_count(), 0, "no firmware found fault: {:?}", miners.violations);
    first.shutdown().await;
    second.shutdown().await;
    Ok(())
}

async fn start_pool(name: &str, seed: u64) -> std::io::Result<SimPool> {
    SimPool::start(PoolSettings { name: name.into(), seed, difficulty: 1e-7, ..PoolSettings::default() }).await
}

async fn credited(pool: &SimPool, shares: u64) -> Result<(), Box<dyn Error>> {
    let enough = pool.wait_for(PATIENCE, |stats| stats.accepted >= shares).await;
    enough.map(drop).map_err(|stats| format!("{shares} shares were waited for: {stats:?}").into())
}

/// Waits for what the proxy's router has done.
async fn until(proxy: &Proxy, what: &str, is_done: impl Fn(&RouterBook) -> bool) -> Result<(), Box<dyn Error>> {
    let began = Instant::now();
    while !is_done(&proxy.totals().router) {
        if began.elapsed() > PATIENCE {
            return Err(format!("the proxy has not {what} in {PATIENCE:?}").into());
        }
        sleep(Duration::from_millis(10)).await;
    }
    println!("the proxy has {what} after {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}
