//! The writer: a thread of its own, because databases block. It takes what waits, writes it in one transaction, and tidies up in between.
//!
//! Whoever has something to store puts it into a bounded queue and goes on. What has no room:
//!
//! | what | limit | then |
//! |---|---|---|
//! | minutes | [`MAX_WAITING_ROWS`] | are not taken from where they are counted: they go into the next minute, and nothing is lost but the time that it was |
//! | records | [`MAX_WAITING_RECORDS`] | the new ones are dropped, counted and said |
//!
//! A database that fails is tried again, with a new connection, after [`TRY_AGAIN`] and then less and less often up to [`TRY_AT_LAST`]; the
//! batch that failed goes first.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc::channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tracing::{error, info, warn};

use super::{
    Record, Row, StoreError, StoreStatus,
    model::Topic,
    open_writer,
    sql::Database,
    write::{Batch, Writer},
};
use crate::config::Store as Config;

/// Rows of counts that may wait: those of a large farm for six minutes, of a small one for a day; some 150 bytes each.
pub const MAX_WAITING_ROWS: usize = 600_000;

/// Records that may wait: a storm of reconnects; some 300 bytes each.
pub const MAX_WAITING_RECORDS: usize = 20_000;

/// Rows and records of one transaction, but for the minute of a farm, which stays together.
const BATCH: usize = 20_000;

/// What comes in so soon after the first goes with it.
const GATHER: Duration = Duration::from_secs(1);

/// How often it looks what time has made due.
const TIDY: Duration = Duration::from_secs(30);

/// How soon a database that failed is tried again, at first and at last.
const TRY_AGAIN: Duration = Duration::from_secs(1);
const TRY_AT_LAST: Duration = Duration::from_secs(30);

/// How long the end waits for what was not written.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What waits for the writer.
#[derive(Debug, Default)]
pub struct Queue {
    inner: Mutex<Inner>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: Batch,
    /// Since when something waits.
    waiting_since: Option<Timestamp>,
    /// What the writer has taken and not written.
    in_hand: InHand,
    ends: bool,
    status: StoreStatus,
}

#[derive(Debug, Clone, Copy, Default)]
struct InHand {
    rows: usize,
    records: usize,
    /// Since when the oldest of it waits.
    since: Option<Timestamp>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether minutes may be put in. If not, they are to be counted on; that is said once for each minute.
    pub fn has_room(&self) -> bool {
        let mut inner = self.lock();
        let has_room = inner.waiting.rows.len() + inner.in_hand.rows < MAX_WAITING_ROWS;
        if !has_room {
            inner.status.merged += 1;
            if inner.status.merged.is_power_of_two() {
                warn!(
                    "store: no room for this minute's counts, they go into a later one ({} so far)",
                    inner.status.merged
                );
            }
        }
        has_room
    }

    /// Puts minutes in: all of one time at once.
    pub fn put_rows(&self, rows: Vec<Row>) {
        if rows.is_empty() {
            return;
        }
        let mut inner = self.lock();
        inner.waiting.rows.extend(rows);
        inner.waiting_since.get_or_insert_with(Timestamp::now);
        drop(inner);
        self.bell.notify_one();
    }

    /// Puts a record in, or drops it.
    pub fn put(&self, record: Record) {
        let mut inner = self.lock();
        if inner.waiting.records.len() >= MAX_WAITING_RECORDS {
            inner.status.dropped += 1;
            if inner.status.dropped.is_power_of_two() {
                warn!("store: no room for what happened, {} records dropped so far", inner.status.dropped);
            }
            return;
        }
        inner.waiting.records.push(record);
        inner.waiting_since.get_or_insert_with(Timestamp::now);
        drop(inner);
        self.bell.notify_one();
    }

    /// How it is.
    pub fn status(&self) -> StoreStatus {
        let inner = self.lock();
        StoreStatus {
            waiting_rows: inner.waiting.rows.len() + inner.in_hand.rows,
            waiting_records: inner.waiting.records.len() + inner.in_hand.records,
            oldest: inner.in_hand.since.or(inner.waiting_since),
            ..inner.status.clone()
        }
    }

