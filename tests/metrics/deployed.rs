//! `deploy/prometheus/` and `deploy/grafana/`: what they ask for is there, and they are what Prometheus and Grafana take.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use hashgate::metrics::{FAMILIES, Kind};
use serde_json::{Value, json};

use crate::{
    promtool::{promtool, root},
    scrape::Page,
};

const ALERTS: &str = "deploy/prometheus/alerts.yml";
const ALERTS_TEST: &str = "deploy/prometheus/alerts_test.yml";
const DASHBOARD: &str = "deploy/grafana/hashgate.json";

/// Labels that Prometheus brings along.
const THEIRS: [&str; 3] = ["job", "instance", "site"];

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// One of our names as it stands in a text, with what stands in braces behind it.
#[derive(Debug, PartialEq)]
struct Selector<'t> {
    name: &'t str,
    /// Label, operator, value.
    matchers: Vec<(&'t str, &'t str, &'t str)>,
}

fn selectors(text: &str) -> Vec<Selector<'_>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    for (at, _) in text.match_indices("hashgate_") {
        if text[..at].ends_with(is_name) {
            continue;
        }
        let rest = &text[at..];
        let (name, rest) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
        let inner = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inner, _)| inner);
        let matchers = inner.split("\",").filter(|matcher| !matcher.trim().is_empty()).map(|matcher| {
            let (label, value) = matcher.split_once('"').unwrap_or_else(|| panic!("{name}{{{inner}}}"));
            let end = label.find(['=', '!']).unwrap_or_else(|| panic!("{name}{{{inner}}}"));
            (label[..end].trim(), label[end..].trim(), value.trim_end_matches('"'))
        });
        found.push(Selector { name, matchers: matchers.collect() });
    }
    found
}

/// The family that a name is of.
fn family(name: &str) -> Option<&'static str> {
    let of = |family: &&&hashgate::metrics::Family| match family.kind {
        Kind::Histogram => {
            let suffix = name.strip_prefix(family.name).unwrap_or_default();
            ["_bucket", "_sum", "_count"].contains(&suffix)
        }
        Kind::Counter | Kind::Gauge => family.name == name,
    };
    FAMILIES.iter().find(of).map(|family| family.name)
}

fn dashboard() -> Value {
    serde_json::from_str(&read(DASHBOARD)).expect("it is JSON")
}

/// What the dashboard asks Prometheus, wherever it stands in it.
fn questions(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(members) => {
            let own = members.iter().filter(|(key, _)| matches!(&***key, "expr" | "definition"));
            let own = own.filter_map(|(_, value)| value.as_str());
            own.chain(members.values().flat_map(questions)).collect()
        }
        Value::Array(items) => items.iter().flat_map(questions).collect(),
        _ => Vec::new(),
    }
}

/// Labels and their values that rules and dashboard ask for and that a page has not, of a proxy that has everything.
pub fn asked_and_not_there(page: &Page) -> Vec<String> {
    let mut known: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for one in &page.series {
        for (label, value) in &one.labels {
            known.entry((&one.name, label)).or_default().insert(value);
        }
    }
    let (alerts, dashboard) = (read(ALERTS), dashboard());
    let mut faults = Vec::new();
    for text in questions(&dashboard).into_iter().chain([&*alerts]) {
        for Selector { name, matchers } in selectors(text) {
            for (label, operator, value) in matchers.into_iter().filter(|(label, ..)| !THEIRS.contains(label)) {
                let Some(values) = known.get(&(name, label)) else {
                    faults.push(format!("{name} has no label {label}"));
                    continue;
                };
                let one_of = if operator.ends_with('~') { value.split('|').collect() } else { vec![value] };
                let unknown = one_of.into_iter().filter(|value| !values.contains(value));
                faults.extend(unknown.map(|value| format!("{name} is never {label}={value:?}, but {values:?}")));
            }
        }
    }
    faults
}

#[test]
fn selectors_are_taken_apart() {
    let text =
        "sum(rate(hashgate_a_total{x=\"y\", z=~\"a|b\",instance=~\"$instance\"}[5m])) / my_hashgate_b > hashgate_c";
    let found = selectors(text);
    assert_eq!(found[0].matchers, [("x", "=", "y"), ("z", "=~", "a|b"), ("instance", "=~", "$instance")]);
    assert_eq!((found[0].name, found[1].name, found.len()), ("hashgate_a_total", "hashgate_c", 2));
    assert_eq!(family("hashgate_share_reply_seconds_bucket"), Some("hashgate_share_reply_seconds"));
    assert_eq!((family("hashgate_share_reply_seconds"), family("hashgate_miners_sum")), (None, None));
}

