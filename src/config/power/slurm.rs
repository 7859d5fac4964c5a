//! `[ai.control] kind = "slurm"`: which nodes are the block's, what each draws, and what may be done to them.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::{MAX_SLURM_NODES, Slurm, SlurmNode, call, hosts, watts};
use crate::{
    config::{
        Env,
        error::{Wrong, shown},
        profit::quote,
        raw::Section,
        units::time,
        validate::{TIMEOUT, secs},
        value,
    },
    profit::{Currency, Watts},
};

/// Tables of `nodes`: each may name many.
const MAX_TABLES: usize = 256;

/// From a minute to a week: what a job may lose is its owner's to say.
const FORCE: std::ops::RangeInclusive<Duration> = secs(60)..=secs(7 * 86_400);

const NODES_HELP: &str = "write which nodes are its own and what each draws: nodes = [{ name = \"gpu[01-08]\", power = \"10.2 kW\", idle = \"1.2 kW\" }]";

const SCONTROL_HELP: &str = "write scontrol = \"/usr/bin/scontrol\", or with what goes before it: \
                             scontrol = [\"/usr/bin/sudo\", \"-n\", \"/usr/bin/scontrol\"]";

/// What its block says of itself; `None` where that is missing or wrong.
pub(super) struct Around {
    /// Of IT, when all of it runs.
    pub power: Option<Watts>,
    /// Of IT, without work.
    pub idle: Option<Watts>,
    pub sheds_within: Option<Duration>,
    pub currency: Currency,
}

/// All but `poll`. `None` if a problem was reported.
pub(super) fn read(section: &mut Section<'_, '_>, around: &Around, env: &dyn Env) -> Option<Slurm> {
    let meter = section.optional_table("meter").map(|mut table| watts::of_block(&mut table, env));
    let nodes = nodes(section, around.currency);
    let scontrol = section.or("scontrol", vec!["scontrol".to_owned()], |value| match value.as_str() {
        Some(program) if !program.trim().is_empty() => Ok(vec![program.to_owned()]),
        Some(_) => Err(Wrong::new("names no program", SCONTROL_HELP)),
        None => call::command(&[], SCONTROL_HELP)(value),
    });
    let timeout = section.or("timeout", secs(20), value::duration(TIMEOUT));
    let power_saving = section.or("power_saving", false, value::boolean);
    let force_after = section.optional("force_after", value::duration(FORCE));
    let (nodes, meter) = (nodes?, meter.map_or(Some(None), |meter| meter.map(Some))?);
    fits(section, around, &nodes);
    if let Some(within) = around.sheds_within
        && force_after.is_none_or(|force| force > within)
    {
        let force = force_after.map_or("nothing ends them".to_owned(), |force| {
            format!("they are ended {} after the deadline", time(force))
        });
        let what = format!("lets running jobs finish, {force}; the block says that it sheds within {}", time(within));
        let help = "drop sheds_within: such power is not lent to it where a power cut may wake machines";
        section.warn("kind", Wrong::new(what, help));
    }
    Some(Slurm { nodes, scontrol, timeout, power_saving, force_after, meter })
}

/// Whether the nodes are what the block says of itself.
fn fits(section: &Section<'_, '_>, around: &Around, nodes: &[SlurmNode]) {
    let sum = |watts: fn(&SlurmNode) -> Watts| -> Watts { nodes.iter().map(watts).sum() };
    // Sums of many watts are off by less.
    const SLACK_W: f64 = 1.0;
    let over = |sum: Watts, most: Watts| sum.get() > most.get() + SLACK_W;
    let all = sum(|node| node.power);
    if let Some(power) = around.power.filter(|power| over(all, *power)) {
        let what = format!("draw {} at work, the block's power is {}", all.in_words(), power.in_words());
        let help = "write at least their sum as the block's power: where nothing is known of it, it counts as that";
        section.error("nodes", Wrong::new(what, help));
    }
    let resting = sum(|node| node.idle);
    if let Some(idle) = around.idle.filter(|idle| over(resting, *idle)) {
        let what = format!("draw {} without work, the block's idle is {}", resting.in_words(), idle.in_words());
        let help = "write at least their sum as the block's idle: no lease would ever be back";
        section.error("nodes", Wrong::new(what, help));
    }
}

fn nodes(section: &mut Section<'_, '_>, currency: Currency) -> Option<Vec<SlurmNode>> {
    if !section.has("nodes") {
        section.required("nodes", NODES_HELP, |_| Ok(()));
        return None;
    }
    let errors = section.error_count();
    let (mut nodes, mut names) = (Vec::new(), HashSet::new());
    for mut table in section.tables_up_to("nodes", MAX_TABLES, "; one may name many: name = \"gpu[001-200]\"") {
        let list = table.required("name", "write name = \"gpu[01-08]\"", value::string);
        let power =
            table.required("power", "write what one draws at work: power = \"10.2 kW\"", quote::watts(currency));
        let idle =
            table.required("idle", "write what one draws without work: idle = \"1.2 kW\"", quote::watts(currency));
        let down = table.optional("down", quote::watts(currency));
        table.refuse_unknown_keys();
        let most = MAX_SLURM_NODES.saturating_sub(nodes.len());
        let hosts = list.map(|list| hosts::expand(&list, most)).transpose();
        let hosts = hosts.map_err(|wrong| table.error("name", wrong)).ok().flatten();
        let (Some(hosts), Some(power), Some(idle)) = (hosts, power, idle) else { continue };
        if idle >= power {
            let what = format!("{} is no less than its power, {}", idle.in_words(), power.in_words());
            table.error("idle", Wrong::new(what, "write what it draws without work"));
        }
        if let Some(down) = down.filter(|down| *down > power) {
            let what = format!("{} is more than its power, {}", down.in_words(), power.in_words());
            table.error("down", Wrong::new(what, "write what one may draw that Slurm does not reach"));
        }
        for host in hosts {
            let name: Arc<str> = host.into();
            if !names.insert(name.clone()) {
                let what = format!("names {} a second time", shown(&name));
                table.error("name", Wrong::new(what, "name each node once"));
                break;
            }
            nodes.push(SlurmNode { name, power, idle, down: down.unwrap_or(power) });
        }
    }
    (section.error_count() == errors).then_some(nodes)
}
