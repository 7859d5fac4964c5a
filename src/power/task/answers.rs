//! Calls as they go out and as they come back: machines, AI compute, the census.
//!
//! Calls run on the proxy's runtime and answer by one queue. That a command could be sent is no input; that it could not is. One failed
//! reading is tried again soon, the second in a row says that the device is not there.
//!
//! Limits: the queue has room for every call that may be under way, so none waits for the loop.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, timeout},
};
use tracing::{debug, error, info, warn};

use super::{
    Keeper, PowerError, calls,
    census::{CENSUS, Told as Counted},
    devices::Devices,
    terms,
};
use crate::{
    config::{Power, PowerGroup, Profit},
    power::{
        actuator::{self, Actuator, Drawn, DriverError, Drivers},
        compute,
        control::Certificate,
        device::{PowerMode, Sample, Shares},
        group::{Command, Phase},
        ledger::LeaseId,
        meter::{self, Meter, Pushed, Roll},
        site::{DeviceKey, Input, Joining, LeaseAnswer, LeaseMessage, Status, Target},
    },
    profit::Watts,
    router::Census,
    tls::Shown,
};

/// Failed readings in a row after which a device is not there.
const MISSES: u32 = 2;

/// Messages to one AI block under way at once: a renewal, a grant and a few revocations.
const MAX_TELLS: usize = 8;

/// Readings of meters that speak by themselves that may wait.
const SAID: usize = 1024;

/// What came back.
pub(super) enum Answer {
    /// A reading.
    Read { key: DeviceKey, began: Instant, at: Timestamp, result: Result<Drawn, DriverError> },
    /// The mode that a machine is to be woken in. `began` if that was all that it was asked.
    Mode { key: DeviceKey, began: Option<Instant>, mode: Option<Option<PowerMode>> },
    /// A command was sent, or not.
    Commanded { key: DeviceKey, began: Instant, result: Result<(), DriverError> },
    /// A meter said so by itself.
    Said { key: DeviceKey, at: Timestamp, watts: Result<Watts, DriverError> },
    /// The miners were counted.
    Counted(Arc<Census>),
    /// A block's status.
    Status { block: usize, result: Result<Status, DriverError> },
    /// A block's word on a message.
    Lease { block: usize, lease: LeaseId, result: Result<LeaseAnswer, DriverError> },
}

/// How many answers may wait.
pub(super) fn queue(power: &Power) -> usize {
    // A call for watts may bring a mode along.
    2 * power.calls + power.blocks.len() * (MAX_TELLS + 1) + 1 + SAID
}

/// What drives the site's machines and AI compute.
pub(super) struct Machines {
    /// By the index of the group.
    pub actuators: Vec<Option<Arc<dyn Actuator>>>,
    meters: Vec<Asked>,
    /// By the index of the group: its driver tells modes beside readings.
    tells_modes: Vec<bool>,
    /// By the index of the block.
    pub compute: Vec<Option<Arc<dyn compute::Compute>>>,
    /// Meters that speak by themselves, until they are listened to.
    pushed: Vec<(usize, Pushed)>,
    /// What those are told of who is who, by the index of the group.
    rolls: Vec<Option<watch::Sender<Arc<Roll<DeviceKey>>>>>,
    groups: Vec<Arc<str>>,
    blocks: Vec<Arc<str>>,
}

/// What tells the watts of a group's machines.
enum Asked {
    Meter(Arc<dyn meter::Ask>),
    /// With the certificates that its brokers have shown.
    Pushed(Shown),
    /// One signal tells those of all.
    Group(Arc<str>),
    Nobody,
}

/// What is under way to one AI block.
pub(super) struct Compute {
    status_at: Instant,
    is_asked: bool,
    /// Whether it answered last time.
    is_heard: bool,
    telling: Vec<LeaseId>,
}

impl Compute {
    pub fn new(now: Instant) -> Self {
        Self { status_at: now, is_asked: false, is_heard: true, telling: Vec::new() }
    }
}

