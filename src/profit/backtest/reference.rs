//! What the policy is measured against: five other ways to run the same group through the same history.
//!
//! Knows what the future brings (that is the point of two of them) and nothing of the engine.
//!
//! | reference | decides on | pays for switching |
//! |---|---|---|
//! | always mine | nothing | never switches |
//! | never mine | nothing; sleeps from the first moment | never switches |
//! | myopic | the price one interval late and yesterday's bitcoin row; no band, no dwell | yes |
//! | clairvoyant, free | the interval's own prices | no: what no policy can pass |
//! | clairvoyant, paying | all prices to come; the best sequence there is | yes: what no *machine* can pass |
//!
//! The last is found by dynamic programming over two states, awake and asleep; a transition is an edge over as many intervals as it
//! takes (what was begun is finished; only where that is longer than an interval could another mind pay). Orders are given at the
//! beginning of an interval, as everybody's are. Where there is AI compute, all of them have the share of it
//! that the merit order of *their* knowledge gives the group ([`ai_shares`]), without notice, minimum term or warm-up. None knows of caps,
//! feeders, ramps, floors or budgets. With AI they are no bounds for a single group: another split of its power may leave one group more.

use super::{
    account::{Account, Rates},
    machine::{Machine, Physics},
};

/// Who runs a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Player {
    /// The live engine with this config.
    Policy,
    /// Mines whatever it costs.
    AlwaysMine,
    /// Sleeps from the first moment.
    NeverMine,
    /// Mines if the last known price says so.
    Myopic,
    /// Does the best in each interval; transitions cost nothing.
    ClairvoyantFree,
    /// Does the best over all intervals; transitions cost what they cost.
    ClairvoyantPaying,
}

impl Player {
    /// In the order of tables; the first is what is judged.
    pub const ALL: [Self; 6] =
        [Self::Policy, Self::AlwaysMine, Self::NeverMine, Self::Myopic, Self::ClairvoyantFree, Self::ClairvoyantPaying];

    /// As in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::AlwaysMine => "always mine",
            Self::NeverMine => "never mine",
            Self::Myopic => "myopic",
            Self::ClairvoyantFree => "clairvoyant, free",
            Self::ClairvoyantPaying => "clairvoyant, paying",
        }
    }

    /// As a key.
    pub fn key(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::AlwaysMine => "always_mine",
            Self::NeverMine => "never_mine",
            Self::Myopic => "myopic",
            Self::ClairvoyantFree => "clairvoyant_free",
            Self::ClairvoyantPaying => "clairvoyant_paying",
        }
    }
}

/// One group's history in money: what is looked at by who plays against the policy.
pub struct Course<'a> {
    /// What held, interval by interval; `None` where there is no price.
    pub actual: &'a [Option<Rates>],
    /// What was known when the interval began.
    pub known: &'a [Option<Rates>],
    /// The day of each interval, an index into the accounts.
    pub day: &'a [usize],
    /// Seconds of an interval.
    pub step_s: f64,
    /// How the group sleeps and wakes.
    pub physics: &'a Physics,
}

