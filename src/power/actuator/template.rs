//! Texts with places for a machine's own: `http://{ip}/cgi-bin/sleep`, `["pdu", "off", "{device}"]`.
//!
//! Knows where a value stands, and what it may be there; knows no machine and no protocol. A worker's name is foreign text (a miner
//! says it), so that it can't become more than the one thing that it stands for:
//!
//! | place | `{ip}` | `{worker}`, `{device}`, `{mode}` |
//! |---|---|---|
//! | an argument | as it is | as it is, within this one argument; never an option: none may begin with `-` unless the text does |
//! | a URL's host | as the whole host; IPv6 in brackets | one label before a domain: `{device}.pdu.lan`; letters, digits, `-`, `_` (not `{mode}`) |
//! | a URL's path | percent-encoded | percent-encoded; no segment becomes `.` or `..` |
//! | a URL's query | percent-encoded | percent-encoded |
//! | a body of JSON | within a text | within a text, escaped |
//! | any other body | percent-encoded, as in a form | percent-encoded |
//!
//! One pass: what a value brings along is no place. Braces around anything else than a lower-case word are braces. A mode that was
//! never seen is an empty text; an address or a worker that is not known is [`Unfit`].

use std::{borrow::Cow, fmt::Write as _, net::IpAddr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;

/// Bytes of a text with places: nobody writes a longer address, argument or body by hand.
const MAX_TEXT: usize = 4096;

/// Bytes of a host's label (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

/// All but what RFC 3986, 2.3 calls unreserved.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What can stand in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The machine's address.
    Ip,
    /// The user name that it mines with.
    Worker,
    /// Its name, as in logs.
    Device,
    /// The power mode that was saved before it slept.
    Mode,
}

const PLACES: [(&str, Place); 4] =
    [("{ip}", Place::Ip), ("{worker}", Place::Worker), ("{device}", Place::Device), ("{mode}", Place::Mode)];

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

/// Which places a text has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// `{ip}`.
    pub ip: bool,
    /// `{worker}`.
    pub worker: bool,
    /// `{device}`.
    pub device: bool,
    /// `{mode}`, which has a meaning in a wake only.
    pub mode: bool,
}

/// What is wrong with a text, and what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {help}")]
pub struct TemplateError {
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub help: &'static str,
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

/// The address of an HTTP call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    scheme: &'static str,
    host: Vec<Part>,
    /// With its colon, or nothing.
    port: Box<str>,
    path: Vec<Part>,
    /// With its question mark, or nothing.
    query: Vec<Part>,
}

/// The body of an HTTP call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    parts: Vec<Part>,
    is_json: bool,
}

/// An MQTT topic that has a machine's name as one of its levels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// What is listened to: with `+` in the machine's level.
    pub filter: String,
    /// What stands there.
    pub place: Place,
    level: usize,
}

/// Checks one argument of a command.
///
/// # Errors
/// [`TemplateError`] for braces around a word that is no place.
pub fn check(text: &str) -> Result<Used, TemplateError> {
    Argument::parse(text).map(|argument| used(&argument.0))
}

/// Checks the words of a command.
///
/// # Errors
/// As [`check`]; no program, or one that is named by a place: miners say their names.
pub fn check_command(words: &[String]) -> Result<Used, TemplateError> {
    CommandLine::parse(words).map(|command| used(command.0.iter().flat_map(|argument| &argument.0)))
}

/// Checks the address of an HTTP call.
///
/// # Errors
/// [`TemplateError`]: not an address, no such place, or a place where none may be.
pub fn check_url(text: &str) -> Result<Used, TemplateError> {
    Address::parse(text).map(|address| used(address.host.iter().chain(&address.path).chain(&address.query)))
}

/// Checks the body of an HTTP call.
///
/// # Errors
/// [`TemplateError`]: no such place, or one that stands outside of JSON's quotes.
pub fn check_body(text: &str) -> Result<Used, TemplateError> {
    Body::parse(text).map(|body| used(&body.parts))
}

/// Checks a topic of a meter.
///
/// # Errors
/// [`TemplateError`]: not a topic, or not one place as one whole level.
pub fn check_topic(text: &str) -> Result<Used, TemplateError> {
    Topic::parse(text).map(|topic| used(&[Part::Place(topic.place)]))
}

