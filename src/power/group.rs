//! One power group: takes its miners to sleep and back, batch by batch, and believes nothing but measured watts.
//!
//! Knows orders, devices and time; knows no price, no socket and no driver. Whoever owns those feeds [`Group::handle`], does what
//! [`Group::poll_output`] says, and comes back at [`Group::poll_timeout`].
//!
//! From the table in `table.rs`, by a test; `hold` and `lock` lead from everywhere else:
//!
//! ```text
//! MINING        ── sleep | emergency ────────────────────────► DRAIN_PENDING
//! MINING        ── resume, to mine ──────────────────────────► WAKE_PENDING
//! DRAIN_PENDING ── mine | nobody ────────────────────────────► MINING
//! DRAIN_PENDING ── ready ────────────────────────────────────► DRAINING
//! DRAIN_PENDING ── resume, to mine ──────────────────────────► WAKE_PENDING
//! DRAINING      ── settled ──────────────────────────────────► ASLEEP
//! DRAINING      ── mine ─────────────────────────────────────► WAKE_PENDING
//! DRAINING      ── disobeyed ────────────────────────────────► FAULT
//! DRAINING      ── foreign ──────────────────────────────────► MANUAL_HOLD
//! ASLEEP        ── mine ─────────────────────────────────────► WAKE_PENDING
//! ASLEEP        ── foreign ──────────────────────────────────► MANUAL_HOLD
//! WAKE_PENDING  ── resume, to sleep ─────────────────────────► DRAIN_PENDING
//! WAKE_PENDING  ── sleep | emergency ────────────────────────► ASLEEP
//! WAKE_PENDING  ── granted ──────────────────────────────────► WAKING
//! WAKING        ── working ──────────────────────────────────► MINING
//! WAKING        ── sleep | emergency ────────────────────────► DRAINING
//! WAKING        ── disobeyed ────────────────────────────────► FAULT
//! FAULT         ── sleep | emergency | resume, to sleep ─────► DRAIN_PENDING
//! FAULT         ── mine | resume, to mine ───────────────────► WAKE_PENDING
//! MANUAL_HOLD   ── emergency | resume, to sleep ─────────────► DRAIN_PENDING
//! MANUAL_HOLD   ── resume, to mine ──────────────────────────► WAKE_PENDING
//! LOCKOUT       ── resume, to sleep ─────────────────────────► DRAIN_PENDING
//! LOCKOUT       ── resume, to mine ──────────────────────────► WAKE_PENDING
//! ```
//!
//! * Nothing is commanded before the record of the phase is on disk ([`Output::Persist`]), so that a crash forgets no sleeper.
//! * Down: a canary first, the worst J/TH first, never under the floor. Up: the best first, each batch with the ledger's permission, in the mode
//!   that was saved. Both under a ramp; an emergency knows no dwell, canary or ramp, and waits for records and proofs like any drain.
//! * A device that woke before the ledger let it to may be told to sleep until then ([`Input::Restrain`]): its turn comes.
//! * A device that nothing can put to sleep is left as it is and counts as load. So does one that is not seen, or draws nothing, when the drain
//!   begins; once it is seen to draw while its group is to sleep, it is put to sleep as well, as far as the floor allows (`late.rs`).
//! * ASLEEP is reached when every device is proven or given up, and no share was submitted for a while and none is without an answer.
//!   Devices that are given up count at their bound; the rest is free. Where all that are seen draw nothing as it is, nobody is told, and nothing
//!   is free but what was: they count as before.
//! * MINING is reached when every device draws and has found a share, or is given up; FAULT instead if more than a few are ([`Terms::may_fail`]).
//!   Those that it mines without count at their bound and are told again, each time later (`strays.rs`).
//! * In LOCKOUT devices are put to sleep and none is woken, whatever is ordered. In FAULT the order is tried again after a while: only a
//!   person's hold or lockout lasts.
//! * What sleeps although nobody here put it to sleep (the ledger that knew of it is lost) is left as it is until a person wants it awake.
//! * After a restart devices are probed before anything is decided ([`Group::rebuild`]). A device that may have been told to wake is told to
//!   sleep again before its watts prove anything.
//!
//! Limits: work grows with devices per phase, and with the logarithm of their number per input. Outputs wait until they are polled.

