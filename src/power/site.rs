//! The site: groups, ledger and leases as one machine.

mod words;

use jiff::Timestamp;

use super::{
    control::{Control, Plan},
    group::Record,
    ledger::{Entry, Epoch},
};

pub use self::words::*;

/// All of a site's groups and AI blocks under one ledger.
#[derive(Debug)]
pub struct Site {
    terms: SiteTerms,
    epoch: Epoch,
    devices: Vec<Vec<Joining>>,
    outputs: std::collections::VecDeque<Output>,
}

impl Site {
    /// A site as its book, its groups' last records and the devices that are known leave it; by the index of the group.
    pub fn new(
        terms: SiteTerms,
        epoch: Epoch,
        entries: &[Entry],
        devices: Vec<Vec<Joining>>,
        records: Vec<Option<Record>>,
        now: Timestamp,
    ) -> Self {
        let _ = (entries, records, now);
        Self { terms, epoch, devices, outputs: std::collections::VecDeque::new() }
    }

    /// What a new book begins with where an old one was lost: every block may hold all it can draw.
    pub fn after_loss(terms: &SiteTerms, now: Timestamp) -> Vec<Entry> {
        let _ = (terms, now);
        Vec::new()
    }

    /// What it was made of.
    pub fn terms(&self) -> &SiteTerms {
        &self.terms
    }

    /// Takes what happened. Keys and indexes that it does not have are not looked at; time that goes back stands still.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        let _ = (now, input, self.epoch, &self.devices);
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let _ = now;
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Site::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }

    /// Whether a device is under way, or its sleep is not booked yet: it is worth measuring often.
    pub fn is_moving(&self, key: DeviceKey) -> bool {
        let _ = key;
        false
    }

    /// The key of a device by its group and name.
    pub fn key(&self, group: usize, name: &str) -> Option<DeviceKey> {
        let _ = (group, name);
        None
    }

    /// Everything that may be seen of it.
    pub fn view(&self, now: Timestamp) -> SiteView {
        let _ = now;
        todo!()
    }

    /// The devices of a group.
    pub fn devices(&self, now: Timestamp, group: usize) -> Vec<DeviceView> {
        let _ = (now, group);
        Vec::new()
    }

    /// What an order would do; `None` for a group that nothing can move.
    pub fn plan(&self, now: Timestamp, group: usize, control: &Control) -> Option<Plan> {
        let _ = (now, group, control);
        None
    }
}
