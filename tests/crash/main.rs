//! A proxy that dies at any step of a drain or a wake leaves nothing asleep for ever, loses no lease and counts no watt as free that is not:
//! the real binary, killed at every step that can be told apart and at random ones, over real sockets.
//!
//! | file | what |
//! |---|---|
//! | `gate.rs` | what stands between the proxy and its world: writes down, kills, breaks |
//! | `world.rs` | simulated machines, AI compute and pool around the binary, and what must always be true of them |
//! | `main.rs` | the steps of the way at which it dies |
//! | `ends.rs` | ends by a signal, of the ledger, of the disk |
//! | `faults.rs` | what fails beside it, and the words for that |
//!
//! `HASHGATE_CRASHES` is how many random moments are tried beside the steps, [`RANDOM`] by default; `HASHGATE_SEED` decides them.

mod ends;
mod faults;
mod gate;
mod world;

use std::{
    env,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

use self::{
    gate::{Kind, Trap},
    world::{World, rows},
};

/// Random moments at which it dies.
const RANDOM: u64 = 8;

/// How many worlds there are at once that die at random …
const LANES: u64 = 4;

/// … and at each step: two steps in each, one of the way down and one of the way up. A lane waits nearly all of its time.
const STEP_LANES: u64 = 7;
const _: () = assert!(DRAIN.len() as u64 == STEP_LANES && WAKE.len() as u64 == STEP_LANES);

/// Steps of a drain, in their order.
const DRAIN: &[Trap] = &[
    // Before the first command.
    Trap::Before(Kind::Sleep, "", 1),
    // After the canary of a group.
    Trap::Before(Kind::Sleep, "hall-a", 2),
    // In the middle of batches.
    Trap::After(Kind::Sleep, "hall-b", 3),
    // After the last proof of a group.
    Trap::AllAsleep("hall-c"),
    // The lease is written and nobody knows of it.
    Trap::Before(Kind::Grant, "", 1),
    // It is known, and that is not heard.
    Trap::After(Kind::Grant, "", 1),
    Trap::AiDraws,
];

/// Steps of a wake, in their order.
const WAKE: &[Trap] = &[
    Trap::Before(Kind::Revoke, "", 1),
    Trap::After(Kind::Revoke, "", 1),
    // Given back, and not booked.
    Trap::AiDrawsNoMore,
    // The hold is written, and no machine is told.
    Trap::Before(Kind::Wake, "", 1),
    Trap::After(Kind::Wake, "", 1),
    // In the middle of waking.
    Trap::Before(Kind::Wake, "hall-b", 3),
    Trap::After(Kind::Wake, "", 6),
];

/// Crashes that were survived.
static SURVIVED: AtomicU64 = AtomicU64::new(0);

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn survived(what: &str, begun: Instant) {
    let count = SURVIVED.fetch_add(1, Ordering::Relaxed) + 1;
    println!("crash {count}: {what}; where it should be after {:.1} s", begun.elapsed().as_secs_f64());
}

/// One cycle, and a death at each of its steps: every life goes on where the last one ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_at_each_step_of_one_cycle_ends_where_the_verdict_says() {
    let mut world = World::start(2).await;
    let begun = Instant::now();
    for (steps, is_profitable) in [(DRAIN, false), (WAKE, true)] {
        let mut died_at = None;
        for trap in steps {
            world.gate.set(*trap);
            if let Some(died_at) = died_at.take() {
                world.restart().await;
                survived(&format!("{died_at:?}"), begun);
            }
            // It may die of the next step before it has heard.
            let _ = world.tries_to_say(is_profitable).await;
            // That step may be behind the last death already.
            died_at = world.dies_or_ends(is_profitable).await.then_some(trap);
        }
        world.gate.unset();
        if died_at.is_some() {
            world.restart().await;
        }
        world.says(is_profitable).await;
        world.ends(is_profitable).await;
    }
    let in_sockets = world.lost_no_share();
    println!("one cycle: {} lives, {in_sockets} shares in dead sockets", world.gate.life());
}

/// Each step alone, and a verdict after it that may be another: nothing is left behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_death_at_any_step_leaves_nothing_asleep_and_nothing_lent_when_mining_pays() {
    let seed = number("HASHGATE_SEED", 7);
    let lanes = (0..STEP_LANES).map(|lane| tokio::spawn(each_step(seed, lane)));
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.expect("a lane of crashes");
    }
}

async fn each_step(seed: u64, lane: u64) {
    let mut random = StdRng::seed_from_u64(seed ^ lane << 32);
    let mut world = World::start(lane).await;
    let steps = DRAIN.iter().map(|trap| (trap, false)).chain(WAKE.iter().map(|trap| (trap, true)));
    for (at, (trap, is_wake)) in steps.enumerate() {
        if at as u64 % STEP_LANES != lane {
            continue;
        }
        if is_wake {
            world.says(false).await;
            world.ends(false).await;
        }
        let begun = Instant::now();
        world.gate.set(*trap);
        world.says(is_wake).await;
        world.dies_at(*trap).await;
        let after = random.random_bool(0.5);
        println!("seed {seed}, lane {lane}: {trap:?} when mining {}, then it {}", pays(is_wake), pays(after));
        world.restart().await;
        world.says(after).await;
        world.ends(after).await;
        survived(&format!("{trap:?}"), begun);
        if !after {
            world.says(true).await;
            world.ends(true).await;
        }
    }
    let in_sockets = world.lost_no_share();
    println!("lane {lane}: {} lives, {in_sockets} shares in dead sockets", world.gate.life());
}

