//! The little that both databases have in common: statements with numbered parameters, and four kinds of values.
//!
//! Statements are written once, in what SQLite and PostgreSQL both understand: `$1`, `ON CONFLICT`, `CAST`. Parameters must appear in their
//! order, because SQLite takes `$1` for a name.

use jiff::Timestamp;

use crate::store::StoreError;

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// None.
    Null,
    /// A whole number.
    Int(i64),
    /// A number.
    Real(f64),
    /// A text.
    Text(String),
}

impl Value {
    /// The whole number; 0 for anything else.
    pub fn int(&self) -> i64 {
        match self {
            Self::Int(value) => *value,
            Self::Real(value) => *value as i64,
            Self::Null | Self::Text(_) => 0,
        }
    }

    /// The number, if it is one.
    pub fn real(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Real(value) => Some(*value),
            Self::Null | Self::Text(_) => None,
        }
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        // PostgreSQL stores no text with it.
        Self::Text(value.replace('\0', "\u{fffd}"))
    }
}

impl From<Option<f64>> for Value {
    fn from(value: Option<f64>) -> Self {
        value.map_or(Self::Null, Self::Real)
    }
}

impl From<Option<&str>> for Value {
    fn from(value: Option<&str>) -> Self {
        value.map_or(Self::Null, Self::from)
    }
}

/// A connection to a database.
pub trait Database: Send {
    /// `sqlite` or `postgres`.
    fn backend(&self) -> &'static str;

    /// When the certificate ends that its server has shown; `None` where there was none.
    fn certificate_ends(&self) -> Option<Timestamp> {
        None
    }

    /// Does a statement; how many rows it changed.
    ///
    /// # Errors
    /// The database's.
    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError>;

    /// The rows that a statement yields. Every caller bounds them.
    ///
    /// # Errors
    /// The database's.
    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, StoreError>;

    /// Does several statements without values.
    ///
    /// # Errors
    /// The database's.
    fn script(&mut self, sql: &str) -> Result<(), StoreError>;

    /// Bytes in use.
    ///
    /// # Errors
    /// The database's.
    fn bytes(&mut self) -> Result<u64, StoreError>;

    /// Whether what is deleted makes room for what comes, as far as [`Database::bytes`] tells.
    fn shrinks(&self) -> bool;
}

/// Does all of it, or nothing.
///
/// # Errors
/// What `work` returns; the database's.
pub fn transaction<T>(
    database: &mut dyn Database,
    work: impl FnOnce(&mut dyn Database) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    database.script(if database.backend() == "sqlite" { "BEGIN IMMEDIATE" } else { "BEGIN" })?;
    let done = work(database).and_then(|done| database.script("COMMIT").map(|()| done));
    if done.is_err() {
        // The connection may be what is broken.
        let _ = database.script("ROLLBACK");
    }
    done
}

/// `($1, $2), ($3, $4)`: so many rows of so many values.
pub fn places(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let names: Vec<String> = (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", names.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}
