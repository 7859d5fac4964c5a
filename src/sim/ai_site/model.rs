//! What simulated AI compute does with its leases: jobs, watts, and what it says of both. Pure: it is told the time.
//!
//! ```text
//! lease ─ up to starts_within ─ job ─ gap ─ job ─ gap …        no job starts after it expired; the last one runs to its end
//! revoke ─ the running job goes on to its end, to the deadline at most ─ release_time at full power ─ released
//! ```
//! A job draws all of its lease, all of them together at most the capacity, and never less than idle.
//!
//! Limits: [`MAX_LEASES`] at once, as many that are remembered as closed; the oldest of these are forgotten.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    AiSiteSettings, AiStats,
    fault::{AiFault, Standing},
};

/// Leases at once.
const MAX_LEASES: usize = 1024;

/// A revocation with this id is about every lease.
const EVERYTHING: &str = "0-0";

/// The shortest job, and the shortest pause: what passes while nobody looks is worked out step by step.
const SHORTEST: Duration = Duration::from_millis(50);

/// What it says to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Taken,
    Refused(&'static str),
    Releasing,
    Released,
}

/// What it says of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shown {
    pub(super) epoch: u32,
    pub(super) watts: f64,
    pub(super) state: &'static str,
    pub(super) observed_at: Timestamp,
}

#[derive(Debug)]
struct Lease {
    watts: f64,
    expires: Timestamp,
    run: Run,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Run {
    /// Before a job, or between two.
    Gap { until: Timestamp },
    /// A job runs.
    Job { until: Timestamp },
    /// It is asked back.
    Releasing { draws: bool, until: Timestamp },
}

/// The machines, their leases, and what is wrong with them.
#[derive(Debug)]
pub(super) struct Ai {
    settings: AiSiteSettings,
    random: StdRng,
    epoch: u32,
    leases: BTreeMap<String, Lease>,
    /// Those that are never taken again.
    closed: VecDeque<String>,
    standing: Standing,
    stuck: Option<Shown>,
    pub(super) stats: AiStats,
}

impl Ai {
    pub(super) fn new(mut settings: AiSiteSettings, now: Timestamp) -> Self {
        settings.job = settings.job.max(SHORTEST);
        settings.gap = settings.gap.max(SHORTEST);
        let faults = std::mem::take(&mut settings.faults);
        let mut ai = Self {
            random: StdRng::seed_from_u64(settings.seed),
            settings,
            epoch: 0,
            leases: BTreeMap::new(),
            closed: VecDeque::new(),
            standing: Standing::default(),
            stuck: None,
            stats: AiStats::default(),
        };
        faults.into_iter().for_each(|fault| ai.fault(fault, now));
        ai
    }

    pub(super) fn grant(&mut self, now: Timestamp, id: &str, epoch: u32, watts: f64, expires: Timestamp) -> Said {
        self.advance(now);
        let is_full = self.leases.len() >= MAX_LEASES;
        let known = self.leases.get_mut(id);
        let why = if epoch < self.epoch {
            "of a lower epoch"
        } else if self.closed.iter().any(|closed| closed == id) {
            "it was asked back before"
        } else if expires <= now {
            "it has expired"
        } else if known.is_none() && is_full {
            "there are too many leases"
        } else {
            ""
        };
        if !why.is_empty() {
            self.stats.refused += 1;
            return Said::Refused(why);
        }
        self.epoch = epoch;
        match known {
            // Refused would say that nothing is drawn under it.
            Some(Lease { run: Run::Releasing { .. }, .. }) => Said::Releasing,
            Some(lease) => {
                lease.expires = lease.expires.max(expires);
                self.stats.renewals += 1;
                Said::Taken
            }
            None => {
                let wait = self.settings.starts_within.mul_f64(self.random.random_range(0.0..=1.0));
                self.leases.insert(id.to_owned(), Lease { watts, expires, run: Run::Gap { until: after(now, wait) } });
                self.stats.grants += 1;
                Said::Taken
            }
        }
    }

    pub(super) fn revoke(&mut self, now: Timestamp, id: &str, epoch: u32, deadline: Timestamp) -> Said {
        self.advance(now);
        self.epoch = self.epoch.max(epoch);
        self.stats.revokes += 1;
        let release = self.settings.release_time.saturating_add(self.standing.release_late);
        for (name, lease) in &mut self.leases {
            if name == id || id == EVERYTHING {
                lease.run = match lease.run {
                    Run::Gap { .. } => Run::Releasing { draws: false, until: after(now, self.standing.release_late) },
                    Run::Job { until } => {
                        Run::Releasing { draws: true, until: after(until.min(deadline.max(now)), release) }
                    }
                    // Asked again: the deadline may be earlier now.
                    Run::Releasing { draws: true, until } => {
                        Run::Releasing { draws: true, until: until.min(after(deadline.max(now), release)) }
                    }
                    nothing @ Run::Releasing { draws: false, .. } => nothing,
                };
            }
        }
        if id != EVERYTHING && !self.leases.contains_key(id) {
            self.close(id.to_owned());
        }
        self.advance(now);
        let is_open = if id == EVERYTHING { !self.leases.is_empty() } else { self.leases.contains_key(id) };
        if is_open { Said::Releasing } else { Said::Released }
    }

