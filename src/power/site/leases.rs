//! Power that AI blocks are lent: given in leases, renewed, asked back whole, and believed to be back by the ledger's proof alone.
//!
//! | a block has | then |
//! |---|---|
//! | less than it should, and there is room | one lease more, when the last one was taken |
//! | more than it should | whole leases are asked back; the rest is given anew once they are back |
//! | a lease that it does not take, or does not use within `starts_within` | it is asked back; nothing more for a while, longer each time |
//! | a lease that is asked back and not back in time | told again and again, ever louder; the ASICs stay asleep |
//! | more draw than leases | all its leases are asked back at once |
//!
//! A block without a wish of its own (`None`) keeps what it has. Where machines that are ordered to wake wait for room, as much as their bounds
//! need is asked back, from blocks without a wish first, then also from the others: what a block is to have is shared out by what groups
//! draw, and nothing wakes but by what it may draw. That room is not lent anew while machines are to wake, so nothing goes to and fro.
//! Power of groups whose sleep ends with a blip of the supply goes only to blocks that shed fast ([`Site::room_for_slow`]).

use jiff::Timestamp;

use super::{
    Site,
    book::After,
    keeper::{Keeper, OVERDRAWN_READINGS, Talk, choose, expiry},
    member::Waiting,
    words::{EventKind, LeaseAnswer, LeaseMessage, LeaseOrder, Level, Output, Status, Write},
};
use crate::{
    power::{
        device::later,
        ledger::{Balance, BlockId, Booking, Lease, LeaseId},
    },
    profit::Watts,
};

/// What a grant leaves free: sums of many watts are off by less.
const MARGIN_W: f64 = 1.0;

/// Leases of a block from which on a new one has to be worth more: the ledger has a bound for them.
const MANY_LEASES: usize = 32;

/// Between two sentences about a block that draws too much.
const SAY_AGAIN: std::time::Duration = std::time::Duration::from_secs(600);

/// What nobody explains for so long, or twice as long, is a load: two comparisons of the meter with everybody's readings take less.
const LASTS: std::time::Duration = std::time::Duration::from_secs(60);

impl Site {
    /// The status of a block came.
    pub(super) fn handle_status(&mut self, now: Timestamp, block: usize, status: Status) {
        let Some(id) = self.block_id(block) else { return };
        self.ledger.see_epoch(status.epoch);
        if self.ledger.read_block(now, &id, status.drawn).is_err() {
            return;
        }
        let leases = self.leases_of(&id);
        let drawn = self.ledger.block_draws(now, &id);
        let over = self.ledger.overdraws(now, &id);
        let Some(keeper) = self.keeper(block) else { return };
        keeper.state = Some(status.state);
        if let Some(drawn) = drawn {
            keeper.draws(drawn, &leases);
        }
        let Some((drawn, allowed)) = over else {
            (keeper.overdrawn, keeper.overdrawn_again) = (0, None);
            return;
        };
        keeper.overdrawn += 1;
        if keeper.overdrawn < OVERDRAWN_READINGS || keeper.overdrawn_again.is_some_and(|again| now < again) {
            return;
        }
        keeper.overdrawn_again = Some(later(now, SAY_AGAIN));
        keeper.backs_off(now);
        let live: Vec<LeaseId> = live(&leases).map(|(id, _)| id).collect();
        let next = if live.is_empty() { "it has no lease" } else { "all its leases are asked back" };
        self.tell(
            Level::Error,
            EventKind::Overdrawn,
            None,
            format!(
                "AI block {:?} draws {}, it may draw {}: {next}, and nobody is given more until it draws less",
                id.as_str(),
                drawn.in_words(),
                allowed.in_words()
            ),
        );
        for lease in live {
            self.revoke(now, block, lease, true);
        }
    }

