//! Which pool connections there are: opened where a berth needs one, closed when nobody does.

use super::*;

impl Router {
    /// Sees to it that a pool has a connection for a berth's lane, or that the berth gets a layout which the pool can hold.
    pub(super) fn provide(&mut self, berth: Berth, pool: usize) {
        let Some(layout) = self.leases.layout_of(berth.lane) else { return };
        let terms = self.state.pools.get(&*self.places.config.pools[pool].name).copied();
        if terms.is_some_and(|terms| !layout.fits(terms.extranonce2_size)) {
            return self.relayout(berth, pool, layout);
        }
        if self.connections.values().any(|connection| connection.serves(berth, pool)) {
            return;
        }
        let spare = self
            .connections
            .iter()
            .find(|(_, c)| c.pool == pool && c.lane.is_none() && c.retires.is_none() && c.is_present());
        match spare.map(|(key, _)| *key) {
            Some(key) => {
                self.connections.get_mut(&key).expect("found above").lane = Some((berth.lane, layout));
                self.make_work(key);
            }
            None => self.open(pool, Some((berth.lane, layout))),
        }
    }

    fn relayout(&mut self, berth: Berth, pool: usize, layout: Layout) {
        let listeners =
            (0..self.offers.len()).filter(|listener| self.places.config.routes[berth.route].serves(*listener));
        let size =
            self.state.pools.get(&*self.places.config.pools[pool].name).map_or(0, |terms| terms.extranonce2_size);
        let offer = listeners.filter_map(|listener| self.offers[listener]).find(|offer| offer.layout.fits(size));
        if let Some(Offer { layout: new, .. }) = offer
            && self.relaid.insert(berth)
        {
            let name = &self.places.config.pools[pool].name;
            warn!("pool {name:?} can't hold miners with {layout}: they are given {new}, or asked to reconnect");
            self.broadcast(|| ToWorker::Relayout { berth, layout: new });
        }
    }

    pub(super) fn open(&mut self, pool: usize, lane: Option<(LaneId, Layout)>) {
        let key = self.next_connection;
        self.next_connection += 1;
        let settings = Arc::new(self.places.config.pools[pool].clone());
        if let Some((lane, layout)) = lane {
            info!("pool {:?}: opening one more connection, for miners {layout} of lane {}", settings.name, lane.0);
        }
        let handle =
            upstream::spawn(key, settings, self.upstream_ids.clone(), self.events.clone(), self.stop.child_token());
        self.connections.insert(key, Connection::new(pool, lane, handle));
    }

    /// Before a farm lands on a pool: the difficulty at which it will not be flooded.
    pub(super) fn suggest(&self, berth: Berth, line: Line) {
        if self.places.config.pools[line.pool].suggest_difficulty.is_some() {
            return;
        }
        let totals = self.books.totals();
        let hashrate = totals.hashrate.get(berth.route).copied().unwrap_or_default();
        let connection = self.connections.values().find(|connection| connection.announced == Some(line.upstream));
        let (Some(connection), Some(wanted)) = (connection, settled_difficulty(hashrate)) else { return };
        if connection.job.as_ref().is_some_and(|(job, _)| job.pool_difficulty < wanted) {
            connection.handle.suggest_difficulty(wanted);
        }
    }

    /// Opens one to every pool that some route leads to and that has none.
    pub(super) fn open_routed(&mut self) {
        for pool in 0..self.places.config.pools.len() {
            let has_one =
                self.connections.values().any(|connection| connection.pool == pool && connection.is_present());
            if self.places.is_routed(pool) && !has_one {
                self.open(pool, None);
            }
        }
    }

    /// A pool has other settings: each of its connections is followed by one that has them.
    pub(super) fn hand_over(&mut self, pool: usize) {
        let present = self.connections.values_mut().filter(|connection| connection.pool == pool);
        let mut lanes = Vec::new();
        for connection in present.filter(|connection| connection.is_present()) {
            connection.is_outdated = true;
            lanes.push(connection.lane);
        }
        if self.places.is_routed(pool) {
            lanes.into_iter().for_each(|lane| self.open(pool, lane));
        }
    }

    /// Closes pool connections whose lane has no miner, once their late shares have settled. One stays for each pool, as a standby.
    /// Those of a pool that no route leads to, and those that were followed by another, close when all of their miners have left.
    pub(super) fn close_unused(&mut self, now: Instant) {
        let has_miners =
            |connection: &Connection| connection.lane.is_some_and(|(lane, _)| self.leases.live_in(lane) > 0);
        let mut has_stay = vec![false; self.places.config.pools.len()];
        for connection in self.connections.values().filter(|one| has_miners(one) && one.is_present()) {
            has_stay[connection.pool] = true;
        }
        let mut closing = Vec::new();
        for (key, connection) in &mut self.connections {
            let pool = connection.pool;
            let is_over = connection.is_outdated || !self.places.is_routed(pool);
            let stays = match connection.announced {
                _ if connection.is_closing => false,
                announced if is_over => announced.is_some_and(|upstream| !self.board.has_left(upstream)),
                _ => {
                    has_miners(connection)
                        || (connection.retires.is_none() && !std::mem::replace(&mut has_stay[pool], true))
                }
            };
            let settled_in = match connection.announced {
                Some(_) if is_over => LATE_SHARES,
                None if is_over => Duration::ZERO,
                _ => self.places.config.pools[pool].reply_timeout,
            };
            if stays {
                connection.retires = None;
            } else if *connection.retires.get_or_insert(now + settled_in) <= now {
                closing.push(*key);
            }
        }
        for key in closing {
            self.close(now, key);
        }
        // A standby whose lane is gone may serve another.
        let lanes: Vec<LaneId> = self.leases.lanes().map(|(lane, _)| lane).collect();
        for connection in self.connections.values_mut().filter(|connection| connection.retires.is_none()) {
            if connection.lane.is_some_and(|(lane, _)| !lanes.contains(&lane)) {
                connection.lane = None;
                connection.series = None;
            }
        }
    }

    /// Ends a connection. To one that had miners until now, nothing is sent any more, and the pool has time to answer what was sent.
    fn close(&mut self, now: Instant, key: usize) {
        let Some(connection) = self.connections.get_mut(&key) else { return };
        let pool = connection.pool;
        let had_miners = connection.is_outdated || !self.places.is_routed(pool);
        if let Some(upstream) = connection.announced.take() {
            connection.is_closing = had_miners;
            connection.series = None;
            connection.retires = Some(now + self.places.config.pools[pool].reply_timeout);
            self.broadcast(|| ToWorker::Lost { upstream, may_resume: false });
            if had_miners {
                return;
            }
        }
        let Some(connection) = self.connections.get(&key) else { return };
        connection.handle.stop();
        self.connections.remove(&key);
        info!("pool {:?}: closed a connection that no miner needs", self.places.config.pools[pool].name);
        if !self.connections.values().any(|other| other.pool == pool && other.live) {
            self.board.pool_down(pool, now);
        }
        self.count_connections(pool);
    }
}
