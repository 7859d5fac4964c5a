//! Which power group a worker is of, and what it should hash: by the config, as `power/task/devices.rs` finds devices.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use crate::{
    config::{ActuatorKind, Config, Efficiency, Miners, PowerGroup, Rule},
    profit::{JoulesPerTerahash, Watts},
    work::Hashrate,
};

const TERA: f64 = 1e12;

/// Knows the groups of a config.
#[derive(Debug, Default)]
pub struct Placing {
    groups: Vec<Known>,
    by_worker: HashMap<Arc<str>, Placed>,
    by_address: HashMap<IpAddr, Placed>,
}

#[derive(Debug)]
struct Known {
    name: Arc<str>,
    miners: Miners,
    nameplate: Option<Hashrate>,
}

/// Where a worker is, and what it should hash.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Placed {
    /// Index into the config's groups.
    group: Option<u16>,
    /// Watts that are printed on it over its efficiency; `None` where one of them is not known.
    pub nameplate: Option<Hashrate>,
}

impl Placed {
    /// Whether it is of no group.
    pub fn is_unknown(self) -> bool {
        self.group.is_none()
    }
}

impl Placing {
    /// By the groups of a config.
    pub fn new(config: &Config) -> Self {
        let mut placing = Self::default();
        let Some(profit) = &config.profit else { return placing };
        for (index, group) in profit.groups.iter().enumerate() {
            let power = config.power.as_ref().and_then(|power| power.groups.get(index)?.as_ref());
            let efficiency = match &group.rule {
                Rule::Economics { efficiency: Efficiency::Fixed(efficiency), .. } => Some(*efficiency),
                _ => None,
            };
            let scale = power.map_or(TERA, hashes_per_terahash);
            let hashes = |watts, efficiency| hashes(watts, efficiency, scale);
            let of_group = power.and_then(|power| hashes(power.nameplate, efficiency));
            for device in power.iter().flat_map(|power| &power.devices) {
                let watts = device.nameplate.or(power.map(|power| power.nameplate));
                let own = watts.and_then(|watts| hashes(watts, device.efficiency.or(efficiency)));
                let placed = Placed { group: u16::try_from(index).ok(), nameplate: own };
                if let Some(worker) = &device.worker {
                    placing.by_worker.entry(worker.clone()).or_insert(placed);
                }
                if let Some(address) = device.address {
                    placing.by_address.entry(address.to_canonical()).or_insert(placed);
                }
            }
            let miners = power.map(|power| power.miners.clone()).unwrap_or_default();
            placing.groups.push(Known { name: group.name.clone(), miners, nameplate: of_group });
        }
        placing
    }

    /// Where a worker is that comes from there.
    pub fn place(&self, peer: IpAddr, worker: &str) -> Placed {
        if let Some(placed) = self.by_worker.get(worker).or_else(|| self.by_address.get(&peer)) {
            return *placed;
        }
        let found = self.groups.iter().enumerate().find(|(_, group)| group.miners.take(peer, worker));
        let placed =
            |(index, group): (usize, &Known)| Placed { group: u16::try_from(index).ok(), nameplate: group.nameplate };
        found.map(placed).unwrap_or_default()
    }

    /// The name of its group.
    pub fn group(&self, placed: Placed) -> Option<&Arc<str>> {
        Some(&self.groups.get(usize::from(placed.group?))?.name)
    }
}

/// A simulated machine computes some hashes for each terahash of the real one that it stands for.
fn hashes_per_terahash(group: &PowerGroup) -> f64 {
    match group.actuator {
        ActuatorKind::Simulated { hashes_per_terahash, .. } => hashes_per_terahash,
        _ => TERA,
    }
}

fn hashes(watts: Watts, efficiency: Option<JoulesPerTerahash>, per_terahash: f64) -> Option<Hashrate> {
    let joules = efficiency?.get();
    (joules > 0.0).then(|| Hashrate::from_hs(watts.get() / joules * per_terahash))
}
