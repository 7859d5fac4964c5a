//! Line by line.

use std::time::Duration;

use hashgate::{
    upstream::{Event, Settlement},
    work::Difficulty,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpSocket},
};

use super::{Router, in_time};

const NOTIFY: &str = concat!(
    r#"{"id":null,"method":"mining.notify","params":["bf","4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000","#,
    r#""0100","072f",[],"20000000","1c2ac4af","504e86b9",false]}"#
);

pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// One connection, on the pool's side.
pub struct Peer(BufReader<Box<dyn Socket>>);

impl Peer {
    pub async fn accept(listener: &TcpListener) -> Self {
        let (socket, _) = in_time("a connection", listener.accept()).await.unwrap();
        Self::over(socket)
    }

    pub fn over(socket: impl Socket + 'static) -> Self {
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
    pub async fn log_in(&mut self, extranonce1: &str) -> Value {
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

pub async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("stratum+tcp://{}", listener.local_addr().unwrap());
    (listener, url)
}

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
