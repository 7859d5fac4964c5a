//! A census says of each connection what the books say of all.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use hashgate::app::Proxy;
use hashgate::router::{Census, ConnectionId};
use hashgate::sim::pool::{Fault, PoolSettings};

use crate::client::Client;
use crate::world::*;

/// All censuses of a proxy, added up.
#[derive(Default)]
struct Sum {
    miners: HashMap<ConnectionId, Miner>,
}

#[derive(Clone, Debug, Default)]
struct Miner {
    user: Option<String>,
    found: u64,
    work: f64,
    refused: u64,
    forwarded: u64,
    accepted: u64,
    settled: u64,
    is_gone: bool,
}

impl Sum {
    fn add(&mut self, census: Census) {
        let told: HashSet<ConnectionId> = census.miners.iter().map(|miner| miner.connection).collect();
        assert_eq!(told.len(), census.miners.len(), "each is told of once");
        for report in census.miners {
            let miner = self.miners.entry(report.connection).or_default();
            assert!(!miner.is_gone, "told of after its last report: {miner:?}");
            miner.user = report.user.map(|user| user.to_string());
            miner.found += report.shares.found;
            miner.work += report.shares.work;
            miner.refused += report.shares.refused();
            miner.forwarded += report.forwarded;
            miner.is_gone = report.is_gone;
        }
        for (connection, settled) in census.settled {
            let miner = self.miners.get_mut(&connection).expect("settled, and nobody has heard of it");
            miner.accepted += settled.accepted;
            miner.settled += settled.accepted + settled.rejected + settled.lost;
        }
        for (connection, miner) in &self.miners {
            assert!(miner.settled <= miner.forwarded, "{connection:?}: settled before it was sent on: {miner:?}");
        }
    }

    async fn take(&mut self, proxy: &Proxy) {
        self.add(proxy.errands().census().await.expect("the proxy lives"));
    }

    fn of<T: std::iter::Sum>(&self, what: impl Fn(&Miner) -> T) -> T {
        self.miners.values().map(what).sum()
    }
}

