//! What a load test found, for people and for programs.

use super::LoadError;
use crate::sim::miner::{HASH_BOUND_COST, MinerStats, Quantiles, Spread};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Spreads longer than this are counted as this.
const MAX_SPREAD_US: u64 = 60_000_000;

/// What a load test found. Counters cover the measured time only; handshakes and violations cover everything.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// The server.
    pub server: SocketAddr,
    /// Machines started.
    pub miners: usize,
    /// Machines that were mining when the measurement began.
    pub connected: usize,
    /// Machines that were mining when it ended.
    pub connected_at_end: usize,
    /// Seconds measured.
    pub seconds: f64,
    /// From connect to the first job.
    pub handshake: Quantiles,
    /// Shares per second that were asked for; none in a closed loop.
    pub asked_per_second: Option<f64>,
    /// Shares per second that were sent.
    pub sent_per_second: f64,
    /// Shares per second that were answered, with true or not.
    pub answered_per_second: f64,
    /// From the write of a share to its reply.
    pub reply: Quantiles,
    /// How late this process was for its own appointments: replies can't be measured more finely than that.
    pub own_lateness: Quantiles,
    /// From the first to the last miner that a clean job reached.
    pub fan_out: FanOut,
    /// Share of the shares that cost this process more hashes than it can spend, 0 to 1.
    pub hash_bound: f64,
    /// Counters, summed over all machines.
    pub totals: MinerStats,
    /// Shares without a reply when the test ended.
    pub unanswered: u64,
    /// The first violations, in words.
    pub violations: Vec<String>,
}

/// How far apart miners got the same clean job.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct FanOut {
    /// Spreads over the jobs.
    pub spread: Quantiles,
    /// From the making of a job to the last miner; empty unless a simulated pool of this machine made it.
    pub from_pool: Quantiles,
    /// Fewest miners that a job reached.
    pub fewest_miners: u64,
}

/// Where a JSON report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonTarget {
    /// Standard output.
    Stdout,
    /// A file, replaced if it exists.
    File(PathBuf),
}

impl FanOut {
    pub(super) fn of(spreads: &[Spread]) -> Self {
        let quantiles = |micros: &dyn Fn(&Spread) -> Option<u64>| {
            let mut histogram =
                Histogram::<u64>::new_with_bounds(1, MAX_SPREAD_US, 3).expect("bounds are constants in range");
            spreads.iter().filter_map(micros).for_each(|micros| histogram.saturating_record(micros));
            Quantiles::from(&histogram)
        };
        Self {
            spread: quantiles(&|spread| Some(spread.micros)),
            from_pool: quantiles(&|spread| spread.from_pool_micros),
            fewest_miners: spreads.iter().map(|spread| spread.miners).min().unwrap_or(0),
        }
    }
}

impl LoadReport {
    /// Writes the report as pretty JSON.
    ///
    /// # Errors
    /// When the file or standard output can't be written.
    pub fn write_json(&self, target: &JsonTarget) -> Result<(), LoadError> {
        let mut json = serde_json::to_vec_pretty(self).expect("a report has string keys and finite numbers");
        json.push(b'\n');
        let (name, written) = match target {
            JsonTarget::Stdout => ("standard output".to_owned(), std::io::stdout().write_all(&json)),
            JsonTarget::File(path) => (path.display().to_string(), std::fs::write(path, &json)),
        };
        written.map_err(|source| LoadError::Report { target: name, source })
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { totals, reply, handshake, fan_out, .. } = self;
        writeln!(f, "server     {}", self.server)?;
        writeln!(
            f,
            "miners     {} of {} had a job, {} at the end",
            self.connected, self.miners, self.connected_at_end
        )?;
        writeln!(
            f,
            "handshake  p50 {} µs, p99 {} µs, max {} µs",
            handshake.p50_us, handshake.p99_us, handshake.max_us
        )?;
        writeln!(
            f,
            "shares     {} sent in {:.1} s: {:.0}/s{}",
            totals.sent,
            self.seconds,
            self.sent_per_second,
            self.asked_per_second
                .map_or(", each after the answer to the last".into(), |rate| format!(" of {rate:.0}/s asked for"))
        )?;
        writeln!(
            f,
            "answers    {} accepted, {} rejected, {} lost, {} unanswered; {} skipped",
            totals.accepted,
            totals.rejected_total(),
            totals.lost,
            self.unanswered,
            totals.skipped
        )?;
        for ((code, text), count) in &totals.rejected {
            writeln!(f, "           {count} × {code} {text}")?;
        }
        writeln!(
            f,
            "reply      p50 {} µs, p99 {} µs, p99.9 {} µs, max {} µs",
            reply.p50_us, reply.p99_us, reply.p999_us, reply.max_us
        )?;
        let late = &self.own_lateness;
        writeln!(f, "own delay  p50 {} µs, p99 {} µs, max {} µs", late.p50_us, late.p99_us, late.max_us)?;
        let spread = &fan_out.spread;
        writeln!(
            f,
            "fan-out    {} clean jobs, spread p50 {} µs, max {} µs, at least {} miners each",
            spread.count, spread.p50_us, spread.max_us, fan_out.fewest_miners
        )?;
        if fan_out.from_pool.count > 0 {
            let whole = &fan_out.from_pool;
            writeln!(f, "           made to last miner p50 {} µs, max {} µs", whole.p50_us, whole.max_us)?;
        }
        if self.hash_bound > 0.0 {
            writeln!(
                f,
                "hash-bound {:.1} % of the shares cost over {HASH_BOUND_COST} hashes; ask for a lower --difficulty",
                self.hash_bound * 100.0
            )?;
        }
        let kinds = &totals.violations_by_kind;
        write!(f, "violations {}", if kinds.is_empty() { "none" } else { "" })?;
        for (kind, count) in kinds {
            write!(f, "\n           {count} × {kind}")?;
        }
        for violation in &self.violations {
            write!(f, "\n           e.g. {violation}")?;
        }
        Ok(())
    }
}
