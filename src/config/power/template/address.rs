//! The address of an HTTP call, with places in host, path and query.
//!
//! What can be known to be wrong is refused when it is read: an address that is none with any machine's values in it, a place in scheme or
//! port, a name that would be the whole host. Miners say their names: without a domain behind it, one could name any host.

use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use url::Url;

use super::{MAX_TEMPLATE_BYTES, Part, Place, Sample, Says, TemplateError, Unfit, encoded, filled, parts};
use crate::config::error::shown;

/// Bytes of a host's label (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

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

impl Address {
    /// Reads `"http://{ip}/sleep?name={worker}"`.
    ///
    /// # Errors
    /// [`TemplateError`]: not an address, no such place, or a place where none may be.
    pub fn parse(text: &str, allowed: &[Place]) -> Result<Self, TemplateError> {
        const HELP: &str = "write http://{ip}/path";
        let wrong = |what: &str| Err(TemplateError::new(what, HELP));
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
        let (path, query) = (parts(path, allowed)?, parts(query, allowed)?);
        let address = Self { scheme, host: host_parts(host, allowed)?, port: port.into(), path, query };
        let literals = address.host.iter().chain(&address.path).chain(&address.query);
        if text.len() > MAX_TEMPLATE_BYTES
            || literals.into_iter().any(|part| matches!(part, Part::Text(text) if text.contains(['{', '}'])))
        {
            return wrong("has braces around something that is no place");
        }
        // What can be known to be wrong is wrong now, not when a machine should sleep.
        for ip in ["192.0.2.1", "2001:db8::1"] {
            if let Err(why) = address.fill(&Sample(ip)) {
                return wrong(&format!("is not an address: {why}"));
            }
        }
        Ok(address)
    }

    /// With what stands in its places.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn fill(&self, values: &impl Says) -> Result<Url, Unfit> {
        let host = filled(&self.host, values, |value| {
            if value.parse::<IpAddr>().is_ok() || is_label(value) {
                Ok(value.to_owned())
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

    /// As it might be for one machine of a private network, to tell what can be told of all.
    pub fn example(&self) -> Option<Url> {
        self.fill(&Sample("10.0.0.1")).ok()
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

fn host_and_port(authority: &str) -> (&str, &str) {
    // Brackets that are there for IPv6 are ours to write.
    if let Some((host, port)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, port);
    }
    authority.split_at(authority.rfind(':').unwrap_or(authority.len()))
}

fn host_parts(host: &str, allowed: &[Place]) -> Result<Vec<Part>, TemplateError> {
    let parts = parts(host, allowed)?;
    let wrong = |what: String, help: &str| Err(TemplateError::new(what, help));
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Place(Place::Ip) if parts.len() > 1 => {
                return wrong(
                    "has {ip} as a part of its host".to_owned(),
                    "write it as all of the host: http://{ip}/path",
                );
            }
            // Miners say their names: without a domain behind it, one could name any host.
            Part::Place(Place::Worker | Place::Device) if !matches!(parts.get(at + 1), Some(Part::Text(text)) if text.starts_with('.') && text.len() > 1) =>
            {
                return wrong(
                    "has a name as its host".to_owned(),
                    "write a domain behind it: http://{device}.pdu.lan/path",
                );
            }
            Part::Text(_) | Part::Place(Place::Ip | Place::Worker | Place::Device) => {}
            Part::Place(other) => return wrong(format!("has {other} in its host"), "write it into path or query"),
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
