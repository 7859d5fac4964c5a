//! `[[pool]]`: keys, ranges and defaults of a server to mine for.

use std::{sync::Arc, time::Duration};

use toml::de::DeValue;

use super::{
    Env, Pool, PoolUrl, Secret, UserTemplate, VersionDialect, WorkerNames,
    error::{Wrong, shown},
    pool_url,
    raw::Section,
    secret, units,
    validate::{TIMEOUT, secs},
    value,
};

/// Pools send a job every 30 to 60 s; a shorter watchdog would kill healthy ones.
const SHORTEST_SENSIBLE_NOTIFY_TIMEOUT: Duration = Duration::from_secs(60);

/// One `[[pool]]`. `None` only if a problem was reported.
pub(super) fn read(section: &mut Section<'_, '_>, name: &Arc<str>, env: &dyn Env) -> Option<Pool> {
    let url = url(section);
    let user = section.required(
        "user",
        "write user = \"account\", or \"account.{worker}\" with workers = \"forward\"",
        value::parsed("\"account\"", UserTemplate::parse),
    );
    let workers = section.or(
        "workers",
        WorkerNames::Aggregate,
        value::choice(&[("aggregate", WorkerNames::Aggregate), ("forward", WorkerNames::Forward)]),
    );
    if let Some(user) = &user {
        check_user(section, user, workers);
    }
    let password = password(section, env);
    let dialects = [("bip310", VersionDialect::Bip310), ("or", VersionDialect::Or), ("xor", VersionDialect::Xor)];
    let dialect = section.or("dialect", VersionDialect::Bip310, value::choice(&dialects));
    let suggest_difficulty = section.optional("suggest_difficulty", value::difficulty);
    let connect_timeout = section.or("connect_timeout", secs(10), value::duration(TIMEOUT));
    let reply_timeout = section.or("reply_timeout", secs(30), value::duration(TIMEOUT));
    let notify_timeout =
        section.or("notify_timeout", secs(120), value::duration(Duration::from_millis(100)..=secs(3600)));
    if notify_timeout < SHORTEST_SENSIBLE_NOTIFY_TIMEOUT {
        section.warn(
            "notify_timeout",
            Wrong::new("is shorter than the time between many pools' jobs", "write \"60s\" or more"),
        );
    }
    let max_miners = section.or("max_miners", 10_000, value::integer(1..=65_536));
    let redirect_hosts = section.or("redirect_hosts", Vec::new(), redirect_hosts);
    let extranonce2_size = section.optional("extranonce2_size", value::integer(2..=16));
    let admit_shares_per_second = section.or("admit_shares_per_second", 2000, value::integer(1..=1_000_000));
    section.refuse_unknown_keys();
    Some(Pool {
        name: name.clone(),
        url: url?,
        user: user?,
        password: password?,
        dialect,
        suggest_difficulty,
        connect_timeout,
        reply_timeout,
        notify_timeout,
        max_miners,
        workers,
        redirect_hosts,
        extranonce2_size,
        admit_shares_per_second,
    })
}

fn url(section: &mut Section<'_, '_>) -> Option<PoolUrl> {
    let pin = section.optional("tls_fingerprint", value::parsed("\"sha256:…\"", units::fingerprint));
    let url = section.required(
        "url",
        "write url = \"stratum+tcp://host:3333\"",
        value::parsed("\"stratum+tcp://host:3333\"", |text| PoolUrl::parse(text, pin)),
    );
    if section.has("tls_fingerprint") && matches!(url, Some(PoolUrl::Tcp { .. } | PoolUrl::Simulated(_))) {
        section.error(
            "tls_fingerprint",
            Wrong::new(
                "is there, but the pool's url has no TLS",
                "write the pool's stratum+ssl:// address, or drop the fingerprint",
            ),
        );
    }
    url
}

fn check_user(section: &Section<'_, '_>, user: &UserTemplate, workers: WorkerNames) {
    match workers {
        WorkerNames::Forward if !user.names_worker() => {
            let what = "names no worker, but workers = \"forward\" gives each its own login";
            section.error("user", Wrong::new(what, format!("write \"{user}.{{worker}}\", or workers = \"aggregate\"")));
        }
        WorkerNames::Aggregate if user.render("").is_empty() => {
            section.error(
                "user",
                Wrong::new(
                    "is empty without a miner, but one login serves all miners",
                    "write \"account\", or add workers = \"forward\"",
                ),
            );
        }
        WorkerNames::Aggregate if user.names_worker() => {
            let what = "one login serves all miners, and no worker's name is put into it";
            section.warn("user", Wrong::new(what, "add workers = \"forward\" if the pool should see each worker"));
        }
        WorkerNames::Forward | WorkerNames::Aggregate => {}
    }
    if user.to_string().starts_with("YOUR_") {
        section.warn("user", Wrong::new("is still the example's placeholder", "write your account, or nobody is paid"));
    }
}

