//! Machines in words, as `hashgate check` prints them. Commands show their program, addresses no query, and nothing shows a secret.

use std::fmt::{self, Formatter};

use super::{
    ActuatorKind, AsicRs, ComputeKind, Firmware, Miners, Moves, Power, PowerBlock, PowerGroup, PowerUnit, Slurm,
    SlurmNode, Survives, WattsSource,
};
use crate::{
    config::{Profit, plan::line, units::time},
    profit::Watts,
};

/// What holds for all machines, then each group, then each AI block.
pub(in crate::config) fn power(power: &Power, profit: Option<&Profit>, f: &mut Formatter<'_>) -> fmt::Result {
    let groups = profit.map_or(&[][..], |profit| &profit.groups);
    let blocks = profit.map_or(&[][..], |profit| &profit.ai);
    site(power, f)?;
    for (name, one) in groups.iter().map(|group| &group.name).zip(&power.groups) {
        match one {
            Some(one) => group(name, one, power, f)?,
            None => writeln!(f, "\nmachines of group \"{name}\"\n  stay as they are: it has no actuator")?,
        }
    }
    for (name, one) in blocks.iter().map(|block| &block.name).zip(&power.blocks) {
        match one {
            Some(one) => block(name, one, power, f)?,
            None => writeln!(f, "\nleases of AI compute \"{name}\"\n  none: nobody is told of any")?,
        }
    }
    Ok(())
}

fn site(power: &Power, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "\nmachines")?;
    line(f, "ledger", format_args!("{}, on disk before anything is commanded or lent", power.ledger.display()))?;
    match power.cap {
        Some(cap) => line(
            f,
            "may draw",
            format_args!("{} at the meter, of which {} stay free", cap.in_words(), power.reserve.in_words()),
        )?,
        None => line(
            f,
            "may draw",
            "what they do: the site has no cap, so nothing is lent, and there is nothing of which a reserve could stay free (0 W)",
        )?,
    }
    match &power.meter {
        Some(meter) => line(
            f,
            "the meter",
            format_args!(
                "signal \"{}\", of the last {}; while it is over {:.0} % off what was measured, or gone, nothing grows",
                meter.signal,
                time(meter.max_age),
                meter.deviation.get() * 100.0
            ),
        )?,
        None => line(f, "the meter", "none: the sum of what machines tell stands alone")?,
    }
    line(
        f,
        "measured",
        format_args!(
            "every {}, on the way every {}, {} at once; {} in a row prove, none over {} old",
            time(power.poll),
            time(power.poll_moving),
            power.calls,
            power.proofs,
            time(power.max_age)
        ),
    )?;
    line(f, "a command", format_args!("may take effect for {} after it was sent", time(power.command_lifetime)))?;
    let finds = |group: &PowerGroup| group.miners != Miners::default();
    if !power.groups.iter().flatten().any(finds) {
        return Ok(());
    }
    match power.forget_after {
        Some(after) => line(
            f,
            "forgotten",
            format_args!(
                "are those found by their connections, {} after they were seen last, but for who was put to sleep",
                time(after)
            ),
        ),
        None => line(f, "forgotten", "are none by themselves, and by hand with `hashgate forget`"),
    }
}

