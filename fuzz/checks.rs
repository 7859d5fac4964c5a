//! What must hold for any bytes at all, written once: the fuzz targets beside this file call it, and so does
//! `tests/arbitrary_input.rs` with random and with damaged conversations.
//!
//! | check | the bytes are | must hold |
//! |---|---|---|
//! | [`miner_lines`] | what a miner sends | no panic; every line to it is a JSON object; answers and buffers are bounded |
//! | [`pool_lines`] | what a pool sends | as above; its jobs can be handed to miners, and shares for them told to it |
//! | [`submit_line`] | a line that may be a submit | read in one pass it means what it means as JSON |
//! | [`kernels`] | a work and shares of it | every kernel of this CPU hashes as `sha2` does |
//! | [`config`] | a config file | no panic; errors are named; a valid one can be put in words, without its secret |
//!
//! The first byte of a conversation says where it starts: `+` with a connection that has logged in, anything else with a
//! new one.

#[path = "../benches/rig/mod.rs"]
mod rig;

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use hashgate::{
    config::{self, Config},
    downstream::Io,
    hash::{Digest, HeaderInput, Kernel, MAX_EXTRANONCE, Plan, PlanParts, ShareInput},
    router::Layout,
    stratum::{Frame, Lines, Request, Submit},
    upstream::{
        Event, Origin, Outgoing,
        rehearsal::{Rehearsal, Said},
    },
    work::{
        Extranonce, Job, JobIds, JobWindow, Judge, LiveJob, PoolShare, Submission, SubmittedVersion, Terms, WorkSeries,
    },
};

/// Between two lines: timers become due in a conversation of a few hundred.
const PAUSE: Duration = Duration::from_millis(500);

/// A clean job comes after so many lines of a miner.
const LINES_PER_JOB: usize = 7;

/// What a session may write beyond a multiple of what it was sent: a difficulty, a mask and two jobs.
const UNASKED: usize = 16 * 1024;

/// What an answer may be longer than its question: names that are echoed can grow by being escaped.
const GROWTH: usize = 6;

/// The lines that we write to pools are shorter; ckpool hangs up on longer ones.
const MAX_LINE_TO_POOL: usize = 1024;

/// How a conversation starts, and the rest.
fn start(bytes: &[u8]) -> (bool, &[u8]) {
    bytes.strip_prefix(b"+").map_or((false, bytes), |rest| (true, rest))
}

fn assert_json_object(line: &[u8]) {
    // By its grammar: an id that goes back verbatim may be a number that no type holds.
    let object = serde_json::from_slice::<std::collections::HashMap<String, &serde_json::value::RawValue>>(line);
    assert!(object.is_ok(), "not a JSON object: {}", line.escape_ascii());
}

/// A miner sends these bytes.
pub fn miner_lines(bytes: &[u8]) {
    let (router, works, job) = (rig::Router::new(), rig::Works::new(), rig::job(rig::DIFFICULTY));
    let mut now = Instant::now();
    let (is_mining, mut input) = start(bytes);
    let mut io = Io::default();
    let mut work = works.series(&job);
    let mut session = if is_mining { router.mining(now, 1, &work, &mut io) } else { router.connect(now) };
    let limit = rig::listener().limits.line_bytes;
    let mut lines = Lines::new(limit);
    let mut count = 0;
    while let Ok(Some(line)) = lines.next(&mut input) {
        let sent = line.len();
        now += PAUSE;
        session.handle_line(now, line, &mut io);
        let mut is_open = router.serve(now, 1, &mut session, &work, &mut io);
        if session.next_timeout() <= now {
            session.handle_timeout(now, &mut io);
            is_open &= router.serve(now, 1, &mut session, &work, &mut io);
        }
        count += 1;
        if count % LINES_PER_JOB == 0 {
            work = works.series(&job);
            session.handle_job(now, &work, now, &mut io);
        }
        assert!(!session.is_waiting(), "a reply is held although the router has answered");
        assert!(io.out.len() <= sent * GROWTH + UNASKED, "{} bytes for a line of {sent}", io.out.len());
        assert!(io.out.is_empty() || io.out.ends_with(b"\n"), "half a line");
        io.out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).for_each(assert_json_object);
        io.out.clear();
        io.clean = false;
        if !is_open {
            break;
        }
    }
    assert!(lines.pending() <= limit, "{} bytes of an unfinished line", lines.pending());
    session.park(now);
}

