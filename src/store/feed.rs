//! What goes into the store, and when: counts at the end of each minute, what happened as soon as it is known.
//!
//! | from | as |
//! |---|---|
//! | the live table of workers | minutes of each worker that was connected or did something, and of their routes and groups |
//! | the books | minutes of pools and of the site |
//! | decisions | a record when a group or an AI block is to do something else, with the reason |
//! | signals | a record when one says something new, at most one a minute of each |
//! | receipts and events of the power side | as they come; receipts that were stored before are known by their key |
//!
//! Limit: of the power side's events as many as its snapshot shows; more of them between two looks are not seen.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{select, task::block_in_place, time::interval};
use tokio_util::sync::CancellationToken;

use super::{Counts, Queue, Record, Row, Subject, Topic};
use crate::{
    census::{MinuteOf, Workers},
    config::{Places, Pool},
    metrics::{Books, PoolBook, Totals},
    power::{
        PowerSide,
        control::{PastEvent, PowerSnapshot},
    },
    profit::{
        Action, Reading,
        task::{Signals, Snapshot, action_label},
    },
    reload::Reload,
    work::Reject,
};

/// How often it looks whether a minute has ended.
const LOOK: Duration = Duration::from_secs(1);

/// The name of all that is in no worker's counts.
pub const OTHERS: &str = "(others)";

/// Where it looks.
pub struct Sources {
    /// What there is: pools and routes by their places.
    pub reload: Reload,
    /// Who mines.
    pub workers: Workers,
    /// What pools say.
    pub books: Arc<Books>,
    /// What is decided.
    pub signals: Option<Signals>,
    /// What moves.
    pub power: PowerSide,
}

