//! What a block is worth, from the templates that pools work on: the subsidy of the present height, and the median of the fees
//! of recent templates that had transactions in them.
//!
//! The median, because fees can be most of the reward for hours (76 % on 2024-04-20) and next to nothing in the first seconds
//! of a block, when pools send a template without transactions: such a template says nothing of fees and is passed over.

use std::collections::VecDeque;

use crate::work::Template;

/// Templates that the median is of: at one in 30 s a quarter of an hour.
const RECENT: usize = 32;

/// Satoshis of a bitcoin.
const COIN: f64 = 1e8;

/// Recent templates.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    fees_sat: VecDeque<u64>,
    subsidy_sat: Option<u64>,
}

impl Templates {
    /// One more. A template that pays out less than its subsidy is not one that fees could be told from.
    pub fn add(&mut self, template: &Template) {
        self.subsidy_sat = Some(template.subsidy_sat());
        let Some(fees) = template.paid_sat.checked_sub(template.subsidy_sat()) else { return };
        if template.is_empty {
            return;
        }
        if self.fees_sat.len() == RECENT {
            self.fees_sat.pop_front();
        }
        self.fees_sat.push_back(fees);
    }

    /// BTC that a block of the present height brings without fees.
    pub fn subsidy(&self) -> Option<f64> {
        self.subsidy_sat.map(|sat| sat as f64 / COIN)
    }

    /// The median fees in BTC; `None` before the first template with transactions.
    pub fn fees(&self) -> Option<f64> {
        let mut fees: Vec<u64> = self.fees_sat.iter().copied().collect();
        fees.sort_unstable();
        let upper = *fees.get(fees.len() / 2)?;
        let lower = if fees.len().is_multiple_of(2) { fees[fees.len() / 2 - 1] } else { upper };
        Some(f64::midpoint(lower as f64, upper as f64) / COIN)
    }

    /// Both together.
    pub fn reward(&self) -> Option<f64> {
        Some(self.subsidy()? + self.fees()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(height: u32, fees_sat: u64, is_empty: bool) -> Template {
        let mut template = Template { height, paid_sat: 0, is_empty };
        template.paid_sat = template.subsidy_sat() + fees_sat;
        template
    }

    #[test]
    fn an_empty_template_and_a_single_rich_one_do_not_move_the_fees() {
        let mut templates = Templates::default();
        assert_eq!((templates.subsidy(), templates.fees(), templates.reward()), (None, None, None));
        templates.add(&template(840_000, 0, true));
        assert_eq!((templates.subsidy(), templates.fees()), (Some(3.125), None));
        for fees in [10_000_000, 12_000_000, 3_000_000_000] {
            templates.add(&template(840_001, fees, false));
        }
        templates.add(&template(840_002, 0, true));
        assert_eq!((templates.fees(), templates.reward()), (Some(0.12), Some(3.245)));
        templates.add(&template(840_002, 14_000_000, false));
        assert_eq!(templates.fees(), Some(0.13));
    }

    #[test]
    fn only_recent_templates_count_and_the_subsidy_is_that_of_the_height() {
        let mut templates = Templates::default();
        (0..RECENT).for_each(|_| templates.add(&template(1_049_999, 9_000_000_000, false)));
        (0..RECENT).for_each(|_| templates.add(&template(1_050_000, 1_000_000, false)));
        assert_eq!((templates.subsidy(), templates.fees()), (Some(1.5625), Some(0.01)));
    }
}
