//! Every worker can be found among a hundred thousand, by whatever an operator knows of it.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use axum::http::{Method, StatusCode};
use hashgate::{
    census::{Placing, Table},
    router::{Census, ConnectionId, Judgements, MinerReport},
    work::{Difficulty, Hashrate},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::site::{READ, Site};

/// Workers `farm.00000` and on, the higher the number the faster; each has found a share.
pub fn farm(workers: u32) -> Table {
    let mut table = Table::new(Placing::default());
    let minute = Duration::from_secs(60);
    // The first census was a minute ago, so that there is a rate.
    let (tick, at) = (Instant::now() - minute, Timestamp::now() - minute);
    let report = |number: u32| MinerReport {
        user: Some(format!("farm.{number:05}").into()),
        route: Some(0),
        firmware: if number.is_multiple_of(2) { "cgminer" } else { "bitaxe" },
        agent: Some(format!("agent/{}", number % 7).into()),
        difficulty: Difficulty::new(f64::from(number + 1)),
        hashrate: Some(Hashrate::from_hs(f64::from(number) * 1e12)),
        shares: Judgements { found: 1, work: f64::from(number + 1), ..Judgements::default() },
        forwarded: 1,
        ..MinerReport::new(
            ConnectionId { worker: 0, key: number.into() },
            Ipv4Addr::from_bits(0x0a00_0000 + number).into(),
            tick,
        )
    };
    let miners: Vec<MinerReport> = (0..workers).map(report).collect();
    table.take(tick, at, &Census { miners: miners.clone(), ..Census::default() });
    table.take(tick + minute, at + minute, &Census { miners, ..Census::default() });
    table
}

async fn page(site: &Site, query: &str) -> Value {
    let (status, page) = site.ask(Method::GET, &format!("/api/v1/workers{query}"), Some(READ), "").await;
    assert_eq!(status, StatusCode::OK, "{query}: {page}");
    page
}

fn names(page: &Value) -> Vec<&str> {
    page["workers"].as_array().unwrap().iter().map(|worker| worker["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_sorted_filtered_and_lose_nobody() {
    let site = Site::with(farm(25)).await;
    let mut all = Vec::new();
    for offset in (0..30).step_by(10) {
        let page = page(&site, &format!("?sort=name&limit=10&offset={offset}")).await;
        assert_eq!(
            (&page["total"], &page["counts"]["online"], &page["offset"]),
            (&json!(25), &json!(25), &json!(offset))
        );
        all.extend(names(&page).into_iter().map(str::to_owned));
    }
    let wanted: Vec<String> = (0..25).map(|number| format!("farm.{number:05}")).collect();
    assert_eq!(all, wanted);
    for (query, first) in [
        ("sort=hashrate", "farm.00024"),
        ("sort=hashrate&reverse=true", "farm.00000"),
        ("sort=difficulty", "farm.00024"),
        ("sort=address&reverse=true", "farm.00024"),
        ("sort=firmware", "farm.00001"),
        ("sort=route", "farm.00000"),
        ("sort=sick", "farm.00000"),
        ("text=FARM.00007", "farm.00007"),
        ("text=10.0.0.9", "farm.00009"),
        ("route=default&sort=name", "farm.00000"),
    ] {
        let page = page(&site, &format!("?limit=1&{query}")).await;
        assert_eq!(names(&page), [first], "{query}");
    }
    for (query, total) in [
        ("text=cgminer", 13),
        ("sick=true", 0),
        ("sick=false", 25),
        ("online=false", 0),
        ("group=nobody", 0),
        ("text=agent/3", 4),
    ] {
        assert_eq!(page(&site, &format!("?{query}")).await["total"], total, "{query}");
    }
    let row = page(&site, "?text=farm.00009").await["workers"][0].clone();
    assert_eq!(
        (&row["address"], &row["route"], &row["estimate_ths"]),
        (&json!("10.0.0.9"), &json!("default"), &json!(9.0))
    );
    assert_eq!((&row["accepted"], &row["difficulty"], &row["sick"]), (&json!(2), &json!(10.0), &json!([])), "{row}");
    for bad in ["?sort=colour", "?limit=1001", "?route=nowhere", "?nmae=x", "?sick=perhaps", "?offset=-1"] {
        let (status, answer) = site.ask(Method::GET, &format!("/api/v1/workers{bad}"), Some(READ), "").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}: {answer}");
    }
    let long = format!("/api/v1/workers?text={}", "x".repeat(300));
    assert_eq!(site.ask(Method::GET, &long, Some(READ), "").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_has_a_page_of_its_own() {
    let site = Site::with(farm(3)).await;
    let (status, page) = site.ask(Method::GET, "/api/v1/workers/farm.00002", Some(READ), "").await;
    assert_eq!((status, &page["worker"]["name"]), (StatusCode::OK, &json!("farm.00002")), "{page}");
    assert_eq!((&page["history"], &page["step_s"]), (&json!([]), &json!(60)));
    assert!(page["note"].as_str().unwrap().contains("no store"), "what is missing is said: {page}");
    let (status, answer) = site.ask(Method::GET, "/api/v1/workers/farm%2e00003", Some(READ), "").await;
    assert_eq!((status, &answer["reason"]), (StatusCode::NOT_FOUND, &json!("unknown_worker")));
}

/// What a page of a hundred thousand may take in a build without optimisation on a busy machine; with it, it is some 30 times less.
const PATIENCE: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_hundred_thousand_is_a_page() {
    let site = Site::with(farm(100_000)).await;
    for query in ["", "?sort=name&offset=99000&limit=1000", "?text=farm.7&sort=hashrate", "?sick=true"] {
        let begun = Instant::now();
        let page = page(&site, query).await;
        let took = begun.elapsed();
        println!("{query:?}: {} of {} in {took:?}", names(&page).len(), page["total"]);
        assert_eq!(page["counts"]["known"], 100_000);
        assert!(took < PATIENCE, "{query}: {took:?}");
    }
}
