//! AI compute, as it is told of leases and asked what it draws.
//!
//! Knows messages and answers; when a lease is given or asked back is the site's matter (`power/site.rs`). What is not answered is told
//! again: every message is idempotent.
//!
//! | file | what |
//! |---|---|
//! | `webhook.rs` | an HTTP service of the AI team's |
//! | `exec.rs` | commands of the AI team's |
//! | `slurm/` | Slurm, whose nodes are drained and resumed |
//! | `message.rs` | the JSON that the first two speak, read strictly |
//! | `signature.rs` | what a message over HTTP is signed with, and how a receiver checks it |
//!
//! Limits: each call has the time that its config gives, each answer [`message::MAX_ANSWER`] bytes, Slurm's [`slurm::MAX_OUTPUT`].

mod exec;
pub mod message;
pub mod signature;
pub mod slurm;
#[cfg(test)]
mod tests;
mod webhook;

use std::sync::Arc;

use jiff::Timestamp;

pub use self::{exec::Commands, slurm::Slurm, webhook::Webhook};
use super::{
    actuator::{Call, Drivers},
    ledger::BlockId,
    meter,
    site::{LeaseAnswer, LeaseMessage, Status},
};
use crate::config::{Ai, ComputeKind, PowerBlock, template::TemplateError};

/// One AI block's side.
pub trait Compute: Send + Sync {
    /// Tells it of a lease.
    fn tell(&self, message: LeaseMessage) -> Call<'_, LeaseAnswer>;

    /// Asks it how it is. The reading's time is when this was called, or when the block observed it if that is earlier.
    fn status(&self) -> Call<'_, Status>;

    /// When the certificate ends that was shown to it in TLS, of several the first; `None` without TLS, or where none was seen yet.
    fn certificate_ends(&self) -> Option<Timestamp> {
        None
    }
}

/// Why there is nobody to tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Nothing to speak HTTP with.
    #[error("ai {block}: no HTTP client: {why}")]
    Client {
        /// The block.
        block: BlockId,
        /// In words.
        why: String,
    },
    /// Everybody could sign.
    #[error("ai {0}: its secret is empty: anybody could grant it power")]
    NoSecret(BlockId),
    /// What is to be run is no command. (The config was checked for it.)
    #[error("ai {block}: {why}")]
    Command {
        /// The block.
        block: BlockId,
        /// What is wrong with it.
        why: TemplateError,
    },
    /// Its meter can't be had.
    #[error("ai {block}: its meter: {why}")]
    Meter {
        /// The block.
        block: BlockId,
        /// In words.
        why: String,
    },
    /// A command without a program.
    #[error("ai {block}: {which} names no program")]
    NoProgram {
        /// The block.
        block: BlockId,
        /// The key.
        which: &'static str,
    },
    /// The program that embeds the proxy brought no such thing along.
    #[error("ai {block}: there is no driver \"custom:{name}\": {known}")]
    UnknownDriver {
        /// The block.
        block: BlockId,
        /// What was asked for.
        name: Arc<str>,
        /// What there is.
        known: String,
    },
}

/// Who tells a block. Reads the system's root certificates from disk where TLS is spoken.
///
/// # Errors
/// [`BuildError`] if the config wants what can't be had here.
pub fn build(block: &PowerBlock, ai: &Ai, id: BlockId, drivers: &Drivers) -> Result<Arc<dyn Compute>, BuildError> {
    match &block.control {
        ComputeKind::Webhook { secret, .. } if secret.expose().is_empty() => Err(BuildError::NoSecret(id)),
        ComputeKind::Webhook { url, status, secret, trust, timeout } => {
            match Webhook::new(url.clone(), status.clone(), secret.clone(), trust, *timeout, ai.pue) {
                Ok(webhook) => Ok(Arc::new(webhook)),
                Err(error) => Err(BuildError::Client { block: id, why: error.to_string() }),
            }
        }
        ComputeKind::Exec { tell, status, timeout } => {
            let commands = Commands::new(tell, status, *timeout, ai.pue);
            Ok(Arc::new(commands.map_err(|why| BuildError::Command { block: id, why })?))
        }
        ComputeKind::Slurm(slurm) if slurm.scontrol.first().is_none_or(String::is_empty) => {
            Err(BuildError::NoProgram { block: id, which: "scontrol" })
        }
        ComputeKind::Slurm(slurm) => {
            let meter = slurm.meter.as_ref().map(meter::of_block).transpose();
            let meter = meter.map_err(|why| BuildError::Meter { block: id, why: why.to_string() })?;
            let driver = Slurm::new(slurm, ai.pue);
            Ok(Arc::new(match meter {
                Some(meter) => driver.measured_by(meter),
                None => driver,
            }))
        }
        ComputeKind::Custom(name) => {
            let found = drivers.compute.iter().find(|(known, _)| known == name);
            found.map(|(_, driver)| driver.clone()).ok_or_else(|| {
                let names: Vec<&str> = drivers.compute.iter().map(|(name, _)| &**name).collect();
                let known = if names.is_empty() {
                    "none was brought along".into()
                } else {
                    format!("there is {}", names.join(", "))
                };
                BuildError::UnknownDriver { block: id, name: name.clone(), known }
            })
        }
    }
}