impl Machines {
    /// As the config says.
    pub fn build(profit: &Profit, power: &Power, drivers: &Drivers) -> Result<Self, PowerError> {
        let mut machines = Self {
            actuators: Vec::new(),
            meters: Vec::new(),
            tells_modes: Vec::new(),
            compute: Vec::new(),
            pushed: Vec::new(),
            rolls: Vec::new(),
            groups: profit.groups.iter().map(|group| group.name.clone()).collect(),
            blocks: profit.ai.iter().map(|block| block.name.clone()).collect(),
        };
        for (index, (group, moved)) in profit.groups.iter().zip(&power.groups).enumerate() {
            let Some(moved) = moved else {
                machines.actuators.push(None);
                machines.meters.push(Asked::Nobody);
                machines.tells_modes.push(false);
                machines.rolls.push(None);
                continue;
            };
            let wrong = |error: actuator::BuildError| PowerError::Driver(format!("group {:?}: {error}", group.name));
            let driver = actuator::build(moved, drivers).map_err(wrong)?;
            let nobody = Target { name: "".into(), address: None, worker: None };
            machines.tells_modes.push(driver.mode(&nobody).is_some());
            let mut roll = None;
            machines.meters.push(match meter::build(moved, driver.clone()).map_err(wrong)? {
                Meter::Asked(meter) => Asked::Meter(meter),
                Meter::Pushed(pushed) => {
                    let shown = pushed.shown();
                    machines.pushed.push((index, pushed));
                    roll = Some(watch::channel(Arc::new(Roll::of([]))).0);
                    Asked::Pushed(shown)
                }
                Meter::Group(signal) => Asked::Group(signal),
                Meter::None => Asked::Nobody,
            });
            machines.rolls.push(roll);
            machines.actuators.push(Some(driver));
        }
        for (block, ai) in power.blocks.iter().zip(&profit.ai) {
            let build = |block| {
                let built = compute::build(block, ai, terms::block_id(ai), drivers);
                built.map_err(|error| PowerError::Driver(error.to_string()))
            };
            machines.compute.push(block.as_ref().map(build).transpose()?);
        }
        Ok(machines)
    }

    /// A device as the site is to know it; `None` for one of a group that nothing can move.
    pub fn joining(&self, profit: &Profit, power: &Power, devices: &Devices, key: DeviceKey) -> Option<Joining> {
        let moved = power.groups.get(key.group)?.as_ref()?;
        let target = devices.target(key)?;
        let entry = moved.devices.iter().find(|entry| entry.name == target.name);
        let is_read = match self.meters.get(key.group)? {
            Asked::Meter(_) | Asked::Pushed(_) | Asked::Group(_) => true,
            Asked::Nobody => false,
        };
        Some(terms::joining(&target.name, moved, profit.groups.get(key.group)?, profit.site.overhead, entry, is_read))
    }

    /// Whether a group's devices are asked for their watts, or their mode.
    pub fn is_asked(&self, group: usize) -> bool {
        match self.meters.get(group) {
            Some(Asked::Meter(_)) => true,
            Some(Asked::Pushed(_) | Asked::Group(_)) => self.tells_modes(group),
            Some(Asked::Nobody) | None => false,
        }
    }

    fn tells_modes(&self, group: usize) -> bool {
        self.tells_modes.get(group).copied().unwrap_or(false)
    }

    /// Groups that have one meter for all of their machines, and its signal.
    pub fn group_meters(&self) -> impl Iterator<Item = (usize, Arc<str>)> {
        self.meters.iter().enumerate().filter_map(|(group, meter)| match meter {
            Asked::Group(signal) => Some((group, signal.clone())),
            _ => None,
        })
    }

    /// When certificates end that were shown to drivers and meters.
    pub fn certificates(&self) -> Vec<Certificate> {
        let of =
            |of, name: &Arc<str>, ends: Option<Timestamp>| Some(Certificate { of, name: name.clone(), ends: ends? });
        let drivers = self.groups.iter().zip(&self.actuators);
        let drivers = drivers.filter_map(|(name, driver)| of("actuator", name, driver.as_ref()?.certificate_ends()));
        let meters = self.groups.iter().zip(&self.meters).filter_map(|(name, meter)| match meter {
            Asked::Meter(meter) => of("meter", name, meter.certificate_ends()),
            Asked::Pushed(shown) => of("meter", name, shown.first_end()),
            Asked::Group(_) | Asked::Nobody => None,
        });
        let blocks = self.blocks.iter().zip(&self.compute);
        let blocks = blocks.filter_map(|(name, compute)| of("ai", name, compute.as_ref()?.certificate_ends()));
        drivers.chain(meters).chain(blocks).collect()
    }

