//! Runs a command of the operator's: to read what it writes, or to have something done.
//!
//! Its words are the program and its arguments; no shell reads them. The command has an empty standard input, or what is for it, and, of our
//! environment, where programs, the user's home, language and time zone are: passwords of pools are none of its business. Knows nothing of
//! what it is run for.
//!
//! | it | we |
//! |---|---|
//! | ends with exit code 0 | have what it wrote; what it left running in the background is its own |
//! | ends otherwise | quote the last line of its complaints: tracebacks end with what happened |
//! | takes longer than it may, writes too much, or we end | kill its process group: what it has started goes with it |

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    process::{Child, Command},
    time::timeout,
};

/// What a command finds in its environment.
const ENVIRONMENT: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ"];

/// Bytes of complaints that are kept, the last ones.
const COMPLAINTS: usize = 2048;

/// Characters of a complaint that are shown.
const MAX_COMPLAINT: usize = 300;

/// How long the last words of a command that has ended are waited for: what it started may hold the pipe open for ever.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Why a command did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// There are no words.
    #[error("no program is named")]
    Nothing,
    /// There is no such program, or it may not be run.
    #[error("{program} can't be started: {why}")]
    NotStarted { program: String, why: std::io::Error },
    /// It ended with another exit code than 0, or by a signal; its complaint is printable.
    #[error("{program} ended with {how}")]
    Ended { program: String, how: String },
    /// It writes on and on.
    #[error("{program} was killed: it wrote more than {most} bytes")]
    TooMuch { program: String, most: usize },
    /// It took too long.
    #[error("{program} was killed: it took longer than {}", humantime::format_duration(*.within))]
    Killed { program: String, within: Duration },
}

/// What a command writes to its standard output, `most` bytes of it, if it ends well and in time. Where `most` is 0, nobody reads
/// it, and it may write what it likes.
pub(crate) async fn run(command: &[String], most: usize, within: Duration) -> Result<Vec<u8>, CommandError> {
    run_with(command, None, most, within).await
}

/// The same for one that may read something from its standard input; one that does not is none the worse for it.
pub(crate) async fn run_with(
    command: &[String],
    input: Option<&[u8]>,
    most: usize,
    within: Duration,
) -> Result<Vec<u8>, CommandError> {
    let [program, arguments @ ..] = command else { return Err(CommandError::Nothing) };
    let program = || program.clone();
    let environment = ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    let child = Command::new(program())
        .args(arguments)
        .env_clear()
        .envs(environment)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(if most == 0 { Stdio::null() } else { Stdio::piped() })
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut group = Group::of(child.map_err(|why| CommandError::NotStarted { program: program(), why })?);
    let run = async {
        let (out, mut complaints) = (group.child.stdout.take(), group.child.stderr.take());
        let fed = group.child.stdin.take();
        let mut tail = Tail(Vec::new());
        let end = async {
            let Some(out) = at_most(out, most).await else {
                return Err(CommandError::TooMuch { program: program(), most });
            };
            let status = group.child.wait().await;
            group.is_over = true;
            Ok((out, status.map_err(|why| CommandError::Ended { program: program(), how: why.to_string() })?))
        };
        let (out, status) = tokio::select! {
            biased;
            ended = end => ended?,
            // Goes on until the other ends.
            never = async {
                tokio::join!(tail.read(&mut complaints), feed(fed, input.unwrap_or_default()));
                std::future::pending().await
            } => never,
        };
        if status.success() {
            return Ok(out);
        }
        // Whatever came until then is shown.
        let _ = timeout(LAST_WORDS, tail.read(&mut complaints)).await;
        let complaint = tail.last_line();
        let because = if complaint.is_empty() { String::new() } else { format!(": {complaint}") };
        Err(CommandError::Ended { program: program(), how: format!("{status}{because}") })
    };
    let ended = timeout(within, run).await;
    ended.unwrap_or_else(|_| Err(CommandError::Killed { program: program(), within }))
}

/// Gives a command what it may read, and its end.
async fn feed(to: Option<impl AsyncWrite + Unpin>, input: &[u8]) {
    let Some(mut to) = to else { return };
    // It may end, or close its input, without having read all of it.
    let _ = to.write_all(input).await;
}

