//! One AI block: what it has, what it could take, and how it gives back.
//!
//! Knows its terms, its readings and the clock it is told; knows no miner and no cap.
//!
//! | the block | has at least | may get |
//! |---|---|---|
//! | is not running | nothing | what there is demand for |
//! | runs, within its `min_term` | what it has, as far as there is demand | more |
//! | runs, after that | nothing | more |
//! | was asked for power, `notice` is not over | what it has | nothing more |
//! | its price, its demand or the power price is unknown | what it has, for `max_hold` and its term; then `after_hold` | nothing more |
//! | the grid allows a share, the block is `interruptible` | its term, less what is over the share: that goes at once | more |
//! | the grid allows a share, the block is not | as ever: its term, its notice | nothing more |
//! | the grid allows nothing | nothing, at once | nothing |
//!
//! Under the grid's share a block is a sink like others: its margin says whether it is cut before miners are.
//! All watts here are at the site meter (IT × PUE). This is the engine's idea of leases; the power ledger has the last word.

use jiff::{SignedDuration, Timestamp};

use super::{
    group::{hours, until},
    reason::{AiWhy, What, seen},
};
use crate::{
    config::{AfterHold, Ai, Policy},
    power::{Hold, Sink},
    profit::{
        economics::{at_meter, start_up},
        inputs::AiInput,
        reading::Reading,
        units::{LIMIT, MoneyPerMwh, Ratio, Watts},
    },
};

/// What is remembered of an AI block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    pub granted: Watts,
    since: Option<Timestamp>,
    unknown_since: Option<Timestamp>,
    /// Power that was asked back: when it is there, and what the block keeps.
    returning: Option<(Timestamp, Watts)>,
}

/// An AI block at one evaluation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    pub sink: Sink,
    /// At the meter, over the cost of power; `None` where that is not known.
    pub margin: Option<MoneyPerMwh>,
    /// Why it gets what it gets, unless the dispatch says otherwise.
    pub why: Option<AiWhy>,
    /// The grid takes power now, and this block's without notice.
    is_cut: bool,
}

/// What the site says to all blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'p> {
    pub now: Timestamp,
    /// Price and delivery.
    pub cost: Reading<MoneyPerMwh>,
    /// The share of the cap that the grid allows.
    pub allowed: Ratio,
    /// What the site draws over that share.
    pub excess: Watts,
    pub policy: &'p Policy,
}

impl Lease {
    /// A block that has nothing.
    pub fn none() -> Self {
        Self { granted: Watts::ZERO, since: None, unknown_since: None, returning: None }
    }

    /// What the block asks for. `id` is its own among the sinks.
    pub fn offer(&mut self, id: u32, ai: &Ai, input: &AiInput, terms: &Terms<'_>) -> Offer {
        if let Some((at, keeps)) = self.returning
            && terms.now >= at
        {
            self.keeps(keeps);
        }
        let unknown = (seen(What::PowerPrice, &terms.cost).err()).or(seen(What::AiPrice, &input.value).err()).or(seen(
            What::AiDemand,
            &input.demand,
        )
        .err());
        if unknown.is_none() {
            self.unknown_since = None;
        }
        let value = input.value.fresh().map(|value| at_meter(value, ai.pue));
        let margin = value.zip(terms.cost.fresh()).map(|(value, cost)| value - cost);
        let demanded = demanded(ai, input.demand.fresh().unwrap_or(Ratio::ZERO));
        let is_shut = terms.allowed <= Ratio::ZERO;
        let is_cut = ai.interruptible && terms.excess > Watts::ZERO;
        let mut offer = Offer {
            sink: Sink {
                id,
                margin: margin.unwrap_or(MoneyPerMwh::ZERO),
                capacity: demanded,
                floor: Watts::ZERO,
                now: self.granted,
                ramp_up: demanded,
                ramp_down: self.granted,
                block: at_meter_watts(ai.block, ai.pue),
                hold: None,
                feeder: ai.feeder,
            },
            margin,
            why: None,
            is_cut: is_cut || is_shut,
        };
        if is_shut {
            offer.keep(Watts::ZERO, AiWhy::Grid { allowed: terms.allowed });
        } else if let Some((at, keeps)) = self.returning {
            // What is on its way back is the first that the grid gets.
            let left = if is_cut { self.granted.saturating_sub(terms.excess).max(keeps) } else { self.granted };
            offer.keep(left, AiWhy::Returning { left: at.duration_since(terms.now) });
        } else if let Some(unknown) = unknown {
            if self.is_held_too_long(ai, terms) {
                // A dead sender must not leave miners asleep for ever: all is asked back, with the block's notice.
                offer.sink.margin = MoneyPerMwh::clamped(-LIMIT);
                (offer.sink.capacity, offer.margin) = (self.granted, None);
                offer.why = Some(AiWhy::HoldOver { unknown, waited: terms.policy.max_hold });
            } else {
                offer.keep(self.granted, AiWhy::Held { unknown });
            }
        } else if demanded <= Watts::ZERO {
            offer.why = Some(AiWhy::NoDemand);
        } else {
            if terms.allowed < Ratio::ONE && !ai.interruptible && demanded > self.granted {
                // Power that the grid may want next is not promised to who does not give it back at once.
                offer.sink.capacity = self.granted;
                offer.why = Some(AiWhy::Grid { allowed: terms.allowed });
            }
            let left = self.term_left(ai, terms.now);
            if left > SignedDuration::ZERO {
                if is_cut {
                    offer.sink.ramp_down = self.granted.min(terms.excess);
                } else {
                    offer.sink.hold = Some(Hold::Lease);
                }
                offer.why = Some(AiWhy::Leased { left });
            }
            if self.granted <= Watts::ZERO {
                // What is not running yet has its start to earn, within the time it is sure to run.
                let cost = terms.cost.fresh().unwrap_or(MoneyPerMwh::ZERO);
                let start = start_up(cost, ai.warm_up.as_secs_f64(), ai.wear_per_mw);
                offer.sink.margin = offer.sink.margin - start.per_hours(hours(ai.horizon(terms.policy.expected_dwell)));
            }
        }
        offer
    }

