//! A power group in the replay: what it does with the orders it gets, second by second.
//!
//! Knows how long sleeping and waking take and what is drawn meanwhile; knows no price and no reason.
//!
//! | phase | draws | earns |
//! |---|---|---|
//! | mining | all | yes |
//! | falling asleep, waking | all | no |
//! | asleep | [`Physics::sleep_draw`] of it; AI may use the rest | what AI pays |
//!
//! An order that contradicts the one being carried out begins at once, with its full time. The group moves as a whole: ramps are
//! the power side's, and none are replayed.

use crate::profit::Ratio;

/// How a group of machines sleeps and wakes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Physics {
    /// Seconds from the order to sleep until it draws little.
    pub sleep_s: f64,
    /// Seconds from the order to wake until it hashes.
    pub wake_s: f64,
    /// What it draws asleep, as a share of its power.
    pub sleep_draw: Ratio,
    /// What a round trip to sleep and back wears off of the group; in the site's currency.
    pub wear: f64,
}

/// Seconds of an interval by what was done in them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// Earning.
    pub mining_s: f64,
    /// Drawing full power for nothing.
    pub moving_s: f64,
    /// Drawing little.
    pub asleep_s: f64,
}

/// One group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// What it was told last.
    awake: bool,
    /// Seconds until it has done it.
    left_s: f64,
}

impl Machine {
    /// One that mines.
    pub const MINING: Self = Self { awake: true, left_s: 0.0 };
    /// One that sleeps.
    pub const ASLEEP: Self = Self { awake: false, left_s: 0.0 };

    /// What it was told last.
    pub fn is_told_to_mine(&self) -> bool {
        self.awake
    }

    /// Gives an order; says whether it was a new one.
    pub fn order(&mut self, awake: bool, physics: &Physics) -> bool {
        let is_new = awake != self.awake;
        if is_new {
            *self = Self { awake, left_s: if awake { physics.wake_s } else { physics.sleep_s } };
        }
        is_new
    }

    /// Lets time pass.
    pub fn advance(&mut self, seconds: f64) -> Spent {
        let moving_s = self.left_s.min(seconds);
        self.left_s -= moving_s;
        let rest = seconds - moving_s;
        match self.awake {
            true => Spent { mining_s: rest, moving_s, asleep_s: 0.0 },
            false => Spent { mining_s: 0.0, moving_s, asleep_s: rest },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHYSICS: Physics = Physics { sleep_s: 60.0, wake_s: 300.0, sleep_draw: Ratio::ZERO, wear: 0.0 };

    fn spent(mining_s: f64, moving_s: f64, asleep_s: f64) -> Spent {
        Spent { mining_s, moving_s, asleep_s }
    }

    #[test]
    fn sleeping_and_waking_take_their_time_at_full_power() {
        let mut machine = Machine::MINING;
        assert_eq!(machine.advance(900.0), spent(900.0, 0.0, 0.0));
        assert!(machine.order(false, &PHYSICS));
        assert_eq!(machine.advance(900.0), spent(0.0, 60.0, 840.0));
        assert!(!machine.order(false, &PHYSICS));
        assert_eq!(machine.advance(900.0), spent(0.0, 0.0, 900.0));
        assert!(machine.order(true, &PHYSICS));
        assert_eq!(machine.advance(200.0), spent(0.0, 200.0, 0.0));
        assert_eq!(machine.advance(700.0), spent(600.0, 100.0, 0.0));
    }

    #[test]
    fn a_change_of_mind_begins_at_once_with_its_full_time() {
        let mut machine = Machine::ASLEEP;
        machine.order(true, &PHYSICS);
        machine.advance(200.0);
        assert!(machine.order(false, &PHYSICS));
        assert_eq!(machine.advance(100.0), spent(0.0, 60.0, 40.0));
    }
}
