//! Other makes through the crate `asic-rs`, against a VNish of our own making: its API as the crate's backend speaks it (0.8.6, `v1_2_0`).
//!
//! The crate takes no port, so these tests need port 80 of addresses in 127.0.0.0/8, which root may have. Where they can't, they say so and pass; with
//! `HASHGATE_NEED_PORT_80` set they fail.

use std::{
    io::ErrorKind,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use hashgate::{
    config::{Config, ProcessEnv},
    power::{
        Target,
        actuator::{Actuator, DriverError, Drivers, build},
    },
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::PASSWORD;

/// What was seen at a VNish.
#[derive(Debug, Default)]
struct Seen {
    is_asleep: bool,
    passwords: Vec<String>,
    orders: Vec<String>,
}

type Shared = Arc<Mutex<Seen>>;

/// A VNish that takes our password; `None` where the port can't be had.
async fn vnish(address: Ipv4Addr) -> Option<Shared> {
    let socket = match TcpListener::bind((address, 80)).await {
        Ok(socket) => socket,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            assert!(std::env::var_os("HASHGATE_NEED_PORT_80").is_none(), "port 80 of {address}: {error}");
            println!("skipped: port 80 of {address}: {error}");
            return None;
        }
        Err(error) => panic!("port 80 of {address}: {error}"),
    };
    let seen = Shared::default();
    let shared = seen.clone();
    let handle = move |request: Request| {
        let shared = shared.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body: Bytes = axum::body::to_bytes(body, 4096).await.unwrap_or_default();
            let is_known = parts.headers.get("authorization").is_some_and(|token| token == "Bearer right");
            answer(parts.uri.path(), &body, is_known, &mut shared.lock().unwrap())
        }
    };
    tokio::spawn(async move { axum::serve(socket, Router::new().fallback(handle)).await });
    Some(seen)
}

fn answer(path: &str, body: &[u8], is_known: bool, seen: &mut Seen) -> Response {
    match path.strip_prefix("/api/v1/").unwrap_or_default() {
        "info" => said(&json!({ "miner": "Antminer S19", "fw_name": "Vnish", "fw_version": "1.2.6" })).into_response(),
        "summary" => {
            let watts = if seen.is_asleep { 14 } else { 3250 };
            said(&json!({ "miner": { "power_consumption": watts } })).into_response()
        }
        "unlock" => {
            let body: Value = serde_json::from_slice(body).unwrap_or_default();
            let password = body["pw"].as_str().unwrap_or_default().to_owned();
            let is_right = password == PASSWORD;
            seen.passwords.push(password);
            match is_right {
                true => said(&json!({ "token": "right" })).into_response(),
                false => (StatusCode::UNAUTHORIZED, said(&json!({ "err": "unlock" }))).into_response(),
            }
        }
        order @ ("mining/stop" | "mining/start") if is_known => {
            seen.is_asleep = order == "mining/stop";
            seen.orders.push(order.to_owned());
            said(&json!({})).into_response()
        }
        _ if !is_known => (StatusCode::UNAUTHORIZED, said(&json!({ "err": "unauthorized" }))).into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The driver that a config makes.
fn driver(password: &str) -> Arc<dyn Actuator> {
    let text = format!(
        "[[listener]]\nname = \"a\"\nlisten = \"127.0.0.1:0\"\n[[pool]]\nname = \"eu\"\nurl = \"sim://\"\nuser = \"u\"\n\
         [[signal]]\nname = \"pays\"\nkind = \"push\"\nunit = \"verdict\"\n[admin]\ntoken = \"0123456789abcdef\"\n\
         [power]\nledger = \"power.db\"\n[[group]]\nname = \"hall\"\nsignal = \"pays\"\nsubnets = [\"127.0.0.0/8\"]\nnameplate = \"3500 W\"\n\
         [group.actuator]\nkind = \"asic_rs\"\nmake = \"vnish\"\nuser = \"admin\"\npassword = \"{password}\"\ntimeout = \"3s\"\n"
    );
    let (config, _) =
        Config::parse(&text, &ProcessEnv { folder: ".".into() }).unwrap_or_else(|errors| panic!("{errors}"));
    let group = config.power.as_ref().and_then(|power| power.groups[0].clone()).expect("it can be moved");
    build(&group, &Drivers::default()).expect("it can be built")
}

fn at(address: Ipv4Addr) -> Target {
    Target { name: "rig".into(), address: Some(address.into()), worker: None }
}

#[tokio::test]
async fn a_machine_of_another_make_is_told_and_its_watts_are_read() {
    let address = Ipv4Addr::new(127, 80, 0, 1);
    let Some(seen) = vnish(address).await else { return };
    let (driver, rig) = (driver(PASSWORD), at(address));
    let watts = async || driver.read(&rig).expect("it can").await.map(|drawn| drawn.watts.get());
    assert_eq!(watts().await, Ok(3250.0));
    assert_eq!(seen.lock().unwrap().passwords, Vec::<String>::new(), "what needs no login is asked without");
    assert_eq!(driver.sleep(&rig).await, Ok(()));
    assert_eq!(watts().await, Ok(14.0));
    assert_eq!(driver.wake(&rig, None).await, Ok(()));
    assert_eq!(watts().await, Ok(3250.0));
    let seen = seen.lock().unwrap();
    assert_eq!(seen.orders, ["mining/stop", "mining/start"]);
    assert_eq!(seen.passwords, [PASSWORD], "one login, kept, and no other password is ever tried");
}

#[tokio::test]
async fn a_wrong_password_is_said_and_the_factorys_is_not_tried() {
    let address = Ipv4Addr::new(127, 80, 0, 2);
    let Some(seen) = vnish(address).await else { return };
    let said = driver("wrong-horse").sleep(&at(address)).await;
    assert!(matches!(said, Err(DriverError::Refused(_))), "{said:?}");
    assert!(!format!("{said:?}").contains("wrong-horse"));
    let seen = seen.lock().unwrap();
    assert!(!seen.passwords.is_empty() && seen.passwords.iter().all(|tried| tried == "wrong-horse"), "{seen:?}");
    assert!(!seen.is_asleep);
}

#[tokio::test]
async fn a_machine_that_is_away_or_says_nothing_is_not_waited_for() {
    let nobody = driver(PASSWORD).sleep(&at(Ipv4Addr::new(127, 80, 0, 3))).await;
    assert!(matches!(nobody, Err(DriverError::Unreachable(_))), "{nobody:?}");
    let nowhere = Target { address: None, ..at(Ipv4Addr::LOCALHOST) };
    assert_eq!(driver(PASSWORD).sleep(&nowhere).await, Err(DriverError::NoAddress));

    let address = Ipv4Addr::new(127, 80, 0, 4);
    // Its connections are taken by the kernel, and nobody ever answers.
    let Ok(_silent) = std::net::TcpListener::bind((address, 80)) else { return };
    let began = Instant::now();
    let said = driver(PASSWORD).sleep(&at(address)).await;
    assert_eq!(said, Err(DriverError::Timeout(Duration::from_secs(3))));
    assert!(began.elapsed() < Duration::from_secs(10), "its own time ends it, and not the crate's");
}

/// JSON, without axum's feature for it.
fn said(document: &Value) -> String {
    document.to_string()
}
