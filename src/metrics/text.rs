//! Prometheus' text format, 0.0.4: families with their help and type, series with their labels.
//!
//! A page is made when somebody scrapes and forgotten with the answer, so that what is gone is not shown any more, and nothing is kept twice.
//! Values of labels may be anything; they are escaped here. Only what is in `names.rs` can be put in.

use std::{
    collections::HashMap,
    fmt::{self, Display, Formatter, Write},
};

use jiff::Timestamp;

use super::{
    LATENCY_BOUNDS_US, LatencySum,
    names::{FAMILIES, Family, Kind},
};

/// Names and values; names are ours.
pub(super) type Labels<'l> = &'l [(&'l str, &'l str)];

/// What a scrape answers.
#[derive(Default)]
pub(super) struct Page {
    /// Lines by the name of their family: those of one must stand together.
    lines: HashMap<&'static str, String>,
}

impl Page {
    /// A counter of things.
    pub fn count(&mut self, family: &'static Family, labels: Labels<'_>, count: u64) {
        debug_assert_eq!(family.kind, Kind::Counter, "{}", family.name);
        self.line(family, "", labels, None, count);
    }

    /// A counter of what is no whole number.
    pub fn sum(&mut self, family: &'static Family, labels: Labels<'_>, sum: f64) {
        debug_assert_eq!(family.kind, Kind::Counter, "{}", family.name);
        self.line(family, "", labels, None, Number(sum));
    }

    /// What is now; NaN where that is not known.
    pub fn gauge(&mut self, family: &'static Family, labels: Labels<'_>, value: f64) {
        debug_assert_eq!(family.kind, Kind::Gauge, "{}", family.name);
        self.line(family, "", labels, None, Number(value));
    }

    /// 1 or 0.
    pub fn flag(&mut self, family: &'static Family, labels: Labels<'_>, is: bool) {
        self.gauge(family, labels, f64::from(u8::from(is)));
    }

    /// A time; NaN where there is none.
    pub fn time(&mut self, family: &'static Family, labels: Labels<'_>, at: Option<Timestamp>) {
        self.gauge(family, labels, at.map_or(f64::NAN, |at| at.as_duration().as_secs_f64()));
    }

    /// How long things took.
    pub fn histogram(&mut self, family: &'static Family, labels: Labels<'_>, times: &LatencySum) {
        debug_assert_eq!(family.kind, Kind::Histogram, "{}", family.name);
        let (mut events, mut sum_us) = (0, 0);
        for (index, bucket) in times.buckets.iter().enumerate() {
            events += bucket.events;
            sum_us += bucket.sum_us;
            let bound = LATENCY_BOUNDS_US.get(index).map_or(f64::INFINITY, |us| *us as f64 / 1e6);
            self.line(family, "_bucket", labels, Some(bound), events);
        }
        self.line(family, "_sum", labels, None, Number(sum_us as f64 / 1e6));
        self.line(family, "_count", labels, None, events);
    }

    /// The text that Prometheus reads.
    pub fn finish(self) -> String {
        let mut text = String::with_capacity(self.lines.values().map(|lines| lines.len() + 256).sum());
        for family in FAMILIES {
            if let Some(lines) = self.lines.get(family.name) {
                // Writing to a string does not fail.
                let _ = writeln!(text, "# HELP {} {}", family.name, family.help);
                let _ = writeln!(text, "# TYPE {} {}", family.name, family.kind.label());
                text.push_str(lines);
            }
        }
        text
    }

    fn line(
        &mut self,
        family: &'static Family,
        suffix: &str,
        labels: Labels<'_>,
        bound: Option<f64>,
        value: impl Display,
    ) {
        let lines = self.lines.entry(family.name).or_default();
        lines.push_str(family.name);
        lines.push_str(suffix);
        let mut open = '{';
        for (name, value) in labels {
            let _ = write!(lines, "{open}{name}=\"{}\"", Escaped(value));
            open = ',';
        }
        if let Some(bound) = bound {
            let _ = write!(lines, "{open}le=\"{}\"", Number(bound));
            open = ',';
        }
        if open == ',' {
            lines.push('}');
        }
        let _ = writeln!(lines, " {value}");
    }
}

