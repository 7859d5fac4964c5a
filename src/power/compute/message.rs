//! What goes to AI compute and what comes back, as JSON. The same for the webhook and for commands.
//!
//! ```text
//! {"v":1,"id":"7-1","epoch":7,"type":"lease.grant","watts":12500.0,"it_watts":10000.0,"deadline":null,"expires":"2026-01-31T12:02:00.000Z"}
//!     → {"state":"taken"}                                        taken, refused, releasing, released
//! {"v":1,"id":"7-1","epoch":7,"type":"lease.revoke","watts":12500.0,"it_watts":10000.0,"deadline":"2026-01-31T12:05:00.000Z","expires":null}
//!     → {"state":"releasing"}
//! status → {"epoch":7,"drawn_watts":9800.5,"state":"running","observed_at":"2026-01-31T12:00:03Z"}
//! ```
//! `watts` are at the site meter, `it_watts` and `drawn_watts` are what the machines themselves draw. The id `0-0` of a revocation is
//! whatever the block may hold.
//!
//! | what comes back | what follows |
//! |---|---|
//! | a number that is none, below 0 or absurd; a time that is none; a word that is not in the list | not understood |
//! | keys that are not ours | left out: a newer receiver may say more |
//! | `taken` to a revocation | not understood: no receiver keeps what is asked back |
//! | `refused` to a revocation | an error: `refused` says that nothing is drawn under the lease, and who refuses to give back says no such thing |
//! | an `observed_at` more than [`MAX_AHEAD`] ahead, or older than [`MAX_AGE`] | refused, with words |
//! | an `observed_at` that was seen before | as old as when it was first seen: a clock that is ahead makes nothing fresh |
//!
//! Knows no socket and no process. Limits: [`MAX_ANSWER`], [`MAX_STATE`].

use std::{sync::Mutex, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    power::{
        actuator::DriverError,
        ledger::{Epoch, LeaseId, Reading},
        site::{LeaseAnswer, LeaseMessage, LeaseOrder, Status},
    },
    profit::{Ratio, Watts},
};

/// Bytes of an answer or a status: a line of JSON.
pub const MAX_ANSWER: usize = 4096;

/// Bytes of a block's own word for its state.
pub const MAX_STATE: usize = 64;

/// How far ahead of our clock an observation may be: clocks differ.
pub const MAX_AHEAD: Duration = Duration::from_secs(60);

/// How old an observation may be before it is refused; whether a younger one is fresh enough is the ledger's rule.
pub const MAX_AGE: Duration = Duration::from_secs(300);

/// Characters of a foreign text that are shown in an error.
const MAX_QUOTED: usize = 120;

/// The version of these messages.
pub const VERSION: u32 = 1;

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A lease, or its renewal.
    #[serde(rename = "lease.grant")]
    Grant,
    /// It is asked back.
    #[serde(rename = "lease.revoke")]
    Revoke,
}

impl Kind {
    /// As in a message.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Grant => "lease.grant",
            Kind::Revoke => "lease.revoke",
        }
    }
}

/// A message, as it is written; receivers in Rust read it with this.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// [`VERSION`].
    pub v: u32,
    /// The lease. `0-0` in a revocation: whatever there is.
    pub id: String,
    /// The sender's term of office: a grant of a lower one than was ever seen is refused, a revocation is always taken.
    pub epoch: u32,
    /// What.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// How much, at the site meter.
    pub watts: f64,
    /// How much of that is for the machines themselves.
    pub it_watts: f64,
    /// Of a revocation: until when it is to be back, at once if that is past. RFC 3339.
    pub deadline: Option<String>,
    /// Of a grant: from when on no more may be drawn and no job be started. RFC 3339.
    pub expires: Option<String>,
}