mod forget;
mod late;
mod operation;
mod queue;
mod ramp;
mod sleep;
mod state;
mod strays;
mod table;
mod view;
mod wake;
mod words;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use jiff::Timestamp;

use self::{
    operation::{Operation, drawn},
    queue::class,
    ramp::Ramp,
    sleep::Canary,
    state::{Sleeping, Slot, State},
    strays::Strays,
    wake::Ask,
};
use super::{
    device::{Device, Goal, Patience, Spec, Stage, StageKind, later},
    receipt::{Move, Outcome},
};
use crate::profit::{MoneyPerMwh, Ratio, Watts};

pub use self::{
    table::{Cause, Phase},
    words::{Command, DeviceRecord, Event, Input, Order, Output, Overruled, Record, Request},
};

/// How a group is moved.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// The most that may be told to sleep within a minute; never less than one device.
    pub ramp_down: Watts,
    /// The most that may be told to wake within a minute; never less than one device.
    pub ramp_up: Watts,
    /// Devices of the first batch; 0: there is none, as no watts tell whether a single device sleeps.
    pub canary: usize,
    /// What always mines (a contract with a pool).
    pub floor: Watts,
    /// The least time between a wake and a drain that is no emergency.
    pub min_mining: Duration,
    /// The least time asleep.
    pub min_asleep: Duration,
    /// With single devices.
    pub patience: Patience,
    /// How long shares under way are waited for, should the pool never answer.
    pub quiet_limit: Duration,
    /// How long the first measurements are waited for after a start.
    pub probe: Duration,
    /// After which the ledger is asked again.
    pub ask_again: Duration,
    /// How long waking miners wait for a pool's work; after that they wake all the same.
    pub work_wait: Duration,
    /// The share of its devices without which a group mines after a wake: so many, or one. More, or all, are a fault.
    pub may_fail: Ratio,
    /// After which a fault's order is tried again, and those that a group mines without are told again.
    pub fault_retry: Duration,
}

/// One power group.
#[derive(Debug)]
pub struct Group {
    name: Box<str>,
    terms: Terms,
    slots: Vec<Slot>,
    state: State,
    order: Order,
    /// What a MWh of mining was worth when the order came.
    value: Option<MoneyPerMwh>,
    now: Timestamp,
    /// When it came to where it is.
    since: Timestamp,
    /// Numbers of the last record, of the last that is on disk, and of the last drain or wake.
    record: u64,
    saved: u64,
    event: u64,
    /// Until when first measurements are waited for.
    probing: Option<Timestamp>,
    due: BTreeSet<(Timestamp, usize)>,
    /// Devices that want their command, in order.
    queue: VecDeque<usize>,
    /// Devices that the ledger lets wake.
    granted: VecDeque<usize>,
    asked: Option<Ask>,
    asks: u64,
    /// By goal and stage, devices that do not just mine.
    counts: [[usize; StageKind::COUNT]; 2],
    /// Of these, woken by somebody else.
    foreign: usize,
    /// Devices whose end in this drain or wake is not known.
    awaited: usize,
    /// Devices that something can put to sleep and that are not seen.
    unseen: usize,
    /// Devices that turned up while their group is to sleep, and were not told yet.
    late: Vec<usize>,
    /// What devices draw that mine and were told nothing: the floor is part of it.
    mining_w: f64,
    /// What all devices draw, for the peak of a receipt.
    drawn_w: f64,
    /// All shares that were found before that were told.
    counted: Option<Timestamp>,
    /// It was told to do what it does, in this life of the process.
    is_ordered: bool,
    /// While it mines: another device does not than the record says. While it sleeps: late ones were told, and their proof is not in it.
    is_unrecorded: bool,
    has_work: bool,
    down: Ramp,
    up: Ramp,
    out: VecDeque<Output>,
}