impl Course<'_> {
    /// Runs one reference and books it day by day.
    pub fn run(&self, player: Player, accounts: &mut [Account]) {
        match player {
            // The engine runs by itself, over all groups at once: `replay.rs`.
            Player::Policy => {}
            Player::AlwaysMine => self.settle(Machine::MINING, |_, _| true, self.physics, accounts),
            Player::NeverMine => self.settle(Machine::ASLEEP, |_, _| false, self.physics, accounts),
            Player::Myopic => {
                let order = |interval: usize, awake| match self.known[interval] {
                    // Without a price nobody has a reason to move.
                    None => awake,
                    Some(rates) => pays_to_mine(&rates),
                };
                self.settle(Machine::MINING, order, self.physics, accounts);
            }
            Player::ClairvoyantFree => {
                let free = Physics { sleep_s: 0.0, wake_s: 0.0, wear: 0.0, ..*self.physics };
                let order = |interval: usize, awake| match self.actual[interval] {
                    None => awake,
                    Some(rates) => rates.mining_margin() >= rates.asleep_margin(self.physics),
                };
                self.settle(Machine::MINING, order, &free, accounts);
            }
            Player::ClairvoyantPaying => {
                let plan = self.best_plan();
                self.settle(Machine::MINING, |interval, _| plan[interval], self.physics, accounts);
            }
        }
    }

    /// Gives orders at the beginning of each interval, and books what the machine does of them.
    fn settle(
        &self,
        mut machine: Machine,
        mut order: impl FnMut(usize, bool) -> bool,
        physics: &Physics,
        accounts: &mut [Account],
    ) {
        for (interval, (rates, day)) in self.actual.iter().zip(self.day).enumerate() {
            let account = &mut accounts[*day];
            let awake = order(interval, machine.is_told_to_mine());
            if machine.order(awake, physics) {
                account.book_order(awake, physics);
            }
            let spent = machine.advance(self.step_s);
            if let Some(rates) = rates {
                account.book(spent, rates, physics);
            }
        }
    }

    /// The orders that leave most, found from the end of history to its beginning.
    fn best_plan(&self) -> Vec<bool> {
        let count = self.actual.len();
        let (sleep, wake) = (self.edge(self.physics.sleep_s), self.edge(self.physics.wake_s));
        // What is left from an interval on, when awake and when asleep at its beginning.
        let mut awake = vec![0.0; count + 1];
        let mut asleep = vec![0.0; count + 1];
        let mut switches = vec![(false, false); count];
        for interval in (0..count).rev() {
            let rates = self.actual[interval].unwrap_or_default();
            let hours = self.step_s / 3600.0;
            let stay = rates.mining_margin() * hours + awake[interval + 1];
            let go = self.edge_margin(interval, &sleep, false) - self.physics.wear
                + asleep[(interval + sleep.intervals).min(count)];
            let rest = rates.asleep_margin(self.physics) * hours + asleep[interval + 1];
            let come = self.edge_margin(interval, &wake, true) + awake[(interval + wake.intervals).min(count)];
            switches[interval] = (go > stay, come > rest);
            awake[interval] = stay.max(go);
            asleep[interval] = rest.max(come);
        }
        let mut plan = Vec::with_capacity(count);
        let mut is_awake = true;
        while plan.len() < count {
            let (go, come) = switches[plan.len()];
            let edge = if is_awake { &sleep } else { &wake };
            let intervals = match if is_awake { go } else { come } {
                true => {
                    is_awake = !is_awake;
                    edge.intervals
                }
                false => 1,
            };
            plan.extend(std::iter::repeat_n(is_awake, intervals.min(count - plan.len())));
        }
        plan
    }

    fn edge(&self, seconds: f64) -> Edge {
        // At most a day over a minute: `Physics` comes from a config with that bound.
        Edge { seconds, intervals: ((seconds / self.step_s).ceil() as usize).max(1) }
    }

    /// What a transition leaves until the end of the interval in which it ends.
    fn edge_margin(&self, from: usize, edge: &Edge, to_awake: bool) -> f64 {
        let mut left_s = edge.seconds;
        self.actual[from..].iter().take(edge.intervals).fold(0.0, |margin, rates| {
            let moving_s = left_s.min(self.step_s);
            left_s -= moving_s;
            let rates = rates.unwrap_or_default();
            let after = if to_awake { rates.mining_margin() } else { rates.asleep_margin(self.physics) };
            margin + (moving_s * rates.moving_margin() + (self.step_s - moving_s) * after) / 3600.0
        })
    }
}

/// A transition: how long it takes, and after how many intervals the group can be told something else.
struct Edge {
    seconds: f64,
    intervals: usize,
}

