//! The merit order: shares a site's power out among its sinks, the best margin first, under one cap and those of the feeders.
//!
//! Knows margins, watts and what holds a sink where it is; knows no time, no price and not whether a sink is miners or AI compute.
//!
//! ```text
//! 1  what cannot be taken away now (floor, hold, ramp down), in order of margin       cut only by the caps
//! 2  the rest, in order of margin: up to capacity, hold and ramp up, in whole blocks  as far as the caps leave room;
//!                                                                                     nothing to a sink that earns less than idling
//! ```
//! A share says what kept it from being more ([`Share::short`]) and from being less ([`Share::kept`]), so that nobody wonders why
//! a worse sink runs while a better one waits.
//!
//! Never over a cap, whatever the floors and holds add up to: what goes over it is cut, the worst margin first. The same sinks in
//! another order get the same shares: equal margins are ordered by [`Sink::id`]. Greedy is not optimal where blocks are large; who
//! owns large blocks compares several dispatches (`profit/decision.rs` does).

use crate::profit::{MoneyPerMwh, Watts};

/// Something that takes power and earns by it. All watts at the site meter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sink {
    /// Its own among the sinks of a dispatch; decides between equal margins.
    pub id: u32,
    /// What it earns over its power's cost, per MWh.
    pub margin: MoneyPerMwh,
    /// The most it can take.
    pub capacity: Watts,
    /// What it gets whatever it earns.
    pub floor: Watts,
    /// What it has now.
    pub now: Watts,
    /// The most it may gain in this step.
    pub ramp_up: Watts,
    /// The most it may lose in this step.
    pub ramp_down: Watts,
    /// Beyond its floor it takes multiples of this; nothing for any amount.
    pub block: Watts,
    /// What keeps it where it is.
    pub hold: Option<Hold>,
    /// Index into [`Limits::feeders`].
    pub feeder: Option<usize>,
}

/// What keeps a sink from losing what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It was switched too lately: it keeps what it has, and gets no more.
    Dwell,
    /// It was promised its power: it may get more, not less.
    Lease,
    /// It gives its power back and has not done so yet: it keeps what it has, and gets no more.
    Returning,
}

/// What bounded a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// A floor that is always served.
    Floor,
    /// The ramp of this step.
    Ramp,
    /// Whole blocks only.
    Block,
    /// Switched too lately.
    Dwell,
    /// A lease that is not returned.
    Lease,
    /// The site's cap.
    Cap,
    /// A feeder's cap.
    Feeder,
    /// It earns less than idling.
    Margin,
}

/// What is shared out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits<'a> {
    /// For all sinks together, base load taken off.
    pub cap: Watts,
    /// For the sinks of each feeder.
    pub feeders: &'a [Watts],
    /// What a MWh not drawn earns.
    pub idle: MoneyPerMwh,
}

/// What one sink gets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// How much.
    pub watts: Watts,
    /// Why not more; `None` at its capacity.
    pub short: Option<Bound>,
    /// Why it gets what merit alone would not give it; `None` where merit gives it all.
    pub kept: Option<Bound>,
}

/// Power that is smaller than this is a rounding of sums, not power.
const ROUNDING: f64 = 1e-6;

/// Shares power out; keeps its buffers between dispatches.
#[derive(Debug, Default)]
pub struct Merit {
    order: Vec<usize>,
    feeders: Vec<Watts>,
    shares: Vec<Share>,
}

impl Merit {
    /// What each sink gets, by its index in `sinks`.
    pub fn dispatch(&mut self, sinks: &[Sink], limits: &Limits<'_>) -> &[Share] {
        self.order.clear();
        self.order.extend(0..sinks.len());
        // Margins are finite by type, so `total_cmp` is their order.
        self.order.sort_unstable_by(|a, b| {
            let (a, b) = (&sinks[*a], &sinks[*b]);
            b.margin.get().total_cmp(&a.margin.get()).then(a.id.cmp(&b.id))
        });
        self.feeders.clear();
        self.feeders.extend_from_slice(limits.feeders);
        self.shares.clear();
        self.shares.resize(sinks.len(), Share { watts: Watts::ZERO, short: None, kept: None });
        let mut room = limits.cap;
        for index in 0..self.order.len() {
            let index = self.order[index];
            let sink = &sinks[index];
            let (least, kept) = sink.least();
            let (watts, cut) = self.fit(sink, least, room);
            self.take(sink, watts, &mut room);
            self.shares[index] = Share { watts, short: cut, kept: kept.filter(|_| watts > Watts::ZERO) };
        }
        for index in 0..self.order.len() {
            let index = self.order[index];
            self.top_up(index, &sinks[index], limits.idle, &mut room);
        }
        &self.shares
    }

