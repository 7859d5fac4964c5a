//! A pool's job: block template contents, its `mining.notify` line, the hashes already credited on it.
//!
//! Knows how a coinbase is built and how fields look on the wire; doesn't know connections or difficulty.
//! Contents are drawn from `(seed, job number)` alone, so that two runs make the same jobs but for the clock in `ntime`.
//!
//! ```text
//!  coinb1                                                       coinb2
//!  version 1│input│script length│height│stamp│push│ extranonce1 extranonce2 │"/name/"│pad│sequence│outputs…│locktime
//! ```
//! The outputs pay 3.125 BTC and fees, one of them is a BIP 141 commitment. Padding to the wanted length is by payouts of
//! 31 bytes, the rest goes into the script. The stamp is the time of the making in microseconds since 1970, where ckpool's has seconds and
//! nanoseconds: a load test reads from it how long a job took to a miner, whatever was in between.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::settings::PoolSettings;
use super::target::Target;

/// Hashes remembered per job. At 10 000 accepted shares per second this lasts for 100 s, three times the default interval between jobs;
/// a full job retires, it never forgets.
const MAX_CREDITED_PER_JOB: usize = 1 << 20;
/// Height of the first simulated block; subsidy stays 3.125 BTC for 150 000 blocks from here.
const FIRST_HEIGHT: u32 = 900_000;
const SUBSIDY_SATS: u64 = 312_500_000;
/// A pay-to-witness-public-key-hash output: value, length, `OP_0`, 20-byte push.
const PAYOUT_LEN: usize = 31;

/// What a job consists of, in the byte orders of a block.
#[derive(Debug, Clone)]
pub struct JobParts {
    /// Id as sent.
    pub id: String,
    /// Previous block's hash, in the byte order of the header.
    pub prevhash: [u8; 32],
    /// Coinbase up to the extranonce.
    pub coinb1: Vec<u8>,
    /// Coinbase after the extranonce.
    pub coinb2: Vec<u8>,
    /// Merkle branches, leaf to root.
    pub branches: Vec<[u8; 32]>,
    /// Block version.
    pub version: u32,
    /// Network target, compact.
    pub nbits: u32,
    /// Earliest timestamp, seconds since 1970.
    pub ntime: u32,
}

/// A job as every connection of the pool shares it.
#[derive(Debug)]
pub struct Job {
    /// Number in order of creation; greater is newer.
    pub number: u64,
    /// Number of the block it builds on; a greater one elsewhere makes this job stale.
    pub epoch: u64,
    /// The contents.
    pub parts: JobParts,
    network_target: Option<Target>,
    notify: [String; 2],
    credited: Mutex<HashSet<[u8; 32]>>,
}

/// What came of crediting a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credit {
    /// Never seen before.
    New,
    /// Credited earlier.
    Duplicate,
    /// The job has as many shares as it can remember.
    Full,
}

impl Job {
    /// Freezes the parts and writes the notify lines.
    #[must_use]
    pub fn new(number: u64, epoch: u64, parts: JobParts) -> Job {
        Job {
            number,
            epoch,
            network_target: Target::from_nbits(parts.nbits),
            notify: [notify_line(&parts, false), notify_line(&parts, true)],
            parts,
            credited: Mutex::new(HashSet::new()),
        }
    }

    /// The next job in order, with contents of its own.
    #[must_use]
    pub fn template(settings: &PoolSettings, number: u64, epoch: u64) -> Job {
        let mut draw = Draw::new(settings.seed, number);
        let mut block = Draw::new(settings.seed.rotate_left(32), epoch);
        let mut prevhash = block.bytes::<32>();
        prevhash[24..].fill(0); // a block's hash is small, and small means zeros at the end
        let made = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let height = FIRST_HEIGHT + u32::try_from(epoch % 150_000).unwrap_or(0);
        let (coinb1, coinb2) = coinbase(settings, height, made, &mut draw);
        let parts = JobParts {
            id: format!("{number:x}"),
            prevhash,
            coinb1,
            coinb2,
            branches: (0..settings.branches).map(|_| draw.bytes()).collect(),
            version: settings.job_version,
            nbits: settings.nbits,
            ntime: u32::try_from(made.as_secs()).unwrap_or(u32::MAX),
        };
        Job::new(number, epoch, parts)
    }

