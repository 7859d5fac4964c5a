//! What an operator's order would do: the same rules as when it is carried out, read only.
//!
//! It says what is known now; devices that lie and prices that move are not in it.

use jiff::Timestamp;

use super::{Site, member::Member};
use crate::{
    power::{
        control::{Control, Plan},
        device::{Device, Goal},
        group::{Group, Phase, Terms},
    },
    profit::Watts,
};

/// More watts than any site draws.
const ANY_SITE: f64 = 1e12;

/// Which way an order leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Down { is_lockout: bool },
    Up,
    Nowhere,
}

impl Site {
    /// What an order would do; `None` for a group that nothing can move.
    pub fn plan(&self, now: Timestamp, group: usize, control: &Control) -> Option<Plan> {
        let member = self.members.get(group)?;
        let machine = member.group.as_ref()?;
        let terms = &self.terms.groups.get(group)?.as_ref()?.terms;
        let phase = machine.phase();
        let is_locked = phase == Phase::Lockout;
        let mut words = Vec::new();
        let is_wake = matches!(control, Control::Wake { .. });
        let idle = machine.devices().filter(|device| device.is_idle()).count();
        let (leads_to, way) = match control {
            Control::Lockout { .. } if is_locked => (None, Way::Nowhere),
            Control::Lockout { .. } => (Some(Phase::Lockout), Way::Down { is_lockout: true }),
            _ if is_locked && *control != Control::Unlock => {
                words.push("it is locked out: that comes first, until somebody unlocks it".to_owned());
                (None, Way::Nowhere)
            }
            Control::Hold { .. } if phase == Phase::ManualHold => (None, Way::Nowhere),
            Control::Hold { .. } => {
                words.push("nothing is commanded until it is released; its devices stay as they are".to_owned());
                words.push("the grid, danger and the site's cap come first; it is held again after that".to_owned());
                (Some(Phase::ManualHold), Way::Nowhere)
            }
            Control::Drain { .. } => match phase {
                Phase::Asleep | Phase::Draining | Phase::DrainPending => (None, Way::Nowhere),
                Phase::WakePending => (Some(Phase::Asleep), Way::Down { is_lockout: false }),
                Phase::Waking => (Some(Phase::Draining), Way::Down { is_lockout: false }),
                _ => (Some(Phase::DrainPending), Way::Down { is_lockout: false }),
            },
            Control::Wake { .. } => match phase {
                Phase::Mining if idle > 0 => {
                    words.push(format!("{idle} machines sleep that nobody here put to sleep: they are woken"));
                    (Some(Phase::WakePending), Way::Up)
                }
                Phase::Mining | Phase::WakePending | Phase::Waking => (None, Way::Nowhere),
                Phase::DrainPending if !has_touched(machine) => (Some(Phase::Mining), Way::Nowhere),
                _ => (Some(Phase::WakePending), Way::Up),
            },
            Control::Release | Control::Unlock => {
                let waits = matches!(phase, Phase::ManualHold | Phase::Fault | Phase::Lockout);
                let wanted = member.wanted.as_ref().map_or(machine.order().goal, |(order, _)| order.goal);
                words.push("prices decide again".to_owned());
                match (waits, wanted) {
                    (false, _) => (None, Way::Nowhere),
                    (true, Goal::Sleep) => (Some(Phase::DrainPending), Way::Down { is_lockout: false }),
                    (true, Goal::Mine) => (Some(Phase::WakePending), Way::Up),
                }
            }
        };
        let draws = self.draws_at_meter(group);
        let sums = match way {
            Way::Down { is_lockout } => down(member, terms, is_lockout),
            Way::Up => self.up(now, member, is_wake),
            Way::Nowhere => Sums { at_rest: member.count() as u64, ..Sums::NONE },
        };
        let ramp = if way == Way::Up { terms.ramp_up } else { terms.ramp_down };
        let takes_s = if sums.told > 0 { minutes(sums.most, ramp) * 60.0 } else { 0.0 };
        let asks_back = match way {
            Way::Up => sums.increase.saturating_sub(self.ledger.balance(now).room()).min(self.lent()),
            Way::Down { .. } | Way::Nowhere => Watts::ZERO,
        };
        let will_draw = match way {
            Way::Up => draws + sums.change,
            _ => draws.saturating_sub(sums.change),
        };
        describe(&mut words, way, &sums, terms, ramp, asks_back, will_draw);
        Some(Plan {
            group: self.group_name(group).into(),
            phase,
            leads_to,
            devices: sums.told,
            left_out: (member.count() as u64).saturating_sub(sums.told + sums.at_rest),
            draws_kw: draws.kilowatts(),
            will_draw_kw: will_draw.kilowatts(),
            asks_back_kw: asks_back.kilowatts(),
            takes_s,
            words,
        })
    }

