//! A client for HTTP servers: plain or TLS, bounded in time, bytes and sockets, and faithful to the host that the operator wrote.
//!
//! | | it is asked ([`HttpClient::ask`]) | it is told ([`HttpClient::tell`]) |
//! |---|---|---|
//! | a redirect to the same scheme, host and port | followed if it is a `GET`, up to [`MAX_REDIRECTS`] times | [`HttpError::Redirect`], but for a `GET` |
//! | any other redirect | [`HttpError::Redirect`]: headers may hold secrets, and an address that moved is the operator's to write | as there |
//! | a body without end | [`HttpError::TooLarge`] | its status is the answer, and [`MAX_WORDS`] of the body |
//!
//! Sockets: one for each call under way, and as many idle ones to each server as the client was made with: who calls thousands
//! of servers makes it with none ([`HttpClient::idle`]). Knows nothing of what is in an answer. There is no way to switch verification of certificates off (`tls.rs`).

use std::{error::Error, fmt, time::Duration};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::timeout;
use url::Url;

use crate::{
    config::ServerTrust,
    tls::{self, Shown, TlsError, Trust},
};

/// Bytes of an answer: a year of hourly prices is a quarter of it.
pub const MAX_BODY: usize = 1024 * 1024;

/// Bytes that are kept of what a server says to an order: its first line is for people.
const MAX_WORDS: usize = 4096;

/// How long a server's words to an order are waited for behind its status.
const WORDS_WITHIN: Duration = Duration::from_secs(1);

/// Redirects in a row.
const MAX_REDIRECTS: usize = 3;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// No root certificates, or the like.
    #[error("{0}")]
    Setup(String),
    /// Nobody there, no TLS, the connection broke.
    #[error("no answer: {0}")]
    Connection(String),
    /// Not in time.
    #[error("no answer in {}", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// It sends us elsewhere.
    #[error("redirects to {0}, which is not followed: write that address if you trust it")]
    Redirect(String),
    /// It does not end.
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
}

impl From<TlsError> for HttpError {
    fn from(error: TlsError) -> Self {
        Self::Setup(error.to_string())
    }
}

/// A whole answer.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// What begins behind a head.
pub enum Opened {
    /// 200: it goes on for as long as both want; its pieces are the caller's to read.
    Stream(Incoming),
    /// Anything else, whole.
    Answer(Answer),
}

/// What is asked or told.
#[derive(Debug, Clone)]
pub struct Question {
    /// How.
    pub method: Method,
    /// Where.
    pub url: Url,
    /// What goes with it; values that are secret are marked as such.
    pub headers: HeaderMap,
    /// What is sent; empty for nothing.
    pub body: Bytes,
}

/// A client with connections of its own.
pub struct HttpClient {
    client: AnyClient,
    /// Servers are asked to close the connection behind each answer.
    closes: bool,
    shown: Shown,
}

enum AnyClient {
    Plain(Client<HttpConnector, Full<Bytes>>),
    Tls(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

impl HttpClient {
    /// For one server that is asked one question at a time, without TLS or with. Reads the system's roots from disk, where they are
    /// needed.
    ///
    /// # Errors
    /// [`HttpError::Setup`] if there are none.
    pub fn new(tls: bool, pin: Option<[u8; 32]>) -> Result<Self, HttpError> {
        Self::idle(tls, pin, 1)
    }

    /// The same with so many idle connections to each server; with none, each call has a connection of its own, which ends with it.
    ///
    /// # Errors
    /// [`HttpError::Setup`] if there are no roots.
    pub fn idle(tls: bool, pin: Option<[u8; 32]>, idle: usize) -> Result<Self, HttpError> {
        Self::with(tls.then(|| Trust::configured(pin)), idle, Shown::default())
    }

    /// The same as [`HttpClient::new`], for who wants to know what the server shows of itself.
    ///
    /// # Errors
    /// [`HttpError::Setup`] if there are no roots.
    pub(crate) fn noting(tls: bool, pin: Option<[u8; 32]>, shown: Shown) -> Result<Self, HttpError> {
        Self::with(tls.then(|| Trust::configured(pin)), 1, shown)
    }

    /// The same for servers that are trusted so.
    ///
    /// # Errors
    /// [`HttpError::Setup`] if there are no roots.
    pub fn trusting(tls: bool, trusted: &ServerTrust, idle: usize) -> Result<Self, HttpError> {
        Self::with(tls.then(|| Trust::of(trusted)), idle, Shown::default())
    }

    fn with(trust: Option<Result<Trust, TlsError>>, idle: usize, shown: Shown) -> Result<Self, HttpError> {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_max_idle_per_host(idle);
        // Without a timer, idle ones would stay until the server ends them.
        builder.pool_timer(TokioTimer::new());
        let client = if let Some(trust) = trust {
            let config = tls::client_config(trust?, shown.clone())?;
            let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
            AnyClient::Tls(builder.build(connector))
        } else {
            AnyClient::Plain(builder.build_http())
        };
        Ok(Self { client, closes: idle == 0, shown })
    }

    /// The certificates that its servers have shown.
    pub(crate) fn shown(&self) -> Shown {
        self.shown.clone()
    }

    /// Asks for a document of [`MAX_BODY`] bytes at most. All of it, redirects too, shares `within`.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn get(&self, url: &Url, headers: &HeaderMap, within: Duration) -> Result<Answer, HttpError> {
        let question = Question { method: Method::GET, url: url.clone(), headers: headers.clone(), body: Bytes::new() };
        self.ask(question, MAX_BODY, within).await
    }

    /// Asks for a document of `most` bytes at most. All of it, redirects too, shares `within`.
    ///
    /// # Errors
    /// [`HttpError`] if there is no whole answer; an answer that says no is an answer.
    pub async fn ask(&self, question: Question, most: usize, within: Duration) -> Result<Answer, HttpError> {
        let whole = async {
            let (parts, body) = self.follow(question).await?.into_parts();
            Ok(Answer { status: parts.status, headers: parts.headers, body: whole(body, most).await? })
        };
        timeout(within, whole).await.unwrap_or(Err(HttpError::Timeout(within)))
    }

    /// Makes any request with an answer of [`MAX_BODY`] bytes at most.
    ///
    /// # Errors
    /// As [`ask`](Self::ask); the request may have been heard all the same.
    pub async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
        body: Bytes,
        within: Duration,
    ) -> Result<Answer, HttpError> {
        self.ask(Question { method, url: url.clone(), headers: headers.clone(), body }, MAX_BODY, within).await
    }

