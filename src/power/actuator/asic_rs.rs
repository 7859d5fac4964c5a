//! Firmware of other makes, by the crate `asic-rs` (feature `asic-rs`): VNish, ePIC, MARA, Auradine, Avalon, Proto, SealMiner.
//!
//! Knows a make, a login and the crate's traits; what is said on the wire is the crate's, so `trace.rs` sees nothing of it.
//!
//! | | the crate's | then |
//! |---|---|---|
//! | first call to a machine | `FirmwareEntry::build_miner` of the make, with the config's login | kept, until a call to it fails |
//! | sleep, wake | `pause(None)`, `resume(None)` | `true` says that it was told; `false` is a refusal |
//! | watts | `get_wattage` | none: not understood |
//!
//! Only the make that the config names is asked, by its own entry: the crate's discovery asks all makes, and its WhatsMiner backend, which is not built,
//! unlocks a write API with a factory password (`config/power/asic_rs.rs`). Each backend begins with factory credentials of its own and is
//! given ours before its first call that wants any; the makes here ask their model without a login, or with ours (read in 0.8.6).
//! What a machine answers is believed as little as any firmware's word: asic-rs says `true` for VNish 1.3, Auradine and Proto as soon as the call was not refused.
//!
//! Limits: the config's time for each call, whatever the crate's own; [`MAX_KNOWN`] machines, then all are asked anew.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::asic_rs::{
    avalonminer::firmware::AvalonStockFirmware,
    core::traits::{
        entry::FirmwareEntry,
        miner::{Miner, MinerAuth},
    },
    epic::firmware::EPicFirmware,
    marathon::firmware::MarathonFirmware,
    proto::firmware::ProtoFirmware,
    sealminer::firmware::SealMinerStockFirmware,
    vnish::firmware::VnishFirmware,
};
use asic_rs_firmwares_auradine::firmware::AuradineFirmware;
use tokio::time::timeout;

use super::{Actuator, Call, Drawn, DriverError};
use crate::{
    config::{AsicRs as Config, MAX_DEVICES, OtherMake},
    power::{Target, device::PowerMode, meter::amount},
};

/// One for each machine that there may be.
const MAX_KNOWN: usize = MAX_DEVICES;

/// Characters of a foreign error that are shown.
const MAX_WORDS: usize = 200;

/// Tells and asks machines of one make.
pub struct AsicRs {
    make: OtherMake,
    entry: Box<dyn FirmwareEntry>,
    auth: Option<MinerAuth>,
    within: Duration,
    known: Mutex<HashMap<IpAddr, Arc<dyn Miner>>>,
}

impl AsicRs {
    /// As the config says.
    pub fn new(config: &Config) -> Self {
        let entry: Box<dyn FirmwareEntry> = match config.make {
            OtherMake::Vnish => Box::new(VnishFirmware::default()),
            OtherMake::Epic => Box::new(EPicFirmware::default()),
            OtherMake::Marathon => Box::new(MarathonFirmware::default()),
            OtherMake::Auradine => Box::new(AuradineFirmware::default()),
            OtherMake::Avalon => Box::new(AvalonStockFirmware::default()),
            OtherMake::Proto => Box::new(ProtoFirmware::default()),
            OtherMake::Sealminer => Box::new(SealMinerStockFirmware::default()),
        };
        let auth = config.login.as_ref().map(|(user, password)| MinerAuth::new(&**user, password.expose()));
        Self { make: config.make, entry, auth, within: config.timeout, known: Mutex::default() }
    }

    async fn tell(&self, device: &Target, sleeps: bool) -> Result<(), DriverError> {
        let miner = self.miner(device).await?;
        let (is_able, what) = match sleeps {
            true => (miner.supports_pause(), "pause"),
            false => (miner.supports_resume(), "resume"),
        };
        if !is_able {
            return Err(DriverError::Refused(format!("asic-rs knows no {what} for this {}", self.make.label())));
        }
        let said = if sleeps { miner.pause(None).await } else { miner.resume(None).await };
        match said {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.failed(device, &format!("{} refuses to {what}", self.make.label()))),
            Err(error) => Err(self.failed(device, &format!("{what}: {error:#}"))),
        }
    }

    async fn watts(&self, device: &Target) -> Result<Drawn, DriverError> {
        let miner = self.miner(device).await?;
        let Some(power) = miner.get_wattage().await else {
            self.forget(device);
            return Err(DriverError::Garbled(format!("{} tells no watts, or is away", self.make.label())));
        };
        Ok(Drawn { watts: amount::plausible(power.as_watts())?, mode: None })
    }

    async fn miner(&self, device: &Target) -> Result<Arc<dyn Miner>, DriverError> {
        let address = device.address.ok_or(DriverError::NoAddress)?.to_canonical();
        if let Some(miner) = self.known().get(&address) {
            return Ok(miner.clone());
        }
        let built = self.entry.build_miner(address, self.auth.as_ref()).await;
        let built = built.map_err(|error| {
            DriverError::Unreachable(format!("{address} does not answer as {} does: {error}", self.make.label()))
        })?;
        let miner: Arc<dyn Miner> = Arc::from(built);
        let mut known = self.known();
        if known.len() >= MAX_KNOWN {
            known.clear();
        }
        known.insert(address, miner.clone());
        Ok(miner)
    }

    /// What went wrong; the machine is looked at anew next time, as it may have been updated, or be another.
    fn failed(&self, device: &Target, words: &str) -> DriverError {
        self.forget(device);
        DriverError::Refused(words.chars().take(MAX_WORDS).collect())
    }

    fn forget(&self, device: &Target) {
        if let Some(address) = device.address {
            self.known().remove(&address.to_canonical());
        }
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T, DriverError>>) -> Result<T, DriverError> {
        timeout(self.within, call).await.unwrap_or(Err(DriverError::Timeout(self.within)))
    }

    /// Stays usable when another thread panicked while it held it.
    fn known(&self) -> MutexGuard<'_, HashMap<IpAddr, Arc<dyn Miner>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Actuator for AsicRs {
    fn sleep<'a>(&'a self, device: &'a Target) -> Call<'a, ()> {
        Box::pin(self.in_time(self.tell(device, true)))
    }

    fn wake<'a>(&'a self, device: &'a Target, _: Option<&'a PowerMode>) -> Call<'a, ()> {
        Box::pin(self.in_time(self.tell(device, false)))
    }

    fn read<'a>(&'a self, device: &'a Target) -> Option<Call<'a, Drawn>> {
        Some(Box::pin(self.in_time(self.watts(device))))
    }
}
