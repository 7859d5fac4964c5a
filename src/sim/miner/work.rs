//! From a `mining.notify` to a header hash, as a miner does it.
//!
//! The proxy has code of its own for this, and this module must not know it: where both agree on a share, two
//! independent readings of the protocol agree. What is costly and the same for many miners is done once:
//!
//! | what                          | computed per                  | kept in         |
//! |-------------------------------|-------------------------------|-----------------|
//! | hex, branches, lengths        | distinct text of a notify     | [`Template`], shared through [`TemplateCache`] |
//! | state of `coinb1‖extranonce1` | job and miner                 | [`JobWork`]     |
//! | merkle root, state of the header's first 64 bytes | (extranonce2, version) | [`Prepared`] |
//! | two compressions              | nonce                         | —               |

use super::violation::ProtocolViolation;
use num_bigint::BigUint;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A header hash, internal byte order (as hashed; reverse it to display).
pub type HeaderHash = [u8; 32];

/// Expected hashes per share at difficulty 1. A share's difficulty 1 target is `0xFFFF·2^208`.
pub const HASHES_PER_DIFFICULTY: f64 = 4_295_032_833.0;

/// Distinct notifies kept at once: a proxy serialises a job once per upstream and salt.
const CACHED_TEMPLATES: usize = 32;

/// Where the script of a coinbase begins: after version, count, outpoint, and its length of one byte.
const HEIGHT_PUSH: usize = 4 + 1 + 36 + 1;
/// A stamp that is older is something else: pools put all sorts of things there.
const STAMP_AGE: Duration = Duration::from_secs(3600);

fn sha256d(bytes: &[u8]) -> HeaderHash {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// What a header hash must not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target([u64; 4]);

impl Target {
    /// Met by every hash.
    pub const MAX: Self = Self([u64::MAX; 4]);

    /// `floor(0xFFFF·2^208 / difficulty)`, exactly; `None` unless the difficulty is positive and finite.
    /// A difficulty so low that the target exceeds 256 bits is met by every hash.
    #[must_use]
    pub fn from_difficulty(difficulty: f64) -> Option<Self> {
        if !difficulty.is_finite() || difficulty <= 0.0 {
            return None;
        }
        let bits = difficulty.to_bits();
        let (biased, fraction) = ((bits >> 52) & 0x7ff, bits & ((1 << 52) - 1));
        // difficulty = mantissa · 2^exponent
        let (mantissa, exponent) = match biased {
            0 => (fraction, -1074_i64),
            _ => (fraction | 1 << 52, i64::try_from(biased).unwrap_or(0) - 1075),
        };
        let one = BigUint::from(0xffff_u32) << 208_u32;
        let quotient = match u64::try_from(exponent) {
            Ok(up) => one / (BigUint::from(mantissa) << up),
            Err(_) => (one << exponent.unsigned_abs()) / BigUint::from(mantissa),
        };
        let mut words = [0; 4];
        let digits = quotient.to_u64_digits();
        if digits.len() > words.len() {
            return Some(Self::MAX);
        }
        for (word, digit) in words.iter_mut().rev().zip(digits) {
            *word = digit;
        }
        Some(Self(words))
    }

    /// Whether a header hash is a share.
    #[must_use]
    pub fn is_met_by(&self, hash: &HeaderHash) -> bool {
        for (i, limit) in self.0.iter().enumerate() {
            let mut word = [0; 8];
            word.copy_from_slice(&hash[24 - 8 * i..32 - 8 * i]);
            let word = u64::from_le_bytes(word);
            if word != *limit {
                return word < *limit;
            }
        }
        true
    }
}

/// A job as its notify spells it, shared by all miners that got the same text.
#[derive(Debug)]
pub struct Template {
    /// The job's id.
    pub job_id: String,
    /// prevhash in header order.
    pub prevhash: [u8; 32],
    /// Coinbase before the extranonces.
    pub coinb1: Vec<u8>,
    /// Coinbase after the extranonces.
    pub coinb2: Vec<u8>,
    /// Merkle branches, lowest first.
    pub branches: Vec<[u8; 32]>,
    /// Version of the header, before rolling.
    pub version: u32,
    /// Compact network target.
    pub nbits: u32,
    /// Time of the header.
    pub ntime: u32,
    /// ntime as the server wrote it.
    pub ntime_text: String,
    /// Whether earlier jobs are stale.
    pub clean: bool,
    /// Digest of everything but the job id and the clean flag: equal content makes equal headers.
    pub content: [u8; 32],
    /// First field that strict firmware rejects for its length.
    pub odd_field: Option<&'static str>,
    /// When a simulated pool made it, as its coinbase says.
    pub made: Option<SystemTime>,
}

type NotifyParams<'a> = (
    Cow<'a, str>,
    Cow<'a, str>,
    Cow<'a, str>,
    Cow<'a, str>,
    Vec<Cow<'a, str>>,
    Cow<'a, str>,
    Cow<'a, str>,
    Cow<'a, str>,
    bool,
);

