//! Connections whose miners sleep: they may read nothing for hours, and have the newest work at once when they do again.
//!
//! ```text
//!            told that it sleeps            told that it wakes             a line, or RISE later
//!  Awake ───────────────────────► Asleep ──────────────────────► Rising ───────────────────────► Awake
//! ```
//!
//! | while it rests | why |
//! |---|---|
//! | each new work is clean and takes the place of what waits (`outbox.rs`) | what waits does not grow, so that it is not disconnected as a slow reader |
//! | no `TCP_USER_TIMEOUT` | its window may be zero for hours ([`be_patient`]) |
//! | a small buffer in the kernel | what is in there can't be replaced |
//! | silence says nothing (`vardiff.rs`) | its difficulty is what it was |
//!
//! A [rising](Rest::Rising) one rests still, because its firmware boots for minutes and reads nothing meanwhile. Nothing of it outlives the
//! connection. Limits: those of the outbox; answers that a sleeper asks for and does not read count there as anybody's.

use super::{
    accept::{be_patient, be_strict},
    *,
};
use crate::downstream::vardiff::RISE;

/// Whether a connection's miner is at work.
#[derive(Clone, Copy, Debug, Default)]
pub enum Rest {
    #[default]
    Awake,
    Asleep {
        /// It has sent something all the same: firmware that is not told of the power, or a person who woke it.
        has_stirred: bool,
    },
    Rising {
        /// From then on it is as any other.
        until: Instant,
    },
}

impl Rest {
    /// It is a miner as any other.
    pub const fn is_awake(self) -> bool {
        matches!(self, Self::Awake)
    }

    /// Whether a line of it changes something.
    pub const fn ends_by_a_line(self) -> bool {
        matches!(self, Self::Asleep { has_stirred: false } | Self::Rising { .. })
    }

    /// It was to wake up, and had its time.
    pub fn should_be_up(self, now: Instant) -> bool {
        matches!(self, Self::Rising { until } if until <= now)
    }
}

impl Hall {
    /// Miners were put to sleep, or are to wake up.
    pub(super) fn set_sleepers(&mut self, keys: &[u64], asleep: bool) {
        for key in keys {
            let Some(index) = self.find(*key) else { continue };
            match (self.slots[index].rest, asleep) {
                (Rest::Awake | Rest::Rising { .. }, true) => self.lay_down(index),
                (Rest::Asleep { has_stirred }, false) => self.call(index, has_stirred),
                (Rest::Asleep { .. }, true) | (Rest::Awake | Rest::Rising { .. }, false) => {}
            }
        }
    }

    fn lay_down(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.rest = Rest::Asleep { has_stirred: false };
        // If it fails, the connection is gone, which is heard of soon.
        let _ = be_patient(&slot.stream);
        slot.session.handle_sleep(self.now, &mut self.io);
        self.settle(index);
    }

    fn call(&mut self, index: usize, has_stirred: bool) {
        let slot = &mut self.slots[index];
        slot.rest = Rest::Rising { until: self.now + RISE };
        slot.session.handle_rise(self.now);
        self.renew(index);
        if has_stirred {
            self.wakes_up(index);
        }
    }

    /// A line comes of one that rests: it should not have to wait for the next job.
    pub(super) fn stir(&mut self, index: usize) {
        self.renew(index);
        match &mut self.slots[index].rest {
            Rest::Asleep { has_stirred } => *has_stirred = true,
            Rest::Rising { .. } => self.wakes_up(index),
            Rest::Awake => {}
        }
    }

    pub(super) fn wakes_up(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.rest = Rest::Awake;
        slot.session.handle_awake();
        let unacked_timeout = self.settings[slot.session.listener()].limits.unacked_timeout;
        let _ = be_strict(&slot.stream, unacked_timeout);
    }

    /// The newest work once more, unless it has gone out already.
    fn renew(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        if !slot.outbox.is_empty() {
            slot.session.send_newest(self.now, &mut self.io);
            self.settle(index);
        }
    }
}
