//! Who may do what with the API: whoever shows a token, in `Authorization: Bearer …`, may do what that token is for.
//!
//! | token | may |
//! |---|---|
//! | `token` | everything |
//! | `read_token` | `GET` |
//! | `signal_token` | `PUT` signals |
//!
//! Who shows none and asks for a path that there is not is told so, and no guess is counted: browsers ask each server for `/favicon.ico`.
//!
//! Tokens are compared by their hashes in constant time, so that neither length nor beginning of the right one can be told from how
//! long a "no" takes. A right token is always let in, however many wrong ones come: nobody can lock the grid's operator out
//! by guessing. Guessing itself is hopeless (the config wants 16 bytes); the limits on wrong ones, for each address and for all together,
//! keep it cheap and quiet. An IPv6 address is its first 64 bits: whoever has one of a network has them all.
//!
//! Limit: [`MAX_ADDRESSES`] are told apart; of more, the one that was longest quiet is forgotten, and the limit for all holds.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, Method, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::SIGNALS_PATH;
use crate::config::{Admin, Secret};

/// Wrong tokens of one address at once before it is told to stop, and how long it takes to forget one.
const OF_ADDRESS: Patience = Patience { most: 10, forget_every: Duration::from_secs(6) };

/// The same of all addresses together.
const OF_ALL: Patience = Patience { most: 100, forget_every: Duration::from_millis(600) };

/// Addresses that are told apart.
const MAX_ADDRESSES: usize = 1_024;

/// How many are put up with.
#[derive(Debug, Clone, Copy)]
struct Patience {
    most: u32,
    forget_every: Duration,
}

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
            Self::Read => matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS),
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
    wrong: Mutex<Guesses>,
}

/// Wrong tokens lately.
#[derive(Default)]
struct Guesses {
    all: Wrong,
    of: HashMap<IpAddr, Wrong>,
}

#[derive(Debug, Clone, Copy, Default)]
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

    /// What becomes of a request from this address.
    pub fn admit(&self, headers: &HeaderMap, address: IpAddr, now: Instant) -> Admission {
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
        if wrong.bears(network(address), now) { Admission::Wrong } else { Admission::TooMany }
    }
}

impl Guesses {
    /// Counts one more, unless there were too many.
    fn bears(&mut self, address: IpAddr, now: Instant) -> bool {
        if self.all.forgets(now, OF_ALL) >= OF_ALL.most {
            return false;
        }
        if self.of.len() >= MAX_ADDRESSES && !self.of.contains_key(&address) {
            self.of.retain(|_, wrong| wrong.forgets(now, OF_ADDRESS) > 0);
            // All of them guess: the limit for all is what holds.
            if self.of.len() >= MAX_ADDRESSES
                && let Some(quiet) = self.of.iter().min_by_key(|(_, wrong)| wrong.at).map(|(address, _)| *address)
            {
                self.of.remove(&quiet);
            }
        }
        let wrong = self.of.entry(address).or_default();
        if wrong.forgets(now, OF_ADDRESS) >= OF_ADDRESS.most {
            return false;
        }
        wrong.count += 1;
        self.all.count += 1;
        true
    }
}

