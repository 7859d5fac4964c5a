//! The referee: what a submitted share hashes to and whether it counts.
//!
//! Written from the protocol alone, in the plainest way that works, and on purpose not shared with the proxy's own share check:
//! where the two disagree, one of them is wrong. Knows nothing of sockets or sessions.
//!
//! | verdict             | code | reason label        |
//! |---------------------|------|---------------------|
//! | malformed field     | 20   | `params`            |
//! | ntime out of window | 20   | `ntime`             |
//! | version bits        | 20   | `version-bits`      |
//! | unknown job         | 21   | `job-not-found`     |
//! | superseded job      | 21   | `stale`             |
//! | hash already seen   | 22   | `duplicate`         |
//! | hash too great      | 23   | `low-difficulty`    |
//! | worker not let in   | 24   | `unauthorized`      |
//! | never subscribed    | 25   | `not-subscribed`    |
//! | by order of a fault | any  | `forced`            |

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::job::{Credit, Job};
use super::settings::VersionDialect;
use super::target::ShareDifficulty;

/// How far past its job's time a share's ntime may run, in seconds: the consensus limit on blocks from the future.
const NTIME_WINDOW_SECS: u32 = 7200;

/// Why a share was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reject {
    /// A parameter is missing, is no hex or has the wrong length.
    Params(&'static str),
    /// Before the job's time, or too far after it.
    Ntime,
    /// Version bits were rolled that the pool never granted.
    VersionBits,
    /// The job was never sent to this connection, or long ago.
    JobNotFound,
    /// A later block superseded the job.
    Stale,
    /// The same header was credited before.
    Duplicate,
    /// The hash is above the target of the job's difficulty.
    LowDifficulty,
    /// The worker is not logged in here.
    Unauthorized,
    /// No `mining.subscribe` came first.
    NotSubscribed,
    /// [`Fault::RejectAll`](super::Fault::RejectAll) is in force.
    Forced {
        /// Error code to answer.
        code: i32,
        /// Text to answer.
        message: Arc<str>,
    },
}

impl Reject {
    /// The code on the wire.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Reject::Params(_) | Reject::Ntime | Reject::VersionBits => 20,
            Reject::JobNotFound | Reject::Stale => 21,
            Reject::Duplicate => 22,
            Reject::LowDifficulty => 23,
            Reject::Unauthorized => 24,
            Reject::NotSubscribed => 25,
            Reject::Forced { code, .. } => *code,
        }
    }

    /// The text on the wire.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Reject::Params(field) => format!("Invalid {field}"),
            Reject::Ntime => "Ntime out of range".to_owned(),
            Reject::VersionBits => "Version bits outside mask".to_owned(),
            Reject::JobNotFound => "Job not found".to_owned(),
            Reject::Stale => "Stale".to_owned(),
            Reject::Duplicate => "Duplicate share".to_owned(),
            Reject::LowDifficulty => "Low difficulty share".to_owned(),
            Reject::Unauthorized => "Unauthorized worker".to_owned(),
            Reject::NotSubscribed => "Not subscribed".to_owned(),
            Reject::Forced { message, .. } => message.as_ref().to_owned(),
        }
    }

    /// The name under which it is counted.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Reject::Params(_) => "params",
            Reject::Ntime => "ntime",
            Reject::VersionBits => "version-bits",
            Reject::JobNotFound => "job-not-found",
            Reject::Stale => "stale",
            Reject::Duplicate => "duplicate",
            Reject::LowDifficulty => "low-difficulty",
            Reject::Unauthorized => "unauthorized",
            Reject::NotSubscribed => "not-subscribed",
            Reject::Forced { .. } => "forced",
        }
    }
}

/// The four fields of `mining.submit` that make a header, as text.
#[derive(Debug, Clone, Copy)]
pub struct ShareFields<'a> {
    /// Extranonce2, exactly as long as granted.
    pub extranonce2: &'a str,
    /// Timestamp, big-endian hex.
    pub ntime: &'a str,
    /// Nonce, big-endian hex; leading zeros may be missing (NerdMiner).
    pub nonce: &'a str,
    /// Version bits, if a sixth parameter came.
    pub version_bits: Option<&'a str>,
}

/// What a connection may do to the version, and how it says so.
#[derive(Debug, Clone, Copy)]
pub struct VersionRules {
    /// Bits the connection was granted; 0 for none.
    pub mask: u32,
    /// How bits are merged.
    pub dialect: VersionDialect,
}

