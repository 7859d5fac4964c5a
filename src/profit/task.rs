//! The loop around signals and decisions: takes what sources say, keeps it in the signal book, asks the engine, and tells.
//!
//! ```text
//! sources, API, library ── FromSource ──► book ──► inputs ──► engine ──► snapshot ──► API, metrics, library
//!                                          ▲                     │
//!                            next_change ──┴─ time                └──► log: changes at info, the rest at debug
//! ```
//! It evaluates when a signal says something new, when one becomes too old or a price ends or begins, and every [`EVERY`]
//! for what ripens by itself: a shortest sleep, a longest hold, a lease. What it decides is shown, logged and counted; nothing
//! here moves a miner or a watt.
//!
//! Limits: what may wait is in `source/feed.rs`; a source's complaint is logged once until it is heard again.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Action, Currency, Decisions, Engine, Inputs, Reading,
    signal::{Outcome, Refusal, SignalBook, SignalView, SourceId},
    source::{self, FEED_QUEUE, Feed, FromSource},
};
use crate::{
    config::{Config, Mode, SourceKind},
    router::TappedJob,
};

/// Jobs that may wait to be looked at: one of each pool, many times over.
pub const JOB_QUEUE: usize = 64;

/// How often it decides without having heard anything: a twentieth of the shortest sleep that is usual.
pub const EVERY: Duration = Duration::from_secs(30);

/// What everybody may see: signals and the decision, at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// When.
    pub at: Timestamp,
    /// The site's currency.
    pub currency: Currency,
    /// In config order.
    pub signals: Vec<SignalView>,
    /// What was decided; `None` without `[[group]]`.
    pub decision: Option<DecisionView>,
}

/// What was decided.
#[derive(Debug, Clone)]
pub struct DecisionView {
    /// How far it goes.
    pub mode: Mode,
    /// Names of the groups.
    pub groups: Vec<Arc<str>>,
    /// Names of the AI blocks.
    pub ai: Vec<Arc<str>>,
    /// The decisions, in the same order.
    pub decisions: Decisions,
    /// Changes of each group since the start.
    pub switches: Vec<u64>,
}

/// The way to the running loop. Clones are the same.
#[derive(Debug, Clone)]
pub struct Signals {
    config: Arc<Config>,
    to_task: mpsc::Sender<FromSource>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
}

impl Signals {
    /// The feed of a signal of kind `push`, for the API or for a program's own source. `None` if no signal has this name, or it has
    /// no source of that kind.
    pub fn feed(&self, name: &str) -> Option<Feed> {
        let signal = self.config.signals.iter().position(|signal| &*signal.name == name)?;
        let sources = &self.config.signals[signal].sources;
        let source = sources.iter().position(|source| matches!(source.kind, SourceKind::Push))?;
        Some(Feed::new(SourceId { signal, source }, self.to_task.clone()))
    }

    /// What is known and decided now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// Waits until something is known that satisfies `wanted`. `None` when the proxy has ended.
    pub async fn wait_for(&self, wanted: impl FnMut(&Arc<Snapshot>) -> bool) -> Option<Arc<Snapshot>> {
        self.snapshot.clone().wait_for(wanted).await.ok().map(|snapshot| snapshot.clone())
    }

    /// What signals and groups are called.
    pub fn config(&self) -> &Config {
        &self.config
    }
}

/// Starts the loop and all sources, on the runtime it is called on; both end with `stop`. `jobs` is what the router lets us see.
pub fn start(
    config: Arc<Config>,
    jobs: Option<mpsc::Receiver<TappedJob>>,
    stop: CancellationToken,
) -> (Signals, JoinHandle<()>) {
    let (to_task, from_sources) = mpsc::channel(FEED_QUEUE);
    let now = Timestamp::now();
    let keeper = Keeper::new(config.clone(), now);
    let (publish, snapshot) = watch::channel(Arc::new(keeper.snapshot(now)));
    let sources = source::start(&config, &to_task, jobs);
    let run = async move {
        // They end with it.
        let _sources = sources;
        stop.run_until_cancelled_owned(keep(keeper, from_sources, publish)).await;
    };
    (Signals { config, to_task, snapshot }, tokio::spawn(run))
}

async fn keep(mut keeper: Keeper, mut from_sources: mpsc::Receiver<FromSource>, publish: watch::Sender<Arc<Snapshot>>) {
    loop {
        let now = Timestamp::now();
        publish.send_replace(Arc::new(keeper.snapshot(now)));
        let wait = keeper.wait(now);
        tokio::select! {
            Some(said) = from_sources.recv() => {
                let (verdict, told) = keeper.take(Timestamp::now(), said.source, said.said);
                // What it decided is to be seen by whoever is told that it was taken.
                publish.send_replace(Arc::new(keeper.snapshot(Timestamp::now())));
                if let Some(line) = told {
                    line.log();
                }
                // Nobody need wait for it.
                let _ = said.verdict.send(verdict);
            }
            () = sleep(wait) => keeper.decide(Timestamp::now()),
        }
    }
}

/// What there is to say of a source.
enum Told {
    Complains(String),
    HeardAgain(String),
}