const LOGIN: &str = concat!(
    r#"{"id":1,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000"},"error":null}"#,
    "\n",
    r#"{"id":2,"result":[[["mining.notify","5e55"]],"08000002",8],"error":null}"#,
    "\n",
    r#"{"id":3,"result":true,"error":null}"#,
    "\n",
    r#"{"id":null,"method":"mining.set_difficulty","params":[1e-10]}"#,
    "\n",
);

/// A pool sends these bytes.
pub fn pool_lines(bytes: &[u8]) {
    let mut now = Instant::now();
    let pool = Arc::new(rig::config("").pools[0].clone());
    let mut pool = Rehearsal::new(now, pool);
    let (is_logged_in, input) = start(bytes);
    if is_logged_in {
        let notify =
            format!("{{\"id\":null,\"method\":\"mining.notify\",\"params\":{}}}\n", rig::notify_params("1", true));
        let said = pool.hear(now, LOGIN.as_bytes());
        assert!(said.closed.is_none(), "the login works: {said:?}");
        if react(&mut pool, now, said) || react_to(&mut pool, now, notify.as_bytes()) {
            return;
        }
    }
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        now += PAUSE;
        if react_to(&mut pool, now, line) {
            return;
        }
        let said = pool.wait_until(now);
        if react(&mut pool, now, said) {
            return;
        }
    }
}

fn react_to(pool: &mut Rehearsal, now: Instant, bytes: &[u8]) -> bool {
    let said = pool.hear(now, bytes);
    react(pool, now, said)
}

/// Plays the router: every job is worked for, and a share of it submitted. `true`: the connection is closed.
fn react(pool: &mut Rehearsal, now: Instant, said: Said) -> bool {
    let mut to_check = vec![said];
    let mut extranonce2_size = 8;
    while let Some(said) = to_check.pop() {
        for line in &said.lines {
            assert!(line.len() <= MAX_LINE_TO_POOL && line.ends_with('\n'), "{line}");
            assert_json_object(line.as_bytes());
        }
        if said.closed.is_some() {
            return true;
        }
        for event in said.events {
            match event {
                Event::Ready(facts) => extranonce2_size = facts.extranonce2_size,
                Event::Job(job) => {
                    if let Some(share) = share(&job, extranonce2_size) {
                        let origin = Origin { worker: 0, connection: 0, ticket: 0, is_counted: false };
                        to_check.push(pool.submit(now, Outgoing { share, user: "farm.0001".into(), origin }));
                    }
                }
                Event::Certificate { .. }
                | Event::Resumed(_)
                | Event::Lost { .. }
                | Event::Settled { .. }
                | Event::Message(_) => {}
            }
        }
    }
    false
}

/// What a miner would make of a pool's job, if its first hashes are good enough.
fn share(job: &Arc<Job>, pool_extranonce2: usize) -> Option<PoolShare> {
    let layout = Layout::fitting(pool_extranonce2, 4)?;
    let salt_len = pool_extranonce2.checked_sub(layout.space())?;
    let ids = Arc::new(JobIds::starting_at(0));
    let series = WorkSeries::new(job.clone(), ids, layout.split(salt_len));
    assert_json_object(series.first().line(true));
    let terms = Terms::of(job.pool_difficulty);
    let mut window = JobWindow::default();
    window.push(LiveJob::new(series.first().clone(), terms.clone()));
    let lease = Extranonce::from_number(7, layout.id_len.into());
    let Terms { difficulty, target } = *terms;
    let judge = Judge { lease, version_mask: job.version_mask, difficulty, target };
    (0..4).find_map(|nonce| {
        let submission = Submission {
            job: Some(series.first().id),
            extranonce2: Extranonce::from_number(1, layout.extranonce2_size.into()),
            ntime: job.notify.ntime,
            nonce,
            version: SubmittedVersion::Bits(job.version_mask),
        };
        judge.judge(&mut window, &submission).pool_share
    })
}

/// What a submit in its usual shape means, and that it has it; `false`: it is left to the JSON way.
///
/// Whole and line by line: a session never sees a line end, the function may.
pub fn submit_line(bytes: &[u8]) -> bool {
    bytes.split(|byte| *byte == b'\n').for_each(|line| {
        means_what_json_says(line);
    });
    means_what_json_says(bytes)
}

