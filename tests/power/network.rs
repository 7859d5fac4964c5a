//! A network that loses, delays, repeats and reorders.

use std::collections::BTreeMap;

use rand::{RngExt, rngs::StdRng};

/// The longest that anything is on its way, in seconds.
pub const LONGEST: u64 = 30;

pub struct Network<M> {
    on_the_way: BTreeMap<(u64, u64), M>,
    sent: u64,
}

impl<M: Clone> Network<M> {
    pub fn new() -> Self {
        Self { on_the_way: BTreeMap::new(), sent: 0 }
    }

    pub fn send(&mut self, now: u64, message: M, rng: &mut StdRng) {
        if rng.random_bool(0.1) {
            return;
        }
        let copies = if rng.random_bool(0.1) { 2 } else { 1 };
        for _ in 0..copies {
            let longest = if rng.random_bool(0.03) { LONGEST } else { 4 };
            self.sent += 1;
            self.on_the_way.insert((now + rng.random_range(0..=longest), self.sent), message.clone());
        }
    }

    /// What arrives now.
    pub fn arrivals(&mut self, now: u64) -> Vec<M> {
        let later = self.on_the_way.split_off(&(now + 1, 0));
        std::mem::replace(&mut self.on_the_way, later).into_values().collect()
    }
}
