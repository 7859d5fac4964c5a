//! Addresses, difficulty and limits change for who is there and for who comes.

use std::net::SocketAddr;

use crate::client::Client;
use crate::site::{MINERS, Site, words};
use crate::world::*;

fn address(site: &Site, listener: usize) -> SocketAddr {
    site.proxy.reload().status().addresses[listener]
}

/// A port that nobody has.
fn free() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_miner_is_told_another_difficulty() {
    // The pool's own is far above, so that the listener decides.
    let mut site = Site::of(16.0 * EASY, |file| file).await;
    let twice = 2.0 * EASY;
    let outcome = site.reload(|file| file.listener(&format!("difficulty = {twice}\nmin_difficulty = {twice}"))).await;
    assert!(words(&outcome).iter().all(|words| words.starts_with("listener \"farm\" ")), "{outcome:?}");
    let has_it =
        |limit: f64| site.farm.miners().iter().all(|miner| miner.with_stats(|stats| stats.difficulty >= limit));
    eventually("all have it", || has_it(twice)).await;
    let found = site.farm.totals().accepted;
    eventually("and find shares at it", || site.farm.totals().accepted > found + 2 * MINERS as u64).await;
    site.lost_nothing(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lower_limit_turns_the_next_away_and_nobody_out() {
    let mut site = Site::new().await;
    site.reload(|file| file.limits("connections = 10\nunacked_timeout = \"30s\"\nline_bytes = 2048")).await;
    let refused = tokio::net::TcpStream::connect(address(&site, 0)).await.expect("the kernel takes it");
    let is_refused = || site.proxy.totals().refused.contains(&("connections", 1));
    eventually("the next is turned away", is_refused).await;
    drop(refused);
    site.reload(|file| file.limits("")).await;
    let mut late = Client::mining(address(&site, 0)).await;
    let share = late.good_share().await;
    assert_eq!(late.submit(&share).await["result"], true);
    drop(late);
    eventually("it has left", || site.proxy.totals().connections == MINERS as u64).await;
    site.ends_well_but_for(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_opens_another_closes_and_who_is_connected_stays() {
    let mut site = Site::new().await;
    let (old, new, third) = (address(&site, 0), free(), free());
    site.reload(|file| file.listener(&format!("listen = \"{new}\""))).await;
    assert_eq!(address(&site, 0), new);
    eventually("the old address is closed", || std::net::TcpStream::connect(old).is_err()).await;
    drop(Client::mining(new).await);
    // One more by another name, at its own address; then the first is gone, and its miners are not.
    let guests = format!("[[listener]]\nname = \"guests\"\nlisten = \"{third}\"");
    site.reload(|file| file.more(&guests)).await;
    let mut guest = Client::mining(third).await;
    site.reload(|file| file.more("").listener(&format!("listen = \"{new}\""))).await;
    eventually("the guests' address is closed", || std::net::TcpStream::connect(third).is_err()).await;
    let share = guest.good_share().await;
    assert_eq!(guest.submit(&share).await["result"], true, "who came by it mines on");
    drop(guest);
    eventually("only the farm is left", || site.proxy.totals().connections == MINERS as u64).await;
    site.ends_well_but_for(1).await;
}
