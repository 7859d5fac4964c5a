//! Reads each section of the document into its validated type: keys, ranges, defaults, and the relations
//! within one section. What routes, pools and listeners are to each other is in `routes.rs`.
//! Every default is here, once; `config.example.toml` shows them all.

use std::{net::SocketAddr, num::NonZeroUsize, ops::RangeInclusive, sync::Arc, thread, time::Duration};

use tracing_subscriber::EnvFilter;

use super::{
    Answer, Config, Env, Limits, Listener, Log, LogFormat, Metrics, Pool, PoolUrl, Proxy, Secret, UserTemplate,
    Vardiff, VersionDialect, WorkerNames,
    error::{Wrong, shown},
    pool_url,
    raw::{self, Section},
    routes, secret, units,
};
use crate::work::Difficulty;

/// Characters of a name: it is a metrics label and stands in every log line.
const MAX_NAME_CHARS: usize = 64;

/// Threads: more than any machine has cores, few enough that a slip of the finger does not hurt.
const MAX_WORKERS: usize = 1024;

/// Timeouts end somewhere: below is noise of a network, above nobody waits.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);

/// The version bits of BIP 320, general purpose for miners.
const BIP320_MASK: u32 = 0x1fff_e000;

/// The version bits of the BIP 323 draft, the most that any pool was seen to grant.
const BIP323_MASK: u32 = 0x1fff_ffe0;

/// Pools send a job every 30 to 60 s; a shorter watchdog would kill healthy ones.
const SHORTEST_SENSIBLE_NOTIFY_TIMEOUT: Duration = Duration::from_secs(60);

/// The whole document. `None` only if a problem was reported.
pub(super) fn config(root: &mut Section<'_, '_>, env: &dyn Env) -> Option<Config> {
    let proxy = proxy(root.table("proxy"));
    let log = log(root.table("log"));
    let metrics = root.optional_table("metrics").map(metrics);
    let limits = limits(root.table("limits"));

    let mut listener_sections = root.tables("listener");
    let mut pool_sections = root.tables("pool");
    require_one(root, "listener", "write a [[listener]] with listen = \"127.0.0.1:3333\"");
    require_one(root, "pool", "write a [[pool]] with url = \"stratum+tcp://host:3333\" and user = \"account\"");
    let listener_names = names(&mut listener_sections, "listener");
    let pool_names = names(&mut pool_sections, "pool");
    let listeners: Vec<_> =
        listener_sections.iter_mut().zip(&listener_names).map(|(section, name)| listener(section, name)).collect();
    let pools: Vec<_> =
        pool_sections.iter_mut().zip(&pool_names).map(|(section, name)| pool(section, name, env)).collect();
    refuse_shared_addresses(&listener_sections, &listeners, metrics.as_ref().and_then(Option::as_ref));

    let mut route_sections = root.tables("route");
    let route_names = names(&mut route_sections, "route");
    let places = routes::Places {
        listeners: &listener_sections,
        listener_names: &listener_names,
        pools: &pool_sections,
        pool_names: &pool_names,
    };
    let routes = routes::read(&mut route_sections, &route_names, &places);
    root.refuse_unknown_keys();

    let pools = pools.into_iter().collect::<Option<Vec<_>>>()?;
    routes::warn_of_mixed_simulation(&pool_sections, &routes, &pools);
    Some(Config {
        proxy,
        log,
        metrics: metrics.flatten(),
        limits,
        listeners: listeners.into_iter().collect::<Option<Vec<_>>>()?,
        pools,
        routes,
    })
}

fn proxy(mut section: Section<'_, '_>) -> Proxy {
    let workers = section.or("workers", 0, raw::integer(0..=MAX_WORKERS));
    let state_file = section.or("state_file", "hashgate-state.json".to_owned(), raw::string);
    let proxy = Proxy {
        workers: NonZeroUsize::new(workers)
            .unwrap_or_else(|| thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)),
        state_file: (!state_file.is_empty()).then(|| state_file.into()),
        shutdown_grace: section.or("shutdown_grace", secs(5), raw::duration(Duration::ZERO..=secs(300))),
    };
    section.refuse_unknown_keys();
    proxy
}

