//! The names of signals, decisions and the admin API, filled from the live task's snapshot when somebody scrapes.
//!
//! Limits: labels are signals, groups and AI blocks of the config, and fixed words.

use std::sync::Arc;

use jiff::Timestamp;
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use crate::{
    api::Api,
    profit::{
        Action, Reading,
        task::{Signals, action_label},
    },
};

/// What a scrape asks besides the books.
#[derive(Clone, Default)]
pub struct ProfitMetrics {
    /// `None` without signals and groups.
    pub signals: Option<Signals>,
    /// `None` without `[admin]`.
    pub api: Option<Arc<Api>>,
}

impl ProfitMetrics {
    pub(super) fn record(&self, now: Timestamp) {
        if let Some(signals) = &self.signals {
            record_signals(signals, now);
        }
        for (reason, count) in self.api.iter().flat_map(|api| api.refused()) {
            counter!("hashgate_api_refused_total", "reason" => reason).absolute(count);
        }
    }
}

fn record_signals(signals: &Signals, now: Timestamp) {
    let snapshot = signals.snapshot();
    for view in &snapshot.signals {
        let name = view.name.to_string();
        let (state, shown) = match view.reading {
            Reading::Never => ("never", None),
            Reading::Fresh { value, observed_at } => ("fresh", Some((value, observed_at))),
            Reading::Stale { value, observed_at } => ("stale", Some((value, observed_at))),
            Reading::Split { .. } => ("split", None),
        };
        for possible in ["never", "fresh", "stale", "split"] {
            let is = f64::from(u8::from(possible == state));
            gauge!("hashgate_signal_state", "signal" => name.clone(), "state" => possible).set(is);
        }
        // What is not known has no number that could be mistaken for one.
        let (value, age) = shown.map_or((f64::NAN, f64::NAN), |(value, observed_at)| {
            (value, now.duration_since(observed_at).as_secs_f64().max(0.0))
        });
        gauge!("hashgate_signal_value", "signal" => name.clone()).set(value);
        gauge!("hashgate_signal_age_seconds", "signal" => name.clone()).set(age);
        counter!("hashgate_signal_accepted_total", "signal" => name.clone()).absolute(view.accepted);
        for (reason, count) in &view.refused {
            counter!("hashgate_signal_refused_total", "signal" => name.clone(), "reason" => *reason).absolute(*count);
        }
    }
    let Some(view) = &snapshot.decision else { return };
    for ((name, group), switches) in view.groups.iter().zip(&view.decisions.groups).zip(&view.switches) {
        let name = name.to_string();
        for action in [Action::Mine, Action::Ai, Action::Curtail] {
            let is = f64::from(u8::from(group.action == action));
            gauge!("hashgate_decision", "group" => name.clone(), "action" => action_label(action)).set(is);
        }
        let margins = [("mine", group.margins.mining), ("ai", group.margins.ai), ("curtail", group.margins.curtail)];
        for (action, margin) in margins {
            let margin = margin.map_or(f64::NAN, |margin| margin.get());
            gauge!("hashgate_margin_per_mwh", "group" => name.clone(), "action" => action).set(margin);
        }
        counter!("hashgate_decision_changes_total", "group" => name).absolute(*switches);
    }
    for (name, block) in view.ai.iter().zip(&view.decisions.ai) {
        gauge!("hashgate_ai_watts", "ai" => name.to_string()).set(block.watts.get());
    }
}

/// A signal that the config has no more.
pub(super) fn forget_signal(name: &str) {
    for state in ["never", "fresh", "stale", "split"] {
        gauge!("hashgate_signal_state", "signal" => name.to_owned(), "state" => state).set(0.0);
    }
    gauge!("hashgate_signal_value", "signal" => name.to_owned()).set(f64::NAN);
    gauge!("hashgate_signal_age_seconds", "signal" => name.to_owned()).set(f64::NAN);
}

/// A group that the config has no more.
pub(super) fn forget_group(name: &str) {
    for action in [Action::Mine, Action::Ai, Action::Curtail] {
        gauge!("hashgate_decision", "group" => name.to_owned(), "action" => action_label(action)).set(0.0);
    }
    for action in ["mine", "ai", "curtail"] {
        gauge!("hashgate_margin_per_mwh", "group" => name.to_owned(), "action" => action).set(f64::NAN);
    }
}

/// An AI block that the config has no more.
pub(super) fn forget_block(name: &str) {
    gauge!("hashgate_ai_watts", "ai" => name.to_owned()).set(f64::NAN);
}

pub(super) fn describe() {
    describe_gauge!("hashgate_signal_state", "1 for what a signal is: never seen, fresh, stale, or split.");
    describe_gauge!("hashgate_signal_value", "What a signal says, in its canonical unit; NaN while it says nothing.");
    describe_gauge!("hashgate_signal_age_seconds", Unit::Seconds, "How long ago a signal's value was observed.");
    describe_counter!("hashgate_signal_accepted_total", "Observations of a signal that said something new.");
    describe_counter!("hashgate_signal_refused_total", "Observations of a signal that were not taken, by reason.");
    describe_gauge!("hashgate_decision", "1 for what a group is to do.");
    describe_gauge!(
        "hashgate_margin_per_mwh",
        "What a group's power earns over its cost at the site meter, by use; NaN if not known."
    );
    describe_counter!("hashgate_decision_changes_total", "Changes of what a group is to do.");
    describe_gauge!("hashgate_ai_watts", "Power at the site meter that an AI block is to have.");
    describe_counter!("hashgate_api_refused_total", "Requests to the admin API that were refused, by reason.");
}
