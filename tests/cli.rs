//! The binary, as an operator meets it: exit codes, signals, what it prints, and the example config unchanged.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take; reached only when a test fails.
const LIMIT: Duration = Duration::from_secs(30);

fn hashgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hashgate"));
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> Output {
    hashgate(arguments).output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml")
}

/// The example with free ports, in a folder of its own.
struct Place {
    folder: tempfile::TempDir,
    config: PathBuf,
}

impl Place {
    fn new(edit: impl Fn(String) -> String) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("hashgate.toml");
        let example = fs::read_to_string(example()).expect("the example");
        let ports = example.replacen("\"127.0.0.1:3333\"", "\"127.0.0.1:0\"", 1);
        let ports = ports.replacen("\"127.0.0.1:9333\"", "\"127.0.0.1:0\"", 1);
        assert_ne!(ports, example);
        fs::write(&config, edit(ports)).expect("writes");
        Self { folder, config }
    }

    fn run(&self) -> Running {
        let config = self.config.to_str().expect("a plain path");
        Running::start(hashgate(&["run", "--config", config]).current_dir(self.folder.path()))
    }
}

/// A process whose standard error is read line by line. It does not outlive its test.
struct Running {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    said: Vec<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let log = BufReader::new(child.stderr.take().expect("piped"));
        Self { child, log, said: Vec::new() }
    }

    /// Reads the log up to a line that has this text.
    fn line_with(&mut self, wanted: &str) -> String {
        loop {
            let mut line = String::new();
            let read = self.log.read_line(&mut line).expect("text");
            assert!(read > 0, "it ended without {wanted:?}: {:?}", self.said);
            self.said.push(line.clone());
            if line.contains(wanted) {
                return line;
            }
        }
    }

    /// The address behind this text.
    fn address(&mut self, before: &str) -> SocketAddr {
        let line = self.line_with(before);
        let rest = line.split(before).nth(1).expect("found");
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).unwrap_or(rest.len());
        rest[..end].trim_end_matches(':').parse().unwrap_or_else(|error| panic!("{error} in {line:?}"))
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill").success());
    }

    fn exit_code(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it is ours") {
                return status.code();
            }
            assert!(start.elapsed() < LIMIT, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn http_get(address: SocketAddr, path: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("connects");
    write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sends");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("answers");
    answer
}

#[test]
fn check_of_the_example_prints_the_plan() {
    let output = output(&["check", "--config", example().to_str().expect("a plain path")]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let plan = text(&output.stdout);
    for word in ["farm", "127.0.0.1:3333", "simulation"] {
        assert!(plan.contains(word), "{plan}");
    }
}

#[test]
fn check_of_a_bad_config_names_every_problem_with_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bad.toml");
    let bad = "[limits]\nconections = 5\n[[listener]]\nname = \"farm\"\nlisten = \"nowhere\"\nkeep_alive = \"5s\"\n\
               [[pool]]\nname = \"eu\"\nurl = \"http://eu.example\"\nuser = \"a\"\npassword = \"hunter2\"\nmax_miners = 0\n";
    fs::write(&path, bad).expect("writes");
    for command in ["check", "run"] {
        let output = output(&[command, "--config", path.to_str().expect("a plain path")]);
        assert_eq!(output.status.code(), Some(2));
        let problems = text(&output.stderr);
        for key in [
            "limits.conections",
            "listener \"farm\".listen",
            "listener \"farm\".keep_alive",
            "pool \"eu\".url",
            "pool \"eu\".max_miners",
        ] {
            assert!(problems.contains(key), "{key} is not in {problems}");
        }
        assert!(!problems.contains("hunter2"));
    }
}

#[test]
fn a_config_that_is_not_there_is_misuse() {
    let output = output(&["run", "--config", "/nowhere/hashgate.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("/nowhere/hashgate.toml"));
}

#[test]
fn arguments_that_make_no_sense_are_misuse() {
    for arguments in [&["fly"][..], &["run", "--config"], &["demo", "--for", "soon"], &[]] {
        assert_eq!(output(arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_eq!(output(&["--version"]).status.code(), Some(0));
}

#[test]
fn shells_are_told_of_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = output(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}: {}", text(&output.stderr));
        let script = text(&output.stdout);
        for word in ["status", "workers", "events", "backtest", "take-over", "sick", "config"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
        if shell == "bash" {
            let mut bash =
                Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("bash");
            bash.stdin.take().expect("piped").write_all(script.as_bytes()).expect("it reads");
            let parsed = bash.wait_with_output().expect("it ends");
            assert!(parsed.status.success(), "{}", text(&parsed.stderr));
        }
    }
}

#[test]
fn the_manual_has_a_page_of_every_command() {
    let main = output(&["man"]);
    assert_eq!(main.status.code(), Some(0), "{}", text(&main.stderr));
    let page = text(&main.stdout);
    assert!(
        page.contains(".TH hashgate 1") && page.contains(".SH SUBCOMMANDS") && page.contains("Exit codes"),
        "{page}"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("man/man1");
    let all = output(&["man", "--out", out.to_str().expect("a plain path")]);
    assert_eq!(all.status.code(), Some(0), "{}", text(&all.stderr));
    for name in
        ["hashgate", "hashgate-status", "hashgate-workers", "hashgate-events", "hashgate-sim-pool", "hashgate-man"]
    {
        let page = fs::read_to_string(out.join(format!("{name}.1"))).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS") && page.len() > 300, "{name}: {page}");
    }
    let nowhere = folder.path().join("file");
    fs::write(&nowhere, "").expect("writes");
    let refused = output(&["man", "--out", nowhere.join("man").to_str().expect("a plain path")]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("--out"), "{}", text(&refused.stderr));
}

#[test]
fn the_example_runs_serves_metrics_and_ends_on_sigterm() {
    let place = Place::new(|text| text);
    let mut proxy = place.run();
    let metrics = proxy.address("metrics on http://");
    let miners = proxy.address("miners connect to stratum+tcp://");
    let report = place.folder.path().join("report.json");
    let load = ["sim", "miners", "--miners", "10", "--shares-per-second", "5", "--duration", "2s"];
    let server = format!("{miners}");
    let json = report.to_str().expect("a plain path");
    let output = hashgate(&load).args(["--json", json, "--connect", &server]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&fs::read(&report).expect("a report")).expect("JSON");
    assert!(report.to_string().contains("accepted"), "{report}");

    let page = http_get(metrics, "/metrics");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    for name in ["hashgate_connections", "hashgate_shares_unforwarded_total"] {
        assert!(page.contains(name), "{name} is not in {page}");
    }
    assert!(http_get(metrics, "/else").starts_with("HTTP/1.1 404"));

    let told = Instant::now();
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(8), "grace is 5 s, it took {:?}", told.elapsed());
    proxy.line_with("every share is settled");
    assert!(place.folder.path().join("hashgate-state.json").exists());
}

#[test]
fn sigint_ends_it_as_well() {
    let place = Place::new(|text| text);
    let mut proxy = place.run();
    proxy.address("miners connect to stratum+tcp://");
    proxy.signal("INT");
    assert_eq!(proxy.exit_code(), Some(0));
}

#[test]
fn an_address_that_is_taken_is_named_with_its_listener() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    for (key, name) in
        [("127.0.0.1:0\"            # this", "listener \"farm\""), ("127.0.0.1:0\"            # Prom", "metrics")]
    {
        let place = Place::new(|text| {
            let (before, after) = key.split_once(":0").expect("a port");
            let edited = text.replace(key, &format!("{address}{}", after));
            assert!(edited != text, "{before} is in the example");
            edited
        });
        let mut proxy = place.run();
        let error = proxy.line_with("can't listen on");
        assert!(error.contains(name) && error.contains(&address), "{error}");
        assert_eq!(proxy.exit_code(), Some(1));
    }
}

#[test]
fn a_json_log_is_json() {
    let place = Place::new(|text| text.replacen("format = \"text\"", "format = \"json\"", 1));
    let mut proxy = place.run();
    proxy.line_with("miners connect to");
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), Some(0));
    proxy.line_with("ended");
    for line in &proxy.said {
        let event: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(event["level"].is_string() && event["fields"]["message"].is_string(), "{line}");
    }
}

#[test]
fn a_simulated_pool_and_simulated_miners_meet() {
    let mut pool = Running::start(&mut hashgate(&["sim", "pool", "--listen", "127.0.0.1:0", "--difficulty", "1e-8"]));
    let address = pool.address("simulated pool on stratum+tcp://").to_string();
    let load = [
        "sim",
        "miners",
        "--miners",
        "20",
        "--shares-per-second",
        "20",
        "--duration",
        "2s",
        "--json",
        "-",
        "--connect",
        &address,
    ];
    let output = output(&load);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout)));
    assert!(report.to_string().contains("accepted"), "{report}");
    pool.signal("INT");
    assert_eq!(pool.exit_code(), Some(0));
}

