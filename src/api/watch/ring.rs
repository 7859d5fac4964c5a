//! The last events, and who waits for the next.
//!
//! Each has an id of its own: the run of the proxy and a number, so that a reader of an earlier run is told that it missed something
//! instead of being given another run's events.
//!
//! Limits: [`MAX_EVENTS`] are held; the oldest goes for the newest, and a reader that comes too late is told how many it missed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::watch;

use crate::{
    api::wire::{EventLine, EventWord},
    power::site::Level,
};

/// Events that are held: some hours of a site where something happens every few seconds.
pub const MAX_EVENTS: usize = 4_096;

/// Bytes of an event's words: what pools and firmware say may be long.
const MAX_WORDS: usize = 1_024;

/// The events of one run.
pub struct Events {
    run: i64,
    ring: Mutex<Ring>,
    head: watch::Sender<u64>,
}

#[derive(Default)]
struct Ring {
    /// The number of the next one.
    next: u64,
    held: VecDeque<Arc<EventLine>>,
}

/// What happened.
pub struct News {
    /// How loudly.
    pub level: Level,
    /// What kind.
    pub kind: EventWord,
    /// What it is about.
    pub about: Option<String>,
    /// What, where, why, what next.
    pub words: String,
}

/// What a reader gets.
pub struct Batch {
    /// Events that it does not get any more.
    pub missed: u64,
    /// In the order in which they happened.
    pub events: Vec<Arc<EventLine>>,
    /// The number to go on with.
    pub next: u64,
}

/// Where a reader wants to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// With what comes from now on.
    Now,
    /// With this number.
    Number(u64),
    /// With the oldest there is: what it knows is of another run.
    OtherRun,
}

impl Events {
    /// Those of a run that begins now.
    pub fn new(now: Timestamp) -> Self {
        Self { run: now.as_second(), ring: Mutex::default(), head: watch::channel(0).0 }
    }

    /// Adds one.
    pub fn tell(&self, at: Timestamp, news: News) {
        let mut ring = self.ring();
        let News { level, kind, about, mut words } = news;
        if words.len() > MAX_WORDS {
            let end = (0..=MAX_WORDS).rev().find(|end| words.is_char_boundary(*end));
            words.truncate(end.unwrap_or_default());
            words.push('…');
        }
        let id = format!("{}-{}", self.run, ring.next);
        ring.held.push_back(Arc::new(EventLine { id, at, level, kind, about, words }));
        if ring.held.len() > MAX_EVENTS {
            ring.held.pop_front();
        }
        ring.next += 1;
        let next = ring.next;
        drop(ring);
        self.head.send_replace(next);
    }

    /// Where a reader goes on that saw this id last.
    pub fn since(&self, last: &str) -> Since {
        let parts = last
            .split_once('-')
            .and_then(|(run, number)| Some((run.parse::<i64>().ok()?, number.parse::<u64>().ok()?)));
        match parts {
            Some((run, number)) if run == self.run && number < self.ring().next => Since::Number(number + 1),
            _ => Since::OtherRun,
        }
    }

    /// Up to `most` events from there on.
    pub fn read(&self, since: Since, most: usize) -> Batch {
        let ring = self.ring();
        let oldest = ring.next - ring.held.len() as u64;
        let (wanted, missed) = match since {
            Since::Now => (ring.next, 0),
            Since::OtherRun => (oldest, 0),
            Since::Number(number) => (number.max(oldest), oldest.saturating_sub(number)),
        };
        let skip = usize::try_from(wanted - oldest).unwrap_or(usize::MAX);
        let events: Vec<Arc<EventLine>> = ring.held.iter().skip(skip).take(most).cloned().collect();
        Batch { missed, next: wanted + events.len() as u64, events }
    }

    /// The newest that pass, the newest first; and the id of the newest of all.
    pub fn newest(&self, most: usize, passes: impl Fn(&EventLine) -> bool) -> (Vec<EventLine>, Option<String>) {
        let ring = self.ring();
        let shown = ring.held.iter().rev().filter(|event| passes(event)).take(most);
        (shown.map(|event| (**event).clone()).collect(), ring.held.back().map(|event| event.id.clone()))
    }

    /// Tells when there are more.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(events: &Events, words: &str) {
        let news = News { level: Level::Info, kind: EventWord::Other, about: None, words: words.to_owned() };
        events.tell(Timestamp::UNIX_EPOCH, news);
    }

    fn words(batch: &Batch) -> Vec<&str> {
        batch.events.iter().map(|event| &*event.words).collect()
    }

    #[test]
    fn a_reader_goes_on_where_it_was() {
        let events = Events::new(Timestamp::UNIX_EPOCH);
        for number in 0..5 {
            tell(&events, &number.to_string());
        }
        assert_eq!(events.since("0-2"), Since::Number(3));
        let batch = events.read(Since::Number(3), 10);
        assert_eq!((words(&batch), batch.missed, batch.next), (vec!["3", "4"], 0, 5));
        assert_eq!(words(&events.read(Since::Number(1), 2)), ["1", "2"]);
        assert_eq!(words(&events.read(Since::Now, 10)), Vec::<&str>::new());
        let (newest, last) = events.newest(2, |event| event.words != "3");
        assert_eq!(newest.iter().map(|event| &*event.words).collect::<Vec<_>>(), ["4", "2"]);
        assert_eq!(last.as_deref(), Some("0-4"));
    }

    #[test]
    fn who_comes_too_late_is_told_how_many_it_missed() {
        let events = Events::new(Timestamp::UNIX_EPOCH);
        for number in 0..MAX_EVENTS + 7 {
            tell(&events, &number.to_string());
        }
        let batch = events.read(Since::Number(3), 1);
        assert_eq!((words(&batch), batch.missed), (vec!["7"], 4));
        assert_eq!(events.ring().held.len(), MAX_EVENTS);
    }

    #[test]
    fn an_id_of_another_run_or_none_begins_with_the_oldest() {
        let events = Events::new(Timestamp::from_second(1_000).unwrap());
        tell(&events, "a");
        for id in ["999-0", "1000-1", "1000-", "-", "x", "", "99999999999999999999-1"] {
            assert_eq!(events.since(id), Since::OtherRun, "{id}");
        }
        assert_eq!(words(&events.read(Since::OtherRun, 10)), ["a"]);
    }

    #[test]
    fn what_others_say_is_not_held_at_any_length() {
        let events = Events::new(Timestamp::UNIX_EPOCH);
        tell(&events, &"ü".repeat(100_000));
        assert!(events.newest(1, |_| true).0[0].words.len() <= MAX_WORDS + "…".len());
    }
}
