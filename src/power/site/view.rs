//! What may be seen of a site at one moment.
//!
//! Reads; changes nothing. It walks all devices: for who looks, not for every input.

use jiff::Timestamp;

use super::{
    Site,
    leases::{granted, live},
    member::Member,
    words::{BlockView, DeviceKey, DeviceView, GroupView, LeaseView, SiteView, Whereabouts},
};
use crate::{
    power::{
        device::{Device, Goal, StageKind},
        group::{Group, Phase},
    },
    profit::Watts,
};

impl Site {
    /// Everything that may be seen of it.
    pub fn view(&self, now: Timestamp) -> SiteView {
        let now = now.max(self.now);
        SiteView {
            at: now,
            epoch: self.epoch,
            balance: self.ledger.balance(now),
            meter: self.ledger.meter_says(now),
            measured: self.ledger.sum_of_readings(now),
            groups: (0..self.members.len()).map(|group| self.group_view(now, group)).collect(),
            blocks: (0..self.keepers.len()).map(|block| self.block_view(now, block)).collect(),
        }
    }

    /// Whether more devices of a group are to sleep than not.
    pub fn mostly_sleeps(&self, group: usize) -> bool {
        let Some(machine) = self.members.get(group).and_then(|member| member.group.as_ref()) else { return false };
        2 * machine.stages(Goal::Sleep).iter().sum::<usize>() > machine.devices().count()
    }

    /// The devices of a group; none of one that nothing can move.
    pub fn devices(&self, now: Timestamp, group: usize) -> Vec<DeviceView> {
        let now = now.max(self.now);
        let pairs = self.members.get(group).into_iter().flat_map(Member::pairs);
        pairs
            .map(|(known, device)| DeviceView {
                name: device.spec().name.clone(),
                goal: device.goal(),
                stage: device.stage().kind(),
                watts: device.measured_at().map(|_| device.watts()),
                measured_at: device.measured_at(),
                counts: self.ledger.counts(now, &known.id),
                mode: device.mode().cloned(),
                whereabouts: Whereabouts::default(),
            })
            .collect()
    }

    /// Whether a device was put to sleep, or is on its way up since.
    pub fn rests(&self, key: DeviceKey) -> bool {
        let device = self.members.get(key.group).and_then(|member| member.device(key.device));
        device.is_some_and(|device| {
            let is_open = matches!(device.stage().kind(), StageKind::Pending | StageKind::Dispatched);
            device.goal() == Goal::Sleep || is_open && !device.is_untouched()
        })
    }

    /// Devices of a group that sleep, by a fresh measurement, although nobody here put them to sleep.
    pub fn idle(&self, group: usize) -> Vec<DeviceKey> {
        let machine = self.members.get(group).and_then(|member| member.group.as_ref());
        let devices = machine.into_iter().flat_map(Group::devices).enumerate();
        let idle = devices.filter(|(_, device)| device.is_idle());
        idle.map(|(device, _)| DeviceKey { group, device }).collect()
    }

    fn group_view(&self, now: Timestamp, group: usize) -> Option<GroupView> {
        let member = self.members.get(group)?;
        let machine = member.group.as_ref()?;
        let fresh = self.terms.rules.max_age;
        let is_fresh = |at: Timestamp| now.duration_since(at) <= fresh;
        Some(GroupView {
            phase: machine.phase(),
            since: machine.since(),
            order: machine.order().clone(),
            devices: member.count(),
            sleeping: machine.stages(Goal::Sleep),
            waking: machine.stages(Goal::Mine),
            drawn: machine.draws(),
            measured: machine.devices().filter(|device| device.measured_at().is_some_and(is_fresh)).count(),
            idle: machine.devices().filter(|device| device.is_idle()).count(),
            waits_for: self.waits_for(member, machine).map(Into::into),
        })
    }

    fn waits_for(&self, member: &Member, machine: &Group) -> Option<String> {
        let writes = || (!machine.is_recorded()).then(|| "its record on disk".to_owned());
        Some(match machine.phase() {
            Phase::Mining => return None,
            Phase::Asleep => match machine.devices().filter(|device| sleeps_late(device)).count() {
                0 => return None,
                1 => "the watts of 1 machine that draws while it sleeps, and is put to sleep as well".to_owned(),
                late => format!("the watts of {late} machines that draw while it sleeps, and are put to sleep as well"),
            },
            Phase::DrainPending => {
                let is_unseen = machine.devices().any(|device| device.measured_at().is_none());
                let what = match is_unseen {
                    true => "the first readings of its devices, for some time after a start",
                    false => "the least time that it mines between two moves",
                };
                writes().unwrap_or_else(|| what.to_owned())
            }
            Phase::Draining => {
                let [pending, _, confirmed, ..] = machine.stages(Goal::Sleep);
                let what = match (confirmed, pending) {
                    (0, 1..) => "the watts of its canary, before the others are told",
                    _ => "its devices' watts, then the answers to its last shares",
                };
                writes().unwrap_or_else(|| what.to_owned())
            }
            Phase::WakePending | Phase::Waking => match &member.refused {
                Some(refused) => format!("room: {}{}", refused.why, self.coming()),
                None if machine.phase() == Phase::WakePending => "the ledger's word".to_owned(),
                None => writes().unwrap_or_else(|| "its devices' watts and first shares".to_owned()),
            },
            Phase::Fault => "another try after a while, or a person's release".to_owned(),
            Phase::ManualHold => "a person's release".to_owned(),
            Phase::Lockout => "a person who ends the lockout".to_owned(),
        })
    }

    /// What is asked back from whom, for who waits for room.
    fn coming(&self) -> String {
        let mut words = String::new();
        for keeper in self.keepers.iter().flatten() {
            let leases = self.leases_of(&keeper.terms.id);
            let coming = granted(leases.iter().copied()).saturating_sub(granted(live(&leases)));
            if coming > Watts::ZERO {
                let (name, watts) = (keeper.terms.id.as_str(), coming.in_words());
                words += &format!("; {watts} are asked back from AI block {name:?} and not back yet");
            }
        }
        words
    }

    fn block_view(&self, now: Timestamp, block: usize) -> Option<BlockView> {
        let keeper = self.keepers.get(block)?.as_ref()?;
        let leases = self.leases_of(&keeper.terms.id);
        let all = granted(leases.iter().copied());
        let kept = granted(live(&leases));
        Some(BlockView {
            wanted: keeper.wanted.unwrap_or(kept),
            granted: all,
            revoked: all.saturating_sub(kept),
            drawn: self.ledger.block_draws(now, &keeper.terms.id),
            state: keeper.state.clone(),
            leases: leases
                .iter()
                .map(|(lease, booked)| LeaseView {
                    lease: *lease,
                    watts: booked.watts,
                    expires: booked.expires,
                    revoked: booked.revoked,
                })
                .collect(),
            refused: keeper.refused.clone().filter(|_| keeper.wanted.is_some_and(|wanted| wanted > all)),
        })
    }

    /// What AI compute has and was not asked for.
    pub(super) fn lent(&self) -> Watts {
        self.ledger.leases().filter(|(.., lease)| lease.revoked.is_none()).map(|(.., lease)| lease.watts).sum()
    }
}

/// Whether a device is on its way to sleep; of a group that is there, one that woke by itself or turned up since.
fn sleeps_late(device: &Device) -> bool {
    device.goal() == Goal::Sleep && device.is_on_its_way()
}
