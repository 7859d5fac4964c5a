//! Decides whether a submitted share counts, and for what.
//!
//! Knows jobs and targets; knows nothing of sockets, pools or money. The order of the checks is that of the table, and a miner
//! hears the first that fails.
//!
//! | check | fails with | goes to the pool |
//! |---|---|---|
//! | the job was sent to this lease | [`Reject::JobNotFound`] | no |
//! | extranonce2 length, ntime, version bits | [`Reject::Extranonce2Length`], [`Reject::Ntime`], [`Reject::VersionBits`] | no |
//! | header not seen before | [`Reject::Duplicate`] | never |
//! | meets the network's or the job's pool target | | **yes, whatever comes below** |
//! | no later clean job of the same upstream, which lives | [`Reject::Stale`] | as above |
//! | the easier of the job's difficulty and the one in force | [`Reject::LowDifficulty`] | as above |
//! | credited | [`ValidShare`] | as above |
//!
//! [`ValidShare`] and [`PoolShare`] can be made here only: holding one proves that the hash was computed and met its target.

use std::sync::Arc;

use crate::work::{
    BlockHash, Difficulty, Extranonce, HashBatch, Job, JobId, JobWindow, LiveJob, MAX_BATCH, Target, UpstreamId,
};

/// Seconds that a share's ntime may be ahead of its job's (ckpool `stratifier.c`: 7000).
pub const NTIME_AHEAD: u32 = 7000;

/// What a miner claims to have found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The job it names; `None` if the text is no id of ours.
    pub job: Option<JobId>,
    /// Its part of the extranonce.
    pub extranonce2: Extranonce,
    /// Header time, seconds since 1970.
    pub ntime: u32,
    /// Header nonce.
    pub nonce: u32,
    /// What it says about the header's version.
    pub version: SubmittedVersion,
}

/// The sixth parameter of a submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmittedVersion {
    /// Five parameters: the job's version.
    Unrolled,
    /// The rolled bits (BIP 310).
    Bits(u32),
    /// The whole version (firmware that spoke `mining.multi_version`).
    Full(u32),
}

/// Why a share does not count. The one table of code, text and metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reject {
    /// A parameter has the wrong shape; names it.
    Malformed(&'static str),
    /// No subscribe on this connection.
    NotSubscribed,
    /// The worker was not authorized on this connection.
    Unauthorized,
    /// This job was never sent to this miner, or so long ago that it is forgotten.
    JobNotFound,
    /// Not the length of that job's extranonce2.
    Extranonce2Length,
    /// Before the job's ntime, or over [`NTIME_AHEAD`] after it.
    Ntime,
    /// Rolls a bit that was not granted.
    VersionBits,
    /// The header was submitted before.
    Duplicate,
    /// A later clean job came from the same pool connection, or it is gone.
    Stale,
    /// Above the target.
    LowDifficulty,
    /// The pool of the miner's route is away.
    NoPool,
    /// The pool's own verdict, for none of the reasons above; the miner hears the pool's words.
    ByPool,
}

impl Reject {
    /// How many there are.
    pub const COUNT: usize = 12;

