//! The kinds of sources: `push`, `http_json`, `file`, `exec`, `mqtt`, `jobs`, `schedule`, and the keys of each.

use std::{ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration};

use toml::de::DeValue;

use super::{
    Context,
    address::{Broker, HttpUrl},
    picker::{self, Picker},
    window::{self, Windows},
};
use crate::{
    config::{
        Env, Secret,
        error::{Wrong, shown},
        raw::Section,
        secret, units,
        validate::{TIMEOUT, secs},
        value,
    },
    profit::{Quantity, Unit},
};

/// How often a source is asked.
const POLL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// Addresses of one answer; brokers of one topic.
const MAX_ADDRESSES: usize = 4;

/// Bytes of an MQTT topic filter: the protocol allows 65 535, nobody writes that.
const MAX_TOPIC_BYTES: usize = 1024;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceKind {
    /// Somebody sends it to our API, or the program that embeds us does.
    Push,
    /// A JSON document on a web server.
    HttpJson(Box<HttpSource>),
    /// A file that is rewritten.
    File(FileSource),
    /// What a command writes to its standard output.
    Exec(ExecSource),
    /// A topic of an MQTT broker.
    Mqtt(Box<MqttSource>),
    /// The jobs of our pools.
    Jobs {
        /// What of a job.
        field: JobsField,
        /// The pool's name; `None` for all.
        pool: Option<Arc<str>>,
    },
    /// Hours of the week.
    Schedule(Windows),
}

impl SourceKind {
    /// As it is written.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::HttpJson(_) => "http_json",
            Self::File(_) => "file",
            Self::Exec(_) => "exec",
            Self::Mqtt(_) => "mqtt",
            Self::Jobs { .. } => "jobs",
            Self::Schedule(_) => "schedule",
        }
    }

    /// How often it is asked, where it is.
    pub(in crate::config) fn every(&self) -> Option<Duration> {
        match self {
            Self::HttpJson(source) => Some(source.poll),
            Self::Exec(source) => Some(source.poll),
            _ => None,
        }
    }

    /// Whether its values have an end of their own.
    pub(super) fn gives_intervals(&self) -> bool {
        match self {
            Self::HttpJson(source) => source.picker.gives_intervals(),
            Self::Exec(source) => source.picker.gives_intervals(),
            Self::File(source) => source.picker.gives_intervals(),
            Self::Mqtt(source) => source.picker.gives_intervals(),
            Self::Schedule(_) => true,
            Self::Push | Self::Jobs { .. } => false,
        }
    }
}

/// A JSON document on a web server.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpSource {
    /// Where; the next one is asked when one fails. Never empty.
    pub urls: Vec<HttpUrl>,
    /// Names and values that go with each request.
    pub headers: Vec<(String, Secret)>,
    /// SHA-256 of the one certificate that is trusted; without it, the system's roots decide.
    pub pin: Option<[u8; 32]>,
    /// Time for a whole answer.
    pub timeout: Duration,
    /// How often it is asked.
    pub poll: Duration,
    /// Where in the document the value stands.
    pub picker: Picker,
}

/// A file that is rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSource {
    /// Relative to the working directory.
    pub path: PathBuf,
    /// How often its time is looked at.
    pub poll: Duration,
    /// Where in it the value stands.
    pub picker: Picker,
}

/// A command whose standard output is the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecSource {
    /// Program and arguments; no shell reads them. Never empty.
    pub command: Vec<String>,
    /// Time for it to end; then its whole process group is killed.
    pub timeout: Duration,
    /// How often it is run.
    pub poll: Duration,
    /// Where in its output the value stands.
    pub picker: Picker,
}

/// A topic of an MQTT broker.
#[derive(Debug, Clone, PartialEq)]
pub struct MqttSource {
    /// All are listened to at once. Never empty.
    pub brokers: Vec<Broker>,
    /// Topic filter.
    pub topic: String,
    /// The login, where brokers want one.
    pub login: Option<(String, Secret)>,
    /// SHA-256 of the one certificate that is trusted; without it, the system's roots decide.
    pub pin: Option<[u8; 32]>,
    /// Whether a message that the broker kept is taken although it does not say when it is from.
    pub retained: bool,
    /// Where in a message the value stands.
    pub picker: Picker,
}

/// What of a job is the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobsField {
    /// The network's difficulty, from `nbits`.
    Difficulty,
    /// Subsidy and fees of a block: the subsidy of the present height, fees as the median of recent templates.
    Reward,
    /// The subsidy of the present height.
    Subsidy,
    /// Fees: the median of recent templates.
    Fees,
}

