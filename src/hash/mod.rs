//! Double SHA-256 of coinbases, merkle branches and headers: the share check's work, for many shares of one work at once.
//!
//! Knows bytes only; knows nothing of jobs, targets or miners. A caller makes a [`Plan`] per work, fills [`ShareInput`]s, and gives
//! both to the process's [`Kernel`]. Who hashes several headers over one coinbase keeps its merkle root ([`Kernel::merkle_roots`],
//! [`Kernel::headers`]).
//!
//! ```text
//! Plan (once per work) ─┐                     ┌ shani.rs   1 to 4 streams ─┐
//! ShareInput, … ────────┴─ Kernel ── Pass ────┼ avx512.rs  8 or 16 lanes   ├─ share.rs: one walk for all
//!   kernel.rs: which pass for how many shares └ avx2.rs, scalar.rs ────────┘
//! ```
//!
//! # What it costs
//! A share of a 250-byte coinbase and 12 branches is 45 compressions: one is in the plan, 29 schedule a message, 15 do not (W+K is
//! known). Medians of `cargo bench --bench kernels`, one core of an Intel Xeon of the Sapphire Rapids class under KVM, all kernels
//! interleaved, nanoseconds per share; what is chosen there is `avx512`:
//!
//! | batch | naive `sha2` | `scalar` | `shani` | `shani-vl` | `avx2` | `avx512` | × naive |
//! |---|---|---|---|---|---|---|---|
//! | 1 | 2809 | 2585 | 2085 | 2079 | 2586 | **2079** | 1.35 |
//! | 2 | 2821 | 2584 | 1572 | 1473 | 2584 | **1473** | 1.92 |
//! | 3 | 2814 | 2584 | 1581 | 1449 | 2585 | **1450** | 1.94 |
//! | 4 | 2812 | 2583 | 1572 | 1473 | 2583 | **1473** | 1.91 |
//! | 8 | 2810 | 2584 | 1572 | 1456 | 1954 | **1022** | 2.75 |
//! | 16 | 2809 | 2585 | 1572 | 1455 | 1954 | **679** | 4.14 |
//! | header alone, 1 | 202 | 177 | 161 | 161 | 178 | **161** | 1.25 |
//! | header alone, 16 | 196 | 175 | 116 | 106 | 153 | **60** | 3.29 |
//!
//! What bounds it, at 2.99 GHz. **One share** is a chain of 44 × 32 `sha256rnds2` of 4 cycles: 5632 cycles, 1881 ns, which no kernel
//! can shorten, and which is 1.49 × naive: no single share can be faster than that. Leaving the SHA unit for a sum costs two more
//! cycles, so that a known block takes 131 cycles of 128; a whole one takes 142. **A few shares** are bound by the unit's
//! throughput, one `sha256rnds2` in 3 cycles here: 1411 ns, of which three streams reach 97 %. Zen 4 takes one per cycle, so that four
//! streams are near sixteen lanes there. **Sixteen lanes** do not use that unit; they are some 61 100 instructions for two vector
//! ports, 636 ns, of which 94 % are reached. Without SHA-NI (the `sha2` crate's portable code, same machine) `avx2` is 5.0 × naive.
//!
//! What lost on that machine. Counted, not built, from the measured rates of single instructions:
//! * SHA streams beside sixteen lanes in one loop: both fit (10 vector sums and 2 `sha256rnds2` in 6 cycles, in registers above 15,
//!   which need no `vzeroupper`), but a share in a stream takes some 4500 slots of the two ports and one in a lane 3820.
//! * Schedules in lanes and rounds on the SHA unit: bound by that unit, 1411 ns.
//!
//! Built and measured:
//! * One stream without `sha256msg1`: 142.8 cycles per block instead of 142.0.
//! * Eight lanes with a chain of three instead of four instructions per round: one sum more, 2 % slower.
//! * A barrier against reordered sums in AVX2, where 16 registers are too few: no difference.
//!
//! # Safety
//! The only module with `unsafe`: instructions that not every CPU has. A token (`Shani`, `ShaniVl`, `Avx512`, `Avx2`) is made by
//! feature detection alone, a `Pass` is made from a token, and everything above is safe code. Each pass is tested against plain `sha2`
//! before it is used (`select.rs`), and by the suite in `tests.rs`, of which `.ci/run` requires every kernel whose flags the CPU shows.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod kernel;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod layout;
mod pass;
mod plan;
mod scalar;
mod select;
#[cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "the scalar kernel makes no use of what is known of a block")
)]
mod sha256;
#[cfg(target_arch = "x86_64")]
mod shani;
mod share;
#[cfg(test)]
mod tests;

pub use kernel::Kernel;
pub use plan::{Digest, HeaderInput, MAX_EXTRANONCE, Plan, PlanParts, ShareInput};
pub use scalar::header_hash;
pub use select::{KERNEL_VARIABLE, KernelError};

/// Bytes of a serialised block header.
pub const HEADER_LEN: usize = 80;
