//! A pool's job, and the work that miners get from it.
//!
//! A [`Job`] is one `mining.notify` of a pool, decoded once and shared by everyone. [`Work`] is that job as miners see it: under
//! a job id of ours, with the pool's extranonce1 moved into `coinb1`, so that a miner's own extranonce does not change when the
//! pool does. One job yields a series of works with different headers ([`WorkSeries`]): a re-send (keep-alive, new difficulty)
//! must be new work, because some firmware starts its extranonce2 over and would repeat every header (ESP-Miner#1587).
//!
//! ```text
//! coinbase  │ pool's coinb1 │ pool's extranonce1 │ salt │ lease id │ miner's extranonce2 │ pool's coinb2 │
//! pool sees │ coinb1        │ extranonce1        │ ──────── extranonce2 ──────────────── │ coinb2        │
//! miner     │ ──────────── coinb1 ────────────────────── │ en1      │ extranonce2         │ coinb2        │
//! ```
//!
//! Knows nothing of who mines it. Limits: extranonces of [`MAX_EXTRANONCE`] bytes; [`MAX_BRANCHES`] merkle branches.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;

use crate::{
    hash::{Digest, HeaderInput, Kernel, Plan, PlanParts},
    stratum::{Notify, VersionDialect, hex_bytes, hex_u32},
    work::{BlockHash, Difficulty, Target},
};

/// Bytes of the longest extranonce2 that we accept from a pool; the longest in use is 8, cgminer refuses over 16.
pub const MAX_EXTRANONCE: usize = 16;

/// Merkle branches of a job: 2^24 transactions are more than a block can hold, some firmware refuses over 20 to 32 anyway.
pub const MAX_BRANCHES: usize = 24;

/// Shares that are hashed together: the widest kernel takes 16.
pub const MAX_BATCH: usize = 16;

/// Works of one job: at one keep-alive in 30 s this lasts eight hours, longer than any block was ever away.
pub const MAX_SERIES: u32 = 1024;

/// Names one pool connection as long as its extranonce1 lives. Never used twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub u64);

impl fmt::Display for UpstreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// The id of a [`Work`], as miners see it: eight hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobId(u32);

impl JobId {
    /// From the text of a submit. `None` for everything that we never sent.
    pub fn parse(text: &(impl AsRef<[u8]> + ?Sized)) -> Option<Self> {
        let text = text.as_ref();
        if text.len() == 8 { hex_u32(text).map(Self) } else { None }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The process-wide counter of job ids. Consecutive ids differ in their last digits, which is what firmware that matches jobs
/// by the crc16 of the id (Avalon) needs.
#[derive(Debug)]
pub struct JobIds(AtomicU32);

impl JobIds {
    /// Starts anywhere: random in the field, so that a restart does not hand out the ids of the run before; fixed in tests.
    pub fn starting_at(seed: u32) -> Self {
        Self(AtomicU32::new(seed))
    }

    fn next(&self) -> JobId {
        JobId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// A short byte string, kept in place.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Extranonce {
    bytes: [u8; MAX_EXTRANONCE],
    len: u8,
}

impl Extranonce {
    /// `None` if it is longer than [`MAX_EXTRANONCE`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        Self::default().with(bytes)
    }

    /// From hex of any case. `None` if it is not hex, of odd length, or too long.
    pub fn from_hex(text: &(impl AsRef<[u8]> + ?Sized)) -> Option<Self> {
        let mut extranonce = Self::default();
        extranonce.len = hex_bytes(text.as_ref(), &mut extranonce.bytes)? as u8;
        Some(extranonce)
    }

    /// The lowest `len` bytes of a number, most significant first.
    pub fn from_number(number: u64, len: usize) -> Self {
        let mut extranonce = Self { len: len as u8, ..Self::default() };
        for (at, byte) in extranonce.bytes[..len].iter_mut().enumerate() {
            *byte = number.checked_shr(8 * (len - 1 - at) as u32).unwrap_or(0) as u8;
        }
        extranonce
    }

    /// This one with more bytes behind it. `None` if that is longer than [`MAX_EXTRANONCE`].
    pub fn with(mut self, more: &[u8]) -> Option<Self> {
        let len = usize::from(self.len);
        self.bytes.get_mut(len..len + more.len())?.copy_from_slice(more);
        self.len += more.len() as u8;
        Some(self)
    }
}

impl std::ops::Deref for Extranonce {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl fmt::Display for Extranonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&**self))
    }
}

