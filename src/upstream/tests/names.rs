//! Pools that are told each miner's name.

use std::time::Duration;

use super::{CONFIGURED, EASY, NOTIFY, Outgoing, Play, SUBSCRIBED, outgoing};
use crate::upstream::workers::{MAX_NAMES, MAX_WAITING};

const FORWARD: &str = "user = \"acct.{worker}\"\nworkers = \"forward\"";

#[test]
fn forwarded_names_are_authorized_before_their_first_share() {
    let mut play = Play::live(FORWARD);
    play.submit(1);
    play.submit(2);
    assert_eq!(play.said(), [r#"> {"id":5,"method":"mining.authorize","params":["acct.07","x"]}"#]);
    play.line(r#"{"id":5,"result":true}"#);
    play.submit(3);
    let said = play.said();
    assert_eq!(said.len(), 3);
    assert!(said.iter().all(|line| line.contains(r#""mining.submit","params":["acct.07""#)), "{said:?}");
}

#[test]
fn shares_of_a_refused_name_are_rejected_and_it_is_not_asked_for_again_at_once() {
    let mut play = Play::live(FORWARD);
    play.submit(1);
    play.line(r#"{"id":5,"result":null,"error":"who?"}"#);
    play.submit(2);
    assert_eq!(
        play.said()[1..],
        [
            r#"# WARN worker "acct.07" refused: who? (20)"#,
            "! share 1 rejected: who? (24)",
            "! share 2 rejected: who? (24)"
        ]
    );
}

#[test]
fn a_name_without_an_answer_is_asked_for_again() {
    let mut play = Play::live(FORWARD);
    play.submit(1);
    play.said();
    play.wait(Duration::from_secs(30));
    assert_eq!(play.said(), ["! share 1 unanswered"]);
    play.submit(2);
    assert!(play.said()[0].contains("mining.authorize"));
}

#[test]
fn a_pool_that_wants_miners_names_only_may_refuse_ours() {
    let mut play = Play::new("user = \"{user}\"\nworkers = \"forward\"");
    play.lines(&[CONFIGURED, SUBSCRIBED, r#"{"id":3,"result":false,"error":[24,"no address",null]}"#, EASY, NOTIFY]);
    assert!(play.said().iter().any(|line| line.contains(r#""params":["hashgate","x"]"#)));
    play.submit(1);
    assert!(play.said()[0].contains(r#""mining.authorize","params":["farm.07","x"]"#));
}

#[test]
fn shares_that_wait_for_their_name_survive_a_reconnect() {
    let mut play = Play::live(FORWARD);
    play.submit(1);
    let mut play = play.reconnected().logged_in();
    play.line(r#"{"id":5,"result":true}"#);
    assert!(play.said()[0].contains("00000001"), "sent once its name is authorized on the new connection");
}

#[test]
fn the_longest_names_make_no_line_over_a_kibibyte() {
    let long = "\\\"".repeat(60);
    let play = Play::live(&format!("user = '{}'\npassword = '{}'", long, "\"".repeat(256)));
    let mut play = Play { transcript: Vec::new(), ..play };
    play.line(&NOTIFY.replace("\"bf\"", &format!("{:?}", "\"".repeat(128))));
    play.submit(1);
    let said = play.said();
    assert!(said[1].contains("mining.submit") && said[1].len() > 500, "{said:?}");
    play.line(&format!(r#"{{"id":"{}","method":"mining.ping"}}"#, "i".repeat(2000)));
    assert!(play.said()[0].starts_with("# WARN did not send"));
}

#[test]
fn names_beyond_the_bound_go_up_as_the_login_and_waiting_shares_are_bounded() {
    let mut play = Play::live(FORWARD);
    let outgoing = outgoing(play.job.as_ref().unwrap(), 1);
    let submit = |play: &mut Play, user: String| {
        play.session.submit(play.now, Outgoing { user: user.into(), ..outgoing.clone() });
        play.drain();
    };
    for name in 0..MAX_WAITING {
        submit(&mut play, format!("farm.{name}"));
    }
    assert!(play.said().iter().all(|line| line.contains("mining.authorize")));
    submit(&mut play, "farm.0".to_owned());
    assert_eq!(play.said(), ["! share 1 unanswered"], "no room");
    for name in 0..MAX_WAITING {
        play.line(&format!(r#"{{"id":{},"result":true}}"#, 5 + name));
    }
    for name in MAX_WAITING..MAX_NAMES {
        submit(&mut play, format!("farm.{name}"));
    }
    play.said();
    submit(&mut play, "farm.more".to_owned());
    assert!(play.said()[0].contains(r#""mining.submit","params":["acct","#));
}
