//! The way of a share through the hash function, written once for every kernel.
//!
//! An [`Engine`] hashes `N` messages of the same shape at once; [`merkle_roots`] and [`headers`] are what it hashes. Digests stay
//! in the engine's own form from one step to the next: the merkle fold swaps no bytes and touches no memory but the plan's.
//!
//! Everything here is `#[inline(always)]` and ends up inside one `#[target_feature]` entry per kernel and width: a function of
//! its own would be compiled without the kernel's instructions, and a safe `#[target_feature]` function of that size is not
//! inlined (a fifth slower). For the same reason there are no closures.

use super::{
    plan::{Digest, Plan},
    sha256::{IV, Known, PAIR_PADDING, Right, SECOND},
};

/// Hashes `N` messages at once.
///
/// # Safety
/// Every function needs the CPU features that the implementing type names, and must be inlined where they are enabled.
pub(super) trait Engine<const N: usize> {
    /// `N` blocks in memory.
    type Blocks;
    /// `N` states in the form that rounds work on.
    type State: Copy;
    /// `N` digests, or halves of a block, in the form that a message has.
    type Half: Copy;

    /// The same state for all.
    unsafe fn splat(state: &[u32; 8]) -> Self::State;
    /// Blocks from memory.
    unsafe fn load(blocks: &Self::Blocks) -> [Self::Half; 2];
    /// Digests to memory.
    unsafe fn store(digests: Self::Half, out: &mut [Digest; N]);
    /// States as the left half of a block.
    unsafe fn digest(state: Self::State) -> Self::Half;
    /// A block of which nothing is known.
    unsafe fn compress(state: Self::State, block: [Self::Half; 2]) -> Self::State;
    /// A first block of which the right half is known.
    unsafe fn compress_right(left: Self::Half, right: &Right) -> Self::State;
    /// A block that is known.
    unsafe fn compress_known(state: Self::State, block: &Known) -> Self::State;
}

/// From the blocks with the extranonce to merkle roots.
///
/// # Safety
/// Those of the engine.
#[inline(always)]
pub(super) unsafe fn merkle_roots<E: Engine<N>, const N: usize>(
    plan: &Plan,
    blocks: &[E::Blocks; 2],
    out: &mut [Digest; N],
) {
    // SAFETY: the caller keeps the engine's conditions.
    unsafe {
        let mut state = E::splat(&plan.midstate);
        for block in &blocks[..plan.variable_blocks()] {
            state = E::compress(state, E::load(block));
        }
        for known in &plan.known {
            state = E::compress_known(state, known);
        }
        let mut branches = plan.branches.iter();
        loop {
            let node = E::digest(E::compress_right(E::digest(state), &SECOND));
            let Some(branch) = branches.next() else {
                return E::store(node, out);
            };
            state = E::compress_known(E::compress_right(node, branch), &PAIR_PADDING);
        }
    }
}

/// From the blocks of headers to their hashes.
///
/// # Safety
/// Those of the engine.
#[inline(always)]
pub(super) unsafe fn headers<E: Engine<N>, const N: usize>(blocks: &[E::Blocks; 2], out: &mut [Digest; N]) {
    // SAFETY: the caller keeps the engine's conditions.
    unsafe {
        let mut state = E::splat(&IV);
        for block in blocks {
            state = E::compress(state, E::load(block));
        }
        E::store(E::digest(E::compress_right(E::digest(state), &SECOND)), out);
    }
}
