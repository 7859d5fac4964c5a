//! What operators ask of the power side and order from it.
//!
//! An order is checked, planned, written down, and only then done: what is answered with a plan outlives the process.

use jiff::Timestamp;

use super::{Keeper, MODE, MODE_OF_CONFIG};
use crate::{
    config::Mode,
    power::{
        Ask, MAX_RECEIPTS,
        control::{Control, ControlError, Plan},
        device::Goal,
        group::{Order, Phase},
        site::{EventKind, Input, Level, Person, SiteEvent},
    },
};

/// What follows the end of an order in mode `active`; the same words as in a plan.
const PRICES_DECIDE: &str = "prices decide again";

/// And in the others.
const NOBODY_DECIDES: &str = "prices move nothing in this mode: what sleeps stays asleep until `hashgate wake`";

impl Keeper {
    pub(super) fn answer_ask(&mut self, ask: Ask) {
        let now = self.clock.now(Timestamp::now());
        self.shown.touch();
        // Who has given up waiting gets no answer; what was ordered holds.
        match ask {
            Ask::Control { group, control, dry_run, answer } => {
                let _ = answer.send(self.control(now, &group, control, dry_run));
            }
            Ask::Forget { group, what, dry_run, answer } => {
                let _ = answer.send(self.forget_by_hand(now, &group, &what, dry_run));
            }
            Ask::Mode { mode, answer } => {
                let _ = answer.send(self.set_mode(now, mode));
            }
            Ask::Devices { group, answer } => {
                let devices = self.find(&group).map(|group| {
                    let mut devices = self.site.devices(now, group);
                    self.whereabouts(now, group, &mut devices);
                    devices
                });
                let _ = answer.send(devices);
            }
            Ask::Receipts { limit, answer } => {
                let receipts = self.journal.receipts(limit.min(MAX_RECEIPTS));
                let _ = answer.send(receipts.unwrap_or_else(|error| {
                    tracing::error!("{error}; no receipts can be shown");
                    Vec::new()
                }));
            }
        }
    }

    pub(super) fn find(&self, name: &str) -> Result<usize, ControlError> {
        let found = self.names.iter().position(|group| **group == *name);
        let index = found.ok_or_else(|| {
            let known: Vec<String> = self.names.iter().map(|name| format!("{name:?}")).collect();
            ControlError::UnknownGroup { name: name.to_owned(), known: known.join(", ") }
        })?;
        let is_managed = self.site.terms().groups.get(index).is_some_and(Option::is_some);
        if is_managed { Ok(index) } else { Err(ControlError::NotManaged(name.to_owned())) }
    }

    fn control(&mut self, now: Timestamp, name: &str, control: Control, dry_run: bool) -> Result<Plan, ControlError> {
        let group = self.find(name)?;
        let phase = self.site.view(now).groups.get(group).and_then(|view| Some(view.as_ref()?.phase));
        let checked = self.orders.check(group, name, phase.unwrap_or(Phase::Mining), &control);
        match checked {
            // What it would do may be asked in any mode.
            Err(ControlError::DryRun) if dry_run => {}
            other => other?,
        }
        let mut plan = self.site.plan(now, group, &control).ok_or_else(|| ControlError::NotManaged(name.to_owned()))?;
        self.add_times(group, &mut plan);
        if matches!(control, Control::Release | Control::Unlock) && self.orders.mode() != Mode::Active {
            plan.words.retain(|words| words != PRICES_DECIDE);
            plan.words.push(NOBODY_DECIDES.to_owned());
        }
        if dry_run {
            return Ok(plan);
        }
        let kept = Some(&control).filter(|control| !matches!(control, Control::Release | Control::Unlock));
        self.journal.order(name, kept).map_err(|error| ControlError::NotWritten(error.to_string()))?;
        let words = format!("group {name:?}: {}{}", words(&control), self.then(&control));
        self.shown.tell(
            now,
            SiteEvent { level: Level::Info, kind: EventKind::Other, group: Some(group), words: words.into() },
        );
        self.ordered(now, group, control);
        Ok(plan)
    }

    /// An order holds from now on, or ends.
    fn ordered(&mut self, now: Timestamp, group: usize, control: Control) {
        if matches!(control, Control::Hold { .. } | Control::Lockout { .. }) {
            // Nothing that was to be told before goes out any more: somebody may have a hand in the rack.
            self.calls.forget_commands_of(group);
            self.manual[group].forget();
        }
        for input in self.orders.take(group, control) {
            self.site.handle(now, input);
        }
        for wanted in self.orders.wanted(self.shown.decision.as_ref()) {
            self.site.handle(now, wanted);
        }
        self.tell_engine();
    }