impl Argument {
    /// Reads `"--host={ip}"`.
    ///
    /// # Errors
    /// As [`check`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        parts(text).map(Self)
    }

    /// With a machine's values.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn fill(&self, values: &Values<'_>) -> Result<String, Unfit> {
        let whole = filled(&self.0, values, |value| Ok(Cow::Borrowed(value)))?;
        let is_meant = self.0.first().is_none_or(|part| matches!(part, Part::Text(text) if text.starts_with('-')));
        if whole.starts_with('-') && !is_meant { Err(Unfit::Option(shown(&whole))) } else { Ok(whole) }
    }
}

impl CommandLine {
    /// Reads `["/usr/local/bin/pdu", "off", "{device}"]`.
    ///
    /// # Errors
    /// As [`check_command`].
    pub fn parse(words: &[String]) -> Result<Self, TemplateError> {
        const HELP: &str = "write the program's path, and places in its arguments";
        let wrong = |what: &str| Err(TemplateError { what: what.to_owned(), help: HELP });
        let arguments = words.iter().map(|word| Argument::parse(word)).collect::<Result<Vec<_>, _>>()?;
        if words.iter().any(|word| word.contains('\0')) {
            return wrong("has a word with a NUL, which no program can be given");
        }
        match arguments.first().map(|program| &*program.0) {
            Some([Part::Text(_)]) => Ok(Self(arguments)),
            Some([_, ..]) => wrong("has a place in the name of its program"),
            Some([]) | None => wrong("names no program"),
        }
    }

    /// With a machine's values.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn fill(&self, values: &Values<'_>) -> Result<Vec<String>, Unfit> {
        self.0.iter().map(|argument| argument.fill(values)).collect()
    }
}

impl Address {
    /// Reads `"http://{ip}/sleep?name={worker}"`.
    ///
    /// # Errors
    /// As [`check_url`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        const HELP: &str = "write http://{ip}/path";
        let wrong = |what: &str| Err(TemplateError { what: what.to_owned(), help: HELP });
        let (scheme, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => ("http://", rest),
            (_, Some(rest)) => ("https://", rest),
            _ => return wrong("does not begin with http:// or https://"),
        };
        if rest.contains('#') {
            return wrong("has a fragment behind a #, which no server sees");
        }
        if rest.contains(|c: char| {
            c.is_whitespace() || c.is_control() || matches!(c, '\\' | '"' | '<' | '>' | '^' | '`' | '|')
        }) {
            return wrong("has characters that no address has");
        }
        let (authority, behind) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (path, query) = behind.split_at(behind.find('?').unwrap_or(behind.len()));
        if authority.contains('@') {
            return wrong("carries a user or password, which belong into headers");
        }
        let (host, port) = host_and_port(authority);
        if host.is_empty() {
            return wrong("has no host");
        }
        let is_port = |port: &str| port.strip_prefix(':').is_some_and(|digits| digits.parse::<u16>().is_ok());
        if !port.is_empty() && !is_port(port) {
            return wrong("has no number as its port");
        }
        let address =
            Self { scheme, host: host_parts(host)?, port: port.into(), path: parts(path)?, query: parts(query)? };
        let literals = address.host.iter().chain(&address.path).chain(&address.query);
        if text.len() > MAX_TEXT
            || literals.into_iter().any(|part| matches!(part, Part::Text(text) if text.contains(['{', '}'])))
        {
            return wrong("has braces around something that is no place");
        }
        // What can be known to be wrong is wrong now, not when a machine should sleep.
        for ip in ["192.0.2.1", "2001:db8::1"] {
            let sample = Values { ip: ip.parse().ok(), worker: Some("worker"), device: "device", mode: Some("mode") };
            if let Err(why) = address.fill(&sample) {
                return wrong(&format!("is not an address: {why}"));
            }
        }
        Ok(address)
    }

    /// With a machine's values.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn fill(&self, values: &Values<'_>) -> Result<Url, Unfit> {
        let host = filled(&self.host, values, |value| {
            if value.parse::<IpAddr>().is_ok() || is_label(value) {
                Ok(Cow::Borrowed(value))
            } else {
                Err(Unfit::Host(shown(value)))
            }
        })?;
        let path = filled(&self.path, values, encoded)?;
        let leads_elsewhere = |segment: &str| matches!(&*percent_decode_str(segment).decode_utf8_lossy(), "." | "..");
        if path.split('/').any(leads_elsewhere) {
            return Err(Unfit::Path(shown(&path)));
        }
        let query = filled(&self.query, values, encoded)?;
        let is_v6 = host.parse::<IpAddr>().is_ok_and(|address| address.is_ipv6());
        let (open, close) = if is_v6 { ("[", "]") } else { ("", "") };
        let whole = format!("{}{open}{host}{close}{}{path}{query}", self.scheme, self.port);
        let url = Url::parse(&whole).ok().filter(|url| url.as_str().parse::<hyper::Uri>().is_ok());
        url.ok_or_else(|| Unfit::Host(shown(&host)))
    }

    /// Whether each machine has a host of its own.
    pub fn has_many_hosts(&self) -> bool {
        self.host.iter().any(|part| matches!(part, Part::Place(_)))
    }

    /// Whether it is in TLS.
    pub fn is_tls(&self) -> bool {
        self.scheme == "https://"
    }
}

