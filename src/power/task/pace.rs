//! Whose times are learned together, and when: which turns are under way, what came of them, and what is kept of that.
//!
//! Knows groups, nameplates and the journal's settings; what times mean is `power/pace.rs`. Once a second it looks at the devices that were told
//! something; once a minute what was learned is written down, and counts from then on.
//!
//! | a device that was told | then |
//! |---|---|
//! | has its proof, however often it was told and if it was given up in between | its kind saw how long that took, from the first command of this turn |
//! | has it later than may be learned at all | nothing was seen: somebody has mended it |
//! | has another goal by now, or is somebody else's | nothing was seen |
//!
//! A kind is a group's machines of one nameplate: nothing tells their model. Groups with one meter for all are left out: their
//! times are those of the last machine of a batch, and of the ramp.
//!
//! Limits: [`MAX_KINDS`]; machines of further ones keep what the config says. One that cannot be written is learned again.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::warn;

use super::{Keeper, devices::Devices};
use crate::{
    config::{Power, WattsSource},
    power::{
        control::Plan,
        device::{Goal, Stage},
        group::{Command, Phase},
        journal::{Journal, JournalError},
        pace::{Pace, Times},
        site::{DeviceKey, Input, Site},
    },
    profit::Watts,
};

/// Kinds of machines: a site has a dozen models.
const MAX_KINDS: usize = 256;

/// What its settings begin with.
const PREFIX: &str = "pace ";

/// Between two looks at devices that were told something.
const LOOK: Duration = Duration::from_secs(1);

/// Until what was learned is written down, and counts.
const KEEP: Duration = Duration::from_secs(60);

/// What was learned of all kinds.
#[derive(Debug)]
pub(super) struct Paces {
    kinds: Vec<Kind>,
    of: HashMap<DeviceKey, usize>,
    /// Since the first command of a turn that has no proof yet.
    under_way: HashMap<DeviceKey, (Goal, Timestamp)>,
    /// Learned since it was written.
    changed: HashSet<usize>,
    /// Devices that were not told what their kind takes.
    newcomers: Vec<DeviceKey>,
    look_at: Instant,
    keep_at: Instant,
}

#[derive(Debug)]
struct Kind {
    group: usize,
    nameplate: Watts,
    setting: String,
    pace: Pace,
    start: Times,
    most: Times,
}

impl Paces {
    /// With what was kept. Settings of kinds that are in the config no more go.
    pub fn new(
        power: &Power,
        names: &[Arc<str>],
        devices: &Devices,
        settings: &HashMap<String, String>,
        journal: &mut Journal,
        tick: Instant,
    ) -> Result<Self, JournalError> {
        let mut paces = Self {
            kinds: Vec::new(),
            of: HashMap::new(),
            under_way: HashMap::new(),
            changed: HashSet::new(),
            newcomers: Vec::new(),
            look_at: tick,
            keep_at: tick,
        };
        for key in devices.keys() {
            paces.join(power, names, devices, key, settings);
        }
        let is_left =
            |name: &&String| name.starts_with(PREFIX) && !paces.kinds.iter().any(|kind| kind.setting == **name);
        let left: Vec<(&str, &str)> = settings.keys().filter(is_left).map(|name| (name.as_str(), "")).collect();
        if !left.is_empty() {
            journal.set(&left)?;
        }
        Ok(paces)
    }

    /// A device became known.
    pub fn joined(&mut self, power: &Power, names: &[Arc<str>], devices: &Devices, key: DeviceKey) {
        self.join(power, names, devices, key, &HashMap::new());
    }

    fn join(
        &mut self,
        power: &Power,
        names: &[Arc<str>],
        devices: &Devices,
        key: DeviceKey,
        settings: &HashMap<String, String>,
    ) {
        let Some(Some(moved)) = power.groups.get(key.group) else { return };
        let (Some(target), Some(name)) = (devices.target(key), names.get(key.group)) else { return };
        if matches!(moved.watts, WattsSource::Group { .. } | WattsSource::None) {
            return;
        }
        let own = moved.devices.iter().find(|entry| entry.name == target.name).and_then(|entry| entry.nameplate);
        let nameplate = own.unwrap_or(moved.nameplate);
        let known = self.kinds.iter().position(|kind| kind.group == key.group && kind.nameplate == nameplate);
        let kind = match known {
            Some(kind) => kind,
            None if self.kinds.len() >= MAX_KINDS => return,
            None => {
                let setting = format!("{PREFIX}{name} {:.0} W", nameplate.get());
                let pace = settings.get(&setting).and_then(|text| Pace::parse(text)).unwrap_or_default();
                let moves = &moved.moves;
                let start = Times { sleep: moves.sleep_time, wake: moves.wake_time };
                let most = Times { sleep: moves.sleep_most, wake: moves.wake_most };
                self.kinds.push(Kind { group: key.group, nameplate, setting, pace, start, most });
                self.kinds.len() - 1
            }
        };
        self.of.insert(key, kind);
        self.newcomers.push(key);
    }

