use super::*;
use crate::config::{
    Config,
    validate::tests::{MINIMAL, NoEnv, lines},
};

/// Signals that the tests name.
const SIGNALS: &str = r#"
[admin]
token = "0123456789abcdef"
[[signal]]
name = "spot"
kind = "push"
unit = "USD/MWh"
[[signal]]
name = "earnings"
kind = "push"
unit = "USD/PH/day"
[[signal]]
name = "share"
kind = "push"
unit = "ratio"
[[signal]]
name = "pays"
kind = "push"
unit = "verdict"
"#;

fn read(text: &str) -> Profit {
    let (config, warnings) =
        Config::parse(&format!("{MINIMAL}{SIGNALS}{text}"), &NoEnv).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(warnings, []);
    config.profit.unwrap()
}

fn errors(text: &str) -> Vec<String> {
    let begin = MINIMAL.lines().count() + SIGNALS.lines().count();
    let told = lines(&Config::parse(&format!("{MINIMAL}{SIGNALS}{text}"), &NoEnv).unwrap_err());
    // Lines are counted from where the test's own text begins.
    let own = |line: String| match line.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
        Some((number, rest)) => format!("{}: {rest}", number.parse::<usize>().unwrap() - begin),
        None => line,
    };
    told.into_iter().map(own).collect()
}

#[test]
fn a_config_without_groups_has_no_money_in_it() {
    assert_eq!(Config::parse(MINIMAL, &NoEnv).unwrap().0.profit, None);
    let told = errors("[profit]\nmode = \"advise\"\n");
    assert_eq!(told, ["group: there is none; write a [[group]]: the miners that sleep and wake together"]);
}

#[test]
fn one_signal_two_thresholds_and_one_group_are_a_policy() {
    let profit = read("[profit]\nsignal = \"earnings\"\ndrain_below = 45\nwake_above = \"50 USD/PH/day\"\n[[group]]\n");
    assert_eq!(profit.mode, Mode::DryRun);
    let rule = Rule::Threshold { signal: Arc::from("earnings"), drain_below: 45.0, wake_above: 50.0 };
    assert_eq!(profit.groups[0].rule, rule);
    let profit = read("[profit]\nsignal = \"pays\"\n[[group]]\n");
    assert_eq!(profit.groups[0].rule, Rule::Verdict { signal: Arc::from("pays") });
}

#[test]
fn thresholds_are_in_the_signals_own_unit() {
    let text = "[[signal]]\nname = \"sun\"\nkind = \"push\"\nunit = \"kW\"\n[[group]]\nsignal = \"sun\"\ndrain_below = 500\n\
                wake_above = \"0.8 MW\"\n";
    let rule = Rule::Threshold { signal: Arc::from("sun"), drain_below: 500e3, wake_above: 800e3 };
    assert_eq!(read(text).groups[0].rule, rule);
}

#[test]
fn a_cost_is_no_number_to_drain_below() {
    let text = format!("{MINIMAL}{SIGNALS}[[group]]\nsignal = \"spot\"\ndrain_below = 45\nwake_above = 50\n");
    let (_, warnings) = Config::parse(&text, &NoEnv).unwrap();
    assert!(warnings[0].to_string().contains("groups drain when it is low"), "{warnings:?}");
}

