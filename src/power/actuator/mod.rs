//! Drivers of ASICs: what puts one machine to sleep, wakes it, and reads what it draws.
//!
//! A driver knows one firmware's way of speaking; it knows no group, no ledger and no reason. Its word is never a proof: that it could send a
//! command says that the command was sent, and watts say the rest.
//!
//! | kind | file | is sent when | reads watts |
//! |---|---|---|---|
//! | `exec` | `exec.rs` | the command's exit code is 0 | no |
//! | `webhook` | `webhook.rs` | the server answers 2xx | no |
//! | `manual` | `manual.rs` | always: a person is asked | no |
//! | `simulated` | `simulated.rs` | the simulated site answers 2xx | yes |
//! | `luxos` | `luxos.rs` | it answers so (code 335), or that there was nothing to do | yes |
//! | `braiins` | `braiins.rs` | it answers 2xx | yes, and its power target |
//! | `antminer` | `antminer.rs` | its config was written (`M000`) | no; its mode |
//! | `axeos` | `axeos.rs` | it answers 2xx | yes |
//! | `asic_rs` | `asic_rs.rs` (feature `asic-rs`) | the crate says so | where the firmware does |
//! | `custom:NAME` | the program's that embeds us ([`Drivers`]) | it says so | if it can |
//!
//! Where a machine's address or name stands in a command or a call: `config/power/template.rs`. What HTTP calls of the config's have in
//! common: `call.rs`; calls to a firmware: `web.rs`, `digest.rs`. What is said to a firmware can be watched: `trace.rs`. Which one answers
//! at an address: `identify.rs`.
//!
//! Limits: each call has the time that its config gives; how many run at once is the caller's (`[power] calls`), and
//! [`TURNS`] of them to one server.

mod antminer;
#[cfg(feature = "asic-rs")]
mod asic_rs;
mod axeos;
mod braiins;
pub(in crate::power) mod call;
mod digest;
mod exec;
mod identify;
mod luxos;
mod manual;
mod simulated;
mod trace;
mod web;
mod webhook;

use std::{pin::Pin, sync::Arc, time::Duration};

use jiff::Timestamp;

pub use self::{
    call::TURNS,
    identify::Identify,
    trace::{Line, Trace},
};
use crate::{
    config::{
        ActuatorKind, Firmware, Make, PowerGroup, Survives,
        template::{TemplateError, Unfit, Values},
    },
    http::HttpError,
    power::{Target, device::PowerMode},
    profit::Watts,
};

/// What a call answers, in its time.
pub type Call<'a, T> = Pin<Box<dyn Future<Output = Result<T, DriverError>> + Send + 'a>>;

/// What puts a machine to sleep, and wakes it.
pub trait Actuator: Send + Sync {
    /// Tells it to sleep. `Ok` says that it was told, or that it says it sleeps already.
    fn sleep<'a>(&'a self, device: &'a Target) -> Call<'a, ()>;

    /// Tells it to mine, in the mode that was saved; `None` where none was ever seen.
    fn wake<'a>(&'a self, device: &'a Target, mode: Option<&'a PowerMode>) -> Call<'a, ()>;

    /// Asks it what it draws; `None` if this driver can't.
    fn read<'a>(&'a self, device: &'a Target) -> Option<Call<'a, Drawn>>;

    /// Asks it for the power mode to wake it in, where [`Actuator::read`] does not tell; `None` if this driver can't. A machine that sleeps has
    /// none to tell.
    fn mode<'a>(&'a self, device: &'a Target) -> Option<Call<'a, Option<PowerMode>>> {
        let _ = device;
        None
    }

    /// Whether a machine that slept sleeps on after its power went and came, as far as the driver knows.
    fn sleep_survives_power_cycle(&self) -> Survives {
        Survives::Unknown
    }

    /// The same of one machine, where its own version says more; looked at after it was read.
    fn sleep_survives_power_cycle_of(&self, device: &Target) -> Survives {
        let _ = device;
        self.sleep_survives_power_cycle()
    }

    /// Whether anything is told at all: a person who is asked may never do it, and is not asked twice a minute.
    fn is_manual(&self) -> bool {
        false
    }

    /// When the certificate ends that was shown to it in TLS, of several the first; `None` without TLS, or where none was seen yet.
    fn certificate_ends(&self) -> Option<Timestamp> {
        None
    }
}

/// What a machine says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// What it draws, at its own supply.
    pub watts: Watts,
    /// Its power mode, in the driver's words.
    pub mode: Option<PowerMode>,
}

/// Why a call did nothing, as far as the driver knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// Nobody answers there.
    #[error("not reached: {0}")]
    Unreachable(String),
    /// Not in time. It may have been heard all the same.
    #[error("no answer in {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// It says no.
    #[error("refused: {0}")]
    Refused(String),
    /// It says something that is not understood.
    #[error("not understood: {0}")]
    Garbled(String),
    /// Where it is was never seen.
    #[error("its address is not known: it never connected, and the config has none")]
    NoAddress,
}

