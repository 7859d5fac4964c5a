//! How long to wait before the next attempt: exponential, with full jitter, so that the pools' other clients and we don't come
//! back in step (AWS, "Exponential backoff and jitter").
//!
//! | attempt | waits at most |
//! |---|---|
//! | first after a loss | [`FIRST`] |
//! | each further | twice as long, up to [`CAP`] |
//! | first after a connection that lived for [`STABLE`] | [`FIRST`] again |
//! | address that nobody answers at | [`UNREACHED`], however often |
//! | after a refused login | [`REFUSED`], and a quarter of it more |

use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

/// A pool that restarts one server is back at once; a farm must not idle for more than the blink that this is.
const FIRST: Duration = Duration::from_millis(250);

/// Long enough to be no burden to a pool that is away for a day, short enough that its return is not missed.
const CAP: Duration = Duration::from_secs(30);

/// A server that is not there is not burdened by a few SYNs a second, and each second that its return is missed is a second of a whole
/// farm.
const UNREACHED: Duration = Duration::from_millis(750);

/// A connection that lived this long was a good one; a shorter one may be a pool that drops whoever logs in.
const STABLE: Duration = Duration::from_secs(60);

/// A wrong account does not become right by asking often, and pools ban addresses that do.
const REFUSED: Duration = Duration::from_secs(60);

/// Doublings until [`CAP`] is certainly reached.
const MAX_DOUBLINGS: u32 = 7;
const _: () = assert!(FIRST.as_millis() << MAX_DOUBLINGS >= CAP.as_millis());

/// Counts the attempts in a row that led to nothing.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// A connection ended that had been logged in since `live_since`, if it ever was.
    pub fn ended(&mut self, now: Instant, live_since: Option<Instant>) {
        if live_since.is_some_and(|since| now.saturating_duration_since(since) >= STABLE) {
            self.failures = 0;
        }
    }

    /// The wait before the next attempt.
    pub fn next(&mut self, rng: &mut impl Rng) -> Duration {
        let most = CAP.min(FIRST * (1 << self.failures.min(MAX_DOUBLINGS)));
        self.failures = self.failures.saturating_add(1);
        most.mul_f64(rng.random_range(0.0..=1.0))
    }

    /// The wait after an attempt that reached nobody.
    pub fn unreached(&mut self, rng: &mut impl Rng) -> Duration {
        UNREACHED.mul_f64(rng.random_range(0.0..=1.0))
    }

    /// The wait after the pool refused the login.
    pub fn refused(&mut self, rng: &mut impl Rng) -> Duration {
        self.failures = self.failures.saturating_add(1);
        REFUSED.mul_f64(rng.random_range(1.0..=1.25))
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn waits_grow_to_the_cap_and_never_beyond() {
        let mut most = [Duration::ZERO; 12];
        for seed in 0..500 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut backoff = Backoff::default();
            for most in &mut most {
                *most = (*most).max(backoff.next(&mut rng));
            }
        }
        assert!(most[0] <= FIRST && most[0] > FIRST / 2, "{most:?}");
        assert!(most[3] <= FIRST * 8 && most[3] > FIRST * 4, "{most:?}");
        assert!(most[11] <= CAP && most[11] > CAP / 2, "{most:?}");
    }

    #[test]
    fn only_a_stable_connection_resets_it() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut backoff = Backoff::default();
        let start = Instant::now();
        for _ in 0..5 {
            backoff.next(&mut rng);
        }
        for (live_for, failures) in [(None, 5), (Some(STABLE / 2), 5), (Some(STABLE), 0)] {
            backoff.ended(start + live_for.unwrap_or_default(), live_for.map(|_| start));
            assert_eq!(backoff.failures, failures, "{live_for:?}");
        }
    }

    #[test]
    fn a_pool_that_is_away_for_long_is_not_missed_when_it_returns() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..1000).map(|_| backoff.unreached(&mut rng)).collect();
        assert!(waits.iter().all(|wait| *wait <= UNREACHED));
        assert!(backoff.next(&mut rng) <= FIRST, "it did nothing wrong");
    }

    #[test]
    fn a_refused_login_waits_a_minute() {
        let mut rng = StdRng::seed_from_u64(1);
        let wait = Backoff::default().refused(&mut rng);
        assert!((REFUSED..=REFUSED * 5 / 4).contains(&wait), "{wait:?}");
    }
}