    /// What is truly drawn.
    pub(super) fn watts(&mut self, now: Timestamp) -> f64 {
        self.advance(now);
        let draws = |lease: &&Lease| matches!(lease.run, Run::Job { .. } | Run::Releasing { draws: true, .. });
        let jobs: f64 = self.leases.values().filter(draws).map(|lease| lease.watts).sum();
        let jobs = jobs * (1.0 + self.standing.overdraw);
        (jobs.max(self.settings.idle) + self.standing.without_lease).min(self.settings.capacity)
    }

    /// What it says of itself, true or not.
    pub(super) fn status(&mut self, now: Timestamp) -> Shown {
        self.stats.statuses += 1;
        let mut shown = self.stuck.unwrap_or_else(|| self.seen(now));
        shown.observed_at = shown.observed_at.saturating_add(self.standing.time_shift).unwrap_or(now);
        if self.standing.hides {
            shown.watts = self.settings.idle;
        }
        shown
    }

    fn seen(&mut self, now: Timestamp) -> Shown {
        let watts = self.watts(now);
        let state = if self.leases.values().any(|lease| matches!(lease.run, Run::Releasing { .. })) {
            "draining"
        } else if self.leases.values().any(|lease| matches!(lease.run, Run::Job { .. })) {
            "running"
        } else {
            "idle"
        };
        Shown { epoch: self.epoch, watts, state, observed_at: now }
    }

    /// Lets something go wrong, or ends that.
    pub(super) fn fault(&mut self, fault: AiFault, now: Timestamp) {
        self.advance(now);
        let standing = &mut self.standing;
        match fault {
            AiFault::DoesNotStart => standing.no_start = true,
            AiFault::DoesNotRelease => standing.no_release = true,
            AiFault::ReleasesLate(late) => standing.release_late = late,
            AiFault::Overdraws(share) => standing.overdraw = share,
            AiFault::DrawsWithoutLease(watts) => standing.without_lease = watts,
            AiFault::Forgets => {
                self.leases.clear();
                self.closed.clear();
                self.epoch = 0;
            }
            AiFault::Answers500 => standing.broken = true,
            AiFault::AnswersLate(late) => standing.answer_late = late,
            AiFault::ShiftsTime(shift) => standing.time_shift = shift,
            AiFault::StuckStatus => self.stuck = Some(self.seen(now)),
            AiFault::HidesItsDraw => standing.hides = true,
            AiFault::Resume => {
                *standing = Standing::default();
                self.stuck = None;
            }
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.standing.broken
    }

    pub(super) fn lateness(&self) -> Duration {
        self.standing.answer_late
    }

    /// Lets happen what was to happen until now.
    pub(super) fn advance(&mut self, now: Timestamp) {
        let (settings, standing) = (&self.settings, self.standing);
        let mut over = Vec::new();
        for (id, lease) in &mut self.leases {
            loop {
                let may_start = |at: Timestamp| at < lease.expires && !standing.no_start;
                lease.run = match lease.run {
                    Run::Gap { until } if until <= now && may_start(until) => {
                        Run::Job { until: after(until, settings.job) }
                    }
                    // It was renewed when it had expired, or what kept it from starting is over.
                    Run::Gap { until } if until <= now && may_start(now) => {
                        Run::Job { until: after(now, settings.job) }
                    }
                    Run::Job { until } if until <= now => Run::Gap { until: after(until, settings.gap) },
                    Run::Releasing { until, .. } if until <= now && !standing.no_release => {
                        over.push(id.clone());
                        break;
                    }
                    _ => break,
                };
            }
        }
        for id in over {
            self.leases.remove(&id);
            self.stats.released += 1;
            self.close(id);
        }
    }

    fn close(&mut self, id: String) {
        if self.closed.contains(&id) {
            return;
        }
        if self.closed.len() >= MAX_LEASES {
            self.closed.pop_front();
        }
        self.closed.push_back(id);
    }
}

fn after(at: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    at.saturating_add(wait).unwrap_or(Timestamp::MAX)
}
