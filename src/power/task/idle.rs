//! Machines that sleep although nobody here put them to sleep: after a ledger was lost, or when somebody else's hand did it. They are left
//! alone, as whoever did it may have had a reason, and offered to the operator in words.
//!
//! Limits: looked at every [`LOOK`]; told when one has been idle for [`IDLE_FOR`], again when they are more, and else every [`AGAIN`];
//! [`NAMED`] names.

use std::{collections::HashMap, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;

use super::Keeper;
use crate::power::site::{DeviceKey, EventKind, Level, SiteEvent};

/// How often.
const LOOK: Duration = Duration::from_secs(60);

/// Longer than a machine boots.
const IDLE_FOR: Duration = Duration::from_secs(600);

/// How long until the same is said again.
const AGAIN: Duration = Duration::from_secs(86_400);

/// Machines that are named.
const NAMED: usize = 20;

/// Who is idle since when, and what was said of whom.
#[derive(Debug)]
pub(super) struct Idle {
    look_at: Instant,
    since: HashMap<DeviceKey, Instant>,
    /// By the index of the group: of how many, and when.
    said: HashMap<usize, (usize, Instant)>,
}

impl Idle {
    pub fn new(tick: Instant) -> Self {
        Self { look_at: tick, since: HashMap::new(), said: HashMap::new() }
    }

    /// These are idle. Groups with those that are so for long, where that is to be said.
    fn looks(&mut self, tick: Instant, idle: Vec<DeviceKey>) -> Vec<(usize, Vec<DeviceKey>)> {
        let before = std::mem::take(&mut self.since);
        self.since = idle.iter().map(|key| (*key, before.get(key).copied().unwrap_or(tick))).collect();
        let mut long: HashMap<usize, Vec<DeviceKey>> = HashMap::new();
        for key in idle.into_iter().filter(|key| tick.duration_since(self.since[key]) >= IDLE_FOR) {
            long.entry(key.group).or_default().push(key);
        }
        // Who was woken may be spoken of anew.
        self.said.retain(|group, _| long.contains_key(group));
        let mut told: Vec<_> =
            long.into_iter().filter(|(group, keys)| self.is_news(tick, *group, keys.len())).collect();
        told.sort_unstable_by_key(|(group, _)| *group);
        told
    }

    fn is_news(&mut self, tick: Instant, group: usize, count: usize) -> bool {
        let is_news = self.said.get(&group).is_none_or(|(said, at)| count > *said || tick.duration_since(*at) >= AGAIN);
        if is_news {
            self.said.insert(group, (count, tick));
        }
        is_news
    }
}

impl Keeper {
    /// Offers to wake who sleeps and was not put to sleep here, if it is time.
    pub(super) fn look_for_idle(&mut self, now: Timestamp, tick: Instant) {
        if tick < self.idle.look_at {
            return;
        }
        self.idle.look_at = tick + LOOK;
        let idle = (0..self.names.len()).flat_map(|group| self.site.idle(group)).collect();
        for (group, keys) in self.idle.looks(tick, idle) {
            let names: Vec<String> = keys.iter().take(NAMED).map(|key| self.name(*key)).collect();
            let more = keys.len() - names.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let name = &self.names[group];
            let words = format!(
                "group {name:?}: {} machines sleep, by their watts, and nobody in this ledger put them to sleep: `hashgate wake {name}` wakes \
                 them: {}{more}",
                keys.len(),
                names.join(", ")
            );
            let event =
                SiteEvent { level: Level::Warn, kind: EventKind::Device, group: Some(group), words: words.into() };
            self.shown.tell(now, event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_idle_for_long_is_offered_once_and_again_when_they_are_more() {
        let start = Instant::now();
        let mut idle = Idle::new(start);
        let key = |group, device| DeviceKey { group, device };
        assert_eq!(idle.looks(start, vec![key(0, 1)]), []);
        assert_eq!(idle.looks(start + IDLE_FOR / 2, vec![key(0, 1), key(0, 2), key(1, 0)]), []);
        assert_eq!(idle.looks(start + IDLE_FOR, vec![key(0, 1), key(0, 2)]), [(0, vec![key(0, 1)])]);
        assert_eq!(idle.looks(start + IDLE_FOR + LOOK, vec![key(0, 1), key(0, 2)]), []);
        let later = start + 2 * IDLE_FOR;
        // The second group's one booted meanwhile.
        let told = idle.looks(later, vec![key(0, 1), key(0, 2), key(1, 0)]);
        assert_eq!(told, [(0, vec![key(0, 1), key(0, 2)])]);
        assert_eq!(idle.looks(later + AGAIN, vec![key(0, 1), key(0, 2)]).len(), 1);
        assert_eq!(idle.looks(later + AGAIN + LOOK, vec![]), []);
    }
}
