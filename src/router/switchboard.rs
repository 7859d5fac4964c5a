//! Which pool each group of miners should be on, and on which of its connections.
//!
//! Pure: pools come and go by [`Switchboard::pool_up`] and the like, berths by their miners; [`Switchboard::plan`] says what has
//! to change. It knows pools by their position in the config and connections by a key; it knows nothing of sockets.
//!
//! | the berth's pool connection | another pool of the route | then |
//! |---|---|---|
//! | lives | a better one has been well for `fail_back_after` | planned move, once the better one's connection has work |
//! | is lost | lives | the first in order, at once |
//! | is lost | none lives | the berth waits; its miners stay connected |
//!
//! A berth of rolling miners passes over pools that grant no version bits: many ASICs can't stop rolling.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    router::Berth,
    upstream::failover::{Health, Reason, choose},
    work::UpstreamId,
};

/// What a route needs to know of itself.
#[derive(Clone, Debug)]
pub struct RoutePlan {
    /// Pools in failover order.
    pub pools: Vec<usize>,
    /// As in the config.
    pub fail_back_after: Duration,
}

/// A pool connection that can carry miners now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its pool.
    pub pool: usize,
    /// Its identity.
    pub upstream: UpstreamId,
}

/// A change of a route's pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// Which route.
    pub route: usize,
    /// From which pool.
    pub from: Option<usize>,
    /// To which.
    pub to: usize,
    /// Why.
    pub reason: Reason,
}

/// An order to put a berth on a connection, or on none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Who.
    pub berth: Berth,
    /// Where.
    pub line: Option<Line>,
    /// Its first connection since its miners came: there is no rush of them to be paced.
    pub first: bool,
}

#[derive(Debug, Default)]
struct BerthState {
    miners: usize,
    bound: Option<Line>,
    was_bound: bool,
}

/// The pools each route and each berth is on.
#[derive(Debug)]
pub struct Switchboard {
    routes: Vec<RoutePlan>,
    healths: Vec<Health>,
    /// Pools that are known to grant no version bits.
    maskless: Vec<bool>,
    /// By route: for miners that don't roll, for those that do.
    current: Vec<[Option<usize>; 2]>,
    berths: BTreeMap<Berth, BerthState>,
}

impl Switchboard {
    /// Nothing is connected.
    pub fn new(routes: Vec<RoutePlan>, pools: usize, now: Instant) -> Self {
        Self {
            current: vec![[None; 2]; routes.len()],
            routes,
            healths: vec![Health::starting(now); pools],
            maskless: vec![false; pools],
            berths: BTreeMap::new(),
        }
    }

    /// Other routes and pools: each that was there before has its place still, new ones are behind. A route stays on its pool, even where
    /// that was taken from it, until another of its pools lives.
    pub fn reconfigure(&mut self, routes: Vec<RoutePlan>, pools: usize, now: Instant) {
        self.current.resize(routes.len(), [None; 2]);
        self.routes = routes;
        self.healths.resize(pools, Health::starting(now));
        self.maskless.resize(pools, false);
    }

    /// Whether every berth is bound, and none to this connection: nobody needs it.
    pub fn has_left(&self, upstream: UpstreamId) -> bool {
        self.berths.values().all(|state| state.bound.is_some_and(|line| line.upstream != upstream))
    }

    /// Miners come to a berth from another one: its first connection has to expect a rush.
    pub fn expect_rush(&mut self, berth: Berth) {
        self.berths.entry(berth).or_default().was_bound = true;
    }

    /// A pool has a connection with work.
    pub fn pool_up(&mut self, pool: usize, now: Instant) {
        self.healths[pool].up(now);
    }

    /// A pool's last connection with work is gone.
    pub fn pool_down(&mut self, pool: usize, now: Instant) {
        self.healths[pool].down(now);
    }

    /// Whether a pool grants version bits, as it says at login or as its jobs allow. Returns whether that is news.
    pub fn set_maskless(&mut self, pool: usize, maskless: bool) -> bool {
        std::mem::replace(&mut self.maskless[pool], maskless) != maskless
    }

    /// Whether a pool has a connection with work.
    pub fn is_up(&self, pool: usize) -> bool {
        self.healths[pool].is_up()
    }

    /// A miner came to a berth.
    pub fn join(&mut self, berth: Berth) {
        self.berths.entry(berth).or_default().miners += 1;
    }

