//! What a replay found, summed up: per group and in all, per calendar year, with and without the excluded days.
//!
//! Knows sums and shares of them; draws nothing (`table.rs` and `html.rs` do). Serialised as it is, it is the JSON report.
//!
//! *Gain* is a margin less that of always mining. *Capture* is the policy's gain as a share of a reference's; it has no meaning, and is
//! left out, where the reference gains nothing. A year of switches has 8 766 hours, whatever part of it was played.

use jiff::civil::Date;
use serde::Serialize;

use super::{
    account::Account,
    reference::Player,
    replay::{GroupReplay, Replay},
};

/// Days that a list of the most valuable ones has.
pub const BEST_DAYS: usize = 10;
/// Hours of a year, leap years averaged in.
const HOURS_PER_YEAR: f64 = 8766.0;

/// Everything found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The version of the program that made it.
    pub hashgate: &'static str,
    /// What money is in.
    pub currency: String,
    /// The first day, UTC.
    pub from: Date,
    /// The last day, UTC.
    pub to: Date,
    /// Days counted apart: the first and the last of each range.
    pub excluded: Vec<(Date, Date)>,
    /// Minutes of an interval.
    pub interval_minutes: f64,
    /// Intervals played, those without a price included.
    pub intervals: usize,
    /// Intervals without a price.
    pub intervals_without_price: usize,
    /// What was mended in the files that were read.
    pub repairs: Vec<String>,
    /// What of the config was not played.
    pub unplayed: Vec<String>,
    /// All groups together.
    pub all: GroupReport,
    /// Each group, in the order of the config.
    pub groups: Vec<GroupReport>,
}

/// What was found of one group, or of all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupReport {
    /// Its name.
    pub name: String,
    /// Joules for each terahash; none for all together.
    pub joules_per_terahash: Option<f64>,
    /// Power at the site meter.
    pub megawatts: f64,
    /// Calendar years, then all of it; after each that has excluded days the same without them.
    pub spans: Vec<Span>,
}

/// Sums over some days.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Span {
    /// The calendar year; none for all days.
    pub year: Option<i16>,
    /// Whether excluded days are left out.
    pub without_excluded: bool,
    /// How many days.
    pub days: usize,
    /// The share of intervals in which power cost more than mining earned. Of all groups' intervals for all together.
    pub unprofitable: Option<f64>,
    /// The policy and its references.
    pub players: Vec<PlayerRow>,
    /// The policy's gain as a share of that of the myopic reference.
    pub capture_of_myopic: Option<f64>,
    /// The policy's gain as a share of that of the clairvoyant who switches for free.
    pub capture_of_clairvoyant_free: Option<f64>,
    /// The policy's gain as a share of that of the clairvoyant who pays for switching.
    pub capture_of_clairvoyant_paying: Option<f64>,
    /// The days among them on which the policy gained most, best first.
    pub best_days: Vec<BestDay>,
}

/// What one of them made of these days.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlayerRow {
    /// Who.
    pub player: &'static str,
    /// Earned by mining and AI.
    pub revenue: f64,
    /// Paid for power and wear.
    pub cost: f64,
    /// What is left.
    pub margin: f64,
    /// What is left beyond what always mining leaves.
    pub gain: f64,
    /// Hours mining; group-hours for all together, as all hours here.
    pub hours_mining: f64,
    /// Hours in which AI had the power.
    pub hours_ai: f64,
    /// Hours asleep.
    pub hours_curtailed: f64,
    /// Minutes at full power without revenue.
    pub minutes_lost: f64,
    /// Orders to sleep and to wake.
    pub switches: f64,
    /// The same, for a year.
    pub switches_per_year: f64,
}

/// A day that was worth much.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BestDay {
    /// Which, UTC.
    pub date: Date,
    /// The policy's margin less that of always mining.
    pub gain: f64,
    /// That of the clairvoyant who pays for switching.
    pub gain_of_clairvoyant_paying: f64,
    /// Hours that were not mined.
    pub hours_not_mined: f64,
    /// The day's highest price at the market; none on a day without prices.
    pub highest_price: Option<f64>,
    /// Whether it is excluded from the second table.
    pub excluded: bool,
}

impl Report {
    /// Sums up a replay; `repairs` is what was mended in its files.
    pub fn new(replay: &Replay, repairs: Vec<String>) -> Self {
        let all: Vec<&GroupReplay> = replay.groups.iter().collect();
        let name = "all groups".to_owned();
        Self {
            hashgate: env!("CARGO_PKG_VERSION"),
            currency: replay.currency.code().to_owned(),
            // A window has a day.
            from: replay.days[0],
            to: replay.days[replay.days.len() - 1],
            excluded: replay.window.exclude.clone(),
            interval_minutes: replay.step_s / 60.0,
            intervals: replay.prices.len(),
            intervals_without_price: replay.prices.iter().filter(|price| price.is_none()).count(),
            repairs,
            unplayed: replay.unplayed.clone(),
            all: group_report(replay, name, None, &all),
            groups: replay
                .groups
                .iter()
                .map(|group| group_report(replay, group.name.clone(), Some(group.efficiency.get()), &[group]))
                .collect(),
        }
    }
}