    /// Tells meters that speak by themselves who is who now.
    pub fn call_roll(&self, devices: &Devices, group: usize) {
        if let Some(Some(roll)) = self.rolls.get(group) {
            roll.send_replace(Arc::new(Roll::of(devices.of(group))));
        }
    }
}

impl Keeper {
    /// Listens to meters that speak by themselves; they end with the loop, as what they say has nowhere to go.
    pub(super) fn listen(&mut self) {
        for (group, mut pushed) in std::mem::take(&mut self.machines.pushed) {
            let Some(Some(roll)) = self.machines.rolls.get(group) else { continue };
            let (roll, answer) = (roll.subscribe(), self.answer.clone());
            self.machines.call_roll(&self.devices, group);
            self.runtime.spawn(async move {
                loop {
                    let said = tokio::select! {
                        said = pushed.next() => said,
                        () = answer.closed() => return,
                    };
                    let key = roll.borrow().find(&said.who);
                    match key {
                        None => pushed.nobody(&said.who),
                        Some(key) => {
                            let said = Answer::Said { key, at: said.taken_at, watts: said.watts };
                            if answer.send(said).await.is_err() {
                                return;
                            }
                        }
                    }
                }
            });
        }
    }

    /// Sends what may be sent to machines.
    pub(super) fn call(&mut self, now: Timestamp, tick: Instant) {
        while let Some(call) = self.calls.next(tick) {
            match call {
                calls::Call::Command(key, command) => {
                    self.site.handle(now, Input::Sent(key));
                    self.send_command(now, tick, key, command);
                    // What is withdrawn by that must not be sent next.
                    self.carry_out_all(now, tick);
                }
                calls::Call::Read(key) => self.send_reading(tick, key),
            }
        }
    }

