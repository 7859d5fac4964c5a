//! What is known of power cuts while machines run: their own versions may say more than their make does.
//!
//! Knows what the config says and what drivers say of single machines; what follows is the site's. It is looked at once a minute.
//!
//! | the config says | drivers say | then |
//! |---|---|---|
//! | `yes` or `no` | anything | the config's word; a `yes` that a version contradicts is told, once |
//! | nothing, or `unknown` | `yes` of every machine of the group | its power may be lent to whom does not shed fast |
//! | nothing, or `unknown` | anything else of one of them | it may not |

use jiff::Timestamp;
use tracing::{info, warn};

use super::Keeper;
use crate::{
    config::Survives,
    power::{Target, actuator::Actuator, site::Input},
};

/// By the index of the group.
#[derive(Debug)]
pub(super) struct Cuts {
    survives: Vec<bool>,
    is_warned: Vec<bool>,
}

impl Cuts {
    /// As the site begins.
    pub fn new(survives: Vec<bool>) -> Self {
        Self { is_warned: vec![false; survives.len()], survives }
    }
}

/// Whether each of them sleeps on; a group without machines says nothing.
fn all_survive<'a>(actuator: &dyn Actuator, devices: impl Iterator<Item = &'a Target>) -> bool {
    let mut said = devices.map(|device| actuator.sleep_survives_power_cycle_of(device)).peekable();
    said.peek().is_some() && said.all(|said| said == Survives::Yes)
}

impl Keeper {
    /// Asks drivers what they have learned, and tells the site.
    pub(super) fn look_at_power_cuts(&mut self, now: Timestamp) {
        let Some(power) = self.config.power.clone() else { return };
        for (group, moved) in power.groups.iter().enumerate() {
            let (Some(moved), Some(Some(actuator))) = (moved, self.machines.actuators.get(group)) else { continue };
            let name = &self.names[group];
            if moved.sleep_survives_power_cycle != Survives::Unknown {
                let wakes = |device: &&Target| actuator.sleep_survives_power_cycle_of(device) == Survives::No;
                let says_yes = moved.sleep_survives_power_cycle == Survives::Yes;
                if let Some(device) = self.devices.of(group).map(|(device, _)| device).find(wakes).filter(|_| says_yes)
                    && !std::mem::replace(&mut self.cuts.is_warned[group], true)
                {
                    warn!(
                        "group {name:?}: the config says that a power cut leaves its machines asleep, and the firmware of device {:?} is \
                         documented to wake by one: update it, or take sleep_survives_power_cycle = \"yes\" back",
                        device.name
                    );
                }
                continue;
            }
            let survives = all_survive(actuator.as_ref(), self.devices.of(group).map(|(device, _)| device));
            if std::mem::replace(&mut self.cuts.survives[group], survives) != survives {
                let what = if survives { "leaves" } else { "may not leave" };
                info!("group {name:?}: by the versions of their firmware a power cut {what} its machines asleep");
                self.site.handle(now, Input::Survives(group, survives));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::power::{
        actuator::{Call, Drawn},
        device::PowerMode,
    };

    /// Firmware that is what its machine's name says.
    struct Named;

    impl Actuator for Named {
        fn sleep<'a>(&'a self, _: &'a Target) -> Call<'a, ()> {
            Box::pin(async { Ok(()) })
        }

        fn wake<'a>(&'a self, _: &'a Target, _: Option<&'a PowerMode>) -> Call<'a, ()> {
            Box::pin(async { Ok(()) })
        }

        fn read<'a>(&'a self, _: &'a Target) -> Option<Call<'a, Drawn>> {
            None
        }

        fn sleep_survives_power_cycle_of(&self, device: &Target) -> Survives {
            match &*device.name {
                "new" => Survives::Yes,
                "old" => Survives::No,
                _ => Survives::Unknown,
            }
        }
    }

    #[test]
    fn a_group_sleeps_through_a_cut_only_if_each_of_its_machines_does() {
        for (names, survives) in [
            (&[][..], false),
            (&["new"][..], true),
            (&["new", "new"][..], true),
            (&["new", "old"][..], false),
            (&["new", "nobody asked it yet"][..], false),
        ] {
            let devices: Vec<Target> =
                names.iter().map(|name| Target { name: (*name).into(), address: None, worker: None }).collect();
            assert_eq!(all_survive(&Named, devices.iter()), survives, "{names:?}");
        }
    }
}
