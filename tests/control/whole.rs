//! The API of a whole proxy with miners that hash: what its pages say is what pools, miners and prices do.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use axum::http::{Method, StatusCode};
use hashgate::{
    app::Proxy,
    config::{Config, Env},
    sim::{
        miner::{MIX, MinerSettings, Pace, Swarm, SwarmSettings, profile},
        pool::{PoolSettings, SimPool},
    },
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::site::{CONTROL, LIMIT, READ, ask};

const MINERS: usize = 12;

/// So easy that every fourth hash is a share.
const EASY: f64 = 1.0 / (1 << 30) as f64;

const PRICES: &str = "[profit]\nhashprice = \"50 USD/PH/day\"\npool_fee = \"0 %\"\n[site]\npower_price = \"60 USD/MWh\"\n\
    [[group]]\nname = \"new\"\nefficiency = \"20 J/TH\"\npower = \"2 MW\"\n\
    [[group]]\nname = \"old\"\nefficiency = \"40 J/TH\"\npower = \"1 MW\"\n";

struct Tokens;

impl Env for Tokens {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

async fn pool() -> SimPool {
    SimPool::start(PoolSettings { difficulty: EASY, ..PoolSettings::default() }).await.unwrap()
}

/// `more`: what else the config says.
async fn proxy(first: &SimPool, second: &SimPool, more: &str) -> Proxy {
    let pools = [("eu", first), ("us", second)].map(|(name, pool)| {
        format!("[[pool]]\nname = {name:?}\nurl = \"stratum+tcp://{}\"\nuser = \"u\"\n", pool.addr())
    });
    let text = format!(
        "[proxy]\nworkers = 2\nstate_file = \"\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = {CONTROL:?}\nread_token = {READ:?}\n\
         [[listener]]\nname = \"farm\"\nlisten = \"127.0.0.1:0\"\ndifficulty = {EASY}\nmin_difficulty = {EASY}\n{}{PRICES}{more}",
        pools.concat()
    );
    let (config, _) = Config::parse(&text, &Tokens).unwrap_or_else(|errors| panic!("{errors}"));
    Proxy::start(config).await.unwrap()
}

fn miners(proxy: &Proxy) -> Swarm {
    let machine = MinerSettings::new(proxy.addresses()[0], "farm", &profile::CGMINER, Pace::SharesPerSecond(5.0));
    Swarm::start(&SwarmSettings { machine, miners: MINERS, mix: MIX.to_vec(), connects_per_second: 500.0 })
}

async fn until(address: SocketAddr, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let (_, page) = ask(address, Method::GET, path, Some(READ), "").await;
        if wanted(&page) {
            return page;
        }
        assert!(begun.elapsed() < LIMIT, "{path}: {page}");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_tell_what_pools_miners_and_prices_do() {
    let (first, second) = (pool().await, pool().await);
    let proxy = proxy(&first, &second, "").await;
    let address = proxy.admin_address().unwrap();
    until(address, "/readyz", |page| page["ok"] == true).await;
    let swarm = miners(&proxy);

    let is_mining = |page: &Value| page["shares"]["forwarded"].as_u64() > Some(50) && page["miners"] == MINERS;
    let page =
        until(address, "/api/v1/status", |page| is_mining(page) && page["hashrate_ths"].as_f64() > Some(0.0)).await;
    assert_eq!(page["connections"], MINERS);
    assert_eq!(page["alerts"], json!([]), "{page}");
    assert_eq!((&page["pools"][0]["state"], &page["pools"][1]["state"]), (&json!("active"), &json!("standby")));
    // 50 $/PH/day at 20 J/TH is 104.2 $/MWh, at 40 J/TH 52.1; power costs 60.
    assert_eq!((&page["site_mode"], &page["groups"][1]["action"]), (&json!("PARTIAL"), &json!("curtail")), "{page}");
    let near = |value: &Value, wanted: f64| (value.as_f64().unwrap() - wanted).abs() < 0.01 * wanted.abs();
    let earnings = &page["earnings"];
    assert!(near(&earnings["mining_per_hour"], 208.3), "2 MW mine: {earnings}");
    let drawn = earnings["power_per_hour"].as_f64().unwrap() / 60.0;
    assert!((2.0..2.2).contains(&drawn), "and 1 MW sleeps: {earnings}");

    let merit = until(address, "/api/v1/merit", |_| true).await;
    let [best, worst] = &merit["sinks"].as_array().unwrap()[..] else { panic!("{merit}") };
    assert!(near(&best["margin_per_mwh"], 44.17) && near(&worst["margin_per_mwh"], -7.92), "{merit}");
    assert_eq!((&best["name"], &best["from_kw"], &worst["from_kw"]), (&json!("new"), &json!(0.0), &json!(2000.0)));
    assert_eq!(
        (&best["is_on"], &worst["is_on"], &merit["cut_per_mwh"]),
        (&json!(true), &json!(false), &best["margin_per_mwh"])
    );

    let pools = until(address, "/api/v1/pools", |page| page["pools"][0]["lanes"][0]["miners"] == MINERS).await;
    let eu = &pools["pools"][0];
    assert!(eu["reply"]["replies"].as_u64() > Some(0) && eu["reply"]["p50_ms"].as_f64() > Some(0.0), "{eu}");
    assert_eq!((&eu["rejected"], &eu["losses"], &eu["since"].is_string()), (&json!(0), &json!(0), &true));

    // The first pool goes.
    first.shutdown().await;
    let pools = until(address, "/api/v1/pools", |page| page["pools"][1]["state"] == "active").await;
    let eu = &pools["pools"][0];
    assert_eq!((&eu["state"], &eu["losses"]), (&json!("down"), &json!(1)));
    assert!(eu["last_loss"]["why"].as_str().is_some_and(|why| !why.is_empty()), "{eu}");
    let routes = until(address, "/api/v1/routes", |page| page["routes"][0]["failovers"] == 1).await;
    assert_eq!((&routes["routes"][0]["pool"], &routes["routes"][0]["is_live"]), (&json!("us"), &json!(true)));
    for kind in ["failover", "pool", "alert"] {
        until(address, &format!("/api/v1/events?kind={kind}"), |page| page["events"] != json!([])).await;
    }
    let page = until(address, "/api/v1/status", |page| page["alerts"] != json!([])).await;
    assert_eq!(
        (&page["alerts"][0]["kind"], &page["alerts"][0]["about"]),
        (&json!("pool_down"), &json!("eu")),
        "{page}"
    );
    let (status, _) = ask(address, Method::GET, "/readyz", None, "").await;
    assert_eq!(status, StatusCode::OK, "one pool is enough");

    let known = |page: &Value, key: &str| {
        let line = page["lines"].as_array().unwrap().iter().find(|line| line["key"] == key).unwrap();
        line["values"].as_array().unwrap().iter().filter_map(Value::as_f64).any(|value| value > 0.0)
    };
    until(address, "/api/v1/series/hashrate", |page| known(page, "total") && known(page, "pool:us")).await;
    until(address, "/api/v1/series/price", |page| known(page, "power") && known(page, "value:new")).await;

    swarm.stop(LIMIT).await;
    proxy.shut_down(Duration::from_secs(1)).await;
    second.shutdown().await;
}

const GPUS: &str = "[[ai]]\nname = \"gpus\"\npower = \"500 kW\"\nprice = \"200 USD/MWh\"\ndemand = 1.0\n";

/// Decisions as people tell them apart: when, of whom, what, and kW.
fn told(page: &Value) -> Vec<(String, String, String)> {
    let of = |row: &Value| {
        let at: jiff::Timestamp = row["at"].as_str().unwrap().parse().unwrap();
        let whose = if row["group"].is_null() { &row["ai"] } else { &row["group"] };
        (at.as_millisecond().to_string(), whose.to_string(), format!("{} {}", row["action"], row["ai_kw"]))
    };
    page["decisions"].as_array().unwrap().iter().map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_is_told_once_and_what_the_store_has_of_it_has_its_figures() {
    let (first, second) = (pool().await, pool().await);
    let folder = tempfile::tempdir().unwrap();
    let signal = "[[signal]]\nname = \"heard\"\nunit = \"USD/MWh\"\nkind = \"push\"\n";
    let store = format!("{GPUS}{signal}[store]\npath = {:?}\n", folder.path().join("store.db"));
    let earlier = proxy(&first, &second, &store).await;
    let address = earlier.admin_address().unwrap();
    let decided = |page: &Value| page["decisions"].as_array().unwrap().len() >= 3;
    let live = until(address, "/api/v1/decisions", decided).await;
    let live_kw = live["decisions"].as_array().unwrap().iter().find_map(|row| row["ai_kw"].as_f64()).unwrap();
    assert!(live_kw > 0.0, "{live}");
    let (status, _) = ask(address, Method::PUT, "/api/v1/signals/heard", Some(CONTROL), r#"{"value":1}"#).await;
    assert_eq!(status, StatusCode::OK);
    until(address, "/api/v1/status", |page| page["store"]["written_at"].is_string()).await;
    // The store has them too by now.
    let page = until(address, "/api/v1/decisions", |_| true).await;
    assert_eq!(told(&page), told(&live), "{page:#}");
    earlier.shut_down(Duration::from_secs(1)).await;

    let later = proxy(&first, &second, &store).await;
    let address = later.admin_address().unwrap();
    let page = until(address, "/api/v1/decisions", |page| page["decisions"].as_array().unwrap().len() >= 6).await;
    let mut all = told(&page);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), page["decisions"].as_array().unwrap().len(), "none twice: {page:#}");
    let rows = page["decisions"].as_array().unwrap();
    let kw: Vec<f64> =
        rows.iter().filter(|row| row["ai"] == "gpus").map(|row| row["ai_kw"].as_f64().unwrap()).collect();
    assert_eq!(kw, [live_kw, live_kw], "of this run, and as the store has it: {page:#}");
    let modes = rows.iter().all(|row| row["mode"] == "dry_run" && row["ai_kw"].is_null() != row["group"].is_null());
    assert!(modes, "{page:#}");
    later.shut_down(Duration::from_secs(1)).await;
    first.shutdown().await;
    second.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_run_did_is_shown_by_the_next() {
    let (first, second) = (pool().await, pool().await);
    let folder = tempfile::tempdir().unwrap();
    let signal = "[[signal]]\nname = \"heard\"\nunit = \"USD/MWh\"\nkind = \"push\"\n";
    let store = format!("{signal}[store]\npath = {:?}\n", folder.path().join("store.db"));
    let earlier = proxy(&first, &second, &store).await;
    let address = earlier.admin_address().unwrap();
    let swarm = miners(&earlier);
    until(address, "/api/v1/status", |page| page["shares"]["accepted"].as_u64() > Some(100)).await;
    let is_known = |page: &Value| page["workers"].as_array().unwrap().iter().all(|w| w["accepted"].as_u64() > Some(0));
    let page = until(address, "/api/v1/workers", |page| page["total"] == MINERS && is_known(page)).await;
    let name = page["workers"][0]["name"].as_str().unwrap().to_owned();
    until(address, "/api/v1/decisions", |page| page["decisions"].as_array().unwrap().len() == 2).await;
    // The store hears of decisions when anything is said that is new.
    let (status, _) = ask(address, Method::PUT, "/api/v1/signals/heard", Some(CONTROL), r#"{"value":1}"#).await;
    assert_eq!(status, StatusCode::OK);
    swarm.stop(LIMIT).await;
    let priced = |page: &Value| {
        let lines = page["lines"].as_array().unwrap();
        lines.iter().any(|line| line["key"] == "power" && line["values"].as_array().unwrap().contains(&json!(60.0)))
    };
    until(address, "/api/v1/series/price?step=10", priced).await;
    earlier.shut_down(Duration::from_secs(1)).await;

    // As if it had been three minutes ago.
    let kept = rusqlite::Connection::open(folder.path().join("store.db")).unwrap();
    let moved = kept.execute("UPDATE records SET at = at - 180000 WHERE topic = 'chart'", []).unwrap();
    assert!(moved > 0, "the minute in which it ended is kept");
    drop(kept);
    let began = jiff::Timestamp::now().as_second();
    let later = proxy(&first, &second, &store).await;
    let address = later.admin_address().unwrap();
    let (status, page) = ask(address, Method::GET, &format!("/api/v1/workers/{name}"), Some(READ), "").await;
    assert_eq!((status, &page["worker"], &page["note"]), (StatusCode::OK, &json!(null), &json!(null)), "{page}");
    let point = &page["history"][0];
    assert!(point["accepted"].as_u64() > Some(0) && point["hashrate_ths"].as_f64() > Some(0.0), "{page}");
    assert!(page["events"].as_array().unwrap().iter().all(|event| event["about"] == *name), "{page}");
    let page = until(address, "/api/v1/decisions", |page| page["decisions"].as_array().unwrap().len() > 2).await;
    assert_eq!(page["decisions"].as_array().unwrap().last().unwrap()["before"], json!(null), "{page}");
    let page = until(address, "/api/v1/series/hashrate?step=60", |_| true).await;
    for key in ["total", "route:default", "pool:eu"] {
        let line = page["lines"].as_array().unwrap().iter().find(|line| line["key"] == key).unwrap();
        assert!(line["values"].as_array().unwrap().iter().any(|value| value.as_f64() > Some(0.0)), "{key}: {line}");
    }
    assert_eq!(page["note"], json!(null));
    // The price of the minutes before this run is on its charts.
    let shown_before = |page: &Value| {
        let line = page["lines"].as_array().unwrap().iter().find(|line| line["key"] == "power").unwrap();
        let before = |(at, value): (&Value, &Value)| at.as_i64() < Some(began - 60) && value.as_f64() == Some(60.0);
        page["at"].as_array().unwrap().iter().zip(line["values"].as_array().unwrap()).any(before)
    };
    until(address, "/api/v1/series/price?step=10", shown_before).await;
    let (status, _) = ask(address, Method::PUT, "/api/v1/signals/heard", Some(CONTROL), r#"{"value":2}"#).await;
    assert_eq!(status, StatusCode::OK);
    let page = until(address, "/api/v1/status", |page| page["store"]["written_at"].is_string()).await;
    assert_eq!((&page["store"]["backend"], &page["store"]["trouble"]), (&json!("sqlite"), &json!(null)));
    later.shut_down(Duration::from_secs(1)).await;
    first.shutdown().await;
    second.shutdown().await;
}
