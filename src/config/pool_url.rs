//! Where a pool is: `stratum+tcp://host:3333`, `stratum+ssl://host:443`, or `sim://` for the built-in
//! simulation. Knows the grammar; resolves and connects nothing.
//!
//! Errors here never quote the address: operators paste `user:password@` into it.

use std::{fmt, net::IpAddr, time::Duration};

use url::{Host, Url};

use super::{
    error::{Wrong, shown},
    raw::nearest,
    units,
};
use crate::work::Difficulty;

const EXAMPLE: &str = "write stratum+tcp://host:port, stratum+ssl://host:port or sim://";

/// Bytes of a host name (RFC 1035, 2.3.4).
const MAX_HOST_BYTES: usize = 253;

/// Where a pool is.
#[derive(Debug, Clone, PartialEq)]
pub enum PoolUrl {
    /// Plain Stratum V1.
    Tcp {
        /// Name or address, IPv6 without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// Stratum V1 in TLS.
    Tls {
        /// Name or address, IPv6 without brackets.
        host: String,
        /// TCP port.
        port: u16,
        /// SHA-256 of the server's own certificate. With it, no root certificate is asked.
        pin: Option<[u8; 32]>,
    },
    /// The built-in pool, which pays nothing and asks no network.
    Simulated(SimulatedPool),
}

/// `sim://?difficulty=1e-6&clean_every=60s&extranonce2_size=8`: how the simulated pool behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedPool {
    /// The difficulty it asks for.
    pub difficulty: Difficulty,
    /// Time between its blocks.
    pub clean_every: Duration,
    /// Bytes of extranonce2 it grants.
    pub extranonce2_size: u8,
}

impl PoolUrl {
    /// Reads an address; `pin` is for TLS alone.
    pub(super) fn parse(text: &str, pin: Option<[u8; 32]>) -> Result<PoolUrl, Wrong> {
        if !text.contains("://") {
            return Err(Wrong::new("has no scheme", EXAMPLE));
        }
        let url = Url::parse(text).map_err(|error| Wrong::new(format!("is not an address: {error}"), EXAMPLE))?;
        let tls = match url.scheme() {
            "stratum+tcp" | "tcp" => false,
            "stratum+ssl" | "stratum+tls" | "ssl" | "tls" => true,
            "sim" => return SimulatedPool::parse(&url).map(PoolUrl::Simulated),
            "stratum2+tcp" | "stratum2+ssl" | "sv2" => {
                return Err(Wrong::new(
                    "is a Stratum V2 address, and V1 is spoken here",
                    "write the pool's stratum+tcp:// address",
                ));
            }
            other => {
                return Err(Wrong::new(format!("has the unknown scheme {}", shown(other)), EXAMPLE));
            }
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Wrong::new(
                "has a user name or password in it",
                "write them as user and password, on lines of their own",
            ));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(Wrong::new("has something behind the port", EXAMPLE));
        }
        let host = host(&url)?;
        let port = url
            .port()
            .filter(|port| *port != 0)
            .ok_or_else(|| Wrong::new("has no port", "add the pool's port, as in stratum+tcp://host:3333"))?;
        Ok(if tls { PoolUrl::Tls { host, port, pin } } else { PoolUrl::Tcp { host, port } })
    }
}

/// A host name as DNS has it, or an address.
pub(super) fn is_host(name: &str) -> bool {
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    name.len() <= MAX_HOST_BYTES
        && (name.parse::<IpAddr>().is_ok() || name.strip_suffix('.').unwrap_or(name).split('.').all(is_label))
}

fn host(url: &Url) -> Result<String, Wrong> {
    let host = match url.host() {
        Some(Host::Domain(name)) => name.to_ascii_lowercase(),
        Some(Host::Ipv4(address)) => address.to_string(),
        Some(Host::Ipv6(address)) => address.to_string(),
        None => String::new(),
    };
    if is_host(&host) { Ok(host) } else { Err(Wrong::new("has no valid host name", EXAMPLE)) }
}

impl SimulatedPool {
    const OPTIONS: [&str; 3] = ["difficulty", "clean_every", "extranonce2_size"];