    /// What a block says to a message about a lease.
    pub(super) fn handle_answer(&mut self, now: Timestamp, block: usize, lease: LeaseId, answer: LeaseAnswer) {
        let Some(id) = self.block_id(block) else { return };
        let Some((_, booked)) = self.leases_of(&id).into_iter().find(|(other, _)| *other == lease) else { return };
        match answer {
            LeaseAnswer::Taken => {
                if let Some(talk) = self.keeper(block).and_then(|keeper| keeper.talks.get_mut(&lease))
                    && talk.back.is_none()
                {
                    (talk.is_taken, talk.tell_at) = (true, None);
                }
            }
            // It says when it has released it if it is asked again.
            LeaseAnswer::Releasing => {}
            LeaseAnswer::Released | LeaseAnswer::Refused => {
                if booked.revoked.is_none() {
                    let said = if answer == LeaseAnswer::Refused { "refuses" } else { "gave back, unasked," };
                    let pause = self.keeper(block).map_or(0, |keeper| keeper.backs_off(now).as_secs());
                    self.tell(
                        Level::Warn,
                        EventKind::NotStarted,
                        None,
                        format!(
                            "AI block {:?} {said} lease {lease} of {}; it is given nothing more for {pause} s",
                            id.as_str(),
                            booked.watts.in_words()
                        ),
                    );
                    self.revoke(now, block, lease, false);
                }
                self.ledger.acknowledge_release(&id, lease, now);
                if let Some(talk) = self.keeper(block).and_then(|keeper| keeper.talks.get_mut(&lease)) {
                    talk.tell_at = None;
                }
            }
        }
    }

    /// What time makes of all leases: told again, renewed, given up, back, overdue.
    pub(super) fn keep_leases(&mut self, now: Timestamp) {
        for block in 0..self.keepers.len() {
            let Some(id) = self.block_id(block) else { continue };
            for (lease, booked) in self.leases_of(&id) {
                if let Some(keeper) = self.keeper(block) {
                    keeper.talks.entry(lease).or_insert_with(|| Talk::new(now, true));
                }
                match booked.revoked {
                    None if lease == LeaseId::EVERYTHING => self.revoke(now, block, lease, true),
                    None => self.keep_live(now, block, &id, lease, &booked),
                    Some(_) => self.keep_revoked(now, block, &id, lease, &booked),
                }
            }
        }
    }

    fn keep_live(&mut self, now: Timestamp, block: usize, id: &BlockId, lease: LeaseId, booked: &Lease) {
        let term = self.terms.lease_term;
        let Some(keeper) = self.keeper(block) else { return };
        let Some(talk) = keeper.talks.get(&lease).copied() else { return };
        // What an earlier life gave is told anew, with our epoch, before it is asked whether it was taken.
        let is_inherited = talk.is_written && talk.since == now && talk.tell_at == Some(now);
        if !is_inherited && keeper.is_unused(now, lease, booked) {
            let pause = keeper.backs_off(now).as_secs();
            let what = if talk.is_live() { "draws nothing more with" } else { "did not take" };
            self.tell(Level::Warn, EventKind::NotStarted, None, format!(
                "AI block {:?} {what} lease {lease} of {}: it is asked back, and the block is given nothing more for {pause} s",
                id.as_str(), booked.watts.in_words()
            ));
            self.revoke(now, block, lease, false);
            return;
        }
        let half = term.checked_div(2).unwrap_or(term);
        let is_due = talk.is_live() && booked.expires.duration_since(now) <= half;
        if is_inherited || is_due {
            match self.ledger.renew(now, id, lease, expiry(now, term)) {
                Ok(()) => self.say_lease(now, block, id, lease),
                Err(refusal) => self.refuse_block(block, &refusal.to_string()),
            }
        } else if talk.tell_at.is_some_and(|at| at <= now) {
            self.say_lease(now, block, id, lease);
        }
    }