#[test]
fn a_number_is_an_amount_or_the_name_of_a_signal() {
    let profit = read(
        "[profit]\nhashprice = \"earnings\"\npool_fee = \"2 %\"\n[site]\npower_price = \"6 ct/kWh\"\ndelivery = \"8 USD/MWh\"\n\
         [[group]]\nefficiency = \"21.5 J/TH\"\npower = \"3.5 MW\"\n",
    );
    assert_eq!(profit.market, Some(Market::Hashprice(Quote::Signal(Arc::from("earnings")))));
    assert_eq!(profit.site.power_price, Some(Quote::Fixed(MoneyPerMwh::new(60.0).unwrap())));
    assert_eq!(profit.site.delivery.get(), 8.0);
    let fee = Ratio::new(0.02).unwrap();
    let efficiency = Efficiency::Fixed(JoulesPerTerahash::new(21.5).unwrap());
    assert_eq!(profit.groups[0].rule, Rule::Economics { efficiency, pool_fee: fee });
    assert_eq!(profit.groups[0].power, Watts::new(3.5e6));
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let told = errors(
        r#"[profit]
hashprice = "earning"
btc_price = "60000 EUR/BTC"
drain_at = 0.8
signal = "pays"
drain_below = 1
[site]
power_price = "earnings"
delivery = 8
overhead = 0.9
grid = "spot"
[[group]]
name = "a"
efficiency = "21.5"
floor = "2 MW"
power = "1 MW"
feeder = "north"
[[group]]
name = "b"
[[ai]]
name = "gpus"
power = "1 MW"
demand = "share"
gpu_price = "2 USD/GPUh"
interruptible = "yes"
"#,
    );
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn what_shares_power_must_know_how_much_each_takes() {
    let told = errors("[profit]\nsignal = \"pays\"\n[site]\ncap = \"5 MW\"\n[[group]]\nname = \"a\"\n");
    assert!(told[0].contains("group \"a\".power: is missing, and the site has a cap"), "{told:?}");
    let told = errors("[[group]]\nefficiency = \"21.5 J/TH\"\n");
    assert!(told[0].contains("profit.hashprice: is missing"), "{told:?}");
    assert!(told[1].contains("site.power_price: is missing"), "{told:?}");
}

#[test]
fn an_active_mode_without_anything_to_move_is_said() {
    let text = format!("{MINIMAL}{SIGNALS}[profit]\nmode = \"active\"\nsignal = \"pays\"\n[[group]]\n");
    let (_, warnings) = Config::parse(&text, &NoEnv).unwrap();
    assert!(warnings[0].to_string().contains("profit.mode: no group has a [group.actuator]"), "{warnings:?}");
}

#[test]
fn money_and_power_read_as_a_plan() {
    let text = r#"
[profit]
mode = "advise"
hashprice = "earnings"
pool_fee = 0.01
min_mining = "1h"
[site]
power_price = "spot"
delivery = "8 USD/MWh"
overhead = 1.05
cap = "6 MW"
base_load = "200 kW"
curtail_pays = "5 USD/MWh"
grid = "share"
schedule = "pays"
[[feeder]]
name = "north"
cap = "4 MW"
[[group]]
name = "hall-a"
efficiency = "21.5 J/TH"
power = "3.5 MW"
floor = "500 kW"
feeder = "north"
[[group]]
name = "hall-b"
signal = "earnings"
drain_below = 45
wake_above = 50
power = "2 MW"
wake_time = "10m"
wear_per_mw = "2 USD"
[[ai]]
name = "gpus"
power = "2 MW"
gpu_price = "2 USD/GPUh"
gpu_power = "1275 W"
utilisation = "70 %"
fee = 0.2
demand = "share"
pue = 1.25
block = "100 kW"
notice = "30m"
min_term = "4h"
warm_up = "10m"
interruptible = true
"#;
    let (config, _) = Config::parse(&format!("{MINIMAL}{SIGNALS}{text}"), &NoEnv).unwrap();
    let plan = crate::config::describe(&config);
    let (_, plan) = plan.split_once("\nprofit in").unwrap();
    insta::assert_snapshot!(format!("profit in{plan}"));
}

#[test]
fn the_example_shows_every_key_with_its_default() {
    let example = include_str!("../../../config.example.toml");
    let (_, block) = example.split_once("# All of it:\n").unwrap();
    let (block, _) = block.split_once("\n# -----").unwrap();
    let uncommented: String = block.lines().map(|line| format!("{}\n", line.trim_start_matches("# "))).collect();
    let signals = [
        ("hashprice", "USD/PH/day"),
        ("grid", "ratio"),
        ("work-hours", "verdict"),
        ("gpu", "USD/GPUh"),
        ("demand", "ratio"),
    ];
    let signals =
        signals.map(|(name, unit)| format!("[[signal]]\nname = \"{name}\"\nkind = \"push\"\nunit = \"{unit}\"\n"));
    let (head, _) = uncommented.split_once("#\n[[signal]]").unwrap_or((&uncommented, ""));
    let shown = format!("{}{head}", signals.concat());
    let all = match Config::parse(&format!("{MINIMAL}{SIGNALS}{shown}"), &NoEnv) {
        Ok((config, _)) => config.profit.unwrap(),
        Err(errors) => panic!("{errors}\n{head}"),
    };
    let needed = ["[profit]", "[site]", "[[feeder]]", "[[group]]", "[[ai]]"];
    let keys = [
        "hashprice",
        "power_price",
        "cap",
        "grid ",
        "schedule",
        "name",
        "efficiency",
        "power ",
        "feeder",
        "gpu_p",
        "demand",
    ];
    let is_needed = |line: &&str| needed.contains(line) || keys.iter().any(|key| line.starts_with(key));
    let least: String = head.lines().filter(is_needed).map(|line| format!("{line}\n")).collect();
    let least = Config::parse(&format!("{MINIMAL}{SIGNALS}{}{least}", signals.concat()), &NoEnv);
    assert_eq!(least.unwrap_or_else(|errors| panic!("{errors}")).0.profit, Some(all));
}
