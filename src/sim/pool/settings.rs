//! What kind of pool to be: sizes, difficulty, dialect, temper.
//!
//! Plain data with defaults that resemble a large public pool; [`PoolSettings::validate`] is the one place that says no.
//! Every option stands for something a real pool was seen to do.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::target::{ShareDifficulty, Target};

/// Longest extranonce1 offered; more would not leave room in a 100-byte coinbase script.
pub const MAX_EXTRANONCE1_LEN: usize = 16;
/// Longest extranonce2 offered; cgminer accepts no more at subscribe.
pub const MAX_EXTRANONCE2_SIZE: usize = 16;
/// Longest pool name: it is written into the coinbase script, which consensus limits to 100 bytes.
pub const MAX_NAME_LEN: usize = 20;
/// Most merkle branches: 32 already stand for four billion transactions.
pub const MAX_BRANCHES: usize = 32;
/// Longest coinbase transaction, in bytes; the largest that any known firmware takes is 6500.
pub const MAX_COINBASE_LEN: usize = 8192;

/// How the sixth parameter of `mining.submit` becomes the block's version.
///
/// The three differ only where the job's own version has bits set inside the mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VersionDialect {
    /// `(job & !mask) | (bits & mask)`, as BIP 310 says.
    #[default]
    Bip310,
    /// `job | bits`, as ckpool and datum_gateway do.
    Or,
    /// `job ^ bits`, as public-pool and btcpool do.
    Xor,
}

/// The shape in which the pool words a refusal. Acceptance is `result: true, error: null` in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplyForm {
    /// `{"result":null,"error":[21,"Stale",null]}`
    #[default]
    ResultNullErrorTriple,
    /// `{"result":false,"error":[21,"Stale",null]}`
    ResultFalseErrorTriple,
    /// `{"result":false,"error":null,"reject-reason":"Stale"}` (ckpool); carries no code.
    FalseRejectReason,
    /// `{"result":null,"error":"Stale"}`; carries no code.
    ErrorString,
    /// `{"error":[21,"Stale","Traceback …"],"result":null}`: slush's server put text where others have `null`.
    SlushArray,
    /// `{"result":null,"error":{"code":21,"message":"Stale","data":null}}` (JSON-RPC 2.0)
    CodeMessageObject,
}

impl ReplyForm {
    /// Every form, for tests that go through all of them.
    pub const ALL: [ReplyForm; 6] = [
        ReplyForm::ResultNullErrorTriple,
        ReplyForm::ResultFalseErrorTriple,
        ReplyForm::FalseRejectReason,
        ReplyForm::ErrorString,
        ReplyForm::SlushArray,
        ReplyForm::CodeMessageObject,
    ];
}

/// When a connection gets its first difficulty and job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstJob {
    /// As soon as it has subscribed, whoever it is.
    AfterSubscribe,
    /// Once it has subscribed and one worker is authorized (ckpool).
    #[default]
    AfterAuthorize,
}

/// Which user names may log in; all others are refused with code 24.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Users {
    /// Everybody.
    #[default]
    All,
    /// Exactly these names.
    Only(Vec<String>),
    /// Names that start with this text, e.g. an account and its workers.
    Prefix(String),
}

impl Users {
    /// Whether `name` may log in.
    #[must_use]
    pub fn admits(&self, name: &str) -> bool {
        match self {
            Users::All => true,
            Users::Only(names) => names.iter().any(|known| known == name),
            Users::Prefix(prefix) => name.starts_with(prefix.as_str()),
        }
    }
}

/// What the pool is petty about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Strictness {
    /// Answer `mining.configure` after `mining.subscribe` with an error (Braiins Pool).
    pub refuse_late_configure: bool,
    /// Hang up on a line longer than 1 KiB (ckpool).
    pub drop_long_lines: bool,
    /// Hang up on `mining.extranonce.subscribe` before `mining.subscribe` (ckpool).
    pub drop_early_extranonce_subscribe: bool,
}

impl Strictness {
    /// Petty about everything: a client that gets along with this pool gets along with most.
    pub const ALL: Strictness = Strictness {
        refuse_late_configure: true,
        drop_long_lines: true,
        drop_early_extranonce_subscribe: true,
    };
}