fn log(mut section: Section<'_, '_>) -> Log {
    let log = Log {
        format: section.or(
            "format",
            LogFormat::Text,
            raw::choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
        ),
        filter: section.or("filter", "info".to_owned(), raw::parsed("\"info\"", filter)),
    };
    section.refuse_unknown_keys();
    log
}

fn filter(text: &str) -> Result<String, Wrong> {
    const HELP: &str = "write a level (error, warn, info, debug, trace) or \"info,hashgate::upstream=debug\"";
    if text.trim().is_empty() {
        return Err(Wrong::new("is empty", HELP));
    }
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(Wrong::new(format!("{} is not a log filter", shown(text)), HELP)),
    }
}

fn metrics(mut section: Section<'_, '_>) -> Option<Metrics> {
    let listen = section.required(
        "listen",
        "write listen = \"127.0.0.1:9333\"",
        raw::parsed("\"127.0.0.1:9333\"", socket_address),
    );
    if listen.is_some_and(|listen| !listen.ip().is_loopback()) {
        section.warn(
            "listen",
            Wrong::new(
                "metrics are open to the network, without a password",
                "listen on 127.0.0.1 unless a firewall stands before it",
            ),
        );
    }
    section.refuse_unknown_keys();
    listen.map(|listen| Metrics { listen })
}

fn limits(mut section: Section<'_, '_>) -> Limits {
    let connections = section.or("connections", 100_000, raw::integer(1..=1_000_000));
    let limits = Limits {
        connections,
        connections_per_address: section.or("connections_per_address", connections, raw::integer(1..=1_000_000)),
        accepts_per_second: section.or("accepts_per_second", 2000, raw::integer(1..=1_000_000)),
        line_bytes: section.or("line_bytes", 16 * 1024, raw::size(1024..=1024 * 1024)),
        pre_auth_timeout: section.or("pre_auth_timeout", secs(20), raw::duration(TIMEOUT)),
        unacked_timeout: section.or("unacked_timeout", secs(60), raw::duration(TIMEOUT)),
        send_buffer_bytes: section.or("send_buffer_bytes", 256 * 1024, raw::size(16 * 1024..=16 * 1024 * 1024)),
        workers_per_connection: section.or("workers_per_connection", 1024, raw::integer(1..=65_536)),
    };
    if limits.connections_per_address > connections {
        section.warn(
            "connections_per_address",
            Wrong::new("is more than connections", "it has no effect: lower it, or leave it out"),
        );
    }
    section.refuse_unknown_keys();
    limits
}

fn listener(section: &mut Section<'_, '_>, name: &Arc<str>) -> Option<Listener> {
    let listen = section.required(
        "listen",
        "write listen = \"127.0.0.1:3333\"",
        raw::parsed("\"127.0.0.1:3333\"", socket_address),
    );
    let extranonce2_size = section.or("extranonce2_size", 4, raw::integer(2..=8));
    if !matches!(extranonce2_size, 2 | 4 | 8) {
        section.warn(
            "extranonce2_size",
            Wrong::new("NerdMiner works only with 2, 4 or 8", "write 4 unless no NerdMiner comes here"),
        );
    }
    let version_mask = version_mask(section);
    let keep_alive = section.or("keep_alive", secs(45), raw::duration(secs(30)..=secs(55)));
    let answer = answer(section);
    let vardiff = vardiff(section);
    let layout_wait = section.or("layout_wait", secs(10), raw::duration(Duration::ZERO..=secs(30)));
    section.refuse_unknown_keys();
    Some(Listener {
        name: name.clone(),
        listen: listen?,
        version_mask,
        extranonce2_size,
        keep_alive,
        answer,
        vardiff,
        layout_wait,
    })
}

fn version_mask(section: &mut Section<'_, '_>) -> u32 {
    let mask = section.or("version_mask", BIP320_MASK, raw::parsed("\"1fffe000\"", units::version_mask));
    if mask & !BIP323_MASK != 0 {
        let what = format!(
            "has bits ({:08x}) that are not the miners' to roll: neither BIP 320 nor the BIP 323 draft has them",
            mask & !BIP323_MASK
        );
        section.error("version_mask", Wrong::new(what, "write \"1fffe000\""));
    } else if mask & !BIP320_MASK != 0 {
        section.warn(
            "version_mask",
            Wrong::new(
                "has bits beyond BIP 320 (1fffe000)",
                "keep them only if every pool here follows the BIP 323 draft",
            ),
        );
    } else if mask == 0 {
        section.warn(
            "version_mask",
            Wrong::new(
                "is 0, and cgminer calls a pool dead that grants no bits",
                "write \"1fffe000\" unless no miner here rolls versions",
            ),
        );
    }
    mask
}

