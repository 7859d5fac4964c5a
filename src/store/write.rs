//! Batches into the database, and what becomes of them with time.
//!
//! A batch is one transaction with a name of its own, written with it: one whose commit was done and not heard of is not written twice.
//!
//! | when | what goes |
//! |---|---|
//! | a minute, hour, day or record is older than `[store]` says | that; minutes and hours only once they were added up |
//! | a record of charts is older than [`KEEP_CHARTS_S`] | that |
//! | a SQLite file is larger than `max_bytes` | minutes, the oldest first; then hours; then records; days never |
//!
//! Limits: [`MAX_NAMES`] workers that ever mined; of those that come after it, the store knows only what they add to the site.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::warn;

use super::{
    Counts, Record, Row, Span, StoreError, Subject, Topic,
    schema::{get, set},
    sql::{Database, Value, places, transaction},
};
use crate::config::Store as Config;

/// Names of workers that are kept. Miners say them, and a name is kept for as long as its counts are.
pub const MAX_NAMES: usize = 1_000_000;

/// Rows of one statement; both databases take some thirty thousand values.
const ROWS: usize = 250;

/// Subjects that are added up in one transaction, so that a batch does not wait for long.
const SLICE: i64 = 10_000;

/// An hour is added up so long after its end: by then what was counted in it is written.
const GRACE_S: i64 = 120;

/// Records that are deleted in one transaction.
const OLD_RECORDS: i64 = 1_000;

/// What charts have of their own goes back no further than a day; a large site has some kilobytes of it a minute.
const KEEP_CHARTS_S: i64 = 25 * 3_600;

/// How long old rows may be deleted at once.
const DELETING: Duration = Duration::from_millis(200);

/// What goes in together.
#[derive(Debug, Default)]
pub struct Batch {
    /// Minutes.
    pub rows: Vec<Row>,
    /// What happened.
    pub records: Vec<Record>,
}

