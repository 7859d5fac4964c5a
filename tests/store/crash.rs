//! A process that is killed loses what was put in within two seconds, and nothing before or between.
//!
//! The killed process is this test's own binary: it puts numbered records into a store and says each number when it has.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use hashgate::store::{RecordQuery, Topic};
use jiff::Timestamp;

use crate::world::*;

/// Set in the process that is killed: the lines of its `[store]`.
const LINES: &str = "HASHGATE_TEST_STORE";

/// What may be lost: a second in which a batch gathers, and its commit.
const LOSS: Duration = Duration::from_millis(2_000);

/// For how long it puts something in.
const LIFE: Duration = Duration::from_secs(6);

#[test]
fn a_killed_process_loses_two_seconds_at_most() {
    if let Ok(lines) = std::env::var(LINES) {
        return put_in_until_killed(lines);
    }
    for place in Place::all() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::a_killed_process_loses_two_seconds_at_most", "--nocapture"])
            .env(LINES, &place.lines)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said: Vec<(Instant, u64)> = Vec::new();
        let mut began = None;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let Some(number) = line.unwrap().strip_prefix("put ").and_then(|number| number.parse().ok()) else {
                continue;
            };
            said.push((Instant::now(), number));
            if began.get_or_insert_with(Instant::now).elapsed() >= LIFE {
                break;
            }
        }
        // SIGKILL.
        child.kill().unwrap();
        let killed = Instant::now();
        child.wait().unwrap();
        let must_be_there = said.iter().filter(|(at, _)| *at + LOSS < killed).map(|(_, number)| *number).max().unwrap();
        let found = numbers(&place);
        let last = *found.last().expect("something was written");
        assert_eq!(found, (0..=last).collect::<Vec<_>>(), "nothing is missing in between, and nothing is there twice");
        assert!(
            last >= must_be_there,
            "{last} was the last to be found, {must_be_there} was put in over {LOSS:?} before the end"
        );
        println!("killed after {} records, {} found", said.len(), found.len());
    }
}

fn put_in_until_killed(lines: String) {
    let place = Place { folder: tempfile::tempdir().unwrap(), server: None, lines };
    let open = place.open("");
    for number in 0_u64.. {
        open.queue.put(record(Timestamp::now(), Topic::Event, "test", &number.to_string()));
        println!("put {number}");
        std::io::stdout().flush().unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn numbers(place: &Place) -> Vec<u64> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // The next start finds a whole store, whoever was killed.
    let open = place.open("");
    let mut found = Vec::new();
    let mut query = RecordQuery { topics: vec![Topic::Event], limit: 1_000, ..RecordQuery::default() };
    loop {
        let page = runtime.block_on(open.store.reader.records(query.clone())).unwrap();
        found.extend(page.records.iter().map(|stored| stored.record.words.parse::<u64>().unwrap()));
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    open.close();
    found.sort_unstable();
    found
}
