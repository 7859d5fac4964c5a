//! One ASIC on its way to sleep or back: what it was told, and what its watts say of that.
//!
//! Knows its goal and its measurements; knows no group, no ramp, no ledger, and sends nothing: the group reads what became of it.
//!
//! | stage | left by | for |
//! |---|---|---|
//! | pending | its command is given out | dispatched, and waits for its call |
//! | dispatched, waiting | its call begins | dispatched, and its time runs |
//! | dispatched, waiting | another goal | as it was: the command is withdrawn, and was never sent |
//! | dispatched | proof | confirmed |
//! | dispatched | its time passed, or the driver failed | pending after a pause, at last failed |
//! | confirmed asleep | watts or shares | drifted; failed at the [`MAX_DRIFTS`]th time within [`DRIFT_WINDOW`] |
//! | confirmed mining | low watts for [`IDLE`] or its wake time, where it was seen drawing before | pending: told to wake; failed at the [`MAX_DRIFTS`]th time within [`IDLE_WINDOW`] |
//! | pending, confirmed, drifted | no fresh sample | unavailable |
//! | unavailable | a sample | confirmed if it is as it was left, else pending |
//! | failed | proof that comes late | confirmed |
//!
//! Proof of sleep is one sample that was taken after the last command and is not over [`Spec::sleep_max`]; not so while a device may still
//! be booting from an earlier wake ([`Device::rouses_until`]): it draws little and may have heard nothing. Proof of mining is a sample over it and
//! a share that was found good, both after the wake was sent and after every sleep before it has had its time ([`Device::dozes_until`]): until then
//! it may mine because it has not fallen asleep yet. Shares are counted now and then, so one that is told now was found after the count before. A
//! machine that draws at the end of its time and has found no share is taken at its watts: at a high difficulty, shares are rare
//! ([`Device::is_by_watts`]). What the firmware answers proves nothing: LuxOS says "sent", Antminer stock says OK and stays awake, and
//! asic-rs's Whatsminer says success regardless.
//!
//! [`Device::counts_full`] is what the watt ledger must know: a device counts at its bound from before it may draw until its
//! sleep is proven, and whenever it is not seen.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

mod words;

pub use self::words::*;
use super::pace::Times;
use crate::profit::{JoulesPerTerahash, Watts};

/// A device that wakes so often by itself is woken by somebody else, or is broken: it is not fought over.
pub const MAX_DRIFTS: usize = 3;

/// Drifts that lie further apart are a site's blips and not a quarrel.
pub const DRIFT_WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// A device that is to mine and draws nothing for so long is told to wake: a reboot, an update and a breaker that is looked at take less. Never
/// less than its wake time.
pub const IDLE: Duration = Duration::from_secs(600);

/// The same for devices that are put to sleep again and again while they should mine: to find one takes [`IDLE`] each time.
pub const IDLE_WINDOW: SignedDuration = SignedDuration::from_hours(24);

/// A retry waits no longer than so many times the first pause.
pub(super) const MAX_BACKOFF: u32 = 16;

/// One ASIC.
#[derive(Debug, Clone)]
pub struct Device {
    spec: Spec,
    /// After which it is told again.
    expected: Times,
    goal: Goal,
    stage: Stage,
    /// The last goal that was proven, if no command was sent since.
    proven: Option<Goal>,
    /// Until when a wake that was sent may still take effect.
    rouses_until: Option<Timestamp>,
    /// The same for a sleep that was not proven.
    dozes_until: Option<Timestamp>,
    /// When its last command was sent.
    sent: Option<Timestamp>,
    /// When it was last told to sleep until it may wake; `None` once it was told to wake, or has another goal.
    restrained: Option<Timestamp>,
    /// The call that tells it has not begun.
    waits_for_restraint: bool,
    sample: Option<Sample>,
    /// Whether the ledger must count it at its bound.
    counts_full: bool,
    /// The mode to wake it in.
    mode: Option<PowerMode>,
    in_flight: u64,
    last_submit: Option<Timestamp>,
    since_sent: SinceSent,
    drifts: Vec<Timestamp>,
    /// Since when it draws nothing although it should mine.
    idle_since: Option<Timestamp>,
    /// It was seen drawing since this process knows it.
    has_drawn: bool,
    /// Its mining was taken at its watts: it has found no share since its wake.
    is_by_watts: bool,
    /// Drawn between commands and their proof, in watt-hours.
    transit_wh: f64,
}

