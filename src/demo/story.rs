//! What the demo tells of a site that moves its power: who takes part, what prices do in each act, and how it must have ended.
//!
//! Values and texts alone: when an act begins is the plot's (`plot.rs`), who starts all this and watches it is the demo. What an operator would
//! write is in [`config_text`], with the addresses of this run.
//!
//! | act | what happens |
//! |---|---|
//! | [`Act::AllMine`] | everybody mines; AI compute has no offer that pays |
//! | [`Act::PowerIsDear`] | the oldest group loses money: it drains |
//! | [`Act::AiPays`] | AI compute pays more than its power costs, and gets what is free |
//! | [`Act::MiningPays`] | prices turn: the power is asked back, and when it is back the group wakes |
//!
//! ```text
//! $/MWh at the meter      old 68.6   mid 94.1   new 134.8   power 35 → 90 → 30      AI 32 → 208 → 16
//! ```
//! at 50 $ for a PH/s and day, with 3 % lost on the way to the machines.
//!
//! The cap leaves room for all bounds of the ASICs, so that all can wake again, and not for AI compute beside them.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::sim::ai_site::{AiFault, AiSiteSettings};
use crate::sim::site::{AiDraw, SimGroup, SimSiteSettings, SiteReport};

/// What prices say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Everybody mines.
    AllMine,
    /// The oldest group loses money.
    PowerIsDear,
    /// And AI compute pays for its power.
    AiPays,
    /// Mining pays for all again.
    MiningPays,
}

/// How much of the story was told when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// All of it.
    All,
    /// The first act, as it was asked for.
    FirstAct,
    /// Somebody ended it on the way.
    Part,
}

/// The group that moves.
pub const OLDEST: &str = "old";

/// What the site may draw, W.
pub const CAP: f64 = 1_300e3;
/// What is always there at most, W.
const BASE_LOAD: f64 = 20e3;
/// What AI compute draws of IT at most, and without work, W.
pub const AI_POWER: f64 = 250e3;
const AI_IDLE: f64 = 8e3;
/// What AI compute draws at the site meter for a watt of IT, as the operator wrote it.
pub const PUE: f64 = 1.25;
/// Name, J/TH, nameplate in W; as many of each. The first is [`OLDEST`].
pub const GROUPS: [(&str, f64, f64); 3] = [(OLDEST, 29.5, 3250.0), ("mid", 21.5, 3500.0), ("new", 15.0, 3500.0)];
/// ASICs of each group, where nobody says otherwise; the cap is made for these.
pub const MACHINES: usize = 100;
/// Machines boot so much faster than real ones: in 2 to 8 s.
const TIME_SCALE: f64 = 20.0;
/// Hashes per second for each TH/s: some 100 for one machine.
const HASHES_PER_TERAHASH: f64 = 0.8;
/// What the simulated pools credit: a share in 430 hashes, which takes one machine 2 to 5 s.
pub const POOL_DIFFICULTY: f64 = 1e-7;
/// The share of firmware that lies, with faults.
pub const LIARS: f64 = 0.05;
/// How long a blip may have the site over its cap: the meter is read each second, the AI side answers and sheds in `sheds_within`, 10 s, and its
/// delay comes on top.
const BACK_UNDER: f64 = 25.0;
/// How much longer AI compute takes to give back, with faults.
pub const AI_LATE: Duration = Duration::from_secs(4);

/// Where everything of this run is.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// The two pools.
    pub pools: [SocketAddr; 2],
    /// The simulated site's API.
    pub site: SocketAddr,
    /// The price feed.
    pub prices: SocketAddr,
    /// Simulated AI compute.
    pub ai: SocketAddr,
    /// What its messages are signed with, 16 bytes at least.
    pub secret: &'a str,
    /// The ledger's file, in a folder of this run.
    pub ledger: &'a Path,
}

