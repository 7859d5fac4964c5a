//! How a pool's extranonce2 is divided among the miners of a listener.
//!
//! ```text
//! pool's extranonce2  │ salt │ lease id │ miner's extranonce2 │
//! ```
//!
//! The lease id is the miner's own extranonce1 and its part is fixed when it subscribes, so a layout is made to fit **every** pool
//! that the listener's miners can land on; what a larger pool has beyond it becomes salt. Knows sizes only.
//!
//! | smallest pool | salt | id | miner | |
//! |---|---|---|---|---|
//! | 8 | 1 | 3 | 4 | everything works |
//! | 7 | 1 | 2 | 4 | 65 536 miners per pool connection |
//! | 6 | 0 | 2 | 4 | re-sent work differs by its ntime |
//! | 5 | 0 | 1 | 4 | 256 miners per pool connection |
//! | 4 | 0 | 1 | 3 | as above; some firmware works with 4 bytes only |
//! | 3 | 0 | 1 | 2 | as above, and only miners that roll versions, or small ones, have enough to hash |
//! | 2 | 0 | 0 | 2 | one miner per pool connection, otherwise as above |
//!
//! (for the usual miner's part of 4). Source of the splits: ckpool `stratifier.c`, btcagent; why a salt: `work/job.rs`.

use std::fmt;

use crate::work::Split;

/// Bytes of a lease id at most: 16 million miners.
const MAX_ID_LEN: usize = 3;

/// Below this a pool leaves no room for any miner.
pub const MIN_POOL_EXTRANONCE2: usize = 2;

/// What a listener offers its miners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The sizes of their extranonces.
    pub layout: Layout,
    /// Version bits that they may roll; 0 for none.
    pub version_mask: u32,
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, version mask {:08x}", self.layout, self.version_mask)
    }
}

/// The sizes of the extranonces of miners that can share a pool connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Bytes of the lease id, which is the miner's extranonce1.
    pub id_len: u8,
    /// Bytes of the miner's extranonce2.
    pub extranonce2_size: u8,
}

impl Layout {
    /// The best possible for pools of which the smallest has so many bytes of extranonce2.
    ///
    /// `wanted`: bytes of extranonce2 that the miners should have. `None` if the smallest pool has under
    /// [`MIN_POOL_EXTRANONCE2`].
    pub fn fitting(smallest_pool: usize, wanted: u8) -> Option<Self> {
        if smallest_pool < MIN_POOL_EXTRANONCE2 {
            return None;
        }
        // The miner's part comes first, but one byte of id is worth more than its last one.
        let miner = match smallest_pool {
            2 => 2,
            _ => usize::from(wanted).clamp(2, smallest_pool - 1),
        };
        let id_len = match smallest_pool - miner {
            spare @ 0..=2 => spare,
            // From three bytes on, one is kept for salt.
            spare => (spare - 1).min(MAX_ID_LEN),
        };
        Some(Self { id_len: id_len as u8, extranonce2_size: miner as u8 })
    }

    /// Whether a pool can serve miners of this layout.
    pub fn fits(&self, pool_extranonce2: usize) -> bool {
        self.space() <= pool_extranonce2
    }

    /// Bytes that the layout takes of the pool's extranonce2; the rest is salt.
    pub fn space(&self) -> usize {
        usize::from(self.id_len) + usize::from(self.extranonce2_size)
    }

    /// The division of a pool's extranonce2 that has so many bytes beyond the layout.
    pub fn split(&self, salt: usize) -> Split {
        Split { salt, lease: self.id_len.into(), extranonce2: self.extranonce2_size }
    }

    /// Miners that can tell their ids apart on one pool connection.
    pub fn ids(&self) -> usize {
        1 << (8 * u32::from(self.id_len))
    }

    /// What an operator should know of it, if anything.
    pub fn remark(&self) -> Option<&'static str> {
        match (self.id_len, self.extranonce2_size) {
            (0, _) => {
                Some("one miner per pool connection; only small miners or ones that roll versions have enough to hash")
            }
            (_, ..=2) => {
                Some("only small miners or ones that roll versions have enough to hash; the others are refused")
            }
            (1, 3) => Some("256 miners per pool connection; firmware that needs 4 bytes of extranonce2 is refused"),
            (1, _) => Some("256 miners per pool connection"),
            _ => None,
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "extranonce1 {} bytes, extranonce2 {} bytes", self.id_len, self.extranonce2_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pool_size_gets_the_best_split() {
        for (pool, salt, id, miner) in
            [(8, 1, 3, 4), (7, 1, 2, 4), (6, 0, 2, 4), (5, 0, 1, 4), (4, 0, 1, 3), (3, 0, 1, 2), (2, 0, 0, 2)]
        {
            let layout = Layout::fitting(pool, 4).unwrap();
            assert_eq!((layout.id_len, layout.extranonce2_size), (id, miner), "pool of {pool}");
            assert_eq!(pool - layout.space(), salt, "pool of {pool}");
        }
        assert_eq!(Layout::fitting(1, 4), None);
        assert_eq!(Layout::fitting(16, 4).unwrap().id_len, 3);
    }

    #[test]
    fn a_wish_never_takes_what_the_pool_has_not() {
        for pool in MIN_POOL_EXTRANONCE2..=16 {
            for wanted in 0..=16 {
                let layout = Layout::fitting(pool, wanted).unwrap();
                assert!(layout.fits(pool), "pool of {pool}, {wanted} wanted: {layout}");
                assert!(layout.extranonce2_size >= 2);
            }
        }
    }
}
