//! Machines that are gone for good: when each was seen last, who is forgotten for having been away too long, and who by an operator's word.
//!
//! | a machine | by itself, after `[power] forget_after` | by an operator's word |
//! |---|---|---|
//! | named by the config | never | never: out of the config with it |
//! | connected, draws, asleep by our order, being woken | never | never (`site/forget.rs`) |
//! | gone, and nothing is lent here or the site's meter is there | forgotten | forgotten |
//! | gone, without a meter where power is lent | told, once a day: nobody would see it draw | forgotten |
//! | was put to sleep, and no group of the config has it | never | if he says that it is gone for good (`site/forget.rs`) |
//!
//! Seen is: connected, or measured alone. It is written each [`KEEP`], of all together, so that no census writes. A clock that jumps, and a proxy
//! that was down for weeks, forget nobody in the first [`AFTER_START`]: who is there has been seen by then.
//!
//! Limits: [`MAX_FORGOTTEN`] at once; [`NAMED`] names in the log.

use std::{collections::HashSet, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::error;

use super::{Keeper, start::GONE};
use crate::{
    power::{
        control::{ControlError, Forget, Forgotten, ForgottenDevice, KeptDevice},
        ledger::Entry,
        site::{DeviceKey, DeviceView, EventKind, Level, SiteEvent, Whereabouts},
    },
    profit::Watts,
};

/// How often it is written who was seen, and looked for who was not.
pub(super) const KEEP: Duration = Duration::from_secs(3_600);

/// How long nobody is forgotten after a start.
const AFTER_START: Duration = Duration::from_secs(3_600);

/// How often is told of machines that only an operator may forget.
const TELL_AGAIN: Duration = Duration::from_secs(86_400);

/// Machines that one order or one hour forgets; the next goes on.
const MAX_FORGOTTEN: usize = 10_000;

/// Machines that are named in the log.
const NAMED: usize = 20;

/// When that is due.
#[derive(Debug)]
pub(super) struct Seen {
    keep_at: Instant,
    /// Nobody is forgotten before.
    from: Instant,
    tell_at: Instant,
}

impl Seen {
    pub fn new(tick: Instant) -> Self {
        Self { keep_at: tick + KEEP, from: tick + AFTER_START, tell_at: tick }
    }
}

/// A machine that may be forgotten, with what must be in the book before.
struct Candidate {
    key: DeviceKey,
    entry: Option<Entry>,
    device: ForgottenDevice,
}

impl Keeper {
    /// Writes who was seen, and forgets who was not, if it is time.
    pub(super) fn keep_sightings(&mut self, now: Timestamp, tick: Instant) {
        if tick < self.seen.keep_at {
            return;
        }
        self.seen.keep_at = tick + KEEP;
        self.write_sightings(now);
        // Who wakes a site without a proxy has no miners, and so sees nobody.
        if tick >= self.seen.from && !self.proves_by_watts {
            self.forget_the_gone(now, tick);
        }
    }

    /// Writes who was seen until now.
    pub(super) fn write_sightings(&mut self, now: Timestamp) {
        for key in self.miners.connected() {
            self.devices.note(key, now);
        }
        let sightings = self.devices.sightings();
        if !sightings.is_empty()
            && let Err(error) = self.journal.sight(&sightings)
        {
            error!("{error}; who was seen when is not on the disk, and counts as seen at the next start");
        }
    }

    /// Where a machine is, for who looks.
    pub(super) fn whereabouts(&self, now: Timestamp, group: usize, devices: &mut [DeviceView]) {
        let connected = self.miners.connected();
        for device in devices {
            let Some(key) = self.site.key(group, &device.name) else { continue };
            let is_connected = connected.contains(&key);
            device.whereabouts = Whereabouts {
                address: self.devices.target(key).and_then(|target| target.address),
                is_connected,
                is_found: self.devices.is_found(key),
                seen: if is_connected { Some(now) } else { self.devices.seen(key) },
            };
        }
    }

    fn forget_the_gone(&mut self, now: Timestamp, tick: Instant) {
        let Some(after) = self.config.power.as_ref().and_then(|power| power.forget_after) else { return };
        let connected = self.miners.connected();
        let is_watched = self.site.may_forget_unasked(now);
        for group in 0..self.names.len() {
            let gone = self.gone_for(now, group, after, &connected).0;
            let Some(first) = gone.first() else { continue };
            let (name, days) = (self.names[group].clone(), humantime::format_duration(after));
            let names = named(&gone);
            if !is_watched {
                if tick >= self.seen.tell_at {
                    let words = format!(
                        "group {name:?}: {} machines were not seen for {days} and still count as load; as power is lent here and no meter of the \
                         site would see them draw, they are forgotten by an operator's word only: `hashgate forget {name} {}`: {names}",
                        gone.len(),
                        first.device.name
                    );
                    self.tell_of(now, group, Level::Warn, words);
                }
                continue;
            }
            let count = gone.len();
            match self.forget(now, gone) {
                Ok(freed) => {
                    let words = format!(
                        "group {name:?}: {count} machines were not seen for {days} (forget_after): they are forgotten, and {} at the site's \
                         meter count no more: {names}",
                        freed.in_words()
                    );
                    self.tell_of(now, group, Level::Info, words);
                }
                Err(error) => error!("{error}; machines that are gone are forgotten later"),
            }
        }
        if tick >= self.seen.tell_at {
            self.seen.tell_at = tick + TELL_AGAIN;
        }
    }

    /// Does what an operator said of machines that are gone, or with `dry_run` says only what that would be.
    pub(super) fn forget_by_hand(
        &mut self,
        now: Timestamp,
        name: &str,
        what: &Forget,
        dry_run: bool,
    ) -> Result<Forgotten, ControlError> {
        if let Forget::Device(device) | Forget::Gone(device) = what
            && self.devices.find(device).is_none()
            && let Some(left) = self.left.get(&left_of(name))
            && left.devices.iter().any(|left| *left.name == **device)
        {
            return self.strike_out(now, name, device, matches!(what, Forget::Gone(_)), dry_run);
        }
        let group = self.find(name)?;
        let connected = self.miners.connected();
        let (gone, kept) = match what {
            Forget::Device(device) | Forget::Gone(device) => {
                let unknown = || ControlError::UnknownDevice { group: name.to_owned(), name: device.clone() };
                let key = self.devices.find(device).filter(|key| key.group == group).ok_or_else(unknown)?;
                let is_connected = connected.contains(&key);
                let refused = |why: String| ControlError::NotForgotten(format!("machine {device:?} is kept: {why}"));
                (vec![self.candidate(now, key, is_connected).map_err(refused)?], Vec::new())
            }
            Forget::OlderThan(age) => self.gone_for(now, group, *age, &connected),
        };
        let frees: Watts = gone.iter().map(|gone| self.site.counts(now, gone.key)).sum();
        let has_meter = self.config.power.as_ref().is_some_and(|power| power.meter.is_some());
        let mut words = Vec::new();
        if !gone.is_empty() {
            words.push(format!("{} at the site's meter count no more", frees.in_words()));
            words.push(match has_meter {
                true => "they are free once the site's meter was compared twice without them; if they are drawn all the same, it sees that, \
                         and nothing grows"
                    .to_owned(),
                false => "the site has no meter: if they are drawn all the same, nobody sees it".to_owned(),
            });
            words.push("a machine that connects again is found again".to_owned());
        }
        let answer = Forgotten {
            group: name.into(),
            devices: gone.iter().map(|gone| gone.device.clone()).collect(),
            kept,
            frees_kw: frees.kilowatts(),
            words,
        };
        if !dry_run && !gone.is_empty() {
            let (count, names) = (gone.len(), named(&gone));
            self.forget(now, gone).map_err(|error| ControlError::NotWritten(error.to_string()))?;
            let words = format!(
                "group {name:?}: an operator has {count} machines forgotten that are gone, {} at the site's meter: {names}",
                frees.in_words()
            );
            self.tell_of(now, group, Level::Info, words);
        }
        Ok(answer)
    }

    /// Forgets a machine that was put to sleep and that no group of the config has any more, if an operator says that it is gone.
    fn strike_out(
        &mut self,
        now: Timestamp,
        name: &str,
        device: &str,
        is_confirmed: bool,
        dry_run: bool,
    ) -> Result<Forgotten, ControlError> {
        let kept = |why: String| ControlError::NotForgotten(format!("machine {device:?} is kept: {why}"));
        let entry = self.site.may_strike_out(now, device).map_err(|why| kept(why.to_string()))?;
        if !is_confirmed && !dry_run {
            return Err(kept(format!(
                "it was told to sleep, or was on its way, and no group of the config has it with an actuator: nobody here can see whether it is \
                 there. If it is gone for good, say so: `hashgate forget {name} {device} --confirm gone`; else name it in a group with \
                 [group.actuator] again, or wake it by hand"
            )));
        }
        let words = [
            "it counts nothing as it is: nobody measures it, and the site's meter sees it if it draws",
            "the record that it sleeps is struck out: nobody wakes it, and it is not spoken of again",
            "if it connects again it is found as a new machine, and counts at all it may draw",
        ];
        let answer = Forgotten {
            group: name.into(),
            devices: vec![ForgottenDevice { name: device.into(), seen: None, counts_watts: 0.0 }],
            kept: Vec::new(),
            frees_kw: 0.0,
            words: words.map(str::to_owned).to_vec(),
        };
        if dry_run {
            return Ok(answer);
        }
        let group = left_of(name);
        let Some(mut left) = self.left.get(&group).cloned() else { return Ok(answer) };
        left.devices.retain(|left| *left.name != *device);
        let entries: Vec<Entry> = entry.iter().cloned().collect();
        let struck = self.journal.strike_out(device, &group, &left, &entries);
        struck.map_err(|error| ControlError::NotWritten(error.to_string()))?;
        self.site.strike_out(entry);
        self.shown.forget_orphan(name, device);
        if left.devices.is_empty() {
            self.left.remove(&group)
        } else {
            self.left.insert(group, left)
        };
        let words = format!(
            "group {name:?}: an operator says that machine {device:?} is gone for good: it is struck out of the ledger"
        );
        self.shown
            .tell(now, SiteEvent { level: Level::Info, kind: EventKind::Device, group: None, words: words.into() });
        Ok(answer)
    }

    /// Machines of a group that were not seen for so long and may be forgotten; and those that may not.
    fn gone_for(
        &self,
        now: Timestamp,
        group: usize,
        age: Duration,
        connected: &HashSet<DeviceKey>,
    ) -> (Vec<Candidate>, Vec<KeptDevice>) {
        let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
        let is_old = |key: &DeviceKey| {
            let seen = self.devices.seen(*key).unwrap_or(now);
            self.devices.is_found(*key) && !connected.contains(key) && now.duration_since(seen) >= age
        };
        let old = self.devices.of(group).filter(|(_, key)| is_old(key)).take(MAX_FORGOTTEN);
        let (mut gone, mut kept) = (Vec::new(), Vec::new());
        for (target, key) in old {
            match self.candidate(now, key, false) {
                Ok(candidate) => gone.push(candidate),
                Err(why) => kept.push(KeptDevice { name: (&*target.name).into(), why: why.into() }),
            }
        }
        (gone, kept)
    }

    fn candidate(&self, now: Timestamp, key: DeviceKey, is_connected: bool) -> Result<Candidate, String> {
        if !self.devices.is_found(key) {
            return Err("the config names it: take it out of the config and start anew".to_owned());
        }
        if is_connected {
            return Err("it is connected: it is there".to_owned());
        }
        let moved = self.config.power.as_ref().and_then(|power| power.groups.get(key.group)?.as_ref());
        let is_alone = moved.is_some_and(|group| group.is_measured_alone());
        let entry = self.site.may_forget(now, key, is_alone).map_err(|kept| kept.to_string())?;
        let name = self.devices.target(key).map_or_else(|| "".into(), |target| (&*target.name).into());
        let counts_watts = self.site.counts(now, key).get();
        Ok(Candidate { key, entry, device: ForgottenDevice { name, seen: self.devices.seen(key), counts_watts } })
    }

    /// Forgets machines; what they counted.
    fn forget(&mut self, now: Timestamp, gone: Vec<Candidate>) -> Result<Watts, crate::power::journal::JournalError> {
        let entries: Vec<Entry> = gone.iter().filter_map(|gone| gone.entry.clone()).collect();
        self.journal.forget(gone.iter().map(|gone| &*gone.device.name), &entries)?;
        let mut freed = Watts::ZERO;
        let mut groups = HashSet::new();
        for Candidate { key, .. } in gone {
            freed = freed + self.site.counts(now, key);
            self.site.forget(now, key);
            self.devices.forget(key);
            self.miners.forget(key);
            self.calls.forget(key);
            self.modes.forget(key);
            self.failures.remove(&key);
            self.manual[key.group].leaves(key);
            groups.insert(key.group);
        }
        for group in groups {
            self.machines.call_roll(&self.devices, group);
        }
        Ok(freed)
    }

    fn tell_of(&mut self, now: Timestamp, group: usize, level: Level, words: String) {
        self.shown.tell(now, SiteEvent { level, kind: EventKind::Device, group: Some(group), words: words.into() });
    }
}

/// What is kept of a group that the config does not have any more.
fn left_of(group: &str) -> String {
    format!("{group}{GONE}")
}

fn named(gone: &[Candidate]) -> String {
    let names: Vec<&str> = gone.iter().take(NAMED).map(|gone| &*gone.device.name).collect();
    let more = gone.len() - names.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}
