//! What pools said of each miner's shares since the last census.
//!
//! Knows connections by their ids; knows nothing of shares, miners or clocks. Nothing comes in before the first census is taken
//! ([`Origin::is_counted`](crate::upstream::Origin::is_counted)).
//!
//! Limit: so many connections as it is made for; of more, between two censuses, nothing is known, and that is counted.

use std::collections::{HashMap, hash_map::Entry};

use tracing::warn;

use crate::{
    router::{ConnectionId, Settled},
    upstream::Settlement,
};

/// Counts by connection.
#[derive(Debug)]
pub struct SettledTally {
    counts: HashMap<ConnectionId, Settled>,
    room: usize,
    /// Settlements without a place, in all.
    overflow: u64,
}

impl SettledTally {
    /// For so many connections between two censuses.
    pub fn new(room: usize) -> Self {
        Self { counts: HashMap::new(), room, overflow: 0 }
    }

    /// For so many from now on.
    pub fn set_room(&mut self, room: usize) {
        self.room = room;
    }

    /// The end of a share of this connection.
    pub fn count(&mut self, connection: ConnectionId, settlement: &Settlement) {
        let is_full = self.counts.len() >= self.room;
        let settled = match self.counts.entry(connection) {
            Entry::Vacant(_) if is_full => return self.overflow(),
            entry => entry.or_default(),
        };
        match settlement {
            Settlement::Accepted { .. } => settled.accepted += 1,
            Settlement::Rejected(_) => settled.rejected += 1,
            Settlement::Unanswered | Settlement::Lost => settled.lost += 1,
        }
    }

    fn overflow(&mut self) {
        self.overflow += 1;
        // Said at 1, 2, 4, 8 …
        if self.overflow.is_power_of_two() {
            let (overflow, room) = (self.overflow, self.room);
            warn!("pools' words on {overflow} shares are in no census: {room} connections wait for the next one");
        }
    }

    /// All of it; counting begins anew.
    pub fn take(&mut self) -> Vec<(ConnectionId, Settled)> {
        std::mem::take(&mut self.counts).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::stratum::PoolError;

    fn connection(key: u64) -> ConnectionId {
        ConnectionId { worker: 1, key }
    }

    #[test]
    fn every_word_is_told_once_to_the_connection_it_is_about() {
        let mut tally = SettledTally::new(10);
        let accepted = Settlement::Accepted { latency: Duration::ZERO };
        let rejected = Settlement::Rejected(PoolError { code: 21, message: "stale".into() });
        for settlement in [&accepted, &accepted, &rejected, &Settlement::Unanswered, &Settlement::Lost] {
            tally.count(connection(1), settlement);
        }
        tally.count(connection(2), &accepted);
        let mut told = tally.take();
        told.sort_by_key(|(connection, _)| connection.key);
        let settled = |accepted, rejected, lost| Settled { accepted, rejected, lost };
        assert_eq!(told, [(connection(1), settled(2, 1, 2)), (connection(2), settled(1, 0, 0))]);
        assert_eq!(tally.take(), []);
    }

    #[test]
    fn without_a_census_it_stops_growing_and_keeps_whom_it_knows() {
        let mut tally = SettledTally::new(2);
        for key in (0..100).chain([1]) {
            tally.count(connection(key), &Settlement::Lost);
        }
        let mut told = tally.take();
        told.sort_by_key(|(connection, _)| connection.key);
        assert_eq!(told.iter().map(|(connection, of)| (connection.key, of.lost)).collect::<Vec<_>>(), [(0, 1), (1, 2)]);
        assert_eq!(tally.overflow, 98);
    }
}
