//! Whoever has the token may push; who has not, or pushes nonsense, changes nothing.

use std::net::SocketAddr;

use axum::http::{Method, Request, StatusCode, header};
use hashgate::{app::Proxy, profit::Reading};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::site::{SECRET, config, snapshot};

const ADMIN: &str = "[metrics]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken_env = \"TOKEN\"\n";

const SIGNALS: &str = "[[signal]]\nname = \"spot\"\nunit = \"ct/kWh\"\nrange = [-50, 500]\nkind = \"push\"\n\
                       [[signal]]\nname = \"pays\"\nunit = \"verdict\"\nkind = \"push\"\n\
                       [[signal]]\nname = \"peak\"\nunit = \"USD/MWh\"\nkind = \"schedule\"\nzone = \"UTC\"\notherwise = 1\n\
                       windows = [{ from = \"01:00\", to = \"02:00\", value = 2 }]\n";

struct Site {
    proxy: Proxy,
    admin: SocketAddr,
}

impl Site {
    async fn start(tables: &str) -> Self {
        let proxy = Proxy::start(config(&format!("{ADMIN}{tables}"))).await.unwrap();
        let admin = proxy.admin_address().unwrap();
        Self { proxy, admin }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: impl Into<Bytes>,
    ) -> (StatusCode, String) {
        ask(self.admin, method, path, token, body.into()).await
    }

