//! What is to be seen of the power side: events in the log, the snapshot, and what people are asked to do by hand.
//!
//! Limits: [`MAX_PAST_EVENTS`] events and [`SHOWN_RECEIPTS`] receipts; a snapshot every [`FASTEST`] at most, and who sleeps every
//! [`LOOK_FOR_SLEEPERS`], as that is a look at each device; a person is asked for the same
//! thing every [`ASK_AGAIN`] at most, and with [`NAMED`] names.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use tokio::{sync::watch, time::Instant};
use tracing::{debug, error, info, warn};

use super::{Keeper, MAX_PAST_EVENTS, SHOWN_RECEIPTS, estate::Past, orders::Orders};
use crate::{
    config::{ActuatorKind, Mode, WattsSource},
    power::{
        control::{Certificate, Named, Orphans, PastEvent, PowerSnapshot, Sleepers},
        device::Goal,
        group::{Command, Phase},
        receipt::Receipt,
        site::{DeviceKey, EventKind, Input, Level, Site, SiteEvent, SiteView},
    },
    profit::{Watts, task::DecisionView},
};

/// How often a snapshot is made while things move.
const FASTEST: Duration = Duration::from_millis(250);

/// How often one is made while nothing does.
const AT_REST: Duration = Duration::from_secs(1);

/// How often it is looked who sleeps, while anybody does.
const LOOK_FOR_SLEEPERS: Duration = Duration::from_secs(2);

/// How long names are gathered before a person is asked.
const GATHER: Duration = Duration::from_secs(2);

/// How long until a person is asked for the same again.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// Devices that are named to a person.
const NAMED: usize = 20;

/// What is shown.
pub(super) struct Shown {
    /// What was decided last.
    pub decision: Option<DecisionView>,
    named: Arc<Named>,
    snapshot: watch::Sender<Arc<PowerSnapshot>>,
    receipts: VecDeque<Receipt>,
    past: Past,
    orphans: Orphans,
    sleepers: Arc<Sleepers>,
    /// When it is looked next who sleeps.
    sleepers_at: Instant,
    published: Instant,
    has_news: bool,
}

/// What a person is to do with machines of a group.
#[derive(Debug, Default)]
pub(super) struct Manual {
    wanted: BTreeMap<DeviceKey, Command>,
    /// When the next question may go out; `None` if nothing is wanted that was not said.
    due: Option<Instant>,
    /// What was asked last, of which machines, and when.
    said: Option<(Goal, BTreeSet<DeviceKey>, Instant)>,
}

impl Shown {
    /// `past` is what a side before has told and counted, `publish` where it was shown: it is until this one has something to show.
    pub fn new(
        (site, orders): (&Site, &Orders),
        named: Named,
        receipts: Vec<Receipt>,
        orphans: Orphans,
        (past, publish): (Past, Option<watch::Sender<Arc<PowerSnapshot>>>),
        now: Timestamp,
    ) -> Self {
        let named = Arc::new(named);
        let first = Arc::new(PowerSnapshot {
            named: named.clone(),
            mode: orders.mode(),
            site: site.view(now),
            orders: orders.controls().to_vec(),
            receipts: receipts.clone(),
            events: past.events.iter().cloned().collect(),
            over_cap: past.over_cap,
            totals: past.totals,
            orphans: orphans.clone(),
            certificates: Vec::new(),
            sleepers: Arc::default(),
        });
        let snapshot = match publish {
            Some(publish) => publish,
            None => watch::channel(first).0,
        };
        Self {
            decision: None,
            named,
            snapshot,
            receipts: receipts.into(),
            past,
            orphans,
            sleepers: Arc::default(),
            sleepers_at: Instant::now(),
            published: Instant::now(),
            has_news: true,
        }
    }

    /// What is shown, for whoever looks.
    pub fn subscribe(&self) -> watch::Receiver<Arc<PowerSnapshot>> {
        self.snapshot.subscribe()
    }

    /// Leaves all that outlives it.
    pub fn leave(self) -> (Past, watch::Sender<Arc<PowerSnapshot>>) {
        (self.past, self.snapshot)
    }

    /// A machine that no group has is gone for good.
    pub fn forget_orphan(&mut self, group: &str, device: &str) {
        self.orphans.forget(group, device);
        self.touch();
    }

    /// Something may have changed.
    pub fn touch(&mut self) {
        self.has_news = true;
    }

    /// When a snapshot is to be made.
    pub fn due(&self) -> Instant {
        self.published + if self.has_news { FASTEST } else { AT_REST }
    }

    pub fn is_due(&self, tick: Instant) -> bool {
        tick >= self.due()
    }

