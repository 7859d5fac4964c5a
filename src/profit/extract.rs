//! Observations from a document: what a [`Picker`] points at, in the canonical unit.
//!
//! Knows JSON and plain text; does not know where the document came from, nor whether its values are plausible: that is the
//! signal book's to say. A `null` in a list is a price that is not published yet, and is passed over.

use std::{borrow::Cow, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    Quantity, Unit,
    signal::{MAX_INTERVALS, Observation, Refusal, When},
};
use crate::config::{Picker, Shape};

/// A number from here on counts milliseconds: as seconds it would be in the year 5138.
const LEAST_MILLISECONDS: f64 = 1e11;

/// What a verdict may be.
const VERDICTS: &str = "\"profitable\" or \"unprofitable\"";

/// Characters of a foreign text that are quoted.
const QUOTED: usize = 40;

/// The observations in a document.
///
/// # Errors
/// [`Refusal::Unreadable`], which says what was found in the place of the value; [`Refusal::TooMany`].
pub fn extract(text: &str, picker: &Picker, unit: Unit) -> Result<Vec<Observation>, Refusal> {
    let Some(pointer) = &picker.value else {
        let value = unit.canonical(plain(text.trim(), unit)?);
        return Ok(vec![Observation { value, when: When::Now }]);
    };
    let document: Value = serde_json::from_str(text).map_err(|error| not_json(text, &error))?;
    match &picker.shape {
        Shape::Single { at } => {
            let value = number(found(&document, pointer)?, unit, pointer)?;
            let when = match at {
                None => When::Now,
                Some(at) => When::At(time(found(&document, at)?, at)?),
            };
            Ok(vec![Observation { value, when }])
        }
        Shape::Objects { list, from, to, filter } => {
            let entries = array(&document, list)?;
            let is_meant = |entry: &&Value| {
                filter.iter().all(|(name, text)| entry.get(name).is_some_and(|member| member.as_str() == Some(text)))
            };
            let mut begins = Vec::new();
            for entry in entries.iter().filter(is_meant) {
                let value = found(entry, pointer)?;
                if value.is_null() {
                    continue;
                }
                let end = match to {
                    None => None,
                    // A tariff without an end holds until further notice.
                    Some(to) => match entry.pointer(to) {
                        None | Some(Value::Null) => Some(Timestamp::MAX),
                        Some(end) => Some(time(end, to)?),
                    },
                };
                begins.push((number(value, unit, pointer)?, time(found(entry, from)?, from)?, end));
            }
            begins.sort_by_key(|(_, from, _)| *from);
            Ok(intervals(&begins, None))
        }
        Shape::Arrays { times, step } => {
            let (values, begins) = (array(&document, pointer)?, array(&document, times)?);
            if values.len() != begins.len() {
                let what = format!("{} values at {pointer} and {} times at {times}", values.len(), begins.len());
                return Err(Refusal::Unreadable(what));
            }
            let mut starts = Vec::new();
            for (value, begin) in values.iter().zip(begins) {
                // The time of a value that is not there still ends the one before.
                let value = if value.is_null() { None } else { Some(number(value, unit, pointer)?) };
                starts.push((value, time(begin, times)?));
            }
            starts.sort_by_key(|(_, from)| *from);
            let ends = starts.iter().skip(1).map(|(_, from)| Some(*from)).chain([None]);
            let begins: Vec<_> =
                starts.iter().zip(ends).filter_map(|((value, from), end)| Some(((*value)?, *from, end))).collect();
            Ok(intervals(&begins, *step))
        }
    }
}

/// Values with a begin; those without an end end where the next begins, the last after `step` or as long as the one before it.
fn intervals(begins: &[(f64, Timestamp, Option<Timestamp>)], step: Option<Duration>) -> Vec<Observation> {
    let mut observations: Vec<Observation> = Vec::with_capacity(begins.len());
    let mut length = step.and_then(|step| SignedDuration::try_from(step).ok());
    for (index, (value, from, end)) in begins.iter().enumerate() {
        let next = begins.get(index + 1).map(|(_, from, _)| *from);
        let end = end.or(next).or_else(|| from.checked_add(length?).ok());
        // A single value of which nobody says how long it holds is one of now.
        let Some(to) = end else {
            observations.push(Observation { value: *value, when: When::At(*from) });
            continue;
        };
        if step.is_none() {
            length = Some(to.duration_since(*from));
        }
        observations.push(Observation { value: *value, when: When::During { from: *from, to } });
    }
    observations
}

fn found<'d>(document: &'d Value, pointer: &str) -> Result<&'d Value, Refusal> {
    document.pointer(pointer).ok_or_else(|| Refusal::Unreadable(format!("there is nothing at {pointer:?}")))
}

