//! The beginning of a power side: what can fail is made first, then it begins on a thread of its own.
//!
//! ```text
//! equip ─► drivers          while another side may still run
//! prepare ─► ledger, lock   the book that a side before has left, or that of the disk
//! ready ─► Ready            all else that can fail, its thread, which waits
//! Ready::begin              nothing here can fail
//! ```
//! A start does all of it at once; a reload does each step when its turn comes (`app/moving.rs`).

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use jiff::Timestamp;
use tokio::{runtime, sync::mpsc};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::{
    Answers, Keeper, PowerError,
    answers::{Answer, Machines},
    estate::Estate,
    wake_all::Purpose,
};
use crate::{
    census::Subscription,
    config::Config,
    metrics::Books,
    power::{
        ASK_QUEUE, Ask, Power,
        actuator::Drivers,
        journal::{Book, Journal},
    },
    profit::task::Signals,
    router::Errands,
};

/// What it needs of the rest of the proxy.
pub struct Surroundings {
    /// Decisions and the site's meter.
    pub signals: Signals,
    /// The way to the miners.
    pub errands: Errands,
    /// The count of the miners.
    pub census: Subscription,
    /// Whether pools are connected.
    pub books: Arc<Books>,
    /// Ends it.
    pub stop: CancellationToken,
    /// Cancelled when it ends by itself, which is a fault.
    pub lost: CancellationToken,
}

/// The running thread.
#[derive(Debug)]
pub struct Running(JoinHandle<Option<Estate>>);

impl Running {
    /// Waits for its end, after `stop`; false if it was a panic.
    pub fn join(self) -> bool {
        self.0.join().is_ok()
    }

    /// Waits for its end, after `stop`, and takes what it leaves: nothing if it had ended by itself.
    pub fn leave(self) -> Option<Estate> {
        self.0.join().ok().flatten()
    }
}

/// What can fail before anything else of a proxy is started: it has the ledger's lock, and its drivers.
pub struct Prepared {
    pub(super) machines: Machines,
    pub(super) journal: Journal,
    pub(super) book: Book,
    pub(super) purpose: Purpose,
}

/// The drivers of a config's machines: what can be had while another power side runs.
pub struct Equipment(Machines);

/// Makes the drivers of a config, within the runtime that their calls will run on. `None` if the config has nothing that can be moved.
///
/// # Errors
/// [`PowerError`] if a driver can't be made.
pub fn equip(config: &Config, drivers: &Drivers) -> Result<Option<Equipment>, PowerError> {
    let (Some(profit), Some(power)) = (&config.profit, &config.power) else { return Ok(None) };
    Ok(Some(Equipment(Machines::build(profit, power, drivers)?)))
}

impl Equipment {
    /// Goes on in the book that a power side before has left, or opens the config's ledger.
    ///
    /// # Errors
    /// [`PowerError`] if the ledger can't be had.
    pub fn prepare(self, config: &Config, estate: &mut Estate) -> Result<Prepared, PowerError> {
        let now = Timestamp::now();
        let (journal, book) = match estate.journal.take() {
            Some(mut journal) => {
                let book = journal.next_epoch(now)?;
                (journal, book)
            }
            None => Journal::start(&config.power.as_ref().ok_or(PowerError::Nothing)?.ledger, now)?,
        };
        Ok(Prepared { machines: self.0, journal, book, purpose: Purpose::Control })
    }
}

/// Opens the ledger of a config and makes its drivers, within the runtime that their calls will run on. `None` if the config has nothing
/// that can be moved.
///
/// # Errors
/// [`PowerError`] if the ledger can't be had, is lost or another controller's, or a driver can't be made.
pub fn prepare(config: &Config, drivers: &Drivers) -> Result<Option<Prepared>, PowerError> {
    let Some(equipment) = equip(config, drivers)? else { return Ok(None) };
    equipment.prepare(config, &mut Estate::default()).map(Some)
}

/// Starts the power side of the config that it was prepared for, on a thread of its own.
///
/// # Errors
/// [`PowerError`] if its ledger can't be written or read, or there are no threads.
pub fn start(
    config: Arc<Config>,
    prepared: Prepared,
    surroundings: Surroundings,
) -> Result<(Power, Running), PowerError> {
    Ok(ready(&config, prepared, surroundings, &mut Estate::default())?.begin())
}

/// A power side that has not begun, and of which nothing can fail any more.
pub struct Ready {
    thread: JoinHandle<Option<Estate>>,
    begin: std::sync::mpsc::SyncSender<Begin>,
    whole: Begin,
}

/// The way to a side, with its end.
pub(super) type Asked = (Power, mpsc::Receiver<Ask>);

/// All that its thread needs.
struct Begin {
    keeper: Box<Keeper>,
    answers: Answers,
    power: Power,
    asks: mpsc::Receiver<Ask>,
    signals: Signals,
    census: Subscription,
    lost: CancellationToken,
}

impl Ready {
    /// Begins. Signals go by the same config from then on.
    pub fn begin(self) -> (Power, Running) {
        let power = self.whole.power.clone();
        // The thread waits for nothing else.
        let _ = self.begin.send(self.whole);
        (power, Running(self.thread))
    }
}

/// Makes all of a power side that can fail, on the config that it was prepared for, and does not begin yet: if it fails, what another one
/// has left is there for the next, but for its book.
///
/// # Errors
/// [`PowerError`] if its ledger can't be written or read, or there are no threads.
pub fn ready(
    config: &Arc<Config>,
    prepared: Prepared,
    surroundings: Surroundings,
    estate: &mut Estate,
) -> Result<Ready, PowerError> {
    let runtime = runtime::Builder::new_current_thread().enable_time().build().map_err(PowerError::Thread)?;
    let (begin, begins) = std::sync::mpsc::sync_channel(1);
    let run = move || {
        // Who was never told to begin leaves nothing.
        let Begin { keeper, answers, power, asks, signals, census, lost } = begins.recv().ok()?;
        let guard = lost.drop_guard();
        let stop = keeper.stop.clone();
        keeper.runtime.spawn(counted(census, keeper.answer.clone()));
        let estate = runtime.block_on(keeper.run(signals, (power, asks), answers));
        if stop.is_cancelled() {
            // An end that was asked for is no loss.
            guard.disarm();
            return Some(estate);
        }
        error!("the power side has ended although nobody told it to");
        None
    };
    let thread = thread::Builder::new().name("power".to_owned()).spawn(run).map_err(PowerError::Thread)?;
    let (keeper, way, answers) = Keeper::new(config, prepared, &surroundings, estate, Timestamp::now())?;
    let Surroundings { signals, census, lost, .. } = surroundings;
    let (power, asks) = way.unwrap_or_else(|| {
        let (to_task, asks) = mpsc::channel(ASK_QUEUE);
        (Power::new(to_task, keeper.shown.subscribe()), asks)
    });
    Ok(Ready { thread, begin, whole: Begin { keeper: Box::new(keeper), answers, power, asks, signals, census, lost } })
}

/// Passes every count of the miners on, among the other answers.
async fn counted(mut census: Subscription, answer: mpsc::Sender<Answer>) {
    while let Some(census) = census.next().await {
        if answer.send(Answer::Counted(census)).await.is_err() {
            return;
        }
    }
}
