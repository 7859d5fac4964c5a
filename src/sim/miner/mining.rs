//! The hashing side of one machine: which headers it tries, in which order, and never one twice.
//!
//! The search space of a job is cut into *slots*. A slot fixes extranonce2 and version and holds 2^20 nonces; a found
//! share ends it, since a real ASIC is many extranonce2 further by its next share. With short extranonces the slots
//! come around in laps, each lap with the next range of nonces:
//!
//! ```text
//! slot   = lap ‖ extranonce2              (extranonce2: its size in bits, at most 64)
//! nonce  = (lap ‖ offset in the slot) ^ seed
//! ```
//!
//! At a difficulty that every hash meets, a load test need not compute any: the header it names is a share all the same.
//!
//! So (job content, extranonce1, slot, offset) names a header once. [`Mining`] remembers how far it got with recent
//! contents: when a server sends the same work again, it goes on instead of repeating itself, even where the real
//! firmware would repeat (the session reports that).

use super::profile::Rolling;
use super::splitmix;
use super::work::{HeaderHash, JobWork, Prepared, Target, spread};
use std::collections::VecDeque;
use std::sync::Arc;

/// Nonces of a slot, as a power of two.
const SLOT_BITS: u32 = 20;
/// Laps that the nonce's remaining bits allow.
const LAPS: u64 = 1 << (32 - SLOT_BITS);
/// Contents whose progress is remembered: more than the jobs between two identical ones.
const REMEMBERED: usize = 8;

/// Where in a job's search space a machine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cursor {
    slot: u64,
    offset: u32,
}

/// What identifies headers: equal keys make equal headers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct WorkKey {
    content: [u8; 32],
    extranonce1: Arc<[u8]>,
}

#[derive(Debug)]
struct Progress {
    key: WorkKey,
    cursor: Cursor,
    connection: u64,
}

/// A slot, ready to try nonces.
#[derive(Debug)]
struct Slot {
    prepared: Prepared,
    extranonce2: Vec<u8>,
    version: u32,
}

/// A share that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The header's hash; `None` where any hash will do and nobody asked which it is.
    pub hash: Option<HeaderHash>,
    /// extranonce2 that was hashed.
    pub extranonce2: Vec<u8>,
    /// nonce that was hashed.
    pub nonce: u32,
    /// The version that was hashed.
    pub version: u32,
}

/// The job at hand and the progress in earlier ones.
#[derive(Debug)]
pub(super) struct Mining {
    work: Option<JobWork>,
    target: Target,
    difficulty: f64,
    extranonce2_size: usize,
    cursor: Cursor,
    slot: Option<Slot>,
    rolling: Rolling,
    mask: u32,
    seed: u64,
    needs_hashes: bool,
    progress: VecDeque<Progress>,
}

impl Mining {
    pub(super) fn new(rolling: Rolling, seed: u64) -> Self {
        Self {
            work: None,
            target: Target::MAX,
            difficulty: 0.0,
            extranonce2_size: 0,
            cursor: Cursor::default(),
            slot: None,
            rolling,
            mask: 0,
            seed,
            needs_hashes: true,
            progress: VecDeque::new(),
        }
    }

    /// Computes no hash where it decides nothing.
    pub(super) fn spare_hashes(&mut self) {
        self.needs_hashes = false;
    }

    pub(super) fn work(&self) -> Option<&JobWork> {
        self.work.as_ref()
    }

    /// Difficulty that shares are searched for.
    pub(super) fn difficulty(&self) -> f64 {
        self.difficulty
    }

    pub(super) fn set_difficulty(&mut self, difficulty: f64, target: Target) {
        (self.difficulty, self.target) = (difficulty, target);
    }

    pub(super) fn set_mask(&mut self, mask: u32) {
        self.mask = mask;
        self.slot = None;
    }

    /// Takes up a job; true when this connection had the same content and extranonce1 before.
    pub(super) fn start(&mut self, work: JobWork, extranonce2_size: usize, restarts: bool, connection: u64) -> bool {
        self.stop();
        let key = WorkKey { content: work.template.content, extranonce1: Arc::clone(&work.extranonce1) };
        let known = self.progress.iter().position(|progress| progress.key == key);
        let (cursor, repeated) = match known.and_then(|at| self.progress.remove(at)) {
            Some(progress) => (progress.cursor, progress.connection == connection),
            None if restarts => (Cursor::default(), false),
            None => (Cursor { slot: self.cursor.slot & counter_mask(extranonce2_size), offset: 0 }, false),
        };
        if self.progress.len() == REMEMBERED {
            self.progress.pop_front();
        }
        self.progress.push_back(Progress { key, cursor, connection });
        self.cursor = cursor;
        self.extranonce2_size = extranonce2_size;
        self.work = Some(work);
        repeated
    }

