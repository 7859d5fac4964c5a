//! Which shares count.

use hashgate::sim::pool::{PoolSettings, ReplyForm, VersionDialect};
use serde_json::{Value, json};

use crate::client::{Client, LIMIT};
use crate::{EASY, easy, start};

#[tokio::test]
async fn a_good_share_is_accepted_and_recorded() {
    let pool = start(easy()).await;
    let mut client = Client::mining(pool.addr()).await;
    let share = client.good_share().await;
    let reply = client.submit(&share).await;
    assert_eq!(
        (&reply["result"], &reply["error"]),
        (&json!(true), &Value::Null)
    );
    let stats = pool.stats();
    assert_eq!(
        (
            stats.submits,
            stats.accepted,
            stats.rejected_total(),
            stats.blocks
        ),
        (1, 1, 0, 0)
    );
    assert_eq!(stats.accepted_difficulty, EASY);
    assert_eq!(stats.workers["w"].accepted, 1);
    assert_eq!(stats.connections[0].accepted, 1);
    assert_eq!(stats.connections[0].user_agent, "test/1");
    let recorded = pool.accepted_shares();
    assert_eq!(
        (recorded[0].hash.as_str(), recorded[0].worker.as_str()),
        (share.hash.as_str(), "w")
    );
    pool.shutdown().await;
}

#[tokio::test]
async fn every_fault_in_a_share_has_its_own_refusal() {
    let pool = start(easy()).await;
    let mut client = Client::mining(pool.addr()).await;
    client
        .call(
            "mining.configure",
            json!([["version-rolling"], {"version-rolling.mask": "1fffe000"}]),
        )
        .await;
    let job = client.job().await;
    let good = client.good_share().await;
    let low = client.grind(&job, EASY, false, job.version, None);

    let mut unknown_job = good.clone();
    unknown_job.job = "ffff".to_owned();
    let mut early = good.clone();
    early.ntime -= 1;
    let mut late = good.clone();
    late.ntime += 7201;
    let mut outside = good.clone();
    outside.bits = Some(0x2000_0000);
    let mut short = good.clone();
    short.extranonce2.pop();
    assert_eq!(client.submit(&good).await["result"], true);
    for (share, code, label) in [
        (&low, 23, "low-difficulty"),
        (&good, 22, "duplicate"),
        (&unknown_job, 21, "job-not-found"),
        (&early, 20, "ntime"),
        (&late, 20, "ntime"),
        (&outside, 20, "version-bits"),
        (&short, 20, "params"),
    ] {
        let before = pool.stats().rejected_for(label);
        let reply = client.submit(share).await;
        assert_eq!(reply["error"][0], code, "{label}: {reply}");
        assert_eq!(reply["result"], Value::Null);
        assert_eq!(pool.stats().rejected_for(label), before + 1, "{label}");
    }
    let reply = client.call("mining.submit", good.params("stranger")).await;
    assert_eq!(reply["error"][0], 24);
    let reply = client.call("mining.submit", json!(["w", job.id])).await;
    assert_eq!(reply["error"][0], 20);

    pool.new_block();
    let share = client.good_share().await;
    client.next_job().await;
    assert_eq!(
        client.submit(&share).await["error"],
        json!([21, "Stale", null])
    );
    let stats = pool.stats();
    assert_eq!(
        (
            stats.accepted,
            stats.rejected_for("stale"),
            stats.workers["w"].rejected
        ),
        (1, 1, 9)
    );
    assert_eq!(stats.submits, stats.accepted + stats.rejected_total());
}

#[tokio::test]
async fn submitting_needs_subscribe_and_authorize() {
    let pool = start(easy()).await;
    let mut client = Client::connect(pool.addr()).await;
    let submit = json!(["w", "1", "0000000000000001", "00000000", "00000000"]);
    assert_eq!(
        client.call("mining.submit", submit.clone()).await["error"][0],
        25
    );
    client.subscribe(json!([])).await;
    assert_eq!(client.call("mining.submit", submit).await["error"][0], 24);
}

#[tokio::test]
async fn an_older_job_on_the_same_block_still_counts() {
    let pool = start(easy()).await;
    let mut client = Client::mining(pool.addr()).await;
    let first = client.job().await;
    pool.new_template();
    let second = client.next_job().await;
    assert!(first.clean && !second.clean);
    assert_eq!(first.prevhash, second.prevhash);
    assert_ne!(
        (&first.id, &first.coinb1, &first.coinb2),
        (&second.id, &second.coinb1, &second.coinb2)
    );
    for job in [first, second] {
        let share = client.grind(&job, EASY, true, job.version, None);
        assert_eq!(client.submit(&share).await["result"], true);
    }
}

#[tokio::test]
async fn a_share_is_judged_by_the_difficulty_its_job_was_sent_at() {
    let pool = start(easy()).await;
    let mut client = Client::mining(pool.addr()).await;
    let easy_job = client.job().await;
    pool.set_difficulty(1e-7).unwrap();
    pool.new_template();
    let hard_job = client.next_job().await;
    assert_eq!(client.difficulty, Some(1e-7));
    // Hashes between the two bounds: fine for the old job, too weak for the new one.
    let mut between = |job: &crate::client::WireJob| loop {
        let share = client.grind(job, EASY, true, job.version, None);
        if share.hash.as_str() > "01ff" {
            break share;
        }
    };
    let (old, new) = (between(&easy_job), between(&hard_job));
    assert_eq!(client.submit(&old).await["result"], true);
    assert_eq!(client.submit(&new).await["error"][0], 23);
    let strong = client.grind(&hard_job, 1e-7, true, hard_job.version, None);
    assert_eq!(client.submit(&strong).await["result"], true);
    assert!((pool.stats().accepted_difficulty - 1.01e-7).abs() < 1e-15);
    assert!(pool.set_difficulty(f64::NAN).is_err());
}