fn answer(section: &mut Section<'_, '_>) -> Answer {
    let has_timeout = section.has("answer_timeout");
    let timeout = section.or("answer_timeout", secs(10), raw::duration(TIMEOUT));
    let answer = section.or(
        "answer",
        Answer::Proxy,
        raw::choice(&[("proxy", Answer::Proxy), ("pool", Answer::Pool { timeout })]),
    );
    if has_timeout && answer == Answer::Proxy {
        section.warn(
            "answer_timeout",
            Wrong::new("has no effect, as the proxy answers", "write answer = \"pool\", or leave it out"),
        );
    }
    answer
}

fn vardiff(section: &mut Section<'_, '_>) -> Vardiff {
    let shares_per_minute = section.or("shares_per_minute", 18.0, raw::number(0.1..=600.0));
    let min = section.or("min_difficulty", difficulty(1.0), raw::difficulty_or_hashrate(shares_per_minute));
    let max = section.optional("max_difficulty", raw::difficulty_or_hashrate(shares_per_minute));
    let start = section.optional("difficulty", raw::difficulty_or_hashrate(shares_per_minute));
    if max.is_some_and(|max| max < min) {
        section.error(
            "max_difficulty",
            Wrong::new(format!("is below min_difficulty, which is {min}"), "raise it, or lower min_difficulty"),
        );
    } else if start.is_some_and(|start| start < min || max.is_some_and(|max| start > max)) {
        section.error(
            "difficulty",
            Wrong::new("does not lie between min_difficulty and max_difficulty", "move it, or them"),
        );
    }
    // The default start gives way to bounds that were chosen.
    let mut start = start.unwrap_or(difficulty(65_536.0));
    if start < min {
        start = min;
    }
    if let Some(max) = max.filter(|max| start > *max) {
        start = max;
    }
    Vardiff { start, min, max, shares_per_minute }
}

