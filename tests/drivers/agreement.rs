//! `check` and the drivers read texts with places with the same eyes.

use hashgate::{
    config::{ActuatorKind, ComputeKind, Config, HttpCall, HttpMethod, PowerGroup, ProcessEnv, WattsSource},
    power::{
        actuator::{self, Drivers},
        compute,
        ledger::BlockId,
        meter,
    },
};
use proptest::prelude::*;

/// What texts are made of: places, what is nearly one, and what addresses, bodies and topics are taken apart at.
const PIECES: [&str; 32] = [
    "{ip}",
    "{worker}",
    "{device}",
    "{mode}",
    "{id}",
    "{it_watts}",
    "{x}",
    "{}",
    "{ ip }",
    "{",
    "}",
    "http://",
    "https://",
    "h",
    ".lan",
    ":80",
    ":x",
    "/",
    "..",
    "?a=",
    "#",
    "@",
    "+",
    "-",
    "\"",
    "{\"k\": \"",
    "\"}",
    "[",
    "]",
    " ",
    "\\",
    "ü",
];

/// Which text of the config it is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Slot {
    Sleep,
    Wake,
    Program,
    SleepUrl,
    WakeUrl,
    Body,
    Header,
    Watts,
    WattsUrl,
    Topic,
    Tell,
    Status,
}

const SLOTS: [Slot; 12] = [
    Slot::Sleep,
    Slot::Wake,
    Slot::Program,
    Slot::SleepUrl,
    Slot::WakeUrl,
    Slot::Body,
    Slot::Header,
    Slot::Watts,
    Slot::WattsUrl,
    Slot::Topic,
    Slot::Tell,
    Slot::Status,
];

/// A config that has the text there, and something good everywhere else.
fn config(slot: Slot, text: &str) -> String {
    let at = |own: Slot, good: &str| format!("{:?}", if slot == own { text } else { good });
    let actuator = match slot {
        Slot::SleepUrl | Slot::WakeUrl | Slot::Body | Slot::Header => format!(
            "kind = \"webhook\"\nsleep = {{ url = {}, body = {}, headers = {{ X-Key = {} }} }}\nwake = {}\n",
            at(Slot::SleepUrl, "http://{ip}/off"),
            at(Slot::Body, "who={device}"),
            at(Slot::Header, "key"),
            at(Slot::WakeUrl, "http://{ip}/on"),
        ),
        _ => format!(
            "kind = \"exec\"\nsleep = [{}, \"off\", {}]\nwake = [\"asic\", \"on\", {}]\n",
            at(Slot::Program, "asic"),
            at(Slot::Sleep, "{ip}"),
            at(Slot::Wake, "{ip}"),
        ),
    };
    let watts = match slot {
        Slot::WattsUrl => format!("kind = \"http_json\"\nurl = {}\nvalue = \"/w\"\nunit = \"W\"\n", at(slot, "")),
        Slot::Topic => {
            format!("kind = \"mqtt\"\nbroker = \"mqtt://127.0.0.1:1\"\ntopic = {}\nunit = \"W\"\n", at(slot, ""))
        }
        _ => format!("kind = \"exec\"\ncommand = [\"asic\", \"watts\", {}]\nunit = \"W\"\n", at(Slot::Watts, "{ip}")),
    };
    format!(
        "[[listener]]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nname = \"a\"\nurl = \"stratum+tcp://127.0.0.1:3333\"\nuser = \"u\"\n\
         [[signal]]\nname = \"pays\"\nkind = \"push\"\nunit = \"verdict\"\n[admin]\ntoken = \"0123456789abcdef\"\n\
         [profit]\nsignal = \"pays\"\n[site]\ncap = \"6 MW\"\n\
         [[group]]\nworkers = \"*\"\npower = \"1 MW\"\nnameplate = \"3500 W\"\n[group.actuator]\n{actuator}[group.watts]\n{watts}\
         [[ai]]\nname = \"gpus\"\npower = \"2 MW\"\nprice = \"211 USD/MWh\"\ndemand = 1\nidle = \"100 kW\"\n\
         [ai.control]\nkind = \"exec\"\ntell = [\"lease\", {}]\nstatus = [\"lease\", {}]\n",
        at(Slot::Tell, "{id}"),
        at(Slot::Status, "status"),
    )
}

