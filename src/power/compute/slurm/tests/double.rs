//! A double of `scontrol`: it keeps nodes in a file, writes down what it was told, and goes wrong as Slurm does.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

use tempfile::TempDir;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

/// Answers with `nodes`, does what `do` says for an update.
const SCRIPT: &str = r#"#!/bin/sh
cd "$(dirname "$0")" || exit 9
echo "$*" >> said
[ -e down ] && { echo "slurm_load_node error: Unable to contact slurm controller (connect failure)" >&2; exit 1; }
[ -e hangs ] && sleep 600
[ -e endless ] && exec cat /dev/zero
if [ "$1" = show ]; then cat nodes; exit 0; fi
[ -e refuses ] && { echo "slurm_update error: Invalid user id" >&2; exit 1; }
[ -e idles ] && exit 0
names=$(echo "$2" | sed 's/nodename=//; s/,/ /g')
for name in $names; do
    case "$3" in
        state=drain) sed -i "/^NodeName=$name /{s/ State=\([A-Z]*\)/ State=\1+DRAIN/2; s/ *$/ $4 [root@now]/; s/reason=/Reason=/}" nodes ;;
        state=resume) sed -i "/^NodeName=$name /{s/+DRAIN//; s/ Reason=.*//}" nodes ;;
        state=down) sed -i "/^NodeName=$name /{s/ State=[A-Z]*+DRAIN/ State=DOWN+DRAIN/; s/CPUAlloc=[0-9]*/CPUAlloc=0/; s/ Reason=.*/ $4 [root@now]/; s/reason=/Reason=/}" nodes ;;
        *) exit 1 ;;
    esac
done
"#;

struct Double {
    folder: TempDir,
    slurm: Slurm,
}

impl Double {
    /// Nodes with these states, at work or not.
    fn of(states: &[(&str, u32, &str)]) -> Self {
        Self::with(states, |_| ())
    }

    fn with(states: &[(&str, u32, &str)], change: impl FnOnce(&mut config::Slurm)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("scontrol");
        fs::write(&program, SCRIPT).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let names: Vec<String> = (1..=states.len()).map(|index| format!("gpu{index:02}")).collect();
        let mut config = config::Slurm {
            nodes: names.iter().map(|name| node(name)).collect(),
            // Through a shell, so that no other thread's fork holds the script open for writing.
            scontrol: vec!["/bin/sh".into(), program.to_str().unwrap().into()],
            timeout: LIMIT,
            power_saving: false,
            force_after: None,
            meter: None,
        };
        change(&mut config);
        let slurm = Slurm::new(&config, Ratio::new(1.25).unwrap()).settling_for(Duration::ZERO);
        let double = Self { folder, slurm };
        double.are(states);
        double
    }

