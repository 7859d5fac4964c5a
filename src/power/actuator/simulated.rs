//! `simulated`: ASICs of the built-in simulated site (`hashgate sim site`), told and asked over HTTP like strangers.
//!
//! | | |
//! |---|---|
//! | `POST {url}/asics/{device}/sleep` and `/wake` | `{"mode": "eco"}`, or `null` where none was ever seen |
//! | `GET {url}/asics/{device}` | `{"watts": 3412.5, "mode": "eco"}` |
//!
//! An ASIC that there is not: 404. One that does not answer: 503, or nothing in [`WITHIN`].

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::{
    Actuator, BuildError, Call, Drawn, DriverError,
    call::{Caller, Line},
};
use crate::{
    config::{HttpCall, HttpMethod, HttpUrl, ServerTrust, template::Place},
    power::{Target, device::PowerMode, meter::amount},
};

/// For one call: firmware was seen to take 21 s.
const WITHIN: Duration = Duration::from_secs(30);

/// Bytes of an answer.
const MAX_ANSWER: usize = 4096;

/// Tells and asks a simulated site.
pub struct Simulated {
    sleep: Caller,
    wake: Caller,
    read: Caller,
}

#[derive(Deserialize)]
struct Said {
    watts: f64,
    mode: Option<Box<str>>,
}

impl Simulated {
    /// For the site at this address.
    pub fn new(url: &HttpUrl) -> Result<Self, BuildError> {
        let origin = url.expose().origin().ascii_serialization();
        let call = |method, behind: &str| HttpCall {
            method,
            url: format!("{origin}/asics/{{device}}{behind}").into(),
            headers: Vec::new(),
            // Its kind is said with the call; what is in it, with each.
            trust: ServerTrust::System,
            body: (method == HttpMethod::Post).then(|| "{}".into()),
        };
        let (sleep, wake) = (call(HttpMethod::Post, "/sleep"), call(HttpMethod::Post, "/wake"));
        let read = call(HttpMethod::Get, "");
        let line = Line::to(&[&read])?.with_turns(tokio::sync::Semaphore::MAX_PERMITS);
        let caller = |call| Caller::new(call, &Place::MACHINE, &line, WITHIN);
        Ok(Self { sleep: caller(&sleep)?, wake: caller(&wake)?, read: caller(&read)? })
    }

    async fn ask(&self, device: &Target) -> Result<Drawn, DriverError> {
        let answer = self.read.ask(device, MAX_ANSWER).await?;
        let said: Said = serde_json::from_slice(&answer).map_err(|error| DriverError::Garbled(error.to_string()))?;
        Ok(Drawn { watts: amount::plausible(said.watts)?, mode: said.mode.map(PowerMode) })
    }
}

fn body(mode: Option<&PowerMode>) -> hyper::body::Bytes {
    json!({ "mode": mode }).to_string().into()
}

impl Actuator for Simulated {
    fn sleep<'a>(&'a self, device: &'a Target) -> Call<'a, ()> {
        Box::pin(self.sleep.tell_with(device, body(None)))
    }

    fn wake<'a>(&'a self, device: &'a Target, mode: Option<&'a PowerMode>) -> Call<'a, ()> {
        Box::pin(self.wake.tell_with(device, body(mode)))
    }

    fn read<'a>(&'a self, device: &'a Target) -> Option<Call<'a, Drawn>> {
        Some(Box::pin(self.ask(device)))
    }
}
