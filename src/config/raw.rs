//! Reads a TOML document key by key and collects every problem on the way, each with its place.
//! Knows TOML and key paths; knows no key of ours: the keys that validation asks a [`Section`] for *are*
//! the schema, and what nobody asked for is an unknown key.
//!
//! serde's `deny_unknown_fields` gives the same strictness but stops at the first problem, and an operator
//! would mend a file one restart at a time.
//!
//! | the value is    | reported                | the reader answers          |
//! |-----------------|-------------------------|-----------------------------|
//! | right           |                         | the value                   |
//! | absent          | only by [`Section::required`] | `None` or the default |
//! | wrong           | always                  | `None` or the default, so that reading goes on and finds the rest |
//!
//! What was read is worth something only if [`Report::finish`] finds no error.

use std::{cell::RefCell, fmt::Display, ops::RangeInclusive, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    error::{ConfigErrors, Position, Problem, Warning, Wrong, shown},
    units,
};
use crate::work::Difficulty;

/// Tables of one kind (pools, listeners, routes) in a config. Layout and routing look at every pair of
/// them, so the number stays where that is free.
const MAX_TABLES: usize = 256;

/// Entries of one list, for the same reason.
const MAX_LIST: usize = 256;

/// Syntax errors reported: behind the first few the parser only guesses.
const MAX_SYNTAX_ERRORS: usize = 10;

/// The problems found so far in one config text.
pub(super) struct Report<'t> {
    text: &'t str,
    errors: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
}

impl<'t> Report<'t> {
    pub fn new(text: &'t str) -> Report<'t> {
        Report { text, errors: RefCell::default(), warnings: RefCell::default() }
    }

    /// Parses the text; on syntax errors nothing else is worth checking.
    pub fn parse(&self) -> Option<Spanned<DeTable<'t>>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors.iter().take(MAX_SYNTAX_ERRORS) {
            // Not its `Display`: that prints the line, which may hold a password.
            let offset = error.span().map_or(self.text.len(), |span| span.start);
            self.errors.borrow_mut().push(Problem {
                key: None,
                position: Some(self.position(offset)),
                what: format!("not valid TOML: {}", error.message()),
                help: "mend this first, the rest is checked when the file can be read".to_owned(),
            });
        }
        errors.is_empty().then_some(table)
    }

    /// The config, or all errors, in the order of the file.
    pub fn finish<T>(self, config: Option<T>) -> Result<(T, Vec<Warning>), ConfigErrors> {
        let in_order = |problems: RefCell<Vec<Problem>>| {
            let mut problems = problems.into_inner();
            // What is missing from the file as a whole has no place and comes last.
            problems.sort_by_key(|problem| (problem.position.is_none(), problem.position));
            problems
        };
        let errors = in_order(self.errors);
        match config {
            Some(config) if errors.is_empty() => {
                Ok((config, in_order(self.warnings).into_iter().map(Warning).collect()))
            }
            _ => Err(ConfigErrors(errors)),
        }
    }

    fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }
}

/// One table of the document, being read.
pub(super) struct Section<'r, 't> {
    report: &'r Report<'t>,
    /// `pool "eu-1"`, `limits`; empty for the document itself.
    path: String,
    /// Where the table begins; `None` for a table that the file leaves out.
    offset: Option<usize>,
    table: Option<&'r DeTable<'t>>,
    asked: Vec<&'static str>,
}

impl<'r, 't> Section<'r, 't> {
    /// The document itself.
    pub fn root(report: &'r Report<'t>, document: &'r Spanned<DeTable<'t>>) -> Section<'r, 't> {
        Section { report, path: String::new(), offset: None, table: Some(document.get_ref()), asked: Vec::new() }
    }

    /// `[key]`; an absent one reads as empty.
    pub fn table(&mut self, key: &'static str) -> Section<'r, 't> {
        self.optional_table(key).unwrap_or(Section {
            report: self.report,
            path: self.key_path(key),
            offset: None,
            table: None,
            asked: Vec::new(),
        })
    }

