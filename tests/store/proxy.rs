//! A proxy with a store: what its miners do and what its pools say adds up in there, and can be exported while it runs.

use std::{path::Path, process::Command};

use hashgate::{
    census::Query,
    store::{During, RecordQuery, Span, Subject, Topic},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::{client::Client, farm, world::*};

fn export(config: &Path, what: &str, by: &str) -> Vec<Vec<String>> {
    let run = Command::new(env!("CARGO_BIN_EXE_hashgate"))
        .args(["export", "--from", "1h", "--what", what, "--by", by, "--config"])
        .arg(config)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let mut rows = csv::ReaderBuilder::new().has_headers(false).from_reader(&run.stdout[..]);
    rows.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_miners_find_and_pools_say_is_kept_and_exported() {
    for place in Place::all() {
        let config = place.folder.path().join("hashgate.toml");
        let text = format!(
            "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nurl = \"sim://\"\nuser = \"u\"\n[store]\n{}",
            place.lines
        );
        std::fs::write(&config, text).unwrap();
        let store = place.config("");
        let pool = farm::start(farm::easy()).await;
        let site = farm::Site::new().pool("only", pool.addr(), "");
        let proxy = site.tweak(move |config| config.store = Some((*store).clone())).start().await;
        let began = Timestamp::now();

        // One connection of two workers, behind each other.
        let mut miner = Client::connect(proxy.addresses()[0]).await;
        miner.subscribe(json!(["bmminer/2.0"])).await;
        for worker in ["farm.1", "farm.2"] {
            assert_eq!(miner.call("mining.authorize", json!([worker, "x"])).await["result"], true);
        }
        let workers = proxy.workers().unwrap().clone();
        eventually("both are known", async || (workers.summary().online == 2).then_some(())).await;
        for worker in ["farm.1", "farm.2", "farm.2"] {
            let share = miner.good_share().await;
            assert_eq!(miner.call("mining.submit", share.params(worker)).await["result"], true);
        }
        let share = miner.good_share().await;
        let refused = miner.call("mining.submit", share.params("nobody")).await;
        assert_eq!(refused["error"][0], 24, "{refused}");
        eventually("they are told of", async || {
            (workers.worker("farm.2").is_some_and(|worker| worker.totals.shares.found == 2)).then_some(())
        })
        .await;
        let one = workers.worker("farm.1").unwrap();
        assert_eq!(
            (one.totals.shares.found, one.totals.shares.refused(), one.agent.as_deref()),
            (1, 1, Some("bmminer/2.0"))
        );
        assert_eq!(
            (one.listener, one.route, one.difficulty.is_some(), one.last_share.is_some()),
            (0, Some(0), true, true)
        );
        let page = workers.page(&Query { search: Some("farm.2".to_owned()), limit: 10, ..Query::default() });
        assert_eq!((page.total, &*page.workers[0].name), (1, "farm.2"));

        // Comings and goings are there within seconds, and go out while the proxy runs.
        eventually("it is exported", async || {
            let config = config.clone();
            let rows = tokio::task::spawn_blocking(move || export(&config, "connections", "hour")).await.unwrap();
            let words: Vec<&str> = rows.iter().map(|row| &*row[3]).collect();
            words.contains(&"connected from 127.0.0.1 with bmminer/2.0").then_some(())
        })
        .await;
        drop(miner);
        eventually("they are gone", async || (workers.summary().online == 0).then_some(())).await;
        let store = proxy.store().unwrap().clone();
        let totals = proxy.totals();
        assert_eq!(proxy.shut_down(farm::LIMIT).await, 0);

        // The end writes what was counted, also of a minute that is not over.
        let during = During { from: began - SignedDuration::from_mins(2), to: Timestamp::now() };
        let sum = async |subject, name: &str| {
            let points = store.reader.series(subject, name, Span::Minute, during, 100).await.unwrap();
            points.iter().fold(hashgate::store::Counts::default(), |mut sum, point| {
                sum.add(&point.counts);
                sum
            })
        };
        assert_eq!((sum(Subject::Worker, "farm.1").await.found, sum(Subject::Worker, "farm.2").await.found), (1, 2));
        assert_eq!(sum(Subject::Worker, "farm.1").await.rejected, 1);
        let (site, pool_said) = (sum(Subject::Site, "").await, sum(Subject::Pool, "only").await);
        assert_eq!((site.found, site.rejected, site.work), (3, 1, totals.accepted_difficulty));
        assert_eq!((pool_said.forwarded, pool_said.accepted), (totals.forwarded, totals.router.pools[0].accepted));
        assert_eq!(sum(Subject::Route, "all").await.found, 3);
        let rejects = store.reader.rejects(Subject::Worker, "farm.1", Span::Minute, during).await.unwrap();
        assert_eq!(
            rejects.iter().map(|reject| (&*reject.reason, reject.count)).collect::<Vec<_>>(),
            [("unauthorized", 1)]
        );
        let query = RecordQuery { topics: vec![Topic::Connection], limit: 9, ..RecordQuery::default() };
        let changes = store.reader.records(query).await.unwrap().records;
        assert_eq!(changes.len(), 4, "{changes:?}");
        let rows = tokio::task::spawn_blocking(move || export(&config, "workers", "minute")).await.unwrap();
        assert_eq!(rows[0][..4], ["time", "worker", "hashrate_hs", "found"]);
        let found: u64 = rows[1..].iter().map(|row| row[3].parse::<u64>().unwrap()).sum();
        assert_eq!(found, 3);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_proxies_do_not_share_a_store() {
    for place in Place::all() {
        let open = place.open("");
        let second = place.open("");
        let trouble = eventually("it says why", async || second.store.status().trouble).await;
        assert!(trouble.contains("another proxy writes"), "{trouble}");
        open.close();
        second.queue.put_rows(vec![row(minute(SignedDuration::from_mins(2)), Subject::Site, "", 1)]);
        eventually("it takes over", async || second.store.status().written_at).await;
        second.close();
    }
}
