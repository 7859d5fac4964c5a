//! An MQTT topic in which one level is a machine's name.
//!
//! It is listened to with a wildcard in that level and in no other: two messages of one machine, of which each tells a part of its
//! watts, would prove a sleep.

use super::{Part, Place, TemplateError, parts};

/// Bytes of a topic: the protocol allows 65 535, nobody writes that.
const MAX_TOPIC_BYTES: usize = 1024;

/// An MQTT topic that has a machine's name as one of its levels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// What is listened to: with `+` in the machine's level.
    pub filter: String,
    /// What stands there.
    pub place: Place,
    level: usize,
}

impl Topic {
    /// Reads `"shellies/{device}/power"`.
    ///
    /// # Errors
    /// [`TemplateError`]: not a topic, or not one place as one whole level.
    pub fn parse(text: &str, allowed: &[Place]) -> Result<Self, TemplateError> {
        const HELP: &str = "write {device}, {ip} or {worker} as one whole level: \"meters/{device}/power\"";
        let wrong = |what: &str| Err(TemplateError::new(what, HELP));
        if text.trim().is_empty() || text.len() > MAX_TOPIC_BYTES || text.contains(char::is_control) {
            return wrong("is no topic");
        }
        if text.starts_with("$share/") {
            return wrong("is shared with others, so that some readings would never come here");
        }
        if text.contains(['+', '#']) {
            return wrong("has a wildcard, and each message is to be of one machine");
        }
        let levels: Vec<&str> = text.split('/').collect();
        let mut found = None;
        for (level, word) in levels.iter().enumerate() {
            match (&*parts(word, allowed)?, found) {
                ([Part::Place(place)], None) => found = Some((level, *place)),
                ([Part::Place(_)], Some(_)) => return wrong("has two places"),
                _ if word.contains(['{', '}']) => return wrong("has braces that are no whole level"),
                _ => {}
            }
        }
        let Some((level, place)) = found else { return wrong("does not say where a machine's name is") };
        let mut levels = levels;
        levels[level] = "+";
        Ok(Self { filter: levels.join("/"), place, level })
    }

    /// The machine's level of a message's topic.
    pub fn name<'t>(&self, topic: &'t str) -> Option<&'t str> {
        topic.split('/').nth(self.level).filter(|name| !name.is_empty())
    }
}
