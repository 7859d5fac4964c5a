//! The power ledger's book on disk: a SQLite file of its own, one writer, every entry on the disk before it counts.
//!
//! Knows how things are written and read; knows nothing of what entries add up to (`ledger.rs`), nor of what a group's record means.
//!
//! ```text
//! ledger.db        entries(seq, epoch, at, kind, subject, lease, watts, extra)     only appended
//!                  epochs(epoch, at)                                               one for each start
//!                  records(group, record)       what a group must know after a crash, JSON; replaced
//!                  receipts(seq, receipt)       of drains and wakes, JSON; the oldest go
//!                  devices(seq, group, name, address, worker)      found by their connections; kept while they sleep without one
//!                  sightings(name, at, user)    when they were last seen, to the hour
//!                  orders(group, control)       operators' words that hold, JSON
//!                  settings(name, value)
//! ledger.db.lock   locked while a controller runs, and stays behind; says which process
//! ```
//!
//! | what happens | what follows |
//! |---|---|
//! | the process dies, the power goes | what [`Journal::write`] returned for is there, all or none (`journal_mode=WAL`, `synchronous=FULL`) |
//! | a second controller starts | [`JournalError::Locked`]; the lock ends with its process, however that ends |
//! | neither the file nor its lock file is there | a first start: [`Journal::start`] begins a book |
//! | the file is gone, its lock file is there | [`JournalError::Missing`]: nobody knows what AI compute holds; [`Journal::take_over`] is an operator's word |
//! | the file is damaged, or of another version | refused; to be moved away and taken over |
//! | the disk is full | [`Journal::write`] fails, so that nothing is given out |
//!
//! Limits: [`MAX_ENTRIES`]; past it, what later entries made obsolete goes, the oldest first. [`KEPT_RECEIPTS`]; records and orders are as
//! many as groups that ever were, devices as many as the caller lets in. The lock is of one host: a file on a network's disk does not
//! keep two hosts apart.

mod rows;

