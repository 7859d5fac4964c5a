//! Whether calls to machines keep up: how long they take, against how old a reading may be.
//!
//! Knows times and numbers; calls nobody. Machines that are read too seldom count at all they may draw, and nothing says so but this: each call
//! by itself has gone well.
//!
//! Limits: one sentence for each [`AGAIN`], of what was seen in the last [`WINDOW`].

use std::{
    fmt::{self, Display, Formatter},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;

use super::Keeper;
use crate::power::site::{EventKind, Level, SiteEvent};

/// What is looked at as one.
const WINDOW: Duration = Duration::from_secs(60);

/// How long until the same is said again.
const AGAIN: Duration = Duration::from_secs(3600);

/// Calls of the present window.
#[derive(Debug)]
pub(super) struct Backlog {
    since: Instant,
    calls: u32,
    took: Duration,
    said: Option<Instant>,
}

/// How slow.
#[derive(Debug, PartialEq)]
pub(super) struct Slow {
    machines: usize,
    /// Calls at once.
    most: usize,
    /// What one takes.
    mean: Duration,
    max_age: Duration,
}

impl Backlog {
    pub fn new(now: Instant) -> Self {
        Self { since: now, calls: 0, took: Duration::ZERO, said: None }
    }

    /// A call has ended that took so long.
    pub fn took(&mut self, time: Duration) {
        self.calls = self.calls.saturating_add(1);
        self.took = self.took.saturating_add(time);
    }

    /// Whether a window is over.
    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.since + WINDOW
    }

    /// Ends a window; what is to be said of it. So many machines are read, by `most` calls at once.
    pub fn look(&mut self, now: Instant, machines: usize, most: usize, max_age: Duration) -> Option<Slow> {
        let (calls, took) = (std::mem::take(&mut self.calls), std::mem::take(&mut self.took));
        self.since = now;
        let mean = took.checked_div(calls)?;
        let slow = Slow { machines, most, mean, max_age };
        let was_said = self.said.is_some_and(|said| now < said + AGAIN);
        if slow.round() <= max_age || was_said {
            return None;
        }
        self.said = Some(now);
        Some(slow)
    }
}

impl Slow {
    /// How long it takes to read all.
    fn round(&self) -> Duration {
        self.mean.mul_f64(self.machines as f64 / self.most.max(1) as f64)
    }

    /// How many calls at once would read all in time.
    fn enough(&self) -> f64 {
        (self.machines as f64 * self.mean.as_secs_f64() / self.max_age.as_secs_f64()).ceil()
    }
}

impl Keeper {
    /// Says so if calls don't keep up.
    pub(super) fn look_at_backlog(&mut self, now: Timestamp, tick: Instant) {
        let Some(power) = self.config.power.as_ref().filter(|_| self.backlog.is_due(tick)) else { return };
        if let Some(slow) = self.backlog.look(tick, self.calls.read(), power.calls, power.max_age) {
            let words = slow.to_string().into();
            self.shown.tell(now, SiteEvent { level: Level::Warn, kind: EventKind::Other, group: None, words });
        }
    }
}

impl Display for Slow {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a call to a machine takes {:.1} s on average, so that {} machines are read in {:.0} s by {} calls at once, and a reading is too old \
             after {} s: machines count at all they may draw, and nothing is freed; set [power] calls = {} or more, or max_age = \"{:.0}s\" or more",
            self.mean.as_secs_f64(),
            self.machines,
            self.round().as_secs_f64(),
            self.most,
            self.max_age.as_secs(),
            self.enough(),
            self.round().as_secs_f64().ceil()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_do_not_keep_up_are_said_with_what_to_set() {
        let (start, age) = (Instant::now(), Duration::from_secs(30));
        let mut backlog = Backlog::new(start);
        assert!(!backlog.is_due(start + WINDOW / 2) && backlog.is_due(start + WINDOW));
        assert_eq!(backlog.look(start + WINDOW, 10_000, 64, age), None, "nothing was called");
        for _ in 0..100 {
            backlog.took(Duration::from_millis(190));
        }
        assert_eq!(backlog.look(start + 2 * WINDOW, 10_000, 64, age), None, "29.7 s");
        for _ in 0..100 {
            backlog.took(Duration::from_millis(2_100));
        }
        let slow = backlog.look(start + 3 * WINDOW, 10_000, 64, age).expect("328 s");
        let words = slow.to_string();
        for part in
            ["2.1 s on average", "10000 machines are read in 328 s by 64 calls", "calls = 700 or more", "\"329s\""]
        {
            assert!(words.contains(part), "{part:?} is not in {words}");
        }
        backlog.took(Duration::from_secs(9));
        assert_eq!(backlog.look(start + 4 * WINDOW, 10_000, 64, age), None, "it was said");
        backlog.took(Duration::from_secs(9));
        assert!(backlog.look(start + AGAIN + 3 * WINDOW, 10_000, 64, age).is_some());
    }
}
