//! From one connection to the next.

use std::time::Duration;

use super::{AUTHORIZED, CONFIGURED, Origin, Outgoing, Play, SUBSCRIBED, outgoing};
use crate::upstream::{carried::MAX_KEPT, request::USER_AGENT};

#[test]
fn a_pool_that_resumes_gets_every_share_that_it_has_not_answered() {
    let mut play = Play::live("");
    play.submit(1);
    play.submit(2);
    play.line(r#"{"id":5,"result":true}"#);
    let mut play = play.reconnected();
    play.submit(3);
    play.said();
    play.line(CONFIGURED);
    assert_eq!(
        play.said(),
        [format!(r#"> {{"id":2,"method":"mining.subscribe","params":["{}","5e55"]}}"#, USER_AGENT)]
    );
    play.lines(&[SUBSCRIBED, AUTHORIZED]);
    assert_eq!(
        play.said()[1..],
        [
            "! ready #0 08000002+8 mask 1fffe000",
            r#"> {"id":4,"method":"mining.extranonce.subscribe","params":[]}"#,
            "! resumed #0",
            r#"> {"id":5,"method":"mining.submit","params":["acct","bf","0000000700000001","504e86b9","00000002","00000000"]}"#,
            r#"> {"id":6,"method":"mining.submit","params":["acct","bf","0000000700000001","504e86b9","00000003","00000000"]}"#,
        ]
    );
    play.lines(&[r#"{"id":5,"error":[22,"duplicate",null]}"#, r#"{"id":6,"error":[22,"duplicate",null]}"#]);
    assert_eq!(
        play.said(),
        ["! share 2 accepted after 0ns", "! share 3 rejected: duplicate (22)"],
        "it may have had the second before; the third it got only once"
    );
}

#[test]
fn a_pool_that_does_not_resume_loses_them() {
    let mut play = Play::live("");
    play.submit(1);
    let mut play = play.reconnected();
    play.submit(2);
    play.line(CONFIGURED);
    play.line(&SUBSCRIBED.replace("08000002", "08000003"));
    play.said();
    play.line(AUTHORIZED);
    let said = play.said();
    assert_eq!(said[0], "! ready #1 08000003+8 mask 1fffe000");
    assert_eq!(said[2..], ["! share 1 lost", "! share 2 lost"]);
    play.submit(3);
    assert_eq!(play.said(), ["! share 3 lost"]);
}

#[test]
fn a_pool_that_knows_no_sessions_is_asked_again_without() {
    let mut play = Play::live("").reconnected();
    play.line(CONFIGURED);
    play.said();
    play.line(r#"{"id":2,"result":null,"error":[20,"unknown session",null]}"#);
    assert!(play.said().iter().any(|line| line.ends_with(&format!("[\"{}\"]}}", USER_AGENT))));
    play.line(&SUBSCRIBED.replace(":2", ":3"));
    play.line(&AUTHORIZED.replace(":3", ":4"));
    assert!(play.said().contains(&"! resumed #0".to_owned()), "it is the extranonce that counts");
}

#[test]
fn a_pool_that_hangs_up_on_a_session_id_gets_none_the_next_time() {
    let mut play = Play::live("").reconnected();
    play.line(CONFIGURED);
    let mut play = play.reconnected();
    play.said();
    play.line(CONFIGURED);
    assert!(!play.said()[0].contains("5e55"));
}

#[test]
fn shares_wait_two_minutes_for_a_resume_and_no_longer() {
    let mut play = Play::live("");
    play.submit(1);
    let mut play = play.reconnected();
    play.wait(Duration::from_secs(3));
    play.said();
    for _ in 0..3 {
        play = play.reconnected();
        play.wait(Duration::from_secs(38));
    }
    assert!(!play.said().iter().any(|line| line.contains("lost")));
    play = play.reconnected();
    play.wait(Duration::from_secs(5));
    assert!(play.said().contains(&"! share 1 lost".to_owned()));
}

#[test]
fn the_oldest_shares_give_way_where_too_many_wait_for_a_resume() {
    let mut play = Play::live("");
    let outgoing = outgoing(play.job.as_ref().unwrap(), 1);
    for ticket in 0..=MAX_KEPT as u32 {
        let origin = Origin { ticket, ..outgoing.origin };
        play.session.submit(play.now, Outgoing { origin, ..outgoing.clone() });
    }
    play.drain();
    let mut play = play.reconnected();
    assert_eq!(play.said()[0], "! share 0 lost");
    play = play.logged_in();
    assert_eq!(play.session.end().1.take_shares().len(), MAX_KEPT);
}