/// Everything that can be chosen about a simulated pool.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// Address to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Name of the pool, written into its coinbase. At most [`MAX_NAME_LEN`] bytes.
    pub name: String,
    /// Bytes of extranonce1, 1 to [`MAX_EXTRANONCE1_LEN`]. Below 4 it repeats after 2^(8·n) connections.
    pub extranonce1_len: usize,
    /// Bytes of extranonce2 left to the miner, 1 to [`MAX_EXTRANONCE2_SIZE`].
    pub extranonce2_size: usize,
    /// Share difficulty asked for, 1e-10 to 1e15.
    pub difficulty: f64,
    /// Whether a connection that sends `mining.suggest_difficulty` gets what it suggests, from its next job on.
    pub honour_suggested: bool,
    /// Version bits granted at `mining.configure`, intersected with the client's; `None` answers `version-rolling: false`.
    pub version_mask: Option<u32>,
    /// Answer the pool's own mask without intersecting it with the client's.
    pub unintersected_mask: bool,
    /// How version bits are merged into the job's version.
    pub dialect: VersionDialect,
    /// How refusals are worded.
    pub reply_form: ReplyForm,
    /// Version of the jobs; bits inside the mask may be set to tell the dialects apart.
    pub job_version: u32,
    /// Network target in compact form. The default is mainnet's of 2025, `0x207fffff` makes about every second hash a block.
    pub nbits: u32,
    /// Bytes of the whole coinbase transaction, extranonce included. Reached exactly unless the fixed parts are longer.
    pub coinbase_len: usize,
    /// Number of merkle branches of a job, at most [`MAX_BRANCHES`].
    pub branches: usize,
    /// Interval between new jobs on the same block.
    pub notify_every: Duration,
    /// Interval between new blocks; `None` leaves them to [`SimPool::new_block`](super::SimPool::new_block).
    pub clean_every: Option<Duration>,
    /// When a connection gets its first job.
    pub first_job: FirstJob,
    /// Give a returning session id its extranonce1 (and the credit for its old jobs) back.
    pub resume: bool,
    /// What to hang up on.
    pub strictness: Strictness,
    /// Connections beyond this are closed at once.
    pub max_connections: usize,
    /// How many accepted shares to remember, oldest forgotten first; 0 keeps none.
    pub record_shares: usize,
    /// Seed of job contents, session ids and extranonces: the same seed makes the same pool.
    pub seed: u64,
    /// Who may log in.
    pub users: Users,
}

impl Default for PoolSettings {
    fn default() -> Self {
        PoolSettings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            name: "sim".to_owned(),
            extranonce1_len: 4,
            extranonce2_size: 8,
            difficulty: 1024.0,
            honour_suggested: false,
            version_mask: Some(0x1fff_e000),
            unintersected_mask: false,
            dialect: VersionDialect::default(),
            reply_form: ReplyForm::default(),
            job_version: 0x2000_0000,
            nbits: 0x1703_255b,
            coinbase_len: 250,
            branches: 12,
            notify_every: Duration::from_secs(30),
            clean_every: None,
            first_job: FirstJob::default(),
            resume: false,
            strictness: Strictness::default(),
            max_connections: 20_000,
            record_shares: 0,
            seed: 1,
            users: Users::default(),
        }
    }
}

impl PoolSettings {
    /// Says what is wrong, if anything.
    ///
    /// # Errors
    /// [`PoolError`] names the first setting that cannot be served.
    pub fn validate(&self) -> Result<(), PoolError> {
        let within = |field, value: usize, least: usize, most: usize| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(PoolError::OutOfRange {
                    field,
                    value,
                    least,
                    most,
                })
            }
        };
        within(
            "extranonce1_len",
            self.extranonce1_len,
            1,
            MAX_EXTRANONCE1_LEN,
        )?;
        within(
            "extranonce2_size",
            self.extranonce2_size,
            1,
            MAX_EXTRANONCE2_SIZE,
        )?;
        within("name length", self.name.len(), 0, MAX_NAME_LEN)?;
        within("branches", self.branches, 0, MAX_BRANCHES)?;
        within("coinbase_len", self.coinbase_len, 0, MAX_COINBASE_LEN)?;
        if self.notify_every.is_zero() || self.clean_every.is_some_and(|every| every.is_zero()) {
            return Err(PoolError::ZeroInterval);
        }
        if Target::from_nbits(self.nbits).is_none() {
            return Err(PoolError::Nbits(self.nbits));
        }
        ShareDifficulty::new(self.difficulty).map(drop)
    }
}

/// A setting that no pool could serve.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PoolError {
    /// A size outside its range.
    #[error("simulated pool: {field} is {value}, must be {least} to {most}")]
    OutOfRange {
        /// The setting.
        field: &'static str,
        /// What it was.
        value: usize,
        /// Least allowed.
        least: usize,
        /// Most allowed.
        most: usize,
    },
    /// A job interval of zero.
    #[error("simulated pool: the interval between jobs is zero")]
    ZeroInterval,
    /// Compact target that is zero, negative or wider than 256 bits.
    #[error("simulated pool: nbits {0:08x} is no target")]
    Nbits(u32),
    /// Share difficulty out of range or not a number.
    #[error("simulated pool: difficulty {0} is not within 1e-10 to 1e15")]
    Difficulty(f64),
}
