//! What a new config changes, each change in words, and whether the running proxy can follow it.
//!
//! Values in, values out: decides nothing about sockets, and does not know how a change is carried out (`app/reload.rs`, `router/task/`).
//!
//! | part | followed live | needs a restart |
//! |---|---|---|
//! | `[proxy]` | `shutdown_grace`, `watch` | `workers`, `state_file` |
//! | `[log]` | `filter` | `format` |
//! | `[metrics]`, `[admin]` | the tokens | addresses, and whether there are any |
//! | `[store]`, the power ledger's place | | all of it |
//! | `[limits]`, `[[listener]]`, `[[pool]]`, `[[route]]` | all of it | |
//! | `[[signal]]`, `[profit]`, `[site]`, `[[group]]`, `[[ai]]`, `[power]` | all else; `diff/money.rs` says what begins anew for it | |
//!
//! Every field of every part is named here: the tables below take a struct apart without `..`, so that one which is added does not
//! compile before somebody has said what its change means. Secrets are compared and never shown.

mod money;
#[cfg(test)]
mod tests;

use std::{
    fmt::{self, Display, Formatter},
    path::Path,
    sync::Arc,
    time::Duration,
};

use super::{
    Admin, Answer, Config, Limits, Listener, Log, LogFormat, Metrics, Pool, PoolUrl, Power, Proxy, Route, Secret,
    Store, StorePlace, Vardiff, WorkerNames, units,
};
use crate::stratum::VersionDialect;

/// One thing that is another in the new config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// `pool "eu"`, `[limits]`.
    pub place: String,
    /// `password: another one`.
    pub what: String,
    /// What becomes of it.
    pub effect: Effect,
}

/// What becomes of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The running proxy follows it, in this way.
    Live(&'static str),
    /// It stays as it is until the next start.
    Restart,
}

impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let then = match self.effect {
            Effect::Live(then) => then,
            Effect::Restart => "needs a restart",
        };
        write!(f, "{} {}; {then}", self.place, self.what)
    }
}

const AT_ONCE: Effect = Effect::Live("from now on");
const NEW_MINERS: Effect = Effect::Live("for miners that come from now on");
const NEW_REQUESTS: Effect = Effect::Live("the old one opens nothing any more");
const RETARGET: Effect = Effect::Live("each miner is told with its next work");
const JUDGED: Effect = Effect::Live("miners are brought to it as their shares come");
const HAND_OVER: Effect = Effect::Live(
    "another connection is opened, and its miners move there when that has work; the old one takes their late shares",
);
const CHOOSE: Effect = Effect::Live("pools are chosen anew, miners move on the connections they have");
const MATCH: Effect =
    Effect::Live("each miner's route is looked up anew, who is on another one moves on the connection it has");
const DOOR: Effect =
    Effect::Live("the new address is opened before the old one closes; miners that are connected stay");

/// What changes from one config to another, in the order of the file.
pub fn diff(old: &Config, new: &Config) -> Vec<Change> {
    // Without `..`, as below. The first four are `process`, the last but for the ledger `money`.
    let Config {
        proxy: _,
        log: _,
        metrics: _,
        admin: _,
        store,
        limits,
        listeners: _,
        pools: _,
        routes: _,
        signals: _,
        profit: _,
        power: _,
        ledger,
    } = old;
    let mut differ = Differ::default();
    differ.process(old, new);
    differ.store(store.as_ref(), new.store.as_ref());
    differ.limits(limits, &new.limits);
    differ.listeners(old, new);
    differ.pools(old, new);
    differ.routes(old, new);
    if *ledger != new.ledger {
        let shown = |path: &Path| path.display().to_string();
        let effect = if takes_ledger(old, new) { money::MACHINES } else { Effect::Restart };
        differ.field("[power]", "ledger", shown(ledger), shown(&new.ledger), effect);
    }
    let mut changes = differ.0;
    changes.append(&mut money::diff(old, new));
    changes
}

/// Whether the power side has to begin anew inside the running proxy to follow a config.
pub fn power_begins_anew(old: &Config, new: &Config) -> bool {
    diff(old, new).iter().any(|change| change.effect == money::MACHINES)
}

