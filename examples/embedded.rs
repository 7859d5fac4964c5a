//! A proxy inside another program: started from a config text, asked what it has counted, ended in order.
//!
//! ```text
//! cargo run --release --example embedded
//! ```
//! The pool and the ASICs are simulated and speak TCP over loopback; to mine for real, the config names a real pool and the
//! miners are yours.

use std::{error::Error, time::Duration};

use hashgate::{
    app::Proxy,
    config::{Config, ProcessEnv},
    sim::{
        miner::{MinerSettings, Pace, Swarm, SwarmSettings, profile},
        pool::{PoolSettings, SimPool},
    },
};

/// A share in 430 hashes for the pool.
const POOL_DIFFICULTY: f64 = 1e-7;

/// Longest wait for anything here.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pool = SimPool::start(PoolSettings { difficulty: POOL_DIFFICULTY, ..PoolSettings::default() }).await?;

    // What an operator would write into hashgate.toml. Port 0: the system chooses.
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
name = "simulated"
url = "stratum+tcp://{}"
user = "account"
"#,
        pool.addr()
    );
    let (config, warnings) = Config::parse(&text, &ProcessEnv { folder: ".".into() })?;
    for warning in warnings {
        println!("warning: {warning}");
    }
    let proxy = Proxy::start(config).await?;
    println!("proxy listens on {}", proxy.addresses()[0]);

    let swarm = Swarm::start(&SwarmSettings {
        machine: MinerSettings::new(proxy.addresses()[0], "farm", &profile::CGMINER, Pace::Hashrate(2_000.0)),
        miners: 10,
        mix: Vec::new(),
        connects_per_second: 0.0,
    });
    pool.wait_for(PATIENCE, |stats| stats.accepted >= 50).await.map_err(|stats| format!("pool: {stats:?}"))?;
    let totals = proxy.totals();
    println!("{} shares accepted so far, {} of them sent to the pool", totals.accepted, totals.forwarded);

    let miners = swarm.stop(PATIENCE).await;
    let books = proxy.books();
    let unsettled = proxy.shut_down(Duration::from_secs(5)).await;
    let totals = books.totals();
    let credited = pool.stats().accepted;
    println!("miners sent {} shares, the proxy accepted {}", miners.sent, totals.accepted);
    println!("it sent {} to the pool, which credited {credited}; {unsettled} without an answer", totals.forwarded);
    assert_eq!(miners.accepted, totals.accepted, "every answer was counted");
    assert_eq!((credited, unsettled), (totals.forwarded, 0), "the pool credits what it should");
    pool.shutdown().await;
    Ok(())
}
