//! When which machine is called: readings by the clock, spread evenly, and commands before readings.
//!
//! Pure: `now` in, what is to be called out. Never two calls to one machine at once, and never more than `[power] calls` to all of them.
//!
//! ```text
//! command ──► waits (the last one counts) ──► called ──► answered ──► a reading soon after
//! reading ──► due ─────────────────────────► called ──► answered ──► due again after poll, or poll_moving while it is on its way
//! ```
//!
//! Commands go first, and leave a quarter of the calls to readings: it is readings that prove what commands did, and machines that are not
//! measured for long count at their bounds.
//!
//! Limit: one command and one reading for each device; a later command takes an earlier one's place.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::power::{group::Command, site::DeviceKey};

/// The golden ratio, less one.
const GOLDEN: f64 = 0.618_033_988_749_895;

/// Of so many calls one is kept for readings.
const READINGS: usize = 4;

/// What is to be called.
#[derive(Debug, PartialEq)]
pub(super) enum Call {
    /// Tell it.
    Command(DeviceKey, Command),
    /// Measure it.
    Read(DeviceKey),
}

/// The queue to all machines.
#[derive(Debug)]
pub(super) struct Calls {
    lines: Vec<Vec<Line>>,
    due: BTreeSet<(Instant, DeviceKey)>,
    commands: VecDeque<DeviceKey>,
    under_way: usize,
    /// Of these, commands.
    commanding: usize,
    most: usize,
    poll: Duration,
    poll_moving: Duration,
    start: Instant,
    count: u32,
}

#[derive(Debug, Clone, Default)]
struct Line {
    is_read: bool,
    is_busy: bool,
    /// By a command.
    is_commanded: bool,
    command: Option<Command>,
    /// Its entry in `Calls::due`.
    due: Option<Instant>,
    /// Where in a poll it has its place, from 0 to 1.
    place: f64,
}

impl Calls {
    /// For so many groups; `most` calls at once.
    pub fn new(now: Instant, groups: usize, most: usize, poll: Duration, poll_moving: Duration) -> Self {
        Self {
            lines: vec![Vec::new(); groups],
            due: BTreeSet::new(),
            commands: VecDeque::new(),
            under_way: 0,
            commanding: 0,
            most: most.max(1),
            poll,
            poll_moving,
            start: now,
            count: 0,
        }
    }

    /// The next device of a group; measured now if it can be.
    pub fn add(&mut self, now: Instant, key: DeviceKey, is_read: bool) {
        let Some(lines) = self.lines.get_mut(key.group) else { return };
        // Any number of multiples of the golden ratio lies evenly between 0 and 1.
        let place = (f64::from(self.count) * GOLDEN).fract();
        self.count = self.count.wrapping_add(1);
        lines.push(Line { is_read, place, ..Line::default() });
        self.read_at(key, now);
    }

    fn line(&mut self, key: DeviceKey) -> Option<&mut Line> {
        self.lines.get_mut(key.group)?.get_mut(key.device)
    }

    /// Measures a device then, unless it will be measured before.
    fn read_at(&mut self, key: DeviceKey, at: Instant) {
        let Some(line) = self.line(key) else { return };
        if !line.is_read || line.is_busy || line.due.is_some_and(|due| due <= at) {
            return;
        }
        if let Some(due) = line.due.replace(at) {
            self.due.remove(&(due, key));
        }
        self.due.insert((at, key));
    }

    /// How many devices are measured.
    pub fn read(&self) -> usize {
        self.lines.iter().flatten().filter(|line| line.is_read).count()
    }

    /// Measures a device as soon as it can be.
    pub fn probe(&mut self, now: Instant, key: DeviceKey) {
        self.read_at(key, now);
    }

    /// Tells a device as soon as it can be.
    pub fn command(&mut self, key: DeviceKey, command: Command) {
        let Some(line) = self.line(key) else { return };
        let waits = line.command.replace(command).is_some();
        if !waits && !line.is_busy {
            self.commands.push_back(key);
        }
    }

    /// Forgets the command of one device, if it was not sent.
    pub fn forget_command(&mut self, key: DeviceKey) {
        if let Some(line) = self.line(key) {
            line.command = None;
        }
    }

    /// Forgets commands that were not sent.
    pub fn forget_commands(&mut self) {
        self.commands.clear();
        self.lines.iter_mut().flatten().for_each(|line| line.command = None);
    }

    /// Forgets those of one group.
    pub fn forget_commands_of(&mut self, group: usize) {
        self.commands.retain(|key| key.group != group);
        self.lines.get_mut(group).into_iter().flatten().for_each(|line| line.command = None);
    }

    /// A device is gone for good: it is called no more.
    pub fn forget(&mut self, key: DeviceKey) {
        let due = self.line(key).and_then(|line| {
            (line.is_read, line.command) = (false, None);
            line.due.take()
        });
        if let Some(due) = due {
            self.due.remove(&(due, key));
        }
        self.commands.retain(|other| *other != key);
    }

    /// What is to be called now; it is under way until [`Calls::answered`].
    pub fn next(&mut self, now: Instant) -> Option<Call> {
        if self.under_way >= self.most {
            return None;
        }
        while self.commanding < self.most - self.most / READINGS
            && let Some(key) = self.commands.pop_front()
        {
            let command = self.line(key).filter(|line| !line.is_busy).and_then(|line| line.command.take());
            if let Some(command) = command {
                self.begin(key);
                self.commanding += 1;
                if let Some(line) = self.line(key) {
                    line.is_commanded = true;
                }
                return Some(Call::Command(key, command));
            }
        }
        let (at, key) = self.due.first().copied()?;
        if at > now {
            return None;
        }
        self.begin(key);
        Some(Call::Read(key))
    }

    fn begin(&mut self, key: DeviceKey) {
        self.under_way += 1;
        let Some(line) = self.line(key) else { return };
        line.is_busy = true;
        if let Some(due) = line.due.take() {
            self.due.remove(&(due, key));
        }
    }

    /// A call has ended; `is_moving`: the device is on its way. When it is measured again counts from `began`.
    pub fn answered(&mut self, now: Instant, key: DeviceKey, began: Instant, is_moving: bool) {
        self.under_way = self.under_way.saturating_sub(1);
        let Some(line) = self.line(key) else { return };
        line.is_busy = false;
        let was_commanded = std::mem::take(&mut line.is_commanded);
        let (waits, place) = (line.command.is_some(), line.place);
        self.commanding -= usize::from(was_commanded);
        let wait = if is_moving { self.poll_moving } else { self.until_place(began, place) };
        self.read_at(key, (began + wait).max(now));
        if waits {
            self.commands.push_back(key);
        }
    }

    /// From then until the device's place in a poll comes: about one poll.
    fn until_place(&self, began: Instant, place: f64) -> Duration {
        let poll = self.poll.as_secs_f64();
        let is_at = began.saturating_duration_since(self.start).as_secs_f64();
        let wait = (place * poll - is_at).rem_euclid(poll);
        Duration::from_secs_f64(if wait < 0.5 * poll { wait + poll } else { wait })
    }

    /// When [`Calls::next`] has something by time alone; `None` while nothing more may be called.
    pub fn wakes_at(&self) -> Option<Instant> {
        self.due.first().filter(|_| self.under_way < self.most).map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests;
