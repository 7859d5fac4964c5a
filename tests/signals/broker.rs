//! A real MQTT broker (Debian's `mosquitto`). Where there is none, tests say so and pass; with `HASHGATE_NEED_MOSQUITTO` set they
//! fail. Several tests have it, each with its own part of it.

#![allow(dead_code)]

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Turns a skip into a failure.
pub const NEED: &str = "HASHGATE_NEED_MOSQUITTO";

/// Where Debian puts it, which is not on everybody's path.
const PLACES: [&str; 2] = ["mosquitto", "/usr/sbin/mosquitto"];

/// Longest wait for it to listen.
const LIMIT: Duration = Duration::from_secs(20);

/// The broker, until it is dropped.
pub struct Broker {
    child: Child,
    pub port: u16,
    pub folder: TempDir,
}

impl Broker {
    /// `None` where there is no mosquitto.
    pub fn start(more: &str, files: &[(&str, &str)]) -> Option<Self> {
        let program = program()?;
        // It can't be given port 0 and asked for what it got. In the moment between, somebody else may take the port: then it
        // ends, and the next one is tried.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = free.local_addr().unwrap().port();
            drop(free);
            if let Some(broker) = Self::run(program, port, more, files) {
                return Some(broker);
            }
        }
        panic!("mosquitto does not start");
    }

    /// At a port that was its own before; `None` as well where somebody else has that now.
    pub fn at(port: u16, more: &str) -> Option<Self> {
        Self::run(program()?, port, more, &[])
    }

    fn run(program: &str, port: u16, more: &str, files: &[(&str, &str)]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let config = folder.path().join("mosquitto.conf");
        let more = more.replace("{folder}", folder.path().to_str().unwrap());
        // As root it would become another user, who can't read the folder.
        let user = if rustix::process::geteuid().is_root() { "user root\n" } else { "" };
        fs::write(&config, format!("listener {port} 127.0.0.1\npersistence false\n{user}{more}\n")).unwrap();
        let mut command = Command::new(program);
        let child = command.arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut broker = Self { child, port, folder };
        broker.is_up().then_some(broker)
    }

    fn is_up(&mut self) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < LIMIT && self.child.try_wait().unwrap().is_none() {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> Option<&'static str> {
    let found = PLACES
        .into_iter()
        .find(|place| Command::new(place).arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok());
    if found.is_none() {
        assert!(std::env::var_os(NEED).is_none(), "mosquitto is not here, and {NEED} wants it");
        println!("skipped: mosquitto is not on the path");
    }
    found
}