    /// Takes what the dispatch gives. Less than before comes back after the block's notice: true if that began just now.
    pub fn becomes(&mut self, watts: Watts, ai: &Ai, offer: &Offer, now: Timestamp) -> bool {
        if let Some((_, keeps)) = self.returning {
            if offer.is_cut && watts <= keeps {
                self.keeps(watts);
            } else if offer.is_cut {
                self.granted = self.granted.min(watts);
            }
            return false;
        }
        if watts >= self.granted {
            if self.granted <= Watts::ZERO && watts > Watts::ZERO {
                self.since = Some(now);
            }
            self.granted = watts;
            return false;
        }
        // What nobody computes on, or the grid takes, needs no notice.
        let is_free = offer.is_cut || offer.why == Some(AiWhy::NoDemand);
        let used = self.granted.min(offer.sink.capacity);
        let is_at_once = ai.notice.is_zero() || is_free;
        if !is_free && self.term_left(ai, now) > SignedDuration::ZERO {
            // Only the grid's share can leave too little for what was promised; then this is over it until the term ends.
            self.keeps(watts.max(used));
        } else if is_at_once || watts >= used {
            self.keeps(watts);
        } else {
            let at = now.saturating_add(SignedDuration::try_from(ai.notice).unwrap_or(SignedDuration::MAX));
            self.returning = Some((at.unwrap_or(Timestamp::MAX), watts));
        }
        !is_at_once && self.returning.is_some()
    }

    /// Has so much from now on, and nothing to return.
    fn keeps(&mut self, watts: Watts) {
        *self = Self { granted: watts, since: self.since.filter(|_| watts > Watts::ZERO), returning: None, ..*self };
    }

    /// Has so much since then, whatever was decided.
    pub fn observe(&mut self, watts: Watts, since: Timestamp) {
        *self = Self { granted: watts, since: (watts > Watts::ZERO).then_some(since), ..Self::none() };
    }

    /// What it has once it has given back what was asked for.
    pub fn keeps_after_return(&self) -> Watts {
        self.returning.map_or(self.granted, |(_, keeps)| keeps)
    }

    /// What is left of its term.
    fn term_left(&self, ai: &Ai, now: Timestamp) -> SignedDuration {
        self.since.map_or(SignedDuration::ZERO, |since| until(since, ai.min_term, now))
    }

    /// Whether a number has been unknown for longer than power is left with it, and its term is over.
    fn is_held_too_long(&mut self, ai: &Ai, terms: &Terms<'_>) -> bool {
        let since = *self.unknown_since.get_or_insert(terms.now);
        let left = until(since, terms.policy.max_hold, terms.now).max(self.term_left(ai, terms.now));
        terms.policy.after_hold == AfterHold::Mine && left <= SignedDuration::ZERO && self.granted > Watts::ZERO
    }

    /// How long until power that was asked back is there.
    pub fn returns_in(&self, now: Timestamp) -> Option<SignedDuration> {
        self.returning.map(|(at, _)| at.duration_since(now))
    }
}

impl Offer {
    /// It keeps `watts`, no less and no more.
    fn keep(&mut self, watts: Watts, why: AiWhy) {
        self.sink.capacity = watts;
        self.sink.floor = watts;
        self.why = Some(why);
    }
}

/// What there is demand for, in whole blocks, at the meter.
fn demanded(ai: &Ai, demand: Ratio) -> Watts {
    let it = Watts::clamped(ai.power.get() * demand.get().min(1.0));
    let whole =
        if ai.block > Watts::ZERO { Watts::clamped((it.get() / ai.block.get()).floor() * ai.block.get()) } else { it };
    at_meter_watts(whole, ai.pue)
}

fn at_meter_watts(watts: Watts, overhead: Ratio) -> Watts {
    Watts::clamped(watts.get() * overhead.get())
}
