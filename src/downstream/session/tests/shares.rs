//! What becomes of a share: every reason to refuse one, in order, and what the pool sees.

use super::*;
use crate::{downstream::session::shares::MAX_AWAITED, work::HASHES_PER_DIFFICULTY};

#[test]
fn the_first_check_that_fails_is_what_the_miner_hears() {
    let mut talk = Talk::mining();
    talk.play(
        r#"> {"id":3,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"0000e000"}]}
                 < {"id":3,"result":{"version-rolling":true,"version-rolling.mask":"0000e000"},"error":null}"#,
    );
    // Each row is wrong in everything below it, too: the order of the checks is part of the protocol.
    let job = talk.notifies[0].id;
    for (params, code, text) in [
        // 1: shape
        (r#"["nobody","zz","zz","zz"]"#.into(), 20, "Malformed params: 5 or 6 are wanted"),
        (r#"["nobody","zz","zz","zz","zz","zz","zz"]"#.into(), 20, "Malformed params: 5 or 6 are wanted"),
        (r#"{"user":"nobody"}"#.into(), 20, "Malformed params"),
        (r#"[1,"zz","zz","zz","zz"]"#.into(), 20, "Malformed user"),
        (r#"["nobody",1,"zz","zz","zz"]"#.into(), 20, "Malformed job id"),
        (r#"["nobody","zz","zz","504e86b9","00000000"]"#.into(), 20, "Malformed extranonce2"),
        (r#"["nobody","zz","000","504e86b9","00000000"]"#.into(), 20, "Malformed extranonce2"),
        (r#"["nobody","zz","00","zz","zz"]"#.into(), 20, "Malformed ntime"),
        (r#"["nobody","zz","00","504e86b9","zz"]"#.into(), 20, "Malformed nonce"),
        (r#"["nobody","zz","00","504e86b9","123456789"]"#.into(), 20, "Malformed nonce"),
        (r#"["nobody","zz","00","504e86b9","00000000","zz"]"#.into(), 20, "Malformed version bits"),
        // 2: subscribed (not subscribed: below), the worker authorized
        (r#"["nobody","zz","00","00000000","00000000","ffffffff"]"#.into(), 24, "Unauthorized worker"),
        (r#"["","zz","00","00000000","00000000","ffffffff"]"#.into(), 24, "Unauthorized worker"),
        // 3: the job was sent to this lease
        (r#"["farm.1","zz","00","00000000","00000000","ffffffff"]"#.into(), 21, "Job not found"),
        (r#"["farm.1","7fffffff","00","00000000","00000000","ffffffff"]"#.into(), 21, "Job not found"),
        (r#"["farm.1","bf","00","00000000","00000000","ffffffff"]"#.into(), 21, "Job not found"),
        // 4: extranonce2 length, ntime, version bits
        (format!(r#"["farm.1","{job}","000000","00000000","00000000","ffffffff"]"#), 20, "Invalid extranonce2 length"),
        (format!(r#"["farm.1","{job}","0000000000","00000000","00000000"]"#), 20, "Invalid extranonce2 length"),
        (format!(r#"["farm.1","{job}","","00000000","00000000"]"#), 20, "Invalid extranonce2 length"),
        (format!(r#"["farm.1","{job}","00000000","504e86b8","00000000","ffffffff"]"#), 20, "Ntime out of range"),
        (format!(r#"["farm.1","{job}","00000000","504ea212","00000000","ffffffff"]"#), 20, "Ntime out of range"),
        (format!(r#"["farm.1","{job}","00000000","504ea211","00000000","00010000"]"#), 20, "Version bits outside mask"),
        (format!(r#"["farm.1","{job}","00000000","504e86b9","00000000","20002000"]"#), 20, "Version bits outside mask"),
    ] {
        talk.play(&format!(
            "> {{\"id\":7,\"method\":\"mining.submit\",\"params\":{params}}}
             < {{\"id\":7,\"result\":null,\"error\":[{code},\"{text}\",null]}}"
        ));
        assert_eq!(talk.judged.pop(), Some(Err(talk_reject(code, text))), "{params}: counted as what was said");
    }
    assert_eq!(NTIME_LATEST - 0x504e_86b9, 7000);
    talk.play(
        r#"
        > {"id":8,"method":"mining.submit","params":["farm.1",{share 1 bits=00002000}]}
        < {"id":8,"result":true,"error":null}
        > {"id":9,"method":"mining.submit","params":["farm.1",{again}]}
        < {"id":9,"result":null,"error":[22,"Duplicate",null]}
        > {"id":10,"method":"mining.submit","params":["farm.1",{low 1}]}
        < {"id":10,"result":null,"error":[23,"Low difficulty",null]}
        "#,
    );
}

/// The last ntime that the table above has within bounds.
const NTIME_LATEST: u32 = 0x504e_a211;

/// The reject that is said so.
fn talk_reject(code: u32, text: &str) -> Reject {
    let field = text.strip_prefix("Malformed ").unwrap_or_default();
    let fields =
        ["params: 5 or 6 are wanted", "params", "user", "job id", "extranonce2", "ntime", "nonce", "version bits"];
    let malformed = fields.into_iter().find(|known| *known == field).map(Reject::Malformed);
    let all = malformed.into_iter().chain(Reject::ALL);
    let mut fitting = all.filter(|reject| reject.code() == code && reject.to_string() == text);
    fitting.next().unwrap_or_else(|| panic!("no reject says {code} {text}"))
}

#[test]
fn nobody_submits_before_subscribe() {
    let mut talk = Talk::new();
    talk.play(
        r#"
        > {"id":1,"method":"mining.authorize","params":["farm.1","x"]}
        < {"id":1,"result":true,"error":null}
        > {"id":2,"method":"mining.submit","params":["farm.1","00000001","zz","504e86b9","00000000"]}
        < {"id":2,"result":null,"error":[20,"Malformed extranonce2",null]}
        > {"id":3,"method":"mining.submit","params":["farm.1","00000001","00000000","504e86b9","00000000"]}
        < {"id":3,"result":null,"error":[25,"Not subscribed",null]}
        "#,
    );
}

#[test]
fn the_pool_sees_what_it_credits_and_nothing_else() {
    let mut talk = Talk::mining();
    talk.play(
        r#"
        > {"id":3,"method":"mining.submit","params":["farm.1",{share 1}]}
        < {"id":3,"result":true,"error":null}
        > {"id":4,"method":"mining.submit","params":["farm.1",{pool 1}]}
        < {"id":4,"result":true,"error":null}
        * for A: share
        > {"id":5,"method":"mining.submit","params":["farm.1",{again}]}
        < {"id":5,"result":null,"error":[22,"Duplicate",null]}
        > {"id":6,"method":"mining.submit","params":["farm.1",{block 1}]}
        < {"id":6,"result":true,"error":null}
        * for A: block
        > {"id":7,"method":"mining.submit","params":["farm.1",{again}]}
        < {"id":7,"result":null,"error":[22,"Duplicate",null]}
        "#,
    );
    let share = &talk.submitted[0];
    assert_eq!(share.extranonce2().to_string(), "0000000000000000", "salt, lease id, the miner's part");
    assert_eq!(share.version(), 0x2000_0000);
}

#[test]
fn a_share_written_otherwise_is_still_a_duplicate() {
    let mut talk = Talk::mining();
    let share = talk.fill_in("{share 1}");
    let [job, extranonce2, ntime, nonce] = share.split(',').collect::<Vec<_>>()[..] else { panic!("{share}") };
    let bare = |hex: &str| hex.trim_matches('"').trim_start_matches('0').to_owned();
    let number = |hex: &str| u32::from_str_radix(hex.trim_matches('"'), 16).expect("hex");
    talk.play(&format!(
        r#"> {{"id":1,"method":"mining.submit","params":["farm.1",{share}]}}
           < {{"id":1,"result":true,"error":null}}"#
    ));
    for other in [
        format!("{},{extranonce2},{ntime},{nonce}", job.to_uppercase()),
        format!("{job},{extranonce2},{},{}", ntime.to_uppercase(), nonce.to_uppercase()),
        format!(r#"{job},{extranonce2},{ntime},"{}""#, bare(nonce)),
        format!("{job},{extranonce2},{},{}", number(ntime), number(nonce)),
        format!(r#"{share},"00000000""#),
        format!(r#"{share},"0""#),
        format!(r#"{share},"""#),
        format!("{share},null"),
    ] {
        talk.play(&format!(
            r#"> {{"id":2,"method":"mining.submit","params":["farm.1",{other}]}}
               < {{"id":2,"result":null,"error":[22,"Duplicate",null]}}"#
        ));
    }
}

#[test]
fn an_unpadded_nonce_counts() {
    let mut talk = Talk::mining();
    let share = talk.fill_in("{share 1}");
    let (front, nonce) = share.rsplit_once(",\"").expect("four fields");
    let unpadded = format!(r#"{front},"{}"#, nonce.trim_start_matches('0'));
    assert_ne!(unpadded, share);
    talk.play(&format!(
        r#"> {{"id":1,"method":"mining.submit","params":["farm.1",{unpadded}]}}
           < {{"id":1,"result":true,"error":null}}"#
    ));
}

#[test]
fn a_share_of_a_superseded_job_is_stale_and_goes_up_all_the_same() {
    let mut talk = Talk::mining();
    talk.play(
        r#"
        ! A sends a job
        < notify 2
        > {"id":3,"method":"mining.submit","params":["farm.1",{share 1}]}
        < {"id":3,"result":true,"error":null}
        ! A sends a block
        < notify 3 clean
        > {"id":4,"method":"mining.submit","params":["farm.1",{share 2}]}
        < {"id":4,"result":null,"error":[21,"Stale",null]}
        > {"id":5,"method":"mining.submit","params":["farm.1",{pool 2}]}
        < {"id":5,"result":null,"error":[21,"Stale",null]}
        * for A: share
        > {"id":6,"method":"mining.submit","params":["farm.1",{again}]}
        < {"id":6,"result":null,"error":[22,"Duplicate",null]}
        > {"id":7,"method":"mining.submit","params":["farm.1",{block 1}]}
        < {"id":7,"result":null,"error":[21,"Stale",null]}
        * for A: block
        > {"id":8,"method":"mining.submit","params":["farm.1",{low 1}]}
        < {"id":8,"result":null,"error":[21,"Stale",null]}
        > {"id":9,"method":"mining.submit","params":["farm.1",{share 3}]}
        < {"id":9,"result":true,"error":null}
        "#,
    );
}

/// On signet the network's target is easier than a pool's share may be: such a block must not be lost to `Low difficulty`.
#[test]
fn a_block_goes_up_although_the_share_is_refused() {
    let mut talk = Talk::new();
    talk.side('A').difficulty = 1e-5;
    talk.make_job('A', true);
    talk.play(
        r#"
        > {"id":1,"method":"mining.subscribe","params":[]}
        < {"id":1,"result":[[["mining.set_difficulty","SESSION"],["mining.notify","SESSION"]],"000000",4],"error":null}
        > {"id":2,"method":"mining.authorize","params":["farm.1","d=1e-5"]}
        < {"id":2,"result":true,"error":null}
        < set_difficulty 0.000000953
        < notify 1 clean
        > {"id":3,"method":"mining.submit","params":["farm.1",{9.54e-7..1e-5 1}]}
        < {"id":3,"result":true,"error":null}
        * for A: block
        > {"id":4,"method":"mining.submit","params":["farm.1",{9e-7..9.5e-7 1}]}
        < {"id":4,"result":null,"error":[23,"Low difficulty",null]}
        ! A sends a block
        < notify 2 clean
        > {"id":5,"method":"mining.submit","params":["farm.1",{9.54e-7..1e-5 1}]}
        < {"id":5,"result":null,"error":[21,"Stale",null]}
        * for A: block
        "#,
    );
}

#[test]
fn nothing_is_true_while_the_pool_is_away() {
    let mut talk = Talk::mining();
    talk.play(
        r#"
        ! A is lost
        > {"id":3,"method":"mining.submit","params":["farm.1",{share 1}]}
        < {"id":3,"result":null,"error":[20,"No pool",null]}
        > {"id":4,"method":"mining.submit","params":["farm.1",{pool 1}]}
        < {"id":4,"result":null,"error":[20,"No pool",null]}
        > {"id":5,"method":"mining.submit","params":["farm.1",{block 1}]}
        < {"id":5,"result":null,"error":[20,"No pool",null]}
        * for A: block
        > {"id":6,"method":"mining.submit","params":["farm.1",{low 1}]}
        < {"id":6,"result":null,"error":[23,"Low difficulty",null]}
        > {"id":7,"method":"mining.submit","params":["farm.1","00000000","00000000","504e86b9","00000000"]}
        < {"id":7,"result":null,"error":[21,"Job not found",null]}
        ! A resumes
        > {"id":8,"method":"mining.submit","params":["farm.1",{pool 1}]}
        < {"id":8,"result":true,"error":null}
        * for A: share
        "#,
    );
}

/// Else an outage would look like a slow miner, which comes back with a difficulty that is far too low.
#[test]
fn shares_that_no_pool_takes_still_tell_how_fast_the_miner_is() {
    let mut talk = Talk::mining();
    talk.play("! A is lost");
    assert!(talk.session.hashrate(talk.now).is_none(), "no share yet");
    for _ in 0..40 {
        talk.play(
            r#"
            @ 3s
            > {"id":3,"method":"mining.submit","params":["farm.1",{share 1}]}
            < {"id":3,"result":null,"error":[20,"No pool",null]}
            "#,
        );
    }
    assert!(talk.judged.iter().all(|verdict| *verdict == Err(Reject::NoPool)));
    let found = talk.session.hashrate(talk.now).expect("shares came").hs();
    let real = EASY * HASHES_PER_DIFFICULTY / 3.0;
    assert!((found / real - 1.0).abs() < 0.05, "{found} H/s, of {real}");

    talk.play(
        r#"
        > {"id":4,"method":"mining.submit","params":["farm.1",{low 1}]}
        < {"id":4,"result":null,"error":[23,"Low difficulty",null]}
        "#,
    );
    assert_eq!(talk.session.hashrate(talk.now).expect("as before").hs(), found, "what counts for nobody tells nothing");
}

#[test]
fn after_a_failover_the_lost_pools_jobs_are_stale() {
    let mut talk = Talk::mining();
    talk.play(
        r#"
        ! A is lost
        ! B takes over
        < notify 2 clean
        > {"id":3,"method":"mining.submit","params":["farm.1",{pool 2}]}
        < {"id":3,"result":true,"error":null}
        * for B: share
        > {"id":4,"method":"mining.submit","params":["farm.1",{share 1}]}
        < {"id":4,"result":null,"error":[21,"Stale",null]}
        "#,
    );
    let mut gone = Talk::mining();
    gone.play(
        r#"
        ! A is gone
        > {"id":3,"method":"mining.submit","params":["farm.1",{share 1}]}
        < {"id":3,"result":null,"error":[21,"Stale",null]}
        "#,
    );
}

#[test]
fn after_a_planned_move_the_old_pool_still_takes_late_shares() {
    let mut talk = Talk::mining();
    talk.play(
        r#"
        ! B takes over
        < notify 2 clean
        > {"id":3,"method":"mining.submit","params":["farm.1",{pool 1}]}
        < {"id":3,"result":true,"error":null}
        * for A: share
        ! A sends a block
        > {"id":4,"method":"mining.submit","params":["farm.1",{pool 1}]}
        < {"id":4,"result":null,"error":[21,"Stale",null]}
        * for A: share
        ! A takes over
        < notify 3 clean
        > {"id":5,"method":"mining.submit","params":["farm.1",{pool 3}]}
        < {"id":5,"result":true,"error":null}
        * for A: share
        > {"id":6,"method":"mining.submit","params":["farm.1",{pool 2}]}
        < {"id":6,"result":true,"error":null}
        * for B: share
        "#,
    );
}

fn pool_answers(listener: &mut config::Listener) {
    listener.answer = config::Answer::Pool { timeout: Duration::from_secs(10) };
}

#[test]
fn the_pools_word_may_be_the_answer() {
    let mut talk = Talk::mining_with(pool_answers);
    talk.play(
        r#"
        > {"id":"a","method":"mining.submit","params":["farm.1",{pool 1}]}
        * for A: share, awaited
        > {"id":"b","method":"mining.submit","params":["farm.1",{pool 1}]}
        * for A: share, awaited
        > {"id":"c","method":"mining.submit","params":["farm.1",{share 1}]}
        < {"id":"c","result":true,"error":null}
        > {"id":"d","method":"mining.submit","params":["farm.1",{low 1}]}
        < {"id":"d","result":null,"error":[23,"Low difficulty",null]}
        ! A says yes
        < {"id":"a","result":true,"error":null}
        ! A says 21 Job not found (slow)
        < {"id":"b","result":null,"error":[21,"Job not found (slow)",null]}
        "#,
    );
    assert_eq!(talk.judged.iter().filter(|verdict| verdict.is_ok()).count(), 2);
    assert_eq!(talk.judged.last(), Some(&Err(Reject::Stale)));
}

#[test]
fn a_pools_text_can_break_no_line() {
    let mut talk = Talk::mining_with(pool_answers);
    talk.play(
        r#"
        > {"id":3,"method":"mining.submit","params":["farm.1",{pool 1}]}
        * for A: share, awaited
        "#,
    );
    let text = "a \"quoted\" \\ text\nof\u{7} two lines";
    talk.says_of_share(Err(PoolError { code: -1, message: text.into() }));
    let lines: Vec<Value> = talk
        .io
        .out
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["error"], serde_json::json!([20, text, null]), "a code that no firmware knows is said as 20");
}

#[test]
fn a_silent_pool_leaves_the_answer_to_us() {
    let mut talk = Talk::mining_with(pool_answers);
    talk.play(
        r#"
        > {"id":3,"method":"mining.submit","params":["farm.1",{pool 1}]}
        * for A: share, awaited
        @ 2s
        > {"id":4,"method":"mining.submit","params":["farm.1",{pool 1}]}
        * for A: share, awaited
        @ 7750ms
        @ 250ms
        < {"id":3,"result":true,"error":null}
        ! A says 23 Low difficulty
        ! A says yes
        < {"id":4,"result":true,"error":null}
        @ 10s
        "#,
    );
}

#[test]
fn a_share_that_waits_for_a_lost_pool_is_not_true() {
    let mut talk = Talk::mining_with(pool_answers);
    talk.play(
        r#"
        > {"id":3,"method":"mining.submit","params":["farm.1",{pool 1}]}
        * for A: share, awaited
        ! A is lost
        ! B takes over
        < notify 2 clean
        @ 9750ms
        @ 250ms
        < {"id":3,"result":null,"error":[20,"No pool",null]}
        "#,
    );
    let mut back_in_time = Talk::mining_with(pool_answers);
    back_in_time.play(
        r#"
        > {"id":3,"method":"mining.submit","params":["farm.1",{pool 1}]}
        * for A: share, awaited
        > {"id":4,"method":"mining.submit","params":["farm.1",{pool 1}]}
        * for A: share, awaited
        ! A is lost
        @ 5s
        ! A resumes
        ! A says yes
        < {"id":3,"result":true,"error":null}
        @ 5s
        < {"id":4,"result":true,"error":null}
        "#,
    );
}

#[test]
fn so_many_shares_wait_and_no_more() {
    let mut talk = Talk::mining_with(pool_answers);
    for _ in 0..MAX_AWAITED {
        talk.play(
            r#"
            > {"id":3,"method":"mining.submit","params":["farm.1",{pool 1}]}
            * for A: share, awaited
            "#,
        );
    }
    talk.play(
        r#"
        > {"id":4,"method":"mining.submit","params":["farm.1",{pool 1}]}
        < {"id":4,"result":true,"error":null}
        * for A: share
        "#,
    );
}

#[test]
fn a_miner_that_resumes_finds_its_jobs_and_its_duplicates() {
    let mut talk = Talk::mining();
    talk.play(
        r#"
        > {"id":3,"method":"mining.submit","params":["farm.1",{pool 1}]}
        < {"id":3,"result":true,"error":null}
        * for A: share
        ! it reconnects
        > {"id":1,"method":"mining.subscribe","params":["","{session}"]}
        < {"id":1,"result":[[["mining.set_difficulty","SESSION"],["mining.notify","SESSION"]],"000000",4],"error":null}
        > {"id":2,"method":"mining.authorize","params":["farm.1","x"]}
        < {"id":2,"result":true,"error":null}
        < set_difficulty 0.000000004
        < notify 2 clean
        > {"id":3,"method":"mining.submit","params":["farm.1",{again}]}
        < {"id":3,"result":null,"error":[22,"Duplicate",null]}
        > {"id":4,"method":"mining.submit","params":["farm.1",{pool 1}]}
        < {"id":4,"result":true,"error":null}
        * for A: share
        > {"id":5,"method":"mining.submit","params":["farm.1",{share 2}]}
        < {"id":5,"result":true,"error":null}
        "#,
    );
}

const RETURNS: &str = r#"
    > {"id":1,"method":"mining.authorize","params":["farm.1","x"]}
    < {"id":1,"result":true,"error":null}
    > {"id":2,"method":"mining.subscribe","params":["","{session}"]}
    < {"id":2,"result":[[["mining.set_difficulty","SESSION"],["mining.notify","SESSION"]],"000000",4],"error":null}
"#;

#[test]
fn a_miner_that_resumes_has_missed_a_block() {
    let mut talk = Talk::mining();
    talk.play("! it reconnects\n@ 1s\n! A sends a block");
    talk.play(&format!("{RETURNS}< set_difficulty 0.000000004\n< notify 2 clean"));
    talk.play(
        r#"
        > {"id":3,"method":"mining.submit","params":["farm.1",{share 1}]}
        < {"id":3,"result":null,"error":[21,"Stale",null]}
        > {"id":4,"method":"mining.submit","params":["farm.1",{pool 1}]}
        < {"id":4,"result":null,"error":[21,"Stale",null]}
        * for A: share
        > {"id":5,"method":"mining.submit","params":["farm.1",{share 2}]}
        < {"id":5,"result":true,"error":null}
        "#,
    );
}

#[test]
fn a_miner_that_resumes_has_missed_the_loss_of_its_pool() {
    let mut talk = Talk::mining();
    talk.route = None;
    talk.play("! it reconnects\n! A is lost");
    talk.play(RETURNS);
    talk.play(
        r#"
        > {"id":3,"method":"mining.submit","params":["farm.1",{pool 1}]}
        < {"id":3,"result":null,"error":[20,"No pool",null]}
        ! A resumes
        > {"id":4,"method":"mining.submit","params":["farm.1",{pool 1}]}
        < {"id":4,"result":true,"error":null}
        * for A: share
        "#,
    );
    let mut gone = Talk::mining();
    gone.route = Some('B');
    gone.play("! it reconnects\n! A is gone");
    gone.play(&format!("{RETURNS}< set_difficulty 0.000000004\n< notify 2 clean"));
    gone.play(
        r#"
        > {"id":3,"method":"mining.submit","params":["farm.1",{share 1}]}
        < {"id":3,"result":null,"error":[21,"Stale",null]}
        "#,
    );
}

#[test]
fn a_stranger_does_not_get_the_jobs_of_another_session() {
    let mut talk = Talk::mining();
    talk.play(
        r#"
        ! it reconnects
        > {"id":1,"method":"mining.subscribe","params":["","ffffffffffffffffffffffffffffffff"]}
        < {"id":1,"result":[[["mining.set_difficulty","SESSION"],["mining.notify","SESSION"]],"000001",4],"error":null}
        > {"id":2,"method":"mining.authorize","params":["farm.1","x"]}
        < {"id":2,"result":true,"error":null}
        < set_difficulty 0.000000004
        < notify 2 clean
        > {"id":3,"method":"mining.submit","params":["farm.1",{share 2}]}
        < {"id":3,"result":true,"error":null}
        "#,
    );
}
