//! What concerns many of a worker's miners at once: the router's messages, jobs, moves between pools, and the clock.

use super::*;

impl Hall {
    pub(super) fn handle(&mut self, message: ToWorker) {
        let now = self.now;
        match message {
            ToWorker::Offer { listener, offer } => self.set_offer(now, listener, offer),
            ToWorker::Leased { key, lease } => {
                let Some(index) = self.find(key) else { return };
                let session = &mut self.slots[index].session;
                match lease {
                    Ok(lease) if !session.is_waiting() => session.handle_new_lease(now, lease.lease, &mut self.io),
                    lease => {
                        let fate = |upstream| self.upstreams.get(&upstream).map(|upstream| upstream.fate);
                        session.handle_lease(now, lease.map(|lease| *lease), fate, &mut self.io);
                    }
                }
                self.resume_reading(index);
            }
            ToWorker::Attached { key, berth, remembered, upstream } => {
                let Some(index) = self.find(key) else { return };
                let work = upstream.and_then(|id| self.upstreams.get(&id)?.work.clone());
                let slot = &mut self.slots[index];
                slot.berth = Some(berth);
                slot.session.handle_attached(now, &Attached { remembered, work }, &mut self.io);
                self.settle(index);
            }
            ToWorker::Up { upstream, shares } => {
                let fate = Fate { is_lost: false, cleaned: None };
                self.upstreams.insert(upstream, Upstream { shares, work: None, fate });
            }
            ToWorker::Job { series, came } => self.fan_out(now, &series, came),
            ToWorker::Bound { berth, upstream, pace } => self.bind(now, berth, upstream, pace),
            ToWorker::Lost { upstream, may_resume } => {
                if !may_resume {
                    self.leave(upstream);
                }
                for (_, slot) in &mut self.slots {
                    slot.session.handle_lost(upstream, may_resume);
                }
                if !may_resume {
                    self.upstreams.remove(&upstream);
                } else if let Some(lost) = self.upstreams.get_mut(&upstream) {
                    lost.fate.is_lost = true;
                }
            }
            ToWorker::Resumed(upstream) => {
                if let Some(back) = self.upstreams.get_mut(&upstream) {
                    back.fate.is_lost = false;
                }
                for (_, slot) in &mut self.slots {
                    slot.session.handle_resumed(upstream);
                }
            }
            ToWorker::PoolWord { key, ticket, word } => {
                let Some(index) = self.find(key) else { return };
                self.slots[index].session.handle_pool_word(ticket, word, &mut self.io);
                self.settle(index);
            }
            ToWorker::Relayout { berth, layout } => {
                let all = self.slots.iter().filter(|(_, slot)| slot.berth == Some(berth));
                self.relayouts.extend(all.map(|(index, slot)| (index, slot.key, layout)));
            }
            ToWorker::Merged { from, into } => self.merge(from, into),
            ToWorker::Reroute => self.reroute(),
            ToWorker::Rerouted { key, berth, upstream, pace } => {
                if let Some(index) = self.find(key) {
                    self.rerouted(index, berth, upstream, pace);
                }
            }
            ToWorker::Census(answer) => self.take_census(&answer),
            ToWorker::Sleepers { keys, asleep } => self.set_sleepers(&keys, asleep),
            // The loop handles them.
            ToWorker::Listeners(_) | ToWorker::StopAccepting | ToWorker::Stop => {}
        }
    }

    pub(super) fn set_offer(&mut self, now: Instant, listener: usize, offer: Offer) {
        self.offers[listener] = Some(offer);
        let waiting = self.slots.iter().filter(|(_, slot)| slot.session.listener() == listener);
        for index in waiting.map(|(index, _)| index).collect::<Vec<_>>() {
            let slot = &mut self.slots[index];
            if slot.session.lease().is_none() {
                slot.session.handle_offer(now, offer, &mut self.io);
                self.resume_reading(index);
            }
        }
    }

