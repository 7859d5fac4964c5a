//! What the site's machine is made of, from the config.
//!
//! Values in, values out. Watts of groups and devices are at their own supplies, those of the ledger, of ramps and of AI at the site
//! meter: what is in between is `[site]` overhead and the blocks' PUE.
//!
//! Dwell times are the decision engine's: it knows which order may break them. A group obeys at once.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::{
    config::{
        ActuatorKind, Ai, Config, DeviceEntry, Efficiency, Group, Power, PowerGroup, Profit, Rule, Survives,
        WattsSource,
    },
    power::{
        actuator::Actuator,
        device::{Goal, Patience, Spec},
        group::{DeviceRecord, Order, Phase, Record, Terms},
        ledger::{BlockId, BlockRules, DeviceRules, MeterRules, Rules},
        site::{BlockTerms, GroupTerms, Joining, SiteTerms, Write},
    },
    profit::{LIMIT, Ratio, Watts},
};

/// How long a group waits until it asks the ledger again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// A ramp that takes longer than that is no ramp any more.
const LONGEST_RAMP: Duration = Duration::from_secs(86_400);

/// What a device may draw over its nameplate: tuning firmware, a boot.
const OVER_NAMEPLATE: f64 = 1.1;

/// What the whole site is made of; `actuators` by the index of the group.
pub(super) fn site(
    config: &Config,
    profit: &Profit,
    power: &Power,
    actuators: &[Option<Arc<dyn Actuator>>],
) -> SiteTerms {
    let groups = power.groups.iter().zip(&profit.groups).zip(actuators).map(|((moved, group), actuator)| {
        let moved = moved.as_ref()?;
        Some(GroupTerms {
            name: group.name.clone(),
            terms: group_terms(moved, group.floor, profit.site.overhead, power),
            survives_power_cycle: survives(moved, actuator.as_deref()),
        })
    });
    let blocks = power.blocks.iter().zip(&profit.ai).map(|(told, ai)| {
        let told = told.as_ref()?;
        let at_meter = |watts: Watts| times(watts, ai.pue.get());
        Some(BlockTerms {
            id: block_id(ai),
            rules: BlockRules {
                capacity: at_meter(ai.power),
                idle: told.idle,
                overhead: ai.pue,
                tolerance: told.tolerance,
            },
            step: at_meter(ai.block),
            sheds_within: told.sheds_within,
            starts_within: told.starts_within,
            returns_within: told.returns_within,
            notice: ai.notice,
        })
    });
    let has_meter = |name: &str| config.signals.iter().any(|signal| &*signal.name == name);
    let meter = power.meter.as_ref().filter(|meter| has_meter(&meter.signal));
    SiteTerms {
        rules: Rules {
            cap: power.cap.unwrap_or(Watts::clamped(LIMIT)),
            base_load: profit.site.base_load,
            reserve: power.reserve,
            drift: power.drift,
            max_age: signed(power.max_age),
            command_lifetime: signed(power.command_lifetime),
            proofs: power.proofs,
            meter: meter.map(|meter| MeterRules { max_age: signed(meter.max_age), deviation: meter.deviation }),
        },
        groups: groups.collect(),
        blocks: blocks.collect(),
        lease_term: signed(power.lease_term),
    }
}

/// What groups are to begin with where the ledger is lost: any of their machines may sleep by an order that nobody remembers. Each that the
/// config names is told to wake, in no mode of its own, as that is lost as well; one that mines takes no harm from it. What is found by its
/// connection alone is not known yet, and not woken: once it is found asleep, it is offered to the operator (`idle.rs`).
pub(super) fn wakes_after_loss(power: &Power, now: Timestamp) -> Vec<Write> {
    let why = "the ledger was lost: whatever was asleep is to mine until something else is decided";
    let record = |moved: &PowerGroup| Record {
        number: 1,
        event: 0,
        phase: Phase::Waking,
        order: Order { goal: Goal::Mine, urgent: false, why: why.into() },
        since: now,
        overruled: None,
        devices: moved
            .devices
            .iter()
            .map(|device| DeviceRecord {
                name: (&*device.name).into(),
                goal: Goal::Mine,
                is_proven_asleep: false,
                rouses_until: None,
                dozes_until: None,
                mode: None,
            })
            .collect(),
    };
    let named = power.groups.iter().enumerate().filter_map(|(group, moved)| Some((group, moved.as_ref()?)));
    named
        .filter(|(_, moved)| !moved.devices.is_empty())
        .map(|(group, moved)| Write::Record(group, record(moved)))
        .collect()
}

/// A block's name in the book.
pub(super) fn block_id(ai: &Ai) -> BlockId {
    BlockId::from(&*ai.name)
}

