//! The `hashgate` binary: everything is in the library, here is the exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    hashgate::cli::main()
}
