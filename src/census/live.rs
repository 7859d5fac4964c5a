//! The live table of workers while the proxy runs: one task feeds it, anybody may look.
//!
//! Limits: a look holds the table for as long as a page takes, some 20 ms of 100 000 workers; the task waits for it, the miners do not. Ask
//! from a thread that may wait (`spawn_blocking`).

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    Subscription,
    page::{Page, Query, Summary, WorkerView},
    table::Table,
    together::Together,
};
use crate::power::control::Sleepers;

/// How often miners are counted for it: as old as what is shown may be.
pub const PERIOD: Duration = Duration::from_secs(5);

/// All workers as they are now. Clones are the same.
#[derive(Debug, Clone)]
pub struct Workers(Arc<RwLock<Table>>);

impl Workers {
    /// Of a table that nobody feeds yet.
    pub fn new(table: Table) -> Self {
        Self(Arc::new(RwLock::new(table)))
    }

    /// A page of workers.
    pub fn page(&self, query: &Query) -> Page {
        self.read(|table, now| table.page(now, query))
    }

    /// One worker, if it is known.
    pub fn worker(&self, name: &str) -> Option<WorkerView> {
        self.read(|table, now| table.worker(now, name))
    }

    /// How many there are of what.
    pub fn summary(&self) -> Summary {
        self.read(|table, now| table.summary(now))
    }

    /// What those of each power group are together, by its name.
    pub fn by_group(&self) -> HashMap<Arc<str>, Together> {
        self.read(|table, _| table.by_group())
    }

    fn read<T>(&self, look: impl FnOnce(&Table, Instant) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner), Instant::now())
    }

    /// Who sleeps, by the power side's word.
    pub fn set_sleepers(&self, sleepers: Arc<Sleepers>) {
        self.write(|table| table.set_sleepers(sleepers));
    }

    /// When the miners were counted last.
    pub fn heard(&self) -> Option<Instant> {
        self.read(|table, _| table.heard().map(|(tick, _)| tick))
    }

    /// Changes it; for who feeds it and takes what it has counted.
    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Feeds it until the proxy ends.
    pub async fn run(self, mut census: Subscription) {
        while let Some(census) = census.next().await {
            let workers = self.clone();
            let taken = tokio::task::spawn_blocking(move || {
                workers.write(|table| table.take(Instant::now(), Timestamp::now(), &census));
            });
            if taken.await.is_err() {
                return;
            }
        }
    }
}
