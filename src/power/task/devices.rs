//! Which machines there are, and which connections are theirs: those that the config names, and those that are found by their connections.
//!
//! Knows names, addresses and users; knows no watts and no phase. A device's key is its group and its place in it, both for as long as the
//! process lives; what was found goes into the journal before it has a key.
//!
//! | a connection's | is a device's if |
//! |---|---|
//! | user | a device has this worker |
//! | address | a device of the config has this address, or one was found by it |
//! | user of a device that is connected from another address | nobody's: it counts as load, and that is told |
//! | user and address | they fit the `subnets` and `workers` of a group, the first in config order: a device is found |
//!
//! Limit: [`MAX_DEVICES`] on the site; what comes after that is no device, counts as load by the meter, and is told once.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use tracing::warn;

use crate::{
    config::{DeviceEntry, MAX_DEVICES, Miners, PowerGroup},
    power::{Target, journal::Found, site::DeviceKey},
};

/// All devices of a site.
#[derive(Debug)]
pub(super) struct Devices {
    groups: Vec<GroupDevices>,
    by_name: HashMap<Arc<str>, DeviceKey>,
    by_worker: HashMap<Arc<str>, DeviceKey>,
    by_address: HashMap<IpAddr, DeviceKey>,
    most: usize,
    is_full: bool,
}

#[derive(Debug)]
struct GroupDevices {
    name: Arc<str>,
    /// Which connections are its; `None` for a group that nothing can move.
    miners: Option<Miners>,
    devices: Vec<Device>,
}

#[derive(Debug)]
struct Device {
    target: Target,
    /// Its address is the config's, and not where it was seen.
    is_fixed: bool,
    /// It was found by its connection, and is in the journal.
    is_found: bool,
}

/// What a connection turned out to be.
#[derive(Debug, PartialEq)]
pub(super) enum Seen {
    /// Nobody's; it may be somebody's later.
    Nobody,
    /// A device's.
    Known(DeviceKey),
    /// A device's whose address is another than before; to be kept.
    Moved(DeviceKey, Found),
    /// Somebody else's who mines with the user name of this device, which is still connected from its own address: nobody's.
    Rival(DeviceKey),
    /// A new device's, of this group; to be kept, and then to [`Devices::add`].
    New(usize, Found),
}

impl Devices {
    /// Those of the config.
    pub fn new(groups: &[(Arc<str>, Option<&PowerGroup>)]) -> Self {
        let mut devices = Self {
            groups: Vec::with_capacity(groups.len()),
            by_name: HashMap::new(),
            by_worker: HashMap::new(),
            by_address: HashMap::new(),
            most: MAX_DEVICES,
            is_full: false,
        };
        for (name, group) in groups {
            let miners = group.map(|group| group.miners.clone());
            devices.groups.push(GroupDevices { name: name.clone(), miners, devices: Vec::new() });
        }
        for (index, (_, group)) in groups.iter().enumerate() {
            for entry in group.iter().flat_map(|group| &group.devices) {
                devices.add_named(index, entry);
            }
        }
        devices
    }

    fn add_named(&mut self, group: usize, entry: &DeviceEntry) {
        let address = entry.address.map(|address| address.to_canonical());
        let target = Target { name: entry.name.clone(), address, worker: entry.worker.clone() };
        let key = self.push(group, Device { is_fixed: address.is_some(), is_found: false, target });
        if let Some(address) = address {
            self.by_address.entry(address).or_insert(key);
        }
    }

    fn push(&mut self, group: usize, device: Device) -> DeviceKey {
        let devices = &mut self.groups[group].devices;
        let key = DeviceKey { group, device: devices.len() };
        self.by_name.insert(device.target.name.clone(), key);
        if let Some(worker) = &device.target.worker {
            self.by_worker.entry(worker.clone()).or_insert(key);
        }
        devices.push(device);
        key
    }

    /// Takes a device over that was found. `None` if there is one of its name, or by which it would be known, or no more may be: then its
    /// key is the other's, or it has none.
    pub fn add(&mut self, group: usize, found: &Found) -> Option<DeviceKey> {
        let is_known = self.by_name.contains_key(&found.name)
            || found.worker.as_ref().is_some_and(|worker| self.by_worker.contains_key(worker));
        if is_known || self.by_name.len() >= self.most || self.groups.get(group)?.miners.is_none() {
            return None;
        }
        let target = Target { name: found.name.clone(), address: found.address, worker: found.worker.clone() };
        let key = self.push(group, Device { target, is_fixed: false, is_found: true });
        // One that is named by its worker may share its address with others.
        if let Some(address) = found.address.filter(|address| *address.to_string() == *found.name) {
            self.by_address.entry(address).or_insert(key);
        }
        Some(key)
    }

