//! How long machines of one kind really take to fall asleep and to wake: learned from what was seen, so that one that lost a command is told
//! again soon, and a plan can say how long a wake takes.
//!
//! Knows durations; knows no device, no clock and no disk. A *kind* is what the caller takes for one: machines of a group with one nameplate.
//!
//! ```text
//! seen:     the last WINDOW times from the first command of a turn to its proof
//! expected: the longest of them × MARGIN + SLACK, at least the floor, at most the limit;  before LEAST of them: what the config says
//! floor:    a quarter of what the config says, and SHORTEST: a firmware that tells 0 W the moment it is told to sleep teaches nothing below it
//! ```
//! The longest and not a percentile: whoever is among the slowest 5 % would be told again at each turn. From the *first* command: a machine that was
//! told twice would otherwise show a time that is too short, and keep it so. For the same reason a proof that comes late counts, too: whoever was given
//! too little time lengthens that of its kind.
//!
//! What is expected is when a machine is told again, and nothing else: how long a wake that was sent may still take effect, which guards
//! the proof of a sleep, stays at what the config says or longer.
//!
//! Limits: [`WINDOW`] of each; times are kept in whole seconds, up to [`LONGEST`].

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};

use super::device::Goal;

/// Times that are remembered each way: a hall of 64 machines once, one machine for two months of nights.
pub const WINDOW: usize = 64;

/// Fewer say nothing yet.
pub const LEAST: usize = 8;

/// Nothing is waited for longer than that, whatever was seen.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// Over the longest that was seen.
const MARGIN: f64 = 1.5;

/// Readings come in steps.
const SLACK: Duration = Duration::from_secs(10);

/// What no firmware needs less than, told or not.
const SHORTEST: Duration = Duration::from_secs(20);

const _: () = assert!(LEAST <= WINDOW);

/// How long a machine may take each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// To fall asleep.
    pub sleep: Duration,
    /// To wake, with its first share.
    pub wake: Duration,
}

/// What was seen of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pace {
    #[serde(default)]
    sleep: VecDeque<u32>,
    #[serde(default)]
    wake: VecDeque<u32>,
}

impl Pace {
    /// From its text; `None` if it is none. More than [`WINDOW`] are cut.
    pub fn parse(text: &str) -> Option<Self> {
        let mut pace: Self = serde_json::from_str(text).ok()?;
        for seen in [&mut pace.sleep, &mut pace.wake] {
            seen.drain(..seen.len().saturating_sub(WINDOW));
        }
        Some(pace)
    }

    /// As text, for [`Pace::parse`].
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// A machine took so long from the first command of a turn to its proof.
    pub fn saw(&mut self, goal: Goal, took: Duration) {
        let seen = self.seen_mut(goal);
        if seen.len() >= WINDOW {
            seen.pop_front();
        }
        // Rounded up: what took half a second did take something.
        let seconds = took.min(LONGEST).as_secs_f64().ceil();
        seen.push_back(seconds as u32);
    }

    /// How long one may take now. `start` is what the config says, or its default; `most` what is never exceeded.
    pub fn expected(&self, start: Times, most: Times) -> Times {
        Times {
            sleep: expected(&self.sleep, start.sleep, most.sleep),
            wake: expected(&self.wake, start.wake, most.wake),
        }
    }

    /// What half of them take at most, and all of them; `None` before there are [`LEAST`].
    pub fn usual(&self, goal: Goal) -> Option<(Duration, Duration)> {
        let mut seen: Vec<u32> = self.seen(goal).iter().copied().collect();
        if seen.len() < LEAST {
            return None;
        }
        seen.sort_unstable();
        let secs = |seconds: u32| Duration::from_secs(u64::from(seconds));
        Some((secs(seen[(seen.len() - 1) / 2]), secs(seen[seen.len() - 1])))
    }

    fn seen(&self, goal: Goal) -> &VecDeque<u32> {
        match goal {
            Goal::Sleep => &self.sleep,
            Goal::Mine => &self.wake,
        }
    }

    fn seen_mut(&mut self, goal: Goal) -> &mut VecDeque<u32> {
        match goal {
            Goal::Sleep => &mut self.sleep,
            Goal::Mine => &mut self.wake,
        }
    }
}

fn expected(seen: &VecDeque<u32>, start: Duration, most: Duration) -> Duration {
    let longest = match seen.iter().max() {
        Some(longest) if seen.len() >= LEAST => Duration::from_secs(u64::from(*longest)),
        _ => return start,
    };
    let floor = (start / 4).max(SHORTEST);
    // A limit under the floor is the operator's: it holds.
    longest.mul_f64(MARGIN).saturating_add(SLACK).max(floor).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const START: Times = Times { sleep: secs(60), wake: secs(300) };
    const MOST: Times = Times { sleep: secs(60), wake: secs(1800) };

    fn seen(wakes: impl IntoIterator<Item = u64>) -> Pace {
        let mut pace = Pace::default();
        wakes.into_iter().for_each(|took| pace.saw(Goal::Mine, secs(took)));
        pace
    }

    #[test]
    fn the_configs_times_count_until_enough_was_seen() {
        assert_eq!(Pace::default().expected(START, MOST), START);
        assert_eq!(seen([100; LEAST - 1]).expected(START, MOST), START);
        assert_eq!(seen([100; LEAST - 1]).usual(Goal::Mine), None);
        assert_eq!(seen([100; LEAST]).expected(START, MOST), Times { wake: secs(160), ..START });
    }

    #[test]
    fn the_slowest_is_waited_for_and_leaves_with_its_window() {
        let mut pace = seen([90; 40]);
        pace.saw(Goal::Mine, secs(240));
        assert_eq!(pace.expected(START, MOST).wake, secs(370), "longer than the config's start");
        assert_eq!(pace.usual(Goal::Mine), Some((secs(90), secs(240))));
        (0..WINDOW).for_each(|_| pace.saw(Goal::Mine, secs(90)));
        assert_eq!(pace.expected(START, MOST).wake, secs(145));
    }

    #[test]
    fn nothing_seen_shrinks_a_time_below_its_floor_or_lengthens_it_over_its_limit() {
        let mut lies = seen([0; WINDOW]);
        (0..WINDOW).for_each(|_| lies.saw(Goal::Sleep, Duration::ZERO));
        assert_eq!(lies.expected(START, MOST), Times { sleep: secs(20), wake: secs(75) });
        let mut slow = seen([100_000; WINDOW]);
        (0..WINDOW).for_each(|_| slow.saw(Goal::Sleep, Duration::MAX));
        assert_eq!(slow.expected(START, MOST), MOST);
        let impatient = Times { sleep: secs(10), wake: secs(10) };
        assert_eq!(lies.expected(impatient, impatient), impatient, "an operator's own limit holds");
    }

    #[test]
    fn what_was_seen_outlives_a_restart_and_what_is_no_pace_is_none() {
        let pace = seen([61, 62, 200]);
        assert_eq!(Pace::parse(&pace.text()), Some(pace));
        assert_eq!(Pace::parse("{"), None);
        assert_eq!(Pace::parse(r#"{"wake":[-1]}"#), None);
        let many = format!(r#"{{"sleep":{:?}}}"#, [7; 10 * WINDOW]);
        assert_eq!(Pace::parse(&many).map(|pace| pace.sleep.len()), Some(WINDOW));
    }
}
