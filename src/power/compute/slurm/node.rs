//! One node as `scontrol show node -o` tells it: what it does, who drained it, what it counts.
//!
//! ```text
//! NodeName=gpu01 Arch=x86_64 … CPUAlloc=1 … State=MIXED+DRAIN … Reason=hashgate: no power leased [root@2026-01-31T03:09:32]
//! ```
//! One line for each, 0.8 KB and more; the state is a word and flags. Releases before 21.08 write some flags as a sign at the end (`IDLE*`, `IDLE~`).
//!
//! | it is | it counts |
//! |---|---|
//! | at work, ending a job, starting up, or in a state that is not known here | what it draws at work |
//! | idle, drained or not; shutting down; down and answering | what it draws without work |
//! | down and not reached: its jobs were struck off, whether they ended nobody knows | what the config says for that; at work if it says nothing |
//! | powered down | nothing |

use std::collections::HashMap;

use crate::{config::SlurmNode, power::actuator::DriverError, profit::Watts};

/// How the reason of a node begins that we have drained.
pub const REASON: &str = "hashgate: no power leased";

/// The reason of one whose jobs we have ended; it begins with [`REASON`]. Such a node stays down where Slurm's `ReturnToService` is below 2.
pub(super) const ENDED: &str = "hashgate: no power leased, jobs ended";

/// Nodes that an error names.
const MAX_NAMED: usize = 5;

/// The state's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    Idle,
    /// Some of it, or all.
    Allocated,
    Down,
    /// Anything else.
    Other,
}

/// What Slurm says of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub base: Base,
    /// No new jobs.
    pub is_drained: bool,
    /// By us, as far as it is drained.
    pub is_ours: bool,
    /// It is down because we ended its jobs, as far as it is down.
    pub is_ended: bool,
    /// Somebody says that it is broken, or it is none yet.
    pub is_failing: bool,
    /// It ends a job.
    pub is_completing: bool,
    /// Jobs hold processors of it.
    pub has_jobs: bool,
    /// Slurm does not reach it.
    pub is_silent: bool,
    pub power: Power,
}

/// What power saving does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    /// Nothing.
    On,
    /// It is to be switched off.
    ToGoOff,
    GoingOff,
    Off,
    /// It is to be switched on, or is.
    GoingOn,
}

impl Seen {
    /// What it may draw as it is now, of IT.
    pub fn counts(&self, node: &SlurmNode) -> Watts {
        match self.base {
            _ if self.power == Power::GoingOn => node.power,
            Base::Idle | Base::Down if self.power == Power::Off && !self.is_busy() => Watts::ZERO,
            Base::Down if self.is_silent => node.down,
            Base::Down => node.idle,
            _ if self.is_busy() => node.power,
            Base::Idle => node.idle,
            Base::Allocated | Base::Other => node.power,
        }
    }

    /// What it draws once it is drained and its jobs have ended.
    pub fn rests_at(&self, node: &SlurmNode) -> Watts {
        if self.is_busy() { node.idle } else { self.counts(node).min(node.idle) }
    }

    /// Whether jobs run on it, as far as Slurm's books go: one that is down has none.
    pub fn is_busy(&self) -> bool {
        self.base != Base::Down && (self.base == Base::Allocated || self.is_completing || self.has_jobs)
    }

    /// Whether it does nothing and is about to do nothing.
    pub fn is_quiet(&self) -> bool {
        !self.is_busy() && matches!(self.base, Base::Idle | Base::Down) && self.power != Power::GoingOn
    }

    /// Whether it takes new jobs.
    pub fn is_up(&self) -> bool {
        !self.is_drained && !self.is_failing && self.base != Base::Down
    }

    /// Whether we drained it and nobody else has taken it out: it may be resumed.
    pub fn is_held(&self) -> bool {
        let is_out = self.base == Base::Down && (self.is_silent || !self.is_ended);
        self.is_drained && self.is_ours && !self.is_failing && !is_out
    }