/// The new config, but for what needs a restart, which is as in the old one: what the running proxy should have.
pub fn followed(old: &Config, new: &Config) -> Config {
    let admin = |old: &Admin, new: &Admin| {
        let Admin { listen: _, token, read_token, signal_token } = new.clone();
        Admin { listen: old.listen, token, read_token, signal_token }
    };
    let ledger = if takes_ledger(old, new) { &new.ledger } else { &old.ledger };
    Config {
        proxy: Proxy {
            workers: old.proxy.workers,
            state_file: old.proxy.state_file.clone(),
            shutdown_grace: new.proxy.shutdown_grace,
            watch: new.proxy.watch,
        },
        log: Log { format: old.log.format, filter: new.log.filter.clone() },
        metrics: old.metrics.clone(),
        admin: match (&old.admin, &new.admin) {
            (Some(old), Some(new)) => Some(admin(old, new)),
            (old, _) => old.clone(),
        },
        store: old.store.clone(),
        limits: new.limits.clone(),
        listeners: new.listeners.clone(),
        pools: new.pools.clone(),
        routes: new.routes.clone(),
        signals: new.signals.clone(),
        profit: new.profit.clone(),
        power: new.power.clone().map(|power| Power { ledger: ledger.clone(), ..power }),
        ledger: ledger.clone(),
    }
}

/// Whether a power side begins where there was none: nobody writes in the old ledger.
fn takes_ledger(old: &Config, new: &Config) -> bool {
    old.power.is_none() && new.power.is_some()
}

/// Compares two values of a struct field by field; those named after `apart` are compared elsewhere.
macro_rules! compare {
    ($differ:expr, $place:expr, $old:expr, $new:expr, $kind:ident { $($field:ident: $shown:expr => $effect:expr),+ $(,)? }
        apart { $($apart:ident),* $(,)? }) => {{
        // Without `..`: a field that is added has to be named.
        let $kind { $($field: _,)+ $($apart: _,)* } = $old;
        $(
            if $old.$field != $new.$field {
                $differ.field(&$place, stringify!($field), $shown(&$old.$field), $shown(&$new.$field), $effect);
            }
        )+
    }};
}
use compare;

#[derive(Default)]
struct Differ(Vec<Change>);

impl Differ {
    fn push(&mut self, place: &str, what: impl Into<String>, effect: Effect) {
        self.0.push(Change { place: place.to_owned(), what: what.into(), effect });
    }

    fn field(&mut self, place: &str, key: &str, old: String, new: String, effect: Effect) {
        // What is a secret, or differs in what is not shown.
        let what = if old == new { format!("{key}: another one") } else { format!("{key}: {old} → {new}") };
        self.push(place, what, effect);
    }

    /// Tables with names: what came, what went, and what is in both.
    fn tables<T>(
        &mut self,
        kind: &str,
        (old, new): (&[T], &[T]),
        name: impl Fn(&T) -> &Arc<str>,
        (added, removed): (Effect, Effect),
        mut both: impl FnMut(&mut Self, &str, &T, &T),
    ) {
        for one in new {
            let place = format!("{kind} {:?}", name(one));
            match old.iter().find(|other| name(other) == name(one)) {
                Some(other) => both(self, &place, other, one),
                None => self.push(&place, "added", added),
            }
        }
        for one in old.iter().filter(|one| !new.iter().any(|other| name(other) == name(one))) {
            self.push(&format!("{kind} {:?}", name(one)), "removed", removed);
        }
    }

