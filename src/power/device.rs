//! One ASIC on its way to sleep or back: what it was told, and what its watts say of that.
//!
//! Knows its goal and its measurements; knows no group, no ramp, no ledger, and sends nothing: the group reads what became of it.
//!
//! | stage | left by | for |
//! |---|---|---|
//! | pending | its command | dispatched |
//! | dispatched | proof | confirmed |
//! | dispatched | its time passed, or the driver failed | pending after a pause, at last failed |
//! | confirmed asleep | watts or shares | drifted; failed at the [`MAX_DRIFTS`]th time within [`DRIFT_WINDOW`] |
//! | pending, confirmed, drifted | no fresh sample | unavailable |
//! | unavailable | a sample | confirmed if it is as it was left, else pending |
//! | failed | proof that comes late | confirmed |
//!
//! Proof of sleep is one sample that was taken after the last command and is not over [`Spec::sleep_max`]; not so while a device may still
//! be booting from an earlier wake ([`Device::rouses_until`]): it draws little and may have heard nothing. Proof of mining is a sample over it and
//! a share that was found good since. What the firmware answers proves nothing: LuxOS says "sent", Antminer stock says
//! OK and stays awake, and asic-rs's Whatsminer says success regardless.
//!
//! [`Device::counts_full`] is what the watt ledger must know: a device counts at its bound from before it may draw until its
//! sleep is proven, and whenever it is not seen.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::profit::{JoulesPerTerahash, Watts};

/// A device that wakes so often by itself is woken by somebody else, or is broken: it is not fought over.
pub const MAX_DRIFTS: usize = 3;

/// Drifts that lie further apart are a site's blips and not a quarrel.
pub const DRIFT_WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// A retry waits no longer than so many times the first pause.
const MAX_BACKOFF: u32 = 16;

/// What a device is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Mine.
    Mine,
    /// Sleep.
    Sleep,
}

/// A firmware's power mode, in its driver's own words: saved before sleep, given back with the wake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerMode(pub Box<str>);

/// What is known of a device beforehand.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// As in logs and records; its own within the group.
    pub name: Box<str>,
    /// Whether anything can put it to sleep. If not, it is never drained and counts as load.
    pub can_sleep: bool,
    /// Joules for each terahash; without it, it counts as the worst.
    pub efficiency: Option<JoulesPerTerahash>,
    /// The most that it may draw, tuning and boot included.
    pub most: Watts,
    /// The most that it draws asleep.
    pub sleep_max: Watts,
    /// How long it may take to fall asleep.
    pub sleep_time: Duration,
    /// How long it may take from the command to its first share that we find good.
    pub wake_time: Duration,
}

/// How patient one is with a device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Patience {
    /// Commands until it has failed; one at least.
    pub tries: u32,
    /// The pause before the second; it doubles with each.
    pub backoff: Duration,
    /// A sample older than this says nothing.
    pub fresh: Duration,
    /// Shares that come this long after its sleep was proven were on their way; later ones are a drift.
    pub quiet: Duration,
}

/// A measurement of one device.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// When measuring began, by our clock.
    pub at: Timestamp,
    /// What it drew.
    pub watts: Watts,
    /// Its power mode, where the driver can tell.
    pub mode: Option<PowerMode>,
}

/// What happened to a device's shares since this was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Shares {
    /// Found good by our own check, whether a pool wants them or not.
    #[serde(default)]
    pub found: u64,
    /// Sent on to a pool.
    pub submitted: u64,
    /// Accepted by the pool.
    pub accepted: u64,
    /// Rejected by the pool.
    pub rejected: u64,
    /// Never answered, or lost with the connection.
    pub timed_out: u64,
}

/// How far a device is towards its goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its command has not been sent.
    Pending {
        /// Commands so far.
        tries: u32,
        /// Not before.
        after: Timestamp,
    },
    /// Its command was sent and is not proven.
    Dispatched {
        /// Commands so far, this one included.
        tries: u32,
        /// Until it should be proven.
        deadline: Timestamp,
    },
    /// It is at its goal.
    Confirmed {
        /// When that was proven.
        since: Timestamp,
    },
    /// It slept and does not any more.
    Drifted,
    /// It is not seen.
    Unavailable,
    /// It was told often enough, or wakes by itself again and again.
    Failed {
        /// Whether somebody else seems to command it.
        is_foreign: bool,
    },
}

/// A stage without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageKind {
    /// [`Stage::Pending`].
    Pending,
    /// [`Stage::Dispatched`].
    Dispatched,
    /// [`Stage::Confirmed`].
    Confirmed,
    /// [`Stage::Drifted`].
    Drifted,
    /// [`Stage::Unavailable`].
    Unavailable,
    /// [`Stage::Failed`].
    Failed,
}

