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

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

pub use self::feed::{FEED_QUEUE, Feed, FromSource, Origin};
use self::jobs::JobFeed;
use super::signal::Observation;
use crate::{
    config::{Config, Signal, SourceKind},
    router::TappedJob,
    tls::Shown,
};

/// Bytes of a document that is no HTTP answer: a price, or a day of them.
pub const MAX_DOCUMENT: usize = 64 * 1024;

/// What servers of a signal have shown of themselves, by its name.
pub(crate) type Certificates = Arc<[(Arc<str>, Shown)]>;

/// The running sources; they end with it.
pub struct Sources {
    running: HashMap<Arc<str>, Running>,
    /// Who wants to know of jobs.
    job_feeds: watch::Sender<Arc<[JobFeed]>>,
    certificates: watch::Sender<Certificates>,
    /// Looks at jobs.
    _of_jobs: JoinSet<()>,
}

/// Those of a signal.
struct Running {
    /// The beginning of the signal.
    era: u64,
    shown: Shown,
    _tasks: JoinSet<()>,
}

impl Sources {
    /// None yet. `jobs` is what the router lets us see of pools' jobs. Within a runtime.
    pub fn new(jobs: Option<mpsc::Receiver<TappedJob>>) -> Self {
        let (job_feeds, wanted) = watch::channel(Vec::new().into());
        let mut of_jobs = JoinSet::new();
        if let Some(jobs) = jobs {
            of_jobs.spawn(jobs::run(jobs, wanted));
        }
        Self { running: HashMap::new(), job_feeds, certificates: watch::channel(Arc::from([])).0, _of_jobs: of_jobs }
    }

    /// What servers show of themselves.
    pub(crate) fn certificates(&self) -> watch::Receiver<Certificates> {
        self.certificates.subscribe()
    }

    /// Those of a config, and no others. `eras` are the beginnings of its signals, in their order: whose has not changed goes on undisturbed.
    pub fn follow(&mut self, config: &Config, eras: &[u64], to_task: &mpsc::Sender<FromSource>) {
        self.running.retain(|name, _| config.signals.iter().any(|signal| signal.name == *name));
        let mut job_feeds = Vec::new();
        for (signal, era) in config.signals.iter().zip(eras) {
            for (source, from) in signal.sources.iter().enumerate() {
                if let SourceKind::Jobs { field, pool } = &from.kind {
                    // The config has every pool that a source names.
                    let place = |name: &Arc<str>| config.pools.iter().position(|pool| pool.name == *name);
                    let pool = pool.as_ref().map(|name| place(name).unwrap_or(usize::MAX));
                    job_feeds.push(JobFeed { field: *field, pool, feed: feed(signal, source, *era, to_task) });
                }
            }
            let goes_on = self.running.get(&signal.name).is_some_and(|running| running.era == *era);
            if !goes_on {
                self.running.insert(signal.name.clone(), begun(signal, *era, to_task));
            }
        }
        self.job_feeds.send_replace(job_feeds.into());
        let shown = |signal: &Signal| Some((signal.name.clone(), self.running.get(&signal.name)?.shown.clone()));
        self.certificates.send_replace(config.signals.iter().filter_map(shown).collect());
    }
}

fn feed(signal: &Signal, source: usize, era: u64, to_task: &mpsc::Sender<FromSource>) -> Feed {
    Feed::new(signal.name.clone(), Origin::Asked { source, era }, to_task.clone())
}

/// Starts the sources of a signal, but for jobs.
fn begun(signal: &Signal, era: u64, to_task: &mpsc::Sender<FromSource>) -> Running {
    let (mut tasks, shown) = (JoinSet::new(), Shown::default());
    for (source, from) in signal.sources.iter().enumerate() {
        let (feed, unit) = (feed(signal, source, era, to_task), from.unit);
        match from.kind.clone() {
            SourceKind::Push | SourceKind::Jobs { .. } => {}
            SourceKind::HttpJson(http) => drop(tasks.spawn(http_json::run(*http, unit, feed, shown.clone()))),
            SourceKind::File(file) => drop(tasks.spawn(file::run(file, unit, feed))),
            SourceKind::Exec(exec) => drop(tasks.spawn(exec::run(exec, unit, feed))),
            SourceKind::Mqtt(mqtt) => {
                let mqtt = Arc::new(*mqtt);
                for broker in 0..mqtt.brokers.len() {
                    tasks.spawn(mqtt::run(mqtt.clone(), broker, unit, feed.clone(), shown.clone()));
                }
            }
            SourceKind::Schedule(windows) => drop(tasks.spawn(schedule::run(windows, feed))),
        }
    }
    Running { era, shown, _tasks: tasks }
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
