//! Decides for each power group whether it mines, sleeps and leaves its power to AI compute, or just sleeps; and says why.
//!
//! Pure: `now` and [`Inputs`] in, [`Decisions`] out. Knows prices, policy and what it decided before; moves nothing and asks nobody.
//! The live task and the backtest run this same engine.
//!
//! ```text
//! each group by itself ─────── group.rs: lockout > safety > grid > order > schedule > economics, with a band and patience
//! under the caps ───────────── power/merit.rs: where not all that would mine fit, the best margins do
//! against AI compute ───────── which k groups to drain for it: the k that earns most, what a switch costs included
//! ```
//! The grid's share is a cap like the site's own, so it takes from groups and AI compute what earns least. While more is drawn than
//! that, no group is spared because it woke lately, and an `interruptible` block gives up power at once.
//!
//! What a switch costs is spread over the time that power is expected to stay where it is moved (`horizon` of an AI block): a mining
//! group counts as worth that much more, a sleeping one as that much less, AI that is not running as its start less. So a small
//! difference moves nothing.
//!
//! | mode | when |
//! |---|---|
//! | `MINING` | every group mines |
//! | `PARTIAL` | some do |
//! | `AI` | none does, and AI compute has power of theirs |
//! | `CURTAILED` | none does, and nobody has |
//!
//! The engine takes its decisions as carried out until [`Engine::observe`] tells it otherwise. Nothing is allocated per
//! evaluation once the buffers have grown. Work grows with groups squared where there are AI blocks, else linearly.

mod group;
mod lease;
mod reason;
mod rung;
#[cfg(test)]
mod tests;

use jiff::{SignedDuration, Timestamp};

use self::{
    group::{GroupState, Judgement, Site, hours},
    lease::{Lease, Offer, Terms},
};
use super::{
    economics::round_trip,
    inputs::{Action, Inputs},
    reading::Reading,
    units::{Currency, LIMIT, MoneyPerMwh, Ratio, Watts},
};
use crate::{
    config::{Profit, StaleGrid},
    power::{Limits, Merit, Sink},
};

pub use self::{
    reason::{AiReason, AiWhy, Fault, Reason, Unknown, What, Why},
    rung::{Rung, Rungs},
};

/// What a site does as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiteMode {
    /// Every group mines.
    Mining,
    /// Some groups mine.
    Partial,
    /// No group mines, and nobody has their power.
    Curtailed,
    /// No group mines, and AI compute has power of theirs.
    Ai,
}

impl std::fmt::Display for SiteMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mining => "MINING",
            Self::Partial => "PARTIAL",
            Self::Curtailed => "CURTAILED",
            Self::Ai => "AI",
        })
    }
}

/// What was decided at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Decisions {
    /// When.
    pub at: Timestamp,
    /// Of the site.
    pub mode: SiteMode,
    /// By the index of the group.
    pub groups: Vec<Decision>,
    /// By the index of the AI block.
    pub ai: Vec<AiDecision>,
}

/// What one group is to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    /// What it is to do.
    pub action: Action,
    /// Whether it is to do something else than before.
    pub is_new: bool,
    /// Since when it mines or sleeps; `None` since before the first evaluation.
    pub since: Option<Timestamp>,
    /// The case and its numbers; its `Display` is the sentence.
    pub reason: Reason,
    /// What the decision rests on.
    pub margins: Margins,
}

/// The money behind a decision, per MWh at the site meter; `None` where it is not known or not asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Margins {
    /// Power's price and delivery.
    pub cost: Option<MoneyPerMwh>,
    /// What mining earns.
    pub value: Option<MoneyPerMwh>,
    /// What mining earns over the cost.
    pub mining: Option<MoneyPerMwh>,
    /// What the best AI block with demand earns over the cost.
    pub ai: Option<MoneyPerMwh>,
    /// What curtailing is paid.
    pub curtail: Option<MoneyPerMwh>,
}

