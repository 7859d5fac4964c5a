//! The way to a running proxy's config: read its file again, or take another config; and what came of it.
//!
//! | file | what |
//! |---|---|
//! | `watch.rs` | whether the files of a config have changed |
//!
//! Knows orders and outcomes; what a change means is said by `config/diff.rs`, and carried out by `app/reload.rs`.
//!
//! | the file | then | result |
//! |---|---|---|
//! | can't be read, or is wrong | every problem is told, the old config stays | `refused` |
//! | is right, and something of it can't be had (an address is taken) | it is told, the old config stays, all of it | `refused` |
//! | says what is in force already | nothing | `unchanged` |
//! | says something else | what can be followed is, all of it at once; what needs a restart is told and waits for one | `applied` |
//!
//! Limits: [`ASK_QUEUE`] orders that wait.

pub(crate) mod watch;

use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc};

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch as channel};

use crate::config::{Change, Config, Effect, Places};

/// Orders that may wait: they are carried out one after the other.
pub const ASK_QUEUE: usize = 16;

/// Who wants it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// SIGHUP.
    Signal,
    /// A file of the config is another one.
    FileChanged,
    /// The admin API.
    Operator,
    /// The program that runs the proxy.
    Program,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signal => "SIGHUP",
            Self::FileChanged => "its file has changed",
            Self::Operator => "an operator wants it",
            Self::Program => "the program wants it",
        })
    }
}

/// An order, and where its answer goes.
#[derive(Debug)]
pub enum Ask {
    /// Read the file again.
    File {
        /// Who wants it.
        why: Why,
        /// Only say what it would change.
        dry_run: bool,
        /// What came of it.
        answer: oneshot::Sender<Result<Outcome, Refused>>,
    },
    /// Take this config.
    Config {
        /// As it was validated.
        config: Box<Config>,
        /// Only say what it would change.
        dry_run: bool,
        /// What came of it.
        answer: oneshot::Sender<Result<Outcome, Refused>>,
    },
    /// From now on, the config is in this file, which was just read.
    Keep {
        /// Where it is.
        path: PathBuf,
    },
}

/// What became of a config that is right.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// What is another, in the order of the file; with `dry_run` what would be.
    pub changes: Vec<Change>,
    /// What works nevertheless, as `hashgate check` prints it.
    pub warnings: Vec<String>,
}

impl Outcome {
    /// Changes that wait for a restart.
    pub fn pending(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.effect == Effect::Restart)
    }

    /// Changes that were followed.
    pub fn followed(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.effect != Effect::Restart)
    }
}

/// Why a config was not taken. The one before is in force, unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It can't be read, or it is wrong: all that `hashgate check` says.
    #[error("{0}")]
    Invalid(String),
    /// Something that it wants can't be had.
    #[error("{0}")]
    NotHad(String),
    /// The proxy was started by a program, from no file.
    #[error("this proxy's config is in no file that it knows")]
    NoFile,
    /// The proxy has ended, or is about to.
    #[error("the proxy is ending")]
    Ended,
}

/// The last try.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// Who wanted it.
    pub why: Why,
    /// What came of it.
    pub result: Result<Outcome, Refused>,
}

/// What everybody may see.
#[derive(Debug, Clone)]
pub struct Status {
    /// The config in force, every pool, route and listener at its place.
    pub places: Places,
    /// Where miners connect, by the places of the listeners; the last address of those that are gone.
    pub addresses: Vec<SocketAddr>,
    /// Where it comes from; `None` if a program made it.
    pub path: Option<PathBuf>,
    /// Configs that were followed.
    pub applied: u64,
    /// Times that it said what was in force already.
    pub unchanged: u64,
    /// Times that it could not be taken.
    pub refused: u64,
    /// When a config was last found right: at the start, or by a reload.
    pub right_at: Timestamp,
    /// The last reload; `None` before the first.
    pub last: Option<Attempt>,
    /// What is in the file and waits for a restart.
    pub pending: Vec<Change>,
}

impl Status {
    /// Before any reload.
    pub fn at_start(places: Places, addresses: Vec<SocketAddr>) -> Self {
        Self {
            places,
            addresses,
            path: None,
            applied: 0,
            unchanged: 0,
            refused: 0,
            right_at: Timestamp::now(),
            last: None,
            pending: Vec::new(),
        }
    }
}

/// The way to whoever changes the config. Clones are the same.
#[derive(Debug, Clone)]
pub struct Reload {
    to_task: mpsc::Sender<Ask>,
    status: channel::Receiver<Arc<Status>>,
}

impl Reload {
    /// For the task at the other ends.
    pub fn new(status: Status) -> (Self, mpsc::Receiver<Ask>, channel::Sender<Arc<Status>>) {
        let (to_task, asks) = mpsc::channel(ASK_QUEUE);
        let (publish, status) = channel::channel(Arc::new(status));
        (Self { to_task, status }, asks, publish)
    }

    /// What is in force, and what came of the last reload.
    pub fn status(&self) -> Arc<Status> {
        self.status.borrow().clone()
    }

    /// Waits until something holds. `None` when the proxy has ended.
    pub async fn wait_for(&self, wanted: impl FnMut(&Arc<Status>) -> bool) -> Option<Arc<Status>> {
        self.status.clone().wait_for(wanted).await.ok().map(|status| status.clone())
    }

    /// Reads the file again and follows it; with `dry_run` says only what that would change.
    ///
    /// # Errors
    /// [`Refused`] if the config before stays.
    pub async fn file(&self, why: Why, dry_run: bool) -> Result<Outcome, Refused> {
        self.ask(|answer| Ask::File { why, dry_run, answer }).await
    }

    /// Follows another config; with `dry_run` says only what that would change.
    ///
    /// # Errors
    /// [`Refused`] if the config before stays.
    pub async fn config(&self, config: Config, dry_run: bool) -> Result<Outcome, Refused> {
        let config = Box::new(config);
        self.ask(|answer| Ask::Config { config, dry_run, answer }).await
    }

    /// From now on the config is in this file, which was just read: it is read again when it changes, unless `[proxy] watch` says not to.
    pub async fn keep(&self, path: PathBuf) {
        // Who has ended reads nothing.
        let _ = self.to_task.send(Ask::Keep { path }).await;
    }

    async fn ask(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<Outcome, Refused>>) -> Ask,
    ) -> Result<Outcome, Refused> {
        let (answer, answered) = oneshot::channel();
        self.to_task.send(ask(answer)).await.map_err(|_| Refused::Ended)?;
        answered.await.unwrap_or(Err(Refused::Ended))
    }
}
