//! The real binary reads its config again: by SIGHUP, because the file changed, and because an operator wants it.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr};
use tokio::time::timeout;

use crate::client::Client;
use crate::world::{EASY, LIMIT};

const TOKEN: &str = "0123456789abcdef";
const NEXT: &str = "fedcba9876543210";

/// A config that is edited, and a proxy that runs with it.
struct Running {
    folder: tempfile::TempDir,
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    /// Since the config was written last.
    said: Vec<String>,
    miners: SocketAddr,
    api: SocketAddr,
    metrics: SocketAddr,
}

/// The config with these lines for the proxy and the pool.
fn text(proxy: &str, pool: &str) -> String {
    format!(
        "[proxy]\nworkers = 1\nstate_file = \"\"\n{proxy}\n[metrics]\nlisten = \"127.0.0.1:0\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"token\"\n\
         [[listener]]\nname = \"farm\"\nlisten = \"127.0.0.1:0\"\ndifficulty = {EASY}\nmin_difficulty = {EASY}\n\
         [[pool]]\nname = \"first\"\nurl = \"sim://?difficulty={EASY}\"\nuser = \"u\"\n{pool}\n"
    )
}

impl Running {
    async fn start(proxy: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("token"), TOKEN).expect("writes");
        fs::write(folder.path().join("hashgate.toml"), text(proxy, "")).expect("writes");
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_hashgate"));
        command.args(["run", "--config"]).arg(folder.path().join("hashgate.toml")).env_remove("RUST_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("it starts");
        let log = BufReader::new(child.stderr.take().expect("piped")).lines();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut running =
            Self { folder, child, log, said: Vec::new(), miners: nowhere, api: nowhere, metrics: nowhere };
        running.api = running.address("admin API on http://").await;
        running.metrics = running.address("metrics on http://").await;
        running.miners = running.address("miners connect to stratum+tcp://").await;
        running
    }

    /// A line of the log that has this text, among those since the config was written last.
    async fn says(&mut self, wanted: &str) -> String {
        loop {
            if let Some(line) = self.said.iter().find(|line| line.contains(wanted)) {
                return line.clone();
            }
            let line = timeout(LIMIT, self.log.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("{wanted:?} is not said: {:?}", self.said)).expect("text");
            self.said.push(line.unwrap_or_else(|| panic!("it ended without {wanted:?}: {:?}", self.said)));
        }
    }

