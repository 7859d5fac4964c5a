//! Difficulty and rewards come from the pools' own jobs.

use hashgate::{
    app::Proxy,
    sim::pool::{PoolSettings, SimPool},
    work::Target,
};

use crate::site::{config, snapshot};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pools_jobs_tell_difficulty_subsidy_and_fees() {
    let settings = PoolSettings::default();
    let difficulty = Target::from_compact(settings.nbits).unwrap().difficulty().get();
    let pool = SimPool::start(settings).await.unwrap();
    let signal = |name: &str, unit: &str, more: &str| {
        format!("[[signal]]\nname = {name:?}\nunit = {unit:?}\nkind = \"jobs\"\nfield = {name:?}\n{more}\n")
    };
    let mut config = config(
        &[
            signal("difficulty", "difficulty", "pool = \"pool\""),
            signal("subsidy", "BTC/block", ""),
            signal("fees", "BTC/block", ""),
            signal("reward", "BTC/block", ""),
        ]
        .concat(),
    );
    config.pools[0].url = hashgate::config::PoolUrl::Tcp { host: "127.0.0.1".into(), port: pool.addr().port() };
    let proxy = Proxy::start(config).await.unwrap();
    let signals = proxy.signals().unwrap();
    let all =
        snapshot(signals, "four values", |all| all.signals.iter().all(|view| view.reading.fresh().is_some())).await;
    let value = |index: usize| all.signals[index].reading.fresh().unwrap();
    assert_eq!(value(0), difficulty);
    assert_eq!(value(1), 3.125);
    // What the simulated pool draws for fees.
    assert!((0.0..0.3).contains(&value(2)), "{}", value(2));
    assert!((value(3) - value(1) - value(2)).abs() < 1e-9);
    proxy.shut_down(std::time::Duration::from_secs(1)).await;
    pool.shutdown().await;
}
