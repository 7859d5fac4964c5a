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

use std::cell::RefCell;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    error::{ConfigErrors, Position, Problem, Warning, Wrong, shown},
    value::kind,
};

/// Tables of one kind (pools, listeners, routes) in a config. Layout and routing look at every pair of
/// them, so the number stays where that is free.
const MAX_TABLES: usize = 256;

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
                    format!("write [{}] on a line of its own", self.header(key)),
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

    /// Every `[[key]]` (or table of an inline list), in file order; named by their `name` where they have one, else by their
    /// number from 1.
    pub fn tables(&mut self, key: &'static str) -> Vec<Section<'r, 't>> {
        self.tables_up_to(key, MAX_TABLES, "")
    }

    /// As [`Section::tables`], with a limit of its own and what to do beyond it.
    pub fn tables_up_to(&mut self, key: &'static str, most: usize, beyond: &str) -> Vec<Section<'r, 't>> {
        let header = self.header(key);
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let DeValue::Array(array) = value.get_ref() else {
            self.error(
                key,
                Wrong::new(
                    format!("is {}, not a list of tables", kind(value.get_ref())),
                    format!("write [[{header}]], in double brackets, on a line of its own"),
                ),
            );
            return Vec::new();
        };
        if array.is_empty() {
            let help = format!("write [[{header}]] on a line of its own, or leave it out");
            self.error(key, Wrong::new("is an empty list", help));
        }
        if array.len() > most {
            let help = format!("write at most {most}{beyond}");
            self.error(key, Wrong::new(format!("there are {}", array.len()), help));
        }
        let mut sections = Vec::new();
        for (index, entry) in array.iter().take(most).enumerate() {
            let DeValue::Table(table) = entry.get_ref() else {
                self.error(
                    key,
                    Wrong::new(
                        format!("entry {} is {}, not a table", index + 1, kind(entry.get_ref())),
                        format!("write [[{header}]] on a line of its own"),
                    ),
                );
                continue;
            };
            let path = match table.get("name").and_then(|name| name.get_ref().as_str()) {
                Some(name) if !name.is_empty() => format!("{} {}", self.key_path(key), shown(name)),
                _ => format!("{}[{}]", self.key_path(key), index + 1),
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

    /// Whether the file has this table.
    pub fn is_there(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the key is there and is a table.
    pub fn is_table(&self, key: &str) -> bool {
        self.table.and_then(|table| table.get(key)).is_some_and(|value| value.get_ref().is_table())
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

    /// Reports keys that belong to the table above: what stands below a header is that header's, whatever its indent.
    pub fn refuse_misplaced(&mut self, keys: &[&'static str], owner: &str) {
        for key in keys {
            if !self.has(key) || self.asked.contains(key) {
                continue;
            }
            let header = self.header("");
            let help = format!("write it above [{header}]: all that stands below that line belongs to it");
            self.error(key, Wrong::new(format!("is {owner}"), help));
            self.asked.push(key);
        }
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

    /// What stands in the brackets of a table below this one: `group.actuator`, whatever the group's name.
    fn header(&self, key: &str) -> String {
        let kinds = self.path.split('.').map(|step| step.split([' ', '[']).next().unwrap_or_default());
        kinds.chain([key]).filter(|kind| !kind.is_empty()).collect::<Vec<_>>().join(".")
    }

    fn key_path(&self, key: &str) -> String {
        match (self.path.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (false, true) => self.path.clone(),
            (false, false) => format!("{}.{key}", self.path),
        }
    }
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

/// A foreign key as part of a key path: bare where TOML would allow it bare, else quoted.
fn shown_key(key: &str) -> String {
    let bare = !key.is_empty()
        && key.len() <= 40
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if bare { key.to_owned() } else { shown(key) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::value::integer;

    /// Reads `text` with `read` and returns the errors as the operator sees them.
    pub fn errors(text: &str, read: impl FnOnce(&mut Section<'_, '_>)) -> Vec<String> {
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
}
