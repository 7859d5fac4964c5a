//! What went in is there, page by page, and grows old as the config says.

use hashgate::store::{During, RecordQuery, Span, Subject, Topic};
use jiff::{SignedDuration, Timestamp};

use crate::world::*;

fn last_hours(hours: i64) -> During {
    let now = Timestamp::now();
    During { from: now - SignedDuration::from_hours(hours), to: now }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_in_is_read_back() {
    for place in Place::all() {
        let open = place.open("");
        let minutes = [10, 9, 8].map(|ago| minute(SignedDuration::from_mins(ago)));
        for at in minutes {
            let mut rows: Vec<_> = (0..600).map(|n| row(at, Subject::Worker, &format!("farm.{n:03}"), n)).collect();
            rows.push(row(at, Subject::Pool, "farm.001", 7));
            rows.push(row(at, Subject::Site, "", 8));
            // What comes later in the same minute counts as well; a name may be anything but a trick.
            rows.push(row(at, Subject::Worker, "farm.001", 10));
            rows.push(row(at, Subject::Worker, "'; DROP TABLE series; --\0\u{1f980}", 3));
            open.queue.put_rows(rows);
        }
        open.close();

        let open = place.open("");
        let reader = &open.store.reader;
        let series = async |subject, name: &str, limit| {
            reader.series(subject, name, Span::Minute, last_hours(1), limit).await.unwrap()
        };
        let points = series(Subject::Worker, "farm.001", 100).await;
        assert_eq!(points.iter().map(|point| point.at.as_second()).collect::<Vec<_>>(), minutes);
        let counts = points[0].counts;
        assert_eq!((counts.found, counts.work, counts.stale, counts.connections), (11, 11_000.0, 2, 2));
        let until = During { to: Timestamp::from_second(minutes[2] + 60).unwrap(), ..last_hours(1) };
        let newest = reader.series(Subject::Worker, "farm.001", Span::Minute, until, 2).await.unwrap();
        assert_eq!(newest.iter().map(|point| point.at.as_second()).collect::<Vec<_>>(), minutes[1..], "the newest");
        assert_eq!(series(Subject::Pool, "farm.001", 99).await[0].counts.found, 7, "a pool is no worker of its name");
        assert_eq!(series(Subject::Site, "", 99).await.len(), 3);
        assert_eq!(series(Subject::Worker, "nobody", 99).await.len(), 0);
        let trick = "'; DROP TABLE series; --\u{fffd}\u{1f980}";
        assert_eq!(series(Subject::Worker, trick, 99).await.len(), 3);
        let rejects = reader.rejects(Subject::Worker, "farm.001", Span::Minute, last_hours(1)).await.unwrap();
        assert_eq!(rejects.iter().map(|reject| (&*reject.reason, reject.count)).collect::<Vec<_>>(), [("stale", 6)]);

        // All workers, in pages that meet.
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = reader.all(Subject::Worker, Span::Minute, last_hours(1), after.take(), 500).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some((last.point.at, last.name.clone()));
            all.extend(page);
        }
        assert_eq!(all.len(), 3 * 601);
        all.dedup_by(|a, b| (a.point.at, &a.name) == (b.point.at, &b.name));
        assert_eq!(all.len(), 3 * 601, "none twice");
        open.close();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_come_newest_first_in_pages_that_meet_and_a_key_comes_once() {
    for place in Place::all() {
        let open = place.open("");
        let now = Timestamp::now();
        for n in 0..25 {
            // Several at one moment.
            let at = now - SignedDuration::from_secs(n / 4);
            open.queue.put(record(at, Topic::Decision, if n % 2 == 0 { "a" } else { "b" }, &format!("{n}")));
        }
        for _ in 0..2 {
            let receipt = record(now, Topic::Receipt, "a", "drain: done");
            open.queue.put(hashgate::store::Record {
                key: Some("a/1".to_owned()),
                data: Some("{\"v\":1}".to_owned()),
                value: Some(0.5),
                ..receipt
            });
        }
        open.close();
        let open = place.open("");
        let page = async |query: RecordQuery| open.store.reader.records(query).await.unwrap();
        let decisions = RecordQuery { topics: vec![Topic::Decision], limit: 7, ..RecordQuery::default() };
        let (mut words, mut query) = (Vec::new(), decisions.clone());
        loop {
            let found = page(query.clone()).await;
            assert!(found.records.len() <= 7);
            assert!(found.records.is_sorted_by(|a, b| a.cursor > b.cursor), "newest first");
            words.extend(found.records.iter().map(|stored| stored.record.words.clone()));
            match found.next {
                // As it goes through a link.
                Some(next) => query.after = Some(next.to_string().parse().unwrap()),
                None => break,
            }
        }
        words.sort_by_key(|word| word.parse::<u32>().unwrap());
        assert_eq!(words, (0..25).map(|n| n.to_string()).collect::<Vec<_>>());
        let of_a = page(RecordQuery { subject: Some("a".to_owned()), limit: 100, ..decisions.clone() }).await;
        assert_eq!(of_a.records.len(), 13);
        let during = Some(During { from: now - SignedDuration::from_secs(1), to: now });
        assert_eq!(
            page(RecordQuery { during, limit: 100, ..decisions }).await.records.len(),
            4,
            "the end is not in it"
        );
        let receipts = page(RecordQuery { topics: vec![Topic::Receipt], limit: 9, ..RecordQuery::default() }).await;
        let [receipt] = &receipts.records[..] else { panic!("{receipts:?}") };
        assert_eq!((receipt.record.data.as_deref(), receipt.record.value), (Some("{\"v\":1}"), Some(0.5)));
        assert_eq!(receipt.record.at.as_millisecond(), now.as_millisecond());
        open.close();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn minutes_become_hours_and_days_and_the_old_go() {
    for place in Place::all() {
        let open = place.open("");
        // Two whole hours of the day before yesterday.
        let start = minute(SignedDuration::from_hours(48)).div_euclid(86_400) * 86_400 + 7_200;
        for n in 0..120 {
            let at = start + 60 * n;
            open.queue.put_rows(vec![row(at, Subject::Worker, "w", 1), row(at, Subject::Worker, "v", 2)]);
        }
        open.queue.put_rows(vec![row(minute(SignedDuration::from_mins(1)), Subject::Worker, "w", 5)]);
        let old = Timestamp::now() - SignedDuration::from_hours(24 * 3);
        open.queue.put(record(old, Topic::Event, "power", "old"));
        open.queue.put(record(Timestamp::now(), Topic::Event, "power", "new"));
        for (hours, words) in [(26, "charts, not kept for longer than a day"), (23, "charts")] {
            open.queue.put(record(Timestamp::now() - SignedDuration::from_hours(hours), Topic::Chart, "site", words));
        }
        open.close();

        let ages = "keep_minutes = \"3h\"\nkeep_hours = \"3days\"\nkeep_records = \"2days\"\n";
        // What time has made due is done at the start, and from then on now and then.
        let open = place.open(ages);
        let reader = open.store.reader.clone();
        let series = async |span: Span| {
            // A day is in it if it begins in it.
            let from = start.div_euclid(span.seconds()) * span.seconds();
            let during = During { from: Timestamp::from_second(from).unwrap(), to: Timestamp::now() };
            reader.series(Subject::Worker, "w", span, during, 1_440 * 2).await.unwrap()
        };
        eventually("minutes are gone", async || {
            let during = During {
                from: Timestamp::from_second(start).unwrap(),
                to: Timestamp::from_second(start + 7_200).unwrap(),
            };
            let minutes = reader.series(Subject::Worker, "w", Span::Minute, during, 1_440).await.unwrap();
            minutes.is_empty().then_some(())
        })
        .await;
        let hours = series(Span::Hour).await;
        assert_eq!(
            hours.iter().map(|hour| (hour.at.as_second(), hour.counts.found)).collect::<Vec<_>>(),
            [(start, 60), (start + 3_600, 60)]
        );
        assert_eq!((hours[0].counts.work, hours[0].counts.stale, hours[0].counts.connections), (60_000.0, 60, 2));
        let days = series(Span::Day).await;
        assert_eq!(days.iter().map(|day| day.counts.found).collect::<Vec<_>>(), [120]);
        let during = During { from: Timestamp::from_second(start).unwrap(), to: Timestamp::now() };
        let rejects =
            reader.rejects(Subject::Worker, "w", Span::Day, During { from: days[0].at, ..during }).await.unwrap();
        assert_eq!(rejects[0].count, 120);
        assert_eq!(series(Span::Minute).await.len(), 1, "the young stay");
        for (topic, left) in [(Topic::Event, "new"), (Topic::Chart, "charts")] {
            eventually("the old records are gone", async || {
                let query = RecordQuery { topics: vec![topic], limit: 9, ..RecordQuery::default() };
                let records = reader.records(query).await.unwrap().records;
                (records.iter().map(|stored| &*stored.record.words).collect::<Vec<_>>() == [left]).then_some(())
            })
            .await;
        }
        open.close();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_full_loses_its_oldest_minutes_and_keeps_its_days() {
    let place = Place::file();
    let open = place.open("");
    let first = minute(SignedDuration::from_hours(2));
    for n in 0..100 {
        let rows = (0..4_000).map(|worker| row(first + 60 * n, Subject::Worker, &format!("worker-{worker}"), n as u64));
        open.queue.put_rows(rows.collect());
    }
    open.close();
    let bytes = std::fs::metadata(place.path()).unwrap().len();
    assert!(bytes > 20 << 20, "{bytes} bytes are not enough to see anything");
    let open = place.open("max_bytes = \"16 MiB\"\n");
    eventually("it is small enough", async || {
        let bytes = open.store.status().bytes;
        (bytes > 0 && bytes <= 16 << 20).then_some(())
    })
    .await;
    let minutes =
        open.store.reader.series(Subject::Worker, "worker-7", Span::Minute, last_hours(3), 1_000).await.unwrap();
    assert!((1..100).contains(&minutes.len()), "{}", minutes.len());
    assert_eq!(minutes.last().unwrap().at.as_second(), first + 99 * 60, "the newest stay");
    open.close();
}

/// Prints what it takes: `HASHGATE_CROWD=100000 cargo test --release --test store crowd -- --nocapture`.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_is_written_and_one_of_it_is_read() {
    let crowd: u64 = std::env::var("HASHGATE_CROWD").ok().and_then(|crowd| crowd.parse().ok()).unwrap_or(2_000);
    const MINUTES: u64 = 5;
    for place in Place::all() {
        let open = place.open("");
        let names: Vec<String> = (0..crowd).map(|n| format!("account.hall-a-{n:06}")).collect();
        let mut took = Vec::new();
        for number in 0..MINUTES {
            let at = minute(SignedDuration::from_mins((MINUTES - number) as i64));
            // Shares at the usual rate, and what pools say of a few of them.
            let rows = names.iter().map(|name| hashgate::store::Row {
                counts: hashgate::store::Counts { found: 18, work: 1_179_648.5, forwarded: 1, ..Default::default() },
                rejects: Box::default(),
                ..row(at, Subject::Worker, name, 18)
            });
            let began = std::time::Instant::now();
            open.queue.put_rows(rows.collect());
            let wanted = crowd * (number + 1);
            eventually("it is written", async || (open.store.status().written >= wanted).then_some(())).await;
            took.push(began.elapsed());
        }
        // The first brings the names along; each waits a second for more to come with it.
        println!("{}: {crowd} workers a minute: {took:?}", open.store.status().backend);
        let began = std::time::Instant::now();
        let one = open
            .store
            .reader
            .series(Subject::Worker, &names[names.len() / 2], Span::Minute, last_hours(24), 1_440)
            .await;
        assert_eq!(one.unwrap().len(), MINUTES as usize);
        println!("one worker's day: {:?}", began.elapsed());
        let began = std::time::Instant::now();
        let page = open.store.reader.all(Subject::Worker, Span::Minute, last_hours(1), None, 1_000).await.unwrap();
        assert_eq!(page.len(), 1_000);
        println!("a page of 1000 rows: {:?}", began.elapsed());
        open.close();
        if let Ok(file) = std::fs::metadata(place.path()) {
            let rows = crowd * MINUTES;
            println!("{} bytes a row, names and all", file.len() / rows);
        }
    }
}
