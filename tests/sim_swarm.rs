//! Simulated ASICs over real sockets: a swarm of every firmware mines validly, survives its server, and the load
//! tool counts what the server counted.
//!
//! The server here is a script of its own, with its own reading of how a share is checked: plain concatenation and
//! hashing, nothing cached.

use hashgate::sim::load::{LoadError, LoadSettings, run, run_until};
use hashgate::sim::miner::profile::{BITAXE, CGMINER, CPUMINER};
use hashgate::sim::miner::{MIX, MinerHandle, MinerSettings, Pace, Swarm, SwarmSettings};
use hashgate::sim::pool::{PoolSettings, SimPool};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const VERSION: u32 = 0x2000_0000;
const MASK: u32 = 0x1fff_e000;
/// Every 430th hash is a share.
const DIFFICULTY: f64 = 1e-7;
const PATIENCE: Duration = Duration::from_secs(30);

/// What the server saw.
#[derive(Default)]
struct Book {
    hashes: HashSet<[u8; 32]>,
    faults: Vec<String>,
    submits: u64,
    /// Submits with more behind them before they were answered.
    pipelined: u64,
}

struct Server {
    address: SocketAddr,
    book: Arc<Mutex<Book>>,
    /// Number of the job; a new one is sent to everybody, clean.
    job: watch::Sender<u32>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the server does with shares.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Judges,
    /// Never answers a share, and hangs up at the third of a connection.
    HangsUp,
}

impl Server {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let book = Arc::<Mutex<Book>>::default();
        let (job, jobs) = watch::channel(1);
        let shared = Arc::clone(&book);
        let task = tokio::spawn(async move {
            let leases = Arc::new(AtomicU32::new(1));
            while let Ok((stream, _)) = listener.accept().await {
                let extranonce1 = match manner {
                    Manner::Judges => leases.fetch_add(1, Ordering::Relaxed),
                    // A session resumed, as far as the miner can tell.
                    Manner::HangsUp => 7,
                };
                let client =
                    Client { extranonce1, manner, book: Arc::clone(&shared), jobs: jobs.clone(), multi: false };
                tokio::spawn(client.serve(stream));
            }
        });
        Self { address, book, job, task }
    }

    fn book<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        look(&self.book.lock().expect("no panic in the server"))
    }
}

struct Client {
    extranonce1: u32,
    manner: Manner,
    book: Arc<Mutex<Book>>,
    jobs: watch::Receiver<u32>,
    multi: bool,
}

fn notify(job: u32) -> Value {
    let prevhash = format!("{job:08x}").repeat(8);
    let branches = ["cd".repeat(32), "ef".repeat(32)];
    json!([
        format!("{job:08x}"),
        prevhash,
        "0100",
        "ffff",
        branches,
        format!("{VERSION:08x}"),
        "1d00ffff",
        "64b3f3ec",
        true
    ])
}

impl Client {
    async fn serve(mut self, stream: TcpStream) {
        stream.set_nodelay(true).expect("a socket");
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        let (mut authorized, mut submits) = (false, 0);
        loop {
            tokio::select! {
                line = lines.next_line() => {
                    let Ok(Some(line)) = line else { return };
                    let request: Value = serde_json::from_str(&line).expect("miners write JSON");
                    let method = request["method"].as_str().unwrap_or_default();
                    if method == "mining.submit" && self.manner == Manner::HangsUp {
                        self.book.lock().expect("no panic").submits += 1;
                        submits += 1;
                        if submits == 3 {
                            return;
                        }
                        continue;
                    }
                    if method == "mining.submit" && !lines.get_ref().buffer().is_empty() {
                        self.book.lock().expect("no panic").pipelined += 1;
                    }
                    let result = self.answer(method, &request["params"]);
                    say(&mut write, &json!({"id": request["id"], "result": result, "error": null})).await;
                    if method == "mining.authorize" && !authorized {
                        authorized = true;
                        self.work(&mut write).await;
                    }
                }
                changed = self.jobs.changed(), if authorized => {
                    if changed.is_err() {
                        return;
                    }
                    self.work(&mut write).await;
                }
            }
        }
    }

    async fn work(&mut self, write: &mut OwnedWriteHalf) {
        let job = *self.jobs.borrow_and_update();
        say(write, &json!({"id": null, "method": "mining.set_difficulty", "params": [DIFFICULTY]})).await;
        say(write, &json!({"id": null, "method": "mining.notify", "params": notify(job)})).await;
    }

    fn answer(&mut self, method: &str, params: &Value) -> Value {
        match method {
            "mining.configure" => {
                json!({"version-rolling": true, "version-rolling.mask": format!("{MASK:08x}")})
            }
            "mining.subscribe" => json!([[["mining.notify", "s"]], format!("{:08x}", self.extranonce1), 4]),
            "mining.multi_version" => {
                self.multi = true;
                json!(true)
            }
            "mining.submit" => {
                let checked = self.check(params);
                let mut book = self.book.lock().expect("no panic");
                book.submits += 1;
                match checked {
                    Ok(hash) if book.hashes.insert(hash) => json!(true),
                    Ok(_) => {
                        book.faults.push(format!("duplicate: {params}"));
                        json!(false)
                    }
                    Err(fault) => {
                        book.faults.push(format!("{fault}: {params}"));
                        json!(false)
                    }
                }
            }
            _ => json!(true),
        }
    }

