//! Hours of the week in local time, as observations for the days to come.
//!
//! Knows calendars and time zones (the tz database, which is built in); knows no clock. A begin that the change to summer time
//! skips is an hour later by that day's clock, one that comes twice is the first, as RFC 5545 has it.

use std::collections::BTreeSet;

use jiff::{Timestamp, ToSpan, Zoned, civil::Time};

use super::signal::{Observation, When};
use crate::config::{Window, Windows};

/// What holds between two times, in order and without a gap. Empty only where the calendar ends (year 9999).
pub fn between(schedule: &Windows, from: Timestamp, to: Timestamp) -> Vec<Observation> {
    let spans: Vec<Vec<(Timestamp, Timestamp)>> =
        schedule.windows.iter().map(|window| occurrences(schedule, window, from, to)).collect();
    let edges = spans.iter().flatten().flat_map(|(begin, end)| [*begin, *end]);
    let edges: BTreeSet<Timestamp> = edges.filter(|edge| *edge > from && *edge < to).chain([from, to]).collect();
    let edges: Vec<Timestamp> = edges.into_iter().collect();
    let mut observations: Vec<Observation> = Vec::new();
    for pair in edges.windows(2) {
        let covers =
            |spans: &Vec<(Timestamp, Timestamp)>| spans.iter().any(|(begin, end)| (*begin..*end).contains(&pair[0]));
        let first = spans.iter().position(covers);
        let value = first.map_or(schedule.otherwise, |index| schedule.windows[index].value);
        match observations.last_mut() {
            Some(Observation { value: last, when: When::During { to, .. } }) if *last == value => *to = pair[1],
            _ => observations.push(Observation { value, when: When::During { from: pair[0], to: pair[1] } }),
        }
    }
    observations
}

