//! A plot as inline SVG: lines, areas and bands in a box of 1000 × 1000 that stretches to its frame, labels as text beside it.
//!
//! Knows coordinates and scales; knows no price and no policy. What is drawn is thinned before: never more than [`COLUMNS`] points
//! across, with the least and the most of what fell into each, so that no spike is lost and no page grows with its history.

use std::fmt::Write as _;

/// Points across a plot: more than a screen shows.
pub const COLUMNS: usize = 800;
/// The side of the box that is drawn in.
const BOX: f64 = 1000.0;

/// How values lie along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// Evenly around nought, by powers far from it: power prices go from below nought to hundreds of times the usual.
    /// The value up to which it is nearly even.
    Symlog(f64),
}

/// An axis: what its ends stand for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Axis {
    /// From `low` to `high`, which are moved apart where they are the same.
    pub fn new(scale: Scale, low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { scale, low, high }
    }

    /// Around all values, nought included.
    pub fn around(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((0.0_f64, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let room = if scale == Scale::Linear { (high - low) * 0.04 } else { 0.0 };
        Self::new(scale, if low < 0.0 { low - room } else { low }, high + room)
    }

    /// Where a value lies, from 0 to 1.
    fn share(&self, value: f64) -> f64 {
        let bend = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Symlog(even) => (value / even).asinh(),
        };
        ((bend(value) - bend(self.low)) / (bend(self.high) - bend(self.low))).clamp(0.0, 1.0)
    }

    /// Values worth a label.
    fn ticks(&self) -> Vec<f64> {
        let candidates: Vec<f64> = match self.scale {
            Scale::Linear => {
                let raw = (self.high - self.low) / 5.0;
                let power = 10_f64.powf(raw.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|of| of * power).find(|step| *step >= raw);
                let step = step.unwrap_or(raw);
                let first = (self.low / step).ceil() * step;
                // Five steps, as chosen; a few more by rounding.
                (0..12).map(|index| first + f64::from(index) * step).collect()
            }
            Scale::Symlog(even) => {
                let decades = (0..8).flat_map(|power| [1.0, 3.0].map(|of| of * even * 10_f64.powi(power)));
                let decades: Vec<f64> = decades.collect();
                let below = decades.iter().rev().map(|value| -value);
                below.chain([0.0]).chain(decades.iter().copied()).collect()
            }
        };
        let mut ticks: Vec<f64> = Vec::new();
        for value in candidates.into_iter().filter(|value| (self.low..=self.high).contains(value)) {
            if ticks.last().is_none_or(|last| self.share(value) - self.share(*last) >= 0.07) {
                ticks.push(value);
            }
        }
        ticks
    }
}

/// A plot in the making.
pub struct Plot {
    x: Axis,
    y: Axis,
    height_px: u32,
    shapes: String,
    labels: String,
    legend: String,
}

impl Plot {
    /// An empty one, with its grid and the labels of its values.
    pub fn new(x: Axis, y: Axis, height_px: u32, label: impl Fn(f64) -> String) -> Self {
        let mut plot = Self { x, y, height_px, shapes: String::new(), labels: String::new(), legend: String::new() };
        for value in y.ticks() {
            let top = BOX - plot.up(value);
            let class = if value == 0.0 { "grid zero" } else { "grid" };
            put(&mut plot.shapes, format_args!("<path class=\"{class}\" d=\"M0 {top:.1}H1000\"/>"));
            put(
                &mut plot.labels,
                format_args!("<span class=\"y\" style=\"top:{:.1}%\">{}</span>", top / 10.0, escape(&label(value))),
            );
        }
        plot
    }

    /// Writes labels below, at x values; those that would touch the one before are left out.
    pub fn x_labels(&mut self, labels: impl IntoIterator<Item = (f64, String)>) {
        let mut free_from = 0.0;
        for (x, text) in labels {
            let share = self.x.share(x);
            if share < free_from || share > 0.97 {
                continue;
            }
            // A character is about a hundredth of a narrow screen.
            free_from = share + 0.03 + 0.02 * text.chars().count() as f64;
            put(&mut self.shapes, format_args!("<path class=\"grid\" d=\"M{:.1} 0V1000\"/>", share * BOX));
            put(
                &mut self.labels,
                format_args!("<span class=\"x\" style=\"left:{:.1}%\">{}</span>", share * 100.0, escape(&text)),
            );
        }
    }

    /// A line through points in order of x.
    pub fn line(&mut self, class: &str, name: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        let mut path = String::new();
        for (x, y) in points {
            let command = if path.is_empty() { 'M' } else { 'L' };
            put(&mut path, format_args!("{command}{:.1} {:.1}", self.right(x), BOX - self.up(y)));
        }
        self.shape(&format!("line {class}"), name, &path);
        self.legend(class, name);
    }

    /// A line that holds each value until the next point.
    pub fn stairs(&mut self, class: &str, name: &str, points: impl IntoIterator<Item = (f64, f64)>) {
        let mut path = String::new();
        for (x, y) in points {
            let (x, y) = (self.right(x), BOX - self.up(y));
            match path.is_empty() {
                true => put(&mut path, format_args!("M{x:.1} {y:.1}")),
                false => put(&mut path, format_args!("H{x:.1}V{y:.1}")),
            }
        }
        put(&mut path, format_args!("H1000"));
        self.shape(&format!("line {class}"), name, &path);
        self.legend(class, name);
    }

