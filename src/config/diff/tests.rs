use proptest::prelude::*;

use super::*;
use crate::config::validate::tests::NoEnv;

const BASE: &str = r#"
[admin]
token = "0123456789abcdef"
[[listener]]
name = "farm"
listen = "127.0.0.1:3333"
[[pool]]
name = "eu"
url = "stratum+tcp://eu.example:3333"
user = "a"
password = "hunter2"
[[pool]]
name = "us"
url = "stratum+tcp://us.example:3333"
user = "a"
[[route]]
name = "hall"
user = "hall.*"
pools = ["us"]
[[route]]
name = "rest"
pools = ["eu", "us"]
"#;

fn parse(text: &str) -> Config {
    Config::parse(text, &NoEnv).unwrap_or_else(|errors| panic!("{errors}\n{text}")).0
}

/// The base with some of its text replaced.
fn with(changes: &[(&str, &str)]) -> Config {
    let text = changes.iter().fold(BASE.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    });
    parse(&text)
}

fn lines(new: &Config) -> Vec<String> {
    diff(&parse(BASE), new).iter().map(ToString::to_string).collect()
}

#[test]
fn each_change_is_told_with_what_becomes_of_it() {
    let new = with(&[
        (
            "[admin]\ntoken = \"0123456789abcdef\"",
            "[proxy]\nworkers = 7\n[limits]\nline_bytes = 2000\n[admin]\ntoken = \"fedcba9876543210\"",
        ),
        ("listen = \"127.0.0.1:3333\"", "listen = \"127.0.0.1:4444\"\nshares_per_minute = 12"),
        ("hunter2", "hunter3"),
        ("us.example:3333", "us.example:4444"),
        ("pools = [\"eu\", \"us\"]", "pools = [\"us\", \"eu\"]\nfail_back_after = \"5s\""),
    ]);
    let mut old = parse(BASE);
    old.proxy.workers = std::num::NonZeroUsize::new(2).unwrap();
    let lines: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    [proxy] workers: 2 → 7; needs a restart
    [admin] token: another one; the old one opens nothing any more
    [limits] line_bytes: 16384 → 2000; from now on
    listener "farm" listen: 127.0.0.1:3333 → 127.0.0.1:4444; the new address is opened before the old one closes; miners that are connected stay
    listener "farm" shares_per_minute: 18 → 12; miners are brought to it as their shares come
    pool "eu" password: another one; another connection is opened, and its miners move there when that has work; the old one takes their late shares
    pool "us" url: stratum+tcp://us.example:3333 → stratum+tcp://us.example:4444; another connection is opened, and its miners move there when that has work; the old one takes their late shares
    route "rest" fail_back_after: 2m → 5s; from now on
    route "rest" pools: eu, us → us, eu; pools are chosen anew, miners move on the connections they have
    "#);
}

