//! What a share costs beside its hash: a line found and read, and the whole way of a line to its answer, without sockets.
//!
//! `cargo bench --bench parse` prints nanoseconds per line or share. All ways take turns within one run and medians are
//! compared, since machines are noisy: the ratios are what to trust. Pin it to one core (`taskset -c 1`).

mod rig;

use std::{
    borrow::Cow,
    hint::black_box,
    time::{Duration, Instant},
};

use hashgate::{
    downstream::{Effect, Io, Session},
    stratum::{Frame, Lines, Notify, Request, Submit},
    work::{Extranonce, WorkSeries},
};
use serde::Deserialize;

/// Turns that each way has.
const TURNS: usize = 60;

/// Lines that are timed in one go.
const TIMED: usize = 512;

/// No share goes to the pool.
const POOL_NEVER: f64 = 1e6;

/// A submit as each firmware writes it; what differs is the order of the members, the spaces and the names.
const FIRMWARE: [(&str, &str); 6] = [
    (
        "cgminer",
        r#"{"params": ["farm.0001", "0000000a", "00000001", "6a000000", "0badcafe", "00400000"], "id": 4711, "method": "mining.submit"}"#,
    ),
    (
        "bmminer",
        r#"{"params": ["account.rack07x12", "0000000a", "00000001", "6a000000", "0badcafe", "1fffe000"], "id": 12, "method": "mining.submit"}"#,
    ),
    (
        "ESP-Miner",
        r#"{"id": 9, "method": "mining.submit", "params": ["bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq.bitaxe", "0000000a", "01000000", "6a000000", "0badcafe", "00c00000"]}"#,
    ),
    (
        "NerdMiner",
        r#"{"id":7,"method":"mining.submit","params":["bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq","0000000a","00000001","6a000000","badcaf"]}"#,
    ),
    (
        "cpuminer",
        r#"{"method": "mining.submit", "params": ["farm.0001", "0000000a", "00000001", "6a000000", "0badcafe"], "id":4}"#,
    ),
    (
        "bosminer",
        r#"{"id":130,"method":"mining.submit","params":["account.s19-042","0000000a","00000001","6a000000","0badcafe","0001e000"]}"#,
    ),
];

/// What a proxy that does not care reads a submit into.
#[derive(Deserialize)]
struct Derived<'a> {
    #[serde(borrow)]
    id: &'a serde_json::value::RawValue,
    #[serde(borrow)]
    method: Cow<'a, str>,
    params: Vec<String>,
}

