//! Conversations with a pool, in virtual time.

mod across;
mod names;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Event, Facts, Origin, Outgoing, Settlement, UpstreamIds,
    carried::Carried,
    output::{Close, Output},
    session::Session,
};
use crate::{
    config::{Config, Env, Pool},
    work::{
        Difficulty, Extranonce, Job, JobIds, JobWindow, Judge, LiveJob, PoolShare, Split, Submission, SubmittedVersion,
        Terms, WorkSeries,
    },
};

struct NoEnv;

impl Env for NoEnv {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn read_file(&self, _: &std::path::Path) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// A pool at `eu.pool.example`, user `acct`; `more` are further lines of its section, which may say otherwise.
fn pool(more: &str) -> Arc<Pool> {
    let user = if more.contains("user =") { "" } else { "user = \"acct\"" };
    let url = if more.contains("url =") { "" } else { "url = \"stratum+tcp://eu.pool.example:3333\"" };
    let text = format!(
        "[[listener]]\nname = \"l\"\nlisten = \"127.0.0.1:0\"\n[[pool]]\nname = \"eu\"\n{url}\n{user}\n{more}\n"
    );
    let (config, _) = Config::parse(&text, &NoEnv).expect(&text);
    Arc::new(config.pools[0].clone())
}

/// A share for a job, which the job's pool difficulty lets every hash meet.
fn share(job: &Arc<Job>, nonce: u32, version: SubmittedVersion) -> PoolShare {
    let series =
        WorkSeries::new(job.clone(), Arc::new(JobIds::starting_at(0)), Split { salt: 1, lease: 3, extranonce2: 4 });
    let mut window = JobWindow::default();
    window.push(LiveJob::new(series.first().clone(), Terms::of(job.pool_difficulty)));
    let judge = Judge {
        lease: Extranonce::new(&[0, 0, 7]).unwrap(),
        version_mask: job.version_mask,
        difficulty: job.pool_difficulty,
        target: job.pool_target,
    };
    let submission = Submission {
        job: Some(series.first().id),
        extranonce2: Extranonce::new(&[0, 0, 0, 1]).unwrap(),
        ntime: job.notify.ntime,
        nonce,
        version,
    };
    judge.judge(&mut window, &submission).pool_share.expect("every hash meets the pool's target")
}

fn outgoing(job: &Arc<Job>, nonce: u32) -> Outgoing {
    let origin = Origin { worker: 0, connection: 0, ticket: nonce, is_counted: false };
    Outgoing { share: share(job, nonce, SubmittedVersion::Unrolled), user: "farm.07".into(), origin }
}

const NOTIFY: &str = concat!(
    r#"{"id":null,"method":"mining.notify","params":["bf","4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000","#,
    r#""0100","072f",[],"20000000","1c2ac4af","504e86b9",false]}"#
);
const EASY: &str = r#"{"id":null,"method":"mining.set_difficulty","params":[1e-10]}"#;
const CONFIGURED: &str = r#"{"id":1,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000"},"error":null}"#;
const SUBSCRIBED: &str = r#"{"id":2,"result":[[["mining.notify","5e55"]],"08000002",8],"error":null}"#;
const AUTHORIZED: &str = r#"{"id":3,"result":true,"error":null}"#;
const LOGIN: [&str; 5] = [CONFIGURED, SUBSCRIBED, AUTHORIZED, EASY, NOTIFY];

/// A session and all that it said, as a conversation: `>` to the pool, `<` from the pool, `!` to the router, `#` to the log.
struct Play {
    session: Session,
    ids: Arc<UpstreamIds>,
    pool: Arc<Pool>,
    now: Instant,
    transcript: Vec<String>,
    job: Option<Arc<Job>>,
    closed: Option<Close>,
}

impl Play {
    fn new(more: &str) -> Self {
        Self::with(pool(more), Arc::default(), Carried::default(), Instant::now())
    }

    fn with(pool: Arc<Pool>, ids: Arc<UpstreamIds>, carried: Carried, now: Instant) -> Self {
        let session = Session::new(now, pool.clone(), ids.clone(), carried);
        let mut play = Self { session, ids, pool, now, transcript: Vec::new(), job: None, closed: None };
        play.drain();
        play
    }

    /// A session that is logged in and has a job in which every hash is a share; what was said so far is forgotten.
    fn live(more: &str) -> Self {
        Self::new(more).logged_in()
    }

