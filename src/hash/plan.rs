//! What all shares of one work have in common, prepared once: a [`Plan`].
//!
//! The coinbase is cut at the extranonce. Blocks before it are compressed here, blocks behind it are the same for every share, so
//! that their message schedule is (W+K, [`Known`]); only the one or two blocks that hold the extranonce differ. Merkle branches
//! are the constant right half of a block ([`Right`]): turned into words here, and everything of the schedule that only depends
//! on them added up.
//!
//! ```text
//! coinbase  │ prefix │ extranonce │ suffix, padding │        merkle step │ node │ branch │ padding │ ── second hash ──
//! blocks    │ state  │ 1 or 2 are compressed whole  │ W+K …             │ Right         │ Known   │ Right (SECOND)
//! ```
//!
//! Knows nothing of kernels. Limits: an extranonce of [`MAX_EXTRANONCE`] bytes, so that it touches two blocks at most. Size: 256
//! bytes per coinbase block after the extranonce and 128 per branch, some 3 KiB for a usual job.

use super::sha256::{IV, Known, Right, compress};

/// Bytes of the longest extranonce, the part of the coinbase in which shares differ.
pub const MAX_EXTRANONCE: usize = 16;

/// The words of a block.
pub(super) type Block = [u32; 16];

/// What a share adds to its work's [`Plan`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShareInput {
    /// The bytes between prefix and suffix, from the first on; those beyond the plan's length do not matter.
    pub extranonce: [u8; MAX_EXTRANONCE],
    /// The rest of it.
    pub header: HeaderInput,
}

/// What a share adds to its merkle root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderInput {
    /// Version, all bits.
    pub version: u32,
    /// Seconds since 1970.
    pub ntime: u32,
    /// Nonce.
    pub nonce: u32,
}

/// A double SHA-256, as the words that the hash function works on: a merkle root, or a block hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Digest(pub(super) [u32; 8]);

impl Digest {
    /// In the order the hash function yields.
    #[inline]
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(self.0) {
            *chunk = word.to_be_bytes();
        }
        bytes
    }
}

/// What a [`Plan`] is made from.
#[derive(Clone, Copy, Debug)]
pub struct PlanParts<'a> {
    /// The coinbase before the extranonce.
    pub prefix: &'a [u8],
    /// Bytes of the extranonce, at most [`MAX_EXTRANONCE`].
    pub extranonce_len: usize,
    /// The coinbase behind the extranonce.
    pub suffix: &'a [u8],
    /// Merkle branches, leaf to root, in the order the hash function yields.
    pub branches: &'a [[u8; 32]],
    /// The block before, as serialised in a header.
    pub prevhash: &'a [u8; 32],
    /// The network's target, compact.
    pub nbits: u32,
}

/// All that shares of one work have in common: the coinbase up to the extranonce already compressed, what follows it scheduled, the
/// branches as words.
#[derive(Clone)]
pub struct Plan {
    /// State before the first block that holds the extranonce.
    pub(super) midstate: [u32; 8],
    /// The blocks that hold the extranonce, with zeros in its place.
    variable: [Block; 2],
    variable_blocks: usize,
    /// Where the extranonce begins in `variable`.
    word: usize,
    shift: u32,
    /// The bits of the extranonce that the plan takes.
    mask: u128,
    /// The blocks behind the extranonce.
    pub(super) known: Box<[Known]>,
    pub(super) branches: Box<[Right]>,
    prevhash: [u32; 8],
    nbits: u32,
}

impl Plan {
    /// Does the work that shares then spare.
    ///
    /// # Panics
    /// If the extranonce is longer than [`MAX_EXTRANONCE`].
    pub fn new(parts: &PlanParts<'_>) -> Self {
        let &PlanParts { prefix, extranonce_len, suffix, branches, prevhash, nbits } = parts;
        assert!(extranonce_len <= MAX_EXTRANONCE, "extranonce of {extranonce_len} bytes");
        let coinbase = [prefix, &[0; MAX_EXTRANONCE][..extranonce_len], suffix].concat();
        let blocks = pad(coinbase);

        let first = prefix.len() / 64;
        let last = (prefix.len() + extranonce_len.max(1) - 1) / 64;
        let midstate = blocks[..first].iter().fold(IV, compress);
        let mut variable = [[0; 16]; 2];
        variable[..=last - first].copy_from_slice(&blocks[first..=last]);
        let unused_bits = 8 * (MAX_EXTRANONCE - extranonce_len) as u32;
        Self {
            midstate,
            variable,
            variable_blocks: last - first + 1,
            word: prefix.len() % 64 / 4,
            shift: 8 * (prefix.len() % 4) as u32,
            mask: u128::MAX.checked_shl(unused_bits).unwrap_or(0),
            known: blocks[last + 1..].iter().map(Known::new).collect(),
            branches: branches.iter().map(|branch| Right::new(&to_words(branch))).collect(),
            prevhash: to_words(prevhash),
            nbits,
        }
    }