    /// Adds what merit gives to what a sink keeps anyway.
    fn top_up(&mut self, index: usize, sink: &Sink, idle: MoneyPerMwh, room: &mut Watts) {
        let share = self.shares[index];
        if share.short.is_some() {
            return;
        }
        if sink.margin <= idle {
            let is_full = rounds_to_zero(sink.capacity.saturating_sub(share.watts));
            self.shares[index].short = (!is_full).then_some(Bound::Margin);
            return;
        }
        let (most, held) = sink.most();
        let wanted = most.saturating_sub(share.watts);
        let (fitting, cut) = self.fit(sink, wanted, *room);
        let given = sink.in_blocks(share.watts, fitting);
        let stopped_by_block = (given < fitting).then_some(Bound::Block);
        self.take(sink, given, room);
        let watts = share.watts + given;
        // At its capacity by merit: what also keeps it there is no news.
        let is_full = rounds_to_zero(sink.capacity.saturating_sub(watts));
        let short = if is_full { None } else { stopped_by_block.or(cut).or(held) };
        self.shares[index] = Share { watts, short, kept: share.kept };
    }

    /// As much of `wanted` as the caps leave room for, and which of them stopped it.
    fn fit(&self, sink: &Sink, wanted: Watts, room: Watts) -> (Watts, Option<Bound>) {
        let feeder = sink.feeder.and_then(|feeder| self.feeders.get(feeder)).copied();
        let fitting = feeder.map_or(room, |feeder| feeder.min(room));
        if rounds_to_zero(wanted.saturating_sub(fitting)) {
            return (wanted.min(fitting), None);
        }
        let by_feeder = feeder.is_some_and(|feeder| feeder < room);
        (fitting, Some(if by_feeder { Bound::Feeder } else { Bound::Cap }))
    }

    fn take(&mut self, sink: &Sink, watts: Watts, room: &mut Watts) {
        *room = room.saturating_sub(watts);
        if let Some(feeder) = sink.feeder.and_then(|feeder| self.feeders.get_mut(feeder)) {
            *feeder = feeder.saturating_sub(watts);
        }
    }
}

impl Sink {
    /// What cannot be taken from it in this step.
    pub fn least_of_all(&self) -> Watts {
        self.least().0
    }

    /// What cannot be taken from it in this step, and why.
    fn least(&self) -> (Watts, Option<Bound>) {
        let mut least = (self.floor, Bound::Floor);
        let after_ramp = self.now.saturating_sub(self.ramp_down);
        if after_ramp > least.0 {
            least = (after_ramp, Bound::Ramp);
        }
        if let Some(hold) = self.hold
            && self.now > least.0
        {
            least = (self.now, if hold == Hold::Dwell { Bound::Dwell } else { Bound::Lease });
        }
        let watts = least.0.min(self.capacity);
        (watts, (watts > Watts::ZERO).then_some(least.1))
    }

    /// The most it may have after this step, and what stops it there; `None` is its capacity.
    fn most(&self) -> (Watts, Option<Bound>) {
        let held = match self.hold {
            Some(Hold::Dwell) => Some((self.now.max(self.floor), Bound::Dwell)),
            Some(Hold::Returning) => Some((self.now.max(self.floor), Bound::Lease)),
            Some(Hold::Lease) | None => None,
        };
        let ramped = ((self.now + self.ramp_up).max(self.floor), Bound::Ramp);
        let (most, by) = held.map_or(ramped, |held| if held.0 <= ramped.0 { held } else { ramped });
        if most < self.capacity { (most, Some(by)) } else { (self.capacity, None) }
    }

    /// How much of `extra` makes whole blocks beyond the floor, where the sink has `watts` already.
    fn in_blocks(&self, watts: Watts, extra: Watts) -> Watts {
        if self.block <= Watts::ZERO {
            return extra;
        }
        let over_floor = (watts + extra).saturating_sub(self.floor).get();
        let blocks = (over_floor / self.block.get() + ROUNDING).floor();
        // A hold may keep a part of a block; it is not taken away here.
        let whole = self.floor.get() + blocks * self.block.get();
        Watts::clamped(whole - watts.get()).min(extra)
    }
}

fn rounds_to_zero(watts: Watts) -> bool {
    watts.get() < ROUNDING
}

#[cfg(test)]
mod tests;
