//! Commands and HTTP calls with places for a machine's name in them, as actuators and meters make them.
//!
//! An address may carry a key in its query, a body a password: both print as `…`.

use std::{fmt, sync::Arc};

use toml::de::DeValue;

use super::template::{Address, Body, CommandLine, Place};
use crate::config::{Env, HttpUrl, Secret, ServerTrust, error::Wrong, raw::Section, signal::kinds, value};

/// One HTTP call.
#[derive(Clone, PartialEq)]
pub struct HttpCall {
    /// `POST`, `PUT`, `GET`, `PATCH` or `DELETE`.
    pub method: HttpMethod,
    /// With places in its host, path and query; none in scheme or port. With any machine's in them it is an address.
    pub url: Arc<str>,
    /// Names and values.
    pub headers: Vec<(Arc<str>, Secret)>,
    /// What is sent, with places.
    pub body: Option<Arc<str>>,
    /// Whom to trust in TLS.
    pub trust: ServerTrust,
}

/// How an HTTP call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpMethod {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
}

impl HttpMethod {
    const WORDS: [(&str, Self); 5] = [
        ("POST", Self::Post),
        ("PUT", Self::Put),
        ("GET", Self::Get),
        ("PATCH", Self::Patch),
        ("DELETE", Self::Delete),
    ];

    /// As it goes over the wire.
    pub fn label(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for HttpCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, query) = self.url.split_once('?').map_or((&*self.url, ""), |(shown, _)| (shown, "?…"));
        write!(f, "{} {shown}{query}", self.method.label())
    }
}

impl fmt::Debug for HttpCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpCall({self}, {:?}, body: {})", self.headers, if self.body.is_some() { "…" } else { "none" })
    }
}

/// A command: program and arguments. Only the latter may have places, as what stands there may be a miner's own word.
pub(super) fn command<'a>(
    allowed: &'a [Place],
    help: &'a str,
) -> impl FnOnce(&DeValue<'_>) -> Result<Vec<String>, Wrong> + 'a {
    move |value| {
        if value.as_str().is_some() {
            return Err(Wrong::new("is one text, and no shell takes it apart", help));
        }
        let command = value::strings(value)?;
        // The example of the key says more than that of all commands.
        CommandLine::parse(&command, allowed).map_err(|error| match &*error.what {
            "names no program" => Wrong::new(error.what, help),
            _ => error.into(),
        })?;
        Ok(command)
    }
}

/// A call that is an address alone, or a table with `url`, `method`, `headers` and `body`. `None` if a problem was reported.
pub(super) fn call(
    section: &mut Section<'_, '_>,
    key: &'static str,
    example: &str,
    allowed: &[Place],
    env: &dyn Env,
) -> Option<HttpCall> {
    const HELP: &str = "write url = \"http://{ip}/path\"";
    if !section.is_table(key) {
        let url = section.required(key, example, |value| address(value, allowed))?;
        warn_if_plain(section, key, &url, allowed);
        let (headers, trust) = (Vec::new(), ServerTrust::System);
        return Some(HttpCall { method: HttpMethod::Post, url, headers, body: None, trust });
    }
    let mut table = section.optional_table(key)?;
    let url = table.required("url", HELP, |value| address(value, allowed));
    let method = table.or("method", HttpMethod::Post, value::choice(&HttpMethod::WORDS));
    let headers = headers(&mut table, env);
    let body = table.optional("body", |value| {
        let text = value::string(value)?;
        Body::parse(&text, allowed)?;
        Ok(Arc::from(text))
    });
    if method == HttpMethod::Get && body.is_some() {
        table.error("body", Wrong::new("goes with no GET", "write method = \"POST\", or drop it"));
    }
    table.refuse_unknown_keys();
    let url = url?;
    warn_if_plain(&table, "url", &url, allowed);
    Some(HttpCall { method, url, headers, body, trust: ServerTrust::System })
}

impl HttpCall {
    /// Whether it is made by TLS.
    pub(super) fn has_tls(&self) -> bool {
        Address::parse(&self.url, &Place::WAKE).is_ok_and(|address| address.is_tls())
    }
}

/// `headers` of a call.
pub(super) fn headers(section: &mut Section<'_, '_>, env: &dyn Env) -> Vec<(Arc<str>, Secret)> {
    let headers = section.or("headers", Vec::new(), |value| kinds::headers(value, env));
    headers.into_iter().map(|(name, value)| (name.into(), value)).collect()
}

/// An address that is one with any machine's places in it.
pub(super) fn address(value: &DeValue<'_>, allowed: &[Place]) -> Result<Arc<str>, Wrong> {
    value::parsed("\"http://{ip}/path\"", |text| {
        Address::parse(text, allowed)?;
        Ok(Arc::from(text))
    })(value)
}

pub(super) fn warn_if_plain(section: &Section<'_, '_>, key: &'static str, url: &str, allowed: &[Place]) {
    let example = Address::parse(url, allowed).ok().and_then(|url| HttpUrl::parse(url.example()?.as_str()).ok());
    kinds::warn_of_plain(section, key, example.filter(|url| !url.is_protected()).map(|url| url.to_string()));
}
