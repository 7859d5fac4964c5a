//! What a share check costs in each kernel, against plain `sha2`.
//!
//! `cargo bench --bench kernels` prints nanoseconds per share for batches of 1 to 64 (a 250-byte coinbase, 12 branches), for
//! headers alone, and for the double hash of 64 bytes against Bitcoin Core's, as `bitcoin_hashes` ports it. All kernels take turns within one run and medians are compared, since machines are noisy: the ratios are
//! what to trust. Pin it to one core (`taskset -c 1`).
//!
//! The limit is what the CPU's SHA unit allows, measured in the same run: the least time between two `sha256rnds2`. A kernel of
//! plain vector instructions may be beyond it, since it uses other units.
//!
//! The double hash is not quite the same job for both: `bitcoin_hashes` is given 64 bytes and yields 32; a kernel here is timed on
//! merkle branches, one upon the other, whose right half it knew in advance and whose left half is in its registers. That is what a
//! proxy needs it for, and there is no other way to it from outside.

use std::{hint::black_box, time::Instant};

use bitcoin_hashes::sha256d;
use hashgate::hash::{Digest, HeaderInput, Kernel, MAX_EXTRANONCE, Plan, PlanParts, ShareInput};
use sha2::{Digest as _, Sha256};

const BATCHES: [usize; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 64];
/// Turns that each kernel has with each batch.
const TURNS: usize = 100;
/// Double hashes, one upon the other, over which those are timed: the coinbase below them adds one part in a hundred to the kernels'.
const STEPS: usize = 64;

struct Work {
    prefix: [u8; 70],
    suffix: [u8; 172],
    branches: [[u8; 32]; 12],
    prevhash: [u8; 32],
}

/// What a proxy that does not care does: the coinbase put together on the heap, digests of digests.
fn naive(work: &Work, share: &ShareInput) -> [u8; 32] {
    let double = |bytes: &[u8]| -> [u8; 32] { Sha256::digest(Sha256::digest(bytes)).into() };
    let coinbase = [&work.prefix[..], &share.extranonce[..8], &work.suffix].concat();
    let root = work.branches.iter().fold(double(&coinbase), |node, branch| double(&[node, *branch].concat()));
    naive_header(work, &root, &share.header)
}

fn naive_header(work: &Work, root: &[u8; 32], header: &HeaderInput) -> [u8; 32] {
    let mut bytes = Vec::with_capacity(80);
    bytes.extend(header.version.to_le_bytes());
    bytes.extend(work.prevhash);
    bytes.extend(root);
    bytes.extend([header.ntime, 0x1702_1a4b, header.nonce].map(u32::to_le_bytes).as_flattened());
    Sha256::digest(Sha256::digest(&bytes)).into()
}

/// Shares timed in one go, so that reading the clock does not show.
const TIMED: usize = 64;

/// Prints nanoseconds of `run(kernel, batch)` for each of its shares, and how much of the limit the best kernel reaches. Kernel 0 is
/// what the others are compared with.
fn compare(title: &str, names: &[&str], limit: Option<f64>, run: impl FnMut(usize, usize)) {
    compare_steps(title, names, 1, limit, run);
}

/// As [`compare`], where `run` does that many steps for each share.
fn compare_steps(title: &str, names: &[&str], steps: usize, limit: Option<f64>, mut run: impl FnMut(usize, usize)) {
    println!("\n{title} (× {})", names[0]);
    print!("{:>6}", "batch");
    names.iter().for_each(|name| print!("{name:>16}"));
    println!("{:>16}{:>16}", "best, per s", "of the limit");
    for batch in BATCHES {
        let mut times = vec![Vec::with_capacity(TURNS); names.len()];
        for _ in 0..TURNS {
            for (kernel, times) in times.iter_mut().enumerate() {
                let batches = TIMED.div_ceil(batch);
                let start = Instant::now();
                (0..batches).for_each(|_| run(kernel, batch));
                times.push(start.elapsed().as_nanos() as f64 / (batches * batch * steps) as f64);
            }
        }
        let medians: Vec<f64> = times.iter_mut().map(|times| median(times)).collect();
        print!("{batch:>6}");
        medians.iter().for_each(|ns| print!("{:>16}", format!("{ns:.0} ({:.2})", medians[0] / ns)));
        let best = medians.iter().copied().fold(f64::MAX, f64::min);
        let of_limit = limit.map_or_else(|| "-".to_owned(), |limit| format!("{:.2}", limit / best));
        println!("{:>16.0}{of_limit:>16}", 1e9 / best);
    }
}