impl StageKind {
    /// How many there are.
    pub const COUNT: usize = 6;
}

impl Stage {
    /// Without its data.
    pub fn kind(self) -> StageKind {
        match self {
            Self::Pending { .. } => StageKind::Pending,
            Self::Dispatched { .. } => StageKind::Dispatched,
            Self::Confirmed { .. } => StageKind::Confirmed,
            Self::Drifted => StageKind::Drifted,
            Self::Unavailable => StageKind::Unavailable,
            Self::Failed { .. } => StageKind::Failed,
        }
    }
}

/// One ASIC.
#[derive(Debug, Clone)]
pub struct Device {
    spec: Spec,
    goal: Goal,
    stage: Stage,
    /// The last goal that was proven, if no command was sent since.
    proven: Option<Goal>,
    /// Until when a wake that was sent may still take effect.
    rouses_until: Option<Timestamp>,
    /// When its last command was sent.
    sent: Option<Timestamp>,
    sample: Option<Sample>,
    /// Whether the ledger must count it at its bound.
    counts_full: bool,
    /// The mode to wake it in.
    mode: Option<PowerMode>,
    in_flight: u64,
    last_submit: Option<Timestamp>,
    since_sent: SinceSent,
    drifts: Vec<Timestamp>,
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
            spec,
            goal: Goal::Mine,
            stage: Stage::Unavailable,
            proven: Some(Goal::Mine),
            rouses_until: None,
            sent: None,
            sample: None,
            counts_full: true,
            mode: None,
            in_flight: 0,
            last_submit: None,
            since_sent: SinceSent::default(),
            drifts: Vec::new(),
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
        mode: Option<PowerMode>,
    ) -> Self {
        let proven = is_proven_asleep.then_some(Goal::Sleep);
        Self { goal, proven, rouses_until, mode, ..Self::new(spec) }
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
            Stage::Dispatched { deadline, .. } => Some(deadline),
            Stage::Pending { after, .. } if after > now => Some(stale.map_or(after, |stale| stale.min(after))),
            Stage::Pending { .. } | Stage::Confirmed { .. } | Stage::Drifted => stale,
            Stage::Unavailable | Stage::Failed { .. } => None,
        }
    }

    /// Gives it a goal.
    pub fn turn(&mut self, now: Timestamp, goal: Goal) {
        self.goal = goal;
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

    /// Its command is being sent.
    pub fn dispatch(&mut self, now: Timestamp) {
        let tries = match self.stage {
            Stage::Pending { tries, .. } => tries,
            _ => 0,
        };
        let deadline = match self.goal {
            Goal::Mine => *self.rouses_until.insert(later(now, self.spec.wake_time)),
            Goal::Sleep => later(self.rouses_until.map_or(now, |until| until.max(now)), self.spec.sleep_time),
        };
        self.stage = Stage::Dispatched { tries: tries + 1, deadline };
        self.sent = Some(now);
        self.proven = None;
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
            self.counts_full = true;
            self.since_sent.drew |= is_after_command;
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

    /// Something happened to its shares.
    pub fn handle_shares(&mut self, now: Timestamp, shares: &Shares, patience: &Patience) {
        let settled = shares.accepted.saturating_add(shares.rejected).saturating_add(shares.timed_out);
        self.in_flight = self.in_flight.saturating_add(shares.submitted).saturating_sub(settled);
        if shares.found > 0 {
            self.last_submit = Some(now);
            // What a pool says comes later, and of a few of them only: it sees what its own difficulty lets through.
            self.since_sent.worked = true;
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
        self.counts_full = true;
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Timestamp, patience: &Patience) {
        match self.stage {
            Stage::Dispatched { tries, deadline } if deadline <= now => self.missed(now, tries, patience),
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
            (Goal::Sleep, Stage::Dispatched { .. } | Stage::Failed { is_foreign: false }) if !may_be_booting => {
                self.proven = Some(Goal::Sleep);
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
        let is_waited_for = matches!(self.stage, Stage::Dispatched { .. } | Stage::Failed { .. });
        if is_waited_for && self.sent.is_some() && self.since_sent.drew && self.since_sent.worked {
            self.proven = Some(Goal::Mine);
            self.stage = Stage::Confirmed { since: now };
        }
    }

    fn drift(&mut self, now: Timestamp) {
        self.proven = None;
        self.counts_full = true;
        self.drifts.retain(|drift| now.duration_since(*drift) < DRIFT_WINDOW);
        self.drifts.push(now);
        self.stage = if self.drifts.len() < MAX_DRIFTS { Stage::Drifted } else { Stage::Failed { is_foreign: true } };
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
