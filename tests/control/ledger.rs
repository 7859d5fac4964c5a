//! What a proxy that died has put to sleep is woken without it, and nothing is done behind one that lives.

use std::{fs, net::TcpListener, path::Path, process::Stdio, time::Instant};

use hashgate::sim::site::{SimGroup, SimSite, SimSiteSettings};
use serde_json::Value;
use tokio::{
    process::{Child, Command},
    time::{Duration, sleep},
};

use crate::commands::{contains, hashgate};

/// How long anything may take; reached only when a test fails. Two busy cores are slow.
const LIMIT: Duration = Duration::from_secs(90);

const MACHINES: usize = 3;

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn simulated() -> SimSite {
    let group = |name: &str| SimGroup {
        wake: Duration::from_millis(500)..Duration::from_secs(1),
        sleep: Duration::from_millis(100)..Duration::from_millis(300),
        ..SimGroup::new(name, MACHINES, 20.0, 3000.0)
    };
    let groups = vec![group("hall-a"), group("hall-b")];
    SimSite::start(SimSiteSettings { groups, ..SimSiteSettings::default() }).await.unwrap()
}

/// A config of both groups, and the name of its file.
fn config(folder: &Path, site: &SimSite) -> String {
    let ledger = folder.join("power.db");
    let mut text = format!(
        "[proxy]\nworkers = 1\nstate_file = \"\"\n[[listener]]\nlisten = \"127.0.0.1:0\"\n\
         [[pool]]\nname = \"pool\"\nurl = \"sim://\"\nuser = \"u\"\n\
         [admin]\nlisten = \"127.0.0.1:{}\"\ntoken = \"control-0123456789abcdef\"\n\
         [profit]\nmode = \"advise\"\n\
         [power]\nledger = {:?}\npoll = \"1s\"\npoll_moving = \"200ms\"\nmax_age = \"5s\"\ncommand_lifetime = \"2s\"\nproofs = 1\n\
         [[signal]]\nname = \"pays\"\nunit = \"verdict\"\nkind = \"push\"\n",
        free_port(),
        ledger.to_str().unwrap(),
    );
    for (hall, group) in ["hall-a", "hall-b"].into_iter().enumerate() {
        text += &format!(
            "[[group]]\nname = \"{group}\"\nsignal = \"pays\"\nnameplate = \"3000 W\"\nsleep_max = \"150 W\"\nsleep_time = \"5s\"\nwake_time = \"20s\"\n\
             backoff = \"1s\"\nquiet = \"1s\"\nquiet_limit = \"2s\"\nprobe = \"2s\"\nwork_wait = \"1s\"\n"
        );
        for number in 1..=MACHINES {
            text += &format!("[[group.device]]\nname = \"{group}.{number:04}\"\naddress = \"127.0.{hall}.{number}\"\n");
        }
        text += &format!("[group.actuator]\nkind = \"simulated\"\nurl = \"http://{}\"\n", site.addr());
    }
    let path = folder.join("hashgate.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn run(config: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hashgate"));
    command.args(["run", "--config", config]).env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap()
}

