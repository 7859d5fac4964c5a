//! The signature of a message to AI compute: who has the secret can make one, and only for this body and this moment.
//!
//! ```text
//! X-Signature: t=1769860800,v1=b447937e…8f
//!              │            └ HMAC-SHA256(secret, "1769860800." + body), 64 hexadecimal digits
//!              └ seconds since 1970, by the sender's clock
//! ```
//! A header may have several `v1=`: while a secret is changed, a sender may sign with both. Other schemes are for others and are left out.
//! It covers the body and the time, no path: that a status is asked for is no secret, and what does something has a body.
//!
//! Both directions are here, so that a receiver in Rust needs no code of its own (`examples/ai_webhook_receiver.rs`). Knows no clock.
//!
//! Limits: [`MAX_HEADER`], [`MAX_SIGNATURES`]. A message that was heard can be repeated by who overheard it for as long as the window:
//! messages are idempotent, and a revoked lease is never taken again.
//!
//! The form is Stripe's (<https://docs.stripe.com/webhooks#verify-manually>), which many AI platforms have a library for.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header's name; HTTP does not tell cases apart.
pub const HEADER: &str = "X-Signature";

/// How old a signature may be, and how far ahead: clocks differ, and messages are repeated newly signed.
pub const WINDOW: Duration = Duration::from_secs(300);

/// Bytes of a header: a few signatures of 67 bytes each.
pub const MAX_HEADER: usize = 1024;

/// `v1=` that are looked at: two while a secret changes, and some grace.
pub const MAX_SIGNATURES: usize = 8;

/// Why a message is nobody's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not of the form.
    #[error("the signature is not of the form t=<seconds>,v1=<64 hexadecimal digits>: {0}")]
    Malformed(&'static str),
    /// Made with another secret, or for another message.
    #[error("the signature does not fit: another secret, or the message was changed")]
    Wrong,
    /// Of another time.
    #[error("the signature was made {off_s} s {}: it counts within {window_s} s", if *.is_ahead { "ahead of our clock" } else { "ago" })]
    Outside {
        /// How far from now, in seconds.
        off_s: u64,
        /// Whether it is of the future.
        is_ahead: bool,
        /// How far it may be.
        window_s: u64,
    },
}

/// The header's value for a body, signed at `unix_seconds`.
pub fn sign(secret: &[u8], unix_seconds: i64, body: &[u8]) -> String {
    let signature = mac(secret, &unix_seconds.to_string(), body).finalize().into_bytes();
    format!("t={unix_seconds},v1={}", hex::encode(signature))
}

/// Whether a header was made by who has the secret, for this body, within `window` of `now` (seconds since 1970). Returns the time that
/// was signed. The digits are compared in constant time.
///
/// # Errors
/// [`SignatureError`].
pub fn verify(secret: &[u8], header: &str, body: &[u8], now: i64, window: Duration) -> Result<i64, SignatureError> {
    let (time, signatures) = parts(header)?;
    let expected = mac(secret, time, body);
    // All are looked at, whichever fits.
    let fits = signatures
        .iter()
        .fold(false, |fits, signature| fits | expected.clone().verify_slice(signature.as_slice()).is_ok());
    if !fits {
        return Err(SignatureError::Wrong);
    }
    let signed_at: i64 = time.parse().map_err(|_| SignatureError::Malformed("t is no time"))?;
    let off_s = now.abs_diff(signed_at);
    if off_s > window.as_secs() {
        return Err(SignatureError::Outside { off_s, is_ahead: signed_at > now, window_s: window.as_secs() });
    }
    Ok(signed_at)
}

fn mac(secret: &[u8], time: &str, body: &[u8]) -> Hmac<Sha256> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.chain_update(time.as_bytes()).chain_update(b".").chain_update(body)
}

