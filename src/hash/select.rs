//! Chooses the kernel, once per process: what the CPU has, what was asked for, what measures best, and only if it hashes right.
//!
//! | kernel | passes | where |
//! |---|---|---|
//! | `avx512` | 16 and 8 lanes of AVX-512, and `shani-vl` or `scalar` for the rest | Intel since Skylake-X, AMD since Zen 4 |
//! | `shani-vl` | 1 to 4 streams, AVX-512VL builds, plain and mixed | as above, with SHA-NI |
//! | `shani` | 1 to 4 streams, AVX build | AMD since Zen, Intel since Ice Lake and Alder Lake |
//! | `avx2` | 8 lanes of AVX2, and `scalar` for the rest | Intel since Haswell |
//! | `scalar` | one at a time, over the `sha2` crate | everywhere, with ARMv8's instructions where they are |
//!
//! The first of the table that the CPU has is taken: a kernel has the passes of those below it that could be of use, and **a
//! measurement decides between passes** ([`MEASURED_RUNS`] runs of each, 1 to 3 ms, once). No rule by CPU model would do: on Zen 4
//! the SHA unit takes an instruction per cycle and beats sixteen lanes, on Sapphire Rapids one in three, and sixteen lanes are
//! twice as fast. The least time of many runs is robust against a busy machine, and a wrong guess costs speed only.
//!
//! `HASHGATE_KERNEL` forces one by name. A kernel that fails its self-test is never used.

use std::{
    hint::black_box,
    sync::OnceLock,
    time::{Duration, Instant},
};

use super::{
    Kernel,
    kernel::MAX_WIDTH,
    pass::Pass,
    plan::{Digest, HeaderInput, MAX_EXTRANONCE, Plan, PlanParts},
    scalar::{Scalar, double_sha256, merkle_root},
};

/// The environment variable that forces a kernel.
pub const KERNEL_VARIABLE: &str = "HASHGATE_KERNEL";

/// Runs of each pass from which its cost is taken: the least of them. All passes together then take 1 to 3 ms.
const MEASURED_RUNS: usize = 24;

/// Every kernel by name, best first.
pub(super) const NAMES: [&str; 5] = ["avx512", "shani-vl", "shani", "avx2", "scalar"];

/// Why the kernel asked for can't be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// No kernel has this name.
    #[error("no kernel is called {0:?}; there are {names}", names = NAMES.join(", "))]
    Unknown(String),
    /// This CPU lacks its instructions.
    #[error("this CPU can't run kernel {0:?}")]
    Unavailable(&'static str),
    /// It gave a wrong hash.
    #[error("kernel {name:?} failed its self-test in pass {pass:?}")]
    SelfTest {
        /// The kernel.
        name: &'static str,
        /// The pass of it that was wrong.
        pass: &'static str,
    },
}

/// The process's choice, and what was wrong with the wish if it is not the one wished for.
static CHOSEN: OnceLock<(Kernel, Option<KernelError>)> = OnceLock::new();

impl Kernel {
    /// The process's kernel: the one that [`KERNEL_VARIABLE`] names, else the best. Chosen at the first call, which takes some
    /// milliseconds: make it at start.
    ///
    /// # Errors
    /// If the variable names one that can't be had. A proxy should not start then, rather than use another.
    pub fn chosen() -> Result<&'static Self, &'static KernelError> {
        let (kernel, error) = CHOSEN.get_or_init(choose);
        error.as_ref().map_or(Ok(kernel), Err)
    }

    /// The process's kernel, whatever [`chosen`](Self::chosen) had to say about it.
    #[inline]
    pub fn get() -> &'static Self {
        &CHOSEN.get_or_init(choose).0
    }

    /// The kernel of this name, if this CPU runs it and it hashes right.
    ///
    /// # Errors
    /// If not.
    pub fn by_name(name: &str) -> Result<Self, KernelError> {
        let Some(&name) = NAMES.iter().find(|&&known| known == name) else {
            return Err(KernelError::Unknown(name.to_owned()));
        };
        tested(name, "asked for by name", passes(name).ok_or(KernelError::Unavailable(name))?)
    }

    /// Names of the kernels that this CPU runs, best first.
    pub fn available() -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().filter(|name| passes(name).is_some())
    }
}

