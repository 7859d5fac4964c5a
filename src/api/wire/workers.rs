//! Miners by the name that they log in with.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::EventLine;

/// `GET /api/v1/workers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkersPage {
    /// When they were counted.
    pub at: Timestamp,
    /// All that the filters let through.
    pub total: u64,
    /// How many come before these.
    pub offset: u64,
    /// Of all workers, whatever the filters.
    pub counts: WorkerCounts,
    /// In the order that was asked for.
    pub workers: Vec<WorkerRow>,
}

/// How many workers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct WorkerCounts {
    /// Known.
    pub known: u64,
    /// With a connection.
    pub online: u64,
    /// With something wrong.
    pub sick: u64,
}

/// What workers can be sorted by; with `-` before it the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkerSort {
    /// The sick first, the worst of them before.
    #[default]
    Sick,
    /// By name.
    Name,
    /// By route, then name.
    Route,
    /// By group, then name.
    Group,
    /// By firmware, then name.
    Firmware,
    /// By address.
    Address,
    /// The lowest first.
    Hashrate,
    /// The lowest first.
    Difficulty,
    /// The fewest first.
    Accepted,
    /// The fewest first.
    Rejected,
    /// The lowest share first.
    RejectedRatio,
    /// The longest silence first.
    LastShare,
    /// The longest connected first.
    Connected,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerRow {
    /// The name that it logs in with; empty for miners that have not.
    pub name: String,
    /// Where it comes from; of several connections, the newest.
    pub address: Option<String>,
    /// Its route.
    pub route: Option<String>,
    /// Its power group.
    pub group: Option<String>,
    /// What its firmware was taken for.
    pub firmware: Option<String>,
    /// Open connections.
    pub connections: u64,
    /// Estimated hashrate of all of them, in TH/s; `null` while nothing is known.
    pub hashrate_ths: Option<f64>,
    /// The difficulty of its shares; of several connections, of the newest.
    pub difficulty: Option<f64>,
    /// Shares that count, since it was seen first.
    pub accepted: u64,
    /// Shares that do not.
    pub rejected: u64,
    /// Their part of all, `null` without any.
    pub rejected_ratio: Option<f64>,
    /// When its last share that counts was counted.
    pub last_share_at: Option<Timestamp>,
    /// Since when it is connected; `null` while it is not.
    pub connected_at: Option<Timestamp>,
    /// When it was seen last.
    pub seen_at: Timestamp,
    /// Whether it sleeps because it is told to.
    pub is_asleep: bool,
    /// What is wrong with it, in words; empty: nothing.
    pub sick: Vec<String>,
}

/// `GET /api/v1/workers/{name}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerPage {
    /// The worker as it is now; `null` if only its past is known.
    pub worker: Option<WorkerRow>,
    /// Seconds of each point.
    pub step_s: u64,
    /// What the store has of it, the oldest first; empty without a store.
    pub history: Vec<WorkerPoint>,
    /// The last events about it, the newest first.
    pub events: Vec<EventLine>,
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
    /// Shares that do not.
    pub rejected: u64,
    /// The same by reason.
    pub rejected_by_reason: BTreeMap<String, u64>,
}