    /// Carries a job to every miner that works for its pool connection, those with the most hashrate first: until it hears of a
    /// new block, a miner hashes for nothing.
    pub(super) fn fan_out(&mut self, now: Instant, series: &Arc<WorkSeries>, came: Instant) {
        let job = series.job();
        let Some(upstream) = self.upstreams.get_mut(&job.upstream) else { return };
        upstream.work = Some((series.clone(), came));
        if job.notify.clean {
            upstream.fate.cleaned = Some(came);
        }
        for at in 0..self.order.len() {
            let (index, key) = self.order[at];
            let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.key == key) else { continue };
            if slot.ends.is_some() || !slot.session.works_for(job.upstream) {
                continue;
            }
            slot.session.handle_job(now, series, came, &mut self.io);
            if !self.io.out.is_empty() {
                self.settle(index);
                if job.notify.clean {
                    self.book.fan_out.record(came.elapsed(), 1);
                }
            }
        }
    }

    pub(super) fn bind(&mut self, now: Instant, berth: Berth, upstream: Option<UpstreamId>, pace: Option<f64>) {
        self.moves.retain(|pending| pending.berth != berth);
        let members = self.slots.iter().filter(|(_, slot)| slot.berth == Some(berth));
        let members: Vec<(Hashrate, usize, u64)> =
            members.map(|(index, slot)| (slot.session.hashrate(now).unwrap_or_default(), index, slot.key)).collect();
        let Some(upstream) = upstream else {
            for (_, index, _) in members {
                self.slots[index].session.handle_unbound();
            }
            return;
        };
        let waiting = fastest_first(members).into();
        let shares_per_second = pace.unwrap_or(f64::INFINITY);
        self.moves.push(Move { berth, upstream, shares_per_second, budget: 0.0, waiting });
        self.advance_moves(now, 1.0);
    }

    /// Moves as many miners as their pools can take in so many seconds.
    pub(super) fn advance_moves(&mut self, now: Instant, seconds: f64) {
        let mut moves = std::mem::take(&mut self.moves);
        for pending in &mut moves {
            let Some((series, came)) = self.upstreams.get(&pending.upstream).and_then(|up| up.work.clone()) else {
                continue;
            };
            let hashes_per_share = series.job().pool_difficulty.get() * HASHES_PER_DIFFICULTY;
            pending.budget += pending.shares_per_second * seconds;
            while pending.budget > 0.0
                && let Some((index, key)) = pending.waiting.pop_front()
            {
                let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.key == key) else { continue };
                if slot.ends.is_some() || slot.berth != Some(pending.berth) {
                    continue;
                }
                pending.budget -= slot.session.hashrate(now).unwrap_or_default().hs() / hashes_per_share;
                if slot.session.upstream() != Some(pending.upstream) {
                    slot.session.handle_bound(now, &series, came, &mut self.io);
                    self.settle(index);
                }
            }
        }
        moves.retain(|pending| !pending.waiting.is_empty() && self.upstreams.contains_key(&pending.upstream));
        self.moves = moves;
    }

    pub(super) fn merge(&mut self, from: LaneId, into: LaneId) {
        for (_, slot) in &mut self.slots {
            slot.session.handle_merged(from, into);
            if let Some(berth) = slot.berth.as_mut().filter(|berth| berth.lane == from) {
                berth.lane = into;
            }
        }
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.lingering.expire(now);
        if self.stopped {
            return;
        }
        self.advance_reroutes();
        self.advance_moves(now, TICK.as_secs_f64());
        for _ in 0..RELAYOUTS_PER_TICK {
            let Some((index, key, layout)) = self.relayouts.pop_front() else { break };
            if self.find(key).is_some() {
                self.slots[index].session.handle_relayout(layout, &mut self.io);
                self.settle(index);
            }
        }
        for index in 0..self.slots.capacity() {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            if slot.ends.is_some() {
                continue;
            }
            let should_be_up = slot.rest.should_be_up(now);
            if slot.session.next_timeout() <= now {
                slot.session.handle_timeout(now, &mut self.io);
                self.settle(index);
            }
            if should_be_up {
                self.wakes_up(index);
            }
        }
        self.ticks = self.ticks.wrapping_add(1);
        if self.ticks.is_multiple_of(TICKS_PER_SURVEY) {
            self.survey(now);
        }
        if self.ticks.is_multiple_of(TICKS_PER_ORDER) {
            let all = self.slots.iter();
            let all = all.map(|(index, slot)| (slot.session.hashrate(now).unwrap_or_default(), index, slot.key));
            self.order = fastest_first(all.collect());
        }
    }

    /// Counts the miners and what they hash.
    pub(super) fn survey(&self, now: Instant) {
        let routes = self.book.miners.len();
        let mut miners = vec![0; routes];
        let mut hashrate = vec![Hashrate::default(); routes];
        for (_, slot) in &self.slots {
            if let Some(berth) = slot.berth.filter(|_| slot.session.is_mining()) {
                miners[berth.route] += 1;
                hashrate[berth.route] += slot.session.hashrate(now).unwrap_or_default();
            }
        }
        for route in 0..routes {
            self.book.miners[route].set(miners[route]);
            self.book.hashrate[route].set(hashrate[route].hs());
        }
    }
}

/// Positions and keys of connections, by hashrate; where it is equal, in the order that they lie in.
fn fastest_first(mut all: Vec<(Hashrate, usize, u64)>) -> Vec<(usize, u64)> {
    all.sort_unstable_by(|a, b| b.0.hs().total_cmp(&a.0.hs()).then(a.1.cmp(&b.1)));
    all.into_iter().map(|(_, index, key)| (index, key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_miner_with_the_most_hashrate_is_first() {
        let hashrate = |hs: f64| Hashrate::from_hs(hs);
        let all =
            vec![(hashrate(1.0), 0, 10), (hashrate(5e14), 1, 11), (hashrate(1.0), 2, 12), (hashrate(2e14), 3, 13)];
        assert_eq!(fastest_first(all), [(1, 11), (3, 13), (0, 10), (2, 12)]);
    }
}