/// What was seen of a device since its last command.
#[derive(Debug, Clone, Copy, Default)]
struct SinceSent {
    drew: bool,
    worked: bool,
}

impl Device {
    /// A device that was never told anything; not seen yet.
    pub fn new(spec: Spec) -> Self {
        Self {
            expected: Times { sleep: spec.sleep_time, wake: spec.wake_time },
            spec,
            goal: Goal::Mine,
            stage: Stage::Unavailable,
            proven: Some(Goal::Mine),
            rouses_until: None,
            dozes_until: None,
            sent: None,
            restrained: None,
            waits_for_restraint: false,
            sample: None,
            counts_full: true,
            mode: None,
            in_flight: 0,
            last_submit: None,
            since_sent: SinceSent::default(),
            drifts: Vec::new(),
            idle_since: None,
            has_drawn: false,
            is_by_watts: false,
            transit_wh: 0.0,
        }
    }

    /// A device that an earlier life of this process may have commanded; not seen yet. `is_proven_asleep` only if nothing but sleep
    /// was sent to it since that was proven.
    pub fn rebuilt(
        spec: Spec,
        goal: Goal,
        is_proven_asleep: bool,
        rouses_until: Option<Timestamp>,
        dozes_until: Option<Timestamp>,
        mode: Option<PowerMode>,
    ) -> Self {
        let proven = is_proven_asleep.then_some(Goal::Sleep);
        Self { goal, proven, rouses_until, dozes_until, mode, ..Self::new(spec) }
    }

    /// What is known of it beforehand.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What it is to do.
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// How far it is.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Whether the ledger must count it at its bound, whatever it draws.
    pub fn counts_full(&self) -> bool {
        self.counts_full
    }

    /// What it drew last; its bound where that is not known.
    pub fn watts(&self) -> Watts {
        self.sample.as_ref().map_or(self.spec.most, |sample| sample.watts)
    }

    /// When [`Device::watts`] was measured.
    pub fn measured_at(&self) -> Option<Timestamp> {
        self.sample.as_ref().map(|sample| sample.at)
    }

    /// When its last command was sent, in this life of the process.
    pub fn sent_at(&self) -> Option<Timestamp> {
        self.sent
    }

    /// The mode to wake it in.
    pub fn mode(&self) -> Option<&PowerMode> {
        self.mode.as_ref()
    }

    /// Until when a wake that was sent may still take effect, whatever was sent after it.
    pub fn rouses_until(&self) -> Option<Timestamp> {
        self.rouses_until
    }

    /// Until when a sleep that was sent and is not proven may still take effect, whatever was sent after it.
    pub fn dozes_until(&self) -> Option<Timestamp> {
        self.dozes_until
    }

    /// Whether its command was given out and its call has not begun.
    pub fn is_waiting(&self) -> bool {
        self.waits_for_restraint || matches!(self.stage, Stage::Dispatched { deadline: None, .. })
    }

    /// Whether it mines by its watts alone: it has found no share in the time that it had after its wake.
    pub fn is_by_watts(&self) -> bool {
        self.is_by_watts
    }

    /// Shares that the pool has not answered.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// When its last share was found.
    pub fn last_submit(&self) -> Option<Timestamp> {
        self.last_submit
    }

    /// Drawn between its commands and their proof so far, in watt-hours.
    pub fn transit_wh(&self) -> f64 {
        self.transit_wh
    }

