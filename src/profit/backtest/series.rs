//! History as it was: what power, bitcoin and AI compute were worth, by time.
//!
//! Knows which value held when, and nothing of files, groups or decisions. Who asks names the moment; what was *known* at a
//! moment is the replay's business (`replay.rs`).
//!
//! | series | shape | where nothing is known |
//! |---|---|---|
//! | [`PowerPrices`] | one price per interval of equal length | a gap: nobody earns, pays or decides on it |
//! | [`BtcDays`] | one row per UTC day | the day before holds, for at most [`MAX_CARRIED_DAYS`] |
//! | [`Steps`] | a value that holds until the next one | before the first one: nothing |

use jiff::{Timestamp, civil::Date, tz::TimeZone};

use crate::profit::{BtcPerBlock, MoneyPerBtc, MoneyPerMwh, NetworkDifficulty};

/// Intervals of a series: forty years of five minutes. A year mistyped as 2204 shall not fill the memory.
pub const MAX_INTERVALS: usize = 1 << 22;
/// The shortest interval, in seconds. The markets' is five minutes.
pub const MIN_STEP_SECONDS: i64 = 60;
/// The longest interval, in seconds: with day-long prices nothing is left to decide within a day.
pub const MAX_STEP_SECONDS: i64 = 86_400;
/// Days that a missing daily row is stood in for by the one before. Difficulty holds for two weeks, prices move some per cent a day.
pub const MAX_CARRIED_DAYS: usize = 7;
/// Days of bitcoin history: twice what there is in 2026.
pub const MAX_DAYS: usize = 13_000;

/// What energy cost at the market, interval by interval.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerPrices {
    first: Timestamp,
    step_seconds: i64,
    prices: Vec<Option<MoneyPerMwh>>,
}

impl PowerPrices {
    /// Prices of intervals of `step_seconds`, the first of which begins at `first`; `None` where the history has a gap.
    /// `None` if there is no price, or the interval is out of its bounds.
    pub fn new(first: Timestamp, step_seconds: i64, prices: Vec<Option<MoneyPerMwh>>) -> Option<Self> {
        let fits = (MIN_STEP_SECONDS..=MAX_STEP_SECONDS).contains(&step_seconds) && prices.len() <= MAX_INTERVALS;
        let series = Self { first, step_seconds, prices };
        // The end must be a time, too.
        let ends = Timestamp::from_second(series.second(series.prices.len())).is_ok();
        (fits && ends && !series.prices.is_empty()).then_some(series)
    }

    /// Seconds of an interval.
    pub fn step_seconds(&self) -> i64 {
        self.step_seconds
    }

    /// Hours of an interval.
    pub fn step_hours(&self) -> f64 {
        self.step_seconds as f64 / 3600.0
    }

    /// How many intervals, gaps included.
    pub fn len(&self) -> usize {
        self.prices.len()
    }

    /// Never: a series has an interval.
    pub fn is_empty(&self) -> bool {
        self.prices.is_empty()
    }

    /// The price of an interval; `None` in a gap and outside the series.
    pub fn price(&self, interval: usize) -> Option<MoneyPerMwh> {
        self.prices.get(interval).copied().flatten()
    }

    /// When an interval begins. Past the end it is the end of the series.
    pub fn begin(&self, interval: usize) -> Timestamp {
        let second = self.second(interval.min(self.prices.len()));
        // `new` made sure of the end, `first` is a time.
        Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
    }

    /// The first interval that begins at `time` or later; the number of intervals if none does.
    pub fn at_or_after(&self, time: Timestamp) -> usize {
        let (seconds, step) = (time.as_second() - self.first.as_second(), self.step_seconds);
        let rounded_up = seconds.div_euclid(step) + i64::from(seconds.rem_euclid(step) > 0);
        usize::try_from(rounded_up.max(0)).unwrap_or(usize::MAX).min(self.prices.len())
    }

    fn second(&self, interval: usize) -> i64 {
        let interval = i64::try_from(interval).unwrap_or(i64::MAX);
        self.first.as_second().saturating_add(self.step_seconds.saturating_mul(interval))
    }
}

/// What a day of mining depended on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BtcDay {
    /// At the end of the day.
    pub price: MoneyPerBtc,
    /// The network's.
    pub difficulty: NetworkDifficulty,
    /// Subsidy, and the day's fees spread over its blocks.
    pub reward: BtcPerBlock,
}

/// One [`BtcDay`] for each UTC day.
#[derive(Debug, Clone, PartialEq)]
pub struct BtcDays {
    first: Date,
    days: Vec<BtcDay>,
}

impl BtcDays {
    /// Days in a row from `first`. `None` without a day, and beyond [`MAX_DAYS`].
    pub fn new(first: Date, days: Vec<BtcDay>) -> Option<Self> {
        (!days.is_empty() && days.len() <= MAX_DAYS).then_some(Self { first, days })
    }

