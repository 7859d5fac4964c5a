//! What was: events, decisions, and series for charts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ModeWord;
use crate::power::{receipt::Move, site::Level};

/// `GET /api/v1/events` as a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventsPage {
    /// The newest first.
    pub events: Vec<EventLine>,
    /// The id of the newest event there is: where a stream would go on.
    pub last_id: Option<String>,
}

/// What an event is about, for filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum EventWord {
    /// The proxy was started.
    Started,
    /// A pool is logged in, or is lost.
    Pool,
    /// A route moved to another pool because its own was lost.
    Failover,
    /// A route moved back.
    FailBack,
    /// A block was found.
    Block,
    /// A group is to do something else than before, or an AI block is to have another amount.
    Decision,
    /// A signal can't be acted on any more, or can again.
    Signal,
    /// The mode changed, or an operator's order.
    Operator,
    /// A worker came or went; only on its own page.
    Connection,
    /// A drain or wake ended; the words are its receipt in short.
    Receipt,
    /// Something is wrong from now on.
    Alert,
    /// Something is not wrong any more.
    AlertEnded,
    /// A group changed its phase.
    Phase,
    /// Something about one machine.
    Device,
    /// A lease was given, renewed, asked back, returned.
    Lease,
    /// More power was refused.
    Refusal,
    /// More is drawn than may be.
    OverCap,
    /// AI compute draws what it was not given.
    Overdrawn,
    /// AI compute does not give back.
    NotReturned,
    /// AI compute does not use what it was given.
    NotStarted,
    /// The site's meter is lost, or back.
    Meter,
    /// Another controller was seen.
    Superseded,
    /// Something else of the power side.
    Other,
}

/// One event; also the `data` of each message of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventLine {
    /// Its own, and rising within one run of the proxy: the id of the stream's message.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// How loudly.
    pub level: Level,
    /// What kind.
    pub kind: EventWord,
    /// The pool, route, signal, group, AI block or worker that it is about.
    pub about: Option<String>,
    /// What, where, why, what next.
    pub words: String,
}

/// The `data` of the stream's message `missed`: events that this reader does not get any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Missed {
    /// How many; `null` if the proxy was started anew since.
    pub missed: Option<u64>,
}

/// `GET /api/v1/decisions`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DecisionsPage {
    /// The newest first.
    pub decisions: Vec<DecisionRow>,
    /// What to send as `after` for those before; `null` if there are none.
    pub next: Option<String>,
    /// Why older ones are missing; `null` if none are.
    pub note: Option<String>,
}

/// A change of what a group is to do, or of what an AI block is to have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DecisionRow {
    /// When.
    pub at: Timestamp,
    /// How far it went; `null` for an AI block in what older versions stored.
    pub mode: Option<ModeWord>,
    /// The group; `null` for an AI block.
    pub group: Option<String>,
    /// The AI block; `null` for a group.
    pub ai: Option<String>,
    /// What the group did before: `mine`, `ai` or `curtail`; `null` for the first of a run of the proxy, and in what the store keeps.
    pub before: Option<String>,
    /// What it is to do.
    pub action: Option<String>,
    /// What the AI block is to have, in kW at the site meter; `null` for a group, and in what older versions stored, where the reason says it.
    pub ai_kw: Option<f64>,
    /// Why, in words.
    pub reason: String,
}

/// `GET /api/v1/series/…`: lines over one axis of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Chart {
    /// Seconds between two points.
    pub step_s: u64,
    /// The points' times, in seconds since 1970: where each step begins.
    pub at: Vec<i64>,
    /// The lines.
    pub lines: Vec<Line>,
    /// What happened in between.
    pub marks: Vec<Mark>,
    /// Why a part is missing; `null` if none is.
    pub note: Option<String>,
}

/// One line of a chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Line {
    /// What it is, for programs: `route:everyone`, `cap_kw`, `value:hall-a`. In the answer's order it never changes within a run.
    pub key: String,
    /// What it is, for people.
    pub label: String,
    /// `TH/s`, `kW`, or money per MWh as `USD/MWh`.
    pub unit: String,
    /// As many as `at`; the mean over each step, `null` where nothing is known.
    pub values: Vec<Option<f64>>,
}

/// A drain or a wake on a chart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Mark {
    /// When it was ordered.
    pub at: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The group.
    pub group: String,
    /// Which way.
    pub kind: Move,
    /// Why, in words.
    pub why: String,
}
