//! Extranonce leases on a large site: what one connect and one disconnect cost when [`MINERS`] others are there.

mod rig;

use std::{hint::black_box, time::Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hashgate::router::{LeaseBook, Released, SessionId};

/// The largest farms have so many behind one proxy.
const MINERS: u32 = 60_000;

/// The default of a pool's `max_miners`.
const MINERS_PER_LANE: usize = 10_000;

fn session(number: u32) -> SessionId {
    SessionId::new(number, [0; 12])
}

fn full_book() -> LeaseBook<()> {
    let mut book = LeaseBook::new(MINERS_PER_LANE);
    for miner in 0..MINERS {
        book.grant(rig::LAYOUT, None, session(miner)).expect("lanes are left");
    }
    book
}

fn lease(c: &mut Criterion) {
    let now = Instant::now();
    let mut group = c.benchmark_group("lease among 60 000");
    group.throughput(Throughput::Elements(1));
    let mut book = full_book();
    let mut next = MINERS;
    group.bench_function("granted and given back without work", |b| {
        b.iter(|| {
            next += 1;
            black_box(book.grant(rig::LAYOUT, None, session(next)).expect("lanes are left"));
            book.release(now, Released { session: session(next), parked: None });
        });
    });
    let mut book = full_book();
    group.bench_function("parked and resumed", |b| {
        b.iter(|| {
            book.release(now, Released { session: session(7), parked: Some(()) });
            next += 1;
            black_box(book.grant(rig::LAYOUT, Some(session(7)), session(next)).expect("it is parked"));
        });
    });
    group.bench_function("all looked through for expired ones", |b| {
        b.iter(|| book.expire(now, |_| Some(now)));
    });
    group.finish();
}

criterion_group!(benches, lease);
criterion_main!(benches);
