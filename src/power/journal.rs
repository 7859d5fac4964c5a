//! The power ledger's book on disk: a SQLite file of its own, one writer, every entry on the disk before it counts.
//!
//! Knows how entries are written and read; knows nothing of what they add up to (`ledger.rs`).
//!
//! ```text
//! ledger.db        entries(seq, epoch, at, kind, subject, lease, watts, extra)     only appended
//!                  epochs(epoch, at)                                               one for each start
//! ledger.db.lock   locked while a controller runs; says which process
//! ```
//!
//! | what happens | what follows |
//! |---|---|
//! | the process dies, the power goes | what [`Journal::append`] returned for is there (`journal_mode=WAL`, `synchronous=FULL`) |
//! | a second controller starts | [`JournalError::Locked`]; the lock ends with its process, however that ends |
//! | the file is gone | [`JournalError::Missing`]: nobody knows what AI compute holds; [`Journal::take_over`] is an operator's word |
//! | the file is damaged, or of another version | refused; to be moved away and taken over |
//! | the disk is full | [`Journal::append`] fails, so that nothing is given out |
//!
//! Limit: [`MAX_ENTRIES`]; past it, what later entries made obsolete goes, the oldest first. The lock is of one host: a file on
//! a network's disk does not keep two hosts apart.

use std::{
    fs::{File, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, Row, TransactionBehavior, params, types::Type};
use thiserror::Error;

use super::ledger::{BlockId, Booking, DeviceId, Entry, Epoch, LeaseId};
use crate::profit::Watts;

/// Entries that are kept: 10 000 ASICs that sleep and wake once a day write 20 000, so this is 50 days; some 100 MiB.
pub const MAX_ENTRIES: i64 = 1_000_000;

/// Layout of the file, in SQLite's `user_version`.
const VERSION: i32 = 1;

const SCHEMA: &str = "
    CREATE TABLE epochs (epoch INTEGER PRIMARY KEY, at TEXT NOT NULL) STRICT;
    CREATE TABLE entries (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, epoch INTEGER NOT NULL, at TEXT NOT NULL, kind TEXT NOT NULL,
        subject TEXT NOT NULL, lease INTEGER, watts REAL, extra TEXT
    ) STRICT;
";

/// What keeps a book from being opened or written.
#[derive(Debug, Error)]
pub enum JournalError {
    /// Another controller has it.
    #[error("{}: another controller runs on this ledger ({holder}): one controller per site; stop it first", path.display())]
    Locked {
        /// The ledger.
        path: PathBuf,
        /// What the lock file says.
        holder: String,
    },
    /// There is no such file.
    #[error(
        "{}: there is no power ledger: if it was lost, AI compute may hold power that nobody knows of; take over to begin a new one",
        path.display()
    )]
    Missing {
        /// The ledger.
        path: PathBuf,
    },
    /// There is one.
    #[error("{}: there is a power ledger: start with it, or move it and its -wal file away if it is damaged", path.display())]
    Present {
        /// The ledger.
        path: PathBuf,
    },
    /// It is of another version.
    #[error("{}: the ledger has layout {found}, this program reads {VERSION}", path.display())]
    Version {
        /// The ledger.
        path: PathBuf,
        /// What the file says.
        found: i32,
    },
    /// No higher epoch is left.
    #[error("{}: no epoch is left after {last}: move the ledger away and take over", path.display())]
    Epochs {
        /// The ledger.
        path: PathBuf,
        /// The last one.
        last: u32,
    },
    /// The lock file.
    #[error("{}: the ledger's lock: {source}", path.display())]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database.
    #[error("{}: the ledger: {source}", path.display())]
    Database {
        /// The ledger.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

/// The open book. Who has it is the site's one controller on this host.
#[derive(Debug)]
pub struct Journal {
    database: Connection,
    path: PathBuf,
    epoch: Epoch,
    rows: i64,
    max_rows: i64,
    /// Locked for as long as it is open.
    _lock: File,
}

impl Journal {
    /// Opens a book and begins a new epoch, which is on the disk when this returns. The entries are for
    /// [`Ledger::rebuild`](super::ledger::Ledger::rebuild), in their order.
    ///
    /// # Errors
    ///
    /// If another controller has it, or it is not there or not readable.
    pub fn open(path: &Path, now: Timestamp) -> Result<(Self, Vec<Entry>), JournalError> {
        if !path.exists() {
            return Err(JournalError::Missing { path: path.to_owned() });
        }
        let lock = lock(path)?;
        let at = |source| JournalError::Database { path: path.to_owned(), source };
        let database = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(at)?;
        let found = database.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(at)?;
        if found != VERSION {
            return Err(JournalError::Version { path: path.to_owned(), found });
        }
        let last: u32 =
            database.query_row("SELECT coalesce(max(epoch), 0) FROM epochs", [], |row| row.get(0)).map_err(at)?;
        let next = last.checked_add(1).ok_or_else(|| JournalError::Epochs { path: path.to_owned(), last })?;
        let mut journal = Self::new(database, path, lock, Epoch(next));
        journal.begin(now)?;
        let entries = journal.read().map_err(at)?;
        journal.rows = entries.len() as i64;
        Ok((journal, entries))
    }

    /// Begins a new book where the old one is lost, with an epoch above every one that was seen of the old. What is to be booked first is
    /// [`Ledger::after_loss`](super::ledger::Ledger::after_loss).
    ///
    /// # Errors
    ///
    /// If there is a book, another controller runs, or it cannot be written.
    pub fn take_over(path: &Path, above: Epoch, now: Timestamp) -> Result<Self, JournalError> {
        let lock = lock(path)?;
        if path.exists() {
            return Err(JournalError::Present { path: path.to_owned() });
        }
        let next =
            above.0.checked_add(1).ok_or_else(|| JournalError::Epochs { path: path.to_owned(), last: above.0 })?;
        let at = |source| JournalError::Database { path: path.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut database = connect(path, flags).map_err(at)?;
        let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate).map_err(at)?;
        transaction.execute_batch(SCHEMA).map_err(at)?;
        transaction.pragma_update(None, "user_version", VERSION).map_err(at)?;
        transaction.commit().map_err(at)?;
        let mut journal = Self::new(database, path, lock, Epoch(next));
        journal.begin(now)?;
        Ok(journal)
    }

    fn new(database: Connection, path: &Path, lock: File, epoch: Epoch) -> Self {
        Self { database, path: path.to_owned(), epoch, rows: 0, max_rows: MAX_ENTRIES, _lock: lock }
    }

    /// The epoch that began when this was opened.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn begin(&mut self, now: Timestamp) -> Result<(), JournalError> {
        let insert =
            self.database.execute("INSERT INTO epochs VALUES (?1, ?2)", params![self.epoch.0, now.to_string()]);
        insert.map(|_| ()).map_err(|source| JournalError::Database { path: self.path.clone(), source })
    }

    /// Writes entries, all or none; they are on the disk when this returns.
    ///
    /// # Errors
    ///
    /// If they are not: then nothing of what they allow may be done.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        self.write(entries).map_err(|source| JournalError::Database { path: self.path.clone(), source })
    }

    fn write(&mut self, entries: &[Entry]) -> Result<(), rusqlite::Error> {
        let transaction = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO entries (epoch, at, kind, subject, lease, watts, extra) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for entry in entries {
                let (kind, subject, lease, watts, extra) = columns(&entry.what);
                // SQLite's integers are signed; the bits are what counts.
                let lease = lease.map(|lease| lease.0 as i64);
                insert.execute(params![self.epoch.0, entry.at.to_string(), kind, subject, lease, watts, extra])?;
            }
        }
        let rows = self.rows + entries.len() as i64;
        let is_full = rows > self.max_rows;
        if is_full {
            // The older half, but for what still says how things are.
            transaction.execute(
                "DELETE FROM entries WHERE seq <= (SELECT max(seq) FROM entries) - ?1
                 AND seq NOT IN (SELECT max(seq) FROM entries WHERE lease IS NULL GROUP BY kind, subject)
                 AND (lease IS NULL OR (subject, lease) IN
                      (SELECT subject, lease FROM entries WHERE kind = 'returned'))",
                [self.max_rows / 2],
            )?;
        }
        let kept = |row: &Row<'_>| row.get(0);
        let rows = if is_full { transaction.query_row("SELECT count(*) FROM entries", [], kept)? } else { rows };
        transaction.commit()?;
        self.rows = rows;
        Ok(())
    }

    fn read(&self) -> Result<Vec<Entry>, rusqlite::Error> {
        let query = "SELECT at, kind, subject, lease, watts, extra FROM entries ORDER BY seq";
        self.database.prepare(query)?.query_map([], entry)?.collect()
    }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, rusqlite::Error> {
    let database = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    Ok(database)
}

