//! Simulated ASICs are believable: they say what their firmware says and notice what it can't bear.
//!
//! No sockets here: the sessions are pure, the server is the text of each test, time is a number.

use hashgate::sim::miner::profile::{
    AVALON, BITAXE, BMMINER, BMMINER_LEGACY, BOSMINER, BTCAGENT, CGMINER, CPUMINER, IdStyle, MIX, MRR_S21, NERDMINER,
    NERDQAXE, NICEHASH, Profile, WHATSMINER,
};
use hashgate::sim::miner::{Board, Leave, MinerSettings, MinerStats, Pace, Session};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SERVER: &str = "127.0.0.1:3333";
const EASY: f64 = 1e-12;

/// A session and the server's side of its conversation.
struct Talk {
    session: Session,
    stats: MinerStats,
    now: Instant,
}

impl Talk {
    fn new(profile: &'static Profile) -> Self {
        Self::with(profile, |_| {})
    }

    fn with(profile: &'static Profile, change: impl FnOnce(&mut MinerSettings)) -> Self {
        let server = SERVER.parse().expect("an address");
        let mut settings = MinerSettings::new(server, "farm.1", profile, Pace::Hashrate(1.0));
        change(&mut settings);
        let session = Session::new(Arc::new(settings), Arc::<Board>::default());
        let mut talk = Self { session, stats: MinerStats::default(), now: Instant::now() };
        talk.connect();
        talk
    }

    fn connect(&mut self) {
        self.session.connected(self.now, &mut self.stats);
    }

    /// What the miner said since the last look.
    fn said(&mut self) -> Vec<Value> {
        let bytes = std::mem::take(self.session.output());
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("miners write JSON")).collect()
    }

    fn methods(&mut self) -> Vec<String> {
        self.said().iter().map(|line| line["method"].as_str().unwrap_or("reply").to_owned()).collect()
    }

    fn hear(&mut self, line: &Value) {
        self.session.line(self.now, line.to_string().as_bytes(), &mut self.stats);
    }

    fn tell(&mut self, method: &str, params: &Value) {
        self.hear(&json!({"id": null, "method": method, "params": params}));
    }

    /// Answers everything as it should be until the miner says no more.
    fn shake_hands(&mut self) {
        loop {
            let said = self.said();
            if said.is_empty() {
                break;
            }
            for request in said {
                self.hear(&good_answer(&request, 4));
            }
        }
    }

    /// A miner at work on job "1".
    fn at_work(profile: &'static Profile) -> Self {
        let mut talk = Self::new(profile);
        talk.start_work();
        talk
    }

    fn start_work(&mut self) {
        self.shake_hands();
        self.tell("mining.set_difficulty", &json!([EASY]));
        self.tell("mining.notify", &notify("1", 0, true));
        assert!(self.session.is_mining(), "violations: {:?}", self.stats.violations);
    }

    /// Finds and submits a share; the line.
    fn share(&mut self) -> Value {
        let (_, found) = self.session.search(10_000);
        let found = found.expect("the difficulty is easy");
        self.session.submit(self.now, &found, &mut self.stats);
        self.said().pop().expect("a submit")
    }

    fn kinds(&self) -> Vec<&str> {
        self.stats.violations_by_kind.keys().copied().collect()
    }
}

fn good_answer(request: &Value, extranonce2_size: usize) -> Value {
    let result = match request["method"].as_str().expect("a method") {
        "mining.configure" => json!({"version-rolling": true, "version-rolling.mask": "1fffe000"}),
        "mining.subscribe" => {
            json!([[["mining.set_difficulty", "d1"], ["mining.notify", "session-7"]], "0a0b0c0d", extranonce2_size])
        }
        _ => json!(true),
    };
    json!({"id": request["id"], "result": result, "error": null})
}

/// Parameters of a notify; different content makes different work.
fn notify(id: &str, content: u32, clean: bool) -> Value {
    let coinb1 = format!("01000000{content:08x}");
    json!([id, "ab".repeat(32), coinb1, "ffffffff", ["cd".repeat(32)], "20000000", "1d00ffff", "64b3f3ec", clean])
}

#[test]
fn every_firmware_asks_in_its_own_order() {
    for (profile, first) in [
        (&CGMINER, vec!["mining.configure"]),
        (&BMMINER_LEGACY, vec!["mining.subscribe"]),
        (&BITAXE, vec!["mining.configure", "mining.subscribe", "mining.authorize"]),
        (&NERDQAXE, vec!["mining.subscribe"]),
        (&NERDMINER, vec!["mining.subscribe"]),
    ] {
        assert_eq!(Talk::new(profile).methods(), first, "{}", profile.name);
    }
    for (profile, _) in MIX {
        let talk = Talk::at_work(profile);
        assert_eq!(talk.kinds(), [""; 0], "{}", profile.name);
    }
}

