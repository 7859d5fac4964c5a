//! What the decision engine is told at each evaluation: readings with their meaning, resolved from signals by their names.
//!
//! Knows which number of the config comes from which signal; does not know how signals are received, nor what follows.
//!
//! A task calls [`Inputs::read`] with a look-up of readings by name, once per evaluation; a replay may as well write the fields.
//! Numbers that the config fixes are always fresh, and observed at the beginning of time. What no signal tells (lockouts, orders, measured efficiency) is set by whoever knows.

use jiff::Timestamp;

use super::{
    economics::{ai_value, hashprice},
    reading::Reading,
    units::{
        BtcPerBlock, JoulesPerTerahash, MoneyPerBtc, MoneyPerGpuHour, MoneyPerMwh, MoneyPerPhDay, NetworkDifficulty,
        Ratio,
    },
};
use crate::config::{AiPrice, Market, Profit, Quote, Rule};

/// What a group does, or should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It mines.
    Mine,
    /// It sleeps, and AI compute has its power.
    Ai,
    /// It sleeps, and nobody has its power.
    Curtail,
}

/// Everything that an evaluation looks at.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs {
    /// What a PH/s earns in a day, before fees.
    pub hashprice: Reading<MoneyPerPhDay>,
    /// What a MWh costs, without delivery.
    pub power_price: Reading<MoneyPerMwh>,
    /// What a MWh not drawn is paid.
    pub curtail_pays: Reading<MoneyPerMwh>,
    /// The share of the cap that the grid allows; `Never` also where there is no such signal.
    pub grid: Reading<Ratio>,
    /// Whether the clock lets miners mine; `Never` also where there is no such signal.
    pub schedule: Reading<bool>,
    /// By the index of the group.
    pub groups: Vec<GroupInput>,
    /// By the index of the AI block.
    pub ai: Vec<AiInput>,
}

/// What is known of one group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupInput {
    /// The signal of a group that is judged by one number or verdict.
    pub signal: Reading<f64>,
    /// Measured joules for each terahash; looked at only while the group mines.
    pub efficiency: Option<JoulesPerTerahash>,
    /// A person works on it: it sleeps and is not woken by anything.
    pub lockout: bool,
    /// It must not draw power: over the cap, too hot, at fault.
    pub unsafe_to_run: bool,
    /// An operator's order.
    pub order: Option<Action>,
}

/// What is known of one AI block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AiInput {
    /// What a MWh of IT power earns.
    pub value: Reading<MoneyPerMwh>,
    /// The share of the block's power that there is demand for.
    pub demand: Reading<Ratio>,
}

impl Inputs {
    /// For a config, before any signal: all readings are `Never`.
    pub fn new(profit: &Profit) -> Self {
        let group =
            GroupInput { signal: Reading::Never, efficiency: None, lockout: false, unsafe_to_run: false, order: None };
        Self {
            hashprice: Reading::Never,
            power_price: Reading::Never,
            curtail_pays: Reading::Never,
            grid: Reading::Never,
            schedule: Reading::Never,
            groups: vec![group; profit.groups.len()],
            ai: vec![AiInput { value: Reading::Never, demand: Reading::Never }; profit.ai.len()],
        }
    }

    /// For another config: what no signal tells of groups that stay, by their names, stays.
    pub fn follow(&mut self, old: &Profit, profit: &Profit) {
        let before = std::mem::replace(self, Self::new(profit));
        for (group, input) in old.groups.iter().zip(before.groups) {
            if let Some(now) = profit.groups.iter().position(|other| other.name == group.name) {
                self.groups[now] = input;
            }
        }
    }

    /// Nobody tells any more what no signal does: no order holds, nobody works on anything.
    pub fn forget_orders(&mut self) {
        for input in &mut self.groups {
            (input.lockout, input.unsafe_to_run, input.order) = (false, false, None);
        }
    }

    /// Takes the readings of all signals that the config names; `signal` looks one up, in its canonical unit.
    pub fn read(&mut self, profit: &Profit, mut signal: impl FnMut(&str) -> Reading<f64>) {
        let signal = &mut signal;
        match &profit.market {
            None => {}
            Some(Market::Hashprice(quote)) => self.hashprice = quoted(quote, signal, MoneyPerPhDay::new),
            Some(Market::Parts { btc, difficulty, reward }) => {
                let btc = quoted(btc, signal, MoneyPerBtc::new);
                let difficulty = quoted(difficulty, signal, NetworkDifficulty::new);
                let reward = quoted(reward, signal, BtcPerBlock::new);
                let earned = btc.join(reward, |btc, reward| (btc, reward));
                // A higher difficulty earns less: the least goes with the most.
                self.hashprice =
                    earned.join(difficulty.reversed(), |(btc, reward), difficulty| hashprice(reward, difficulty, btc));
            }
        }
        if let Some(quote) = &profit.site.power_price {
            self.power_price = quoted(quote, signal, MoneyPerMwh::new);
        }
        self.curtail_pays = quoted(&profit.site.curtail_pays, signal, MoneyPerMwh::new);
        if let Some(name) = &profit.site.grid {
            self.grid = signal(name).try_map(Ratio::new);
        }
        if let Some(name) = &profit.site.schedule {
            self.schedule = signal(name).map(is_profitable);
        }
        for (input, group) in self.groups.iter_mut().zip(&profit.groups) {
            if let Rule::Threshold { signal: name, .. } | Rule::Verdict { signal: name } = &group.rule {
                input.signal = signal(name);
            }
        }
        for (input, block) in self.ai.iter_mut().zip(&profit.ai) {
            input.demand = quoted(&block.demand, signal, Ratio::new);
            input.value = match &block.price {
                AiPrice::PerMwh(quote) => quoted(quote, signal, MoneyPerMwh::new),
                AiPrice::PerGpuHour { price, terms } => {
                    quoted(price, signal, MoneyPerGpuHour::new).map(|price| ai_value(price, terms))
                }
            };
        }
    }
}

/// What a verdict signal's number says.
pub fn is_profitable(verdict: f64) -> bool {
    verdict >= 0.5
}

fn quoted<T: Copy>(
    quote: &Quote<T>,
    signal: &mut impl FnMut(&str) -> Reading<f64>,
    new: impl FnMut(f64) -> Option<T>,
) -> Reading<T> {
    match quote {
        Quote::Fixed(value) => Reading::Fresh { value: *value, observed_at: Timestamp::MIN },
        Quote::Signal(name) => signal(name).try_map(new),
    }
}
