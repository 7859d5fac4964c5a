//! What an ASIC draws, from boot to sleep; of the simulated plant and of the simulated site alike.
//!
//! A firmware that tunes goes past what is printed on the machine; a boot surges past even that, for a while, when all hash boards come up
//! at once. Watts at the machine's own supply.

use rand::{Rng, RngExt};

/// What a machine is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It hashes.
    Mining,
    /// It boots: fans first.
    FansUp,
    /// Then all hash boards at once, past what they will draw.
    Surge,
    /// Then they find their frequencies.
    Settling,
    /// The control board alone.
    Asleep,
    /// Hardly that.
    Dark,
}

impl Phase {
    /// What one draws at this moment whose firmware is tuned to `tuned` watts and draws `sleep` asleep.
    pub(super) fn watts(self, tuned: f64, sleep: f64, rng: &mut impl Rng) -> f64 {
        match self {
            Self::Mining => tuned * rng.random_range(0.98..1.01),
            Self::FansUp => tuned * 0.3,
            Self::Surge => tuned * rng.random_range(0.9..1.04),
            Self::Settling => tuned * rng.random_range(0.8..1.01),
            Self::Asleep => sleep * rng.random_range(0.9..1.1),
            Self::Dark => sleep * 0.2,
        }
    }
}

/// What a machine of this nameplate is tuned to: of one in three (`is_pushed`), well past it.
pub(super) fn tuned(nameplate: f64, is_pushed: bool, rng: &mut impl Rng) -> f64 {
    nameplate * rng.random_range(0.92..if is_pushed { 1.25 } else { 1.05 })
}

/// What it draws asleep.
pub(super) fn asleep(rng: &mut impl Rng) -> f64 {
    rng.random_range(10.0..40.0)
}
