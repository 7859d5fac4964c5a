//! AI compute behind commands: one is told of leases, one prints the status.
//!
//! | in the words of the first | stands |
//! |---|---|
//! | `{type}` | `lease.grant` or `lease.revoke` |
//! | `{id}`, `{epoch}` | the lease, the sender's term of office |
//! | `{watts}`, `{it_watts}` | at the site meter, of the machines themselves; whole watts, cut off: shells know no others |
//! | `{deadline}`, `{expires}` | RFC 3339, or nothing |
//!
//! The whole message, as JSON, is on its standard input. It prints the answer as JSON; nothing, with exit code 0, is `taken` for a grant
//! and `releasing` for a revocation: that it is released has to be said. What a command may find and how it is ended is `command.rs`.
//!
//! | it | that is |
//! |---|---|
//! | can't be started | not reached |
//! | ends with another exit code | refused, with its complaint |
//! | is killed, as it takes too long | no answer; what it did, it did |
//!
//! Limits: one time for each call, [`MAX_ANSWER`] bytes.

use std::{borrow::Cow, time::Duration};

use jiff::Timestamp;

use super::{
    Compute,
    message::{Answer, Kind, MAX_ANSWER, Message, Observer},
};
use crate::{
    command::{self, CommandError},
    config::template::{CommandLine, Place, Says, TemplateError, Unfit},
    power::{
        actuator::{Call, DriverError},
        site::{LeaseAnswer, LeaseMessage, Status},
    },
    profit::Ratio,
};

/// One block's commands.
pub struct Commands {
    tell: CommandLine,
    status: CommandLine,
    timeout: Duration,
    pue: Ratio,
    observer: Observer,
}

impl Commands {
    /// Programs with their arguments. `pue`: watts at the site meter for each of the machines.
    ///
    /// # Errors
    /// [`TemplateError`] if one of them is no command. (The config was checked for it.)
    pub fn new(tell: &[String], status: &[String], timeout: Duration, pue: Ratio) -> Result<Self, TemplateError> {
        let tell = CommandLine::parse(tell, &Place::LEASE)?;
        Ok(Self { tell, status: CommandLine::parse(status, &[])?, timeout, pue, observer: Observer::default() })
    }

    async fn told(&self, message: LeaseMessage) -> Result<LeaseAnswer, DriverError> {
        let message = Message::new(&message, self.pue);
        let words = self.tell.fill(&message)?;
        let said = command::run_with(&words, Some(&message.to_json()), MAX_ANSWER, self.timeout).await;
        let said = said.map_err(failed)?;
        match (said.trim_ascii(), message.kind) {
            (b"", Kind::Grant) => Ok(LeaseAnswer::Taken),
            (b"", Kind::Revoke) => Ok(LeaseAnswer::Releasing),
            (said, kind) => Answer::read(said)?.to(kind),
        }
    }

    async fn asked(&self, asked: Timestamp) -> Result<Status, DriverError> {
        let words = self.status.fill(&Nothing)?;
        let said = command::run_with(&words, None, MAX_ANSWER, self.timeout).await.map_err(failed)?;
        self.observer.read(&said, asked)
    }
}

impl Compute for Commands {
    fn tell(&self, message: LeaseMessage) -> Call<'_, LeaseAnswer> {
        Box::pin(self.told(message))
    }

    fn status(&self) -> Call<'_, Status> {
        Box::pin(self.asked(Timestamp::now()))
    }
}

impl Says for Message {
    fn says(&self, place: Place) -> Result<Cow<'_, str>, Unfit> {
        let whole = |watts: f64| Cow::from(format!("{:.0}", watts.floor()));
        Ok(match place {
            Place::Type => self.kind.as_str().into(),
            Place::Id => self.id.as_str().into(),
            Place::Epoch => self.epoch.to_string().into(),
            Place::Watts => whole(self.watts),
            Place::ItWatts => whole(self.it_watts),
            Place::Deadline => self.deadline.as_deref().unwrap_or_default().into(),
            Place::Expires => self.expires.as_deref().unwrap_or_default().into(),
            other => return Err(Unfit::Place(other)),
        })
    }
}

/// A status is asked for by nothing in particular.
struct Nothing;

impl Says for Nothing {
    fn says(&self, place: Place) -> Result<Cow<'_, str>, Unfit> {
        Err(Unfit::Place(place))
    }
}

fn failed(error: CommandError) -> DriverError {
    match error {
        CommandError::Killed { within, .. } => DriverError::Timeout(within),
        CommandError::Nothing | CommandError::NotStarted { .. } => DriverError::Unreachable(error.to_string()),
        CommandError::TooMuch { .. } => DriverError::Garbled(error.to_string()),
        CommandError::Ended { .. } => DriverError::Refused(error.to_string()),
    }
}
