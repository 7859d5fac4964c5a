//! What had numbers at the last scrape and has none any more, because the config is another one: a gauge that nobody sets would show its
//! last number for ever.

use std::{collections::BTreeSet, sync::Arc};

use super::{power, profit};
use crate::{power::control::PowerSnapshot, profit::task::Snapshot};

type Names = BTreeSet<Arc<str>>;

/// Names that had numbers.
#[derive(Debug, Default)]
pub(super) struct Said {
    signals: Names,
    /// Groups of which something is decided, and AI blocks.
    decided: Names,
    shared: Names,
    /// Groups that something can move, and AI blocks that are told of leases.
    moved: Names,
    lent: Names,
}

impl Said {
    /// By what is known now.
    pub fn new(signals: Option<&Snapshot>, power: Option<&PowerSnapshot>) -> Self {
        fn with<T>(names: &[Arc<str>], views: &[Option<T>]) -> Names {
            let there = names.iter().zip(views).filter(|(_, view)| view.is_some());
            there.map(|(name, _)| name.clone()).collect()
        }
        let decision = signals.and_then(|signals| signals.decision.as_ref());
        Self {
            signals: signals.iter().flat_map(|all| &all.signals).map(|view| view.name.clone()).collect(),
            decided: decision.iter().flat_map(|view| &view.groups).cloned().collect(),
            shared: decision.iter().flat_map(|view| &view.ai).cloned().collect(),
            moved: power.map(|power| with(&power.named.groups, &power.site.groups)).unwrap_or_default(),
            lent: power.map(|power| with(&power.named.blocks, &power.site.blocks)).unwrap_or_default(),
        }
    }

    /// Takes their numbers from those that had some and are not in `now`.
    pub fn give_way(&mut self, now: Self) {
        let before = std::mem::replace(self, now);
        before.signals.difference(&self.signals).for_each(|name| profit::forget_signal(name));
        before.decided.difference(&self.decided).for_each(|name| profit::forget_group(name));
        before.shared.difference(&self.shared).for_each(|name| profit::forget_block(name));
        before.moved.difference(&self.moved).for_each(|name| power::forget_group(name));
        before.lent.difference(&self.lent).for_each(|name| power::forget_block(name));
    }
}

#[cfg(test)]
mod tests {
    use metrics::gauge;
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn who_is_gone_has_no_number_that_could_be_mistaken_for_one() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            gauge!("hashgate_group_watts", "group" => "hall").set(7_000.0);
            gauge!("hashgate_group_phase", "group" => "hall", "phase" => "mining").set(1.0);
            let names = |all: &[&str]| all.iter().map(|name| Arc::from(*name)).collect::<Names>();
            let mut said = Said { moved: names(&["hall", "barn"]), ..Said::default() };
            said.give_way(Said { moved: names(&["barn"]), ..Said::default() });
        });
        let text = recorder.handle().render();
        assert!(text.contains("hashgate_group_watts{group=\"hall\"} NaN"), "{text}");
        assert!(text.contains("hashgate_group_phase{group=\"hall\",phase=\"mining\"} 0"), "{text}");
        assert!(!text.contains("barn"), "{text}");
    }
}
