//! `hashgate completions` and `hashgate man`: what shells and `man` want of a program, made from its own arguments.

use std::{fs, path::PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Cli, Failure, say};

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write the pages of all commands into this folder, which is made if need be
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints the script for a shell.
///
/// # Errors
/// None so far; as the other commands.
pub(super) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "hashgate", &mut script);
    say(&String::from_utf8_lossy(&script));
    Ok(())
}

/// Prints the main page, or writes all.
///
/// # Errors
/// [`Failure`] if the folder can't be written.
pub(super) fn man(args: &ManArgs) -> Result<(), Failure> {
    let Some(folder) = &args.out else {
        let mut page = Vec::new();
        let failed = |error: std::io::Error| Failure::Failed(error.to_string());
        clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(failed)?;
        say(&String::from_utf8_lossy(&page));
        return Ok(());
    };
    let written = fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.map_err(|error| Failure::Failed(format!("--out {}: {error}", folder.display())))
}