impl JobsField {
    fn quantity(self) -> Quantity {
        match self {
            Self::Difficulty => Quantity::Difficulty,
            Self::Reward | Self::Subsidy | Self::Fees => Quantity::BlockReward,
        }
    }
}

/// The keys of a source. `None` only if a problem was reported.
pub(super) fn read(
    section: &mut Section<'_, '_>,
    quantity: Option<Quantity>,
    unit: Option<Unit>,
    context: &Context<'_>,
) -> Option<SourceKind> {
    const HELP: &str = "write kind = \"push\", \"http_json\", \"file\", \"exec\", \"mqtt\", \"jobs\" or \"schedule\"";
    #[derive(Clone, Copy)]
    enum Kind {
        Push,
        HttpJson,
        File,
        Exec,
        Mqtt,
        Jobs,
        Schedule,
    }
    let words = [
        ("push", Kind::Push),
        ("http_json", Kind::HttpJson),
        ("file", Kind::File),
        ("exec", Kind::Exec),
        ("mqtt", Kind::Mqtt),
        ("jobs", Kind::Jobs),
        ("schedule", Kind::Schedule),
    ];
    match section.required("kind", HELP, value::choice(&words))? {
        Kind::Push => Some(SourceKind::Push),
        Kind::HttpJson => http_json(section, context.env).map(|source| SourceKind::HttpJson(Box::new(source))),
        Kind::File => file(section).map(SourceKind::File),
        Kind::Exec => exec(section).map(SourceKind::Exec),
        Kind::Mqtt => mqtt(section, context.env).map(|source| SourceKind::Mqtt(Box::new(source))),
        Kind::Jobs => jobs(section, quantity, context),
        Kind::Schedule => window::read(section, unit).map(SourceKind::Schedule),
    }
}

fn http_json(section: &mut Section<'_, '_>, env: &dyn Env) -> Option<HttpSource> {
    let urls = section.required("url", "write url = \"https://host/path\"", |value| one_or_more(value, HttpUrl::parse));
    let headers = section.or("headers", Vec::new(), |value| headers(value, env));
    let pin = section.optional("tls_fingerprint", value::parsed("\"sha256:…\"", units::fingerprint));
    let timeout = section.or("timeout", secs(10), value::duration(TIMEOUT));
    let poll = section.or("poll", secs(60), value::duration(POLL));
    let picker = picker::read(section, true);
    let urls = urls?;
    warn_of_plain(section, "url", urls.iter().find(|url| !url.is_protected()).map(ToString::to_string));
    Some(HttpSource { urls, headers, pin, timeout, poll, picker: picker? })
}

fn file(section: &mut Section<'_, '_>) -> Option<FileSource> {
    let path = section.required(
        "path",
        "write path = \"price.txt\"",
        value::parsed("\"price.txt\"", |text| filled(text).map(PathBuf::from)),
    );
    let poll = section.or("poll", secs(1), value::duration(POLL));
    let picker = picker::read(section, false);
    Some(FileSource { path: path?, poll, picker: picker? })
}

fn exec(section: &mut Section<'_, '_>) -> Option<ExecSource> {
    const HELP: &str = "write the program and its arguments: [\"/usr/local/bin/price\", \"--now\"]";
    let command = section.required("command", HELP, |value| {
        let command = value::strings(value)?;
        match command.first() {
            Some(program) if !program.is_empty() && !command.iter().any(|word| word.contains('\0')) => Ok(command),
            _ => Err(Wrong::new("names no program", HELP)),
        }
    });
    let timeout = section.or("timeout", secs(10), value::duration(TIMEOUT));
    let poll = section.or("poll", secs(60), value::duration(POLL));
    let picker = picker::read(section, false);
    Some(ExecSource { command: command?, timeout, poll, picker: picker? })
}

fn mqtt(section: &mut Section<'_, '_>, env: &dyn Env) -> Option<MqttSource> {
    let brokers =
        section.required("broker", "write broker = \"mqtts://host:8883\"", |value| one_or_more(value, Broker::parse));
    let topic = section.required("topic", "write topic = \"site/target\"", value::parsed("\"site/target\"", topic));
    let login = login(section, env);
    let pin = section.optional("tls_fingerprint", value::parsed("\"sha256:…\"", units::fingerprint));
    let retained = section.or("retained", false, value::boolean);
    let picker = picker::read(section, false);
    let brokers = brokers?;
    warn_of_plain(section, "broker", brokers.iter().find(|broker| !broker.is_protected()).map(ToString::to_string));
    if pin.is_some() && !brokers.iter().any(|broker| broker.tls) {
        section.error("tls_fingerprint", Wrong::new("is there, but no broker has TLS", "write mqtts://, or drop it"));
    }
    Some(MqttSource { brokers, topic: topic?, login, pin, retained, picker: picker? })
}

