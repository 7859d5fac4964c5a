//! What the operator says about a site's watts: the cap, and what each device and block may draw.

use jiff::SignedDuration;

use crate::profit::{Ratio, Watts};

/// What a lease's term is at least: shorter ones would lapse while a message is repeated.
pub const MIN_TERM: SignedDuration = SignedDuration::from_secs(60);

/// What a lease's term is at most: it is what AI compute grows on after we are gone.
pub const MAX_TERM: SignedDuration = SignedDuration::from_secs(300);

/// Of a site.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// What the site may draw.
    pub cap: Watts,
    /// What draws all the time and is neither a device nor a block.
    pub base_load: Watts,
    /// What stays free: the meter's noise, and the devices that may wake unasked before they are seen.
    pub reserve: Watts,
    /// What a sleeping device may draw over what it drew when it was measured.
    pub drift: Watts,
    /// How old a device's or a block's reading may be.
    pub max_age: SignedDuration,
    /// How long a command may still take effect after it was sent: until its call has timed out and nothing of it is on the way.
    pub command_lifetime: SignedDuration,
    /// How many readings in a row prove that a device sleeps, or a lease is back; one at least.
    pub proofs: u8,
    /// The site's meter; without one the sum of what was measured stands alone.
    pub meter: Option<MeterRules>,
}

/// Of the site's meter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeterRules {
    /// How old its reading may be.
    pub max_age: SignedDuration,
    /// How far it may be from the sum of what was measured, as a share of its reading.
    pub deviation: Ratio,
}

/// Of an ASIC. Watts at its own supply.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeviceRules {
    /// What is printed on it.
    pub nameplate: Watts,
    /// What its firmware is told not to exceed.
    pub configured_max: Option<Watts>,
    /// What it draws at most when it sleeps.
    pub sleep_max: Watts,
    /// Watts at the site meter for each of its own: `1 + loss`.
    pub overhead: Ratio,
    /// Whether it tells its watts. One that never does is taken to draw what it may.
    pub is_read: bool,
}

/// Of an AI block. Watts at the site meter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockRules {
    /// What it can draw at most.
    pub capacity: Watts,
    /// What it draws without work; a load that is always there.
    pub idle: Watts,
    /// Watts at the site meter for each of IT: its PUE.
    pub overhead: Ratio,
    /// How far over its leases its readings may be by their noise, as a share.
    pub tolerance: Ratio,
}
