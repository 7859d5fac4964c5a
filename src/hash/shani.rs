//! One to four shares at once over the SHA instructions of x86-64.
//!
//! `sha256rnds2` takes 4 cycles and each waits for the one before, but the unit takes a new one every cycle (AMD Zen 4) or every
//! third (Intel's Sapphire Rapids): shares are interleaved to keep it busy. Four are the most whose state fits the 16 registers
//! that the instruction can name.
//!
//! One source, three builds: [`Shani`] in AVX encoding; [`ShaniVl`] with the 32 registers of AVX-512VL, in which four states and
//! their schedules fit without spilling; `mixed`, which is that with `sha256msg1` replaced by plain instructions, as on Intel
//! it competes with the rounds for their port (measured here: 6 % faster, and within 5 % of what the rounds alone would take).
//!
//! **No 256-bit register may be touched here.** The SHA instructions have no VEX encoding, and on Intel a switch between the
//! encodings saves or restores the upper halves while that of any of the first 16 registers is in use: 139 ns measured for a
//! `sha256rnds2` and a `vpaddd` in turn, instead of 1.3. One vectorised copy at the entry made a share take 212 µs instead of 2.1. That
//! is why blocks are laid out by code outside the entries, why digests are stored by halves, and why
//! an entry begins with `vzeroupper`.

#![allow(clippy::needless_range_loop, reason = "an iterator's closures would not be inlined with the CPU features")]

use std::arch::x86_64::*;

use super::{
    layout::ByShare,
    pass::{Entry, Pass},
    plan::{Digest, Plan},
    sha256::{IV, Known, ROUND_CONSTANTS, Right},
    share::{self, Engine},
};

/// Proof that the CPU has SHA-NI and AVX.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shani(());

impl Shani {
    /// `None` on other CPUs.
    pub(super) fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("sha") && is_x86_feature_detected!("avx");
        has.then_some(Self(()))
    }

    /// The ways to hash with it.
    pub(super) fn passes(self) -> [Pass; 4] {
        [
            Pass::new::<_, 1>("shani x1", self),
            Pass::new::<_, 2>("shani x2", self),
            Pass::new::<_, 3>("shani x3", self),
            Pass::new::<_, 4>("shani x4", self),
        ]
    }
}

/// Proof that the CPU has SHA-NI and AVX-512VL.
#[derive(Clone, Copy, Debug)]
pub(super) struct ShaniVl(());

impl ShaniVl {
    /// `None` on other CPUs.
    pub(super) fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("sha") && is_x86_feature_detected!("avx512vl");
        has.then_some(Self(()))
    }

    /// The ways to hash with it.
    pub(super) fn passes(self) -> [Pass; 7] {
        let mixed = Mixed(self);
        [
            Pass::new::<_, 1>("shani-vl x1", self),
            Pass::new::<_, 2>("shani-vl x2", self),
            Pass::new::<_, 3>("shani-vl x3", self),
            Pass::new::<_, 4>("shani-vl x4", self),
            Pass::new::<_, 2>("mixed x2", mixed),
            Pass::new::<_, 3>("mixed x3", mixed),
            Pass::new::<_, 4>("mixed x4", mixed),
        ]
    }
}

/// As [`ShaniVl`], with `sha256msg1` replaced by five plain instructions.
#[derive(Clone, Copy, Debug)]
struct Mixed(ShaniVl);

/// The builds: the same functions under another feature list.
macro_rules! build {
    ($token:ident, $streams:ty, $features:literal) => {
        impl<const N: usize> Entry<N> for $token {
            type Blocks = ByShare<N>;

            #[target_feature(enable = $features)]
            unsafe fn merkle_roots(plan: &Plan, blocks: &[ByShare<N>; 2], out: &mut [Digest; N]) {
                _mm256_zeroupper();
                // SAFETY: the engine's features are enabled here.
                unsafe { share::merkle_roots::<$streams, N>(plan, blocks, out) }
            }

            #[target_feature(enable = $features)]
            unsafe fn headers(blocks: &[ByShare<N>; 2], out: &mut [Digest; N]) {
                _mm256_zeroupper();
                // SAFETY: the engine's features are enabled here.
                unsafe { share::headers::<$streams, N>(blocks, out) }
            }
        }
    };
}

build!(Shani, Streams<false>, "sha,sse4.1,avx");
build!(ShaniVl, Streams<false>, "sha,sse4.1,avx,avx512f,avx512vl");
build!(Mixed, Streams<true>, "sha,sse4.1,avx,avx512f,avx512vl");

