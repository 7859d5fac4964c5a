//! The merit order as it may be seen: what each group and AI block earns, could take and was given.
//!
//! Reads what the last evaluation left; decides nothing.

use super::Engine;
use crate::profit::units::{MoneyPerMwh, Watts};

/// What one group or AI block is in the merit order. All watts at the site meter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rung {
    /// What it earns over power's cost; `None` where that is not known or not asked.
    pub margin: Option<MoneyPerMwh>,
    /// The most it can take: of a group all its machines, of AI compute what there is demand for.
    pub capacity: Watts,
    /// What it is decided to have.
    pub given: Watts,
}

/// The merit order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rungs {
    /// What groups and AI compute may draw together; `None` without a cap.
    pub room: Option<Watts>,
    /// By the index of the group.
    pub groups: Vec<Rung>,
    /// By the index of the AI block.
    pub ai: Vec<Rung>,
}

impl Engine {
    /// The merit order of the last evaluation.
    pub fn rungs(&self) -> Rungs {
        let judged = self.scratch.judgements.iter().zip(&self.draws).zip(&self.groups);
        let groups = judged.map(|((judgement, draw), state)| Rung {
            margin: judgement.margin,
            capacity: draw.mining,
            given: if state.mines() { draw.mining } else { draw.asleep },
        });
        let offered = self.scratch.offers.iter().zip(&self.leases);
        let ai = offered.map(|(offer, lease)| Rung {
            margin: offer.margin,
            capacity: offer.sink.capacity.max(lease.granted),
            given: lease.granted,
        });
        let room = self.profit.site.cap.map(|_| self.room(self.allowed));
        Rungs { room, groups: groups.collect(), ai: ai.collect() }
    }
}
