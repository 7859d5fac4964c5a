//! The plan: a config in plain words, as `hashgate check` prints it. What a default filled in, which route
//! comes first and what a miner is to enter are said here, so that nobody has to read the program for it.
//! Works from the validated [`Config`] alone, so what it says is what runs; secrets stay masked.

use std::{
    fmt::{self, Display, Formatter},
    net::SocketAddr,
};

use super::{
    Answer, Config, Limits, Listener, LogFormat, Pool, PoolUrl, Route, StorePlace, VersionDialect, WorkerNames, power,
    profit, signal, units::time,
};
use crate::profit::Currency;

/// The config in plain words, some lines for each part.
pub fn describe(config: &Config) -> String {
    Plan(config).to_string()
}

struct Plan<'c>(&'c Config);

impl Display for Plan<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let config = self.0;
        process(config, f)?;
        limits(&config.limits, f)?;
        for (index, one) in config.listeners.iter().enumerate() {
            listener(config, index, one, f)?;
        }
        for one in &config.pools {
            pool(one, f)?;
        }
        let currency = config.profit.as_ref().map_or(Currency::USD, |profit| profit.currency);
        for one in &config.signals {
            signal::plan::signal(one, currency, f)?;
        }
        if let Some(profit) = &config.profit {
            profit::plan::profit(profit, config.power.as_ref(), f)?;
        }
        if let Some(power) = &config.power {
            power::plan::power(power, config.profit.as_ref(), f)?;
        }
        Ok(())
    }
}

/// One line of a part: what it is about, then what holds.
pub(super) fn line(f: &mut Formatter<'_>, about: &str, says: impl Display) -> fmt::Result {
    writeln!(f, "  {about:<16} {says}")
}

fn process(config: &Config, f: &mut Formatter<'_>) -> fmt::Result {
    let proxy = &config.proxy;
    writeln!(f, "process")?;
    line(f, "threads", proxy.workers)?;
    match &proxy.state_file {
        Some(path) => line(f, "remembers", format_args!("what pools granted, in {}", path.display()))?,
        None => line(f, "remembers", "nothing over a restart")?,
    }
    line(f, "shutdown", format_args!("waits up to {} for pools' replies", time(proxy.shutdown_grace)))?;
    let reload = if proxy.watch { "when the file changes, and by SIGHUP" } else { "by SIGHUP" };
    line(f, "reads it again", reload)?;
    let format = match config.log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "JSON",
    };
    line(f, "log", format_args!("{format}, {}", config.log.filter))?;
    match &config.metrics {
        Some(metrics) => line(f, "metrics", format_args!("http://{}/metrics", metrics.listen))?,
        None => line(f, "metrics", "none")?,
    }
    match &config.admin {
        Some(admin) => {
            let read = admin.read_token.as_ref().map_or("", |_| ", another to look");
            let signal = admin.signal_token.as_ref().map_or("", |_| ", another to send signals");
            let (at, token) = (admin.listen, &admin.token);
            line(f, "admin API", format_args!("http://{at}/api/v1, token {token}{read}{signal}"))?;
        }
        None => line(f, "admin API", "none")?,
    }
    store(config, f)
}

fn store(config: &Config, f: &mut Formatter<'_>) -> fmt::Result {
    let Some(store) = &config.store else {
        return line(f, "store", "none: no history of workers, pools and decisions");
    };
    let (minutes, hours, days) = (time(store.keep_minutes), time(store.keep_hours), time(store.keep_days));
    match &store.place {
        StorePlace::File(path) => {
            let gib = store.max_bytes as f64 / f64::from(1 << 30);
            line(f, "store", format_args!("{}, up to {gib:.1} GiB", path.display()))?;
        }
        StorePlace::Postgres(url) => line(f, "store", format_args!("PostgreSQL, {url}"))?,
    }
    let records = time(store.keep_records);
    line(f, "", format_args!("minutes for {minutes}, hours for {hours}, days for {days}, events for {records}"))
}