/// Whether the best use of a group is mining, with what is known.
fn pays_to_mine(rates: &Rates) -> bool {
    let asleep = rates.ai_share * (rates.ai - rates.power) + (1.0 - rates.ai_share) * rates.curtailed;
    rates.mining_margin() >= asleep.max(0.0)
}

/// A block of AI compute at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AiOffer {
    /// What a MWh leaves, at the site meter.
    pub margin: f64,
    /// What it earns.
    pub value: f64,
    /// What it can take of the groups, at the site meter.
    pub megawatts: f64,
}

/// What of each group's power goes to AI, and what an hour of the group's whole power then earns: the worst miners give first, to
/// the best block, which comes first in `offers`. Groups are (megawatts, mining margin per MWh).
pub fn ai_shares(groups: &[(f64, f64)], offers: &mut [AiOffer], shares: &mut Vec<(f64, f64)>) {
    shares.clear();
    shares.resize(groups.len(), (0.0, 0.0));
    let mut order: Vec<usize> = (0..groups.len()).collect();
    order.sort_by(|a, b| groups[*a].1.total_cmp(&groups[*b].1));
    for group in order {
        let (megawatts, mining_margin) = groups[group];
        let mut left = megawatts;
        let mut earned = 0.0;
        for offer in offers.iter_mut().filter(|offer| offer.margin > mining_margin.max(0.0)) {
            let taken = left.min(offer.megawatts);
            offer.megawatts -= taken;
            left -= taken;
            earned += taken * offer.value;
        }
        let given = megawatts - left;
        if given > 0.0 {
            // Per hour of the whole group, so that `share × rate` is what was earned.
            shares[group] = (given / megawatts, earned / given * megawatts);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profit::Ratio;

    fn physics(sleep_s: f64, wake_s: f64) -> Physics {
        Physics { sleep_s, wake_s, sleep_draw: Ratio::new(0.01).unwrap(), wear: 0.5 }
    }

    fn rates(mining: f64, power: &[f64]) -> Vec<Option<Rates>> {
        power.iter().map(|power| Some(Rates { mining, power: *power, ..Rates::default() })).collect()
    }

    /// The margin of a player whose knowledge is `actual`, one interval late, and its switches.
    fn play(player: Player, actual: &[Option<Rates>], physics: &Physics) -> (f64, f64) {
        let mut known = vec![None];
        known.extend_from_slice(&actual[..actual.len() - 1]);
        let day = vec![0; actual.len()];
        let mut accounts = [Account::default()];
        Course { actual, known: &known, day: &day, step_s: 900.0, physics }.run(player, &mut accounts);
        (accounts[0].margin(), accounts[0].switches)
    }

    /// The best of all sequences of orders, one by one.
    fn best_by_trying(actual: &[Option<Rates>], physics: &Physics) -> f64 {
        let day = vec![0; actual.len()];
        let course = Course { actual, known: actual, day: &day, step_s: 900.0, physics };
        (0..1_u32 << actual.len())
            .map(|orders| {
                let mut accounts = [Account::default()];
                course.settle(Machine::MINING, |interval, _| orders >> interval & 1 == 1, physics, &mut accounts);
                accounts[0].margin()
            })
            .fold(f64::NEG_INFINITY, f64::max)
    }

    #[test]
    fn each_player_does_what_it_is_named_for() {
        let physics = physics(60.0, 300.0);
        let actual = rates(100.0, &[50.0, 500.0, 500.0, 50.0]);
        // Per quarter of an hour.
        assert_eq!(play(Player::AlwaysMine, &actual, &physics), (0.25 * (50.0 - 400.0 - 400.0 + 50.0), 0.0));
        let (never, switches) = play(Player::NeverMine, &actual, &physics);
        assert!((never + 0.25 * 0.01 * 1100.0).abs() < 1e-9 && switches == 0.0, "{never}");
        // Myopic misses the first dear interval and the first cheap one after.
        let (myopic, switches) = play(Player::Myopic, &actual, &physics);
        let asleep = -500.0 / 60.0 - 5.0 * 14.0 / 60.0 - 0.5;
        assert!((myopic - (12.5 - 100.0 + asleep - 0.125)).abs() < 1e-9, "{myopic}");
        assert_eq!(switches, 1.0);
        let (free, switches) = play(Player::ClairvoyantFree, &actual, &physics);
        assert!((free - (12.5 - 2.0 * 1.25 + 12.5)).abs() < 1e-9, "{free}");
        assert_eq!(switches, 2.0);
    }

    #[test]
    fn who_pays_does_not_switch_for_less_than_it_costs() {
        let physics = physics(60.0, 300.0);
        // Sleeping saves 0.25 · 10 of loss and costs 6 minutes of revenue.
        assert_eq!(play(Player::ClairvoyantPaying, &rates(100.0, &[50.0, 110.0, 50.0]), &physics).1, 0.0);
        assert_eq!(play(Player::ClairvoyantPaying, &rates(100.0, &[50.0, 200.0, 50.0]), &physics).1, 2.0);
    }

    #[test]
    fn a_gap_is_nobodys_money_and_no_reason_to_move() {
        let physics = physics(60.0, 300.0);
        let mut actual = rates(100.0, &[500.0, 500.0, 0.0, 500.0]);
        actual[2] = None;
        for player in Player::ALL {
            assert!(play(player, &actual, &physics).1 <= 1.0, "{player:?}");
        }
    }

    #[test]
    fn the_worst_miners_give_their_power_to_the_best_block() {
        let offer = |margin, megawatts| AiOffer { margin, value: margin + 40.0, megawatts };
        let mut shares = Vec::new();
        ai_shares(&[(2.0, 30.0), (1.0, -5.0)], &mut [offer(200.0, 2.0), offer(20.0, 5.0)], &mut shares);
        // One MW of the losing group, one of the other; what is left of demand pays less than mining there.
        assert_eq!(shares, [(0.5, 480.0), (1.0, 240.0)]);
        ai_shares(&[(2.0, 30.0)], &mut [offer(20.0, 5.0)], &mut shares);
        assert_eq!(shares, [(0.0, 0.0)]);
    }

    proptest! {
        #[test]
        fn the_plan_is_the_best_of_all_plans(
            power in prop::collection::vec(-200.0..600.0, 1..10),
            gap in 0..12_usize,
            sleep_s in 0.0..900.0,
            wake_s in 0.0..900.0,
        ) {
            let mut actual = rates(100.0, &power);
            if let Some(rates) = actual.get_mut(gap) {
                *rates = None;
            }
            let physics = physics(sleep_s, wake_s);
            let planned = play(Player::ClairvoyantPaying, &actual, &physics).0;
            let best = best_by_trying(&actual, &physics);
            prop_assert!((planned - best).abs() < 1e-6, "{planned} of {best}");
        }

        #[test]
        fn a_transition_longer_than_intervals_is_carried_out(power in prop::collection::vec(-200.0..600.0, 1..40)) {
            let (actual, physics) = (rates(100.0, &power), physics(1000.0, 2000.0));
            let (planned, _) = play(Player::ClairvoyantPaying, &actual, &physics);
            prop_assert!(planned >= play(Player::AlwaysMine, &actual, &physics).0 - 1e-6);
            prop_assert!(planned <= play(Player::ClairvoyantFree, &actual, &physics).0 + 1e-6);
        }

        #[test]
        fn nobody_passes_the_clairvoyants(power in prop::collection::vec(-200.0..600.0, 1..60)) {
            let actual = rates(100.0, &power);
            let physics = physics(60.0, 300.0);
            let margin = |player| play(player, &actual, &physics).0;
            let (free, paying) = (margin(Player::ClairvoyantFree), margin(Player::ClairvoyantPaying));
            prop_assert!(free >= paying - 1e-6);
            for player in [Player::AlwaysMine, Player::Myopic] {
                prop_assert!(paying >= margin(player) - 1e-6, "{player:?}");
            }
        }
    }
}
