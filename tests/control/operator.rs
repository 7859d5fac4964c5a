//! What an operator looks at: one screen, the miners by name, events as they come; on a terminal, in a pipe and in a script.

use std::{
    fs::{File, OpenOptions},
    io::Read,
    net::TcpListener,
    os::unix::ffi::OsStrExt,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use axum::http::Method;
use hashgate::{
    census::{Placing, Table},
    router::{Census, ConnectionId, Judgements, MinerReport},
};
use jiff::Timestamp;
use rustix::{
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, BufReader, Lines},
    process::{Child, Command},
    sync::mpsc,
    time::timeout,
};

use crate::{
    commands::{Done, command, contains, hashgate, with},
    site::{CONTROL, LIMIT, READ, Site},
    workers::farm,
};

/// What a small screen has.
const SCREEN: (u16, u16) = (80, 24);

fn of(site: &Site, arguments: &[&str]) -> Command {
    let url = format!("http://{}", site.address);
    command(arguments, &[("HASHGATE_URL", &url), ("HASHGATE_TOKEN", READ), ("TERM", "xterm")])
}

/// Waits until the site shows what is wrong with it: it looks once a second.
async fn has_looked(site: &Site) {
    let begun = Instant::now();
    while site.ask(Method::GET, "/api/v1/status", Some(READ), "").await.1["alerts"] == json!([]) {
        assert!(begun.elapsed() < LIMIT);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn line(lines: &mut Lines<impl AsyncBufRead + Unpin>) -> String {
    timeout(LIMIT, lines.next_line()).await.expect("a line comes").expect("it is read").expect("it goes on")
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let id = i32::try_from(child.id().expect("it runs")).expect("a process");
    rustix::process::kill_process(rustix::process::Pid::from_raw(id).expect("a process"), signal).expect("it is ours");
}

async fn code(child: &mut Child) -> Option<i32> {
    timeout(LIMIT, child.wait()).await.expect("it ends").expect("it is ours").code()
}

/// Nothing of it moves a cursor, or turns what is read.
fn is_plain(text: &str) {
    let moves =
        |c: &char| c.is_control() && *c != '\n' || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}');
    assert_eq!(text.chars().find(moves), None, "{text:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_proxy_is_on_one_screen() {
    let site = Site::with(farm(25)).await;
    has_looked(&site).await;
    let done = with(&site, READ, &["status"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    contains(
        &done.out,
        &[
            &format!("hashgate {} at http://{}, up ", env!("CARGO_PKG_VERSION"), site.address),
            ", advise",
            "MINING: 2 of 2 groups mine (advice: only an operator's orders",
            "hashrate  0.00 H/s",
            "workers   25 known, 25 online, 0 asleep, 0 sick",
            "shares    0 accepted, 0 rejected (-)",
            "site      51.0 kW by its meter; no cap; 0 of 3 machines sleep",
            "AI        40.0 kW are leased to it",
            "signals   never heard: pays",
            "pool              down",
            "hall-a            MINING          7.00 kW         -  ordered to sleep: visitors",
            "shed              (mine)",
            "! route \"default\": no pool is left",
        ],
    );
    let lines: Vec<&str> = done.out.lines().collect();
    let widest = lines.iter().map(|line| line.chars().count()).max();
    assert!(lines.len() < SCREEN.1.into() && widest <= Some(SCREEN.0.into()), "{widest:?}\n{}", done.out);
    is_plain(&done.out);

    let json: Value = serde_json::from_str(&with(&site, READ, &["status", "--json"]).await.out).unwrap();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["groups", "reload", "signals", "status"]);
    assert_eq!((&json["status"]["mode"], &json["groups"]["groups"][0]["name"]), (&json!("advise"), &json!("hall-a")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_learns_by_an_exit_code_whether_something_is_wrong_or_nobody_is_there() {
    let site = Site::start().await;
    has_looked(&site).await;
    assert_eq!(with(&site, READ, &["status", "--check"]).await.code, Some(3), "it has no pool");
    assert_eq!(with(&site, READ, &["status", "--check", "--json"]).await.code, Some(3));
    site.books.router().pools[0].connections = 1;
    site.books.router().active[0] = Some(0);
    let begun = Instant::now();
    let well = loop {
        let done = with(&site, READ, &["status", "--check"]).await;
        if done.code == Some(0) {
            break done;
        }
        assert!(begun.elapsed() < LIMIT, "{done:?}");
    };
    assert!(!well.out.contains("\n!"), "{well:?}");
    for (arguments, why) in [
        (&["status", "--check", "--watch"][..], "cannot be used with"),
        (&["status", "--watch=0"], "0.2 to a day"),
        (&["workers", "a", "--sick"], "cannot be used with"),
        (&["workers", "--sort", "colour"], "last_share"),
        (&["events", "--kind", "weather"], "fail_back"),
        (&["completions", "cmd"], "bash"),
    ] {
        let done = with(&site, READ, arguments).await;
        assert_eq!((done.code, done.err.contains(why)), (Some(2), true), "{arguments:?}: {done:?}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = format!("http://{}", taken.local_addr().unwrap());
    drop(taken);
    for arguments in [&["status"][..], &["status", "--check"], &["status", "--watch"], &["workers"], &["events", "-f"]]
    {
        let done = hashgate(arguments, &[("HASHGATE_URL", &free), ("HASHGATE_TOKEN", READ)]).await;
        assert_eq!(done.code, Some(1), "{done:?}");
        contains(&done.err, &["no proxy answers at http://127.0.0.1:"]);
        assert!(done.out.is_empty(), "{done:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_pipe_what_is_watched_comes_one_after_the_other() {
    let site = Site::start().await;
    let mut child = of(&site, &["status", "--watch=0.2"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut heads = 0;
    while heads < 3 {
        let line = line(&mut lines).await;
        is_plain(&line);
        heads += usize::from(line.starts_with("hashgate "));
    }
    signal(&child, rustix::process::Signal::INT);
    assert_eq!(code(&mut child).await, Some(0));

    // One object on each line, for programs; and who has read enough ends it.
    let mut child = of(&site, &["status", "--watch=0.2", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let page: Value = serde_json::from_str(&line(&mut lines).await).unwrap();
        assert_eq!(page["status"]["mode"], "advise");
    }
    drop(lines);
    assert_eq!(code(&mut child).await, Some(0));
}

/// A command on a terminal of its own, and all that it wrote there.
struct OnTerminal {
    child: Child,
    _terminal: std::os::fd::OwnedFd,
    written: mpsc::UnboundedReceiver<Vec<u8>>,
    text: String,
}

impl OnTerminal {
    fn start(mut command: Command) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("it is ours");
        let (ws_col, ws_row) = SCREEN;
        tcsetwinsize(&terminal, Winsize { ws_row, ws_col, ws_xpixel: 0, ws_ypixel: 0 }).expect("a size");
        let name = ptsname(&terminal, Vec::new()).expect("a name");
        let end =
            OpenOptions::new().write(true).open(std::ffi::OsStr::from_bytes(name.as_bytes())).expect("its other end");
        let child = command.stdout(Stdio::from(end)).spawn().expect("it starts");
        // The command has the only other end.
        drop(command);
        let (to, written) = mpsc::unbounded_channel();
        let mut from = File::from(terminal.try_clone().expect("another of it"));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It fails when the other end is closed.
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                if to.send(bytes[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, _terminal: terminal, written, text: String::new() }
    }

    async fn until(&mut self, wanted: &str) {
        while !self.text.contains(wanted) {
            let more =
                timeout(LIMIT, self.written.recv()).await.unwrap_or_else(|_| panic!("no {wanted:?}: {:?}", self.text));
            let more = more.unwrap_or_else(|| panic!("it ended without {wanted:?}: {:?}", self.text));
            self.text.push_str(&String::from_utf8_lossy(&more));
        }
    }

    /// The next screen, from its first line to where the rest is wiped out.
    async fn screen(&mut self) -> String {
        self.until("\u{1b}[H").await;
        self.text.drain(..self.text.find("\u{1b}[H").expect("it is there"));
        self.until("\u{1b}[J").await;
        let end = self.text.find("\u{1b}[J").expect("it is there");
        self.text.drain(..end).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_is_drawn_in_place_and_given_back() {
    let site = Site::start().await;
    has_looked(&site).await;
    for kind in [rustix::process::Signal::INT, rustix::process::Signal::TERM] {
        let mut watched = OnTerminal::start(of(&site, &["status", "--watch=0.2"]));
        watched.until("\u{1b}[?1049h\u{1b}[?25l").await;
        for _ in 0..3 {
            let screen = watched.screen().await;
            assert!(screen.matches('\n').count() < SCREEN.1.into(), "{screen:?}");
            assert!(
                screen.contains("\u{1b}[31mdown") && screen.contains("hall-a"),
                "a pool that is down is red: {screen:?}"
            );
        }
        signal(&watched.child, kind);
        watched.until("\u{1b}[?25h\u{1b}[?1049l").await;
        assert_eq!(code(&mut watched.child).await, Some(0));
    }
    // Colours are for who wants them.
    for (variable, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let mut command = of(&site, &["status"]);
        command.env(variable, value);
        let mut plain = OnTerminal::start(command);
        plain.until("! route").await;
        assert_eq!(code(&mut plain.child).await, Some(0));
        assert!(!plain.text.contains('\u{1b}'), "{:?}", plain.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_screen_stays_while_the_proxy_is_away_and_says_so() {
    let site = Site::start().await;
    let address = site.address;
    let mut watched = OnTerminal::start(of(&site, &["status", "--watch=0.2"]));
    assert!(watched.screen().await.contains("hall-a"));
    drop(site);
    let begun = Instant::now();
    let mut until = async |is_away: bool| {
        loop {
            let screen = watched.screen().await;
            assert!(screen.contains("hall-a"), "what it said last stands there: {screen:?}");
            if screen.contains("not reached for ") == is_away {
                return;
            }
            assert!(begun.elapsed() < LIMIT, "{screen:?}");
        }
    };
    until(true).await;
    let _site = Site::again_at(address).await;
    until(false).await;
    signal(&watched.child, rustix::process::Signal::INT);
    assert_eq!(code(&mut watched.child).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn miners_are_listed_as_many_as_are_wanted_and_none_twice() {
    let site = Site::with(farm(2_500)).await;
    let page = async |arguments: &[&str]| -> Value {
        let done = with(&site, READ, &[&["workers", "--json"][..], arguments].concat()).await;
        serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error} {done:?}"))
    };
    for (arguments, shown) in [(&[][..], 100), (&["--limit", "2200"], 2_200), (&["--limit", "9999"], 2_500)] {
        let page = page(arguments).await;
        let mut names: Vec<&str> =
            page["workers"].as_array().unwrap().iter().filter_map(|w| w["name"].as_str()).collect();
        assert_eq!((names.len(), &page["total"]), (shown, &json!(2_500)), "{arguments:?}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), shown, "{arguments:?}");
    }
    let found = page(&["--search", "FARM.0007", "--sort", "hashrate", "--limit", "2"]).await;
    assert_eq!((&found["total"], &found["workers"][0]["name"]), (&json!(10), &json!("farm.00079")));
    let found = page(&["--sort", "name", "--reverse", "--limit", "1"]).await;
    assert_eq!(found["workers"][0]["name"], "farm.02499");

    let done = with(&site, READ, &["workers", "--sort", "name", "--limit", "3"]).await;
    let lines: Vec<&str> = done.out.lines().collect();
    assert!(lines[0].starts_with("NAME        STATE     HASHRATE"), "{done:?}");
    assert!(lines[1].starts_with("farm.00000  online  ") && lines[1].ends_with("10.0.0.0"), "{done:?}");
    let column = |line: &str, word: &str| line.find(word).map(|at| line[..at].chars().count());
    assert_eq!(column(lines[0], "ADDRESS"), column(lines[2], "10.0.0.1"), "columns are aligned");
    contains(&done.out, &["2497 more of 2500: --limit shows more", "2500 known, 2500 online, 0 asleep, 0 sick"]);
    contains(&with(&site, READ, &["workers", "--sick"]).await.out, &["nobody is sick; 2500 known"]);

    let csv = with(&site, READ, &["workers", "--csv", "--sort", "name", "--limit", "2"]).await.out;
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0][0], rows[1][0], rows[2][3]), (3, "name", "farm.00000", "10.0.0.1"), "{csv}");
    assert!(rows.iter().all(|row| row.len() == rows[0].len()), "{csv}");

    let done = with(&site, READ, &["workers", "farm.00002"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    contains(
        &done.out,
        &[
            "farm.00002: online, connected for ",
            "from        10.0.0.2, 1 connections, listener listener-1, route default",
            "firmware    cgminer (agent/2)",
            "difficulty  3",
            "shares      2 accepted, 0 rejected (0 %); the last ",
            "pools       2 sent: 0 accepted",
            "note: the config has no store",
        ],
    );
    let done = with(&site, READ, &["workers", "farm.99999"]).await;
    assert_eq!((done.code, done.out.is_empty()), (Some(2), true), "{done:?}");
    contains(&done.err, &["there is no worker \"farm.99999\""]);
}

/// What somebody calls his miner who wants the operator's terminal.
const HOSTILE: &str = "\u{1b}]0;taken\u{7}\u{1b}[2J\u{9b}31m\u{202e}evil\r\nfarm.1";

fn hostile() -> Table {
    let mut table = Table::new(Placing::default());
    let now = Instant::now();
    let report = MinerReport {
        user: Some(HOSTILE.into()),
        agent: Some("\u{1b}[5mblink".into()),
        firmware: "cgminer",
        shares: Judgements { found: 1, work: 1.0, ..Judgements::default() },
        ..MinerReport::new(ConnectionId { worker: 0, key: 1 }, [10, 0, 0, 1].into(), now)
    };
    table.take(now, Timestamp::now(), &Census { miners: vec![report], ..Census::default() });
    table
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_miner_writes_on_the_operators_terminal() {
    let site = Site::with(hostile()).await;
    let told = |done: &Done| {
        assert_eq!(done.code, Some(0), "{done:?}");
        is_plain(&done.out);
        is_plain(&done.err);
    };
    let table = with(&site, READ, &["workers"]).await;
    told(&table);
    contains(&table.out, &["?]0;taken??[2J?31m?evil??farm.1  online"]);
    for arguments in
        [&["workers", "--csv"][..], &["workers", "--json"], &["workers", HOSTILE], &["workers", HOSTILE, "--json"]]
    {
        told(&with(&site, READ, arguments).await);
    }
    let json: Value = serde_json::from_str(&with(&site, READ, &["workers", "--json"]).await.out).unwrap();
    assert_eq!(json["workers"][0]["name"], HOSTILE, "JSON says the very name");
    let missing = with(&site, READ, &["workers", "\u{1b}[2Jnobody"]).await;
    assert_eq!(missing.code, Some(2));
    is_plain(&missing.err);

    // An operator's reason is a text as well.
    let body = json!({ "why": "a\u{202e}b" }).to_string();
    let (status, _) = site.ask(Method::POST, "/api/v1/groups/hall-a/drain", Some(CONTROL), &body).await;
    assert!(status.is_success());
    told(&with(&site, READ, &["events"]).await);
    told(&with(&site, READ, &["events", "--json"]).await);
}

async fn order(site: &Site, why: &str) {
    let body = json!({ "why": why }).to_string();
    let (status, _) = site.ask(Method::POST, "/api/v1/groups/hall-a/drain", Some(CONTROL), &body).await;
    assert!(status.is_success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_told_as_they_come_also_after_the_proxy_was_started_anew() {
    let site = Site::start().await;
    let address = site.address;
    order(&site, "first").await;
    order(&site, "second").await;
    let page = with(&site, READ, &["events", "--kind", "operator"]).await;
    let lines: Vec<&str> = page.out.lines().collect();
    assert!(lines.len() == 2 && lines[0].ends_with(": first") && lines[1].ends_with(": second"), "{page:?}");
    assert!(lines[0][20..].starts_with("  operator     an operator at 127.0.0.1 ordered drain"), "{page:?}");
    assert_eq!(with(&site, READ, &["events", "--about", "nobody"]).await.out, "");

    let follow = ["events", "-f", "--kind", "operator", "--limit", "1"];
    let mut child = of(&site, &follow).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut complaints = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(line(&mut lines).await.ends_with(": second"));
    order(&site, "third").await;
    assert!(line(&mut lines).await.ends_with(": third"));
    drop(site);
    let away = line(&mut complaints).await;
    assert!(away.contains("trying again every 2s"), "{away}");
    let site = Site::again_at(address).await;
    order(&site, "fourth").await;
    let heard = line(&mut lines).await;
    assert!(heard.ends_with(": fourth"), "{heard}");
    let mut said = String::new();
    while !said.contains("the proxy was started anew") {
        said = line(&mut complaints).await;
    }
    signal(&child, rustix::process::Signal::INT);
    assert_eq!(code(&mut child).await, Some(0));

    let mut child = of(&site, &["events", "-f", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let event: Value = serde_json::from_str(&line(&mut lines).await).expect("a line is an event");
        heard.push(event["id"].as_str().expect("it has its id").to_owned());
    }
    drop(lines);
    assert_eq!(code(&mut child).await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_read_enough_ends_what_follows_even_if_nothing_happens() {
    let site = Site::start().await;
    has_looked(&site).await;
    let mut child = of(&site, &["events", "-f"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    line(&mut lines).await;
    // As `| head -1` does; nothing is told after that.
    drop(lines);
    let output = timeout(LIMIT, child.wait_with_output()).await.expect("it ends").unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
