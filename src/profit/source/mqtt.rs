//! `mqtt`: listens to a topic, at every broker that the config names, all at once.
//!
//! A message that the broker has kept for us (retained) may be from any time: without a time of its own it is refused, unless
//! `retained` says that it is meant. What two brokers tell alike is told once. Connections come back by themselves,
//! the first time after a second, later after [`LONGEST_BACKOFF`].

use std::{sync::Arc, time::Duration};

use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, QoS, SubscribeReasonCode, TlsConfiguration, Transport,
};
use tokio::{task::spawn_blocking, time::sleep};

use super::{Feed, MAX_DOCUMENT, jittered, text};
use crate::{
    config::{Broker, MqttSource, Shape},
    profit::{
        Unit, extract,
        signal::{Observation, Refusal},
    },
    tls::{self, Shown, Trust},
};

/// The longest wait between two attempts at a broker.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// Silence before we ask a broker for a sign of life.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Seconds for a connection, with TLS.
const CONNECT_SECONDS: u64 = 10;

/// Requests of ours that may wait: a subscription.
const REQUESTS: usize = 4;

/// Listens to one of the brokers until it is dropped.
pub async fn run(source: Arc<MqttSource>, broker: usize, unit: Unit, feed: Feed, shown: Shown) {
    let broker = &source.brokers[broker];
    let (client, mut events) = match connection(&source, broker, shown).await {
        Ok(made) => made,
        Err(refusal) => return feed.refuse(refusal).await,
    };
    let mut failures = 0_u32;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                failures = 0;
                // The queue is empty: there was nothing but a subscription before.
                if client.try_subscribe(&source.topic, QoS::AtLeastOnce).is_err() {
                    feed.refuse(Refusal::Failed(format!("{broker}: {:?} is no topic to listen to", source.topic)))
                        .await;
                }
            }
            Ok(Event::Incoming(Packet::SubAck(answer))) => {
                if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                    feed.refuse(Refusal::Failed(format!("{broker} does not let us listen to {:?}", source.topic)))
                        .await;
                }
            }
            Ok(Event::Incoming(Packet::Publish(message))) => {
                // The book keeps a refusal for people to see, and counts it.
                let _ = feed.say(read(&source, unit, &message)).await;
            }
            Ok(_) => {}
            Err(error) => {
                if failures == 0 {
                    feed.refuse(Refusal::Unreachable(format!("{broker}: {}", tls::explain_mqtt(&error)))).await;
                }
                let backoff = Duration::from_secs(1 << failures.min(6)).min(LONGEST_BACKOFF);
                failures = failures.saturating_add(1);
                sleep(jittered(backoff)).await;
            }
        }
    }
}

async fn connection(source: &MqttSource, broker: &Broker, shown: Shown) -> Result<(AsyncClient, EventLoop), Refusal> {
    let id = format!("hashgate-{:016x}", rand::random::<u64>());
    let mut options = MqttOptions::new(id, broker.host.clone(), broker.port);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_max_packet_size(MAX_DOCUMENT, MAX_DOCUMENT);
    if let Some((user, password)) = &source.login {
        options.set_credentials(user, password.expose());
    }
    if broker.tls {
        let pin = source.pin;
        // Roots are read from disk.
        let config = spawn_blocking(move || tls::client_config(Trust::configured(pin)?, shown)).await;
        let config = config.map_err(|_| Refusal::Failed("hashgate is ending".to_owned()))?;
        let config = config.map_err(|error| Refusal::Failed(format!("{broker}: {error}")))?;
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))));
    }
    let (client, mut events) = AsyncClient::new(options, REQUESTS);
    events.network_options.set_connection_timeout(CONNECT_SECONDS);
    Ok((client, events))
}

fn read(source: &MqttSource, unit: Unit, message: &Publish) -> Result<Vec<Observation>, Refusal> {
    let says_when = source.picker.gives_intervals() || matches!(source.picker.shape, Shape::Single { at: Some(_) });
    if message.retain && !says_when && !source.retained {
        return Err(Refusal::Unreadable(
            "the broker has kept it for us, and it does not say when it is from: write at, or retained = true"
                .to_owned(),
        ));
    }
    extract(text(&message.payload)?, &source.picker, unit)
}
