//! What is asked of the store: series of a subject, all subjects of a time, rejects by reason, records page by page.
//!
//! Each question has a connection and a thread that may wait; it is ended after [`PATIENCE`]. Readers of SQLite do not wait for the writer, nor
//! it for them.
//!
//! Limits: [`MAX_POINTS`] and [`MAX_RECORDS`] an answer, [`MAX_READERS`] questions at once, the others wait for their turn.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::{
    Counts, Cursor, During, Point, Record, Span, StoreError, Stored, Subject, Topic,
    postgres::Postgres,
    schema,
    sql::{Database, Value},
    sqlite::Sqlite,
};
use crate::config::{Secret, Store as Config, StorePlace};

/// Points of an answer: the minutes of a day.
pub const MAX_POINTS: usize = 1_440;

/// Records of an answer.
pub const MAX_RECORDS: usize = 1_000;

/// Rows of a page of all subjects.
pub const MAX_ROWS: usize = 10_000;

/// Questions at once; each has a connection and memory of its own.
const MAX_READERS: usize = 4;

/// How long a question may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The way to what is stored. Clones are the same.
#[derive(Clone)]
pub struct Reader(Arc<Inner>);

struct Inner {
    place: Place,
    turns: Arc<Semaphore>,
    /// Connections that nobody uses.
    idle: Mutex<Vec<Open>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A server's connection has a runtime of its own, and that may not end within another.
        let idle = std::mem::take(self.idle.get_mut().unwrap_or_else(PoisonError::into_inner));
        if !idle.is_empty() {
            thread::spawn(move || drop(idle));
        }
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

enum Place {
    File(PathBuf),
    Postgres(Secret),
}

enum Open {
    Sqlite(Sqlite),
    Postgres(Box<Postgres>),
}

impl Open {
    fn database(&mut self) -> &mut dyn Database {
        match self {
            Self::Sqlite(sqlite) => sqlite,
            Self::Postgres(postgres) => &mut **postgres,
        }
    }
}

/// A point and whose it is.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedPoint {
    /// Whose.
    pub name: String,
    /// When, and what was counted.
    pub point: Point,
}

/// Shares that did not count, of a subject and a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejects {
    /// Why.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// Which records.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RecordQuery {
    /// About these, or with none about all.
    pub topics: Vec<Topic>,
    /// Of this subject.
    pub subject: Option<String>,
    /// In this time.
    pub during: Option<During>,
    /// Older than this one, as the page before said.
    pub after: Option<Cursor>,
    /// At most so many; [`MAX_RECORDS`] if more.
    pub limit: usize,
}

/// Records, the newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordPage {
    /// Those of the page.
    pub records: Vec<Stored>,
    /// Where the next page begins; `None` if this is the last.
    pub next: Option<Cursor>,
}

impl Reader {
    /// Of the store that a config names; opened when it is asked.
    pub fn new(config: &Config) -> Self {
        let place = match &config.place {
            StorePlace::File(path) => Place::File(path.clone()),
            StorePlace::Postgres(url) => Place::Postgres(url.clone()),
        };
        Self(Arc::new(Inner { place, turns: Arc::new(Semaphore::new(MAX_READERS)), idle: Mutex::default() }))
    }

    /// What one subject did in the spans that begin in this time, the oldest first; spans in which it did nothing are left out. `limit`: so
    /// many spans before the end are looked at, [`MAX_POINTS`] at most.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be read, or not in time.
    pub async fn series(
        &self,
        subject: Subject,
        name: &str,
        span: Span,
        during: During,
        limit: usize,
    ) -> Result<Vec<Point>, StoreError> {
        let name = name.to_owned();
        self.ask(move |database| series(database, subject, &name, span, during, limit.min(MAX_POINTS))).await
    }

