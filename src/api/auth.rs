//! Who may do what with the API: whoever shows a token, in `Authorization: Bearer …`, may do what that token is for.
//!
//! | token | may |
//! |---|---|
//! | `token` | everything |
//! | `read_token` | `GET` |
//! | `signal_token` | `PUT` signals |
//!
//! Tokens are compared by their hashes in constant time, so that neither length nor beginning of the right one can be told from how
//! long a "no" takes. A right token is always let in, however many wrong ones come: nobody can lock the grid's operator out
//! by guessing. Guessing itself is hopeless (the config wants 16 bytes); the limit on wrong ones keeps it cheap and quiet.

use std::{
    sync::{Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, Method, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::SIGNALS_PATH;
use crate::config::{Admin, Secret};

/// Wrong tokens at once before they are told to stop; one more every [`FORGET_EVERY`].
const MAX_WRONG: u32 = 10;

/// How long it takes to forget one wrong token.
const FORGET_EVERY: Duration = Duration::from_secs(6);

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It shows a token of this role.
    Open(Role),
    /// It does not.
    Wrong,
    /// It does not, as so many before.
    TooMany,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Everything.
    Control,
    /// To look.
    Read,
    /// To send signals.
    Signal,
}

impl Role {
    /// Whether a request is for who has this role.
    pub fn may(self, method: &Method, path: &str) -> bool {
        match self {
            Self::Control => true,
            Self::Read => matches!(*method, Method::GET | Method::HEAD),
            Self::Signal => *method == Method::PUT && path.starts_with(SIGNALS_PATH),
        }
    }

    /// What its token does, for whom that is not enough.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Control => "this token may do everything",
            Self::Read => "this token is read_token, which may only look: send `token` of [admin] in the config",
            Self::Signal => {
                "this token is signal_token, which may only PUT signals: send `token` of [admin] in the config"
            }
        }
    }
}

/// Knows the hashes of the right tokens, and how many wrong ones came lately.
pub(super) struct TokenCheck {
    right: RwLock<Vec<(Role, [u8; 32])>>,
    wrong: Mutex<Wrong>,
}

#[derive(Default)]
struct Wrong {
    count: u32,
    /// When the count was brought up to date.
    at: Option<Instant>,
}

impl TokenCheck {
    /// For these tokens.
    pub fn new(admin: &Admin) -> Self {
        Self { right: RwLock::new(hashes(admin)), wrong: Mutex::default() }
    }

    /// For other tokens, from the next request on.
    pub fn set(&self, admin: &Admin) {
        *self.right.write().unwrap_or_else(PoisonError::into_inner) = hashes(admin);
    }

    pub fn admit(&self, headers: &HeaderMap, now: Instant) -> Admission {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| bearer(value.as_bytes())).unwrap_or_default();
        let shown: [u8; 32] = Sha256::digest(shown).into();
        // All are looked at, so that which one it was, if any, takes no time of its own.
        let mut role = None;
        for (of, right) in self.right.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if bool::from(shown.ct_eq(right)) {
                role = Some(*of);
            }
        }
        if let Some(role) = role {
            return Admission::Open(role);
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

fn hashes(admin: &Admin) -> Vec<(Role, [u8; 32])> {
    let hash = |role: Role, token: &Secret| (role, Sha256::digest(token.expose()).into());
    let right = [
        Some(hash(Role::Control, &admin.token)),
        admin.read_token.as_ref().map(|token| hash(Role::Read, token)),
        admin.signal_token.as_ref().map(|token| hash(Role::Signal, token)),
    ];
    right.into_iter().flatten().collect()
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

    /// With the first token, and if wanted with the other two.
    fn check(all: bool) -> TokenCheck {
        let rest = "read_token = \"read-0123456789abcdef\"\nsignal_token = \"signal-0123456789abcdef\"\n";
        let rest = if all { rest } else { "" };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), format!("[admin]\ntoken = \"0123456789abcdef\"\n{rest}")).unwrap();
        TokenCheck::new(&Admin::load(file.path()).unwrap().unwrap())
    }

    #[test]
    fn a_token_opens_what_it_is_for() {
        let (all, now) = (check(true), Instant::now());
        let signal = format!("{SIGNALS_PATH}spot");
        for (token, role, may) in [
            ("Bearer 0123456789abcdef", Role::Control, [true, true, true, true]),
            ("Bearer read-0123456789abcdef", Role::Read, [true, false, false, false]),
            ("Bearer signal-0123456789abcdef", Role::Signal, [false, true, false, false]),
        ] {
            assert_eq!(all.admit(&with(token), now), Admission::Open(role));
            let requests = [
                (Method::GET, "/api/v1/power"),
                (Method::PUT, &*signal),
                (Method::PUT, "/api/v1/mode"),
                (Method::POST, "/api/v1/groups/hall/drain"),
            ];
            assert_eq!(requests.map(|(method, path)| role.may(&method, path)), may, "{role:?}");
        }
        assert_eq!(check(false).admit(&with("Bearer read-0123456789abcdef"), now), Admission::Wrong);
        assert_eq!(check(false).admit(&with("Bearer "), now), Admission::Wrong, "a token that is not set is not empty");
    }

    #[test]
    fn only_the_token_opens() {
        let check = check(false);
        let now = Instant::now();
        for right in ["Bearer 0123456789abcdef", "bearer 0123456789abcdef", "Bearer  0123456789abcdef"] {
            assert_eq!(check.admit(&with(right), now), Admission::Open(Role::Control), "{right}");
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
        let check = check(true);
        let now = Instant::now();
        for _ in 0..MAX_WRONG {
            assert_eq!(check.admit(&with("Bearer guess"), now), Admission::Wrong);
        }
        for _ in 0..1000 {
            assert_eq!(check.admit(&with("Bearer guess"), now), Admission::TooMany);
        }
        assert_eq!(check.admit(&with("Bearer 0123456789abcdef"), now), Admission::Open(Role::Control));
        let later = now + FORGET_EVERY;
        assert_eq!(check.admit(&with("Bearer guess"), later), Admission::Wrong);
        assert_eq!(check.admit(&with("Bearer guess"), later), Admission::TooMany);
        let much_later = later + FORGET_EVERY * 1000;
        let admitted =
            (0..2 * MAX_WRONG).filter(|_| check.admit(&with("Bearer guess"), much_later) == Admission::Wrong).count();
        assert_eq!(admitted, MAX_WRONG as usize);
    }
}