fn pays(is_profitable: bool) -> &'static str {
    if is_profitable { "pays" } else { "does not pay" }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_death_at_any_moment_ends_where_the_last_verdict_says() {
    let (seed, count) = (number("HASHGATE_SEED", 7), number("HASHGATE_CRASHES", RANDOM));
    let lanes = (0..LANES).map(|lane| tokio::spawn(at_random(seed, lane, count.div_ceil(LANES))));
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.expect("a lane of crashes");
    }
}

async fn at_random(seed: u64, lane: u64, count: u64) {
    let mut random = StdRng::seed_from_u64(seed.wrapping_add(1) ^ lane << 32);
    let mut world = World::start(lane + 10).await;
    let mut verdict = true;
    for crash in 0..count {
        let begun = Instant::now();
        verdict = !verdict || random.random_bool(0.2);
        world.says(verdict).await;
        let wait = Duration::from_millis(random.random_range(0..7000));
        let until = Instant::now() + wait;
        while Instant::now() < until {
            let _ = world.page().await;
            tokio::time::sleep(Duration::from_millis(20).min(until.saturating_duration_since(Instant::now()))).await;
        }
        world.gate.kill();
        let dead = Duration::from_millis(random.random_range(0..1500));
        let words =
            format!("seed {seed}, lane {lane}, crash {crash}: {wait:?} after mining {}, dead {dead:?}", pays(verdict));
        println!("{words}");
        tokio::time::sleep(dead).await;
        world.restart().await;
        // At times nothing is known for a while.
        if random.random_bool(0.3) {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..3000))).await;
        }
        if random.random_bool(0.3) {
            verdict = !verdict;
        }
        world.says(verdict).await;
        // Not every time: the next death finds it on its way.
        if random.random_bool(0.6) {
            world.ends(verdict).await;
        }
        survived(&words, begun);
    }
    world.says(true).await;
    world.ends(true).await;
    let in_sockets = world.lost_no_share();
    println!("lane {lane}: {} lives, {in_sockets} shares in dead sockets", world.gate.life());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operators_word_outlives_a_death() {
    let mut world = World::start(20).await;
    let begun = Instant::now();
    world.says(true).await;
    let phase =
        |page: &serde_json::Value, group: usize| page["groups"][group]["phase"].as_str().unwrap_or("").to_owned();
    // A lockout puts its machines to sleep; it dies on the way, and then when they sleep.
    world.gate.set(Trap::After(Kind::Sleep, "hall-a", 3));
    world.order("hall-b", "drain", "visitors").await;
    world.order("hall-a", "lockout", "fans are changed").await;
    world.dies_at(Trap::After(Kind::Sleep, "hall-a", 3)).await;
    world.restart().await;
    world.says(true).await;
    survived("in a lockout and in an operator's drain, on the way", begun);
    let asleep = |page: &serde_json::Value| {
        phase(page, 0) == "LOCKOUT" && phase(page, 1) == "ASLEEP" && phase(page, 2) == "MINING"
    };
    let is_asleep = |page: &serde_json::Value| {
        asleep(page) && rows(page).take(2).all(|group| group["sleeping"]["confirmed"] == world::MACHINES)
    };
    world.shows("one is locked out, one is drained", is_asleep).await;
    world.order("hall-c", "hold", "we look at it").await;
    world.gate.kill();
    world.restart().await;
    world.says(true).await;
    survived("in a lockout, in an operator's drain and in a hold", begun);
    let is_left = |page: &serde_json::Value| {
        phase(page, 0) == "LOCKOUT" && phase(page, 1) == "ASLEEP" && phase(page, 2) == "MANUAL_HOLD"
    };
    world.shows("all three words still hold", is_left).await;
    world.keeps_the_rules();
    let life = world.gate.life();
    let woken = world.gate.calls().iter().filter(|call| call.kind == Kind::Wake).count();
    assert_eq!(woken, 0, "nobody whom an operator put to sleep was woken");
    let commands =
        |kind| move |call: &&gate::Call| call.kind == kind && call.life == life && call.who.starts_with("hall-c");
    assert_eq!(world.gate.calls().iter().filter(commands(Kind::Sleep)).count(), 0, "nothing is commanded in a hold");

    world.order("hall-a", "unlock", "").await;
    world.order("hall-b", "release", "").await;
    world.order("hall-c", "release", "").await;
    world.ends(true).await;
    world.lost_no_share();
}