fn array<'d>(document: &'d Value, pointer: &str) -> Result<&'d [Value], Refusal> {
    let found = found(document, pointer)?;
    let Value::Array(entries) = found else {
        return Err(Refusal::Unreadable(format!("at {pointer:?} is {}, not a list", kind(found))));
    };
    if entries.len() > MAX_INTERVALS { Err(Refusal::TooMany(entries.len())) } else { Ok(entries) }
}

/// A number, or a text that is one: some APIs write prices in quotes. A verdict is one of two words, or true where mining pays.
fn number(value: &Value, unit: Unit, pointer: &str) -> Result<f64, Refusal> {
    let number = match value {
        Value::Bool(pays) if unit.quantity == Quantity::Verdict => f64::from(u8::from(*pays)),
        Value::Number(_) if unit.quantity == Quantity::Verdict => {
            return Err(Refusal::Unreadable(format!("at {pointer:?} is a number, not {VERDICTS}")));
        }
        Value::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Value::String(text) => plain(text.trim(), unit)?,
        other => return Err(Refusal::Unreadable(format!("at {pointer:?} is {}, not a number", kind(other)))),
    };
    Ok(unit.canonical(number))
}

fn plain(text: &str, unit: Unit) -> Result<f64, Refusal> {
    if unit.quantity == Quantity::Verdict {
        match text {
            "unprofitable" => return Ok(0.0),
            "profitable" => return Ok(1.0),
            _ => return Err(Refusal::Unreadable(format!("{} is not {VERDICTS}", quoted(text)))),
        }
    }
    text.parse().map_err(|_| Refusal::Unreadable(format!("{} is not a number", quoted(text))))
}

fn time(value: &Value, pointer: &str) -> Result<Timestamp, Refusal> {
    let since_1970 = |number: f64| {
        let seconds = if number.abs() >= LEAST_MILLISECONDS { number / 1e3 } else { number };
        let duration = SignedDuration::try_from_secs_f64(seconds).ok()?;
        Timestamp::UNIX_EPOCH.checked_add(duration).ok()
    };
    let time = match value {
        Value::Number(number) => number.as_f64().and_then(since_1970),
        Value::String(text) => text.parse().ok().or_else(|| text.parse().ok().and_then(since_1970)),
        _ => None,
    };
    let shown: Cow<'_, str> = value.as_str().map_or_else(|| value.to_string().into(), Cow::from);
    time.ok_or_else(|| Refusal::Unreadable(format!("at {pointer:?} is {}, not a time", quoted(&shown))))
}

