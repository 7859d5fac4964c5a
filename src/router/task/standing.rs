//! How pools stand, for whoever looks: which have work since when, why one was lost, and which miners each connection has.

use jiff::Timestamp;

use super::*;
use crate::metrics::{LaneBook, PoolLoss};

impl Router {
    /// A connection was lost, or could not be made.
    pub(super) fn note_loss(&self, key: usize, why: String, retry_in: Duration) {
        let pool = self.connections[&key].pool;
        self.books.router().pools[pool].last_loss = Some(PoolLoss { at: Timestamp::now(), why, retry_in });
    }

    pub(super) fn count_connections(&self, pool: usize) {
        let live = self.connections.values().filter(|connection| connection.pool == pool && connection.live).count();
        let mut books = self.books.router();
        let book = &mut books.pools[pool];
        if (book.connections > 0) != (live > 0) {
            book.since = Some(Timestamp::now());
        }
        book.connections = live;
    }

    /// Writes down which connections there are, and who is on them.
    pub(super) fn show_lanes(&self) {
        let mut lanes: Vec<Vec<LaneBook>> = vec![Vec::new(); self.places.config.pools.len()];
        for connection in self.connections.values() {
            let bound = self.board.berths().filter(|berth| {
                let line = self.board.bound(*berth);
                line.is_some_and(|line| Some(line.upstream) == connection.announced)
            });
            lanes[connection.pool].push(LaneBook {
                lane: connection.lane.map(|(lane, _)| lane.0),
                is_live: connection.live,
                is_retiring: connection.retires.is_some(),
                miners: bound.map(|berth| self.board.miners_in(berth)).sum(),
            });
        }
        let mut books = self.books.router();
        for (book, lanes) in books.pools.iter_mut().zip(lanes) {
            book.lanes = lanes;
        }
    }
}
