//! Many shares: processor time, reply latency, the highest rate.

use std::{
    io,
    time::{Duration, Instant},
};

use crate::{
    process::Machine,
    report::{Attempt, Report},
    site::{Pool, Site},
};

/// How fast shares come.
#[derive(Clone, Copy)]
pub enum Rate {
    /// So many a second, however fast they are answered.
    Open(u32),
    /// The next of each miner as soon as its last is answered.
    Closed,
}

/// One load.
pub struct Shares {
    pub miners: u32,
    pub rate: Rate,
    /// How long it is measured.
    pub window: Duration,
    pub pool: Pool,
    /// What comes after the figure's name.
    pub suffix: &'static str,
}

impl Shares {
    /// One run with processes of its own; false if it was disturbed and is not gone by.
    pub fn run(&self, run: Attempt, report: &mut Report) -> io::Result<bool> {
        let contestant = run.contestant;
        let site = Site::start(contestant, self.pool)?;
        let load = match self.rate {
            Rate::Open(rate) => site.miners(self.miners, &["--shares-per-second", &rate.to_string()], self.window)?,
            Rate::Closed => site.miners(self.miners, &["--closed-loop"], self.window)?,
        };
        load.began()?;
        let machine = Machine::now()?;
        let (before, began) = (site.measured.cpu()?, Instant::now());
        load.ended()?;
        let (cpu, seconds) = (site.measured.cpu()? - before, began.elapsed().as_secs_f64());
        if !report.goes_by(run, self, Machine::now()?.others_since(&machine), seconds) {
            return Ok(false);
        }
        let load = load.report()?;
        let per_second = load.number("/answered_per_second")?;
        let mut add = |name: &str, unit, value| report.add(contestant, &format!("{name}, {self}"), unit, value);
        add("CPU per share", "µs", cpu.as_secs_f64() / seconds / per_second * 1e6);
        if let Rate::Closed = self.rate {
            // How long an answer takes is then the miners over the rate and says no more.
            add("shares/s", "1/s", per_second);
            return Ok(true);
        }
        add("reply p50", "µs", load.number("/reply/p50_us")?);
        add("reply p99", "µs", load.number("/reply/p99_us")?);
        add("reply p99.9", "µs", load.number("/reply/p999_us")?);
        add("load tool's own delay p99", "µs", load.number("/own_lateness/p99_us")?);
        Ok(true)
    }
}

impl std::fmt::Display for Shares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.rate {
            Rate::Open(rate) => write!(f, "{} miners, {rate}/s{}", self.miners, self.suffix),
            Rate::Closed => write!(f, "{} miners, closed loop{}", self.miners, self.suffix),
        }
    }
}