    async fn address(&mut self, before: &str) -> SocketAddr {
        let line = self.says(before).await;
        let rest = line.split(before).nth(1).expect("found");
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).unwrap_or(rest.len());
        rest[..end].parse().unwrap_or_else(|error| panic!("{error} in {line:?}"))
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("hashgate.toml")
    }

    fn write(&mut self, text: &str) {
        self.said.clear();
        // As editors do it.
        fs::write(self.folder.path().join("new"), text).expect("writes");
        fs::rename(self.folder.path().join("new"), self.config()).expect("renames");
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().expect("kill").success());
    }

    /// `hashgate reload`, with this token.
    async fn reload(&self, token: &str, arguments: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_hashgate"));
        command.arg("reload").args(arguments).env_remove("RUST_LOG").stdin(Stdio::null()).kill_on_drop(true);
        command.env("HASHGATE_URL", format!("http://{}", self.api)).env("HASHGATE_TOKEN", token);
        timeout(LIMIT, command.output()).await.expect("it ends").expect("it runs")
    }

    async fn metric(&self, name: &str) -> f64 {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut socket = tokio::net::TcpStream::connect(self.metrics).await.expect("connects");
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).await.expect("sends");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("answers");
        let line =
            answer.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {answer}"));
        line.trim().parse().expect("a number")
    }
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// Finds a share, which must be taken; its connection is the one that it began with.
async fn finds(miner: &mut Client) {
    let share = miner.good_share().await;
    assert_eq!(miner.submit(&share).await["result"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_follows_a_good_file_and_refuses_a_bad_one_with_every_problem() {
    let mut proxy = Running::start("watch = false").await;
    let mut miner = Client::mining(proxy.miners).await;
    finds(&mut miner).await;
    let started = proxy.metric("hashgate_config_last_reload_success_timestamp_seconds").await;
    proxy.write(&text("watch = false", "pasword = \"x\"\nmax_miners = 0\n"));
    proxy.signal("HUP");
    proxy.says("reload (SIGHUP): refused, the config before stays").await;
    proxy.says("pool \"first\".pasword: unknown key; did you mean \"password\"?").await;
    proxy.says("pool \"first\".max_miners").await;
    assert_eq!(proxy.metric("hashgate_config_reloads_total{result=\"refused\"}").await, 1.0);
    finds(&mut miner).await;
    proxy.write(&text("watch = false\nworkers = 2", "").replacen("workers = 1\n", "", 1).replacen(
        "user = \"u\"",
        "user = \"v\"",
        1,
    ));
    proxy.signal("HUP");
    proxy.says("1 changes followed, 1 wait for a restart").await;
    proxy.says("[proxy] workers: 1 → 2; needs a restart").await;
    proxy.says("is logged in to with its new settings").await;
    assert_eq!(proxy.metric("hashgate_config_reloads_total{result=\"applied\"}").await, 1.0);
    assert_eq!(proxy.metric("hashgate_config_pending_changes").await, 1.0);
    assert!(proxy.metric("hashgate_config_last_reload_success_timestamp_seconds").await > started);
    finds(&mut miner).await;
    proxy.signal("TERM");
    proxy.says("ended").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_is_followed_and_so_is_a_secret_that_it_names() {
    let mut proxy = Running::start("").await;
    let mut miner = Client::mining(proxy.miners).await;
    proxy.write(&text("", "[log]\nfilter = \"info,hashgate=debug\""));
    proxy.says("reload (its file has changed): 1 changes followed").await;
    finds(&mut miner).await;
    // A token is exchanged by whoever exchanges the file.
    fs::write(proxy.folder.path().join("token"), NEXT).expect("writes");
    proxy.says("[admin] token: another one; the old one opens nothing any more").await;
    let dry_run = ["--dry-run"];
    assert_eq!(proxy.reload(TOKEN, &dry_run).await.status.code(), Some(2));
    let answer = proxy.reload(NEXT, &dry_run).await;
    assert_eq!((answer.status.code(), out(&answer).as_str()), (Some(0), "nothing would change\n"));
    finds(&mut miner).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_what_would_change_then_changes_it() {
    let mut proxy = Running::start("watch = false").await;
    let mut miner = Client::mining(proxy.miners).await;
    let second = format!("[[pool]]\nname = \"second\"\nurl = \"sim://?difficulty={EASY}\"\nuser = \"u\"");
    proxy.write(&text("watch = false", &second));
    for (arguments, verb) in [(&["--dry-run"][..], "would change"), (&[], "changed")] {
        let answer = proxy.reload(TOKEN, arguments).await;
        let wanted = format!("{verb}: pool \"second\" added; a connection is opened where a route names it\n");
        assert!(out(&answer).starts_with(&wanted), "{answer:?}");
    }
    finds(&mut miner).await;
    assert_eq!(proxy.metric("hashgate_pool_losses_total{pool=\"second\"}").await, 0.0);
    proxy.write("[[listener]]\nlisten = 7\n");
    let answer = proxy.reload(TOKEN, &[]).await;
    let problems = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert_eq!(answer.status.code(), Some(2), "{problems}");
    assert!(problems.contains("line 2: listener[1].listen") && problems.contains("pool: there is none"), "{problems}");
    finds(&mut miner).await;
}

#[test]
fn two_files_are_compared_without_a_proxy() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("token"), TOKEN).expect("writes");
    let path = |name: &str| folder.path().join(name).to_str().expect("a plain path").to_owned();
    fs::write(path("old"), text("", "")).expect("writes");
    fs::write(path("new"), text("shutdown_grace = \"9s\"", "")).expect("writes");
    let arguments = ["check", "--config", &path("new"), "--diff", &path("old")];
    let output = Command::new(env!("CARGO_BIN_EXE_hashgate")).args(arguments).output().expect("it runs");
    assert_eq!(out(&output), "changes: [proxy] shutdown_grace: 5s → 9s; from now on\n");
}
