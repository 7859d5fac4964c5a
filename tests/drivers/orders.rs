//! Orders: what is sent, and what is told when it isn't.

use std::{fs, path::Path, sync::Arc, time::Duration};

use axum::http::{Method, StatusCode};
use hashgate::{
    config::{ActuatorKind, HttpCall, HttpMethod, WattsSource},
    power::{
        actuator::{self, Actuator, BuildError, DriverError, Drivers},
        device::PowerMode,
        meter,
    },
};
use tokio::{net::TcpListener, time::sleep};

use crate::{
    server::Server,
    world::{LIMIT, SECRET, SHORT, call, driver, group, rig, shell, target, webhook, with_secret, words},
};

/// Names that a miner might choose.
const HOSTILE: [&str; 9] = [
    "a b",
    "'; touch owned; '",
    "$(touch owned)",
    "`touch owned`",
    "../../etc",
    "a\nX-Evil: 1\r\n\r\nPOST /all",
    "x?all=1&y#z",
    "{ip}{device}",
    "\"}, {\"all\": true",
];

fn exec(sleep: Vec<String>, timeout: Duration) -> Arc<dyn Actuator> {
    driver(ActuatorKind::Exec { sleep, wake: shell("test \"$1\" = eco", &["{mode}"]), timeout })
}

#[tokio::test]
async fn a_command_is_given_what_it_needs_and_nothing_is_read_into_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("arguments");
    let script = format!("cd {}; printf '%s\\0' \"$@\" > arguments", folder.path().display());
    let driver = exec(shell(&script, &["{ip}", "--worker={worker}", "{worker}", "{device}"]), LIMIT);
    for worker in HOSTILE {
        driver.sleep(&rig(worker)).await.unwrap();
        let arguments = fs::read_to_string(&file).unwrap();
        let arguments: Vec<&str> = arguments.trim_end_matches('\0').split('\0').collect();
        assert_eq!(arguments, ["127.0.0.1", &format!("--worker={worker}"), worker, "rig"]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was run: {worker}");
    }
    let why = words(driver.sleep(&rig("--reset-all")).await);
    assert!(why.contains("an option, not an argument"), "{why}");
    driver.wake(&rig("w"), Some(&PowerMode("eco".into()))).await.unwrap();
    assert!(driver.wake(&rig("w"), None).await.is_err());
    assert_eq!(driver.sleep(&target("rig", "", "w")).await, Err(DriverError::NoAddress));
    assert!(driver.read(&rig("w")).is_none());
}