#[test]
fn subscribe_has_the_firmware_s_form() {
    let params = |profile, line: usize| Talk::new(profile).said()[line]["params"].clone();
    assert_eq!(params(&BITAXE, 1), json!(["bitaxe/BM1370/v2.12.2"]));
    assert_eq!(params(&NICEHASH, 0).as_array().map(Vec::len), Some(3));
    let mut talk = Talk::new(&BOSMINER);
    let configure = &talk.said()[0];
    assert_eq!(configure["params"][1]["version-rolling.min-bit-count"], json!(16));
    talk.hear(&good_answer(configure, 4));
    assert_eq!(talk.said()[0]["params"], json!([BOSMINER.user_agent, null, SERVER, null]));
}

#[test]
fn a_session_id_is_offered_again_and_given_up_when_refused() {
    let mut talk = Talk::at_work(&CGMINER);
    talk.session.disconnected(&mut talk.stats);
    talk.connect();
    let configure = &talk.said()[0];
    talk.hear(&good_answer(configure, 4));
    let subscribe = &talk.said()[0];
    assert_eq!(subscribe["params"], json!([CGMINER.user_agent, "session-7"]));
    talk.hear(&json!({"id": subscribe["id"], "result": null, "error": [20, "unknown session", null]}));
    assert_eq!(talk.said()[0]["params"], json!([]));
    assert_eq!(talk.kinds(), [""; 0]);
}

#[test]
fn a_line_in_place_of_an_answer_fails_the_pool() {
    for profile in [&CGMINER, &BMMINER, &CPUMINER, &NERDMINER] {
        let mut talk = Talk::new(profile);
        talk.tell("mining.set_difficulty", &json!([1]));
        assert_eq!(talk.kinds(), ["line-instead-of-answer"], "{}", profile.name);
        assert_eq!(talk.session.leave(), Some(&Leave::Failed));
    }
    let mut patient = Talk::new(&BITAXE);
    patient.tell("mining.set_difficulty", &json!([1]));
    assert_eq!(patient.kinds(), [""; 0]);
}

/// Answers the named request with something else; whether that fails the pool, and what is recorded.
fn refuse(profile: &'static Profile, method: &str, answer: &Value) -> (Vec<String>, bool) {
    let mut talk = Talk::with(profile, |settings| settings.suggested_difficulty = Some(1.0));
    loop {
        let said = talk.said();
        if said.is_empty() {
            break;
        }
        for request in said {
            let mut reply = good_answer(&request, 4);
            if request["method"] == method {
                let answer = answer.as_object().expect("an object").clone();
                reply.as_object_mut().expect("an object").extend(answer);
            }
            talk.hear(&reply);
        }
    }
    (talk.kinds().into_iter().map(str::to_owned).collect(), talk.session.leave().is_some())
}

#[test]
fn answers_that_firmware_cannot_bear() {
    let error = json!({"result": null, "error": [-3, "Method not found", null]});
    let spare = json!({"result": {"version-rolling": true, "version-rolling.mask": "1fffe000", "info": true}});
    let no_mask = json!({"result": {"version-rolling": false}});
    let subscribed = |extranonce1: &str, size: usize| json!({"result": [[], extranonce1, size]});
    let long = "00".repeat(17);
    for (profile, method, answer, kind, fails) in [
        (&WHATSMINER, "mining.configure", &spare, "unrequested-configure-key", true),
        (&CGMINER, "mining.configure", &spare, "", false),
        (&CGMINER, "mining.configure", &no_mask, "no-version-mask", true),
        (&CGMINER, "mining.configure", &error, "no-version-mask", true),
        (&BITAXE, "mining.configure", &no_mask, "", false),
        (&BITAXE, "mining.configure", &error, "", false),
        (&BMMINER, "mining.extranonce.subscribe", &error, "refused", true),
        (&NERDQAXE, "mining.extranonce.subscribe", &error, "refused", false),
        (&BITAXE, "mining.suggest_difficulty", &error, "refused", false),
        (&CGMINER, "mining.authorize", &json!({"result": false}), "refused", true),
        (&CGMINER, "mining.subscribe", &error, "refused", true),
        (&CGMINER, "mining.subscribe", &json!({"result": true}), "bad-answer", true),
        (&NERDMINER, "mining.subscribe", &subscribed("00", 3), "extranonce2-size", true),
        (&AVALON, "mining.subscribe", &subscribed("00", 2), "extranonce2-size", true),
        (&NICEHASH, "mining.subscribe", &subscribed("00", 3), "extranonce2-size", true),
        (&WHATSMINER, "mining.subscribe", &subscribed("00", 9), "extranonce2-size", true),
        (&CGMINER, "mining.subscribe", &subscribed(&long, 4), "extranonce1-size", true),
    ] {
        let expected: Vec<String> = Some(kind.to_owned()).filter(|kind| !kind.is_empty()).into_iter().collect();
        assert_eq!(refuse(profile, method, answer), (expected, fails), "{} {method} {answer}", profile.name);
    }
}

