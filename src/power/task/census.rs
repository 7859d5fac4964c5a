//! What the census of the miners says of devices: whose a connection is, what became of their shares, and what they hash.
//!
//! And when the next is due. Pure but for the devices that it finds. Shares of all connections of a device add up.
//!
//! Efficiency is watts over hashrate, both over the same [`WINDOW`] at least, of a device that does nothing but mine: work that our own
//! check credited, and the mean of its readings. A command, a reading of a sleeper or a gap in the readings begins the window anew; what was
//! measured last stays.
//!
//! Two machines with one user name: the one that was there first has it, the other is nobody's until both were there for [`RIVAL_FOR`].
//!
//! Limits: connections are as many as the workers let in; one that is gone is kept for [`AFTER_GONE`] for what pools say later.
//! [`MAX_RIVALS`] in the log.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    net::IpAddr,
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::warn;

use super::devices::{Devices, RIVAL_FOR, Seen};
use crate::{
    power::{
        device::{Shares, StageKind},
        group::Phase,
        journal::Found,
        site::{DeviceKey, SiteView},
    },
    profit::{JoulesPerTerahash, Watts},
    router::{Census, ConnectionId, MinerReport},
    work::HASHES_PER_DIFFICULTY,
};

/// What efficiency is measured over, at least: a hundred shares or more at the usual share rates, so within a tenth.
pub(super) const WINDOW: Duration = Duration::from_secs(600);

/// How long the pool's word on shares of a connection that is gone is waited for.
const AFTER_GONE: Duration = Duration::from_secs(600);

/// Devices of which it is told that others mine with their user name; a farm whose miners all have one name says it with these.
const MAX_RIVALS: usize = 20;

const TERA: f64 = 1e12;

/// How often miners are counted while something moves, and while nothing does.
pub(super) const CENSUS: Duration = Duration::from_secs(1);
const CENSUS_AT_REST: Duration = Duration::from_secs(10);

/// When miners are to be counted; never twice at once.
#[derive(Debug)]
pub(super) struct Due {
    /// Then, if none is under way.
    pub at: Instant,
    pub is_under_way: bool,
    /// Something moves, so they are counted more often.
    is_moving: bool,
}

impl Due {
    pub fn at_once(tick: Instant) -> Self {
        Self { at: tick, is_under_way: false, is_moving: false }
    }

    /// Something moves, or nothing does. When that begins they are counted at once: what was found until then was found before. A drain that
    /// ends before the next count would find no share under way as none was looked for, and its shares, counted when it sleeps, would look like
    /// those of a device that woke.
    pub fn looks(&mut self, tick: Instant, is_moving: bool) {
        if is_moving && !self.is_moving {
            self.at = tick;
        }
        self.is_moving = is_moving;
    }

    /// A count begins.
    pub fn begins(&mut self, tick: Instant) {
        self.is_under_way = true;
        self.at = tick + self.period();
    }

    /// They were counted, whoever asked for it. One that is due already may have been asked for since it began.
    pub fn counted(&mut self, tick: Instant) {
        self.is_under_way = false;
        if self.at > tick {
            self.at = self.at.max(tick + self.period());
        }
    }

    fn period(&self) -> Duration {
        if self.is_moving { CENSUS } else { CENSUS_AT_REST }
    }
}

/// Whether a group is on its way, or a device of one that rests: one that woke unasked is told again while its group sleeps.
pub(super) fn is_moving(view: &SiteView) -> bool {
    let open = [StageKind::Pending, StageKind::Dispatched, StageKind::Drifted].map(|stage| stage as usize);
    view.groups.iter().flatten().any(|group| {
        !matches!(group.phase, Phase::Mining | Phase::Asleep)
            || open.iter().any(|stage| group.sleeping[*stage] + group.waking[*stage] > 0)
    })
}

/// What is known of connections and of what their devices hash.
#[derive(Debug, Default)]
pub(super) struct Miners {
    connections: HashMap<ConnectionId, Connection>,
    /// Live connections of a device from an address.
    live: HashMap<(DeviceKey, IpAddr), u32>,
    /// Live connections from an address, whosever they are.
    from: HashMap<IpAddr, u32>,
    /// Devices of which a rival was told.
    rivals: HashSet<DeviceKey>,
    meters: HashMap<DeviceKey, Meter>,
    /// Connections that the workers know to sleep by the word of a power side before, until they are counted.
    inherited: HashSet<ConnectionId>,
}

#[derive(Debug)]
struct Connection {
    device: Option<DeviceKey>,
    /// Since when it has the user name of a device that is elsewhere.
    rival_since: Option<Timestamp>,
    /// Whether the workers know that its device sleeps.
    is_asleep: bool,
    /// Sent on before it was known whose they are, and not settled: what pools say first is about these.
    before: u64,
    gone_at: Option<Timestamp>,
}

