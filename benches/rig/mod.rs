//! What benches and fuzz targets need of a proxy without its sockets: a realistic job, a listener, miners that are logged in.
//!
//! The job has the sizes of the simulated pool's, which are those of a large public one: a coinbase of 250 bytes of which 57 come
//! before the miner's extranonce, and 12 merkle branches. Difficulties are so low that one hash in some four is a share.

// Each program that includes this file uses a part of it.
#![allow(dead_code)]

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use hashgate::{
    config::{Config, Env},
    downstream::{Attached, Effect, Io, Leased, ListenerSettings, Parked, Session, vardiff::VardiffSettings},
    router::{ExtranonceLease, LaneId, Layout, LeaseTerms, Offer, Released, SessionId},
    stratum::{Notify, VersionDialect},
    work::{Difficulty, Extranonce, Job, JobId, JobIds, Judge, Submission, SubmittedVersion, UpstreamId, WorkSeries},
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// As pools grant it, and as the simulated one does.
pub const VERSION_MASK: u32 = 0x1fff_e000;

/// Bytes that the pool's extranonce2 of 8 has beyond lease id and the miner's part.
const SALT_LEN: usize = 1;

/// What a listener offers where the smallest pool has 8 bytes.
pub const LAYOUT: Layout = Layout { id_len: 3, extranonce2_size: 4 };

/// The lowest difficulty that a listener takes: a share in 4.3 hashes.
pub const DIFFICULTY: f64 = 1e-9;

const NTIME: u32 = 0x6a00_0000;

/// The version bits of [`shares`].
pub const ROLLED: u32 = 0x0040_0000;

/// A config's surroundings: no variables, no files.
pub struct NoEnv;

impl Env for NoEnv {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn read_file(&self, _: &Path) -> std::io::Result<String> {
        Err(std::io::ErrorKind::NotFound.into())
    }
}

/// The smallest config, with more lines for its pool.
pub fn config(pool: &str) -> Config {
    let text = format!(
        r#"
[[listener]]
name = "farm"
listen = "127.0.0.1:0"
difficulty = {DIFFICULTY}
min_difficulty = {DIFFICULTY}
max_difficulty = {DIFFICULTY}
[[pool]]
name = "eu"
url = "stratum+tcp://pool.example:3333"
user = "account"
{pool}
"#
    );
    Config::parse(&text, &NoEnv).expect("the rig's config is valid").0
}

/// The settings of a listener that never changes a difficulty.
pub fn listener() -> Arc<ListenerSettings> {
    let config = config("");
    let listener = config.listeners[0].clone();
    let vardiff = VardiffSettings {
        shares_per_minute: listener.vardiff.shares_per_minute,
        min: listener.vardiff.min,
        max: listener.vardiff.max,
    };
    Arc::new(ListenerSettings { index: 0, limits: config.limits, vardiff: Arc::new(vardiff), listener })
}

/// The `params` of a pool's notify.
pub fn notify_params(job_id: &str, clean: bool) -> String {
    let branch = |at: u8| format!("\"{}\"", hex::encode([at; 32]));
    let branches: Vec<String> = (1..=12).map(branch).collect();
    format!(
        r#"["{job_id}","{}00000000","{}","{}",[{}],"20000000","1703255b","{NTIME:08x}",{clean}]"#,
        "9a".repeat(28),
        "01".repeat(52),
        "02".repeat(186),
        branches.join(","),
    )
}

/// A pool's job.
pub fn job(pool_difficulty: f64) -> Arc<Job> {
    let notify = Notify::parse(&notify_params("1f", true)).expect("the rig's notify is valid");
    let difficulty = Difficulty::new(pool_difficulty).expect("the rig's difficulty is positive");
    let job = Job::new(UpstreamId(1), notify, &[8, 0, 0, 2], difficulty, VERSION_MASK, VersionDialect::Bip310);
    Arc::new(job.expect("the rig's job can be mined"))
}

/// Makes series of work, as the router does.
pub struct Works {
    ids: Arc<JobIds>,
}

impl Works {
    /// Ids from 0 on.
    pub fn new() -> Self {
        Self { ids: Arc::new(JobIds::starting_at(0)) }
    }

    /// The work of a job.
    pub fn series(&self, job: &Arc<Job>) -> Arc<WorkSeries> {
        Arc::new(WorkSeries::new(job.clone(), self.ids.clone(), LAYOUT.split(SALT_LEN)))
    }
}

/// A miner's extranonce1.
pub fn lease_id(miner: u64) -> Extranonce {
    Extranonce::from_number(miner, LAYOUT.id_len.into())
}

/// Shares of the first work of a series that meet [`DIFFICULTY`], found by hashing. They roll version bits.
pub fn shares(series: &WorkSeries, miner: u64, count: usize) -> Vec<Submission> {
    let (work, lease) = (series.first(), lease_id(miner));
    let target = difficulty().target();
    let extranonce2 = Extranonce::from_number(1, LAYOUT.extranonce2_size.into());
    let found = |nonce: &u32| target.is_met_by(&work.hash(&lease, &extranonce2, NTIME, *nonce, work.version | ROLLED));
    (0..)
        .filter(found)
        .take(count)
        .map(|nonce| Submission {
            job: JobId::parse(&work.id.to_string()),
            extranonce2,
            ntime: NTIME,
            nonce,
            version: SubmittedVersion::Bits(ROLLED),
        })
        .collect()
}

/// A share as the line in which cgminer sends it, without its end.
pub fn submit_line(id: usize, series: &WorkSeries, share: &Submission) -> String {
    let SubmittedVersion::Bits(bits) = share.version else { unreachable!("the rig's shares roll version bits") };
    format!(
        r#"{{"params": ["farm.0001", "{}", "{}", "{:08x}", "{:08x}", "{bits:08x}"], "id": {id}, "method": "mining.submit"}}"#,
        series.first().id,
        share.extranonce2,
        share.ntime,
        share.nonce,
    )
}

/// [`DIFFICULTY`], typed.
pub fn difficulty() -> Difficulty {
    Difficulty::new(DIFFICULTY).expect("positive")
}

/// Who judges the shares of a miner.
pub fn judge(miner: u64) -> Judge {
    let difficulty = difficulty();
    Judge { lease: lease_id(miner), version_mask: VERSION_MASK, difficulty, target: difficulty.target() }
}

/// Plays the router for sessions: grants every lease, attaches every miner to one series of work.
pub struct Router {
    settings: Arc<ListenerSettings>,
    back: UnboundedSender<Released<Parked>>,
    /// Kept, because leases are sent back to it.
    _returned: UnboundedReceiver<Released<Parked>>,
}

impl Router {
    /// For miners of [`listener`].
    pub fn new() -> Self {
        let (back, returned) = unbounded_channel();
        Self { settings: listener(), back, _returned: returned }
    }

    /// A connection that was just accepted.
    pub fn connect(&self, now: Instant) -> Session {
        Session::new(self.settings.clone(), Some(Offer { layout: LAYOUT, version_mask: VERSION_MASK }), now)
    }

    /// Does what the session wants of the router; the other effects are dropped. `false`: it wants to be closed.
    pub fn serve(&self, now: Instant, miner: u64, session: &mut Session, work: &Arc<WorkSeries>, io: &mut Io) -> bool {
        let mut is_open = true;
        while !io.effects.is_empty() {
            for effect in std::mem::take(&mut io.effects) {
                match effect {
                    Effect::WantLease { .. } => {
                        let lease = ExtranonceLease::new(terms(miner), self.back.clone());
                        session.handle_lease(now, Ok::<_, &str>(Leased { lease, resumed: None }), |_| None, io);
                    }
                    Effect::WantRoute { .. } => {
                        let attached = Attached { remembered: None, work: Some((work.clone(), now)) };
                        session.handle_attached(now, &attached, io);
                    }
                    Effect::Close(_) => is_open = false,
                    Effect::WantOffer | Effect::Judged { .. } | Effect::Submit { .. } | Effect::Retargeted => {}
                }
            }
        }
        is_open
    }

    /// A miner that has logged in and has the first work of the series.
    pub fn mining(&self, now: Instant, miner: u64, work: &Arc<WorkSeries>, io: &mut Io) -> Session {
        let mut session = self.connect(now);
        for line in [
            r#"{"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"1fffe000"}]}"#,
            r#"{"id":2,"method":"mining.subscribe","params":["cgminer/4.12.0"]}"#,
            r#"{"id":3,"method":"mining.authorize","params":["farm.0001","x"]}"#,
        ] {
            session.handle_line(now, line.as_bytes(), io);
            assert!(self.serve(now, miner, &mut session, work, io), "a miner that logs in is not closed");
        }
        io.out.clear();
        io.clean = false;
        session
    }
}

fn terms(miner: u64) -> LeaseTerms {
    let session = SessionId::new(miner as u32, [0; 12]);
    LeaseTerms { lane: LaneId(0), id: lease_id(miner), session, layout: LAYOUT }
}

/// A moment so long after another that no timer of a session is due in between.
pub fn a_little_later(now: Instant) -> Instant {
    now + Duration::from_millis(10)
}