/// Double hashes of 64 bytes: [`STEPS`] merkle branches, against as many calls of `bitcoin_hashes`.
fn compare_double_hashes(kernels: &[Kernel], limit: Option<f64>) {
    const CORE: &str = "hash_64_many";
    let branches: [[u8; 32]; STEPS] = std::array::from_fn(|at| [at as u8; 32]);
    let (extranonces, mut roots) = ([[0x33; MAX_EXTRANONCE]; 64], [Digest::default(); 64]);
    let prevhash = &[0; 32];
    let parts = PlanParts { prefix: &[], extranonce_len: 8, suffix: &[], branches: &branches, prevhash, nbits: 0 };
    let plan = Plan::new(&parts);

    // What both are asked for is the same: branch upon branch, they come to the same root.
    let mut node = <[u8; 32]>::from(Sha256::digest(Sha256::digest(&extranonces[0][..8])));
    for branch in &branches {
        let mut pair = [[0; 64]];
        pair[0].as_chunks_mut::<32>().0.copy_from_slice(&[node, *branch]);
        sha256d::Hash::hash_64_many(std::array::from_mut(&mut node), &pair);
    }
    for kernel in kernels {
        kernel.merkle_roots(&plan, &extranonces, &mut roots);
        assert!(roots.iter().all(|root| root.to_bytes() == node), "{} differs from {CORE}", kernel.name());
    }

    let names: Vec<&str> = std::iter::once(CORE).chain(kernels.iter().map(Kernel::name)).collect();
    let (inputs, mut outputs) = ([[0x33; 64]; 64], [[0; 32]; 64]);
    let title = "double hash of 64 bytes, in a kernel a merkle branch: ns/hash";
    compare_steps(title, &names, STEPS, limit, |kernel, batch| match kernel {
        0 => (0..STEPS).for_each(|_| {
            sha256d::Hash::hash_64_many(&mut outputs[..batch], black_box(&inputs[..batch]));
            black_box(&outputs);
        }),
        _ => {
            kernels[kernel - 1].merkle_roots(&plan, black_box(&extranonces[..batch]), &mut roots[..batch]);
            black_box(&roots);
        }
    });
}

/// What the SHA instructions of this CPU allow: see [`ShaUnit::measure`].
struct ShaUnit {
    /// Nanoseconds from one `sha256rnds2` to the one that needs it.
    latency: f64,
    /// Nanoseconds between two that do not need each other.
    interval: f64,
}

/// Compressions of a share of the work below, the cached one not counted: 3 whole ones, 15 known blocks, 26 known right halves.
const COMPRESSIONS: f64 = 44.0;

/// `sha256rnds2` of a compression.
const ROUND_PAIRS: f64 = 32.0;

impl ShaUnit {
    /// Measured on known blocks, which are that instruction and little else: as many more of them as the coinbase grows by. One
    /// share is a chain; three are enough to never wait for one.
    fn measure(kernel: &Kernel) -> Self {
        const BLOCKS: usize = 512;
        let plan = |blocks: usize| {
            let suffix = vec![0x55; 20 + 64 * blocks];
            let (branches, prevhash) = (&[][..], &[0; 32]);
            Plan::new(&PlanParts { prefix: &[], extranonce_len: 8, suffix: &suffix, branches, prevhash, nbits: 0 })
        };
        let plans = [plan(0), plan(BLOCKS)];
        let [latency, interval] = [1, 3].map(|shares| {
            let extranonces = [[0; MAX_EXTRANONCE]; 3];
            let mut roots = [Digest::default(); 3];
            let mut times = [const { Vec::new() }; 2];
            for _ in 0..TURNS {
                for (plan, times) in plans.iter().zip(&mut times) {
                    let start = Instant::now();
                    kernel.merkle_roots(plan, black_box(&extranonces[..shares]), &mut roots[..shares]);
                    black_box(&roots);
                    times.push(start.elapsed().as_nanos() as f64);
                }
            }
            let [without, with] = times.map(|mut times| median(&mut times));
            (with - without) / (BLOCKS * shares) as f64 / ROUND_PAIRS
        });
        Self { latency, interval }
    }

