//! Extranonce leases: which miner has which id on which lane.
//!
//! A **lane** is a set of miners whose ids differ, so that they can share one pool connection; each lane has at most one connection
//! to a pool. Miners fill the lowest lane first, so that after churn the high ones empty and their connections can go.
//! Knows nothing of sockets and pools.
//!
//! ```text
//!            grant                 release, with work           park time over        a clean job on every
//!   free ───────────► live ─────────────────────► parked ─────────────────► cooling ─── pool connection ───► free
//!                      ▲  │ release, without work   │                              of the lane since
//!                      │  └──────────► free         │ grant with its session id
//!                      └────────────────────────────┘
//! ```
//!
//! An id that was given work is not given to another miner before the pool forgets that work: its new owner would hash the same
//! headers again. Limits: [`MAX_LANES`]; ids of a lane by layout; [`MAX_PARKED`] leases with what their miners left.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use crate::{router::Layout, work::Extranonce};

/// How long a miner that lost its connection finds its lease, jobs and duplicates (ckpool: 600 s).
pub const PARK: Duration = Duration::from_secs(600);

/// Parked leases with what their miners left behind, some 1.4 KiB each. A farm that loses its network at once is this large; a storm
/// of strangers who take work and go is larger, and then those that went first are forgotten first.
pub const MAX_PARKED: usize = 8192;

/// Pool connections of one layout to one pool; 65 536 miners where a connection has 256 ids.
pub const MAX_LANES: usize = 256;

/// A lane; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LaneId(pub u32);

/// What a miner shows to resume: the run of the proxy that gave it, and 12 random bytes, unguessable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// `epoch`: the runs of this proxy so far. No id of another run can be one of this.
    pub fn new(epoch: u32, random: [u8; 12]) -> Self {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&epoch.to_be_bytes());
        id[4..].copy_from_slice(&random);
        Self(id)
    }

    /// From the text of a subscribe. `None` for ids that are not ours.
    pub fn parse(text: &str) -> Option<Self> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id).ok()?;
        Some(Self(id))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// What a live lease says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTerms {
    /// The lane it belongs to; changes when lanes are merged.
    pub lane: LaneId,
    /// The id, which is the miner's extranonce1.
    pub id: Extranonce,
    /// What the miner shows to resume it.
    pub session: SessionId,
    /// The sizes it was granted with.
    pub layout: Layout,
}

/// A lease that came back.
#[derive(Debug)]
pub struct Released<P> {
    /// Whose.
    pub session: SessionId,
    /// What the miner finds when it resumes; `None` if it never had work.
    pub parked: Option<P>,
}

/// A live lease. When it is dropped, it goes back by itself; [`park`](Self::park) gives it something to keep.
#[derive(Debug)]
pub struct ExtranonceLease<P> {
    /// What was agreed.
    pub terms: LeaseTerms,
    /// Unbounded, but every live lease sends once: bounded by the leases.
    back: mpsc::UnboundedSender<Released<P>>,
    parked: Option<P>,
}

impl<P> ExtranonceLease<P> {
    /// Binds terms to the way back.
    pub fn new(terms: LeaseTerms, back: mpsc::UnboundedSender<Released<P>>) -> Self {
        Self { terms, back, parked: None }
    }

    /// Gives the lease back with what the miner should find when it resumes.
    pub fn park(mut self, state: P) {
        self.parked = Some(state);
    }
}

impl<P> Drop for ExtranonceLease<P> {
    fn drop(&mut self) {
        // The other end is gone only when the process ends.
        let _ = self.back.send(Released { session: self.terms.session, parked: self.parked.take() });
    }
}

/// No id is free and no more lanes may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no extranonce is free: {MAX_LANES} pool connections of {ids} miners each are in use")]
pub struct Exhausted {
    /// Ids of a lane.
    pub ids: usize,
}

/// A new or a resumed lease.
#[derive(Debug)]
pub struct Grant<P> {
    /// What to tell the miner.
    pub terms: LeaseTerms,
    /// What it left when its connection ended.
    pub resumed: Option<P>,
}

