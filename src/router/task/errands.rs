//! What others than miners and pools want: passed on to the workers, through the queue that everything goes through.

use super::*;
use crate::router::{CensusPart, Errand};

impl Inbox {
    /// Lets somebody send errands.
    pub fn take_errands(&mut self, errands: mpsc::Receiver<Errand>) {
        self.errands = errands;
    }

    /// Nothing is done for anybody any more; who waits for an answer hears at once that there is none.
    pub(super) fn refuse_errands(&mut self) {
        self.errands.close();
        while self.errands.try_recv().is_ok() {}
    }
}

impl Router {
    pub(super) fn handle_errand(&mut self, errand: Errand) {
        match errand {
            Errand::Census(answer) => {
                if answer.is_closed() {
                    return;
                }
                // Taken before a worker is asked: whatever is settled here was sent on, and counted as that, before.
                let _ = answer.try_send(CensusPart::Settled(self.tally.take()));
                self.broadcast(|| ToWorker::Census(answer.clone()));
            }
            Errand::Sleepers { connections, asleep } => {
                let mut keys = vec![Vec::new(); self.workers.len()];
                for ConnectionId { worker, key } in connections {
                    if let Some(keys) = keys.get_mut(usize::from(worker)) {
                        keys.push(key);
                    }
                }
                for (worker, keys) in keys.into_iter().enumerate().filter(|(_, keys)| !keys.is_empty()) {
                    self.tell(worker as u16, ToWorker::Sleepers { keys, asleep });
                }
            }
            Errand::Rouse => {
                for connection in self.connections.values() {
                    connection.handle.connect_now();
                }
            }
        }
    }
}