/// What the price feed says in an act, by name.
#[must_use]
pub const fn prices(act: Act) -> [(&'static str, f64); 3] {
    let (power, ai) = match act {
        Act::AllMine => (35.0, 40.0),
        Act::PowerIsDear => (90.0, 40.0),
        Act::AiPays => (90.0, 260.0),
        Act::MiningPays => (30.0, 20.0),
    };
    [("power", power), ("ai", ai), ("hashprice", 50.0)]
}

/// The site, with `machines` ASICs in each group.
#[must_use]
pub fn site(machines: usize, has_faults: bool, seed: u64, ai: AiDraw) -> SimSiteSettings {
    let scale = machines as f64 / MACHINES as f64;
    let groups = GROUPS.map(|(name, efficiency, nameplate)| SimGroup {
        hashrate: nameplate / efficiency * HASHES_PER_TERAHASH,
        ..SimGroup::new(name, machines, efficiency, nameplate)
    });
    SimSiteSettings {
        groups: groups.into(),
        base_load: BASE_LOAD * scale,
        cap: Some(CAP * scale),
        ai: Some(ai),
        liars: if has_faults { LIARS } else { 0.0 },
        time_scale: TIME_SCALE,
        connects_per_second: 500.0,
        seed,
        ..SimSiteSettings::default()
    }
}

/// AI compute beside so many ASICs in each group.
#[must_use]
pub fn ai(machines: usize, has_faults: bool, seed: u64, secret: &str) -> AiSiteSettings {
    let scale = machines as f64 / MACHINES as f64;
    AiSiteSettings {
        secret: secret.to_owned(),
        capacity: AI_POWER * scale,
        idle: AI_IDLE * scale,
        starts_within: Duration::from_secs(2),
        release_time: Duration::from_secs(2),
        seed,
        faults: if has_faults { vec![AiFault::ReleasesLate(AI_LATE)] } else { Vec::new() },
        ..AiSiteSettings::default()
    }
}

/// What an operator would write for the site with `machines` ASICs in each group.
#[must_use]
pub fn config_text(places: &Places<'_>, machines: usize) -> String {
    let scale = machines as f64 / MACHINES as f64;
    let kilowatts = |watts: f64| format!("{} kW", watts * scale / 1e3);
    let mut text = String::from(
        "[proxy]\nstate_file = \"\"\n\n[[listener]]\nname = \"farm\"\nlisten = \"127.0.0.1:0\"\nshares_per_minute = 60\n\
         difficulty = 2e-8\nmin_difficulty = 1e-9\n",
    );
    // Writing to memory can't fail.
    for (name, pool) in ["first", "second"].iter().zip(places.pools) {
        let _ = write!(text, "\n[[pool]]\nname = \"{name}\"\nurl = \"stratum+tcp://{pool}\"\nuser = \"demo\"\n");
    }
    text.push_str("\n[[route]]\nname = \"all\"\npools = [\"first\", \"second\"]\nfail_back_after = \"5s\"\n");
    for (name, unit) in [("power", "USD/MWh"), ("ai", "USD/MWh"), ("hashprice", "USD/PH/day")] {
        signal(&mut text, name, unit, &format!("http://{}/{name}", places.prices), ["/value", "/observed_at"]);
    }
    signal(&mut text, "site-meter", "kW", &format!("http://{}/meter", places.site), ["/kilowatts", "/at"]);
    let (cap, base_load) = (kilowatts(CAP), kilowatts(BASE_LOAD));
    let _ = write!(
        text,
        r#"
[profit]
mode = "active"
hashprice = "hashprice"
min_asleep = "5s"

[site]
power_price = "power"
overhead = 1.03
cap = "{cap}"
base_load = "{base_load}"
meter = "site-meter"
meter_max_age = "10s"

[power]
ledger = {ledger:?}
max_age = "6s"
poll = "1s"
poll_moving = "1s"
command_lifetime = "10s"
lease_term = "60s"
"#,
        ledger = places.ledger.display().to_string()
    );
    for (name, efficiency, nameplate) in GROUPS {
        let power = kilowatts(nameplate * MACHINES as f64);
        let _ = write!(
            text,
            r#"
[[group]]
name = "{name}"
efficiency = "{efficiency} J/TH"
power = "{power}"
workers = "{name}.*"
nameplate = "{nameplate} W"
sleep_time = "10s"
wake_time = "60s"
backoff = "2s"
quiet = "2s"
quiet_limit = "10s"
probe = "10s"
[group.actuator]
kind = "simulated"
url = "http://{site}"
hashes_per_terahash = {HASHES_PER_TERAHASH}
"#,
            site = places.site
        );
    }
    let (power, idle) = (kilowatts(AI_POWER), kilowatts(AI_IDLE * PUE));
    let _ = write!(
        text,
        r#"
[[ai]]
name = "gpus"
power = "{power}"
price = "ai"
demand = 1
pue = {PUE}
idle = "{idle}"
sheds_within = "10s"
starts_within = "30s"
returns_within = "30s"
[ai.control]
kind = "webhook"
url = "http://{ai}/lease"
status = "http://{ai}/status"
secret = "{secret}"
poll = "1s"
"#,
        ai = places.ai,
        secret = places.secret
    );
    text
}

fn signal(text: &mut String, name: &str, unit: &str, url: &str, [value, at]: [&str; 2]) {
    let _ = write!(
        text,
        "\n[[signal]]\nname = \"{name}\"\nunit = \"{unit}\"\nmax_age = \"10s\"\nkind = \"http_json\"\nurl = \"{url}\"\nvalue = \"{value}\"\nat = \"{at}\"\npoll = \"1s\"\n",
    );
}

/// What went wrong, in words; nothing, if it ended as it must. `credited` is what the pools credited of the shares that they were owed.
#[must_use]
pub fn faults_found(report: &SiteReport, owed: u64, credited: u64, has_faults: bool, told: Told) -> Vec<String> {
    let (shares, record) = (&report.shares, &report.record);
    let may_be_over = may_be_over(has_faults);
    let ai_hours = AI_IDLE * PUE * record.seconds / 3600.0;
    let is_whole = told == Told::All;
    let found = [
        (shares.accepted == 0 && told != Told::Part, "no share was accepted".to_owned()),
        (shares.lost > 0, format!("{} shares were lost", shares.lost)),
        (credited != owed, format!("pools owed credit for {owed} shares and credited {credited}")),
        (
            record.longest_over_cap_seconds > may_be_over,
            format!("the site was over its cap for {:.1} s", record.longest_over_cap_seconds),
        ),
        (is_whole && record.ai_watt_hours <= 2.0 * ai_hours, "AI compute never drew what it was to have".to_owned()),
        (
            is_whole && report.counts.asleep + report.counts.moving > 0 && !has_faults,
            "not everybody mines in the end".to_owned(),
        ),
    ];
    found.into_iter().filter(|(is_so, _)| *is_so).map(|(_, text)| text).collect()
}

/// How long the site may be over its cap without a break, in seconds.
#[must_use]
pub const fn may_be_over(has_faults: bool) -> f64 {
    if has_faults { BACK_UNDER } else { 0.0 }
}

/// Whether AI compute beside so many ASICs in each group works, drawing so many watts of IT: with half of its power, or more.
#[must_use]
pub fn ai_works(machines: usize, watts: f64) -> bool {
    watts > 0.5 * AI_POWER * machines as f64 / MACHINES as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::site::{Counts, Draw, Record, Shares};

    /// As in the module's table: $/MWh at the meter.
    fn earns(hashprice: f64, efficiency: f64) -> f64 {
        hashprice / (0.024 * efficiency) / 1.03
    }

    #[test]
    fn prices_move_the_oldest_group_and_no_other() {
        for act in [Act::AllMine, Act::PowerIsDear, Act::AiPays, Act::MiningPays] {
            let [(_, power), (_, ai), (_, hashprice)] = prices(act);
            let (ai, is_dear) = (ai / PUE, matches!(act, Act::PowerIsDear | Act::AiPays));
            let of = |at: usize| earns(hashprice, GROUPS[at].1);
            assert_eq!(power > 1.1 * of(0), is_dear, "the oldest group's drain in {act:?}");
            assert_eq!(power < 0.9 * of(0), !is_dear, "the oldest group's wake in {act:?}");
            assert!(power < 1.1 * of(1) && power < 1.1 * of(2), "the others mine in {act:?}");
            assert_eq!(ai > power, act == Act::AiPays, "AI compute pays in {act:?}");
        }
        let oldest = GROUPS[0].2 * MACHINES as f64 * 1.03;
        assert!(AI_POWER * PUE < oldest, "one group's power is enough for AI compute");
    }

    #[test]
    fn the_cap_has_room_for_all_bounds_and_not_for_ai_compute_beside() {
        let nameplates: f64 = GROUPS.iter().map(|(.., nameplate)| nameplate * MACHINES as f64).sum();
        // 1.1 × nameplate, and 1.05 × what was seen of the third that is tuned past that, 1.17 × on the average.
        let bounds = nameplates * (2.0 / 3.0 * 1.1 + 1.0 / 3.0 * 1.05 * 1.17) * 1.03;
        let always = BASE_LOAD + AI_IDLE * PUE * PUE;
        assert!(bounds + always + 0.02 * CAP < CAP, "not all could wake again");
        assert!(nameplates * 1.0 + BASE_LOAD + AI_POWER * 1.23 > CAP, "a lease beside all of them would not be seen");
    }

    #[test]
    fn the_config_is_toml_with_every_address() {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let places = Places {
            pools: [address(1001), address(1002)],
            site: address(1003),
            prices: address(1004),
            ai: address(1005),
            secret: "0123456789abcdef",
            ledger: Path::new("a \"folder\"/ledger.db"),
        };
        let text = config_text(&places, 50);
        let config: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
        let count = |key: &str| config[key].as_array().map(Vec::len);
        assert_eq!((count("group"), count("ai"), count("signal"), count("pool")), (Some(3), Some(1), Some(4), Some(2)));
        for port in 1001..=1005 {
            assert!(text.contains(&format!("127.0.0.1:{port}")), "{port}");
        }
        assert_eq!(config["site"]["cap"].as_str(), Some("650 kW"));
        assert_eq!(config["power"]["ledger"].as_str(), Some("a \"folder\"/ledger.db"));
    }

    #[test]
    fn what_went_wrong_is_found() {
        let good = SiteReport {
            draw: Draw::default(),
            watts: 0.0,
            cap: Some(CAP),
            record: Record { seconds: 58.0, ai_watt_hours: 1500.0, ..Record::default() },
            counts: Counts { mining: 300, ..Counts::default() },
            liars: 0,
            groups: Vec::new(),
            shares: Shares { sent: 900, accepted: 890, rejected: 10, ..Shares::default() },
        };
        assert_eq!(faults_found(&good, 890, 890, false, Told::All), [""; 0]);
        assert_eq!(faults_found(&good, 890, 889, false, Told::Part).len(), 1);
        let bad = |change: fn(&mut SiteReport), has_faults| {
            let mut report = good.clone();
            change(&mut report);
            faults_found(&report, 890, 890, has_faults, Told::All).len()
        };
        assert_eq!(bad(|report| report.shares.lost = 1, true), 1);
        assert_eq!(bad(|report| report.record.longest_over_cap_seconds = 0.1, false), 1);
        assert_eq!(bad(|report| report.record.longest_over_cap_seconds = 20.0, true), 0);
        assert_eq!(bad(|report| report.record.longest_over_cap_seconds = 26.0, true), 1);
        assert_eq!(bad(|report| report.record.ai_watt_hours = 300.0, false), 1);
        assert_eq!(bad(|report| report.counts.asleep = 1, false), 1);
        assert_eq!(bad(|report| report.shares.accepted = 0, false), 1);
        let mut early = good.clone();
        (early.record.ai_watt_hours, early.counts.asleep, early.shares.accepted) = (0.0, 5, 0);
        assert_eq!(faults_found(&early, 890, 890, false, Told::Part), [""; 0], "nothing is claimed, nothing is missed");
    }
}
