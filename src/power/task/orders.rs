//! What is to be done with groups and blocks: what was decided, what an operator ordered, and how far either goes.
//!
//! Pure. An operator's word holds until it is released or its time is over, and outlives the process. Who wins:
//!
//! | operator | decision | the group is told |
//! |---|---|---|
//! | drain | sleep, for the grid or for safety | sleep, at once (in mode `active`) |
//! | drain | any other | sleep |
//! | wake | sleep, for the grid or for safety | sleep (in mode `active`) |
//! | wake | any other | mine |
//! | hold | sleep, for the grid or for safety | sleep, at once (in mode `active`); it is held again as soon as that is over |
//! | hold | any other | nothing |
//! | lockout | any | nothing: it sleeps |
//! | nothing | for an operator's word that has ended | nothing, until it is decided anew |
//! | nothing | any other | what was decided, in mode `active`; else nothing |
//!
//! In mode `dry_run` nobody is told anything, and operators' orders are refused.

use jiff::Timestamp;

use crate::{
    config::Mode,
    power::{
        control::{Control, ControlError},
        device::Goal,
        group::{Order, Phase},
        site::{Input, Person},
    },
    profit::{Action, AiWhy, Decision, MoneyPerMwh, Watts, Why, task::DecisionView},
};

/// Operators' words, and what was told last.
#[derive(Debug)]
pub(super) struct Orders {
    mode: Mode,
    /// By the index of the group.
    controls: Vec<Option<Control>>,
    told: Vec<Option<(Goal, bool)>>,
    /// By the index of the group: its hold was overruled, and comes back.
    overruled: Vec<bool>,
    blocks: Vec<Option<Watts>>,
    /// What blocks were to have in another mode is to be taken back.
    ends_blocks: bool,
}

impl Orders {
    /// As they were left.
    pub fn new(mode: Mode, controls: Vec<Option<Control>>, blocks: usize) -> Self {
        let (told, overruled) = (vec![None; controls.len()], vec![false; controls.len()]);
        Self { mode, told, overruled, controls, blocks: vec![None; blocks], ends_blocks: false }
    }