impl VersionRules {
    /// The version that was hashed. Without a sixth parameter that is the job's own.
    fn merge(self, job_version: u32, bits: Option<u32>) -> Result<u32, Reject> {
        let Some(bits) = bits else {
            return Ok(job_version);
        };
        if bits & !self.mask != 0 {
            return Err(Reject::VersionBits);
        }
        Ok(match self.dialect {
            VersionDialect::Bip310 => (job_version & !self.mask) | (bits & self.mask),
            VersionDialect::Or => job_version | bits,
            VersionDialect::Xor => job_version ^ bits,
        })
    }
}

/// A share that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Header hash in the byte order SHA-256 gives it (reversed for display).
    pub hash: [u8; 32],
    /// Whether it meets the network's target as well.
    pub is_block: bool,
}

/// A job as one connection got it: with its extranonce, and the difficulty in force when it was sent.
#[derive(Debug, Clone)]
pub struct IssuedJob {
    job: Arc<Job>,
    difficulty: Arc<ShareDifficulty>,
    extranonce2_size: usize,
    /// Hash state over `coinb1 | extranonce1`, which no share changes.
    prefix: Sha256,
}

impl IssuedJob {
    /// Remembers that `job` went to a connection with this extranonce, to be judged at this difficulty.
    #[must_use]
    pub fn new(
        job: Arc<Job>,
        difficulty: Arc<ShareDifficulty>,
        extranonce1: &[u8],
        extranonce2_size: usize,
    ) -> IssuedJob {
        let prefix = Sha256::new()
            .chain_update(&job.parts.coinb1)
            .chain_update(extranonce1);
        IssuedJob {
            job,
            difficulty,
            extranonce2_size,
            prefix,
        }
    }

    /// The job.
    #[must_use]
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// The difficulty that its shares are judged and credited by.
    #[must_use]
    pub fn difficulty(&self) -> &ShareDifficulty {
        &self.difficulty
    }

    /// Judges a share of this job; a good one is credited, and a duplicate from then on.
    ///
    /// # Errors
    /// The [`Reject`] that the pool answers.
    pub fn judge(&self, share: ShareFields<'_>, rules: VersionRules) -> Result<Accepted, Reject> {
        let hash = double_sha256(&self.header(share, rules)?);
        if !self.difficulty.target().is_met_by(&hash) {
            return Err(Reject::LowDifficulty);
        }
        match self.job.credit(hash) {
            Credit::New => Ok(Accepted {
                hash,
                is_block: self.job.is_block(&hash),
            }),
            Credit::Duplicate => Err(Reject::Duplicate),
            Credit::Full => Err(Reject::JobNotFound),
        }
    }

    /// The 80 bytes that the miner hashed.
    fn header(&self, share: ShareFields<'_>, rules: VersionRules) -> Result<[u8; 80], Reject> {
        let parts = &self.job.parts;
        if share.extranonce2.len() != 2 * self.extranonce2_size {
            return Err(Reject::Params("extranonce2"));
        }
        let extranonce2 =
            hex::decode(share.extranonce2).map_err(|_| Reject::Params("extranonce2"))?;
        let ntime = parse_u32(share.ntime).ok_or(Reject::Params("ntime"))?;
        let nonce = parse_u32(share.nonce).ok_or(Reject::Params("nonce"))?;
        let bits = match share.version_bits {
            Some(text) => Some(parse_u32(text).ok_or(Reject::Params("version bits"))?),
            None => None,
        };
        if !(parts.ntime..=parts.ntime.saturating_add(NTIME_WINDOW_SECS)).contains(&ntime) {
            return Err(Reject::Ntime);
        }
        let version = rules.merge(parts.version, bits)?;

        let txid = self
            .prefix
            .clone()
            .chain_update(&extranonce2)
            .chain_update(&parts.coinb2)
            .finalize();
        let mut root: [u8; 32] = Sha256::digest(txid).into();
        for branch in &parts.branches {
            let mut pair = [0; 64];
            pair[..32].copy_from_slice(&root);
            pair[32..].copy_from_slice(branch);
            root = double_sha256(&pair);
        }

        let mut header = [0; 80];
        header[..4].copy_from_slice(&version.to_le_bytes());
        header[4..36].copy_from_slice(&parts.prevhash);
        header[36..68].copy_from_slice(&root);
        header[68..72].copy_from_slice(&ntime.to_le_bytes());
        header[72..76].copy_from_slice(&parts.nbits.to_le_bytes());
        header[76..].copy_from_slice(&nonce.to_le_bytes());
        Ok(header)
    }
}

fn double_sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// One to eight hex digits, without sign or prefix.
pub(super) fn parse_u32(text: &str) -> Option<u32> {
    let plain = (1..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| u32::from_str_radix(text, 16).ok()).flatten()
}
