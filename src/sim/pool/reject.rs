//! The reasons a share can be refused for: code and text for the miner, label for the books.
//!
//! | verdict             | code | reason label        |
//! |---------------------|------|---------------------|
//! | malformed field     | 20   | `params`            |
//! | ntime out of window | 20   | `ntime`             |
//! | version bits        | 20   | `version-bits`      |
//! | unknown job         | 21   | `job-not-found`     |
//! | superseded job      | 21   | `stale`             |
//! | hash already seen   | 22   | `duplicate`         |
//! | hash too great      | 23   | `low-difficulty`    |
//! | worker not let in   | 24   | `unauthorized`      |
//! | never subscribed    | 25   | `not-subscribed`    |
//! | by order of a fault | any  | `forced`            |

use std::sync::Arc;

/// Why a share was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reject {
    /// A parameter is missing, is no hex or has the wrong length.
    Params(&'static str),
    /// Before the job's time, or too far after it.
    Ntime,
    /// Version bits were rolled that the pool never granted.
    VersionBits,
    /// The job was never sent to this connection, or long ago.
    JobNotFound,
    /// A later block superseded the job.
    Stale,
    /// The same header was credited before.
    Duplicate,
    /// The hash is above the target of the job's difficulty.
    LowDifficulty,
    /// The worker is not logged in here.
    Unauthorized,
    /// No `mining.subscribe` came first.
    NotSubscribed,
    /// [`Fault::RejectAll`](super::Fault::RejectAll) is in force.
    Forced {
        /// Error code to answer.
        code: i32,
        /// Text to answer.
        message: Arc<str>,
    },
}

impl Reject {
    /// The code on the wire.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Reject::Params(_) | Reject::Ntime | Reject::VersionBits => 20,
            Reject::JobNotFound | Reject::Stale => 21,
            Reject::Duplicate => 22,
            Reject::LowDifficulty => 23,
            Reject::Unauthorized => 24,
            Reject::NotSubscribed => 25,
            Reject::Forced { code, .. } => *code,
        }
    }

    /// The text on the wire.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Reject::Params(field) => format!("Invalid {field}"),
            Reject::Ntime => "Ntime out of range".to_owned(),
            Reject::VersionBits => "Version bits outside mask".to_owned(),
            Reject::JobNotFound => "Job not found".to_owned(),
            Reject::Stale => "Stale".to_owned(),
            Reject::Duplicate => "Duplicate share".to_owned(),
            Reject::LowDifficulty => "Low difficulty share".to_owned(),
            Reject::Unauthorized => "Unauthorized worker".to_owned(),
            Reject::NotSubscribed => "Not subscribed".to_owned(),
            Reject::Forced { message, .. } => message.as_ref().to_owned(),
        }
    }

    /// The name under which it is counted.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Reject::Params(_) => "params",
            Reject::Ntime => "ntime",
            Reject::VersionBits => "version-bits",
            Reject::JobNotFound => "job-not-found",
            Reject::Stale => "stale",
            Reject::Duplicate => "duplicate",
            Reject::LowDifficulty => "low-difficulty",
            Reject::Unauthorized => "unauthorized",
            Reject::NotSubscribed => "not-subscribed",
            Reject::Forced { .. } => "forced",
        }
    }
}