impl Body {
    /// Reads `{"outlet": "{device}"}`.
    ///
    /// # Errors
    /// As [`check_body`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let is_json = text.trim_start().starts_with(['{', '[']);
        let body = Self { parts: parts(text)?, is_json };
        let sample = Values { ip: "192.0.2.1".parse().ok(), worker: Some("w"), device: "d", mode: Some("m") };
        let is_whole = |text: String| serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        if is_json && !body.fill(&sample).is_ok_and(is_whole) {
            let what = "begins as JSON, and is none when its places are filled in".to_owned();
            return Err(TemplateError { what, help: "write places within quotes: {\"outlet\": \"{device}\"}" });
        }
        Ok(body)
    }

    /// With a machine's values.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn fill(&self, values: &Values<'_>) -> Result<String, Unfit> {
        filled(&self.parts, values, |value| if self.is_json { Ok(in_json(value).into()) } else { encoded(value) })
    }

    /// What it is, for a header.
    pub fn content_type(&self) -> &'static str {
        if self.is_json { "application/json" } else { "application/x-www-form-urlencoded" }
    }
}

impl Topic {
    /// Reads `"shellies/{device}/power"`.
    ///
    /// # Errors
    /// As [`check_topic`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        const HELP: &str = "write {device}, {ip} or {worker} as one whole level: \"meters/{device}/power\"";
        let wrong = |what: &str| Err(TemplateError { what: what.to_owned(), help: HELP });
        if text.len() > MAX_TEXT || text.contains(char::is_control) {
            return wrong("is no topic");
        }
        if text.starts_with("$share/") {
            return wrong("is shared with others, so that some readings would never come here");
        }
        let levels: Vec<&str> = text.split('/').collect();
        let mut found = None;
        for (level, word) in levels.iter().enumerate() {
            let place = PLACES.into_iter().find_map(|(name, place)| (name == *word).then_some(place));
            match place {
                Some(Place::Mode) => return wrong("has {mode}, which no meter knows"),
                Some(place) if found.is_none() => found = Some((level, place)),
                Some(_) => return wrong("has two places"),
                None if word.contains(['{', '}']) => return wrong("has braces that are no whole level"),
                None if *word == "#" && level + 1 < levels.len() => return wrong("has a # before its end"),
                None if word.len() > 1 && word.contains(['+', '#']) => {
                    return wrong("has a wildcard that is no whole level");
                }
                None => {}
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

/// A text taken apart at its places.
fn parts(text: &str) -> Result<Vec<Part>, TemplateError> {
    const HELP: &str = "write {ip}, {worker}, {device}, or in a wake {mode}";
    if text.len() > MAX_TEXT {
        return Err(TemplateError { what: format!("is {} bytes long", text.len()), help: "write at most 4096" });
    }
    let (mut parts, mut begin) = (Vec::new(), 0);
    for (at, _) in text.match_indices('{') {
        let Some((word, _)) = text[at + 1..].split_once('}') else { break };
        if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            continue;
        }
        let name = &text[at..at + word.len() + 2];
        let Some((_, place)) = PLACES.into_iter().find(|(known, _)| *known == name) else {
            return Err(TemplateError { what: format!("has {}, which is no place", shown(name)), help: HELP });
        };
        if begin < at {
            parts.push(Part::Text(text[begin..at].into()));
        }
        parts.push(Part::Place(place));
        begin = at + name.len();
    }
    if begin < text.len() {
        parts.push(Part::Text(text[begin..].into()));
    }
    Ok(parts)
}

fn host_and_port(authority: &str) -> (&str, &str) {
    // Brackets that are there for IPv6 are ours to write.
    if let Some((host, port)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, port);
    }
    authority.split_at(authority.rfind(':').unwrap_or(authority.len()))
}

fn host_parts(host: &str) -> Result<Vec<Part>, TemplateError> {
    let parts = parts(host)?;
    let wrong = |what: &str, help| Err(TemplateError { what: what.to_owned(), help });
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Place(Place::Ip) if parts.len() > 1 => {
                return wrong("has {ip} as a part of its host", "write it as all of the host: http://{ip}/path");
            }
            Part::Place(Place::Mode) => return wrong("has {mode} in its host", "write it into path or query"),
            // Miners say their names: without a domain behind it, one could name any host.
            Part::Place(Place::Worker | Place::Device) if !matches!(parts.get(at + 1), Some(Part::Text(text)) if text.starts_with('.') && text.len() > 1) =>
            {
                return wrong("has a name as its host", "write a domain behind it: http://{device}.pdu.lan/path");
            }
            Part::Text(_) | Part::Place(_) => {}
        }
    }
    Ok(parts)
}