#[tokio::test]
async fn each_dialect_merges_version_bits_its_own_way() {
    const MASK: u32 = 0x1fff_e000;
    const JOB: u32 = 0x2000_6000;
    const BITS: u32 = 0x0000_c000;
    for (dialect, version) in [
        (VersionDialect::Bip310, (JOB & !MASK) | BITS),
        (VersionDialect::Or, JOB | BITS),
        (VersionDialect::Xor, JOB ^ BITS),
    ] {
        let pool = start(PoolSettings {
            dialect,
            job_version: JOB,
            ..easy()
        })
        .await;
        let mut client = Client::mining(pool.addr()).await;
        client
            .call(
                "mining.configure",
                json!([["version-rolling"], {"version-rolling.mask": "ffffffff"}]),
            )
            .await;
        let job = client.job().await;
        assert_eq!(job.version, JOB);
        let rolled = client.grind(&job, EASY, true, version, Some(BITS));
        assert_eq!(client.submit(&rolled).await["result"], true, "{dialect:?}");
        assert_eq!(pool.accepted_shares()[0].hash, rolled.hash, "{dialect:?}");
        let plain = client.good_share().await;
        assert_eq!(
            client.submit(&plain).await["result"],
            true,
            "five parameters mean the job's version"
        );
        assert_eq!(pool.accepted_shares()[1].hash, plain.hash, "{dialect:?}");
    }
}

#[tokio::test]
async fn refusals_come_in_the_form_asked_for() {
    for reply_form in ReplyForm::ALL {
        let pool = start(PoolSettings {
            reply_form,
            ..easy()
        })
        .await;
        let mut client = Client::mining(pool.addr()).await;
        let share = client.good_share().await;
        assert_eq!(client.submit(&share).await["result"], true);
        let mut reply = client.submit(&share).await;
        reply.as_object_mut().unwrap().remove("id");
        let text = "Duplicate share";
        let expected = match reply_form {
            ReplyForm::ResultNullErrorTriple => json!({"result": null, "error": [22, text, null]}),
            ReplyForm::ResultFalseErrorTriple => {
                json!({"result": false, "error": [22, text, null]})
            }
            ReplyForm::FalseRejectReason => {
                json!({"result": false, "error": null, "reject-reason": text})
            }
            ReplyForm::ErrorString => json!({"result": null, "error": text}),
            ReplyForm::SlushArray => {
                json!({"result": null, "error": [22, text, "Traceback (most recent call last)"]})
            }
            ReplyForm::CodeMessageObject => {
                json!({"result": null, "error": {"code": 22, "message": text, "data": null}})
            }
        };
        assert_eq!(reply, expected, "{reply_form:?}");
    }
}

#[tokio::test]
async fn every_split_of_the_extranonce_can_be_mined() {
    for (extranonce1_len, extranonce2_size) in [
        (4, 2),
        (4, 3),
        (8, 4),
        (2, 5),
        (4, 6),
        (1, 7),
        (16, 8),
        (4, 16),
    ] {
        let pool = start(PoolSettings {
            extranonce1_len,
            extranonce2_size,
            ..easy()
        })
        .await;
        let mut client = Client::mining(pool.addr()).await;
        assert_eq!(
            (client.extranonce1.len(), client.extranonce2_size),
            (extranonce1_len, extranonce2_size)
        );
        let share = client.good_share().await;
        assert_eq!(
            client.submit(&share).await["result"],
            true,
            "{extranonce1_len}+{extranonce2_size}"
        );
    }
}

#[tokio::test]
async fn with_an_easy_network_target_shares_are_blocks() {
    let pool = start(PoolSettings {
        nbits: 0x207f_ffff,
        ..easy()
    })
    .await;
    let mut client = Client::mining(pool.addr()).await;
    let share = client.good_share().await;
    client.submit(&share).await;
    assert!(pool.accepted_shares()[0].is_block);
    assert_eq!(pool.stats().blocks, 1);
}

#[tokio::test]
async fn many_connections_submit_at_once_and_none_is_lost() {
    const CLIENTS: u64 = 100;
    const SHARES: u64 = 20;
    let pool = start(PoolSettings {
        extranonce2_size: 4,
        ..easy()
    })
    .await;
    let addr = pool.addr();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        tasks.spawn(async move {
            let mut client = Client::mining(addr).await;
            for _ in 0..SHARES {
                let share = client.good_share().await;
                assert_eq!(client.submit(&share).await["result"], true);
            }
            client.extranonce1
        });
    }
    let extranonces: std::collections::HashSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(
        extranonces.len() as u64,
        CLIENTS,
        "every connection has an extranonce1 of its own"
    );
    let stats = pool
        .wait_for(LIMIT, |stats| stats.connections.is_empty())
        .await
        .expect("all leave");
    assert_eq!(
        (
            stats.accepted,
            stats.rejected_total(),
            stats.connections_ever
        ),
        (CLIENTS * SHARES, 0, CLIENTS)
    );
}
