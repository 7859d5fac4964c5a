//! What is stored, as values: counts over spans of time, and records of what happened at a moment.
//!
//! Knows no database. Times are UTC; of a span it is the beginning.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    router::Judgements,
    work::{HASHES_PER_DIFFICULTY, Hashrate, Reject},
};

/// What one row of counts is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// As it was counted.
    Minute,
    /// Minutes added up.
    Hour,
    /// Hours added up, of UTC.
    Day,
}

impl Span {
    /// All, from the shortest.
    pub const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    /// How long.
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// In a word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// Whose counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// All miners; its one name is "".
    Site,
    /// The miners of a route.
    Route,
    /// The miners of a power group.
    Group,
    /// What went to a pool, and what it said.
    Pool,
    /// A worker.
    Worker,
}

impl Subject {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Site, Self::Route, Self::Group, Self::Pool, Self::Worker];

    /// In a word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Route => "route",
            Self::Group => "group",
            Self::Pool => "pool",
            Self::Worker => "worker",
        }
    }
}

/// What was counted in a span.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Shares found good by our own check. Of a pool: those that it accepted.
    pub found: u64,
    /// Their difficulties. Of a pool: as it had set them, which is what it credits.
    pub work: f64,
    /// Shares that were stale. Of a pool: those that both of us found stale.
    pub stale: u64,
    /// Shares that did not count for another reason. Of a pool: those that we found good and it rejected.
    pub rejected: u64,
    /// Shares that were handed to pools.
    pub forwarded: u64,
    /// Of these, those that pools accepted.
    pub accepted: u64,
    /// Of these, those that pools rejected.
    pub refused: u64,
    /// Of these, those that were never answered: silent drops. Of a worker those that were lost as well.
    pub unanswered: u64,
    /// Of these, those that went down with the connection; of a pool only.
    pub lost: u64,
    /// Connections, at the end of a minute; of a longer span the most.
    pub connections: u64,
}

impl Counts {
    /// Columns, in the order of [`Counts::values`].
    pub(super) const COLUMNS: [&str; 10] =
        ["found", "work", "stale", "rejected", "forwarded", "accepted", "refused", "unanswered", "lost", "connections"];

    /// What the shares that count are worth in hashes a second of the span.
    pub fn hashrate(&self, span: Span) -> Hashrate {
        Hashrate::from_hs(self.work * HASHES_PER_DIFFICULTY / span.seconds() as f64)
    }

    /// Both together.
    pub fn add(&mut self, more: &Self) {
        self.found += more.found;
        self.work += more.work;
        self.stale += more.stale;
        self.rejected += more.rejected;
        self.forwarded += more.forwarded;
        self.accepted += more.accepted;
        self.refused += more.refused;
        self.unanswered += more.unanswered;
        self.lost += more.lost;
        self.connections += more.connections;
    }

    /// Shares of miners.
    pub(super) fn judge(&mut self, shares: &Judgements) {
        let stale = shares.of(Reject::Stale);
        self.found += shares.found;
        self.work += shares.work;
        self.stale += stale;
        self.rejected += shares.refused() - stale;
    }
}

/// One span of one subject.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When it begins.
    pub at: Timestamp,
    /// What was counted.
    pub counts: Counts,
}

/// One minute of one subject, on its way into the store.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// When it begins, in seconds since 1970.
    pub at: i64,
    /// Whose.
    pub subject: Subject,
    /// Its name.
    pub name: Arc<str>,
    /// What was counted.
    pub counts: Counts,
    /// Rejects by reason, those that there were: [`Reject::label`] of our own check, of a pool what it said.
    pub rejects: Box<[(&'static str, u64)]>,
}

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// A group is to do something else, and why.
    Decision,
    /// A signal says something new.
    Signal,
    /// A drain or a wake ended.
    Receipt,
    /// Something that the power side logged; the store's own troubles.
    Event,
    /// A worker came or went.
    Connection,
    /// What the lines of charts were in a minute, those that no counts tell; for a day only.
    Chart,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Decision, Self::Signal, Self::Receipt, Self::Event, Self::Connection, Self::Chart];

    /// In a word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Signal => "signal",
            Self::Receipt => "receipt",
            Self::Event => "event",
            Self::Connection => "connection",
            Self::Chart => "chart",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// What it is about.
    pub topic: Topic,
    /// Of whom: a group, a signal, a worker.
    pub subject: Arc<str>,
    /// A number, if it is one: what a signal says in its unit.
    pub value: Option<f64>,
    /// In words.
    pub words: String,
    /// More of it, as JSON; a receipt is all of it.
    pub data: Option<String>,
    /// Its own within the topic; what comes again under it is not stored again. `None` for what has none.
    pub key: Option<String>,
}

/// A record that was stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Where it is among all.
    pub cursor: Cursor,
    /// What.
    pub record: Record,
}

/// A place among records: those of the same time in the order that they were stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// In the order of storing.
    pub id: i64,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.at_ms, self.id)
    }
}

impl std::str::FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed =
            text.split_once('.').and_then(|(at, id)| Some(Self { at_ms: at.parse().ok()?, id: id.parse().ok()? }));
        parsed.ok_or_else(|| format!("{text:?} is no cursor: use one that a page gave"))
    }
}

/// Some time: from the first moment to before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct During {
    /// From then on.
    pub from: Timestamp,
    /// Until before then.
    pub to: Timestamp,
}

/// How the store is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoreStatus {
    /// `sqlite` or `postgres`.
    pub backend: &'static str,
    /// Why nothing can be written now; `None` if all is well.
    pub trouble: Option<String>,
    /// Since when nothing could be written.
    pub since: Option<Timestamp>,
    /// Rows of counts that wait.
    pub waiting_rows: usize,
    /// Records that wait.
    pub waiting_records: usize,
    /// Since when the oldest of these waits; `None` if nothing does.
    pub oldest: Option<Timestamp>,
    /// When something was last written.
    pub written_at: Option<Timestamp>,
    /// Rows of counts and records written since the start.
    pub written: u64,
    /// Of these, records.
    pub written_records: u64,
    /// Transactions that were written since the start.
    pub batches: u64,
    /// Tries that failed since the start.
    pub failures: u64,
    /// Records that there was no room for, since the start.
    pub dropped: u64,
    /// Minutes whose counts went into the next one, because there was no room.
    pub merged: u64,
    /// Rows of workers that are not kept, since the start: as many as are kept have names already.
    pub unplaced: u64,
    /// When the certificate ends that the server has shown.
    pub certificate_ends: Option<Timestamp>,
    /// Bytes in use; 0 while it is not known. Of PostgreSQL what its tables take.
    pub bytes: u64,
}
