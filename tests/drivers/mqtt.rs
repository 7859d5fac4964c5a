//! A real broker, and meters that publish.

use std::time::Duration;

use hashgate::{
    config::{ActuatorKind, Broker as Address, PowerUnit, ServerTrust, WattsSource},
    power::meter::{Meter, Pushed, QUEUE, Roll, Said, Who},
};
use jiff::Timestamp;
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use tokio::time::timeout;

use crate::{
    broker::Broker,
    world::{LIMIT, SECRET, meter_of, target, words},
};

/// Somebody who publishes.
struct Plug {
    client: AsyncClient,
    events: rumqttc::EventLoop,
}

impl Plug {
    fn at(port: u16) -> Self {
        let options = MqttOptions::new(format!("test-{}", rand::random::<u64>()), "127.0.0.1", port);
        let (client, events) = AsyncClient::new(options, 100_000);
        Self { client, events }
    }

    /// Publishes, and waits until the broker has all of it.
    async fn say(&mut self, retain: bool, messages: &[(&str, &str)]) {
        for (topic, payload) in messages {
            self.client.try_publish(*topic, QoS::AtLeastOnce, retain, *payload).unwrap();
        }
        let mut taken = 0;
        while taken < messages.len() {
            let event = timeout(LIMIT, self.events.poll()).await.expect("the broker answers").expect("it takes it");
            taken += usize::from(matches!(event, Event::Incoming(Packet::PubAck(_))));
        }
    }
}

fn source(ports: &[u16], topic: &str, pointer: Option<&str>) -> WattsSource {
    WattsSource::Mqtt {
        brokers: ports.iter().map(|port| Address { tls: false, host: "127.0.0.1".to_owned(), port: *port }).collect(),
        topic: topic.into(),
        pointer: pointer.map(Into::into),
        unit: PowerUnit::Watts,
        login: None,
        trust: ServerTrust::System,
    }
}

fn pushed(source: WattsSource) -> Pushed {
    let Meter::Pushed(pushed) = meter_of(ActuatorKind::Manual, source) else { panic!("it speaks by itself") };
    pushed
}

async fn next(meter: &mut Pushed) -> Said {
    timeout(LIMIT, meter.next()).await.expect("a reading comes")
}

/// Publishes a probe again and again until every broker's listener has it: then all are subscribed.
async fn subscribed(meter: &mut Pushed, plugs: &mut [(&mut Plug, &str)]) {
    let begin = std::time::Instant::now();
    for (plug, topic) in plugs {
        loop {
            assert!(begin.elapsed() < LIMIT, "it does not listen to {topic}");
            plug.say(false, &[(topic, "1")]).await;
            if timeout(Duration::from_millis(50), meter.next()).await.is_ok() {
                break;
            }
        }
    }
    // What of the probes is still under way.
    while timeout(Duration::from_millis(200), meter.next()).await.is_ok() {}
}

#[tokio::test]
async fn readings_come_as_they_are_published_each_from_its_machine() {
    let Some(broker) = Broker::start("allow_anonymous true", &[]) else { return };
    let mut plug = Plug::at(broker.port);
    // From before anybody listened: nobody knows when.
    plug.say(true, &[("site/rig1/status", "{\"apower\":20}")]).await;
    let mut meter = pushed(source(&[broker.port], "site/{device}/status", Some("/apower")));
    subscribed(&mut meter, &mut [(&mut plug, "site/probe/status")]).await;
    assert_eq!(meter.counts().retained, 1);

    let begin = Timestamp::now();
    plug.say(
        false,
        &[
            ("site/rig1/status", "{\"apower\":3412.5}"),
            ("site/rig1/energy", "{\"apower\":1}"),
            ("site/rig2/status", "{\"apower\":\"61\"}"),
            ("site//status", "{\"apower\":5}"),
            ("site/rig2/status", "{\"apower\":-3}"),
            ("site/rig2/status", "offline"),
        ],
    )
    .await;
    let said = next(&mut meter).await;
    assert_eq!((said.who, said.watts.unwrap().get()), (Who::Device("rig1".into()), 3412.5));
    assert!(begin <= said.taken_at && said.taken_at <= Timestamp::now());
    let said = next(&mut meter).await;
    assert_eq!((said.who, said.watts.unwrap().get()), (Who::Device("rig2".into()), 61.0));
    assert_eq!(next(&mut meter).await.who, Who::Unknown("".into()));
    assert!(words(next(&mut meter).await.watts).contains("less than nothing"));
    assert!(words(next(&mut meter).await.watts).contains("not JSON"));
}

