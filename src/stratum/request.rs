//! What miners ask of us, with every variant form.
//!
//! | method | forms |
//! |---|---|
//! | `mining.configure` | `[[ext…], {param: …}]`; `min-bit-count` may be missing, a number or a string (BIP 310; bmminer) |
//! | `mining.subscribe` | `[]`, `[ua]`, `[ua, session]`, `[ua, null, "host:port", null]` (bosminer, LUXminer), `[ua, ts, hmac]` (NiceHash) |
//! | `mining.authorize` | `[user]`, `[user, password]` |
//! | `mining.submit` | `[user, job, extranonce2, ntime, nonce]`, a sixth: version; ntime and nonce unpadded or as numbers (NerdMiner) |
//! | `mining.suggest_difficulty` | `[n]`, also `"mining.suggest_difficulty(n)"` as the method itself |
//!
//! Limits: texts that are kept are cut to [`MAX_TEXT`] bytes.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize,
    de::{Deserializer, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Frame, RawId, Submit, hex_u32};

/// Bytes of a user name, user agent or session id that are looked at. WhatsMiner's own buffer holds 127.
pub const MAX_TEXT: usize = 255;

/// Extensions that are answered in one `mining.configure`; BIP 310 knows four.
const MAX_EXTENSIONS: usize = 16;

/// A parameter that can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Malformed {0}")]
pub struct RequestError(
    /// The parameter.
    pub &'static str,
);

/// One extension of a `mining.configure`.
#[derive(Clone, Debug, PartialEq)]
pub enum Extension<'a> {
    /// With the mask that the miner can roll; all bits if it names none.
    VersionRolling {
        /// `version-rolling.mask`.
        mask: u32,
    },
    /// With the least difficulty that the miner wants.
    MinimumDifficulty {
        /// `minimum-difficulty.value`, if it is a number.
        value: Option<f64>,
    },
    /// It understands `mining.set_extranonce`.
    SubscribeExtranonce,
    /// It tells about itself; nothing of it is needed.
    Info,
    /// Any other; answered with `false`.
    Unknown(Cow<'a, str>),
}

/// A `mining.configure`.
#[derive(Clone, Debug, PartialEq)]
pub struct Configure<'a> {
    /// In the order asked.
    pub extensions: Vec<Extension<'a>>,
}

