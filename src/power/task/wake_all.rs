//! Waking everything while the proxy is dead: the same power side without miners, told to mine, and ended when it is done.
//!
//! Knows what the ledger left asleep and when it is awake; ramps, the cap and leases that are to be returned first are the site's, as
//! always. There are no shares to prove a wake, so watts alone do: a machine that draws more than it does asleep counts as if it had found a
//! share. That is in no receipt, and says less than a share does: a machine that boots draws too.
//!
//! | group | is |
//! |---|---|
//! | locked out or held by an operator | left alone, and named: somebody works on it |
//! | any other | told to mine, over what prices or an operator ordered before; that order is not forgotten, the next start goes on with it |
//!
//! Nothing is lent. Who ends it in the middle leaves groups as they are; the next time goes on with them.
//!
//! Limits: [`SAY`] for news of a group that stays where it is; [`MAX_NAMED`] machines are named.

use std::{io, path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{Machines, PowerError, Prepared, Surroundings, start};
use crate::{
    census::Subscription,
    config::Config,
    metrics::Books,
    power::{
        Power,
        actuator::Drivers,
        control::{Control, PowerSnapshot},
        device::Goal,
        group::{Phase, Record},
        journal::{Book, Journal},
        site::{GroupView, Input, Person},
    },
    profit::task,
    router::Errands,
};

/// How often is told of a group that does not get on.
const SAY: Duration = Duration::from_secs(10);

/// Machines that are named of a group that does not wake.
const MAX_NAMED: usize = 20;

/// The operator's word that groups are told.
const WHY: &str = "wake-all: everything is to mine, by hand";

/// What the power side is started for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To control a site.
    Control,
    /// To wake groups while there is no proxy, by their indexes.
    Wake(Vec<bool>),
}

impl Purpose {
    /// Puts the word to wake over operators' words, where these do not want a group left alone, for this run and not in the journal; what
    /// the site is to be told first.
    pub fn overrule(&self, controls: &mut [Option<Control>], records: &[Option<Record>]) -> Vec<Input> {
        let Self::Wake(wanted) = self else { return Vec::new() };
        let mut persons = Vec::new();
        for (group, (control, record)) in controls.iter_mut().zip(records).enumerate() {
            if wanted.get(group) == Some(&true) && left_alone(control.as_ref(), record.as_ref()).is_none() {
                *control = Some(Control::Wake { why: WHY.into(), until: None });
                // A fault waits for it, and a hold that no operator ordered.
                persons.push(Input::Person(group, Person::Release));
            }
        }
        persons
    }
}

/// What is known of a group before anything is done.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its name.
    pub name: Arc<str>,
    /// Where it was left; `None` if it was never moved.
    pub phase: Option<Phase>,
    /// Machines that were told to sleep.
    pub asleep: usize,
    /// Why it is left alone.
    pub left_alone: Option<Box<str>>,
}

/// How a group ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Woken {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it mines now.
    pub is_awake: bool,
    /// In words: what is not, and why.
    pub words: Box<str>,
}

/// Whether an operator wants a group left alone, and why.
fn left_alone(control: Option<&Control>, record: Option<&Record>) -> Option<Box<str>> {
    let is_locked = record.is_some_and(|record| record.phase == Phase::Lockout);
    match control {
        Some(Control::Lockout { why }) => Some(format!("locked out: {why}").into()),
        Some(Control::Hold { why }) => Some(format!("held: {why}").into()),
        _ if is_locked => Some("locked out".into()),
        _ => None,
    }
}

/// What the ledger says of groups, and nothing else: no machine is asked. It begins an epoch, as every opening of a ledger does.
///
/// # Errors
/// [`PowerError`] if the ledger can't be had, or the config has no such group.
pub fn look(config: &Config, group: Option<&str>) -> Result<Vec<Found>, PowerError> {
    let (Some(profit), Some(power)) = (&config.profit, &config.power) else { return Err(PowerError::Nothing) };
    let wanted = chosen(config, group)?;
    let (_journal, book) = open(&power.ledger)?;
    let groups = profit.groups.iter().zip(wanted).filter(|(_, is_wanted)| *is_wanted);
    Ok(groups.map(|(group, _)| found(&group.name, &book)).collect())
}

