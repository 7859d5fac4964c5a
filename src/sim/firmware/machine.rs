//! The ASIC behind a simulated firmware: whether it mines, what it draws, and what it remembers.

use std::time::{Duration, Instant};

/// What is behind the firmware.
#[derive(Debug, Clone)]
pub struct Machine {
    /// W when it mines in its normal mode.
    pub watts: f64,
    /// W when it sleeps or boots.
    pub idle_watts: f64,
    /// How long a boot takes.
    pub boot: Duration,
    /// Antminer's mode, as in its config: 0 normal, 1 sleep, 2 high, 3 low.
    pub mode: u64,
    /// Braiins OS's power target, W.
    pub target: u64,
    is_asleep: bool,
    boots_until: Option<Instant>,
    /// Orders that it took, the newest last.
    pub orders: Vec<&'static str>,
}

/// Orders that are remembered.
const MAX_ORDERS: usize = 1000;

impl Default for Machine {
    fn default() -> Self {
        Self {
            watts: 3250.0,
            idle_watts: 22.0,
            boot: Duration::ZERO,
            mode: 0,
            target: 3250,
            is_asleep: false,
            boots_until: None,
            orders: Vec::new(),
        }
    }
}

impl Machine {
    /// One that was put to sleep before.
    #[must_use]
    pub fn asleep() -> Self {
        Self { is_asleep: true, mode: 1, ..Self::default() }
    }

    /// An Antminer that mines in this mode.
    #[must_use]
    pub fn in_mode(mode: u64) -> Self {
        Self { mode, ..Self::default() }
    }

    /// It is told something, and does it if `obeys`.
    pub(super) fn order(&mut self, name: &'static str, sleeps: bool, obeys: bool) {
        if self.orders.len() < MAX_ORDERS {
            self.orders.push(name);
        }
        if obeys && sleeps != self.is_asleep {
            self.is_asleep = sleeps;
            if !sleeps {
                self.reboot();
            }
        }
    }

    /// It boots, and is then as it was.
    pub(super) fn reboot(&mut self) {
        self.boots_until = Some(Instant::now() + self.boot);
    }

    /// Whether it was put to sleep.
    #[must_use]
    pub fn is_asleep(&self) -> bool {
        self.is_asleep
    }

    /// W that it draws now.
    #[must_use]
    pub fn draws(&self) -> f64 {
        let boots = self.boots_until.is_some_and(|until| Instant::now() < until);
        if self.is_asleep || boots { self.idle_watts } else { self.watts }
    }
}
