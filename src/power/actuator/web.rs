//! HTTP calls to a firmware: JSON, one connection for each call, at the machine's own address.
//!
//! Knows how to reach a machine and what a status says; knows no firmware's paths, and logs in nowhere.
//!
//! | answer | |
//! |---|---|
//! | none, a broken one | [`DriverError::Unreachable`]: it may have been heard all the same |
//! | over [`MAX_ANSWER`] bytes | [`DriverError::Garbled`] |
//! | a redirect | [`DriverError::Refused`]: what is behind it was not asked to be trusted |
//! | 502, 503, 504 | [`DriverError::Unreachable`] |
//! | any other status that is no 2xx | [`DriverError::Refused`], in its words, secrets masked |
//!
//! Plain HTTP, as these firmwares have nothing else: who listens on the miners' network reads what is sent. So they belong into a
//! network of their own.

use std::{fmt, net::SocketAddr, time::Duration};

use hyper::{
    HeaderMap, Method, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use super::{
    BuildError, DriverError,
    trace::{Trace, masked},
};
use crate::{
    http::{Answer, HttpClient, Question},
    power::Target,
};

/// Bytes of an answer: a firmware's whole state is a few thousand.
pub const MAX_ANSWER: usize = 64 * 1024;

/// Characters of a firmware's words in an error.
pub const MAX_WORDS: usize = 200;

/// What can be called.
pub struct Web {
    client: HttpClient,
    port: u16,
    within: Duration,
    trace: Trace,
}

/// One call.
pub struct Request<'a> {
    pub method: Method,
    pub path: &'a str,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Option<&'a Value>,
    /// What nobody is shown of its answer.
    pub secrets: &'a [&'a str],
}

/// What came back, whatever its status.
pub struct Reply {
    answer: Answer,
    place: String,
    secrets: Vec<String>,
}

impl<'a> Request<'a> {
    /// Without headers and body.
    pub fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, headers: Vec::new(), body: None, secrets: &[] }
    }
}

impl Web {
    /// For machines that listen on this port.
    pub fn new(port: u16, within: Duration, trace: Trace) -> Result<Self, BuildError> {
        Ok(Self { client: HttpClient::idle(false, None, 0)?, port, within, trace })
    }

    /// All that one order or reading takes has the time of one.
    pub async fn in_time<T>(&self, calls: impl Future<Output = Result<T, DriverError>>) -> Result<T, DriverError> {
        timeout(self.within, calls).await.unwrap_or(Err(DriverError::Timeout(self.within)))
    }

    /// Makes a call. Any status is an answer.
    pub async fn call(&self, device: &Target, request: Request<'_>) -> Result<Reply, DriverError> {
        let address = device.address.ok_or(DriverError::NoAddress)?;
        let url = format!("http://{}{}", SocketAddr::new(address.to_canonical(), self.port), request.path);
        let url = Url::parse(&url).map_err(|error| DriverError::Refused(format!("{url}: {error}")))?;
        let place = format!("{} {url}", request.method);
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("hashgate/", env!("CARGO_PKG_VERSION"))));
        if request.body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.extend(request.headers.into_iter().map(|(name, value)| (Some(name), value)));
        let body = request.body.map(Value::to_string).unwrap_or_default();
        self.trace.sent(&place, &body, request.secrets);
        let question = Question { method: request.method, url, headers, body: body.into() };
        let answer = self.client.ask(question, MAX_ANSWER, self.within).await;
        let answer = answer.map_err(|error| DriverError::of_http(&error, &place, self.within))?;
        self.trace.answered(&answer.status, &answer.body, request.secrets);
        Ok(Reply { answer, place, secrets: request.secrets.iter().map(ToString::to_string).collect() })
    }
}

impl Reply {
    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.answer.status
    }

    /// A header of it, if it is a text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.answer.headers.get(name)?.to_str().ok()
    }

    /// Only a good one.
    pub fn good(self) -> Result<Self, DriverError> {
        if self.answer.status.is_success() {
            return Ok(self);
        }
        Err(match self.answer.status {
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                DriverError::Unreachable(self.to_string())
            }
            _ => DriverError::Refused(self.to_string()),
        })
    }

    /// The document in it.
    pub fn json(&self) -> Result<Value, DriverError> {
        serde_json::from_slice(&self.answer.body).map_err(|_| self.garbled("what is no JSON"))
    }

    /// A number in its document.
    pub fn number(&self, pointer: &str) -> Result<f64, DriverError> {
        let found = self.json()?.pointer(pointer).and_then(Value::as_f64);
        found.ok_or_else(|| self.garbled(&format!("no number at {pointer}")))
    }

    /// What is wrong with it, and what it is.
    pub fn garbled(&self, wrong: &str) -> DriverError {
        DriverError::Garbled(format!("{wrong}: {self}"))
    }

    /// The login that it answers was not taken.
    pub fn login_refused(&self, user: &str) -> DriverError {
        DriverError::Refused(format!("the login of {user:?} was not taken: {self}"))
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secrets: Vec<&str> = self.secrets.iter().map(String::as_str).collect();
        let words = masked(&self.answer.body, &secrets, MAX_WORDS);
        let behind = if words.is_empty() { "" } else { ": " };
        write!(f, "{} answers {}{behind}{words}", self.place, self.answer.status)
    }
}
