//! Which `client.reconnect` is followed. Sent by someone on the path it is a known hijack: whoever gets us to log in elsewhere
//! gets our hashrate.
//!
//! | the new host | followed |
//! |---|---|
//! | none, or the same | yes |
//! | an address | only the same one, or one on the allow-list |
//! | a name within the pool's domain (cgminer, ckpool) | yes |
//! | on the allow-list `redirect_hosts` | yes |
//! | any, where the pool's certificate is pinned | yes: only the pool itself can answer there |
//! | else | no |
//!
//! The domain is the last two labels of a name, or three where the last two look like a public suffix (`co.uk`). There is no list
//! of public suffixes here, so a pool under a rarer one should be pinned.

use std::net::IpAddr;

/// Second labels under which country registries sell names.
const REGISTRIES: [&str; 8] = ["ac", "co", "com", "edu", "gov", "ne", "net", "org"];

/// Whether a pool at `from` may send us to `to`.
pub(super) fn is_allowed(from: &str, to: &str, allowed_hosts: &[String], is_pinned: bool) -> bool {
    let [from, to] = [from, to].map(|host| host.trim_end_matches('.').to_ascii_lowercase());
    let is_address = |host: &str| host.parse::<IpAddr>().is_ok();
    let is_same_domain =
        || !is_address(&from) && !is_address(&to) && domain(&from).is_some() && domain(&from) == domain(&to);
    from == to || is_pinned || allowed_hosts.iter().any(|host| host.eq_ignore_ascii_case(&to)) || is_same_domain()
}

/// `None` for a name without a dot.
fn domain(host: &str) -> Option<&str> {
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    let last = dots.next()?;
    let second = dots.next();
    let second_label = &host[second.map_or(0, |at| at + 1)..last];
    let is_suffix = host.len() - last - 1 == 2 && REGISTRIES.contains(&second_label);
    let start = if is_suffix { dots.next() } else { second };
    Some(&host[start.map_or(0, |at| at + 1)..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        for (from, to, want) in [
            ("eu.pool.org", "eu.pool.org", true),
            ("eu.pool.org", "us.pool.org", true),
            ("eu.pool.org", "pool.org", true),
            ("pool.org", "a.b.POOL.org.", true),
            ("eu.pool.org", "eu.pool.com", false),
            ("eu.pool.org", "evilpool.org", false),
            ("eu.pool.org", "pool.org.evil.com", false),
            ("eu.pool.co.uk", "us.pool.co.uk", true),
            ("eu.pool.co.uk", "evil.co.uk", false),
            ("eu.pool.org", "10.0.0.1", false),
            ("eu.abc.io", "us.abc.io", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.9.0.1", false),
            ("::1", "::1", true),
            ("pool", "pool", true),
            ("pool", "other", false),
        ] {
            assert_eq!(is_allowed(from, to, &[], false), want, "{from} to {to}");
        }
    }

    #[test]
    fn an_allow_list_or_a_pin_permits_more() {
        let allowed = ["backup.example".to_owned()];
        assert!(is_allowed("eu.pool.org", "Backup.Example", &allowed, false));
        assert!(!is_allowed("eu.pool.org", "x.backup.example", &allowed, false));
        assert!(is_allowed("eu.pool.org", "anywhere.example", &[], true));
    }
}
