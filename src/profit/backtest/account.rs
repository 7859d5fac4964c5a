//! What was earned and spent, day by day: the atom that every table and plot of a report is a sum of.
//!
//! Knows sums; knows neither policies nor time beyond "a day".

use std::ops::AddAssign;

use super::machine::{Physics, Spent};

/// What an hour of a group is worth, in each of its phases, at full power. All at the site meter.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// What mining earns in an hour.
    pub mining: f64,
    /// What power costs in an hour; less than nothing at times.
    pub power: f64,
    /// What AI earns in an hour, if it has the whole group's power.
    pub ai: f64,
    /// The share of the group's power that AI takes while the group sleeps.
    pub ai_share: f64,
    /// What the grid pays in an hour, if nothing of the group's power is drawn.
    pub curtailed: f64,
}

impl Rates {
    /// What mining leaves in an hour.
    pub fn mining_margin(&self) -> f64 {
        self.mining - self.power
    }

    /// What falling asleep or waking leaves in an hour: the bill.
    pub fn moving_margin(&self) -> f64 {
        -self.power
    }

    /// What sleeping leaves in an hour, with what AI pays for the power.
    pub fn asleep_margin(&self, physics: &Physics) -> f64 {
        self.ai_share * (self.ai - self.power) - physics.sleep_draw.get() * self.power
            + self.undrawn(physics) * self.curtailed
    }

    /// The share of the group's power that nobody draws while it sleeps.
    fn undrawn(&self, physics: &Physics) -> f64 {
        (1.0 - self.ai_share - physics.sleep_draw.get()).max(0.0)
    }
}

/// Money and hours of a group, or of all, over some time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Account {
    /// Earned by mining and by AI, or paid by the grid for not drawing.
    pub revenue: f64,
    /// Paid for power, and for wear.
    pub cost: f64,
    /// Hours in which it mined.
    pub mining_h: f64,
    /// Hours asleep in which AI had the power; half the power counts half.
    pub ai_h: f64,
    /// Hours asleep in which nobody had it.
    pub curtailed_h: f64,
    /// Hours at full power without revenue.
    pub lost_h: f64,
    /// Orders to sleep and to wake.
    pub switches: f64,
}

impl Account {
    /// What is left.
    pub fn margin(&self) -> f64 {
        self.revenue - self.cost
    }

    /// Books an order: sleeping wears the machines, waking is part of the same round trip.
    pub fn book_order(&mut self, awake: bool, physics: &Physics) {
        self.switches += 1.0;
        if !awake {
            self.cost += physics.wear;
        }
    }

    /// Books what was done at these rates.
    pub fn book(&mut self, spent: Spent, rates: &Rates, physics: &Physics) {
        const HOUR: f64 = 3600.0;
        let (mining, moving, asleep) = (spent.mining_s / HOUR, spent.moving_s / HOUR, spent.asleep_s / HOUR);
        let ai = asleep * rates.ai_share;
        self.revenue += mining * rates.mining + ai * rates.ai + asleep * rates.undrawn(physics) * rates.curtailed;
        self.cost += (mining + moving + ai + asleep * physics.sleep_draw.get()) * rates.power;
        self.mining_h += mining;
        self.lost_h += moving;
        self.ai_h += ai;
        self.curtailed_h += asleep - ai;
    }
}

impl AddAssign<&Account> for Account {
    fn add_assign(&mut self, other: &Account) {
        self.revenue += other.revenue;
        self.cost += other.cost;
        self.mining_h += other.mining_h;
        self.ai_h += other.ai_h;
        self.curtailed_h += other.curtailed_h;
        self.lost_h += other.lost_h;
        self.switches += other.switches;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profit::Ratio;

    const PHYSICS: Physics = Physics { sleep_s: 60.0, wake_s: 300.0, sleep_draw: Ratio::ONE, wear: 0.0 };

    #[test]
    fn the_book_agrees_with_the_margins() {
        let rates = Rates { mining: 100.0, power: 40.0, ai: 300.0, ai_share: 0.25, curtailed: 20.0 };
        for (spent, margin) in [
            (Spent { mining_s: 3600.0, ..Spent::default() }, rates.mining_margin()),
            (Spent { moving_s: 3600.0, ..Spent::default() }, rates.moving_margin()),
            (Spent { asleep_s: 3600.0, ..Spent::default() }, rates.asleep_margin(&PHYSICS)),
        ] {
            let mut account = Account::default();
            account.book(spent, &rates, &PHYSICS);
            assert_eq!(account.margin(), margin, "{spent:?}");
        }
    }
}
