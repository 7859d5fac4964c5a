//! What a dashboard reads: the proxy, its pools, groups and merit order on pages that agree with one another.

use axum::http::{Method, Request, StatusCode, header};
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use std::io::Read;
use tokio::time::{Instant, sleep};

use crate::site::{CONTROL, LIMIT, READ, SIGNAL, Site};

async fn get(site: &Site, path: &str) -> Value {
    let (status, page) = site.ask(Method::GET, path, Some(READ), "").await;
    assert_eq!(status, StatusCode::OK, "{path}: {page}");
    page
}

/// Asks until it is so.
async fn until(site: &Site, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let page = get(site, path).await;
        if wanted(&page) {
            return page;
        }
        assert!(begun.elapsed() < LIMIT, "{path}: {page}");
        sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_page_says_what_it_does_why_and_what_is_wrong() {
    let site = Site::start().await;
    let page = until(&site, "/api/v1/status", |page| page["alerts"] != json!([])).await;
    assert_eq!((&page["mode"], &page["site_mode"]), (&json!("advise"), &json!("MINING")));
    assert!(page["headline"].as_str().unwrap().starts_with("MINING: 2 of 2 groups mine (advice"), "{page}");
    assert_eq!((&page["groups"][0]["phase"], &page["groups"][1]["phase"]), (&json!("MINING"), &json!(null)));
    assert_eq!((&page["power"]["counts_kw"], &page["power"]["meter_kw"]), (&json!(53.0), &json!(51.0)));
    assert_eq!((&page["power"]["ai_granted_kw"], &page["power"]["devices"]), (&json!(40.0), &json!(3)));
    assert_eq!(page["version"], env!("CARGO_PKG_VERSION"));
    // A dashboard shows its buttons to who may use them.
    let (_, of_control) = site.ask(Method::GET, "/api/v1/status", Some(CONTROL), "").await;
    assert_eq!((&page["may_control"], &of_control["may_control"]), (&json!(false), &json!(true)));
    // The double has no pool.
    let kinds: Vec<&str> = page["alerts"].as_array().unwrap().iter().map(|a| a["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["route_without_pool", "pool_down"], "the worst first: {page}");
    let since = page["alerts"][0]["since"].clone();
    let later = until(&site, "/api/v1/status", |later| later["at"] != page["at"]).await;
    assert_eq!(later["alerts"][0]["since"], since, "since it was seen first");
    // And that they began is told once.
    let told = get(&site, "/api/v1/events?kind=alert").await;
    assert_eq!(told["events"].as_array().unwrap().len(), 2, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_have_names_for_everything_and_agree() {
    let site = Site::start().await;
    let pools = get(&site, "/api/v1/pools").await;
    assert_eq!((&pools["pools"][0]["name"], &pools["pools"][0]["state"]), (&json!("pool"), &json!("down")));
    let routes = get(&site, "/api/v1/routes").await;
    assert_eq!((&routes["routes"][0]["name"], &routes["routes"][0]["pools"]), (&json!("default"), &json!(["pool"])));
    let groups = get(&site, "/api/v1/groups").await;
    let power = get(&site, "/api/v1/power").await;
    assert_eq!(groups["groups"][0]["power"], power["groups"][0], "the same group on two pages");
    assert_eq!((&groups["groups"][0]["nameplate_kw"], &groups["groups"][1]["power"]), (&json!(1000.0), &json!(null)));
    let decision = get(&site, "/api/v1/decision").await;
    assert_eq!(groups["groups"][0]["decision"], decision["groups"][0]);
    let merit = get(&site, "/api/v1/merit").await;
    assert_eq!((&merit["given_kw"], &merit["sinks"][0]["capacity_kw"]), (&json!(1000.0), &json!(1000.0)), "{merit}");
    let workers = get(&site, "/api/v1/workers").await;
    assert_eq!((&workers["total"], &workers["counts"]["known"]), (&json!(0), &json!(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_are_remembered_with_their_reasons() {
    let site = Site::start().await;
    let are = |count: usize| move |page: &Value| page["decisions"].as_array().unwrap().len() == count;
    let first = until(&site, "/api/v1/decisions", are(2)).await;
    assert_eq!((&first["decisions"][0]["action"], &first["decisions"][0]["before"]), (&json!("mine"), &json!(null)));
    let pushed = site.ask(Method::PUT, "/api/v1/signals/pays", Some(SIGNAL), r#"{"verdict":"unprofitable"}"#).await;
    assert_eq!(pushed.0, StatusCode::OK);
    let page = until(&site, "/api/v1/decisions", are(4)).await;
    let newest = &page["decisions"][0];
    assert_eq!(
        (&newest["before"], &newest["action"], &newest["mode"]),
        (&json!("mine"), &json!("curtail"), &json!("dry_run"))
    );
    assert!(newest["reason"].as_str().unwrap().contains("unprofitable"), "{newest}");
    // Page by page it is the same.
    let mut path = "/api/v1/decisions?limit=3".to_owned();
    let mut all = Vec::new();
    loop {
        let part = get(&site, &path).await;
        all.extend(part["decisions"].as_array().unwrap().clone());
        let Some(next) = part["next"].as_str() else { break };
        path = format!("/api/v1/decisions?limit=3&after={next}");
    }
    assert_eq!(json!(all), page["decisions"]);
    for bad in ["?after=x", "?after=r", "?after=s1", "?offset=1", "?limit=1001"] {
        let (status, _) = site.ask(Method::GET, &format!("/api/v1/decisions{bad}"), Some(READ), "").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
    }
    // The events have them too.
    let events = get(&site, "/api/v1/events?kind=decision&about=shed").await;
    assert_eq!(events["events"].as_array().unwrap().len(), 2, "{events}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn charts_have_lines_marks_and_steps_that_fit() {
    let site = Site::start().await;
    let known = |page: &Value, key: &str| {
        let line = page["lines"].as_array().unwrap().iter().find(|line| line["key"] == key).cloned();
        let line = line.unwrap_or_else(|| panic!("{key} {page}"));
        assert_eq!(line["values"].as_array().unwrap().len(), page["at"].as_array().unwrap().len());
        line["values"].as_array().unwrap().iter().filter_map(Value::as_f64).next_back()
    };
    let page = until(&site, "/api/v1/series/site", |page| known(page, "meter_kw").is_some()).await;
    assert_eq!((known(&page, "meter_kw"), known(&page, "group:hall-a")), (Some(51.0), Some(7.0)));
    assert_eq!((known(&page, "cap_kw"), known(&page, "group:shed")), (None, None), "what is not known is no number");
    assert_eq!((&page["step_s"], page["at"].as_array().unwrap().len()), (&json!(10), 361));
    let page = get(&site, "/api/v1/series/hashrate?step=60").await;
    assert_eq!(known(&page, "route:default"), Some(0.0));
    get(&site, "/api/v1/series/price").await;
    // A drain of the time that is looked at is marked.
    let path = "/api/v1/series/site?from=2026-01-31T11:00:00Z&to=2026-01-31T13:00:00Z";
    let marks = get(&site, path).await["marks"].clone();
    assert_eq!((&marks[0]["group"], &marks[0]["kind"]), (&json!("hall-a"), &json!("drain")), "{marks}");
    for bad in
        ["?from=2026-01-31T11:00:00Z&to=2026-01-31T10:00:00Z", "?step=1", "?step=x", "?form=now", "?from=yesterday"]
    {
        let (status, _) = site.ask(Method::GET, &format!("/api/v1/series/site{bad}"), Some(READ), "").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
    }
    assert_eq!(site.ask(Method::GET, "/api/v1/series/weather", Some(READ), "").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_for_now_from_here_and_framed_by_nobody() {
    let site = Site::start().await;
    for (path, token) in
        [("/api/v1/status", Some(READ)), ("/api/v1/nope", Some(READ)), ("/api/v1/status", None), ("/healthz", None)]
    {
        let (_, headers, _) = raw(&site, Method::GET, path, token, None).await;
        for (name, wanted) in [
            ("cache-control", "no-store"),
            ("content-security-policy", "default-src 'self'"),
            ("content-security-policy", "frame-ancestors 'none'"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ] {
            let value = headers.get(name).unwrap_or_else(|| panic!("{path} {name}")).to_str().unwrap();
            assert!(value.contains(wanted), "{path} {name}: {value}");
        }
        assert!(!headers.contains_key("access-control-allow-origin"), "{path}: no other origin is let in");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_has_no_body_options_says_what_there_is_and_what_is_big_is_packed() {
    let site = Site::start().await;
    let (status, _, body) = raw(&site, Method::HEAD, "/api/v1/status", Some(READ), None).await;
    assert_eq!((status, body.len()), (StatusCode::OK, 0));
    let (status, headers, _) = raw(&site, Method::OPTIONS, "/api/v1/mode", Some(CONTROL), None).await;
    assert_eq!((status, headers[header::ALLOW].to_str().unwrap()), (StatusCode::NO_CONTENT, "PUT"));
    let (_, headers, plain) = raw(&site, Method::GET, "/api/v1/openapi.json", Some(READ), None).await;
    assert!(!headers.contains_key(header::CONTENT_ENCODING));
    let (_, headers, packed) = raw(&site, Method::GET, "/api/v1/openapi.json", Some(READ), Some("gzip, br")).await;
    assert!(headers[header::CONTENT_ENCODING] == "gzip" && headers[header::VARY] == "accept-encoding");
    let mut unpacked = Vec::new();
    GzDecoder::new(&*packed).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == plain && packed.len() * 3 < plain.len(), "{} of {}", packed.len(), plain.len());
    // What is small is not worth it.
    let (_, headers, _) = raw(&site, Method::GET, "/api/v1/routes", Some(READ), Some("gzip")).await;
    assert!(!headers.contains_key(header::CONTENT_ENCODING));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_says_nothing_secret_and_readiness_why_not() {
    let site = Site::start().await;
    let (status, page) = site.ask(Method::GET, "/healthz", None, "").await;
    assert_eq!((status, page), (StatusCode::OK, json!({ "ok": true, "reasons": [] })));
    let (status, page) = site.ask(Method::GET, "/readyz", None, "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(page["reasons"], json!(["it has not begun to listen", "no pool is connected"]));
    site.health.begun.cancel();
    site.books.router().pools[0].connections = 1;
    assert_eq!(site.ask(Method::GET, "/readyz", None, "").await.0, StatusCode::OK);
    site.health.power_ended.cancel();
    for path in ["/healthz", "/readyz"] {
        let (status, page) = site.ask(Method::GET, path, None, "").await;
        assert_eq!((status, &page["reasons"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(["the power side has ended"])));
    }
    assert_eq!(site.refused("unauthorized"), 0, "nobody was asked for a token");
}

async fn raw(
    site: &Site,
    method: Method,
    path: &str,
    token: Option<&str>,
    encoding: Option<&str>,
) -> (StatusCode, header::HeaderMap, Vec<u8>) {
    let mut request = Request::builder().method(method).uri(format!("http://{}{path}", site.address));
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    if let Some(encoding) = encoding {
        request = request.header(header::ACCEPT_ENCODING, encoding);
    }
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec())
}
