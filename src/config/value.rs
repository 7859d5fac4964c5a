//! Reads one TOML value into a type of ours, or says what is wrong with it and what to write instead.
//! Knows types, units and ranges; does not know which key it reads, nor from what line: the
//! [`Section`](super::raw::Section) that hands the value over adds these.

use std::{fmt::Display, ops::RangeInclusive, time::Duration};

use toml::de::DeValue;

use super::{
    error::{Wrong, cut, shown},
    units,
};
use crate::work::Difficulty;

/// Entries of one list: routing walks them for a new miner, so there are few enough for that to be free.
const MAX_LIST: usize = 256;

/// A string.
pub(super) fn string(value: &DeValue<'_>) -> Result<String, Wrong> {
    text(value, "\"…\"").map(str::to_owned)
}

/// A whole number within `range`.
pub(super) fn integer<T>(range: RangeInclusive<T>) -> impl FnOnce(&DeValue<'_>) -> Result<T, Wrong>
where
    T: TryFrom<i128> + PartialOrd + Display + Copy,
{
    move |value| {
        let DeValue::Integer(number) = value else {
            return Err(wrong_type(value, &format!("a whole number from {} to {}", range.start(), range.end())));
        };
        let parsed = i128::from_str_radix(number.as_str(), number.radix()).ok();
        within(&range, parsed.and_then(|number| T::try_from(number).ok()), &cut(&number.to_string()), T::to_string)
    }
}

/// A number within `range`.
pub(super) fn number(range: RangeInclusive<f64>) -> impl FnOnce(&DeValue<'_>) -> Result<f64, Wrong> {
    move |value| {
        let (parsed, written) = float(value).ok_or_else(|| wrong_type(value, "a number"))?;
        within(&range, Some(parsed), &written, f64::to_string)
    }
}

/// A duration such as `"5s"` within `range`.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl FnOnce(&DeValue<'_>) -> Result<Duration, Wrong> {
    move |value| {
        let written = text(value, "\"5s\"")?;
        let parsed = units::duration(written)?;
        within(&range, Some(parsed), &shown(written), |bound| format!("\"{}\"", units::time(*bound)))
    }
}

/// A size such as `"16 KiB"`, or a whole number of bytes, within `range`.
pub(super) fn size(range: RangeInclusive<usize>) -> impl FnOnce(&DeValue<'_>) -> Result<usize, Wrong> {
    move |value| match value {
        DeValue::Integer(_) => integer(range)(value),
        _ => {
            let written = text(value, "\"16 KiB\"")?;
            let parsed = units::size(written)?;
            within(&range, Some(parsed), &shown(written), |bound| format!("{bound} bytes"))
        }
    }
}

/// A difficulty: a number, or text such as `"64k"`.
pub(super) fn difficulty(value: &DeValue<'_>) -> Result<Difficulty, Wrong> {
    match float(value) {
        Some((number, written)) => Difficulty::new(number).ok_or_else(|| units::not_a_difficulty(&written)),
        None => units::difficulty(text(value, "\"64k\"")?),
    }
}

