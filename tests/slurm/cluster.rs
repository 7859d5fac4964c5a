//! A real Slurm on one machine: `munged`, `slurmctld` and a `slurmd` for each node, in a folder and at ports of their own, over loopback.
//! Where Debian's `slurm-wlm` and `munge` are missing, tests say so and pass; with `HASHGATE_NEED_SLURM` set they fail.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hashgate::{
    config::{Slurm as Config, SlurmNode},
    power::{
        actuator::DriverError,
        compute::{Compute, Slurm},
        ledger::{Epoch, LeaseId},
        site::{LeaseAnswer, LeaseMessage, LeaseOrder},
    },
    profit::{Ratio, Watts},
};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

/// Turns a skip into a failure.
const NEED: &str = "HASHGATE_NEED_SLURM";

/// Longest wait for anything: a node counts as down after half a minute, and the machine may be busy.
pub const LIMIT: Duration = Duration::from_secs(180);

/// Where Debian puts them, which is not on everybody's path.
const PLACES: [&str; 2] = ["/usr/sbin", "/usr/bin"];

const PROGRAMS: [&str; 7] = ["munged", "slurmctld", "slurmd", "scontrol", "sbatch", "squeue", "scancel"];

/// Of a node, of IT.
pub const POWER: f64 = 10_000.0;
pub const IDLE: f64 = 1_000.0;

/// The cluster, until it is dropped.
pub struct Cluster {
    folder: TempDir,
    munged: Child,
    controller: Option<Child>,
    nodes: BTreeMap<String, Child>,
    names: Vec<String>,
    /// Lines of `power` that were followed.
    followed: usize,
    began: Instant,
}