    /// `[key]`, if the file has it.
    pub fn optional_table(&mut self, key: &'static str) -> Option<Section<'r, 't>> {
        let value = self.value(key)?;
        let DeValue::Table(table) = value.get_ref() else {
            self.error(
                key,
                Wrong::new(
                    format!("is {}, not a table", kind(value.get_ref())),
                    format!("write [{key}] on a line of its own"),
                ),
            );
            return None;
        };
        Some(Section {
            report: self.report,
            path: self.key_path(key),
            offset: Some(value.span().start),
            table: Some(table),
            asked: Vec::new(),
        })
    }

    /// Every `[[key]]`, in file order; named by their `name` where they have one, else by their number from 1.
    pub fn tables(&mut self, key: &'static str) -> Vec<Section<'r, 't>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let DeValue::Array(array) = value.get_ref() else {
            self.error(
                key,
                Wrong::new(
                    format!("is {}, not a list of tables", kind(value.get_ref())),
                    format!("write [[{key}]], in double brackets, on a line of its own"),
                ),
            );
            return Vec::new();
        };
        if array.len() > MAX_TABLES {
            self.error(key, Wrong::new(format!("there are {}", array.len()), format!("write at most {MAX_TABLES}")));
        }
        let mut sections = Vec::new();
        for (index, entry) in array.iter().take(MAX_TABLES).enumerate() {
            let DeValue::Table(table) = entry.get_ref() else {
                self.error(
                    key,
                    Wrong::new(
                        format!("entry {} is {}, not a table", index + 1, kind(entry.get_ref())),
                        format!("write [[{key}]] on a line of its own"),
                    ),
                );
                continue;
            };
            let path = match table.get("name").and_then(|name| name.get_ref().as_str()) {
                Some(name) if !name.is_empty() => format!("{key} {}", shown(name)),
                _ => format!("{key}[{}]", index + 1),
            };
            sections.push(Section {
                report: self.report,
                path,
                offset: Some(entry.span().start),
                table: Some(table),
                asked: Vec::new(),
            });
        }
        sections
    }

    /// The value of `key`, if it is there and `convert` accepts it.
    pub fn optional<T>(
        &mut self,
        key: &'static str,
        convert: impl FnOnce(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<T> {
        let value = self.value(key)?;
        convert(value.get_ref()).map_err(|wrong| self.error(key, wrong)).ok()
    }

    /// As [`Section::optional`], with a default.
    pub fn or<T>(
        &mut self,
        key: &'static str,
        default: T,
        convert: impl FnOnce(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> T {
        self.optional(key, convert).unwrap_or(default)
    }

    /// As [`Section::optional`], but the absence is a problem; `help` says what to write.
    pub fn required<T>(
        &mut self,
        key: &'static str,
        help: &str,
        convert: impl FnOnce(&DeValue<'_>) -> Result<T, Wrong>,
    ) -> Option<T> {
        if !self.has(key) {
            self.asked.push(key);
            self.error(key, Wrong::new("is missing", help));
            return None;
        }
        self.optional(key, convert)
    }

    /// Whether the file has the key.
    pub fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Records an error at a key of this section.
    pub fn error(&self, key: &str, wrong: Wrong) {
        self.report.errors.borrow_mut().push(self.problem(key, wrong));
    }

    /// Errors in the whole text so far: whether reading something found any.
    pub fn error_count(&self) -> usize {
        self.report.errors.borrow().len()
    }

    /// Records a warning at a key of this section.
    pub fn warn(&self, key: &str, wrong: Wrong) {
        self.report.warnings.borrow_mut().push(self.problem(key, wrong));
    }

    /// Reports every key that nobody asked for. To be called when all were.
    pub fn refuse_unknown_keys(&self) {
        for key in self.table.into_iter().flat_map(|table| table.keys()) {
            let name = key.get_ref();
            if self.asked.iter().any(|asked| asked == name) {
                continue;
            }
            let help = match nearest(name, &self.asked) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("known here: {}", self.asked.join(", ")),
            };
            self.report.errors.borrow_mut().push(Problem {
                key: Some(self.key_path(&shown_key(name))),
                position: Some(self.report.position(key.span().start)),
                what: "unknown key".to_owned(),
                help,
            });
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'r Spanned<DeValue<'t>>> {
        self.asked.push(key);
        self.table?.get(key)
    }

    fn problem(&self, key: &str, wrong: Wrong) -> Problem {
        let offset = self.table.and_then(|table| table.get(key)).map(|value| value.span().start).or(self.offset);
        Problem {
            key: Some(self.key_path(key)),
            position: offset.map(|offset| self.report.position(offset)),
            what: wrong.what,
            help: wrong.help,
        }
    }

    fn key_path(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }
}

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
        within(&range, parsed.and_then(|number| T::try_from(number).ok()), &number.to_string(), T::to_string)
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
        within(&range, Some(parsed), &shown(written), |bound| format!("\"{}\"", humantime::format_duration(*bound)))
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
        let written = text(value, "\"…\"")?;
        words.iter().find(|(word, _)| *word == written).map(|(_, meaning)| *meaning).ok_or_else(|| {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Wrong::new(
                format!("{} is not one of the choices", shown(written)),
                format!("write \"{}\"", names.join("\" or \"")),
            )
        })
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

/// The name among `known` that `name` was most likely meant to be, if any is near.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    /// No key or name of ours is longer: what is, is no slip of the finger.
    const MAX_CHARS: usize = 64;
    if name.chars().count() > MAX_CHARS {
        return None;
    }
    // One slip in three characters; a word more than that away is another word.
    let allowed = name.chars().count().div_ceil(3);
    known
        .iter()
        .map(|known| (edit_distance(name, known), *known))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Levenshtein's distance: insertions, deletions and replacements that make `b` of `a`.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn text<'v>(value: &'v DeValue<'_>, example: &str) -> Result<&'v str, Wrong> {
    value.as_str().ok_or_else(|| wrong_type(value, &format!("text in quotes, {example}")))
}

/// A number and how it was written.
fn float(value: &DeValue<'_>) -> Option<(f64, String)> {
    match value {
        DeValue::Float(number) => Some((number.as_str().parse().unwrap_or(f64::NAN), number.to_string())),
        DeValue::Integer(number) => {
            let parsed = i128::from_str_radix(number.as_str(), number.radix()).map_or(f64::NAN, |number| number as f64);
            Some((parsed, number.to_string()))
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

fn kind(value: &DeValue<'_>) -> &'static str {
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

/// A foreign key as part of a key path: bare where TOML would allow it bare, else quoted.
fn shown_key(key: &str) -> String {
    let bare = !key.is_empty()
        && key.len() <= 40
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if bare { key.to_owned() } else { shown(key) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `text` with `read` and returns the errors as the operator sees them.
    fn errors(text: &str, read: impl FnOnce(&mut Section<'_, '_>)) -> Vec<String> {
        let report = Report::new(text);
        if let Some(document) = report.parse() {
            let mut root = Section::root(&report, &document);
            read(&mut root);
            root.refuse_unknown_keys();
        }
        report
            .finish(Some(()))
            .map_or_else(|errors| errors.problems().iter().map(Problem::to_string).collect(), |_| Vec::new())
    }

    #[test]
    fn every_unknown_key_is_named_with_the_nearest_known_one() {
        let found = errors("conections = 1\n\n\"a b\" = 2\n", |root| {
            root.optional("connections", integer(1..=5_usize));
        });
        assert_eq!(
            found,
            [
                "line 1: conections: unknown key; did you mean \"connections\"?",
                "line 3: \"a b\": unknown key; known here: connections"
            ]
        );
    }

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
    fn tables_and_lists_of_tables_are_not_mixed_up() {
        let found = errors("[pool]\n[[limits]]\n", |root| {
            assert!(root.tables("pool").is_empty());
            assert!(!root.table("limits").has("x"));
        });
        assert!(found[0].contains("write [[pool]]"), "{found:?}");
        assert!(found[1].contains("write [limits]"), "{found:?}");
    }

    #[test]
    fn syntax_errors_have_line_and_column_and_never_the_line_itself() {
        let found = errors("a = 1\npassword = \"hunter2\nb = = 2\n", |_| {});
        assert!(found.len() >= 2, "{found:?}");
        assert!(found[0].starts_with("line 2, column "), "{found:?}");
        assert!(!found.iter().any(|line| line.contains("hunter2")), "{found:?}");
    }

    #[test]
    fn nearness_has_a_limit() {
        assert_eq!(nearest("kep_alive", &["listen", "keep_alive"]), Some("keep_alive"));
        assert_eq!(nearest("port", &["listen", "keep_alive"]), None);
        assert_eq!(nearest(&"x".repeat(10_000), &["listen"]), None);
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