    /// The `mining.notify` line, newline included.
    #[must_use]
    pub fn notify(&self, clean: bool) -> &str {
        &self.notify[usize::from(clean)]
    }

    /// Whether a header hash is a block.
    #[must_use]
    pub fn is_block(&self, hash: &[u8; 32]) -> bool {
        self.network_target.is_some_and(|target| target.is_met_by(hash))
    }

    /// Books a header hash that is good enough, once.
    #[must_use]
    pub fn credit(&self, hash: [u8; 32]) -> Credit {
        let mut credited = self.credited.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if credited.contains(&hash) {
            Credit::Duplicate
        } else if credited.len() >= MAX_CREDITED_PER_JOB {
            Credit::Full
        } else {
            credited.insert(hash);
            Credit::New
        }
    }
}

fn notify_line(parts: &JobParts, clean: bool) -> String {
    let branches: Vec<String> = parts.branches.iter().map(|branch| format!("\"{}\"", hex::encode(branch))).collect();
    format!(
        "{{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"{}\",\"{}\",\"{}\",\"{}\",[{}],\"{:08x}\",\"{:08x}\",\"{:08x}\",{clean}]}}\n",
        parts.id,
        hex::encode(swap_words(&parts.prevhash)),
        hex::encode(&parts.coinb1),
        hex::encode(&parts.coinb2),
        branches.join(","),
        parts.version,
        parts.nbits,
        parts.ntime,
    )
}

/// Reverses the bytes of every 4-byte word: header order to wire order and back.
#[must_use]
pub fn swap_words(hash: &[u8; 32]) -> [u8; 32] {
    let mut swapped = *hash;
    for word in swapped.chunks_exact_mut(4) {
        word.reverse();
    }
    swapped
}

fn coinbase(settings: &PoolSettings, height: u32, made: Duration, draw: &mut Draw) -> (Vec<u8>, Vec<u8>) {
    let extranonce_len = settings.extranonce1_len + settings.extranonce2_size;
    let tag = format!("/{}/", settings.name);
    let script_len = 4 + 9 + 1 + extranonce_len + tag.len();
    let commitment_len = 8 + 1 + 38;
    let fixed = 4 + 1 + 36 + 1 + script_len + 4 + 1 + PAYOUT_LEN + commitment_len + 4;
    let mut spare = settings.coinbase_len.saturating_sub(fixed);
    let more_payouts = spare / PAYOUT_LEN;
    spare -= more_payouts * PAYOUT_LEN;
    let outputs = 2 + more_payouts;
    if outputs >= 253 {
        spare = spare.saturating_sub(2); // the count of outputs grows from one byte to three
    }

    let mut coinb1 = vec![1, 0, 0, 0, 1];
    coinb1.extend_from_slice(&[0; 32]);
    coinb1.extend_from_slice(&[0xff; 4]);
    coinb1.push(u8::try_from(script_len + spare).expect("a coinbase script has at most 100 bytes"));
    coinb1.push(3);
    coinb1.extend_from_slice(&height.to_le_bytes()[..3]);
    coinb1.push(8);
    coinb1.extend_from_slice(&u64::try_from(made.as_micros()).unwrap_or(u64::MAX).to_le_bytes());
    coinb1.push(u8::try_from(extranonce_len).expect("an extranonce has at most 32 bytes"));

    let mut coinb2 = tag.into_bytes();
    coinb2.extend(std::iter::repeat_n(b' ', spare));
    coinb2.extend_from_slice(&[0xff; 4]);
    match u8::try_from(outputs) {
        Ok(count) if count < 253 => coinb2.push(count),
        _ => {
            coinb2.push(253);
            let count = u16::try_from(outputs).expect("an 8 KiB coinbase has under 300 outputs");
            coinb2.extend_from_slice(&count.to_le_bytes());
        }
    }
    let reward = SUBSIDY_SATS + draw.next() % 30_000_000;
    let payouts = (outputs - 1) as u64;
    for payout in 0..payouts {
        let remainder = if payout == 0 { reward % payouts } else { 0 };
        coinb2.extend_from_slice(&(reward / payouts + remainder).to_le_bytes());
        coinb2.extend_from_slice(&[22, 0, 20]);
        coinb2.extend_from_slice(&draw.bytes::<20>());
    }
    coinb2.extend_from_slice(&0u64.to_le_bytes());
    coinb2.extend_from_slice(&[38, 0x6a, 36, 0xaa, 0x21, 0xa9, 0xed]);
    coinb2.extend_from_slice(&draw.bytes::<32>());
    coinb2.extend_from_slice(&[0; 4]);
    (coinb1, coinb2)
}