impl Template {
    /// Reads the `params` of a `mining.notify`.
    ///
    /// # Errors
    /// Names the field that can't be read at all.
    pub fn parse(params: &str) -> Result<Self, ProtocolViolation> {
        let (job, prev, coinb1, coinb2, branches, version, nbits, ntime, clean): NotifyParams =
            serde_json::from_str(params).map_err(|_| ProtocolViolation::BadField("params"))?;
        let mut content = Sha256::new();
        for field in [&prev, &coinb1, &coinb2, &version, &nbits, &ntime].into_iter().chain(&branches) {
            content.update(field.as_bytes());
            content.update(b",");
        }
        let lengths = [
            ("prevhash", prev.len(), 64),
            ("version", version.len(), 8),
            ("nbits", nbits.len(), 8),
            ("ntime", ntime.len(), 8),
        ];
        let odd_field = lengths.iter().find(|(_, is, must)| is != must).map(|(field, ..)| *field);
        let coinb1 = bytes("coinb1", &coinb1)?;
        Ok(Self {
            prevhash: header_prevhash(&prev)?,
            made: stamp(&coinb1),
            coinb1,
            coinb2: bytes("coinb2", &coinb2)?,
            branches: branches
                .iter()
                .map(|branch| bytes("branch", branch)?.try_into().map_err(|_| ProtocolViolation::BadField("branch")))
                .collect::<Result<_, _>>()?,
            version: word("version", &version)?,
            nbits: word("nbits", &nbits)?,
            ntime: word("ntime", &ntime)?,
            ntime_text: ntime.into_owned(),
            clean,
            content: content.finalize().into(),
            odd_field,
            job_id: job.into_owned(),
        })
    }

    /// Coinbase length in bytes with extranonces of the given sizes.
    #[must_use]
    pub fn coinbase_len(&self, extranonce1: usize, extranonce2: usize) -> usize {
        self.coinb1.len() + extranonce1 + extranonce2 + self.coinb2.len()
    }
}

/// The microseconds since 1970 that a simulated pool pushes after the height, if they are of the last [`STAMP_AGE`].
fn stamp(coinb1: &[u8]) -> Option<SystemTime> {
    let (height_push, rest) = coinb1.get(HEIGHT_PUSH..)?.split_first()?;
    let (push, stamp) = rest.get(usize::from(*height_push)..)?.split_first()?;
    let micros = u64::from_le_bytes(*stamp.first_chunk().filter(|_| *push == 8)?);
    let made = UNIX_EPOCH.checked_add(Duration::from_micros(micros))?;
    made.elapsed().ok().filter(|age| *age < STAMP_AGE).map(|_| made)
}

fn bytes(field: &'static str, text: &str) -> Result<Vec<u8>, ProtocolViolation> {
    hex::decode(text).map_err(|_| ProtocolViolation::BadField(field))
}

fn word(field: &'static str, text: &str) -> Result<u32, ProtocolViolation> {
    u32::from_str_radix(text, 16).map_err(|_| ProtocolViolation::BadField(field))
}

/// prevhash comes with every 4-byte word reversed.
fn header_prevhash(text: &str) -> Result<[u8; 32], ProtocolViolation> {
    let mut prevhash: [u8; 32] =
        bytes("prevhash", text)?.try_into().map_err(|_| ProtocolViolation::BadField("prevhash"))?;
    prevhash.chunks_exact_mut(4).for_each(<[u8]>::reverse);
    Ok(prevhash)
}