#[test]
fn jobs_that_firmware_cannot_bear() {
    let with = |at: usize, value: Value| {
        let mut params = notify("2", 2, false);
        params[at] = value;
        params
    };
    let branches = json!(vec!["cd".repeat(32); 31]);
    let long_coinbase = json!("00".repeat(800));
    for (profile, params, kind) in [
        (&CPUMINER, with(5, json!("2")), "bad-field"),
        (&BITAXE, with(5, json!("2")), ""),
        (&BITAXE, with(1, json!("zz")), "bad-field"),
        (&BITAXE, with(4, json!("no list")), "bad-field"),
        (&AVALON, with(4, branches.clone()), "too-many-branches"),
        (&BITAXE, with(4, branches.clone()), ""),
        (&BMMINER, with(3, long_coinbase.clone()), "coinbase-too-long"),
        (&WHATSMINER, with(3, long_coinbase.clone()), ""),
        (&NERDMINER, with(3, json!("00".repeat(2500))), "notify-too-long"),
        (&BITAXE, notify("1", 2, false), "repeated-job-id"),
        (&BITAXE, notify("1", 2, true), ""),
        (&NICEHASH, notify("1", 2, true), "repeated-job-id"),
        (&CGMINER, notify("1", 2, false), ""),
        (&AVALON, notify("1", 2, false), "job-id-collision"),
        (&BITAXE, notify("2", 0, false), "repeated-work"),
        (&CGMINER, notify("2", 0, false), ""),
    ] {
        let mut talk = Talk::at_work(profile);
        talk.tell("mining.notify", &params);
        assert_eq!(talk.kinds().join(" "), kind, "{} {params}", profile.name);
        assert_eq!(talk.session.leave(), None);
    }
}

#[test]
fn things_nobody_asked_for() {
    let mut talk = Talk::at_work(&NERDMINER);
    talk.tell("mining.set_extranonce", &json!(["00", 4]));
    talk.tell("mining.set_version_mask", &json!(["1fffe000"]));
    talk.hear(&json!({"id": 99, "result": true, "error": null}));
    talk.tell("mining.set_difficulty", &json!([0]));
    talk.tell("mining.unheard_of", &json!([]));
    assert_eq!(talk.kinds(), ["bad-difficulty", "unknown-reply", "unrequested-extranonce", "unrequested-version-mask"]);
    let mut early = Talk::new(&CGMINER);
    early.shake_hands();
    early.tell("mining.notify", &notify("1", 0, true));
    assert_eq!(early.kinds(), ["no-difficulty"]);
    early.session.line(early.now, b"HTTP/1.1 400", &mut early.stats);
    assert_eq!(early.session.leave(), Some(&Leave::Failed));
}

#[test]
fn real_difficulties_must_suit_the_firmware() {
    for (profile, difficulty, kind) in [
        (&NERDQAXE, json!(1.5), "fractional-difficulty"),
        (&NERDQAXE, json!(512), ""),
        (&BITAXE, json!(1.5), ""),
        (&NICEHASH, json!(1024), "difficulty-too-low"),
        (&NICEHASH, json!(500_000), ""),
    ] {
        let mut talk = Talk::with(profile, |settings| settings.scaled_world = false);
        talk.shake_hands();
        talk.tell("mining.set_difficulty", &json!([difficulty]));
        assert_eq!(talk.kinds().join(" "), kind, "{} {difficulty}", profile.name);
    }
}

#[test]
fn shares_that_cost_too_many_hashes_are_counted() {
    let mut talk = Talk::at_work(&CGMINER);
    talk.tell("mining.set_difficulty", &json!([5e-6]));
    talk.tell("mining.notify", &notify("2", 2, false));
    let (_, found) = talk.session.search(5_000_000);
    let found = found.expect("21 000 hashes are expected, this is 200 times that");
    talk.session.submit(talk.now, &found, &mut talk.stats);
    assert_eq!((talk.stats.sent, talk.stats.hash_bound), (1, 1));
}

