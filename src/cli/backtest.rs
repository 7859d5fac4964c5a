//! `hashgate backtest`: files in, the replay, files out.
//!
//! Knows paths, compression and the terminal; what is played and found is `profit::backtest`'s.
//!
//! Limits: a file is at most [`MAX_CSV_BYTES`] when unpacked, so that neither a mistake nor a crafted archive fills the memory.

use std::{
    error::Error,
    fs::{self, File},
    io::{IsTerminal, Read},
    path::{Path, PathBuf},
};

use clap::Args;
use flate2::read::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{civil::Date, tz::TimeZone};

use super::Failure;
use crate::{
    config::{Config, Profit},
    profit::backtest::{
        CsvError, CsvOptions, Field, History, Mended, Report, Tables, Window, page, read_ai, read_btc, read_demand,
        read_power, replay,
    },
};

/// Bytes of a history: two million rows of a hundred bytes.
const MAX_CSV_BYTES: u64 = 256 * 1024 * 1024;
/// What a gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Arguments of `hashgate backtest`.
#[derive(Debug, Args)]
pub struct BacktestArgs {
    /// The config whose groups and policy are replayed
    #[arg(long, short, value_name = "FILE", default_value = "hashgate.toml")]
    pub config: PathBuf,
    /// Days of bitcoin: date_utc, price_usd, difficulty, subsidy_btc_per_block, fees_btc, blocks; .csv or .csv.gz
    #[arg(long, value_name = "CSV")]
    btc: PathBuf,
    /// Power prices: time_utc, usd_per_mwh; .csv or .csv.gz
    #[arg(long, value_name = "CSV")]
    power: PathBuf,
    /// Prices of AI compute, each until the next: time_utc, usd_per_gpu_hour
    #[arg(long, value_name = "CSV")]
    ai: Option<PathBuf>,
    /// Demand for AI compute from 0 to 1, each until the next: time_utc, demand
    #[arg(long, value_name = "CSV")]
    demand: Option<PathBuf>,
    /// First day, UTC; without it the first that all history is there for
    #[arg(long, value_name = "DATE")]
    from: Option<Date>,
    /// Last day, UTC; without it the last that all history is there for
    #[arg(long, value_name = "DATE")]
    to: Option<Date>,
    /// Days to count apart, played all the same: 2021-02-13..2021-02-20; may be given several times
    #[arg(long, value_name = "DATE..DATE", value_parser = parse_days)]
    exclude: Vec<(Date, Date)>,
    /// Zone of times that say no offset, as in America/Chicago
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    time_zone: Option<TimeZone>,
    /// Write the report as JSON; - for standard output, instead of the tables
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as one HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

fn parse_days(text: &str) -> Result<(Date, Date), String> {
    let day = |text: &str| text.parse::<Date>().map_err(|_| format!("\"{text}\" is not a date like 2021-02-13"));
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (day(from)?, day(to)?);
    if from <= to { Ok((from, to)) } else { Err(format!("{from} is after {to}; swap them")) }
}

fn parse_zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| "not a time zone; it is named as in America/Chicago or Europe/Berlin".to_owned())
}

/// Replays what the arguments say, and says what was found.
///
/// # Errors
/// [`Failure`], with the file and its line where there is one.
pub fn run(args: &BacktestArgs, config: &Config) -> Result<(), Failure> {
    let profit = config.profit.as_ref().ok_or_else(|| {
        let help = "add [[group]] tables with name, power and efficiency";
        Failure::Misused(format!("config {} has no groups to replay; {help}", args.config.display()))
    })?;
    let (history, repairs) = read(args, profit)?;
    let window = Window { from: args.from, to: args.to, exclude: args.exclude.clone() };
    let field = Field::new(profit, &history, &window).map_err(|error| Failure::Misused(error.to_string()))?;
    let bar = progress_bar(field.len());
    let replay = replay(&field, &window, |done| bar.set_position(done as u64));
    bar.finish_and_clear();
    let report = Report::new(&replay, repairs);
    let is_piped = args.json.as_deref() == Some(Path::new("-"));
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| Failure::Failed(error.to_string()))?;
        if is_piped {
            println!("{json}");
        } else {
            write(path, &json)?;
        }
    }
    if let Some(path) = &args.html {
        write(path, &page(&report, &replay))?;
    }
    if !is_piped {
        print!("{}", Tables(&report));
        for path in [&args.json, &args.html].into_iter().flatten() {
            println!("written: {}", path.display());
        }
    }
    Ok(())
}

fn read(args: &BacktestArgs, profit: &Profit) -> Result<(History, Vec<String>), Failure> {
    let options = CsvOptions { currency: profit.currency, zone: args.time_zone.clone() };
    let mut repairs = Vec::new();
    let history = History {
        power: series(&args.power, &options, read_power, &mut repairs)?,
        btc: series(&args.btc, &options, read_btc, &mut repairs)?,
        ai: args.ai.as_deref().map(|path| series(path, &options, read_ai, &mut repairs)).transpose()?,
        demand: args.demand.as_deref().map(|path| series(path, &options, read_demand, &mut repairs)).transpose()?,
    };
    Ok((history, repairs))
}

fn series<T>(
    path: &Path,
    options: &CsvOptions,
    reader: impl Fn(&str, &CsvOptions) -> Result<Mended<T>, CsvError>,
    repairs: &mut Vec<String>,
) -> Result<T, Failure> {
    let misused = |error: &dyn Error| Failure::Misused(format!("{}: {error}", path.display()));
    let text = text(path).map_err(|error| misused(&error))?;
    let mended = reader(&text, options).map_err(|error| misused(&error))?;
    repairs.extend(mended.repairs.iter().map(|repair| format!("{}: {repair}", path.display())));
    Ok(mended.series)
}

/// The text of a file, unpacked if it is packed, whatever its name.
fn text(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_CSV_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.starts_with(&GZIP) {
        let mut unpacked = Vec::new();
        MultiGzDecoder::new(bytes.as_slice()).take(MAX_CSV_BYTES + 1).read_to_end(&mut unpacked)?;
        bytes = unpacked;
    }
    if bytes.len() as u64 > MAX_CSV_BYTES {
        return Err(std::io::Error::other(format!("has more than {MAX_CSV_BYTES} bytes; split it")));
    }
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("is not UTF-8 text; save it as CSV in UTF-8"))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::Failed(format!("can't write {}: {error}", path.display())))
}

fn progress_bar(intervals: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} intervals").expect("the template is a constant");
    ProgressBar::new(intervals as u64).with_style(style)
}