#[test]
fn the_demo_ends_by_itself_and_lost_nothing() {
    let output = output(&["demo", "--for", "12s", "--miners", "40"]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stderr));
    assert!(said.contains("no share was lost") && said.contains("(100.0 %)"), "{said}");
    assert!(said.contains("fails now") && said.contains("all mine: power 35 $/MWh"), "{said}");
    let status = said.lines().filter(|line| line.contains(" kW, AI "));
    let widest = status.map(|line| line.chars().count()).max();
    assert!(widest.is_some_and(|columns| columns <= 120), "{widest:?} columns: {said}");
}

#[test]
fn a_demo_that_is_ended_on_the_way_claims_nothing_that_did_not_happen() {
    let mut command = hashgate(&["demo", "--faults", "--miners", "30"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut said = BufReader::new(child.stdout.take().expect("piped")).lines().map(|line| line.expect("text"));
    said.find(|line| line.contains("  2 s  ")).expect("it runs");
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(status.expect("kill").success());
    let rest: Vec<String> = said.collect();
    assert_eq!(child.wait().expect("it is ours").code(), Some(0), "{rest:?}");
    let end = rest.last().map(String::as_str);
    assert_eq!(end, Some("no share was lost, the cap was never passed; ended before the story was told"), "{rest:?}");
}