    fn keep_revoked(&mut self, now: Timestamp, block: usize, id: &BlockId, lease: LeaseId, booked: &Lease) {
        let Some(keeper) = self.keeper(block) else { return };
        // Asked back by an earlier life of this process.
        if keeper.talks.get(&lease).is_some_and(|talk| talk.back.is_none()) {
            keeper.asks_back(now, lease, false);
        }
        let Some(talk) = keeper.talks.get(&lease).copied() else { return };
        if talk.is_returning {
            return;
        }
        // What a block draws is held against all its other leases: of two that come back, the second is proved without the first.
        let is_first = self.keepers[block].as_ref().is_some_and(|keeper| !keeper.is_returning());
        if let (true, Ok(entry)) = (is_first, self.ledger.returned(id, lease)) {
            self.book.write(Write::Entry(entry.clone()));
            self.book.then(After::Free(entry));
            if let Some(talk) = self.keeper(block).and_then(|keeper| keeper.talks.get_mut(&lease)) {
                talk.is_returning = true;
            }
            return;
        }
        let escalates = self.keeper(block).and_then(|keeper| keeper.escalates(now, lease));
        if let Some(was_told) = escalates {
            let level = if was_told { Level::Error } else { Level::Warn };
            let since = booked.revoked.map_or(0, |revoked| now.duration_since(revoked).as_secs());
            let why = self.ledger.returned(id, lease).err().map(|why| why.to_string()).unwrap_or_default();
            self.tell(level, EventKind::NotReturned, None, format!(
                "AI block {:?} has not given back lease {lease} of {}, asked back {since} s ago: {why}; what slept for it stays asleep",
                id.as_str(), booked.watts.in_words()
            ));
        }
        if talk.tell_at.is_some_and(|at| at <= now) {
            self.say_lease(now, block, id, lease);
        }
    }

    /// What blocks should have less is asked back, and what groups need that are to wake.
    pub(super) fn ask_back(&mut self, now: Timestamp) {
        self.unexplained.see(now, self.ledger.unexplained());
        for block in 0..self.keepers.len() {
            let Some(id) = self.block_id(block) else { continue };
            let Some((Some(wanted), least)) = self.keeper(block).map(|keeper| (keeper.wanted, keeper.least())) else {
                continue;
            };
            let leases = self.leases_of(&id);
            let surplus = granted(live(&leases)).saturating_sub(wanted);
            if surplus > Watts::ZERO && (wanted == Watts::ZERO || surplus >= least) {
                for lease in choose(live(&leases).map(|(id, lease)| (id, lease.watts)).collect(), surplus) {
                    self.revoke(now, block, lease, false);
                }
            }
        }
        self.ask_back_for_wakes(now);
    }

    /// Where machines that are to wake wait for room: as much as their bounds need, from blocks without a wish of their own first. What a
    /// block is to have was reckoned with what groups draw, and a wake needs what they may draw: the difference is no block's.
    fn ask_back_for_wakes(&mut self, now: Timestamp) {
        let waiting: Vec<Waiting> = self.members.iter().map(|member| member.waiting(now, &self.ledger)).collect();
        let most: Watts = waiting.iter().map(|waiting| waiting.most).sum();
        if most == Watts::ZERO {
            return;
        }
        let more: Watts = waiting.iter().map(|waiting| waiting.more).sum();
        // A step of the load looks unexplained until everybody was read again: nobody gives back for that.
        let balance = Balance { unexplained: self.unexplained.lasts(), ..self.ledger.balance(now) };
        let need = (balance.total() + more).saturating_sub(balance.cap).min(most);
        self.revoke_for_wakes(now, need, |_| true);
        if self.lends_slowly() {
            // Who sleeps through a blip must not wake into what the blip would take.
            let each = || self.members.iter().zip(&waiting).filter(|(member, _)| member.survives);
            let most: Watts = each().map(|(_, waiting)| waiting.most).sum();
            let more: Watts = each().map(|(_, waiting)| waiting.more).sum();
            let need = (more + self.blip(now, &balance)).saturating_sub(balance.cap).min(most);
            self.revoke_for_wakes(now, need, |keeper| keeper.terms.sheds_within.is_none());
        }
    }