    /// Waits for something to do; whether the end was told.
    fn wait(&self, patience: Duration) -> bool {
        let inner = self.lock();
        let is_idle = |inner: &mut Inner| inner.waiting.is_empty() && !inner.ends;
        let (inner, _) = self.bell.wait_timeout_while(inner, patience, is_idle).unwrap_or_else(PoisonError::into_inner);
        inner.ends
    }

    /// Waits for more to come with it, or for the end; whether the end was told.
    fn gather(&self, patience: Duration) -> bool {
        let inner = self.lock();
        let may_grow = |inner: &mut Inner| inner.waiting.len() < BATCH && !inner.ends;
        let (inner, _) =
            self.bell.wait_timeout_while(inner, patience, may_grow).unwrap_or_else(PoisonError::into_inner);
        inner.ends
    }

    /// Sleeps, unless the end is told; whether it is.
    fn pause(&self, patience: Duration) -> bool {
        let inner = self.lock();
        let (inner, _) =
            self.bell.wait_timeout_while(inner, patience, |inner| !inner.ends).unwrap_or_else(PoisonError::into_inner);
        inner.ends
    }

    fn take(&self) -> Batch {
        let mut inner = self.lock();
        let mut batch = std::mem::take(&mut inner.waiting);
        // A backlog goes in several; a minute stays whole, whatever its size.
        if batch.rows.len() > BATCH {
            let first = batch.rows[0].at;
            let end = batch.rows.iter().position(|row| row.at != first).unwrap_or(batch.rows.len()).max(BATCH);
            inner.waiting.rows = batch.rows.split_off(end);
        }
        let since = inner.waiting_since;
        if inner.waiting.is_empty() {
            inner.waiting_since = None;
        }
        inner.in_hand = InHand { rows: batch.rows.len(), records: batch.records.len(), since };
        batch
    }

    fn has_waiting(&self) -> bool {
        !self.lock().waiting.is_empty()
    }
}

/// The running thread.
#[derive(Debug)]
pub struct Running {
    queue: Arc<Queue>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Lets it write what waits, a few seconds at most, and ends it; false if it had failed.
    pub fn join(self) -> bool {
        self.queue.lock().ends = true;
        self.queue.bell.notify_all();
        self.thread.join().is_ok()
    }
}

/// Starts the writer, and waits until it has tried to open its database: call it where that may be waited for. A database that can't be
/// reached now is tried again; one that must not be touched is an error.
///
/// # Errors
/// [`StoreError`] if a newer program wrote it, or there is no thread.
pub fn start(config: &Arc<Config>) -> Result<(Arc<Queue>, Running), StoreError> {
    let queue = Arc::new(Queue::default());
    queue.lock().status.backend = config.place.backend();
    let (tell, told) = channel();
    let mut keeper = Keeper { config: config.clone(), queue: queue.clone(), database: None, writer: Writer::new() };
    // It opens its database itself: that of a server brings a runtime of its own, which may not run within another.
    let run = move || {
        let opened = keeper.open();
        let is_over = opened.is_err();
        // Who waits for it is there.
        let _ = tell.send(opened);
        if !is_over {
            keeper.run();
        }
    };
    let lost = |error: &dyn std::fmt::Display| StoreError::fatal(format!("the store's thread: {error}"));
    let thread = thread::Builder::new().name("store".to_owned()).spawn(run).map_err(|error| lost(&error))?;
    told.recv().map_err(|error| lost(&error))??;
    Ok((queue.clone(), Running { queue, thread }))
}

impl Queue {
    /// Something went wrong; whether that is news.
    fn fails(&self, error: &StoreError) -> bool {
        let mut inner = self.lock();
        let is_news = inner.status.trouble.is_none();
        inner.status.failures += 1;
        inner.status.trouble = Some(error.to_string());
        inner.status.since.get_or_insert_with(Timestamp::now);
        is_news
    }

    /// Something was written.
    fn is_well(&self, written: &Batch, unplaced: u64) -> Option<(String, Timestamp)> {
        let mut inner = self.lock();
        inner.in_hand = InHand::default();
        inner.status.written += written.len() as u64;
        inner.status.written_records += written.records.len() as u64;
        inner.status.batches += 1;
        inner.status.unplaced = unplaced;
        inner.status.written_at = Some(Timestamp::now());
        inner.status.trouble.take().zip(inner.status.since.take())
    }
}

