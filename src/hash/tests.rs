//! The oracle suite: every kernel, and every pass of it alone, against plain `sha2`.
//!
//! A kernel that this CPU lacks is skipped in print. `HASHGATE_REQUIRE_KERNELS` turns skips into failures: `1` for every kernel, or the
//! names of those that must be there (`avx2,scalar`), which `.ci/run` takes from what the system says of the CPU.

use std::sync::LazyLock;

use proptest::{collection::vec, prelude::*};
use sha2::{Digest as _, Sha256};

use super::{
    Digest, HeaderInput, Kernel, MAX_EXTRANONCE, Plan, PlanParts, ShareInput,
    pass::Pass,
    select::{NAMES, passes},
};

/// A work, in the form that everyone can read.
#[derive(Debug, Clone)]
struct Work {
    prefix: Vec<u8>,
    extranonce_len: usize,
    suffix: Vec<u8>,
    branches: Vec<[u8; 32]>,
    prevhash: [u8; 32],
    nbits: u32,
}

impl Work {
    fn new(prefix: usize, extranonce_len: usize, suffix: usize, branches: usize) -> Self {
        Self {
            prefix: (0..prefix).map(byte_of).collect(),
            extranonce_len,
            suffix: (1000..1000 + suffix).map(byte_of).collect(),
            branches: (0..branches).map(|branch| std::array::from_fn(|at| byte_of(5000 + 32 * branch + at))).collect(),
            prevhash: std::array::from_fn(|at| byte_of(9000 + at)),
            nbits: 0x1d00_ffff,
        }
    }

    fn plan(&self) -> Plan {
        Plan::new(&PlanParts {
            prefix: &self.prefix,
            extranonce_len: self.extranonce_len,
            suffix: &self.suffix,
            branches: &self.branches,
            prevhash: &self.prevhash,
            nbits: self.nbits,
        })
    }

    /// Merkle root and block hash as the protocol defines them.
    fn oracle(&self, share: &ShareInput) -> ([u8; 32], [u8; 32]) {
        let double = |bytes: &[u8]| -> [u8; 32] { Sha256::digest(Sha256::digest(bytes)).into() };
        let coinbase = [&self.prefix, &share.extranonce[..self.extranonce_len], &self.suffix].concat();
        let root = self.branches.iter().fold(double(&coinbase), |node, branch| double(&[node, *branch].concat()));
        let HeaderInput { version, ntime, nonce } = share.header;
        let mut header = version.to_le_bytes().to_vec();
        header.extend(self.prevhash);
        header.extend(root);
        header.extend([ntime, self.nbits, nonce].map(u32::to_le_bytes).as_flattened());
        (root, double(&header))
    }
}

/// Shares that differ in every field.
fn shares(count: usize) -> Vec<ShareInput> {
    let share = |at: u32| ShareInput {
        extranonce: std::array::from_fn(|byte| byte_of(at as usize * MAX_EXTRANONCE + byte)),
        header: HeaderInput {
            version: 0x2000_0000 ^ at << 13,
            ntime: 1_700_000_000 + at,
            nonce: at.wrapping_mul(0x0123_4567),
        },
    };
    (1..=count as u32).map(share).collect()
}

/// Bytes that repeat nowhere near.
fn byte_of(at: usize) -> u8 {
    (at as u32).wrapping_mul(0x9e37_79b1).to_be_bytes()[0]
}

/// The kernels of this CPU. Prints, or fails for, those that it lacks.
static KERNELS: LazyLock<Vec<Kernel>> = LazyLock::new(|| {
    let required = std::env::var("HASHGATE_REQUIRE_KERNELS").unwrap_or_default();
    for name in required.split(',').filter(|name| !["", "1"].contains(name)) {
        assert!(NAMES.contains(&name), "HASHGATE_REQUIRE_KERNELS={required}: no kernel is called {name:?}");
    }
    let mut kernels = Vec::new();
    for name in NAMES {
        match Kernel::by_name(name) {
            Ok(kernel) => kernels.push(kernel),
            Err(error) => {
                assert!(!is_required(&required, name), "HASHGATE_REQUIRE_KERNELS={required}: {error}");
                println!("skipped: {error}");
            }
        }
    }
    kernels
});

fn is_required(required: &str, name: &str) -> bool {
    required == "1" || required.split(',').any(|one| one == name)
}

#[test]
fn a_kernel_is_required_by_name_or_with_all() {
    assert!(is_required("1", "avx2") && is_required("shani,avx2", "avx2") && is_required("avx2", "avx2"));
    assert!(!is_required("", "avx2") && !is_required("shani-vl,scalar", "shani"));
}

