//! What one ASIC counts.

use jiff::{SignedDuration, Timestamp};

use super::{
    reading::{Reading, Readings, at_meter},
    reason::{Ignored, NotYet},
    rules::{DeviceRules, Rules},
};
use crate::profit::Watts;

/// Firmware that tunes goes past the nameplate.
const OVER_NAMEPLATE: f64 = 1.1;

/// A boot surges past what was seen in readings some seconds apart.
const OVER_HIGHEST: f64 = 1.05;

/// No device draws so many times its nameplate or its configured maximum: a reading past that is one of something else. A single such
/// reading, believed, would keep the device's bound up for ever.
const ABSURD: f64 = 3.0;

/// What the book says of a device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Booked {
    /// It may draw its bound. Since when it may have been told to; `None` since before the book.
    Held { since: Option<Timestamp> },
    /// It slept and drew so much, at the meter.
    Freed { watts: Watts, at: Timestamp },
}

#[derive(Debug, Clone)]
pub(super) struct Device {
    pub rules: DeviceRules,
    pub booked: Booked,
    /// At its own supply.
    pub highest: Watts,
    /// At the meter.
    pub readings: Readings,
}

impl Device {
    pub(super) fn new(rules: DeviceRules, site: &Rules) -> Self {
        let readings = Readings::new(site.proofs);
        Self { rules, booked: Booked::Held { since: None }, highest: Watts::ZERO, readings }
    }

    /// The most it may draw awake, at the meter.
    pub(super) fn bound(&self) -> Watts {
        let nameplate = Watts::clamped(OVER_NAMEPLATE * self.rules.nameplate.get());
        let highest = Watts::clamped(OVER_HIGHEST * self.highest.get());
        let most = self.rules.configured_max.unwrap_or(Watts::ZERO).max(nameplate).max(highest);
        at_meter(most, self.rules.overhead)
    }

    /// The most it may draw asleep, at the meter; `None` while it is booked as awake.
    fn asleep(&self, site: &Rules) -> Option<Watts> {
        match self.booked {
            Booked::Freed { watts, .. } => Some((watts + site.drift).min(self.bound())),
            Booked::Held { .. } => None,
        }
    }

    /// What it counts: its bound, unless it is booked as asleep, a fresh reading says so, and the meter has had its time to object.
    pub(super) fn counts(&self, now: Timestamp, site: &Rules, settled: Option<Timestamp>) -> Watts {
        let Booked::Freed { at, .. } = self.booked else { return self.bound() };
        let is_settled = site.meter.is_none() || settled.is_some_and(|settled| at < settled);
        match (self.asleep(site), self.measured(now, site)) {
            (Some(asleep), Some(measured)) if is_settled && measured <= asleep => asleep,
            _ => self.bound(),
        }
    }

    /// What it draws by a fresh reading, at the meter.
    pub(super) fn measured(&self, now: Timestamp, site: &Rules) -> Option<Watts> {
        self.readings.fresh(now, site.max_age)
    }

    /// Takes a reading; whether it must be held from now on, or higher than before.
    pub(super) fn read(&mut self, now: Timestamp, reading: Reading, site: &Rules) -> Result<bool, Ignored> {
        let most = self.rules.configured_max.unwrap_or(Watts::ZERO).max(self.rules.nameplate);
        let most = Watts::clamped(ABSURD * most.get());
        if reading.watts > most {
            return Err(Ignored::Absurd { watts: reading.watts, most });
        }
        let at_meter = at_meter(reading.watts, self.rules.overhead);
        self.readings.push(now, Reading { watts: at_meter, taken_at: reading.taken_at })?;
        let is_awake = self.asleep(site).is_some_and(|asleep| at_meter > asleep);
        let bound = self.bound();
        self.highest = self.highest.max(reading.watts);
        Ok(is_awake || self.bound() > bound)
    }

    /// Whether it was held at that time or later.
    pub(super) fn is_held_since(&self, at: Timestamp) -> bool {
        matches!(self.booked, Booked::Held { since: Some(since) } if since >= at)
    }

    /// The reading that proves that it sleeps, if it was told to at `slept_at`.
    pub(super) fn sleeps(&self, slept_at: Timestamp, lifetime: SignedDuration) -> Result<Reading, NotYet> {
        // A wake that is still on its way may come after the sleep.
        let wake_over = match self.booked {
            Booked::Held { since: Some(since) } => since.saturating_add(lifetime).unwrap_or(Timestamp::MAX),
            Booked::Held { since: None } | Booked::Freed { .. } => slept_at,
        };
        self.readings.prove(slept_at.max(wake_over), at_meter(self.rules.sleep_max, self.rules.overhead))
    }
}
