//! What charts show: hashrate, the site's power, prices; as they were every [`EVERY`] since the start.
//!
//! One row of numbers for each moment, a column for each line of a chart; which there are is said by the config. What is not known is NaN.
//! Where the config becomes another, lines that stay keep their numbers. What an earlier run of the proxy had is put before it, by the minute;
//! hashrate is not, that is in the store as counts.
//!
//! Limits: [`MAX_ROWS`] (a day), fewer where there are so many columns that they would take more than [`MAX_BYTES`].

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::api::{query::Steps, wire::Line};

/// Between two rows.
pub const EVERY: Duration = Duration::from_secs(10);

/// A day of them.
pub const MAX_ROWS: usize = 8_640;

/// What is kept for the next run is of so long, in seconds.
pub const MINUTE: i64 = 60;

/// Memory of all rows: a day of a hundred groups is half of it.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// A line of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The chart.
    pub chart: Chart,
    /// For programs.
    pub key: String,
    /// For people.
    pub label: String,
    /// Of its numbers.
    pub unit: String,
}

/// What an earlier run tells the next of a minute: the numbers that were known, by chart and key.
pub type Minute = BTreeMap<String, f32>;

/// Lines of which a minute is kept: the first of them.
const MAX_KEPT: usize = 2_000;

/// The charts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chart {
    /// Hashrate by route, and as pools credit it.
    Hashrate,
    /// The site's power.
    Site,
    /// Prices and what they are held against.
    Price,
}

impl Column {
    /// Under which name a minute of it is kept; `None` for hashrate.
    fn kept_as(&self) -> Option<String> {
        let chart = match self.chart {
            Chart::Hashrate => return None,
            Chart::Site => "site",
            Chart::Price => "price",
        };
        Some(format!("{chart}/{}", self.key))
    }
}

/// Rows of numbers, the oldest first.
pub struct Series {
    columns: Vec<Column>,
    rows: VecDeque<(i64, Box<[f32]>)>,
    room: usize,
    /// The first row that this run has added.
    began: Option<i64>,
}

impl Series {
    /// With these columns, and no rows.
    pub fn new(columns: Vec<Column>) -> Self {
        let row_bytes = columns.len() * size_of::<f32>() + size_of::<(i64, Box<[f32]>)>();
        Self { room: (MAX_BYTES / row_bytes).clamp(1, MAX_ROWS), columns, rows: VecDeque::new(), began: None }
    }

    /// Has other columns from now on. Those that stay keep their numbers; of those that are new there are none yet.
    pub fn set_columns(&mut self, columns: Vec<Column>) {
        if columns == self.columns {
            return;
        }
        let before = |new: &Column| self.columns.iter().position(|old| (old.chart, &old.key) == (new.chart, &new.key));
        let before: Vec<Option<usize>> = columns.iter().map(before).collect();
        let mut other = Self::new(columns);
        for (at, values) in self.rows.drain(..) {
            let value = |column: &Option<usize>| column.map_or(f32::NAN, |column| values[column]);
            other.add(at, before.iter().map(value).collect());
        }
        other.began = self.began;
        *self = other;
    }

    /// Adds a row; as many values as there are columns. A clock that is set back adds none until it is where it was.
    pub fn add(&mut self, at: i64, values: Box<[f32]>) {
        if values.len() != self.columns.len() || self.rows.back().is_some_and(|(last, _)| *last >= at) {
            return;
        }
        if self.rows.len() == self.room {
            self.rows.pop_front();
        }
        self.rows.push_back((at, values));
        self.began.get_or_insert(at);
    }

    /// From when on it has what this run of the proxy has seen; `None` before there is a row.
    pub fn begins(&self) -> Option<i64> {
        let (first, _) = self.rows.front()?;
        self.began.map(|began| began.max(*first))
    }

