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

/// The base with a group that a driver moves, and AI compute that is told of leases.
fn moved(edit: &[(&str, &str)]) -> Config {
    let text = format!(
        "{BASE}[profit]\nmode = \"active\"\n[site]\ncap = \"1 MW\"\npower_price = \"60 USD/MWh\"\n[power]\nledger = \"first.db\"\nreserve = \"1 kW\"\n\
         [[group]]\nname = \"hall\"\nsignal = \"pays\"\npower = \"14 kW\"\nnameplate = \"3500 W\"\nworkers = \"hall.*\"\n\
         [group.actuator]\nkind = \"custom:firmware\"\n\
         [[ai]]\nname = \"gpus\"\npower = \"20 kW\"\nprice = \"300 USD/MWh\"\ndemand = 1.0\nidle = \"1 kW\"\n[ai.control]\nkind = \"custom:gpus\"\n\
         [[signal]]\nname = \"pays\"\nunit = \"verdict\"\nkind = \"push\"\nmax_age = \"1h\"\n"
    );
    parse(&edit.iter().fold(text, |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from} in {text}");
        text.replacen(from, to, 1)
    }))
}

fn told(old: &Config, new: &Config) -> String {
    diff(old, new).iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn where_machines_are_moved_it_is_told_what_begins_anew() {
    let old = moved(&[]);
    let new = moved(&[
        ("mode = \"active\"", "mode = \"advise\"\nmin_asleep = \"5m\""),
        ("cap = \"1 MW\"", "cap = \"2 MW\""),
        ("ledger = \"first.db\"", "ledger = \"second.db\"\nlease_term = \"3m\""),
        ("nameplate = \"3500 W\"", "nameplate = \"3600 W\""),
        ("demand = 1.0", "demand = 0.5"),
        ("max_age = \"1h\"", "max_age = \"2h\""),
        ("[[ai]]", "[[group]]\nname = \"more\"\nsignal = \"pays\"\npower = \"5 kW\"\n[[ai]]"),
    ]);
    insta::assert_snapshot!(told(&old, &new), @r#"
    [power] ledger: first.db → second.db; needs a restart
    signal "pays" max_age: 1h → 2h; signals and decisions begin anew on it; who stays as it is keeps its values
    [profit] mode: active → advise; the power side begins anew on it; machines and leases stay as they are, miners notice nothing
    [profit] min_asleep: 15m → 5m; from the next decision on
    [site] cap: 1.00 MW → 2.00 MW; from the next decision on
    group "more" added; the power side begins anew on it; machines and leases stay as they are, miners notice nothing
    ai "gpus" demand: another one; from the next decision on
    [power] cap: 1.00 MW → 2.00 MW; the power side begins anew on it; machines and leases stay as they are, miners notice nothing
    [power] lease_term: 2m → 3m; the power side begins anew on it; machines and leases stay as they are, miners notice nothing
    group "hall" nameplate: 3.5 kW → 3.6 kW; the power side begins anew on it; machines and leases stay as they are, miners notice nothing
    group "hall" sleep_max: 70 W → 72 W; the power side begins anew on it; machines and leases stay as they are, miners notice nothing
    "#);
    assert!(power_begins_anew(&old, &new));
    // All of it is followed but for the ledger's place, and that is all that is left.
    let followed = followed(&old, &new);
    assert_eq!((&followed.profit, &followed.signals), (&new.profit, &new.signals));
    assert_eq!(
        (followed.power.as_ref().map(|power| &power.ledger), &followed.ledger),
        (Some(&old.ledger), &old.ledger)
    );
    assert_eq!(told(&followed, &new), "[power] ledger: first.db → second.db; needs a restart");
    assert!(!power_begins_anew(&followed, &new), "that alone begins nothing anew");
}

#[test]
fn what_can_be_followed_in_place_begins_nothing_anew() {
    let old = moved(&[]);
    for (from, to) in [
        ("max_age = \"1h\"", "max_age = \"2h\""),
        ("demand = 1.0", "demand = 0.5"),
        ("60 USD/MWh", "61 USD/MWh"),
        ("mode = \"active\"", "mode = \"active\"\nmin_asleep = \"5m\""),
        ("[[ai]]", "[[feeder]]\nname = \"north\"\ncap = \"1 MW\"\n[[ai]]"),
        ("hunter2", "hunter3"),
    ] {
        let new = moved(&[(from, to)]);
        assert_ne!(diff(&old, &new), []);
        assert!(!power_begins_anew(&old, &new), "{}", told(&old, &new));
        assert_eq!(followed(&old, &new), new);
    }
}

#[test]
fn a_power_side_comes_and_goes_with_what_it_moves() {
    let (none, some) = (parse(BASE), moved(&[]));
    // It takes its own ledger, where nobody has one.
    assert!(power_begins_anew(&none, &some) && power_begins_anew(&some, &none));
    assert_eq!(followed(&none, &some), some);
    let ended = followed(&some, &none);
    assert_eq!((&ended.power, &ended.ledger), (&None, &some.ledger));
    assert_eq!(told(&ended, &none), "[power] ledger: first.db → hashgate-power.db; needs a restart");
}

#[test]
fn groups_that_nothing_moves_come_and_go_in_the_next_decision() {
    let text = |policy: &str| {
        format!(
            "{BASE}[profit]\nsignal = \"hashprice\"\ndrain_below = {policy}\nwake_above = 50\n[[group]]\n[[signal]]\nname = \"hashprice\"\nkind = \"push\"\nunit = \"USD/PH/day\"\n"
        )
    };
    let (old, new) = (parse(&text("45")), parse(&format!("{}[[group]]\nname = \"more\"\n", text("40"))));
    insta::assert_snapshot!(told(&old, &new), @r#"
    group "group-1" rule: drains when "hashprice" is under 45, wakes when it is over 50 → drains when "hashprice" is under 40, wakes when it is over 50; from the next decision on
    group "more" added; from the next decision on
    "#);
    assert_eq!(followed(&old, &new), new);
    assert!(!power_begins_anew(&old, &new));
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