fn limits(limits: &Limits, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "\nlimits")?;
    let Limits { connections, connections_per_address, accepts_per_second, workers_per_connection, .. } = limits;
    line(
        f,
        "connections",
        format_args!(
            "{connections}, from one address {connections_per_address}, {accepts_per_second} new ones a second"
        ),
    )?;
    line(f, "worker names", format_args!("{workers_per_connection} on a connection"))?;
    line(
        f,
        "bytes",
        format_args!(
            "{} in a line, {} waiting for a slow miner",
            bytes(limits.line_bytes),
            bytes(limits.send_buffer_bytes)
        ),
    )?;
    line(
        f,
        "patience",
        format_args!(
            "{} until authorized, {} for a dead peer",
            time(limits.pre_auth_timeout),
            time(limits.unacked_timeout)
        ),
    )
}

fn listener(config: &Config, index: usize, listener: &Listener, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "\nlistener \"{}\" on {}", listener.name, listener.listen)?;
    line(
        f,
        "a miner enters",
        format_args!("url {}, user <account>.<worker>, password x (or d=<difficulty>)", entered(listener.listen)),
    )?;
    let vardiff = &listener.vardiff;
    let upper = vardiff.max.map_or("the pool's".to_owned(), |max| max.to_string());
    let rate = vardiff.shares_per_minute;
    line(
        f,
        "difficulty",
        format_args!(
            "starts at {}, stays within {} and {upper}, aims at {rate} shares a minute",
            vardiff.start, vardiff.min
        ),
    )?;
    let mask = listener.version_mask;
    line(
        f,
        "version rolling",
        format_args!("{mask:08x} ({} bits), less what the pools do not grant", mask.count_ones()),
    )?;
    line(
        f,
        "extranonce2",
        format_args!(
            "{} bytes; a subscribe waits up to {} for the first pool",
            listener.extranonce2_size,
            time(listener.layout_wait)
        ),
    )?;
    line(f, "keep-alive", format_args!("new work after {} without any", time(listener.keep_alive)))?;
    match listener.answer {
        Answer::Proxy => line(f, "share answers", "the proxy's verdict, at once")?,
        Answer::Pool { timeout } => {
            line(f, "share answers", format_args!("the pool's verdict, or the proxy's after {}", time(timeout)))?
        }
    }
    let routes = config.routes.iter().filter(|route| route.serves(index));
    for (position, one) in routes.enumerate() {
        let about = if position == 0 { "miners go" } else { "else" };
        line(f, about, route(config, one))?;
    }
    Ok(())
}

fn route(config: &Config, route: &Route) -> String {
    let mut who = Vec::new();
    if let Some(user) = &route.user {
        who.push(format!("user {user}"));
    }
    if !route.subnets.is_empty() {
        let subnets: Vec<String> = route.subnets.iter().map(ToString::to_string).collect();
        who.push(format!("from {}", subnets.join(" or ")));
    }
    let who = if who.is_empty() { "everyone".to_owned() } else { who.join(", ") };
    let pools: Vec<String> = route.pools.iter().map(|index| format!("\"{}\"", config.pools[*index].name)).collect();
    let back = if pools.len() > 1 {
        format!(", back when a better one was well for {}", time(route.fail_back_after))
    } else {
        String::new()
    };
    format!("route \"{}\": {who} -> {}{back}", route.name, pools.join(", then "))
}