    /// A miner left its berth.
    pub fn leave(&mut self, berth: Berth) {
        if let Some(state) = self.berths.get_mut(&berth) {
            state.miners -= 1;
            if state.miners == 0 {
                self.berths.remove(&berth);
            }
        }
    }

    /// Where a berth is.
    pub fn bound(&self, berth: Berth) -> Option<Line> {
        self.berths.get(&berth)?.bound
    }

    /// Miners of a berth.
    pub fn miners_in(&self, berth: Berth) -> usize {
        self.berths.get(&berth).map_or(0, |state| state.miners)
    }

    /// Miners of all berths of a route.
    pub fn miners_of(&self, route: usize) -> usize {
        self.berths.iter().filter(|(berth, _)| berth.route == route).map(|(_, state)| state.miners).sum()
    }

    /// The berths that have miners.
    pub fn berths(&self) -> impl Iterator<Item = Berth> + '_ {
        self.berths.keys().copied()
    }

    /// Gives every berth of `from` the lane `into`; they have to be planned again.
    pub fn merge(&mut self, from: crate::router::LaneId, into: crate::router::LaneId) {
        let moved: Vec<Berth> = self.berths.keys().filter(|berth| berth.lane == from).copied().collect();
        for berth in moved {
            let state = self.berths.remove(&berth).expect("listed above");
            let target = self.berths.entry(Berth { lane: into, ..berth }).or_default();
            target.miners += state.miners;
            // What the miners that were there are on does not hold for those that came.
            target.bound = None;
            target.was_bound = true;
        }
    }

    /// The pool a berth should be on.
    pub fn wanted(&self, berth: Berth) -> Option<usize> {
        self.current[berth.route][usize::from(berth.rolls)]
    }

    /// Chooses the pool of every route anew.
    pub fn choose_pools(&mut self, now: Instant) -> Vec<Switch> {
        let mut switches = Vec::new();
        for (route, plan) in self.routes.iter().enumerate() {
            for rolls in [false, true] {
                let order: Vec<usize> =
                    plan.pools.iter().copied().filter(|pool| !(rolls && self.maskless[*pool])).collect();
                let current = &mut self.current[route][usize::from(rolls)];
                let Some(choice) = choose(&order, *current, &self.healths, now, plan.fail_back_after) else { continue };
                if *current != Some(choice.pool) {
                    let was_removed =
                        current.is_some_and(|old| self.healths[old].is_up() && !plan.pools.contains(&old));
                    let reason = if was_removed { Reason::Removed } else { choice.reason };
                    let switch = Switch { route, from: *current, to: choice.pool, reason };
                    *current = Some(choice.pool);
                    // Nearly always both kinds of miners move alike, and it is told once.
                    if !switches.contains(&switch) {
                        switches.push(switch);
                    }
                }
            }
        }
        switches
    }

    /// What berths have to move. `line(berth, pool)`: the connection with work that the pool has for that lane.
    pub fn plan(&mut self, line: impl Fn(Berth, usize) -> Option<Line>) -> Vec<Bind> {
        let mut binds = Vec::new();
        for (berth, state) in &mut self.berths {
            let rolls = usize::from(berth.rolls);
            let Some(wanted) = self.current[berth.route][rolls] else { continue };
            let live = |pool| line(*berth, pool);
            let stay = || state.bound.filter(|bound| live(bound.pool) == Some(*bound));
            let others = || {
                let mut pools = self.routes[berth.route].pools.iter();
                pools.find_map(|pool| live(*pool).filter(|_| rolls == 0 || !self.maskless[*pool]))
            };
            let target = live(wanted).or_else(stay).or_else(others);
            if target != state.bound {
                let first = target.is_some() && !std::mem::replace(&mut state.was_bound, true);
                state.bound = target;
                binds.push(Bind { berth: *berth, line: target, first });
            }
        }
        binds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::LaneId;

    const BACK: Duration = Duration::from_secs(120);

    fn board(now: Instant) -> Switchboard {
        Switchboard::new(vec![RoutePlan { pools: vec![0, 1], fail_back_after: BACK }], 2, now)
    }

    fn berth(rolls: bool) -> Berth {
        Berth { route: 0, lane: LaneId(0), rolls }
    }

    /// Connections are numbered as their pools.
    fn lines(live: &[usize]) -> impl Fn(Berth, usize) -> Option<Line> + '_ {
        |_, pool| live.contains(&pool).then_some(Line { pool, upstream: UpstreamId(pool as u64) })
    }

    fn on(binds: &[Bind]) -> Vec<Option<usize>> {
        binds.iter().map(|bind| bind.line.map(|line| line.pool)).collect()
    }

    #[test]
    fn miners_fail_over_at_once_and_back_after_a_while() {
        let start = Instant::now();
        let mut board = board(start);
        board.join(berth(false));
        board.pool_up(0, start);
        board.pool_up(1, start);
        assert_eq!(board.choose_pools(start).len(), 1);
        assert_eq!(on(&board.plan(lines(&[0, 1]))), [Some(0)]);
        assert_eq!(on(&board.plan(lines(&[0, 1]))), []);

        let lost = start + Duration::from_secs(10);
        board.pool_down(0, lost);
        assert_eq!(board.choose_pools(lost)[0].reason, Reason::Failover);
        assert_eq!(on(&board.plan(lines(&[1]))), [Some(1)]);

        let again = lost + Duration::from_secs(10);
        board.pool_up(0, again);
        assert_eq!(board.choose_pools(again), []);
        assert_eq!(board.choose_pools(again + BACK)[0].reason, Reason::FailBack);
        assert_eq!(on(&board.plan(lines(&[0, 1]))), [Some(0)]);
    }

    #[test]
    fn without_any_pool_miners_wait_for_the_first_that_comes() {
        let start = Instant::now();
        let mut board = board(start);
        board.join(berth(true));
        assert_eq!(board.choose_pools(start), []);
        board.pool_up(0, start);
        board.choose_pools(start);
        board.plan(lines(&[0]));
        board.pool_down(0, start);
        assert_eq!(board.choose_pools(start), []);
        assert_eq!(on(&board.plan(lines(&[]))), [None]);
        board.pool_up(1, start);
        board.choose_pools(start);
        assert_eq!(on(&board.plan(lines(&[1]))), [Some(1)]);
    }

    #[test]
    fn a_planned_move_waits_for_a_connection_with_work() {
        let start = Instant::now();
        let mut board = board(start);
        board.join(berth(false));
        board.pool_up(1, start);
        let started = start + Duration::from_secs(3600);
        board.choose_pools(started);
        board.plan(lines(&[1]));
        board.pool_up(0, started);
        board.choose_pools(started + BACK);
        assert_eq!(on(&board.plan(lines(&[1]))), [], "the lane's connection to pool 0 is still opening");
        assert_eq!(on(&board.plan(lines(&[0, 1]))), [Some(0)]);
    }

    #[test]
    fn rolling_miners_pass_over_a_pool_without_version_rolling() {
        let start = Instant::now();
        let mut board = board(start);
        board.join(berth(false));
        board.join(berth(true));
        board.set_maskless(0, true);
        board.pool_up(0, start);
        board.pool_up(1, start);
        board.choose_pools(start);
        assert_eq!(on(&board.plan(lines(&[0, 1]))), [Some(0), Some(1)]);
    }

    #[test]
    fn a_pool_that_is_taken_away_is_mined_for_until_another_lives() {
        let start = Instant::now();
        let mut board = board(start);
        board.join(berth(false));
        board.pool_up(0, start);
        board.choose_pools(start + crate::upstream::failover::FIRST_LOGIN);
        board.plan(lines(&[0]));
        let later = start + Duration::from_secs(60);
        board.reconfigure(vec![RoutePlan { pools: vec![1, 2], fail_back_after: BACK }], 3, later);
        assert_eq!((board.choose_pools(later), on(&board.plan(lines(&[0])))), (vec![], vec![]));
        assert!(!board.has_left(UpstreamId(0)));
        board.pool_up(2, later);
        let switches = board.choose_pools(later);
        assert_eq!((switches[0].from, switches[0].to, switches[0].reason), (Some(0), 2, Reason::Removed));
        let binds = board.plan(lines(&[0, 2]));
        assert_eq!((on(&binds), binds[0].first), (vec![Some(2)], false));
        assert!(board.has_left(UpstreamId(0)) && !board.has_left(UpstreamId(2)));
    }

    #[test]
    fn an_empty_berth_is_forgotten() {
        let mut board = board(Instant::now());
        board.join(berth(true));
        board.leave(berth(true));
        assert_eq!(board.berths().count(), 0);
        board.leave(berth(true));
    }
}
