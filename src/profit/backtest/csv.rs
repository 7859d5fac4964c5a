//! History as text, read into series: what can be mended is mended and said, the rest is refused with its line.
//!
//! Knows columns and times; opens no file (the command line does) and does not know what a price is for.
//!
//! | what is wrong | what is done |
//! |---|---|
//! | a column is missing, a number or a time is none | refused, with the line |
//! | a time without offset | refused, unless the column's name ends in `_utc` or a time zone was named |
//! | local hours that the clocks repeat | taken in the order of the file |
//! | local hours that the clocks skip | refused |
//! | rows out of order | sorted, and said |
//! | the same row twice | kept once, and said; with another value: refused |
//! | a row is missing, or its value is empty | power: the interval counts for nobody, and is said; a day of bitcoin: the day before stands in |
//! | two lengths of intervals | refused |

use std::{
    collections::HashMap,
    fmt::{self, Display, Formatter},
};

use csv::{ReaderBuilder, StringRecord, Trim};
use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, TimeZone},
};

use super::series::{
    BtcDay, BtcDays, MAX_CARRIED_DAYS, MAX_DAYS, MAX_INTERVALS, MAX_STEP_SECONDS, MIN_STEP_SECONDS, PowerPrices, Steps,
};
use crate::profit::{BtcPerBlock, Currency, LIMIT, MoneyPerBtc, MoneyPerMwh, NetworkDifficulty};

/// Characters of a foreign value quoted in a message.
const MAX_QUOTED: usize = 40;

/// What a file must be read with.
#[derive(Debug, Clone)]
pub struct CsvOptions {
    /// What money is in; part of the columns' names.
    pub currency: Currency,
    /// Where local times are local; `None` refuses them.
    pub zone: Option<TimeZone>,
}

/// A series, and what had to be mended to get it.
#[derive(Debug, Clone, PartialEq)]
pub struct Mended<T> {
    /// The series.
    pub series: T,
    /// One line for each kind of repair; empty for a file in order.
    pub repairs: Vec<String>,
}

/// Why a file is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct CsvError {
    /// Where, counted from 1; `None` for what concerns the whole file.
    pub line: Option<u64>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub help: String,
}

impl Display for CsvError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}; {}", self.what, self.help)
    }
}

impl CsvError {
    fn at(line: u64, what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { line: Some(line), what: what.into(), help: help.into() }
    }

    fn file(what: impl Into<String>, help: impl Into<String>) -> Self {
        Self { line: None, what: what.into(), help: help.into() }
    }
}

/// Reads what energy cost: a time, at which the interval begins, and a price per MWh.
///
/// # Errors
/// [`CsvError`] with the line, as the table of this module says.
pub fn read_power(text: &str, options: &CsvOptions) -> Result<Mended<PowerPrices>, CsvError> {
    let price = format!("{}_per_mwh", options.currency.code().to_lowercase());
    let mut table = Table::open(text)?;
    let time = table.column(TIME_COLUMNS)?;
    let price = table.column(&[&price, "price_per_mwh"])?;
    let mut moments = Moments::new(table.is_utc(time), options.zone.clone());
    let mut rows = Vec::new();
    while let Some(line) = table.next()? {
        let at = moments.read(table.field(time), line)?;
        // An empty value is a gap; the row keeps its place so that a duplicate of it is found.
        rows.push(Row { at, line, value: table.optional_number(price, line, -LIMIT)? });
    }
    let mut repairs = moments.repairs();
    let rows = in_order(rows, &mut repairs)?;
    let step = step_of(&rows)?;
    let (first, last) = (&rows[0], &rows[rows.len() - 1]);
    let count = usize::try_from((last.at.as_second() - first.at.as_second()) / step + 1).unwrap_or(usize::MAX);
    if count > MAX_INTERVALS {
        return Err(CsvError::at(
            last.line,
            format!("from {} to {} are {count} intervals, more than {MAX_INTERVALS}", first.at, last.at),
            "look for a mistyped year",
        ));
    }
    let mut prices = vec![None; count];
    for row in &rows {
        let index = usize::try_from((row.at.as_second() - first.at.as_second()) / step).unwrap_or(usize::MAX);
        prices[index] = row.value.and_then(MoneyPerMwh::new);
    }
    repairs.extend(gaps_in_words(&prices, first.at, step));
    let series = PowerPrices::new(first.at, step, prices)
        .ok_or_else(|| CsvError::file("times are out of range", "look for a mistyped year"))?;
    Ok(Mended { series, repairs })
}

