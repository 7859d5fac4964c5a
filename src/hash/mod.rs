//! Double SHA-256 of headers, coinbases and merkle branches.
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
