//! Every firmware mines through the proxy without finding fault, and the pool credits exactly what it was sent.

use std::collections::HashSet;

use hashgate::sim::{
    miner::{MIX, MinerHandle, MinerSettings, MinerStats, Pace, Profile, profile},
    pool::{PoolSettings, SimPool},
};
use tokio::time::{Instant, sleep};

use super::{LIMIT, proxy_before};

/// What a miner finds before it is looked at.
const SHARES: u64 = 30;

/// Of those, what the pool credits.
const POOL_SHARES: u64 = 4;

/// A share in 4 295 hashes.
const POOL_DIFFICULTY: f64 = 1e-6;

const LISTENER: &str = "difficulty = 1e-7\nmin_difficulty = 1e-9";

/// A share in 215 hashes to begin with, so that some of the first thirty are the pool's.
const PACE: Pace = Pace::SharesPerSecond(40.0);

fn pool_settings() -> PoolSettings {
    PoolSettings { difficulty: POOL_DIFFICULTY, record_shares: 10_000, ..PoolSettings::default() }
}

/// One machine mines through a proxy until it and the pool have seen enough; everything is compared at the end.
async fn mine(profile: &'static Profile, listener: &str, settings: PoolSettings, enough: impl Fn(&SimPool) -> bool) {
    let name = profile.name;
    let pool = SimPool::start(settings).await.expect("loopback has free ports");
    let proxy = proxy_before(pool.addr(), &format!("{LISTENER}\n{listener}"), "user = \"account\"").await;
    let machine =
        MinerSettings { recorded_hashes: 100_000, ..MinerSettings::new(proxy.addresses()[0], "farm.1", profile, PACE) };
    let miner = MinerHandle::start(machine);

    let deadline = Instant::now() + LIMIT;
    while miner.with_stats(|stats| stats.accepted) < SHARES || !enough(&pool) {
        let stats = miner.stats();
        let at_fault = stats.violation_count() + stats.rejected_total() > 0;
        assert!(
            !at_fault && Instant::now() < deadline,
            "{name}: {:?}, {:?}, {} accepted\npool: {:#?}",
            stats.violations,
            stats.rejected,
            stats.accepted,
            pool.stats()
        );
        sleep(std::time::Duration::from_millis(5)).await;
    }
    let stats = miner.stop(LIMIT).await;
    let books = proxy.books();
    assert_eq!(proxy.shut_down(LIMIT).await, 0, "{name}: every share was settled");
    check(name, &stats, &pool, books.totals().forwarded);
    pool.shutdown().await;
}

fn check(name: &str, miner: &MinerStats, pool: &SimPool, forwarded: u64) {
    assert!(miner.violations.is_empty(), "{name} finds fault with {:?}", miner.violations);
    assert!(miner.rejected.is_empty(), "{name}: {:?}", miner.rejected);
    assert_eq!((miner.unanswered(), miner.lost, miner.disconnects), (0, 0, 0), "{name}: unanswered, lost, disconnects");

    let stats = pool.stats();
    assert_eq!(stats.rejected_total(), 0, "{name}: the pool refused {:?}", stats.rejected);
    assert_eq!((stats.submits, stats.accepted), (forwarded, forwarded), "{name}: forwarded, judged, credited");
    assert_eq!(stats.long_lines + stats.garbage_lines, 0, "{name}");
    let display = |hash: &[u8; 32]| hex::encode(hash.iter().rev().copied().collect::<Vec<_>>());
    let found: HashSet<String> = miner.accepted_hashes.iter().map(display).collect();
    for share in pool.accepted_shares() {
        assert!(found.contains(&share.hash), "{name}: the pool credited {}, which the miner did not find", share.hash);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_firmware_mines_without_finding_fault() {
    for (profile, _) in MIX {
        mine(profile, "", pool_settings(), |pool| pool.stats().accepted >= POOL_SHARES).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_firmware_waits_for_the_pools_word() {
    for (profile, _) in MIX {
        mine(profile, "answer = \"pool\"", pool_settings(), |pool| pool.stats().accepted >= POOL_SHARES).await;
    }
}

/// The network's target is met by one hash in 65 536, the pool's by fifteen times as many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_solves_a_block_arrives() {
    for profile in [&profile::CGMINER, &profile::BITAXE, &profile::BMMINER_LEGACY, &profile::CPUMINER] {
        let settings = PoolSettings { nbits: 0x1f00_ffff, ..pool_settings() };
        mine(profile, "", settings, |pool| pool.stats().blocks >= 1).await;
    }
}
