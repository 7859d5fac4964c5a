//! An HTTP call of the config's, made for one machine after the other.
//!
//! Knows where a machine's values stand in it, and what an answer's status says; knows neither what it is for, nor what is in a good
//! answer.
//!
//! | the calls of a driver go to | idle sockets | at once |
//! |---|---|---|
//! | one server | [`TURNS`] at most | [`TURNS`]: PDUs and meters are small machines; waiting for a turn is part of a call's time |
//! | each machine's own | none: each call ends its connection, so that ten thousand machines are no ten thousand sockets | as many as the caller makes |
//!
//! | status | |
//! |---|---|
//! | 2xx | was heard |
//! | 502, 503, 504 | [`DriverError::Unreachable`] |
//! | any other | [`DriverError::Refused`], with the first line of the body; secrets of headers and of the address's query are masked in it |

use std::{borrow::Cow, sync::Arc, time::Duration};

use hyper::{
    HeaderMap, Method, StatusCode,
    body::Bytes,
    header::{self, HeaderName, HeaderValue},
};
use jiff::Timestamp;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use url::Url;

use super::{BuildError, DriverError, values};
use crate::{
    config::{
        HttpCall, HttpMethod, Secret, ServerTrust,
        template::{Address, Body, Place},
    },
    http::{Answer, HttpClient, HttpError, Question},
    power::{Target, device::PowerMode},
};

/// Calls at once to one server that serves many machines.
pub const TURNS: usize = 4;

/// Characters of a server's words that are shown.
const MAX_SHOWN: usize = 200;

/// Bytes from which a word of a secret is masked in a server's words: shorter ones are words of every day.
const MIN_MASKED: usize = 6;

/// The sockets that the calls of one driver share.
#[derive(Clone)]
pub struct Line {
    client: Arc<HttpClient>,
    turns: Arc<Semaphore>,
}

impl Line {
    /// For these calls.
    pub fn to(calls: &[&HttpCall]) -> Result<Self, BuildError> {
        // Which of them may have which places, each call says itself.
        let addresses = calls.iter().map(|call| Address::parse(&call.url, &Place::WAKE));
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        let idle = if addresses.iter().any(Address::has_many_hosts) { 0 } else { TURNS };
        // Those of one driver trust the same.
        let trust = calls.first().map_or(ServerTrust::System, |call| call.trust.clone());
        let client = HttpClient::trusting(addresses.iter().any(Address::is_tls), &trust, idle)?;
        Ok(Self { client: Arc::new(client), turns: Arc::new(Semaphore::new(TURNS)) })
    }

    /// When the first certificate ends that its servers have shown.
    pub fn certificate_ends(&self) -> Option<Timestamp> {
        self.client.shown().first_end()
    }

    /// With another number of calls at once to one server.
    pub fn with_turns(self, turns: usize) -> Self {
        Self { turns: Arc::new(Semaphore::new(turns)), ..self }
    }
}

/// One call.
pub struct Caller {
    method: Method,
    address: Address,
    headers: HeaderMap,
    body: Option<Body>,
    /// What no error may tell.
    secrets: Vec<Secret>,
    line: Line,
    within: Duration,
}

impl Caller {
    /// As [`Line::certificate_ends`].
    pub fn certificate_ends(&self) -> Option<Timestamp> {
        self.line.certificate_ends()
    }

