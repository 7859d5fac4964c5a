//! Power groups with what is decided of them, and the merit order.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{GroupDecision, GroupRow, ModeWord};

/// `GET /api/v1/groups`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupsPage {
    /// When that was.
    pub at: Timestamp,
    /// How far decisions go; `null` where nothing is decided.
    pub mode: Option<ModeWord>,
    /// What money is in.
    pub currency: String,
    /// In the config's order; none where the config has no `[[group]]`.
    pub groups: Vec<GroupCard>,
}

/// One power group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupCard {
    /// Its name.
    pub name: String,
    /// What is decided, why, and the money behind it.
    pub decision: Option<GroupDecision>,
    /// What the power side knows; `null` for a group that nothing can move.
    pub power: Option<GroupRow>,
    /// What its machines draw together when all mine, at the site meter, as the config says.
    pub nameplate_kw: Option<f64>,
    /// Connected workers that are its own; of the last ten seconds.
    pub miners: u64,
    /// Their estimated hashrate, in TH/s.
    pub hashrate_ths: f64,
}

/// `GET /api/v1/merit`: who gets the site's power, by what a MWh earns there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MeritPage {
    /// When it was decided.
    pub at: Timestamp,
    /// What money is in.
    pub currency: String,
    /// What groups and AI compute may draw together: the cap without the base load; `null` without a cap.
    pub room_kw: Option<f64>,
    /// What the site always draws.
    pub base_kw: f64,
    /// What a MWh that is not drawn earns: where nothing else cuts, the line is here.
    pub idle_per_mwh: f64,
    /// The worst margin that got power; `null` where nothing did, or none is known. The line that cuts.
    pub cut_per_mwh: Option<f64>,
    /// What is given out together. The line that cuts, on the other axis.
    pub given_kw: f64,
    /// The best margin first; without a known margin, last.
    pub sinks: Vec<MeritRow>,
}

/// What takes power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SinkKind {
    /// Miners.
    Group,
    /// AI compute.
    Ai,
}

/// One bar of the merit order: as wide as its capacity, as high as its margin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MeritRow {
    /// The group's or block's name.
    pub name: String,
    /// Miners or AI compute.
    pub kind: SinkKind,
    /// What it earns over power's cost; `null` where that is not known or not asked (a verdict, an order).
    pub margin_per_mwh: Option<f64>,
    /// The most it can take: of a group all of its machines, of AI compute what there is demand for. 0 where the config does not say.
    pub capacity_kw: f64,
    /// Where its bar begins: what all before it can take.
    pub from_kw: f64,
    /// What is decided that it has.
    pub given_kw: f64,
    /// Whether it is decided to run.
    pub is_on: bool,
    /// Why, in words.
    pub reason: String,
}
