//! What is answered to what, and in which order.

use std::time::Duration;

use hashgate::sim::pool::{FirstJob, PoolSettings, SimPool, Strictness, Users};
use serde_json::json;

use crate::client::{Client, LIMIT};
use crate::{EASY, easy, start};

#[tokio::test]
async fn ids_come_back_verbatim() {
    let pool = start(easy()).await;
    let mut client = Client::connect(pool.addr()).await;
    for id in [
        "\"abc\"",
        "null",
        "7",
        "4e1",
        "{\"a\": 1}",
        "18446744073709551616",
    ] {
        client
            .send(&format!("{{\"id\":{id},\"method\":\"mining.ping\"}}"))
            .await;
        assert_eq!(
            client.line().await.unwrap(),
            format!("{{\"id\":{id},\"result\":\"pong\",\"error\":null}}\n")
        );
    }
    assert_eq!(
        client.call("mining.nonsense", json!([])).await["error"][0],
        -3
    );
}

#[tokio::test]
async fn configure_answers_what_was_asked_and_no_more() {
    let ask = json!([["version-rolling", "minimum-difficulty", "x"], {"version-rolling.mask": "00ffffff", "version-rolling.min-bit-count": 2}]);
    let refused = json!({"version-rolling": false, "minimum-difficulty": true, "x": false});
    let granted = |mask: &str| json!({"version-rolling": true, "version-rolling.mask": mask, "minimum-difficulty": true, "x": false});
    for (version_mask, unintersected_mask, expected) in [
        (Some(0x1fff_e000), false, granted("00ffe000")),
        (Some(0x1fff_e000), true, granted("1fffe000")),
        (Some(0x1f00_0000), false, refused.clone()),
        (None, false, refused),
    ] {
        let pool = start(PoolSettings {
            version_mask,
            unintersected_mask,
            ..easy()
        })
        .await;
        let mut client = Client::connect(pool.addr()).await;
        assert_eq!(
            client.call("mining.configure", ask.clone()).await["result"],
            expected
        );
    }
}

#[tokio::test]
async fn the_first_job_waits_for_the_login_or_not() {
    for (first_job, method) in [
        (FirstJob::AfterSubscribe, "mining.set_difficulty"),
        (FirstJob::AfterAuthorize, "mining.ping"),
    ] {
        let pool = start(PoolSettings {
            first_job,
            ..easy()
        })
        .await;
        let mut client = Client::connect(pool.addr()).await;
        client.subscribe(json!([])).await;
        client
            .send("{\"id\":\"p\",\"method\":\"mining.ping\"}")
            .await;
        let next = client.message().await.unwrap();
        let pong = next["result"] == "pong";
        assert_eq!(pong, method == "mining.ping", "{first_job:?}");
        client.call("mining.authorize", json!(["w"])).await;
        client.job().await;
        assert_eq!(client.jobs.len(), 1);
    }
}

#[tokio::test]
async fn authorizing_first_and_twice_is_fine() {
    let pool = start(easy()).await;
    let mut client = Client::connect(pool.addr()).await;
    assert_eq!(
        client.call("mining.authorize", json!(["w"])).await["result"],
        true
    );
    client.subscribe(json!([])).await;
    let extranonce1 = client.extranonce1.clone();
    client.job().await;
    client.subscribe(json!([])).await;
    assert_eq!(
        client.extranonce1, extranonce1,
        "a second subscribe changes nothing"
    );
    assert_eq!(
        client.call("mining.authorize", json!(["w.2", "x"])).await["result"],
        true
    );
    let share = client.good_share().await;
    assert_eq!(
        client.call("mining.submit", share.params("w.2")).await["result"],
        true
    );
}

#[tokio::test]
async fn only_known_users_are_let_in() {
    for users in [
        Users::Only(vec!["farm.1".into()]),
        Users::Prefix("farm".into()),
    ] {
        let pool = start(PoolSettings { users, ..easy() }).await;
        let mut client = Client::connect(pool.addr()).await;
        assert_eq!(
            client.call("mining.authorize", json!(["thief", "x"])).await["error"][0],
            24
        );
        assert_eq!(
            client
                .call("mining.authorize", json!(["farm.1", "x"]))
                .await["result"],
            true
        );
        let stats = pool.stats();
        assert_eq!((stats.authorized, stats.logins_refused), (1, 1));
    }
}

#[tokio::test]
async fn a_strict_pool_hangs_up() {
    let pool = start(PoolSettings {
        strictness: Strictness::ALL,
        ..easy()
    })
    .await;
    let long = format!(
        "{{\"id\":1,\"method\":\"mining.ping\",\"params\":[\"{}\"]}}",
        "x".repeat(1024)
    );
    for line in [
        long.as_str(),
        "{\"id\":1,\"method\":\"mining.extranonce.subscribe\",\"params\":[]}",
        "GET / HTTP/1.1",
    ] {
        let mut client = Client::connect(pool.addr()).await;
        client.send(line).await;
        assert_eq!(client.line().await, None, "{line}");
    }
    let mut client = Client::connect(pool.addr()).await;
    client.subscribe(json!([])).await;
    assert_eq!(
        client
            .call("mining.configure", json!([["version-rolling"], {}]))
            .await["error"][0],
        20
    );
    let stats = pool.stats();
    assert_eq!((stats.long_lines, stats.garbage_lines), (1, 1));

    let lenient = start(easy()).await;
    let mut client = Client::connect(lenient.addr()).await;
    client.send(&long).await;
    assert!(client.line().await.unwrap().contains("pong"));
    assert_eq!(lenient.stats().long_lines, 1);
}