/// Reads what mining depended on, day by day: price, difficulty, subsidy and, if there, fees with the day's blocks.
///
/// # Errors
/// [`CsvError`] with the line, as the table of this module says.
pub fn read_btc(text: &str, options: &CsvOptions) -> Result<Mended<BtcDays>, CsvError> {
    let price = format!("price_{}", options.currency.code().to_lowercase());
    let mut table = Table::open(text)?;
    let date = table.column(&["date_utc", "date"])?;
    let price = table.column(&[&price, "price"])?;
    let difficulty = table.column(&["difficulty"])?;
    let subsidy = table.column(&["subsidy_btc_per_block"])?;
    let fees = match (table.find(&["fees_btc"]), table.find(&["blocks"])) {
        (Some(fees), Some(blocks)) => Some((fees, blocks)),
        (None, None) => None,
        (Some(_), None) => {
            return Err(CsvError::at(1, "there is a column fees_btc but none named blocks", "add the day's blocks"));
        }
        (None, Some(_)) => {
            return Err(CsvError::at(
                1,
                "there is a column blocks but none named fees_btc",
                "add the day's fees in BTC",
            ));
        }
    };
    let mut rows: Vec<(Date, u64, BtcDay)> = Vec::new();
    while let Some(line) = table.next()? {
        let day: Date = table.field(date).parse().map_err(|_| {
            CsvError::at(line, format!("{} is not a date", quoted(table.field(date))), "write it as 2024-06-30")
        })?;
        let mut reward = table.number(subsidy, line, 0.0)?;
        if let Some((fees, blocks)) = fees {
            let (fees, blocks) = (table.number(fees, line, 0.0)?, table.number(blocks, line, 0.0)?);
            if blocks == 0.0 && fees > 0.0 {
                return Err(CsvError::at(line, "a day with fees and without blocks", "one of the two is wrong"));
            }
            reward += if blocks > 0.0 { fees / blocks } else { 0.0 };
        }
        let above_zero = |column| table.number(column, line, f64::MIN_POSITIVE);
        let (price, difficulty) = (above_zero(price)?, above_zero(difficulty)?);
        let out_of_range = || CsvError::at(line, "a value is out of range", format!("nothing is above {LIMIT:e}"));
        rows.push((
            day,
            line,
            BtcDay {
                price: MoneyPerBtc::new(price).ok_or_else(out_of_range)?,
                difficulty: NetworkDifficulty::new(difficulty).ok_or_else(out_of_range)?,
                reward: BtcPerBlock::new(reward).ok_or_else(out_of_range)?,
            },
        ));
    }
    days_in_a_row(rows, fees.is_some())
}

/// Reads what an hour of a GPU was sold for; each value holds until the next.
///
/// # Errors
/// [`CsvError`] with the line, as the table of this module says.
pub fn read_ai(text: &str, options: &CsvOptions) -> Result<Mended<Steps>, CsvError> {
    let price = format!("{}_per_gpu_hour", options.currency.code().to_lowercase());
    read_steps(text, options, &[&price, "price_per_gpu_hour"], LIMIT)
}

/// Reads how much of the AI capacity was wanted, from 0 to 1; each value holds until the next.
///
/// # Errors
/// [`CsvError`] with the line, as the table of this module says.
pub fn read_demand(text: &str, options: &CsvOptions) -> Result<Mended<Steps>, CsvError> {
    read_steps(text, options, &["demand"], 1.0)
}

fn read_steps(text: &str, options: &CsvOptions, names: &[&str], most: f64) -> Result<Mended<Steps>, CsvError> {
    let mut table = Table::open(text)?;
    let time = table.column(TIME_COLUMNS)?;
    let value = table.column(names)?;
    let mut moments = Moments::new(table.is_utc(time), options.zone.clone());
    let mut rows = Vec::new();
    while let Some(line) = table.next()? {
        let at = moments.read(table.field(time), line)?;
        let number = table.number(value, line, 0.0)?;
        if number > most {
            return Err(CsvError::at(line, format!("{number} is above {most}"), "it is a share of the capacity"));
        }
        rows.push(Row { at, line, value: Some(number) });
    }
    let mut repairs = moments.repairs();
    let rows = in_order(rows, &mut repairs)?;
    let rows = rows.into_iter().filter_map(|row| Some((row.at, row.value?))).collect();
    let series = Steps::new(rows).ok_or_else(|| CsvError::file("has too many rows", "thin it out"))?;
    Ok(Mended { series, repairs })
}