    /// The least that a share costs on this unit, in nanoseconds: alone, and among others.
    fn share(&self) -> (f64, f64) {
        (COMPRESSIONS * ROUND_PAIRS * self.latency, COMPRESSIONS * ROUND_PAIRS * self.interval)
    }
}

fn median(times: &mut [f64]) -> f64 {
    let middle = times.len() / 2;
    *times.select_nth_unstable_by(middle, f64::total_cmp).1
}

fn main() {
    let work = Work {
        prefix: std::array::from_fn(|at| at as u8),
        suffix: std::array::from_fn(|at| at as u8 ^ 0x55),
        branches: std::array::from_fn(|at| [at as u8; 32]),
        prevhash: [0x5a; 32],
    };
    let plan = Plan::new(&PlanParts {
        prefix: &work.prefix,
        extranonce_len: 8,
        suffix: &work.suffix,
        branches: &work.branches,
        prevhash: &work.prevhash,
        nbits: 0x1702_1a4b,
    });
    let shares: [ShareInput; 64] = std::array::from_fn(|at| ShareInput {
        extranonce: [at as u8; MAX_EXTRANONCE],
        header: HeaderInput { version: 0x2000_0000, ntime: 1_700_000_000, nonce: at as u32 },
    });

    let kernels: Vec<Kernel> =
        Kernel::available().map(|name| Kernel::by_name(name).expect("an available kernel passes its test")).collect();
    kernels.iter().for_each(|kernel| println!("{:<10} {}", kernel.name(), kernel.table()));
    match Kernel::chosen() {
        Ok(chosen) => println!("chosen: {}, {}", chosen.name(), chosen.reason()),
        Err(error) => println!("chosen: none, {error}"),
    }
    let names: Vec<&str> = std::iter::once("naive").chain(kernels.iter().map(Kernel::name)).collect();

    let limit = Kernel::by_name("shani-vl").or_else(|_| Kernel::by_name("shani")).ok().map(|kernel| {
        let unit = ShaUnit::measure(&kernel);
        let (alone, among_others) = unit.share();
        println!(
            "sha256rnds2: {:.2} ns until the next that needs it, {:.2} ns until any other",
            unit.latency, unit.interval
        );
        println!("limit of that unit: {alone:.0} ns for a share alone, {among_others:.0} ns/share for several");
        among_others
    });

    let mut out = [Digest::default(); 64];
    compare("whole share: ns/share", &names, limit, |kernel, batch| match kernel {
        0 => shares[..batch].iter().for_each(|share| {
            black_box(naive(&work, black_box(share)));
        }),
        _ => {
            kernels[kernel - 1].hash_shares(&plan, black_box(&shares[..batch]), &mut out[..batch]);
            black_box(&out);
        }
    });

    let roots = [Digest::default(); 64];
    let inputs = shares.map(|share| share.header);
    compare(
        "header after a known merkle root: ns/share",
        &names,
        limit.map(|ns| ns * 3.0 / COMPRESSIONS),
        |kernel, batch| match kernel {
            0 => inputs[..batch].iter().for_each(|input| {
                black_box(naive_header(&work, black_box(&[0; 32]), black_box(input)));
            }),
            _ => {
                kernels[kernel - 1].headers(&plan, &roots[..batch], black_box(&inputs[..batch]), &mut out[..batch]);
                black_box(&out);
            }
        },
    );

    compare_double_hashes(&kernels, limit.map(|ns| ns * 3.0 / COMPRESSIONS));
}
