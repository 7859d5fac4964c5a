//! The admin API and the store name pools and routes as they are now, whatever place they have in the books.

use std::net::SocketAddr;

use hashgate::census::Query;
use hashgate::store::{Counts, During, Span, Subject};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::site::{MINERS, Site};
use crate::world::*;

const TOKEN: &str = "0123456789abcdef";

/// Of a route.
const SOON: &str = "fail_back_after = \"0s\"";

async fn get(api: SocketAddr, path: &str) -> Value {
    let mut socket = TcpStream::connect(api).await.expect("connects");
    let request = format!(
        "GET /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.expect("sends");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("answers");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// Asks until the answer is as it should be; the answer.
async fn until(api: SocketAddr, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + LIMIT * 2;
    loop {
        let answer = get(api, path).await;
        if wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < end, "{path}: {answer:#}");
        sleep(std::time::Duration::from_millis(50)).await;
    }
}

fn all<'v>(rows: &'v Value, key: &str) -> Vec<&'v str> {
    rows.as_array().expect("a list").iter().map(|row| row[key].as_str().unwrap_or_default()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pools_and_routes_that_come_and_go_are_shown_and_kept_by_their_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let tables = format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\"\n[store]\npath = {:?}",
        folder.path().join("store.db")
    );
    let began = Timestamp::now();
    let mut site = Site::with(|file| file.more(&tables)).await;
    let (api, b) = (site.proxy.admin_address().expect("it is served"), site.b.addr());

    // One comes that waits to be needed, and goes again.
    site.reload(|file| file.pool("b", b, "reply_timeout = \"1s\"").route("all", "", &["a", "b"])).await;
    let page = until(api, "pools", |page| page["pools"][1]["state"] == "standby").await;
    assert_eq!(all(&page["pools"], "name"), ["a", "b"]);
    site.reload(|file| file.without_pool("b").route("all", "", &["a"])).await;
    until(api, "pools", |page| all(&page["pools"], "name") == ["a"]).await;

    // It comes back with a route of its own, and all miners go there.
    site.reload(|file| file.pool("b", b, "").without_route("all").route("other", SOON, &["b", "a"])).await;
    site.mines_for(&site.b).await;
    let is_there = |page: &Value| page["routes"][0]["miners"] == MINERS && page["routes"][0]["pool"] == "b";
    let page = until(api, "routes", is_there).await;
    assert_eq!(all(&page["routes"], "name"), ["other"]);
    assert_eq!(page["routes"][0]["pools"], serde_json::json!(["b", "a"]));
    let workers = until(api, "workers?route=other", |page| page["total"].as_u64() > Some(0)).await;
    assert_eq!(workers["workers"][0]["route"], "other");
    let page = get(api, "status").await;
    assert_eq!(all(&page["pools"], "name"), ["a", "b"], "as in the file");

    // Its lines are in the charts, behind numbers that were there before.
    let chart = "series/hashrate?step=10";
    let has = |page: &Value, key: &str| {
        let mut lines = page["lines"].as_array().into_iter().flatten();
        lines.any(|line| line["key"] == key && line["values"].as_array().is_some_and(|v| v.iter().any(Value::is_f64)))
    };
    until(api, chart, |page| ["total", "route:all", "route:other", "pool:b"].iter().all(|key| has(page, key))).await;
    let logged_in = |page: &Value| all(&page["events"], "words").contains(&"pool \"b\" is logged in and has work");
    until(api, "events", logged_in).await;

    // The one that is left is told to be, is not down, and gives its place in the list to no other.
    site.reload(|file| file.without_pool("a").route("other", SOON, &["b"])).await;
    let page = until(api, "pools", |page| page["pools"][0]["name"] == "b").await;
    assert_eq!(page["pools"][0]["state"], "active");
    if let Some(left) = page["pools"].get(1) {
        assert_eq!((&left["name"], &left["state"]), (&Value::from("a"), &Value::from("unused")), "{left}");
    }
    let alerts = get(api, "status").await["alerts"].clone();
    assert!(!all(&alerts, "kind").contains(&"pool_down"), "{alerts}");

    // The store has every share with the name of its pool and its route, also of the minute in which that came.
    let (store, books) = (site.proxy.store().expect("there is one").clone(), site.proxy.books());
    site.farm.settle(LIMIT).await;
    let (workers, settled) = (site.proxy.workers().expect("they are counted").clone(), Timestamp::now());
    eventually("the table has every share", || workers.summary().at > Some(settled)).await;
    let page = workers.page(&Query { limit: 10 * MINERS, ..Query::default() });
    // Those since the first census.
    let found: u64 = page.workers.iter().map(|worker| worker.totals.shares.found).sum();
    site.lost_nothing(0).await;
    let during = During { from: began - SignedDuration::from_mins(2), to: Timestamp::now() };
    let sum = async |subject, name: &str| {
        let points = store.reader.series(subject, name, Span::Minute, during, 100).await.expect("it is read");
        points.iter().fold(Counts::default(), |mut sum, point| {
            sum.add(&point.counts);
            sum
        })
    };
    let totals = books.totals();
    for (name, book) in ["a", "b"].into_iter().zip(&totals.router.pools) {
        let kept = sum(Subject::Pool, name).await;
        assert!(book.accepted > 0);
        assert_eq!((kept.accepted, kept.work), (book.accepted, book.accepted_difficulty), "{name}");
    }
    let (before, after) = (sum(Subject::Route, "all").await.found, sum(Subject::Route, "other").await.found);
    // A worker's minute is of the route that it was on at its end.
    assert!(after > 0);
    assert_eq!(before + after, found);
}
