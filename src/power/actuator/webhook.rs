//! `webhook`: an HTTP call for each order; a 2xx status says that it was sent.
//!
//! Sockets, turns and errors: `call.rs`.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    Actuator, BuildError, Call, Drawn,
    call::{Caller, Line},
};
use crate::{
    config::{HttpCall, template::Place},
    power::{Target, device::PowerMode},
};

/// Makes a call.
pub struct Webhook {
    sleep: Caller,
    wake: Caller,
}

impl Webhook {
    /// From the calls of the config.
    pub fn new(sleep: &HttpCall, wake: &HttpCall, within: Duration) -> Result<Self, BuildError> {
        let line = Line::to(&[sleep, wake])?;
        let sleep = Caller::new(sleep, &Place::MACHINE, &line, within)?;
        Ok(Self { sleep, wake: Caller::new(wake, &Place::WAKE, &line, within)? })
    }
}

impl Actuator for Webhook {
    fn sleep<'a>(&'a self, device: &'a Target) -> Call<'a, ()> {
        Box::pin(self.sleep.tell(device, None))
    }

    fn wake<'a>(&'a self, device: &'a Target, mode: Option<&'a PowerMode>) -> Call<'a, ()> {
        Box::pin(self.wake.tell(device, mode))
    }

    fn read<'a>(&'a self, _: &'a Target) -> Option<Call<'a, Drawn>> {
        None
    }

    fn certificate_ends(&self) -> Option<Timestamp> {
        // Both calls share their line.
        self.sleep.certificate_ends()
    }
}
