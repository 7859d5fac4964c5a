//! What a session wants done, and why it ends a connection.

use std::{fmt, sync::Arc};

use crate::{
    downstream::Round,
    router::SessionId,
    work::{PoolShare, Reject, ValidShare},
};

/// Where a session leaves what it has to say; owned by the caller and used for many sessions.
#[derive(Debug, Default)]
pub struct Io {
    /// Lines for this miner.
    pub out: Vec<u8>,
    /// What else should happen, in order.
    pub effects: Vec<Effect>,
    /// Shares that wait to be judged, of this miner and of others.
    pub round: Round,
    /// Set when `out` carries a clean job: it may overtake what is still waiting to be sent.
    pub clean: bool,
}

/// What a session wants done.
#[derive(Debug)]
pub enum Effect {
    /// It needs to know what the listener offers; answer with [`Session::handle_offer`](super::Session::handle_offer).
    WantOffer,
    /// It needs an extranonce; answer with [`Session::handle_lease`](super::Session::handle_lease).
    WantLease {
        /// The session that the miner wants to resume.
        resume: Option<SessionId>,
    },
    /// It needs work; answer with [`Session::handle_attached`](super::Session::handle_attached). Comes again when the user name becomes known later.
    WantRoute {
        /// The first authorized worker; `None` if there is none yet.
        user: Option<Arc<str>>,
    },
    /// A share was judged. `place`: of its worker on this connection, as in [`Session::workers`](super::Session::workers); 0, the first, if it
    /// names none that is authorized.
    Judged {
        /// How.
        verdict: Result<ValidShare, Reject>,
        /// Whose.
        place: u16,
    },
    /// A share that its pool should see.
    Submit {
        /// What.
        share: PoolShare,
        /// The worker that found it.
        user: Arc<str>,
        /// The ticket of the waiting reply, for [`Session::handle_pool_word`](super::Session::handle_pool_word); 0 if none waits.
        ticket: u32,
    },
    /// The difficulty that suits the miner changed.
    Retargeted,
    /// End the connection, after what was written.
    Close(CloseReason),
}

/// Why a connection is ended by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The first line was no Stratum: a scanner, a browser, TLS.
    NotStratum,
    /// Too many lines that are no JSON.
    Malformed,
    /// A line over the limit.
    LineTooLong,
    /// Not subscribed and authorized in time.
    PreAuthTimeout,
    /// No extranonce is free.
    Exhausted,
    /// The firmware can't work with the extranonce2 size that the pools leave.
    Extranonce2Size,
    /// The miner would run through its extranonce before the next work.
    TooFastForExtranonce2,
    /// It does not read what it is sent.
    SlowReader,
    /// We asked it to reconnect, for a new layout.
    Relayout,
    /// The router's queue is full.
    Overload,
    /// The proxy ends.
    Shutdown,
}

impl CloseReason {
    /// Every reason, for counters.
    pub const ALL: [Self; 11] = [
        Self::NotStratum,
        Self::Malformed,
        Self::LineTooLong,
        Self::PreAuthTimeout,
        Self::Exhausted,
        Self::Extranonce2Size,
        Self::TooFastForExtranonce2,
        Self::SlowReader,
        Self::Relayout,
        Self::Overload,
        Self::Shutdown,
    ];

    /// Position in [`CloseReason::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// For metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotStratum => "not_stratum",
            Self::Malformed => "malformed",
            Self::LineTooLong => "line_too_long",
            Self::PreAuthTimeout => "pre_auth_timeout",
            Self::Exhausted => "extranonce_exhausted",
            Self::Extranonce2Size => "extranonce2_size",
            Self::TooFastForExtranonce2 => "too_fast_for_extranonce2",
            Self::SlowReader => "slow_reader",
            Self::Relayout => "relayout",
            Self::Overload => "overload",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotStratum => "it does not speak Stratum",
            Self::Malformed => "too many malformed lines",
            Self::LineTooLong => "a line over the limit",
            Self::PreAuthTimeout => "not subscribed and authorized in time",
            Self::Exhausted => "no extranonce is free",
            Self::Extranonce2Size => "its firmware can't use the extranonce2 size that the pools leave",
            Self::TooFastForExtranonce2 => {
                "too fast for the extranonce2 that the pools leave, unless it rolls versions"
            }
            Self::SlowReader => "it does not read what it is sent",
            Self::Relayout => "asked to reconnect for a new extranonce layout",
            Self::Overload => "the router can't keep up",
            Self::Shutdown => "the proxy shuts down",
        })
    }
}
