//! Where a group is, with what that takes, and what it notes of each device.
//!
//! Holds; decides nothing.

use jiff::Timestamp;

use super::{operation::Operation, sleep::Canary, strays::Strays};
use crate::power::device::{Device, Goal, Stage};

/// A device and what the group notes of it.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub device: Device,
    /// It is in `Group::queue`.
    pub is_queued: bool,
    /// It is in `Group::granted`.
    pub is_granted: bool,
    /// What it is told by the call that it waits for.
    pub waits_to: Option<Goal>,
    /// It is one of those that the present drain or wake moves.
    pub is_moving: bool,
    /// It is one of those, and how it ends is not known: neither was it ever proven or given up, nor lost sight of once it was told.
    pub is_awaited: bool,
    /// It is one of those, and was told.
    pub is_told: bool,
    /// It is in `Group::late`.
    pub is_late: bool,
    /// The last drain left it awake, for the floor.
    pub is_kept: bool,
    /// What of it is in the watts that the present drain or wake began with.
    pub billed_w: f64,
    /// Its entry in `Group::due`.
    pub due: Option<Timestamp>,
}

impl Slot {
    pub fn new(device: Device) -> Self {
        Self {
            device,
            is_queued: false,
            is_granted: false,
            waits_to: None,
            is_moving: false,
            is_awaited: false,
            is_told: false,
            is_late: false,
            is_kept: false,
            billed_w: 0.0,
            due: None,
        }
    }

    /// Whether its drain waits for it: nobody waits for one that is not seen.
    pub fn is_awaited_now(&self) -> bool {
        self.is_awaited && self.device.stage() != Stage::Unavailable
    }

    /// What it draws if it mines and was told nothing.
    pub fn mining_w(&self) -> f64 {
        let mines = self.device.is_untouched() && matches!(self.device.stage(), Stage::Confirmed { .. });
        if mines { self.device.watts().get() } else { 0.0 }
    }

    /// Whether first measurements wait for it.
    pub fn is_unseen(&self) -> bool {
        self.device.spec().can_sleep && self.device.stage() == Stage::Unavailable
    }
}

/// Where the group is, with what that takes.
#[derive(Debug)]
pub(super) enum State {
    Mining { since: Timestamp, strays: Strays },
    DrainPending { operation: Operation, not_before: Timestamp },
    Draining(Sleeping),
    Asleep { since: Timestamp },
    WakePending { operation: Operation, not_before: Timestamp, refused: Option<Timestamp>, was_asleep: bool },
    Waking { operation: Operation, refused: Option<Timestamp> },
    Fault { retry_at: Timestamp },
    ManualHold,
    Lockout(Sleeping),
}

/// Devices are told to sleep.
#[derive(Debug)]
pub(super) struct Sleeping {
    /// `None` when its receipt was given: only in a lockout.
    pub operation: Option<Operation>,
    pub canary: Canary,
    /// Since when no device is awaited. Of thousands there is always one that drifts or comes back, and that is ASLEEP's to mend.
    pub heard_at: Option<Timestamp>,
    /// Since when no device is under way, or waited for any more.
    pub settled_at: Option<Timestamp>,
    /// When no share is under way, as far as is known; `None` when that is to be looked at again.
    pub quiet_at: Option<Timestamp>,
}

impl State {
    pub fn operation(&mut self) -> Option<&mut Operation> {
        match self {
            Self::DrainPending { operation, .. }
            | Self::WakePending { operation, .. }
            | Self::Waking { operation, .. } => Some(operation),
            Self::Draining(sleeping) | Self::Lockout(sleeping) => sleeping.operation.as_mut(),
            Self::Mining { .. } | Self::Asleep { .. } | Self::Fault { .. } | Self::ManualHold => None,
        }
    }

    pub fn into_operation(self) -> Option<Operation> {
        match self {
            Self::DrainPending { operation, .. }
            | Self::WakePending { operation, .. }
            | Self::Waking { operation, .. } => Some(operation),
            Self::Draining(sleeping) | Self::Lockout(sleeping) => sleeping.operation,
            Self::Mining { .. } | Self::Asleep { .. } | Self::Fault { .. } | Self::ManualHold => None,
        }
    }
}