/// The last few distinct notifies, so that ten thousand miners parse a job once.
#[derive(Debug, Default)]
pub struct TemplateCache(Mutex<VecDeque<(Box<str>, Arc<Template>)>>);

impl TemplateCache {
    /// The template of a notify's `params`.
    ///
    /// # Errors
    /// As [`Template::parse`]; errors are not cached.
    pub fn get(&self, params: &RawValue) -> Result<Arc<Template>, ProtocolViolation> {
        let text = params.get();
        // A panic elsewhere leaves the queue whole: every operation on it is a single push or pop.
        let mut cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, template)) = cached.iter().rev().find(|(key, _)| **key == *text) {
            return Ok(Arc::clone(template));
        }
        let template = Arc::new(Template::parse(text)?);
        if cached.len() == CACHED_TEMPLATES {
            cached.pop_front();
        }
        cached.push_back((text.into(), Arc::clone(&template)));
        Ok(template)
    }
}

/// A template with one miner's extranonce1: what that miner hashes.
#[derive(Clone, Debug)]
pub struct JobWork {
    /// The job.
    pub template: Arc<Template>,
    /// extranonce1 that was in force when the job came.
    pub extranonce1: Arc<[u8]>,
    /// Hash state after `coinb1‖extranonce1`.
    coinbase_head: Sha256,
}

impl JobWork {
    /// Binds a job to an extranonce1.
    #[must_use]
    pub fn new(template: Arc<Template>, extranonce1: Arc<[u8]>) -> Self {
        let coinbase_head = Sha256::new().chain_update(&template.coinb1).chain_update(&extranonce1);
        Self { template, extranonce1, coinbase_head }
    }

    /// Merkle root with this extranonce2.
    #[must_use]
    pub fn merkle_root(&self, extranonce2: &[u8]) -> [u8; 32] {
        let coinbase = self.coinbase_head.clone().chain_update(extranonce2).chain_update(&self.template.coinb2);
        let mut root: [u8; 32] = Sha256::digest(coinbase.finalize()).into();
        let mut pair = [0; 64];
        for branch in &self.template.branches {
            pair[..32].copy_from_slice(&root);
            pair[32..].copy_from_slice(branch);
            root = sha256d(&pair);
        }
        root
    }

    /// Header without its nonce, ready for many nonces.
    #[must_use]
    pub fn prepare(&self, extranonce2: &[u8], version: u32, ntime: u32) -> Prepared {
        let root = self.merkle_root(extranonce2);
        let head = Sha256::new()
            .chain_update(version.to_le_bytes())
            .chain_update(self.template.prevhash)
            .chain_update(&root[..28]);
        let mut tail = [0; 12];
        tail[..4].copy_from_slice(&root[28..]);
        tail[4..8].copy_from_slice(&ntime.to_le_bytes());
        tail[8..].copy_from_slice(&self.template.nbits.to_le_bytes());
        Prepared { head, tail }
    }
}

/// A header that lacks only its nonce.
#[derive(Clone, Debug)]
pub struct Prepared {
    head: Sha256,
    tail: [u8; 12],
}

impl Prepared {
    /// The header's double SHA-256 with this nonce.
    #[must_use]
    pub fn hash(&self, nonce: u32) -> HeaderHash {
        let first = self.head.clone().chain_update(self.tail).chain_update(nonce.to_le_bytes()).finalize();
        Sha256::digest(first).into()
    }
}

/// Puts the low bits of `value` into the set bits of `mask`, lowest first.
#[must_use]
pub fn spread(mut value: u32, mask: u32) -> u32 {
    let (mut left, mut out) = (mask, 0);
    while left != 0 && value != 0 {
        let lowest = left & left.wrapping_neg();
        if value & 1 == 1 {
            out |= lowest;
        }
        value >>= 1;
        left ^= lowest;
    }
    out
}

/// CRC-16/CCITT as Canaan's firmware computes it over a job id.
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    })
}