    /// Begins a call. It ends with the loop, wherever it is: whoever goes on finds out what became of it, as after a crash.
    fn begin_call(&self, call: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(self.stop.clone().run_until_cancelled_owned(call)));
    }

    /// The longest that a call may take, whatever its driver thinks.
    fn call_limit(&self) -> Duration {
        self.config.power.as_ref().map_or(Duration::ZERO, |power| power.command_lifetime)
    }

    fn send_command(&mut self, now: Timestamp, began: Instant, key: DeviceKey, command: Command) {
        let actuator = self.machines.actuators.get(key.group).cloned().flatten();
        let (Some(actuator), Some(target)) = (actuator, self.devices.target(key).cloned()) else {
            self.calls.answered(began, key, began, false);
            self.site.handle(now, Input::Refused(key));
            return;
        };
        let (answer, limit) = (self.answer.clone(), self.call_limit());
        self.begin_call(async move {
            let sent = async move {
                match &command {
                    Command::Sleep => actuator.sleep(&target).await,
                    Command::Wake(mode) => actuator.wake(&target, mode.as_ref()).await,
                }
            };
            let result = within(limit, sent).await;
            let _ = answer.send(Answer::Commanded { key, began, result }).await;
        });
    }

    fn send_reading(&mut self, began: Instant, key: DeviceKey) {
        let meter = match self.machines.meters.get(key.group) {
            Some(Asked::Meter(meter)) => Some(meter.clone()),
            _ => None,
        };
        let Some(target) = self.devices.target(key).cloned() else { return };
        let asks_mode = self.machines.tells_modes(key.group)
            && self.phases.get(key.group).copied().flatten() == Some(Phase::Mining)
            && self.modes.is_wanted(began, key);
        let actuator = self.machines.actuators.get(key.group).cloned().flatten().filter(|_| asks_mode);
        if meter.is_none() && actuator.is_none() {
            // Its meter speaks by itself, and its mode is known.
            self.calls.answered(began, key, began, false);
            return;
        }
        let (answer, limit) = (self.answer.clone(), self.call_limit());
        self.begin_call(async move {
            if let Some(actuator) = actuator {
                let mode = match actuator.mode(&target) {
                    Some(asked) => timeout(limit, asked).await.ok().and_then(Result::ok),
                    None => None,
                };
                let began = meter.is_none().then_some(began);
                let _ = answer.send(Answer::Mode { key, began, mode }).await;
            }
            let Some(meter) = meter else { return };
            // Not later than it is measured.
            let at = Timestamp::now();
            let result = within(limit, async move { meter.ask(&target).await }).await;
            let _ = answer.send(Answer::Read { key, began, at, result }).await;
        });
    }

    /// Tells a block of a lease, unless that is on its way already: it is repeated until it is answered.
    pub(super) fn tell_compute(&mut self, block: usize, message: LeaseMessage) {
        let compute = self.machines.compute.get(block).cloned().flatten();
        let (Some(compute), Some(Some(told))) = (compute, self.told.get_mut(block)) else { return };
        if told.telling.len() >= MAX_TELLS || told.telling.contains(&message.lease) {
            return;
        }
        told.telling.push(message.lease);
        let (answer, limit, lease) = (self.answer.clone(), self.call_limit(), message.lease);
        self.begin_call(async move {
            let result = within(limit, async move { compute.tell(message).await }).await;
            let _ = answer.send(Answer::Lease { block, lease, result }).await;
        });
    }

    /// Asks AI compute how it is.
    pub(super) fn ask_compute(&mut self, tick: Instant) {
        let limit = self.call_limit();
        let mut asked = Vec::new();
        for (block, (compute, told)) in self.machines.compute.iter().zip(&mut self.told).enumerate() {
            let (Some(compute), Some(told)) = (compute, told) else { continue };
            if told.is_asked || tick < told.status_at {
                continue;
            }
            told.is_asked = true;
            let poll = self.config.power.as_ref().and_then(|power| Some(power.blocks.get(block)?.as_ref()?.poll));
            told.status_at = tick + poll.unwrap_or_default();
            asked.push((block, compute.clone()));
        }
        for (block, compute) in asked {
            let answer = self.answer.clone();
            self.begin_call(async move {
                let result = within(limit, async move { compute.status().await }).await;
                let _ = answer.send(Answer::Status { block, result }).await;
            });
        }
    }

    /// When [`Keeper::ask_compute`] has something to do.
    pub(super) fn compute_due(&self) -> Option<Instant> {
        self.told.iter().flatten().filter(|told| !told.is_asked).map(|told| told.status_at).min()
    }

    /// Has the miners counted; what they did comes as an answer, also where somebody else has asked.
    pub(super) fn count_miners(&mut self, tick: Instant) {
        if self.census.is_under_way || tick < self.census.at {
            return;
        }
        self.census.begins(tick);
        self.count.ask();
    }

    pub(super) fn take_answer(&mut self, answer: Answer) {
        let (now, tick) = (self.clock.now(Timestamp::now()), Instant::now());
        self.shown.touch();
        match answer {
            Answer::Read { key, began, at, result } => {
                self.backlog.took(tick.saturating_duration_since(began));
                let is_moving = self.take_reading(now, key, self.clock.of(at), result);
                self.calls.answered(tick, key, began, is_moving);
            }
            Answer::Mode { key, began, mode } => {
                if mode.is_none() {
                    debug!("device {}: its power mode was not told", self.name(key));
                }
                self.modes.answered(tick, key, mode);
                if let Some(began) = began {
                    self.calls.answered(tick, key, began, false);
                }
            }
            Answer::Commanded { key, began, result } => {
                if let Err(error) = result {
                    self.complain_untold(tick, key, &error);
                    self.site.handle(now, Input::Refused(key));
                }
                self.calls.answered(tick, key, began, true);
            }
            Answer::Said { key, at, watts } => {
                let result = watts.map(|watts| Drawn { watts, mode: None });
                self.take_reading(now, key, self.clock.of(at), result);
            }
            Answer::Counted(census) => {
                self.census.counted(tick);
                self.take_census(now, tick, &census);
            }
            Answer::Status { block, result } => self.take_status(now, block, result),
            Answer::Lease { block, lease, result } => {
                if let Some(Some(told)) = self.told.get_mut(block) {
                    told.telling.retain(|telling| *telling != lease);
                }
                match result {
                    Ok(answer) => self.site.handle(now, Input::Answer(block, lease, answer)),
                    // It is told again.
                    Err(error) => self.complain_of_lease(tick, block, &lease.to_string(), &error),
                }
            }
        }
    }

    /// The meter of a whole group was read: each of its machines draws an equal share, so that the shares add up to it.
    pub(super) fn share_out(&mut self, now: Timestamp, group: usize, at: Timestamp, watts: f64) {
        let devices: Vec<DeviceKey> = self.devices.of(group).map(|(_, key)| key).collect();
        let share = meter::amount::plausible(watts / devices.len().max(1) as f64);
        for key in devices {
            let result = share.clone().map(|watts| Drawn { watts, mode: None });
            self.take_reading(now, key, at, result);
        }
    }

    /// Whether the device is to be measured again soon.
    fn take_reading(
        &mut self,
        now: Timestamp,
        key: DeviceKey,
        at: Timestamp,
        result: Result<Drawn, DriverError>,
    ) -> bool {
        match result {
            Ok(Drawn { watts, mode }) => {
                self.failures.remove(&key);
                let moved = self.config.power.as_ref().and_then(|power| power.groups.get(key.group)?.as_ref());
                if moved.is_some_and(PowerGroup::is_measured_alone) {
                    self.devices.note(key, at);
                }
                let mode = mode.or_else(|| self.modes.of(key));
                self.site.handle(now, Input::Sample(key, Sample { at, watts, mode }));
                let is_moving = self.site.is_moving(key);
                let is_awake = self.phases.get(key.group).copied().flatten() == Some(Phase::Mining);
                let sleep_max = self.config.power.as_ref().and_then(|power| power.groups.get(key.group)?.as_ref());
                let draws = sleep_max.is_some_and(|group| watts > group.sleep_max);
                self.miners.measured(now, key, watts, is_awake && !is_moving && draws);
                if self.proves_by_watts && draws {
                    self.site.handle(now, Input::Counted(at));
                    self.site.handle(now, Input::Shares(key, Shares { found: 1, ..Shares::default() }));
                }
                is_moving
            }
            Err(error) => {
                debug!("device {}: not measured: {error}", self.name(key));
                let failures = self.failures.entry(key).or_default();
                *failures = failures.saturating_add(1);
                if *failures < MISSES && error != DriverError::NoAddress {
                    return true;
                }
                // Not again until it was measured in between.
                if *failures <= MISSES {
                    *failures = MISSES + 1;
                    self.complain_unmeasured(Instant::now(), key, &error);
                }
                self.miners.measured(now, key, Watts::ZERO, false);
                self.site.handle(now, Input::Unreachable(key));
                self.site.is_moving(key)
            }
        }
    }

    fn take_status(&mut self, now: Timestamp, block: usize, result: Result<Status, DriverError>) {
        let name = self.block_name(block).to_owned();
        let Some(Some(told)) = self.told.get_mut(block) else { return };
        told.is_asked = false;
        let was_heard = std::mem::replace(&mut told.is_heard, result.is_ok());
        match result {
            Ok(mut status) => {
                status.drawn.taken_at = self.clock.of(status.drawn.taken_at);
                if !was_heard {
                    info!("AI block {name:?}: its status is there again");
                }
                self.site.handle(now, Input::Status(block, status));
            }
            Err(error) if was_heard => {
                warn!(
                    "AI block {name:?}: no status: {error}; once it is too old, the block counts as drawing all it can"
                );
            }
            Err(error) => debug!("AI block {name:?}: no status: {error}"),
        }
    }

    fn take_census(&mut self, now: Timestamp, tick: Instant, census: &Census) {
        let groups = self.config.power.as_ref().map_or(&[][..], |power| &power.groups);
        let is_asked = |key: DeviceKey| {
            groups.get(key.group).is_some_and(|group| group.as_ref().is_some_and(PowerGroup::is_measured_at_address))
        };
        // Until it was missed, it is there.
        let answers = |key| is_asked(key) && self.failures.get(&key).is_none_or(|failures| *failures < MISSES);
        let Counted { shares, found, moved } = self.miners.take(now, census, &mut self.devices, answers);
        for (key, shares) in shares {
            self.site.handle(now, Input::Shares(key, shares));
        }
        self.site.handle(now, Input::Counted(self.clock.of(census.began).min(now)));
        for (key, efficiency) in self.miners.efficiencies(now) {
            self.site.handle(now, Input::Efficiency(key, efficiency));
        }
        let mut kept: Vec<_> = moved.clone();
        kept.extend(found.iter().map(|(_, found)| found.clone()));
        if kept.is_empty() {
            self.let_newcomers_sleep();
            return;
        }
        if let Err(error) = self.journal.keep(&kept) {
            // Whoever is not kept could not be woken after a restart, so it is not moved.
            error!("{error}; {} new devices are left alone until it can be written", found.len());
            return;
        }
        let (Some(profit), Some(power)) = (self.config.profit.clone(), self.config.power.clone()) else { return };
        let mut joined = vec![0_usize; self.names.len()];
        for (group, found) in &found {
            let Some(key) = self.devices.add(*group, found) else { continue };
            let Some(joining) = self.machines.joining(&profit, &power, &self.devices, key) else { continue };
            self.calls.add(tick, key, self.machines.is_asked(*group));
            self.site.handle(now, Input::Joined(*group, joining));
            self.paces.joined(&power, &self.names, &self.devices, key);
            joined[*group] += 1;
        }
        for (group, joined) in joined.into_iter().enumerate() {
            if joined > 0 {
                info!("group {:?}: {joined} devices were found by their connections", self.names[group]);
            }
            self.machines.call_roll(&self.devices, group);
        }
        self.let_newcomers_sleep();
        // Whose they are is known now.
        self.census.at = tick + CENSUS;
    }

    fn let_newcomers_sleep(&mut self) {
        for group in 0..self.names.len() {
            self.let_sleep(group);
        }
        // Whom a side before let sleep, and whose group has begun to wake before it was counted here.
        let dormant = &self.dormant;
        let awake = self.miners.turn(false, |key| !dormant[key.group]);
        if !awake.is_empty() {
            let errands = self.errands.clone();
            self.runtime.spawn(async move { errands.sleepers(awake, false).await });
        }
    }

    pub(super) fn name(&self, key: DeviceKey) -> String {
        self.devices.target(key).map_or_else(|| format!("{key:?}"), |Target { name, .. }| format!("{name:?}"))
    }

    pub(super) fn block_name(&self, block: usize) -> &str {
        self.config.profit.as_ref().and_then(|profit| profit.ai.get(block)).map_or("", |ai| &*ai.name)
    }
}