impl Message {
    /// For a block that draws `pue` watts at the site meter for each of its machines'.
    pub fn new(message: &LeaseMessage, pue: Ratio) -> Self {
        let (kind, watts, deadline, expires) = match message.what {
            LeaseOrder::Grant { watts, expires } => (Kind::Grant, watts, None, Some(time(expires))),
            LeaseOrder::Revoke { watts, deadline } => (Kind::Revoke, watts, Some(time(deadline)), None),
        };
        Self {
            v: VERSION,
            id: message.lease.to_string(),
            epoch: message.epoch.0,
            kind,
            watts: watts.get(),
            // No block draws more than the site: the config has it so.
            it_watts: watts.get() / pue.get().max(1.0),
            deadline,
            expires,
        }
    }

    /// As JSON.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers are finite and keys are texts")
    }

    /// Whether it is about whatever the block may hold.
    pub fn is_about_everything(&self) -> bool {
        self.id == LeaseId::EVERYTHING.to_string()
    }
}

/// Milliseconds, which every language's library reads; cut off, so that a lease never seems to last longer than it does.
fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// An answer to a message, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What became of it.
    pub state: LeaseAnswer,
}

impl Answer {
    /// Reads one; what it means is [`Answer::to`].
    ///
    /// # Errors
    /// [`DriverError::Garbled`].
    pub fn read(body: &[u8]) -> Result<Self, DriverError> {
        bounded(body)?;
        let wrong = |error: serde_json::Error| {
            DriverError::Garbled(format!(
                "{error}, where {{\"state\":\"taken\"}} or the like was expected: {}",
                quoted(body)
            ))
        };
        serde_json::from_slice(body).map_err(wrong)
    }

    /// What it says to a message of this kind.
    ///
    /// # Errors
    /// [`DriverError`] if it is none to this kind.
    pub fn to(self, kind: Kind) -> Result<LeaseAnswer, DriverError> {
        match (kind, self.state) {
            (Kind::Revoke, LeaseAnswer::Taken) => Err(DriverError::Garbled(
                "it says \"taken\" to a revocation, which is \"releasing\" or \"released\"".into(),
            )),
            (Kind::Revoke, LeaseAnswer::Refused) => Err(DriverError::Refused(
                "it says \"refused\" to a revocation, which every receiver has to take".into(),
            )),
            (_, state) => Ok(state),
        }
    }
}

/// A status, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WrittenStatus {
    /// The highest epoch that was ever seen.
    pub epoch: u32,
    /// What the machines draw.
    pub drawn_watts: f64,
    /// In a word: `idle`, `running`, `draining`.
    pub state: String,
    /// When that was so. RFC 3339.
    pub observed_at: Timestamp,
}

/// Reads statuses of one block, and remembers what was observed last, so that what is said again does not look new.
#[derive(Debug, Default)]
pub struct Observer {
    /// The last `observed_at`, and the time that it counted as.
    last: Mutex<Option<(Timestamp, Timestamp)>>,
}

impl Observer {
    /// Reads the status that was asked for at `asked`.
    ///
    /// # Errors
    /// [`DriverError::Garbled`] if it is none, [`DriverError::Refused`] if it is of another time.
    pub fn read(&self, body: &[u8], asked: Timestamp) -> Result<Status, DriverError> {
        bounded(body)?;
        let wrong = |why: String| DriverError::Garbled(format!("{why}, in the status {}", quoted(body)));
        let status: WrittenStatus = serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?;
        let watts = Watts::new(status.drawn_watts).ok_or_else(|| wrong("drawn_watts is no power".into()))?;
        let is_word = !status.state.is_empty() && status.state.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !is_word || status.state.len() > MAX_STATE {
            return Err(wrong(format!("state is not 1 to {MAX_STATE} printable characters")));
        }
        let taken_at = self.time(status.observed_at, asked)?;
        Ok(Status { epoch: Epoch(status.epoch), drawn: Reading { watts, taken_at }, state: status.state.into() })
    }

