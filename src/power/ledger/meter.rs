//! The site's meter, and what it sees that nobody tells.
//!
//! Devices are read some seconds before or after the meter. In a ramp such a lag is worth several devices, enough to hide one that draws
//! and says that it sleeps. So a reading of the meter is compared once everybody has been read after it, and each then explains the
//! least that was read of it around that time ([`super::reading::Readings::floor`]); who stays silent explains nothing.
//! The last two comparisons count, as a dip between two readings (AI compute between two jobs) may deceive one of them.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::reading::Reading;
use crate::profit::Watts;

/// Comparisons that count.
const KEPT: usize = 2;

/// What one reading of the meter left over.
#[derive(Debug, Clone, Copy)]
struct Rest {
    taken_at: Timestamp,
    unexplained: Watts,
    /// What it says beside AI compute; `None` if nobody knows what that drew.
    without_ai: Option<Watts>,
}

/// What was measured when the meter was read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measured {
    /// By readings that are fresh, base load included.
    pub told: Watts,
    /// What those may draw that have no fresh reading.
    pub silent: Watts,
}

/// A reading that waits until everybody has been read after it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub reading: Reading,
    /// How many have not.
    pub missing: usize,
}

#[derive(Debug, Default)]
pub(super) struct Meter {
    /// The newest reading and what was measured when it came.
    pub newest: Option<(Reading, Measured)>,
    pub open: Option<Open>,
    rests: VecDeque<Rest>,
}

impl Meter {
    /// Ends the open comparison: so much was explained at its time, and AI compute drew at most so much then.
    pub(super) fn close(&mut self, explained: Watts, ai: Option<Watts>) {
        let Some(Open { reading, .. }) = self.open.take() else { return };
        if self.rests.len() == KEPT {
            self.rests.pop_front();
        }
        self.rests.push_back(Rest {
            taken_at: reading.taken_at,
            unexplained: reading.watts.saturating_sub(explained),
            without_ai: ai.map(|ai| reading.watts.saturating_sub(ai)),
        });
    }

    /// What may have explained so much is not there any more: the comparisons that count may have counted it.
    pub(super) fn explains_less(&mut self, watts: Watts) {
        self.rests.iter_mut().for_each(|rest| rest.unexplained = rest.unexplained + watts);
    }

    /// What was freed before this was seen to be free; `None` before there are comparisons enough.
    pub(super) fn settled(&self) -> Option<Timestamp> {
        self.rests.front().filter(|_| self.rests.len() == KEPT).map(|rest| rest.taken_at)
    }

    /// The most that nobody told of.
    pub(super) fn unexplained(&self) -> Watts {
        self.rests.iter().map(|rest| rest.unexplained).fold(Watts::ZERO, Watts::max)
    }

    /// What the site last drew beside AI compute.
    pub(super) fn without_ai(&self) -> Option<Watts> {
        self.rests.back()?.without_ai
    }
}