#[test]
fn what_comes_and_goes_is_told_by_its_name() {
    let new = with(&[("name = \"us\"", "name = \"asia\""), ("[\"us\"]", "[\"asia\"]"), ("\"eu\", \"us\"", "\"eu\"")]);
    insta::assert_snapshot!(lines(&new).join("\n"), @r#"
    pool "asia" added; a connection is opened where a route names it
    pool "us" removed; its miners move to another pool of their route as soon as that has work, and mine on for it until then
    route "hall" pools: us → asia; pools are chosen anew, miners move on the connections they have
    route "rest" pools: eu, us → eu; pools are chosen anew, miners move on the connections they have
    "#);
    let one_route = with(&[("[[route]]\nname = \"hall\"\nuser = \"hall.*\"\npools = [\"us\"]\n", "")]);
    insta::assert_snapshot!(lines(&one_route).join("\n"), @r#"route "hall" removed; each miner's route is looked up anew, who is on another one moves on the connection it has"#);
}

#[test]
fn no_secret_is_shown() {
    let new = with(&[("0123456789abcdef", "fedcba9876543210"), ("hunter2", "hunter3")]);
    let told = lines(&new).join("\n");
    assert_eq!(lines(&new).len(), 2, "{told}");
    assert!(!told.contains("hunter") && !told.contains("0123") && !told.contains("fedc"), "{told}");
}

#[test]
fn what_needs_a_restart_keeps_nothing_else_back() {
    let (old, new) =
        (parse(BASE), with(&[("hunter2", "hunter3"), ("[admin]", "[metrics]\nlisten = \"127.0.0.1:1\"\n[admin]")]));
    let followed = followed(&old, &new);
    assert_eq!(followed.pools, new.pools);
    assert_eq!(followed.metrics, None);
    let left = diff(&followed, &new);
    assert!(left.len() == 1 && left[0].effect == Effect::Restart && left[0].place == "[metrics]", "{left:?}");
}

#[test]
fn a_store_and_the_ledgers_place_wait_for_a_restart() {
    let store = |lines: &str| parse(&format!("{BASE}[store]\n{lines}"));
    let (old, new) = (store("path = \"a.db\"\n"), store("url = \"postgres://u:hunter2@h/d\"\nkeep_days = \"90d\"\n"));
    let told: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    [store] place: a.db → a PostgreSQL server; needs a restart
    [store] keep_days: 3660days → 90days; needs a restart
    ");
    assert_eq!(followed(&old, &new).store, old.store);
    let none = store("enabled = false\n");
    assert_eq!(lines(&none), ["[store] removed; needs a restart"]);
    let mut moved = parse(BASE);
    moved.ledger = "elsewhere.db".into();
    assert_eq!(lines(&moved), ["[power] ledger: hashgate-power.db → elsewhere.db; needs a restart"]);
    assert_eq!(followed(&parse(BASE), &moved), parse(BASE));
}

#[test]
fn money_is_followed_as_a_whole_or_not_at_all() {
    let text = |policy: &str| {
        format!(
            "{BASE}[profit]\nsignal = \"hashprice\"\ndrain_below = {policy}\nwake_above = 50\n[[group]]\n[[signal]]\nname = \"hashprice\"\nkind = \"push\"\nunit = \"USD/PH/day\"\n"
        )
    };
    let (old, new) = (parse(&text("45")), parse(&format!("{}[[group]]\nname = \"more\"\n", text("40"))));
    let changes = diff(&old, &new);
    assert!(changes.len() >= 2 && changes.iter().all(|change| change.effect == Effect::Restart), "{changes:?}");
    assert_eq!(followed(&old, &new).profit, old.profit);
    let new = parse(&text("40"));
    assert_eq!(
        diff(&old, &new).iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "group \"group-1\" rule: drains when \"hashprice\" is under 45, wakes when it is over 50 → drains when \"hashprice\" is under 40, wakes when it is over 50; from the next decision on"
        ]
    );
    assert_eq!(followed(&old, &new).profit, new.profit);
}

/// A part of a config, in one of several forms.
fn any_config() -> impl Strategy<Value = String> {
    let pools = proptest::collection::btree_set(0..5u8, 1..4);
    (pools, 0..3u8, 0..3u8, 0..3u8, 0..3u8, any::<bool>(), any::<bool>()).prop_map(
        |(pools, password, limit, port, vardiff, has_metrics, has_hall)| {
            let mut text = format!("[limits]\naccepts_per_second = {}\n[proxy]\nworkers = {}\n", 100 + u32::from(limit), 1 + limit);
            if has_metrics {
                text += "[metrics]\nlisten = \"127.0.0.1:9333\"\n";
            }
            text += &format!("[[listener]]\nname = \"farm\"\nlisten = \"127.0.0.1:{}\"\nshares_per_minute = {}\n", 3333 + u16::from(port), 10 + vardiff);
            for pool in &pools {
                text += &format!("[[pool]]\nname = \"p{pool}\"\nurl = \"stratum+tcp://p{pool}.example:3333\"\nuser = \"u\"\npassword = \"x{password}\"\n");
            }
            let names: Vec<String> = pools.iter().map(|pool| format!("p{pool}")).collect();
            if has_hall {
                text += &format!("[[route]]\nname = \"hall\"\nuser = \"hall.*\"\npools = {:?}\n", &names[..1]);
            }
            text + &format!("[[route]]\nname = \"rest\"\npools = {names:?}\n")
        },
    )
}

proptest! {
    /// What is followed and what needs a restart are together all that differs, and nothing is both.
    #[test]
    fn followed_and_left_are_all_of_it(old in any_config(), new in any_config()) {
        let (old, new) = (parse(&old), parse(&new));
        prop_assert_eq!(diff(&old, &old), []);
        let followed = followed(&old, &new);
        let (done, left) = (diff(&old, &followed), diff(&followed, &new));
        prop_assert!(done.iter().all(|change| change.effect != Effect::Restart), "{:?}", done);
        prop_assert!(left.iter().all(|change| change.effect == Effect::Restart), "{:?}", left);
        let all = diff(&old, &new);
        prop_assert_eq!(all.len(), done.len() + left.len());
        prop_assert_eq!(all.is_empty(), old == new);
    }
}
