//! Leases carried by a real Slurm: jobs wait for power, finish before it is given back, and are ended only where the operator says so.
//!
//! The cycle through a whole proxy, from a verdict to a job and back, is `cycle.rs`.
//!
//! Each test has a cluster of its own (`cluster.rs`) and prints when what happened: with `--nocapture` that is the timeline of a lease.

mod cluster;
mod cycle;

use cluster::{Cluster, IDLE, POWER};
use hashgate::power::{actuator::DriverError, site::LeaseAnswer::*};
use jiff::SignedDuration;

const NOW: SignedDuration = SignedDuration::ZERO;

/// Waits for an answer or a draw of the driver; what is asked has to be asked again.
macro_rules! until {
    ($cluster:expr, $what:expr, $ask:expr, $wanted:pat $(if $guard:expr)?) => {{
        let begin = std::time::Instant::now();
        loop {
            $cluster.follow();
            let said = $ask.await;
            if matches!(said, $wanted $(if $guard)?) {
                $cluster.until($what, |_| true);
                break;
            }
            assert!(begin.elapsed() < cluster::LIMIT, "not so: {}; {said:?}\n{}", $what, $cluster.node("gpu01"));
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }};
}

#[tokio::test]
async fn a_queued_job_starts_with_the_lease_and_a_running_one_finishes_before_it_is_back() {
    let Some(mut cluster) = Cluster::start(2, "ReturnToService=2") else { return };
    let driver = cluster.driver(|_| ());
    assert_eq!(driver.revoke_all().await, Ok(Released), "idle nodes are drained at once");
    assert_eq!(driver.draws().await, Ok(2.0 * IDLE));
    cluster.submit("first");
    cluster.submit("second");
    cluster.until("both jobs wait for power", |cluster| {
        // Slurm has looked at them: they have a reason.
        ["first", "second"].iter().all(|name| {
            let job = cluster.job(name);
            job.starts_with("PENDING") && !job.ends_with("None")
        })
    });

    // For one node at work and the other at rest, and not quite for two.
    assert_eq!(driver.grant(1, 19.0).await, Ok(Taken));
    cluster
        .until("the lease is granted, and the first job runs", |cluster| cluster.job("first").starts_with("RUNNING"));
    until!(cluster, "one node draws its power", driver.draws(), Ok(watts) if watts == POWER + IDLE);
    assert!(cluster.job("second").starts_with("PENDING"), "there is no power for it");
    assert_eq!(driver.grant(1, 19.0).await, Ok(Taken), "a renewal");
    assert!(cluster.node("gpu01").contains(" State=ALLOCATED "), "{}", cluster.node("gpu01"));

    for late in [-3600, 0, 3600] {
        assert_eq!(driver.revoke(1, 19.0, SignedDuration::from_secs(late)).await, Ok(Releasing));
    }
    assert!(cluster.job("first").starts_with("RUNNING"), "it finishes first");
    assert!(cluster.node("gpu01").contains(" State=ALLOCATED+DRAIN "), "{}", cluster.node("gpu01"));
    assert_eq!(driver.draws().await, Ok(POWER + IDLE), "and draws until then");
    cluster.end_job("first");
    until!(cluster, "the job has finished, and the lease is released", driver.revoke(1, 19.0, NOW), Ok(Released));
    assert_eq!(driver.draws().await, Ok(2.0 * IDLE));
    assert!(cluster.job("second").starts_with("PENDING"), "nobody lent it anything");

    // A driver that knows of nothing, as after a restart: the nodes are still ours by their reason.
    let driver = cluster.driver(|_| ());
    assert_eq!(driver.draws().await, Ok(2.0 * IDLE));
    assert!(cluster.run("scontrol", &["update", "nodename=gpu01", "state=drain", "reason=fan is broken"]).0);
    assert_eq!(driver.grant(2, 20.0).await, Ok(Taken));
    cluster.until("the second job runs", |cluster| cluster.job("second").starts_with("RUNNING"));
    assert!(cluster.node("gpu01").contains("State=IDLE+DRAIN"), "a person's drain stays: {}", cluster.node("gpu01"));
    cluster.end_job("second");
}

#[tokio::test]
async fn a_node_that_dies_counts_in_full_and_a_controller_that_is_gone_releases_nothing() {
    let Some(mut cluster) = Cluster::start(2, "ReturnToService=2") else { return };
    let driver = cluster.driver(|_| ());
    assert_eq!(driver.grant(1, 11.0).await, Ok(Taken));
    cluster.submit("job");
    cluster.until("the job runs", |cluster| cluster.job("job").starts_with("RUNNING"));
    assert!(cluster.node("gpu01").contains(" State=ALLOCATED "), "the other has no power: {}", cluster.node("gpu01"));

    cluster.kill_controller();
    for error in [driver.draws().await.unwrap_err(), driver.revoke(1, 11.0, NOW).await.unwrap_err()] {
        assert!(matches!(&error, DriverError::Unreachable(why) if why.contains("Unable to contact")), "{error}");
    }
    cluster.start_controller();
    until!(cluster, "slurmctld is back, and the job runs on", driver.revoke(1, 11.0, NOW), Ok(Releasing));

    // Its daemon dies; what the job does on it nobody knows.
    cluster.kill_node("gpu01");
    cluster.until("its node is down", |cluster| cluster.node("gpu01").contains(" State=DOWN+DRAIN+NOT_RESPONDING "));
    assert_eq!(driver.revoke(1, 11.0, NOW).await, Ok(Released), "Slurm's books have no job on it");
    assert_eq!(driver.draws().await, Ok(POWER + IDLE), "but its watts prove nothing");
    cluster.start_node("gpu01");
    until!(cluster, "its node is back, drained", driver.draws(), Ok(watts) if watts == 2.0 * IDLE);
    assert!(cluster.node("gpu01").contains("Reason=hashgate: no power leased"), "{}", cluster.node("gpu01"));
}

#[tokio::test]
async fn a_job_that_never_ends_keeps_its_power_unless_the_operator_has_it_ended() {
    // Slurm leaves a node down until somebody resumes it.
    let Some(mut cluster) = Cluster::start(1, "ReturnToService=0") else { return };
    let driver = cluster.driver(|_| ());
    assert_eq!(driver.grant(1, 10.0).await, Ok(Taken));
    cluster.submit("endless");
    cluster.until("the job runs", |cluster| cluster.job("endless").starts_with("RUNNING"));
    let days = SignedDuration::from_hours(240);
    for _ in 0..5 {
        assert_eq!(driver.revoke(1, 10.0, days).await, Ok(Releasing));
    }
    assert_eq!(driver.draws().await, Ok(POWER));

    let driver = cluster.driver(|config| config.force_after = Some(std::time::Duration::from_secs(7200)));
    assert_eq!(driver.revoke(1, 10.0, SignedDuration::from_mins(119)).await, Ok(Releasing), "not late enough");
    assert!(cluster.job("endless").starts_with("RUNNING"));
    until!(cluster, "the job is ended", driver.revoke(1, 10.0, SignedDuration::from_mins(121)), Ok(Released));
    assert!(cluster.job("endless").starts_with("PENDING"), "it is queued anew: {}", cluster.job("endless"));
    until!(cluster, "its node draws nothing for it", driver.draws(), Ok(IDLE));
    assert_eq!(driver.grant(2, 10.0).await, Ok(Taken));
    cluster.until("its node is there again", |cluster| {
        let node = cluster.node("gpu01");
        !node.contains("DRAIN") && !node.contains("DOWN")
    });
}

#[tokio::test]
async fn machines_are_switched_off_and_stay_off_while_jobs_wait() {
    let saving = "ReturnToService=2\nSuspendTimeout=8\nResumeTimeout=120";
    let Some(mut cluster) = Cluster::start(1, saving) else { return };
    let driver = cluster.driver(|config| config.power_saving = true);
    assert_eq!(driver.grant(1, 10.0).await, Ok(Taken));
    cluster.submit("first");
    cluster.submit("second");
    cluster.until("the first job runs", |cluster| cluster.job("first").starts_with("RUNNING"));
    assert_eq!(driver.revoke(1, 10.0, NOW).await, Ok(Releasing));
    cluster.end_job("first");
    until!(cluster, "the lease is released", driver.revoke(1, 10.0, NOW), Ok(Released));
    until!(cluster, "the machine is off", driver.draws(), Ok(0.0));
    until!(
        cluster,
        "and drained",
        async {
            let _ = driver.draws().await;
            Some(cluster.node("gpu01").contains(" State=IDLE+DRAIN+POWERED_DOWN "))
        },
        Some(true)
    );
    assert!(cluster.job("second").starts_with("PENDING"), "{}", cluster.job("second"));

    assert_eq!(driver.grant(2, 10.0).await, Ok(Taken));
    until!(
        cluster,
        "the machine is on, and the second job runs",
        async { Some(cluster.job("second").starts_with("RUNNING")) },
        Some(true)
    );
    assert_eq!(driver.draws().await, Ok(POWER));
    cluster.end_job("second");
}