/// What is the thread's.
struct Keeper {
    config: Arc<Config>,
    queue: Arc<Queue>,
    database: Option<Box<dyn Database>>,
    writer: Writer,
}

impl Keeper {
    /// The first try; an error is for good.
    fn open(&mut self) -> Result<(), StoreError> {
        match open_writer(&self.config) {
            Ok(database) => self.has_opened(database),
            Err(error) if error.is_fatal() => return Err(error),
            Err(error) => {
                warn!("store: {error}; it is tried again, what comes until then waits");
                self.queue.fails(&error);
            }
        }
        Ok(())
    }

    fn has_opened(&mut self, database: Box<dyn Database>) {
        self.queue.lock().status.certificate_ends = database.certificate_ends();
        self.database = Some(database);
    }

    fn run(mut self) {
        let mut tidy_at = Instant::now();
        loop {
            let ends = self.queue.wait(tidy_at.saturating_duration_since(Instant::now()));
            let ends = ends || self.queue.has_waiting() && self.queue.gather(GATHER);
            let batch = self.queue.take();
            if !batch.is_empty() && !self.store(&batch) {
                return;
            }
            if ends && !self.queue.has_waiting() {
                return;
            }
            if Instant::now() >= tidy_at && !ends {
                let has_more = self.tidy();
                tidy_at = Instant::now() + if has_more { Duration::ZERO } else { TIDY };
            }
        }
    }

    /// Writes a batch, however often it takes; `false` if the end came before.
    fn store(&mut self, batch: &Batch) -> bool {
        let name = self.writer.name_batch();
        let mut pause = TRY_AGAIN;
        let mut last_try = None;
        loop {
            match self.attempt(|writer, database| writer.write(database, &name, batch)) {
                Ok(()) => {
                    if let Some((trouble, since)) = self.queue.is_well(batch, self.writer.unplaced()) {
                        info!("store: it can be written again");
                        self.queue.put(Record {
                            at: since,
                            topic: Topic::Event,
                            subject: "store".into(),
                            value: None,
                            words: format!("nothing could be written from then until {}: {trouble}", Timestamp::now()),
                            data: None,
                            key: None,
                        });
                    }
                    return true;
                }
                Err(error) => {
                    if self.queue.fails(&error) {
                        warn!(
                            "store: nothing can be written: {error}; shares go on, what is counted waits; trying again"
                        );
                    }
                    let ends = self.queue.pause(pause);
                    let deadline = *last_try.get_or_insert_with(|| Instant::now() + LAST_WORDS);
                    if !ends {
                        last_try = None;
                        pause = (pause * 2).min(TRY_AT_LAST);
                    } else if Instant::now() >= deadline {
                        error!("store: {} rows are lost, they could not be written: {error}", batch.len());
                        return false;
                    } else {
                        thread::sleep(TRY_AGAIN / 4);
                    }
                }
            }
        }
    }

    /// What time has made due; whether there is more of it.
    fn tidy(&mut self) -> bool {
        let (config, now) = (self.config.clone(), Timestamp::now().as_second());
        let done = self.attempt(|writer, database| {
            let has_more = writer.maintain(database, &config, now)?;
            Ok((has_more, if has_more { 0 } else { database.bytes()? }))
        });
        match done {
            Ok((has_more, bytes)) => {
                if !has_more {
                    self.queue.lock().status.bytes = bytes;
                }
                has_more
            }
            Err(error) => {
                // A batch says so, or the next look does.
                tracing::debug!("store: not tidied up: {error}");
                false
            }
        }
    }

    /// Does something with the database. After a failure it is opened anew.
    fn attempt<T>(
        &mut self,
        work: impl FnOnce(&mut Writer, &mut dyn Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.database.is_none() {
            self.has_opened(open_writer(&self.config)?);
        }
        let Some(database) = &mut self.database else { return Err(StoreError::new("it is not open")) };
        let done = work(&mut self.writer, &mut **database);
        if done.is_err() {
            self.database = None;
        }
        done
    }
}