fn parse(slot: Slot, text: &str) -> Result<Config, String> {
    let env = ProcessEnv { folder: std::path::PathBuf::new() };
    Config::parse(&config(slot, text), &env).map(|(config, _)| config).map_err(|errors| errors.to_string())
}

/// Whether everything of a config can be built.
fn build(config: &Config) -> Result<(), String> {
    let (power, profit) = (config.power.as_ref().unwrap(), config.profit.as_ref().unwrap());
    let drivers = Drivers::default();
    let group = power.groups[0].as_ref().unwrap();
    let actuator = actuator::build(group, &drivers).map_err(|error| error.to_string())?;
    meter::build(group, actuator).map_err(|error| error.to_string())?;
    let block = power.blocks[0].as_ref().unwrap();
    compute::build(block, &profit.ai[0], BlockId::from("gpus"), &drivers).map_err(|error| error.to_string())?;
    Ok(())
}

/// A good config with the text put there behind its back.
fn smuggled(slot: Slot, text: &str) -> Config {
    let good = match slot {
        Slot::SleepUrl | Slot::WakeUrl | Slot::WattsUrl => "http://{ip}/x",
        Slot::Topic => "{ip}",
        Slot::Tell | Slot::Body | Slot::Header | Slot::Program | Slot::Status => "x",
        Slot::Sleep | Slot::Wake | Slot::Watts => "{ip}",
    };
    let mut config = parse(slot, good).unwrap_or_else(|errors| panic!("{slot:?}: {errors}"));
    let power = config.power.as_mut().unwrap();
    if let Some(ComputeKind::Exec { tell, status, .. }) = power.blocks[0].as_mut().map(|block| &mut block.control) {
        match slot {
            Slot::Tell => tell[1] = text.to_owned(),
            Slot::Status => status[1] = text.to_owned(),
            _ => {}
        }
    }
    smuggle(power.groups[0].as_mut().unwrap(), slot, text);
    config
}

fn smuggle(group: &mut PowerGroup, slot: Slot, text: &str) {
    match (&mut group.actuator, &mut group.watts, slot) {
        (ActuatorKind::Exec { sleep, .. }, _, Slot::Sleep) => sleep[2] = text.to_owned(),
        (ActuatorKind::Exec { sleep, .. }, _, Slot::Program) => sleep[0] = text.to_owned(),
        (ActuatorKind::Exec { wake, .. }, _, Slot::Wake) => wake[2] = text.to_owned(),
        (ActuatorKind::Webhook { sleep, .. }, _, Slot::SleepUrl) => sleep.url = text.into(),
        (ActuatorKind::Webhook { sleep, .. }, _, Slot::Body) => sleep.body = Some(text.into()),
        (ActuatorKind::Webhook { wake, .. }, _, Slot::WakeUrl) => wake.url = text.into(),
        (_, WattsSource::Exec { command, .. }, Slot::Watts) => command[2] = text.to_owned(),
        (_, WattsSource::HttpJson { call, .. }, Slot::WattsUrl) => {
            *call =
                HttpCall { method: HttpMethod::Get, url: text.into(), headers: Vec::new(), body: None, ..call.clone() };
        }
        (_, WattsSource::Mqtt { topic, .. }, Slot::Topic) => *topic = text.into(),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn check_takes_what_can_be_built_and_nothing_else(
        slot in proptest::sample::select(&SLOTS[..]),
        pieces in proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..7),
        is_address: bool,
    ) {
        // Meters that speak by themselves are listened to at once.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let is_url = matches!(slot, Slot::SleepUrl | Slot::WakeUrl | Slot::WattsUrl);
        let text = format!("{}{}", if is_address && is_url { "http://" } else { "" }, pieces.concat());
        match parse(slot, &text) {
            Ok(config) => prop_assert_eq!(build(&config), Ok(()), "{:?}: {:?}", slot, text),
            // A header is a secret, which nothing but the config makes.
            Err(why) if slot != Slot::Header => {
                let built = build(&smuggled(slot, &text));
                prop_assert!(built.is_err(), "{:?}: {:?} could be built: {}", slot, text, why);
            }
            Err(_) => {}
        }
    }
}
