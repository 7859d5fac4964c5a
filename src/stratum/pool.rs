//! What pools say to us.
//!
//! Share replies come in six forms, and all must be understood:
//!
//! | form | reject |
//! |---|---|
//! | plain | `"result": null, "error": [23, "Low difficulty", null]` |
//! | false with a reason | `"result": false, "error": null, "reject-reason": "Above target"` |
//! | false alone | `"result": false, "error": null` |
//! | text | `"error": "Stale"` |
//! | slush | `"error": [code, text, traceback]` with text or numbers where they are not expected |
//! | object | `"error": {"code": 23, "message": "…", "data": null}` |

use std::{borrow::Cow, fmt};

use serde_json::{Value, value::RawValue};

use super::{Frame, Notify, NotifyError, hex_u32};

/// Characters of a pool's text that are kept.
const MAX_POOL_TEXT: usize = 200;

/// An error of a pool, whatever form it had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolError {
    /// Its code; 20 (other) where it gave none.
    pub code: i64,
    /// Its text.
    pub message: String,
}

impl PoolError {
    /// Every [label](Self::label).
    pub const LABELS: [&str; 6] = ["stale", "duplicate", "low_difficulty", "unauthorized", "not_subscribed", "other"];

    fn new(code: Option<i64>, message: impl Into<String>) -> Self {
        let message: String = message.into();
        // Codes outside the range in use (slush's −2) say less than the text.
        let code = code.filter(|code| (20..=37).contains(code)).unwrap_or_else(|| code_of(&message));
        Self { code, message: message.chars().filter(|c| !c.is_control()).take(MAX_POOL_TEXT).collect() }
    }

    fn from_value(error: &Value) -> Self {
        match error {
            Value::String(text) => Self::new(None, text.clone()),
            Value::Array(parts) => {
                let code_in = |part: &Value| part.as_i64().or_else(|| part.as_str()?.parse().ok());
                let code = parts.iter().find_map(code_in);
                let text = parts.iter().find(|part| code_in(part).is_none()).and_then(Value::as_str);
                Self::new(code, text.unwrap_or("rejected"))
            }
            Value::Object(members) => {
                let code = members.get("code").and_then(Value::as_i64);
                let text = members.get("message").and_then(Value::as_str);
                Self::new(code, text.unwrap_or("rejected"))
            }
            Value::Number(code) => Self::new(code.as_i64(), "rejected"),
            other => Self::new(None, other.to_string()),
        }
    }

    /// A label for metrics: one of a fixed set, whatever the pool writes.
    pub fn label(&self) -> &'static str {
        let [known @ .., other] = Self::LABELS;
        // From 21 on, in their order.
        let place = self.code.checked_sub(21).and_then(|place| usize::try_from(place).ok());
        place.and_then(|place| known.get(place).copied()).unwrap_or(other)
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

/// The code that a text stands for, where a pool gives no code.
fn code_of(text: &str) -> i64 {
    let text = text.to_ascii_lowercase();
    let contains = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if contains(&["stale", "job not found", "unknown job", "unknown-work"]) {
        21
    } else if contains(&["duplicate"]) {
        22
    } else if contains(&["low diff", "above target", "high-hash", "high hash", "difficulty too low"]) {
        23
    } else if contains(&["unauthorized", "not authorized"]) {
        24
    } else if contains(&["not subscribed"]) {
        25
    } else {
        20
    }
}

/// What a pool says of a share (or of an authorize), in any of the six forms.
///
/// # Errors
/// The pool's reject.
pub fn share_reply(frame: &Frame<'_>) -> Result<(), PoolError> {
    let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).unwrap_or(Value::Null);
    if let Some(error) = frame.error {
        return Err(PoolError::from_value(&value(error)));
    }
    match frame.result.map(value) {
        Some(Value::Bool(true)) => Ok(()),
        // Some pools answer an object or "OK" to what they accept.
        Some(Value::Object(_) | Value::Array(_)) => Ok(()),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("ok") || text.eq_ignore_ascii_case("true") => Ok(()),
        result => {
            let reason = frame.reject_reason.map(value).and_then(|reason| reason.as_str().map(str::to_owned));
            Err(PoolError::new(
                None,
                reason.unwrap_or_else(|| match result {
                    Some(Value::String(text)) => text,
                    _ => "rejected without a reason".to_owned(),
                }),
            ))
        }
    }
}

/// The answer to our `mining.subscribe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeAnswer {
    /// Ours, fixed by the pool.
    pub extranonce1: Vec<u8>,
    /// Bytes that are ours to fill.
    pub extranonce2_size: usize,
    /// What to ask for to resume; pools put it beside `mining.notify`.
    pub session: Option<String>,
}

