//! Fifteen thousand connects and disconnects: sockets are sessions, ids are free again, memory is where it was.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hashgate::app::Proxy;
use hashgate::router::MAX_PARKED;
use hashgate::sim::pool::PoolSettings;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::world::*;

/// Both ends of every connection are in this process, which may open 20 000 files.
const AT_ONCE: usize = 2500;

/// After the fourth there are more leases of miners that left than are kept.
const WAVES: usize = 10;
const _: () = assert!(4 * AT_ONCE > MAX_PARKED);

/// Files of this process.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("Linux").count()
}

/// Connects, subscribes, and authorizes if it wants work; returns when it has the answer (or the work).
async fn visit(address: SocketAddr, wants_work: bool) -> TcpStream {
    let visit = async {
        let mut socket = BufReader::new(TcpStream::connect(address).await.expect("connects"));
        let mut hello = String::from("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n");
        if wants_work {
            hello += "{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"farm.1\",\"x\"]}\n";
        }
        socket.write_all(hello.as_bytes()).await.expect("sends");
        let mut line = String::new();
        while !line.contains(if wants_work { "mining.notify\",\"params" } else { "\"id\":1," }) {
            line.clear();
            assert!(socket.read_line(&mut line).await.expect("reads") > 0, "it is let in");
        }
        assert!(!line.contains("\"error\":["), "{line}");
        socket.into_inner()
    };
    timeout(LIMIT, visit).await.expect("it is served in time")
}

/// So many come together, are all there at once, and leave together.
async fn wave(proxy: &Proxy, visitors: usize, wants_work: bool) {
    let mut coming = JoinSet::new();
    for _ in 0..visitors {
        coming.spawn(visit(proxy.addresses()[0], wants_work));
    }
    let sockets = coming.join_all().await;
    assert_eq!(proxy.totals().connections, visitors as u64, "sockets are sessions");
    assert_eq!(proxy.totals().miners.len(), 1);
    drop(sockets);
    eventually("all sessions end with their sockets", || proxy.totals().connections == 0).await;
}

async fn storm(settings: PoolSettings, wants_work: bool) {
    let pool = start(settings).await;
    let proxy = Site::new().limits("accepts_per_second = 100000").pool("only", pool.addr(), "").start().await;
    wave(&proxy, 10, wants_work).await;
    let files = open_files();
    let mut memory = Vec::new();
    for _ in 0..WAVES {
        wave(&proxy, AT_ONCE, wants_work).await;
        eventually("files are back to where they were", || open_files() <= files).await;
        let leases = || proxy.totals().router.leases_live + proxy.totals().router.leases_parked;
        eventually("ids are free again", || {
            // They are when nobody hashes for an old block any more.
            pool.new_block();
            leases() <= MAX_PARKED
        })
        .await;
        memory.push(heap_kib());
    }
    let totals = proxy.totals();
    assert_eq!(totals.opened, (WAVES * AT_ONCE + 10) as u64);
    assert_eq!(totals.opened, totals.left, "nobody was thrown out: {:?}", totals.closed);
    eventually("no lease is live", || proxy.totals().router.leases_live == 0).await;
    // The first waves leave leases to resume; a leak would go on. What one miner leaves behind, kept for each of the 12 500
    // visitors since, would be 17 MiB.
    let growth = memory[WAVES - 1].saturating_sub(memory[4]);
    assert!(growth < 4 * 1024, "{growth} KiB more after another 12 500 visitors: {memory:?}");
    proxy.shut_down(LIMIT).await;
}

#[test]
fn twenty_five_thousand_miners_come_and_go() {
    if alone("storm::twenty_five_thousand_miners_come_and_go") {
        runtime().block_on(storm(easy(), true));
    }
}

/// Ids are one byte: they are free again, or the ten lanes of a wave would become sixty pool connections.
#[test]
fn twenty_five_thousand_subscribes_leave_every_id_free() {
    if alone("storm::twenty_five_thousand_subscribes_leave_every_id_free") {
        runtime().block_on(storm(PoolSettings { extranonce2_size: 5, ..easy() }, false));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_without_work_are_given_to_the_next() {
    let pool = start(PoolSettings { extranonce2_size: 5, ..easy() }).await;
    let proxy = Site::new().pool("only", pool.addr(), "").start().await;
    for _ in 0..6 {
        wave(&proxy, 200, false).await;
        eventually("every lease is free", || {
            let router = proxy.totals().router;
            router.leases_live + router.leases_parked == 0
        })
        .await;
    }
    assert_eq!(pool.stats().connections_ever, 1, "256 ids were enough for 1200 visitors");
    proxy.shut_down(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_farm_that_returns_at_once_is_let_in_at_the_pace_that_was_set() {
    let pool = start(easy()).await;
    let proxy = Site::new().limits("accepts_per_second = 200").pool("only", pool.addr(), "").start().await;
    let began = Instant::now();
    wave(&proxy, 400, true).await;
    let took = began.elapsed();
    assert!(took > Duration::from_millis(1500), "400 at 200 a second came in {took:?}");
    proxy.shut_down(LIMIT).await;
}
