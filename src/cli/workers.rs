//! `hashgate workers`: the miners by name, the sick first, as many as are wanted; and all that is known of one of them.
//!
//! Knows which pages are asked for; what they look like is in `workers/show.rs`. Names are what miners say: none of them reaches the terminal as
//! it came ([`typed`]).
//!
//! Limits: [`PAGE`] workers in one answer of the API; [`MOST`] in all. Workers that come or go between two pages may be missed; none is told twice.

mod show;

use std::{collections::HashSet, ops::RangeInclusive};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Failure,
    admin::{Caller, Reach, typed},
    terminal::{Look, tell},
    words,
};
use crate::api::wire::{WorkerPage, WorkerRow, WorkerSort, WorkersPage};

/// Workers in one answer.
const PAGE: usize = 1_000;

/// Workers in all: as many as the proxy knows by name.
const MOST: RangeInclusive<i64> = 1..=200_000;

/// Arguments of `workers`.
#[derive(Debug, Args)]
pub struct WorkersArgs {
    /// Show all that is known of this one
    #[arg(conflicts_with_all = ["sick", "search", "group", "sort", "reverse", "limit", "csv"])]
    name: Option<String>,
    /// Only those with something wrong: offline, too low a hashrate, many stale shares
    #[arg(long)]
    sick: bool,
    /// Only those whose name, address or firmware has this, in any case
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Only those of this power group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// What comes first; numbers and times begin with the most and the newest, names with A
    #[arg(long, value_enum, value_name = "KEY", default_value_t)]
    sort: WorkerSort,
    /// The other way round
    #[arg(long)]
    reverse: bool,
    /// Show at most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(MOST))]
    limit: u32,
    /// Print JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Asks, and prints the answer.
///
/// # Errors
/// [`Failure`], in a sentence with what to do.
pub(super) async fn run(args: WorkersArgs) -> Result<(), Failure> {
    let caller = args.reach.caller()?;
    if let Some(name) = &args.name {
        let answer = caller.get(&["workers", name], &[]).await?;
        let text = match args.json {
            true => words::json(&answer),
            false => show::one(&typed::<WorkerPage>(answer)?, &words::printable(name), Timestamp::now()),
        };
        return tell(&text).map(|_| ());
    }
    let whole = all(&caller, &args).await?;
    let text = if args.json {
        words::json(&whole)
    } else {
        let page: WorkersPage = typed(whole)?;
        match args.csv {
            true => csv_of(&page.workers)?,
            false => show::table(&page, args.sick, Look::now(), Timestamp::now()),
        }
    };
    tell(&text).map(|_| ())
}

/// The first page, with the workers of all that are wanted.
async fn all(caller: &Caller, args: &WorkersArgs) -> Result<Value, Failure> {
    let limit = args.limit as usize;
    let (mut whole, mut names, mut offset) = (Value::Null, HashSet::new(), 0);
    let mut workers = Vec::new();
    loop {
        let wanted = PAGE.min(limit - workers.len());
        let mut page = caller.get(&["workers"], &asked(args, offset, wanted)).await?;
        let rows = match page["workers"].take() {
            Value::Array(rows) => rows,
            _ => Vec::new(),
        };
        let is_last = rows.len() < wanted;
        offset += rows.len();
        let is_new = |row: &Value| row["name"].as_str().is_some_and(|name| names.insert(name.to_owned()));
        workers.extend(rows.into_iter().filter(is_new));
        if whole.is_null() {
            whole = page;
        }
        if is_last || workers.len() >= limit {
            whole["workers"] = json!(workers);
            return Ok(whole);
        }
    }
}

fn asked(args: &WorkersArgs, offset: usize, limit: usize) -> Vec<(&'static str, String)> {
    let sort = args.sort.to_possible_value().map(|word| word.get_name().to_owned());
    let asked = [
        ("offset", Some(offset.to_string())),
        ("limit", Some(limit.to_string())),
        ("sort", sort),
        ("reverse", args.reverse.then(|| "true".to_owned())),
        ("sick", args.sick.then(|| "true".to_owned())),
        ("text", args.search.clone()),
        ("group", args.group.clone()),
    ];
    asked.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
}

/// For other programs: plain numbers, times as RFC 3339, what is not known empty.
fn csv_of(workers: &[WorkerRow]) -> Result<String, Failure> {
    let mut out = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| Failure::Failed(error.to_string());
    out.write_record([
        "name",
        "group",
        "route",
        "address",
        "firmware",
        "agent",
        "connections",
        "since",
        "is_asleep",
        "sick",
        "difficulty",
        "hashrate_1m_ths",
        "hashrate_10m_ths",
        "hashrate_1h_ths",
        "nameplate_ths",
        "accepted",
        "rejected",
        "stale_ratio",
        "last_share_at",
    ])
    .map_err(failed)?;
    for row in workers {
        let sick: Vec<&str> = row.sick.iter().map(|word| show::sick_word(*word)).collect();
        let number = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        out.write_record([
            row.name.clone(),
            text(&row.group),
            text(&row.route),
            row.address.clone(),
            row.firmware.clone(),
            text(&row.agent),
            row.connections.to_string(),
            row.since.to_string(),
            row.is_asleep.to_string(),
            sick.join(" "),
            number(row.difficulty),
            row.hashrate_1m_ths.to_string(),
            row.hashrate_10m_ths.to_string(),
            row.hashrate_1h_ths.to_string(),
            number(row.nameplate_ths),
            row.accepted.to_string(),
            row.rejected.to_string(),
            number(row.stale_ratio),
            row.last_share_at.map(|at| at.to_string()).unwrap_or_default(),
        ])
        .map_err(failed)?;
    }
    let bytes = out.into_inner().map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