impl Group {
    /// A group that was never drained; it mines until it is ordered otherwise.
    pub fn new(name: Box<str>, terms: Terms, specs: Vec<Spec>, now: Timestamp) -> Self {
        let why = "nothing was ordered yet".into();
        let order = Order { goal: Goal::Mine, urgent: false, why };
        let devices = specs.into_iter().map(Device::new).collect();
        Self::with_devices(name, terms, devices, order, now)
    }

    /// A group as its last record left it. It finds out where its devices are before it does anything.
    pub fn rebuild(name: Box<str>, terms: Terms, specs: Vec<Spec>, record: &Record, now: Timestamp) -> Self {
        let recorded: HashMap<&str, &DeviceRecord> =
            record.devices.iter().map(|device| (&*device.name, device)).collect();
        let devices = specs.into_iter().map(|spec| match recorded.get(&*spec.name) {
            Some(device) => {
                // What was measured before wakes began says nothing of what they did.
                let is_proven = device.is_proven_asleep && record.phase != Phase::Waking;
                // No wake was sent later than now, whatever the clock said then.
                let at_most = later(now, spec.wake_time);
                let rouses_until = match record.phase {
                    Phase::Waking | Phase::Mining => Some(at_most),
                    _ => device.rouses_until.map(|until| until.min(at_most)),
                };
                // One that sleeps by proof dozes no more.
                let asleep_at_most = later(rouses_until.unwrap_or(now), spec.sleep_time);
                let dozes_until = match record.phase {
                    Phase::Draining | Phase::Asleep | Phase::Lockout if !is_proven => Some(asleep_at_most),
                    _ => device.dozes_until.map(|until| until.min(asleep_at_most)),
                };
                Device::rebuilt(spec, device.goal, is_proven, rouses_until, dozes_until, device.mode.clone())
            }
            None => Device::new(spec),
        });
        let mut group = Self::with_devices(name, terms, devices.collect(), record.order.clone(), now);
        (group.record, group.saved, group.event) = (record.number, record.number, record.event);
        // What was commanded in the last minute is not known.
        group.down.fill(now);
        group.up.fill(now);
        let phase = match record.phase {
            // Proof is wanted anew, and permission.
            Phase::Asleep => Phase::Draining,
            Phase::Waking => Phase::WakePending,
            phase => phase,
        };
        group.state = State::Mining { since: record.since, strays: Strays::default() };
        if phase != Phase::Mining {
            group.enter(now, phase, phase, None);
            if let (Phase::Asleep, Some(operation)) = (record.phase, group.state.operation()) {
                operation.goes_on();
            }
            group.persist();
            let why = format!("restarted; it was {} before", record.phase.label());
            group.tell(Event::Moved { group: group.name.clone(), from: record.phase, to: phase, why: why.into() });
        }
        group
    }