impl DriverError {
    /// What a call to `place` that could take `within` came to.
    fn of_http(error: &HttpError, place: &str, within: Duration) -> Self {
        let words = || format!("{place}: {error}");
        match error {
            HttpError::Timeout(_) => Self::Timeout(within),
            HttpError::Connection(_) | HttpError::Setup(_) => Self::Unreachable(words()),
            HttpError::Redirect(_) => Self::Refused(words()),
            HttpError::TooLarge(_) => Self::Garbled(words()),
        }
    }
}

impl From<Unfit> for DriverError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::NoAddress => Self::NoAddress,
            other => Self::Refused(other.to_string()),
        }
    }
}

/// Why there is no driver, or no meter.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The program brings none of this name along.
    #[error("there is no driver {name:?} in this program; {}", listed(.known))]
    Unknown {
        /// The name.
        name: Arc<str>,
        /// Those that there are.
        known: Vec<Arc<str>>,
    },
    /// A command, an address, a body or a topic is none. (The config was checked for it.)
    #[error("{0}")]
    Template(#[from] TemplateError),
    /// A header can't be sent.
    #[error("the header {0} can't be sent")]
    Header(Arc<str>),
    /// No root certificates, or the like.
    #[error("{0}")]
    Http(#[from] HttpError),
    /// A firmware that asks who speaks, and nobody said so. (The config was checked for it.)
    #[error("{} asks who speaks: it needs user and password", .0.label())]
    NoLogin(Make),
    /// The program was built without what this kind needs. (The config was checked for it.)
    #[error("asic_rs needs a program that was built with `--features asic-rs`")]
    Unbuilt,
    /// It tells nobody what a machine draws.
    #[error("the actuator can't read watts: write watts.kind = \"exec\", \"http_json\", \"mqtt\" or \"none\"")]
    NoWatts,
}

fn listed(names: &[Arc<str>]) -> String {
    match names {
        [] => "it brings none along".to_owned(),
        names => format!("there is custom:{}", names.join(", custom:")),
    }
}

/// The driver of a group. Reads the system's root certificates from disk, where the config has `https`.
///
/// # Errors
/// [`BuildError`]: a custom name that nobody brought along, or no root certificates.
pub fn build(group: &PowerGroup, drivers: &Drivers) -> Result<Arc<dyn Actuator>, BuildError> {
    Ok(match &group.actuator {
        ActuatorKind::Exec { sleep, wake, timeout } => Arc::new(exec::Exec::new(sleep, wake, *timeout)?),
        ActuatorKind::Webhook { sleep, wake, timeout } => Arc::new(webhook::Webhook::new(sleep, wake, *timeout)?),
        ActuatorKind::Manual => Arc::new(manual::Manual),
        ActuatorKind::Simulated { url, .. } => Arc::new(simulated::Simulated::new(url)?),
        ActuatorKind::Firmware(firmware) => build_firmware(firmware, Trace::default())?,
        #[cfg(feature = "asic-rs")]
        ActuatorKind::AsicRs(it) => Arc::new(asic_rs::AsicRs::new(it)),
        #[cfg(not(feature = "asic-rs"))]
        ActuatorKind::AsicRs(_) => return Err(BuildError::Unbuilt),
        ActuatorKind::Custom(name) => {
            let found = drivers.actuators.iter().find(|(known, _)| known == name);
            let Some((_, driver)) = found else {
                let known = drivers.actuators.iter().map(|(known, _)| known.clone()).collect();
                return Err(BuildError::Unknown { name: name.clone(), known });
            };
            driver.clone()
        }
    })
}

/// The driver of a firmware, with somebody who may watch what is said to it.
///
/// # Errors
/// [`BuildError::NoLogin`] for one that asks who speaks.
pub fn build_firmware(firmware: &Firmware, trace: Trace) -> Result<Arc<dyn Actuator>, BuildError> {
    Ok(match firmware.make {
        Make::Luxos => Arc::new(luxos::Luxos::new(firmware, trace)),
        Make::Braiins => Arc::new(braiins::Braiins::new(firmware, trace)?),
        Make::Antminer => Arc::new(antminer::Antminer::new(firmware, trace)?),
        Make::Axeos => Arc::new(axeos::Axeos::new(firmware, trace)?),
    })
}

/// What stands in a template's places.
pub(in crate::power) fn values<'a>(device: &'a Target, mode: Option<&'a PowerMode>) -> Values<'a> {
    Values {
        ip: device.address,
        worker: device.worker.as_deref(),
        device: &device.name,
        mode: mode.map(|PowerMode(mode)| &**mode),
    }
}

/// Drivers that the program which embeds the proxy brings along, by the name in `kind = "custom:NAME"`.
#[derive(Clone, Default)]
pub struct Drivers {
    pub(crate) actuators: Vec<(Arc<str>, Arc<dyn Actuator>)>,
    pub(crate) compute: Vec<(Arc<str>, Arc<dyn super::compute::Compute>)>,
}

impl Drivers {
    /// Adds an ASIC driver.
    #[must_use]
    pub fn with_actuator(mut self, name: &str, actuator: Arc<dyn Actuator>) -> Self {
        self.actuators.push((name.into(), actuator));
        self
    }

    /// Adds an AI side.
    #[must_use]
    pub fn with_compute(mut self, name: &str, compute: Arc<dyn super::compute::Compute>) -> Self {
        self.compute.push((name.into(), compute));
        self
    }
}
