//! Double SHA-256 of headers, coinbases and merkle branches.
//!
//! Knows bytes only; knows nothing of jobs, targets or miners. The kernels live beside this file, one each; this file is the
//! API over them.
//!
//! | kernel | file | runs on |
//! |---|---|---|
//! | scalar, over the `sha2` crate (which itself uses SHA-NI or ARMv8 instructions) | `scalar.rs` | every CPU |

mod scalar;

pub use scalar::{Midstate, double_sha256, header_hash, merkle_root};

/// Bytes of a serialised block header.
pub const HEADER_LEN: usize = 80;
