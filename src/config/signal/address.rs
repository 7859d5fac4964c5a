//! Addresses of web servers and MQTT brokers, which may carry secrets in their query: these print as `…`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use url::{Host, Url};

use crate::config::error::{Wrong, shown};

/// `http://` or `https://`, with a host.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(Url);

impl HttpUrl {
    /// From what the operator wrote.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub(in crate::config) fn parse(text: &str) -> Result<Self, Wrong> {
        const HELP: &str = "write https://host/path";
        let url = Url::parse(text).map_err(|error| Wrong::new(format!("is not an address: {error}"), HELP))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Wrong::new(format!("has the unknown scheme {}", shown(url.scheme())), HELP));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Wrong::new(
                "carries a user or password",
                "put it into headers, as in headers = { Authorization = \"Basic ${VARIABLE}\" }",
            ));
        }
        if url.fragment().is_some() {
            return Err(Wrong::new("has a fragment behind a #, which no server sees", "drop it"));
        }
        if url.as_str().parse::<hyper::Uri>().is_err() {
            return Err(Wrong::new("is not an address that HTTP can carry", HELP));
        }
        Ok(Self(url))
    }

    /// All of it, for the request and nothing else: the query may hold a key.
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// Whether the answer can't be forged on the way, or has no way to go.
    pub fn is_protected(&self) -> bool {
        self.0.scheme() == "https" || is_near(self.0.host())
    }
}

/// A host of this machine or of a private network.
fn is_near(host: Option<Host<&str>>) -> bool {
    match host {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => near_v4(address),
        Some(Host::Ipv6(address)) => address.is_loopback() || address.is_unique_local(),
        None => false,
    }
}

fn near_v4(address: Ipv4Addr) -> bool {
    address.is_loopback() || address.is_private()
}

/// For programs that embed the proxy and bring a driver along.
impl std::str::FromStr for HttpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|wrong| format!("{}; {}", wrong.what, wrong.help))
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.0;
        write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or_default())?;
        if let Some(port) = url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(url.path())?;
        if url.query().is_some() { f.write_str("?…") } else { Ok(()) }
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An MQTT broker: `mqtt://host:1883` or `mqtts://host:8883`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Broker {
    pub(in crate::config) fn parse(text: &str) -> Result<Self, Wrong> {
        const HELP: &str = "write mqtt://host:1883, or mqtts://host:8883 for TLS";
        let url = Url::parse(text).map_err(|error| Wrong::new(format!("is not an address: {error}"), HELP))?;
        let tls = match url.scheme() {
            "mqtt" => false,
            "mqtts" => true,
            other => return Err(Wrong::new(format!("has the unknown scheme {}", shown(other)), HELP)),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Wrong::new("carries a user or password", "write user and password_env beside it"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(Wrong::new("has something behind the port", HELP));
        }
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').to_owned();
        if !crate::config::pool_url::is_host(&host) {
            return Err(Wrong::new("has no valid host name", HELP));
        }
        Ok(Self { tls, host, port: url.port().unwrap_or(if tls { 8883 } else { 1883 }) })
    }

    /// Whether what it says can't be forged on the way, or has no way to go.
    pub fn is_protected(&self) -> bool {
        let near = match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) => near_v4(address),
            Ok(IpAddr::V6(address)) => address.is_loopback() || address.is_unique_local(),
            Err(_) => self.host == "localhost",
        };
        self.tls || near
    }
}

impl fmt::Display for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_never_shown() {
        let url = HttpUrl::parse("https://api.example:8443/v1/price?key=hunter2").unwrap();
        assert_eq!(format!("{url} {url:?}"), "https://api.example:8443/v1/price?… https://api.example:8443/v1/price?…");
    }

    #[test]
    fn each_wrong_address_has_its_own_reason() {
        let what = |text: &str| HttpUrl::parse(text).unwrap_err().what;
        assert!(what("api.example/price").contains("not an address"));
        assert_eq!(what("ftp://api.example"), "has the unknown scheme \"ftp\"");
        assert_eq!(what("https://u:hunter2@api.example"), "carries a user or password");
        assert!(what("https://api.example/#a").contains("fragment"));
        let what = |text: &str| Broker::parse(text).unwrap_err().what;
        assert_eq!(what("tcp://broker:1883"), "has the unknown scheme \"tcp\"");
        assert_eq!(what("mqtt://u:hunter2@broker"), "carries a user or password");
        assert_eq!(what("mqtt://broker/topic"), "has something behind the port");
        assert_eq!(what("mqtt://"), "has no valid host name");
    }

    #[test]
    fn brokers_read_as_they_print() {
        for text in ["mqtt://broker.example:1883", "mqtts://10.0.0.1:8884", "mqtts://[::1]:8883"] {
            assert_eq!(Broker::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Broker::parse("mqtts://broker").unwrap().port, 8883);
    }

    #[test]
    fn only_what_stays_near_needs_no_tls() {
        for (text, protected) in [
            ("http://api.example/", false),
            ("https://api.example/", true),
            ("http://127.0.0.1:1/", true),
            ("http://192.168.1.5/", true),
            ("http://8.8.8.8/", false),
        ] {
            assert_eq!(HttpUrl::parse(text).unwrap().is_protected(), protected, "{text}");
        }
    }
}
