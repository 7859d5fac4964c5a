//! The share's way through the proxy, without sockets: the check alone, its hashes, and a whole line in and out.
//!
//! Each round takes [`BATCH`] shares of one job that were found before, so that the window's memory of seen shares grows as it
//! does in the field; `elem/s` are shares.

mod rig;

use std::{hint::black_box, time::Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hashgate::{
    downstream::Io,
    hash,
    work::{Extranonce, HashBatch, JobWindow, Judge, LiveJob, Submission, Terms, WorkSeries},
};

/// Shares of one round: what a miner of 18 a minute finds in half an hour.
const BATCH: usize = 512;

/// No share goes to the pool.
const POOL_NEVER: f64 = 1e6;

/// Every share goes to the pool.
const POOL_ALWAYS: f64 = 1e-10;

fn window(series: &WorkSeries) -> JobWindow {
    let mut window = JobWindow::default();
    window.push(LiveJob::new(series.first().clone(), Terms::of(rig::difficulty())));
    window
}

fn hashes(c: &mut Criterion) {
    let mut group = c.benchmark_group("hash");
    group.throughput(Throughput::Elements(1));
    let mut header = [7_u8; hash::HEADER_LEN];
    group.bench_function("header only", |b| {
        b.iter(|| {
            header[76] = header[76].wrapping_add(1);
            hash::header_hash(black_box(&header))
        });
    });
    let series = rig::Works::new().series(&rig::job(POOL_NEVER));
    let share = rig::shares(&series, 1, 1)[0];
    let lease = rig::lease_id(1);
    group.bench_function("coinbase of 250 bytes, 12 branches, header", |b| {
        b.iter(|| {
            series.first().hash(black_box(&lease), &share.extranonce2, share.ntime, share.nonce, series.first().version)
        });
    });
    group.finish();
}

fn judge(c: &mut Criterion) {
    let mut group = c.benchmark_group("judge");
    group.throughput(Throughput::Elements(BATCH as u64));
    for (name, pool_difficulty) in [("a share for us", POOL_NEVER), ("a share for us and the pool", POOL_ALWAYS)] {
        let series = rig::Works::new().series(&rig::job(pool_difficulty));
        let shares = rig::shares(&series, 1, BATCH);
        let judge = rig::judge(1);
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || window(&series),
                |window| {
                    for share in &shares {
                        let judged = judge.judge(window, black_box(share));
                        assert!(judged.verdict.is_ok());
                        black_box(judged);
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// Shares of different miners for one work, each miner with a window of its own: one by one, and hashed together. Each round is a
/// share of every miner, found with another extranonce2 than the one before.
fn across_miners(c: &mut Criterion) {
    let series = rig::Works::new().series(&rig::job(POOL_NEVER));
    for count in [1, 2, 4, 8, 16] {
        let mut group = c.benchmark_group(format!("{count} miners"));
        group.throughput(Throughput::Elements(count as u64));
        let judges: Vec<Judge> = (0..count).map(|miner| rig::judge(miner as u64)).collect();
        let mut windows: Vec<JobWindow> = (0..count).map(|_| window(&series)).collect();
        let mut round = 0;
        let mut submissions = || -> Vec<Submission> {
            round += 1;
            let extranonce2 = Extranonce::from_number(round, rig::LAYOUT.extranonce2_size.into());
            (0..count).map(|_| Submission { extranonce2, ..rig::shares(&series, 1, 1)[0] }).collect()
        };
        group.bench_function("one by one", |b| {
            b.iter_batched_ref(
                &mut submissions,
                |submissions| {
                    for ((judge, window), submission) in judges.iter().zip(&mut windows).zip(submissions) {
                        black_box(judge.judge(window, submission));
                    }
                },
                BatchSize::SmallInput,
            );
        });
        let mut batch = HashBatch::default();
        group.bench_function("together", |b| {
            b.iter_batched_ref(
                &mut submissions,
                |submissions| {
                    for ((judge, window), submission) in judges.iter().zip(&windows).zip(submissions.iter()) {
                        let place = batch.add(judge, window, submission).expect("room for sixteen");
                        assert!(place.is_some());
                    }
                    batch.hash(&windows[0]);
                    for (place, submission) in submissions.iter().enumerate() {
                        let hash = batch.take(place, &mut windows[place]);
                        black_box(judges[place].judge_hashed(&mut windows[place], submission, Some(hash)));
                    }
                    batch.clear();
                },
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

fn session(c: &mut Criterion) {
    let mut group = c.benchmark_group("session");
    group.throughput(Throughput::Elements(BATCH as u64));
    let router = rig::Router::new();
    for (name, pool_difficulty) in [("line in, reply out", POOL_NEVER), ("line in, reply out, share on", POOL_ALWAYS)] {
        let job = rig::job(pool_difficulty);
        let series = rig::Works::new().series(&job);
        let shares = rig::shares(&series, 1, BATCH);
        let lines: Vec<_> = shares.iter().enumerate().map(|(id, share)| rig::submit_line(id, &series, share)).collect();
        let now = Instant::now();
        let mut io = Io::default();
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || router.mining(now, 1, &series, &mut Io::default()),
                |session| {
                    for line in &lines {
                        session.handle_line(now, black_box(line.as_bytes()), &mut io);
                        assert!(io.out.ends_with(b"\"result\":true,\"error\":null}\n"));
                        io.out.clear();
                        io.effects.clear();
                    }
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, hashes, judge, across_miners, session);
criterion_main!(benches);
