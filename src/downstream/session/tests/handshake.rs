//! Every method of the handshake in every form that firmware uses, answered strictly in order.

use super::*;

const SUBSCRIBED: &str = r#"[[["mining.set_difficulty","SESSION"],["mining.notify","SESSION"]],"000000",4]"#;

/// Plays one request against a fresh connection and says what the first answer was.
fn answer_to(line: &str) -> String {
    let mut talk = Talk::new();
    let line = talk.fill_in(line);
    talk.says(line.as_bytes());
    talk.unsaid.pop_front().unwrap_or_default()
}

#[test]
fn ids_come_back_as_they_were() {
    for id in ["1", "0", "\"a\"", "\"\\u0041\"", "null", "1.5", "1.50", "-7", "18446744073709551616", "[1, 2]", "true"]
    {
        let want = format!("< {{\"id\":{id},\"result\":\"pong\",\"error\":null}}");
        assert_eq!(answer_to(&format!(r#"{{"id": {id}, "method":"mining.ping"}}"#)), want);
    }
    assert_eq!(answer_to(r#"{"method":"mining.ping"}"#), r#"< {"id":null,"result":"pong","error":null}"#);
}

#[test]
fn one_id_may_serve_for_everything() {
    let mut talk = Talk::new();
    talk.play(
        r#"
        > {"id":4,"method":"mining.subscribe","params":["cpuminer/2.5.1"]}
        < {"id":4,"result":[[["mining.set_difficulty","SESSION"],["mining.notify","SESSION"]],"000000",4],"error":null}
        > {"id":4,"method":"mining.authorize","params":["farm.1","x"]}
        < {"id":4,"result":true,"error":null}
        < set_difficulty 0.00000006
        < notify 1 clean
        > {"id":4,"method":"mining.submit","params":["farm.1",{block 1}]}
        < {"id":4,"result":true,"error":null}
        * for A: block
        > {"id":4,"method":"mining.submit","params":["farm.1",{low 1}]}
        < {"id":4,"result":null,"error":[23,"Low difficulty",null]}
        "#,
    );
}

#[test]
fn subscribe_has_many_forms_and_one_answer() {
    let want = format!("< {{\"id\":1,\"result\":{SUBSCRIBED},\"error\":null}}");
    for params in [
        r#""params":[]"#,
        r#""params":null"#,
        r#""params":["cgminer/4.11.1"]"#,
        r#""params":["cgminer/4.11.1",null]"#,
        r#""params":["cgminer/4.11.1","0badc0de"]"#,
        r#""params":["x;bosminer-plus-tuner 0.2",null,"pool.example:3333",null]"#,
        r#""params":["Antminer S19k Pro|LUXminer 2024.1|abc",null,"127.0.0.1:3333",null]"#,
        r#""params":["NiceHash/1.0.0",1700000000,"c0ffee"]"#,
        r#""params":["Antminer S21/Mon Jan 1 00:00:00 CST 2024"],"jsonrpc":"2.0""#,
        r#""unknown":{"deep":[{}]}"#,
    ] {
        assert_eq!(answer_to(&format!(r#"{{"id":1,"method":"mining.subscribe",{params}}}"#)), want, "{params}");
    }
    let line = "{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\r".to_string();
    assert_eq!(answer_to(&line), want, "a line that ends with CR LF");
}

#[test]
fn a_second_subscribe_changes_nothing() {
    let mut talk = Talk::mining();
    talk.play(
        r#"
        > {"id":9,"method":"mining.subscribe","params":["other/1.0"]}
        < {"id":9,"result":[[["mining.set_difficulty","SESSION"],["mining.notify","SESSION"]],"000000",4],"error":null}
        > {"id":10,"method":"mining.submit","params":["farm.1",{share 1}]}
        < {"id":10,"result":true,"error":null}
        "#,
    );
    assert_eq!(talk.session.firmware().name, "other");
}

#[test]
fn configure_answers_what_was_asked_and_nothing_else() {
    let extensions = [
        ("version-rolling", r#""version-rolling":true,"version-rolling.mask":"1fffe000""#),
        ("minimum-difficulty", r#""minimum-difficulty":true"#),
        ("subscribe-extranonce", r#""subscribe-extranonce":true"#),
        ("info", r#""info":true"#),
        ("telepathy", r#""telepathy":false"#),
    ];
    for subset in 0..1 << extensions.len() {
        let chosen = || extensions.iter().enumerate().filter(move |(bit, _)| subset >> bit & 1 == 1).map(|(_, e)| e);
        let names: Vec<String> = chosen().map(|(name, _)| format!("{name:?}")).collect();
        let line = format!(r#"{{"id":1,"method":"mining.configure","params":[[{}],{{}}]}}"#, names.join(","));
        let answers: Vec<&str> = chosen().map(|(_, answer)| *answer).collect();
        let heard: Value = serde_json::from_str(answer_to(&line).trim_start_matches("< ")).expect("JSON");
        let want: Value = serde_json::from_str(&format!("{{{}}}", answers.join(","))).expect("JSON");
        assert_eq!(heard["result"], want, "{names:?}");
        assert_eq!(heard["error"], Value::Null);
    }
}

#[test]
fn a_mask_is_what_both_can_roll() {
    for (asked, granted) in [
        (r#""version-rolling.mask":"ffffffff""#, "1fffe000"),
        (r#""version-rolling.mask":"1fffe000""#, "1fffe000"),
        (r#""version-rolling.mask":"00c00000""#, "00c00000"),
        (r#""version-rolling.mask":"00C00000""#, "00c00000"),
        (r#""version-rolling.mask":"ffffffff","version-rolling.min-bit-count":2"#, "1fffe000"),
        (r#""version-rolling.mask":"ffffffff","version-rolling.min-bit-count":"2""#, "1fffe000"),
        (r#""version-rolling.min-bit-count":16"#, "1fffe000"),
        ("", "1fffe000"),
    ] {
        let line = format!(r#"{{"id":1,"method":"mining.configure","params":[["version-rolling"],{{{asked}}}]}}"#);
        let want = format!(
            r#"< {{"id":1,"result":{{"version-rolling":true,"version-rolling.mask":"{granted}"}},"error":null}}"#
        );
        assert_eq!(answer_to(&line), want, "{asked}");
    }
    let nothing =
        r#"{"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"e0000000"}]}"#;
    assert_eq!(answer_to(nothing), r#"< {"id":1,"result":{"version-rolling":false},"error":null}"#);
    let without_values = r#"{"id":1,"method":"mining.configure","params":[["version-rolling"]]}"#;
    assert!(answer_to(without_values).contains(r#""version-rolling":true"#));
}

#[test]
fn every_other_method_has_its_answer() {
    for (request, answer) in [
        (r#""method":"mining.extranonce.subscribe","params":[]"#, r#""result":true,"error":null"#),
        (r#""method":"mining.extranonce.subscribe""#, r#""result":true,"error":null"#),
        (r#""method":"mining.multi_version","params":[4]"#, r#""result":true,"error":null"#),
        (r#""method":"mining.suggest_difficulty","params":[1024]"#, r#""result":true,"error":null"#),
        (r#""method":"mining.suggest_difficulty","params":["1024"]"#, r#""result":true,"error":null"#),
        (r#""method":"mining.suggest_difficulty(1024)","params":[]"#, r#""result":true,"error":null"#),
        (
            r#""method":"mining.suggest_difficulty","params":[]"#,
            r#""result":null,"error":[20,"Malformed difficulty",null]"#,
        ),
        (
            r#""method":"mining.suggest_target","params":["00000000ffff0000000000000000000000000000000000000000000000000000"]"#,
            r#""result":true,"error":null"#,
        ),
        (
            r#""method":"mining.suggest_target","params":["zz"]"#,
            r#""result":null,"error":[20,"Malformed target",null]"#,
        ),
        (r#""method":"mining.get_transactions","params":["1"]"#, r#""result":null,"error":[20,"Not supported.",null]"#),
        (r#""method":"mining.ping","params":[]"#, r#""result":"pong","error":null"#),
        (r#""method":"mining.nonsense","params":[]"#, r#""result":null,"error":[-3,"Method not found",null]"#),
        (r#""method":"","params":{}"#, r#""result":null,"error":[20,"Malformed params",null]"#),
        (r#""method":"mining.authorize","params":[]"#, r#""result":null,"error":[20,"Malformed user",null]"#),
        (r#""method":"mining.configure","params":[]"#, r#""result":null,"error":[20,"Malformed extensions",null]"#),
    ] {
        assert_eq!(answer_to(&format!(r#"{{"id":7,{request}}}"#)), format!(r#"< {{"id":7,{answer}}}"#), "{request}");
    }
}

#[test]
fn answers_of_the_miner_need_none() {
    for line in [
        r#"{"id":1,"method":"pong"}"#,
        r#"{"id":1,"result":"pong","error":null}"#,
        r#"{"id":2,"result":"cgminer/4.11.1","error":null}"#,
        r#"{"id":3,"result":null,"error":[-3,"Method not found",null]}"#,
    ] {
        assert_eq!(answer_to(line), "", "{line}");
    }
}

#[test]
fn an_unknown_method_ends_nothing() {
    let mut talk = Talk::mining();
    for _ in 0..100 {
        talk.play(
            r#"
            > {"id":5,"method":"mining.capabilities","params":[{"notify":[]},{"suggesteddifficulty":2}]}
            < {"id":5,"result":null,"error":[-3,"Method not found",null]}
            "#,
        );
    }
}

#[test]
fn esp_miner_pipelines_and_is_answered_in_order() {
    let mut talk = Talk::new();
    let offer = talk.offer;
    talk.session = Session::new(talk.settings.clone(), None, talk.now);
    talk.play(
        r#"
        > {"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}
        * wants the offer
        "#,
    );
    assert!(talk.session.is_waiting(), "subscribe and authorize wait for the answer to configure");
    talk.play(
        r#"
        ! the offer is known
        < {"id":1,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000"},"error":null}
        > {"id":2,"method":"mining.subscribe","params":["bitaxe/BM1370/v2.12.2"]}
        < {"id":2,"result":[[["mining.set_difficulty","SESSION"],["mining.notify","SESSION"]],"000000",4],"error":null}
        > {"id":3,"method":"mining.authorize","params":["farm.1","x"]}
        < {"id":3,"result":true,"error":null}
        < set_difficulty 0.00000006
        < notify 1 clean
        "#,
    );
    assert_eq!(talk.session.offer, Some(offer));
}

#[test]
fn authorize_may_come_first() {
    let mut talk = Talk::new();
    talk.play(
        r#"
        > {"id":1,"method":"mining.authorize","params":["farm.1"]}
        < {"id":1,"result":true,"error":null}
        @ 5s
        > {"id":2,"method":"mining.subscribe","params":[]}
        < {"id":2,"result":[[["mining.set_difficulty","SESSION"],["mining.notify","SESSION"]],"000000",4],"error":null}
        < set_difficulty 0.000000004
        < notify 1 clean
        > {"id":3,"method":"mining.submit","params":["farm.1",{share 1}]}
        < {"id":3,"result":true,"error":null}
        "#,
    );
}

#[test]
fn several_workers_share_a_connection() {
    let mut talk = Talk::mining();
    talk.play(
        r#"
        > {"id":3,"method":"mining.authorize","params":["farm.2","x"]}
        < {"id":3,"result":true,"error":null}
        > {"id":4,"method":"mining.authorize","params":["farm.1","again"]}
        < {"id":4,"result":true,"error":null}
        > {"id":5,"method":"mining.authorize","params":["bc1qaddress.rig_3"]}
        < {"id":5,"result":true,"error":null}
        > {"id":6,"method":"mining.authorize","params":["farm.4","x"]}
        < {"id":6,"result":null,"error":[24,"Unauthorized worker: too many on this connection",null]}
        > {"id":7,"method":"mining.authorize","params":["","x"]}
        < {"id":7,"result":null,"error":[24,"Unauthorized worker: the user name is empty",null]}
        > {"id":8,"method":"mining.submit","params":["farm.2",{pool 1}]}
        < {"id":8,"result":true,"error":null}
        * for A: share by farm.2
        > {"id":9,"method":"mining.submit","params":["bc1qaddress.rig_3",{pool 1}]}
        < {"id":9,"result":true,"error":null}
        * for A: share by bc1qaddress.rig_3
        > {"id":10,"method":"mining.submit","params":["farm.4",{pool 1}]}
        < {"id":10,"result":null,"error":[24,"Unauthorized worker",null]}
        "#,
    );
    assert_eq!(talk.session.user().map(|user| &**user), Some("farm.1"), "the first decides the route");
}

#[test]
fn work_comes_within_two_seconds_of_subscribe() {
    let mut talk = Talk::new();
    talk.play(
        r#"
        > {"id":1,"method":"mining.subscribe","params":[]}
        < {"id":1,"result":[[["mining.set_difficulty","SESSION"],["mining.notify","SESSION"]],"000000",4],"error":null}
        @ 1250ms
        @ 500ms
        < set_difficulty 0.000000004
        < notify 1 clean
        > {"id":2,"method":"mining.submit","params":["farm.1",{share 1}]}
        < {"id":2,"result":null,"error":[24,"Unauthorized worker",null]}
        > {"id":3,"method":"mining.authorize","params":["farm.1","d=2e-8"]}
        < {"id":3,"result":true,"error":null}
        < set_difficulty 0.00000002
        < notify 2
        "#,
    );
}

#[test]
fn a_connection_must_log_in_in_time() {
    let mut silent = Talk::new();
    silent.play(
        "
        @ 19750ms
        @ 250ms
        * close: pre_auth_timeout
        ",
    );
    let mut nameless = Talk::new();
    nameless.route = None;
    nameless.play(
        r#"
        > {"id":1,"method":"mining.subscribe","params":[]}
        < {"id":1,"result":[[["mining.set_difficulty","SESSION"],["mining.notify","SESSION"]],"000000",4],"error":null}
        @ 19750ms
        @ 250ms
        * close: pre_auth_timeout
        "#,
    );
}

#[test]
fn a_scanner_is_closed_without_a_word() {
    for line in ["GET / HTTP/1.1", "\u{16}\u{3}\u{1}", "[]", "{", r#"{"id":1,}"#] {
        let mut talk = Talk::new();
        talk.says(line.as_bytes());
        assert_eq!(talk.unsaid, ["* close: not_stratum"], "{line:?}");
    }
}

#[test]
fn a_miner_may_stumble_but_not_for_ever() {
    let mut talk = Talk::mining();
    for _ in 0..7 {
        talk.play(
            r#"
            > {"id":3,"method":
            < {"id":null,"result":null,"error":[20,"Malformed line",null]}
            "#,
        );
    }
    talk.play(
        r#"
        > not JSON at all
        < {"id":null,"result":null,"error":[20,"Malformed line",null]}
        * close: malformed
        "#,
    );
}

#[test]
fn a_refused_lease_is_said_and_ends_the_connection() {
    let mut talk = Talk::new();
    talk.exhausted = true;
    talk.play(
        r#"
        > {"id":1,"method":"mining.subscribe","params":[]}
        < {"id":1,"result":null,"error":[20,"no extranonce is free",null]}
        * close: extranonce_exhausted
        "#,
    );
}

#[test]
fn firmware_that_cannot_use_the_extranonce_is_told() {
    let mut talk = Talk::new();
    talk.offer.layout.extranonce2_size = 3;
    talk.session = Session::new(talk.settings.clone(), Some(talk.offer), talk.now);
    talk.play(
        r#"
        > {"id":1,"method":"mining.subscribe","params":["NerdMinerV2/1.7"]}
        < {"id":1,"result":null,"error":[20,"The pools leave 3 bytes of extranonce2, which this firmware can't use",null]}
        * close: extranonce2_size
        "#,
    );
}
