//! The site draws more than it may: what must go at once, and for how long.
//!
//! Knows no prices. Leases go first, those of blocks that shed fast before the others, as many as it takes; then groups, the worst J/TH first,
//! at once and without canary or ramp, until what is expected is under the cap by the reserve. Groups in LOCKOUT or MANUAL_HOLD are a person's.
//!
//! ```text
//! expected = measured − what fast blocks were asked to shed, and still may − what devices draw that were told to sleep and not told twice
//! ```
//! A block that does not say how fast it sheds covers nothing that is measured: it may take hours, and a cap does not wait. It lasts until
//! what is measured was under the cap by the reserve for [`CALM_S`] seconds; then what was last wanted counts again.

use jiff::{SignedDuration, Timestamp};

use super::{
    Site,
    keeper::choose,
    leases::{granted, live},
    words::{EventKind, Level},
};
use crate::{
    power::{
        device::{Goal, later},
        group::{Input as GroupInput, Order, Phase},
        ledger::{LeaseId, Shed},
    },
    profit::Watts,
};

/// So long it has to be over before groups do again what was wanted of them.
const CALM_S: i64 = 60;

/// What a message to a block and the meter's next readings take on top of the time that the block needs.
const GRACE: SignedDuration = SignedDuration::from_secs(10);

/// Between two sentences about it.
const SAY_AGAIN: std::time::Duration = std::time::Duration::from_secs(60);

/// The site is over its cap, or was until a moment ago.
#[derive(Debug, Clone, Copy)]
pub(super) struct OverCap {
    since: Timestamp,
    say_again: Timestamp,
    calm_since: Option<Timestamp>,
}

impl Site {
    /// Sheds what must go; ends it when all is well.
    pub(super) fn guard_cap(&mut self, now: Timestamp) {
        match self.ledger.shed(now) {
            Some(shed) => self.shed(now, &shed),
            None => self.calms(now),
        }
    }

    fn shed(&mut self, now: Timestamp, shed: &Shed) {
        let new = OverCap { since: now, say_again: now, calm_since: None };
        let mut over = self.over_cap.unwrap_or(new);
        over.calm_since = None;
        if over.say_again <= now {
            over.say_again = later(now, SAY_AGAIN);
            self.tell(Level::Error, EventKind::OverCap, None, format!("{shed}: leases first, then the worst J/TH"));
        }
        self.over_cap = Some(over);
        self.shed_leases(now, shed.watts);
        self.shed_groups(now, shed.measured);
    }

    fn shed_leases(&mut self, now: Timestamp, need: Watts) {
        let mut need = need;
        // What was asked back in peace is wanted at once now.
        for block in 0..self.keepers.len() {
            let Some(id) = self.block_id(block) else { continue };
            for (lease, booked) in self.leases_of(&id) {
                if booked.revoked.is_none() {
                    continue;
                }
                let talk = self.keeper(block).and_then(|keeper| keeper.talks.get(&lease));
                if talk.and_then(|talk| talk.back).is_some_and(|back| !back.is_urgent) {
                    self.revoke(now, block, lease, true);
                }
                need = need.saturating_sub(booked.watts);
            }
        }
        for is_fast in [true, false] {
            let mut owners = Vec::new();
            for (block, keeper) in self.keepers.iter().enumerate() {
                let Some(keeper) = keeper.as_ref().filter(|keeper| keeper.terms.sheds_within.is_some() == is_fast)
                else {
                    continue;
                };
                let leases = self.leases_of(&keeper.terms.id);
                owners.extend(live(&leases).map(|(lease, booked)| (lease, booked.watts, block)));
            }
            let chosen = choose(owners.iter().map(|(lease, watts, _)| (*lease, *watts)).collect(), need);
            for (lease, watts, block) in owners {
                if chosen.contains(&lease) {
                    need = need.saturating_sub(watts);
                    self.revoke(now, block, lease, true);
                }
            }
        }
    }