impl fmt::Debug for Extranonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a pool's job can't be mined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// The network target of the job is not one.
    #[error("nbits {0:08x} is no target")]
    Nbits(u32),
    /// More branches than [`MAX_BRANCHES`].
    #[error("{0} merkle branches, at most {MAX_BRANCHES} are possible")]
    Branches(usize),
}

/// One job of a pool, with what its pool connection had agreed when it came.
#[derive(Debug)]
pub struct Job {
    /// The connection that issued it, and that takes its shares.
    pub upstream: UpstreamId,
    /// What the pool sent.
    pub notify: Notify,
    /// The pool's extranonce1 of that connection.
    pub extranonce1: Box<[u8]>,
    /// What the pool credits: its difficulty when the job came.
    pub pool_difficulty: Difficulty,
    /// The target of [`pool_difficulty`](Self::pool_difficulty).
    pub pool_target: Target,
    /// What makes a block.
    pub network_target: Target,
    /// The version bits that the pool lets miners roll; 0 where none.
    pub version_mask: u32,
    /// How the pool merges the bits that it is sent.
    pub dialect: VersionDialect,
}

impl Job {
    /// Checks what a pool sent.
    ///
    /// # Errors
    /// [`JobError`] if no share of it could ever be judged.
    pub fn new(
        upstream: UpstreamId,
        notify: Notify,
        extranonce1: &[u8],
        pool_difficulty: Difficulty,
        version_mask: u32,
        dialect: VersionDialect,
    ) -> Result<Self, JobError> {
        if notify.branches.len() > MAX_BRANCHES {
            return Err(JobError::Branches(notify.branches.len()));
        }
        let network_target = Target::from_compact(notify.nbits).ok_or(JobError::Nbits(notify.nbits))?;
        // A pool that ORs the bits in can't be told that a bit of its own version is off.
        let unrollable = dialect == VersionDialect::Or && notify.version & version_mask != 0;
        Ok(Self {
            upstream,
            extranonce1: extranonce1.into(),
            pool_difficulty,
            pool_target: pool_difficulty.target(),
            network_target,
            version_mask: if unrollable { 0 } else { version_mask },
            dialect,
            notify,
        })
    }

    /// The hardest difficulty a miner may be given: the pool's, and never above the network's (on signet and regtest that is below 1).
    pub fn difficulty_ceiling(&self) -> Difficulty {
        self.pool_difficulty.min(self.network_target.difficulty())
    }
}

/// A job as miners see it, with the line that carries it. Shared by all miners of one pool connection.
pub struct Work {
    /// Our id of it.
    pub id: JobId,
    /// The pool's job behind it.
    pub job: Arc<Job>,
    /// Its place among the works of that job.
    pub number: u32,
    /// The version miners get: the pool's, with the bits that miners may roll cleared.
    pub version: u32,
    /// The ntime miners get, never below the pool's.
    pub ntime: u32,
    /// Bytes of the miner's extranonce2.
    pub extranonce2_size: u8,
    salt: Extranonce,
    plan: Plan,
    line: Bytes,
    clean_line: Bytes,
}

impl Work {
    /// The `mining.notify` line. With `clean`, the miner is told to drop what it is doing.
    pub fn line(&self, clean: bool) -> &Bytes {
        if clean { &self.clean_line } else { &self.line }
    }

    /// The extranonce2 that the pool is told.
    pub fn pool_extranonce2(&self, lease: &Extranonce, extranonce2: &Extranonce) -> Extranonce {
        self.salt
            .with(lease)
            .and_then(|sum| sum.with(extranonce2))
            .expect("salt, id and extranonce2 fill the pool's extranonce2, which is at most MAX_EXTRANONCE long")
    }