    /// Pushes with the token.
    async fn put(&self, name: &str, body: impl ToString) -> (StatusCode, Value) {
        let (status, text) =
            self.ask(Method::PUT, &format!("/api/v1/signals/{name}"), Some(SECRET), body.to_string()).await;
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}")))
    }

    async fn get(&self, path: &str) -> Value {
        let (status, text) = self.ask(Method::GET, path, Some(SECRET), "").await;
        assert_eq!(status, StatusCode::OK, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn metrics(&self) -> String {
        ask(self.proxy.metrics_address().unwrap(), Method::GET, "/metrics", None, Bytes::new()).await.1
    }

    async fn stop(self) {
        self.proxy.shut_down(std::time::Duration::from_secs(1)).await;
    }
}

async fn ask(at: SocketAddr, method: Method, path: &str, token: Option<&str>, body: Bytes) -> (StatusCode, String) {
    let mut request = Request::builder().method(method).uri(format!("http://{at}{path}"));
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request.body(Full::new(body)).unwrap()).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pushed_is_what_everybody_sees() {
    let site = Site::start(SIGNALS).await;
    let (status, shown) = site.put("spot", json!({ "value": 4.5 })).await;
    assert_eq!(
        (status, &shown["state"], &shown["value"], &shown["unit"]),
        (StatusCode::OK, &json!("fresh"), &json!(45.0), &json!("USD/MWh"))
    );
    let (status, _) = site
        .put("spot", json!({ "value": 61.5, "unit": "USD/MWh", "observed_at": Timestamp::now().to_string() }))
        .await;
    assert_eq!(status, StatusCode::OK);
    let (status, shown) = site.put("pays", json!({ "verdict": "unprofitable" })).await;
    assert_eq!((status, &shown["value"]), (StatusCode::OK, &json!(0.0)));

    let all = site.get("/api/v1/signals").await;
    assert_eq!(all["signals"][0]["value"], json!(61.5));
    assert_eq!(all["signals"][0]["sources"][0]["kind"], json!("push"));
    assert_eq!(all["signals"][2]["name"], json!("peak"));
    let metrics = site.metrics().await;
    assert!(metrics.contains("hashgate_signal_value{signal=\"spot\",unit=\"USD/MWh\"} 61.5"), "{metrics}");
    assert!(metrics.contains("hashgate_signal_accepted_total{signal=\"spot\"} 2"), "{metrics}");
    assert!(metrics.contains("hashgate_signal_state{signal=\"pays\",state=\"fresh\"} 1"), "{metrics}");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_changed_by_what_is_refused_and_all_of_it_is_counted() {
    let site = Site::start(SIGNALS).await;
    let now = Timestamp::now();
    let ago = |seconds: i64| now.checked_sub(SignedDuration::from_secs(seconds)).unwrap().to_string();
    assert_eq!(site.put("spot", json!({ "value": 4.5, "observed_at": ago(60) })).await.0, StatusCode::OK);
    let before = site.get("/api/v1/signals").await;
    for (name, body, status, reason) in [
        ("spot", json!({ "value": 5, "observed_at": ago(60) }), 409, "replay"),
        ("spot", json!({ "value": 4.5, "observed_at": ago(60) }), 409, "replay"),
        ("spot", json!({ "value": 5, "observed_at": ago(61) }), 409, "replay"),
        ("spot", json!({ "value": 5, "observed_at": ago(-3600) }), 422, "future"),
        ("spot", json!({ "value": 501 }), 422, "range"),
        ("spot", json!({ "value": 5, "unit": "EUR/MWh" }), 422, "unit"),
        ("spot", json!({ "value": 5, "unit": "kW" }), 422, "unit"),
        ("spot", json!({ "value": 5, "unit": "parsec" }), 422, "unit"),
        ("spot", json!({ "verdict": "profitable" }), 422, "unit"),
        ("pays", json!({ "value": 1 }), 422, "unit"),
        ("spot", json!({ "value": 5, "verdict": "profitable" }), 400, "bad_request"),
        ("spot", json!({}), 400, "bad_request"),
        ("spot", json!({ "value": "5" }), 400, "bad_request"),
        ("spot", json!({ "value": 5, "observed_at": "yesterday" }), 400, "bad_request"),
        ("spot", json!({ "value": 5, "colour": "red" }), 400, "bad_request"),
        ("pays", json!({ "verdict": "perhaps" }), 400, "bad_request"),
        ("spot", json!([1, 2]), 400, "bad_request"),
        ("peak", json!({ "value": 5 }), 404, "unknown_signal"),
        ("nope", json!({ "value": 5 }), 404, "unknown_signal"),
    ] {
        let (got, answer) = site.put(name, &body).await;
        assert_eq!((got.as_u16(), answer["reason"].as_str()), (status, Some(reason)), "{name} {body}: {answer}");
        assert!(answer["error"].as_str().is_some_and(|error| !error.is_empty()));
    }
    for (body, status, reason) in [
        ("{\"value\": NaN}".to_owned(), 400, "bad_request"),
        ("{\"value\": 1e999}".to_owned(), 400, "bad_request"),
        ("{\"value\":".to_owned(), 400, "bad_request"),
        (format!("{{\"value\": 5{}}}", " ".repeat(8192)), 413, "too_large"),
    ] {
        let (got, answer) = site.put("spot", body).await;
        assert_eq!((got.as_u16(), answer["reason"].as_str()), (status, Some(reason)), "{answer}");
    }
    let after = site.get("/api/v1/signals").await;
    for index in 0..2 {
        for kept in ["state", "value", "observed_at", "accepted"] {
            assert_eq!(after["signals"][index][kept], before["signals"][index][kept], "{kept}");
        }
    }
    assert_eq!(after["signals"][0]["refused"], json!({ "replay": 3, "future": 1, "range": 1, "unit": 4 }));
    let metrics = site.metrics().await;
    for line in [
        "hashgate_signal_refused_total{signal=\"spot\",reason=\"replay\"} 3",
        "hashgate_signal_refused_total{signal=\"pays\",reason=\"unit\"} 1",
        "hashgate_api_refused_total{reason=\"bad_request\"} 10",
        "hashgate_api_refused_total{reason=\"unknown_signal\"} 2",
        "hashgate_api_refused_total{reason=\"too_large\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_token_nothing_is_told_and_nothing_changes() {
    let site = Site::start(SIGNALS).await;
    let body = json!({ "value": 4.5 }).to_string();
    for (path, method) in [
        ("/api/v1/signals/spot", Method::PUT),
        ("/api/v1/signals", Method::GET),
        ("/api/v1/decision", Method::GET),
        ("/nope", Method::GET),
    ] {
        for token in [None, Some("0123456789abcdef"), Some("")] {
            let (status, text) = site.ask(method.clone(), path, token, body.clone()).await;
            // A browser asks for an icon: what is not there is no secret, and no guess of a token.
            let is_refused = match (path, token) {
                ("/nope", None) => status == StatusCode::NOT_FOUND,
                _ => matches!(status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS),
            };
            assert!(is_refused && !text.contains("spot"), "{path} {status} {text}");
        }
    }
    let (status, _) = site.ask(Method::GET, "/api/v1/signals", Some("guess"), "").await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "guessing is slowed down");
    // And who has the token is let in all the same.
    let all = site.get("/api/v1/signals").await;
    assert_eq!((&all["signals"][0]["state"], &all["signals"][0]["refused"]), (&json!("never"), &json!({})));
    let metrics = site.metrics().await;
    assert!(metrics.contains("hashgate_api_refused_total{reason=\"unauthorized\"} 10"), "{metrics}");
    assert!(!metrics.contains(SECRET));
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_paths_and_methods_are_named() {
    let site = Site::start(SIGNALS).await;
    for (method, path, status, reason) in [
        (Method::GET, "/api/v2/signals", 404, "not_found"),
        (Method::DELETE, "/api/v1/signals/spot", 405, "bad_request"),
        (Method::GET, "/api/v1/decision", 404, "not_found"),
    ] {
        let (got, text) = site.ask(method, path, Some(SECRET), "").await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((got.as_u16(), answer["reason"].as_str()), (status, Some(reason)), "{path}: {answer}");
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_decided_is_shown_with_its_reason() {
    let group = "[[signal]]\nname = \"verdict\"\nunit = \"verdict\"\nkind = \"push\"\n[[group]]\nname = \"hall\"\nsignal = \"verdict\"\n";
    let site = Site::start(group).await;
    let mines = site.get("/api/v1/decision").await;
    assert_eq!(
        (&mines["groups"][0]["action"], &mines["site"], &mines["mode"]),
        (&json!("mine"), &json!("MINING"), &json!("dry_run")),
        "{mines}"
    );
    assert_eq!(site.put("verdict", json!({ "verdict": "unprofitable" })).await.0, StatusCode::OK);
    let drained = site.get("/api/v1/decision").await;
    assert_eq!(
        (&drained["groups"][0]["action"], &drained["site"]),
        (&json!("curtail"), &json!("CURTAILED")),
        "{drained}"
    );
    let reason = drained["groups"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("unprofitable"), "{reason}");
    assert_ne!(mines["groups"][0]["reason"], drained["groups"][0]["reason"]);
    let metrics = site.metrics().await;
    for line in [
        "hashgate_decision{group=\"hall\",action=\"curtail\"} 1",
        "hashgate_decision{group=\"hall\",action=\"mine\"} 0",
        "hashgate_decision_changes_total{group=\"hall\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    // A sender that dies leaves its word standing, and that is seen.
    let all = snapshot(site.proxy.signals().unwrap(), "a fresh verdict", |_| true).await;
    assert!(matches!(all.signals[0].reading, Reading::Fresh { value: 0.0, .. }));
    site.stop().await;
}
