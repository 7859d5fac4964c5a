//! A group within the site: its machine, its devices' names in the ledger, and what it waits for.
//!
//! Knows no other group and no block. A group that nothing can move has devices all the same: they are measured, and count.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;

use super::words::{GroupTerms, Joining};
use crate::{
    power::{
        device::{Device, Goal, Stage, StageKind},
        group::{Group, Order, Overruled, Phase, Record},
        ledger::{DeviceId, Ledger},
    },
    profit::{JoulesPerTerahash, MoneyPerMwh, Ratio, Watts},
};

/// Sentences about single devices within [`NEWS_EVERY_S`]; the rest is counted.
const MAX_NEWS: usize = 20;

/// Seconds after which devices may be spoken of again.
const NEWS_EVERY_S: i64 = 10;

/// A device as the site knows it.
#[derive(Debug)]
pub(super) struct Known {
    pub id: DeviceId,
    /// Watts at the site meter for each of its own.
    pub overhead: Ratio,
    /// It was forgotten; its place stays empty, so that the others keep theirs.
    pub is_gone: bool,
}

impl Known {
    fn new(joining: &Joining) -> Self {
        Self { id: (&*joining.spec.name).into(), overhead: joining.rules.overhead, is_gone: false }
    }
}

/// A question that waits for its answer.
#[derive(Debug)]
pub(super) struct Question {
    pub number: u64,
    pub devices: Vec<usize>,
    /// Its answer waits for the disk.
    pub is_answered: bool,
}

/// The ledger's last word on a wake, if it was no.
#[derive(Debug)]
pub(super) struct Refused {
    /// In words.
    pub why: Box<str>,
    /// In the order in which they are to wake; none where something else than room is missing.
    pub waits_for_room: Vec<DeviceId>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub group: Option<Group>,
    pub devices: Vec<Known>,
    keys: HashMap<DeviceId, usize>,
    /// Whether its power may be lent to whom does not shed fast.
    pub survives: bool,
    /// What was last wanted of it.
    pub wanted: Option<(Order, Option<MoneyPerMwh>)>,
    /// It sleeps because the site was over its cap; with what it was to do before.
    pub shed: Option<Overruled>,
    /// Why a person holds it.
    pub hold: Option<Box<str>>,
    pub question: Option<Question>,
    /// Why it may not wake more.
    pub refused: Option<Refused>,
    /// Devices whose freedom is being written.
    pub freeing: HashSet<usize>,
    news: News,
}

/// Keeps many devices that do the same from filling the log.
#[derive(Debug, Default)]
struct News {
    since: Option<Timestamp>,
    told: usize,
    untold: usize,
}

impl Member {
    pub fn new(terms: Option<&GroupTerms>, devices: Vec<Joining>, record: Option<&Record>, now: Timestamp) -> Self {
        let known: Vec<Known> = devices.iter().map(Known::new).collect();
        let keys = known.iter().enumerate().map(|(index, known)| (known.id.clone(), index)).collect();
        let specs = devices.into_iter().map(|joining| joining.spec).collect();
        let group = terms.map(|terms| match record {
            Some(record) => Group::rebuild((&*terms.name).into(), terms.terms.clone(), specs, record, now),
            None => Group::new((&*terms.name).into(), terms.terms.clone(), specs, now),
        });
        Self {
            group,
            devices: known,
            keys,
            survives: terms.is_none_or(|terms| terms.survives_power_cycle),
            wanted: None,
            shed: record.and_then(|record| record.overruled.clone()),
            hold: None,
            question: None,
            refused: None,
            freeing: HashSet::new(),
            news: News::default(),
        }
    }

    /// A device was found; false if there is one of its name.
    pub fn join(&mut self, joining: &Joining) -> bool {
        let id = DeviceId::from(&*joining.spec.name);
        if self.keys.contains_key(&id) {
            return false;
        }
        self.keys.insert(id.clone(), self.devices.len());
        self.devices.push(Known::new(joining));
        true
    }

    /// A device is gone for good.
    pub fn leave(&mut self, index: usize) {
        let Some(known) = self.devices.get_mut(index) else { return };
        known.is_gone = true;
        self.keys.remove(&known.id);
        self.freeing.remove(&index);
    }

