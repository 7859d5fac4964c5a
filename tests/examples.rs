//! The examples do what they say: each runs without arguments, checks its own result and ends with success.

use std::{path::PathBuf, process::Command, sync::LazyLock};

/// Where the examples lie, built: whether `cargo test` builds them before it runs this depends on how it was asked.
static EXAMPLES: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = std::env::current_exe().expect("a process knows its file");
    let profile = test.ancestors().nth(2).expect("tests lie in <profile>/deps");
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(env!("CARGO_MANIFEST_DIR")).args(["build", "--quiet", "--examples"]);
    if profile.ends_with("release") {
        build.arg("--release");
    }
    // What cargo tells a test of its package would make build scripts run again that look at it.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            build.env_remove(name);
        }
    }
    assert!(build.status().expect("cargo starts").success(), "the examples can be built");
    profile.join("examples")
});

fn run(name: &str) {
    let output = Command::new(EXAMPLES.join(name)).output().expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} ended with {}\n{out}\n{err}", output.status);
    assert!(!out.is_empty(), "{name} shows something");
}

#[test]
fn a_proxy_can_be_embedded() {
    run("embedded");
}

#[test]
fn a_swarm_needs_no_server() {
    run("swarm");
}

#[test]
fn a_flaky_pool_is_left_and_returned_to() {
    run("flaky_pool");
}

#[test]
fn a_signal_may_come_from_a_source_of_ones_own() {
    run("custom_signal");
}

#[test]
fn an_ai_team_can_start_from_a_receiver() {
    run("ai_webhook_receiver");
}

#[test]
fn a_driver_may_be_ones_own() {
    run("custom_actuator");
}
