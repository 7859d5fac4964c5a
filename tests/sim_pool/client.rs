//! A miner of a few lines: raw TCP, its own arithmetic, no code of the crate.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long any answer may take; reached only when a test fails.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A job as it came over the wire.
#[derive(Debug, Clone)]
pub struct WireJob {
    pub id: String,
    pub prevhash: Vec<u8>,
    pub coinb1: Vec<u8>,
    pub coinb2: Vec<u8>,
    pub branches: Vec<Vec<u8>>,
    pub version: u32,
    pub nbits: u32,
    pub ntime: u32,
    pub clean: bool,
}

/// A share to submit.
#[derive(Debug, Clone)]
pub struct Share {
    pub job: String,
    pub extranonce2: String,
    pub ntime: u32,
    pub nonce: u32,
    pub bits: Option<u32>,
    /// Display order.
    pub hash: String,
}

pub struct Client {
    reader: BufReader<TcpStream>,
    next_id: u64,
    next_extranonce2: u64,
    pub extranonce1: Vec<u8>,
    pub extranonce2_size: usize,
    pub session: String,
    pub difficulty: Option<f64>,
    pub jobs: Vec<WireJob>,
    /// Notifications of other kinds, oldest first.
    pub other: Vec<Value>,
}

impl Client {
    pub async fn connect(addr: SocketAddr) -> Client {
        Client::over(timeout(LIMIT, TcpStream::connect(addr)).await.expect("connects in time").expect("connects"))
    }

    /// Over a socket that the test has prepared.
    pub fn over(socket: TcpStream) -> Client {
        Client {
            reader: BufReader::new(socket),
            next_id: 1,
            next_extranonce2: 0,
            extranonce1: Vec::new(),
            extranonce2_size: 0,
            session: String::new(),
            difficulty: None,
            jobs: Vec::new(),
            other: Vec::new(),
        }
    }

    /// Subscribed, authorized as `"w"` and with a job in hand.
    pub async fn mining(addr: SocketAddr) -> Client {
        let mut client = Client::connect(addr).await;
        client.subscribe(json!(["test/1"])).await;
        assert_eq!(client.call("mining.authorize", json!(["w", "x"])).await["result"], true);
        client.job().await;
        client
    }

    pub async fn subscribe(&mut self, params: Value) {
        let reply = self.call("mining.subscribe", params).await;
        self.session = reply["result"][0][0][1].as_str().expect("a session id").to_owned();
        self.extranonce1 = hex::decode(reply["result"][1].as_str().expect("extranonce1")).expect("hex");
        self.extranonce2_size = usize::try_from(reply["result"][2].as_u64().expect("a size")).expect("small");
    }

    pub async fn send(&mut self, line: &str) {
        self.reader.get_mut().write_all(format!("{line}\n").as_bytes()).await.expect("the pool reads");
    }

    /// Ends the connection; what was learned stays.
    #[allow(dead_code, reason = "not every test binary does")]
    pub async fn hang_up(&mut self) {
        // The other end may have gone first.
        let _ = self.reader.get_mut().shutdown().await;
    }

