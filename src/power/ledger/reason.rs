//! Why the ledger says no, as values that read as sentences.

use std::fmt::{self, Display, Formatter};

use jiff::{SignedDuration, Timestamp};

use super::{
    Balance,
    entry::{BlockId, DeviceId, Epoch, LeaseId},
    rules::{MAX_TERM, MIN_TERM},
};
use crate::profit::{Ratio, Watts};

/// Why no power is given out.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// Another controller took over.
    Superseded {
        /// Ours.
        ours: Epoch,
        /// The one that was seen.
        seen: Epoch,
    },
    /// The meter's last reading is too old.
    MeterLost {
        /// Its age; `None` if it never came.
        age: Option<SignedDuration>,
        /// What is allowed.
        max_age: SignedDuration,
    },
    /// The meter has not been compared with everybody's readings yet.
    MeterNew,
    /// The meter and the sum of what was measured do not agree.
    Deviation {
        /// What the meter says.
        meter: Watts,
        /// What was measured, base load included.
        measured: Watts,
        /// What is allowed, as a share of the meter's reading.
        allowed: Ratio,
    },
    /// A block draws more than it was given.
    Overdrawn {
        /// Which.
        block: BlockId,
        /// What it draws.
        drawn: Watts,
        /// What it may.
        allowed: Watts,
    },
    /// It does not fit under the cap.
    NoRoom {
        /// How much more was asked for.
        wanted: Watts,
        /// What is booked.
        balance: Balance,
    },
    /// No such device.
    UnknownDevice(DeviceId),
    /// No such block.
    UnknownBlock(BlockId),
    /// More than the block can draw.
    Capacity {
        /// Which.
        block: BlockId,
        /// With this one, what it would have.
        wanted: Watts,
        /// What it can draw.
        capacity: Watts,
    },
    /// A lease's term is out of its range.
    Term(SignedDuration),
    /// The block has as many leases as can be.
    TooManyLeases {
        /// Which.
        block: BlockId,
        /// How many.
        leases: usize,
    },
    /// The lease is revoked, returned or never was.
    NotLive(LeaseId),
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Superseded { ours, seen } => {
                write!(f, "another controller has taken over: epoch {seen} was seen, ours is {ours}; only observing")
            }
            Self::MeterLost { age: Some(age), max_age } => write!(
                f,
                "the site's meter is lost: its last reading is {} s old, {} s are allowed",
                age.as_secs(),
                max_age.as_secs()
            ),
            Self::MeterLost { age: None, .. } => f.write_str("the site's meter has not been read yet"),
            Self::MeterNew => f.write_str("the site's meter has not been compared with the devices' readings yet"),
            Self::Deviation { meter, measured, allowed } => write!(
                f,
                "the site's meter says {}, what was measured adds up to {}: more than {:.1} % apart",
                meter.in_words(),
                measured.in_words(),
                allowed.get() * 100.0
            ),
            Self::Overdrawn { block, drawn, allowed } => {
                write!(
                    f,
                    "AI block {block:?} draws {}, it may draw {}",
                    drawn.in_words(),
                    allowed.in_words(),
                    block = block.as_str()
                )
            }
            Self::NoRoom { wanted, balance } if *wanted < Watts::clamped(1.0) => {
                write!(f, "more is booked than fits under the cap: {balance}")
            }
            Self::NoRoom { wanted, balance } => {
                write!(f, "{} more do not fit under the cap: {balance}", wanted.in_words())
            }
            Self::UnknownDevice(device) => write!(f, "no device is called {:?}", device.as_str()),
            Self::UnknownBlock(block) => write!(f, "no AI block is called {:?}", block.as_str()),
            Self::Capacity { block, wanted, capacity } => write!(
                f,
                "AI block {:?} would have {}, it can draw {}",
                block.as_str(),
                wanted.in_words(),
                capacity.in_words()
            ),
            Self::Term(term) => write!(
                f,
                "a lease is for {} to {} s, this one would be for {} s",
                MIN_TERM.as_secs(),
                MAX_TERM.as_secs(),
                term.as_secs()
            ),
            Self::TooManyLeases { block, leases } => {
                write!(f, "AI block {:?} has {leases} leases that are not returned", block.as_str())
            }
            Self::NotLive(lease) => write!(f, "lease {lease} is not live"),
        }
    }
}

/// Why watts are not free yet.
#[derive(Debug, Clone, PartialEq)]
pub enum NotYet {
    /// No such device.
    UnknownDevice(DeviceId),
    /// No such lease.
    UnknownLease(LeaseId),
    /// Too few readings were taken since it could be so.
    Readings {
        /// How many there are.
        have: usize,
        /// How many there must be.
        wanted: usize,
        /// Only later ones count.
        after: Timestamp,
    },
    /// It draws too much.
    Draws {
        /// How much.
        watts: Watts,
        /// How much it may.
        allowed: Watts,
    },
    /// The lease's release was not acknowledged.
    NotReleased(LeaseId),
}

impl Display for NotYet {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownDevice(device) => write!(f, "no device is called {:?}", device.as_str()),
            Self::UnknownLease(lease) => write!(f, "there is no lease {lease}"),
            Self::Readings { have, wanted, after } => {
                write!(f, "{have} of {wanted} readings were taken after {after:.0}")
            }
            Self::Draws { watts, allowed } => {
                write!(f, "it draws {}, {} is the most", watts.in_words(), allowed.in_words())
            }
            Self::NotReleased(lease) => write!(f, "the release of lease {lease} was not acknowledged"),
        }
    }
}

/// Why a reading was not taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ignored {
    /// A later one, or this very one, came before.
    Old,
    /// It is of a time to come.
    Future {
        /// By how much.
        ahead: SignedDuration,
    },
    /// No device draws as much.
    Absurd {
        /// What it says.
        watts: Watts,
        /// What is believed.
        most: Watts,
    },
    /// It is of nothing that the ledger knows.
    Unknown,
}

impl Display for Ignored {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Old => f.write_str("a later reading came before"),
            Self::Future { ahead } => write!(f, "the reading is {} s ahead of our clock", ahead.as_secs()),
            Self::Absurd { watts, most } => {
                write!(f, "a reading of {} is not believed, {} is the most", watts.in_words(), most.in_words())
            }
            Self::Unknown => f.write_str("a reading of something that has no name here"),
        }
    }
}

/// The site draws more than it may, or will as soon as AI compute takes what it was given: this much must go at once, AI first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shed {
    /// What it draws.
    pub measured: Watts,
    /// What AI compute was given and does not draw.
    pub undrawn: Watts,
    /// What it may.
    pub cap: Watts,
    /// What must go, so that the reserve is free again.
    pub watts: Watts,
}

impl Display for Shed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "shed {}: the site draws {}, its cap is {}",
            self.watts.in_words(),
            self.measured.in_words(),
            self.cap.in_words()
        )?;
        if self.undrawn > Watts::ZERO {
            write!(f, ", and AI compute may draw {} more", self.undrawn.in_words())?;
        }
        Ok(())
    }
}