fn group(name: &str, group: &PowerGroup, power: &Power, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "\nmachines of group \"{name}\"")?;
    line(f, "are", who(group))?;
    let most = group.configured_max.map_or(String::new(), |most| format!(", told not to exceed {}", most.in_words()));
    line(
        f,
        "draw",
        format_args!(
            "{} by the nameplate{most}, asleep {} at most",
            group.nameplate.in_words(),
            group.sleep_max.in_words()
        ),
    )?;
    match &group.actuator {
        ActuatorKind::Exec { sleep, wake, timeout } => {
            line(f, "sleep by", format_args!("{}, killed after {}", command(sleep), time(*timeout)))?;
            line(f, "wake by", command(wake))?;
        }
        ActuatorKind::Webhook { sleep, wake, timeout } => {
            line(f, "sleep by", format_args!("{sleep}, within {}{}", time(*timeout), sleep.trust.in_words()))?;
            line(f, "wake by", wake)?;
        }
        ActuatorKind::Manual => line(f, "sleep by", "a person, who is asked; their watts are waited for")?,
        ActuatorKind::Simulated { url, .. } => {
            line(f, "sleep by", format_args!("SIMULATION at {url}: no power is moved"))?;
        }
        ActuatorKind::Firmware(Firmware { make, login, port, timeout }) => {
            let login = login
                .as_ref()
                .map_or(String::new(), |(user, password)| format!(", as {user} with password {password}"));
            line(f, "sleep by", format_args!("{} on port {port}{login}, within {}", make.label(), time(*timeout)))?;
        }
        ActuatorKind::AsicRs(AsicRs { make, login, timeout }) => {
            let login = login
                .as_ref()
                .map_or(String::new(), |(user, password)| format!(", as {user} with password {password}"));
            line(f, "sleep by", format_args!("asic-rs, {}{login}, within {}", make.label(), time(*timeout)))?;
        }
        ActuatorKind::Custom(name) => {
            line(f, "sleep by", format_args!("the driver \"{name}\" of the program around this one"))?
        }
    }
    line(f, "proven by", proof(&group.watts))?;
    moves(&group.moves, matches!(group.watts, WattsSource::Group { .. }), f)?;
    if group.watts == WattsSource::None {
        return Ok(());
    }
    let survives = match group.sleep_survives_power_cycle {
        Survives::Yes => "leaves them asleep: any AI block may have their power".to_owned(),
        Survives::No => format!("wakes them: {}", lent(power)),
        Survives::Unknown => format!("may wake them, nobody knows: {}", lent(power)),
    };
    line(f, "a power cut", survives)
}

/// To whom power is lent that may have to be back at once.
fn lent(power: &Power) -> &'static str {
    match power.blocks.iter().flatten().any(|block| block.sheds_within.is_some()) {
        true => "their power is lent only to AI compute that says how fast it sheds",
        false => "their power is lent to nobody",
    }
}

fn who(group: &PowerGroup) -> String {
    let Miners { subnets, workers } = &group.miners;
    let mut who = match group.devices.len() {
        0 => String::new(),
        1 => "1 machine that the config names".to_owned(),
        count => format!("{count} machines that the config names"),
    };
    if !subnets.is_empty() || workers.is_some() {
        who += if who.is_empty() { "miners" } else { ", and miners" };
        if !subnets.is_empty() {
            let subnets: Vec<String> = subnets.iter().map(ToString::to_string).collect();
            who += &format!(" from {}", subnets.join(" or "));
        }
        if let Some(workers) = workers {
            who += &format!(" with user {workers}");
        }
    }
    who
}

fn command(command: &[String]) -> String {
    let arguments = command.len().saturating_sub(1);
    let s = if arguments == 1 { "" } else { "s" };
    format!("the command {} ({arguments} argument{s})", command.first().map_or("", String::as_str))
}

fn proof(watts: &WattsSource) -> String {
    let unit = |unit: &PowerUnit| match unit {
        PowerUnit::Watts => "W",
        PowerUnit::Kilowatts => "kW",
    };
    match watts {
        WattsSource::Driver => "the watts that its driver tells".to_owned(),
        WattsSource::Exec { command: words, unit: in_unit, timeout } => {
            format!("{}, in {}, killed after {}", command(words), unit(in_unit), time(*timeout))
        }
        WattsSource::HttpJson { call, pointer, unit: in_unit, timeout } => {
            format!("{call}, {} at {pointer}, within {}{}", unit(in_unit), time(*timeout), call.trust.in_words())
        }
        WattsSource::Mqtt { brokers, topic, pointer, unit: in_unit, login, trust } => {
            let brokers: Vec<String> = brokers.iter().map(ToString::to_string).collect();
            let at = pointer.as_ref().map_or(String::new(), |pointer| format!(" at {pointer}"));
            let login = login
                .as_ref()
                .map_or(String::new(), |(user, password)| format!(", as {user} with password {password}"));
            let trust = trust.in_words();
            format!("topic \"{topic}\" at {}{login}, {}{at}{trust}", brokers.join(" and "), unit(in_unit))
        }
        WattsSource::Group { signal } => {
            format!(
                "signal \"{signal}\", the meter of all of them: an equal share each, so that all sleep or none does"
            )
        }
        WattsSource::None => "NOTHING: a drain ends in FAULT, and none of their power is ever free".to_owned(),
    }
}