fn pool(pool: &Pool, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "\npool \"{}\" at {}", pool.name, pool.url)?;
    match &pool.url {
        PoolUrl::Tcp { .. } => line(f, "trust", "none: plain TCP")?,
        PoolUrl::Tls { pin: None, .. } => line(f, "trust", "TLS, this system's root certificates")?,
        PoolUrl::Tls { pin: Some(pin), .. } => {
            line(f, "trust", format_args!("TLS, only the certificate sha256:{}", hex::encode(pin)))?
        }
        PoolUrl::Simulated(_) => line(f, "trust", "SIMULATED: asks no network and pays nothing")?,
    }
    let workers = match pool.workers {
        WorkerNames::Aggregate => "one for all miners",
        WorkerNames::Forward => "one for each worker",
    };
    let user = match pool.workers {
        WorkerNames::Aggregate => pool.user.render(""),
        WorkerNames::Forward => pool.user.to_string(),
    };
    line(f, "login", format_args!("{user}, password {}, {workers}", pool.password))?;
    let suggested =
        pool.suggest_difficulty.map_or(String::new(), |difficulty| format!(", difficulty {difficulty} suggested"));
    let dialect = match pool.dialect {
        VersionDialect::Bip310 => "replaced (BIP 310)",
        VersionDialect::Or => "or-ed in",
        VersionDialect::Xor => "xor-ed in",
    };
    line(f, "speaks", format_args!("version bits {dialect}{suggested}"))?;
    let granted = pool
        .extranonce2_size
        .map_or(String::new(), |size| format!(", {size} bytes of extranonce2 until it says otherwise"));
    line(f, "connections", format_args!("up to {} miners on each{granted}", pool.max_miners))?;
    let (connect, reply, notify) = (time(pool.connect_timeout), time(pool.reply_timeout), time(pool.notify_timeout));
    line(f, "called dead", format_args!("no connection in {connect}, no reply in {reply}, no job in {notify}"))?;
    line(f, "moved miners", format_args!("sent on at up to {} shares a second", pool.admit_shares_per_second))?;
    if !pool.redirect_hosts.is_empty() {
        line(f, "may redirect to", format_args!("its own domain, {}", pool.redirect_hosts.join(", ")))?;
    }
    Ok(())
}

/// What to write into a miner's pool field.
fn entered(listen: SocketAddr) -> String {
    if listen.ip().is_unspecified() {
        format!("stratum+tcp://<this machine's address>:{}", listen.port())
    } else {
        format!("stratum+tcp://{listen}")
    }
}

