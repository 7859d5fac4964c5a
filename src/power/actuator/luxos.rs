//! LuxOS: JSON over TCP, one request for each connection.
//!
//! | | request | answer |
//! |---|---|---|
//! | session | `{"command":"logon"}` | `SESSION[0].SessionID` |
//! | sleep, wake | `{"command":"curtail","parameter":"<session>,sleep"}`, `,wakeup` | `STATUS[0]`: `S` and code 335 say that it was sent |
//! | end of it | `{"command":"logoff","parameter":"<session>"}` | |
//! | watts | `{"command":"power"}`, which needs no session | `POWER[0].Watts` |
//!
//! One session at a time on each machine. If somebody else holds it, it is asked for again every [`HELD_PAUSE`] while there is time, and
//! never taken over: whoever has it is in the middle of something. A session ends a minute after its last command; ours is ended in any case, also
//! after an order that failed, came too late, or that nobody waits for any more. Only if the proxy dies in between, or the answer to `logon` is
//! lost, does the next one wait that minute.
//!
//! "Miner is already in sleep mode" and "Miner is already active" are answered as errors, and are what was wanted.
//! LuxOS keeps its profile by itself, so there is no mode to give back.
//!
//! Whether a sleep outlives a restart, and so a power cut, is told by its version, which each answer has ([`survives`]): earlier editions of Luxor's page
//! of `curtail` say that a reboot wakes a rig, the newest that its state persists. None names a version between.
//!
//! | fact | source |
//! |---|---|
//! | `logon`: code 316, `SESSION[0].SessionID` | docs.luxor.tech/firmware/api/luxminer/logon |
//! | one session at most, ends a minute after its last use, no security feature | docs.luxor.tech/firmware/api/sessions |
//! | `curtail`: session and `sleep` or `wakeup`, code 335 "Curtailment command sent", `CURTAIL[0].Action` | …/luxminer/curtail |
//! | `version`: `VERSION[0].LUXminer`; each answer's `STATUS[0].Description` has it too | docs.luxor.tech/firmware/api/cgminer/version |
//! | `curtail` and `logoff` need a session, `power` and `version` none | LuxorLabs/luxos-tooling, `src/luxos/api.json` |
//! | `power`: code 311, `POWER[0].Watts` | a recording of 2025.4.8 in asic-rs 0.8.6 (`asic-rs-firmwares-luxminer`); no page of Luxor's was found |
//! | "already in sleep mode", "already active" | the tests of asic-rs 0.8.6; not documented |
//! | the state persists a restart; before, "wakeup or rebooting" | the newest and the earlier editions of …/luxminer/curtail |
//! | the words of an error to `logon` | not documented: any that speaks of a session is taken for one that is held |

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Handle,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    Actuator, Call, Drawn, DriverError,
    trace::{Trace, masked},
    web::{MAX_ANSWER, MAX_WORDS},
};
use crate::{
    config::{Firmware, MAX_DEVICES, Make, Survives},
    power::{Target, device::PowerMode, meter::amount},
};

/// Where its watts are.
const WATTS: &str = "/POWER/0/Watts";

/// Where a session's name is.
const SESSION: &str = "/SESSION/0/SessionID";

/// Until a session that somebody else holds is asked for again.
const HELD_PAUSE: Duration = Duration::from_secs(3);

/// For ending a session: an order is not kept waiting by it for long.
const LOG_OFF: Duration = Duration::from_secs(3);

/// Releases of this year and before wake by a restart, as far as any edition of the page says.
const LAST_THAT_WAKES: u32 = 2023;

/// Releases of this year and later are newer than the page that says that a sleep persists.
const FIRST_THAT_PERSISTS: u32 = 2026;

/// Tells and asks LuxOS.
pub struct Luxos {
    line: Arc<Line>,
    within: Duration,
    /// What the version says that a machine answered with last, by its name; one for each machine that there may be.
    survive: Mutex<HashMap<Arc<str>, Survives>>,
}

/// How a machine is spoken to.
struct Line {
    port: u16,
    trace: Trace,
}

/// A session of ours. It is ended when it is dropped, too: whoever asked may have given up.
struct Session {
    line: Arc<Line>,
    device: Target,
    id: String,
    is_open: bool,
}

/// The two orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Sleep,
    Wake,
}

/// What `STATUS[0]` of an answer says.
struct Said {
    is_error: bool,
    words: String,
    document: Value,
}

impl Luxos {
    /// As the config says.
    pub fn new(firmware: &Firmware, trace: Trace) -> Self {
        let line = Arc::new(Line { port: firmware.port, trace });
        Self { line, within: firmware.timeout, survive: Mutex::default() }
    }