/// A difficulty, or the hashrate of a typical miner, which `shares_per_minute` turns into one.
pub(super) fn difficulty_or_hashrate(shares_per_minute: f64) -> impl FnOnce(&DeValue<'_>) -> Result<Difficulty, Wrong> {
    move |value| match value {
        DeValue::String(written) if written.trim_end().ends_with("H/s") => units::hashrate(written)?
            .difficulty_for(shares_per_minute)
            .ok_or_else(|| units::not_a_difficulty(&shown(written))),
        _ => difficulty(value),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(words: &[(&'static str, T)]) -> impl FnOnce(&DeValue<'_>) -> Result<T, Wrong> {
    move |value| {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let help = format!("\"{}\"", names.join("\" or \""));
        let Some(written) = value.as_str() else { return Err(wrong_type(value, &help)) };
        words
            .iter()
            .find(|(word, _)| *word == written)
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| Wrong::new(format!("{} is not one of the choices", shown(written)), format!("write {help}")))
    }
}

/// A text that `parse` understands.
pub(super) fn parsed<T>(
    example: &'static str,
    parse: impl FnOnce(&str) -> Result<T, Wrong>,
) -> impl FnOnce(&DeValue<'_>) -> Result<T, Wrong> {
    move |value| parse(text(value, example)?)
}

/// A list of texts.
pub(super) fn strings(value: &DeValue<'_>) -> Result<Vec<String>, Wrong> {
    const EXAMPLE: &str = "a list of strings, [\"…\", \"…\"]";
    let DeValue::Array(array) = value else {
        return Err(wrong_type(value, EXAMPLE));
    };
    if array.len() > MAX_LIST {
        return Err(Wrong::new(format!("has {} entries", array.len()), format!("write at most {MAX_LIST}")));
    }
    array
        .iter()
        .map(|entry| entry.get_ref().as_str().map(str::to_owned).ok_or_else(|| wrong_type(entry.get_ref(), EXAMPLE)))
        .collect()
}

/// `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, Wrong> {
    value.as_bool().ok_or_else(|| wrong_type(value, "true or false"))
}

/// A list of numbers, each of them finite.
pub(super) fn numbers(value: &DeValue<'_>) -> Result<Vec<f64>, Wrong> {
    const EXAMPLE: &str = "a list of numbers, [1, 2.5]";
    let DeValue::Array(array) = value else {
        return Err(wrong_type(value, EXAMPLE));
    };
    if array.len() > MAX_LIST {
        return Err(Wrong::new(format!("has {} entries", array.len()), format!("write at most {MAX_LIST}")));
    }
    let number = |entry: &DeValue<'_>| float(entry).map(|(number, _)| number).filter(|number| number.is_finite());
    array.iter().map(|entry| number(entry.get_ref()).ok_or_else(|| wrong_type(entry.get_ref(), EXAMPLE))).collect()
}

/// A table of texts by name.
pub(super) fn texts(value: &DeValue<'_>) -> Result<Vec<(String, String)>, Wrong> {
    const EXAMPLE: &str = "a table of texts, { name = \"…\" }";
    let DeValue::Table(table) = value else {
        return Err(wrong_type(value, EXAMPLE));
    };
    if table.len() > MAX_LIST {
        return Err(Wrong::new(format!("has {} entries", table.len()), format!("write at most {MAX_LIST}")));
    }
    let entry = |(name, value): (&toml::Spanned<std::borrow::Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
        let text = value.get_ref().as_str().ok_or_else(|| wrong_type(value.get_ref(), EXAMPLE))?;
        Ok((name.get_ref().to_string(), text.to_owned()))
    };
    table.iter().map(entry).collect()
}

fn text<'v>(value: &'v DeValue<'_>, example: &str) -> Result<&'v str, Wrong> {
    value.as_str().ok_or_else(|| wrong_type(value, &format!("text in quotes, {example}")))
}

/// A number and how it was written.
fn float(value: &DeValue<'_>) -> Option<(f64, String)> {
    match value {
        DeValue::Float(number) => Some((number.as_str().parse().unwrap_or(f64::NAN), cut(&number.to_string()))),
        DeValue::Integer(number) => {
            let parsed = i128::from_str_radix(number.as_str(), number.radix()).map_or(f64::NAN, |number| number as f64);
            Some((parsed, cut(&number.to_string())))
        }
        _ => None,
    }
}

/// `value` if it lies in `range`; `None` and NaN lie in no range.
fn within<T: PartialOrd>(
    range: &RangeInclusive<T>,
    value: Option<T>,
    written: &str,
    show: impl Fn(&T) -> String,
) -> Result<T, Wrong> {
    value.filter(|value| range.contains(value)).ok_or_else(|| {
        Wrong::new(
            format!("{written} is out of range"),
            format!("write {} to {}", show(range.start()), show(range.end())),
        )
    })
}

fn wrong_type(value: &DeValue<'_>, expected: &str) -> Wrong {
    Wrong::new(format!("is {}", kind(value)), format!("write {expected}"))
}

/// What a value is, for a message.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw::tests::errors;

    #[test]
    fn wrong_types_and_ranges_say_what_to_write() {
        let found = errors("a = true\nb = 9\nc = nan\nd = 5\ne = \"1h\"\nf = [1]\ng = 0x10\n", |root| {
            root.or("a", 1, integer(1..=5_u8));
            root.or("b", 1, integer(1..=5_u8));
            root.or("c", 1.0, number(0.1..=600.0));
            root.optional("d", duration(Duration::ZERO..=Duration::from_secs(60)));
            root.optional("e", duration(Duration::ZERO..=Duration::from_secs(60)));
            root.optional("f", strings);
            assert_eq!(root.optional("g", integer(0..=99_u8)), Some(16));
        });
        assert_eq!(
            found,
            [
                "line 1: a: is true or false; write a whole number from 1 to 5",
                "line 2: b: 9 is out of range; write 1 to 5",
                "line 3: c: nan is out of range; write 0.1 to 600",
                "line 4: d: is a whole number; write text in quotes, \"5s\"",
                "line 5: e: \"1h\" is out of range; write \"0s\" to \"1m\"",
                "line 6: f: is a whole number; write a list of strings, [\"…\", \"…\"]",
            ]
        );
    }

    #[test]
    fn a_number_without_end_is_cut() {
        let endless = "9".repeat(100_000);
        let found = errors(&format!("a = {endless}\nb = {endless}.5\n"), |root| {
            root.optional("a", integer(0..=9_u8));
            root.optional("b", number(0.0..=9.0));
        });
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|line| line.len() < 200), "{found:?}");
    }

    #[test]
    fn difficulties_come_as_numbers_text_or_hashrates() {
        let found = errors("a = 65536\nb = \"64k\"\nc = \"200 TH/s\"\nd = -1\ne = inf\n", |root| {
            assert_eq!(root.optional("a", difficulty).unwrap().get(), 65_536.0);
            assert_eq!(root.optional("b", difficulty).unwrap().get(), 64_000.0);
            assert_eq!(root.optional("c", difficulty_or_hashrate(18.0)).unwrap().get().round(), 155_220.0);
            root.optional("d", difficulty);
            root.optional("e", difficulty);
        });
        assert_eq!(found.len(), 2);
    }
}