/// What a column of times may be called.
const TIME_COLUMNS: &[&str] =
    &["time_utc", "time", "timestamp", "interval_start_utc", "interval_start", "date_utc", "date"];

/// Text with a header, row by row.
struct Table<'t> {
    reader: csv::Reader<&'t [u8]>,
    columns: Vec<String>,
    record: StringRecord,
    rows: usize,
}

impl<'t> Table<'t> {
    fn open(text: &'t str) -> Result<Self, CsvError> {
        let mut reader = ReaderBuilder::new().trim(Trim::All).comment(Some(b'#')).from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| broken(&error))?;
        let columns: Vec<String> = header.iter().map(str::to_lowercase).collect();
        if columns.iter().all(String::is_empty) {
            return Err(CsvError::file("is empty", "it needs a line with the names of its columns, and rows"));
        }
        Ok(Self { reader, columns, record: StringRecord::new(), rows: 0 })
    }

    fn find(&self, names: &[&str]) -> Option<usize> {
        names.iter().find_map(|name| self.columns.iter().position(|column| column == name))
    }

    fn column(&self, names: &[&str]) -> Result<usize, CsvError> {
        self.find(names).ok_or_else(|| {
            let found: Vec<String> = self.columns.iter().take(20).map(|column| quoted(column)).collect();
            CsvError::at(
                1,
                format!("there is no column {}; there are {}", names.join(" or "), found.join(", ")),
                "rename the one that is meant; columns are separated by commas",
            )
        })
    }

    fn is_utc(&self, column: usize) -> bool {
        self.columns[column].ends_with("_utc")
    }

    /// The line of the next row.
    fn next(&mut self) -> Result<Option<u64>, CsvError> {
        if !self.reader.read_record(&mut self.record).map_err(|error| broken(&error))? {
            return match self.rows {
                0 => Err(CsvError::file("has no rows", "below the names of the columns there must be values")),
                _ => Ok(None),
            };
        }
        self.rows += 1;
        let line = self.record.position().map_or(0, csv::Position::line);
        match self.rows > MAX_INTERVALS {
            true => Err(CsvError::at(line, format!("has more than {MAX_INTERVALS} rows"), "split it")),
            false => Ok(Some(line)),
        }
    }

    fn field(&self, column: usize) -> &str {
        // Every row has as many fields as the header: the reader sees to it.
        self.record.get(column).unwrap_or_default()
    }

    fn number(&self, column: usize, line: u64, least: f64) -> Result<f64, CsvError> {
        self.optional_number(column, line, least)?.ok_or_else(|| {
            CsvError::at(line, format!("{} is empty", self.columns[column]), "write a number, or leave the row out")
        })
    }

    fn optional_number(&self, column: usize, line: u64, least: f64) -> Result<Option<f64>, CsvError> {
        let text = self.field(column);
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse::<f64>() {
            Ok(number) if number.abs() <= LIMIT && number >= least => Ok(Some(number)),
            Ok(number) if number.abs() <= LIMIT => Err(CsvError::at(
                line,
                format!("{} is {number}, which is too little", self.columns[column]),
                "correct it, or leave the row out",
            )),
            _ => Err(CsvError::at(
                line,
                format!("{} is {}, not a number", self.columns[column], quoted(text)),
                "write it as 1234.5, without thousands separators and units",
            )),
        }
    }
}

fn broken(error: &csv::Error) -> CsvError {
    let line = error.position().map(csv::Position::line);
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => CsvError {
            line,
            what: format!("has {len} fields, the first line has {expected_len}"),
            help: "each row needs a value, or an empty one, for each column".to_owned(),
        },
        _ => {
            CsvError { line, what: format!("is not a table: {error}"), help: "write comma-separated UTF-8".to_owned() }
        }
    }
}

