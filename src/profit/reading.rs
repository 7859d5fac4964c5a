//! What a signal says at a moment: a value, or why there is none to act on.
//!
//! Knows the four cases; does not know where a value came from, what it is worth, or what is done without one.
//!
//! | reading | meaning | what the engine does (`decision.rs`) |
//! |---|---|---|
//! | [`Reading::Never`] | nothing came yet | holds; a grid signal that was never seen asks for nothing |
//! | [`Reading::Fresh`] | younger than its `max_age`, in its plausible range | acts |
//! | [`Reading::Stale`] | the last value, too old | economic: holds for `max_hold`; grid: as configured |
//! | [`Reading::Split`] | sources disagree by more than `max_spread` | holds |
//!
//! Values that cannot be (NaN, out of range) are refused where they come in and never get here.

use jiff::Timestamp;

/// One signal at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reading<T> {
    /// Nothing was ever received.
    Never,
    /// A value to act on.
    Fresh {
        /// In the signal's canonical unit.
        value: T,
        /// When it held, by its source.
        observed_at: Timestamp,
    },
    /// The last value; older than the signal allows.
    Stale {
        /// In the signal's canonical unit.
        value: T,
        /// When it held, by its source.
        observed_at: Timestamp,
    },
    /// Several fresh sources that contradict each other.
    Split {
        /// The least they say.
        low: T,
        /// The most they say.
        high: T,
    },
}

impl<T> Reading<T> {
    /// The value, if it may be acted on.
    pub fn fresh(self) -> Option<T> {
        match self {
            Self::Fresh { value, .. } => Some(value),
            Self::Never | Self::Stale { .. } | Self::Split { .. } => None,
        }
    }

    /// The same reading in another type.
    pub fn map<U>(self, mut with: impl FnMut(T) -> U) -> Reading<U> {
        match self {
            Self::Never => Reading::Never,
            Self::Fresh { value, observed_at } => Reading::Fresh { value: with(value), observed_at },
            Self::Stale { value, observed_at } => Reading::Stale { value: with(value), observed_at },
            Self::Split { low, high } => Reading::Split { low: with(low), high: with(high) },
        }
    }

    /// Both readings in one that is no better than the worse of them (`Never`, `Stale`, `Split`, `Fresh`). It was observed
    /// when the newer of them was; of two splits the least goes with the least.
    pub fn join<U: Copy, V>(self, other: Reading<U>, mut with: impl FnMut(T, U) -> V) -> Reading<V>
    where
        T: Copy,
    {
        let (Some(ours), Some(theirs)) = (self.parts(), other.parts()) else { return Reading::Never };
        let (low, high) = (with(ours.low, theirs.low), with(ours.high, theirs.high));
        let observed_at = ours.observed_at.max(theirs.observed_at);
        match (ours.is_stale || theirs.is_stale, ours.is_split || theirs.is_split) {
            (true, _) => Reading::Stale { value: low, observed_at },
            (false, true) => Reading::Split { low, high },
            (false, false) => Reading::Fresh { value: low, observed_at },
        }
    }

    /// A split with its ends exchanged, for what falls when this rises.
    pub fn reversed(self) -> Self {
        match self {
            Self::Split { low, high } => Self::Split { low: high, high: low },
            other => other,
        }
    }

    fn parts(self) -> Option<Parts<T>>
    where
        T: Copy,
    {
        Some(match self {
            Self::Never => return None,
            Self::Fresh { value, observed_at } => {
                Parts { low: value, high: value, observed_at, is_stale: false, is_split: false }
            }
            Self::Stale { value, observed_at } => {
                Parts { low: value, high: value, observed_at, is_stale: true, is_split: false }
            }
            Self::Split { low, high } => {
                Parts { low, high, observed_at: Timestamp::MIN, is_stale: false, is_split: true }
            }
        })
    }

    /// The same reading in a type that not every value fits; one that does not fit counts as not received.
    pub fn try_map<U>(self, mut with: impl FnMut(T) -> Option<U>) -> Reading<U> {
        match self {
            Self::Never => Reading::Never,
            Self::Fresh { value, observed_at } => {
                with(value).map_or(Reading::Never, |value| Reading::Fresh { value, observed_at })
            }
            Self::Stale { value, observed_at } => {
                with(value).map_or(Reading::Never, |value| Reading::Stale { value, observed_at })
            }
            Self::Split { low, high } => match (with(low), with(high)) {
                (Some(low), Some(high)) => Reading::Split { low, high },
                _ => Reading::Never,
            },
        }
    }
}

struct Parts<T> {
    low: T,
    high: T,
    observed_at: Timestamp,
    is_stale: bool,
    is_split: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fresh_value_may_be_acted_on() {
        let observed_at = Timestamp::UNIX_EPOCH;
        assert_eq!(Reading::Fresh { value: 1, observed_at }.fresh(), Some(1));
        for reading in [Reading::Never, Reading::Stale { value: 1, observed_at }, Reading::Split { low: 1, high: 2 }] {
            assert_eq!(reading.fresh(), None);
        }
    }

    #[test]
    fn a_value_that_does_not_fit_its_type_counts_as_not_received() {
        let positive = |value: f64| (value > 0.0).then_some(value);
        let observed_at = Timestamp::UNIX_EPOCH;
        assert_eq!(Reading::Fresh { value: -1.0, observed_at }.try_map(positive), Reading::Never);
        assert_eq!(Reading::Split { low: -1.0, high: 1.0 }.try_map(positive), Reading::Never);
        let split = Reading::Split { low: 1.0, high: 2.0 };
        assert_eq!(split.try_map(positive), split);
    }

    #[test]
    fn two_readings_are_as_good_as_the_worse_one() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let fresh = |value, second| Reading::Fresh { value, observed_at: at(second) };
        let sum = |a: i32, b: i32| a + b;
        assert_eq!(fresh(1, 10).join(fresh(2, 5), sum), fresh(3, 10));
        let stale = Reading::Stale { value: 2, observed_at: at(5) };
        assert_eq!(fresh(1, 10).join(stale, sum), Reading::Stale { value: 3, observed_at: at(10) });
        let split = Reading::Split { low: 2, high: 7 };
        assert_eq!(split.join(fresh(1, 10), sum), Reading::Split { low: 3, high: 8 });
        assert_eq!(split.reversed().join(fresh(1, 10), sum), Reading::Split { low: 8, high: 3 });
        assert_eq!(split.join(stale, sum), Reading::Stale { value: 4, observed_at: at(5) });
        assert_eq!(split.join(Reading::Never, sum), Reading::Never);
    }
}
