//! Other settings and other routes, for miners that are connected: each keeps its connection, its extranonce and its jobs.
//!
//! Settings are there for all in one turn. Routes are asked for again, some miners in each tick and the fastest first; whose pool is another
//! one moves to it as in a failover, no faster than that can take.

use super::{accept::prepare, sleep::Rest, *};

/// Miners whose route is asked for again, in a tick: a farm of ten thousand in a few seconds, and far fewer than the router's queue holds.
const REROUTES_PER_TICK: usize = 500;

impl Hall {
    /// Listeners' settings are others from now on.
    pub(super) fn set_settings(&mut self, settings: Vec<Arc<ListenerSettings>>) {
        let before = std::mem::replace(&mut self.settings, settings);
        self.offers.resize(self.settings.len(), None);
        for index in 0..self.slots.capacity() {
            let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.ends.is_none()) else { continue };
            let place = slot.session.listener();
            let settings = &self.settings[place];
            if before[place] == *settings {
                continue;
            }
            slot.lines.set_limit(settings.limits.line_bytes);
            let unacked_timeout = settings.limits.unacked_timeout;
            if before[place].limits.unacked_timeout != unacked_timeout && matches!(slot.rest, Rest::Awake) {
                // If it fails, the connection is gone, which is heard of soon.
                let _ = prepare(&slot.stream, unacked_timeout);
            }
            slot.session.handle_settings(self.now, settings, &mut self.io);
            if !self.io.out.is_empty() || !self.io.effects.is_empty() {
                self.settle(index);
            }
        }
    }

    /// Every miner's route is to be asked for again.
    pub(super) fn reroute(&mut self) {
        self.rerouting = self.order.iter().copied().collect();
    }

    /// Asks for some of them.
    pub(super) fn advance_reroutes(&mut self) {
        for _ in 0..REROUTES_PER_TICK {
            let Some((index, key)) = self.rerouting.pop_front() else { return };
            let Some(slot) = self.find(key).map(|index| &self.slots[index]) else { continue };
            // Who has no route yet asks by itself.
            let (Some(lease), Some(_)) = (slot.session.lease(), slot.berth) else { continue };
            let message = ToRouter::Reroute {
                connection: self.connection(index),
                session: lease.session,
                listener: slot.session.listener(),
                peer: slot.peer,
                user: slot.session.user().cloned(),
                rolls: slot.session.rolls(),
            };
            if self.to_router.try_send(message).is_err() {
                // Nobody is disconnected for it: the next tick goes on.
                return self.rerouting.push_front((index, key));
            }
        }
    }

    /// A miner is on another route.
    pub(super) fn rerouted(&mut self, index: usize, berth: Berth, upstream: Option<UpstreamId>, pace: Option<f64>) {
        let slot = &mut self.slots[index];
        slot.berth = Some(berth);
        // Without a connection of its new route it goes on as it is, and moves with all when there is one.
        let Some(upstream) = upstream.filter(|upstream| slot.session.upstream() != Some(*upstream)) else { return };
        let one = (index, slot.key);
        let is_same = |pending: &&mut Move| pending.berth == berth && pending.upstream == upstream;
        match self.moves.iter_mut().find(is_same) {
            Some(pending) => pending.waiting.push_back(one),
            None => {
                let shares_per_second = pace.unwrap_or(f64::INFINITY);
                self.moves.push(Move { berth, upstream, shares_per_second, budget: 0.0, waiting: [one].into() });
            }
        }
    }

    /// A pool connection closes: who waits for its turn to leave it goes now.
    pub(super) fn leave(&mut self, closing: UpstreamId) {
        let mut moves = std::mem::take(&mut self.moves);
        for pending in &mut moves {
            let Some((series, came)) = self.upstreams.get(&pending.upstream).and_then(|up| up.work.clone()) else {
                continue;
            };
            for (index, key) in std::mem::take(&mut pending.waiting) {
                let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.key == key) else { continue };
                if slot.ends.is_some() || slot.berth != Some(pending.berth) || slot.session.upstream() != Some(closing)
                {
                    pending.waiting.push_back((index, key));
                    continue;
                }
                slot.session.handle_bound(self.now, &series, came, &mut self.io);
                self.settle(index);
            }
        }
        self.moves = moves;
    }
}
