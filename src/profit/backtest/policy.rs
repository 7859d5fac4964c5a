//! The live decision engine as a player: told what was known, asked at the beginning of each interval.
//!
//! Knows how history becomes the engine's [`Inputs`] and its decisions become orders; decides nothing itself.
//!
//! | in the engine | here |
//! |---|---|
//! | a fresh power price | the interval before has a price; its end is when it was observed |
//! | a stale one | the interval before is a gap |
//! | fixed numbers of the config | as they are, unless a history was given for them |
//! | what AI has of the site's spare power | not counted: no group gives it |
//! | AI that starts | earns nothing while it warms up, and wears |

use jiff::Timestamp;

use super::{
    field::{Field, Window},
    replay::{Order, Replay, play},
};
use crate::{
    config::{AiPrice, Profit, Quote},
    profit::{Action, AiDecision, Engine, Inputs, MoneyPerMwh, Reading, ai_value},
};

/// Plays the live engine with the field's config, then all references. `progress` is told the intervals done so far.
pub fn replay(field: &Field<'_>, window: &Window, progress: impl FnMut(usize)) -> Replay {
    let mut player = Player::new(field);
    play(field, window, field.profit.currency, |interval, orders| player.decide(interval, orders), progress)
}

struct Player<'f, 'a> {
    field: &'f Field<'a>,
    engine: Engine,
    inputs: Inputs,
    blocks: Vec<Block>,
    /// Groups in the order in which AI takes the power of those that sleep for it, the same as for the references.
    worst_first: Vec<usize>,
}

/// An AI block's own time.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    megawatts: f64,
    /// What was added last, and how long it still warms up.
    warming_megawatts: f64,
    warming_s: f64,
}

impl<'f, 'a> Player<'f, 'a> {
    fn new(field: &'f Field<'a>) -> Self {
        let profit: &Profit = field.profit;
        let mut inputs = Inputs::new(profit);
        // Numbers fixed in the config stay; signals have no history but those that `look` writes.
        inputs.read(profit, |_| Reading::Never);
        if let Quote::Signal(_) = profit.site.curtail_pays {
            inputs.curtail_pays = fresh(MoneyPerMwh::ZERO, Timestamp::MIN);
        }
        let mut worst_first: Vec<usize> = (0..field.groups.len()).collect();
        // On whatever day: what a MWh earns is in proportion to the hashprice in all of them.
        worst_first.sort_by(|a, b| field.value(*a, 0).total_cmp(&field.value(*b, 0)));
        let blocks = vec![Block::default(); profit.ai.len()];
        Self { field, engine: Engine::new(profit), inputs, blocks, worst_first }
    }

    fn decide(&mut self, interval: usize, orders: &mut [Order]) {
        self.look(interval);
        let now = self.field.begin(interval);
        let decisions = self.engine.evaluate(now, &self.inputs);
        let ai = given_to_ai(self.field, &mut self.blocks, interval, &decisions.ai);
        let mut left = ai.megawatts;
        for index in &self.worst_first {
            let (order, field) = (&mut orders[*index], &self.field.groups[*index]);
            let action = decisions.groups[*index].action;
            order.awake = action == Action::Mine;
            order.ai = (0.0, 0.0);
            if action == Action::Ai {
                let taken = left.min(field.given_asleep());
                left -= taken;
                order.ai = (taken / field.megawatts, ai.value * field.megawatts);
            }
        }
    }

    /// Writes what is known at the beginning of an interval into the engine's inputs.
    fn look(&mut self, interval: usize) {
        let (field, inputs) = (self.field, &mut self.inputs);
        let now = field.begin(interval);
        inputs.power_price = match (field.known_price(interval), inputs.power_price) {
            (Some(price), _) => fresh(price, now),
            (None, Reading::Fresh { value, observed_at }) => Reading::Stale { value, observed_at },
            (None, before) => before,
        };
        inputs.hashprice = fresh(field.known_hashprice(interval), now);
        for (block, input) in field.profit.ai.iter().zip(&mut inputs.ai) {
            if let (Some(price), AiPrice::PerGpuHour { terms, .. }) = (field.known_ai(interval), &block.price) {
                input.value = fresh(ai_value(price, terms), now);
            }
            if let Some(demand) = field.known_demand(interval) {
                input.demand = fresh(demand, now);
            }
        }
    }
}

/// What AI takes of sleeping groups, and what a MWh of it earns, at the meter.
struct Given {
    megawatts: f64,
    value: f64,
}

fn given_to_ai(field: &Field<'_>, blocks: &mut [Block], interval: usize, decisions: &[AiDecision]) -> Given {
    let step_s = field.step_s();
    let (mut megawatts, mut earned) = (0.0, 0.0);
    for (index, (block, decision)) in blocks.iter_mut().zip(decisions).enumerate() {
        let terms = &field.profit.ai[index];
        let now = decision.watts.megawatts();
        let added = now - block.megawatts;
        if added > 0.0 {
            (block.warming_megawatts, block.warming_s) = (added, terms.warm_up.as_secs_f64());
            earned -= added * terms.wear_per_mw.get() * 3600.0 / step_s;
        }
        block.megawatts = now;
        let cold = block.warming_megawatts.min(now) * block.warming_s.min(step_s) / step_s;
        block.warming_s = (block.warming_s - step_s).max(0.0);
        megawatts += now;
        earned += (now - cold) * field.ai_value(index, interval, false).unwrap_or(0.0);
    }
    let value = if megawatts > 0.0 { earned / megawatts } else { 0.0 };
    Given { megawatts: (megawatts - field.spare_megawatts()).max(0.0), value }
}

fn fresh<T>(value: T, observed_at: Timestamp) -> Reading<T> {
    Reading::Fresh { value, observed_at }
}
