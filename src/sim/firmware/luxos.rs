//! LuxOS: JSON over TCP, an answer that ends with a NUL, and one session at a time.

use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::wire::{self, MAX_REQUEST};
use super::{Ending, Fault, Shared};

/// Who may give orders.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: Option<(String, Instant)>,
}

impl Sessions {
    /// Whether a session is open that was used since.
    pub fn is_held(&self, lasts: Duration) -> bool {
        self.open.as_ref().is_some_and(|(_, used)| used.elapsed() < lasts)
    }

    fn is(&mut self, name: &str, lasts: Duration) -> bool {
        let is_held = self.is_held(lasts);
        match &mut self.open {
            Some((open, used)) if is_held && open == name => {
                *used = Instant::now();
                true
            }
            _ => false,
        }
    }
}

pub(super) async fn talk(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut bytes = Vec::new();
    // A request is one document; nothing says where it ends but itself.
    let request: Value = loop {
        if let Ok(request) = serde_json::from_slice(&bytes) {
            break request;
        }
        if bytes.len() > MAX_REQUEST || stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    };
    shared.state().requests += 1;
    let command = request.get("command").and_then(Value::as_str).unwrap_or_default();
    let parameter = request.get("parameter").and_then(Value::as_str).unwrap_or_default();
    let (mut answer, ending) = answer(command, parameter, shared).await;
    answer["STATUS"][0]["Description"] = format!("LUXminer {}", shared.settings.version).into();
    let text = answer.to_string();
    let sent = match ending {
        Ending::Whole => format!("{text}\0"),
        Ending::Half => wire::half(&text).to_owned(),
        Ending::Reset => return wire::reset(stream),
    };
    stream.write_all(sent.as_bytes()).await?;
    stream.shutdown().await
}

async fn answer(command: &str, parameter: &str, shared: &Shared) -> (Value, Ending) {
    let lasts = shared.settings.session;
    let plain = if shared.has(Fault::HalfAnswers) { Ending::Half } else { Ending::Whole };
    match command {
        "logon" => {
            let mut state = shared.state();
            if state.luxos.is_held(lasts) || shared.has(Fault::SessionHeld) {
                return (status("E", 402, "Another session is active"), Ending::Whole);
            }
            let name = format!("{:08x}", rand::random::<u32>());
            state.luxos.open = Some((name.clone(), Instant::now()));
            drop(state);
            shared.step();
            let mut answer = status("S", 316, "Session created");
            answer["SESSION"] = json!([{ "SessionID": name }]);
            (answer, Ending::Whole)
        }
        "logoff" => {
            let mut state = shared.state();
            if !state.luxos.is(parameter, lasts) {
                return (status("E", 400, "Invalid session id"), Ending::Whole);
            }
            state.luxos.open = None;
            (status("S", 317, "Session terminated"), Ending::Whole)
        }
        "curtail" => {
            let (session, order) = parameter.split_once(',').unwrap_or_default();
            if !shared.state().luxos.is(session, lasts) {
                return (status("E", 400, "Invalid session id"), Ending::Whole);
            }
            let (name, sleeps) = match order {
                "sleep" => ("sleep", true),
                "wakeup" => ("wakeup", false),
                _ => return (status("E", 14, "Invalid parameter"), Ending::Whole),
            };
            let is_there = shared.state().machine.is_asleep() == sleeps || shared.has(Fault::IsThereAlready);
            let ending = shared.order(name, sleeps).await;
            if is_there {
                let words = if sleeps { "Miner is already in sleep mode" } else { "Miner is already active" };
                return (status("E", 336, words), ending);
            }
            let mut answer = status("S", 335, "Curtailment command sent");
            answer["CURTAIL"] = json!([{ "Action": if sleeps { "sleep mode" } else { "wake up" } }]);
            (answer, ending)
        }
        "version" => {
            let mut answer = status("S", 22, "LUXminer versions");
            answer["VERSION"] =
                json!([{ "API": "3.7", "LUXminer": shared.settings.version, "Type": "Antminer S19k Pro" }]);
            (answer, plain)
        }
        "power" => {
            let mut answer = status("S", 311, "Power usage");
            answer["POWER"] = json!([{ "PSU": false, "Watts": shared.state().machine.draws().round() as u64 }]);
            (answer, plain)
        }
        _ => (status("E", 14, "Invalid command"), Ending::Whole),
    }
}

fn status(letter: &str, code: u32, words: &str) -> Value {
    json!({ "STATUS": [{ "STATUS": letter, "Code": code, "Msg": words, "When": 1_760_242_394 }], "id": 1 })
}