    /// Asks for what goes on and on. Its head, and the whole of an answer that says no, come `within`.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn open(&self, question: Question, within: Duration) -> Result<Opened, HttpError> {
        let begun = async {
            let (parts, body) = self.follow(question).await?.into_parts();
            if parts.status == StatusCode::OK {
                return Ok(Opened::Stream(body));
            }
            let body = whole(body, MAX_BODY).await?;
            Ok(Opened::Answer(Answer { status: parts.status, headers: parts.headers, body }))
        };
        timeout(within, begun).await.unwrap_or(Err(HttpError::Timeout(within)))
    }

    /// Gives an order. Once there is a status it was heard: of the body there is what comes soon, and its beginning.
    ///
    /// # Errors
    /// [`HttpError`] if there is no answer; an answer that says no is an answer.
    pub async fn tell(&self, question: Question, within: Duration) -> Result<Answer, HttpError> {
        let told = timeout(within, self.follow(question)).await.unwrap_or(Err(HttpError::Timeout(within)));
        let (parts, body) = told?.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body: words(body).await })
    }

    async fn follow(&self, mut question: Question) -> Result<Response<Incoming>, HttpError> {
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.request(&question).await?;
            // 304 is about what we have, 300 has no one place to go.
            let moves = answer.status().is_redirection() && !matches!(answer.status().as_u16(), 300 | 304);
            let Some(location) = answer.headers().get(header::LOCATION).filter(|_| moves) else { return Ok(answer) };
            let next = location.to_str().ok().and_then(|location| question.url.join(location).ok());
            let Some(next) = next else { return Err(HttpError::Redirect("no address".to_owned())) };
            // An order that is given twice, or with another method, is another order.
            if next.origin() != question.url.origin() || question.method != Method::GET {
                return Err(HttpError::Redirect(format!("{}{}", next.origin().ascii_serialization(), next.path())));
            }
            question.url = next;
        }
        Err(HttpError::Redirect("itself, again and again".to_owned()))
    }

    async fn request(&self, question: &Question) -> Result<Response<Incoming>, HttpError> {
        let mut request = Request::builder()
            .method(&question.method)
            .uri(question.url.as_str())
            .body(Full::new(question.body.clone()))
            .map_err(|error| HttpError::Connection(format!("not an address: {error}")))?;
        request.headers_mut().clone_from(&question.headers);
        let has_body = matches!(question.method, Method::POST | Method::PUT | Method::PATCH);
        if has_body && question.body.is_empty() {
            // As it should be said (RFC 9110, 8.6): small servers wait for a body otherwise.
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        if self.closes {
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let sent = match &self.client {
            AnyClient::Plain(client) => client.request(request).await,
            AnyClient::Tls(client) => client.request(request).await,
        };
        sent.map_err(|error| HttpError::Connection(causes(&error)))
    }
}

async fn whole(body: Incoming, most: usize) -> Result<Bytes, HttpError> {
    let collected = Limited::new(body, most).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.downcast_ref::<LengthLimitError>().is_some() {
            HttpError::TooLarge(most)
        } else {
            HttpError::Connection(causes(&*error))
        }
    })
}

/// The beginning of a body, as far as it comes.
async fn words(mut body: Incoming) -> Bytes {
    let mut words = Vec::new();
    let read = async {
        // The first frame may be long as well: only its beginning is kept.
        while let Some(Ok(frame)) = body.frame().await {
            let data = frame.into_data().unwrap_or_default();
            words.extend_from_slice(&data[..data.len().min(MAX_WORDS - words.len())]);
            if words.len() == MAX_WORDS {
                return;
            }
        }
    };
    // What did not come is not waited for.
    let _ = timeout(WORDS_WITHIN, read).await;
    words.into()
}

/// An error with what it came from: the outermost says only that something failed.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut inner = error.source();
    while let Some(cause) = inner {
        let more = cause.to_string();
        if !words.ends_with(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        inner = cause.source();
    }
    words
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} bytes", self.status, self.body.len())
    }
}
