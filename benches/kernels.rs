//! What a share check costs in each kernel, against plain `sha2`.
//!
//! `cargo bench --bench kernels` prints nanoseconds per share for batches of 1 to 16 (a 250-byte coinbase, 12 branches), and for
//! headers alone. All kernels take turns within one run and medians are compared, since machines are noisy: the ratios are
//! what to trust. Pin it to one core (`taskset -c 1`).

use std::{hint::black_box, time::Instant};

use hashgate::hash::{Digest, HeaderInput, Kernel, MAX_EXTRANONCE, Plan, PlanParts, ShareInput};
use sha2::{Digest as _, Sha256};

const BATCHES: [usize; 11] = [1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 64];
/// Turns that each kernel has with each batch.
const TURNS: usize = 100;

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

/// Prints nanoseconds per share of `run(kernel, batch)`, where kernel 0 is the naive way.
fn compare(title: &str, names: &[&str], mut run: impl FnMut(usize, usize)) {
    println!("\n{title}: ns/share (× naive)");
    print!("{:>6}", "batch");
    names.iter().for_each(|name| print!("{name:>16}"));
    println!("{:>16}", "best, per s");
    for batch in BATCHES {
        let mut times = vec![Vec::with_capacity(TURNS); names.len()];
        for _ in 0..TURNS {
            for (kernel, times) in times.iter_mut().enumerate() {
                let batches = TIMED.div_ceil(batch);
                let start = Instant::now();
                (0..batches).for_each(|_| run(kernel, batch));
                times.push(start.elapsed().as_nanos() as f64 / (batches * batch) as f64);
            }
        }
        let medians: Vec<f64> = times.iter_mut().map(|times| median(times)).collect();
        print!("{batch:>6}");
        medians.iter().for_each(|ns| print!("{:>16}", format!("{ns:.0} ({:.2})", medians[0] / ns)));
        println!("{:>16.0}", 1e9 / medians.iter().copied().fold(f64::MAX, f64::min));
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

    let mut out = [Digest::default(); 64];
    compare("whole share", &names, |kernel, batch| match kernel {
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
    compare("header after a known merkle root", &names, |kernel, batch| match kernel {
        0 => inputs[..batch].iter().for_each(|input| {
            black_box(naive_header(&work, black_box(&[0; 32]), black_box(input)));
        }),
        _ => {
            kernels[kernel - 1].headers(&plan, &roots[..batch], black_box(&inputs[..batch]), &mut out[..batch]);
            black_box(&out);
        }
    });
}
