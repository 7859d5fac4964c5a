//! What the decision engine is told: people's orders, and what groups really take for a terahash.
//!
//! The newest counts: facts that it has not taken yet are replaced.

use tokio::sync::watch;

use super::{Keeper, terms};
use crate::{
    power::group::Phase,
    profit::task::{GroupFact, PowerFacts, Signals},
};

impl Keeper {
    /// What the decision engine is to know.
    pub(super) fn tell_engine(&mut self) {
        let Some(profit) = &self.config.profit else { return };
        let groups = profit.groups.iter().enumerate().map(|(index, group)| {
            let (lockout, order) = self.orders.of_engine(index, self.site.mostly_sleeps(index));
            let is_mining = self.phases.get(index).copied().flatten() == Some(Phase::Mining);
            let is_measured = is_mining && terms::is_measured(&group.rule);
            let efficiency = is_measured.then(|| self.miners.efficiency(index)).flatten();
            GroupFact { lockout, unsafe_to_run: false, order, efficiency, doing: None }
        });
        let facts = PowerFacts { mode: self.orders.mode(), groups: groups.collect(), ai: Vec::new() };
        self.facts.send_if_modified(|told| {
            let is_new = told.as_ref() != Some(&facts);
            *told = Some(facts);
            is_new
        });
    }
}

/// Tells the engine the newest facts, one after the other.
pub(super) async fn tell(signals: Signals, mut facts: watch::Receiver<Option<PowerFacts>>) {
    while facts.changed().await.is_ok() {
        let newest = facts.borrow_and_update().clone();
        if let Some(newest) = newest
            && signals.tell_power(newest).await.is_none()
        {
            return;
        }
    }
}
