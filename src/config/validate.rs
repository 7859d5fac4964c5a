//! Reads the document into a [`Config`]: the sections of the process itself here, listeners, pools and routes
//! each in a file of their own. A default stands where its key is read and nowhere else in the program;
//! `config.example.toml` shows them all, and a test holds it to that.
//!
//! Reading goes on after a problem, with a default in the wrong value's place, so that one run finds all.

use std::{net::SocketAddr, num::NonZeroUsize, ops::RangeInclusive, sync::Arc, thread, time::Duration};

use tracing_subscriber::EnvFilter;

use super::{
    Config, Env, Limits, Log, LogFormat, Metrics, Mode, Power, Profit, Proxy, admin,
    error::{Wrong, shown},
    listeners, pools, power, profit,
    raw::Section,
    routes, signal, store, value,
};

/// Characters of a name: it is a metrics label and stands in every log line.
const MAX_NAME_CHARS: usize = 64;

/// Threads: more than any machine has cores, few enough that a slip of the finger does not hurt.
const MAX_WORKERS: usize = 1024;

/// Timeouts end somewhere: below is noise of a network, above nobody waits.
pub(super) const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);

/// The whole document. `None` only if a problem was reported.
pub(super) fn config(root: &mut Section<'_, '_>, env: &dyn Env) -> Option<Config> {
    let proxy = proxy(root.table("proxy"));
    let log = log(root.table("log"));
    let metrics = root.optional_table("metrics").map(metrics);
    let admin = root.optional_table("admin").map(|section| admin::read(section, env));
    let store = store::read(root.table("store"), &proxy, env);
    let limits = limits(root.table("limits"));

    let mut listener_sections = root.tables("listener");
    let mut pool_sections = root.tables("pool");
    require_one(root, "listener", "write a [[listener]] with listen = \"127.0.0.1:3333\"");
    require_one(root, "pool", "write a [[pool]] with url = \"stratum+tcp://host:3333\" and user = \"account\"");
    let listener_names = names(&mut listener_sections, "listener");
    let pool_names = names(&mut pool_sections, "pool");
    let listeners: Vec<_> = listener_sections
        .iter_mut()
        .zip(&listener_names)
        .map(|(section, name)| listeners::read(section, name))
        .collect();
    let pools: Vec<_> =
        pool_sections.iter_mut().zip(&pool_names).map(|(section, name)| pools::read(section, name, env)).collect();
    let metrics_listen = metrics.iter().flatten().map(|metrics| (metrics.listen, "metrics"));
    let admin_listen = admin.iter().flatten().map(|admin| (admin.listen, "the admin API"));
    let others: Vec<_> = metrics_listen.chain(admin_listen).collect();
    if let [(metrics, _), (admin, _)] = others[..]
        && listeners::overlap(metrics, admin)
    {
        root.error("admin", Wrong::new(format!("{admin} is taken by metrics"), "give it another port"));
    }
    listeners::refuse_shared_addresses(&listener_sections, &listeners, &others);

    let mut route_sections = root.tables("route");
    let route_names = names(&mut route_sections, "route");
    let places = routes::Places {
        listeners: &listener_sections,
        listener_names: &listener_names,
        pools: &pool_sections,
        pool_names: &pool_names,
    };
    let routes = routes::read(&mut route_sections, &route_names, &places);

    let opened = profit::open(root);
    let mut signal_sections = root.tables("signal");
    let signal_names = names(&mut signal_sections, "signal");
    let context = signal::Context { currency: opened.currency, pool_names: &pool_names, env };
    let signals: Vec<_> = signal_sections
        .iter_mut()
        .zip(&signal_names)
        .map(|(section, name)| signal::read(section, name, &context))
        .collect();
    warn_of_deaf_signals(root, &signals);
    let units: Vec<_> = signals.iter().map(|signal| signal.as_ref().map(|signal| signal.unit)).collect();
    let known = profit::Signals { currency: opened.currency, names: &signal_names, units: &units, read: &signals };
    let mut machines = power::open(root, opened.currency, env);
    let profit = profit::read(root, opened, &known, &mut machines);
    let ledger = machines.ledger().to_owned();
    let power = machines.finish(profit.as_ref());
    warn_of_no_operator(root, profit.as_ref(), power.as_ref());
    root.refuse_unknown_keys();

    let pools = pools.into_iter().collect::<Option<Vec<_>>>()?;
    routes::warn_of_mixed_simulation(&pool_sections, &routes, &pools);
    Some(Config {
        proxy,
        log,
        metrics: metrics.flatten(),
        admin: admin.flatten(),
        store,
        limits,
        listeners: listeners.into_iter().collect::<Option<Vec<_>>>()?,
        pools,
        routes,
        signals: signals.into_iter().collect::<Option<Vec<_>>>()?,
        profit,
        power,
        ledger,
    })
}

