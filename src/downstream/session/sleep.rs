//! What changes for a miner while it sleeps: a person or a price has switched its hashing off, and its connection stays.
//!
//! ```text
//! handle_sleep ─► (hours) ─► handle_rise ─► first line, or the end of patience ─► handle_awake
//! ```
//!
//! Knows that it sleeps because it is told; knows nothing of why, nor of sockets: whether the miner reads is its caller's to see.

use super::*;

impl Session {
    /// The miner sleeps: its silence says nothing, and work that it is sent supersedes what it may not have read.
    pub fn handle_sleep(&mut self, now: Instant, io: &mut Io) {
        self.rests = true;
        if self.vardiff.as_mut().and_then(|vardiff| vardiff.sleep(now)).is_some() {
            // It is told with its next work: now nobody hears.
            io.effects.push(Effect::Retargeted);
        }
    }

    /// The miner should wake up, which may take minutes.
    pub fn handle_rise(&mut self, now: Instant) {
        if let Some(vardiff) = &mut self.vardiff {
            vardiff.rise(now);
        }
    }

    /// It is a miner as any other again.
    pub fn handle_awake(&mut self) {
        self.rests = false;
    }

    /// Sends the newest work again, as a clean job; nothing where its pool is away.
    pub fn send_newest(&mut self, now: Instant, io: &mut Io) {
        self.send_again(now, true, io);
    }
}
