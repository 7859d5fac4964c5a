//! What the API says and is asked, as types: the same on both ends, so that the command line reads what the proxy writes, and what its
//! OpenAPI document is made from.
//!
//! | file | of |
//! |---|---|
//! | `power.rs` | the power side: site, groups, AI blocks, machines, orders |
//! | `status.rs` | the proxy on one page, and what is wrong with it |
//! | `pools.rs` | pools and routes |
//! | `groups.rs` | power groups with what is decided of them; the merit order |
//! | `workers.rs` | miners by name |
//! | `profit.rs` | signals and the decision |
//! | `past.rs` | events, decisions, series for charts |
//!
//! Units are in the keys: `_kw` at the site meter unless the key says otherwise, `_ths` terahashes a second, `_ms`, `_s`; `_per_mwh` and
//! `_per_hour` are money in the `currency` of the same page. Times are RFC 3339, in series seconds since 1970. What is not known is `null`.
//! A key that is added is no change for who reads; one that changes its meaning gets another name.

mod groups;
mod past;
mod pools;
mod power;
mod profit;
mod status;
mod workers;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::{
    groups::{GroupCard, GroupsPage, MeritPage, MeritRow, SinkKind},
    past::{Chart, DecisionRow, DecisionsPage, EventLine, EventWord, EventsPage, Line, Mark, Missed},
    pools::{Disagreement, LaneRow, LatencyRow, LossRow, PoolRow, PoolState, PoolsPage, RouteRow, RoutesPage},
    power::{
        BlockRow, ConfirmWord, DevicePage, DeviceRow, EventRow, ForgetBody, GroupRow, LeaseRow, MAX_EVENTS, MAX_WHY,
        ModeBody, ModeSet, ModeWord, OrderBody, PowerPage, ReceiptsPage, SiteRow, Stages,
    },
    profit::{
        AiShare, DecisionPage, GroupDecision, PerMwh, PushBody, RefusalRow, SignalRow, SignalState, SignalsPage,
        SourceRow, VerdictWord,
    },
    status::{Alert, Earnings, GroupLine, PoolLine, Severity, ShareCounts, SiteLine, StatusPage, StoreLine},
    workers::{SickWord, WorkerCounts, WorkerPage, WorkerPoint, WorkerRow, WorkerSort, WorkersPage},
};

/// Why a request was refused; nothing was changed, unless `reason` is `no_answer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedBody {
    /// In words, for people.
    pub error: String,
    /// In one word, for programs; counted by it in `hashgate_api_refused_total`.
    pub reason: String,
}

/// `GET /healthz` and `GET /readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthPage {
    /// Whether all is as it should be.
    pub ok: bool,
    /// Why not, in words; empty if it is.
    pub reasons: Vec<String>,
}
