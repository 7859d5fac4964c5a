//! Which firmware answers at an address, told without a login and without any order.
//!
//! | asked | is |
//! |---|---|
//! | `{"command":"version"}` on the RPC port | LuxOS with `LUXminer` in its answer, Braiins OS with `BOSer` or `BOSminer` |
//! | `GET /cgi-bin/get_miner_conf.cgi` | stock Antminer if it wants a login for `antMiner Configuration` |
//! | `GET /api/system/info` | AxeOS if it has watts and a pool |
//!
//! As asic-rs 0.8.6 tells them apart. Three calls to a machine, one after the other; what answers otherwise is not ours to know.

use std::{net::IpAddr, time::Duration};

use hyper::{Method, header};
use serde_json::Value;

use super::{
    BuildError, axeos,
    luxos::Luxos,
    trace::Trace,
    web::{Request, Web},
};
use crate::{
    config::{Firmware, Make},
    power::Target,
};

/// Asks machines what they are.
pub struct Identify {
    rpc: Luxos,
    web: Web,
    within: Duration,
}

impl Identify {
    /// For machines that have their ports here. `within` is for each call.
    ///
    /// # Errors
    /// None, without TLS.
    pub fn new(rpc: u16, web: u16, within: Duration) -> Result<Self, BuildError> {
        let firmware = Firmware { make: Make::Luxos, login: None, port: rpc, timeout: within };
        let rpc = Luxos::new(&firmware, Trace::default());
        Ok(Self { rpc, web: Web::new(web, within, Trace::default())?, within })
    }

    /// What answers there; `None` if nothing does that is known.
    pub async fn ask(&self, address: IpAddr) -> Option<Make> {
        let target = Target { name: address.to_string().into(), address: Some(address), worker: None };
        let version = tokio::time::timeout(self.within, self.rpc.version(&target)).await.ok().and_then(Result::ok);
        let has = |key: &str| version.as_ref().is_some_and(|version| version.get(key).is_some());
        if has("LUXminer") {
            return Some(Make::Luxos);
        }
        if ["BOSer", "BOSminer", "BOSminer+"].into_iter().any(has) {
            return Some(Make::Braiins);
        }
        let config = self.web.call(&target, Request::new(Method::GET, "/cgi-bin/get_miner_conf.cgi")).await;
        let wants = config.as_ref().ok().and_then(|reply| reply.header(&header::WWW_AUTHENTICATE));
        if wants.is_some_and(|wants| wants.contains("antMiner Configuration")) {
            return Some(Make::Antminer);
        }
        let info = self.web.call(&target, Request::new(Method::GET, axeos::INFO)).await.ok()?;
        let has_pool = info.json().is_ok_and(|info| info.get("stratumURL").is_some_and(Value::is_string));
        (has_pool && info.number(axeos::WATTS).is_ok()).then_some(Make::Axeos)
    }
}