    /// Whether it mines and nothing was ever asked of it that is not undone.
    pub fn is_untouched(&self) -> bool {
        self.goal == Goal::Mine && self.proven == Some(Goal::Mine)
    }

    /// Whether its sleep is proven and nothing but sleep was sent since.
    pub fn is_proven_asleep(&self) -> bool {
        self.proven == Some(Goal::Sleep)
    }

    /// Whether a drain may choose it: seen, told nothing, drawing, and something can put it to sleep.
    pub fn is_candidate(&self) -> bool {
        self.spec.can_sleep && self.is_untouched() && matches!(self.stage, Stage::Confirmed { .. }) && self.is_drawing()
    }

    /// Whether it sleeps, by a measurement, although nobody here put it to sleep.
    pub fn is_idle(&self) -> bool {
        self.spec.can_sleep
            && self.is_untouched()
            && matches!(self.stage, Stage::Confirmed { .. })
            && !self.is_drawing()
    }

    /// Somebody wants it awake: it is to be told to wake like one that was put to sleep here. Only one that is idle.
    pub fn rouse(&mut self, now: Timestamp) {
        if self.is_idle() {
            self.proven = None;
            self.stage = Stage::Pending { tries: 0, after: now };
        }
    }

    /// Whether it is to mine, was not let to wake yet, and draws all the same.
    pub fn is_early(&self) -> bool {
        let is_told_nothing = matches!(self.stage, Stage::Pending { tries: 0, .. });
        self.goal == Goal::Mine && !self.is_untouched() && is_told_nothing && self.is_drawing()
    }

    /// When it was told to sleep until it may wake, if that is what it was told last.
    pub fn restrained_at(&self) -> Option<Timestamp> {
        self.restrained
    }

    /// Whether it draws no more than asleep, by its last sample.
    pub fn is_dark(&self) -> bool {
        self.sample.is_some() && !self.is_drawing()
    }

    /// Whether it is to be told something or was, and neither did that nor was given up.
    pub fn is_on_its_way(&self) -> bool {
        matches!(self.stage, Stage::Pending { .. } | Stage::Dispatched { .. } | Stage::Drifted)
    }

    /// Whether it wants its command now.
    pub fn wants_command(&self, now: Timestamp) -> bool {
        match self.stage {
            Stage::Pending { after, .. } => after <= now,
            Stage::Drifted => true,
            _ => false,
        }
    }

    /// When time alone changes something after `now`.
    pub fn due(&self, now: Timestamp, patience: &Patience) -> Option<Timestamp> {
        let stale = self.sample.as_ref().map(|sample| later(sample.at, patience.fresh));
        match self.stage {
            Stage::Dispatched { deadline, .. } => deadline,
            Stage::Pending { after, .. } if after > now => Some(stale.map_or(after, |stale| stale.min(after))),
            Stage::Pending { .. } | Stage::Confirmed { .. } | Stage::Drifted => stale,
            Stage::Unavailable | Stage::Failed { .. } => None,
        }
    }

    /// Gives it a goal. A command that waits for its call is to be withdrawn.
    pub fn turn(&mut self, now: Timestamp, goal: Goal) {
        self.goal = goal;
        self.frees();
        self.drifts.clear();
        self.stage = match self.stage {
            Stage::Unavailable => Stage::Unavailable,
            _ if self.proven == Some(goal) => Stage::Confirmed { since: now },
            _ => Stage::Pending { tries: 0, after: now },
        };
    }

    /// The ledger let it wake: from now on it counts at its bound.
    pub fn permit(&mut self) {
        self.counts_full = true;
    }

    /// It failed, and is tried once more; what it did by itself is not forgotten.
    pub fn retry(&mut self, now: Timestamp) {
        if matches!(self.stage, Stage::Failed { .. }) {
            self.stage = Stage::Pending { tries: 0, after: now };
        }
    }