#[test]
fn rules_and_dashboard_name_what_is_exported() {
    let (alerts, tests, dashboard) = (read(ALERTS), read(ALERTS_TEST), dashboard());
    let asked = questions(&dashboard);
    assert!(asked.len() > 50, "the questions are not found any more");
    let texts = asked.into_iter().chain([&*alerts, &*tests]);
    let names: BTreeSet<&str> = texts.flat_map(selectors).map(|selector| selector.name).collect();
    // Sentences name a histogram as a whole.
    let is_known = |name: &str| family(name).is_some() || FAMILIES.iter().any(|family| family.name == name);
    let unknown: Vec<_> = names.iter().filter(|name| !is_known(name)).collect();
    assert!(unknown.is_empty(), "nobody exports {unknown:?}");
    // A dashboard that does not show it says that nobody needs it.
    let shown: BTreeSet<&str> = names.iter().filter_map(|name| family(name)).collect();
    let unseen: Vec<&str> = FAMILIES.iter().map(|family| family.name).filter(|name| !shown.contains(name)).collect();
    let of_no_picture = [
        "hashgate_config_last_reload_success_timestamp_seconds",
        "hashgate_connections_opened_total",
        "hashgate_decision_changes_total",
        "hashgate_over_cap_max_watts",
        "hashgate_pool_blocks_total",
        "hashgate_pool_connections",
        "hashgate_pool_difficulty",
        "hashgate_power_epoch",
        "hashgate_shares_forwarded_total",
        "hashgate_shares_unforwarded_total",
        "hashgate_store_batches_total",
        "hashgate_store_last_write_timestamp_seconds",
    ];
    let unseen: BTreeSet<&str> = unseen.into_iter().collect();
    assert_eq!(unseen, BTreeSet::from(of_no_picture));
}

#[test]
fn each_alert_says_how_bad_it_is_and_what_to_do_and_has_a_test() {
    let (alerts, tests) = (read(ALERTS), read(ALERTS_TEST));
    let alerts: Vec<&str> = alerts.split("- alert: ").skip(1).collect();
    assert!(alerts.len() >= 20, "the alerts are not found any more");
    let mut names = BTreeSet::new();
    for alert in alerts {
        let name = alert.lines().next().unwrap_or_default();
        assert!(name.starts_with("Hashgate") && names.insert(name), "{name}");
        for part in ["expr:", "severity: ", "summary: \"", "description: >-\n"] {
            assert_eq!(alert.matches(part).count(), 1, "{name}: {part}");
        }
        let severity = alert.split("severity: ").nth(1).and_then(|rest| rest.lines().next()).unwrap_or_default();
        assert!(["warning", "critical"].contains(&severity), "{name}: {severity}");
        let expected = [format!("alertname: {name}\n"), format!("alertname=\"{name}\"")];
        assert!(expected.iter().any(|expected| tests.contains(expected)), "{name} has no test");
    }
}

#[test]
fn promtool_takes_the_rules_their_tests_and_the_config() {
    for arguments in [
        ["check", "rules", ALERTS],
        ["test", "rules", ALERTS_TEST],
        ["check", "config", "deploy/prometheus/prometheus.yml"],
    ] {
        let Some(output) = promtool(&arguments, "") else { return };
        let words = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && words.contains("SUCCESS"), "{arguments:?}: {words}");
        assert!(!words.contains("FAILED") && !words.contains("WARNING"), "{arguments:?}: {words}");
    }
}

#[test]
fn the_dashboard_is_one_that_grafana_takes() {
    let dashboard = dashboard();
    assert_eq!((&dashboard["uid"], &dashboard["title"]), (&json!("hashgate"), &json!("hashgate")));
    assert!(dashboard["schemaVersion"].as_u64() >= Some(39));
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let source = variables.iter().find(|variable| variable["name"] == "DS_PROMETHEUS").expect("it can be chosen");
    assert_eq!((&source["type"], &source["query"]), (&json!("datasource"), &json!("prometheus")));

    let panels = dashboard["panels"].as_array().unwrap();
    assert!(panels.len() > 40);
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        let title = panel["title"].as_str().filter(|title| !title.is_empty()).expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("a number")), "{title}: its id is another's");
        let place = |name: &str| panel["gridPos"][name].as_u64().unwrap_or_else(|| panic!("{title}: {name}"));
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(x < 24 && taken.insert((x, y)), "{title} lies over another");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
        assert!(panel["description"].as_str().is_some_and(|words| words.ends_with('.')), "{title} is not described");
        let targets = panel["targets"].as_array().filter(|targets| !targets.is_empty()).expect("questions");
        for of in targets.iter().chain([panel]) {
            assert_eq!(of["datasource"], json!({ "type": "prometheus", "uid": "${DS_PROMETHEUS}" }), "{title}");
        }
        let parts: BTreeSet<&str> = targets.iter().filter_map(|target| target["refId"].as_str()).collect();
        assert_eq!(parts.len(), targets.len(), "{title}");
    }

    // What is asked is PromQL: as rules, `promtool` reads it.
    let asked: Vec<&str> =
        questions(&dashboard["panels"]).into_iter().chain(questions(&dashboard["annotations"])).collect();
    let plain = |text: &str| text.replace("$__rate_interval", "5m").replace("$instance", ".*");
    let rules = asked.iter().enumerate();
    let rules: Vec<Value> =
        rules.map(|(index, text)| json!({ "record": format!("panel:{index}"), "expr": plain(text) })).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("panels.yml");
    // What is JSON is YAML.
    fs::write(&path, json!({ "groups": [{ "name": "panels", "rules": rules }] }).to_string()).unwrap();
    let Some(output) = promtool(&["check", "rules", path.to_str().unwrap()], "") else { return };
    let words = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && words.contains(&format!("{} rules found", asked.len())), "{words}");
}