/// The efficiency of one device.
#[derive(Debug, Default)]
struct Meter {
    since: Option<Timestamp>,
    /// Credited since, in hashes.
    hashes: f64,
    watts: f64,
    readings: u32,
    /// What was measured last: watts and hashes a second.
    last: Option<(Watts, f64)>,
}

/// What a census said.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By device.
    pub shares: HashMap<DeviceKey, Shares>,
    /// Devices that were found, with their groups.
    pub found: Vec<(usize, Found)>,
    /// Devices that are elsewhere now.
    pub moved: Vec<Found>,
}

impl Miners {
    /// Knows nobody yet, but that these are known to sleep.
    pub fn after(asleep: HashSet<ConnectionId>) -> Self {
        Self { inherited: asleep, ..Self::default() }
    }

    /// The connections that the workers know to sleep.
    pub fn asleep(&self) -> HashSet<ConnectionId> {
        let live =
            self.connections.iter().filter(|(_, connection)| connection.gone_at.is_none() && connection.is_asleep);
        live.map(|(id, _)| *id).chain(self.inherited.iter().copied()).collect()
    }

    /// Takes a census. Devices that it finds are in its answer, and their connections nobody's until the next one. `answers`: whether a
    /// device is measured at its address, and not known to be silent there.
    pub fn take(
        &mut self,
        now: Timestamp,
        census: &Census,
        devices: &mut Devices,
        answers: impl Fn(DeviceKey) -> bool,
    ) -> Told {
        let mut told = Told::default();
        let mut named = HashSet::new();
        for report in &census.miners {
            let Some(key) = self.whose(now, report, devices, &answers, &mut told, &mut named) else {
                if let Some(connection) = self.connections.get_mut(&report.connection) {
                    connection.before += report.forwarded;
                }
                continue;
            };
            let shares = told.shares.entry(key).or_default();
            shares.found += report.shares.found;
            shares.submitted += report.forwarded;
            if let Some(meter) = self.meters.get_mut(&key) {
                meter.hashes += report.shares.work * HASHES_PER_DIFFICULTY;
            }
        }
        for (connection, settled) in &census.settled {
            let Some(connection) = self.connections.get_mut(connection) else { continue };
            let mut of_device = |settled: u64| {
                let earlier = settled.min(connection.before);
                connection.before -= earlier;
                settled - earlier
            };
            let accepted = of_device(settled.accepted);
            let (rejected, lost) = (of_device(settled.rejected), of_device(settled.lost));
            let Some(key) = connection.device else { continue };
            let shares = told.shares.entry(key).or_default();
            shares.accepted += accepted;
            shares.rejected += rejected;
            shares.timed_out += lost;
        }
        let is_kept = |gone_at: Timestamp| now.duration_since(gone_at).unsigned_abs() < AFTER_GONE;
        self.connections.retain(|_, connection| connection.gone_at.is_none_or(is_kept));
        told.shares.retain(|_, shares| *shares != Shares::default());
        told
    }

    fn whose(
        &mut self,
        now: Timestamp,
        report: &MinerReport,
        devices: &mut Devices,
        answers: impl Fn(DeviceKey) -> bool,
        told: &mut Told,
        named: &mut HashSet<std::sync::Arc<str>>,
    ) -> Option<DeviceKey> {
        let Self { connections, live, from, rivals, inherited, .. } = self;
        let peer = report.peer.to_canonical();
        let is_new = !connections.contains_key(&report.connection);
        let connection = connections.entry(report.connection).or_insert(Connection {
            device: None,
            rival_since: None,
            is_asleep: inherited.remove(&report.connection),
            before: 0,
            gone_at: None,
        });
        let was_live = !is_new && connection.gone_at.is_none();
        connection.gone_at = report.is_gone.then_some(now);
        match (was_live, !report.is_gone) {
            (false, true) => *from.entry(peer).or_default() += 1,
            (true, false) => count_down(from, peer),
            _ => {}
        }
        if let Some(key) = connection.device.filter(|_| was_live && report.is_gone) {
            count_down(live, (key, peer));
            devices.note(key, now);
        }
        if connection.device.is_none() && !report.is_gone {
            // Where only others are connected from, it is not: they would answer for it.
            let is_there = |key, address: IpAddr| {
                live.contains_key(&(key, address)) || answers(key) && !from.contains_key(&address)
            };
            let mut seen = devices.see(peer, report.user.as_ref(), is_there);
            if let Seen::Rival(key) = seen {
                let since = *connection.rival_since.get_or_insert(now);
                if now.duration_since(since).unsigned_abs() >= RIVAL_FOR {
                    seen = match devices.namesake(key, peer) {
                        Seen::Nobody => Seen::Rival(key),
                        namesake => namesake,
                    };
                }
            } else {
                connection.rival_since = None;
            }
            match seen {
                Seen::Nobody => {}
                Seen::Rival(key) => tell_of_rival(devices, key, peer, rivals),
                Seen::Known(key) => connection.device = Some(key),
                Seen::Moved(key, found) => {
                    connection.device = Some(key);
                    told.moved.push(found);
                }
                // Two connections of a new device are one device.
                Seen::New(group, found) if named.insert(found.name.clone()) => told.found.push((group, found)),
                Seen::New(..) => {}
            }
            if let Some(key) = connection.device {
                *live.entry((key, peer)).or_default() += 1;
                devices.note(key, now);
            }
        }
        connection.device
    }