fn is_label(text: &str) -> bool {
    let is_edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= MAX_LABEL
        && is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn filled<'a>(
    parts: &[Part],
    values: &Values<'a>,
    fit: impl for<'v> Fn(&'v str) -> Result<Cow<'v, str>, Unfit>,
) -> Result<String, Unfit> {
    let mut whole = String::new();
    for part in parts {
        match part {
            Part::Text(text) => whole.push_str(text),
            Part::Place(Place::Ip) => whole.push_str(&fit(&values.ip.ok_or(Unfit::NoAddress)?.to_string())?),
            Part::Place(Place::Worker) => whole.push_str(&fit(values.worker.ok_or(Unfit::NoWorker)?)?),
            Part::Place(Place::Device) => whole.push_str(&fit(values.device)?),
            Part::Place(Place::Mode) => whole.push_str(&fit(values.mode.unwrap_or_default())?),
        }
    }
    Ok(whole)
}

/// As in a path, a query or a form.
fn encoded(value: &str) -> Result<Cow<'_, str>, Unfit> {
    Ok(utf8_percent_encode(value, RESERVED).into())
}

/// As between the quotes of JSON.
fn in_json(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn used<'p>(parts: impl IntoIterator<Item = &'p Part>) -> Used {
    let mut used = Used::default();
    for part in parts {
        match part {
            Part::Text(_) => {}
            Part::Place(Place::Ip) => used.ip = true,
            Part::Place(Place::Worker) => used.worker = true,
            Part::Place(Place::Device) => used.device = true,
            Part::Place(Place::Mode) => used.mode = true,
        }
    }
    used
}

