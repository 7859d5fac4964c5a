//! Pools come, go and change while a farm mines for them.

use std::net::TcpListener;

use hashgate::sim::pool::{Fault, SimPool};

use crate::site::{Site, words};
use crate::world::*;

/// Connections of a pool that have sent shares.
fn used(pool: &SimPool) -> usize {
    pool.stats().connections.iter().filter(|connection| connection.accepted > 0).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_password_is_used_by_another_connection_and_the_miners_follow() {
    let mut site = Site::new().await;
    let (address, logins) = (site.a.addr(), site.a.stats().connections_ever);
    let outcome = site.reload(|file| file.pool("a", address, "password = \"another\"")).await;
    assert!(
        words(&outcome)[0].starts_with("pool \"a\" password: another one; another connection is opened"),
        "{outcome:?}"
    );
    assert!(!words(&outcome).concat().contains("password = "));
    eventually("it is logged in twice", || site.a.stats().connections_ever == logins + 1).await;
    eventually("the new one has shares, too", || used(&site.a) == 2).await;
    site.mines_for(&site.a).await;
    site.ends_well().await;
}

/// A minute for late shares, and a second for the pool's last answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_that_was_left_closes_and_takes_no_share_with_it() {
    let quick = "reply_timeout = \"1s\"";
    let mut site = Site::new().await;
    let address = site.a.addr();
    site.reload(|file| file.pool("a", address, quick)).await;
    site.mines_for(&site.a).await;
    within(LIMIT * 5, "only the new one is left", || site.a.stats().connections.len() == 1).await;
    assert_eq!(site.a.stats().connections_ever, 2);
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_put_in_front_takes_the_miners_and_gives_them_back() {
    let mut site = Site::new().await;
    let b = site.b.addr();
    site.reload(|file| file.pool("b", b, "").route("all", "fail_back_after = \"0s\"", &["b", "a"])).await;
    site.mines_for(&site.b).await;
    let outcome = site.reload(|file| file.route("all", "fail_back_after = \"0s\"", &["a", "b"])).await;
    assert!(words(&outcome)[0].starts_with("route \"all\" pools: b, a → a, b; pools are chosen anew"), "{outcome:?}");
    site.mines_for(&site.a).await;
    assert_eq!(site.proxy.totals().router.failovers, [0], "nothing has failed");
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_removed_while_all_mine_for_it_is_left_in_order() {
    let mut site = Site::new().await;
    let b = site.b.addr();
    let outcome = site.reload(|file| file.without_pool("a").pool("b", b, "").route("all", "", &["b"])).await;
    assert!(words(&outcome).iter().any(|words| words.starts_with("pool \"a\" removed")), "{outcome:?}");
    site.mines_for(&site.b).await;
    // It comes back under its name, and finds its counts.
    let a = site.a.addr();
    let credited = site.proxy.totals().router.pools[0].accepted;
    site.reload(|file| file.without_pool("b").pool("a", a, "").route("all", "", &["a"])).await;
    site.mines_for(&site.a).await;
    let totals = site.proxy.totals();
    assert_eq!(totals.router.pools.len(), 2);
    assert!(totals.router.pools[0].accepted > credited);
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_other_pool_yet_goes_on_for_the_one_that_was_removed() {
    let mut site = Site::new().await;
    let b = site.b.addr();
    site.b.fault(Fault::Down(LIMIT * 100));
    site.reload(|file| file.without_pool("a").pool("b", b, "").route("all", "", &["b"])).await;
    site.mines_for(&site.a).await;
    site.b.fault(Fault::Resume);
    site.mines_for(&site.b).await;
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_with_a_slip_of_the_pen_costs_nothing() {
    let mut site = Site::new().await;
    // Somebody else is there, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let wrong = silent.local_addr().expect("an address");
    site.reload(|file| file.pool("a", wrong, "")).await;
    site.mines_for(&site.a).await;
    let right = site.b.addr();
    site.reload(|file| file.pool("a", right, "")).await;
    site.mines_for(&site.b).await;
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_nobody_needs_is_hung_up() {
    let mut site = Site::with(|file| file).await;
    let b = site.b.addr();
    site.reload(|file| file.pool("b", b, "reply_timeout = \"1s\"").route("all", "", &["a", "b"])).await;
    eventually("the standby is there", || site.proxy.totals().router.pools[1].connections == 1).await;
    site.reload(|file| file.without_pool("b").route("all", "", &["a"])).await;
    eventually("it is hung up", || site.b.stats().connections.is_empty()).await;
    eventually("and known to be", || site.proxy.totals().router.pools[1].connections == 0).await;
    site.ends_well().await;
}
