//! Whoever connects may send anything, or read nothing: it gets a clear error or a quiet close, is counted, and costs nobody else.

use std::net::SocketAddr;
use std::time::Duration;

use hashgate::app::Proxy;
use hashgate::metrics::Totals;
use hashgate::sim::pool::SimPool;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::client::Client;
use crate::world::*;

/// A proxy with a miner that must not notice anything.
struct Scene {
    pool: SimPool,
    proxy: Proxy,
    honest: Client,
}

impl Scene {
    async fn new(limits: &str) -> Self {
        let pool = start(easy()).await;
        let proxy = Site::new().limits(limits).pool("only", pool.addr(), "").start().await;
        let honest = Client::mining(proxy.addresses()[0]).await;
        Self { pool, proxy, honest }
    }

    fn address(&self) -> SocketAddr {
        self.proxy.addresses()[0]
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.expect("connects")
    }

    fn closed(&self, reason: &str) -> u64 {
        count(&self.proxy.totals().closed, reason)
    }

    /// Everything is as it was: the honest miner mines, and nobody else is connected.
    async fn ends_as_before(mut self) {
        let share = self.honest.good_share().await;
        assert_eq!(self.honest.submit(&share).await["result"], true);
        eventually("only the honest one is left", || self.proxy.totals().connections == 1).await;
        eventually("its share is settled", || self.proxy.totals().unsettled() == 0).await;
        assert_eq!(self.pool.stats().rejected_total(), 0);
        self.proxy.shut_down(LIMIT).await;
    }
}