fn choose() -> (Kernel, Option<KernelError>) {
    match std::env::var_os(KERNEL_VARIABLE) {
        Some(name) if !name.is_empty() => match Kernel::by_name(&name.to_string_lossy()) {
            Ok(kernel) => (kernel, None),
            Err(error) => (best(), Some(error)),
        },
        _ => (best(), None),
    }
}

fn best() -> Kernel {
    if cfg!(debug_assertions) {
        return scalar("an unoptimised build, where only the sha2 crate is optimised");
    }
    first_that_works(NAMES.into_iter().filter_map(|name| Some((name, passes(name)?))))
}

/// The first of some kernels, all of which this CPU runs, that passes its self-test.
fn first_that_works(candidates: impl Iterator<Item = (&'static str, Vec<Pass>)>) -> Kernel {
    let mut failure = None;
    let mut works = None;
    for (name, passes) in candidates {
        match tested(name, "the best that this CPU has", passes) {
            Ok(kernel) => {
                works = Some(kernel);
                break;
            }
            // The first is the one to know about.
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    let mut kernel = works.unwrap_or_else(|| scalar("no kernel passes its self-test"));
    kernel.failure = failure;
    kernel
}

fn scalar(reason: &'static str) -> Kernel {
    Kernel::new("scalar", reason, vec![Scalar.pass()], &[1])
}

/// The passes of a kernel. `None` if this CPU lacks what it is named after.
#[cfg(target_arch = "x86_64")]
pub(super) fn passes(name: &str) -> Option<Vec<Pass>> {
    use super::{
        avx2::Avx2,
        avx512::Avx512,
        shani::{Shani, ShaniVl},
    };
    let scalar = || vec![Scalar.pass()];
    match name {
        "avx512" => {
            let wide = Avx512::new()?.passes();
            let mut passes = ShaniVl::new().map_or_else(scalar, |token| token.passes().into());
            passes.extend(wide);
            Some(passes)
        }
        "shani-vl" => Some(ShaniVl::new()?.passes().into()),
        "shani" => Some(Shani::new()?.passes().into()),
        "avx2" => Some(vec![Scalar.pass(), Avx2::new()?.pass()]),
        "scalar" => Some(scalar()),
        _ => None,
    }
}

/// The passes of a kernel. `None` if this CPU lacks what it is named after.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn passes(name: &str) -> Option<Vec<Pass>> {
    (name == "scalar").then(|| vec![Scalar.pass()])
}

/// Tests passes, measures them, and makes them a kernel.
fn tested(name: &'static str, reason: &'static str, passes: Vec<Pass>) -> Result<Kernel, KernelError> {
    let sample = Sample::new();
    if let Some(wrong) = passes.iter().find(|pass| !sample.is_right(pass)) {
        return Err(KernelError::SelfTest { name, pass: wrong.name });
    }
    // One pass needs no comparison.
    let costs = if passes.len() == 1 { vec![1] } else { sample.measure(&passes) };
    Ok(Kernel::new(name, reason, passes, &costs))
}

/// Shares of a made-up work of usual shape, and what their hashes are without any kernel.
struct Sample {
    plan: Plan,
    extranonces: [[u8; MAX_EXTRANONCE]; MAX_WIDTH],
    inputs: [HeaderInput; MAX_WIDTH],
    expected: [[u8; 32]; MAX_WIDTH],
}

impl Sample {
    fn new() -> Self {
        let bytes: [u8; 164] = std::array::from_fn(|at| (at * 37 + 11) as u8);
        let branches: [[u8; 32]; 12] = std::array::from_fn(|at| std::array::from_fn(|byte| (byte * 29 + at * 7) as u8));
        // An extranonce across the edge of two blocks, so that everything a pass consists of is run.
        let (prefix, suffix, prevhash, nbits) = (&bytes[..60], &bytes, [0x5a; 32], 0x1702_1a4b_u32);
        let parts = PlanParts { prefix, extranonce_len: 8, suffix, branches: &branches, prevhash: &prevhash, nbits };
        let extranonces = std::array::from_fn(|at| [at as u8; MAX_EXTRANONCE]);
        let inputs = std::array::from_fn(|at| {
            let at = at as u32;
            HeaderInput { version: 0x2000_0000 | at << 13, ntime: 1_700_000_000 + at, nonce: at * 0x0101_0101 }
        });
        let expected = std::array::from_fn(|at| {
            let HeaderInput { version, ntime, nonce } = inputs[at];
            let coinbase = [prefix, &extranonces[at][..8], suffix].concat();
            let root = merkle_root(double_sha256(&coinbase), &branches);
            let tail = [ntime.to_le_bytes(), nbits.to_le_bytes(), nonce.to_le_bytes()];
            double_sha256(&[&version.to_le_bytes(), &prevhash[..], &root, tail.as_flattened()].concat())
        });
        Self { plan: Plan::new(&parts), extranonces, inputs, expected }
    }

    fn run(&self, pass: &Pass, shares: usize, out: &mut [Digest; MAX_WIDTH]) {
        let mut roots = [Digest::default(); MAX_WIDTH];
        (pass.merkle_roots)(&self.plan, &self.extranonces[..shares], &mut roots[..shares]);
        (pass.headers)(&self.plan, &roots[..shares], &self.inputs[..shares], &mut out[..shares]);
    }

    /// Whether a pass hashes right, full and short of one share.
    fn is_right(&self, pass: &Pass) -> bool {
        [pass.width, pass.width - 1].into_iter().all(|shares| {
            let mut got = [Digest::default(); MAX_WIDTH];
            self.run(pass, shares, &mut got);
            got[..shares].iter().zip(&self.expected).all(|(got, expected)| got.to_bytes() == *expected)
        })
    }

    /// What each pass costs, in nanoseconds.
    fn measure(&self, passes: &[Pass]) -> Vec<u64> {
        let mut least = vec![Duration::MAX; passes.len()];
        let mut out = [Digest::default(); MAX_WIDTH];
        // Interleaved, so that a slow moment of the machine hits all.
        for _ in 0..MEASURED_RUNS {
            for (pass, least) in passes.iter().zip(&mut least) {
                let start = Instant::now();
                self.run(black_box(pass), pass.width, &mut out);
                black_box(&out);
                *least = start.elapsed().min(*least);
            }
        }
        least.iter().map(|time| time.as_nanos() as u64).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_can_not_be_had_says_why() {
        let error = Kernel::by_name("gpu").unwrap_err();
        assert_eq!(error.to_string(), "no kernel is called \"gpu\"; there are avx512, shani-vl, shani, avx2, scalar");
        for name in NAMES {
            match Kernel::by_name(name) {
                Ok(kernel) => assert_eq!(kernel.name(), name),
                Err(error) => assert_eq!(error, KernelError::Unavailable(name)),
            }
        }
    }

    #[test]
    fn a_pass_that_hashes_wrong_makes_no_kernel() {
        let mut wrong = Scalar.pass();
        wrong.name = "wrong";
        wrong.headers = |_, roots, _, out| out.copy_from_slice(roots);
        let error = tested("avx512", "", vec![Scalar.pass(), wrong]).unwrap_err();
        assert_eq!(error, KernelError::SelfTest { name: "avx512", pass: "wrong" });

        let candidates = [("avx512", vec![Scalar.pass(), wrong]), ("scalar", vec![Scalar.pass()])];
        let kernel = first_that_works(candidates.into_iter());
        assert_eq!((kernel.name(), kernel.failure()), ("scalar", Some(&error)));
    }
}