    /// Why shares of a subject did not count in the spans that begin in this time, the last [`MAX_POINTS`] at most; the most frequent reason
    /// first.
    ///
    /// # Errors
    /// As [`Reader::series`].
    pub async fn rejects(
        &self,
        subject: Subject,
        name: &str,
        span: Span,
        during: During,
    ) -> Result<Vec<Rejects>, StoreError> {
        let name = name.to_owned();
        self.ask(move |database| rejects(database, subject, &name, span, during)).await
    }

    /// Every subject of a kind, by time and then in the order in which they became known; at most [`MAX_ROWS`] after `after`, a time and a name.
    ///
    /// # Errors
    /// As [`Reader::series`].
    pub async fn all(
        &self,
        subject: Subject,
        span: Span,
        during: During,
        after: Option<(Timestamp, String)>,
        limit: usize,
    ) -> Result<Vec<NamedPoint>, StoreError> {
        self.ask(move |database| all(database, subject, span, during, after, limit.min(MAX_ROWS))).await
    }

    /// Records, the newest first.
    ///
    /// # Errors
    /// As [`Reader::series`].
    pub async fn records(&self, query: RecordQuery) -> Result<RecordPage, StoreError> {
        self.ask(move |database| records(database, &query)).await
    }

    /// Asks on a thread that may wait.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut dyn Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = tokio::time::timeout(PATIENCE, self.0.turns.clone().acquire_owned());
        let turn = turn.await.map_err(|_| StoreError::too_slow())?.map_err(|_| StoreError::new("it has ended"))?;
        let inner = self.0.clone();
        let answered = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            inner.ask(question)
        });
        answered.await.map_err(|error| StoreError::new(format!("the question failed: {error}")))?
    }
}

impl Inner {
    fn ask<T>(&self, question: impl FnOnce(&mut dyn Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut open = match self.idle() {
            Some(open) => open,
            None => self.open()?,
        };
        let answer = match &open {
            Open::Sqlite(sqlite) => {
                let interrupter = sqlite.interrupter();
                within(PATIENCE, move || interrupter.interrupt(), || question(open.database()))
            }
            // The server ends it.
            Open::Postgres(_) => question(open.database()),
        };
        if answer.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(open);
        }
        answer
    }

    /// A connection that nobody uses, and that has not ended meanwhile.
    fn idle(&self) -> Option<Open> {
        loop {
            match self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()? {
                Open::Postgres(postgres) if postgres.is_closed() => {}
                open => return Some(open),
            }
        }
    }

    fn open(&self) -> Result<Open, StoreError> {
        let mut open = match &self.place {
            Place::File(path) if !path.exists() => {
                return Err(StoreError::new(format!("{}: there is no store yet", path.display())));
            }
            Place::File(path) => Open::Sqlite(Sqlite::reader(path)?),
            Place::Postgres(url) => Open::Postgres(Box::new(Postgres::reader(url, PATIENCE)?)),
        };
        let found = schema::version(open.database())?;
        schema::refuse_newer(found)?;
        if found < schema::VERSION {
            return Err(StoreError::new(format!(
                "the store has layout {found}, and this program reads {}: start the proxy once, it brings it up to date",
                schema::VERSION
            )));
        }
        Ok(open)
    }
}

/// Does something, and interrupts it if it takes longer.
fn within<T>(patience: Duration, interrupt: impl Fn() + Send, work: impl FnOnce() -> T) -> T {
    let (done, is_done) = channel::<()>();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let is_over = &is_over;
        scope.spawn(move || {
            if is_done.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
                // What it does between two statements is not interrupted: again, until it has ended.
                while !is_over.load(Ordering::Acquire) {
                    interrupt();
                    thread::sleep(Duration::from_millis(20));
                }
            }
        });
        let result = work();
        is_over.store(true, Ordering::Release);
        drop(done);
        result
    })
}

