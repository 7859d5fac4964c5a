//! One share at a time, over the `sha2` crate: the oracle of every later kernel and the path of every CPU that has none.

use sha2::{Digest as _, Sha256};

use super::{
    HEADER_LEN,
    layout::ByShare,
    pass::{Entry, Pass},
    plan::{Digest, Plan},
    sha256::{self, IV, Known, Right},
    share::{self, Engine},
};

/// Runs on every CPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scalar;

impl Scalar {
    /// The way to hash with it.
    pub(super) fn pass(self) -> Pass {
        Pass::new::<_, 1>("scalar", self)
    }
}

impl Entry<1> for Scalar {
    type Blocks = ByShare<1>;

    unsafe fn merkle_roots(plan: &Plan, blocks: &[ByShare<1>; 2], out: &mut [Digest; 1]) {
        // SAFETY: this engine needs no CPU features.
        unsafe { share::merkle_roots::<Self, 1>(plan, blocks, out) }
    }

    unsafe fn headers(blocks: &[ByShare<1>; 2], out: &mut [Digest; 1]) {
        // SAFETY: this engine needs no CPU features.
        unsafe { share::headers::<Self, 1>(blocks, out) }
    }
}

impl Engine<1> for Scalar {
    type Blocks = ByShare<1>;
    type State = [u32; 8];
    type Half = [u32; 8];

    unsafe fn splat(state: &[u32; 8]) -> [u32; 8] {
        *state
    }

    unsafe fn load(ByShare([block]): &ByShare<1>) -> [[u32; 8]; 2] {
        let (halves, _) = block.as_chunks();
        [halves[0], halves[1]]
    }

    unsafe fn store(digest: [u32; 8], [out]: &mut [Digest; 1]) {
        *out = Digest(digest);
    }

    unsafe fn digest(state: [u32; 8]) -> [u32; 8] {
        state
    }

    unsafe fn compress(state: [u32; 8], block: [[u32; 8]; 2]) -> [u32; 8] {
        sha256::compress(state, block.as_flattened().try_into().expect("two halves of a block"))
    }

    unsafe fn compress_right(left: [u32; 8], right: &Right) -> [u32; 8] {
        // SAFETY: this engine needs no CPU features.
        unsafe { Self::compress(IV, [left, right.w]) }
    }

    unsafe fn compress_known(state: [u32; 8], block: &Known) -> [u32; 8] {
        sha256::compress(state, &block.block())
    }
}

/// SHA-256 of the SHA-256 of the bytes.
pub(super) fn double_sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// Folds a coinbase hash through its merkle branches, leaf to root. All hashes in the order the hash function yields.
pub(super) fn merkle_root(coinbase: [u8; 32], branches: &[[u8; 32]]) -> [u8; 32] {
    let mut pair = [0; 64];
    branches.iter().fold(coinbase, |node, branch| {
        pair[..32].copy_from_slice(&node);
        pair[32..].copy_from_slice(branch);
        double_sha256(&pair)
    })
}

/// The hash of a serialised header.
pub fn header_hash(header: &[u8; HEADER_LEN]) -> [u8; 32] {
    double_sha256(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_genesis_header_has_its_hash() {
        let header = hex::decode(concat!(
            "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b2",
            "7ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
        ))
        .unwrap();
        let mut hash = header_hash(&header.try_into().unwrap());
        hash.reverse();
        assert_eq!(hex::encode(hash), "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f");
    }
}
