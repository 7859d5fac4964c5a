//! Everything that runs during the demo: the proxy, and the world that is simulated around it.
//!
//! Starts and ends; when something happens is the plot's, what it means is the story's. Nothing outlives it: the ledger is in a folder
//! that goes with it.
//!
//! | end | why in this order |
//! |---|---|
//! | machines stop, their last answers come | what is under way is theirs |
//! | shares settle with the pools | a pool that is away comes back for them |
//! | the proxy, then the pools | only now are both sides' counts final |

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::story::{self, Act, Places};
use crate::{
    app::Proxy,
    config::{Config, ProcessEnv},
    metrics::Totals,
    power::receipt::Receipt,
    sim::{
        ai_site::AiSite,
        pool::{PoolSettings, PoolStats, SimPool},
        prices::PriceFeed,
        site::{AiDraw, SimSite, SiteReport},
    },
};

/// Waiting for the last answers.
const SETTLE: Duration = Duration::from_secs(5);

/// Decides everything that is random in the simulated world; when it happens is not.
const SEED: u64 = 1;

/// Receipts that are shown.
const RECEIPTS: usize = 20;

/// The running world.
pub struct Stage {
    /// The first fails on the way.
    pub pools: [SimPool; 2],
    /// What power, AI compute and hashes are worth.
    pub feed: PriceFeed,
    /// Who is lent power.
    pub ai: Arc<AiSite>,
    /// The machines, and the meter.
    pub site: SimSite,
    /// What it is all about.
    pub proxy: Proxy,
    /// In each group.
    pub machines: usize,
    _ledger: TempDir,
}

/// What is left when all has ended.
pub struct Remains {
    /// Of the site: machines as they were, shares as they ended.
    pub report: SiteReport,
    /// Of the proxy.
    pub totals: Totals,
    /// Of the pools.
    pub pools: [PoolStats; 2],
    /// Of drains and wakes, the oldest first.
    pub receipts: Vec<Receipt>,
}

impl Stage {
    /// Starts all of it, with so many machines in each group; they begin to connect.
    ///
    /// # Errors
    /// The proxy or a part of the simulated world can't start.
    pub async fn start(machines: usize, has_faults: bool) -> Result<Self, Box<dyn Error>> {
        let pools = [start_pool("first", 1).await?, start_pool("second", 2).await?];
        let feed = PriceFeed::start(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let secret = format!("{:032x}", rand::random::<u128>());
        let ai = Arc::new(AiSite::start(story::ai(machines, has_faults, SEED, &secret)).await?);
        let drawn = Arc::clone(&ai);
        let draw = AiDraw::new(move || drawn.watts());
        let site = SimSite::start(story::site(machines, has_faults, SEED, draw)).await?;
        let folder = tempfile::Builder::new().prefix("hashgate-demo-").tempdir()?;
        let places = Places {
            pools: [pools[0].addr(), pools[1].addr()],
            site: site.addr(),
            prices: feed.addr(),
            ai: ai.addr(),
            secret: &secret,
            ledger: &folder.path().join("ledger.db"),
        };
        for (name, value) in story::prices(Act::AllMine) {
            feed.set(name, value)?;
        }
        let text = story::config_text(&places, machines);
        let (config, _) = Config::parse(&text, &ProcessEnv { folder: ".".into() })?;
        let proxy = Proxy::start(config).await?;
        site.connect(proxy.addresses()[0]);
        Ok(Self { pools, feed, ai, site, proxy, machines, _ledger: folder })
    }

    /// Prices of an act.
    ///
    /// # Errors
    /// If the feed has no room for them.
    pub fn set_prices(&self, act: Act) -> Result<(), Box<dyn Error>> {
        for (name, value) in story::prices(act) {
            self.feed.set(name, value)?;
        }
        Ok(())
    }

    /// What AI compute truly draws, W at the site meter.
    pub fn ai_works(&self) -> bool {
        story::ai_works(self.machines, self.ai.watts())
    }

    /// Ends all of it. A pool that is away may need up to `patience` to come back for its shares.
    pub async fn end(self, patience: Duration) -> Remains {
        let Self { pools, site, proxy, .. } = self;
        let mut receipts = match proxy.power() {
            // Who has ended has nothing to say; that is found elsewhere.
            Some(power) => power.receipts(RECEIPTS).await.unwrap_or_default(),
            None => Vec::new(),
        };
        receipts.reverse();
        // Machines as they are before all are stopped, shares when the last answers have come.
        let before = site.report();
        let shares = site.stop(SETTLE).await.shares;
        let report = SiteReport { shares, ..before };
        let books = proxy.books();
        let deadline = Instant::now() + SETTLE + patience;
        while books.totals().unsettled() > 0 && Instant::now() < deadline {
            sleep(Duration::from_millis(20)).await;
        }
        proxy.shut_down(SETTLE).await;
        let stats = [pools[0].stats(), pools[1].stats()];
        for pool in pools {
            pool.shutdown().await;
        }
        Remains { report, totals: books.totals(), pools: stats, receipts }
    }
}

async fn start_pool(name: &str, seed: u64) -> std::io::Result<SimPool> {
    SimPool::start(PoolSettings {
        name: name.to_owned(),
        seed,
        difficulty: story::POOL_DIFFICULTY,
        resume: true,
        notify_every: Duration::from_secs(10),
        clean_every: Some(Duration::from_secs(25)),
        ..PoolSettings::default()
    })
    .await
}
