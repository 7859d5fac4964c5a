//! What a driver sends and what is answered, as a person may see it: secrets masked, one line, not endless.
//!
//! Knows nothing of what is said. What is masked: the values of JSON keys that hold passwords and sessions ([`HIDDEN`]), whether
//! the JSON is whole or not, and each secret that the caller names, wherever it stands.

use std::{fmt, sync::Arc};

/// JSON keys, in lower case, whose values are for the machine alone: logins, sessions, and the pools' passwords in its config.
const HIDDEN: [&str; 6] = ["pass", "passwd", "password", "token", "sessionid", "wifipass"];

/// Characters of one line.
const MAX_SHOWN: usize = 4000;

/// One line of a talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// What was sent, and to whom.
    Sent(&'a str),
    /// What came back.
    Answered(&'a str),
}

/// Who listens.
type Listener = Arc<dyn Fn(Line<'_>) + Send + Sync>;

/// Who is shown what is said; nobody, as a rule.
#[derive(Clone, Default)]
pub struct Trace(Option<Listener>);

impl Trace {
    /// Shows each line to this.
    pub fn to(listener: impl Fn(Line<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// Something goes out.
    pub(super) fn sent(&self, place: &dyn fmt::Display, text: &str, secrets: &[&str]) {
        if let Some(listener) = &self.0 {
            listener(Line::Sent(format!("{place} {}", masked(text.as_bytes(), secrets, MAX_SHOWN)).trim_end()));
        }
    }

    /// Something came back.
    pub(super) fn answered(&self, before: &dyn fmt::Display, bytes: &[u8], secrets: &[&str]) {
        if let Some(listener) = &self.0 {
            listener(Line::Answered(format!("{before} {}", masked(bytes, secrets, MAX_SHOWN)).trim()));
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Trace(heard)" } else { "Trace(not heard)" })
    }
}

/// What somebody says, printable and without secrets; its beginning.
pub(super) fn masked(bytes: &[u8], secrets: &[&str], most: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = without_hidden(text.trim_matches(['\0', '\n', '\r', ' ']));
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        if shown.contains(secret) {
            shown = shown.replace(secret, "***");
        }
    }
    let mut chars = shown.chars();
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let mut line: String = chars.by_ref().take(most).map(printable).collect();
    if chars.next().is_some() {
        line.push('…');
    }
    line
}

/// JSON, or a piece of it, with the values of [`HIDDEN`] keys masked. By its letters, as half a document is no document.
fn without_hidden(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, key, behind)) = next_text(rest) {
        shown.push_str(before);
        shown.push('"');
        shown.push_str(key);
        let is_hidden = HIDDEN.contains(&key.to_ascii_lowercase().as_str());
        let value = behind.trim_start_matches('"').trim_start();
        rest = match value.strip_prefix(':').filter(|_| is_hidden && behind.starts_with('"')) {
            None => {
                // Its closing quote belongs to it.
                shown.push_str(&behind[..behind.len().min(1)]);
                &behind[behind.len().min(1)..]
            }
            Some(value) => {
                shown.push_str("\":\"***\"");
                behind_value(value.trim_start())
            }
        };
    }
    shown.push_str(rest);
    shown
}

/// The next text in quotes: what is before it, what is in it, and the rest from its closing quote on.
fn next_text(text: &str) -> Option<(&str, &str, &str)> {
    let (before, inner) = text.split_once('"')?;
    let end = end_of_text(inner);
    Some((before, &inner[..end], &inner[end..]))
}

/// Where a text ends: at its quote, or with the document.
fn end_of_text(inner: &str) -> usize {
    let mut is_escaped = false;
    let end = inner.char_indices().find(|(_, c)| {
        let ends = *c == '"' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        ends
    });
    end.map_or(inner.len(), |(at, _)| at)
}

/// What follows a value: a text, or anything up to the next comma or bracket.
fn behind_value(value: &str) -> &str {
    match value.strip_prefix('"') {
        Some(inner) => inner[end_of_text(inner)..].strip_prefix('"').unwrap_or_default(),
        None => &value[value.find([',', '}', ']']).unwrap_or(value.len())..],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> String {
        masked(text.as_bytes(), &["hunter2"], 200)
    }

    #[test]
    fn secrets_are_masked_in_whole_documents_and_in_broken_ones() {
        for (text, expected) in [
            (r#"{"user":"root","password":"x"}"#, r#"{"user":"root","password":"***"}"#),
            (r#"{"Token" : "a\"b","n":1}"#, r#"{"Token":"***","n":1}"#),
            (r#"{"pass":123,"n":1}"#, r#"{"pass":"***","n":1}"#),
            (r#"{"pools":[{"url":"a:1","user":"w","pass":"x y"#, r#"{"pools":[{"url":"a:1","user":"w","pass":"***""#),
            ("{\"SESSION\":[{\"SessionID\":\"q1\"}]}\0", r#"{"SESSION":[{"SessionID":"***"}]}"#),
            ("no such user: hunter2\r\nbye", "no such user: ***  bye"),
            (r#"{"say":"pass","n":"#, r#"{"say":"pass","n":"#),
            ("", ""),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(masked("ü".repeat(9).as_bytes(), &[], 3), "üüü…");
    }

    proptest! {
        #[test]
        fn no_text_breaks_it_and_a_password_never_shows(before in "\\PC{0,20}", cut in 0usize..60) {
            let text = format!("{{\"password\": \"s3cr3t\\\"s3cr3t\", \"n\": {}}}", serde_json::json!(before));
            let mut end = cut.min(text.len());
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            prop_assert!(!shown(&text[..end]).contains("s3c"));
            shown(&before);
        }
    }
}
