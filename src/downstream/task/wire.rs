//! One connection's bytes: read and taken apart, written or kept until the miner takes them, and let go in an orderly way.
//!
//! The kernel is asked for edges: it says once that there is something to read, and again only when more has come. What was not
//! read in a turn is therefore remembered ([`Slot::is_readable`]).

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
};

use super::*;

/// After the last line to a miner that we disconnect, what it still sends is read for so long, so that our close does not reset the
/// connection before the line is read.
const LINGER: Duration = Duration::from_secs(1);

/// Reads of such a connection at once: 256 KiB. Who sends more without a pause is read on when the kernel says that still more came, and
/// nobody waits for it.
const LINGERING_READS: usize = 64;

impl Hall {
    /// The kernel says something of a miner's socket.
    pub(super) fn attend(&mut self, index: usize, event: &Event) {
        let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.ends.is_none()) else { return };
        slot.has_hung_up |= event.is_read_closed() || event.is_error();
        slot.is_readable |= event.is_readable() || slot.has_hung_up;
        if event.is_writable() {
            self.write_waiting(index);
        }
        self.read(index);
    }

    /// Goes on with those that had more to read than one turn takes.
    pub(super) fn read_on(&mut self) {
        for (index, key) in std::mem::take(&mut self.unread) {
            if self.find(key).is_some() {
                self.slots[index].is_unread = false;
                self.read(index);
            }
        }
    }

    /// Reads what is there, a few buffers at most. Who has more waits for [`read_on`](Self::read_on), whatever the kernel says
    /// meanwhile: else a flood would be read more often in each turn than in the one before.
    fn read(&mut self, index: usize) {
        if self.slots[index].is_unread {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        for turn in 0.. {
            let slot = &mut self.slots[index];
            if !slot.is_readable || slot.ends.is_some() || slot.session.is_waiting() || self.stopped {
                break;
            }
            if turn == READS_PER_TURN {
                slot.is_unread = true;
                self.unread.push((index, slot.key));
                break;
            }
            match slot.stream.read(&mut buffer) {
                Ok(0) => self.end(index, End::Left),
                Ok(len) => {
                    // A buffer that was not filled has emptied the socket, and what comes from now on is said again: one system
                    // call less for each share. Only the end of the stream is not said twice.
                    slot.is_readable = len == buffer.len() || slot.has_hung_up;
                    self.feed(index, &buffer[..len]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => slot.is_readable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.end(index, End::Left),
            }
        }
        self.buffer = buffer;
    }

    /// Handles the lines in what was read. Shares are left in the round.
    fn feed(&mut self, index: usize, mut input: &[u8]) {
        let now = self.now;
        if self.slots[index].rest.ends_by_a_line() {
            self.stir(index);
        }
        self.io.round.begin(index);
        loop {
            let slot = &mut self.slots[index];
            if slot.session.is_waiting() {
                slot.stalled.extend_from_slice(input);
                break;
            }
            match slot.lines.next(&mut input) {
                Ok(Some(line)) => {
                    if slot.session.take_line(now, line, &mut self.io) == Taken::Not {
                        let line = line.to_vec();
                        self.judge_meanwhile(index);
                        let taken = self.slots[index].session.take_line(now, &line, &mut self.io);
                        debug_assert_eq!(taken, Taken::Yes, "no share waits");
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    self.judge_meanwhile(index);
                    Response(&mut self.io.out).error(RawId::from_text("null"), 20, error);
                    self.io.effects.push(Effect::Close(CloseReason::LineTooLong));
                }
            }
            if matches!(self.io.effects.last(), Some(Effect::Close(_))) {
                break;
            }
            if self.io.round.is_full() {
                self.judge_meanwhile(index);
            }
        }
        self.settle(index);
    }

    /// Judges the round while the lines of a miner are being read. What that one was told so far goes out first: the round is
    /// answered miner by miner, and others may come before it.
    fn judge_meanwhile(&mut self, index: usize) {
        self.settle(index);
        self.judge_round();
    }

    /// Judges what was read of all miners, and answers it.
    pub(super) fn judge_round(&mut self) {
        debug_assert!(self.io.out.is_empty() && self.io.effects.is_empty(), "they would be taken for another miner's");
        let mut round = std::mem::take(&mut self.io.round);
        round.hash(|owner| self.slots[owner].session.window());
        while let Some(owner) = round.next_owner() {
            self.slots[owner].session.judge_from(self.now, &mut round, &mut self.io);
            self.settle(owner);
        }
        round.clear();
        self.io.round = round;
    }

    /// A held reply went out: the lines behind it have their turn.
    pub(super) fn resume_reading(&mut self, index: usize) {
        self.settle(index);
        let stalled = std::mem::take(&mut self.slots[index].stalled);
        if !stalled.is_empty() && self.slots[index].ends.is_none() {
            self.feed(index, &stalled);
        }
        self.read(index);
        // The next message may change the jobs that these shares were taken by.
        self.judge_round();
    }

    /// Sends what is in `io.out`.
    pub(super) fn flush(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let clean = std::mem::take(&mut self.io.clean);
        if self.io.out.is_empty() {
            return;
        }
        let mut sent = 0;
        let mut end = None;
        if slot.outbox.is_empty() {
            while sent < self.io.out.len() {
                match slot.stream.write(&self.io.out[sent..]) {
                    Ok(len) => sent += len,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => {
                        end = Some(End::Left);
                        sent = self.io.out.len();
                    }
                }
            }
        }
        if sent < self.io.out.len() {
            slot.outbox.push(&self.io.out, sent, clean);
            if slot.outbox.len() > self.settings[slot.session.listener()].limits.send_buffer_bytes {
                end = Some(End::Closed(CloseReason::SlowReader));
            }
        }
        self.io.out.clear();
        if let Some(end) = end {
            self.end(index, end);
        }
    }

    /// Sends what waited for the socket.
    fn write_waiting(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        while !slot.outbox.is_empty() {
            match slot.stream.write(slot.outbox.front()) {
                Ok(len) => slot.outbox.consume(len),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.end(index, End::Left),
            }
        }
    }
}

/// Connections that we closed, until the miner has read our last line: at most those that there may be, and besides as many as are
/// accepted in the time that they linger.
#[derive(Default)]
pub struct Lingering(Slab<(TcpStream, Instant)>);

impl Lingering {
    /// Sends our end of stream, and waits for the other's.
    pub fn take(&mut self, now: Instant, mut stream: TcpStream, registry: &Registry) {
        let entry = self.0.vacant_entry();
        let token = Place::Lingering(entry.key()).token();
        // A connection that is gone already needs nothing.
        if stream.shutdown(Shutdown::Write).is_ok()
            && registry.reregister(&mut stream, token, Interest::READABLE).is_ok()
        {
            entry.insert((stream, now + LINGER));
        }
    }

    /// The kernel says something of it.
    pub fn read(&mut self, index: usize) {
        let Some((stream, _)) = self.0.get_mut(index) else { return };
        let mut sink = [0; 4096];
        for _ in 0..LINGERING_READS {
            match stream.read(&mut sink) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => {
                    self.0.remove(index);
                    return;
                }
            }
        }
    }

    /// Lets those go that had their time.
    pub fn expire(&mut self, now: Instant) {
        self.0.retain(|_, (_, until)| now < *until);
    }
}

#[cfg(test)]
mod tests;
