//! A process and its children: its log, and what the kernel says of their time and memory.

// Each bench that includes this file uses a part of it.
#![allow(dead_code)]

use std::{
    fs,
    io::{self, BufRead, BufReader, Read},
    process::{self, Child, ChildStderr, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// The proxy, built with the profile of the benches, which is the release profile.
pub const HASHGATE: &str = env!("CARGO_BIN_EXE_hashgate");

/// Clock ticks in a second of `/proc/stat`: `USER_HZ`, 100 on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running process; dropping it kills it and its children.
pub struct Process {
    what: &'static str,
    child: Child,
    log: Receiver<String>,
}

impl Process {
    /// Starts a program. What it writes to standard error can be waited for, standard output is kept for [`Process::output`].
    pub fn start(what: &'static str, command: &mut Command) -> io::Result<Self> {
        let mut child = command
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::other(format!("{what} does not start: {error}")))?;
        let stderr = child.stderr.take().expect("it is piped");
        Ok(Self { what, child, log: follow(stderr) })
    }

    /// What stands behind `mark` in the first line of the log that has it within `patience`, up to the next space.
    pub fn logged(&self, mark: &str, patience: Duration) -> io::Result<String> {
        let deadline = Instant::now() + patience;
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

    /// What it has logged since somebody asked last.
    pub fn said(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    /// Tells it something by a signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = self.child.id().try_into().ok().and_then(Pid::from_raw);
        Ok(kill_process(pid.ok_or_else(|| io::Error::other("it has no id"))?, signal)?)
    }

    /// Waits for its end, and yields what it has logged until then.
    pub fn end(mut self) -> io::Result<Vec<String>> {
        let status = self.child.wait()?;
        let log: Vec<String> = self.log.iter().collect();
        if status.success() {
            return Ok(log);
        }
        Err(io::Error::other(format!("{} ended with {status}:\n{}", self.what, log.join("\n"))))
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

    /// Processor time that it and its children have used, in their own code and in the kernel, all threads together. The first field
    /// of `schedstat` is the scheduler's own sum in nanoseconds; `stat` has the same in ticks of 10 ms.
    pub fn cpu(&self) -> io::Result<Duration> {
        cpu_of(&family(self.child.id()))
    }

    /// The same of its threads with this name alone.
    pub fn cpu_of_thread(&self, name: &str) -> io::Result<Duration> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id()))?;
        let is_it = |task: &fs::DirEntry| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim_end() == name)
        };
        Ok(tasks.filter_map(Result::ok).filter(is_it).map(|task| cpu_of_task(&task)).sum())
    }

    /// Bytes that it had written to disks.
    pub fn written(&self) -> io::Result<u64> {
        let io = fs::read_to_string(format!("/proc/{}/io", self.child.id()))?;
        let bytes = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok());
        bytes.ok_or_else(|| io::Error::other("no write_bytes"))
    }

    /// Memory of its own that it and its children have resident, bytes: heaps and stacks, without the program's file.
    pub fn resident(&self) -> io::Result<u64> {
        let mut bytes = 0;
        for pid in family(self.child.id()) {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let kib =
                status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse().ok());
            bytes += kib.map(|kib: u64| kib * 1024).ok_or_else(|| io::Error::other("no RssAnon"))?;
        }
        Ok(bytes)
    }
}

/// Processor time of the machine and of what this program has started, to tell whether something else was busy.
pub struct Machine {
    busy: Duration,
    ours: Duration,
}

impl Machine {
    /// As of now.
    pub fn now() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        // user, nice, system, idle, iowait, irq, softirq, steal: all but the fourth and fifth are work.
        let fields = stat.lines().next().unwrap_or("").split_whitespace().skip(1).take(8);
        let ticks = fields.enumerate().filter(|(at, _)| !matches!(at, 3 | 4));
        let ticks: f64 = ticks.filter_map(|(_, ticks)| ticks.parse::<f64>().ok()).sum();
        Ok(Self { busy: Duration::from_secs_f64(ticks / TICKS_PER_SECOND), ours: cpu_of(&family(process::id()))? })
    }

    /// Processor time that went elsewhere since an earlier moment; processes of ours must not have ended meanwhile.
    pub fn others_since(&self, earlier: &Self) -> Duration {
        self.busy.saturating_sub(earlier.busy).saturating_sub(self.ours.saturating_sub(earlier.ours))
    }
}

fn cpu_of(pids: &[u32]) -> io::Result<Duration> {
    let mut sum = Duration::ZERO;
    for pid in pids {
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            sum += cpu_of_task(&task?);
        }
    }
    Ok(sum)
}

fn cpu_of_task(task: &fs::DirEntry) -> Duration {
    // A thread may end while it is looked at.
    let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

/// A process, its children, and theirs.
fn family(head: u32) -> Vec<u32> {
    let parents = parents();
    let mut pids = vec![head];
    let mut at = 0;
    while let Some(parent) = pids.get(at).copied() {
        pids.extend(parents.iter().filter(|(_, its)| *its == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    pids
}

/// Every process and its parent. The second field of `stat` is the name in parentheses and may hold anything; the parent is the fourth.
fn parents() -> Vec<(u32, u32)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect()
}

impl Drop for Process {
    fn drop(&mut self) {
        let pids = family(self.child.id());
        // It may have ended already, and its children with it. The parent goes first: it might start new ones.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in pids.into_iter().skip(1).filter_map(|pid| Pid::from_raw(pid.try_into().ok()?)) {
            let _ = kill_process(pid, Signal::KILL);
        }
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