/// When a window is open, for each day of a time.
fn occurrences(schedule: &Windows, window: &Window, from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Timestamp)> {
    let zone = &schedule.zone;
    // One that began the day before may still be open.
    let Ok(mut date) = from.to_zoned(zone.clone()).date().checked_sub(1.day()) else { return Vec::new() };
    let last = to.to_zoned(zone.clone()).date();
    let mut spans = Vec::new();
    while date <= last {
        let Ok(next) = date.tomorrow() else { break };
        let day = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0);
        let month = usize::try_from(date.month() - 1).unwrap_or(0);
        if window.days[day] && window.months[month] {
            let (last_day, end) = match window.to {
                None => (next, Time::midnight()),
                Some(end) if end > window.from => (date, end),
                Some(end) => (next, end),
            };
            let instant = |zoned: Result<Zoned, jiff::Error>| zoned.map(|zoned| zoned.timestamp());
            let begin = instant(date.to_datetime(window.from).to_zoned(zone.clone()));
            let end = instant(last_day.to_datetime(end).to_zoned(zone.clone()));
            if let (Ok(begin), Ok(end)) = (begin, end)
                && begin < end
            {
                spans.push((begin, end));
            }
        }
        date = next;
    }
    spans
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;

    fn window(days: &[usize], from: (i8, i8), to: Option<(i8, i8)>, value: f64) -> Window {
        let mut on = [false; 7];
        days.iter().for_each(|day| on[*day] = true);
        let time = |(hour, minute)| Time::constant(hour, minute, 0, 0);
        Window { days: on, months: [true; 12], from: time(from), to: to.map(time), value }
    }

    fn schedule(zone: &str, windows: Vec<Window>) -> Windows {
        Windows { zone: TimeZone::get(zone).unwrap(), windows, otherwise: 0.0 }
    }

    /// What holds, with local times.
    fn shown(schedule: &Windows, from: &str, to: &str) -> Vec<String> {
        let local = |at: Timestamp| at.to_zoned(schedule.zone.clone()).strftime("%a %H:%M%:z").to_string();
        let spans = between(schedule, from.parse().unwrap(), to.parse().unwrap());
        let show = |observation: &Observation| match observation.when {
            When::During { from, to } => format!("{} to {}: {}", local(from), local(to), observation.value),
            other => format!("{other:?}"),
        };
        spans.iter().map(show).collect()
    }

    const WEEK: [usize; 5] = [0, 1, 2, 3, 4];

    #[test]
    fn a_peak_holds_in_its_hours_of_its_days() {
        let peak = schedule("America/Chicago", vec![window(&WEEK, (14, 0), Some((20, 0)), 310.0)]);
        // Friday noon to Monday noon.
        assert_eq!(
            shown(&peak, "2024-07-12T12:00:00-05:00", "2024-07-15T15:00:00-05:00"),
            [
                "Fri 12:00-05:00 to Fri 14:00-05:00: 0",
                "Fri 14:00-05:00 to Fri 20:00-05:00: 310",
                "Fri 20:00-05:00 to Mon 14:00-05:00: 0",
                "Mon 14:00-05:00 to Mon 15:00-05:00: 310",
            ]
        );
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_begins_on() {
        let night = schedule("Europe/Berlin", vec![window(&[4], (22, 0), Some((6, 0)), 5.0)]);
        assert_eq!(
            shown(&night, "2024-01-13T01:00:00+01:00", "2024-01-13T12:00:00+01:00"),
            ["Sat 01:00+01:00 to Sat 06:00+01:00: 5", "Sat 06:00+01:00 to Sat 12:00+01:00: 0"]
        );
    }

    #[test]
    fn the_first_window_that_fits_counts() {
        let both = schedule("UTC", vec![window(&[0], (12, 0), Some((13, 0)), 2.0), window(&[0], (0, 0), None, 1.0)]);
        assert_eq!(
            shown(&both, "2024-01-08T00:00:00Z", "2024-01-09T00:00:00Z"),
            [
                "Mon 00:00+00:00 to Mon 12:00+00:00: 1",
                "Mon 12:00+00:00 to Mon 13:00+00:00: 2",
                "Mon 13:00+00:00 to Tue 00:00+00:00: 1"
            ]
        );
    }

    #[test]
    fn hours_follow_the_local_clock_over_both_changes() {
        let evening = schedule("America/Chicago", vec![window(&[6], (1, 0), Some((4, 0)), 9.0)]);
        // Clocks go forward at 02:00 on 2024-03-10: two hours of the night are left, of three.
        assert_eq!(
            shown(&evening, "2024-03-10T00:00:00-06:00", "2024-03-10T12:00:00-05:00")[1],
            "Sun 01:00-06:00 to Sun 04:00-05:00: 9"
        );
        // And back at 02:00 on 2024-11-03: four hours, from the first 01:00 on.
        assert_eq!(
            shown(&evening, "2024-11-03T00:00:00-05:00", "2024-11-03T12:00:00-06:00")[1],
            "Sun 01:00-05:00 to Sun 04:00-06:00: 9"
        );
        // A begin that is skipped moves on by the hour that was.
        let skipped = schedule("America/Chicago", vec![window(&[6], (2, 30), Some((4, 0)), 9.0)]);
        assert_eq!(
            shown(&skipped, "2024-03-10T00:00:00-06:00", "2024-03-10T12:00:00-05:00")[1],
            "Sun 03:30-05:00 to Sun 04:00-05:00: 9"
        );
    }

    #[test]
    fn months_bound_a_season() {
        let mut summer = window(&[0, 1, 2, 3, 4, 5, 6], (0, 0), None, 7.0);
        summer.months = [false; 12];
        summer.months[5] = true;
        assert_eq!(
            shown(&schedule("UTC", vec![summer]), "2024-05-31T12:00:00Z", "2024-06-01T12:00:00Z"),
            ["Fri 12:00+00:00 to Sat 00:00+00:00: 0", "Sat 00:00+00:00 to Sat 12:00+00:00: 7"]
        );
    }

    proptest! {
        #[test]
        fn there_is_a_value_for_every_moment(begin in 0_i64..4_000_000_000, hours in 1_i64..72, from in 0_i8..24, to in 0_i8..24, zone in 0_usize..4) {
            let zone = ["UTC", "Europe/Berlin", "America/Chicago", "Australia/Lord_Howe"][zone];
            let to = (to != from).then_some((to, 0));
            let windows = schedule(zone, vec![window(&WEEK, (from, 0), to, 1.0)]);
            let begin = Timestamp::from_second(begin).unwrap();
            let end = begin.checked_add(hours.hours()).unwrap();
            let spans = between(&windows, begin, end);
            let mut at = begin;
            for span in spans {
                let When::During { from, to } = span.when else { panic!("{span:?}") };
                prop_assert_eq!(from, at);
                prop_assert!(to > from);
                at = to;
            }
            prop_assert_eq!(at, end);
        }
    }
}
