//! The loop around signals and decisions: takes what sources say, keeps it in the signal book, asks the engine, and tells.
//!
//! ```text
//! sources, API, library ── FromSource ──► book ──► inputs ──► engine ──► snapshot ──► API, metrics, library, power side
//! power side ───────────── PowerFacts ──────────────┘                │
//!                            next_change ──── time                    └──► log: changes at info, the rest at debug
//! ```
//! It evaluates when a signal says something new, when the power side does, when a signal becomes too old or a price ends or begins,
//! and every [`EVERY`] for what ripens by itself: a shortest sleep, a longest hold, a lease. What it decides is shown, logged and
//! counted; nothing here moves a miner or a watt (`power/task.rs` does).
//!
//! Another config is followed by the same loop, whatever of it is another. By their names, groups and AI blocks keep what is remembered of
//! them, signals keep what each of their sources has said, where that means the same there; sources of a signal that has others, or
//! another quantity, begin anew, and what the old ones still say is not heard.
//!
//! A clock that is set back by more than [`CLOCK_SKEW`] does not stop the engine's: its time goes on from where it was, ahead of the
//! clock by as much (`since` is then, too), so that no sleep and no hold waits for the old time to come round again.
//!
//! Limits: what may wait is in `source/feed.rs`; a source's complaint is logged once until it is heard again, a signal that is stale
//! or split once until it is fresh again.

use std::{
    collections::BTreeMap,
    mem::{Discriminant, discriminant},
    sync::Arc,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Action, AiDecision, Currency, Decision, Decisions, Engine, Inputs, JoulesPerTerahash, Reading, Rungs, Watts,
    signal::{CLOCK_SKEW, Outcome, Refusal, SignalBook, SignalView, SourceId},
    source::{Certificates, FEED_QUEUE, Feed, FromSource, Origin, Sources},
};
use crate::{
    config::{Class, Config, Mode, PowerGroup, Profit, Signal, SourceKind, WattsSource},
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
    /// The config that it is by: signals, groups and AI blocks are in its order.
    pub config: Arc<Config>,
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
    /// Changes of each group since the start of the proxy.
    pub switches: Vec<u64>,
    /// Who earns what with the site's power.
    pub rungs: Rungs,
}

/// Words of the power side that may wait; it waits for each to be taken.
const POWER_QUEUE: usize = 4;

/// What the power side knows and no signal tells.
#[derive(Debug, Clone, PartialEq)]
pub struct PowerFacts {
    /// How far decisions go now.
    pub mode: Mode,
    /// By the index of the group; what is left out stays as it is.
    pub groups: Vec<GroupFact>,
    /// What each AI block really has, and since when, by its index; `None` leaves the engine's idea of it. For once after a start.
    pub ai: Vec<Option<(Watts, Timestamp)>>,
}

/// What the power side knows of one group.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GroupFact {
    /// A person works on it.
    pub lockout: bool,
    /// It must not draw power.
    pub unsafe_to_run: bool,
    /// An operator's order.
    pub order: Option<Action>,
    /// Measured; `None` leaves what was measured last.
    pub efficiency: Option<JoulesPerTerahash>,
    /// What it really does, and since when. For once after a start: from then on decisions count as carried out.
    pub doing: Option<(Action, Timestamp)>,
}

/// Facts, and where the snapshot goes that rests on them.
type FromPower = (PowerFacts, oneshot::Sender<Arc<Snapshot>>);

/// The way to the running loop. Clones are the same.
#[derive(Debug, Clone)]
pub struct Signals {
    to_task: mpsc::Sender<FromSource>,
    from_power: mpsc::Sender<FromPower>,
    follow: mpsc::Sender<Follow>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    /// What the servers of each signal have shown of themselves.
    certificates: watch::Receiver<Certificates>,
}

/// Another config, and where it is said that all rests on it.
type Follow = (Arc<Config>, oneshot::Sender<()>);

impl DecisionView {
    /// What was decided of a group.
    pub fn group(&self, name: &str) -> Option<&Decision> {
        let index = self.groups.iter().position(|group| **group == *name)?;
        self.decisions.groups.get(index)
    }

    /// What was decided of an AI block.
    pub fn block(&self, name: &str) -> Option<&AiDecision> {
        let index = self.ai.iter().position(|block| **block == *name)?;
        self.decisions.ai.get(index)
    }
}