impl SubscribeAnswer {
    /// From the result of a reply.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(result: &RawValue) -> Result<Self, String> {
        let value: Value = serde_json::from_str(result.get()).map_err(|error| error.to_string())?;
        let extranonce1 = value.get(1).and_then(Value::as_str).ok_or("no extranonce1")?;
        let extranonce1 = hex::decode(extranonce1).map_err(|error| format!("extranonce1 {extranonce1:?}: {error}"))?;
        let extranonce2_size = value.get(2).and_then(Value::as_u64).ok_or("no extranonce2 size")?;
        let extranonce2_size = usize::try_from(extranonce2_size).map_err(|error| error.to_string())?;
        Ok(Self { extranonce1, extranonce2_size, session: session_of(value.get(0)) })
    }
}

/// `[["mining.set_difficulty", id], ["mining.notify", id]]`, or one pair alone (slush's documentation), or nothing.
fn session_of(subscriptions: Option<&Value>) -> Option<String> {
    let pairs = subscriptions?.as_array()?;
    let id_of = |pair: &Value| {
        let pair = pair.as_array()?;
        (pair.first()?.as_str()? == "mining.notify").then(|| pair.get(1)?.as_str().map(str::to_owned))?
    };
    pairs.iter().find_map(id_of).or_else(|| id_of(subscriptions?)).filter(|session| !session.is_empty())
}

/// The answer to our `mining.configure`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConfigureAnswer {
    /// The version bits that may be rolled; 0 where the pool grants none.
    pub version_mask: u32,
}

impl ConfigureAnswer {
    /// From the result of a reply. `asked` is the mask we asked for: some pools answer theirs without intersecting.
    pub fn parse(result: Option<&RawValue>, asked: u32) -> Self {
        let value = result.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok()).unwrap_or(Value::Null);
        let granted = value.get("version-rolling").and_then(Value::as_bool).unwrap_or(false);
        let mask = value.get("version-rolling.mask").and_then(Value::as_str).and_then(hex_u32);
        Self { version_mask: if granted { mask.unwrap_or(0) & asked } else { 0 } }
    }
}

/// A message of a pool that answers nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum PoolMessage<'a> {
    /// A job.
    Notify(Box<Notify>),
    /// From the next job on.
    SetDifficulty(f64),
    /// From the next job on.
    SetExtranonce {
        /// Hex, not yet decoded.
        extranonce1: Vec<u8>,
        /// Bytes that are ours.
        extranonce2_size: usize,
    },
    /// At once.
    SetVersionMask(u32),
    /// It wants us elsewhere; `None`: where we are.
    Reconnect {
        /// Host name or address.
        host: Option<String>,
        /// TCP port.
        port: Option<u16>,
        /// Seconds to wait.
        wait_s: u64,
    },
    /// Text for people.
    ShowMessage(String),
    /// It asks what we are.
    GetVersion,
    /// It asks whether we are there.
    Ping,
    /// Not known; ignored.
    Unknown(Cow<'a, str>),
}

impl<'a> PoolMessage<'a> {
    /// What a frame of a pool says. `None` if it is a reply.
    ///
    /// # Errors
    /// [`NotifyError`] names what can't be used, also for the other messages.
    pub fn parse(frame: &Frame<'a>) -> Option<Result<Self, NotifyError>> {
        let method = frame.method.clone()?;
        Some(parse(method, frame.params.map_or("[]", RawValue::get)))
    }
}

