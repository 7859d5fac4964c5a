//! What tells a machine's watts, at its own supply.
//!
//! Knows how to ask, and where a number stands; does not know what a reading proves, and keeps none.
//!
//! | `watts.kind` | file | a reading is taken | bounds |
//! |---|---|---|---|
//! | `driver` | here: the actuator reads | when it is asked | the driver's |
//! | `exec` | `exec.rs` | when it is asked | `timeout`; 4 KiB |
//! | `http_json` | `http_json.rs` | when it is asked | `timeout`; 64 KiB; turns at one server |
//! | `mqtt` | `mqtt.rs` | when it comes | [`mqtt::QUEUE`]; names of nobody's are counted |
//! | `group` | none: a signal, which `power/task.rs` shares out | when the signal was | the signal's |
//! | `none` | | never | |
//!
//! A number that no machine draws is refused where it comes in (`amount.rs`).

pub mod amount;
mod exec;
mod http_json;
mod mqtt;

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use jiff::Timestamp;

pub use self::mqtt::{Counts, MAX_TOLD, Pushed, QUEUE};
use super::{
    Target,
    actuator::{Actuator, BuildError, Call, Drawn, DriverError},
};
use crate::{
    config::{ActuatorKind, PowerGroup, WattsSource},
    profit::Watts,
};

/// What tells the watts of a group's machines.
pub enum Meter {
    /// It is asked for each machine.
    Asked(Arc<dyn Ask>),
    /// It says so by itself, for whichever machine.
    Pushed(Pushed),
    /// One meter does, for all of them: this signal.
    Group(Arc<str>),
    /// Nothing does: each machine counts at its bound, and its sleep is never proven.
    None,
}

/// A meter that is asked.
pub trait Ask: Send + Sync {
    /// What a machine draws now. The reading's time is when this was called: what it says can't be older.
    fn ask<'a>(&'a self, device: &'a Target) -> Call<'a, Drawn>;

    /// When the certificate ends that was shown to it in TLS, of several the first; `None` without TLS, or where none was seen yet.
    fn certificate_ends(&self) -> Option<Timestamp> {
        None
    }
}

/// What a meter said by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// Of whom.
    pub who: Who,
    /// When it came.
    pub taken_at: Timestamp,
    /// What it draws, or why that was not understood.
    pub watts: Result<Watts, DriverError>,
}

/// How a meter names a machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// By its name, as in logs.
    Device(Arc<str>),
    /// By the user name that it mines with.
    Worker(Arc<str>),
    /// By its address.
    Ip(IpAddr),
    /// By what can't be a name or an address of any.
    Unknown(Arc<str>),
}

/// Machines by what meters call them. Two that are called the same are not found by it: nobody knows which is meant.
#[derive(Debug, Clone)]
pub struct Roll<K>(HashMap<Who, Option<K>>);

impl<K: Copy + PartialEq> Roll<K> {
    /// Of these machines.
    pub fn of<'t>(targets: impl IntoIterator<Item = (&'t Target, K)>) -> Self {
        let mut roll: HashMap<Who, Option<K>> = HashMap::new();
        for (target, key) in targets {
            let names = [
                Some(Who::Device(target.name.clone())),
                target.worker.clone().map(Who::Worker),
                target.address.map(|address| Who::Ip(address.to_canonical())),
            ];
            for who in names.into_iter().flatten() {
                roll.entry(who).and_modify(|known| *known = known.filter(|known| *known == key)).or_insert(Some(key));
            }
        }
        Self(roll)
    }

    /// The machine that is meant.
    pub fn find(&self, who: &Who) -> Option<K> {
        self.0.get(who).copied().flatten()
    }
}

/// The meter of a group. Within a runtime, as what listens is started here; reads the system's
/// root certificates from disk, where the config has TLS.
///
/// # Errors
/// [`BuildError`]: a driver that can't read, or no root certificates.
pub fn build(group: &PowerGroup, actuator: Arc<dyn Actuator>) -> Result<Meter, BuildError> {
    Ok(match &group.watts {
        WattsSource::Driver => match group.actuator {
            ActuatorKind::Exec { .. } | ActuatorKind::Webhook { .. } | ActuatorKind::Manual => {
                return Err(BuildError::NoWatts);
            }
            ActuatorKind::Firmware(ref firmware) if !firmware.make.tells_watts() => return Err(BuildError::NoWatts),
            ActuatorKind::Simulated { .. }
            | ActuatorKind::Firmware(_)
            | ActuatorKind::AsicRs(_)
            | ActuatorKind::Custom(_) => Meter::Asked(Arc::new(Driver(actuator))),
        },
        WattsSource::Exec { command, unit, timeout } => {
            Meter::Asked(Arc::new(exec::Exec::new(command, *unit, *timeout)?))
        }
        WattsSource::HttpJson { call, pointer, unit, timeout } => {
            Meter::Asked(Arc::new(http_json::HttpJson::new(call, pointer, *unit, *timeout)?))
        }
        WattsSource::Mqtt { brokers, topic, pointer, unit, login, trust } => {
            let amount = amount::Amount::at(pointer.as_deref(), *unit);
            Meter::Pushed(Pushed::listen(brokers, topic, amount, login.as_ref(), trust)?)
        }
        WattsSource::Group { signal } => Meter::Group(signal.clone()),
        WattsSource::None => Meter::None,
    })
}

/// The meter of an AI block: one number for all of it.
///
/// # Errors
/// [`BuildError`]: no root certificates, or a kind that is of ASICs. (The config was checked for it.)
pub fn of_block(source: &WattsSource) -> Result<Arc<dyn Ask>, BuildError> {
    Ok(match source {
        WattsSource::Exec { command, unit, timeout } => Arc::new(exec::Exec::new(command, *unit, *timeout)?.of_block()),
        WattsSource::HttpJson { call, pointer, unit, timeout } => {
            Arc::new(http_json::HttpJson::new(call, pointer, *unit, *timeout)?.of_block())
        }
        WattsSource::Driver | WattsSource::Mqtt { .. } | WattsSource::Group { .. } | WattsSource::None => {
            return Err(BuildError::NoWatts);
        }
    })
}

/// The actuator's own reading.
struct Driver(Arc<dyn Actuator>);

impl Ask for Driver {
    fn ask<'a>(&'a self, device: &'a Target) -> Call<'a, Drawn> {
        self.0
            .read(device)
            .unwrap_or_else(|| Box::pin(async { Err(DriverError::Refused("its driver can't read watts".to_owned())) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_found_by_each_of_its_names_and_never_by_one_that_two_have() {
        let target = |name: &str, address: &str, worker: &str| Target {
            name: name.into(),
            address: address.parse().ok(),
            worker: Some(worker.into()),
        };
        let targets =
            [target("a", "10.0.0.1", "farm.a"), target("b", "::ffff:10.0.0.2", "farm"), target("c", "", "farm")];
        let roll = Roll::of(targets.iter().zip(0..));
        assert_eq!(roll.find(&Who::Device("a".into())), Some(0));
        assert_eq!(roll.find(&Who::Worker("farm.a".into())), Some(0));
        assert_eq!(roll.find(&Who::Ip("10.0.0.2".parse().unwrap())), Some(1));
        assert_eq!(roll.find(&Who::Worker("farm".into())), None, "it is two");
        assert_eq!(roll.find(&Who::Device("farm.a".into())), None);
    }
}
