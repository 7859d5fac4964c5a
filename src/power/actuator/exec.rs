//! `exec`: a command of the operator's for each order; exit code 0 says that it was sent.
//!
//! How it is run, and ended when it hangs: `command.rs`. What it prints is nobody's; what it complains of is quoted, its last line.

use std::time::Duration;

use super::{Actuator, Call, Drawn, DriverError, values};
use crate::{
    command::{self, CommandError},
    config::template::{CommandLine, Place, TemplateError},
    power::{Target, device::PowerMode},
};

/// Runs a command.
#[derive(Debug)]
pub struct Exec {
    sleep: CommandLine,
    wake: CommandLine,
    within: Duration,
}

impl Exec {
    /// From the words of the config.
    pub fn new(sleep: &[String], wake: &[String], within: Duration) -> Result<Self, TemplateError> {
        let sleep = CommandLine::parse(sleep, &Place::MACHINE)?;
        Ok(Self { sleep, wake: CommandLine::parse(wake, &Place::WAKE)?, within })
    }

    async fn run(&self, command: &CommandLine, device: &Target, mode: Option<&PowerMode>) -> Result<(), DriverError> {
        let words = command.fill(&values(device, mode))?;
        command::run(&words, 0, self.within).await?;
        Ok(())
    }
}

impl Actuator for Exec {
    fn sleep<'a>(&'a self, device: &'a Target) -> Call<'a, ()> {
        Box::pin(self.run(&self.sleep, device, None))
    }

    fn wake<'a>(&'a self, device: &'a Target, mode: Option<&'a PowerMode>) -> Call<'a, ()> {
        Box::pin(self.run(&self.wake, device, mode))
    }

    fn read<'a>(&'a self, _: &'a Target) -> Option<Call<'a, Drawn>> {
        None
    }
}

impl From<CommandError> for DriverError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Nothing | CommandError::NotStarted { .. } => Self::Unreachable(error.to_string()),
            CommandError::Ended { .. } => Self::Refused(error.to_string()),
            CommandError::TooMuch { .. } => Self::Garbled(error.to_string()),
            CommandError::Killed { within, .. } => Self::Timeout(within),
        }
    }
}
