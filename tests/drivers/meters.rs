//! Meters that are asked.

use axum::http::StatusCode;
use hashgate::{
    config::{ActuatorKind, HttpMethod, PowerUnit, WattsSource},
    power::{
        actuator::DriverError,
        meter::{Ask, Meter},
    },
};
use tokio::net::TcpListener;

use crate::{
    server::Server,
    world::{LIMIT, SHORT, asked, call, http_json, meter_of, rig, shell, target, with_secret, words},
};

fn prints(script: &str, unit: PowerUnit) -> std::sync::Arc<dyn Ask> {
    asked(WattsSource::Exec { command: shell(script, &["{device}"]), unit, timeout: LIMIT })
}

#[tokio::test]
async fn a_command_prints_a_machines_watts() {
    let meter = prints("test \"$1\" = rig && echo 3.4125", PowerUnit::Kilowatts);
    assert_eq!(meter.ask(&rig("w")).await.unwrap().watts.get(), 3412.5);
    let why = words(meter.ask(&target("other", "", "")).await);
    assert!(why.contains("exit status: 1"), "{why}");
    for (script, expected) in [
        ("echo -12", "less than nothing"),
        ("echo nan", "no number of watts"),
        ("echo 1e9", "more than one machine draws"),
        ("true", "not a number"),
        ("head -c 100 /dev/urandom; printf '\\377'", "no text"),
        ("head -c 100000 /dev/zero", "wrote more than 4096 bytes"),
    ] {
        let why = words(prints(script, PowerUnit::Watts).ask(&rig("w")).await);
        assert!(why.starts_with("not understood: ") && why.contains(expected), "{script}: {why}");
    }
    let hangs = asked(WattsSource::Exec { command: shell("sleep 600", &[]), unit: PowerUnit::Watts, timeout: SHORT });
    assert_eq!(hangs.ask(&rig("w")).await, Err(DriverError::Timeout(SHORT)));
}

#[tokio::test]
async fn a_web_server_is_asked_for_each_machine() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/outlets/rig" => (StatusCode::OK, "{\"power\": \"3412.5\"}"),
        "/outlets/lost" => (StatusCode::OK, "{\"energy\": 1}"),
        "/outlets/split" => (StatusCode::OK, "{\"power\": [1, 2]}"),
        "/outlets/page" => (StatusCode::OK, "<html>please log in</html>"),
        "/outlets/half" => (StatusCode::OK, "{\"power\": 34"),
        "/outlets/mad" => (StatusCode::OK, "{\"power\": 3412500}"),
        "/outlets/broken" => (StatusCode::INTERNAL_SERVER_ERROR, "out of memory"),
        _ => (StatusCode::NOT_FOUND, ""),
    })
    .await;
    let meter = http_json(with_secret(call(HttpMethod::Get, &server.url("/outlets/{device}"))), LIMIT);
    assert_eq!(meter.ask(&rig("w")).await.unwrap().watts.get(), 3412.5);
    for (name, expected) in [
        ("lost", "not understood: there is nothing at \"/power\""),
        ("split", "a list, not a number"),
        ("page", "a web page, not JSON"),
        ("half", "ends too early"),
        ("mad", "more than one machine draws"),
        ("broken", "refused: "),
        ("broken", "500 Internal Server Error: out of memory"),
        ("nobody", "answers 404 Not Found"),
    ] {
        let why = words(meter.ask(&target(name, "", "")).await);
        assert!(why.contains(expected), "{name}: {why}");
    }
}

#[tokio::test]
async fn a_server_without_end_or_without_a_word_is_given_up() {
    let server = Server::start(|_| "[".repeat(1 << 20)).await;
    let why = words(http_json(call(HttpMethod::Get, &server.url("/")), LIMIT).ask(&rig("w")).await);
    assert!(why.contains("longer than 65536 bytes"), "{why}");

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let meter = http_json(with_secret(call(HttpMethod::Get, &url)), SHORT);
    assert_eq!(meter.ask(&rig("w")).await, Err(DriverError::Timeout(SHORT)));
    drop(silent);
    assert!(words(meter.ask(&rig("w")).await).starts_with("not reached: http://127.0.0.1"));
}

#[tokio::test]
async fn a_driver_that_can_read_is_the_meter_and_none_is_none() {
    let server = Server::start(|_| "{\"watts\": 61.5}").await;
    let simulated = ActuatorKind::Simulated { url: server.url("/").parse().unwrap(), hashes_per_terahash: 0.02 };
    let Meter::Asked(meter) = meter_of(simulated, WattsSource::Driver) else { panic!("it is asked") };
    assert_eq!(meter.ask(&rig("w")).await.unwrap().watts.get(), 61.5);
    assert!(matches!(meter_of(ActuatorKind::Manual, WattsSource::None), Meter::None));
}