    /// The share's header hash, if it meets the difficulty.
    fn check(&self, params: &Value) -> Result<[u8; 32], &'static str> {
        let text = |at: usize| params[at].as_str().ok_or("a parameter is missing");
        let word = |at: usize| u32::from_str_radix(text(at)?, 16).map_err(|_| "not hex");
        let (job, nonce) = (word(1)?, word(4)?);
        let version = match params.get(5) {
            None => VERSION,
            Some(_) if self.multi => word(5)?,
            Some(_) => (VERSION & !MASK) | (word(5)? & MASK),
        };
        if (version ^ VERSION) & !MASK != 0 {
            return Err("version outside the mask");
        }
        let coinbase = format!("0100{:08x}{}ffff", self.extranonce1, text(2)?);
        let mut root = sha256d(&hex::decode(coinbase).map_err(|_| "not hex")?);
        for branch in ["cd", "ef"] {
            root = sha256d(&[root.to_vec(), hex::decode(branch.repeat(32)).expect("hex")].concat());
        }
        let header = [
            &version.to_le_bytes()[..],
            &job.to_le_bytes().repeat(8),
            &root,
            &word(3)?.to_le_bytes(),
            &0x1d00_ffff_u32.to_le_bytes(),
            &nonce.to_le_bytes(),
        ];
        let hash = sha256d(&header.concat());
        // The hash as a fraction of 2^256; a double is exact enough unless a hash lies within 2^-52 of the target.
        let fraction = hash.iter().fold(0.0, |value, byte| (value + f64::from(*byte)) / 256.0);
        let target = 65535.0 * 2_f64.powi(208 - 256) / DIFFICULTY;
        if fraction <= target { Ok(hash) } else { Err("low difficulty") }
    }
}

async fn say(write: &mut OwnedWriteHalf, line: &Value) {
    // A miner that went away will be noticed by the next read.
    let _ = write.write_all(format!("{line}\n").as_bytes()).await;
}

fn sha256d(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !done() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited {PATIENCE:?} until {what}");
}

#[tokio::test]
async fn every_firmware_mines_validly_at_a_hashrate() {
    let server = Server::start(Manner::Judges).await;
    let machine = MinerSettings {
        recorded_hashes: 10_000,
        ..MinerSettings::new(server.address, "farm", &CGMINER, Pace::Hashrate(3000.0))
    };
    // One of each firmware is only sure to be there in a whole round of the mix; one weight each makes it short.
    let mix: Vec<_> = MIX.iter().map(|(profile, _)| (*profile, 1)).collect();
    let settings = SwarmSettings { machine, miners: mix.len(), mix, connects_per_second: 0.0 };
    let swarm = Swarm::start(&settings);
    until("everybody mines", || swarm.mining() == MIX.len()).await;
    until("everybody found shares", || swarm.miners().iter().all(|m| m.with_stats(|s| s.accepted) >= 3)).await;
    server.job.send_replace(2);
    until("everybody got the next job", || swarm.miners().iter().all(|m| m.with_stats(|s| s.jobs) >= 2)).await;

    swarm.settle(PATIENCE).await;
    let mut recorded = HashSet::new();
    for miner in swarm.miners() {
        miner.with_stats(|stats| recorded.extend(stats.accepted_hashes.iter().copied()));
    }
    let spreads = swarm.board().spreads();
    assert_eq!(spreads.iter().map(|spread| spread.miners).collect::<Vec<_>>(), [MIX.len() as u64]);
    let totals = swarm.stop(PATIENCE).await;
    server.book(|book| {
        assert_eq!(book.faults, [""; 0]);
        assert_eq!(book.hashes, recorded);
        assert_eq!(totals.accepted, book.hashes.len() as u64);
    });
    assert!(totals.violations.is_empty(), "{:?}", totals.violations);
    assert_eq!((totals.unanswered(), totals.lost, totals.connects), (0, 0, MIX.len() as u64));
    let credited = totals.accepted as f64 * DIFFICULTY;
    assert!((totals.accepted_difficulty / credited - 1.0).abs() < 1e-9);
}

#[tokio::test]
async fn a_sleeping_machine_keeps_its_connection_and_sends_nothing() {
    let server = Server::start(Manner::Judges).await;
    let settings = MinerSettings::new(server.address, "farm", &BITAXE, Pace::SharesPerSecond(500.0));
    let miner = MinerHandle::start(MinerSettings { asleep: true, ..settings });
    until("it has a job", || miner.is_mining()).await;
    server.job.send_replace(2);
    until("it has another", || miner.with_stats(|stats| stats.jobs) == 2).await;
    assert_eq!(miner.stats().sent, 0);
    miner.wake();
    until("it works", || miner.with_stats(|stats| stats.accepted) > 0).await;
    let stats = miner.stop(PATIENCE).await;
    assert_eq!((stats.connects, stats.unanswered(), stats.violation_count()), (1, 0, 0));
}

