//! What became of the shares that went up: booked by pool, and told to the miners that wait for the pool's word.

use super::*;

impl Router {
    pub(super) fn settle(&mut self, now: Instant, key: usize, outgoing: &Outgoing, settlement: Settlement) {
        let pool = self.connections[&key].pool;
        let name = &self.places.config.pools[pool].name;
        let user = &outgoing.user;
        let share = &outgoing.share;
        let origin = outgoing.origin;
        if origin.is_counted {
            let connection = ConnectionId { worker: origin.worker, key: origin.connection };
            self.tally.count(connection, &settlement);
        }
        let mut books = self.books.router();
        let word = match settlement {
            Settlement::Accepted { latency } => {
                let book = &mut books.pools[pool];
                book.accepted += 1;
                book.accepted_difficulty += share.job().pool_difficulty.get();
                book.record_latency(latency);
                if share.is_block() {
                    book.blocks += 1;
                    info!("block found by {user:?} and accepted by pool {name:?}: {}", share.hash());
                }
                Ok(())
            }
            // That a share which we found stale is stale to the pool as well is no disagreement.
            Settlement::Rejected(error) if !share.is_valid() => {
                books.pools[pool].stale_to_both += 1;
                Err(error)
            }
            Settlement::Rejected(error) => {
                *books.pools[pool].rejected.entry(error.label()).or_default() += 1;
                books.disagree(user, error.label());
                let complaint = format!("share of {user:?} rejected: {error}");
                self.complaints[pool].say(now, name, &complaint);
                Err(error)
            }
            Settlement::Unanswered => {
                books.pools[pool].unanswered += 1;
                self.complaints[pool].say(now, name, &format!("no answer to a share of {user:?}"));
                Err(PoolError { code: 20, message: "No answer from the pool".into() })
            }
            Settlement::Lost => {
                books.pools[pool].lost_unsettled += 1;
                if share.is_block() {
                    error!("pool {name:?} went before it took a block found by {user:?}: {}", share.hash());
                }
                self.complaints[pool].say(now, name, &format!("a share of {user:?} went down with the connection"));
                Err(PoolError { code: 20, message: "No pool".into() })
            }
        };
        drop(books);
        if origin.ticket != 0 {
            self.tell(origin.worker, ToWorker::PoolWord { key: origin.connection, ticket: origin.ticket, word });
        }
    }
}