/// All that is written; `None` if that is more than `most` bytes, and who goes on writing is told by the closed pipe.
async fn at_most(from: Option<impl AsyncRead + Unpin>, most: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(from) = from else { return Some(bytes) };
    // What can't be read any more was written.
    let _ = from.take(most as u64 + 1).read_to_end(&mut bytes).await;
    (bytes.len() <= most).then_some(bytes)
}

/// The end of what is written; the rest is read as well, and dropped: a talkative command is no reason to end it.
struct Tail(Vec<u8>);

impl Tail {
    async fn read(&mut self, from: &mut Option<impl AsyncRead + Unpin>) {
        let Some(from) = from else { return };
        let mut chunk = [0; COMPLAINTS];
        // What can't be read any more was written.
        while let Ok(length @ 1..) = from.read(&mut chunk).await {
            self.0.extend_from_slice(&chunk[..length]);
            self.0.drain(..self.0.len().saturating_sub(COMPLAINTS));
        }
    }

    /// The last line that says anything, printable.
    fn last_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        line.chars().flat_map(char::escape_debug).take(MAX_COMPLAINT).collect()
    }
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

    use tokio::time::sleep;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    const MOST: usize = 64 * 1024;

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    async fn said(script: &str, within: Duration) -> Result<String, CommandError> {
        run(&shell(script), MOST, within).await.map(|out| String::from_utf8(out).unwrap())
    }

    #[tokio::test]
    async fn a_command_that_ends_well_is_read() {
        assert_eq!(said("echo 42.5; echo noise >&2", LONG).await.unwrap(), "42.5\n");
    }

    #[tokio::test]
    async fn a_talkative_command_is_read_all_the_same() {
        let talks = "i=0; while [ $i -lt 20000 ]; do echo progress $i >&2; i=$((i+1)); done; echo 42.5";
        assert_eq!(said(talks, LONG).await.unwrap(), "42.5\n");
        let shouts = "i=0; while [ $i -lt 20000 ]; do echo progress $i; i=$((i+1)); done";
        assert_eq!(run(&shell(shouts), 0, LONG).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn a_command_that_fails_is_quoted_with_its_last_words() {
        let error =
            said("echo 42; echo Traceback: >&2; echo no such meter >&2; echo >&2; exit 3", LONG).await.unwrap_err();
        assert_eq!(error.to_string(), "/bin/sh ended with exit status: 3: no such meter");
        let error = said("head -c 5000 /dev/zero >&2; printf '\\033[31m\\377' >&2; exit 1", LONG)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.len() < 400 && !error.contains(char::is_control), "{error}");
        let error = run(&["./no/such/program".to_owned()], 0, LONG).await.unwrap_err();
        assert!(error.to_string().contains("can't be started"), "{error}");
        assert!(matches!(run(&[], 0, LONG).await, Err(CommandError::Nothing)));
    }

    #[tokio::test]
    async fn what_it_leaves_in_the_background_is_not_waited_for() {
        // It holds the pipe of complaints, as a connection of ssh that stays does.
        let ends = |script: &'static str| timeout(Duration::from_secs(10), said(script, LONG));
        assert_eq!(ends("(sleep 20 >/dev/null &); echo done").await.expect("it ended").unwrap(), "done\n");
        let error = ends("(sleep 20 >/dev/null &); echo gone >&2; exit 1").await.expect("it ended").unwrap_err();
        assert!(error.to_string().ends_with("1: gone"), "{error}");
    }

    #[tokio::test]
    async fn arguments_are_not_read_by_a_shell() {
        let command = ["/bin/echo", "$HOME; rm -rf *"].map(str::to_owned);
        assert_eq!(run(&command, MOST, LONG).await.unwrap(), b"$HOME; rm -rf *\n");
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
        let error = said("while :; do echo 1234567890; done", LONG).await.unwrap_err();
        assert!(matches!(error, CommandError::TooMuch { .. }), "{error}");
    }

    #[tokio::test]
    async fn one_that_takes_too_long_is_killed_with_what_it_has_started() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        // It starts another that would outlive it, and both say who they are.
        let script = format!("sleep 600 & echo $! $$ > {0}.new; mv {0}.new {0}; wait", pids.display());
        let error = said(&script, Duration::from_secs(2)).await.unwrap_err();
        assert!(error.to_string().contains("was killed: it took longer than 2s"), "{error}");
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