    /// A device is told something.
    pub fn told(&mut self, now: Timestamp, key: DeviceKey, command: &Command) {
        let goal = match command {
            Command::Sleep => Goal::Sleep,
            Command::Wake(_) => Goal::Mine,
        };
        if self.of.contains_key(&key) && self.under_way.get(&key).is_none_or(|(since, _)| *since != goal) {
            self.under_way.insert(key, (goal, now));
        }
    }

    /// Looks what became of those that were told something.
    fn look(&mut self, site: &Site) {
        let Self { kinds, of, under_way, changed, .. } = self;
        under_way.retain(|key, (goal, first)| {
            let Some(device) = site.device(*key).filter(|device| device.goal() == *goal) else { return false };
            let Some(kind) = of.get(key) else { return false };
            match device.stage() {
                Stage::Confirmed { since } if since >= *first => {
                    let took = Duration::try_from(since.duration_since(*first)).unwrap_or_default();
                    let Kind { pace, most, .. } = &mut kinds[*kind];
                    if took <= if *goal == Goal::Sleep { most.sleep } else { most.wake } {
                        pace.saw(*goal, took);
                        changed.insert(*kind);
                    }
                    false
                }
                Stage::Failed { is_foreign: true } | Stage::Drifted => false,
                // It may come late.
                _ => true,
            }
        });
    }

    /// What is to be told to devices: those of kinds that changed, and newcomers; by the index of the group.
    fn news(&mut self) -> BTreeMap<usize, Vec<(usize, Times)>> {
        let mut news: BTreeMap<usize, Vec<(usize, Times)>> = BTreeMap::new();
        let newcomers: HashSet<DeviceKey> = self.newcomers.drain(..).collect();
        for (key, kind) in &self.of {
            if self.changed.contains(kind) || newcomers.contains(key) {
                let Kind { pace, start, most, .. } = &self.kinds[*kind];
                let times = pace.expected(*start, *most);
                // Who is new begins with what the config says.
                if times != *start || self.changed.contains(kind) {
                    news.entry(key.group).or_default().push((key.device, times));
                }
            }
        }
        news
    }

    /// What was learned since it was written, as settings.
    fn settings(&self) -> Vec<(String, String)> {
        self.changed.iter().map(|kind| (self.kinds[*kind].setting.clone(), self.kinds[*kind].pace.text())).collect()
    }

    /// What machines of a group take, in words; nothing before enough was seen.
    fn in_words(&self, group: usize, goal: Goal) -> Vec<String> {
        let of_group: Vec<&Kind> = self.kinds.iter().filter(|kind| kind.group == group).collect();
        let what = if goal == Goal::Sleep { "fall asleep" } else { "wake" };
        let words = |kind: &&Kind| {
            let (half, all) = kind.pace.usual(goal)?;
            let whose = match of_group.len() {
                1 => "its machines".to_owned(),
                _ => format!("its machines of {}", kind.nameplate.in_words()),
            };
            Some(format!("{whose} {what} in about {}, the slowest of the last in {}", rounded(half), rounded(all)))
        };
        of_group.iter().filter_map(words).collect()
    }
}

/// As people say it: minutes, below two of them seconds.
fn rounded(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{} s", seconds.max(1)),
        seconds => format!("{} min", (seconds + 30) / 60),
    }
}

impl Keeper {
    /// Looks, writes down and tells what was learned of times, each when it is due.
    pub(super) fn learn_times(&mut self, now: Timestamp, tick: Instant) {
        if tick < self.paces.look_at {
            return;
        }
        self.paces.look_at = tick + LOOK;
        self.paces.look(&self.site);
        let is_first = !self.paces.newcomers.is_empty();
        if tick < self.paces.keep_at && !is_first {
            return;
        }
        self.paces.keep_at = tick + KEEP;
        for (group, times) in self.paces.news() {
            self.site.handle(now, Input::Times(group, times));
        }
        self.keep_times();
        self.look_at_power_cuts(now);
    }

    /// Writes down what was learned.
    pub(super) fn keep_times(&mut self) {
        let settings = self.paces.settings();
        let settings: Vec<(&str, &str)> = settings.iter().map(|(name, text)| (&**name, &**text)).collect();
        if settings.is_empty() {
            return;
        }
        self.paces.changed.clear();
        if let Err(error) = self.journal.set(&settings) {
            warn!("{error}; how long machines take to sleep and wake is learned again after a restart");
        }
    }

    /// Says in a plan how long its machines take.
    pub(super) fn add_times(&self, group: usize, plan: &mut Plan) {
        let goal = match plan.leads_to {
            Some(Phase::DrainPending | Phase::Draining | Phase::Lockout) => Goal::Sleep,
            Some(Phase::WakePending | Phase::Waking) => Goal::Mine,
            _ => return,
        };
        if plan.devices > 0 {
            plan.words.extend(self.paces.in_words(group, goal));
        }
    }
}
