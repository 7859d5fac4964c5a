//! A database that is locked, away or not there yet: what comes waits, within its bounds, and is there when the database is.

use hashgate::store::{During, MAX_WAITING_RECORDS, MAX_WAITING_ROWS, RecordQuery, Span, Subject, Topic};
use jiff::{SignedDuration, Timestamp};

use crate::world::*;

async fn found(open: &Open) -> Option<u64> {
    let during = During { from: Timestamp::now() - SignedDuration::from_hours(1), to: Timestamp::now() };
    let points = open.store.reader.series(Subject::Site, "", Span::Minute, during, 100).await.ok()?;
    Some(points.iter().map(|point| point.counts.found).sum())
}

/// What comes while it is away is there when it is back, once; and that it was away is told.
async fn survives(open: Open, comes_back: impl FnOnce()) {
    open.queue.put_rows(vec![row(minute(SignedDuration::from_mins(3)), Subject::Site, "", 20)]);
    eventually("it says so", async || open.store.status().trouble).await;
    open.queue.put_rows(vec![row(minute(SignedDuration::from_mins(2)), Subject::Site, "", 300)]);
    let away = open.store.status();
    assert!(away.waiting_rows >= 1 && away.failures >= 1, "{away:?}");
    let oldest = away.oldest.expect("something waits");
    comes_back();
    eventually("all is written", async || (found(&open).await == Some(321)).then_some(())).await;
    let status = open.store.status();
    assert_eq!((status.trouble, status.since, status.dropped, status.merged), (None, None, 0, 0));
    assert!(status.batches >= 1 && status.written_at > Some(oldest), "it was behind until now");
    eventually("that is told", async || {
        let query = RecordQuery { topics: vec![Topic::Event], limit: 9, ..RecordQuery::default() };
        let records = open.store.reader.records(query).await.ok()?.records;
        records.iter().any(|stored| stored.record.words.starts_with("nothing could be written")).then_some(())
    })
    .await;
    // Nothing is behind any more.
    eventually("nothing waits", async || open.store.status().oldest.is_none().then_some(())).await;
    let status = open.store.status();
    assert_eq!((status.waiting_rows, status.waiting_records), (0, 0));
    assert!(status.written_records >= 1 && status.written > status.written_records, "{status:?}");
    open.close();
}

async fn begun(place: &Place) -> Open {
    let open = place.open("");
    open.queue.put_rows(vec![row(minute(SignedDuration::from_mins(4)), Subject::Site, "", 1)]);
    eventually("it is written", async || (found(&open).await == Some(1)).then_some(())).await;
    open
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_file_is_waited_for() {
    let place = Place::file();
    let open = begun(&place).await;
    let other = rusqlite::Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    survives(open, move || other.execute_batch("ROLLBACK").unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_can_not_be_made_is_tried_again() {
    let mut place = Place::file();
    let folder = place.folder.path().join("later");
    place.lines = format!("path = {:?}\n", folder.join("store.db"));
    let open = place.open("");
    assert!(open.store.status().trouble.is_some(), "the proxy starts all the same");
    open.queue.put_rows(vec![row(minute(SignedDuration::from_mins(4)), Subject::Site, "", 1)]);
    survives(open, || std::fs::create_dir(&folder).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_went_is_waited_for() {
    let Some(place) = apart(|| Place::postgres(Server::begin().map(std::sync::Arc::new))) else { return };
    let server = place.server.clone().unwrap();
    let open = begun(&place).await;
    server.stop();
    survives(open, || apart(move || server.start())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_bounded_and_what_has_no_room_is_counted() {
    let mut place = Place::file();
    let folder = place.folder.path().join("later");
    place.lines = format!("path = {:?}\n", folder.join("store.db"));
    let open = place.open("");
    let now = Timestamp::now();
    let at = minute(SignedDuration::from_mins(2));
    // The writer has taken these.
    open.queue.put_rows(vec![row(at, Subject::Site, "", 1)]);
    // The first failure is the start's.
    eventually("they are in hand", async || (open.store.status().failures >= 2).then_some(())).await;
    for n in 0..MAX_WAITING_RECORDS + 50 {
        open.queue.put(record(now, Topic::Connection, "w", &n.to_string()));
    }
    let status = open.store.status();
    assert_eq!((status.dropped, status.waiting_records, status.waiting_rows), (50, MAX_WAITING_RECORDS, 1));
    while open.queue.has_room() {
        open.queue.put_rows((0..50_000).map(|n| row(at, Subject::Worker, &n.to_string(), 1)).collect());
        assert!(open.store.status().waiting_rows <= MAX_WAITING_ROWS + 50_000);
    }
    assert_eq!(open.store.status().merged, 1, "its counts go into a later minute");
    // The end waits for a moment, and says what is lost.
    let began = std::time::Instant::now();
    open.close();
    assert!(began.elapsed() < LIMIT / 3, "{:?}", began.elapsed());
}