    fn logged_in(mut self) -> Self {
        self.lines(&LOGIN);
        assert!(self.job.is_some(), "{:#?}", self.transcript);
        self.transcript.clear();
        self
    }

    /// The connection dies, and another is made.
    fn reconnected(self) -> Self {
        let (_, carried, outputs) = self.session.end();
        let mut play = Self::with(self.pool, self.ids, carried, self.now);
        let said: Vec<String> = outputs.iter().map(shown).collect();
        play.transcript.splice(0..0, said);
        play.job = self.job;
        play
    }

    fn line(&mut self, line: &str) {
        self.transcript.push(format!("< {line}"));
        self.session.handle_line(self.now, line.as_bytes());
        self.drain();
    }

    fn lines(&mut self, lines: &[&str]) {
        lines.iter().for_each(|line| self.line(line));
    }

    fn submit(&mut self, nonce: u32) {
        let outgoing = outgoing(self.job.as_ref().expect("a job"), nonce);
        self.session.submit(self.now, outgoing);
        self.drain();
    }

    /// Lets time pass as a task does: from one timeout to the next.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.session.handle_timeout(self.now);
            self.drain();
            assert_ne!(self.session.poll_timeout(), Some(at), "a timeout that does not pass");
        }
        self.now = end;
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            assert!(self.closed.is_none(), "nothing follows the end");
            self.transcript.push(shown(&output));
            match output {
                Output::Event(Event::Job(job)) => self.job = Some(job),
                Output::Close(close) => self.closed = Some(close),
                Output::Send(line) => assert!(line.len() <= 1024 && line.ends_with('\n'), "{line}"),
                _ => {}
            }
        }
    }

    /// What was said since the last call, without what the pool said.
    fn said(&mut self) -> Vec<String> {
        self.transcript.drain(..).filter(|line| !line.starts_with('<')).collect()
    }
}

fn shown(output: &Output) -> String {
    match output {
        Output::Send(line) => format!("> {}", line.trim_end()),
        Output::Note(level, text) => format!("# {level} {text}"),
        Output::Close(close) => format!("x {close}"),
        Output::Event(event) => format!(
            "! {}",
            match event {
                Event::Ready(facts) => {
                    let Facts { id, extranonce1, extranonce2_size, version_mask } = &**facts;
                    format!("ready {id} {}+{extranonce2_size} mask {version_mask:08x}", hex::encode(extranonce1))
                }
                Event::Resumed(id) => format!("resumed {id}"),
                Event::Job(job) => format!("job {} of {} at {}", job.notify.job_id, job.upstream, job.pool_difficulty),
                Event::Settled { outgoing, settlement } => {
                    let end = match settlement {
                        Settlement::Accepted { latency } => format!("accepted after {latency:?}"),
                        Settlement::Rejected(error) => format!("rejected: {error}"),
                        other => format!("{other:?}").to_lowercase(),
                    };
                    format!("share {} {end}", outgoing.origin.ticket)
                }
                Event::Lost { .. } | Event::Certificate { .. } => unreachable!("the task's"),
                Event::Message(text) => format!("message {text}"),
            }
        ),
    }
}