#[derive(Debug)]
enum State<P> {
    Live,
    /// Boxed, so that the many that cool cost little.
    Parked {
        until: Instant,
        state: Box<P>,
    },
    Cooling {
        since: Instant,
    },
}

#[derive(Debug)]
struct Lane {
    layout: Layout,
    /// Every id that is not free.
    ids: BTreeMap<u32, SessionId>,
    /// Where the search for a free id starts: freed ids are used again as late as possible.
    next: u32,
    live: usize,
}

impl Lane {
    fn free_id(&mut self, cap: usize) -> Option<u32> {
        let ids = self.layout.ids();
        if self.ids.len() >= ids || self.live >= cap {
            return None;
        }
        let from = self.next;
        let candidates = (from..ids as u32).chain(0..from);
        // Runs of taken ids are passed over in order, which the sorted map makes cheap.
        let mut taken = self.ids.range(from..).map(|(id, _)| *id).chain(self.ids.range(..from).map(|(id, _)| *id));
        let mut next_taken = taken.next();
        for candidate in candidates {
            if next_taken == Some(candidate) {
                next_taken = taken.next();
            } else {
                self.next = (candidate + 1) % ids as u32;
                return Some(candidate);
            }
        }
        None
    }
}

#[derive(Debug)]
struct Entry<P> {
    terms: LeaseTerms,
    number: u32,
    state: State<P>,
}

/// All leases: the one who knows which ids are taken. `P` is what a miner leaves behind.
#[derive(Debug)]
pub struct LeaseBook<P> {
    lanes: BTreeMap<LaneId, Lane>,
    leases: HashMap<SessionId, Entry<P>>,
    /// The parked ones, by the end of their time.
    parked: BTreeSet<(Instant, SessionId)>,
    next_lane: u32,
    miners_per_lane: usize,
}

impl<P> LeaseBook<P> {
    /// `miners_per_lane`: live miners that may share a pool connection, where there are ids enough.
    pub fn new(miners_per_lane: usize) -> Self {
        Self { lanes: BTreeMap::new(), leases: HashMap::new(), parked: BTreeSet::new(), next_lane: 0, miners_per_lane }
    }

    /// Other lanes than those that are full already take so many.
    pub fn set_miners_per_lane(&mut self, miners_per_lane: usize) {
        self.miners_per_lane = miners_per_lane;
    }

    /// Gives an id to a miner that subscribes.
    ///
    /// `resume`: the session id it shows; a parked lease of the same layout comes back with what was parked. A lease that is still
    /// live is not taken from its owner: the miner gets another one. `session`: the id of a new session.
    ///
    /// # Errors
    /// [`Exhausted`].
    pub fn grant(
        &mut self,
        layout: Layout,
        resume: Option<SessionId>,
        session: SessionId,
    ) -> Result<Grant<P>, Exhausted> {
        if let Some(grant) = resume.and_then(|resume| self.resume(layout, resume)) {
            return Ok(grant);
        }
        let cap = self.miners_per_lane;
        let lanes = self.lanes.iter_mut().filter(|(_, lane)| lane.layout == layout);
        let (count, found) = lanes.fold((0, None), |(count, found), (id, lane)| {
            (count + 1, found.or_else(|| lane.free_id(cap).map(|number| (*id, number))))
        });
        let (lane, number) = match found {
            Some(found) => found,
            None if count < MAX_LANES => {
                let id = LaneId(self.next_lane);
                self.next_lane += 1;
                // Lanes start at different ids, so that they can be merged later.
                let next = (id.0 as usize).wrapping_mul(cap) % layout.ids();
                let mut lane = Lane { layout, ids: BTreeMap::new(), next: next as u32, live: 0 };
                let number = lane.free_id(1).expect("a new lane has a free id");
                self.lanes.insert(id, lane);
                (id, number)
            }
            None => return Err(Exhausted { ids: layout.ids().min(cap) }),
        };
        let id = Extranonce::from_number(number.into(), layout.id_len.into());
        let terms = LeaseTerms { lane, id, session, layout };
        let entry = self.lanes.get_mut(&lane).expect("found or made above");
        entry.ids.insert(number, session);
        entry.live += 1;
        self.leases.insert(session, Entry { terms, number, state: State::Live });
        Ok(Grant { terms, resumed: None })
    }