fn id_of(database: &mut dyn Database, subject: Subject, name: &str) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT id FROM subjects WHERE kind = $1 AND name = $2";
    let rows = database.query(sql, &[subject.label().into(), name.into()])?;
    Ok(rows.first().and_then(|row| row.first()).map(Value::int))
}

/// The beginnings of the spans of a time, the newest last; at most so many.
fn beginnings(span: Span, during: During, most: usize) -> std::ops::Range<i64> {
    let seconds = span.seconds();
    let first = during.from.as_second().div_euclid(seconds) * seconds;
    let first = if first < during.from.as_second() { first + seconds } else { first };
    // The end does not belong to it.
    let end = during.to.as_millisecond().saturating_add(999).div_euclid(1_000);
    let last = (end - 1).div_euclid(seconds) * seconds;
    let span_of_most = seconds.saturating_mul(i64::try_from(most).unwrap_or(i64::MAX));
    first.max(last.saturating_sub(span_of_most).saturating_add(seconds))..last.saturating_add(seconds)
}

fn listed(span: Span, times: std::ops::Range<i64>) -> String {
    times.step_by(span.seconds() as usize).map(|at| at.to_string()).collect::<Vec<_>>().join(", ")
}

fn series(
    database: &mut dyn Database,
    subject: Subject,
    name: &str,
    span: Span,
    during: During,
    limit: usize,
) -> Result<Vec<Point>, StoreError> {
    let times = beginnings(span, during, limit);
    let Some(id) = id_of(database, subject, name)? else { return Ok(Vec::new()) };
    if times.is_empty() || limit == 0 {
        return Ok(Vec::new());
    }
    // The key begins with the time: so many look-ups.
    let sql = format!(
        "SELECT at, {} FROM series WHERE span = $1 AND subject = $2 AND at IN ({}) ORDER BY at",
        Counts::COLUMNS.join(", "),
        listed(span, times)
    );
    let rows = database.query(&sql, &[span.seconds().into(), id.into()])?;
    rows.iter().map(|row| point(row)).collect()
}

fn rejects(
    database: &mut dyn Database,
    subject: Subject,
    name: &str,
    span: Span,
    during: During,
) -> Result<Vec<Rejects>, StoreError> {
    let times = beginnings(span, during, MAX_POINTS);
    let Some(id) = id_of(database, subject, name)? else { return Ok(Vec::new()) };
    if times.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT reason, CAST(sum(count) AS BIGINT) FROM rejects WHERE span = $1 AND subject = $2 AND at IN ({}) GROUP BY reason \
         ORDER BY 2 DESC, reason",
        listed(span, times)
    );
    let rows = database.query(&sql, &[span.seconds().into(), id.into()])?;
    let read = |row: &Vec<Value>| match &row[..] {
        [Value::Text(reason), count] => {
            Ok(Rejects { reason: reason.clone(), count: u64::try_from(count.int()).unwrap_or_default() })
        }
        _ => Err(StoreError::new("a row of rejects is damaged")),
    };
    rows.iter().map(read).collect()
}

fn all(
    database: &mut dyn Database,
    subject: Subject,
    span: Span,
    during: During,
    after: Option<(Timestamp, String)>,
    limit: usize,
) -> Result<Vec<NamedPoint>, StoreError> {
    let (from, id) = match after {
        Some((at, name)) => (at.as_second(), id_of(database, subject, &name)?.unwrap_or(-1)),
        None => (beginnings(span, During { from: during.from, ..during }, usize::MAX / 2).start, -1),
    };
    let columns = Counts::COLUMNS.map(|column| format!("series.{column}")).join(", ");
    let sql = format!(
        "SELECT series.at, {columns}, subjects.name FROM series JOIN subjects ON subjects.id = series.subject \
         WHERE series.span = $1 AND (series.at, series.subject) > ($2, $3) AND series.at < $4 AND subjects.kind = $5 \
         ORDER BY series.span, series.at, series.subject LIMIT $6"
    );
    let end = during.to.as_millisecond().saturating_add(999).div_euclid(1_000);
    let values =
        [span.seconds().into(), from.into(), id.into(), end.into(), subject.label().into(), (limit as i64).into()];
    let rows = database.query(&sql, &values)?;
    let read = |row: &Vec<Value>| {
        let name = row.last().and_then(Value::text).unwrap_or_default().to_owned();
        Ok(NamedPoint { name, point: point(row)? })
    };
    rows.iter().map(read).collect()
}

