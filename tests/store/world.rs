//! A place for a store: a SQLite file, or a database of a real PostgreSQL server in a folder and at a port of its own, over loopback.
//! Where Debian's `postgresql` is missing, its tests say so and pass; with `HASHGATE_NEED_POSTGRES` set they fail.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use hashgate::{
    config::{Config, ProcessEnv, Store as StoreConfig},
    store::{Counts, Queue, Record, Row, Running, Store, Subject, Topic},
};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

/// Turns a skip into a failure.
const NEED: &str = "HASHGATE_NEED_POSTGRES";

/// Longest wait for anything.
pub const LIMIT: Duration = Duration::from_secs(90);

/// A place for one store, until it is dropped.
pub struct Place {
    pub folder: TempDir,
    pub server: Option<Arc<Server>>,
    /// The lines of `[store]`.
    pub lines: String,
}

impl Place {
    pub fn file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lines = format!("path = {:?}\n", folder.path().join("store.db"));
        Self { folder, server: None, lines }
    }

    /// In this server; `None` where there is none.
    pub fn postgres(server: Option<Arc<Server>>) -> Option<Self> {
        let server = server?;
        let lines = format!("url = {:?}\n", server.new_database());
        Some(Self { folder: tempfile::tempdir().unwrap(), server: Some(server), lines })
    }

    /// Both, as far as they are here.
    pub fn all() -> Vec<Self> {
        std::iter::once(Self::file()).chain(apart(|| Self::postgres(Server::shared()))).collect()
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }

    pub fn url(&self) -> &str {
        self.lines.split('"').nth(1).unwrap()
    }

    pub fn config(&self, more: &str) -> Arc<StoreConfig> {
        let text = format!(
            "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nurl = \"sim://\"\nuser = \"u\"\n[store]\n{}{more}",
            self.lines
        );
        let (config, _) = Config::parse(&text, &ProcessEnv { folder: ".".into() }).unwrap_or_else(|e| panic!("{e}"));
        Arc::new(config.store.unwrap())
    }

    /// A running store.
    pub fn open(&self, more: &str) -> Open {
        let config = self.config(more);
        let (queue, running) = hashgate::store::start(&config).unwrap();
        Open { store: Store::new(&config, queue.clone()), queue, running }
    }
}

pub struct Open {
    pub store: Store,
    pub queue: Arc<Queue>,
    running: Running,
}

impl Open {
    pub fn close(self) {
        assert!(self.running.join(), "the writer has panicked");
    }
}

/// A PostgreSQL server.
pub struct Server {
    folder: TempDir,
    port: u16,
    child: Mutex<Option<Child>>,
    databases: AtomicU32,
    user: Option<(u32, u32)>,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    /// One for all tests that run at the time.
    fn shared() -> Option<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Some(server);
        }
        let server = Arc::new(Self::begin()?);
        *shared = Arc::downgrade(&server);
        Some(server)
    }

    /// One of its own.
    pub fn begin() -> Option<Self> {
        if let Some(lack) = lack() {
            assert!(std::env::var_os(NEED).is_none(), "{lack}, and {NEED} wants it");
            println!("skipped: {lack}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let user = rustix::process::geteuid().is_root().then(postgres_user).flatten();
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { folder, port, child: Mutex::new(None), databases: AtomicU32::new(0), user };
        let made = server
            .command("initdb")
            .args(["--auth=trust", "--username=hashgate", "--encoding=UTF8", "--no-sync", "--locale=C", "-D"])
            .arg(server.folder.path().join("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        server.start();
        Some(server)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self::program(program).unwrap());
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Starts it, or starts it again.
    pub fn start(&self) {
        let log = fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let child = self
            .command("postgres")
            .arg("-D")
            .arg(self.folder.path().join("data"))
            .args(["-p", &self.port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            .arg("-c")
            .arg(format!("unix_socket_directories={}", self.folder.path().display()))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        *self.child.lock().unwrap() = Some(child);
        let began = Instant::now();
        while postgres::Client::connect(&self.url("postgres"), postgres::NoTls).is_err() {
            let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(began.elapsed() < LIMIT, "the server does not answer: {log}");
            sleep(Duration::from_millis(50));
        }
    }

    /// Ends it at once, with all of its connections.
    pub fn stop(&self) {
        if let Some(mut child) = self.child.lock().unwrap().take() {
            // SIGQUIT: its own processes end with it, which they would not by SIGKILL.
            let pid = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
            let _ = child.wait();
        }
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://hashgate@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// The address of an empty database.
    pub fn new_database(&self) -> String {
        let name = format!("store_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut client = postgres::Client::connect(&self.url("postgres"), postgres::NoTls).unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        self.url(&name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lack() -> Option<String> {
    let missing = ["initdb", "postgres"].into_iter().find(|name| program(name).is_none());
    if let Some(missing) = missing {
        return Some(format!("{missing} is not here (Debian: postgresql)"));
    }
    let is_root = rustix::process::geteuid().is_root();
    (is_root && postgres_user().is_none()).then(|| "it refuses root, and there is no user postgres".to_owned())
}

/// Debian puts them where no path leads.
fn program(name: &str) -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin").join(name)).collect();
    found.sort();
    found.extend(["/usr/local/bin", "/usr/bin"].map(|folder| Path::new(folder).join(name)));
    found.into_iter().find(|path| path.exists())
}

fn postgres_user() -> Option<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    let line = users.lines().find(|line| line.starts_with("postgres:"))?;
    let fields: Vec<&str> = line.split(':').collect();
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// Does something on a thread of its own: a client of the server brings a runtime along, which may not run within a test's.
pub fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::spawn(work).join().unwrap()
}

/// A whole minute, so long ago.
pub fn minute(ago: SignedDuration) -> i64 {
    Timestamp::now().checked_sub(ago).unwrap().as_second().div_euclid(60) * 60
}

pub fn row(at: i64, subject: Subject, name: &str, found: u64) -> Row {
    let counts = Counts { found, work: 1000.0 * found as f64, stale: 1, connections: 2, ..Counts::default() };
    Row { at, subject, name: name.into(), counts, rejects: [("stale", 1)].into() }
}

pub fn record(at: Timestamp, topic: Topic, subject: &str, words: &str) -> Record {
    Record { at, topic, subject: subject.into(), value: None, words: words.to_owned(), data: None, key: None }
}

/// Waits for something; the deadline is for failures only.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < LIMIT, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
