//! Braiins OS 25.07 and later, by its REST API.
//!
//! | | |
//! |---|---|
//! | login | `POST /api/v1/auth/login` `{"username":…,"password":…}` → [`TOKEN`]; then `Authorization: <token>` |
//! | sleep | `PUT /api/v1/actions/pause` → `{"already_paused":false}`; `true` is what was wanted as well |
//! | wake | the power target that was saved, if it is another by now; then `PUT /api/v1/actions/resume` |
//! | mode | `GET /api/v1/configuration/miner`, at [`TARGET`]; `PUT /api/v1/performance/power-target` `{"watt":3031}` |
//! | watts | `GET /api/v1/miner/stats`, at [`WATTS`]: what the firmware estimates, no meter |
//!
//! A token is kept for each machine until it is refused with 401, then asked for anew, once: an order is never held up by a token that is too old, and
//! a wrong password is said at once. A power target that can't be given back keeps a machine asleep, and that is told: it could draw more
//! than it did.
//!
//! | fact | source |
//! |---|---|
//! | login with `username` and `password`, `token` and `timeout_s` back, sent as `Authorization` | developer.braiins-os.com/latest/openapi.html, "User login" |
//! | pause and resume answer a bare boolean there … | the same, "Pause mining", "Resume mining" |
//! | … and `{"already_paused":false}`, `{"already_running":false}` in recordings | tests of asic-rs 0.8.6 (`asic-rs-firmwares-braiins`, `v25_07`, `v26_04`): so the body is not read |
//! | `performance/power-target`, [`WATTS`], [`TARGET`] | recordings of 25.07, 25.11 and 26.04, ibid. |
//! | 25.07 is Public API 1.7.0; the same calls up to 26.04 | github.com/braiins/bos-plus-api, README ("Versions") |
//! | whether a pause outlives a restart or a power cut | not documented |
//!
//! Limit: [`MAX_TOKENS`]; then all are forgotten and asked for again.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hyper::{
    Method, StatusCode,
    header::{self, HeaderValue},
};
use serde_json::{Value, json};

use super::{
    Actuator, BuildError, Call, Drawn, DriverError,
    trace::Trace,
    web::{Reply, Request, Web},
};
use crate::{
    config::{Firmware, MAX_DEVICES, Make, Secret, Survives},
    power::{Target, device::PowerMode, meter::amount},
};

/// Where its watts are.
const WATTS: &str = "/power_stats/approximated_consumption/watt";

/// Where its power target is, in watts; `null` in other tuning modes.
const TARGET: &str = "/tuner/power_target/watt";

/// Where a login's token is.
const TOKEN: &str = "/token";

/// Tokens that are kept: one for each machine that there may be.
const MAX_TOKENS: usize = MAX_DEVICES;

/// Tells and asks Braiins OS.
pub struct Braiins {
    web: Web,
    user: Arc<str>,
    password: Secret,
    tokens: Mutex<HashMap<IpAddr, Arc<str>>>,
}

impl Braiins {
    /// As the config says.
    pub fn new(firmware: &Firmware, trace: Trace) -> Result<Self, BuildError> {
        let (user, password) = firmware.login.clone().ok_or(BuildError::NoLogin(Make::Braiins))?;
        let web = Web::new(firmware.port, firmware.timeout, trace)?;
        Ok(Self { web, user, password, tokens: Mutex::default() })
    }

    async fn pause(&self, device: &Target) -> Result<(), DriverError> {
        self.call(device, Method::PUT, "/api/v1/actions/pause", None).await?;
        Ok(())
    }

    async fn resume(&self, device: &Target, mode: Option<&PowerMode>) -> Result<(), DriverError> {
        if let Some(mode) = mode {
            let target = target_of(mode)?;
            if self.target(device).await? != Some(target) {
                let body = json!({ "watt": target });
                self.call(device, Method::PUT, "/api/v1/performance/power-target", Some(&body)).await?;
            }
        }
        self.call(device, Method::PUT, "/api/v1/actions/resume", None).await?;
        Ok(())
    }