/// Whose address it is: of IPv6, the network that is given to one customer.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
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
    fn forgets(&mut self, now: Instant, patience: Patience) -> u32 {
        let every = patience.forget_every;
        let at = *self.at.get_or_insert(now);
        let forgotten =
            u32::try_from(now.saturating_duration_since(at).as_nanos() / every.as_nanos()).unwrap_or(u32::MAX);
        if forgotten >= self.count {
            (self.count, self.at) = (0, Some(now));
        } else {
            self.count -= forgotten;
            self.at = Some(at + every * forgotten);
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

    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

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
            assert_eq!(all.admit(&with(token), HERE, now), Admission::Open(role));
            let requests = [
                (Method::GET, "/api/v1/power"),
                (Method::PUT, &*signal),
                (Method::PUT, "/api/v1/mode"),
                (Method::POST, "/api/v1/groups/hall/drain"),
            ];
            assert_eq!(requests.map(|(method, path)| role.may(&method, path)), may, "{role:?}");
        }
        assert_eq!(check(false).admit(&with("Bearer read-0123456789abcdef"), HERE, now), Admission::Wrong);
        assert_eq!(
            check(false).admit(&with("Bearer "), HERE, now),
            Admission::Wrong,
            "a token that is not set is not empty"
        );
    }

    #[test]
    fn only_the_token_opens() {
        let check = check(false);
        let now = Instant::now();
        for right in ["Bearer 0123456789abcdef", "bearer 0123456789abcdef", "Bearer  0123456789abcdef"] {
            assert_eq!(check.admit(&with(right), HERE, now), Admission::Open(Role::Control), "{right}");
        }
        for wrong in [
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdeff",
            "Bearer ",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
            "",
        ] {
            assert_eq!(check.admit(&with(wrong), HERE, now), Admission::Wrong, "{wrong}");
        }
        assert_eq!(check.admit(&HeaderMap::new(), HERE, now), Admission::Wrong);
    }

    #[test]
    fn who_guesses_is_slowed_down_and_locks_nobody_out() {
        let check = check(true);
        let now = Instant::now();
        for _ in 0..OF_ADDRESS.most {
            assert_eq!(check.admit(&with("Bearer guess"), HERE, now), Admission::Wrong);
        }
        for _ in 0..1000 {
            assert_eq!(check.admit(&with("Bearer guess"), HERE, now), Admission::TooMany);
        }
        assert_eq!(check.admit(&with("Bearer 0123456789abcdef"), HERE, now), Admission::Open(Role::Control));
        let later = now + OF_ADDRESS.forget_every;
        assert_eq!(check.admit(&with("Bearer guess"), HERE, later), Admission::Wrong);
        assert_eq!(check.admit(&with("Bearer guess"), HERE, later), Admission::TooMany);
        let much_later = later + OF_ADDRESS.forget_every * 1000;
        let admitted = (0..2 * OF_ADDRESS.most)
            .filter(|_| check.admit(&with("Bearer guess"), HERE, much_later) == Admission::Wrong)
            .count();
        assert_eq!(admitted, OF_ADDRESS.most as usize);
    }

    #[test]
    fn who_guesses_slows_nobody_else_down_until_all_together_are_too_many() {
        let (check, now) = (check(false), Instant::now());
        let from = |last: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + last));
        let guess = |address| check.admit(&with("Bearer guess"), address, now);
        for _ in 0..2 * OF_ADDRESS.most {
            guess(from(0));
        }
        assert_eq!((guess(from(0)), guess(from(1))), (Admission::TooMany, Admission::Wrong));
        let admitted = (2..100_000).filter(|last| guess(from(*last)) == Admission::Wrong).count() as u32;
        assert_eq!(admitted, OF_ALL.most - OF_ADDRESS.most - 1);
        assert_eq!(check.admit(&with("Bearer 0123456789abcdef"), from(0), now), Admission::Open(Role::Control));
    }

    #[test]
    fn what_is_remembered_of_addresses_is_bounded_and_a_network_is_one() {
        let mut guesses = Guesses::default();
        let begun = Instant::now();
        for last in 0..10 * MAX_ADDRESSES as u32 {
            // So slowly that the limit for all is never reached.
            let now = begun + OF_ALL.forget_every * last;
            assert!(guesses.bears(Ipv4Addr::from_bits(last).into(), now), "{last}");
        }
        assert!(guesses.of.len() <= MAX_ADDRESSES);
        let same = ["2001:db8::1", "2001:db8::ffff:1"].map(|text| network(text.parse().unwrap()));
        assert_eq!(same[0], same[1]);
        assert_ne!(network("2001:db8:0:1::1".parse().unwrap()), same[0]);
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), network("10.0.0.1".parse().unwrap()));
    }
}