/// Rounds from `$from`, a multiple of 16, to 63: each turn schedules and runs 16.
macro_rules! rounds_16_to_63 {
    ($state:ident, $w0:ident, $w1:ident, $w2:ident, $w3:ident, $from:literal) => {
        let mut at = $from;
        while at < 64 {
            $w0 = schedule::<MIXED, N>($w0, $w1, $w2, $w3);
            rounds(&mut $state, plus_k($w0, at));
            $w1 = schedule::<MIXED, N>($w1, $w2, $w3, $w0);
            rounds(&mut $state, plus_k($w1, at + 4));
            $w2 = schedule::<MIXED, N>($w2, $w3, $w0, $w1);
            rounds(&mut $state, plus_k($w2, at + 8));
            $w3 = schedule::<MIXED, N>($w3, $w0, $w1, $w2);
            rounds(&mut $state, plus_k($w3, at + 12));
            at += 16;
        }
    };
}

/// `N` interleaved streams. Needs SHA-NI and SSE4.1, in whatever encoding the entry enables; `MIXED` needs AVX-512VL.
struct Streams<const MIXED: bool>;

/// One register per stream.
type Row<const N: usize> = [__m128i; N];

/// The states of `N` streams as `sha256rnds2` wants them.
#[derive(Clone, Copy)]
struct State<const N: usize> {
    abef: Row<N>,
    cdgh: Row<N>,
}

impl<const N: usize, const MIXED: bool> Engine<N> for Streams<MIXED> {
    type Blocks = ByShare<N>;
    type State = State<N>;
    /// Words 0 to 3, words 4 to 7.
    type Half = [Row<N>; 2];

    #[inline(always)]
    unsafe fn splat(state: &[u32; 8]) -> State<N> {
        // SAFETY: the trait's conditions; the pointers are to four words each.
        unsafe {
            let abcd = _mm_loadu_si128(state[..4].as_ptr().cast());
            let efgh = _mm_loadu_si128(state[4..].as_ptr().cast());
            let (badc, hgfe) = (_mm_shuffle_epi32(abcd, 0xB1), _mm_shuffle_epi32(efgh, 0x1B));
            State { abef: [_mm_alignr_epi8(badc, hgfe, 8); N], cdgh: [_mm_blend_epi16(hgfe, badc, 0xF0); N] }
        }
    }

    #[inline(always)]
    unsafe fn load(ByShare(blocks): &ByShare<N>) -> [[Row<N>; 2]; 2] {
        // SAFETY: the trait's conditions; the pointers are to four words each.
        unsafe {
            let mut rows = [[[_mm_setzero_si128(); N]; 2]; 2];
            for at in 0..N {
                rows[0][0][at] = _mm_loadu_si128(blocks[at][..4].as_ptr().cast());
                rows[0][1][at] = _mm_loadu_si128(blocks[at][4..8].as_ptr().cast());
                rows[1][0][at] = _mm_loadu_si128(blocks[at][8..12].as_ptr().cast());
                rows[1][1][at] = _mm_loadu_si128(blocks[at][12..].as_ptr().cast());
            }
            rows
        }
    }

    #[inline(always)]
    unsafe fn store(digests: [Row<N>; 2], out: &mut [Digest; N]) {
        // SAFETY: the trait's conditions; the pointers are to four words each.
        unsafe {
            for at in 0..N {
                _mm_storeu_si128(out[at].0[..4].as_mut_ptr().cast(), digests[0][at]);
                _mm_storeu_si128(out[at].0[4..].as_mut_ptr().cast(), digests[1][at]);
            }
        }
    }

    #[inline(always)]
    unsafe fn digest(state: State<N>) -> [Row<N>; 2] {
        // SAFETY: the trait's conditions.
        unsafe {
            let mut half = [state.abef, state.cdgh];
            for at in 0..N {
                let feba = _mm_shuffle_epi32(state.abef[at], 0x1B);
                let dchg = _mm_shuffle_epi32(state.cdgh[at], 0xB1);
                half[0][at] = _mm_blend_epi16(feba, dchg, 0xF0);
                half[1][at] = _mm_alignr_epi8(dchg, feba, 8);
            }
            half
        }
    }

    #[inline(always)]
    unsafe fn compress(before: State<N>, block: [[Row<N>; 2]; 2]) -> State<N> {
        // SAFETY: the trait's conditions.
        unsafe {
            let mut state = before;
            let [[mut w0, mut w1], [mut w2, mut w3]] = block;
            rounds(&mut state, plus_k(w0, 0));
            rounds(&mut state, plus_k(w1, 4));
            rounds(&mut state, plus_k(w2, 8));
            rounds(&mut state, plus_k(w3, 12));
            rounds_16_to_63!(state, w0, w1, w2, w3, 16);
            add(state, before)
        }
    }