    /// Drops the job at hand.
    pub(super) fn stop(&mut self) {
        // The job at hand is always the newest entry.
        if self.work.take().is_some()
            && let Some(progress) = self.progress.back_mut()
        {
            progress.cursor = self.cursor;
        }
        self.slot = None;
    }

    /// Tries up to `budget` hashes; how many it took, and the share that ended it early.
    pub(super) fn search(&mut self, budget: u32) -> (u32, Option<Found>) {
        let mut spent = 0;
        while spent < budget {
            if self.cursor.offset >> SLOT_BITS != 0 {
                self.next_slot();
            }
            let lap = self.cursor.slot.checked_shr(counter_bits(self.extranonce2_size)).unwrap_or(0);
            let Some(work) = self.work.as_ref().filter(|_| lap < LAPS) else {
                return (spent, None);
            };
            let range = u32::try_from(lap).unwrap_or(0) << SLOT_BITS;
            if self.target == Target::MAX && !self.needs_hashes {
                let nonce = (range | self.cursor.offset) ^ seed_of_nonces(self.seed);
                let version = self.version(work.template.version);
                let found = Found { hash: None, extranonce2: self.extranonce2(), nonce, version };
                self.next_slot();
                return (spent + 1, Some(found));
            }
            if !self.fill_slot() {
                return (spent, None);
            }
            let Some(slot) = &self.slot else {
                return (spent, None);
            };
            let last = (1 << SLOT_BITS).min(self.cursor.offset.saturating_add(budget - spent));
            for offset in self.cursor.offset..last {
                let nonce = (range | offset) ^ seed_of_nonces(self.seed);
                let hash = slot.prepared.hash(nonce);
                if self.target.is_met_by(&hash) {
                    spent += offset - self.cursor.offset + 1;
                    let (extranonce2, version) = (slot.extranonce2.clone(), slot.version);
                    let found = Found { hash: Some(hash), extranonce2, nonce, version };
                    self.next_slot();
                    return (spent, Some(found));
                }
            }
            spent += last - self.cursor.offset;
            self.cursor.offset = last;
        }
        (spent, None)
    }

    fn next_slot(&mut self) {
        self.cursor = Cursor { slot: self.cursor.slot.wrapping_add(1), offset: 0 };
        self.slot = None;
    }

    /// Computes the merkle root of the slot if that is still to do; false without work.
    fn fill_slot(&mut self) -> bool {
        let Some(work) = &self.work else { return false };
        if self.slot.is_none() {
            let extranonce2 = self.extranonce2();
            let version = self.version(work.template.version);
            let prepared = work.prepare(&extranonce2, version, work.template.ntime);
            self.slot = Some(Slot { prepared, extranonce2, version });
        }
        true
    }

    /// The extranonce2 that this slot hashes.
    fn extranonce2(&self) -> Vec<u8> {
        let counter = self.cursor.slot & counter_mask(self.extranonce2_size);
        let mut extranonce2 = counter.to_le_bytes().to_vec();
        extranonce2.resize(self.extranonce2_size, 0);
        extranonce2
    }

    /// The version that this slot hashes.
    fn version(&self, job: u32) -> u32 {
        let slot = self.cursor.slot;
        let pattern = |n: u64| spread(u32::try_from(n & 0xffff_ffff).unwrap_or(0), self.mask);
        match self.rolling {
            Rolling::None => job,
            Rolling::SubMasks(n) | Rolling::FullVersion(n) => (job & !self.mask) | pattern(slot % u64::from(n.max(1))),
            Rolling::WholeMask | Rolling::Unasked => (job & !self.mask) | pattern(splitmix(slot ^ self.seed)),
            Rolling::XorWithJob => job ^ pattern(splitmix(slot ^ self.seed)),
        }
    }

    /// The sixth parameter for a share that hashed `version`.
    pub(super) fn sixth_parameter(&self, version: u32) -> Option<u32> {
        let job = self.work.as_ref()?.template.version;
        match self.rolling {
            Rolling::None => None,
            _ if self.mask == 0 => None,
            Rolling::SubMasks(_) | Rolling::WholeMask | Rolling::Unasked => Some(version & self.mask),
            Rolling::XorWithJob => Some(version ^ job),
            Rolling::FullVersion(_) => Some(version),
        }
    }
}

