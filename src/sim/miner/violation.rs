//! What a server did that a firmware can't bear.
//!
//! A violation is recorded in the miner's [`MinerStats`](super::MinerStats) and then the session does what the
//! firmware would: fail the pool, drop the job, or go on. Tests assert that there were none.

use super::profile::Step;
use serde::Serialize;
use std::fmt;

/// One thing that the server did wrong, as this firmware sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolViolation {
    /// A line other than the answer arrived where the firmware takes the next line for the answer.
    LineInsteadOfAnswer {
        /// What was asked.
        step: Step,
        /// The line, shortened.
        line: String,
    },
    /// A request of the handshake was refused.
    Refused {
        /// What was asked.
        step: Step,
        /// The error, shortened.
        error: String,
    },
    /// The answer to a request of the handshake has not the shape it should have.
    BadAnswer {
        /// What was asked.
        step: Step,
        /// The answer, shortened.
        line: String,
    },
    /// The answer to `mining.configure` has a key that was not asked for.
    UnrequestedConfigureKey(String),
    /// The firmware needs a version mask and got none.
    NoVersionMask,
    /// An extranonce1 longer than the firmware's buffer, in bytes.
    Extranonce1Size(usize),
    /// An extranonce2 size, in bytes, that the firmware can't mine or submit.
    Extranonce2Size(usize),
    /// A field of `mining.notify` is not hex, or not of its fixed length.
    BadField(&'static str),
    /// A job id that is still known came again without `clean`.
    RepeatedJobId(String),
    /// Two live job ids have the same CRC-16.
    JobIdCollision(String),
    /// A job has the content of an earlier one on this connection: this firmware would repeat its headers.
    RepeatedWork(String),
    /// More merkle branches than the firmware holds.
    TooManyBranches(usize),
    /// A coinbase longer than the firmware's buffer, in bytes.
    CoinbaseTooLong(usize),
    /// A notify line longer than the firmware's buffer, in bytes.
    NotifyTooLong(usize),
    /// A user name that overflows the firmware's buffer, in bytes.
    UserTooLong(usize),
    /// A job before any `mining.set_difficulty`.
    NoDifficulty,
    /// A difficulty that is not a positive finite number.
    BadDifficulty,
    /// A difficulty that the firmware's integer turns into another one.
    FractionalDifficulty,
    /// A difficulty below the least that the firmware agrees to.
    DifficultyTooLow,
    /// `mining.set_extranonce` to a miner that never subscribed to it.
    UnrequestedExtranonce,
    /// `mining.set_version_mask` to a miner that never configured version rolling.
    UnrequestedVersionMask,
    /// A reply to nothing that was asked.
    UnknownReply(String),
    /// A line that is no stratum message.
    Garbage(String),
    /// A line beyond the longest that any firmware reads.
    LineTooLong,
    /// No reply within the firmware's limit.
    ReplyTimeout,
    /// Nothing at all within the firmware's limit.
    Silence,
}

/// Longest piece of a server's line that a violation quotes.
const QUOTED_BYTES: usize = 160;

/// The beginning of a line, for a violation.
pub(super) fn quoted(line: &[u8]) -> String {
    String::from_utf8_lossy(&line[..line.len().min(QUOTED_BYTES)]).into_owned()
}

impl ProtocolViolation {
    /// A name without the particulars, to count by.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::LineInsteadOfAnswer { .. } => "line-instead-of-answer",
            Self::Refused { .. } => "refused",
            Self::BadAnswer { .. } => "bad-answer",
            Self::UnrequestedConfigureKey(_) => "unrequested-configure-key",
            Self::NoVersionMask => "no-version-mask",
            Self::Extranonce1Size(_) => "extranonce1-size",
            Self::Extranonce2Size(_) => "extranonce2-size",
            Self::BadField(_) => "bad-field",
            Self::RepeatedJobId(_) => "repeated-job-id",
            Self::JobIdCollision(_) => "job-id-collision",
            Self::RepeatedWork(_) => "repeated-work",
            Self::TooManyBranches(_) => "too-many-branches",
            Self::CoinbaseTooLong(_) => "coinbase-too-long",
            Self::NotifyTooLong(_) => "notify-too-long",
            Self::UserTooLong(_) => "user-too-long",
            Self::NoDifficulty => "no-difficulty",
            Self::BadDifficulty => "bad-difficulty",
            Self::FractionalDifficulty => "fractional-difficulty",
            Self::DifficultyTooLow => "difficulty-too-low",
            Self::UnrequestedExtranonce => "unrequested-extranonce",
            Self::UnrequestedVersionMask => "unrequested-version-mask",
            Self::UnknownReply(_) => "unknown-reply",
            Self::Garbage(_) => "garbage",
            Self::LineTooLong => "line-too-long",
            Self::ReplyTimeout => "reply-timeout",
            Self::Silence => "silence",
        }
    }
}

impl fmt::Display for ProtocolViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            Self::LineInsteadOfAnswer { step, line }
            | Self::BadAnswer { step, line }
            | Self::Refused { step, error: line } => write!(f, " ({step:?}): {line}"),
            Self::UnrequestedConfigureKey(text)
            | Self::RepeatedJobId(text)
            | Self::JobIdCollision(text)
            | Self::RepeatedWork(text)
            | Self::UnknownReply(text)
            | Self::Garbage(text) => write!(f, ": {text}"),
            Self::BadField(field) => write!(f, ": {field}"),
            Self::Extranonce1Size(n)
            | Self::Extranonce2Size(n)
            | Self::TooManyBranches(n)
            | Self::CoinbaseTooLong(n)
            | Self::NotifyTooLong(n)
            | Self::UserTooLong(n) => write!(f, ": {n}"),
            _ => Ok(()),
        }
    }
}

impl Serialize for ProtocolViolation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