/// The time as it was signed, digit by digit, and the signatures.
fn parts(header: &str) -> Result<(&str, Vec<[u8; 32]>), SignatureError> {
    use SignatureError::Malformed;
    if header.len() > MAX_HEADER {
        return Err(Malformed("too long"));
    }
    let (mut time, mut signatures) = (None, Vec::new());
    for part in header.split(',') {
        match part.split_once('=') {
            Some(("t", _)) if time.is_some() => return Err(Malformed("two times")),
            Some(("t", digits)) => time = Some(digits),
            Some(("v1", _)) if signatures.len() == MAX_SIGNATURES => return Err(Malformed("too many signatures")),
            Some(("v1", digits)) => {
                let mut signature = [0; 32];
                hex::decode_to_slice(digits, &mut signature).map_err(|_| Malformed("v1 is no SHA-256"))?;
                signatures.push(signature);
            }
            Some(_) => {}
            None => return Err(Malformed("a part without =")),
        }
    }
    let time = time.ok_or(Malformed("no t"))?;
    // A year is ten digits of seconds; signs and blanks are not what anybody signs.
    if time.is_empty() || time.len() > 12 || !time.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed("t is no time"));
    }
    if signatures.is_empty() {
        return Err(Malformed("no v1"));
    }
    Ok((time, signatures))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"a secret that both sides know";
    const BODY: &[u8] = br#"{"v":1,"id":"7-1","epoch":7,"type":"lease.revoke","watts":12000.0,"it_watts":10000.0,"deadline":"2026-01-31T12:00:00.000Z","expires":null}"#;
    const AT: i64 = 1_769_860_800;

    /// `printf '%s' "$t.$body" | openssl dgst -sha256 -hmac "$secret"`
    const SIGNED: &str = "t=1769860800,v1=b447937e995e60f7f35d228ba677c5be582c75fcd3134f1b62a9c36814f68c8f";

    fn verified(header: &str, now: i64) -> Result<i64, SignatureError> {
        verify(SECRET, header, BODY, now, WINDOW)
    }

    #[test]
    fn signatures_are_those_of_openssl() {
        let long = [b'k'; 100];
        for (secret, at, body, digits) in [
            (SECRET, AT, BODY, "b447937e995e60f7f35d228ba677c5be582c75fcd3134f1b62a9c36814f68c8f"),
            (SECRET, AT, b"", "0d4a5a6ff82454405f984eb5a5a68279afea81ee20f9c84345233c433b7f159b"),
            (&long, 0, b"x", "c66ac57f8c6a35d16dcedb6a00e445f9915fc9e5eb8c470a7045e9ada010bced"),
            ("Ümläut".as_bytes(), 0, b"x", "4da65890b1487370c53e1d6ad87dba233f47b33072458d6c2f23a2c7a60db0ae"),
        ] {
            assert_eq!(sign(secret, at, body), format!("t={at},v1={digits}"));
            assert_eq!(verify(secret, &format!("t={at},v1={digits}"), body, at, WINDOW), Ok(at));
        }
    }

    #[test]
    fn a_signature_counts_within_its_window_both_ways() {
        assert_eq!(sign(SECRET, AT, BODY), SIGNED);
        for off in [-300, -1, 0, 299, 300] {
            assert_eq!(verified(SIGNED, AT + off), Ok(AT), "{off}");
        }
        let outside = |is_ahead| SignatureError::Outside { off_s: 301, is_ahead, window_s: 300 };
        assert_eq!(verified(SIGNED, AT + 301), Err(outside(false)));
        assert_eq!(verified(SIGNED, AT - 301), Err(outside(true)));
        assert_eq!(outside(false).to_string(), "the signature was made 301 s ago: it counts within 300 s");
        assert!(matches!(verified(SIGNED, i64::MIN), Err(SignatureError::Outside { .. })));
    }

    #[test]
    fn whatever_is_changed_does_not_fit() {
        for at in 0..BODY.len() {
            let mut body = BODY.to_vec();
            body[at] ^= 1;
            assert_eq!(verify(SECRET, SIGNED, &body, AT, WINDOW), Err(SignatureError::Wrong), "byte {at}");
        }
        assert_eq!(verify(SECRET, SIGNED, b"", AT, WINDOW), Err(SignatureError::Wrong));
        assert_eq!(verify(b"another", SIGNED, BODY, AT, WINDOW), Err(SignatureError::Wrong));
        let later = SIGNED.replace("t=1769860800", "t=1769860801");
        assert_eq!(verified(&later, AT), Err(SignatureError::Wrong));
        // The same number in other digits was not signed, and the body can't lend a digit to the time.
        assert_eq!(verified(&SIGNED.replace("t=", "t=0"), AT), Err(SignatureError::Wrong));
        assert_ne!(sign(SECRET, 1, b"2.x"), sign(SECRET, 12, b"x").replace("t=12", "t=1"));
    }

    #[test]
    fn a_secret_may_be_changed_while_both_are_signed_with() {
        let new = sign(b"the new one", AT, BODY);
        let both = format!("{SIGNED},{}", new.split_once(',').unwrap().1);
        assert_eq!(verified(&both, AT), Ok(AT));
        assert_eq!(verify(b"the new one", &both, BODY, AT, WINDOW), Ok(AT));
        assert_eq!(verify(b"a third", &both, BODY, AT, WINDOW), Err(SignatureError::Wrong));
        assert_eq!(verified(&format!("v0=old,{SIGNED},v2=?"), AT), Ok(AT));
    }

    #[test]
    fn what_is_no_signature_is_refused_with_its_reason() {
        let many = format!("{SIGNED}{}", format!(",{}", SIGNED.split_once(',').unwrap().1).repeat(MAX_SIGNATURES));
        let (t, v1) = SIGNED.split_once(',').unwrap();
        for (header, why) in [
            (String::new(), "a part without ="),
            (t.to_owned(), "no v1"),
            (v1.to_owned(), "no t"),
            (format!("{t},{t},{v1}"), "two times"),
            (format!("t=,{v1}"), "t is no time"),
            (format!("t=-1,{v1}"), "t is no time"),
            (format!("t= 1769860800,{v1}"), "t is no time"),
            (format!("t=9999999999999,{v1}"), "t is no time"),
            (format!("{t},v1=abcd"), "v1 is no SHA-256"),
            (format!("{SIGNED}00"), "v1 is no SHA-256"),
            (format!("{SIGNED},"), "a part without ="),
            (many, "too many signatures"),
            (format!("{SIGNED},x={}", "y".repeat(MAX_HEADER)), "too long"),
        ] {
            assert_eq!(verified(&header, AT), Err(SignatureError::Malformed(why)), "{header}");
        }
    }
}