/// Where nothing was ever written, nothing was put to sleep.
fn open(ledger: &Path) -> Result<(Journal, Book), PowerError> {
    if !Journal::was_begun(ledger) {
        return Err(PowerError::NeverBegun(ledger.to_owned()));
    }
    Ok(Journal::open(ledger, Timestamp::now())?)
}

fn prepare(config: &Config, drivers: &Drivers, wanted: Vec<bool>) -> Result<Prepared, PowerError> {
    let (Some(profit), Some(power)) = (&config.profit, &config.power) else { return Err(PowerError::Nothing) };
    let machines = Machines::build(profit, power, drivers)?;
    let (journal, book) = open(&power.ledger)?;
    Ok(Prepared { machines, journal, book, purpose: Purpose::Wake(wanted) })
}

fn found(name: &Arc<str>, book: &Book) -> Found {
    let record = book.records.get(&**name);
    let sleeps = |record: &Record| record.devices.iter().filter(|device| device.goal == Goal::Sleep).count();
    Found {
        name: name.clone(),
        phase: record.map(|record| record.phase),
        asleep: record.map_or(0, sleeps),
        left_alone: left_alone(book.orders.get(&**name), record),
    }
}

/// By the index of the group: whether it is asked for and can be moved.
fn chosen(config: &Config, group: Option<&str>) -> Result<Vec<bool>, PowerError> {
    let (Some(profit), Some(power)) = (&config.profit, &config.power) else { return Err(PowerError::Nothing) };
    let groups = profit.groups.iter().zip(&power.groups);
    let chosen: Vec<bool> =
        groups.map(|(known, moved)| moved.is_some() && group.is_none_or(|group| group == &*known.name)).collect();
    match group {
        Some(name) if !chosen.contains(&true) => Err(PowerError::NoGroup(name.to_owned())),
        _ => Ok(chosen),
    }
}

/// Wakes every group, or one, and returns when each of them mines, is left alone or does not obey, or when `stop` is cancelled. `tell`
/// hears of groups on their way; single events are logged.
///
/// # Errors
/// [`PowerError`] if a controller runs, the ledger can't be had, or the config has no such group.
pub async fn wake_all(
    config: Arc<Config>,
    drivers: &Drivers,
    group: Option<&str>,
    stop: CancellationToken,
    mut tell: impl FnMut(&str),
) -> Result<Vec<Woken>, PowerError> {
    let names: Vec<Arc<str>> =
        config.profit.iter().flat_map(|profit| &profit.groups).map(|group| group.name.clone()).collect();
    let wanted = chosen(&config, group)?;
    let prepared = prepare(&config, drivers, wanted.clone())?;
    // What belongs to it, and ends after it.
    let ends = CancellationToken::new();
    let (signals, of_signals) = task::start(config.clone(), None, ends.clone());
    let surroundings = Surroundings {
        signals,
        // Nobody is at the other end: there are no miners to be counted.
        errands: Errands::new(0).0,
        census: Subscription::nobody(),
        books: Arc::new(Books::new(0, config.pools.len(), config.routes.len())),
        stop: ends.clone(),
        lost: ends.clone(),
    };
    let (power, running) = match start(config, prepared, surroundings) {
        Ok(started) => started,
        Err(error) => {
            ends.cancel();
            return Err(error);
        }
    };
    let last = tokio::select! {
        last = watch(&power, &names, &wanted, &mut tell) => last,
        () = stop.cancelled() => Some(power.snapshot()),
    };
    let mut woken = Vec::new();
    for (index, name) in names.iter().enumerate().filter(|(index, _)| wanted[*index]) {
        let last = last.as_ref().map(|last| outcome(index, last));
        let (is_awake, mut words) = last.unwrap_or((false, "the power side has ended".to_owned()));
        if !is_awake {
            words.push_str(&sleepers(&power, name).await);
        }
        woken.push(Woken { name: name.clone(), is_awake, words: words.into() });
    }
    ends.cancel();
    let _ = tokio::task::spawn_blocking(move || running.join()).await;
    let _ = of_signals.await;
    match last {
        Some(_) => Ok(woken),
        None => Err(PowerError::Thread(io::Error::other("it has ended by itself"))),
    }
}

