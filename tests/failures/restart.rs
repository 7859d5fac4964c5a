//! What a proxy keeps over a restart, and what a miner keeps over a reconnect.

use std::path::Path;
use std::time::{Duration, Instant};

use hashgate::app::Proxy;
use hashgate::sim::pool::{Fault, PoolSettings, SimPool};
use serde_json::json;

use crate::client::Client;
use crate::world::*;

fn site(state: &Path, pool: &SimPool) -> Site {
    let proxy = format!("workers = 2\nstate_file = {state:?}");
    Site::new().proxy(&proxy).listener("layout_wait = \"20s\"").pool("only", pool.addr(), "")
}

/// What a miner is granted, and how long it waits for that.
async fn first_answer(proxy: &Proxy) -> (usize, usize, Duration) {
    let began = Instant::now();
    let mut miner = Client::connect(proxy.addresses()[0]).await;
    miner.subscribe(json!(["first/1"])).await;
    (miner.extranonce1.len(), miner.extranonce2_size, began.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_the_first_miner_waits_for_no_pool() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state.json");
    let pool = start(PoolSettings { extranonce2_size: 6, ..easy() }).await;
    let proxy = site(&state, &pool).start().await;
    let (id, size, _) = first_answer(&proxy).await;
    assert_eq!((id, size), (2, 4));
    proxy.shut_down(LIMIT).await;

    pool.fault(Fault::Down(Duration::from_secs(3600)));
    let proxy = site(&state, &pool).start().await;
    let (id, size, waited) = first_answer(&proxy).await;
    assert_eq!((id, size), (2, 4), "what the pool granted is remembered");
    assert!(waited < Duration::from_secs(5), "it was held for {waited:?}");
    proxy.shut_down(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_a_worker_has_its_difficulty() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state.json");
    let pool = start(PoolSettings { difficulty: 1e-3, ..easy() }).await;
    let proxy = site(&state, &pool).start().await;
    let mut miner = Client::connect(proxy.addresses()[0]).await;
    miner.subscribe(json!(["w/1"])).await;
    miner.call("mining.authorize", json!(["farm.7", "d=0.0001"])).await;
    miner.job().await;
    assert_eq!(miner.difficulty, Some(1e-4));
    drop(miner);
    eventually("it has left", || proxy.totals().connections == 0).await;
    proxy.shut_down(LIMIT).await;

    let proxy = site(&state, &pool).start().await;
    for (user, is_known) in [("farm.7", true), ("farm.8", false)] {
        let mut miner = Client::connect(proxy.addresses()[0]).await;
        miner.subscribe(json!(["w/1"])).await;
        miner.call("mining.authorize", json!([user])).await;
        miner.job().await;
        assert_eq!(miner.difficulty == Some(1e-4), is_known, "{user}: {:?}", miner.difficulty);
    }
    proxy.shut_down(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_state_file_is_no_reason_not_to_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state.json");
    let pool = start(easy()).await;
    for damage in [&b"{\"version\":1,\"epoch\":"[..], b"", b"\xff\xfe\x00", b"{\"version\":99}"] {
        std::fs::write(&state, damage).expect("writes");
        let proxy = site(&state, &pool).start().await;
        let mut miner = Client::mining(proxy.addresses()[0]).await;
        let share = miner.good_share().await;
        assert_eq!(miner.submit(&share).await["result"], true);
        proxy.shut_down(LIMIT).await;
        let text = std::fs::read_to_string(&state).expect("it is written anew");
        let state: serde_json::Value = serde_json::from_str(&text).expect("whole");
        assert_eq!((&state["epoch"], &state["pools"]["only"]["extranonce2_size"]), (&json!(1), &json!(8)));
    }
}

/// Takes up a session where another connection left it.
async fn resume(proxy: &Proxy, before: &Client) -> Client {
    let mut miner = Client::connect(proxy.addresses()[0]).await;
    miner.subscribe(json!(["w/1", before.session])).await;
    miner.call("mining.authorize", json!(["w"])).await;
    miner
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miner_that_returns_is_told_the_truth_about_the_jobs_it_had() {
    let pool = start(PoolSettings { resume: true, ..easy() }).await;
    let proxy = Site::new().pool("only", pool.addr(), "").start().await;

    // Nothing happened meanwhile: a share that it found before counts.
    let mut miner = Client::mining(proxy.addresses()[0]).await;
    let late = miner.good_share().await;
    miner.hang_up().await;
    eventually("it has left", || proxy.totals().router.leases_parked == 1).await;
    let mut back = resume(&proxy, &miner).await;
    assert_eq!((&back.session, &back.extranonce1), (&miner.session, &miner.extranonce1));
    assert_eq!(back.submit(&late).await["result"], true);
    assert_eq!(back.submit(&late).await["error"][0], 22, "once");

    // A new block: its old jobs are stale.
    back.job().await;
    let late = back.good_share().await;
    back.hang_up().await;
    eventually("it has left", || proxy.totals().router.leases_parked == 1).await;
    let mut watcher = Client::mining(proxy.addresses()[0]).await;
    pool.new_block();
    watcher.next_job().await;
    let mut back = resume(&proxy, &back).await;
    assert_eq!(back.submit(&late).await["error"], json!([21, "Stale", null]));

    // The pool is lost: nobody knows whether it will credit anything.
    back.job().await;
    let late = back.good_share().await;
    back.hang_up().await;
    eventually("it has left", || proxy.totals().router.leases_parked == 1).await;
    pool.fault(Fault::Down(Duration::from_secs(3600)));
    eventually("the loss is seen", || proxy.totals().router.pools[0].connections == 0).await;
    let mut back = resume(&proxy, &back).await;
    assert_eq!(back.submit(&late).await["error"], json!([20, "No pool", null]));
    pool.fault(Fault::Resume);
    back.next_job().await;
    let share = back.good_share().await;
    assert_eq!(back.submit(&share).await["result"], true);
    proxy.shut_down(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pool_may_have_the_last_word() {
    let pool = start(easy()).await;
    let site = Site::new().listener("answer = \"pool\"\nanswer_timeout = \"1s\"").pool("only", pool.addr(), "");
    let proxy = site.start().await;
    let mut miner = Client::mining(proxy.addresses()[0]).await;
    let share = miner.good_share().await;
    assert_eq!(miner.submit(&share).await["result"], true);
    assert_eq!(proxy.totals().router.pools[0].accepted, 1);

    pool.fault(Fault::RejectAll { code: 21, message: "Not \"today\"".into() });
    let share = miner.good_share().await;
    let answer = miner.submit(&share).await;
    assert_eq!((&answer["error"][0], answer["error"][1].as_str()), (&json!(21), Some("Not \"today\"")));
    pool.fault(Fault::Resume);

    // A pool that says nothing: after a while it is our word.
    pool.fault(Fault::SilentReplies);
    let share = miner.good_share().await;
    let began = Instant::now();
    assert_eq!(miner.submit(&share).await["result"], true);
    assert!(began.elapsed() >= Duration::from_millis(990), "it waited for {:?} only", began.elapsed());
    proxy.shut_down(Duration::ZERO).await;
}