    /// Devices that have a live connection.
    pub fn connected(&self) -> HashSet<DeviceKey> {
        self.live.keys().map(|(key, _)| *key).collect()
    }

    /// A device is gone for good, and has no connection.
    pub fn forget(&mut self, key: DeviceKey) {
        self.meters.remove(&key);
        self.rivals.remove(&key);
        for connection in self.connections.values_mut().filter(|connection| connection.device == Some(key)) {
            connection.device = None;
        }
    }

    /// A device was measured; `is_mining`: it does nothing else.
    pub fn measured(&mut self, now: Timestamp, key: DeviceKey, watts: Watts, is_mining: bool) {
        let meter = self.meters.entry(key).or_default();
        if !is_mining {
            (meter.since, meter.hashes, meter.watts, meter.readings) = (None, 0.0, 0.0, 0);
            return;
        }
        if meter.since.is_none() {
            (meter.since, meter.hashes) = (Some(now), 0.0);
        }
        meter.watts += watts.get();
        meter.readings += 1;
    }

    /// What was measured of devices since this was asked last.
    pub fn efficiencies(&mut self, now: Timestamp) -> Vec<(DeviceKey, JoulesPerTerahash)> {
        let ready = self.meters.iter_mut().filter_map(|(key, meter)| Some((*key, meter.conclude(now)?)));
        ready.collect()
    }

    /// Of the devices of a group together, as far as each was measured.
    pub fn efficiency(&self, group: usize) -> Option<JoulesPerTerahash> {
        let measured = self.meters.iter().filter(|(key, _)| key.group == group).filter_map(|(_, meter)| meter.last);
        let (watts, rate) = measured.fold((0.0, 0.0), |sum, (watts, rate)| (sum.0 + watts.get(), sum.1 + rate));
        joules(watts, rate)
    }

    /// The connections of those of these devices that the workers do not know to sleep, or the other way round; they will.
    pub fn turn(&mut self, is_asleep: bool, mut of: impl FnMut(DeviceKey) -> bool) -> Vec<ConnectionId> {
        let mut turned = Vec::new();
        for (id, connection) in &mut self.connections {
            let is_live = connection.gone_at.is_none();
            if is_live && connection.is_asleep != is_asleep && connection.device.is_some_and(&mut of) {
                connection.is_asleep = is_asleep;
                turned.push(*id);
            }
        }
        turned
    }
}

impl Meter {
    fn conclude(&mut self, now: Timestamp) -> Option<JoulesPerTerahash> {
        let seconds = now.duration_since(self.since?).as_secs_f64();
        if seconds < WINDOW.as_secs_f64() || self.readings == 0 {
            return None;
        }
        let watts = self.watts / f64::from(self.readings);
        let rate = self.hashes / seconds;
        (self.since, self.hashes, self.watts, self.readings) = (Some(now), 0.0, 0.0, 0);
        let efficiency = joules(watts, rate)?;
        self.last = Some((Watts::new(watts)?, rate));
        Some(efficiency)
    }
}

fn count_down<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, u32>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}

/// Says it once for each device, of the first few.
fn tell_of_rival(devices: &Devices, key: DeviceKey, peer: IpAddr, told: &mut HashSet<DeviceKey>) {
    if told.len() < MAX_RIVALS
        && told.insert(key)
        && let Some(device) = devices.target(key)
    {
        let address = device.address.map_or_else(|| "an unknown address".to_owned(), |address| address.to_string());
        let then = match devices.tells_namesakes_apart(key) {
            true => format!(
                "the other counts as load until both were there for {}, then it is a machine of its own, {:?}",
                humantime::format_duration(RIVAL_FOR),
                format!("{}@{peer}", device.name)
            ),
            false => "the other counts as load for good, as what moves or measures this group's machines knows them by their user name alone: give \
                      each machine a user name of its own, or name the group's machines by subnets"
                .to_owned(),
        };
        warn!(
            "device {:?} is at {address}, and a miner with the same user name at {peer}: only the one at {address} is put to sleep and woken; \
             {then}",
            device.name
        );
    }
}

fn joules(watts: f64, hashes_per_second: f64) -> Option<JoulesPerTerahash> {
    JoulesPerTerahash::new(watts / (hashes_per_second / TERA))
}

#[cfg(test)]
mod tests;
