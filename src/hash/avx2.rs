//! Eight shares at once in AVX2, for x86-64 CPUs without SHA-NI (Intel before Ice Lake, AMD before Zen).
//!
//! Only the vector; the hash function is in `lanes.rs`.

use std::arch::x86_64::*;

use super::{
    lanes::{Lanes, Vector},
    layout::ByWord,
    pass::{Entry, Pass},
    plan::{Digest, Plan},
    share,
};

/// Proof that the CPU has AVX2.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx2(());

impl Avx2 {
    /// `None` on other CPUs.
    pub(super) fn new() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// The way to hash with it.
    pub(super) fn pass(self) -> Pass {
        Pass::new::<_, 8>("avx2 x8", self)
    }
}

impl Entry<8> for Avx2 {
    type Blocks = ByWord<8>;

    #[target_feature(enable = "avx2")]
    unsafe fn merkle_roots(plan: &Plan, blocks: &[ByWord<8>; 2], out: &mut [Digest; 8]) {
        // SAFETY: the vector's features are enabled here.
        unsafe { share::merkle_roots::<Lanes<__m256i>, 8>(plan, blocks, out) }
    }

    #[target_feature(enable = "avx2")]
    unsafe fn headers(blocks: &[ByWord<8>; 2], out: &mut [Digest; 8]) {
        // SAFETY: the vector's features are enabled here.
        unsafe { share::headers::<Lanes<__m256i>, 8>(blocks, out) }
    }
}

/// Needs AVX2.
impl Vector<8> for __m256i {
    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        // SAFETY: the trait's conditions.
        unsafe { _mm256_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn load(words: &[u32; 8]) -> Self {
        // SAFETY: the trait's conditions; the pointer is to eight words.
        unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, words: &mut [u32; 8]) {
        // SAFETY: the trait's conditions; the pointer is to eight words.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), self) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the trait's conditions.
        unsafe { _mm256_add_epi32(self, other) }
    }

    #[inline(always)]
    unsafe fn xor3(self, b: Self, c: Self) -> Self {
        // SAFETY: the trait's conditions.
        unsafe { _mm256_xor_si256(_mm256_xor_si256(self, b), c) }
    }

    #[inline(always)]
    unsafe fn choose(self, f: Self, g: Self) -> Self {
        // SAFETY: the trait's conditions.
        unsafe { _mm256_xor_si256(_mm256_and_si256(_mm256_xor_si256(f, g), self), g) }
    }

    #[inline(always)]
    unsafe fn majority(self, b: Self, c: Self) -> Self {
        // SAFETY: the trait's conditions.
        unsafe { _mm256_or_si256(_mm256_and_si256(self, b), _mm256_and_si256(_mm256_or_si256(self, b), c)) }
    }

    #[inline(always)]
    unsafe fn rotate_right<const RIGHT: i32, const LEFT: i32>(self) -> Self {
        const { assert!(RIGHT + LEFT == 32) };
        // SAFETY: the trait's conditions.
        unsafe { _mm256_or_si256(_mm256_srli_epi32::<RIGHT>(self), _mm256_slli_epi32::<LEFT>(self)) }
    }

    #[inline(always)]
    unsafe fn shift_right_3(self) -> Self {
        // SAFETY: the trait's conditions.
        unsafe { _mm256_srli_epi32::<3>(self) }
    }

    #[inline(always)]
    unsafe fn shift_right_10(self) -> Self {
        // SAFETY: the trait's conditions.
        unsafe { _mm256_srli_epi32::<10>(self) }
    }

    /// Of no use here, where no order of sums is faster than LLVM's: three instructions for a rotation keep the ports busy.
    #[inline(always)]
    unsafe fn keep(self) -> Self {
        self
    }
}
