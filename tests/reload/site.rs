//! A proxy, its config as text that is edited, and a farm that mines all the time.

use std::net::SocketAddr;

use hashgate::app::Proxy;
use hashgate::config::{Config, ProcessEnv};
use hashgate::reload::{Outcome, Refused};
use hashgate::sim::miner::Swarm;
use hashgate::sim::pool::{PoolSettings, SimPool};

use crate::world::{EASY, LIMIT, content, easy, eventually, lost, mining, settle, start, swarm};

/// The farm of these tests.
pub const MINERS: usize = 200;

/// What an operator writes.
#[derive(Clone, Default)]
pub struct File {
    pub limits: String,
    pub listener: String,
    pub more: String,
    pools: Vec<(String, SocketAddr, String)>,
    routes: Vec<(String, String, Vec<String>)>,
}

impl File {
    pub fn pool(mut self, name: &str, address: SocketAddr, lines: &str) -> Self {
        self.pools.retain(|(other, ..)| other != name);
        self.pools.push((name.to_owned(), address, lines.to_owned()));
        self
    }

    pub fn without_pool(mut self, name: &str) -> Self {
        self.pools.retain(|(other, ..)| other != name);
        self
    }

    /// A route with lines that say for whom, before those that there are.
    pub fn route(mut self, name: &str, lines: &str, pools: &[&str]) -> Self {
        self = self.without_route(name);
        let pools = pools.iter().map(|pool| (*pool).to_owned()).collect();
        self.routes.insert(0, (name.to_owned(), lines.to_owned(), pools));
        self
    }

    pub fn without_route(mut self, name: &str) -> Self {
        self.routes.retain(|(other, ..)| other != name);
        self
    }

    pub fn listener(mut self, lines: &str) -> Self {
        self.listener = lines.to_owned();
        self
    }

    pub fn limits(mut self, lines: &str) -> Self {
        self.limits = lines.to_owned();
        self
    }

    pub fn more(mut self, tables: &str) -> Self {
        self.more = tables.to_owned();
        self
    }

    pub fn text(&self) -> String {
        let Self { limits, listener, more, pools, routes } = self;
        let difficulty = match listener.contains("difficulty") {
            true => String::new(),
            false => format!("difficulty = {EASY}\nmin_difficulty = {EASY}\n"),
        };
        let address = if listener.contains("listen =") { "" } else { "listen = \"127.0.0.1:0\"\n" };
        let mut text = format!(
            "[proxy]\nworkers = 2\nstate_file = \"\"\n[limits]\n{limits}\n{more}\n[[listener]]\nname = \"farm\"\n{address}{difficulty}{listener}\n"
        );
        for (name, address, lines) in pools {
            text += &format!("[[pool]]\nname = {name:?}\nurl = \"stratum+tcp://{address}\"\nuser = \"u\"\n{lines}\n");
        }
        for (name, lines, pools) in routes {
            text += &format!("[[route]]\nname = {name:?}\n{lines}\npools = {pools:?}\n");
        }
        text
    }

    pub fn config(&self) -> Config {
        let text = self.text();
        let parsed = Config::parse(&text, &ProcessEnv { folder: ".".into() });
        parsed.unwrap_or_else(|errors| panic!("{errors}\n{text}")).0
    }
}

/// Pools "a" and "b", of which the only route knows "a".
pub struct Site {
    pub a: SimPool,
    pub b: SimPool,
    pub file: File,
    pub proxy: Proxy,
    pub farm: Swarm,
}

impl Site {
    pub async fn new() -> Self {
        Self::with(|file| file).await
    }

    pub async fn with(edit: impl FnOnce(File) -> File) -> Self {
        Self::of(EASY, edit).await
    }

    /// Pools of another difficulty, which not every share meets.
    pub async fn of(difficulty: f64, edit: impl FnOnce(File) -> File) -> Self {
        let settings = |seed| PoolSettings { seed, difficulty, ..easy() };
        let (a, b) = (start(settings(1)).await, start(settings(2)).await);
        let file = edit(File::default().pool("a", a.addr(), "").route("all", "", &["a"]));
        let proxy = Proxy::start(file.config()).await.expect("the proxy starts");
        let farm = swarm(&proxy, MINERS, 1.0);
        mining(&proxy, &farm).await;
        Self { a, b, file, proxy, farm }
    }

    /// The operator edits the file, and the proxy follows it.
    pub async fn reload(&mut self, edit: impl FnOnce(File) -> File) -> Outcome {
        self.try_reload(edit).await.expect("it is followed")
    }

    pub async fn try_reload(&mut self, edit: impl FnOnce(File) -> File) -> Result<Outcome, Refused> {
        let file = edit(self.file.clone());
        let result = self.proxy.reload().config(file.config(), false).await;
        if result.is_ok() {
            self.file = file;
        }
        result
    }

    /// All miners find shares, and every one of them for this pool.
    pub async fn mines_for(&self, pool: &SimPool) {
        let other = if pool.addr() == self.a.addr() { &self.b } else { &self.a };
        let mut before = (pool.stats().accepted, other.stats().accepted);
        eventually("a farm's shares go to one pool alone", || {
            let now = (pool.stats().accepted, other.stats().accepted);
            if now.1 > before.1 {
                before = now;
            }
            now.0 > before.0 + MINERS as u64
        })
        .await;
    }

    /// The end: nobody left, no share is lost, rejected or without an answer, and each that was answered `true` was credited.
    pub async fn ends_well(self) {
        self.ends_well_but_for(0).await;
    }

    /// The same, where so many shares were found by others than the farm.
    pub async fn ends_well_but_for(self, others: u64) {
        mining(&self.proxy, &self.farm).await;
        let missing = settle(&self.proxy, &self.farm, &[&self.a, &self.b]).await;
        assert_eq!(missing, 0);
        self.lost_nothing(others).await;
    }

    /// What holds although pools see only some of the shares.
    pub async fn lost_nothing(self, others: u64) {
        self.farm.settle(LIMIT).await;
        eventually("every share is settled", || self.proxy.totals().unsettled() == 0).await;
        content(&self.farm);
        let (stats, totals) = (self.farm.totals(), self.proxy.totals());
        assert_eq!((lost(&totals), totals.unforwarded, stats.lost, stats.unanswered()), (0, 0, 0, 0));
        assert_eq!(self.a.stats().rejected_total() + self.b.stats().rejected_total(), 0);
        assert_eq!(stats.rejected_total(), 0, "{:?}", stats.rejected);
        assert_eq!((totals.connections, totals.accepted), (MINERS as u64, stats.accepted + others));
        assert_eq!(self.proxy.shut_down(LIMIT).await, 0);
    }
}

/// What was said of the changes.
pub fn words(outcome: &Outcome) -> Vec<String> {
    outcome.changes.iter().map(ToString::to_string).collect()
}