impl Told {
    fn log(&self) {
        match self {
            Self::Complains(words) => warn!("{words}"),
            Self::HeardAgain(words) => info!("{words}"),
        }
    }
}

/// Book and engine, and what was told of them.
struct Keeper {
    config: Arc<Config>,
    book: SignalBook,
    deciding: Option<Deciding>,
    /// Which sources have complained since they were heard last.
    complains: Vec<Vec<bool>>,
}

struct Deciding {
    engine: Engine,
    inputs: Inputs,
    switches: Vec<u64>,
}

impl Keeper {
    fn new(config: Arc<Config>, now: Timestamp) -> Self {
        let deciding = config.profit.as_ref().map(|profit| Deciding {
            engine: Engine::new(profit),
            inputs: Inputs::new(profit),
            switches: vec![0; profit.groups.len()],
        });
        let complains = config.signals.iter().map(|signal| vec![false; signal.sources.len()]).collect();
        let mut keeper = Self { book: SignalBook::new(&config.signals), config, deciding, complains };
        keeper.decide(now);
        keeper
    }

    /// Takes what a source says, and decides if it is something new.
    fn take(
        &mut self,
        now: Timestamp,
        id: SourceId,
        said: Result<Vec<super::signal::Observation>, Refusal>,
    ) -> (Result<Outcome, Refusal>, Option<Told>) {
        let verdict = match said {
            Ok(observations) => self.book.observe(now, id, &observations),
            Err(refusal) => {
                self.book.refuse(now, id, refusal.clone());
                Err(refusal)
            }
        };
        if verdict == Ok(Outcome::Accepted) {
            self.decide(now);
        }
        let told = self.told(id, &verdict);
        (verdict, told)
    }

    fn told(&mut self, id: SourceId, verdict: &Result<Outcome, Refusal>) -> Option<Told> {
        let signal = self.config.signals.get(id.signal)?;
        let kind = signal.sources.get(id.source)?.kind.label();
        let complains = self.complains.get_mut(id.signal)?.get_mut(id.source)?;
        let name = &signal.name;
        match verdict {
            Ok(_) if std::mem::take(complains) => {
                Some(Told::HeardAgain(format!("signal {name:?}: its source {kind} is heard again")))
            }
            Ok(outcome) => {
                debug!("signal {name:?}: {kind} {outcome:?}");
                None
            }
            Err(refusal) if std::mem::replace(complains, true) => {
                debug!("signal {name:?}: nothing taken from {kind}: {refusal}");
                None
            }
            Err(refusal) => {
                let words = format!(
                    "signal {name:?}: nothing taken from {kind}: {refusal}; what it said before holds while it is fresh"
                );
                Some(Told::Complains(words))
            }
        }
    }

    /// Asks the engine, and says what is new.
    fn decide(&mut self, now: Timestamp) {
        let (Some(deciding), Some(profit)) = (&mut self.deciding, &self.config.profit) else { return };
        let book = &self.book;
        let reading = |name: &str| book.find(name).map_or(Reading::Never, |signal| book.reading(now, signal));
        deciding.inputs.read(profit, reading);
        // The clock may be set back; the engine's time is not.
        let now = now.max(deciding.engine.decisions().at);
        let decisions = deciding.engine.evaluate(now, &deciding.inputs);
        let carried_out = match profit.mode {
            Mode::DryRun => " (dry run)",
            Mode::Advise => " (advice)",
            Mode::Active => "",
        };
        for ((group, decision), switches) in profit.groups.iter().zip(&decisions.groups).zip(&mut deciding.switches) {
            if decision.is_new {
                *switches += 1;
                info!("group {:?}: {}{carried_out}", group.name, decision.reason);
            } else {
                debug!("group {:?}: {}", group.name, decision.reason);
            }
        }
        for (block, decision) in profit.ai.iter().zip(&decisions.ai) {
            if decision.is_new {
                info!("AI block {:?}: {}{carried_out}", block.name, decision.reason);
            } else {
                debug!("AI block {:?}: {}", block.name, decision.reason);
            }
        }
    }

    /// How long until time alone may change something.
    fn wait(&self, now: Timestamp) -> Duration {
        let change = self.book.next_change(now).and_then(|change| Duration::try_from(change.duration_since(now)).ok());
        // Without an engine, too: a clock that is set is noticed.
        change.unwrap_or(EVERY).min(EVERY)
    }

    fn snapshot(&self, now: Timestamp) -> Snapshot {
        let profit = self.config.profit.as_ref();
        let decision = self.deciding.as_ref().zip(profit).map(|(deciding, profit)| DecisionView {
            mode: profit.mode,
            groups: profit.groups.iter().map(|group| group.name.clone()).collect(),
            ai: profit.ai.iter().map(|block| block.name.clone()).collect(),
            decisions: deciding.engine.decisions().clone(),
            switches: deciding.switches.clone(),
        });
        let currency = profit.map_or(Currency::USD, |profit| profit.currency);
        Snapshot { at: now, currency, signals: self.book.view(now), decision }
    }
}

/// As it is written in metrics and the API.
pub fn action_label(action: Action) -> &'static str {
    match action {
        Action::Mine => "mine",
        Action::Ai => "ai",
        Action::Curtail => "curtail",
    }
}
