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
//! | 1 | 2820 | 2613 | 2103 | 2096 | 2613 | **2096** | 1.35 |
//! | 2 | 2832 | 2641 | 1612 | 1508 | 2642 | **1508** | 1.88 |
//! | 3 | 2820 | 2645 | 1601 | 1471 | 2645 | **1471** | 1.92 |
//! | 4 | 2819 | 2645 | 1611 | 1508 | 2646 | **1508** | 1.87 |
//! | 8 | 2818 | 2647 | 1611 | 1479 | 1963 | **1104** | 2.55 |
//! | 16 | 2817 | 2646 | 1612 | 1479 | 1960 | **724** | 3.89 |
//! | header alone, 1 | 196 | 185 | 169 | 164 | 185 | **164** | 1.19 |
//! | header alone, 16 | 196 | 184 | 127 | 112 | 159 | **65** | 2.99 |
//!
//! What bounds it: a single share is one chain of 44 × 32 `sha256rnds2` of 4 cycles, 5632 cycles, which no kernel can shorten. The
//! throughput of that instruction is one in 3 cycles on this CPU (32.1 ns per compression, measured on known blocks), 1412 ns per
//! share: two streams reach 94 % of it, and more streams or vector schedules have nothing left to gain. Sixteen lanes do not use
//! that unit at all; they are bound by two vector ports. AMD Zen 4 takes one `sha256rnds2` per cycle, so that four streams are
//! near sixteen lanes there. Without SHA-NI (the `sha2` crate's portable code, same machine) `avx2` is 5.0 × naive for 8 shares.
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
