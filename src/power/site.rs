//! The site: groups, ledger and leases as one machine.

mod words;

pub use self::words::*;
