//! What the task of one pool connection promises, against a scripted pool over loopback.

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use hashgate::{
    config::{Config, Env, Pool},
    upstream::{Event, Facts, Handle, Origin, Outgoing, Settlement, UpstreamIds, spawn},
    work::{Difficulty, Extranonce, Job, JobIds, JobWindow, Judge, LiveJob, Submission, SubmittedVersion, WorkSeries},
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpSocket},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, rustls};
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(10);
const NOTIFY: &str = concat!(
    r#"{"id":null,"method":"mining.notify","params":["bf","4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000","#,
    r#""0100","072f",[],"20000000","1c2ac4af","504e86b9",false]}"#
);

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what}: not in {DEADLINE:?}"))
}

// ---- the pool

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// One connection, on the pool's side.
struct Peer(BufReader<Box<dyn Socket>>);

impl Peer {
    async fn accept(listener: &TcpListener) -> Self {
        let (socket, _) = in_time("a connection", listener.accept()).await.unwrap();
        Self(BufReader::new(Box::new(socket)))
    }

    /// The next line; `None` at the end.
    async fn read(&mut self) -> Option<Value> {
        let mut line = String::new();
        in_time("a line", self.0.read_line(&mut line)).await.ok()?;
        (!line.is_empty()).then(|| serde_json::from_str(&line).expect(&line))
    }

    /// The next line, which must be this method. Yields its id and params.
    async fn expect(&mut self, method: &str) -> (Value, Value) {
        let line = self.read().await.unwrap_or_else(|| panic!("hung up instead of {method}"));
        assert_eq!(line["method"], method, "{line}");
        (line["id"].clone(), line["params"].clone())
    }