    async fn tell(&self, device: &Target, order: Order) -> Result<(), DriverError> {
        let end = Instant::now() + self.within;
        let late = || DriverError::Timeout(self.within);
        let session = timeout_at(end, self.log_on(device, end)).await.map_err(|_| late())??;
        let parameter = format!("{},{}", session.id, order.word());
        let told = timeout_at(end, self.line.ask(device, "curtail", Some(&parameter), &session.id)).await;
        // Whatever came of the order: a session left open locks everybody out for a minute.
        session.end().await;
        let said = told.map_err(|_| late())??;
        match said.is_error && !order.is_done_already(&said.words) {
            true => Err(DriverError::Refused(format!("LuxOS answers {said} to {}", order.word()))),
            false => Ok(()),
        }
    }

    async fn log_on(&self, device: &Target, end: Instant) -> Result<Session, DriverError> {
        loop {
            let said = self.line.ask(device, "logon", None, "").await?;
            if !said.is_error {
                let id = said.document.pointer(SESSION).and_then(Value::as_str).filter(|id| !id.is_empty());
                let id = id.map(str::to_owned).ok_or_else(|| {
                    DriverError::Garbled(format!("LuxOS answers {said} to logon, and has no {SESSION}"))
                })?;
                return Ok(Session { line: self.line.clone(), device: device.clone(), id, is_open: true });
            }
            if !said.words.to_ascii_lowercase().contains("session") {
                return Err(DriverError::Refused(format!("LuxOS answers {said} to logon")));
            }
            if Instant::now() + HELD_PAUSE >= end {
                let why = "somebody else holds its only session, which ends a minute after its last command";
                return Err(DriverError::Refused(format!("{why}: LuxOS answers {said} to logon")));
            }
            sleep(HELD_PAUSE).await;
        }
    }

    async fn watts(&self, device: &Target) -> Result<Drawn, DriverError> {
        let said = self.line.ask(device, "power", None, "").await?;
        self.note(device, &said);
        if said.is_error {
            return Err(DriverError::Refused(format!("LuxOS answers {said} to power")));
        }
        let watts = said.document.pointer(WATTS).and_then(Value::as_f64);
        let watts =
            watts.ok_or_else(|| DriverError::Garbled(format!("LuxOS answers {said}, and no number at {WATTS}")))?;
        Ok(Drawn { watts: amount::plausible(watts)?, mode: None })
    }

    /// What kind of miner answers: `VERSION[0]`, as cgminer and its heirs have it.
    pub async fn version(&self, device: &Target) -> Result<Value, DriverError> {
        let said = self.line.ask(device, "version", None, "").await?;
        Ok(said.document.pointer("/VERSION/0").cloned().unwrap_or_default())
    }

    /// Remembers what the version of an answer says of a power cut.
    fn note(&self, device: &Target, said: &Said) {
        let version = said.document.pointer("/STATUS/0/Description").and_then(Value::as_str).unwrap_or_default();
        let mut survive = self.survive();
        if survive.len() >= MAX_DEVICES {
            survive.clear();
        }
        survive.insert(device.name.clone(), survives(version));
    }

    /// Stays usable when another thread panicked while it held it.
    fn survive(&self) -> MutexGuard<'_, HashMap<Arc<str>, Survives>> {
        self.survive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a sleep outlives a restart, by what a version calls itself: `LUXminer 2025.4.8.220305-57b389c7`, with the year first.
fn survives(version: &str) -> Survives {
    let number = version.trim_start_matches("LUXminer").trim_start();
    let year = number.split('.').next().and_then(|year| year.parse::<u32>().ok());
    match year {
        Some(FIRST_THAT_PERSISTS..=9999) => Survives::Yes,
        // 0.1.0 was before there were years.
        Some(0..=LAST_THAT_WAKES) => Survives::No,
        _ => Survives::Unknown,
    }
}

impl Session {
    async fn end(mut self) {
        self.is_open = false;
        self.line.log_off(&self.device, &self.id).await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return };
        if std::mem::take(&mut self.is_open) {
            let (line, device, id) = (self.line.clone(), self.device.clone(), std::mem::take(&mut self.id));
            runtime.spawn(async move { line.log_off(&device, &id).await });
        }
    }
}

impl Line {
    /// Its answer changes nothing.
    async fn log_off(&self, device: &Target, session: &str) {
        let _ = timeout(LOG_OFF, self.ask(device, "logoff", Some(session), session)).await;
    }