    /// What differs between the coinbases of a work: a lease id and a miner's part, then zeros.
    ///
    /// # Panics
    /// If the two are longer than a pool's extranonce2.
    pub(super) fn extranonce(lease: &Extranonce, extranonce2: &Extranonce) -> [u8; MAX_EXTRANONCE] {
        let mut extranonce = [0; MAX_EXTRANONCE];
        let (id, rest) = extranonce.split_at_mut(lease.len());
        id.copy_from_slice(lease);
        rest[..extranonce2.len()].copy_from_slice(extranonce2);
        extranonce
    }

    /// The merkle roots of coinbases with these [extranonces](Self::extranonce).
    pub(super) fn merkle_roots(&self, extranonces: &[[u8; MAX_EXTRANONCE]], roots: &mut [Digest]) {
        Kernel::get().merkle_roots(&self.plan, extranonces, roots);
    }

    /// The hashes of headers over these merkle roots.
    pub(super) fn header_hashes(&self, roots: &[Digest], headers: &[HeaderInput], hashes: &mut [Digest]) {
        Kernel::get().headers(&self.plan, roots, headers, hashes);
    }

    /// The hash of the header that a miner claims to have found.
    pub fn hash(
        &self,
        lease: &Extranonce,
        extranonce2: &Extranonce,
        ntime: u32,
        nonce: u32,
        version: u32,
    ) -> BlockHash {
        let mut root = [Digest::default()];
        let mut hash = [Digest::default()];
        self.merkle_roots(&[Self::extranonce(lease, extranonce2)], &mut root);
        self.header_hashes(&root, &[HeaderInput { version, ntime, nonce }], &mut hash);
        BlockHash(hash[0].to_bytes())
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Work({} of {:?} salt {})", self.id, self.job.notify.job_id, self.salt)
    }
}

/// How a pool's extranonce2 is divided, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Ours, to make works differ.
    pub salt: usize,
    /// The lease id, which is the miner's extranonce1.
    pub lease: usize,
    /// The miner's extranonce2.
    pub extranonce2: u8,
}

/// The works made from one job, made when they are first needed, each once.
///
/// `number` counts the works of a job from 0; a miner must be given them in ascending order, never one twice.
#[derive(Debug)]
pub struct WorkSeries {
    job: Arc<Job>,
    ids: Arc<JobIds>,
    split: Split,
    first: Arc<Work>,
    /// Works 1 and up. Locked when a miner is re-sent work, never for a share and never when a job comes in.
    later: Mutex<Vec<Arc<Work>>>,
}

impl WorkSeries {
    /// Makes the first work.
    pub fn new(job: Arc<Job>, ids: Arc<JobIds>, split: Split) -> Self {
        let first = Arc::new(make(&job, &ids, split, 0, 0));
        Self { job, ids, split, first, later: Mutex::default() }
    }

    /// The pool's job.
    pub fn job(&self) -> &Arc<Job> {
        &self.job
    }

    /// Work 0.
    pub fn first(&self) -> &Arc<Work> {
        &self.first
    }

    /// The newest work that exists if its number is at least `number`, else the next ones up to `number`.
    ///
    /// `elapsed_s`: seconds since the job came; the ntime of new work follows it, as a miner's own clock would.
    /// `None` when the job has used up its [`MAX_SERIES`].
    pub fn at_least(&self, number: u32, elapsed_s: u32) -> Option<(u32, Arc<Work>)> {
        if number == 0 {
            return Some((0, self.first.clone()));
        }
        if number >= MAX_SERIES {
            return None;
        }
        let mut later = self.later.lock().expect("nothing panics while it makes work");
        while (later.len() as u32) < number {
            let next = later.len() as u32 + 1;
            let before = later.last().unwrap_or(&self.first).ntime;
            let ntime = self.job.notify.ntime.saturating_add(elapsed_s).max(before);
            later.push(Arc::new(make(&self.job, &self.ids, self.split, next, ntime)));
        }
        let newest = later.len();
        Some((newest as u32, later[newest - 1].clone()))
    }
}