/// What a miner sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Request<'a> {
    /// `mining.configure`.
    Configure(Configure<'a>),
    /// `mining.subscribe`.
    Subscribe {
        /// What the miner calls itself; empty if it doesn't say.
        user_agent: Cow<'a, str>,
        /// The session it wants to resume.
        session: Option<Cow<'a, str>>,
    },
    /// `mining.authorize`.
    Authorize {
        /// Worker name.
        user: Cow<'a, str>,
        /// Password, often with options; empty if there is none.
        password: Cow<'a, str>,
    },
    /// `mining.submit`.
    Submit(Submit<'a>),
    /// `mining.suggest_difficulty`.
    SuggestDifficulty(f64),
    /// `mining.suggest_target`: most significant byte first.
    SuggestTarget([u8; 32]),
    /// `mining.extranonce.subscribe`.
    ExtranonceSubscribe,
    /// `mining.multi_version`.
    MultiVersion,
    /// `mining.get_transactions`.
    GetTransactions,
    /// `mining.ping`.
    Ping,
    /// A method that we don't know.
    Unknown(Cow<'a, str>),
    /// An answer to something that we asked (`client.get_version`, a ping); needs none itself.
    Answer,
}

impl<'a> Request<'a> {
    /// What a frame from a miner means, and the id to answer to.
    ///
    /// # Errors
    /// [`RequestError`] names the parameter that can't be used.
    pub fn parse(frame: &Frame<'a>) -> (RawId<'a>, Result<Self, RequestError>) {
        (frame.id(), parse(frame))
    }
}

fn parse<'a>(frame: &Frame<'a>) -> Result<Request<'a>, RequestError> {
    let Some(method) = &frame.method else {
        return Ok(Request::Answer);
    };
    let params: Params<'a> = match frame.params {
        None => Params::default(),
        Some(raw) => serde_json::from_str(raw.get()).map_err(|_| RequestError("params"))?,
    };
    let param = |at: usize| params.first.get(at).copied().flatten();
    match &**method {
        "mining.submit" => submit(&params).map(Request::Submit),
        "mining.configure" => configure(param(0), param(1)).map(Request::Configure),
        "mining.subscribe" => Ok(Request::Subscribe {
            user_agent: cut(param(0).and_then(text).unwrap_or_default()),
            // NiceHash's second parameter is a timestamp, a number; a session id is a text.
            session: param(1).and_then(text).map(cut),
        }),
        "mining.authorize" => Ok(Request::Authorize {
            user: cut(param(0).and_then(text).ok_or(RequestError("user"))?),
            password: cut(param(1).and_then(text).unwrap_or_default()),
        }),
        "mining.suggest_difficulty" => {
            param(0).and_then(number).map(Request::SuggestDifficulty).ok_or(RequestError("difficulty"))
        }
        "mining.suggest_target" => param(0)
            .and_then(text)
            .and_then(|hex| target(&hex))
            .map(Request::SuggestTarget)
            .ok_or(RequestError("target")),
        "mining.extranonce.subscribe" => Ok(Request::ExtranonceSubscribe),
        "mining.multi_version" => Ok(Request::MultiVersion),
        "mining.get_transactions" => Ok(Request::GetTransactions),
        "mining.ping" => Ok(Request::Ping),
        "pong" | "mining.pong" => Ok(Request::Answer),
        other => match other.strip_prefix("mining.suggest_difficulty(").and_then(|rest| rest.strip_suffix(')')) {
            Some(number) => {
                number.trim().parse().map(Request::SuggestDifficulty).map_err(|_| RequestError("difficulty"))
            }
            None => Ok(Request::Unknown(cut(method.clone()))),
        },
    }
}

/// The parameters that any method has a use for, and how many there are.
#[derive(Debug, Default)]
struct Params<'a> {
    first: [Option<&'a RawValue>; 6],
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Params<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements;

        impl<'de> Visitor<'de> for Elements {
            type Value = Params<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Params<'de>, A::Error> {
                let mut params = Params::default();
                while let Some(element) = elements.next_element()? {
                    if let Some(place) = params.first.get_mut(params.count) {
                        *place = Some(element);
                    }
                    params.count += 1;
                }
                Ok(params)
            }
        }

        deserializer.deserialize_seq(Elements)
    }
}

fn submit<'a>(params: &Params<'a>) -> Result<Submit<'a>, RequestError> {
    let ([Some(user), Some(job), Some(extranonce2), Some(ntime), Some(nonce), version], 5 | 6) =
        (params.first, params.count)
    else {
        return Err(RequestError("params: 5 or 6 are wanted"));
    };
    Ok(Submit {
        user: text(user).map(cut).map(into_bytes).ok_or(RequestError("user"))?,
        job: text(job).map(into_bytes).ok_or(RequestError("job id"))?,
        extranonce2: text(extranonce2).map(into_bytes).ok_or(RequestError("extranonce2"))?,
        ntime: field(ntime).ok_or(RequestError("ntime"))?,
        nonce: field(nonce).ok_or(RequestError("nonce"))?,
        // bmminer sends an empty or null sixth parameter where it did not roll.
        version: match version {
            None => None,
            Some(raw) if matches!(raw.get(), "null" | "\"\"") => None,
            Some(raw) => Some(field(raw).ok_or(RequestError("version bits"))?),
        },
    })
}

