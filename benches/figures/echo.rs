//! The bare line echo: what answering costs when nothing is understood. This bench starts itself as `figures echo` to be it.
//!
//! It is laid out as the proxy's workers are: one current-thread runtime per core, each with its own listening socket
//! (`SO_REUSEPORT`), one read buffer per thread. A line that begins as a `mining.submit` does is answered with `true` to its id and
//! nothing else is looked at; whatever else a miner says is answered with what lets it mine. Every so often a clean job is written
//! to all connections by all threads: the bare write loop that a fan-out is compared with.
//!
//! Limits: a line of 64 KiB; a peer that takes nothing is dropped.

use std::{
    cell::RefCell,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use hashgate::sim::pool::{Job, PoolSettings};
use rand::random;
use serde_json::{Value, json};
use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream},
    runtime,
    sync::mpsc,
    task::{LocalSet, spawn_local},
};

use crate::DIFFICULTY;

/// Bytes read at once, and the longest line.
const READ_BUFFER: usize = 64 * 1024;

/// As the proxy's.
const BACKLOG: i32 = 4096;

/// Clean jobs that wait for a thread; a thread that is so far behind misses one.
const JOBS: usize = 16;

/// What a submit begins with, after its id.
const SUBMIT: &[u8] = br#","method":"mining.submit""#;

/// Serves for as long as the process lives; says where on standard error.
pub fn serve(clean_every: Duration) -> io::Result<()> {
    let settings = PoolSettings { seed: random(), ..PoolSettings::default() };
    let mut job: Arc<str> = Job::template(&settings, 0, 0).notify(true).into();
    let extranonces = Arc::new(AtomicU32::new(0));
    let first = bind("127.0.0.1:0".parse().expect("an address"))?;
    let address = first.local_addr()?;
    let threads = thread::available_parallelism().map_or(1, Into::into);
    let mut listeners = vec![first];
    for _ in 1..threads {
        listeners.push(bind(address)?);
    }
    let mut rooms = Vec::new();
    for listener in listeners {
        let (to_room, jobs) = mpsc::channel(JOBS);
        rooms.push(to_room);
        let (job, extranonces) = (job.clone(), extranonces.clone());
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        thread::spawn(move || LocalSet::new().block_on(&runtime, Room::new(job, extranonces).run(listener, jobs)));
    }
    eprintln!("echo on {address}");
    if clean_every.is_zero() {
        loop {
            thread::park();
        }
    }
    let mut due = Instant::now();
    for block in 1.. {
        due += clean_every;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        job = Job::template(&settings, block, block).notify(true).into();
        for room in &rooms {
            // A full one is a thread far behind; the next job reaches it.
            let _ = room.try_send(job.clone());
        }
    }
    Ok(())
}

fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// One thread's connections.
struct Room {
    /// Those that have work.
    streams: RefCell<Slab<Rc<TcpStream>>>,
    buffer: RefCell<Box<[u8]>>,
    job: RefCell<Arc<str>>,
    extranonces: Arc<AtomicU32>,
}

impl Room {
    fn new(job: Arc<str>, extranonces: Arc<AtomicU32>) -> Rc<Self> {
        Rc::new(Self {
            streams: RefCell::default(),
            buffer: RefCell::new(vec![0; READ_BUFFER].into_boxed_slice()),
            job: RefCell::new(job),
            extranonces,
        })
    }

