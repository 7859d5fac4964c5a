//! What drivers complain of, for who has to mend it: why a machine is not measured, was not told, or AI compute heard nothing.
//!
//! Knows what was said last and when; that a site goes on without an answer is its own matter. A dead PDU is the same complaint from each
//! machine behind it, and a command that is wrong is wrong for all: the first of a group speaks for the others.
//!
//! Limits: one complaint of a kind from each group and AI block in [`AGAIN`]; the rest is `debug`.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::debug;

use super::Keeper;
use crate::power::{
    actuator::DriverError,
    site::{DeviceKey, EventKind, Level, SiteEvent},
};

/// How long until the same is said again.
const AGAIN: Duration = Duration::from_secs(60);

/// What goes wrong, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum About {
    /// Machines of this group are not measured.
    Measured(usize),
    /// Machines of this group can't be told.
    Told(usize),
    /// This AI block is told of a lease.
    Lease(usize),
}

/// What was said, and when.
#[derive(Debug, Default)]
pub(super) struct Complaints(HashMap<About, Instant>);

impl Complaints {
    /// Whether it is to be said.
    fn is_due(&mut self, about: About, tick: Instant) -> bool {
        let is_due = self.0.get(&about).is_none_or(|said| tick.duration_since(*said) >= AGAIN);
        if is_due {
            self.0.insert(about, tick);
        }
        is_due
    }
}

impl Keeper {
    /// A machine was not measured, and is taken for one that is not there.
    pub(super) fn complain_unmeasured(&mut self, tick: Instant, key: DeviceKey, error: &DriverError) {
        let words = format!("device {} is not measured: {error}; it counts at all it may draw", self.name(key));
        self.complain(tick, About::Measured(key.group), Some(key.group), words);
    }

    /// A command did not go out.
    pub(super) fn complain_untold(&mut self, tick: Instant, key: DeviceKey, error: &DriverError) {
        let words = format!(
            "device {} could not be told: {error}; it is told again, and what it draws counts until then",
            self.name(key)
        );
        self.complain(tick, About::Told(key.group), Some(key.group), words);
    }

    /// A block has not heard of a lease, or does not say so. It is told again.
    pub(super) fn complain_of_lease(&mut self, tick: Instant, block: usize, lease: &str, error: &DriverError) {
        let words = format!(
            "AI block {:?} could not be told of lease {lease}: {error}; it counts, and is told again until it is heard",
            self.block_name(block)
        );
        self.complain(tick, About::Lease(block), None, words);
    }

    fn complain(&mut self, tick: Instant, about: About, group: Option<usize>, words: String) {
        if !self.complaints.is_due(about, tick) {
            debug!("{words}");
            return;
        }
        let (kind, words) = match group.and_then(|group| self.names.get(group)) {
            Some(name) => (EventKind::Device, format!("group {name:?}: {words}")),
            None => (EventKind::Lease, words),
        };
        self.shown.tell(Timestamp::now(), SiteEvent { level: Level::Warn, kind, group, words: words.into() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_group_speaks_for_the_others_and_not_for_another_group() {
        let (mut complaints, start) = (Complaints::default(), Instant::now());
        assert!(complaints.is_due(About::Measured(0), start));
        assert!(!complaints.is_due(About::Measured(0), start + AGAIN / 2));
        assert!(complaints.is_due(About::Told(0), start) && complaints.is_due(About::Measured(1), start));
        assert!(complaints.is_due(About::Measured(0), start + AGAIN));
        assert!(!complaints.is_due(About::Measured(0), start + AGAIN + AGAIN / 2), "a minute from then");
    }
}
