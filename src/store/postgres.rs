//! The store in a PostgreSQL server, as `[store] url` says: over TLS if the server offers it, and only then if the address says `sslmode=require`.
//!
//! A connection is one thread's. One that broke is dropped, and another is made for the next try (`task.rs`).

use std::{collections::HashMap, time::Duration};

use ::postgres::{
    Client, Config, Statement,
    types::{IsNull, ToSql, Type, private::BytesMut, to_sql_checked},
};
use jiff::Timestamp;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    StoreError,
    sql::{Database, Value},
};
use crate::{
    config::Secret,
    tls::{self, Shown, Trust},
};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// A key of this database's advisory locks: one proxy writes to a store. ("hashgate" in ASCII.)
const WRITER_LOCK: i64 = 0x6861_7368_6761_7465;

/// An open connection.
pub struct Postgres {
    client: Client,
    prepared: HashMap<String, Statement>,
    shown: Shown,
}

impl Postgres {
    /// Connects to write. One process may.
    ///
    /// # Errors
    /// [`StoreError`] if another process has it, or the server can't be reached.
    pub fn writer(url: &Secret) -> Result<Self, StoreError> {
        let mut database = Self::connect(url)?;
        let locked =
            database.query("SELECT CASE WHEN pg_try_advisory_lock($1) THEN 1 ELSE 0 END", &[WRITER_LOCK.into()])?;
        match locked.first().and_then(|row| row.first()).map(Value::int) {
            Some(1) => Ok(database),
            _ => Err(StoreError::new("another proxy writes to this database: give each one of its own ([store] url)")),
        }
    }

    /// Connects to read; a statement may take so long.
    ///
    /// # Errors
    /// [`StoreError`] if the server can't be reached.
    pub fn reader(url: &Secret, patience: Duration) -> Result<Self, StoreError> {
        let mut database = Self::connect(url)?;
        database.script(&format!("SET statement_timeout = {}", patience.as_millis()))?;
        database.script("SET default_transaction_read_only = on")?;
        Ok(database)
    }

    fn connect(url: &Secret) -> Result<Self, StoreError> {
        let mut config: Config = url.expose().parse().map_err(failed)?;
        config.connect_timeout(CONNECT).application_name("hashgate").keepalives_idle(CONNECT);
        let shown = Shown::default();
        let wants_tls = config.get_ssl_mode() != ::postgres::config::SslMode::Disable;
        let client = if wants_tls {
            let trust = Trust::configured(None).map_err(|error| StoreError::new(error.to_string()))?;
            let tls = tls::client_config(trust, shown.clone()).map_err(|error| StoreError::new(error.to_string()))?;
            config.connect(MakeRustlsConnect::new(tls))
        } else {
            config.connect(::postgres::NoTls)
        };
        Ok(Self { client: client.map_err(failed)?, prepared: HashMap::new(), shown })
    }

    /// Whether the server or the network has ended it.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    fn statement(&mut self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).map_err(failed)?;
        self.prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

fn failed(error: ::postgres::Error) -> StoreError {
    if error.code() == Some(&::postgres::error::SqlState::QUERY_CANCELED) {
        return StoreError::too_slow();
    }
    // The server's own words are in its source.
    match error.as_db_error() {
        Some(database) => StoreError::new(database.to_string()),
        None => match std::error::Error::source(&error) {
            Some(source) => StoreError::new(format!("{error}: {source}")),
            None => StoreError::new(error.to_string()),
        },
    }
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) => value.to_sql(ty, out),
            Self::Real(value) => value.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::FLOAT8 | Type::TEXT)
    }

    to_sql_checked!();
}

impl Database for Postgres {
    fn backend(&self) -> &'static str {
        "postgres"
    }

    fn certificate_ends(&self) -> Option<Timestamp> {
        self.shown.first_end()
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        let statement = self.statement(sql)?;
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        self.client.execute(&statement, &values).map_err(failed)
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Vec<Value>>, StoreError> {
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        let rows = self.client.query(sql, &values).map_err(failed)?;
        let value = |row: &::postgres::Row, column: usize| -> Result<Value, StoreError> {
            let ty = row.columns()[column].type_();
            Ok(match *ty {
                Type::INT8 => row.try_get::<_, Option<i64>>(column).map_err(failed)?.map_or(Value::Null, Value::Int),
                Type::INT4 => {
                    row.try_get::<_, Option<i32>>(column).map_err(failed)?.map_or(Value::Null, |v| Value::Int(v.into()))
                }
                Type::FLOAT8 => row.try_get::<_, Option<f64>>(column).map_err(failed)?.map_or(Value::Null, Value::Real),
                _ => row.try_get::<_, Option<String>>(column).map_err(failed)?.map_or(Value::Null, Value::Text),
            })
        };
        let row = |row: &::postgres::Row| (0..row.len()).map(|column| value(row, column)).collect();
        rows.iter().map(row).collect()
    }

    fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.client.batch_execute(sql).map_err(failed)
    }

    fn bytes(&mut self) -> Result<u64, StoreError> {
        let sql = "SELECT CAST(sum(pg_total_relation_size(CAST(name AS regclass))) AS BIGINT) \
                   FROM (VALUES ('series'), ('rejects'), ('records'), ('subjects')) AS tables (name)";
        let rows = self.query(sql, &[])?;
        Ok(rows.first().and_then(|row| row.first()).map_or(0, |bytes| u64::try_from(bytes.int()).unwrap_or_default()))
    }

    fn shrinks(&self) -> bool {
        // What is deleted is free for reuse after a vacuum, and the tables stay as large as they were.
        false
    }
}