fn count(counts: &[(&'static str, u64)], label: &str) -> u64 {
    counts.iter().find(|(name, _)| *name == label).unwrap_or_else(|| panic!("no {label} in {counts:?}")).1
}

fn refused(totals: &Totals, label: &str) -> u64 {
    count(&totals.refused, label)
}

/// Everything that comes until the other side closes. A reset is a close.
async fn rest(mut socket: TcpStream) -> String {
    let mut all = Vec::new();
    let read = async {
        let mut part = [0; 4096];
        while let Ok(len @ 1..) = socket.read(&mut part).await {
            all.extend_from_slice(&part[..len]);
        }
    };
    timeout(LIMIT, read).await.expect("it is closed");
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_of_a_megabyte_is_refused_at_its_sixteenth_kilobyte() {
    let scene = Scene::new("").await;
    for end in ["", "\n"] {
        let mut socket = scene.connect().await;
        let line =
            format!("{{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"{}\"]}}{end}", "x".repeat(1 << 20));
        // The other side may close before it has all.
        let _ = timeout(LIMIT, socket.write_all(line.as_bytes())).await.expect("it reads or closes");
        let answer = rest(socket).await;
        // The close may overtake the answer while we still send.
        assert!(answer.is_empty() || answer.contains("line of more than 16384 bytes"), "{answer}");
    }
    eventually("both are counted", || scene.closed("line_too_long") == 2).await;
    scene.ends_as_before().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_line_that_ends_is_told_why() {
    let scene = Scene::new("").await;
    let mut socket = scene.connect().await;
    socket.write_all(&[b'x'; 17 * 1024]).await.expect("it reads");
    let answer = rest(socket).await;
    assert!(answer.contains("line of more than 16384 bytes"), "{answer}");
    scene.ends_as_before().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deep_nesting_is_malformed_and_no_stack_overflow() {
    let scene = Scene::new("").await;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let mut miner = Client::mining(scene.address()).await;
        let depth = 15_000 / (open.len() + close.len());
        let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        for method in
            ["mining.configure", "mining.subscribe", "mining.authorize", "mining.submit", "mining.suggest_difficulty"]
        {
            miner.send(&format!("{{\"id\":7,\"method\":\"{method}\",\"params\":{nested}}}")).await;
        }
        miner.send(&nested).await;
        assert_eq!(miner.call("mining.ping", json!([])).await["result"], "pong");
        // Ids are echoed, whatever they are.
        miner.send(&format!("{{\"id\":{nested},\"method\":\"mining.ping\",\"params\":[]}}")).await;
        assert!(miner.line().await.expect("an answer").contains(&nested));
    }
    scene.ends_as_before().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_sockets_are_closed_in_time_and_silent_miners_are_not() {
    let scene = Scene::new("pre_auth_timeout = \"500ms\"").await;
    let silent = scene.connect().await;
    let mut half = scene.connect().await;
    half.write_all(b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n{\"id\":2,").await.expect("sends");
    let mut only_subscribed = Client::connect(scene.address()).await;
    only_subscribed.subscribe(json!([])).await;
    let silent_miner = Client::mining(scene.address()).await;
    assert_eq!(rest(silent).await, "");
    assert!(rest(half).await.contains("mining.notify"));
    while only_subscribed.line().await.is_some() {}
    assert_eq!(scene.closed("pre_auth_timeout"), 3);
    throughout(Duration::from_secs(1), "who mines may be silent", || scene.proxy.totals().connections == 2).await;
    drop(silent_miner);
    scene.ends_as_before().await;
}

/// A client that sends and never reads, over buffers as small as the system allows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_is_disconnected_and_delays_nobody() {
    let mut scene = Scene::new("send_buffer_bytes = \"16 KiB\"").await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(2048).expect("small");
    let mut socket = socket.connect(scene.address()).await.expect("connects");
    let pings = "{\"id\":1,\"method\":\"mining.ping\",\"params\":[]}\n".repeat(100);
    // Each ping is answered, and the answers are not taken: the proxy keeps 16 KiB beyond what the kernel does, then closes.
    let flood = async { while socket.write_all(pings.as_bytes()).await.is_ok() {} };
    tokio::select! {
        flooded = timeout(LIMIT, flood) => flooded.expect("it is disconnected"),
        () = async {
            for _ in 0..50 {
                let share = scene.honest.good_share().await;
                assert_eq!(scene.honest.submit(&share).await["result"], true, "meanwhile the others mine");
            }
            std::future::pending().await
        } => {}
    }
    eventually("it is counted", || scene.closed("slow_reader") == 1).await;
    // The interrupted call's answer may still be on its way.
    assert!(scene.honest.call("mining.ping", json!([])).await["result"] == "pong");
    scene.ends_as_before().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_protocols_are_closed_at_their_first_line() {
    let scene = Scene::new("pre_auth_timeout = \"1s\"").await;
    let others: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03random\nbytes\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\xff\xfe\x00\x00\n\n\n",
        b"\n\n[]\n",
    ];
    for bytes in others {
        let mut socket = scene.connect().await;
        socket.write_all(bytes).await.expect("sends");
        assert_eq!(rest(socket).await, "", "closed without a word");
    }
    // One of them ends no line: it is silence, as far as lines go.
    assert_eq!((scene.closed("not_stratum"), scene.closed("pre_auth_timeout")), (5, 1));
    scene.ends_as_before().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miner_that_turns_to_garbage_is_told_and_dropped() {
    let scene = Scene::new("").await;
    let mut miner = Client::mining(scene.address()).await;
    let mut errors = 0;
    for _ in 0..20 {
        miner.send("{\"id\":").await;
    }
    while let Some(message) = miner.message().await {
        assert_eq!(message["error"], json!([20, "Malformed line", null]));
        errors += 1;
    }
    assert_eq!((errors, scene.closed("malformed")), (8, 1));
    scene.ends_as_before().await;
}

/// Every field of every request, with every type but the right one: answered, never a disconnect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_types_in_every_field_are_answered() {
    let scene = Scene::new("").await;
    let mut miner = Client::mining(scene.address()).await;
    let wrong = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e308),
        json!(u64::MAX),
        json!(""),
        json!("zz"),
        json!("\u{0}\u{7f}é\\\""),
        json!([]),
        json!({}),
        json!([[[]]]),
        json!("0".repeat(4000)),
    ];
    let right: [(&str, Vec<Value>); 8] = [
        (
            "mining.configure",
            vec![
                json!(["version-rolling", "minimum-difficulty", "info", "x"]),
                json!({"version-rolling.mask": "ffffffff", "version-rolling.min-bit-count": 2, "minimum-difficulty.value": 1}),
            ],
        ),
        ("mining.subscribe", vec![json!("a/1"), json!("00"), json!("h:1"), json!(null)]),
        ("mining.authorize", vec![json!("w2"), json!("d=1,md=1")]),
        (
            "mining.submit",
            vec![
                json!("w"),
                json!("00000000"),
                json!("00000000"),
                json!("00000000"),
                json!("00000000"),
                json!("00000000"),
            ],
        ),
        ("mining.suggest_difficulty", vec![json!(1)]),
        ("mining.suggest_target", vec![json!("ff")]),
        ("mining.get_transactions", vec![json!("x")]),
        ("no.such.method", vec![json!(1)]),
    ];
    for (method, params) in right {
        for field in 0..params.len() {
            for value in &wrong {
                let mut params = params.clone();
                params[field] = value.clone();
                assert!(miner.call(method, Value::Array(params)).await.get("result").is_some());
            }
        }
        for params in &wrong {
            assert!(miner.call(method, params.clone()).await.get("result").is_some());
        }
    }
    let share = miner.good_share().await;
    assert_eq!(miner.submit(&share).await["result"], true, "it still mines");
    drop(miner);
    scene.ends_as_before().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_may_come_byte_by_byte_and_many_at_once() {
    let scene = Scene::new("").await;
    let mut socket = scene.connect().await;
    socket.set_nodelay(true).expect("sent one by one");
    let lines = "{\"id\":\"a\",\"method\":\"mining.subscribe\",\"params\":[]}\r\n{\"id\":\"b\",\"method\":\"mining.authorize\",\"params\":[\"w\"]}\n";
    for byte in lines.bytes() {
        socket.write_all(&[byte]).await.expect("sends");
    }
    socket.write_all("{\"id\":\"c\",\"method\":\"mining.ping\"}\n".repeat(500).as_bytes()).await.expect("sends");
    socket.shutdown().await.expect("ends");
    let answers = rest(socket).await;
    assert!(answers.find("\"a\"") < answers.find("\"b\""), "in order");
    assert_eq!(answers.matches("pong").count(), 500);
    scene.ends_as_before().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_and_all_together_have_a_limit() {
    let scene = Scene::new("connections = 8\nconnections_per_address = 5").await;
    let port = scene.address().port();
    let from = |last: u8| async move {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).expect("loopback is a network of its own");
        socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await.expect("connects")
    };
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(from(2).await);
    }
    eventually("five of one address", || scene.proxy.totals().connections == 6).await;
    assert_eq!(rest(from(2).await).await, "");
    assert_eq!(refused(&scene.proxy.totals(), "connections_per_address"), 1);
    open.push(from(3).await);
    open.push(from(4).await);
    eventually("eight in all", || scene.proxy.totals().connections == 8).await;
    assert_eq!(rest(from(5).await).await, "");
    assert_eq!(refused(&scene.proxy.totals(), "connections"), 1);
    open.clear();
    eventually("what leaves makes room", || scene.proxy.totals().connections == 1).await;
    let mut late = Client::mining(scene.address()).await;
    let share = late.good_share().await;
    assert_eq!(late.submit(&share).await["result"], true);
    drop(late);
    scene.ends_as_before().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_has_so_many_workers_and_no_more() {
    let scene = Scene::new("workers_per_connection = 100").await;
    let mut miner = Client::mining(scene.address()).await;
    let mut welcome = 1;
    for worker in 0..2000 {
        let answer = miner.call("mining.authorize", json!([format!("w{worker}")])).await;
        match answer["result"] == true {
            true => welcome += 1,
            false => assert_eq!(answer["error"][0], 24),
        }
    }
    assert_eq!(welcome, 100);
    drop(miner);
    scene.ends_as_before().await;
}

/// A flood of shares that are no good: rejected, none forwarded, and nothing is kept of them. Alone in its process, whose memory is
/// measured.
#[test]
fn a_flood_of_bad_shares_leaves_nothing_behind() {
    if !alone("hostile::a_flood_of_bad_shares_leaves_nothing_behind") {
        return;
    }
    runtime().block_on(async {
        let mut scene = Scene::new("").await;
        let share = scene.honest.good_share().await;
        assert_eq!(scene.honest.submit(&share).await["result"], true);
        let mut memory = Vec::new();
        for _ in 0..4 {
            flood(&scene, &share, 50_000).await;
            memory.push(heap_kib());
        }
        let totals = scene.proxy.totals();
        assert!(totals.rejected_for("duplicate") >= 100_000 && totals.forwarded == 5, "{:?}", totals.rejected);
        let growth = memory[3].saturating_sub(memory[1]);
        assert!(growth < 2048, "{growth} KiB more after another 100 000: {memory:?}");
        scene.ends_as_before().await;
    });
}

/// So many submits on one connection, half of them one share over and over, half for a job that never was.
async fn flood(scene: &Scene, share: &crate::client::Share, submits: usize) {
    let mut miner = Client::mining(scene.address()).await;
    let own = miner.good_share().await;
    assert_eq!(miner.submit(&own).await["result"], true);
    let line = |params: Value| json!({"id": 4, "method": "mining.submit", "params": params}).to_string();
    let mut unknown = share.clone();
    unknown.job = "ffffffff".into();
    let pair = format!("{}\n{}", line(own.params("w")), line(unknown.params("w")));
    for _ in 0..submits / 1000 {
        miner.send(&vec![pair.as_str(); 500].join("\n")).await;
        for _ in 0..1000 {
            let reply = loop {
                let message = miner.message().await.expect("an answer");
                if message["id"] == 4 {
                    break message;
                }
            };
            assert!(matches!(reply["error"][0].as_u64(), Some(21 | 22)), "{reply}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miner_that_submits_and_leaves_at_once_is_credited() {
    let scene = Scene::new("").await;
    let mut hashes = Vec::new();
    for _ in 0..20 {
        let mut miner = Client::mining(scene.address()).await;
        let share = miner.good_share().await;
        miner.send(&json!({"id": 4, "method": "mining.submit", "params": share.params("w")}).to_string()).await;
        // It has sent its last, and reads nothing any more: the answer is lost, the share is not.
        miner.hang_up().await;
        hashes.push(share.hash);
    }
    eventually("all are credited", || scene.proxy.totals().accepted == 20).await;
    eventually("all are settled", || scene.proxy.totals().unsettled() == 0).await;
    let credited: Vec<_> = scene.pool.accepted_shares().into_iter().map(|share| share.hash).collect();
    assert!(hashes.iter().all(|hash| credited.contains(hash)), "{hashes:?} {credited:?}");
    eventually("all have left", || scene.proxy.totals().left == 20).await;
    scene.ends_as_before().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn miners_that_mix_shares_and_requests_hear_their_own_answers_in_order() {
    let scene = Scene::new("").await;
    let mut talkers = Vec::new();
    for number in 0..16_u64 {
        let address = scene.address();
        talkers.push(tokio::spawn(async move {
            let mut miner = Client::mining(address).await;
            let share = miner.good_share().await.params("w");
            let line = |id: u64, method: &str, params: &Value| {
                json!({"id": id, "method": method, "params": params}).to_string()
            };
            for round in 0..50 {
                let first = 1_000_000 * (number + 1) + 10 * round;
                let lines = [
                    line(first, "mining.ping", &json!([])),
                    line(first + 1, "mining.submit", &share),
                    line(first + 2, "mining.ping", &json!([])),
                    line(first + 3, "mining.submit", &share),
                ];
                miner.send(&lines.join("\n")).await;
                for id in first..first + 4 {
                    let answer = loop {
                        let message = miner.message().await.expect("an answer");
                        if message["method"].is_null() {
                            break message;
                        }
                    };
                    assert_eq!(answer["id"], id, "{answer}");
                }
            }
        }));
    }
    for talker in talkers {
        talker.await.expect("it heard what it should");
    }
    eventually("they have gone", || scene.proxy.totals().connections == 1).await;
    scene.ends_as_before().await;
}
