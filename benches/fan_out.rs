//! The job's way to the miners, without sockets: made once, then handed to each.

mod rig;

use std::{hint::black_box, time::Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use hashgate::downstream::Io;

/// Miners of one round.
const MINERS: u64 = 1000;

fn make(c: &mut Criterion) {
    let (job, works) = (rig::job(1e6), rig::Works::new());
    let line = works.series(&job).first().line(true).len();
    let mut group = c.benchmark_group("work of a job");
    group.throughput(Throughput::Bytes(line as u64));
    group.bench_function("make and serialise, once per job", |b| b.iter(|| works.series(black_box(&job))));
    group.finish();
}

fn hand_out(c: &mut Criterion) {
    let (job, works, router, now) = (rig::job(1e6), rig::Works::new(), rig::Router::new(), Instant::now());
    let series = works.series(&job);
    let mut io = Io::default();
    let mut sessions: Vec<_> = (0..MINERS).map(|miner| router.mining(now, miner, &series, &mut io)).collect();
    let mut group = c.benchmark_group("clean job");
    group.throughput(Throughput::Elements(MINERS));
    group.bench_function("into the buffer of each miner", |b| {
        b.iter_batched_ref(
            || works.series(&job),
            |series| {
                for session in &mut sessions {
                    session.handle_job(now, series, now, &mut io);
                    assert!(io.clean && !black_box(&io.out).is_empty());
                    io.out.clear();
                    io.clean = false;
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, make, hand_out);
criterion_main!(benches);