    fn parse(url: &Url) -> Result<SimulatedPool, Wrong> {
        let mut pool = SimulatedPool::default();
        if url.host_str().is_some_and(|host| !host.is_empty())
            || !matches!(url.path(), "" | "/")
            || url.fragment().is_some()
        {
            return Err(Wrong::new(
                "names a host, and the simulated pool has none",
                "write sim:// or sim://?difficulty=1e-6",
            ));
        }
        for (option, value) in url.query_pairs() {
            match &*option {
                "difficulty" => pool.difficulty = units::difficulty(&value)?,
                "clean_every" => {
                    pool.clean_every = units::duration(&value)?;
                    if !(Duration::from_millis(100)..=Duration::from_secs(24 * 3600)).contains(&pool.clean_every) {
                        return Err(Wrong::new(
                            format!("clean_every={} is out of range", shown(&value)),
                            "write 100ms to 24h",
                        ));
                    }
                }
                "extranonce2_size" => {
                    pool.extranonce2_size =
                        value.parse().ok().filter(|size| (2..=16).contains(size)).ok_or_else(|| {
                            Wrong::new(format!("extranonce2_size={} is out of range", shown(&value)), "write 2 to 16")
                        })?;
                }
                other => {
                    let help = match nearest(other, &Self::OPTIONS) {
                        Some(near) => format!("did you mean \"{near}\"?"),
                        None => format!("known here: {}", Self::OPTIONS.join(", ")),
                    };
                    return Err(Wrong::new(format!("has the unknown option {}", shown(other)), help));
                }
            }
        }
        Ok(pool)
    }
}

impl Default for SimulatedPool {
    /// A pool that miners simulated on one core can keep busy: 2^32 · 1e-6 = 4295 hashes a share.
    fn default() -> SimulatedPool {
        SimulatedPool {
            difficulty: Difficulty::new(1e-6).expect("a constant above zero"),
            clean_every: Duration::from_secs(60),
            extranonce2_size: 8,
        }
    }
}

impl fmt::Display for PoolUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            PoolUrl::Tcp { host, port } => ("stratum+tcp", host, port),
            PoolUrl::Tls { host, port, .. } => ("stratum+ssl", host, port),
            PoolUrl::Simulated(pool) => {
                let every = humantime::format_duration(pool.clean_every).to_string().replace(' ', "");
                return write!(
                    f,
                    "sim://?difficulty={:?}&clean_every={every}&extranonce2_size={}",
                    pool.difficulty.get(),
                    pool.extranonce2_size
                );
            }
        };
        // Only an IPv6 address has a colon.
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(text: &str) -> String {
        PoolUrl::parse(text, None).unwrap_err().what
    }

    #[test]
    fn addresses_read_as_they_print() {
        for text in [
            "stratum+tcp://pool.example:3333",
            "stratum+ssl://10.0.0.1:443",
            "stratum+tcp://[::1]:3333",
            "sim://?difficulty=0.5&clean_every=1m30s&extranonce2_size=4",
        ] {
            assert_eq!(PoolUrl::parse(text, None).unwrap().to_string(), text);
        }
        assert_eq!(PoolUrl::parse("sim://", None).unwrap(), PoolUrl::Simulated(SimulatedPool::default()));
        assert_eq!(
            PoolUrl::parse("stratum+tls://POOL.example:1/", None).unwrap(),
            PoolUrl::Tls { host: "pool.example".into(), port: 1, pin: None }
        );
    }

    #[test]
    fn each_wrong_address_has_its_own_reason() {
        assert_eq!(what("pool.example:3333"), "has no scheme");
        assert_eq!(what("stratum+tcp://pool.example"), "has no port");
        assert_eq!(what("stratum+tcp://pool.example:0"), "has no port");
        assert_eq!(what("http://pool.example:80"), "has the unknown scheme \"http\"");
        assert_eq!(what("stratum+tcp://pool.example:1/acct"), "has something behind the port");
        assert_eq!(what("stratum+tcp://:3333"), "is not an address: empty host");
        assert_eq!(what("stratum+tcp://pool..example:1"), "has no valid host name");
        assert!(what("stratum2+tcp://pool.example:1").contains("Stratum V2"));
        assert!(what("stratum+tcp://pool.example:99999").starts_with("is not an address"));
    }

    #[test]
    fn a_password_in_the_address_is_refused_unseen() {
        let wrong = PoolUrl::parse("stratum+tcp://acct:hunter2@pool.example:3333", None).unwrap_err();
        assert!(!format!("{wrong:?}").contains("hunter2"));
    }

    #[test]
    fn options_of_the_simulation_are_as_strict_as_keys() {
        assert_eq!(PoolUrl::parse("sim://?dificulty=1", None).unwrap_err().help, "did you mean \"difficulty\"?");
        assert!(what("sim://?clean_every=0s").contains("out of range"));
        assert!(what("sim://?extranonce2_size=99").contains("out of range"));
        assert!(what("sim://host").contains("names a host"));
    }
}