fn bytes(count: usize) -> String {
    const KIB: usize = 1024;
    if count.is_multiple_of(KIB) { format!("{} KiB", count / KIB) } else { format!("{count} bytes") }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::config::validate::tests::NoEnv;

    fn plan(text: &str) -> String {
        let (mut config, _) = Config::parse(text, &NoEnv).unwrap();
        // The example leaves the number of threads to the machine.
        config.proxy.workers = NonZeroUsize::new(4).unwrap();
        describe(&config)
    }

    #[test]
    fn the_example_reads_as_a_plan() {
        insta::assert_snapshot!(plan(include_str!("../../config.example.toml")), @r#"
        process
          threads          4
          remembers        what pools granted, in hashgate-state.json
          shutdown         waits up to 5s for pools' replies
          reads it again   when the file changes, and by SIGHUP
          log              text, info
          metrics          http://127.0.0.1:9333/metrics
          admin API        none
          store            hashgate-store.db, up to 8.0 GiB
                           minutes for 3days, hours for 90days, days for 3660days, events for 366days

        limits
          connections      100000, from one address 100000, 2000 new ones a second
          worker names     1024 on a connection
          bytes            16 KiB in a line, 256 KiB waiting for a slow miner
          patience         20s until authorized, 1m for a dead peer

        listener "farm" on 127.0.0.1:3333
          a miner enters   url stratum+tcp://127.0.0.1:3333, user <account>.<worker>, password x (or d=<difficulty>)
          difficulty       starts at 65536, stays within 1 and the pool's, aims at 18 shares a minute
          version rolling  1fffe000 (16 bits), less what the pools do not grant
          extranonce2      4 bytes; a subscribe waits up to 10s for the first pool
          keep-alive       new work after 45s without any
          share answers    the proxy's verdict, at once
          miners go        route "default": everyone -> "simulation"

        pool "simulation" at sim://?difficulty=1e-6&clean_every=1m&extranonce2_size=8
          trust            SIMULATED: asks no network and pays nothing
          login            nobody, password ***, one for all miners
          speaks           version bits replaced (BIP 310)
          connections      up to 10000 miners on each
          called dead      no connection in 10s, no reply in 30s, no job in 2m
          moved miners     sent on at up to 2000 shares a second
        "#);
    }

    #[test]
    fn a_farm_with_everything_reads_as_a_plan() {
        let farm = r#"
[proxy]
state_file = ""
[log]
format = "json"
[limits]
line_bytes = 2000
[[listener]]
name = "farm"
listen = "0.0.0.0:3333"
answer = "pool"
difficulty = "64k"
max_difficulty = "1M"
[[listener]]
name = "guests"
listen = "127.0.0.1:3334"
[[pool]]
name = "eu"
url = "stratum+ssl://eu.example:443"
tls_fingerprint = "sha256:abababababababababababababababababababababababababababababababab"
user = "acct.{worker}"
workers = "forward"
password = "hunter2"
redirect_hosts = ["eu.example.net"]
suggest_difficulty = 500000
[[pool]]
name = "us"
url = "stratum+tcp://us.example:3333"
user = "acct"
dialect = "xor"
extranonce2_size = 8
[[route]]
name = "hall-a"
listeners = ["farm"]
subnets = ["10.1.0.0/16", "10.2.0.0/16"]
user = "acct.*"
pools = ["us"]
[[route]]
name = "rest"
pools = ["eu", "us"]
"#;
        let plan = plan(farm);
        assert!(!plan.contains("hunter2"));
        insta::assert_snapshot!(plan, @r#"
        process
          threads          4
          remembers        nothing over a restart
          shutdown         waits up to 5s for pools' replies
          reads it again   when the file changes, and by SIGHUP
          log              JSON, info
          metrics          none
          admin API        none
          store            none: no history of workers, pools and decisions

        limits
          connections      100000, from one address 100000, 2000 new ones a second
          worker names     1024 on a connection
          bytes            2000 bytes in a line, 256 KiB waiting for a slow miner
          patience         20s until authorized, 1m for a dead peer

        listener "farm" on 0.0.0.0:3333
          a miner enters   url stratum+tcp://<this machine's address>:3333, user <account>.<worker>, password x (or d=<difficulty>)
          difficulty       starts at 64000, stays within 1 and 1000000, aims at 18 shares a minute
          version rolling  1fffe000 (16 bits), less what the pools do not grant
          extranonce2      4 bytes; a subscribe waits up to 10s for the first pool
          keep-alive       new work after 45s without any
          share answers    the pool's verdict, or the proxy's after 10s
          miners go        route "hall-a": user acct.*, from 10.1.0.0/16 or 10.2.0.0/16 -> "us"
          else             route "rest": everyone -> "eu", then "us", back when a better one was well for 2m

        listener "guests" on 127.0.0.1:3334
          a miner enters   url stratum+tcp://127.0.0.1:3334, user <account>.<worker>, password x (or d=<difficulty>)
          difficulty       starts at 65536, stays within 1 and the pool's, aims at 18 shares a minute
          version rolling  1fffe000 (16 bits), less what the pools do not grant
          extranonce2      4 bytes; a subscribe waits up to 10s for the first pool
          keep-alive       new work after 45s without any
          share answers    the proxy's verdict, at once
          miners go        route "rest": everyone -> "eu", then "us", back when a better one was well for 2m

        pool "eu" at stratum+ssl://eu.example:443
          trust            TLS, only the certificate sha256:abababababababababababababababababababababababababababababababab
          login            acct.{worker}, password ***, one for each worker
          speaks           version bits replaced (BIP 310), difficulty 500000 suggested
          connections      up to 10000 miners on each
          called dead      no connection in 10s, no reply in 30s, no job in 2m
          moved miners     sent on at up to 2000 shares a second
          may redirect to  its own domain, eu.example.net

        pool "us" at stratum+tcp://us.example:3333
          trust            none: plain TCP
          login            acct, password ***, one for all miners
          speaks           version bits xor-ed in
          connections      up to 10000 miners on each, 8 bytes of extranonce2 until it says otherwise
          called dead      no connection in 10s, no reply in 30s, no job in 2m
          moved miners     sent on at up to 2000 shares a second
        "#);
    }
}
