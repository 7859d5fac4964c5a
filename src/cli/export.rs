//! `hashgate export`: what the store has of a time, as CSV on standard output; from the file or the server itself, whether the proxy runs or not.
//!
//! Limits: it reads page by page, so that a year needs no more memory than an hour.

use std::{io::Write, path::PathBuf};

use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

use super::Failure;
use crate::{
    config::Config,
    store::{Counts, During, MAX_RECORDS, NamedPoint, Reader, RecordQuery, Span, StoreError, Subject, Topic},
};

/// Rows that are read at once.
const PAGE: usize = 5_000;

/// Arguments of `export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The config; its table `store` is read
    #[arg(long, short, value_name = "FILE", default_value = "hashgate.toml")]
    pub config: PathBuf,
    /// What to export
    #[arg(long, value_enum)]
    what: What,
    /// From then on: 2026-01-31, 2026-01-31T12:00:00Z, or 24h for so long ago
    #[arg(long, value_parser = moment)]
    from: Timestamp,
    /// Until before then, in the same forms; now if it is left out
    #[arg(long, value_parser = moment)]
    to: Option<Timestamp>,
    /// Counts of so long a time in each row
    #[arg(long, value_enum, default_value_t = Length::Hour)]
    by: Length,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    Workers,
    Groups,
    Routes,
    Pools,
    Site,
    Decisions,
    Signals,
    Receipts,
    Events,
    Connections,
}

impl What {
    fn table(self) -> Result<Subject, Topic> {
        match self {
            Self::Workers => Ok(Subject::Worker),
            Self::Groups => Ok(Subject::Group),
            Self::Routes => Ok(Subject::Route),
            Self::Pools => Ok(Subject::Pool),
            Self::Site => Ok(Subject::Site),
            Self::Decisions => Err(Topic::Decision),
            Self::Signals => Err(Topic::Signal),
            Self::Receipts => Err(Topic::Receipt),
            Self::Events => Err(Topic::Event),
            Self::Connections => Err(Topic::Connection),
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Length {
    Minute,
    Hour,
    Day,
}

impl From<Length> for Span {
    fn from(length: Length) -> Self {
        match length {
            Length::Minute => Self::Minute,
            Length::Hour => Self::Hour,
            Length::Day => Self::Day,
        }
    }
}

/// Writes what was asked for.
///
/// # Errors
/// [`Failure`] if there is no store, or it can't be read.
pub(super) async fn run(args: &ExportArgs, config: &Config) -> Result<(), Failure> {
    let Some(store) = &config.store else {
        return Err(Failure::Misused("the config has no store: there is nothing to export".to_owned()));
    };
    let during = During { from: args.from, to: args.to.unwrap_or_else(Timestamp::now) };
    if during.from >= during.to {
        return Err(Failure::Misused(format!("--from {} is not before --to {}", during.from, during.to)));
    }
    let reader = Reader::new(store);
    let mut out = csv::Writer::from_writer(std::io::BufWriter::new(std::io::stdout().lock()));
    let written = match args.what.table() {
        Ok(subject) => counts(&reader, subject, args.by.into(), during, &mut out).await,
        Err(topic) => records(&reader, topic, during, &mut out).await,
    };
    match written {
        Ok(()) => Ok(()),
        Err(Unwritten::Store(error)) => Err(Failure::Failed(error.to_string())),
        // A pager that was closed has seen enough.
        Err(Unwritten::Csv(error)) if is_closed(&error) => Ok(()),
        Err(Unwritten::Csv(error)) => Err(Failure::Failed(format!("standard output: {error}"))),
    }
}

enum Unwritten {
    Store(StoreError),
    Csv(csv::Error),
}

impl From<StoreError> for Unwritten {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<csv::Error> for Unwritten {
    fn from(error: csv::Error) -> Self {
        Self::Csv(error)
    }
}

impl From<std::io::Error> for Unwritten {
    fn from(error: std::io::Error) -> Self {
        Self::Csv(error.into())
    }
}

fn is_closed(error: &csv::Error) -> bool {
    matches!(error.kind(), csv::ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::BrokenPipe)
}

async fn counts(
    reader: &Reader,
    subject: Subject,
    span: Span,
    during: During,
    out: &mut csv::Writer<impl Write>,
) -> Result<(), Unwritten> {
    let mut head =
        vec!["time", subject.label(), "hashrate_hs", "found", "difficulty", "stale", "rejected", "forwarded"];
    head.extend(["accepted", "refused", "unanswered", "lost", "connections"]);
    out.write_record(head)?;
    let mut after = None;
    loop {
        let page = reader.all(subject, span, during, after.take(), PAGE).await?;
        for NamedPoint { name, point } in &page {
            let counts = &point.counts;
            let Counts { found, work, stale, rejected, forwarded, accepted, refused, unanswered, lost, connections } =
                counts;
            let mut row = vec![point.at.to_string(), guarded(name), format!("{:.0}", counts.hashrate(span).hs())];
            row.extend([found.to_string(), work.to_string()]);
            let rest = [stale, rejected, forwarded, accepted, refused, unanswered, lost, connections];
            row.extend(rest.map(ToString::to_string));
            out.write_record(row)?;
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some((last.point.at, last.name.clone())),
            _ => break,
        }
    }
    Ok(out.flush()?)
}

async fn records(
    reader: &Reader,
    topic: Topic,
    during: During,
    out: &mut csv::Writer<impl Write>,
) -> Result<(), Unwritten> {
    out.write_record(["time", "subject", "value", "words", "data"])?;
    let mut query = RecordQuery { topics: vec![topic], during: Some(during), limit: MAX_RECORDS, ..Default::default() };
    loop {
        let page = reader.records(query.clone()).await?;
        for stored in &page.records {
            let record = &stored.record;
            let value = record.value.map(|value| value.to_string()).unwrap_or_default();
            let (subject, words) = (guarded(&record.subject), guarded(&record.words));
            out.write_record([&record.at.to_string(), &subject, &value, &words, record.data.as_deref().unwrap_or("")])?;
        }
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    Ok(out.flush()?)
}

/// Names are what miners say: a table calculator must not take one for a formula (OWASP, "CSV Injection").
fn guarded(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if is_formula { format!("'{text}") } else { text.to_owned() }
}

/// A date, a moment, or so long ago.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    if let Ok(date) = text.parse::<Date>() {
        return date.to_zoned(TimeZone::UTC).map(|midnight| midnight.timestamp()).map_err(|error| error.to_string());
    }
    let ago = humantime::parse_duration(text).ok().and_then(|ago| SignedDuration::try_from(ago).ok());
    ago.and_then(|ago| Timestamp::now().checked_sub(ago).ok())
        .ok_or_else(|| "write 2026-01-31, 2026-01-31T12:00:00Z, or 24h for so long ago".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_three_forms() {
        assert_eq!(moment("2026-01-31").unwrap().to_string(), "2026-01-31T00:00:00Z");
        assert_eq!(moment("2026-01-31T12:00:00+01:00").unwrap().to_string(), "2026-01-31T11:00:00Z");
        let ago = Timestamp::now().duration_since(moment("24h").unwrap()).as_secs();
        assert!((86_399..=86_401).contains(&ago), "{ago}");
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn a_name_is_no_formula() {
        assert_eq!(guarded("=cmd()"), "'=cmd()");
        assert_eq!(guarded("farm.1"), "farm.1");
    }
}
