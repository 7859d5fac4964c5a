//! Slurm's words as they were recorded, which node gets power, and a double of `scontrol` that goes wrong.

mod double;
mod fits;

use super::{
    node::{Base, Power, read},
    *,
};

/// As Debian's 22.05 wrote it: idle, drained by us while a job runs, down, not reached, powered down.
const RECORDED: &str = include_str!("tests/nodes.txt");

fn node(name: &str) -> SlurmNode {
    let watts = |watts| Watts::new(watts).unwrap();
    SlurmNode { name: name.into(), power: watts(10_000.0), idle: watts(1_000.0), down: watts(9_000.0) }
}

/// One node with this state.
fn line(name: &str, state: &str, cpus: u32, reason: &str) -> String {
    let reason = if reason.is_empty() { String::new() } else { format!(" Reason={reason} [root@2026-01-31T03:09:32]") };
    format!(
        "NodeName={name} Arch=x86_64 CoresPerSocket=1  CPUAlloc={cpus} CPUEfctv=2 CPUTot=2 CPULoad=0.10 OS=Linux 6.1.0 #1 SMP State=IDLE @0  \
         RealMemory=100 Sockets=2 Boards=1 State={state} ThreadsPerCore=1 Weight=1 Partitions=all  BootTime=None{reason} "
    )
}

fn one(state: &str, cpus: u32, reason: &str) -> Seen {
    read(&[node("gpu01")], &line("gpu01", state, cpus, reason)).unwrap().remove(0)
}

fn counts(state: &str, cpus: u32) -> f64 {
    one(state, cpus, "").counts(&node("gpu01")).get()
}

#[test]
fn what_slurm_wrote_is_read() {
    let nodes: Vec<SlurmNode> = ["gpu01", "gpu02", "gpu03", "gpu04", "gpu05"].map(node).into();
    let seen = read(&nodes, RECORDED).unwrap();
    let told: Vec<_> = seen.iter().map(|seen| (seen.base, seen.is_drained, seen.is_ours, seen.is_busy())).collect();
    assert_eq!(
        told,
        [
            (Base::Idle, false, false, false),
            (Base::Allocated, true, true, true),
            (Base::Down, false, false, false),
            (Base::Other, false, false, false),
            (Base::Idle, false, true, false),
        ]
    );
    assert!(seen[3].is_silent && !seen[0].is_silent);
    assert_eq!(seen[4].power, Power::Off);
    // Nodes of others are left out; what Slurm does not know is named.
    assert_eq!(read(&nodes[1..2], RECORDED).unwrap(), seen[1..2]);
    let error = read(&[node("gpu01"), node("gpu99")], RECORDED).unwrap_err().to_string();
    assert!(error.contains("says nothing of gpu99: are they in its slurm.conf?"), "{error}");
    for garbage in ["", "\n\n", "<html>", "NodeName=gpu01", "NodeName=gpu01 State", "slurm_load_node error"] {
        assert!(matches!(read(&nodes[..1], garbage), Err(DriverError::Garbled(_))), "{garbage}");
    }
}

#[test]
fn what_is_not_known_counts_in_full() {
    for (state, cpus, wanted) in [
        ("IDLE", 0, 1_000.0),
        ("IDLE+DRAIN", 0, 1_000.0),
        ("IDLE+DRAIN+NOT_RESPONDING", 0, 1_000.0),
        ("IDLE", 1, 10_000.0),
        ("IDLE+COMPLETING+DRAIN", 0, 10_000.0),
        ("MIXED", 1, 10_000.0),
        ("MIXED+DRAIN", 1, 10_000.0),
        ("ALLOCATED+DRAIN+POWER_DOWN", 2, 10_000.0),
        ("DOWN", 0, 1_000.0),
        ("DOWN+DRAIN", 0, 1_000.0),
        ("DOWN+NOT_RESPONDING", 0, 9_000.0),
        ("DOWN*", 0, 9_000.0),
        ("DOWN*+DRAIN", 0, 9_000.0),
        ("DOWN+POWERED_DOWN", 0, 0.0),
        ("IDLE+POWERED_DOWN", 0, 0.0),
        ("IDLE+DRAIN+POWERED_DOWN", 0, 0.0),
        ("IDLE~", 0, 0.0),
        ("IDLE+POWERING_DOWN", 0, 1_000.0),
        ("IDLE%", 0, 1_000.0),
        ("IDLE#", 0, 10_000.0),
        ("MIXED+POWERED_DOWN", 1, 10_000.0),
        ("IDLE+POWER_UP+POWERED_DOWN+NOT_RESPONDING", 0, 10_000.0),
        ("MIXED+NOT_RESPONDING+POWERING_UP", 1, 10_000.0),
        ("IDLE+DRAIN+POWER_DOWN+NOT_RESPONDING+POWERING_UP", 0, 10_000.0),
        ("UNKNOWN+NOT_RESPONDING", 0, 10_000.0),
        ("FUTURE", 0, 10_000.0),
        ("ERROR", 0, 10_000.0),
        ("BLOCKED", 0, 10_000.0),
        ("", 0, 10_000.0),
    ] {
        assert_eq!(counts(state, cpus), wanted, "{state} with {cpus} processors taken");
    }
}

#[test]
fn only_a_node_that_we_have_drained_is_ours() {
    let is_held = |state: &str, reason: &str| one(state, 0, reason).is_held();
    assert!(is_held("IDLE+DRAIN", REASON) && is_held("IDLE+DRAIN+POWERED_DOWN", REASON));
    assert!(!is_held("IDLE", REASON), "a reason without a drain is an old one");
    assert!(!is_held("IDLE+DRAIN", "fan is broken") && !is_held("IDLE+DRAIN", ""));
    assert!(!is_held("IDLE+DRAIN", &format!("not {REASON}")));
    assert!(!is_held("DOWN+DRAIN", REASON), "it went down while we had it drained: a person looks at it");
    assert!(is_held("DOWN+DRAIN", node::ENDED) && !is_held("DOWN+DRAIN+NOT_RESPONDING", node::ENDED));
    assert!(!is_held("IDLE+DRAIN+FAIL", REASON));
}