/// What one AI block is to have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AiDecision {
    /// Power at the site meter, with what was asked back and is not returned.
    pub watts: Watts,
    /// What of that it keeps: the rest was asked back, and is to be given back within the block's notice.
    pub keeps: Watts,
    /// Whether it is another amount than before.
    pub is_new: bool,
    /// The case and its numbers; its `Display` is the sentence.
    pub reason: AiReason,
}

impl AiDecision {
    /// How much, and why.
    pub fn in_words(&self) -> String {
        format!("is to have {} at the site meter: {}", self.keeps.in_words(), self.reason)
    }
}

/// Decides, and remembers what it decided.
#[derive(Debug)]
pub struct Engine {
    profit: Profit,
    groups: Vec<GroupState>,
    leases: Vec<Lease>,
    /// What each group draws at the meter, mining and asleep.
    draws: Vec<Draw>,
    /// What groups and AI compute may draw: the site's cap without its base load.
    cap: Watts,
    feeders: Vec<Watts>,
    has_caps: bool,
    /// What the grid allowed last.
    allowed: Ratio,
    decisions: Decisions,
    scratch: Scratch,
}

/// What a group draws at the meter.
#[derive(Debug, Clone, Copy)]
struct Draw {
    mining: Watts,
    asleep: Watts,
}

/// Buffers of an evaluation.
#[derive(Debug, Default)]
struct Scratch {
    judgements: Vec<Judgement>,
    offers: Vec<Offer>,
    sinks: Vec<Sink>,
    ai_sinks: Vec<Sink>,
    /// Groups that AI compute may outbid, the worst first.
    outbid: Vec<usize>,
    /// In which order groups are asked for the power that AI compute has.
    order: Vec<usize>,
    plan: Plan,
    best: Plan,
    /// What would be best if the grid took nothing; looked at only while it does.
    ungridded: Plan,
    feeders: Vec<Watts>,
    merit: Merit,
}

/// One way to share the site's power out.
#[derive(Debug, Default)]
struct Plan {
    /// What it earns an hour.
    worth: f64,
    /// Groups drained for AI compute, of `Scratch::outbid`.
    drained: usize,
    runs: Vec<bool>,
    ai: Vec<Watts>,
}

impl Engine {
    /// For a config. Every group counts as mining until told otherwise.
    pub fn new(profit: &Profit) -> Self {
        let at_meter = |watts: f64| Watts::clamped(watts * profit.site.overhead.get());
        let draws = profit.groups.iter().map(|group| {
            let (power, floor) = (group.power.unwrap_or(Watts::ZERO).get(), group.floor.get());
            let asleep = floor + (power - floor).max(0.0) * group.sleep_draw.get();
            Draw { mining: at_meter(power), asleep: at_meter(asleep.min(power)) }
        });
        let draws: Vec<Draw> = draws.collect();
        let all: Watts = draws.iter().map(|draw| draw.mining).sum();
        let mining: Vec<Decision> = profit.groups.iter().map(|_| undecided(profit.currency)).collect();
        Self {
            groups: profit.groups.iter().map(|_| GroupState::new()).collect(),
            leases: profit.ai.iter().map(|_| Lease::none()).collect(),
            draws,
            cap: profit.site.cap.map_or(all, |cap| cap.saturating_sub(profit.site.base_load)),
            feeders: profit.feeders.iter().map(|feeder| feeder.cap).collect(),
            has_caps: profit.site.cap.is_some() || !profit.feeders.is_empty() || profit.site.grid.is_some(),
            allowed: Ratio::ONE,
            decisions: Decisions {
                at: Timestamp::MIN,
                mode: SiteMode::Mining,
                groups: mining,
                ai: profit.ai.iter().map(|_| nothing(profit.currency)).collect(),
            },
            scratch: Scratch::default(),
            profit: profit.clone(),
        }
    }

