//! A store of an older program is brought up to date, one of a newer is left alone.

use hashgate::store::{During, RecordQuery, Span, Subject, VERSION};
use jiff::{SignedDuration, Timestamp};

use crate::world::*;

/// The first layout, as it was written, with something in it. `{id}` and `{end}` are what the databases say differently.
const FIRST: &str = "
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE subjects (id {id}, kind TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (kind, name));
    CREATE TABLE series (
        span BIGINT NOT NULL, at BIGINT NOT NULL, subject BIGINT NOT NULL, found BIGINT NOT NULL, work DOUBLE PRECISION NOT NULL,
        stale BIGINT NOT NULL, rejected BIGINT NOT NULL, forwarded BIGINT NOT NULL, accepted BIGINT NOT NULL, refused BIGINT NOT NULL,
        unanswered BIGINT NOT NULL, lost BIGINT NOT NULL, connections BIGINT NOT NULL, PRIMARY KEY (span, at, subject)
    ) {end};
    CREATE TABLE rejects (
        span BIGINT NOT NULL, at BIGINT NOT NULL, subject BIGINT NOT NULL, reason TEXT NOT NULL, count BIGINT NOT NULL,
        PRIMARY KEY (span, at, subject, reason)
    ) {end};
    CREATE TABLE records (
        id {id}, at BIGINT NOT NULL, topic TEXT NOT NULL, subject TEXT NOT NULL, value DOUBLE PRECISION, words TEXT NOT NULL, data TEXT
    );
    CREATE INDEX records_by_topic ON records (topic, at, id);
    INSERT INTO meta VALUES ('version', '1');
    INSERT INTO subjects (kind, name) VALUES ('worker', 'old.1');
    INSERT INTO series SELECT 60, {at}, id, 42, 1.5, 0, 0, 0, 0, 0, 0, 0, 1 FROM subjects;
    INSERT INTO records (at, topic, subject, words) VALUES (CAST({at} AS BIGINT) * 1000, 'decision', 'hall', 'because');
";

fn script(place: &Place, sql: &str) {
    match &place.server {
        None => rusqlite::Connection::open(place.path()).unwrap().execute_batch(sql).unwrap(),
        Some(_) => {
            let (url, sql) = (place.url().to_owned(), sql.to_owned());
            apart(move || postgres::Client::connect(&url, postgres::NoTls).unwrap().batch_execute(&sql).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_store_is_brought_up_to_date_with_all_that_is_in_it() {
    for place in Place::all() {
        let (id, end) = match place.server {
            None => ("INTEGER PRIMARY KEY", "WITHOUT ROWID"),
            Some(_) => ("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", ""),
        };
        let at = minute(SignedDuration::from_mins(5));
        script(&place, &FIRST.replace("{id}", id).replace("{end}", end).replace("{at}", &at.to_string()));
        // A reader brings nothing up to date, and says what does.
        let reader = hashgate::store::Reader::new(&place.config(""));
        let during = During { from: Timestamp::from_second(at).unwrap(), to: Timestamp::now() };
        let refused = reader.series(Subject::Worker, "old.1", Span::Minute, during, 9).await.unwrap_err();
        assert!(refused.to_string().contains("start the proxy once"), "{refused}");

        let open = place.open("");
        open.queue.put_rows(vec![row(at, Subject::Worker, "old.1", 8)]);
        open.close();
        let series = reader.series(Subject::Worker, "old.1", Span::Minute, during, 9).await.unwrap();
        assert_eq!(series.iter().map(|point| point.counts.found).collect::<Vec<_>>(), [50]);
        let records = reader.records(RecordQuery { limit: 9, ..RecordQuery::default() }).await.unwrap().records;
        assert_eq!((records.len(), &*records[0].record.words, &records[0].record.key), (1, "because", &None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_store_is_refused_in_words_and_left_as_it_is() {
    for place in Place::all() {
        place.open("").close();
        script(&place, &format!("UPDATE meta SET value = '{}' WHERE name = 'version'", VERSION + 1));
        let refused = hashgate::store::start(&place.config("")).map(|_| ()).unwrap_err();
        let wanted = format!("the store has layout {}, this program knows up to {VERSION}", VERSION + 1);
        assert!(refused.is_fatal() && refused.to_string().contains(&wanted), "{refused}");
        let reader = hashgate::store::Reader::new(&place.config(""));
        let during = During { from: Timestamp::now() - SignedDuration::from_hours(1), to: Timestamp::now() };
        assert!(reader.series(Subject::Site, "", Span::Minute, during, 9).await.unwrap_err().is_fatal());
    }
}