fn parse<'a>(method: Cow<'a, str>, params: &str) -> Result<PoolMessage<'a>, NotifyError> {
    if method == "mining.notify" {
        return Notify::parse(params).map(|notify| PoolMessage::Notify(Box::new(notify)));
    }
    let shape = |wanted: &str| NotifyError::Shape(format!("{method}: {wanted}"));
    let params: Value = serde_json::from_str(params).map_err(|error| shape(&error.to_string()))?;
    let text = |at: usize| params.get(at).and_then(Value::as_str).map(str::to_owned);
    let whole = |at: usize| {
        params.get(at).and_then(|value| value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok())))
    };
    Ok(match &*method {
        "mining.set_difficulty" => {
            PoolMessage::SetDifficulty(params.get(0).and_then(Value::as_f64).ok_or_else(|| shape("no number"))?)
        }
        "mining.set_extranonce" => PoolMessage::SetExtranonce {
            extranonce1: text(0).and_then(|hex| hex::decode(hex).ok()).ok_or_else(|| shape("extranonce1 is no hex"))?,
            extranonce2_size: whole(1).and_then(|size| size.try_into().ok()).ok_or_else(|| shape("no size"))?,
        },
        "mining.set_version_mask" => PoolMessage::SetVersionMask(
            text(0).and_then(|hex| hex_u32(hex.as_bytes())).ok_or_else(|| shape("mask is no hex"))?,
        ),
        "client.reconnect" => PoolMessage::Reconnect {
            host: text(0).filter(|host| !host.is_empty()),
            port: whole(1).and_then(|port| port.try_into().ok()).filter(|port| *port != 0),
            wait_s: whole(2).unwrap_or(0),
        },
        "client.show_message" => {
            PoolMessage::ShowMessage(text(0).unwrap_or_default().chars().take(MAX_POOL_TEXT).collect())
        }
        "client.get_version" => PoolMessage::GetVersion,
        "mining.ping" => PoolMessage::Ping,
        _ => PoolMessage::Unknown(method),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(members: &str) -> Result<(), PoolError> {
        let line = format!(r#"{{"id":7,{members}}}"#);
        share_reply(&Frame::parse(line.as_bytes()).unwrap())
    }

    #[test]
    fn all_forms_of_a_reject_are_rejects_with_a_code() {
        for (members, code) in [
            (r#""result":null,"error":[23,"Low difficulty share",null]"#, 23),
            (r#""result":false,"error":null,"reject-reason":"Above target""#, 23),
            (r#""result":false,"error":null"#, 20),
            (r#""result":null,"error":"Stale""#, 21),
            (r#""error":["22","duplicate share",""]"#, 22),
            (r#""result":null,"error":[-2,"job not found","traceback"]"#, 21),
            (r#""result":null,"error":{"code":24,"message":"who?","data":null}"#, 24),
            (r#""result":null,"error":null"#, 20),
            (r#""result":null,"error":21"#, 21),
        ] {
            assert_eq!(reply(members).unwrap_err().code, code, "{members}");
        }
    }

    #[test]
    fn accepts_are_accepts() {
        for members in [r#""result":true,"error":null"#, r#""result":true"#, r#""result":"OK","error":null"#] {
            assert_eq!(reply(members), Ok(()), "{members}");
        }
    }

    #[test]
    fn subscribe_answers_with_and_without_a_session() {
        let parse = |json: &str| SubscribeAnswer::parse(&RawValue::from_string(json.to_owned()).unwrap());
        let answer = parse(r#"[[["mining.set_difficulty","d1"],["mining.notify","n1"]],"08000002",4]"#).unwrap();
        assert_eq!((answer.extranonce1, answer.extranonce2_size), (vec![8, 0, 0, 2], 4));
        assert_eq!(answer.session.as_deref(), Some("n1"));
        assert_eq!(parse(r#"[["mining.notify","n2"],"08",8]"#).unwrap().session.as_deref(), Some("n2"));
        assert_eq!(parse(r#"[null,"08",8]"#).unwrap().session, None);
        assert!(parse(r#"[[],"xx",8]"#).is_err());
        assert!(parse(r#"true"#).is_err());
    }

    #[test]
    fn a_mask_is_never_more_than_we_asked_for() {
        let parse = |json: &str| {
            ConfigureAnswer::parse(Some(&RawValue::from_string(json.to_owned()).unwrap()), 0x1fff_e000).version_mask
        };
        assert_eq!(parse(r#"{"version-rolling":true,"version-rolling.mask":"ffffffff"}"#), 0x1fff_e000);
        assert_eq!(parse(r#"{"version-rolling":true,"version-rolling.mask":"00c00000"}"#), 0x00c0_0000);
        assert_eq!(parse(r#"{"version-rolling":false,"version-rolling.mask":"1fffe000"}"#), 0);
        assert_eq!(parse(r#"{"version-rolling":"unsupported"}"#), 0);
        assert_eq!(ConfigureAnswer::parse(None, 1).version_mask, 0);
    }

    #[test]
    fn notifications_are_told_apart() {
        let parse = |line: &str| {
            PoolMessage::parse(&Frame::parse(line.as_bytes()).unwrap()).map(|message| format!("{message:?}"))
        };
        let say = |method: &str, params: &str| {
            parse(&format!(r#"{{"id":null,"method":"{method}","params":{params}}}"#)).unwrap()
        };
        assert_eq!(say("mining.set_difficulty", "[512]"), "Ok(SetDifficulty(512.0))");
        assert_eq!(
            say("client.reconnect", r#"["eu.pool.org","3333",5]"#),
            r#"Ok(Reconnect { host: Some("eu.pool.org"), port: Some(3333), wait_s: 5 })"#
        );
        assert_eq!(say("client.reconnect", "[]"), "Ok(Reconnect { host: None, port: None, wait_s: 0 })");
        assert!(say("mining.set_difficulty", "[]").starts_with("Err"));
        assert_eq!(parse(r#"{"id":1,"result":true}"#), None);
    }
}
