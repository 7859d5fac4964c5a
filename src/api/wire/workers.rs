//! Miners by the name that they log in with.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::EventLine;

/// `GET /api/v1/workers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkersPage {
    /// When they were counted; `null` before the first time.
    pub at: Option<Timestamp>,
    /// All that the filters let through.
    pub total: u64,
    /// How many come before these.
    pub offset: u64,
    /// Of all workers, whatever the filters.
    pub counts: WorkerCounts,
    /// In the order that was asked for.
    pub workers: Vec<WorkerRow>,
}

/// How many workers there are of what, and what they hash together.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct WorkerCounts {
    /// Known by name.
    pub known: u64,
    /// Of these, connected.
    pub online: u64,
    /// Put to sleep, or on their way up; connected or not: some firmware hangs up when it goes to sleep.
    pub asleep: u64,
    /// With something wrong: the three below, each worker once.
    pub sick: u64,
    /// Gone, and should not be.
    pub offline: u64,
    /// Too many of their shares are stale.
    pub high_stale: u64,
    /// They hash less than they should.
    pub low_hashrate: u64,
    /// Connected, and not known by name, because no place was left.
    pub unplaced: u64,
    /// All together over ten minutes, in TH/s.
    pub hashrate_ths: f64,
}

/// What workers can be sorted by. Numbers and times begin with the most and the newest, names with A; `reverse` turns that round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum WorkerSort {
    /// The sick first: offline, low hashrate, high stale; then by name.
    #[default]
    Sick,
    /// Its name.
    Name,
    /// What it hashes, over ten minutes.
    Hashrate,
    /// The stale part of its shares.
    Stale,
    /// When its last share that counts was found.
    LastShare,
    /// Shares that count.
    Accepted,
    /// Shares that do not.
    Rejected,
    /// Since when it is connected or is not.
    Since,
    /// Its power group's name.
    Group,
    /// Its route, in the order in which routes are tried.
    Route,
    /// What its firmware was taken for.
    Firmware,
    /// Where it came from last, the lowest address first.
    Address,
    /// The difficulty of its shares.
    Difficulty,
}

/// What is wrong with a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SickWord {
    /// It found shares, is gone, and does not sleep.
    Offline,
    /// It hashes less than it should.
    LowHashrate,
    /// Too many of its shares are stale.
    HighStale,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerRow {
    /// The name that it logs in with.
    pub name: String,
    /// Open connections; 0: it is offline, or asleep with firmware that hangs up.
    pub connections: u64,
    /// Since when it is connected, or is not.
    pub since: Timestamp,
    /// Where it came from last.
    pub address: String,
    /// The listener that it came by.
    pub listener: Option<String>,
    /// The route that it mines on.
    pub route: Option<String>,
    /// Its power group.
    pub group: Option<String>,
    /// What its firmware was taken for.
    pub firmware: String,
    /// What its firmware calls itself.
    pub agent: Option<String>,
    /// The difficulty of its shares; of several connections, of one.
    pub difficulty: Option<f64>,
    /// Estimated from the pace of its shares, in TH/s: what it does now.
    pub estimate_ths: f64,
    /// From its credited shares over one minute, in TH/s. Much of it is chance.
    pub hashrate_1m_ths: f64,
    /// Over ten minutes, in TH/s.
    pub hashrate_10m_ths: f64,
    /// Over one hour, in TH/s.
    pub hashrate_1h_ths: f64,
    /// What it should hash, in TH/s; `null` where nobody says.
    pub nameplate_ths: Option<f64>,
    /// The stale part of its shares of about an hour; `null` if these are too few.
    pub stale_ratio: Option<f64>,
    /// When its last share that counts was found.
    pub last_share_at: Option<Timestamp>,
    /// Shares that count, since it became known to this run of the proxy, as all counts here.
    pub accepted: u64,
    /// Sum of their difficulties.
    pub accepted_difficulty: f64,
    /// Shares that do not count.
    pub rejected: u64,
    /// The same by reason; a reason without any is left out.
    pub rejected_by_reason: BTreeMap<String, u64>,
    /// Shares that met their pool's target and were sent to it.
    pub forwarded: u64,
    /// Of these, accepted by the pool.
    pub pool_accepted: u64,
    /// Of these, rejected by the pool.
    pub pool_rejected: u64,
    /// Of these, never answered, or lost with the connection.
    pub pool_lost: u64,
    /// Whether it was put to sleep, or is on its way up.
    pub is_asleep: bool,
    /// What is wrong with it; empty: nothing.
    pub sick: Vec<SickWord>,
    /// The same in words.
    pub words: Option<String>,
}

/// `GET /api/v1/workers/{name}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerPage {
    /// The worker as it is now; `null` if only its past is known.
    pub worker: Option<WorkerRow>,
    /// Seconds of each point: 60 at least.
    pub step_s: u64,
    /// What the store has of it, the oldest first; steps in which it did nothing are left out. Empty without a store.
    pub history: Vec<WorkerPoint>,
    /// Shares of this time that do not count, by reason.
    pub rejected_by_reason: BTreeMap<String, u64>,
    /// When it came and went, the newest first.
    pub events: Vec<EventLine>,
    /// Why there is no past, or only a part of it; `null` if there is all.
    pub note: Option<String>,
}

/// A worker over one step of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerPoint {
    /// When the step begins.
    pub at: Timestamp,
    /// From its credited shares, in TH/s.
    pub hashrate_ths: f64,
    /// Shares that count.
    pub accepted: u64,
    /// Sum of their difficulties.
    pub accepted_difficulty: f64,
    /// Shares that were stale.
    pub stale: u64,
    /// Shares that do not count for another reason.
    pub rejected: u64,
    /// Shares that met their pool's target and were sent to it.
    pub forwarded: u64,
    /// Of these, accepted by the pool.
    pub pool_accepted: u64,
    /// Of these, rejected by the pool.
    pub pool_rejected: u64,
    /// Of these, never answered, or lost with the connection.
    pub pool_lost: u64,
    /// The most connections at once.
    pub connections: u64,
}