impl Signals {
    /// The feed of a signal of kind `push`, for the API or for a program's own source. `None` if no signal has this name, or it has
    /// no source of that kind.
    pub fn feed(&self, name: &str) -> Option<Feed> {
        let config = self.config();
        let signal = config.signals.iter().find(|signal| &*signal.name == name)?;
        let is_pushed = signal.sources.iter().any(|source| matches!(source.kind, SourceKind::Push));
        let origin = Origin::Pushed(signal.quantity, currency(&config));
        is_pushed.then(|| Feed::new(signal.name.clone(), origin, self.to_task.clone()))
    }

    /// What is known and decided now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// Waits until something is known that satisfies `wanted`. `None` when the proxy has ended.
    pub async fn wait_for(&self, wanted: impl FnMut(&Arc<Snapshot>) -> bool) -> Option<Arc<Snapshot>> {
        self.snapshot.clone().wait_for(wanted).await.ok().map(|snapshot| snapshot.clone())
    }

    /// Every snapshot from now on, or the last of those that came while nobody looked.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// The power side's word, decided upon at once; the snapshot that rests on it. `None` when the proxy has ended.
    pub async fn tell_power(&self, facts: PowerFacts) -> Option<Arc<Snapshot>> {
        let (answer, answered) = oneshot::channel();
        self.from_power.send((facts, answer)).await.ok()?;
        answered.await.ok()
    }

    /// Goes by another config from now on. A power side that goes by the one before must have ended, if groups or AI blocks are others now.
    pub async fn follow(&self, config: Arc<Config>) {
        let (done, is_done) = oneshot::channel();
        if self.follow.send((config, done)).await.is_ok() {
            // If it ends meanwhile, nothing is decided any more.
            let _ = is_done.await;
        }
    }

    /// When the first certificate ends that a server of each signal has shown, by the signal's name, in config order.
    pub fn certificates(&self) -> Vec<(Arc<str>, Option<Timestamp>)> {
        self.certificates.borrow().iter().map(|(name, shown)| (name.clone(), shown.first_end())).collect()
    }

    /// The config that it goes by now: what signals and groups are called.
    pub fn config(&self) -> Arc<Config> {
        self.snapshot.borrow().config.clone()
    }
}

/// Starts the loop and all sources, on the runtime it is called on; both end with `stop`. `jobs` is what the router lets us see.
pub fn start(
    config: Arc<Config>,
    jobs: Option<mpsc::Receiver<TappedJob>>,
    stop: CancellationToken,
) -> (Signals, JoinHandle<()>) {
    let (to_task, from_sources) = mpsc::channel(FEED_QUEUE);
    let (from_power, facts) = mpsc::channel(POWER_QUEUE);
    let (follow, configs) = mpsc::channel(1);
    let now = Timestamp::now();
    let keeper = Keeper::new(config.clone(), now);
    let (publish, snapshot) = watch::channel(Arc::new(keeper.snapshot(now)));
    let mut sources = Sources::new(jobs);
    sources.follow(&config, &keeper.eras, &to_task);
    let certificates = sources.certificates();
    let signals = Signals { to_task: to_task.clone(), from_power, follow, snapshot, certificates };
    let inbox = Inbox { from_sources, from_power: facts, configs };
    let run = async move {
        // Sources end with it.
        stop.run_until_cancelled_owned(keep(keeper, sources, to_task, inbox, publish)).await;
    };
    (signals, tokio::spawn(run))
}

/// What comes in.
struct Inbox {
    from_sources: mpsc::Receiver<FromSource>,
    from_power: mpsc::Receiver<FromPower>,
    configs: mpsc::Receiver<Follow>,
}

