//! Texts with places in them: `http://{ip}/cgi-bin/sleep`, `["pdu", "off", "{device}"]`, `["lease", "{type}", "{watts}"]`.
//!
//! Knows where a value stands, and what it may be there; knows no machine and no protocol. Config and drivers read them with the same
//! functions, so that `hashgate check` refuses what a driver would. A worker's name is foreign text (a miner says it), so that it can't
//! become more than the one thing that it stands for:
//!
//! | place | `{ip}` | `{worker}`, `{device}`, `{mode}`, a lease's |
//! |---|---|---|
//! | an argument | as it is | as it is, within this one argument; never an option: none may begin with `-` unless the text does |
//! | a URL's host | as the whole host; IPv6 in brackets | one label before a domain: `{device}.pdu.lan`; letters, digits, `-`, `_` (`{worker}`, `{device}`) |
//! | a URL's path | percent-encoded | percent-encoded; no segment becomes `.` or `..` |
//! | a URL's query | percent-encoded | percent-encoded |
//! | a body of JSON | within a text | within a text, escaped |
//! | any other body | percent-encoded, as in a form | percent-encoded |
//! | an MQTT topic | one whole level | one whole level (`{worker}`, `{device}`) |
//!
//! One pass: what a value brings along is no place. Braces around anything else than a word of small letters are braces; around an
//! unknown one they are a mistake. A mode that was never seen is an empty text; an address or a worker that is not known is [`Unfit`].

mod address;
#[cfg(test)]
mod tests;
mod topic;

use std::{borrow::Cow, fmt, net::IpAddr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

pub use self::{address::Address, topic::Topic};
use crate::config::{
    error::{Wrong, shown},
    raw::nearest,
};

/// Bytes of a text with places: nobody writes a longer address, argument or body by hand.
pub const MAX_TEMPLATE_BYTES: usize = 4096;

/// All but what RFC 3986, 2.3 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What may stand in a text in braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// `{ip}`: the machine's address.
    Ip,
    /// `{worker}`: the user name that the machine mines with.
    Worker,
    /// `{device}`: the machine's name, as in logs.
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
    /// `{it_watts}`: the lease's, of the machines themselves.
    ItWatts,
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
    pub const LEASE: [Self; 7] =
        [Self::Type, Self::Id, Self::Epoch, Self::Watts, Self::ItWatts, Self::Deadline, Self::Expires];

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
            Self::ItWatts => "it_watts",
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

/// Who says what stands in a place.
pub trait Says {
    /// What does.
    ///
    /// # Errors
    /// [`Unfit`] if that is not known, or nothing that can be said here.
    fn says(&self, place: Place) -> Result<Cow<'_, str>, Unfit>;
}

/// What stands there, for one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Values<'a> {
    /// Its address; `None` if it was never seen.
    pub ip: Option<IpAddr>,
    /// The user name that it mines with; `None` if it was never seen.
    pub worker: Option<&'a str>,
    /// Its name.
    pub device: &'a str,
    /// The mode that was saved; `None` if none was ever seen, or for what is no wake.
    pub mode: Option<&'a str>,
}

impl Says for Values<'_> {
    fn says(&self, place: Place) -> Result<Cow<'_, str>, Unfit> {
        Ok(match place {
            Place::Ip => self.ip.ok_or(Unfit::NoAddress)?.to_string().into(),
            Place::Worker => self.worker.ok_or(Unfit::NoWorker)?.into(),
            Place::Device => self.device.into(),
            Place::Mode => self.mode.unwrap_or_default().into(),
            other => return Err(Unfit::Place(other)),
        })
    }
}

/// A machine that might be, for what can be known to be wrong before there is one.
struct Sample(&'static str);

impl Says for Sample {
    fn says(&self, place: Place) -> Result<Cow<'_, str>, Unfit> {
        Ok(if place == Place::Ip { self.0.into() } else { place.label().into() })
    }
}

/// What is wrong with a text, and what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {help}")]
pub struct TemplateError {
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub help: String,
}

impl TemplateError {
    fn new(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { what: what.into(), help: help.into() }
    }
}

impl From<TemplateError> for Wrong {
    fn from(error: TemplateError) -> Self {
        Self::new(error.what, error.help)
    }
}

/// Why a machine's values do not fit into a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Its address was never seen.
    #[error("its address is not known")]
    NoAddress,
    /// Its worker name was never seen.
    #[error("its worker name is not known: it never connected, and the config has none")]
    NoWorker,
    /// A command would take it for an option.
    #[error("{0} would be an option, not an argument: it begins with -")]
    Option(String),
    /// It is no label of a host's name.
    #[error("{0} can't stand in a host's name")]
    Host(String),
    /// It would lead elsewhere.
    #[error("{0} can't stand in a path")]
    Path(String),
    /// It is of something else: a text is read with the places that it may have, so that none is left over.
    #[error("nothing stands for {0} here")]
    Place(Place),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Place(Place),
}

/// One argument of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument(Vec<Part>);

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine(Vec<Argument>);

/// The body of an HTTP call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    parts: Vec<Part>,
    is_json: bool,
}

impl Argument {
    /// Reads `"--host={ip}"`, in which these places may stand.
    ///
    /// # Errors
    /// [`TemplateError`] for braces around a word that is none of these, a text that is too long, and a zero byte.
    pub fn parse(text: &str, allowed: &[Place]) -> Result<Self, TemplateError> {
        parts(text, allowed).map(Self)
    }

