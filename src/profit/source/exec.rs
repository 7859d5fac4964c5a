//! `exec`: runs a command and reads what it writes to its standard output (`command.rs` says how).

use jiff::Timestamp;
use tokio::time::sleep;

use super::{Feed, MAX_DOCUMENT, dated, jittered, text};
use crate::{
    command::{self, CommandError},
    config::ExecSource,
    profit::{
        Unit, extract,
        signal::{Observation, Refusal},
    },
};

/// Runs it again and again, until it is dropped.
pub async fn run(source: ExecSource, unit: Unit, feed: Feed) {
    loop {
        let said = once(&source, unit).await;
        // The book keeps a refusal for people to see, and counts it.
        let _ = feed.say(said).await;
        sleep(jittered(source.poll)).await;
    }
}

async fn once(source: &ExecSource, unit: Unit) -> Result<Vec<Observation>, Refusal> {
    // What it says was so then, or later: a command may take its time.
    let asked_at = Timestamp::now();
    let document =
        command::run(&source.command, MAX_DOCUMENT, source.timeout).await.map_err(|error| refusal(&error))?;
    extract(text(&document)?, &source.picker, unit).map(|said| dated(said, Some(asked_at)))
}

fn refusal(error: &CommandError) -> Refusal {
    match error {
        CommandError::Nothing => Refusal::Nothing,
        CommandError::NotStarted { .. } | CommandError::Killed { .. } => Refusal::Unreachable(error.to_string()),
        CommandError::Ended { .. } => Refusal::Failed(error.to_string()),
        CommandError::TooMuch { most, .. } => Refusal::TooLarge(*most),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn each_way_to_fail_has_its_own_refusal() {
        for (script, within, label) in [
            ("echo no such meter >&2; exit 3", 20_000, "failed"),
            ("while :; do echo 1234567890; done", 20_000, "too_large"),
            ("sleep 600", 100, "unreachable"),
        ] {
            let command = ["/bin/sh", "-c", script].map(str::to_owned);
            let error = command::run(&command, MAX_DOCUMENT, Duration::from_millis(within)).await.unwrap_err();
            assert_eq!(refusal(&error).label(), label, "{script}");
        }
        let error = command::run(&["./no/such/program".to_owned()], 1, Duration::from_secs(9)).await.unwrap_err();
        assert_eq!(refusal(&error).label(), "unreachable");
    }
}
