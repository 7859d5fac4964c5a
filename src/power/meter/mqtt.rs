//! `mqtt`: meters that publish what machines draw. One connection to each broker listens for all machines of a group, with a
//! wildcard where the topic has the machine's name.
//!
//! | message | |
//! |---|---|
//! | as it comes | a reading, taken when it came |
//! | kept by the broker (retained) | not taken: it may be from any time, and a sleep is proven by what comes after the command |
//! | of the same machine from another broker within [`REPEAT`] | not taken: it is the same measurement, and proves nothing twice |
//! | of a name that nobody has | the task's to find out ([`Pushed::nobody`]): counted, and told once for each of [`MAX_TOLD`] names |
//! | more than [`QUEUE`] that nobody has asked for | not taken, counted |
//!
//! Connections come back by themselves, the first time after a second, later after [`LONGEST_BACKOFF`]; sessions are clean, so that
//! a broker keeps nothing for us meanwhile.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use jiff::Timestamp;
use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, Packet, Publish, QoS, SubscribeReasonCode, TlsConfiguration, Transport,
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep},
};
use tracing::{debug, info, warn};

use super::{Said, Who, amount::Amount};
use crate::{
    config::{
        Broker, MAX_DEVICES, Secret, ServerTrust,
        template::{Place, Topic},
    },
    http::HttpError,
    power::actuator::BuildError,
    tls::{self, Shown, Trust},
};

/// Readings that may wait for the power task: a tenth of a second of ten thousand meters that all speak at once.
pub const QUEUE: usize = 4096;

/// Names of nobody's that are told; further ones are only counted.
pub const MAX_TOLD: usize = 20;

/// A reading of the same machine from another broker within this is the same.
const REPEAT: Duration = Duration::from_secs(1);

/// Bytes of a message; a longer one ends the connection.
const MAX_MESSAGE: usize = 64 * 1024;

/// Characters of a name: those of devices and workers are shorter.
const MAX_NAME: usize = 256;

/// The longest wait between two attempts at a broker.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// Silence before we ask a broker for a sign of life.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Seconds for a connection, with TLS.
const CONNECT_SECONDS: u64 = 10;

/// Requests of ours that may wait: a subscription.
const REQUESTS: usize = 4;

/// What became of messages that made no reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Kept by a broker.
    pub retained: u64,
    /// Told by another broker as well.
    pub repeated: u64,
    /// Of a name that nobody has, or that is none.
    pub nobody: u64,
    /// Came while the queue was full.
    pub dropped: u64,
}

#[derive(Default)]
struct Tally {
    retained: AtomicU64,
    dropped: AtomicU64,
}

/// Meters that speak by themselves. What listens ends with it.
pub struct Pushed {
    filter: Box<str>,
    said: mpsc::Receiver<(usize, Said)>,
    tally: Arc<Tally>,
    /// The last reading of each machine: from which broker, and when it was got. Empty where there is one broker.
    last: HashMap<Who, (usize, Instant)>,
    has_many: bool,
    repeated: u64,
    nobody: u64,
    told: HashSet<Who>,
    shown: Shown,
    // Dropped with the rest: its tasks end.
    listeners: JoinSet<()>,
}

impl Pushed {
    /// Starts to listen.
    pub(super) fn listen(
        brokers: &[Broker],
        topic: &str,
        amount: Amount,
        login: Option<&(Arc<str>, Secret)>,
        trust: &ServerTrust,
    ) -> Result<Self, BuildError> {
        let (to_task, said) = mpsc::channel(QUEUE);
        let tally: Arc<Tally> = Arc::default();
        let topic = Topic::parse(topic, &Place::MACHINE)?;
        let (mut listeners, shown) = (JoinSet::new(), Shown::default());
        for (index, broker) in brokers.iter().enumerate() {
            let (client, events) = connection(broker, login, trust, shown.clone())?;
            let listener = Listener {
                broker: (index, broker.clone()),
                topic: topic.clone(),
                amount: amount.clone(),
                to_task: to_task.clone(),
                tally: tally.clone(),
                is_full: false,
            };
            listeners.spawn(listener.run(client, events));
        }
        Ok(Self {
            filter: topic.filter.into(),
            said,
            tally,
            last: HashMap::new(),
            has_many: brokers.len() > 1,
            repeated: 0,
            nobody: 0,
            told: HashSet::new(),
            shown,
            listeners,
        })
    }

    /// The certificates that its brokers have shown.
    pub(in crate::power) fn shown(&self) -> Shown {
        self.shown.clone()
    }

    /// The next reading. Nothing is lost if this is dropped before. Waits for ever where there is no broker.
    pub async fn next(&mut self) -> Said {
        loop {
            match self.said.recv().await {
                Some((broker, said)) if self.is_new(broker, &said) => return said,
                Some(_) => self.repeated += 1,
                None => std::future::pending().await,
            }
        }
    }

    /// Says that nobody is called so: counted, and logged once.
    pub fn nobody(&mut self, who: &Who) {
        self.nobody += 1;
        if self.told.len() >= MAX_TOLD || !self.told.insert(who.clone()) {
            return;
        }
        let more = if self.told.len() == MAX_TOLD { "; further names are only counted" } else { "" };
        info!("a meter at {:?} tells of {who}, which is no machine of the group{more}", self.filter);
    }

