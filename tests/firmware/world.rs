//! A firmware, its driver, and what was said between them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use hashgate::{
    config::{Firmware, Make},
    power::{
        Target,
        actuator::{Actuator, Line, Trace, build_firmware},
    },
    sim::firmware::{self, FirmwareSettings, SimFirmware},
};

/// For what is expected to end.
pub const LIMIT: Duration = Duration::from_secs(20);

/// What nobody may be shown.
pub const PASSWORD: &str = "hunter2-correct-horse";

/// Of the simulated Antminer's pool.
pub const POOL_PASSWORD: &str = "pool-password-1";

/// What was said, one line after the other.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    pub fn trace(&self) -> Trace {
        let lines = self.0.clone();
        Trace::to(move |line| {
            lines.lock().unwrap().push(match line {
                Line::Sent(text) => format!("> {text}"),
                Line::Answered(text) => format!("< {text}"),
            });
        })
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A machine on this host.
pub fn rig() -> Target {
    Target { name: "rig".into(), address: "127.0.0.1".parse().ok(), worker: None }
}

pub fn settings(make: firmware::Make) -> FirmwareSettings {
    FirmwareSettings { password: PASSWORD.to_owned(), ..FirmwareSettings::new(make) }
}

/// The driver of the make that this firmware is of, at its port.
pub fn driver(make: firmware::Make, sim: &SimFirmware, timeout: Duration) -> (Arc<dyn Actuator>, Heard) {
    let make = Make::parse(make.label()).expect("both know the same makes");
    let login = make.has_login().then(|| ("root".into(), PASSWORD.parse().expect("a secret")));
    let heard = Heard::default();
    let firmware = Firmware { make, login, port: sim.addr().port(), timeout };
    (build_firmware(&firmware, heard.trace()).expect("it can be built"), heard)
}

/// One that works, with its driver.
pub async fn start(settings: FirmwareSettings) -> (SimFirmware, Arc<dyn Actuator>, Heard) {
    let make = settings.make;
    let sim = SimFirmware::start(settings).await.expect("a free port");
    let (driver, heard) = driver(make, &sim, LIMIT);
    (sim, driver, heard)
}
