//! Which machines there are, and which connections are theirs: those that the config names, and those that are found by their connections.
//!
//! Knows names, addresses and users; knows no watts and no phase. A device's key is its group and its place in it, both for as long as the
//! process lives, forgotten or not; what was found goes into the journal before it has a key.
//!
//! | a connection's | is a device's if |
//! |---|---|
//! | user | a device has this worker: the one that was last at this address, else one that is not where it was |
//! | address | a device of the config has this address, or one was found by it |
//! | user of a device that is where it was | nobody's, and that is told; after [`RIVAL_FOR`] it is a namesake, `user@address`, if its group can tell the two apart |
//! | user and address | they fit the `subnets` and `workers` of a group, the first in config order: a device is found, |
//! | | or one that was found by its address and is not there any more has moved here, if none but it ever mined with this user |
//!
//! Whether a device is where it was is the caller's to know. Limits: [`MAX_DEVICES`] on the site; what comes after that is no device, counts as
//! load by the meter, and is told once. [`MAX_PLACES`] with those that were forgotten.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tracing::warn;

use crate::{
    config::{DeviceEntry, MAX_DEVICES, Miners, PowerGroup},
    power::{
        Target,
        journal::{Found, Sighting},
        site::DeviceKey,
    },
};

/// Places that devices had in one life of the process: a place is not given to another, as an answer to the first may still come.
const MAX_PLACES: usize = 4 * MAX_DEVICES;

/// How long two live connections from two addresses have one user name until they are two machines: longer than a connection that is
/// broken passes for one that lives (`limits.unacked_timeout`).
pub(super) const RIVAL_FOR: Duration = Duration::from_secs(600);

/// All devices of a site.
#[derive(Debug)]
pub(super) struct Devices {
    groups: Vec<GroupDevices>,
    by_name: HashMap<Arc<str>, DeviceKey>,
    /// More than one where machines mine with one name.
    by_worker: HashMap<Arc<str>, Vec<DeviceKey>>,
    by_address: HashMap<IpAddr, DeviceKey>,
    /// Of those that were found by their address: with which user each mined last.
    by_user: HashMap<Arc<str>, HashSet<DeviceKey>>,
    places: usize,
    most: usize,
    is_full: bool,
}

#[derive(Debug)]
struct GroupDevices {
    name: Arc<str>,
    /// Which connections are its; `None` for a group that nothing can move.
    miners: Option<Miners>,
    /// Machines with one user name are moved and measured each for itself.
    has_namesakes: bool,
    devices: Vec<Device>,
}

