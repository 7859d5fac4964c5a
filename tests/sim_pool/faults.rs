//! What goes wrong on demand does, and ends.

use std::time::{Duration, Instant};

use hashgate::sim::pool::{Fault, PoolSettings, SimPool};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::client::{Client, LIMIT};
use crate::{EASY, easy, start};

/// Tries until the pool takes connections (or refuses them).
async fn until_connecting(pool: &SimPool, wanted: bool) {
    let start = Instant::now();
    while TcpStream::connect(pool.addr()).await.is_ok() != wanted {
        assert!(start.elapsed() < LIMIT, "connecting never became {wanted}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn connections_drop_and_new_ones_are_welcome() {
    let pool = start(easy()).await;
    let mut client = Client::mining(pool.addr()).await;
    pool.fault(Fault::DropConnections);
    assert_eq!(client.line().await, None);
    let mut again = Client::mining(pool.addr()).await;
    let share = again.good_share().await;
    assert_eq!(again.submit(&share).await["result"], true);
}

#[tokio::test]
async fn a_pool_that_was_down_is_back_on_the_same_port_with_its_sessions() {
    let pool = start(PoolSettings {
        resume: true,
        ..easy()
    })
    .await;
    let mut client = Client::mining(pool.addr()).await;
    let open = client.good_share().await;
    pool.fault(Fault::Down(Duration::from_secs(3600)));
    assert_eq!(client.line().await, None);
    assert!(
        TcpStream::connect(pool.addr()).await.is_err(),
        "refused while down"
    );
    pool.fault(Fault::Resume);
    until_connecting(&pool, true).await;
    let mut back = Client::connect(pool.addr()).await;
    back.subscribe(json!(["test/1", client.session])).await;
    assert_eq!(back.extranonce1, client.extranonce1);
    back.call("mining.authorize", json!(["w"])).await;
    assert_eq!(back.submit(&open).await["result"], true);
}

#[tokio::test]
async fn a_pool_comes_back_by_itself_when_its_time_is_over() {
    let pool = start(easy()).await;
    let mut client = Client::mining(pool.addr()).await;
    let down = Duration::from_millis(100);
    let start = Instant::now();
    pool.fault(Fault::Down(down));
    assert_eq!(client.line().await, None);
    until_connecting(&pool, true).await;
    assert!(start.elapsed() >= down, "back after {:?}", start.elapsed());
}

#[tokio::test]
async fn a_shut_door_keeps_those_inside() {
    let pool = start(easy()).await;
    let mut client = Client::mining(pool.addr()).await;
    pool.fault(Fault::StopListening);
    until_connecting(&pool, false).await;
    let share = client.good_share().await;
    assert_eq!(client.submit(&share).await["result"], true);
    pool.fault(Fault::Resume);
    until_connecting(&pool, true).await;
}

#[tokio::test]
async fn stalled_reads_go_on_later() {
    let pool = start(easy()).await;
    let mut client = Client::mining(pool.addr()).await;
    let share = client.good_share().await;
    let start = Instant::now();
    pool.fault(Fault::StallReads(Duration::from_millis(150)));
    // The stall is in force once a later event has come through.
    pool.fault(Fault::ShowMessage("busy".into()));
    assert_eq!(
        client.notified("client.show_message").await,
        json!(["busy"])
    );
    assert_eq!(client.submit(&share).await["result"], true);
    assert!(start.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn slow_replies_are_late_and_in_order() {
    let pool = start(easy()).await;
    let mut client = Client::mining(pool.addr()).await;
    let share = client.good_share().await;
    let start = Instant::now();
    pool.fault(Fault::SlowReplies(Duration::from_millis(100)));
    for id in ["\"a\"", "\"b\""] {
        client
            .send(
                &json!({"id": 0, "method": "mining.submit", "params": share.params("w")})
                    .to_string()
                    .replace("\"id\":0", &format!("\"id\":{id}")),
            )
            .await;
    }
    // Anything but submits is answered at once.
    assert_eq!(
        client.call("mining.ping", json!([])).await["result"],
        "pong"
    );
    let first = client.message().await.unwrap();
    let second = client.message().await.unwrap();
    assert_eq!(
        (&first["id"], &first["result"]),
        (&json!("a"), &json!(true))
    );
    assert_eq!(
        (&second["id"], &second["error"][0]),
        (&json!("b"), &json!(22))
    );
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn a_silent_pool_credits_and_says_nothing() {
    let pool = start(easy()).await;
    let mut client = Client::mining(pool.addr()).await;
    pool.fault(Fault::SilentReplies);
    let share = client.good_share().await;
    client
        .send(
            &json!({"id": "lost", "method": "mining.submit", "params": share.params("w")})
                .to_string(),
        )
        .await;
    let reply = client.call("mining.ping", json!([])).await;
    assert_eq!(
        reply["result"], "pong",
        "no answer to the submit came before"
    );
    assert_eq!(pool.stats().accepted, 1);
    pool.fault(Fault::Resume);
    let share = client.good_share().await;
    assert_eq!(client.submit(&share).await["result"], true);
}

#[tokio::test]
async fn a_pool_without_news_answers_all_the_same() {
    let pool = start(easy()).await;
    pool.fault(Fault::NoNotify);
    let mut client = Client::connect(pool.addr()).await;
    client.subscribe(json!([])).await;
    client.call("mining.authorize", json!(["w"])).await;
    pool.new_block();
    client.call("mining.ping", json!([])).await;
    assert_eq!((client.jobs.len(), client.difficulty), (0, None));
    pool.fault(Fault::Resume);
    client.job().await;
    let share = client.good_share().await;
    assert_eq!(
        client.submit(&share).await["result"],
        true,
        "it gets its job afterwards"
    );
}

#[tokio::test]
async fn everything_can_be_refused() {
    let pool = start(easy()).await;
    let mut client = Client::mining(pool.addr()).await;
    pool.fault(Fault::RejectAll {
        code: 29,
        message: "Go away".into(),
    });
    let share = client.good_share().await;
    assert_eq!(
        client.submit(&share).await["error"],
        json!([29, "Go away", null])
    );
    assert_eq!(pool.stats().rejected_for("forced"), 1);
    pool.fault(Fault::RefuseLogin);
    assert_eq!(
        client.call("mining.authorize", json!(["w2"])).await["error"][0],
        24
    );
    pool.fault(Fault::Resume);
    assert_eq!(client.submit(&share).await["result"], true);
    assert_eq!(
        client.call("mining.authorize", json!(["w2"])).await["result"],
        true
    );
}

#[tokio::test]
async fn a_new_extranonce_is_in_force_from_the_next_job() {
    let pool = start(easy()).await;
    let mut client = Client::mining(pool.addr()).await;
    let mut bystander = Client::mining(pool.addr()).await;
    client.call("mining.extranonce.subscribe", json!([])).await;
    let old = client.good_share().await;
    pool.fault(Fault::Extranonce {
        extranonce2_size: 5,
    });
    let told = client.notified("mining.set_extranonce").await;
    assert_eq!(
        client.submit(&old).await["result"],
        true,
        "the old job keeps its extranonce"
    );
    client.extranonce1 = hex::decode(told[0].as_str().unwrap()).unwrap();
    client.extranonce2_size = 5;
    assert_eq!((client.extranonce1.len(), &told[1]), (7, &json!(5)));
    pool.new_template();
    client.next_job().await;
    let new = client.good_share().await;
    assert_eq!(client.submit(&new).await["result"], true);
    bystander.next_job().await;
    assert!(
        bystander.other.is_empty(),
        "who did not subscribe is not told"
    );
}

#[tokio::test]
async fn a_new_mask_is_in_force_at_once() {
    let pool = start(easy()).await;
    let mut client = Client::mining(pool.addr()).await;
    client
        .call(
            "mining.configure",
            json!([["version-rolling"], {"version-rolling.mask": "1fffe000"}]),
        )
        .await;
    let job = client.job().await;
    pool.fault(Fault::VersionMask(0x0000_e000));
    assert_eq!(
        client.notified("mining.set_version_mask").await,
        json!(["0000e000"])
    );
    let outside = client.grind(
        &job,
        EASY,
        true,
        job.version | 0x0001_0000,
        Some(0x0001_0000),
    );
    assert_eq!(client.submit(&outside).await["error"][0], 20);
    let inside = client.grind(&job, EASY, true, job.version | 0x2000, Some(0x2000));
    assert_eq!(client.submit(&inside).await["result"], true);
    assert_eq!(pool.stats().rejected_for("version-bits"), 1);
}

#[tokio::test]
async fn stray_lines_reach_everyone() {
    let pool = start(easy()).await;
    let mut client = Client::mining(pool.addr()).await;
    pool.fault(Fault::Reconnect {
        host: Some("other.example".into()),
        port: 3333,
        wait_secs: 1,
    });
    assert_eq!(
        client.notified("client.reconnect").await,
        json!(["other.example", 3333, 1])
    );
    pool.fault(Fault::Reconnect {
        host: None,
        port: 0,
        wait_secs: 0,
    });
    assert_eq!(client.notified("client.reconnect").await, json!([]));
    pool.fault(Fault::Garbage);
    let line = client.line().await.unwrap();
    assert!(serde_json::from_str::<Value>(&line).is_err());
    pool.fault(Fault::RawLine("{\"half\":".into()));
    assert_eq!(client.line().await.unwrap(), "{\"half\":\n");
}

#[tokio::test]
async fn after_shutdown_nothing_is_left() {
    let pool = start(easy()).await;
    let addr = pool.addr();
    let mut client = Client::mining(addr).await;
    pool.shutdown().await;
    assert_eq!(client.line().await, None);
    assert!(TcpStream::connect(addr).await.is_err());
}