    /// The blocks of `N` shares that hold their extranonces, those beyond the batch's end all zero.
    pub(super) fn variable_blocks_of<const N: usize>(&self, extranonces: &[[u8; MAX_EXTRANONCE]]) -> [[Block; N]; 2] {
        let mut blocks = [[[0; 16]; N]; 2];
        for (at, extranonce) in extranonces.iter().enumerate() {
            [blocks[0][at], blocks[1][at]] = self.variable(extranonce);
        }
        blocks
    }

    /// The blocks of `N` shares' headers, those beyond the batch's end all zero.
    pub(super) fn header_blocks_of<const N: usize>(&self, roots: &[Digest], inputs: &[HeaderInput]) -> [[Block; N]; 2] {
        let mut blocks = [[[0; 16]; N]; 2];
        for (at, (root, input)) in roots.iter().zip(inputs).enumerate() {
            [blocks[0][at], blocks[1][at]] = self.header(root, input);
        }
        blocks
    }

    /// Blocks that differ between shares: 1 or 2.
    #[inline(always)]
    pub(super) fn variable_blocks(&self) -> usize {
        self.variable_blocks
    }

    /// Those blocks with a share's extranonce in them.
    #[inline(always)]
    fn variable(&self, extranonce: &[u8; MAX_EXTRANONCE]) -> [Block; 2] {
        let number = u128::from_be_bytes(*extranonce) & self.mask;
        // 16 bytes from any byte of a word on reach into five words.
        let head = number >> self.shift;
        let tail = ((u64::from(number as u32) << 32) >> self.shift) as u32;
        let words = [(head >> 96) as u32, (head >> 64) as u32, (head >> 32) as u32, head as u32, tail];
        let mut blocks = self.variable;
        let flat = blocks.as_flattened_mut();
        for (at, word) in words.into_iter().enumerate() {
            // `word` is below 16, so that the fifth is the twentieth at most.
            flat[(self.word + at) & 31] |= word;
        }
        blocks
    }

    /// The two blocks of a share's header.
    #[inline(always)]
    fn header(&self, root: &Digest, input: &HeaderInput) -> [Block; 2] {
        let [p0, p1, p2, p3, p4, p5, p6, p7] = self.prevhash;
        let [r0, r1, r2, r3, r4, r5, r6, r7] = root.0;
        let HeaderInput { version, ntime, nonce } = *input;
        let (version, ntime, nonce) = (version.swap_bytes(), ntime.swap_bytes(), nonce.swap_bytes());
        let bits = 8 * super::HEADER_LEN as u32;
        [
            [version, p0, p1, p2, p3, p4, p5, p6, p7, r0, r1, r2, r3, r4, r5, r6],
            [r7, ntime, self.nbits.swap_bytes(), nonce, 0x8000_0000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, bits],
        ]
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (known, branches) = (self.known.len(), self.branches.len());
        write!(f, "Plan({} variable and {known} known blocks, {branches} branches)", self.variable_blocks)
    }
}

/// A message with its padding, as words.
fn pad(mut message: Vec<u8>) -> Vec<Block> {
    let bits = 8 * message.len() as u64;
    message.push(0x80);
    message.resize((message.len() + 8).next_multiple_of(64) - 8, 0);
    message.extend(bits.to_be_bytes());
    let (blocks, _) = message.as_chunks::<64>();
    blocks.iter().map(to_words).collect()
}

/// Bytes as the hash function reads them.
fn to_words<const BYTES: usize, const WORDS: usize>(bytes: &[u8; BYTES]) -> [u32; WORDS] {
    let (chunks, _) = bytes.as_chunks::<4>();
    std::array::from_fn(|at| u32::from_be_bytes(chunks[at]))
}