fn pool(section: &mut Section<'_, '_>, name: &Arc<str>, env: &dyn Env) -> Option<Pool> {
    let url = url(section);
    let user = section.required(
        "user",
        "write user = \"account\", or \"account.{worker}\" with workers = \"forward\"",
        raw::parsed("\"account\"", UserTemplate::parse),
    );
    let workers = section.or(
        "workers",
        WorkerNames::Aggregate,
        raw::choice(&[("aggregate", WorkerNames::Aggregate), ("forward", WorkerNames::Forward)]),
    );
    if let Some(user) = &user {
        check_user(section, user, workers);
    }
    let password = password(section, env);
    let dialects = [("bip310", VersionDialect::Bip310), ("or", VersionDialect::Or), ("xor", VersionDialect::Xor)];
    let dialect = section.or("dialect", VersionDialect::Bip310, raw::choice(&dialects));
    let suggest_difficulty = section.optional("suggest_difficulty", raw::difficulty);
    let connect_timeout = section.or("connect_timeout", secs(10), raw::duration(TIMEOUT));
    let reply_timeout = section.or("reply_timeout", secs(30), raw::duration(TIMEOUT));
    let notify_timeout =
        section.or("notify_timeout", secs(120), raw::duration(Duration::from_millis(100)..=secs(3600)));
    if notify_timeout < SHORTEST_SENSIBLE_NOTIFY_TIMEOUT {
        section.warn(
            "notify_timeout",
            Wrong::new("is shorter than the time between many pools' jobs", "write \"60s\" or more"),
        );
    }
    let max_miners = section.or("max_miners", 10_000, raw::integer(1..=65_536));
    let redirect_hosts = section.or("redirect_hosts", Vec::new(), redirect_hosts);
    let extranonce2_size = section.optional("extranonce2_size", raw::integer(2..=16));
    let admit_shares_per_second = section.or("admit_shares_per_second", 2000, raw::integer(1..=1_000_000));
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
    let pin = section.optional("tls_fingerprint", raw::parsed("\"sha256:…\"", units::fingerprint));
    let url = section.required(
        "url",
        "write url = \"stratum+tcp://host:3333\"",
        raw::parsed("\"stratum+tcp://host:3333\"", |text| PoolUrl::parse(text, pin)),
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
    let given: Vec<&str> =
        ["password", "password_env", "password_file"].into_iter().filter(|key| section.has(key)).collect();
    if let [first, second, ..] = given[..] {
        section.error(
            second,
            Wrong::new(format!("{first} is there too"), "keep one of password, password_env and password_file"),
        );
    }
    let plain = section.optional("password", raw::parsed("\"x\"", |text| Secret::new(text.to_owned())));
    let variable =
        section.optional("password_env", raw::parsed("the variable's name", |name| secret::from_variable(name, env)));
    let file = section.optional("password_file", raw::parsed("the file's path", |path| secret::from_file(path, env)));
    // "x" is what miners say to pools that ask for no password.
    if given.is_empty() { Secret::new("x".to_owned()).ok() } else { plain.or(variable).or(file) }
}

fn redirect_hosts(value: &toml::de::DeValue<'_>) -> Result<Vec<String>, Wrong> {
    let hosts = raw::strings(value)?;
    match hosts.iter().find(|host| !pool_url::is_host(host)) {
        Some(stranger) => Err(Wrong::new(
            format!("{} is not a host name", shown(stranger)),
            "write names only, without scheme and port: [\"eu.pool.example\"]",
        )),
        None => Ok(hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect()),
    }
}

/// Names of sections of one kind: their `name`, or `pool-1`, `pool-2` … by their number.
fn names(sections: &mut [Section<'_, '_>], kind: &str) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for section in sections {
        let default = format!("{kind}-{}", names.len() + 1);
        let name: Arc<str> = section.or("name", default, raw::parsed("a name", name)).into();
        if names.contains(&name) {
            section.error(
                "name",
                Wrong::new(format!("another {kind} has the name {}", shown(&name)), "give each its own"),
            );
        }
        names.push(name);
    }
    names
}

fn name(text: &str) -> Result<String, Wrong> {
    let valid = (1..=MAX_NAME_CHARS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if valid {
        Ok(text.to_owned())
    } else {
        Err(Wrong::new(
            format!("{} is not a name", shown(text)),
            format!("write 1 to {MAX_NAME_CHARS} letters, digits, dots, dashes or underscores"),
        ))
    }
}

fn socket_address(text: &str) -> Result<SocketAddr, Wrong> {
    text.parse().map_err(|_| {
        Wrong::new(
            format!("{} is not an address with a port", shown(text)),
            "write numbers: \"127.0.0.1:3333\", \"0.0.0.0:3333\" for every IPv4 address, \"[::]:3333\" for all",
        )
    })
}

fn require_one(root: &Section<'_, '_>, kind: &'static str, help: &str) {
    if !root.has(kind) {
        root.error(kind, Wrong::new("there is none", help));
    }
}

/// Two sockets cannot share an address: with `SO_REUSEPORT` the system would even allow it, and deal the
/// connections out between them.
fn refuse_shared_addresses(sections: &[Section<'_, '_>], listeners: &[Option<Listener>], metrics: Option<&Metrics>) {
    let mut taken: Vec<(SocketAddr, String)> =
        metrics.map(|metrics| (metrics.listen, "metrics".to_owned())).into_iter().collect();
    for (section, listener) in sections.iter().zip(listeners) {
        let Some(listener) = listener else { continue };
        if let Some((_, owner)) = taken.iter().find(|(address, _)| overlap(*address, listener.listen)) {
            section.error(
                "listen",
                Wrong::new(format!("{} is taken by {owner}", listener.listen), "give it another port"),
            );
        }
        taken.push((listener.listen, format!("listener \"{}\"", listener.name)));
    }
}

/// Whether a connection could belong to both. Port 0 asks the system for a free one, so it meets nobody;
/// `[::]` takes IPv4 too.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let takes = |wide: SocketAddr, other: SocketAddr| wide.ip().is_unspecified() && (wide.is_ipv6() || other.is_ipv4());
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || takes(a, b) || takes(b, a))
}

