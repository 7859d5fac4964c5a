//! All ASICs of a simulated site behind one meter, step by step, and the record of what it truly drew.
//!
//! It works the true watts out by itself from what its machines do, and shares nothing with what is booked of them in the proxy: it is the
//! proof of that. Time is an argument, real seconds since the start.
//!
//! ```text
//! true watts = Σ ASICs × (1 + loss) + AI × PUE + base load          meter = true watts, with noise
//! ```
//! The record takes what a step found as drawn until the next one: a peak between two steps is not seen, so steps are short
//! (`STEP` of the site).

use std::collections::HashMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::asic::{Answer, Asic, Claim, Command, Hashing};
use super::lie::Lie;
use super::settings::{SimSiteSettings, Times};

/// What the site draws, by its parts; W at the site meter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Draw {
    /// All ASICs, with what is lost on the way to them.
    pub asics: f64,
    /// AI compute, with its cooling.
    pub ai: f64,
    /// What is always there.
    pub base: f64,
}

impl Draw {
    /// The sum.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.asics + self.ai + self.base
    }
}

/// What the machines do, truly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// They mine.
    pub mining: usize,
    /// They sleep.
    pub asleep: usize,
    /// They fall asleep, boot, or are dark.
    pub moving: usize,
}

/// What was drawn since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Record {
    /// Seconds since the start.
    pub seconds: f64,
    /// The most, W.
    pub peak_watts: f64,
    /// When that was, in seconds since the start.
    pub peak_at: f64,
    /// Seconds over the cap, if there is one.
    pub over_cap_seconds: f64,
    /// The longest of them without a break.
    pub longest_over_cap_seconds: f64,
    /// Watt-hours that AI compute drew.
    pub ai_watt_hours: f64,
}

impl Record {
    /// `draw` is what was found at the last step and held until now; `over` is how long it is over the cap without a break.
    fn add(&mut self, since: Duration, draw: &Draw, cap: Option<f64>, over: &mut f64) {
        let seconds = since.as_secs_f64();
        self.seconds += seconds;
        self.ai_watt_hours += draw.ai * seconds / 3600.0;
        *over = if cap.is_some_and(|cap| draw.total() > cap) { *over + seconds } else { 0.0 };
        if *over > 0.0 {
            self.over_cap_seconds += seconds;
        }
        self.longest_over_cap_seconds = self.longest_over_cap_seconds.max(*over);
    }

    fn found(&mut self, now: Duration, draw: &Draw) {
        if draw.total() > self.peak_watts {
            (self.peak_watts, self.peak_at) = (draw.total(), now.as_secs_f64());
        }
    }
}

/// The site without its sockets.
#[derive(Debug)]
pub(super) struct Model {
    asics: Vec<Asic>,
    names: HashMap<Box<str>, usize>,
    groups: Vec<(Box<str>, Times)>,
    base_load: f64,
    cap: Option<f64>,
    pue: f64,
    rng: StdRng,
    now: Duration,
    draw: Draw,
    record: Record,
    over: f64,
}

impl Model {
    /// A site where every ASIC mines; its settings are valid.
    pub(super) fn new(settings: &SimSiteSettings) -> Self {
        let mut rng = StdRng::seed_from_u64(settings.seed);
        let count = settings.groups.iter().map(|group| group.count).sum();
        let mut liars = vec![None; count];
        // Within 0 to 1, so within the count.
        let lying = (settings.liars * count as f64).round() as usize;
        for (liar, lie) in liars.iter_mut().zip(settings.lies.iter().cycle()).take(lying) {
            *liar = Some(*lie);
        }
        liars.shuffle(&mut rng);
        let (mut asics, mut names) = (Vec::with_capacity(count), HashMap::with_capacity(count));
        for (at, group) in settings.groups.iter().enumerate() {
            for number in 1..=group.count {
                names.insert(group.worker(number).into_boxed_str(), asics.len());
                asics.push(Asic::new(at, number, group.nameplate, liars[asics.len()], &mut rng));
            }
        }
        let times = |group| Times::of(group, settings.time_scale);
        let groups = settings.groups.iter().map(|group| (group.name.as_str().into(), times(group))).collect();
        let mut model = Self {
            asics,
            names,
            groups,
            base_load: settings.base_load,
            cap: settings.cap,
            pue: settings.pue,
            rng,
            now: Duration::ZERO,
            draw: Draw::default(),
            record: Record::default(),
            over: 0.0,
        };
        model.weigh(0.0);
        model
    }

