//! A swarm of simulated ASICs of mixed firmware that really hash, against any Stratum V1 server.
//!
//! ```text
//! cargo run --release --example swarm                       against a simulated pool of its own
//! cargo run --release --example swarm -- 127.0.0.1:3333     against a server of yours
//! ```
//! A server must ask for very low difficulties: these ASICs are CPU cores. For load tests there is `hashgate sim miners`.

use std::{error::Error, net::SocketAddr, time::Duration};

use hashgate::sim::{
    miner::{MinerSettings, Pace, Profile, Swarm, SwarmSettings, profile},
    pool::{PoolSettings, SimPool},
};
use tokio::time::sleep;

const MINERS: usize = 50;

/// Hashes per second of one; all together take a few percent of a core.
const HASHRATE: f64 = 500.0;

/// Firmware with weights. ([`MIX`](hashgate::sim::miner::MIX) is a farm's, down to firmware that only proxies still understand.)
const FIRMWARE: [(&Profile, u32); 4] =
    [(&profile::ANTMINER_S21, 4), (&profile::WHATSMINER, 3), (&profile::BOSMINER, 2), (&profile::BITAXE, 1)];

/// A share in 430 hashes.
const DIFFICULTY: f64 = 1e-7;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let given: Option<SocketAddr> = std::env::args().nth(1).map(|address| address.parse()).transpose()?;
    let own_pool = match given {
        Some(_) => None,
        None => Some(SimPool::start(PoolSettings { difficulty: DIFFICULTY, ..PoolSettings::default() }).await?),
    };
    let server = given.or(own_pool.as_ref().map(SimPool::addr)).expect("given, or our own");
    println!("{MINERS} simulated ASICs connect to {server}");
    let swarm = Swarm::start(&SwarmSettings {
        machine: MinerSettings::new(server, "swarm", &profile::CGMINER, Pace::Hashrate(HASHRATE)),
        miners: MINERS,
        mix: FIRMWARE.to_vec(),
        connects_per_second: 200.0,
    });
    for second in 1..=3 {
        sleep(Duration::from_secs(1)).await;
        let totals = swarm.totals();
        println!("{second} s: {} of {MINERS} mining, {} shares accepted", swarm.mining(), totals.accepted);
    }
    let reply = swarm.board().reply_latency();
    let totals = swarm.stop(Duration::from_secs(5)).await;
    println!("{} accepted, {} rejected, {} lost", totals.accepted, totals.rejected_total(), totals.lost);
    println!("replies: p50 {} µs, p99 {} µs", reply.p50_us, reply.p99_us);
    for violation in &totals.violations {
        println!("firmware found fault: {violation}");
    }
    assert!(totals.accepted > 0, "the server accepts shares");
    if let Some(pool) = own_pool {
        assert_eq!(pool.stats().accepted, totals.accepted, "pool and miners count the same");
        assert_eq!((totals.rejected_total(), totals.violation_count()), (0, 0), "nobody finds fault");
        pool.shutdown().await;
    }
    Ok(())
}
