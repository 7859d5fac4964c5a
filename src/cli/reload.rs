//! `hashgate reload`: the running proxy reads its config again; and changes in words, for `check --diff` too.

use clap::Args;
use hyper::Method;

use super::{
    Failure,
    admin::{Reach, typed},
    say, words,
};
use crate::{
    api::reload::{ReloadBody, ReloadDone},
    config::{Config, diff},
};

/// Arguments of `reload`.
#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// Say what it would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    reach: Reach,
}

/// Asks for it, and prints what changed.
///
/// # Errors
/// [`Failure`]: every problem of the file, or why it could not be asked for.
pub(super) async fn run(args: ReloadArgs) -> Result<(), Failure> {
    let body = ReloadBody { dry_run: args.dry_run };
    let answer = args.reach.caller()?.order(Method::POST, &["reload"], &body).await?;
    if args.json {
        say(&words::json(&answer));
        return Ok(());
    }
    let ReloadDone { dry_run, changes, warnings } = typed(answer)?;
    let said: Vec<String> = changes.into_iter().map(|change| change.words).collect();
    say(&in_words(&said, if dry_run { "would change" } else { "changed" }));
    warnings.iter().for_each(|warning| say(&format!("warning: {warning}\n")));
    Ok(())
}

/// What a proxy with the old config would do if it were given the new one.
pub(super) fn difference(old: &Config, new: &Config) -> String {
    let words: Vec<String> = diff(old, new).iter().map(ToString::to_string).collect();
    in_words(&words, "changes")
}

fn in_words(changes: &[String], verb: &str) -> String {
    match changes {
        [] => format!("nothing {verb}\n"),
        _ => changes.iter().map(|change| format!("{verb}: {change}\n")).collect(),
    }
}
