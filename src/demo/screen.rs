//! What the demo says on its way: one line a second, and the proxy's own sentences in between.
//!
//! Values in, text out. What a machine truly does and draws is the simulated site's word; prices, the mode and sentences are the proxy's.
//!
//! ```text
//!  27 s  PARTIAL  28.1 kH/s  site 1042 of 1300 kW, AI 307 kW  "old" sleeps (69 < 90 $/MWh), AI has its power (208)
//! ```

use std::time::Duration;

use super::story::{OLDEST, PUE};
use crate::{
    power::{
        control::{PastEvent, PowerSnapshot},
        group::Phase,
        site::{EventKind, Level, SiteEvent},
    },
    profit::task::DecisionView,
    sim::site::{Counts, SiteReport},
    work::{HASHES_PER_DIFFICULTY, Hashrate},
};

/// Columns of a status line.
pub const COLUMNS: usize = 120;

/// Columns of anything else.
const WIDE: usize = 160;

/// Over how many looks a hashrate is taken.
const LOOKS: usize = 6;

/// A hashrate from what was credited lately.
#[derive(Debug, Default)]
pub struct Pace {
    looks: std::collections::VecDeque<(Duration, f64)>,
}

impl Pace {
    /// So much difficulty was credited until now; the rate over the last looks.
    pub fn look(&mut self, elapsed: Duration, credited: f64) -> Hashrate {
        if self.looks.len() >= LOOKS {
            self.looks.pop_front();
        }
        self.looks.push_back((elapsed, credited));
        let (since, before) = self.looks[0];
        let seconds = elapsed.saturating_sub(since).as_secs_f64();
        Hashrate::from_hs(if seconds > 0.0 { (credited - before) * HASHES_PER_DIFFICULTY / seconds } else { 0.0 })
    }
}

/// What one status line is made of.
pub struct Moment<'a> {
    /// Since the beginning.
    pub elapsed: Duration,
    /// What the proxy decided.
    pub decision: Option<&'a DecisionView>,
    /// What its power side knows.
    pub power: Option<&'a PowerSnapshot>,
    /// From the shares that it credited lately.
    pub hashrate: Hashrate,
    /// What is true.
    pub report: &'a SiteReport,
}

impl Moment<'_> {
    /// The line, of [`COLUMNS`] at most.
    pub fn line(&self) -> String {
        let Self { elapsed, report, .. } = self;
        let mode = self.decision.map_or("-".to_owned(), |decision| decision.decisions.mode.to_string());
        let line = format!(
            "{:3.0} s  {mode:<8} {:>9}  site {:4.0} of {:.0} kW, AI {:3.0} kW  {}",
            elapsed.as_secs_f64(),
            self.hashrate.to_string(),
            report.watts / 1e3,
            report.cap.unwrap_or(0.0) / 1e3,
            report.draw.ai / 1e3,
            self.reason(),
        );
        clip(line, COLUMNS)
    }

    /// Why it is so.
    fn reason(&self) -> String {
        let Self { report, .. } = self;
        if report.cap.is_some_and(|cap| report.watts > cap) {
            return "OVER THE CAP: AI must give back, \"old\" must sleep".to_owned();
        }
        let at = self.decision.and_then(|decision| decision.groups.iter().position(|name| **name == *OLDEST));
        let (Some(at), Some(power)) = (at, self.power) else { return "the proxy starts".to_owned() };
        let margins = self.decision.map(|decision| decision.decisions.groups[at].margins);
        let rates = margins.and_then(|margins| Some((margins.cost?.get(), margins.value?.get(), margins.ai)));
        let Some((cost, earns, ai)) = rates else { return "waits for the first prices".to_owned() };
        // The proxy says what AI compute earns over the cost of power.
        let ai = ai.map_or(0.0, |ai| ai.get() + cost);
        let view = power.site.groups.get(at).and_then(Option::as_ref);
        let counts = report.groups.iter().find(|group| group.name == OLDEST).map(|group| group.counts);
        let (Some(view), Some(counts)) = (view, counts) else { return String::new() };
        let lent: f64 = power.site.blocks.iter().flatten().map(|block| block.granted.get()).sum();
        let is_asked_back = power.site.blocks.iter().flatten().any(|block| block.revoked.get() > 0.0);
        let lent = match (lent > 0.0, is_asked_back) {
            (false, _) => Lent::Nothing,
            (true, false) => Lent::Power,
            (true, true) => Lent::AskedBack,
        };
        words(view.phase, counts, lent, (cost, earns, ai))
    }
}

/// What AI compute has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lent {
    Nothing,
    Power,
    AskedBack,
}

