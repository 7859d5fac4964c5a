//! Sessions of connections that are gone, kept so that a client with the right session id continues where it was.
//!
//! Holds extranonce and issued jobs; a login has to be repeated. Bounded in number and age, the oldest leave first.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::issued::{Extranonce, IssuedJobs};

/// How long a session can be resumed; ckpool keeps them for 600 s.
const PARKED_FOR: Duration = Duration::from_secs(600);
/// Sessions kept: as many as the default limit of connections allows to be dropped at once.
const MAX_PARKED: usize = 20_000;

/// What survives of a connection.
#[derive(Debug)]
pub(super) struct ParkedSession {
    pub(super) extranonce: Extranonce,
    pub(super) issued: IssuedJobs,
}

/// All parked sessions by session id.
#[derive(Debug, Default)]
pub(super) struct Parked {
    sessions: HashMap<String, (Instant, ParkedSession)>,
    /// Ids in order of parking; one that was resumed meanwhile is skipped, one that was parked again has a newer entry.
    order: VecDeque<(Instant, String)>,
}

impl Parked {
    pub(super) fn park(&mut self, now: Instant, id: String, session: ParkedSession) {
        while let Some((since, _)) = self.order.front()
            && (self.order.len() >= MAX_PARKED || now.duration_since(*since) >= PARKED_FOR)
            && let Some((since, id)) = self.order.pop_front()
        {
            if self
                .sessions
                .get(&id)
                .is_some_and(|(parked, _)| *parked == since)
            {
                self.sessions.remove(&id);
            }
        }
        self.order.push_back((now, id.clone()));
        self.sessions.insert(id, (now, session));
    }

    pub(super) fn resume(&mut self, now: Instant, id: &str) -> Option<ParkedSession> {
        let (since, session) = self.sessions.remove(id)?;
        (now.duration_since(since) < PARKED_FOR).then_some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(mark: u8) -> ParkedSession {
        ParkedSession {
            extranonce: Extranonce {
                one: vec![mark],
                two_size: 4,
            },
            issued: IssuedJobs::default(),
        }
    }

    #[test]
    fn sessions_come_back_once_and_not_after_their_time() {
        let start = Instant::now();
        let mut parked = Parked::default();
        parked.park(start, "a".into(), session(1));
        assert_eq!(parked.resume(start, "a").unwrap().extranonce.one, [1]);
        assert!(parked.resume(start, "a").is_none());
        parked.park(start, "a".into(), session(2));
        assert!(parked.resume(start + PARKED_FOR, "a").is_none());
    }

    #[test]
    fn the_oldest_leave_when_it_is_full() {
        let start = Instant::now();
        let mut parked = Parked::default();
        for number in 0..=MAX_PARKED {
            parked.park(start, number.to_string(), session(0));
        }
        assert!(parked.resume(start, "0").is_none());
        assert!(parked.resume(start, "1").is_some());
        assert!(parked.sessions.len() <= MAX_PARKED && parked.order.len() <= MAX_PARKED);
    }
}