    /// Asks leases of such blocks back that add up to so much, but for what is asked back already.
    fn revoke_for_wakes(&mut self, now: Timestamp, mut need: Watts, of: impl Fn(&Keeper) -> bool) {
        for has_wish in [false, true] {
            let mut owners = Vec::new();
            for (block, keeper) in self.keepers.iter().enumerate() {
                let Some(keeper) = keeper.as_ref().filter(|keeper| of(keeper)) else { continue };
                let leases = self.leases_of(&keeper.terms.id);
                if !has_wish {
                    need = need.saturating_sub(granted(leases.iter().copied()).saturating_sub(granted(live(&leases))));
                }
                if keeper.wanted.is_some() == has_wish {
                    owners.extend(live(&leases).map(|(lease, booked)| (lease, booked.watts, block)));
                }
            }
            let chosen = choose(owners.iter().map(|(lease, watts, _)| (*lease, *watts)).collect(), need);
            for (lease, watts, block) in owners {
                if chosen.contains(&lease) {
                    need = need.saturating_sub(watts);
                    self.revoke(now, block, lease, false);
                }
            }
        }
    }

    /// What blocks should have more is given, as far as there is room.
    pub(super) fn grow(&mut self, now: Timestamp) {
        // What machines will count that are to wake is theirs: else it would be lent and asked back in turns.
        let to_come: Watts = self.members.iter().map(|member| member.to_come(now, &self.ledger)).sum();
        for block in 0..self.keepers.len() {
            let Some(id) = self.block_id(block) else { continue };
            let leases = self.leases_of(&id);
            let Some(keeper) = self.keepers[block].as_ref() else { continue };
            let Some(wanted) = keeper.wanted else { continue };
            let missing = keeper.in_steps(wanted.saturating_sub(granted(leases.iter().copied())));
            if missing == Watts::ZERO {
                self.allow_block(block);
                continue;
            }
            // Order is law: asked back, back, and only then given to somebody.
            let is_giving_back = leases.iter().any(|(_, lease)| lease.revoked.is_some());
            let is_asked = keeper.talks.values().any(|talk| !talk.is_live());
            if is_giving_back || is_asked {
                continue;
            }
            if let Some(until) = keeper.waits_until(now) {
                let why = format!("it did not use what it was given; it is given more from {until:.0} on");
                self.refuse_block(block, &why);
                continue;
            }
            if self.ledger.block_draws(now, &id).is_none() {
                self.refuse_block(block, "its status is not known");
                continue;
            }
            let (least, is_fast) = (keeper.least(), keeper.terms.sheds_within.is_some());
            let balance = match self.ledger.may_increase(now) {
                Ok(balance) => balance,
                Err(refusal) => {
                    self.refuse_block(block, &refusal.to_string());
                    continue;
                }
            };
            let room = if is_fast { balance.room() } else { self.room_for_slow(now, &balance) };
            // What it counts already is no increase.
            let counted = self.ledger.block_counts(now, &id).saturating_sub(granted(leases.iter().copied()));
            let room = (room.saturating_sub(to_come) + counted).saturating_sub(Watts::clamped(MARGIN_W));
            let Some(keeper) = self.keepers[block].as_ref() else { continue };
            let amount = keeper.in_steps(missing.min(room));
            let is_many = leases.len() >= MANY_LEASES;
            let is_worth_it = if is_many {
                amount >= Watts::clamped(4.0 * least.get())
            } else {
                amount >= least || amount == missing
            };
            if !is_worth_it || amount == Watts::ZERO {
                let (missing, free) = (missing.in_words(), room.in_words());
                let why = if to_come > Watts::ZERO {
                    let kept = to_come.in_words();
                    format!(
                        "{missing} more are wanted, {free} are free beside {kept} for machines that are to wake: {balance}"
                    )
                } else {
                    format!("{missing} more are wanted, {free} are free: {balance}")
                };
                self.refuse_block(block, &why);
                continue;
            }
            match self.ledger.grant(now, &id, amount, expiry(now, self.terms.lease_term)) {
                Ok(entry) => {
                    let Booking::Lease { lease, .. } = entry.what else { continue };
                    // It counts from now on; it is told once it is on disk.
                    self.ledger.apply(&entry);
                    self.book.write(Write::Entry(entry));
                    self.book.then(After::Given { block, lease });
                    if let Some(keeper) = self.keeper(block) {
                        keeper.talks.insert(lease, Talk::new(now, false));
                    }
                    self.allow_block(block);
                    self.tell(
                        Level::Info,
                        EventKind::Lease,
                        None,
                        format!(
                            "AI block {:?} is given {} more, lease {lease}: it should have {}",
                            id.as_str(),
                            amount.in_words(),
                            wanted.in_words()
                        ),
                    );
                }
                Err(refusal) => self.refuse_block(block, &refusal.to_string()),
            }
        }
    }

