//! The examples do what they say: each runs without arguments, checks its own result and ends with success.
//!
//! `cargo test` builds them before it runs this; `cargo test --test examples` alone does not.

use std::{path::PathBuf, process::Command};

fn run(name: &str) {
    let test = std::env::current_exe().expect("a process knows its file");
    let profile = test.ancestors().nth(2).expect("tests lie in <profile>/deps");
    let example: PathBuf = profile.join("examples").join(name);
    assert!(example.exists(), "{} is not there: run cargo build --examples", example.display());
    let output = Command::new(&example).output().expect("it starts");
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