    /// What follows the end of an order.
    fn then(&self, control: &Control) -> String {
        match (control, self.orders.mode()) {
            (Control::Release | Control::Unlock, Mode::Active) => format!("; {PRICES_DECIDE}"),
            (Control::Release | Control::Unlock, _) => format!("; {NOBODY_DECIDES}"),
            _ => String::new(),
        }
    }

    /// An order's time is over.
    pub(super) fn expire(&mut self, now: Timestamp, group: usize) {
        let Some(name) = self.names.get(group).cloned() else { return };
        if let Err(error) = self.journal.order(&name, None) {
            // It would come back with the next start, and end again at once.
            tracing::error!("{error}; the end of an order could not be written");
        }
        let mode = self.orders.mode();
        let was_drained = matches!(self.orders.controls().get(group), Some(Some(Control::Drain { .. })));
        // Nobody else would wake it.
        let wakes = mode == Mode::Advise && was_drained;
        let then = if wakes { "it is to mine again".to_owned() } else { self.then(&Control::Release)[2..].to_owned() };
        let words = format!("group {name:?}: the operator's order has ended by its time; {then}");
        self.shown.tell(
            now,
            SiteEvent { level: Level::Info, kind: EventKind::Other, group: Some(group), words: words.into() },
        );
        if mode == Mode::DryRun {
            // Nothing moves, so nothing is released that is held.
            self.orders.take(group, Control::Release);
            self.tell_engine();
            return;
        }
        self.ordered(now, group, Control::Release);
        if wakes {
            let why = "the operator's drain has ended by its time".into();
            let mut groups = vec![None; self.names.len()];
            groups[group] = Some((Order { goal: Goal::Mine, urgent: false, why }, None));
            // Blocks have no wish of their own in this mode.
            let blocks = vec![None; self.told.len()];
            self.site.handle(now, Input::Wanted { groups, blocks });
        }
    }

    fn set_mode(&mut self, now: Timestamp, mode: Mode) -> Result<Mode, ControlError> {
        let before = self.orders.mode();
        let of_config = self.config.profit.as_ref().map_or(Mode::DryRun, |profit| profit.mode);
        let settings = [(MODE, mode.label()), (MODE_OF_CONFIG, of_config.label())];
        self.journal.set(&settings).map_err(|error| ControlError::NotWritten(error.to_string()))?;
        if mode == before {
            return Ok(before);
        }
        let words = format!("the mode is {} from now on; it was {}", mode.label(), before.label());
        self.shown
            .tell(now, SiteEvent { level: Level::Warn, kind: EventKind::Other, group: None, words: words.into() });
        self.orders.set_mode(mode);
        if mode == Mode::DryRun {
            let view = self.site.view(now);
            self.phases = self.shown.phases(&view);
            self.stand_still(now);
        } else if before == Mode::DryRun {
            self.move_again(now);
        }
        self.tell_engine();
        for wanted in self.orders.wanted(self.shown.decision.as_ref()) {
            self.site.handle(now, wanted);
        }
        Ok(before)
    }

    /// Nothing is to move: what is on its way is held where it is.
    pub(super) fn stand_still(&mut self, now: Timestamp) {
        self.site.observe(true);
        self.calls.forget_commands();
        for (group, phase) in self.phases.iter().enumerate() {
            if phase.is_some_and(|phase| phase != Phase::Mining) {
                let why = "the mode is dry_run, which commands nothing";
                self.site.handle(now, Input::Person(group, Person::Hold(why.into())));
            }
        }
    }

    /// What a dry run held goes on, but for what a person holds.
    fn move_again(&mut self, now: Timestamp) {
        self.site.observe(false);
        for group in 0..self.names.len() {
            let is_held = matches!(self.orders.controls().get(group), Some(Some(Control::Hold { .. })));
            if !is_held {
                self.site.handle(now, Input::Person(group, Person::Release));
            }
        }
        for input in self.orders.persons() {
            self.site.handle(now, input);
        }
    }
}

/// What an operator said, for the log.
fn words(control: &Control) -> String {
    let until = |until: &Option<Timestamp>| until.map_or(String::new(), |until| format!(" until {until:.0}"));
    match control {
        Control::Drain { why, until: end } => format!("an operator orders it to sleep{}: {why}", until(end)),
        Control::Wake { why, until: end } => format!("an operator orders it to mine{}: {why}", until(end)),
        Control::Hold { why } => format!("an operator holds it as it is: {why}"),
        Control::Lockout { why } => format!("an operator locks it out: {why}"),
        Control::Release => "an operator's order, or its fault, is over".to_owned(),
        Control::Unlock => "its lockout is over".to_owned(),
    }
}
