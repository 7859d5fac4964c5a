//! A simulated price feed over HTTP: each value by its name, as a script of times and values has it, or as somebody sets it by hand.
//!
//! | request | answer |
//! |---|---|
//! | `GET /{name}` | `{"value": 42.5, "observed_at": "…"}` |
//! | `PUT /{name}` with `{"value": 55}` | the same; the script of that name is over |
//! | a name that is not there | 404 |
//!
//! ```text
//! script (0 s, 30) (20 s, 90) (40 s, 25):   30 ▁▁▁▁▁▁90▔▔▔▔▔▔25▁▁▁▁▁▁▁▁      steps, the last for ever
//! ```
//! Knows no unit and no money: a value is a number. `observed_at` is the time of the answer, as of a feed that is always up to date.
//!
//! Limits: [`MAX_NAMES`], [`MAX_STEPS`] of one script.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::http::{Server, answer, refused};

/// Names of one feed.
pub const MAX_NAMES: usize = 64;
/// Steps of one script: a day of minutes.
pub const MAX_STEPS: usize = 1440;

/// Values by the time since they were set, in ascending order; the first counts from the start.
pub type Script = Vec<(Duration, f64)>;

/// A running price feed. Dropping it ends it.
#[derive(Debug)]
pub struct PriceFeed {
    shared: Arc<Shared>,
    server: Server,
}

#[derive(Debug, Default)]
struct Shared {
    scripts: Mutex<BTreeMap<String, (Instant, Script)>>,
}

/// Why a script is not played.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScriptError {
    /// It has no step, too many, or they go back in time.
    #[error("prices: the script of {0:?} must have 1 to {MAX_STEPS} steps, each later than the one before it")]
    Steps(String),
    /// A value is no number.
    #[error("prices: the script of {0:?} has a value that is not a number")]
    Value(String),
    /// Too many names.
    #[error("prices: no room for {0:?}: there are {MAX_NAMES} already")]
    Full(String),
}

impl Shared {
    fn scripts(&self) -> MutexGuard<'_, BTreeMap<String, (Instant, Script)>> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn value(&self, name: &str) -> Option<f64> {
        self.value_at(name, Instant::now())
    }

    fn value_at(&self, name: &str, now: Instant) -> Option<f64> {
        let scripts = self.scripts();
        let (since, script) = scripts.get(name)?;
        at(script, now.saturating_duration_since(*since))
    }

    fn set(&self, name: &str, script: Script) -> Result<(), ScriptError> {
        let is_ordered = script.is_sorted_by(|a, b| a.0 < b.0);
        if !is_ordered || !(1..=MAX_STEPS).contains(&script.len()) {
            return Err(ScriptError::Steps(name.to_owned()));
        }
        if !script.iter().all(|(_, value)| value.is_finite()) {
            return Err(ScriptError::Value(name.to_owned()));
        }
        let mut scripts = self.scripts();
        if scripts.len() >= MAX_NAMES && !scripts.contains_key(name) {
            return Err(ScriptError::Full(name.to_owned()));
        }
        scripts.insert(name.to_owned(), (Instant::now(), script));
        Ok(())
    }
}

/// What a script says so long after its start.
fn at(script: &[(Duration, f64)], elapsed: Duration) -> Option<f64> {
    let begun = script.iter().rev().find(|(from, _)| *from <= elapsed);
    begun.or(script.first()).map(|(_, value)| *value)
}

impl PriceFeed {
    /// Serves on the current runtime; no value has a name yet.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn start(listen: SocketAddr) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let router = Router::new().route("/{name}", get(get_value).put(put_value)).with_state(Arc::clone(&shared));
        Ok(Self { server: Server::start(listen, router).await?, shared })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Plays a script from now on, in place of what had that name.
    ///
    /// # Errors
    /// [`ScriptError`], and what was played goes on.
    pub fn play(&self, name: &str, script: Script) -> Result<(), ScriptError> {
        self.shared.set(name, script)
    }

    /// Says the same from now on.
    ///
    /// # Errors
    /// As [`PriceFeed::play`].
    pub fn set(&self, name: &str, value: f64) -> Result<(), ScriptError> {
        self.shared.set(name, vec![(Duration::ZERO, value)])
    }

    /// What it says now.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<f64> {
        self.shared.value(name)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Value {
    value: f64,
}

async fn get_value(State(feed): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    match feed.value(&name) {
        Some(value) => answer(StatusCode::OK, &json!({ "value": value, "observed_at": Timestamp::now().to_string() })),
        None => refused(StatusCode::NOT_FOUND, &format!("no price is called \"{name}\"")),
    }
}

async fn put_value(feed: State<Arc<Shared>>, Path(name): Path<String>, body: Bytes) -> Response {
    let Ok(Value { value }) = serde_json::from_slice(&body) else {
        return refused(StatusCode::BAD_REQUEST, r#"not of the form {"value": 42.5}"#);
    };
    if feed.value(&name).is_none() {
        return refused(StatusCode::NOT_FOUND, &format!("no price is called \"{name}\""));
    }
    match feed.set(&name, vec![(Duration::ZERO, value)]) {
        Ok(()) => get_value(feed, Path(name)).await,
        Err(error) => refused(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_steps_and_its_last_value_stays() {
        let second = Duration::from_secs;
        let script = [(second(1), 30.0), (second(20), 90.0), (second(40), 25.0)];
        for (elapsed, value) in [(0, 30.0), (1, 30.0), (19, 30.0), (20, 90.0), (39, 90.0), (40, 25.0), (9999, 25.0)] {
            assert_eq!(at(&script, second(elapsed)), Some(value), "after {elapsed} s");
        }
    }

    #[test]
    fn a_feed_plays_its_script_and_takes_no_nonsense() {
        let feed = Shared::default();
        let second = Duration::from_secs;
        feed.set("power", vec![(second(0), 30.0), (second(20), 90.0)]).expect("a good script");
        assert_eq!((feed.value("power"), feed.value("gas")), (Some(30.0), None));
        let later = Instant::now() + second(21);
        assert_eq!(feed.value_at("power", later), Some(90.0));
        for bad in [vec![], vec![(second(1), 1.0), (second(1), 2.0)], vec![(second(0), f64::NAN)]] {
            assert!(feed.set("power", bad.clone()).is_err(), "{bad:?}");
        }
        assert_eq!(feed.value_at("power", later), Some(90.0), "what was played goes on");
        for number in 1..MAX_NAMES {
            feed.set(&format!("p{number}"), vec![(second(0), 1.0)]).expect("room");
        }
        assert_eq!(feed.set("more", vec![(second(0), 1.0)]), Err(ScriptError::Full("more".into())));
    }
}
