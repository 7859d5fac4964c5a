//! Texts with places in them: arguments of commands, addresses and bodies of HTTP calls, topics, in which `{ip}` stands for a machine's.
//!
//! Knows the grammar; what a place stands for is told by whoever renders, and so is how it is written there (a name in an address is to
//! be percent-encoded).
//!
//! | text | is |
//! |---|---|
//! | `{name}`, small letters only | a place; an unknown one is a mistake |
//! | any other brace: `{ print }`, `{"on":false}` | itself |

use std::{borrow::Cow, fmt};

use crate::config::{
    error::{Wrong, shown},
    raw::nearest,
};

/// Bytes of one text with places.
pub const MAX_TEMPLATE_BYTES: usize = 16 * 1024;

/// What may stand in a text in braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// `{ip}`: the machine's address.
    Ip,
    /// `{worker}`: the user name that the machine mines with.
    Worker,
    /// `{device}`: the machine's name.
    Device,
    /// `{mode}`: the power mode that was saved before the sleep, in the driver's words; empty if none was.
    Mode,
    /// `{type}`: `lease.grant` or `lease.revoke`.
    Type,
    /// `{id}`: the lease's.
    Id,
    /// `{epoch}`: the controller's.
    Epoch,
    /// `{watts}`: the lease's, at the site meter.
    Watts,
    /// `{deadline}`: until when power that is asked back is to be there; empty if there is none.
    Deadline,
    /// `{expires}`: when the lease ends; empty if it has no end.
    Expires,
}

impl Place {
    /// What may be said of a machine.
    pub const MACHINE: [Self; 3] = [Self::Ip, Self::Worker, Self::Device];

    /// What may be said to wake one.
    pub const WAKE: [Self; 4] = [Self::Ip, Self::Worker, Self::Device, Self::Mode];

    /// What may be said of a lease.
    pub const LEASE: [Self; 6] = [Self::Type, Self::Id, Self::Epoch, Self::Watts, Self::Deadline, Self::Expires];

    /// As it is written, without its braces.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Worker => "worker",
            Self::Device => "device",
            Self::Mode => "mode",
            Self::Type => "type",
            Self::Id => "id",
            Self::Epoch => "epoch",
            Self::Watts => "watts",
            Self::Deadline => "deadline",
            Self::Expires => "expires",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.label())
    }
}

/// Why a text can't be what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {help}")]
pub struct TemplateError {
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub help: String,
}

/// A text with places in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Place(Place),
}

impl Template {
    /// Reads a text in which these places may stand. What the config holds was read with the same: it does not fail again.
    ///
    /// # Errors
    /// [`TemplateError`] for another place, a text that is too long, and a zero byte.
    pub fn parse(text: &str, allowed: &[Place]) -> Result<Self, TemplateError> {
        let wrong = |what: String, help: String| TemplateError { what, help };
        if text.len() > MAX_TEMPLATE_BYTES {
            let help = format!("write at most {MAX_TEMPLATE_BYTES}");
            return Err(wrong(format!("has {} bytes", text.len()), help));
        }
        if text.contains('\0') {
            return Err(wrong("has a zero byte".to_owned(), "drop it".to_owned()));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, name, behind)) = next_place(rest) {
            let Some(place) = allowed.iter().copied().find(|place| place.label() == name) else {
                let known: Vec<&str> = allowed.iter().map(|place| place.label()).collect();
                let help = match nearest(name, &known) {
                    Some(near) => format!("did you mean {{{near}}}?"),
                    None if known.is_empty() => "nothing stands for anything here".to_owned(),
                    None => {
                        let all: Vec<String> = allowed.iter().map(Place::to_string).collect();
                        format!("known here: {}; a brace that is meant as one has a space behind it", all.join(", "))
                    }
                };
                return Err(wrong(format!("{} stands for nothing", shown(&format!("{{{name}}}"))), help));
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            parts.push(Part::Place(place));
            rest = behind;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Self(parts))
    }

    /// The text, each place filled with what `value` says of it, as it says it.
    ///
    /// # Errors
    /// The first place that `value` has nothing for.
    pub fn render<'v>(&self, mut value: impl FnMut(Place) -> Option<Cow<'v, str>>) -> Result<String, Place> {
        let mut whole = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => whole.push_str(text),
                Part::Place(place) => whole.push_str(&value(*place).ok_or(*place)?),
            }
        }
        Ok(whole)
    }

    /// Whether a place is in it.
    pub fn has(&self, place: Place) -> bool {
        self.0.contains(&Part::Place(place))
    }

    /// Whether it tells one machine from another.
    pub fn names_machine(&self) -> bool {
        Place::MACHINE.iter().any(|place| self.has(*place))
    }

    /// Whether nothing in it is filled in.
    pub fn is_plain(&self) -> bool {
        self.0.iter().all(|part| matches!(part, Part::Text(_)))
    }

    /// The place that it is nothing but.
    pub fn only(&self) -> Option<Place> {
        match self.0[..] {
            [Part::Place(place)] => Some(place),
            _ => None,
        }
    }
}

impl From<TemplateError> for Wrong {
    fn from(error: TemplateError) -> Self {
        Self::new(error.what, error.help)
    }
}

/// What stands before the first place, its name, and what stands behind it.
fn next_place(text: &str) -> Option<(&str, &str, &str)> {
    text.match_indices('{').find_map(|(at, _)| {
        let from = &text[at + 1..];
        let end = from.find(|c: char| !c.is_ascii_lowercase())?;
        (end > 0 && from[end..].starts_with('}')).then(|| (&text[..at], &from[..end], &from[end + 1..]))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rendered(text: &str) -> Result<String, Place> {
        Template::parse(text, &Place::WAKE).unwrap().render(|place| match place {
            Place::Ip => Some("10.0.0.7".into()),
            Place::Mode => Some("".into()),
            Place::Device => Some("a-7".into()),
            _ => None,
        })
    }

    #[test]
    fn places_are_filled_and_other_braces_stay() {
        assert_eq!(rendered("http://{ip}/off?m={mode}").unwrap(), "http://10.0.0.7/off?m=");
        assert_eq!(
            rendered(r#"{"on":false,"who":{"name":"{device}"}}"#).unwrap(),
            r#"{"on":false,"who":{"name":"a-7"}}"#
        );
        assert_eq!(rendered("{ print } {} {{ip}}").unwrap(), "{ print } {} {10.0.0.7}");
        assert_eq!(rendered("{worker}"), Err(Place::Worker));
    }

    #[test]
    fn what_stands_for_nothing_is_told() {
        let told = |text: &str, allowed: &[Place]| Template::parse(text, allowed).unwrap_err().to_string();
        assert_eq!(told("{ipp}", &Place::MACHINE), "\"{ipp}\" stands for nothing; did you mean {ip}?");
        let known = "known here: {ip}, {worker}, {device}; a brace that is meant as one has a space behind it";
        assert_eq!(told("{mode}", &Place::MACHINE), format!("\"{{mode}}\" stands for nothing; {known}"));
        assert_eq!(told("{ip}", &[]), "\"{ip}\" stands for nothing; nothing stands for anything here");
        assert!(told("a\0", &[]).contains("zero byte"));
        assert!(told(&"x".repeat(MAX_TEMPLATE_BYTES + 1), &[]).contains("write at most"));
    }

    proptest! {
        #[test]
        fn a_text_without_places_stays_as_it_is(text in "[^{\0]*[{]?[^a-z{\0]*") {
            let template = Template::parse(&text, &[]).unwrap();
            prop_assert!(template.is_plain());
            prop_assert_eq!(template.render(|_| None).unwrap(), text);
        }
    }
}
