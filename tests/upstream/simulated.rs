//! Against the simulated pool, which hashes every share with code of its own.

use std::{collections::HashMap, time::Duration};

use hashgate::{
    sim::pool::{Fault, PoolSettings, ReplyForm, SimPool, Strictness, VersionDialect},
    upstream::{Event, Origin, Outgoing, Settlement},
    work::SubmittedVersion,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{DEADLINE, Router, share};

/// Every hash is a share, and everything that a pool may be petty about, it is.
fn settings() -> PoolSettings {
    PoolSettings {
        difficulty: 1e-10,
        strictness: Strictness::ALL,
        resume: true,
        record_shares: 10_000,
        ..PoolSettings::default()
    }
}

async fn start(settings: PoolSettings, more: &str) -> (SimPool, Router) {
    let pool = SimPool::start(settings).await.unwrap();
    let router = Router::start(&format!("stratum+tcp://{}", pool.addr()), more);
    (pool, router)
}

#[tokio::test]
async fn what_was_hashed_is_what_the_pool_credits_in_every_dialect() {
    for (dialect, name, job_version) in [
        (VersionDialect::Bip310, "bip310", 0x2000_2000),
        (VersionDialect::Xor, "xor", 0x2000_2000),
        (VersionDialect::Or, "or", 0x2000_0000),
        (VersionDialect::Bip310, "bip310", 0x2000_0000),
    ] {
        let settings = PoolSettings { dialect, job_version, ..settings() };
        let (pool, mut router) = start(settings, &format!("dialect = \"{name}\"")).await;
        router.ready().await;
        let job = router.job().await;
        let mut hashes = Vec::new();
        for (nonce, bits) in [0, 0x2000, 0x1fff_e000, 0x4000].into_iter().enumerate() {
            let share = share(&job, nonce as u32, SubmittedVersion::Bits(bits));
            hashes.push(share.hash().to_string());
            let origin = Origin { worker: 0, connection: 0, ticket: nonce as u32, is_counted: false };
            router.handle.shares().try_send(Outgoing { share, user: "u".into(), origin }).unwrap();
        }
        for _ in &hashes {
            let (_, settlement) = router.settled().await;
            assert!(matches!(settlement, Settlement::Accepted { .. }), "{name}: {settlement:?}");
        }
        let credited: Vec<String> = pool.accepted_shares().into_iter().map(|share| share.hash).collect();
        assert_eq!(credited, hashes, "{name}");
        assert_eq!((pool.stats().long_lines, pool.stats().garbage_lines), (0, 0));
    }
}

#[tokio::test]
async fn a_reject_is_understood_in_every_form() {
    for reply_form in ReplyForm::ALL {
        let (pool, mut router) = start(PoolSettings { reply_form, ..settings() }, "").await;
        router.ready().await;
        let job = router.job().await;
        pool.new_block();
        router.job().await;
        router.submit(&job, 1);
        let (_, settlement) = router.settled().await;
        assert!(matches!(&settlement, Settlement::Rejected(error) if error.label() == "stale"), "{settlement:?}");
    }
}

#[tokio::test]
async fn each_worker_is_credited_under_its_own_name_where_names_are_forwarded() {
    let (pool, mut router) = start(settings(), "workers = \"forward\"\nuser = \"acct.{worker}\"").await;
    router.ready().await;
    let job = router.job().await;
    for (ticket, user) in ["farm.a", "farm.b", "farm.a"].into_iter().enumerate() {
        let origin = Origin { worker: 0, connection: 0, ticket: ticket as u32, is_counted: false };
        let share = share(&job, ticket as u32, SubmittedVersion::Unrolled);
        router.handle.shares().try_send(Outgoing { share, user: user.into(), origin }).unwrap();
    }
    for _ in 0..3 {
        assert!(matches!(router.settled().await.1, Settlement::Accepted { .. }));
    }
    let credited = pool.stats().workers;
    assert_eq!((credited["acct.a"].accepted, credited["acct.b"].accepted), (2, 1));
}

#[tokio::test]
async fn a_new_extranonce_and_a_new_mask_reach_the_router_and_shares_stay_right() {
    let (pool, mut router) = start(settings(), "").await;
    let first = router.ready().await;
    let old = router.job().await;
    // The subscription to extranonces is behind the first job; a share behind it says that it has arrived.
    router.submit(&old, 0);
    router.settled().await;
    pool.fault(Fault::Extranonce { extranonce2_size: 6 });
    pool.new_template();
    let second = router.ready().await;
    assert_ne!(first.id, second.id);
    assert_eq!((second.extranonce1.len(), second.extranonce2_size), (6, 6));
    router.job().await;
    router.submit(&old, 1);
    assert_eq!(router.settled().await, (1, Settlement::Lost));
    pool.fault(Fault::VersionMask(0x00c0_0000));
    let third = router.ready().await;
    assert_eq!((third.id, third.version_mask), (second.id, 0x00c0_0000));
}

#[tokio::test]
async fn every_share_is_settled_once_whatever_happens_to_the_pool() {
    const SHARES: u32 = 400;
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (pool, mut router) = start(settings(), "reply_timeout = \"1s\"").await;
    router.ready().await;
    let mut job = router.job().await;
    let mut settled: HashMap<u32, Settlement> = HashMap::new();
    let take = |settled: &mut HashMap<u32, Settlement>, event: Event| {
        if let Event::Settled { outgoing, settlement } = event {
            let ticket = outgoing.origin.ticket;
            assert_eq!(settled.insert(ticket, settlement), None, "share {ticket} is settled twice (seed {seed})");
        }
    };
    for nonce in 0..SHARES {
        router.submit(&job, nonce);
        match rng.random_range(0..40) {
            0 => pool.fault(Fault::DropConnections),
            1 => pool.fault(Fault::Down(Duration::from_millis(50))),
            2 => pool.fault(Fault::SilentReplies),
            3 | 4 => pool.fault(Fault::Resume),
            5 => pool.new_block(),
            6 => pool.fault(Fault::SlowReplies(Duration::from_millis(20))),
            7 => pool.fault(Fault::Garbage),
            8 => tokio::time::sleep(Duration::from_millis(20)).await,
            _ => tokio::task::yield_now().await,
        }
        while let Ok((_, event)) = router.events.try_recv() {
            if let Event::Job(new) = &event {
                job = new.clone();
            }
            take(&mut settled, event);
        }
    }
    pool.fault(Fault::Resume);
    while settled.len() < SHARES as usize {
        router.handle.connect_now();
        take(&mut settled, router.event().await);
    }
    let accepted = settled.values().filter(|end| matches!(end, Settlement::Accepted { .. })).count() as u64;
    let stats = pool.wait_for(DEADLINE, |stats| stats.accepted >= accepted).await;
    assert!(stats.is_ok(), "{accepted} accepted, the pool says {stats:?} (seed {seed})");
}