    /// What may be given so that a blip of the supply, which wakes every group that does not sleep through it, is met by what fast blocks shed:
    /// room + what fast blocks would shed − what such groups would draw more.
    pub(super) fn room_for_slow(&self, now: Timestamp, balance: &Balance) -> Watts {
        balance.cap.saturating_sub(self.blip(now, balance)).min(balance.room())
    }

    /// What would count after a blip, once fast blocks have shed.
    fn blip(&self, now: Timestamp, balance: &Balance) -> Watts {
        let unsafe_members = self.members.iter().filter(|member| !member.survives);
        let ids = unsafe_members.flat_map(|member| &member.devices).map(|known| &known.id);
        let would_wake: Watts = ids.map(|id| self.ledger.bound(id).saturating_sub(self.ledger.counts(now, id))).sum();
        let fast = self.keepers.iter().flatten().filter(|keeper| keeper.terms.sheds_within.is_some());
        let sheds: Watts = fast.map(|keeper| self.ledger.block_sheds(now, &keeper.terms.id)).sum();
        (balance.total() + would_wake).saturating_sub(sheds)
    }

    /// Whether blocks that shed slowly have anything.
    pub(super) fn lends_slowly(&self) -> bool {
        let slow = |id: &BlockId| {
            let keeper = self.keepers.iter().flatten().find(|keeper| keeper.terms.id == *id);
            keeper.is_none_or(|keeper| keeper.terms.sheds_within.is_none())
        };
        self.members.iter().any(|member| !member.survives) && self.ledger.leases().any(|(id, ..)| slow(id))
    }

    /// Asks a lease back.
    pub(super) fn revoke(&mut self, now: Timestamp, block: usize, lease: LeaseId, is_urgent: bool) {
        let Some(id) = self.block_id(block) else { return };
        let Some(deadline) = self.keeper(block).map(|keeper| keeper.asks_back(now, lease, is_urgent)) else { return };
        if let Some(entry) = self.ledger.revoke(now, &id, lease) {
            self.ledger.apply(&entry);
            self.book.write(Write::Entry(entry));
            let when = if is_urgent { "at once".to_owned() } else { format!("until {deadline:.0}") };
            self.tell(
                Level::Info,
                EventKind::Lease,
                None,
                format!("AI block {:?} is to give back lease {lease} {when}", id.as_str()),
            );
        }
        // To ask back takes power from nobody: it does not wait for the disk.
        self.say_lease(now, block, &id, lease);
    }