async fn keep(
    mut keeper: Keeper,
    mut sources: Sources,
    to_task: mpsc::Sender<FromSource>,
    inbox: Inbox,
    publish: watch::Sender<Arc<Snapshot>>,
) {
    let Inbox { mut from_sources, mut from_power, mut configs } = inbox;
    loop {
        let wait = keeper.wait(Timestamp::now());
        tokio::select! {
            Some(said) = from_sources.recv() => {
                let Some(source) = keeper.source(&said.signal, said.origin) else {
                    let _ = said.verdict.send(Err(Refusal::Unknown));
                    continue;
                };
                let (verdict, told) = keeper.take(Timestamp::now(), source, said.said);
                // What it decided is to be seen by whoever is told that it was taken.
                publish.send_replace(Arc::new(keeper.snapshot(Timestamp::now())));
                if let Some(line) = told {
                    line.log();
                }
                // Nobody need wait for it.
                let _ = said.verdict.send(verdict);
            }
            Some((facts, answer)) = from_power.recv() => {
                keeper.hear_power(Timestamp::now(), &facts);
                let snapshot = Arc::new(keeper.snapshot(Timestamp::now()));
                publish.send_replace(snapshot.clone());
                let _ = answer.send(snapshot);
            }
            Some((config, done)) = configs.recv() => {
                // The power side's last words are of the groups that there were.
                while let Ok((facts, answer)) = from_power.try_recv() {
                    keeper.hear_power(Timestamp::now(), &facts);
                    let _ = answer.send(Arc::new(keeper.snapshot(Timestamp::now())));
                }
                keeper.follow(Timestamp::now(), config);
                sources.follow(&keeper.config, &keeper.eras, &to_task);
                publish.send_replace(Arc::new(keeper.snapshot(Timestamp::now())));
                let _ = done.send(());
            }
            () = sleep(wait) => {
                let now = Timestamp::now();
                keeper.decide(now);
                publish.send_replace(Arc::new(keeper.snapshot(now)));
            }
        }
    }
}

/// What there is to say of a source or a signal.
#[derive(Debug, PartialEq)]
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
    /// What groups that the config has no more had switched: they count on should they come back.
    switched: BTreeMap<Arc<str>, u64>,
    /// By the index of the signal: when its sources were begun, as a number.
    eras: Vec<u64>,
    last_era: u64,
    /// Which sources have complained since they were heard last.
    complains: Vec<Vec<bool>>,
    /// What each signal was when it was looked at last: never seen, fresh, stale or split.
    states: Vec<Discriminant<Reading<f64>>>,
    /// How far the engine's time is ahead of a clock that was set back.
    ahead: SignedDuration,
}

struct Deciding {
    engine: Engine,
    inputs: Inputs,
    switches: Vec<u64>,
    mode: Mode,
}

impl Deciding {
    fn new(profit: &Profit) -> Self {
        Self {
            engine: Engine::new(profit),
            inputs: Inputs::new(profit),
            switches: vec![0; profit.groups.len()],
            mode: profit.mode,
        }
    }
}

impl Keeper {
    fn new(config: Arc<Config>, now: Timestamp) -> Self {
        let deciding = config.profit.as_ref().map(Deciding::new);
        let complains = config.signals.iter().map(|signal| vec![false; signal.sources.len()]).collect();
        let states = vec![discriminant(&Reading::Never); config.signals.len()];
        let book = SignalBook::new(&config.signals);
        let mut keeper = Self {
            book,
            deciding,
            switched: BTreeMap::new(),
            eras: vec![0; config.signals.len()],
            last_era: 0,
            complains,
            states,
            ahead: SignedDuration::ZERO,
            config,
        };
        keeper.decide(now);
        keeper
    }

