//! By what a group's machines are told apart: where the same user name is two machines', and whether an address still answers.

use super::{ActuatorKind, HttpCall, Place, PowerGroup, WattsSource, template::names_by};

/// What two machines with one user name have each for itself.
const OWN: [Place; 2] = [Place::Ip, Place::Device];

impl PowerGroup {
    /// Whether machines with one user name are moved and measured each for itself.
    pub fn tells_namesakes_apart(&self) -> bool {
        let moves = match &self.actuator {
            ActuatorKind::Exec { sleep, wake, .. } => is_in(sleep, &OWN) && is_in(wake, &OWN),
            ActuatorKind::Webhook { sleep, wake, .. } => is_in_call(sleep, &OWN) && is_in_call(wake, &OWN),
            ActuatorKind::Firmware(_) | ActuatorKind::AsicRs(_) | ActuatorKind::Manual | ActuatorKind::Custom(_) => {
                true
            }
            // It knows its machines by their user names.
            ActuatorKind::Simulated { .. } => false,
        };
        let measures = match &self.watts {
            WattsSource::Exec { command, .. } => is_in(command, &OWN),
            WattsSource::HttpJson { call, .. } => is_in_call(call, &OWN),
            WattsSource::Mqtt { topic, .. } => names_by(topic, &OWN),
            WattsSource::Driver | WattsSource::Group { .. } | WattsSource::None => true,
        };
        moves && measures
    }

    /// Whether machines are measured at their addresses, so that one that answers is where it was.
    pub fn is_measured_at_address(&self) -> bool {
        match &self.watts {
            WattsSource::Driver => matches!(self.actuator, ActuatorKind::Firmware(_) | ActuatorKind::AsicRs(_)),
            WattsSource::Exec { command, .. } => is_in(command, &[Place::Ip]),
            WattsSource::HttpJson { call, .. } => is_in_call(call, &[Place::Ip]),
            WattsSource::Mqtt { .. } | WattsSource::Group { .. } | WattsSource::None => false,
        }
    }

    /// Whether each machine is measured alone.
    pub fn is_measured_alone(&self) -> bool {
        !matches!(self.watts, WattsSource::Group { .. } | WattsSource::None)
    }
}

fn is_in(command: &[String], places: &[Place]) -> bool {
    command.iter().any(|text| names_by(text, places))
}

fn is_in_call(call: &HttpCall, places: &[Place]) -> bool {
    names_by(&call.url, places) || call.body.as_deref().is_some_and(|body| names_by(body, places))
}
