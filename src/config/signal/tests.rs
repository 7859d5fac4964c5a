use std::{io, path::Path};

use super::*;
use crate::config::{
    Config,
    validate::tests::{MINIMAL, lines},
};

/// A world with one variable.
struct OneToken;

impl Env for OneToken {
    fn var(&self, name: &str) -> Option<String> {
        (name == "TOKEN").then(|| "hunter2hunter2hunter2".to_owned())
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

fn signals(text: &str) -> (Vec<Signal>, Vec<String>) {
    match Config::parse(&format!("{MINIMAL}{text}"), &OneToken) {
        Ok((config, warnings)) => (config.signals, warnings.iter().map(ToString::to_string).collect()),
        Err(errors) => panic!("{errors}"),
    }
}

fn errors(text: &str) -> Vec<String> {
    lines(&Config::parse(&format!("{MINIMAL}{text}"), &OneToken).unwrap_err())
}

#[test]
fn a_signal_needs_a_unit_and_a_kind() {
    let (signals, warnings) = signals("[[signal]]\nname = \"verdict\"\nunit = \"verdict\"\nkind = \"push\"\n");
    assert!(warnings[0].contains("admin: is missing, so nobody can send signal \"verdict\" by HTTP"), "{warnings:?}");
    assert_eq!((&*signals[0].name, signals[0].class), ("verdict", Class::Verdict));
    assert_eq!(signals[0].sources.len(), 1);
    let errors = errors("[[signal]]\n");
    assert!(errors[0].contains("signal[1].unit: is missing"), "{errors:?}");
    assert!(errors[1].contains("signal[1].kind: is missing"), "{errors:?}");
}

#[test]
fn numbers_of_a_signal_are_in_its_unit() {
    let text = "[[signal]]\nunit = \"ct/kWh\"\nkind = \"push\"\nrange = [-50, 500]\n";
    assert_eq!(signals(text).0[0].range, -500.0..=5000.0);
    for wrong in ["[1]", "[2, 1]", "[nan, 1]", "5"] {
        assert!(errors(&text.replace("[-50, 500]", wrong))[0].contains("signal[1].range"), "{wrong}");
    }
}

#[test]
fn another_currency_is_an_error_that_says_so() {
    let errors =
        errors("[[signal]]\nunit = \"EUR/MWh\"\nkind = \"push\"\n[[signal]]\nunit = \"p/kWh\"\nkind = \"push\"\n");
    assert!(errors[0].contains("\"EUR/MWh\" is in EUR, but the site's currency is USD"), "{errors:?}");
    assert!(errors[0].contains("nothing is converted"), "{errors:?}");
    assert!(errors[1].contains("is in GBP"), "{errors:?}");
}

#[test]
fn several_sources_have_tables_of_their_own() {
    let text = "[[signal]]\nunit = \"USD/MWh\"\nmax_spread = 5\n[[signal.source]]\nkind = \"push\"\n\
                [[signal.source]]\nkind = \"file\"\nunit = \"USD/kWh\"\npath = \"p\"\n";
    let signal = &signals(text).0[0];
    assert_eq!(signal.max_spread, Some(Spread::Absolute(5.0)));
    assert_eq!(signal.sources.iter().map(|source| source.unit.factor).collect::<Vec<_>>(), [1.0, 1000.0]);
    let mixed = errors(&text.replace("max_spread = 5", "kind = \"push\""));
    assert!(mixed[0].contains("stands beside [[signal.source]]"), "{mixed:?}");
    let other = errors(&text.replace("USD/kWh", "kW"));
    assert!(other[0].contains("signal[1].source[2].unit: measures something else"), "{other:?}");
}

#[test]
fn headers_take_secrets_from_the_environment_and_never_show_them() {
    let text = "[[signal]]\nunit = \"USD/MWh\"\nkind = \"http_json\"\nurl = \"https://a.example/p?key=hunter2\"\nvalue = \"/p\"\n\
                headers = { Authorization = \"Bearer ${TOKEN}\" }\n";
    let (config, _) = Config::parse(&format!("{MINIMAL}{text}"), &OneToken).unwrap();
    let SourceKind::HttpJson(source) = &config.signals[0].sources[0].kind else { panic!() };
    assert_eq!(source.headers[0].1.expose(), "Bearer hunter2hunter2hunter2");
    assert!(!format!("{config:?}{}", crate::config::describe(&config)).contains("hunter2"));
    assert!(errors(&text.replace("TOKEN", "OTHER"))[0].contains("\"OTHER\" is not set"));
    assert!(errors(&text.replace("Authorization", "\"a b\""))[0].contains("is no name of a header"));
}

#[test]
fn each_kind_says_what_it_lacks() {
    let kinds = [
        ("kind = \"http_json\"", "url: is missing"),
        ("kind = \"http_json\"\nurl = \"https://a.example/\"", "value: is missing"),
        ("kind = \"file\"", "path: is missing"),
        ("kind = \"exec\"", "command: is missing"),
        ("kind = \"exec\"\ncommand = []", "names no program"),
        ("kind = \"mqtt\"", "broker: is missing"),
        ("kind = \"mqtt\"\nbroker = []\ntopic = \"t\"", "has 0 addresses"),
        ("kind = \"mqtt\"\nbroker = \"mqtts://b\"\ntopic = \"t\"\nuser = \"u\"", "has no password"),
        (
            "kind = \"mqtt\"\nbroker = \"mqtt://127.0.0.1\"\ntopic = \"t\"\ntls_fingerprint = \"sha256:ab\"",
            "hex digits",
        ),
        ("kind = \"jobs\"", "field: is missing"),
        ("kind = \"jobs\"\nfield = \"fees\"", "is not what the unit measures"),
        ("kind = \"jobs\"\nfield = \"fees\"\npool = \"eu\"", "there is no pool \"eu\""),
        ("kind = \"schedule\"", "zone: is missing"),
        (
            "kind = \"schedule\"\nzone = \"Mars\"\notherwise = 1\nwindows = [{from = \"17:00\", to = \"21:00\", value = 2}]",
            "\"Mars\" is no time zone",
        ),
        (
            "kind = \"schedule\"\nzone = \"UTC\"\notherwise = 1\nwindows = [{from = \"17:00\", to = \"17:00\", value = 2}]",
            "is when the window begins",
        ),
        ("kind = \"telepathy\"", "is not one of the choices"),
        ("kind = \"push\"\nurl = \"https://a.example/\"", "unknown key"),
    ];
    for (text, wanted) in kinds {
        let errors = errors(&format!("[[signal]]\nunit = \"USD/MWh\"\n{text}\n"));
        assert!(errors.iter().any(|error| error.contains(wanted)), "{text}: {errors:?}");
    }
}

#[test]
fn a_picker_is_one_of_three_shapes() {
    let http = |keys: &str| {
        format!(
            "[[signal]]\nunit = \"USD/MWh\"\nkind = \"http_json\"\nurl = \"https://a.example/\"\nvalue = \"/p\"\n{keys}\n"
        )
    };
    let shape = |keys: &str| match &signals(&http(keys)).0[0].sources[0].kind {
        SourceKind::HttpJson(source) => source.picker.shape.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(shape(""), Shape::Single { at: None });
    assert_eq!(shape("times = \"/t\"\nstep = \"1h\""), Shape::Arrays { times: "/t".into(), step: Some(secs(3600)) });
    assert!(
        matches!(shape("list = \"\"\nfrom = \"/f\"\nwhere = { a = \"b\" }"), Shape::Objects { to: None, filter, .. } if filter.len() == 1)
    );
    for (keys, wanted) in [
        ("list = \"/l\"", "from: is missing"),
        ("list = \"/l\"\ntimes = \"/t\"", "stands beside list"),
        ("where = { a = \"b\" }", "has no meaning without list"),
        ("times = \"/t\"\nat = \"/a\"", "has no meaning without list"),
        ("at = \"time\"", "is not a JSON pointer"),
    ] {
        let errors = errors(&http(keys));
        assert!(errors[0].contains(wanted), "{keys}: {errors:?}");
    }
}

#[test]
fn what_is_unwise_is_warned_of() {
    let warned = |text: &str| signals(&format!("[[signal]]\nunit = \"USD/MWh\"\n{text}\n")).1;
    assert!(warned("kind = \"push\"\nmax_spread = \"2%\"")[0].contains("has no effect on one source"));
    assert!(warned("kind = \"http_json\"\nurl = \"http://a.example/\"\nvalue = \"/p\"")[0].contains("not protected"));
    let exec = "kind = \"exec\"\ncommand = [\"p\"]\npoll = \"10m\"\nmax_age = \"15m\"";
    assert!(warned(exec)[0].contains("stale between two polls"));
}

#[test]
fn a_value_lasts_until_the_next_is_due_unless_told_otherwise() {
    let age = |text: &str| signals(&format!("[[signal]]\n{text}\n")).0[0].max_age;
    let pushed = "unit = \"USD/MWh\"\nkind = \"push\"";
    assert!(age(pushed) > secs(900), "the price of a quarter of an hour outlives it");
    assert_eq!(age(&format!("{pushed}\nmax_age = \"70m\"")), secs(4200));
    assert_eq!(age("unit = \"%\"\nclass = \"grid\"\nkind = \"push\""), secs(600));
    let polled = "unit = \"USD/MWh\"\nkind = \"exec\"\ncommand = [\"p\"]\npoll = \"1h\"";
    assert_eq!((age(polled), signals(&format!("[[signal]]\n{polled}\n")).1), (secs(7200), Vec::new()));
}

#[test]
fn a_share_is_no_percentage() {
    let range = |unit: &str| signals(&format!("[[signal]]\nunit = \"{unit}\"\nkind = \"push\"\n")).0[0].range.clone();
    assert_eq!((range("ratio"), range("%")), (0.0..=1.0, 0.0..=1.0));
}

#[test]
fn signals_read_as_a_plan() {
    let text = r#"
[admin]
token = "0123456789abcdef"
[[signal]]
name = "btc"
unit = "USD/BTC"
range = [1000, 10000000]
max_spread = "2%"
[[signal.source]]
kind = "http_json"
url = "https://api.example/ticker?pair=XBTUSD"
value = "/price"
headers = { X-Key = "${TOKEN}" }
[[signal.source]]
kind = "push"
[[signal]]
name = "grid"
unit = "%"
class = "grid"
kind = "mqtt"
broker = ["mqtts://a.example", "mqtts://b.example"]
topic = "site/target"
user = "u"
password_env = "TOKEN"
value = "/target"
at = "/timestamp"
[[signal]]
name = "peak"
unit = "USD/MWh"
kind = "schedule"
zone = "America/Chicago"
otherwise = 50
windows = [{ days = "mon-fri", from = "14:00", to = "20:00", value = 310 }]
[[signal]]
name = "difficulty"
unit = "difficulty"
kind = "jobs"
field = "difficulty"
pool = "pool-1"
"#;
    let (config, warnings) = Config::parse(&format!("{MINIMAL}{text}"), &OneToken).unwrap();
    assert_eq!(warnings, []);
    let plan = crate::config::describe(&config);
    insta::assert_snapshot!(&plan[plan.find("signal \"btc\"").unwrap()..], @r#"
    signal "btc" in USD/BTC
      comes from       https://api.example/ticker?…, with X-Key: ***, every 1m, within 10s, value at /price
      and              whoever sends it to PUT /api/v1/signals/… (or to the library)
      counts           the median of those that are fresh; nothing is done while they are over 2 % apart
      is plausible     from 1000 to 10000000; anything else is refused and shown
      is fresh         for 20m
      without it       nothing changes, for a while

    signal "grid" in ratio
      comes from       topic "site/target" at mqtts://a.example:8883 and mqtts://b.example:8883, as u with password ***, value at /target, its time at /timestamp
      is fresh         for 10m
      without it       the grid's silence counts as the config says, once it has been heard

    signal "peak" in USD/MWh
      comes from       the local time in America/Chicago: 1 window, 50 outside of them
      without it       nothing changes, for a while

    signal "difficulty" in difficulty
      comes from       the network's difficulty in the jobs of pool "pool-1"
      is fresh         for 20m
      without it       nothing changes, for a while
    "#);
}
