//! The task around one socket: reads lines into the [`Session`], writes what it says, once per wake-up.
//!
//! A client that doesn't read for [`WRITE_TIMEOUT`] or never ends its line is dropped; both buffers are bounded by that.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until, timeout};

use super::reply::Outbox;
use super::session::{Flow, Session};
use super::shared::{Event, Shared};

/// Longest line taken at all, in bytes.
const MAX_LINE: usize = 16 * 1024;
/// Submit replies held back at once by a fault; beyond it reading stops.
const MAX_DELAYED: usize = 8192;
/// How long a client may refuse to read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves a client until either side hangs up.
pub(super) async fn serve(
    mut socket: TcpStream,
    pool: Arc<Shared>,
    mut session: Session,
    mut events: broadcast::Receiver<Event>,
) {
    let mut inbox = Vec::with_capacity(4096);
    let mut out = Outbox::default();
    let mut standing = pool.standing();
    loop {
        let now = Instant::now();
        let stalled_until = standing.stalled_until.filter(|until| *until > now);
        let may_read = stalled_until.is_none() && out.delayed.len() < MAX_DELAYED;
        let due = out.delayed.front().map(|(due, _)| *due);
        let wake = [stalled_until, due].into_iter().flatten().min();

        let mut flow = Flow::Continue;
        tokio::select! {
            read = socket.read_buf(&mut inbox), if may_read => {
                if !read.is_ok_and(|bytes| bytes > 0) {
                    return;
                }
                standing = pool.standing();
                flow = take_lines(&mut session, &mut inbox, |session, line| {
                    session.handle_line(Instant::now(), line, &standing, &mut out)
                });
            }
            event = events.recv() => {
                standing = pool.standing();
                match event {
                    Ok(event) => session.handle_event(event, &standing, &mut out),
                    Err(RecvError::Lagged(_)) => session.resync(&standing, &mut out),
                    Err(RecvError::Closed) => return,
                }
            }
            () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
        }

        out.release(Instant::now());
        if !out.ready.is_empty() {
            let written = timeout(WRITE_TIMEOUT, socket.write_all(&out.ready)).await;
            if !matches!(written, Ok(Ok(()))) {
                return;
            }
            out.ready.clear();
        }
        if flow == Flow::HangUp {
            return;
        }
    }
}

/// Hands over every complete line and keeps the rest.
fn take_lines(
    session: &mut Session,
    inbox: &mut Vec<u8>,
    mut handle: impl FnMut(&mut Session, &[u8]) -> Flow,
) -> Flow {
    let mut done = 0;
    while let Some(length) = inbox[done..].iter().position(|byte| *byte == b'\n') {
        let line = &inbox[done..done + length];
        if length > MAX_LINE || handle(session, line) == Flow::HangUp {
            return Flow::HangUp;
        }
        done += length + 1;
    }
    inbox.drain(..done);
    if inbox.len() > MAX_LINE {
        Flow::HangUp
    } else {
        Flow::Continue
    }
}
