//! Random days of a rack. Its own checks run at every output (`Rack::obeys`, `Rack::answers`): no wake under a lockout or without permission, no
//! more than the ramp, nothing freed without a measurement after the last command, nothing commanded that is not on disk.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Happens {
    Order(Goal, bool),
    Hold,
    Release,
    Lock,
    Unlock,
    Crash,
    Lies(usize, bool),
    Reaches(usize, bool),
    Wakes(usize),
    Blip,
    Room(bool),
    Pool(bool),
    Refused(usize),
    Busy(bool),
    Joins,
}

const DEVICES: usize = 7;

fn happens() -> impl Strategy<Value = Happens> {
    let device = 0..DEVICES;
    prop_oneof![
        4 => Just(Happens::Order(Goal::Sleep, false)),
        1 => Just(Happens::Order(Goal::Sleep, true)),
        4 => Just(Happens::Order(Goal::Mine, false)),
        1 => Just(Happens::Hold),
        1 => Just(Happens::Release),
        1 => Just(Happens::Lock),
        1 => Just(Happens::Unlock),
        3 => Just(Happens::Crash),
        1 => (device.clone(), any::<bool>()).prop_map(|(device, yes)| Happens::Lies(device, yes)),
        2 => (device.clone(), any::<bool>()).prop_map(|(device, yes)| Happens::Reaches(device, yes)),
        1 => device.clone().prop_map(Happens::Wakes),
        1 => Just(Happens::Blip),
        1 => any::<bool>().prop_map(Happens::Room),
        1 => any::<bool>().prop_map(Happens::Pool),
        1 => device.prop_map(Happens::Refused),
        2 => any::<bool>().prop_map(Happens::Busy),
        1 => Just(Happens::Joins),
    ]
}

impl Rack {
    fn suffers(&mut self, event: Happens) {
        match event {
            Happens::Order(goal, urgent) => self.says(order(goal, urgent)),
            Happens::Hold => self.says(Input::Hold("random".into())),
            Happens::Release => self.says(Input::Release),
            Happens::Lock => self.says(Input::Lock("random".into())),
            Happens::Unlock => self.says(Input::Unlock),
            // A lockout that was not written yet was never confirmed to the person.
            Happens::Crash if self.locked && self.writing.is_some() => {}
            Happens::Crash => self.crashes(),
            Happens::Joins => {
                let index = self.specs.len();
                self.joins(specs(index + 1).remove(index));
            }
            Happens::Lies(device, yes) => self.miners[device].lies = yes,
            Happens::Reaches(device, yes) => self.miners[device].is_reachable = yes,
            Happens::Wakes(device) => self.miners[device].sleeps = false,
            Happens::Blip => self.miners.iter_mut().for_each(|miner| miner.sleeps = false),
            Happens::Room(yes) => self.has_room = yes,
            Happens::Pool(yes) => self.pool_answers = yes,
            Happens::Refused(device) => {
                // A driver refuses what it was called for.
                if !self.waiting.contains_key(&device) {
                    self.says(Input::Refused(device));
                }
            }
            Happens::Busy(yes) => {
                self.is_busy = yes;
                if !yes {
                    self.calls();
                    self.does();
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn whatever_happens_nothing_is_asleep_for_ever(day in prop::collection::vec((happens(), 0_i64..150), 1..40)) {
        let mut rack = Rack::new(specs(DEVICES), terms());
        for (event, seconds) in day {
            rack.suffers(event);
            rack.passes(seconds);
        }
        // The weather clears up, and people go home.
        (rack.has_room, rack.pool_answers) = (true, true);
        rack.suffers(Happens::Busy(false));
        rack.miners.iter_mut().for_each(|miner| (miner.is_reachable, miner.lies) = (true, false));
        rack.says(Input::Unlock);
        rack.says(Input::Release);
        rack.says(order(Goal::Mine, false));
        rack.until(Phase::Mining, 3_600);
        rack.passes(120);
        prop_assert_eq!(rack.asleep(), 0, "{}", rack.told.join("\n"));
        prop_assert!(rack.freed.is_empty());
    }

    #[test]
    fn whatever_happens_all_of_a_group_sleep_though_some_turn_up_late(
        day in prop::collection::vec((happens(), 0_i64..150), 0..15),
        unseen in 0_usize..(1 << DEVICES),
        late in 0_i64..200,
        crash in prop::option::of(0_i64..60),
    ) {
        let mut rack = Rack::new(specs(DEVICES), terms());
        for (event, seconds) in day {
            rack.suffers(event);
            rack.passes(seconds);
        }
        (rack.has_room, rack.pool_answers) = (true, true);
        rack.suffers(Happens::Busy(false));
        rack.miners.iter_mut().for_each(|miner| (miner.is_reachable, miner.lies) = (true, false));
        rack.says(Input::Unlock);
        rack.says(Input::Release);
        rack.says(order(Goal::Mine, false));
        rack.until(Phase::Mining, 3_600);
        (0..DEVICES).for_each(|index| rack.miners[index].is_reachable = unseen & 1 << index == 0);
        rack.passes(40);
        rack.says(order(Goal::Sleep, false));
        rack.passes(late);
        rack.miners.iter_mut().for_each(|miner| miner.is_reachable = true);
        rack.suffers(Happens::Joins);
        if let Some(seconds) = crash {
            rack.passes(seconds);
            rack.crashes();
        }
        // Where none was seen, it is tried again after a while.
        rack.passes(1_200);
        let all = rack.miners.len();
        prop_assert_eq!(rack.group.phase(), Phase::Asleep, "{}", rack.told.join("\n"));
        prop_assert_eq!((rack.asleep(), rack.freed.len()), (all, all), "{}", rack.told.join("\n"));
    }
}
