use super::*;

const POLL: Duration = Duration::from_secs(10);
const MOVING: Duration = Duration::from_secs(2);

fn key(device: usize) -> DeviceKey {
    DeviceKey { group: 0, device }
}

fn calls(now: Instant, devices: usize, most: usize) -> Calls {
    let mut calls = Calls::new(now, 1, most, POLL, MOVING);
    (0..devices).for_each(|device| calls.add(now, key(device), true));
    calls
}

#[test]
fn a_command_goes_before_readings_and_never_beside_one_to_the_same_machine() {
    let now = Instant::now();
    let mut calls = calls(now, 3, 2);
    assert_eq!(calls.next(now), Some(Call::Read(key(0))));
    calls.command(key(0), Command::Sleep);
    calls.command(key(2), Command::Sleep);
    assert_eq!(calls.next(now), Some(Call::Command(key(2), Command::Sleep)));
    assert_eq!(calls.next(now), None, "two at once are enough");
    calls.answered(now, key(2), now, true);
    assert_eq!(calls.next(now), Some(Call::Read(key(1))), "the first is busy, so its command waits");
    calls.answered(now, key(0), now, false);
    assert_eq!(calls.next(now), Some(Call::Command(key(0), Command::Sleep)));
    calls.answered(now, key(1), now, false);
    calls.answered(now, key(0), now, true);
    assert_eq!(calls.next(now), None);
    // What moves is measured soon.
    assert_eq!(calls.next(now + MOVING), Some(Call::Read(key(0))));
}

#[test]
fn the_last_command_counts_and_none_is_sent_twice() {
    let now = Instant::now();
    let mut calls = calls(now, 1, 8);
    assert_eq!(calls.next(now), Some(Call::Read(key(0))));
    calls.command(key(0), Command::Sleep);
    calls.command(key(0), Command::Wake(None));
    calls.answered(now, key(0), now, false);
    assert_eq!(calls.next(now), Some(Call::Command(key(0), Command::Wake(None))));
    calls.answered(now, key(0), now, false);
    assert_eq!(calls.next(now), None);
    calls.command(key(0), Command::Sleep);
    calls.forget_commands();
    assert_eq!(calls.next(now), None);
}

#[test]
fn what_a_group_was_to_be_told_is_told_no_more_once_it_is_forgotten() {
    let now = Instant::now();
    let mut calls = Calls::new(now, 2, 1, POLL, MOVING);
    let other = DeviceKey { group: 1, device: 0 };
    (0..2).for_each(|device| calls.add(now, key(device), false));
    calls.add(now, other, false);
    calls.command(key(0), Command::Wake(None));
    assert_eq!(calls.next(now), Some(Call::Command(key(0), Command::Wake(None))));
    // One waits for its machine, which is busy; the others for their turn.
    calls.command(key(0), Command::Wake(None));
    calls.command(key(1), Command::Wake(None));
    calls.command(other, Command::Wake(None));
    calls.forget_commands_of(0);
    calls.answered(now, key(0), now, true);
    assert_eq!(calls.next(now), Some(Call::Command(other, Command::Wake(None))));
    calls.answered(now, other, now, true);
    assert_eq!(calls.next(now), None);
    calls.command(key(1), Command::Sleep);
    assert_eq!(calls.next(now), Some(Call::Command(key(1), Command::Sleep)));
}

#[test]
fn readings_come_once_in_a_poll_and_spread_over_it() {
    let start = Instant::now();
    let mut calls = calls(start, 1000, 64);
    let step = Duration::from_millis(100);
    let mut read = vec![0_u32; 1000];
    let mut most = 0;
    for tick in 0..600 {
        let now = start + step * tick;
        let mut at_once = 0;
        while let Some(call) = calls.next(now) {
            let Call::Read(key) = call else { panic!("nobody was commanded") };
            calls.answered(now, key, now, false);
            read[key.device] += 1;
            at_once += 1;
        }
        if tick >= 200 {
            most = most.max(at_once);
        }
    }
    // A minute: six polls, and the first reading at once.
    assert!(read.iter().all(|read| (5..=8).contains(read)), "{read:?}");
    assert!(most <= 20, "{most} at once, where ten a step are even");
}

#[test]
fn a_machine_that_nobody_can_measure_is_told_all_the_same() {
    let now = Instant::now();
    let mut calls = Calls::new(now, 1, 1, POLL, MOVING);
    calls.add(now, key(0), false);
    calls.probe(now, key(0));
    assert_eq!((calls.next(now), calls.wakes_at()), (None, None));
    calls.command(key(0), Command::Sleep);
    assert_eq!(calls.next(now), Some(Call::Command(key(0), Command::Sleep)));
    // Of groups and devices that there are not, nothing is known.
    calls.command(DeviceKey { group: 7, device: 0 }, Command::Sleep);
    calls.answered(now, DeviceKey { group: 0, device: 9 }, now, false);
}

#[test]
fn commands_leave_calls_to_readings_and_one_that_is_withdrawn_is_not_sent() {
    let now = Instant::now();
    let mut calls = calls(now, 20, 8);
    let later = now + POLL;
    (0..20).for_each(|device| calls.command(key(device), Command::Sleep));
    calls.forget_command(key(1));
    let under_way: Vec<Call> = std::iter::from_fn(|| calls.next(later)).collect();
    let commands: Vec<_> = under_way.iter().filter(|call| matches!(call, Call::Command(..))).collect();
    assert_eq!((commands.len(), under_way.len()), (6, 8), "{under_way:?}");
    assert!(!commands.contains(&&Call::Command(key(1), Command::Sleep)), "{under_way:?}");
    // A command that has ended makes room for the next one; the seventh is being measured.
    assert!(under_way.contains(&Call::Read(key(7))), "{under_way:?}");
    calls.answered(later, key(0), later, true);
    assert_eq!(calls.next(later), Some(Call::Command(key(8), Command::Sleep)));
}
