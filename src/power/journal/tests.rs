use std::{
    env,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;
use crate::{
    power::{
        device::Goal,
        group::{DeviceRecord, Order, Phase},
        ledger::{BlockId, Booking, DeviceId, LeaseId},
        receipt::{Cost, DeviceBill, Move, Outcome, RECEIPT_VERSION, SecondBill, ShareBill, WattBill},
    },
    profit::Watts,
};

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

fn record(number: u32) -> Record {
    let order = Order { goal: Goal::Sleep, urgent: false, why: "mining earns too little".into() };
    let device = DeviceRecord {
        name: "asic-1".into(),
        goal: Goal::Sleep,
        is_proven_asleep: true,
        rouses_until: Some(time(4)),
        dozes_until: None,
        mode: None,
    };
    let (number, since) = (number.into(), time(3));
    Record { number, event: 2, phase: Phase::Asleep, order, since, overruled: None, devices: vec![device] }
}

fn receipt(event: u32) -> Receipt {
    Receipt {
        v: RECEIPT_VERSION,
        event: event.into(),
        group: "hall a".into(),
        kind: Move::Drain,
        why: "mining earns too little".into(),
        started: time(1),
        ended: time(2),
        outcome: Outcome::Done,
        shares: ShareBill::default(),
        watts: WattBill { before_w: 0.1 + 0.2, ..WattBill::default() },
        devices: DeviceBill::default(),
        seconds: SecondBill::default(),
        cost: Cost { energy_wh: 1.5, money: Some(-0.3) },
    }
}

fn found_device(name: &str, address: Option<&str>, worker: Option<&str>) -> Found {
    let address = address.map(|address| address.parse().unwrap());
    Found { group: "hall a".into(), name: name.into(), address, worker: worker.map(Arc::from) }
}

#[test]
fn a_restart_finds_all_that_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (mut journal, book) = Journal::start(&path, time(0)).unwrap();
    assert_eq!((journal.epoch(), book.entries.len()), (Epoch(1), 0));
    let (one, two) = (
        found_device("10.0.0.1", Some("10.0.0.1"), Some("farm.1")),
        found_device("farm.2", Some("fe80::2"), Some("farm.2")),
    );
    journal.keep(&[one.clone(), two.clone()]).unwrap();
    let moved = Found { address: Some("10.0.0.9".parse().unwrap()), ..two };
    journal.keep(std::slice::from_ref(&moved)).unwrap();
    let groups = ["hall a".into(), "hall b".into()];
    let writes = one_of_each().into_iter().map(Writing::Entry);
    let with = [Writing::Record(0, record(7)), Writing::Record(1, record(8)), Writing::Receipt(Box::new(receipt(1)))];
    journal.write(&writes.chain(with).collect::<Vec<_>>(), &groups).unwrap();
    journal.write(&[Writing::Record(1, record(9)), Writing::Receipt(Box::new(receipt(2)))], &groups).unwrap();
    let drain = Control::Drain { why: "a fan".into(), until: Some(time(99)) };
    journal.order("hall a", Some(&Control::Hold { why: "a look".into() })).unwrap();
    journal.order("hall a", Some(&drain)).unwrap();
    journal.order("hall b", Some(&drain)).unwrap();
    journal.order("hall b", None).unwrap();
    journal.set(&[("mode", "advise"), ("other", "x")]).unwrap();
    journal.set(&[("mode", "active"), ("other", "")]).unwrap();
    drop(journal);
    let (journal, book) = Journal::start(&path, time(1)).unwrap();
    assert_eq!(journal.epoch(), Epoch(2));
    assert_eq!(book.entries, one_of_each());
    assert_eq!(book.records, HashMap::from([("hall a".into(), record(7)), ("hall b".into(), record(9))]));
    assert_eq!(book.devices, [one, moved]);
    assert_eq!(book.orders, HashMap::from([("hall a".into(), drain)]));
    assert_eq!(book.settings, HashMap::from([("mode".into(), "active".into())]));
    assert_eq!(journal.receipts(9).unwrap(), [receipt(2), receipt(1)]);
    assert_eq!(journal.receipts(1).unwrap(), [receipt(2)]);
}

#[test]
fn a_first_start_begins_a_book_and_a_lost_one_is_no_first_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    drop(Journal::start(&path, time(0)).unwrap());
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(folder.path().join(name));
    }
    let error = Journal::start(&path, time(1)).map(|_| ()).unwrap_err();
    assert!(matches!(error, JournalError::Missing { .. }), "{error}");
    assert!(error.to_string().contains("`hashgate take-over`"), "{error}");
    drop(Journal::take_over(&path, Epoch(1_800_000_000), time(2)).unwrap());
    assert_eq!(Journal::start(&path, time(3)).unwrap().0.epoch(), Epoch(1_800_000_002));
}

