//! The binary says what follows, and what to do where it can't.

use std::{fs, net::TcpListener, process::Stdio};

use tokio::{process::Command, time::timeout};

use crate::site::{CONTROL, LIMIT, READ, SIGNAL, Site};

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// The binary, with these variables and none that this process happens to have.
pub fn command(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hashgate"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    for name in ["RUST_LOG", "HASHGATE_URL", "HASHGATE_TOKEN", "NO_COLOR"] {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied());
    command
}

pub async fn hashgate(arguments: &[&str], variables: &[(&str, &str)]) -> Done {
    let output = timeout(2 * LIMIT, command(arguments, variables).output()).await.expect("it ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Done { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs a command against a site, with a token.
pub async fn with(site: &Site, token: &str, arguments: &[&str]) -> Done {
    let url = format!("http://{}", site.address);
    hashgate(arguments, &[("HASHGATE_URL", &url), ("HASHGATE_TOKEN", token)]).await
}

pub fn contains(text: &str, wanted: &[&str]) {
    for words in wanted {
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_prints_what_follows() {
    let site = Site::start().await;
    let done = with(&site, CONTROL, &["drain", "hall-a", "--why", "visitors", "--dry-run"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    contains(
        &done.out,
        &[
            "group hall-a: MINING -> DRAIN_PENDING",
            "first a canary",
            "7.00 kW -> 0.50 kW",
            "2 machines told, 1 left as it is within 1m 35s",
            "120 kW asked back from AI compute first",
            "nothing was ordered",
        ],
    );
    assert_eq!(site.take_asked(), ["hall-a: Drain { why: \"visitors\", until: None }, dry_run true"]);
    let done = with(&site, CONTROL, &["hold", "hall-a", "--why", "visitors", "--json"]).await;
    let plan: serde_json::Value = serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error} {done:?}"));
    assert_eq!((done.code, &plan["will_draw_kw"]), (Some(0), &serde_json::json!(0.5)));
    for (arguments, heard) in [
        (&["wake", "hall-a"][..], "hall-a: Wake { why: \"no reason given\", until: None }, dry_run false"),
        (&["lockout", "hall-a", "--why", "fan"], "hall-a: Lockout { why: \"fan\" }, dry_run false"),
        (&["release", "hall-a"], "hall-a: Release, dry_run false"),
    ] {
        site.take_asked();
        let done = with(&site, CONTROL, arguments).await;
        assert_eq!((done.code, site.take_asked()), (Some(0), vec![heard.to_owned()]), "{done:?}");
        assert!(!done.out.contains("nothing was ordered"), "{done:?}");
    }
    site.take_asked();
    assert_eq!(with(&site, CONTROL, &["drain", "hall-a", "--for", "2h"]).await.code, Some(0));
    contains(&site.take_asked()[0], &["until: Some("]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_there_is_is_shown_on_a_screen() {
    let site = Site::start().await;
    let done = with(&site, READ, &["groups"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    contains(
        &done.out,
        &[
            "advise: what an operator orders is carried out",
            "site draws 50.5 kW by its machines' own word, 51.0 kW by its meter; 53.0 kW of 100 kW count as taken, 47.0 kW are free",
            "2 times over the cap, by 1.50 kW at most",
            "group hall-a: MINING for",
            "3 machines, 1 without a fresh measurement, 1 asleep that nobody here put to sleep",
            "to mine: margin 3.1 $/MWh",
            "waits for the ledger",
            "an operator ordered a drain until it is released: visitors",
            "group shed: has no actuator",
            "! group \"hall-a\": a machine called ?[2Jrig drifted",
        ],
    );
    assert!(!done.out.contains('\u{1b}'), "a machine's name moves no cursor");
    let json: serde_json::Value = serde_json::from_str(&with(&site, READ, &["groups", "--json"]).await.out).unwrap();
    assert_eq!(json["groups"][0]["name"], "hall-a");

    let done = with(&site, READ, &["devices", "hall-a", "--limit", "2"]).await;
    contains(
        &done.out,
        &[
            "rig-0  mine   confirmed        3500      3850",
            "now  10.0.0.0",
            "rig-1",
            "never",
            "1 more of 3: --offset 2",
        ],
    );
    assert!(!done.out.contains("rig-2"), "{done:?}");
    contains(
        &with(&site, READ, &["devices", "hall-a", "--offset", "9"]).await.out,
        &["has 3 machines, none from 9 on"],
    );
    contains(
        &with(&site, READ, &["receipts", "--limit", "1"]).await.out,
        &[
            "drain of hall-a: done; prices",
            "7.00 kW -> 0.50 kW at the machines in 1m 35s",
            "2 of 2 machines proven; shares: 9 accepted, 0 rejected, 1 without an answer; 0.12 kWh",
        ],
    );
    contains(&with(&site, READ, &["mode"]).await.out, &["advise: "]);
    contains(&with(&site, CONTROL, &["mode", "active"]).await.out, &["active (it was advise): prices decide"]);
    contains(&with(&site, READ, &["mode", "--json"]).await.out, &["\"active\""]);
    assert_eq!(site.take_asked(), ["mode Active"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_that_are_gone_are_forgotten_and_those_that_are_there_are_not() {
    let site = Site::start().await;
    let done = with(&site, CONTROL, &["forget", "hall-a", "rig-2", "--dry-run"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    contains(
        &done.out,
        &[
            "group hall-a: 1 machine is forgotten",
            "rig-2: never seen, counted 3850 W",
            "count no more",
            "dry run: none was forgotten",
        ],
    );
    assert_eq!(site.take_asked(), ["hall-a: forget Device(\"rig-2\"), dry_run true"]);
    let done = with(&site, CONTROL, &["forget", "hall-a", "rig-2", "--confirm", "gone"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(site.take_asked(), ["hall-a: forget Gone(\"rig-2\"), dry_run false"]);
    let done = with(&site, CONTROL, &["forget", "hall-a", "--older-than", "7d"]).await;
    contains(&done.out, &["rig-1 is kept: it was put to sleep"]);
    assert!(!done.out.contains("dry run"), "{done:?}");
    assert_eq!(site.take_asked(), ["hall-a: forget OlderThan(604800s), dry_run false"]);
    for (token, arguments, code, words) in [
        (READ, &["forget", "hall-a", "rig-2"][..], 2, "read_token, which may only look"),
        (CONTROL, &["forget", "hall-a", "rig-2", "--confirm", "yes"], 2, "possible values: gone"),
        (CONTROL, &["forget", "hall-a", "--older-than", "7d", "--confirm", "gone"], 2, "cannot be used with"),
        (CONTROL, &["forget", "hall-a", "rig-0"], 1, "it is connected: it is there"),
        (CONTROL, &["forget", "hall-a", "rig-9"], 2, "group \"hall-a\" has no machine \"rig-9\""),
        (CONTROL, &["forget", "hall-a"], 2, "--older-than"),
        (CONTROL, &["forget", "hall-a", "rig-2", "--older-than", "7d"], 2, "cannot be used with"),
        (CONTROL, &["forget", "hall-a", "--older-than", "0s"], 2, "older_than is missing or no duration"),
    ] {
        let done = with(&site, token, arguments).await;
        assert_eq!(done.code, Some(code), "{arguments:?}: {done:?}");
        assert!(done.err.contains(words) && done.out.is_empty(), "{words:?}: {done:?}");
    }
    assert_eq!(site.refused("not_forgotten"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_no_is_a_sentence_with_what_to_do_and_an_exit_code() {
    let site = Site::start().await;
    for (token, arguments, code, words) in [
        ("guess-0123456789", &["groups"][..], 2, "does not take the token of the variable HASHGATE_TOKEN"),
        (READ, &["drain", "hall-a"], 2, "read_token, which may only look"),
        (SIGNAL, &["groups"], 2, "signal_token, which may only PUT signals"),
        (CONTROL, &["drain", "hall-c"], 2, "there is no group \"hall-c\": there is \"hall-a\", \"shed\""),
        (CONTROL, &["devices", "hall-c"], 2, "there is no group \"hall-c\""),
        (CONTROL, &["drain", "shed"], 1, "has no actuator"),
        (CONTROL, &["drain", "dry"], 1, "`hashgate mode advise`"),
        (CONTROL, &["unlock", "hall-a"], 1, "is not locked out"),
        (CONTROL, &["drain", "full"], 1, "could not be written: the disk is full"),
        (CONTROL, &["drain", "hall-a", "--for", "soon"], 2, "not a duration"),
        (CONTROL, &["drain", "hall-a", "--for", "0s"], 2, "for is zero"),
        (CONTROL, &["hold", "hall-a"], 2, "--why"),
        (CONTROL, &["hold", "hall-a", "--why", ""], 2, "a hold needs its why"),
        (CONTROL, &["mode", "fast"], 2, "dry_run, advise, active"),
        (CONTROL, &["receipts", "--limit", "0"], 2, "1..=500"),
        ("to\nken", &["groups"], 2, "characters that no header can have"),
    ] {
        let done = with(&site, token, arguments).await;
        assert_eq!(done.code, Some(code), "{arguments:?}: {done:?}");
        assert!(done.err.contains(words) && done.out.is_empty(), "{words:?}: {done:?}");
        assert!(!done.err.contains(token), "no token is printed: {done:?}");
    }
    let none = Site::without_power().await;
    contains(&with(&none, READ, &["groups"]).await.err, &["no [[group]] of the config has an actuator"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_config_says_where_the_proxy_is_and_what_opens_it() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hashgate.toml");
    let config = path.to_str().unwrap();
    fs::write(folder.path().join("admin.token"), format!("{CONTROL}\n")).unwrap();
    // A pool's password that only the proxy's user has is not wanted.
    let rest = "[[pool]]\nname = \"eu\"\npassword_env = \"NOBODY_HAS_THIS\"\n";
    let admin = format!("[admin]\nlisten = \"{}\"\n", site.address);
    fs::write(&path, format!("{rest}{admin}token_file = \"admin.token\"\n")).unwrap();
    let done = hashgate(&["groups", "--config", config], &[]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    // The variable stands for the config's token, as the address on the command line for the config's.
    let done = hashgate(&["groups", "--config", config], &[("HASHGATE_TOKEN", "guess-0123456789")]).await;
    assert_eq!(done.code, Some(2), "{done:?}");
    fs::write(&path, "[admin]\ntoken = \"0123456789abcdef\"\nlisten = \"127.0.0.1:0\"\n").unwrap();
    contains(&hashgate(&["groups", "--config", config], &[]).await.err, &["lets the system choose", "--url"]);
    let url = format!("http://{}/", site.address);
    let done = hashgate(&["groups", "--config", config, "--url", &url], &[]).await;
    contains(&done.err, &["does not take the token of [admin] of", "hashgate.toml"]);
    let done = hashgate(&["groups", "--url", &url], &[("HASHGATE_TOKEN", READ)]).await;
    assert_eq!(done.code, Some(0), "no config is needed: {done:?}");

    for (text, words) in [
        (rest, "has no [admin]"),
        ("[admin]\ntoken = \"short\"\n", "admin.token: is shorter than 16 bytes"),
        (
            "[admin]\ntoken_env = \"NOBODY_HAS_THIS\"\n",
            "admin.token_env: names an environment variable that is not set",
        ),
        ("[admin\n", "not valid TOML"),
    ] {
        fs::write(&path, text).unwrap();
        let done = hashgate(&["groups", "--config", config], &[]).await;
        assert_eq!(done.code, Some(2), "{done:?}");
        contains(&done.err, &[words]);
    }
    let done = hashgate(&["groups", "--config", "nowhere.toml"], &[]).await;
    assert_eq!(done.code, Some(2), "{done:?}");
    contains(&done.err, &["nowhere.toml", "HASHGATE_URL and HASHGATE_TOKEN"]);
    for url in ["127.0.0.1:9334", "ftp://localhost", "http://me:secret@localhost"] {
        let done = hashgate(&["groups", "--url", url], &[("HASHGATE_TOKEN", READ)]).await;
        assert_eq!(done.code, Some(2), "{url} {done:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_not_there_is_missed_and_a_stranger_is_known() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = format!("http://{}", taken.local_addr().unwrap());
    drop(taken);
    let token = [("HASHGATE_TOKEN", CONTROL)];
    let done = hashgate(&["drain", "hall-a", "--url", &free], &token).await;
    assert_eq!(done.code, Some(1), "{done:?}");
    contains(&done.err, &["no proxy answers at http://127.0.0.1:", "is it running, and is [admin] in its config?"]);

    let stranger = axum::Router::new().route("/api/v1/power", axum::routing::get(async || "<html>hello</html>"));
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(socket, stranger).await });
    for arguments in [["groups", "--url", &url], ["receipts", "--url", &url]] {
        let done = hashgate(&arguments, &token).await;
        assert_eq!(done.code, Some(1), "{done:?}");
        contains(&done.err, &["not as hashgate does: is another server there?"]);
    }
}