#[tokio::test]
async fn a_suggested_difficulty_is_noted_and_honoured_if_so_set() {
    for (honour_suggested, expected) in [(false, EASY), (true, 2e-9)] {
        let pool = start(PoolSettings {
            honour_suggested,
            ..easy()
        })
        .await;
        let mut client = Client::connect(pool.addr()).await;
        client.subscribe(json!([])).await;
        assert_eq!(
            client
                .call("mining.suggest_difficulty", json!([2e-9]))
                .await["result"],
            true
        );
        client.call("mining.authorize", json!(["w"])).await;
        client.job().await;
        assert_eq!(client.difficulty, Some(expected));
        assert_eq!(pool.stats().suggested, [2e-9]);
    }
}

#[tokio::test]
async fn a_late_suggestion_holds_from_the_next_job_on() {
    let pool = start(PoolSettings {
        honour_suggested: true,
        ..easy()
    })
    .await;
    let mut client = Client::mining(pool.addr()).await;
    let job = client.job().await;
    let old = client.grind(&job, EASY, true, 0x2000_0000, None);
    client
        .call("mining.suggest_difficulty", json!([1e-6]))
        .await;
    assert_eq!(client.submit(&old).await["result"], true);
    assert_eq!(client.difficulty, Some(1e-6));
    pool.new_template();
    client.next_job().await;
    let new = client.good_share().await;
    assert_eq!(client.submit(&new).await["result"], true);
    assert_eq!(pool.accepted_shares()[1].difficulty, 1e-6);
}

#[tokio::test]
async fn a_session_id_brings_back_extranonce_and_jobs() {
    let pool = start(PoolSettings {
        resume: true,
        ..easy()
    })
    .await;
    let mut first = Client::mining(pool.addr()).await;
    let accepted = first.good_share().await;
    let open = first.good_share().await;
    assert_eq!(first.submit(&accepted).await["result"], true);
    let (session, extranonce1) = (first.session.clone(), first.extranonce1.clone());
    drop(first);
    pool.wait_for(LIMIT, |stats| stats.connections.is_empty())
        .await
        .expect("it leaves");

    let mut second = Client::connect(pool.addr()).await;
    second.subscribe(json!(["test/1", session])).await;
    assert_eq!(
        (&second.session, &second.extranonce1),
        (&session, &extranonce1)
    );
    second.call("mining.authorize", json!(["w", "x"])).await;
    assert_eq!(
        second.submit(&open).await["result"],
        true,
        "work from before the break counts"
    );
    assert_eq!(second.submit(&accepted).await["error"][0], 22, "once");
    assert_eq!(pool.stats().resumed, 1);

    let mut third = Client::connect(pool.addr()).await;
    third.subscribe(json!(["test/1", session])).await;
    assert_ne!(
        third.extranonce1, extranonce1,
        "a session in use is not given away"
    );
}

#[tokio::test]
async fn without_resume_everybody_is_new() {
    let pool = start(easy()).await;
    let first = Client::mining(pool.addr()).await;
    let (session, extranonce1) = (first.session.clone(), first.extranonce1.clone());
    drop(first);
    pool.wait_for(LIMIT, |stats| stats.connections.is_empty())
        .await
        .expect("it leaves");
    let mut second = Client::connect(pool.addr()).await;
    second.subscribe(json!(["test/1", session])).await;
    assert_ne!(second.extranonce1, extranonce1);
}

#[tokio::test]
async fn jobs_and_blocks_come_by_the_clock() {
    let settings = PoolSettings {
        notify_every: Duration::from_millis(20),
        clean_every: Some(Duration::from_millis(70)),
        ..easy()
    };
    let pool = start(settings).await;
    let mut client = Client::mining(pool.addr()).await;
    while client.jobs.iter().filter(|job| job.clean).count() < 3 {
        client.next_job().await;
    }
    let ids: std::collections::HashSet<_> = client.jobs.iter().map(|job| &job.id).collect();
    assert_eq!(ids.len(), client.jobs.len(), "job ids never repeat");
    assert!(client.jobs.iter().any(|job| !job.clean));
    for pair in client.jobs.windows(2) {
        assert_eq!(pair[1].clean, pair[0].prevhash != pair[1].prevhash);
    }
}

#[tokio::test]
async fn a_full_pool_closes_the_door() {
    let pool = start(PoolSettings {
        max_connections: 1,
        ..easy()
    })
    .await;
    let _first = Client::mining(pool.addr()).await;
    let mut second = Client::connect(pool.addr()).await;
    assert_eq!(second.line().await, None);
    assert_eq!(pool.stats().connections_refused, 1);
}

#[tokio::test]
async fn settings_without_sense_are_refused() {
    for settings in [
        PoolSettings {
            difficulty: 0.0,
            ..easy()
        },
        PoolSettings {
            extranonce1_len: 0,
            ..easy()
        },
        PoolSettings {
            extranonce2_size: 17,
            ..easy()
        },
        PoolSettings { nbits: 0, ..easy() },
        PoolSettings {
            notify_every: Duration::ZERO,
            ..easy()
        },
        PoolSettings {
            name: "a name that is far too long".into(),
            ..easy()
        },
    ] {
        let error = SimPool::start(settings).await.expect_err("refused");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
}
