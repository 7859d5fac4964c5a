//! The way of one source into the signal book: for our own tasks, for the API, and for a program that embeds us.

use tokio::sync::{mpsc, oneshot};

use crate::profit::signal::{Observation, Outcome, Refusal, SourceId};

/// Observations that may wait for the task: it handles thousands a second; who sends more waits.
pub const FEED_QUEUE: usize = 256;

/// What a source says.
#[derive(Debug)]
pub struct FromSource {
    /// Which one.
    pub source: SourceId,
    /// What it got, or why it got nothing.
    pub said: Result<Vec<Observation>, Refusal>,
    /// Where the verdict goes; nobody need wait for it.
    pub verdict: oneshot::Sender<Result<Outcome, Refusal>>,
}

/// The way of one source into the signal book. Clones are the same source.
#[derive(Debug, Clone)]
pub struct Feed {
    source: SourceId,
    to_task: mpsc::Sender<FromSource>,
}

impl Feed {
    pub(crate) fn new(source: SourceId, to_task: mpsc::Sender<FromSource>) -> Self {
        Self { source, to_task }
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
        let message = FromSource { source: self.source, said, verdict };
        self.to_task.send(message).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}