    /// The time that an observation counts as: never later than the question, and never later than when it was first seen.
    fn time(&self, observed: Timestamp, asked: Timestamp) -> Result<Timestamp, DriverError> {
        let age = asked.duration_since(observed);
        let words = |off: SignedDuration| humantime::format_duration(Duration::from_secs(off.unsigned_abs().as_secs()));
        if age < -SignedDuration::from_secs(MAX_AHEAD.as_secs() as i64) {
            let why = format!("its status is of {} ahead of our clock: are both clocks right?", words(age));
            return Err(DriverError::Refused(why));
        }
        if age > SignedDuration::from_secs(MAX_AGE.as_secs() as i64) {
            let why = format!("its status is of {} ago: nothing is known of what it draws now", words(age));
            return Err(DriverError::Refused(why));
        }
        // What is in there is whole, whoever panicked with it in hand.
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let counts = match *last {
            Some((before, counted)) if observed <= before => counted.min(observed),
            _ => {
                let counts = observed.min(asked);
                *last = Some((observed, counts));
                counts
            }
        };
        Ok(counts)
    }
}

fn bounded(body: &[u8]) -> Result<(), DriverError> {
    if body.len() > MAX_ANSWER {
        return Err(DriverError::Garbled(format!("{} bytes, where {MAX_ANSWER} at most were expected", body.len())));
    }
    Ok(())
}

