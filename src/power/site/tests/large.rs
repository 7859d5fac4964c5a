//! Ten thousand devices, or `HASHGATE_DEVICES`: an input costs what its device costs, however many others there are.

use std::time::Instant;

use super::*;

const DEVICES: usize = 10_000;

fn devices() -> usize {
    std::env::var("HASHGATE_DEVICES").ok().and_then(|devices| devices.parse().ok()).unwrap_or(DEVICES)
}

/// `cargo test --release --lib site::tests::large -- --ignored --nocapture`
#[test]
#[ignore = "a measurement, for a release build"]
fn a_drain_of_ten_thousand_costs_microseconds_for_each_reading() {
    let devices = devices();
    let mut terms = terms(devices as f64 * 8_000.0);
    for group in terms.groups.iter_mut().flatten() {
        (group.terms.ramp_down, group.terms.ramp_up) = (watts(1e9), watts(1e9));
    }
    let mut hall = Hall::new(terms, devices / 2);
    let pass = |hall: &mut Hall, what: &str, seconds: i64| {
        let (began, outputs) = (Instant::now(), hall.outputs);
        hall.passes(seconds);
        let took = began.elapsed();
        let readings = devices as f64 * seconds as f64 / EVERY as f64;
        println!(
            "{what}: {seconds} s of {devices} devices in {took:?}, {:.2} µs for each reading with its shares, {} outputs",
            took.as_secs_f64() * 1e6 / readings,
            hall.outputs - outputs
        );
    };
    pass(&mut hall, "start", 20);
    pass(&mut hall, "mining", 20);
    hall.wants([Goal::Sleep, Goal::Sleep], &[Some(CAPACITY)]);
    pass(&mut hall, "drain", 40);
    assert_eq!(hall.asleep(), devices);
    pass(&mut hall, "asleep", 20);
    hall.wants([Goal::Mine, Goal::Mine], &[Some(0.0)]);
    pass(&mut hall, "wake", 60);
    let began = Instant::now();
    let view = hall.site.view(at(hall.second));
    println!("a view in {:?}: {}", began.elapsed(), view.balance);
    let (began, passes) = (Instant::now(), 10);
    for second in 1..=passes {
        hall.site.handle_timeout(at(hall.second + second));
    }
    println!("a second without any reading in {:?}", began.elapsed() / passes as u32);
}