    fn are(&self, states: &[(&str, u32, &str)]) {
        let lines: Vec<String> = states
            .iter()
            .enumerate()
            .map(|(index, (state, cpus, reason))| line(&format!("gpu{:02}", index + 1), state, *cpus, reason))
            .collect();
        fs::write(self.path("nodes"), lines.join("\n") + "\n").unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn fault(&self, name: &str) {
        fs::write(self.path(name), "").unwrap();
    }

    /// What it was told since it was asked last.
    fn updates(&self) -> Vec<String> {
        let said = fs::read_to_string(self.path("said")).unwrap_or_default();
        let _ = fs::remove_file(self.path("said"));
        said.lines().filter_map(|line| Some(line.strip_prefix("update nodename=")?.to_owned())).collect()
    }

    async fn grant(&self, number: u64, kilowatts: f64) -> Result<LeaseAnswer, DriverError> {
        self.grant_of(7, number, kilowatts, 120).await
    }

    /// Of IT.
    async fn grant_of(&self, epoch: u32, number: u64, kilowatts: f64, term: i64) -> Result<LeaseAnswer, DriverError> {
        let watts = Watts::from_kilowatts(kilowatts * 1.25).unwrap();
        let expires = Timestamp::now() + SignedDuration::from_secs(term);
        let lease = LeaseId((u64::from(epoch) << 32) | number);
        self.slurm.tell(LeaseMessage { lease, epoch: Epoch(epoch), what: LeaseOrder::Grant { watts, expires } }).await
    }

    async fn revoke(&self, number: u64, kilowatts: f64, in_seconds: i64) -> Result<LeaseAnswer, DriverError> {
        let watts = Watts::from_kilowatts(kilowatts * 1.25).unwrap();
        let deadline = Timestamp::now() + SignedDuration::from_secs(in_seconds);
        let lease = LeaseId(if number == 0 { 0 } else { (7 << 32) | number });
        self.slurm.tell(LeaseMessage { lease, epoch: Epoch(7), what: LeaseOrder::Revoke { watts, deadline } }).await
    }

    async fn draws(&self) -> f64 {
        self.slurm.status().await.unwrap().drawn.watts.get()
    }
}

const HELD: (&str, u32, &str) = ("IDLE+DRAIN", 0, REASON);

#[tokio::test]
async fn a_lease_comes_is_renewed_and_goes() {
    let double = Double::of(&[HELD, HELD, HELD]);
    assert_eq!(double.grant(1, 12.0).await, Ok(LeaseAnswer::Taken));
    assert_eq!(double.updates(), ["gpu01 state=resume"]);
    assert_eq!(double.grant(1, 12.0).await, Ok(LeaseAnswer::Taken));
    assert_eq!(double.updates(), [""; 0], "a renewal changes nothing");
    assert_eq!(double.grant(2, 9.0).await, Ok(LeaseAnswer::Taken));
    assert_eq!(double.updates(), ["gpu02 state=resume"]);
    double.are(&[("MIXED", 1, ""), ("MIXED", 1, ""), HELD]);
    assert_eq!(double.draws().await, 21_000.0);
    // Asked back: the job on the second runs on.
    assert_eq!(double.revoke(2, 9.0, 600).await, Ok(LeaseAnswer::Releasing));
    assert_eq!(double.updates(), ["gpu02 state=drain reason=hashgate: no power leased"]);
    assert_eq!(double.revoke(2, 9.0, -600).await, Ok(LeaseAnswer::Releasing), "no job is ended, however late it is");
    assert_eq!(double.updates(), [""; 0]);
    assert_eq!(double.grant(2, 9.0).await, Ok(LeaseAnswer::Refused), "what is asked back is not given again");
    double.are(&[("MIXED", 1, ""), HELD, HELD]);
    assert_eq!(double.revoke(2, 9.0, -600).await, Ok(LeaseAnswer::Released));
    assert_eq!(double.draws().await, 12_000.0);
    assert_eq!(double.revoke(0, 0.0, 0).await, Ok(LeaseAnswer::Releasing), "whatever it holds");
    assert_eq!(double.updates(), ["gpu01 state=drain reason=hashgate: no power leased"]);
}

#[tokio::test]
async fn who_was_told_nothing_commands_nothing_and_then_keeps_order() {
    let double = Double::of(&[("IDLE", 0, ""), HELD]);
    let status = double.slurm.status().await.unwrap();
    assert_eq!((status.epoch, status.drawn.watts.get()), (Epoch(0), 2_000.0));
    assert_eq!(&*status.state, "0 busy, 1 idle, 0 draining of 2");
    assert_eq!(double.updates(), [""; 0], "a dry run only reads");
    // A lease that lapses carries nothing.
    assert_eq!(double.grant_of(7, 1, 11.0, 2).await, Ok(LeaseAnswer::Taken));
    assert_eq!(double.updates(), [""; 0]);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(double.slurm.status().await.unwrap().epoch, Epoch(7));
    assert_eq!(double.updates(), ["gpu01 state=drain reason=hashgate: no power leased"]);
    // Somebody resumes a node that has no power.
    double.are(&[HELD, ("IDLE", 0, "")]);
    double.draws().await;
    assert_eq!(double.updates(), ["gpu02 state=drain reason=hashgate: no power leased"]);
    assert_eq!(double.grant_of(6, 9, 11.0, 120).await, Ok(LeaseAnswer::Refused), "of a controller that is gone");
}

#[tokio::test]
async fn after_a_restart_nothing_is_drained_before_all_leases_were_told() {
    let mut double = Double::of(&[("MIXED", 1, ""), ("MIXED", 1, ""), HELD]);
    double.slurm = double.slurm.settling_for(LIMIT);
    assert_eq!(double.grant(1, 12.0).await, Ok(LeaseAnswer::Taken));
    assert_eq!(double.revoke(3, 9.0, 600).await, Ok(LeaseAnswer::Releasing), "the second may be of another lease");
    assert_eq!(double.grant(2, 9.0).await, Ok(LeaseAnswer::Taken));
    assert_eq!(double.updates(), [""; 0]);
    assert_eq!(double.revoke(3, 9.0, 600).await, Ok(LeaseAnswer::Released));
    assert_eq!(double.revoke(2, 9.0, -1).await, Ok(LeaseAnswer::Releasing), "what is urgent does not wait");
    assert_eq!(double.updates(), ["gpu02 state=drain reason=hashgate: no power leased"]);
}

#[tokio::test]
async fn jobs_are_ended_where_the_operator_says_so() {
    let double = Double::with(&[("MIXED", 1, ""), ("MIXED", 1, "")], |config| {
        config.force_after = Some(Duration::from_secs(600))
    });
    double.grant(1, 11.0).await.unwrap();
    double.grant(2, 9.0).await.unwrap();
    double.updates();
    assert_eq!(double.revoke(2, 9.0, -500).await, Ok(LeaseAnswer::Releasing));
    assert_eq!(double.updates(), ["gpu02 state=drain reason=hashgate: no power leased"], "not late enough");
    assert_eq!(double.revoke(2, 9.0, -601).await, Ok(LeaseAnswer::Released));
    assert_eq!(double.updates(), ["gpu02 state=down reason=hashgate: no power leased, jobs ended"]);
}

#[tokio::test]
async fn what_goes_wrong_is_told_and_nothing_is_released() {
    let double = Double::with(&[("MIXED", 1, ""), HELD], |config| config.timeout = Duration::from_millis(1_500));
    let clear = |fault: &str| fs::remove_file(double.path(fault)).unwrap();
    double.grant(1, 11.0).await.unwrap();

    double.fault("down");
    for error in [double.revoke(1, 11.0, 0).await.unwrap_err(), double.slurm.status().await.unwrap_err()] {
        assert!(matches!(&error, DriverError::Unreachable(why) if why.contains("connect failure")), "{error}");
    }
    clear("down");
    double.fault("hangs");
    assert_eq!(double.revoke(1, 11.0, 0).await, Err(DriverError::Timeout(Duration::from_millis(1_500))));
    assert!(matches!(double.slurm.status().await, Err(DriverError::Timeout(_))));
    clear("hangs");
    double.fault("endless");
    let error = double.revoke(1, 11.0, 0).await.unwrap_err();
    assert!(matches!(error, DriverError::Garbled(_) | DriverError::Timeout(_)), "{error}");
    clear("endless");
    double.fault("refuses");
    let error = double.revoke(1, 11.0, 0).await.unwrap_err();
    assert!(matches!(&error, DriverError::Refused(why) if why.contains("Invalid user id")), "{error}");
    assert!(double.slurm.status().await.unwrap().state.contains("refused"), "a status is one all the same");
    clear("refuses");
    fs::write(double.path("nodes"), "garbage\n").unwrap();
    assert!(matches!(double.revoke(1, 11.0, 0).await, Err(DriverError::Garbled(_))));
    double.are(&[("MIXED", 1, "")]);
    let error = double.slurm.status().await.unwrap_err().to_string();
    assert!(error.contains("says nothing of gpu02"), "{error}");

    double.are(&[("MIXED", 1, ""), HELD]);
    assert_eq!(double.revoke(1, 11.0, 0).await, Ok(LeaseAnswer::Releasing));
}

#[tokio::test]
async fn a_large_cluster_fits() {
    let states = vec![HELD; 1_500];
    let double = Double::of(&states);
    double.fault("idles");
    assert_eq!(double.draws().await, 1_500_000.0);
    assert_eq!(double.grant(1, 15_000.0).await, Ok(LeaseAnswer::Taken));
    let updates = double.updates();
    assert_eq!(updates.len(), 2, "{} nodes of one update, the rest in another", MAX_NAMED);
}

/// A meter that says what it is told, or nothing.
struct Says(Option<f64>);

impl Ask for Says {
    fn ask<'a>(&'a self, _: &'a Target) -> Call<'a, Drawn> {
        let said = self.0.map(|watts| Drawn { watts: Watts::new(watts).unwrap(), mode: None });
        Box::pin(async { said.ok_or_else(|| DriverError::Unreachable("the PDU".to_owned())) })
    }
}

#[tokio::test]
async fn a_meter_is_believed_before_the_states_and_without_its_word_there_is_no_status() {
    let states = [("ALLOCATED", 2, ""), ("IDLE", 0, "")];
    assert_eq!(Double::of(&states).draws().await, 11_000.0, "by their states");
    let Double { slurm, folder } = Double::of(&states);
    let slurm = slurm.measured_by(Arc::new(Says(Some(9_600.0))));
    assert_eq!(slurm.status().await.unwrap().drawn.watts.get(), 9_600.0);
    let slurm = slurm.measured_by(Arc::new(Says(None)));
    assert!(matches!(slurm.status().await, Err(DriverError::Unreachable(_))));
    drop(folder);
}
