//! `[[signal]]`: a number that the decision is made from, and where it comes from.
//!
//! One source stands in the table itself; several stand below it as `[[signal.source]]`, and the median of them counts.
//!
//! | file | what |
//! |---|---|
//! | `kinds.rs` | the kinds of sources and their keys |
//! | `picker.rs` | where in a document the value stands |
//! | `address.rs` | addresses of web servers and MQTT brokers |
//! | `window.rs` | hours of the week in local time |
//! | `plan.rs` | all of it in words, for `check` |

mod address;
pub(super) mod kinds;
pub(super) mod picker;
pub(super) mod plan;
mod window;

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use toml::de::DeValue;

pub use self::{
    address::{Broker, HttpUrl},
    kinds::{ExecSource, FileSource, HttpSource, JobsField, MqttSource, SourceKind},
    picker::{Picker, Shape},
    window::{Window, Windows},
};
use super::{
    Env,
    error::{Wrong, shown},
    raw::Section,
    units::time,
    validate::secs,
    value,
};
use crate::profit::{Currency, Quantity, UNITS, Unit};

/// Sources of one signal: more opinions than anybody has on a price.
const MAX_SOURCES: usize = 16;

/// The longest that a value may be taken for the present one.
const MAX_AGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(32 * 86_400);

/// How long a value without an end of its own is the present one unless told otherwise: the price of a quarter of an hour, and
/// five minutes for the next one to come.
const DEFAULT_AGE: Duration = secs(1200);

/// The same for the grid's word, which is said again every minute or so; who does not hear it should not wait as long.
const DEFAULT_GRID_AGE: Duration = secs(600);

/// `[[signal]]`: a number that the decision is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// As in logs, metrics, the API and wherever the config refers to it.
    pub name: Arc<str>,
    /// What it measures; values are kept in its canonical unit.
    pub quantity: Quantity,
    /// What the config's own numbers for it are written in: thresholds, range, spread.
    pub unit: Unit,
    /// What is done without it.
    pub class: Class,
    /// How long a value without an end of its own is the present one.
    pub max_age: Duration,
    /// What is plausible, in the canonical unit.
    pub range: RangeInclusive<f64>,
    /// How far sources may be apart; `None` for as far as they like.
    pub max_spread: Option<Spread>,
    /// Never empty.
    pub sources: Vec<SignalSource>,
}

/// What is done without a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A price or another number of the sum: without it nothing changes, for a while.
    Economic,
    /// An order of the grid: without it, what the config says, once it has been heard.
    Grid,
    /// Somebody else's judgement; otherwise as [`Class::Economic`].
    Verdict,
}

impl Class {
    /// As it is written.
    pub fn label(self) -> &'static str {
        match self {
            Self::Economic => "economic",
            Self::Grid => "grid",
            Self::Verdict => "verdict",
        }
    }
}

/// How far sources may be apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Spread {
    /// By this share of their median.
    Relative(f64),
    /// By so many canonical units: for prices around zero.
    Absolute(f64),
}

/// One of the places a signal comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalSource {
    /// What its numbers are written in; of the signal's quantity.
    pub unit: Unit,
    /// The place.
    pub kind: SourceKind,
}

/// What signals may refer to, and are read with.
pub(super) struct Context<'c> {
    /// The site's one currency.
    pub currency: Currency,
    /// By index, for `jobs`.
    pub pool_names: &'c [Arc<str>],
    /// Variables and files.
    pub env: &'c dyn Env,
}