    /// From one line; `None` if it is none of a node.
    fn read(line: &str) -> Option<(&str, Self)> {
        let name = line.strip_prefix("NodeName=")?.split(' ').next()?;
        // Texts of others (a node's OS, the reason) stand before and behind: a state is told behind the boards, once.
        let rest = line.split_once(" Boards=").map_or(line, |(_, rest)| rest);
        let state = word(rest, "State")?;
        let reason = line.split_once(" Reason=").map_or("", |(_, reason)| reason);
        let (plain, signs) =
            state.split_at(state.find(['*', '~', '#', '!', '%', '$', '@', '^', '-']).unwrap_or(state.len()));
        // A sign may be followed by flags: "IDLE*+DRAIN".
        let mut words = plain.split('+').chain(signs.split('+').skip(1));
        let base = match words.next()? {
            "IDLE" => Base::Idle,
            "ALLOCATED" | "MIXED" => Base::Allocated,
            "DOWN" => Base::Down,
            _ => Base::Other,
        };
        let mut seen = Self {
            base,
            is_drained: false,
            is_ours: reason.starts_with(REASON),
            is_ended: reason.starts_with(ENDED),
            is_failing: false,
            is_completing: false,
            // What is not said may be anything.
            has_jobs: word(line, "CPUAlloc").is_none_or(|count| count != "0"),
            is_silent: signs.starts_with('*'),
            power: Power::On,
        };
        let sign = match signs.chars().next() {
            Some('~') => Some(Power::Off),
            Some('%') => Some(Power::GoingOff),
            Some('!') => Some(Power::ToGoOff),
            Some('#') => Some(Power::GoingOn),
            _ => None,
        };
        seen.power = sign.unwrap_or(Power::On);
        for flag in words {
            match flag {
                "DRAIN" => seen.is_drained = true,
                "FAIL" | "FUTURE" | "INVALID_REG" => seen.is_failing = true,
                "COMPLETING" => seen.is_completing = true,
                "NOT_RESPONDING" => seen.is_silent = true,
                // Of several, the one that draws more.
                "POWER_UP" | "POWERING_UP" => seen.power = Power::GoingOn,
                "POWER_DOWN" if seen.power != Power::GoingOn => seen.power = Power::ToGoOff,
                "POWERING_DOWN" if matches!(seen.power, Power::On | Power::Off) => seen.power = Power::GoingOff,
                "POWERED_DOWN" if seen.power == Power::On => seen.power = Power::Off,
                _ => {}
            }
        }
        if matches!(plain.split('+').next(), Some("FUTURE" | "ERROR")) {
            seen.is_failing = true;
        }
        Some((name, seen))
    }
}

/// What stands behind a key.
fn word<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    let mut words = line.split(' ');
    words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}

/// What is said of these nodes, among all others, by their index.
///
/// # Errors
/// [`DriverError::Garbled`] if nothing is said of one.
pub(super) fn read(nodes: &[SlurmNode], said: &str) -> Result<Vec<Seen>, DriverError> {
    let mut all: HashMap<&str, Seen> = said.lines().filter_map(Seen::read).collect();
    if all.is_empty() {
        return Err(DriverError::Garbled("scontrol show node tells of no node".into()));
    }
    let mut missing = Vec::new();
    let seen = nodes.iter().filter_map(|node| {
        let seen = all.remove(&*node.name);
        if seen.is_none() {
            missing.push(&*node.name);
        }
        seen
    });
    let seen: Vec<Seen> = seen.collect();
    if missing.is_empty() {
        return Ok(seen);
    }
    let named = missing[..missing.len().min(MAX_NAMED)].join(", ");
    let more =
        if missing.len() > MAX_NAMED { format!(" and {} more", missing.len() - MAX_NAMED) } else { String::new() };
    Err(DriverError::Garbled(format!("Slurm says nothing of {named}{more}: are they in its slurm.conf?")))
}