    /// One line, `None` at the end of the connection.
    pub async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = timeout(LIMIT, self.reader.read_line(&mut line)).await.expect("a line in time");
        read.ok().filter(|bytes| *bytes > 0).map(|_| line)
    }

    /// Sends a request and returns its answer; what comes in between is taken note of.
    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&json!({"id": id, "method": method, "params": params}).to_string()).await;
        loop {
            let message = self.message().await.expect("an answer");
            if message["id"] == id {
                return message;
            }
        }
    }

    /// Reads one message, booking it if it is a notification.
    pub async fn message(&mut self) -> Option<Value> {
        let message: Value = serde_json::from_str(&self.line().await?).expect("JSON");
        let params = &message["params"];
        match message["method"].as_str() {
            Some("mining.set_difficulty") => self.difficulty = params[0].as_f64(),
            Some("mining.notify") => {
                assert!(self.difficulty.is_some(), "difficulty comes before the first job");
                self.jobs.push(wire_job(params));
            }
            Some(_) => self.other.push(message.clone()),
            None => {}
        }
        Some(message)
    }

    /// The newest job, waiting for the first.
    pub async fn job(&mut self) -> WireJob {
        while self.jobs.is_empty() {
            self.message().await.expect("a job");
        }
        self.jobs.last().expect("one at least").clone()
    }

    /// Waits for one more job.
    pub async fn next_job(&mut self) -> WireJob {
        let known = self.jobs.len();
        while self.jobs.len() == known {
            self.message().await.expect("a job");
        }
        self.job().await
    }

    /// Waits for a notification of another kind and returns its parameters.
    pub async fn notified(&mut self, method: &str) -> Value {
        loop {
            if let Some(at) = self.other.iter().position(|message| message["method"] == method) {
                return self.other.remove(at)["params"].clone();
            }
            self.message().await.expect("a notification");
        }
    }

    /// Grinds until the hash is (`true`) or is not (`false`) good enough for `difficulty`. The version is what goes into the header,
    /// the bits are what is submitted.
    pub fn grind(&mut self, job: &WireJob, difficulty: f64, good: bool, version: u32, bits: Option<u32>) -> Share {
        self.next_extranonce2 += 1;
        let mut extranonce2 = self.next_extranonce2.to_le_bytes().to_vec();
        extranonce2.resize(self.extranonce2_size, 0);
        let coinbase = [&job.coinb1[..], &self.extranonce1, &extranonce2, &job.coinb2].concat();
        let mut root = double(&coinbase);
        for branch in &job.branches {
            root = double(&[&root[..], branch].concat());
        }
        let mut header = version.to_le_bytes().to_vec();
        header.extend(job.prevhash.chunks(4).flat_map(|word| word.iter().rev()));
        header.extend_from_slice(&root);
        header.extend_from_slice(&job.ntime.to_le_bytes());
        header.extend_from_slice(&job.nbits.to_le_bytes());
        for nonce in 0..u32::MAX {
            let hash = double(&[&header[..], &nonce.to_le_bytes()].concat());
            // The leading 64 bits decide; hashes within a thousandth of the bound are left alone.
            let leading = u64::from_le_bytes(hash[24..].try_into().expect("8 bytes")) as f64;
            let bound = 65535.0 * 2f64.powi(16) / difficulty;
            if if good { leading < bound * 0.999 } else { leading > bound * 1.001 } {
                let mut display = hash;
                display.reverse();
                let extranonce2 = hex::encode(&extranonce2);
                return Share {
                    job: job.id.clone(),
                    extranonce2,
                    ntime: job.ntime,
                    nonce,
                    bits,
                    hash: hex::encode(display),
                };
            }
        }
        panic!("no such hash at difficulty {difficulty}");
    }

    /// A good unrolled share of the newest job at the difficulty last announced.
    pub async fn good_share(&mut self) -> Share {
        let job = self.job().await;
        let difficulty = self.difficulty.expect("announced");
        self.grind(&job, difficulty, true, job.version, None)
    }

    pub async fn submit(&mut self, share: &Share) -> Value {
        self.call("mining.submit", share.params("w")).await
    }
}

impl Share {
    pub fn params(&self, worker: &str) -> Value {
        let mut params = vec![
            json!(worker),
            json!(self.job),
            json!(self.extranonce2),
            json!(format!("{:08x}", self.ntime)),
            json!(format!("{:08x}", self.nonce)),
        ];
        params.extend(self.bits.map(|bits| json!(format!("{bits:08x}"))));
        Value::Array(params)
    }
}

fn double(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

fn wire_job(params: &Value) -> WireJob {
    let bytes = |value: &Value| hex::decode(value.as_str().expect("text")).expect("hex");
    let number = |value: &Value| {
        let text = value.as_str().expect("text");
        assert_eq!(text.len(), 8, "eight hex digits");
        u32::from_str_radix(text, 16).expect("hex")
    };
    assert_eq!(params.as_array().expect("a list").len(), 9);
    WireJob {
        id: params[0].as_str().expect("an id").to_owned(),
        prevhash: bytes(&params[1]),
        coinb1: bytes(&params[2]),
        coinb2: bytes(&params[3]),
        branches: params[4].as_array().expect("a list").iter().map(bytes).collect(),
        version: number(&params[5]),
        nbits: number(&params[6]),
        ntime: number(&params[7]),
        clean: params[8].as_bool().expect("a bool"),
    }
}