#[tokio::test]
async fn a_server_that_hangs_up_is_tried_again_and_no_share_is_forgotten() {
    let server = Server::start(Manner::HangsUp).await;
    for (profile, resubmits) in [(&CGMINER, true), (&CPUMINER, false)] {
        let settings = MinerSettings::new(server.address, "farm", profile, Pace::SharesPerSecond(200.0));
        let miner = MinerHandle::start(MinerSettings { backoff: Duration::from_millis(10), ..settings });
        until("it came back twice", || miner.with_stats(|stats| stats.disconnects) >= 3).await;
        let stats = miner.stop(Duration::ZERO).await;
        assert_eq!(stats.resubmitted > 0, resubmits, "{}: {stats:?}", profile.name);
        assert_eq!(stats.lost == 0, resubmits, "{}: {stats:?}", profile.name);
        assert_eq!((stats.accepted, stats.rejected_total()), (0, 0));
        assert_eq!(stats.sent, stats.lost + stats.unanswered());
    }
}

/// For as long as a test's own condition takes.
fn load(address: SocketAddr, miners: usize, shares_per_second: f64) -> LoadSettings {
    LoadSettings {
        connect: address.to_string(),
        miners,
        shares_per_second: Some(shares_per_second),
        duration: 2 * PATIENCE,
        user: "farm".into(),
        password: "x".into(),
        difficulty: None,
        mix: MIX.to_vec(),
        connects_per_second: 5000.0,
        patience: PATIENCE,
        json: None,
        seed: 1,
        progress: false,
        allow_public: false,
    }
}

#[tokio::test]
async fn the_load_tool_counts_what_the_server_counts() {
    let server = Server::start(Manner::Judges).await;
    let new_block = async {
        // Shares come only once all miners have a job: then all of them see the next one as a new block.
        until("shares come", || server.book(|book| book.submits >= 50)).await;
        server.job.send_replace(2);
        until("more of them come", || server.book(|book| book.submits > 600)).await;
    };
    let report = run_until(load(server.address, 100, 400.0), new_block).await.expect("a report");
    server.book(|book| {
        assert_eq!(book.faults, [""; 0]);
        assert_eq!((report.totals.sent, report.totals.accepted), (book.submits, book.hashes.len() as u64));
    });
    assert_eq!((report.connected, report.connected_at_end, report.unanswered), (100, 100, 0));
    assert_eq!((report.handshake.count, report.reply.count), (100, report.totals.sent));
    assert!(report.totals.sent > 300, "{report}");
    assert_eq!((report.fan_out.spread.count, report.fan_out.fewest_miners), (1, 100));
    assert_eq!(report.hash_bound, 0.0);
    assert!(report.totals.violations.is_empty(), "{report}");
    let json = serde_json::to_value(&report).expect("a report is JSON");
    assert_eq!(json["totals"]["accepted"], report.totals.accepted);
}

#[tokio::test]
async fn in_a_closed_loop_each_share_follows_the_answer_to_the_last() {
    let server = Server::start(Manner::Judges).await;
    let settings = LoadSettings { shares_per_second: None, mix: vec![(&CGMINER, 1)], ..load(server.address, 3, 1.0) };
    let shares = until("shares come", || server.book(|book| book.submits > 30));
    let report = run_until(settings, shares).await.expect("a report");
    server.book(|book| {
        assert_eq!(book.faults, [""; 0]);
        assert_eq!(report.totals.accepted, book.hashes.len() as u64);
        assert_eq!(book.pipelined, 0, "a share came before the last was answered");
    });
    assert!(report.totals.sent > 30, "{report}");
    assert_eq!((report.asked_per_second, report.totals.skipped), (None, 0));
}

#[tokio::test]
async fn the_way_of_a_job_is_measured_from_a_simulated_pool_to_the_last_miner() {
    let pool =
        SimPool::start(PoolSettings { difficulty: DIFFICULTY, ..PoolSettings::default() }).await.expect("a pool");
    let new_block = async {
        until("shares come", || pool.stats().accepted > 0).await;
        pool.new_block();
        // By then everybody has had it.
        until("more of them come", || pool.stats().accepted > 100).await;
    };
    let report = run_until(load(pool.addr(), 20, 100.0), new_block).await;
    let fan_out = report.expect("a report").fan_out;
    assert_eq!((fan_out.spread.count, fan_out.from_pool.count, fan_out.fewest_miners), (1, 1, 20));
    assert!(fan_out.from_pool.max_us >= fan_out.spread.max_us && fan_out.from_pool.max_us < 10_000_000, "{fan_out:?}");
    pool.shutdown().await;
}

#[tokio::test]
async fn a_server_that_gives_no_job_is_an_error_that_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let settings = LoadSettings { patience: Duration::from_millis(100), ..load(address, 2, 1.0) };
    let error = run(settings).await.expect_err("nobody answers");
    assert!(matches!(error, LoadError::NoJob { connected: 2, .. }), "{error}");
}
