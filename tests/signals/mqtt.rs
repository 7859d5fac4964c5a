//! A real broker (Debian's `mosquitto`), in the clear and in TLS. Where there is none, these say so and pass; with
//! `HASHGATE_NEED_MOSQUITTO` set they fail.

use std::{fs, process::Command};

use hashgate::profit::Reading;
use jiff::Timestamp;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use sha2::{Digest, Sha256};

use crate::{
    broker::{Broker, NEED},
    site::{LIMIT, Live},
};

/// Publishes, and waits until the broker has it.
async fn publish(port: u16, login: Option<(&str, &str)>, retain: bool, messages: &[String]) {
    let mut options = MqttOptions::new(format!("test-{}", rand::random::<u64>()), "127.0.0.1", port);
    if let Some((user, password)) = login {
        options.set_credentials(user, password);
    }
    let (client, mut events) = AsyncClient::new(options, messages.len() + 1);
    for message in messages {
        client.publish("site/target", QoS::AtLeastOnce, retain, message.as_bytes()).await.unwrap();
    }
    let mut taken = 0;
    while taken < messages.len() {
        let event = tokio::time::timeout(LIMIT, events.poll()).await.expect("the broker answers").expect("it takes it");
        taken += usize::from(matches!(event, Event::Incoming(Packet::PubAck(_))));
    }
}

fn target(percent: f64, at: Timestamp) -> String {
    format!("{{\"target\":{percent},\"timestamp\":\"{at}\"}}")
}

fn signal(brokers: &str, more: &str) -> String {
    format!(
        "[[signal]]\nname = \"grid\"\nunit = \"%\"\nclass = \"grid\"\nrange = [0, 100]\nkind = \"mqtt\"\nbroker = [{brokers}]\n\
         topic = \"site/target\"\nvalue = \"/target\"\n{more}\n"
    )
}

fn ago(seconds: i64) -> Timestamp {
    Timestamp::now().checked_sub(jiff::SignedDuration::from_secs(seconds)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_brokers_are_heard_and_one_is_enough() {
    let Some(first) = Broker::start("allow_anonymous true", &[]) else { return };
    let Some(second) = Broker::start("allow_anonymous true", &[]) else { return };
    let brokers = format!("\"mqtt://127.0.0.1:{}\", \"mqtt://127.0.0.1:{}\"", first.port, second.port);
    let live = Live::start(&signal(&brokers, "at = \"/timestamp\""));
    // Kept by the broker, so that it does not matter who is first.
    let (earlier, later) = (ago(30), ago(20));
    publish(first.port, None, true, &[target(100.0, earlier)]).await;
    live.wait("all of it", |view| view.reading.fresh() == Some(1.0)).await;
    publish(second.port, None, true, &[target(0.0, later)]).await;
    live.wait("nothing", |view| view.reading.fresh() == Some(0.0)).await;
    // What is older than that is a replay, from whichever broker.
    publish(first.port, None, true, &[target(50.0, earlier)]).await;
    live.refused("replay", 1).await;
    drop(second);
    live.refused("unreachable", 1).await;
    publish(first.port, None, true, &[target(40.0, ago(5)), "{\"target\":".to_owned(), target(900.0, ago(0))]).await;
    let view = live.refused("range", 1).await;
    assert_eq!((view.reading.fresh(), view.refused["unreadable"]), (Some(0.4), 1));
    live.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broker_kept_without_a_time_is_not_taken_for_the_present() {
    let Some(broker) = Broker::start("allow_anonymous true", &[]) else { return };
    publish(broker.port, None, true, &["{\"target\":100}".to_owned()]).await;
    let address = format!("\"mqtt://127.0.0.1:{}\"", broker.port);
    let live = Live::start(&signal(&address, ""));
    let view = live.refused("unreadable", 1).await;
    assert_eq!(view.reading, Reading::Never);
    // It listens now: what comes as it happens is taken.
    publish(broker.port, None, false, &["{\"target\":75}".to_owned()]).await;
    live.wait("75 %", |view| view.reading.fresh() == Some(0.75)).await;
    live.stop().await;
    let live = Live::start(&signal(&address, "retained = true"));
    live.wait("100 %", |view| view.reading.fresh() == Some(1.0)).await;
    live.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_in_tls_is_trusted_by_its_certificate_and_wants_a_login() {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let fingerprint = hex::encode(Sha256::digest(certificate.cert.der()));
    let more =
        "allow_anonymous false\npassword_file {folder}/users\ncertfile {folder}/cert.pem\nkeyfile {folder}/key.pem\n";
    let Some(users) = users() else { return };
    let files = [
        ("cert.pem", &*certificate.cert.pem()),
        ("key.pem", &certificate.signing_key.serialize_pem()),
        ("users", &users),
    ];
    let Some(broker) = Broker::start(more, &files) else { return };
    let address = format!("\"mqtts://localhost:{}\"", broker.port);
    let login = "user = \"hashgate\"\npassword_env = \"PASSWORD\"\n";

    // The right certificate, and the login.
    let right = format!("tls_fingerprint = \"sha256:{fingerprint}\"\nat = \"/timestamp\"\n");
    let live = Live::start(&signal(&address, &format!("{login}{right}")));
    let wrong = format!("tls_fingerprint = \"sha256:{}\"\n", "ab".repeat(32));
    let stranger = Live::start(&signal(&address, &format!("{login}{wrong}")));
    let view = stranger.refused("unreachable", 1).await;
    let (_, why) = view.sources[0].refusal.clone().unwrap();
    assert!(why.to_string().contains(&fingerprint), "{why}");
    stranger.stop().await;

    let nobody = Live::start(&signal(&address, &right));
    let view = nobody.refused("unreachable", 1).await;
    let (_, why) = view.sources[0].refusal.clone().unwrap();
    assert!(why.to_string().contains("refuses us"), "{why}");
    nobody.stop().await;

    publish_in_tls(&broker, &target(60.0, ago(1))).await;
    live.wait("60 %", |view| view.reading.fresh() == Some(0.6)).await;
    live.stop().await;
}

/// The lines of a password file for the user `hashgate`; `None` where mosquitto's tool is not here.
fn users() -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("users");
    let made = Command::new("mosquitto_passwd")
        .arg("-c")
        .arg("-b")
        .arg(&path)
        .args(["hashgate", crate::site::SECRET])
        .output();
    match made {
        Ok(output) if output.status.success() => Some(fs::read_to_string(path).unwrap()),
        _ => {
            assert!(std::env::var_os(NEED).is_none(), "mosquitto_passwd is not here, and {NEED} wants it");
            println!("skipped: mosquitto_passwd is not on the path");
            None
        }
    }
}

/// Publishes with mosquitto's own client, so that TLS is not only between two of one kind.
async fn publish_in_tls(broker: &Broker, message: &str) {
    let status = Command::new("mosquitto_pub")
        .args(["-h", "localhost", "-p", &broker.port.to_string(), "-u", "hashgate", "-P", crate::site::SECRET])
        .args(["--insecure", "--cafile"])
        .arg(broker.folder.path().join("cert.pem"))
        .args(["-q", "1", "-r", "-t", "site/target", "-m", message])
        .status()
        .expect("mosquitto_pub is beside mosquitto");
    assert!(status.success());
}