    /// Every reject, for tables and metrics.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Malformed(""),
        Self::NotSubscribed,
        Self::Unauthorized,
        Self::JobNotFound,
        Self::Extranonce2Length,
        Self::Ntime,
        Self::VersionBits,
        Self::Duplicate,
        Self::Stale,
        Self::LowDifficulty,
        Self::NoPool,
        Self::ByPool,
    ];

    /// What the miner hears, in two pieces: what is wrong, and for a malformed parameter, which.
    pub const fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Malformed(field) => ("Malformed ", field),
            other => (other.row().1, ""),
        }
    }

    /// Stratum error code, text for the miner, metric label.
    const fn row(self) -> (u32, &'static str, &'static str) {
        match self {
            Self::Malformed(_) => (20, "Malformed", "malformed"),
            Self::NotSubscribed => (25, "Not subscribed", "not_subscribed"),
            Self::Unauthorized => (24, "Unauthorized worker", "unauthorized"),
            Self::JobNotFound => (21, "Job not found", "job_not_found"),
            Self::Extranonce2Length => (20, "Invalid extranonce2 length", "extranonce2_length"),
            Self::Ntime => (20, "Ntime out of range", "ntime"),
            Self::VersionBits => (20, "Version bits outside mask", "version_bits"),
            Self::Duplicate => (22, "Duplicate", "duplicate"),
            Self::Stale => (21, "Stale", "stale"),
            Self::LowDifficulty => (23, "Low difficulty", "low_difficulty"),
            Self::NoPool => (20, "No pool", "no_pool"),
            Self::ByPool => (20, "Refused by the pool", "by_pool"),
        }
    }

    /// The Stratum error code.
    pub const fn code(self) -> u32 {
        self.row().0
    }

    /// What a pool's reject means to the miner that waited for it.
    pub fn from_pool(code: i64) -> Self {
        match code {
            21 => Self::Stale,
            22 => Self::Duplicate,
            23 => Self::LowDifficulty,
            24 => Self::Unauthorized,
            25 => Self::NotSubscribed,
            _ => Self::ByPool,
        }
    }

    /// The metric label.
    pub const fn label(self) -> &'static str {
        self.row().2
    }

    /// Position in [`Reject::ALL`], for counters.
    pub const fn index(self) -> usize {
        match self {
            Self::Malformed(_) => 0,
            Self::NotSubscribed => 1,
            Self::Unauthorized => 2,
            Self::JobNotFound => 3,
            Self::Extranonce2Length => 4,
            Self::Ntime => 5,
            Self::VersionBits => 6,
            Self::Duplicate => 7,
            Self::Stale => 8,
            Self::LowDifficulty => 9,
            Self::NoPool => 10,
            Self::ByPool => 11,
        }
    }
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, field) = self.text();
        f.write_str(what)?;
        f.write_str(field)
    }
}

/// A share that counts. Only a [`Judge`] makes one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValidShare {
    credited: Difficulty,
}

impl ValidShare {
    /// The difficulty it was judged by, which is what it is worth.
    pub fn credited(&self) -> Difficulty {
        self.credited
    }
}

/// A share that its pool should see. Only a [`Judge`] makes one.
#[derive(Clone, Debug)]
pub struct PoolShare {
    job: Arc<Job>,
    extranonce2: Extranonce,
    ntime: u32,
    nonce: u32,
    version: u32,
    hash: BlockHash,
    is_valid: bool,
}

impl PoolShare {
    /// The pool's job it solves.
    pub fn job(&self) -> &Arc<Job> {
        &self.job
    }

    /// The connection that must be told.
    pub fn upstream(&self) -> UpstreamId {
        self.job.upstream
    }

    /// The pool's extranonce2: salt, lease id and the miner's part.
    pub fn extranonce2(&self) -> &Extranonce {
        &self.extranonce2
    }

    /// Header time.
    pub fn ntime(&self) -> u32 {
        self.ntime
    }

    /// Header nonce.
    pub fn nonce(&self) -> u32 {
        self.nonce
    }

    /// The full version that was hashed.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The header's hash.
    pub fn hash(&self) -> &BlockHash {
        &self.hash
    }

    /// Whether we credited it as well. A stale share we do not, and yet its pool decides.
    pub fn is_valid(&self) -> bool {
        self.is_valid
    }

    /// Whether it solves a block.
    pub fn is_block(&self) -> bool {
        self.job.network_target.is_met_by(&self.hash)
    }
}

/// What became of a submission.
#[derive(Debug)]
pub struct Judged {
    /// For the miner, and for the books.
    pub verdict: Result<ValidShare, Reject>,
    /// For the pool.
    pub pool_share: Option<PoolShare>,
}

impl From<Reject> for Judged {
    fn from(reject: Reject) -> Self {
        Self { verdict: Err(reject), pool_share: None }
    }
}

/// Who is judged: one miner's lease and what was agreed with it.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    /// The lease's id, the miner's extranonce1.
    pub lease: Extranonce,
    /// The version bits granted to this miner.
    pub version_mask: u32,
    /// The difficulty in force: the last that the miner was told.
    pub difficulty: Difficulty,
    /// The target of [`difficulty`](Self::difficulty).
    pub target: Target,
}

impl Judge {
    /// Checks a submission against the miner's window of jobs, and remembers it there.
    pub fn judge(&self, window: &mut JobWindow, submission: &Submission) -> Judged {
        let mut hash = [None];
        self.hash_all(window, std::slice::from_ref(submission), &mut hash);
        self.judge_hashed(window, submission, hash[0])
    }

