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

use super::{
    layout::Layout,
    sha256::{IV, Known, Right, compress},
};

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
    /// The blocks of a header, with zeros in place of what differs.
    header: [Block; 2],
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
            header: header(prevhash, nbits),
        }
    }

    /// The blocks of `N` shares that hold their extranonces.
    #[inline(always)]
    pub(super) fn variable_blocks_of<L: Layout<N>, const N: usize>(
        &self,
        extranonces: &[[u8; MAX_EXTRANONCE]],
    ) -> [L; 2] {
        let mut blocks = [L::splat(&self.variable[0]), L::splat(&self.variable[1])];
        for (share, extranonce) in extranonces.iter().enumerate() {
            for (at, word) in self.extranonce_words(extranonce).into_iter().enumerate() {
                // `self.word` is below 16, so that the fifth is the twentieth at most.
                let (block, place) = ((self.word + at) / 16 % 2, (self.word + at) % 16);
                blocks[block].set(share, place, self.variable[block][place] | word);
            }
        }
        blocks
    }

    /// The blocks of `N` shares' headers.
    #[inline(always)]
    pub(super) fn header_blocks_of<L: Layout<N>, const N: usize>(
        &self,
        roots: &[Digest],
        inputs: &[HeaderInput],
    ) -> [L; 2] {
        let mut blocks = [L::splat(&self.header[0]), L::splat(&self.header[1])];
        for (share, (root, input)) in roots.iter().zip(inputs).enumerate() {
            let HeaderInput { version, ntime, nonce } = *input;
            let [first, second] = &mut blocks;
            first.set(share, 0, version.swap_bytes());
            for word in 0..7 {
                first.set(share, 9 + word, root.0[word]);
            }
            second.set(share, 0, root.0[7]);
            second.set(share, 1, ntime.swap_bytes());
            second.set(share, 3, nonce.swap_bytes());
        }
        blocks
    }

    /// Blocks that differ between shares: 1 or 2.
    #[inline(always)]
    pub(super) fn variable_blocks(&self) -> usize {
        self.variable_blocks
    }

    /// An extranonce shifted to where it lies in the words of its blocks.
    #[inline(always)]
    fn extranonce_words(&self, extranonce: &[u8; MAX_EXTRANONCE]) -> [u32; 5] {
        let number = u128::from_be_bytes(*extranonce) & self.mask;
        // 16 bytes from any byte of a word on reach into five words.
        let head = number >> self.shift;
        let tail = ((u64::from(number as u32) << 32) >> self.shift) as u32;
        [(head >> 96) as u32, (head >> 64) as u32, (head >> 32) as u32, head as u32, tail]
    }
}

/// The two blocks of a header, with zeros for what differs between shares: version, merkle root, ntime, nonce.
fn header(prevhash: &[u8; 32], nbits: u32) -> [Block; 2] {
    let mut blocks = [[0; 16]; 2];
    let prevhash: [u32; 8] = to_words(prevhash);
    blocks[0][1..9].copy_from_slice(&prevhash);
    blocks[1][2] = nbits.swap_bytes();
    blocks[1][4] = 0x8000_0000;
    blocks[1][15] = 8 * super::HEADER_LEN as u32;
    blocks
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
