//! What may follow the `?`: which part of a list, which stretch of time.
//!
//! A parameter that nobody knows is refused: a filter that is misspelt would show everything.
//!
//! Limits: [`MAX_LIMIT`] entries of a list in one answer, [`MAX_POINTS`] points of a line.

use axum::extract::{Query, rejection::QueryRejection};
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use super::wire::WorkerSort;

/// Entries of a list in one answer: some 300 KiB.
pub const MAX_LIMIT: usize = 1_000;

/// Entries of a list unless more are asked for.
pub const LIMIT: usize = 100;

/// Points of a line in one answer: one for each pixel of a wall screen.
pub const MAX_POINTS: i64 = 4_000;

/// Bytes of a filter.
const MAX_TEXT: usize = 256;

/// As axum hands a query over.
pub type Asked<T> = Result<Query<T>, QueryRejection>;

/// A part of a list.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// How many to leave out; 0 unless said otherwise.
    #[serde(default)]
    pub offset: usize,
    /// How many at most: 100 unless said otherwise, 1000 at most.
    pub limit: Option<usize>,
}

/// The beginning of a list.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Newest {
    /// How many at most: 20 unless said otherwise, 1000 at most.
    pub limit: Option<usize>,
}

/// The beginning of a list, or what comes behind.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Behind {
    /// How many at most: 100 unless said otherwise, 1000 at most.
    pub limit: Option<usize>,
    /// Those behind a page: its `next`.
    pub after: Option<String>,
}

/// A part of the workers.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WorkerFilter {
    /// How many to leave out; 0 unless said otherwise.
    #[serde(default)]
    pub offset: usize,
    /// How many at most: 100 unless said otherwise, 1000 at most.
    pub limit: Option<usize>,
    /// What to sort by; `sick` unless said otherwise.
    #[serde(default)]
    #[param(inline)]
    pub sort: WorkerSort,
    /// The other way round.
    #[serde(default)]
    pub reverse: bool,
    /// Only those whose name, address or firmware has this, in any case.
    pub text: Option<String>,
    /// Only miners of this route.
    pub route: Option<String>,
    /// Only miners of this power group.
    pub group: Option<String>,
    /// Only those with something wrong; `false`: only those without.
    pub sick: Option<bool>,
    /// Only those that are connected; `false`: only those that are not.
    pub online: Option<bool>,
}

/// A stretch of time.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// Its beginning, RFC 3339; an hour before its end unless said otherwise.
    pub from: Option<Timestamp>,
    /// Its end; now unless said otherwise.
    pub to: Option<Timestamp>,
    /// Seconds between two points; chosen to give some 360 of them unless said otherwise. 4000 points at most.
    pub step: Option<i64>,
}

/// A stretch of time, cut into steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// Where the first step begins, in seconds since 1970: a multiple of `step`.
    pub begin: i64,
    /// How many there are.
    pub count: usize,
    /// Seconds of each.
    pub step: i64,
}

/// Steps that people read: seconds to a day.
const ROUND_STEPS: [i64; 11] = [10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 86_400];

impl Stretch {
    /// Its steps, or what is wrong with it. `now` is where it ends unless it says so.
    pub fn steps(&self, now: Timestamp) -> Result<Steps, String> {
        let to = self.to.unwrap_or(now).as_second();
        let from = self.from.map_or(to - 3_600, Timestamp::as_second);
        if from >= to {
            return Err("from is not before to".to_owned());
        }
        let wanted = (to - from) / 360;
        let round = ROUND_STEPS.into_iter().find(|step| *step >= wanted).unwrap_or(86_400);
        let step = self.step.unwrap_or(round);
        if !(10..=86_400).contains(&step) {
            return Err("step is not between 10 seconds and a day (86400)".to_owned());
        }
        let begin = from.div_euclid(step) * step;
        let count = (to - begin).div_euclid(step) + i64::from((to - begin).rem_euclid(step) > 0);
        if count > MAX_POINTS {
            return Err(format!("that is {count} points: ask for {MAX_POINTS} at most, by a longer step"));
        }
        Ok(Steps { begin, count: usize::try_from(count).unwrap_or_default(), step })
    }
}

/// What a query says, or what is wrong with it.
pub fn asked<T>(query: Asked<T>) -> Result<T, String> {
    query.map(|Query(asked)| asked).map_err(|error| error.body_text())
}

/// How many entries are asked for, or what is wrong with that.
pub fn limit(limit: Option<usize>, default: usize) -> Result<usize, String> {
    match limit.unwrap_or(default) {
        limit if limit <= MAX_LIMIT => Ok(limit),
        _ => Err(format!("limit is no whole number up to {MAX_LIMIT}")),
    }
}

/// Whether a filter is not longer than it may be.
pub fn is_short(text: Option<&str>) -> Result<(), String> {
    match text {
        Some(text) if text.len() > MAX_TEXT => Err(format!("a filter is longer than {MAX_TEXT} bytes")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<Timestamp> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_stretch_is_cut_into_whole_steps_that_cover_it() {
        let now = at("2026-01-31T12:00:05Z").unwrap();
        let hour = Stretch::default().steps(now).unwrap();
        assert_eq!((hour.step, hour.count), (10, 361));
        assert_eq!(hour.begin.rem_euclid(10), 0);
        let day = Stretch { from: at("2026-01-30T12:00:00Z"), to: at("2026-01-31T12:00:00Z"), step: None };
        assert_eq!(day.steps(now).unwrap(), Steps { begin: 1_769_774_400, count: 288, step: 300 });
        let whole = Stretch { step: Some(3_600), ..day };
        assert_eq!(whole.steps(now).unwrap().count, 24);
    }

    #[test]
    fn what_is_no_stretch_or_too_long_an_answer_is_refused() {
        let now = at("2026-01-31T12:00:00Z").unwrap();
        let stretch = |from, to, step| Stretch { from: at(from), to: at(to), step };
        for bad in [
            stretch("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z", None),
            stretch("2026-01-31T12:00:01Z", "2026-01-31T12:00:00Z", None),
            stretch("2026-01-30T12:00:00Z", "2026-01-31T12:00:00Z", Some(10)),
            stretch("2026-01-30T12:00:00Z", "2026-01-31T12:00:00Z", Some(0)),
            stretch("2026-01-30T12:00:00Z", "2026-01-31T12:00:00Z", Some(-60)),
            stretch("2026-01-30T12:00:00Z", "2026-01-31T12:00:00Z", Some(86_401)),
            stretch("-009999-01-02T01:59:59Z", "9999-12-30T22:00:00Z", None),
        ] {
            assert!(bad.steps(now).is_err(), "{bad:?}");
        }
    }
}