    /// Another policy, other prices, other groups and AI blocks: what is remembered of those that stay, by their names, stays.
    pub fn follow(&mut self, profit: &Profit) {
        let Self { profit: old, groups, leases, allowed, decisions, .. } = std::mem::replace(self, Self::new(profit));
        let Decisions { at, mode, groups: decided, ai } = decisions;
        (self.allowed, self.decisions.at, self.decisions.mode) = (allowed, at, mode);
        for ((before, state), decision) in old.groups.iter().zip(groups).zip(decided) {
            if let Some(now) = profit.groups.iter().position(|group| group.name == before.name) {
                (self.groups[now], self.decisions.groups[now]) = (state, decision);
            }
        }
        for ((before, lease), decision) in old.ai.iter().zip(leases).zip(ai) {
            if let Some(now) = profit.ai.iter().position(|block| block.name == before.name) {
                (self.leases[now], self.decisions.ai[now]) = (lease, decision);
            }
        }
    }

    /// What a group really does, as the power side found out.
    pub fn observe(&mut self, group: usize, action: Action, now: Timestamp) {
        if let Some(state) = self.groups.get_mut(group) {
            state.becomes(action, now, &self.profit.policy);
        }
    }

    /// What an AI block really has since when, as the power side found out.
    pub fn observe_ai(&mut self, block: usize, watts: Watts, since: Timestamp) {
        if let Some(lease) = self.leases.get_mut(block) {
            lease.observe(watts, since);
        }
    }

    /// What was decided last.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// Decides. `now` must not go back; `inputs` has as many groups and AI blocks as the config.
    pub fn evaluate(&mut self, now: Timestamp, inputs: &Inputs) -> &Decisions {
        let grid_gone = self.read_grid(&inputs.grid);
        let cost = match self.profit.site.power_price {
            Some(_) => inputs.power_price.map(|price| price + self.profit.site.delivery),
            // Without a price, AI compute is weighed by what it earns.
            None => Reading::Fresh { value: MoneyPerMwh::ZERO, observed_at: Timestamp::MIN },
        };
        let site = Site {
            now,
            policy: &self.profit.policy,
            cost,
            curtail_pays: inputs.curtail_pays,
            hashprice: inputs.hashprice,
            overhead: self.profit.site.overhead,
            grid_gone,
            schedule: inputs.schedule,
        };
        let scratch = &mut self.scratch;
        scratch.judgements.clear();
        let each = self.groups.iter_mut().zip(&self.profit.groups).zip(&inputs.groups);
        scratch.judgements.extend(each.map(|((state, group), input)| state.judge(group, input, &site)));
        // A block that is asked for power keeps it for its notice, so what was shared out with that power is shared out anew.
        // Each round asks at least one block more.
        for _ in 0..=self.leases.len() {
            self.hear_offers(now, cost, inputs);
            self.share_out(inputs, self.allowed);
            if !self.grant(now) {
                break;
            }
        }
        if self.allowed < Ratio::ONE {
            // Who has less than this has the grid to thank for it.
            std::mem::swap(&mut self.scratch.best, &mut self.scratch.ungridded);
            self.share_out(inputs, Ratio::ONE);
            std::mem::swap(&mut self.scratch.best, &mut self.scratch.ungridded);
        }
        let cost = self.profit.site.power_price.as_ref().and(cost.fresh());
        self.decide(now, cost, inputs);
        &self.decisions
    }

    fn hear_offers(&mut self, now: Timestamp, cost: Reading<MoneyPerMwh>, inputs: &Inputs) {
        let excess = self.drawn().saturating_sub(self.room(self.allowed));
        let terms = Terms { now, cost, allowed: self.allowed, excess, policy: &self.profit.policy };
        let offers = &mut self.scratch.offers;
        offers.clear();
        let each = self.leases.iter_mut().zip(&self.profit.ai).zip(&inputs.ai).enumerate();
        offers.extend(each.map(|(index, ((lease, ai), input))| lease.offer(index as u32, ai, input, &terms)));
    }

