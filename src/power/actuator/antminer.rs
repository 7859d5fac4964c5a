//! Bitmain's stock firmware: its config, read, changed in one place and written back.
//!
//! | | |
//! |---|---|
//! | login | HTTP Digest (`digest.rs`) |
//! | read | `GET /cgi-bin/get_miner_conf.cgi`: pools, fans, frequency, and the mode |
//! | write | `POST /cgi-bin/set_miner_conf.cgi` with all of it, and `miner-mode` and `bitmain-work-mode`: 1 sleep, 0 normal, 2 high, 3 low |
//! | answer | `{"code":"M000"}`: it was written, which proves nothing; it was seen to stay awake |
//!
//! The mode that a machine had is asked for while it mines ([`Actuator::mode`]), kept on disk, and given back with the wake. One that was never
//! asked in time is given the mode that its sleep found, if this process sent that; else the normal one.
//! Stock firmware tells no watts: `[group.watts]` says what does.
//!
//! Some firmware (S21+) refuses a config that has more in it than it gave away: it is then sent what it gave, with its own mode changed
//! and nothing else.
//!
//! Bitmain documents none of this; it was read in others' code and reports:
//!
//! | fact | source |
//! |---|---|
//! | an S19j Pro of December 2022 reads `bitmain-work-mode` and obeys `miner-mode` alone: so both are written | 256foundation/asic-rs, issue 245 and pull request 249 |
//! | `{"stats":"success","code":"M000","msg":"OK!"}`, after 21 s, and awake for more than a minute | issue 245, ibid. |
//! | an S21+ of February 2025 answers success to a pause and stays awake | issue 310, ibid. |
//! | the web page's own body: pools, fans, `miner-mode` as a number, `freq-level` | UpstreamData/pyasic, issue 49 |
//! | 0 normal, 1 sleep, 3 low; some models have 2 as their "high" | asic-rs 0.8.6 (`v2023_07`); Schnitzel/hass-miner, pull request 588 |
//! | its own resume writes 0, whatever was before | asic-rs 0.8.6 (`v2023_07`) |
//! | whether a sleep outlives a power cut | not documented |
//!
//! Limit: [`MAX_SEEN`] modes found by a sleep; then all are forgotten.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hyper::{
    Method, StatusCode,
    header::{self, HeaderValue},
};
use serde_json::{Map, Value, json};

use super::{
    Actuator, BuildError, Call, Drawn, DriverError,
    digest::{Challenge, Login},
    trace::Trace,
    web::{Reply, Request, Web},
};
use crate::{
    config::{Firmware, MAX_DEVICES, Make, Secret, Survives},
    power::{Target, device::PowerMode},
};

const GET: &str = "/cgi-bin/get_miner_conf.cgi";
const SET: &str = "/cgi-bin/set_miner_conf.cgi";

/// Where the mode is: the web page writes the first, firmware gives away either.
const MODE_KEYS: [&str; 2] = ["miner-mode", "bitmain-work-mode"];

const SLEEP: u64 = 1;
const NORMAL: u64 = 0;

/// Modes as they are kept; any other is its number.
const WORDS: [(u64, &str); 3] = [(NORMAL, "normal"), (2, "high"), (3, "low")];

/// One for each machine that there may be.
const MAX_SEEN: usize = MAX_DEVICES;

/// Tells and asks stock firmware.
pub struct Antminer {
    web: Web,
    user: Arc<str>,
    password: Secret,
    /// What a sleep of ours found, by the machine's name.
    seen: Mutex<HashMap<Arc<str>, u64>>,
}

/// One order's calls: they share a challenge.
struct Talk<'a> {
    driver: &'a Antminer,
    device: &'a Target,
    challenge: Option<Challenge>,
    count: u32,
}

impl Antminer {
    /// As the config says.
    pub fn new(firmware: &Firmware, trace: Trace) -> Result<Self, BuildError> {
        let (user, password) = firmware.login.clone().ok_or(BuildError::NoLogin(Make::Antminer))?;
        let web = Web::new(firmware.port, firmware.timeout, trace)?;
        Ok(Self { web, user, password, seen: Mutex::default() })
    }

    fn talk<'a>(&'a self, device: &'a Target) -> Talk<'a> {
        Talk { driver: self, device, challenge: None, count: 0 }
    }

