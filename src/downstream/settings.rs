//! What a listener's operator decided, as sessions and workers have it, and how it changes while they run.

use std::{os::fd::OwnedFd, sync::Arc};

use super::vardiff::VardiffSettings;
use crate::config::{Config, Limits, Listener};

/// What every session of a listener shares.
#[derive(Debug, PartialEq)]
pub struct ListenerSettings {
    /// Its place in the config.
    pub index: usize,
    /// From the config.
    pub listener: Listener,
    /// From the config.
    pub limits: Limits,
    /// The listener's difficulty rules, in the form vardiff shares.
    pub vardiff: Arc<VardiffSettings>,
}

impl ListenerSettings {
    /// Those of every listener of a config, by their places.
    pub fn all(config: &Config) -> Vec<Arc<Self>> {
        let listeners = config.listeners.iter().enumerate();
        let settings = listeners.map(|(index, listener)| Self {
            index,
            listener: listener.clone(),
            limits: config.limits.clone(),
            vardiff: Arc::new(VardiffSettings {
                shares_per_minute: listener.vardiff.shares_per_minute,
                min: listener.vardiff.min,
                max: listener.vardiff.max,
            }),
        });
        settings.map(Arc::new).collect()
    }
}

/// What is another for one worker.
#[derive(Debug)]
pub struct ListenerChange {
    /// By their places, those of listeners that are gone as well: miners of theirs may be connected.
    pub settings: Vec<Arc<ListenerSettings>>,
    /// Listening sockets, this worker's own, with the listener's place; a listener that has one already closes it.
    pub opened: Vec<(usize, OwnedFd)>,
    /// Listeners that take nobody any more.
    pub closed: Vec<usize>,
    /// Connections that this worker takes in a second.
    pub accepts_per_second: f64,
}