    /// `rouses`: who was not put to sleep here is woken as well.
    fn up(&self, now: Timestamp, member: &Member, rouses: bool) -> Sums {
        let mut sums = Sums::NONE;
        for (known, device) in member.pairs() {
            if device.is_untouched() && !(rouses && device.is_idle()) {
                sums.at_rest += 1;
                continue;
            }
            let most = self.ledger.bound(&known.id);
            sums.told += 1;
            sums.most = sums.most + device.spec().most;
            sums.change = sums.change + most.saturating_sub(at_meter(known.overhead, device.watts()));
            sums.increase = sums.increase + most.saturating_sub(self.ledger.counts(now, &known.id));
        }
        sums
    }
}

/// Of the devices that an order moves.
#[derive(Debug, Clone, Copy)]
struct Sums {
    told: u64,
    /// They are as they should be.
    at_rest: u64,
    /// Their bounds, at their own supplies.
    most: Watts,
    /// At the site meter.
    change: Watts,
    /// What the ledger counts more.
    increase: Watts,
}

impl Sums {
    const NONE: Self = Self { told: 0, at_rest: 0, most: Watts::ZERO, change: Watts::ZERO, increase: Watts::ZERO };
}

fn down(member: &Member, terms: &Terms, is_lockout: bool) -> Sums {
    let mut sums = Sums::NONE;
    let mut order: Vec<_> = member.pairs().collect();
    let joules = |device: &Device| device.spec().efficiency.map_or(f64::INFINITY, |joules| joules.get());
    order.sort_by(|a, b| joules(b.1).total_cmp(&joules(a.1)));
    let mines = |device: &Device| device.is_candidate();
    let mut mining: Watts = order.iter().filter(|(_, device)| mines(device)).map(|(_, device)| device.watts()).sum();
    for (known, device) in order {
        if device.is_proven_asleep() {
            sums.at_rest += 1;
            continue;
        }
        if device.is_candidate() {
            let left = mining.saturating_sub(device.watts());
            if !is_lockout && left < terms.floor {
                continue;
            }
            mining = left;
        } else if device.is_untouched() {
            continue;
        }
        sums.told += 1;
        sums.most = sums.most + device.spec().most;
        let change = device.watts().saturating_sub(device.spec().sleep_max);
        sums.change = sums.change + at_meter(known.overhead, change);
    }
    sums
}

fn describe(
    words: &mut Vec<String>,
    way: Way,
    sums: &Sums,
    terms: &Terms,
    ramp: Watts,
    asks_back: Watts,
    will_draw: Watts,
) {
    match way {
        Way::Nowhere => {
            if words.is_empty() {
                words.push("nothing changes: it is there, or on its way there".to_owned());
            }
            return;
        }
        Way::Down { is_lockout } => {
            if sums.told == 0 {
                let rest = if sums.at_rest > 0 { "asleep, " } else { "" };
                words.push(format!(
                    "no machine is told anything: each is {rest}drawing nothing as it is, not measured, kept by the floor, or not to be managed"
                ));
            } else {
                words.push("the intent is written down before any command".to_owned());
                if !is_lockout && terms.canary > 0 {
                    words.push(format!("a canary of {} is told first, the worst J/TH first", terms.canary));
                }
                words.push(format!(
                    "{} told to sleep, {}; pool sessions stay open, and their last shares are waited for",
                    machines_are(sums.told),
                    at_most(ramp)
                ));
            }
            if is_lockout {
                words.push("nothing wakes it until somebody unlocks it".to_owned());
            }
        }
        Way::Up => {
            if asks_back > Watts::ZERO {
                words.push(format!("{} are asked back from AI compute, and waited for", asks_back.in_words()));
            }
            if sums.told == 0 {
                words.push("no machine is told anything: none was told to sleep".to_owned());
            } else {
                words.push("miners' pools are connected, then machines are woken, the best J/TH first".to_owned());
                words.push(format!(
                    "{} told to wake, {}, each batch once the ledger has room for it",
                    machines_are(sums.told),
                    at_most(ramp)
                ));
            }
        }
    }
    words.push(format!("at the end it draws {} at the site meter", will_draw.in_words()));
}

fn machines_are(count: u64) -> String {
    if count == 1 { "1 machine is".to_owned() } else { format!("{count} machines are") }
}

/// A ramp that the config does not limit is a number that no site draws.
fn at_most(ramp: Watts) -> String {
    if ramp.get() > ANY_SITE {
        "all at once".to_owned()
    } else {
        format!("{} a minute at the machines at most", ramp.in_words())
    }
}

fn minutes(most: Watts, ramp: Watts) -> f64 {
    // The first minute's share goes out at once.
    if ramp == Watts::ZERO { 0.0 } else { ((most.get() / ramp.get()).ceil() - 1.0).max(0.0) }
}

fn at_meter(overhead: crate::profit::Ratio, watts: Watts) -> Watts {
    Watts::clamped(watts.get() * overhead.get())
}

fn has_touched(machine: &Group) -> bool {
    let stages = [Goal::Sleep, Goal::Mine].map(|goal| machine.stages(goal));
    stages.iter().flatten().any(|count| *count > 0)
}
