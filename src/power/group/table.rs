//! What a group may do next: the one table of its phases, and the diagram that is drawn from it.
//!
//! Knows phases and causes by name; when a cause arises is the machine's matter (`group.rs`). What has no row changes nothing.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Phase {
    /// It mines.
    Mining,
    /// It is to sleep; nothing was commanded.
    DrainPending,
    /// Devices are told to sleep.
    Draining,
    /// All that could be put to sleep was measured asleep. Who wakes by itself or turns up since is put to sleep from here.
    Asleep,
    /// It is to mine; no device was let to wake.
    WakePending,
    /// Devices are told to wake.
    Waking,
    /// It does not obey; it is tried again later.
    Fault,
    /// Nothing is commanded until a person releases it.
    ManualHold,
    /// A person works on it: it is put to sleep, and nothing wakes it.
    Lockout,
}

/// What moves a group on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// It is ordered to sleep.
    Sleep,
    /// It is ordered to sleep at once: the grid, or the site is over its cap.
    Emergency,
    /// It is ordered to mine.
    Mine,
    /// The intent is on disk, and it has mined long enough.
    Ready,
    /// All is measured asleep, and no share is under way; or all drew nothing as it was.
    Settled,
    /// The ledger lets devices wake.
    Granted,
    /// Its devices draw and have found a share, but for a few that it mines without.
    Working,
    /// Devices do not obey: none of a canary, or more than a few.
    Disobeyed,
    /// It has no device that could be moved.
    Nobody,
    /// Devices are woken by somebody else again and again.
    Foreign,
    /// A person says: hold.
    Hold,
    /// A person says: lock out.
    Lock,
    /// Its order is to sleep, and some of it may sleep already: a hold or a lockout ended, a fault has waited, or it was half asleep.
    ResumeSleep,
    /// The same, and its order is to mine; or it mines, and some of it sleeps that nobody here put to sleep.
    ResumeMine,
}

impl Phase {
    /// All, in their order.
    pub const ALL: [Self; 9] = [
        Self::Mining,
        Self::DrainPending,
        Self::Draining,
        Self::Asleep,
        Self::WakePending,
        Self::Waking,
        Self::Fault,
        Self::ManualHold,
        Self::Lockout,
    ];

    /// As an operator reads it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Mining => "MINING",
            Self::DrainPending => "DRAIN_PENDING",
            Self::Draining => "DRAINING",
            Self::Asleep => "ASLEEP",
            Self::WakePending => "WAKE_PENDING",
            Self::Waking => "WAKING",
            Self::Fault => "FAULT",
            Self::ManualHold => "MANUAL_HOLD",
            Self::Lockout => "LOCKOUT",
        }
    }

    /// Where `cause` leads; `None` if nowhere.
    pub fn next(self, cause: Cause) -> Option<Self> {
        use Cause as C;
        use Phase as P;
        Some(match (self, cause) {
            (P::Mining, C::Sleep | C::Emergency) => P::DrainPending,
            (P::Mining, C::ResumeMine) => P::WakePending,
            (P::DrainPending, C::Mine | C::Nobody) => P::Mining,
            (P::DrainPending, C::ResumeMine) => P::WakePending,
            (P::DrainPending, C::Ready) => P::Draining,
            (P::Draining, C::Mine) => P::WakePending,
            (P::Draining, C::Settled) => P::Asleep,
            (P::Draining, C::Disobeyed) => P::Fault,
            (P::Asleep, C::Mine) => P::WakePending,
            (P::WakePending, C::Sleep | C::Emergency) => P::Asleep,
            (P::WakePending, C::ResumeSleep) => P::DrainPending,
            (P::WakePending, C::Granted) => P::Waking,
            (P::Waking, C::Sleep | C::Emergency) => P::Draining,
            (P::Waking, C::Working) => P::Mining,
            (P::Waking, C::Disobeyed) => P::Fault,
            (P::Fault, C::Sleep | C::Emergency | C::ResumeSleep) => P::DrainPending,
            (P::Fault, C::Mine | C::ResumeMine) => P::WakePending,
            (P::Draining | P::Asleep, C::Foreign) => P::ManualHold,
            (P::ManualHold, C::Emergency | C::ResumeSleep) => P::DrainPending,
            (P::ManualHold, C::ResumeMine) => P::WakePending,
            (P::Lockout, C::ResumeSleep) => P::DrainPending,
            (P::Lockout, C::ResumeMine) => P::WakePending,
            (P::Lockout | P::ManualHold, C::Hold) => return None,
            (_, C::Hold) => P::ManualHold,
            (P::Lockout, C::Lock) => return None,
            (_, C::Lock) => P::Lockout,
            _ => return None,
        })
    }
}

impl Cause {
    /// All, in their order.
    pub const ALL: [Self; 14] = [
        Self::Sleep,
        Self::Emergency,
        Self::Mine,
        Self::Ready,
        Self::Settled,
        Self::Granted,
        Self::Working,
        Self::Disobeyed,
        Self::Nobody,
        Self::Foreign,
        Self::Hold,
        Self::Lock,
        Self::ResumeSleep,
        Self::ResumeMine,
    ];

    /// As in the diagram.
    pub fn label(self) -> &'static str {
        match self {
            Self::Sleep => "sleep",
            Self::Emergency => "emergency",
            Self::Mine => "mine",
            Self::Ready => "ready",
            Self::Settled => "settled",
            Self::Granted => "granted",
            Self::Working => "working",
            Self::Disobeyed => "disobeyed",
            Self::Nobody => "nobody",
            Self::Foreign => "foreign",
            Self::Hold => "hold",
            Self::Lock => "lock",
            Self::ResumeSleep => "resume, to sleep",
            Self::ResumeMine => "resume, to mine",
        }
    }
}