    /// Grants what was shared out to AI blocks; true if one of them was asked for power and has notice.
    fn grant(&mut self, now: Timestamp) -> bool {
        let Scratch { offers, best, .. } = &self.scratch;
        let mut is_asked = false;
        for (((lease, ai), offer), watts) in self.leases.iter_mut().zip(&self.profit.ai).zip(offers).zip(&best.ai) {
            is_asked |= lease.becomes(*watts, ai, offer, now);
        }
        is_asked
    }

    /// Takes the grid's word; true if its signal is gone and that means to shed.
    fn read_grid(&mut self, grid: &Reading<Ratio>) -> bool {
        match grid {
            Reading::Never => self.allowed = Ratio::ONE,
            Reading::Fresh { value, .. } => self.allowed = *value,
            Reading::Stale { .. } | Reading::Split { .. } => {
                if self.profit.policy.stale_grid == StaleGrid::Curtail {
                    self.allowed = Ratio::ZERO;
                    return true;
                }
            }
        }
        false
    }

    /// What groups and AI compute may draw where the grid allows this share.
    fn room(&self, allowed: Ratio) -> Watts {
        if allowed >= Ratio::ONE {
            return self.cap;
        }
        // The grid's share is of the meter, which counts the base load too.
        let base_load = self.profit.site.base_load;
        Watts::clamped((self.cap + base_load).get() * allowed.get()).saturating_sub(base_load)
    }

    /// What groups and AI compute draw as decided last.
    fn drawn(&self) -> Watts {
        let each = self.groups.iter().zip(&self.draws);
        let groups: Watts = each.map(|(state, draw)| if state.mines() { draw.mining } else { draw.asleep }).sum();
        groups + self.leases.iter().map(|lease| lease.granted).sum()
    }

    /// Which groups run and what AI compute gets where the grid allows this share: into `scratch.best`.
    fn share_out(&mut self, inputs: &Inputs, allowed: Ratio) {
        let cap = self.room(allowed);
        let is_over = allowed < Ratio::ONE && self.drawn() > cap;
        let scratch = &mut self.scratch;
        if !self.has_caps && scratch.offers.is_empty() {
            scratch.best.runs.clear();
            scratch.best.runs.extend(scratch.judgements.iter().map(|judgement| judgement.runs));
            scratch.best.ai.clear();
            scratch.best.drained = 0;
            return;
        }
        let curtail_pays = inputs.curtail_pays.fresh().unwrap_or(MoneyPerMwh::ZERO);
        self.weigh(curtail_pays, is_over);
        let scratch = &mut self.scratch;
        let candidates = if scratch.offers.is_empty() { 0 } else { scratch.outbid.len() };
        scratch.best.worth = f64::NEG_INFINITY;
        for drained in 0..=candidates {
            scratch.try_draining(drained, &self.draws, cap, &self.feeders, curtail_pays);
            if scratch.plan.worth > scratch.best.worth {
                std::mem::swap(&mut scratch.plan, &mut scratch.best);
            }
        }
    }

