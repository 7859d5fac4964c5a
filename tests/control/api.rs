//! Every token opens what it is for and nothing else; an order arrives as it was meant, or not at all.

use axum::http::{Method, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use crate::site::{CONTROL, READ, SIGNAL, Site};

const ORDERS: [&str; 6] = ["drain", "wake", "hold", "lockout", "release", "unlock"];

/// Every request there is, with a body that is good.
fn requests() -> Vec<(Method, String, &'static str)> {
    let get = |path: &str| (Method::GET, path.to_owned(), "");
    let mut requests = vec![
        get("/api/v1/signals"),
        get("/api/v1/decision"),
        get("/api/v1/power"),
        get("/api/v1/groups/hall-a/devices"),
        get("/api/v1/receipts"),
        (Method::PUT, "/api/v1/mode".to_owned(), r#"{"mode":"active"}"#),
        (Method::PUT, "/api/v1/signals/pays".to_owned(), r#"{"verdict":"profitable"}"#),
    ];
    requests
        .extend(ORDERS.map(|order| (Method::POST, format!("/api/v1/groups/hall-a/{order}"), r#"{"why":"a test"}"#)));
    requests
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_token_opens_what_it_is_for() {
    let site = Site::start().await;
    for (method, path, body) in requests() {
        for (token, opens) in [
            (Some(CONTROL), true),
            (Some(READ), method == Method::GET),
            (Some(SIGNAL), path == "/api/v1/signals/pays"),
            (Some("guess-0123456789"), false),
            (Some(""), false),
            (None, false),
        ] {
            let (status, answer) = site.ask(method.clone(), &path, token, body).await;
            let told = format!("{method} {path} {token:?}: {status} {answer}");
            let is_right = [CONTROL, READ, SIGNAL].map(Some).contains(&token);
            match (opens, is_right) {
                // The double has no lockout to end.
                (true, _) => assert!(status == StatusCode::OK || path.ends_with("unlock"), "{told}"),
                (false, true) => {
                    assert_eq!((status, &answer["reason"]), (StatusCode::FORBIDDEN, &json!("forbidden")), "{told}");
                    assert!(answer["error"].as_str().unwrap().contains("_token, which may only"), "{told}");
                }
                (false, false) => {
                    let is_shut = [StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS].contains(&status);
                    assert!(is_shut && !answer.to_string().contains("hall"), "{told}");
                }
            }
            let asked = site.take_asked();
            let changes = method != Method::GET && !path.contains("signals");
            assert_eq!(asked.len(), usize::from(opens && changes), "{told}: {asked:?}");
        }
    }
    assert_eq!(site.refused("forbidden"), 8 + 12);
    assert_eq!(site.refused("unauthorized") + site.refused("too_many"), 3 * 13);
    assert!(site.refused("unauthorized") >= 10 && site.refused("too_many") > 0);
    // No path leads around a role.
    for path in ["/api/v1/signals/../mode", "/api/v1/signals/%2e%2e/mode", "/api/v1/signals//mode", "/api/v1//mode"] {
        let (status, answer) = site.ask(Method::PUT, path, Some(SIGNAL), r#"{"mode":"active"}"#).await;
        assert!(status.is_client_error(), "{path} {status} {answer}");
        assert_eq!(site.take_asked(), Vec::<String>::new(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_browsers_ask_everybody_for_is_no_guess_and_a_wrong_token_is_one_everywhere() {
    let site = Site::start().await;
    // More often than anybody may guess.
    for _ in 0..30 {
        for path in ["/favicon.ico", "/robots.txt", "/.well-known/security.txt", "/api/v1/nowhere", "/api/v2/status"] {
            let (status, answer) = site.ask(Method::GET, path, None, "").await;
            assert_eq!((status, &answer["reason"]), (StatusCode::NOT_FOUND, &json!("not_found")), "{path}: {answer}");
            assert!(!answer.to_string().contains("groups"), "what there is is told to who has a token: {answer}");
        }
    }
    assert_eq!((site.refused("unauthorized"), site.refused("too_many"), site.refused("not_found")), (0, 0, 150));
    // Who shows something is asked whether it is right, whatever the path.
    for token in ["guess-0123456789", ""] {
        let (status, _) = site.ask(Method::GET, "/favicon.ico", Some(token), "").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{token:?}");
    }
    assert_eq!(site.refused("unauthorized"), 2);
    let (status, answer) = site.ask(Method::GET, "/api/v1/nowhere", Some(READ), "").await;
    assert!(status == StatusCode::NOT_FOUND && answer.to_string().contains("groups"), "{answer}");
    // And of what there is, nothing is told without one.
    for (method, path) in
        [(Method::GET, "/api/v1/status"), (Method::GET, "/api/v1/mode"), (Method::PUT, "/api/v1/signals/pays")]
    {
        assert_eq!(site.ask(method.clone(), path, None, "").await.0, StatusCode::UNAUTHORIZED, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_arrives_as_it_was_meant() {
    let site = Site::start().await;
    for (order, body, heard) in [
        ("drain", "", "Drain { why: \"no reason given\", until: None }, dry_run false"),
        ("drain", "{}", "Drain { why: \"no reason given\", until: None }, dry_run false"),
        ("drain", r#"{"why":" visitors ","dry_run":true}"#, "Drain { why: \"visitors\", until: None }, dry_run true"),
        (
            "wake",
            r#"{"until":"2999-01-01T00:00:00Z"}"#,
            "Wake { why: \"no reason given\", until: Some(2999-01-01T00:00:00Z) }, dry_run false",
        ),
        ("hold", r#"{"why":"test"}"#, "Hold { why: \"test\" }, dry_run false"),
        ("lockout", r#"{"why":"fan","dry_run":true}"#, "Lockout { why: \"fan\" }, dry_run true"),
        ("release", r#"{"why":"done"}"#, "Release, dry_run false"),
    ] {
        let (status, plan) = site.ask(Method::POST, &at(order), Some(CONTROL), body).await;
        assert_eq!(status, StatusCode::OK, "{order} {body} {plan}");
        assert_eq!((&plan["phase"], &plan["will_draw_kw"]), (&json!("MINING"), &json!(0.5)), "{plan}");
        assert_eq!(site.take_asked(), [format!("hall-a: {heard}")], "{order} {body}");
    }
    let before = Timestamp::now();
    assert_eq!(site.ask(Method::POST, &at("drain"), Some(CONTROL), r#"{"for":"1h 30m"}"#).await.0, StatusCode::OK);
    let heard = site.take_asked().remove(0);
    let until: Timestamp = heard.split(['(', ')']).nth(1).unwrap().parse().unwrap();
    let lasts = until.duration_since(before).as_secs();
    assert!((5400..5460).contains(&lasts), "{heard}");
}

fn at(order: &str) -> String {
    format!("/api/v1/groups/hall-a/{order}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_an_order_reaches_nobody() {
    let site = Site::start().await;
    let long = format!(r#"{{"why":"{}"}}"#, "x".repeat(257));
    for (order, body, status, reason) in [
        ("hold", "", 400, "bad_request"),
        ("hold", r#"{"why":"  "}"#, 400, "bad_request"),
        ("lockout", "{}", 400, "bad_request"),
        ("drain", &long, 400, "bad_request"),
        ("drain", r#"{"why":"two\nlines"}"#, 400, "bad_request"),
        ("drain", r#"{"for":"2h","until":"2999-01-01T00:00:00Z"}"#, 400, "bad_request"),
        ("drain", r#"{"until":"2001-01-01T00:00:00Z"}"#, 400, "bad_request"),
        ("drain", r#"{"until":"tomorrow"}"#, 400, "bad_request"),
        ("drain", r#"{"for":"soon"}"#, 400, "bad_request"),
        ("drain", r#"{"for":"0s"}"#, 400, "bad_request"),
        ("drain", r#"{"for":"9000000000000000000y"}"#, 400, "bad_request"),
        ("drain", r#"{"for":"2y"}"#, 400, "bad_request"),
        ("drain", r#"{"dry_run":"yes"}"#, 400, "bad_request"),
        // A wish that is not understood must not become an order.
        ("drain", r#"{"dryrun":true}"#, 400, "bad_request"),
        ("drain", "[]", 400, "bad_request"),
        ("drain", "{", 400, "bad_request"),
        ("hold", r#"{"why":"x","for":"2h"}"#, 400, "bad_request"),
        ("release", r#"{"for":"2h"}"#, 400, "bad_request"),
        ("explode", "", 404, "not_found"),
        ("devices", "", 405, "bad_request"),
    ] {
        let (got, answer) = site.ask(Method::POST, &at(order), Some(CONTROL), body).await;
        assert_eq!((got.as_u16(), answer["reason"].as_str()), (status, Some(reason)), "{order} {body}: {answer}");
    }
    for body in ["", "{}", r#"{"mode":"fast"}"#, r#"{"mode":"active","why":"x"}"#] {
        let (got, answer) = site.ask(Method::PUT, "/api/v1/mode", Some(CONTROL), body).await;
        assert_eq!(got, StatusCode::BAD_REQUEST, "{body}: {answer}");
    }
    let big = format!("{{{}}}", " ".repeat(5000));
    assert_eq!(site.ask(Method::POST, &at("drain"), Some(CONTROL), &big).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(site.take_asked(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_power_side_refuses_is_told_in_its_words_and_counted() {
    let site = Site::start().await;
    for (group, order, status, reason, words) in [
        ("nope", "drain", 404, "unknown_group", "there is \"hall-a\", \"shed\""),
        ("shed", "drain", 409, "not_managed", "has no actuator"),
        ("dry", "drain", 409, "dry_run", "hashgate mode advise"),
        ("hall-a", "unlock", 409, "nothing_to_end", "is not locked out"),
        ("full", "drain", 503, "not_written", "the disk is full"),
        ("ended", "drain", 503, "ended", "has ended"),
    ] {
        let path = format!("/api/v1/groups/{group}/{order}");
        let (got, answer) = site.ask(Method::POST, &path, Some(CONTROL), "").await;
        assert_eq!((got.as_u16(), answer["reason"].as_str()), (status, Some(reason)), "{answer}");
        assert!(answer["error"].as_str().unwrap().contains(words), "{answer}");
        assert_eq!(site.refused(reason), 1, "{reason}");
    }
    let nothing = Site::without_power().await;
    for (method, path, body) in requests().into_iter().filter(|(_, path, _)| !path.contains("signals")) {
        let (status, answer) = nothing.ask(method, &path, Some(CONTROL), body).await;
        if path != "/api/v1/decision" {
            assert_eq!((status, &answer["reason"]), (StatusCode::NOT_FOUND, &json!("no_power")), "{path} {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_power_side_is_shown_with_names_and_in_kw() {
    let site = Site::start().await;
    let (status, page) = site.ask(Method::GET, "/api/v1/power", Some(READ), "").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&page["mode"], &page["epoch"]), (&json!("advise"), &json!(7)));
    assert_eq!(page["site"]["cap_kw"], 100.0);
    assert_eq!(page["site"]["counts_kw"], 53.0);
    assert_eq!(page["site"]["room_kw"], 47.0);
    assert_eq!((&page["site"]["meter_kw"], &page["site"]["over_cap_most_kw"]), (&json!(51.0), &json!(1.5)));
    let group = &page["groups"][0];
    assert_eq!((&group["name"], &group["phase"], &group["goal"]), (&json!("hall-a"), &json!("MINING"), &json!("mine")));
    assert_eq!((&group["operator"]["action"], &group["operator"]["why"]), (&json!("drain"), &json!("visitors")));
    assert_eq!((&group["why"], &group["draws_kw"]), (&json!("margin 3.1 $/MWh"), &json!(7.0)));
    assert_eq!((page["groups"].as_array().unwrap().len(), &page["unmanaged_groups"]), (1, &json!(["shed"])));
    assert_eq!((page["events"].as_array().unwrap().len(), &page["events"][0]["group"]), (50, &json!("hall-a")));

    let (_, set) = site.ask(Method::PUT, "/api/v1/mode", Some(CONTROL), r#"{"mode":"active"}"#).await;
    assert_eq!(set, json!({ "mode": "active", "before": "advise" }));
    let (_, page) = site.ask(Method::GET, "/api/v1/power", Some(READ), "").await;
    assert_eq!(page["mode"], "active");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_come_in_pages() {
    let site = Site::start().await;
    for (query, names) in [
        ("", &["rig-0", "rig-1", "rig-2"][..]),
        ("?limit=1", &["rig-0"]),
        ("?offset=1&limit=1", &["rig-1"]),
        ("?offset=2", &["rig-2"]),
        ("?offset=99", &[]),
        ("?limit=0", &[]),
    ] {
        let (status, page) =
            site.ask(Method::GET, &format!("/api/v1/groups/hall-a/devices{query}"), Some(READ), "").await;
        let shown: Vec<&str> =
            page["devices"].as_array().unwrap().iter().map(|device| device["name"].as_str().unwrap()).collect();
        assert_eq!((status, &shown[..], &page["total"]), (StatusCode::OK, names, &json!(3)), "{query}");
    }
    let (_, page) = site.ask(Method::GET, "/api/v1/receipts?limit=2", Some(READ), "").await;
    assert_eq!((page["receipts"].as_array().unwrap().len(), &page["receipts"][0]["kind"]), (2, &json!("drain")));
    for query in ["?limit=1001", "?limit=-1", "?limit=x", "?size=1", "?offset="] {
        let (status, answer) =
            site.ask(Method::GET, &format!("/api/v1/groups/hall-a/devices{query}"), Some(READ), "").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query} {answer}");
    }
    assert_eq!(site.ask(Method::GET, "/api/v1/receipts?limit=1001", Some(READ), "").await.0, StatusCode::BAD_REQUEST);
    let (status, answer) = site.ask(Method::GET, "/api/v1/groups/nope/devices", Some(READ), "").await;
    assert_eq!((status, &answer["reason"]), (StatusCode::NOT_FOUND, &json!("unknown_group")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_look_sees_the_last_reload_and_orders_none() {
    let site = Site::start().await;
    let (status, page) = site.ask(Method::GET, "/api/v1/reload", Some(READ), "").await;
    assert_eq!((status, &page["file"], &page["applied"]), (StatusCode::OK, &json!(null), &json!(0)));
    for (token, body, wanted) in [
        (Some(READ), "", StatusCode::FORBIDDEN),
        (Some(SIGNAL), "", StatusCode::FORBIDDEN),
        (None, "", StatusCode::UNAUTHORIZED),
        (Some(CONTROL), "{\"dry\":true}", StatusCode::BAD_REQUEST),
        // Nobody reads files for this site.
        (Some(CONTROL), "{\"dry_run\":true}", StatusCode::SERVICE_UNAVAILABLE),
    ] {
        assert_eq!(site.ask(Method::POST, "/api/v1/reload", token, body).await.0, wanted, "{token:?} {body}");
    }
}