fn configure<'a>(names: Option<&'a RawValue>, values: Option<&'a RawValue>) -> Result<Configure<'a>, RequestError> {
    let names: Vec<Cow<'a, str>> = names
        .and_then(|raw| serde_json::from_str::<Vec<&RawValue>>(raw.get()).ok())
        .and_then(|names| names.into_iter().map(text).collect())
        .ok_or(RequestError("extensions"))?;
    if names.len() > MAX_EXTENSIONS {
        return Err(RequestError("extensions: too many"));
    }
    let values: serde_json::Map<String, serde_json::Value> = match values {
        None => serde_json::Map::new(),
        Some(raw) => serde_json::from_str(raw.get()).map_err(|_| RequestError("extension parameters"))?,
    };
    let extension = |name: Cow<'a, str>| match &*name {
        "version-rolling" => Extension::VersionRolling {
            mask: values.get("version-rolling.mask").and_then(|mask| hex_u32(mask.as_str()?)).unwrap_or(u32::MAX),
        },
        "minimum-difficulty" => {
            Extension::MinimumDifficulty { value: values.get("minimum-difficulty.value").and_then(|v| v.as_f64()) }
        }
        "subscribe-extranonce" => Extension::SubscribeExtranonce,
        "info" => Extension::Info,
        _ => Extension::Unknown(cut(name)),
    };
    Ok(Configure { extensions: names.into_iter().map(extension).collect() })
}

/// A JSON string.
fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let json = raw.get();
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

fn into_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// A JSON number, or one in a string.
fn number(raw: &RawValue) -> Option<f64> {
    raw.get().trim_matches('"').parse().ok()
}

/// A header field: hex text of up to eight digits, or (tolerated) the number itself.
fn field(raw: &RawValue) -> Option<u32> {
    match text(raw) {
        Some(hex) => hex_u32(hex.as_bytes()),
        None => raw.get().parse().ok(),
    }
}

/// 32 bytes of hex; bfgminer sends 64 digits.
fn target(hex: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(hex, &mut bytes).ok()?;
    Some(bytes)
}

