//! What the site is made of: its cap, its groups, its AI block.

use std::time::Duration;

use hashgate::{
    power::{
        device::{Patience, Spec},
        group::Terms,
        ledger::{BlockId, BlockRules, DeviceRules, MeterRules, Rules},
        site::{BlockTerms, GroupTerms, Joining, SiteTerms},
    },
    profit::{JoulesPerTerahash, Ratio, Watts},
    sim::plant::{Plant, PlantSettings},
};
use jiff::SignedDuration;

use crate::network::LONGEST;

/// What the ASICs' bounds alone reach: the site is oversubscribed when everybody mines.
pub const CAP: f64 = 240e3;
pub const ASICS: usize = 60;
/// Two halls.
pub const GROUPS: usize = 2;
/// Of each hall, where some are found later than the others.
pub const LATE: usize = 4;
/// 10 %, one of each kind.
const LIARS: usize = 6;
const NAMEPLATE: f64 = 3_500.0;
/// Almost all, when both halls sleep: what is booked as free and is not has no slack to hide in.
pub const AI_CAPACITY: f64 = 225e3;
pub const AI_IDLE: f64 = 5e3;
/// Two liars may wake unasked at once (one resets, one wakes by itself): 3.94 kW each at the meter; and the noise of the meter.
const RESERVE: f64 = 10e3;

/// After a blip woke everybody, the site is under its cap again in so many seconds that a controller ran: some readings of the meter
/// get lost (3 s apart, most within 4 s), a revocation is repeated every second, AI compute gives back in 10 s and fades in 8. If it
/// drew nothing just then, booting ASICs must be silent for 30 s before the meter is compared without them, some 15 s apart.
pub const BACK_UNDER: u64 = 120;

fn watts(value: f64) -> Watts {
    Watts::new(value).unwrap()
}

fn ratio(value: f64) -> Ratio {
    Ratio::new(value).unwrap()
}

pub fn plant(seed: u64) -> Plant {
    let ai_idle = AI_IDLE * 0.98;
    Plant::new(seed, PlantSettings { asics: ASICS, liars: LIARS, nameplate: NAMEPLATE, ai_idle, base_load: 10e3 })
}

/// Which ASIC of the plant a device is: liars are in both halls.
pub fn asic(group: usize, device: usize) -> usize {
    device * GROUPS + group
}

pub fn site() -> SiteTerms {
    let seconds = SignedDuration::from_secs;
    let rules = Rules {
        cap: watts(CAP),
        base_load: watts(10e3),
        reserve: watts(RESERVE),
        drift: watts(25.0),
        max_age: seconds(30),
        // The network's longest, and a firmware that acts 21 s after it was told.
        command_lifetime: seconds(LONGEST as i64 + 25),
        proofs: 3,
        meter: Some(MeterRules { max_age: seconds(15), deviation: ratio(0.1) }),
    };
    let group = |name: &str| GroupTerms { name: name.into(), terms: terms(), survives_power_cycle: false };
    let block = BlockTerms {
        id: BlockId::from("gpus"),
        rules: BlockRules {
            capacity: watts(AI_CAPACITY),
            idle: watts(AI_IDLE * 1.03),
            overhead: ratio(1.25),
            tolerance: ratio(0.03),
        },
        step: watts(1e3),
        sheds_within: Some(Duration::from_secs(30)),
        starts_within: Duration::from_secs(300),
        returns_within: Duration::from_secs(360),
        notice: Duration::from_secs(120),
    };
    SiteTerms {
        rules,
        groups: vec![Some(group("hall-a")), Some(group("hall-b"))],
        blocks: vec![Some(block)],
        lease_term: seconds(120),
    }
}

fn terms() -> Terms {
    Terms {
        ramp_down: watts(90e3),
        ramp_up: watts(90e3),
        canary: 2,
        floor: Watts::ZERO,
        min_mining: Duration::ZERO,
        min_asleep: Duration::ZERO,
        patience: Patience {
            tries: 3,
            backoff: Duration::from_secs(10),
            fresh: Duration::from_secs(30),
            quiet: Duration::from_secs(40),
        },
        quiet_limit: Duration::from_secs(60),
        probe: Duration::from_secs(15),
        ask_again: Duration::from_secs(10),
        work_wait: Duration::from_secs(5),
        may_fail: ratio(0.1),
        fault_retry: Duration::from_secs(120),
    }
}

/// The first so many devices of each hall.
pub fn devices(plant: &Plant, known: usize) -> Vec<Vec<Joining>> {
    let joining = |asic: usize| joining(plant, asic);
    (0..GROUPS).map(|group| (0..known).map(|index| joining(asic(group, index))).collect()).collect()
}

pub fn joining(plant: &Plant, asic: usize) -> Joining {
    let configured_max = plant.configured_max(asic).map(watts);
    let (nameplate, sleep_max) = (watts(NAMEPLATE), watts(60.0));
    Joining {
        spec: Spec {
            name: format!("asic-{asic}").into(),
            can_sleep: true,
            efficiency: JoulesPerTerahash::new(15.0 + asic as f64 / 10.0),
            most: watts(1.1 * NAMEPLATE).max(configured_max.unwrap_or(Watts::ZERO)),
            sleep_max,
            sleep_time: Duration::from_secs(30),
            wake_time: Duration::from_secs(240),
        },
        rules: DeviceRules { nameplate, configured_max, sleep_max, overhead: ratio(1.03), is_read: true },
    }
}