    /// One request. `session` is what nobody is shown of it; empty for none.
    async fn ask(
        &self,
        device: &Target,
        command: &str,
        parameter: Option<&str>,
        session: &str,
    ) -> Result<Said, DriverError> {
        let address = device.address.ok_or(DriverError::NoAddress)?;
        let place = SocketAddr::new(address.to_canonical(), self.port);
        let question = match parameter {
            Some(parameter) => json!({ "command": command, "parameter": parameter }),
            None => json!({ "command": command }),
        };
        self.trace.sent(&place, &question.to_string(), &[session]);
        let broken = |error: std::io::Error| DriverError::Unreachable(format!("{place}: {command}: {error}"));
        let mut stream = TcpStream::connect(place).await.map_err(broken)?;
        stream.write_all(format!("{question}\n").as_bytes()).await.map_err(broken)?;
        let mut answer = Vec::new();
        // It ends the connection, or its answer with a NUL.
        while answer.last() != Some(&0) && stream.read_buf(&mut answer).await.map_err(broken)? > 0 {
            if answer.len() > MAX_ANSWER {
                return Err(DriverError::Garbled(format!("{place}: {command}: more than {MAX_ANSWER} bytes")));
            }
        }
        self.trace.answered(&"", &answer, &[session]);
        if answer.is_empty() {
            return Err(DriverError::Unreachable(format!("{place}: {command}: it hung up without a word")));
        }
        let document = serde_json::from_slice(answer.strip_suffix(b"\0").unwrap_or(&answer));
        let document: Value = document.map_err(|_| {
            let words = masked(&answer, &[session], MAX_WORDS);
            DriverError::Garbled(format!("{place} answers what is no JSON to {command}: {words}"))
        })?;
        Ok(Said::read(document, session))
    }
}

impl Order {
    fn word(self) -> &'static str {
        match self {
            Self::Sleep => "sleep",
            Self::Wake => "wakeup",
        }
    }

    /// Whether an error says that there was nothing to do.
    fn is_done_already(self, words: &str) -> bool {
        let words = words.to_ascii_lowercase();
        let state = match self {
            Self::Sleep => words.contains("sleep"),
            Self::Wake => words.contains("active") || words.contains("awake"),
        };
        words.contains("already") && state
    }
}

impl Said {
    fn read(document: Value, session: &str) -> Self {
        let status = |key: &str| document.pointer(&format!("/STATUS/0/{key}"));
        let letter = status("STATUS").and_then(Value::as_str).unwrap_or("none");
        let code = status("Code").and_then(Value::as_i64).map_or(String::new(), |code| format!(" {code}"));
        let words = status("Msg").and_then(Value::as_str).unwrap_or_default();
        let words = format!("{letter}{code} {}", masked(words.as_bytes(), &[session], MAX_WORDS));
        // Success, information and warnings were heard; errors, fatal ones and what has no status were not.
        Self { is_error: !matches!(letter, "S" | "I" | "W"), words, document }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.words)
    }
}

impl Actuator for Luxos {
    fn sleep<'a>(&'a self, device: &'a Target) -> Call<'a, ()> {
        Box::pin(self.tell(device, Order::Sleep))
    }

    fn wake<'a>(&'a self, device: &'a Target, _: Option<&'a PowerMode>) -> Call<'a, ()> {
        Box::pin(self.tell(device, Order::Wake))
    }

    fn read<'a>(&'a self, device: &'a Target) -> Option<Call<'a, Drawn>> {
        let within = self.within;
        Some(Box::pin(
            async move { timeout(within, self.watts(device)).await.unwrap_or(Err(DriverError::Timeout(within))) },
        ))
    }

    fn sleep_survives_power_cycle(&self) -> Survives {
        Make::Luxos.survives()
    }

    fn sleep_survives_power_cycle_of(&self, device: &Target) -> Survives {
        self.survive().get(&device.name).copied().unwrap_or(Make::Luxos.survives())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_says_whether_a_sleep_outlives_a_restart() {
        for (version, survives_restart) in [
            ("LUXminer 0.1.0-15436f7140", Survives::No),
            ("LUXminer 2023.9.28.220144-66be080", Survives::No),
            ("LUXminer 2024.2.19.131822-ef17c0c4", Survives::Unknown),
            ("LUXminer 2025.4.8.220305-57b389c7", Survives::Unknown),
            ("LUXminer 2026.4.3.192353-6ab4e5077", Survives::Yes),
            ("", Survives::Unknown),
            ("BTMiner", Survives::Unknown),
            ("LUXminer 99999.1", Survives::Unknown),
        ] {
            assert_eq!(survives(version), survives_restart, "{version}");
        }
    }
}
