//! What a listener offers its miners, from what the pools they can land on grant.
//!
//! It is fixed when a miner subscribes, before its user name tells its route, so it has to fit every pool of every route of the
//! listener. Pure.
//!
//! | pools | the offer |
//! |---|---|
//! | all seen, now or before a restart | made of what they granted |
//! | some never seen | waits; after `layout_wait`, made of what is configured, or usual, for those |
//! | one that has too little room for any miner | made without it: nobody is sent there |
//! | one without version rolling | made without its mask: miners that roll are not sent there |

use serde::{Deserialize, Serialize};

use crate::router::{Layout, MIN_POOL_EXTRANONCE2, Offer};

/// A pool that was never seen and of which nothing is configured is taken to grant so many bytes of extranonce2 (most do).
const USUAL_EXTRANONCE2: usize = 8;

/// What a pool granted when it was last seen; kept over restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolTerms {
    /// Bytes of extranonce2.
    pub extranonce2_size: usize,
    /// Version bits that may be rolled.
    pub version_mask: u32,
}

/// What the listener's operator wants.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// Bytes of extranonce2 for a miner.
    pub extranonce2_size: u8,
    /// Version bits that miners may roll.
    pub version_mask: u32,
}

/// What is known of one pool.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// What it granted when it was last seen.
    pub terms: Option<PoolTerms>,
    /// Bytes of extranonce2 that the config says it grants.
    pub declared: Option<u8>,
}

/// The offer to miners that come from now on; `None`: it is too early to say, or no pool has room for a miner.
///
/// `old`: the offer until now. `waited`: nothing more is waited for.
pub fn offer(wish: Wish, pools: &[Known], old: Option<Offer>, waited: bool) -> Option<Offer> {
    if old.is_none() && !waited && pools.iter().any(|pool| pool.terms.is_none()) {
        return None;
    }
    let size = |pool: &Known| {
        let declared = || pool.declared.map(usize::from);
        pool.terms.map(|terms| terms.extranonce2_size).or_else(declared).unwrap_or(USUAL_EXTRANONCE2)
    };
    let smallest = pools.iter().map(size).filter(|size| *size >= MIN_POOL_EXTRANONCE2).min()?;
    // Once given, a layout stays as long as every pool can hold it.
    let layout = old.map(|old| old.layout).filter(|layout| layout.fits(smallest));
    let layout = layout.or_else(|| Layout::fitting(smallest, wish.extranonce2_size))?;
    let masks = pools.iter().filter_map(|pool| Some(pool.terms?.version_mask));
    let granted = masks.filter(|mask| *mask != 0).fold(u32::MAX, |all, mask| all & mask);
    let none_grants = pools.iter().all(|pool| pool.terms.is_some_and(|terms| terms.version_mask == 0));
    Some(Offer { layout, version_mask: if none_grants { 0 } else { wish.version_mask & granted } })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WISH: Wish = Wish { extranonce2_size: 4, version_mask: 0x1fff_e000 };
    const UNSEEN: Known = Known { terms: None, declared: None };

    fn seen(extranonce2_size: usize, version_mask: u32) -> Known {
        Known { terms: Some(PoolTerms { extranonce2_size, version_mask }), declared: None }
    }

    fn sizes(offer: Option<Offer>) -> (u8, u8) {
        offer.map(|offer| (offer.layout.id_len, offer.layout.extranonce2_size)).unwrap()
    }

    #[test]
    fn it_waits_for_pools_that_were_never_seen_but_not_for_ever() {
        let pools = [seen(6, u32::MAX), UNSEEN];
        assert_eq!(offer(WISH, &pools, None, false), None);
        assert_eq!(sizes(offer(WISH, &pools, None, true)), (2, 4));
        let declared = Known { declared: Some(4), ..UNSEEN };
        assert_eq!(sizes(offer(WISH, &[declared], None, true)), (1, 3));
    }

    #[test]
    fn the_smallest_pool_and_the_narrowest_mask_count() {
        let made = offer(WISH, &[seen(8, 0x1fff_e000), seen(5, 0x0fff_8000)], None, false).unwrap();
        assert_eq!((sizes(Some(made)), made.version_mask), ((1, 4), 0x0fff_8000));
    }

    #[test]
    fn a_layout_changes_only_when_a_pool_can_not_hold_it() {
        let old = offer(WISH, &[seen(6, 0)], None, false);
        assert_eq!(sizes(offer(WISH, &[seen(8, 0)], old, false)), (2, 4));
        assert_eq!(sizes(offer(WISH, &[seen(5, 0)], old, false)), (1, 4));
    }

    #[test]
    fn a_pool_without_version_rolling_takes_it_from_nobody_else() {
        assert_eq!(offer(WISH, &[seen(8, 0), seen(8, 0x00c0_0000)], None, false).unwrap().version_mask, 0x00c0_0000);
        assert_eq!(offer(WISH, &[seen(8, 0)], None, false).unwrap().version_mask, 0);
        assert_eq!(offer(WISH, &[seen(8, 0), UNSEEN], None, true).unwrap().version_mask, 0x1fff_e000);
    }

    #[test]
    fn a_pool_without_room_is_passed_over() {
        assert_eq!(sizes(offer(WISH, &[seen(1, 0), seen(8, 0)], None, false)), (3, 4));
        assert_eq!(offer(WISH, &[seen(1, 0)], None, true), None);
    }
}