    /// How many devices there are.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    pub fn index(&self, name: &str) -> Option<usize> {
        self.keys.get(&DeviceId::from(name)).copied()
    }

    pub fn id(&self, index: usize) -> Option<&DeviceId> {
        self.devices.get(index).filter(|known| !known.is_gone).map(|known| &known.id)
    }

    pub fn device(&self, index: usize) -> Option<&Device> {
        self.group.as_ref()?.device(index)
    }

    /// Whether a device sleeps by its group's proof, and since which command: the ledger wants more of it.
    pub fn sleeps_since(&self, index: usize) -> Option<Timestamp> {
        let device = self.device(index)?;
        if device.goal() == Goal::Mine {
            return device.restrained_at().filter(|_| device.is_dark() && !device.is_waiting());
        }
        let sleeps = !device.counts_full();
        sleeps.then(|| device.sent_at().unwrap_or(Timestamp::MIN))
    }

    pub fn phase(&self) -> Option<Phase> {
        self.group.as_ref().map(Group::phase)
    }

    /// Devices and their machines, in pairs.
    pub fn pairs(&self) -> impl Iterator<Item = (&Known, &Device)> {
        let pairs = self.devices.iter().zip(self.group.iter().flat_map(Group::devices));
        pairs.filter(|(known, _)| !known.is_gone)
    }

    /// Its devices that woke before they were let to, with what the ledger may count less of each once it sleeps again, and their J/TH.
    pub fn early<'a>(&'a self, ledger: &'a Ledger) -> impl Iterator<Item = Early> + 'a {
        let is_waking = matches!(self.phase(), Some(Phase::WakePending | Phase::Waking));
        let pairs = self.devices.iter().zip(self.group.iter().flat_map(Group::devices)).enumerate();
        pairs.filter(move |(_, (known, device))| is_waking && !known.is_gone && device.is_early()).map(
            |(index, (known, device))| {
                let asleep = Watts::clamped(device.spec().sleep_max.get() * known.overhead.get());
                Early {
                    index,
                    gain: ledger.bound(&known.id).saturating_sub(asleep),
                    joules: device.spec().efficiency.map_or(f64::INFINITY, JoulesPerTerahash::get),
                    is_told: device.restrained_at().is_some(),
                }
            },
        )
    }

    /// What the ledger will count less of its devices that were told to sleep until they may wake, once that is proven.
    pub fn restrained(&self, now: Timestamp, ledger: &Ledger) -> Watts {
        let told = self.pairs().filter(|(_, device)| device.restrained_at().is_some());
        told.map(|(known, device)| {
            let asleep = Watts::clamped(device.spec().sleep_max.get() * known.overhead.get());
            ledger.counts(now, &known.id).saturating_sub(asleep)
        })
        .sum()
    }

    /// What its devices draw more than they would asleep, at the site meter: of those that were told and not yet told again, and of those
    /// that an emergency would tell.
    pub fn can_shed(&self) -> Shedding {
        let mut sum = Shedding { going: Watts::ZERO, could: Watts::ZERO, joules: 0.0 };
        // Nothing is told where somebody holds it, and what was told before may have been undone.
        let is_held = self.phase() == Some(Phase::ManualHold);
        for (known, device) in self.pairs() {
            let gain = device.watts().saturating_sub(device.spec().sleep_max);
            let gain = Watts::clamped(gain.get() * known.overhead.get());
            let is_going = !is_held
                && device.goal() == Goal::Sleep
                && match device.stage() {
                    Stage::Pending { tries, .. } => tries == 0,
                    Stage::Dispatched { tries, .. } => tries <= 1,
                    Stage::Drifted => true,
                    _ => false,
                };
            if is_going {
                sum.going = sum.going + gain;
            } else if device.is_candidate()
                || is_held && device.spec().can_sleep && !device.is_untouched()
                || device.goal() == Goal::Mine
                    && !device.is_untouched()
                    && !matches!(device.stage().kind(), StageKind::Unavailable)
            {
                sum.could = sum.could + gain;
            }
            if let Some(efficiency) = device.spec().efficiency {
                sum.joules = sum.joules.max(Some(efficiency.get()).filter(|joules| joules.is_finite()).unwrap_or(0.0));
            }
        }
        sum
    }

    /// Whether it is being woken, or mines and may wake those that it mines without.
    pub fn is_to_wake(&self) -> bool {
        matches!(self.phase(), Some(Phase::WakePending | Phase::Waking | Phase::Mining))
    }

    /// What its devices that are to be woken will count more than now; where it does not obey, at the next try.
    pub fn to_come(&self, now: Timestamp, ledger: &Ledger) -> Watts {
        let is_tried_again = self.phase() == Some(Phase::Fault)
            && self.group.as_ref().is_some_and(|group| group.order().goal == Goal::Mine);
        if !self.is_to_wake() && !is_tried_again {
            return Watts::ZERO;
        }
        // What the ledger counts decides, and not what the device thinks of itself: after a restart that is not known until it was measured
        // with its old goal.
        // Those that a group mines without are nobody's reason to wait, until they are told again.
        let mines = self.phase() == Some(Phase::Mining);
        let is_next = |device: &Device| !mines || device.stage().kind() == StageKind::Pending;
        let waits = |device: &Device| device.goal() == Goal::Mine && !device.is_untouched() && is_next(device);
        let wanted = self.pairs().filter(|(_, device)| waits(device));
        wanted.map(|(known, _)| ledger.bound(&known.id).saturating_sub(ledger.counts(now, &known.id))).sum()
    }

    /// What it waits for until all of its devices are let to wake.
    pub fn waiting(&self, now: Timestamp, ledger: &Ledger) -> Waiting {
        let mut sum = Waiting { more: Watts::ZERO, most: Watts::ZERO };
        if !self.is_to_wake() {
            return sum;
        }
        sum.more = self.to_come(now, ledger);
        let mines = self.phase() == Some(Phase::Mining);
        let is_asked_for = |device: &Device| match device.stage().kind() {
            StageKind::Pending => true,
            StageKind::Unavailable => !mines,
            _ => false,
        };
        let waits = |device: &Device| device.goal() == Goal::Mine && !device.is_untouched() && is_asked_for(device);
        sum.most = self.pairs().filter(|(_, device)| waits(device)).map(|(known, _)| ledger.bound(&known.id)).sum();
        sum
    }

    /// The least J/TH of its machines that are to be woken; of one that does not say, the worst there is.
    pub fn joules_to_wake(&self) -> f64 {
        let waits = self.pairs().filter(|(_, device)| device.goal() == Goal::Mine && !device.is_untouched());
        let joules = waits.filter_map(|(_, device)| device.spec().efficiency).map(JoulesPerTerahash::get);
        joules.fold(f64::INFINITY, f64::min)
    }

    /// Whether one more device may be spoken of.
    pub fn is_news(&mut self, now: Timestamp) -> bool {
        if self.news.since.is_none() {
            self.news = News { since: Some(now), told: 0, untold: 0 };
        }
        let is_news = self.news.told < MAX_NEWS;
        if is_news {
            self.news.told += 1
        } else {
            self.news.untold += 1
        }
        is_news
    }

    /// How many devices were not spoken of, once that is to be said.
    pub fn unsaid(&mut self, now: Timestamp) -> Option<usize> {
        let since = self.news.since?;
        if now.duration_since(since).as_secs() < NEWS_EVERY_S {
            return None;
        }
        let untold = std::mem::take(&mut self.news).untold;
        (untold > 0).then_some(untold)
    }
}

/// A device that woke before it was let to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Early {
    pub index: usize,
    /// What the ledger may count less of it asleep.
    pub gain: Watts,
    /// What is not known is the worst.
    pub joules: f64,
    /// It was told to sleep already, and may have to be told again.
    pub is_told: bool,
}

/// What a group needs before all of it may wake, at the site meter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// What its devices will count more than now.
    pub more: Watts,
    /// The bounds of those that were not let to wake: nobody gives back more than that for them.
    pub most: Watts,
}

/// What a group could give in an emergency.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shedding {
    /// Is on its way.
    pub going: Watts,
    /// Would be, if it was ordered.
    pub could: Watts,
    /// Its worst J/TH.
    pub joules: f64,
}
