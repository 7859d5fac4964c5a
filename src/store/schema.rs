//! The layout of the store, and how an older one becomes the present one.
//!
//! ```text
//! meta(name, value)                            version; the last batch of the writer; until when minutes and hours are added up
//! subjects(id, kind, name)                     workers, pools, groups, routes, the site
//! series(span, at, subject, counts …)          one row for each span (60, 3600, 86400 s) that a subject did something in
//! rejects(span, at, subject, reason, count)    those that there were
//! records(id, at, topic, subject, value, words, data, key)
//! ```
//! The key of `series` begins with the time, so that a minute of a large farm is written in one place and dropped in one piece. A worker's
//! history is so many look-ups as it has points: 1440 for a day's minutes, some milliseconds.

use super::{
    StoreError,
    sql::{Database, Value, transaction},
};

/// The steps from nothing to the present layout; a store says how many were done. Never changed, only added to.
const STEPS: &[&str] = &[
    "CREATE TABLE subjects (id {identity}, kind TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (kind, name));
     CREATE TABLE series (
         span BIGINT NOT NULL, at BIGINT NOT NULL, subject BIGINT NOT NULL, found BIGINT NOT NULL, work DOUBLE PRECISION NOT NULL,
         stale BIGINT NOT NULL, rejected BIGINT NOT NULL, forwarded BIGINT NOT NULL, accepted BIGINT NOT NULL, refused BIGINT NOT NULL,
         unanswered BIGINT NOT NULL, lost BIGINT NOT NULL, connections BIGINT NOT NULL, PRIMARY KEY (span, at, subject)
     ) {clustered};
     CREATE TABLE rejects (
         span BIGINT NOT NULL, at BIGINT NOT NULL, subject BIGINT NOT NULL, reason TEXT NOT NULL, count BIGINT NOT NULL,
         PRIMARY KEY (span, at, subject, reason)
     ) {clustered};
     CREATE TABLE records (
         id {identity}, at BIGINT NOT NULL, topic TEXT NOT NULL, subject TEXT NOT NULL, value DOUBLE PRECISION, words TEXT NOT NULL,
         data TEXT
     );
     CREATE INDEX records_by_topic ON records (topic, at, id);",
    // What comes again after a restart is known again; what is asked of one group or worker is found.
    "ALTER TABLE records ADD COLUMN key TEXT;
     CREATE UNIQUE INDEX records_by_key ON records (topic, key);
     CREATE INDEX records_by_subject ON records (topic, subject, at, id);",
];

/// The present layout.
pub const VERSION: i64 = STEPS.len() as i64;

/// Brings the store to the present layout.
///
/// # Errors
/// [`StoreError`] if a newer program wrote it, or the database fails; nothing was changed then.
pub fn migrate(database: &mut dyn Database) -> Result<(), StoreError> {
    database.script("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")?;
    let found = version(database)?;
    refuse_newer(found)?;
    let done = usize::try_from(found).unwrap_or_default();
    for (number, step) in STEPS.iter().enumerate().skip(done) {
        let (identity, clustered) = match database.backend() {
            "sqlite" => ("INTEGER PRIMARY KEY", "WITHOUT ROWID"),
            _ => ("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", ""),
        };
        let step = step.replace("{identity}", identity).replace("{clustered}", clustered);
        transaction(database, |database| {
            database.script(&step)?;
            set(database, "version", &(number + 1).to_string())
        })?;
    }
    Ok(())
}

/// The layout that a store has; 0 for none.
pub fn version(database: &mut dyn Database) -> Result<i64, StoreError> {
    Ok(get(database, "version")?.and_then(|version| version.parse().ok()).unwrap_or(0))
}

/// What can't be read is not touched.
pub fn refuse_newer(found: i64) -> Result<(), StoreError> {
    if found <= VERSION {
        return Ok(());
    }
    Err(StoreError::fatal(format!(
        "the store has layout {found}, this program knows up to {VERSION}: run the newer program that wrote it, or name another store in [store]"
    )))
}

/// A value of `meta`.
pub fn get(database: &mut dyn Database, name: &str) -> Result<Option<String>, StoreError> {
    let rows = database.query("SELECT value FROM meta WHERE name = $1", &[name.into()])?;
    Ok(rows.first().and_then(|row| row.first()).and_then(Value::text).map(str::to_owned))
}

/// Sets a value of `meta`.
pub fn set(database: &mut dyn Database, name: &str, value: &str) -> Result<(), StoreError> {
    let sql = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    database.execute(sql, &[name.into(), value.into()]).map(|_| ())
}
