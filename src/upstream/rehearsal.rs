//! A conversation with a pool that is not there: bytes in, lines and events out, no socket and no clock.
//!
//! For fuzz targets and tests outside this crate. It does what `task.rs` does around a session, with the same limit on lines,
//! and nothing else.

use std::{sync::Arc, time::Instant};

use super::{
    Event, Outgoing, UpstreamIds,
    carried::Carried,
    output::Output,
    session::{MAX_POOL_LINE, Session},
};
use crate::{
    config::Pool,
    stratum::{LineTooLong, Lines},
};

/// One connection to a pool.
#[derive(Debug)]
pub struct Rehearsal {
    session: Session,
    lines: Lines,
}

/// What a session wanted done.
#[derive(Debug, Default)]
pub struct Said {
    /// Lines for the pool, with their ends.
    pub lines: Vec<String>,
    /// For the router.
    pub events: Vec<Event>,
    /// Why the connection is closed; nothing follows.
    pub closed: Option<String>,
}

impl Rehearsal {
    /// The connection is made.
    pub fn new(now: Instant, pool: Arc<Pool>) -> Self {
        let session = Session::new(now, pool, Arc::new(UpstreamIds::default()), Carried::default());
        Self { session, lines: Lines::new(MAX_POOL_LINE) }
    }

    /// Bytes came from the pool.
    pub fn hear(&mut self, now: Instant, mut bytes: &[u8]) -> Said {
        loop {
            match self.lines.next(&mut bytes) {
                Ok(Some(line)) => self.session.handle_line(now, line),
                Ok(None) => return self.said(),
                Err(error @ LineTooLong { .. }) => return Said { closed: Some(error.to_string()), ..self.said() },
            }
        }
    }

    /// A share for the pool.
    pub fn submit(&mut self, now: Instant, outgoing: Outgoing) -> Said {
        self.session.submit(now, outgoing);
        self.said()
    }

    /// Lets the time come for what is due.
    pub fn wait_until(&mut self, now: Instant) -> Said {
        if self.session.poll_timeout().is_some_and(|due| due <= now) {
            self.session.handle_timeout(now);
        }
        self.said()
    }

    fn said(&mut self) -> Said {
        let mut said = Said::default();
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(line) => said.lines.push(line),
                Output::Event(event) => said.events.push(event),
                Output::Close(close) => said.closed = Some(close.to_string()),
                Output::Note(..) => {}
            }
        }
        said
    }
}
