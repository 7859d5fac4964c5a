//! Pools leave more or less room for extranonces: every miner has headers of its own, on as many pool connections as that takes.

use std::collections::HashSet;
use std::time::Duration;

use hashgate::app::Proxy;
use hashgate::sim::miner::{Profile, profile};
use hashgate::sim::pool::{Fault, PoolSettings, SimPool};
use serde_json::json;

use crate::client::Client;
use crate::world::*;

/// Firmware that gets along with three bytes of extranonce2.
const EASY_GOING: &[(&Profile, u32)] = &[(&profile::CGMINER, 1), (&profile::BITAXE, 1), (&profile::CPUMINER, 1)];

fn sized(extranonce2_size: usize) -> PoolSettings {
    PoolSettings { extranonce2_size, ..easy() }
}

async fn one_pool(settings: PoolSettings, lines: &str) -> (SimPool, Proxy) {
    let pool = start(settings).await;
    let proxy = Site::new().pool("only", pool.addr(), lines).start().await;
    (pool, proxy)
}

/// A farm of that many on a pool of that size: everything is credited, nothing twice, on that many connections.
async fn all_is_credited(extranonce2_size: usize, miners: usize, connections: usize) {
    let (pool, proxy) = one_pool(sized(extranonce2_size), "").await;
    let farm = swarm_of(&proxy, miners, 1.0, EASY_GOING);
    mining(&proxy, &farm).await;
    mining(&proxy, &farm).await;
    assert_eq!(settle(&proxy, &farm, &[&pool]).await, 0);
    content(&farm);
    let hashes: Vec<String> = pool.accepted_shares().into_iter().map(|share| share.hash).collect();
    assert_eq!(hashes.len(), hashes.iter().collect::<HashSet<_>>().len());
    let totals = proxy.totals();
    assert_eq!(totals.rejected_total(), 0, "{:?}", totals.rejected);
    let stats = pool.stats();
    assert_eq!(stats.connections.len(), connections);
    assert!(
        stats.connections.iter().all(|connection| connection.accepted > 0),
        "each is used: {:?}",
        stats.connections
    );
    proxy.shut_down(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_to_six_bytes_hold_a_farm_on_one_connection() {
    for size in [8, 7, 6] {
        all_is_credited(size, 60, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_bytes_hold_256_miners_on_a_connection() {
    all_is_credited(5, 300, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_bytes_do_so_with_three_for_the_miner() {
    all_is_credited(4, 300, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_bytes_do_so_with_two_for_the_miner() {
    all_is_credited(3, 30, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_bytes_take_a_connection_for_each_miner() {
    all_is_credited(2, 5, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_takes_no_more_miners_than_allowed() {
    let (pool, proxy) = one_pool(sized(8), "max_miners = 10").await;
    let farm = swarm_of(&proxy, 45, 1.0, EASY_GOING);
    mining(&proxy, &farm).await;
    assert_eq!(pool.stats().connections.len(), 5);
    settle(&proxy, &farm, &[&pool]).await;
    content(&farm);
    proxy.shut_down(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_empty_connections_are_merged_after_churn() {
    let (pool, proxy) = one_pool(sized(8), "max_miners = 40").await;
    let mut miners = Vec::new();
    for _ in 0..70 {
        miners.push(Client::mining(proxy.addresses()[0]).await);
    }
    assert_eq!(pool.stats().connections.len(), 2);
    // Those that stay are spread over both, and few enough for one.
    let stays = |at: &usize| at.is_multiple_of(7);
    let mut stay: Vec<Client> =
        miners.into_iter().enumerate().filter(|(at, _)| stays(at)).map(|(_, miner)| miner).collect();
    let was_on_second = (0..70).filter(stays).map(|at| at >= 40);
    for (miner, was_on_second) in stay.iter_mut().zip(was_on_second) {
        let late = miner.good_share().await;
        if was_on_second {
            assert!(miner.next_job().await.clean, "the other connection's work");
        }
        assert_eq!(miner.submit(&late).await["result"], true, "the old connection still takes it");
        let share = miner.good_share().await;
        assert_eq!(miner.submit(&share).await["result"], true);
    }
    eventually("every share is settled", || proxy.totals().unsettled() == 0).await;
    let stats = pool.stats();
    let by_connection: Vec<u64> = stats.connections.iter().map(|connection| connection.accepted).collect();
    assert_eq!((by_connection, stats.rejected_total()), (vec![6 * 2 + 4, 4], 0));
    proxy.shut_down(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_nobody_needs_are_closed_but_for_one() {
    let (pool, proxy) = one_pool(sized(8), "max_miners = 10\nreply_timeout = \"1s\"").await;
    let farm = swarm_of(&proxy, 45, 1.0, EASY_GOING);
    mining(&proxy, &farm).await;
    settle(&proxy, &farm, &[&pool]).await;
    farm.stop(LIMIT).await;
    eventually("one stays", || pool.stats().connections.len() == 1).await;
    let mut late = Client::mining(proxy.addresses()[0]).await;
    let share = late.good_share().await;
    assert_eq!(late.submit(&share).await["result"], true);
    proxy.shut_down(LIMIT).await;
}

/// A pool that leaves less room than was known takes the farm over: who asked for it is told its new extranonce, the others reconnect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_smaller_pool_that_appears_later_gets_a_layout_that_fits() {
    let (large, small) = (start(sized(8)).await, start(PoolSettings { seed: 2, ..sized(5) }).await);
    small.fault(Fault::Down(Duration::from_secs(3600)));
    eventually("it is away", || std::net::TcpStream::connect(small.addr()).is_err()).await;
    let site = Site::new().listener("layout_wait = \"100ms\"");
    let proxy = site.pool("large", large.addr(), "").pool("small", small.addr(), "").start().await;
    let farm = swarm_of(&proxy, 20, 2.0, &[(&profile::CGMINER, 1), (&profile::NICEHASH, 1)]);
    mining(&proxy, &farm).await;
    let mut told = Client::connect(proxy.addresses()[0]).await;
    told.subscribe(json!(["witness/1"])).await;
    told.call("mining.extranonce.subscribe", json!([])).await;
    told.call("mining.authorize", json!(["w"])).await;
    told.job().await;
    assert_eq!(told.extranonce1.len(), 3);

    small.fault(Fault::Resume);
    eventually("it is there", || proxy.totals().router.pools[1].connections == 1).await;
    large.fault(Fault::Down(Duration::from_secs(3600)));
    let params = told.notified("mining.set_extranonce").await;
    told.extranonce1 = hex::decode(params[0].as_str().expect("hex")).expect("hex");
    assert_eq!((told.extranonce1.len(), &params[1]), (1, &json!(4)));
    assert!(told.next_job().await.clean);
    let share = told.good_share().await;
    assert_eq!(told.submit(&share).await["result"], true);
    eventually("all mine there", || farm.mining() == 20).await;
    small.wait_for(LIMIT, |stats| stats.accepted > 60).await.expect("shares flow");
    let stats = farm.totals();
    assert_eq!(stats.violation_count(), 0, "{:?}", stats.violations);
    assert_eq!(stats.disconnects, 10, "those that take no new extranonce had to reconnect, once");
    farm.settle(LIMIT).await;
    assert_eq!(small.stats().rejected_total(), 0, "{:?}", small.stats().rejected);
    proxy.shut_down(LIMIT).await;
}
