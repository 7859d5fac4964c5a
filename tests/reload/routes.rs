//! Miners go where the new routes lead, on the connections they have.

use crate::site::{MINERS, Site};
use crate::world::*;

fn miners(site: &Site) -> Vec<u64> {
    site.proxy.totals().miners
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fits_a_new_route_moves_to_its_pool_and_back_when_it_is_gone() {
    let mut site = Site::new().await;
    let b = site.b.addr();
    site.reload(|file| file.pool("b", b, "").route("hall", "user = \"farm*\"", &["b"])).await;
    eventually("all are on the new route", || miners(&site) == [0, MINERS as u64]).await;
    site.mines_for(&site.b).await;
    site.reload(|file| file.route("hall", "user = \"nobody*\"", &["b"])).await;
    eventually("all are back", || miners(&site) == [MINERS as u64, 0]).await;
    site.mines_for(&site.a).await;
    site.reload(|file| file.route("hall", "subnets = [\"127.0.0.0/8\"]", &["b"])).await;
    site.mines_for(&site.b).await;
    site.reload(|file| file.without_route("hall").without_pool("b")).await;
    site.mines_for(&site.a).await;
    eventually("all are back for good", || miners(&site) == [MINERS as u64, 0]).await;
    site.ends_well().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_farm_that_is_sent_elsewhere_is_let_in_gradually() {
    let mut site = Site::new().await;
    let b = site.b.addr();
    eventually("the rates are known", || {
        site.proxy.totals().hashrate[0].hs() > 0.5 * MINERS as f64 * hashgate::work::HASHES_PER_DIFFICULTY * EASY
    })
    .await;
    let slow = "admit_shares_per_second = 50";
    site.reload(|file| file.pool("b", b, slow).route("hall", "user = \"farm*\"", &["b"])).await;
    eventually("the first are there", || site.b.stats().accepted > 0).await;
    // 200 miners at 50 a second take four seconds, in which the others find some 400 shares; on their way are a few.
    let some = site.a.stats().accepted;
    eventually("while others mine for the first pool still", || site.a.stats().accepted > some + 100).await;
    site.mines_for(&site.b).await;
    site.ends_well().await;
}