    /// Whether a source still speaks for itself, and which one it is.
    fn source(&self, name: &str, origin: Origin) -> Option<SourceId> {
        let signal = self.config.signals.iter().position(|signal| &*signal.name == name)?;
        let config = &self.config.signals[signal];
        let source = match origin {
            Origin::Pushed(quantity, money) => {
                let is_as_then = (quantity, money) == (config.quantity, currency(&self.config));
                let pushed = config.sources.iter().position(|source| matches!(source.kind, SourceKind::Push));
                pushed.filter(|_| is_as_then)?
            }
            Origin::Asked { source, era } => (self.eras[signal] == era).then_some(source)?,
        };
        Some(SourceId { signal, source })
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

    /// Takes what the power side says, and decides.
    fn hear_power(&mut self, now: Timestamp, facts: &PowerFacts) {
        let Some(deciding) = &mut self.deciding else { return };
        deciding.mode = facts.mode;
        for (index, (fact, input)) in facts.groups.iter().zip(&mut deciding.inputs.groups).enumerate() {
            (input.lockout, input.unsafe_to_run, input.order) = (fact.lockout, fact.unsafe_to_run, fact.order);
            input.efficiency = fact.efficiency.or(input.efficiency);
            if let Some((action, since)) = fact.doing {
                deciding.engine.observe(index, action, since);
            }
        }
        for (index, has) in facts.ai.iter().enumerate() {
            if let Some((watts, since)) = has {
                deciding.engine.observe_ai(index, *watts, *since);
            }
        }
        self.decide(now);
    }

    /// Takes another config, and decides.
    fn follow(&mut self, now: Timestamp, config: Arc<Config>) {
        let before = std::mem::replace(&mut self.config, config);
        self.follow_signals(&before);
        self.follow_groups(&before);
        self.decide(now);
    }

    /// Signals that the config has now, instead of those that it had before.
    fn follow_signals(&mut self, before: &Config) {
        let config = self.config.clone();
        let is_same_money = currency(before) == currency(&config);
        if is_same_money && before.signals == config.signals {
            return;
        }
        self.book.follow(&config.signals, is_same_money);
        let (mut eras, mut complains, mut states) = (Vec::new(), Vec::new(), Vec::new());
        for signal in &config.signals {
            let old = before.signals.iter().position(|old| old.name == signal.name);
            let goes_on = old.filter(|old| {
                let old = &before.signals[*old];
                is_same_money && old.quantity == signal.quantity && old.sources == signal.sources
            });
            states.push(old.map_or(discriminant(&Reading::Never), |old| self.states[old]));
            match goes_on {
                Some(old) => {
                    eras.push(self.eras[old]);
                    complains.push(self.complains[old].clone());
                }
                None => {
                    self.last_era += 1;
                    eras.push(self.last_era);
                    complains.push(vec![false; signal.sources.len()]);
                }
            }
        }
        (self.eras, self.complains, self.states) = (eras, complains, states);
    }

    /// Groups and AI blocks that the config has now, instead of those that it had before.
    fn follow_groups(&mut self, before: &Config) {
        let config = self.config.clone();
        if let (Some(deciding), Some(old)) = (&self.deciding, &before.profit) {
            let switched = old.groups.iter().map(|group| group.name.clone()).zip(deciding.switches.iter().copied());
            self.switched.extend(switched);
        }
        let Some(profit) = &config.profit else {
            self.deciding = None;
            return;
        };
        let deciding = self.deciding.get_or_insert_with(|| Deciding::new(profit));
        if let Some(old) = &before.profit {
            deciding.engine.follow(profit);
            deciding.inputs.follow(old, profit);
            let is_told_no_more = before.power.is_some() && config.power.is_none();
            if is_told_no_more {
                deciding.inputs.forget_orders();
            }
            if is_told_no_more || profit.mode != old.mode {
                deciding.mode = profit.mode;
            }
        }
        let switched = profit.groups.iter().map(|group| self.switched.remove(&group.name).unwrap_or_default());
        deciding.switches = switched.collect();
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

    /// Which signals can't be acted on any more, and which can again.
    fn noticed(&mut self, now: Timestamp) -> Vec<Told> {
        let mut told = Vec::new();
        for (index, (signal, state)) in self.config.signals.iter().zip(&mut self.states).enumerate() {
            let reading = self.book.reading(now, index);
            let before = std::mem::replace(state, discriminant(&reading));
            if before == *state {
                continue;
            }
            let name = &signal.name;
            let then = without(&self.config, signal);
            match reading {
                Reading::Stale { observed_at, .. } => {
                    told.push(Told::Complains(format!(
                        "signal {name:?} is stale, its last value of {observed_at}: {then}"
                    )));
                }
                Reading::Split { low, high } => {
                    told.push(Told::Complains(format!(
                        "signal {name:?}: its sources disagree, {low} to {high}: {then}"
                    )));
                }
                Reading::Fresh { .. } if before != discriminant(&Reading::Never) => {
                    told.push(Told::HeardAgain(format!("signal {name:?} is fresh again")));
                }
                Reading::Fresh { .. } | Reading::Never => {}
            }
        }
        told
    }

    /// Asks the engine, and says what is new.
    fn decide(&mut self, now: Timestamp) {
        for told in self.noticed(now) {
            told.log();
        }
        let (Some(deciding), Some(profit)) = (&mut self.deciding, &self.config.profit) else { return };
        let book = &self.book;
        let reading = |name: &str| book.find(name).map_or(Reading::Never, |signal| book.reading(now, signal));
        deciding.inputs.read(profit, reading);
        // The clock may be set back; the engine's time is not, and does not wait for it.
        let last = deciding.engine.decisions().at;
        if last.duration_since(now) > self.ahead.saturating_add(CLOCK_SKEW) {
            self.ahead = last.duration_since(now);
        }
        let now = now.saturating_add(self.ahead).unwrap_or(Timestamp::MAX).max(last);
        let decisions = deciding.engine.evaluate(now, &deciding.inputs);
        let carried_out = match deciding.mode {
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
                info!("AI block {:?}: {}{carried_out}", block.name, decision.in_words());
            } else {
                debug!("AI block {:?}: {}", block.name, decision.in_words());
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
            mode: deciding.mode,
            groups: profit.groups.iter().map(|group| group.name.clone()).collect(),
            ai: profit.ai.iter().map(|block| block.name.clone()).collect(),
            decisions: deciding.engine.decisions().clone(),
            switches: deciding.switches.clone(),
            rungs: deciding.engine.rungs(),
        });
        let (config, currency) = (self.config.clone(), currency(&self.config));
        Snapshot { at: now, config, currency, signals: self.book.view(now), decision }
    }
}

fn currency(config: &Config) -> Currency {
    config.profit.as_ref().map_or(Currency::USD, |profit| profit.currency)
}

/// As it is written in metrics and the API.
pub fn action_label(action: Action) -> &'static str {
    match action {
        Action::Mine => "mine",
        Action::Ai => "ai",
        Action::Curtail => "curtail",
    }
}

