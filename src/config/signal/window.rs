//! Hours of the week in local time, each with a value: peak tariffs, curtailment windows.
//!
//! ```toml
//! windows = [{ days = "mon-fri", months = "jun-sep", from = "14:00", to = "20:00", value = 310 }]
//! ```
//! The first window that fits counts. One that ends before it begins goes on over midnight and belongs to the day that it
//! begins on. `to = "24:00"` is the end of the day.

use jiff::{civil::Time, tz::TimeZone};
use toml::de::DeValue;

use crate::{
    config::{
        error::{Wrong, shown},
        raw::Section,
        value,
    },
    profit::{Quantity, Unit},
};

/// Windows of one schedule: every hour of a week would fit.
const MAX_WINDOWS: usize = 168;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Hours of the week in local time.
#[derive(Debug, Clone, PartialEq)]
pub struct Windows {
    /// Where the clock hangs.
    pub zone: TimeZone,
    /// The first that fits counts.
    pub windows: Vec<Window>,
    /// What holds at all other times, in the canonical unit.
    pub otherwise: f64,
}

/// Hours of some days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Which days it begins on, from Monday.
    pub days: [bool; 7],
    /// Which months it begins in, from January.
    pub months: [bool; 12],
    /// Begin, by the local clock.
    pub from: Time,
    /// End, by the local clock; `None` for the end of the day. Not after `from`: on the next day.
    pub to: Option<Time>,
    /// What holds then, in the canonical unit.
    pub value: f64,
}

/// The keys of a schedule. `None` only if a problem was reported.
pub(super) fn read(section: &mut Section<'_, '_>, unit: Option<Unit>) -> Option<Windows> {
    let zone = section.required("zone", "write zone = \"America/Chicago\"", value::parsed("\"America/Chicago\"", zone));
    let otherwise =
        section.required("otherwise", "write what holds outside of all windows", |value| number(value, unit));
    if !section.has("windows") {
        section.error(
            "windows",
            Wrong::new("is missing", "write windows = [{ from = \"17:00\", to = \"21:00\", value = 300 }]"),
        );
    }
    let mut tables = section.tables("windows");
    if tables.len() > MAX_WINDOWS {
        section.error(
            "windows",
            Wrong::new(format!("there are {}", tables.len()), format!("write at most {MAX_WINDOWS}")),
        );
    }
    let windows: Vec<_> = tables.iter_mut().map(|table| window(table, unit)).collect();
    Some(Windows { zone: zone?, windows: windows.into_iter().collect::<Option<_>>()?, otherwise: otherwise? })
}

fn window(section: &mut Section<'_, '_>, unit: Option<Unit>) -> Option<Window> {
    let days = section.or("days", [true; 7], value::parsed("\"mon-fri\"", |text| ring(text, &DAYS)));
    let months = section.or("months", [true; 12], value::parsed("\"jun-sep\"", |text| ring(text, &MONTHS)));
    let from = section.required("from", "write from = \"17:00\"", value::parsed("\"17:00\"", clock));
    let to = section.required(
        "to",
        "write to = \"21:00\"",
        value::parsed("\"21:00\"", |text| if text == "24:00" { Ok(None) } else { clock(text).map(Some) }),
    );
    let value = section.required("value", "write what holds in these hours", |value| number(value, unit));
    section.refuse_unknown_keys();
    if let (Some(from), Some(Some(to))) = (from, to)
        && from == to
    {
        section.error(
            "to",
            Wrong::new("is when the window begins", "write from = \"00:00\", to = \"24:00\" for a whole day"),
        );
    }
    Some(Window { days, months, from: from?, to: to?, value: value? })
}

fn zone(text: &str) -> Result<TimeZone, Wrong> {
    TimeZone::get(text).map_err(|_| {
        Wrong::new(
            format!("{} is no time zone", shown(text)),
            "write a name such as \"America/Chicago\", \"Europe/Berlin\" or \"UTC\"",
        )
    })
}

fn clock(text: &str) -> Result<Time, Wrong> {
    let wrong = || Wrong::new(format!("{} is no time of day", shown(text)), "write hours and minutes: \"17:00\"");
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let two = |digits: &str| {
        digits.parse::<i8>().ok().filter(|_| digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    let (hour, minute) = two(hour).zip(two(minute)).ok_or_else(wrong)?;
    Time::new(hour, minute, 0, 0).map_err(|_| wrong())
}

/// A number in `unit`, or a verdict.
fn number(value: &DeValue<'_>, unit: Option<Unit>) -> Result<f64, Wrong> {
    if unit.is_some_and(|unit| unit.quantity == Quantity::Verdict) {
        return value::choice(&[("unprofitable", 0.0), ("profitable", 1.0)])(value);
    }
    let number = value::number(-1e18..=1e18)(value)?;
    Ok(unit.map_or(number, |unit| unit.canonical(number)))
}

/// `"mon-fri"`, `"sat,sun"`, `"fri-mon"`: which of the names are meant.
fn ring<const N: usize>(text: &str, names: &[&str; N]) -> Result<[bool; N], Wrong> {
    let wrong = || {
        Wrong::new(
            format!("{} names none of {}", shown(text), names.join(", ")),
            format!("write \"{}-{}\", or several separated by commas", names[0], names[N - 3]),
        )
    };
    let index = |name: &str| names.iter().position(|known| known.eq_ignore_ascii_case(name.trim())).ok_or_else(wrong);
    let mut meant = [false; N];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (index(first)?, index(last)?);
        meant[at] = true;
        while at != last {
            at = (at + 1) % N;
            meant[at] = true;
        }
    }
    Ok(meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_a_ring() {
        let days = |text: &str| {
            ring(text, &DAYS)
                .map(|days| DAYS.iter().zip(days).filter(|(_, on)| *on).map(|(name, _)| *name).collect::<Vec<_>>())
        };
        assert_eq!(days("mon-fri").unwrap(), ["mon", "tue", "wed", "thu", "fri"]);
        assert_eq!(days("Sat, Sun").unwrap(), ["sat", "sun"]);
        assert_eq!(days("sun-tue").unwrap(), ["mon", "tue", "sun"]);
        for wrong in ["", "monday", "mon-", "mon-fri-sun", "mon,,tue"] {
            assert!(days(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_of_day_has_four_digits() {
        assert_eq!(clock("07:30").unwrap(), Time::constant(7, 30, 0, 0));
        for wrong in ["", "7:30", "24:00", "12:60", "+1:00", "12", "12:00:00"] {
            assert!(clock(wrong).is_err(), "{wrong}");
        }
    }
}