    async fn put_to_sleep(&self, device: &Target) -> Result<(), DriverError> {
        let mut talk = self.talk(device);
        let config = talk.config().await?;
        if let Some(mode) = mode_in(&config).filter(|mode| *mode != SLEEP) {
            let mut seen = self.seen();
            if seen.len() >= MAX_SEEN {
                seen.clear();
            }
            seen.insert(device.name.clone(), mode);
        }
        talk.write(&config, SLEEP).await
    }

    async fn rouse(&self, device: &Target, saved: Option<&PowerMode>) -> Result<(), DriverError> {
        let found = self.seen().get(&device.name).copied();
        let mode = saved.map(number_of).transpose()?.or(found).unwrap_or(NORMAL);
        let mut talk = self.talk(device);
        let config = talk.config().await?;
        talk.write(&config, mode).await
    }

    async fn ask_mode(&self, device: &Target) -> Result<Option<PowerMode>, DriverError> {
        let config = self.talk(device).config().await?;
        Ok(mode_in(&config).filter(|mode| *mode != SLEEP).map(in_words))
    }

    /// Stays usable when another thread panicked while it held them.
    fn seen(&self) -> MutexGuard<'_, HashMap<Arc<str>, u64>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Talk<'_> {
    async fn config(&mut self) -> Result<Map<String, Value>, DriverError> {
        let reply = self.call(Method::GET, GET, None).await?;
        match reply.json()? {
            Value::Object(config) if mode_in(&config).is_some() => Ok(config),
            // Writing a config that is none would take the machine's pools away.
            Value::Object(_) => Err(reply.garbled("a config without a mode")),
            _ => Err(reply.garbled("no config")),
        }
    }

    async fn write(&mut self, config: &Map<String, Value>, mode: u64) -> Result<(), DriverError> {
        let first = self.call(Method::POST, SET, Some(&with_mode(config, mode))).await?;
        if is_accepted(&first)? {
            return Ok(());
        }
        let second = self.call(Method::POST, SET, Some(&as_it_was_with_mode(config, mode))).await?;
        match is_accepted(&second)? {
            true => Ok(()),
            false => Err(DriverError::Refused(format!("{second}; before that {}", first.status()))),
        }
    }

    /// A call by somebody who is logged in; only a good answer.
    async fn call(&mut self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, DriverError> {
        let Antminer { user, password, .. } = self.driver;
        let secrets = [password.expose()];
        // Without a challenge, with one, and once more if that was too old.
        for _ in 0..3 {
            let mut request = Request { body, secrets: &secrets, ..Request::new(method.clone(), path) };
            let is_answer = self.challenge.is_some();
            if let Some(challenge) = &self.challenge {
                self.count += 1;
                let (login, own) =
                    (Login { user, password: password.expose() }, format!("{:016x}", rand::random::<u64>()));
                let answer = challenge.answer(login, method.as_str(), path, self.count, &own);
                let wrong = |_| DriverError::Refused("the user's name can't be sent in a header".to_owned());
                let mut answer = HeaderValue::from_str(&answer).map_err(wrong)?;
                answer.set_sensitive(true);
                request.headers.push((header::AUTHORIZATION, answer));
            }
            let reply = self.driver.web.call(self.device, request).await?;
            if reply.status() != StatusCode::UNAUTHORIZED {
                return reply.good();
            }
            let challenge = reply.header(&header::WWW_AUTHENTICATE).and_then(Challenge::parse);
            let Some(challenge) = challenge else {
                return Err(DriverError::Refused(format!("{reply}; and asks for no Digest login with MD5")));
            };
            if is_answer && !challenge.is_stale {
                return Err(reply.login_refused(user));
            }
            (self.challenge, self.count) = (Some(challenge), 0);
        }
        Err(DriverError::Refused(format!("{method} {path}: its challenges are too old as soon as they are given")))
    }
}

/// A config with another mode, as the firmware's web page sends it: under both names, and the frequency under the page's own.
fn with_mode(config: &Map<String, Value>, mode: u64) -> Value {
    let mut config = config.clone();
    for key in MODE_KEYS {
        let value = as_before(config.get(key), mode);
        config.insert(key.to_owned(), value);
    }
    if let Some(level) = config.get("bitmain-freq-level").cloned() {
        config.entry("freq-level").or_insert(level);
    }
    Value::Object(config)
}

/// A config with another mode and nothing else.
fn as_it_was_with_mode(config: &Map<String, Value>, mode: u64) -> Value {
    let mut config = config.clone();
    for key in MODE_KEYS {
        if let Some(before) = config.get(key) {
            let value = as_before(Some(before), mode);
            config.insert(key.to_owned(), value);
        }
    }
    Value::Object(config)
}

/// Some firmware has texts there, some numbers.
fn as_before(before: Option<&Value>, mode: u64) -> Value {
    match before {
        Some(Value::String(_)) => json!(mode.to_string()),
        _ => json!(mode),
    }
}

fn mode_in(config: &Map<String, Value>) -> Option<u64> {
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
    MODE_KEYS.iter().filter_map(|key| config.get(*key)).find_map(number)
}

fn in_words(mode: u64) -> PowerMode {
    let word = WORDS.into_iter().find(|(number, _)| *number == mode);
    PowerMode(word.map_or_else(|| mode.to_string(), |(_, word)| word.to_owned()).into())
}

fn number_of(PowerMode(mode): &PowerMode) -> Result<u64, DriverError> {
    let word = WORDS.into_iter().find(|(_, word)| *word == &**mode).map(|(number, _)| number);
    let number = word.or_else(|| mode.parse().ok()).filter(|number| *number != SLEEP);
    number.ok_or_else(|| DriverError::Refused(format!("the saved mode {mode:?} is none that it can be woken in")))
}

/// Whether a config was written, by its word. A refusal says its code.
fn is_accepted(reply: &Reply) -> Result<bool, DriverError> {
    let said = reply.json()?;
    Ok(match said.get("code").and_then(Value::as_str) {
        Some(code) => code == "M000",
        None => said.get("stats").and_then(Value::as_str) == Some("success"),
    })
}

impl Actuator for Antminer {
    fn sleep<'a>(&'a self, device: &'a Target) -> Call<'a, ()> {
        Box::pin(self.web.in_time(self.put_to_sleep(device)))
    }

    fn wake<'a>(&'a self, device: &'a Target, mode: Option<&'a PowerMode>) -> Call<'a, ()> {
        Box::pin(self.web.in_time(self.rouse(device, mode)))
    }