impl GroupReport {
    /// All days: with or without the excluded ones. Without them is the same where none is excluded.
    pub fn total(&self, without_excluded: bool) -> &Span {
        let totals = || self.spans.iter().filter(|span| span.year.is_none());
        // The sum over everything is always there, and first.
        totals().find(|span| span.without_excluded == without_excluded).unwrap_or(&self.spans[self.spans.len() - 1])
    }
}

impl Span {
    /// The row of a player.
    pub fn of(&self, player: Player) -> &PlayerRow {
        // A row for each, in the order of the enum.
        &self.players[player as usize]
    }

    /// What the days are called in tables.
    pub fn title(&self) -> String {
        let days = self.year.map_or_else(|| "all days".to_owned(), |year| year.to_string());
        if self.without_excluded { format!("{days}, less excluded") } else { days }
    }
}

fn group_report(replay: &Replay, name: String, efficiency: Option<f64>, groups: &[&GroupReplay]) -> GroupReport {
    let mut years: Vec<i16> = replay.days.iter().map(|day| day.year()).collect();
    years.dedup();
    let mut spans = Vec::new();
    for year in years.into_iter().map(Some).chain([None]) {
        let is_in = |day: Date| year.is_none_or(|year| day.year() == year);
        spans.push(span(replay, groups, year, false));
        if replay.days.iter().any(|day| is_in(*day) && replay.window.excludes(*day)) {
            spans.push(span(replay, groups, year, true));
        }
    }
    GroupReport {
        name,
        joules_per_terahash: efficiency,
        megawatts: groups.iter().map(|group| group.megawatts).sum(),
        spans,
    }
}

fn span(replay: &Replay, groups: &[&GroupReplay], year: Option<i16>, without_excluded: bool) -> Span {
    let is_in =
        |day: Date| year.is_none_or(|year| day.year() == year) && !(without_excluded && replay.window.excludes(day));
    let days: Vec<usize> = (0..replay.days.len()).filter(|day| is_in(replay.days[*day])).collect();
    let sum = |player: Player| {
        let mut sum = Account::default();
        for group in groups {
            days.iter().for_each(|day| sum += &group.accounts[player as usize][*day]);
        }
        sum
    };
    let accounts = Player::ALL.map(sum);
    let always = accounts[Player::AlwaysMine as usize].margin();
    let years = days.len() as f64 * 24.0 / HOURS_PER_YEAR;
    let players = Player::ALL.iter().zip(&accounts).map(|(player, account)| PlayerRow {
        player: player.key(),
        revenue: account.revenue,
        cost: account.cost,
        margin: account.margin(),
        gain: account.margin() - always,
        hours_mining: account.mining_h,
        hours_ai: account.ai_h,
        hours_curtailed: account.curtailed_h,
        minutes_lost: account.lost_h * 60.0,
        switches: account.switches,
        switches_per_year: if years > 0.0 { account.switches / years } else { 0.0 },
    });
    let gain = accounts[Player::Policy as usize].margin() - always;
    let capture = |player: Player| {
        let of = accounts[player as usize].margin() - always;
        (of > NO_GAIN).then_some(gain / of)
    };
    let counts = |count: fn(&(u32, u32)) -> u32| -> f64 {
        let of = |group: &&GroupReplay| days.iter().map(|day| f64::from(count(&group.unprofitable[*day]))).sum::<f64>();
        groups.iter().map(of).sum()
    };
    let (unprofitable, priced) = (counts(|day| day.0), counts(|day| day.1));
    Span {
        year,
        without_excluded,
        days: days.len(),
        unprofitable: (priced > 0.0).then(|| unprofitable / priced),
        players: players.collect(),
        capture_of_myopic: capture(Player::Myopic),
        capture_of_clairvoyant_free: capture(Player::ClairvoyantFree),
        capture_of_clairvoyant_paying: capture(Player::ClairvoyantPaying),
        best_days: best_days(replay, groups, &days),
    }
}

/// A gain under this, in money, is rounding.
const NO_GAIN: f64 = 1e-6;

fn best_days(replay: &Replay, groups: &[&GroupReplay], days: &[usize]) -> Vec<BestDay> {
    let margin = |player: Player, day: usize| -> f64 {
        groups.iter().map(|group| group.accounts[player as usize][day].margin()).sum()
    };
    let gain = |player: Player, day: usize| margin(player, day) - margin(Player::AlwaysMine, day);
    let gains = days.iter().map(|day| (*day, gain(Player::Policy, *day)));
    let mut days: Vec<(usize, f64)> = gains.filter(|(_, gain)| *gain > NO_GAIN).collect();
    days.sort_by(|a, b| b.1.total_cmp(&a.1));
    days.truncate(BEST_DAYS);
    let not_mined = |account: &Account| account.ai_h + account.curtailed_h + account.lost_h;
    days.into_iter()
        .map(|(day, gain_of_policy)| BestDay {
            date: replay.days[day],
            gain: gain_of_policy,
            gain_of_clairvoyant_paying: gain(Player::ClairvoyantPaying, day),
            hours_not_mined: groups.iter().map(|group| not_mined(&group.accounts[Player::Policy as usize][day])).sum(),
            highest_price: replay.highest_price(day),
            excluded: replay.window.excludes(replay.days[day]),
        })
        .collect()
}
