//! The values of all runs, their medians side by side, and the machine they are from.

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    fs,
    time::Duration,
};

use serde::Serialize;

use crate::site::Contestant;

/// Other programs' part of all processors that is taken for quiet; the kernel's own threads are in it.
const QUIET_PERCENT: f64 = 10.0;

/// How the figures of memory begin.
pub const MEMORY: &str = "memory per idle miner";

/// One try at measuring a contestant.
#[derive(Clone, Copy)]
pub struct Attempt {
    pub contestant: Contestant,
    /// There is no other.
    pub is_last: bool,
}

/// All figures of one execution.
#[derive(Serialize)]
pub struct Report {
    cpu: String,
    cores: usize,
    kernel: String,
    /// Few miners, one run.
    quick: bool,
    figures: Vec<Figure>,
    /// What could not be measured, and why.
    notes: Vec<String>,
}

#[derive(Serialize)]
struct Figure {
    name: String,
    unit: &'static str,
    /// By contestant and run.
    values: BTreeMap<Contestant, Vec<f64>>,
}

impl Report {
    /// No figures yet.
    pub fn new(quick: bool) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            cpu: cpu.map_or("unknown", |(_, cpu)| cpu).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            quick,
            figures: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a run's value.
    pub fn add(&mut self, contestant: Contestant, name: &str, unit: &'static str, value: f64) {
        let at = self.figures.iter().position(|figure| figure.name == name).unwrap_or_else(|| {
            self.figures.push(Figure { name: name.to_owned(), unit, values: BTreeMap::new() });
            self.figures.len() - 1
        });
        self.figures[at].values.entry(contestant).or_default().push(value);
    }

    /// Adds a line below the table, once.
    pub fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Whether to go by what was measured while other programs were as busy as this: not if it can be measured again, else with a
    /// warning below the table.
    pub fn goes_by(&mut self, run: Attempt, what: &dyn Display, others: Duration, seconds: f64) -> bool {
        let of_all = others.as_secs_f64() / seconds / self.cores as f64 * 100.0;
        if of_all <= QUIET_PERCENT {
            return true;
        }
        let why = format!("disturbed: {}, {what}: other programs had {of_all:.0} % of the processors", run.contestant);
        eprintln!("{why}{}", if run.is_last { "" } else { "; once more" });
        if run.is_last {
            self.note(why);
        }
        run.is_last
    }

    /// Adds what a hundred thousand idle miners would take, going by the last and largest crowd that was measured.
    pub fn extrapolate(&mut self) {
        let largest = self.figures.iter().rev().find(|figure| figure.name.starts_with(MEMORY));
        let each = largest.and_then(|figure| Some((figure.median(Contestant::Hashgate)?, &figure.name)));
        if let Some((bytes, name)) = each {
            self.note(format!(
                "100 000 idle miners would take {:.0} MB of the proxy's own memory: extrapolated from \"{name}\", not measured; the \
                 kernel's for their sockets comes on top",
                bytes * 1e5 / 1e6
            ));
        }
    }

    /// Everything, for programs.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts and numbers serialise") + "\n"
    }
}

impl Figure {
    fn median(&self, contestant: Contestant) -> Option<f64> {
        self.values.get(&contestant).map(|values| median(values))
    }

    /// Ours over theirs.
    fn ratio(&self, theirs: Contestant) -> Option<f64> {
        Some(self.median(Contestant::Hashgate)? / self.median(theirs)?)
    }

    /// How far the proxy's runs lie apart, in percent of their median.
    fn range(&self) -> Option<f64> {
        let values = self.values.get(&Contestant::Hashgate).filter(|values| values.len() > 1)?;
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some((highest - lowest) / median(values) * 100.0)
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], sorted[middle]) } else { sorted[middle] }
}

/// Digits that say something: three, or all before the point.
fn cell(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(value) if value.abs() < 10.0 => format!("{value:.2}"),
        Some(value) if value.abs() < 100.0 => format!("{value:.1}"),
        Some(value) => format!("{value:.0}"),
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, kernel, quick, figures, notes } = self;
        writeln!(f, "{cpu}, {cores} cores, Linux {kernel}{}", if *quick { ", QUICK: means little" } else { "" })?;
        write!(f, "| {:<62} | unit |", "figure (medians)")?;
        Contestant::ALL.iter().try_for_each(|contestant| write!(f, " {:>8} |", contestant.to_string()))?;
        writeln!(f, "  ÷ echo | ÷ nginx | range |")?;
        writeln!(
            f,
            "|:{0:-<63}|:-----|{1}--------:|--------:|------:|",
            "",
            "---------:|".repeat(Contestant::ALL.len())
        )?;
        for figure in figures {
            write!(f, "| {:<62} | {:<4} |", figure.name, figure.unit)?;
            for contestant in Contestant::ALL {
                write!(f, " {:>8} |", cell(figure.median(contestant)))?;
            }
            let ratio = |theirs| cell(figure.ratio(theirs));
            let range = figure.range().map_or("-".into(), |range| format!("{range:.0} %"));
            writeln!(f, " {:>7} | {:>7} | {range:>5} |", ratio(Contestant::Echo), ratio(Contestant::Nginx))?;
        }
        notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}
