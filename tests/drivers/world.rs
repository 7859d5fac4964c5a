//! Groups, machines and calls as a config would have them.

use std::{fmt::Debug, sync::Arc, time::Duration};

use hashgate::{
    config::{
        ActuatorKind, HttpCall, HttpMethod, Miners, Moves, PowerGroup, PowerUnit, ServerTrust, Survives, WattsSource,
    },
    power::{
        Target,
        actuator::{self, Actuator, DriverError, Drivers},
        meter::{self, Ask, Meter},
    },
    profit::{Ratio, Watts},
};

/// For what is expected to end.
pub const LIMIT: Duration = Duration::from_secs(20);

/// For what is expected not to.
pub const SHORT: Duration = Duration::from_millis(300);

/// What no error may tell.
pub const SECRET: &str = "hunter2-correct-horse";

pub fn target(name: &str, address: &str, worker: &str) -> Target {
    Target { name: name.into(), address: address.parse().ok(), worker: (!worker.is_empty()).then(|| worker.into()) }
}

/// A machine on this host.
pub fn rig(worker: &str) -> Target {
    target("rig", "127.0.0.1", worker)
}

pub fn group(actuator: ActuatorKind, watts: WattsSource) -> PowerGroup {
    let minute = Duration::from_secs(60);
    PowerGroup {
        miners: Miners::default(),
        devices: Vec::new(),
        nameplate: Watts::new(3500.0).unwrap(),
        configured_max: None,
        sleep_max: Watts::new(70.0).unwrap(),
        actuator,
        watts,
        sleep_survives_power_cycle: Survives::Unknown,
        moves: Moves {
            ramp_down: None,
            ramp_up: None,
            canary: 1,
            tries: 3,
            backoff: minute,
            sleep_time: minute,
            wake_time: minute,
            sleep_most: minute,
            wake_most: minute,
            quiet: minute,
            quiet_limit: minute,
            probe: minute,
            work_wait: minute,
            may_fail: Ratio::new(0.1).unwrap(),
            fault_retry: minute,
        },
    }
}

/// The driver that a config makes.
pub fn driver(kind: ActuatorKind) -> Arc<dyn Actuator> {
    actuator::build(&group(kind, WattsSource::None), &Drivers::default()).expect("it can be built")
}

/// The meter that a config makes.
pub fn asked(watts: WattsSource) -> Arc<dyn Ask> {
    let Meter::Asked(meter) = meter_of(ActuatorKind::Manual, watts) else { panic!("it is asked") };
    meter
}

pub fn meter_of(kind: ActuatorKind, watts: WattsSource) -> Meter {
    let driver = driver(kind.clone());
    meter::build(&group(kind, watts), driver).expect("it can be built")
}

pub fn call(method: HttpMethod, url: &str) -> HttpCall {
    HttpCall { method, url: url.into(), headers: Vec::new(), body: None, trust: ServerTrust::System }
}

pub fn with_secret(call: HttpCall) -> HttpCall {
    HttpCall { headers: vec![("Authorization".into(), format!("Bearer {SECRET}").parse().unwrap())], ..call }
}

/// The same call for both orders.
pub fn webhook(call: HttpCall, timeout: Duration) -> Arc<dyn Actuator> {
    // A mode is known in a wake only.
    let sleep = HttpCall { url: call.url.replace("&mode={mode}", "").into(), ..call.clone() };
    driver(ActuatorKind::Webhook { sleep, wake: call, timeout })
}

pub fn http_json(call: HttpCall, timeout: Duration) -> Arc<dyn Ask> {
    asked(WattsSource::HttpJson { call, pointer: "/power".into(), unit: PowerUnit::Watts, timeout })
}

pub fn shell(script: &str, more: &[&str]) -> Vec<String> {
    ["/bin/sh", "-c", script, "driver"].into_iter().chain(more.iter().copied()).map(str::to_owned).collect()
}

/// The words of an error that no secret is in.
pub fn words<T: Debug>(result: Result<T, DriverError>) -> String {
    let error = result.unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("hunter2") && !error.to_string().contains(char::is_control), "{shown}");
    error.to_string()
}
