//! Just enough HTTP to ask the proxy and the simulated site: one request to a connection, JSON both ways.

// Each bench that includes this file uses a part of it.
#![allow(dead_code)]

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

/// Who is asked, and as whom.
pub struct Api {
    /// `host:port`.
    pub address: String,
    /// Bearer token; empty for none.
    pub token: &'static str,
}

impl Api {
    /// What is said at a path.
    pub fn get(&self, path: &str) -> io::Result<Value> {
        self.ask("GET", path, "")
    }

    /// Puts JSON to a path.
    pub fn put(&self, path: &str, body: &str) -> io::Result<Value> {
        self.ask("PUT", path, body)
    }

    /// Listens to a stream until the other side ends it.
    pub fn listen(&self, path: &str) -> io::Result<u64> {
        let Self { address, token } = self;
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nAccept: text/event-stream\r\n\r\n"
        )?;
        io::copy(&mut stream, &mut io::sink())
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> io::Result<Value> {
        let Self { address, token } = self;
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        match head.split(' ').nth(1) {
            Some("200") => serde_json::from_str(body).map_err(io::Error::other),
            _ => Err(io::Error::other(format!("{method} {path}: {text}"))),
        }
    }
}

/// A number of an answer, by its JSON pointer; 0 where there is none.
pub fn number(value: &Value, pointer: &str) -> f64 {
    value.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0)
}
