//! The configuration: a TOML file in, a validated [`Config`] out, or every problem of the file at once.
//! Knows what each setting means and which go together; opens no socket and starts nothing.
//!
//! ```text
//! text ── raw: keys, places ── validate, listeners, pools, routes: ranges, relations ──┬─ Config + warnings ── plan (`check`)
//!         value: types, ranges · units: "16 KiB", "64k"                                └─ ConfigErrors
//!                                                       two Configs ── diff: what a reload changes ── places: where each pool, route, listener stays
//! ```
//! `check` and `run` go through the same [`Config::load`]. Secrets come from the file, the environment or a
//! file of their own, and print as `***` by type. Every value here is in range and every index is valid:
//! nobody downstream checks again. Types compare with `==`, so that a reload can tell what changed.
//!
//! A new section is a field of [`Config`], a function that reads it, called from `validate.rs`, and a paragraph in `plan.rs`.

mod admin;
mod diff;
mod error;
mod listeners;
mod places;
mod plan;
mod pool_url;
mod pools;
mod power;
mod profit;
mod raw;
mod routes;
mod secret;
mod signal;
mod store;
mod trust;
mod units;
mod user;
mod validate;
mod value;

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;

pub use self::{
    admin::Admin,
    diff::{Change, Effect, diff, followed, power_begins_anew},
    error::{ConfigErrors, LoadError, Position, Problem, Warning},
    places::{MAX_PLACES, NoPlace, Places},
    plan::describe,
    pool_url::{PoolUrl, SimulatedPool},
    power::{
        ActuatorKind, AsicRs, ComputeKind, DeviceEntry, Firmware, HttpCall, HttpMethod, MAX_DEVICES, MAX_SLURM_NODES,
        MAX_TEMPLATE_BYTES, Make, Miners, Moves, OtherMake, Place, Power, PowerBlock, PowerGroup, PowerUnit, SiteMeter,
        Slurm, SlurmNode, Survives, TemplateError, WattsSource, template,
    },
    profit::{
        AfterHold, Ai, AiPrice, Efficiency, Feeder, Group, Market, Mode, Policy, Profit, Quote, Rule, Site, StaleGrid,
    },
    routes::UserPattern,
    secret::{Env, ProcessEnv, Secret},
    signal::{
        Broker, Class, ExecSource, FileSource, HttpSource, HttpUrl, JobsField, MqttSource, Picker, Shape, Signal,
        SignalSource, SourceKind, Spread, Window, Windows,
    },
    store::{Store, StorePlace},
    trust::ServerTrust,
    user::{MAX_USER_BYTES, UserTemplate},
};
pub use crate::stratum::VersionDialect;
use crate::work::Difficulty;

/// Bytes of a config file: a thousand pools would fit; more is not a config.
pub const MAX_CONFIG_BYTES: u64 = 1024 * 1024;

/// A config from its file, with what it works in spite of; or every problem.
pub type Loaded = Result<(Config, Vec<Warning>), LoadError>;

/// Everything an operator decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[proxy]`: the process itself.
    pub proxy: Proxy,
    /// `[log]`.
    pub log: Log,
    /// `[metrics]`; `None` serves none.
    pub metrics: Option<Metrics>,
    /// `[admin]`; `None` serves no API.
    pub admin: Option<Admin>,
    /// `[store]`; `None` keeps nothing.
    pub store: Option<Store>,
    /// `[limits]`: what miners may take of this machine.
    pub limits: Limits,
    /// `[[listener]]` in file order; never empty.
    pub listeners: Vec<Listener>,
    /// `[[pool]]` in file order; never empty.
    pub pools: Vec<Pool>,
    /// `[[route]]` in match order; some route takes every miner of every listener.
    pub routes: Vec<Route>,
    /// `[[signal]]` in file order.
    pub signals: Vec<Signal>,
    /// What mining earns and power costs, and the groups it matters to; `None` without `[[group]]`.
    pub profit: Option<Profit>,
    /// What moves the groups' machines and tells AI compute; `None` where nothing does.
    pub power: Option<Power>,
    /// Where the power ledger is, or would be: where nothing is moved any more, it may know what was.
    pub ledger: PathBuf,
}

/// `[proxy]`: the process itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Threads that serve miners; one per core unless said otherwise.
    pub workers: NonZeroUsize,
    /// What pools granted last time (sizes, masks), so that the first miner after a start need not wait.
    /// Relative to the working directory. `None` keeps nothing.
    pub state_file: Option<PathBuf>,
    /// How long a shutdown waits for pools' replies.
    pub shutdown_grace: Duration,
    /// Whether a config file that changes is read again by itself; it always is by SIGHUP and by `hashgate reload`.
    pub watch: bool,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// One line of text, or one JSON object, per event.
    pub format: LogFormat,
    /// What to log, in the syntax of `tracing`'s `EnvFilter`: `info`, `hashgate=debug`.
    pub filter: String,
}

/// How a log event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors.
    Json,
}

/// `[metrics]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metrics {
    /// Where Prometheus scrapes.
    pub listen: SocketAddr,
}

