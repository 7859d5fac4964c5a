//! Who may connect: so many in all, so many from one address. (How many a second, `task.rs` paces itself.)
//!
//! Shared by the worker threads, and asked only when a connection comes or goes.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::metrics::Refusal;

/// Counts the connections of all listeners.
#[derive(Debug)]
pub struct Gate {
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    limit: usize,
    limit_per_address: usize,
    all: usize,
    /// Only addresses with a connection: bounded by `limit`.
    by_address: HashMap<IpAddr, usize>,
}

/// The right to one connection; given back when dropped.
#[derive(Debug)]
pub struct Admission {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Gate {
    /// Lets so many in.
    pub fn new(limit: usize, limit_per_address: usize) -> Arc<Self> {
        let counts = Counts { limit, limit_per_address, all: 0, by_address: HashMap::new() };
        Arc::new(Self { counts: Mutex::new(counts) })
    }

    /// Lets so many in from now on; who is in stays.
    pub fn set_limits(&self, limit: usize, limit_per_address: usize) {
        let mut counts = self.counts();
        (counts.limit, counts.limit_per_address) = (limit, limit_per_address);
    }

    /// Lets a connection in.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Admission, Refusal> {
        let mut counts = self.counts();
        let limit_per_address = counts.limit_per_address;
        if counts.all >= counts.limit {
            return Err(Refusal::Full);
        }
        let of_address = counts.by_address.entry(address).or_default();
        if *of_address >= limit_per_address {
            return Err(Refusal::Address);
        }
        *of_address += 1;
        counts.all += 1;
        Ok(Admission { gate: self.clone(), address })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut counts = self.gate.counts();
        counts.all -= 1;
        if let Some(of_address) = counts.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_limit_sends_nobody_away() {
        let gate = Gate::new(3, 3);
        let a = IpAddr::from([10, 0, 0, 1]);
        let inside = [gate.admit(a).unwrap(), gate.admit(a).unwrap()];
        gate.set_limits(1, 1);
        assert_eq!(gate.admit(a).unwrap_err(), Refusal::Full);
        assert_eq!(gate.counts().all, 2);
        gate.set_limits(9, 3);
        assert!(gate.admit(a).is_ok());
        drop(inside);
    }

    #[test]
    fn what_leaves_makes_room_and_addresses_are_forgotten() {
        let gate = Gate::new(3, 2);
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let first = gate.admit(a).unwrap();
        let second = gate.admit(a).unwrap();
        assert_eq!(gate.admit(a).unwrap_err(), Refusal::Address);
        let third = gate.admit(b).unwrap();
        assert_eq!(gate.admit(b).unwrap_err(), Refusal::Full);
        drop((first, second, third));
        assert!(gate.counts().by_address.is_empty());
        assert!(gate.admit(b).is_ok());
    }
}
