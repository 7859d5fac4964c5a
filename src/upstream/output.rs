//! What a [`Session`](super::session::Session) wants done: lines, events, notes for the log, and the end with its reason.

use std::{fmt, sync::Arc, time::Duration};

use tracing::Level;

use super::Event;
use crate::stratum::PoolError;

/// Lines that are no JSON objects: a pool's proxy may leak one, someone who speaks another protocol sends nothing else.
pub(super) const MAX_GARBAGE: u32 = 16;

/// What the machine wants done.
#[derive(Debug)]
pub(super) enum Output {
    /// A line, with its end.
    Send(String),
    /// For the router.
    Event(Event),
    /// For the log.
    Note(Level, String),
    /// The end; nothing follows.
    Close(Close),
}

/// Why a connection is closed from our side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Close {
    #[error("no answer to {method} in {}", humantime::format_duration(*after))]
    NoAnswer { method: &'static str, after: Duration },
    #[error("subscribe refused: {0}")]
    Subscribe(String),
    #[error("login {user:?} refused: {error}; check the pool's user and password")]
    Login { user: Arc<str>, error: PoolError },
    #[error("its extranonce can't be used: {0}")]
    Extranonce(String),
    #[error("no job for {}", humantime::format_duration(*.0))]
    NoJob(Duration),
    #[error("{MAX_GARBAGE} lines that are no Stratum, the last: {0}")]
    Garbage(String),
    #[error("sent to {0} by client.reconnect")]
    Redirect(Redirect),
}

/// Where a pool wants us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Redirect {
    /// `None`: where we are.
    pub host: Option<String>,
    /// `None`: the same.
    pub port: Option<u16>,
    /// How long to wait.
    pub wait: Duration,
}

impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host.as_deref().unwrap_or("the same host"))?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}
