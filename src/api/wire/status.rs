//! The proxy on one page: what it does and why, what comes of it, and what is wrong.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ModeWord, PoolState, WorkerCounts};
use crate::power::group::Phase;

/// `GET /api/v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusPage {
    /// When that was.
    pub at: Timestamp,
    /// The proxy's version.
    pub version: String,
    /// When it was started.
    pub started_at: Timestamp,
    /// How long ago that is, in seconds.
    pub uptime_s: f64,
    /// Whether the token that asks may give orders.
    pub may_control: bool,
    /// The kernel that hashes shares.
    pub kernel: String,
    /// How far decisions go; `null` where nothing is decided.
    pub mode: Option<ModeWord>,
    /// What the site does as a whole, as decided: `MINING`, `PARTIAL`, `AI` or `CURTAILED`; `null` where nothing is decided.
    pub site_mode: Option<String>,
    /// What it does and why, in one sentence.
    pub headline: String,
    /// Power groups in short, in the config's order.
    pub groups: Vec<GroupLine>,
    /// Estimated from the shares of the connected miners, in TH/s.
    pub hashrate_ths: f64,
    /// Connections that have subscribed and authorized.
    pub miners: u64,
    /// Open connections.
    pub connections: u64,
    /// Workers by what they are; of the last ten seconds.
    pub workers: WorkerCounts,
    /// Shares since the start.
    pub shares: ShareCounts,
    /// Pools in short, in the config's order.
    pub pools: Vec<PoolLine>,
    /// The site's power; `null` where nothing can be moved.
    pub power: Option<SiteLine>,
    /// What comes of it; `null` where no price tells.
    pub earnings: Option<Earnings>,
    /// Where the past is kept; `null` without a store.
    pub store: Option<StoreLine>,
    /// What is wrong now, the worst first. Empty: nothing that the proxy could see.
    pub alerts: Vec<Alert>,
}

/// A power group in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupLine {
    /// Its name.
    pub name: String,
    /// What is decided: `mine`, `ai` or `curtail`.
    pub action: String,
    /// Why, in words.
    pub reason: String,
    /// Where it is; `null` for a group that nothing can move.
    pub phase: Option<Phase>,
}

/// Shares of miners since the start, and what became of those that pools credit.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct ShareCounts {
    /// That count.
    pub accepted: u64,
    /// Sum of the difficulties they were credited at.
    pub accepted_difficulty: f64,
    /// That do not.
    pub rejected: u64,
    /// The same by reason, as in `hashgate_shares_rejected_total`.
    pub rejected_by_reason: BTreeMap<String, u64>,
    /// That met their pool's target and were sent to it.
    pub forwarded: u64,
    /// That a pool's full queue did not take.
    pub unforwarded: u64,
    /// Of those sent, without the pool's word yet.
    pub unsettled: u64,
    /// The share of stale ones among all, in the last five minutes; `null` while there are too few.
    pub stale_ratio_5m: Option<f64>,
    /// The share of those that do not count among all, in the last five minutes; `null` while there are too few.
    pub rejected_ratio_5m: Option<f64>,
}

/// A pool in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolLine {
    /// Its name.
    pub name: String,
    /// What it is to the proxy.
    pub state: PoolState,
    /// Estimated hashrate of the routes that are on it, in TH/s.
    pub hashrate_ths: f64,
    /// Shares it accepted.
    pub accepted: u64,
    /// Shares it rejected that the proxy had found good.
    pub rejected: u64,
    /// Half of its replies came within so many milliseconds (a bucket's bound); `null` before the first.
    pub reply_p50_ms: Option<f64>,
}

/// The site's power in short, at its meter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SiteLine {
    /// What it may draw; `null`: nothing is capped.
    pub cap_kw: Option<f64>,
    /// What counts against the cap, bounds and reserve included.
    pub counts_kw: f64,
    /// The sum of what was measured.
    pub measured_kw: f64,
    /// What the site's meter says; `null` if that is not fresh, or there is none.
    pub meter_kw: Option<f64>,
    /// What AI compute was given and has not given back.
    pub ai_granted_kw: f64,
    /// What AI compute draws, as far as that is known.
    pub ai_drawn_kw: f64,
    /// Machines of all groups that can be moved.
    pub devices: u64,
    /// Of these, those that are to sleep.
    pub asleep: u64,
}

/// The store in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StoreLine {
    /// `sqlite` or `postgres`.
    pub backend: String,
    /// Why nothing can be written now; `null` if all is well.
    pub trouble: Option<String>,
    /// When something was last written.
    pub written_at: Option<Timestamp>,
    /// Rows of counts that wait.
    pub waiting_rows: u64,
    /// Records that there was no room for, since the start.
    pub dropped: u64,
    /// Bytes in use; `null` while that is not known.
    pub bytes: Option<u64>,
}

/// What the site earns in an hour at what it draws now, by the fresh prices. An estimate: what pools pay is their own account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Earnings {
    /// What money is in.
    pub currency: String,
    /// Of mining, after the pools' fees.
    pub mining_per_hour: f64,
    /// Of AI compute.
    pub ai_per_hour: f64,
    /// What power costs, delivery included.
    pub power_per_hour: f64,
    /// What stays.
    pub margin_per_hour: f64,
    /// What it rests on, and what is left out, in words.
    pub basis: String,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// An operator should look.
    Warn,
    /// An operator must act.
    Error,
}

/// Something that is wrong now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// Which kind, one of a fixed set: `pool_down`, `route_without_pool`, `stale_shares`, `pool_rejects`, `signal_stale`, `signal_split`,
    /// `over_cap`, `meter_lost`, `group_fault`, `devices_failed`, `devices_drifted`, `devices_unseen`, `ai_overdrawn`, `power_ended`,
    /// `workers_sick`, `workers_unplaced`, `store_behind`.
    pub kind: String,
    /// How bad it is.
    pub severity: Severity,
    /// The pool, route, signal, group or AI block that it is about.
    pub about: Option<String>,
    /// What, where, why, what next.
    pub words: String,
    /// Since when it is seen.
    pub since: Timestamp,
}
