//! Many miners that find nothing: memory, and clean jobs for them.

use std::{
    fmt::{self, Display},
    io,
    time::{Duration, Instant},
};

use crate::{
    process::Machine,
    report::{Attempt, MEMORY, Report},
    site::{Contestant, Pool, Site},
};

/// Miners in front of a relay, which opens two files for each.
const MOST_RELAYED: u32 = 1_000;

/// One crowd.
pub struct Idle {
    pub miners: u32,
    /// Clean jobs while all are connected.
    pub clean_jobs: u32,
    pub clean_every: Duration,
    pub memory: bool,
    pub fan_out: bool,
}

impl Idle {
    /// One run with processes of its own; false if it was disturbed and is not gone by.
    pub fn run(&self, run: Attempt, report: &mut Report) -> io::Result<bool> {
        let contestant = run.contestant;
        let miners = f64::from(self.miners);
        // Without clean jobs to wait for, only the miners' arrival is.
        let (clean_every, window) = if self.fan_out {
            (self.clean_every, self.clean_every * self.clean_jobs + self.clean_every / 2)
        } else {
            (Duration::ZERO, Duration::from_millis(500))
        };
        let site = Site::start(contestant, Pool { clean_every, ..Pool::QUIET })?;
        let empty = site.measured.resident()?;
        let load = site.miners(self.miners, &["--shares-per-second", "1e-3"], window)?;
        load.began()?;
        let (connected, before) = (site.measured.resident()?, site.measured.cpu()?);
        let scrape_before = site.scrape()?;
        let (machine, began) = (Machine::now()?, Instant::now());
        load.ended()?;
        let (settled, cpu) = (site.measured.resident()?, site.measured.cpu()? - before);
        let others = Machine::now()?.others_since(&machine);
        if !report.goes_by(run, self, others, began.elapsed().as_secs_f64()) {
            return Ok(false);
        }
        let fan_out = site.scrape()?.histogram_since(&scrape_before, "hashgate_fan_out_seconds");
        let load = load.report()?;
        let mut add =
            |name: &str, unit, value| report.add(contestant, &format!("{name}, {} miners", self.miners), unit, value);
        if self.memory {
            let each = |resident: u64| resident.saturating_sub(empty) as f64 / miners;
            add(MEMORY, "B", each(connected));
            if self.fan_out {
                add(&format!("{MEMORY} after clean jobs"), "B", each(settled));
            }
        }
        if self.fan_out {
            let jobs = load.number("/fan_out/spread/count")?;
            if load.number("/fan_out/fewest_miners")? < miners || jobs < 1.0 {
                return Err(io::Error::other("a clean job did not reach all miners"));
            }
            add("clean job, first to last p50", "ms", load.number("/fan_out/spread/p50_us")? / 1e3);
            add("clean job, pool to last p50", "ms", load.number("/fan_out/from_pool/p50_us")? / 1e3);
            add("clean job, CPU per miner", "µs", cpu.as_secs_f64() * 1e6 / jobs / miners);
            if fan_out.count > 0.0 {
                add("clean job, pool line read to socket written, mean", "ms", fan_out.mean_ms());
            }
        }
        Ok(true)
    }
}

impl Idle {
    /// A relay holds two sockets for a miner, in one process: it is asked for few miners only.
    pub fn suits(&self, contestant: Contestant) -> bool {
        match contestant {
            Contestant::Hashgate | Contestant::Watched | Contestant::Echo => true,
            Contestant::Nginx | Contestant::Haproxy => self.miners <= MOST_RELAYED,
        }
    }
}

impl Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} miners, {} clean jobs", self.miners, if self.fan_out { self.clean_jobs } else { 0 })
    }
}
