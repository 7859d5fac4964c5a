//! One way to hash a handful of shares at once: a [`Pass`], the piece that kernels are put together from.
//!
//! A pass has a width, takes that many shares or fewer, and costs the same for fewer. It can only be made from the token that
//! proves that the CPU has what it needs, so that everything from here up is safe code.

use super::{
    layout::Layout,
    plan::{Digest, HeaderInput, MAX_EXTRANONCE, Plan},
};

/// The functions that run with a kernel's CPU features enabled: the bodies in `share.rs`, for one kernel and one width.
pub(super) trait Entry<const N: usize>: Copy {
    /// How it takes blocks.
    type Blocks: Layout<N>;

    /// Blocks with the extranonces to merkle roots.
    ///
    /// # Safety
    /// A value of `Self` exists, which proves that the CPU has the features.
    unsafe fn merkle_roots(plan: &Plan, blocks: &[Self::Blocks; 2], out: &mut [Digest; N]);

    /// Blocks of headers to their hashes.
    ///
    /// # Safety
    /// A value of `Self` exists, which proves that the CPU has the features.
    unsafe fn headers(blocks: &[Self::Blocks; 2], out: &mut [Digest; N]);
}

/// A way to hash up to [`width`](Self::width) shares. The slices of one call have the same length, at most that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    pub(super) name: &'static str,
    pub(super) width: usize,
    /// Extranonces to merkle roots.
    pub(super) merkle_roots: fn(&Plan, &[[u8; MAX_EXTRANONCE]], &mut [Digest]),
    /// Merkle roots to block hashes.
    pub(super) headers: fn(&Plan, &[Digest], &[HeaderInput], &mut [Digest]),
}

impl Pass {
    /// The pass of an entry, for which its token vouches.
    pub(super) fn new<T: Entry<N>, const N: usize>(name: &'static str, _proof: T) -> Self {
        Self { name, width: N, merkle_roots: merkle_roots::<T, N>, headers: headers::<T, N> }
    }
}

fn merkle_roots<T: Entry<N>, const N: usize>(plan: &Plan, extranonces: &[[u8; MAX_EXTRANONCE]], out: &mut [Digest]) {
    let blocks = plan.variable_blocks_of::<T::Blocks, N>(extranonces);
    // SAFETY: only a `Pass` has this function, and it took a `T`.
    with_all(out, |out| unsafe { T::merkle_roots(plan, &blocks, out) });
}

fn headers<T: Entry<N>, const N: usize>(plan: &Plan, roots: &[Digest], inputs: &[HeaderInput], out: &mut [Digest]) {
    let blocks = plan.header_blocks_of::<T::Blocks, N>(roots, inputs);
    // SAFETY: only a `Pass` has this function, and it took a `T`.
    with_all(out, |out| unsafe { T::headers(&blocks, out) });
}

/// Room for as many digests as a pass makes: that of the caller where it is enough.
#[inline(always)]
fn with_all<const N: usize>(out: &mut [Digest], run: impl FnOnce(&mut [Digest; N])) {
    if let Ok(all) = out.try_into() {
        return run(all);
    }
    let mut all = [Digest::default(); N];
    run(&mut all);
    out.copy_from_slice(&all[..out.len()]);
}