    /// The space between the least and the most, at points in order of x.
    pub fn area(&mut self, class: &str, name: &str, points: &[(f64, f64, f64)]) {
        let mut path = String::new();
        let upper = points.iter().map(|(x, _, high)| (*x, *high));
        let lower = points.iter().rev().map(|(x, low, _)| (*x, *low));
        for (x, y) in upper.chain(lower) {
            let command = if path.is_empty() { 'M' } else { 'L' };
            put(&mut path, format_args!("{command}{:.1} {:.1}", self.right(x), BOX - self.up(y)));
        }
        path.push('Z');
        self.shape(&format!("area {class}"), name, &path);
        self.legend(class, name);
    }

    /// A band from top to bottom.
    pub fn band(&mut self, class: &str, name: &str, from: f64, to: f64) {
        let (from, to) = (self.right(from), self.right(to));
        self.shape(&format!("area {class}"), name, &format!("M{from:.1} 0H{to:.1}V1000H{from:.1}Z"));
    }

    /// Bars that stand on the ground: (from, to, height as a share). Bars of one class are one shape.
    pub fn bars(&mut self, class: &str, name: &str, bars: impl IntoIterator<Item = (f64, f64, f64)>) {
        let mut path = String::new();
        for (from, to, height) in bars {
            let (from, to) = (self.right(from), self.right(to));
            put(&mut path, format_args!("M{from:.1} 1000V{:.0}H{to:.1}V1000Z", BOX * (1.0 - height)));
        }
        if !path.is_empty() {
            self.shape(&format!("area {class}"), name, &path);
        }
    }

    /// Adds an entry to the legend; each name once.
    pub fn legend(&mut self, class: &str, name: &str) {
        let entry = format!("<span class=\"key {class}\">{}</span>", escape(name));
        if !name.is_empty() && !self.legend.contains(&entry) {
            self.legend.push_str(&entry);
        }
    }

    /// The plot, with a caption that says what is to be seen.
    pub fn figure(self, caption: &str) -> String {
        let legend =
            if self.legend.is_empty() { String::new() } else { format!("<div class=\"legend\">{}</div>", self.legend) };
        format!("<figure>{}{legend}<figcaption>{}</figcaption></figure>\n", self.canvas(), escape(caption))
    }

    /// The drawing and its labels alone.
    pub fn canvas(&self) -> String {
        format!(
            "<div class=\"canvas\" style=\"height:{}px\"><svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" aria-hidden=\"true\">{}</svg>{}</div>",
            self.height_px, self.shapes, self.labels
        )
    }

    fn shape(&mut self, class: &str, name: &str, path: &str) {
        put(
            &mut self.shapes,
            format_args!("<path class=\"{class}\" d=\"{path}\"><title>{}</title></path>", escape(name)),
        );
    }

    fn right(&self, x: f64) -> f64 {
        self.x.share(x) * BOX
    }

    fn up(&self, y: f64) -> f64 {
        self.y.share(y) * BOX
    }
}

/// The least and the most of what falls into each of at most [`COLUMNS`] columns: (middle of the column as an index, least, most).
/// Columns without a value are left out.
pub fn thinned(values: &[Option<f64>]) -> Vec<(f64, f64, f64)> {
    let width = values.len().div_ceil(COLUMNS).max(1);
    let column = |(index, values): (usize, &[Option<f64>])| {
        let extremes = values.iter().flatten().fold(None, |extremes: Option<(f64, f64)>, value| {
            Some(extremes.map_or((*value, *value), |(low, high)| (low.min(*value), high.max(*value))))
        });
        let middle = index as f64 * width as f64 + values.len() as f64 / 2.0;
        extremes.map(|(low, high)| (middle, low, high))
    };
    values.chunks(width).enumerate().filter_map(column).collect()
}

/// At most [`COLUMNS`] indices of `count`, the last one among them.
pub fn thinned_indices(count: usize) -> impl Iterator<Item = usize> {
    let step = count.div_ceil(COLUMNS).max(1);
    (0..count).filter(move |index| index % step == 0 || index + 1 == count)
}

/// Text between tags and in attributes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Appends to a text.
pub fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spike_is_lost_by_thinning() {
        let mut values = vec![Some(20.0); 100_000];
        values[54_321] = Some(9000.0);
        values[10] = Some(-250.0);
        let columns = thinned(&values);
        assert!(columns.len() <= COLUMNS);
        assert!(columns.iter().any(|(_, _, high)| *high == 9000.0));
        assert!(columns.iter().any(|(_, low, _)| *low == -250.0));
        assert_eq!(thinned(&[None, None]), []);
        assert_eq!(thinned_indices(100_000).last(), Some(99_999));
    }

    #[test]
    fn ticks_are_round_and_apart() {
        assert_eq!(Axis::new(Scale::Linear, 0.0, 1100.0).ticks(), [0.0, 500.0, 1000.0]);
        let ticks = Axis::new(Scale::Symlog(30.0), -251.0, 9000.0).ticks();
        assert!(
            ticks.contains(&0.0) && ticks.contains(&300.0) && ticks.iter().all(|tick| *tick >= -251.0),
            "{ticks:?}"
        );
    }

    #[test]
    fn names_cannot_forge_markup() {
        let axis = Axis::new(Scale::Linear, 0.0, 1.0);
        let mut plot = Plot::new(axis, axis, 100, |value| value.to_string());
        plot.line("policy", "<script>\"", [(0.0, 0.0), (1.0, 1.0)]);
        let figure = plot.figure("a & b");
        assert!(!figure.contains("<script>") && figure.contains("a &amp; b"), "{figure}");
    }
}
