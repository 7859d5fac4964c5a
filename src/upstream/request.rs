//! The lines that we write to a pool.
//!
//! ckpool drops a connection over a line of more than 1 KiB, so that none may be longer. User names, passwords and our own fields
//! have limits of their own that add up to less; a job id and a session id are the pool's, and are cut off by [`MAX_JOB_ID`] and
//! [`MAX_SESSION_ID`] where they come in.

use std::fmt::{self, Display};

use serde_json::Value;

use crate::{
    stratum::RawId,
    work::{Difficulty, MAX_EXTRANONCE, PoolShare},
};

/// Bytes of the longest line that a pool takes, with its end (ckpool `connector.c`).
pub(super) const MAX_LINE: usize = 1024;

/// Bytes of a job id; those in use have 4 to 32.
pub(super) const MAX_JOB_ID: usize = 128;

/// Bytes of a session id; those in use have 8 to 64.
pub(super) const MAX_SESSION_ID: usize = 128;

/// Bytes of the JSON around a submit's texts, and of a whole number as text.
const FRAME: usize = 128;

/// A byte of text without control characters takes at most two of JSON.
const ESCAPED: usize = 2;
const _: () = assert!(FRAME + ESCAPED * (MAX_USER + MAX_JOB_ID) + 2 * MAX_EXTRANONCE + 3 * 8 <= MAX_LINE);
const _: () = assert!(FRAME + ESCAPED * MAX_SESSION_ID <= MAX_LINE);

/// Bytes of a user name.
const MAX_USER: usize = crate::config::MAX_USER_BYTES;

/// What we call ourselves.
pub(super) const USER_AGENT: &str = concat!("hashgate/", env!("CARGO_PKG_VERSION"));

/// Version bits that are ever rolled: BIP 320's sixteen, and those below them of the BIP 323 draft. Not all 32, because a pool that
/// echoes its client's mask would seem to permit bits that its own version has set.
pub(super) const ASKED_MASK: u32 = 0x1fff_ffe0;

fn line(id: u64, method: &str, params: fmt::Arguments<'_>) -> String {
    format!("{{\"id\":{id},\"method\":\"{method}\",\"params\":[{params}]}}\n")
}

fn json(text: &str) -> Value {
    Value::from(text)
}

pub(super) fn configure(id: u64) -> String {
    let params = format_args!(
        r#"["version-rolling"],{{"version-rolling.mask":"{ASKED_MASK:08x}","version-rolling.min-bit-count":2}}"#
    );
    line(id, "mining.configure", params)
}

pub(super) fn subscribe(id: u64, session: Option<&str>) -> String {
    match session {
        Some(session) => line(id, "mining.subscribe", format_args!("\"{USER_AGENT}\",{}", json(session))),
        None => line(id, "mining.subscribe", format_args!("\"{USER_AGENT}\"")),
    }
}

pub(super) fn authorize(id: u64, user: &str, password: &str) -> String {
    line(id, "mining.authorize", format_args!("{},{}", json(user), json(password)))
}

pub(super) fn extranonce_subscribe(id: u64) -> String {
    line(id, "mining.extranonce.subscribe", format_args!(""))
}

pub(super) fn suggest_difficulty(id: u64, difficulty: Difficulty) -> String {
    line(id, "mining.suggest_difficulty", format_args!("{difficulty}"))
}

/// `mask`: the bits that the pool lets us roll now. A sixth parameter goes up wherever any mask was negotiated.
pub(super) fn submit(id: u64, user: &str, share: &PoolShare, mask: u32) -> String {
    let job = share.job();
    let bits = job.dialect.submit_bits(share.version(), job.notify.version, mask);
    let bits = if mask == 0 && job.version_mask == 0 { String::new() } else { format!(",\"{bits:08x}\"") };
    let (job, user) = (json(&job.notify.job_id), json(user));
    let (extranonce2, ntime, nonce) = (share.extranonce2(), share.ntime(), share.nonce());
    line(id, "mining.submit", format_args!(r#"{user},{job},"{extranonce2}","{ntime:08x}","{nonce:08x}"{bits}"#))
}

/// The answer to something that a pool asked.
pub(super) fn answer(id: RawId<'_>, result: impl Display) -> String {
    format!("{{\"id\":{id},\"result\":\"{result}\",\"error\":null}}\n")
}