/// Reads times, one row after the other.
struct Moments {
    is_utc: bool,
    zone: Option<TimeZone>,
    before: Option<Timestamp>,
    /// Rows in local hours that came twice, and the line of the first.
    repeated: (u64, u64),
}

impl Moments {
    fn new(is_utc: bool, zone: Option<TimeZone>) -> Self {
        let zone = if is_utc { Some(TimeZone::UTC) } else { zone };
        Self { is_utc, zone, before: None, repeated: (0, 0) }
    }

    fn read(&mut self, text: &str, line: u64) -> Result<Timestamp, CsvError> {
        let at = match text.parse::<Timestamp>() {
            Ok(at) => at,
            Err(_) => self.local(text, line)?,
        };
        self.before = Some(at);
        Ok(at)
    }

    fn local(&mut self, text: &str, line: u64) -> Result<Timestamp, CsvError> {
        let civil: DateTime = text.parse().map_err(|_| {
            let help = "write it as 2024-06-30T13:45:00Z, or with an offset as +02:00";
            CsvError::at(line, format!("{} is not a time", quoted(text)), help)
        })?;
        let Some(zone) = &self.zone else {
            return Err(CsvError::at(
                line,
                format!("{} has no offset, and in autumn a local hour comes twice", quoted(text)),
                "write offsets or UTC (…Z), name the column time_utc, or name the zone: --time-zone America/Chicago",
            ));
        };
        let ambiguous = zone.to_ambiguous_timestamp(civil);
        let out_of_range =
            |_| CsvError::at(line, format!("{} is out of range", quoted(text)), "look for a mistyped year");
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { .. } => ambiguous.unambiguous().map_err(out_of_range),
            AmbiguousOffset::Gap { .. } => Err(CsvError::at(
                line,
                format!("{} does not exist: the clocks skip it", quoted(text)),
                if self.is_utc { "correct the time" } else { "is --time-zone the zone that this file was written in?" },
            )),
            AmbiguousOffset::Fold { .. } => {
                if self.repeated.0 == 0 {
                    self.repeated.1 = line;
                }
                self.repeated.0 += 1;
                let earlier = ambiguous.earlier().map_err(out_of_range)?;
                match self.before {
                    Some(before) if earlier <= before => ambiguous.later().map_err(out_of_range),
                    _ => Ok(earlier),
                }
            }
        }
    }

    fn repairs(&self) -> Vec<String> {
        let (rows, line) = self.repeated;
        match rows {
            0 => Vec::new(),
            _ => vec![format!(
                "line {line}: {rows} rows are in local hours that the clocks repeat; taken in the order of the file"
            )],
        }
    }
}

/// A row before it has its place in a series.
#[derive(Debug, Clone, Copy)]
struct Row {
    at: Timestamp,
    line: u64,
    value: Option<f64>,
}

/// Sorts, and drops what is there twice.
fn in_order(mut rows: Vec<Row>, repairs: &mut Vec<String>) -> Result<Vec<Row>, CsvError> {
    let mut late = rows.windows(2).filter(|pair| pair[1].at < pair[0].at).map(|pair| pair[1].line);
    if let Some(line) = late.next() {
        repairs.push(format!("line {line}: {} rows are earlier than the one before; sorted", late.count() + 1));
        rows.sort_by_key(|row| row.at);
    }
    let mut twice: Option<(u64, usize)> = None;
    let mut clash = None;
    rows.dedup_by(|row, kept| {
        if row.at != kept.at {
            return false;
        }
        if row.value != kept.value {
            clash = clash.or(Some((kept.line, row.line, row.at)));
        }
        let (line, count) = twice.unwrap_or((row.line, 0));
        twice = Some((line, count + 1));
        true
    });
    if let Some((first, second, at)) = clash {
        return Err(CsvError::at(
            second,
            format!("{at} is in line {first} already, with another value"),
            "drop the one that is wrong; local times need an offset where the clocks are set back",
        ));
    }
    if let Some((line, count)) = twice {
        repairs.push(format!("line {line}: {count} rows are there twice; kept once"));
    }
    Ok(rows)
}