/// A foreign text in quotes, cut, with its control characters escaped.
fn shown(text: &str) -> String {
    const QUOTED: usize = 60;
    let mut shown = String::from("\"");
    shown.extend(text.chars().take(QUOTED).flat_map(char::escape_debug));
    let more = if text.chars().nth(QUOTED).is_some() { "…" } else { "" };
    let _ = write!(shown, "{more}\"");
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values<'a>(ip: &str, worker: &'a str) -> Values<'a> {
        Values { ip: ip.parse().ok(), worker: Some(worker), device: "rack1-07", mode: None }
    }

    fn url(template: &str, ip: &str, worker: &str) -> Result<String, Unfit> {
        Address::parse(template).unwrap().fill(&values(ip, worker)).map(|url| url.to_string())
    }

    #[test]
    fn each_place_is_filled_once() {
        let argument = Argument::parse("{ip}/{worker}:{device}={mode}{").unwrap();
        let filled = argument.fill(&Values { mode: Some("{ip}"), ..values("10.0.0.7", "{device}{worker}") });
        assert_eq!(filled.unwrap(), "10.0.0.7/{device}{worker}:rack1-07={ip}{");
        let used = check("{worker} {mode}").unwrap();
        assert_eq!(used, Used { worker: true, mode: true, ..Used::default() });
    }

    #[test]
    fn braces_around_no_word_are_braces_and_an_unknown_word_is_an_error() {
        for text in ["{\"a\": {\"b\": 1}}", "{}", "{ ip }", "{IP}", "}{", "awk '{print $1}'"] {
            let argument = Argument::parse(text).unwrap();
            assert_eq!(argument.fill(&values("::1", "w")).unwrap(), text);
        }
        assert_eq!(check("--at={host}").unwrap_err().what, "has \"{host}\", which is no place");
        assert!(check(&"a".repeat(5000)).is_err());
    }

    #[test]
    fn an_argument_never_becomes_an_option() {
        let fill = |text: &str, worker: &str| Argument::parse(text).unwrap().fill(&values("10.0.0.7", worker));
        assert_eq!(fill("{worker}", "$(reboot) `x`\n\"'; ../").unwrap(), "$(reboot) `x`\n\"'; ../");
        assert!(matches!(fill("{worker}", "--delete-all"), Err(Unfit::Option(_))));
        assert!(matches!(fill("{mode}{worker}", "-x"), Err(Unfit::Option(_))));
        assert_eq!(fill("--name={worker}", "-x").unwrap(), "--name=-x");
        assert_eq!(fill("w:{worker}", "-x").unwrap(), "w:-x");
        assert_eq!(fill("", "-x").unwrap(), "");
    }

    #[test]
    fn a_program_is_named_by_the_operator_alone() {
        let check = |words: &[&str]| check_command(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert!(check(&["pdu", "off", "{device}"]).unwrap().device);
        for words in [&[][..], &[""], &["{worker}"], &["/opt/{worker}", "x"], &["pdu", "a\0b"]] {
            assert!(check(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        let nobody = Values { ip: None, worker: None, device: "d", mode: None };
        assert_eq!(Argument::parse("{ip}").unwrap().fill(&nobody), Err(Unfit::NoAddress));
        assert_eq!(Argument::parse("{worker}").unwrap().fill(&nobody), Err(Unfit::NoWorker));
        assert_eq!(Argument::parse("[{mode}]").unwrap().fill(&nobody).unwrap(), "[]");
    }

    #[test]
    fn an_ipv6_address_gets_brackets_in_a_host_only() {
        for template in ["http://{ip}:8080/off?at={ip}", "http://[{ip}]:8080/off?at={ip}"] {
            assert_eq!(url(template, "fd00::7", "w").unwrap(), "http://[fd00::7]:8080/off?at=fd00%3A%3A7");
            assert_eq!(url(template, "10.0.0.7", "w").unwrap(), "http://10.0.0.7:8080/off?at=10.0.0.7");
        }
        assert_eq!(url("https://[fd00::1]/x", "10.0.0.7", "w").unwrap(), "https://[fd00::1]/x");
    }

    #[test]
    fn a_hostile_name_stays_in_its_place() {
        let at = |worker| url("http://{ip}/w/{worker}/off?name={worker}&all=0", "10.0.0.7", worker);
        for (worker, encoded) in [
            ("a b\"'", "a%20b%22%27"),
            ("$(reboot)", "%24%28reboot%29"),
            ("../../admin", "..%2F..%2Fadmin"),
            ("a\r\nX-Evil: 1", "a%0D%0AX-Evil%3A%201"),
            ("x&all=1#?", "x%26all%3D1%23%3F"),
            ("%2e%2e", "%252e%252e"),
            ("..\\..", "..%5C.."),
            ("ü", "%C3%BC"),
        ] {
            assert_eq!(
                at(worker).unwrap(),
                format!("http://10.0.0.7/w/{encoded}/off?name={encoded}&all=0"),
                "{worker}"
            );
        }
        for worker in [".", ".."] {
            assert!(matches!(at(worker), Err(Unfit::Path(_))), "{worker}");
        }
        assert!(matches!(url("http://h/.{worker}", "::1", "."), Err(Unfit::Path(_))));
        assert!(matches!(url("http://h/%2e{worker}", "::1", "."), Err(Unfit::Path(_))));
    }

    #[test]
    fn a_name_in_a_host_is_one_label_of_it() {
        let at = |worker| url("http://{worker}.pdu.lan:81/off", "::1", worker);
        assert_eq!(at("rig7").unwrap(), "http://rig7.pdu.lan:81/off");
        for worker in ["evil.com/", "a.b", "a@b", "", "a:1", "é", "-a", "a b", "[", &"a".repeat(64)] {
            assert!(matches!(at(worker), Err(Unfit::Host(_))), "{worker}");
        }
    }

    #[test]
    fn a_wrong_address_is_told_before_a_machine_should_sleep() {
        for (text, what) in [
            ("{ip}/off", "does not begin"),
            ("ftp://{ip}/", "does not begin"),
            ("http://{worker}/off", "a name as its host"),
            ("http://a{ip}/off", "as a part of its host"),
            ("http://{mode}.lan/", "{mode} in its host"),
            ("http://{device}:{ip}/", "no number"),
            ("http://{ip}:99999/", "no number"),
            ("http://u:p@{ip}/", "belong into headers"),
            ("http://{ip}/#x", "fragment"),
            ("http://{ip}/a b", "characters"),
            ("http://{ip}\\x", "characters"),
            ("http://{ip}/{x1}", "braces"),
            ("http://{ip}/{name}", "no place"),
            ("http://{ip}/../x", "can't stand in a path"),
            ("http:///x", "no host"),
            ("http://:80/x", "no host"),
            ("http://[::g]/", "not an address"),
        ] {
            let error = check_url(text).expect_err(text);
            assert!(error.to_string().contains(what), "{text}: {error}");
        }
        assert!(check_url("https://pdu.lan/outlet/{device}?m={mode}").unwrap().mode);
    }

    #[test]
    fn a_body_of_json_stays_what_it_is() {
        let body = Body::parse("{\"outlet\": \"{device}\", \"by\": \"{worker}\", \"n\": {\"a\": 1}}").unwrap();
        let text = body.fill(&values("::1", "x\", \"all\": \"\n\u{1}")).unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&read["by"], &read["outlet"]), (&"x\", \"all\": \"\n\u{1}".into(), &"rack1-07".into()));
        assert!(read.get("all").is_none());
        let form = Body::parse("outlet={device}&by={worker}").unwrap();
        assert_eq!(form.fill(&values("::1", "a&b=c d")).unwrap(), "outlet=rack1-07&by=a%26b%3Dc%20d");
        assert_eq!(
            (body.content_type(), form.content_type()),
            ("application/json", "application/x-www-form-urlencoded")
        );
        assert!(check_body("{\"outlet\": {device}}").unwrap_err().what.contains("begins as JSON"));
        assert!(check_body("{\"outlet\": \"{plug}\"}").is_err());
    }

    #[test]
    fn a_topic_has_one_machine() {
        let topic = Topic::parse("site/{device}/+/power").unwrap();
        assert_eq!((&*topic.filter, topic.place), ("site/+/+/power", Place::Device));
        assert_eq!(topic.name("site/rack1-07/em/power"), Some("rack1-07"));
        assert_eq!(topic.name("site//em/power"), None);
        assert_eq!(topic.name("site"), None);
        assert_eq!(Topic::parse("{ip}/#").unwrap().filter, "+/#");
        for text in [
            "site/power",
            "a/{device}x",
            "{ip}/{worker}",
            "a/{mode}",
            "#/{ip}",
            "a+/{ip}",
            "$share/g/{ip}",
            "",
            "{x}/{ip}",
        ] {
            assert!(check_topic(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_and_no_name_panics(text in "[{}a-z/:?\\[\\]@.%é]{0,30}", worker in any::<String>(), v6: bool) {
            let values = values(if v6 { "fd00::7" } else { "10.0.0.7" }, &worker);
            let _ = Argument::parse(&text).map(|argument| argument.fill(&values));
            let _ = Body::parse(&text).map(|body| body.fill(&values));
            let _ = Topic::parse(&text).map(|topic| topic.name(&worker).map(str::len));
            let _ = Address::parse(&format!("http://{text}")).map(|address| address.fill(&values));
        }

        #[test]
        fn a_name_is_one_segment_whatever_it_is(worker in any::<String>()) {
            if let Ok(url) = Address::parse("http://h/a/{worker}/z").unwrap().fill(&values("::1", &worker)) {
                let segments: Vec<&str> = url.path_segments().unwrap().collect();
                let decoded = percent_decode_str(segments[1]).decode_utf8().unwrap();
                prop_assert_eq!((segments.len(), segments[2], &*decoded, url.query()), (3, "z", &*worker, None));
            } else {
                prop_assert!(worker == "." || worker == "..");
            }
        }
    }
}
