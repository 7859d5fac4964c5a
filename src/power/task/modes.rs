//! Power modes that no reading tells: when a machine is asked for its own, and what it said.
//!
//! Some firmware has its mode in another place than its watts, or tells no watts at all. The mode that a machine is to be woken in must be on disk
//! before it is put to sleep, so it is asked for while the group mines, and goes with the next sample from then on. Asking is part of
//! a machine's reading: never a second call to it at once.
//!
//! Pure: `now` in. Limits: one mode for each device; one question for each [`AGAIN`].

use std::{collections::HashMap, time::Duration};

use tokio::time::Instant;

use crate::power::{device::PowerMode, site::DeviceKey};

/// How old a mode may be: they are changed by hand, and seldom.
const AGAIN: Duration = Duration::from_secs(120);

/// Until one that did not answer is asked again.
const AFTER_FAILURE: Duration = Duration::from_secs(20);

/// What is known of all machines.
#[derive(Debug, Default)]
pub(super) struct Modes(HashMap<DeviceKey, Known>);

#[derive(Debug)]
struct Known {
    mode: Option<PowerMode>,
    ask_at: Instant,
}

impl Modes {
    /// Whether a machine is to be asked now; if so it counts as asked.
    pub fn is_wanted(&mut self, now: Instant, key: DeviceKey) -> bool {
        let known = self.0.entry(key).or_insert(Known { mode: None, ask_at: now });
        let is_due = known.ask_at <= now;
        if is_due {
            known.ask_at = now + AGAIN;
        }
        is_due
    }

    /// What it said; `None` if it did not answer.
    pub fn answered(&mut self, now: Instant, key: DeviceKey, said: Option<Option<PowerMode>>) {
        let Some(known) = self.0.get_mut(&key) else { return };
        match said {
            // A machine that sleeps has none, and what it had before is what it is woken in.
            Some(mode) => known.mode = mode.or(known.mode.take()),
            None => known.ask_at = now + AFTER_FAILURE,
        }
    }

    /// It is gone for good.
    pub fn forget(&mut self, key: DeviceKey) {
        self.0.remove(&key);
    }

    /// The mode that it said last.
    pub fn of(&self, key: DeviceKey) -> Option<PowerMode> {
        self.0.get(&key)?.mode.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_asked_now_and_then_and_its_last_mode_is_kept() {
        let (mut modes, start) = (Modes::default(), Instant::now());
        let key = DeviceKey { group: 0, device: 3 };
        let low = PowerMode("low".into());
        assert!(modes.is_wanted(start, key) && !modes.is_wanted(start, key));
        modes.answered(start, key, None);
        assert_eq!(modes.of(key), None);
        assert!(!modes.is_wanted(start + AFTER_FAILURE / 2, key) && modes.is_wanted(start + AFTER_FAILURE, key));
        modes.answered(start, key, Some(Some(low.clone())));
        assert!(!modes.is_wanted(start + AGAIN, key), "not before its time");
        modes.answered(start, key, Some(None));
        assert_eq!(modes.of(key), Some(low));
        assert!(modes.is_wanted(start + AFTER_FAILURE + AGAIN, key));
    }
}