    fn with_devices(name: Box<str>, terms: Terms, devices: Vec<Device>, order: Order, now: Timestamp) -> Self {
        let biggest = devices.iter().map(|device| device.spec().most).fold(Watts::ZERO, Watts::max);
        let (down, up) = (Ramp::new(terms.ramp_down, biggest), Ramp::new(terms.ramp_up, biggest));
        let out = (0..devices.len()).map(Output::Probe).collect();
        let slots = devices.into_iter().map(Slot::new);
        let mut group = Self {
            name,
            slots: slots.collect(),
            state: State::Mining { since: Timestamp::MIN, strays: Strays::default() },
            order,
            value: None,
            now,
            since: now,
            record: 0,
            saved: 0,
            event: 0,
            probing: Some(later(now, terms.probe)),
            due: BTreeSet::new(),
            queue: VecDeque::new(),
            granted: VecDeque::new(),
            asked: None,
            asks: 0,
            counts: Default::default(),
            foreign: 0,
            awaited: 0,
            unseen: 0,
            late: Vec::new(),
            mining_w: 0.0,
            drawn_w: 0.0,
            counted: None,
            is_ordered: false,
            is_unrecorded: false,
            has_work: false,
            down,
            up,
            out,
            terms,
        };
        for slot in &group.slots {
            if let Some((goal, kind)) = class(&slot.device) {
                group.counts[goal as usize][kind as usize] += 1;
            }
        }
        group.drawn_w = drawn(&group.slots);
        group.unseen = group.slots.iter().filter(|slot| slot.is_unseen()).count();
        group
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Mining { .. } => Phase::Mining,
            State::DrainPending { .. } => Phase::DrainPending,
            State::Draining(_) => Phase::Draining,
            State::Asleep { .. } => Phase::Asleep,
            State::WakePending { .. } => Phase::WakePending,
            State::Waking { .. } => Phase::Waking,
            State::Fault { .. } => Phase::Fault,
            State::ManualHold => Phase::ManualHold,
            State::Lockout(_) => Phase::Lockout,
        }
    }

    /// What it is to do.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// One of its devices, by its index.
    pub fn device(&self, index: usize) -> Option<&Device> {
        self.slots.get(index).map(|slot| &slot.device)
    }

    /// Takes what happened. Indexes that it does not have are not looked at; time that goes back stands still.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        let now = self.clock(now);
        match input {
            Input::Order(order, value) => self.handle_order(now, order, value),
            Input::Hold(why) => {
                self.cause(now, Cause::Hold, why);
            }
            Input::Lock(why) => {
                self.cause(now, Cause::Lock, why);
            }
            Input::Rouse(why) => self.rouse(now, why),
            Input::Release if matches!(self.state, State::ManualHold | State::Fault { .. }) => {
                self.resume(now, "released by a person");
            }
            Input::Unlock if matches!(self.state, State::Lockout(_)) => self.resume(now, "the lockout is over"),
            Input::Release | Input::Unlock => {}
            Input::Persisted(number) => self.saved = self.saved.max(number.min(self.record)),
            Input::Permission(ask, allowed) => self.handle_permission(now, ask, allowed),
            Input::Joined(spec) => self.join(spec),
            Input::Left(index) => self.forget(now, index),
            Input::WorkReady => self.has_work = true,
            Input::Sample(index, sample) => {
                // Who sleeps with its group is not idle.
                let is_to_mine = !self.is_to_sleep();
                self.touch(now, index, |device, patience| {
                    device.handle_sample(now, sample, patience);
                    device.looks_for_idleness(now, is_to_mine);
                });
                self.turns_up(index);
            }
            Input::Efficiency(index, efficiency) => {
                self.touch(now, index, |device, _| device.handle_efficiency(efficiency));
            }
            Input::Times(index, times) => self.touch(now, index, |device, _| device.expect(times)),
            Input::Unreachable(index) => self.touch(now, index, |device, _| device.handle_unreachable()),
            Input::Sent(index) => {
                self.touch(now, index, |device, _| device.send(now));
                if let Some(operation) = self.state.operation() {
                    operation.commands(now);
                }
            }
            Input::Refused(index) => {
                self.touch(now, index, |device, patience| device.handle_refusal(now, patience));
            }
            Input::Counted(at) => {
                self.counted = self.counted.max(Some(at));
                self.looks_again();
            }
            Input::Restrain(index) => self.restrain(now, index),
            Input::Shares(index, shares) => {
                let since = self.counted;
                self.touch(now, index, |device, patience| device.handle_shares(now, since, &shares, patience));
                let Some(slot) = self.slots.get(index) else { return };
                let (is_moving, stage) = (slot.is_moving, slot.device.stage());
                if is_moving {
                    // Who did not obey finds shares all the time, and is not waited for.
                    if matches!(stage, Stage::Confirmed { .. }) {
                        self.looks_again();
                    }
                    if let Some(operation) = self.state.operation() {
                        operation.shares(&shares);
                    }
                }
            }
        }
        self.advance(now);
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let now = self.clock(now);
        while let Some((at, index)) = self.due.first().copied()
            && at <= now
        {
            self.due.pop_first();
            self.slots[index].due = None;
            self.touch(now, index, |device, patience| device.handle_timeout(now, patience));
        }
        self.advance(now);
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When [`Group::handle_timeout`] is to be called; `None` if time changes nothing.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let device = self.due.first().map(|(at, _)| *at);
        if self.probing.is_some() {
            return device.into_iter().chain(self.probing).min();
        }
        let ramp = |ramp: &Ramp, waits: bool| ramp.frees_at().filter(|_| waits);
        let ask = self.asked.as_ref().map(|ask| ask.again);
        let (own, ramp) = match &self.state {
            State::Mining { strays, .. } => {
                let waits = !self.queue.is_empty() || !self.granted.is_empty();
                let asks = self.asks_at().filter(|_| !self.queue.is_empty());
                let own = ask.or(asks).into_iter().chain(strays.due());
                (own.min_by_key(|at| (*at <= self.now, *at)), ramp(&self.up, waits))
            }
            State::ManualHold => (None, None),
            State::DrainPending { not_before, .. } => (Some(*not_before), None),
            State::Draining(sleeping) | State::Lockout(sleeping) => {
                let heard = sleeping.heard_at.map(|heard| later(heard, self.terms.quiet_limit));
                let quiet = sleeping.quiet_at.or(heard).filter(|_| sleeping.operation.is_some());
                (quiet, ramp(&self.down, !self.queue.is_empty()))
            }
            State::Asleep { .. } => (None, ramp(&self.down, !self.queue.is_empty())),
            State::WakePending { .. } => (ask.or(self.asks_at()), ramp(&self.up, !self.queue.is_empty())),
            State::Waking { .. } => {
                let waits = !self.queue.is_empty() || !self.granted.is_empty();
                let work = self.works_at().filter(|_| !self.granted.is_empty());
                let asks = self.asks_at().filter(|_| !self.queue.is_empty());
                (ask.or(asks).into_iter().chain(work).min_by_key(|at| (*at <= self.now, *at)), ramp(&self.up, waits))
            }
            State::Fault { retry_at } => (Some(*retry_at), None),
        };
        // What is due and was not done waits for something else than time.
        let waits = own.into_iter().chain(ramp).filter(|at| *at > self.now);
        device.into_iter().chain(waits).min()
    }

    fn handle_order(&mut self, now: Timestamp, order: Order, value: Option<MoneyPerMwh>) {
        let is_same = order.goal == self.order.goal;
        let is_urgent = order.goal == Goal::Sleep && order.urgent;
        let is_new = !is_same || is_urgent && !self.order.urgent;
        // An emergency lasts until all sleep, whoever says so once more less loudly.
        let urgent = is_urgent || (is_same && self.order.urgent);
        self.order = Order { urgent, ..order };
        self.value = value;
        self.is_ordered = true;
        // What a fault waits for is time, not to be told again.
        if !is_new && self.phase() == Phase::Fault {
            return;
        }
        let cause = match (self.order.goal, is_urgent) {
            // What was half way when it was ordered back has both miners and sleepers.
            (Goal::Mine, _) if self.phase() == Phase::DrainPending && self.has_touched() => Cause::ResumeMine,
            (Goal::Sleep, _) if matches!(self.state, State::WakePending { was_asleep: false, .. }) => {
                Cause::ResumeSleep
            }
            (Goal::Sleep, _) if matches!(self.state, State::Mining { .. }) && !self.has_anybody() => {
                self.tell(Event::Nobody { group: self.name.clone() });
                Cause::Nobody
            }
            (Goal::Sleep, false) => Cause::Sleep,
            (Goal::Sleep, true) => Cause::Emergency,
            (Goal::Mine, _) => Cause::Mine,
        };
        let has_moved = self.cause(now, cause, self.order.why.clone());
        if !has_moved && !is_same {
            self.persist();
        }
    }

    fn resume(&mut self, now: Timestamp, why: &str) {
        let cause = if self.order.goal == Goal::Sleep { Cause::ResumeSleep } else { Cause::ResumeMine };
        self.cause(now, cause, format!("{why}; {}", self.order.why).into());
    }

    /// Does what has become possible.
    fn advance(&mut self, now: Timestamp) {
        if !self.has_probed(now) {
            return;
        }
        // Each turn moves on by a phase or a canary; a circle without an input or time in it would be a fault of the table.
        for _ in 0..Phase::ALL.len() {
            let has_moved = match &self.state {
                State::Mining { .. } => self.mind_strays(now),
                State::ManualHold => false,
                State::DrainPending { .. } if !self.has_anybody() && !self.has_touched() => {
                    self.cause(now, Cause::Nobody, "no device is known that could be put to sleep".into())
                }
                State::DrainPending { not_before, .. } => {
                    let is_time = self.order.urgent || *not_before <= now;
                    self.may_command() && is_time && self.cause(now, Cause::Ready, self.order.why.clone())
                }
                State::Draining(_) | State::Asleep { .. } | State::Lockout(_) => {
                    self.send_sleeps(now);
                    self.take_late(now);
                    self.record_late();
                    self.settle(now)
                }
                State::WakePending { .. } | State::Waking { .. } => {
                    self.ask(now);
                    self.send_wakes(now);
                    self.settle_wake(now)
                }
                State::Fault { retry_at } if *retry_at <= now => {
                    self.resume(now, "tried again");
                    true
                }
                State::Fault { .. } => false,
            };
            if !has_moved {
                return;
            }
        }
    }

    /// Whether the first measurements are there, or were waited for long enough.
    fn has_probed(&mut self, now: Timestamp) -> bool {
        let Some(until) = self.probing else { return true };
        if now < until && self.unseen > 0 {
            return false;
        }
        self.probing = None;
        if let State::Draining(_) | State::Lockout(_) = self.state {
            // Whoever is seen by now is one of them, or kept by the floor.
            self.turn_to_sleep(now, !matches!(self.state, State::Lockout(_)));
            // Nothing was commanded yet.
            if let Some(operation) = self.state.operation() {
                operation.opens(&mut self.slots);
            }
            self.persist();
        }
        // They came in some order.
        let wakes = matches!(self.state, State::WakePending { .. } | State::Mining { .. });
        let goal = if wakes { Goal::Mine } else { Goal::Sleep };
        self.requeue(now, goal);
        true
    }

    /// Moves to where `cause` leads; false if that is nowhere.
    fn cause(&mut self, now: Timestamp, cause: Cause, why: Box<str>) -> bool {
        let from = self.phase();
        let Some(to) = from.next(cause) else { return false };
        self.tell(Event::Moved { group: self.name.clone(), from, to, why });
        let before = std::mem::replace(&mut self.state, State::ManualHold);
        let since = match &before {
            State::Mining { since, .. } => later(*since, self.terms.min_mining),
            State::Asleep { since } => later(*since, self.terms.min_asleep),
            _ => now,
        };
        let mut operation = before.into_operation();
        if !matches!(cause, Cause::Ready | Cause::Granted)
            && let Some(operation) = operation.take()
        {
            let outcome = match cause {
                Cause::Settled | Cause::Working => Outcome::Done,
                Cause::Disobeyed => Outcome::Fault,
                Cause::Hold | Cause::Lock | Cause::Foreign => Outcome::Interrupted,
                _ => Outcome::TurnedBack,
            };
            self.close(now, operation, outcome);
        }
        self.enter(now.max(since), from, to, operation);
        self.persist();
        true
    }

    /// Begins a phase. `at` is now, or later where it has to wait.
    fn enter(&mut self, at: Timestamp, from: Phase, phase: Phase, operation: Option<Operation>) {
        let now = self.now;
        self.since = now;
        let begins = |group: &mut Self, kind| {
            group.event += 1;
            Operation::new(group.event, kind, group.order.why.clone(), group.value, now)
        };
        // Waking goes on where asking has begun.
        if phase != Phase::Waking {
            self.queue.clear();
            self.granted.clear();
            self.late.clear();
            self.slots
                .iter_mut()
                .for_each(|slot| (slot.is_queued, slot.is_granted, slot.is_late) = (false, false, false));
        }
        self.state = match phase {
            Phase::Mining => State::Mining { since: now, strays: Strays::default() },
            Phase::DrainPending => State::DrainPending { operation: begins(self, Move::Drain), not_before: at },
            Phase::Draining | Phase::Lockout => {
                let mut operation = operation.unwrap_or_else(|| begins(self, Move::Drain));
                let is_lockout = phase == Phase::Lockout;
                self.turn_to_sleep(now, !is_lockout);
                operation.opens(&mut self.slots);
                let is_at_once = is_lockout || self.order.urgent || self.terms.canary == 0;
                let canary = if is_at_once { Canary::Passed } else { Canary::new() };
                let sleeping =
                    Sleeping { operation: Some(operation), canary, heard_at: None, settled_at: None, quiet_at: None };
                if is_lockout { State::Lockout(sleeping) } else { State::Draining(sleeping) }
            }
            Phase::Asleep => {
                self.order.urgent = false;
                self.turn_to_sleep_again(now);
                self.out.push_back(Output::Dormant);
                State::Asleep { since: now }
            }
            Phase::WakePending => {
                let mut operation = begins(self, Move::Wake);
                self.turn_to_mine(now);
                operation.opens(&mut self.slots);
                State::WakePending { operation, not_before: at, refused: None, was_asleep: from == Phase::Asleep }
            }
            Phase::Waking => {
                let operation = operation.unwrap_or_else(|| begins(self, Move::Wake));
                State::Waking { operation, refused: None }
            }
            Phase::Fault => State::Fault { retry_at: later(now, self.terms.fault_retry) },
            Phase::ManualHold => {
                // What was to be told before is told no more.
                for index in 0..self.slots.len() {
                    if self.slots[index].device.is_waiting() {
                        self.touch(now, index, |device, _| device.withdraw(now));
                    }
                }
                State::ManualHold
            }
        };
    }

    fn command(&mut self, now: Timestamp, index: usize, command: Command) {
        let goal = if command == Command::Sleep { Goal::Sleep } else { Goal::Mine };
        let slot = &mut self.slots[index];
        let most = slot.device.spec().most;
        slot.is_told = true;
        // It takes the place of one that was not sent.
        if let Some(other) = slot.waits_to.replace(goal) {
            self.ramp(other).release(most);
        }
        self.ramp(goal).hold(most);
        self.touch(
            now,
            index,
            |device, _| {
                if goal == device.goal() { device.dispatch() } else { device.restrain(now) }
            },
        );
        self.out.push_back(Output::Command(index, command));
    }

    fn ramp(&mut self, goal: Goal) -> &mut Ramp {
        match goal {
            Goal::Mine => &mut self.up,
            Goal::Sleep => &mut self.down,
        }
    }

    fn close(&mut self, now: Timestamp, operation: Operation, outcome: Outcome) {
        if let Some(receipt) = operation.receipt(now, &self.name, &self.slots, outcome) {
            self.out.push_back(Output::Receipt(Box::new(receipt)));
        }
    }

    fn persist(&mut self) {
        self.record += 1;
        self.is_unrecorded = false;
        let devices = self.slots.iter().map(|slot| &slot.device).filter(|device| !device.is_untouched());
        let devices = devices.map(|device| DeviceRecord {
            name: device.spec().name.clone(),
            goal: device.goal(),
            is_proven_asleep: device.is_proven_asleep(),
            rouses_until: device.rouses_until(),
            dozes_until: device.dozes_until(),
            mode: device.mode().cloned(),
        });
        let since = match &self.state {
            State::Mining { since, .. } | State::Asleep { since } => *since,
            _ => self.now,
        };
        self.out.push_back(Output::Persist(Record {
            number: self.record,
            event: self.event,
            phase: self.phase(),
            order: self.order.clone(),
            since,
            // The site's to say.
            overruled: None,
            devices: devices.collect(),
        }));
    }

    fn tell(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    fn clock(&mut self, now: Timestamp) -> Timestamp {
        self.now = self.now.max(now);
        self.now
    }
}

#[cfg(test)]
mod tests;
