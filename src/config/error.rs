//! What can be wrong with a config, said so that an operator can mend it: where (key path and line),
//! what, and what to write instead.
//!
//! ```text
//! line 31: pool "eu-1".url: has no port; add the pool's port, as in stratum+tcp://host:3333
//! ```
//! Errors stop the start, warnings are printed and lived with. No text here ever holds a secret: values
//! are quoted through [`shown`], and the reader quotes none of a secret's keys.

use std::{fmt, path::PathBuf};

/// Problems listed before the rest is only counted: a screen or two, whatever was fed to the parser.
const MAX_LISTED: usize = 100;

/// Characters of a foreign value quoted in a message: enough to recognise it, too few to flood a log.
const MAX_QUOTED_CHARS: usize = 60;

/// A place in the config text; line and column count from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// One thing that is wrong with the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Key path such as `pool "eu-1".url` or `listener[2].listen` (counted from 1); `None` for a syntax error.
    pub key: Option<String>,
    /// Where in the text; `None` when the problem is something that is missing from the whole file.
    pub position: Option<Position>,
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub help: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.key, self.position) {
            (Some(key), Some(at)) => write!(f, "line {}: {key}: ", at.line)?,
            (Some(key), None) => write!(f, "{key}: ")?,
            (None, Some(at)) => write!(f, "line {}, column {}: ", at.line, at.column)?,
            (None, None) => {}
        }
        f.write_str(&self.what)?;
        if !self.help.is_empty() {
            write!(f, "; {}", self.help)?;
        }
        Ok(())
    }
}

/// Something to know about a config that works nevertheless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(pub Problem);

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Everything that is wrong with a config, in the order of the file; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub(super) Vec<Problem>);

impl ConfigErrors {
    /// The problems, in the order of the file.
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "{count} {}", if count == 1 { "problem" } else { "problems" })?;
        for problem in self.0.iter().take(MAX_LISTED) {
            write!(f, "\n  {problem}")?;
        }
        if count > MAX_LISTED {
            write!(f, "\n  and {} more", count - MAX_LISTED)?;
        }
        Ok(())
    }
}

/// Why a config file could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read, or is not UTF-8.
    #[error("cannot read config {}: {source}", path.display())]
    Read {
        /// The config file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file was read and is wrong.
    #[error("config {}: {errors}", path.display())]
    Invalid {
        /// The config file.
        path: PathBuf,
        /// What is wrong with it.
        errors: ConfigErrors,
    },
}

/// What is wrong with one value; the reader adds where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub what: String,
    pub help: String,
}

impl Wrong {
    pub fn new(what: impl Into<String>, help: impl Into<String>) -> Wrong {
        Wrong { what: what.into(), help: help.into() }
    }
}

/// A foreign text quoted for a message: control characters escaped, long ones cut.
pub(super) fn shown(text: &str) -> String {
    let mut quoted: String = text.chars().take(MAX_QUOTED_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_QUOTED_CHARS).is_some() {
        quoted.push('…');
    }
    format!("\"{quoted}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(key: Option<&str>, position: Option<Position>) -> Problem {
        Problem { key: key.map(str::to_owned), position, what: "has no port".into(), help: "add it".into() }
    }

    #[test]
    fn a_problem_says_where_what_and_what_to_do() {
        let at = Some(Position { line: 31, column: 7 });
        assert_eq!(problem(Some("pool \"a\".url"), at).to_string(), "line 31: pool \"a\".url: has no port; add it");
        assert_eq!(problem(None, at).to_string(), "line 31, column 7: has no port; add it");
        assert_eq!(problem(Some("listener"), None).to_string(), "listener: has no port; add it");
    }

    #[test]
    fn a_flood_of_problems_is_counted_not_printed() {
        let errors = ConfigErrors(vec![problem(Some("a"), None); MAX_LISTED + 5]);
        let text = errors.to_string();
        assert!(text.starts_with("105 problems\n"));
        assert!(text.ends_with("and 5 more"));
    }

    #[test]
    fn quoted_values_are_short_and_cannot_forge_log_lines() {
        assert_eq!(shown("a\nb"), r#""a\nb""#);
        assert!(shown(&"x".repeat(1000)).chars().count() <= MAX_QUOTED_CHARS + 3);
    }
}
