//! The power side as it comes, goes and begins anew with the config, while all else of the proxy runs on.
//!
//! ```text
//! prepare   drivers are made; what would be left asleep or lent with nobody for it is refused      (the old side runs)
//! change    the old side ends ─► looked again ─► the next is made on what it leaves ── fails: the old one begins again, refused
//! begin     nothing here can fail
//! ```
//! Machines and leases notice nothing: both stay as they are when a side ends, and the next goes on from the same ledger (`power/task/`).
//! Who asks meanwhile waits for the next. If not even the old one begins again, that is as if it had ended by itself: the process is to be
//! started anew, and goes on from its ledger.

use std::sync::Arc;

use tokio::{sync::watch, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    census::Door,
    config::Config,
    metrics::Books,
    power::{
        Side,
        actuator::Drivers,
        journal::JournalError,
        task::{self, Equipment, Estate, PowerError, Prepared, Ready, Running, Surroundings},
    },
    profit::task::Signals,
    reload::Refused,
    router::Errands,
};

/// The power side, and what it takes to begin it anew.
pub(super) struct Moving {
    /// What the program has brought along.
    pub drivers: Drivers,
    pub signals: Signals,
    pub errands: Errands,
    pub door: Door,
    pub books: Arc<Books>,
    /// Ends it for good.
    pub stop: CancellationToken,
    /// Cancelled when it has ended by itself, or can't begin again.
    pub lost: CancellationToken,
    /// Where everybody looks for it.
    pub publish: watch::Sender<Side>,
    /// With what ends it alone.
    pub running: Option<(Running, CancellationToken)>,
    /// What the last one has left.
    pub estate: Estate,
}

/// The next side, which has not begun; `None` where the config has nothing to move.
pub(super) struct Next(Option<(Ready, CancellationToken)>);

impl Moving {
    /// The first one.
    pub async fn start(&mut self, config: &Arc<Config>, prepared: Prepared) -> Result<(), PowerError> {
        let stop = self.stop.child_token();
        let surroundings = self.surroundings(&stop).await;
        let ready = task::ready(config, prepared, surroundings, &mut self.estate)?;
        self.begin(Next(Some((ready, stop))));
        Ok(())
    }

    /// Gets what can be had while the old one runs.
    pub async fn prepare(&mut self, old: &Arc<Config>, new: &Arc<Config>) -> Result<Option<Equipment>, Refused> {
        let (before, after) = (old.clone(), new.clone());
        let left = spawn_blocking(move || task::left_behind(&before, &after)).await;
        nobody_is_left(left.map_err(std::io::Error::other))?;
        task::equip(new, &self.drivers).map_err(|error| Refused::NotHad(error.to_string()))
    }

    /// Ends the one that runs, and makes the next. If that can't be had, the one before has begun again, on the old config.
    pub async fn change(
        &mut self,
        old: &Arc<Config>,
        new: &Arc<Config>,
        equipment: Option<Equipment>,
    ) -> Result<Next, Refused> {
        if let Some((running, stop)) = self.running.take() {
            stop.cancel();
            self.estate = spawn_blocking(move || running.leave()).await.ok().flatten().unwrap_or_default();
        }
        // It may have put machines to sleep, or lent power, since it was looked.
        let (before, after, estate) = (old.clone(), new.clone(), std::mem::take(&mut self.estate));
        let looked = spawn_blocking(move || (estate.left_behind(&before, &after), estate)).await;
        let left = looked.map(|(left, estate)| {
            self.estate = estate;
            left
        });
        let refused = match nobody_is_left(left.map_err(std::io::Error::other)) {
            Ok(()) => match equipment {
                None => {
                    let awake = self.estate.close();
                    self.errands.sleepers(awake, false).await;
                    self.publish.send_replace(Side::default());
                    return Ok(Next(None));
                }
                Some(equipment) => match self.ready(new, equipment).await {
                    Ok(next) => return Ok(next),
                    Err(error) => Refused::NotHad(format!("the power side can't begin on it: {error}")),
                },
            },
            Err(refused) => refused,
        };
        match self.again(old).await {
            Ok(()) => Err(refused),
            Err(error) => {
                error!(
                    "the power side can't begin again on the config before: {error}; nobody wakes who sleeps, and no lease is renewed, until \
                     the proxy is started anew"
                );
                self.lost.cancel();
                Err(Refused::NotHad(format!("{refused}; and it can't begin again on the config before: {error}")))
            }
        }
    }

    /// Begins, now that all else is by the new config.
    pub fn begin(&mut self, next: Next) {
        if let Some((ready, stop)) = next.0 {
            let (power, running) = ready.begin();
            self.running = Some((running, stop));
            self.publish.send_replace(Side { power: Some(power), ..Side::default() });
        }
    }

    /// Waits for its end, which it was told already.
    pub async fn end(self) {
        if let Some((running, _)) = self.running
            && !matches!(spawn_blocking(move || running.join()).await, Ok(true))
        {
            error!("the power side ended by a panic");
        }
    }

    /// On the old config again.
    async fn again(&mut self, old: &Arc<Config>) -> Result<(), PowerError> {
        if let Some(equipment) = task::equip(old, &self.drivers)? {
            let next = self.ready(old, equipment).await?;
            self.begin(next);
            info!("the power side has begun again on the config before");
        }
        Ok(())
    }

    async fn ready(&mut self, config: &Arc<Config>, equipment: Equipment) -> Result<Next, PowerError> {
        let stop = self.stop.child_token();
        let surroundings = self.surroundings(&stop).await;
        let (config, mut estate) = (config.clone(), std::mem::take(&mut self.estate));
        // It waits for a disk.
        let made = spawn_blocking(move || {
            let prepared = equipment.prepare(&config, &mut estate);
            (prepared.and_then(|prepared| task::ready(&config, prepared, surroundings, &mut estate)), estate)
        });
        let (ready, estate) = made.await.map_err(|error| PowerError::Thread(std::io::Error::other(error)))?;
        self.estate = estate;
        Ok(Next(Some((ready?, stop))))
    }

    async fn surroundings(&mut self, stop: &CancellationToken) -> Surroundings {
        Surroundings {
            signals: self.signals.clone(),
            errands: self.errands.clone(),
            census: self.door.subscribe("the power side").await,
            books: self.books.clone(),
            stop: stop.clone(),
            lost: self.lost.clone(),
        }
    }
}

/// Refuses a config that leaves machines asleep, or power lent, with nobody for it: what was found out of that.
fn nobody_is_left(left: Result<Result<Vec<String>, JournalError>, std::io::Error>) -> Result<(), Refused> {
    let unknown = |error: &dyn std::fmt::Display| {
        Refused::NotHad(format!("{error}: whether machines sleep that it would leave is not known"))
    };
    let words = left.map_err(|error| unknown(&error))?.map_err(|error| unknown(&error))?;
    if words.is_empty() { Ok(()) } else { Err(Refused::NotHad(words.join("\n"))) }
}