    /// What became of the messages that made no reading.
    pub fn counts(&self) -> Counts {
        Counts {
            retained: self.tally.retained.load(Relaxed),
            repeated: self.repeated,
            nobody: self.nobody,
            dropped: self.tally.dropped.load(Relaxed),
        }
    }

    /// Brokers that are listened to.
    pub fn brokers(&self) -> usize {
        self.listeners.len()
    }

    fn is_new(&mut self, broker: usize, said: &Said) -> bool {
        if !self.has_many || said.watts.is_err() {
            return true;
        }
        let now = Instant::now();
        match self.last.get(&said.who) {
            Some((other, at)) if *other != broker && now.duration_since(*at) < REPEAT => return false,
            // Names may be made up: there are no more machines than that.
            None if self.last.len() >= MAX_DEVICES => {}
            _ => drop(self.last.insert(said.who.clone(), (broker, now))),
        }
        true
    }
}

/// One broker's.
struct Listener {
    broker: (usize, Broker),
    topic: Topic,
    amount: Amount,
    to_task: mpsc::Sender<(usize, Said)>,
    tally: Arc<Tally>,
    is_full: bool,
}

impl Listener {
    async fn run(mut self, client: AsyncClient, mut events: EventLoop) {
        let (filter, broker) = (self.topic.filter.clone(), self.broker.1.clone());
        let mut failures = 0_u32;
        loop {
            match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    debug!("{broker} tells of {filter:?}");
                    failures = 0;
                    // The queue is empty: there was nothing but a subscription before. What comes late is no reading, so that
                    // nothing is sent twice.
                    if client.try_subscribe(&filter, QoS::AtMostOnce).is_err() {
                        warn!("{broker}: {filter:?} is no topic to listen to");
                    }
                }
                Ok(Event::Incoming(Packet::SubAck(answer))) => {
                    if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                        warn!("{broker} does not let us listen to {filter:?}");
                    }
                }
                Ok(Event::Incoming(Packet::Publish(message))) => self.take(&message),
                Ok(_) => {}
                Err(error) => {
                    let backoff = Duration::from_secs(1 << failures.min(6)).min(LONGEST_BACKOFF);
                    let words = tls::explain_mqtt(&error);
                    if failures == 0 {
                        warn!("{broker}: no watts of {filter:?}: {words}; tried again and again");
                    } else {
                        debug!("{broker}: still no watts of {filter:?}: {words}");
                    }
                    failures = failures.saturating_add(1);
                    sleep(backoff.mul_f64(rand::random_range(0.9..=1.1))).await;
                }
            }
        }
    }

    fn take(&mut self, message: &Publish) {
        if message.retain {
            self.tally.retained.fetch_add(1, Relaxed);
            return;
        }
        let said = Said {
            who: self.who(&message.topic),
            taken_at: Timestamp::now(),
            watts: self.amount.read(&message.payload),
        };
        let was_full = std::mem::replace(&mut self.is_full, false);
        if self.to_task.try_send((self.broker.0, said)).is_err() {
            self.is_full = true;
            self.tally.dropped.fetch_add(1, Relaxed);
            if !was_full {
                warn!("{}: more readings come than are taken; some are dropped", self.broker.1);
            }
        }
    }

    /// Whom a message tells of.
    fn who(&self, topic: &str) -> Who {
        let name = self.topic.name(topic).unwrap_or_default();
        let cut = name.char_indices().nth(MAX_NAME).map_or(name, |(end, _)| &name[..end]);
        match self.topic.place {
            _ if name.is_empty() || cut.len() < name.len() => Who::Unknown(cut.into()),
            Place::Ip => {
                cut.parse::<IpAddr>().map_or_else(|_| Who::Unknown(cut.into()), |ip| Who::Ip(ip.to_canonical()))
            }
            Place::Worker => Who::Worker(cut.into()),
            _ => Who::Device(cut.into()),
        }
    }
}

fn connection(
    broker: &Broker,
    login: Option<&(Arc<str>, Secret)>,
    trust: &ServerTrust,
    shown: Shown,
) -> Result<(AsyncClient, EventLoop), BuildError> {
    let id = format!("hashgate-{:016x}", rand::random::<u64>());
    let mut options = MqttOptions::new(id, broker.host.clone(), broker.port);
    options.set_keep_alive(KEEP_ALIVE);
    options.set_max_packet_size(MAX_MESSAGE, MAX_MESSAGE);
    if let Some((user, password)) = login {
        options.set_credentials(&**user, password.expose());
    }
    if broker.tls {
        let config = Trust::of(trust).and_then(|trust| tls::client_config(trust, shown)).map_err(HttpError::from)?;
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))));
    }
    let (client, mut events) = AsyncClient::new(options, REQUESTS);
    events.network_options.set_connection_timeout(CONNECT_SECONDS);
    Ok((client, events))
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Device(name) => write!(f, "device {name:?}"),
            Self::Worker(name) => write!(f, "worker {name:?}"),
            Self::Ip(address) => address.fmt(f),
            Self::Unknown(name) => write!(f, "{name:?}"),
        }
    }
}