/// What the oldest group does, and why; rates in $/MWh at the site meter.
fn words(phase: Phase, counts: Counts, lent: Lent, (cost, earns, ai): (f64, f64, f64)) -> String {
    let Counts { mining, asleep, moving } = counts;
    let all = mining + asleep + moving;
    let pays = ai > cost;
    match (phase, lent) {
        (Phase::Mining, _) => format!("all mine: power {cost:.0} $/MWh, even \"old\" earns {earns:.0}"),
        (Phase::WakePending | Phase::Waking, Lent::AskedBack) => {
            format!("AI gives back, then \"old\" wakes; {asleep} of {all} sleep")
        }
        (_, Lent::AskedBack) => format!("AI gives power back; {asleep} of {all} of \"old\" sleep"),
        // It would be told by now, if the site had not been over its cap a moment ago.
        (Phase::DrainPending | Phase::Draining | Phase::Asleep, _) if earns > cost => {
            "mining pays again; \"old\" wakes when the site is calm".to_owned()
        }
        (Phase::DrainPending | Phase::Draining | Phase::Asleep, Lent::Power) => {
            format!("\"old\" sleeps ({earns:.0} < {cost:.0} $/MWh), AI has its power ({ai:.0})")
        }
        (Phase::DrainPending | Phase::Draining, Lent::Nothing) => {
            format!("\"old\" drains: earns {earns:.0}, power {cost:.0} $/MWh; {asleep} of {all} sleep")
        }
        (Phase::Asleep, Lent::Nothing) if pays => {
            format!("\"old\" sleeps; AI pays {ai:.0} $/MWh, waits for proof")
        }
        (Phase::Asleep, Lent::Nothing) => format!("\"old\" sleeps: earns {earns:.0}, power {cost:.0} $/MWh"),
        (Phase::WakePending, _) => format!("\"old\" is to wake ({earns:.0} > {cost:.0} $/MWh), waits for room"),
        (Phase::Waking, _) if mining == all => "\"old\" mines again; each one's first share is waited for".to_owned(),
        (Phase::Waking, _) => {
            format!("\"old\" wakes: earns {earns:.0}, power {cost:.0} $/MWh; {mining} of {all} mine")
        }
        (phase, _) => format!("\"old\" is in {}", phase.label()),
    }
}

/// The sentences of the proxy that tell the story and were not said yet, the oldest first; of those about single machines, the first.
#[derive(Debug, Default)]
pub struct Sentences {
    last: Option<PastEvent>,
}

impl Sentences {
    /// What is new.
    pub fn new_ones(&mut self, power: &PowerSnapshot) -> Vec<String> {
        let news: Vec<&SiteEvent> = power
            .events
            .iter()
            .take_while(|event| self.last.as_ref() != Some(*event))
            .map(|event| &event.event)
            .collect();
        self.last = power.events.first().cloned().or(self.last.take());
        let mut lines = Vec::new();
        let mut single = 0_usize;
        for event in news.into_iter().rev() {
            let is_loud = event.level > Level::Info;
            single += usize::from(event.kind == EventKind::Device);
            let is_told = match event.kind {
                EventKind::Device => single == 1,
                EventKind::Phase | EventKind::Lease | EventKind::OverCap => true,
                _ => is_loud,
            };
            if is_told {
                let mark = if is_loud { "! " } else { "" };
                lines.push(clip(format!("       proxy: {mark}{}", event.words), WIDE));
            }
        }
        if single > 1 {
            lines.push(format!("       proxy: ! and {} more about single machines", single - 1));
        }
        lines
    }
}

/// What AI compute pays, in $/MWh at the site meter, for a price of IT power.
pub fn at_meter(price: f64) -> f64 {
    price / PUE
}

fn clip(line: String, columns: usize) -> String {
    if line.chars().count() <= columns {
        return line;
    }
    line.chars().take(columns - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_fits_behind_the_widest_figures() {
        let widest = " 999 s  PARTIAL   100.0 kH/s  site 1300 of 1300 kW, AI 307 kW  ".chars().count();
        for phase in Phase::ALL {
            let counts = Counts { mining: 100, asleep: 100, moving: 100 };
            for lent in [Lent::Nothing, Lent::Power, Lent::AskedBack] {
                let words = words(phase, counts, lent, (90.0, 69.0, 208.0));
                assert!(widest + words.chars().count() <= COLUMNS, "{widest} columns and {words}");
            }
        }
    }

    #[test]
    fn a_long_line_is_cut_where_the_screen_ends() {
        assert_eq!(clip("é".repeat(5), 5), "é".repeat(5));
        assert_eq!(clip("é".repeat(6), 5), format!("{}…", "é".repeat(4)));
    }

    #[test]
    fn a_hashrate_is_that_of_the_last_looks() {
        let mut pace = Pace::default();
        let mut credited = 0.0;
        for second in 0..20 {
            let rate = pace.look(Duration::from_secs(second), credited).hs();
            if second == 10 {
                assert!((rate - 1000.0).abs() < 1e-6, "{rate}");
            }
            if second == 19 {
                assert!((rate - 500.0).abs() < 1e-6, "{rate}");
            }
            credited += if second < 10 { 1000.0 } else { 500.0 } / HASHES_PER_DIFFICULTY;
        }
    }
}
