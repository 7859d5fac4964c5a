//! What is written into the ledger's book, and the names in it.
//!
//! Entries are appended and never changed; a ledger is the fold of its entries ([`super::Ledger::apply`]) and of what was measured since.
//! All watts are at the site meter, [`Booking::Hold::highest`] alone is the device's own.

use std::{
    fmt::{self, Display, Formatter},
    sync::Arc,
};

use jiff::Timestamp;

use crate::profit::Watts;

/// Makes a name that is cheap to copy.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// As it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }

        impl Display for $name {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// An ASIC, by a name that outlives restarts and addresses.
    DeviceId
);
name!(
    /// An AI block, by its name in the config.
    BlockId
);

/// A controller's term of office; each start has a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u32);

impl Display for Epoch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A lease; never given twice, as the epoch is its upper half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

impl LeaseId {
    /// Whatever a block may hold, after a ledger was lost: its release is the release of everything.
    pub const EVERYTHING: Self = Self(0);

    pub(super) fn new(epoch: Epoch, number: u32) -> Self {
        Self((u64::from(epoch.0) << 32) | u64::from(number))
    }

    /// When it was given, if in this epoch.
    pub(super) fn number_in(self, epoch: Epoch) -> Option<u32> {
        let number = u32::try_from(self.0 & u64::from(u32::MAX)).ok()?;
        (self == Self::new(epoch, number)).then_some(number)
    }
}

impl Display for LeaseId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0 >> 32, self.0 & u64::from(u32::MAX))
    }
}

/// One line of the book.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// When it came to be so; of what was measured, when it was measured.
    pub at: Timestamp,
    /// What.
    pub what: Booking,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq)]
pub enum Booking {
    /// An ASIC may draw so much from now on: it is to be woken, or was seen awake, or higher than ever.
    Hold {
        /// Which.
        device: DeviceId,
        /// Its bound, at the site meter.
        watts: Watts,
        /// The highest ever seen of it, at its own supply.
        highest: Watts,
    },
    /// An ASIC sleeps, by measurement.
    Freed {
        /// Which.
        device: DeviceId,
        /// What it draws asleep.
        watts: Watts,
    },
    /// AI compute may draw so much.
    Lease {
        /// Where.
        block: BlockId,
        /// Which.
        lease: LeaseId,
        /// How much.
        watts: Watts,
        /// From when on it allows no growth and no new work.
        expires: Timestamp,
    },
    /// A lease is asked back.
    Revoke {
        /// Where.
        block: BlockId,
        /// Which.
        lease: LeaseId,
    },
    /// A lease is back: released by word, and by measurement.
    Returned {
        /// Where.
        block: BlockId,
        /// Which.
        lease: LeaseId,
        /// What the block drew then.
        watts: Watts,
    },
}
