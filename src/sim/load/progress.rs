//! Progress on standard error: a bar on a terminal, a line per second elsewhere.

use super::{GLANCE, LoadSettings};
use crate::sim::miner::Swarm;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::time::Duration;
use tokio::time::Instant;

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// A bar on a terminal, a line per second elsewhere, nothing if quiet.
pub(super) enum Progress {
    Quiet,
    Bar { bar: ProgressBar, duration: Duration },
    Lines { miners: usize, next: Instant },
}

impl Progress {
    pub(super) fn new(settings: &LoadSettings) -> Self {
        if !settings.progress {
            return Self::Quiet;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines { miners: settings.miners, next: Instant::now() + LINE_EVERY };
        }
        let bar = ProgressBar::new(settings.miners as u64);
        bar.set_style(ProgressStyle::with_template("{bar:30} {msg}").expect("the template is a constant"));
        Self::Bar { bar, duration: settings.duration }
    }

    pub(super) fn connecting(&mut self, ready: usize) {
        match self {
            Self::Quiet => {}
            Self::Bar { bar, .. } => {
                bar.set_position(ready as u64);
                bar.set_message(format!("{ready} miners have a job"));
            }
            Self::Lines { miners, .. } => {
                let text = format!("connecting: {ready} of {miners} miners have a job");
                self.line(|| text);
            }
        }
    }

    /// Where others read along, they are told when the measured time begins and ends.
    pub(super) fn began(&self, ready: usize) {
        if let Self::Lines { .. } = self {
            eprintln!("measuring: {ready} miners");
        }
    }

    pub(super) fn ended(&self, elapsed: Duration) {
        match self {
            Self::Quiet => {}
            Self::Bar { bar, .. } => bar.finish_and_clear(),
            Self::Lines { .. } => eprintln!("measured: {:.3} s", elapsed.as_secs_f64()),
        }
    }

    pub(super) fn measuring(&mut self, swarm: &Swarm, elapsed: Duration) {
        let text = || {
            let (totals, reply) = (swarm.totals(), swarm.board().reply_latency());
            format!(
                "{:.0} s: {} shares sent, {} accepted, {} rejected, {} waiting; reply p99 {} µs",
                elapsed.as_secs_f64(),
                totals.sent,
                totals.accepted,
                totals.rejected_total(),
                totals.unanswered(),
                reply.p99_us
            )
        };
        match self {
            Self::Quiet => {}
            Self::Bar { bar, duration } => {
                bar.set_length(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
                bar.set_position(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
                // Summing up ten thousand machines costs a millisecond: a few times per second is enough.
                if elapsed.subsec_millis() < 2 * u32::try_from(GLANCE.as_millis()).unwrap_or(u32::MAX) {
                    bar.set_message(text());
                }
            }
            Self::Lines { .. } => self.line(text),
        }
    }

    fn line(&mut self, text: impl FnOnce() -> String) {
        let Self::Lines { next, .. } = self else {
            return;
        };
        if Instant::now() >= *next {
            *next += LINE_EVERY;
            eprintln!("{}", text());
        }
    }
}
