//! The reference receiver in Python, as an AI team would start from it. Where there is no `python3`, this says so and passes; with
//! `HASHGATE_NEED_PYTHON` set it fails.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use super::*;

/// Turns a skip into a failure.
const NEED: &str = "HASHGATE_NEED_PYTHON";

const RECEIVER: &str = "deploy/ai_webhook_receiver.py";

struct Receiver {
    child: Child,
    out: BufReader<ChildStdout>,
    url: String,
}

impl Receiver {
    /// `None` where there is no Python.
    fn start() -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(RECEIVER);
        let version = Command::new("python3").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !version.is_ok_and(|status| status.success()) {
            assert!(std::env::var_os(NEED).is_none(), "python3 is not here, and {NEED} wants it");
            println!("skipped: python3 is not on the path");
            return None;
        }
        // Port 0: it prints the one that it got.
        let mut child = Command::new("python3")
            .args(["-u".as_ref(), script.as_os_str(), "127.0.0.1".as_ref(), "0".as_ref()])
            .env("AI_WEBHOOK_SECRET", SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut receiver = Self { child, out, url: String::new() };
        receiver.url = receiver.line().trim_start_matches("listening on ").to_owned();
        assert!(receiver.url.starts_with("http://127.0.0.1:"), "{}", receiver.url);
        Some(receiver)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_receiver_in_python_keeps_to_the_agreement() {
    let Some(mut receiver) = Receiver::start() else { return };
    let (url, status) = (format!("{}/lease", receiver.url), format!("{}/status", receiver.url));
    let hook = webhook(&url, &status, LIMIT);
    let idle = hook.status().await.unwrap();
    assert_eq!((idle.epoch, idle.drawn.watts.get(), &*idle.state), (Epoch(0), 0.0, "idle"));

    assert_eq!(hook.tell(grant(1)).await, Ok(LeaseAnswer::Taken));
    assert_eq!(receiver.line(), "start 10.0 kW for lease 7-1");
    let running = hook.status().await.unwrap();
    assert_eq!((running.epoch, running.drawn.watts.get(), &*running.state), (Epoch(7), 10_000.0, "running"));
    assert_eq!(hook.tell(grant(1)).await, Ok(LeaseAnswer::Taken), "a renewal");
    assert_eq!(hook.tell(grant_in(6, 1)).await, Ok(LeaseAnswer::Refused), "a lower epoch");
    assert_eq!(hook.tell(grant(2)).await, Ok(LeaseAnswer::Taken));
    assert_eq!(receiver.line(), "start 10.0 kW for lease 7-2", "a renewal starts nothing");
    assert_eq!(hook.status().await.unwrap().drawn.watts.get(), 20_000.0);

    // A controller that is older may ask back, and so may any.
    let older = LeaseMessage { epoch: Epoch(3), ..revoke(1) };
    assert_eq!(hook.tell(older).await, Ok(LeaseAnswer::Released));
    assert!(receiver.line().starts_with("stop lease 7-1 until "));
    assert_eq!(hook.tell(revoke(1)).await, Ok(LeaseAnswer::Released), "again");
    assert_eq!(hook.tell(grant(1)).await, Ok(LeaseAnswer::Refused), "it was asked back before");
    let everything = LeaseMessage { lease: LeaseId::EVERYTHING, ..revoke(1) };
    assert_eq!(hook.tell(everything).await, Ok(LeaseAnswer::Released));
    assert!(receiver.line().starts_with("stop lease 7-2 until "), "asking back once stops once");
    assert_eq!(hook.status().await.unwrap().drawn.watts.get(), 0.0);

    let stranger = webhook_with(&url, &status, LIMIT, "another");
    assert!(matches!(stranger.tell(grant(3)).await, Err(DriverError::Refused(why)) if why.contains("signature")));
    assert!(matches!(stranger.status().await, Err(DriverError::Refused(_))));
    assert_eq!(raw(&url, -400, "{}").await, 401, "signed too long ago");
    assert_eq!(raw(&url, 0, "{").await, 400, "signed, and no message");
    assert_eq!(raw(&url, 0, "{\"id\":1,\"epoch\":\"x\",\"type\":2}").await, 400);
    assert_eq!(hook.tell(grant(3)).await, Ok(LeaseAnswer::Taken), "it is well after all that");
}

/// Posts a body as it is, signed so many seconds from now; the status of the answer.
async fn raw(url: &str, seconds: i64, body: &str) -> u16 {
    let signed = signature::sign(SECRET.as_bytes(), soon(seconds).as_second(), body.as_bytes());
    let mut headers = hyper::HeaderMap::new();
    headers.insert("x-signature", signed.parse().unwrap());
    let client = crate::http::HttpClient::new(false, None).unwrap();
    let body = hyper::body::Bytes::copy_from_slice(body.as_bytes());
    client.send(hyper::Method::POST, &url.parse().unwrap(), &headers, body, LIMIT).await.unwrap().status.as_u16()
}

#[test]
fn the_receiver_in_python_is_short_enough_to_be_read() {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(RECEIVER)).unwrap();
    assert!(text.lines().count() <= 60, "{} lines", text.lines().count());
}
