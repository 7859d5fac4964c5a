//! The webhook against the simulated AI site: both read the agreement for themselves.

use super::*;
use crate::sim::ai_site::{AiFault, AiSite, AiSiteSettings};

const IDLE: f64 = 1_000.0;

/// What a lease of these tests is for, IT.
const LEASE: f64 = 10_000.0;

/// Jobs start at once and run for long, so that what is drawn is what is leased.
async fn site() -> AiSite {
    let settings = AiSiteSettings {
        secret: SECRET.to_owned(),
        idle: IDLE,
        starts_within: Duration::from_millis(50),
        job: Duration::from_secs(3_600),
        release_time: Duration::from_millis(100),
        ..AiSiteSettings::default()
    };
    AiSite::start(settings).await.unwrap()
}

fn hook(site: &AiSite) -> Webhook {
    webhook(&site.url(), &site.status_url(), LIMIT)
}

#[tokio::test]
async fn a_lease_is_granted_renewed_asked_back_and_returned() {
    let site = site().await;
    let hook = hook(&site);
    let asked = Timestamp::now();
    let before = hook.status().await.unwrap();
    assert_eq!((before.epoch, before.drawn.watts.get(), &*before.state), (Epoch(0), IDLE, "idle"));
    assert!(before.drawn.taken_at >= asked && before.drawn.taken_at <= Timestamp::now());

    assert_eq!(hook.tell(grant(1)).await, Ok(LeaseAnswer::Taken));
    let running = until_it_draws(&hook, LEASE).await;
    assert_eq!((running.epoch, &*running.state, site.watts()), (Epoch(7), "running", LEASE));
    // A renewal is the same lease.
    assert_eq!(hook.tell(grant(1)).await, Ok(LeaseAnswer::Taken));
    assert_eq!((site.stats().grants, site.stats().renewals, site.watts()), (1, 1, LEASE));
    // An older controller gets nothing.
    assert_eq!(hook.tell(grant_in(6, 1)).await, Ok(LeaseAnswer::Refused));
    assert_eq!((site.stats().refused, site.watts()), (1, LEASE));

    assert_eq!(hook.tell(revoke(1)).await, Ok(LeaseAnswer::Releasing));
    until_it_says(&hook, revoke(1), LeaseAnswer::Released).await;
    assert_eq!(until_it_draws(&hook, IDLE).await.epoch, Epoch(7));
    assert_eq!(site.watts(), IDLE);
    // What overtook the revocation, or is replayed, is not taken any more; what it never had is released.
    assert_eq!(hook.tell(grant(1)).await, Ok(LeaseAnswer::Refused));
    assert_eq!(hook.tell(revoke(9)).await, Ok(LeaseAnswer::Released));
    let everything = LeaseMessage { lease: LeaseId::EVERYTHING, ..revoke(1) };
    assert_eq!(hook.tell(everything).await, Ok(LeaseAnswer::Released));
    site.shutdown().await;
    assert!(matches!(hook.tell(grant(2)).await, Err(DriverError::Unreachable(_))));
}

#[tokio::test]
async fn without_the_secret_nothing_moves() {
    let site = site().await;
    let stranger = webhook_with(&site.url(), &site.status_url(), LIMIT, "another");
    assert!(matches!(stranger.tell(grant(1)).await, Err(DriverError::Refused(why)) if why.contains("signature")));
    assert!(matches!(stranger.status().await, Err(DriverError::Refused(why)) if why.contains("clock")));
    assert_eq!((site.stats().unsigned, site.stats().grants), (2, 0));
}

#[tokio::test]
async fn every_fault_of_the_site_is_seen_as_what_it_is() {
    let site = site().await;
    let hook = hook(&site);

    site.fault(AiFault::Answers500);
    assert!(matches!(hook.tell(grant(1)).await, Err(DriverError::Unreachable(_))));
    assert!(matches!(hook.status().await, Err(DriverError::Unreachable(_))));
    assert_eq!(site.stats().grants, 0, "nothing was heard");
    site.fault(AiFault::Resume);

    // It heard, and answers too late: told again, it is one lease.
    let short = Duration::from_millis(200);
    let hasty = webhook(&site.url(), &site.status_url(), short);
    site.fault(AiFault::AnswersLate(LIMIT));
    assert_eq!(hasty.tell(grant(1)).await, Err(DriverError::Timeout(short)));
    assert_eq!(hasty.status().await.unwrap_err(), DriverError::Timeout(short));
    site.fault(AiFault::Resume);
    assert_eq!(hook.tell(grant(1)).await, Ok(LeaseAnswer::Taken));
    until_it_draws(&hook, LEASE).await;
    assert_eq!(site.stats().grants, 1);

    site.fault(AiFault::Overdraws(0.1));
    site.fault(AiFault::DrawsWithoutLease(500.0));
    until_it_draws(&hook, LEASE * 1.1 + 500.0).await;
    site.fault(AiFault::Resume);

    site.fault(AiFault::ShiftsTime(SignedDuration::from_secs(-45)));
    let behind = hook.status().await.unwrap().drawn.taken_at;
    assert!(Timestamp::now().duration_since(behind) >= SignedDuration::from_secs(45));
    site.fault(AiFault::ShiftsTime(SignedDuration::from_secs(90)));
    assert!(matches!(hook.status().await, Err(DriverError::Refused(why)) if why.contains("ahead of our clock")));
    site.fault(AiFault::ShiftsTime(SignedDuration::from_secs(-400)));
    assert!(matches!(hook.status().await, Err(DriverError::Refused(why)) if why.contains("nothing is known")));
    site.fault(AiFault::Resume);

    site.fault(AiFault::StuckStatus);
    site.fault(AiFault::ShiftsTime(SignedDuration::from_secs(50)));
    let first = hook.status().await.unwrap().drawn.taken_at;
    assert_eq!(hook.status().await.unwrap().drawn.taken_at, first, "a reading that is stuck ages, by whatever clock");
    site.fault(AiFault::Resume);

    site.fault(AiFault::DoesNotRelease);
    for _ in 0..3 {
        assert_eq!(hook.tell(revoke(1)).await, Ok(LeaseAnswer::Releasing));
    }
    assert_eq!(site.watts(), LEASE);
    site.fault(AiFault::Resume);
    until_it_says(&hook, revoke(1), LeaseAnswer::Released).await;

    site.fault(AiFault::DoesNotStart);
    assert_eq!(hook.tell(grant(2)).await, Ok(LeaseAnswer::Taken));
    site.fault(AiFault::Forgets);
    let forgot = hook_afresh(&site).status().await.unwrap();
    assert_eq!((forgot.epoch, forgot.drawn.watts.get()), (Epoch(0), IDLE));
    assert_eq!(hook.tell(revoke(2)).await, Ok(LeaseAnswer::Released));
}

/// One that remembers no status.
fn hook_afresh(site: &AiSite) -> Webhook {
    hook(site)
}