/// Who logs in at a broker, where anybody does.
pub(in crate::config) fn login(section: &mut Section<'_, '_>, env: &dyn Env) -> Option<(String, Secret)> {
    let user = section.optional("user", value::parsed("\"user\"", filled));
    let password = secret::read(section, ["password", "password_env", "password_file"], env);
    match (user, password) {
        (Some(user), Some(password)) => Some((user, password)),
        (Some(_), None) => {
            section.error("user", Wrong::new("has no password", "write password_env = \"A_VARIABLE\" beside it"));
            None
        }
        (None, Some(_)) => {
            section.error("", Wrong::new("has a password and no user", "write user = \"…\" beside it"));
            None
        }
        (None, None) => None,
    }
}

fn jobs(section: &mut Section<'_, '_>, quantity: Option<Quantity>, context: &Context<'_>) -> Option<SourceKind> {
    const HELP: &str = "write field = \"difficulty\", \"reward\" (subsidy and fees), \"subsidy\" or \"fees\"";
    let fields = [
        ("difficulty", JobsField::Difficulty),
        ("reward", JobsField::Reward),
        ("subsidy", JobsField::Subsidy),
        ("fees", JobsField::Fees),
    ];
    let field = section.required("field", HELP, value::choice(&fields));
    let pool = section.optional(
        "pool",
        value::parsed("a pool's name", |name| {
            context.pool_names.iter().find(|pool| ***pool == *name).cloned().ok_or_else(|| {
                Wrong::new(
                    format!("there is no pool {}", shown(name)),
                    "write the name of a [[pool]], or drop it for all",
                )
            })
        }),
    );
    let field = field?;
    if quantity.is_some_and(|quantity| quantity != field.quantity()) {
        let unit = field.quantity().unit(context.currency);
        section.error("field", Wrong::new("is not what the unit measures", format!("write unit = \"{unit}\"")));
    }
    Some(SourceKind::Jobs { field, pool })
}

/// A topic, or a filter of topics.
pub(in crate::config) fn topic(text: &str) -> Result<String, Wrong> {
    if text.len() > MAX_TOPIC_BYTES || text.contains('\0') {
        return Err(Wrong::new("is no topic", format!("write at most {MAX_TOPIC_BYTES} bytes")));
    }
    filled(text)
}

/// A text, or a list of up to [`MAX_ADDRESSES`].
pub(in crate::config) fn one_or_more<T>(
    value: &DeValue<'_>,
    parse: impl Fn(&str) -> Result<T, Wrong>,
) -> Result<Vec<T>, Wrong> {
    let texts = match value {
        DeValue::Array(_) => value::strings(value)?,
        _ => vec![value::string(value)?],
    };
    if texts.is_empty() || texts.len() > MAX_ADDRESSES {
        return Err(Wrong::new(format!("has {} addresses", texts.len()), format!("write one to {MAX_ADDRESSES}")));
    }
    texts.iter().map(|text| parse(text)).collect()
}

/// Names and values of HTTP headers; `${VARIABLE}` in a value stands for the environment's.
pub(in crate::config) fn headers(value: &DeValue<'_>, env: &dyn Env) -> Result<Vec<(String, Secret)>, Wrong> {
    value::texts(value)?
        .into_iter()
        .map(|(name, text)| {
            if hyper::header::HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(Wrong::new(
                    format!("{} is no name of a header", shown(&name)),
                    "write { X-Api-Key = \"${VARIABLE}\" }",
                ));
            }
            let value = secret::expanded(&text, env)?;
            if hyper::header::HeaderValue::from_str(value.expose()).is_err() {
                let what = format!("the value of {} can't be sent", shown(&name));
                return Err(Wrong::new(what, "write letters, digits and signs of ASCII, in one line"));
            }
            Ok((name, value))
        })
        .collect()
}

/// A text that is not empty.
pub(in crate::config) fn filled(text: &str) -> Result<String, Wrong> {
    if text.trim().is_empty() {
        Err(Wrong::new("is empty", "write something, or drop the key"))
    } else {
        Ok(text.to_owned())
    }
}

/// Says that what an address says can be forged.
pub(in crate::config) fn warn_of_plain(section: &Section<'_, '_>, key: &'static str, plain: Option<String>) {
    if let Some(address) = plain {
        section.warn(
            key,
            Wrong::new(
                format!("{address} is not protected: what it says can be forged on the way"),
                "use TLS where you can",
            ),
        );
    }
}
