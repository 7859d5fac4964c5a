//! The site's machine against a plant that it does not know: whatever the network, the firmware and crashes do, the site stays under
//! its cap.

mod network;
mod terms;
mod world;

use hashgate::sim::plant::Misconduct;
use terms::{BACK_UNDER, CAP, GROUPS, LATE};
use world::{Outcome, World};

/// Runs of 40 minutes of the plant each.
const SECONDS: u64 = 2_400;

/// More of them: `HASHGATE_SEEDS=1000 cargo test --release --test power`.
fn seeds(usual: u64) -> u64 {
    std::env::var("HASHGATE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(usual)
}

/// From another seed on: `HASHGATE_FIRST_SEED=1000`.
fn first_seed() -> u64 {
    std::env::var("HASHGATE_FIRST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0)
}

fn check(seed: u64, outcome: &Outcome) {
    assert_eq!(outcome.over, 0, "seed {seed}: over the cap of {CAP} W, {outcome:?}");
    assert!(outcome.slowest < BACK_UNDER, "seed {seed}: not back under the cap in {BACK_UNDER} s, {outcome:?}");
}

fn sum(outcomes: &[Outcome]) -> Outcome {
    outcomes.iter().fold(Outcome::default(), |sum, run| Outcome {
        grants: sum.grants + run.grants,
        returns: sum.returns + run.returns,
        wakes: sum.wakes + run.wakes,
        receipts: sum.receipts + run.receipts,
        crashes: sum.crashes + run.crashes,
        blips: sum.blips + run.blips,
        ai_energy: sum.ai_energy + run.ai_energy,
        peak: sum.peak.max(run.peak),
        over: sum.over + run.over,
        slowest: sum.slowest.max(run.slowest),
        steps: sum.steps + run.steps,
        longest_over: sum.longest_over.max(run.longest_over),
        late_told: sum.late_told + run.late_told,
    })
}

#[test]
fn the_site_stays_under_its_cap_through_loss_lies_and_crashes() {
    let seeds = seeds(30);
    let mut outcomes = Vec::new();
    let first = first_seed();
    for seed in first..first + seeds {
        let mut world = World::new(seed);
        // A third without a crash, a third with some, a third with many.
        world.crash = [0.0, 0.0005, 0.005][seed as usize % 3];
        world.run(SECONDS, (seed % 2 == 1).then_some(1_200 + seed * 7 % 600));
        check(seed, &world.outcome);
        outcomes.push(world.outcome);
    }
    let sum = sum(&outcomes);
    let slowest: Vec<u64> = outcomes.iter().filter(|run| run.blips > 0).map(|run| run.slowest).collect();
    println!("seeds {first}..{}: {sum:?}; seconds over the cap after a blip: {slowest:?}", first + seeds);
    // It is no proof if nothing moves.
    let runs = seeds as usize;
    assert!(sum.grants > runs && sum.returns > runs && sum.wakes > 10 * runs, "{sum:?}");
    assert!(sum.receipts > runs && sum.ai_energy > runs as f64 * 5e6, "{sum:?}");
}

#[test]
fn a_crash_at_any_step_leaves_the_site_under_its_cap() {
    const SEED: u64 = 7;
    /// The first drain, its leases, and their return.
    const STEPS: u64 = 400;
    let apart = STEPS / seeds(16).clamp(1, STEPS);
    let mut outcomes = Vec::new();
    for crash_at in (1..=STEPS).step_by(apart as usize) {
        let mut world = World::new(SEED);
        world.crash_at = Some(crash_at);
        world.run(900, None);
        check(SEED, &world.outcome);
        outcomes.push(world.outcome);
    }
    let sum = sum(&outcomes);
    println!("seed {SEED}, {} crash points: {sum:?}", outcomes.len());
    assert_eq!(sum.crashes, outcomes.len());
}

#[test]
fn machines_that_are_found_while_their_hall_sleeps_sleep_as_well_and_the_site_stays_under_its_cap() {
    let seeds = seeds(9);
    let mut outcomes = Vec::new();
    for seed in 200..200 + seeds {
        let mut world = World::new(seed);
        // Both halls sleep by then, and are told nothing new for a while.
        world.late = 190;
        world.crash = [0.0, 0.0002][seed as usize % 2];
        world.run(1_500, None);
        check(seed, &world.outcome);
        outcomes.push(world.outcome);
    }
    let sum = sum(&outcomes);
    println!("{seeds} seeds: {sum:?}");
    // Some readings get lost, and some of the controllers just restart.
    let late = seeds as usize * GROUPS * LATE;
    assert!(sum.late_told > late / 2, "{} of {late} were told: {sum:?}", sum.late_told);
    assert!(sum.grants > seeds as usize && sum.wakes > 10 * seeds as usize, "{sum:?}");
}

#[test]
fn compute_that_misbehaves_keeps_the_site_over_its_cap_for_no_longer_than_shedding_takes() {
    for (seed, misconduct) in
        (100..100 + seeds(8)).zip([Misconduct::KeepsAll, Misconduct::Overdraws].into_iter().cycle())
    {
        let mut world = World::new(seed);
        world.misconduct = Some((300, misconduct));
        world.run(1_500, None);
        match misconduct {
            // What it does not give back, nobody else gets.
            Misconduct::KeepsAll => check(seed, &world.outcome),
            // The reserve does not hold a fifth of all; what can be put to sleep is.
            Misconduct::Overdraws => assert!(
                world.outcome.longest_over < BACK_UNDER,
                "seed {seed}: over the cap for {} s, {:?}",
                world.outcome.longest_over,
                world.outcome
            ),
        }
    }
}
