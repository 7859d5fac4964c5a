//! One line taken apart.
//!
//! Ids are kept as the very bytes that came and go back as them: miners send numbers, strings, null, and the same id again
//! (cpuminer uses 4 for every submit).

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A line that is no JSON object, or not UTF-8.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a JSON object: {0}")]
pub struct FrameError(String);

/// A message of either direction. Unknown members are ignored.
#[derive(Debug, Deserialize)]
pub struct Frame<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    /// What is asked or told; absent in a reply.
    #[serde(borrow, default, deserialize_with = "borrowed")]
    pub method: Option<Cow<'a, str>>,
    /// Its parameters, not yet looked into.
    #[serde(borrow, default)]
    pub params: Option<&'a RawValue>,
    /// The result of a reply; `None` also if it is null.
    #[serde(borrow, default)]
    pub result: Option<&'a RawValue>,
    /// The error of a reply; `None` also if it is null.
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    /// Why, beside `"result": false` (an old form of pools).
    #[serde(borrow, default, rename = "reject-reason")]
    pub reject_reason: Option<&'a RawValue>,
}

impl<'a> Frame<'a> {
    /// Takes a line apart.
    ///
    /// # Errors
    /// [`FrameError`] if it is not one JSON object.
    pub fn parse(line: &'a [u8]) -> Result<Self, FrameError> {
        let error = |error: &dyn std::fmt::Display| FrameError(error.to_string());
        let text = std::str::from_utf8(line).map_err(|e| error(&e))?;
        if !text.starts_with('{') {
            return Err(error(&"it does not start with `{`"));
        }
        serde_json::from_str(text).map_err(|e| error(&e))
    }

    /// The id, verbatim.
    pub fn id(&self) -> RawId<'a> {
        RawId::from_text(self.id.map_or("null", RawValue::get))
    }
}

/// A text that lies in the line, unless it has escapes. (Of an `Option<Cow>`, serde always makes a copy.)
fn borrowed<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'a, str>>, D::Error> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

    Ok(Option::<Text<'a>>::deserialize(deserializer)?.map(|text| text.0))
}

/// An id as it came: any JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawId<'a>(&'a [u8]);

impl<'a> RawId<'a> {
    /// An id that was kept as text.
    pub fn from_text(text: &'a str) -> Self {
        Self(text.as_bytes())
    }

    /// An id that was kept as bytes.
    pub fn from_bytes(text: &'a [u8]) -> Self {
        Self(text)
    }

    /// The JSON text.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The number, where it is one: what our own requests to pools carry.
    pub fn as_u64(&self) -> Option<u64> {
        str::from_utf8(self.0).ok()?.trim_matches('"').parse().ok()
    }
}

impl fmt::Display for RawId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_verbatim() {
        for id in ["1", "\"a\\u0041\"", "null", "1.50", "-7", "[1, 2]", "true"] {
            let line = format!(r#"{{"id": {id} ,"method":"m"}}"#);
            assert_eq!(Frame::parse(line.as_bytes()).unwrap().id().to_string(), id);
        }
        assert_eq!(Frame::parse(br#"{"method":"m"}"#).unwrap().id().to_string(), "null");
    }

    #[test]
    fn a_method_without_escapes_is_not_copied() {
        let method = |line: &'static str| Frame::parse(line.as_bytes()).unwrap().method;
        assert!(matches!(method(r#"{"method":"mining.ping"}"#), Some(Cow::Borrowed("mining.ping"))));
        assert_eq!(method(r#"{"method":"mining\u002eping"}"#).as_deref(), Some("mining.ping"));
        assert_eq!(method(r#"{"method":null}"#), None);
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        for line in [&b"GET / HTTP/1.1"[..], b"[]", b"\x16\x03\x01", b"{", b"{}{}", b"null", b"{\"id\":1,}"] {
            assert!(Frame::parse(line).is_err(), "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn deep_nesting_is_passed_over_and_does_not_overflow() {
        let deep = format!(r#"{{"id":1,"method":"m","params":{}{}}}"#, "[".repeat(8000), "]".repeat(8000));
        assert!(Frame::parse(deep.as_bytes()).is_ok());
    }
}
