//! What a simulated site has to show, for people and for programs.

use std::fmt;

use serde::Serialize;

use super::model::{Counts, Draw, Record};
use crate::sim::miner::MinerStats;

/// The site until now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SiteReport {
    /// What it draws, by its parts, W at the site meter.
    pub draw: Draw,
    /// The sum of it.
    pub watts: f64,
    /// What it may draw, W.
    pub cap: Option<f64>,
    /// What it drew.
    #[serde(flatten)]
    pub record: Record,
    /// What all machines do.
    #[serde(flatten)]
    pub counts: Counts,
    /// Machines whose firmware lies.
    pub liars: usize,
    /// By group.
    pub groups: Vec<GroupReport>,
    /// Shares of all machines.
    pub shares: Shares,
}

/// The machines of a group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupReport {
    /// Its name.
    pub name: String,
    /// What they do.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Shares, as the machines count them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Shares {
    /// Sent.
    pub sent: u64,
    /// Answered with true.
    pub accepted: u64,
    /// Answered with an error.
    pub rejected: u64,
    /// Late for a new block, among those.
    pub stale: u64,
    /// The answer is still owed.
    pub unanswered: u64,
    /// The connection died before the answer, and not by the machine's own power.
    pub lost: u64,
    /// The machine's own power went before the answer.
    pub cut_off: u64,
    /// What firmware could not bear.
    pub violations: u64,
}

impl From<&MinerStats> for Shares {
    fn from(stats: &MinerStats) -> Self {
        Self {
            sent: stats.sent,
            accepted: stats.accepted,
            rejected: stats.rejected_total(),
            stale: stats.stale,
            unanswered: stats.unanswered(),
            lost: stats.lost,
            cut_off: stats.cut_off,
            violations: stats.violation_count(),
        }
    }
}

/// Watts as people read them.
pub(super) struct Watts(pub f64);

impl fmt::Display for Watts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            watts if watts >= 1e6 => write!(f, "{:.3} MW", watts / 1e6),
            watts => write!(f, "{:.1} kW", watts / 1e3),
        }
    }
}

impl SiteReport {
    /// One line of it, for the way.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { counts, shares, record, .. } = self;
        let cap = self.cap.map_or(String::new(), |cap| format!(" of {}", Watts(cap)));
        let over = if record.over_cap_seconds > 0.0 {
            format!(", {:.1} s over the cap", record.over_cap_seconds)
        } else {
            String::new()
        };
        format!(
            "{:5.0} s: {} mining, {} asleep, {} on their way; {}{cap}{over}; shares: {} sent, {} accepted, {} rejected, {} lost",
            record.seconds,
            counts.mining,
            counts.asleep,
            counts.moving,
            Watts(self.watts),
            shares.sent,
            shares.accepted,
            shares.rejected,
            shares.lost
        )
    }
}

impl fmt::Display for SiteReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counts, shares, record, draw, .. } = self;
        writeln!(
            f,
            "machines   {} mining, {} asleep, {} on their way; {} lie",
            counts.mining, counts.asleep, counts.moving, self.liars
        )?;
        for group in &self.groups {
            let Counts { mining, asleep, moving } = group.counts;
            writeln!(f, "           {}: {mining} mining, {asleep} asleep, {moving} on their way", group.name)?;
        }
        writeln!(
            f,
            "power      {} now: ASICs {}, AI {}, base load {}",
            Watts(self.watts),
            Watts(draw.asics),
            Watts(draw.ai),
            Watts(draw.base)
        )?;
        writeln!(f, "peak       {}, after {:.1} s", Watts(record.peak_watts), record.peak_at)?;
        match self.cap {
            Some(cap) => writeln!(
                f,
                "cap        {}: passed for {:.1} s of {:.1} s, at most {:.1} s without a break",
                Watts(cap),
                record.over_cap_seconds,
                record.seconds,
                record.longest_over_cap_seconds
            )?,
            None => writeln!(f, "cap        none; {:.1} s", record.seconds)?,
        }
        writeln!(
            f,
            "shares     {} sent: {} accepted, {} rejected ({} stale), {} unanswered",
            shares.sent, shares.accepted, shares.rejected, shares.stale, shares.unanswered
        )?;
        writeln!(f, "lost       {}; {} more when a machine's own power went", shares.lost, shares.cut_off)?;
        write!(f, "violations {}", shares.violations)
    }
}
