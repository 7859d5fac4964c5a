//! `hashgate backtest`, as an operator meets it: files in, figures and files out, and every bad file named by line.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Output},
};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

/// With the prices of `btc()` mining earns 148 $/MWh at 21.5 J/TH, 106 at 30.
const CONFIG: &str = r#"
[[listener]]
name = "farm"
listen = "127.0.0.1:0"

[[pool]]
name = "simulation"
url = "sim://"
user = "nobody"

[profit]
hashprice = "50 USD/PH/day"

[site]
power_price = "50 USD/MWh"

[[group]]
name = "new"
efficiency = "21.5 J/TH"
power = "1 MW"

[[group]]
name = "old"
efficiency = "30 J/TH"
power = "2 MW"
"#;

/// Ten days of quarter-hours from 2023-12-28, dear from 17:00 to 20:00, between the groups' values from 8:00 to 9:00.
fn power() -> String {
    let mut text = String::from("time_utc,usd_per_mwh\n");
    for quarter in 0..960 {
        let (day, hour) = (quarter / 96, quarter % 96 / 4);
        let price = match hour {
            17..=19 => 700.0 + f64::from(day),
            8 => 125.0,
            _ => 25.0,
        };
        let (month, date) = if day < 4 { ("2023-12", 28 + day) } else { ("2024-01", day - 3) };
        writeln!(text, "{month}-{date:02}T{hour:02}:{:02}:00Z,{price}", quarter % 4 * 15).expect("a string");
    }
    text
}

fn btc() -> String {
    let mut text = String::from("date_utc,price_usd,difficulty,fees_btc,subsidy_btc_per_block,blocks\n");
    for day in 0..11 {
        let date = if day < 5 { format!("2023-12-{}", 27 + day) } else { format!("2024-01-{:02}", day - 4) };
        writeln!(text, "{date},42000,72000000000000,36,6.25,144").expect("a string");
    }
    text
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        place.write("hashgate.toml", CONFIG.as_bytes());
        place.write("power.csv", power().as_bytes());
        place.write("btc.csv", btc().as_bytes());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).expect("it writes");
    }

    /// Runs it in the folder, with these arguments after the config and the histories.
    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_hashgate"))
            .current_dir(self.folder.path())
            .args(["backtest", "--btc", "btc.csv", "--power", "power.csv"])
            .args(arguments)
            .env_remove("RUST_LOG")
            .output()
            .expect("it starts")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json", "-"]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// What a run that is refused says.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stderr)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

#[test]
fn the_report_says_what_was_earned_per_group_and_year() {
    let report = Place::new().json(&["--exclude", "2024-01-02..2024-01-03"]);
    assert_eq!((&report["from"], &report["to"]), (&Value::from("2023-12-28"), &Value::from("2024-01-06")));
    assert_eq!(report["intervals"], 960);
    let groups = report["groups"].as_array().expect("groups");
    assert_eq!(groups.len(), 2);
    for (group, hours_a_day) in groups.iter().zip([3.0, 4.0]) {
        let spans = group["spans"].as_array().expect("spans");
        let years: Vec<&Value> = spans.iter().map(|span| &span["year"]).collect();
        assert_eq!(years, [&Value::from(2023), &Value::from(2024), &Value::from(2024), &Value::Null, &Value::Null]);
        let total = &spans[3];
        assert!((number(&total["unprofitable"]) - hours_a_day / 24.0).abs() < 1e-9, "{total}");
        let players = total["players"].as_array().expect("players");
        let gain = |index: usize| number(&players[index]["gain"]);
        assert_eq!(players[0]["player"], "policy");
        // Policy, always, never, myopic, free, paying.
        assert!(gain(0) > 0.0 && gain(1) == 0.0 && gain(0) <= gain(5) && gain(5) <= gain(4), "{players:?}");
        assert!(number(&players[0]["switches"]) >= 20.0);
        assert!(number(&total["capture_of_clairvoyant_paying"]) > 0.8, "{total}");
    }
    assert_eq!(report["all"]["spans"][3]["best_days"].as_array().map(Vec::len), Some(10));
    let power: f64 = groups.iter().map(|group| number(&group["megawatts"])).sum();
    assert_eq!(number(&report["all"]["megawatts"]), power);
}