#[test]
fn a_new_difficulty_counts_when_the_firmware_says_so() {
    for (profile, at_once) in [(&CGMINER, false), (&BITAXE, false), (&NERDMINER, true)] {
        let mut talk = Talk::at_work(profile);
        talk.tell("mining.set_difficulty", &json!([1e12]));
        assert_eq!(talk.session.search(100).1.is_none(), at_once, "{}", profile.name);
        talk.tell("mining.notify", &notify("2", 2, false));
        assert_eq!(talk.session.search(100).1, None, "{}", profile.name);
    }
}

#[test]
fn submits_have_the_firmware_s_form() {
    let job = 0x2000_0000_u32;
    let sixth = |share: &Value| u32::from_str_radix(share["params"][5].as_str().expect("a sixth parameter"), 16);
    for (profile, full) in [(&CGMINER, false), (&BITAXE, false), (&MRR_S21, false), (&BMMINER_LEGACY, true)] {
        let mut talk = Talk::at_work(profile);
        talk.share();
        let bits = sixth(&talk.share()).expect("hex");
        let outside = if full { job } else { 0 };
        assert_eq!(bits & !0x1fff_e000, outside, "{}", profile.name);
        assert_ne!(bits & 0x1fff_e000, 0, "{}", profile.name);
    }
    let mut cpuminer = Talk::at_work(&CPUMINER);
    let share = cpuminer.share();
    assert_eq!((&share["id"], share["params"].as_array().map(Vec::len)), (&json!(4), Some(5)));
    assert_eq!(cpuminer.share()["id"], json!(4));
    let mut nerd = Talk::at_work(&NERDMINER);
    let nonces: Vec<_> = (0..200).map(|_| nerd.share()["params"][4].as_str().map(str::len)).collect();
    assert!(nonces.iter().all(|len| len.is_some_and(|len| (1..=8).contains(&len))), "{nonces:?}");
    let mut agent = Talk::at_work(&BTCAGENT);
    let users: Vec<_> = (0..3).map(|_| agent.share()["params"][0].clone()).collect();
    assert_eq!(users, ["farm.1", "farm.1.2", "farm.1.3"]);
}

#[test]
fn string_ids_must_come_back_verbatim() {
    let mut talk = Talk::with(&CGMINER, |settings| settings.ids = Some(IdStyle::Text));
    talk.start_work();
    let share = talk.share();
    assert!(share["id"].is_string());
    let number: u64 = share["id"].as_str().expect("a string").parse().expect("digits");
    talk.hear(&json!({"id": number, "result": true, "error": null}));
    assert_eq!((talk.kinds(), talk.stats.unanswered()), (vec!["unknown-reply"], 1));
    talk.hear(&json!({"id": share["id"], "result": true, "error": null}));
    assert_eq!(talk.stats.accepted, 1);
}

#[test]
fn verdicts_are_counted_in_every_form_that_pools_use() {
    let mut talk = Talk::with(&CGMINER, |settings| settings.recorded_hashes = 1);
    talk.start_work();
    for answer in [
        json!({"result": true, "error": null}),
        json!({"result": true}),
        json!({"result": null, "error": [21, "Stale", null]}),
        json!({"result": false, "error": null, "reject-reason": "Above target"}),
        json!({"result": null, "error": "Duplicate"}),
        json!({"result": null, "error": {"code": 23, "message": "Low difficulty", "data": null}}),
    ] {
        let mut reply = answer;
        reply["id"] = talk.share()["id"].clone();
        talk.hear(&reply);
    }
    let rejects: Vec<_> = talk.stats.rejected.keys().map(|(code, text)| format!("{code} {text}")).collect();
    assert_eq!(rejects, ["0 Above target", "0 Duplicate", "21 Stale", "23 Low difficulty"]);
    assert_eq!((talk.stats.accepted, talk.stats.stale, talk.stats.unanswered()), (2, 1, 0));
    assert_eq!(talk.stats.accepted_hashes.len(), 1, "the record is bounded");
}