    pub(super) fn asics(&self) -> &[Asic] {
        &self.asics
    }

    /// The number of the ASIC with this name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// Time passed, and AI compute draws so many watts of IT. `changed` is told of each ASIC that does something else now.
    pub(super) fn step(&mut self, now: Duration, ai: f64, mut changed: impl FnMut(usize, Hashing)) {
        self.record.add(now.saturating_sub(self.now), &self.draw, self.cap, &mut self.over);
        self.now = now;
        for (at, asic) in self.asics.iter_mut().enumerate() {
            if let Some(hashing) = asic.step(now, &self.groups[asic.group].1, &mut self.rng) {
                changed(at, hashing);
            }
        }
        self.weigh(ai);
    }

    fn weigh(&mut self, ai: f64) {
        let loss = self.rng.random_range(0.02..0.03);
        let asics: f64 = self.asics.iter().map(|asic| asic.watts).sum();
        let base = self.base_load * self.rng.random_range(0.85..1.0);
        self.draw = Draw { asics: asics * (1.0 + loss), ai: ai.max(0.0) * self.pue, base };
        self.record.found(self.now, &self.draw);
    }

    /// Tells an ASIC.
    pub(super) fn command(&mut self, now: Duration, asic: usize, command: Command) -> Answer {
        let asic = &mut self.asics[asic];
        asic.command(now, command, &self.groups[asic.group].1, &mut self.rng)
    }

    /// Asks an ASIC.
    pub(super) fn claim(&mut self, now: Duration, asic: usize) -> Option<Claim> {
        self.asics[asic].claim(now, &mut self.rng)
    }

    /// From now on it lies so, or not any more.
    pub(super) fn set_lie(&mut self, asic: usize, lie: Option<Lie>) {
        self.asics[asic].lie = lie;
    }

    /// A blip of the supply, of one group or of the site: whatever sleeps boots. False if there is no such group.
    pub(super) fn blip(&mut self, now: Duration, group: Option<&str>) -> bool {
        let wanted = group.map(|name| self.groups.iter().position(|(group, _)| **group == *name));
        if wanted == Some(None) {
            return false;
        }
        for asic in self.asics.iter_mut().filter(|asic| wanted.flatten().is_none_or(|group| asic.group == group)) {
            asic.blip(now, &self.groups[asic.group].1, &mut self.rng);
        }
        true
    }

    /// What the site's meter says, W.
    pub(super) fn meter(&mut self) -> f64 {
        self.draw.total() * self.rng.random_range(0.995..1.005)
    }

    pub(super) fn draw(&self) -> Draw {
        self.draw
    }

    pub(super) fn record(&self) -> Record {
        self.record
    }

    /// What the machines of a group do, or all.
    pub(super) fn counts(&self, group: Option<usize>) -> Counts {
        let mut counts = Counts::default();
        for asic in self.asics.iter().filter(|asic| group.is_none_or(|group| asic.group == group)) {
            match asic {
                asic if asic.is_mining() => counts.mining += 1,
                asic if asic.is_asleep() => counts.asleep += 1,
                _ => counts.moving += 1,
            }
        }
        counts
    }

    /// The name of each group with its number.
    pub(super) fn groups(&self) -> impl Iterator<Item = (usize, &str)> {
        self.groups.iter().enumerate().map(|(at, (name, _))| (at, &**name))
    }

    /// How many lie.
    pub(super) fn liars(&self) -> usize {
        self.asics.iter().filter(|asic| asic.lie.is_some()).count()
    }
}

#[cfg(test)]
mod tests;
