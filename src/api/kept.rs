//! What the store has: older charts, older decisions, one worker's past.
//!
//! | asked for | this run of the proxy | before it, and where it has nothing |
//! |---|---|---|
//! | charts of hashrate | `watch/series.rs`, every ten seconds for a day | the store's minutes, hours, days |
//! | charts of power and prices | the same | a day of minutes, read from the store once at the start (`watch/earlier.rs`) |
//! | decisions | `watch/mod.rs`, with what was before | the store's records |
//! | one worker's past | | the store's minutes, hours, days |
//!
//! Without a store, or while it can't be read, the answer has what there is and says so in a `note`.
//!
//! Limits: those of the store; [`MAX_LINES`] lines of a chart are asked of it.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::{
    Api,
    query::Steps,
    status::TERA,
    wire::{DecisionRow, EventLine, EventWord, Line, ModeWord, WorkerPage, WorkerPoint},
};
use crate::{
    config::Mode,
    power::site::Level,
    store::{Counts, Cursor, During, MAX_POINTS, Point, RecordQuery, Span, Store, StoreError, Stored, Subject, Topic},
    work::HASHES_PER_DIFFICULTY,
};

/// Lines of a chart that the store is asked for: a question each.
const MAX_LINES: usize = 64;

/// Comings and goings of one worker that its page has.
const CONNECTIONS: usize = 50;

/// What there is without a store.
const NO_STORE: &str = "the config has no store: there is only what this run of the proxy has seen";

impl Steps {
    /// The longest span of the store that fits into a step, or the shortest there is.
    fn span(&self) -> Span {
        let fits = |span: &Span| span.seconds() <= self.step && self.step % span.seconds() == 0;
        Span::ALL.into_iter().rev().find(fits).unwrap_or(Span::Minute)
    }

    /// From the first step to the end of the last.
    fn during(&self) -> During {
        let end = self.begin.saturating_add(self.step.saturating_mul(self.count as i64));
        let time = |second: i64| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        During { from: time(self.begin), to: time(end) }
    }

    /// The same with steps of a minute at least, and as many as the store gives in one answer.
    fn of_store(self) -> Self {
        let step = self.step.max(60);
        let begin = self.begin.div_euclid(step) * step;
        let end = self.begin + self.step * self.count as i64;
        let count = usize::try_from((end - begin + step - 1).div_euclid(step)).unwrap_or_default();
        Self { begin, count, step }
    }

    /// Which step a time is in.
    fn place(&self, at: Timestamp) -> Option<usize> {
        let place = usize::try_from((at.as_second() - self.begin).div_euclid(self.step)).ok()?;
        (place < self.count).then_some(place)
    }
}

impl Api {
    /// One worker's past. What it is now is left out.
    pub(super) async fn past(&self, name: &str, steps: &Steps) -> WorkerPage {
        let steps = steps.of_store();
        let mut page = WorkerPage {
            worker: None,
            step_s: steps.step.unsigned_abs(),
            history: Vec::new(),
            rejected_by_reason: BTreeMap::new(),
            events: Vec::new(),
            note: None,
        };
        let Some(store) = &self.store else {
            page.note = Some(NO_STORE.to_owned());
            return page;
        };
        if let Err(error) = read_worker(store, name, &steps, &mut page).await {
            page.note = Some(error.to_string());
        }
        page
    }

    /// Fills in what a chart of hashrate lacks, from the store. Yields why a part is missing, if one is.
    pub(super) async fn fill(&self, lines: &mut [Line], steps: &Steps) -> Option<String> {
        let begins = self.watched.begins().unwrap_or(i64::MAX);
        if begins <= steps.begin || steps.step < Span::Minute.seconds() {
            return None;
        }
        let Some(store) = &self.store else { return Some(NO_STORE.to_owned()) };
        for line in lines.iter_mut().take(MAX_LINES) {
            let (subject, name) = match line.key.split_once(':') {
                Some(("route", name)) => (Subject::Route, name),
                Some(("pool", name)) => (Subject::Pool, name),
                Some(("group", name)) => (Subject::Group, name),
                _ => (Subject::Site, ""),
            };
            match read(store, subject, name, steps).await {
                Ok(points) => {
                    for (place, value) in line.values.iter_mut().enumerate() {
                        // Of the step in which this run began, it has seen a part only.
                        let is_whole = steps.begin + steps.step * place as i64 >= begins;
                        if let Some(counts) = points.get(&place).filter(|_| value.is_none() || !is_whole) {
                            *value = Some(ths(counts, steps.step));
                        }
                    }
                }
                Err(error) => return Some(error.to_string()),
            }
        }
        (lines.len() > MAX_LINES).then(|| format!("of lines beyond {MAX_LINES} there is only what this run has seen"))
    }

