//! A crash between every pair of steps of a whole cycle: drain, lease, asked back, wake.

use super::*;

/// A whole cycle; how many outputs it took.
fn cycle(dies_at: Option<usize>) -> (Hall, usize) {
    let mut hall = Hall::new(terms(30_000.0), 4);
    hall.passes(20);
    let before = hall.outputs;
    hall.dies_at = dies_at.map(|step| before + step);
    hall.wants([Goal::Sleep, Goal::Mine], &[Some(10_000.0)]);
    hall.until("the lease", 400, |hall| hall.granted() > 8_000.0 && hall.phase(0) == Phase::Asleep);
    hall.passes(20);
    hall.wants([Goal::Mine, Goal::Mine], &[Some(0.0)]);
    let is_done = |hall: &Hall| hall.phase(0) == Phase::Mining && hall.asleep() == 0 && hall.granted() == 0.0;
    hall.until("the wake", 900, is_done);
    let steps = hall.outputs - before;
    (hall, steps)
}

#[test]
fn a_crash_at_any_output_of_a_drain_a_lease_and_a_wake_ends_where_it_should_and_never_over_the_cap() {
    let (whole, steps) = cycle(None);
    assert!(whole.peak <= 30_000.0, "{}", whole.peak);
    assert!(steps > 30, "{steps}");
    for step in 1..=steps {
        let (hall, _) = cycle(Some(step));
        assert_eq!(hall.heard("crash"), 1, "step {step}");
        assert!(hall.peak <= 30_000.0, "step {step}: {} W\n{}", hall.peak, hall.story.join("\n"));
        assert_eq!(hall.leases[0].len(), 0, "step {step}: a lease is forgotten:\n{}", hall.story.join("\n"));
    }
}
