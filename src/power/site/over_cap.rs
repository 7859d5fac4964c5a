//! The site draws more than it may: what must go at once, and for how long.
//!
//! Knows no prices. Leases go first, those of blocks that shed fast before the others, as many as it takes; then groups, the worst J/TH first,
//! at once and without canary or ramp, until what is expected is under the cap by the reserve. A group that is held comes last, and is held
//! again afterwards. In LOCKOUT it sleeps, and what does not is a person's: somebody stands at the rack. What a group was to do before is in its
//! record, so that a crash leaves nobody asleep.
//!
//! ```text
//! expected = measured − what fast blocks were asked to shed, and still may − what devices draw that were told to sleep and not told twice
//! ```
//! Machines that wake unasked where the order is to mine are no drift of a drain, and draw nothing over the cap while AI compute pauses: they are
//! put to sleep by what the ledger counts ([`Site::restrain`]), and wake in their turn.
//!
//! A block that does not say how fast it sheds covers nothing that is measured: it may take hours, and a cap does not wait. It lasts until
//! what is measured was under the cap by the reserve for [`CALM_S`] seconds; then what was last wanted counts again.

use jiff::{SignedDuration, Timestamp};

use super::{
    Site,
    keeper::choose,
    leases::{granted, live},
    member::Early,
    words::{EventKind, Level},
};
use crate::{
    power::{
        device::{Goal, later},
        group::{Group, Input as GroupInput, Order, Overruled, Phase},
        ledger::{Balance, LeaseId, Shed},
    },
    profit::Watts,
};

/// So long it has to be over before groups do again what was wanted of them.
const CALM_S: i64 = 60;

/// What a message to a block and the meter's next readings take on top of the time that the block needs.
const GRACE: SignedDuration = SignedDuration::from_secs(10);

/// Between two sentences about it.
const SAY_AGAIN: std::time::Duration = std::time::Duration::from_secs(60);

/// What is said of a hold that no person of this life ordered.
const HELD: &str = "it was held before, and nobody remembers why";

/// Who sheds when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// It is on its way down: it is only hurried.
    Slow,
    Awake,
    /// A person's word is overruled last.
    Held,
}

/// The site is over its cap, or was until a moment ago.
#[derive(Debug, Clone, Copy)]
pub(super) struct OverCap {
    since: Timestamp,
    say_again: Timestamp,
    calm_since: Option<Timestamp>,
}

impl OverCap {
    /// It was over its cap when the last life of this process ended.
    pub fn resumed(now: Timestamp) -> Self {
        Self { since: now, say_again: now, calm_since: None }
    }
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
        let mut over = self.over_cap.unwrap_or(OverCap::resumed(now));
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
            if machine.phase() == Phase::Lockout {
                continue;
            }
            let is_held = machine.phase() == Phase::ManualHold;
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
            let turn = match (is_held, is_slow) {
                (true, _) => Turn::Held,
                (false, true) => Turn::Slow,
                (false, false) => Turn::Awake,
            };
            if is_slow || is_awake || is_held && can.could > Watts::ZERO {
                candidates.push((turn, can, group));
            }
        }
        candidates.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.joules.total_cmp(&a.1.joules)));
        for (turn, can, group) in candidates {
            if turn != Turn::Slow && excess == Watts::ZERO {
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
        let is_held = machine.phase() == Phase::ManualHold;
        let hold = is_held.then(|| member.hold.clone().unwrap_or_else(|| HELD.into()));
        let before = Overruled { order: machine.order().clone(), hold };
        let mut why = format!("the site draws {}, its cap is {}", measured.in_words(), cap.in_words());
        if let Some(hold) = &before.hold {
            why = format!("its hold ({hold}) is overruled: {why}");
        }
        member.shed.get_or_insert(before);
        machine.handle(now, GroupInput::Order(Order { goal: Goal::Sleep, urgent: true, why: why.into() }, None));
        self.drain_group(now, group);
        let name = self.group_name(group);
        self.tell(
            Level::Error,
            EventKind::OverCap,
            Some(group),
            format!(
                "group {name:?} is put to sleep at once{}: the site draws {}, its cap is {}",
                if is_held { ", although it is held" } else { "" },
                measured.in_words(),
                cap.in_words()
            ),
        );
    }

    /// Machines that woke before they were let to (a blip of the supply) sleep until they are, as far as they would take what AI compute
    /// has; the worst J/TH first. Where there is room they stay as they are: the ledger's word is all that they wait for.
    pub(super) fn restrain(&mut self, now: Timestamp) {
        let lent: Watts = self.ledger.leases().map(|(.., lease)| lease.watts).sum();
        // Who was not measured since the start counts in full, whatever it does.
        let is_probing = self.members.iter().filter_map(|member| member.group.as_ref()).any(Group::is_probing);
        if lent == Watts::ZERO || is_probing || self.only_observes() {
            return;
        }
        let balance = Balance { unexplained: self.unexplained.lasts(), ..self.ledger.balance(now) };
        let over = balance.total().saturating_sub(balance.cap).min(lent);
        if over == Watts::ZERO {
            return;
        }
        let going: Watts = self.members.iter().map(|member| member.restrained(now, &self.ledger)).sum();
        let mut excess = over.saturating_sub(going);
        let each = self.members.iter().enumerate();
        let mut early: Vec<(usize, Early)> =
            each.flat_map(|(group, member)| member.early(&self.ledger).map(move |early| (group, early))).collect();
        early.sort_by(|(_, a), (_, b)| b.joules.total_cmp(&a.joules));
        let mut told = vec![0; self.members.len()];
        for (group, early) in early {
            if !early.is_told {
                if excess == Watts::ZERO {
                    continue;
                }
                excess = excess.saturating_sub(early.gain);
                told[group] += 1;
            }
            self.tell_group(now, group, GroupInput::Restrain(early.index));
        }
        for (group, told) in told.into_iter().enumerate().filter(|(_, told)| *told > 0) {
            let (name, watts) = (self.group_name(group), lent.in_words());
            let machines = if told == 1 { "1 machine".to_owned() } else { format!("{told} machines") };
            let words = format!(
                "group {name:?}: {machines} woke before there was room: told to sleep until AI compute has given back enough of {watts}"
            );
            self.tell(Level::Warn, EventKind::Device, Some(group), words);
        }
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
            let (order, value) = self.members[group].wanted.clone().unwrap_or((before.order, None));
            if let Some(why) = before.hold {
                let name = self.group_name(group);
                let words =
                    format!("group {name:?} is held again ({why}): what sleeps stays asleep until it is released");
                self.tell(Level::Warn, EventKind::Phase, Some(group), words);
                self.tell_group(now, group, GroupInput::Hold(why));
            }
            self.tell_group(now, group, GroupInput::Order(order, value));
        }
    }
}