/// What a driver says, whatever becomes of it: one that is another program's may hang or panic, and whoever waits for its word would wait for ever.
async fn within<T: Send + 'static>(
    limit: Duration,
    call: impl Future<Output = Result<T, DriverError>> + Send + 'static,
) -> Result<T, DriverError> {
    // A set, as it ends with whoever waits for it.
    let mut calls = JoinSet::new();
    calls.spawn(timeout(limit, call));
    match calls.join_next().await {
        Some(Ok(said)) => said.unwrap_or(Err(DriverError::Timeout(limit))),
        Some(Err(error)) => Err(DriverError::Refused(format!("its driver has failed: {error}"))),
        None => Err(DriverError::Timeout(limit)),
    }
}

/// The queue's other end, so that the file names all that goes through it.
pub(super) type Received = mpsc::Receiver<Answer>;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_driver_that_hangs_or_panics_is_answered_for() {
        let limit = Duration::from_millis(10);
        assert_eq!(within(limit * 1_000, async { Ok(1) }).await, Ok(1));
        assert_eq!(within::<()>(limit, std::future::pending()).await, Err(DriverError::Timeout(limit)));
        let (asked, answered) = tokio::sync::oneshot::channel::<()>();
        let call = within::<()>(limit * 1_000, async move {
            let _asked = asked;
            std::future::pending().await
        });
        assert!(timeout(limit, call).await.is_err());
        assert!(answered.await.is_err(), "it ends with whoever waited for it");
        let failed = within::<()>(limit * 1_000, async { panic!("a bug") }).await;
        assert!(matches!(&failed, Err(DriverError::Refused(why)) if why.contains("a bug")), "{failed:?}");
    }
}
