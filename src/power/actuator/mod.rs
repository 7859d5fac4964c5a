//! Drivers of ASICs: what puts one machine to sleep, wakes it, and reads what it draws.
//!
//! A driver knows one firmware's way of speaking; it knows no group, no ledger and no reason. Its word is never a proof: that it could send a
//! command says that the command was sent, and watts say the rest.
//!
//! Limits: each call has the time that its config gives; how many run at once is the caller's (`[power] calls`).

use std::{pin::Pin, sync::Arc, time::Duration};

use crate::{
    config::Survives,
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

    /// Whether a machine that slept sleeps on after its power went and came, as far as the driver knows.
    fn sleep_survives_power_cycle(&self) -> Survives {
        Survives::Unknown
    }

    /// Whether anything is told at all: a person who is asked may never do it, and is not asked twice a minute.
    fn is_manual(&self) -> bool {
        false
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