    /// What an earlier run is to have known of a minute that begins then: the means of what is known.
    pub fn minute(&self, begin: i64) -> Minute {
        let first = self.rows.partition_point(|(at, _)| *at < begin);
        let rows = || self.rows.range(first..).take_while(|(at, _)| *at < begin + MINUTE);
        let mean = |index: usize| {
            let known = || rows().map(|(_, values)| f64::from(values[index])).filter(|value| value.is_finite());
            let count = known().count();
            (count > 0).then(|| (known().sum::<f64>() / count as f64) as f32)
        };
        let kept = self.columns.iter().enumerate().filter_map(|(index, column)| Some((index, column.kept_as()?)));
        kept.take(MAX_KEPT).filter_map(|(index, name)| Some((name, mean(index)?))).collect()
    }

    /// Puts a minute of an earlier run before all there is: as a row every [`EVERY`], so that it is drawn as the rest is. The latest minute comes
    /// first. Whether there is room for another.
    pub fn put_before(&mut self, begin: i64, minute: &Minute) -> bool {
        let value = |column: &Column| column.kept_as().and_then(|name| minute.get(&name).copied()).unwrap_or(f32::NAN);
        let values: Box<[f32]> = self.columns.iter().map(value).collect();
        for row in (0..MINUTE / EVERY.as_secs().cast_signed()).rev() {
            let at = begin + row * EVERY.as_secs().cast_signed();
            if self.rows.len() >= self.room {
                return false;
            }
            if self.rows.front().is_none_or(|(first, _)| at < *first) {
                self.rows.push_front((at, values.clone()));
            }
        }
        true
    }

    /// The lines of a chart: means over each step.
    pub fn lines(&self, chart: Chart, steps: &Steps) -> Vec<Line> {
        let shown: Vec<usize> = (0..self.columns.len()).filter(|column| self.columns[*column].chart == chart).collect();
        let mut sums = vec![vec![(0.0_f64, 0_u32); steps.count]; shown.len()];
        let begin = self.rows.partition_point(|(at, _)| *at < steps.begin);
        for (at, values) in self.rows.range(begin..) {
            let step = usize::try_from((at - steps.begin) / steps.step).unwrap_or(usize::MAX);
            if step >= steps.count {
                break;
            }
            for (sums, column) in sums.iter_mut().zip(&shown) {
                let value = f64::from(values[*column]);
                if value.is_finite() {
                    sums[step].0 += value;
                    sums[step].1 += 1;
                }
            }
        }
        let line = |(column, sums): (&usize, Vec<(f64, u32)>)| {
            let Column { key, label, unit, .. } = self.columns[*column].clone();
            let mean = |(sum, count): (f64, u32)| (count > 0).then(|| rounded(sum / f64::from(count)));
            Line { key, label, unit, values: sums.into_iter().map(mean).collect() }
        };
        shown.iter().zip(sums).map(line).collect()
    }
}

