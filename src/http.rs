//! A client for one HTTP server: plain or TLS, bounded in time and bytes, and faithful to the host that the operator wrote.
//!
//! | answer | |
//! |---|---|
//! | a redirect to the same scheme, host and port | followed, up to [`MAX_REDIRECTS`] times, if nothing but a document was asked for |
//! | any other redirect | [`HttpError::Redirect`]: headers may hold secrets, and an address that moved is the operator's to write |
//! | more than [`MAX_BODY`] bytes | [`HttpError::TooLarge`] |
//!
//! Knows nothing of what is in an answer. There is no way to switch verification of certificates off (`tls.rs`).

use std::{error::Error, fmt, time::Duration};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::{Bytes, Incoming},
    header,
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;
use url::Url;

use crate::tls::{self, TlsError, Trust};

/// Bytes of an answer: a year of hourly prices is a quarter of it.
pub const MAX_BODY: usize = 1024 * 1024;

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
    #[error("the answer is longer than {MAX_BODY} bytes")]
    TooLarge,
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

/// A client with connections of its own.
pub struct HttpClient {
    client: AnyClient,
}

enum AnyClient {
    Plain(Client<HttpConnector, Full<Bytes>>),
    Tls(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

impl HttpClient {
    /// For servers without TLS, or with. Reads the system's roots from disk, where they are needed.
    ///
    /// # Errors
    /// [`HttpError::Setup`] if there are none.
    pub fn new(tls: bool, pin: Option<[u8; 32]>) -> Result<Self, HttpError> {
        let mut builder = Client::builder(TokioExecutor::new());
        // One source asks one server, one question at a time.
        builder.pool_max_idle_per_host(1);
        let client = if tls {
            let config = tls::client_config(Trust::configured(pin)?)?;
            let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
            AnyClient::Tls(builder.build(connector))
        } else {
            AnyClient::Plain(builder.build_http())
        };
        Ok(Self { client })
    }

    /// Asks for a document. All of it, redirects too, shares `within`.
    ///
    /// # Errors
    /// [`HttpError`] if there is no whole answer; an answer that says no is an answer.
    pub async fn get(&self, url: &Url, headers: &HeaderMap, within: Duration) -> Result<Answer, HttpError> {
        self.send(Method::GET, url, headers, Bytes::new(), within).await
    }

    /// Makes any request. Only a `GET` is sent on to where a redirect points: what does something is done where the operator wrote.
    ///
    /// # Errors
    /// [`HttpError`] if there is no whole answer; the request may have been heard all the same. An answer that says no is an answer.
    pub async fn send(
        &self,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
        body: Bytes,
        within: Duration,
    ) -> Result<Answer, HttpError> {
        match timeout(within, self.follow(method, url, headers, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(HttpError::Timeout(within)),
        }
    }

    async fn follow(&self, method: Method, url: &Url, headers: &HeaderMap, body: Bytes) -> Result<Answer, HttpError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.ask(&method, &url, headers, body.clone()).await?;
            // 304 is about what we have, 300 has no one place to go.
            let moves = answer.status.is_redirection() && !matches!(answer.status.as_u16(), 300 | 304);
            let Some(location) = answer.headers.get(header::LOCATION).filter(|_| moves) else { return Ok(answer) };
            let next = location.to_str().ok().and_then(|location| url.join(location).ok());
            let Some(next) = next else { return Err(HttpError::Redirect("no address".to_owned())) };
            if next.origin() != url.origin() || method != Method::GET {
                return Err(HttpError::Redirect(format!("{}{}", next.origin().ascii_serialization(), next.path())));
            }
            url = next;
        }
        Err(HttpError::Redirect("itself, again and again".to_owned()))
    }

    async fn ask(&self, method: &Method, url: &Url, headers: &HeaderMap, body: Bytes) -> Result<Answer, HttpError> {
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .body(Full::new(body))
            .map_err(|error| HttpError::Connection(format!("not an address: {error}")))?;
        request.headers_mut().clone_from(headers);
        let sent = match &self.client {
            AnyClient::Plain(client) => client.request(request).await,
            AnyClient::Tls(client) => client.request(request).await,
        };
        let (parts, body) = sent.map_err(|error| HttpError::Connection(causes(&error)))?.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body: whole(body).await? })
    }
}

async fn whole(body: Incoming) -> Result<Bytes, HttpError> {
    let collected = Limited::new(body, MAX_BODY).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.downcast_ref::<LengthLimitError>().is_some() {
            HttpError::TooLarge
        } else {
            HttpError::Connection(causes(&*error))
        }
    })
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