    /// Where groups are.
    pub fn phases(&self, view: &SiteView) -> Vec<Option<Phase>> {
        view.groups.iter().map(|group| group.as_ref().map(|group| group.phase)).collect()
    }

    pub fn publish(&mut self, tick: Instant, site: SiteView, orders: &Orders, certificates: Vec<Certificate>) {
        (self.published, self.has_news) = (tick, false);
        self.snapshot.send_replace(Arc::new(PowerSnapshot {
            named: self.named.clone(),
            mode: orders.mode(),
            site,
            orders: orders.controls().to_vec(),
            receipts: self.receipts.iter().cloned().collect(),
            events: self.past.events.iter().cloned().collect(),
            over_cap: self.past.over_cap,
            totals: self.past.totals,
            orphans: self.orphans.clone(),
            certificates,
            sleepers: self.sleepers.clone(),
        }));
    }

    /// A drain or a wake ended, and that is on the disk.
    pub fn receipt(&mut self, receipt: Receipt) {
        info!("group {:?}: {}; receipt {}", receipt.group, receipt.in_words(), receipt.event);
        self.past.totals.receipts += 1;
        self.receipts.truncate(SHOWN_RECEIPTS - 1);
        self.receipts.push_front(receipt);
        self.touch();
    }

    /// Logs an event, and keeps it if a person may want to know.
    pub fn tell(&mut self, now: Timestamp, event: SiteEvent) {
        match event.level {
            Level::Debug => debug!("{}", event.words),
            Level::Info => info!("{}", event.words),
            Level::Warn => warn!("{}", event.words),
            Level::Error => error!("{}", event.words),
        }
        self.past.totals.refusals += u64::from(event.kind == EventKind::Refusal);
        if event.level > Level::Debug {
            let about = event.group.and_then(|index| self.named.groups.get(index).cloned());
            self.past.totals.events += 1;
            self.past.events.truncate(MAX_PAST_EVENTS - 1);
            self.past.events.push_front(PastEvent { at: now, about, event });
        }
        self.touch();
    }

    /// The site's meter was read.
    pub fn metered(&mut self, cap: Option<Watts>, watts: Watts) {
        let Some(cap) = cap.filter(|cap| watts > *cap) else { return };
        let excess = watts.saturating_sub(cap);
        let over_cap = &mut self.past.over_cap;
        over_cap.readings += 1;
        over_cap.most = Some(over_cap.most.map_or(excess, |most| most.max(excess)));
    }
}

impl Keeper {
    /// Looks who sleeps, if it is time. What is shown stays the same as long as nobody else does.
    pub(super) fn look_for_sleepers(&mut self, tick: Instant, view: &SiteView) {
        let is_any =
            view.groups.iter().flatten().any(|group| group.sleeping.iter().chain(&group.waking).any(|n| *n > 0));
        let shown = &mut self.shown;
        if !is_any && *shown.sleepers == Sleepers::default() || is_any && tick < shown.sleepers_at {
            return;
        }
        shown.sleepers_at = tick + LOOK_FOR_SLEEPERS;
        let mut sleepers = Sleepers::default();
        let resting = self.devices.keys().filter(|key| self.site.rests(*key));
        for target in resting.filter_map(|key| self.devices.target(key)) {
            match (&target.worker, target.address) {
                (Some(worker), _) => sleepers.workers.insert(worker.clone()),
                (None, Some(address)) => sleepers.addresses.insert(address.to_canonical()),
                (None, None) => false,
            };
        }
        if *shown.sleepers != sleepers {
            shown.sleepers = Arc::new(sleepers);
        }
    }

    /// A device is to be told; a person is asked where nothing else can do it.
    pub(super) fn command(&mut self, tick: Instant, key: DeviceKey, command: Command) {
        let actuator = self.machines.actuators.get(key.group).and_then(Option::as_ref);
        if actuator.is_some_and(|actuator| actuator.is_manual()) {
            self.manual[key.group].wants(tick, key, command);
        } else {
            self.paces.told(self.clock.of(Timestamp::now()), key, &command);
            self.calls.command(key, command);
        }
    }

    /// Where nothing measures machines that a person switches, no group tells who is to be told: all of them are, as it is ordered.
    pub(super) fn ask_for_unmeasured(&mut self, tick: Instant, view: &SiteView) {
        if self.orders.mode() == Mode::DryRun {
            return;
        }
        for (group, view) in view.groups.iter().enumerate() {
            let (Some(view), true) = (view, self.is_unmeasured_by_hand(group)) else { continue };
            let wanted = match view.phase {
                Phase::ManualHold => continue,
                Phase::Lockout => Goal::Sleep,
                _ => view.order.goal,
            };
            let said = self.manual[group].last();
            // Who was never asked to put them to sleep need not be asked to wake them.
            if said == Some(wanted) || said.is_none() && wanted == Goal::Mine {
                continue;
            }
            let command = if wanted == Goal::Sleep { Command::Sleep } else { Command::Wake(None) };
            for (_, key) in self.devices.of(group) {
                self.manual[group].wants(tick, key, command.clone());
            }
        }
    }

