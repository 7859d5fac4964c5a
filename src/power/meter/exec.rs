//! `exec`: a command of the operator's that prints what a machine draws. How it is run, and ended when it hangs: `command.rs`.

use std::time::Duration;

use super::{Ask, amount::Amount};
use crate::{
    command,
    config::{
        PowerUnit,
        template::{CommandLine, Place, TemplateError},
    },
    power::{
        Target,
        actuator::{Call, Drawn, DriverError, values},
    },
};

/// Bytes of what is printed: one number.
const MAX_OUTPUT: usize = 4096;

/// Runs a command.
#[derive(Debug)]
pub struct Exec {
    command: CommandLine,
    amount: Amount,
    within: Duration,
}

impl Exec {
    /// From the words of the config.
    pub fn new(command: &[String], unit: PowerUnit, within: Duration) -> Result<Self, TemplateError> {
        Ok(Self { command: CommandLine::parse(command, &Place::MACHINE)?, amount: Amount::at(None, unit), within })
    }

    /// For all of an AI block, and not for one machine.
    #[must_use]
    pub fn of_block(self) -> Self {
        Self { amount: self.amount.of_block(), ..self }
    }

    async fn run(&self, device: &Target) -> Result<Drawn, DriverError> {
        let words = self.command.fill(&values(device, None))?;
        let printed = command::run(&words, MAX_OUTPUT, self.within).await?;
        Ok(Drawn { watts: self.amount.read(&printed)?, mode: None })
    }
}

impl Ask for Exec {
    fn ask<'a>(&'a self, device: &'a Target) -> Call<'a, Drawn> {
        Box::pin(self.run(device))
    }
}
