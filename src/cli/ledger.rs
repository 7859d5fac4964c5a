//! `hashgate wake-all` and `take-over`: what is done with a site's power ledger while no proxy has it.
//!
//! Knows arguments and the terminal; the ledger's lock keeps both from a site that has a controller.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Failure, say, words::printable};
use crate::{
    config::Config,
    power::{
        actuator::Drivers,
        journal::JournalError,
        task::{
            PowerError, take_over,
            wake_all::{self, Found},
        },
    },
};

/// Arguments of `wake-all`.
#[derive(Debug, Args)]
pub struct WakeAllArgs {
    /// The config of the proxy that is dead: its ledger, machines and AI compute
    #[arg(long, short, value_name = "FILE", default_value = "hashgate.toml")]
    pub config: PathBuf,
    /// One group, and no other
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Say what the ledger left asleep, and ask no machine
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `take-over`.
#[derive(Debug, Args)]
pub struct TakeOverArgs {
    /// The config of the site: where its ledger is to be, and which AI compute may hold power
    #[arg(long, short, value_name = "FILE", default_value = "hashgate.toml")]
    pub config: PathBuf,
    /// Do it
    #[arg(long)]
    yes: bool,
}

/// Wakes what sleeps, or says what would be woken.
///
/// # Errors
/// [`Failure`] if something is not awake at the end, or nothing can be done.
pub(super) async fn wake(args: &WakeAllArgs, config: Config) -> Result<(), Failure> {
    if args.dry_run {
        let found = wake_all::look(&config, args.group.as_deref()).map_err(failure)?;
        for group in &found {
            tell(&in_words(group));
        }
        tell("dry run: from the ledger alone; no machine was asked and nothing was ordered");
        return Ok(());
    }
    let stop = CancellationToken::new();
    let ended = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            ended.cancel();
        }
    });
    let (drivers, group) = (Drivers::default(), args.group.as_deref());
    let woken = wake_all::wake_all(Arc::new(config), &drivers, group, stop.clone(), tell).await.map_err(failure)?;
    tell("");
    for group in &woken {
        tell(&format!("group {}: {}", group.name, group.words));
    }
    let asleep = woken.iter().filter(|group| !group.is_awake).count();
    match (asleep, stop.is_cancelled()) {
        (0, _) => Ok(()),
        (_, true) => Err(Failure::Failed(
            "ended before all was awake; what was told stays told, and the next time goes on".to_owned(),
        )),
        (count, false) => Err(Failure::Failed(format!("{count} of {} groups are not awake", woken.len()))),
    }
}

/// A line on the terminal. Machines have the names that their owners gave them.
fn tell(words: &str) {
    say(&format!("{}\n", printable(words)));
}

fn in_words(group: &Found) -> String {
    let Found { name, phase, asleep, left_alone } = group;
    match (left_alone, phase) {
        (Some(why), _) => format!("group {name}: would be left alone, it is {why}"),
        (None, Some(phase)) if *asleep == 0 => {
            format!("group {name}: was left {}, and no machine was told to sleep; would be told to mine", phase.label())
        }
        (None, Some(phase)) => {
            let machines = if *asleep == 1 { "1 machine was".to_owned() } else { format!("{asleep} machines were") };
            format!("group {name}: was left {}, {machines} told to sleep; would be woken", phase.label())
        }
        (None, None) => format!("group {name}: was never put to sleep"),
    }
}

/// Begins a new ledger.
///
/// # Errors
/// [`Failure`] if it was not confirmed, a controller runs, or there is a ledger.
pub(super) fn begin(args: &TakeOverArgs, config: &Config) -> Result<(), Failure> {
    let ledger = config.power.as_ref().map(|power| power.ledger.display());
    let Some(ledger) = ledger else { return Err(failure(PowerError::Nothing)) };
    if !args.yes {
        return Err(Failure::Misused(format!(
            "this begins a new power ledger at {ledger}. Do it only if the old one is lost and no other proxy controls this site: what AI compute \
             holds is not known then, so each block counts at all it can draw until it has given it back, and each machine that the \
             config names is told to wake when the proxy starts, as it may sleep. With --yes it is done"
        )));
    }
    let epoch = take_over(config).map_err(failure)?;
    tell(&format!(
        "a new power ledger begins at {ledger}, in epoch {epoch}; start the proxy with `hashgate run`: machines that the config names are told to \
         wake, in their firmware's own mode; those that it does not name are found by their connections, and who of them sleeps is offered in \
         words: `hashgate wake GROUP` wakes it"
    ));
    Ok(())
}

fn failure(error: PowerError) -> Failure {
    let help = match &error {
        PowerError::Journal(JournalError::Locked { .. }) => {
            "\na proxy that runs is asked with `hashgate wake GROUP` and the like"
        }
        PowerError::Nothing | PowerError::NoGroup(_) | PowerError::Driver(_) => {
            return Failure::Misused(error.to_string());
        }
        _ => "",
    };
    Failure::Failed(format!("{error}{help}"))
}
