//! A pool grants fewer version bits than miners would roll, and no share is refused for it. (A proxy that grants its own mask and
//! submits without bits has 98 % of its rolled shares rejected: measured on ckproxy.)

use hashgate::app::Proxy;
use hashgate::sim::miner::{Profile, Swarm, profile};
use hashgate::sim::pool::{Fault, PoolSettings, SimPool, VersionDialect};
use serde_json::json;

use crate::client::Client;
use crate::world::*;

/// Far fewer bits than ASICs ask for.
const NARROW: u32 = 0x0000_e000;

/// A version with a bit inside the mask, where the three dialects differ.
const AMBIGUOUS: u32 = 0x2000_4000;

/// Half of them roll, in all the ways there are.
const HALF_ROLL: &[(&Profile, u32)] =
    &[(&profile::CPUMINER, 3), (&profile::ANTMINER_S21, 1), (&profile::BITAXE, 1), (&profile::BMMINER_LEGACY, 1)];

const MINERS: usize = 40;

async fn farm_on(proxy: &Proxy) -> Swarm {
    let farm = swarm_of(proxy, MINERS, 4.0, HALF_ROLL);
    mining(proxy, &farm).await;
    mining(proxy, &farm).await;
    farm
}

/// What the proxy grants a miner that asks for everything.
async fn granted(proxy: &Proxy) -> serde_json::Value {
    let mut miner = Client::connect(proxy.addresses()[0]).await;
    let params = json!([["version-rolling"], {"version-rolling.mask": "ffffffff"}]);
    miner.call("mining.configure", params).await["result"].clone()
}

async fn end(proxy: Proxy, farm: &Swarm, pools: &[&SimPool]) {
    assert_eq!(settle(&proxy, farm, pools).await, 0);
    content(farm);
    let totals = proxy.totals();
    assert_eq!(totals.rejected_total(), 0, "{:?}", totals.rejected);
    proxy.shut_down(LIMIT).await;
}

/// A pool with a narrow mask of its own refuses no share of a farm that rolls.
async fn nothing_is_refused(dialect: VersionDialect, name: &str, settings: PoolSettings) {
    let pool = start(PoolSettings { version_mask: Some(NARROW), dialect, ..settings }).await;
    let site = Site::new().pool("narrow", pool.addr(), &format!("dialect = {name:?}"));
    let proxy = site.start().await;
    let farm = farm_on(&proxy).await;
    assert_eq!(granted(&proxy).await, json!({"version-rolling": true, "version-rolling.mask": "0000e000"}));
    end(proxy, &farm, &[&pool]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrower_mask_in_bip310() {
    let settings = PoolSettings { job_version: AMBIGUOUS, ..easy() };
    nothing_is_refused(VersionDialect::Bip310, "bip310", settings).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrower_mask_at_a_pool_that_xors() {
    let settings = PoolSettings { job_version: AMBIGUOUS, ..easy() };
    nothing_is_refused(VersionDialect::Xor, "xor", settings).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrower_mask_at_a_pool_that_ors() {
    nothing_is_refused(VersionDialect::Or, "or", easy()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_narrower_mask_that_is_not_cut_to_what_was_asked() {
    let settings = PoolSettings { unintersected_mask: true, ..easy() };
    nothing_is_refused(VersionDialect::Bip310, "bip310", settings).await;
}

/// Rolling miners pass over the first pool; the others don't.
async fn rollers_pass_over(first: PoolSettings, lines: &str) {
    let (first, second) = (start(first).await, start(PoolSettings { seed: 2, ..easy() }).await);
    let proxy = Site::new().pool("first", first.addr(), lines).pool("second", second.addr(), "").start().await;
    let farm = farm_on(&proxy).await;
    let rolls = |user: &str| {
        let miner = farm.miners().iter().find(|miner| miner.settings().user == user).expect("one of ours");
        miner.settings().profile.name
    };
    assert!(first.stats().accepted > 0 && second.stats().accepted > 0);
    swarm_is_split(&farm, &first, &second, rolls);
    end(proxy, &farm, &[&first, &second]).await;
}

/// Each miner's shares are at the pool that suits it.
fn swarm_is_split(farm: &Swarm, first: &SimPool, second: &SimPool, profile_of: impl Fn(&str) -> &'static str) {
    let hashes = |pool: &SimPool| pool.accepted_shares().into_iter().map(|share| share.hash).collect::<Vec<_>>();
    let (at_first, at_second) = (hashes(first), hashes(second));
    for miner in farm.miners() {
        let user = &miner.settings().user;
        let at = |hashes: &[String]| {
            miner.with_stats(|stats| {
                stats.accepted_hashes.iter().filter(|hash| hashes.contains(&display(**hash))).count()
            })
        };
        match profile_of(user) {
            "cpuminer" => assert_eq!(at(&at_second), 0, "{user} needs no version bits"),
            _ => assert_eq!(at(&at_first), 0, "{user} rolls"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_miners_go_to_the_next_pool_where_one_grants_nothing() {
    rollers_pass_over(PoolSettings { version_mask: None, ..easy() }, "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_miners_go_to_the_next_pool_where_bits_cannot_be_told() {
    let settings = PoolSettings { dialect: VersionDialect::Or, job_version: AMBIGUOUS, ..easy() };
    rollers_pass_over(settings, "dialect = \"or\"").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mask_that_is_narrowed_later_is_passed_on_at_once() {
    let pool = start(easy()).await;
    let proxy = Site::new().pool("only", pool.addr(), "").start().await;
    let mut witness = Client::connect(proxy.addresses()[0]).await;
    let params = json!([["version-rolling"], {"version-rolling.mask": "1fffe000"}]);
    assert_eq!(witness.call("mining.configure", params).await["result"]["version-rolling.mask"], "1fffe000");
    witness.subscribe(json!(["witness/1"])).await;
    witness.call("mining.authorize", json!(["w"])).await;
    witness.job().await;
    let farm = farm_on(&proxy).await;

    pool.fault(Fault::VersionMask(NARROW));
    assert_eq!(witness.notified("mining.set_version_mask").await, json!(["0000e000"]));
    // What was on its way to the pool when it narrowed its mask is nobody's fault.
    eventually("all that was on its way is settled", || proxy.totals().unsettled() < 5).await;
    let before = pool.stats();
    mining(&proxy, &farm).await;
    mining(&proxy, &farm).await;
    let after = pool.stats();
    assert!(after.accepted > before.accepted + MINERS as u64 / 2);
    assert_eq!(after.rejected_total(), before.rejected_total(), "refused: {:?}", after.rejected);
    content(&farm);
    proxy.shut_down(LIMIT).await;
}
