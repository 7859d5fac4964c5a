//! AxeOS 2.14 and later (Bitaxe and its kin): pauses and resumes without a restart.
//!
//! | | |
//! |---|---|
//! | sleep | `POST /api/system/pause` |
//! | wake | `POST /api/system/resume` |
//! | watts | `GET /api/system/info`, at [`WATTS`] |
//!
//! It has no login and no power mode to give back. A pause ends with its power. Older versions know no pause and answer 404.
//!
//! | fact | source |
//! |---|---|
//! | `power` in watts, `stratumURL`; callers outside its own network get 401 | bitaxeorg/ESP-Miner, `main/http_server/openapi.yaml` |
//! | pause and resume, by POST without a body | bitaxeorg/ESP-Miner, pull request 1608; asic-rs 0.8.6 (`asic-rs-firmwares-bitaxe`, `v2_14_0`) |
//! | first in 2.14.0b1 | DerMiika/Bitaxe-HA-Integration, pull request 10 |
//! | `miningPaused` in what it tells | asic-rs 0.8.6, ibid. |
//! | a pause is in memory alone, so a restart ends it | not documented: no setting that keeps it was found |

use hyper::{Method, StatusCode};

use super::{
    Actuator, BuildError, Call, Drawn, DriverError,
    trace::Trace,
    web::{Request, Web},
};
use crate::{
    config::{Firmware, Make, Survives},
    power::{Target, device::PowerMode, meter::amount},
};

/// All that it tells.
pub const INFO: &str = "/api/system/info";

/// Where its watts are in that.
pub const WATTS: &str = "/power";

/// Tells and asks AxeOS.
pub struct Axeos {
    web: Web,
}

impl Axeos {
    /// As the config says.
    pub fn new(firmware: &Firmware, trace: Trace) -> Result<Self, BuildError> {
        Ok(Self { web: Web::new(firmware.port, firmware.timeout, trace)? })
    }

    async fn tell(&self, device: &Target, path: &str) -> Result<(), DriverError> {
        let reply = self.web.call(device, Request::new(Method::POST, path)).await?;
        if reply.status() == StatusCode::NOT_FOUND {
            return Err(DriverError::Refused(format!("{reply}; AxeOS can be paused from 2.14 on")));
        }
        reply.good()?;
        Ok(())
    }

    async fn ask(&self, device: &Target) -> Result<Drawn, DriverError> {
        let reply = self.web.call(device, Request::new(Method::GET, INFO)).await?.good()?;
        Ok(Drawn { watts: amount::plausible(reply.number(WATTS)?)?, mode: None })
    }
}

impl Actuator for Axeos {
    fn sleep<'a>(&'a self, device: &'a Target) -> Call<'a, ()> {
        Box::pin(self.web.in_time(self.tell(device, "/api/system/pause")))
    }

    fn wake<'a>(&'a self, device: &'a Target, _: Option<&'a PowerMode>) -> Call<'a, ()> {
        Box::pin(self.web.in_time(self.tell(device, "/api/system/resume")))
    }

    fn read<'a>(&'a self, device: &'a Target) -> Option<Call<'a, Drawn>> {
        Some(Box::pin(self.web.in_time(self.ask(device))))
    }

    fn sleep_survives_power_cycle(&self) -> Survives {
        Make::Axeos.survives()
    }
}