/// The length of the intervals: the most common distance, which all others are multiples of.
fn step_of(rows: &[Row]) -> Result<i64, CsvError> {
    let distance = |pair: &[Row]| pair[1].at.as_second() - pair[0].at.as_second();
    let mut counts: HashMap<i64, usize> = HashMap::new();
    for pair in rows.windows(2) {
        *counts.entry(distance(pair)).or_default() += 1;
    }
    // Of equally common ones the shortest, so that the answer does not depend on a hash.
    let step = counts.iter().max_by_key(|(step, count)| (**count, -**step)).map(|(step, _)| *step);
    let Some(step) = step else {
        return Err(CsvError::file("has one row", "two are needed to tell how long an interval is"));
    };
    if !(MIN_STEP_SECONDS..=MAX_STEP_SECONDS).contains(&step) || MAX_STEP_SECONDS % step != 0 {
        return Err(CsvError::file(
            format!("its rows are {step} s apart"),
            format!("intervals are from {MIN_STEP_SECONDS} s to a day long and divide the day"),
        ));
    }
    match rows.windows(2).find(|pair| distance(pair) % step != 0) {
        Some(pair) => Err(CsvError::at(
            pair[1].line,
            format!("comes {} s after the row before, where intervals are {step} s", distance(pair)),
            "one file has intervals of one length; split it where that changes",
        )),
        None => Ok(step),
    }
}

fn gaps_in_words(prices: &[Option<MoneyPerMwh>], first: Timestamp, step: i64) -> Option<String> {
    let missing = prices.iter().filter(|price| price.is_none()).count();
    let gap = prices.iter().position(Option::is_none)?;
    let at = Timestamp::from_second(first.as_second() + step * i64::try_from(gap).ok()?).ok()?;
    Some(format!(
        "{missing} of {} intervals have no price, the first at {at}; nobody earns or pays in them, and nobody sees a price",
        prices.len()
    ))
}

fn days_in_a_row(mut rows: Vec<(Date, u64, BtcDay)>, with_fees: bool) -> Result<Mended<BtcDays>, CsvError> {
    let mut repairs = Vec::new();
    if !with_fees {
        repairs.push("there are no columns fees_btc and blocks; fees count as nothing".to_owned());
    }
    if let Some(pair) = rows.windows(2).find(|pair| pair[1].0 < pair[0].0) {
        repairs.push(format!("line {}: {} comes after a later day; sorted", pair[1].1, pair[1].0));
        rows.sort_by_key(|row| row.0);
    }
    let first = rows[0].0;
    let mut days: Vec<BtcDay> = Vec::with_capacity(rows.len());
    let (mut before, mut carried) = (rows[0], Vec::new());
    for (index, row) in rows.into_iter().enumerate() {
        let distance = row.0.since(before.0).map_or(i32::MAX, |span| span.get_days());
        match usize::try_from(distance).unwrap_or(usize::MAX) {
            0 if index == 0 => days.push(row.2),
            0 if row.2 == before.2 => repairs.push(format!("line {}: {} is there twice; kept once", row.1, row.0)),
            0 => {
                let what = format!("{} is in line {} already, with other values", row.0, before.1);
                return Err(CsvError::at(row.1, what, "drop the one that is wrong"));
            }
            missing if missing - 1 > MAX_CARRIED_DAYS => {
                let what = format!("{} days are missing between {} and {}", missing - 1, before.0, row.0);
                return Err(CsvError::at(row.1, what, format!("more than {MAX_CARRIED_DAYS} can't be stood in for")));
            }
            next => {
                if next > 1 {
                    carried.push((row.1, next - 1));
                }
                days.extend(std::iter::repeat_n(before.2, next - 1));
                days.push(row.2);
            }
        }
        before = row;
    }
    if let Some((line, _)) = carried.first() {
        let missing: usize = carried.iter().map(|(_, days)| days).sum();
        repairs.push(format!("line {line}: {missing} days are missing; the day before stands in for each"));
    }
    let series = BtcDays::new(first, days)
        .ok_or_else(|| CsvError::file(format!("has more than {MAX_DAYS} days"), "look for a mistyped year"))?;
    Ok(Mended { series, repairs })
}

/// A foreign text for a message: control characters escaped, long ones cut.
fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(MAX_QUOTED).flat_map(char::escape_debug).collect();
    format!("\"{cut}{}\"", if text.chars().nth(MAX_QUOTED).is_some() { "…" } else { "" })
}

#[cfg(test)]
mod tests;
