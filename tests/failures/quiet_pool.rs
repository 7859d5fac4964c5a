//! A pool that lives and does wrong: says nothing, says too much, moves, or lets nobody in.

use std::time::{Duration, Instant};

use hashgate::app::Proxy;
use hashgate::sim::pool::{Fault, PoolSettings, SimPool};
use serde_json::json;

use crate::client::Client;
use crate::world::*;

const MINERS: usize = 20;

/// A pool with news every 0.2 s.
fn talkative() -> PoolSettings {
    PoolSettings { notify_every: Duration::from_millis(200), ..easy() }
}

fn losses(proxy: &Proxy) -> u64 {
    proxy.totals().router.pools[0].losses
}

async fn one_pool(settings: PoolSettings, lines: &str) -> (SimPool, Proxy) {
    let pool = start(settings).await;
    let proxy = Site::new().pool("only", pool.addr(), lines).start().await;
    (pool, proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_silent_after_login_is_passed_over() {
    let (silent, other) = (start(talkative()).await, start(PoolSettings { seed: 2, ..talkative() }).await);
    silent.fault(Fault::NoNotify);
    let site = Site::new().pool("silent", silent.addr(), "notify_timeout = \"1s\"").pool("other", other.addr(), "");
    let proxy = site.route("fail_back_after = \"1s\"").start().await;
    let farm = swarm(&proxy, MINERS, 2.0);
    mining(&proxy, &farm).await;
    assert!(other.stats().accepted > 0);
    silent.wait_for(LIMIT, |stats| stats.connections_ever >= 3).await.expect("the watchdog tries it anew");
    assert_eq!((silent.stats().submits, proxy.totals().router.active[0]), (0, Some(1)));
    silent.fault(Fault::Resume);
    eventually("it is taken once it speaks", || proxy.totals().router.active[0] == Some(0)).await;
    mining(&proxy, &farm).await;
    settle(&proxy, &farm, &[&silent, &other]).await;
    content(&farm);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_falls_silent_is_dead_although_its_socket_lives() {
    let (pool, proxy) = one_pool(talkative(), "notify_timeout = \"1s\"").await;
    let farm = swarm(&proxy, MINERS, 2.0);
    mining(&proxy, &farm).await;
    pool.fault(Fault::NoNotify);
    let found = within(Duration::from_secs(3), "the watchdog finds out", || losses(&proxy) == 1).await;
    assert!(found > Duration::from_millis(500), "not before its time: {found:?}");
    // "No pool" until it lets us in again; from then on with another extranonce1, for which the old jobs are stale.
    let told = || proxy.totals().rejected_for("no_pool") + proxy.totals().rejected_for("stale");
    eventually("miners are told", || told() > 0).await;
    pool.fault(Fault::Resume);
    mining(&proxy, &farm).await;
    settle(&proxy, &farm, &[&pool]).await;
    content(&farm);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_that_a_pool_never_answers_are_counted_and_forgotten() {
    let (pool, proxy) = one_pool(easy(), "reply_timeout = \"300ms\"").await;
    let farm = swarm(&proxy, MINERS, 2.0);
    mining(&proxy, &farm).await;
    pool.fault(Fault::SilentReplies);
    eventually("they are given up", || proxy.totals().router.pools[0].unanswered > 40).await;
    pool.fault(Fault::Resume);
    let accepted = proxy.totals().router.pools[0].accepted;
    eventually("answers are heard again", || proxy.totals().router.pools[0].accepted > accepted + 20).await;
    // It credited them, without a word.
    assert_eq!(settle(&proxy, &farm, &[&pool]).await, 0);
    assert_eq!(losses(&proxy), 0);
    content(&farm);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stray_lines_are_passed_over_and_a_flood_of_them_is_no_pool() {
    let (pool, proxy) = one_pool(easy(), "").await;
    let farm = swarm(&proxy, MINERS, 2.0);
    mining(&proxy, &farm).await;
    pool.fault(Fault::Garbage);
    for line in
        ["{}", "[]", "null", "{\"id\":null,\"method\":\"mining.notify\",\"params\":[]}", "{\"method\":5}", "\u{1}"]
    {
        pool.fault(Fault::RawLine(line.into()));
    }
    for params in ["[\"x\"]", "[-1]", "[0]", "[null]", "{}"] {
        pool.fault(Fault::RawLine(format!("{{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":{params}}}")));
    }
    mining(&proxy, &farm).await;
    assert_eq!((losses(&proxy), pool.stats().connections_ever), (0, 1));
    for _ in 0..20 {
        pool.fault(Fault::Garbage);
    }
    eventually("it is dropped", || losses(&proxy) == 1).await;
    mining(&proxy, &farm).await;
    settle(&proxy, &farm, &[&pool]).await;
    content(&farm);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_a_megabyte_ends_the_connection_not_the_proxy() {
    let (pool, proxy) = one_pool(easy(), "").await;
    let farm = swarm(&proxy, MINERS, 2.0);
    mining(&proxy, &farm).await;
    pool.fault(Fault::RawLine("x".repeat(1 << 20)));
    eventually("it is dropped", || losses(&proxy) == 1).await;
    mining(&proxy, &farm).await;
    settle(&proxy, &farm, &[&pool]).await;
    content(&farm);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_pool_at_the_same_place_may_send_us_on() {
    let (pool, proxy) = one_pool(easy(), "").await;
    let (stranger, next) = (start(easy()).await, start(PoolSettings { seed: 2, ..easy() }).await);
    let farm = swarm(&proxy, MINERS, 2.0);
    mining(&proxy, &farm).await;
    // Another address of this machine: a stranger's, and a real connection if it were followed.
    for host in ["127.0.0.2", "localhost", "evil.example"] {
        pool.fault(Fault::Reconnect { host: Some(host.into()), port: stranger.addr().port(), wait_secs: 0 });
    }
    mining(&proxy, &farm).await;
    assert_eq!((losses(&proxy), pool.stats().connections.len(), stranger.stats().connections_ever), (0, 1, 0));

    pool.fault(Fault::Reconnect { host: Some("127.0.0.1".into()), port: next.addr().port(), wait_secs: 0 });
    next.wait_for(LIMIT, |stats| stats.accepted > 20).await.expect("it is followed there");
    assert_eq!(pool.stats().connections.len(), 0);
    settle(&proxy, &farm, &[&pool, &next]).await;
    content(&farm);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_may_change_its_extranonce() {
    let (pool, proxy) = one_pool(easy(), "").await;
    let farm = swarm(&proxy, MINERS, 2.0);
    let mut witness = Client::mining(proxy.addresses()[0]).await;
    mining(&proxy, &farm).await;
    let before = pool.stats().connections[0].extranonce1.clone();
    pool.fault(Fault::Extranonce { extranonce2_size: 8 });
    pool.new_template();
    assert!(witness.next_job().await.clean, "nothing of before can be hashed on");
    assert!(witness.other.is_empty(), "its own extranonce stays");
    let share = witness.good_share().await;
    assert_eq!(witness.submit(&share).await["result"], true);
    mining(&proxy, &farm).await;
    assert_ne!(pool.stats().connections[0].extranonce1, before);
    assert_eq!(pool.stats().connections_ever, 1);
    settle(&proxy, &farm, &[&pool]).await;
    content(&farm);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_in_flight_are_judged_by_the_difficulty_of_their_job() {
    let (pool, proxy) = one_pool(easy(), "").await;
    let farm = swarm(&proxy, MINERS, 2.0);
    let mut witness = Client::mining(proxy.addresses()[0]).await;
    mining(&proxy, &farm).await;
    // Never above the pool's own.
    for (difficulty, factor) in [(EASY * 512.0, 512.0), (EASY * 64.0, 64.0)] {
        let old_job = witness.job().await;
        let old_difficulty = witness.difficulty.expect("announced");
        pool.set_difficulty(difficulty).expect("in range");
        pool.new_template();
        witness.next_job().await;
        let late = witness.grind(&old_job, old_difficulty, true, old_job.version, None);
        assert_eq!(witness.submit(&late).await["result"], true, "after a change by {factor}");
        while witness.difficulty > Some(difficulty) {
            witness.next_job().await;
        }
        mining(&proxy, &farm).await;
    }
    let totals = proxy.totals();
    assert_eq!(totals.rejected_total(), 0, "{:?}", totals.rejected);
    farm.settle(LIMIT).await;
    eventually("every share is settled", || proxy.totals().unsettled() == 0).await;
    assert_eq!(pool.stats().rejected_total(), 0, "{:?}", pool.stats().rejected);
    assert_eq!(pool.stats().accepted, proxy.totals().forwarded);
    content(&farm);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_starts_without_its_pool_and_miners_have_work_when_it_comes() {
    let pool = start(easy()).await;
    pool.fault(Fault::Down(Duration::from_secs(3600)));
    eventually("it is away", || std::net::TcpStream::connect(pool.addr()).is_err()).await;
    let site = Site::new().listener("layout_wait = \"200ms\"").pool("only", pool.addr(), "");
    let proxy = site.start().await;
    let farm = swarm(&proxy, MINERS, 1.0);
    let mut witness = Client::connect(proxy.addresses()[0]).await;
    witness.subscribe(json!(["witness/1"])).await;
    assert_eq!(witness.call("mining.authorize", json!(["w"])).await["result"], true);
    // As long as it takes for the attempts to become rare, if they did.
    let all_stay = || proxy.totals().connections == MINERS as u64 + 1 && farm.totals().disconnects == 0;
    eventually("all wait", || proxy.totals().connections == MINERS as u64 + 1).await;
    throughout(Duration::from_secs(4), "all wait", all_stay).await;
    assert!(witness.jobs.is_empty());

    pool.fault(Fault::Resume);
    within(Duration::from_secs(1), "all have work", || farm.mining() == MINERS).await;
    assert!(witness.job().await.clean);
    mining(&proxy, &farm).await;
    settle(&proxy, &farm, &[&pool]).await;
    content(&farm);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_refuses_the_login_is_not_hammered() {
    let (refusing, other) = (start(easy()).await, start(PoolSettings { seed: 2, ..easy() }).await);
    refusing.fault(Fault::RefuseLogin);
    let proxy = Site::new().pool("refusing", refusing.addr(), "").pool("other", other.addr(), "").start().await;
    let farm = swarm(&proxy, MINERS, 2.0);
    let start = Instant::now();
    mining(&proxy, &farm).await;
    let rest = Duration::from_secs(4).saturating_sub(start.elapsed());
    throughout(rest, "one attempt", || refusing.stats().logins_refused <= 1).await;
    assert_eq!(settle(&proxy, &farm, &[&refusing, &other]).await, 0);
    assert_eq!(refusing.stats().logins_refused, 1);
    content(&farm);
}