    fn read<'a>(&'a self, _: &'a Target) -> Option<Call<'a, Drawn>> {
        None
    }

    fn mode<'a>(&'a self, device: &'a Target) -> Option<Call<'a, Option<PowerMode>>> {
        Some(Box::pin(self.web.in_time(self.ask_mode(device))))
    }

    fn sleep_survives_power_cycle(&self) -> Survives {
        Make::Antminer.survives()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Map<String, Value> {
        // As an S19's: asic-rs-firmwares-antminer 0.8.6, its tests.
        let config = json!({
            "pools": [{"url": "stratum+tcp://pool1.example:3333", "user": "worker.1", "pass": "x"}],
            "bitmain-fan-ctrl": true, "bitmain-fan-pwm": "70", "bitmain-work-mode": "3", "bitmain-freq-level": "100"
        });
        config.as_object().unwrap().clone()
    }

    #[test]
    fn a_config_is_changed_in_its_mode_and_nothing_else() {
        let config = config();
        let changed = with_mode(&config, SLEEP);
        for (key, value) in &config {
            assert!(key == "bitmain-work-mode" || changed[key] == *value, "{key}");
        }
        assert_eq!((&changed["miner-mode"], &changed["bitmain-work-mode"]), (&json!(1), &json!("1")));
        assert_eq!(changed["freq-level"], "100");
        let mut expected = config.clone();
        expected.insert("bitmain-work-mode".to_owned(), json!("1"));
        assert_eq!(as_it_was_with_mode(&config, SLEEP), Value::Object(expected));
    }

    #[test]
    fn a_mode_is_saved_and_given_back_in_words() {
        assert_eq!(mode_in(&config()), Some(3));
        for (number, word) in [(0, "normal"), (2, "high"), (3, "low"), (7, "7")] {
            assert_eq!(in_words(number), PowerMode(word.into()));
            assert_eq!(number_of(&PowerMode(word.into())), Ok(number));
        }
        assert!(number_of(&PowerMode("1".into())).is_err(), "nobody is woken into sleep");
        assert!(number_of(&PowerMode("eco".into())).is_err());
    }
}
