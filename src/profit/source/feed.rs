//! The way of one source into the signal book: for our own tasks, for the API, and for a program that embeds us.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::profit::{
    Currency, Quantity,
    signal::{Observation, Outcome, Refusal},
};

/// Observations that may wait for the task: it handles thousands a second; who sends more waits.
pub const FEED_QUEUE: usize = 256;

/// What a source says.
#[derive(Debug)]
pub struct FromSource {
    /// Of which signal, by its name: where it stands in the config changes with the config.
    pub signal: Arc<str>,
    /// Which of its sources.
    pub origin: Origin,
    /// What it got, or why it got nothing.
    pub said: Result<Vec<Observation>, Refusal>,
    /// Where the verdict goes; nobody need wait for it.
    pub verdict: oneshot::Sender<Result<Outcome, Refusal>>,
}

/// Which source of a signal speaks, and what it takes that signal for. Who speaks of what is not so any more is not heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The one that is pushed; its values are of this quantity, money of this currency.
    Pushed(Quantity, Currency),
    /// The one at this place, since the sources of the signal were begun for this time.
    Asked {
        /// Its place.
        source: usize,
        /// Counts beginnings.
        era: u64,
    },
}

/// The way of one source into the signal book. Clones are the same source. That of a pushed signal outlives another config of that signal,
/// as long as its quantity and the site's currency stay; else its values are refused, and a new one is to be asked for.
#[derive(Debug, Clone)]
pub struct Feed {
    signal: Arc<str>,
    origin: Origin,
    to_task: mpsc::Sender<FromSource>,
}

impl Feed {
    pub(crate) fn new(signal: Arc<str>, origin: Origin, to_task: mpsc::Sender<FromSource>) -> Self {
        Self { signal, origin, to_task }
    }

    /// Says what was observed, in the signal's canonical unit, and waits for the verdict.
    ///
    /// # Errors
    /// [`Refusal`], if nothing of it was taken: it is counted and shown, and what was held stays. [`Refusal::Unreachable`] when
    /// the proxy has ended.
    pub async fn observe(&self, observations: Vec<Observation>) -> Result<Outcome, Refusal> {
        self.say(Ok(observations)).await
    }

    /// Says that nothing could be observed, and why: counted and shown.
    pub async fn refuse(&self, why: Refusal) {
        // The verdict on a refusal is that refusal.
        let _ = self.say(Err(why)).await;
    }

    /// Says what came of asking.
    pub(crate) async fn say(&self, said: Result<Vec<Observation>, Refusal>) -> Result<Outcome, Refusal> {
        let ended = || Refusal::Unreachable("hashgate is ending".to_owned());
        let (verdict, answer) = oneshot::channel();
        let message = FromSource { signal: self.signal.clone(), origin: self.origin, said, verdict };
        self.to_task.send(message).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}
