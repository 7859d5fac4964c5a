//! `hashgate asic`, as an operator meets it.

use std::process::Output;

use hashgate::{
    config::{Config, ProcessEnv},
    sim::firmware::{Fault, Machine, Make, SimFirmware},
};
use tokio::process::Command;

use crate::world::{PASSWORD, POOL_PASSWORD, settings};

async fn asic(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hashgate"));
    command.arg("asic").args(arguments).env("ASIC_PASSWORD", PASSWORD).env_remove("RUST_LOG");
    command.output().await.expect("it starts")
}

/// With the machine's address, kind, port and login.
async fn with(sim: &SimFirmware, make: Make, what: &str, more: &[&str]) -> (Option<i32>, String) {
    let port = sim.addr().port().to_string();
    let mut arguments = vec![what, "127.0.0.1", "--kind", make.label(), "--port", &port];
    if make.has_login() {
        arguments.extend(["--user", "root", "--password-env", "ASIC_PASSWORD"]);
    }
    arguments.extend(more);
    let done = asic(&arguments).await;
    let text = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    for secret in [PASSWORD, POOL_PASSWORD] {
        assert!(!text.contains(secret), "{text}");
    }
    (done.status.code(), text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_machine_is_told_and_asked_by_hand_and_what_is_said_is_shown() {
    for make in Make::ALL {
        let sim = SimFirmware::start(settings(make)).await.unwrap();
        let (code, text) = with(&sim, make, "probe", &[]).await;
        let expected =
            if make == Make::Antminer { "does not tell what it draws" } else { "it says that it draws 3250.0 W" };
        assert!(code == Some(0) && text.contains(expected), "{text}");
        assert!(!sim.machine().is_asleep() && sim.machine().orders.is_empty());

        let (code, text) = with(&sim, make, "sleep", &[]).await;
        assert!(code == Some(0) && text.contains("told to sleep, which proves nothing"), "{text}");
        assert!(text.contains("\n< ") && text.starts_with("> "), "{text}");
        assert!(sim.machine().is_asleep());

        let (code, text) = with(&sim, make, "wake", &[]).await;
        assert!(code == Some(0) && !sim.machine().is_asleep(), "{text}");
    }
    let sim = SimFirmware::start(hashgate::sim::firmware::FirmwareSettings {
        machine: Machine::asleep(),
        ..settings(Make::Antminer)
    });
    let sim = sim.await.unwrap();
    let (_, text) = with(&sim, Make::Antminer, "wake", &["--mode", "low"]).await;
    assert_eq!(sim.machine().mode, 3, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_is_an_exit_code_and_a_sentence() {
    let sim = SimFirmware::start(settings(Make::Braiins).with_fault(Fault::RefusesLogin)).await.unwrap();
    let (code, text) = with(&sim, Make::Braiins, "sleep", &[]).await;
    assert!(code == Some(1) && text.contains("the login of \"root\" was not taken"), "{text}");
    for (arguments, words) in [
        (&["probe", "127.0.0.1", "--kind", "antminer"][..], "add --user and --password-env; none is guessed"),
        (&["probe", "127.0.0.1", "--kind", "axeos", "--user", "x"], "asks nobody who speaks"),
        (&["probe", "127.0.0.1", "--kind", "whatsminer"], "known are luxos, braiins, antminer, axeos"),
        (
            &["sleep", "127.0.0.1", "--kind", "braiins", "--user", "x", "--password-env", "NOBODY_HAS_THIS"],
            "not set, or empty",
        ),
        (&["scan", "8.8.8.0/24"], "no private network"),
        (&["scan", "10.0.0.0/8"], "scan it in pieces"),
    ] {
        let done = asic(arguments).await;
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.code() == Some(2) && text.contains(words), "{arguments:?}: {text}");
        assert!(!text.contains("NOBODY_HAS_THIS"), "what stands there may be a password");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_finds_machines_and_prints_entries_that_a_config_takes() {
    let luxos = SimFirmware::start(settings(Make::Luxos)).await.unwrap();
    for web in [Make::Antminer, Make::Axeos] {
        let web_sim = SimFirmware::start(settings(web)).await.unwrap();
        // One port has LuxOS at first, and nobody then: the web server behind the other is found.
        for (rpc, found) in [(luxos.addr().port(), Make::Luxos), (web_sim.addr().port(), web)] {
            let (rpc, port) = (rpc.to_string(), web_sim.addr().port().to_string());
            let done = asic(&["scan", "127.0.0.1/32", "--rpc-port", &rpc, "--web-port", &port]).await;
            let text = String::from_utf8_lossy(&done.stdout).into_owned();
            assert!(text.contains("1 machines found"), "{found}: {text}");
            assert!(text.contains(&format!("name = \"{found}-127-0-0-1\"\naddress = \"127.0.0.1\"")), "{text}");
            assert_eq!(luxos.machine().orders.len() + web_sim.machine().orders.len(), 0, "nothing is ordered");
            let login = if found.has_login() { "user = \"u\"\npassword = \"p\"\n" } else { "" };
            let config = format!(
                "[[listener]]\nname = \"l\"\nlisten = \"127.0.0.1:0\"\n[[pool]]\nname = \"p\"\nurl = \"sim://\"\nuser = \"u\"\n\
                 [admin]\ntoken = \"0123456789abcdef\"\n[profit]\nsignal = \"pays\"\n[[signal]]\nname = \"pays\"\nkind = \"push\"\n\
                 unit = \"verdict\"\n[[group]]\nnameplate = \"3 kW\"\n[group.actuator]\nkind = \"{found}\"\n{login}{text}"
            );
            let read = Config::parse(&config, &ProcessEnv { folder: ".".into() });
            let (config, _) = read.unwrap_or_else(|errors| panic!("{errors}\n{config}"));
            assert_eq!(config.power.unwrap().groups[0].as_ref().unwrap().devices.len(), 1);
        }
    }
}