    fn process(&mut self, old: &Config, new: &Config) {
        let path = |path: &Option<std::path::PathBuf>| {
            path.as_ref().map_or("none".to_owned(), |path| path.display().to_string())
        };
        compare!(self, "[proxy]", old.proxy, new.proxy, Proxy {
            workers: text => Effect::Restart,
            state_file: path => Effect::Restart,
            shutdown_grace: time => AT_ONCE,
            watch: text => AT_ONCE,
        } apart {});
        let format = |format: &LogFormat| match format {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        };
        compare!(self, "[log]", old.log, new.log, Log {
            format: format => Effect::Restart,
            filter: text => AT_ONCE,
        } apart {});
        match (&old.metrics, &new.metrics) {
            (Some(old), Some(new)) => compare!(self, "[metrics]", old, new, Metrics {
                listen: text => Effect::Restart,
            } apart {}),
            (old, new) => self.section("[metrics]", old.is_some(), new.is_some(), Effect::Restart),
        }
        match (&old.admin, &new.admin) {
            (Some(old), Some(new)) => compare!(self, "[admin]", old, new, Admin {
                listen: text => Effect::Restart,
                token: text => NEW_REQUESTS,
                read_token: secret => NEW_REQUESTS,
                signal_token: secret => NEW_REQUESTS,
            } apart {}),
            (old, new) => self.section("[admin]", old.is_some(), new.is_some(), Effect::Restart),
        }
    }

    /// A section that is there in one of the two only, or in neither.
    fn section(&mut self, place: &str, was_there: bool, is_there: bool, effect: Effect) {
        match (was_there, is_there) {
            (false, true) => self.push(place, "added", effect),
            (true, false) => self.push(place, "removed", effect),
            _ => {}
        }
    }

    fn store(&mut self, old: Option<&Store>, new: Option<&Store>) {
        let place = |place: &StorePlace| match place {
            StorePlace::File(path) => path.display().to_string(),
            StorePlace::Postgres(_) => "a PostgreSQL server".to_owned(),
        };
        match (old, new) {
            (Some(old), Some(new)) => compare!(self, "[store]", old, new, Store {
                place: place => Effect::Restart,
                keep_minutes: time => Effect::Restart,
                keep_hours: time => Effect::Restart,
                keep_days: time => Effect::Restart,
                keep_records: time => Effect::Restart,
                max_bytes: text => Effect::Restart,
            } apart {}),
            (old, new) => self.section("[store]", old.is_some(), new.is_some(), Effect::Restart),
        }
    }

    fn limits(&mut self, old: &Limits, new: &Limits) {
        const KEEPS: Effect = Effect::Live("from now on; who is connected stays");
        compare!(self, "[limits]", old, new, Limits {
            connections: text => KEEPS,
            connections_per_address: text => KEEPS,
            accepts_per_second: text => AT_ONCE,
            line_bytes: text => AT_ONCE,
            pre_auth_timeout: time => AT_ONCE,
            unacked_timeout: time => AT_ONCE,
            send_buffer_bytes: text => AT_ONCE,
            workers_per_connection: text => KEEPS,
        } apart {});
    }

    fn listeners(&mut self, old: &Config, new: &Config) {
        const OPENED: Effect = Effect::Live("its address is opened");
        const CLOSED: Effect = Effect::Live("its address is closed; miners that are connected stay until they leave");
        let answer = |answer: &Answer| match answer {
            Answer::Proxy => "proxy".to_owned(),
            Answer::Pool { timeout } => format!("pool, for {}", units::time(*timeout)),
        };
        let tables = (&old.listeners[..], &new.listeners[..]);
        self.tables(
            "listener",
            tables,
            |one| &one.name,
            (OPENED, CLOSED),
            |differ, place, old, new| {
                compare!(differ, place, old, new, Listener {
                listen: text => DOOR,
                version_mask: mask => NEW_MINERS,
                extranonce2_size: text => NEW_MINERS,
                keep_alive: time => AT_ONCE,
                answer: answer => AT_ONCE,
                layout_wait: time => NEW_MINERS,
            } apart { name, vardiff });
                compare!(differ, place, old.vardiff, new.vardiff, Vardiff {
                start: text => NEW_MINERS,
                min: text => RETARGET,
                max: optional => RETARGET,
                shares_per_minute: text => JUDGED,
            } apart {});
            },
        );
    }