    #[inline(always)]
    unsafe fn compress_right(left: [Row<N>; 2], right: &Right) -> State<N> {
        // SAFETY: the trait's conditions.
        unsafe {
            let before = <Self as Engine<N>>::splat(&IV);
            let mut state = before;
            let [mut w0, mut w1] = left;
            rounds(&mut state, plus_k(w0, 0));
            rounds(&mut state, plus_k(w1, 4));
            rounds(&mut state, [four(&right.wk, 0); N]);
            rounds(&mut state, [four(&right.wk, 4); N]);
            // Rounds 16 to 31, in which the right half's terms of the schedule are known.
            let mut w2 = [four(&right.w, 0); N];
            let mut w3 = [four(&right.w, 4); N];
            for at in 0..N {
                let sum = _mm_add_epi32(plus_sigma0::<MIXED>(w0[at], w1[at]), four(&right.w, 1));
                w0[at] = _mm_sha256msg2_epu32(sum, w3[at]);
            }
            rounds(&mut state, plus_k(w0, 16));
            w1 = schedule::<MIXED, N>(w1, w2, w3, w0);
            rounds(&mut state, plus_k(w1, 20));
            for at in 0..N {
                let sum = _mm_add_epi32(_mm_alignr_epi8(w1[at], w0[at], 4), four(&right.ahead, 8));
                w2[at] = _mm_sha256msg2_epu32(sum, w1[at]);
            }
            rounds(&mut state, plus_k(w2, 24));
            w3 = schedule::<MIXED, N>(w3, w0, w1, w2);
            rounds(&mut state, plus_k(w3, 28));
            rounds_16_to_63!(state, w0, w1, w2, w3, 32);
            add(state, before)
        }
    }

    #[inline(always)]
    unsafe fn compress_known(before: State<N>, block: &Known) -> State<N> {
        // SAFETY: the trait's conditions.
        unsafe {
            let mut state = before;
            let mut at = 0;
            while at < 64 {
                rounds(&mut state, [four(&block.0, at); N]);
                at += 4;
            }
            add(state, before)
        }
    }
}

/// Four rounds.
#[inline(always)]
unsafe fn rounds<const N: usize>(state: &mut State<N>, wk: Row<N>) {
    // SAFETY: those of [`Engine`].
    unsafe {
        for at in 0..N {
            state.cdgh[at] = _mm_sha256rnds2_epu32(state.cdgh[at], state.abef[at], wk[at]);
        }
        for at in 0..N {
            let high = _mm_shuffle_epi32(wk[at], 0x0E);
            state.abef[at] = _mm_sha256rnds2_epu32(state.abef[at], state.cdgh[at], high);
        }
    }
}

/// The four words that follow these sixteen.
#[inline(always)]
unsafe fn schedule<const MIXED: bool, const N: usize>(w0: Row<N>, w1: Row<N>, w2: Row<N>, w3: Row<N>) -> Row<N> {
    let mut next = w0;
    // SAFETY: those of [`Engine`].
    unsafe {
        for at in 0..N {
            let sum = _mm_add_epi32(plus_sigma0::<MIXED>(w0[at], w1[at]), _mm_alignr_epi8(w3[at], w2[at], 4));
            next[at] = _mm_sha256msg2_epu32(sum, w3[at]);
        }
    }
    next
}

/// W+K of four rounds.
#[inline(always)]
unsafe fn plus_k<const N: usize>(mut w: Row<N>, round: usize) -> Row<N> {
    // SAFETY: those of [`Engine`].
    unsafe {
        for at in 0..N {
            w[at] = _mm_add_epi32(w[at], four(&ROUND_CONSTANTS.0, round));
        }
    }
    w
}

/// What a block adds to the state before it.
#[inline(always)]
unsafe fn add<const N: usize>(mut state: State<N>, before: State<N>) -> State<N> {
    // SAFETY: those of [`Engine`].
    unsafe {
        for at in 0..N {
            state.abef[at] = _mm_add_epi32(state.abef[at], before.abef[at]);
            state.cdgh[at] = _mm_add_epi32(state.cdgh[at], before.cdgh[at]);
        }
    }
    state
}

/// Four words from `at` on.
#[inline(always)]
unsafe fn four<const WORDS: usize>(words: &[u32; WORDS], at: usize) -> __m128i {
    // SAFETY: those of [`Engine`]; the range is checked.
    unsafe { _mm_loadu_si128(words[at..at + 4].as_ptr().cast()) }
}

/// W[t-16] + σ0(W[t-15]) of four words.
#[inline(always)]
unsafe fn plus_sigma0<const MIXED: bool>(w0: __m128i, w1: __m128i) -> __m128i {
    // SAFETY: those of [`Engine`].
    unsafe {
        if !MIXED {
            return _mm_sha256msg1_epu32(w0, w1);
        }
        let w = _mm_alignr_epi8(w1, w0, 4);
        let (seven, eighteen, three) = (_mm_ror_epi32::<7>(w), _mm_ror_epi32::<18>(w), _mm_srli_epi32::<3>(w));
        // The truth table of a ^ b ^ c.
        _mm_add_epi32(w0, _mm_ternarylogic_epi32::<0b1001_0110>(seven, eighteen, three))
    }
}
