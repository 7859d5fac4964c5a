//! As many shares at once as a vector has 32-bit lanes, in plain vector instructions: lane *n* of every register is share *n*.
//!
//! Written once over [`Vector`]; the vectors are in `avx2.rs` and `avx512.rs`. A batch costs the same whether its lanes are full
//! or not; whether a short one is worth that, `kernel.rs` decides.

#![allow(
    clippy::needless_range_loop,
    reason = "an iterator's closures would not be inlined with the vector's features"
)]

use std::marker::PhantomData;

use super::{
    layout::ByWord,
    plan::Digest,
    sha256::{IV, Known, ROUND_CONSTANTS, Right},
    share::Engine,
};

/// A register of `N` lanes.
///
/// # Safety
/// Every function needs the CPU features that the implementing type names, and must be inlined where they are enabled.
pub(super) trait Vector<const N: usize>: Copy {
    unsafe fn splat(word: u32) -> Self;
    unsafe fn load(words: &[u32; N]) -> Self;
    unsafe fn store(self, words: &mut [u32; N]);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn xor3(self, b: Self, c: Self) -> Self;
    /// Bits of `f` where `self` is set, of `g` elsewhere.
    unsafe fn choose(self, f: Self, g: Self) -> Self;
    unsafe fn majority(self, b: Self, c: Self) -> Self;
    unsafe fn rotate_right<const RIGHT: i32, const LEFT: i32>(self) -> Self;
    unsafe fn shift_right_3(self) -> Self;
    unsafe fn shift_right_10(self) -> Self;
    /// The same value, of which the compiler then knows nothing: sums are added up in the order that is written.
    unsafe fn keep(self) -> Self;
}

/// `N` shares in the lanes of `V`.
pub(super) struct Lanes<V>(PhantomData<V>);

/// The body once for each number, so that indices are constants and arrays become registers: LLVM leaves loops of this size alone.
macro_rules! each {
    ([$($number:literal)*], |$at:ident| $body:expr) => {
        $({
            const $at: usize = $number;
            $body;
        })*
    };
}

macro_rules! eight_times {
    (|$at:ident| $body:expr) => { each!([0 1 2 3 4 5 6 7], |$at| $body) };
}

macro_rules! sixteen {
    (|$at:ident| $body:expr) => { each!([0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15], |$at| $body) };
}

/// Rounds from `$from`, a multiple of 16, to 63: each turn schedules and runs 16.
macro_rules! rounds_from {
    ($state:ident, $w:ident, $from:literal) => {
        let mut from = $from;
        while from < 64 {
            sixteen!(|AT| {
                let near = $w[(AT + 9) % 16].add(sigma1($w[(AT + 14) % 16]));
                $w[AT] = $w[AT].add(sigma0($w[(AT + 1) % 16])).add(near);
                round(&mut $state, AT, $w[AT].add(k(from + AT)));
            });
            from += 16;
        }
    };
}

impl<V: Vector<N>, const N: usize> Engine<N> for Lanes<V> {
    type Blocks = ByWord<N>;
    type State = [V; 8];
    type Half = [V; 8];

    #[inline(always)]
    unsafe fn splat(state: &[u32; 8]) -> [V; 8] {
        // SAFETY: the trait's conditions are those of the vector.
        unsafe { eight(state) }
    }

    #[inline(always)]
    unsafe fn load(ByWord(rows): &ByWord<N>) -> [[V; 8]; 2] {
        // SAFETY: the trait's conditions are those of the vector.
        unsafe {
            let mut halves = [[V::splat(0); 8]; 2];
            for word in 0..8 {
                halves[0][word] = V::load(&rows[word]);
                halves[1][word] = V::load(&rows[8 + word]);
            }
            halves
        }
    }

    #[inline(always)]
    unsafe fn store(digests: [V; 8], out: &mut [Digest; N]) {
        for word in 0..8 {
            let mut row = [0; N];
            // SAFETY: the trait's conditions are those of the vector.
            unsafe { digests[word].store(&mut row) };
            for lane in 0..N {
                out[lane].0[word] = row[lane];
            }
        }
    }

    #[inline(always)]
    unsafe fn digest(state: [V; 8]) -> [V; 8] {
        state
    }

    #[inline(always)]
    unsafe fn compress(before: [V; 8], [left, right]: [[V; 8]; 2]) -> [V; 8] {
        // SAFETY: the trait's conditions are those of the vector.
        unsafe {
            let mut state = before;
            let mut w = [left[0]; 16];
            w[..8].copy_from_slice(&left);
            w[8..].copy_from_slice(&right);
            sixteen!(|AT| round(&mut state, AT, w[AT].add(k(AT))));
            rounds_from!(state, w, 16);
            sum(state, before)
        }
    }