impl Batch {
    pub fn len(&self) -> usize {
        self.rows.len() + self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What the writer knows between batches.
#[derive(Debug)]
pub struct Writer {
    names: HashMap<(Subject, Arc<str>), i64>,
    workers: usize,
    /// Its own among writers.
    writer: String,
    batches: u64,
    /// What is being added up.
    roll: Option<Roll>,
    refused_names: u64,
    most_names: usize,
}

/// Spans that become one longer span, some subjects at a time.
#[derive(Debug, Clone, Copy)]
struct Roll {
    from: Span,
    into: Span,
    at: i64,
    next: i64,
}

impl Writer {
    /// Knows nobody yet.
    pub fn new() -> Self {
        let writer = format!("{:016x}", rand::random::<u64>());
        Self {
            names: HashMap::new(),
            workers: 0,
            writer,
            batches: 0,
            roll: None,
            refused_names: 0,
            most_names: MAX_NAMES,
        }
    }

    /// Rows of workers that were not kept: as many as are kept have names already.
    pub fn unplaced(&self) -> u64 {
        self.refused_names
    }

    /// A batch begins: the name that it is written under, however often it is tried.
    pub fn name_batch(&mut self) -> String {
        self.batches += 1;
        format!("{}.{}", self.writer, self.batches)
    }

    /// Writes a batch, unless it is there.
    ///
    /// # Errors
    /// The database's; nothing was written then, or all of it.
    pub fn write(&mut self, database: &mut dyn Database, name: &str, batch: &Batch) -> Result<(), StoreError> {
        if get(database, "batch")?.as_deref() == Some(name) {
            return Ok(());
        }
        let names_before = self.names.len();
        let done = transaction(database, |database| {
            self.learn(database, &batch.rows)?;
            self.write_rows(database, &batch.rows)?;
            write_records(database, &batch.records)?;
            set(database, "batch", name)
        });
        if done.is_err() && self.names.len() != names_before {
            // Ids that were given out in it do not hold.
            self.names.clear();
            self.workers = 0;
        }
        done
    }

    /// Gives every subject an id.
    fn learn(&mut self, database: &mut dyn Database, rows: &[Row]) -> Result<(), StoreError> {
        let mut unknown: Vec<(Subject, Arc<str>)> = Vec::new();
        let mut seen = HashSet::new();
        for row in rows {
            let key = (row.subject, as_stored(&row.name));
            if !self.names.contains_key(&key) && seen.insert(key.clone()) {
                unknown.push(key);
            }
        }
        for part in unknown.chunks(ROWS) {
            let mut left = self.find(database, part)?;
            if left.iter().any(|(subject, _)| *subject == Subject::Worker) {
                self.workers = count(database, "SELECT count(*) FROM subjects WHERE kind = 'worker'")?;
                let mut room = self.most_names.saturating_sub(self.workers);
                left.retain(|(subject, _)| {
                    let is_kept = *subject != Subject::Worker || room > 0;
                    room -= usize::from(is_kept && *subject == Subject::Worker);
                    self.refused_names += u64::from(!is_kept);
                    is_kept
                });
                if self.refused_names.is_power_of_two() {
                    warn!("store: {MAX_NAMES} workers have counts: of {} others none are kept", self.refused_names);
                }
            }
            if !left.is_empty() {
                let sql = format!(
                    "INSERT INTO subjects (kind, name) VALUES {} ON CONFLICT DO NOTHING",
                    places(left.len(), 2)
                );
                let values: Vec<Value> = left
                    .iter()
                    .flat_map(|(subject, name)| [Value::from(subject.label()), Value::from(&**name)])
                    .collect();
                database.execute(&sql, &values)?;
                self.find(database, &left)?;
            }
        }
        Ok(())
    }

    /// Learns ids that there are; yields who has none.
    fn find(
        &mut self,
        database: &mut dyn Database,
        wanted: &[(Subject, Arc<str>)],
    ) -> Result<Vec<(Subject, Arc<str>)>, StoreError> {
        for subject in Subject::ALL {
            let names: Vec<Value> =
                wanted.iter().filter(|(kind, _)| *kind == subject).map(|(_, name)| Value::from(&**name)).collect();
            if names.is_empty() {
                continue;
            }
            let list: Vec<String> = (0..names.len()).map(|index| format!("${}", index + 2)).collect();
            let sql = format!("SELECT id, name FROM subjects WHERE kind = $1 AND name IN ({})", list.join(", "));
            let values: Vec<Value> = std::iter::once(Value::from(subject.label())).chain(names).collect();
            for row in database.query(&sql, &values)? {
                if let [id, Value::Text(name)] = &row[..] {
                    self.names.insert((subject, name.as_str().into()), id.int());
                }
            }
        }
        Ok(wanted.iter().filter(|key| !self.names.contains_key(*key)).cloned().collect())
    }

    fn write_rows(&self, database: &mut dyn Database, rows: &[Row]) -> Result<(), StoreError> {
        // One statement may not write one row twice: two minutes with one time are one.
        let mut merged: HashMap<(i64, i64), Counts> = HashMap::with_capacity(rows.len());
        let mut rejects: HashMap<(i64, i64, &str), u64> = HashMap::new();
        for row in rows {
            let Some(id) = self.names.get(&(row.subject, as_stored(&row.name))) else { continue };
            let counts = merged.entry((row.at, *id)).or_default();
            counts.add(&row.counts);
            counts.connections = row.counts.connections;
            for (reason, times) in &row.rejects {
                *rejects.entry((row.at, *id, *reason)).or_default() += times;
            }
        }
        let mut merged: Vec<_> = merged.into_iter().collect();
        merged.sort_unstable_by_key(|(key, _)| *key);
        let columns = Counts::COLUMNS;
        let sum = columns.map(|column| match column {
            "connections" => "connections = excluded.connections".to_owned(),
            column => format!("{column} = series.{column} + excluded.{column}"),
        });
        let sum = sum.join(", ");
        for part in merged.chunks(ROWS) {
            let sql = format!(
                "INSERT INTO series (span, at, subject, {}) VALUES {} ON CONFLICT (span, at, subject) DO UPDATE SET {sum}",
                columns.join(", "),
                places(part.len(), 3 + columns.len()),
            );
            let mut values = Vec::with_capacity(part.len() * (3 + columns.len()));
            for ((at, id), counts) in part {
                values.extend([Span::Minute.seconds().into(), (*at).into(), (*id).into()]);
                values.extend(counts.values());
            }
            database.execute(&sql, &values)?;
        }
        let rejects: Vec<_> = rejects.into_iter().collect();
        for part in rejects.chunks(ROWS) {
            let sql = format!(
                "INSERT INTO rejects (span, at, subject, reason, count) VALUES {} ON CONFLICT (span, at, subject, reason) \
                 DO UPDATE SET count = rejects.count + excluded.count",
                places(part.len(), 5),
            );
            let value = |((at, id, reason), times): &((i64, i64, &str), u64)| {
                [Span::Minute.seconds().into(), (*at).into(), (*id).into(), (*reason).into(), (*times).into()]
            };
            let values: Vec<Value> = part.iter().flat_map(value).collect();
            database.execute(&sql, &values)?;
        }
        Ok(())
    }

    /// Does some of what time has made due; whether there is more of it. `now` in seconds since 1970.
    ///
    /// # Errors
    /// The database's.
    pub fn maintain(&mut self, database: &mut dyn Database, config: &Config, now: i64) -> Result<bool, StoreError> {
        if self.roll.is_none() {
            self.roll = next_roll(database, Span::Minute, Span::Hour, now)?;
        }
        if self.roll.is_none() {
            self.roll = next_roll(database, Span::Hour, Span::Day, now)?;
        }
        if let Some(roll) = self.roll {
            self.roll = add_up(database, roll)?;
            return Ok(true);
        }
        let began = Instant::now();
        while began.elapsed() < DELETING {
            if !drop_old(database, config, now)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Counts {
    fn values(&self) -> [Value; 10] {
        [
            self.found.into(),
            self.work.into(),
            self.stale.into(),
            self.rejected.into(),
            self.forwarded.into(),
            self.accepted.into(),
            self.refused.into(),
            self.unanswered.into(),
            self.lost.into(),
            self.connections.into(),
        ]
    }
}

/// A name as the database gives it back.
fn as_stored(name: &Arc<str>) -> Arc<str> {
    match Value::from(&**name) {
        Value::Text(stored) if *stored != **name => stored.into(),
        _ => name.clone(),
    }
}

fn write_records(database: &mut dyn Database, records: &[Record]) -> Result<(), StoreError> {
    for part in records.chunks(ROWS) {
        let sql = format!(
            "INSERT INTO records (at, topic, subject, value, words, data, key) VALUES {} ON CONFLICT DO NOTHING",
            places(part.len(), 7),
        );
        let value = |record: &Record| {
            [
                Value::from(record.at.as_millisecond()),
                record.topic.label().into(),
                (&*record.subject).into(),
                record.value.into(),
                record.words.as_str().into(),
                record.data.as_deref().into(),
                record.key.as_deref().into(),
            ]
        };
        let values: Vec<Value> = part.iter().flat_map(value).collect();
        database.execute(&sql, &values)?;
    }
    Ok(())
}

fn count(database: &mut dyn Database, sql: &str) -> Result<usize, StoreError> {
    let rows = database.query(sql, &[])?;
    Ok(rows.first().and_then(|row| row.first()).map_or(0, |count| usize::try_from(count.int()).unwrap_or_default()))
}

fn first_of(database: &mut dyn Database, span: Span, from: i64) -> Result<Option<i64>, StoreError> {
    let rows = database
        .query("SELECT min(at) FROM series WHERE span = $1 AND at >= $2", &[span.seconds().into(), from.into()])?;
    Ok(rows.first().and_then(|row| row.first()).filter(|at| **at != Value::Null).map(Value::int))
}

/// Until when spans were added up into these.
fn rolled_until(database: &mut dyn Database, into: Span) -> Result<i64, StoreError> {
    let until = get(database, &format!("added_up_{}", into.label()))?;
    Ok(until.and_then(|until| until.parse().ok()).unwrap_or(0))
}

/// The next span that is over and was not added up.
fn next_roll(database: &mut dyn Database, from: Span, into: Span, now: i64) -> Result<Option<Roll>, StoreError> {
    let until = rolled_until(database, into)?;
    // Hours of a day are there when no minute of it is left that was not added up.
    let mut known = now - GRACE_S;
    if from == Span::Hour {
        let added_up = rolled_until(database, from)?;
        let left = first_of(database, Span::Minute, added_up)?;
        known = left.map_or(known, |minute| known.min(minute - minute.rem_euclid(from.seconds())));
    }
    let Some(first) = first_of(database, from, until)? else { return Ok(None) };
    let at = first - first.rem_euclid(into.seconds());
    Ok((at + into.seconds() <= known).then_some(Roll { from, into, at, next: 0 }))
}

/// Adds some subjects up; what is left to do.
fn add_up(database: &mut dyn Database, roll: Roll) -> Result<Option<Roll>, StoreError> {
    let Roll { from, into, at, next } = roll;
    let last = count(database, "SELECT coalesce(max(id), 0) FROM subjects")? as i64;
    let end = next + SLICE;
    let times: Vec<String> =
        (at..at + into.seconds()).step_by(from.seconds() as usize).map(|at| at.to_string()).collect();
    let times = times.join(", ");
    let sums = Counts::COLUMNS.map(|column| match column {
        "work" => "sum(work)".to_owned(),
        "connections" => "max(connections)".to_owned(),
        column => format!("CAST(sum({column}) AS BIGINT)"),
    });
    let news = Counts::COLUMNS.map(|column| format!("{column} = excluded.{column}"));
    let series = format!(
        "INSERT INTO series (span, at, subject, {}) SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), subject, {} FROM series \
         WHERE span = $3 AND at IN ({times}) AND subject >= $4 AND subject < $5 GROUP BY subject \
         ON CONFLICT (span, at, subject) DO UPDATE SET {}",
        Counts::COLUMNS.join(", "),
        sums.join(", "),
        news.join(", "),
    );
    let rejects = format!(
        "INSERT INTO rejects (span, at, subject, reason, count) SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), subject, reason, \
         CAST(sum(count) AS BIGINT) FROM rejects WHERE span = $3 AND at IN ({times}) AND subject >= $4 AND subject < $5 \
         GROUP BY subject, reason ON CONFLICT (span, at, subject, reason) DO UPDATE SET count = excluded.count"
    );
    let values: [Value; 5] = [into.seconds().into(), at.into(), from.seconds().into(), next.into(), end.into()];
    transaction(database, |database| {
        database.execute(&series, &values)?;
        database.execute(&rejects, &values)?;
        if end > last {
            set(database, &format!("added_up_{}", into.label()), &(at + into.seconds()).to_string())?;
        }
        Ok(())
    })?;
    Ok((end <= last).then_some(Roll { next: end, ..roll }))
}

/// Drops the oldest of what is too old or too much; whether there was something.
fn drop_old(database: &mut dyn Database, config: &Config, now: i64) -> Result<bool, StoreError> {
    let kept = [(Span::Minute, config.keep_minutes), (Span::Hour, config.keep_hours), (Span::Day, config.keep_days)];
    for (span, age) in kept {
        let longer = if span == Span::Minute { Some(Span::Hour) } else { (span == Span::Hour).then_some(Span::Day) };
        let added_up = longer.map(|longer| rolled_until(database, longer)).transpose()?.unwrap_or(i64::MAX);
        let before = now.saturating_sub(i64::try_from(age.as_secs()).unwrap_or(i64::MAX)).min(added_up);
        if let Some(first) = first_of(database, span, 0)?
            && first < before
        {
            return drop_span(database, span, first).map(|()| true);
        }
    }
    let before =
        now.saturating_sub(i64::try_from(config.keep_records.as_secs()).unwrap_or(i64::MAX)).saturating_mul(1_000);
    if drop_records(database, before)? || drop_charts(database, (now - KEEP_CHARTS_S).saturating_mul(1_000))? {
        return Ok(true);
    }
    if !database.shrinks() || database.bytes()? <= config.max_bytes {
        return Ok(false);
    }
    for span in [Span::Minute, Span::Hour] {
        if let Some(first) = first_of(database, span, 0)? {
            return drop_span(database, span, first).map(|()| true);
        }
    }
    drop_records(database, i64::MAX)
}

fn drop_span(database: &mut dyn Database, span: Span, at: i64) -> Result<(), StoreError> {
    let values = [span.seconds().into(), at.into()];
    transaction(database, |database| {
        database.execute("DELETE FROM series WHERE span = $1 AND at = $2", &values)?;
        database.execute("DELETE FROM rejects WHERE span = $1 AND at = $2", &values)?;
        Ok(())
    })
}

fn drop_records(database: &mut dyn Database, before_ms: i64) -> Result<bool, StoreError> {
    let sql = "DELETE FROM records WHERE id IN (SELECT id FROM records WHERE at < $1 ORDER BY id LIMIT $2)";
    Ok(database.execute(sql, &[before_ms.into(), OLD_RECORDS.into()])? > 0)
}

fn drop_charts(database: &mut dyn Database, before_ms: i64) -> Result<bool, StoreError> {
    let sql = "DELETE FROM records WHERE id IN (SELECT id FROM records WHERE topic = $1 AND at < $2 ORDER BY at, id LIMIT $3)";
    Ok(database.execute(sql, &[Topic::Chart.label().into(), before_ms.into(), OLD_RECORDS.into()])? > 0)
}