    /// Tells a block of a lease as it is now.
    pub(super) fn say_lease(&mut self, now: Timestamp, block: usize, id: &BlockId, lease: LeaseId) {
        let Some((_, booked)) = self.leases_of(id).into_iter().find(|(other, _)| *other == lease) else { return };
        let only_observes = self.only_observes();
        let epoch = self.epoch;
        let Some(keeper) = self.keeper(block) else { return };
        let repeat = keeper.repeats(lease);
        let Some(talk) = keeper.talks.get_mut(&lease) else { return };
        let watts = booked.watts;
        let what = match talk.back {
            Some(back) if booked.revoked.is_some() => LeaseOrder::Revoke { watts, deadline: back.deadline },
            _ if !talk.is_written || only_observes => return,
            _ => LeaseOrder::Grant { watts, expires: booked.expires },
        };
        talk.tell_at = Some(later(now, repeat));
        if !only_observes {
            self.out.push_back(Output::Tell(block, LeaseMessage { lease, epoch, what }));
        }
    }

    /// A lease is on disk.
    pub(super) fn handle_given(&mut self, now: Timestamp, block: usize, lease: LeaseId) {
        let Some(id) = self.block_id(block) else { return };
        if let Some(talk) = self.keeper(block).and_then(|keeper| keeper.talks.get_mut(&lease)) {
            (talk.is_written, talk.since) = (true, now);
        }
        self.say_lease(now, block, &id, lease);
    }

    /// A lease is back, and that is on disk.
    pub(super) fn handle_returned(&mut self, id: &BlockId, lease: LeaseId, drawn: Watts) {
        if let Some(keeper) = self.keepers.iter_mut().flatten().find(|keeper| keeper.terms.id == *id) {
            keeper.talks.remove(&lease);
        }
        self.tell(
            Level::Info,
            EventKind::Lease,
            None,
            format!("AI block {:?} has given back lease {lease}: it draws {}", id.as_str(), drawn.in_words()),
        );
    }

    pub(super) fn leases_of(&self, id: &BlockId) -> Vec<(LeaseId, Lease)> {
        self.ledger.leases_of(id).map(|(lease, booked)| (lease, *booked)).collect()
    }

    pub(super) fn block_id(&self, block: usize) -> Option<BlockId> {
        Some(self.keepers.get(block)?.as_ref()?.terms.id.clone())
    }

    pub(super) fn keeper(&mut self, block: usize) -> Option<&mut Keeper> {
        self.keepers.get_mut(block)?.as_mut()
    }

    fn refuse_block(&mut self, block: usize, why: &str) {
        if let Some(keeper) = self.keeper(block)
            && keeper.refused.as_deref() != Some(why)
        {
            keeper.refused = Some(why.into());
        }
    }

    fn allow_block(&mut self, block: usize) {
        if let Some(keeper) = self.keeper(block) {
            keeper.refused = None;
        }
    }
}

/// The least that was unexplained for a while: what passes is no load.
#[derive(Debug, Default)]
pub(super) struct Unexplained {
    /// Since when it is looked at, the least since then, and the least of the time before.
    looks: Option<(Timestamp, Watts, Watts)>,
}

impl Unexplained {
    fn see(&mut self, now: Timestamp, watts: Watts) {
        let (since, least, before) = self.looks.unwrap_or((now, watts, Watts::ZERO));
        let least = least.min(watts);
        let is_over = later(since, LASTS) <= now;
        self.looks = Some(if is_over { (now, watts, least) } else { (since, least, before) });
    }

    pub fn lasts(&self) -> Watts {
        self.looks.map_or(Watts::ZERO, |(_, least, before)| least.min(before))
    }
}

/// Of these, the ones that are not asked back.
pub(super) fn live(leases: &[(LeaseId, Lease)]) -> impl Iterator<Item = (LeaseId, Lease)> {
    leases.iter().copied().filter(|(_, lease)| lease.revoked.is_none())
}

/// What they add up to.
pub(super) fn granted(leases: impl Iterator<Item = (LeaseId, Lease)>) -> Watts {
    leases.map(|(_, lease)| lease.watts).sum()
}
