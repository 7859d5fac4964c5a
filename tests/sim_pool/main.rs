//! The simulated pool judges shares as a strict pool would: checked over TCP by a client that shares no code with it.

mod client;
mod faults;
mod protocol;
mod shares;

use hashgate::sim::pool::{PoolSettings, SimPool};

/// So easy that every fourth hash is a share.
const EASY: f64 = 1e-9;

async fn start(settings: PoolSettings) -> SimPool {
    SimPool::start(settings).await.expect("the pool starts")
}

fn easy() -> PoolSettings {
    PoolSettings {
        difficulty: EASY,
        record_shares: 100,
        ..PoolSettings::default()
    }
}
