//! Prometheus' text format, 0.0.4: families with their help and type, series with their labels.
//!
//! ```text
//! exporter, power, profit, store ── Page ──► handles of the `metrics` crate ──► Series, a recorder ──► text
//! ```
//! A page is made when somebody scrapes and forgotten with the answer, so that what is gone is not shown any more, and nothing is kept twice.
//! Values of labels may be anything; they are escaped here. Only what is in `names.rs` can be put in.

use std::{
    collections::BTreeMap,
    fmt::{self, Display, Formatter, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use jiff::Timestamp;
use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Label, Level, Metadata, Recorder, SharedString, Unit,
    atomics::AtomicU64,
};

use super::{
    LATENCY_BOUNDS_US, LatencySum,
    names::{FAMILIES, Family, Kind},
};

/// Names and values; names are ours.
pub(super) type Labels<'l> = &'l [(&'static str, &'l str)];

/// What a recorder is told of where a number is from.
const FROM: Metadata<'_> = Metadata::new("hashgate", Level::INFO, None);

/// What a scrape answers.
#[derive(Default)]
pub(super) struct Page {
    series: Series,
}

impl Page {
    /// A counter of things.
    pub fn count(&mut self, family: &'static Family, labels: Labels<'_>, count: u64) {
        debug_assert_eq!(family.kind, Kind::Counter, "{}", family.name);
        self.series.register_counter(&key(family, labels), &FROM).absolute(count);
    }

    /// A counter of what is no whole number, which a counter of the crate is.
    pub fn sum(&mut self, family: &'static Family, labels: Labels<'_>, sum: f64) {
        debug_assert_eq!(family.kind, Kind::Counter, "{}", family.name);
        self.series.register_gauge(&key(family, labels), &FROM).set(sum);
    }

    /// What is now; NaN where that is not known.
    pub fn gauge(&mut self, family: &'static Family, labels: Labels<'_>, value: f64) {
        debug_assert_eq!(family.kind, Kind::Gauge, "{}", family.name);
        self.series.register_gauge(&key(family, labels), &FROM).set(value);
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
        let histogram = self.series.register_histogram(&key(family, labels), &FROM);
        for bucket in times.buckets.iter().filter(|bucket| bucket.events > 0) {
            // The mean of a bucket is in it, and so often it is their sum.
            let mean = bucket.sum_us as f64 / bucket.events as f64 / 1e6;
            histogram.record_many(mean, usize::try_from(bucket.events).unwrap_or(usize::MAX));
        }
    }

    /// The text that Prometheus reads.
    pub fn finish(self) -> String {
        let all = self.series.lock();
        let (mut text, mut family) = (String::with_capacity(128 * all.len()), None);
        for (key, slot) in &*all {
            if family != Some(key.name()) {
                family = Some(key.name());
                if let Some(Family { name, kind, help }) = FAMILIES.iter().find(|family| family.name == key.name()) {
                    // Writing to a string does not fail.
                    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", kind.label());
                }
            }
            match slot {
                Slot::Whole(count) => line(&mut text, key, "", None, count.load(Ordering::Relaxed)),
                Slot::Number(bits) => {
                    line(&mut text, key, "", None, Number(f64::from_bits(bits.load(Ordering::Relaxed))));
                }
                Slot::Times(times) => {
                    let Taken { events, seconds } = &*times.lock();
                    let mut sum = 0;
                    for (index, events) in events.iter().enumerate() {
                        sum += events;
                        let bound = LATENCY_BOUNDS_US.get(index).map_or(f64::INFINITY, |us| *us as f64 / 1e6);
                        line(&mut text, key, "_bucket", Some(bound), sum);
                    }
                    line(&mut text, key, "_sum", None, Number(*seconds));
                    line(&mut text, key, "_count", None, sum);
                }
            }
        }
        drop(all);
        text
    }
}

fn key(family: &'static Family, labels: Labels<'_>) -> Key {
    let labels: Vec<Label> = labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
    Key::from_parts(family.name, labels)
}

fn line(text: &mut String, key: &Key, suffix: &str, bound: Option<f64>, value: impl Display) {
    text.push_str(key.name());
    text.push_str(suffix);
    let mut open = '{';
    for label in key.labels() {
        let _ = write!(text, "{open}{}=\"{}\"", label.key(), Escaped(label.value()));
        open = ',';
    }
    if let Some(bound) = bound {
        let _ = write!(text, "{open}le=\"{}\"", Number(bound));
        open = ',';
    }
    if open == ',' {
        text.push('}');
    }
    let _ = writeln!(text, " {value}");
}

/// What was told, by name and labels.
#[derive(Default)]
struct Series(Mutex<BTreeMap<Key, Slot>>);

enum Slot {
    Whole(Arc<AtomicU64>),
    /// The bits of a float.
    Number(Arc<AtomicU64>),
    Times(Arc<Times>),
}

impl Series {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Descriptions are those of `names.rs`.
impl Recorder for Series {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.lock().entry(key.clone()).or_insert_with(|| Slot::Whole(Arc::default())) {
            Slot::Whole(count) => Counter::from_arc(count.clone()),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.lock().entry(key.clone()).or_insert_with(|| Slot::Number(Arc::default())) {
            Slot::Number(bits) => Gauge::from_arc(bits.clone()),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.lock().entry(key.clone()).or_insert_with(|| Slot::Times(Arc::default())) {
            Slot::Times(times) => Histogram::from_arc(times.clone()),
            _ => Histogram::noop(),
        }
    }
}

/// How long things took.
#[derive(Default)]
struct Times(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    /// By bucket.
    events: [u64; LATENCY_BOUNDS_US.len() + 1],
    /// Together.
    seconds: f64,
}

impl Times {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HistogramFn for Times {
    fn record(&self, seconds: f64) {
        self.record_many(seconds, 1);
    }

    fn record_many(&self, seconds: f64, times: usize) {
        let mut taken = self.lock();
        let bucket = LATENCY_BOUNDS_US.partition_point(|us| (*us as f64 / 1e6) < seconds);
        taken.events[bucket] += times as u64;
        taken.seconds += seconds * times as f64;
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
             # HELP hashgate_leases Extranonce leases: live, or parked for a miner that may return.\n\
             # TYPE hashgate_leases gauge\n\
             hashgate_leases{state=\"live\"} 2\n\
             hashgate_leases{state=\"parked\"} NaN\n\
             # HELP hashgate_shares_accepted_difficulty_total \
             Sum of the difficulties that shares were credited at; each stands for 2^32 hashes.\n\
             # TYPE hashgate_shares_accepted_difficulty_total counter\n\
             hashgate_shares_accepted_difficulty_total 0.25\n"
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
