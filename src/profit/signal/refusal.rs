//! Why a value was not taken: in words for people, under a fixed word for counters.

use std::fmt::{self, Display, Formatter};

use jiff::Timestamp;

/// Why a value was not taken.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// NaN or infinite.
    NotFinite,
    /// A zero where that is impossible.
    Zero,
    /// Out of the plausible range.
    Range {
        /// The value, in the canonical unit as the bounds.
        value: f64,
        /// The least that is plausible.
        low: f64,
        /// The most.
        high: f64,
    },
    /// From a time that is yet to come.
    Future(Timestamp),
    /// Not newer than what is held.
    Replay {
        /// What it says.
        at: Timestamp,
        /// What is held.
        last: Timestamp,
    },
    /// Older than `max_age` when it came.
    Old(Timestamp),
    /// An interval that does not end after it begins.
    Interval {
        /// Begin.
        from: Timestamp,
        /// End.
        to: Timestamp,
    },
    /// Two values for one time.
    Overlap(Timestamp),
    /// Only values for times that are over.
    Past,
    /// More values than anybody needs.
    TooMany(usize),
    /// No value at all.
    Nothing,
    /// In another unit than the signal's.
    Unit(String),
    /// No such signal, or one that is not pushed.
    Unknown,
    /// The source's answer can't be read: no JSON, no number at that place.
    Unreadable(String),
    /// The source was not reached, or did not answer in time.
    Unreachable(String),
    /// The source answered that it will not.
    Failed(String),
    /// The source asked for fewer questions.
    RateLimited(String),
    /// The source sends us elsewhere.
    Redirect(String),
    /// Longer than an answer may be.
    TooLarge(usize),
}

impl Refusal {
    /// The word it is counted under.
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotFinite => "not_finite",
            Self::Zero => "zero",
            Self::Range { .. } => "range",
            Self::Future(_) => "future",
            Self::Replay { .. } => "replay",
            Self::Old(_) => "old",
            Self::Interval { .. } => "interval",
            Self::Overlap(_) => "overlap",
            Self::Past => "past",
            Self::TooMany(_) => "too_many",
            Self::Nothing => "nothing",
            Self::Unit(_) => "unit",
            Self::Unknown => "unknown",
            Self::Unreadable(_) => "unreadable",
            Self::Unreachable(_) => "unreachable",
            Self::Failed(_) => "failed",
            Self::RateLimited(_) => "rate_limited",
            Self::Redirect(_) => "redirect",
            Self::TooLarge(_) => "too_large",
        }
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite => f.write_str("the value is not a finite number"),
            Self::Zero => f.write_str("the value is zero, which this can't be: the source's own data is missing"),
            Self::Range { value, low, high } => {
                write!(f, "the value {value} is out of the plausible range, {low} to {high}")
            }
            Self::Future(at) => write!(f, "its time {at} is yet to come: compare the clocks"),
            Self::Replay { at, last } => write!(f, "its time {at} is not after {last}, the last one that was taken"),
            Self::Old(at) => write!(f, "its time {at} is longer ago than max_age"),
            Self::Interval { from, to } => write!(f, "it holds from {from} to {to}, which is no time at all"),
            Self::Overlap(at) => write!(f, "there are two values for {at}: say with where which is meant"),
            Self::Past => f.write_str("all of its values are for times that are over"),
            Self::TooMany(count) => write!(f, "{count} values at once are more than {}", super::MAX_INTERVALS),
            Self::Nothing => f.write_str("there is no value in it"),
            Self::Unit(why) => f.write_str(why),
            Self::Unknown => f.write_str("there is no such signal"),
            Self::Unreadable(why)
            | Self::Unreachable(why)
            | Self::Failed(why)
            | Self::RateLimited(why)
            | Self::Redirect(why) => f.write_str(why),
            Self::TooLarge(bytes) => write!(f, "the answer is longer than {bytes} bytes"),
        }
    }
}

impl std::error::Error for Refusal {}