fn means_what_json_says(line: &[u8]) -> bool {
    let Some(usual) = Submit::usual(line) else { return false };
    let said = line.escape_ascii();
    let frame = Frame::parse(line).unwrap_or_else(|error| panic!("{error}: {said}"));
    let (id, request) = Request::parse(&frame);
    assert_eq!((usual.0, Ok(Request::Submit(usual.1))), (id, request), "{said}");
    true
}

/// The kernels of this CPU; each is measured when it is made.
static KERNELS: LazyLock<Vec<Kernel>> =
    LazyLock::new(|| Kernel::available().map(|name| Kernel::by_name(name).expect("it is available")).collect());

/// Branches of a block; none has more than 24.
const MAX_BRANCHES: usize = 24;

/// Shares in a batch: two of the widest passes, and a rest.
const MAX_SHARES: usize = 35;

/// The first bytes are the sizes of a work; the rest, over and over, is what it is made of, and its shares.
pub fn kernels(bytes: &[u8]) {
    let Some((sizes, rest)) = bytes.split_first_chunk::<6>() else { return };
    let mut endless = rest.iter().chain(&[0x5a]).copied().cycle().enumerate().map(|(at, byte)| byte ^ (at >> 6) as u8);
    let mut take = |count: usize| -> Vec<u8> { endless.by_ref().take(count).collect() };
    let [prefix, extranonce_len, suffix, suffixes, branches, shares] = sizes.map(usize::from);
    let (prefix, suffix) = (take(prefix), take(suffix * (1 + suffixes % 8)));
    let extranonce_len = extranonce_len % (MAX_EXTRANONCE + 1);
    let branches: Vec<[u8; 32]> =
        (0..branches % (MAX_BRANCHES + 1)).map(|_| take(32).try_into().expect("as many as asked for")).collect();
    let prevhash: [u8; 32] = take(32).try_into().expect("as many as asked for");
    let mut word = || u32::from_le_bytes(take(4).try_into().expect("as many as asked for"));
    let nbits = word();
    let shares: Vec<ShareInput> = (0..=shares % MAX_SHARES)
        .map(|_| {
            let header = HeaderInput { version: word(), ntime: word(), nonce: word() };
            let words = [word(), word(), word(), word()].map(u32::to_le_bytes);
            ShareInput { extranonce: words.as_flattened().try_into().expect("16 bytes"), header }
        })
        .collect();
    let parts =
        PlanParts { prefix: &prefix, extranonce_len, suffix: &suffix, branches: &branches, prevhash: &prevhash, nbits };
    let wanted: Vec<[u8; 32]> = shares.iter().map(|share| by_sha2(&parts, share)).collect();
    let plan = Plan::new(&parts);
    for kernel in KERNELS.iter() {
        let mut hashes = vec![Digest::default(); shares.len()];
        kernel.hash_shares(&plan, &shares, &mut hashes);
        let hashes: Vec<[u8; 32]> = hashes.into_iter().map(Digest::to_bytes).collect();
        assert_eq!(hashes, wanted, "{}", kernel.name());
    }
}

/// A share's block hash as the protocol defines it.
fn by_sha2(parts: &PlanParts<'_>, share: &ShareInput) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    let double = |bytes: &[u8]| -> [u8; 32] { Sha256::digest(Sha256::digest(bytes)).into() };
    let coinbase = [parts.prefix, &share.extranonce[..parts.extranonce_len], parts.suffix].concat();
    let root = parts.branches.iter().fold(double(&coinbase), |node, branch| double(&[node, *branch].concat()));
    let HeaderInput { version, ntime, nonce } = share.header;
    let mut header = version.to_le_bytes().to_vec();
    header.extend(parts.prevhash);
    header.extend(root);
    header.extend([ntime, parts.nbits, nonce].map(u32::to_le_bytes).as_flattened());
    double(&header)
}

/// A config file has these bytes.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Config::parse(text, &rig::NoEnv) {
        Ok((config, _)) => assert!(!config::describe(&config).is_empty()),
        Err(errors) => assert!(!errors.to_string().is_empty()),
    }
}
