//! HTTP/1.1 as small firmware speaks it: one request for each connection, a length or nothing. By hand, so that an answer can end anywhere.

use std::io;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Ending, Shared};

/// Bytes of a request: a config of an Antminer is two thousand.
pub(super) const MAX_REQUEST: usize = 64 * 1024;

/// What was asked.
#[derive(Debug)]
pub(super) struct Request {
    pub method: String,
    pub path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What is answered.
#[derive(Debug)]
pub(super) struct Response {
    pub status: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
    pub ending: Ending,
}

impl Request {
    /// A header; names in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The document in its body.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    async fn read(stream: &mut TcpStream) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        let head = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at;
            }
            if bytes.len() > MAX_REQUEST || stream.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        };
        let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
        let mut lines = text.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (method, path) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut request =
            Self { method: method.to_owned(), path: path.to_owned(), headers, body: bytes.split_off(head + 4) };
        let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        if length > MAX_REQUEST {
            return Ok(None);
        }
        while request.body.len() < length {
            if stream.read_buf(&mut request.body).await? == 0 {
                return Ok(None);
            }
        }
        Ok(Some(request))
    }
}

impl Response {
    /// JSON with 200.
    pub fn json(body: &Value) -> Self {
        Self { status: "200 OK", headers: Vec::new(), body: body.to_string(), ending: Ending::Whole }
    }

    /// Words with another status.
    pub fn refusal(status: &'static str, body: &str) -> Self {
        Self { status, headers: Vec::new(), body: body.to_owned(), ending: Ending::Whole }
    }

    /// The same with another ending.
    pub fn ending(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }
}

/// Takes one request and answers it.
pub(super) async fn talk(
    mut stream: TcpStream,
    shared: &Shared,
    answer: impl AsyncFnOnce(&Request, &Shared) -> Response,
) -> io::Result<()> {
    let Some(request) = Request::read(&mut stream).await? else { return Ok(()) };
    shared.state().requests += 1;
    let response = answer(&request, shared).await;
    let body = match response.ending {
        Ending::Whole => response.body.as_str(),
        Ending::Half => half(&response.body),
        Ending::Reset => return reset(stream),
    };
    let mut head = format!("HTTP/1.1 {}\r\nContent-Type: application/json\r\nConnection: close\r\n", response.status);
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    // The length of what there is: the document is broken, and HTTP is not.
    head.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(head.as_bytes()).await?;
    stream.shutdown().await
}

/// The first half of a document.
pub(super) fn half(body: &str) -> &str {
    let mut end = body.len() / 2;
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    &body[..end]
}

/// Ends a connection with a reset: nothing is read, and what was sent is lost.
pub(super) fn reset(stream: TcpStream) -> io::Result<()> {
    socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO))
}
