//! Signals and the decision.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::ModeWord;

/// `GET /api/v1/signals`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SignalsPage {
    /// When that was.
    pub at: Timestamp,
    /// In the config's order.
    pub signals: Vec<SignalRow>,
}

/// What a signal is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SignalState {
    /// Nothing was ever taken.
    Never,
    /// Its value can be acted on.
    Fresh,
    /// Its value is too old.
    Stale,
    /// Its sources disagree.
    Split,
}

/// One signal; also the answer to a push.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SignalRow {
    /// Its name.
    pub name: String,
    /// Its canonical unit.
    pub unit: String,
    /// What is done without it: `economic`, `verdict` or `grid`.
    pub class: String,
    /// What it is now.
    pub state: SignalState,
    /// What it says, or said last, in its unit; of a verdict 1 is profitable. Absent if never seen or split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// When that was observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Timestamp>,
    /// How long ago that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<f64>,
    /// The lowest of its sources, while it is split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    /// The highest of its sources, while it is split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
    /// Observations that said something new.
    pub accepted: u64,
    /// Observations that were refused, by reason.
    pub refused: BTreeMap<String, u64>,
    /// In the config's order.
    pub sources: Vec<SourceRow>,
}

/// One source of a signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SourceRow {
    /// `push`, `http_json` …
    pub kind: String,
    /// What holds now, or held last.
    pub value: Option<f64>,
    /// From when that holds.
    pub observed_at: Option<Timestamp>,
    /// Until when.
    pub until: Option<Timestamp>,
    /// When it was last taken or repeated, by the proxy's clock.
    pub heard_at: Option<Timestamp>,
    /// What was last refused.
    pub last_refusal: Option<RefusalRow>,
}

/// An observation that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusalRow {
    /// When.
    pub at: Timestamp,
    /// In one word.
    pub reason: String,
    /// In words.
    pub error: String,
}

/// The body of `PUT /api/v1/signals/{name}`: a value or a verdict.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PushBody {
    /// In the signal's unit, or in `unit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// For a signal in `verdict`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<VerdictWord>,
    /// RFC 3339, or seconds since 1970. Without it the push counts as observed when it arrives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub observed_at: Option<Value>,
    /// What `value` is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// Whether mining pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum VerdictWord {
    /// It does.
    Profitable,
    /// It does not.
    Unprofitable,
}

/// `GET /api/v1/decision`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DecisionPage {
    /// When it was decided.
    pub at: Timestamp,
    /// How far it goes.
    pub mode: ModeWord,
    /// What the site does as a whole: `MINING`, `PARTIAL`, `AI` or `CURTAILED`.
    pub site: String,
    /// What money is in.
    pub currency: String,
    /// In the config's order.
    pub groups: Vec<GroupDecision>,
    /// In the config's order.
    pub ai: Vec<AiShare>,
}

/// What one group is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupDecision {
    /// Its name.
    pub name: String,
    /// `mine`, `ai` (it sleeps, and AI compute has its power) or `curtail`.
    pub action: String,
    /// Why, in words.
    pub reason: String,
    /// Since when it mines or sleeps; `null` since before the first decision.
    pub since: Option<Timestamp>,
    /// Changes since the start.
    pub switches: u64,
    /// The money behind it.
    pub per_mwh: PerMwh,
}

/// Money for each MWh at the site meter; `null` where it is not known or not asked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PerMwh {
    /// Power's price and delivery.
    pub cost: Option<f64>,
    /// What mining earns.
    pub value: Option<f64>,
    /// What mining earns over the cost.
    pub margin_mining: Option<f64>,
    /// What the best AI block with demand earns over the cost.
    pub margin_ai: Option<f64>,
    /// What curtailing is paid.
    pub margin_curtail: Option<f64>,
}

/// What one AI block is to have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AiShare {
    /// Its name.
    pub name: String,
    /// Watts at the site meter, with what was asked back and is not returned.
    pub watts: f64,
    /// Why, in words.
    pub reason: String,
}