    async fn watts(&self, device: &Target) -> Result<Drawn, DriverError> {
        let reply = self.call(device, Method::GET, "/api/v1/miner/stats", None).await?;
        Ok(Drawn { watts: amount::plausible(reply.number(WATTS)?)?, mode: None })
    }

    async fn target(&self, device: &Target) -> Result<Option<u64>, DriverError> {
        let reply = self.call(device, Method::GET, "/api/v1/configuration/miner", None).await?;
        Ok(reply.json()?.pointer(TARGET).and_then(Value::as_u64))
    }

    /// A call by somebody who is logged in; only a good answer.
    async fn call(
        &self,
        device: &Target,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, DriverError> {
        let address = device.address.ok_or(DriverError::NoAddress)?;
        let known = self.tokens().get(&address).cloned();
        if let Some(token) = known {
            let reply = self.call_with(device, method.clone(), path, body, &token).await?;
            if reply.status() != StatusCode::UNAUTHORIZED {
                return reply.good();
            }
            self.tokens().remove(&address);
        }
        let token = self.log_in(device).await?;
        let reply = self.call_with(device, method, path, body, &token).await?;
        if reply.status() == StatusCode::UNAUTHORIZED {
            return Err(reply.login_refused(&self.user));
        }
        let mut tokens = self.tokens();
        if tokens.len() >= MAX_TOKENS {
            tokens.clear();
        }
        tokens.insert(address, token);
        drop(tokens);
        reply.good()
    }

    async fn call_with(
        &self,
        device: &Target,
        method: Method,
        path: &str,
        body: Option<&Value>,
        token: &str,
    ) -> Result<Reply, DriverError> {
        let secrets = [token, self.password.expose()];
        let wrong = |_| DriverError::Garbled("its token can't be sent in a header".to_owned());
        let mut value = HeaderValue::from_str(token).map_err(wrong)?;
        value.set_sensitive(true);
        let headers = vec![(header::AUTHORIZATION, value)];
        self.web.call(device, Request { headers, body, secrets: &secrets, ..Request::new(method, path) }).await
    }

    async fn log_in(&self, device: &Target) -> Result<Arc<str>, DriverError> {
        let body = json!({ "username": &*self.user, "password": self.password.expose() });
        let secrets = [self.password.expose()];
        let request = Request::new(Method::POST, "/api/v1/auth/login");
        let reply = self.web.call(device, Request { body: Some(&body), secrets: &secrets, ..request }).await?;
        if matches!(reply.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(reply.login_refused(&self.user));
        }
        let reply = reply.good()?;
        let token = reply.json()?.pointer(TOKEN).and_then(Value::as_str).map(Arc::from);
        token.ok_or_else(|| reply.garbled("no token"))
    }

    /// Stays usable when another thread panicked while it held them.
    fn tokens(&self) -> MutexGuard<'_, HashMap<IpAddr, Arc<str>>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A power target as a mode.
fn mode_of(target: u64) -> PowerMode {
    PowerMode(format!("{target} W").into())
}

/// And back.
fn target_of(PowerMode(mode): &PowerMode) -> Result<u64, DriverError> {
    let watts = mode.strip_suffix(" W").and_then(|watts| watts.parse().ok());
    watts.ok_or_else(|| DriverError::Refused(format!("the saved mode {mode:?} is no power target, as in \"3031 W\"")))
}

impl Actuator for Braiins {
    fn sleep<'a>(&'a self, device: &'a Target) -> Call<'a, ()> {
        Box::pin(self.web.in_time(self.pause(device)))
    }

    fn wake<'a>(&'a self, device: &'a Target, mode: Option<&'a PowerMode>) -> Call<'a, ()> {
        Box::pin(self.web.in_time(self.resume(device, mode)))
    }

    fn read<'a>(&'a self, device: &'a Target) -> Option<Call<'a, Drawn>> {
        Some(Box::pin(self.web.in_time(self.watts(device))))
    }

    fn mode<'a>(&'a self, device: &'a Target) -> Option<Call<'a, Option<PowerMode>>> {
        Some(Box::pin(self.web.in_time(async { Ok(self.target(device).await?.map(mode_of)) })))
    }

    fn sleep_survives_power_cycle(&self) -> Survives {
        Make::Braiins.survives()
    }
}
