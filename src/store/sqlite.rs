//! The embedded store: a SQLite file in WAL mode, one writer and a few readers that do not wait for each other.
//!
//! `synchronous=FULL`: what was committed outlives the power as well as the process; a batch a second can afford it.

use std::{fs::File, path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags, ToSql, types::ToSqlOutput, types::ValueRef};

use super::{
    StoreError,
    sql::{Database, Value},
};
use crate::lock::Locked;

/// How long another process's write is waited for; `hashgate export` only reads.
const BUSY: Duration = Duration::from_secs(5);

/// Statements that stay prepared: all that there are.
const PREPARED: usize = 64;

/// An open file.
#[derive(Debug)]
pub struct Sqlite {
    database: Connection,
    /// For as long as the writer has it.
    _lock: Option<Locked>,
}

impl Sqlite {
    /// Opens the file to write, or begins it. One process may.
    ///
    /// # Errors
    /// [`StoreError`] if another process has it, or it can't be had.
    pub fn writer(path: &Path) -> Result<Self, StoreError> {
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let at = |error: &dyn std::fmt::Display| StoreError::new(format!("{}: {error}", path.display()));
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_path).map_err(|e| at(&e))?;
        let lock = Locked::of(lock)
            .map_err(|_| at(&"another proxy writes to this store: give each one of its own ([store] path)"))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(path, flags).map_err(|e| at(&e))?;
        let set = || {
            database.pragma_update(None, "journal_mode", "WAL")?;
            database.pragma_update(None, "synchronous", "FULL")?;
            // 64 MiB: the pages of an hour's roll-up of a large farm.
            database.pragma_update(None, "cache_size", -65_536)?;
            database.pragma_update(None, "wal_autocheckpoint", 4_000)?;
            // What a large batch has made of it is given back.
            database.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)
        };
        set().map_err(|e: rusqlite::Error| at(&e))?;
        Ok(Self::new(database, Some(lock)))
    }

    /// Opens the file to read, also while another process writes.
    ///
    /// # Errors
    /// [`StoreError`] if it is not there, or not readable.
    pub fn reader(path: &Path) -> Result<Self, StoreError> {
        let at = |error: rusqlite::Error| StoreError::new(format!("{}: {error}", path.display()));
        // Readers of a WAL write to its index; `query_only` keeps them from the rest.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(path, flags).map_err(at)?;
        database.pragma_update(None, "query_only", true).map_err(at)?;
        Ok(Self::new(database, None))
    }

    fn new(database: Connection, lock: Option<Locked>) -> Self {
        // Neither fails on an open connection.
        let _ = database.busy_timeout(BUSY);
        database.set_prepared_statement_cache_capacity(PREPARED);
        Self { database, _lock: lock }
    }

    /// To end what it does from another thread.
    pub fn interrupter(&self) -> InterruptHandle {
        self.database.get_interrupt_handle()
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Real(value) => ValueRef::Real(*value),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

fn failed(error: rusqlite::Error) -> StoreError {
    let is_interrupted = matches!(error.sqlite_error_code(), Some(ErrorCode::OperationInterrupted));
    if is_interrupted { StoreError::too_slow() } else { StoreError::new(error.to_string()) }
}

impl Database for Sqlite {
    fn backend(&self) -> &'static str {
        "sqlite"
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        let mut statement = self.database.prepare_cached(sql).map_err(failed)?;
        let changed = statement.execute(rusqlite::params_from_iter(values)).map_err(failed)?;
        Ok(changed as u64)
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
        let mut statement = self.database.prepare_cached(sql).map_err(failed)?;
        let columns = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(values)).map_err(failed)?;
        let mut all = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let value = |column| {
                Ok(match row.get_ref(column).map_err(failed)? {
                    ValueRef::Null | ValueRef::Blob(_) => Value::Null,
                    ValueRef::Integer(value) => Value::Int(value),
                    ValueRef::Real(value) => Value::Real(value),
                    ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                })
            };
            all.push((0..columns).map(value).collect::<Result<Vec<_>, StoreError>>()?);
        }
        Ok(all)
    }

    fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.database.execute_batch(sql).map_err(failed)
    }

    fn bytes(&mut self) -> Result<u64, StoreError> {
        let pragma = |name| self.database.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(failed);
        let used = pragma("page_count")? - pragma("freelist_count")?;
        Ok(u64::try_from(used * pragma("page_size")?).unwrap_or_default())
    }

    fn shrinks(&self) -> bool {
        true
    }
}
