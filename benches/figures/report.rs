//! The values of all runs, their medians, and the machine they are from.

use std::{fmt, fs};

use serde::Serialize;

/// All figures of one execution.
#[derive(Serialize)]
pub struct Report {
    cpu: String,
    cores: usize,
    /// Few miners, one run.
    quick: bool,
    figures: Vec<Figure>,
}

#[derive(Serialize)]
struct Figure {
    name: &'static str,
    unit: &'static str,
    median: f64,
    /// By run.
    values: Vec<f64>,
}

impl Report {
    /// No figures yet.
    pub fn new(quick: bool) -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            cpu: cpu.map_or("unknown", |(_, cpu)| cpu).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            quick,
            figures: Vec::new(),
        }
    }

    /// Adds a run's value.
    pub fn add(&mut self, name: &'static str, unit: &'static str, value: f64) {
        let at = self.figures.iter().position(|figure| figure.name == name).unwrap_or_else(|| {
            self.figures.push(Figure { name, unit, median: 0.0, values: Vec::new() });
            self.figures.len() - 1
        });
        let figure = &mut self.figures[at];
        figure.values.push(value);
        figure.median = median(&figure.values);
    }

    /// Everything, for programs.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts and numbers serialise") + "\n"
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], sorted[middle]) } else { sorted[middle] }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {} cores{}", self.cpu, self.cores, if self.quick { ", QUICK: means little" } else { "" })?;
        writeln!(f, "{:<52} {:>10}  {:<6} {:>21}  runs", "figure", "median", "unit", "lowest … highest")?;
        for Figure { name, unit, median, values } in &self.figures {
            let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
            let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let range = format!("{lowest:.1} … {highest:.1}");
            writeln!(f, "{name:<52} {median:>10.1}  {unit:<6} {range:>21}  {}", values.len())?;
        }
        Ok(())
    }
}
