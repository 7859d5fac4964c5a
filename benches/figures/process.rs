//! A process of the binary under test: its log, and what the kernel says of its time and memory.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read},
    process::{Child, ChildStderr, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

/// The binary, built with the profile of the benches, which is the release profile.
const BINARY: &str = env!("CARGO_BIN_EXE_hashgate");

/// Clock ticks in a second of `/proc/PID/stat`: `USER_HZ`, 100 on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Until a process has said where it listens.
const START: Duration = Duration::from_secs(10);

/// A running process; dropping it kills it.
pub struct Process {
    what: &'static str,
    child: Child,
    log: Receiver<String>,
}

impl Process {
    /// Starts the binary. What it writes to standard error can be waited for, standard output is kept for [`Process::output`].
    pub fn start(what: &'static str, args: &[&str]) -> io::Result<Self> {
        let mut child = Command::new(BINARY)
            .args(args)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().expect("it is piped");
        Ok(Self { what, child, log: follow(stderr) })
    }

    /// What stands behind `mark` in the first line of the log that has it, up to the next space.
    pub fn logged(&self, mark: &str) -> io::Result<String> {
        let deadline = Instant::now() + START;
        let mut said = Vec::new();
        loop {
            match self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => match line.split_once(mark) {
                    Some((_, rest)) => {
                        return Ok(rest.split(' ').next().unwrap_or(rest).trim_end_matches(':').to_owned());
                    }
                    None => said.push(line),
                },
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(io::Error::other(format!("{} never said {mark:?}:\n{}", self.what, said.join("\n"))));
                }
            }
        }
    }

    /// Waits for its end and yields its standard output.
    pub fn output(mut self) -> io::Result<String> {
        let mut output = String::new();
        self.child.stdout.take().expect("it is piped").read_to_string(&mut output)?;
        let status = self.child.wait()?;
        if status.success() {
            return Ok(output);
        }
        let log: Vec<String> = self.log.iter().collect();
        Err(io::Error::other(format!("{} ended with {status}:\n{}", self.what, log.join("\n"))))
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Processor time it has used: in its own code and in the kernel, all threads together.
    pub fn cpu(&self) -> io::Result<Duration> {
        let stat = self.proc("stat")?;
        // The second field is the name in parentheses and may hold anything; utime and stime are the 14th and 15th.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        Ok(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
    }

    /// Resident memory, bytes.
    pub fn resident(&self) -> io::Result<u64> {
        let status = self.proc("status")?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
        kib.map(|kib: u64| kib * 1024).ok_or_else(|| io::Error::other("no VmRSS"))
    }

    fn proc(&self, file: &str) -> io::Result<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a log to its end, so that its writer never waits.
fn follow(stderr: ChildStderr) -> Receiver<String> {
    let (lines, log) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Nobody may be interested any more, but the pipe has to be emptied.
            let _ = lines.send(line);
        }
    });
    log
}