    /// How long it is waited for from now on before it is told again, by what was seen of its kind.
    pub fn expect(&mut self, times: Times) {
        self.expected = times;
    }

    /// It woke before it was let to, and is being told to sleep until then.
    pub fn restrain(&mut self, now: Timestamp) {
        (self.sent, self.restrained, self.proven) = (Some(now), Some(now), None);
        self.waits_for_restraint = true;
        self.since_sent = SinceSent::default();
        self.counts_full = true;
    }

    /// Its command is given out. From now on it counts at its bound; its time begins with its call.
    pub fn dispatch(&mut self) {
        self.frees();
        let tries = match self.stage {
            Stage::Pending { tries, .. } => tries,
            _ => 0,
        };
        self.stage = Stage::Dispatched { tries: tries + 1, deadline: None };
        self.counts_full = true;
    }

    /// Its command is taken back before its call has begun.
    pub fn withdraw(&mut self, now: Timestamp) {
        if let Stage::Dispatched { tries, deadline: None } = self.stage {
            self.stage = Stage::Pending { tries: tries - 1, after: now };
        }
    }

    /// It need not be told to sleep until it may wake, or not any more.
    fn frees(&mut self) {
        (self.restrained, self.waits_for_restraint) = (None, false);
    }

    /// Its call begins. Nothing if no command of it waits for that.
    pub fn send(&mut self, now: Timestamp) {
        if std::mem::take(&mut self.waits_for_restraint) {
            (self.sent, self.restrained) = (Some(now), Some(now));
            self.dozes_until = Some(later(self.rouses_until.map_or(now, |until| until.max(now)), self.spec.sleep_time));
            return;
        }
        let Stage::Dispatched { tries, deadline: None } = self.stage else { return };
        let deadline = match self.goal {
            Goal::Mine => {
                // However soon it is told again: what was sent may take effect for as long as it may take at most.
                self.rouses_until = Some(later(now, self.spec.wake_time.max(self.expected.wake)));
                later(self.dozes_until.map_or(now, |until| until.max(now)), self.expected.wake)
            }
            Goal::Sleep => {
                let from = self.rouses_until.map_or(now, |until| until.max(now));
                self.dozes_until = Some(later(from, self.spec.sleep_time.max(self.expected.sleep)));
                later(from, self.expected.sleep)
            }
        };
        self.stage = Stage::Dispatched { tries, deadline: Some(deadline) };
        self.sent = Some(now);
        self.proven = None;
        self.is_by_watts = false;
        self.since_sent = SinceSent::default();
        self.counts_full = true;
    }

    /// It was measured. Samples from the future, old ones and those out of order are not looked at.
    pub fn handle_sample(&mut self, now: Timestamp, sample: Sample, patience: &Patience) {
        let is_newer = self.sample.as_ref().is_none_or(|last| last.at < sample.at);
        if !is_newer || sample.at > now || later(sample.at, patience.fresh) <= now {
            return;
        }
        self.measure_transit(&sample);
        let is_after_command = self.sent.is_none_or(|sent| sample.at > sent);
        let may_be_booting = self.rouses_until.is_some_and(|until| sample.at <= until) && !self.is_proven_asleep();
        self.sample = Some(sample);
        if self.is_drawing() {
            (self.counts_full, self.has_drawn) = (true, true);
            self.since_sent.drew |=
                is_after_command && self.sample.as_ref().is_some_and(|last| self.is_roused(last.at));
            self.sees_watts(now);
        } else if is_after_command {
            self.sees_no_watts(now, may_be_booting);
        }
        // A mode that it sleeps in is none to wake it in.
        if self.is_untouched() && self.is_drawing() {
            self.mode = self.sample.as_ref().and_then(|sample| sample.mode.clone()).or(self.mode.take());
        }
    }