    /// Makes sinks of the groups, and orders those that AI compute may outbid: also those that just woke if the grid is waiting.
    fn weigh(&mut self, curtail_pays: MoneyPerMwh, is_over: bool) {
        let scratch = &mut self.scratch;
        let policy = &self.profit.policy;
        let horizon = self.profit.ai.iter().map(|ai| ai.horizon(policy.expected_dwell)).min();
        let horizon_h = hours(horizon.unwrap_or(policy.expected_dwell));
        // The most that AI compute could give instead, where it wants power at all.
        let wanted = scratch.offers.iter().filter(|offer| offer.sink.capacity > Watts::ZERO);
        let best_ai = wanted.filter_map(|offer| offer.margin).reduce(MoneyPerMwh::max);
        scratch.sinks.clear();
        scratch.outbid.clear();
        for (index, judgement) in scratch.judgements.iter().enumerate() {
            let (state, group, draw) = (&self.groups[index], &self.profit.groups[index], self.draws[index]);
            let switch = judgement.value.map(|value| round_trip(value, &group.switch));
            let spread = switch.map_or(MoneyPerMwh::ZERO, |switch| switch.per_hours(horizon_h));
            let margin = match judgement.margin {
                // Not a matter of margins (an order, a verdict, a hold): before all others.
                None => MoneyPerMwh::clamped(LIMIT),
                Some(_) if judgement.is_fixed => MoneyPerMwh::clamped(LIMIT),
                Some(margin) if state.mines() => margin + spread,
                Some(margin) => margin - spread,
            };
            let gain = best_ai.zip(judgement.margin).map(|(ai, mining)| ai - mining);
            let gain = gain.map(|gain| gain.over(Watts::MEGAWATT, hours(policy.price_interval)));
            let is_held_back =
                judgement.reluctant.is_some() && !is_over && gain.zip(switch).is_none_or(|(gain, cost)| gain <= cost);
            if judgement.runs && !judgement.is_fixed && !is_held_back {
                scratch.outbid.push(index);
            }
            scratch.sinks.push(Sink {
                id: index as u32,
                margin,
                capacity: if judgement.runs { draw.mining } else { draw.asleep },
                floor: draw.asleep,
                now: if state.mines() { draw.mining } else { draw.asleep },
                ramp_up: draw.mining,
                ramp_down: draw.mining,
                block: draw.mining.saturating_sub(draw.asleep),
                hold: None,
                feeder: group.feeder,
            });
        }
        let sinks = &scratch.sinks;
        scratch.outbid.sort_unstable_by(|a, b| {
            let (a, b) = (&sinks[*a], &sinks[*b]);
            a.margin.get().total_cmp(&b.margin.get()).then(b.id.cmp(&a.id))
        });
        scratch.ai_sinks.clear();
        scratch.ai_sinks.extend(scratch.offers.iter().map(|offer| offer.sink));
        // What is kept whatever it earns is no gain of any plan.
        for sink in scratch.ai_sinks.iter_mut().filter(|sink| sink.floor > Watts::ZERO) {
            sink.margin = sink.margin.max(curtail_pays);
        }
    }

