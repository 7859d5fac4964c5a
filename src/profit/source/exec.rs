//! `exec`: runs a command and reads what it writes to its standard output.
//!
//! The words of the config are the program and its arguments; no shell reads them. The command has no standard input and, of our
//! environment, where programs, the user's home, language and time zone are: passwords of pools are none of its business. At
//! `timeout`, or when it writes too much, or when we end, its process group is killed: what it has started goes with it.

use std::{process::Stdio, time::Duration};

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, copy, sink},
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::{Feed, MAX_DOCUMENT, dated, jittered, text};
use crate::{
    config::ExecSource,
    profit::{
        Unit, extract,
        signal::{Observation, Refusal},
    },
};

/// What a command finds in its environment.
const ENVIRONMENT: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ"];

/// Bytes of a command's complaint that are shown.
const MAX_COMPLAINT: usize = 300;

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
    let document = output(&source.command, source.timeout).await?;
    extract(text(&document)?, &source.picker, unit).map(|said| dated(said, Some(asked_at)))
}

/// What a command writes, if it ends well and in time.
async fn output(command: &[String], within: Duration) -> Result<Vec<u8>, Refusal> {
    let [program, arguments @ ..] = command else { return Err(Refusal::Nothing) };
    let environment = ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let child = child.map_err(|error| Refusal::Unreachable(format!("{program} can't be started: {error}")))?;
    let mut group = Group::of(child);
    let run = async {
        let (out, complaint) = (group.child.stdout.take(), group.child.stderr.take());
        let (out, complaint) = tokio::join!(at_most(out, MAX_DOCUMENT), beginning(complaint, MAX_COMPLAINT));
        let Some(out) = out else { return Err(Refusal::TooLarge(MAX_DOCUMENT)) };
        let status = group.child.wait().await;
        group.is_over = true;
        let status = status.map_err(|error| Refusal::Failed(format!("{program}: {error}")))?;
        if status.success() {
            return Ok(out);
        }
        let complaint = String::from_utf8_lossy(&complaint).trim().escape_debug().to_string();
        let because = if complaint.is_empty() { String::new() } else { format!(": {complaint}") };
        Err(Refusal::Failed(format!("{program} ended with {status}{because}")))
    };
    let ended = timeout(within, run).await;
    ended.unwrap_or_else(|_| {
        Err(Refusal::Unreachable(format!(
            "{program} was killed: it took longer than {}",
            humantime::format_duration(within)
        )))
    })
}

/// All that is written; `None` if that is more than `most` bytes, and who goes on writing is told by the closed pipe.
async fn at_most(from: Option<impl AsyncRead + Unpin>, most: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    // What can't be read any more was written.
    let _ = from?.take(most as u64 + 1).read_to_end(&mut bytes).await;
    (bytes.len() <= most).then_some(bytes)
}

/// The beginning of what is written; the rest is read as well, and dropped: a talkative command is no reason to end it.
async fn beginning(from: Option<impl AsyncRead + Unpin>, most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Some(mut from) = from else { return bytes };
    // What can't be read any more was written.
    let _ = (&mut from).take(most as u64).read_to_end(&mut bytes).await;
    let _ = copy(&mut from, &mut sink()).await;
    bytes
}

/// A command and all that it has started.
struct Group {
    child: Child,
    is_over: bool,
}

impl Group {
    fn of(child: Child) -> Self {
        Self { child, is_over: false }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Not waited for yet, so that its number is still its own.
        let id = if self.is_over { None } else { self.child.id() };
        if let Some(group) = id.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            // It may be gone by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    async fn said(script: &str, within: Duration) -> Result<String, Refusal> {
        output(&shell(script), within).await.map(|out| String::from_utf8(out).unwrap())
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_command_that_ends_well_is_read() {
        assert_eq!(said("echo 42.5; echo noise >&2", LONG).await.unwrap(), "42.5\n");
    }

    #[tokio::test]
    async fn a_talkative_command_is_read_all_the_same() {
        let talks = "i=0; while [ $i -lt 20000 ]; do echo progress $i >&2; i=$((i+1)); done; echo 42.5";
        assert_eq!(said(talks, LONG).await.unwrap(), "42.5\n");
    }

    #[tokio::test]
    async fn a_command_that_fails_is_quoted() {
        let refusal = said("echo 42; echo no such meter >&2; exit 3", LONG).await.unwrap_err();
        assert_eq!(refusal.to_string(), "/bin/sh ended with exit status: 3: no such meter");
        let refusal = output(&["./no/such/program".to_owned()], LONG).await.unwrap_err();
        assert_eq!(refusal.label(), "unreachable");
        assert!(refusal.to_string().contains("can't be started"), "{refusal}");
    }

    #[tokio::test]
    async fn arguments_are_not_read_by_a_shell() {
        let command = ["/bin/echo", "$HOME; rm -rf *"].map(str::to_owned);
        assert_eq!(output(&command, LONG).await.unwrap(), b"$HOME; rm -rf *\n");
    }

    #[tokio::test]
    async fn our_environment_is_not_a_commands() {
        let all = said("env", LONG).await.unwrap();
        let names: Vec<&str> = all.lines().filter_map(|line| line.split('=').next()).collect();
        // A shell sets some of its own.
        let known = |name: &&&str| ENVIRONMENT.contains(*name) || matches!(**name, "PWD" | "OLDPWD" | "SHLVL" | "_");
        assert_eq!(names.iter().filter(|name| !known(name)).collect::<Vec<_>>(), Vec::<&&str>::new());
    }

    #[tokio::test]
    async fn one_that_writes_without_end_is_stopped() {
        assert_eq!(said("while :; do echo 1234567890; done", LONG).await.unwrap_err().label(), "too_large");
    }

    #[tokio::test]
    async fn one_that_takes_too_long_is_killed_with_what_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        // It starts another that would outlive it, and both say who they are.
        let script = format!("sleep 600 & echo $! $$ > {0}.new; mv {0}.new {0}; wait", pids.display());
        let refusal = said(&script, Duration::from_secs(2)).await.unwrap_err();
        assert!(refusal.to_string().contains("was killed: it took longer than 2s"), "{refusal}");
        for pid in fs::read_to_string(&pids).unwrap().split_whitespace() {
            wait_until_gone(pid).await;
        }
    }

    /// A killed process is gone, or a corpse that nobody has looked at.
    async fn wait_until_gone(pid: &str) {
        let status = format!("/proc/{pid}/stat");
        let is_alive = || {
            let stat = fs::read_to_string(Path::new(&status)).unwrap_or_default();
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['R', 'S', 'D']))
        };
        for _ in 0..2000 {
            if !is_alive() {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("process {pid} was not killed");
    }
}
