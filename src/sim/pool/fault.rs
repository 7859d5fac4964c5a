//! What can go wrong with a pool, on demand.
//!
//! Some faults are a moment (a closed connection, a stray line), others stand until [`Fault::Resume`] ends them.
//! The standing ones are a small value that every connection reads once per wake-up.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// Something to go wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Close every connection now; new ones are welcome.
    DropConnections,
    /// Close every connection and refuse new ones for this long, then listen on the same port again.
    Down(Duration),
    /// Refuse new connections, keep the present ones. Stands.
    StopListening,
    /// Read nothing from any connection for this long, as an overloaded pool does.
    StallReads(Duration),
    /// Answer every submit this much later; it is judged at once. Stands.
    SlowReplies(Duration),
    /// Judge and credit submits but never answer them. Stands.
    SilentReplies,
    /// Send nothing unasked: no difficulty, no job, to anybody; new extranonces and masks are lost on everyone. Stands.
    /// Afterwards everyone gets the newest job.
    NoNotify,
    /// Refuse every share with this error, before looking at it. Stands.
    RejectAll {
        /// Error code.
        code: i32,
        /// Error text.
        message: String,
    },
    /// Refuse every authorization with code 24. Stands.
    RefuseLogin,
    /// Give every subscriber of `mining.extranonce.subscribe` a new, unique extranonce1, in force from the next job on.
    /// The whole extranonce keeps its length, so what extranonce2 gains or loses is taken from or added to extranonce1;
    /// the size is brought into the range that this allows.
    Extranonce {
        /// New size of extranonce2 in bytes.
        extranonce2_size: usize,
    },
    /// Replace the version mask of everyone who negotiated one, in force at once, by `mining.set_version_mask`.
    VersionMask(u32),
    /// Send everyone `client.reconnect`; without a host the parameters are left out.
    Reconnect {
        /// Where to go.
        host: Option<String>,
        /// Its port.
        port: u16,
        /// How long to wait before, in seconds.
        wait_secs: u32,
    },
    /// Send everyone `client.show_message`.
    ShowMessage(String),
    /// Send everyone a line that is no JSON.
    Garbage,
    /// Send everyone this line as it is (the newline is added).
    RawLine(String),
    /// End every standing fault: listen, read, answer and notify as usual.
    Resume,
}

/// The faults that stand.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    pub(super) stalled_until: Option<Instant>,
    pub(super) reply_delay: Duration,
    pub(super) silent_replies: bool,
    pub(super) no_notify: bool,
    pub(super) reject_all: Option<(i32, Arc<str>)>,
    pub(super) refuse_login: bool,
}