/// Every pass of this CPU once.
fn all_passes() -> Vec<Pass> {
    let mut all: Vec<Pass> = KERNELS.iter().filter_map(|kernel| passes(kernel.name())).flatten().collect();
    all.sort_by_key(|pass| pass.name);
    all.dedup_by_key(|pass| pass.name);
    all
}

fn check_pass(pass: &Pass, work: &Work, shares: &[ShareInput]) {
    let plan = work.plan();
    let extranonces: Vec<_> = shares.iter().map(|share| share.extranonce).collect();
    let inputs: Vec<_> = shares.iter().map(|share| share.header).collect();
    let mut roots = vec![Digest::default(); shares.len()];
    let mut hashes = roots.clone();
    (pass.merkle_roots)(&plan, &extranonces, &mut roots);
    (pass.headers)(&plan, &roots, &inputs, &mut hashes);
    for (at, share) in shares.iter().enumerate() {
        let got = (roots[at].to_bytes(), hashes[at].to_bytes());
        assert_eq!(got, work.oracle(share), "{}: share {at} of {} of {work:?}", pass.name, shares.len());
    }
}

#[test]
fn every_pass_hashes_every_width_like_sha2() {
    let work = Work::new(70, 8, 164, 12);
    for pass in all_passes() {
        for count in 0..=pass.width {
            check_pass(&pass, &work, &shares(count));
        }
    }
}

#[test]
fn every_pass_takes_an_extranonce_at_every_offset() {
    for pass in all_passes() {
        for prefix in 40..=132 {
            check_pass(&pass, &Work::new(prefix, MAX_EXTRANONCE - prefix % 5, 20, 1), &shares(2.min(pass.width)));
        }
        for len in 0..=MAX_EXTRANONCE {
            for prefix in [0, 1, 62, 63, 64, 65] {
                check_pass(&pass, &Work::new(prefix, len, 30, 0), &shares(1));
            }
        }
    }
}

#[test]
fn every_pass_takes_a_coinbase_of_any_length_and_any_branches() {
    for pass in all_passes() {
        for suffix in 0..=130 {
            check_pass(&pass, &Work::new(50, 8, suffix, 0), &shares(1));
        }
        check_pass(&pass, &Work::new(90, 8, 6500, 2), &shares(pass.width));
        for branches in 0..=24 {
            check_pass(&pass, &Work::new(50, 4, 80, branches), &shares(pass.width));
        }
    }
}

#[test]
fn every_kernel_hashes_a_batch_of_any_length() {
    let work = Work::new(70, 8, 164, 3);
    let plan = work.plan();
    for kernel in KERNELS.iter() {
        for count in 0..=40 {
            let shares = shares(count);
            let extranonces: Vec<_> = shares.iter().map(|share| share.extranonce).collect();
            let inputs: Vec<_> = shares.iter().map(|share| share.header).collect();
            let (mut whole, mut roots) = (vec![Digest::default(); count], vec![Digest::default(); count]);
            let mut parts = whole.clone();
            kernel.hash_shares(&plan, &shares, &mut whole);
            kernel.merkle_roots(&plan, &extranonces, &mut roots);
            kernel.headers(&plan, &roots, &inputs, &mut parts);
            assert_eq!(whole, parts, "{}: whole shares and header after root differ", kernel.name());
            for (at, share) in shares.iter().enumerate() {
                let got = (roots[at].to_bytes(), whole[at].to_bytes());
                assert_eq!(got, work.oracle(share), "{}: share {at} of {count}", kernel.name());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_share_of_any_work_hashes_like_sha2(
        prefix in vec(any::<u8>(), 0..200),
        extranonce_len in 0..=MAX_EXTRANONCE,
        suffix in vec(any::<u8>(), 0..300),
        branches in vec(any::<[u8; 32]>(), 0..=24),
        prevhash: [u8; 32],
        nbits: u32,
        shares in vec(any::<([u8; MAX_EXTRANONCE], u32, u32, u32)>(), 1..40),
    ) {
        let work = Work { prefix, extranonce_len, suffix, branches, prevhash, nbits };
        let plan = work.plan();
        let share = |(extranonce, version, ntime, nonce)| {
            ShareInput { extranonce, header: HeaderInput { version, ntime, nonce } }
        };
        let shares: Vec<_> = shares.into_iter().map(share).collect();
        let expected: Vec<_> = shares.iter().map(|share| work.oracle(share).1).collect();
        for kernel in KERNELS.iter() {
            let mut hashes = vec![Digest::default(); shares.len()];
            kernel.hash_shares(&plan, &shares, &mut hashes);
            let hashes: Vec<_> = hashes.iter().map(|hash| hash.to_bytes()).collect();
            prop_assert_eq!(&hashes, &expected, "{}", kernel.name());
        }
    }
}
