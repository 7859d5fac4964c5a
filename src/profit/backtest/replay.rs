//! The replay itself: virtual time goes from interval to interval, the policy decides on what is known, the groups do as told, and
//! what they then earn and pay is booked.
//!
//! Knows the order of things; knows no rule by which to decide.
//!
//! ```text
//! interval begins ── what is known (field.rs) ── the policy's orders ── machines (machine.rs) ── what held (field.rs) ── accounts
//! ```

use jiff::civil::Date;

use super::{
    account::{Account, Rates},
    field::{Field, Window},
    machine::{Machine, Physics},
    reference::{Course, Player},
};
use crate::profit::{Currency, JoulesPerTerahash};

/// What a policy wants of a group in an interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Order {
    /// To mine, or to sleep.
    pub awake: bool,
    /// Where it sleeps: the share of its power that AI has, and what an hour of the group's whole power earns there.
    pub ai: (f64, f64),
}

/// What a group did in most of an interval; one byte, since there are millions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Doing {
    /// It mined.
    Mining,
    /// AI had its power.
    Ai,
    /// It slept.
    Curtailed,
}

/// What happened to one group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupReplay {
    /// Its name.
    pub name: String,
    /// Joules for each terahash.
    pub efficiency: JoulesPerTerahash,
    /// Power at the site meter, with what always mines.
    pub megawatts: f64,
    /// `[player][day]`.
    pub accounts: Vec<Vec<Account>>,
    /// For each day: intervals in which power cost more than mining earned, and intervals with a price.
    pub unprofitable: Vec<(u32, u32)>,
    /// What the policy had it do, interval by interval.
    pub doing: Vec<Doing>,
    /// What a MWh earned by mining, day by day, at the site meter.
    pub value: Vec<f64>,
}

/// What happened to all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// What money is in.
    pub currency: Currency,
    /// Seconds of an interval.
    pub step_s: f64,
    /// The days played.
    pub days: Vec<Date>,
    /// What was asked for, with the days that are counted apart.
    pub window: Window,
    /// The day of each interval, an index into `days`.
    pub day_of: Vec<usize>,
    /// What a MWh cost at the meter, delivery included.
    pub prices: Vec<Option<f64>>,
    /// What of the config was not played.
    pub unplayed: Vec<String>,
    /// The groups.
    pub groups: Vec<GroupReplay>,
}

impl Replay {
    /// The highest price of a day.
    pub fn highest_price(&self, day: usize) -> Option<f64> {
        let begin = self.day_of.partition_point(|of| *of < day);
        let end = self.day_of.partition_point(|of| *of <= day);
        self.prices[begin..end].iter().flatten().copied().max_by(f64::total_cmp)
    }
}

/// Plays a policy over a field, then its references. `decide` is asked at the beginning of each interval, in order; it writes one order
/// for each group. `progress` is told the intervals done so far, about a hundred times.
pub fn play(
    field: &Field<'_>,
    window: &Window,
    currency: Currency,
    mut decide: impl FnMut(usize, &mut [Order]),
    mut progress: impl FnMut(usize),
) -> Replay {
    let mut groups: Vec<GroupReplay> = (0..field.groups.len()).map(|group| empty(field, group)).collect();
    let mut machines = vec![Machine::MINING; groups.len()];
    let mut orders = vec![Order { awake: true, ai: (0.0, 0.0) }; groups.len()];
    let report_every = (field.len() / 100).max(1);
    for (interval, day) in field.day_of.iter().enumerate() {
        decide(interval, &mut orders);
        for (index, (group, order)) in groups.iter_mut().zip(&orders).enumerate() {
            let physics = &field.groups[index].physics;
            let rates = field.rates(index, interval);
            let account = &mut group.accounts[Player::Policy as usize][*day];
            step(&mut machines[index], order, rates, physics, field.step_s(), account);
            group.doing.push(match order {
                Order { awake: true, .. } => Doing::Mining,
                Order { ai: (share, _), .. } if *share > 0.0 => Doing::Ai,
                Order { .. } => Doing::Curtailed,
            });
            if let Some(rates) = rates {
                let (unprofitable, priced) = &mut group.unprofitable[*day];
                *priced += 1;
                *unprofitable += u32::from(rates.mining_margin() < 0.0);
            }
        }
        if interval % report_every == 0 {
            progress(interval);
        }
    }
    references(field, &mut groups);
    progress(field.len());
    Replay {
        currency,
        step_s: field.step_s(),
        days: field.days.clone(),
        window: window.clone(),
        day_of: field.day_of.clone(),
        prices: (0..field.len()).map(|interval| field.price_at_meter(interval)).collect(),
        unplayed: field.unplayed.clone(),
        groups,
    }
}

/// One group in one interval.
fn step(
    machine: &mut Machine,
    order: &Order,
    rates: Option<Rates>,
    physics: &Physics,
    step_s: f64,
    account: &mut Account,
) {
    if machine.order(order.awake, physics) {
        account.book_order(order.awake, physics);
    }
    let spent = machine.advance(step_s);
    if let Some(rates) = rates {
        let (ai_share, ai) = order.ai;
        account.book(spent, &Rates { ai_share, ai, ..rates }, physics);
    }
}

fn references(field: &Field<'_>, groups: &mut [GroupReplay]) {
    let (actual_shares, known_shares) = (field.shares(false), field.shares(true));
    let (mut actual, mut known) = (Vec::new(), Vec::new());
    for (index, group) in groups.iter_mut().enumerate() {
        field.course(index, false, &actual_shares, &mut actual);
        field.course(index, true, &known_shares, &mut known);
        let course = Course {
            actual: &actual,
            known: &known,
            day: &field.day_of,
            step_s: field.step_s(),
            physics: &field.groups[index].physics,
        };
        for player in Player::ALL {
            let accounts = &mut group.accounts[player as usize];
            course.run(player, accounts);
            field.book_floor(index, accounts);
        }
    }
}

fn empty(field: &Field<'_>, group: usize) -> GroupReplay {
    let days = field.days.len();
    let of = &field.groups[group];
    GroupReplay {
        name: of.name.clone(),
        efficiency: of.efficiency,
        megawatts: of.megawatts + of.floor_megawatts,
        accounts: vec![vec![Account::default(); days]; Player::ALL.len()],
        unprofitable: vec![(0, 0); days],
        doing: Vec::with_capacity(field.len()),
        value: of.value.clone(),
    }
}

#[cfg(test)]
mod tests;