    fn is_unmeasured_by_hand(&self, group: usize) -> bool {
        let moved = self.config.power.as_ref().and_then(|power| power.groups.get(group)?.as_ref());
        moved.is_some_and(|group| group.actuator == ActuatorKind::Manual && group.watts == WattsSource::None)
    }

    /// Asks people for what only they can do.
    pub(super) fn ask_people(&mut self, now: Timestamp, tick: Instant) {
        for group in 0..self.manual.len() {
            let Some((goal, keys)) = self.manual[group].ask(tick) else { continue };
            for key in &keys {
                self.site.handle(now, Input::Sent(*key));
            }
            let names: Vec<&str> = keys.iter().filter_map(|key| Some(&*self.devices.target(*key)?.name)).collect();
            let more = match names.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let what = if goal == Goal::Sleep { "put to sleep" } else { "wake" };
            let then = match self.is_unmeasured_by_hand(group) {
                true => {
                    "nothing measures them, so nobody here knows when it is done, and their power never counts as free"
                }
                false => "their watts are waited for",
            };
            let words = format!(
                "group {:?}: please {what} {} devices by hand; {then}: {}{more}",
                self.names[group],
                names.len(),
                names[..names.len().min(NAMED)].join(", ")
            );
            let event =
                SiteEvent { level: Level::Warn, kind: EventKind::Device, group: Some(group), words: words.into() };
            self.shown.tell(Timestamp::now(), event);
        }
    }

    /// When [`Keeper::ask_people`] has something to do.
    pub(super) fn people_due(&self) -> Option<Instant> {
        self.manual.iter().filter_map(|manual| manual.due).min()
    }
}

impl Manual {
    pub fn wants(&mut self, tick: Instant, key: DeviceKey, command: Command) {
        let is_other = self.said.as_ref().is_none_or(|(said, ..)| *said != goal(&command));
        if is_other {
            self.wanted.retain(|_, wanted| goal(wanted) == goal(&command));
        }
        let is_new = self.wanted.insert(key, command).is_none();
        let soon = tick + GATHER;
        // Who was asked for already waits for the question's next turn; a wake comes in as many parts as the ledger has room for.
        let was_asked = self.said.as_ref().filter(|(_, keys, _)| !is_other && keys.contains(&key));
        let at = was_asked.map_or(soon, |(.., at)| soon.max(*at + ASK_AGAIN));
        if is_new || self.due.is_none() {
            self.due = Some(self.due.map_or(at, |due| due.min(at)));
        }
    }

    /// What was asked last, or is to be asked next.
    pub fn last(&self) -> Option<Goal> {
        let next = self.wanted.values().next().map(goal);
        next.or_else(|| self.said.as_ref().map(|(said, ..)| *said))
    }

    /// A device is gone for good.
    pub fn leaves(&mut self, key: DeviceKey) {
        self.wanted.remove(&key);
        if let Some((_, said, _)) = &mut self.said {
            said.remove(&key);
        }
    }

    /// Nobody is asked for what was not asked yet.
    pub fn forget(&mut self) {
        self.wanted.clear();
        self.due = None;
    }

    /// Nobody is asked for this one, if that was not done yet.
    pub fn forget_one(&mut self, key: DeviceKey) {
        self.wanted.remove(&key);
    }

    pub fn ask(&mut self, tick: Instant) -> Option<(Goal, Vec<DeviceKey>)> {
        self.due.filter(|due| *due <= tick)?;
        self.due = None;
        let wanted = std::mem::take(&mut self.wanted);
        let first = wanted.values().next()?.clone();
        let goal_of_it = goal(&first);
        let of_it = wanted.iter().filter(|(_, command)| goal(command) == goal_of_it).map(|(key, _)| *key);
        let of_it: Vec<DeviceKey> = of_it.collect();
        let mut keys =
            self.said.take().filter(|(said, ..)| *said == goal_of_it).map_or_else(BTreeSet::new, |said| said.1);
        keys.extend(&of_it);
        self.said = Some((goal_of_it, keys, tick));
        Some((goal_of_it, of_it))
    }
}

fn goal(command: &Command) -> Goal {
    match command {
        Command::Sleep => Goal::Sleep,
        Command::Wake(_) => Goal::Mine,
    }
}
