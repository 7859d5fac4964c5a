//! The parts of SHA-256 (FIPS 180-4) that do not depend on a share: constants, and blocks whose message is known in advance.
//!
//! Everything is `const fn`, so that padding blocks cost nothing at run time. Knows nothing of coinbases or kernels.

/// The state that a hash begins with.
pub(super) const IV: [u32; 8] =
    [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];

/// The round constants.
pub(super) const K: Known = Known([
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
    0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
    0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
    0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2,
]);

/// The block behind every 64-byte message: nothing but padding.
pub(super) static PAIR_PADDING: Known = Known::new(&[0x8000_0000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 512]);

/// What follows a digest that is hashed again.
pub(super) static SECOND: Right = Right::new(&[0x8000_0000, 0, 0, 0, 0, 0, 0, 256]);

/// The round constants where kernels load them from.
pub(super) static ROUND_CONSTANTS: Known = K;

/// A block that is the same for every share: what each round adds, W+K.
#[derive(Clone)]
#[repr(align(64))]
pub(super) struct Known(pub(super) [u32; 64]);

impl Known {
    pub(super) const fn new(block: &[u32; 16]) -> Self {
        let mut w = [0; 64];
        let mut t = 0;
        while t < 64 {
            w[t] = if t < 16 {
                block[t]
            } else {
                sigma1(w[t - 2]).wrapping_add(w[t - 7]).wrapping_add(sigma0(w[t - 15])).wrapping_add(w[t - 16])
            };
            t += 1;
        }
        let mut t = 0;
        while t < 64 {
            w[t] = w[t].wrapping_add(K.0[t]);
            t += 1;
        }
        Self(w)
    }

    /// The block it was made from.
    pub(super) fn block(&self) -> [u32; 16] {
        std::array::from_fn(|t| self.0[t].wrapping_sub(K.0[t]))
    }
}

/// The right half of a block whose left half differs from share to share.
#[derive(Clone)]
#[repr(align(64))]
pub(super) struct Right {
    /// W of rounds 8 to 15.
    pub(super) w: [u32; 8],
    /// W+K of rounds 8 to 15.
    pub(super) wk: [u32; 8],
    /// Of each W of rounds 16 to 31, the sum of the terms that this half alone determines.
    pub(super) ahead: [u32; 16],
}

impl Right {
    pub(super) const fn new(w: &[u32; 8]) -> Self {
        let mut wk = [0u32; 8];
        let mut ahead = [0u32; 16];
        let mut i = 0;
        while i < 8 {
            wk[i] = w[i].wrapping_add(K.0[8 + i]);
            // W[t] = σ1(W[t-2]) + W[t-7] + σ0(W[t-15]) + W[t-16], t = 16 + at.
            if i >= 6 {
                ahead[i - 6] = ahead[i - 6].wrapping_add(sigma1(w[i]));
            }
            if i >= 1 {
                ahead[i - 1] = ahead[i - 1].wrapping_add(w[i]);
            }
            ahead[i + 7] = ahead[i + 7].wrapping_add(sigma0(w[i]));
            ahead[i + 8] = ahead[i + 8].wrapping_add(w[i]);
            i += 1;
        }
        Self { w: *w, wk, ahead }
    }
}

const fn sigma0(x: u32) -> u32 {
    x.rotate_right(7) ^ x.rotate_right(18) ^ (x >> 3)
}

const fn sigma1(x: u32) -> u32 {
    x.rotate_right(17) ^ x.rotate_right(19) ^ (x >> 10)
}

/// One compression over the `sha2` crate, which itself uses SHA-NI or the ARMv8 instructions.
pub(super) fn compress(mut state: [u32; 8], block: &[u32; 16]) -> [u32; 8] {
    let mut bytes = [0; 64];
    for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(block) {
        *chunk = word.to_be_bytes();
    }
    sha2::block_api::compress256(&mut state, &[bytes]);
    state
}
