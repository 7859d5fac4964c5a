//! The report as tables for a terminal.
//!
//! Knows columns and how a number is best read; takes every figure from `report.rs`.

use std::fmt::{self, Display, Formatter};

use super::{
    reference::Player,
    report::{GroupReport, Report, Span},
};

/// A report to be printed.
pub struct Tables<'a>(pub &'a Report);

impl Display for Tables<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let report = self.0;
        write!(
            f,
            "{} to {} (UTC), {} intervals of {} min",
            report.from,
            report.to,
            grouped(report.intervals as f64),
            report.interval_minutes
        )?;
        for (from, to) in &report.excluded {
            write!(f, "; excluded: {from} to {to}")?;
        }
        writeln!(
            f,
            "\nmoney in {}, at the site meter; decided on prices one interval late and bitcoin a day late",
            report.currency
        )?;
        writeln!(
            f,
            "margin: the policy's; beside it those of its references (paying, free: perfect foresight, switching paid or free)"
        )?;
        writeln!(f, "gain: margin less that of always mining; of …: as a share of that reference's gain")?;
        for repair in &report.repairs {
            writeln!(f, "mended: {repair}")?;
        }
        for left_out in &report.unplayed {
            writeln!(f, "not played: {left_out}")?;
        }
        for group in &report.groups {
            writeln!(f)?;
            group_in_words(f, group)?;
        }
        if report.groups.len() > 1 {
            writeln!(f)?;
            group_in_words(f, &report.all)?;
        }
        writeln!(f)?;
        best_days(f, report.all.total(false))?;
        let apart = report.all.total(true);
        if apart.without_excluded {
            writeln!(f)?;
            best_days(f, apart)?;
        }
        Ok(())
    }
}

fn group_in_words(f: &mut Formatter<'_>, group: &GroupReport) -> fmt::Result {
    match group.joules_per_terahash {
        Some(efficiency) => write!(f, "group \"{}\": {efficiency} J/TH, {:.3} MW", group.name, group.megawatts)?,
        None => write!(f, "{}: {:.3} MW", group.name, group.megawatts)?,
    }
    let total = group.total(false);
    if let Some(share) = total.unprofitable {
        write!(f, "; power cost more than mining earned in {} of intervals", percent(Some(share)))?;
    }
    writeln!(f)?;
    let mut money =
        Grid::new(&["", "revenue", "cost", "margin", "always mine", "never mine", "myopic", "paying", "free"]);
    let mut policy = Grid::new(&[
        "",
        "gain",
        "of myopic",
        "of paying",
        "of free",
        "switches/y",
        "mining h",
        "AI h",
        "asleep h",
        "lost min",
    ]);
    for span in &group.spans {
        money.row(money_in_words(span));
        policy.row(policy_in_words(span));
    }
    write!(f, "{money}{policy}")
}

/// What the policy earned and paid, and what it and the references were left with.
fn money_in_words(span: &Span) -> Vec<String> {
    let policy = span.of(Player::Policy);
    let margin = |player| grouped(span.of(player).margin);
    vec![
        span.title(),
        grouped(policy.revenue),
        grouped(policy.cost),
        grouped(policy.margin),
        margin(Player::AlwaysMine),
        margin(Player::NeverMine),
        margin(Player::Myopic),
        margin(Player::ClairvoyantPaying),
        margin(Player::ClairvoyantFree),
    ]
}

/// What the policy gained over always mining, how much of the references' gains that is, and what it took.
fn policy_in_words(span: &Span) -> Vec<String> {
    let policy = span.of(Player::Policy);
    vec![
        span.title(),
        grouped(policy.gain),
        percent(span.capture_of_myopic),
        percent(span.capture_of_clairvoyant_paying),
        percent(span.capture_of_clairvoyant_free),
        grouped(policy.switches_per_year),
        grouped(policy.hours_mining),
        grouped(policy.hours_ai),
        grouped(policy.hours_curtailed),
        grouped(policy.minutes_lost),
    ]
}

fn best_days(f: &mut Formatter<'_>, span: &Span) -> fmt::Result {
    if span.best_days.is_empty() {
        return writeln!(f, "no day on which switching gained anything");
    }
    writeln!(f, "most valuable of {}", span.title())?;
    let mut grid = Grid::new(&["", "gain", "paying", "h not mined", "highest price", ""]);
    for day in &span.best_days {
        grid.row(vec![
            day.date.to_string(),
            grouped(day.gain),
            grouped(day.gain_of_clairvoyant_paying),
            format!("{:.1}", day.hours_not_mined),
            day.highest_price.map_or_else(|| "–".to_owned(), grouped),
            if day.excluded { "excluded".to_owned() } else { String::new() },
        ]);
    }
    write!(f, "{grid}")
}

/// A whole number in groups of three digits: `-1 234 567`.
pub(super) fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    if number <= -0.5 { format!("-{text}") } else { text }
}

/// A share in per cent; a dash where there is none.
pub(super) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", share * 100.0))
}

/// Columns as wide as they need to be: the first to the left, the others to the right.
struct Grid {
    rows: Vec<Vec<String>>,
}

impl Grid {
    fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|text| (*text).to_owned()).collect()] }
    }

    fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl Display for Grid {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let columns = self.rows[0].len();
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::from("  ");
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => line.push_str(&format!("{cell:<width$}")),
                    _ => line.push_str(&format!("  {cell:>width$}")),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_threes() {
        for (number, text) in [(0.0, "0"), (-0.4, "0"), (999.4, "999"), (-1234.0, "-1 234"), (1_234_567.0, "1 234 567")]
        {
            assert_eq!(grouped(number), text);
        }
        assert_eq!((percent(Some(0.9544)), percent(None)), ("95.4 %".to_owned(), "–".to_owned()));
    }

    #[test]
    fn columns_are_as_wide_as_they_need_to_be() {
        let mut grid = Grid::new(&["", "gain"]);
        grid.row(vec!["2021".to_owned(), "1 234 567".to_owned()]);
        grid.row(vec!["all days".to_owned(), "5".to_owned()]);
        assert_eq!(grid.to_string(), "                 gain\n  2021      1 234 567\n  all days          5\n");
    }
}
