//! Pools and routes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /api/v1/pools`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolsPage {
    /// When that was.
    pub at: Timestamp,
    /// In the config's order.
    pub pools: Vec<PoolRow>,
    /// Shares that the proxy found good and a pool rejected, by worker and cause, the most first. A hundred pairs are told apart, then the
    /// worker is `other`.
    pub disagreements: Vec<Disagreement>,
}

/// What a pool is to the proxy now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PoolState {
    /// Logged in, with work, and miners of some route mine for it.
    Active,
    /// Logged in, with work; no route is on it now.
    Standby,
    /// Not logged in, or without work; it is tried again.
    Down,
    /// In no route: nobody connects to it, and who is connected still is about to be hung up.
    Unused,
}

/// One pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolRow {
    /// Its name.
    pub name: String,
    /// Its address, without user and password.
    pub address: String,
    /// What it is to the proxy.
    pub state: PoolState,
    /// Since when it is logged in, or is not; `null` before its first login.
    pub since: Option<Timestamp>,
    /// The same in words.
    pub words: String,
    /// Connections that are logged in and have work.
    pub connections: u64,
    /// Its connections, of the miners' lanes and as a standby.
    pub lanes: Vec<LaneRow>,
    /// Routes that are on it.
    pub routes: Vec<String>,
    /// Estimated hashrate of these routes, in TH/s.
    pub hashrate_ths: f64,
    /// Miners of these routes.
    pub miners: u64,
    /// The difficulty that it has set last.
    pub difficulty: Option<f64>,
    /// Shares it accepted, since the start as all counts here.
    pub accepted: u64,
    /// Sum of their difficulties, as it had set them: what it should credit.
    pub accepted_difficulty: f64,
    /// Shares it rejected that the proxy had found good: disagreements.
    pub rejected: u64,
    /// The same by reason.
    pub rejected_by_reason: BTreeMap<String, u64>,
    /// Shares that the proxy found stale and the pool rejected as well.
    pub stale_to_both: u64,
    /// Shares it never answered.
    pub unanswered: u64,
    /// Shares that went down with its connection.
    pub lost_unsettled: u64,
    /// Blocks among the accepted shares.
    pub blocks: u64,
    /// Connections lost.
    pub losses: u64,
    /// The last loss, or the last attempt that failed.
    pub last_loss: Option<LossRow>,
    /// From a share sent to its reply.
    pub reply: LatencyRow,
}

/// One connection to a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LaneRow {
    /// The lane of miners that it serves; `null` for a standby without one.
    pub lane: Option<u64>,
    /// Whether it is logged in and has work.
    pub is_live: bool,
    /// Whether it closes when its late shares have settled.
    pub is_retiring: bool,
    /// Miners that are on it.
    pub miners: u64,
}

/// A connection that was lost, or could not be made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LossRow {
    /// When.
    pub at: Timestamp,
    /// Why, in words.
    pub why: String,
    /// When it was, or will be, tried again.
    pub retry_at: Timestamp,
}

/// How long replies took.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct LatencyRow {
    /// How many there were.
    pub replies: u64,
    /// Their mean, in milliseconds; `null` without any.
    pub mean_ms: Option<f64>,
    /// Half of them came within so many milliseconds (a bucket's bound).
    pub p50_ms: Option<f64>,
    /// Nine of ten did.
    pub p90_ms: Option<f64>,
    /// 99 of 100 did.
    pub p99_ms: Option<f64>,
}

/// Shares of one worker that one cause made bad in a pool's eyes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Disagreement {
    /// The worker.
    pub worker: String,
    /// The pool's reason.
    pub reason: String,
    /// How many shares.
    pub shares: u64,
}

/// `GET /api/v1/routes`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RoutesPage {
    /// When that was.
    pub at: Timestamp,
    /// In the order in which they are tried.
    pub routes: Vec<RouteRow>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteRow {
    /// Its name.
    pub name: String,
    /// The listeners that it is for; empty for all.
    pub listeners: Vec<String>,
    /// The networks that its miners come from; empty for all.
    pub subnets: Vec<String>,
    /// The pattern of its miners' user names; `null` for all.
    pub user: Option<String>,
    /// Its pools, in failover order.
    pub pools: Vec<String>,
    /// The one that it is on, or was on last; `null` before the first.
    pub pool: Option<String>,
    /// Whether that one lives.
    pub is_live: bool,
    /// Miners.
    pub miners: u64,
    /// Estimated hashrate, in TH/s.
    pub hashrate_ths: f64,
    /// Unplanned moves to another pool since the start.
    pub failovers: u64,
    /// Planned moves back since the start.
    pub fail_backs: u64,
    /// How long a better pool must be well before its miners go back, in seconds.
    pub fail_back_after_s: f64,
}