#[tokio::test]
async fn machines_are_known_by_address_or_worker_and_strangers_are_counted() {
    let Some(broker) = Broker::start("allow_anonymous true", &[]) else { return };
    let mut plug = Plug::at(broker.port);
    let machines = [target("a", "10.0.0.1", "farm.a"), target("b", "10.0.0.2", "farm.b")];
    let roll = Roll::of(machines.iter().zip(0..));
    for (topic, first, second) in
        [("pdu/{ip}", "pdu/10.0.0.1", "pdu/::ffff:10.0.0.2"), ("w/{worker}/x", "w/farm.a/x", "w/farm.b/x")]
    {
        let mut meter = pushed(source(&[broker.port], topic, None));
        subscribed(&mut meter, &mut [(&mut plug, first)]).await;
        plug.say(false, &[(first, "100"), (second, "200"), ("pdu/nobody", "3"), ("w/nobody/x", "3")]).await;
        for expected in [Some(0), Some(1), None] {
            let said = next(&mut meter).await;
            assert_eq!(roll.find(&said.who), expected, "{:?}", said.who);
            if expected.is_none() {
                meter.nobody(&said.who);
            }
        }
        assert_eq!(meter.counts().nobody, 1);
    }
}

#[tokio::test]
async fn what_two_brokers_tell_is_one_measurement() {
    let Some(first) = Broker::start("allow_anonymous true", &[]) else { return };
    let Some(second) = Broker::start("allow_anonymous true", &[]) else { return };
    let (mut one, mut two) = (Plug::at(first.port), Plug::at(second.port));
    let mut meter = pushed(source(&[first.port, second.port], "site/{device}", None));
    subscribed(&mut meter, &mut [(&mut one, "site/one"), (&mut two, "site/two")]).await;
    one.say(false, &[("site/rig", "3400")]).await;
    assert_eq!(next(&mut meter).await.watts.unwrap().get(), 3400.0);
    two.say(false, &[("site/rig", "3401"), ("site/other", "7")]).await;
    let said = next(&mut meter).await;
    assert_eq!((said.who, meter.counts().repeated), (Who::Device("other".into()), 1));
    // One is lost: the other is enough.
    drop(second);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    one.say(false, &[("site/rig", "60")]).await;
    assert_eq!(next(&mut meter).await.watts.unwrap().get(), 60.0);
}

#[tokio::test]
async fn a_flood_is_dropped_and_counted_and_readings_go_on() {
    let Some(broker) = Broker::start("allow_anonymous true\nmax_queued_messages 0", &[]) else { return };
    let mut plug = Plug::at(broker.port);
    let mut meter = pushed(source(&[broker.port], "site/{device}", None));
    subscribed(&mut meter, &mut [(&mut plug, "site/probe")]).await;
    let flood = vec![("site/rig", "1"); QUEUE + 500];
    plug.say(false, &flood).await;
    let begin = std::time::Instant::now();
    while meter.counts().dropped < 500 {
        assert!(begin.elapsed() < LIMIT, "{:?}", meter.counts());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..QUEUE {
        next(&mut meter).await;
    }
    plug.say(false, &[("site/rig", "42")]).await;
    assert_eq!(next(&mut meter).await.watts.unwrap().get(), 42.0);
}

#[tokio::test]
async fn a_broker_that_comes_later_is_listened_to() {
    let Some(broker) = Broker::start("allow_anonymous true", &[]) else { return };
    let port = broker.port;
    drop(broker);
    let login = Some(("hashgate".into(), SECRET.parse().unwrap()));
    let WattsSource::Mqtt { brokers, topic, pointer, unit, trust, .. } = source(&[port], "site/{device}", None) else {
        unreachable!()
    };
    let mut meter = pushed(WattsSource::Mqtt { brokers, topic, pointer, unit, login, trust });
    assert!(timeout(Duration::from_millis(300), meter.next()).await.is_err(), "nobody is there yet");
    let Some(_broker) = Broker::at(port, "allow_anonymous true") else { return };
    let mut plug = Plug::at(port);
    subscribed(&mut meter, &mut [(&mut plug, "site/rig")]).await;
}
