//! What happened, kept: counts by worker, group, route, pool and site; decisions, signals, receipts, events, connections.
//!
//! ```text
//! live table, books ─► feed.rs: each minute ─┐  bounded                    ┌─► SQLite file (WAL)
//! signals, power ────► feed.rs: as it comes ─┼─ queue ─► task.rs: a thread ┴─► or PostgreSQL
//! charts ────────────► the API: each minute ─┘
//!                                                          batches of a second, roll-up, retention
//! API, `hashgate export` ─► read.rs: connections of their own, time-limited
//! ```
//!
//! | file | what |
//! |---|---|
//! | `model.rs` | what is stored, as values |
//! | `feed.rs` | what goes in, and when |
//! | `task.rs` | the writer's thread, its queue, what happens when the database is away |
//! | `write.rs` | a batch; minutes to hours to days; what is dropped when it is old, or the file is full |
//! | `read.rs` | pages of series and records |
//! | `schema.rs` | the layout, and how older ones become it |
//! | `sql.rs`, `sqlite.rs`, `postgres.rs` | the two databases |
//!
//! It is on no share's way and nobody waits for it: the power side has its own ledger, and what a miner is told does not rest on it.
//!
//! | failure | then |
//! |---|---|
//! | the process is killed | records of the last two seconds are lost, and counts of the minute that was being counted: [`MAX_LOSS`] |
//! | the power goes | the same: each batch is on the disk when it is committed |
//! | the proxy is told to end | what waits is written; of workers' counts, those of the last census period are lost (pools' and the site's are not) |
//! | the disk is full, the file locked, the server away | the proxy goes on; it is said once and again when it is over, counted, and tried again |
//! | meanwhile | counts go into a later minute when no more may wait, records that come then are dropped and counted |
//! | a newer program wrote the store | nothing is touched, and the proxy does not start with it |
//! | it can't be opened at the start for another reason | the proxy starts, and it is tried again |
//!
//! Limits: [`MAX_WAITING_ROWS`], [`MAX_WAITING_RECORDS`], [`MAX_POINTS`], [`MAX_RECORDS`], [`MAX_NAMES`], [`PATIENCE`].

pub mod feed;
mod model;
mod postgres;
mod read;
mod schema;
mod sql;
mod sqlite;
mod task;
mod write;

use std::{sync::Arc, time::Duration};

pub use self::{
    model::{Counts, Cursor, During, Point, Record, Row, Span, StoreStatus, Stored, Subject, Topic},
    read::{MAX_POINTS, MAX_RECORDS, NamedPoint, PATIENCE, Reader, RecordPage, RecordQuery, Rejects},
    schema::VERSION,
    task::{MAX_WAITING_RECORDS, MAX_WAITING_ROWS, Queue, Running, start},
    write::MAX_NAMES,
};
use crate::config::{Store as Config, StorePlace};
use sql::Database;

/// What a crash loses at most: the minute that is being counted, and what was not yet committed.
pub const MAX_LOSS: Duration = Duration::from_secs(65);

/// Why the store did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct StoreError {
    words: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It may be gone at the next try.
    Passing,
    /// It stays until somebody does something about it.
    Fatal,
    /// It took too long.
    TooSlow,
}

impl StoreError {
    fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), kind: Kind::Passing }
    }

    fn fatal(words: impl Into<String>) -> Self {
        Self { words: words.into(), kind: Kind::Fatal }
    }

    fn too_slow() -> Self {
        Self { words: "the store took too long: ask for less at once".to_owned(), kind: Kind::TooSlow }
    }

    /// Whether it stays until somebody does something about it.
    pub fn is_fatal(&self) -> bool {
        self.kind == Kind::Fatal
    }

    /// Whether it was given up because it took too long.
    pub fn is_too_slow(&self) -> bool {
        self.kind == Kind::TooSlow
    }
}

/// The running store, for who reads it. Clones are the same.
#[derive(Debug, Clone)]
pub struct Store {
    /// The way to what is stored.
    pub reader: Reader,
    queue: Arc<Queue>,
}

impl Store {
    /// Of a writer, and of where it writes.
    pub fn new(config: &Config, queue: Arc<Queue>) -> Self {
        Self { reader: Reader::new(config), queue }
    }

    /// Has a record written, unless there is no room for it; does not wait.
    pub fn put(&self, record: Record) {
        self.queue.put(record);
    }

    /// How it is.
    pub fn status(&self) -> StoreStatus {
        self.queue.status()
    }
}

/// A connection to write. The layout is brought up to date.
fn open_writer(config: &Config) -> Result<Box<dyn Database>, StoreError> {
    let mut database: Box<dyn Database> = match &config.place {
        StorePlace::File(path) => Box::new(sqlite::Sqlite::writer(path)?),
        StorePlace::Postgres(url) => Box::new(postgres::Postgres::writer(url)?),
    };
    schema::migrate(&mut *database)?;
    Ok(database)
}
