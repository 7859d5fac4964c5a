//! A share costs no allocation: from the bytes of its line to the bytes of its answer, once the buffers have their size.
//!
//! `peak_alloc` knows how much memory was in use at the most, so that a line allocates if it raises the peak. What may is the set
//! of a job's seen shares, which doubles now and then.

#[path = "../benches/rig/mod.rs"]
mod rig;

use std::time::Instant;

use hashgate::{
    downstream::{Effect, Io, Session},
    stratum::Lines,
    work::WorkSeries,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Shares to which the buffers, and the set of seen shares, grow before anything is counted.
const WARM_UP: usize = 64;

/// What is counted.
const SHARES: usize = 1024;

/// No share goes to the pool.
const POOL_NEVER: f64 = 1e6;

struct Miner {
    session: Session,
    lines: Lines,
    io: Io,
    now: Instant,
}

impl Miner {
    fn new(router: &rig::Router, series: &std::sync::Arc<WorkSeries>) -> Self {
        let (now, mut io) = (Instant::now(), Io::default());
        let session = router.mining(now, 1, series, &mut io);
        Self { session, lines: Lines::new(16 * 1024), io, now }
    }

    /// As a worker does with what it has read. Yields the answers' last bytes and whether the heap grew.
    fn hear(&mut self, mut input: &[u8]) -> bool {
        self.io.out.clear();
        self.io.effects.clear();
        HEAP.reset_peak_usage();
        let before = HEAP.current_usage();
        while let Some(line) = self.lines.next(&mut input).expect("short lines") {
            let _ = self.session.take_line(self.now, line, &mut self.io);
        }
        self.session.judge_round(self.now, &mut self.io);
        HEAP.peak_usage() > before
    }

    fn answers(&self) -> &str {
        std::str::from_utf8(&self.io.out).expect("JSON")
    }

    fn judged(&self) -> usize {
        self.io.effects.iter().filter(|effect| matches!(effect, Effect::Judged { .. })).count()
    }
}

/// One test: the heap is the whole process's.
#[test]
fn a_share_allocates_nothing() {
    let series = rig::Works::new().series(&rig::job(POOL_NEVER));
    let router = rig::Router::new();
    let shares = rig::shares(&series, 1, WARM_UP + SHARES);
    let lines: Vec<String> =
        shares.iter().enumerate().map(|(id, share)| rig::submit_line(id, &series, share) + "\n").collect();
    let (warm_up, rest) = lines.split_at(WARM_UP);

    let mut miner = Miner::new(&router, &series);
    warm_up.iter().for_each(|line| {
        miner.hear(line.as_bytes());
    });
    // The set of seen shares doubles from 64 to 2048: five times.
    let grew = rest.iter().filter(|line| {
        let grew = miner.hear(line.as_bytes());
        assert!(miner.answers().ends_with("\"result\":true,\"error\":null}\n"), "{}", miner.answers());
        grew
    });
    let grew = grew.count();
    assert!(grew <= 5, "{grew} of {SHARES} shares allocated");

    // All of these again, and what else a miner may get wrong: nothing is added to the set.
    let wrong = |from: &str, to: &str| lines[0].replace(from, to);
    let rejected = [
        (wrong("farm.0001", "farm.0002"), "Unauthorized worker"),
        (wrong("\"00000000\", \"00000001\"", "\"77777777\", \"00000001\""), "Job not found"),
        (wrong("\"00000001\", \"6a", "\"0000000001\", \"6a"), "Invalid extranonce2 length"),
        (wrong("\"00000001\", \"6a", "\"xy\", \"6a"), "Malformed extranonce2"),
        (wrong("6a000000", "6b000000"), "Ntime out of range"),
        (wrong("00400000", "80000000"), "Version bits outside mask"),
        // What is not usual goes the JSON way, which allocates no more.
        (wrong("\"id\": 0", "\"jsonrpc\": \"2.0\", \"id\": 0"), "Duplicate"),
        (wrong("\"6a000000\"", "1778384896"), "Duplicate"),
        (wrong("\"6a000000\"", "\"zz\""), "Malformed ntime"),
        (wrong("\"params\": [", "\"params\": [\"\", \"\", "), "Malformed params: 5 or 6 are wanted"),
    ];
    for (line, text) in
        rejected.iter().map(|(line, text)| (line, *text)).chain(rest.iter().map(|line| (line, "Duplicate")))
    {
        // Once for what only the first of a kind needs.
        miner.hear(line.as_bytes());
        assert!(miner.answers().contains(text), "{line} {text} {}", miner.answers());
        assert!(!miner.hear(line.as_bytes()), "{text}: {line}");
    }

    // Sixteen in a read, after one that makes room for their answers.
    for read in rest.chunks(16) {
        let read = read.concat();
        miner.hear(read.as_bytes());
        assert!(!miner.hear(read.as_bytes()), "a batch");
        assert_eq!(miner.judged(), read.lines().count());
    }
}