    /// Hashes submissions, as many at once as are for one job; `None` stays where there is nothing to hash.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn hash_all(&self, window: &mut JobWindow, submissions: &[Submission], hashes: &mut [Option<BlockHash>]) {
        assert_eq!(submissions.len(), hashes.len(), "a place for each hash");
        let mut batch = HashBatch::default();
        let mut from = 0;
        while from < submissions.len() {
            let mut places = [None; MAX_BATCH];
            let mut to = from;
            for (place, submission) in places.iter_mut().zip(&submissions[from..]) {
                let Ok(added) = batch.add(self, window, submission) else { break };
                *place = added;
                to += 1;
            }
            batch.hash(window);
            for (hash, place) in hashes[from..to].iter_mut().zip(places) {
                *hash = place.map(|place| batch.take(place, window));
            }
            batch.clear();
            from = to;
        }
    }

    /// As [`judge`](Self::judge), with what [`hash_all`](Self::hash_all) or a [`HashBatch`] found for this very submission: it is not
    /// computed again.
    pub fn judge_hashed(&self, window: &mut JobWindow, submission: &Submission, hash: Option<BlockHash>) -> Judged {
        let Some((id, job)) = submission.job.and_then(|id| Some((id, window.get(id)?))) else {
            return Reject::JobNotFound.into();
        };
        let version = match self.check_fields(job, submission) {
            Ok(version) => version,
            Err(reject) => return reject.into(),
        };
        let Submission { extranonce2, ntime, nonce, .. } = *submission;
        let work = &job.work;
        // A job that came while the batch was judged was not there to be hashed.
        let hash = hash.unwrap_or_else(|| work.hash(&self.lease, &extranonce2, ntime, nonce, version));
        if window.has_seen(id, &hash) {
            return Reject::Duplicate.into();
        }
        let for_pool = work.job.pool_target.is_met_by(&hash) || work.job.network_target.is_met_by(&hash);
        let verdict = self.credit(job, &hash);
        let pool_share = for_pool.then(|| PoolShare {
            job: work.job.clone(),
            extranonce2: work.pool_extranonce2(&self.lease, &extranonce2),
            ntime,
            nonce,
            version,
            hash,
            is_valid: verdict.is_ok(),
        });
        if for_pool || verdict.is_ok() {
            window.remember(id, &hash);
        }
        Judged { verdict, pool_share }
    }

    /// Everything that can be said without a hash; yields the full version.
    pub(super) fn check_fields(&self, job: &LiveJob, submission: &Submission) -> Result<u32, Reject> {
        let work = &job.work;
        if submission.extranonce2.len() != usize::from(work.extranonce2_size) {
            return Err(Reject::Extranonce2Length);
        }
        let job_ntime = work.job.notify.ntime;
        if submission.ntime < job_ntime || submission.ntime - job_ntime > NTIME_AHEAD {
            return Err(Reject::Ntime);
        }
        // The job's mask is part of it: a pool may have narrowed its mask since the miner was granted one.
        let mask = self.version_mask & work.job.version_mask;
        match submission.version {
            SubmittedVersion::Unrolled => Ok(work.version),
            SubmittedVersion::Bits(bits) if bits & !mask == 0 => Ok(work.version | bits),
            SubmittedVersion::Full(full) if (full ^ work.version) & !mask == 0 => Ok(full),
            SubmittedVersion::Bits(_) | SubmittedVersion::Full(_) => Err(Reject::VersionBits),
        }
    }

    /// The `min` rule of ckpool: a change of difficulty never costs an honest share.
    fn credit(&self, job: &LiveJob, hash: &BlockHash) -> Result<ValidShare, Reject> {
        if job.stale {
            return Err(Reject::Stale);
        }
        let terms = &*job.terms;
        let (difficulty, target) = if terms.target >= self.target {
            (terms.difficulty, &terms.target)
        } else {
            (self.difficulty, &self.target)
        };
        if target.is_met_by(hash) { Ok(ValidShare { credited: difficulty }) } else { Err(Reject::LowDifficulty) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        stratum::{VersionDialect, tests::notify_bf},
        work::{JobIds, Split, Terms, WorkSeries},
    };

    /// Miners with the same two jobs, of whose hashes every other is a share and one in four is one for the pool.
    pub(in crate::work) fn miners(count: u8) -> (Vec<Judge>, Vec<JobWindow>) {
        let difficulty = |shares: f64| Difficulty::new(1.0 / 4_294_967_296.0 * shares).unwrap();
        let ids = Arc::new(JobIds::starting_at(0));
        let works: Vec<_> = (0..2)
            .map(|_| {
                let dialect = VersionDialect::Bip310;
                let job =
                    Job::new(UpstreamId(1), notify_bf(), &[8, 0, 0, 2], difficulty(4.0), 0xe000, dialect).unwrap();
                let split = Split { salt: 1, lease: 1, extranonce2: 2 };
                WorkSeries::new(Arc::new(job), ids.clone(), split).first().clone()
            })
            .collect();
        let miner = |number| {
            let mut window = JobWindow::default();
            for work in &works {
                window.push(LiveJob::new(work.clone(), Terms::of(difficulty(2.0))));
            }
            let Terms { difficulty, target } = **window.newest_terms().unwrap();
            let lease = Extranonce::new(&[number]).unwrap();
            (Judge { lease, version_mask: 0xe000, difficulty, target }, window)
        };
        (7..7 + count).map(miner).unzip()
    }

    fn a_miner() -> (Judge, JobWindow) {
        let (judges, windows) = miners(1);
        (judges[0], windows.into_iter().next().unwrap())
    }

    /// Well-formed, for one of those jobs.
    pub(in crate::work) fn plain(job: u32, nonce: u32) -> Submission {
        Submission {
            job: JobId::parse(&format!("{job:08x}")),
            extranonce2: Extranonce::new(&[0, 1]).unwrap(),
            ntime: 0x504e_86b9,
            nonce,
            version: SubmittedVersion::Unrolled,
        }
    }

    /// Few values each: duplicates, repeated extranonces and wrong fields are to be frequent.
    pub(in crate::work) fn submission() -> impl Strategy<Value = Submission> {
        (0u32..4, 0u8..3, 0u32..3, 0u32..8, 0u32..3).prop_map(|(job, extranonce, ntime, nonce, version)| Submission {
            extranonce2: Extranonce::new(&[0, extranonce, 0][..2 + usize::from(nonce == 7)]).unwrap(),
            ntime: 0x504e_86b9 + ntime - u32::from(ntime == 2) * 3,
            version: [SubmittedVersion::Unrolled, SubmittedVersion::Bits(0x2000), SubmittedVersion::Bits(1)]
                [version as usize],
            ..plain(job, nonce)
        })
    }

    proptest! {
        #[test]
        fn a_batch_is_judged_as_one_share_after_the_other(
            submissions in proptest::collection::vec(submission(), 0..50),
        ) {
            let (judge, mut alone) = a_miner();
            let (_, mut together) = a_miner();
            let mut hashes = vec![None; submissions.len()];
            judge.hash_all(&mut together, &submissions, &mut hashes);
            for (submission, hash) in submissions.iter().zip(hashes) {
                let one = judge.judge(&mut alone, submission);
                let of_many = judge.judge_hashed(&mut together, submission, hash);
                prop_assert_eq!(one.verdict, of_many.verdict);
                let for_pool = |judged: Judged| judged.pool_share.map(|share| *share.hash());
                prop_assert_eq!(for_pool(one), for_pool(of_many));
            }
        }
    }

    #[test]
    fn every_reject_has_a_place_and_a_label_of_its_own() {
        for (at, reject) in Reject::ALL.iter().enumerate() {
            assert_eq!(reject.index(), at, "{reject}");
            let same = Reject::ALL.iter().filter(|other| other.label() == reject.label()).count();
            assert_eq!(same, 1, "{}", reject.label());
        }
    }

    #[test]
    fn a_pools_codes_mean_what_ours_mean() {
        for reject in
            [Reject::Stale, Reject::Duplicate, Reject::LowDifficulty, Reject::Unauthorized, Reject::NotSubscribed]
        {
            assert_eq!(Reject::from_pool(reject.code().into()), reject);
        }
        for other in [20, 26, 37, 0, -1] {
            assert_eq!(Reject::from_pool(other), Reject::ByPool, "no loss of a pool: {other}");
        }
    }
}