    fn decide(&mut self, now: Timestamp, cost: Option<MoneyPerMwh>, inputs: &Inputs) {
        let Scratch { judgements, offers, best, ungridded, outbid, order, .. } = &mut self.scratch;
        let policy = &self.profit.policy;
        let served = offers.iter().zip(&self.leases).filter(|(_, lease)| lease.granted > Watts::ZERO);
        let best_ai = served.filter_map(|(offer, _)| offer.margin).reduce(MoneyPerMwh::max);
        let returns_in = self.leases.iter().filter_map(|lease| lease.returns_in(now)).max();
        let leased_for = offers.iter().filter_map(|offer| match offer.why {
            Some(AiWhy::Leased { left }) => Some(left),
            _ => None,
        });
        let crowd = Crowd { cap: self.cap, returns_in, leased_for: leased_for.max(), ai: best_ai };
        let allowed = self.allowed;
        let is_gridded = allowed < Ratio::ONE;
        let wanted = offers.iter().filter(|offer| offer.sink.capacity > Watts::ZERO);
        let offered = wanted.filter_map(|offer| offer.margin).reduce(MoneyPerMwh::max);

        // What AI compute has beyond what the site has to spare comes from groups that sleep: those drained for it first, then
        // those whose power it had before, then the others, the worst first.
        let drained_for_ai = &outbid[..best.drained.min(outbid.len())];
        let granted: Watts = self.leases.iter().map(|lease| lease.granted).sum();
        let all: Watts = self.draws.iter().map(|draw| draw.mining).sum();
        let mut owed = granted.saturating_sub(self.cap.saturating_sub(all));
        let turn = |index: &usize| match self.groups[*index].action {
            _ if drained_for_ai.contains(index) => 0,
            Action::Ai => 1,
            Action::Mine | Action::Curtail => 2,
        };
        let margin = |index: &usize| judgements[*index].margin.map_or(LIMIT, MoneyPerMwh::get);
        order.clear();
        order.extend(0..judgements.len());
        order.sort_unstable_by(|a, b| turn(a).cmp(&turn(b)).then(margin(a).total_cmp(&margin(b))).then(a.cmp(b)));
        for index in order.iter().copied() {
            let (judgement, draw) = (&judgements[index], self.draws[index]);
            let is_taken = is_gridded && judgement.runs && !best.runs[index] && ungridded.runs[index];
            let action = if best.runs[index] {
                Action::Mine
            } else if owed > Watts::ZERO && !is_taken {
                owed = owed.saturating_sub(draw.mining.saturating_sub(draw.asleep));
                Action::Ai
            } else {
                Action::Curtail
            };
            let why = match (judgement.runs, best.runs[index]) {
                _ if is_taken => Why::Grid { allowed },
                (true, false) => crowd.why(judgement),
                _ => judgement.why,
            };
            let state = &mut self.groups[index];
            let before = state.action;
            state.becomes(action, now, policy);
            self.decisions.groups[index] = Decision {
                action,
                is_new: action != before,
                since: state.since,
                reason: Reason { before, action, why, currency: self.profit.currency },
                margins: Margins {
                    cost,
                    value: judgement.value,
                    mining: judgement.margin,
                    ai: offered,
                    curtail: inputs.curtail_pays.fresh(),
                },
            };
        }
        let each = self.decisions.ai.iter_mut().zip(&self.leases).zip(&*offers).enumerate();
        for (index, ((decision, lease), offer)) in each {
            let is_taken = is_gridded && lease.granted.get() < ungridded.ai[index].get() * (1.0 - 1e-9);
            let why = lease_reason(lease, offer, is_taken.then_some(allowed), now);
            let is_new = decision.watts != lease.granted;
            let reason = AiReason { why, currency: self.profit.currency };
            *decision = AiDecision { watts: lease.granted, keeps: lease.keeps_after_return(), is_new, reason };
        }
        self.decisions.at = now;
        self.decisions.mode = mode(&self.decisions.groups);
    }
}

impl Scratch {
    /// The plan in which the worst `drained` groups of `outbid` sleep and AI compute gets what is left.
    fn try_draining(
        &mut self,
        drained: usize,
        draws: &[Draw],
        cap: Watts,
        feeders: &[Watts],
        curtail_pays: MoneyPerMwh,
    ) {
        let sleeping = &self.outbid[..drained];
        for index in sleeping {
            self.sinks[*index].capacity = draws[*index].asleep;
        }
        // Leases that run on come before miners: their power is not there.
        let kept: Watts = self.ai_sinks.iter().map(|sink| sink.least_of_all()).sum();
        self.feeders.clear();
        self.feeders.extend_from_slice(feeders);
        for sink in &self.ai_sinks {
            take(&mut self.feeders, sink, sink.least_of_all());
        }
        let all = MoneyPerMwh::clamped(-LIMIT);
        let limits = Limits { cap: cap.saturating_sub(kept), feeders: &self.feeders, idle: all };
        let shares = self.merit.dispatch(&self.sinks, &limits);
        let mut worth = 0.0;
        let mut mining = Watts::ZERO;
        self.plan.runs.clear();
        self.feeders.clear();
        self.feeders.extend_from_slice(feeders);
        for (((sink, share), draw), judgement) in self.sinks.iter().zip(shares).zip(draws).zip(&self.judgements) {
            // A group that draws asleep as much as awake fits in any case.
            let runs =
                judgement.runs && sink.capacity >= draw.mining && share.watts.get() >= draw.mining.get() * (1.0 - 1e-9);
            self.plan.runs.push(runs);
            // What sleeping machines draw is there also where AI compute keeps so much that merit leaves them nothing.
            let watts = share.watts.max(draw.asleep);
            mining = mining + watts;
            take(&mut self.feeders, sink, watts);
            // What comes before all others runs in every plan; its limitless margin would drown what differs.
            if runs && sink.margin.get() < LIMIT {
                worth += (sink.margin - curtail_pays).get() * draw.mining.saturating_sub(draw.asleep).get();
            }
        }
        let limits = Limits { cap: cap.saturating_sub(mining), feeders: &self.feeders, idle: curtail_pays };
        let shares = self.merit.dispatch(&self.ai_sinks, &limits);
        self.plan.ai.clear();
        for (sink, share) in self.ai_sinks.iter().zip(shares) {
            worth += (sink.margin - curtail_pays).get() * share.watts.get();
            self.plan.ai.push(share.watts);
        }
        (self.plan.worth, self.plan.drained) = (worth, drained);
        for index in sleeping {
            self.sinks[*index].capacity = draws[*index].mining;
        }
    }
}

