//! A pool goes and comes back: no miner is dropped, nobody is told `true` for nothing, and shares find their pool.

use std::time::{Duration, Instant};

use hashgate::app::Proxy;
use hashgate::sim::pool::{Fault, PoolSettings, SimPool};
use serde_json::json;

use crate::client::Client;
use crate::world::*;

/// The farm of these tests.
const MINERS: usize = 200;

/// One worker thread, so that what one miner hears is in force for all; work is sent again at least once a second.
fn site(pool: &SimPool) -> Site {
    let keep_alive = |config: &mut hashgate::config::Config| config.listeners[0].keep_alive = Duration::from_secs(1);
    Site::new().proxy("workers = 1").pool("only", pool.addr(), "").tweak(keep_alive)
}

fn connections(proxy: &Proxy, pool: usize) -> usize {
    proxy.totals().router.pools[pool].connections
}

/// Submits until the proxy knows that the pool is gone.
async fn told_no_pool(witness: &mut Client) {
    let start = Instant::now();
    loop {
        let share = witness.good_share().await;
        let reply = witness.submit(&share).await;
        if reply["error"][0] == 20 {
            assert_eq!(reply["error"], json!([20, "No pool", null]));
            return;
        }
        assert_eq!(reply["result"], true);
        assert!(start.elapsed() < LIMIT, "the loss is never noticed");
    }
}

/// The whole story of one outage with one pool. Returns how many shares were lost with the connection.
async fn outage(settings: PoolSettings, away: Duration) -> u64 {
    let pool = start(settings).await;
    let proxy = site(&pool).start().await;
    let farm = swarm(&proxy, MINERS, 1.0);
    let mut witness = Client::mining(proxy.addresses()[0]).await;
    mining(&proxy, &farm).await;

    shut(&pool);
    told_no_pool(&mut witness).await;
    let detected = Instant::now();
    let (told_true, known_jobs) = (proxy.totals().accepted, witness.jobs.len());
    let is_quiet = || proxy.totals().accepted == told_true && farm.mining() == MINERS;
    throughout(away.saturating_sub(detected.elapsed()), "no share is answered true, all stay", is_quiet).await;
    assert!(proxy.totals().rejected_for("no_pool") > 0);

    pool.fault(Fault::Resume);
    let stale = proxy.totals().rejected_for("stale");
    let job = witness.next_job().await;
    assert_eq!(witness.jobs.len(), known_jobs + 1, "nothing was sent while there was no pool");
    assert!(job.clean, "old work is dropped: {job:?}, difficulty {:?}", witness.difficulty);
    let share = witness.good_share().await;
    assert_eq!(witness.submit(&share).await["result"], true);
    mining(&proxy, &farm).await;
    // At the moment of return each miner may have a share on its way.
    let burst = proxy.totals().rejected_for("stale") - stale;
    assert!(burst <= MINERS as u64 / 20, "{burst} stale shares on return");
    let missing = settle(&proxy, &farm, &[&pool]).await;
    content(&farm);
    assert_eq!(proxy.totals().connections, MINERS as u64 + 1);
    proxy.shut_down(LIMIT).await;
    missing
}