fn difficulty(constant: f64) -> Difficulty {
    Difficulty::new(constant).expect("defaults are above zero")
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[cfg(test)]
pub(super) mod tests {
    use std::{io, path::Path};

    use super::*;
    use crate::config::ConfigErrors;

    /// A world without variables and files.
    pub struct NoEnv;

    impl Env for NoEnv {
        fn var(&self, _: &str) -> Option<String> {
            None
        }

        fn read_file(&self, _: &Path) -> io::Result<String> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    const MINIMAL: &str = "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nurl = \"stratum+tcp://pool.example:3333\"\nuser = \"acct\"\n";

    fn lines(errors: &ConfigErrors) -> Vec<String> {
        errors.problems().iter().map(ToString::to_string).collect()
    }

    /// Errors of the smallest config with these lines added to its pool.
    fn pool_errors(added: &str) -> Vec<String> {
        lines(&Config::parse(&format!("{MINIMAL}{added}"), &NoEnv).unwrap_err())
    }

    /// The smallest config with these lines added to its listener.
    fn with_listener(added: &str) -> Result<(Config, Vec<String>), Vec<String>> {
        let text = MINIMAL.replace("[[pool]]", &format!("{added}\n[[pool]]"));
        let warnings = |warnings: Vec<crate::config::Warning>| warnings.iter().map(ToString::to_string).collect();
        Config::parse(&text, &NoEnv).map(|(config, list)| (config, warnings(list))).map_err(|errors| lines(&errors))
    }

    #[test]
    fn two_tables_make_a_config() {
        let (config, warnings) = Config::parse(MINIMAL, &NoEnv).unwrap();
        assert_eq!(warnings, []);
        assert_eq!(&*config.listeners[0].name, "listener-1");
        assert_eq!(config.pools[0].password.expose(), "x");
        assert_eq!(config.limits.connections_per_address, config.limits.connections);
        assert_eq!(config.listeners[0].vardiff.start.get(), 65_536.0);
        assert!(config.metrics.is_none());
    }

    #[test]
    fn an_empty_file_is_told_what_to_write() {
        let errors = Config::parse("", &NoEnv).unwrap_err();
        assert_eq!(
            lines(&errors),
            [
                "listener: there is none; write a [[listener]] with listen = \"127.0.0.1:3333\"",
                "pool: there is none; write a [[pool]] with url = \"stratum+tcp://host:3333\" and user = \"account\"",
            ]
        );
    }

    #[test]
    fn every_problem_is_told_at_once_in_the_order_of_the_file() {
        let text = r#"
[proxy]
worker = 4
[log]
format = "xml"
filter = "hashgate=loud"
[limits]
line_bytes = "2 MiB"
[[listener]]
listen = "localhost:3333"
keep_alive = "2m"
version_mask = "ffffffff"
[[pool]]
name = "eu-1"
url = "stratum+tcp://eu.example"
workers = "forward"
user = "acct"
password = "hunter2"
password_env = "POOL_PASSWORD"
[[pool]]
user = 7
"#;
        let errors = Config::parse(text, &NoEnv).unwrap_err();
        assert_eq!(
            lines(&errors),
            [
                "line 3: proxy.worker: unknown key; did you mean \"workers\"?",
                "line 5: log.format: \"xml\" is not one of the choices; write \"text\" or \"json\"",
                "line 6: log.filter: \"hashgate=loud\" is not a log filter; write a level (error, warn, info, debug, trace) or \"info,hashgate::upstream=debug\"",
                "line 8: limits.line_bytes: \"2 MiB\" is out of range; write 1024 bytes to 1048576 bytes",
                "line 10: listener[1].listen: \"localhost:3333\" is not an address with a port; write numbers: \"127.0.0.1:3333\", \"0.0.0.0:3333\" for every IPv4 address, \"[::]:3333\" for all",
                "line 11: listener[1].keep_alive: \"2m\" is out of range; write \"30s\" to \"55s\"",
                "line 12: listener[1].version_mask: has bits (e000001f) that are not the miners' to roll: neither BIP 320 nor the BIP 323 draft has them; write \"1fffe000\"",
                "line 15: pool \"eu-1\".url: has no port; add the pool's port, as in stratum+tcp://host:3333",
                "line 17: pool \"eu-1\".user: names no worker, but workers = \"forward\" gives each its own login; write \"acct.{worker}\", or workers = \"aggregate\"",
                "line 19: pool \"eu-1\".password_env: password is there too; keep one of password, password_env and password_file",
                "line 19: pool \"eu-1\".password_env: the environment variable \"POOL_PASSWORD\" is not set; set it where hashgate is started",
                "line 20: pool[2].url: is missing; write url = \"stratum+tcp://host:3333\"",
                "line 21: pool[2].user: is a whole number; write text in quotes, \"account\"",
            ]
        );
        assert!(!errors.to_string().contains("hunter2"));
    }

    #[test]
    fn listeners_do_not_share_an_address() {
        let more = |listen: &str| {
            format!(
                "[[listener]]\nlisten = \"127.0.0.1:3333\"\n[[listener]]\nlisten = \"{listen}\"\n[[pool]]\nurl = \"sim://\"\nuser = \"a\"\n"
            )
        };
        for taken in ["127.0.0.1:3333", "0.0.0.0:3333", "[::]:3333"] {
            let errors = lines(&Config::parse(&more(taken), &NoEnv).unwrap_err());
            assert_eq!(errors.len(), 1);
            assert!(
                errors[0].contains(&format!("listener[2].listen: {taken} is taken by listener \"listener-1\"")),
                "{errors:?}"
            );
        }
        for free in ["127.0.0.2:3333", "[::1]:3333", "127.0.0.1:3334"] {
            Config::parse(&more(free), &NoEnv).unwrap();
        }
        let with_metrics = format!("[metrics]\nlisten = \"127.0.0.1:3333\"\n{}", more("127.0.0.1:3334"));
        assert!(lines(&Config::parse(&with_metrics, &NoEnv).unwrap_err())[0].contains("is taken by metrics"));
    }

    #[test]
    fn names_are_unique_and_fit_for_labels() {
        let errors = lines(&Config::parse(&format!("{MINIMAL}[[pool]]\nname = \"pool-1\"\nurl = \"sim://\"\nuser = \"a\"\n[[pool]]\nname = \"a b\"\nurl = \"sim://\"\nuser = \"a\"\n"), &NoEnv).unwrap_err());
        assert!(errors[0].contains("another pool has the name \"pool-1\""), "{errors:?}");
        assert!(errors[1].contains("\"a b\" is not a name"), "{errors:?}");
    }

    #[test]
    fn difficulties_are_ordered_and_the_default_start_gives_way() {
        let (config, _) = with_listener("max_difficulty = 1024").unwrap();
        assert_eq!(config.listeners[0].vardiff.start.get(), 1024.0);
        let (config, _) = with_listener("difficulty = \"200 TH/s\"").unwrap();
        assert_eq!(config.listeners[0].vardiff.start.get().round(), 155_220.0);
        assert!(
            with_listener("difficulty = 5\nmin_difficulty = 10").unwrap_err()[0]
                .contains("listener[1].difficulty: does not lie between")
        );
        assert!(
            with_listener("max_difficulty = 5\nmin_difficulty = 10").unwrap_err()[0]
                .contains("listener[1].max_difficulty: is below min_difficulty, which is 10")
        );
        assert!(with_listener("shares_per_minute = nan").unwrap_err()[0].contains("nan is out of range"));
    }

    #[test]
    fn what_works_but_surprises_is_a_warning() {
        for (added, what) in [
            ("version_mask = \"1fffffe0\"", "beyond BIP 320"),
            ("version_mask = \"0\"", "cgminer calls a pool dead"),
            ("extranonce2_size = 6", "NerdMiner"),
            ("answer_timeout = \"5s\"", "has no effect"),
        ] {
            let (_, warnings) = with_listener(added).unwrap();
            assert_eq!(warnings.len(), 1, "{added}");
            assert!(warnings[0].contains(what), "{warnings:?}");
        }
    }

    #[test]
    fn the_pool_may_answer_for_shares() {
        let (config, warnings) = with_listener("answer = \"pool\"\nanswer_timeout = \"5s\"").unwrap();
        assert_eq!(config.listeners[0].answer, Answer::Pool { timeout: secs(5) });
        assert_eq!(warnings, [""; 0]);
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
                .contains("pool[1].password_file: cannot read \"pool.password\"")
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
