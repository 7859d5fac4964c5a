//! The simulated pools of `sim://` addresses, each behind the real address that it got.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::info;

use crate::{
    config::{Config, Pool, PoolUrl, SimulatedPool},
    sim::pool::{PoolSettings, SimPool},
};

/// How long one that the config has no more still runs: the last shares on their way to it settle.
const LINGER: Duration = Duration::from_secs(180);

/// Those that run.
#[derive(Default)]
pub(super) struct Simulated {
    running: Vec<(Arc<str>, SimulatedPool, SimPool)>,
    leaving: Vec<(Instant, SimPool)>,
}

/// Those that a config needs and that did not run yet.
pub(super) type Started = Vec<(Arc<str>, SimulatedPool, SimPool)>;

impl Simulated {
    /// Puts real addresses into a config, and starts what it needs; [`keep`](Self::keep) it if the config is taken.
    pub async fn resolve(&self, config: &mut Config) -> io::Result<Started> {
        let mut started = Vec::new();
        for pool in &mut config.pools {
            let PoolUrl::Simulated(settings) = &pool.url else { continue };
            let is_it =
                |(name, known, _): &&(Arc<str>, SimulatedPool, SimPool)| *name == pool.name && known == settings;
            let address = match self.running.iter().find(is_it) {
                Some((.., running)) => running.addr(),
                None => {
                    let (settings, one) = (settings.clone(), SimPool::start(settings_of(&pool.name, settings)).await?);
                    let address = one.addr();
                    info!("pool {:?} is simulated, on {address}: its shares earn nothing", pool.name);
                    started.push((pool.name.clone(), settings, one));
                    address
                }
            };
            pool.url = PoolUrl::Tcp { host: address.ip().to_string(), port: address.port() };
        }
        Ok(started)
    }

    /// The config is taken: `pools` are those of the file. Those that it has no more end after a while.
    pub fn keep(&mut self, now: Instant, pools: &[Pool], started: Started) {
        let is_wanted = |(name, settings, _): &(Arc<str>, SimulatedPool, SimPool)| {
            pools.iter().any(|pool| pool.name == *name && pool.url == PoolUrl::Simulated(settings.clone()))
        };
        let (stay, leave): (Vec<_>, Vec<_>) = self.running.drain(..).partition(is_wanted);
        self.running = stay;
        self.running.extend(started);
        self.leaving.extend(leave.into_iter().map(|(.., pool)| (now, pool)));
    }

    /// Ends those that had their time.
    pub fn tidy(&mut self, now: Instant) {
        self.leaving.retain(|(since, _)| now < *since + LINGER);
    }

    /// Ends all.
    pub async fn shut_down(self) {
        let running = self.running.into_iter().map(|(.., pool)| pool);
        for pool in running.chain(self.leaving.into_iter().map(|(_, pool)| pool)) {
            pool.shutdown().await;
        }
    }
}

fn settings_of(name: &str, simulated: &SimulatedPool) -> PoolSettings {
    PoolSettings {
        name: name.to_owned(),
        difficulty: simulated.difficulty.get(),
        extranonce2_size: simulated.extranonce2_size.into(),
        clean_every: Some(simulated.clean_every),
        // Two of them must not have the same jobs.
        seed: rand::random(),
        ..PoolSettings::default()
    }
}