#[test]
fn a_login_reads_like_this() {
    let mut play = Play::new("suggest_difficulty = 4096");
    play.lines(&LOGIN);
    play.submit(0x5eed);
    play.now += Duration::from_millis(40);
    play.line(r#"{"id":6,"result":true,"error":null}"#);
    let transcript = play.transcript.join("\n");
    insta::assert_snapshot!(transcript, @r#"
    > {"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"1fffffe0","version-rolling.min-bit-count":2}]}
    < {"id":1,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000"},"error":null}
    > {"id":2,"method":"mining.subscribe","params":["hashgate/0.1.0"]}
    < {"id":2,"result":[[["mining.notify","5e55"]],"08000002",8],"error":null}
    > {"id":3,"method":"mining.authorize","params":["acct","x"]}
    < {"id":3,"result":true,"error":null}
    ! ready #0 08000002+8 mask 1fffe000
    > {"id":4,"method":"mining.extranonce.subscribe","params":[]}
    > {"id":5,"method":"mining.suggest_difficulty","params":[4096]}
    < {"id":null,"method":"mining.set_difficulty","params":[1e-10]}
    < {"id":null,"method":"mining.notify","params":["bf","4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000","0100","072f",[],"20000000","1c2ac4af","504e86b9",false]}
    ! job bf of #0 at 0.0000000001
    > {"id":6,"method":"mining.submit","params":["acct","bf","0000000700000001","504e86b9","00005eed","00000000"]}
    < {"id":6,"result":true,"error":null}
    ! share 24301 accepted after 40ms
    "#);
}

#[test]
fn every_state_has_an_answer_to_every_event() {
    const REPLY: &str = "reply";
    const SILENCE: &str = "silence";
    let good_replies = [CONFIGURED, SUBSCRIBED, AUTHORIZED, r#"{"id":4,"result":true}"#];
    let bad_reply = r#"{"id":ID,"result":null,"error":[20,"no",null]}"#;
    let events = [
        ("good reply", REPLY),
        ("error reply", bad_reply),
        ("reply to nothing", r#"{"id":99,"result":true,"error":null}"#),
        ("notify", NOTIFY),
        ("bad notify", r#"{"id":null,"method":"mining.notify","params":{}}"#),
        ("set_difficulty", r#"{"id":null,"method":"mining.set_difficulty","params":[2]}"#),
        ("bad difficulty", r#"{"id":null,"method":"mining.set_difficulty","params":[0]}"#),
        ("set_extranonce", r#"{"id":null,"method":"mining.set_extranonce","params":["0a",4]}"#),
        ("bad extranonce", r#"{"id":null,"method":"mining.set_extranonce","params":["0a",17]}"#),
        ("set_version_mask", r#"{"id":null,"method":"mining.set_version_mask","params":["00c00000"]}"#),
        ("reconnect", r#"{"id":null,"method":"client.reconnect","params":["us.pool.example",3334,0]}"#),
        ("hijack", r#"{"id":null,"method":"client.reconnect","params":["evil.example.net",3333,0]}"#),
        ("message", r#"{"id":null,"method":"client.show_message","params":["hello"]}"#),
        ("get_version", r#"{"id":"v","method":"client.get_version","params":[]}"#),
        ("ping", r#"{"id":null,"method":"mining.ping"}"#),
        ("garbage", "GET / HTTP/1.1"),
        ("two minutes of silence", SILENCE),
    ];
    let states = ["configuring", "subscribing", "authorizing", "live"];
    let mut table = String::new();
    for (event, line) in events {
        let answers = [0, 1, 2, 3].map(|state| {
            let mut play = Play::new("");
            play.lines(&good_replies[..state]);
            play.said();
            match line {
                SILENCE => play.wait(Duration::from_secs(121)),
                REPLY => play.line(good_replies[state]),
                line => play.line(&line.replace("ID", &(state + 1).to_string())),
            }
            let said = play.said();
            if said.is_empty() { "nothing to say".to_owned() } else { said.join("\n    ") }
        });
        table += &format!("{event}\n");
        if answers.iter().all(|answer| *answer == answers[0]) {
            table += &format!("  in every state\n    {}\n", answers[0]);
        } else {
            states.iter().zip(&answers).for_each(|(state, answer)| table += &format!("  {state}\n    {answer}\n"));
        }
    }
    insta::assert_snapshot!(table, @r#"
    good reply
      configuring
        > {"id":2,"method":"mining.subscribe","params":["hashgate/0.1.0"]}
      subscribing
        > {"id":3,"method":"mining.authorize","params":["acct","x"]}
      authorizing
        ! ready #0 08000002+8 mask 1fffe000
        > {"id":4,"method":"mining.extranonce.subscribe","params":[]}
      live
        nothing to say
    error reply
      configuring
        > {"id":2,"method":"mining.subscribe","params":["hashgate/0.1.0"]}
      subscribing
        x subscribe refused: [20,"no",null]
      authorizing
        x login "acct" refused: no (20); check the pool's user and password
      live
        nothing to say
    reply to nothing
      in every state
        nothing to say
    notify
      configuring
        nothing to say
      subscribing
        nothing to say
      authorizing
        nothing to say
      live
        ! job bf of #0 at 1
    bad notify
      in every state
        # WARN skipped a message that can't be used: mining.notify: invalid type: map, expected tuple struct Wire at line 1 column 0
    set_difficulty
      in every state
        nothing to say
    bad difficulty
      in every state
        # WARN ignored the difficulty 0
    set_extranonce
      in every state
        nothing to say
    bad extranonce
      in every state
        x its extranonce can't be used: extranonce2 of 17 bytes, 1 to 16 are possible
    set_version_mask
      configuring
        nothing to say
      subscribing
        nothing to say
      authorizing
        nothing to say
      live
        ! ready #0 08000002+8 mask 00c00000
    reconnect
      in every state
        x sent to us.pool.example:3334 by client.reconnect
    hijack
      in every state
        # WARN refused to be sent to evil.example.net: not within the domain of eu.pool.example; add it to redirect_hosts if it is the pool's
    message
      in every state
        # INFO says: hello
        ! message hello
    get_version
      in every state
        > {"id":"v","result":"hashgate/0.1.0","error":null}
    ping
      in every state
        > {"id":null,"result":"pong","error":null}
    garbage
      in every state
        # DEBUG passed over a line: not a JSON object: it does not start with `{`
    two minutes of silence
      configuring
        # INFO does not answer mining.configure: no version rolling
        > {"id":2,"method":"mining.subscribe","params":["hashgate/0.1.0"]}
        x no answer to mining.subscribe in 30s
      subscribing
        x no answer to mining.subscribe in 30s
      authorizing
        x no answer to mining.authorize in 30s
      live
        x no job for 2m
    "#);
}

#[test]
fn a_pool_that_never_answers_configure_is_logged_in_to_without_a_mask() {
    let mut play = Play::new("");
    play.wait(Duration::from_secs(4));
    play.lines(&[SUBSCRIBED, AUTHORIZED, EASY, NOTIFY]);
    assert!(play.transcript.iter().any(|line| line.starts_with("! ready #0 08000002+8 mask 00000000")));
    play.said();
    play.submit(1);
    assert!(play.said()[0].ends_with(r#"["acct","bf","0000000700000001","504e86b9","00000001"]}"#), "five parameters");
    play.line(CONFIGURED);
    let said = ["! ready #0 08000002+8 mask 1fffe000", "! job bf of #0 at 0.0000000001"];
    assert_eq!(play.said(), said, "a late answer counts, and miners get their work anew");
    play.submit(2);
    assert!(play.said()[0].ends_with(r#""00000002","00000000"]}"#), "six parameters");
}

#[test]
fn a_pool_that_never_answers_configure_is_waited_for_once() {
    let mut play = Play::new("");
    play.wait(Duration::from_secs(3));
    let mut play = play.reconnected();
    assert!(play.said()[1].contains("mining.subscribe"), "at once");
    play.lines(&LOGIN);
    assert!(play.said().contains(&"! ready #0 08000002+8 mask 1fffe000".to_owned()), "and it may learn to answer");
}

#[test]
fn a_pool_that_ors_bits_into_a_version_that_has_them_is_told_of_once() {
    let mut play = Play::live("dialect = \"or\"");
    let unrollable = NOTIFY.replace("20000000", "20002000");
    play.lines(&[&unrollable, &unrollable]);
    assert_eq!(play.said().iter().filter(|line| line.contains("nothing can be rolled here")).count(), 1);
}

#[test]
fn rolled_bits_go_up_in_the_dialect_of_the_pool() {
    for (dialect, version, bits) in
        [("bip310", "20002000", "00004000"), ("xor", "20002000", "00006000"), ("or", "20000000", "00004000")]
    {
        let mut play = Play::live(&format!("dialect = \"{dialect}\""));
        play.line(&NOTIFY.replace("20000000", version));
        play.said();
        let rolled = share(play.job.as_ref().unwrap(), 1, SubmittedVersion::Bits(0x4000));
        play.session.submit(play.now, Outgoing { share: rolled, ..outgoing(play.job.as_ref().unwrap(), 1) });
        play.drain();
        assert!(play.said()[0].ends_with(&format!(r#""{bits}"]}}"#)), "{dialect}");
    }
}

#[test]
fn jobs_keep_the_difficulty_they_came_with() {
    let mut play = Play::live("");
    let old = play.job.clone().unwrap();
    play.line(r#"{"id":null,"method":"mining.set_difficulty","params":[512]}"#);
    assert_eq!(old.pool_difficulty, Difficulty::new(1e-10).unwrap());
    play.line(NOTIFY);
    assert_eq!(play.job.unwrap().pool_difficulty, Difficulty::new(512.0).unwrap());
}

#[test]
fn a_job_that_is_given_again_is_new_work() {
    let mut play = Play::live("");
    let ntime = |play: &Play| play.job.as_ref().unwrap().notify.ntime - 0x504e_86b9;
    play.line(NOTIFY);
    assert_eq!(ntime(&play), 1);
    play.wait(Duration::from_secs(30));
    play.line(NOTIFY);
    assert_eq!(ntime(&play), 30);
    let mut play = play.reconnected().logged_in();
    assert_eq!(ntime(&play), 31, "and after a resume");
    play.line(&NOTIFY.replace("bf", "c0"));
    assert_eq!(ntime(&play), 0);
}

#[test]
fn a_new_extranonce_is_a_new_upstream_from_the_next_job_on() {
    let mut play = Play::live("");
    play.submit(1);
    let old = play.job.clone();
    play.line(r#"{"id":null,"method":"mining.set_extranonce","params":["0a0b",6]}"#);
    play.submit(2);
    play.line(NOTIFY);
    assert_eq!(play.said()[2..], ["! ready #1 0a0b+6 mask 1fffe000", "! job bf of #1 at 0.0000000001"]);
    play.job = old;
    play.submit(3);
    play.line(r#"{"id":5,"result":true}"#);
    assert_eq!(play.said(), ["! share 3 lost", "! share 1 accepted after 0ns"]);
    play.line(r#"{"id":null,"method":"mining.set_extranonce","params":["0a0b",6]}"#);
    play.line(NOTIFY);
    assert_eq!(play.said(), ["! job bf of #1 at 0.0000000001"], "the same extranonce again is no news");
}

#[test]
fn all_forms_of_a_reply_settle_their_share_once() {
    for (reply, end) in [
        (r#""result":true,"error":null"#, "accepted after 0ns"),
        (r#""result":false,"error":null,"reject-reason":"Above target""#, "rejected: Above target (23)"),
        (r#""error":"Stale""#, "rejected: Stale (21)"),
        (r#""result":null,"error":[22,"dup",null]"#, "rejected: dup (22)"),
        (r#""error":{"code":20,"message":"other"}"#, "rejected: other (20)"),
    ] {
        let mut play = Play::live("");
        play.submit(1);
        play.said();
        play.line(&format!(r#"{{"id":5,{reply}}}"#));
        play.line(&format!(r#"{{"id":5,{reply}}}"#));
        assert_eq!(play.said(), [format!("! share 1 {end}")]);
    }
}

#[test]
fn a_share_without_an_answer_is_settled_too() {
    let mut play = Play::live("");
    play.submit(1);
    play.wait(Duration::from_secs(29));
    assert_eq!(play.said().len(), 1);
    play.wait(Duration::from_secs(1));
    play.line(r#"{"id":5,"result":true}"#);
    assert_eq!(play.said(), ["! share 1 unanswered"]);
}

#[test]
fn only_jobs_keep_the_watchdog_quiet() {
    let mut play = Play::live("");
    for _ in 0..11 {
        play.wait(Duration::from_secs(10));
        play.lines(&[EASY, r#"{"id":null,"method":"mining.notify","params":[]}"#]);
    }
    assert_eq!(play.closed, None);
    play.wait(Duration::from_secs(10));
    assert_eq!(play.closed, Some(Close::NoJob(Duration::from_secs(120))));
}

#[test]
fn a_pool_that_talks_something_else_is_left() {
    let mut play = Play::live("");
    for _ in 0..15 {
        play.line("220 mail.example ESMTP");
    }
    assert_eq!(play.closed, None);
    play.line("220 mail.example ESMTP");
    assert!(matches!(play.closed, Some(Close::Garbage(_))));
    play.line(NOTIFY);
}

#[test]
fn a_job_that_can_not_be_mined_is_skipped() {
    let mut play = Play::live("");
    play.line(&NOTIFY.replace("1c2ac4af", "1d800000"));
    play.line(&NOTIFY.replace("\"bf\"", &format!("{:?}", "b".repeat(129))));
    play.line(&NOTIFY.replace("\"bf\"", r#""\u0007""#));
    assert_eq!(
        play.said(),
        [
            "# WARN skipped a job: nbits 1d800000 is no target",
            "# WARN skipped a job: its id is more than 128 bytes of plain text",
            "# WARN skipped a job: its id is more than 128 bytes of plain text",
        ]
    );
}

#[test]
fn a_login_that_was_refused_says_what_to_check() {
    let mut play = Play::new("");
    play.lines(&[CONFIGURED, SUBSCRIBED, r#"{"id":3,"result":false,"error":[24,"unauthorized",null]}"#]);
    assert_eq!(
        play.closed.unwrap().to_string(),
        r#"login "acct" refused: unauthorized (24); check the pool's user and password"#
    );
}
