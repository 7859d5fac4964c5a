//! `http_json`: a meter or PDU that answers with JSON; one for each machine, or one address that serves many. Sockets, turns and
//! errors: `actuator/call.rs`.

use std::time::Duration;

use jiff::Timestamp;

use super::{Ask, amount::Amount};
use crate::{
    config::{HttpCall, PowerUnit, template::Place},
    power::{
        Target,
        actuator::{
            BuildError, Call, Drawn, DriverError,
            call::{Caller, Line},
        },
    },
};

/// Bytes of a document: all outlets of a PDU are a few thousand.
const MAX_DOCUMENT: usize = 64 * 1024;

/// Asks a web server.
pub struct HttpJson {
    caller: Caller,
    amount: Amount,
}

impl HttpJson {
    /// From the call of the config.
    pub fn new(call: &HttpCall, pointer: &str, unit: PowerUnit, within: Duration) -> Result<Self, BuildError> {
        let caller = Caller::new(call, &Place::MACHINE, &Line::to(&[call])?, within)?;
        Ok(Self { caller, amount: Amount::at(Some(pointer), unit) })
    }

    /// For all of an AI block, and not for one machine.
    #[must_use]
    pub fn of_block(self) -> Self {
        Self { amount: self.amount.of_block(), ..self }
    }

    async fn read(&self, device: &Target) -> Result<Drawn, DriverError> {
        let document = self.caller.ask(device, MAX_DOCUMENT).await?;
        Ok(Drawn { watts: self.amount.read(&document)?, mode: None })
    }
}

impl Ask for HttpJson {
    fn ask<'a>(&'a self, device: &'a Target) -> Call<'a, Drawn> {
        Box::pin(self.read(device))
    }

    fn certificate_ends(&self) -> Option<Timestamp> {
        self.caller.certificate_ends()
    }
}