    /// Takes over what the journal kept. A device of a group that is gone, or that the config names now, is none.
    pub fn restore(&mut self, found: &[Found]) {
        for device in found {
            let group = self.groups.iter().position(|group| group.name == device.group && group.miners.is_some());
            // A group of another name may have its miners now.
            let group = group.or_else(|| self.would_find(device));
            match group {
                Some(group) => drop(self.add(group, device)),
                None => warn!(
                    "device {:?} was of group {:?}, which is not in the config any more, or has no actuator, and fits no other: it is left as \
                     it is",
                    device.name, device.group
                ),
            }
        }
    }

    /// Whose a connection is. `is_live`: whether a device has another connection from an address.
    pub fn see(&mut self, peer: IpAddr, user: Option<&Arc<str>>, is_live: impl Fn(DeviceKey, IpAddr) -> bool) -> Seen {
        let peer = peer.to_canonical();
        let by_worker = user.and_then(|user| self.by_worker.get(user));
        if let Some(key) = by_worker.or_else(|| self.by_address.get(&peer)).copied() {
            return self.seen_at(key, peer, is_live);
        }
        // Before it has said who it is, it could be taken for a device of the wrong group.
        let Some(user) = user else { return Seen::Nobody };
        let Some(index) = self.group_of(peer, user) else { return Seen::Nobody };
        if self.by_name.len() >= self.most {
            if !std::mem::replace(&mut self.is_full, true) {
                warn!(
                    "there are {} devices, more can't be moved: {user:?} from {peer} and all that come after it count as load",
                    self.most
                );
            }
            return Seen::Nobody;
        }
        let group = &self.groups[index];
        let is_by_worker = group.miners.as_ref().is_some_and(|miners| miners.workers.is_some());
        let name: Arc<str> = if is_by_worker { user.clone() } else { peer.to_string().into() };
        if self.by_name.contains_key(&name) {
            return Seen::Nobody;
        }
        let found = Found {
            group: group.name.clone(),
            name,
            address: Some(peer),
            // One that is known by its address may mine with a user that others have as well.
            worker: is_by_worker.then(|| user.clone()),
        };
        Seen::New(index, found)
    }

    /// The first group that they fit.
    fn group_of(&self, peer: IpAddr, user: &str) -> Option<usize> {
        let fits = |group: &GroupDevices| group.miners.as_ref().is_some_and(|miners| miners.take(peer, user));
        self.groups.iter().position(fits)
    }

    /// The group that would find a device as it was found.
    fn would_find(&self, found: &Found) -> Option<usize> {
        let address = found.address?;
        let group = self.group_of(address, found.worker.as_deref().unwrap_or_default())?;
        let is_by_worker = self.groups[group].miners.as_ref().is_some_and(|miners| miners.workers.is_some());
        let is_as_found = if is_by_worker { found.worker.is_some() } else { address.to_string() == *found.name };
        is_as_found.then_some(group)
    }

    fn seen_at(&mut self, key: DeviceKey, peer: IpAddr, is_live: impl Fn(DeviceKey, IpAddr) -> bool) -> Seen {
        let group = &mut self.groups[key.group];
        let device = &mut group.devices[key.device];
        if device.is_fixed || device.target.address == Some(peer) {
            return Seen::Known(key);
        }
        // Who is told to sleep at one address must be woken there, and not where another of its name came from since.
        if device.target.address.is_some_and(|address| is_live(key, address)) {
            return Seen::Rival(key);
        }
        device.target.address = Some(peer);
        if !device.is_found {
            return Seen::Known(key);
        }
        let Target { name, worker, .. } = device.target.clone();
        Seen::Moved(key, Found { group: group.name.clone(), name, address: Some(peer), worker })
    }

    /// Where a device is.
    pub fn target(&self, key: DeviceKey) -> Option<&Target> {
        Some(&self.groups.get(key.group)?.devices.get(key.device)?.target)
    }

    /// The devices of a group, in their order.
    pub fn of(&self, group: usize) -> impl Iterator<Item = &Target> {
        self.groups.get(group).into_iter().flat_map(|group| &group.devices).map(|device| &device.target)
    }

    /// All of them.
    pub fn keys(&self) -> impl Iterator<Item = DeviceKey> {
        let count = |(group, devices): (usize, &GroupDevices)| {
            (0..devices.devices.len()).map(move |device| DeviceKey { group, device })
        };
        self.groups.iter().enumerate().flat_map(count)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }
}

#[cfg(test)]
mod tests;
