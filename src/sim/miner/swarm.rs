//! Many machines at once, on the current runtime.
//!
//! The machines share a pacer and a [`Board`]. Firmware is dealt out by weight, evenly over the numbers, so that the
//! first fifty of ten thousand are already a fair mix, and the same on every run.

use super::pacer::Pacer;
use super::profile::{CGMINER, Profile};
use super::stats::{Board, MinerStats, Quantiles};
use super::task::MinerHandle;
use super::{MinerSettings, splitmix};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a stopping swarm looks whether all replies are in.
const SETTLING: Duration = Duration::from_millis(20);

/// What a swarm is made of.
#[derive(Clone, Debug)]
pub struct SwarmSettings {
    /// The pattern: `user` becomes `user.0001` …, `profile` is replaced by one of `mix`, `seed` differs.
    pub machine: MinerSettings,
    /// How many machines.
    pub miners: usize,
    /// Firmware with weights; empty means the pattern's own.
    pub mix: Vec<(&'static Profile, u32)>,
    /// Connects per second, spread evenly; 0 means all at once.
    pub connects_per_second: f64,
}

/// Running machines. Dropping it ends them at once.
#[derive(Debug)]
pub struct Swarm {
    board: Arc<Board>,
    pacer: Pacer,
    miners: Vec<MinerHandle>,
}

impl Swarm {
    /// Starts all machines; they connect one after the other.
    #[must_use]
    pub fn start(settings: &SwarmSettings) -> Self {
        let dealt = deal(&settings.mix, settings.machine.profile).take(settings.miners).enumerate();
        let machines = dealt.map(|(at, profile)| MinerSettings {
            user: format!("{}.{:04}", settings.machine.user, at + 1),
            profile,
            seed: splitmix(settings.machine.seed ^ (at as u64) << 20),
            ..settings.machine.clone()
        });
        Self::of(machines, settings.connects_per_second)
    }

    /// Starts machines that were set up one by one; they connect one after the other, so many per second (0: all at once).
    #[must_use]
    pub fn of(machines: impl IntoIterator<Item = MinerSettings>, connects_per_second: f64) -> Self {
        let board = Arc::<Board>::default();
        let pacer = Pacer::start();
        let start = |(at, machine)| {
            let delay = Duration::try_from_secs_f64(at as f64 / connects_per_second);
            MinerHandle::start_with(machine, Arc::clone(&board), pacer.clone(), delay.unwrap_or_default())
        };
        let miners = machines.into_iter().enumerate().map(start).collect();
        Self { board, pacer, miners }
    }

    /// Firmware by weight, endlessly, as [`Swarm::start`] deals it out; at least one weight is above 0.
    pub fn deal(mix: &[(&'static Profile, u32)]) -> impl Iterator<Item = &'static Profile> {
        deal(mix, &CGMINER)
    }

    /// The machines.
    #[must_use]
    pub fn miners(&self) -> &[MinerHandle] {
        &self.miners
    }

    /// Latencies and spreads.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// How late this process itself was.
    #[must_use]
    pub fn lateness(&self) -> Quantiles {
        self.pacer.lateness()
    }

    /// Machines that are connected, authorized and have a job.
    #[must_use]
    pub fn mining(&self) -> usize {
        self.miners.iter().filter(|miner| miner.is_mining()).count()
    }

    /// The sum of all counters.
    #[must_use]
    pub fn totals(&self) -> MinerStats {
        let mut totals = MinerStats::default();
        for miner in &self.miners {
            miner.with_stats(|stats| totals.add(stats));
        }
        totals
    }

    /// All machines stop hashing and stay connected.
    pub fn sleep(&self) {
        self.miners.iter().for_each(MinerHandle::sleep);
    }

    /// All machines hash again.
    pub fn wake(&self) {
        self.miners.iter().for_each(MinerHandle::wake);
    }

    /// Stops hashing and waits up to `limit` for the replies still owed; the connections stay.
    pub async fn settle(&self, limit: Duration) {
        self.sleep();
        let deadline = Instant::now() + limit;
        while !self.miners.iter().all(MinerHandle::is_settled) && Instant::now() < deadline {
            sleep(SETTLING).await;
        }
    }

    /// Stops hashing, waits up to `limit` for the replies still owed, closes all connections; the final sum.
    pub async fn stop(mut self, limit: Duration) -> MinerStats {
        self.settle(limit).await;
        self.miners.iter().for_each(MinerHandle::end);
        let mut totals = MinerStats::default();
        for miner in std::mem::take(&mut self.miners) {
            totals.add(&miner.stop(Duration::ZERO).await);
        }
        totals
    }
}

/// Smooth weighted round-robin, endlessly.
fn deal(mix: &[(&'static Profile, u32)], only: &'static Profile) -> impl Iterator<Item = &'static Profile> {
    let mix: Vec<_> = mix.iter().filter(|(_, weight)| *weight > 0).copied().collect();
    let total: i64 = mix.iter().map(|(_, weight)| i64::from(*weight)).sum();
    let mut credit = vec![0_i64; mix.len()];
    std::iter::repeat_with(move || {
        for (credit, (_, weight)) in credit.iter_mut().zip(&mix) {
            *credit += i64::from(*weight);
        }
        let best = (0..mix.len()).max_by_key(|at| (credit[*at], std::cmp::Reverse(*at)));
        best.map_or(only, |at| {
            credit[at] -= total;
            mix[at].0
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::profile::{MIX, NERDMINER};
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn firmware_is_dealt_by_weight() {
        let round: u32 = MIX.iter().map(|(_, weight)| weight).sum();
        let mut dealt = HashMap::new();
        for profile in deal(MIX, &CGMINER).take(round as usize) {
            *dealt.entry(profile.name).or_insert(0) += 1;
        }
        for (profile, weight) in MIX {
            assert_eq!(dealt.get(profile.name), Some(weight), "{}", profile.name);
        }
        assert!(deal(&[], &NERDMINER).take(5).all(|profile| *profile == NERDMINER));
    }
}