#[test]
fn receipts_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::start(&folder.path().join("ledger.db"), time(0)).unwrap().0;
    let many = KEPT_RECEIPTS as u32 + 50;
    let receipts: Vec<Writing> = (0..many).map(|event| Writing::Receipt(Box::new(receipt(event)))).collect();
    journal.write(&receipts, &[]).unwrap();
    let kept = journal.receipts(usize::MAX).unwrap();
    assert_eq!((kept.len(), &kept[0]), (KEPT_RECEIPTS as usize, &receipt(many - 1)));
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
    let (journal, book) = Journal::open(&path, time(9)).unwrap();
    assert_eq!((journal.epoch(), book.entries), (Epoch(43), one_of_each()));
    let pragma =
        |name: &str| journal.database.pragma_query_value(None, name, |row| row.get::<_, rusqlite::types::Value>(0));
    assert_eq!(pragma("journal_mode").unwrap(), rusqlite::types::Value::Text("wal".into()));
    assert_eq!(pragma("synchronous").unwrap(), rusqlite::types::Value::Integer(2), "2 is FULL");
}

#[test]
fn a_second_controller_a_lost_ledger_and_a_damaged_one_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let says = |result: Result<(Journal, Book), JournalError>| result.map(|_| ()).unwrap_err().to_string();
    assert!(says(Journal::open(&path, time(0))).contains("the power ledger is lost"));
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
    let entries = Journal::open(&path, time(3)).unwrap().1.entries;
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
    let (mut journal, book) = Journal::open(Path::new(&path), time(0)).unwrap();
    let mut number = book.entries.len() as u32;
    loop {
        // Of one to three entries and what goes with them, so that a torn transaction would show.
        let batch: Vec<Writing> = (number..=number + number % 3).map(|number| Writing::Entry(freed(number))).collect();
        let last = number + batch.len() as u32;
        let with = [Writing::Record(0, record(last)), Writing::Receipt(Box::new(receipt(last)))];
        journal.write(&[&batch[..], &with].concat(), &["hall a".into()]).unwrap();
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
        let (journal, book) = Journal::open(&path, time(1)).unwrap();
        let entries = book.entries;
        assert!(entries.len() >= last as usize, "seed {seed}: {} of {last} entries in round {round}", entries.len());
        let numbers = 0..entries.len() as u32;
        assert!(entries.iter().cloned().eq(numbers.map(freed)), "seed {seed}: a gap in round {round}");
        assert_eq!(journal.epoch(), Epoch(3 + 2 * round), "each start is counted");
        let count = entries.len() as u32;
        assert_eq!(book.records["hall a"], record(count), "seed {seed}: a torn transaction in round {round}");
        assert_eq!(journal.receipts(1).unwrap(), [receipt(count)], "seed {seed}: a torn transaction in round {round}");
    }
}

#[test]
fn when_a_device_was_seen_is_kept_until_it_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let found = |name: &str| Found { group: "a".into(), name: name.into(), address: None, worker: None };
    let sighting = |name: &str, second| Sighting { name: name.into(), at: time(second), user: Some("farm.1".into()) };
    let (mut journal, _) = Journal::start(&path, time(0)).unwrap();
    journal.keep(&[found("m1"), found("m2")]).unwrap();
    journal.sight(&[sighting("m1", 1), sighting("m2", 1)]).unwrap();
    journal.sight(&[sighting("m2", 2)]).unwrap();
    journal.forget(["m1"], &[freed(7)]).unwrap();
    drop(journal);
    let (_journal, book) = Journal::open(&path, time(3)).unwrap();
    assert_eq!(book.devices, [found("m2")]);
    assert_eq!(book.sightings, [sighting("m2", 2)]);
    assert_eq!(book.entries, [freed(7)]);
}

#[test]
fn a_ledger_of_a_version_that_knew_no_sightings_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let (journal, _) = Journal::start(&path, time(0)).unwrap();
    journal.database.execute_batch("DROP TABLE sightings").unwrap();
    drop(journal);
    let (mut journal, book) = Journal::open(&path, time(1)).unwrap();
    assert_eq!(book.sightings, []);
    journal.sight(&[Sighting { name: "m1".into(), at: time(1), user: None }]).unwrap();
}

#[test]
fn the_next_epoch_begins_without_giving_the_lock_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let now = time(0);
    let (mut journal, _) = Journal::start(&path, now).unwrap();
    let first = journal.epoch();
    journal.set(&[("mode", "active")]).unwrap();
    let book = journal.next_epoch(now).unwrap();
    assert_eq!((journal.epoch().0, book.settings["mode"].as_str()), (first.0 + 1, "active"));
    assert!(matches!(Journal::open(&path, now), Err(JournalError::Locked { .. })));
    drop(journal);
    assert_eq!(Journal::open(&path, now).unwrap().0.epoch().0, first.0 + 2);
}