/// `[limits]`: what miners may take of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Miners' connections, all listeners together.
    pub connections: usize,
    /// Connections from one address.
    pub connections_per_address: usize,
    /// Connections accepted in a second; a farm that returns at once is let in over several.
    pub accepts_per_second: u32,
    /// Longest line taken from a miner.
    pub line_bytes: usize,
    /// Time until a connection has subscribed and authorized.
    pub pre_auth_timeout: Duration,
    /// Time sent data may stay unacknowledged: a dead peer, as against a silent one.
    pub unacked_timeout: Duration,
    /// Unsent bytes kept for one slow miner before it is disconnected.
    pub send_buffer_bytes: usize,
    /// Worker names authorized on one connection.
    pub workers_per_connection: usize,
}

/// `[[listener]]`: an address that miners connect to.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// As in logs, metrics and routes.
    pub name: Arc<str>,
    /// The address bound.
    pub listen: SocketAddr,
    /// Version bits offered to miners (BIP 310); cut to what the pools grant.
    pub version_mask: u32,
    /// Bytes of extranonce2 wanted for the miner, 2 to 8.
    pub extranonce2_size: u8,
    /// Longest silence towards a miner, 30 to 55 s: firmware calls a pool dead after 90 s.
    pub keep_alive: Duration,
    /// Whose verdict on a share the miner hears.
    pub answer: Answer,
    /// Share difficulty.
    pub vardiff: Vardiff,
    /// How long a subscribe reply is held while no pool's sizes are known.
    pub layout_wait: Duration,
}

/// Whose verdict on a share the miner hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Ours, at once.
    Proxy,
    /// The pool's, or ours when the pool stays silent.
    Pool {
        /// How long to wait for the pool.
        timeout: Duration,
    },
}

/// Share difficulty of a listener's miners: `min <= start <= max`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vardiff {
    /// For a miner of which nothing is known.
    pub start: Difficulty,
    /// Never under this.
    pub min: Difficulty,
    /// Never over this; `None` leaves the pool's own difficulty as the only bound.
    pub max: Option<Difficulty>,
    /// Shares a minute aimed at.
    pub shares_per_minute: f64,
}

/// `[[pool]]`: a server to mine for.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// As in logs, metrics and routes.
    pub name: Arc<str>,
    /// Where it is.
    pub url: PoolUrl,
    /// The user name it is told.
    pub user: UserTemplate,
    /// The password it is told.
    pub password: Secret,
    /// How it puts rolled version bits together.
    pub dialect: VersionDialect,
    /// Difficulty suggested after authorize.
    pub suggest_difficulty: Option<Difficulty>,
    /// Time for the connection, with TLS.
    pub connect_timeout: Duration,
    /// Time for the answer to a request or share.
    pub reply_timeout: Duration,
    /// Silence (no new job) after which the pool is dead although its socket lives.
    pub notify_timeout: Duration,
    /// Miners on one upstream connection; more open as these fill.
    pub max_miners: usize,
    /// Whose worker names the pool sees.
    pub workers: WorkerNames,
    /// Hosts that `client.reconnect` may lead to, beyond the pool's own domain.
    pub redirect_hosts: Vec<String>,
    /// Bytes of extranonce2 that the pool grants, used until it has been seen.
    pub extranonce2_size: Option<u8>,
    /// Shares a second sent to this pool right after miners were moved to it.
    pub admit_shares_per_second: u32,
}

/// Whose worker names a pool sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerNames {
    /// One login for all miners.
    Aggregate,
    /// One login for each worker; the user template says where the name goes.
    Forward,
}

/// `[[route]]`: which miners mine for which pools. Tried in file order, the first that matches wins.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// As in logs and metrics.
    pub name: Arc<str>,
    /// Indexes into [`Config::listeners`]; empty for all.
    pub listeners: Vec<usize>,
    /// Networks that miners come from; empty for all.
    pub subnets: Vec<IpNet>,
    /// User names taken; `None` for all.
    pub user: Option<UserPattern>,
    /// Indexes into [`Config::pools`] in failover order; never empty.
    pub pools: Vec<usize>,
    /// How long a better pool must be well again before miners go back to it.
    pub fail_back_after: Duration,
}

impl Config {
    /// Reads and validates a config file. Paths of password files in it are relative to its folder.
    ///
    /// # Errors
    /// [`LoadError`] when the file cannot be read, or with everything that is wrong with it.
    pub fn load(path: &Path) -> Loaded {
        Config::load_noting(path).0
    }

    /// As [`Config::load`], with the files that it rests on: itself, secrets, lists; those that can't be read as well.
    pub fn load_noting(path: &Path) -> (Loaded, Vec<PathBuf>) {
        let text = match secret::read_bounded(path, MAX_CONFIG_BYTES) {
            Ok(text) => text,
            Err(source) => return (Err(LoadError::Read { path: path.to_owned(), source }), vec![path.to_owned()]),
        };
        let env = ProcessEnv { folder: path.parent().unwrap_or(Path::new("")).to_owned() };
        let noting = secret::Noting::new(env, path);
        let parsed = Config::parse(&text, &noting);
        let parsed = parsed.map_err(|errors| LoadError::Invalid { path: path.to_owned(), errors });
        (parsed, noting.into_files())
    }

    /// Validates a config text; `env` answers for environment variables and password files.
    ///
    /// # Errors
    /// [`ConfigErrors`] with everything that is wrong with it.
    pub fn parse(text: &str, env: &dyn Env) -> Result<(Config, Vec<Warning>), ConfigErrors> {
        let report = raw::Report::new(text);
        let config =
            report.parse().and_then(|document| validate::config(&mut raw::Section::root(&report, &document), env));
        report.finish(config)
    }
}