/// Low bits of a slot that are the extranonce2's counter.
fn counter_bits(extranonce2_size: usize) -> u32 {
    u32::try_from(extranonce2_size.min(8)).unwrap_or(8) * 8
}

fn counter_mask(extranonce2_size: usize) -> u64 {
    match counter_bits(extranonce2_size) {
        64 => u64::MAX,
        bits => (1 << bits) - 1,
    }
}

/// Makes nonces look like an ASIC's; being a plain xor it keeps them distinct.
fn seed_of_nonces(seed: u64) -> u32 {
    u32::try_from(splitmix(seed) >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::miner::work::Template;
    use std::collections::HashSet;

    const NOTIFY: &str = r#"["1","00","01","02",[],"20000000","1d00ffff","64b3f3ec",true]"#;

    fn job(id: u32) -> JobWork {
        let text = NOTIFY.replace("\"00\"", &format!("{:?}", "00".repeat(32))).replace("\"1\"", &format!("\"{id}\""));
        JobWork::new(Arc::new(Template::parse(&text).expect("a good notify")), Arc::from([1, 2]))
    }

    fn all_hashes(mining: &mut Mining, shares: usize) -> Vec<HeaderHash> {
        (0..shares).map(|_| mining.search(u32::MAX).1.and_then(|found| found.hash).expect("a share")).collect()
    }

    #[test]
    fn shares_that_need_no_hash_name_the_headers_that_hashing_would_have() {
        let shares = |spare: bool| {
            let mut mining = Mining::new(Rolling::WholeMask, 7);
            mining.set_mask(0x1fff_e000);
            if spare {
                mining.spare_hashes();
            }
            mining.start(job(1), 1, true, 1);
            let share = |mining: &mut Mining| mining.search(1).1.map(|found| Found { hash: None, ..found });
            (0..300).map(|_| share(&mut mining).expect("every hash is a share")).collect::<Vec<_>>()
        };
        assert_eq!(shares(true), shares(false));
    }

    #[test]
    fn headers_are_never_repeated_even_when_a_short_extranonce_comes_around() {
        for size in [1, 2, 4, 8] {
            let mut mining = Mining::new(Rolling::None, 7);
            mining.set_difficulty(1e-10, Target::MAX);
            assert!(!mining.start(job(1), size, true, 1));
            let mut seen: HashSet<_> = all_hashes(&mut mining, 700).into_iter().collect();
            assert!(mining.start(job(2), size, true, 1), "the same content again is reported");
            seen.extend(all_hashes(&mut mining, 300));
            assert_eq!(seen.len(), 1000, "extranonce2 of {size} bytes");
        }
    }

    #[test]
    fn the_same_work_on_a_new_connection_is_no_fault() {
        let mut mining = Mining::new(Rolling::None, 7);
        mining.start(job(1), 4, true, 1);
        assert!(!mining.start(job(1), 4, true, 2));
    }

    #[test]
    fn rolling_forms() {
        let sixth = |rolling, mask| {
            let mut mining = Mining::new(rolling, 7);
            mining.set_mask(mask);
            mining.start(job(1), 4, true, 1);
            let found = mining.search(1).1.expect("every hash is a share");
            let second = mining.search(1).1.expect("every hash is a share");
            assert!(rolling == Rolling::None || mask == 0 || found.version != second.version);
            (second.version, mining.sixth_parameter(second.version))
        };
        assert_eq!(sixth(Rolling::None, 0x1fff_e000), (0x2000_0000, None));
        assert_eq!(sixth(Rolling::SubMasks(4), 0), (0x2000_0000, None));
        assert_eq!(sixth(Rolling::SubMasks(4), 0x00c0_0000), (0x2040_0000, Some(0x0040_0000)));
        assert_eq!(sixth(Rolling::FullVersion(4), 0x1fff_e000), (0x2000_2000, Some(0x2000_2000)));
        let (version, bits) = sixth(Rolling::XorWithJob, 0x1fff_e000);
        assert_eq!(bits, Some(version ^ 0x2000_0000));
        let (version, bits) = sixth(Rolling::WholeMask, 0x1fff_e000);
        assert_eq!(bits, Some(version & 0x1fff_e000));
    }
}
