//! Where in a document the value stands: JSON pointers (RFC 6901), and for lists of prices the times they hold.
//!
//! | keys | document |
//! |---|---|
//! | none | the text is the value |
//! | `value` | `{"data":{"amount":"67000.1"}}` with `"/data/amount"` |
//! | `value`, `at` | the same with the time it was observed at |
//! | `list`, `value`, `from`, `to` | a list of objects, each with a value and when it holds; `where` picks some of them |
//! | `value`, `times` | two lists of one length: values, and when each begins; each ends where the next begins |
//!
//! Times are RFC 3339 texts or numbers of seconds (or milliseconds) since 1970.

use std::time::Duration;

use crate::config::{
    error::{Wrong, shown},
    raw::Section,
    value,
};

/// The longest step between two values of a list: a month.
const MAX_STEP: Duration = Duration::from_secs(31 * 86_400);

/// Where in a document the value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picker {
    /// JSON pointer to the value; `None` where the text is the value.
    pub value: Option<String>,
    /// One, or many with their times.
    pub shape: Shape,
}

/// One value, or many with their times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// One value.
    Single {
        /// JSON pointer to when it was observed; without one it is when we heard it.
        at: Option<String>,
    },
    /// A list of objects; the pointers start at an object.
    Objects {
        /// JSON pointer to the list.
        list: String,
        /// When an object's value begins to hold.
        from: String,
        /// When it ends; without one, where the next begins.
        to: Option<String>,
        /// Members and the texts they must have.
        filter: Vec<(String, String)>,
    },
    /// Two lists of one length.
    Arrays {
        /// JSON pointer to when each value begins to hold.
        times: String,
        /// How long the last one holds; without it, as long as the one before.
        step: Option<Duration>,
    },
}

impl Picker {
    /// Whether it yields values with a begin and an end.
    pub fn gives_intervals(&self) -> bool {
        !matches!(self.shape, Shape::Single { .. })
    }
}

/// The keys of a picker. `None` only if a problem was reported.
pub(super) fn read(section: &mut Section<'_, '_>, needs_pointer: bool) -> Option<Picker> {
    let mut get = |key| section.optional(key, value::parsed("\"/data/price\"", pointer));
    let (value, at, list) = (get("value"), get("at"), get("list"));
    let (from, to, times) = (get("from"), get("to"), get("times"));
    let step = section.optional("step", value::duration(Duration::from_secs(1)..=MAX_STEP));
    let filter = section.or("where", Vec::new(), value::texts);
    let stray = |key: &str, belongs: &str| {
        if section.has(key) {
            section.error(
                key,
                Wrong::new(format!("has no meaning without {belongs}"), format!("write {belongs}, or drop it")),
            );
        }
    };
    let shape = match (list, times) {
        (Some(list), None) => {
            stray("at", "a single value");
            stray("step", "times");
            let Some(from) = from else {
                section.error(
                    "from",
                    Wrong::new("is missing", "write where an entry of the list says when its value begins"),
                );
                return None;
            };
            Shape::Objects { list, from, to, filter }
        }
        (None, Some(times)) => {
            for key in ["at", "from", "to", "where"] {
                stray(key, "list");
            }
            Shape::Arrays { times, step }
        }
        (Some(_), Some(_)) => {
            section.error(
                "times",
                Wrong::new("stands beside list", "write list for a list of objects, times for two lists"),
            );
            return None;
        }
        (None, None) => {
            for key in ["from", "to", "where"] {
                stray(key, "list");
            }
            stray("step", "times");
            Shape::Single { at }
        }
    };
    let is_needed = needs_pointer || !matches!(&shape, Shape::Single { at: None });
    if value.is_none() && is_needed && !section.has("value") {
        section.error("value", Wrong::new("is missing", "write where in the JSON the value stands: \"/data/price\""));
        return None;
    }
    Some(Picker { value, shape })
}

/// A JSON pointer (RFC 6901): empty for the whole document.
pub(in crate::config) fn pointer(text: &str) -> Result<String, Wrong> {
    const MAX_BYTES: usize = 256;
    let is_pointer = text.is_empty() || text.starts_with('/');
    if !is_pointer || text.len() > MAX_BYTES {
        return Err(Wrong::new(
            format!("{} is not a JSON pointer", shown(text)),
            "write the way to the value with a slash before each step: \"/data/0/price\"",
        ));
    }
    Ok(text.to_owned())
}
