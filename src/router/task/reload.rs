//! Another config for a router that runs: nobody is disconnected, whatever changed.
//!
//! | changed | then |
//! |---|---|
//! | a pool's address, login, or how it is spoken to | another connection beside the one that there is; miners move when it has work |
//! | a pool came, went, or has another place in its route | pools are chosen anew; miners stay where they are until the new one has work |
//! | which route takes whom | each worker asks again for its miners, some at a time |
//! | a listener's extranonce or mask | offered to miners that come from now on |

use tracing::info;

use super::*;
use crate::{
    config::{Listener, Pool, Route},
    downstream::ListenerChange,
};

/// Another config, made ready: nothing of it can fail any more.
#[derive(Debug)]
pub struct Reconfigure {
    /// From now on.
    pub places: Places,
    /// By worker.
    pub listeners: Vec<ListenerChange>,
    /// Answered when it is in force here, and on its way to the workers.
    pub done: oneshot::Sender<()>,
}

impl Inbox {
    /// Lets somebody change the config.
    pub fn take_changes(&mut self, changes: mpsc::Receiver<Reconfigure>) {
        self.changes = changes;
    }
}

/// What the switchboard has to know of routes, by their places. One that is gone chooses no pool: what miners it still has stay where they
/// are until they have another.
pub(super) fn plans(places: &Places) -> Vec<RoutePlan> {
    let routes = places.config.routes.iter().enumerate();
    let plan = |(place, route): (usize, &Route)| RoutePlan {
        pools: if places.routes.contains(&place) { route.pools.clone() } else { Vec::new() },
        fail_back_after: route.fail_back_after,
    };
    routes.map(plan).collect()
}

/// Miners that may share a connection to each pool that any of them can land on.
pub(super) fn miners_per_lane(places: &Places) -> usize {
    let pools = places.config.pools.iter().enumerate().filter(|(pool, _)| places.is_routed(*pool));
    pools.map(|(_, pool)| pool.max_miners).min().unwrap_or(1)
}

/// Whether connections that there are go on as they are.
fn is_spoken_to_alike(old: &Pool, new: &Pool) -> bool {
    let Pool { max_miners, extranonce2_size, admit_shares_per_second, .. } = new.clone();
    *new == Pool { max_miners, extranonce2_size, admit_shares_per_second, ..old.clone() }
}

fn is_offered_alike(old: &Listener, new: &Listener) -> bool {
    (old.extranonce2_size, old.version_mask) == (new.extranonce2_size, new.version_mask)
}

/// Whether each miner is on the route that it would be given anew.
fn takes_alike(before: &Places, after: &Places) -> bool {
    let alike = |(old, before): (usize, &Route), (new, after): (usize, &Route)| {
        let is_same_user = before.user == after.user;
        old == new && is_same_user && before.listeners == after.listeners && before.subnets == after.subnets
    };
    before.routes.len() == after.routes.len() && before.routes().zip(after.routes()).all(|(old, new)| alike(old, new))
}

impl Router {
    pub(super) fn reconfigure(&mut self, now: Instant, change: Reconfigure) {
        let Reconfigure { places, listeners, done } = change;
        let before = std::mem::replace(&mut self.places, places);
        let (old, new) = (before.config.clone(), self.places.config.clone());
        let pools = new.pools.len();
        self.books.grow(pools, new.routes.len());
        self.complaints.resize_with(pools, Complaints::default);
        self.offers.resize(new.listeners.len(), None);
        self.leases.set_miners_per_lane(miners_per_lane(&self.places));
        self.tally.set_room(new.limits.connections.saturating_mul(2));
        self.board.reconfigure(plans(&self.places), pools, now);
        for (index, pool) in new.pools.iter().enumerate().skip(old.pools.len()) {
            let remembered = self.state.pools.get(&*pool.name);
            self.board.set_maskless(index, remembered.is_some_and(|terms| terms.version_mask == 0));
        }
        for (worker, change) in listeners.into_iter().enumerate() {
            self.tell(worker as u16, ToWorker::Listeners(Box::new(change)));
        }
        for (pool, (old, new)) in old.pools.iter().zip(&new.pools).enumerate() {
            if !is_spoken_to_alike(old, new) {
                info!("pool {:?}: another connection is opened, with its new settings", new.name);
                self.hand_over(pool);
            }
        }
        self.open_routed();
        self.renew_offers(&old.listeners);
        if !takes_alike(&before, &self.places) {
            self.broadcast(|| ToWorker::Reroute);
        }
        self.serve(now);
        // Whoever gave the order may have gone.
        let _ = done.send(());
    }

    /// Listeners that want to offer something else begin anew.
    fn renew_offers(&mut self, before: &[Listener]) {
        let config = self.places.config.clone();
        let changed =
            |(place, (old, new)): (usize, (&Listener, &Listener))| (!is_offered_alike(old, new)).then_some(place);
        let changed: Vec<usize> = before.iter().zip(&config.listeners).enumerate().filter_map(changed).collect();
        let old: Vec<Option<Offer>> = changed.iter().map(|listener| self.offers[*listener].take()).collect();
        self.settle_offers();
        for (listener, old) in changed.into_iter().zip(old) {
            // What can't be known yet is as it was until it is.
            self.offers[listener] = self.offers[listener].or(old);
        }
    }

    /// A miner asks whether its route is still its own.
    pub(super) fn reroute(&mut self, connection: ConnectionId, session: SessionId, route: usize, rolls: bool) {
        let Some((old, lane)) = self.berths.get(&session).copied() else { return };
        let berth = Berth { route, rolls, ..old };
        if berth == old {
            return;
        }
        self.berths.insert(session, (berth, lane));
        self.board.leave(old);
        self.board.join(berth);
        self.board.expect_rush(berth);
        self.serve(Instant::now());
        let line = self.board.bound(berth);
        let (upstream, pace) = (line.map(|line| line.upstream), line.map(|line| self.pace(line.pool)));
        self.tell(connection.worker, ToWorker::Rerouted { key: connection.key, berth, upstream, pace });
    }
}
