use std::{io, path::Path, time::Duration};

use super::*;
use crate::config::{
    Config, Env,
    validate::tests::{MINIMAL, lines},
};

/// A world with one variable and one list.
struct World(&'static str);

impl Env for World {
    fn var(&self, name: &str) -> Option<String> {
        (name == "AI_SECRET").then(|| "hunter2hunter2hunter2".to_owned())
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn read_list(&self, path: &Path, _: u64) -> io::Result<String> {
        if path == Path::new("hall-a.csv") { Ok(self.0.to_owned()) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

/// What the tests name.
const HEAD: &str = r#"
[admin]
token = "0123456789abcdef"
[[signal]]
name = "pays"
kind = "push"
unit = "verdict"
[[signal]]
name = "site-kw"
kind = "push"
unit = "kW"
max_age = "30s"
"#;

/// A site where nothing is wrong.
pub(super) const SITE: &str = r#"[profit]
mode = "active"
signal = "pays"
[site]
cap = "6 MW"
meter = "site-kw"
[[group]]
name = "hall-a"
power = "3.5 MW"
subnets = ["10.1.0.0/16"]
nameplate = "3500 W"
ramp_down = "500 kW"
sleep_survives_power_cycle = "yes"
[group.actuator]
kind = "exec"
sleep = ["/usr/local/bin/asic", "off", "{ip}"]
wake = ["/usr/local/bin/asic", "on", "{ip}", "{mode}"]
[group.watts]
kind = "http_json"
url = "http://{ip}/power?key=hunter2"
value = "/watts"
unit = "W"
[[group.device]]
name = "rack1-07"
address = "10.1.0.7"
worker = "hall-a.07"
efficiency = "17.5 J/TH"
[[ai]]
name = "gpus"
power = "2 MW"
pue = 1.25
price = "211 USD/MWh"
demand = 1
idle = "100 kW"
notice = "30m"
sheds_within = "30s"
[ai.control]
kind = "webhook"
url = "https://ai.example/lease"
status = "https://ai.example/status"
secret_env = "AI_SECRET"
"#;

const LIST: &str =
    "name,worker,address,efficiency_j_per_th\n# the first rack\nrack2-01,hall-a.201,10.1.2.1,21.5\n,hall-a.202,,\n";

pub(super) fn parse(text: &str) -> Result<(Power, Vec<String>), Vec<String>> {
    parse_with(text, LIST)
}

fn parse_with(text: &str, list: &'static str) -> Result<(Power, Vec<String>), Vec<String>> {
    match Config::parse(&format!("{MINIMAL}{HEAD}{text}"), &World(list)) {
        Ok((config, warnings)) => Ok((config.power.unwrap(), warnings.iter().map(ToString::to_string).collect())),
        Err(errors) => Err(lines(&errors)),
    }
}

fn read(text: &str) -> Power {
    let (power, warnings) = parse(text).unwrap_or_else(|errors| panic!("{errors:#?}"));
    assert_eq!(warnings, Vec::<String>::new());
    power
}

/// The site with one text of it in place of another.
fn site_with(from: &str, to: &str) -> String {
    assert!(SITE.contains(from), "{from}");
    SITE.replacen(from, to, 1)
}

#[test]
fn a_group_without_an_actuator_has_no_machines() {
    let text = format!("{MINIMAL}{HEAD}[profit]\nsignal = \"pays\"\n[[group]]\n");
    assert_eq!(Config::parse(&text, &World("")).unwrap().0.power, None);
}

#[test]
fn one_verdict_and_one_command_are_enough() {
    let text = "[profit]\nmode = \"active\"\nsignal = \"pays\"\n[[group]]\nworkers = \"*\"\nnameplate = \"3500 W\"\n\
                [group.actuator]\nkind = \"exec\"\nsleep = [\"asic\", \"off\", \"{ip}\"]\nwake = [\"asic\", \"on\", \"{ip}\"]\n\
                [group.watts]\nkind = \"exec\"\ncommand = [\"asic\", \"watts\", \"{ip}\"]\nunit = \"W\"\n";
    let power = read(text);
    assert_eq!((power.cap, power.reserve, power.proofs, power.calls), (None, Watts::ZERO, 3, 64));
    assert_eq!((power.poll, power.poll_moving, power.max_age), (secs(10), secs(2), secs(30)));
    let group = power.groups[0].as_ref().unwrap();
    assert_eq!(group.sleep_max.get(), 70.0, "two percent of the nameplate");
    assert!(group.miners.workers.as_ref().unwrap().matches("anybody"), "* is everybody, not nobody");
    let moves = Moves {
        ramp_down: None,
        ramp_up: None,
        canary: 1,
        tries: 3,
        backoff: secs(10),
        sleep_time: secs(60),
        wake_time: secs(300),
        sleep_most: secs(1800),
        wake_most: secs(1800),
        quiet: secs(10),
        quiet_limit: secs(60),
        probe: secs(30),
        work_wait: secs(30),
        may_fail: Ratio::clamped(0.1),
        fault_retry: secs(600),
    };
    assert_eq!(group.moves, moves);
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn what_is_left_out_has_its_default() {
    let power = read(SITE);
    assert_eq!((power.ledger.to_str().unwrap(), power.lease_term), ("hashgate-power.db", secs(120)));
    assert_eq!((power.cap.unwrap().get(), power.reserve.get()), (6e6, 120e3));
    let meter = SiteMeter { signal: "site-kw".into(), max_age: secs(30), deviation: Ratio::new(0.1).unwrap() };
    assert_eq!(power.meter, Some(meter));
    let block = power.blocks[0].as_ref().unwrap();
    assert_eq!(block.idle.get(), 125e3, "100 kW of IT at the meter");
    assert_eq!((block.poll, block.returns_within, block.tolerance.get()), (secs(5), secs(2700), 0.03));
    let reserve = |text: &str| read(&format!("[power]\nreserve = \"{text}\"\n{SITE}")).reserve.get();
    assert_eq!((reserve("50 kW"), reserve("5 %")), (50e3, 300e3));
}

#[test]
fn the_least_that_proves_a_sleep_is_far_from_mining() {
    let sleep_max = |plate: &str| {
        let text = site_with("3500 W", plate);
        parse(&text).unwrap().0.groups[0].as_ref().unwrap().sleep_max.get()
    };
    assert_eq!((sleep_max("3500 W"), sleep_max("500 W"), sleep_max("15 W")), (70.0, 25.0, 7.5));
}

#[test]
fn machines_come_from_tables_and_lists() {
    let power = read(&site_with("nameplate", "devices = \"hall-a.csv\"\nnameplate"));
    let devices = &power.groups[0].as_ref().unwrap().devices;
    let names: Vec<&str> = devices.iter().map(|device| &*device.name).collect();
    assert_eq!(names, ["rack1-07", "rack2-01", "hall-a.202"]);
    assert_eq!(devices[1].address, Some("10.1.2.1".parse().unwrap()));
    assert_eq!((devices[1].efficiency.unwrap().get(), devices[2].address), (21.5, None));
}

#[test]
fn a_list_of_a_large_farm_is_read() {
    let rows: String = (0..MAX_DEVICES).map(|n| format!("10.{}.{}.{}\n", n >> 16, n >> 8 & 255, n & 255)).collect();
    let list: &'static str = format!("address\n{rows}").leak();
    let text = site_with("nameplate", "devices = \"hall-a.csv\"\nnameplate").replace("[[group.device]]\n", "");
    let text = text.lines().filter(|line| !line.contains("rack1") && !line.starts_with("address")).collect::<Vec<_>>();
    let text = text.join("\n").replace("worker = \"hall-a.07\"\nefficiency = \"17.5 J/TH\"\n", "");
    let (power, _) = parse_with(&text, list).unwrap();
    assert_eq!(power.groups[0].as_ref().unwrap().devices.len(), MAX_DEVICES);
    let list: &'static str = format!("address\n{rows}11.0.0.1\n").leak();
    let told = parse_with(&text, list).unwrap_err();
    assert!(told[0].contains("makes 100001 machines of the site; write at most 100000"), "{told:?}");
}

#[test]
fn each_wrong_line_of_a_list_is_told() {
    let text = site_with("nameplate", "devices = \"hall-a.csv\"\nnameplate");
    let told = |list: &'static str| parse_with(&text, list).unwrap_err().join("\n");
    insta::assert_snapshot!(told(
        "worker,address,nameplate_w,efficiency_j_per_th\n\
         a.1,10.1.0.300,,\n\
         a.2,10.1.0.2:4028,,\n\
         ,,3500,\n\
         a.4,10.1.0.7,,\n\
         a.5,10.1.0.5,3.5kW,\n\
         a.5,10.1.0.6,,\n\
         a.6,10.1.0.8,100,\n\
         a.7,10.1.0.9,,seventeen\n\
         a.8,10.1.0.10\n\
         a.5,10.1.0.11,,\n"
    ));
    assert!(told("hostname,ip\n").contains("\"hall-a.csv\": \"hostname\" is no column"));
    assert!(told("worker,adress\n").contains("\"adress\" is no column; did you mean \"address\"?"));
    assert!(told("name\nx\n").contains("has neither a column address nor worker"));
    assert!(told("worker,worker\na,b\n").contains("has the column \"worker\" twice"));
    assert!(told("worker\n").contains("\"hall-a.csv\" has no machine in it"));
    let many: &'static str = format!("address\n{}", "x\n".repeat(1000)).leak();
    assert!(told(many).ends_with("\"hall-a.csv\" has 980 more wrong lines"), "{}", told(many));
}

/// What new users write: a text of the site, and what stands there instead.
const MISTAKES: [(&str, &str); 67] = [
    // The actuator.
    ("kind = \"exec\"\n", ""),
    ("kind = \"exec\"\n", "kind = \"exce\"\n"),
    ("kind = \"exec\"\n", "kind = \"whatsminer\"\n"),
    ("kind = \"exec\"\n", "kind = \"custom:\"\n"),
    ("kind = \"exec\"\n", "kind = \"simulated\"\n"),
    ("kind = \"exec\"\n", "kind = \"webhook\"\n"),
    ("[group.actuator]", "[[group.actuator]]"),
    ("[group.actuator]", "[group.actuators]"),
    ("[group.actuator]\nkind", "actuator = \"exec\"\n[x]\nkind"),
    ("sleep = [\"/usr/local/bin/asic\", \"off\", \"{ip}\"]\n", ""),
    ("sleep = [\"/usr/local/bin/asic\", \"off\", \"{ip}\"]", "sleep = \"/usr/local/bin/asic off {ip}\""),
    ("sleep = [\"/usr/local/bin/asic\", \"off\", \"{ip}\"]", "sleep = [\"/usr/local/bin/asic off {ip}\"]"),
    ("sleep = [\"/usr/local/bin/asic\", \"off\", \"{ip}\"]", "sleep = [\"/usr/local/bin/asic off\"]"),
    ("sleep = [\"/usr/local/bin/asic\", \"off\", \"{ip}\"]", "sleep = []"),
    ("\"off\", \"{ip}\"", "\"off\", \"{address}\""),
    ("\"off\", \"{ip}\"", "\"off\", \"{mode}\""),
    ("\"on\", \"{ip}\", \"{mode}\"", "\"off\", \"{ip}\""),
    ("kind = \"exec\"\n", "kind = \"exec\"\nnameplate = \"3500 W\"\n"),
    ("kind = \"exec\"\n", "kind = \"exec\"\ntimeout = \"5m\"\n"),
    ("kind = \"exec\"\n", "kind = \"exec\"\ntimeout = 30\n"),
    // The machines.
    ("nameplate = \"3500 W\"\n", ""),
    ("nameplate = \"3500 W\"\n", "nameplate = 3500\n"),
    ("nameplate = \"3500 W\"\n", "nameplate = \"3500\"\n"),
    ("nameplate = \"3500 W\"\n", "nameplate = \"3500 MW\"\n"),
    ("nameplate = \"3500 W\"\n", "nameplate = \"3500 W\"\nsleep_max = \"3 kW\"\n"),
    ("subnets = [\"10.1.0.0/16\"]", "subnets = \"10.1.0.0/16\""),
    ("subnets = [\"10.1.0.0/16\"]", "subnets = [\"10.1.0.7/16\"]"),
    ("subnets = [\"10.1.0.0/16\"]", "subnets = []"),
    ("subnets = [\"10.1.0.0/16\"]", "devices = [\"10.1.0.8\"]"),
    ("subnets = [\"10.1.0.0/16\"]", "devices = \"hall-b.csv\""),
    ("sleep_survives_power_cycle = \"yes\"", "sleep_survives_power_cycle = true"),
    ("ramp_down = \"500 kW\"", "ramp_down = \"500 kW/min\""),
    ("ramp_down = \"500 kW\"", "ramp = \"500 kW\""),
    ("ramp_down = \"500 kW\"", "canary = 0"),
    ("ramp_down = \"500 kW\"", "quiet = \"2m\""),
    ("address = \"10.1.0.7\"\nworker = \"hall-a.07\"\n", ""),
    ("address = \"10.1.0.7\"", "address = \"asic-7.lan\""),
    ("address = \"10.1.0.7\"", "ip = \"10.1.0.7\""),
    ("[[group.device]]", "[[group.device]]\naddress = \"10.1.0.7\"\n[[group.device]]"),
    ("name = \"rack1-07\"", "name = \"rack1-07\"\nnameplate = \"100 W\""),
    // Their watts.
    ("unit = \"W\"\n", ""),
    ("unit = \"W\"\n", "unit = \"watts\"\n"),
    ("value = \"/watts\"\n", ""),
    ("value = \"/watts\"\n", "value = \"watts\"\n"),
    ("url = \"http://{ip}/power?key=hunter2\"", "url = \"{ip}/power?key=hunter2\""),
    ("kind = \"http_json\"\n", "kind = \"driver\"\n"),
    ("kind = \"http_json\"\n", "kind = \"mqtt\"\nbroker = \"mqtts://b\"\ntopic = \"meters/+/power\"\n"),
    ("kind = \"http_json\"\n", "kind = \"mqtt\"\nbroker = \"mqtts://b\"\ntopic = \"meters/rack-{device}/power\"\n"),
    ("signal = \"pays\"\n[site]", "hashprice = \"50 USD/PH/day\"\n[site]\npower_price = \"60 USD/MWh\""),
    // The site, and all machines.
    ("cap = \"6 MW\"\n", ""),
    ("meter = \"site-kw\"", "meter = \"site-mw\""),
    ("meter = \"site-kw\"", "meter = \"pays\""),
    ("meter = \"site-kw\"", "meter_max_age = \"30s\""),
    ("[profit]", "[power]\nledger = \"\"\nreserve = 0.02\n[profit]"),
    ("[profit]", "[power]\nreserve = \"4 MW\"\n[profit]"),
    ("[profit]", "[power]\npoll = \"60s\"\npoll_moving = \"2m\"\nlease_term = \"10m\"\nproofs = 0\n[profit]"),
    // AI compute.
    ("idle = \"100 kW\"\n", ""),
    ("idle = \"100 kW\"", "idle = \"2 MW\""),
    ("[ai.control]", "[ai.webhook]"),
    ("[ai.control]\n", "[ai.control]\nsheds_within = \"30s\"\n"),
    ("kind = \"webhook\"", "kind = \"http\""),
    ("url = \"https://ai.example/lease\"\n", ""),
    ("secret_env = \"AI_SECRET\"\n", ""),
    ("secret_env = \"AI_SECRET\"", "secret_env = \"OTHER\""),
    ("secret_env = \"AI_SECRET\"", "secret = \"hunter2\""),
    ("secret_env = \"AI_SECRET\"", "secret_env = \"AI_SECRET\"\npoll = \"1m\""),
    ("kind = \"webhook\"", "kind = \"exec\"\ntell = [\"/usr/local/bin/lease\", \"{kind}\"]"),
];

#[test]
fn what_new_users_write_is_answered_with_what_to_write() {
    let begin = MINIMAL.lines().count() + HEAD.lines().count();
    let mut told = String::new();
    for (from, to) in MISTAKES {
        let from_line = from.lines().next().unwrap_or_default();
        told += &format!("{from_line} -> {}\n", to.trim_end().replace('\n', " | "));
        let Err(errors) = parse(&site_with(from, to)) else { panic!("{from} -> {to} is valid") };
        for error in errors {
            // Lines are counted from where the site begins.
            let own = match error.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
                Some((number, rest)) => format!("{}: {rest}", number.parse::<usize>().unwrap() - begin),
                None => error,
            };
            assert!(!own.contains("hunter2"), "{own}");
            told += &format!("    {own}\n");
        }
    }
    insta::assert_snapshot!(told);
}

/// What works and is hardly meant.
const UNWISE: [(&str, &str); 16] = [
    (
        "[group.watts]\nkind = \"http_json\"\nurl = \"http://{ip}/power?key=hunter2\"\nvalue = \"/watts\"\nunit = \"W\"\n",
        "",
    ),
    ("\"off\", \"{ip}\"", "\"off\""),
    ("http://{ip}/power?key=hunter2", "http://10.1.9.9/power"),
    ("http://{ip}/power?key=hunter2", "http://pdu.example/{device}"),
    ("meter = \"site-kw\"\n", ""),
    (
        "meter = \"site-kw\"\n",
        "meter = \"slow\"\n[[signal]]\nname = \"slow\"\nunit = \"kW\"\nkind = \"exec\"\ncommand = [\"meter\"]\n",
    ),
    ("sleep_survives_power_cycle = \"yes\"\n[group.actuator]", "sleep_survives_power_cycle = \"no\"\n[group.actuator]"),
    ("sheds_within = \"30s\"\n", ""),
    ("sleep_survives_power_cycle = \"yes\"\n", "# unknown\n"),
    ("nameplate = \"3500 W\"", "nameplate = \"9000 kW\""),
    ("ramp_down = \"500 kW\"", "wake_time = \"30s\""),
    ("notice = \"30m\"", "notice = \"30m\"\nreturns_within = \"10m\""),
    (
        "[[ai]]",
        "[[group]]\nname = \"hall-b\"\npower = \"1 MW\"\nsubnets = [\"10.1.2.0/24\"]\nnameplate = \"3 kW\"\n\
         sleep_survives_power_cycle = \"yes\"\n[group.actuator]\nkind = \"custom:own\"\n[[ai]]",
    ),
    (
        "[[ai]]",
        "[[group]]\nname = \"hall-b\"\npower = \"1 MW\"\nworkers = \"sim.*\"\nnameplate = \"3 kW\"\n\
         sleep_survives_power_cycle = \"yes\"\n[group.actuator]\nkind = \"simulated\"\nurl = \"http://127.0.0.1:9400\"\n[[ai]]",
    ),
    ("https://ai.example/lease", "http://ai.example/lease"),
    ("[profit]", "[power]\ncalls = 16\n[profit]"),
];

#[test]
fn what_is_unwise_is_warned_of() {
    let mut told = String::new();
    for (from, to) in UNWISE {
        let from_line = from.lines().next().unwrap_or_default();
        told += &format!("{from_line} -> {}\n", to.trim_end().replace('\n', " | "));
        let (_, warnings) = parse(&site_with(from, to)).unwrap_or_else(|errors| panic!("{from} -> {to}: {errors:?}"));
        for warning in warnings {
            told += &format!("    {}\n", warning.split_once(": ").map_or(&*warning, |(_, rest)| rest));
        }
    }
    // Without a block that keeps silent of how fast it sheds, nobody needs to know what a power cut does.
    let slow = site_with("sheds_within = \"30s\"\n", "").replace("\"yes\"", "\"unknown\"");
    told += &format!("unknown, and no sheds_within\n    {}\n", parse(&slow).unwrap().1.join("\n    "));
    insta::assert_snapshot!(told);
}

#[test]
fn tables_of_machines_without_any_are_noticed() {
    let told = |text: &str| {
        let text = format!("{MINIMAL}{HEAD}[profit]\nsignal = \"pays\"\n{text}[[group]]\n");
        Config::parse(&text, &World("")).unwrap().1[0].to_string()
    };
    assert!(told("[power]\npoll = \"5s\"\n").contains("power: has no effect: no group has a [group.actuator]"));
    assert!(told("[site]\nmeter = \"site-kw\"\n").contains("site.meter: is read by nobody"));
}

#[test]
fn an_efficiency_is_measured_only_where_something_measures() {
    let measured = SITE.replace(
        "signal = \"pays\"\n[site]\n",
        "hashprice = \"50 USD/PH/day\"\n[site]\npower_price = \"60 USD/MWh\"\n",
    );
    let measured = measured.replace("power = \"3.5 MW\"", "efficiency = \"measured\"\npower = \"3.5 MW\"");
    read(&measured);
    let (watts, behind) = (measured.find("[group.watts]").unwrap(), measured.find("[[group.device]]").unwrap());
    let told = parse(&format!("{}{}", &measured[..watts], &measured[behind..])).unwrap_err();
    assert!(told[0].contains("efficiency: is measured from watts, and nothing tells its machines' watts"), "{told:?}");
    let text = "[profit]\nhashprice = \"50 USD/PH/day\"\n[site]\npower_price = \"60 USD/MWh\"\n[[group]]\nefficiency = \"measured\"\n";
    let told = parse(text).unwrap_err();
    assert!(told[0].contains("is measured from watts, and the group has no [group.actuator]"), "{told:?}");
}

/// The actuator of the site with another table in its place.
fn actuator(keys: &str) -> ActuatorKind {
    actuator_of(SITE, keys)
}

fn actuator_of(site: &str, keys: &str) -> ActuatorKind {
    let (from, to) = (site.find("[group.actuator]").unwrap(), site.find("[group.watts]").unwrap());
    let text = format!("{}[group.actuator]\n{keys}{}", &site[..from], &site[to..]);
    read(&text).groups[0].as_ref().unwrap().actuator.clone()
}

#[test]
fn each_kind_of_actuator_has_its_keys() {
    let by_hand = SITE.replacen("ramp_down", "sleep_time = \"20m\"\nwake_time = \"20m\"\nramp_down", 1);
    assert_eq!(actuator_of(&by_hand, "kind = \"manual\"\n"), ActuatorKind::Manual);
    assert_eq!(actuator("kind = \"custom:my-driver\"\n"), ActuatorKind::Custom("my-driver".into()));
    let simulated = actuator("kind = \"simulated\"\nurl = \"http://127.0.0.1:9400\"\n");
    let ActuatorKind::Simulated { url, hashes_per_terahash } = &simulated else { panic!("{simulated:?}") };
    assert_eq!((url.to_string().as_str(), *hashes_per_terahash), ("http://127.0.0.1:9400/", 0.02));
    let slow = actuator("kind = \"simulated\"\nurl = \"http://127.0.0.1:9400\"\nhashes_per_terahash = 0.8\n");
    assert!(matches!(slow, ActuatorKind::Simulated { hashes_per_terahash, .. } if hashes_per_terahash == 0.8));
    let webhook = actuator(
        "kind = \"webhook\"\nsleep = \"http://{ip}/off\"\n[group.actuator.wake]\nurl = \"https://pdu.example/outlet/{device}?key=hunter2\"\n\
         method = \"PUT\"\nheaders = { Authorization = \"Bearer ${AI_SECRET}\" }\nbody = '{\"on\":true,\"mode\":\"{mode}\"}'\n",
    );
    let ActuatorKind::Webhook { sleep, wake, timeout } = &webhook else { panic!("{webhook:?}") };
    assert_eq!((sleep.method, &*sleep.url, *timeout), (HttpMethod::Post, "http://{ip}/off", secs(30)));
    assert_eq!((wake.method, wake.headers[0].1.expose()), (HttpMethod::Put, "Bearer hunter2hunter2hunter2"));
    assert_eq!(wake.body.as_deref(), Some("{\"on\":true,\"mode\":\"{mode}\"}"));
    assert!(!format!("{webhook:?}").contains("hunter2"));
}

#[test]
fn firmware_that_asks_who_speaks_is_told_by_the_config_and_never_guessed() {
    let braiins = actuator("kind = \"braiins\"\nuser = \"root\"\npassword_env = \"AI_SECRET\"\nport = 8080\n");
    let ActuatorKind::Firmware(firmware) = &braiins else { panic!("{braiins:?}") };
    assert_eq!((firmware.make, firmware.port, firmware.timeout), (Make::Braiins, 8080, secs(30)));
    assert_eq!(firmware.login.as_ref().unwrap().1.expose(), "hunter2hunter2hunter2");
    assert!(!format!("{braiins:?}").contains("hunter2"));
    let luxos = actuator("kind = \"luxos\"\n");
    assert!(matches!(luxos, ActuatorKind::Firmware(Firmware { port: 4028, login: None, .. })));
    let errors = |keys: &str| {
        let (from, to) = (SITE.find("[group.actuator]").unwrap(), SITE.find("[group.watts]").unwrap());
        let watts = "[group.watts]\nkind = \"driver\"\n[[group.device]]\n";
        let rest = SITE[to..].split_once("[[group.device]]\n").unwrap().1;
        let text = format!("{}[group.actuator]\n{keys}{watts}{rest}", &SITE[..from]);
        parse(&text).err().unwrap_or_default().join("\n")
    };
    for make in Make::ALL {
        let login = if make.has_login() { "user = \"u\"\npassword = \"hunter2\"\n" } else { "" };
        let said = errors(&format!("kind = \"{}\"\n{login}", make.label()));
        let expected = if make.tells_watts() { "" } else { "an actuator of kind \"antminer\" tells no watts" };
        assert!(said.contains(expected) && said.is_empty() == expected.is_empty(), "{said}");
    }
    for (keys, words) in [
        ("kind = \"antminer\"\n", "is missing: antminer asks who speaks"),
        ("kind = \"braiins\"\nuser = \"root\"\n", "has no password"),
        ("kind = \"braiins\"\npassword = \"hunter2\"\n", "has a password and no user"),
        ("kind = \"axeos\"\nuser = \"x\"\npassword = \"hunter2\"\n", "axeos asks nobody who speaks"),
        ("kind = \"luxos\"\nport = 0\n", "port"),
    ] {
        let said = errors(keys);
        assert!(said.contains(words) && !said.contains("hunter2"), "{keys}: {said}");
    }
}

#[test]
fn a_power_cut_is_known_to_wake_what_its_firmware_says_it_wakes() {
    let text = site_with("sleep_survives_power_cycle = \"yes\"\n", "");
    let (from, to) = (text.find("[group.actuator]").unwrap(), text.find("[group.watts]").unwrap());
    let group = |kind: &str| {
        let text = format!("{}[group.actuator]\nkind = \"{kind}\"\n{}", &text[..from], &text[to..]);
        read(&text).groups[0].as_ref().unwrap().sleep_survives_power_cycle
    };
    assert_eq!((group("axeos"), group("luxos")), (Survives::No, Survives::Unknown));
}

#[test]
fn meters_that_publish_name_the_machine_in_their_topic() {
    let (from, to) = (SITE.find("[group.watts]").unwrap(), SITE.find("[[group.device]]").unwrap());
    let watts = "[group.watts]\nkind = \"mqtt\"\nbroker = \"mqtts://b.example\"\ntopic = \"meters/{device}/power\"\nunit = \"kW\"\n\
                 user = \"u\"\npassword_env = \"AI_SECRET\"\n";
    let power = read(&format!("{}{watts}{}", &SITE[..from], &SITE[to..]));
    let WattsSource::Mqtt { topic, unit, login, pointer, .. } = &power.groups[0].as_ref().unwrap().watts else {
        panic!()
    };
    assert_eq!((&**topic, *unit, pointer), ("meters/{device}/power", PowerUnit::Kilowatts, &None));
    assert!(login.is_some());
}

#[test]
fn ai_compute_may_be_told_by_commands_or_by_the_program_around() {
    let control = |keys: &str| {
        let text = format!("{}[ai.control]\n{keys}", &SITE[..SITE.find("[ai.control]").unwrap()]);
        read(&text).blocks[0].as_ref().unwrap().control.clone()
    };
    let exec =
        control("kind = \"exec\"\ntell = [\"lease\", \"{type}\", \"{watts}\"]\nstatus = [\"lease\", \"status\"]\n");
    assert!(matches!(exec, ComputeKind::Exec { tell, .. } if tell.len() == 3));
    assert_eq!(control("kind = \"custom:slurm\"\n"), ComputeKind::Custom("slurm".into()));
}

/// The site with Slurm as its AI side.
fn slurm(keys: &str) -> Result<(crate::config::Slurm, Vec<String>), Vec<String>> {
    let text = format!("{}[ai.control]\nkind = \"slurm\"\n{keys}", &SITE[..SITE.find("[ai.control]").unwrap()]);
    parse(&text.replace("sheds_within = \"30s\"\n", "")).map(|(power, warnings)| {
        let ComputeKind::Slurm(slurm) = power.blocks[0].as_ref().unwrap().control.clone() else { panic!("{power:?}") };
        (slurm, warnings)
    })
}

#[test]
fn slurm_has_nodes_with_their_watts() {
    let nodes = "nodes = [{ name = \"gpu[01-08]\", power = \"10.2 kW\", idle = \"1.2 kW\" }, \
                 { name = \"big1\", power = \"20 kW\", idle = \"2 kW\", down = \"0 kW\" }]\n";
    let (read, warnings) = slurm(nodes).unwrap();
    assert_eq!(warnings, Vec::<String>::new());
    let told: Vec<_> = read.nodes.iter().map(|node| (&*node.name, node.power.get(), node.down.get())).collect();
    assert_eq!((told.len(), told[0], told[7]), (9, ("gpu01", 10_200.0, 10_200.0), ("gpu08", 10_200.0, 10_200.0)));
    assert_eq!(told[8], ("big1", 20_000.0, 0.0));
    assert_eq!((read.scontrol, read.power_saving, read.force_after), (vec!["scontrol".to_owned()], false, None));
    let more = "scontrol = [\"sudo\", \"-n\", \"scontrol\"]\npower_saving = true\nforce_after = \"2h\"\n";
    let (read, _) = slurm(&format!("{nodes}{more}")).unwrap();
    assert_eq!((read.scontrol.len(), read.power_saving, read.force_after), (3, true, Some(Duration::from_secs(7200))));

    let node = |name: &str, power: &str, idle: &str| {
        format!("{{ name = \"{name}\", power = \"{power}\", idle = \"{idle}\" }}")
    };
    for (list, why) in [
        (String::new(), "is an empty list"),
        (node("gpu[1-", "10 kW", "1 kW"), "a bracket without its other half"),
        (node("gpu[1-9999]", "10 W", "1 W"), "more than 4096 hosts"),
        (node("gpu1", "10 kW", "10 kW"), "is no less than its power"),
        (
            format!("{},{}", node("gpu[1-4]", "10 kW", "1 kW"), node("gpu3", "9 kW", "1 kW")),
            "names \"gpu3\" a second time",
        ),
        (node("gpu[1-201]", "10 kW", "100 W"), "draw 2.01 MW at work"),
        (node("gpu[1-101]", "10 kW", "1 kW"), "draw 101.0 kW without work"),
        ("{ name = \"a\", watts = 5 }".to_owned(), "unknown key"),
    ] {
        let errors = slurm(&format!("nodes = [{list}]\n")).unwrap_err().join("\n");
        assert!(errors.contains(why), "{list}: {errors}");
    }
    let errors = slurm("").unwrap_err().join("\n");
    assert!(errors.contains("nodes: is missing; write which nodes are its own"), "{errors}");
    assert!(slurm(&format!("{nodes}scontrol = \"\"\n")).unwrap_err().join("").contains("names no program"));
    // What lets jobs finish sheds nothing in 30 s.
    let text = format!("{}[ai.control]\nkind = \"slurm\"\n{nodes}", &SITE[..SITE.find("[ai.control]").unwrap()]);
    assert!(parse(&text).unwrap().1.join("").contains("lets running jobs finish"));
}

#[test]
fn machines_read_as_a_plan() {
    let (config, _) = Config::parse(&format!("{MINIMAL}{HEAD}{SITE}"), &World(LIST)).unwrap();
    let plan = crate::config::describe(&config);
    assert!(!format!("{plan}{config:?}").contains("hunter2"));
    let (_, plan) = plan.split_once("\nmachines\n").unwrap();
    insta::assert_snapshot!(format!("machines\n{plan}"));
}

#[test]
fn the_example_shows_every_key_with_its_default() {
    let example = include_str!("../../../config.example.toml");
    let uncommented = |block: &str, mark: &str| -> String {
        block.lines().map(|line| format!("{}\n", line.strip_prefix(mark).unwrap_or_default())).collect()
    };
    let whole = |text: &str| {
        let signals = "[[signal]]\nname = \"mining-pays\"\nkind = \"push\"\nunit = \"verdict\"\n\
                       [[signal]]\nname = \"site-meter\"\nkind = \"push\"\nunit = \"kW\"\n\
                       [[signal]]\nname = \"hall-e-meter\"\nkind = \"push\"\nunit = \"kW\"\n";
        let all = format!("{MINIMAL}{HEAD}{signals}{text}");
        Config::parse(&all, &Everything).unwrap_or_else(|errors| panic!("{errors}\n{all}")).0.power
    };
    let (_, machines) = example.split_once("\n# Machines: ").unwrap();
    let (simplest, all) = machines.split_once("# All of it").unwrap();
    let (_, simplest) = simplest.split_once("# The simplest: ").unwrap();
    assert!(whole(&uncommented(simplest, "#   ")).is_some());

    let (_, all) = all.split_once("#\n").unwrap();
    let all = uncommented(all, "# ");
    const DEFAULTS: [&str; 27] = [
        "ledger",
        "reserve",
        "drift",
        "max_age",
        "proofs",
        "poll",
        "poll_moving",
        "calls",
        "command_lifetime",
        "lease_term",
        "meter_max_age",
        "meter_deviation",
        "sleep_max",
        "sleep_survives_power_cycle",
        "canary",
        "tries",
        "backoff",
        "quiet",
        "quiet_limit",
        "probe",
        "work_wait",
        "may_fail",
        "fault_retry",
        "timeout",
        "tolerance",
        "starts_within",
        "returns_within",
    ];
    let is_default = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| DEFAULTS.contains(&key));
    let least: String = all.lines().filter(|line| !is_default(line)).map(|line| format!("{line}\n")).collect();
    assert!(least.len() < all.len());
    assert_eq!(whole(&least), whole(&all));
    // Keys without a default that the example keeps off are keys all the same.
    assert!(whole(&all.replace("\n# ", "\n")).is_some());
}

/// A world where every variable is set, and the list is there.
struct Everything;

impl Env for Everything {
    fn var(&self, _: &str) -> Option<String> {
        Some("0123456789abcdef".to_owned())
    }

    fn read_file(&self, _: &Path) -> io::Result<String> {
        Ok(LIST.to_owned())
    }
}

/// The site with one meter for its hall.
fn one_meter(group: &str) -> String {
    let (from, to) = (SITE.find("[group.watts]").unwrap(), SITE.find("[[group.device]]").unwrap());
    let text = format!("{}[group.watts]\nkind = \"group\"\nsignal = \"hall-a-meter\"\n{}", &SITE[..from], &SITE[to..]);
    let signal = "[[signal]]\nname = \"hall-a-meter\"\nkind = \"push\"\nunit = \"MW\"\n";
    format!("{}{signal}", text.replacen("ramp_down = \"500 kW\"\n", group, 1))
}

#[test]
fn one_meter_may_tell_the_watts_of_a_whole_group() {
    let group = read(&one_meter("ramp_down = \"500 kW\"\n")).groups.remove(0).unwrap();
    assert_eq!(group.watts, WattsSource::Group { signal: "hall-a-meter".into() });

    let told = |text: &str| parse(text).unwrap_err().join("\n");
    assert!(told(&one_meter("canary = 2\n")).contains("canary: can't be seen to sleep: one meter"));
    assert!(told(&one_meter("floor = \"1 MW\"\n")).contains("floor: keeps some of them mining, and one meter"));
    let text = one_meter("").replace("\nsignal = \"hall-a-meter\"", "");
    assert!(told(&text).contains("watts.signal: is missing: the group's meter; write signal = the name"));
    let text = one_meter("").replacen("signal = \"hall-a-meter\"", "signal = \"pays\"", 1);
    assert!(told(&text).contains("signal \"pays\" is in"), "{}", told(&text));
    let text = one_meter("").replacen("signal = \"hall-a-meter\"", "signal = \"site-kw\"", 1);
    assert!(told(&text).contains("\"site-kw\" is the site's meter"), "{}", told(&text));
    let slow = "kind = \"exec\"\ncommand = [\"meter\"]\nunit = \"MW\"";
    let text = one_meter("").replace("kind = \"push\"\nunit = \"MW\"", slow);
    assert!(told(&text).contains("is asked every 1m, and [power] max_age is 30s"), "{}", told(&text));
    let second = "[[group]]\nname = \"hall-b\"\npower = \"1 MW\"\nworkers = \"b.*\"\nnameplate = \"3500 W\"\n\
                  [group.actuator]\nkind = \"custom:own\"\n[group.watts]\nkind = \"group\"\nsignal = \"hall-a-meter\"\n";
    let text = one_meter("").replacen("[[ai]]", &format!("{second}[[ai]]"), 1);
    assert!(told(&text).contains("\"hall-a-meter\" is the meter of group \"hall-a\" too"), "{}", told(&text));
}

#[test]
fn a_ramp_past_one_meter_wants_to_know_how_long_it_takes() {
    let text = "[profit]\nsignal = \"pays\"\n[[group]]\nworkers = \"*\"\nnameplate = \"3500 W\"\nramp_up = \"50 kW\"\n\
                [group.actuator]\nkind = \"custom:own\"\n[group.watts]\nkind = \"group\"\nsignal = \"site-kw\"\n";
    let told = parse(text).unwrap_err().join("\n");
    assert!(told.contains("power: is missing: with one meter and a ramp"), "{told}");
    let text = text.replace("nameplate", "power = \"1 MW\"\nnameplate");
    assert!(parse(&text).is_ok());
}

#[test]
fn a_site_whose_last_machines_could_never_wake_is_warned_of() {
    let told = |text: &str| parse(text).unwrap().1.join("\n");
    assert!(!told(SITE).contains("never wake again"));
    let low = told(&site_with("cap = \"6 MW\"", "cap = \"4 MW\""));
    assert!(low.contains("site.cap: 4.00 MW is less than 4.06 MW"), "3.85 MW, 125 kW idle, 80 kW reserve: {low}");
    assert!(low.contains("the last machines could never wake again"), "{low}");
    // What is listed counts by its own nameplates, whatever the group's power is.
    let listed = |cap: &str| {
        told(&site_with("subnets = [\"10.1.0.0/16\"]\n", "").replace("cap = \"6 MW\"", &format!("cap = \"{cap}\"")))
    };
    assert!(!listed("140 kW").contains("never wake again"), "{}", listed("140 kW"));
    assert!(listed("130 kW").contains("never wake again"), "{}", listed("130 kW"));
}

#[test]
fn a_machine_has_some_time_and_a_reserve_has_a_cap() {
    let told = |text: &str| parse(text).unwrap_err().join("\n");
    let by_hand = "[profit]\nsignal = \"pays\"\n[[group]]\nworkers = \"*\"\nnameplate = \"3500 W\"\n[group.actuator]\nkind = \"manual\"\n";
    let walk = parse(by_hand).unwrap().1.join("\n");
    assert!(walk.contains("sleep_time: 1m is little for a person who is asked"), "{walk}");
    let none = told(&site_with("ramp_down = \"500 kW\"", "sleep_time = \"0s\"\nwake_time = \"0s\""));
    assert!(none.contains("sleep_time: 0s is no time for a machine that is told"), "{none}");
    assert!(none.contains("wake_time: 0s is no time"), "{none}");
    let idle = told("[profit]\nsignal = \"pays\"\n[[group]]\nprobe = \"30s\"\n");
    assert!(idle.contains("probe: is of machines, and the group has no [group.actuator]"), "{idle}");
    let text = "[power]\nreserve = \"5 %\"\n[profit]\nsignal = \"pays\"\n[[group]]\nworkers = \"*\"\nnameplate = \"3500 W\"\n\
                [group.actuator]\nkind = \"custom:own\"\n";
    let (power, warnings) = parse(text).unwrap();
    assert_eq!(power.reserve, Watts::ZERO);
    let told = warnings.join("\n");
    assert!(told.contains("power.reserve: is to stay free under the cap, and the site has none: 0 W"), "{told}");
}