/// A stream of reproducible bytes: SplitMix64 (Steele, Lea, Flood 2014) keyed by two numbers.
#[derive(Debug, Clone)]
pub struct Draw(u64);

impl Draw {
    /// The stream that belongs to `(seed, number)`.
    #[must_use]
    pub fn new(seed: u64, number: u64) -> Draw {
        let mut key = Draw(seed);
        Draw(key.next() ^ number.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// The next 64 bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next `N` bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        bytes
    }

    /// The next 64 bits as hex, e.g. for a session id.
    pub fn hex(&mut self) -> String {
        format!("{:016x}", self.next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coinbase_of(settings: &PoolSettings) -> Vec<u8> {
        let job = Job::template(settings, 1, 1);
        let mut whole = job.parts.coinb1.clone();
        whole.extend(vec![0xee; settings.extranonce1_len + settings.extranonce2_size]);
        whole.extend_from_slice(&job.parts.coinb2);
        whole
    }

    #[test]
    fn coinbases_have_the_wanted_length_and_parse() {
        for coinbase_len in [0, 233, 250, 251, 500, 750, 2250, 6500, 8100, 8192] {
            for extranonce2_size in [2, 4, 8, 16] {
                let settings = PoolSettings { coinbase_len, extranonce2_size, ..PoolSettings::default() };
                let bytes = coinbase_of(&settings);
                if coinbase_len >= 233 {
                    assert!(
                        (coinbase_len..coinbase_len + 3).contains(&bytes.len()),
                        "{coinbase_len} gave {}",
                        bytes.len()
                    );
                }
                let script_len = usize::from(bytes[41]);
                assert!(script_len <= 100);
                let mut at = 42 + script_len;
                assert_eq!(bytes[at..at + 4], [0xff; 4]);
                at += 4;
                let outputs = if bytes[at] < 253 {
                    at += 1;
                    usize::from(bytes[at - 1])
                } else {
                    at += 3;
                    usize::from(u16::from_le_bytes([bytes[at - 2], bytes[at - 1]]))
                };
                let mut paid = 0;
                for _ in 0..outputs {
                    paid += u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
                    at += 9 + usize::from(bytes[at + 8]);
                }
                assert!((SUBSIDY_SATS..SUBSIDY_SATS + 30_000_000).contains(&paid), "paid {paid}");
                assert_eq!(at + 4, bytes.len(), "nothing but the locktime is left");
            }
        }
    }

    #[test]
    fn jobs_differ_and_blocks_differ() {
        let settings = PoolSettings::default();
        let [first, second, next_block] =
            [(1, 1), (2, 1), (3, 2)].map(|(number, epoch)| Job::template(&settings, number, epoch).parts);
        assert_eq!(first.prevhash, second.prevhash);
        assert_ne!(first.prevhash, next_block.prevhash);
        assert_ne!(first.branches, second.branches);
        assert_ne!(first.coinb2, second.coinb2);
        assert_eq!(first.branches, Job::template(&settings, 1, 1).parts.branches, "same seed, same job");
    }

    #[test]
    fn a_hash_is_credited_once() {
        let job = Job::template(&PoolSettings::default(), 1, 1);
        assert_eq!(job.credit([7; 32]), Credit::New);
        assert_eq!(job.credit([7; 32]), Credit::Duplicate);
    }
}