    #[inline(always)]
    unsafe fn compress_right(left: [V; 8], right: &Right) -> [V; 8] {
        // SAFETY: the trait's conditions are those of the vector.
        unsafe {
            let before = eight(&IV);
            let mut state = before;
            eight_times!(|AT| round(&mut state, AT, left[AT].add(k(AT))));
            eight_times!(|AT| round(&mut state, AT + 8, V::splat(right.wk[AT])));
            // Rounds 16 to 31: what the right half adds to the schedule is known, and each term of the left has its rounds.
            let mut w = [left[0]; 16];
            each!([0 1], |AT| w[AT] = V::splat(right.ahead[AT]).add(left[AT]).add(sigma0(left[AT + 1])));
            each!([2 3 4 5 6], |AT| {
                w[AT] = V::splat(right.ahead[AT]).add(left[AT]).add(sigma0(left[AT + 1])).add(sigma1(w[AT - 2]));
            });
            w[7] = V::splat(right.ahead[7]).add(left[7]).add(w[0]).add(sigma1(w[5]));
            each!([8 9 10 11 12 13 14], |AT| w[AT] = V::splat(right.ahead[AT]).add(w[AT - 7]).add(sigma1(w[AT - 2])));
            w[15] = V::splat(right.ahead[15]).add(w[8]).add(sigma1(w[13])).add(sigma0(w[0]));
            sixteen!(|AT| round(&mut state, AT, w[AT].add(k(16 + AT))));
            rounds_from!(state, w, 32);
            sum(state, before)
        }
    }

    #[inline(always)]
    unsafe fn compress_known(before: [V; 8], block: &Known) -> [V; 8] {
        // SAFETY: the trait's conditions are those of the vector.
        unsafe {
            let mut state = before;
            let mut from = 0;
            while from < 64 {
                sixteen!(|AT| round(&mut state, AT, V::splat(block.0[from + AT])));
                from += 16;
            }
            sum(state, before)
        }
    }
}

#[inline(always)]
unsafe fn eight<V: Vector<N>, const N: usize>(words: &[u32; 8]) -> [V; 8] {
    // SAFETY: those of [`Vector`].
    unsafe {
        let mut all = [V::splat(0); 8];
        for at in 0..8 {
            all[at] = V::splat(words[at]);
        }
        all
    }
}

/// The constant of a round.
#[inline(always)]
unsafe fn k<V: Vector<N>, const N: usize>(round: usize) -> V {
    // SAFETY: those of [`Vector`].
    unsafe { V::splat(ROUND_CONSTANTS.0[round]) }
}

/// One round. The state does not move: the names do, by the number of the round.
///
/// The order of the sums keeps the way from one `e` to the next at four instructions (rotate, xor, two sums): what is known early
/// is added first. Left alone, LLVM makes it six, and rounds on known blocks are then bound by it (38.7 cycles per share instead of
/// 34.3 in 16 lanes, 69 instead of 59 in 8).
#[inline(always)]
unsafe fn round<V: Vector<N>, const N: usize>(state: &mut [V; 8], number: usize, wk: V) {
    // `a` of the first round is `b` of the second, and so on.
    let a = 16 - number;
    let (a, b, c, d) = (a % 8, (a + 1) % 8, (a + 2) % 8, (a + 3) % 8);
    let (e, f, g, h) = ((a + 4) % 8, (a + 5) % 8, (a + 6) % 8, (a + 7) % 8);
    // SAFETY: those of [`Vector`].
    unsafe {
        let sum1 =
            state[e].rotate_right::<6, 26>().xor3(state[e].rotate_right::<11, 21>(), state[e].rotate_right::<25, 7>());
        let t1 = state[h].add(wk).keep().add(state[e].choose(state[f], state[g])).keep().add(sum1).keep();
        let sum0 =
            state[a].rotate_right::<2, 30>().xor3(state[a].rotate_right::<13, 19>(), state[a].rotate_right::<22, 10>());
        state[d] = state[d].add(t1);
        state[h] = t1.add(sum0.add(state[a].majority(state[b], state[c])).keep());
    }
}

#[inline(always)]
unsafe fn sigma0<V: Vector<N>, const N: usize>(x: V) -> V {
    // SAFETY: those of [`Vector`].
    unsafe { x.rotate_right::<7, 25>().xor3(x.rotate_right::<18, 14>(), x.shift_right_3()) }
}

#[inline(always)]
unsafe fn sigma1<V: Vector<N>, const N: usize>(x: V) -> V {
    // SAFETY: those of [`Vector`].
    unsafe { x.rotate_right::<17, 15>().xor3(x.rotate_right::<19, 13>(), x.shift_right_10()) }
}

#[inline(always)]
unsafe fn sum<V: Vector<N>, const N: usize>(mut state: [V; 8], before: [V; 8]) -> [V; 8] {
    // SAFETY: those of [`Vector`].
    unsafe {
        for at in 0..8 {
            state[at] = state[at].add(before[at]);
        }
    }
    state
}