/// A time and the counts behind it.
fn point(row: &[Value]) -> Result<Point, StoreError> {
    let damaged = || StoreError::new("a row of counts is damaged");
    let [at, found, work, stale, rejected, forwarded, accepted, refused, unanswered, lost, connections, ..] = row
    else {
        return Err(damaged());
    };
    let count = |value: &Value| u64::try_from(value.int()).unwrap_or_default();
    let counts = Counts {
        found: count(found),
        work: work.real().unwrap_or_default(),
        stale: count(stale),
        rejected: count(rejected),
        forwarded: count(forwarded),
        accepted: count(accepted),
        refused: count(refused),
        unanswered: count(unanswered),
        lost: count(lost),
        connections: count(connections),
    };
    Ok(Point { at: Timestamp::from_second(at.int()).map_err(|_| damaged())?, counts })
}

fn records(database: &mut dyn Database, query: &RecordQuery) -> Result<RecordPage, StoreError> {
    let limit = query.limit.clamp(1, MAX_RECORDS);
    let mut values: Vec<Value> = Vec::new();
    let mut wanted = vec!["1 = 1".to_owned()];
    let mut add = |text: &dyn Fn(&str) -> String, value: Value| {
        values.push(value);
        wanted.push(text(&format!("${}", values.len())));
    };
    if let Some(During { from, to }) = query.during {
        add(&|place| format!("at >= {place}"), from.as_millisecond().into());
        add(&|place| format!("at < {place}"), to.as_millisecond().into());
    }
    if let Some(subject) = &query.subject {
        add(&|place| format!("subject = {place}"), subject.as_str().into());
    }
    if let Some(Cursor { at_ms, id }) = query.after {
        add(&|place| format!("at <= {place}"), at_ms.into());
        add(&|place| format!("(at < {at_ms} OR id < {place})"), id.into());
    }
    if !query.topics.is_empty() {
        let topics: Vec<String> = query.topics.iter().map(|topic| format!("'{}'", topic.label())).collect();
        wanted.push(format!("topic IN ({})", topics.join(", ")));
    }
    let sql = format!(
        "SELECT id, at, topic, subject, value, words, data, key FROM records WHERE {} ORDER BY at DESC, id DESC LIMIT {}",
        wanted.join(" AND "),
        limit + 1
    );
    let rows = database.query(&sql, &values)?;
    let has_more = rows.len() > limit;
    let records: Vec<Stored> = rows.iter().take(limit).map(|row| stored(row)).collect::<Result<_, _>>()?;
    let next = records.last().filter(|_| has_more).map(|last| last.cursor);
    Ok(RecordPage { records, next })
}

fn stored(row: &[Value]) -> Result<Stored, StoreError> {
    let damaged = || StoreError::new("a record is damaged");
    let [id, at, topic, subject, value, words, data, key] = row else { return Err(damaged()) };
    let topic = Topic::ALL.into_iter().find(|known| Some(known.label()) == topic.text()).ok_or_else(damaged)?;
    let record = Record {
        at: Timestamp::from_millisecond(at.int()).map_err(|_| damaged())?,
        topic,
        subject: subject.text().unwrap_or_default().into(),
        value: value.real(),
        words: words.text().unwrap_or_default().to_owned(),
        data: data.text().map(str::to_owned),
        key: key.text().map(str::to_owned),
    };
    Ok(Stored { cursor: Cursor { at_ms: at.int(), id: id.int() }, record })
}
