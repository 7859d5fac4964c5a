//! Which pool of several: their order, their health, and when to go back to a better one.
//!
//! Knows indexes and instants; knows nothing of connections or miners.
//!
//! | now | a live pool that comes before it | choice |
//! |---|---|---|
//! | none yet | | the first live one; for [`FIRST_LOGIN`] a better one that is still logging in is waited for |
//! | dead | | the first live one, at once |
//! | dead | none, and none behind it | none: stay |
//! | alive | up for `fail_back_after` without a break | that one, as a planned move |
//! | alive | up for less, or flapping | stay |
//!
//! A pool that answers is never used up, however often it failed (sri sv2-apps#673). What keeps a flapping one from pulling its
//! miners to and fro is that every break starts its time anew.

use std::time::{Duration, Instant};

/// At a start all pools log in at the same time; the race should not put everyone on the backup for `fail_back_after`.
pub const FIRST_LOGIN: Duration = Duration::from_secs(3);

/// Whether a pool is logged in, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    since: Instant,
    up: bool,
    was_up: bool,
}

impl Health {
    /// A pool that is being connected for the first time.
    pub fn starting(now: Instant) -> Self {
        Self { since: now, up: false, was_up: false }
    }

    /// It logged in. Not a news if it was up already.
    pub fn up(&mut self, now: Instant) {
        if !self.up {
            *self = Self { since: now, up: true, was_up: true };
        }
    }

    /// It went, or could not be reached.
    pub fn down(&mut self, now: Instant) {
        if self.up {
            *self = Self { since: now, up: false, ..*self };
        }
    }

    /// Whether it is logged in.
    pub fn is_up(&self) -> bool {
        self.up
    }

    fn is_first_login_at(&self, now: Instant) -> bool {
        !self.was_up && now < self.since + FIRST_LOGIN
    }
}

/// Why a pool is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There was none before.
    First,
    /// It is the one already, and nothing is better.
    Stay,
    /// The one before is dead.
    Failover,
    /// It comes before the present one, which lives, and has been well for long enough: a planned move.
    FailBack,
    /// The one before lives, and the operator has taken it from the route.
    Removed,
}

/// A pool and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Index into the healths.
    pub pool: usize,
    /// Why this one.
    pub reason: Reason,
}

/// Chooses among the pools of `order` (indexes into `healths`, best first). `None`: none is live, stay as you are.
pub fn choose(
    order: &[usize],
    current: Option<usize>,
    healths: &[Health],
    now: Instant,
    fail_back_after: Duration,
) -> Option<Choice> {
    let first_live = || order.iter().copied().find(|pool| healths[*pool].up);
    let Some(current) = current else {
        let pool = first_live()?;
        let is_awaited = |better: &usize| healths[*better].is_first_login_at(now);
        let wait = order.iter().take_while(|better| **better != pool).any(is_awaited);
        return (!wait).then_some(Choice { pool, reason: Reason::First });
    };
    if !healths[current].up || !order.contains(&current) {
        return first_live().map(|pool| Choice { pool, reason: Reason::Failover });
    }
    let is_well = |better: &usize| healths[*better].up && now >= healths[*better].since + fail_back_after;
    let better = order.iter().copied().take_while(|pool| *pool != current).find(is_well);
    Some(match better {
        Some(pool) => Choice { pool, reason: Reason::FailBack },
        None => Choice { pool: current, reason: Reason::Stay },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAIL_BACK: Duration = Duration::from_secs(120);
    const ORDER: [usize; 3] = [0, 1, 2];

    /// `+30`: up for 30 s; `-30`: down for 30 s after it was up.
    fn healths(now: Instant, seconds: [i64; 3]) -> [Health; 3] {
        seconds.map(|seconds| {
            let since = now - Duration::from_secs(seconds.unsigned_abs());
            Health { since, up: seconds >= 0, was_up: true }
        })
    }

    #[test]
    fn the_table() {
        let now = Instant::now() + Duration::from_secs(10_000);
        use Reason::{FailBack, Failover, First, Stay};
        for (current, seconds, want) in [
            (None, [-1, -1, -1], None),
            (None, [-1, 1, 500], Some((1, First))),
            (Some(0), [5, 500, 500], Some((0, Stay))),
            (Some(0), [-1, 1, 500], Some((1, Failover))),
            (Some(0), [-1, -1, 1], Some((2, Failover))),
            (Some(0), [-1, -1, -1], None),
            (Some(2), [1, 1, -1], Some((0, Failover))),
            (Some(1), [119, 500, 500], Some((1, Stay))),
            (Some(1), [120, 500, 500], Some((0, FailBack))),
            (Some(2), [119, 120, 500], Some((1, FailBack))),
            (Some(2), [-500, -500, 1], Some((2, Stay))),
            (Some(1), [-500, 1, 500], Some((1, Stay))),
        ] {
            let choice = choose(&ORDER, current, &healths(now, seconds), now, FAIL_BACK);
            assert_eq!(choice.map(|choice| (choice.pool, choice.reason)), want, "{current:?} {seconds:?}");
        }
    }

    #[test]
    fn a_flapping_preferred_pool_pulls_nobody_back() {
        let start = Instant::now();
        let mut healths = [Health::starting(start); 2];
        healths[1].up(start);
        let mut current = Some(1);
        for minute in 0..60u64 {
            // Up for 100 of every 120 seconds, and asked every second.
            for second in 0..120u64 {
                let now = start + Duration::from_secs(minute * 120 + second);
                if second == 0 {
                    healths[0].up(now)
                } else if second == 100 {
                    healths[0].down(now)
                }
                let choice = choose(&[0, 1], current, &healths, now, FAIL_BACK).unwrap();
                assert_eq!(choice, Choice { pool: 1, reason: Reason::Stay });
                current = Some(choice.pool);
            }
        }
        // It is not used up: once it stays, it is taken.
        let back = start + Duration::from_secs(10_000);
        healths[0].up(back);
        let choice = choose(&[0, 1], current, &healths, back + FAIL_BACK, FAIL_BACK);
        assert_eq!(choice, Some(Choice { pool: 0, reason: Reason::FailBack }));
    }

    #[test]
    fn a_start_waits_for_the_better_pool_but_not_for_long() {
        let start = Instant::now();
        let mut healths = [Health::starting(start); 2];
        healths[1].up(start);
        let choose_at = |healths: &[Health; 2], after| choose(&[0, 1], None, healths, start + after, FAIL_BACK);
        assert_eq!(choose_at(&healths, Duration::ZERO), None);
        assert_eq!(choose_at(&healths, FIRST_LOGIN), Some(Choice { pool: 1, reason: Reason::First }));
        healths[0].up(start);
        assert_eq!(choose_at(&healths, Duration::ZERO), Some(Choice { pool: 0, reason: Reason::First }));
    }
}