/// Signals that wait to be pushed where nothing listens for them.
fn warn_of_deaf_signals(root: &Section<'_, '_>, signals: &[Option<signal::Signal>]) {
    let is_pushed =
        |signal: &&signal::Signal| signal.sources.iter().any(|source| matches!(source.kind, signal::SourceKind::Push));
    let Some(deaf) = signals.iter().flatten().find(is_pushed).filter(|_| !root.has("admin")) else { return };
    let what = format!("is missing, so nobody can send signal {} by HTTP", shown(&deaf.name));
    let help = "add [admin] with token_file or token_env; leave it out only if a program that embeds hashgate feeds the signal";
    root.warn("admin", Wrong::new(what, help));
}

/// Machines that move, and nobody who could stop them.
fn warn_of_no_operator(root: &Section<'_, '_>, profit: Option<&Profit>, power: Option<&Power>) {
    let moves = power.is_some() && profit.is_some_and(|profit| profit.mode != Mode::DryRun);
    if moves && !root.has("admin") {
        let what = "is missing, so nobody can drain, wake, hold or lock out a group";
        root.warn(
            "admin",
            Wrong::new(what, "add [admin] with token_file or token_env: `hashgate drain` and its like need it"),
        );
    }
}

fn proxy(mut section: Section<'_, '_>) -> Proxy {
    let workers = section.or("workers", 0, value::integer(0..=MAX_WORKERS));
    let state_file = section.or("state_file", "hashgate-state.json".to_owned(), value::string);
    let proxy = Proxy {
        workers: NonZeroUsize::new(workers)
            .unwrap_or_else(|| thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)),
        state_file: (!state_file.is_empty()).then(|| state_file.into()),
        shutdown_grace: section.or("shutdown_grace", secs(5), value::duration(Duration::ZERO..=secs(300))),
        watch: section.or("watch", true, value::boolean),
    };
    section.refuse_unknown_keys();
    proxy
}

fn log(mut section: Section<'_, '_>) -> Log {
    let log = Log {
        format: section.or(
            "format",
            LogFormat::Text,
            value::choice(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
        ),
        filter: section.or("filter", "info".to_owned(), value::parsed("\"info\"", filter)),
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
        value::parsed("\"127.0.0.1:9333\"", socket_address),
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
    let connections = section.or("connections", 100_000, value::integer(1..=1_000_000));
    let limits = Limits {
        connections,
        connections_per_address: section.or("connections_per_address", connections, value::integer(1..=1_000_000)),
        accepts_per_second: section.or("accepts_per_second", 2000, value::integer(1..=1_000_000)),
        line_bytes: section.or("line_bytes", 16 * 1024, value::size(1024..=1024 * 1024)),
        pre_auth_timeout: section.or("pre_auth_timeout", secs(20), value::duration(TIMEOUT)),
        unacked_timeout: section.or("unacked_timeout", secs(60), value::duration(TIMEOUT)),
        send_buffer_bytes: section.or("send_buffer_bytes", 256 * 1024, value::size(16 * 1024..=16 * 1024 * 1024)),
        workers_per_connection: section.or("workers_per_connection", 1024, value::integer(1..=65_536)),
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

/// Names of sections of one kind: their `name`, or `pool-1`, `pool-2` … by their number.
pub(super) fn names(sections: &mut [Section<'_, '_>], kind: &str) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for section in sections {
        let default = format!("{kind}-{}", names.len() + 1);
        let name: Arc<str> = section.or("name", default, value::parsed("a name", name)).into();
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

/// A name fit for labels.
pub(super) fn name(text: &str) -> Result<String, Wrong> {
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

pub(super) fn socket_address(text: &str) -> Result<SocketAddr, Wrong> {
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

pub(super) const fn secs(seconds: u64) -> Duration {
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

    /// The smallest config.
    pub const MINIMAL: &str = "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nurl = \"stratum+tcp://pool.example:3333\"\nuser = \"acct\"\n";

    /// Errors as the operator sees them.
    pub fn lines(errors: &ConfigErrors) -> Vec<String> {
        errors.problems().iter().map(ToString::to_string).collect()
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
    fn an_empty_list_is_no_way_around_having_a_pool() {
        let errors = lines(&Config::parse("pool = []\nlistener = []\nroute = []\n", &NoEnv).unwrap_err());
        assert_eq!(errors.len(), 3);
        assert!(errors.iter().all(|line| line.contains("is an empty list")), "{errors:?}");
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
                "line 19: pool \"eu-1\".password_env: names an environment variable that is not set; write the variable's name, and set it to the secret where hashgate is started",
                "line 20: pool[2].url: is missing; write url = \"stratum+tcp://host:3333\"",
                "line 21: pool[2].user: is a whole number; write text in quotes, \"account\"",
            ]
        );
        assert!(!errors.to_string().contains("hunter2"));
    }

    #[test]
    fn names_are_unique_and_fit_for_labels() {
        let errors = lines(&Config::parse(&format!("{MINIMAL}[[pool]]\nname = \"pool-1\"\nurl = \"sim://\"\nuser = \"a\"\n[[pool]]\nname = \"a b\"\nurl = \"sim://\"\nuser = \"a\"\n"), &NoEnv).unwrap_err());
        assert!(errors[0].contains("another pool has the name \"pool-1\""), "{errors:?}");
        assert!(errors[1].contains("\"a b\" is not a name"), "{errors:?}");
    }
}