    /// With what stands in its places.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn fill(&self, values: &impl Says) -> Result<String, Unfit> {
        let whole = filled(&self.0, values, |value| Ok(value.to_owned()))?;
        let is_meant = self.0.first().is_none_or(|part| matches!(part, Part::Text(text) if text.starts_with('-')));
        if whole.starts_with('-') && !is_meant { Err(Unfit::Option(shown(&whole))) } else { Ok(whole) }
    }
}

impl CommandLine {
    /// Reads `["/usr/local/bin/pdu", "off", "{device}"]`.
    ///
    /// # Errors
    /// As [`Argument::parse`]; no program, one that is named by a place (miners say their names), or one with its arguments in it.
    pub fn parse(words: &[String], allowed: &[Place]) -> Result<Self, TemplateError> {
        const HELP: &str = "write the program's path, and places in its arguments";
        let arguments = words.iter().map(|word| Argument::parse(word, allowed)).collect::<Result<Vec<_>, _>>()?;
        let name = match arguments.first().map(|program| &*program.0) {
            Some([Part::Text(name)]) if !name.trim().is_empty() => name,
            Some([_, ..]) if !words[0].trim().is_empty() => {
                return Err(TemplateError::new("has a place in the name of its program", HELP));
            }
            _ => return Err(TemplateError::new("names no program", HELP)),
        };
        if arguments.len() == 1 && name.contains(' ') {
            let what = format!("{} is taken for the name of one program, and has spaces", shown(name));
            return Err(TemplateError::new(what, "write each word in quotes of its own: no shell takes them apart"));
        }
        Ok(Self(arguments))
    }

    /// With what stands in its places.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn fill(&self, values: &impl Says) -> Result<Vec<String>, Unfit> {
        self.0.iter().map(|argument| argument.fill(values)).collect()
    }
}

impl Body {
    /// Reads `{"outlet": "{device}"}`.
    ///
    /// # Errors
    /// As [`Argument::parse`]; a place that stands outside of JSON's quotes.
    pub fn parse(text: &str, allowed: &[Place]) -> Result<Self, TemplateError> {
        let is_json = text.trim_start().starts_with(['{', '[']);
        let body = Self { parts: parts(text, allowed)?, is_json };
        let is_whole = |text: String| serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        if is_json && !body.fill(&Sample("192.0.2.1")).is_ok_and(is_whole) {
            let what = "begins as JSON, and is none when its places are filled in";
            return Err(TemplateError::new(what, "write places within quotes: {\"outlet\": \"{device}\"}"));
        }
        Ok(body)
    }

    /// With what stands in its places.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn fill(&self, values: &impl Says) -> Result<String, Unfit> {
        filled(&self.parts, values, |value| if self.is_json { Ok(in_json(value)) } else { encoded(value) })
    }

    /// What it is, for a header.
    pub fn content_type(&self) -> &'static str {
        if self.is_json { "application/json" } else { "application/x-www-form-urlencoded" }
    }
}

/// Whether a text tells one machine from another.
pub(super) fn names_machine(text: &str) -> bool {
    names_by(text, &Place::MACHINE)
}

/// Whether a text has one of these places.
pub(super) fn names_by(text: &str, places: &[Place]) -> bool {
    let is_one = |part: &Part| matches!(part, Part::Place(place) if places.contains(place));
    parts(text, &Place::WAKE).is_ok_and(|parts| parts.iter().any(is_one))
}

/// A text taken apart at its places.
fn parts(text: &str, allowed: &[Place]) -> Result<Vec<Part>, TemplateError> {
    if text.len() > MAX_TEMPLATE_BYTES {
        return Err(TemplateError::new(
            format!("is {} bytes long", text.len()),
            format!("write at most {MAX_TEMPLATE_BYTES}"),
        ));
    }
    if text.contains('\0') {
        return Err(TemplateError::new("has a zero byte", "drop it"));
    }
    let (mut parts, mut begin) = (Vec::new(), 0);
    for (at, _) in text.match_indices('{') {
        let Some((word, _)) = text[at + 1..].split_once('}') else { break };
        if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            continue;
        }
        let place =
            allowed.iter().copied().find(|place| place.label() == word).ok_or_else(|| unknown(word, allowed))?;
        if begin < at {
            parts.push(Part::Text(text[begin..at].into()));
        }
        parts.push(Part::Place(place));
        begin = at + word.len() + 2;
    }
    if begin < text.len() {
        parts.push(Part::Text(text[begin..].into()));
    }
    Ok(parts)
}

/// A word in braces that is no place here.
fn unknown(word: &str, allowed: &[Place]) -> TemplateError {
    let known: Vec<&str> = allowed.iter().map(|place| place.label()).collect();
    let help = match nearest(word, &known) {
        Some(near) => format!("did you mean {{{near}}}?"),
        None if known.is_empty() => "nothing stands for anything here".to_owned(),
        None => {
            let all: Vec<String> = allowed.iter().map(Place::to_string).collect();
            format!("known here: {}; a brace that is meant as one has a space behind it", all.join(", "))
        }
    };
    TemplateError::new(format!("{} stands for nothing", shown(&format!("{{{word}}}"))), help)
}

fn filled(parts: &[Part], values: &impl Says, fit: impl Fn(&str) -> Result<String, Unfit>) -> Result<String, Unfit> {
    let mut whole = String::new();
    for part in parts {
        match part {
            Part::Text(text) => whole.push_str(text),
            Part::Place(place) => whole.push_str(&fit(&values.says(*place)?)?),
        }
    }
    Ok(whole)
}

/// As in a path, a query or a form.
fn encoded(value: &str) -> Result<String, Unfit> {
    Ok(utf8_percent_encode(value, RESERVED).to_string())
}

/// As between the quotes of JSON.
fn in_json(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}