/// Shares, pools' answers, miners that leave, a pool that goes: whatever happens between two of them.
async fn adds_up(seed: u64) {
    println!("seed {seed}");
    let pool = start(PoolSettings { seed, ..easy() }).await;
    let proxy = Site::new().pool("only", pool.addr(), "").start().await;
    let mut sum = Sum::default();
    sum.take(&proxy).await;
    let (stays, leaves) = (swarm(&proxy, 20, 20.0), swarm(&proxy, 20, 20.0));
    mining(&proxy, &stays).await;
    let mut leaves = Some(leaves);
    for round in 0..60 {
        match round {
            20 => pool.fault(Fault::SlowReplies(Duration::from_millis(30))),
            30 => drop(leaves.take()),
            45 => pool.fault(Fault::DropConnections),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(seed * 7 % 20 + round % 20)).await;
        sum.take(&proxy).await;
    }
    stays.settle(LIMIT).await;
    eventually("every share is settled", || proxy.totals().unsettled() == 0).await;
    eventually("half have left", || proxy.totals().connections == 20).await;
    sum.take(&proxy).await;
    let totals = proxy.totals();
    assert!(totals.forwarded > 200, "seed {seed}: it is no proof if nothing moves: {totals:?}");
    assert_eq!(sum.of(|miner| miner.found), totals.accepted, "seed {seed}");
    assert_eq!(sum.of(|miner| miner.refused), totals.rejected_total(), "seed {seed}");
    assert_eq!(sum.of(|miner| miner.forwarded), totals.forwarded, "seed {seed}");
    assert_eq!(sum.of(|miner| miner.accepted), totals.router.pools[0].accepted, "seed {seed}");
    assert_eq!(sum.of(|miner| miner.settled), totals.router.pools[0].settled(), "seed {seed}");
    assert_eq!(sum.of(|miner| miner.settled), totals.forwarded, "seed {seed}");
    let work = sum.of(|miner| miner.work) / totals.accepted_difficulty;
    assert!((0.999_999..1.000_001).contains(&work), "seed {seed}: {work} of the work");
    assert_eq!(sum.of(|miner| u64::from(miner.is_gone)), 20, "seed {seed}: each that left, once");
    proxy.shut_down(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn censuses_add_up_to_the_books_and_nothing_is_settled_before_it_was_sent_on() {
    for seed in 0..3 {
        adds_up(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miner_that_leaves_is_told_of_once_with_its_last_shares() {
    let pool = start(easy()).await;
    let proxy = Site::new().pool("only", pool.addr(), "").start().await;
    let errands = proxy.errands();
    assert!(errands.census().await.expect("it lives").miners.is_empty());
    let mut miner = Client::mining(proxy.addresses()[0]).await;
    for _ in 0..3 {
        let share = miner.good_share().await;
        assert_eq!(miner.submit(&share).await["result"], true);
    }
    let census = errands.census().await.expect("it lives");
    let [there] = &census.miners[..] else { panic!("{census:?}") };
    assert_eq!((there.shares.found, there.forwarded, there.is_gone), (3, 3, false));
    assert_eq!((there.user.as_deref(), there.peer.is_loopback()), (Some("w"), true));
    let share = miner.good_share().await;
    assert_eq!(miner.submit(&share).await["result"], true);
    drop(miner);
    eventually("it has left", || proxy.totals().connections == 0).await;
    let census = errands.census().await.expect("it lives");
    let [last] = &census.miners[..] else { panic!("{census:?}") };
    assert_eq!((last.connection, last.shares.found, last.forwarded, last.is_gone), (there.connection, 1, 1, true));
    let census = errands.census().await.expect("it lives");
    assert!(census.miners.is_empty(), "told twice: {census:?}");
    proxy.shut_down(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_a_proxy_that_has_ended_hears_so() {
    let pool = start(easy()).await;
    let proxy = Site::new().pool("only", pool.addr(), "").start().await;
    let errands = proxy.errands().clone();
    assert!(errands.census().await.is_some());
    proxy.shut_down(LIMIT).await;
    assert!(errands.census().await.is_none());
}

/// Both ends of every connection are in this process. `HASHGATE_CROWD=9000` has more.
const CROWD: usize = 1000;

/// Prints what it takes: `cargo test --release --test errands crowd -- --nocapture`.
#[test]
fn a_crowd_is_told_of_in_full() {
    if !alone("census::a_crowd_is_told_of_in_full") {
        return;
    }
    let crowd = std::env::var("HASHGATE_CROWD").ok().and_then(|crowd| crowd.parse().ok()).unwrap_or(CROWD);
    runtime().block_on(async {
        let pool = start(easy()).await;
        let limits = "accepts_per_second = 100000\nconnections_per_address = 100000";
        let proxy = Site::new().proxy("workers = 1").limits(limits).pool("only", pool.addr(), "").start().await;
        let farm = swarm(&proxy, crowd, 0.0);
        eventually("all miners mine", || farm.mining() == crowd).await;
        let mut took = Vec::new();
        for _ in 0..20 {
            let start = std::time::Instant::now();
            let census = proxy.errands().census().await.expect("it lives");
            took.push(start.elapsed());
            assert_eq!(census.miners.len(), crowd);
        }
        took.sort_unstable();
        let all: Vec<_> =
            proxy.errands().census().await.expect("it lives").miners.iter().map(|m| m.connection).collect();
        for asleep in [true, false] {
            let start = std::time::Instant::now();
            proxy.errands().sleepers(all.clone(), asleep).await;
            proxy.errands().census().await.expect("it lives");
            println!("and with a word that they sleep ({asleep}): {:?}", start.elapsed());
        }
        println!("a census of {crowd} miners on one worker, asked and read: {:?} (median), {:?}", took[10], took[0]);
    });
}
