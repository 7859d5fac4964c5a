mod ai;
mod day;
mod group;

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{
    config::{
        AfterHold, Ai, AiPrice, Efficiency, Group, Market, Mode, Policy, Quote, Rule, Site as SiteConfig, StaleGrid,
    },
    profit::{JoulesPerTerahash, Money, MoneyPerPhDay, SwitchTerms},
};

/// 50 a PH and day: 97 a MWh at 21.5 J/TH.
const HASHPRICE: f64 = 50.0;
const QUARTER: SignedDuration = SignedDuration::from_mins(15);

fn start() -> Timestamp {
    "2024-05-01T00:00:00Z".parse().unwrap()
}

fn policy() -> Policy {
    Policy {
        drain_at: Ratio::new(1.1).unwrap(),
        wake_at: Ratio::new(0.9).unwrap(),
        wake_after: 1,
        min_asleep: Duration::from_secs(900),
        min_mining: Duration::ZERO,
        drains_per_day: 24,
        price_interval: Duration::from_secs(900),
        expected_dwell: Duration::from_secs(4 * 3600),
        max_hold: Duration::from_secs(2 * 3600),
        after_hold: AfterHold::Mine,
        stale_grid: StaleGrid::Curtail,
    }
}

fn group(name: &str, efficiency: f64) -> Group {
    Group {
        name: Arc::from(name),
        rule: Rule::Economics {
            efficiency: Efficiency::Fixed(JoulesPerTerahash::new(efficiency).unwrap()),
            pool_fee: Ratio::ZERO,
        },
        power: Watts::new(1e6),
        floor: Watts::ZERO,
        feeder: None,
        switch: SwitchTerms { sleep_s: 60.0, wake_s: 300.0, wear_per_mw: Money::ZERO },
        sleep_draw: Ratio::new(0.01).unwrap(),
    }
}

fn gpus() -> Ai {
    Ai {
        name: Arc::from("gpus"),
        power: Watts::new(0.8e6).unwrap(),
        price: AiPrice::PerMwh(Quote::Signal(Arc::from("ai"))),
        demand: Quote::Signal(Arc::from("demand")),
        pue: Ratio::new(1.25).unwrap(),
        block: Watts::ZERO,
        notice: Duration::ZERO,
        min_term: Duration::ZERO,
        interruptible: true,
        warm_up: Duration::ZERO,
        wear_per_mw: Money::ZERO,
        feeder: None,
    }
}

fn profit(groups: Vec<Group>, ai: Vec<Ai>) -> Profit {
    Profit {
        mode: Mode::DryRun,
        currency: Currency::USD,
        market: Some(Market::Hashprice(Quote::Signal(Arc::from("hashprice")))),
        policy: policy(),
        site: SiteConfig {
            power_price: Some(Quote::Signal(Arc::from("spot"))),
            delivery: MoneyPerMwh::ZERO,
            overhead: Ratio::ONE,
            cap: None,
            base_load: Watts::ZERO,
            curtail_pays: Quote::Fixed(MoneyPerMwh::ZERO),
            grid: None,
            schedule: None,
        },
        feeders: Vec::new(),
        groups,
        ai,
    }
}

/// An engine, its inputs and its clock.
struct World {
    profit: Profit,
    engine: Engine,
    inputs: Inputs,
    now: Timestamp,
}

impl World {
    fn new(profit: Profit) -> Self {
        let mut inputs = Inputs::new(&profit);
        inputs.read(&profit, |_| Reading::Never);
        let mut world = Self { engine: Engine::new(&profit), inputs, now: start(), profit };
        world.hashprice(HASHPRICE);
        world
    }

    fn fresh<T>(&self, value: T) -> Reading<T> {
        Reading::Fresh { value, observed_at: self.now }
    }

    fn hashprice(&mut self, value: f64) {
        self.inputs.hashprice = self.fresh(MoneyPerPhDay::new(value).unwrap());
    }

    fn price(&mut self, value: f64) -> &mut Self {
        self.inputs.power_price = self.fresh(MoneyPerMwh::new(value).unwrap());
        self
    }

    fn ai(&mut self, value: f64, demand: f64) -> &mut Self {
        let input = &mut self.inputs.ai[0];
        let observed_at = self.now;
        input.value = Reading::Fresh { value: MoneyPerMwh::new(value).unwrap(), observed_at };
        input.demand = Reading::Fresh { value: Ratio::new(demand).unwrap(), observed_at };
        self
    }

    /// Evaluates at this moment.
    fn ask(&mut self) -> Decisions {
        self.engine.evaluate(self.now, &self.inputs).clone()
    }

    /// Evaluates and goes on to the next price.
    fn step(&mut self) -> Decisions {
        let decisions = self.ask();
        self.now += QUARTER;
        decisions
    }

    /// One price, one evaluation: what the first group does.
    fn at_price(&mut self, price: f64) -> Action {
        self.price(price).step().groups[0].action
    }

    fn sentence(&self, group: usize) -> String {
        self.engine.decisions().groups[group].reason.to_string()
    }
}
