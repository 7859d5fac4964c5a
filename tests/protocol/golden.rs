//! Whole conversations, replayed line by line over sockets.
//!
//! The pool and the miners of a transcript are played by the test, the proxy between them is real. In `bf.txt` and `resume.txt`:
//!
//! | line | meaning |
//! |---|---|
//! | `pool> …`, `miner> …` | the pool, a miner says this to the proxy |
//! | `pool< …`, `miner< …` | the very next line that it hears from the proxy |
//! | `miner! leaves` | it closes its connection; the next line it says is on a new one |
//! | `<name>` | whatever the proxy says there, the same each time |

use std::{collections::HashMap, time::Duration};

use hashgate::app::Proxy;

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};

use super::{LIMIT, proxy_before};

/// One side's socket.
struct Side {
    name: String,
    stream: BufReader<TcpStream>,
}

impl Side {
    fn new(name: &str, stream: TcpStream) -> Self {
        Self { name: name.to_owned(), stream: BufReader::new(stream) }
    }

    async fn says(&mut self, line: &str) {
        self.stream.get_mut().write_all(format!("{line}\n").as_bytes()).await.expect("the proxy reads");
    }

    async fn hears(&mut self) -> String {
        let mut line = String::new();
        let read = timeout(LIMIT, self.stream.read_line(&mut line)).await;
        read.unwrap_or_else(|_| panic!("the {} heard nothing for {LIMIT:?}", self.name)).expect("the proxy stays");
        line.trim_end_matches('\n').to_owned()
    }
}

/// Matches what was heard against a line of the transcript; names in `<…>` that are new are learned.
fn matches(mut pattern: &str, mut heard: &str, known: &mut HashMap<String, String>) -> bool {
    while let Some((before, rest)) = pattern.split_once('<') {
        let (name, after) = rest.split_once('>').expect("a closing bracket");
        let Some(at_name) = heard.strip_prefix(before) else { return false };
        let end = known
            .get(name)
            .map_or_else(|| at_name.find(after.chars().next().unwrap_or('\n')).unwrap_or(at_name.len()), String::len);
        let Some((value, at_rest)) = at_name.split_at_checked(end) else { return false };
        if known.entry(name.to_owned()).or_insert_with(|| value.to_owned()) != value {
            return false;
        }
        (pattern, heard) = (after, at_rest);
    }
    pattern == heard
}

/// A line of the transcript with the names that were learned.
fn fill_in(line: &str, known: &HashMap<String, String>) -> String {
    known.iter().fold(line.to_owned(), |line, (name, value)| line.replace(&format!("<{name}>"), value))
}

async fn replay(transcript: &str, pool_section: &str) {
    let pool_socket = TcpListener::bind("127.0.0.1:0").await.expect("loopback has free ports");
    let proxy = proxy_before(pool_socket.local_addr().expect("bound"), "", pool_section).await;
    let accepted = timeout(LIMIT, pool_socket.accept()).await.expect("the proxy comes to its pool");
    let pool = Side::new("pool", accepted.expect("a socket").0);
    let mut sides = HashMap::from([("pool".to_owned(), pool)]);
    let mut known = HashMap::from([("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
    for (number, line) in (1..).zip(transcript.lines()) {
        let Some((side, text)) = line.split_once(' ').filter(|(side, _)| *side != "#") else { continue };
        let (name, says) = side.split_at(side.len() - 1);
        if says == "!" {
            assert_eq!(text, "leaves", "line {number}");
            drop(sides.remove(name));
            wait_until_parked(&proxy).await;
            continue;
        }
        if !sides.contains_key(name) {
            let stream = TcpStream::connect(proxy.addresses()[0]).await.expect("the proxy listens");
            sides.insert(name.to_owned(), Side::new(name, stream));
        }
        let side = sides.get_mut(name).expect("inserted above");
        if says == ">" {
            side.says(&fill_in(text, &known)).await;
        } else {
            let heard = side.hears().await;
            assert!(
                matches(text, &heard, &mut known),
                "line {number}: the {name} heard\n  {heard}\nand should have heard\n  {}",
                fill_in(text, &known)
            );
        }
    }
    assert_eq!(proxy.shut_down(LIMIT).await, 0, "nothing is unsettled at the end");
}

/// The proxy has seen that a miner left, and keeps its lease.
async fn wait_until_parked(proxy: &Proxy) {
    let deadline = Instant::now() + LIMIT;
    while proxy.totals().router.leases_parked == 0 {
        assert!(Instant::now() < deadline, "the lease of a miner that left is not parked");
        sleep(Duration::from_millis(5)).await;
    }
}

const POOL: &str = "user = \"slush.miner1\"\npassword = \"password\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_job_of_slushs_documentation() {
    replay(include_str!("bf.txt"), POOL).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miner_that_was_away_missed_a_block() {
    replay(include_str!("resume.txt"), POOL).await;
}