type Way = (&'static str, fn(&[u8]) -> bool);

/// The ways to read a line, the last is what the others are compared with.
const WAYS: [Way; 3] = [
    ("in one pass", |line| black_box(Submit::usual(black_box(line))).is_some()),
    ("by Frame, Request", |line| {
        let frame = Frame::parse(black_box(line)).expect("JSON");
        black_box(Request::parse(&frame)).1.is_ok()
    }),
    ("by serde's derive", |line| {
        let derived: Derived<'_> = serde_json::from_slice(black_box(line)).expect("JSON");
        let number = |at: usize| u32::from_str_radix(&derived.params[at], 16).expect("hex");
        black_box((derived.id, &derived.params[0], number(1), number(3), number(4)));
        derived.method == "mining.submit"
    }),
];

fn median(times: &mut [f64]) -> f64 {
    let middle = times.len() / 2;
    *times.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// Nanoseconds for each of `count` things.
fn each(elapsed: Duration, count: usize) -> f64 {
    elapsed.as_nanos() as f64 / count as f64
}

/// Every firmware's line by every way, framed from a buffer as it was read from a socket.
fn reading() {
    println!("\nline found and read: ns/line (× serde's derive)");
    print!("{:<12}{:>7}", "firmware", "bytes");
    WAYS.iter().for_each(|(name, _)| print!("{name:>22}"));
    println!("{:>14}", "found alone");
    for (firmware, line) in FIRMWARE {
        let buffer = format!("{line}\n").repeat(TIMED);
        let run = |read: fn(&[u8]) -> bool| {
            let (mut lines, mut input) = (Lines::new(16 * 1024), black_box(buffer.as_bytes()));
            let start = Instant::now();
            while let Some(line) = lines.next(&mut input).expect("short lines") {
                assert!(read(line));
            }
            each(start.elapsed(), TIMED)
        };
        let found: Way = ("found", |line| black_box(line).len() > 1);
        let ways = || WAYS.into_iter().chain([found]);
        let mut times: Vec<Vec<f64>> = ways().map(|_| Vec::with_capacity(TURNS)).collect();
        for _ in 0..TURNS {
            times.iter_mut().zip(ways()).for_each(|(times, (_, read))| times.push(run(read)));
        }
        let medians: Vec<f64> = times.iter_mut().map(|times| median(times)).collect();
        print!("{firmware:<12}{:>7}", line.len());
        let derived = medians[WAYS.len() - 1];
        medians[..WAYS.len()].iter().for_each(|ns| print!("{:>22}", format!("{ns:.0} ({:.1})", derived / ns)));
        println!("{:>14}", format!("{:.0}", medians[WAYS.len()]));
    }
}

/// How a miner's shares come about, which decides how much of each has to be hashed.
#[derive(Clone, Copy)]
enum Rolls {
    /// Many versions and nonces over one extranonce2: the merkle root is known.
    Version,
    /// A new extranonce2 for each share: a coinbase and twelve branches.
    Extranonce2,
}

/// Submits of one miner that all count.
fn submits(series: &WorkSeries, miner: u64, count: usize, rolls: Rolls) -> Vec<String> {
    let mut shares = rig::shares(series, miner, count);
    if let Rolls::Extranonce2 = rolls {
        let (work, lease, target) = (series.first(), rig::lease_id(miner), rig::difficulty().target());
        for (at, share) in shares.iter_mut().enumerate() {
            share.extranonce2 = Extranonce::from_number(at as u64 + 2, 4);
            let is_share = |nonce: &u32| {
                let hash = work.hash(&lease, &share.extranonce2, share.ntime, *nonce, work.version | rig::ROLLED);
                target.is_met_by(&hash)
            };
            share.nonce = (0..).find(is_share).expect("one hash in four is a share");
        }
    }
    shares.iter().enumerate().map(|(id, share)| rig::submit_line(id, series, share) + "\n").collect()
}

/// What the caller of a session does with what was read, but for the socket. Yields how many shares were credited.
fn feed(now: Instant, session: &mut Session, lines: &mut Lines, mut input: &[u8], io: &mut Io) -> usize {
    while let Some(line) = lines.next(&mut input).expect("short lines") {
        let _ = session.take_line(now, line, io);
    }
    session.judge_round(now, io);
    let credited =
        io.effects.drain(..).filter(|effect| matches!(effect, Effect::Judged { verdict: Ok(_), .. })).count();
    black_box(&io.out);
    io.out.clear();
    credited
}

/// Lines to verdicts and answers, for so many miners in turn, so many shares in a read.
fn whole_way() {
    println!("\nline to verdict and answer: ns/share");
    println!("{:>8}{:>18}{:>18}{:>16}{:>16}", "miners", "shares per read", "rolled", "ns/share", "shares/s");
    let router = rig::Router::new();
    let now = Instant::now();
    for (miners, per_miner) in [(1, 512), (500, 16), (5000, 16)] {
        for rolls in [Rolls::Version, Rolls::Extranonce2] {
            let series = rig::Works::new().series(&rig::job(POOL_NEVER));
            let all: Vec<Vec<String>> =
                (0..miners).map(|miner| submits(&series, miner as u64 + 1, per_miner, rolls)).collect();
            for per_read in [1, 16] {
                let reads: Vec<Vec<String>> =
                    all.iter().map(|lines| lines.chunks(per_read).map(|lines| lines.concat()).collect()).collect();
                let turns = (TURNS * 2000 / (miners * per_miner)).clamp(5, TURNS);
                let mut times: Vec<f64> =
                    (0..turns).map(|_| one_turn(&router, now, &series, &reads, miners * per_miner)).collect();
                let ns = median(&mut times);
                let rolled = match rolls {
                    Rolls::Version => "version, nonce",
                    Rolls::Extranonce2 => "extranonce2",
                };
                println!("{miners:>8}{per_read:>18}{rolled:>18}{ns:>16.0}{:>16.0}", 1e9 / ns);
            }
        }
    }
}

/// Every miner logs in anew; then all reads, one of each miner after the other. Nanoseconds per share.
fn one_turn(
    router: &rig::Router,
    now: Instant,
    series: &std::sync::Arc<WorkSeries>,
    reads: &[Vec<String>],
    shares: usize,
) -> f64 {
    let mut io = Io::default();
    let login = |miner| (router.mining(now, miner as u64 + 1, series, &mut Io::default()), Lines::new(16 * 1024));
    let mut miners: Vec<_> = (0..reads.len()).map(login).collect();
    let rounds = reads[0].len();
    let mut credited = 0;
    let start = Instant::now();
    for round in 0..rounds {
        for ((session, lines), reads) in miners.iter_mut().zip(reads) {
            credited += feed(now, session, lines, reads[round].as_bytes(), &mut io);
        }
    }
    let elapsed = start.elapsed();
    assert_eq!(credited, shares, "every share counts");
    each(elapsed, shares)
}

fn jobs() {
    let params = rig::notify_params("1f", true);
    let mut times: Vec<f64> = (0..TURNS)
        .map(|_| {
            let start = Instant::now();
            (0..TIMED).for_each(|_| assert!(Notify::parse(black_box(&params)).is_ok()));
            each(start.elapsed(), TIMED)
        })
        .collect();
    println!("\na pool's job of {} bytes read: {:.0} ns", params.len(), median(&mut times));
}

fn main() {
    reading();
    whole_way();
    jobs();
}