#[derive(Debug)]
struct Device {
    target: Target,
    /// Its address is the config's, and not where it was seen.
    is_fixed: bool,
    /// It was found by its connection, and is in the journal.
    is_found: bool,
    /// With which user it mined last, if it was found by its address.
    user: Option<Arc<str>>,
    /// When it was there last, if ever.
    seen: Option<Timestamp>,
    is_gone: bool,
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
    /// Somebody else's who mines with the user name of this device, which is where it was: nobody's.
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
            by_user: HashMap::new(),
            places: 0,
            most: MAX_DEVICES,
            is_full: false,
        };
        for (name, group) in groups {
            let miners = group.map(|group| group.miners.clone());
            let has_namesakes = group.is_some_and(PowerGroup::tells_namesakes_apart);
            devices.groups.push(GroupDevices { name: name.clone(), miners, has_namesakes, devices: Vec::new() });
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
        let key = self.push(group, target, false);
        if let Some(address) = address {
            self.groups[group].devices[key.device].is_fixed = true;
            self.by_address.entry(address).or_insert(key);
        }
    }

    fn push(&mut self, group: usize, target: Target, is_found: bool) -> DeviceKey {
        let devices = &mut self.groups[group].devices;
        let key = DeviceKey { group, device: devices.len() };
        self.by_name.insert(target.name.clone(), key);
        if let Some(worker) = &target.worker {
            self.by_worker.entry(worker.clone()).or_default().push(key);
        }
        self.places += 1;
        devices.push(Device { target, is_fixed: false, is_found, user: None, seen: None, is_gone: false });
        key
    }

    /// Takes a device over that was found. `None` if there is one of its name, or by which it would be known, or no more may be: then its
    /// key is the other's, or it has none.
    pub fn add(&mut self, group: usize, found: &Found) -> Option<DeviceKey> {
        let has_namesake = |worker: &Arc<str>| self.by_worker.contains_key(worker);
        let is_known = self.by_name.contains_key(&found.name)
            || !is_namesake(found) && found.worker.as_ref().is_some_and(has_namesake);
        let is_full = self.by_name.len() >= self.most || self.places >= MAX_PLACES;
        if is_known || is_full || self.groups.get(group)?.miners.is_none() {
            return None;
        }
        let target = Target { name: found.name.clone(), address: found.address, worker: found.worker.clone() };
        let key = self.push(group, target, true);
        // One that is known by its worker may share its address with others.
        if let Some(address) = found.address.filter(|_| found.worker.is_none()) {
            self.by_address.entry(address).or_insert(key);
        }
        Some(key)
    }

    /// Takes over what the journal kept, with when each was seen; one of which that is not known counts as seen `now`. A device of a group
    /// that is gone, or that the config names now, is none.
    pub fn restore(&mut self, found: &[Found], sightings: &[Sighting], now: Timestamp) {
        for device in found {
            let group = self.groups.iter().position(|group| group.name == device.group && group.miners.is_some());
            // A group of another name may have its miners now.
            let group = group.or_else(|| self.would_find(device));
            match group {
                Some(group) => {
                    if let Some(key) = self.add(group, device) {
                        self.note(key, now);
                    }
                }
                None => warn!(
                    "device {:?} was of group {:?}, which is not in the config any more, or has no actuator, and fits no other: it is left as \
                     it is",
                    device.name, device.group
                ),
            }
        }
        for sighting in sightings {
            let Some(key) = self.by_name.get(&sighting.name).copied() else { continue };
            let device = &mut self.groups[key.group].devices[key.device];
            if device.is_found {
                device.seen = Some(sighting.at);
                if let Some(user) = &sighting.user {
                    self.mines_as(key, user);
                }
            }
        }
    }

    /// Whose a connection is. `is_there`: whether a device is still where it was last, at this address.
    pub fn see(&mut self, peer: IpAddr, user: Option<&Arc<str>>, is_there: impl Fn(DeviceKey, IpAddr) -> bool) -> Seen {
        let peer = peer.to_canonical();
        let namesakes = user.and_then(|user| self.by_worker.get(user));
        if let Some(keys) = namesakes.filter(|keys| !keys.is_empty()) {
            return self.see_named(keys.clone(), peer, is_there);
        }
        if let Some(key) = self.by_address.get(&peer).copied() {
            if let Some(user) = user {
                self.mines_as(key, user);
            }
            return Seen::Known(key);
        }
        // Before it has said who it is, it could be taken for a device of the wrong group.
        let Some(user) = user else { return Seen::Nobody };
        let Some(index) = self.group_of(peer, user) else { return Seen::Nobody };
        let group = &self.groups[index];
        let is_by_worker = group.miners.as_ref().is_some_and(|miners| miners.workers.is_some());
        if !is_by_worker && let Some(key) = self.came_from(index, user, is_there) {
            return self.moves(key, peer);
        }
        let name: Arc<str> = if is_by_worker { user.clone() } else { self.free_name(peer) };
        // One that is known by its address may mine with a user that others have as well.
        self.found(index, name, peer, is_by_worker.then(|| user.clone()))
    }

    /// Of those with this worker: who was here, else who is nowhere else, else nobody.
    fn see_named(&mut self, keys: Vec<DeviceKey>, peer: IpAddr, is_there: impl Fn(DeviceKey, IpAddr) -> bool) -> Seen {
        let device = |key: &DeviceKey| &self.groups[key.group].devices[key.device];
        let is_here = |key: &&DeviceKey| device(key).is_fixed || device(key).target.address == Some(peer);
        if let Some(key) = keys.iter().find(is_here) {
            return Seen::Known(*key);
        }
        // Who is told to sleep at one address must be woken there, and not where another of its name came from since.
        let is_free = |key: &&DeviceKey| device(key).target.address.is_none_or(|address| !is_there(**key, address));
        match keys.iter().find(is_free).copied() {
            Some(key) => self.moves(key, peer),
            None => Seen::Rival(keys[0]),
        }
    }

    /// The device that was found by its address, is not there any more, and alone mined with this user.
    fn came_from(
        &self,
        group: usize,
        user: &Arc<str>,
        is_there: impl Fn(DeviceKey, IpAddr) -> bool,
    ) -> Option<DeviceKey> {
        let keys = self.by_user.get(user).filter(|keys| keys.len() == 1)?;
        let key = keys.iter().next().copied().filter(|key| key.group == group)?;
        let address = self.target(key)?.address?;
        (!is_there(key, address)).then_some(key)
    }

    fn moves(&mut self, key: DeviceKey, peer: IpAddr) -> Seen {
        let group = &mut self.groups[key.group];
        let device = &mut group.devices[key.device];
        let before = device.target.address.replace(peer);
        if !device.is_found {
            return Seen::Known(key);
        }
        let Target { name, worker, .. } = device.target.clone();
        if worker.is_none() {
            if let Some(before) = before.filter(|before| self.by_address.get(before) == Some(&key)) {
                self.by_address.remove(&before);
            }
            self.by_address.insert(peer, key);
        }
        Seen::Moved(key, Found { group: group.name.clone(), name, address: Some(peer), worker })
    }

    /// What somebody is who mines with the user of a device that is elsewhere, and has done so for long: a machine of its own, if its group
    /// takes such users for its miners and can tell the two apart.
    pub fn namesake(&mut self, of: DeviceKey, peer: IpAddr) -> Seen {
        let peer = peer.to_canonical();
        let Some(user) = self.target(of).and_then(|target| target.worker.clone()) else { return Seen::Nobody };
        let index = of.group;
        if !self.groups[index].has_namesakes || self.group_of(peer, &user) != Some(index) {
            return Seen::Nobody;
        }
        let name = format!("{user}@{peer}").into();
        self.found(index, name, peer, Some(user))
    }

    fn found(&mut self, index: usize, name: Arc<str>, peer: IpAddr, worker: Option<Arc<str>>) -> Seen {
        if self.by_name.len() >= self.most || self.places >= MAX_PLACES {
            if !std::mem::replace(&mut self.is_full, true) {
                warn!(
                    "there are {} devices, more can't be moved: {name:?} from {peer} and all that come after it count as load",
                    self.by_name.len()
                );
            }
            return Seen::Nobody;
        }
        if self.by_name.contains_key(&name) {
            return Seen::Nobody;
        }
        Seen::New(index, Found { group: self.groups[index].name.clone(), name, address: Some(peer), worker })
    }

    /// A name for who is found by its address: one that moved away keeps the name that it was found by.
    fn free_name(&self, peer: IpAddr) -> Arc<str> {
        let first = peer.to_string();
        if !self.by_name.contains_key(&*first) {
            return first.into();
        }
        let others = (2..).map(|number| format!("{first}#{number}"));
        others.into_iter().find(|name| !self.by_name.contains_key(&**name)).unwrap_or(first).into()
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
        let named = found.name.split('#').next().and_then(|name| name.parse::<IpAddr>().ok());
        let is_as_found = if is_by_worker { found.worker.is_some() } else { found.worker.is_none() && named.is_some() };
        is_as_found.then_some(group)
    }

    /// One that was found by its address mines with this user.
    fn mines_as(&mut self, key: DeviceKey, user: &Arc<str>) {
        let device = &mut self.groups[key.group].devices[key.device];
        if !device.is_found || device.target.worker.is_some() || device.user.as_ref() == Some(user) {
            return;
        }
        if let Some(before) = device.user.replace(user.clone()) {
            self.mines_no_more_as(key, &before);
        }
        self.by_user.entry(user.clone()).or_default().insert(key);
    }

    fn mines_no_more_as(&mut self, key: DeviceKey, user: &Arc<str>) {
        if let Some(keys) = self.by_user.get_mut(user) {
            keys.remove(&key);
            if keys.is_empty() {
                self.by_user.remove(user);
            }
        }
    }

    /// Whether a second machine with the user name of this one may be a device, too.
    pub fn tells_namesakes_apart(&self, key: DeviceKey) -> bool {
        let group = self.groups.get(key.group);
        group.is_some_and(|group| group.has_namesakes && group.miners.as_ref().is_some_and(|it| it.workers.is_some()))
    }

    /// It was there then.
    pub fn note(&mut self, key: DeviceKey, at: Timestamp) {
        let device = self.groups.get_mut(key.group).and_then(|group| group.devices.get_mut(key.device));
        if let Some(device) = device {
            device.seen = device.seen.max(Some(at));
        }
    }

    /// When it was there last; `None` if never.
    pub fn seen(&self, key: DeviceKey) -> Option<Timestamp> {
        self.device(key)?.seen
    }

    /// Whether it was found by its connection, and the config does not name it.
    pub fn is_found(&self, key: DeviceKey) -> bool {
        self.device(key).is_some_and(|device| device.is_found)
    }

    /// What the journal is to know of those that were found.
    pub fn sightings(&self) -> Vec<Sighting> {
        let found = self.keys().filter_map(|key| self.device(key)).filter(|device| device.is_found);
        let sighting = |device: &Device| {
            Some(Sighting { name: device.target.name.clone(), at: device.seen?, user: device.user.clone() })
        };
        found.filter_map(sighting).collect()
    }

    /// Forgets one; its place stays empty.
    pub fn forget(&mut self, key: DeviceKey) {
        let device = self.groups.get_mut(key.group).and_then(|group| group.devices.get_mut(key.device));
        let Some(device) = device.filter(|device| !device.is_gone) else { return };
        device.is_gone = true;
        let (target, user) = (device.target.clone(), device.user.clone());
        self.by_name.remove(&target.name);
        if let Some(worker) = &target.worker
            && let Some(keys) = self.by_worker.get_mut(worker)
        {
            keys.retain(|other| *other != key);
            if keys.is_empty() {
                self.by_worker.remove(worker);
            }
        }
        if let Some(address) = target.address.filter(|address| self.by_address.get(address) == Some(&key)) {
            self.by_address.remove(&address);
        }
        if let Some(user) = user {
            self.mines_no_more_as(key, &user);
        }
        self.is_full = false;
    }

    fn device(&self, key: DeviceKey) -> Option<&Device> {
        self.groups.get(key.group)?.devices.get(key.device).filter(|device| !device.is_gone)
    }

    /// Where a device is.
    pub fn target(&self, key: DeviceKey) -> Option<&Target> {
        self.device(key).map(|device| &device.target)
    }

    /// The devices of a group, in their order.
    pub fn of(&self, group: usize) -> impl Iterator<Item = (&Target, DeviceKey)> {
        let devices = self.groups.get(group).into_iter().flat_map(|group| &group.devices).enumerate();
        let there = devices.filter(|(_, device)| !device.is_gone);
        there.map(move |(index, device)| (&device.target, DeviceKey { group, device: index }))
    }

    /// All of them.
    pub fn keys(&self) -> impl Iterator<Item = DeviceKey> {
        (0..self.groups.len()).flat_map(|group| self.of(group).map(|(_, key)| key))
    }

    /// One by its name.
    pub fn find(&self, name: &str) -> Option<DeviceKey> {
        self.by_name.get(name).copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }
}

/// Whether it was found beside another with its user name.
fn is_namesake(found: &Found) -> bool {
    let of = |worker: &Arc<str>| found.name.strip_prefix(&**worker).is_some_and(|rest| rest.starts_with('@'));
    found.worker.as_ref().is_some_and(of)
}

#[cfg(test)]
mod tests;