fn password(section: &mut Section<'_, '_>, env: &dyn Env) -> Option<Secret> {
    const KEYS: [&str; 3] = ["password", "password_env", "password_file"];
    let is_given = KEYS.iter().any(|key| section.has(key));
    let password = secret::read(section, KEYS, env);
    // "x" is what miners say to pools that ask for no password.
    if is_given { password } else { Secret::new("x".to_owned()).ok() }
}

fn redirect_hosts(value: &DeValue<'_>) -> Result<Vec<String>, Wrong> {
    let hosts = value::strings(value)?;
    match hosts.iter().find(|host| !pool_url::is_host(host)) {
        Some(stranger) => Err(Wrong::new(
            format!("{} is not a host name", shown(stranger)),
            "write names only, without scheme and port: [\"eu.pool.example\"]",
        )),
        None => Ok(hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use std::{io, path::Path};

    use super::*;
    use crate::config::{
        Config,
        validate::tests::{MINIMAL, NoEnv, lines},
    };

    /// Errors of the smallest config with these lines added to its pool.
    fn pool_errors(added: &str) -> Vec<String> {
        lines(&Config::parse(&format!("{MINIMAL}{added}"), &NoEnv).unwrap_err())
    }

    #[test]
    fn secrets_come_from_the_environment_or_a_file() {
        struct Some1;
        impl Env for Some1 {
            fn var(&self, name: &str) -> Option<String> {
                (name == "POOL_PASSWORD").then(|| "from-env".to_owned())
            }
            fn read_file(&self, path: &Path) -> io::Result<String> {
                assert_eq!(path, Path::new("pool.password"));
                Ok("from-file\n".to_owned())
            }
        }
        for (line, secret) in [
            ("password_env = \"POOL_PASSWORD\"", "from-env"),
            ("password_file = \"pool.password\"", "from-file"),
            ("password = \"\"", ""),
        ] {
            let (config, _) = Config::parse(&format!("{MINIMAL}{line}\n"), &Some1).unwrap();
            assert_eq!(config.pools[0].password.expose(), secret);
            assert!(!format!("{config:?}").contains("from-"));
        }
        assert!(
            pool_errors("password_file = \"pool.password\"\n")[0]
                .contains("pool[1].password_file: names a file that cannot be read: entity not found")
        );
    }

    #[test]
    fn a_fingerprint_needs_tls_and_32_bytes() {
        assert!(pool_errors("tls_fingerprint = \"sha256:abcd\"\n")[0].contains("4 hex digits instead of 64"));
        let pin = "ab".repeat(32);
        assert!(pool_errors(&format!("tls_fingerprint = \"sha256:{pin}\"\n"))[0].contains("the pool's url has no TLS"));
        let text = format!("{MINIMAL}tls_fingerprint = \"sha256:{pin}\"\n").replace("stratum+tcp", "stratum+ssl");
        let (config, _) = Config::parse(&text, &NoEnv).unwrap();
        assert!(matches!(config.pools[0].url, PoolUrl::Tls { pin: Some(pin), .. } if pin == [0xab; 32]));
    }

    #[test]
    fn a_template_fits_the_way_workers_are_named() {
        let text =
            |user: &str, workers: &str| MINIMAL.replace("\"acct\"", &format!("\"{user}\"\nworkers = \"{workers}\""));
        let (_, warnings) = Config::parse(&text("acct.{worker}", "aggregate"), &NoEnv).unwrap();
        assert!(warnings[0].to_string().contains("no worker's name is put into it"));
        assert!(
            lines(&Config::parse(&text("{user}", "aggregate"), &NoEnv).unwrap_err())[0]
                .contains("is empty without a miner")
        );
        let (_, warnings) = Config::parse(&text("{user}", "forward"), &NoEnv).unwrap();
        assert_eq!(warnings, []);
    }

    #[test]
    fn redirects_are_allowed_to_hosts_not_to_addresses_with_ports() {
        assert!(pool_errors("redirect_hosts = [\"eu.pool.example:3333\"]\n")[0].contains("is not a host name"));
    }
}