    /// Decisions before a place, the newest first, and where they go on. A place is `r` and a number in this run, or `s` and the store's.
    pub(super) async fn decided(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<(Vec<DecisionRow>, Option<String>, Option<String>), String> {
        let wrong = |text: &str| format!("{text:?} is no place among decisions: send the `next` of a page");
        let in_store = match after {
            Some(text) if text.starts_with('s') => Some(text[1..].parse().map_err(|_| wrong(text))?),
            _ => None,
        };
        let mut rows = Vec::new();
        let mut from = in_store;
        if in_store.is_none() {
            let number =
                after.map(|text| text.strip_prefix('r').and_then(|n| n.parse().ok()).ok_or_else(|| wrong(text)));
            let held = self.watched.decisions(number.transpose()?, limit + 1);
            let is_full = held.len() > limit;
            let next = held.get(limit.wrapping_sub(1)).map(|(number, _)| format!("r{number}"));
            rows.extend(held.into_iter().take(limit).map(|(_, row)| row));
            if is_full {
                return Ok((rows, next, None));
            }
            // What is older than all that is held: of an earlier run, unless this one has decided more than is held.
            let since = self.watched.decided_since().unwrap_or(self.started);
            from = Some(Cursor { at_ms: since.as_millisecond(), id: 0 });
        }
        let Some(store) = &self.store else { return Ok((rows, None, Some(NO_STORE.to_owned()))) };
        if rows.len() >= limit {
            return Ok((rows, from.map(|cursor| format!("s{cursor}")), None));
        }
        let query = RecordQuery {
            topics: vec![Topic::Decision],
            after: from,
            limit: limit - rows.len(),
            ..RecordQuery::default()
        };
        match store.reader.records(query).await {
            Ok(page) => {
                rows.extend(page.records.iter().map(decision));
                Ok((rows, page.next.map(|cursor| format!("s{cursor}")), None))
            }
            Err(error) => Ok((rows, None, Some(error.to_string()))),
        }
    }
}

async fn read_worker(store: &Store, name: &str, steps: &Steps, page: &mut WorkerPage) -> Result<(), StoreError> {
    let points = read(store, Subject::Worker, name, steps).await?;
    let mut places: Vec<(usize, Counts)> = points.into_iter().collect();
    places.sort_unstable_by_key(|(place, _)| *place);
    let point = |(place, counts): (usize, Counts)| {
        let at = Timestamp::from_second(steps.begin + steps.step * place as i64).unwrap_or(Timestamp::MAX);
        worker_point(at, &counts, steps.step)
    };
    page.history = places.into_iter().map(point).collect();
    let rejects = store.reader.rejects(Subject::Worker, name, steps.span(), steps.during()).await?;
    page.rejected_by_reason = rejects.into_iter().map(|rejects| (rejects.reason, rejects.count)).collect();
    let query = RecordQuery {
        topics: vec![Topic::Connection],
        subject: Some(name.to_owned()),
        limit: CONNECTIONS,
        ..RecordQuery::default()
    };
    page.events = store.reader.records(query).await?.records.iter().map(connection).collect();
    Ok(())
}

/// What one subject did, by step.
async fn read(
    store: &Store,
    subject: Subject,
    name: &str,
    steps: &Steps,
) -> Result<HashMap<usize, Counts>, StoreError> {
    let points = store.reader.series(subject, name, steps.span(), steps.during(), MAX_POINTS).await?;
    let mut by_step: HashMap<usize, Counts> = HashMap::new();
    for Point { at, counts } in points {
        let Some(place) = steps.place(at) else { continue };
        let sum = by_step.entry(place).or_default();
        let connections = sum.connections.max(counts.connections);
        sum.add(&counts);
        sum.connections = connections;
    }
    Ok(by_step)
}

fn ths(counts: &Counts, step: i64) -> f64 {
    counts.work * HASHES_PER_DIFFICULTY / step as f64 / TERA
}

fn worker_point(at: Timestamp, counts: &Counts, step: i64) -> WorkerPoint {
    WorkerPoint {
        at,
        hashrate_ths: ths(counts, step),
        accepted: counts.found,
        accepted_difficulty: counts.work,
        stale: counts.stale,
        rejected: counts.rejected,
        forwarded: counts.forwarded,
        pool_accepted: counts.accepted,
        pool_rejected: counts.refused,
        pool_lost: counts.unanswered + counts.lost,
        connections: counts.connections,
    }
}

fn connection(stored: &Stored) -> EventLine {
    let record = &stored.record;
    EventLine {
        id: stored.cursor.to_string(),
        at: record.at,
        level: Level::Info,
        kind: EventWord::Connection,
        about: Some(record.subject.to_string()),
        words: record.words.clone(),
    }
}

/// A decision as the store has it. What was kept of an AI block by versions before this one has no figures.
fn decision(stored: &Stored) -> DecisionRow {
    let record = &stored.record;
    let data = record.data.as_deref().and_then(|data| serde_json::from_str::<serde_json::Value>(data).ok());
    let text = |key: &str| data.as_ref().and_then(|data| data[key].as_str()).map(str::to_owned);
    let mode = text("mode").and_then(|mode| Mode::ALL.into_iter().find(|known| known.label() == mode));
    let name = Some(record.subject.to_string());
    let action = text("action");
    let is_group = action.is_some();
    DecisionRow {
        at: record.at,
        mode: mode.map(ModeWord::from),
        group: name.clone().filter(|_| is_group),
        ai: name.filter(|_| !is_group),
        before: None,
        action,
        ai_kw: data.as_ref().and_then(|data| data["ai_kw"].as_f64()),
        reason: record.words.clone(),
    }
}