#[tokio::test]
async fn a_command_that_says_no_is_quoted() {
    let fails = |script: &str| exec(shell(script, &[]), LIMIT);
    let rig = rig("w");
    let error = fails("echo trying >&2; echo no such outlet >&2; exit 1").sleep(&rig).await.unwrap_err();
    assert_eq!(error, DriverError::Refused("/bin/sh ended with exit status: 1: no such outlet".to_owned()));
    // Binary, and a lot of it: a pipe takes 64 KiB before somebody has to read.
    let noisy = "head -c 200000 /dev/urandom; head -c 200000 /dev/urandom >&2; exit 7";
    let why = words(fails(noisy).sleep(&rig).await);
    assert!(why.len() < 4000 && why.contains("exit status: 7"), "{why}");
    fails("head -c 200000 /dev/urandom; head -c 200000 /dev/urandom >&2").sleep(&rig).await.unwrap();
    let missing = exec(vec!["./no/such/program".to_owned()], LIMIT).sleep(&rig).await;
    assert!(matches!(missing, Err(DriverError::Unreachable(_))), "{missing:?}");
    let why = words(exec(shell("exit 0", &["{worker}"]), LIMIT).sleep(&crate::world::rig("a\0b")).await);
    assert!(why.contains("can't be started"), "{why}");
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_its_children() {
    let folder = tempfile::tempdir().unwrap();
    let pids = folder.path().join("pids");
    let script = format!("sleep 600 & echo $! $$ > {0}.new; mv {0}.new {0}; wait", pids.display());
    let within = Duration::from_secs(2);
    assert_eq!(exec(shell(&script, &[]), within).sleep(&rig("w")).await, Err(DriverError::Timeout(within)));
    for pid in fs::read_to_string(&pids).unwrap().split_whitespace() {
        gone(pid).await;
    }
}

/// A killed process is gone, or a corpse that nobody has looked at.
async fn gone(pid: &str) {
    let status = format!("/proc/{pid}/stat");
    let begin = std::time::Instant::now();
    while begin.elapsed() < LIMIT {
        let stat = fs::read_to_string(Path::new(&status)).unwrap_or_default();
        if !stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['R', 'S', 'D'])) {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("process {pid} was not killed");
}

#[tokio::test]
async fn a_call_is_made_as_it_is_written() {
    let server = Server::start(|_| StatusCode::NO_CONTENT).await;
    let url = format!("http://{{ip}}:{}/w/{{worker}}/off?name={{worker}}&mode={{mode}}", server.port);
    let body = "{\"outlet\": \"{device}\", \"by\": \"{worker}\"}";
    let put = HttpCall { body: Some(body.into()), ..with_secret(call(HttpMethod::Put, &url)) };
    let driver = webhook(put, LIMIT);
    for worker in HOSTILE {
        driver.wake(&rig(worker), Some(&PowerMode("eco mode".into()))).await.unwrap();
        let asked = server.last();
        assert_eq!(asked.method, Method::PUT);
        assert_eq!(asked.headers["authorization"], format!("Bearer {SECRET}"));
        assert_eq!(asked.headers["content-type"], "application/json");
        assert!(asked.headers.get("x-evil").is_none());
        let read: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
        assert_eq!(read, serde_json::json!({ "outlet": "rig", "by": worker }));
        let parts: Vec<&str> = asked.path.split(['/', '?']).collect();
        assert_eq!(parts.len(), 5, "{}", asked.path);
        let decoded = url::form_urlencoded::parse(parts[4].as_bytes()).collect::<Vec<_>>();
        assert_eq!(decoded, [("name".into(), worker.into()), ("mode".into(), "eco mode".into())]);
    }
    assert_eq!(server.asked().len(), HOSTILE.len());
    assert_eq!(driver.sleep(&target("rig", "", "w")).await, Err(DriverError::NoAddress));
    assert!(words(driver.sleep(&rig("..")).await).contains("can't stand in a path"));
    assert!(words(driver.sleep(&rig("")).await).contains("worker name is not known"));

    // Without a body: an empty one, said to be so.
    webhook(call(HttpMethod::Post, &server.url("/off")), LIMIT).sleep(&rig("w")).await.unwrap();
    assert_eq!((server.last().body.as_str(), &server.last().headers["content-length"]), ("", &"0".parse().unwrap()));
}

#[tokio::test]
async fn an_ipv6_machine_is_reached() {
    let Ok(socket) = TcpListener::bind("[::1]:0").await else { return println!("skipped: no IPv6 here") };
    let server = Server::on(socket, |_| StatusCode::OK);
    let driver = webhook(call(HttpMethod::Post, &format!("http://{{ip}}:{}/{{ip}}", server.port)), LIMIT);
    driver.sleep(&target("rig", "::1", "w")).await.unwrap();
    assert_eq!(server.last().path, "/%3A%3A1");
}

#[tokio::test]
async fn a_server_that_says_no_is_quoted_without_our_secrets() {
    // One of a header, one of the address, as some servers repeat what they were asked.
    let echo = format!("\n  no such token: {SECRET}\u{7} for you, nor hunter2\nmore\n");
    for (status, is_reached) in [(500, true), (401, true), (404, true), (503, false), (502, false)] {
        let echo = echo.clone();
        let server = Server::start(move |_| (StatusCode::from_u16(status).unwrap(), echo.clone())).await;
        let driver = webhook(with_secret(call(HttpMethod::Post, &server.url("/off?key=hunter2"))), LIMIT);
        let result = driver.sleep(&rig("w")).await;
        assert_eq!(matches!(result, Err(DriverError::Refused(_))), is_reached, "{result:?}");
        let why = words(result);
        assert!(
            why.ends_with(": no such token: ***\\u{7} for you, nor ***") && why.contains("/off?… answers"),
            "{why}"
        );
    }
}

#[tokio::test]
async fn an_order_is_never_sent_elsewhere() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/new" => (StatusCode::OK, [("location", "")]),
        _ => (StatusCode::TEMPORARY_REDIRECT, [("location", "/new")]),
    })
    .await;
    let result = webhook(with_secret(call(HttpMethod::Post, &server.url("/old"))), LIMIT).sleep(&rig("w")).await;
    assert!(words(result).contains("redirects to"));
    assert_eq!(server.asked().len(), 1);
    // Old PDUs are switched by GET, and a GET may be asked for again.
    webhook(call(HttpMethod::Get, &server.url("/old")), LIMIT).sleep(&rig("w")).await.unwrap();
}