fn not_json(text: &str, error: &serde_json::Error) -> Refusal {
    let begin = text.trim_start();
    let what = if begin.is_empty() {
        "the answer is empty".to_owned()
    } else if begin.starts_with('<') {
        format!("the answer is a web page, not JSON: {}", quoted(begin))
    } else if error.is_eof() {
        format!("the JSON ends too early, after {} bytes", text.len())
    } else {
        format!("the answer is not JSON: {error}")
    };
    Refusal::Unreadable(what)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// A foreign text, cut and with its control characters escaped.
fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(QUOTED).flat_map(char::escape_debug).collect();
    let more = if text.chars().nth(QUOTED).is_some() { "…" } else { "" };
    format!("\"{cut}{more}\"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn single(value: &str, at: Option<&str>) -> Picker {
        Picker { value: Some(value.to_owned()), shape: Shape::Single { at: at.map(str::to_owned) } }
    }

    fn objects(to: Option<&str>) -> Picker {
        let shape = Shape::Objects {
            list: "/results".to_owned(),
            from: "/from".to_owned(),
            to: to.map(str::to_owned),
            filter: vec![("kind".to_owned(), "general".to_owned())],
        };
        Picker { value: Some("/price".to_owned()), shape }
    }

    fn arrays(step: Option<u64>) -> Picker {
        let shape = Shape::Arrays { times: "/t".to_owned(), step: step.map(Duration::from_secs) };
        Picker { value: Some("/p".to_owned()), shape }
    }

    fn read(text: &str, picker: &Picker, unit: &str) -> Result<Vec<Observation>, String> {
        extract(text, picker, Unit::parse(unit).unwrap()).map_err(|refusal| refusal.to_string())
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn during(value: f64, from: i64, to: i64) -> Observation {
        Observation { value, when: When::During { from: at(from), to: at(to) } }
    }

    #[test]
    fn a_number_may_stand_in_quotes_and_is_converted() {
        let text = r#"{"data":{"amount":"12.5","when":1700000000}}"#;
        assert_eq!(
            read(text, &single("/data/amount", None), "ct/kWh").unwrap(),
            [Observation { value: 125.0, when: When::Now }]
        );
        let timed = read(text, &single("/data/amount", Some("/data/when")), "USD/MWh").unwrap();
        assert_eq!(timed, [Observation { value: 12.5, when: When::At(at(1_700_000_000)) }]);
    }

    #[test]
    fn times_are_seconds_milliseconds_or_rfc_3339() {
        for time in [
            "1700000000",
            "1700000000000",
            "\"2023-11-14T22:13:20Z\"",
            "\"2023-11-14T23:13:20+01:00\"",
            "\"1700000000\"",
        ] {
            let text = format!("{{\"v\":1,\"t\":{time}}}");
            let found = read(&text, &single("/v", Some("/t")), "W").unwrap();
            assert_eq!(found, [Observation { value: 1.0, when: When::At(at(1_700_000_000)) }], "{time}");
        }
        assert_eq!(
            read(r#"{"v":1,"t":"noon"}"#, &single("/v", Some("/t")), "W").unwrap_err(),
            "at \"/t\" is \"noon\", not a time"
        );
    }

    #[test]
    fn a_plain_text_is_a_number_or_a_verdict() {
        let plain = Picker { value: None, shape: Shape::Single { at: None } };
        assert_eq!(read(" 42.5\n", &plain, "USD/MWh").unwrap()[0].value, 42.5);
        assert_eq!(read("unprofitable\n", &plain, "verdict").unwrap()[0].value, 0.0);
        assert_eq!(read("profitable", &plain, "verdict").unwrap()[0].value, 1.0);
        assert!(read("42", &plain, "verdict").unwrap_err().contains("\"profitable\" or \"unprofitable\""));
        assert_eq!(read("", &plain, "W").unwrap_err(), "\"\" is not a number");
    }

    #[test]
    fn a_list_of_objects_is_sorted_filtered_and_its_open_end_is_open() {
        let text = r#"{"results":[{"kind":"general","price":3,"from":200,"to":null},{"kind":"general","price":2,"from":100,"to":200},
                      {"kind":"feedIn","price":9,"from":100,"to":200},{"kind":"general","price":null,"from":0,"to":100}]}"#;
        let open = Observation { value: 3.0, when: When::During { from: at(200), to: Timestamp::MAX } };
        assert_eq!(read(text, &objects(Some("/to")), "USD/MWh").unwrap(), [during(2.0, 100, 200), open]);
    }

    #[test]
    fn entries_without_an_end_hold_until_the_next() {
        let text = r#"{"results":[{"kind":"general","price":1,"from":0},{"kind":"general","price":2,"from":100}]}"#;
        assert_eq!(read(text, &objects(None), "USD/MWh").unwrap(), [during(1.0, 0, 100), during(2.0, 100, 200)]);
    }

    #[test]
    fn two_lists_are_read_side_by_side_and_a_missing_price_still_ends_the_one_before() {
        let text = r#"{"t":[0,900,1800,2700],"p":[1.5,null,-2,3]}"#;
        assert_eq!(
            read(text, &arrays(None), "EUR/MWh").unwrap(),
            [during(1.5, 0, 900), during(-2.0, 1800, 2700), during(3.0, 2700, 3600)]
        );
        assert_eq!(read(text, &arrays(Some(60)), "EUR/MWh").unwrap()[2], during(3.0, 2700, 2760));
        assert_eq!(
            read(r#"{"t":[0],"p":[]}"#, &arrays(None), "EUR/MWh").unwrap_err(),
            "0 values at /p and 1 times at /t"
        );
    }

    #[test]
    fn what_is_not_the_document_is_said_in_words() {
        let picker = single("/data/price", None);
        let why = |text: &str| read(text, &picker, "USD/BTC").unwrap_err();
        assert_eq!(why(""), "the answer is empty");
        assert_eq!(why("<!DOCTYPE html><html>"), "the answer is a web page, not JSON: \"<!DOCTYPE html><html>\"");
        assert_eq!(why("{\"data\":{\"pri"), "the JSON ends too early, after 13 bytes");
        assert_eq!(why("{\"data\":{}}"), "there is nothing at \"/data/price\"");
        assert_eq!(why("{\"data\":{\"price\":null}}"), "at \"/data/price\" is null, not a number");
        assert!(why("{\"data\":{\"price\":NaN}}").contains("is not JSON"));
    }

    proptest! {
        #[test]
        fn no_document_panics(text in "\\PC{0,60}", pointer in "(/[a-z0-9]{0,3}){0,3}") {
            for picker in [single(&pointer, Some("/t")), objects(Some("/to")), arrays(None)] {
                let _ = read(&text, &picker, "USD/MWh");
            }
        }

        #[test]
        fn no_json_panics(numbers in prop::collection::vec(any::<f64>(), 0..6), times in prop::collection::vec(any::<i64>(), 0..6)) {
            let text = serde_json::json!({ "p": numbers, "t": times }).to_string();
            let _ = read(&text, &arrays(None), "USD/MWh");
        }
    }
}