use std::{
    collections::HashMap,
    fs::{File, TryLockError},
    io::{self, Read, Seek, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use rusqlite::{Connection, OpenFlags, Row, Transaction, TransactionBehavior, params, types::Type};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use self::rows::{columns, entry};
use super::{
    control::Control,
    group::Record,
    ledger::{Entry, Epoch},
    receipt::Receipt,
    site::Write as Writing,
};
use crate::lock::Locked;

/// Entries that are kept: 10 000 ASICs that sleep and wake once a day write 20 000, so this is 50 days; some 100 MiB.
pub const MAX_ENTRIES: i64 = 1_000_000;

/// Receipts that are kept: ten groups that sleep and wake once a day write 20, so this is more than a year.
pub const KEPT_RECEIPTS: i64 = 10_000;

/// Layout of the file, in SQLite's `user_version`. (1 had entries alone and was in no release, so nothing reads it.)
const VERSION: i32 = 2;

/// Beside the layout, and made where it is not there: who does not know it does without.
const SIGHTINGS: &str =
    "CREATE TABLE IF NOT EXISTS sightings (name TEXT PRIMARY KEY, at TEXT NOT NULL, user TEXT) STRICT;";

const SCHEMA: &str = "
    CREATE TABLE epochs (epoch INTEGER PRIMARY KEY, at TEXT NOT NULL) STRICT;
    CREATE TABLE entries (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, epoch INTEGER NOT NULL, at TEXT NOT NULL, kind TEXT NOT NULL,
        subject TEXT NOT NULL, lease INTEGER, watts REAL, extra TEXT
    ) STRICT;
    CREATE TABLE records (\"group\" TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
    CREATE TABLE receipts (seq INTEGER PRIMARY KEY AUTOINCREMENT, receipt TEXT NOT NULL) STRICT;
    CREATE TABLE devices (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, \"group\" TEXT NOT NULL, name TEXT NOT NULL UNIQUE, address TEXT, worker TEXT
    ) STRICT;
    CREATE TABLE orders (\"group\" TEXT PRIMARY KEY, control TEXT NOT NULL) STRICT;
    CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
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
        "{}: the power ledger is lost (its lock file is there, so there was one): AI compute may hold power, and machines may sleep, that \
         nobody knows of; put the file back, or begin a new one with `hashgate take-over`",
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

/// Everything that a book says.
#[derive(Debug, Default)]
pub struct Book {
    /// For [`Ledger::rebuild`](super::ledger::Ledger::rebuild), in their order.
    pub entries: Vec<Entry>,
    /// By the name of the group.
    pub records: HashMap<String, Record>,
    /// In the order in which they were found.
    pub devices: Vec<Found>,
    /// Of those, when they were seen last.
    pub sightings: Vec<Sighting>,
    /// By the name of the group.
    pub orders: HashMap<String, Control>,
    /// By name.
    pub settings: HashMap<String, String>,
}

/// A device that was found by its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The name of its group.
    pub group: Arc<str>,
    /// Its own on the site.
    pub name: Arc<str>,
    /// Where it was seen last.
    pub address: Option<IpAddr>,
    /// The user name that it mines with.
    pub worker: Option<Arc<str>>,
}

/// When a device was seen last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Its name.
    pub name: Arc<str>,
    /// Then.
    pub at: Timestamp,
    /// The user name that it mined with.
    pub user: Option<Arc<str>>,
}

/// The open book. Who has it is the site's one controller on this host.
#[derive(Debug)]
pub struct Journal {
    database: Connection,
    path: PathBuf,
    epoch: Epoch,
    rows: i64,
    max_rows: i64,
    /// For as long as it is open.
    _lock: Locked,
}

impl Journal {
    /// Opens the book, or begins one if there was never any.
    ///
    /// # Errors
    ///
    /// As [`Journal::open`]; [`JournalError::Missing`] where a lock file says that there was a book.
    pub fn start(path: &Path, now: Timestamp) -> Result<(Self, Book), JournalError> {
        if Self::was_begun(path) {
            return Self::open(path, now);
        }
        Ok((Self::take_over(path, Epoch(0), now)?, Book::default()))
    }

    /// Whether there is a book, or was one.
    pub fn was_begun(path: &Path) -> bool {
        path.exists() || lock_path(path).exists()
    }

    /// What a book says, whoever has it: nothing is locked, begun or written. `None` if there is none.
    ///
    /// # Errors
    ///
    /// If it is not readable.
    pub fn look(path: &Path) -> Result<Option<Book>, JournalError> {
        if !path.exists() {
            return Ok(None);
        }
        let at = |source| JournalError::Database { path: path.to_owned(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(path, flags).map_err(at)?;
        let found = database.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(at)?;
        if found != VERSION {
            return Err(JournalError::Version { path: path.to_owned(), found });
        }
        read(&database).map(Some).map_err(at)
    }

    /// Opens a book and begins a new epoch, which is on the disk when this returns.
    ///
    /// # Errors
    ///
    /// If another controller has it, or it is not there or not readable.
    pub fn open(path: &Path, now: Timestamp) -> Result<(Self, Book), JournalError> {
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
        database.execute_batch(SIGHTINGS).map_err(at)?;
        let mut journal = Self::new(database, path, lock, Epoch(next));
        journal.begin(now)?;
        let book = read(&journal.database).map_err(at)?;
        journal.rows = book.entries.len() as i64;
        Ok((journal, book))
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
        transaction.execute_batch(SIGHTINGS).map_err(at)?;
        transaction.pragma_update(None, "user_version", VERSION).map_err(at)?;
        transaction.commit().map_err(at)?;
        let mut journal = Self::new(database, path, lock, Epoch(next));
        journal.begin(now)?;
        Ok(journal)
    }

    fn new(database: Connection, path: &Path, lock: Locked, epoch: Epoch) -> Self {
        Self { database, path: path.to_owned(), epoch, rows: 0, max_rows: MAX_ENTRIES, _lock: lock }
    }

    /// Ends its epoch and begins the next one, as a start does, without giving the lock away; what the book says.
    ///
    /// # Errors
    ///
    /// If it can't be written or read: then the epoch is the one before.
    pub fn next_epoch(&mut self, now: Timestamp) -> Result<Book, JournalError> {
        let last = self.epoch;
        let next =
            last.0.checked_add(1).ok_or_else(|| JournalError::Epochs { path: self.path.clone(), last: last.0 })?;
        let book = self.read()?;
        self.epoch = Epoch(next);
        if let Err(error) = self.begin(now) {
            self.epoch = last;
            return Err(error);
        }
        self.rows = book.entries.len() as i64;
        Ok(book)
    }

    /// What the book says.
    ///
    /// # Errors
    ///
    /// If it can't be read.
    pub fn read(&self) -> Result<Book, JournalError> {
        read(&self.database).map_err(|source| JournalError::Database { path: self.path.clone(), source })
    }

    /// The epoch that began when this was opened, or [`Journal::next_epoch`] was asked for.
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
        self.transact(|transaction, epoch| insert_entries(transaction, epoch, entries), entries.len())
    }

    /// Writes what a site wants written, all or none; it is on the disk when this returns. `groups` are the names by their indexes; a
    /// record of a group that has none is not written.
    ///
    /// # Errors
    ///
    /// If it is not: then nothing of what it allows may be done.
    pub fn write(&mut self, writes: &[Writing], groups: &[Arc<str>]) -> Result<(), JournalError> {
        let entries = writes.iter().filter_map(|write| match write {
            Writing::Entry(entry) => Some(entry),
            Writing::Record(..) | Writing::Receipt(_) => None,
        });
        let count = entries.clone().count();
        let all = |transaction: &Transaction<'_>, epoch| {
            insert_entries(transaction, epoch, entries)?;
            for write in writes {
                match write {
                    Writing::Entry(_) => {}
                    Writing::Record(group, record) => {
                        let Some(group) = groups.get(*group) else { continue };
                        let mut insert =
                            transaction.prepare_cached("INSERT OR REPLACE INTO records VALUES (?1, ?2)")?;
                        insert.execute(params![&**group, json(record)?])?;
                    }
                    Writing::Receipt(receipt) => {
                        transaction.execute("INSERT INTO receipts (receipt) VALUES (?1)", [json(receipt)?])?;
                        transaction.execute(
                            "DELETE FROM receipts WHERE seq <= (SELECT max(seq) FROM receipts) - ?1",
                            [KEPT_RECEIPTS],
                        )?;
                    }
                }
            }
            Ok(())
        };
        self.transact(all, count)
    }

    /// Writes records that are other groups' now, and forgets what is kept of groups that are `gone`.
    ///
    /// # Errors
    ///
    /// If it can't.
    pub fn adopt(&mut self, records: &[(&str, &Record)], gone: &[String]) -> Result<(), JournalError> {
        let all = |transaction: &Transaction<'_>, _| {
            for name in gone {
                transaction.execute("DELETE FROM records WHERE \"group\" = ?1", [name])?;
                transaction.execute("DELETE FROM orders WHERE \"group\" = ?1", [name])?;
            }
            for (name, record) in records {
                transaction.execute("INSERT OR REPLACE INTO records VALUES (?1, ?2)", params![name, json(record)?])?;
            }
            Ok(())
        };
        self.transact(all, 0)
    }

    /// Keeps devices, or where those that it has are now.
    ///
    /// # Errors
    ///
    /// If it can't: then none of them may be commanded.
    pub fn keep(&mut self, devices: &[Found]) -> Result<(), JournalError> {
        let all = |transaction: &Transaction<'_>, _| {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO devices (\"group\", name, address, worker) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (name) DO UPDATE SET \"group\" = ?1, address = ?3, worker = ?4",
            )?;
            for device in devices {
                let address = device.address.map(|address| address.to_string());
                insert.execute(params![&*device.group, &*device.name, address, device.worker.as_deref()])?;
            }
            Ok(())
        };
        self.transact(all, 0)
    }

    /// Keeps when devices were seen last. Of 100 000 that takes half a second, so it is written seldom, and together.
    ///
    /// # Errors
    ///
    /// If it can't.
    pub fn sight(&mut self, sightings: &[Sighting]) -> Result<(), JournalError> {
        let all = |transaction: &Transaction<'_>, _| {
            let mut insert = transaction.prepare_cached("INSERT OR REPLACE INTO sightings VALUES (?1, ?2, ?3)")?;
            for Sighting { name, at, user } in sightings {
                insert.execute(params![&**name, at.to_string(), user.as_deref()])?;
            }
            Ok(())
        };
        self.transact(all, 0)
    }

    /// Forgets devices, with what the ledger's book must say of them then.
    ///
    /// # Errors
    ///
    /// If it can't: then they are known again after a start.
    pub fn forget<'n>(
        &mut self,
        names: impl IntoIterator<Item = &'n str>,
        entries: &[Entry],
    ) -> Result<(), JournalError> {
        let all = |transaction: &Transaction<'_>, epoch| {
            insert_entries(transaction, epoch, entries)?;
            for name in names {
                transaction.prepare_cached("DELETE FROM devices WHERE name = ?1")?.execute([name])?;
                transaction.prepare_cached("DELETE FROM sightings WHERE name = ?1")?.execute([name])?;
            }
            Ok(())
        };
        self.transact(all, entries.len())
    }

    /// Strikes a device out of what is kept of a group, with what the ledger's book must say of it then; `record` is without it.
    ///
    /// # Errors
    ///
    /// If it can't: then it is known as before.
    pub fn strike_out(
        &mut self,
        device: &str,
        group: &str,
        record: &Record,
        entries: &[Entry],
    ) -> Result<(), JournalError> {
        let all = |transaction: &Transaction<'_>, epoch| {
            insert_entries(transaction, epoch, entries)?;
            transaction.execute("DELETE FROM devices WHERE name = ?1", [device])?;
            transaction.execute("DELETE FROM sightings WHERE name = ?1", [device])?;
            if record.devices.is_empty() {
                transaction.execute("DELETE FROM records WHERE \"group\" = ?1", [group])?;
            } else {
                transaction.execute("INSERT OR REPLACE INTO records VALUES (?1, ?2)", params![group, json(record)?])?;
            }
            Ok(())
        };
        self.transact(all, entries.len())
    }

    /// Keeps an operator's word on a group; `None` ends it.
    ///
    /// # Errors
    ///
    /// If it can't: then it does not hold.
    pub fn order(&mut self, group: &str, control: Option<&Control>) -> Result<(), JournalError> {
        let all = |transaction: &Transaction<'_>, _| {
            match control {
                Some(control) => {
                    transaction.execute("INSERT OR REPLACE INTO orders VALUES (?1, ?2)", params![group, json(control)?])
                }
                None => transaction.execute("DELETE FROM orders WHERE \"group\" = ?1", [group]),
            }?;
            Ok(())
        };
        self.transact(all, 0)
    }

    /// Keeps settings; an empty value ends one.
    ///
    /// # Errors
    ///
    /// If it can't.
    pub fn set(&mut self, settings: &[(&str, &str)]) -> Result<(), JournalError> {
        let all = |transaction: &Transaction<'_>, _| {
            for (name, value) in settings {
                match *value {
                    "" => transaction.execute("DELETE FROM settings WHERE name = ?1", [name])?,
                    value => transaction.execute("INSERT OR REPLACE INTO settings VALUES (?1, ?2)", [*name, value])?,
                };
            }
            Ok(())
        };
        self.transact(all, 0)
    }

    /// The last receipts, the newest first.
    ///
    /// # Errors
    ///
    /// If they can't be read.
    pub fn receipts(&self, limit: usize) -> Result<Vec<Receipt>, JournalError> {
        let query = || -> Result<Vec<Receipt>, rusqlite::Error> {
            let mut statement =
                self.database.prepare_cached("SELECT receipt FROM receipts ORDER BY seq DESC LIMIT ?1")?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            statement.query_map([limit], |row| from_json(row, 0))?.collect()
        };
        query().map_err(|source| JournalError::Database { path: self.path.clone(), source })
    }

    /// All of it, or nothing; `entries` is how many go into the ledger's book.
    fn transact(
        &mut self,
        all: impl FnOnce(&Transaction<'_>, Epoch) -> Result<(), rusqlite::Error>,
        entries: usize,
    ) -> Result<(), JournalError> {
        self.commit(all, entries).map_err(|source| JournalError::Database { path: self.path.clone(), source })
    }

    fn commit(
        &mut self,
        all: impl FnOnce(&Transaction<'_>, Epoch) -> Result<(), rusqlite::Error>,
        entries: usize,
    ) -> Result<(), rusqlite::Error> {
        let transaction = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        all(&transaction, self.epoch)?;
        let rows = self.rows + entries as i64;
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
}

fn read(database: &Connection) -> Result<Book, rusqlite::Error> {
    let named = |row: &Row<'_>| row.get::<_, String>(0);
    let query = "SELECT at, kind, subject, lease, watts, extra FROM entries ORDER BY seq";
    let entries = database.prepare(query)?.query_map([], entry)?.collect::<Result<_, _>>()?;
    let mut records = database.prepare("SELECT \"group\", record FROM records")?;
    let records = records.query_map([], |row| Ok((named(row)?, from_json(row, 1)?)))?.collect::<Result<_, _>>()?;
    let mut devices = database.prepare("SELECT \"group\", name, address, worker FROM devices ORDER BY seq")?;
    let devices = devices.query_map([], found)?.collect::<Result<_, _>>()?;
    // Who only looks may find a book of a version that knew none.
    let sightings = match database.table_exists(None, "sightings")? {
        true => {
            let mut sightings = database.prepare("SELECT name, at, user FROM sightings")?;
            sightings.query_map([], sighting)?.collect::<Result<_, _>>()?
        }
        false => Vec::new(),
    };
    let mut orders = database.prepare("SELECT \"group\", control FROM orders")?;
    let orders = orders.query_map([], |row| Ok((named(row)?, from_json(row, 1)?)))?.collect::<Result<_, _>>()?;
    let mut settings = database.prepare("SELECT name, value FROM settings")?;
    let settings = settings.query_map([], |row| Ok((named(row)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    Ok(Book { entries, records, devices, sightings, orders, settings })
}

fn insert_entries<'e>(
    transaction: &Transaction<'_>,
    epoch: Epoch,
    entries: impl IntoIterator<Item = &'e Entry>,
) -> Result<(), rusqlite::Error> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO entries (epoch, at, kind, subject, lease, watts, extra) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    for entry in entries {
        let (kind, subject, lease, watts, extra) = columns(&entry.what);
        // SQLite's integers are signed; the bits are what counts.
        let lease = lease.map(|lease| lease.0 as i64);
        insert.execute(params![epoch.0, entry.at.to_string(), kind, subject, lease, watts, extra])?;
    }
    Ok(())
}

fn json(value: &impl Serialize) -> Result<String, rusqlite::Error> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T, rusqlite::Error> {
    serde_json::from_str(row.get_ref(column)?.as_str()?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into()))
}

fn found(row: &Row<'_>) -> Result<Found, rusqlite::Error> {
    let text = |column| row.get::<_, Option<String>>(column);
    let group = row.get::<_, String>(0)?.into();
    let name = row.get::<_, String>(1)?.into();
    // An address that can't be read is one that is not known.
    let address = text(2)?.and_then(|address| address.parse().ok());
    Ok(Found { group, name, address, worker: text(3)?.map(Arc::from) })
}

fn sighting(row: &Row<'_>) -> Result<Sighting, rusqlite::Error> {
    // A time that can't be read is long ago.
    let at = row.get_ref(1)?.as_str()?.parse().unwrap_or(Timestamp::MIN);
    Ok(Sighting { name: row.get::<_, String>(0)?.into(), at, user: row.get::<_, Option<String>>(2)?.map(Arc::from) })
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, rusqlite::Error> {
    let database = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    Ok(database)
}

/// Where a ledger's lock is.
fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Takes the lock of a ledger, and says in its file who has it.
fn lock(path: &Path) -> Result<Locked, JournalError> {
    let lock_path = lock_path(path);
    let failed = |source| JournalError::Lock { path: lock_path.clone(), source };
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&lock_path).map_err(failed)?;
    let mut locked = Locked::of(file).map_err(|(mut file, error)| match error {
        TryLockError::WouldBlock => {
            let mut holder = String::new();
            // Who it is helps, and is not needed.
            let _ = (&mut file).take(64).read_to_string(&mut holder);
            JournalError::Locked { path: path.to_owned(), holder }
        }
        TryLockError::Error(source) => failed(source),
    })?;
    let file = locked.file();
    file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
    write!(file, "process {}", std::process::id()).map_err(failed)?;
    Ok(locked)
}

#[cfg(test)]
mod tests;