/// One `[[signal]]`. `None` only if a problem was reported.
pub(super) fn read(section: &mut Section<'_, '_>, name: &Arc<str>, context: &Context<'_>) -> Option<Signal> {
    let unit = section.required("unit", &format!("write one of {UNITS}"), |value| unit(value, context));
    let quantity = unit.map_or(Quantity::Ratio, |unit| unit.quantity);
    let class = class(section, quantity);
    let max_age = section.optional("max_age", value::duration(MAX_AGE));
    let range = section.or("range", quantity.plausible(), |value| range(value, unit));
    let max_spread = section.optional("max_spread", |value| spread(value, unit));
    let mut tables = section.tables("source");
    let sources: Vec<_> = if tables.is_empty() {
        vec![source(section, unit, context)]
    } else {
        if section.has("kind") {
            section.error("kind", Wrong::new("stands beside [[signal.source]]", "move it into a [[signal.source]]"));
            section.optional("kind", |_| Ok(()));
        }
        if tables.len() > MAX_SOURCES {
            let what = format!("there are {}", tables.len());
            section.error("source", Wrong::new(what, format!("write at most {MAX_SOURCES}")));
        }
        let read = |table: &mut Section<'_, '_>| {
            let own = table.optional("unit", |value| self::unit(value, context));
            if let (Some(own), Some(unit)) = (own, unit)
                && own.quantity != unit.quantity
            {
                table
                    .error("unit", Wrong::new("measures something else than the signal's", "write a unit of the same"));
            }
            let source = source(table, own.or(unit), context);
            table.refuse_unknown_keys();
            source
        };
        tables.iter_mut().map(read).collect()
    };
    section.refuse_unknown_keys();
    if max_spread.is_some() && sources.len() == 1 {
        section
            .warn("max_spread", Wrong::new("has no effect on one source", "add a [[signal.source]], or leave it out"));
    }
    if sources.iter().flatten().filter(|source| matches!(source.kind, SourceKind::Push)).count() > 1 {
        section.error("source", Wrong::new("is \"push\" more than once", "keep one: who sends can't be told apart"));
    }
    let points = sources.iter().flatten().filter(|source| !source.kind.gives_intervals());
    let slowest = points.filter_map(|source| source.kind.every()).max().unwrap_or_default();
    if max_age.is_some_and(|max_age| slowest.saturating_mul(2) > max_age) {
        let help = format!("write at least twice as long as the source is asked ({})", time(slowest));
        section.warn("max_age", Wrong::new("makes the value stale between two polls", help));
    }
    let default = if class == Class::Grid { DEFAULT_GRID_AGE } else { DEFAULT_AGE };
    let max_age = max_age.unwrap_or_else(|| default.max(slowest.saturating_mul(2)));
    let sources = sources.into_iter().collect::<Option<Vec<_>>>()?;
    let unit = unit?;
    let name = name.clone();
    Some(Signal { name, quantity: unit.quantity, unit, class, max_age, range, max_spread, sources })
}

fn source(section: &mut Section<'_, '_>, unit: Option<Unit>, context: &Context<'_>) -> Option<SignalSource> {
    let quantity = unit.map(|unit| unit.quantity);
    let kind = kinds::read(section, quantity, unit, context);
    Some(SignalSource { unit: unit?, kind: kind? })
}

fn unit(value: &DeValue<'_>, context: &Context<'_>) -> Result<Unit, Wrong> {
    let text = value::string(value)?;
    let unit = Unit::parse(&text)
        .map_err(|unknown| Wrong::new(format!("{} {unknown}", shown(&text)), format!("write one of {UNITS}")))?;
    let currency = context.currency;
    match unit.currency {
        Some(other) if other != currency => Err(Wrong::new(
            format!("{} is in {other}, but the site's currency is {currency}", shown(&text)),
            format!(
                "take the signal in {currency}, or write [profit] with currency = \"{other}\": nothing is converted"
            ),
        )),
        _ => Ok(unit),
    }
}

fn class(section: &mut Section<'_, '_>, quantity: Quantity) -> Class {
    let default = if quantity == Quantity::Verdict { Class::Verdict } else { Class::Economic };
    let classes = [("economic", Class::Economic), ("grid", Class::Grid), ("verdict", Class::Verdict)];
    let class = section.or("class", default, value::choice(&classes));
    if (class == Class::Verdict) != (quantity == Quantity::Verdict) && class != Class::Grid {
        section.error("class", Wrong::new("does not fit the unit", "leave it out, or write \"grid\""));
    }
    class
}

/// `[low, high]` in the signal's unit.
fn range(value: &DeValue<'_>, unit: Option<Unit>) -> Result<RangeInclusive<f64>, Wrong> {
    const HELP: &str = "write the least and the most that is plausible: [1000, 1000000]";
    let numbers = value::numbers(value)?;
    let [low, high] = numbers[..] else {
        return Err(Wrong::new(format!("has {} numbers", numbers.len()), HELP));
    };
    if low >= high {
        return Err(Wrong::new("does not go up", HELP));
    }
    let canonical = |number| unit.map_or(number, |unit| unit.canonical(number));
    Ok(canonical(low)..=canonical(high))
}

/// `"2%"`, or a number in the signal's unit.
fn spread(value: &DeValue<'_>, unit: Option<Unit>) -> Result<Spread, Wrong> {
    const HELP: &str = "write a share such as \"2%\", or a number in the signal's unit";
    let wrong = |what: String| Wrong::new(what, HELP);
    if let DeValue::String(text) = value {
        let share = text.trim().strip_suffix('%').and_then(|share| share.trim().parse::<f64>().ok());
        let share = share.filter(|share| (0.0..=1000.0).contains(share));
        return share
            .map(|share| Spread::Relative(share / 100.0))
            .ok_or_else(|| wrong(format!("{} is no share", shown(text))));
    }
    let number = value::number(0.0..=1e18)(value)?;
    Ok(Spread::Absolute(unit.map_or(number, |unit| unit.canonical(number))))
}

#[cfg(test)]
mod tests;
