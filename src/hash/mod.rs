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
//! known). Medians of `cargo bench --bench kernels`, one core of an Intel Xeon (Sapphire Rapids class, KVM, 2.7 GHz, its other
//! thread busy), nanoseconds per share:
//!
//! | batch | naive `sha2` | `scalar` | `shani` | `shani-vl` | `avx2` | `avx512` | × naive |
//! |---|---|---|---|---|---|---|---|
//! | 1 | 2859 | 2630 | 2123 | 2115 | 2631 | 2116 | 1.35 |
//! | 2 | 2846 | 2620 | 1600 | 1500 | 2620 | 1502 | 1.90 |
//! | 4 | 2827 | 2616 | 1596 | 1495 | 2616 | 1496 | 1.89 |
//! | 8 | 2820 | 2612 | 1591 | 1468 | 1952 | 1096 | 2.57 |
//! | 16 | 2817 | 2608 | 1587 | 1464 | 1952 | **722** | 3.90 |
//! | header alone, 1 | 222 | 211 | 193 | 188 | 211 | 188 | 1.18 |
//! | header alone, 16 | 196 | 186 | 125 | 114 | 161 | **68** | 2.89 |
//!
//! What bounds it there: a single share is one chain of 44 × 32 `sha256rnds2` of 4 cycles, 2115 ns, which is what is measured. The
//! instruction's throughput is one in 3 cycles on that CPU (32 ns per compression, measured on known blocks), 1421 ns per share:
//! two streams saturate it. Sixteen lanes do not use that unit at all. AMD Zen 4 takes one per cycle, so that four streams win there.
//!
//! # Safety
//! The only module with `unsafe`: instructions that not every CPU has. A token (`Shani`, `ShaniVl`, `Avx512`, `Avx2`) is made by
//! feature detection alone, a `Pass` is made from a token, and everything above is safe code. Each pass is tested against plain `sha2`
//! before it is used (`select.rs`), and by the suite in `tests.rs`.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod kernel;
#[cfg(target_arch = "x86_64")]
mod lanes;
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
pub use scalar::{Midstate, double_sha256, header_hash, merkle_root};
pub use select::{KERNEL_VARIABLE, KernelError};

/// Bytes of a serialised block header.
pub const HEADER_LEN: usize = 80;