    async fn send(&mut self, line: &str) {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn answer(&mut self, id: &Value, result: Value) {
        self.send(&json!({"id": id, "result": result, "error": null}).to_string()).await;
    }

    /// Takes a login and gives a job in which every hash is a share. Yields the session id that was asked for.
    async fn log_in(&mut self, extranonce1: &str) -> Value {
        let (id, _) = self.expect("mining.configure").await;
        self.answer(&id, json!({"version-rolling": true, "version-rolling.mask": "1fffe000"})).await;
        let (id, params) = self.expect("mining.subscribe").await;
        self.answer(&id, json!([[["mining.notify", "5e55"]], extranonce1, 8])).await;
        let (id, login) = self.expect("mining.authorize").await;
        assert_eq!(login, json!(["acct", "x"]));
        self.answer(&id, json!(true)).await;
        let (id, _) = self.expect("mining.extranonce.subscribe").await;
        self.answer(&id, json!(true)).await;
        self.send(r#"{"id":null,"method":"mining.set_difficulty","params":[1e-10]}"#).await;
        self.send(NOTIFY).await;
        params[1].clone()
    }
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("stratum+tcp://{}", listener.local_addr().unwrap());
    (listener, url)
}

// ---- us

struct NoEnv;

impl Env for NoEnv {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn pool(url: &str, more: &str) -> Arc<Pool> {
    let text = format!(
        "[[listener]]\nname = \"l\"\nlisten = \"127.0.0.1:0\"\n[[pool]]\nname = \"eu\"\nurl = \"{url}\"\nuser = \"acct\"\n{more}\n"
    );
    Arc::new(Config::parse(&text, &NoEnv).expect(&text).0.pools[0].clone())
}

/// The router's side of a task.
struct Router {
    handle: Handle,
    events: mpsc::Receiver<(usize, Event)>,
}

impl Router {
    fn start(url: &str, more: &str) -> Self {
        let (sender, events) = mpsc::channel(64);
        let handle = spawn(7, pool(url, more), Arc::new(UpstreamIds::default()), sender, CancellationToken::new());
        Self { handle, events }
    }

    async fn event(&mut self) -> Event {
        let (key, event) = in_time("an event", self.events.recv()).await.expect("the task lives");
        assert_eq!(key, 7);
        event
    }

    async fn ready(&mut self) -> Arc<Facts> {
        match self.event().await {
            Event::Ready(facts) => facts,
            other => panic!("instead of ready: {other:?}"),
        }
    }

    async fn job(&mut self) -> Arc<Job> {
        match self.event().await {
            Event::Job(job) => job,
            other => panic!("instead of a job: {other:?}"),
        }
    }

    async fn lost(&mut self) -> (bool, String, Duration) {
        match self.event().await {
            Event::Lost { id, reason, retry_in } => (id.is_some(), reason, retry_in),
            other => panic!("instead of lost: {other:?}"),
        }
    }

    async fn settled(&mut self) -> (u32, Settlement) {
        match self.event().await {
            Event::Settled { outgoing, settlement } => (outgoing.origin.ticket, settlement),
            other => panic!("instead of a settlement: {other:?}"),
        }
    }

    fn submit(&self, job: &Arc<Job>, nonce: u32) {
        let series = WorkSeries::new(job.clone(), Arc::new(JobIds::starting_at(0)), 1, 4, job.version_mask);
        let mut window = JobWindow::default();
        window.push(LiveJob::new(series.first().clone(), job.pool_difficulty, job.pool_target));
        let judge = Judge {
            lease: Extranonce::new(&[0, 0, 7]).unwrap(),
            version_mask: 0,
            difficulty: job.pool_difficulty,
            target: job.pool_target,
        };
        let submission = Submission {
            job: Some(series.first().id),
            extranonce2: Extranonce::new(&[0, 0, 0, 1]).unwrap(),
            ntime: job.notify.ntime,
            nonce,
            version: SubmittedVersion::Unrolled,
        };
        let share = judge.judge(&mut window, &submission).pool_share.expect("every hash meets the target");
        let origin = Origin { worker: 0, connection: 0, ticket: nonce };
        self.handle.shares().try_send(Outgoing { share, user: "farm.07".into(), origin }).expect("room");
    }
}

// ---- promises

#[tokio::test]
async fn jobs_come_down_and_shares_go_up() {
    let (listener, url) = listener().await;
    let mut router = Router::start(&url, "");
    let mut peer = Peer::accept(&listener).await;
    assert_eq!(peer.log_in("08000002").await, Value::Null);
    let facts = router.ready().await;
    assert_eq!((&*facts.extranonce1, facts.extranonce2_size), (&[8, 0, 0, 2][..], 8));
    assert_eq!(facts.version_mask, 0x1fff_e000);
    let job = router.job().await;
    assert_eq!(job.upstream, facts.id);
    for nonce in 0..200 {
        router.submit(&job, nonce);
    }
    for nonce in 0..200u32 {
        let (id, params) = peer.expect("mining.submit").await;
        assert_eq!(params, json!(["acct", "bf", "0000000700000001", "504e86b9", format!("{nonce:08x}"), "00000000"]));
        if nonce % 2 == 0 {
            peer.answer(&id, json!(true)).await;
        } else {
            peer.send(&json!({"id": id, "result": null, "error": "Stale"}).to_string()).await;
        }
    }
    for nonce in 0..200 {
        let (ticket, settlement) = router.settled().await;
        assert_eq!((ticket, matches!(settlement, Settlement::Accepted { .. })), (nonce, nonce % 2 == 0));
    }
}

#[tokio::test]
async fn a_pool_that_hangs_up_is_back_at_once_and_gets_the_unanswered_share_again() {
    let (listener, url) = listener().await;
    let mut router = Router::start(&url, "");
    let mut peer = Peer::accept(&listener).await;
    peer.log_in("08000002").await;
    let id = router.ready().await.id;
    let job = router.job().await;
    router.submit(&job, 1);
    peer.expect("mining.submit").await;
    drop(peer);
    let (was_live, reason, retry_in) = router.lost().await;
    assert!(was_live && retry_in <= Duration::from_millis(250), "{reason}, {retry_in:?}");
    router.submit(&job, 2);
    let mut peer = Peer::accept(&listener).await;
    assert_eq!(peer.log_in("08000002").await, "5e55");
    assert_eq!(router.ready().await.id, id);
    assert!(matches!(router.event().await, Event::Resumed(resumed) if resumed == id));
    let (first, params) = peer.expect("mining.submit").await;
    assert_eq!(params[4], "00000001");
    peer.send(&json!({"id": first, "result": null, "error": [22, "Duplicate share", null]}).to_string()).await;
    let (second, _) = peer.expect("mining.submit").await;
    peer.answer(&second, json!(true)).await;
    let mut settled = Vec::new();
    while settled.len() < 2 {
        if let Event::Settled { outgoing, settlement } = router.event().await {
            settled.push((outgoing.origin.ticket, matches!(settlement, Settlement::Accepted { .. })));
        }
    }
    assert_eq!(settled, [(1, true), (2, true)]);
}

#[tokio::test]
async fn a_pool_that_is_away_is_tried_until_it_is_back() {
    // Bound, so that nobody else gets the port, but not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    let mut router = Router::start(&format!("stratum+tcp://{address}"), "");
    for _ in 0..3 {
        let (was_live, reason, _) = router.lost().await;
        assert!(!was_live && reason.contains(&address.to_string()), "{reason}");
        router.handle.connect_now();
    }
    let listener = socket.listen(16).unwrap();
    router.handle.connect_now();
    Peer::accept(&listener).await.log_in("00").await;
    while !matches!(router.event().await, Event::Ready(_)) {}
}

#[tokio::test]
async fn a_silent_pool_is_left_and_so_is_one_that_sends_no_job() {
    let (listener, url) = listener().await;
    let mut router = Router::start(&url, "reply_timeout = \"1s\"\nnotify_timeout = \"300ms\"");
    let _silent = Peer::accept(&listener).await;
    let (_, reason, _) = router.lost().await;
    assert_eq!(reason, "no answer to mining.subscribe in 1s");
    let mut jobless = Peer::accept(&listener).await;
    jobless.log_in("00").await;
    router.ready().await;
    router.job().await;
    assert_eq!(router.lost().await.1, "no job for 300ms");
}

#[tokio::test]
async fn a_refused_login_is_not_tried_again_soon() {
    let (listener, url) = listener().await;
    let mut router = Router::start(&url, "");
    let mut peer = Peer::accept(&listener).await;
    let (id, _) = peer.expect("mining.configure").await;
    peer.send(&json!({"id": id, "result": null, "error": [-3, "Method not found", null]}).to_string()).await;
    let (id, _) = peer.expect("mining.subscribe").await;
    peer.answer(&id, json!([[], "00", 4])).await;
    let (id, _) = peer.expect("mining.authorize").await;
    peer.answer(&id, json!(false)).await;
    let (_, reason, retry_in) = router.lost().await;
    assert!(reason.contains("login \"acct\" refused"), "{reason}");
    assert!(retry_in >= Duration::from_secs(60), "{retry_in:?}");
}

#[tokio::test]
async fn a_redirect_within_the_same_host_is_followed() {
    let (listener, url) = listener().await;
    let (other, _) = self::listener().await;
    let mut router = Router::start(&url, "");
    let mut peer = Peer::accept(&listener).await;
    let port = other.local_addr().unwrap().port();
    peer.send(&json!({"id": null, "method": "client.reconnect", "params": ["127.0.0.1", port, 0]}).to_string()).await;
    assert!(router.lost().await.1.contains("client.reconnect"));
    Peer::accept(&other).await.log_in("00").await;
    router.ready().await;
}

#[tokio::test]
async fn a_suggested_difficulty_is_sent_on_this_connection_and_the_next() {
    let (listener, url) = listener().await;
    let mut router = Router::start(&url, "");
    let mut peer = Peer::accept(&listener).await;
    peer.log_in("00").await;
    router.ready().await;
    router.handle.suggest_difficulty(Difficulty::new(65536.0).unwrap());
    assert_eq!(peer.expect("mining.suggest_difficulty").await.1, json!([65536]));
    drop(peer);
    let mut peer = Peer::accept(&listener).await;
    peer.log_in("00").await;
    assert_eq!(peer.expect("mining.suggest_difficulty").await.1, json!([65536]));
}

#[tokio::test]
async fn an_endless_line_is_not_followed() {
    let (listener, url) = listener().await;
    let mut router = Router::start(&url, "");
    let mut peer = Peer::accept(&listener).await;
    let flood = tokio::spawn(async move { while peer.0.get_mut().write_all(&[b' '; 64 * 1024]).await.is_ok() {} });
    let (_, reason, _) = router.lost().await;
    assert!(reason.contains("line of more than"), "{reason}");
    in_time("the end of the flood", flood).await.unwrap();
}

#[tokio::test]
async fn stopping_hangs_up_and_ends_the_events() {
    let (listener, url) = listener().await;
    let mut router = Router::start(&url, "");
    let mut peer = Peer::accept(&listener).await;
    peer.log_in("00").await;
    router.ready().await;
    router.job().await;
    router.handle.stop();
    assert_eq!(peer.read().await, None);
    assert!(in_time("the end", router.events.recv()).await.is_none());
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    let (listener, _) = listener().await;
    let port = listener.local_addr().unwrap().port();
    // Names both ::1 and 127.0.0.1 on most systems; only the latter listens.
    let mut router = Router::start(&format!("stratum+tcp://localhost:{port}"), "");
    Peer::accept(&listener).await.log_in("00").await;
    router.ready().await;
}

// ---- TLS

/// A pool with a certificate of its own making, and the certificate's fingerprint.
fn tls() -> (TlsAcceptor, String) {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let fingerprint = hex::encode(Sha256::digest(certificate.cert.der()));
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), fingerprint)
}

#[tokio::test]
async fn a_pinned_pool_is_mined_for_in_tls() {
    let (listener, url) = listener().await;
    let (acceptor, fingerprint) = tls();
    let more = format!("tls_fingerprint = \"sha256:{fingerprint}\"");
    let mut router = Router::start(&url.replace("+tcp", "+ssl"), &more);
    let (socket, _) = in_time("a connection", listener.accept()).await.unwrap();
    let stream = in_time("a handshake", acceptor.accept(socket)).await.unwrap();
    Peer(BufReader::new(Box::new(stream))).log_in("00").await;
    router.ready().await;
    router.job().await;
}

#[tokio::test]
async fn a_pool_with_another_certificate_is_told_nothing() {
    let (listener, url) = listener().await;
    let (acceptor, fingerprint) = tls();
    for more in [format!("tls_fingerprint = \"sha256:{}\"", "ab".repeat(32)), String::new()] {
        let mut router = Router::start(&url.replace("+tcp", "+ssl"), &more);
        let server = async {
            let (socket, _) = listener.accept().await.unwrap();
            acceptor.accept(socket).await.is_err()
        };
        let ((_, reason, _), is_refused) = tokio::join!(router.lost(), in_time("the refusal", server));
        // Without a pin the system's roots decide; where it has none, that is the reason.
        assert!(reason.contains(&fingerprint) || reason.contains("no root certificates"), "{reason}");
        assert!(is_refused);
    }
}

#[tokio::test]
async fn a_connection_that_is_not_made_is_given_up_in_time() {
    let (listener, url) = listener().await;
    // Connects, and then says nothing to the handshake.
    let start = Instant::now();
    let more = format!("connect_timeout = \"1s\"\ntls_fingerprint = \"sha256:{}\"", "ab".repeat(32));
    let mut router = Router::start(&url.replace("+tcp", "+ssl"), &more);
    let _peer = Peer::accept(&listener).await;
    let (_, reason, _) = router.lost().await;
    assert!(reason.starts_with("no connection to 127.0.0.1:"), "{reason}");
    assert!(start.elapsed() >= Duration::from_secs(1));
}
