//! Who may use the API: whoever shows the token, in `Authorization: Bearer …`.
//!
//! Tokens are compared by their hashes in constant time, so that neither length nor beginning of the right one can be told from how
//! long a "no" takes. The right token is always let in, however many wrong ones come: nobody can lock the grid's operator out
//! by guessing. Guessing itself is hopeless (the config wants 16 bytes); the limit on wrong ones keeps it cheap and quiet.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Wrong tokens at once before they are told to stop; one more every [`FORGET_EVERY`].
const MAX_WRONG: u32 = 10;

/// How long it takes to forget one wrong token.
const FORGET_EVERY: Duration = Duration::from_secs(6);

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It shows the token.
    Open,
    /// It does not.
    Wrong,
    /// It does not, as so many before.
    TooMany,
}

/// Knows the hash of the right token, and how many wrong ones came lately.
pub struct TokenCheck {
    right: [u8; 32],
    wrong: Mutex<Wrong>,
}

#[derive(Default)]
struct Wrong {
    count: u32,
    /// When the count was brought up to date.
    at: Option<Instant>,
}

impl TokenCheck {
    /// For this token.
    pub fn new(token: &str) -> Self {
        Self { right: Sha256::digest(token).into(), wrong: Mutex::default() }
    }

    pub(super) fn admit(&self, headers: &HeaderMap, now: Instant) -> Admission {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes())).unwrap_or_default();
        let shown: [u8; 32] = Sha256::digest(shown).into();
        if bool::from(shown.ct_eq(&self.right)) {
            return Admission::Open;
        }
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.forgets(now) < MAX_WRONG {
            wrong.count += 1;
            Admission::Wrong
        } else {
            Admission::TooMany
        }
    }
}

impl Wrong {
    /// The count after what was forgotten until now.
    fn forgets(&mut self, now: Instant) -> u32 {
        let at = *self.at.get_or_insert(now);
        let forgotten =
            u32::try_from(now.saturating_duration_since(at).as_nanos() / FORGET_EVERY.as_nanos()).unwrap_or(u32::MAX);
        if forgotten >= self.count {
            (self.count, self.at) = (0, Some(now));
        } else {
            self.count -= forgotten;
            self.at = Some(at + FORGET_EVERY * forgotten);
        }
        self.count
    }
}

/// What follows `Bearer`, whatever its case (RFC 9110).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn with(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))])
    }

    #[test]
    fn only_the_token_opens() {
        let check = TokenCheck::new("0123456789abcdef");
        let now = Instant::now();
        for right in ["Bearer 0123456789abcdef", "bearer 0123456789abcdef", "Bearer  0123456789abcdef"] {
            assert_eq!(check.admit(&with(right), now), Admission::Open, "{right}");
        }
        for wrong in [
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdeff",
            "Bearer ",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
            "",
        ] {
            assert_eq!(check.admit(&with(wrong), now), Admission::Wrong, "{wrong}");
        }
        assert_eq!(check.admit(&HeaderMap::new(), now), Admission::Wrong);
    }

    #[test]
    fn who_guesses_is_slowed_down_and_locks_nobody_out() {
        let check = TokenCheck::new("0123456789abcdef");
        let now = Instant::now();
        for _ in 0..MAX_WRONG {
            assert_eq!(check.admit(&with("Bearer guess"), now), Admission::Wrong);
        }
        for _ in 0..1000 {
            assert_eq!(check.admit(&with("Bearer guess"), now), Admission::TooMany);
        }
        assert_eq!(check.admit(&with("Bearer 0123456789abcdef"), now), Admission::Open);
        let later = now + FORGET_EVERY;
        assert_eq!(check.admit(&with("Bearer guess"), later), Admission::Wrong);
        assert_eq!(check.admit(&with("Bearer guess"), later), Admission::TooMany);
        let much_later = later + FORGET_EVERY * 1000;
        let admitted =
            (0..2 * MAX_WRONG).filter(|_| check.admit(&with("Bearer guess"), much_later) == Admission::Wrong).count();
        assert_eq!(admitted, MAX_WRONG as usize);
    }
}