    fn pools(&mut self, old: &Config, new: &Config) {
        const ADDED: Effect = Effect::Live("a connection is opened where a route names it");
        const REMOVED: Effect = Effect::Live(
            "its miners move to another pool of their route as soon as that has work, and mine on for it until then",
        );
        const LANES: Effect = Effect::Live("for connections that fill from now on");
        let url = |url: &PoolUrl| url.to_string();
        let workers = |workers: &WorkerNames| match workers {
            WorkerNames::Aggregate => "aggregate".to_owned(),
            WorkerNames::Forward => "forward".to_owned(),
        };
        let dialect = |dialect: &VersionDialect| match dialect {
            VersionDialect::Bip310 => "bip310".to_owned(),
            VersionDialect::Or => "or".to_owned(),
            VersionDialect::Xor => "xor".to_owned(),
        };
        let tables = (&old.pools[..], &new.pools[..]);
        self.tables(
            "pool",
            tables,
            |one| &one.name,
            (ADDED, REMOVED),
            |differ, place, old, new| {
                compare!(differ, place, old, new, Pool {
                url: url => HAND_OVER,
                user: text => HAND_OVER,
                password: text => HAND_OVER,
                dialect: dialect => HAND_OVER,
                suggest_difficulty: optional => HAND_OVER,
                connect_timeout: time => HAND_OVER,
                reply_timeout: time => HAND_OVER,
                notify_timeout: time => HAND_OVER,
                max_miners: text => LANES,
                workers: workers => HAND_OVER,
                redirect_hosts: list => HAND_OVER,
                extranonce2_size: optional => NEW_MINERS,
                admit_shares_per_second: text => AT_ONCE,
            } apart { name });
            },
        );
    }

    fn routes(&mut self, old: &Config, new: &Config) {
        let user = |user: &Option<super::UserPattern>| user.as_ref().map_or("everyone".to_owned(), ToString::to_string);
        let tables = (&old.routes[..], &new.routes[..]);
        self.tables(
            "route",
            tables,
            |one| &one.name,
            (MATCH, MATCH),
            |differ, place, before, after| {
                compare!(differ, place, before, after, Route {
                subnets: list => MATCH,
                user: user => MATCH,
                fail_back_after: time => AT_ONCE,
            } apart { name, listeners, pools });
                let (was, is) = (old.listener_names(before), new.listener_names(after));
                if was != is {
                    differ.field(place, "listeners", all_or(&was), all_or(&is), MATCH);
                }
                let (was, is) = (old.pool_names(before), new.pool_names(after));
                if was != is {
                    differ.field(place, "pools", list(&was), list(&is), CHOOSE);
                }
            },
        );
        let common = |of: &Config, other: &Config| -> Vec<Arc<str>> {
            let names = of.routes.iter().map(|route| route.name.clone());
            names.filter(|name| other.routes.iter().any(|route| route.name == *name)).collect()
        };
        let (was, is) = (common(old, new), common(new, old));
        if was != is {
            self.field("[[route]]", "order", list(&was), list(&is), MATCH);
        }
    }
}

impl Config {
    /// Names of the listeners that a route is for; none for all.
    fn listener_names(&self, route: &Route) -> Vec<Arc<str>> {
        route.listeners.iter().map(|listener| self.listeners[*listener].name.clone()).collect()
    }

    /// Names of a route's pools, in order.
    fn pool_names(&self, route: &Route) -> Vec<Arc<str>> {
        route.pools.iter().map(|pool| self.pools[*pool].name.clone()).collect()
    }
}

fn text(value: &impl Display) -> String {
    value.to_string()
}

fn time(value: &Duration) -> String {
    units::time(*value)
}

fn mask(value: &u32) -> String {
    format!("{value:08x}")
}

fn optional<T: Display>(value: &Option<T>) -> String {
    value.as_ref().map_or("none".to_owned(), ToString::to_string)
}

/// Whether there is one is no secret.
fn secret(value: &Option<Secret>) -> String {
    optional(value)
}

fn list<T: Display>(values: &[T]) -> String {
    if values.is_empty() {
        return "none".to_owned();
    }
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn all_or(values: &[Arc<str>]) -> String {
    if values.is_empty() { "all".to_owned() } else { list(values) }
}