fn moves(moves: &Moves, is_one: bool, f: &mut Formatter<'_>) -> fmt::Result {
    let ramp =
        |ramp: Option<Watts>| ramp.map_or("all at once".to_owned(), |ramp| format!("{} a minute", ramp.in_words()));
    let first = match is_one {
        true => "all of them, as one meter proves no canary".to_owned(),
        false => format!("{} first, then the others once that sleeps", moves.canary),
    };
    line(f, "are moved", format_args!("down {}, up {}; {first}", ramp(moves.ramp_down), ramp(moves.ramp_up)))?;
    let and_ramp =
        if is_one { ", and as long as the ramp takes" } else { " until eight of them were seen, then what they took" };
    line(
        f,
        "have",
        format_args!(
            "{} to fall asleep, {} to wake{and_ramp}; then they are told again, {} times in all, {} apart and more",
            time(moves.sleep_time),
            time(moves.wake_time),
            moves.tries,
            time(moves.backoff)
        ),
    )
}

fn block(name: &str, block: &PowerBlock, power: &Power, f: &mut Formatter<'_>) -> fmt::Result {
    writeln!(f, "\nleases of AI compute \"{name}\"")?;
    match &block.control {
        ComputeKind::Webhook { url, status, secret, trust, timeout } => {
            let trust = trust.in_words();
            line(f, "are told to", format_args!("{url}, signed with {secret}, within {}{trust}", time(*timeout)))?;
            line(f, "its word", format_args!("from {status}, every {}", time(block.poll)))?;
        }
        ComputeKind::Exec { tell, status, timeout } => {
            line(f, "are told by", format_args!("{}, killed after {}", command(tell), time(*timeout)))?;
            line(f, "its word", format_args!("from {}, every {}", command(status), time(block.poll)))?;
        }
        ComputeKind::Slurm(it) => slurm(it, block, f)?,
        ComputeKind::Custom(name) => {
            line(f, "are told by", format_args!("the driver \"{name}\" of the program around this one"))?;
        }
    }
    line(f, "last", format_args!("{}, and are renewed at half of that", time(power.lease_term)))?;
    line(
        f,
        "are back",
        format_args!(
            "when it says so and draws {} at the meter or less ({:.0} % for noise)",
            block.idle.in_words(),
            block.tolerance.get() * 100.0
        ),
    )?;
    match block.sheds_within {
        Some(within) => line(f, "shed within", time(within))?,
        None => line(f, "shed within", "it does not say: gets no power of machines that a power cut may wake")?,
    }
    line(
        f,
        "patience",
        format_args!(
            "taken back if nothing more was drawn for {}; an operator is told if not back after {}",
            time(block.starts_within),
            time(block.returns_within)
        ),
    )
}

fn slurm(slurm: &Slurm, block: &PowerBlock, f: &mut Formatter<'_>) -> fmt::Result {
    let sum = |watts: fn(&SlurmNode) -> Watts| slurm.nodes.iter().map(watts).sum::<Watts>().in_words();
    let (first, last) = (slurm.nodes.first(), slurm.nodes.last());
    let name = |node: Option<&SlurmNode>| node.map_or(String::new(), |node| node.name.to_string());
    line(
        f,
        "resume",
        format_args!(
            "Slurm nodes as far as they carry them, of {} from {} to {}: {} at work, {} idle",
            slurm.nodes.len(),
            name(first),
            name(last),
            sum(|node| node.power),
            sum(|node| node.idle)
        ),
    )?;
    let machines = if slurm.power_saving { "; the machines themselves are switched" } else { "" };
    line(f, "drain", format_args!("all others: running jobs finish, new ones wait{machines}"))?;
    match slurm.force_after {
        Some(after) => line(f, "ENDS JOBS", format_args!("that still run {} after a deadline", time(after)))?,
        None => line(f, "end jobs", "never: one that runs on keeps its power")?,
    }
    if let Some(meter) = &slurm.meter {
        line(f, "draw what", format_args!("{} says; without its word there is no status", proof(meter)))?;
    }
    line(
        f,
        "asked with",
        format_args!("{} every {}, killed after {}", command(&slurm.scontrol), time(block.poll), time(slurm.timeout)),
    )
}
