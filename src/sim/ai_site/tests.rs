//! The machines in virtual time; the server is met by the driver's tests (`power/compute/tests.rs`).

use super::*;

const IDLE: f64 = 1_000.0;

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_millisecond(1_769_860_800_000 + (seconds * 1e3) as i64).unwrap()
}

fn ai() -> Ai {
    let settings = AiSiteSettings {
        capacity: 50_000.0,
        idle: IDLE,
        starts_within: Duration::from_secs(4),
        job: Duration::from_secs(100),
        gap: Duration::from_secs(20),
        release_time: Duration::from_secs(5),
        ..AiSiteSettings::default()
    };
    Ai::new(settings, at(0.0))
}

/// Has a lease of 10 kW until 600 s, and a job under it that runs since 4 s at the latest.
fn busy() -> Ai {
    let mut ai = ai();
    assert_eq!(ai.grant(at(0.0), "7-1", 7, 10_000.0, at(600.0)), Said::Taken);
    assert_eq!(ai.watts(at(4.0)), 10_000.0);
    ai
}

#[test]
fn jobs_come_and_go_under_a_lease_and_the_last_ends_after_it_expired() {
    let mut ai = ai();
    ai.grant(at(0.0), "7-1", 7, 10_000.0, at(550.0));
    let drawn: Vec<f64> = (0..900).map(|second| ai.watts(at(f64::from(second)))).collect();
    let starts = drawn.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!(
        (4..=5).contains(&starts) && drawn[105..120].iter().all(|watts| *watts == IDLE),
        "{starts} jobs, with gaps"
    );
    assert!(drawn[550..580].iter().all(|watts| *watts == 10_000.0), "the last job runs to its end");
    assert!(drawn[585..].iter().all(|watts| *watts == IDLE), "no job starts under an expired lease");
    // A renewal lets the next one start.
    assert_eq!(ai.grant(at(900.0), "7-1", 7, 10_000.0, at(1_200.0)), Said::Taken);
    assert_eq!(ai.watts(at(901.0)), 10_000.0);
    assert_eq!((ai.stats.grants, ai.stats.renewals), (1, 1));
}

#[test]
fn messages_are_idempotent_and_higher_epochs_win() {
    let mut ai = busy();
    assert_eq!(ai.grant(at(5.0), "7-1", 7, 10_000.0, at(600.0)), Said::Taken);
    assert_eq!(ai.watts(at(5.0)), 10_000.0, "one lease, not two");
    assert_eq!(ai.grant(at(5.0), "6-9", 6, 5_000.0, at(600.0)), Said::Refused("of a lower epoch"));
    assert_eq!(ai.grant(at(5.0), "8-1", 8, 5_000.0, at(600.0)), Said::Taken);
    assert_eq!(ai.grant(at(5.0), "7-1", 7, 10_000.0, at(900.0)), Said::Refused("of a lower epoch"));
    assert_eq!(ai.watts(at(9.0)), 15_000.0);
    assert_eq!(ai.revoke(at(9.0), "7-1", 3, at(9.0)), Said::Releasing, "any revocation is taken");
    assert_eq!(ai.grant(at(9.0), "7-1", 8, 10_000.0, at(900.0)), Said::Releasing, "never refused while it draws");
    assert_eq!(ai.revoke(at(14.5), "7-1", 8, at(9.0)), Said::Released);
    assert_eq!(ai.grant(at(15.0), "7-1", 8, 10_000.0, at(900.0)), Said::Refused("it was asked back before"));
    assert_eq!(ai.revoke(at(15.0), "9-9", 9, at(15.0)), Said::Released, "it never had it");
    assert_eq!(ai.grant(at(15.0), "9-9", 9, 1.0, at(900.0)), Said::Refused("it was asked back before"));
    assert_eq!(ai.grant(at(15.0), "9-10", 9, 1.0, at(15.0)), Said::Refused("it has expired"));
    assert_eq!(ai.status(at(15.0)).epoch, 9);
}

#[test]
fn a_running_job_drains_until_its_end_or_the_deadline() {
    let mut ai = busy();
    assert_eq!(ai.revoke(at(10.0), "7-1", 7, at(60.0)), Said::Releasing);
    assert_eq!((ai.status(at(10.0)).state, ai.watts(at(64.9))), ("draining", 10_000.0));
    assert_eq!((ai.watts(at(65.0)), ai.stats.released), (IDLE, 1));
    // The job's own end is earlier than this deadline; asked again, the deadline is now.
    let mut ai = busy();
    ai.revoke(at(10.0), "0-0", 7, at(500.0));
    assert_eq!(ai.watts(at(110.0)), IDLE);
    let mut ai = busy();
    ai.revoke(at(10.0), "7-1", 7, at(500.0));
    assert_eq!(ai.revoke(at(20.0), "0-0", 7, at(0.0)), Said::Releasing);
    assert_eq!((ai.watts(at(24.9)), ai.watts(at(25.0))), (10_000.0, IDLE));
    assert_eq!(ai.revoke(at(26.0), "0-0", 7, at(0.0)), Said::Released);
}