#[test]
fn unanswered_shares_are_sent_again_or_lost() {
    let mut cgminer = Talk::at_work(&CGMINER);
    let share = cgminer.share();
    cgminer.session.disconnected(&mut cgminer.stats);
    cgminer.now += Duration::from_secs(60);
    cgminer.connect();
    let mut last = Value::Null;
    loop {
        let said = cgminer.said();
        let Some(line) = said.last() else { break };
        last = line.clone();
        if last["method"] == "mining.submit" {
            break;
        }
        cgminer.hear(&good_answer(&last, 4));
    }
    assert_eq!(last["params"], share["params"], "after the handshake, the same share");
    assert_eq!((cgminer.stats.sent, cgminer.stats.resubmitted, cgminer.stats.lost), (1, 1, 0));

    cgminer.session.disconnected(&mut cgminer.stats);
    cgminer.now += Duration::from_secs(121);
    cgminer.connect();
    cgminer.shake_hands();
    assert_eq!((cgminer.stats.lost, cgminer.stats.unanswered()), (1, 0), "too old");

    let mut bitaxe = Talk::at_work(&BITAXE);
    bitaxe.share();
    bitaxe.session.disconnected(&mut bitaxe.stats);
    assert_eq!((bitaxe.stats.lost, bitaxe.stats.unanswered()), (1, 0));
}

#[test]
fn silence_and_late_replies_fail_the_pool() {
    for (profile, limit) in [(&CGMINER, 90), (&BITAXE, 180)] {
        let mut talk = Talk::at_work(profile);
        talk.now += Duration::from_secs(limit);
        talk.session.tick(talk.now, &mut talk.stats);
        assert_eq!(talk.kinds(), [""; 0], "{}", profile.name);
        talk.now += Duration::from_secs(1);
        talk.session.tick(talk.now, &mut talk.stats);
        assert_eq!(talk.kinds(), ["silence"], "{}", profile.name);
    }
    let mut talk = Talk::at_work(&CGMINER);
    talk.share();
    talk.now += Duration::from_secs(61);
    talk.tell("mining.notify", &notify("2", 2, false));
    talk.session.tick(talk.now, &mut talk.stats);
    assert_eq!(talk.kinds(), ["reply-timeout"]);
}

#[test]
fn nerdminer_suggests_again_and_again() {
    let mut talk = Talk::with(&NERDMINER, |settings| settings.scaled_world = false);
    talk.shake_hands();
    talk.now += Duration::from_secs(31);
    talk.session.tick(talk.now, &mut talk.stats);
    assert_eq!(talk.said()[0]["params"], json!([0.000_15]));
}

#[test]
fn servers_are_followed_as_the_firmware_dares() {
    let asked = |profile, params: Value| {
        let mut talk = Talk::at_work(profile);
        talk.tell("client.reconnect", &params);
        talk.session.leave().cloned()
    };
    let to = |host: &str, wait| {
        let to = Some((host.to_owned(), 1)).filter(|(host, _)| !host.is_empty());
        Some(Leave::Asked { to, wait: Duration::from_secs(wait) })
    };
    assert_eq!(asked(&CGMINER, json!(["127.0.0.1", 1, 3])), to("127.0.0.1", 3));
    assert_eq!(asked(&CGMINER, json!(["", 1, 100])), to("", 60));
    assert_eq!(asked(&CGMINER, json!(["evil.example", 1])), None);
    assert_eq!(asked(&BITAXE, json!(["127.0.0.1", 1])), to("", 0));
    assert_eq!(asked(&CPUMINER, json!([])), None);
    assert_eq!(asked(&CPUMINER, json!(["pool.example", "1"])), to("pool.example", 0));
}

#[test]
fn questions_are_answered() {
    let mut talk = Talk::at_work(&CGMINER);
    talk.hear(&json!({"id": "a", "method": "mining.ping", "params": []}));
    talk.hear(&json!({"id": 8, "method": "client.get_version", "params": []}));
    let said = talk.said();
    assert_eq!((&said[0]["id"], &said[0]["result"]), (&json!("a"), &json!("pong")));
    assert_eq!((&said[1]["id"], &said[1]["result"]), (&json!(8), &json!(CGMINER.user_agent)));
    let mut esp = Talk::at_work(&BITAXE);
    esp.hear(&json!({"id": 5, "method": "mining.ping", "params": []}));
    assert_eq!(esp.said()[0]["method"], "pong");
}

#[test]
fn long_user_names_are_cut_or_overflow() {
    let long = "a".repeat(130);
    let mut avalon = Talk::with(&AVALON, |settings| settings.user.clone_from(&long));
    avalon.start_work();
    assert_eq!(avalon.share()["params"][0].as_str().map(str::len), Some(63));
    let whatsminer = Talk::with(&WHATSMINER, |settings| settings.user.clone_from(&long));
    assert_eq!(whatsminer.kinds(), ["user-too-long"]);
}
