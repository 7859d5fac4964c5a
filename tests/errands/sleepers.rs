//! Miners that sleep keep their connection although they read nothing, and have work when they wake.

use std::time::{Duration, Instant};

use hashgate::app::Proxy;
use hashgate::router::ConnectionId;
use hashgate::sim::pool::SimPool;
use serde_json::json;
use tokio::net::TcpSocket;

use crate::client::{Client, WireJob};
use crate::world::*;

/// As long as a peer may acknowledge nothing here.
const UNACKED: &str = "300ms";

/// Ten times as long, and more than the kernel's first five probes of a window of zero.
const NIGHT: Duration = Duration::from_secs(6);

/// A pool, and a miner that reads whatever comes.
struct Scene {
    pool: SimPool,
    proxy: Proxy,
    honest: Client,
}

impl Scene {
    async fn new() -> Self {
        let pool = start(easy()).await;
        let limits = format!("send_buffer_bytes = \"16 KiB\"\nunacked_timeout = {UNACKED:?}");
        let proxy = Site::new().proxy("workers = 1").limits(&limits).pool("only", pool.addr(), "").start().await;
        let honest = Client::mining(proxy.addresses()[0]).await;
        Self { pool, proxy, honest }
    }

    /// A miner at work that reads nothing from now on, over a buffer as small as the system allows; and its connection.
    async fn deaf(&self, user: &str) -> (Client, ConnectionId) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(2048).expect("small");
        let mut miner = Client::over(socket.connect(self.proxy.addresses()[0]).await.expect("connects"));
        miner.subscribe(json!(["test/1"])).await;
        assert_eq!(miner.call("mining.authorize", json!([user, "x"])).await["result"], true);
        miner.job().await;
        let census = self.proxy.errands().census().await.expect("it lives");
        let of_user = census.miners.iter().find(|report| report.user.as_deref() == Some(user) && !report.is_gone);
        (miner, of_user.expect("it is counted").connection)
    }

    async fn sleep(&self, connection: ConnectionId) {
        self.proxy.errands().sleepers(vec![connection], true).await;
        // Whatever is asked after it is answered after it.
        self.proxy.errands().census().await.expect("it lives");
    }

    /// One more job of the same block, and one block more, which who reads has heard of.
    async fn block(&mut self) -> WireJob {
        self.pool.new_template();
        self.honest.next_job().await;
        self.pool.new_block();
        self.honest.next_job().await
    }

    /// Blocks, until so many connections are left.
    async fn blocks_until(&mut self, left: u64) -> usize {
        let start = Instant::now();
        for blocks in 1.. {
            self.block().await;
            if self.proxy.totals().connections == left {
                return blocks;
            }
            assert!(start.elapsed() < LIMIT, "who reads nothing and is awake is kept");
        }
        unreachable!("it is left by a return")
    }

    /// Blocks for a while.
    async fn night(&mut self) -> WireJob {
        let start = Instant::now();
        loop {
            let newest = self.block().await;
            if start.elapsed() > NIGHT {
                return newest;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Reads on until it has the work of this block; how long that took.
async fn hears_of(miner: &mut Client, newest: &WireJob) -> Duration {
    let start = Instant::now();
    while miner.job().await.prevhash != newest.prevhash {
        miner.message().await.expect("it is connected");
    }
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeper_that_reads_nothing_stays_and_wakes_to_whole_lines_and_the_newest_work() {
    let mut scene = Scene::new().await;
    let (mut sleeper, connection) = scene.deaf("sleeper").await;
    scene.sleep(connection).await;
    let (_awake, _) = scene.deaf("awake").await;
    let told = scene.blocks_until(2).await;
    scene.night().await;
    assert_eq!(scene.proxy.totals().connections, 2, "after {told} blocks an awake one was gone, now the sleeper is");
    let newest = scene.block().await;

    scene.proxy.errands().sleepers(vec![connection], false).await;
    let took = hears_of(&mut sleeper, &newest).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    let newest = sleeper.job().await;
    assert!(newest.clean, "what it hashed yesterday is over: {newest:?}");
    assert!(sleeper.jobs.len() < scene.honest.jobs.len() / 2, "work was piled up: {} jobs", sleeper.jobs.len());
    assert_eq!(sleeper.call("mining.authorize", json!(["w", "x"])).await["result"], true);
    let share = sleeper.good_share().await;
    let answer = sleeper.submit(&share).await;
    assert_eq!(answer["result"], true, "{answer}");

    // It is up: from now on it reads, or goes.
    scene.blocks_until(1).await;
    scene.proxy.shut_down(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sleeper_that_says_something_has_the_newest_work_once() {
    let mut scene = Scene::new().await;
    let (mut sleeper, connection) = scene.deaf("sleeper").await;
    scene.sleep(connection).await;
    let (_awake, _) = scene.deaf("awake").await;
    scene.blocks_until(2).await;
    let newest = scene.block().await;
    for _ in 0..5 {
        assert_eq!(sleeper.call("mining.ping", json!([])).await["result"], "pong");
    }
    hears_of(&mut sleeper, &newest).await;
    assert_eq!(sleeper.call("mining.ping", json!([])).await["result"], "pong");
    let of_newest = sleeper.jobs.iter().filter(|job| job.prevhash == newest.prevhash).count();
    assert!((1..=2).contains(&of_newest), "{of_newest} times the newest work");
    // It was not told to wake, and reads nothing again: it may sleep on.
    scene.night().await;
    assert_eq!(scene.proxy.totals().connections, 2);
    scene.proxy.shut_down(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_boots_for_a_while_after_it_was_called_is_waited_for() {
    let mut scene = Scene::new().await;
    let (mut sleeper, connection) = scene.deaf("sleeper").await;
    scene.sleep(connection).await;
    let (_awake, _) = scene.deaf("awake").await;
    scene.blocks_until(2).await;
    scene.proxy.errands().sleepers(vec![connection], false).await;
    let newest = scene.night().await;
    let took = hears_of(&mut sleeper, &newest).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    scene.proxy.shut_down(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_is_the_connections_and_not_the_miners() {
    let mut scene = Scene::new().await;
    let (sleeper, connection) = scene.deaf("sleeper").await;
    scene.sleep(connection).await;
    drop(sleeper);
    eventually("it has left", || scene.proxy.totals().connections == 1).await;
    let (_again, new) = scene.deaf("sleeper").await;
    assert_ne!(new, connection);
    // A mark that comes too late is for nobody.
    scene.sleep(connection).await;
    scene.blocks_until(1).await;
    scene.proxy.shut_down(LIMIT).await;
}