impl Cluster {
    /// With so many nodes, all idle; `None` where there is no Slurm. `more` goes into its `slurm.conf`.
    pub fn start(nodes: usize, more: &str) -> Option<Self> {
        let missing =
            PROGRAMS.iter().find(|program| !PLACES.iter().any(|place| Path::new(place).join(program).exists()));
        let lack = match missing {
            Some(program) => Some(format!("{program} is not here (Debian: slurm-wlm, munge)")),
            None if !rustix::process::geteuid().is_root() => Some("slurmd has to be run as root".to_owned()),
            None => None,
        };
        if let Some(lack) = lack {
            assert!(std::env::var_os(NEED).is_none(), "{lack}, and {NEED} wants it");
            println!("skipped: {lack}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        for name in ["state", "jobs"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("munge.key"), rand::random::<[u8; 32]>().repeat(4)).unwrap();
        restrict(&folder.path().join("munge.key"));
        for name in ["suspend", "resume"] {
            let script = format!("#!/bin/sh\necho {name} $1 >> {}/power\n", folder.path().display());
            fs::write(folder.path().join(name), script).unwrap();
            executable(&folder.path().join(name));
        }
        let names: Vec<String> = (1..=nodes).map(|number| format!("gpu{number:02}")).collect();
        fs::write(folder.path().join("slurm.conf"), conf(folder.path(), &names, more)).unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let munged = Command::new(program("munged"))
            .args(["--foreground", "--force", "--num-threads=2"])
            .args(
                [("socket", "munge.sock"), ("key-file", "munge.key"), ("pid-file", "munge.pid"), ("seed-file", "seed")]
                    .map(|(key, name)| format!("--{key}={}", at(name))),
            )
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut cluster = Self {
            folder,
            munged,
            controller: None,
            nodes: BTreeMap::new(),
            names,
            followed: 0,
            began: Instant::now(),
        };
        cluster.until("munged listens", |cluster| cluster.path("munge.sock").exists());
        cluster.start_controller();
        for name in cluster.names.clone() {
            cluster.start_node(&name);
        }
        let all = cluster.names.len();
        cluster.until("all nodes are idle", |cluster| {
            let (_, said) = cluster.run("scontrol", &["show", "node", "-o"]);
            said.matches(" State=IDLE ").count() == all
        });
        Some(cluster)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn start_controller(&mut self) {
        let child = self.daemon("slurmctld", &[]);
        self.controller = Some(child);
        self.until("slurmctld answers", |cluster| cluster.run("scontrol", &["ping"]).1.contains(" is UP"));
    }

    pub fn kill_controller(&mut self) {
        end(self.controller.take());
    }

    pub fn start_node(&mut self, name: &str) {
        let child = self.daemon("slurmd", &["-N", name, "-b"]);
        end(self.nodes.insert(name.to_owned(), child));
    }

    pub fn kill_node(&mut self, name: &str) {
        end(self.nodes.remove(name));
    }

    fn daemon(&self, name: &str, more: &[&str]) -> Child {
        let log = fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        Command::new(program(name))
            .args(["-D", "-f"])
            .arg(self.path("slurm.conf"))
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    /// One of Slurm's commands: whether it ended well, and what it wrote.
    pub fn run(&self, name: &str, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new(program(name));
        let output = command.args(arguments).env("SLURM_CONF", self.path("slurm.conf")).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Submits a job that fills a node until it is told to end, or the cluster is gone.
    pub fn submit(&self, name: &str) {
        let (conf, end) = (self.path("slurm.conf"), self.path("jobs").join(name));
        let wait = format!("while [ -e {} ] && [ ! -e {} ]; do sleep 0.1; done", conf.display(), end.display());
        let folder = self.folder.path().display().to_string();
        let words = ["--exclusive", "-N1", "--requeue", "-o", "/dev/null", "-D", &folder, "-J", name, "--wrap", &wait];
        assert!(self.run("sbatch", &words).0, "{name} is not taken");
    }

    pub fn end_job(&self, name: &str) {
        fs::write(self.path("jobs").join(name), "").unwrap();
    }

    /// `PENDING`, `RUNNING`, … with Slurm's reason; nothing once it has ended.
    pub fn job(&self, name: &str) -> String {
        self.run("squeue", &["-h", "-n", name, "-o", "%T %r"]).1.trim().to_owned()
    }

    /// What Slurm says of a node.
    pub fn node(&self, name: &str) -> String {
        self.run("scontrol", &["show", "node", name, "-o"]).1
    }

    /// Does what Slurm's power saving wants of the machines.
    pub fn follow(&mut self) {
        let orders = fs::read_to_string(self.path("power")).unwrap_or_default();
        let orders: Vec<String> = orders.lines().skip(self.followed).map(str::to_owned).collect();
        for order in orders {
            self.followed += 1;
            let (what, list) = order.split_once(' ').unwrap();
            let names: Vec<String> = self.names.iter().filter(|name| has(list, name)).cloned().collect();
            assert!(!names.is_empty(), "{order}");
            for name in names {
                println!("{:6.1} s: Slurm: {what} {name}", self.began.elapsed().as_secs_f64());
                if what == "suspend" { self.kill_node(&name) } else { self.start_node(&name) }
            }
        }
    }

    pub fn until(&mut self, what: &str, mut is: impl FnMut(&mut Self) -> bool) {
        let begin = Instant::now();
        while !is(self) {
            if begin.elapsed() > LIMIT {
                let nodes = self.run("scontrol", &["show", "node", "-o"]).1;
                let log = fs::read_to_string(self.path("log")).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(40).collect();
                panic!(
                    "not so after {LIMIT:?}: {what}\n{nodes}\n{}",
                    tail.into_iter().rev().collect::<Vec<_>>().join("\n")
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        println!("{:6.1} s: {what}", self.began.elapsed().as_secs_f64());
    }

    /// A driver for its nodes that knows of nothing yet.
    pub fn driver(&self, change: impl FnOnce(&mut Config)) -> Driver {
        let watts = |watts| Watts::new(watts).unwrap();
        let node = |name: &String| SlurmNode {
            name: name.as_str().into(),
            power: watts(POWER),
            idle: watts(IDLE),
            down: watts(POWER),
        };
        let conf = format!("SLURM_CONF={}", self.path("slurm.conf").display());
        let mut config = Config {
            nodes: self.names.iter().map(node).collect(),
            scontrol: ["/usr/bin/env", &conf, &program("scontrol")].map(str::to_owned).into(),
            timeout: Duration::from_secs(60),
            power_saving: false,
            force_after: None,
            meter: None,
        };
        change(&mut config);
        Driver(Slurm::new(&config, Ratio::ONE).settling_for(Duration::ZERO))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.controller.is_some() {
            // Steps are processes of their own, which would outlive their node's daemon.
            self.run("scancel", &["--user", "root"]);
        }
        let begin = Instant::now();
        while self.controller.is_some()
            && begin.elapsed() < Duration::from_secs(10)
            && !self.run("squeue", &["-h"]).1.is_empty()
        {
            std::thread::sleep(Duration::from_millis(50));
        }
        std::mem::take(&mut self.nodes).into_values().for_each(|node| end(Some(node)));
        end(self.controller.take());
        let _ = self.munged.kill();
        let _ = self.munged.wait();
    }
}

/// The driver, spoken to in whole kilowatts of IT.
pub struct Driver(pub Slurm);

impl Driver {
    pub async fn grant(&self, lease: u64, kilowatts: f64) -> Result<LeaseAnswer, DriverError> {
        let expires = Timestamp::now() + SignedDuration::from_mins(30);
        self.say(lease, LeaseOrder::Grant { watts: Watts::from_kilowatts(kilowatts).unwrap(), expires }).await
    }

    /// With a deadline so long ago.
    pub async fn revoke(&self, lease: u64, kilowatts: f64, late: SignedDuration) -> Result<LeaseAnswer, DriverError> {
        let deadline = Timestamp::now() - late;
        self.say(lease, LeaseOrder::Revoke { watts: Watts::from_kilowatts(kilowatts).unwrap(), deadline }).await
    }

    /// Whatever there is, at once.
    pub async fn revoke_all(&self) -> Result<LeaseAnswer, DriverError> {
        self.revoke(LeaseId::EVERYTHING.0, 0.0, SignedDuration::ZERO).await
    }

    async fn say(&self, lease: u64, what: LeaseOrder) -> Result<LeaseAnswer, DriverError> {
        self.0.tell(LeaseMessage { lease: LeaseId(lease), epoch: Epoch(1), what }).await
    }

    /// Of IT, in watts.
    pub async fn draws(&self) -> Result<f64, DriverError> {
        self.0.status().await.map(|status| status.drawn.watts.get())
    }
}

fn conf(folder: &Path, names: &[String], more: &str) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let host = host.trim().split('.').next().unwrap();
    let at = folder.display();
    // None can be given port 0 and asked for what it got.
    let free: Vec<TcpListener> = (0..=names.len()).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let mut ports = free.iter().map(|free| free.local_addr().unwrap().port());
    let mut conf = format!(
        "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={}\nSlurmUser=root\n\
         AuthType=auth/munge\nAuthInfo=socket={at}/munge.sock\nCredType=cred/munge\nMpiDefault=none\nMailProg=/bin/true\n\
         ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSwitchType=switch/none\nJobAcctGatherType=jobacct_gather/none\n\
         SelectType=select/cons_tres\nSelectTypeParameters=CR_CPU\nSlurmdParameters=config_overrides\n\
         CommunicationParameters=NoCtldInAddrAny,NoInAddrAny\n\
         SchedulerParameters=batch_sched_delay=0,sched_min_interval=0\nSlurmdTimeout=5\nMessageTimeout=5\n\
         StateSaveLocation={at}/state\nSlurmdSpoolDir={at}/spool-%n\nSlurmctldPidFile={at}/slurmctld.pid\n\
         SlurmdPidFile={at}/slurmd-%n.pid\nSuspendProgram={at}/suspend\nResumeProgram={at}/resume\nSuspendTime=1000000\n{more}\n",
        ports.next().unwrap()
    );
    for (name, port) in names.iter().zip(ports) {
        conf += &format!("NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=1 State=UNKNOWN\n");
    }
    conf + "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n"
}

/// Whether Slurm's list has a node; lists of ours are short and without other names.
fn has(list: &str, name: &str) -> bool {
    let Some((prefix, ranges)) = list.trim_end_matches(']').split_once('[') else { return list == name };
    let Some(number) = name.strip_prefix(prefix).and_then(|number| number.parse::<u32>().ok()) else { return false };
    ranges.split(',').any(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        (from.parse().unwrap()..=to.parse().unwrap()).contains(&number)
    })
}

fn program(name: &str) -> String {
    let found = PLACES.iter().map(|place| format!("{place}/{name}")).find(|path| Path::new(path).exists());
    found.expect("it was looked for")
}

fn end(child: Option<Child>) {
    if let Some(mut child) = child {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn restrict(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o400)).unwrap();
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
