//! Driver × fault: what an order is answered by its driver, and what the machine truly did.

use std::{fmt::Write, time::Duration};

use hashgate::{
    power::actuator::DriverError,
    sim::firmware::{Fault, FirmwareSettings, Machine, Make, SimFirmware},
};
use tokio::task::JoinSet;

use crate::world::{LIMIT, PASSWORD, POOL_PASSWORD, driver, rig, settings};

/// What a driver may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Told,
    Refused,
    Garbled,
    Unreachable,
    Timeout,
}
use Says::{Garbled, Refused, Timeout, Told, Unreachable};

impl Says {
    fn of<T>(result: &Result<T, DriverError>) -> Self {
        match result {
            Ok(_) => Told,
            Err(DriverError::Refused(_)) => Refused,
            Err(DriverError::Garbled(_)) => Garbled,
            Err(DriverError::Unreachable(_)) => Unreachable,
            Err(DriverError::Timeout(_)) => Timeout,
            Err(DriverError::NoAddress) => unreachable!("it has one"),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Told => "told",
            Refused => "refused",
            Garbled => "garbled",
            Unreachable => "unreachable",
            Timeout => "timeout",
        }
    }
}

/// One cell: what its orders are answered, whether each is truly done, and what a reading says after the sleep.
struct Row {
    fault: Option<Fault>,
    make: Make,
    sleep: (Says, bool),
    wake: (Says, bool),
    /// `None`: nothing is promised, or there are no watts.
    read: Option<Says>,
}

/// What each means. A cell that is missing can't be: no session, no login.
fn table() -> Vec<Row> {
    use Make::{Antminer, Axeos, Braiins, Luxos};
    let mut rows = Vec::new();
    let mut row = |fault, makes: &[Make], sleep, wake, read: Option<Says>| {
        for make in makes {
            let read = read.filter(|_| *make != Antminer);
            rows.push(Row { fault, make: *make, sleep, wake, read });
        }
    };
    row(None, &Make::ALL, (Told, true), (Told, true), Some(Told));
    // Its OK proves nothing: its watts stay, and tell.
    row(Some(Fault::StaysAsItIs), &Make::ALL, (Told, false), (Told, false), Some(Told));
    // It was heard, and nobody knows.
    row(Some(Fault::IsLate), &Make::ALL, (Timeout, true), (Timeout, true), Some(Told));
    // Watts need no session.
    row(Some(Fault::SessionHeld), &[Luxos], (Refused, false), (Refused, false), Some(Told));
    row(Some(Fault::IsThereAlready), &Make::ALL, (Told, false), (Told, false), Some(Told));
    row(Some(Fault::ResetsWhenWoken), &Make::ALL, (Told, true), (Unreachable, true), Some(Told));
    row(Some(Fault::RefusesLogin), &[Braiins, Antminer], (Refused, false), (Refused, false), Some(Refused));
    // LuxOS says so in its document; a status is HTTP's word for it; half a config is never written back.
    row(Some(Fault::HalfAnswers), &[Luxos], (Garbled, true), (Garbled, true), Some(Garbled));
    row(Some(Fault::HalfAnswers), &[Braiins, Axeos], (Told, true), (Told, true), Some(Garbled));
    row(Some(Fault::HalfAnswers), &[Antminer], (Garbled, false), (Garbled, false), None);
    // Whose order is one call has given it before the boot.
    row(Some(Fault::RebootsInBetween), &[Luxos, Braiins, Antminer], (Unreachable, false), (Unreachable, false), None);
    row(Some(Fault::RebootsInBetween), &[Axeos], (Told, true), (Told, true), Some(Unreachable));
    row(Some(Fault::IsSilent), &Make::ALL, (Timeout, false), (Timeout, false), Some(Timeout));
    row(Some(Fault::IsAway), &Make::ALL, (Unreachable, false), (Unreachable, false), Some(Unreachable));
    rows
}