/// Without the digits beyond those of a single-precision number, which mean nothing.
fn rounded(value: f64) -> f64 {
    if value == 0.0 {
        return 0.0;
    }
    let scale = 10_f64.powi(6 - value.abs().log10().floor() as i32);
    let rounded = (value * scale).round() / scale;
    if rounded.is_finite() { rounded } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(chart: Chart, key: &str) -> Column {
        Column { chart, key: key.to_owned(), label: key.to_owned(), unit: "kW".to_owned() }
    }

    #[test]
    fn a_point_is_the_mean_of_what_is_known_in_its_step() {
        let mut series = Series::new(vec![column(Chart::Site, "cap"), column(Chart::Price, "power")]);
        for (at, cap, price) in [(100, 1.0, 5.0), (110, 3.0, f32::NAN), (120, f32::NAN, f32::NAN), (140, 7.5, 2.0)] {
            series.add(at, [cap, price].into());
        }
        let steps = Steps { begin: 100, count: 3, step: 20 };
        let line = &series.lines(Chart::Site, &steps)[0];
        assert_eq!((&*line.key, &*line.values), ("cap", &[Some(2.0), None, Some(7.5)][..]));
        let prices = series.lines(Chart::Price, &steps);
        assert_eq!(prices[0].values, [Some(5.0), None, Some(2.0)]);
        assert_eq!(prices.len(), 1);
        // What is before and behind is not in it.
        let before = Steps { begin: 60, count: 2, step: 20 };
        assert_eq!(series.lines(Chart::Site, &before)[0].values, [None, None]);
    }

    #[test]
    fn a_line_that_stays_keeps_its_numbers_when_another_comes_before_it() {
        let mut series = Series::new(vec![column(Chart::Site, "a"), column(Chart::Site, "b")]);
        series.add(100, [1.0, 2.0].into());
        let (b, c) = (column(Chart::Site, "b"), column(Chart::Site, "c"));
        // The same key is another line in another chart.
        series.set_columns(vec![c, column(Chart::Price, "a"), b]);
        series.add(110, [5.0, 6.0, 7.0].into());
        let steps = Steps { begin: 100, count: 2, step: 10 };
        let lines = series.lines(Chart::Site, &steps);
        let shown: Vec<_> = lines.iter().map(|line| (&*line.key, &line.values[..])).collect();
        assert_eq!(shown, [("c", &[None, Some(5.0)][..]), ("b", &[Some(2.0), Some(7.0)][..])]);
        assert_eq!(series.lines(Chart::Price, &steps)[0].values, [None, Some(6.0)]);
    }

    #[test]
    fn what_an_earlier_run_knew_of_a_minute_is_drawn_before_what_this_one_sees() {
        let lines = || vec![column(Chart::Hashrate, "total"), column(Chart::Site, "cap"), column(Chart::Price, "cap")];
        let mut earlier = Series::new(lines());
        for (at, cap) in [(110, 9.0), (120, 1.0), (150, 3.0), (180, 9.0)] {
            earlier.add(at, [5.0, cap, f32::NAN].into());
        }
        let minute = earlier.minute(120);
        assert_eq!(minute, Minute::from([("site/cap".to_owned(), 2.0)]), "counts tell hashrate, and NaN is not known");
        let minute = serde_json::from_str(&serde_json::to_string(&minute).unwrap()).unwrap();

        let mut series = Series::new(lines());
        assert!(series.put_before(180, &Minute::new()), "there may be nothing yet");
        assert_eq!(series.begins(), None);
        series.add(300, [7.0, 7.0, 7.0].into());
        assert!(series.put_before(120, &minute));
        let steps = Steps { begin: 120, count: 6, step: 10 };
        assert_eq!(series.lines(Chart::Site, &steps)[0].values, [Some(2.0); 6]);
        assert_eq!(series.lines(Chart::Hashrate, &steps)[0].values, [None; 6]);
        assert_eq!(series.begins(), Some(300), "before that, it is not of this run");
        series.set_columns(vec![column(Chart::Site, "cap")]);
        assert_eq!((series.begins(), &series.lines(Chart::Site, &steps)[0].values), (Some(300), &vec![Some(2.0); 6]));
        // What is there already stays, and no more comes in than there is room for.
        assert!(series.put_before(300, &minute));
        assert_eq!(series.lines(Chart::Site, &Steps { begin: 300, count: 1, step: 10 })[0].values, [Some(7.0)]);
        let before = (1..).take_while(|ago| series.put_before(120 - ago * MINUTE, &minute)).count();
        assert!(before < MAX_ROWS / 6 && series.rows.len() == MAX_ROWS, "{before} minutes, {} rows", series.rows.len());
    }

    #[test]
    fn it_does_not_grow_for_ever_and_time_does_not_go_back() {
        let mut series = Series::new(vec![column(Chart::Site, "cap")]);
        for at in 0..2 * MAX_ROWS as i64 {
            series.add(at, [1.0].into());
        }
        series.add(5, [9.0].into());
        assert_eq!((series.rows.len(), series.rows[0].0), (MAX_ROWS, MAX_ROWS as i64));
        let many = Series::new(vec![column(Chart::Site, "cap"); 100_000]);
        assert!(many.room * many.columns.len() * size_of::<f32>() <= MAX_BYTES);
    }

    #[test]
    fn numbers_are_written_as_they_were_meant() {
        for value in [1_234.567, 0.001, -3.1, 250_000.0, 1e-9] {
            assert_eq!(rounded(f64::from(value as f32)), value);
        }
    }
}