#[test]
fn every_fault_shows_and_ends() {
    let end = |ai: &mut Ai| ai.fault(AiFault::Resume, at(30.0));

    let mut site = ai();
    site.fault(AiFault::DoesNotStart, at(0.0));
    site.grant(at(0.0), "7-1", 7, 10_000.0, at(600.0));
    assert_eq!(site.watts(at(30.0)), IDLE);
    end(&mut site);
    assert_eq!(site.watts(at(30.0)), 10_000.0);

    site = busy();
    site.fault(AiFault::DoesNotRelease, at(5.0));
    site.revoke(at(5.0), "7-1", 7, at(5.0));
    assert_eq!((site.watts(at(29.0)), site.revoke(at(29.0), "7-1", 7, at(5.0))), (10_000.0, Said::Releasing));
    end(&mut site);
    assert_eq!(site.watts(at(30.0)), IDLE);

    site = busy();
    site.fault(AiFault::ReleasesLate(Duration::from_secs(10)), at(5.0));
    site.revoke(at(5.0), "7-1", 7, at(5.0));
    assert_eq!((site.watts(at(19.9)), site.watts(at(20.0))), (10_000.0, IDLE));

    site = busy();
    site.fault(AiFault::Overdraws(0.1), at(5.0));
    assert_eq!(site.watts(at(5.0)), 11_000.0);
    site.fault(AiFault::DrawsWithoutLease(500.0), at(5.0));
    assert_eq!(site.watts(at(5.0)), 11_500.0);
    site.fault(AiFault::HidesItsDraw, at(5.0));
    assert_eq!((site.status(at(5.0)).watts, site.watts(at(5.0))), (IDLE, 11_500.0));
    end(&mut site);
    assert_eq!(site.status(at(30.0)).watts, 10_000.0);

    site = busy();
    site.fault(AiFault::Forgets, at(5.0));
    assert_eq!((site.watts(at(5.0)), site.status(at(5.0)).epoch), (IDLE, 0));
    assert_eq!(site.grant(at(6.0), "6-1", 6, 1_000.0, at(600.0)), Said::Taken);

    site = busy();
    site.fault(AiFault::ShiftsTime(jiff::SignedDuration::from_secs(-45)), at(5.0));
    assert_eq!(site.status(at(50.0)).observed_at, at(5.0));
    end(&mut site);
    site.fault(AiFault::StuckStatus, at(31.0));
    site.revoke(at(32.0), "7-1", 7, at(32.0));
    let stuck = site.status(at(99.0));
    assert_eq!((stuck.watts, stuck.observed_at, site.watts(at(99.0))), (10_000.0, at(31.0), IDLE));
}

#[test]
fn faults_have_words() {
    for (word, fault) in [
        ("does-not-start", AiFault::DoesNotStart),
        ("does-not-release", AiFault::DoesNotRelease),
        ("releases-late=30s", AiFault::ReleasesLate(Duration::from_secs(30))),
        ("overdraws=10%", AiFault::Overdraws(0.1)),
        ("draws-without-lease=5000", AiFault::DrawsWithoutLease(5_000.0)),
        ("forgets", AiFault::Forgets),
        ("answers-500", AiFault::Answers500),
        ("answers-late=20s", AiFault::AnswersLate(Duration::from_secs(20))),
        ("shifts-time=45s", AiFault::ShiftsTime(jiff::SignedDuration::from_secs(45))),
        ("shifts-time=-45s", AiFault::ShiftsTime(jiff::SignedDuration::from_secs(-45))),
        ("stuck-status", AiFault::StuckStatus),
        ("hides-its-draw", AiFault::HidesItsDraw),
        ("resume", AiFault::Resume),
    ] {
        assert_eq!(word.parse(), Ok(fault), "{word}");
    }
    for word in
        ["", "burns", "overdraws", "overdraws=10", "overdraws=-1%", "answers-late=soon", "forgets=1", "resume=x"]
    {
        assert!(word.parse::<AiFault>().is_err(), "{word}");
    }
}