/// Work `number` of a job, with this ntime or the least that it may have: where the salt has too few values to tell the works apart,
/// the ntime advances with them.
fn make(job: &Arc<Job>, ids: &JobIds, split: Split, number: u32, ntime: u32) -> Work {
    let id = ids.next();
    let salt = Extranonce::from_number(u64::from(number), split.salt);
    let coinb1 = [&*job.notify.coinb1, &job.extranonce1, &salt].concat();
    let version = job.notify.version & !job.version_mask;
    let wraps = number.checked_shr(8 * split.salt as u32).unwrap_or(0);
    let ntime = ntime.max(job.notify.ntime.saturating_add(wraps));
    let line = |clean| Bytes::from(job.notify.to_line(&id.to_string(), &coinb1, version, ntime, clean));
    Work {
        id,
        number,
        version,
        ntime,
        extranonce2_size: split.extranonce2,
        salt,
        plan: Plan::new(&PlanParts {
            prefix: &coinb1,
            extranonce_len: split.lease + usize::from(split.extranonce2),
            suffix: &job.notify.coinb2,
            branches: &job.notify.branches,
            prevhash: &job.notify.prevhash,
            nbits: job.notify.nbits,
        }),
        line: line(false),
        clean_line: line(true),
        job: job.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stratum::tests::notify_bf;

    fn series(salt_len: usize) -> WorkSeries {
        let job =
            Job::new(UpstreamId(1), notify_bf(), &[8, 0, 0, 2], Difficulty::ONE, 0, VersionDialect::Bip310).unwrap();
        let split = Split { salt: salt_len, lease: 2 - salt_len, extranonce2: 2 };
        WorkSeries::new(Arc::new(job), Arc::new(JobIds::starting_at(7)), split)
    }

    #[test]
    fn every_work_of_a_series_has_a_new_id_and_new_headers() {
        for salt_len in [0, 1, 2] {
            let series = series(salt_len);
            let mut seen = std::collections::HashSet::new();
            for number in 0..600 {
                let (got, work) = series.at_least(number, 0).unwrap();
                assert_eq!(got, number);
                let header_space = (work.salt, work.ntime);
                assert!(seen.insert(header_space), "salt of {salt_len} bytes: work {number} repeats its headers");
            }
        }
    }

    #[test]
    fn a_work_is_made_once_and_the_newest_is_shared() {
        let series = series(1);
        let (number, work) = series.at_least(3, 30).unwrap();
        assert_eq!((number, work.ntime), (3, series.job().notify.ntime + 30));
        let (number, again) = series.at_least(1, 45).unwrap();
        assert_eq!(number, 3, "a miner that is behind gets the newest");
        assert!(Arc::ptr_eq(&work, &again));
        assert!(series.at_least(MAX_SERIES, 0).is_none());
    }

    #[test]
    fn numbers_become_extranonces_of_any_length() {
        assert_eq!(Extranonce::from_number(0x0102, 4).to_string(), "00000102");
        assert_eq!(Extranonce::from_number(0x0102, 1).to_string(), "02");
        assert_eq!(Extranonce::from_number(7, 0).to_string(), "");
        assert_eq!(Extranonce::from_number(7, 10).to_string(), "00000000000000000007");
    }

    #[test]
    fn only_ids_that_we_write_are_read() {
        assert_eq!(JobId::parse("0000000a"), Some(JobId(10)));
        assert_eq!(JobId::parse("0000000A"), Some(JobId(10)));
        for foreign in ["a", "", "+000000a", "0000000g", "00000000a"] {
            assert_eq!(JobId::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_pool_that_ors_its_bits_in_gets_no_rollers_where_its_version_has_them_set() {
        let mut notify = notify_bf();
        notify.version = 0x2000_2000;
        let job = Job::new(UpstreamId(1), notify, &[], Difficulty::ONE, 0x1fff_e000, VersionDialect::Or).unwrap();
        assert_eq!(job.version_mask, 0);
    }
}
