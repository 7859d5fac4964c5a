//! Who is at the door: connections on which no right token was shown yet.
//!
//! A connection that says nothing holds a place that a sender of signals wants. So there are few places for strangers, fewer for those of
//! one address, and when they are taken, the stranger who has waited longest gives way to the new one: who has a token shows it within
//! milliseconds and is a stranger no more, who has none can keep nobody out.
//!
//! Limits: [`MAX_STRANGERS`], [`MAX_OF_ADDRESS`].

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use super::MAX_CONNECTIONS;

/// Strangers at once: half of all connections, so that the other half is for those who are known.
pub const MAX_STRANGERS: usize = MAX_CONNECTIONS / 2;

/// Strangers of one address at once.
pub const MAX_OF_ADDRESS: usize = 32;

const _: () = assert!(0 < MAX_OF_ADDRESS && MAX_OF_ADDRESS <= MAX_STRANGERS && MAX_STRANGERS < MAX_CONNECTIONS);

/// Those who wait, the longest first.
#[derive(Default)]
pub(super) struct Door {
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    /// Visitors so far.
    visitors: u64,
}

struct Waiting {
    number: u64,
    address: IpAddr,
    leave: CancellationToken,
}

/// One connection, known or not.
pub(super) struct Visitor {
    door: Arc<Door>,
    address: IpAddr,
    number: u64,
    leave: CancellationToken,
}

impl Door {
    /// A connection came. `true` if another one was sent away for it.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> (Visitor, bool) {
        let address = address.to_canonical();
        let leave = CancellationToken::new();
        let mut line = self.line();
        let is_neighbour = |other: &Waiting| other.address == address;
        let is_crowded = line.waiting.iter().filter(|other| is_neighbour(other)).count() >= MAX_OF_ADDRESS;
        let oldest = match is_crowded {
            true => line.waiting.iter().position(is_neighbour),
            false => (line.waiting.len() >= MAX_STRANGERS).then_some(0),
        };
        let gives_way = oldest.and_then(|at| line.waiting.remove(at));
        if let Some(other) = &gives_way {
            other.leave.cancel();
        }
        line.visitors += 1;
        let number = line.visitors;
        line.waiting.push_back(Waiting { number, address, leave: leave.clone() });
        (Visitor { door: self.clone(), address, number, leave }, gives_way.is_some())
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visitor {
    /// Where it comes from.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// It has shown a right token: nobody sends it away.
    pub fn is_known(&self) {
        self.door.line().waiting.retain(|other| other.number != self.number);
    }

    /// Its connection is ended.
    pub fn send_away(&self) {
        self.leave.cancel();
    }

    /// Returns when it has to go: a stranger for another, a reader that does not read.
    pub async fn sent_away(&self) {
        self.leave.cancelled().await;
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.is_known();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    fn is_gone(visitor: &Visitor) -> bool {
        visitor.leave.is_cancelled()
    }

    #[test]
    fn of_one_address_the_longest_waiting_gives_way() {
        let door = Arc::new(Door::default());
        let other = door.enter(address(2)).0;
        let crowd: Vec<Visitor> = (0..MAX_OF_ADDRESS).map(|_| door.enter(address(1)).0).collect();
        assert!(!crowd.iter().any(is_gone));
        let (newest, was_crowded) = door.enter(address(1));
        assert!(was_crowded && is_gone(&crowd[0]) && !crowd[1..].iter().any(is_gone) && !is_gone(&newest));
        assert!(!is_gone(&other), "of another address");
    }

    #[test]
    fn of_all_strangers_the_longest_waiting_gives_way_and_no_friend() {
        let door = Arc::new(Door::default());
        let friend = door.enter(address(0)).0;
        friend.is_known();
        let many = u8::try_from(MAX_STRANGERS).unwrap();
        let crowd: Vec<Visitor> = (0..many).map(|last| door.enter(address(last)).0).collect();
        assert!(!crowd.iter().any(is_gone));
        let newest: Vec<Visitor> = (0..many).map(|last| door.enter(address(last)).0).collect();
        assert!(crowd.iter().all(is_gone) && !newest.iter().any(is_gone) && !is_gone(&friend));
        assert_eq!(door.line().waiting.len(), MAX_STRANGERS);
    }

    #[test]
    fn who_left_takes_no_place() {
        let door = Arc::new(Door::default());
        for _ in 0..10 * MAX_STRANGERS {
            assert!(!door.enter(address(1)).1);
        }
        assert!(door.line().waiting.is_empty());
    }
}