/// Waits until no group is on its way any more; `None` if the power side ends.
async fn watch(
    power: &Power,
    names: &[Arc<str>],
    wanted: &[bool],
    tell: &mut impl FnMut(&str),
) -> Option<Arc<PowerSnapshot>> {
    let mut told: Vec<Option<(Phase, Instant)>> = vec![None; names.len()];
    loop {
        let snapshot = power.snapshot();
        let mut is_over = true;
        for (index, name) in names.iter().enumerate().filter(|(index, _)| wanted[*index]) {
            let Some(view) = snapshot.site.groups.get(index).and_then(Option::as_ref) else { continue };
            let is_left = !matches!(snapshot.orders.get(index), Some(Some(Control::Wake { .. })));
            is_over &= is_left || matches!(view.phase, Phase::Mining | Phase::Fault);
            let is_news = told[index]
                .is_none_or(|(phase, at)| phase != view.phase || view.phase != Phase::Mining && at.elapsed() >= SAY);
            if is_news && !is_left {
                told[index] = Some((view.phase, Instant::now()));
                tell(&progress(name, view));
            }
        }
        if is_over {
            return Some(snapshot);
        }
        let news = power.wait_for(|newest| !Arc::ptr_eq(newest, &snapshot));
        // Without news it is told again that it waits.
        if let Ok(None) = timeout(SAY, news).await {
            return None;
        }
    }
}

fn progress(name: &str, view: &GroupView) -> String {
    let [pending, dispatched, confirmed, drifted, unavailable, failed] = view.sleeping;
    let asleep: usize = pending + dispatched + confirmed + drifted + unavailable + failed;
    let woken: usize = view.waking.iter().sum();
    let (phase, devices, drawn) = (view.phase.label(), view.devices, view.drawn.in_words());
    let waits = view.waits_for.as_deref().map(|why| format!("; waits for {why}")).unwrap_or_default();
    let machines = if devices == 1 { "machine" } else { "machines" };
    format!(
        "group {name}: {phase}, {devices} {machines}, {asleep} to be told, {woken} on their way, draws {drawn} at the machines{waits}"
    )
}

fn outcome(index: usize, last: &PowerSnapshot) -> (bool, String) {
    let left = match last.orders.get(index) {
        Some(Some(Control::Wake { .. })) => None,
        Some(control) => left_alone(control.as_ref(), None).or_else(|| Some("locked out".into())),
        None => None,
    };
    if let Some(left) = left {
        return (false, format!("left alone, it is {left}"));
    }
    match last.site.groups.get(index).and_then(Option::as_ref) {
        Some(view) if view.phase == Phase::Mining => (true, "mines".to_owned()),
        Some(view) => {
            let waits = view.waits_for.as_deref().map(|why| format!("; it waits for {why}")).unwrap_or_default();
            (false, format!("is {}{waits}", view.phase.label()))
        }
        None => (false, "is not there".to_owned()),
    }
}

/// The machines of a group that do not mine, in words.
async fn sleepers(power: &Power, group: &str) -> String {
    let Ok(devices) = power.devices(group).await else { return String::new() };
    let is_awake = |device: &&crate::power::site::DeviceView| {
        device.goal == Goal::Mine && device.stage == crate::power::device::StageKind::Confirmed
    };
    let asleep: Vec<&str> = devices.iter().filter(|device| !is_awake(device)).map(|device| &*device.name).collect();
    if asleep.is_empty() {
        return String::new();
    }
    let more = asleep.len().saturating_sub(MAX_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("; not awake: {}{more}", asleep[..asleep.len().min(MAX_NAMED)].join(", "))
}
