//! Lines as a miner writes and reads them.
//!
//! Reading borrows from the line and leaves every value raw until somebody wants it: most lines that a load test
//! reads are `{"id":17,"result":true,"error":null}`. Writing appends to the connection's output.

use super::profile::{ConfigureForm, IdStyle, MinBitCount, SubscribeForm};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::io::Write as _;
use std::net::SocketAddr;

/// Longest text of a reject that is kept, in characters.
const MAX_ERROR_CHARS: usize = 80;

/// A line from the server: a reply or a message.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    #[serde(borrow, default)]
    pub id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub error: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "reject-reason")]
    pub reject_reason: Option<Cow<'a, str>>,
}

impl Line<'_> {
    /// The number behind a reply's id, if it is one that this style of ids would have sent.
    pub(super) fn reply_id(&self, style: IdStyle) -> Option<u64> {
        let text = self.id?.get();
        let digits = match style {
            IdStyle::Text => text.strip_prefix('"')?.strip_suffix('"')?,
            IdStyle::Counting | IdStyle::SubmitsAlways(_) => text,
        };
        digits.parse().ok()
    }

    /// Whether a reply says `true` and no error.
    pub(super) fn is_true(&self) -> bool {
        self.error.is_none() && self.result.is_some_and(|result| result.get() == "true")
    }

    /// Code and text of a refusal, in any of the forms that servers use.
    pub(super) fn refusal(&self) -> (i64, String) {
        fn text(value: Option<&Value>) -> std::str::Chars<'_> {
            value.and_then(Value::as_str).unwrap_or_default().chars()
        }
        let error = self.error.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
        let (code, text) = match &error {
            Some(Value::Array(parts)) => (parts.first().and_then(Value::as_i64), text(parts.get(1))),
            Some(Value::Object(parts)) => (parts.get("code").and_then(Value::as_i64), text(parts.get("message"))),
            Some(other) => (None, text(Some(other))),
            None => (None, self.reject_reason.as_deref().unwrap_or("no reason").chars()),
        };
        (code.unwrap_or(0), text.take(MAX_ERROR_CHARS).collect())
    }

    /// The message's parameters.
    pub(super) fn params<'b, T: Deserialize<'b>>(&'b self) -> Option<T> {
        serde_json::from_str(self.params?.get()).ok()
    }
}

/// Appends a request.
pub(super) fn request(out: &mut Vec<u8>, style: IdStyle, id: u64, method: &str, params: &Value) {
    let id = match style {
        IdStyle::Text => json!(id.to_string()),
        IdStyle::Counting | IdStyle::SubmitsAlways(_) => json!(id),
    };
    append(out, &json!({"id": id, "method": method, "params": params}));
}

/// Appends one JSON line.
pub(super) fn append(out: &mut Vec<u8>, value: &Value) {
    writeln!(out, "{value}").expect("writing to memory can't fail");
}

/// The id of an accepted share's answer in its usual form, with a number for an id; any other line is for [`Line`].
pub(super) fn plain_true(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(br#"{"id":"#)?.strip_suffix(br#","result":true,"error":null}"#)?;
    let is_plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_plain)?.parse().ok()
}

pub(super) fn configure_params(form: ConfigureForm) -> Value {
    let mut options = json!({"version-rolling.mask": format!("{:08x}", form.mask)});
    match form.min_bit_count {
        MinBitCount::Absent => {}
        MinBitCount::Number(bits) => options["version-rolling.min-bit-count"] = json!(bits),
        MinBitCount::Text(bits) => options["version-rolling.min-bit-count"] = json!(bits.to_string()),
    }
    json!([["version-rolling"], options])
}

pub(super) fn subscribe_params(
    form: SubscribeForm,
    agent: &str,
    session: Option<&str>,
    server: SocketAddr,
    seed: u64,
) -> Value {
    match (form, session) {
        (SubscribeForm::AgentAndSession, Some(session)) => json!([agent, session]),
        (SubscribeForm::AgentAndSession, None) | (SubscribeForm::Agent, _) => json!([agent]),
        (SubscribeForm::AgentAndHost, _) => json!([agent, null, server.to_string(), null]),
        // Only NiceHash's own servers check the two: any number and any 32 bytes do.
        (SubscribeForm::AgentTimestampHmac, _) => {
            json!([agent, (seed & 0xffff_ffff).to_string(), format!("{seed:064x}")])
        }
    }
}

/// What `mining.subscribe` was answered with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Subscribed {
    pub session: Option<String>,
    pub extranonce1: Vec<u8>,
    pub extranonce2_size: usize,
}

impl Subscribed {
    /// Longest session id that is sent back.
    const MAX_SESSION: usize = 128;

    pub(super) fn parse(result: &RawValue) -> Option<Self> {
        let (subscriptions, extranonce1, extranonce2_size): (Value, String, usize) =
            serde_json::from_str(result.get()).ok()?;
        let session = subscriptions
            .as_array()
            .and_then(|list| list.iter().find(|entry| entry[0] == "mining.notify"))
            .and_then(|entry| entry[1].as_str())
            .filter(|id| id.len() <= Self::MAX_SESSION)
            .map(str::to_owned);
        Some(Self { session, extranonce1: hex::decode(extranonce1).ok()?, extranonce2_size })
    }
}
