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
async fn outage(settings: PoolSettings, fault: impl FnOnce(&SimPool), away: Duration) -> u64 {
    let pool = start(settings).await;
    let proxy = site(&pool).start().await;
    let farm = swarm(&proxy, MINERS, 1.0);
    let mut witness = Client::mining(proxy.addresses()[0]).await;
    mining(&proxy, &farm).await;

    fault(&pool);
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
    assert!(job.clean, "old work is dropped");
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
fn drop_and_shut(pool: &SimPool) {
    pool.fault(Fault::Down(Duration::from_secs(3600)));
}

/// Swallows what comes from now on, so that shares stay without an answer, then closes.
fn stall_and_shut(pool: &SimPool) {
    pool.fault(Fault::StallReads(Duration::from_secs(3600)));
    let submits = pool.stats().submits;
    let since = Instant::now();
    // No wait for luck: this thread simply is a slow operator, while shares pile up at the pool.
    while since.elapsed() < Duration::from_millis(300) {
        std::thread::yield_now();
    }
    assert!(pool.stats().submits <= submits + 50);
    drop_and_shut(pool);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_connection_that_resumes_loses_no_share() {
    let missing = outage(PoolSettings { resume: true, ..easy() }, drop_and_shut, Duration::from_secs(2)).await;
    assert_eq!(missing, 0, "answered before the loss, credited after it");
}