    /// Its efficiency was measured; that of a device that is on its way, or asleep, is no measurement of its mining.
    pub fn handle_efficiency(&mut self, efficiency: JoulesPerTerahash) {
        if self.is_untouched() {
            self.spec.efficiency = Some(efficiency);
        }
    }

    /// Something happened to its shares. They were found after `since`, when all were counted before; `None` if nobody knows.
    pub fn handle_shares(&mut self, now: Timestamp, since: Option<Timestamp>, shares: &Shares, patience: &Patience) {
        let settled = shares.accepted.saturating_add(shares.rejected).saturating_add(shares.timed_out);
        self.in_flight = self.in_flight.saturating_add(shares.submitted).saturating_sub(settled);
        if shares.found > 0 {
            self.last_submit = Some(now);
            // What a pool says comes later, and of a few of them only: it sees what its own difficulty lets through. One that was found before the
            // wake was sent, or before it fell asleep, says nothing of it.
            let is_since = |at: Timestamp| self.sent.is_none_or(|sent| at >= sent) && self.is_roused(at);
            self.since_sent.worked |= since.is_some_and(is_since);
        }
        match (self.goal, self.stage) {
            (Goal::Sleep, Stage::Confirmed { since }) if shares.found > 0 && now > later(since, patience.quiet) => {
                self.drift(now);
            }
            (Goal::Mine, _) => self.prove_mining(now),
            _ => {}
        }
    }

    /// Its driver could not send the command, or was refused. That it could is no input: it proves nothing.
    pub fn handle_refusal(&mut self, now: Timestamp, patience: &Patience) {
        if let Stage::Dispatched { tries, .. } = self.stage {
            self.missed(now, tries, patience);
        }
    }

    /// It does not answer.
    pub fn handle_unreachable(&mut self) {
        if matches!(self.stage, Stage::Pending { .. } | Stage::Confirmed { .. } | Stage::Drifted) {
            self.stage = Stage::Unavailable;
        }
        self.idle_since = None;
        self.counts_full = true;
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Timestamp, patience: &Patience) {
        match self.stage {
            Stage::Dispatched { tries, deadline: Some(deadline) } if deadline <= now => {
                let is_fresh = self.sample.as_ref().is_some_and(|last| later(last.at, patience.fresh) > now);
                if self.goal == Goal::Mine && self.since_sent.drew && self.is_drawing() && is_fresh {
                    self.mines(now, true);
                } else {
                    self.missed(now, tries, patience);
                }
            }
            Stage::Pending { .. } | Stage::Confirmed { .. } | Stage::Drifted
                if self.sample.as_ref().is_none_or(|sample| later(sample.at, patience.fresh) <= now) =>
            {
                self.handle_unreachable();
            }
            _ => {}
        }
    }

    fn is_drawing(&self) -> bool {
        self.watts() > self.spec.sleep_max
    }

    /// Whether a sleep that was sent before would have taken effect by then.
    fn is_roused(&self, at: Timestamp) -> bool {
        self.dozes_until.is_none_or(|until| at > until)
    }

    fn sees_watts(&mut self, now: Timestamp) {
        match (self.goal, self.stage) {
            (Goal::Sleep, Stage::Confirmed { .. }) => self.drift(now),
            (_, Stage::Unavailable) => self.returns(now),
            (Goal::Mine, _) => self.prove_mining(now),
            (Goal::Sleep, _) => {}
        }
    }

    fn sees_no_watts(&mut self, now: Timestamp, may_be_booting: bool) {
        match (self.goal, self.stage) {
            (Goal::Sleep, Stage::Dispatched { deadline: Some(_), .. } | Stage::Failed { is_foreign: false })
                if !may_be_booting =>
            {
                self.proven = Some(Goal::Sleep);
                self.dozes_until = None;
                self.stage = Stage::Confirmed { since: now };
                self.counts_full = false;
            }
            (Goal::Sleep, Stage::Confirmed { .. }) => self.counts_full = false,
            (_, Stage::Unavailable) => self.returns(now),
            _ => {}
        }
    }

