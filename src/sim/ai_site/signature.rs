//! The check of a signature `t=<seconds>,v1=<hex>`: HMAC-SHA256 (RFC 2104) of `t.body`, written out over plain SHA-256, so that a mistake
//! of the sender's is not made twice.

use sha2::{Digest, Sha256};

/// Bytes that SHA-256 takes at a time.
const BLOCK: usize = 64;

/// Whether any of the signatures in a header is that of the body, and of about now.
pub(super) fn is_valid(secret: &[u8], header: &str, body: &[u8], now: i64, window_seconds: u64) -> bool {
    let value =
        |name: &'static str| header.split(',').filter_map(move |part| part.strip_prefix(name)?.strip_prefix('='));
    let (mut times, time) = (value("t"), value("t").next().unwrap_or_default());
    let is_now = time.parse::<i64>().is_ok_and(|at| at.abs_diff(now) <= window_seconds);
    let expected = hex::encode(hmac(secret, &[time.as_bytes(), b".", body]));
    // Simulated secrets are worth no constant time.
    is_now && times.nth(1).is_none() && value("v1").any(|signature| signature.eq_ignore_ascii_case(&expected))
}

fn hmac(key: &[u8], message: &[&[u8]]) -> [u8; 32] {
    let mut block = [0u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let mut inner = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36));
    message.iter().for_each(|part| inner.update(part));
    let outer = Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5c)).chain_update(inner.finalize());
    outer.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_hmac_of_rfc_4231() {
        // Test cases 2 and 6: <https://www.rfc-editor.org/rfc/rfc4231>.
        let short = hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex::encode(short), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let long = hmac(&[0xaa; 131], &[b"Test Using Larger Than Block-Size Key - Hash Key First"]);
        assert_eq!(hex::encode(long), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    #[test]
    fn only_a_fresh_signature_of_the_body_is_valid() {
        // openssl dgst -sha256 -hmac
        let header = "t=0,v1=4da65890b1487370c53e1d6ad87dba233f47b33072458d6c2f23a2c7a60db0ae";
        let valid = |header: &str, body: &[u8], now| is_valid("Ümläut".as_bytes(), header, body, now, 300);
        assert!(valid(header, b"x", 0) && valid(header, b"x", 300) && valid(header, b"x", -300));
        assert!(!valid(header, b"x", 301) && !valid(header, b"y", 0) && !is_valid(b"other", header, b"x", 0, 300));
        assert!(!valid("", b"x", 0) && !valid("t=0", b"x", 0) && !valid(&format!("t=0,{header}"), b"x", 0));
        assert!(valid(&header.replace("v1", "v1=00,v1"), b"x", 0));
    }
}