/// Takes the lock of a ledger, and says in its file who has it.
fn lock(path: &Path) -> Result<File, JournalError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let failed = |source| JournalError::Lock { path: lock_path.clone(), source };
    let mut file =
        File::options().read(true).write(true).create(true).truncate(false).open(&lock_path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Who it is helps, and is not needed.
            let _ = (&mut file).take(64).read_to_string(&mut holder);
            return Err(JournalError::Locked { path: path.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(failed(source)),
    }
    file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
    write!(file, "process {}", std::process::id()).map_err(failed)?;
    Ok(file)
}

type Columns<'a> = (&'static str, &'a str, Option<LeaseId>, Option<f64>, Option<String>);

fn columns(what: &Booking) -> Columns<'_> {
    match what {
        Booking::Hold { device, watts, highest } => {
            ("hold", device.as_str(), None, Some(watts.get()), Some(highest.get().to_string()))
        }
        Booking::Freed { device, watts } => ("freed", device.as_str(), None, Some(watts.get()), None),
        Booking::Lease { block, lease, watts, expires } => {
            ("lease", block.as_str(), Some(*lease), Some(watts.get()), Some(expires.to_string()))
        }
        Booking::Revoke { block, lease } => ("revoke", block.as_str(), Some(*lease), None, None),
        Booking::Returned { block, lease, watts } => {
            ("returned", block.as_str(), Some(*lease), Some(watts.get()), None)
        }
    }
}

