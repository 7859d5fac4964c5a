//! Simulated ASICs: they speak Stratum V1 over TCP to any server and hash for real.
//!
//! The module knows the protocol from the miner's side only and calls nothing of the proxy. A machine is one tokio
//! task; what it says and does is its firmware's [`Profile`], which is data.
//!
//! ```text
//!  Pacer ── "a share is due" ──► task.rs ──► Session ── search ──► JobWork ── header hash
//!  (one per swarm)               socket      pure: lines in, bytes out   │
//!                                   │                                    ▼
//!                              MinerHandle ◄── MinerStats          Board (shared: latencies, spreads, parsed jobs)
//! ```
//!
//! Three paces: a hashrate, real down to every hash, for low difficulties where a CPU finds shares like an ASIC does;
//! a rate of shares, each found for real when it is due, for load; or one share after the other, as fast as the server
//! answers.
//!
//! A simulated world usually runs at difficulties far below 1, which some firmware could not even store. Such
//! minima are checked only where [`MinerSettings::scaled_world`] is off.

mod mining;
mod pacer;
pub mod profile;
mod session;
mod stats;
mod swarm;
mod task;
mod violation;
mod wire;
pub mod work;

pub use mining::Found;
pub use pacer::Pacer;
pub use profile::{ASICS, AsleepSocket, MIX, Profile, Step};
pub use session::{Leave, Session};
pub use stats::{Board, MinerStats, Quantiles, Spread};
pub use swarm::{Swarm, SwarmSettings};
pub use task::MinerHandle;
pub use violation::ProtocolViolation;

use profile::IdStyle;
use std::net::SocketAddr;
use std::time::Duration;

/// A share that is expected to cost more hashes than this is counted as hash-bound: at 5 M hashes/s and core, one
/// such share takes 2 ms.
pub const HASH_BOUND_COST: f64 = 10_000.0;

/// How fast a machine works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Hashes per second, each of them computed.
    Hashrate(f64),
    /// Shares per second, each found when it is due. The difficulty must make that cheap.
    SharesPerSecond(f64),
    /// The next share as soon as the last is answered (a closed loop).
    AfterReply,
}

/// One simulated machine, as its owner set it up.
#[derive(Clone, Debug)]
pub struct MinerSettings {
    /// Where it connects.
    pub server: SocketAddr,
    /// User name; further workers of one connection get `.2`, `.3` … appended.
    pub user: String,
    /// Password.
    pub password: String,
    /// Firmware.
    pub profile: &'static Profile,
    /// Speed.
    pub pace: Pace,
    /// Whether difficulties are scaled down for CPUs, so that firmware's minima and whole numbers don't apply.
    pub scaled_world: bool,
    /// What `mining.suggest_difficulty` says. Without it the profile's own figure, which in a scaled world is left
    /// out: it would be far too high.
    pub suggested_difficulty: Option<f64>,
    /// Ids of another style than the profile's.
    pub ids: Option<IdStyle>,
    /// Whether unanswered shares are sent again after a reconnect, if the firmware does so at all.
    pub resubmit: bool,
    /// How many hashes of accepted shares are kept for comparison.
    pub recorded_hashes: usize,
    /// Whether it starts asleep: connected, not hashing.
    pub asleep: bool,
    /// What becomes of its connection asleep; [`Profile::asleep_socket`] has the firmware's way.
    pub asleep_socket: AsleepSocket,
    /// A hashrate is worked off in pieces at least so long: longer ones cost less, and shares come in clumps.
    pub hashing_quantum: Duration,
    /// Wait before the first reconnect; doubles up to [`MinerSettings::MAX_BACKOFF`].
    pub backoff: Duration,
    /// Decides nonces and jitter.
    pub seed: u64,
}

impl MinerSettings {
    /// Longest wait between two attempts to connect.
    pub const MAX_BACKOFF: Duration = Duration::from_secs(15);
    /// A hashrate's pieces, where nobody says otherwise: no share is later than people notice.
    pub const HASHING_QUANTUM: Duration = Duration::from_millis(20);

    /// A machine with a profile and a pace; the rest as most tests want it.
    #[must_use]
    pub fn new(server: SocketAddr, user: impl Into<String>, profile: &'static Profile, pace: Pace) -> Self {
        Self {
            server,
            user: user.into(),
            password: "x".into(),
            profile,
            pace,
            scaled_world: true,
            suggested_difficulty: None,
            ids: None,
            resubmit: true,
            recorded_hashes: 0,
            asleep: false,
            asleep_socket: AsleepSocket::Kept,
            hashing_quantum: Self::HASHING_QUANTUM,
            backoff: Duration::from_millis(200),
            seed: 1,
        }
    }
}

/// Sebastiano Vigna's splitmix64: a good 64-bit mix for jitter and nonces that must repeat with the seed.
pub(crate) const fn splitmix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