    fn shed_groups(&mut self, now: Timestamp, measured: Watts) {
        let rules = &self.terms.rules;
        let goal = rules.cap.saturating_sub(rules.reserve);
        let mut excess = measured.saturating_sub(goal);
        if measured <= rules.cap || excess == Watts::ZERO {
            return;
        }
        excess = excess.saturating_sub(self.covered(now));
        let mut candidates = Vec::new();
        for (group, member) in self.members.iter().enumerate() {
            let Some(machine) = &member.group else { continue };
            if matches!(machine.phase(), Phase::Lockout | Phase::ManualHold) {
                continue;
            }
            let can = member.can_shed();
            let order = machine.order();
            let is_begun = order.urgent && machine.phase() == Phase::DrainPending;
            let going = match machine.phase() {
                // Nothing is told before it is tried again.
                Phase::Fault => Watts::ZERO,
                _ if is_begun => can.going + can.could,
                _ => can.going,
            };
            excess = excess.saturating_sub(going);
            let is_slow = order.goal == Goal::Sleep && !order.urgent && can.going + can.could > Watts::ZERO;
            let is_awake = order.goal == Goal::Mine && can.could > Watts::ZERO;
            if is_slow || is_awake {
                candidates.push((is_slow, can, group));
            }
        }
        // What is on its way down is only hurried; then the worst J/TH.
        candidates.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.joules.total_cmp(&a.1.joules)));
        for (is_slow, can, group) in candidates {
            if !is_slow && excess == Watts::ZERO {
                return;
            }
            self.shed_group(now, group, measured);
            excess = excess.saturating_sub(can.could);
        }
    }

    fn shed_group(&mut self, now: Timestamp, group: usize, measured: Watts) {
        let cap = self.terms.rules.cap;
        let Some(member) = self.members.get_mut(group) else { return };
        let Some(machine) = &mut member.group else { return };
        let before = machine.order().clone();
        member.shed.get_or_insert(before);
        let why = format!("the site draws {}, its cap is {}", measured.in_words(), cap.in_words());
        machine.handle(now, GroupInput::Order(Order { goal: Goal::Sleep, urgent: true, why: why.into() }, None));
        self.drain_group(now, group);
        let name = self.group_name(group);
        self.tell(
            Level::Error,
            EventKind::OverCap,
            Some(group),
            format!(
                "group {name:?} is put to sleep at once: the site draws {}, its cap is {}",
                measured.in_words(),
                cap.in_words()
            ),
        );
    }

    /// What fast blocks were asked to shed, still draw, and may still draw.
    fn covered(&self, now: Timestamp) -> Watts {
        let mut covered = Watts::ZERO;
        for keeper in self.keepers.iter().flatten() {
            let Some(within) = keeper.terms.sheds_within else { continue };
            let leases = self.leases_of(&keeper.terms.id);
            let is_late = |id: &LeaseId| {
                let back = keeper.talks.get(id).and_then(|talk| talk.back);
                back.is_none_or(|back| later(back.since, within).checked_add(GRACE).is_ok_and(|end| end <= now))
            };
            let going = leases.iter().copied().filter(|(id, lease)| lease.revoked.is_some() && !is_late(id));
            let rest = leases.iter().copied().filter(|(id, lease)| lease.revoked.is_none() || is_late(id));
            let keeps = granted(rest).max(keeper.terms.rules.idle);
            let drawn = self.ledger.block_draws(now, &keeper.terms.id).unwrap_or(Watts::ZERO);
            covered = covered + granted(going).min(drawn.saturating_sub(keeps));
        }
        covered
    }

    fn calms(&mut self, now: Timestamp) {
        let Some(mut over) = self.over_cap else { return };
        let rules = &self.terms.rules;
        let measured = self.ledger.draws(now);
        // What is not measured is not under the cap.
        let is_blind = rules.meter.is_some() && self.ledger.meter_says(now).is_none();
        if is_blind || measured > rules.cap.saturating_sub(rules.reserve) {
            over.calm_since = None;
            self.over_cap = Some(over);
            return;
        }
        let calm_since = *over.calm_since.get_or_insert(now);
        self.over_cap = Some(over);
        if now.duration_since(calm_since).as_secs() < CALM_S {
            return;
        }
        self.over_cap = None;
        let seconds = calm_since.duration_since(over.since).as_secs();
        self.tell(
            Level::Info,
            EventKind::OverCap,
            None,
            format!(
                "the site draws {}, under its cap again after {seconds} s: what was ordered before counts again",
                measured.in_words()
            ),
        );
        for group in 0..self.members.len() {
            let Some(before) = self.members[group].shed.take() else { continue };
            let (order, value) = self.members[group].wanted.clone().unwrap_or((before, None));
            if let Some(machine) = &mut self.members[group].group {
                machine.handle(now, GroupInput::Order(order, value));
            }
            self.drain_group(now, group);
        }
    }
}