    /// The first day.
    pub fn first(&self) -> Date {
        self.first
    }

    /// The last day.
    pub fn last(&self) -> Date {
        let days = i64::try_from(self.days.len() - 1).unwrap_or(0);
        self.first.checked_add(jiff::Span::new().days(days)).unwrap_or(Date::MAX)
    }

    /// The row of a day.
    pub fn day(&self, date: Date) -> Option<BtcDay> {
        let index = date.since(self.first).ok()?.get_days();
        self.days.get(usize::try_from(index).ok()?).copied()
    }
}

/// A value that holds from a time until the next one.
#[derive(Debug, Clone, PartialEq)]
pub struct Steps {
    /// In order, times all different.
    rows: Vec<(Timestamp, f64)>,
}

impl Steps {
    /// Values with the times they hold from. `None` without any, and if times are not in order, each later than the one before.
    pub fn new(rows: Vec<(Timestamp, f64)>) -> Option<Self> {
        let in_order = rows.windows(2).all(|pair| pair[0].0 < pair[1].0);
        (in_order && !rows.is_empty() && rows.len() <= MAX_INTERVALS).then_some(Self { rows })
    }

    /// What held at `time`, and since when; `None` before the first row.
    pub fn at(&self, time: Timestamp) -> Option<(Timestamp, f64)> {
        let later = self.rows.partition_point(|(from, _)| *from <= time);
        later.checked_sub(1).map(|index| self.rows[index])
    }
}

/// The UTC day of a time.
pub fn utc_day(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn prices(values: &[f64]) -> PowerPrices {
        let prices = values.iter().map(|value| MoneyPerMwh::new(*value)).collect();
        PowerPrices::new(time("2024-01-01T00:00:00Z"), 900, prices).expect("a series")
    }

    #[test]
    fn an_interval_is_found_by_its_time() {
        let prices = prices(&[10.0, f64::NAN, 30.0]);
        for (at, interval) in [
            ("2023-12-31T00:00:00Z", 0),
            ("2024-01-01T00:00:00Z", 0),
            ("2024-01-01T00:00:01Z", 1),
            ("2024-01-01T00:15:00Z", 1),
            ("2024-01-01T00:30:00Z", 2),
            ("2024-01-01T00:31:00Z", 3),
            ("2030-01-01T00:00:00Z", 3),
        ] {
            assert_eq!(prices.at_or_after(time(at)), interval, "{at}");
        }
        assert_eq!(prices.begin(2), time("2024-01-01T00:30:00Z"));
        assert_eq!(prices.price(0), MoneyPerMwh::new(10.0));
        assert_eq!((prices.price(1), prices.price(3)), (None, None));
    }

    #[test]
    fn absurd_series_are_refused() {
        let some = || vec![MoneyPerMwh::new(1.0)];
        assert_eq!(PowerPrices::new(Timestamp::UNIX_EPOCH, 900, vec![]), None);
        assert_eq!(PowerPrices::new(Timestamp::UNIX_EPOCH, 59, some()), None);
        assert_eq!(PowerPrices::new(Timestamp::UNIX_EPOCH, 86_401, some()), None);
        assert_eq!(PowerPrices::new(Timestamp::MAX, 900, some()), None);
        assert_eq!(Steps::new(vec![(Timestamp::UNIX_EPOCH, 1.0), (Timestamp::UNIX_EPOCH, 2.0)]), None);
    }

    #[test]
    fn a_step_holds_until_the_next() {
        let steps = Steps::new(vec![(time("2024-01-01T00:00:00Z"), 1.0), (time("2024-02-01T00:00:00Z"), 2.0)]).unwrap();
        assert_eq!(steps.at(time("2023-12-31T23:59:59Z")), None);
        assert_eq!(steps.at(time("2024-01-31T23:59:59Z")), Some((time("2024-01-01T00:00:00Z"), 1.0)));
        assert_eq!(steps.at(time("2024-06-01T00:00:00Z")), Some((time("2024-02-01T00:00:00Z"), 2.0)));
    }

    #[test]
    fn a_day_is_found_across_months_and_years() {
        let day = |price| BtcDay {
            price: MoneyPerBtc::new(price).unwrap(),
            difficulty: NetworkDifficulty::new(1e13).unwrap(),
            reward: BtcPerBlock::new(6.25).unwrap(),
        };
        let days = BtcDays::new(date(2023, 12, 31), vec![day(1.0), day(2.0), day(3.0)]).unwrap();
        assert_eq!(days.day(date(2024, 1, 2)), Some(day(3.0)));
        assert_eq!((days.day(date(2023, 12, 30)), days.day(date(2024, 1, 3))), (None, None));
        assert_eq!(days.last(), date(2024, 1, 2));
    }
}