    async fn run(self: Rc<Self>, listener: StdListener, mut jobs: mpsc::Receiver<Arc<str>>) {
        let listener = TcpListener::from_std(listener).expect("a runtime is here");
        loop {
            tokio::select! {
                job = jobs.recv() => match job {
                    Some(job) => self.sweep(job),
                    None => return,
                },
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        // A socket that refuses is about to fail anyway.
                        let _ = stream.set_nodelay(true);
                        spawn_local(self.clone().serve(Rc::new(stream)));
                    }
                    Err(error) => eprintln!("echo can't accept: {error}"),
                },
            }
        }
    }

    /// The bare write loop.
    fn sweep(&self, job: Arc<str>) {
        for (_, stream) in self.streams.borrow().iter() {
            // Who takes nothing notices at the next share.
            let _ = stream.try_write(job.as_bytes());
        }
        *self.job.borrow_mut() = job;
    }

    async fn serve(self: Rc<Self>, stream: Rc<TcpStream>) {
        let mut client = Client { stream, key: None, partial: Vec::new(), out: Vec::new() };
        while client.stream.readable().await.is_ok() && self.turn(&mut client).is_ok() {}
        if let Some(key) = client.key {
            self.streams.borrow_mut().remove(key);
        }
    }

    /// One read, and one write of the answers to what was read.
    fn turn(&self, client: &mut Client) -> io::Result<()> {
        let mut buffer = self.buffer.borrow_mut();
        let got = match read(&client.stream, &mut buffer)? {
            Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(got) => got,
            None => return Ok(()),
        };
        let mut bytes = &buffer[..got];
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if client.partial.is_empty() {
                self.answer(line, client);
            } else {
                let mut whole = std::mem::take(&mut client.partial);
                whole.extend_from_slice(line);
                self.answer(&whole, client);
            }
        }
        client.partial.extend_from_slice(bytes);
        if client.out.is_empty() {
            return Ok(());
        }
        let written = client.stream.try_write(&client.out)?;
        if written < client.out.len() || client.partial.len() > READ_BUFFER {
            return Err(io::ErrorKind::WriteZero.into());
        }
        client.out.clear();
        Ok(())
    }

    fn answer(&self, line: &[u8], client: &mut Client) {
        let id = line.strip_prefix(br#"{"id":"#).and_then(|rest| {
            let (id, rest) = rest.split_at(rest.iter().position(|byte| *byte == b',')?);
            rest.starts_with(SUBMIT).then_some(id)
        });
        match id {
            Some(id) => {
                client.out.extend_from_slice(br#"{"id":"#);
                client.out.extend_from_slice(id);
                client.out.extend_from_slice(b",\"result\":true,\"error\":null}\n");
            }
            None => self.shake_hands(line, client),
        }
    }

    fn shake_hands(&self, line: &[u8], client: &mut Client) {
        let Ok(request) = serde_json::from_slice::<Value>(line) else { return };
        let result = match request["method"].as_str() {
            Some("mining.subscribe") => {
                let extranonce1 = self.extranonces.fetch_add(1, Ordering::Relaxed);
                json!([[["mining.notify", "0"]], format!("{extranonce1:08x}"), 8])
            }
            Some("mining.configure") => json!({"version-rolling": true, "version-rolling.mask": "1fffe000"}),
            _ => json!(true),
        };
        let out = &mut client.out;
        out.extend(format!("{}\n", json!({"id": request["id"], "result": result, "error": null})).bytes());
        if request["method"] == "mining.authorize" && client.key.is_none() {
            let difficulty = json!({"id": null, "method": "mining.set_difficulty", "params": [DIFFICULTY]});
            out.extend(format!("{difficulty}\n").bytes());
            out.extend(self.job.borrow().bytes());
            client.key = Some(self.streams.borrow_mut().insert(client.stream.clone()));
        }
    }
}

/// One connection.
struct Client {
    stream: Rc<TcpStream>,
    /// Its place in the sweep, once it was given work.
    key: Option<usize>,
    /// A line that has not ended yet.
    partial: Vec<u8>,
    out: Vec<u8>,
}

/// Reads what there is; `None` if nothing is. A read that does not fill the buffer has emptied the socket: the runtime is told so at
/// once, and not by a second read that fails.
fn read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<Option<usize>> {
    let mut got = None;
    let read = stream.try_io(Interest::READABLE, || {
        let read = rustix::io::read(stream, &mut *buffer)?;
        got = Some(read);
        if read == 0 || read == buffer.len() { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    });
    match read {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(got),
    }
}