/// Closes the connections, and lets nobody in until the test has seen what it wants.
fn shut(pool: &SimPool) {
    pool.fault(Fault::Down(Duration::from_secs(3600)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_resumes_loses_no_share() {
    let missing = outage(PoolSettings { resume: true, ..easy() }, Duration::from_secs(2)).await;
    assert_eq!(missing, 0, "answered before the loss, credited after it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_forgets_loses_only_what_is_counted_as_lost() {
    outage(easy(), Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_may_be_away_for_15_s() {
    outage(easy(), Duration::from_secs(15)).await;
}

/// Shares that a pool never read before it went: returns how many were answered `true`, were not credited, and are counted as lost.
async fn swallowed(resume: bool) -> (u64, u64) {
    let pool = start(PoolSettings { resume, ..easy() }).await;
    let proxy = site(&pool).start().await;
    let farm = swarm(&proxy, MINERS, 1.0);
    mining(&proxy, &farm).await;
    pool.fault(Fault::StallReads(Duration::from_secs(3600)));
    // Read one after the other: the pool may be ahead of what we read of the proxy.
    let unread = || proxy.totals().forwarded.saturating_sub(pool.stats().submits);
    eventually("shares wait for the pool", || unread() >= 50).await;
    pool.fault(Fault::DropConnections);
    eventually("the loss is seen", || proxy.totals().router.pools[0].losses == 1).await;
    pool.fault(Fault::Resume);
    mining(&proxy, &farm).await;
    let missing = settle(&proxy, &farm, &[&pool]).await;
    content(&farm);
    let counted = lost(&proxy.totals());
    proxy.shut_down(LIMIT).await;
    (missing, counted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_that_a_resumed_pool_never_read_are_sent_again() {
    assert_eq!(swallowed(true).await, (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_that_went_down_with_a_connection_are_counted_one_by_one() {
    let (missing, counted) = swallowed(false).await;
    assert!(missing >= 50);
    assert_eq!(missing, counted);
}

/// Two pools; miners go back to the first when it has been well for so long.
async fn two_pools(fail_back_after: &str, second: &str) -> (SimPool, SimPool, Proxy) {
    let (first, other) = (start(easy()).await, start(PoolSettings { seed: 2, ..easy() }).await);
    let site = Site::new().pool("first", first.addr(), "").pool("second", other.addr(), second);
    let proxy = site.route(&format!("fail_back_after = {fail_back_after:?}")).start().await;
    eventually("both pools are there", || (0..2).all(|pool| connections(&proxy, pool) == 1)).await;
    (first, other, proxy)
}

fn active(proxy: &Proxy) -> Option<usize> {
    proxy.totals().router.active[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn miners_fail_over_within_a_second_and_go_back_later() {
    let (first, second, proxy) = two_pools("2s", "").await;
    let farm = swarm(&proxy, MINERS, 1.0);
    let mut witness = Client::mining(proxy.addresses()[0]).await;
    mining(&proxy, &farm).await;
    assert_eq!((active(&proxy), second.stats().accepted), (Some(0), 0));

    shut(&first);
    eventually("the loss is seen", || connections(&proxy, 0) == 0).await;
    let told_true = proxy.totals().accepted;
    let moved = within(Duration::from_secs(1), "all have work of the second pool", || {
        farm.miners().iter().all(|miner| miner.with_stats(|stats| stats.clean_jobs >= 2))
    });
    moved.await;
    assert!(witness.next_job().await.clean);
    mining(&proxy, &farm).await;
    assert!(second.stats().accepted > 0 && proxy.totals().accepted > told_true);
    let old_job = witness.job().await;
    let late = witness.good_share().await;

    // Fail-back: not at once, and what was found for the pool that is left still counts there.
    first.fault(Fault::Resume);
    eventually("the first pool is back", || connections(&proxy, 0) == 1).await;
    let back = Instant::now();
    eventually("the miners go back", || proxy.totals().router.fail_backs == [1]).await;
    assert!(back.elapsed() > Duration::from_millis(1900), "it had to be well for 2 s, not {:?}", back.elapsed());
    assert_eq!(active(&proxy), Some(0));
    assert!(witness.next_job().await.clean);
    assert_eq!(witness.submit(&late).await["result"], true);
    let is_credited = |pool: &SimPool| pool.accepted_shares().iter().any(|share| share.hash == late.hash);
    eventually("the pool that was left credits it", || is_credited(&second)).await;
    let now = witness.good_share().await;
    assert_eq!(witness.submit(&now).await["result"], true);
    eventually("the other pool gets what is new", || {
        first.accepted_shares().iter().any(|share| share.hash == now.hash)
    })
    .await;
    // The pool that was left says nothing that ends its old jobs: they count for as long as it likes.
    throughout(Duration::from_secs(2), "it lives", || connections(&proxy, 1) == 1).await;
    let again = witness.grind(&old_job, witness.difficulty.expect("announced"), true, old_job.version, None);
    let reply = witness.submit(&again).await;
    assert_eq!(reply["result"], true, "and still later: {reply}");
    settle(&proxy, &farm, &[&first, &second]).await;
    content(&farm);
    proxy.shut_down(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_farm_that_fails_over_is_let_in_gradually() {
    let (first, second, proxy) = two_pools("1h", "admit_shares_per_second = 20").await;
    let farm = swarm(&proxy, 60, 2.0);
    mining(&proxy, &farm).await;
    // Their rates must be known: 120 shares a second let in at 20 take six seconds.
    eventually("the rates are known", || {
        farm.miners().iter().all(|miner| miner.with_stats(|stats| stats.accepted >= 6))
    })
    .await;
    let moved = || farm.miners().iter().filter(|miner| miner.with_stats(|stats| stats.clean_jobs >= 2)).count();
    shut(&first);
    eventually("the first miners move", || moved() > 0).await;
    let began = Instant::now();
    let began_with = moved();
    assert!(began_with < 40, "{began_with} at once");
    eventually("the last miner moves", || moved() == 60).await;
    let took = began.elapsed();
    assert!((2..=12).contains(&took.as_secs()), "let in within {took:?}");
    mining(&proxy, &farm).await;
    // What was on its way is kept for its return, and settled by it.
    first.fault(Fault::Resume);
    settle(&proxy, &farm, &[&first, &second]).await;
    content(&farm);
    proxy.shut_down(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flapping_pool_pulls_nobody_to_and_fro() {
    let (first, second, proxy) = two_pools("2s", "").await;
    let farm = swarm(&proxy, 50, 2.0);
    mining(&proxy, &farm).await;
    for _ in 0..4 {
        shut(&first);
        eventually("it goes", || connections(&proxy, 0) == 0).await;
        first.fault(Fault::Resume);
        eventually("it comes", || connections(&proxy, 0) == 1).await;
    }
    let router = proxy.totals().router;
    assert_eq!((router.active[0], &router.failovers[..], &router.fail_backs[..]), (Some(1), &[1][..], &[0][..]));
    eventually("it stays, and is taken again", || active(&proxy) == Some(0)).await;
    mining(&proxy, &farm).await;
    settle(&proxy, &farm, &[&first, &second]).await;
    content(&farm);
    proxy.shut_down(LIMIT).await;
}
