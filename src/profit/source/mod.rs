//! Where signals come from: a task for each source, and the one way by which all of them reach the signal book.
//!
//! A source asks, listens or waits; it makes [`Observation`]s of what it gets, and says so when it gets none. It judges no value
//! and decides nothing.
//!
//! | kind | file | asks | bounds |
//! |---|---|---|---|
//! | `push` | none: the API and the embedding program hold a [`Feed`] | | body of the API |
//! | `http_json` | `http_json.rs` | every `poll`, give or take a tenth; sooner where a price ends | `MAX_BODY`, `timeout`, backoff, `Retry-After` |
//! | `file` | `file.rs` | for its time, every `poll` | [`MAX_DOCUMENT`] |
//! | `exec` | `exec.rs` | every `poll` | [`MAX_DOCUMENT`], `timeout`, its process group is killed |
//! | `mqtt` | `mqtt.rs` | listens to every broker | [`MAX_DOCUMENT`] |
//! | `jobs` | `jobs.rs` | listens to the router | its queue; what does not fit is not looked at |
//! | `schedule` | `schedule.rs` | the calendar | two days ahead |

mod exec;
mod feed;
mod file;
mod http_json;
mod jobs;
mod mqtt;
mod schedule;

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet};

pub use self::feed::{FEED_QUEUE, Feed, FromSource};
use super::signal::{Observation, SourceId};
use crate::{
    config::{Config, SourceKind},
    router::TappedJob,
    tls::Shown,
};

/// Bytes of a document that is no HTTP answer: a price, or a day of them.
pub const MAX_DOCUMENT: usize = 64 * 1024;

/// Starts every source of every signal; they end with the set. What servers show of themselves is noted in `certificates`, by signal; `jobs` is
/// what the router lets us see of pools' jobs.
pub(crate) fn start(
    config: &Config,
    to_task: &mpsc::Sender<FromSource>,
    certificates: &[Shown],
    jobs: Option<mpsc::Receiver<TappedJob>>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let mut job_feeds = Vec::new();
    for (signal, (one, shown)) in config.signals.iter().zip(certificates).enumerate() {
        for (source, from) in one.sources.iter().enumerate() {
            let feed = Feed::new(SourceId { signal, source }, to_task.clone());
            let unit = from.unit;
            match from.kind.clone() {
                SourceKind::Push => {}
                SourceKind::HttpJson(http) => drop(tasks.spawn(http_json::run(*http, unit, feed, shown.clone()))),
                SourceKind::File(file) => drop(tasks.spawn(file::run(file, unit, feed))),
                SourceKind::Exec(exec) => drop(tasks.spawn(exec::run(exec, unit, feed))),
                SourceKind::Mqtt(mqtt) => {
                    let mqtt = Arc::new(*mqtt);
                    for broker in 0..mqtt.brokers.len() {
                        tasks.spawn(mqtt::run(mqtt.clone(), broker, unit, feed.clone(), shown.clone()));
                    }
                }
                SourceKind::Jobs { field, pool } => {
                    // The config has every pool that a source names.
                    let place = |name: Arc<str>| config.pools.iter().position(|pool| pool.name == name);
                    let pool = pool.map(|name| place(name).unwrap_or(usize::MAX));
                    job_feeds.push(jobs::JobFeed { field, pool, feed });
                }
                SourceKind::Schedule(windows) => drop(tasks.spawn(schedule::run(windows, feed))),
            }
        }
    }
    if let Some(jobs) = jobs.filter(|_| !job_feeds.is_empty()) {
        tasks.spawn(jobs::run(jobs, job_feeds, config.pools.len()));
    }
    tasks
}

/// Whether any source wants to see jobs.
pub fn wants_jobs(config: &Config) -> bool {
    let mut sources = config.signals.iter().flat_map(|signal| &signal.sources);
    sources.any(|source| matches!(source.kind, SourceKind::Jobs { .. }))
}

/// A tenth more or less, so that not all the world asks at once.
fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(rand::random_range(0.9..=1.1))
}

/// A text from bytes, without the mark that some programs put before it.
fn text(bytes: &[u8]) -> Result<&str, super::signal::Refusal> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|_| super::signal::Refusal::Unreadable("the answer is no text (UTF-8)".to_owned()))?;
    Ok(text.trim_start_matches('\u{feff}'))
}

/// Gives what has no time of its own the time of its document.
fn dated(mut observations: Vec<Observation>, at: Option<jiff::Timestamp>) -> Vec<Observation> {
    use super::signal::When;
    for observation in &mut observations {
        if let (When::Now, Some(at)) = (observation.when, at) {
            observation.when = When::At(at);
        }
    }
    observations
}