    fn resume(&mut self, layout: Layout, session: SessionId) -> Option<Grant<P>> {
        let entry = self.leases.get_mut(&session)?;
        if entry.terms.layout != layout || !matches!(entry.state, State::Parked { .. }) {
            return None;
        }
        let State::Parked { until, state } = std::mem::replace(&mut entry.state, State::Live) else {
            unreachable!("matched above")
        };
        self.parked.remove(&(until, session));
        self.lanes.get_mut(&entry.terms.lane).expect("lanes stay while they have leases").live += 1;
        Some(Grant { terms: entry.terms, resumed: Some(*state) })
    }

    /// Takes back a live lease. Its id is free at once if it never had work.
    pub fn release(&mut self, now: Instant, released: Released<P>) {
        let Some(entry) = self.leases.get_mut(&released.session) else { return };
        let lane = self.lanes.get_mut(&entry.terms.lane).expect("lanes stay while they have leases");
        lane.live -= 1;
        match released.parked {
            Some(state) => {
                let until = now + PARK;
                entry.state = State::Parked { until, state: Box::new(state) };
                self.parked.insert((until, released.session));
                if self.parked.len() > MAX_PARKED
                    && let Some((_, oldest)) = self.parked.pop_first()
                {
                    self.cool(now, oldest);
                }
            }
            None => {
                lane.ids.remove(&entry.number);
                self.leases.remove(&released.session);
            }
        }
    }

    /// Forgets what was parked; the id is not free yet.
    fn cool(&mut self, now: Instant, session: SessionId) {
        if let Some(entry) = self.leases.get_mut(&session) {
            entry.state = State::Cooling { since: now };
        }
    }

    /// Lets parked leases expire, and frees the ids that have cooled.
    ///
    /// `oldest_clean(lane)`: when that pool connection of the lane had its last clean job whose last one is longest ago; `None`
    /// if the lane has no pool connection, so that nothing of an old id is remembered anywhere.
    pub fn expire(&mut self, now: Instant, oldest_clean: impl Fn(LaneId) -> Option<Instant>) {
        while let Some((until, session)) = self.parked.first().copied()
            && until <= now
        {
            self.parked.pop_first();
            self.cool(now, session);
        }
        let lanes = &mut self.lanes;
        self.leases.retain(|_, entry| {
            let State::Cooling { since } = entry.state else { return true };
            let is_cold = oldest_clean(entry.terms.lane).is_none_or(|clean| clean > since);
            if is_cold {
                lanes.get_mut(&entry.terms.lane).expect("lanes stay while they have leases").ids.remove(&entry.number);
            }
            !is_cold
        });
        self.lanes.retain(|_, lane| !lane.ids.is_empty());
    }

    /// Lanes that can be merged: the miners of the first may move to the second, under the ids they have.
    ///
    /// Two lanes of one layout merge when no id is taken in both and the second is at most three quarters full with the miners of both, so
    /// that the next few do not open it again; leases without a miner just come along. Where an id is one byte that is rare; then the high lane empties because
    /// new miners fill the low ones.
    pub fn mergeable(&self) -> Option<(LaneId, LaneId)> {
        self.lanes.iter().rev().find_map(|(from, high)| {
            let into = self.lanes.range(..from).find(|(_, low)| {
                let room = low.layout.ids().min(self.miners_per_lane) * 3 / 4;
                low.layout == high.layout
                    && low.live + high.live <= room
                    && !high.ids.keys().any(|id| low.ids.contains_key(id))
            })?;
            Some((*from, *into.0))
        })
    }