/// At most [`MAX_TEXT`] bytes of a text, cut between characters.
fn cut(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let end = (0..=MAX_TEXT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request<'_>, RequestError> {
        let frame: &'static Frame<'_> =
            Box::leak(Box::new(Frame::parse(Box::leak(line.to_owned().into_boxed_str()).as_bytes()).unwrap()));
        Request::parse(frame).1
    }

    fn call(method: &str, params: &str) -> Result<Request<'static>, RequestError> {
        let line = Box::leak(format!(r#"{{"id":1,"method":"{method}","params":{params}}}"#).into_boxed_str());
        parsed(line)
    }

    #[test]
    fn subscribe_in_all_its_forms() {
        let agent_and_session = |params| match call("mining.subscribe", params) {
            Ok(Request::Subscribe { user_agent, session }) => (user_agent.into_owned(), session.map(Cow::into_owned)),
            other => panic!("{other:?}"),
        };
        let none = |agent: &str| (agent.to_owned(), None);
        assert_eq!(agent_and_session("[]"), none(""));
        assert_eq!(agent_and_session(r#"["cgminer/4.11.1"]"#), none("cgminer/4.11.1"));
        assert_eq!(agent_and_session(r#"["a","5f"]"#), ("a".into(), Some("5f".into())));
        assert_eq!(
            agent_and_session(r#"["Antminer S19k Pro|LUXminer 1|x",null,"h:1",null]"#),
            none("Antminer S19k Pro|LUXminer 1|x")
        );
        assert_eq!(agent_and_session(r#"["NiceHash/1.0.0",1700000000,"ab"]"#), none("NiceHash/1.0.0"));
        assert_eq!(parsed(r#"{"id":1,"method":"mining.subscribe"}"#), call("mining.subscribe", "[]"));
    }

    #[test]
    fn submit_tolerates_unpadded_and_numeric_fields() {
        let want = Submit {
            user: b"u".into(),
            job: b"0000000a".into(),
            extranonce2: b"00ff".into(),
            ntime: 0x504e_86ed,
            nonce: 0x57c02,
            version: None,
        };
        for params in [
            r#"["u","0000000a","00ff","504e86ed","57c02"]"#,
            r#"["u","0000000a","00ff","504E86ED","00057C02"]"#,
            r#"["u","0000000a","00ff",1347323629,359426]"#,
            r#"["u","0000000a","00ff","504e86ed","57c02",null]"#,
            r#"["u","0000000a","00ff","504e86ed","57c02",""]"#,
        ] {
            assert_eq!(call("mining.submit", params), Ok(Request::Submit(want.clone())), "{params}");
        }
        let rolled = call("mining.submit", r#"["u","0000000a","00ff","504e86ed","57c02","2000"]"#);
        assert_eq!(rolled, Ok(Request::Submit(Submit { version: Some(0x2000), ..want })));
    }

    #[test]
    fn a_malformed_submit_names_the_field() {
        for (params, field) in [
            (r#"[]"#, "params: 5 or 6 are wanted"),
            (r#"{}"#, "params"),
            (r#"[1,"j","00","1","1"]"#, "user"),
            (r#"["u",7,"00","1","1"]"#, "job id"),
            (r#"["u","j",null,"1","1"]"#, "extranonce2"),
            (r#"["u","j","00","xyz","1"]"#, "ntime"),
            (r#"["u","j","00","1","123456789"]"#, "nonce"),
            (r#"["u","j","00","1","+1"]"#, "nonce"),
            (r#"["u","j","00","1",-1]"#, "nonce"),
            (r#"["u","j","00","1",1.5]"#, "nonce"),
            (r#"["u","j","00","1","1","zz"]"#, "version bits"),
            (r#"["u","j","00","1","1","0","0"]"#, "params: 5 or 6 are wanted"),
        ] {
            assert_eq!(call("mining.submit", params), Err(RequestError(field)), "{params}");
        }
    }

    #[test]
    fn configure_keeps_the_order_and_reads_what_firmware_sends() {
        let Ok(Request::Configure(configure)) = call(
            "mining.configure",
            r#"[["version-rolling","minimum-difficulty","subscribe-extranonce","x"],
                {"version-rolling.mask":"1fffe000","version-rolling.min-bit-count":"2","minimum-difficulty.value":2048}]"#,
        ) else {
            panic!("configure")
        };
        assert_eq!(
            configure.extensions,
            [
                Extension::VersionRolling { mask: 0x1fff_e000 },
                Extension::MinimumDifficulty { value: Some(2048.0) },
                Extension::SubscribeExtranonce,
                Extension::Unknown("x".into())
            ]
        );
        let Ok(Request::Configure(configure)) = call("mining.configure", r#"[["version-rolling"]]"#) else { panic!() };
        assert_eq!(configure.extensions, [Extension::VersionRolling { mask: u32::MAX }]);
        assert_eq!(call("mining.configure", "[]"), Err(RequestError("extensions")));
    }

    #[test]
    fn suggested_difficulty_may_be_in_the_method_itself() {
        assert_eq!(call("mining.suggest_difficulty", "[0.00015]"), Ok(Request::SuggestDifficulty(0.00015)));
        assert_eq!(call("mining.suggest_difficulty(512)", "[]"), Ok(Request::SuggestDifficulty(512.0)));
        assert_eq!(call("mining.suggest_difficulty(x)", "[]"), Err(RequestError("difficulty")));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let user = "é".repeat(200);
        let Ok(Request::Authorize { user, .. }) = call("mining.authorize", &format!("[{user:?}]")) else { panic!() };
        assert_eq!(user.len(), 254);
    }

    #[test]
    fn escaped_texts_are_unescaped() {
        let Ok(Request::Authorize { user, password }) = call("mining.authorize", r#"["a\u002eb","d=1,\"x\""]"#) else {
            panic!()
        };
        assert_eq!((&*user, &*password), ("a.b", "d=1,\"x\""));
    }

    #[test]
    fn everything_else_is_told_apart() {
        assert_eq!(call("pong", "[]"), Ok(Request::Answer));
        assert_eq!(parsed(r#"{"id":1,"result":"x","error":null}"#), Ok(Request::Answer));
        assert_eq!(call("mining.whatever", "[]"), Ok(Request::Unknown("mining.whatever".into())));
        assert_eq!(call("mining.ping", "[]"), Ok(Request::Ping));
    }
}
