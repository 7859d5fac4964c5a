//! `file`: reads a file when it was rewritten. Its time is the time of the value, unless the document says itself.
//!
//! Looked at, not watched: what tells of changes differs by file system, and a network's tells of none.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    path::Path,
    time::SystemTime,
};

use jiff::Timestamp;
use tokio::{task::spawn_blocking, time::sleep};

use super::{Feed, MAX_DOCUMENT, dated, text};
use crate::{
    config::FileSource,
    profit::{Unit, extract, signal::Refusal},
};

/// What tells one writing of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
}

/// Looks until it is dropped.
pub async fn run(source: FileSource, unit: Unit, feed: Feed) {
    let mut last: Option<Result<Stamp, io::ErrorKind>> = None;
    loop {
        let path = source.path.clone();
        let read = spawn_blocking(move || look(&path, last)).await;
        let Ok(read) = read else { return };
        if let Some((seen, document)) = read {
            last = Some(seen);
            let said = document.and_then(|(document, at)| {
                extract(text(&document)?, &source.picker, unit).map(|observations| dated(observations, at))
            });
            // The book keeps a refusal for people to see, and counts it.
            let _ = feed.say(said).await;
        }
        sleep(source.poll).await;
    }
}

/// A document and when it was written, or why there is none.
type Document = Result<(Vec<u8>, Option<Timestamp>), Refusal>;

/// The document, if it is not the one that was seen last; a reason why there is none is told once, too.
fn look(path: &Path, last: Option<Result<Stamp, io::ErrorKind>>) -> Option<(Result<Stamp, io::ErrorKind>, Document)> {
    let seen = std::fs::metadata(path).and_then(|metadata| stamp(&metadata)).map_err(|error| error.kind());
    if last == Some(seen) {
        return None;
    }
    let document = read(path).map_err(|error| match error {
        Some(error) => Refusal::Unreachable(format!("{}: {error}", path.display())),
        None => Refusal::TooLarge(MAX_DOCUMENT),
    });
    let at = seen.ok().and_then(|stamp| Timestamp::try_from(stamp.modified).ok());
    Some((seen, document.map(|document| (document, at))))
}

fn stamp(metadata: &Metadata) -> io::Result<Stamp> {
    Ok(Stamp { modified: metadata.modified()?, bytes: metadata.len() })
}

/// All of it; `None` for too much of it.
fn read(path: &Path) -> Result<Vec<u8>, Option<io::Error>> {
    let mut document = Vec::new();
    let file = File::open(path).map_err(Some)?;
    // Devices without an end stop here.
    file.take(MAX_DOCUMENT as u64 + 1).read_to_end(&mut document).map_err(Some)?;
    if document.len() > MAX_DOCUMENT { Err(None) } else { Ok(document) }
}
