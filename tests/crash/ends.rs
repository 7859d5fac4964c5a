//! Ends that are no crash: by a signal, of the ledger, of the disk, and of a second controller.

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::{
    gate::{Kind, eventually},
    world::{self, GROUPS, LIMIT, MACHINES, World, rows},
};

fn contains(text: &str, wanted: &[&str]) {
    for words in wanted {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
}

fn commands(world: &World) -> usize {
    world.gate.calls().iter().filter(|call| matches!(call.kind, Kind::Sleep | Kind::Wake)).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_is_asked_for_leaves_groups_as_they_are_and_a_second_controller_is_refused() {
    let mut world = World::start(30).await;
    world.says(false).await;
    eventually("the drain has begun", LIMIT, || world.site.report().counts.asleep > 0).await;
    let mut process = world.gate.process().expect("it runs");
    let begun = Instant::now();
    let id = i32::try_from(process.id().expect("it runs")).expect("an id");
    kill_process(Pid::from_raw(id).expect("an id"), Signal::TERM).expect("it is ours");
    let status = process.wait().await.expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", world.log());
    // Its grace, and what ends beside it.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    contains(&world.log(), &["the power side ends: ", "the next start goes on with them"]);
    let (count, left) = (commands(&world), world.site.report().counts);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(commands(&world), count, "nobody commands any more");
    assert_eq!(world.gate.calls().iter().filter(|call| call.kind == Kind::Wake).count(), 0, "{left:?}");
    world.run().await;
    world.says(false).await;
    world.ends(false).await;

    for arguments in [&["run"][..], &["wake-all"], &["take-over", "--yes"]] {
        let (code, out, err) = world.hashgate(arguments).await;
        assert_eq!(code, 1, "{arguments:?}: {out}{err}");
        contains(&(out + &err), &["another controller runs on this ledger (process "]);
    }
    world.ends(false).await;

    // Dead, with everything asleep and lent: an operator wakes it without the proxy.
    world.gate.kill();
    world.gate.process().expect("it ran").wait().await.expect("it ends");
    let (code, out, err) = world.hashgate(&["wake-all"]).await;
    println!("--- wake-all\n{out}{err}");
    assert_eq!(code, 0, "{out}{err}");
    // It knows watts alone: the last may still boot.
    assert_eq!(world.site.report().counts.asleep, 0);
    eventually("all mine", LIMIT, || world.site.report().counts.mining == GROUPS.len() * MACHINES).await;
    assert_eq!(world.site.report().record.over_cap_seconds, 0.0);
    world.bury().await;
    world.run().await;
    world.says(true).await;
    world.ends(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_ledger_needs_an_operators_word_and_leaves_nobody_asleep() {
    // Those that the config does not name were known from the old ledger alone.
    let mut world = World::start_with(31, |config| {
        GROUPS
            .iter()
            .fold(config, |config, group| config.replace(&format!("workers = \"{group}.*\"\n"), &world::listed(group)))
    })
    .await;
    world.says(false).await;
    world.ends(false).await;
    world.gate.kill();
    world.gate.process().expect("it ran").wait().await.expect("it ends");
    for file in ["power.db", "power.db-wal", "power.db-shm"] {
        let _ = fs::remove_file(world.path(file));
    }
    let (code, out, err) = world.hashgate(&["run"]).await;
    assert_eq!(code, 1, "{out}{err}");
    contains(&(out + &err), &["the power ledger is lost", "hashgate take-over"]);
    let (code, out, err) = world.hashgate(&["take-over", "--yes"]).await;
    println!("--- take-over\n{out}{err}");
    assert_eq!(code, 0, "{out}{err}");
    world.bury().await;
    world.run().await;
    let page = world.page().await.expect("it is there");
    assert!(page["site"]["ai_kw"].as_f64() >= Some(25.0), "the block counts whole: {page:#}");
    world
        .shows("AI compute has given back", |page| page["blocks"][0]["leases"].as_array().is_some_and(Vec::is_empty))
        .await;
    world.groups("after a take-over").await;
    world.says(true).await;
    world.ends(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_moves_nobody_and_miners_go_on() {
    let mut world = World::start(32).await;
    world.says(true).await;
    world.gate.kill();
    world.gate.process().expect("it ran").wait().await.expect("it ends");
    let sizes = ["power.db", "power.db-wal"].map(|name| fs::metadata(world.path(name)).map_or(0, |file| file.len()));
    // Files grow no more than a little; the log goes by a pipe, and its limit is none.
    let limit = sizes.into_iter().max().unwrap_or_default() / 1024 + 16;
    let script = format!("exec > >(cat) 2>&1; trap '' XFSZ; ulimit -f {limit}; exec \"$@\"");
    world.wrapper = ["bash", "-c", &script, "wrapper"].map(str::to_owned).into();
    world.bury().await;
    world.run().await;
    world.shows("all is measured", |page| rows(page).all(|group| group["measured"] == MACHINES)).await;
    let before = world.pool.as_ref().expect("it runs").stats().accepted;
    world.says(false).await;
    let words = "nothing is commanded or lent that rests on it; trying again";
    eventually("the disk is full", LIMIT, || world.log().contains(words)).await;
    let count = commands(&world);
    world.groups("on a full disk").await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(commands(&world), count, "{}", world.log());
    let pool = world.pool.as_ref().expect("it runs");
    eventually("shares go on", LIMIT, || pool.stats().accepted > before + 5).await;
    let log = world.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains(words)).collect();
    println!("{} lines: {}", lines.len(), lines[0]);
    // There is room again.
    world.gate.kill();
    world.wrapper.clear();
    world.restart().await;
    world.says(false).await;
    world.ends(false).await;
}