#[test]
fn tables_and_files_are_written() {
    let place = Place::new();
    let output = place.run(&["--html", "report.html", "--json", "report.json", "--from", "2024-01-01"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let tables = text(&output.stdout);
    for words in [
        "2024-01-01 to 2024-01-06 (UTC), 576 intervals of 15 min",
        "group \"old\": 30 J/TH, 2.000 MW",
        "written: report.html",
    ] {
        assert!(tables.contains(words), "{words} is not in\n{tables}");
    }
    let page = fs::read_to_string(place.path("report.html")).expect("a page");
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n") && page.contains("<svg"));
    assert!(serde_json::from_slice::<Value>(&fs::read(place.path("report.json")).expect("a file")).is_ok());
}

#[test]
fn packed_histories_give_the_same() {
    let place = Place::new();
    let plain = place.json(&[]);
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(power().as_bytes()).expect("it packs");
    // By its content: many a download is packed without being named so.
    place.write("power.csv", &packed.finish().expect("it packs"));
    assert_eq!(place.json(&[]), plain);
}

#[test]
fn what_was_mended_is_in_the_output() {
    let place = Place::new();
    let with_gap: String =
        power().lines().filter(|line| !line.starts_with("2024-01-03T12:30")).collect::<Vec<_>>().join("\n");
    place.write("power.csv", with_gap.as_bytes());
    let output = text(&place.run(&[]).stdout);
    assert!(
        output.contains("mended: power.csv: 1 of 960 intervals have no price, the first at 2024-01-03T12:30:00Z"),
        "{output}"
    );
}

#[test]
fn a_bad_history_is_refused_by_file_and_line() {
    for (file, from, to, says) in [
        ("power.csv", "usd_per_mwh", "price", "power.csv: line 1: there is no column usd_per_mwh"),
        ("power.csv", "2023-12-28T00:15:00Z,25", "2023-12-28T00:15:00Z,?", "power.csv: line 3: usd_per_mwh is \"?\""),
        (
            "power.csv",
            "2023-12-28T00:15:00Z,25",
            "2023-12-28T00:00:00Z,26",
            "power.csv: line 3: 2023-12-28T00:00:00Z is in line 2",
        ),
        ("btc.csv", "2023-12-29,42000", "2023-12-29,-1", "btc.csv: line 4: price_usd is -1"),
    ] {
        let place = Place::new();
        let good = fs::read_to_string(place.path(file)).expect("it reads");
        place.write(file, good.replacen(from, to, 1).as_bytes());
        let said = place.refused(&[]);
        assert!(said.contains(says), "{said}");
    }
    let place = Place::new();
    place.write("power.csv", power().replace("time_utc", "time").replace("Z,", ",").as_bytes());
    assert!(place.refused(&[]).contains("--time-zone America/Chicago"));
    assert!(place.run(&["--time-zone", "America/Chicago"]).status.success());
    assert!(place.refused(&["--time-zone", "Texas"]).contains("not a time zone"));
    place.write("power.csv", &[0x1f, 0x8b, 0, 0]);
    assert!(place.refused(&[]).contains("power.csv: "));
    place.write("power.csv", &[0xff, 0xfe]);
    assert!(place.refused(&[]).contains("is not UTF-8 text"));
}

#[test]
fn what_is_asked_wrongly_is_refused() {
    let place = Place::new();
    for (arguments, says) in [
        (["--exclude", "2024-01-05..2024-01-02"].as_slice(), "swap them"),
        (["--from", "yesterday"].as_slice(), "yesterday"),
        (["--to", "2025-01-01"].as_slice(), "history reaches from 2023-12-28 to 2024-01-06"),
        (["--ai", "gpus.csv"].as_slice(), "gpus.csv: "),
        (["--config", "none.toml"].as_slice(), "none.toml"),
    ] {
        let said = place.refused(arguments);
        assert!(said.contains(says), "{said}");
    }
    place.write("hashgate.toml", CONFIG.split("[profit]").next().expect("a part").as_bytes());
    assert!(place.refused(&[]).contains("has no groups to replay"));
}

#[test]
fn ai_compute_takes_the_power_it_pays_for() {
    let place = Place::new();
    let ai =
        "\n[[ai]]\nname = \"gpus\"\npower = \"1 MW\"\ngpu_price = \"0.5 USD/GPUh\"\ngpu_power = \"1 kW\"\ndemand = 1\n";
    place.write("hashgate.toml", format!("{CONFIG}{ai}").as_bytes());
    place.write("gpus.csv", b"date_utc,usd_per_gpu_hour\n2023-12-01,0.001\n2024-01-02,2\n");
    place.write("demand.csv", b"date_utc,demand\n2023-12-01,1\n2024-01-04,0\n");
    let report = place.json(&["--ai", "gpus.csv", "--demand", "demand.csv"]);
    let policy = &report["all"]["spans"][2]["players"][0];
    // Two days of demand at a price that pays, for half of the old group's power.
    let hours = number(&policy["hours_ai"]);
    assert!((20.0..=50.0).contains(&hours), "{policy}");
    assert!(number(&policy["gain"]) > 2000.0 * 20.0, "{policy}");
}