/// Feeds the store until `stop`, and with what was counted until then.
pub async fn run(sources: Sources, queue: Arc<Queue>, stop: CancellationToken) {
    let mut feed = Feed::new(&sources, Timestamp::now());
    let mut look = interval(LOOK);
    let mut snapshots = sources.signals.as_ref().map(Signals::subscribe);
    loop {
        let news = async {
            match &mut snapshots {
                Some(snapshots) => snapshots.changed().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        select! {
            () = stop.cancelled() => break,
            is_news = news => match (&mut snapshots, is_news) {
                (Some(newest), true) => {
                    let snapshot = newest.borrow_and_update().clone();
                    feed.hear(&snapshot, &queue);
                }
                _ => snapshots = None,
            },
            _ = look.tick() => feed.look(&sources, &queue, Timestamp::now()),
        }
    }
    feed.notice(&sources, &queue, Timestamp::now());
    feed.count(&sources, &queue, feed.minute);
}

/// What was stored last.
struct Feed {
    /// The minute that is being counted: its beginning, in seconds since 1970.
    minute: i64,
    totals: Totals,
    /// Since when groups do what they do, by name, and AI blocks have what they have.
    decisions: HashMap<Arc<str>, String>,
    /// What signals said, and when that was stored.
    signals: HashMap<Arc<str>, (String, Timestamp)>,
    newest_event: Option<PastEvent>,
    newest_receipt: Option<(Box<str>, u64)>,
}

fn minute_of(now: Timestamp) -> i64 {
    now.as_second().div_euclid(60) * 60
}

impl Feed {
    fn new(sources: &Sources, now: Timestamp) -> Self {
        Self {
            minute: minute_of(now),
            totals: sources.books.totals(),
            decisions: HashMap::new(),
            signals: HashMap::new(),
            newest_event: None,
            newest_receipt: None,
        }
    }

    /// What may have happened meanwhile.
    fn look(&mut self, sources: &Sources, queue: &Queue, now: Timestamp) {
        let minute = minute_of(now);
        // A clock that is set back counts on in the minute it had.
        if minute > self.minute {
            self.count(sources, queue, self.minute);
            self.minute = minute;
        }
        self.notice(sources, queue, now);
    }

    /// What has happened since it was looked at last.
    fn notice(&mut self, sources: &Sources, queue: &Queue, now: Timestamp) {
        if let Some(power) = sources.power.snapshot() {
            self.look_at_power(&power, queue);
        }
        let (changes, more) = sources.workers.write(|table| table.changes());
        for change in changes {
            let value = Some(f64::from(u8::from(change.is_online)));
            queue.put(record(now, Topic::Connection, change.worker, value, change.words));
        }
        if more > 0 {
            let words = format!("{more} more workers came or went");
            queue.put(record(now, Topic::Connection, OTHERS.into(), None, words));
        }
    }

    /// A minute is over. Where there is no room for it, all of it is counted on.
    fn count(&mut self, sources: &Sources, queue: &Queue, at: i64) {
        if !queue.has_room() {
            return;
        }
        // Of a large farm some tens of milliseconds.
        let (minutes, others) = block_in_place(|| sources.workers.write(|table| (table.minutes(), table.others())));
        let status = sources.reload.status();
        let places = &status.places;
        let mut rows = of_miners(places, at, &minutes);
        if !others.is_idle() {
            rows.push(row(at, Subject::Worker, OTHERS.into(), &others_of(others)));
        }
        let mut totals = sources.books.totals();
        // The books may know one more already: what it did is counted with its name, a minute later.
        totals.router.pools.truncate(places.config.pools.len());
        rows.extend(of_pools(places, at, &self.totals, &totals));
        rows.push(of_site(at, &self.totals, &totals));
        self.totals = totals;
        queue.put_rows(rows);
    }

    fn look_at_power(&mut self, snapshot: &PowerSnapshot, queue: &Queue) {
        let known = self.newest_event.as_ref();
        let new = snapshot.events.iter().take_while(|event| Some(*event) != known);
        let mut new: Vec<&PastEvent> = new.collect();
        new.reverse();
        for PastEvent { at, about, event } in new {
            let data = serde_json::json!({ "level": event.level, "kind": event.kind });
            let subject = about.clone().unwrap_or_else(|| "power".into());
            let of_event = record(*at, Topic::Event, subject, None, event.words.to_string());
            queue.put(Record { data: Some(data.to_string()), ..of_event });
        }
        if let Some(newest) = snapshot.events.first() {
            self.newest_event = Some(newest.clone());
        }
        let known = self.newest_receipt.clone();
        let is_known = |receipt: &crate::power::receipt::Receipt| {
            known.as_ref().is_some_and(|(group, event)| *group == receipt.group && *event == receipt.event)
        };
        let mut new: Vec<_> = snapshot.receipts.iter().take_while(|receipt| !is_known(receipt)).collect();
        new.reverse();
        for receipt in new {
            let words = format!("{}: {}; {}", receipt.kind.label(), receipt.outcome.in_words(), receipt.why);
            queue.put(Record {
                data: serde_json::to_string(receipt).ok(),
                key: Some(format!("{}/{}/{}", receipt.group, receipt.event, receipt.started)),
                ..record(receipt.ended, Topic::Receipt, (&*receipt.group).into(), None, words)
            });
        }
        if let Some(newest) = snapshot.receipts.first() {
            self.newest_receipt = Some((newest.group.clone(), newest.event));
        }
    }

    /// What was decided, and what signals say.
    fn hear(&mut self, snapshot: &Snapshot, queue: &Queue) {
        for signal in &snapshot.signals {
            let (value, words) = match signal.reading {
                Reading::Never => continue,
                Reading::Fresh { value, .. } => (Some(value), "fresh".to_owned()),
                Reading::Stale { value, observed_at } => (Some(value), format!("stale, its value is of {observed_at}")),
                Reading::Split { low, high } => (None, format!("its sources disagree: {low} to {high}")),
            };
            let said = format!("{value:?} {words}");
            let is_news = match self.signals.get(&signal.name) {
                None => true,
                Some((before, at)) => {
                    let is_same_kind = before.rsplit(' ').next() == said.rsplit(' ').next();
                    *before != said && (!is_same_kind || snapshot.at.duration_since(*at).as_secs() >= 60)
                }
            };
            if is_news {
                self.signals.insert(signal.name.clone(), (said, snapshot.at));
                queue.put(record(snapshot.at, Topic::Signal, signal.name.clone(), value, words));
            }
        }
        let Some(view) = &snapshot.decision else { return };
        let mode = view.mode.label();
        for (name, decision) in view.groups.iter().zip(&view.decisions.groups) {
            let state = format!("{} {:?} {mode}", action_label(decision.action), decision.since);
            if self.decisions.insert(name.clone(), state.clone()) != Some(state) {
                let data = serde_json::json!({
                    "action": action_label(decision.action), "mode": mode,
                    "mining_margin_per_mwh": decision.margins.mining.map(|margin| margin.get()),
                    "cost_per_mwh": decision.margins.cost.map(|cost| cost.get()),
                    "currency": snapshot.currency.code(),
                });
                let is_mining = Some(f64::from(u8::from(decision.action == Action::Mine)));
                queue.put(Record {
                    data: Some(data.to_string()),
                    ..record(view.decisions.at, Topic::Decision, name.clone(), is_mining, decision.reason.to_string())
                });
            }
        }
        for (name, decision) in view.ai.iter().zip(&view.decisions.ai) {
            let key: Arc<str> = format!("ai {name}").into();
            let words = decision.in_words();
            if decision.is_new || !self.decisions.contains_key(&key) {
                self.decisions.insert(key, String::new());
                let data = serde_json::json!({ "ai_kw": decision.watts.kilowatts(), "mode": mode });
                queue.put(Record {
                    data: Some(data.to_string()),
                    ..record(view.decisions.at, Topic::Decision, name.clone(), None, words)
                });
            }
        }
    }
}

fn record(at: Timestamp, topic: Topic, subject: Arc<str>, value: Option<f64>, words: String) -> Record {
    Record { at, topic, subject, value, words, data: None, key: None }
}

/// Counts, and rejects by [`Reject::index`].
#[derive(Default)]
struct Sum {
    counts: Counts,
    rejects: [u64; Reject::COUNT],
}

impl Sum {
    fn add(&mut self, minute: &crate::census::Minute) {
        self.counts.judge(&minute.shares);
        self.counts.forwarded += minute.forwarded;
        self.counts.accepted += minute.settled.accepted;
        self.counts.refused += minute.settled.rejected;
        self.counts.unanswered += minute.settled.lost;
        self.counts.connections += u64::from(minute.connections);
        for (sum, more) in self.rejects.iter_mut().zip(minute.shares.rejects) {
            *sum += u64::from(more);
        }
    }
}

fn others_of(minute: crate::census::Minute) -> Sum {
    let mut sum = Sum::default();
    sum.add(&minute);
    sum
}

fn row(at: i64, subject: Subject, name: Arc<str>, sum: &Sum) -> Row {
    let reasons = Reject::ALL.iter().zip(sum.rejects).filter(|(_, count)| *count > 0);
    Row {
        at,
        subject,
        name,
        counts: sum.counts,
        rejects: reasons.map(|(reject, count)| (reject.label(), count)).collect(),
    }
}

/// Workers, and what those of a route or a group are together. Routes that the config has no more, while somebody is on them.
fn of_miners(places: &Places, at: i64, minutes: &[MinuteOf]) -> Vec<Row> {
    let config = &places.config;
    let mut rows = Vec::with_capacity(minutes.len() + config.routes.len());
    let mut routes: Vec<Sum> = config.routes.iter().map(|_| Sum::default()).collect();
    let mut groups: HashMap<&Arc<str>, Sum> = HashMap::new();
    for MinuteOf { worker, group, route, minute } in minutes {
        let mut sum = Sum::default();
        sum.add(minute);
        rows.push(row(at, Subject::Worker, worker.clone(), &sum));
        if let Some(route) = route.and_then(|route| routes.get_mut(route)) {
            route.add(minute);
        }
        if let Some(group) = group {
            groups.entry(group).or_default().add(minute);
        }
    }
    let routes = config.routes.iter().zip(&routes).enumerate();
    let known = routes.filter(|(place, (_, sum))| places.routes.contains(place) || sum.counts != Counts::default());
    rows.extend(known.map(|(_, (route, sum))| row(at, Subject::Route, route.name.clone(), sum)));
    rows.extend(groups.into_iter().map(|(group, sum)| row(at, Subject::Group, group.clone(), &sum)));
    rows
}

/// What pools said, against what went to them. Pools that the config has no more, while they say something. What was not there before
/// had said nothing.
fn of_pools(places: &Places, at: i64, before: &Totals, now: &Totals) -> Vec<Row> {
    let new = PoolBook::default();
    let before = before.router.pools.iter().chain(std::iter::repeat(&new));
    let pools = before.zip(&now.router.pools).zip(&places.config.pools).enumerate();
    let row = |(place, ((before, now), pool)): (usize, ((&PoolBook, &PoolBook), &Pool))| {
        let reasons = now
            .rejected
            .iter()
            .map(|(reason, count)| (*reason, count - before.rejected.get(reason).copied().unwrap_or_default()));
        let rejects: Box<[_]> = reasons.filter(|(_, count)| *count > 0).collect();
        let rejected = rejects.iter().map(|(_, count)| count).sum();
        let stale = now.stale_to_both - before.stale_to_both;
        let accepted = now.accepted - before.accepted;
        let counts = Counts {
            found: accepted,
            work: now.accepted_difficulty - before.accepted_difficulty,
            stale,
            rejected,
            forwarded: now.settled() - before.settled(),
            accepted,
            refused: rejected + stale,
            unanswered: now.unanswered - before.unanswered,
            lost: now.lost_unsettled - before.lost_unsettled,
            connections: now.connections as u64,
        };
        let is_shown = places.pools.contains(&place) || counts != Counts::default();
        is_shown.then(|| Row { at, subject: Subject::Pool, name: pool.name.clone(), counts, rejects })
    };
    pools.filter_map(row).collect()
}

/// All miners, and all pools.
fn of_site(at: i64, before: &Totals, now: &Totals) -> Row {
    let of = |label: &str| now.rejected_for(label) - before.rejected_for(label);
    let stale = of(Reject::Stale.label());
    let pools = |what: fn(&PoolBook) -> u64| {
        let sum = |totals: &Totals| totals.router.pools.iter().map(what).sum::<u64>();
        sum(now) - sum(before)
    };
    let accepted = pools(|pool| pool.accepted);
    let (unanswered, lost) = (pools(|pool| pool.unanswered), pools(|pool| pool.lost_unsettled));
    let counts = Counts {
        found: now.accepted - before.accepted,
        work: now.accepted_difficulty - before.accepted_difficulty,
        stale,
        rejected: now.rejected_total() - before.rejected_total() - stale,
        forwarded: now.forwarded - before.forwarded,
        accepted,
        refused: pools(PoolBook::settled) - accepted - unanswered - lost,
        unanswered,
        lost,
        connections: now.connections,
    };
    let reasons = Reject::ALL.iter().map(|reject| (reject.label(), of(reject.label())));
    Row {
        at,
        subject: Subject::Site,
        name: "".into(),
        counts,
        rejects: reasons.filter(|(_, count)| *count > 0).collect(),
    }
}