fn take(feeders: &mut [Watts], sink: &Sink, watts: Watts) {
    if let Some(feeder) = sink.feeder.and_then(|feeder| feeders.get_mut(feeder)) {
        *feeder = feeder.saturating_sub(watts);
    }
}

/// What may take a group's place under the caps.
struct Crowd {
    cap: Watts,
    returns_in: Option<SignedDuration>,
    leased_for: Option<SignedDuration>,
    /// The best margin of AI compute that has power.
    ai: Option<MoneyPerMwh>,
}

impl Crowd {
    /// Why a group that would run does not.
    fn why(&self, judgement: &Judgement) -> Why {
        match (self.ai, judgement.margin) {
            (Some(ai), Some(mining)) if ai > mining => Why::PowerToAi { ai, mining },
            _ => match (self.returns_in, self.leased_for) {
                (Some(left), _) => Why::AwaitsReturn { left },
                (None, Some(left)) => Why::Leased { left },
                (None, None) => Why::NoRoom { cap: self.cap },
            },
        }
    }
}

/// `taken`: the grid's share, if the block has less for it.
fn lease_reason(lease: &Lease, offer: &Offer, taken: Option<Ratio>, now: Timestamp) -> AiWhy {
    if let Some(left) = lease.returns_in(now) {
        return AiWhy::Returning { left };
    }
    if let Some(allowed) = taken {
        return AiWhy::Grid { allowed };
    }
    let margin = offer.margin.unwrap_or(MoneyPerMwh::ZERO);
    offer.why.unwrap_or(if lease.granted > Watts::ZERO { AiWhy::Earns { margin } } else { AiWhy::EarnsLess { margin } })
}

fn mode(groups: &[Decision]) -> SiteMode {
    let count = |action| groups.iter().filter(|decision| decision.action == action).count();
    match (count(Action::Mine), count(Action::Ai)) {
        (mining, _) if mining == groups.len() => SiteMode::Mining,
        (0, 0) => SiteMode::Curtailed,
        (0, _) => SiteMode::Ai,
        _ => SiteMode::Partial,
    }
}

/// A group before the first evaluation.
fn undecided(currency: Currency) -> Decision {
    let unknown = Unknown { what: What::Signal, fault: Fault::Never };
    let why = Why::Held { unknown, left: SignedDuration::ZERO };
    Decision {
        action: Action::Mine,
        is_new: false,
        since: None,
        reason: Reason { before: Action::Mine, action: Action::Mine, why, currency },
        margins: Margins { cost: None, value: None, mining: None, ai: None, curtail: None },
    }
}

/// An AI block before the first evaluation.
fn nothing(currency: Currency) -> AiDecision {
    let reason = AiReason { why: AiWhy::NoDemand, currency };
    AiDecision { watts: Watts::ZERO, keeps: Watts::ZERO, is_new: false, reason }
}