fn entry(row: &Row<'_>) -> Result<Entry, rusqlite::Error> {
    let wrong = |column: usize, kind| {
        rusqlite::Error::FromSqlConversionFailure(column, kind, "not what the ledger writes".into())
    };
    let at = row.get_ref(0)?.as_str()?.parse().map_err(|_| wrong(0, Type::Text))?;
    let subject = row.get_ref(2)?.as_str()?;
    let lease = || Ok::<_, rusqlite::Error>(LeaseId(row.get::<_, i64>(3)? as u64));
    let watts = || Watts::new(row.get(4)?).ok_or_else(|| wrong(4, Type::Real));
    let extra = || row.get_ref(5)?.as_str().map_err(|_| wrong(5, Type::Text));
    let (device, block) = (|| DeviceId::from(subject), || BlockId::from(subject));
    let what = match row.get_ref(1)?.as_str()? {
        "hold" => {
            let highest = extra()?.parse().ok().and_then(Watts::new).ok_or_else(|| wrong(5, Type::Text))?;
            Booking::Hold { device: device(), watts: watts()?, highest }
        }
        "freed" => Booking::Freed { device: device(), watts: watts()? },
        "lease" => {
            let expires = extra()?.parse().map_err(|_| wrong(5, Type::Text))?;
            Booking::Lease { block: block(), lease: lease()?, watts: watts()?, expires }
        }
        "revoke" => Booking::Revoke { block: block(), lease: lease()? },
        "returned" => Booking::Returned { block: block(), lease: lease()?, watts: watts()? },
        _ => return Err(wrong(1, Type::Text)),
    };
    Ok(Entry { at, what })
}

#[cfg(test)]
mod tests;
