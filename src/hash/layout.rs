//! How blocks of several shares lie in memory, so that an engine loads them without moving words around.
//!
//! | layout | word *w* of share *s* | for |
//! |---|---|---|
//! | `ByShare` | `[s][w]` | streams, which take four words of a share at once |
//! | `ByWord` | `[w][s]` | lanes, which take one word of all shares at once |
//!
//! Kernels with lanes are for x86-64 alone, and so is their layout.
//!
//! Shares of one work have most words in common: a layout begins as the same block for all, and the few words that differ are set.

use super::plan::Block;

/// One block of each of `N` shares.
pub(super) trait Layout<const N: usize> {
    /// The same block for all.
    fn splat(block: &Block) -> Self;
    /// Gives a share a word of its own.
    fn set(&mut self, share: usize, word: usize, value: u32);
}

/// One share after the other.
pub(super) struct ByShare<const N: usize>(pub(super) [Block; N]);

/// One word after the other.
#[cfg(target_arch = "x86_64")]
pub(super) struct ByWord<const N: usize>(pub(super) [[u32; N]; 16]);

impl<const N: usize> Layout<N> for ByShare<N> {
    #[inline(always)]
    fn splat(block: &Block) -> Self {
        Self([*block; N])
    }

    #[inline(always)]
    fn set(&mut self, share: usize, word: usize, value: u32) {
        self.0[share][word] = value;
    }
}

#[cfg(target_arch = "x86_64")]
impl<const N: usize> Layout<N> for ByWord<N> {
    #[inline(always)]
    fn splat(block: &Block) -> Self {
        let mut rows = [[0; N]; 16];
        for (row, word) in rows.iter_mut().zip(block) {
            *row = [*word; N];
        }
        Self(rows)
    }

    #[inline(always)]
    fn set(&mut self, share: usize, word: usize, value: u32) {
        self.0[word][share] = value;
    }
}
