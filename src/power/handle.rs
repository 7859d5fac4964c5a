//! The way to the running power side: what may be seen of it, and what may be asked.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    control::{Control, ControlError, Forget, Forgotten, Orphans, Plan, PowerSnapshot},
    receipt::Receipt,
    site::DeviceView,
};
use crate::config::Mode;

/// Questions that may wait for the power side.
pub const ASK_QUEUE: usize = 64;

/// Receipts that one question gets at most.
pub const MAX_RECEIPTS: usize = 1_000;

/// A question, and where its answer goes.
#[derive(Debug)]
pub enum Ask {
    /// Do this with a group, or with `dry_run` say only what that would do.
    Control {
        /// Its name.
        group: String,
        /// What.
        control: Control,
        /// Only say.
        dry_run: bool,
        /// The plan that is carried out, or would be.
        answer: oneshot::Sender<Result<Plan, ControlError>>,
    },
    /// Forget machines of a group that are gone, or with `dry_run` say only which.
    Forget {
        /// Its name.
        group: String,
        /// Which.
        what: Forget,
        /// Only say.
        dry_run: bool,
        /// Those that are forgotten, or would be.
        answer: oneshot::Sender<Result<Forgotten, ControlError>>,
    },
    /// How far decisions go from now on.
    Mode {
        /// That far.
        mode: Mode,
        /// What it was before.
        answer: oneshot::Sender<Result<Mode, ControlError>>,
    },
    /// The devices of a group.
    Devices {
        /// Its name.
        group: String,
        /// In the order in which they became known.
        answer: oneshot::Sender<Result<Vec<DeviceView>, ControlError>>,
    },
    /// The last receipts, the newest first.
    Receipts {
        /// At most so many.
        limit: usize,
        /// As they were stored.
        answer: oneshot::Sender<Vec<Receipt>>,
    },
}

/// What moves machines now: it comes and goes with the config. Clones look at the same.
#[derive(Debug, Clone)]
pub struct PowerSide(watch::Receiver<Side>);

/// What there is of it.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// The way to it; `None` where nothing can be moved.
    pub power: Option<Power>,
    /// What is known then of machines that sleep on, and of leases.
    pub orphans: Orphans,
}

impl PowerSide {
    /// Whatever is sent last.
    pub fn new(now: watch::Receiver<Side>) -> Self {
        Self(now)
    }

    /// This one, or none, for good.
    pub fn of(power: Option<Power>) -> Self {
        Self(watch::channel(Side { power, orphans: Orphans::default() }).1)
    }

    /// The way to it; `None` where nothing can be moved.
    pub fn power(&self) -> Option<Power> {
        self.0.borrow().power.clone()
    }

    /// What is known of it now.
    pub fn snapshot(&self) -> Option<Arc<PowerSnapshot>> {
        self.0.borrow().power.as_ref().map(Power::snapshot)
    }

    /// Where nothing can be moved: what is known of machines that sleep on, and of leases.
    pub fn orphans(&self) -> Orphans {
        self.0.borrow().orphans.clone()
    }
}

/// The way to the running power side: the same while one config follows another, as long as there is something to move. Clones are the same.
#[derive(Debug, Clone)]
pub struct Power {
    to_task: mpsc::Sender<Ask>,
    snapshot: watch::Receiver<Arc<PowerSnapshot>>,
}

impl Power {
    /// For the task at the other ends.
    pub fn new(to_task: mpsc::Sender<Ask>, snapshot: watch::Receiver<Arc<PowerSnapshot>>) -> Self {
        Self { to_task, snapshot }
    }

    /// What is known now.
    pub fn snapshot(&self) -> Arc<PowerSnapshot> {
        self.snapshot.borrow().clone()
    }

    /// Waits until something is known that satisfies `wanted`. `None` when the proxy has ended.
    pub async fn wait_for(&self, wanted: impl FnMut(&Arc<PowerSnapshot>) -> bool) -> Option<Arc<PowerSnapshot>> {
        self.snapshot.clone().wait_for(wanted).await.ok().map(|snapshot| snapshot.clone())
    }

    /// Does something with a group, or with `dry_run` says only what that would do.
    ///
    /// # Errors
    /// [`ControlError`] if nothing was done.
    pub async fn control(&self, group: &str, control: Control, dry_run: bool) -> Result<Plan, ControlError> {
        let group = group.to_owned();
        self.ask(|answer| Ask::Control { group, control, dry_run, answer }).await?
    }

    /// Forgets machines that are gone, or with `dry_run` says only which.
    ///
    /// # Errors
    /// [`ControlError`] if none was forgotten because it may not be, or can't.
    pub async fn forget(&self, group: &str, what: Forget, dry_run: bool) -> Result<Forgotten, ControlError> {
        let group = group.to_owned();
        self.ask(|answer| Ask::Forget { group, what, dry_run, answer }).await?
    }

    /// Sets how far decisions go; what it was before.
    ///
    /// # Errors
    /// [`ControlError`] if nothing changed.
    pub async fn set_mode(&self, mode: Mode) -> Result<Mode, ControlError> {
        self.ask(|answer| Ask::Mode { mode, answer }).await?
    }

    /// The devices of a group.
    ///
    /// # Errors
    /// [`ControlError`] if there is no such group.
    pub async fn devices(&self, group: &str) -> Result<Vec<DeviceView>, ControlError> {
        let group = group.to_owned();
        self.ask(|answer| Ask::Devices { group, answer }).await?
    }

    /// The last receipts, the newest first, [`MAX_RECEIPTS`] at most.
    ///
    /// # Errors
    /// [`ControlError::Ended`].
    pub async fn receipts(&self, limit: usize) -> Result<Vec<Receipt>, ControlError> {
        let limit = limit.min(MAX_RECEIPTS);
        self.ask(|answer| Ask::Receipts { limit, answer }).await
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, ControlError> {
        let (answer, answered) = oneshot::channel();
        self.to_task.send(ask(answer)).await.map_err(|_| ControlError::Ended)?;
        answered.await.map_err(|_| ControlError::Ended)
    }
}