#[tokio::test]
async fn the_status_is_the_answer_however_long_the_body() {
    let server = Server::start(|_| "x".repeat(8 << 20)).await;
    let driver = webhook(call(HttpMethod::Post, &server.url("/off")), LIMIT);
    for _ in 0..10 {
        driver.sleep(&rig("w")).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_there_and_nobody_speaking_are_told_apart() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    let url = format!("http://{{ip}}:{port}/off");
    let driver = webhook(with_secret(call(HttpMethod::Post, &url)), SHORT);
    // It listens, and never answers.
    assert_eq!(driver.sleep(&rig("w")).await, Err(DriverError::Timeout(SHORT)));
    drop(free);
    let refused = driver.sleep(&rig("w")).await;
    assert!(matches!(refused, Err(DriverError::Unreachable(_))), "{refused:?}");
    assert!(words(refused).contains("refused"), "the reason is told");
}

#[tokio::test]
async fn a_person_is_asked_by_somebody_else() {
    let manual = driver(ActuatorKind::Manual);
    assert!(manual.is_manual() && manual.read(&rig("w")).is_none());
    manual.sleep(&rig("w")).await.unwrap();
    manual.wake(&rig("w"), None).await.unwrap();
}

#[tokio::test]
async fn simulated_asics_are_told_and_asked_by_name() {
    let server = Server::start(|asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("POST", "/asics/a%2F1/sleep" | "/asics/a%2F1/wake") => (StatusCode::OK, ""),
        ("GET", "/asics/a%2F1") => (StatusCode::OK, "{\"watts\": 3412.5, \"mode\": \"eco\"}"),
        ("GET", "/asics/boots") => (StatusCode::OK, "{\"watts\": 20, \"mode\": null}"),
        ("GET", "/asics/broken") => (StatusCode::OK, "{\"watts\": -20}"),
        ("GET", "/asics/away") => (StatusCode::SERVICE_UNAVAILABLE, "rebooting"),
        _ => (StatusCode::NOT_FOUND, "no such ASIC"),
    })
    .await;
    let site = driver(ActuatorKind::Simulated { url: server.url("").parse().unwrap(), hashes_per_terahash: 0.02 });
    let (asic, eco) = (target("a/1", "", ""), PowerMode("eco".into()));
    site.sleep(&asic).await.unwrap();
    assert_eq!(server.last().body, "{\"mode\":null}");
    site.wake(&asic, Some(&eco)).await.unwrap();
    assert_eq!(
        (&*server.last().body, &server.last().headers["content-type"]),
        ("{\"mode\":\"eco\"}", &"application/json".parse().unwrap())
    );
    let drawn = site.read(&asic).unwrap().await.unwrap();
    assert_eq!((drawn.watts.get(), drawn.mode), (3412.5, Some(eco)));
    let read = async |name: &str| site.read(&target(name, "", "")).unwrap().await;
    assert_eq!(read("boots").await.unwrap().mode, None);
    assert!(matches!(read("broken").await, Err(DriverError::Garbled(_))));
    assert!(matches!(read("away").await, Err(DriverError::Unreachable(_))));
    assert!(words(read("nobody").await).contains("no such ASIC"));
    assert!(matches!(site.sleep(&target("nobody", "", "")).await, Err(DriverError::Refused(_))));
}

#[tokio::test]
async fn a_driver_that_nobody_brought_along_is_told_with_those_that_are_there() {
    let custom = group(ActuatorKind::Custom("pdu".into()), WattsSource::Driver);
    let drivers = Drivers::default()
        .with_actuator("luxos", driver(ActuatorKind::Manual))
        .with_actuator("braiins", driver(ActuatorKind::Manual));
    let Err(error) = actuator::build(&custom, &drivers) else { panic!("there is no such driver") };
    assert_eq!(error.to_string(), "there is no driver \"pdu\" in this program; there is custom:luxos, custom:braiins");
    let drivers = drivers.with_actuator("pdu", driver(ActuatorKind::Manual));
    assert!(actuator::build(&custom, &drivers).unwrap().is_manual());
    let manual = meter::build(&group(ActuatorKind::Manual, WattsSource::Driver), driver(ActuatorKind::Manual));
    assert!(matches!(manual, Err(BuildError::NoWatts)));
}
