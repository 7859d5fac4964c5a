//! Debian's `promtool`.

use std::{
    io::{ErrorKind, Write},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

/// Turns a skip into a failure.
const NEED: &str = "HASHGATE_NEED_PROMTOOL";

/// The project's root.
pub fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// Runs it in the project's root with something to read; `None` where it is missing.
pub fn promtool(arguments: &[&str], input: &str) -> Option<Output> {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(root()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            assert!(std::env::var_os(NEED).is_none(), "promtool is not here (Debian: prometheus), and {NEED} wants it");
            println!("skipped: promtool is not on the path");
            return None;
        }
        Err(error) => panic!("promtool: {error}"),
    };
    // It reads all of it before it says anything.
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
    Some(child.wait_with_output().expect("it ends"))
}

/// What it has to say of a page of metrics; nothing where it is missing.
pub fn complaints(page: &str) -> String {
    let Some(output) = promtool(&["check", "metrics"], page) else { return String::new() };
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words).into_owned();
    if output.status.success() { words } else { format!("{}: {words}", output.status) }
}

#[test]
fn what_breaks_the_conventions_is_seen() {
    let good = "# HELP hashgate_a_total A.\n# TYPE hashgate_a_total counter\nhashgate_a_total 1\n";
    assert_eq!(complaints(good), "");
    for bad in
        [good.replace("_total", ""), good.replace("_a_", "_a_ms_"), good.replace("# HELP hashgate_a_total A.\n", "")]
    {
        // Where it is missing, `complaints` has said so.
        let is_missing = promtool(&["--version"], "").is_none();
        assert!(is_missing || complaints(&bad).contains("hashgate_a"), "{bad}");
    }
}