/// What follows while a signal says nothing. A meter decides nothing, so nothing is held for it.
fn without(config: &Config, signal: &Signal) -> &'static str {
    let power = config.power.as_ref();
    let is_sites = power.and_then(|power| power.meter.as_ref()).is_some_and(|meter| meter.signal == signal.name);
    let is_of =
        |group: &PowerGroup| matches!(&group.watts, WattsSource::Group { signal: meter } if *meter == signal.name);
    if is_sites {
        return "it is the site's meter: nobody is given more power and nothing is woken until it is back; drains go on";
    }
    if power.is_some_and(|power| power.groups.iter().flatten().any(is_of)) {
        return "it is a group's meter: its machines count at all they may draw until it is back";
    }
    match signal.class {
        Class::Economic | Class::Verdict => "what rests on it stays as it is for max_hold",
        Class::Grid => "stale_grid says what that means",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::ProcessEnv,
        profit::signal::{Observation, When},
    };

    fn keeper(now: Timestamp) -> Keeper {
        let text = "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nurl = \"sim://\"\nuser = \"u\"\n[profit]\nsignal = \"hashprice\"\n\
                    drain_below = 45\nwake_above = 50\n[[group]]\n[[signal]]\nname = \"hashprice\"\nkind = \"push\"\nunit = \"USD/PH/day\"\n\
                    max_age = \"10m\"\n";
        let (config, _) = Config::parse(text, &ProcessEnv { folder: ".".into() }).unwrap();
        Keeper::new(Arc::new(config), now)
    }

    fn says(keeper: &mut Keeper, now: Timestamp, value: f64, when: When) -> Result<Outcome, Refusal> {
        keeper.take(now, SourceId { signal: 0, source: 0 }, Ok(vec![Observation { value, when }])).0
    }

    fn first(keeper: &Keeper) -> Action {
        keeper.deciding.as_ref().unwrap().engine.decisions().groups[0].action
    }

    #[test]
    fn a_signal_that_goes_and_one_that_comes_back_are_told_once() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let later = |minutes| start + SignedDuration::from_mins(minutes);
        let mut keeper = keeper(start);
        says(&mut keeper, start, 60.0, When::Now).unwrap();
        assert_eq!(keeper.noticed(later(9)), []);
        let gone = "signal \"hashprice\" is stale, its last value of 2026-01-01T00:00:00Z: what rests on it stays as it is for max_hold";
        assert_eq!(keeper.noticed(later(11)), [Told::Complains(gone.to_owned())]);
        assert_eq!(keeper.noticed(later(12)), []);
        let again = Observation { value: 60.0, when: When::Now };
        keeper.book.observe(later(20), SourceId { signal: 0, source: 0 }, &[again]).unwrap();
        assert_eq!(keeper.noticed(later(20)), [Told::HeardAgain("signal \"hashprice\" is fresh again".to_owned())]);
    }

    #[test]
    fn another_threshold_decides_at_once_and_forgets_no_sleep() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let later = |minutes| start + SignedDuration::from_mins(minutes);
        let mut keeper = keeper(start);
        says(&mut keeper, start, 47.0, When::Now).unwrap();
        assert_eq!(first(&keeper), Action::Mine);
        let with = |keeper: &Keeper, below, above| {
            let mut config = (*keeper.config).clone();
            let group = &mut config.profit.as_mut().unwrap().groups[0];
            let signal = "hashprice".into();
            group.rule = crate::config::Rule::Threshold { signal, drain_below: below, wake_above: above };
            Arc::new(config)
        };
        let dear = with(&keeper, 48.0, 50.0);
        keeper.follow(start, dear);
        assert_eq!(first(&keeper), Action::Curtail);
        let cheap = with(&keeper, 40.0, 41.0);
        keeper.follow(later(1), cheap);
        assert_eq!(first(&keeper), Action::Curtail, "it sleeps for 15 minutes at least");
        for minute in [15, 17] {
            says(&mut keeper, later(minute), 47.0, When::At(later(minute))).unwrap();
        }
        assert_eq!(first(&keeper), Action::Mine);
    }

    #[test]
    fn a_meter_that_goes_is_told_by_what_it_is_for() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let signal = |name, unit| {
            format!("[[signal]]\nname = \"{name}\"\nkind = \"push\"\nunit = \"{unit}\"\nmax_age = \"30s\"\n")
        };
        let text = "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nurl = \"sim://\"\nuser = \"u\"\n[profit]\nsignal = \"pays\"\n\
                    [site]\ncap = \"1 MW\"\nmeter = \"site\"\n\
                    [[group]]\nname = \"a\"\npower = \"1 MW\"\nnameplate = \"3500 W\"\nsubnets = [\"10.0.0.0/8\"]\n\
                    [group.actuator]\nkind = \"manual\"\n[group.watts]\nkind = \"group\"\nsignal = \"hall\"\n"
            .to_owned();
        let text = text + &signal("pays", "verdict") + &signal("site", "kW") + &signal("hall", "kW");
        let (config, _) = Config::parse(&text, &ProcessEnv { folder: ".".into() }).unwrap_or_else(|e| panic!("{e}"));
        let mut keeper = Keeper::new(Arc::new(config), start);
        for signal in 0..3 {
            let observed = vec![Observation { value: if signal == 0 { 1.0 } else { 100.0 }, when: When::Now }];
            keeper.take(start, SourceId { signal, source: 0 }, Ok(observed)).0.unwrap();
        }
        assert_eq!(keeper.noticed(start), []);
        let told = keeper.noticed(start + SignedDuration::from_mins(1));
        let words: Vec<String> = told.iter().map(|told| format!("{told:?}")).collect();
        assert_eq!(words.len(), 3, "{words:?}");
        for (words, says) in words.iter().zip([
            "what rests on it stays as it is for max_hold",
            "it is the site's meter: nobody is given more power and nothing is woken until it is back; drains go on",
            "it is a group's meter: its machines count at all they may draw until it is back",
        ]) {
            assert!(words.contains(says), "{says:?}: {words}");
        }
    }

    #[test]
    fn what_sleeps_at_a_start_is_not_ordered_to_mine_by_a_signal_that_was_never_seen() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut keeper = keeper(start);
        let slept = start - SignedDuration::from_mins(20);
        let facts = |fact| PowerFacts { mode: Mode::Active, groups: vec![fact], ai: Vec::new() };
        keeper.hear_power(start, &facts(GroupFact { doing: Some((Action::Curtail, slept)), ..GroupFact::default() }));
        assert_eq!(first(&keeper), Action::Curtail);
        // Its sleep counts from when it fell asleep.
        says(&mut keeper, start, 60.0, When::Now).unwrap();
        assert_eq!(first(&keeper), Action::Mine);
        let order = Some(Action::Curtail);
        keeper.hear_power(start, &facts(GroupFact { order, ..GroupFact::default() }));
        assert_eq!(first(&keeper), Action::Curtail);
        assert_eq!(keeper.snapshot(start).decision.unwrap().mode, Mode::Active);
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nobody_asleep() {
        let wrong: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        let right: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let later = |minutes| right + SignedDuration::from_mins(minutes);
        let mut keeper = keeper(wrong);
        says(&mut keeper, wrong, 40.0, When::At(wrong)).unwrap();
        assert_eq!(first(&keeper), Action::Curtail);
        // The clock is corrected by a year: what was said then is not of now, and the next word counts.
        assert!(matches!(keeper.book.reading(right, 0), Reading::Stale { .. }));
        says(&mut keeper, right, 60.0, When::At(right)).unwrap();
        assert_eq!(first(&keeper), Action::Curtail, "15 minutes of sleep at least");
        says(&mut keeper, later(15), 60.0, When::At(later(15))).unwrap();
        says(&mut keeper, later(17), 60.0, When::At(later(17))).unwrap();
        assert_eq!(first(&keeper), Action::Mine);
        // It still counts only once.
        assert!(matches!(says(&mut keeper, later(18), 60.0, When::At(later(17))), Err(Refusal::Replay { .. })));
    }
}
