//! Signals, decisions and the admin API, filled from the live task's snapshot when somebody scrapes.
//!
//! Limits: labels are signals, groups and AI blocks of the config, and fixed words.

use std::sync::Arc;

use jiff::Timestamp;

use super::{exporter::certificate, names, text::Page};
use crate::{
    api::Api,
    profit::{
        Action, Reading,
        task::{Signals, Snapshot, action_label},
    },
};

/// A watt is a joule a second.
const JOULES_PER_MWH: f64 = 3.6e9;

/// What a scrape asks besides the books.
#[derive(Clone, Default)]
pub struct ProfitMetrics {
    /// `None` without signals and groups.
    pub signals: Option<Signals>,
    /// `None` without `[admin]`.
    pub api: Option<Arc<Api>>,
}

impl ProfitMetrics {
    pub(super) fn record(&self, page: &mut Page, now: Timestamp) {
        if let Some(signals) = &self.signals {
            let snapshot = signals.snapshot();
            record_signals(page, &snapshot, now);
            record_decision(page, &snapshot);
            for (name, ends) in signals.certificates() {
                certificate(page, "signal", &name, ends);
            }
        }
        for (reason, count) in self.api.iter().flat_map(|api| api.refused()) {
            page.count(&names::API_REFUSED, &[("reason", reason)], count);
        }
    }
}

fn record_signals(page: &mut Page, snapshot: &Snapshot, now: Timestamp) {
    for view in &snapshot.signals {
        let label = ("signal", &*view.name);
        let (state, shown) = match view.reading {
            Reading::Never => ("never", None),
            Reading::Fresh { value, observed_at } => ("fresh", Some((value, observed_at))),
            Reading::Stale { value, observed_at } => ("stale", Some((value, observed_at))),
            Reading::Split { .. } => ("split", None),
        };
        for possible in ["never", "fresh", "stale", "split"] {
            page.flag(&names::SIGNAL_STATE, &[label, ("state", possible)], possible == state);
        }
        // What is not known has no number that could be mistaken for one.
        let (value, age) = shown.map_or((f64::NAN, f64::NAN), |(value, observed_at)| {
            (value, now.duration_since(observed_at).as_secs_f64().max(0.0))
        });
        page.gauge(&names::SIGNAL_VALUE, &[label, ("unit", &view.quantity.unit(snapshot.currency))], value);
        page.gauge(&names::SIGNAL_AGE, &[label], age);
        page.count(&names::SIGNAL_ACCEPTED, &[label], view.accepted);
        for (reason, count) in &view.refused {
            page.count(&names::SIGNAL_REFUSED, &[label, ("reason", reason)], *count);
        }
    }
}

fn record_decision(page: &mut Page, snapshot: &Snapshot) {
    let Some(view) = &snapshot.decision else { return };
    for ((name, group), switches) in view.groups.iter().zip(&view.decisions.groups).zip(&view.switches) {
        let label = ("group", &**name);
        for action in [Action::Mine, Action::Ai, Action::Curtail] {
            let labels = [label, ("action", action_label(action))];
            page.flag(&names::DECISION, &labels, group.action == action);
        }
        let margins = [("mine", group.margins.mining), ("ai", group.margins.ai), ("curtail", group.margins.curtail)];
        for (action, margin) in margins {
            let margin = margin.map_or(f64::NAN, |margin| margin.get() / JOULES_PER_MWH);
            let labels = [label, ("action", action), ("currency", snapshot.currency.code())];
            page.gauge(&names::MARGIN, &labels, margin);
        }
        page.count(&names::DECISION_CHANGES, &[label], *switches);
    }
    for (name, block) in view.ai.iter().zip(&view.decisions.ai) {
        page.gauge(&names::AI_WATTS, &[("ai", name)], block.watts.get());
    }
}
