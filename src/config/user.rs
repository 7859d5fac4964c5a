//! The user name a pool is told: the operator's account, with or without the miner's worker name.
//!
//! | template             | miner says `farm.07` | miner says `rig7` | nobody in particular |
//! |----------------------|----------------------|-------------------|----------------------|
//! | `acct`               | `acct`               | `acct`            | `acct`               |
//! | `acct.{worker}`      | `acct.07`            | `acct.rig7`       | `acct`               |
//! | `{user}`             | `farm.07`            | `rig7`            |                      |
//!
//! A miner's name is foreign text: control characters are dropped and the result is cut to what firmware
//! and pools were seen to hold.

use std::fmt;

use super::error::{Wrong, shown};

/// Bytes of a rendered user name. WhatsMiner overflows above 127, so no pool can expect more.
pub const MAX_USER_BYTES: usize = 127;

/// What pools were seen to put between account and worker.
const SEPARATORS: [char; 3] = ['.', '_', '/'];

/// A user name with places for the miner's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserTemplate(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    /// What follows the first `.` of the miner's user name, or all of it.
    Worker,
    /// All of the miner's user name.
    User,
}

impl UserTemplate {
    /// Reads `"account.{worker}"`.
    pub(super) fn parse(text: &str) -> Result<UserTemplate, Wrong> {
        const HELP: &str = "write \"account\", \"account.{worker}\" or \"{user}\"";
        if text.is_empty() {
            return Err(Wrong::new("is empty", HELP));
        }
        if text.len() > MAX_USER_BYTES {
            return Err(Wrong::new(
                format!("is {} bytes long", text.len()),
                format!("use at most {MAX_USER_BYTES} bytes"),
            ));
        }
        if text.chars().any(char::is_control) {
            return Err(Wrong::new(format!("{} has control characters", shown(text)), HELP));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (part, behind) = [("{worker}", Part::Worker), ("{user}", Part::User)]
                .into_iter()
                .find_map(|(name, part)| Some((part, from.strip_prefix(name)?)))
                .ok_or_else(|| {
                    Wrong::new(format!("{} has braces around something else than worker or user", shown(text)), HELP)
                })?;
            parts.push(part);
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(UserTemplate(parts))
    }

    /// The name for the pool, where the miner calls itself `user`; an empty `user` stands for nobody in
    /// particular and leaves out the separator before it, too. At most [`MAX_USER_BYTES`].
    pub fn render(&self, user: &str) -> String {
        let worker = user.split_once('.').map_or(user, |(_, worker)| worker);
        let mut name = String::new();
        for part in &self.0 {
            let text = match part {
                Part::Text(text) => text,
                Part::Worker => worker,
                Part::User => user,
            };
            name.extend(text.chars().filter(|c| !c.is_control()));
            if text.is_empty() {
                name.truncate(name.trim_end_matches(SEPARATORS).len());
            }
        }
        let cut = (0..=MAX_USER_BYTES.min(name.len())).rev().find(|at| name.is_char_boundary(*at));
        name.truncate(cut.unwrap_or(0));
        name
    }

    /// Whether the name tells one worker of a farm from another.
    pub fn names_worker(&self) -> bool {
        self.0.iter().any(|part| !matches!(part, Part::Text(_)))
    }
}

impl fmt::Display for UserTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| {
            f.write_str(match part {
                Part::Text(text) => text,
                Part::Worker => "{worker}",
                Part::User => "{user}",
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rendered(template: &str, user: &str) -> String {
        UserTemplate::parse(template).unwrap().render(user)
    }

    #[test]
    fn the_table_above_holds() {
        for (template, farm, rig, nobody) in [
            ("acct", "acct", "acct", "acct"),
            ("acct.{worker}", "acct.07", "acct.rig7", "acct"),
            ("{user}", "farm.07", "rig7", ""),
        ] {
            assert_eq!(rendered(template, "farm.07"), farm);
            assert_eq!(rendered(template, "rig7"), rig);
            assert_eq!(rendered(template, ""), nobody);
            assert_eq!(UserTemplate::parse(template).unwrap().to_string(), template);
        }
    }

    #[test]
    fn only_the_two_known_names_stand_in_braces() {
        for wrong in ["", "a.{wroker}", "a.{worker", "a}", "{}", "a\n"] {
            assert!(UserTemplate::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_a_miner_says_cannot_break_the_line(template in "[a-z{}.]{0,9}(\\{worker\\}|\\{user\\})", user in ".{0,300}") {
            if let Ok(template) = UserTemplate::parse(&template) {
                let name = template.render(&user);
                prop_assert!(name.len() <= MAX_USER_BYTES);
                prop_assert!(!name.chars().any(char::is_control));
            }
        }
    }
}