/// Waits until the proxy shows these phases.
async fn phases(config: &str, wanted: [&str; 2]) {
    let begun = Instant::now();
    loop {
        let shown = hashgate(&["groups", "--json", "--config", config], &[]).await;
        let page: Value = serde_json::from_str(&shown.out).unwrap_or_default();
        if [&page["groups"][0]["phase"], &page["groups"][1]["phase"]] == wanted {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{wanted:?}: {shown:?}");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sleeps_when_the_config_has_no_actuators_any_more_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let site = simulated().await;
    let path = config(folder.path(), &site);
    let clean = hashgate(&["check", "--config", &path], &[]).await;
    assert!(clean.code == Some(0) && !clean.out.contains("told to sleep"), "{clean:?}");
    let mut proxy = run(&path);
    phases(&path, ["MINING", "MINING"]).await;
    let done = hashgate(&["drain", "hall-a", "--config", &path], &[]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    phases(&path, ["ASLEEP", "MINING"]).await;
    let running = hashgate(&["check", "--config", &path], &[]).await;
    assert!(running.code == Some(0) && !running.out.contains("warning: 3 machines"), "{running:?}");

    // Its machines go out of the config, then all actuators do.
    let words =
        "3 machines of group \"hall-a\" were told to sleep, or were on their way, and no group of the config has them";
    let whole = fs::read_to_string(&path).unwrap();
    let (head, rest) = whole.split_once("[[group]]\nname = \"hall-a\"").unwrap();
    let (_, second) = rest.split_once("[[group]]\nname = \"hall-b\"").unwrap();
    let second = format!("[[group]]\nname = \"hall-b\"{second}");
    let none = "[[group]]\nname = \"hall-a\"\nsignal = \"pays\"\n".to_owned();
    for text in [format!("{head}{second}"), format!("{head}{none}")] {
        fs::write(&path, text).unwrap();
        let checked = hashgate(&["check", "--config", &path], &[]).await;
        assert_eq!(checked.code, Some(0), "{checked:?}");
        contains(&checked.out, &["warning: ", words, "hall-a.0001, hall-a.0002, hall-a.0003"]);
        proxy.kill().await.unwrap();
        proxy = run(&path);
        let begun = Instant::now();
        loop {
            let shown = hashgate(&["groups", "--config", &path], &[]).await;
            if format!("{}{}", shown.out, shown.err).contains(words) {
                break;
            }
            assert!(begun.elapsed() < LIMIT, "{shown:?}");
            sleep(Duration::from_millis(100)).await;
        }
    }
    assert_eq!(site.report().counts.asleep, MACHINES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_proxy_put_to_sleep_is_woken_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let site = simulated().await;
    let config = config(folder.path(), &site);
    let without_ledger = hashgate(&["wake-all", "--config", &config], &[]).await;
    assert_eq!(without_ledger.code, Some(1), "{without_ledger:?}");
    contains(&without_ledger.err, &["there was never a power ledger"]);

    let mut proxy = run(&config);
    phases(&config, ["MINING", "MINING"]).await;
    let done = hashgate(&["drain", "hall-a", "--why", "visitors", "--config", &config], &[]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let done = hashgate(&["lockout", "hall-b", "--why", "fans are changed", "--config", &config], &[]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    phases(&config, ["ASLEEP", "LOCKOUT"]).await;
    let begun = Instant::now();
    while site.report().counts.asleep < 2 * MACHINES {
        assert!(begun.elapsed() < LIMIT, "{:?}", site.report().counts);
        sleep(Duration::from_millis(50)).await;
    }

    for command in [&["wake-all"][..], &["wake-all", "--dry-run"], &["take-over", "--yes"]] {
        let behind = hashgate(&[command, &["--config", &config]].concat(), &[]).await;
        assert_eq!(behind.code, Some(1), "{behind:?}");
        contains(&behind.err, &["another controller runs on this ledger", "hashgate wake GROUP"]);
    }
    assert_eq!(site.report().counts.asleep, 2 * MACHINES);
    // It dies, as processes do.
    proxy.kill().await.unwrap();

    let dry = hashgate(&["wake-all", "--dry-run", "--config", &config], &[]).await;
    assert_eq!(dry.code, Some(0), "{dry:?}");
    contains(
        &dry.out,
        &[
            "group hall-a: was left ASLEEP, 3 machines were told to sleep; would be woken",
            "group hall-b: would be left alone, it is locked out: fans are changed",
            "nothing was ordered",
        ],
    );
    assert_eq!(site.report().counts.asleep, 2 * MACHINES);
    let unknown = hashgate(&["wake-all", "--group", "hall-c", "--config", &config], &[]).await;
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    contains(&unknown.err, &["no group \"hall-c\""]);

    let woken = hashgate(&["wake-all", "--group", "hall-a", "--config", &config], &[]).await;
    assert_eq!(woken.code, Some(0), "{woken:?}");
    contains(&woken.out, &["group hall-a: WAKING", "group hall-a: MINING", "group hall-a: mines"]);
    // One that still boots draws already.
    let begun = Instant::now();
    while site.report().counts.mining < MACHINES {
        assert!(begun.elapsed() < LIMIT, "{:?}", site.report().counts);
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(site.report().counts.asleep, MACHINES);
    // Who is locked out stays so, and is named.
    let all = hashgate(&["wake-all", "--config", &config], &[]).await;
    assert_eq!(all.code, Some(1), "{all:?}");
    contains(&all.out, &["group hall-a: mines", "group hall-b: left alone, it is locked out: fans are changed"]);
    contains(&all.err, &["1 of 2 groups are not awake"]);
    assert_eq!(site.report().counts.asleep, MACHINES);

    // A ledger that is there is not begun anew; one that is lost is, with an operator's word.
    let take = hashgate(&["take-over", "--config", &config], &[]).await;
    assert_eq!(take.code, Some(2), "{take:?}");
    contains(&take.err, &["--yes", "no other proxy controls this site"]);
    let present = hashgate(&["take-over", "--yes", "--config", &config], &[]).await;
    assert_eq!(present.code, Some(1), "{present:?}");
    contains(&present.err, &["there is a power ledger"]);
    for file in ["power.db", "power.db-wal", "power.db-shm"] {
        let _ = fs::remove_file(folder.path().join(file));
    }
    let lost = run(&config).wait().await.unwrap();
    assert_eq!(lost.code(), Some(1), "a lost ledger is not begun anew in silence");
    let nothing = hashgate(&["wake-all", "--config", &config], &[]).await;
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    contains(&nothing.err, &["the power ledger is lost", "hashgate take-over"]);
    let taken = hashgate(&["take-over", "--yes", "--config", &config], &[]).await;
    assert_eq!(taken.code, Some(0), "{taken:?}");
    contains(&taken.out, &["a new power ledger begins at"]);
    // Nobody knows any more who was to sleep: all that the config names are told to wake.
    let mut proxy = run(&config);
    let begun = Instant::now();
    while site.report().counts.mining < 2 * MACHINES {
        assert!(begun.elapsed() < LIMIT, "{:?}", site.report().counts);
        sleep(Duration::from_millis(50)).await;
    }
    proxy.kill().await.unwrap();
}
