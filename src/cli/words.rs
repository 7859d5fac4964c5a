//! Figures and texts as they stand on a terminal: with a unit, as many digits as have a meaning, and nothing that moves a cursor.

use std::{fmt::Write, time::Duration};

use jiff::Timestamp;
use serde_json::Value;

/// Characters of a text that are broken into lines: more than any screen has.
const MAX_CHARS: usize = 4_096;

/// Adds a line.
pub fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{words}");
}

/// Power with as many digits as it has meaning.
pub fn kw(kw: f64) -> String {
    // A sum of nothing is -0.
    let kw = kw + 0.0;
    match kw.abs() {
        size if size < 10.0 => format!("{kw:.2} kW"),
        size if size < 100.0 => format!("{kw:.1} kW"),
        _ => format!("{kw:.0} kW"),
    }
}

/// A hashrate given in TH/s, in the unit that it is read in.
pub fn hashrate(ths: f64) -> String {
    const UNITS: [(f64, &str); 7] =
        [(1e18, "EH/s"), (1e15, "PH/s"), (1e12, "TH/s"), (1e9, "GH/s"), (1e6, "MH/s"), (1e3, "kH/s"), (1.0, "H/s")];
    let hs = (ths * 1e12).max(0.0);
    // What would be rounded up to 1000 is one of the next unit.
    let (unit, name) = UNITS.into_iter().find(|(unit, _)| hs >= unit * 0.9995).unwrap_or((1.0, "H/s"));
    match hs / unit {
        size if size < 10.0 => format!("{size:.2} {name}"),
        size if size < 99.95 => format!("{size:.1} {name}"),
        size => format!("{size:.0} {name}"),
    }
}

/// A part of a whole.
pub fn percent(ratio: f64) -> String {
    match ratio * 100.0 {
        0.0 => "0 %".to_owned(),
        share if share < 1.0 => format!("{share:.2} %"),
        share => format!("{share:.1} %"),
    }
}

/// A part among all, if there are any.
pub fn percent_of(part: u64, all: u64) -> String {
    if all == 0 { "-".to_owned() } else { percent(part as f64 / all as f64) }
}

/// Seconds in words.
pub fn time(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds.round().max(0.0)).unwrap_or_default();
    humantime::format_duration(whole).to_string()
}

/// The time from one moment to another, in its two largest units.
pub fn ago(from: Timestamp, to: Timestamp) -> String {
    lasts(to.duration_since(from).as_secs_f64())
}

/// Seconds in the two largest units.
pub fn lasts(seconds: f64) -> String {
    time(seconds.max(0.0)).split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// The same in the largest alone, for columns.
pub fn roughly(from: Timestamp, to: Timestamp) -> String {
    let words = ago(from, to);
    words.split(' ').next().unwrap_or_default().to_owned()
}

/// A moment, to the second.
pub fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Not more than so many columns.
pub fn clip(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

/// Text in lines of so many columns, broken between words where that can be; what is behind the last of `most` lines is cut.
pub fn wrap(text: &str, columns: usize, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.chars().take(MAX_CHARS).collect::<String>().split_whitespace() {
        let last = lines.last_mut().expect("there is always one");
        let wide = last.chars().count() + usize::from(!last.is_empty()) + word.chars().count();
        if wide > columns && !last.is_empty() {
            lines.push(word.to_owned());
            continue;
        }
        if !last.is_empty() {
            last.push(' ');
        }
        last.push_str(word);
    }
    if lines.len() > most {
        let rest = lines.split_off(most).join(" ");
        if let Some(last) = lines.last_mut() {
            last.push(' ');
            last.push_str(&rest);
        }
    }
    lines.iter().map(|line| clip(line, columns)).collect()
}

/// JSON as it is printed: what would move a terminal's cursor is escaped, as JSON may have it raw.
pub fn json(value: &Value) -> String {
    escaped(&format!("{value:#}\n"))
}

/// The same on one line.
pub fn json_line(value: &Value) -> String {
    escaped(&format!("{value}\n"))
}

/// Line ends are the form's own: those of texts are escaped already.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && moves(c) {
            // All of these are in the basic plane.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

/// The text without what moves a terminal's cursor, or turns what is read: names of machines are their owners' to choose.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if moves(c) { '?' } else { c }).collect()
}

/// Whether a character does something else than stand there: control characters (C0, DEL, C1), invisible ones, and those that change the
/// direction of what follows (Unicode, UAX 9).
fn moves(c: char) -> bool {
    let is_format =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_control() || is_format || c == '\u{61c}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_unit_that_they_are_read_in() {
        for (ths, words) in [
            (0.0, "0.00 H/s"),
            (1e-12, "1.00 H/s"),
            (4.09e-8, "40.9 kH/s"),
            (0.999_97e-9, "1.00 kH/s"),
            (234.5, "234 TH/s"),
            (1500.0, "1.50 PH/s"),
            (2.5e6, "2.50 EH/s"),
        ] {
            assert_eq!(hashrate(ths), words, "{ths}");
        }
        let words = [0.0, 0.000_62, 0.05, 1.0].map(percent);
        assert_eq!(words, ["0 %", "0.06 %", "5.0 %", "100.0 %"]);
        assert_eq!((percent_of(1, 0), percent_of(1, 4)), ("-".to_owned(), "25.0 %".to_owned()));
        assert_eq!([kw(-0.0), kw(12.34), kw(1234.5)], ["0.00 kW", "12.3 kW", "1234 kW"]);
    }

    #[test]
    fn a_long_text_is_broken_between_words_and_cut_where_its_room_ends() {
        assert_eq!(wrap("one two three", 7, 9), ["one two", "three"]);
        assert_eq!(wrap("one two three four", 7, 2), ["one two", "three …"]);
        assert_eq!(wrap("x".repeat(20).as_str(), 7, 2), ["xxxxxx…"]);
        assert_eq!(wrap("", 7, 2), [""]);
    }

    #[test]
    fn nothing_that_moves_a_cursor_is_printed() {
        let hostile = "a\u{1b}[2J\n\u{7f}\u{9b}31m\u{202e}b\u{200b}é🦀";
        assert_eq!(printable(hostile), "a?[2J???31m?b?é🦀");
        let json = json_line(&serde_json::json!({ "name": hostile }));
        assert_eq!(json.chars().filter(|c| c.is_control()).count(), 1, "{json:?}");
        let back: Value = serde_json::from_str(&json).expect("it is JSON");
        assert_eq!(back["name"], hostile, "and says the same");
    }
}