/// The beginning of what somebody else wrote, fit for a line of a log.
pub(super) fn quoted(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut shown: String = text.trim().chars().take(MAX_QUOTED).collect::<String>().escape_debug().to_string();
    if shown.is_empty() {
        shown.push_str("(nothing)");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_769_860_800 + seconds).unwrap()
    }

    fn message(what: LeaseOrder) -> LeaseMessage {
        LeaseMessage { lease: LeaseId((7 << 32) | 1), epoch: Epoch(7), what }
    }

    fn status(watts: &str, state: &str, observed: i64) -> String {
        format!("{{\"epoch\":7,\"drawn_watts\":{watts},\"state\":\"{state}\",\"observed_at\":\"{}\"}}", at(observed))
    }

    #[test]
    fn messages_are_written_as_they_are_agreed() {
        let (pue, watts) = (Ratio::new(1.25).unwrap(), Watts::new(12_500.0).unwrap());
        let grant = Message::new(&message(LeaseOrder::Grant { watts, expires: at(120) }), pue);
        let written = r#"{"v":1,"id":"7-1","epoch":7,"type":"lease.grant","watts":12500.0,"it_watts":10000.0,"deadline":null,"expires":"2026-01-31T12:02:00.000Z"}"#;
        assert_eq!(String::from_utf8(grant.to_json()).unwrap(), written);
        assert_eq!(serde_json::from_str::<Message>(written).unwrap(), grant);
        let deadline = at(300).checked_add(SignedDuration::from_micros(1_999)).unwrap();
        let revoke = Message::new(&message(LeaseOrder::Revoke { watts, deadline }), pue);
        let written = r#"{"v":1,"id":"7-1","epoch":7,"type":"lease.revoke","watts":12500.0,"it_watts":10000.0,"deadline":"2026-01-31T12:05:00.001Z","expires":null}"#;
        assert_eq!(String::from_utf8(revoke.to_json()).unwrap(), written);
        let order = LeaseOrder::Revoke { watts, deadline };
        let everything = LeaseMessage { lease: LeaseId::EVERYTHING, ..message(order) };
        assert_eq!(Message::new(&everything, pue).id, "0-0");
        assert!(Message::new(&everything, pue).is_about_everything() && !revoke.is_about_everything());
    }

    #[test]
    fn answers_mean_what_fits_the_message() {
        use Kind::{Grant, Revoke};
        use LeaseAnswer::{Refused, Released, Releasing, Taken};
        let to = |word: &str, kind| Answer::read(format!("{{\"state\":\"{word}\",\"more\":1}}").as_bytes())?.to(kind);
        for (word, state) in [("taken", Taken), ("refused", Refused), ("releasing", Releasing), ("released", Released)]
        {
            assert_eq!(to(word, Grant), Ok(state));
        }
        assert_eq!((to("releasing", Revoke), to("released", Revoke)), (Ok(Releasing), Ok(Released)));
        assert!(matches!(to("taken", Revoke), Err(DriverError::Garbled(_))));
        assert!(matches!(to("refused", Revoke), Err(DriverError::Refused(_))));
    }

    #[test]
    fn what_is_no_answer_is_not_understood() {
        for body in ["", "{}", "\"taken\"", "{\"state\":\"Taken\"}", "{\"state\":1}", "{\"state\":\"taken\"} x", "null"]
        {
            assert!(matches!(Answer::read(body.as_bytes()), Err(DriverError::Garbled(_))), "{body}");
        }
        let long = format!("{{\"state\":\"taken\",\"x\":\"{}\"}}", "y".repeat(MAX_ANSWER));
        assert!(Answer::read(long.as_bytes()).unwrap_err().to_string().contains("4096 at most"));
        let said = Answer::read("\u{1b}[2J<html>\n".repeat(40).as_bytes()).unwrap_err().to_string();
        assert!(!said.contains(char::is_control) && said.len() < 600, "{said}");
    }

    #[test]
    fn a_status_is_read_within_its_bounds() {
        let read = |text: &str| Observer::default().read(text.as_bytes(), at(0));
        let good = read(&status("1234.5", "running jobs", -2)).unwrap();
        assert_eq!((good.epoch, good.drawn.watts.get(), good.drawn.taken_at), (Epoch(7), 1234.5, at(-2)));
        assert_eq!(&*good.state, "running jobs");
        assert!(read(&status("0", &"x".repeat(MAX_STATE), 0)).is_ok());
        for bad in [
            status("-0.1", "running", 0),
            status("1e400", "running", 0),
            status("1e19", "running", 0),
            status("NaN", "running", 0),
            status("\"5\"", "running", 0),
            status("null", "running", 0),
            status("5", "", 0),
            status("5", "läuft", 0),
            status("5", "run\\n", 0),
            status("5", &"x".repeat(MAX_STATE + 1), 0),
            status("5", "running", 0).replace(":7", ":-1"),
            status("5", "running", 0).replace(":7", ":4294967296"),
            status("5", "running", 0).replace("2026-01-31T", "yesterday "),
            status("5", "running", 0).replace("\"epoch\":7,", ""),
            status("5", "running", 0).replace("\"epoch\":7", "\"epoch\":7,\"epoch\":8"),
            r#"{"epoch":7,"drawn_watts":5.0,"state":"running"}"#.to_owned(),
            String::new(),
        ] {
            assert!(matches!(read(&bad), Err(DriverError::Garbled(_))), "{bad}");
        }
    }

    #[test]
    fn a_status_of_another_time_is_refused_with_words() {
        let read = |observed| Observer::default().read(status("5", "idle", observed).as_bytes(), at(0));
        let refused = |words: &str| Err(DriverError::Refused(words.to_owned()));
        assert_eq!(read(61), refused("its status is of 1m 1s ahead of our clock: are both clocks right?"));
        assert_eq!(read(-301), refused("its status is of 5m 1s ago: nothing is known of what it draws now"));
        assert_eq!(read(60).unwrap().drawn.taken_at, at(0));
        assert_eq!(read(-300).unwrap().drawn.taken_at, at(-300));
    }

    #[test]
    fn what_is_said_again_is_not_new() {
        let observer = Observer::default();
        let taken = |asked: i64, observed| {
            observer.read(status("5", "idle", observed).as_bytes(), at(asked)).unwrap().drawn.taken_at
        };
        // A clock that is 50 s ahead, and a reading that is stuck.
        assert_eq!(taken(0, 50), at(0));
        assert_eq!((taken(5, 50), taken(40, 50)), (at(0), at(0)));
        // It was overtaken by an older one: neither is that fresh.
        assert_eq!(taken(41, 45), at(0));
        assert_eq!(taken(42, -200), at(-200));
        assert_eq!(taken(60, 110), at(60));
    }
}