    /// It is seen again: where it was left, or it must be told.
    fn returns(&mut self, now: Timestamp) {
        let is_as_left = match self.goal {
            Goal::Mine => self.proven == Some(Goal::Mine),
            Goal::Sleep => self.is_proven_asleep() && !self.is_drawing(),
        };
        if is_as_left {
            self.stage = Stage::Confirmed { since: now };
            self.counts_full = self.goal == Goal::Mine;
        } else {
            if self.is_drawing() {
                self.proven = self.proven.filter(|proven| *proven == Goal::Mine);
            }
            self.stage = Stage::Pending { tries: 0, after: now };
        }
    }

    fn prove_mining(&mut self, now: Timestamp) {
        let is_waited_for = matches!(self.stage, Stage::Dispatched { deadline: Some(_), .. } | Stage::Failed { .. });
        if is_waited_for && self.sent.is_some() && self.since_sent.drew && self.since_sent.worked {
            self.mines(now, false);
        }
    }

    fn mines(&mut self, now: Timestamp, is_by_watts: bool) {
        self.proven = Some(Goal::Mine);
        self.stage = Stage::Confirmed { since: now };
        (self.dozes_until, self.is_by_watts) = (None, is_by_watts);
    }

    /// After each of its measurements: whether it is to mine, is seen, and has drawn nothing for long. `is_to_mine`: not so where its group is to
    /// sleep.
    pub fn looks_for_idleness(&mut self, now: Timestamp, is_to_mine: bool) {
        // Who was found asleep is somebody else's until an operator wants it awake.
        let is_to_mine = is_to_mine && self.has_drawn && self.spec.can_sleep && self.is_untouched();
        if !is_to_mine || !matches!(self.stage, Stage::Confirmed { .. }) || self.is_drawing() {
            self.idle_since = None;
            return;
        }
        let since = *self.idle_since.get_or_insert(now);
        if later(since, IDLE.max(self.spec.wake_time)) > now {
            return;
        }
        self.idle_since = None;
        self.proven = None;
        let is_left = self.drifts_again(now, IDLE_WINDOW);
        self.stage = if is_left { Stage::Failed { is_foreign: true } } else { Stage::Pending { tries: 0, after: now } };
    }

    /// It does otherwise by itself; whether that is once too often.
    fn drifts_again(&mut self, now: Timestamp, window: SignedDuration) -> bool {
        self.drifts.retain(|drift| now.duration_since(*drift) < window);
        self.drifts.push(now);
        self.drifts.len() >= MAX_DRIFTS
    }

    fn drift(&mut self, now: Timestamp) {
        self.proven = None;
        self.counts_full = true;
        let is_left = self.drifts_again(now, DRIFT_WINDOW);
        self.stage = if is_left { Stage::Failed { is_foreign: true } } else { Stage::Drifted };
    }

    fn missed(&mut self, now: Timestamp, tries: u32, patience: &Patience) {
        self.stage = if tries < patience.tries {
            let factor = 1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(MAX_BACKOFF).min(MAX_BACKOFF);
            Stage::Pending { tries, after: later(now, patience.backoff.saturating_mul(factor)) }
        } else {
            Stage::Failed { is_foreign: false }
        };
    }

    /// Adds what it drew since it was measured last, if it is under way.
    fn measure_transit(&mut self, sample: &Sample) {
        if let (Stage::Dispatched { .. }, Some(last), Some(sent)) = (self.stage, &self.sample, self.sent) {
            let hours = sample.at.duration_since(last.at.max(sent)).as_secs_f64().max(0.0) / 3600.0;
            self.transit_wh += 0.5 * (last.watts + sample.watts).get() * hours;
        }
    }
}

/// `at` and so much more, or the end of time.
pub(super) fn later(at: Timestamp, time: Duration) -> Timestamp {
    at.checked_add(time).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