fn group_terms(moved: &PowerGroup, floor: Watts, overhead: Ratio, power: &Power) -> Terms {
    let moves = &moved.moves;
    // A ramp is at the meter, a group's own watts are not.
    let own = |ramp: Option<Watts>| ramp.map_or(Watts::clamped(LIMIT), |ramp| times(ramp, 1.0 / overhead.get()));
    Terms {
        ramp_down: own(moves.ramp_down),
        ramp_up: own(moves.ramp_up),
        // Nothing tells whether a single one sleeps.
        canary: if is_one_meter(moved) { 0 } else { moves.canary },
        floor,
        min_mining: Duration::ZERO,
        min_asleep: Duration::ZERO,
        patience: Patience { tries: moves.tries, backoff: moves.backoff, fresh: power.max_age, quiet: moves.quiet },
        quiet_limit: moves.quiet_limit,
        probe: moves.probe,
        ask_again: ASK_AGAIN,
        work_wait: moves.work_wait,
        may_fail: moves.may_fail,
        fault_retry: moves.fault_retry,
    }
}

fn survives(moved: &PowerGroup, actuator: Option<&dyn Actuator>) -> bool {
    let known = match moved.sleep_survives_power_cycle {
        Survives::Unknown => actuator.map_or(Survives::Unknown, |actuator| actuator.sleep_survives_power_cycle()),
        said => said,
    };
    known == Survives::Yes
}

/// A device of a group, as the site gets to know it; `entry` if the config names it. `is_read`: something tells its watts.
pub(super) fn joining(
    name: &str,
    moved: &PowerGroup,
    group: &Group,
    overhead: Ratio,
    entry: Option<&DeviceEntry>,
    is_read: bool,
) -> Joining {
    let nameplate = entry.and_then(|entry| entry.nameplate).unwrap_or(moved.nameplate);
    let of_group = match &group.rule {
        Rule::Economics { efficiency: Efficiency::Fixed(efficiency), .. } => Some(*efficiency),
        _ => None,
    };
    let most = times(nameplate, OVER_NAMEPLATE).max(moved.configured_max.unwrap_or(Watts::ZERO));
    Joining {
        spec: Spec {
            name: name.into(),
            can_sleep: is_read || matches!(moved.actuator, ActuatorKind::Manual),
            efficiency: entry.and_then(|entry| entry.efficiency).or(of_group),
            most,
            sleep_max: moved.sleep_max,
            sleep_time: moved.moves.sleep_time.saturating_add(until_all(moved, moved.moves.ramp_down, group, overhead)),
            wake_time: moved.moves.wake_time.saturating_add(until_all(moved, moved.moves.ramp_up, group, overhead)),
        },
        rules: DeviceRules {
            nameplate,
            configured_max: moved.configured_max,
            sleep_max: moved.sleep_max,
            overhead,
            is_read,
        },
    }
}

/// Whether one meter tells the watts of all machines of a group.
fn is_one_meter(moved: &PowerGroup) -> bool {
    matches!(moved.watts, WattsSource::Group { .. })
}

/// How long after the first of its machines the last one is told, where the first can't be proven before the last: one meter tells the
/// watts of all. Nothing for any other group.
fn until_all(moved: &PowerGroup, ramp: Option<Watts>, group: &Group, overhead: Ratio) -> Duration {
    let (true, Some(ramp)) = (is_one_meter(moved), ramp) else { return Duration::ZERO };
    let most = |plate: Watts| times(plate, OVER_NAMEPLATE).max(moved.configured_max.unwrap_or(Watts::ZERO));
    let plates = || moved.devices.iter().map(|device| device.nameplate.unwrap_or(moved.nameplate));
    let listed: Watts = plates().map(most).sum();
    let biggest = times(plates().map(most).fold(most(moved.nameplate), Watts::max), overhead.get());
    let all = times(listed.max(times(group.power.unwrap_or(Watts::ZERO), OVER_NAMEPLATE)), overhead.get());
    // A minute has one machine at least, and what is left of its budget when the next does not fit is lost: less than half of it.
    let minutes = (2.0 * all.get() / ramp.max(biggest).get()).ceil();
    Duration::from_secs_f64((60.0 * minutes).min(LONGEST_RAMP.as_secs_f64()))
}

/// Whether a group measures efficiency.
pub(super) fn is_measured(rule: &Rule) -> bool {
    matches!(rule, Rule::Economics { efficiency: Efficiency::Measured, .. })
}

fn times(watts: Watts, factor: f64) -> Watts {
    Watts::clamped(watts.get() * factor)
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
