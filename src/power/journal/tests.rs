use std::{
    env,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn watts(value: f64) -> Watts {
    Watts::new(value).unwrap()
}

fn freed(number: u32) -> Entry {
    let what = Booking::Freed { device: format!("asic-{number}").as_str().into(), watts: watts(f64::from(number)) };
    Entry { at: time(i64::from(number)), what }
}

/// One of each kind.
fn one_of_each() -> Vec<Entry> {
    let (device, block, lease) = (DeviceId::from("hall a/7"), BlockId::from("gpus"), LeaseId(u64::MAX - 7));
    [
        Booking::Hold { device: device.clone(), watts: watts(3_605.1), highest: watts(3_333.3) },
        Booking::Freed { device, watts: watts(0.1 + 0.2) },
        Booking::Lease { block: block.clone(), lease, watts: watts(5e4), expires: time(120) },
        Booking::Revoke { block: block.clone(), lease },
        Booking::Returned { block, lease, watts: watts(4e3) },
    ]
    .into_iter()
    .enumerate()
    .map(|(at, what)| Entry { at: time(at as i64), what })
    .collect()
}

#[test]
fn what_was_appended_is_read_and_each_start_has_a_higher_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut journal = Journal::take_over(&path, Epoch(41), time(0)).unwrap();
    assert_eq!(journal.epoch(), Epoch(42));
    journal.append(&one_of_each()).unwrap();
    drop(journal);
    let (journal, entries) = Journal::open(&path, time(9)).unwrap();
    assert_eq!((journal.epoch(), entries), (Epoch(43), one_of_each()));
    let pragma =
        |name: &str| journal.database.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0));
    assert_eq!(pragma("journal_mode").unwrap(), rusqlite::types::Value::Text("wal".into()));
    assert_eq!(pragma("synchronous").unwrap(), rusqlite::types::Value::Integer(2), "2 is FULL");
}

#[test]
fn a_second_controller_a_lost_ledger_and_a_damaged_one_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let says = |result: Result<(Journal, Vec<Entry>), JournalError>| result.map(|_| ()).unwrap_err().to_string();
    assert!(says(Journal::open(&path, time(0))).contains("there is no power ledger"));
    let journal = Journal::take_over(&path, Epoch(0), time(0)).unwrap();
    let refused = says(Journal::open(&path, time(1)));
    assert!(refused.contains("another controller") && refused.contains(&std::process::id().to_string()), "{refused}");
    drop(journal);
    let refused = Journal::take_over(&path, Epoch(9), time(1)).map(|_| ()).unwrap_err();
    assert!(matches!(refused, JournalError::Present { .. }), "{refused}");
    drop(Journal::open(&path, time(2)).unwrap());
    std::fs::write(
        &path,
        "no database at all, and longer than the header of one, which has a hundred bytes and then pages",
    )
    .unwrap();
    let _ = std::fs::remove_file(folder.path().join("ledger.db-wal"));
    assert!(says(Journal::open(&path, time(3))).contains("ledger.db"));
}

#[test]
fn a_full_book_forgets_only_what_is_obsolete() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let mut journal = Journal::take_over(&path, Epoch(0), time(0)).unwrap();
    journal.max_rows = 100;
    let open = |number| {
        let what =
            Booking::Lease { block: "gpus".into(), lease: LeaseId(number), watts: watts(1e3), expires: time(60) };
        Entry { at: time(1), what }
    };
    let back = |number| Entry {
        at: time(2),
        what: Booking::Returned { block: "gpus".into(), lease: LeaseId(number), watts: watts(0.0) },
    };
    journal.append(&[open(1), freed(7), open(2), back(2)]).unwrap();
    for _ in 0..40 {
        journal.append(&[freed(1), freed(2), freed(3)]).unwrap();
    }
    assert!(journal.rows <= 100, "{}", journal.rows);
    drop(journal);
    let (_, entries) = Journal::open(&path, time(3)).unwrap();
    assert!(entries.len() <= 100);
    for kept in [open(1), freed(7), freed(3)] {
        assert!(entries.contains(&kept), "{kept:?} is lost");
    }
    assert!(!entries.contains(&open(2)), "a lease that is back is obsolete");
}

/// Where the child of the test below keeps its book; not a child without it.
const CHILD: &str = "HASHGATE_TEST_JOURNAL";

/// Appends for ever, and says what is acknowledged. A test only in that the child below is this program.
#[test]
fn child_that_appends() {
    let Some(path) = env::var_os(CHILD) else { return };
    let (mut journal, entries) = Journal::open(Path::new(&path), time(0)).unwrap();
    let mut number = entries.len() as u32;
    loop {
        // Of one to three entries, so that a torn transaction would show.
        let batch: Vec<Entry> = (number..=number + number % 3).map(freed).collect();
        journal.append(&batch).unwrap();
        number += batch.len() as u32;
        println!("\nacknowledged {number}");
    }
}

#[test]
fn no_acknowledged_entry_is_missing_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    drop(Journal::take_over(&path, Epoch(0), time(0)).unwrap());
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for round in 0..12 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "power::journal::tests::child_that_appends", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged =
            lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok());
        let mut last: u32 = acknowledged.next().expect("the child appends");
        // Then at any moment, in the middle of whatever it does; what it said until then is read below.
        let end = Instant::now() + Duration::from_micros(rng.random_range(0..30_000));
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        last = acknowledged.last().unwrap_or(last);
        let (journal, entries) = Journal::open(&path, time(1)).unwrap();
        assert!(entries.len() >= last as usize, "seed {seed}: {} of {last} entries in round {round}", entries.len());
        let numbers = 0..entries.len() as u32;
        assert!(entries.iter().cloned().eq(numbers.map(freed)), "seed {seed}: a gap in round {round}");
        assert_eq!(journal.epoch(), Epoch(3 + 2 * round), "each start is counted");
    }
}
