//! Lines into values: a miner's share, a pool's job.

mod rig;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hashgate::stratum::{Frame, Notify, Request};

fn submit(c: &mut Criterion) {
    let series = rig::Works::new().series(&rig::job(1e6));
    let line = rig::submit_line(4711, &series, &rig::shares(&series, 1, 1)[0]);
    let mut group = c.benchmark_group("mining.submit");
    group.throughput(Throughput::Bytes(line.len() as u64));
    group.bench_function("line to frame", |b| b.iter(|| Frame::parse(black_box(line.as_bytes())).is_ok()));
    group.bench_function("line to request", |b| {
        b.iter(|| {
            let frame = Frame::parse(black_box(line.as_bytes())).expect("JSON");
            let (id, request) = Request::parse(&frame);
            black_box((id, request.is_ok()));
        });
    });
    group.finish();
}

fn notify(c: &mut Criterion) {
    let params = rig::notify_params("1f", true);
    let mut group = c.benchmark_group("mining.notify");
    group.throughput(Throughput::Bytes(params.len() as u64));
    group.bench_function("params to job", |b| b.iter(|| Notify::parse(black_box(&params)).is_ok()));
    group.finish();
}

criterion_group!(benches, submit, notify);
criterion_main!(benches);