/// What was seen of a cell.
struct Seen {
    at: usize,
    sleep: (Says, bool),
    wake: (Says, bool),
    read: Option<(Says, String)>,
    /// All that was said and all errors.
    words: Vec<String>,
}

fn with(make: Make, fault: Option<Fault>, machine: Machine) -> FirmwareSettings {
    // Sixty times as late as it may be; with a driver that waits for 30 s, real ones at 21 s are not.
    FirmwareSettings { fault, machine, late: Duration::from_secs(120), ..settings(make) }
}

async fn try_out(at: usize, make: Make, fault: Option<Fault>) -> Seen {
    // Where an order can't end otherwise, its own time ends it.
    let is_waited_for = matches!(fault, Some(Fault::IsLate | Fault::IsSilent | Fault::SessionHeld));
    let within = if is_waited_for { Duration::from_secs(2) } else { LIMIT };
    let mut words = Vec::new();

    let sim = SimFirmware::start(with(make, fault, Machine::default())).await.expect("a free port");
    let (asleep, heard) = driver(make, &sim, within);
    let told = asleep.sleep(&rig()).await;
    let sleep = (Says::of(&told), sim.machine().is_asleep());
    words.extend(told.err().map(|error| error.to_string()));
    let read = match asleep.read(&rig()) {
        None => None,
        Some(read) => {
            let read = read.await;
            let drawn = read.as_ref().map_or(String::new(), |drawn| format!(" {}", drawn.watts.in_words()));
            let says = Says::of(&read);
            if says == Told {
                let truth = if sim.machine().is_asleep() { 22.0 } else { 3250.0 };
                assert_eq!(read.as_ref().unwrap().watts.get(), truth, "{make} {fault:?}: its watts are the machine's");
            }
            words.extend(read.err().map(|error| error.to_string()));
            Some((says, drawn))
        }
    };
    words.extend(heard.lines());

    let sim = SimFirmware::start(with(make, fault, Machine::asleep())).await.expect("a free port");
    let (awake, heard) = driver(make, &sim, within);
    let told = awake.wake(&rig(), None).await;
    let wake = (Says::of(&told), !sim.machine().is_asleep());
    words.extend(told.err().map(|error| error.to_string()));
    words.extend(heard.lines());
    Seen { at, sleep, wake, read, words }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_firmware_does_its_driver_says_it_in_time_and_says_it_truly() {
    let rows = table();
    let mut cells = JoinSet::new();
    for (at, row) in rows.iter().enumerate() {
        cells.spawn(try_out(at, row.make, row.fault));
    }
    let mut seen = cells.join_all().await;
    seen.sort_by_key(|seen| seen.at);
    let mut text = String::new();
    for (row, seen) in rows.iter().zip(&seen) {
        let fault = row.fault.map_or("none", Fault::label);
        let done =
            |(says, is_done): (Says, bool)| format!("{}, {}", says.word(), if is_done { "done" } else { "not done" });
        let read = seen.read.as_ref().map_or("no watts".to_owned(), |(says, drawn)| format!("{}{drawn}", says.word()));
        let _ = writeln!(
            text,
            "{:<9} {fault:<19} sleep {:<22} wake {:<22} then {read}",
            row.make.label(),
            done(seen.sleep),
            done(seen.wake)
        );
    }
    println!("{text}");
    for (row, seen) in rows.iter().zip(&seen) {
        let cell = format!("{} × {:?}: {:#?}", row.make, row.fault, seen.words);
        assert_eq!((seen.sleep, seen.wake), (row.sleep, row.wake), "{cell}");
        if let (Some(wanted), Some((says, _))) = (row.read, &seen.read) {
            assert_eq!(*says, wanted, "{cell}");
        }
        for line in &seen.words {
            let is_clean = !line.contains(PASSWORD) && !line.contains(POOL_PASSWORD);
            assert!(is_clean && !line.contains(char::is_control), "{cell}");
        }
    }
}
