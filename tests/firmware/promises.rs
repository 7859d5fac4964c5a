//! Sessions, logins and modes.

use std::time::Duration;

use hashgate::{
    config::Survives,
    power::{actuator::DriverError, device::PowerMode},
    sim::firmware::{Fault, FirmwareSettings, Machine, Make, SimFirmware},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::world::{LIMIT, PASSWORD, driver, rig, settings, start};

fn mode(word: &str) -> PowerMode {
    PowerMode(word.into())
}

async fn raw(sim: &SimFirmware, request: &str) -> String {
    let mut stream = TcpStream::connect(sim.addr()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn luxos_is_left_without_a_session_whatever_came_of_the_order() {
    for fault in [
        None,
        Some(Fault::StaysAsItIs),
        Some(Fault::IsThereAlready),
        Some(Fault::ResetsWhenWoken),
        Some(Fault::HalfAnswers),
    ] {
        let (sim, driver, heard) = start(FirmwareSettings { fault, ..settings(Make::Luxos) }).await;
        let _ = driver.sleep(&rig()).await;
        let _ = driver.wake(&rig(), None).await;
        assert!(!sim.has_session(), "{fault:?}: {:#?}", heard.lines());
        let ended = heard.lines().iter().filter(|line| line.contains("logoff")).count();
        assert_eq!(ended, 2, "{fault:?}");
    }
    // An answer that comes too late leaves none open either.
    let late = FirmwareSettings { late: Duration::from_secs(120), ..settings(Make::Luxos).with_fault(Fault::IsLate) };
    let sim = SimFirmware::start(late).await.unwrap();
    let within = Duration::from_secs(1);
    let (driver, _) = driver(Make::Luxos, &sim, within);
    assert_eq!(driver.sleep(&rig()).await, Err(DriverError::Timeout(within)));
    assert!(!sim.has_session());
}

#[tokio::test]
async fn luxos_waits_for_a_session_that_somebody_else_holds_and_never_takes_it() {
    let lasts = Duration::from_secs(1);
    let (sim, driver, heard) = start(FirmwareSettings { session: lasts, ..settings(Make::Luxos) }).await;
    assert!(raw(&sim, "{\"command\":\"logon\"}").await.contains("SessionID"));
    driver.sleep(&rig()).await.unwrap();
    assert!(sim.machine().is_asleep());
    let lines = heard.lines();
    assert!(lines[1].contains("Another session is active"), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("\"***,sleep\"")), "{lines:#?}");

    let (sim, _, _) = start(settings(Make::Luxos)).await;
    raw(&sim, "{\"command\":\"logon\"}").await;
    let (driver, _) = crate::world::driver(Make::Luxos, &sim, Duration::from_secs(1));
    let error = driver.sleep(&rig()).await.unwrap_err().to_string();
    assert!(error.contains("somebody else holds its only session") && error.contains("E 402"), "{error}");
    assert!(sim.has_session() && sim.machine().orders.is_empty());
}

#[tokio::test]
async fn a_late_answer_is_waited_for_while_there_is_time() {
    for make in Make::ALL {
        let late = Duration::from_millis(300);
        let (_sim, driver, _) = start(FirmwareSettings { late, ..settings(make).with_fault(Fault::IsLate) }).await;
        driver.sleep(&rig()).await.unwrap();
    }
}

#[tokio::test]
async fn braiins_is_logged_into_once_and_again_when_its_token_ended() {
    let (sim, driver, heard) = start(settings(Make::Braiins)).await;
    driver.sleep(&rig()).await.unwrap();
    assert_eq!(sim.requests(), 2, "login and pause");
    driver.sleep(&rig()).await.unwrap();
    assert_eq!(sim.requests(), 3, "pause, which it says it is already");
    sim.forget_logins();
    driver.wake(&rig(), None).await.unwrap();
    assert_eq!(sim.requests(), 6, "refused, login, resume");
    let lines = heard.lines();
    assert!(lines.iter().any(|line| line.contains("\"token\":\"***\"")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("\"password\":\"***\"")), "{lines:#?}");
}

#[tokio::test]
async fn a_luxos_session_is_ended_when_nobody_waits_for_the_order_any_more() {
    let (sim, driver, heard) = start(settings(Make::Luxos).with_fault(Fault::IsLate)).await;
    let rig = rig();
    let mut order = driver.sleep(&rig);
    // Until the order is under way; then whoever waited for it gives up.
    while !heard.lines().iter().any(|line| line.contains("curtail")) {
        tokio::select! { biased; done = &mut order => panic!("{done:?}"), () = tokio::time::sleep(Duration::from_millis(5)) => {} }
    }
    assert!(sim.has_session());
    drop(order);
    let ended = async {
        while sim.has_session() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, ended).await.expect("the session is ended");
}

#[tokio::test]
async fn luxos_says_by_its_version_whether_a_sleep_outlives_a_power_cut() {
    for (version, survives) in [
        ("2023.9.28.220144-66be080", Survives::No),
        ("2025.4.8.220305-57b389c7", Survives::Unknown),
        ("2026.4.3.192353-6ab4e5077", Survives::Yes),
    ] {
        let (_sim, driver, _) = start(FirmwareSettings { version: version.to_owned(), ..settings(Make::Luxos) }).await;
        assert_eq!(driver.sleep_survives_power_cycle_of(&rig()), Survives::Unknown, "nobody asked it yet");
        driver.read(&rig()).expect("it tells watts").await.expect("it answers");
        assert_eq!(driver.sleep_survives_power_cycle_of(&rig()), survives, "{version}");
    }
}

#[tokio::test]
async fn braiins_is_woken_with_the_power_target_that_it_had() {
    let (sim, driver, _) = start(settings(Make::Braiins)).await;
    sim.set_by_hand(2400, 0);
    let saved = driver.mode(&rig()).unwrap().await.unwrap().unwrap();
    assert_eq!(saved, mode("2400 W"));
    driver.sleep(&rig()).await.unwrap();
    sim.set_by_hand(3250, 0);
    driver.wake(&rig(), Some(&saved)).await.unwrap();
    assert_eq!((sim.machine().target, sim.machine().is_asleep()), (2400, false));
    // A mode that it can't be given keeps it asleep: it could draw more than it did.
    driver.sleep(&rig()).await.unwrap();
    assert!(driver.wake(&rig(), Some(&mode("eco"))).await.unwrap_err().to_string().contains("no power target"));
    assert!(sim.machine().is_asleep());
}

#[tokio::test]
async fn an_antminer_is_woken_in_the_mode_that_it_had_and_keeps_its_config() {
    for is_strict in [false, true] {
        let machine = Machine::in_mode(3);
        let (sim, first, _) = start(FirmwareSettings { machine, is_strict, ..settings(Make::Antminer) }).await;
        let saved = first.mode(&rig()).unwrap().await.unwrap();
        assert_eq!(saved, Some(mode("low")));
        first.sleep(&rig()).await.unwrap();
        assert_eq!((sim.machine().mode, sim.machine().is_asleep()), (1, true));
        assert_eq!(first.mode(&rig()).unwrap().await.unwrap(), None, "asleep it has none to tell");
        let written = sim.written().unwrap();
        assert_eq!(written["pools"][0]["user"], "farm.1");
        assert_eq!((&written["bitmain-freq"], &written["bitmain-fan-pwm"]), (&"545".into(), &"100".into()));

        // Another process, which knows what was saved.
        let (second, _) = driver(Make::Antminer, &sim, LIMIT);
        second.wake(&rig(), saved.as_ref()).await.unwrap();
        assert_eq!((sim.machine().mode, sim.machine().is_asleep()), (3, false));

        // Nothing was saved: as the sleep found it, and where nobody knows, normal.
        first.sleep(&rig()).await.unwrap();
        first.wake(&rig(), None).await.unwrap();
        assert_eq!(sim.machine().mode, 3);
        first.sleep(&rig()).await.unwrap();
        second.wake(&rig(), None).await.unwrap();
        assert_eq!(sim.machine().mode, 0);
        assert!(first.read(&rig()).is_none(), "it tells no watts");
    }
}

#[tokio::test]
async fn a_challenge_that_is_always_too_old_is_not_answered_for_ever() {
    let (sim, driver, _) = start(FirmwareSettings { session: Duration::ZERO, ..settings(Make::Antminer) }).await;
    let error = driver.sleep(&rig()).await.unwrap_err().to_string();
    assert!(error.contains("too old") && sim.requests() == 3, "{error}");
}

#[tokio::test]
async fn a_login_that_is_refused_is_said_with_its_user_and_without_its_password() {
    for make in [Make::Braiins, Make::Antminer] {
        let (sim, driver, heard) = start(settings(make).with_fault(Fault::RefusesLogin)).await;
        let error = driver.sleep(&rig()).await.unwrap_err().to_string();
        assert!(error.contains("the login of \"root\" was not taken") && error.contains("401"), "{error}");
        assert!(!format!("{error}{:?}", heard.lines()).contains(PASSWORD));
        assert!(sim.requests() <= 2, "a wrong password is not tried again and again: {}", sim.requests());
    }
}

#[tokio::test]
async fn a_machine_without_an_address_is_not_guessed_at() {
    for make in Make::ALL {
        let (sim, driver, _) = start(settings(make)).await;
        let nowhere = hashgate::power::Target { address: None, ..rig() };
        assert_eq!(driver.sleep(&nowhere).await, Err(DriverError::NoAddress));
        assert_eq!(sim.requests(), 0);
    }
}
