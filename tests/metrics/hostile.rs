//! Miners who choose their names and programs to hurt.

use std::{collections::BTreeSet, time::Duration};

use hashgate::{
    app::Proxy,
    config::Config,
    metrics::MAX_SERIES_OF_MINERS,
    sim::pool::{Fault, PoolSettings, SimPool},
};
use serde_json::json;

use crate::{
    client::Client,
    promtool::complaints,
    site::{NoEnv, until},
};

/// So easy that every fourth hash is a share.
const EASY: f64 = 1.0 / (1 << 30) as f64;

/// Names in all, and of one connection.
const NAMES: usize = 5_000;
const OF_ONE: usize = 1_000;

/// Names with a share that the pool rejects: more than are counted apart.
const REJECTED: usize = 300;

/// No two are the same, and those of a kind differ only in what a careless hand takes away.
fn name(number: usize) -> String {
    let kinds = ["\\", "\\\\", "\"", "\\\"", "\\n", "\"} 1\\nhashgate_up 0 #", "{worker=\"x\"}", "ü🦀", "\t", ","];
    format!("w{}{}", number / kinds.len(), kinds[number % kinds.len()])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn miners_add_no_more_series_than_is_written_whatever_they_are_called() {
    let pool = PoolSettings { difficulty: EASY, ..PoolSettings::default() };
    let pool = SimPool::start(pool).await.unwrap();
    let text = format!(
        "[proxy]\nworkers = 2\nstate_file = \"\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n\
         [[listener]]\nname = \"farm\"\nlisten = \"127.0.0.1:0\"\ndifficulty = {EASY}\nmin_difficulty = {EASY}\n\
         [[pool]]\nname = \"eu\"\nurl = \"stratum+tcp://{}\"\nuser = \"u\"\n",
        pool.addr()
    );
    let (config, _) = Config::parse(&text, &NoEnv).unwrap();
    let proxy = Proxy::start(config).await.unwrap();
    let up = |page: &crate::scrape::Page| page.value("hashgate_pool_up", &[("pool", "eu")]) == Some(1.0);
    let before = until(&proxy, "the pool is there", up).await;
    pool.fault(Fault::RejectAll { code: 29, message: "\"} 1\nhashgate_up 0".into() });

    let (mut clients, mut sent, mut let_in) = (Vec::new(), 0, 0);
    for first in (0..NAMES).step_by(OF_ONE) {
        let mut client = Client::connect(proxy.addresses()[0]).await;
        client.subscribe(json!([format!("cgminer/\"}} 1\\\nhashgate_up {first}\n")])).await;
        for number in first..first + OF_ONE {
            let answer = client.call("mining.authorize", json!([name(number), "x\"}\\"])).await;
            let_in += usize::from(answer["result"] == true);
        }
        client.job().await;
        for number in first..first + REJECTED / (NAMES / OF_ONE) {
            let share = client.good_share().await;
            client.call("mining.submit", share.params(&name(number))).await;
            sent += 1;
        }
        clients.push(client);
    }
    assert!(let_in >= NAMES * 9 / 10, "{let_in} names were let in: this would prove nothing");
    let page = until(&proxy, "all is rejected", |page| {
        page.value("hashgate_pool_shares_rejected_total", &[("pool", "eu"), ("reason", "other")])
            >= Some(f64::from(sent))
    })
    .await;

    // That each line can be read, and none is there twice, was looked at when it was.
    let more = page.series.len() - before.series.len();
    assert!(more <= MAX_SERIES_OF_MINERS, "{more} more series, {MAX_SERIES_OF_MINERS} at most are promised");
    let named = page.series.iter().filter(|one| one.name == "hashgate_disagreements_total");
    let named: BTreeSet<&str> = named.map(|one| &*one.labels["worker"]).collect();
    assert!(named.len() > MAX_SERIES_OF_MINERS / 2, "the bound was not reached: {named:?}");
    let known: BTreeSet<String> = (0..NAMES).map(name).chain(["other".to_owned()]).collect();
    for worker in named {
        assert!(known.contains(worker), "{worker:?} is nobody's name");
    }
    assert!(!page.kinds.contains_key("hashgate_up"));
    assert_eq!(complaints(&page.text), "");
    drop(clients);
    proxy.shut_down(Duration::from_secs(1)).await;
    pool.shutdown().await;
}
