//! AI compute behind an HTTP service: signed messages go there, and its status is asked for.
//!
//! | it answers | that is |
//! |---|---|
//! | 200 with `{"state":…}` | the answer |
//! | 403 or 409 with `{"state":"refused"}` | the answer: a lower epoch, a lease that was revoked before |
//! | 401 | refused: it does not accept the signature |
//! | 429, 5xx | not reached: it is told again |
//! | anything else, a redirect too | not understood |
//! | nothing in time | no answer; it may have been heard, and is told again |
//!
//! The form of messages is `message.rs`, that of signatures `signature.rs`. A status is signed as well, over an empty body. Does not
//! repeat anything by itself. Limits: one time for the whole call, [`MAX_ANSWER`](super::message::MAX_ANSWER) bytes.

use std::time::Duration;

use hyper::{
    HeaderMap, Method, StatusCode,
    body::Bytes,
    header::{self, HeaderName, HeaderValue},
};
use jiff::Timestamp;

use super::{
    Compute,
    message::{Answer, Message, Observer, quoted},
    signature,
};
use crate::{
    config::{HttpUrl, Secret, ServerTrust},
    http::{self, HttpClient, HttpError, Question},
    power::{
        actuator::{Call, DriverError},
        site::{LeaseAnswer, LeaseMessage, Status},
    },
    profit::Ratio,
};

/// One block's service.
pub struct Webhook {
    client: HttpClient,
    url: HttpUrl,
    status: HttpUrl,
    secret: Secret,
    timeout: Duration,
    pue: Ratio,
    observer: Observer,
}

impl Webhook {
    /// For a service that takes messages at `url` and tells its status at `status`. `pue`: watts at the site meter for each of the machines.
    ///
    /// # Errors
    /// [`HttpError::Setup`] if TLS is wanted and the system has no root certificates: they are read from disk here.
    pub fn new(
        url: HttpUrl,
        status: HttpUrl,
        secret: Secret,
        trust: &ServerTrust,
        timeout: Duration,
        pue: Ratio,
    ) -> Result<Self, HttpError> {
        let tls = [&url, &status].iter().any(|url| url.expose().scheme() == "https");
        let client = HttpClient::trusting(tls, trust, 1)?;
        Ok(Self { client, url, status, secret, timeout, pue, observer: Observer::default() })
    }

    async fn call(&self, method: Method, url: &HttpUrl, body: Vec<u8>) -> Result<http::Answer, DriverError> {
        let (headers, body) = (self.headers(&body), Bytes::from(body));
        let question = Question { method, url: url.expose().clone(), headers, body };
        // Pages about errors may be long, and the status says more than that; an answer may not (`message.rs`).
        let answer = self.client.ask(question, http::MAX_BODY, self.timeout).await.map_err(|error| match error {
            HttpError::Timeout(within) => DriverError::Timeout(within),
            HttpError::Setup(_) | HttpError::Connection(_) => DriverError::Unreachable(format!("{url}: {error}")),
            HttpError::Redirect(_) | HttpError::TooLarge(_) => DriverError::Garbled(format!("{url}: {error}")),
        })?;
        match answer.status {
            StatusCode::UNAUTHORIZED => {
                let why = "signature not accepted: is the secret the same and the clock right?";
                Err(DriverError::Refused(format!("{url}: {why}")))
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(DriverError::Unreachable(format!("{url} answers {status}: {}", quoted(&answer.body))))
            }
            _ => Ok(answer),
        }
    }

    fn headers(&self, body: &[u8]) -> HeaderMap {
        const NAME: HeaderName = HeaderName::from_static("x-signature");
        debug_assert!(signature::HEADER.eq_ignore_ascii_case(NAME.as_str()));
        let signed = signature::sign(self.secret.expose().as_bytes(), Timestamp::now().as_second(), body);
        let mut headers = HeaderMap::new();
        headers.insert(NAME, HeaderValue::try_from(signed).expect("digits fit into a header"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("hashgate/", env!("CARGO_PKG_VERSION"))));
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers
    }

    async fn told(&self, message: LeaseMessage) -> Result<LeaseAnswer, DriverError> {
        let message = Message::new(&message, self.pue);
        let answer = self.call(Method::POST, &self.url, message.to_json()).await?;
        match answer.status {
            StatusCode::OK => {
                Answer::read(&answer.body).and_then(|said| said.to(message.kind)).map_err(|error| self.about(error))
            }
            StatusCode::FORBIDDEN | StatusCode::CONFLICT => match Answer::read(&answer.body) {
                Ok(said @ Answer { state: LeaseAnswer::Refused }) => {
                    said.to(message.kind).map_err(|error| self.about(error))
                }
                _ => Err(unexpected(&self.url, &answer)),
            },
            _ => Err(unexpected(&self.url, &answer)),
        }
    }

    async fn asked(&self, asked: Timestamp) -> Result<Status, DriverError> {
        let answer = self.call(Method::GET, &self.status, Vec::new()).await?;
        if answer.status != StatusCode::OK {
            return Err(unexpected(&self.status, &answer));
        }
        self.observer.read(&answer.body, asked).map_err(|error| at(&self.status, error))
    }

    fn about(&self, error: DriverError) -> DriverError {
        at(&self.url, error)
    }
}

impl Compute for Webhook {
    fn tell(&self, message: LeaseMessage) -> Call<'_, LeaseAnswer> {
        Box::pin(self.told(message))
    }

    fn status(&self) -> Call<'_, Status> {
        Box::pin(self.asked(Timestamp::now()))
    }

    fn certificate_ends(&self) -> Option<Timestamp> {
        self.client.shown().first_end()
    }
}

/// An error with the place that it is about.
fn at(url: &HttpUrl, error: DriverError) -> DriverError {
    match error {
        DriverError::Garbled(what) => DriverError::Garbled(format!("{url}: {what}")),
        DriverError::Refused(what) => DriverError::Refused(format!("{url}: {what}")),
        other => other,
    }
}

fn unexpected(url: &HttpUrl, answer: &http::Answer) -> DriverError {
    DriverError::Garbled(format!("{url} answers {}: {}", answer.status, quoted(&answer.body)))
}
