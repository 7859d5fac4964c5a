//! Eight or sixteen shares at once in AVX-512, where rotations and three-way logic are single instructions.
//!
//! Only the vectors; the hash function is in `lanes.rs`. Eight lanes are for the batches that would leave half of sixteen empty:
//! they take three quarters of the time, as a 256-bit instruction finds three ports where a 512-bit one finds two.

use std::arch::{asm, x86_64::*};

use super::{
    lanes::{Lanes, Vector},
    layout::ByWord,
    pass::{Entry, Pass},
    plan::{Digest, Plan},
    share,
};

/// Proof that the CPU has AVX-512F and VL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Avx512(());

impl Avx512 {
    /// `None` on other CPUs.
    pub(super) fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
        has.then_some(Self(()))
    }

    /// The ways to hash with it.
    pub(super) fn passes(self) -> [Pass; 2] {
        [Pass::new::<_, 8>("avx512 x8", self), Pass::new::<_, 16>("avx512 x16", self)]
    }
}

/// A vector, and the entries over it.
macro_rules! lanes {
    ($vector:ident($register:ty), $lanes:literal, $splat:ident, $load:ident, $store:ident, $add:ident, $logic:ident, $ror:ident, $shr:ident, $class:ident) => {
        impl Entry<$lanes> for Avx512 {
            type Blocks = ByWord<$lanes>;

            #[target_feature(enable = "avx512f,avx512vl")]
            unsafe fn merkle_roots(plan: &Plan, blocks: &[ByWord<$lanes>; 2], out: &mut [Digest; $lanes]) {
                // SAFETY: the vector's features are enabled here.
                unsafe { share::merkle_roots::<Lanes<$vector>, $lanes>(plan, blocks, out) }
            }

            #[target_feature(enable = "avx512f,avx512vl")]
            unsafe fn headers(blocks: &[ByWord<$lanes>; 2], out: &mut [Digest; $lanes]) {
                // SAFETY: the vector's features are enabled here.
                unsafe { share::headers::<Lanes<$vector>, $lanes>(blocks, out) }
            }
        }

        /// Needs AVX-512F and VL.
        #[derive(Clone, Copy)]
        struct $vector($register);

        impl Vector<$lanes> for $vector {
            #[inline(always)]
            unsafe fn splat(word: u32) -> Self {
                // SAFETY: the trait's conditions.
                unsafe { Self($splat(word.cast_signed())) }
            }

            #[inline(always)]
            unsafe fn load(words: &[u32; $lanes]) -> Self {
                // SAFETY: the trait's conditions; the pointer is to as many words as are loaded.
                unsafe { Self($load(words.as_ptr().cast())) }
            }

            #[inline(always)]
            unsafe fn store(self, words: &mut [u32; $lanes]) {
                // SAFETY: the trait's conditions; the pointer is to as many words as are stored.
                unsafe { $store(words.as_mut_ptr().cast(), self.0) }
            }

            #[inline(always)]
            unsafe fn add(self, other: Self) -> Self {
                // SAFETY: the trait's conditions.
                unsafe { Self($add(self.0, other.0)) }
            }

            // The constant argument of `ternarylogic` is a truth table: its bit `4a + 2b + c` is the result.

            #[inline(always)]
            unsafe fn xor3(self, b: Self, c: Self) -> Self {
                // SAFETY: the trait's conditions.
                unsafe { Self($logic::<0b1001_0110>(self.0, b.0, c.0)) }
            }

            #[inline(always)]
            unsafe fn choose(self, f: Self, g: Self) -> Self {
                // SAFETY: the trait's conditions.
                unsafe { Self($logic::<0b1100_1010>(self.0, f.0, g.0)) }
            }

            #[inline(always)]
            unsafe fn majority(self, b: Self, c: Self) -> Self {
                // SAFETY: the trait's conditions.
                unsafe { Self($logic::<0b1110_1000>(self.0, b.0, c.0)) }
            }

            #[inline(always)]
            unsafe fn rotate_right<const RIGHT: i32, const LEFT: i32>(self) -> Self {
                // SAFETY: the trait's conditions.
                unsafe { Self($ror::<RIGHT>(self.0)) }
            }

            #[inline(always)]
            unsafe fn shift_right_3(self) -> Self {
                // SAFETY: the trait's conditions.
                unsafe { Self($shr::<3>(self.0)) }
            }

            #[inline(always)]
            unsafe fn shift_right_10(self) -> Self {
                // SAFETY: the trait's conditions.
                unsafe { Self($shr::<10>(self.0)) }
            }

            #[inline(always)]
            unsafe fn keep(self) -> Self {
                /// A function of its own, since the register needs the feature.
                #[inline]
                #[target_feature(enable = "avx512f,avx512vl")]
                fn keep(mut register: $register) -> $register {
                    // SAFETY: no instruction at all.
                    unsafe {
                        asm!("/* {0} */", inout($class) register, options(pure, nomem, nostack, preserves_flags));
                    }
                    register
                }
                // SAFETY: the trait's conditions.
                unsafe { Self(keep(self.0)) }
            }
        }
    };
}

lanes!(
    Eight(__m256i),
    8,
    _mm256_set1_epi32,
    _mm256_loadu_si256,
    _mm256_storeu_si256,
    _mm256_add_epi32,
    _mm256_ternarylogic_epi32,
    _mm256_ror_epi32,
    _mm256_srli_epi32,
    ymm_reg
);
lanes!(
    Sixteen(__m512i),
    16,
    _mm512_set1_epi32,
    _mm512_loadu_si512,
    _mm512_storeu_si512,
    _mm512_add_epi32,
    _mm512_ternarylogic_epi32,
    _mm512_ror_epi32,
    _mm512_srli_epi32,
    zmm_reg
);