    /// How far decisions go.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Sets that; what was told counts no more.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        // Who was to have more would grow on.
        self.ends_blocks = true;
        self.forget();
    }

    /// Whatever is decided next is told, whether it was told before or not.
    pub fn forget(&mut self) {
        self.told.fill(None);
        self.blocks.fill(None);
    }

    /// By the index of the group.
    pub fn controls(&self) -> &[Option<Control>] {
        &self.controls
    }

    /// Whether an operator's word on a group may be taken where it is now.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self, group: usize, name: &str, phase: Phase, control: &Control) -> Result<(), ControlError> {
        if self.mode == Mode::DryRun {
            return Err(ControlError::DryRun);
        }
        let now = self.controls.get(group).and_then(Option::as_ref);
        let is_locked = matches!(now, Some(Control::Lockout { .. })) || phase == Phase::Lockout;
        let refuse = |words: String| Err(ControlError::NothingToEnd(words));
        match control {
            Control::Unlock if !is_locked => refuse(format!("group {name:?} is not locked out")),
            Control::Unlock | Control::Lockout { .. } => Ok(()),
            _ if is_locked => refuse(format!("group {name:?} is locked out: somebody works on it; `unlock` ends that")),
            Control::Release if now.is_none() && !matches!(phase, Phase::Fault | Phase::ManualHold) => {
                refuse(format!("group {name:?} has no order that could be released"))
            }
            _ => Ok(()),
        }
    }

    /// Takes an operator's word on a group, which was checked and is on the disk. What the site is to be told.
    pub fn take(&mut self, group: usize, control: Control) -> Vec<Input> {
        let Some(slot) = self.controls.get_mut(group) else { return Vec::new() };
        let before = slot.take();
        let mut inputs = Vec::new();
        match &control {
            Control::Hold { why } => inputs.push(Input::Person(group, Person::Hold(why.clone()))),
            Control::Lockout { why } => inputs.push(Input::Person(group, Person::Lock(why.clone()))),
            Control::Unlock => inputs.push(Input::Person(group, Person::Unlock)),
            // Also a hold that nobody here remembers, or what a fault waits for.
            Control::Release => inputs.push(Input::Person(group, Person::Release)),
            Control::Drain { .. } | Control::Wake { .. } => {
                if matches!(before, Some(Control::Hold { .. })) {
                    inputs.push(Input::Person(group, Person::Release));
                }
                if let Control::Wake { why, .. } = &control {
                    inputs.push(Input::Person(group, Person::Rouse(why.clone())));
                }
            }
        }
        *slot = (!matches!(control, Control::Release | Control::Unlock)).then_some(control);
        (self.told[group], self.overruled[group]) = (None, false);
        inputs
    }

    /// What a person said that must be said again after a start.
    pub fn persons(&self) -> Vec<Input> {
        let said = self.controls.iter().enumerate().filter_map(|(group, control)| {
            let person = match control.as_ref()? {
                Control::Hold { why } => Person::Hold(why.clone()),
                Control::Lockout { why } => Person::Lock(why.clone()),
                _ => return None,
            };
            Some(Input::Person(group, person))
        });
        said.collect()
    }

    /// Groups whose order has ended by its time.
    pub fn expired(&self, now: Timestamp) -> Vec<usize> {
        let is_over = |until: Option<Timestamp>| until.is_some_and(|until| until <= now);
        let ended = self.controls.iter().enumerate().filter(|(_, control)| match control {
            Some(Control::Drain { until, .. } | Control::Wake { until, .. }) => is_over(*until),
            _ => false,
        });
        ended.map(|(group, _)| group).collect()
    }

    /// The engine's input for a group; `sleeps`: most of it was told to. What is held stays as it is, whatever it earns.
    pub fn of_engine(&self, group: usize, sleeps: bool) -> (bool, Option<Action>) {
        let is_overruled = self.overruled.get(group) == Some(&true);
        match self.controls.get(group).and_then(Option::as_ref) {
            // It sleeps for the grid alone: what it would do is what the grid is weighed against.
            Some(Control::Hold { .. }) if sleeps && !is_overruled => (false, Some(Action::Curtail)),
            Some(Control::Hold { .. }) => (false, Some(Action::Mine)),
            Some(Control::Lockout { .. }) => (true, None),
            Some(Control::Drain { .. }) => (false, Some(Action::Curtail)),
            Some(Control::Wake { .. }) => (false, Some(Action::Mine)),
            _ => (false, None),
        }
    }

    /// What the site is to be told, as far as that is new. `decided` is `None` where nothing is decided (yet).
    pub fn wanted(&mut self, decided: Option<&DecisionView>) -> Vec<Input> {
        if self.mode == Mode::DryRun {
            return Vec::new();
        }
        let mut inputs = Vec::new();
        let decisions = decided.map(|view| &view.decisions);
        let mut is_new = std::mem::take(&mut self.ends_blocks);
        let mut groups = Vec::with_capacity(self.controls.len());
        for (index, (control, told)) in self.controls.iter().zip(&mut self.told).enumerate() {
            let decision = decisions.and_then(|decisions| decisions.groups.get(index));
            let order = order(self.mode, control.as_ref(), decision);
            let next = order.as_ref().map(|(order, _)| (order.goal, order.urgent));
            if let Some(Control::Hold { why }) = control {
                let was_overruled = std::mem::replace(&mut self.overruled[index], next.is_some());
                if was_overruled && next.is_none() {
                    *told = None;
                    inputs.push(Input::Person(index, Person::Hold(why.clone())));
                }
            }
            let is_this_new = next.is_some() && *told != next;
            if is_this_new {
                (*told, is_new) = (next, true);
            }
            groups.push(order.filter(|_| is_this_new));
        }
        let decided = decisions.filter(|_| self.mode == Mode::Active).map(|decisions| &decisions.ai);
        for (decision, told) in decided.into_iter().flatten().zip(&mut self.blocks) {
            // What is not known moves nothing.
            if !matches!(decision.reason.why, AiWhy::Held { .. }) && *told != Some(decision.keeps) {
                (*told, is_new) = (Some(decision.keeps), true);
            }
        }
        // A block that is left out would have no wish of its own any more.
        let blocks = self.blocks.clone();
        inputs.extend(is_new.then_some(Input::Wanted { groups, blocks }));
        inputs
    }
}

fn order(mode: Mode, control: Option<&Control>, decision: Option<&Decision>) -> Option<(Order, Option<MoneyPerMwh>)> {
    let value = decision.and_then(|decision| decision.margins.value);
    let sleep = |urgent, why| Some((Order { goal: Goal::Sleep, urgent, why }, value));
    let decision = decision.filter(|_| mode == Mode::Active);
    let must_sleep = decision.filter(|decision| decision.action != Action::Mine && is_urgent(decision));
    match control {
        Some(Control::Lockout { .. }) => None,
        Some(Control::Hold { why }) => {
            let reason = &must_sleep?.reason;
            sleep(true, format!("its hold ({why}) is overruled until that is over: {reason}").into())
        }
        Some(Control::Drain { why, .. }) => match must_sleep {
            Some(decision) => sleep(true, decision.reason.to_string().into()),
            None => sleep(false, why.clone()),
        },
        Some(Control::Wake { why, .. }) => match must_sleep {
            Some(decision) => sleep(true, decision.reason.to_string().into()),
            None => Some((Order { goal: Goal::Mine, urgent: false, why: why.clone() }, value)),
        },
        Some(Control::Release | Control::Unlock) | None => {
            // What rests on a word that has ended is no decision: the engine has not heard of the end yet, and says so at once.
            let decision = decision.filter(|decision| !matches!(decision.reason.why, Why::Order | Why::Lockout))?;
            let why = decision.reason.to_string().into();
            match decision.action {
                Action::Mine => Some((Order { goal: Goal::Mine, urgent: false, why }, value)),
                Action::Ai | Action::Curtail => sleep(is_urgent(decision), why),
            }
        }
    }
}

/// The grid's word and safety wait for no dwell and no ramp.
fn is_urgent(decision: &Decision) -> bool {
    matches!(decision.reason.why, Why::Grid { .. } | Why::GridGone | Why::Unsafe)
}

#[cfg(test)]
mod tests;
