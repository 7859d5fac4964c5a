//! What fails beside the proxy while it moves machines: pool, firmware, meter, AI compute, prices. Each is told in words that say what, where,
//! why and what next, and none leaves anything asleep once it is over.

use std::time::{Duration, Instant};

use hashgate::sim::pool::Fault;
use tokio::time::sleep;

use crate::{
    gate::{Kind, Way, eventually},
    world::{LIMIT, World, rows},
};

fn count(world: &World, kind: Kind) -> usize {
    world.gate.calls().iter().filter(|call| call.kind == kind).count()
}

fn contains(text: &str, wanted: &[&str]) {
    for words in wanted {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_dies_is_no_drain_and_who_wakes_waits_for_its_work() {
    let world = World::start(40).await;
    world.says(true).await;
    let pool = world.pool.as_ref().expect("it runs");
    // While everybody mines: nobody is moved and nothing is lent.
    pool.fault(Fault::Down(Duration::from_secs(3)));
    sleep(Duration::from_secs(4)).await;
    assert_eq!((count(&world, Kind::Sleep), count(&world, Kind::Grant)), (0, 0));
    world.ends(true).await;
    // In the middle of a drain: the drain goes on.
    world.says(false).await;
    eventually("it has begun", LIMIT, || count(&world, Kind::Sleep) > 2).await;
    pool.fault(Fault::Down(Duration::from_secs(2)));
    world.ends(false).await;
    // When it is to wake: machines wait for work.
    pool.fault(Fault::Down(Duration::from_secs(6)));
    let down = Instant::now();
    world.says(true).await;
    world.shows("it waits", |page| rows(page).any(|group| group["phase"] == "WAKING")).await;
    world.groups("a wake without a pool").await;
    eventually("one is woken", LIMIT, || count(&world, Kind::Wake) > 0).await;
    println!("the first machine was woken {:?} after the pool was gone for 6 s", down.elapsed());
    assert!(down.elapsed() > Duration::from_secs(5), "{:?}\n{}", down.elapsed(), world.log());
    world.ends(true).await;
    world.keeps_the_rules();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firmware_that_fails_or_hangs_frees_nothing_and_is_tried_again() {
    let world = World::start(41).await;
    for way in [Way::Broken, Way::Hanging] {
        world.gate.way(&[Kind::Sleep, Kind::Wake], way);
        world.says(false).await;
        world.shows("groups give up", |page| rows(page).any(|group| group["phase"] == "FAULT")).await;
        let shown = world.groups(&format!("firmware that is {way:?}")).await;
        contains(
            &shown,
            &[
                "FAULT",
                "not asleep as ordered",
                "waits for another try",
                "a canary of one machine was told to sleep, and none did",
            ],
        );
        let why = if way == Way::Broken { "500" } else { "no answer in" };
        let log = world.log();
        let told = log.lines().find(|line| line.contains("could not be told") && line.contains(why));
        assert!(told.is_some() || way == Way::Hanging, "{log}");
        assert_eq!(count(&world, Kind::Grant), 0, "nothing is lent that is not measured");
        world.gate.way(&[Kind::Sleep, Kind::Wake], Way::Open);
        world.says(true).await;
        world.ends(true).await;
    }
    println!("{}", world.log());
    world.lost_no_share();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_meter_nothing_is_lent_and_nobody_is_woken_and_drains_go_on() {
    let world = World::start(42).await;
    world.gate.way(&[Kind::Meter], Way::Broken);
    world.shows("the meter is lost", |page| page["site"]["meter_kw"].is_null()).await;
    world.says(false).await;
    world.shows("everybody sleeps", |page| rows(page).all(|group| group["phase"] == "ASLEEP")).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(count(&world, Kind::Grant), 0, "{}", world.log());
    let shown = world.groups("no meter, asleep").await;
    contains(&shown, &["no more:", "meter"]);
    world.says(true).await;
    world.shows("groups want to wake", |page| rows(page).all(|group| group["phase"] == "WAKE_PENDING")).await;
    sleep(Duration::from_secs(2)).await;
    assert_eq!(count(&world, Kind::Wake), 0);
    let shown = world.groups("no meter, to wake").await;
    contains(&shown, &["waits for room: the site's meter is lost"]);
    world.gate.way(&[Kind::Meter], Way::Open);
    world.ends(true).await;
    println!("{}", world.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ai_compute_that_is_silent_gets_nothing_and_what_it_has_counts() {
    let world = World::start(43).await;
    // Its webhook refuses.
    world.gate.way(&[Kind::Grant, Kind::Renewal], Way::Broken);
    world.says(false).await;
    eventually("it is asked", LIMIT, || world.log().contains("could not be told of lease")).await;
    world.groups("a webhook that fails").await;
    contains(&world.log(), &["AI block \"gpus\" could not be told of lease 1-1: ", "500"]);
    world.shows("it is given up", |page| page["blocks"][0]["granted_kw"] == 0.0).await;
    world.groups("a webhook that failed").await;
    world.gate.way(&[Kind::Grant, Kind::Renewal], Way::Open);
    world.says(true).await;
    world.ends(true).await;
    println!("{}", world.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ai_compute_without_a_status_has_not_given_back() {
    let world = World::start(44).await;
    world.says(false).await;
    world.ends(false).await;
    world.gate.way(&[Kind::Status], Way::Hanging);
    world.shows("its status is too old", |page| page["blocks"][0]["drawn_kw"].is_null()).await;
    world.says(true).await;
    eventually("it is asked back", LIMIT, || count(&world, Kind::Revoke) > 0).await;
    sleep(Duration::from_secs(6)).await;
    // There is room for two of three groups beside all that it may draw.
    let page = world.page().await.expect("it is there");
    assert!(rows(&page).any(|group| group["phase"] == "WAKE_PENDING"), "nothing is proven to be back: {page:#}");
    assert!(page["site"]["ai_kw"].as_f64() >= Some(25.0), "{page:#}");
    let shown = world.groups("AI compute without a status").await;
    contains(&shown, &["asked back", "draws nobody knows what", "waits for room: "]);
    world.gate.way(&[Kind::Status], Way::Open);
    world.ends(true).await;
    println!("{}", world.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_price_that_is_stale_moves_nobody() {
    let world = World::start_with(45, |config| config.replace("max_age = \"1h\"", "max_age = \"2s\"")).await;
    world.says(false).await;
    world.ends(false).await;
    sleep(Duration::from_secs(3)).await;
    world.groups("a verdict that is stale").await;
    contains(&world.log(), &["signal \"verdict\" is stale"]);
    assert_eq!(count(&world, Kind::Wake), 0);
    world.says(true).await;
    world.ends(true).await;
}