    /// From the config; these places may stand in it.
    pub fn new(call: &HttpCall, allowed: &[Place], line: &Line, within: Duration) -> Result<Self, BuildError> {
        let body = call.body.as_deref().map(|body| Body::parse(body, allowed)).transpose()?;
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("hashgate/", env!("CARGO_PKG_VERSION"))));
        if let Some(body) = &body {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(body.content_type()));
        }
        for (name, value) in &call.headers {
            let header = HeaderName::try_from(&**name).ok().zip(HeaderValue::from_str(value.expose()).ok());
            let (header, mut value) = header.ok_or_else(|| BuildError::Header(name.clone()))?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        let method = match call.method {
            HttpMethod::Get => Method::GET,
            HttpMethod::Post => Method::POST,
            HttpMethod::Put => Method::PUT,
            HttpMethod::Patch => Method::PATCH,
            HttpMethod::Delete => Method::DELETE,
        };
        let secrets = call.headers.iter().map(|(_, value)| value.clone()).collect();
        let (address, line) = (Address::parse(&call.url, allowed)?, line.clone());
        Ok(Self { method, address, headers, body, secrets, line, within })
    }

    /// Gives the order: its status is the answer.
    pub async fn tell(&self, device: &Target, mode: Option<&PowerMode>) -> Result<(), DriverError> {
        self.send(self.question(device, mode)?).await
    }

    /// Gives the order with another body.
    pub async fn tell_with(&self, device: &Target, body: Bytes) -> Result<(), DriverError> {
        let question = self.question(device, None)?;
        self.send(Question { body, ..question }).await
    }

    async fn send(&self, question: Question) -> Result<(), DriverError> {
        let url = question.url.clone();
        self.call(&url, async |left| self.line.client.tell(question, left).await).await?;
        Ok(())
    }

    /// Asks for a document of `most` bytes at most.
    pub async fn ask(&self, device: &Target, most: usize) -> Result<Bytes, DriverError> {
        let question = self.question(device, None)?;
        let url = question.url.clone();
        let answer = self.call(&url, async |left| self.line.client.ask(question, most, left).await).await?;
        Ok(answer.body)
    }

    async fn call(
        &self,
        url: &Url,
        made: impl AsyncFnOnce(Duration) -> Result<Answer, HttpError>,
    ) -> Result<Answer, DriverError> {
        let (begin, place) = (Instant::now(), shown(url));
        let turn = match self.address.has_many_hosts() {
            true => None,
            // It is never closed.
            false => timeout(self.within, self.line.turns.acquire())
                .await
                .map_err(|_| DriverError::Timeout(self.within))?
                .ok(),
        };
        let answer = made(self.within.saturating_sub(begin.elapsed())).await;
        drop(turn);
        let answer = answer.map_err(|error| DriverError::of_http(&error, &place, self.within))?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let words = self.words(url, &answer.body);
        let because = if words.is_empty() { String::new() } else { format!(": {words}") };
        let words = format!("{place} answers {}{because}", answer.status);
        Err(match answer.status {
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                DriverError::Unreachable(words)
            }
            _ => DriverError::Refused(words),
        })
    }

    fn question(&self, device: &Target, mode: Option<&PowerMode>) -> Result<Question, DriverError> {
        let values = values(device, mode);
        let body = self.body.as_ref().map(|body| body.fill(&values)).transpose()?.unwrap_or_default();
        let url = self.address.fill(&values)?;
        Ok(Question { method: self.method.clone(), url, headers: self.headers.clone(), body: body.into() })
    }

    /// The first line of what a server says, printable and without our secrets: headers' values, and those of the address's query.
    fn words(&self, url: &Url, body: &[u8]) -> String {
        let mut text = String::from_utf8_lossy(body).into_owned();
        let of_headers = self.secrets.iter().map(|secret| Cow::Borrowed(secret.expose()));
        let of_query = url.query_pairs().map(|(_, value)| value);
        for secret in of_headers.chain(url.query().map(Cow::Borrowed)).chain(of_query) {
            for word in std::iter::once(&*secret).chain(secret.split_whitespace()) {
                if word.len() >= MIN_MASKED && text.contains(word) {
                    text = text.replace(word, "***");
                }
            }
        }
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        line.chars().flat_map(char::escape_debug).take(MAX_SHOWN).collect()
    }
}

/// An address without its query, which may hold a key.
pub fn shown(url: &Url) -> String {
    let more = if url.query().is_some() { "?…" } else { "" };
    format!("{}{}{more}", url.origin().ascii_serialization(), url.path())
}
