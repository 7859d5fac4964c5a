//! Who listens to events hears each of them once, goes on where it was, and holds nobody up.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use hashgate::api::{HEARTBEAT, MAX_STREAMS, SLOW};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout},
};

use crate::site::{CONTROL, LIMIT, READ, Site};

/// A stream as it comes over the wire.
struct Stream {
    socket: TcpStream,
    text: String,
}

impl Stream {
    /// Asks for the events, behind `last` if there is one.
    async fn open(site: &Site, last: Option<&str>) -> Self {
        Self::on(TcpStream::connect(site.address).await.unwrap(), last).await
    }

    async fn on(mut socket: TcpStream, last: Option<&str>) -> Self {
        let last = last.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let request = format!(
            "GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nAuthorization: Bearer {READ}\r\n{last}\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        Self { socket, text: String::new() }
    }

    /// Reads until this came; all that came.
    async fn until(&mut self, wanted: &str) -> &str {
        let read = async {
            while !self.text.contains(wanted) {
                let mut bytes = [0; 16_384];
                let read = self.socket.read(&mut bytes).await.unwrap();
                assert!(read > 0, "it ended without {wanted:?}: {}", self.text);
                self.text.push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        };
        timeout(LIMIT, read).await.unwrap_or_else(|_| panic!("no {wanted:?}"));
        &self.text
    }

    /// The events of all that came, in order: ids and words.
    fn events(&self) -> Vec<(String, String)> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix("data: "));
        let events = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
        events
            .filter(|event| event["id"].is_string())
            .map(|event| (text(&event, "id"), text(&event, "words")))
            .collect()
    }
}

async fn order(site: &Site, why: &str) {
    let body = json!({ "why": why }).to_string();
    let (status, _) = site.ask(Method::POST, "/api/v1/groups/hall-a/drain", Some(CONTROL), &body).await;
    assert_eq!(status, StatusCode::OK);
}

/// Orders, and bytes of the reason of each: more than sockets (2.5 MiB to begin with, on loopback) and the server keep for who reads nothing.
const ORDERS: usize = 16_000;
const WHY: usize = 250;

/// All on one connection, one after the other.
async fn many_orders(site: &Site) {
    let body = json!({ "why": "x".repeat(WHY) }).to_string();
    let request = format!(
        "POST /api/v1/groups/hall-a/drain HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {CONTROL}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut socket = TcpStream::connect(site.address).await.unwrap();
    let (mut from, mut to) = socket.split();
    let write = async {
        for _ in 0..ORDERS {
            to.write_all(request.as_bytes()).await.unwrap();
        }
    };
    let read = async {
        let (mut text, mut answers) = (String::new(), 0);
        while answers < ORDERS {
            let mut bytes = [0; 65_536];
            let read = from.read(&mut bytes).await.unwrap();
            assert!(read > 0, "it ended after {answers} answers");
            text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
            let whole = text.matches("\"words\":[").count();
            answers += whole;
            text.drain(..text.rfind("\"words\":[").map_or(0, |at| at + 9));
        }
    };
    timeout(2 * LIMIT, async { tokio::join!(write, read) }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_hears_what_happens_and_goes_on_where_it_was() {
    let site = Site::start().await;
    let mut first = Stream::open(&site, None).await;
    let head = first.until("retry: 2000").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("content-type: text/event-stream"), "{head}");
    assert!(head.contains("cache-control: no-store") && head.contains("x-accel-buffering: no"), "{head}");
    for why in ["one", "two", "three"] {
        order(&site, why).await;
    }
    first.until("three").await;
    let heard = first.events();
    let of = |why: &str| heard.iter().filter(|(_, words)| words.ends_with(&format!(": {why}"))).count();
    assert_eq!(["one", "two", "three"].map(of), [1, 1, 1], "{heard:?}");

    // Gone for a while; it goes on behind what it saw last, and hears nothing twice.
    drop(first);
    order(&site, "four").await;
    let seen = heard.iter().position(|(_, words)| words.ends_with(": two")).unwrap();
    let mut second = Stream::open(&site, Some(&heard[seen].0)).await;
    second.until("four").await;
    let words: Vec<String> = second.events().into_iter().map(|(_, words)| words).collect();
    let told: Vec<&str> = words.iter().filter_map(|words| words.rsplit(": ").next()).collect();
    assert!(told.contains(&"three") && told.contains(&"four") && !told.contains(&"two"), "{told:?}");

    // Of another run of the proxy it is told that it missed something, and gets all there is.
    let mut third = Stream::open(&site, Some("1000-7")).await;
    let text = third.until("four").await;
    assert!(text.contains("event: missed\ndata: {\"missed\":null}"), "{text}");
    assert!(third.events().iter().any(|(_, words)| words.contains("was started")));

    // The page says the same, the newest first, and can be filtered.
    let (_, page) = site.ask(Method::GET, "/api/v1/events?kind=operator&limit=2", Some(READ), "").await;
    let words: Vec<&str> = page["events"].as_array().unwrap().iter().map(|e| e["words"].as_str().unwrap()).collect();
    assert!(words.len() == 2 && words[0].ends_with(": four") && words[1].ends_with(": three"), "{page}");
    let (_, page) = site.ask(Method::GET, "/api/v1/events?about=nobody", Some(READ), "").await;
    assert_eq!(page["events"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_stream_gives_signs_of_life_and_ends_with_the_proxy() {
    let site = Site::start().await;
    let mut stream = Stream::open(&site, None).await;
    stream.until("retry").await;
    let begun = Instant::now();
    stream.until(": still here\n\n").await;
    assert!(begun.elapsed() < 2 * HEARTBEAT, "{:?}", begun.elapsed());
    drop(site);
    let mut rest = Vec::new();
    let ended = timeout(LIMIT, stream.socket.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "it ends when the proxy does");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_bounded_and_leave_room_for_others() {
    let site = Site::start().await;
    let mut streams = Vec::new();
    for _ in 0..MAX_STREAMS {
        let mut stream = Stream::open(&site, None).await;
        stream.until("retry").await;
        streams.push(stream);
    }
    let mut refused = Stream::open(&site, None).await;
    let text = refused.until("}").await;
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("streams_full"), "{text}");
    assert_eq!(site.refused("streams_full"), 1);
    assert_eq!(site.ask(Method::GET, "/api/v1/status", Some(READ), "").await.0, StatusCode::OK);
    // Who leaves makes room.
    drop(streams);
    let begun = Instant::now();
    loop {
        let mut stream = Stream::open(&site, None).await;
        if stream.until("\r\n\r\n").await.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(begun.elapsed() < LIMIT, "no room after {MAX_STREAMS} streams have left");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_nothing_is_cut_off_and_counted() {
    let site = Site::start().await;
    let socket = TcpSocket::new_v4().unwrap();
    // Little fits into its buffer: what is not read there waits here.
    socket.set_recv_buffer_size(4_096).unwrap();
    let slow = Stream::on(socket.connect(site.address).await.unwrap(), None).await;
    many_orders(&site).await;
    let begun = Instant::now();
    while site.refused("slow_reader") == 0 {
        assert!(begun.elapsed() < 4 * SLOW, "it is still served");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // Its connection is gone: what was sent is all there is.
    let mut slow = slow.socket;
    let mut bytes = Vec::new();
    assert!(timeout(LIMIT, slow.read_to_end(&mut bytes)).await.is_ok());
    assert!(bytes.len() < ORDERS * WHY, "{} bytes", bytes.len());
    assert_eq!(site.ask(Method::GET, "/api/v1/status", Some(READ), "").await.0, StatusCode::OK);
}