/// A value of a label, between its quotes. What differs, differs escaped.
struct Escaped<'v>(&'v str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// A number as the format has it.
struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            infinite if infinite.is_infinite() => f.write_str(if infinite > 0.0 { "+Inf" } else { "-Inf" }),
            // `NaN` is written as it is here.
            number => number.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::names;

    #[test]
    fn lines_of_a_family_stand_together_behind_its_help_and_type() {
        let mut page = Page::default();
        page.gauge(&names::LEASES, &[("state", "live")], 2.0);
        page.count(&names::OPENED, &[], 7);
        page.gauge(&names::LEASES, &[("state", "parked")], f64::NAN);
        page.sum(&names::ACCEPTED_DIFFICULTY, &[], 0.25);
        assert_eq!(
            page.finish(),
            "# HELP hashgate_connections_opened_total Connections accepted.\n\
             # TYPE hashgate_connections_opened_total counter\n\
             hashgate_connections_opened_total 7\n\
             # HELP hashgate_shares_accepted_difficulty_total \
             Sum of the difficulties that shares were credited at; each stands for 2^32 hashes.\n\
             # TYPE hashgate_shares_accepted_difficulty_total counter\n\
             hashgate_shares_accepted_difficulty_total 0.25\n\
             # HELP hashgate_leases Extranonce leases: live, or parked for a miner that may return.\n\
             # TYPE hashgate_leases gauge\n\
             hashgate_leases{state=\"live\"} 2\n\
             hashgate_leases{state=\"parked\"} NaN\n"
        );
    }

    #[test]
    fn buckets_add_up_and_end_with_all() {
        let mut times = LatencySum::default();
        times.buckets[1] = crate::metrics::LatencyBucket { events: 3, sum_us: 240 };
        let last = times.buckets.len() - 1;
        times.buckets[last] = crate::metrics::LatencyBucket { events: 1, sum_us: 100_000_000 };
        assert_eq!(times.mean(), Some(Duration::from_micros(25_000_060)));
        let mut page = Page::default();
        page.histogram(&names::POOL_REPLY, &[("pool", "eu")], &times);
        let text = page.finish();
        for line in [
            "_bucket{pool=\"eu\",le=\"0.00005\"} 0",
            "_bucket{pool=\"eu\",le=\"0.0001\"} 3",
            "_bucket{pool=\"eu\",le=\"10\"} 3",
            "_bucket{pool=\"eu\",le=\"+Inf\"} 4",
            "_sum{pool=\"eu\"} 100.00024",
            "_count{pool=\"eu\"} 4",
        ] {
            assert!(text.contains(&format!("hashgate_pool_reply_seconds{line}\n")), "{line}: {text}");
        }
    }

    #[test]
    fn whatever_stands_in_a_label_it_ends_nothing_and_stays_apart() {
        let names = ["a\\", "a\\\\", "a\"", "a\\\"", "a\n", "a\\n", "a\"} 1\nhashgate_up 0\n#", "ü\u{0}\r{}=,"];
        let mut page = Page::default();
        for name in names {
            page.count(&names::DISAGREEMENTS, &[("worker", name), ("reason", "stale")], 1);
        }
        let text = page.finish();
        let mut lines: Vec<&str> = text.split('\n').filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        assert_eq!(lines.len(), names.len());
        let is_one = |line: &&str| line.starts_with("hashgate_disagreements_total{worker=\"a") || line.contains("ü");
        assert!(lines.iter().all(|line| is_one(line) && line.ends_with(",reason=\"stale\"} 1")), "{text}");
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), names.len(), "no two are one: {text}");
    }
}