    /// Moves every lease of one lane to another; they must be [`mergeable`](Self::mergeable).
    pub fn merge(&mut self, from: LaneId, into: LaneId) {
        let Some(lane) = self.lanes.remove(&from) else { return };
        for session in lane.ids.values() {
            if let Some(entry) = self.leases.get_mut(session) {
                entry.terms.lane = into;
            }
        }
        let target = self.lanes.get_mut(&into).expect("mergeable lanes exist");
        target.live += lane.live;
        target.ids.extend(lane.ids);
    }

    /// What a session was granted, if its lease is not free yet.
    pub fn terms(&self, session: SessionId) -> Option<&LeaseTerms> {
        self.leases.get(&session).map(|entry| &entry.terms)
    }

    /// The layout of a lane.
    pub fn layout_of(&self, lane: LaneId) -> Option<Layout> {
        self.lanes.get(&lane).map(|lane| lane.layout)
    }

    /// Live miners of a lane.
    pub fn live_in(&self, lane: LaneId) -> usize {
        self.lanes.get(&lane).map_or(0, |lane| lane.live)
    }

    /// Every lane that has a lease of any state, with its layout.
    pub fn lanes(&self) -> impl Iterator<Item = (LaneId, Layout)> + '_ {
        self.lanes.iter().map(|(id, lane)| (*id, lane.layout))
    }

    /// Live leases, parked or cooling leases.
    pub fn counts(&self) -> (usize, usize) {
        let live = self.lanes.values().map(|lane| lane.live).sum();
        (live, self.leases.len() - live)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn layout(id_len: u8) -> Layout {
        Layout { id_len, extranonce2_size: 4 }
    }

    fn session(number: u32) -> SessionId {
        SessionId::new(number, [0; 12])
    }

    #[test]
    fn a_miner_that_returns_finds_its_lease() {
        let now = Instant::now();
        let mut book = LeaseBook::new(100);
        let first = book.grant(layout(1), None, session(1)).unwrap().terms;
        book.release(now, Released { session: session(1), parked: Some("jobs") });
        let stranger = book.grant(layout(1), Some(session(9)), session(2)).unwrap();
        assert_ne!(stranger.terms.id, first.id, "a parked id is not given away");
        let again = book.grant(layout(1), Some(session(1)), session(3)).unwrap();
        assert_eq!((again.terms, again.resumed), (first, Some("jobs")));
        let twice = book.grant(layout(1), Some(session(1)), session(4)).unwrap();
        assert!(twice.resumed.is_none() && twice.terms.id != first.id, "a live lease has one owner");
    }

    #[test]
    fn a_storm_of_strangers_leaves_so_much_and_no_more() {
        let start = Instant::now();
        let mut book = LeaseBook::new(usize::MAX);
        let visits = MAX_PARKED as u32 + 10;
        for visit in 0..visits {
            book.grant(layout(3), None, session(visit)).unwrap();
            let now = start + Duration::from_millis(visit.into());
            book.release(now, Released { session: session(visit), parked: Some(visit) });
        }
        assert_eq!(book.parked.len(), MAX_PARKED);
        let resumed =
            |book: &mut LeaseBook<u32>, visit| book.grant(layout(3), Some(session(visit)), session(visits)).unwrap();
        assert_eq!(resumed(&mut book, 10).resumed, Some(10), "the last are kept");
        assert_eq!(resumed(&mut book, 9).resumed, None, "the first are forgotten");
        book.expire(start + Duration::from_secs(60), |_| None);
        assert_eq!(book.counts(), (2, MAX_PARKED - 1), "and their ids are free");
    }

    #[test]
    fn an_id_is_used_again_only_after_a_clean_job() {
        let start = Instant::now();
        let mut book = LeaseBook::new(100);
        book.grant(layout(0), None, session(1)).unwrap();
        book.release(start, Released { session: session(1), parked: Some(()) });
        let later = start + PARK;
        book.expire(later, |_| Some(start));
        assert_eq!(book.counts(), (0, 1), "no clean job since: the pool would see the same headers again");
        assert!(book.grant(layout(0), Some(session(1)), session(2)).unwrap().resumed.is_none(), "but its time is over");
        book.expire(later + Duration::from_secs(1), |_| Some(later + Duration::from_millis(1)));
        assert_eq!(book.counts(), (1, 0));
    }

    #[test]
    fn an_id_that_never_had_work_is_free_at_once() {
        let mut book = LeaseBook::<()>::new(1000);
        for round in 0..10_000 {
            book.grant(layout(1), None, session(round)).unwrap();
            book.release(Instant::now(), Released { session: session(round), parked: None });
        }
        assert_eq!((book.counts(), book.lanes().count()), ((0, 0), 1));
    }

    #[test]
    fn exhaustion_is_an_explicit_refusal() {
        let mut book = LeaseBook::<()>::new(1000);
        for miner in 0..(256 * MAX_LANES) as u32 {
            book.grant(layout(1), None, session(miner)).unwrap();
        }
        let refused = book.grant(layout(1), None, session(u32::MAX)).unwrap_err();
        assert_eq!(refused.to_string(), "no extranonce is free: 256 pool connections of 256 miners each are in use");
        assert!(book.grant(layout(3), None, session(u32::MAX)).is_ok(), "other layouts have their own");
    }

    #[test]
    fn half_empty_lanes_merge_where_ids_differ() {
        let now = Instant::now();
        let mut book = LeaseBook::new(4);
        for miner in 0..8 {
            book.grant(layout(2), None, session(miner)).unwrap();
        }
        assert_eq!((book.lanes().count(), book.mergeable()), (2, None), "both are full");
        for miner in [1, 2, 3, 4, 5] {
            book.release(now, Released { session: session(miner), parked: None::<()> });
        }
        let (from, into) = book.mergeable().expect("three are left");
        book.merge(from, into);
        assert_eq!((book.lanes().count(), book.live_in(into)), (1, 3));
    }

    proptest! {
        /// Whatever happens in whatever order: no two leases that are not free share an id on a lane.
        #[test]
        fn ids_are_unique_on_their_lane(
            id_len in 0u8..=2,
            cap in 1usize..300,
            steps in proptest::collection::vec((0u8..6, any::<prop::sample::Index>()), 1..400),
        ) {
            let mut now = Instant::now();
            let mut cleaned = now;
            let mut book = LeaseBook::new(cap);
            let mut live = Vec::new();
            let mut gone = Vec::new();
            for (number, (step, index)) in steps.into_iter().enumerate() {
                let fresh = session(number as u32);
                match step {
                    0 | 1 => if let Ok(grant) = book.grant(layout(id_len), None, fresh) { live.push(grant.terms.session) },
                    2 if !gone.is_empty() => {
                        let resume = *index.get(&gone);
                        if let Ok(grant) = book.grant(layout(id_len), Some(resume), fresh) { live.push(grant.terms.session) }
                    }
                    3 | 4 if !live.is_empty() => {
                        let session = live.swap_remove(index.index(live.len()));
                        gone.push(session);
                        book.release(now, Released { session, parked: (step == 3).then_some(number) });
                    }
                    5 => {
                        now += Duration::from_secs(index.index(400) as u64);
                        if index.index(2) == 0 { cleaned = now; }
                        book.expire(now, |_| Some(cleaned));
                        while let Some((from, into)) = book.mergeable() { book.merge(from, into); }
                    }
                    _ => {}
                }
                let mut taken = HashSet::new();
                for entry in book.leases.values() {
                    prop_assert!(taken.insert((entry.terms.lane, entry.number)), "id {} twice", entry.number);
                    let lane = &book.lanes[&entry.terms.lane];
                    prop_assert!(lane.ids.get(&entry.number) == Some(&entry.terms.session));
                    prop_assert!((entry.number as usize) < entry.terms.layout.ids());
                }
                prop_assert_eq!(book.counts().0, live.len());
                prop_assert_eq!(book.leases.len(), book.lanes.values().map(|lane| lane.ids.len()).sum::<usize>());
            }
        }
    }
}
